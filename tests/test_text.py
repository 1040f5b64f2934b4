"""The text that every Python brings along: prose, each paragraph once, divided without overlap."""

import importlib.util

import pytest

from dgmcourse.data import source, text


@pytest.fixture
def manual(monkeypatch):
    monkeypatch.setattr(source, "_said", set())
    return text.python_manual()


def test_the_parts_do_not_overlap_and_are_what_the_alphabet_says(manual, capsys):
    train, test = manual.train.splitlines(), manual.test.splitlines()
    assert len(set(train + test)) == len(train) + len(test), "a paragraph is there twice"
    assert set(manual.train + manual.test) == set(manual.alphabet) and manual.alphabet.isascii()
    assert 0.08 < len(manual.test) / len(manual.train + manual.test) < 0.18
    assert len(manual.train) > 150_000


def test_it_says_once_what_it_is_and_whose(monkeypatch, capsys):
    monkeypatch.setattr(source, "_said", set())
    text.python_manual()
    text.python_manual()
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "PSF licence" in said


def test_it_is_prose(manual):
    assert "\n\n" not in manual.train and "::=" not in manual.train and ">>>" not in manual.train
    letters = sum(c.isalpha() or c == " " for c in manual.train)
    assert letters > 0.9 * len(manual.train)
    assert manual.train.count("expression") > 80


def test_paragraphs_keeps_running_text_only():
    topic = """The "if" statement
******************

The "if" statement is used for conditional
execution, and it selects exactly one of the suites.

   if_stmt ::= "if" assignment_expression ":" suite and more words than twelve here so that it counts

>>> print(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)

* An item of a list, with words enough to be kept as a paragraph of its own, caf\u00e9.

Too short to keep."""
    assert text.paragraphs(topic) == [
        (
            'The "if" statement is used for conditional execution, and it selects exactly one of'
            " the suites."
        ),
        "An item of a list, with words enough to be kept as a paragraph of its own, caf.",
    ]


def test_a_python_without_its_documentation_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="reinstall it"):
        text.python_manual()
