"""Checks of notebook 03: log-mean-exp, the density network's estimate of log p(x), ancestral
sampling.

The truth of the first comes from arithmetic with fifty decimal digits, which no exponential
underflows; that of the second from plain probabilities of the very codes that were drawn, and from
integration over z.
"""

import decimal
import math

import numpy as np
import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._old import _Decoder, _match, _shape, _tensor
from dgmcourse.check.vae import sample
from dgmcourse.densities import Gaussian

__all__ = ["log_likelihood", "log_mean_exp", "sample"]

IMAGES = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]], dtype=torch.float64)
BIAS = torch.tensor([0.3, -0.6, 0.9], dtype=torch.float64)


# ---- the course's own answers


def _log_mean_exp(log_w: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])


def _log_likelihood(x: Tensor, prior, decoder, S: int) -> Tensor:
    z = prior.sample((S,))
    return _log_mean_exp(decoder(z).cross_log_prob(x), -1)


def _ran(answer, arguments: tuple, troubles: dict[tuple[type, str], str]):
    """The answer's result; of torch's errors those that usual slips cause are raised as Wrong, in
    words.
    """
    try:
        return answer(*arguments)
    except (TypeError, RuntimeError, AttributeError) as error:
        for (kind, part), words in troubles.items():
            if isinstance(error, kind) and part in str(error):
                raise Wrong(words) from None
        raise


# ---- log-mean-exp

TROUBLE_OF_A_MEAN = {
    (
        RuntimeError,
        "must match the size",
    ): (
        "two shapes do not fit. log_w is (3, 5); did you take its largest terms out without their "
        "axis, (3,)? log_w.amax(dim, keepdim=True) keeps it."
    ),
    (
        TypeError,
        "return_types.max",
    ): (
        "log_w.max(dim) gives two things, the values and where they are: use log_w.amax(dim,"
        " keepdim=True)."
    ),
    (
        TypeError,
        "log(): argument",
    ): "torch.log wants a tensor, and the number of terms is an int: math.log(log_w.shape[dim]).",
}


