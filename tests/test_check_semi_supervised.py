"""The exercises of notebook 12: right answers pass, wrong ones are told what is wrong."""

import math

import pytest
import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import semi_supervised as check
from dgmcourse.densities import StandardGaussian, kl

# ---- right answers


def own_labelled(x, y, encoder, decoder):
    """By libraries: torch's own Gaussian, KL and categorical."""
    q = encoder(x, y)
    normal = torch.distributions.Normal(q.mean, torch.exp(0.5 * q.log_var))
    z = normal.rsample()
    far = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    label = torch.distributions.OneHotCategorical(logits=torch.zeros_like(y)).log_prob(y)
    return label - far + decoder(y, z).log_prob(x)


def sampled_kl(x, y, encoder, decoder):
    """The KL by the same draw: unbiased, with more noise."""
    q = encoder(x, y)
    z = q.rsample()
    p = StandardGaussian(z.shape[-1])
    log_p = decoder(y, z).log_prob(x) + p.log_prob(z) - math.log(y.shape[1])
    return log_p - q.log_prob(z)


def own_unlabelled(log_q, L):
    q = torch.softmax(log_q, -1)
    return torch.einsum("bc,bc->b", q, L) + torch.distributions.Categorical(probs=q).entropy()


def by_loop(log_q, L):
    """One class after the other."""
    total = torch.zeros_like(L[:, 0])
    for y in range(L.shape[1]):
        total = total + log_q[:, y].exp() * L[:, y] - log_q[:, y].exp() * log_q[:, y]
    return total


def own_best(L):
    p = torch.exp(L - L.max(-1, keepdim=True).values)
    return p / p.sum(-1, keepdim=True)


RIGHT = {
    "labelled_bound": [own_labelled, sampled_kl],
    "unlabelled_bound": [by_loop],
    "best_q": [own_best, lambda L: torch.distributions.Categorical(logits=L).probs],
}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def parts(x, y, encoder, decoder):
    q = encoder(x, y)
    z = q.rsample()
    prior = StandardGaussian(z.shape[-1])
    return decoder(y, z).log_prob(x), -math.log(y.shape[-1]), kl(q, prior)


def combined(combine):
    return lambda *given: combine(*parts(*given))


def one_noise(x, y, encoder, decoder):
    q = encoder(x, y)
    z = q.mean + torch.exp(q.log_var / 2) * torch.randn(1, q.mean.shape[-1])
    return decoder(y, z).log_prob(x) - math.log(y.shape[-1]) - kl(q, StandardGaussian(2))


WRONG = {
    "labelled_bound": {
        "log p(y) is missing": combined(lambda r, label, k: r - k),
        "log p(y) has the wrong sign": combined(lambda r, label, k: r - label - k),
        "the KL must be subtracted": combined(lambda r, label, k: r + label + k),
        "the KL, subtracted, is missing": combined(lambda r, label, k: r + label),
        "one number for the whole batch": combined(lambda r, label, k: (r + label - k).mean()),
        "one-hot labels": lambda x, y, e, d: parts(x, y.argmax(-1), e, d)[0],
        "got a Tensor of shape (4, 2) for y": lambda x, y, e, d: d(e(x, y).rsample(), y).log_prob(
            x
        ),
        "one noise for the whole batch": one_noise,
        "log p(y) has the factor 1.4": combined(lambda r, label, k: r + label / math.log(2) - k),
    },
    "unlabelled_bound": {
        "the entropy is missing": lambda log_q, L: (log_q.exp() * L).sum(-1),
        "the entropy has the wrong sign": lambda log_q, L: (log_q.exp() * (L + log_q)).sum(-1),
        "you summed over the batch": lambda log_q, L: (log_q.exp() * (L - log_q)).sum(0),
        "where q(y|x) is all but certain": lambda log_q, L: (
            log_q.exp() * (L - log_q.exp().log())
        ).sum(-1),
        "no gradient reaches": lambda log_q, L: (log_q.exp() * (L.detach() - log_q)).sum(-1),
        "is not finite": lambda log_q, L: (log_q * (L - log_q.log())).sum(-1),
    },
    "best_q": {
        "exp(-800) is 0": lambda L: L.exp() / L.exp().sum(-1, keepdim=True),
        "exp(900) is infinite": lambda L: torch.where(
            L < 0, L.softmax(-1), L.exp() / L.exp().sum(-1, keepdim=True)
        ),
        "one probability for each class": lambda L: L.logsumexp(-1),
        "lost its axis": lambda L: L.exp() / L.exp().sum(-1),
        "it is 2 times": lambda L: 2 * L.softmax(-1),
        "should be a tensor": lambda L: L.softmax(-1).numpy(force=True),
    },
}
TestExercises = exercise_tests(
    check,
    "12_semi_supervised",
    RIGHT,
    WRONG,
    F=F,
    math=math,
    kl=kl,
    StandardGaussian=StandardGaussian,
)


@pytest.mark.parametrize("seed", range(3))
def test_the_truths_agree_with_one_another(seed):
    """At the best q by the multiplier the bound is log sum_y exp L, and nowhere higher."""
    L, logits = torch.randn(
        2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    best = check.by_multiplier(L)
    torch.testing.assert_close(best.sum(-1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(own_unlabelled(best.log(), L), L.logsumexp(-1))
    assert (own_unlabelled(logits.log_softmax(-1), L) < L.logsumexp(-1)).all()
