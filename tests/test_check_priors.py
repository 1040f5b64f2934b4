"""Notebook 11's checks: right answers pass however they are written, wrong ones get the message
meant for them.
"""

import math

import torch
from exercises import exercise_tests

from dgmcourse.check import priors as check
from dgmcourse.densities import Gaussian, Mixture, kl


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


# ---- right answers


def own_mixture(z, log_weights, means, log_vars):
    """A loop over components with torch's own Gaussian, put together two by two."""
    total = torch.full((len(z),), -math.inf, dtype=z.dtype)
    for w, m, v in zip(log_weights, means, log_vars, strict=True):
        total = torch.logaddexp(
            total, w + torch.distributions.Normal(m, (v / 2).exp()).log_prob(z).sum(1)
        )
    return total


def own_split(z, q, prior):
    table = torch.stack(
        [Gaussian(m, v).log_prob(z) for m, v in zip(q.mean, q.log_var, strict=True)]
    )  # (x, z)
    log_aggregate = torch.logsumexp(table, 0) - math.log(len(z))
    return [table.diagonal() - log_aggregate, log_aggregate - prior.log_prob(z)]


def own_vamp(z, u, encoder):
    return Mixture(torch.zeros(len(u)), encoder(u)).log_prob(z)


RIGHT = {"mixture_log_prob": own_mixture, "split_kl": own_split, "vamp_log_prob": own_vamp}
NAMES = list(RIGHT)


# ---- wrong answers, each with a phrase of the message meant for it


def log_each(z, means, log_vars):
    return -0.5 * (
        math.log(2 * math.pi) + log_vars + (z[:, None] - means) ** 2 * torch.exp(-log_vars)
    )


def mixture(
    each=log_each, reduce=lambda each: each.sum(-1), mix=lambda w, e: torch.logsumexp(w + e, -1)
):
    return lambda z, w, m, v: mix(w, reduce(each(z, m, v)))


def formula(square, width=lambda v: v):
    return mixture(
        lambda z, m, v: -0.5 * (math.log(2 * math.pi) + width(v) + square(z[:, None] - m, v))
    )


WRONG_MIXTURE = {
    "each dimension was mixed on its own": (
        lambda z, w, m, v: torch.logsumexp(w[:, None] + log_each(z, m, v), 1).sum(-1)
    ),
    "averaged over the dimensions": mixture(reduce=lambda e: e.mean(-1)),
    "sign is turned": lambda *a: -check.mixture_log_prob.solution(*a),
    "returned the density": lambda *a: check.mixture_log_prob.solution(*a).exp(),
    "weights are missing": mixture(mix=lambda w, e: torch.logsumexp(e, -1)),
    "count alike": mixture(mix=lambda w, e: torch.logsumexp(e, -1) - math.log(len(w))),
    "multiplied by log_weights": mixture(mix=lambda w, e: torch.logsumexp(w * e, -1)),
    "added the weights": mixture(mix=lambda w, e: torch.logsumexp(w.exp() + e, -1)),
    "mean of logarithms": mixture(mix=lambda w, e: (w.exp() * e).sum(-1)),
    "multiplied the components": mixture(mix=lambda w, e: (w + e).sum(-1)),
    "nearest component alone": mixture(mix=lambda w, e: (w + e).amax(-1)),
    "log 2 pi is missing": mixture(lambda z, m, v: -0.5 * (v + (z[:, None] - m) ** 2 / v.exp())),
    "once for each z": lambda z, w, m, v: torch.logsumexp(
        w - 0.5 * (math.log(2 * math.pi) + (v + (z[:, None] - m) ** 2 / v.exp()).sum(-1)), -1
    ),
    "a wide component is a low one": formula(lambda d, v: d**2 / v.exp(), lambda v: 0 * v),
    "divided by sigma": formula(lambda d, v: d**2 / (v / 2).exp()),
    "for the standard deviation": lambda z, w, m, v: torch.logsumexp(
        w + torch.distributions.Normal(m, v.exp()).log_prob(z[:, None]).sum(-1), -1
    ),
    "the variance squared": formula(lambda d, v: d**2 / (2 * v).exp()),
    "divided by log_vars": formula(lambda d, v: d**2 / v),
    "multiplied the squares": formula(lambda d, v: d**2 * v.exp()),
    "1/2 is missing": formula(lambda d, v: 2 * d**2 / v.exp()),
    "square the distance": formula(lambda d, v: d / v.exp()),
    "ran over the dimensions, too": lambda z, w, m, v: torch.logsumexp(
        w + torch.logsumexp(log_each(z, m, v), -1), -1
    ),
    "hold the 1/K already": mixture(mix=lambda w, e: torch.logsumexp(w + e, -1) - math.log(len(w))),
    "in every dimension": lambda z, w, m, v: torch.logsumexp(
        (w[:, None] + log_each(z, m, v)).sum(-1), -1
    ),
    "not log pi": lambda z, w, m, v: torch.logsumexp(
        w - 0.5 * (math.log(math.pi) + v + (z[:, None] - m) ** 2 / v.exp()).sum(-1), -1
    ),
    "1/2 is missing before log 2 pi": lambda z, w, m, v: torch.logsumexp(
        w - (math.log(2 * math.pi) + 0.5 * (v + (z[:, None] - m) ** 2 / v.exp())).sum(-1), -1
    ),
    "the minus is missing": mixture(reduce=lambda e: -e.sum(-1)),
    "1/2 is missing: it stands": mixture(reduce=lambda e: 2 * e.sum(-1)),
    "before log 2 pi and log_vars, too": lambda z, w, m, v: torch.logsumexp(
        w - (math.log(2 * math.pi) + v + 0.5 * (z[:, None] - m) ** 2 / v.exp()).sum(-1), -1
    ),
    "a spare axis": mixture(mix=lambda w, e: torch.logsumexp(w + e, -1, keepdim=True)),
    "over the components, dim -1, is missing": mixture(mix=lambda w, e: w + e),
    "before you mix": lambda z, w, m, v: torch.logsumexp(w[:, None] + log_each(z, m, v), 1),
    "keep the batch": mixture(mix=lambda w, e: torch.logsumexp(w + e, 0)),
    "one number for the whole batch": lambda *a: check.mixture_log_prob.solution(*a).mean(),
    "has no gradient": lambda *a: check.mixture_log_prob.solution(*a).detach(),
    "with respect to log_weights is not": lambda z, w, m, v: check.mixture_log_prob.solution(
        z, w.detach(), m, v
    ),
    "with respect to log_vars is not": lambda z, w, m, v: check.mixture_log_prob.solution(
        z, w, m, v.detach()
    ),
    "not finite": formula(lambda d, v: d**2 / v.exp(), torch.log),
    "it is not finite": mixture(mix=lambda w, e: (w + e).exp().sum(-1).log()),
    "no clamp": mixture(mix=lambda w, e: ((w + e).exp().sum(-1) + 1e-12).log()),
    "should be a tensor": lambda *a: check.mixture_log_prob.solution(*a).tolist(),
    "where": lambda *a: check.mixture_log_prob.solution(*a) + 0.3,
    "stopped with": lambda z, w, m, v: z @ m,
}


