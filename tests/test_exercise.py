"""What every exercise does, whatever it asks."""

import pytest

from dgmcourse.check._exercise import Exercise, Wrong


def add_one(x):
    return x + 1


def judge(answer):
    if answer(1) != 2:
        raise Wrong("that is not one more")
    return "one more"


@pytest.fixture
def exercise(capsys):
    return Exercise("add_one", add_one, judge, ["add", "x + 1"])


@pytest.mark.parametrize(
    "answer, kind", [(lambda x: None, "blank"), (lambda x: x, "fail"), (lambda x: 1 / 0, "fail")]
)
def test_the_check_run_twice_does_not_praise_the_courses_solution(exercise, answer, kind):
    going_on = exercise(answer)
    assert going_on is add_one and exercise.last.kind == kind
    first = exercise.last
    assert exercise(going_on) is add_one and exercise.last is first
    assert exercise(lambda x: 1 + x)(4) == 5 and exercise.last.kind == "pass"


def test_the_solution_itself_is_right(exercise):
    assert exercise(add_one) is add_one and exercise.last.kind == "pass"


def test_an_error_names_itself_and_the_notebook_goes_on(exercise):
    assert exercise(lambda x: [][3]) is add_one
    assert "IndexError" in exercise.last.text and "course's own solution" in exercise.last.text


def test_hints_come_one_at_a_time(exercise, capsys):
    for _ in range(3):
        exercise.hint()
    assert capsys.readouterr().out.splitlines() == [
        "Hint 1 of 2: add",
        "Hint 2 of 2: x + 1",
        "Hint 2 of 2: x + 1",
    ]


def test_an_error_of_torch_is_no_blank(exercise):
    """torch answers the mean of booleans with a NotImplementedError; a cell as it was given raises
    one without a word.
    """

    def mean_of_booleans(x):
        import torch

        return (torch.zeros(3) > x).mean()

    exercise(mean_of_booleans)
    assert exercise.last.kind == "fail"

    def blank(x):
        raise NotImplementedError

    exercise(blank)
    assert exercise.last.kind == "blank"
