"""The latent variable model where everything is known: linear-Gaussian, and binary images with an
integrable z."""

import functools
import re

import numpy as np
import pytest
import torch
from oracles import all_images, assert_mean, close, grid, oracle_tests
from sklearn.decomposition import FactorAnalysis
from torch import distributions as td
from torch import nn

from dgmcourse.densities import (
    BernoulliConditional,
    Gaussian,
    GaussianConditional,
    Mixture,
    StandardGaussian,
)
from dgmcourse.evaluate import log_likelihood
from dgmcourse.models import VAE, ConvVAE, latent_variable_model
from dgmcourse.networks import gated_mlp

pytestmark = pytest.mark.usefixtures("float64")


# --- two models whose evidence is known ----------------------------------------------------------


def linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight, bias
    return layer


def factor_analysis(shift=0.0, widen=0.0):
    """p(z) = N(0, I), p(x|z) = N(W z + m, Psi) and an encoder that is the exact posterior, if not
    shifted and widened.

    With W = Psi^(1/2) Q diag(s), Q orthonormal, the posterior's covariance is diagonal: (I + W'
    Psi^-1 W)^-1 = diag(1 / (1 + s^2)). Returns (prior, encoder, decoder), scikit-learn's model of
    the same p(x), and the exact posterior.
    """
    generator = torch.Generator().manual_seed(1)
    psi = torch.rand(5, generator=generator) + 0.3
    Q = torch.linalg.qr(torch.randn(5, 2, generator=generator))[0]
    s, m = torch.tensor([1.5, 0.6]), torch.randn(5, generator=generator)
    W = psi.sqrt()[:, None] * Q * s
    variance = 1 / (1 + s**2)
    to_mean = variance[:, None] * W.T / psi
    zero = torch.zeros(2, 5)
    biases = torch.cat([-to_mean @ m + shift, variance.log() + widen])
    encoder = linear(torch.cat([to_mean, zero]), biases)
    decoder = linear(torch.cat([W, torch.zeros(5, 2)]), torch.cat([m, psi.log()]))
    conditionals = (GaussianConditional(net, (-50.0, 50.0)) for net in (encoder, decoder))
    parts = (StandardGaussian(2), *conditionals)
    oracle = FactorAnalysis(2)
    oracle.components_, oracle.noise_variance_, oracle.mean_ = W.T.numpy(), psi.numpy(), m.numpy()
    posterior = lambda x: td.Normal((x - m) @ to_mean.T, variance.sqrt())  # noqa: E731
    return parts, oracle, posterior


def factor_data(n=20):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(2)) * 1.5


@functools.cache
def tiny_images():
    """3 x 3 binary images, z in one dimension: p(x), the posterior and each KL are sums over a fine
    grid of z.
    """
    generator = torch.Generator().manual_seed(3)
    decoder = BernoulliConditional(gated_mlp([1, 6, 9]))
    encoder = GaussianConditional(gated_mlp([9, 6, 2]))
    for p in (*decoder.parameters(), *encoder.parameters()):
        p.data = torch.randn(p.shape, generator=generator) * 0.8
    z, cell = grid(1, 10, 500)
    prior = StandardGaussian(1)
    log_joint = decoder(z[:, None]).log_prob(all_images()) + prior.log_prob(z)[:, None]  # (z, x)
    log_p = torch.logsumexp(log_joint, 0) + np.log(cell)
    log_q = encoder(all_images()).log_prob(z[:, None])
    gap = (log_q.exp() * (log_q - (log_joint - log_p))).sum(0) * cell  # KL[q(z|x) || p(z|x)]
    return (prior, encoder, decoder), log_p.detach(), gap.detach()


# --- oracles: a module with a LatentVariableModel against the truth ------------------------------


def check_exact_posterior(module):
    """With q(z|x) = p(z|x) every single log-weight is log p(x), whatever z."""
    parts, oracle, _ = factor_analysis()
    x = factor_data()
    log_p = torch.from_numpy(oracle.score_samples(x.numpy()))
    model = module.LatentVariableModel(*parts)
    close(model.log_weight(x, (7, 3)), log_p.expand(7, 3, 20))
    close(model.log_weight(x), log_p)


def check_bound_and_gap(module):
    """The ELBO is log p(x) - KL[q || posterior], the KL exact between Gaussians."""
    parts, oracle, posterior = factor_analysis(shift=0.3, widen=0.5)
    model, x = module.LatentVariableModel(*parts), factor_data(6)
    log_p, q = torch.from_numpy(oracle.score_samples(x.numpy())), model.encoder(x)
    normal = td.Normal(q.mean.detach(), torch.exp(q.log_var / 2).detach())
    gap = td.kl_divergence(normal, posterior(x)).sum(-1)
    assert (gap > 0.05).all()
    assert_mean(model.log_weight(x, (20000,)).detach(), log_p - gap)
    many = x.repeat(3000, 1)
    value, parts = model.objective(many)
    shape = lambda v: v.detach().reshape(3000, 6)  # noqa: E731
    assert_mean(shape(value), log_p - gap)
    assert_mean(shape(model.elbo(many)), log_p - gap)
    close(parts["kl"][:6], td.kl_divergence(normal, td.Normal(0.0, 1.0)).sum(-1))


