"""Better priors: mixtures, autoregressive ones, the VampPrior, two layers, against integrals and
libraries.
"""

import copy

import pytest
import torch
from oracles import assert_mean, check_samples_follow, close, grid, oracle_tests
from test_models import factor_analysis, factor_data, linear, tiny_images
from torch import distributions as td
from torch import nn

from dgmcourse import networks
from dgmcourse.densities import (
    BernoulliConditional,
    Gaussian,
    GaussianConditional,
    StandardGaussian,
)
from dgmcourse.evaluate import log_likelihood
from dgmcourse.models import (
    LatentVariableModel,
    autoregressive_prior,
    hierarchical_vae,
    mixture_prior,
    vamp_prior,
)
from dgmcourse.networks import Joined, gated, gated_mlp

pytestmark = pytest.mark.usefixtures("float64")


def few(K=6, D=3):
    return torch.randn(K, D), 0.4 * torch.randn(K, D)


def as_torch(log_weights, mean, log_var):
    """torch's own mixture of diagonal Gaussians."""
    components = td.Independent(td.Normal(mean, (log_var / 2).exp()), 1)
    return td.MixtureSameFamily(td.Categorical(logits=log_weights), components)


# --- a mixture -----------------------------------------------------------------------------------


def made_mixture(module, K=5, D=2):
    prior = module.MixturePrior(D, K)
    prior.log_weights.data, (prior.means.data, prior.log_vars.data) = torch.randn(K), few(K, D)
    return prior


def check_mixture_prior(module):
    prior = made_mixture(module)
    oracle = as_torch(prior.log_weights, prior.means, prior.log_vars)
    z = 2 * torch.randn(3, 7, 2)
    close(prior.log_prob(z), oracle.log_prob(z))
    found = torch.autograd.grad(prior.log_prob(z).sum(), [*prior.parameters()])
    expected = torch.autograd.grad(oracle.log_prob(z).sum(), [*prior.parameters()])
    for a, b in zip(found, expected, strict=True):
        close(a, b)


# --- an autoregressive prior ---------------------------------------------------------------------


def made_autoregressive(module, dim=2, components=2):
    """With parameters that are not those it starts with: conditionals of several bumps that depend
    on one another.
    """
    prior = module.AutoregressivePrior(dim, (16, 16), components, log_var_range=(-3.0, 1.0))
    for p in prior.parameters():
        p.data += 0.3 * torch.randn_like(p)
    prior.net.layers[-1].weight.data *= 0.3  # so that the grid holds all of it
    return prior


def check_autoregressive_samples(module):
    for components in (1, 3):
        prior = made_autoregressive(module, components=components)
        check_samples_follow(prior.log_prob, prior.sample, False)


def check_autoregressive_masks(module):
    """The conditional of z_d depends on dimensions before d, on all of them, and on no other."""
    D = 5
    prior = made_autoregressive(module, D)
    z = torch.randn(D)
    for part in (0, 1, 2):
        jacobian = torch.autograd.functional.jacobian(
            lambda z, part=part: prior.conditionals(z)[part].sin().sum(-2), z
        )
        assert (jacobian.triu() == 0).all()
        below = torch.ones(D, D).tril(-1) == 1
        assert (jacobian[below] != 0).float().mean() > 0.9


def check_autoregressive_chain_rule(module):
    """log p(z) is the sum of the conditionals' logarithms, each by torch's mixture on a line."""
    prior, z = made_autoregressive(module, 4, 3), torch.randn(6, 4)
    log_weights, mean, log_var = prior.conditionals(z)
    total = torch.zeros(6)
    for d in range(4):
        parts = (
            td.Categorical(logits=log_weights[..., d]),
            td.Normal(mean[..., d], (log_var[..., d] / 2).exp()),
        )
        total += td.MixtureSameFamily(*parts).log_prob(z[:, d])
    close(prior.log_prob(z), total)


# --- the VampPrior -------------------------------------------------------------------------------


def made_vamp(module, K=7, D=3, data_dim=6, **settings):
    encoder = GaussianConditional(gated_mlp([data_dim, 8, 2 * D]))
    for p in encoder.parameters():
        p.data += 0.3 * torch.randn_like(p)
    prior = module.VampPrior(encoder, data_dim, K, **{"start": (0.5, 0.2)} | settings)
    return prior, encoder


