"""The judge as a step of `nbgrader autograde`, in place of the one that runs a whole notebook in a
kernel: what is handed in is run in the sandbox, and its points cells get the judge's words as output.

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

from dgmcourse.classroom import sandbox
from dgmcourse.classroom.grade import Grader, exercises


class Judge(NbGraderPreprocessor):
    """Writes into each points cell what its judge says, and the points."""

    def preprocess(self, nb, resources):
        asked = {one.name: one for one in exercises()[resources["nbgrader"]["notebook"]]}
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
        for one, verdict in zip(wanted, grader().grade(code, wanted), strict=True):
            cells[one.name].outputs = outputs(verdict)
        return nb, resources


@functools.cache
def grader() -> Grader:
    """One for all submissions of a run, on the same fresh numbers."""
    one = Grader(sandbox.best(), secrets.randbits(31))
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
