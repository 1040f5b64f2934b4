"""The judge as a step of `nbgrader autograde`, in place of the one that runs a whole notebook in a
kernel: what is handed in is run in the sandbox, and its points cells get the judge's words as output.
Where no sandbox works it refuses, unless the configuration says `c.Judge.sandbox = "none"`.

nbgrader_config.py of `make class ARGS="... --nbgrader"` names `STEPS`. nbgrader itself is not a part
of the course: install it beside the course.
"""

import atexit
import functools
import re
import secrets

from nbformat.v4 import new_output
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from traitlets import Unicode

from dgmcourse.classroom import sandbox
from dgmcourse.classroom.grade import Grader, exercises


class Judge(NbGraderPreprocessor):
    """Writes into each points cell what its judge says, and the points."""

    sandbox = Unicode(help="bwrap, unshare or none; by default the best that works").tag(
        config=True
    )

    def preprocess(self, nb, resources):
        there = exercises().get(resources["nbgrader"]["notebook"], ())
        asked = {one.name: one for one in there}
        cells = {}  # exercise -> its points cell, which nbgrader has restored as it was given out
        for cell in nb.cells:
            found = re.fullmatch(
                r"(\w+)-points", cell.metadata.get("nbgrader", {}).get("grade_id", "")
            )
            if found:
                cells[found[1]] = cell
        wanted = [
            one._replace(points=cells[name].metadata["nbgrader"]["points"])
            for name, one in asked.items()
            if name in cells
        ]
        code = [cell.source for cell in nb.cells if cell.cell_type == "code"]
        verdicts = grader(self.sandbox).grade(code, wanted) if wanted else []
        for one, verdict in zip(wanted, verdicts, strict=True):
            cells[one.name].outputs = outputs(verdict)
        return nb, resources


@functools.cache
def grader(asked: str = "") -> Grader:
    """One for all submissions of a run, on the same fresh numbers.

    Args:
        asked: the kind of sandbox; "" for the best.

    Raises:
        OSError: if none works, and nobody said that none is wanted.
    """
    kind = asked or sandbox.best()
    if kind == "none" and not asked:
        said = sandbox.named(kind)
        raise OSError(
            f'{said}. If you trust them, say c.Judge.sandbox = "none" in the configuration'
        )
    print(f"Sandbox: {sandbox.named(kind)}.")
    one = Grader(kind, secrets.randbits(31))
    atexit.register(one.close)
    return one


def outputs(verdict) -> list:
    """What a points cell would show, had it been run."""
    text = f"{verdict}\n"
    if not verdict.points:
        return [new_output("error", ename="NotRight", evalue=text, traceback=[text])]
    number = {"text/plain": str(verdict.points)}
    return [
        new_output("stream", name="stdout", text=text),
        new_output("execute_result", number, execution_count=None),
    ]


USUAL = Autograde.class_traits()["autograde_preprocessors"].default()
STEPS = [Judge if step is Execute else step for step in USUAL]