def check_vamp_prior(module):
    """The value, and the gradients of encoder and pseudo-inputs, of torch's mixture."""
    prior, encoder = made_vamp(module)
    z = torch.randn(4, 5, 3)

    def oracle():
        q = encoder(prior.raw.clamp(0, 1))
        return as_torch(torch.zeros(7), q.mean, q.log_var).log_prob(z)

    close(prior.log_prob(z), oracle())
    assert prior.log_prob(z).requires_grad, "the encoder and the pseudo-inputs learn"
    parameters = [prior.raw, *encoder.parameters()]
    found, expected = (
        torch.autograd.grad(value.sum(), parameters) for value in (prior.log_prob(z), oracle())
    )
    for a, b in zip(found, expected, strict=True):
        close(a, b)


def check_vamp_samples(module):
    prior, _ = made_vamp(module, K=4, D=2)
    check_samples_follow(prior.log_prob, prior.sample, False)


def check_first_pseudo_inputs(module):
    """Those of the paper lie in [0, 1] and learn; a start below 0 under the clip would never
    move.
    """
    for mean, share in ((0.05, 1.0), (-0.05, 0.0)):
        prior, _ = made_vamp(module, K=40, start=(mean, 0.01))
        assert ((prior.pseudo_inputs >= 0) & (prior.pseudo_inputs <= 1)).all()
        prior.log_prob(torch.randn(30, 3)).sum().backward()
        assert (prior.raw.grad != 0).double().mean() == share


def check_unbounded_pseudo_inputs(module):
    prior, _ = made_vamp(module, K=40, start=(-3.0, 1.0), bounds=None)
    assert prior.pseudo_inputs.min() < -3 and abs(prior.pseudo_inputs.std() - 1) < 0.2


def test_the_models_encoder_is_the_priors_and_is_counted_once():
    model = vamp_prior.VampVAE(2, hidden=5, data_dim=6, components=3)
    names = [name for name, _ in model.named_parameters()]
    assert names.count("prior.raw") == 1 and not any("prior.encoder" in name for name in names)
    assert sum(p.numel() for p in model.prior.parameters()) == 18
    before = model.prior.log_prob(torch.zeros(1, 2))
    model.encoder.net[-1].bias.data += 1.0
    assert model.prior.log_prob(torch.zeros(1, 2)) != before
    twin = copy.deepcopy(model)  # the copy's prior looks at the copy's encoder
    twin.encoder.net[-1].bias.data += 1.0
    assert twin.prior.log_prob(torch.zeros(1, 2)) != model.prior.log_prob(torch.zeros(1, 2))


class Counted(nn.Module):
    """A Conditional that notes how many rows it was given each time."""

    def __init__(self, conditional):
        super().__init__()
        self.conditional, self.rows = conditional, []

    def forward(self, given):
        self.rows.append(given[..., 0].numel())
        return self.conditional(given)


def test_the_likelihood_encodes_each_x_and_each_pseudo_input_once():
    K, S = 9, 1000  # four chunks of samples
    plain = LatentVariableModel(
        StandardGaussian(2),
        Counted(GaussianConditional(gated_mlp([6, 8, 4]))),
        BernoulliConditional(gated_mlp([2, 8, 6])),
    )
    prior = vamp_prior.VampPrior(plain.encoder, 6, K)
    model = LatentVariableModel(prior, plain.encoder, plain.decoder)
    x = torch.bernoulli(torch.full((5, 6), 0.5))
    log_likelihood(model, x, S, rows=500)
    assert sorted(plain.encoder.rows) == [1, 2, 2, K]
    plain.encoder.rows.clear()
    model.log_weight(x, (3,))
    assert sorted(plain.encoder.rows) == [5, K]


def test_the_likelihood_of_a_vamp_model_is_the_integral():
    """Binary images of nine pixels, z on a grid; the prior is a mixture of three posteriors."""
    decoder = tiny_images()[0][2]
    weight = torch.cat([0.3 * torch.randn(1, 9), torch.zeros(1, 9)])
    # wide and near: no importance weight is large
    encoder = GaussianConditional(linear(weight, torch.tensor([0.0, 0.9])))
    prior = vamp_prior.VampPrior(encoder, 9, 3, start=(0.5, 0.4))
    x = torch.bernoulli(torch.full((4, 9), 0.5))
    z, cell = grid(1, 9, 2001)
    log_joint = decoder(z).cross_log_prob(x) + prior.log_prob(z)
    exact = torch.logsumexp(log_joint, -1) + torch.tensor(cell).log()
    model = LatentVariableModel(prior, encoder, decoder)
    with torch.no_grad():
        bound = torch.stack([model.elbo(x) for _ in range(400)])
        error = bound.std(0) / 20
        assert (bound.mean(0) <= exact + 4 * error).all()
        close(log_likelihood(model, x, 20000), exact, atol=0.03)


