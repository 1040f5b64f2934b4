"""The exercise of notebook 00: right answers pass however they are written, wrong ones are told what
is wrong.
"""

import numpy as np
import torch
import torch.nn.functional as F
from exercises import exercise_tests
from torch.distributions import Bernoulli

from dgmcourse.check import welcome as check


def by_loss(x, a):
    return -F.binary_cross_entropy_with_logits(a, x, reduction="none").sum(1)


def pixels(x, a):
    return x * a - F.softplus(a)


def likelihood(x, a):
    return torch.where(x == 1, torch.sigmoid(a), 1 - torch.sigmoid(a))


RIGHT = {
    "log_bernoulli": [
        by_loss,
        lambda x, a: F.logsigmoid((2 * x - 1) * a).sum(dim=-1),
        lambda x, a: Bernoulli(logits=a).log_prob(x).sum(-1),
        lambda x, a: torch.einsum("bd,bd->b", x, a) - torch.logaddexp(a, 0 * a).sum(1),
    ]
}
WRONG = {
    "log_bernoulli": {
        "one number for each entry": pixels,
        "one number for the whole batch": lambda x, a: by_loss(x, a).sum(),
        "summed over the batch": lambda x, a: pixels(x, a).sum(0),
        "a mean where a sum belongs": lambda x, a: pixels(x, a).mean(-1),
        "the sign is turned": lambda x, a: -by_loss(x, a),
        "take its logarithm": lambda x, a: by_loss(x, a).exp(),
        "to the base 2": lambda x, a: by_loss(x, a) / np.log(2),
        "1 too small everywhere": lambda x, a: by_loss(x, a) - 1,
        "to be subtracted, is missing": lambda x, a: (x * a).sum(-1),
        "log(1 + exp(l)) must be subtracted": lambda x, a: (x * a + F.softplus(a)).sum(-1),
        "x l, the gain where there is ink, is missing": lambda x, a: -F.softplus(a).sum(-1),
        "its sigmoid is the probability": lambda x, a: (x * a.log() + (1 - x) * (1 - a).log()).sum(
            -1
        ),
        "exp(800)": lambda x, a: (x * a - (1 + a.exp()).log()).sum(-1),
        "0 * log 0": lambda x, a: (x * a.sigmoid().log() + (1 - x) * (1 - a.sigmoid()).log()).sum(
            -1
        ),
        "-inf nats where": lambda x, a: likelihood(x, a).log().sum(-1),
        "or clamped": lambda x, a: likelihood(x, a).clamp(1e-7).log().sum(-1),
        "not for a batch of one": lambda x, a: pixels(x, a).sum(-1).squeeze(),
        "rows must not mix": lambda x, a: by_loss(x, a) / len(x),
        "has no gradient": lambda x, a: by_loss(x, a).detach(),
        "is part of it cut off": lambda x, a: (x * a - F.softplus(a.detach())).sum(-1),
        "changes x in place": lambda x, a: F.logsigmoid(x.mul_(2).sub_(1) * a).sum(-1),
        "should be a tensor, it is float": lambda x, a: 0.0,
        "stopped with RuntimeError": lambda x, a: x @ a,
    }
}
TestExercises = exercise_tests(check, "00_welcome", RIGHT, WRONG)
