"""The exercises of notebook 15: right answers pass, wrong ones are told what is wrong."""

import torch
from exercises import exercise_tests
from torch import distributions as td

from dgmcourse.check import drug_response as check
from dgmcourse.densities import StandardGaussian, kl

# ---- right answers


def own_bound(x1, x2, encoder, decoder, move):
    """By torch's own distributions."""

    def normal(q):
        return td.Independent(td.Normal(q.mean, torch.exp(q.log_var / 2)), 1)

    q1, q2 = normal(encoder(x1)), normal(encoder(x2))
    z1, z2 = q1.rsample(), q2.rsample()
    prior = td.Independent(td.Normal(torch.zeros_like(z1), 1.0), 1)
    total = -td.kl_divergence(q2, normal(move(z1))) - td.kl_divergence(q1, prior)
    return total + normal(decoder(z1)).log_prob(x1) + normal(decoder(z2)).log_prob(x2)


def sampled_bound(x1, x2, encoder, decoder, move):
    """log p of all less log q, at one draw."""
    q1, q2 = encoder(x1), encoder(x2)
    z1, z2 = q1.rsample(), q2.rsample()
    log_p = StandardGaussian(2).to(z1).log_prob(z1) + move(z1).log_prob(z2)
    log_p = log_p + decoder(z1).log_prob(x1) + decoder(z2).log_prob(x2)
    return log_p - q1.log_prob(z1) - q2.log_prob(z2)


def own_states(x1, x2, paired, e1, e2, encoder, move):
    q1 = encoder(x1)
    z1 = q1.mean + q1.log_var.mul(0.5).exp() * e1
    p, q2, there = move(z1), encoder(x2), paired.unsqueeze(-1).to(x1)
    mean = there * q2.mean + (1 - there) * p.mean
    log_var = there * q2.log_var + (1 - there) * p.log_var
    return z1, mean + log_var.mul(0.5).exp() * e2


def own_response(y, log_q, L):
    q = log_q.exp()
    q = torch.where(y[:, None] < 0, q, torch.nn.functional.one_hot(y.clamp_min(0), 2).to(q))
    entropy = -torch.where(q > 0, q * torch.where(y[:, None] < 0, log_q, 0 * log_q), 0 * q)
    return (q * L + entropy).sum(-1)


RIGHT = {
    "pair_bound": [own_bound, sampled_bound],
    "states": [own_states],
    "response_bound": [own_response],
}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def parts(x1, x2, encoder, decoder, move):
    q1, q2 = encoder(x1), encoder(x2)
    z1, z2 = q1.rsample(), q2.rsample()
    first = decoder(z1).log_prob(x1), kl(q1, check.standard(q1))
    return *first, decoder(z2).log_prob(x2), kl(q2, move(z1))


def combined(combine):
    return lambda *given: combine(*parts(*given))


def shared_noise(x1, x2, encoder, decoder, move):
    q1, q2 = encoder(x1), encoder(x2)
    e = torch.randn(2, 1, 2).to(x1)
    z1, z2 = (q.mean + torch.exp(q.log_var / 2) * n for q, n in zip((q1, q2), e, strict=True))
    first = decoder(z1).log_prob(x1) - kl(q1, check.standard(q1))
    return first + decoder(z2).log_prob(x2) - kl(q2, move(z1))


WRONG = {
    "pair_bound": {
        "log p(x2|z2) is missing": combined(lambda r1, k1, r2, k2: r1 - k1 - k2),
        "the KL of z2, subtracted, is missing": combined(lambda r1, k1, r2, k2: r1 - k1 + r2),
        "the KL of z2, subtracted, has the wrong sign": combined(
            lambda r1, k1, r2, k2: r1 - k1 + r2 + k2
        ),
        "the KL of z1, subtracted, is missing": combined(lambda r1, k1, r2, k2: r1 + r2 - k2),
        "one noise for the whole batch": shared_noise,
        "one number for the whole batch": combined(
            lambda r1, k1, r2, k2: (r1 - k1 + r2 - k2).mean()
        ),
        "expects 3 genes last": lambda x1, x2, e, d, m: d(e(e(x1).mean).mean).log_prob(x1),
    },
    "states": {
        "return two tensors": lambda x1, x2, paired, e1, e2, encoder, move: encoder(x1).mean,
        "expects 2 latent dimensions last": lambda x1, x2, p, e1, e2, encoder, move: move(x1),
        "in place": lambda x1, x2, p, e1, e2, encoder, move: (e1.mul_(2), e2),
    },
    "response_bound": {
        "you summed over the cells": lambda y, log_q, L: (log_q.exp() * (L - log_q)).sum(0),
        "where q is all but certain": lambda y, log_q, L: torch.where(
            y >= 0,
            L.gather(-1, y.clamp_min(0)[:, None])[:, 0],
            (log_q.exp() * (L - log_q.exp().log())).sum(-1),
        ),
        "no gradient reaches": lambda y, log_q, L: torch.where(
            y >= 0,
            L.gather(-1, y.clamp_min(0)[:, None])[:, 0],
            (log_q.exp() * (L - log_q)).sum(-1).detach(),
        ),
    },
}
TestExercises = exercise_tests(
    check, "15_drug_response", RIGHT, WRONG, kl=kl, StandardGaussian=StandardGaussian
)