def table(z, q):
    """log q(z_n|x_m): (n, m)."""
    return q.log_prob(z[:, None])


def split(log_aggregate):
    def answer(z, q, prior):
        found = log_aggregate(table(z, q))
        return q.log_prob(z) - found, found - prior.log_prob(z)

    return answer


def changed(change):
    def answer(z, q, prior):
        return change(*check.split_kl.solution(z, q, prior), q.log_prob(z), prior.log_prob(z))

    return answer


def merged(z, q, prior):
    one = Gaussian(q.mean.mean(0), q.log_var.mean(0)).log_prob(z)
    return q.log_prob(z) - one, one - prior.log_prob(z)


def without_own(t):
    return (t - torch.diag(torch.full((len(t),), math.inf, dtype=t.dtype))).logsumexp(1) - math.log(
        len(t) - 1
    )


WRONG_SPLIT = {
    "lacks 1/N": split(lambda t: t.logsumexp(1)),
    "over the codes, not over the digits": split(lambda t: t.logsumexp(0) - math.log(len(t))),
    "mean of logarithms": split(lambda t: t.mean(1)),
    "left out x_n itself": split(without_own),
    "-log N, not 1/N": split(lambda t: (t + 1 / len(t)).logsumexp(1)),
    "not +log N": split(lambda t: t.logsumexp(1) + math.log(len(t))),
    "not 1": split(lambda t: t.logsumexp(1) + 1),
    "each code's own posterior": split(lambda t: t.diagonal()),
    "you averaged q(z_n|x_n)": split(lambda t: t.diagonal().exp().mean().log()),
    "you averaged log q(z_n|x_n)": split(lambda t: t.diagonal().mean()),
    "you took N(0, I) for the prior": lambda z, q, prior: check.split_kl.solution(
        z, q, Gaussian(0 * z, 0 * z)
    ),
    "in closed form": lambda z, q, prior: (check.split_kl.solution(z, q, prior)[0], kl(q, prior)),
    "average the densities, not the parameters": merged,
    "in the other order": changed(lambda a, b, q, p: (b, a)),
    "the first part: the sign": changed(lambda a, b, q, p: (-a, b)),
    "the second part: the sign": changed(lambda a, b, q, p: (a, -b)),
    "this is the whole KL": changed(lambda a, b, q, p: (a + b, b)),
    "this is a log-density": changed(lambda a, b, q, p: (q, b)),
    "keep one for each z": changed(lambda a, b, q, p: (a.mean(), b.mean())),
    "each z is paired with each x": lambda z, q, prior: (
        table(z, q) - check.split_kl.solution(z, q, prior)[1],
        z[:, 0],
    ),
    "return two tensors": changed(lambda a, b, q, p: a + b),
    "the second part has no gradient": changed(lambda a, b, q, p: (a, b.detach())),
    "the first part has no gradient": changed(lambda a, b, q, p: (a.detach(), b)),
    "where": changed(lambda a, b, q, p: (a + 0.2, b)),
    "should be a tensor": changed(lambda a, b, q, p: (a.tolist(), b)),
}


