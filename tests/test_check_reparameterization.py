"""The exercises of notebook 08: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import itertools
import math

import torch
from exercises import exercise_tests

from dgmcourse.check import reparameterization as check

# ---- right answers in other words


def score_function_by_hand(f, q, parameters, S):
    mean, log_var = (p.detach() for p in parameters)
    z = q.sample((S,))
    weight, standard = f(z).detach()[:, None] / S, (z - mean) * torch.exp(-0.5 * log_var)
    slopes = standard * torch.exp(-0.5 * log_var), (standard**2 - 1) / 2
    return [(weight * slope).sum(0) for slope in slopes]


def score_function_one_by_one(f, q, parameters, S):
    draws = [q.sample() for _ in range(S)]
    each = [torch.autograd.grad(f(z).detach() * q.log_prob(z), parameters) for z in draws]
    return [torch.stack(gradients).mean(0) for gradients in zip(*each, strict=True)]


def score_function_by_backward(f, q, parameters, S):
    z = q.sample((S,))
    terms = zip(f(z).detach(), q.log_prob(z), strict=True)
    each = [torch.autograd.grad(v * lp, parameters, retain_graph=True) for v, lp in terms]
    return [torch.stack(gradients).mean(0) for gradients in zip(*each, strict=True)]


def score_function_by_clean_backward(f, q, parameters, S):
    for p in parameters:
        p.grad = None
    z = q.sample((S,))
    (f(z).detach() * q.log_prob(z)).mean().backward()
    return [p.grad for p in parameters]


def others(values):
    return (values.sum() - values) / (len(values) - 1)


def score_function_with_baseline(f, q, parameters, S):
    """Not what is asked, and as right: unbiased, each value compared with the mean of the others."""
    z = q.sample((S,))
    values = f(z).detach()
    return torch.autograd.grad(((values - others(values)) * q.log_prob(z)).mean(), parameters)


def reparameterize_with_sqrt(mean, log_var, noise=None):
    noise = torch.randn(mean.shape, dtype=mean.dtype) if noise is None else noise
    return torch.addcmul(mean, log_var.exp().sqrt(), noise)


def reparameterize_by_normal(mean, log_var, noise=None):
    if noise is None:
        return torch.distributions.Normal(mean, (log_var / 2).exp()).rsample()
    return noise * math.e ** (log_var / 2) + mean


def gaussian_head_by_slices(output):
    dim = output.shape[-1] // 2
    return output[..., :dim], output[..., dim:].exp() ** 0.5


SCORES = [score_function_by_hand, score_function_one_by_one, score_function_by_backward]
RIGHT = {
    "score_function": [*SCORES, score_function_by_clean_backward, score_function_with_baseline],
    "reparameterize": [reparameterize_with_sqrt, reparameterize_by_normal],
    "gaussian_head": gaussian_head_by_slices,
}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def asked(shape, draw="sample"):
    """An answer that draws q.sample(shape(S)), or draws otherwise."""

    def answer(f, q, parameters, S):
        z = getattr(q, draw)(shape(S))
        return torch.autograd.grad((f(z).detach() * q.log_prob(z)).mean(), parameters)

    return answer


def noise_of(draw):
    return lambda mean, log_var, noise=None: reparameterize_by_normal(
        mean, log_var, draw(mean) if noise is None else noise
    )


WRONG = {
    "score_function": {
        "drew 1 samples where S = 5": asked(lambda S: ()),
        "which moves with the parameters": asked(lambda S: (S,), "rsample"),
        "one gradient for each": lambda *given: score_function_by_hand(*given)[0],
        "the estimate for log_var has the factor 2": lambda *given: [
            k * g for k, g in zip((1, 2), score_function_by_hand(*given), strict=True)
        ],
    },
    "reparameterize": {
        "exp(log_var), has the factor 4": noise_of(lambda mean: 2 * torch.randn_like(mean)),
        "z has no gradient: .sample()": lambda mean, log_var, noise=None: (
            torch.distributions.Normal(mean, (log_var / 2).exp()).sample()
        ),
        "of torch.normal(mean, std) torch defines": lambda mean, log_var, noise=None: torch.normal(
            mean, (log_var / 2).exp()
        ),
        "every row of the batch": noise_of(lambda mean: torch.randn_like(mean[:1])),
        "set no seed": noise_of(lambda mean: torch.manual_seed(1) and torch.randn_like(mean)),
        "sigma * noise has the wrong sign": lambda mean, log_var, noise=None: (
            reparameterize_by_normal(mean, log_var, None if noise is None else -noise)
        ),
    },
    "gaussian_head": {
        "cut the batch in two": lambda output: output.chunk(2),
        "half of the 6 columns": lambda output: (output[:, 0], output[:, 1].exp()),
        "for an output of 10 columns": lambda o: (o[:, :3], (o[:, 3:] / 2).exp()),
        "don't clip": lambda output: gaussian_head_by_slices(output.clamp(-6, 6)),
        "in the order sigma, the mean": lambda output: gaussian_head_by_slices(output)[::-1],
    },
}
TestExercises = exercise_tests(check, "08_reparameterization", RIGHT, WRONG)


def test_what_the_messages_say_of_baselines_is_true():
    """Over all throws of S coins: the mean of all values shrinks the gradient by (S - 1)/S, that of
    the others does not.
    """
    S, p, f = 3, 0.3, torch.tensor([2.0, 5.0], dtype=torch.float64)
    gradient, with_all, with_others = p * (1 - p) * (f[1] - f[0]), 0.0, 0.0  # for the coin's logit
    for throws in itertools.product([0, 1], repeat=S):
        z = torch.tensor(throws, dtype=torch.float64)
        probability, values, score = p ** z.sum() * (1 - p) ** (S - z.sum()), f[list(throws)], z - p
        with_all += probability * ((values - values.mean()) * score).mean()
        with_others += probability * ((values - others(values)) * score).mean()
    assert math.isclose(with_all, (S - 1) / S * gradient) and math.isclose(with_others, gradient)
