"""Write what a class is given: notebooks and the package without solutions, points, a syllabus.

    python notebooks/release.py --out DIR 07 08 11                    (`make class OUT=DIR ARGS=...`)
    python notebooks/release.py --out DIR 07 --due "2026-12-24 18:00" --points vae.elbo=6
    python notebooks/release.py --out DIR 07 --nbgrader               nbgrader's source format

In DIR are the notebooks, syllabus.md, class.json for the grader, and course/, which is installed
once for all (`pip install DIR/course`): without solutions, and with hints that end before the answer.
Run again, it renews what nobody has changed since, and with other notebooks it adds these.
"""

import argparse
import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import build
import jupytext
import nbformat

from dgmcourse.classroom.grade import Asked, asked_in, exercises, moment
from dgmcourse.weights import notebooks

ROOT = build.HERE.parent
UNSET = "the date is set in class"
CONFIG = """\
# How nbgrader grades this course: the judge of `python -m dgmcourse grade` in place of a kernel that
# runs whatever was handed in. Delete the line on preprocessors to have the notebooks executed.
from dgmcourse.classroom.nbgrader import STEPS

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "dgmcourse"
c.Autograde.autograde_preprocessors = STEPS
"""


# ---- the package without its solutions


def without_solutions(text: str) -> str:
    """A module of checks without the course's answers, what only they use, and the last hints."""
    tree, code = ast.parse(text), text.encode()
    begins = [0]
    for line in code.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))

    def place(node) -> tuple[int, int]:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        column = node.col_offset if first == node.lineno else 0
        return begins[first - 1] + column, begins[node.end_lineno - 1] + node.end_col_offset

    gone, cuts = set(), []
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        if getattr(call.func, "id", "") == "Exercise":
            given = {keyword.arg: keyword for keyword in call.keywords}
            gone.add(given["solution"].value.id)
            start, end = place(given["solution"])
            cuts.append((start, code.index(b",", end) + 1))
            if len(hints := given["hints"].value.elts) > 1:
                cuts.append((place(hints[-2])[1], place(hints[-1])[1]))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    while True:
        kept = [node for node in tree.body if getattr(node, "name", "") not in gone]
        uses = names(kept) - gone
        only = {
            n for f in gone & functions.keys() for n in names([functions[f]])
        } & functions.keys()
        if not (more := only - uses - gone):
            break
        gone |= more
    cuts += [place(functions[name]) for name in gone & functions.keys()]
    for start, end in sorted(cuts, reverse=True):
        code = code[:start] + code[end:]
    ast.parse(code)
    return code.decode()


def names(nodes) -> set[str]:
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}


def package() -> dict[str, bytes]:
    """The files of course/, by their paths."""
    files = {
        name: (ROOT / name).read_bytes() for name in ("pyproject.toml", "README.md", "LICENSE")
    }
    for path in sorted((ROOT / "dgmcourse").rglob("*")):
        name = path.relative_to(ROOT)
        if path.is_file() and "__pycache__" not in name.parts:
            content = path.read_bytes()
            if name.parent == Path("dgmcourse", "check") and not name.name.startswith("_"):
                content = without_solutions(content.decode()).encode()
            files[name.as_posix()] = content
    return {f"course/{name}": content for name, content in files.items()}


# ---- notebooks


def in_words(due: datetime | None) -> str:
    return f"{due:%A}, {due.day} {due:%B %Y, %H:%M} ({due:%Z})" if due else UNSET


def worth(asked: Asked) -> float:
    return asked.exercise.parts if asked.points is None else asked.points


def said(asked: Asked) -> str:
    """The line on an exercise's points."""
    parts = getattr(asked.exercise.judge, "names", ())
    n = f"{worth(asked):g} point{'s' * (worth(asked) != 1)}"
    each = f", in equal parts for {', '.join(parts)}" if len(parts) > 1 else ""
    return f"**{asked.name}: {n}{each}.**"


def student(name: str, asked: list[Asked], due: str) -> nbformat.NotebookNode:
    """A student's notebook as it is built, with the due date, the points, and checks not yet run."""
    nb = nbformat.read(build.HERE / f"{name}.ipynb", 4)
    marked(nb, asked, due)
    for cell in nb.cells:
        if "exercise-check" in cell.metadata.get("tags", []):
            cell.outputs, cell.execution_count = [], None
    return nb


