"""Measuring: the importance-sampled likelihood where log p(x) is known, and the other
diagnostics.
"""

import types

import numpy as np
import pytest
import torch
from oracles import all_images, assert_mean, close, oracle_tests
from test_models import factor_analysis, factor_data, linear, tiny_images
from torch import nn

from dgmcourse import evaluate
from dgmcourse.densities import BernoulliConditional, GaussianConditional, StandardGaussian
from dgmcourse.models import LatentVariableModel

pytestmark = pytest.mark.usefixtures("float64")


class Counted(nn.Module):
    """A Conditional that counts the rows it was given."""

    def __init__(self, conditional):
        super().__init__()
        self.conditional, self.rows = conditional, 0

    def forward(self, given):
        self.rows += given[..., 0].numel()
        return self.conditional(given)


def wide_tiny_images():
    """The tiny images' model with one wide q for every x: its weights are bounded, so estimates
    have small, finite variance.
    """
    (prior, _, decoder), log_p, _ = tiny_images()
    encoder = GaussianConditional(linear(torch.zeros(2, 9), torch.tensor([0.2, 0.3])))
    return LatentVariableModel(prior, encoder, decoder), log_p


def check_exact_posterior(evaluate):
    """Each weight is p(x), so that any miscounted, dropped or repeated sample shows: S of one
    chunk, of several, with a rest.
    """
    parts, oracle, _ = factor_analysis()
    x = factor_data(7)
    log_p = torch.from_numpy(oracle.score_samples(x.numpy()))
    model = LatentVariableModel(*parts)
    for S in (1, 3, 250, 251, 499, 777):
        for rows in (1, 100, 1000, 5000):
            close(evaluate.log_likelihood(model, x, S, rows=rows), log_p)


def check_ignored_z(evaluate):
    """A decoder that does not look at z, and q = prior: p(x) itself, with any S."""
    logits = torch.randn(9)
    model = LatentVariableModel(
        StandardGaussian(2),
        GaussianConditional(linear(torch.zeros(4, 9), torch.zeros(4))),
        BernoulliConditional(linear(torch.zeros(9, 2), logits)),
    )
    exact = torch.distributions.Bernoulli(logits=logits).log_prob(all_images()).sum(-1)
    for S in (1, 300):
        close(evaluate.log_likelihood(model, all_images(), S), exact)


def check_unbiased(evaluate):
    """The estimate of p(x), not of its logarithm, has the mean p(x) at every S: here S = 3."""
    model, log_p = wide_tiny_images()
    estimates = torch.stack(
        [evaluate.log_likelihood(model, all_images(), 3) for _ in range(40)]
    ).exp()
    assert_mean(estimates / log_p.exp(), torch.ones(512), errors=6)
    assert_mean(estimates.sum(1)[:, None], torch.ones(1))


def check_converges_from_below(evaluate):
    """log p is approached from below, with a distance that falls like 1 / S and an error that falls
    like 1 / sqrt(S).
    """
    model, log_p = wide_tiny_images()
    bias, error = [], []
    for S in (1, 10, 100, 1000):
        off = evaluate.log_likelihood(model, all_images(), S) - log_p
        bias.append(off.mean().item())
        error.append(off.std().item())
    assert bias[0] < bias[1] < bias[2] < 0 and abs(bias[3]) < 0.005
    assert bias[1] > 0.3 * bias[0] and bias[2] > 0.3 * bias[1]
    assert all(2 < a / b < 5 for a, b in zip(error[1:], error[2:], strict=False))


def check_work(evaluate):
    """Each x is encoded once, and N x S rows of z are decoded: no more."""
    parts, *_ = factor_analysis()
    model = LatentVariableModel(parts[0], Counted(parts[1]), Counted(parts[2]))
    evaluate.log_likelihood(model, factor_data(11), 601, rows=700)
    assert (model.encoder.rows, model.decoder.rows) == (11, 11 * 601)


def check_log_mean_exp(evaluate):
    log_w = torch.randn(6, 4) * 3
    close(evaluate.log_mean_exp(log_w), log_w.exp().mean(0).log())
    close(evaluate.log_mean_exp(log_w, 1), log_w.exp().mean(1).log())
    close(evaluate.log_mean_exp(log_w - 5000), log_w.exp().mean(0).log() - 5000, atol=1e-9)
    close(evaluate.log_mean_exp(torch.full((3,), -2.0)), -2.0)


def check_effective_sample_size(evaluate):
    close(evaluate.effective_sample_size(torch.full((50, 2), -3000.0)), torch.full((2,), 50.0))
    close(evaluate.effective_sample_size(torch.tensor([0.0, -900.0, -900.0])), 1.0)
    w = torch.rand(20, 3) + 0.1
    close(evaluate.effective_sample_size(w.log() + 700), w.sum(0) ** 2 / (w**2).sum(0))
    close(evaluate.effective_sample_size(w.log(), dim=1), w.sum(1) ** 2 / (w**2).sum(1))


