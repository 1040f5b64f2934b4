"""The parts of the classroom: what of a notebook is run, what a release leaves out, what a submission
cannot do. The whole way is test_class.py's.
"""

import ast
import importlib.util
import inspect
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from dgmcourse.__main__ import main
from dgmcourse.check import Exercise, NotRight, Verdict, Wrong
from dgmcourse.check import vae as check
from dgmcourse.check._judge import Function, randn
from dgmcourse.classroom import feedback, grade, sandbox
from dgmcourse.classroom.cells import Notebook, code_cells, defined_late, source_of
from dgmcourse.classroom.channel import Gone, Reader, Writer
from dgmcourse.classroom.grade import (
    Asked,
    Grader,
    Handed,
    Journal,
    due_dates,
    exercises,
    handed_in,
    moment,
    plain,
    rows_of,
    summary,
    when,
)
from dgmcourse.classroom.remote import packed
from dgmcourse.weights import notebooks

NAMES = ["07_vae", "08_reparameterization"]
NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))
spec = importlib.util.spec_from_file_location("release", NOTEBOOKS / "release.py")
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)


# ---- a verdict for a grader


def right(mean, log_var):
    return 0.5 * (log_var.exp() + mean**2 - 1 - log_var).sum(-1)


def test_a_strict_check_raises_and_a_graded_one_has_points(capsys):
    verdict = check.kl.grade(right, points=3)
    assert verdict.passed and verdict.points == verdict.out_of == 3 and verdict.mistake == ""
    assert check.kl(right, strict=True) is right
    with pytest.raises(NotRight, match="square the mean") as raised:
        check.kl(lambda m, v: 0.5 * (v.exp() + m - 1 - v).sum(-1), strict=True)
    found = raised.value.verdict
    assert found.slip == "you forgot to square the mean" == found.mistake
    assert found.points == 0 and found.exercise == "kl" and "Stuck" not in found.sentence


def test_the_courses_own_functions_do_not_count():
    for own in (check.kl.solution, check.integrated_kl):
        assert check.kl.verdict(own)[0].passed
        assert "the course's own" in check.kl.grade(own).sentence
    going_on = check.kl.verdict(lambda *a: None)[1]
    assert not check.kl.grade(going_on).passed


def test_parts_that_are_right_have_points():
    def elbo(x, encoder, decoder):
        bound, reconstruction, regulariser = check.elbo.solution(x, encoder, decoder)
        return regulariser - reconstruction, reconstruction, regulariser

    assert check.elbo.grade(elbo).points == 2
    assert check.elbo.grade(elbo, points=6).points == 4
    assert check.elbo.grade(lambda *a: (0, 0)).points == 0