def marked(nb: nbformat.NotebookNode, asked: list[Asked], due: str) -> None:
    """Write the due date and the points into the texts."""
    total = sum(map(worth, asked))
    nb.cells[0].source += f"\n\n**Due: {due}.** {total:g} points."
    before = None
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            before = cell
        elif one := exercise_of(cell, asked):
            before.source += f"\n\n{said(one)}"


def exercise_of(cell: nbformat.NotebookNode, asked: list[Asked]) -> Asked | None:
    """The exercise whose cell it is."""
    if "exercise" in cell.metadata.get("tags", []):
        return next(one for one in asked if f"def {one.name}(" in cell.source)


def nbgrader_source(name: str, asked: list[Asked], due: str) -> nbformat.NotebookNode:
    """The notebook as nbgrader's instructor has it: solutions between its marks, and after each
    exercise a cell that nbgrader gives points for.
    """
    source = build.HERE / "source" / f"{name}.py"
    nb = build.notebook(source, solved=False)
    whole = jupytext.read(source, fmt="py:percent").cells
    cells = []
    for cell, uncut in zip(nb.cells, whole, strict=True):
        cells.append(cell)
        if one := exercise_of(cell, asked):
            cell.source = without_blanks(uncut.source)
            cell.metadata["nbgrader"] = graded(one.name, solution=True)
            cells += [points_cell(one)]
    nb.cells = cells
    marked(nb, asked, due)
    return nb


def without_blanks(code: str) -> str:
    return "\n".join(line for line in code.split("\n") if not line.strip().startswith(build.BLANK))


def graded(grade_id: str, **more) -> dict:
    there = {"schema_version": 3, "grade": False, "solution": False, "locked": False, "task": False}
    return there | {"grade_id": grade_id} | more


def points_cell(one: Asked) -> nbformat.NotebookNode:
    """The autograder's cell: the last line's number is what nbgrader counts."""
    code = f"verdict = check.{one.name}.grade({one.name}, points={worth(one):g})"
    code += "  # on fresh numbers\nprint(verdict)\n"
    code += "assert verdict.points, verdict.sentence\nverdict.points"
    about = {"grade": True, "locked": True, "points": worth(one), "cell_type": "code"}
    cell = nbformat.v4.new_code_cell(code)
    cell.id = hashlib.sha256(f"points {one.module} {one.name}".encode()).hexdigest()[:12]
    cell.metadata = {"nbgrader": graded(f"{one.name}-points", **about)}
    return cell


# ---- the release


def alone(nb: nbformat.NotebookNode, there: set[str]) -> None:
    """Leave out what leads to the whole course: badges, the cell that installs it in Colab, and of
    links to what is not `there` all but their words.
    """

    def words(text: str) -> str:
        text = re.sub(r"^\[!\[.*\n*", "", text, flags=re.MULTILINE)
        link = r"(?<!!)\[([^\]]+)\]\((?!\w+:|#)([^)#\s]*)[^)\s]*\)"
        return re.sub(link, lambda found: found[found[2] not in there], text)

    nb.cells = [cell for cell in nb.cells if "colab" not in cell.metadata.get("tags", [])]
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = words(cell.source)
        for output in cell.get("outputs", []):
            if text := output.get("data", {}).get("text/markdown"):
                output.data["text/markdown"] = words(text)


def syllabus(wanted: dict[str, list[Asked]], due: dict[str, str]) -> str:
    rows = {row["notebook"]: row for row in notebooks()}
    lines = ["# Syllabus", "", "| Notebook | What | Minutes | Exercises | Points | Due |"]
    lines.append("| --- | --- | --: | --- | --: | --- |")
    for name, asked in wanted.items():
        row = rows[name]
        each = ", ".join(f"{one.name} ({worth(one):g})" for one in asked)
        link = f"[{build.number(name)} {row['title']}]({name}.ipynb)"
        total = f"{sum(map(worth, asked)):g}"
        lines.append(
            f"| {link} | {row['about']} | {row['minutes']} | {each} | {total} | {due[name]} |"
        )
    minutes = sum(rows[name]["minutes"] for name in wanted)
    total = sum(worth(one) for asked in wanted.values() for one in asked)
    lines.append(f"| together | | {minutes} | | {total:g} | |")
    return "\n".join(lines) + "\n"


