"""The density network and its estimate of log p(x), against integrals that are known."""

import functools
import math

import pytest
import torch
from oracles import all_images, assert_mean, close, grid, oracle_tests
from torch import nn

from dgmcourse import evaluate
from dgmcourse.densities import Bernoulli, BernoulliConditional, Gaussian, StandardGaussian
from dgmcourse.models import density_network
from dgmcourse.train import fit

pytestmark = pytest.mark.usefixtures("float64")

IMAGES = 9  # pixels of the tiny binary images


class Parts(nn.Module):
    """All the estimate asks of a model."""

    def __init__(self, prior, decoder):
        super().__init__()
        self.prior, self.decoder = prior, decoder


class Codes(StandardGaussian):
    """A prior whose draws are decided beforehand, handed out in order."""

    def __init__(self, z):
        super().__init__(z.shape[1])
        self.z, self.given = z, 0

    def sample(self, shape=()):
        self.given += shape[0]
        return self.z[self.given - shape[0] : self.given]


def tiny(latent_dim, samples=1000):
    """A DensityNetwork on 3 x 3 binary images, no output of it near 0 or 1."""
    model = density_network.DensityNetwork(latent_dim, hidden=6, data_dim=IMAGES, samples=samples)
    generator = torch.Generator().manual_seed(10 + latent_dim)
    for p in model.decoder.parameters():
        p.data = torch.randn(p.shape, generator=generator) * 0.7
    return model


def integrated(decoder, x, latent_dim):
    """log p(x) as a sum over a fine grid of z: differentiable, (B,)."""
    z, cell = grid(latent_dim, 8.0, 801 if latent_dim == 1 else 161)
    log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    log_joint = decoder(z).log_prob(x[:, None]) + log_prior
    return torch.logsumexp(log_joint, 1) + math.log(cell)


@functools.cache
def truth(latent_dim):
    return integrated(tiny(latent_dim).decoder, all_images(), latent_dim).detach()


# ---- oracles of evaluate.log_likelihood_from_prior


def check_quadrature(evaluate):
    """p(x) itself is estimated without bias, at S = 3 too, in one and in two latent dimensions."""
    for latent_dim in (1, 2):
        model = tiny(latent_dim)
        for S, repeats in ((3, 2000), (40, 300)):
            estimate = lambda: evaluate.log_likelihood_from_prior(model, all_images(), S)  # noqa: B023, E731
            found = torch.stack([estimate() for _ in range(repeats)])
            assert_mean((found - truth(latent_dim)).exp(), torch.ones(2**IMAGES), errors=6)
            assert S > 3 or (found.mean(0) < truth(latent_dim)).all()  # the logarithm is too low


def check_sum_over_all_images(evaluate):
    """With fixed codes the estimate is a mixture of S Bernoullis: a distribution, whose sum is 1
    exactly.
    """
    z = torch.randn(7, 2)
    model = Parts(Codes(z), tiny(2).decoder)
    total = torch.logsumexp(evaluate.log_likelihood_from_prior(model, all_images(), 7), 0)
    close(total, 0.0, atol=1e-12)


def check_chunks(evaluate):
    """Codes in chunks of any size, with a rest, give what they give at once."""
    z, decoder, x = torch.randn(23, 2), tiny(2).decoder, all_images()[::37]
    each = torch.stack([decoder(code).log_prob(x) for code in z])
    for rows in (1, 5, 22, 23, 24, 1000):
        prior = Codes(z)
        found = evaluate.log_likelihood_from_prior(Parts(prior, decoder), x, 23, rows=rows)
        close(found, torch.log(each.exp().mean(0)))
        assert prior.given == 23


def check_ignored_z(evaluate):
    """A decoder that does not look at z: p(x) itself, at every S."""
    logits = torch.randn(IMAGES)
    layer = nn.Linear(2, IMAGES)
    layer.weight.data, layer.bias.data = torch.zeros(IMAGES, 2), logits
    exact = torch.distributions.Bernoulli(logits=logits).log_prob(all_images()).sum(-1)
    for S in (1, 2, 600):
        model = Parts(StandardGaussian(2), BernoulliConditional(layer))
        close(evaluate.log_likelihood_from_prior(model, all_images(), S), exact)


def check_far_below_zero(evaluate):
    """Log-probabilities that no exponential can express, all or some of them."""

    class Far(nn.Module):
        def forward(self, z):
            return Gaussian(z * 1000, torch.zeros_like(z))

    z = torch.tensor([[0.0], [1.0], [-1.0]])
    x = torch.tensor([[0.0], [60.0], [3000.0]])
    log_w = -0.5 * (x - 1000 * z.T) ** 2 - 0.5 * math.log(2 * math.pi)
    highest = log_w.amax(1)  # the others lie hundreds of nats below
    found = evaluate.log_likelihood_from_prior(Parts(Codes(z), Far()), x, 3, rows=2)
    close(found, highest - math.log(3))
    assert highest.min() < -1_000_000


def test_no_gradient_is_kept():
    assert not evaluate.log_likelihood_from_prior(tiny(2), all_images(), 10).requires_grad


# ---- oracles of the model


def model_of(module, latent_dim=2, samples=1000, z=None):
    model = module.DensityNetwork(latent_dim, hidden=6, data_dim=IMAGES, samples=samples)
    model.load_state_dict(tiny(latent_dim).state_dict())
    if z is not None:
        model.prior = Codes(z)
    return model


