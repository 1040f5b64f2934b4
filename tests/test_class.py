"""The whole way of a class: released, worked, collected, graded by both graders, feedback read.

With a few students; `CLASS=20 make test ARGS="-k test_class"` has all twenty. The half with nbgrader
needs it installed, beside the course and in an environment of its own: DGMCOURSE_NBGRADER=/its/bin.
"""

import csv
import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from students import FEW, STUDENTS, work

from dgmcourse.classroom import sandbox

ROOT = Path(__file__).resolve().parents[1]
CLASS = list(STUDENTS) if os.environ.get("CLASS") == "20" else list(FEW)
NBGRADER = os.environ.get("DGMCOURSE_NBGRADER") or os.path.dirname(shutil.which("nbgrader") or "")
WITHOUT = "nbgrader is not installed: see docs/grading.md, DGMCOURSE_NBGRADER=/its/environment/bin"


def run(*command, cwd, **more):
    env = os.environ | {"PYTHONPATH": str(ROOT)} | more
    ran = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


def release(out, *more):
    run(
        sys.executable, ROOT / "notebooks" / "release.py", "--out", out, "07", *more, cwd=out.parent
    )


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The folder of a class, and {(student, exercise): row} of our own grader."""
    if sandbox.best() == "none":
        pytest.skip(sandbox.named("none"))
    folder = tmp_path_factory.mktemp("class")
    release(folder / "release")
    for student in CLASS:
        work(folder / "release" / "07_vae.ipynb", folder / "in" / student / "07_vae.ipynb", student)
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


@pytest.fixture(scope="module")
def by_nbgrader(graded):
    if not NBGRADER:
        pytest.skip(WITHOUT)
    folder = graded[0] / "nbgrader"
    release(folder, "--nbgrader")

    def nbgrader(*command):
        path = f"{NBGRADER}{os.pathsep}{os.environ['PATH']}"
        run(f"{NBGRADER}/nbgrader", *command, cwd=folder, PATH=path)

    nbgrader("generate_assignment", "07_vae", "--create")
    released = folder / "release" / "07_vae" / "07_vae.ipynb"
    for student in CLASS:
        work(released, folder / "submitted" / student / "07_vae" / "07_vae.ipynb", student)
    nbgrader("autograde", "07_vae")
    nbgrader("generate_feedback", "07_vae")
    nbgrader("export", "--to", "grades.csv")
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
    for student in CLASS:
        total = sum(float(mine[student, name]["points"]) for name in ("kl", "elbo", "sample"))
        assert rows[student] == pytest.approx(total), student
        nb = json.loads((folder / "autograded" / student / "07_vae" / "07_vae.ipynb").read_text())
        given = {c["metadata"].get("nbgrader", {}).get("grade_id"): c for c in nb["cells"]}
        for name in ("kl", "elbo", "sample"):
            last = given[f"{name}-points"]["outputs"][-1]
            points = float("".join(last["data"]["text/plain"])) if "data" in last else 0.0
            assert points == float(mine[student, name]["points"]), (student, name)
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
