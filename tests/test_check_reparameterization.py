"""Notebook 08's exercises judge rightly: what is right passes in any spelling, each usual mistake
gets its own message.
"""

import itertools
import math
import re

import pytest
import torch
from torch.nn import functional as F

from dgmcourse.check import reparameterization as check

EXERCISES = [check.score_function, check.reparameterize, check.gaussian_head]


def kind_and_text(exercise, answer):
    verdict, result = exercise.verdict(answer)
    assert result is (answer if verdict.kind == "pass" else exercise.solution)
    return verdict.kind, verdict.text


# ---- right answers in other words


def score_function_by_hand(f, q, parameters, S):
    mean, log_var = parameters
    z = q.sample((S,))
    with torch.no_grad():
        weight = f(z).unsqueeze(-1) / S
        standard = (z - mean) * torch.exp(-0.5 * log_var)
        return [
            (weight * standard * torch.exp(-0.5 * log_var)).sum(0),
            (weight * (standard**2 - 1) / 2).sum(0),
        ]


def score_function_by_backward(f, q, parameters, S):
    z = q.sample((S,))
    with torch.no_grad():
        values = f(z)
    return [
        torch.stack(gs).mean(0)
        for gs in zip(
            *[
                torch.autograd.grad(v * lp, parameters, retain_graph=True)
                for v, lp in zip(values, q.log_prob(z), strict=True)
            ],
            strict=True,
        )
    ]


def score_function_by_clean_backward(f, q, parameters, S):
    for p in parameters:
        p.grad = None
    z = q.sample((S,))
    (f(z).detach() * q.log_prob(z)).mean().backward()
    return [p.grad for p in parameters]


def others(values):
    return (values.sum() - values) / (len(values) - 1)


def score_function_with_baseline(f, q, parameters, S):
    """Not what is asked, and as right: unbiased, each value compared with the mean of the
    others.
    """
    z = q.sample((S,))
    values = f(z).detach()
    return torch.autograd.grad(((values - others(values)) * q.log_prob(z)).mean(), parameters)


def reparameterize_with_sqrt(mean, log_var, noise=None):
    epsilon = (
        torch.randn(mean.shape, dtype=mean.dtype, device=mean.device) if noise is None else noise
    )
    return torch.addcmul(mean, log_var.exp().sqrt(), epsilon)


def reparameterize_by_normal(mean, log_var, noise=None):
    if noise is None:
        return torch.distributions.Normal(mean, (log_var / 2).exp()).rsample()
    return noise * math.e ** (log_var / 2) + mean


def gaussian_head_by_slices(output):
    dim = output.shape[-1] // 2
    return output[..., :dim], output[..., dim:].exp() ** 0.5


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_the_solution_passes_and_leaves_the_random_state(exercise):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert kind_and_text(exercise, exercise.solution)[0] == "pass"
    if exercise is not check.reparameterize:  # that one draws noise outside, too: it is told to
        assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "exercise, answer",
    [
        (check.score_function, score_function_by_hand),
        (check.score_function, score_function_by_backward),
        (check.score_function, score_function_by_clean_backward),
        (check.score_function, score_function_with_baseline),
        (check.reparameterize, reparameterize_with_sqrt),
        (check.reparameterize, reparameterize_by_normal),
        (check.gaussian_head, gaussian_head_by_slices),
    ],
)
def test_a_right_answer_in_other_words_passes(exercise, answer):
    kind, text = kind_and_text(exercise, answer)
    assert kind == "pass", text


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)
def test_the_blank_says_so_and_goes_on_with_the_solution(exercise):
    kind, text = kind_and_text(exercise, lambda *args, **kwargs: ...)
    assert kind == "blank" and exercise.name in text and "the course's own solution" in text


# ---- wrong answers


def score(surrogate, sample="sample"):
    """An answer that differs from the solution in how it draws and in its surrogate."""

    def answer(f, q, parameters, S):
        z = getattr(q, sample)((S,))
        return torch.autograd.grad(surrogate(f(z), q.log_prob(z)), parameters)

    return answer


def asks_for_one(f, q, parameters, S):
    z = q.sample()
    return torch.autograd.grad((f(z).detach() * q.log_prob(z)).mean(), parameters)


def a_number_for_a_shape(f, q, parameters, S):
    z = q.sample(S)
    return torch.autograd.grad((f(z).detach() * q.log_prob(z)).mean(), parameters)


def backward_into_grad(f, q, parameters, S):
    z = q.sample((S,))
    (f(z).detach() * q.log_prob(z)).mean().backward()
    return [p.grad for p in parameters]


def own_samples(f, q, parameters, S):
    z = (q.mean + torch.exp(0.5 * q.log_var) * torch.randn(S, 3, dtype=torch.float64)).detach()
    return torch.autograd.grad((f(z).detach() * q.log_prob(z)).mean(), parameters)


def only_the_first(f, q, parameters, S):
    return check.score_function.solution(f, q, parameters, S)[0]


