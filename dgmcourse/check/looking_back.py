"""Checks of notebook 16: a Frechet distance, and a diffusion model's noise, its layer's KL and its
step back.

The truth comes from quantile functions, from noise added in many small steps, from Bayes' rule and
from integration; never from the formula that is asked for.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise
from dgmcourse.check._judge import Function, randn, reals
from dgmcourse.check._progress import progress as progress

# ---- the course's own answers


def _frechet(x: Tensor, y: Tensor) -> Tensor:
    return ((x.mean(0) - y.mean(0)) ** 2 + (x.std(0) - y.std(0)) ** 2).sum()


def _add_noise(x: Tensor, epsilon: Tensor, log_snr: Tensor) -> Tensor:
    return torch.sigmoid(log_snr).sqrt() * x + torch.sigmoid(-log_snr).sqrt() * epsilon


def _layer_kl(x: Tensor, guess: Tensor, log_snr_below: Tensor, log_snr: Tensor) -> Tensor:
    return 0.5 * (log_snr_below.exp() - log_snr.exp()) * ((x - guess) ** 2).sum(-1)


def _step_back(
    z: Tensor, guess: Tensor, epsilon: Tensor, log_snr_below: Tensor, log_snr: Tensor
) -> Tensor:
    alpha, alpha_below = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(log_snr_below).sqrt()
    sigma_below, r = torch.sigmoid(-log_snr_below).sqrt(), torch.exp(log_snr - log_snr_below)
    return alpha_below * (r * z / alpha + (1 - r) * guess) + (1 - r).sqrt() * sigma_below * epsilon


# ---- the Frechet distance of two Gaussians


def quadrature() -> tuple[Tensor, Tensor]:
    """Nodes and weights of an expectation under a standard Gaussian."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    return torch.tensor(nodes), torch.tensor(weights / weights.sum())


def between_quantiles(x: Tensor, y: Tensor) -> Tensor:
    r"""$\sum_d \int_0^1 (F_d^{-1}(u) - G_d^{-1}(u))^2 du$ for the Gaussians fitted to x and y, with
    u the distribution function of a standard Gaussian number.
    """
    t, weight = quadrature()
    f, g = (h.mean(0) + h.var(0).sqrt() * t[:, None] for h in (x.double(), y.double()))
    return (weight[:, None] * (f - g) ** 2).sum()


def heaps(seed: int, D: int) -> list[Tensor]:
    """Two heaps of points, of correlated dimensions."""
    x, y, A, B, v, w = randn(seed, (2000, D), (1500, D), (D, D), (D, D), (D,), (D,))
    return [x @ A + v, y @ B + w]


def fitted(combine):
    """A slip or a term, of the means m and w and the standard deviations s and t."""
    return lambda x, y: combine(x.mean(0), y.mean(0), x.std(0), y.std(0)).sum()


