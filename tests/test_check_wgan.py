"""The exercises of notebook 05: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import numpy as np
import torch
import torch.nn.functional as F
from exercises import exercise_tests
from scipy.stats import wasserstein_distance
from torch import nn

from dgmcourse.check import wgan as check


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


# ---- right answers


def own_wasserstein_1d(x, y):
    """The area between the two distribution functions, as a plain float."""
    return wasserstein_distance(x.numpy(), y.numpy())


def own_critic_objective(x, prior, generator, critic):
    with torch.no_grad():
        fake = generator(prior.sample((x.shape[0],)))
    both = critic(torch.cat([x, fake]))[:, 0]
    return both[: len(x)] - both[len(x) :]


def own_clip_weights(critic, c):
    for layer in critic.modules():
        for p in layer._parameters.values():
            if p is not None:
                p.data = torch.from_numpy(np.clip(p.data.numpy(), -c, c))
    return critic


RIGHT = {
    "wasserstein_1d": own_wasserstein_1d,
    "critic_objective": own_critic_objective,
    "clip_weights": own_clip_weights,
}
NAMES = list(RIGHT)


# ---- wrong answers, each with a phrase of the message meant for it


def moves(x, y):
    return x.sort().values - y.sort().values


WRONG_WASSERSTEIN_1D = {
    "take x.sort().values": lambda x, y: (x.sort() - y.sort()).abs().mean(),
    "you changed the samples": lambda x, y: (
        (x.copy_(x.sort().values) - y.sort().values).abs().mean()
    ),
    "mass of 1/N": lambda x, y: moves(x, y).abs().sum(),
    "in the order they came": lambda x, y: (x - y).abs().mean(),
    "only x is sorted": lambda x, y: (x.sort().values - y).abs().mean(),
    "only y is sorted": lambda x, y: (x - y.sort().values).abs().mean(),
    "the smallest goes to the smallest": lambda x, y: (
        (x.sort().values - y.sort(descending=True).values).abs().mean()
    ),
    "you squared": lambda x, y: (moves(x, y) ** 2).mean(),
    "W2": lambda x, y: (moves(x, y) ** 2).mean().sqrt(),
    "without .abs()": lambda x, y: -moves(x, y).mean().abs(),
    "of each difference first": lambda x, y: moves(x, y).mean().abs(),
    "the largest move": lambda x, y: moves(x, y).abs().max(),
    "the median move": lambda x, y: moves(x, y).abs().median(),
    "all N x N pairs": lambda x, y: (x[:, None] - y).abs().mean(),
    "all pairs": lambda x, y: (x[:, None] - y).abs(),
    "average them": lambda x, y: moves(x, y).abs(),
    "is right": lambda x, y: moves(x, y).abs().mean() + 0.1,
    "lists can't be subtracted": lambda x, y: sorted(x) - sorted(y),
    "whole numbers": lambda x, y: (x.sort().indices - y.sort().indices).abs().mean(),
    "the places the points came from: take": lambda x, y: (
        (x.argsort() - y.argsort()).abs().double().mean()
    ),
    "there is no factor": lambda x, y: moves(x, y).abs().mean() / 2,
    "not of each difference": lambda x, y: (x.sort().values.abs() - y.sort().values.abs()).mean(),
    "the norm of the differences": lambda x, y: moves(x, y).norm(),
    "Leave out keepdim": lambda x, y: moves(x, y).abs().mean(0, keepdim=True),
    "should be one number": lambda x, y: "far",
    "stopped with": lambda x, y: x @ y[:3],
}


def with_answers(of):
    """The two answers of the critic, (B, 1), and what is made of them."""

    def objective(x, prior, generator, critic):
        return of(critic(x), critic(generator(prior.sample((len(x),)))))

    return objective


def with_codes(codes):
    def objective(x, prior, generator, critic):
        return (critic(x) - critic(generator(codes(x, prior)))).squeeze(-1)

    return objective


def sigmoid_log(real, fake):
    return (F.logsigmoid(real) + F.logsigmoid(-fake)).squeeze(-1)


WRONG_CRITIC_OBJECTIVE = {
    "sign is turned": with_answers(lambda r, f: (f - r)[:, 0]),
    "you added the two": with_answers(lambda r, f: (f + r)[:, 0]),
    "you forgot the fakes": with_answers(lambda r, f: r[:, 0]),
    "you forgot the data": with_answers(lambda r, f: -f[:, 0]),
    "that is the generator's": with_answers(lambda r, f: f[:, 0]),
    "the GAN's objective": with_answers(sigmoid_log),
    "a sigmoid squeezes": with_answers(lambda r, f: (r.sigmoid() - f.sigmoid())[:, 0]),
    "a logarithm of probabilities": with_answers(
        lambda r, f: (F.logsigmoid(r) - F.logsigmoid(f))[:, 0]
    ),
    "absolute value": with_answers(lambda r, f: (r - f).abs()[:, 0]),
    "you squared it": with_answers(lambda r, f: ((r - f) ** 2)[:, 0]),
    "mean over the fakes": with_answers(lambda r, f: (r - f.mean())[:, 0]),
    "there is no factor": with_answers(lambda r, f: (r - f)[:, 0] / 2),
    "difference is a table": with_answers(lambda r, f: r - f[:, 0]),
    "answers with a column": with_answers(lambda r, f: r - f),
    "keep one for each x": with_answers(lambda r, f: (r - f).mean()),
    "return one tensor": with_answers(lambda r, f: (r, f)),
    "should be a tensor": with_answers(lambda r, f: (r - f)[:, 0].tolist()),
    "expected (300,)": with_answers(lambda r, f: (r - f)[:10, 0]),
    "no gradient: something": with_answers(lambda r, f: (r - f)[:, 0].detach()),
    "comes from the fakes": with_answers(lambda r, f: (r - f.detach())[:, 0]),
    "comes from the data": with_answers(lambda r, f: (r.detach() - f)[:, 0]),
    "not asked for fakes": lambda x, p, g, c: (c(x) - c(torch.randn_like(x)))[:, 0],
    "Send z through the generator": lambda x, p, g, c: (c(x) - c(p.sample((len(x),))))[:, 0],
    "Draw z from the prior": lambda x, p, g, c: (c(x) - c(g(x)))[:, 0],
    "one z for each x, prior.sample": with_codes(lambda x, p: p.sample((1,))),
    "same z": with_codes(lambda x, p: p.sample((1,)).expand(len(x), 2)),
    "whatever the prior is": with_codes(lambda x, p: torch.randn(len(x), 2)),
    "a shape, a tuple": with_codes(lambda x, p: p.sample(len(x))),
    "how many, not how wide": with_codes(lambda x, p: p.sample(x.shape)),
    "no logarithm": with_answers(lambda r, f: (r.log() - f.log())[:, 0]),
    "row ": with_answers(lambda r, f: (r - f)[:, 0] + 0.1),
    "stopped with": lambda x, p, g, c: x + None,
}


def in_place(of, which=lambda critic: critic.parameters()):
    @torch.no_grad()
    def clip(critic, c):
        for p in which(critic):
            p.copy_(of(p, c))
        return critic

    return clip


def replaced(critic, c):
    for layer in critic.modules():
        if isinstance(layer, nn.Linear):
            layer.weight, layer.bias = (
                nn.Parameter(p.detach().clamp(-c, c)) for p in (layer.weight, layer.bias)
            )
    return critic


def watched(critic, c):
    for p in critic.parameters():
        p.clamp_(-c, c)
    return critic


def not_in_place(critic, c):
    for p in critic.parameters():
        p = p.clamp(-c, c)
    return critic


def gradients(critic, c):
    for p in critic.parameters():
        p.grad.clamp_(-c, c)
    return critic


def frozen(critic, c):
    check.clip_weights.solution(critic, c)
    return critic.requires_grad_(False)


def without_gradients(critic, c):
    critic.zero_grad()
    return check.clip_weights.solution(critic, c)


def all_together(critic, c):
    with torch.no_grad():
        largest = max(p.abs().max() for p in critic.parameters())
        for p in critic.parameters():
            p.mul_(c / largest)
    return critic


def with_names(critic, c):
    for _, p in critic.parameters():
        p.data.clamp_(-c, c)
    return critic


def layers(critic, c):
    for layer in critic:
        layer.weight.data.clamp_(-c, c)
    return critic


def of_the_list(critic, c):
    critic.parameters().clamp_(-c, c)
    return critic


@torch.no_grad()
def returns_too_early(critic, c):
    for p in critic.parameters():
        p.clamp_(-c, c)
        return critic


CLAMP = lambda p, c: p.clamp(-c, c)  # noqa: E731
WRONG_CLIP_WEIGHTS = {
    "within torch.no_grad()": watched,
    "you replaced": replaced,
    "makes a new tensor": not_in_place,
    "clipped the gradients": gradients,
    "no longer require": frozen,
    "changed their gradients": without_gradients,
    "only the upper end": in_place(lambda p, c: p.clamp(max=c)),
    "only the lower end": in_place(lambda p, c: p.clamp(min=-c)),
    "not to [0, c]": in_place(lambda p, c: p.clamp(0, c)),
    "became 0": in_place(lambda p, c: torch.where(p.abs() > c, 0.0, p)),
    "became c or -c": in_place(lambda p, c: c * p.sign()),
    "weights below -c became c": in_place(lambda p, c: torch.where(p.abs() > c, c, p)),
    "squashed all weights (tanh): those": in_place(lambda p, c: c * (p / c).tanh()),
    "squashed all weights (tanh), those within": in_place(lambda p, c: c * p.tanh()),
    "your box is [-1, 1]": in_place(lambda p, c: p.clamp(-1, 1)),
    "your box is [-0.01, 0.01]": in_place(lambda p, c: p.clamp(-0.01, 0.01)),
    "every weight is -c": in_place(lambda p, c: p.clamp(c, -c)),
    "every weight is c": in_place(lambda p, c: p.clamp(-c, c).abs() * 0 + c),
    "has no names": with_names,
    "'ReLU' object": layers,
    "'generator' object": of_the_list,
    "return in its first round": returns_too_early,
    "you scaled the weights": in_place(lambda p, c: p * min(1, c / p.abs().max())),
    "moves the ones outside": all_together,
    "biases are not clipped": in_place(
        CLAMP, lambda critic: [p for p in critic.parameters() if p.dim() > 1]
    ),
    "only the biases": in_place(
        CLAMP, lambda critic: [p for p in critic.parameters() if p.dim() == 1]
    ),
    "within inner modules": in_place(
        CLAMP, lambda critic: [*critic[0].parameters(), *critic[3].parameters()]
    ),
    "now return the critic": lambda critic, c: (
        [p.data.clamp_(-c, c) for p in critic.parameters()] and None
    ),
    "return the critic itself": lambda critic, c: [
        p.data.clamp_(-c, c) for p in critic.parameters()
    ],
    "is right": in_place(lambda p, c: p.clamp(-c, c) * (1 - p.abs())),
    "'Sequential' object": lambda critic, c: critic.clamp_(-c, c),
    "stopped with": lambda critic, c: torch.clip_them(critic, c),
}


WRONG = dict(
    zip(NAMES, (WRONG_WASSERSTEIN_1D, WRONG_CRITIC_OBJECTIVE, WRONG_CLIP_WEIGHTS), strict=True)
)
TestExercises = exercise_tests(check, "05_wgan", RIGHT, WRONG, nn=nn)


def test_a_clip_that_is_written_but_not_returned_is_not_taken_for_a_blank():
    def clip(critic, c):
        with torch.no_grad():
            for p in critic.parameters():
                p.clamp_(-c, c)

    assert verdict("clip_weights", clip)[0].kind == "fail"


def test_right_answers_pass_whatever_the_seed():
    for seed in range(5):
        torch.manual_seed(seed)
        for name in NAMES:
            assert verdict(name, RIGHT[name])[0].kind == "pass"
