"""The exercises of notebook 11: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import math

import torch
from exercises import exercise_tests

from dgmcourse.check import priors as check
from dgmcourse.densities import Gaussian, Mixture

# ---- right answers


def own_mixture(z, log_weights, means, log_vars):
    """A loop over components with torch's own Gaussian, put together two by two."""
    total = torch.full((len(z),), -math.inf, dtype=z.dtype)
    for w, m, v in zip(log_weights, means, log_vars, strict=True):
        each = torch.distributions.Normal(m, (v / 2).exp()).log_prob(z)
        total = torch.logaddexp(total, w + each.sum(1))
    return total


def normalised_again(z, log_weights, means, log_vars):
    """Its gradient by log_weights is that of weights which sum to 1 whatever is given."""
    return Mixture(log_weights, Gaussian(means, log_vars)).log_prob(z)


def own_split(z, q, prior):
    parameters = zip(q.mean, q.log_var, strict=True)
    table = torch.stack([Gaussian(m, v).log_prob(z) for m, v in parameters])  # (x, z)
    log_aggregate = torch.logsumexp(table, 0) - math.log(len(z))
    return [table.diagonal() - log_aggregate, log_aggregate - prior.log_prob(z)]


def own_vamp(z, u, encoder):
    return Mixture(torch.zeros(len(u)), encoder(u)).log_prob(z)


MIXTURES = [own_mixture, normalised_again]
RIGHT = {"mixture_log_prob": MIXTURES, "split_kl": own_split, "vamp_log_prob": own_vamp}


# ---- wrong answers of kinds that no slip states, each with a phrase of its message


def naive(z, w, m, v, small=0.0):
    square = (z[:, None] - m) ** 2 / v.exp()
    each = torch.exp(w - 0.5 * (math.log(2 * math.pi) + v + square).sum(-1))
    return (each.sum(-1) + small).log()


def changed(change):
    return lambda z, q, prior: change(*own_split(z, q, prior), q, prior.log_prob(z))


def kept(z, u, encoder, first=[]):  # noqa: B006 - what it keeps is the mistake
    first.append(encoder(u))
    return Mixture(torch.zeros(len(first[0].mean)), first[0]).log_prob(z)


WRONG = {
    "mixture_log_prob": {
        "200 standard deviations away": naive,
        "no small number added": lambda *given: naive(*given, small=1e-12),
        "for log-variances from -9 to 9": lambda z, w, m, v: own_mixture(z, w, m, v.clamp(-6, 2)),
        "no gradient reaches log_weights": lambda z, w, m, v: own_mixture(z, w.detach(), m, v),
        "two shapes do not fit together": lambda z, w, m, v: (z - m).sum(-1) + w,
    },
    "split_kl": {
        "in the order the second part, the first part": changed(lambda a, b, q, p: (b, a)),
        "the second part: the sign is turned": changed(lambda a, b, q, p: (a, -b)),
        "log p(z_n) does not belong in it": changed(lambda a, b, q, p: (a + b, b)),
        "negative values are cut off": changed(lambda a, b, q, p: (a.relu(), b)),
        "draw nothing": lambda z, q, prior: own_split(q.rsample(), q, prior),
    },
    "vamp_log_prob": {
        "u and encoder have no influence": kept,
        "Encode u, not z": lambda z, u, encoder: own_vamp(z, z, encoder),
        "no gradient reaches u": lambda z, u, encoder: own_vamp(z, u.detach(), encoder),
        "outside [0, 1]": lambda z, u, encoder: own_vamp(z, u.clamp(0, 1), encoder),
        "the encoder saw 24 rows": lambda z, u, encoder: torch.cat(
            [own_vamp(row[None], u, encoder) for row in z]
        ),
    },
}
SPACE = {"math": math, "Gaussian": Gaussian, "mixture_log_prob": check.mixture_log_prob.solution}
TestExercises = exercise_tests(check, "11_priors", RIGHT, WRONG, **SPACE)