@pytest.mark.parametrize("make", [vamp_prior.VampVAE, hierarchical_vae.HierarchicalVAE])
@pytest.mark.parametrize("replaced", ["encoder", "prior"])
def test_a_vamp_prior_follows_the_models_encoder(make, replaced):
    """Whichever is replaced: a model with the same state has the same prior."""
    model, other, same = (make(2, 4, data_dim=6, components=3) for _ in range(3))
    z = model.prior.sample((4,))
    before = model.prior.log_prob(z)
    setattr(model, replaced, getattr(other, replaced))
    same.load_state_dict(model.state_dict())
    close(same.prior.log_prob(z), model.prior.log_prob(z))
    assert not torch.allclose(model.prior.log_prob(z), before)


# --- two layers ----------------------------------------------------------------------------------


def two_layers(module):
    """p(z_2) p(z_1 | z_2), both Gaussian, z_1 linear in z_2: a Gaussian whose moments are known."""
    weight = torch.tensor([[0.8, -0.5], [0.3, 1.1], [0.0, 0.7]])
    bias, log_var = torch.tensor([0.2, -0.4, 1.0]), torch.tensor([-1.0, 0.3, -0.5])
    net = nn.Sequential(linear(torch.cat([weight, torch.zeros(3, 2)]), torch.cat([bias, log_var])))
    prior = module.TwoLayerPrior(StandardGaussian(2), GaussianConditional(net), (2, 3))
    mean = torch.cat([torch.zeros(2), bias])
    lower = torch.cat([weight, weight @ weight.T + log_var.exp().diag()], 1)
    covariance = torch.cat([torch.cat([torch.eye(2), weight.T], 1), lower])
    return prior, td.MultivariateNormal(mean, covariance)


def check_two_layers_are_one_gaussian(module):
    prior, oracle = two_layers(module)
    z = torch.randn(4, 6, 5)
    close(prior.log_prob(z), oracle.log_prob(z))
    z = prior.sample((30000,))
    assert_mean(z, oracle.mean)
    centred = z - oracle.mean
    assert_mean(centred[:, :, None] * centred[:, None], oracle.covariance_matrix)


def check_a_draw_knows_its_density(module):
    """Of an encoder with two layers: (S, B, ...) draws in one pass, and log_prob afterwards says
    the same.
    """
    encoder = made_encoder(module)
    x = torch.randn(4, 6)
    for shape in ((), (3,), (2, 3)):
        z, log_q = encoder(x).rsample_and_log_prob(shape)
        assert z.shape == (*shape, 4, 5) and log_q.shape == (*shape, 4)
        close(encoder(x).log_prob(z), log_q)
    assert z.requires_grad


def made_encoder(module):
    join = Joined(gated(6, 4), gated(2, 4), gated_mlp([8, 4, 6]))
    encoder = module.TwoLayerEncoder(GaussianConditional(gated_mlp([6, 4, 4])), join)
    for p in encoder.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return encoder


def check_two_layer_posterior(module):
    """q(z_2|x) q(z_1|x, z_2), each part by torch's own Gaussian, with z_2 first; z_1 sees the z_2
    that was drawn.
    """
    encoder, x, z = made_encoder(module), torch.randn(4, 6), torch.randn(3, 4, 5)
    top = encoder.top.net(x)
    below = encoder.below(torch.cat([x.expand(3, 4, 6), z[..., :2]], -1))
    expected = 0
    for output, part in ((top, z[..., :2]), (below, z[..., 2:])):
        mean, log_var = output.chunk(2, -1)
        normal = td.Normal(mean, (log_var.clamp(-6, 2) / 2).exp())
        expected = expected + normal.log_prob(part).sum(-1)
    close(encoder(x).log_prob(z), expected)


