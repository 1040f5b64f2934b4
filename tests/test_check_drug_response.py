"""The exercises of notebook 15: right answers pass, wrong ones are told what is wrong."""

import torch
from exercises import exercise_tests
from torch import distributions as td

from dgmcourse.check import drug_response as check
from dgmcourse.densities import Gaussian, StandardGaussian, kl

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


def both_at_once(x1, x2, encoder, decoder, move):
    """One call of the encoder, for both cells."""
    q = encoder(torch.stack([x1, x2]))
    (q1, q2), z = map(Gaussian, q.mean, q.log_var), q.rsample()
    reconstruction = decoder(z).log_prob(torch.stack([x1, x2])).sum(0)
    return reconstruction - kl(q1, StandardGaussian(2)) - kl(q2, move(z[0]))


def one_below_the_other(x1, x2, encoder, decoder, move):
    """A batch of twice as many cells."""
    x, n = torch.cat([x1, x2]), len(x1)
    q = encoder(x)
    q1, q2 = (Gaussian(q.mean[half], q.log_var[half]) for half in (slice(n), slice(n, None)))
    z = q.rsample()
    log_p = decoder(z).log_prob(x)
    return log_p[:n] + log_p[n:] - kl(q1, StandardGaussian(2)) - kl(q2, move(z[:n]))


def by_hand(x1, x2, encoder, decoder, move):
    """The KLs term by term, and a mean over three draws."""
    q1, q2 = encoder(x1), encoder(x2)
    z1, z2 = q1.rsample((3,)), q2.rsample((3,))
    p = move(z1)
    first = 0.5 * (q1.mean**2 + q1.log_var.exp() - 1 - q1.log_var).sum(-1)
    far = (q2.log_var.exp() + (q2.mean - p.mean) ** 2) / p.log_var.exp()
    second = 0.5 * (p.log_var - q2.log_var - 1 + far).sum(-1)
    return (decoder(z1).log_prob(x1) + decoder(z2).log_prob(x2) - second).mean(0) - first


def without_score(x1, x2, encoder, decoder, move):
    """log q of held parameters, the path alone: less noise near the truth, the same mean."""
    q1, q2 = encoder(x1), encoder(x2)
    z1, z2 = q1.rsample(), q2.rsample()
    held = (Gaussian(q.mean.detach(), q.log_var.detach()) for q in (q1, q2))
    log_q = sum(q.log_prob(z) for q, z in zip(held, (z1, z2), strict=True))
    log_p = check.standard(q1).log_prob(z1) + move(z1).log_prob(z2)
    return log_p + decoder(z1).log_prob(x1) + decoder(z2).log_prob(x2) - log_q


def paired_alone(x1, x2, paired, e1, e2, encoder, move):
    """The encoder sees an x2 only where there is one."""
    z1 = at(encoder(x1), e1)
    z2 = torch.empty_like(z1)
    z2[paired] = at(encoder(x2[paired]), e2[paired])
    z2[~paired] = at(move(z1[~paired]), e2[~paired])
    return z1, z2


def written_over(x1, x2, paired, e1, e2, encoder, move):
    z1 = at(encoder(x1), e1)
    z2 = at(move(z1), e2)
    if paired.any():
        z2 = z2.index_put((paired,), at(encoder(x2[paired]), e2[paired]))
    return [z1, z2]


def joined_states(x1, x2, paired, e1, e2, encoder, move):
    z1, seen = at(encoder(torch.cat([x1, x2])), torch.cat([e1, e2])).chunk(2)
    return z1, torch.where(paired.unsqueeze(1), seen, at(move(z1), e2))


def each_cell(x1, x2, paired, e1, e2, encoder, move):
    first, second = [], []
    for i in range(len(x1)):
        row = slice(i, i + 1)
        first.append(at(encoder(x1[row]), e1[row]))
        second.append(at(encoder(x2[row]) if paired[i] else move(first[-1]), e2[row]))
    return torch.cat(first), torch.cat(second)


def at(q, e):
    return q.mean + torch.exp(q.log_var / 2) * e


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


def each_response(y, log_q, L):
    q = log_q.exp()
    rows = [L[i, c] if c >= 0 else q[i] @ (L[i] - log_q[i]) for i, c in enumerate(y.tolist())]
    return torch.stack(rows)


