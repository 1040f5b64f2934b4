"""What the guides for lecturers say: each mistake is one that a judge names, each command is there."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from dgmcourse.__main__ import VERBS

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "docs" / name for name in ("teaching.md", "hub.md", "grading.md", "gpu.md")]
TEXT = GUIDES[0].read_text(encoding="utf-8")
NOTEBOOKS = json.loads((ROOT / "dgmcourse" / "weights" / "notebooks.json").read_text())
ROWS = re.findall(r"^\| (\d\d[a-z]?) `(\w+)` \| “(.+?)” \|", TEXT, flags=re.M)


def exercise(number, name):
    """The exercise of this name in the notebook of this number."""
    (source,) = (ROOT / "notebooks" / "source").glob(f"{number}_*.py")
    module = re.search(r"from dgmcourse.check import (\w+) as check", source.read_text("utf-8"))[1]
    return getattr(import_module(f"dgmcourse.check.{module}"), name)


@pytest.mark.parametrize(("number", "name", "quoted"), ROWS)
def test_a_mistake_is_quoted_as_its_judge_names_it(number, name, quoted):
    messages = [slip.message for slip in exercise(number, name).judge.slips]
    assert any(quoted.replace("\\|", "|") in message for message in messages), messages


def test_the_table_of_mistakes_is_read():
    assert len(ROWS) > 20 and len(ROWS) == TEXT.count("“")


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_each_command_and_link_is_there(guide):
    text = guide.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.M)
    assert set(re.findall(r"`make ([a-z]+)", text)) <= {*targets}
    assert set(re.findall(r"python -m dgmcourse ([a-z]+)", text)) <= VERBS.keys()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (guide.parent / link).exists(), link
    for path in re.findall(r"`((?:tools|sheets|notebooks)/[\w/.]+)`", text):
        assert (ROOT / path).exists() or path == "sheets/made", path


def test_the_plan_of_six_weeks_leaves_no_notebook_out():
    plan = TEXT[TEXT.index("## Six weeks") : TEXT.index("## What usually")]
    named = set(re.findall(r"notebooks/(\w+)\.ipynb", plan))
    assert named == {row["notebook"] for row in NOTEBOOKS if not row["notebook"].startswith("00")}


def test_the_minutes_of_a_notebook_are_as_the_guide_says():
    low, high = map(int, re.search(r"takes a student (\d+) to (\d+) minutes", TEXT).groups())
    minutes = [row["minutes"] for row in NOTEBOOKS if not row["notebook"].startswith("00")]
    assert (min(minutes), max(minutes)) == (low, high)