def check_exact_two_layer_posterior(module):
    """With z_1 the factors of x and z_2 above it everything is Gaussian: at the exact posterior
    every log-weight is log p(x).
    """
    a, s = torch.tensor([0.9, -0.6]), torch.tensor([0.5, 0.8])  # z_1 = a z_2 + s noise, one by one
    parts, oracle, _ = factor_analysis()
    decoder_net, x = parts[2].net, factor_data(6)
    biases = torch.cat([torch.zeros(2), 2 * s.log()])
    top = GaussianConditional(linear(torch.cat([a.diag(), torch.zeros(2, 2)]), biases))
    prior = module.TwoLayerPrior(StandardGaussian(2), top, (2, 2))
    W, m = decoder_net.weight[:5].detach(), decoder_net.bias[:5].detach()
    psi = decoder_net.bias[5:].detach().exp()
    marginal = a**2 + s**2  # of z_1
    noise = (W**2 / psi[:, None]).sum(0)  # diagonal: W' Psi^-1 W
    to_z1 = (W / psi[:, None]).T
    # q(z_1|x) = N(v1 W' Psi^-1 (x - m), v1); q(z_2|x) by Bayes' rule from z_1's likelihood N(z_1;
    # y, 1 / noise)
    y, r = to_z1 / noise[:, None], 1 / noise + s**2
    v2 = 1 / (1 + a**2 / r)
    to_top = (v2 * a / r)[:, None] * y
    biases = torch.cat([-to_top @ m, v2.log()])
    q2 = GaussianConditional(linear(torch.cat([to_top, torch.zeros(2, 5)]), biases), (-50, 50))
    v1 = 1 / (noise + 1 / s**2)  # of q(z_1 | x, z_2)
    from_x, from_z2 = v1[:, None] * to_z1, (v1 / s**2 * a).diag()

    class Below(nn.Module):
        def forward(self, x, z2):
            mean = (x - m) @ from_x.T + z2 @ from_z2
            return torch.cat([mean, v1.log().expand_as(mean)], -1)

    class OfZ1(nn.Module):
        def forward(self, z):
            return parts[2](z[..., 2:])

    model = LatentVariableModel(prior, module.TwoLayerEncoder(q2, Below(), (-50, 50)), OfZ1())
    exact = td.MultivariateNormal(m, (W * marginal) @ W.T + psi.diag()).log_prob(x)
    with torch.no_grad():
        close(model.log_weight(x, (5,)), exact.expand(5, 6))
        close(model.elbo(x), exact)
        close(log_likelihood(model, x, 300), exact)


def small_hierarchical(convolutional: bool, components: int | None, likelihood: str = "bernoulli"):
    """And the length of its x."""
    if convolutional:
        return hierarchical_vae.ConvHierarchicalVAE(2, 2, 8, likelihood, components), 784
    return hierarchical_vae.HierarchicalVAE(2, 8, likelihood, 9, components), 9


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("components", [None, 5])
@pytest.mark.parametrize("convolutional", [False, True])
def test_a_hierarchical_vaes_weight_is_that_of_its_parts(convolutional, components, likelihood):
    """log p(z_2) + log p(z_1|z_2) + log p(x|z_1, z_2) - log q(z_2|x) - log q(z_1|x, z_2), each by
    torch.distributions; every part depends on what it should.
    """
    model, dim = small_hierarchical(convolutional, components, likelihood)
    x = torch.bernoulli(torch.full((4, dim), 0.3))
    normal = lambda p: td.Independent(td.Normal(p.mean, (p.log_var / 2).exp()), 1)  # noqa: E731
    with torch.no_grad():
        q = model.encoder(x)
        z = q.rsample((3,))
        z2, z1 = z[..., :2], z[..., 2:]
        top = normal(StandardGaussian(2))
        if components:
            k = normal(model.encoder.top(model.prior.top.raw.clamp(0, 1)))
            top = td.MixtureSameFamily(td.Categorical(torch.ones(components)), k)
        p_x = model.decoder(z)
        if likelihood == "gaussian":
            p_x = normal(p_x)
        else:
            p_x = td.Independent(td.Bernoulli(logits=p_x.logits), 1)
        log_p = top.log_prob(z2) + normal(model.prior.below(z2)).log_prob(z1) + p_x.log_prob(x)
        log_q = normal(model.encoder.top(x)).log_prob(z2) + normal(q.below(z2)).log_prob(z1)
        close(model.decoder(z).log_prob(x) + model.prior.log_prob(z) - q.log_prob(z), log_p - log_q)
        for moved in (torch.cat([z2 + 1, z1], -1), torch.cat([z2, z1 + 1], -1)):
            assert not torch.allclose(model.decoder(moved).mean, model.decoder(z).mean)
        assert not torch.allclose(model.prior.below(z2 + 1).mean, model.prior.below(z2).mean)
        assert not torch.allclose(q.below(z2 + 1).mean, q.below(z2).mean)
        assert not torch.allclose(model.encoder(1 - x).below(z2).mean, q.below(z2).mean)


class Doubled(nn.Module):
    """A Conditional with no network whose sizes could be read: N(2 z_2, I)."""

    def forward(self, z2):
        return Gaussian(2 * z2, torch.zeros_like(z2))


