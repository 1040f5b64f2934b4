"""Checks of notebook 03: log-mean-exp, the density network's estimate of log p(x), ancestral
sampling.

The truth of the first comes from arithmetic with fifty decimal digits, which no exponential
underflows; that of the second from plain probabilities of the very codes that were drawn.
"""

import decimal
import math

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Function, randn, reals
from dgmcourse.check._progress import progress as progress
from dgmcourse.check._stubs import Decoder, Prior
from dgmcourse.check.vae import sample

__all__ = ["log_likelihood", "log_mean_exp", "sample"]


# ---- the course's own answers


def _log_mean_exp(log_w: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])


def _log_likelihood(x: Tensor, prior, decoder, S: int) -> Tensor:
    z = prior.sample((S,))
    return _log_mean_exp(decoder(z).cross_log_prob(x), -1)


# ---- log-mean-exp


def by_decimals(log_w: Tensor, dim: int) -> Tensor:
    """Arithmetic of fifty digits, whose smallest number is 1e-999999."""
    rows = log_w.detach().movedim(dim, -1)
    with decimal.localcontext(decimal.Context(prec=50)):
        means = [
            sum(decimal.Decimal(v).exp() for v in row) / len(row)
            for row in rows.flatten(0, -2).tolist()
        ]
        logs = [float(mean.ln()) for mean in means]
    return torch.tensor(logs, dtype=torch.float64).view(rows.shape[:-1])


