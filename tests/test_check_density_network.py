"""The exercises of notebook 03: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import math

import pytest
import torch
from exercises import exercise_tests

from dgmcourse.check import density_network as check
from dgmcourse.check import vae
from dgmcourse.densities import Bernoulli
from dgmcourse.models.density_network import DensityNetwork

# ---- right answers


def own_log_mean_exp(log_w, dim):
    """By hand, with an axis of its own for the largest term and a guard for rows of -inf."""
    m = log_w.amax(dim, keepdim=True)
    m = torch.where(m.isinf(), torch.zeros_like(m), m).detach()
    return (m + (log_w - m).exp().mean(dim, keepdim=True).log()).squeeze(dim)


def in_pairs(log_w, dim):
    """Term by term."""
    terms = log_w.unbind(dim)
    total = terms[0]
    for term in terms[1:]:
        total = torch.logaddexp(total, term)
    return total - math.log(len(terms))


def own_log_likelihood(x, prior, decoder, S):
    """Codes of its own for every x, (S, B), and no cross product."""
    z = prior.sample((S, len(x)))
    return own_log_mean_exp(decoder(z).log_prob(x), 0)


def in_loops(x, prior, decoder, S):
    each = []
    for image in x:
        codes = [prior.sample((1,)) for _ in range(S)]
        each.append(
            torch.logsumexp(torch.cat([decoder(z).log_prob(image) for z in codes]), 0) - math.log(S)
        )
    return torch.stack(each)


def one_code_after_the_other(x, prior, decoder, S):
    log_w = torch.stack([decoder(prior.sample()).log_prob(x) for _ in range(S)])
    return torch.logsumexp(log_w, 0) - math.log(S)


def with_rsample(x, prior, decoder, S):
    return own_log_mean_exp(decoder(prior.rsample((S,))).cross_log_prob(x), 1)


def by_broadcasting(x, prior, decoder, S):
    return own_log_mean_exp(decoder(prior.sample((S,))).log_prob(x[:, None]), 1)


RIGHT = {
    "log_mean_exp": [own_log_mean_exp, in_pairs],
    "log_likelihood": [
        own_log_likelihood,
        in_loops,
        one_code_after_the_other,
        by_broadcasting,
        with_rsample,
    ],
    "sample": [lambda n, p, d: torch.bernoulli(d(p.sample((n,))).mean)],
}


def test_sampling_has_the_judge_of_notebook_07():
    assert check.sample is vae.sample


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def shifted(m, log_w, dim):
    return m.squeeze(dim) + (log_w - m).exp().mean(dim).log()


lme = check.log_mean_exp.solution


def pairs(x, prior, decoder, S):
    """(B, S) log p(x|z)."""
    return decoder(prior.sample((S,))).cross_log_prob(x)


def seeded(x, prior, decoder, S):
    torch.manual_seed(0)
    return lme(pairs(x, prior, decoder, S), 1)


WRONG = {
    "log_mean_exp": {
        "exp(-800) is 0": lambda a, dim: a.exp().mean(dim).log(),
        "no fixed axis or length": lambda a, dim: torch.logsumexp(a, dim) - math.log(5),
        "largest of the whole tensor": lambda a, dim: a.max() + (a - a.max()).exp().mean(dim).log(),
        "not the smallest": lambda a, dim: shifted(a.amin(dim, keepdim=True), a, dim),
        "-inf minus -inf is undefined": lambda a, dim: shifted(a.amax(dim, keepdim=True), a, dim),
        "counts as a term of 0": lambda a, dim: (
            torch.logsumexp(a, dim) - a.isfinite().sum(dim).clamp(min=1).double().log()
        ),
        "its gradient with respect to log_w is not": lambda a, dim: (
            0.5 * (lme(a, dim) + lme(a, dim).detach())
        ),
        "without their axis": lambda a, dim: (a - a.amax(dim)).exp(),
        "gives two things": lambda a, dim: a - a.max(dim),
        "wants a tensor": lambda a, dim: torch.log(a.shape[dim]),
    },
    "log_likelihood": {
        "no code was drawn by prior.sample": lambda x, p, d, S: lme(
            d(torch.randn(S, 2).double()).cross_log_prob(x), 1
        ),
        "you drew one code, where": lambda x, p, d, S: lme(pairs(x, p, d, 1), 1),
        "one for each x, where": lambda x, p, d, S: d(p.sample((len(x),))).log_prob(x),
        "you leave the logarithm": lambda *given: pairs(*given).exp().mean(1).log(),
        "no gradient reaches weight": lambda x, p, d, S: lme(
            Bernoulli(p.sample((S,)) @ d.weight.detach() + d.bias).cross_log_prob(x), 1
        ),
        "set no seed": seeded,
        "cross_log_prob(x) holds every x": lambda x, p, d, S: d(p.sample((S,))).log_prob(x),
        "the decoder got no tensor": lambda x, p, d, S: lme(d(p).cross_log_prob(x), 1),
    },
}
TestExercises = exercise_tests(
    check, "03_density_network", RIGHT, WRONG, math=math, log_mean_exp=check.log_mean_exp.solution
)


@pytest.mark.parametrize("answer", RIGHT["log_likelihood"])
def test_what_passes_works_with_the_courses_own_prior(answer):
    """A judge more lenient than the notebook would let the training stop with an error."""
    model = DensityNetwork(2, hidden=4, data_dim=3)
    assert answer(torch.tensor([[1.0, 0, 1]]), model.prior, model.decoder, 5).shape == (1,)