def files(
    wanted: dict[str, list[Asked]], due: str, for_nbgrader: bool, given: Iterable[str] = ()
) -> dict[str, bytes]:
    """The files of a release, by their paths, but for the syllabus.

    Args:
        given: the notebooks that were given out before.
    """
    made = {} if for_nbgrader else package()
    there = set() if for_nbgrader else {f"{name}.ipynb" for name in [*given, *wanted]}
    for name, asked in wanted.items():
        nb = (nbgrader_source if for_nbgrader else student)(name, asked, due)
        alone(nb, there)
        path = f"source/{name}/{name}.ipynb" if for_nbgrader else f"{name}.ipynb"
        made[path] = nbformat.writes(nb).encode() + b"\n"
    if for_nbgrader:
        made["nbgrader_config.py"] = CONFIG.encode()
    return made


def card_of(out: Path) -> dict:
    """What was given out before: class.json, where there is one."""
    path = out / "class.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write(out: Path, made: dict[str, bytes], about: dict) -> list[str]:
    """Write the files, but for those that somebody has changed since, whose names are returned."""
    before, kept = card_of(out).get("files", {}), []
    packaged = any(name.startswith("course/") for name in made)
    for name, content in made.items():
        path = out / name
        if path.exists() and digest(path.read_bytes()) not in (before.get(name), digest(content)):
            kept.append(name)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        before[name] = digest(content)
    for name in before.keys() - made.keys():  # a notebook that is no longer asked for stays
        if packaged and name.startswith("course/"):
            if (out / name).exists() and digest((out / name).read_bytes()) != before[name]:
                kept.append(name)
                continue
            (out / name).unlink(missing_ok=True)
            del before[name]
    (out / "class.json").write_text(json.dumps(about | {"files": before}, indent=1) + "\n")
    return kept


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pair(text: str) -> tuple[str, float]:
    name, _, points = text.partition("=")
    if not re.fullmatch(r"\d+(\.\d+)?", points):
        raise argparse.ArgumentTypeError(f"{text!r}: say NAME=POINTS, as vae.kl=2")
    return name, float(points)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("which", nargs="+", help="beginnings of names, as 07")
    parser.add_argument("--out", required=True)
    parser.add_argument("--due", metavar="'2026-12-24 18:00'")
    parser.add_argument(
        "--points", type=pair, nargs="+", default=[], action="extend", metavar="vae.kl=2"
    )
    parser.add_argument("--nbgrader", action="store_true")
    options = parser.parse_intermixed_args(arguments)
    if not options.out:
        raise SystemExit('where to? make class OUT=DIR ARGS="07 08 11"')
    options.out = Path(options.out)
    try:
        due = moment(options.due) if options.due is not None else None
    except ValueError as error:
        raise SystemExit(f"--due: {error}") from None
    listed, points = exercises(), dict(options.points)
    chosen = {n: a for n, a in listed.items() if n.startswith(tuple(options.which))}
    known = {f"{one.module}.{one.name}" for asked in chosen.values() for one in asked}
    if missing := [w for w in options.which if not any(n.startswith(w) for n in chosen)]:
        quoted = " (a date with its time is quoted: --due '2026-12-24 18:00')" * bool(due)
        raise SystemExit(f"no notebook with exercises begins with {', '.join(missing)}{quoted}")
    if strange := points.keys() - known:
        raise SystemExit(f"no exercise here is {', '.join(strange)}: there are {', '.join(known)}")
    wanted = {
        name: [one._replace(points=points.get(f"{one.module}.{one.name}")) for one in asked]
        for name, asked in chosen.items()
    }
    before = card_of(options.out)
    if before and before.get("nbgrader", False) != options.nbgrader:
        other = "without" if options.nbgrader else "with"
        raise SystemExit(f"{options.out} was made {other} --nbgrader: take another folder")
    dues = before.get("due", {}) | dict.fromkeys(wanted, due and due.isoformat())
    valued = before.get("points", {}) | {
        name: {f"{one.module}.{one.name}": worth(one) for one in asked}
        for name, asked in wanted.items()
    }
    about = {"nbgrader": options.nbgrader, "due": dues, "points": dict(sorted(valued.items()))}
    made = files(wanted, in_words(due), options.nbgrader, valued)
    words = {name: in_words(at and moment(at)) for name, at in dues.items()}
    made["syllabus.md"] = syllabus(asked_in(about), words).encode()
    kept = write(options.out, made, about)
    print(f"{options.out}: {', '.join(wanted)}, {sum(map(len, wanted.values()))} exercises")
    if kept:
        print(f"left as they are, since somebody has changed them: {', '.join(kept)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