def mean_only_right(f, q, parameters, S):
    for_mean, for_log_var = check.score_function.solution(f, q, parameters, S)
    return for_mean, for_log_var + 1


def own_baseline_through_f(f, q, parameters, S):
    z = q.sample((S,))
    values = f(z)
    return torch.autograd.grad(
        ((values - others(values.detach())) * q.log_prob(z)).mean(), parameters
    )


WRONG_SCORES = [
    (score(lambda f, log_q: (f.detach() * log_q.exp()).mean()), "gradient of q itself"),
    (score(lambda f, log_q: -(f.detach() * log_q).mean()), "wrong sign"),
    (score(lambda f, log_q: (f.detach() * log_q).sum()), "5 times too large"),
    (score(lambda f, log_q: (f * log_q).mean()), "detach f(z)"),
    (score(lambda f, log_q: log_q.mean()), "f has no influence"),
    (score(lambda f, log_q: f.detach().mean() * log_q.mean()), "sample by sample"),
    (score(lambda f, log_q: (f.detach() * log_q).mean(), "rsample"), "q.rsample"),
    (score(lambda f, log_q: ((f - f.mean()).detach() * log_q).mean()), "the mean of all S values"),
    (score(lambda f, log_q: (f.detach() * log_q).mean() / 2), "the right one times 0.5"),
    (score(lambda f, log_q: 3 * log_q.mean()), "in which f has no part, times 3"),
    (
        score(lambda f, log_q: (f.detach() * log_q)[1:].mean()),
        "for mean and for log_var is not the average",
    ),
    (mean_only_right, "the estimate for log_var is not the average"),
    (own_baseline_through_f, "detach f(z)"),
    (score(lambda f, log_q: f.mean()), "does not require grad"),
    (asks_for_one, "ask for S samples"),
    (a_number_for_a_shape, "q.sample((S,)), with its comma"),
    (backward_into_grad, "adds to what .grad holds"),
    (own_samples, "z = q.sample((S,))"),
    (only_the_first, "one gradient for each"),
]


def reparameterized(z, draw=torch.randn_like):
    """An answer that differs from the solution in z, or in how it draws the noise."""
    return lambda mean, log_var, noise=None: z(
        mean, log_var, draw(mean) if noise is None else noise
    )


def right(mean, log_var, noise):
    return mean + torch.exp(0.5 * log_var) * noise


def normal_when_it_draws(mean, log_var, noise=None):
    sigma = torch.exp(0.5 * log_var)
    return torch.normal(mean, sigma) if noise is None else mean + sigma * noise


def in_place(mean, log_var, noise=None):
    if noise is None:
        return torch.empty_like(mean).normal_() * torch.exp(0.5 * log_var) + mean
    with torch.no_grad():
        mean += torch.exp(0.5 * log_var) * noise
    return mean


def without_grad(mean, log_var, noise=None):
    with torch.no_grad():
        return check.reparameterize.solution(mean, log_var, noise)


def always_draws(mean, log_var, noise=None):
    return right(mean, log_var, torch.randn_like(mean))


def fixed_seed(mean):
    return torch.randn(mean.shape, dtype=mean.dtype, generator=torch.Generator().manual_seed(1))


def cut_when_it_draws(mean, log_var, noise=None):
    z = right(mean, log_var, torch.randn_like(mean) if noise is None else noise)
    return z.detach() if noise is None else z


WRONG_SAMPLES = [
    (reparameterized(lambda m, v, e: m + v.exp() * e), "multiplied the noise by the variance"),
    (reparameterized(lambda m, v, e: m + v * e), "log_var itself"),
    (reparameterized(lambda m, v, e: m + 0.5 * v * e), "take exp of it"),
    (reparameterized(lambda m, v, e: m + 0.5 * v.exp() * e), "inside the exponential"),
    (reparameterized(lambda m, v, e: m + (2 * v).exp() * e), "not its square"),
    (reparameterized(lambda m, v, e: m + v.sqrt() * e), "not a number"),
    (reparameterized(lambda m, v, e: m + e), "not scaled"),
    (reparameterized(lambda m, v, e: (0.5 * v).exp() * e), "ignores the mean"),
    (reparameterized(lambda m, v, e: m + 0 * v), "without noise"),
    (reparameterized(lambda m, v, e: right(m, v, e).detach()), "the graph is cut"),
    (without_grad, "the graph is cut"),
    (reparameterized(lambda m, v, e: right(m, v.detach(), e)), "no gradient reaches log_var"),
    (reparameterized(lambda m, v, e: right(m.detach(), v, e)), "no gradient reaches mean"),
    (
        reparameterized(right, lambda m: torch.randn(1, m.shape[-1], dtype=m.dtype)),
        "every row of the batch",
    ),
    (
        reparameterized(right, lambda m: torch.randn(len(m), 1, dtype=m.dtype)),
        "all dimensions of a row",
    ),
    (
        reparameterized(right, lambda m: torch.randn(1, dtype=m.dtype)),
        "one number is the noise of the whole",
    ),
    (reparameterized(right, torch.rand_like), "torch.rand is uniform"),
    (reparameterized(right, lambda m: 2 * torch.randn_like(m)), "should be N(0, 1)"),
    (reparameterized(right, fixed_seed), "the same noise"),
    (always_draws, "use the noise you are given"),
    (normal_when_it_draws, "derivative as 0"),
    (cut_when_it_draws, "the graph is cut"),
    (in_place, "in place"),
    (reparameterized(lambda m, v, e: right(m, v, e).sum(-1)), "shape (2, 3)"),
    (reparameterized(lambda m, v, e: right(m, v, e[:1])), "one noise number for several"),
]