def check_units(evaluate):
    """Units planted: one that follows x, one that does so by too little, one at the prior, one
    constant but off the prior.
    """
    weight, bias = torch.zeros(8, 2), torch.tensor([0.0, 0, 0, 1.5, -2.0, 0, 0, -1.0])
    weight[0, 0], weight[1, 1] = 0.15, 0.08  # variances of the mean 0.0225 and 0.0064
    model = LatentVariableModel(
        StandardGaussian(4), GaussianConditional(linear(weight, bias)), nn.Identity()
    )
    x = torch.randn(2000, 2)
    x = (x - x.mean(0)) / x.std(0)
    assert evaluate.active_units(model, x).tolist() == [True, False, False, False]

    def of(mean_square, log_var):
        return 0.5 * (mean_square + torch.tensor(log_var).exp() - log_var - 1)

    second = 0.15**2 * (1 - 1 / 2000), 0.08**2 * (1 - 1 / 2000)
    expected = torch.stack([of(second[0], -2.0), of(second[1], 0.0), of(0.0, 0.0), of(2.25, -1.0)])
    close(evaluate.kl_of_each_unit(model, x), expected)


def check_precision_and_recall(evaluate):
    """Against the definition written out in loops; and two clusters of which one is drawn, with a
    stray point.
    """

    def within(x, of, k):
        # [0] is the point itself
        reach = [sorted(float((a - b).norm()) for b in of)[k] for a in of]
        return [float(any((b - a).norm() <= r for a, r in zip(of, reach, strict=True))) for b in x]

    real, drawn = torch.randn(25, 3), 1.5 * torch.randn(18, 3) + 0.5
    for k in (1, 3):
        precise, recalled = evaluate.precision_and_recall(real, drawn, k)
        assert precise.tolist() == within(drawn, real, k) and recalled.tolist() == within(
            real, drawn, k
        )
        assert 0 < precise.mean() < 1 and 0 < recalled.mean() < 1
    left, right = torch.rand(50, 2), torch.rand(50, 2) + 10
    precise, recalled = evaluate.precision_and_recall(
        torch.cat([left, right]), torch.cat([left + 0.01, torch.full((1, 2), 5.0)])
    )
    assert precise[:-1].mean() > 0.9 and precise[-1] == 0
    assert recalled[:50].mean() > 0.9 and recalled[50:].sum() == 0


# psislw of arviz 0.21.0 (its second result), for scale * RandomState(S).kind(S) - 90
PARETO_K_BY_ARVIZ = [
    (100, "standard_normal", 0.3, 0.0845039718),
    (100, "standard_normal", 1.2, 0.3373899558),
    (100, "standard_exponential", 1.2, 1.0355290713),
    (1000, "standard_normal", 1.2, 0.207745354),
    (1000, "standard_exponential", 0.3, 0.5233809426),
    (5000, "standard_normal", 0.3, 0.0569359207),
    (5000, "standard_exponential", 1.2, 1.2364443384),
]


def check_pareto_k_of_arviz(evaluate):
    for S, kind, scale, k in PARETO_K_BY_ARVIZ:
        log_w = torch.from_numpy(scale * getattr(np.random.RandomState(S), kind)(S) - 90)
        close(evaluate.pareto_k(log_w), k, 1e-9, 2e-10)
        many = torch.stack([log_w, log_w + 900, log_w - 900, log_w.flip(0)]).view(2, 2, S)
        close(evaluate.pareto_k(many, -1), torch.full((2, 2), k), 1e-8, 1e-9)


def check_pareto_k_of_pareto(evaluate):
    """w = (1 - u)^-k has a Pareto tail of shape k, exactly; the prior pulls a little to 1/2."""
    u = torch.rand(2000, 200)
    for k in (0.2, 0.5, 0.8, 1.5):
        M = evaluate.tail_length(2000)
        found = evaluate.pareto_k(-k * torch.log1p(-u))
        expected = (M * k + 5) / (M + 10)
        assert (found.mean() - expected).abs() < 0.03
        assert 0.7 < found.std() / ((1 + k) / M**0.5) < 1.2  # the error of the best estimate


