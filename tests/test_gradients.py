"""Both gradient estimators against expectations whose gradient is known, and the bugs that these
tests are there for.

Every case has R independent replicates of the whole problem: their mean is held against the truth
by its own standard error, which must be small enough for the comparison to mean something.
"""

import pytest
import torch

from dgmcourse.densities import Bernoulli, Gaussian
from dgmcourse.gradients import leave_one_out, pathwise, score_function

R, S = 20_000, 4
MEAN = torch.tensor([0.7, -0.4, 1.1], dtype=torch.float64)
LOG_VAR = torch.tensor([-0.6, 0.5, -1.2], dtype=torch.float64)
A = torch.tensor([-0.3, 0.2, 0.5], dtype=torch.float64)


def replicates(*values):
    return [value.expand(R, -1).clone().requires_grad_() for value in values]


def assert_unbiased(estimates, truth, precision=0.2):
    """R estimates, (R, D): their mean is the truth within 5 standard errors, and those are small
    against its size.
    """
    error = estimates.std(0) / R**0.5
    assert error.max() < precision * truth.abs().max(), (
        f"no power: standard error {error} for {truth}"
    )
    deviation = (estimates.mean(0) - truth).abs() / error.clamp(min=1e-12)
    assert deviation.max() < 5, f"{estimates.mean(0)} is {deviation} standard errors off {truth}"


# f(z), or f(z, q) where it depends on the parameters itself, and the gradients of E f for mean and
# log-variance
def quadratic(z, q):
    return -((z - A) ** 2).sum(-1)


def exponential(z, q):  # no sum over dimensions: each one's gradient depends on all
    return torch.exp((A * z).sum(-1))


def entropy(z, q):  # depends on the parameters, but E[grad log q] = 0
    return -q.log_prob(z)


MOMENT = torch.exp((A * MEAN + 0.5 * A**2 * LOG_VAR.exp()).sum())
TRUTHS = {
    quadratic: (-2 * (MEAN - A), -LOG_VAR.exp()),
    exponential: (MOMENT * A, MOMENT * 0.5 * A**2 * LOG_VAR.exp()),
    entropy: (torch.zeros(3, dtype=torch.float64), torch.full((3,), 0.5, dtype=torch.float64)),
}


def estimates_of(estimator, f, **options):
    """One tensor (R, 6), gradients for the mean and the log-variance side by side, and the truth
    (6,).
    """
    torch.manual_seed(0)
    mean, log_var = replicates(MEAN, LOG_VAR)
    q = Gaussian(mean, log_var)
    found = estimator(lambda z: f(z, q), q, [mean, log_var], S=S, **options)
    assert [g.shape for g in found] == [mean.shape, log_var.shape]
    return torch.cat(found, -1), torch.cat(TRUTHS[f], -1)


@pytest.mark.parametrize("f", [quadratic, exponential, entropy])
@pytest.mark.parametrize("baseline", [False, True])
def test_the_score_function_is_unbiased(f, baseline):
    assert_unbiased(*estimates_of(score_function, f, baseline=baseline))


@pytest.mark.parametrize("f", [quadratic, exponential])
def test_the_pathwise_gradient_is_unbiased(f):
    assert_unbiased(*estimates_of(pathwise, f))


def test_the_pathwise_gradient_of_the_entropy_has_no_variance():
    # -log q(mu + sigma eps) is sum log sigma + what eps decides
    estimates, truth = estimates_of(pathwise, entropy)
    assert torch.allclose(estimates, truth.expand_as(estimates), atol=1e-12)


# ---- the same assertion rejects the usual bugs


def without_log(f, q, parameters, S):
    z = q.sample((S,))
    return torch.autograd.grad((f(z).detach() * q.log_prob(z).exp()).mean(0).sum(), parameters)


def not_detached(f, q, parameters, S):
    z = q.sample((S,))
    return torch.autograd.grad((f(z) * q.log_prob(z)).mean(0).sum(), parameters)


def through_the_sample(f, q, parameters, S):
    z = q.rsample((S,))
    return torch.autograd.grad((f(z).detach() * q.log_prob(z)).mean(0).sum(), parameters)


def wrong_sign(f, q, parameters, S):
    return [-g for g in score_function(f, q, parameters, S)]


def summed(f, q, parameters, S):
    return [S * g for g in score_function(f, q, parameters, S)]


def baseline_with_itself(f, q, parameters, S):
    z = q.sample((S,))
    values = f(z).detach()
    return torch.autograd.grad(
        ((values - values.mean(0)) * q.log_prob(z)).mean(0).sum(), parameters
    )


def sigma_detached(f, q, parameters, S):
    return pathwise(f, Gaussian(q.mean, 0 * q.log_var + q.log_var.detach()), parameters, S)


