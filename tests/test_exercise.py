"""What every exercise does, and every judge of the library, whatever is asked."""

import ast
import inspect
import math
from importlib import import_module
from pathlib import Path

import pytest
import torch

from dgmcourse import check
from dgmcourse.check._exercise import Exercise, Wrong, answered
from dgmcourse.check._judge import Draws, Every, Function, mask, number, randn, reals


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


# ---- the judges' library, on two toy exercises: row sums of squares, and noisy ones


def squares(x, scale):
    """The truth, which carries no gradient."""
    return torch.stack([sum(v * v for v in row) * scale for row in x.detach()]).detach()


def half_squares(x, scale):
    return 0.5 * (x**2).sum(-1) * scale


X, SCALE = *randn(0, (5, 3)), torch.tensor(1.7, dtype=torch.float64)
SQUARES = Function(
    "the sum",
    squares,
    cases=[(X, SCALE)],
    edges=[
        *("for tiny x", "nothing is added", (1e-4 * X, SCALE)),
        *("in one dimension", "", (X[:, :1], SCALE)),
        *("at x = 0", "there is no root in it", (0 * X, SCALE)),
    ],
    slips=["you forgot the square", lambda x, s: x.sum(-1) * s],
    rows="x",
    terms={"x**2": lambda x, s: (x**2).sum(-1) * s, "a decoy": lambda x, s: x.abs().sum(-1)},
    errors={"must match the size": "the sizes differ"},
    nan="no logarithm",
)


def right(x, scale):
    return (x**2).sum(-1) * scale


def in_place(x, scale):
    total = right(x, scale)
    x.mul_(2)
    return total


def in_place_without_a_word(x, scale):
    x.mul_(2)


def told(judge, answer):
    try:
        return judge(answer)
    except Wrong as wrong:
        return str(wrong)


@pytest.mark.parametrize(
    "answer",
    [right, lambda x, s: torch.einsum("bd,bd->b", x, x) * s, lambda x, s: s * x.norm(dim=1) ** 2],
)
def test_right_answers_pass_and_their_gradients_agree_with_finite_differences(answer):
    assert "right in all cases" in told(SQUARES, answer)


@pytest.mark.parametrize(
    ("message", "answer"),
    {
        "changes x in place": in_place,
        "changes x and returns nothing": lambda x, s: answered(in_place_without_a_word)(x, s),
        "you forgot the square": lambda x, s: x.sum(-1) * s,
        "should be a tensor, it is list": lambda x, s: right(x, s).tolist(),
        "holds whole numbers": lambda x, s: right(x, s).long(),
        "holds True and False": lambda x, s: right(x, s) > 1,
        "keep one for each row": lambda x, s: right(x, s).sum(),
        "no keepdim": lambda x, s: right(x, s)[:, None],
        "each row is paired with each": lambda x, s: right(x, s)[:, None] + 0 * right(x, s),
        "sum over the last axis": lambda x, s: x**2 * s,
        "you summed over the batch": lambda x, s: (x**2).sum(0) * s,
        "an axis of 1 squeezed": lambda x, s: right(x, s).squeeze(),
        "not in one dimension: it stops with IndexError": lambda x, s: right(x, s) + 0 * x[0, 1],
        "for tiny x it is": lambda x, s: right(x, s) + 3e-5,
        "nothing is added": lambda x, s: right(x, s) + 3e-5,
        "called twice": lambda x, s: right(x, s) + torch.randn(()),
        "rows must not mix": lambda x, s: right(x, s).mean().expand(len(x)),
        "the sign is turned": lambda x, s: -right(x, s),
        "the base 2": lambda x, s: right(x, s) / math.log(2),
        "the exponential of what is asked for": lambda x, s: right(x, s).exp(),
        "the root of what is asked for": lambda x, s: right(x, s).sqrt(),
        "1/3 of what it should be: a mean": lambda x, s: (x**2).mean(-1) * s,
        "3 times what it should be: a sum": lambda x, s: 3 * right(x, s),
        "0.7 times": lambda x, s: 0.7 * right(x, s),
        "off by log 3": lambda x, s: right(x, s) + math.log(3),
        "0.25 too large everywhere": lambda x, s: right(x, s) + 0.25,
        "is it clamped": lambda x, s: right(x, s).clamp(max=2),
        "a decoy does not belong in it": lambda x, s: right(x, s) + 0.3 * x.abs().sum(-1),
        "not finite: no logarithm": lambda x, s: x.log().sum(-1) * s,
        "scale has no influence": lambda x, s: (x**2).sum(-1).sin() + 0 * s.detach(),
        "is right (row": lambda x, s: right(x, s).sin() * s,
        "the sizes differ": lambda x, s: x + x[:, :2],
        "has no gradient": lambda x, s: right(x, s).detach(),
        "no gradient reaches scale": lambda x, s: right(x, s.detach()),
        "not finite at x = 0: there is no root in it": lambda x, s: right(x, 1).sqrt() ** 2 * s,
        "with respect to x is not": lambda x, s: (x * x.detach()).sum(-1) * s,
    }.items(),
)
def test_the_kind_of_mistake_is_told(message, answer):
    assert message in told(SQUARES, answer)


