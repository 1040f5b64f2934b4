"""M2 and M1+M2 against sums over y and quadrature over z, and a mixture of factor analysers, of
which M2 is a special case whose bounds are exact.
"""

import math
from unittest import mock

import pytest
import torch
from oracles import all_images, assert_mean, check_samples_follow, close, grid, oracle_tests
from torch import distributions as td
from torch import nn
from torch.nn.functional import one_hot, softplus

from dgmcourse.data.images import Data
from dgmcourse.data.labels import SemiSupervised
from dgmcourse.densities import (
    BernoulliConditional,
    Categorical,
    CategoricalConditional,
    Gaussian,
    GaussianConditional,
    StandardGaussian,
)
from dgmcourse.evaluate import log_likelihood
from dgmcourse.models import MixtureOfFactorAnalysers, semi_supervised_vae
from dgmcourse.models.hierarchical_vae import Ancestral
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.semi_supervised_vae import (
    M1M2,
    M2,
    LabelEncoder,
    LabelPrior,
    SemiSupervisedVAE,
    Stacked,
)
from dgmcourse.networks import Added, gated_mlp, mlp

pytestmark = pytest.mark.usefixtures("float64")
C, IMAGES = 3, 16  # classes of the toy, and all images of four pixels


def gated_model() -> SemiSupervisedVAE:
    """Of other networks than those of M2."""
    q_z = Added((4, C), 5, nn.Sequential(nn.Tanh(), gated_mlp([5, 4, 4])))
    return SemiSupervisedVAE(
        LabelPrior(C, 2),
        LabelEncoder(CategoricalConditional(mlp([4, 5, C])), q_z),
        BernoulliConditional(gated_mlp([C + 2, 5, 4])),
    )