def _judge_log_mean_exp(log_mean_exp) -> str:
    random = torch.Generator().manual_seed(0)
    log_w = torch.randn(3, 5, generator=random, dtype=torch.float64).requires_grad_()
    value = _reduced(_ran(log_mean_exp, (log_w, 1), TROUBLE_OF_A_MEAN), (3,), log_w)
    truth, w = _by_hand(log_w), log_w.detach()
    _match(
        value.detach(),
        truth,
        "log_mean_exp",
        {
            "you summed where a mean belongs: subtract log S, the number of terms": (
                truth + math.log(5)
            ),
            "you divided the logarithm by S: the division is inside the log, outside it is - log S": (
                (truth + math.log(5)) / 5
            ),
            "you took the logarithm of S to the base 10: math.log(S) is the natural one": (
                truth + math.log(5) - math.log10(5)
            ),
            "you took the logarithm of S to the base 2: math.log(S) is the natural one": (
                truth + math.log(5) - math.log2(5)
            ),
            "you take the log of 1 + the mean: log1p is not log": truth.exp().log1p(),
            "you added log S: a mean divides by S, so subtract it": truth + 2 * math.log(5),
            "you subtracted the logarithm of the wrong length: S is log_w.shape[dim]": (
                truth + math.log(5 / 3)
            ),
            "you divided by the number of all elements: S is log_w.shape[dim]": truth - math.log(3),
            "you subtracted S, not log S": truth + math.log(5) - 5,
            "you averaged the logarithms: take the mean of exp(log_w), then the log": w.mean(1),
            "you returned the mean itself: take its logarithm": truth.exp(),
            "you returned the largest term only": w.amax(1),
            "you took the largest term out and did not put it back: add it after the log": (
                truth - w.amax(1)
            ),
            "you added the largest term inside and again outside: subtract it inside": (
                truth + 2 * w.amax(1)
            ),
            "the sign is turned: return the logarithm, no loss": -truth,
        },
    )
    if not value.requires_grad:
        raise Wrong(
            "log_mean_exp has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )
    gradient = torch.autograd.grad(value.sum(), log_w)[0]
    if not torch.allclose(gradient, torch.exp(w - truth[:, None]) / 5, rtol=1e-6, atol=1e-9):
        raise Wrong(
            "the value is right, its gradient is not: is part of it cut off (.detach(), .data,"
            " torch.no_grad())?"
        )
    for shape, dim in (((4, 3), 0), ((2, 4, 3), 1), ((2, 3), -1)):
        tried = torch.randn(*shape, generator=random, dtype=torch.float64)
        across = tuple(n for i, n in enumerate(shape) if i != dim % len(shape))
        value = _reduced(log_mean_exp(tried, dim), across, tried, dim)
        right = _by_hand(tried.movedim(dim, -1).flatten(0, -2)).view(across)
        if not torch.allclose(value, right, rtol=1e-6, atol=1e-9):
            raise Wrong(
                f"with dim = {dim} and log_w of shape {shape} the values are off: is an axis or a"
                " length fixed?"
            )
    _far_from_zero(log_mean_exp)
    return (
        "value and gradient agree with arithmetic of fifty digits, also where exp(log_w) is 0 or"
        " infinite in floating point."
    )


def _far_from_zero(log_mean_exp) -> None:
    """Rows that exp can't express."""
    row = torch.tensor(
        [[-803.0, -800.0, -801.0, -802.0], [-805.0, -806.0, -804.0, -803.5]], dtype=torch.float64
    )
    value, right = log_mean_exp(row, 1), _by_hand(row)
    if (value == -math.inf).any():
        raise Wrong(
            "for log-weights near -800 you return -inf: exp(-800) is 0 in floating point. Take the"
            " largest term out of the sum first, and add it after the logarithm."
        )
    if not torch.allclose(value, right, rtol=1e-9):
        raise Wrong(
            f"for log-weights near -800 you return {value[0].item():.1f} where"
            f" {right[0].item():.1f} is right: a clamp or a small constant hides the underflow, it"
            " does not cure it. Take the largest term out first."
        )
    mixed = torch.tensor([[-3.0, -4.0, -5.0], [-900.0, -901.0, -902.0]], dtype=torch.float64)
    if not torch.allclose(log_mean_exp(mixed, 1), _by_hand(mixed), rtol=1e-9):
        raise Wrong(
            "a row near -900 beside one near -3 is lost: you took out the largest of the whole"
            " tensor. Each row needs its own, log_w.amax(dim, keepdim=True)."
        )
    wide = torch.tensor(
        [[-800.0, -2000.0], [800.0, -1.0]], dtype=torch.float64
    )  # densities can be large, too
    if not torch.allclose(log_mean_exp(wide, 1), _by_hand(wide), rtol=1e-9):
        raise Wrong(
            "for log-weights of -800 and -2000, or of +800 and -1, the exponential overflows: what"
            " you take out must be the largest term, not the smallest or a constant."
        )
    never = torch.tensor(
        [[-1.0, -math.inf, -2.0], [-math.inf, -math.inf, -math.inf]], dtype=torch.float64
    )
    found = log_mean_exp(never, 1)
    if found[1].isnan() or found[0].isnan():
        raise Wrong(
            "where a log-weight is -inf you return nan: -inf minus -inf is undefined. If no code"
            " explains x, log p(x) is -inf: replace a largest term of -inf by 0, or use"
            " torch.logsumexp."
        )
    if (
        found[1] != -math.inf
        or abs(found[0] - (math.log(math.exp(-1) + math.exp(-2)) - math.log(3))) > 1e-6
    ):
        raise Wrong(
            "a log-weight of -inf counts as a term of 0: it stays in the mean, and all of them give"
            " -inf."
        )


def _by_hand(log_w: Tensor) -> Tensor:
    """log of the mean of exp of each row in arithmetic of fifty digits, whose smallest number is
    1e-999999: (rows,).
    """
    with decimal.localcontext(decimal.Context(prec=50)):
        rows = [[decimal.Decimal(v).exp() for v in row] for row in log_w.detach().tolist()]
        return torch.tensor(
            [float((sum(row) / len(row)).ln()) for row in rows], dtype=torch.float64
        )


def _reduced(value, shape: tuple, log_w: Tensor, dim: int = 1) -> Tensor:
    _tensor(value, "log_mean_exp")
    if value.shape == shape:
        return value
    n, d = log_w.dim(), dim % log_w.dim()
    if value.dim() == 0 and shape:
        raise Wrong("you reduced the whole tensor to one number: the mean runs along dim only.")
    if n == 2 and value.shape == shape * 2:
        raise Wrong(
            f"the result has shape {tuple(value.shape)}: a largest term with its axis,"
            f" {(*shape, 1)}, and a mean without, {shape}, broadcast when you add them. Drop the"
            " axis first: m.squeeze(dim)."
        )
    if value.dim() == n and value.shape[d] == 1:
        raise Wrong(
            f"the axis stays, {tuple(value.shape)}: keepdim=True belongs to the largest term, the"
            f" result has {shape}."
        )
    if value.dim() == n - 1 and value.shape != shape:
        raise Wrong(
            f"the result has shape {tuple(value.shape)}, expected {shape}: the mean runs over the"
            " wrong axis, use dim."
        )
    if value.shape == log_w.shape:
        raise Wrong(
            "the result has as many numbers as log_w: nothing was averaged. Take the mean along"
            " dim."
        )
    raise Wrong(f"log_mean_exp has shape {tuple(value.shape)}, expected {shape}.")


# ---- the estimate of log p(x)


TROUBLE_OF_AN_ESTIMATE = {
    (
        RuntimeError,
        "must match the size",
    ): (
        "the shapes do not fit. There are 4 x and 7 codes; log_prob(x) takes them row by row, "
        "cross_log_prob(x) holds every x against every code: (4, 7)."
    ),
    (
        AttributeError,
        "no attribute 'shape'",
    ): "the decoder got no tensor: give it codes, z = prior.sample((S,)).",
}


class _Prior(Gaussian):
    """N((1, -1/2), diag) that remembers what was drawn from it. Like the course's priors it wants a
    shape.
    """

    def __init__(self):
        mean = torch.tensor([1.0, -0.5], dtype=torch.float64)
        super().__init__(mean, torch.tensor([-1.0, -0.4], dtype=torch.float64))
        self.drawn = []

    def rsample(self, shape: tuple[int, ...] = ()) -> Tensor:  # .sample calls it, too
        if not isinstance(shape, tuple | list):
            raise Wrong(
                "prior.sample wants a shape, a tuple: prior.sample((S,)), with its comma. You gave"
                f" it {shape}, of type {type(shape).__name__}."
            )
        self.drawn.append(super().rsample(tuple(shape)))
        return self.drawn[-1]


def _judge_log_likelihood(log_likelihood) -> str:
    B, S = len(IMAGES), 7
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bias = BIAS.clone().requires_grad_()
        prior = _Prior()
        value = _one_each(
            _ran(log_likelihood, (IMAGES, prior, _Decoder(bias), S), TROUBLE_OF_AN_ESTIMATE), B, S
        )
        z = _codes(prior.drawn, S, B)
        p = torch.special.expit(
            z @ _Decoder(BIAS).weight + BIAS
        )  # (S, B or 1, 3): the pixels' probabilities
        each = torch.where(IMAGES == 1, p, 1 - p)  # (S, B, 3)
        joint = each.prod(-1)  # p(x | z_s), (S, B)
        truth = joint.mean(0).log()
        mean_z = torch.special.expit(z.mean(0) @ _Decoder(BIAS).weight + BIAS)
        log_prior = Gaussian(prior.mean, prior.log_var).log_prob(z)
        _match(
            value.detach(),
            truth,
            "log_likelihood",
            {
                "you averaged the logarithms: the mean is taken of p(x|z), before the log": (
                    joint.log().mean(0)
                ),
                "you forgot to divide by S: it is the log of a mean, use your log_mean_exp": (
                    truth + math.log(S)
                ),
                "you divided by the number of x, not by S": truth + math.log(S / B),
                "you divided by S twice: log_mean_exp does it": truth - math.log(S),
                "you averaged over the samples pixel by pixel: sum the log-probabilities over the pixels first, one code explains a whole image": (
                    each.mean(0).log().sum(-1)
                ),
                "you averaged the log-probabilities over the pixels: sum them": (
                    each.log().mean(-1).exp().mean(0).log()
                ),
                "you decoded the mean of the codes: decode each": (
                    torch.where(IMAGES == 1, mean_z, 1 - mean_z).log().sum(-1)
                ),
                "you kept the best code only: average over all S": joint.amax(0).log(),
                "you kept the best code only, and divided by S: the mean adds up all S": (
                    joint.amax(0).log() - math.log(S)
                ),
                "you divided by p(z): z is drawn from it, which counts it already": (
                    (joint.log() - log_prior).exp().mean(0).log()
                ),
                "you multiplied by p(z) as well: z is drawn from it, which counts it already": (
                    (joint.log() + log_prior).exp().mean(0).log()
                ),
                "you returned p(x): take the logarithm": truth.exp(),
                "it has the wrong sign: log p(x) is what you maximise, no loss": -truth,
            },
        )
        _no_underflow(log_likelihood)
        _gradient(value, bias, joint, p, S)
        asked = _Prior()
        log_likelihood(IMAGES, asked, _Decoder(BIAS), 13)
        _codes(asked.drawn, 13, B)
        many = log_likelihood(IMAGES, _Prior(), _Decoder(BIAS), 5000)
    exact = _integrated()
    return (
        f"with S = 5,000 the first image has log p(x) = {many[0].item():.3f} nats, by integration"
        f" over z {exact[0].item():.3f}; the gradient is the average weighted by softmax(log"
        " p(x|z))."
    )


def _one_each(value, B: int, S: int) -> Tensor:
    _tensor(value, "log_likelihood")
    if value.dim() == 0:
        raise Wrong(
            "log_likelihood is one number for the whole batch: keep one for each x, shape (B,)."
        )
    if value.shape == (S,):
        raise Wrong(
            f"log_likelihood has shape {(S,)}, one number for each code: the mean runs over x. Take"
            " it over the S codes."
        )
    if value.shape in ((B, S), (S, B)):
        raise Wrong(
            f"log_likelihood has shape {tuple(value.shape)}, one number for each pair of x and z:"
            " take the log-mean-exp over the S codes."
        )
    if value.shape == (B, 3):
        raise Wrong(
            "log_likelihood has one number for each pixel: sum over the pixels before you average"
            " over the codes."
        )
    _shape(value, (B,), "log_likelihood")
    return value


def _codes(drawn: list[Tensor], S: int, B: int) -> Tensor:
    """The codes as (S, 1, 2), shared by all x, or (S, B, 2)."""
    if not drawn:
        raise Wrong(
            "no code was drawn by prior.sample: p(z) is whatever `prior` says, not always N(0, I)."
        )
    z = torch.cat(
        [
            part.reshape(-1, *part.shape[-2:]) if part.dim() > 2 else part.reshape(-1, 1, 2)
            for part in drawn
        ]
    )
    if z.shape == (B, S, 2):
        z = z.transpose(0, 1)
    if z.shape == (B * S, 1, 2):  # in a loop over x
        z = z.view(B, S, 2).transpose(0, 1)
    if z.shape in ((S, 1, 2), (S, B, 2)):
        return z
    if len(z) == 1:
        raise Wrong(f"you drew one code where S = {S} are asked for: prior.sample((S,)).")
    if len(z) == B:
        raise Wrong(f"you drew {B} codes, one for each x: draw S = {S}, prior.sample((S,)).")
    raise Wrong(f"you drew {len(z)} codes where S = {S} are asked for: prior.sample((S,)).")


def _no_underflow(log_likelihood) -> None:
    sure = _Decoder(
        torch.tensor([-400.0, 400, -400], dtype=torch.float64),
        torch.zeros(2, 3, dtype=torch.float64),
    )
    value = log_likelihood(IMAGES[:1], _Prior(), sure, 5)  # three wrong pixels of 400 nats
    if not value.isfinite().all() or abs(value.item() + 1200) > 1:
        raise Wrong(
            f"an image of log-probability -1200 gets {value.item():.0f}: somewhere you leave the"
            " logarithm. decoder(z).cross_log_prob(x) and your log_mean_exp never do."
        )


def _gradient(value: Tensor, bias: Tensor, joint: Tensor, p: Tensor, S: int) -> None:
    if not value.requires_grad:
        raise Wrong(
            "log_likelihood has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )
    found = torch.autograd.grad(value.sum(), bias, allow_unused=True)[0]
    weight = joint / joint.sum(0)  # (S, B), the softmax of log p(x|z)
    right = (weight[..., None] * (IMAGES - p)).sum((0, 1))
    if found is None or not torch.allclose(found, right, rtol=1e-6, atol=1e-9):
        raise Wrong(
            "the value is right, its gradient with respect to the decoder is not: is part of it cut"
            " off (.detach(), .data, torch.no_grad())?"
        )


def _integrated() -> Tensor:
    """log p(x) of IMAGES by Gauss-Hermite quadrature over the two dimensions of z: (B,)."""
    nodes, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(60))
    prior, w = _Prior(), torch.cartesian_prod(weights, weights).prod(-1) / (2 * math.pi)
    z = prior.mean + torch.exp(prior.log_var / 2) * torch.cartesian_prod(nodes, nodes)
    p = torch.special.expit(z @ _Decoder(BIAS).weight + BIAS)[:, None]
    return (w[:, None] * torch.where(IMAGES == 1, p, 1 - p).prod(-1)).sum(0).log()


log_mean_exp = Exercise(
    name="log_mean_exp",
    solution=_log_mean_exp,
    judge=_judge_log_mean_exp,
    hints=[
        (
            "log mean exp(a) = m + log mean exp(a - m) for every m. Which m keeps one term at"
            " exp(0) = 1?"
        ),
        (
            "m = log_w.amax(dim, keepdim=True); subtract it inside, add m.squeeze(dim) outside. Or"
            " begin with torch.logsumexp, a sum."
        ),
        "torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])",
    ],
)
log_likelihood = Exercise(
    name="log_likelihood",
    solution=_log_likelihood,
    judge=_judge_log_likelihood,
    hints=[
        (
            "Three steps: draw S codes from the prior, ask the decoder how probable each x is under"
            " each code, average over the codes."
        ),
        (
            "decoder(z) has one row for each code; decoder(z).cross_log_prob(x) holds every x"
            " against every row: (B, S)."
        ),
        "z = prior.sample((S,)), then return log_mean_exp(decoder(z).cross_log_prob(x), 1).",
    ],
)