def check_reliability(evaluate):
    """In one pass, whatever the chunks: as of all weights at once, which the same seed draws."""
    model, _ = wide_tiny_images()
    x = all_images()[::50]
    for S in (40, 601):
        torch.manual_seed(3)
        estimate = evaluate.log_likelihood(model, x, S, rows=250, reliability=True)
        torch.manual_seed(3)
        log_w = []
        for one in x.split(max(1, 250 // S)):
            parts = [min(250, S - at) for at in range(0, S, 250)]
            log_w.append(torch.cat([model.log_weight(one, (part,)) for part in parts]))
        log_w = torch.cat(log_w, 1)
        close(estimate.log_p, evaluate.log_mean_exp(log_w))
        close(estimate.k, evaluate.pareto_k(log_w))
        close(estimate.ess, evaluate.effective_sample_size(log_w))
        torch.manual_seed(3)
        assert torch.equal(evaluate.log_likelihood(model, x, S, rows=250), estimate.log_p)
        torch.manual_seed(3)
        estimate = evaluate.log_likelihood_from_prior(model, x, S, rows=77, reliability=True)
        torch.manual_seed(3)
        z = torch.cat([model.prior.sample((min(77, S - at),)) for at in range(0, S, 77)])
        log_w = model.decoder(z).cross_log_prob(x)
        close(estimate.log_p, evaluate.log_mean_exp(log_w, 1))
        close(estimate.k, evaluate.pareto_k(log_w, 1))
        close(estimate.ess, evaluate.effective_sample_size(log_w, 1))


MUTANTS = {
    check_pareto_k_of_arviz: """
        3 * S**0.5 => 2 * S**0.5
        / (3 * quartile) => / (2 * quartile)
        points = 30 + => points = 20 +
        (n * k + 10 * 0.5) / (n + 10) =>  k
        torch.softmax(profile, 0) => torch.full_like(profile, 1 / len(profile))
        profile = n * ( => profile = (
        thetas.masked_fill(thetas == 0, 1e-100) => thetas.clamp_min(0)
        torch.expm1(finite[-1:] - finite[:-1]) => -torch.ones_like(finite[:-1])
        movedim(dim, 0) => flatten(0, -2).mT.unflatten(-1, (1, -1)) if log_w.dim() > 1 else log_w
    """,
    check_pareto_k_of_pareto: """
        (n * k + 10 * 0.5) / (n + 10) => (n * k + 100 * 0.5) / (n + 100)
        torch.log1p(-theta * y).sum(0) / n => -torch.log1p(-theta * y).sum(0) / n
    """,
    check_reliability: """
        torch.cat([self.largest, log_w]) => log_w
        torch.logaddexp(self.squares, squares) => torch.maximum(self.squares, squares)
        = tail_length(S) + 1, None => = tail_length(S), None
        torch.logsumexp(2 * log_w, 0) => torch.logsumexp(log_w, 0)
        tail.add(log_w.mT) => tail.add(p.cross_log_prob(x.flip(0)).mT)
    """,
    check_precision_and_recall: """
        kthvalue(k + 1 => kthvalue(k
        drawn, real), within_reach(real, drawn => real, drawn), within_reach(drawn, real
        torch.cdist(x, of) <= reach) => torch.cdist(x, of) <= reach.max())
        .any(1) => .all(1)
    """,
    check_exact_posterior: """
        math.log(S) => math.log(chunk)
        range(0, S, chunk) => range(0, S - S % chunk, chunk)
        (min(chunk, S - done),) => (chunk,)
        + log_p_z - log_q => - log_q
        log_p_z - log_q => log_p_z
        log_p_x + => log_p_x / batch.shape[-1] +
        total - math.log(S) => (total - math.log(S)) / math.log(2)
        log_q = q.rsample_and_log_prob((min(chunk, S - done),)) => \
            _ = q.rsample_and_log_prob((min(chunk, S - done),)); log_q = q.log_prob(q.sample(z.shape[:1]))
    """,
    check_ignored_z: "total - math.log(S) => total",
    check_unbiased: """
        logaddexp(total, torch.logsumexp(log_w, 0)) => maximum(total, log_w.max(0).values + math.log(S))
        , log_q = q.rsample_and_log_prob((min(chunk, S - done),)) => \
            = model.prior.sample((min(chunk, S - done), len(batch))); log_q = q.log_prob(z)
    """,
    check_converges_from_below: """
        torch.logaddexp(total, torch.logsumexp(log_w, 0)) => log_w.mean(0) + math.log(S)
    """,
    check_work: "q.rsample_and_log_prob => model.encoder(batch).rsample_and_log_prob",
    check_log_mean_exp: """
        - math.log(log_w.shape[dim]) =>
        math.log(log_w.shape[dim]) => math.log(len(log_w))
        return torch.logsumexp(log_w, dim) - => return log_w.exp().sum(dim).log() -
    """,
    check_effective_sample_size: """
        torch.logsumexp(2 * log_w, dim) => torch.logsumexp(log_w, dim)
        torch.exp(2 * torch.logsumexp(log_w, dim) - torch.logsumexp(2 * log_w, dim)) => \
            log_w.exp().sum(dim) ** 2 / (2 * log_w).exp().sum(dim)
    """,
    check_units: """
        x).var(0) > threshold => x).std(0) > threshold
        x).var(0) > threshold => x).square().mean(0) > threshold
        model.encoder(rows).mean, x).var(0) => 1 - model.encoder(rows).log_var.exp(), x).mean(0)
        model.prior).mean(0) => model.prior).sum(0)
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((evaluate, MUTANTS))


def test_weights_of_zero_and_no_gradient():
    """An x of probability 0 under every sample is log 0, not NaN; and measuring keeps no graph."""
    parts, *_ = factor_analysis()

    def never(z):
        return types.SimpleNamespace(log_prob=lambda x: torch.full(z.shape[:-1], -torch.inf))

    model = types.SimpleNamespace(prior=parts[0], encoder=parts[1], decoder=never)
    estimate = evaluate.log_likelihood(model, factor_data(3), 600, reliability=True)
    assert (estimate.log_p == -torch.inf).all() and not estimate.log_p.requires_grad
    assert (estimate.k == torch.inf).all()


@pytest.mark.parametrize("x", [factor_data(0), factor_data(1)[0]], ids=["empty", "one x"])
@pytest.mark.parametrize("estimate", ["log_likelihood", "log_likelihood_from_prior"])
def test_what_is_no_batch_is_one_sentence(x, estimate):
    model = LatentVariableModel(*factor_analysis()[0])
    with pytest.raises(
        ValueError, match=r"expected (at least one x|a batch of rows, \(N, D\)), got shape \("
    ):
        getattr(evaluate, estimate)(model, x, 500)


def test_the_highest_k_depends_on_the_number_of_samples():
    """Where the estimate's relative error still shrinks with S: S is 10^(1 / (1 - k)) at the least."""
    for S in (2, 30, 500, 2000):
        assert 10 ** (1 / (1 - evaluate.highest_k(S))) == pytest.approx(S)
    assert evaluate.highest_k(2200) == evaluate.highest_k(10**9) == 0.7
    assert evaluate.highest_k(1) == -torch.inf


def test_in_parts_it_is_the_same():
    a, b, seen = torch.randn(7, 3, requires_grad=True), torch.randn(7), []

    def f(a, b):
        seen.append(len(a))
        return a.sum(1) * b

    found = evaluate.in_parts(f, a, b, rows=3)
    assert torch.equal(found, f(a, b)) and seen == [3, 3, 1, 7] and not found.requires_grad
    with pytest.raises(ValueError, match="tensors of one length, got 7, 6"):
        evaluate.in_parts(f, a, b[1:])
    with pytest.raises(ValueError, match="rows"):
        evaluate.in_parts(f, a, b, rows=0)


def test_a_single_x_has_no_active_units():
    with pytest.raises(ValueError, match="at least two x, got 1"):
        evaluate.active_units(LatentVariableModel(*factor_analysis()[0]), factor_data(1))


def test_pareto_k_at_its_edges():
    """Too few weights that differ are infinity, none is minus infinity, NaN stays NaN; ties, zeros
    and weights 10^4 nats apart are numbers.
    """
    k = evaluate.pareto_k
    for few in (torch.randn(1), torch.zeros(20), torch.tensor([5.0] * 4 + [0.0] * 996)):
        assert k(few) == torch.inf
    assert k(torch.full((100,), -7.0)) == -torch.inf
    assert k(torch.full((100,), -torch.inf)) == torch.inf
    assert k(torch.tensor([0.0, torch.nan] * 50)).isnan()
    assert k(1e4 * torch.rand(1000)) > 10
    some = torch.randn(1000)
    close(k(torch.cat([some, torch.full((1000,), -torch.inf)])), k(torch.cat([some, some - 1e5])))
    for S in (1112, 1300, 1500):  # equal excesses: theta = 0 is on the grid of a tail of 100 to 120
        log_w = torch.cat([torch.full((60,), 2.0), torch.zeros(S - 60)])
        close(k(log_w), k(log_w + 1e-7 * torch.rand(S) * (log_w > 0)), 1e-5)
    half = k(torch.randn(1000, 2, dtype=torch.float32))
    assert half.dtype == torch.float32 and half.isfinite().all()


@pytest.mark.parametrize(("real", "drawn"), [(3, 10), (10, 3)])
def test_without_k_neighbours_there_is_no_reach(real, drawn):
    with pytest.raises(ValueError, match="at least 4 rows, got"):
        evaluate.precision_and_recall(torch.randn(real, 2), torch.randn(drawn, 2), k=3)