def variance_for_deviation(f, q, parameters, S):
    return pathwise(f, Gaussian(q.mean, 2 * q.log_var), parameters, S)


MUTANTS = [
    (without_log, quadratic),
    (not_detached, entropy),
    (through_the_sample, quadratic),
    (wrong_sign, quadratic),
    (summed, quadratic),
    (baseline_with_itself, quadratic),
    (sigma_detached, quadratic),
    (variance_for_deviation, quadratic),
]


@pytest.mark.parametrize("mutant, f", MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS])
def test_a_wrong_estimator_is_rejected(mutant, f):
    estimates, truth = estimates_of(mutant, f)
    with pytest.raises(AssertionError, match="standard errors off"):
        assert_unbiased(estimates, truth)


# ---- the variance, where it is known


def variances(D, sigma, delta, S):
    r"""Of one estimate of dE/dmu_1 for f(z) = -sum_d (z_d - a_d)^2, mu - a = delta everywhere:
    pathwise, score function.

    The score function's single-sample term is -(g + h) eps_1 / sigma, where h = (delta + sigma
    eps_1)^2 and g is the other dimensions' sum, of mean m and variance v.
    """
    m, v = (D - 1) * (delta**2 + sigma**2), (D - 1) * (4 * delta**2 * sigma**2 + 2 * sigma**4)
    h_eps2 = delta**2 + 3 * sigma**2  # E[h eps^2]
    h2_eps2 = delta**4 + 18 * delta**2 * sigma**2 + 15 * sigma**4  # E[h^2 eps^2]
    score = (m**2 + v + 2 * m * h_eps2 + h2_eps2) / sigma**2 - (2 * delta) ** 2
    return 4 * sigma**2 / S, score / S


@pytest.mark.parametrize(
    "D, sigma, delta, S", [(1, 0.8, 0.5, 1), (6, 0.8, 0.5, 3), (20, 1.3, 1.0, 2)]
)
def test_the_variance_is_the_closed_form(D, sigma, delta, S):
    torch.manual_seed(1)
    R = 40_000
    for estimator, truth in zip(
        (pathwise, score_function), variances(D, sigma, delta, S), strict=True
    ):
        mean = torch.full((R, D), delta, dtype=torch.float64, requires_grad=True)
        q = Gaussian(mean, torch.full_like(mean, sigma).log() * 2)
        g = estimator(lambda z: -(z**2).sum(-1), q, [mean], S)[0][:, 0].detach()
        square = (g - g.mean()) ** 2
        error = square.std() / R**0.5
        assert error < 0.05 * truth and (square.mean() - truth).abs() < 5 * error


# ---- what has no path


def test_the_score_function_serves_where_there_is_no_path():
    logits = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64)
    p = torch.sigmoid(logits)

    def f(b):
        return (b * A).sum(-1) + 2 * b[..., 0] * b[..., 2]

    truth = p * (1 - p) * (A + 2 * torch.stack([p[2], p[0] * 0, p[0]]))
    for baseline in (False, True):
        torch.manual_seed(2)
        [parameter] = replicates(logits)
        [g] = score_function(f, Bernoulli(parameter), [parameter], S, baseline)
        assert_unbiased(g, truth)
    with pytest.raises(NotImplementedError, match="no reparameterized sample"):
        pathwise(f, Bernoulli(parameter), [parameter], S)


def test_the_baseline_is_the_mean_of_the_others():
    values = torch.randn(5, 3, dtype=torch.float64)
    others = torch.stack([torch.cat([values[:s], values[s + 1 :]]).mean(0) for s in range(5)])
    assert torch.allclose(leave_one_out(values), others)
    mean = torch.zeros(2, requires_grad=True)
    with pytest.raises(ValueError, match="S >= 2"):
        score_function(lambda z: z.sum(-1), Gaussian(mean, mean), [mean], S=1, baseline=True)


@pytest.mark.parametrize("estimator", [score_function, pathwise])
def test_an_f_that_is_not_one_value_for_each_z_and_no_sample_are_refused(estimator):
    # square: it would broadcast
    mean, log_var = (v.expand(3, 3).clone().requires_grad_() for v in (MEAN, LOG_VAR))
    q = Gaussian(mean, log_var)
    for f in (lambda z: z**2, lambda z: (z**2).sum(), lambda z: (z**2).sum(-1, keepdim=True)):
        with pytest.raises(ValueError, match="one value for each z"):
            estimator(f, q, [mean, log_var], S=4)
    with pytest.raises(ValueError, match="at least one sample, got S = 0"):
        estimator(lambda z: (z**2).sum(-1), q, [mean, log_var], S=0)