frechet = Exercise(
    name="frechet",
    solution=_frechet,
    judge=Function(
        "frechet",
        truth=between_quantiles,
        rtol=2e-3,  # N or N - 1 below the variance: either will do
        cases=[heaps(seed, D) for seed, D in enumerate((3, 2, 4, 3, 2))],
        edges=[
            *("in one dimension", "", heaps(5, 1)),
            *("for a set and itself", "", heaps(0, 3)[:1] * 2),
            *("where a dimension is constant", "", [h * reals([1, 0, 1])[0] for h in heaps(0, 3)]),
            "where the means are 1,000, in float32",
            "E[x^2] - E[x]^2 is a small difference of large numbers. Take .std(0)",
            [(h + 1e3).float() for h in heaps(0, 3)],
        ],
        slips=[
            "you took the square root: W is the root of this, the Frechet distance is its square",
            lambda x, y: between_quantiles(x, y).sqrt(),
            "you compared variances: compare standard deviations",
            fitted(lambda m, w, s, t: (m - w) ** 2 + (s**2 - t**2) ** 2),
            "you took the variances' difference as it is: compare standard deviations, (s - t)^2",
            fitted(lambda m, w, s, t: (m - w) ** 2 + s**2 - t**2),
            "you took the variances' distance as it is: compare standard deviations, (s - t)^2",
            fitted(lambda m, w, s, t: (m - w) ** 2 + (s**2 - t**2).abs()),
            "you forgot to square",
            fitted(lambda m, w, s, t: (m - w).abs() + (s - t).abs()),
            "the means' distance is not squared",
            fitted(lambda m, w, s, t: (m - w).abs() + (s - t) ** 2),
            "the standard deviations' distance is not squared",
            fitted(lambda m, w, s, t: (m - w) ** 2 + (s - t).abs()),
            "you took mean and spread of all numbers together: each dimension has its own, .mean(0)"
            " and .std(0)",
            lambda x, y: (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2,
            "you took the spread of all numbers together: each dimension has its own, .std(0)",
            lambda x, y: fitted(lambda m, w, s, t: (m - w) ** 2)(x, y) + (x.std() - y.std()) ** 2,
            "the spread is taken about 0, the root of the mean square: subtract the mean, .std(0)",
            fitted(lambda m, w, s, t: (m - w) ** 2 + (s.hypot(m) - t.hypot(w)) ** 2),
            "this is a KL divergence: the squared distances of means and of standard deviations",
            fitted(lambda m, w, s, t: (t / s).log() + (s**2 + (m - w) ** 2) / (2 * t**2) - 0.5),
        ],
        terms={
            "the distance of the means": fitted(lambda m, w, s, t: (m - w) ** 2),
            "s^2 + t^2 of the spreads": fitted(lambda m, w, s, t: s**2 + t**2),
            "s t of the spreads": fitted(lambda m, w, s, t: s * t),
        },
        shapes=[
            *((3,), "one number for each dimension: sum them"),
            *((1500,), "it is one number for two whole sets: reduce over the rows, axis 0"),
        ],
        errors={
            "must match the size of tensor b": "the sets have different numbers of points, so no point"
            " has a partner: take mean and spread of each set over its rows, axis 0"
        },
        praise="it is the squared distance of the quantile functions, summed over dimensions, to"
        " {trial.off:.0e}, and so are its gradients.",
    ),
    hints=[
        "Four vectors of D numbers: x.mean(0), y.mean(0), x.std(0), y.std(0). Axis 0 holds the images.",
        "The squared distance of the means, and the squared distance of the standard"
        " deviations, each summed over the dimensions.",
        "((x.mean(0) - y.mean(0)) ** 2 + (x.std(0) - y.std(0)) ** 2).sum()",
    ],
)


# ---- noise, all at once


def in_small_steps(x: Tensor, epsilon: Tensor, log_snr: Tensor) -> Tensor:
    """z after 100 steps that each keep a little less of it and fill up the variance."""
    log_alpha = -0.5 * F.softplus(-log_snr.double(), threshold=40)
    mean, var, kept = x.double(), 0.0, log_alpha / 100
    for _ in range(100):
        mean, var = kept.exp() * mean, (2 * kept).exp() * var - torch.expm1(2 * kept)
    return mean + var.sqrt() * epsilon


def roots(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma."""
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def scaled(scales):
    """A slip, of alpha^2, sigma^2 and log_snr, which gives alpha and sigma."""

    def add_noise(x, epsilon, log_snr):
        a, b = scales(torch.sigmoid(log_snr), torch.sigmoid(-log_snr), log_snr)
        return a * x + b * epsilon

    return add_noise


X, EPSILON, GUESS, Z = randn(1, (12, 3), (12, 3), (12, 3), (12, 3))
ABOVE = torch.linspace(-5, 5, 12, dtype=torch.float64)  # log SNR_t of each row's layer
BELOW = ABOVE + reals([0.5, 1.5, 0.1, 1.0, 0.8, 2.0, 0.7, 0.3, 1.2, 0.4, 0.9, 0.6])[0]

add_noise = Exercise(
    name="add_noise",
    solution=_add_noise,
    judge=Function(
        "add_noise",
        truth=in_small_steps,
        rows="x epsilon log_snr",
        learn=("x", "epsilon"),  # the layers are fixed
        cases=[(X, EPSILON, ABOVE[:, None])],
        edges=[
            *("in one dimension", "", (X[:, :1], EPSILON[:, :1], ABOVE[:, None])),
            "where log_snr is -95 or 95",
            "exp overflows, torch.sigmoid does not; and nothing is to be clamped",
            [part.float() for part in (X[:2], EPSILON[:2], reals([[-95], [95]])[0])],
        ],
        slips=[
            "you multiplied by alpha^2 and sigma^2: take their square roots",
            scaled(lambda a2, s2, log: (a2, s2)),
            "alpha and sigma have changed places",
            scaled(lambda a2, s2, log: roots(-log)),
            "SNR is alpha^2 / sigma^2, not alpha / sigma",
            scaled(lambda a2, s2, log: roots(2 * log)),
            "alpha^2 is the sigmoid of log_snr, not of the SNR",
            scaled(lambda a2, s2, log: roots(log.exp())),
            "log_snr is a natural logarithm, not one to base 10",
            scaled(lambda a2, s2, log: roots(math.log(10) * log)),
            "sigma is 1 - alpha: the squares add up to 1",
            scaled(lambda a2, s2, log: (a2.sqrt(), 1 - a2.sqrt())),
        ],
        terms={
            "alpha x": scaled(lambda a2, s2, log: (a2.sqrt(), 0)),
            "sigma epsilon": scaled(lambda a2, s2, log: (0, s2.sqrt())),
            "x, not shrunk by alpha,": scaled(lambda a2, s2, log: (1, 0)),
            "epsilon, not scaled by sigma,": scaled(lambda a2, s2, log: (0, 1)),
            "alpha^2 x, without the root,": scaled(lambda a2, s2, log: (a2, 0)),
            "sigma^2 epsilon, without the root,": scaled(lambda a2, s2, log: (0, s2)),
        },
        errors={
            "must match the size of tensor b": "log_snr is (B, 1), one number for each row: leave its"
            " axis of 1"
        },
        nan="did you take log_snr for the SNR? It may be negative: alpha^2 = SNR / (1 + SNR), with SNR ="
        " exp(log_snr), is sigmoid(log_snr)",
        praise="it is what 100 small steps of noise make, to {trial.off:.0e}, and so are its gradients.",
    ),
    hints=[
        "Solve alpha^2 + sigma^2 = 1 and alpha^2 / sigma^2 = exp(log_snr) for alpha^2.",
        "alpha^2 = SNR / (1 + SNR) = sigmoid(log_snr), and sigma^2 = sigmoid(-log_snr). Take"
        " the roots.",
        "torch.sigmoid(log_snr).sqrt() * x + torch.sigmoid(-log_snr).sqrt() * epsilon",
    ],
)


# ---- what one layer costs


def below(z: Tensor, x: Tensor, log_snr_below: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(z_{t-1}|z_t, x): two Gaussian factors in z_{t-1}, precisions added."""
    alpha2, alpha2_below = 1 / (1 + torch.exp(-log_snr)), 1 / (1 + torch.exp(-log_snr_below))
    kept2 = alpha2 / alpha2_below
    of_x, of_z = 1 + torch.exp(log_snr_below), kept2 / (1 - kept2)
    mean = (of_x * alpha2_below.sqrt() * x + of_z * z / kept2.sqrt()) / (of_x + of_z)
    return mean, 1 / (of_x + of_z)


def integrated_kl(x: Tensor, guess: Tensor, log_snr_below: Tensor, log_snr: Tensor) -> Tensor:
    """E_q[log q - log p] at any z_t: both Gaussians move alike with it."""
    layers = log_snr_below[:, None], log_snr[:, None]
    (m, var), (w, _) = (below(torch.full_like(x, 0.3), one, *layers) for one in (x, guess))
    t, weight = quadrature()
    at = m[..., None] + var.sqrt()[..., None] * t
    squares = (at - w[..., None]) ** 2 - (at - m[..., None]) ** 2
    return (weight * squares / (2 * var[..., None])).sum((-1, -2))


def weighed(weight, error=lambda off: (off**2).sum(-1)):
    """A slip or a term, of the two SNRs and of x - guess."""
    return lambda x, guess, a, b: weight(a.exp(), b.exp()) * error(x - guess)


def half(a, b):
    return 0.5 * (a - b)


layer_kl = Exercise(
    name="layer_kl",
    solution=_layer_kl,
    judge=Function(
        "layer_kl",
        truth=integrated_kl,
        rows="x guess log_snr_below log_snr",
        cases=[(X, GUESS, BELOW, ABOVE)],
        edges=[
            *("in one dimension", "", (X[:, :1], GUESS[:, :1], BELOW, ABOVE)),
            *("where the guess is x", "", (X, X, BELOW, ABOVE)),
            *("where the layers are close", "", (X, GUESS, ABOVE + 1e-3, ABOVE)),
            *("at log SNRs of 10 and -10", "", (X[:2], GUESS[:2], *reals([10, -10], [9.9, -10.5]))),
        ],
        slips=[
            "below and log_snr are logarithms: weigh by the difference of the SNRs, exp(log_snr_below)"
            " - exp(log_snr)",
            weighed(lambda a, b: half(a.log(), b.log())),
            "you took the exponential of the difference: it is a difference of exponentials",
            weighed(lambda a, b: 0.5 * a / b),
            "this weight, SNR_{t-1} / SNR_t - 1, belongs to the error of the noise: of x it is"
            " SNR_{t-1} - SNR_t",
            weighed(lambda a, b: 0.5 * (a / b - 1)),
            "you weigh by alpha^2, the sigmoid: SNR is alpha^2 / sigma^2, exp of what is given",
            weighed(lambda a, b: half(a / (1 + a), b / (1 + b))),
            "the weight is missing: errors in low layers cost more",
            weighed(lambda a, b: 0.5),
            "you forgot to square the error",
            weighed(half, lambda off: off.abs().sum(-1)),
            "you took the norm of the error: square it",
            weighed(half, lambda off: off.norm(dim=-1)),
            "you squared the sum of the errors: sum their squares",
            weighed(half, lambda off: off.sum(-1) ** 2),
            "|x|^2 - |guess|^2 is not |x - guess|^2: square the difference",
            lambda x, guess, a, b: half(a.exp(), b.exp()) * (x**2 - guess**2).sum(-1),
            "the error is the mean over the whole batch: each row has its own, the sum of its squares",
            weighed(half, lambda off: (off**2).mean()),
        ],
        terms={
            "SNR_{t-1} |x - guess|^2 / 2": weighed(lambda a, b: 0.5 * a),
            "SNR_t |x - guess|^2 / 2, subtracted,": weighed(lambda a, b: -0.5 * b),
            "|x - guess|^2, with no weight,": weighed(lambda a, b: 1.0),
        },
        unit="nats",
        praise="it agrees with the integrated KL to {trial.off:.0e} nats, and so do its gradients.",
    ),
    hints=[
        "The squared error, summed over the dimensions, is (B,); the weight is (B,), too.",
        "The weight is half of SNR_{t-1} - SNR_t. What is given are logarithms of both.",
        "0.5 * (log_snr_below.exp() - log_snr.exp()) * ((x - guess) ** 2).sum(-1)",
    ],
)


# ---- one step back


def bayes(
    z: Tensor, guess: Tensor, epsilon: Tensor, log_snr_below: Tensor, log_snr: Tensor
) -> Tensor:
    mean, var = below(z, guess, log_snr_below, log_snr)
    return mean + var.sqrt() * epsilon


def step(factors, ratio=lambda below, log_snr: (log_snr - below).exp()):
    """A slip or a term: the factors of z, guess and epsilon, of alpha_t, alpha_{t-1}, sigma_{t-1}, r."""

    def step_back(z, guess, epsilon, log_snr_below, log_snr):
        (a, _), (b, c), r = roots(log_snr), roots(log_snr_below), ratio(log_snr_below, log_snr)
        return sum(f * x for f, x in zip(factors(a, b, c, r), (z, guess, epsilon), strict=True))

    return step_back


def right(a, b, c, r):
    return b * r / a, b * (1 - r), std(c, r)


def std(c, r):
    return (1 - r).sqrt() * c


LAYERS = BELOW[:, None], ABOVE[:, None]

step_back = Exercise(
    name="step_back",
    solution=_step_back,
    judge=Function(
        "step_back",
        truth=bayes,
        rows="z guess epsilon log_snr_below log_snr",
        cases=[(Z, GUESS, EPSILON, *LAYERS)],
        edges=[
            *("in one dimension", "", (Z[:, :1], GUESS[:, :1], EPSILON[:, :1], *LAYERS)),
            "where the layers are close",
            "r is nearly 1 there, and 1 - r has no lower limit",
            (Z, GUESS, EPSILON, LAYERS[1] + 1e-3, LAYERS[1]),
            "at log SNRs of 10 and -10",
            "",
            (Z[:2], GUESS[:2], EPSILON[:2], *reals([[10], [-10]], [[9.9], [-10.5]])),
        ],
        slips=[
            "you went to the guess at once, alpha_{t-1} guess + sigma_{t-1} epsilon: that forgets z_t",
            step(lambda a, b, c, r: (0, b, c)),
            "r and 1 - r have changed places: the noisier z_t is, the less it counts",
            step(lambda a, b, c, r: (b * (1 - r) / a, b * r, std(c, r))),
            "alpha_t stands where alpha_{t-1} belongs",
            step(lambda a, b, c, r: (r, a * (1 - r), std(c, r))),
            "alpha_{t-1} is missing: z_{t-1} is shrunk, too",
            step(lambda a, b, c, r: (r / a, 1 - r, std(c, r))),
            "alpha is a square root: you took alpha^2, the sigmoid",
            step(lambda a, b, c, r: (b**2 * r / a**2, b**2 * (1 - r), std(c, r))),
            "r is SNR_t / SNR_{t-1}: you took the ratio of the logarithms",
            step(right, lambda below, log_snr: log_snr / below),
            "r is SNR_t / SNR_{t-1}: you took alpha_t^2 / alpha_{t-1}^2",
            step(right, lambda below, log_snr: log_snr.sigmoid() / below.sigmoid()),
            "the noise of z_t is kept, none is added: this is the step of a sampler without noise",
            step(lambda a, b, c, r: (r.sqrt() * b / a, b - r.sqrt() * b, 0)),
        ],
        terms={
            "the part of z_t": step(lambda a, b, c, r: (b * r / a, 0, 0)),
            "the part of the guess": step(lambda a, b, c, r: (0, b * (1 - r), 0)),
            "the noise, std times epsilon,": step(lambda a, b, c, r: (0, 0, std(c, r))),
            "z_t without its division by alpha_t": step(lambda a, b, c, r: (b * r, 0, 0)),
            "the guess without its alpha_{t-1}": step(lambda a, b, c, r: (0, 1 - r, 0)),
            "epsilon, not scaled,": step(lambda a, b, c, r: (0, 0, 1)),
            "epsilon times the variance": step(lambda a, b, c, r: (0, 0, std(c, r) ** 2)),
            "sigma_{t-1} epsilon, without 1 - r,": step(lambda a, b, c, r: (0, 0, c)),
            "sqrt(1 - r) epsilon, without sigma_{t-1},": step(lambda a, b, c, r: (0, 0, std(1, r))),
            "(1 - r) sigma_{t-1} epsilon": step(lambda a, b, c, r: (0, 0, c * (1 - r))),
            "the noise with sigma_t": step(lambda a, b, c, r: (0, 0, std((1 - a**2).sqrt(), r))),
        },
        nan="you took the root of a negative number: r = exp(log SNR_t - log SNR_{t-1}) lies between 0"
        " and 1",
        praise="it is the product of what z_t and the guess say about z_(t-1), normalised, to"
        " {trial.off:.0e}, and so are its gradients.",
    ),
    hints=[
        "You need alpha_t, alpha_{t-1}, sigma_{t-1}, each the root of a sigmoid, and r ="
        " exp(log_snr - log_snr_below).",
        "mean = alpha_{t-1} * (r * z / alpha_t + (1 - r) * guess); variance = (1 - r) *"
        " sigma_{t-1}^2.",
        "return mean + (1 - r).sqrt() * sigma_below * epsilon",
    ],
)