def test_numbers_are_fresh_and_what_was_learned_by_heart_is_wrong():
    known = [right(check.MEAN, check.LOG_VAR)]

    def by_heart(mean, log_var):
        if mean.shape == (7, 3) and torch.equal(mean, check.MEAN):
            return known[0] + 0 * right(mean, log_var)
        return 0 * mean.sum(-1)

    seen = []
    check.kl.grade(lambda m, v: seen.append(m) or right(m, v), seed=1)
    check.kl.grade(lambda m, v: seen.append(m) or right(m, v), seed=2)
    assert not torch.equal(seen[0], seen[len(seen) // 2])
    assert not check.kl.grade(by_heart).passed


def test_an_answer_cannot_change_the_truth():
    """What it is given is the judge's: a changed mean would be the truth's mean."""

    def elbo(x, encoder, decoder):
        encoder.mean = 0 * encoder.mean
        encoder.log_var = 0 * encoder.log_var
        return check.elbo.solution(x, encoder, decoder)

    assert not check.elbo.grade(elbo, seed=1).passed


@pytest.mark.parametrize("row", notebooks(), ids=lambda row: row["notebook"])
def test_the_solution_is_right_on_numbers_that_are_fresh(row):
    """Each seed asks about other numbers; a mask (10) is asked for by its size, and has none."""
    for asked in exercises().get(row["notebook"], ()):
        given = {11: [], 12: []}
        for seed, seen in given.items():

            def answer(*a, f=asked.exercise.solution, seen=seen):
                seen.append([x.tolist() for x in packed(a)[0]])
                return f(*a)

            verdict = asked.exercise.grade(answer, seed=seed)
            assert verdict.passed, verdict
        assert (given[11] != given[12]) == (asked.name != "mask"), asked.name


# ---- what of a notebook is run


CELLS = [
    "import math\nfrom time import sleep",
    "%matplotlib inline\nSCALE = 2\nsleep(1000)",
    "def helper(x):\n    return math.floor(x) * SCALE",
    "def f(x):\n    y = helper(x)\n    return y",
    "f = check.f(f)",
    "y = sleep(1000)",
    "f = 3\ndef broken(:",
]


def test_only_what_an_exercise_needs_is_run():
    space = {}
    assert Notebook(CELLS).define("f", space) == ""
    assert space["f"](2.5) == 4 and "y" not in space
    assert Notebook(CELLS).define("g", {}) == "missing"
    assert "SyntaxError" in Notebook(CELLS).define("broken", {})


def test_a_known_function_is_not_defined_again():
    space = {"helper": lambda x: -1}
    Notebook(CELLS).define("f", space, known=["helper"])
    assert space["f"](2.5) == -1


@pytest.mark.parametrize("text", ["", "[]", '{"cells": 3}', "{" * 100_000, '{"cells": [{}]}'])
def test_what_is_no_notebook_is_said_so(tmp_path, text):
    (tmp_path / "07_vae.ipynb").write_text(text)
    with pytest.raises(ValueError, match="no notebook"):
        code_cells(tmp_path / "07_vae.ipynb")


@pytest.mark.parametrize("row", notebooks(), ids=lambda row: row["notebook"])
def test_a_solution_goes_on_by_itself(row):
    """What is sent in place of a wrong answer needs nothing of dgmcourse.check."""
    for asked in exercises().get(row["notebook"], ()):
        source, space = source_of(asked.exercise.solution), {}
        assert "dgmcourse.check" not in source
        assert Notebook([source]).define(asked.exercise.solution.__name__, space) == ""


# ---- what a release leaves out


@pytest.mark.parametrize("path", sorted((NOTEBOOKS.parent / "dgmcourse/check").glob("[!_]*.py")))
def test_a_release_has_no_solution_and_no_last_hint(path):
    whole = path.read_text(encoding="utf-8")
    module = ast.parse(whole)
    there = {"__name__": f"dgmcourse.check.{path.stem}", "__file__": str(path)}
    exec(compile(release.without_solutions(whole), str(path), "exec"), there)
    own = [getattr(n.targets[0], "id", "") for n in module.body if isinstance(n, ast.Assign)]
    found = [there[n] for n in own if isinstance(there.get(n), Exercise)]
    assert found
    for exercise in found:
        given = getattr(importlib.import_module(f"dgmcourse.check.{path.stem}"), exercise.name)
        assert exercise.solution is None and exercise.hints == given.hints[:-1]
        assert given.solution.__name__ not in there
        verdict, going_on = exercise.verdict(lambda *a: None)
        assert verdict.kind == "blank" and "the course's own solution" not in verdict.text
        with pytest.raises(NotRight, match="go back to its exercise"):
            going_on()
        assert exercise.verdict(lambda *a, f=given.solution: f(*a))[0].passed


def test_a_release_renews_what_nobody_has_changed(tmp_path):
    one, two = {"a.md": b"1", "b.md": b"1"}, {"a.md": b"2", "b.md": b"2"}
    assert release.write(tmp_path, one, {"due": "now"}) == []
    (tmp_path / "a.md").write_bytes(b"mine")
    assert release.write(tmp_path, two, {"due": "now"}) == ["a.md"]
    assert (tmp_path / "a.md").read_bytes() == b"mine"
    assert (tmp_path / "b.md").read_bytes() == b"2"
    with pytest.raises(SystemExit, match="no notebook with exercises begins with 99"):
        release.main(["--out", str(tmp_path), "99"])
    with pytest.raises(SystemExit, match="no exercise here is vae.lk"):
        release.main(["--out", str(tmp_path), "07", "--points", "vae.lk=2"])
    with pytest.raises(SystemExit, match="where to"):
        release.main(["--out", "", "07"])


def test_a_release_has_all_points_that_were_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # `--out .` is a folder as any other
    monkeypatch.setattr(release, "files", lambda *a: {})
    release.main(
        ["--out", ".", "07", "--points", "vae.kl=2", "--points", "vae.elbo=6", "vae.sample=1"]
    )
    points = json.loads(Path("class.json").read_text())["points"]["07_vae"]
    assert points == {"vae.kl": 2, "vae.elbo": 6, "vae.sample": 1}
    for wrong in ("vae.kl", "vae.kl=two", "vae.kl=nan", "vae.kl=-1"):
        with pytest.raises(SystemExit):
            release.main(["--out", ".", "07", "--points", wrong])
        assert "say NAME=POINTS" in capsys.readouterr().err


def test_a_release_grows_and_is_not_mixed(tmp_path, monkeypatch):
    """The next week's notebook comes to those that are there, with a due date of its own."""
    monkeypatch.setattr(release, "package", lambda: {"course/a.py": b"1", "course/b.py": b"1"})
    out = ["--out", str(tmp_path / "out")]
    release.main(
        [*out, "08", "--due", "2026-12-24", "--points", "reparameterization.reparameterize=5"]
    )
    release.main([*out, "07", "--due", "2026-12-17"])
    card = json.loads((tmp_path / "out" / "class.json").read_text())
    assert list(card["points"]) == list(exercises(tmp_path / "out")) == NAMES
    assert card["points"][NAMES[1]]["reparameterization.reparameterize"] == 5
    assert [due_dates(tmp_path / "out")[name].day for name in NAMES] == [17, 24]
    syllabus = (tmp_path / "out" / "syllabus.md").read_text()
    assert (
        "17 December" in syllabus and "24 December" in syllabus and "reparameterize (5)" in syllabus
    )
    assert f"]({NAMES[1]}.ipynb" in (tmp_path / "out" / f"{NAMES[0]}.ipynb").read_text()
    with pytest.raises(SystemExit, match="was made without --nbgrader: take another folder"):
        release.main([*out, "07", "--nbgrader"])
    (tmp_path / "out" / "course" / "a.py").write_text("mine")
    assert release.write(tmp_path / "out", {"course/c.py": b"1"}, card) == ["course/a.py"]
    assert not (tmp_path / "out" / "course" / "b.py").exists()


def test_a_released_notebook_leads_nowhere_else():
    """A link to what is not in the release is its words, and nothing installs the whole course."""
    links, cell = re.compile(r"\]\(([\w./]+\.(?:ipynb|py|md))"), nbformat.v4.new_markdown_cell
    for for_nbgrader in (False, True):
        wanted = {name: list(exercises()[name]) for name in ("07_vae", "16_looking_back")}
        made = release.files(wanted, "now", for_nbgrader)
        for name in wanted:
            path = f"source/{name}/{name}.ipynb" if for_nbgrader else f"{name}.ipynb"
            text = made[path].decode()
            assert "colab" not in text
            assert set(links.findall(text)) <= (set() if for_nbgrader else set(made))
    text = "# A\n[![Launch](b.svg)](https://b)\n\n[07](07_vae.ipynb#kl), [08](08.ipynb), [p](https://p)"
    nb = nbformat.v4.new_notebook(cells=[cell(text)])
    release.alone(nb, {"07_vae.ipynb"})
    assert nb.cells[0].source == "# A\n[07](07_vae.ipynb#kl), 08, [p](https://p)"


@pytest.mark.parametrize("text", ["", "Friday", "24.12.2026 18 Uhr", "24.12.2026", "2026-24-12"])
def test_a_due_date_that_is_none_is_told_how_to_write_it(tmp_path, text):
    with pytest.raises(SystemExit, match=f"{re.escape(repr(text))} is no date.* 2026-12-24 18:00"):
        release.main(["--out", str(tmp_path / "out"), "07", "--due", text])
    assert not (tmp_path / "out").exists()


def test_a_due_date_that_is_not_quoted_is_told_so(tmp_path):
    words = ["--due", "2026-12-24", "18:00", "07"]
    with pytest.raises(SystemExit, match="begins with 18:00 .*quoted: --due '2026-12-24 18:00'"):
        release.main(["--out", str(tmp_path), *words])


def test_a_due_date_says_its_zone_and_a_day_has_all_its_hours():
    assert moment("2026-12-24 18:00+01:00").isoformat() == "2026-12-24T18:00:00+01:00"
    day = moment("2026-12-24")
    assert day == moment("2026-12-24 23:59") == moment("2026-12-24T23:59") and day.tzinfo
    assert release.in_words(moment("2026-12-04 09:05Z")) == "Friday, 4 December 2026, 09:05 (UTC)"
    assert release.in_words(None) == "the date is set in class"


# ---- the other process


def test_data_come_back_as_they_were_and_nothing_else():
    x = torch.arange(6.0).view(2, 3)
    values = [x, (1, "two", None, ...), [True, float("inf")], x.int().numpy(), x > 2]
    writer = Writer({})
    said = json.loads(json.dumps([writer.value(v) for v in values]))
    reader = Reader(bytes(writer.bytes), {})
    back = [reader.value(one) for one in said]
    assert torch.equal(back[0], x) and back[1:3] == values[1:3] and torch.equal(back[4], x > 2)
    assert (back[3] == values[3]).all()
    assert type(reader.value(Writer({}).value(socket))).__name__ == "module"
    with pytest.raises(ValueError, match="too few bytes"):
        Reader(b"", {}).value({"tensor": "float64", "shape": [10**9]})


@pytest.fixture(scope="module", params=sandbox.KINDS)
def grader(request):
    if sandbox.refused(request.param):
        pytest.skip(f"{request.param} is not here, or may not be used: docs/grading.md")
    one = Grader(request.param, seed=3, seconds=3)
    yield one
    one.close()


def one_cell(grader, body, name="welcome.log_bernoulli"):
    asked = Asked(*name.split("."))
    arguments = "x, logits" if asked.name == "log_bernoulli" else "*given"
    cell = f"import torch\ndef {asked.name}({arguments}):\n    {body}"
    return grader.grade([cell], [asked])[0]


RIGHT = "return (x * logits - torch.nn.functional.softplus(logits)).sum(-1)"


def test_gradients_pass_from_one_process_to_the_other(grader):
    assert one_cell(grader, RIGHT).passed
    found = one_cell(grader, RIGHT.replace("logits -", "logits.detach() -"))
    assert "with respect to logits is not" in found.sentence


@pytest.mark.parametrize(
    ("body", "said"),
    {
        "while True: pass": "ran longer",
        "import os, time; os.kill(os.getppid(), 9); time.sleep(9)": "ended its process|not filled in",
        "torch.Tensor = torch.is_grad_enabled = 'right'; return torch.zeros(5)": "log_bernoulli ",
        "import sys; sys.exit()": "ended its process",
        "return torch.zeros(10**9)": "allocate|more than can be sent",
        "return torch.zeros(4 * 10**7, dtype=torch.float64)": "more than can be sent",
        "print('much ' * 10**7)": "was not filled in",
        "import tempfile; tempfile.TemporaryFile().write(bytes(10**8))": "Error|ended its process",
        "from dgmcourse.check import welcome": "not there while an answer is judged",
        "raise KeyError('=1+1')": "KeyError",
        "logits.mul_(2); " + RIGHT: "changes logits in place",
        "return [None] * 3": "should be a tensor, it is list",
    }.items(),
)
def test_what_a_submission_does_costs_its_points_alone(grader, body, said):
    found = one_cell(grader, body)
    assert not found.passed and found.points == 0
    assert re.search(said, found.sentence), found.sentence
    assert one_cell(grader, RIGHT).passed  # the next one has nothing of it


def test_processes_that_a_submission_starts_end_with_it(grader):
    """At the latest when their seconds are over, where nothing ends them before."""
    body = "import os, time\n    for _ in range(30):\n        os.fork() or time.sleep(2) or os._exit(0)"
    assert one_cell(grader, f"{body}\n    {RIGHT}").passed
    assert one_cell(grader, RIGHT).passed


@pytest.mark.skipif(os.geteuid() == 0, reason="the kernel counts no processes of root")
def test_a_fork_bomb_has_sixty_four_processes(grader):
    body = "import os, time\n    for _ in range(99):\n        os.fork() or time.sleep(2) or os._exit(0)"
    assert "BlockingIOError" in one_cell(grader, body).sentence
    assert one_cell(grader, RIGHT).passed


BOTH = ("bwrap", "unshare")  # hold it back; docs/grading.md has this table
ATTACKS = {  # what is tried, by which code, and who holds it back
    "the network": ("import socket; socket.create_connection(('127.0.0.1', {port}), 2)", BOTH),
    "another process": ("import os; os.kill({pid}, 0)", BOTH),
    "a process left behind": (
        "import os; os.posix_spawn('/bin/sleep', ['sleep', '{mark}'], {})",
        BOTH,
    ),
    "the answers": ("assert '_kl' in open({package!r} + '/check/vae.py').read()", BOTH[:1]),
    "a file to read": ("assert open({mine!r}).read()", BOTH[:1]),
    "a file to write": ("open({mine!r}, 'a').write('me, too')", BOTH[:1]),
}


@pytest.mark.parametrize("what", ATTACKS)
def test_each_sandbox_holds_back_what_the_guide_says_and_nothing_more(grader, what, tmp_path):
    attack, held_by = ATTACKS[what]
    (mine := tmp_path / "mine").write_text("mine")
    mark = f"{9000 + os.getpid() / 1e6:.6f}"  # seconds of a sleep that is known by them
    about = {"mine": str(mine), "pid": os.getpid(), "package": str(sandbox.PACKAGE), "mark": mark}
    with socket.create_server(("127.0.0.1", 0)) as server:
        about["port"] = server.getsockname()[1]
        for name, value in about.items():
            attack = attack.replace(f"{{{name}}}", str(value)).replace(f"{{{name}!r}}", repr(value))
        found = one_cell(grader, f"{attack}\n    {RIGHT}")  # right, if the attack succeeds
    left = subprocess.run(["pgrep", "-f", mark], capture_output=True, text=True).stdout.split()
    for pid in left:
        os.kill(int(pid), 9)
    went = bool(left) if "behind" in what else found.passed
    assert went == (grader.kind not in held_by), found
    assert (mine.read_text() != "mine") == (went and "write" in what)


def test_games_and_networks_can_be_judged_there(grader):
    for name in ("gan.alternate", "wgan.critic_objective", "wgan.clip_weights"):
        asked = Asked(*name.split("."))
        source = source_of(asked.exercise.solution)
        cell = f"{source}\n{asked.name} = {asked.exercise.solution.__name__}"
        found = grader.grade([cell], [asked])[0]
        assert found.passed, found


@pytest.fixture(scope="module")
def best():
    one = Grader(sandbox.best(), seed=5)
    yield one
    one.close()


@pytest.mark.parametrize("notebook", exercises())
def test_what_is_right_in_the_notebook_is_right_there(best, notebook):
    """Of the right answers of the check's own tests, all but one that asks dgmcourse.check."""
    asked = exercises()[notebook]
    tests = importlib.import_module(f"test_check_{asked[0].module}")
    for one in asked:
        right = tests.RIGHT[one.name]
        for i, function in enumerate(right if isinstance(right, list) else [right]):
            if "check" not in function.__code__.co_names:
                which = f"[{i}]" * isinstance(right, list)
                cell = f"{inspect.getsource(tests)}\n{one.name} = RIGHT[{one.name!r}]{which}"
                assert best.grade([cell], [one])[0].passed, (one.name, i)


# ---- what is kept, and said


def test_what_was_handed_in_is_found(tmp_path):
    for name in ("ada/07_vae.ipynb", "ben/sub/my 07_vae (1).ipynb", "cem_07_vae.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "ada" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "ada" / ".ipynb_checkpoints" / "07_vae.ipynb").write_text("{}")
    found = handed_in(tmp_path, exercises())
    assert [one.student for one in found] == ["ada", "ben", "cem"]
    with pytest.raises(ValueError, match="no notebook"):
        handed_in(tmp_path / "none", exercises())


def hand_in(folder, *names):
    """Empty notebooks, each newer than the one before."""
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"cells": []}')
        os.utime(folder / name, (1e9 + i, 1e9 + i))


WANTED = {"07_vae": (Asked("vae", "kl", 2.0), Asked("vae", "sample"))}


def test_what_is_not_graded_is_named(tmp_path, monkeypatch):
    hand_in(
        tmp_path, "ada/07_vae.ipynb", "ada/07_vae (1).ipynb", "ben/vae.ipynb", "cem_07_vae.ipynb"
    )
    (tmp_path / "dan").mkdir()
    monkeypatch.setattr(grade, "exercises", lambda release: WANTED)
    there = handed_in(tmp_path, WANTED)
    assert [one.path.name for one in there] == ["07_vae (1).ipynb", "cem_07_vae.ipynb"]
    assert sorted(grade.overlooked(tmp_path)) == [
        "ada/07_vae.ipynb is not graded: the same student's other copy is newer.",
        "ben has handed in no notebook that is graded.",
        "ben/vae.ipynb is not graded: its name has none of these in it: 07_vae.",
        "dan has handed in no notebook that is graded.",
    ]
    rows = grade.absent(tmp_path, there)
    assert {row["sentence"] for row in rows} == {"nothing handed in"}
    found = [(row["student"], row["exercise"], row["points"], row["out_of"]) for row in rows]
    assert found == [
        (student, *rest) for student in ("ben", "dan") for rest in (("kl", 0, 2), ("sample", 0, 1))
    ]


def test_what_some_have_not_handed_in_is_0_points_and_what_nobody_has_is_not_asked(tmp_path):
    wanted = WANTED | {"00_welcome": (Asked("welcome", "log_bernoulli"),)}
    wanted["04_gan"] = (Asked("gan", "alternate"),)
    hand_in(tmp_path, "ada/07_vae.ipynb", "ben/00_welcome.ipynb")
    rows = grade.absent(tmp_path, handed_in(tmp_path, wanted))
    found = {(row["student"], row["notebook"]) for row in rows}
    assert found == {("ada", "00_welcome"), ("ben", "07_vae")}


def test_each_student_is_given_back_points_and_sentences(tmp_path):
    line = {"notebook": "07_vae", "verdict": "fail", "out_of": 3.0, "minutes_late": ""}
    ada = {"student": "ada", "exercise": "elbo", "points": 1.0, "sentence": "E[x] < 3 & more"}
    rows = [line | ada, line | ada | {"exercise": "kl", "points": 2.5, "verdict": "pass"}]
    rows += [line | ada | {"notebook": "04_gan", "minutes_late": 7}]
    rows += [line | ada | {"student": "ben"}, line | ada | {"student": "cem", "points": ""}]
    rows[-1] |= {"verdict": "error", "out_of": ""}
    feedback.write(tmp_path, rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ada.html", "ben.html", "cem.html"]
    text = (tmp_path / "ada.html").read_text()
    for part in ("ada: 4.5 of 9 points", "07_vae: 3.5 of 6 points", "04_gan: 1 of 3 points"):
        assert part in text
    assert "<td>kl</td><td>2.5 of 3 points</td><td>right</td>" in text
    assert "E[x] &lt; 3 &amp; more" in text and text.count("7 minutes late") == 1
    assert "not graded yet" in (tmp_path / "cem.html").read_text()
    assert feedback.totals(rows).decode().splitlines() == [
        "student,04_gan,07_vae,points,out_of",
        "ada,1.0,3.5,4.5,9.0",
        "ben,,1.0,1.0,3.0",
        "cem,,,,",
    ]


def test_grade_says_what_it_has_written(tmp_path, monkeypatch, capsys):
    hand_in(tmp_path, "in/ada/07_vae.ipynb", "in/ada/notes.ipynb")
    monkeypatch.chdir(tmp_path)
    row = {"student": "ada", "notebook": "07_vae", "exercise": "kl", "points": 0, "out_of": 1}
    rows = [row | {"verdict": "blank", "sentence": "", "mistake": ""}]
    monkeypatch.setattr(grade, "grade", lambda *args, **more: rows)
    command = ["grade", "in", "--feedback", "feedback", "--sandbox", "none", "--out", "g.csv"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "ada/notes.ipynb is not graded" in said
    assert "The table is g.csv, the sums of each student are in g.totals.csv." in said
    assert "kl" in (tmp_path / "feedback" / "ada.html").read_text()


def test_what_is_defined_below_its_check_is_said_so(grader):
    blank = "import torch\ndef log_bernoulli(x, logits):\n    ..."
    check_cell = "log_bernoulli = check.log_bernoulli(log_bernoulli)"
    right = f"def log_bernoulli(x, logits):\n    {RIGHT}"
    asked = [Asked("welcome", "log_bernoulli")]
    below = grader.grade([blank, check_cell, right], asked)[0]
    assert below.kind == "blank" and below.points == 0
    assert below.sentence == "log_bernoulli is defined only after its check: move it above."
    assert grader.grade([blank, right, check_cell], asked)[0].passed
    said = grader.grade([blank, check_cell], asked)[0].sentence
    assert said == "log_bernoulli was not filled in."
    assert grader.grade([check_cell], asked)[0].sentence == "log_bernoulli is not in the notebook."


@pytest.mark.parametrize("row", notebooks(), ids=lambda row: row["notebook"])
def test_no_notebook_defines_an_exercise_below_its_check(row):
    cells = code_cells(NOTEBOOKS / "solutions" / f"{row['notebook']}.ipynb")
    for asked in exercises().get(row["notebook"], ()):
        assert not defined_late(cells, asked.name)


@pytest.mark.parametrize(
    ("stamp", "late"),
    {
        None: 90,  # the file's own time
        "2026-12-24 18:00:00.5 Europe/Berlin": 1,
        "2026-12-24 17:00:00.000000 UTC": 0,
        "2026-12-24 17:20:01": 21,
        "yesterday": 90,
        "2026-12-24 17:00 Mars/Base": 90,
        "0001-01-01 00:00:00 Asia/Tokyo": 90,
        "2026-12-24 17:00 UTC and more": 0,
    }.items(),
)
def test_late_is_said_in_minutes(tmp_path, stamp, late):
    path, due = tmp_path / "07_vae.ipynb", moment("2026-12-24 18:00+01:00")
    path.write_text("{}")
    os.utime(path, (due.timestamp() + 90 * 60,) * 2)
    if stamp:
        (tmp_path / "timestamp.txt").write_text(stamp)
    one = Handed("ada", "07_vae", path, ())
    assert when(one, due)["minutes_late"] == late
    assert when(one, None)["minutes_late"] == ""
    assert moment(when(one, due)["handed_in"]) >= moment("2026-12-24 17:00Z")


def test_what_is_no_file_is_never_opened(tmp_path):
    """A link to another's work, a folder, a pipe nobody writes to: each costs its own points."""
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "07_vae.ipynb").write_text('{"cells": []}')
    for name, target in (("ben", "../ada/07_vae.ipynb"), ("cem", "/none"), ("dan", "/dev/zero")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "07_vae.ipynb").symlink_to(target)
    (tmp_path / "eva" / "07_vae.ipynb").mkdir(parents=True)
    (tmp_path / "fay").mkdir()
    os.mkfifo(tmp_path / "fay" / "07_vae.ipynb")
    os.mkfifo(tmp_path / "fay" / "timestamp.txt")
    found = handed_in(tmp_path, exercises())
    assert [one.student for one in found] == ["ada", "ben", "cem", "dan", "eva", "fay"]
    for one in found[1:]:
        assert one.digest and when(one, None)["handed_in"]
        rows = rows_of(Grader("none", 0), one)  # which starts no process
        assert len(rows) == 3 and all("07_vae.ipynb is no file" in r["sentence"] for r in rows)


def test_a_table_holds_no_formula_and_a_journal_goes_on(tmp_path):
    assert plain("=SUM(A1)\nx") == "'=SUM(A1) x"
    journal = Journal(tmp_path / "j", False, None)
    journal.add("a", [{"x": 1}])
    journal.file.write('{"digest": "b", "ro')
    journal.file.close()
    again = Journal(tmp_path / "j", False, None)
    assert again.seed == journal.seed and again.done == {"a": [{"x": 1}]}
    assert Journal(tmp_path / "j", False, journal.seed + 1).done == {}


def test_the_most_frequent_mistakes_come_first():
    row = {"notebook": "07_vae", "exercise": "kl", "verdict": "fail"}
    mistakes = ["you averaged the KL"] * 3 + ["its sign"]
    rows = [row | {"mistake": m} for m in mistakes] + [row | {"verdict": "pass", "mistake": ""}]
    rows[0] |= {"student": "ada", "minutes_late": 7}
    rows[1] |= {"student": "ada", "minutes_late": 7}
    assert list(summary(rows)) == [
        "07_vae kl: 1 of 5 right, 0 not done",
        "  3 of 5: you averaged the KL",
        "  1 of 5: its sign",
        "07_vae: 1 handed in late",
    ]
    said = Verdict("fail", "", sentence="07_vae.ipynb is no notebook: 3 cells, -0.5 nats").mistake
    assert said == "07_vae.ipynb is no notebook: # cells, # nats"
    assert "(# stands for a number.)" in summary([*rows, row | {"mistake": said}])


def test_a_judge_is_not_stopped_by_what_is_gone():
    """`Gone` passes all that a judge catches of a student's errors."""
    judge = Function("y", lambda x: x, cases=[(randn(0, (3,))[0],)])

    def gone(x):
        raise Gone("ended its process")

    with pytest.raises(Gone):
        Exercise("y", None, judge, []).grade(gone)
    assert issubclass(Wrong, Exception) and not issubclass(Gone, Exception)
