"""Sheets for paper: they have what the notebooks have, and no answer where none belongs."""

import importlib.util
import re
import shutil
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "notebooks" / "source").glob("*.py"))
EXAMS = sorted(path.stem for path in (ROOT / "sheets" / "exam").glob("*.md"))
ASKED = [(path.stem, path) for path in SOURCES if path.stem[:2] not in ("00", "16")]


def module(name):
    spec = importlib.util.spec_from_file_location(f"sheets_{name}", ROOT / "sheets" / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


build = module("build")


# ---- exercises


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_sheet_has_each_exercise_and_its_text_and_the_solution_only_when_asked(source):
    cells = jupytext.read(source, fmt="py:percent").cells
    exercises = [cell for cell in cells if "exercise" in cell.metadata.get("tags", [])]
    asked, answered = (
        [item for item in build.exercises(source, solved) if item.code] for solved in (False, True)
    )
    assert len(asked) == len(answered) == len(exercises) > 0
    for blank, full, cell in zip(asked, answered, exercises, strict=True):
        assert "xercise" in blank.text and blank.text == full.text and "](" not in blank.text
        between = r"### BEGIN SOLUTION\n(.*?)\n *### END SOLUTION"
        for solution in re.findall(between, cell.source, flags=re.S):
            solution = re.sub(r"^ *### BLANK:.*\n?", "", solution, flags=re.M)
            assert solution in full.code and solution not in blank.code
        assert not blank.answer and full.answer.count("\n- ") >= 3  # what usually goes wrong
        assert "SOLUTION" not in full.code + blank.code and blank.lines >= 3


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_sheet_has_each_closing_question_with_its_answer(source):
    text = source.read_text(encoding="utf-8")
    closing = [item for item in build.exercises(source, False) if not item.code]
    at = text.find("# ## Questions")
    wanted = text[at : text.find("# %%", at)].count("<summary>") if at >= 0 else 0
    assert len(closing) == wanted
    assert all(len(item.answer) > 20 and "details" not in item.answer for item in closing)


@pytest.mark.skipif(
    shutil.which("npm") is None, reason="the sheets' browser test makes one with a Node of its own"
)
def test_no_answer_stands_on_a_sheet_without_answers():
    made = build.sheets(SOURCES[8], build.npm_installed())
    name = SOURCES[8].stem
    assert list(made) == [
        f"{name}-{kind}{ending}" for ending in ("", "-answers") for kind in ("exercises", "exam")
    ]
    for kind in ("exercises", "exam"):
        assert 'class="answer"' not in made[f"{name}-{kind}"]
        assert 'class="lines"' in made[f"{name}-{kind}"]
        assert 'class="answer"' in made[f"{name}-{kind}-answers"]
        assert 'class="lines"' not in made[f"{name}-{kind}-answers"]
    assert not re.search(r"(?:src|href)=\"http", "".join(made.values()))  # it needs nothing else


# ---- an exam's questions


def test_each_notebook_from_01_to_15_has_five_questions_at_least():
    assert EXAMS == sorted(name for name, _ in ASKED)
    assert all(len(build.exam(name)) >= 5 for name in EXAMS)


@pytest.mark.parametrize(
    ("asked", "answered", "fault"),
    [
        ("## A\n\nx\n", "## A\n\ny\n", "'## A' has no points"),
        ("## A (2 points)\n\nx\n", "## B\n\ny\n", "no answer to 'A'"),
        ("## A (2 points)\n\nx\n", "## A\n\ny\n\n## B\n\nz\n", "nobody asked ## B"),
    ],
)
def test_questions_and_answers_that_do_not_fit_are_refused(
    tmp_path, monkeypatch, asked, answered, fault
):
    (tmp_path / "exam" / "answers").mkdir(parents=True)
    (tmp_path / "exam" / "07_vae.md").write_text(asked)
    (tmp_path / "exam" / "answers" / "07_vae.md").write_text(answered)
    monkeypatch.setattr(build, "HERE", tmp_path)
    with pytest.raises(SystemExit, match=re.escape(fault)):
        build.exam("07_vae")
