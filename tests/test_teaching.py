"""What the guides for lecturers say: each mistake is one that a judge names, each command is there."""

import json
import re
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path

import jupytext
import pytest
from test_sheets import EXAMS, build

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


def section(heading):
    return TEXT[TEXT.index(f"## {heading}") :].partition("\n## ")[0]


def deck(minutes):
    """(part, notebook, seconds, title) of each slide of a lecture."""
    slides, notebook = [], ""
    for source in sorted((ROOT / "slides").glob("0*.py")):
        for cell in jupytext.read(source, fmt="py:percent").cells:
            notebook = cell.metadata.get("notebook", notebook)
            if heading := re.match(r"#{1,2} (.+)", cell.source * (cell.cell_type == "markdown")):
                there = cell.metadata.get("minutes", 90) <= minutes
                title = heading[1]
            elif there and "notes" in cell.metadata.get("tags", []):
                seconds = int(re.match(r"(\d+) s\.", cell.source)[1])
                slides.append((int(source.name[:2]), notebook, seconds, title))
    return slides


def test_the_plan_of_a_lecture_has_time_for_its_slides():
    plan, slides = section("One lecture"), deck(45)
    rows = re.findall(r"^\| (\d+)–(\d+) \| .+ \| (.+) \|$", plan, flags=re.M)
    assert [row[1] for row in rows[:-1]] == [row[0] for row in rows[1:]]
    assert rows[0][0] == "0" and rows[-1][1] == "90"
    parts = {int(n): int(b) - int(a) for a, b, w in rows for n in re.findall(r"part (\d)", w)}
    assert list(parts) == [1, 2, 3]
    for part, minutes in parts.items():
        assert minutes - 2 <= sum(s for p, _, s, _ in slides if p == part) / 60 <= minutes
    left = sum(s for p, _, s, _ in slides if p == 4) / 60
    assert "part 4, twelve minutes" in plan and round(left) == 12
    text = (ROOT / "notebooks/source/07_vae.py").read_text("utf-8")
    there = {title for *_, title in slides} | set(re.findall(r"^# ## (.+)$", text, flags=re.M))
    named = re.findall(r"(?<!\*)\*([^*]+)\*", plan)
    assert len(named) == 5 and set(named) <= there


def test_the_day_has_time_for_its_notebooks():
    rows = re.findall(r"^\| ([\d:]+)–([\d:]+) \| (.+?) \|", section("One day"), flags=re.M)
    assert [row[1] for row in rows[:-1]] == [row[0] for row in rows[1:]]
    assert rows[0][0] == "9:00" and rows[-1][1] == "17:00"
    assert [row[2] for row in rows if "[" not in row[2]] == ["Break", "Lunch", "Break"]
    wanted = {row["notebook"]: row["minutes"] for row in NOTEBOOKS}
    for start, end, what in rows:
        if what.endswith(")"):  # a whole notebook
            name = re.search(r"(\w+)\.ipynb", what)[1]
            slides = 0 if name.startswith("00") else 10
            took = datetime.strptime(end, "%H:%M") - datetime.strptime(start, "%H:%M")
            assert took == timedelta(minutes=wanted[name] + slides), name
    for name, heading in (
        ("11_priors", "Break it: the best prior"),
        ("16_looking_back", "Test your"),
    ):
        assert f"*{heading}" in section("One day")
        assert f"# ## {heading}" in (ROOT / f"notebooks/source/{name}.py").read_text("utf-8")


def test_the_minutes_of_a_weeks_slides_are_those_of_its_notebooks():
    rows = re.findall(r"^\| \d \| .+? \| .+? \| (\d+) min \| (.+) \|", section("Six"), flags=re.M)
    assert len(rows) == 6
    slides = deck(90)
    for i, (minutes, rest) in enumerate(rows):
        names = {*re.findall(r"notebooks/(\w+)\.ipynb", rest), *(["00_welcome"] * (i == 0))}
        assert round(sum(s for _, n, s, _ in slides if n in names) / 60) == int(minutes), rest


def test_the_points_of_an_exam_are_as_the_guide_says():
    points = [
        sum(int(n) for item in build.exam(name) for n in re.findall(r"\((\d) points?\)", item.text))
        for name in EXAMS
    ]
    low, high = map(int, re.search(r"(\d+) to (\d+) points in all", TEXT).groups())
    assert (min(points), max(points)) == (low, high)


def test_the_plan_of_six_weeks_leaves_no_notebook_out():
    named = set(re.findall(r"notebooks/(\w+)\.ipynb", section("Six weeks")))
    assert named == {row["notebook"] for row in NOTEBOOKS if not row["notebook"].startswith("00")}


def test_the_minutes_of_a_notebook_are_as_the_guide_says():
    low, high = map(int, re.search(r"takes a student (\d+) to (\d+) minutes", TEXT).groups())
    minutes = [row["minutes"] for row in NOTEBOOKS if not row["notebook"].startswith("00")]
    assert (min(minutes), max(minutes)) == (low, high)
