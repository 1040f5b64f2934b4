"""The exercises of notebook 05: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import numpy as np
import torch
from exercises import exercise_tests
from scipy.stats import wasserstein_distance
from torch import nn

from dgmcourse.check import wgan as check


def own_wasserstein_1d(x, y):
    """The area between the two distribution functions, as a number of numpy's."""
    return wasserstein_distance(x.numpy(), y.numpy())


def own_critic_objective(x, prior, generator, critic):
    with torch.no_grad():
        fake = generator(prior.sample((x.shape[0],)))
    both = critic(torch.cat([x, fake]))[:, 0]
    return both[: len(x)] - both[len(x) :]


def row_by_row(x, prior, generator, critic):
    fakes = [generator(prior.sample()) for _ in x]
    return torch.stack([(critic(a) - critic(b))[0] for a, b in zip(x, fakes, strict=True)])


def own_clip_weights(critic, c):
    for layer in critic.modules():
        for p in layer._parameters.values():
            if p is not None:
                p.data = torch.from_numpy(np.clip(p.data.numpy(), -c, c))
    return critic


RIGHT = {
    "wasserstein_1d": own_wasserstein_1d,
    "critic_objective": [own_critic_objective, row_by_row],
    "clip_weights": own_clip_weights,
}


# ---- wrong answers of kinds that no slip states, each with a phrase of its message


def with_codes(codes):
    return lambda x, p, g, critic: (critic(x) - critic(g(codes(x, p)))).squeeze(-1)


def replaced(critic, c):
    critic[0].weight = nn.Parameter(critic[0].weight.detach().clamp(-c, c))
    return critic


def clip_each(critic, c):
    return [p.data.clamp_(-c, c) for p in critic.parameters()]


WRONG = {
    "wasserstein_1d": {
        "take x.sort().values": lambda x, y: (x.sort() - y.sort()).abs().mean(),
        "lists can't be subtracted": lambda x, y: sorted(x) - sorted(y),
        "one distance for each pair": check.of_moves(torch.abs),
        "Only partners in the sorted order": lambda x, y: (x[:, None] - y).abs(),
        "a sum where a mean belongs": check.of_moves(lambda moves: moves.abs().sum()),
    },
    "critic_objective": {
        "one z for each x": with_codes(lambda x, p: p.sample((1,))),
        "same z": with_codes(lambda x, p: p.sample((1,)).expand(len(x), 2)),
        "whatever the prior is": with_codes(lambda x, p: torch.randn(len(x), 2)),
        "D(G(z)) must be subtracted": check.answers(lambda r, f: r + f),
        "no logarithm": check.answers(lambda r, f: r.log() - f.log()),
    },
    "clip_weights": {
        "you replaced": replaced,
        "within torch.no_grad()": lambda critic, c: [p.clamp_(-c, c) for p in critic.parameters()],
        "now return the critic": lambda critic, c: clip_each(critic, c) and None,
        "return the critic itself": clip_each,
        "turns autograd off": lambda critic, c: (
            torch.set_grad_enabled(False),
            clip_each(critic, c),
        ),
        "you scaled the weights": check.set_to(lambda p, c: p * c / p.abs().max()),
        "no longer require": lambda critic, c: own_clip_weights(critic, c).requires_grad_(False),
    },
}
TestExercises = exercise_tests(check, "05_wgan", RIGHT, WRONG, nn=nn)
