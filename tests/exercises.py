"""What the exercises of every notebook promise: `TestExercises = exercise_tests(check, "05_wgan",
RIGHT, WRONG)` in a test file.
"""

import re
from pathlib import Path

import pytest
import torch

SOURCES = Path(__file__).parents[1] / "notebooks" / "source"
BLANKS = [lambda *a: None, lambda *a: ..., lambda *a: (_ for _ in ()).throw(NotImplementedError)]


def cells(notebook):
    """The exercise cells of the notebook's source: (name, solved, blank)."""
    source = (SOURCES / f"{notebook}.py").read_text(encoding="utf-8")
    for cell in re.split(r"^(?=# %%)", source, flags=re.MULTILINE):
        if '"exercise"' in cell.partition("\n")[0]:
            name = re.search(r"^def (\w+)", cell, flags=re.MULTILINE)[1]
            yield (
                name,
                cell,
                re.sub(r"### BEGIN SOLUTION.*?### END SOLUTION", "...", cell, flags=re.DOTALL),
            )


def as_answer(exercise, slip):
    """A slip as a student's answer, which has its other outputs from the course's solution."""

    def answer(*given):
        if slip.of == 1:
            return slip.function(*given)
        parts = list(exercise.solution(*given))
        parts[slip.output] = slip.function(*given)
        return tuple(parts)

    return answer


def exercise_tests(check, notebook, right, wrong, **space):
    """A class of tests.

    Args:
        check: the module with the notebook's exercises.
        notebook: its file's stem.
        right: {an exercise's name: an answer that is right and written differently, or a list of
            such}.
        wrong: {an exercise's name: {a phrase of the message: a wrong answer that is to get it}}, of
            kinds that no slip of its judge states; with those, there are five at least. An exercise
            of another notebook, tested there, has none.
        space: what the exercise cells find beside torch and Tensor, by name.
    """
    names = list(right)
    answers = [
        (name, answer)
        for name in names
        for answer in (right[name] if isinstance(right[name], list) else [right[name]])
    ]
    every = pytest.mark.parametrize("name", names)
    slips = [
        (name, slip) for name in wrong for slip in getattr(getattr(check, name).judge, "slips", [])
    ]

    def verdict(name, answer):
        return getattr(check, name).verdict(answer)

    def defined(code, name):
        there = {"torch": torch, "Tensor": torch.Tensor} | space
        exec(code, there)
        return there[name]

    class Tests:
        @every
        def test_the_courses_solution_passes(self, name):
            solution = getattr(check, name).solution
            found, function = verdict(name, solution)
            assert found.kind == "pass", found
            assert function is solution

        @pytest.mark.parametrize(("name", "answer"), answers)
        def test_an_answer_written_differently_passes_and_is_kept(self, name, answer):
            found, function = verdict(name, answer)
            assert found.kind == "pass", found
            assert function is answer

        def test_the_notebook_has_these_exercises(self):
            assert [name for name, _, _ in cells(notebook)] == names

        @every
        def test_the_notebooks_solution_passes_and_its_blank_is_not_done_yet(self, name):
            solved, blank = next(
                (solved, blank) for n, solved, blank in cells(notebook) if n == name
            )
            assert verdict(name, defined(solved, name))[0].kind == "pass"
            found, function = verdict(name, defined(blank, name))
            assert found.kind == "blank" and "not done yet" in repr(found).lower()
            assert function is getattr(check, name).solution

        @every
        @pytest.mark.parametrize("blank", BLANKS)
        def test_a_blank_is_not_done_yet(self, name, blank):
            found, function = verdict(name, blank)
            assert found.kind == "blank"
            assert function is getattr(check, name).solution

        @every
        def test_hints_go_from_a_nudge_to_nearly_the_answer(self, name, capsys):
            exercise = getattr(check, name)
            for _ in exercise.hints:
                exercise.hint()
            assert capsys.readouterr().out.count("Hint") == len(exercise.hints) >= 2
            exercise.given = 0

        @pytest.mark.parametrize(
            ("name", "message", "answer"),
            [(name, *case) for name, cases in wrong.items() for case in cases.items()],
            ids=lambda value: value if isinstance(value, str) else "",
        )
        def test_a_wrong_answer_is_told_what_is_wrong(self, name, message, answer):
            found, function = verdict(name, answer)
            assert found.kind == "fail"
            assert message in found.text, found.text
            assert function is getattr(check, name).solution

        @pytest.mark.parametrize(
            ("name", "slip"), slips, ids=[f"{n}-{s.message}" for n, s in slips]
        )
        def test_a_slip_is_told_apart_from_the_truth_and_from_other_slips(self, name, slip):
            exercise = getattr(check, name)
            found, function = verdict(name, as_answer(exercise, slip))
            assert found.kind == "fail"
            assert slip.message.rstrip(".") in found.text, found.text
            assert function is exercise.solution

        @pytest.mark.parametrize("name", list(wrong))
        def test_there_are_five_wrong_answers_at_least(self, name):
            assert len(wrong[name]) + sum(of == name for of, _ in slips) >= 5

        def test_the_callers_random_state_is_left_alone(self):
            before = torch.get_rng_state()
            for name, answer in [
                *answers,
                *((name, getattr(check, name).solution) for name in names),
            ]:
                verdict(name, answer)
            assert torch.equal(before, torch.get_rng_state())

    return Tests
