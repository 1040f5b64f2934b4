"""The exercises of notebook 03: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import math

import pytest
import torch
from exercises import exercise_tests

from dgmcourse.check import density_network as check
from dgmcourse.check import vae
from dgmcourse.models.density_network import DensityNetwork


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


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


# ---- wrong answers, each with a phrase of the message meant for it


def lse(log_w, dim):
    return torch.logsumexp(log_w, dim)


def largest_of_all(log_w, dim):
    m = log_w.max()
    return m + (log_w - m).exp().mean(dim).log()


def no_guard(log_w, dim):
    m = log_w.amax(dim, keepdim=True)
    return (m + (log_w - m).exp().mean(dim, keepdim=True).log()).squeeze(dim)


def smallest_out(log_w, dim):
    m = log_w.amin(dim, keepdim=True)
    return (m + (log_w - m).exp().mean(dim, keepdim=True).log()).squeeze(dim)


def kept_axis(log_w, m, dim):
    return m + (log_w - m).exp().mean(dim).log()


def ignoring_never(log_w, dim):
    return lse(log_w, dim) - log_w.isfinite().sum(dim).clamp(min=1).double().log()


WRONG_LOG_MEAN_EXP = {
    "exp(-800) is 0": lambda a, dim: a.exp().mean(dim).log(),
    "you summed where a mean belongs": lambda a, dim: lse(a, dim),
    "you added log S": lambda a, dim: lse(a, dim) + math.log(a.shape[dim]),
    "wrong length": lambda a, dim: lse(a, dim) - math.log(a.shape[0]),
    "number of all elements": lambda a, dim: lse(a, dim) - math.log(a.numel()),
    "subtracted S, not log S": lambda a, dim: lse(a, dim) - a.shape[dim],
    "averaged the logarithms": lambda a, dim: a.mean(dim),
    "returned the mean itself": lambda a, dim: a.exp().mean(dim),
    "largest term only": lambda a, dim: a.amax(dim),
    "did not put it back": lambda a, dim: (a - a.amax(dim, keepdim=True)).exp().mean(dim).log(),
    "subtract it inside": lambda a, dim: (
        a.amax(dim) + (a + a.amax(dim, keepdim=True)).exp().mean(dim).log()
    ),
    "the sign is turned": lambda a, dim: -no_guard(a, dim),
    "over the wrong axis": lambda a, dim: lse(a, 0) - math.log(a.shape[0]),
    "whole tensor to one number": lambda a, dim: lse(a.flatten(), 0) - math.log(a.numel()),
    "the axis stays": lambda a, dim: torch.logsumexp(a, dim, keepdim=True) - math.log(a.shape[dim]),
    "nothing was averaged": lambda a, dim: a.exp().log(),
    "is an axis or a length fixed": lambda a, dim: lse(a, dim) - math.log(5),
    "largest of the whole tensor": largest_of_all,
    "-inf minus -inf is undefined": no_guard,
    "not the smallest or a constant": smallest_out,
    "a clamp or a small constant": lambda a, dim: (a.exp().mean(dim) + 1e-30).log(),
    "counts as a term of 0": ignoring_never,
    "no gradient": lambda a, dim: lse(a.detach(), dim) - math.log(a.shape[dim]),
    "its gradient is not": lambda a, dim: (
        a.amax(dim) + (a.detach() - a.detach().amax(dim, keepdim=True)).exp().mean(dim).log()
    ),
    "should be a tensor": lambda a, dim: (lse(a, dim) - math.log(a.shape[dim])).tolist(),
    "nats where": lambda a, dim: lse(a, dim) - math.log(a.shape[dim]) + 0.1,
    "stopped with": lambda a, dim: a @ a,
    "divided the logarithm by S": lambda a, dim: lse(a, dim) / a.shape[dim],
    "to the base 10": lambda a, dim: lse(a, dim) - math.log10(a.shape[dim]),
    "to the base 2": lambda a, dim: lse(a, dim) - math.log2(a.shape[dim]),
    "log1p is not log": lambda a, dim: a.exp().mean(dim).log1p(),
    "broadcast when you add them": lambda a, dim: kept_axis(a, a.amax(dim, keepdim=True), dim),
    "without their axis": lambda a, dim: kept_axis(a, a.amax(dim), dim),
    "gives two things": lambda a, dim: kept_axis(a, a.max(dim, keepdim=True), dim),
    "torch.log wants a tensor": lambda a, dim: lse(a, dim) - torch.log(a.shape[dim]),
}

lme = check.log_mean_exp.solution


def pairs(x, prior, decoder, S):
    """(B, S) log p(x|z), and the codes."""
    z = prior.sample((S,))
    return decoder(z).cross_log_prob(x), z


def pixel_by_pixel(x, prior, decoder, S):
    p = decoder(prior.sample((S,))).mean.mean(0)
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)


def mean_over_pixels(x, prior, decoder, S):
    return lme(pairs(x, prior, decoder, S)[0] / x.shape[1], 1)


def with_prior(x, prior, decoder, S):
    log_w, z = pairs(x, prior, decoder, S)
    return lme(log_w + prior.log_prob(z), 1)


def divided_by_prior(x, prior, decoder, S):
    log_w, z = pairs(x, prior, decoder, S)
    return lme(log_w - prior.log_prob(z), 1)


def naive(x, prior, decoder, S):
    return pairs(x, prior, decoder, S)[0].exp().mean(1).log()


def frozen(x, prior, decoder, S):
    log_w = pairs(x, prior, decoder, S)[0]
    return lme(log_w, 1).detach() + 0.5 * (log_w.mean(1) - log_w.mean(1).detach())


WRONG_LOG_LIKELIHOOD = {
    "averaged the logarithms": lambda x, p, d, S: pairs(x, p, d, S)[0].mean(1),
    "forgot to divide by S": lambda x, p, d, S: lse(pairs(x, p, d, S)[0], 1),
    "by the number of x": lambda x, p, d, S: lse(pairs(x, p, d, S)[0], 1) - math.log(len(x)),
    "divided by S twice": lambda x, p, d, S: lme(pairs(x, p, d, S)[0], 1) - math.log(S),
    "pixel by pixel": pixel_by_pixel,
    "over the pixels: sum them": mean_over_pixels,
    "decoded the mean of the codes": lambda x, p, d, S: d(p.sample((S,)).mean(0)).log_prob(x),
    "kept the best code only": lambda x, p, d, S: pairs(x, p, d, S)[0].amax(1),
    "multiplied by p(z)": with_prior,
    "you returned p(x)": lambda x, p, d, S: lme(pairs(x, p, d, S)[0], 1).exp(),
    "wrong sign": lambda x, p, d, S: -lme(pairs(x, p, d, S)[0], 1),
    "one number for the whole batch": lambda x, p, d, S: lme(pairs(x, p, d, S)[0], 1).mean(),
    "one number for each code": lambda x, p, d, S: lme(pairs(x, p, d, S)[0], 0),
    "one number for each pair": lambda x, p, d, S: pairs(x, p, d, S)[0],
    "one number for each pixel": lambda x, p, d, S: d(p.sample((S,))).mean.mean(0).log() * x,
    "no code was drawn by prior.sample": lambda x, p, d, S: lme(
        d(torch.randn(S, 2).double()).cross_log_prob(x), 1
    ),
    "you drew one code where": lambda x, p, d, S: lme(d(p.sample((1,))).cross_log_prob(x), 1),
    "one for each x": lambda x, p, d, S: d(p.sample((len(x),))).log_prob(x),
    "you drew 100 codes": lambda x, p, d, S: lme(d(p.sample((100,))).cross_log_prob(x), 1),
    "you leave the logarithm": naive,
    "no gradient": lambda x, p, d, S: lme(pairs(x, p, d, S)[0], 1).detach(),
    "gradient with respect to the decoder is not": frozen,
    "expects 2 latent dimensions": lambda x, p, d, S: lme(
        d(torch.randn(S, 3).double()).cross_log_prob(x), 1
    ),
    "nats where": lambda x, p, d, S: lme(pairs(x, p, d, S)[0], 1) + 0.1,
    "stopped with": lambda x, p, d, S: d(x, S),
    "wants a shape, a tuple": lambda x, p, d, S: lme(d(p.sample(S)).cross_log_prob(x), 1),
    "cross_log_prob(x) holds every x": lambda x, p, d, S: lme(d(p.sample((S,))).log_prob(x), 1),
    "the decoder got no tensor": lambda x, p, d, S: lme(d(p).cross_log_prob(x), 1),
    "and divided by S": lambda x, p, d, S: pairs(x, p, d, S)[0].amax(1) - math.log(S),
    "you divided by p(z)": divided_by_prior,
}


WRONG = {"log_mean_exp": WRONG_LOG_MEAN_EXP, "log_likelihood": WRONG_LOG_LIKELIHOOD}
TestExercises = exercise_tests(
    check, "03_density_network", RIGHT, WRONG, math=math, log_mean_exp=check.log_mean_exp.solution
)


def test_right_answers_pass_whatever_the_seed():
    for seed in range(3):
        torch.manual_seed(seed)
        for name, answers in RIGHT.items():
            for answer in answers:
                assert verdict(name, answer)[0].kind == "pass"


@pytest.mark.parametrize("answer", RIGHT["log_likelihood"])
def test_what_passes_works_with_the_courses_own_prior(answer):
    """A judge more lenient than the notebook would let the training stop with an error."""
    model = DensityNetwork(2, hidden=4, data_dim=3)
    assert answer(torch.tensor([[1.0, 0, 1]]), model.prior, model.decoder, 5).shape == (1,)


def test_the_truth_of_the_judge_is_the_integral():
    """What a right answer tends to is the quadrature the praise quotes."""
    torch.manual_seed(0)
    found = check._log_likelihood(check.IMAGES, check._Prior(), check._Decoder(check.BIAS), 400_000)
    assert torch.allclose(found, check._integrated(), atol=0.02)
