"""The exercises of notebook 16: right answers pass, wrong ones are told what is wrong."""

import torch
import torch.nn.functional as F
from exercises import exercise_tests
from torch.distributions import Normal, kl_divergence

from dgmcourse.check import looking_back as check

# ---- right answers


def own_frechet(x, y):
    """The trace form, with covariances whose other entries are set to 0; divided by N."""
    a, b = x.var(0, unbiased=False), y.var(0, unbiased=False)
    return torch.dist(x.mean(0), y.mean(0)) ** 2 + torch.sum(a + b - 2 * torch.sqrt(a * b))


def own_noise(x, epsilon, s):
    return torch.exp(F.logsigmoid(s) / 2) * x + torch.exp(F.logsigmoid(-s) / 2) * epsilon


def moments(z, guess, below, log_snr):
    """Mean and variance of q(z_{t-1}|z_t, x) in the form of Ho et al., with betas."""
    a2, b2 = torch.sigmoid(log_snr), torch.sigmoid(below)
    kept = (a2 / b2).sqrt()
    beta = 1 - kept**2
    mean = (b2.sqrt() * beta * guess + kept * (1 - b2) * z) / (1 - a2)
    return mean, beta * (1 - b2) / (1 - a2)


def own_kl(x, guess, below, log_snr):
    z = torch.zeros_like(x)
    (m, var), (w, _) = (moments(z, g, below[:, None], log_snr[:, None]) for g in (x, guess))
    return kl_divergence(Normal(m, var.sqrt()), Normal(w, var.sqrt())).sum(1)


def own_step(z, guess, epsilon, below, log_snr):
    mean, var = moments(z, guess, below, log_snr)
    return mean + var**0.5 * epsilon


RIGHT = {"frechet": own_frechet, "add_noise": own_noise, "layer_kl": own_kl, "step_back": own_step}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def by_squares(x):
    return ((x**2).mean(0) - x.mean(0) ** 2).clamp_min(0).sqrt()


WRONG = {
    "frechet": {
        "s t of the spreads is missing": lambda x, y: (
            (x.mean(0) - y.mean(0)) ** 2 + x.var(0) + y.var(0)
        ).sum(),
        "have different numbers of points": lambda x, y: ((x - y) ** 2).sum(),
        "where the means are 1,000": lambda x, y: (
            (x.mean(0) - y.mean(0)) ** 2 + (by_squares(x) - by_squares(y)) ** 2
        ).sum(),
        "frechet has no gradient": lambda x, y: torch.tensor(check.frechet.solution(x, y).item()),
    },
    "add_noise": {
        "sigma epsilon is missing": lambda x, e, s: own_noise(x, 0 * e, s),
        "alpha^2 x, without the root, does": lambda x, e, s: (
            s.sigmoid() * x + own_noise(0 * x, e, s)
        ),
        "exp overflows": lambda x, e, s: (
            (s.exp() / (1 + s.exp())).sqrt() * x + (1 / (1 + s.exp())).sqrt() * e
        ),
        "no gradient reaches x": lambda x, e, s: own_noise(x.detach(), e, s),
        "take log_snr for the SNR": lambda x, e, s: (s / (1 + s)).sqrt() * x + e,
    },
    "layer_kl": {
        "it is 2 times": lambda x, g, b, s: 2 * own_kl(x, g, b, s),
        "/ 2 must be subtracted": lambda x, g, b, s: (
            own_kl(x, g, b, s) + s.exp() * ((x - g) ** 2).sum(-1)
        ),
        "no gradient reaches guess": lambda x, g, b, s: own_kl(x, g.detach(), b, s),
        "rows must not mix": lambda x, g, b, s: own_kl(x, g, b[:1].expand_as(b), s),
    },
    "step_back": {
        "lies between 0 and 1": lambda z, g, e, b, s: own_step(z, g, e, s, b),
        "the noise, std times epsilon, is missing": lambda z, g, e, b, s: moments(z, g, b, s)[0],
        "draw nothing": lambda z, g, e, b, s: own_step(z, g, torch.randn_like(e), b, s),
        "where the layers are close": lambda z, g, e, b, s: own_step(z, g, e, b.max(s + 0.1), s),
    },
}
TestExercises = exercise_tests(check, "16_looking_back", RIGHT, WRONG)
