"""The whole way of a class: released, worked, collected, graded by both graders, feedback read.

With a few students; `CLASS=20 .venv/bin/python -m pytest tests/test_class.py` has all. The half with nbgrader
needs it installed, beside the course and in an environment of its own: DGMCOURSE_NBGRADER=/its/bin.
"""

import csv
import html
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from students import FEW, STUDENTS, answers_of, fill, work

from dgmcourse.classroom import sandbox
from dgmcourse.classroom.grade import Handed, exercises, moment, when

ROOT = Path(__file__).resolve().parents[1]
DUE = "2026-12-24 18:00"
LATE = {"ben": 5, "jan": 90}  # minutes
CLASS = list(STUDENTS) if os.environ.get("CLASS") == "20" else list(FEW)
NBGRADER = os.environ.get("DGMCOURSE_NBGRADER") or os.path.dirname(shutil.which("nbgrader") or "")
WITHOUT = "nbgrader is not installed: see docs/grading.md, DGMCOURSE_NBGRADER=/its/environment/bin"


KINDS = {"right": "pass", "wrong": "fail", "blank": "blank"}


def run(*command, cwd, **more):
    env = os.environ | {"PYTHONPATH": str(ROOT)} | more
    ran = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


def release(out, arguments):
    """As the guide says it, in this environment."""
    python = [f"RUN={sys.executable}", "--old-file=setup", "--silent"]
    run("make", "class", f"OUT={out}", f"ARGS={arguments}", *python, cwd=ROOT)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The folder of a class, and {(student, exercise): row} of our own grader."""
    if sandbox.best() == "none":
        pytest.skip(sandbox.named("none"))
    folder = tmp_path_factory.mktemp("a class")
    release(folder / "release", f"07 --due '{DUE}'")
    for student in CLASS:
        work(folder / "release" / "07_vae.ipynb", folder / "in" / student / "07_vae.ipynb", student)
        at = moment(DUE).timestamp() + 60 * LATE.get(student, -60)
        os.utime(folder / "in" / student / "07_vae.ipynb", (at, at))
    out = folder / "grades.csv"
    grade = [sys.executable, "-m", "dgmcourse", "grade", folder / "in", "--out", out]
    more = ["--release", folder / "release", "--seconds", "5"]
    said = run(*grade, *more, cwd=folder)
    rows = list(csv.DictReader(out.open()))
    return folder, {(row["student"], row["exercise"]): row for row in rows}, said, [*grade, *more]


def test_class_gets_what_each_student_deserves(graded):
    _, rows, said, _ = graded
    assert len(rows) == 3 * len(CLASS)
    for student in CLASS:
        for name in ("kl", "elbo", "sample"):
            _, verdict, phrase = STUDENTS[student].get(
                name, ("", "blank", f"{name} was not filled in")
            )
            row = rows[student, name]
            assert row["verdict"] == verdict and phrase in row["sentence"], row
            assert (float(row["points"]) == float(row["out_of"])) == (verdict == "pass")
            assert int(row["minutes_late"]) == LATE.get(student, 0)
    assert "07_vae: 2 handed in late" in said
    n = sum(student in ("ben", "oda") for student in CLASS)
    assert f"{n} of {len(CLASS)}: it is #/# of what it should be: a mean" in said
    assert float(rows["jan", "elbo"]["points"]) == 1  # the regulariser alone is right


def test_class_is_not_graded_twice(graded):
    folder, rows, said, command = graded
    before = (folder / "grades.csv").read_bytes()
    journal = folder / "grades.journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]) + lines[-1][:40])  # killed while it wrote the last
    again = run(*command, cwd=folder)
    assert f"{len(CLASS) - 1} of {len(CLASS)} notebooks" in again
    assert (folder / "grades.csv").read_bytes() == before
    assert again.splitlines()[-6:] == said.splitlines()[-6:]


def nbgrader(folder, *command):
    path = f"{NBGRADER}{os.pathsep}{os.environ['PATH']}"
    run(f"{NBGRADER}/nbgrader", *command, cwd=folder, PATH=path)


def outputs(path):
    """{exercise: points, and the words} of a notebook that nbgrader has graded."""
    found = {}
    for cell in json.loads(path.read_text())["cells"]:
        name, _, points = cell["metadata"].get("nbgrader", {}).get("grade_id", "").partition("-")
        if points:
            *text, last = cell["outputs"]
            number = float("".join(last["data"]["text/plain"])) if "data" in last else 0.0
            found[name] = number, "".join(text[0]["text"]) if text else last["evalue"]
    return found


@pytest.fixture(scope="module")
def by_nbgrader(graded):
    if not NBGRADER:
        pytest.skip(WITHOUT)
    folder = graded[0] / "nbgrader"
    release(folder, f"07 --due '{DUE}' --nbgrader")

    nbgrader(folder, "generate_assignment", "07_vae", "--create")
    nbgrader(folder, "db", "assignment", "add", "07_vae", "--duedate", f"{DUE} UTC")
    released = folder / "release" / "07_vae" / "07_vae.ipynb"
    for student in CLASS:
        into = folder / "submitted" / student / "07_vae"
        work(released, into / "07_vae.ipynb", student)
        at = datetime.fromisoformat(f"{DUE}Z") + timedelta(minutes=LATE.get(student, -60))
        (into / "timestamp.txt").write_text(f"{at:%Y-%m-%d %H:%M:%S.%f} UTC")  # as nbgrader's is
    nbgrader(folder, "autograde", "07_vae")
    nbgrader(folder, "generate_feedback", "07_vae")
    nbgrader(folder, "export", "--to", "grades.csv")
    return folder, released


@pytest.mark.skipif(not NBGRADER, reason=WITHOUT)
@pytest.mark.timeout(3000)
def test_class_gets_the_same_from_nbgrader(graded, by_nbgrader):
    folder, released = by_nbgrader
    text = released.read_text()
    assert "SOLUTION" not in text and "torch.exp(log_var) + mean**2 - 1" not in text
    rows, mine = {}, graded[1]
    for row in csv.DictReader((folder / "grades.csv").open()):
        rows[row["student_id"]] = float(row["score"])
        handed, due = (datetime.fromisoformat(row[at]) for at in ("timestamp", "duedate"))
        late = max(timedelta(), handed - due)
        assert late == timedelta(minutes=LATE.get(row["student_id"], 0)), row
        path = folder / "submitted" / row["student_id"] / "07_vae" / "07_vae.ipynb"
        ours = when(Handed("", "", path, ()), moment(f"{DUE}Z"))
        assert late == timedelta(minutes=ours["minutes_late"])
    for student in CLASS:
        total = sum(float(mine[student, name]["points"]) for name in ("kl", "elbo", "sample"))
        assert rows[student] == pytest.approx(total), student
        given = outputs(folder / "autograded" / student / "07_vae" / "07_vae.ipynb")
        for name in ("kl", "elbo", "sample"):
            assert given[name][0] == float(mine[student, name]["points"]), (student, name)
        page = folder / "feedback" / student / "07_vae" / "07_vae.html"
        shown = html.unescape(page.read_text())
        for name in ("kl", "elbo", "sample"):
            _, verdict, phrase = STUDENTS[student].get(
                name, ("", "blank", f"{name} was not filled in")
            )
            assert phrase in shown, (student, name)


WITHOUT_A_SANDBOX = """
from nbformat.v4 import new_notebook
from dgmcourse.classroom import nbgrader, sandbox

