"""The exercise of notebook 00: a binary picture's log-probability."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong


def solution(x: Tensor, logits: Tensor) -> Tensor:
    return (x * logits - F.softplus(logits)).sum(-1)


def judge(answer) -> str:
    random = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, 7, generator=random, dtype=torch.float64)
    x = torch.bernoulli(torch.full_like(logits, 0.5), generator=random)
    p = torch.sigmoid(logits)
    by_pixel = torch.where(x == 1, p, 1 - p).log()
    truth = by_pixel.sum(-1)
    got = answer(x.clone(), logits.clone())
    check_shape(got, x)

    def is_(other):
        return torch.allclose(got.double(), other, rtol=1e-4, atol=1e-4)

    mistakes = (
        (
            -truth,
            "the sign is turned: a log-probability is negative, and this course maximises it.",
        ),
        (
            by_pixel.mean(-1),
            "you averaged over the pixels: the log of a product is the sum of the logs.",
        ),
        (truth.exp(), "this is p(x): return its logarithm (784 factors below 1 would round to 0)."),
        (truth / math.log(2), "this is in bits: use the natural logarithm, for nats."),
        (
            (x * p.log()).sum(-1),
            "a white pixel (x = 0) costs something too: log(1 - p) is missing.",
        ),
        ((x * logits).sum(-1), "log(1 + exp(logits)) is still to be subtracted at each pixel."),
        (
            torch.where(x == 1, 1 - p, p).log().sum(-1),
            "p and 1 - p are exchanged: p is that of x = 1.",
        ),
        (
            (x * logits - F.softplus(-logits)).sum(-1),
            "softplus(-l) is log(1 + exp(-l)): subtract log(1 + exp(l)), softplus(l).",
        ),
        ((x * logits + F.softplus(logits)).sum(-1), "you added log(1 + exp(l)): subtract it."),
        (
            -F.softplus(logits).sum(-1),
            "x has no influence: x l is missing, the gain where there is ink.",
        ),
        (p.log().sum(-1), "this is log p for every pixel: where x = 0 it is log(1 - p)."),
        (
            (x * p.log() - (1 - x) * (1 - p).log()).sum(-1),
            "a white pixel's log(1 - p) is added, not subtracted.",
        ),
        (
            (x * p.log() + (1 - x) * (1 - p.log())).sum(-1),
            "1 - log p is not log(1 - p): take the logarithm last.",
        ),
        (
            (x * p - F.softplus(p)).sum(-1),
            "you put sigmoid(l) where l belongs: this form wants the logits themselves.",
        ),
        (
            by_pixel.sum(-1) / len(x),
            "you divided by the batch's size: one picture's value knows nothing of the others.",
        ),
    )
    if not got.isfinite().all():
        raise Wrong(
            "some values are not finite: a logit is any real number, its sigmoid is the"
            " probability."
        )
    for wrong, message in mistakes:
        if is_(wrong):
            raise Wrong(message)
    if not is_(truth):
        raise Wrong(
            f"for one picture of 7 pixels log p(x) is {truth[0]:.3f}, you get {got[0].item():.3f}."
        )

    leading = answer(x.expand(3, 5, 7), logits.expand(3, 5, 7))
    if leading.shape != (3, 5) or not torch.allclose(leading.double(), truth.expand(3, 5)):
        raise Wrong(
            "sum over the last axis, sum(-1): the pixels stand there, however many axes are before."
        )
    logits.requires_grad_()
    value = answer(x, logits)
    if not value.requires_grad:
        raise Wrong(
            "no gradient flows back to the logits: use torch's functions, without detach or"
            " no_grad."
        )
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    if not torch.allclose(gradient, x - p, atol=1e-5):
        raise Wrong(
            "the value is right, its gradient with respect to the logits is not: it should be x"
            " - p."
        )
    at_200 = answer(torch.ones(1, 1), torch.full((1, 1), 200.0))
    if at_200.isnan().any():
        raise Wrong(
            "right for small logits, but for a logit of 200 and x = 1 it is not a number: 1 - p was"
            " rounded to 0, and 0 * log 0 is none. Take the second form, from the logits, with"
            " F.softplus."
        )
    if at_200.isinf().any():
        raise Wrong(
            "right for small logits, but exp(200) is more than float32 can hold: F.softplus(l) is"
            " log(1 + exp(l)) safely."
        )
    sure = torch.tensor([[0.0, 1.0]]), torch.tensor([[200.0, 200.0]])  # float32, as in training
    if not torch.allclose(answer(*sure), torch.tensor([-200.0])):
        raise Wrong(
            "right for small logits, but for a logit of 200 and x = 0 it gives"
            f" {answer(*sure).item():.4g}, not -200: 1 - p was rounded to 0. Go from the logits:"
            " log(1 + exp(l)) is F.softplus(l)."
        )
    return "value, shape and gradient are right, and a logit of 200 does no harm."


def check_shape(got, x: Tensor) -> None:
    """One number per picture."""
    if not isinstance(got, Tensor):
        raise Wrong(f"return a tensor; this is {type(got).__name__}.")
    if got.shape == x.shape:
        raise Wrong("this is one number per pixel: sum over the pixels, the last axis.")
    if got.dim() == 0:
        raise Wrong(
            "this is one number for the whole batch: sum over the last axis only, for one per"
            " picture."
        )
    if got.shape == x.shape[-1:]:
        raise Wrong("you summed over the batch: sum over the pixels, the last axis.")
    if got.shape != x.shape[:-1]:
        raise Wrong(
            f"x has shape {(*x.shape,)}: the answer's is {(*x.shape[:-1],)}, yours {(*got.shape,)}."
        )


log_bernoulli = Exercise(
    "log_bernoulli",
    solution,
    judge,
    [
        "one pixel first: with p = sigmoid(l), log p(x) is log p if x = 1 and log(1 - p) if x = 0.",
        "both cases in one line: x l - log(1 + exp(l)). Check it by hand for x = 0 and x = 1.",
        "torch.nn.functional.softplus(l) is log(1 + exp(l)), safely. Then .sum(-1).",
    ],
)
