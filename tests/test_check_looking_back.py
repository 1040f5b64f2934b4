"""Notebook 16's checks: right answers pass however they are written, wrong ones get the message
meant for them.
"""

import math

import torch
from exercises import exercise_tests
from torch.distributions import Normal, kl_divergence

from dgmcourse.check import looking_back as check


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


# ---- right answers


def own_frechet(x, y):
    """The trace form, with covariances whose other entries are set to 0; divided by N."""
    a, b = x.var(0, unbiased=False), y.var(0, unbiased=False)
    return torch.dist(x.mean(0), y.mean(0)) ** 2 + torch.sum(a + b - 2 * torch.sqrt(a * b))


def own_noise(x, epsilon, log_snr):
    return (
        torch.exp(0.5 * torch.nn.functional.logsigmoid(log_snr)) * x
        + torch.exp(0.5 * torch.nn.functional.logsigmoid(-log_snr)) * epsilon
    )


def moments(z, guess, below, log_snr):
    """Mean and variance of q(z_{t-1}|z_t, x) in the form of Ho et al., with betas."""
    a2, b2 = torch.sigmoid(log_snr), torch.sigmoid(below)
    kept = (a2 / b2).sqrt()
    beta = 1 - kept**2
    mean = (b2.sqrt() * beta * guess + kept * (1 - b2) * z) / (1 - a2)
    return mean, beta * (1 - b2) / (1 - a2)


def own_layer(x, guess, below, log_snr):
    z = torch.zeros_like(x)
    (m, var), (w, _) = (moments(z, g, below[:, None], log_snr[:, None]) for g in (x, guess))
    return kl_divergence(Normal(m, var.sqrt()), Normal(w, var.sqrt())).sum(1)


def own_step(z, guess, epsilon, below, log_snr):
    mean, var = moments(z, guess, below, log_snr)
    return mean + var**0.5 * epsilon


RIGHT = {
    "frechet": own_frechet,
    "add_noise": own_noise,
    "layer_kl": own_layer,
    "step_back": own_step,
}


# ---- wrong answers, each with a phrase of the message meant for it


def parts(x, y):
    return x.mean(0) - y.mean(0), x.std(0), y.std(0)


def with_parts(answer):
    return lambda x, y: answer(*parts(x, y))


