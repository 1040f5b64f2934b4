"""What you have tried so far, noted beside your notebooks and nowhere else.

Each judged attempt is one line of JSON, {"time", "notebook", "exercise", "verdict"}, at the end of
`progress.jsonl` in the folder that the notebook runs in, or of the file that DGMCOURSE_PROGRESS
names; where that is empty, nothing is noted. Nothing is sent: a lecturer sees the file if you hand
it in.
"""

import contextlib
import json
import os
import sys
from collections import defaultdict
from datetime import UTC, datetime
from html import escape
from importlib import import_module
from pathlib import Path

from IPython.display import display

FILE = "progress.jsonl"
COLUMNS = ("notebook", "exercise", "now", "attempts", "last tried")


def place() -> Path | None:
    """The file that attempts are noted in; None: they are not."""
    named = os.environ.get("DGMCOURSE_PROGRESS", FILE)
    return Path(named) if named else None


def note(exercise) -> None:
    """Add a line on the exercise's last verdict. A folder that cannot be written costs the note,
    never the verdict.
    """
    if (path := place()) is None:
        return
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "notebook": notebook(exercise),
        "exercise": exercise.name,
        "verdict": exercise.last.kind,
    }
    # One write to a file opened for appending: the lines of two kernels do not mix.
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, (json.dumps(line) + "\n").encode())
        finally:
            os.close(file)


def notebook(exercise) -> str:
    """The name of the module of checks that the exercise was taken from: that of the notebook."""
    for name, module in sorted(sys.modules.items()):
        package, _, last = name.rpartition(".")
        if package == __package__ and getattr(module, exercise.name, None) is exercise:
            return last
    return ""


def attempts(path: Path | None = None) -> list[dict]:
    """The notes of a file (default: your own), oldest first, without what is no note."""
    path = path or place()
    found = []
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path else ():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                one = json.loads(line)
                one["time"] = datetime.fromisoformat(one["time"]).astimezone()
                if all(isinstance(one[key], str) for key in ("notebook", "exercise", "verdict")):
                    found.append(one)
    return found


class Progress:
    """A table of the exercises of each notebook that you have begun: text, or HTML in a notebook."""

    def __init__(self, notes: list[dict]):
        tried = defaultdict(list)  # by the exercise itself, which two notebooks may share
        for one in notes:
            tried[id(found(one["notebook"], one["exercise"]))].append(one)
        self.rows = []
        for name in sorted({one["notebook"] for one in notes}):
            for exercise in exercises(name):
                self.rows.append((name, exercise.name, *state(tried[id(exercise)])))

    def __repr__(self):
        if not self.rows:
            return "No exercise has been tried here yet."
        table = [COLUMNS, *self.rows]
        widths = [max(len(str(row[i])) for row in table) for i in range(len(COLUMNS))]
        lines = ("  ".join(map(lambda a, n: str(a).ljust(n), row, widths)) for row in table)
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self):
        if not self.rows:
            return f"<p>{self!r}</p>"
        head = "".join(f'<th scope="col">{name.capitalize()}</th>' for name in COLUMNS)
        right = sum(row[2] == "right" for row in self.rows)
        body = ""
        for name, exercise, *rest in self.rows:
            cells = "".join(f"<td>{escape(str(cell))}</td>" for cell in rest)
            first = f'<td>{escape(name)}</td><th scope="row">{escape(exercise)}</th>'
            body += f"<tr>{first}{cells}</tr>"
        return (
            f"<table><caption>{right} of {len(self.rows)} exercises are right, in the notebooks you"
            f" have begun. Kept on this machine only.</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )


def exercises(name: str) -> list:
    """The exercises of the module of checks of this name; none if there is no such module."""
    try:
        module = import_module(f"{__package__}.{name}")
    except ImportError:
        return []
    return [v for v in vars(module).values() if hasattr(v, "hints")]


def found(name: str, exercise: str):
    return next((one for one in exercises(name) if one.name == exercise), None)


def state(notes: list[dict]) -> tuple[str, int, str]:
    """What an exercise is now: right once is right, and a blank cell is no attempt."""
    tried = [one for one in notes if one["verdict"] != "blank"]
    if not tried:
        return "not done yet", 0, ""
    right = any(one["verdict"] == "pass" for one in tried)
    last = max(one["time"] for one in tried)
    return "right" if right else "not yet right", len(tried), f"{last:%Y-%m-%d %H:%M}"


def progress() -> None:
    """Show what is right, and what you have tried, of the notebooks that you have begun."""
    display(Progress(attempts()))