def check_objective(module):
    """The log of the mean of p(x|z_s) over `samples` shared codes; and it is what is shown."""
    z, x = torch.randn(30, 2), all_images()[::50]
    for S in (1, 2, 30):
        model = model_of(module, samples=S, z=z)
        value, parts = model.objective(x, 0.3)
        p = torch.special.expit(model.decoder.net(z[:S]))  # (S, 9)
        joint = torch.where(x[:, None] == 1, p, 1 - p).prod(-1)
        close(value, joint.mean(1).log())
        assert list(parts) == ["log_p"]
        close(parts["log_p"], value)
        assert model.prior.given == S


def check_gradient(module):
    """Autograd's gradient is the average of grad log p(x|z_s), weighted by the softmax of log
    p(x|z_s).
    """
    z, x = torch.randn(25, 2), all_images()[::100]
    model = model_of(module, samples=25, z=z)
    parameters = list(model.decoder.parameters())
    found = torch.autograd.grad(model.objective(x)[0].sum(), parameters)
    expected = [torch.zeros_like(p) for p in parameters]
    for image in x:
        log_w = model.decoder(z).log_prob(image)
        for weight, value in zip(torch.softmax(log_w.detach(), 0), log_w, strict=True):
            slopes = torch.autograd.grad(value, parameters, retain_graph=True)
            for total, slope in zip(expected, slopes, strict=True):
                total += weight * slope
    for a, b in zip(found, expected, strict=True):
        close(a, b)


EVALUATE = {
    check_quadrature: """
        log_p = total - math.log(S) => log_p = total - math.log(S) + 0.02
        torch.logsumexp(log_w, -1) => log_w.mean(-1)
    """,
    check_sum_over_all_images: "log_p = total - math.log(S) => log_p = total",
    check_chunks: """
        (min(rows, S - done),) => (rows,)
        logaddexp(total, torch.logsumexp(log_w, -1)) => \
            maximum(total, torch.logsumexp(log_w, -1))
    """,
    check_ignored_z: "x.new_full((len(x),), -math.inf) => x.new_zeros((len(x),))",
    check_far_below_zero: """
        torch.logaddexp(total, torch.logsumexp(log_w, -1)) => \
            (total.exp() + log_w.exp().sum(-1)).log()
    """,
}
DENSITY_NETWORK = {
    check_objective: """
        math.log(self.samples) => 0.0
        torch.logsumexp(self.decoder(z).cross_log_prob(x), -1) - math.log(self.samples) => \
            self.decoder(z).cross_log_prob(x).mean(-1)
        self.prior.sample((self.samples,)) => self.prior.sample((self.samples + 1,))[1:]
        self.prior.sample((self.samples,)) => 1.2 * self.prior.sample((self.samples,))
    """,
    check_gradient: "return log_p, { => return log_p * 2 - log_p.detach(), {",
}
test_oracle, test_mutant_is_caught = oracle_tests(
    (evaluate, EVALUATE), (density_network, DENSITY_NETWORK)
)


def test_posterior_mean_against_quadrature():
    model = tiny(2)
    z, cell = grid(2, 8.0, 161)
    x = all_images()[::60]
    log_joint = model.decoder(z).cross_log_prob(x) + model.prior.log_prob(z)
    exact = (torch.softmax(log_joint, 1) @ z).detach()
    found = torch.stack([model.posterior_mean(x, 2000) for _ in range(100)])
    assert exact.abs().max() > 0.3
    assert_mean(found, exact, errors=6)


def test_training_finds_a_mixture():
    """Two images, equally often: log p(x) tends to log 1/2."""
    x = torch.tensor([[1.0, 1, 1, 0, 0, 0, 1, 1, 1], [0.0, 0, 0, 1, 1, 1, 0, 0, 0]]).repeat(100, 1)
    model = density_network.DensityNetwork(1, hidden=16, data_dim=IMAGES, samples=50)
    history = fit(model, x, epochs=40, batch_size=20, lr=1e-2, progress=False)
    assert history["log_p"][0] < -3
    value = evaluate.log_likelihood_from_prior(model, x, 5000).mean().item()
    assert math.log(0.5) - 0.15 < value <= math.log(0.5) + 1e-9


def test_another_likelihood_is_refused():
    with pytest.raises(ValueError, match="'bernoulli', 'gaussian'"):
        density_network.DensityNetwork(likelihood="poisson")


def test_grey_pixels_and_wrong_shapes_are_refused_in_words():
    model = tiny(2)
    with pytest.raises(ValueError, match="binary pixels"):
        model.objective(torch.full((2, IMAGES), 0.5))
    with pytest.raises(ValueError, match="NaN"):
        model.objective(torch.full((2, IMAGES), math.nan))
    with pytest.raises(ValueError, match=f"{IMAGES} dimensions"):
        model.objective(torch.zeros(2, 4))


def test_no_array_of_every_pixel_of_every_pair_is_made():
    """The largest tensor of a training step is far below S x B x D numbers."""
    S, B, D = 64, 48, 100
    largest = [0]

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, f, types, args=(), kwargs=None):
            out = f(*args, **(kwargs or {}))
            for t in out if isinstance(out, tuple | list) else [out]:
                if isinstance(t, torch.Tensor):
                    largest[0] = max(largest[0], t.untyped_storage().nbytes() // t.element_size())
            return out

    model = density_network.DensityNetwork(2, hidden=8, data_dim=D, samples=S)
    x = torch.bernoulli(torch.full((B, D), 0.5))
    with Watch():
        model.objective(x)[0].mean().backward()
    assert max(S * D, B * D, S * B) <= largest[0] < S * B * D / 10
    with Watch():  # and it would be noticed
        Bernoulli(torch.zeros(S, 1, D)).log_prob(x)
    assert largest[0] >= S * B * D
