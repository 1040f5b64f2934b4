"""The exercises of notebook 13b: right answers pass, wrong ones are told what is wrong."""

import math

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import music as check
from dgmcourse.densities import kl

# ---- right answers


def by_sampling(x, h, prior, encoder, decoder):
    """The KL by the same draw: unbiased, with more noise."""
    q = encoder(x, h)
    z = q.rsample()
    return decoder(z, h).log_prob(x) + prior(h).log_prob(z) - q.log_prob(z)


def by_torch(x, h, prior, encoder, decoder):
    q, p = encoder(x, h), prior(h)
    normal = lambda g: torch.distributions.Normal(g.mean, torch.exp(0.5 * g.log_var))  # noqa: E731
    z = normal(q).rsample()
    return decoder(z, h).log_prob(x) - torch.distributions.kl_divergence(normal(q), normal(p)).sum(
        1
    )


def by_padding(terms, lengths):
    parts = [row[:n].sum() for row, n in zip(terms, lengths.tolist(), strict=True)]
    return torch.stack(parts)


def by_cumulative_sum(terms, lengths):
    safe = terms.nan_to_num(neginf=0.0)
    return safe.cumsum(-1)[torch.arange(len(terms)), lengths - 1]


def own_weights(log_w):
    top = log_w.max(-1, keepdim=True).values
    w = torch.exp(log_w - top)
    return w.mean(-1).log() + top.squeeze(-1), w / w.sum(-1, keepdim=True)


RIGHT = {
    "step_bound": [by_sampling, by_torch],
    "sum_over_steps": [by_padding, by_cumulative_sum],
    "weigh": [own_weights],
}

# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def parts(x, h, prior, encoder, decoder):
    q = encoder(x, h)
    return decoder(q.rsample(), h).log_prob(x), kl(q, prior(h))


def combined(combine):
    return lambda *given: combine(*parts(*given))


def one_noise(x, h, prior, encoder, decoder):
    q = encoder(x, h)
    z = q.mean + torch.exp(q.log_var / 2) * torch.randn(1, 2)
    return decoder(z, h).log_prob(x) - kl(q, prior(h))


def times_mask(terms, lengths):
    return (terms * (torch.arange(terms.shape[1]) < lengths[:, None])).sum(-1)


WRONG = {
    "step_bound": {
        "the KL, subtracted, is missing": combined(lambda r, k: r),
        "the KL, subtracted, has the wrong sign": combined(lambda r, k: r + k),
        "the reconstruction has the wrong sign": combined(lambda r, k: -r - k),
        "one number for the whole batch": combined(lambda r, k: (r - k).mean()),
        "for z: it expects": lambda x, h, p, e, d: d(h, e(x, h).rsample()).log_prob(x),
        "it expects 3 keys": lambda x, h, p, e, d: d(e(h, h).rsample(), h).log_prob(x),
        "one noise for the whole batch": one_noise,
    },
    "sum_over_steps": {
        "0 times -inf is no number": times_mask,
        "you summed over the batch": lambda terms, lengths: terms.sum(0),
        "the steps are still there": lambda terms, lengths: torch.where(
            torch.arange(terms.shape[-1]) < lengths[:, None], terms, 0.0
        ),
        "compare them as": lambda terms, lengths: torch.where(
            torch.arange(terms.shape[-1]) < lengths, terms, 0.0
        ).sum(-1),
        "the sign is turned": lambda terms, lengths: -by_padding(terms, lengths),
        "should be a tensor": lambda terms, lengths: by_padding(terms, lengths).tolist(),
    },
    "weigh": {
        "exp(-900) is 0": lambda log_w: (log_w.exp().mean(-1).log(), log_w.softmax(-1)),
        "you averaged over the batch": lambda log_w: (
            torch.logsumexp(log_w, 0) - math.log(len(log_w)),
            log_w.softmax(-1),
        ),
        "one share for each particle": lambda log_w: (own_weights(log_w)[0], log_w.amax(-1)),
        "return two tensors": lambda log_w: own_weights(log_w)[0],
        "the evidence has no gradient": lambda log_w: (
            own_weights(log_w.detach())[0],
            log_w.softmax(-1),
        ),
    },
}
TestExercises = exercise_tests(check, "13b_music", RIGHT, WRONG, F=F, math=math, kl=kl, torch=torch)