def test_gradients_are_compared_only_where_the_arguments_can_move():
    """Log-weights are made of free numbers: a library that normalises them once more is right."""

    def log_mixture(z, log_weights):
        pairs = zip(log_weights.exp(), (-1.0, 0.5, 2.0), strict=True)
        return sum(w * torch.exp(-((z - m) ** 2) / 2) for w, m in pairs).log() - 0.5 * math.log(
            2 * math.pi
        )

    def by_library(z, log_weights):
        components = torch.distributions.Normal(z.new_tensor([-1.0, 0.5, 2.0]), z.new_ones(3))
        weights = torch.distributions.Categorical(logits=log_weights)
        return torch.distributions.MixtureSameFamily(weights, components).log_prob(z)

    free = dict(truth=log_mixture, cases=[(X[:, 0], torch.log_softmax(X[0], 0))])
    made = free | {"cases": [(X[:, 0], X[0])], "given": lambda z, a: (z, torch.log_softmax(a, 0))}
    assert "with respect to log_weights" in told(Function("log p", **free), by_library)
    assert "right in all cases" in told(Function("log p", **made), by_library)
    cut = told(Function("log p", **made), lambda z, a: by_library(z.detach(), a))
    assert "no gradient reaches z" in cut


def test_several_outputs_are_told_apart_and_put_in_order():
    judge = Function(
        ("sum", "square"),
        lambda x: (x.sum(-1), x**2),
        cases=[(X,)],
        slips={"square": ["that is the cube", lambda x: x**3], "sum": ["0", lambda x: 0 * x[:, 0]]},
    )
    x_sum, square = judge.truth(X)
    assert "right in all" in told(judge, judge.truth)
    assert "in the order square, sum. It is sum, square" in told(judge, lambda x: (x**2, x.sum(-1)))
    assert "return two tensors: sum, square" in told(judge, lambda x: x)
    assert "square: that is the cube" in told(judge, lambda x: (0 * x.sum(-1), x**3))
    assert "square has no gradient" in told(judge, lambda x: (x.sum(-1), (x**2).detach()))
    same = Function(("a", "b"), lambda x: (x.sum(-1), x.amax(-1)), cases=[(X,)])
    assert "right, but you return them in the order b, a" in told(
        same, lambda x: (x.amax(-1), x.sum(-1))
    )


def test_a_gradient_where_none_belongs_is_told_and_a_slip_may_be_one():
    slips = ["detach y", lambda x, y: (x * y).sum(-1)]
    judge = Function(
        "p", lambda x, y: (x * y.detach()).sum(-1), cases=[(X, X.flip(0))], slips=slips
    )
    assert "right in all" in told(judge, judge.truth)
    assert told(judge, lambda x, y: (x * y).sum(-1)) == "detach y."
    judge.slips = []
    assert "sends a gradient to y" in told(judge, lambda x, y: (x * y).sum(-1))


def test_masks_and_numbers_are_accepted_as_what_they_are():
    ones = Function("mask", lambda n: torch.ones(n), cases=[(3,)], kind=mask)
    for dtype in (torch.bool, torch.int64, torch.float32):
        assert "right" in told(ones, lambda n, dtype=dtype: torch.ones(n, dtype=dtype))
    assert "mask should be a tensor, it is list" in told(ones, lambda n: [1] * n)
    mean = Function("mean", lambda x: x.mean(), cases=[(X,)], learn=(), kind=number)
    assert "right" in told(mean, lambda x: x.mean().item())
    assert "right" in told(mean, lambda x: x.mean())
    assert "mean should be a tensor, it is str" in told(mean, lambda x: "0.3")


def noisy(x, noise=torch.randn_like):
    return x + noise(x)


NOISY = Draws(
    "the draw",
    lambda x: 1.0 * x,
    cases=[(reals([-1.0, 0.5, 2.0])[0],)],
    slips=["the noise is uniform", lambda x: noisy(x, torch.rand_like)],
    rows="x",
    shared="one draw for all",
)


@pytest.mark.parametrize(
    ("message", "answer"),
    {
        "right in all cases": noisy,
        "the noise is uniform": lambda x: x + torch.rand(len(x)),
        "gives the same value every time": lambda x: x.clone(),
        "one draw for all": lambda x: x + torch.randn(()),
        "set no seed": lambda x: (
            x + torch.randn(len(x), generator=torch.Generator().manual_seed(0))
        ),
        "averages -0.9": lambda x: noisy(x) + 0.2 * torch.rand(len(x)) * x**2,
        "2 times what it should be": lambda x: noisy(2 * x),
        "has no gradient": lambda x: noisy(x).detach(),
        "with respect to x is not": lambda x: noisy(x.detach() + 0.5 * (x - x.detach())),
        "rows must not mix": lambda x: noisy(x.flip(0)),
        "keep one for each row": lambda x: noisy(x).mean(),
    }.items(),
)
def test_the_average_of_draws_is_judged(message, answer):
    assert message in told(NOISY, answer)


def test_several_judges_are_asked_one_after_the_other():
    both = Every(SQUARES, Function("the sum", right, cases=[(X, SCALE)], praise="both"))
    assert told(both, right) == "both" and len(both.slips) == 1
    assert "no gradient reaches scale" in told(both, lambda x, s: right(x, s.detach()))


MODULES = [
    path.stem
    for path in sorted(Path(check.__file__).parent.glob("[!_]*.py"))
    if "check._judge" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_no_judge_needs_the_solution(module):
    """A class may be given the judges without the solutions: only these call one another."""
    module = import_module(f"dgmcourse.check.{module}")
    exercises = [v for v in vars(module).values() if isinstance(v, Exercise)]
    solutions = {e.solution.__name__ for e in exercises if e.solution.__module__ == module.__name__}
    tree = ast.parse(inspect.getsource(module))
    judging = [node for node in tree.body if getattr(node, "name", "") not in solutions]
    named = [n.id for node in judging for n in ast.walk(node) if isinstance(n, ast.Name)]
    assert sorted(name for name in named if name in solutions) == sorted(solutions)  # solution=...