def vamp(mix):
    return lambda z, u, encoder: mix(encoder(u).log_prob(z[:, None]))


def per_dimension(z, u, encoder):
    q = encoder(u)
    return (torch.logsumexp(log_each(z, q.mean, q.log_var), 1) - math.log(len(u))).sum(-1)


def encoded_for_each_z(z, u, encoder):
    return torch.stack([check.vamp_log_prob.solution(row[None], u, encoder)[0] for row in z])


def frozen_encoder(z, u, encoder):
    q = encoder(u)
    own = encoder.weight.detach() if hasattr(encoder, "weight") else None
    mean, log_var = (torch.tanh(u) @ own).chunk(2, -1)
    assert torch.equal(mean, q.mean)
    return Mixture(torch.zeros(len(u)), Gaussian(mean, 0.7 * log_var)).log_prob(z)


WRONG_VAMP = {
    "lacks 1/K": vamp(lambda e: torch.logsumexp(e, -1)),
    "not log K": vamp(lambda e: torch.logsumexp(e, -1) - e.shape[-1]),
    "-log K, not 1/K": vamp(lambda e: torch.logsumexp(e + 1 / e.shape[-1], -1)),
    "not +log K": vamp(lambda e: torch.logsumexp(e, -1) + math.log(e.shape[-1])),
    "the number of z": vamp(lambda e: torch.logsumexp(e, -1) - math.log(len(e))),
    "pass q.log_var as it is": (
        lambda z, u, e: Mixture(
            torch.zeros(len(u)), Gaussian((q := e(u)).mean, q.log_var.exp())
        ).log_prob(z)
    ),
    "asked twice": (
        lambda z, u, e: Mixture(
            torch.zeros(len(u)), Gaussian((q := e(u)).sample(), q.log_var)
        ).log_prob(z)
    ),
    "a thousand away it is not finite": vamp(lambda e: e.exp().mean(-1).log()),
    "each dimension was mixed": per_dimension,
    "mean of logarithms": vamp(lambda e: e.mean(-1)),
    "sign is turned": lambda *a: -check.vamp_log_prob.solution(*a),
    "average their densities": (
        lambda z, u, e: Gaussian(e(u).mean.mean(0), e(u).log_var.mean(0)).log_prob(z)
    ),
    "encoded the mean pseudo-input": lambda z, u, e: e(u.mean(0, keepdim=True)).log_prob(z),
    "the prior you want to replace": (
        lambda z, u, e: Gaussian(torch.zeros_like(z), torch.zeros_like(z)).log_prob(z)
    ),
    "with variance 1": (
        lambda z, u, e: Mixture(
            torch.zeros(len(u)), Gaussian(e(u).mean, torch.zeros_like(e(u).mean))
        ).log_prob(z)
    ),
    "only the first pseudo-input": vamp(lambda e: e[:, 0]),
    "over the pseudo-inputs is missing": vamp(lambda e: e),
    "keep the batch of z": vamp(lambda e: torch.logsumexp(e, 0)),
    "keep one for each z": lambda *a: check.vamp_log_prob.solution(*a).mean(),
    "Encode u, not z": lambda z, u, e: check.vamp_log_prob.solution(z, z, e),
    "has no gradient": lambda *a: check.vamp_log_prob.solution(*a).detach(),
    "no gradient reaches the pseudo-inputs": lambda z, u, e: check.vamp_log_prob.solution(
        z, u.detach(), e
    ),
    "no gradient reaches the encoder": frozen_encoder,
    "the encoder saw 30 rows": encoded_for_each_z,
    "the encoder saw 10 rows": (
        lambda z, u, e: Mixture(torch.zeros(len(u)), Gaussian(e(u).mean, e(u).log_var)).log_prob(z)
    ),
    "where": lambda *a: check.vamp_log_prob.solution(*a) + 0.3,
    "should be a tensor": lambda *a: 0.0,
}
WRONG = {"mixture_log_prob": WRONG_MIXTURE, "split_kl": WRONG_SPLIT, "vamp_log_prob": WRONG_VAMP}
TestExercises = exercise_tests(
    check,
    "11_priors",
    RIGHT,
    WRONG,
    math=math,
    Gaussian=Gaussian,
    mixture_log_prob=check.mixture_log_prob.solution,
)