def check_beta(module):
    """Reconstruction - beta KL, whose parts do not know beta."""
    parts, *_ = factor_analysis(shift=0.3, widen=0.5)
    model, x = module.LatentVariableModel(*parts), factor_data()
    for beta in (0.0, 0.3, 1.0, 4.0):
        value, parts = model.objective(x, beta)
        assert value.shape == (20,)
        close(value, parts["reconstruction"] - beta * parts["kl"])
        close(parts["elbo"], parts["reconstruction"] - parts["kl"])
        assert parts["kl"].min() > 0.01


def check_binary_images(module):
    """Sum of p(x) over all 512 images is 1, the ELBO lies below log p(x) by KL[q || exact
    posterior]: all by quadrature.
    """
    parts, log_p, gap = tiny_images()
    close(log_p.exp().sum(), 1.0)
    assert (gap > 0).all() and gap.max() > 0.1
    log_w = module.LatentVariableModel(*parts).log_weight(all_images(), (600,)).detach()
    assert_mean(log_w, log_p - gap, errors=5)


def sampled_and_analytic(module, n):
    """The objective and its gradient with respect to the encoder, means of 50 draws, n times: KL in
    closed form, by sampling.
    """
    (prior, encoder, decoder), *_ = factor_analysis(shift=0.4, widen=0.6)
    # N(0, I), but no closed form
    same_prior = Mixture(torch.zeros(1), Gaussian(torch.zeros(1, 2), torch.zeros(1, 2)))
    x = factor_data(3).repeat(50, 1)
    for p in (prior, same_prior):
        model, rows = module.LatentVariableModel(p, encoder, decoder), []
        for _ in range(n):
            value = model.objective(x, 0.7)[0].reshape(50, 3).mean(0)
            gradient = torch.autograd.grad(value.sum(), list(encoder.parameters()))
            rows.append(torch.cat([value.detach(), *(g.flatten() for g in gradient)]))
        yield torch.stack(rows)


def check_sampled_kl(module):
    """log q - log p at the sample has the expectation of the closed form, and so does its
    gradient.
    """
    analytic, sampled = sampled_and_analytic(module, 80)
    difference = analytic.mean(0) - sampled.mean(0)
    error = ((analytic.var(0) + sampled.var(0)) / len(analytic)).sqrt()
    assert (difference.abs() < 4.5 * error + 1e-12).all()
    assert (sampled - analytic[:1]).abs().max() > 0.01  # they are two estimators indeed


def check_samples(module):
    """x has the mean and covariance of p(x) = N(m, W W' + Psi)."""
    parts, oracle, _ = factor_analysis()
    x = module.LatentVariableModel(*parts).sample(40000)
    assert_mean(x, torch.from_numpy(oracle.mean_))
    centred = x - torch.from_numpy(oracle.mean_)
    assert_mean(centred[:, :, None] * centred[:, None], torch.from_numpy(oracle.get_covariance()))


def check_reconstruction(module):
    parts, oracle, posterior = factor_analysis()
    x = factor_data()
    W = torch.from_numpy(oracle.components_)
    expected = posterior(x).mean @ W + torch.from_numpy(oracle.mean_)
    close(module.LatentVariableModel(*parts).reconstruct(x), expected)


MUTANTS = {
    check_exact_posterior: """
        + log_p_z - log_q => - log_q
        + log_p_z - log_q =>
        + log_p_z - => / x.shape[-1] + log_p_z -
    """,
    check_bound_and_gap: """
        log_p_z - log_q => log_p_z
        return reconstruction - beta * regulariser => return reconstruction
        reconstruction - beta * reg => reconstruction + beta * reg
        kl(q, self.prior) if => kl(q, self.prior) / q.mean.shape[-1] if
        kl(q, self.prior) if => 0.5 * kl(q, self.prior) if
    """,
    check_binary_images: """
        log_p_z - log_q => log_p_z + log_q
        z, log_q = self.encoder(x).rsample_and_log_prob(samples) => \
            q = self.encoder(x); z = self.prior.sample((*samples, len(x))); log_q = q.log_prob(z)
        = self.encoder(x). => = self.encoder(x.roll(1, 0)).
    """,
    check_beta: """
        - beta * regulariser => - regulariser
        reconstruction - beta * regulariser => beta * reconstruction - regulariser
        , regulariser => , beta * regulariser
        reconstruction - beta * regulariser => (reconstruction - beta * regulariser).mean()
    """,
    check_sampled_kl: """
        else log_q - log_p_z => else -log_p_z
        else q.rsample_and_log_prob() => else ((z := q.sample()), q.log_prob(z))
        else log_q - log_p_z => else 2 * log_q - log_q.detach() - log_p_z
    """,
    check_samples: """
        (self.prior.sample(check_shape(shape))).sample() => (self.prior.sample(check_shape(shape))).mean
        self.prior.sample(check_shape(shape)) => self.prior.sample((1,)).expand(shape, -1)
    """,
    check_reconstruction: "self.encoder(x).mean => self.encoder(x).sample()",
}
test_oracle, test_mutant_is_caught = oracle_tests((latent_variable_model, MUTANTS))