def test_any_conditional_can_stand_below():
    z = torch.randn(7, 4)
    prior = hierarchical_vae.TwoLayerPrior(StandardGaussian(2), Doubled(), (2, 2))
    below = td.Independent(td.Normal(2 * z[:, :2], 1.0), 1)
    close(prior.log_prob(z), StandardGaussian(2).log_prob(z[:, :2]) + below.log_prob(z[:, 2:]))


# --- `Joined` ------------------------------------------------------------------------------------


def check_joined(networks):
    """Both calls say the same; f sees each a once, however many b there are; sizes are the first
    layers'.
    """
    f, g, joint = gated(3, 4), gated(2, 4), gated_mlp([8, 5, 6])
    seen = []
    f.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    net = networks.Joined(f, g, joint)
    a, b = torch.randn(4, 3), torch.randn(7, 4, 2)
    expected = joint(torch.cat([f(a).expand(7, 4, 4), g(b)], -1))
    seen.clear()
    close(net(a, b), expected)
    assert seen == [(4, 3)]
    close(net(torch.cat([a.expand(7, 4, 3), b], -1)), expected)
    assert net.in_features == 5


# --- each oracle holds for the module, and falls for a broken one --------------------------------

NETWORKS = {
    check_joined: """
        left.expand(*right.shape[:-1], -1), right => right, left.expand(*right.shape[:-1], -1)
        .split(self.sizes, -1) => [..., : self.sizes[0]], a[..., : self.sizes[1]]
        a), self.g(b => a.expand(*b.shape[:-1], -1)), self.g(b
    """,
}
MIXTURE_PRIOR = {
    check_mixture_prior: """
        Mixture(self.log_weights, => Mixture(0 * self.log_weights,
        Gaussian(self.means, self.log_vars) => Gaussian(self.means, 2 * self.log_vars)
    """,
}
AUTOREGRESSIVE_PRIOR = {
    check_autoregressive_chain_rule: """
        torch.logsumexp(each, -2).sum(-1) => torch.logsumexp(each.sum(-1), -1)
    """,
    check_autoregressive_masks: "self.net(z).to(z.dtype) => self.net(z.roll(-1, -1)).to(z.dtype)",
    check_autoregressive_samples: """
        torch.log_softmax(weights, -2) => weights
        torch.log_softmax(weights, -2) => torch.log_softmax(weights, -1)
        z[..., d] = mean => z[..., d] = 0 * z[..., 0] + mean.roll(1, 0)
        torch.exp(0.5 * log_var) => torch.exp(log_var)
        (log_weights + gumbel) => log_weights
    """,
}
VAMP_PRIOR = {
    check_vamp_prior: """
        return self.precomputed().log_prob(z) => \
            c = self.precomputed().components; return (lambda each: torch.logsumexp(each, -2).sum(-1)) \
            (-0.5 * (1.8378770664093453 + c.log_var + (z.unsqueeze(-2) - c.mean) ** 2 \
            * torch.exp(-c.log_var)) - torch.tensor(float(len(self.raw))).log())
        .log_prob(z) => .log_prob(z) + torch.tensor(float(len(self.raw))).log()
        self.encoder(self.pseudo_inputs) => \
            type(q := self.encoder(self.pseudo_inputs))(q.mean.detach(), q.log_var.detach())
    """,
    check_vamp_samples: """
        sample(shape) => components.mean[torch.randint(len(self.raw), shape)]
        sample(shape) => components.select(torch.tensor(0)).sample(shape)
    """,
    check_first_pseudo_inputs: "self.raw.clamp(*self.bounds) => self.raw",
    check_unbounded_pseudo_inputs: """
        if self.bounds is None else self.raw.clamp(*self.bounds) => .clamp(0, 1)
    """,
}
HIERARCHICAL_VAE = {
    check_two_layers_are_one_gaussian: "(z2).sample() => (self.top.sample(shape)).sample()",
    check_two_layer_posterior: """
        + self.below(z2).log_prob(z1) =>
        (x.dtype), self.log_var_range => (x.dtype), (-0.1, 0.1)
    """,
    check_a_draw_knows_its_density: """
        torch.cat([z2, z1], -1), log_top => torch.cat([z1, z2], -1), log_top
        = self.below(z2) => = self.below(self.top.mean + 0 * z2)
    """,
    check_exact_two_layer_posterior: """
        torch.cat([z2, z1], -1), log_top + log_below => torch.cat([z2, z1], -1), log_top
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests(
    (networks, NETWORKS),
    (mixture_prior, MIXTURE_PRIOR),
    (autoregressive_prior, AUTOREGRESSIVE_PRIOR),
    (vamp_prior, VAMP_PRIOR),
    (hierarchical_vae, HIERARCHICAL_VAE),
)