class Conditional(nn.Module):
    """A Categorical of a network's logits: `CategoricalConditional`, written once more."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return Categorical(self.net(x))


def conditional(i: int, o: int) -> GaussianConditional:
    return GaussianConditional(gated_mlp([i, 4, 2 * o]), (-2.0, 1.0))


CONTRACT = {
    M2: {"make": lambda: M2(2, 6, C, data_dim=4), "dim": 4},
    SemiSupervisedVAE: {"make": gated_model, "dim": 4},
    Stacked: {
        "make": lambda p: Stacked(
            Gaussian(p.tensor(3, 1), p.tensor(3, 1)), p.module(lambda: conditional(1, 1)), 1
        ),
        "rows": (3,),
    },
    LabelPrior: None,  # its event is a class and a real number: below
    M1M2: None,  # made of two that are trained, and not trained itself: below
}


# --- a toy whose integrals over z, one number, are sums over a grid ------------------------------


def toy(module, **settings):
    model = module.M2(1, 5, C, data_dim=4, **settings)
    for name, p in model.named_parameters():
        nn.init.normal_(p, std=0.4 if "encoder" in name else 0.8)
    return model.requires_grad_(False)


def log_joint_of_z(model, x, z):
    """log p(x, y, z) from the parameters alone: (points of z, B, C)."""
    W, w, V, v = model.decoder.net.parameters()
    h = softplus(W[:, :C].T + z[:, None] * W[:, C] + w)  # (points, C, hidden)
    p_x = td.Independent(td.Bernoulli(logits=(h @ V.T + v)[:, None]), 1)
    log_p_z = td.Normal(0.0, 1.0).log_prob(z)
    return p_x.log_prob(x[:, None]) + log_p_z[:, :, None] - math.log(C)


def posterior(model, x):
    """q(z|x, y) from the parameters alone, means and standard deviations (B, C)."""
    net = model.encoder.z
    h = softplus(x[:, None] @ net.a.weight.T + net.a.bias + net.b.weight.T)
    mean, log_var = (h @ net.rest[1].weight.T + net.rest[1].bias).unbind(-1)
    return td.Normal(mean, (log_var.clamp(-6, 2) / 2).exp())


def integrals(model, x):
    """log p(x, y), and E_q[log p(x, y, z) - log q(z|x, y)], (B, C) both."""
    z, cell = grid(1, 20, 2001)
    log_p = log_joint_of_z(model, x, z)
    log_q = posterior(model, x).log_prob(z[:, :, None])
    expected = (log_q.exp() * (log_p - log_q)).sum(0) * cell
    return torch.logsumexp(log_p, 0) + math.log(cell), expected


def check_toy_bounds(module):
    """One-sample bounds of each label have the expectation of the integral, below log p(x, y)."""
    model, x = toy(module), all_images(4)
    log_p, expected = integrals(model, x)
    assert (log_p - expected > 1e-4).all()
    many = x.expand(3000, IMAGES, 4)
    assert_mean(model.log_joint(many), expected)
    for y in range(C):
        assert_mean(model.labelled_bound(many, torch.full((3000, IMAGES), y)), expected[:, y])
    q = torch.softmax(model.encoder.y.net(x), -1)
    bound = (q * (expected - q.log())).sum(-1)
    assert (torch.logsumexp(log_p, -1) - bound > 1e-4).all()
    assert_mean(model.unlabelled_bound(many), bound)


def check_unlabelled_bound(module):
    """log sum_y exp L - U = KL[q || softmax L], which is 0 at the best q(y|x), softmax L itself."""
    model, x = toy(module), all_images(4)

    def both():
        torch.manual_seed(1)
        L = model.log_joint(x)
        torch.manual_seed(1)
        return L, model.unlabelled_bound(x)

    L, U = both()
    q, best = (td.Categorical(logits=logits) for logits in (model.encoder.y.net(x), L))
    close(torch.logsumexp(L, -1) - U, td.kl_divergence(q, best))
    model.encoder.y = Conditional(lambda x: L)
    L, U = both()
    close(U, torch.logsumexp(L, -1))


def check_gradient(module):
    """U's gradient with respect to q's logits is the mean of the score-function estimator's draws,
    (L(x, y) - log q(y|x)) times the gradient of log q(y|x).
    """
    model, x = toy(module), all_images(4)[[1, 6, 15]]
    logits = model.encoder.y.net(x).requires_grad_()
    model.encoder.y = Conditional(lambda x: logits)
    torch.manual_seed(1)
    (found,) = torch.autograd.grad(model.unlabelled_bound(x).sum(), logits)
    torch.manual_seed(1)
    L, q = model.log_joint(x), td.Categorical(logits=logits.detach())
    y = q.sample((40_000,))
    weight = L.gather(-1, y.T).T - q.log_prob(y)
    assert_mean(weight[..., None] * (one_hot(y, C) - q.probs), found)


def check_noise(module):
    """A label that nothing depends on changes no bound, of any x; and no two x have the same noise,
    nor have two visits.
    """
    model = toy(module)
    for weights in (model.encoder.z.b.weight, model.decoder.net[0].weight[:, :C]):
        weights.zero_()
    x = all_images(4)[5].expand(2, 4)
    L, again = model.log_joint(x), model.log_joint(x)
    close(L, L[:, :1].expand(2, C))
    assert (L[0] - L[1]).abs().min() > 1e-6 and (L - again).abs().min() > 1e-6
    labelled = model.labelled_bound(x, torch.tensor([1, 1]))
    assert (labelled[0] - labelled[1]).abs() > 1e-6


def check_one_class(module):
    """p(x|y) and p(x), by importance sampling; its samples follow it."""
    model, x = toy(module), all_images(4)
    log_p, _ = integrals(model, x)
    for y in range(C):
        given, log_p_x = model.given(y), log_p[:, y] + math.log(C)
        close(given.encoder(x).mean[:, 0], posterior(model, x).mean[:, y])
        assert_mean(torch.exp(given.log_weight(x, (3000,)) - log_p_x), torch.ones(IMAGES), 5)
        close(log_likelihood(given, x, 3000), log_p_x, 0, 0.1)
    assert_mean(
        torch.exp(model.log_weight(x, (5000,)) - torch.logsumexp(log_p, -1)), torch.ones(IMAGES), 5
    )
    close(log_likelihood(model, x, 3000), torch.logsumexp(log_p, -1), 0, 0.1)
    check_samples_follow(lambda x: integrals(model, x)[0].logsumexp(-1), model.sample, pixels=True)
    check_samples_follow(
        lambda x: integrals(model, x)[0][:, 1] + math.log(C), model.given(1).sample, pixels=True
    )


def check_narrow(module):
    """q(z|x, y) may be narrower than p(z), and its log-variance is clipped."""
    model = toy(module)
    for log_var, clipped in ((-3.0, -3.0), (1.5, 1.5), (-7.0, -6.0), (3.0, 2.0)):
        model.encoder.z.rest[1].weight[1], model.encoder.z.rest[1].bias[1] = 0, log_var
        q = model.encoder.given_label(all_images(4), torch.eye(C)[0])
        close(q.log_var, torch.full((IMAGES, 1), clipped))


def check_prior(module):
    """[one-hot y, z]: as likely for each y, and a Gaussian z."""
    prior = module.LabelPrior(C, 1)
    z, cell = grid(1, 12, 2401)
    yz = torch.cat([torch.eye(C)[:, None].expand(-1, len(z), -1), z.expand(C, -1, -1)], -1)
    close(prior.log_prob(yz), td.Normal(0.0, 1.0).log_prob(z[:, 0]).expand(C, -1) - math.log(C))
    close((prior.log_prob(yz).exp() * cell).sum(), 1.0)
    prior = module.LabelPrior(C, 2)
    y, z = prior.sample((20_000,)).split((C, 2), -1)
    assert_mean(y, torch.full((C,), 1 / C))
    assert_mean(
        torch.cat([z, z**2, z[:, :1] * z[:, 1:], z * y[:, :1]], -1),
        torch.tensor([0.0, 0, 1, 1, 0, 0, 0]),
    )
    assert prior.sample().shape == (C + 2,) and prior.sample((2, 0)).shape == (2, 0, C + 2)


# --- a mixture of factor analysers ---------------------------------------------------------------


class Affine(nn.Module):
    """N(W z + b_y, s I), given [one-hot y, z]."""

    def __init__(self, W, b, s):
        super().__init__()
        self.W, self.b, self.s = W, b, s

    def forward(self, yz):
        mean = yz[..., :C] @ self.b + yz[..., C:] @ self.W.T
        return Gaussian(mean, torch.full_like(mean, math.log(self.s)))


class Exact(nn.Module):
    """The mean and log-variance of p(z|x, y) where W's columns are orthogonal."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x, y):
        variance = 1 / (1 + (self.p.W**2).sum(0) / self.p.s)
        mean = variance * ((x - y @ self.p.b) @ self.p.W) / self.p.s
        return torch.cat([mean, variance.log().expand_as(mean)], -1)


