"""What a hub gives to its students: a copy each, renewed where nobody changed it, theirs otherwise."""

import pytest

from dgmcourse.hub import GIVEN, give


@pytest.fixture
def folders(tmp_path):
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    for name in ("00_a.ipynb", "07_b.ipynb", "syllabus.md", "class.json"):
        (shared / name).write_text(f"{name}, first")
    return shared, own


def test_each_student_gets_the_notebooks_and_texts_once(folders):
    shared, own = folders
    assert give(shared, own) == ["00_a.ipynb", "07_b.ipynb", "syllabus.md"]
    assert (own / "07_b.ipynb").read_text() == "07_b.ipynb, first"
    assert give(shared, own) == [] and not (own / "class.json").exists()


def test_no_other_student_can_look_into_the_folder(folders):
    shared, own = folders
    give(shared, own)
    assert own.stat().st_mode & 0o077 == 0
    own.chmod(0o750)  # for a tutor, say
    give(shared, own)
    assert own.stat().st_mode & 0o077 == 0o050


def test_what_a_student_changed_stays_and_what_not_is_renewed(folders):
    shared, own = folders
    give(shared, own)
    (own / "07_b.ipynb").write_text("my answer")
    for name in ("00_a.ipynb", "07_b.ipynb"):
        (shared / name).write_text(f"{name}, second")
    assert give(shared, own) == ["00_a.ipynb"]
    assert (own / "00_a.ipynb").read_text() == "00_a.ipynb, second"
    assert (own / "07_b.ipynb").read_text() == "my answer"
    (own / "07_b.ipynb").unlink()  # a student who wants to begin again
    assert give(shared, own) == ["07_b.ipynb"]
    assert (own / "07_b.ipynb").read_text() == "07_b.ipynb, second"


@pytest.mark.parametrize("card", ["", "{", None])
def test_where_nobody_knows_what_was_given_nothing_is_overwritten(folders, card):
    shared, own = folders
    give(shared, own)
    (own / GIVEN).unlink() if card is None else (own / GIVEN).write_text(card)
    (shared / "00_a.ipynb").write_text("second")
    assert give(shared, own) == []
    assert (own / "00_a.ipynb").read_text() == "00_a.ipynb, first"