sandbox.best = lambda: "none"
nbgrader.Judge().preprocess(new_notebook(), {"nbgrader": {"notebook": "99_of_the_lecturers"}})
try:
    nbgrader.grader()
except OSError as error:
    print(error)
print(nbgrader.grader("none").kind)
"""


@pytest.mark.skipif(not NBGRADER, reason=WITHOUT)
def test_class_is_not_run_by_nbgrader_where_no_sandbox_works(tmp_path):
    said = run(f"{NBGRADER}/python", "-c", WITHOUT_A_SANDBOX, cwd=tmp_path).splitlines()
    assert "a submission can do all that you can" in said[0] and "c.Judge.sandbox" in said[0]
    assert said[-1] == "none"


# ---- every notebook: the check in it, the grader and nbgrader say the same of each exercise


@pytest.fixture(scope="module")
def every_notebook(tmp_path_factory):
    """The folder of a class that was given all notebooks, and {(student, notebook, exercise): row}."""
    if os.environ.get("CLASS") != "20":
        pytest.skip("CLASS=20 grades every notebook, which takes minutes")
    if sandbox.best() == "none":
        pytest.skip(sandbox.named("none"))
    folder = tmp_path_factory.mktemp("all")
    release(folder / "release", "0 1")
    for notebook, asked in exercises().items():
        path = folder / "release" / f"{notebook}.ipynb"
        for kind in KINDS:
            fill(path, folder / "in" / kind / path.name, answers_of(kind, asked))
    grade = [sys.executable, "-m", "dgmcourse", "grade", "in", "--release", "release"]
    run(*grade, cwd=folder)
    rows = list(csv.DictReader((folder / "grades.csv").open()))
    return folder, {(row["student"], row["notebook"], row["exercise"]): row for row in rows}


@pytest.mark.timeout(3000)
def test_class_hears_from_the_grader_what_the_check_says(every_notebook):
    _, rows = every_notebook
    assert len(rows) == len(KINDS) * sum(map(len, exercises().values()))
    for notebook, asked in exercises().items():
        for kind, said in KINDS.items():
            answers = answers_of(kind, asked)
            for one in asked:
                space = {one.name: lambda *a: ...}
                exec(answers.get(one.name, ""), space)
                here, row = one.exercise.verdict(space[one.name])[0], rows[kind, notebook, one.name]
                assert here.kind == row["verdict"] == said, (kind, notebook, here, row)
                assert (float(row["points"]) == float(row["out_of"])) == (said == "pass"), row


@pytest.mark.skipif(not NBGRADER, reason=WITHOUT)
@pytest.mark.timeout(3000)
def test_class_hears_the_same_from_nbgrader_on_every_notebook(every_notebook):
    folder, rows = every_notebook
    course = folder / "nbgrader"
    release(course, "0 1 --nbgrader")
    (course / "source" / "course").mkdir()
    for path in course.glob("source/*/*.ipynb"):  # one assignment of all of them
        path.rename(course / "source" / "course" / path.name)
    nbgrader(course, "generate_assignment", "course", "--create")
    for notebook, asked in exercises().items():
        path = course / "release" / "course" / f"{notebook}.ipynb"
        for kind in KINDS:
            into = course / "submitted" / kind / "course" / path.name
            fill(path, into, answers_of(kind, asked))
    nbgrader(course, "autograde", "course")
    for notebook, asked in exercises().items():
        for kind in KINDS:
            given = outputs(course / "autograded" / kind / "course" / f"{notebook}.ipynb")
            assert given.keys() == {one.name for one in asked}
            for name, (points, text) in given.items():
                row = rows[kind, notebook, name]
                assert points == float(row["points"]), (row, text)
                words = {"pass": "Right: ", "fail": "Not yet right: ", "blank": "Not done yet: "}
                assert text.startswith(words[row["verdict"]]), (row, text)