class Odd(torch.nn.Module):
    """A Density or a Conditional whose log_prob has a wrong shape."""

    def __init__(self, inner, shape):
        super().__init__()
        self.inner, self.shape = inner, shape

    def __getattr__(self, name):
        return super().__getattr__(name) if name == "inner" else getattr(self.inner, name)

    def forward(self, given):
        return Odd(self.inner(given), self.shape)

    def log_prob(self, x):
        return self.shape(self.inner.log_prob(x))

    def rsample_and_log_prob(self, shape=()):
        z, log_q = self.inner.rsample_and_log_prob(shape)
        return z, self.shape(log_q)

    def precomputed(self):
        return self


SHAPES = {
    "one number": lambda log_p: log_p.mean(),
    "for each dimension": lambda log_p: log_p.unsqueeze(-1).expand(*log_p.shape, log_p.shape[-1]),
    "for all samples": lambda log_p: log_p[:1],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("part", ["prior", "encoder", "decoder"])
def test_a_term_that_is_not_one_value_for_each_z_is_refused(part, shape):
    """It would be broadcast, and as plausible as a right one: here B = D."""
    parts = dict(zip(("prior", "encoder", "decoder"), factor_analysis()[0], strict=True))
    parts[part] = Odd(parts[part], SHAPES[shape])
    model, x = latent_variable_model.LatentVariableModel(**parts), factor_data(5)
    name = {"prior": "log p(z)", "encoder": "log q(z|x)", "decoder": "log p(x|z)"}[part]
    for call in (
        lambda: model.log_weight(x, (3,)),
        lambda: model.objective(x),
        lambda: log_likelihood(model, x, 7),
    ):
        with pytest.raises(
            ValueError, match=f"^{re.escape(name)} is one value for each z"
        ) as error:
            call()
        assert "\n" not in str(error.value)


# --- the VAEs ------------------------------------------------------------------------------------


def test_the_vae_has_the_papers_size_and_ranges():
    """Gated 300-300 nets and 40 latent dimensions; log-variances in (-6, 2) and (-4.5, 0)."""
    gated = lambda i, o: 2 * (i * o + o)  # noqa: E731
    encoder = gated(784, 300) + gated(300, 300) + 300 * 80 + 80
    decoder = gated(40, 300) + gated(300, 300) + 300 * 784 + 784
    vae = VAE()
    assert sum(p.numel() for p in vae.parameters()) == encoder + decoder
    for likelihood in ("bernoulli", "gaussian"):
        vae = VAE(2, 10, likelihood)
        log_var = vae.encoder(1e4 * torch.randn(50, 784)).log_var
        assert (log_var.min(), log_var.max()) == (-6.0, 2.0)
    log_var = vae.decoder(1e4 * torch.randn(50, 2)).log_var
    assert (log_var.min(), log_var.max()) == (-4.5, 0.0)


@pytest.mark.parametrize("make", [VAE, ConvVAE])
def test_another_likelihood_is_refused(make):
    with pytest.raises(ValueError, match="one of 'bernoulli', 'gaussian', got 'poisson'"):
        make(2, likelihood="poisson")


WRONG = {
    "grey": (lambda: torch.rand(3, 784), "binary pixels"),
    "NaN": (lambda: torch.full((3, 784), float("nan")), "binary pixels"),
    "pictures": (lambda: torch.zeros(3, 28, 28), r"expected .* of 784 .* got shape \(3, 28, 28\)"),
    "short": (lambda: torch.zeros(3, 783), r"expected .* of 784 .* got shape \(3, 783\)"),
    "small": (lambda: torch.zeros(3, 64), r"expected .* of 784 .* got shape \(3, 64\)"),
    "bytes": (
        lambda: torch.zeros(3, 784, dtype=torch.uint8),
        "expected torch.float64 .* got torch.uint8",
    ),
    "precision": (
        lambda: torch.zeros(3, 784, dtype=torch.float32),
        "expected torch.float64 .* got torch.float32",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("make", [VAE, ConvVAE])
def test_what_is_no_batch_of_digits_is_refused_in_one_sentence(make, wrong):
    x, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message) as error:
        make(2).objective(x())
    assert "\n" not in str(error.value)