WRONG_FRECHET = {
    "square root": lambda x, y: own_frechet(x, y).sqrt(),
    "of the standard deviations is missing": with_parts(lambda m, s, t: (m**2).sum()),
    "of the means is missing": with_parts(lambda m, s, t: ((s - t) ** 2).sum()),
    "compared variances": with_parts(lambda m, s, t: (m**2).sum() + ((s**2 - t**2) ** 2).sum()),
    "without a square root": with_parts(lambda m, s, t: (m**2).sum() + (s**2 - t**2).abs().sum()),
    "forgot to square": with_parts(lambda m, s, t: m.abs().sum() + (s - t).abs().sum()),
    "averaged over the dimensions": with_parts(lambda m, s, t: (m**2 + (s - t) ** 2).mean()),
    "subtracted the second term": with_parts(lambda m, s, t: (m**2).sum() - ((s - t) ** 2).sum()),
    "means' distance is not squared": with_parts(
        lambda m, s, t: m.abs().sum() + ((s - t) ** 2).sum()
    ),
    "deviations' distance is not squared": with_parts(
        lambda m, s, t: (m**2).sum() + (s - t).abs().sum()
    ),
    "of all numbers together": lambda x, y: (x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2,
    "-2 s t": with_parts(lambda m, s, t: (m**2).sum() + (s**2 + t**2).sum()),
    "one number for each dimension": with_parts(lambda m, s, t: m**2 + (s - t) ** 2),
    "reduce over the rows": lambda x, y: ((x[:3000] - y) ** 2).sum(1),
    "has no gradient": lambda x, y: torch.tensor(own_frechet(x, y).item()),
    "should be a tensor": lambda x, y: own_frechet(x, y).item(),
    "is right.": lambda x, y: own_frechet(x, y) + 1,
}


def noise(scales):
    def answer(x, epsilon, log_snr):
        a, b = scales(torch.sigmoid(log_snr), torch.sigmoid(-log_snr), log_snr)
        return a * x + b * epsilon

    return answer


WRONG_NOISE = {
    "take their square roots": noise(lambda a, b, s: (a, b)),
    "sigma is a square root, too": noise(lambda a, b, s: (a.sqrt(), b)),
    "alpha is a square root, too": noise(lambda a, b, s: (a, b.sqrt())),
    "changed places": noise(lambda a, b, s: (b.sqrt(), a.sqrt())),
    "x is not shrunk": noise(lambda a, b, s: (1, b.sqrt())),
    "not scaled by sigma": noise(lambda a, b, s: (a.sqrt(), 1)),
    "this is the mean": noise(lambda a, b, s: (a.sqrt(), 0)),
    "not alpha / sigma": noise(
        lambda a, b, s: (s.exp() / (1 + s.exp() ** 2).sqrt(), 1 / (1 + s.exp() ** 2).sqrt())
    ),
    "subtracted: add it": noise(lambda a, b, s: (a.sqrt(), -b.sqrt())),
    "squares add up to 1": noise(lambda a, b, s: (a.sqrt(), 1 - a.sqrt())),
    "exp overflows": noise(
        lambda a, b, s: ((s.exp() / (1 + s.exp())).sqrt(), (1 / (1 + 1 / torch.exp(-s))).sqrt())
    ),
    "gradient": lambda x, e, s: own_noise(x.detach(), e, s),
    "expected (6, 3)": lambda x, e, s: own_noise(x, e, s).sum(-1),
    "should be a tensor": lambda x, e, s: 0.0,
    "where": lambda x, e, s: own_noise(x, e, s) + 0.1,
}


def layer(weight, error=lambda d: (d**2).sum(-1)):
    return lambda x, guess, below, log_snr: weight(below, log_snr) * error(x - guess)


def half(below, log_snr):
    return 0.5 * (below.exp() - log_snr.exp())


WRONG_LAYER = {
    "1/2 is missing": layer(lambda b, s: b.exp() - s.exp()),
    "sign is turned": layer(lambda b, s: -half(b, s)),
    "averaged over the dimensions": layer(half, lambda d: (d**2).mean(-1)),
    "are logarithms": layer(lambda b, s: 0.5 * (b - s)),
    "difference of exponentials": layer(lambda b, s: 0.5 * (b - s).exp()),
    "belongs to the error of the noise": layer(lambda b, s: 0.5 * ((b - s).exp() - 1)),
    "weigh by alpha^2": layer(lambda b, s: 0.5 * (torch.sigmoid(b) - torch.sigmoid(s))),
    "forgot to square": layer(half, lambda d: d.abs().sum(-1)),
    "weight is missing": layer(lambda b, s: 0.5),
    "norm of the error": layer(half, lambda d: d.norm(dim=-1)),
    "added the SNRs": layer(lambda b, s: 0.5 * (b.exp() + s.exp())),
    "squared the sum": layer(half, lambda d: d.sum(-1) ** 2),
    "one number for each dimension": lambda x, g, b, s: half(b, s)[:, None] * (x - g) ** 2,
    "paired with every layer": lambda x, g, b, s: half(b, s)[:, None] * ((x - g) ** 2).sum(-1),
    "keep one for each x": lambda x, g, b, s: own_layer(x, g, b, s).mean(),
    "has no gradient": lambda x, g, b, s: own_layer(x, g.detach(), b, s),
    "should be a tensor": lambda x, g, b, s: 1.0,
    "where": lambda x, g, b, s: own_layer(x, g, b, s) + 0.2,
}


def step(change):
    """change(mean, std, epsilon, z, guess, alpha, alpha_below, sigma, sigma_below, r)."""

    def answer(z, guess, epsilon, below, log_snr):
        mean, var = moments(z, guess, below, log_snr)
        scales = [torch.sigmoid(v).sqrt() for v in (log_snr, below, -log_snr, -below)]
        return change(mean, var.sqrt(), epsilon, z, guess, *scales, torch.exp(log_snr - below))

    return answer


WRONG_STEP = {
    "lies between 0 and 1": lambda z, g, e, b, s: own_step(z, g, e, s, b),
    "this is the mean": step(lambda m, s, e, *_: m + 0 * e),
    "by the variance": step(lambda m, s, e, *_: m + s**2 * e),
    "noise is not scaled": step(lambda m, s, e, *_: m + e),
    "has the factor 1 - r": step(lambda m, s, e, z, g, a, ab, c, cb, r: m + cb * e),
    "sigma_{t-1} is missing": step(lambda m, s, e, z, g, a, ab, c, cb, r: m + (1 - r).sqrt() * e),
    "sigma_t where": step(lambda m, s, e, z, g, a, ab, c, cb, r: m + (1 - r).sqrt() * c * e),
    "forgets z_t": step(lambda m, s, e, z, g, a, ab, c, cb, r: ab * g + cb * e),
    "divide z by alpha_t": step(
        lambda m, s, e, z, g, a, ab, c, cb, r: ab * (r * z + (1 - r) * g) + s * e
    ),
    "alpha_{t-1} is missing": step(
        lambda m, s, e, z, g, a, ab, c, cb, r: r * z / a + (1 - r) * g + s * e
    ),
    "r and 1 - r": step(
        lambda m, s, e, z, g, a, ab, c, cb, r: ab * ((1 - r) * z / a + r * g) + s * e
    ),
    "alpha_t stands where": step(
        lambda m, s, e, z, g, a, ab, c, cb, r: a * (r * z / a + (1 - r) * g) + s * e
    ),
    "noise is subtracted": step(lambda m, s, e, *_: m - s * e),
    "expected (6, 3)": step(lambda m, s, e, *_: (m + s * e).mean(-1)),
    "should be a tensor": step(lambda *_: math.pi),
    "where": step(lambda m, s, e, *_: m + s * e + 0.1),
}
WRONG = {
    "frechet": WRONG_FRECHET,
    "add_noise": WRONG_NOISE,
    "layer_kl": WRONG_LAYER,
    "step_back": WRONG_STEP,
}
TestExercises = exercise_tests(check, "16_looking_back", RIGHT, WRONG)