def mean_exp(a: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    return a.exp().mean(dim, keepdim)


def plus(more):
    """A slip: the right value plus something made of log_w and dim."""
    return lambda a, dim: mean_exp(a, dim).log() + more(a, dim)


def log_S(a: Tensor, dim: int) -> float:
    return math.log(a.shape[dim])


LOG_W, SHORT, TALL, CUBE = randn(0, (3, 5), (2, 6), (4, 3), (2, 4, 3))
NEVER = -1e9  # stands for -inf, along which nothing can move
UNDER, MIXED, WIDE, ONE, ALL = reals(
    [[-803.0, -800.0, -801.0, -802.0], [-805.0, -806.0, -804.0, -803.5]],
    [[-3.0, -4.0, -5.0], [-900.0, -901.0, -902.0]],
    [[-800.0, -2000.0], [800.0, -1.0]],
    [[-1.0, NEVER, -2.0], [-3.0, 0.5, NEVER]],
    [[-1.0, NEVER, -2.0], [NEVER, NEVER, NEVER]],
)
FIXED = "use dim and log_w.shape[dim], no fixed axis or length"

log_mean_exp = Exercise(
    name="log_mean_exp",
    solution=_log_mean_exp,
    judge=Function(
        "log_mean_exp",
        truth=by_decimals,
        given=lambda log_w, dim: (log_w.masked_fill(log_w == NEVER, -math.inf), dim),
        learn=("log_w",),
        cases=[(LOG_W, 1)],
        edges=[
            *("for log_w of shape (2, 6)", FIXED, (SHORT, 1)),
            *("for log_w of shape (4, 3) and dim = 0", FIXED, (TALL, 0)),
            *("for log_w of shape (2, 4, 3) and dim = 1", FIXED, (CUBE, 1)),
            *("for dim = -1", FIXED, (TALL, -1)),
            *("for one row", "", (LOG_W[:1], 1)),
            *("for one term", "", (LOG_W[:, :1], 1)),
            "for log-weights near -800",
            "exp(-800) is 0 in floating point, and a clamp or a small constant hides it, but does not"
            " cure it. Take the largest term out of the sum first, and add it after the logarithm",
            (UNDER, 1),
            "for a row near -900 beside one near -3",
            "you took out the largest of the whole tensor. Each row needs its own,"
            " log_w.amax(dim, keepdim=True)",
            (MIXED, 1),
            "for log-weights of -800 and -2000, or of 800 and -1",
            "the exponential overflows: what you take out must be the largest term, not the smallest"
            " or a constant",
            (WIDE, 1),
            *("where one log-weight is -inf", "it counts as a term of 0, in the mean", (ONE, 1)),
            "where all of a row are -inf",
            "-inf minus -inf is undefined. If no code explains x, log p(x) is -inf: replace a largest"
            " term of -inf by 0, or use torch.logsumexp",
            (ALL, 1),
        ],
        slips=[
            "you divided the logarithm by S: the division is inside the log, outside it is - log S",
            lambda a, dim: a.exp().sum(dim).log() / a.shape[dim],
            "you took the logarithm of S to the base 10: math.log(S) is the natural one",
            plus(lambda a, dim: log_S(a, dim) * (1 - 1 / math.log(10))),
            "you took the logarithm of S to the base 2: math.log(S) is the natural one",
            plus(lambda a, dim: log_S(a, dim) * (1 - 1 / math.log(2))),
            "you take the log of 1 + the mean: log1p is not log",
            lambda a, dim: mean_exp(a, dim).log1p(),
            "you added log S: a mean divides by S, so subtract it",
            plus(lambda a, dim: 2 * log_S(a, dim)),
            "you subtracted the logarithm of the wrong length: S is log_w.shape[dim]",
            plus(lambda a, dim: log_S(a, dim) - log_S(a, 0)),
            "you divided by the number of all elements: S is log_w.shape[dim]",
            plus(lambda a, dim: log_S(a, dim) - math.log(a.numel())),
            *("you subtracted S, not log S", plus(lambda a, dim: log_S(a, dim) - a.shape[dim])),
            "you averaged the logarithms: take the mean of exp(log_w), then the log",
            lambda a, dim: a.mean(dim),
            *("you returned the largest term only", lambda a, dim: a.amax(dim)),
            "you kept the largest term only, and divided by S: the mean adds up all terms",
            lambda a, dim: a.amax(dim) - log_S(a, dim),
            "you took the largest term out and did not put it back: add it after the log",
            plus(lambda a, dim: -a.amax(dim)),
            "you added the largest term inside and again outside: subtract it inside",
            plus(lambda a, dim: 2 * a.amax(dim)),
            "the logarithms are weighed by their softmax: take the mean of exp(log_w), then the log",
            lambda a, dim: (a.softmax(dim) * a).sum(dim),
        ],
        shapes=[
            (),
            "you reduced the whole tensor to one number: the mean runs along dim only",
            (3, 3),
            "a largest term with its axis, (3, 1), and a mean without, (3,), broadcast when you add"
            " them. Drop the axis first: m.squeeze(dim)",
            (3, 1),
            "the axis stays: keepdim=True belongs to the largest term, the result has (3,)",
            *((5,), "the mean runs over the wrong axis: use dim"),
            *((3, 5), "as many as log_w has: nothing was averaged. Take the mean along dim"),
        ],
        errors={
            "must match the size": "two shapes do not fit. log_w is (3, 5); did you take its largest"
            " terms out without their axis, (3,)? log_w.amax(dim, keepdim=True) keeps it",
            "return_types.max": "log_w.max(dim) gives two things, the values and where they are: use"
            " log_w.amax(dim, keepdim=True)",
            "log(): argument": "torch.log wants a tensor, and the number of terms is an int:"
            " math.log(log_w.shape[dim])",
        },
        unit="nats",
        praise="value and gradient agree with arithmetic of fifty digits, also where exp(log_w) is 0 or"
        " infinite in floating point.",
    ),
    hints=[
        "log mean exp(a) = m + log mean exp(a - m) for every m. Which m keeps one term at exp(0) = 1?",
        "m = log_w.amax(dim, keepdim=True); subtract it inside, add m.squeeze(dim) outside. Or begin"
        " with torch.logsumexp, a sum.",
        "torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])",
    ],
)


# ---- the estimate of log p(x)


def codes(drawn: list[Tensor], S: int, B: int) -> Tensor:
    """The codes as (S, 1, 2), shared by all x, or (S, B, 2)."""
    if not drawn:
        raise Wrong(
            "no code was drawn by prior.sample: p(z) is whatever `prior` says, not always N(0, I)."
        )
    z = torch.cat(
        [part.reshape(-1, *part.shape[-2:] if part.dim() > 2 else (1, 2)) for part in drawn]
    )
    if z.shape == (B, S, 2):
        z = z.transpose(0, 1)
    if z.shape == (B * S, 1, 2):  # in a loop over x
        z = z.view(B, S, 2).transpose(0, 1)
    if z.shape in ((S, 1, 2), (S, B, 2)):
        return z
    each = ", one for each x" if len(z) == B > 1 else ""
    raise Wrong(
        f"you drew {'one code' if len(z) == 1 else f'{len(z)} codes'}{each}, where S = {S} are asked"
        " for: prior.sample((S,))."
    )


def from_probabilities(x: Tensor, prior: Prior, decoder: Decoder, S: int) -> Tensor:
    """log of the mean over the codes that were drawn of p(x|z), a product over pixels: (B,)."""
    logits = codes(prior.drawn, S, len(x)) @ decoder.weight + decoder.bias
    log_p = -torch.logaddexp(torch.zeros_like(logits), (1 - 2 * x) * logits).sum(-1)  # (S, B)
    best = log_p.detach().amax(0)
    return (log_p - best).exp().mean(0).log() + best


def table(change):
    """A slip, of log p(x|z), (S, B), the codes (S, 2) and the prior."""

    def slip(x, prior, decoder, S):
        z = prior.sample((S,))
        return change(decoder(z[:, None]).log_prob(x), z, prior)

    return slip


def averaged(log_p: Tensor) -> Tensor:
    return log_p.exp().mean(0).log()


def pixel_by_pixel(x, prior, decoder, S):
    p = decoder(prior.sample((S,))).mean.mean(0)
    return torch.where(x == 1, p, 1 - p).log().sum(-1)


IMAGES, BIAS, MEAN, LOG_VAR, SURE = reals(
    [[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]],
    *([0.3, -0.6, 0.9], [1.0, -0.5], [-1.0, -0.4], [400, -400, 400]),
)
(WEIGHT,) = reals([[1.5, -1.0, 0.5], [0.5, 1.0, -2.0]])
NETS = MEAN, LOG_VAR, BIAS, WEIGHT

log_likelihood = Exercise(
    name="log_likelihood",
    solution=_log_likelihood,
    judge=Function(
        "log_likelihood",
        truth=from_probabilities,
        random=True,
        given=lambda x, mean, log_var, bias, weight, S: (
            x,
            Prior(mean, log_var),
            Decoder(bias, weight),
            S,
        ),
        learn=("mean", "log_var", "bias", "weight"),
        rows="x",
        cases=[(IMAGES, *NETS, 7), (IMAGES[:3], *NETS, 13)],
        edges=[
            *("for one code", "", (IMAGES, *NETS, 1)),
            "for images of up to 1,200 nats",
            "somewhere you leave the logarithm, or take one largest term out of the whole table."
            " decoder(z).cross_log_prob(x) and your log_mean_exp never do",
            (IMAGES, MEAN, LOG_VAR, SURE, 0 * WEIGHT, 7),
        ],
        slips=[
            "you averaged the logarithms: the mean is taken of p(x|z), before the log",
            table(lambda log_p, z, prior: log_p.mean(0)),
            "you forgot to divide by S: it is the log of a mean, use your log_mean_exp",
            table(lambda log_p, z, prior: log_p.exp().sum(0).log()),
            "you divided by the number of x, not by S",
            table(lambda log_p, z, prior: (log_p.exp().sum(0) / log_p.shape[1]).log()),
            "you divided by S twice: log_mean_exp does it",
            table(lambda log_p, z, prior: averaged(log_p) - math.log(len(z))),
            "you averaged over the samples pixel by pixel: sum the log-probabilities over the pixels"
            " first, one code explains a whole image",
            pixel_by_pixel,
            "you averaged the log-probabilities over the pixels: sum them",
            table(lambda log_p, z, prior: averaged(log_p / 3)),
            "you decoded the mean of the codes: decode each",
            lambda x, prior, decoder, S: decoder(prior.sample((S,)).mean(0)).log_prob(x),
            "you kept the best code only: average over all S",
            table(lambda log_p, z, prior: log_p.amax(0)),
            "you kept the best code only, and divided by S: the mean adds up all S",
            table(lambda log_p, z, prior: log_p.amax(0) - math.log(len(z))),
            "you divided by p(z): z is drawn from it, which counts it already",
            table(lambda log_p, z, prior: averaged(log_p - prior.log_prob(z)[:, None])),
            "you multiplied by p(z) as well: z is drawn from it, which counts it already",
            table(lambda log_p, z, prior: averaged(log_p + prior.log_prob(z)[:, None])),
        ],
        shapes=[
            *((7,), "one number for each code: the mean runs over x. Take it over the S codes"),
            *(
                (4, 7),
                "one number for each pair of x and z: take the log-mean-exp over the S codes",
            ),
            *(
                (7, 4),
                "one number for each pair of x and z: take the log-mean-exp over the S codes",
            ),
            *((4, 3), "one number for each pixel: sum over them before you average over the codes"),
        ],
        errors={
            "must match the size": "the shapes do not fit. There are 4 x and 7 codes; log_prob(x)"
            " takes them row by row, cross_log_prob(x) holds every x against every code: (4, 7)",
            "no attribute 'shape'": "the decoder got no tensor: give it codes, z = prior.sample((S,))",
        },
        unit="nats",
        praise="it agrees with the mean of plain probabilities over the codes that you drew, to"
        " {trial.off:.0e} nats; the gradient is the average weighted by softmax(log p(x|z)).",
    ),
    hints=[
        "Three steps: draw S codes from the prior, ask the decoder how probable each x is under each"
        " code, average over the codes.",
        "decoder(z) has one row for each code; decoder(z).cross_log_prob(x) holds every x against"
        " every row: (B, S).",
        "z = prior.sample((S,)), then return log_mean_exp(decoder(z).cross_log_prob(x), 1).",
    ],
)