def analysers(module, q_y=None, alpha=0.1):
    """M2 with the exact posterior of z, and of y unless q_y is given; the mixture that it is."""
    W = torch.linalg.qr(torch.randn(4, 2)).Q * torch.tensor([1.3, 0.6])
    p = Affine(W, torch.randn(C, 4), 0.4)
    mixture = MixtureOfFactorAnalysers(4, 2, C)
    for b, component in zip(p.b, mixture.components, strict=True):
        component.decoder.weight.data, component.decoder.bias.data = W.clone(), b.clone()
        component.decoder.log_var.data = torch.full_like(component.decoder.log_var, math.log(p.s))
    mixture.requires_grad_(False)
    q_y = q_y or (lambda x: Categorical(mixture.log_joint(x)))
    encoder = module.LabelEncoder(q_y, Exact(p), (-9.0, 9.0))
    return module.SemiSupervisedVAE(module.LabelPrior(C, 2), encoder, p, alpha), mixture


def over_noise(module, ask):
    """The mean of ask() over four values of the noise of two dimensions that have its mean and
    covariance: exact for what is quadratic in z, as every bound of an Affine decoder is.
    """
    points = math.sqrt(2) * torch.cat([torch.eye(2), -torch.eye(2)])
    results = []
    for point in points:
        with mock.patch.object(
            module, "standard_noise", lambda _, like, p=point: p.expand_as(like)
        ):
            results.append(ask())
    return torch.stack(results).mean(0)