def masked(y, log_q, L):
    known = y >= 0
    bound = (log_q.exp() * L).sum(-1) - (log_q.exp() * log_q).sum(-1)
    return bound.masked_scatter(known, L[known].gather(-1, y[known, None]))


def indexed(y, log_q, L):
    """-1 is an index in Python, and what it finds is not used."""
    summed = torch.einsum("bc,bc->b", log_q.exp(), L - log_q)
    return torch.where(y == -1, summed, L[torch.arange(len(y)), y])


def by_entropy(y, log_q, L):
    summed = (log_q.exp() * L).sum(-1) + td.Categorical(logits=log_q).entropy()
    return torch.where(y < 0, summed, torch.where(y > 0, L[:, 1], L[:, 0]))


RIGHT = {
    "pair_bound": [
        own_bound,
        sampled_bound,
        both_at_once,
        one_below_the_other,
        by_hand,
        without_score,
    ],
    "states": [own_states, paired_alone, written_over, joined_states, each_cell],
    "response_bound": [own_response, each_response, masked, indexed, by_entropy],
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


def one_noise(log_q):
    """The same noise for both states; without a closed KL its mean is wrong, too."""

    def answer(x1, x2, encoder, decoder, move):
        q1, q2 = encoder(x1), encoder(x2)
        z1, z2 = (at(q, e) for q, e in zip((q1, q2), 2 * [torch.randn_like(q1.mean)], strict=True))
        r = decoder(z1).log_prob(x1) + decoder(z2).log_prob(x2)
        if log_q:
            log_p = check.standard(q1).log_prob(z1) + move(z1).log_prob(z2)
            return r + log_p - q1.log_prob(z1) - q2.log_prob(z2)
        return r - kl(q1, check.standard(q1)) - kl(q2, move(z1))

    return answer


def one_seed(x1, x2, encoder, decoder, move):
    torch.manual_seed(0)
    return own_bound(x1, x2, encoder, decoder, move)


def no_gradient(x1, x2, encoder, decoder, move):
    with torch.no_grad():
        return own_bound(x1, x2, encoder, decoder, move)


WRONG = {
    "pair_bound": {
        "z1 and z2 share their noise": one_noise(False),
        "share their noise: where both cells are alike": one_noise(True),
        "set no seed": one_seed,
        "the bound has no gradient": no_gradient,
        "the sign is turned": combined(lambda r1, k1, r2, k2: k1 - r1 + k2 - r2),
        "the KL of z2, subtracted, has the factor 0.5": combined(
            lambda r1, k1, r2, k2: r1 - k1 + r2 - k2 / 2
        ),
        "log p(x2|z2) is missing": combined(lambda r1, k1, r2, k2: r1 - k1 - k2),
        "the KL of z2, subtracted, is missing": combined(lambda r1, k1, r2, k2: r1 - k1 + r2),
        "the KL of z2 must be subtracted": combined(lambda r1, k1, r2, k2: r1 - k1 + r2 + k2),
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
        "return them in the order z2, z1": lambda *given: own_states(*given)[::-1],
        "the cells without x2 are left out": lambda x1, x2, p, *more: [
            z[p] for z in own_states(x1, x2, p, *more)
        ],
        "choose row by row, with paired[:, None]": lambda x1, x2, p, e1, e2, encoder, move: (
            at(encoder(x1), e1),
            torch.where(p, at(encoder(x2), e2), at(move(at(encoder(x1), e1)), e2)),
        ),
        "draw nothing": lambda x1, x2, p, e1, e2, encoder, move: (
            encoder(x1).rsample(),
            encoder(x2).rsample(),
        ),
        "no gradient reaches x2": lambda x1, x2, *more: own_states(x1, x2.detach(), *more),
    },
    "response_bound": {
        "-1 is no index for gather": lambda y, log_q, L: torch.where(
            y >= 0, L.gather(-1, y[:, None])[:, 0], (log_q.exp() * (L - log_q)).sum(-1)
        ),
        "cells are left out": lambda y, log_q, L: own_response(y, log_q, L)[y >= 0],
        "one number for the whole batch": lambda *given: own_response(*given).mean(),
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
