"""Measuring: the importance-sampled likelihood where log p(x) is known, and the other
diagnostics.
"""

import types

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


MUTANTS = {
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
        + prior.log_prob(z) =>
        log_prob(z) - log_q => log_prob(z)
        (batch) + prior => (batch) / batch.shape[-1] + prior
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
        .mean.var(0) => .mean.std(0)
        model.encoder(x).mean.var(0) => (model.encoder(x).mean ** 2).mean(0)
        model.encoder(x).mean.var(0) => 1 - model.encoder(x).log_var.exp().mean(0)
        model.prior).mean(0) => model.prior).sum(0)
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((evaluate, MUTANTS))


def test_weights_of_zero_and_no_gradient():
    """An x of probability 0 under every sample is log 0, not NaN; and measuring keeps no graph."""
    parts, *_ = factor_analysis()
    never = types.SimpleNamespace(log_prob=lambda x: torch.full((1, len(x)), -torch.inf))
    model = types.SimpleNamespace(prior=parts[0], encoder=parts[1], decoder=lambda z: never)
    estimate = evaluate.log_likelihood(model, factor_data(3), 600)
    assert (estimate == -torch.inf).all() and not estimate.requires_grad


@pytest.mark.parametrize("n, S", [(0, 10), (3, 0)])
def test_nothing_to_measure_is_one_sentence(n, S):
    parts, *_ = factor_analysis()
    with pytest.raises(ValueError, match="at least one x and one sample"):
        evaluate.log_likelihood(LatentVariableModel(*parts), factor_data(n), S)


def test_a_single_x_has_no_active_units_and_a_vector_is_no_batch():
    model = LatentVariableModel(*factor_analysis()[0])
    with pytest.raises(ValueError, match="at least two x, got 1"):
        evaluate.active_units(model, factor_data(1))
    with pytest.raises(ValueError, match=r"batch of rows, \(N, D\), got shape \(5,\): x\[None\]"):
        evaluate.log_likelihood(model, factor_data(1)[0], 500)


@pytest.mark.parametrize(("real", "drawn"), [(3, 10), (10, 3)])
def test_without_k_neighbours_there_is_no_reach(real, drawn):
    with pytest.raises(ValueError, match="at least 4 rows, got"):
        evaluate.precision_and_recall(torch.randn(real, 2), torch.randn(drawn, 2), k=3)
