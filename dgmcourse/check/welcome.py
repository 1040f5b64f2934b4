"""The exercise of notebook 00: a binary picture's log-probability.

The truth comes from scalar arithmetic in Python's floats, pixel by pixel.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise
from dgmcourse.check._judge import Function, randn, reals
from dgmcourse.check._progress import progress as progress


def _log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - F.softplus(logits)).sum(-1)


def log_sigmoid(logit: float) -> float:
    return min(logit, 0.0) - math.log1p(math.exp(-abs(logit)))


def pixel_by_pixel(x: Tensor, logits: Tensor) -> Tensor:
    rows = torch.where(x == 1, logits, -logits).tolist()
    return reals([sum(map(log_sigmoid, row)) for row in rows])[0]


def summed(pixel):
    """A slip, of x, the logits, p and 1 - p."""
    return lambda x, a: pixel(x, a, a.sigmoid(), 1 - a.sigmoid()).sum(-1)


LOGITS = 2 * randn(0, (5, 7))[0]
X = (randn(1, (5, 7))[0] > 0).double()
SURE = reals([[1.0], [0.0], [1.0], [0.0]], [[800.0], [800.0], [-800.0], [-800.0]])

log_bernoulli = Exercise(
    name="log_bernoulli",
    solution=_log_bernoulli,
    judge=Function(
        "log p(x)",
        truth=pixel_by_pixel,
        rows="x logits",
        learn=("logits",),
        cases=[(X, LOGITS)],
        edges=[
            *("for one pixel", "", (X[:, :1], LOGITS[:, :1])),
            "at logits of 800 and -800",
            "1 - p or p was rounded to 0 or clamped (0 * log 0 is no number), or exp(800) is more than a"
            " float can hold. Go from the logits: log(1 + exp(l)) is F.softplus(l)",
            SURE,
        ],
        slips=[
            "a white pixel (x = 0) costs something too: log(1 - p) is missing",
            summed(lambda x, a, p, q: x * p.log()),
            "a white pixel's log(1 - p) is added, not subtracted",
            summed(lambda x, a, p, q: x * p.log() - (1 - x) * q.log()),
            "this is log p for every pixel: where x = 0 it is log(1 - p)",
            summed(lambda x, a, p, q: p.log()),
            "p and 1 - p are exchanged: p is that of x = 1",
            summed(lambda x, a, p, q: x * q.log() + (1 - x) * p.log()),
            "1 - log p is not log(1 - p): take the logarithm last",
            summed(lambda x, a, p, q: x * p.log() + (1 - x) * (1 - p.log())),
            "softplus(-l) is log(1 + exp(-l)): subtract log(1 + exp(l)), softplus(l)",
            summed(lambda x, a, p, q: x * a - F.softplus(-a)),
            "you put sigmoid(l) where l belongs: this form wants the logits themselves",
            summed(lambda x, a, p, q: x * p - F.softplus(p)),
            "a softmax makes one of D classes: pixels are independent, each with a sigmoid of its own",
            lambda x, a: (x * a.log_softmax(-1)).sum(-1),
        ],
        terms={
            "x l, the gain where there is ink,": lambda x, a: (x * a).sum(-1),
            "log(1 + exp(l)), to be subtracted,": lambda x, a: -F.softplus(a).sum(-1),
        },
        nan="a logit is any real number, its sigmoid is the probability",
        unit="nats",
        praise="value, shape and gradient are right, and a logit of 800 does no harm.",
    ),
    hints=[
        "one pixel first: with p = sigmoid(l), log p(x) is log p if x = 1 and log(1 - p) if x = 0.",
        "both cases in one line: x l - log(1 + exp(l)). Check it by hand for x = 0 and x = 1.",
        "torch.nn.functional.softplus(l) is log(1 + exp(l)), safely. Then .sum(-1).",
    ],
)