def head(change, dim=-1):
    def answer(output):
        mean, log_var = output.chunk(2, dim=dim)
        return change(mean, log_var)

    return answer


def sd(log_var):
    return torch.exp(0.5 * log_var)


WRONG_HEADS = [
    (head(lambda m, v: (m, v)), "returned as it is"),
    (head(lambda m, v: (m, v.exp())), "that is the variance"),
    (head(lambda m, v: (m, F.softplus(v))), "softplus"),
    (head(lambda m, v: (m, v.abs())), "absolute value"),
    (head(lambda m, v: (m, v.relu())), "clipped"),
    (head(lambda m, v: (m, v.sqrt())), "not a number"),
    (head(lambda m, v: (m, 0.5 * v.exp())), "inside the exponential"),
    (head(lambda m, v: (v, sd(m))), "halves are swapped"),
    (head(lambda m, v: (sd(v), m)), "halves are swapped"),
    (head(lambda m, v: (m, sd(v)), dim=0), "cut the batch in two"),
    (lambda output: (output[:, ::2], sd(output[:, 1::2])), "every second number"),
    (head(lambda m, v: (m, sd(v).detach())), "sigma has the right value but no gradient"),
    (head(lambda m, v: (m, sd(v.clamp(-6, 2)))), "don't clip"),
    (head(lambda m, v: torch.cat([m, sd(v)], -1)), "return two tensors"),
    (lambda output: (output[:, :2], sd(output[:, 2:])), "the mean has 2 of the output's 6 columns"),
    (lambda output: (output[:, :3], sd(output[:, 4:])), "sigma has 2 of the output's 6 columns"),
    (lambda output: (output[:, 0], sd(output[:, 1])), "a single column"),
    (lambda output: (output[:, 1:4], sd(output[:, 3:])), "made of the columns 1 to 3"),
    (lambda output: (output[:, :3], sd(output[:, 2:5])), "sigma is made of the columns 2 to 4"),
    (lambda output: (output[:, :3], sd(output[:, :3])), "sigma is made of the columns 0 to 2"),
    (lambda output: (output[:, :3], sd(output[:, 3:])), "cut in the middle, wherever that is"),
    (lambda output: (output[:, :3], sd(output[:, 3:6])), "cut in the middle, wherever that is"),
    (
        lambda output: [
            f(part) for f, part in zip((torch.clone, sd), output.split(3, -1), strict=True)
        ],
        "stops with ValueError",
    ),
]


@pytest.mark.parametrize(
    "exercise, answer, words",
    [(check.score_function, *case) for case in WRONG_SCORES]
    + [(check.reparameterize, *case) for case in WRONG_SAMPLES]
    + [(check.gaussian_head, *case) for case in WRONG_HEADS],
)
def test_a_wrong_answer_is_told_what_is_wrong(exercise, answer, words):
    kind, text = kind_and_text(exercise, answer)
    assert kind == "fail" and words in text, text


def test_a_right_student_hears_a_number_near_the_truth():
    text = kind_and_text(check.reparameterize, check.reparameterize.solution)[1]
    value, error = (
        float(number) for number in re.search(r"give (-[\d.]+) \+- ([\d.]+\d)", text).groups()
    )
    assert abs(value + 2) < error


def test_what_the_messages_say_of_baselines_is_true():
    """Over all throws of S coins: the mean of all values shrinks the gradient by (S - 1)/S, that of
    the others does not.
    """
    S, p, f = 3, 0.3, torch.tensor([2.0, 5.0], dtype=torch.float64)
    gradient, with_all, with_others = (
        p * (1 - p) * (f[1] - f[0]),
        0.0,
        0.0,
    )  # for the coin's logit, whose score is z - p
    for throws in itertools.product([0, 1], repeat=S):
        z = torch.tensor(throws, dtype=torch.float64)
        probability, values, score = p ** z.sum() * (1 - p) ** (S - z.sum()), f[list(throws)], z - p
        with_all += probability * ((values - values.mean()) * score).mean()
        with_others += probability * ((values - others(values)) * score).mean()
    assert math.isclose(with_all, (S - 1) / S * gradient) and math.isclose(with_others, gradient)