def check_exact(module):
    """With the exact posterior L is log p(x, y), U is log p(x), and so is every log-weight."""
    model, mixture = analysers(module)
    x, y = 2 * torch.randn(7, 4), torch.arange(7) % C
    log_joint, log_p = mixture.log_joint(x), mixture.log_prob(x)
    close(over_noise(module, lambda: model.log_joint(x)), log_joint)
    close(over_noise(module, lambda: model.labelled_bound(x, y)), log_joint[range(7), y])
    close(over_noise(module, lambda: model.unlabelled_bound(x)), log_p)
    close(model.log_weight(x, (20,)), log_p.expand(20, 7))
    for c in range(C):
        log_w = model.given(c).log_weight(x, (5,))
        close(log_w, (log_joint[:, c] + math.log(C)).expand(5, 7))
    assert (model.classify(x) == log_joint.argmax(-1)).all()


def check_objective(module):
    """Over a pass in unequal batches: (sum U + sum L + alpha N_u / N_l sum log q(y|x)) / N_u. Here U
    and L are what they are for the exact posterior of z, whatever q(y|x).
    """
    classifier = Conditional(nn.Linear(4, C)).requires_grad_(False)
    model, mixture = analysers(module, classifier, alpha=0.7)
    x, labelled, y = torch.randn(23, 4), torch.randn(7, 4), torch.arange(7) % C
    log_q = torch.log_softmax(classifier.net(x), -1)
    U = (log_q.exp() * (mixture.log_joint(x) - log_q)).sum(-1)
    L = mixture.log_joint(labelled)[range(7), y]
    log_q = torch.log_softmax(classifier.net(labelled), -1)[range(7), y]
    expected = (U.sum() + L.sum() + 0.7 * 23 / 7 * log_q.sum()) / 23

    def of_pass(size, batch):
        data = SemiSupervised(Data(x), Data(labelled, y), size)
        values = [model.objective(*batch, 1.0)[0] for batch in data.batches(batch)]
        assert [len(value) for value in values] == [batch] * (23 // batch) + [23 % batch]
        return torch.cat(values).mean()

    close(over_noise(module, lambda: of_pass(7, 5)), expected)
    passes = [of_pass(3, 9) for _ in range(100)]
    assert_mean(torch.stack(passes), expected)
    close(over_noise(module, lambda: model.objective(x, 1.0)[0]), U)
    close(over_noise(module, lambda: model.objective(x, labelled, y, 0.3)[1]["elbo"]), U)
    for name, mean in (("labelled", L.mean()), ("log q(y|x)", log_q.mean())):
        ask = lambda name=name: model.objective(x, labelled, y, 0.3)[1][name]  # noqa: E731
        close(over_noise(module, ask), mean.expand(23))


def check_warm_up(module):
    """beta weighs the KL of z, of labelled and unlabelled x, and no other term."""
    model, x, y = toy(module), all_images(4), torch.arange(IMAGES) % C
    q = td.Categorical(logits=model.encoder.y.net(x)).probs
    KL = td.kl_divergence(posterior(model, x), td.Normal(0.0, 1.0))

    def value(*more):
        torch.manual_seed(3)
        return model.objective(x, *more)[0]

    more = 0.75 * (q * KL).sum(-1)
    close(value(0.25) - value(), more)
    labelled = 0.3 * 0.75 * KL[range(IMAGES), y].mean()
    close(value(x, y, 0.3, 0.25) - value(x, y, 0.3, 1.0), more + labelled)


# --- M1 + M2 -------------------------------------------------------------------------------------


def two(module):
    decoder = BernoulliConditional(mlp([2, 5, 4]))
    m1 = LatentVariableModel(StandardGaussian(2), conditional(4, 2), decoder)
    model = module.M1M2(m1, module.M2(1, 4, C, "gaussian", 2))
    for p in model.parameters():
        p.data += 0.3 * torch.randn_like(p)
    return model.requires_grad_(False)


def check_two_models(module):
    """p(x) by a grid of z_1 and z_2 and a sum over y, from m1 and m2; the order [y, z_2, z_1]."""
    model = two(module)
    m1, m2, x = model, model.m2, all_images(4)
    z2, cell2 = grid(1, 6, 61)
    z1, cell1 = grid(2, 11, 67)
    yz = torch.cat([torch.eye(C)[:, None].expand(-1, 61, -1), z2.expand(C, -1, -1)], -1)
    mean, log_var = m2.decoder.net(yz.reshape(-1, C + 1)).chunk(2, -1)
    each = td.Normal(mean, (log_var.clamp(-6, 2) / 2).exp()).log_prob(z1[:, None]).sum(-1)
    top = td.Normal(0.0, 1.0).log_prob(z2[:, 0]).repeat(C) - math.log(C)
    log_p_z1 = torch.logsumexp(each + top, -1) + math.log(cell2)
    close((log_p_z1.exp() * cell1).sum(), 1.0, 1e-3)
    p_x = td.Independent(td.Bernoulli(logits=m1.decoder.decoder.net(z1)), 1)
    log_p_x = torch.logsumexp(p_x.log_prob(x[:, None]) + log_p_z1, -1) + math.log(cell1)
    close(log_p_x.exp().sum(), 1.0, 1e-3)
    z = model.prior.sample((500,))
    assert z.shape == (500, C + 3) and (z[:, :C].sort().values == torch.eye(C)[-1]).all()
    close(model.decoder(z).mean, torch.sigmoid(m1.decoder.decoder.net(z[:, C + 1 :])))
    found = model.prior.log_prob(z) - m2.prior.log_prob(z[:, : C + 1])
    close(found, m2.decoder(z[:, : C + 1]).log_prob(z[:, C + 1 :]))
    assert_mean(torch.exp(model.log_weight(x, (20_000,)) - log_p_x), torch.ones(IMAGES), 5)
    check_samples_follow(lambda x: log_p_x, model.sample, pixels=True)
    q = model.encoder.below(x)
    close(model.reconstruct(x), torch.sigmoid(m1.decoder.decoder.net(q.mean)))
    nn.init.normal_(m2.encoder.y.net[0].weight, std=30)  # which class it is depends on x
    assert (model.classify(x) == m2.encoder.y.net(q.mean).argmax(-1)).all()


def check_stacked(module):
    """q(z_1) q(z_2|z_1) is `Ancestral` with its event the other way round."""
    below, top = Gaussian(torch.randn(5, 2), torch.randn(5, 2)), conditional(2, 3)
    stacked, ancestral = module.Stacked(below, top, 2), Ancestral(below, top, 2)
    z = torch.randn(4, 5, 5)
    close(stacked.log_prob(z), ancestral.log_prob(torch.cat([z[..., 3:], z[..., :3]], -1)))
    close(stacked.mean, ancestral.mean.roll(-2, -1))
    for ask in (lambda q: q.sample((6,)), lambda q: q.rsample((6,)).detach()):
        torch.manual_seed(1)
        found = ask(stacked)
        torch.manual_seed(1)
        close(found, ask(ancestral).roll(-2, -1))
    z, log_q = stacked.rsample_and_log_prob((6,))
    close(log_q, stacked.log_prob(z), 1e-8, 1e-8)


MUTANTS = {
    check_toy_bounds: """
        return reconstruction + self.prior.y.log_prob(y) - regulariser, => \
            return reconstruction - regulariser,
        self.prior.y.log_prob(y) - regulariser, => self.prior.y.log_prob(y) + regulariser,
        reconstruction, regulariser = p_x.log_prob(x), kl => \
            reconstruction, regulariser = p_x.log_prob(x), 0.5 * kl
        bound.movedim(0, -1), => bound.reshape(-1, self.classes),
        q.mean + torch.exp(0.5 * q.log_var) * noise => q.mean
        torch.exp(0.5 * q.log_var) * noise => torch.exp(q.log_var) * noise
        self.encoder.given_label(x, y) bound => self.encoder.given_label(x, y.roll(1, -1))\\n        bound
        torch.arange(self.classes, device=y.device) => torch.arange(self.classes, device=y.device).flip(0)
        + q.entropy() => - q.entropy()
    """,
    check_unlabelled_bound: """
        + q.entropy() => - q.entropy()
        + q.entropy() =>
        (q.mean * bound).sum(-1) + => (q.mean * bound).mean(-1) +
        (q.mean * bound) => (q.log_probs * bound)
        (q.mean * bound) => (bound / self.classes)
    """,
    check_gradient: """
        (q.mean * bound) => (q.mean.detach() * bound)
        + q.entropy() => + q.entropy().detach()
        + q.entropy() =>
    """,
    check_noise: """
        standard_noise((), q.mean[0]) => standard_noise((), q.mean)
        standard_noise((), q.mean[0]) => standard_noise((), q.mean[0, :1])
        x, y, q, standard_noise((), q.mean)) => x, y, q, standard_noise((), q.mean[:1]))
    """,
    check_one_class: """
        self.encoder.given_label(x, self.labels[y]) => self.encoder.given_label(x, self.labels[0])
        torch.cat([self.labels[y].expand => torch.cat([self.labels[0].expand
        return self.y.log_prob(y) + self.z.log_prob(z) => return self.z.log_prob(z)
    """,
    check_narrow: "(-6.0, 2.0) => (0.0, 2.0)",
    check_prior: """
        return self.y.log_prob(y) + self.z.log_prob(z) => return self.z.log_prob(z)
        [self.y.sample(shape), self.z.sample(shape)] => [self.z.sample(shape), self.y.sample(shape)]
        self.z.sample(shape)], -1) => 0 * self.z.sample(shape)], -1)
    """,
    check_exact: """
        return self.y.log_prob(y) + self.z.log_prob(z) => return self.z.log_prob(z)
        lambda y: self.given_label(x, y) => lambda y: self.given_label(x, y.roll(1, -1))
        + self.prior.y.log_prob(y) - regulariser, => - regulariser,
        bound.movedim(0, -1), => bound.reshape(-1, self.classes),
        + q.entropy() =>
        log_q.argmax(-1) => log_q.argmin(-1)
    """,
    check_objective: """
        share * (bound => (bound
        regulariser).mean() + self.alpha => regulariser).sum() + self.alpha
        + self.alpha * log_q => + log_q
        + self.alpha * log_q => - self.alpha * log_q
        + self.alpha * log_q => + share * self.alpha * log_q
        y).mean() => y).sum()
    """,
    check_warm_up: """
        elbo + (1 - beta) * regulariser => elbo
        elbo + (1 - beta) * regulariser => beta * elbo
        (bound + (1 - beta) * regulariser) => bound
        (q.mean * regulariser).sum(-1) => regulariser.sum(-1)
    """,
    check_stacked: """
        torch.cat([z2, z1], -1), log_below => torch.cat([z1, z2], -1), log_below
        log_below + log_top => log_top
        self.below.log_prob(z1) + self => self
    """,
    check_two_models: """
        self.m2.classify(self.encoder.below(x).mean) => self.m2.classify(self.encoder.below(x).sample())
        self.decoder(z[..., -self.dim :]) => self.decoder(z[..., : self.dim])
        log_below + log_top => log_top
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((semi_supervised_vae, MUTANTS))


# --- what else is promised -----------------------------------------------------------------------


def test_saturated_logits_cost_what_they_cost():
    """log(p + 1e-8) would cap a wrong label at 18.4 nats, and log(p) be infinite."""
    model, x = toy(semi_supervised_vae), all_images(4)
    model.encoder.y.net[2].weight.zero_()
    model.encoder.y.net[2].bias.copy_(torch.tensor([0.0, -40.0, -900.0]))
    for y, log_q in ((0, 0.0), (1, -40.0), (2, -900.0)):
        close(model.log_q(x, torch.full((IMAGES,), y)), torch.full((IMAGES,), log_q), 1e-12, 1e-12)
    torch.manual_seed(0)
    U = model.unlabelled_bound(x)
    torch.manual_seed(0)
    close(U, model.log_joint(x)[:, 0], 1e-12, 1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_labels_teach_the_classifier_through_alpha_alone(alpha):
    model, x, y = M2(1, 5, C, data_dim=4, alpha=alpha), all_images(4)[:6], torch.arange(6) % C
    gradients = []
    for labelled in ((x, y, 0.5), ()):
        torch.manual_seed(0)  # the noise of unlabelled x is drawn first
        value = model.objective(x, *labelled)[0].sum()
        gradients += torch.autograd.grad(value, model.encoder.y.net[2].bias)
    p = torch.softmax(model.encoder.y.net(x), -1)
    close(gradients[0] - gradients[1], alpha * (one_hot(y, C) - p).sum(0))


def test_a_step_with_labels_reads_no_value():
    """On meta there are none: a GPU would wait for one."""
    model = M2(2, 5, C, data_dim=4).to("meta")
    x, y = torch.zeros(5, 4, device="meta"), torch.zeros(5, dtype=torch.long, device="meta")
    value, parts = model.objective(x, x[:3], y[:3], 0.1, 1.0)
    value.sum().backward()
    assert value.is_meta and all(part.shape == (5,) for part in (value, *parts.values()))


def test_any_dtype_and_leading_axes():
    model = M2(2, 5, C, data_dim=4)
    x, y = all_images(4)[:6], torch.arange(6) % C
    for dtype in (torch.uint8, torch.bool, torch.float32, torch.int64):
        for ask in (model.log_joint, model.unlabelled_bound, lambda x: model.labelled_bound(x, y)):
            torch.manual_seed(0)
            expected = ask(x)
            torch.manual_seed(0)
            found = ask(x.to(dtype))
            assert found.dtype == torch.float64
            close(found, expected, 1e-5, 1e-5)
    assert model.log_joint(x.reshape(2, 3, 4)).shape == (2, 3, C)
    assert model.log_joint(x[0]).shape == (C,) and model.log_joint(x[:0]).shape == (0, C)
    assert model.labelled_bound(x.reshape(2, 3, 4), y.reshape(2, 3)).shape == (2, 3)
    assert model.labelled_bound(x, y.to(torch.uint8)).shape == (6,)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.tensor([0.0, 1.0]), r"whole numbers of shape \(2,\), got torch.float"),
        (torch.tensor([True, False]), "got torch.bool"),
        (torch.tensor([0, 1, 2]), r"got torch.int64 of shape \(3,\)"),
        (torch.tensor([[0], [1]]), r"of shape \(2, 1\)"),
        (torch.eye(C)[:2].long(), r"of shape \(2, 3\)"),
        (torch.tensor([0, -1]), "labels are from 0 to 2, got -1 to 0"),
        (torch.tensor([3, 1]), "labels are from 0 to 2, got 1 to 3"),
        ([0, 1], r"got \[0, 1\]"),
    ],
)
def test_what_is_no_label_is_refused(y, message):
    model, x = M2(2, 5, C, data_dim=4), all_images(4)[:2]
    for ask in (
        model.labelled_bound,
        model.log_q,
        lambda x, y: model.objective(x, x, y, 0.1, 1.0),
    ):
        with pytest.raises(ValueError, match=message):
            ask(x, y)


def test_what_else_does_not_fit_is_refused():
    model, x = M2(2, 5, C, data_dim=4), all_images(4)
    for setting, message in (
        ({"alpha": -0.1}, "alpha: expected a number of at least 0"),
        ({"alpha": math.nan}, "alpha: expected a number"),
        ({"classes": 1}, "classes: expected a whole number of at least 2, got 1"),
        ({"hidden": 0}, "hidden: expected a positive whole number"),
        ({"likelihood": "poisson"}, "likelihood is one of"),
    ):
        with pytest.raises(ValueError, match=message):
            M2(**{"latent_dim": 2, "hidden": 5, "data_dim": 4} | setting)
    with pytest.raises(ValueError, match="log_var_range: expected a smaller number"):
        LabelEncoder(model.encoder.y, model.encoder.z, (2.0, -6.0))
    for y in (-1, C, 1.5, "1", True):
        with pytest.raises(ValueError, match=f"y: expected .* at most 2, got {y!r}"):
            model.given(y)
    with pytest.raises(ValueError, match="got NaN or infinity in 1 of 16 rows"):
        model.classify(x.index_fill(0, torch.tensor([3]), math.nan))
    with pytest.raises(ValueError, match="expected at least one labelled x"):
        model.objective(x, x[:0], torch.arange(0), 0.1)
    with pytest.raises(TypeError, match="x, x_labelled, y and share, .* got 3 arguments"):
        model.objective(x, x, torch.arange(2))
    with pytest.raises(TypeError, match="expected a SemiSupervisedVAE for m2, got LatentVariable"):
        M1M2(model.given(0), model.given(0))
    for ask in (model.log_joint, model.unlabelled_bound, model.objective, model.classify):
        with pytest.raises(ValueError, match="4 numbers on the last axis"):
            ask(x[:, :3])
    with pytest.raises(TypeError, match="expected a tensor"):
        model.log_joint([[0.0, 1.0, 0.0, 1.0]])
    with pytest.raises(ValueError, match="expected binary pixels"):
        model.unlabelled_bound(x + 0.5)
    with pytest.raises(ValueError, match="m2 has an x of 3 dimensions, and the codes of m1 have 2"):
        M1M2(model.given(0), M2(2, 5, C, "gaussian", 3))
    with pytest.raises(NotImplementedError, match="Categorical has no reparameterized sample"):
        model.log_weight(x)  # a gradient through it would leave q(y|x) out


def test_a_model_of_one_class_is_this_model_seen():
    """It has no parameters of its own, and changes with it."""
    model, x = toy(semi_supervised_vae), all_images(4)
    given = model.given(2)
    assert not list(given.parameters())
    assert given.sample((2, 3)).shape == (2, 3, 4) and given.reconstruct(x).shape == (IMAGES, 4)
    before = given.encoder(x).mean
    model.encoder.z.rest[1].bias += 1
    close(given.encoder(x).mean, before + 1)


def test_the_contract_of_a_prior_and_of_two_models():
    """Of a LabelPrior and an M1M2: shapes, dtypes, refusals, and no gradient of what is drawn."""
    model = two(semi_supervised_vae)
    for thing, event in ((model.prior, C + 3), (LabelPrior(C, 2), C + 2), (model, 4)):
        for shape, lead in (((), ()), (3, (3,)), ((2, 0), (2, 0))):
            assert thing.sample(shape).shape == (*lead, event)
        with pytest.raises(TypeError, match="^sample takes a shape"):
            thing.sample(-1)
    for prior in (model.prior, LabelPrior(C, 2)):
        z = prior.sample((4, 2))
        assert prior.log_prob(z).shape == (4, 2)
        close(prior.precomputed().log_prob(z), prior.log_prob(z))
        with pytest.raises(ValueError, match="dimensions on the last axis"):
            prior.log_prob(z[..., 1:])
        with pytest.raises(ValueError, match="expected one-hot vectors"):
            prior.log_prob(torch.ones_like(z))
    single = LabelPrior(C, 2).float()
    assert single.sample().dtype == torch.float32
    assert single.log_prob(torch.eye(5)[:1].float()).dtype == torch.float32
    assert single.log_prob(torch.eye(5)[:1]).dtype == torch.float64
