"""Factor analysis, mixtures of it and the classifier made of them, against dense Gaussians,
quadrature and scikit-learn.
"""

import math

import numpy as np
import pytest
import torch
from oracles import assert_mean, check_samples_follow, close, grid, oracle_tests
from sklearn import decomposition
from torch import distributions as td

from dgmcourse import densities
from dgmcourse.models import factor_analysis, generative_classifier, mixture_of_factor_analysers

pytestmark = pytest.mark.usefixtures("float64")

D, K = 5, 2
SOME = torch.tensor([True, False, True, True, False])  # what is observed


def random(seed):
    return torch.Generator().manual_seed(seed)


def filled(model, seed=0):
    """The model with random parameters: no variance alike, no mean zero."""
    p, g = model.decoder, random(seed)
    with torch.no_grad():
        p.weight.copy_(torch.randn(p.weight.shape, generator=g))
        p.bias.copy_(torch.randn(p.bias.shape, generator=g))
        p.log_var.copy_((0.2 + torch.rand(p.log_var.shape, generator=g)).log())
    return model


def dense(model):
    """(mean, covariance) of p(x)."""
    p = model.decoder
    return p.bias.detach(), (p.weight @ p.weight.T + torch.diag(p.log_var.exp())).detach()


def points(n=7, d=D, seed=1):
    return 1.5 * torch.randn(n, d, generator=random(seed)) + 0.5


def data(n=300, d=D, seed=2):
    """Data that no Gaussian fits exactly, all dimensions correlated and none of unit variance."""
    z = torch.randn(n, 2, generator=random(seed))
    mix = torch.randn(2, d, generator=random(seed + 1))
    noise = torch.rand(n, d, generator=random(seed + 2)) * torch.arange(1, d + 1)
    return torch.cat([z, z**2], -1) @ torch.cat([mix, 0.3 * mix.flip(0)]) + noise


# ---- factor analysis


def check_log_prob(module):
    model, x = filled(module.FactorAnalysis(D, K)), points()
    mean, covariance = dense(model)
    close(model.log_prob(x), td.MultivariateNormal(mean, covariance).log_prob(x))
    some = td.MultivariateNormal(mean[SOME], covariance[SOME][:, SOME])
    close(model.log_prob(x, SOME), some.log_prob(x[:, SOME]))
    unseen = torch.where(SOME, x, torch.nan)
    close(model.log_prob(unseen, SOME), some.log_prob(x[:, SOME]))


def check_posterior(module):
    """Conditioning of the joint Gaussian of (z, x), all of it and some of x."""
    model, x = filled(module.FactorAnalysis(D, K)), points()
    mean, covariance = dense(model)
    for seen in (torch.ones(D, dtype=torch.bool), SOME):
        W = model.decoder.weight.detach()[seen]
        gain = torch.linalg.solve(covariance[seen][:, seen], W).T
        q = model.posterior(x, None if seen.all() else seen)
        close(q.mean, (x[:, seen] - mean[seen]) @ gain.T)
        close(q.covariance, torch.eye(K) - gain @ W)


def check_log_weight(module):
    model, x = filled(module.FactorAnalysis(D, K)), points()
    exact = td.MultivariateNormal(*dense(model)).log_prob(x)
    close(model.log_weight(x, (50,)), exact.expand(50, -1))
    close(model.elbo(x), exact)


def check_samples(module):
    model = filled(module.FactorAnalysis(2, 1))
    check_samples_follow(model.log_prob, model.sample, False)


def check_em_maximises(module):
    """At the new parameters the expected complete log-likelihood, under the old posterior, has no
    gradient.
    """
    x, weights = data(40), torch.rand(40, generator=random(9)) + 0.1
    model = filled(module.FactorAnalysis(D, K))
    old, C = dense(model)
    gain = torch.linalg.solve(C, model.decoder.weight.detach()).T
    z, G = (x - old) @ gain.T, torch.eye(K) - gain @ model.decoder.weight.detach()
    before = (weights @ td.MultivariateNormal(old, C).log_prob(x) / weights.sum()).item()
    assert model.em_step(x, weights) == pytest.approx(before, abs=1e-10)
    p = model.decoder
    spread = torch.einsum("dk,kl,dl->d", p.weight, G, p.weight)
    square = (x - z @ p.weight.T - p.bias) ** 2 + spread
    expected = weights @ (-0.5 * (square / p.log_var.exp() + p.log_var).sum(-1))
    for gradient in torch.autograd.grad(expected, [p.weight, p.bias, p.log_var]):
        assert gradient.abs().max() < 1e-8


def check_em_reaches_the_library(module):
    x = filled(factor_analysis.FactorAnalysis(8, K)).sample(500)
    theirs = decomposition.FactorAnalysis(K, tol=1e-12, max_iter=20_000, svd_method="lapack")
    theirs.fit(x.numpy())
    model = module.FactorAnalysis(8, K)
    model.initialise(x)
    climbed = model.fit_em(x, steps=5000, tolerance=1e-11)
    assert all(b > a - 1e-10 for a, b in zip(climbed, climbed[1:], strict=False))
    assert model.log_prob(x).mean().item() == pytest.approx(theirs.score(x.numpy()), abs=1e-6)
    with torch.no_grad():
        model.decoder.weight.copy_(torch.from_numpy(theirs.components_.T))
        model.decoder.bias.copy_(torch.from_numpy(theirs.mean_))
        model.decoder.log_var.copy_(torch.from_numpy(theirs.noise_variance_).log())
    close(model.log_prob(x).detach(), theirs.score_samples(x.numpy()), atol=1e-9)


def check_initialise(module):
    """Mean and variances of the (weighted) data, half of them for the factors on average."""
    x, weights = data(), torch.rand(300, generator=random(4))
    model = module.FactorAnalysis(D, 400)
    model.initialise(x, weights)
    mean, covariance = dense(model)
    average = np.average(x.numpy(), axis=0, weights=weights.numpy())
    variance = np.average((x.numpy() - average) ** 2, axis=0, weights=weights.numpy())
    close(mean, average)
    close(model.decoder.log_var.exp(), variance / 2)
    close(covariance.diagonal(), variance, rtol=0.2)


def check_probabilistic_pca(module):
    x = data()
    model = module.probabilistic_pca(x, K)
    noise = model.decoder.log_var
    assert noise.std() == 0
    W, b = model.decoder.weight, model.decoder.bias
    value = td.LowRankMultivariateNormal(b, W, noise.exp()).log_prob(x).mean()
    in_W, in_b, in_noise = torch.autograd.grad(value, [W, b, noise])
    assert max(in_W.abs().max(), in_b.abs().max(), in_noise.sum().abs()) < 1e-9  # it is stationary
    # scikit-learn divides the variances by n - 1: with data stretched by as much it has our
    # parameters
    stretched = x.mean(0) + (x - x.mean(0)) * math.sqrt(len(x) / (len(x) - 1))
    theirs = decomposition.PCA(K).fit(x.numpy())
    ours = module.probabilistic_pca(stretched, K).log_prob(x).mean().item()
    assert ours == pytest.approx(theirs.score(x.numpy()), abs=1e-9)


def conditional(mean, covariance, x, seen):
    """E[x | observed x] and the covariance of what is missing, by dense conditioning."""
    gain = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, ~seen]).T
    missing = mean[~seen] + (x[:, seen] - mean[seen]) @ gain.T
    return missing, covariance[~seen][:, ~seen] - gain @ covariance[seen][:, ~seen]


def check_complete(module):
    model, x = filled(module.FactorAnalysis(D, K)), points()
    missing, covariance = conditional(*dense(model), x, SOME)
    found = model.complete(x, SOME)
    close(found[:, SOME], x[:, SOME])
    close(found[:, ~SOME], missing)
    drawn = model.complete(x[:1].expand(40_000, -1), SOME, draw=True)
    close(drawn[:, SOME], x[:1, SOME].expand(40_000, -1))
    off = drawn[:, ~SOME] - missing[0]
    assert_mean(off, torch.zeros(2))
    assert_mean(off[:, :, None] * off[:, None], covariance)


def check_denoise(module):
    model, x = filled(module.FactorAnalysis(D, K)), points()
    mean, covariance = dense(model)
    gain = torch.linalg.solve(covariance + 0.7 * torch.eye(D), covariance).T
    close(model.denoise(x, 0.7), mean + (x - mean) @ gain.T)
    close(dense(model)[1], covariance)  # the model itself is as it was


# ---- mixtures


def mixture(module, d=D, k=K, components=3):
    model = module.MixtureOfFactorAnalysers(d, k, components)
    for i, component in enumerate(model.components):
        filled(component, seed=10 + i)
    with torch.no_grad():
        model.log_weights.copy_(torch.randn(components, generator=random(5)))  # not normalised
    return model


def dense_log_joint(model, x, seen=None):
    seen = slice(None) if seen is None else seen
    weights = model.log_weights.detach() - torch.logsumexp(model.log_weights.detach(), 0)
    gaussians = [dense(component) for component in model.components]
    each = [
        td.MultivariateNormal(m[seen], c[seen][:, seen]).log_prob(x[:, seen]) for m, c in gaussians
    ]
    return weights + torch.stack(each, -1)


def check_mixture_log_prob(module):
    model, x = mixture(module), points()
    close(model.log_joint(x), dense_log_joint(model, x))
    close(model.log_prob(x), dense_log_joint(model, x).logsumexp(-1))
    close(model.log_prob(x, SOME), dense_log_joint(model, x, SOME).logsumexp(-1))
    single = mixture(module, components=1)
    close(single.log_prob(x), single.components[0].log_prob(x))


def check_mixture_samples(module):
    model = mixture(module, d=2, k=1)
    model.log_weights.data.copy_(torch.tensor([0.0, 2.0, -1.0]))
    check_samples_follow(model.log_prob, model.sample, False)


def check_mixture_em(module):
    """EM never falls, says what the likelihood was, and ends where the likelihood has no
    gradient.
    """
    one, two = (filled(factor_analysis.FactorAnalysis(5, 1), seed) for seed in (1, 2))
    x = torch.cat([one.sample(200) + 3, two.sample(400) + 6])
    model = module.MixtureOfFactorAnalysers(5, 1, 2)
    torch.manual_seed(0)
    model.initialise(x)
    first = dense_log_joint(model, x).logsumexp(-1).mean().item()
    climbed = model.fit_em(x, steps=500, tolerance=1e-12)
    assert climbed[0] == pytest.approx(first, abs=1e-10)
    assert climbed[-1] > first + 0.01
    assert all(b > a - 1e-10 for a, b in zip(climbed, climbed[1:], strict=False))
    for gradient in torch.autograd.grad(model.log_prob(x).mean(), list(model.parameters())):
        assert gradient.abs().max() < 1e-3


def check_mixture_keeps_to_what_is_allowed(module):
    """With each x allowed one component, a step is one of each factor analyser on its own x."""
    x, mine = data(50), torch.arange(50) % 3
    model, alone = mixture(module), mixture(mixture_of_factor_analysers)
    value = model.em_step(x, mine.unsqueeze(-1) == torch.arange(3))
    joint = dense_log_joint(alone, x)
    assert value == pytest.approx(joint[torch.arange(50), mine].mean().item(), abs=1e-10)
    for k, component in enumerate(alone.components):
        component.em_step(x[mine == k])
        for a, b in zip(model.components[k].parameters(), component.parameters(), strict=True):
            close(a, b, atol=1e-8)
    close(model.log_weights.softmax(-1), torch.bincount(mine) / 50)


def check_mixture_complete(module):
    """E[x_2 | x_1] by quadrature over x_2, and the draws' mean and square."""
    model, x = mixture(module, d=2, k=1), points(4, 2)
    seen, axis = torch.tensor([True, False]), torch.linspace(-12, 12, 2401)
    found = model.complete(x, seen)
    for row, answer in zip(x, found, strict=True):
        p = model.log_prob(torch.stack([row[0].expand(2401), axis], -1)).exp().detach()
        close(answer, torch.stack([row[0], (p @ axis) / p.sum()]), atol=1e-8)
    drawn = model.complete(x[:1].expand(20_000, -1), seen, draw=True)[:, 1:]
    p = model.log_prob(torch.stack([x[0, 0].expand(2401), axis], -1)).exp().detach()
    assert_mean(drawn, (p @ axis) / p.sum())
    assert_mean(drawn**2, (p @ axis**2) / p.sum())


def check_mixture_denoise(module):
    model, noisy = mixture(module, d=2, k=1), points(3, 2)
    clean, _ = grid(2, 9.0, 361)
    density = model.log_prob(clean).exp().detach()
    for row, answer in zip(noisy, model.denoise(noisy, 0.6), strict=True):
        weight = density * torch.exp(-((clean - row) ** 2).sum(-1) / 1.2)
        close(answer, (weight @ clean) / weight.sum(), atol=1e-6)


def check_mixture_initialise(module):
    """Two clumps far apart: two components, one on each, however the seed falls, and the weights
    count them.
    """
    x = torch.cat([data(90), data(30, seed=7) + 60])
    model = module.MixtureOfFactorAnalysers(D, K, 2)
    model.initialise(x, seed=1)
    weights = model.log_weights.softmax(-1).detach()
    close(weights.sort().values, torch.tensor([0.25, 0.75]), atol=0.02)
    means = torch.stack([component.decoder.bias for component in model.components])
    close(means[weights.argsort()], torch.stack([x[90:].mean(0), x[:90].mean(0)]), atol=3)


# ---- the classifier


def labelled(n=90):
    """Three overlapping classes of unequal frequency, all labelled."""
    y = torch.tensor([0, 0, 0, 1, 1, 2]).repeat(n // 6)
    return data(n) + 2.0 * y[:, None] * torch.tensor([1.0, -1.0, 0.0, 1.0, 0.5]), y


def classifier(module, per_class=1):
    model = module.GenerativeClassifier(D, 3, latent_dim=1, per_class=per_class)
    model.initialise(*labelled())
    for i, component in enumerate(model.mixture.components):
        filled(component, seed=20 + i)
    with torch.no_grad():
        model.mixture.log_weights.copy_(torch.randn(3 * per_class, generator=random(6)))
    return model


def check_joint(module):
    """p(x, y) is the sum over y's components, p(x) over y, p(y|x) their ratio."""
    model, x = classifier(module, per_class=2), points()
    each = dense_log_joint(model.mixture, x)
    by_class = torch.stack([each[:, 2 * c : 2 * c + 2].logsumexp(-1) for c in range(3)], -1)
    close(model.log_joint(x), by_class)
    close(model.log_prob(x), by_class.logsumexp(-1))
    close(model.posterior(x), by_class.exp() / by_class.exp().sum(-1, keepdim=True))
    close(model.posterior(x).sum(-1), torch.ones(len(x)))


def check_labelled(module):
    """With all labels, EM fits each class by itself, and the frequencies."""
    x, y = labelled()
    model = classifier(module)
    alone = classifier(generative_classifier).mixture.components
    model.fit_em(x, y, steps=5, tolerance=-math.inf)
    for c, component in enumerate(alone):
        component.fit_em(x[y == c], steps=5, tolerance=-math.inf)
        found = model.mixture.components[c].parameters()
        for a, b in zip(found, component.parameters(), strict=True):
            close(a, b, atol=1e-7)
    close(model.mixture.log_weights.softmax(-1), torch.bincount(y) / len(y))


def check_unlabelled(module):
    """EM never falls on log p(x, y) plus log p(x) where y is unknown, what it returns; unlabelled x
    move the model, and a labelled x belongs to its class wherever it lies.
    """
    x, y = labelled()
    hidden = torch.where(torch.arange(len(y)) % 3 == 0, y, -1)
    model = classifier(module)
    joint, known = dense_log_joint(model.mixture, x), hidden >= 0
    expected = torch.cat([joint[known, hidden[known]], joint[~known].logsumexp(-1)]).mean()
    climbed = model.fit_em(x, hidden, steps=50, tolerance=-math.inf)
    assert climbed[0] == pytest.approx(expected.item(), abs=1e-10)
    assert all(b > a - 1e-10 for a, b in zip(climbed, climbed[1:], strict=False))
    without = classifier(module)
    without.fit_em(x[known], hidden[known], steps=50, tolerance=-math.inf)
    assert (without.log_prob(x) - model.log_prob(x)).abs().max() > 0.1
    for c in range(3):  # class c counts its labelled x fully, those of others not at all
        r = torch.where(known, (hidden == c).double(), model.posterior(x)[:, c].detach())
        alone = factor_analysis.FactorAnalysis(D, 1)
        alone.load_state_dict(model.mixture.components[c].state_dict())
        alone.em_step(x, r)
        after = classifier(module)
        after.load_state_dict(model.state_dict())
        after.fit_em(x, hidden, steps=1)
        close(after.mixture.components[c].decoder.weight, alone.decoder.weight, atol=1e-6)


FACTOR_ANALYSIS = {
    check_log_prob: """
        likelihood + self.prior.log_prob(q.mean) - q => likelihood - q
        p.mean[..., seen], p.log_var => p.mean[..., seen], 2 * p.log_var
    """,
    check_posterior: """
        + torch.eye(weight.shape[1]).to(weight) =>
        torch.cholesky_inverse(factor) => factor @ factor.mT
        (check_event(x, p.bias) - p.bias)[..., seen] => x[..., seen]
        p.log_var[seen] => (p.log_var[seen] / 2)
    """,
    check_log_weight: """
        torch.linalg.cholesky(covariance)) => covariance)
        off @ scaled @ covariance => off @ scaled
    """,
    check_samples: "z @ self.weight.mT + self.bias => z @ self.weight.mT",
    check_em_maximises: """
        second_moment[:-1, :-1] += total * q.covariance =>
        = total * q. => = len(x) * q.
        p.bias.add_(loadings[:, -1]) =>
        moment = off.mT @ (weights.unsqueeze(-1) * z) => moment = off.mT @ z
        (loadings * moment).sum(-1)) / total => 2 * (loadings * moment).sum(-1)) / total
        off = x - p.bias  # => off = x  #
    """,
    check_em_reaches_the_library: """
        (len(values) < 2 or values[-1] - values[-2] >= tolerance) => len(values) < 2
    """,
    check_initialise: """
        p.log_var.copy_((variance / 2).log()) => p.log_var.copy_(variance.log())
        mean = weights @ x / weights.sum() => mean = x.mean(0)
        / p.weight.shape[1]).sqrt() => ).sqrt()
    """,
    check_probabilistic_pca: """
        values[:-latent_dim].mean() => values[:-latent_dim].sum()
        (values[-latent_dim:] - noise) => values[-latent_dim:]
        torch.cov(x.mT, correction=0) => torch.cov(x.mT)
    """,
    check_complete: """
        self.decoder(q.sample()).sample() => self.decoder(q.mean).sample()
        self.decoder(q.sample()).sample() => self.decoder(q.sample()).mean
        torch.where(observed, x, missing) => missing
    """,
    check_denoise: """
        self.with_noise(noise_var).posterior(x) => self.posterior(x)
        variance / (variance + noise_var) => noise_var / (variance + noise_var)
        copy.deepcopy(self) => self
    """,
}
MIXTURE_OF_FACTOR_ANALYSERS = {
    check_mixture_log_prob: """
        torch.log_softmax(self.log_weights, -1) + torch => self.log_weights + torch
        component.log_prob(x, observed) for => component.log_prob(x) for
        torch.logsumexp(self.log_joint(x, observed), -1) => self.log_joint(x, observed).max(-1).values
    """,
    check_mixture_samples: """
        self.log_weights.softmax(-1), shape => torch.ones_like(self.log_weights), shape
    """,
    check_mixture_em: """
        responsibility.mean(0).clamp_min(NEGLIGIBLE) => responsibility.mean(0).sqrt()
        component.em_step(x[some], weights[some]) => component.em_step(x[some])
        return log_p.mean().item() => return log_p.sum().item()
    """,
    check_mixture_keeps_to_what_is_allowed: """
        joint if allowed is None else joint.masked_fill(~allowed, -torch.inf) => joint
        masked_fill(~allowed => masked_fill(allowed
    """,
    check_mixture_complete: """
        self.log_joint(x, observed).softmax(-1) => self.log_joint(x).softmax(-1)
        component.complete(x, observed, draw) for => component.complete(x, observed) for
    """,
    check_mixture_denoise: """
        component.with_noise(noise_var).log_prob(x) => component.log_prob(x)
        component.denoise(x, noise_var) for => component.denoise(x, 2 * noise_var) for
    """,
    check_mixture_initialise: """
        (1 + torch.bincount(nearest, minlength=len(centres))).log() => torch.ones(2)
    """,
}
GENERATIVE_CLASSIFIER = {
    check_joint: """
        (self.classes, self.per_class)).logsumexp(-1 => (self.per_class, self.classes)).logsumexp(-2
        self.log_joint(x).softmax(-1) => self.log_joint(x).sigmoid()
    """,
    check_labelled: "(y.unsqueeze(-1) == self.owner) => (y.unsqueeze(-1) >= self.owner)",
    check_unlabelled: """
        unsqueeze(-1) | => unsqueeze(-1) & (y >= -1).unsqueeze(-1) & (self.owner == 0) |
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests(
    (factor_analysis, FACTOR_ANALYSIS),
    (mixture_of_factor_analysers, MIXTURE_OF_FACTOR_ANALYSERS),
    (generative_classifier, GENERATIVE_CLASSIFIER),
)


# ---- what cannot work says so


def test_a_pixel_that_never_varies_has_the_smallest_variance_not_none():
    x = torch.cat([data(), torch.full((300, 1), 0.25)], -1)
    model = factor_analysis.FactorAnalysis(D + 1, K)
    model.initialise(x)
    model.fit_em(x, steps=50)
    assert model.decoder.log_var[-1].exp().item() == pytest.approx(factor_analysis.SMALLEST)
    assert model.log_prob(x).isfinite().all()


def test_impossible_sizes_are_told_in_words():
    with pytest.raises(ValueError, match="latent_dim: .* at most 4, got 5"):
        factor_analysis.probabilistic_pca(data(), 5)
    with pytest.raises(ValueError, match="5 dimensions"):
        factor_analysis.FactorAnalysis(D, K).log_prob(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="square"):
        densities.FullGaussian(torch.zeros(3), torch.eye(2))


@pytest.mark.parametrize(
    "observed",
    [SOME.long(), SOME[:3], SOME.expand(7, -1), SOME.double()],
    ids=["int", "short", "batch", "float"],
)
def test_a_mask_that_is_none_is_refused(observed):
    """An integer mask would pick dimensions 0 and 1 again and again, and give a number."""
    for model in (factor_analysis.FactorAnalysis(D, K), mixture(mixture_of_factor_analysers)):
        for ask in (model.log_prob, model.complete):
            with pytest.raises(ValueError, match="one bool for each of 5 dimensions"):
                ask(points(), observed)


@pytest.mark.parametrize(
    "x",
    [points()[:0], points() * torch.nan, points().index_fill(0, torch.tensor([3]), torch.inf)],
    ids=["empty", "NaN", "inf"],
)
def test_data_that_em_cannot_use_are_refused_and_change_nothing(x):
    """One NaN among the data would make every parameter NaN."""
    one = filled(factor_analysis.FactorAnalysis(D, K))
    for model in (one, mixture(mixture_of_factor_analysers)):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        for step in (model.em_step, model.initialise):
            with pytest.raises(ValueError, match="need"):
                step(x)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), name
    with pytest.raises(ValueError, match="EM needs one x"):
        factor_analysis.probabilistic_pca(x, K)


def test_weights_and_what_is_allowed_fit_the_data():
    model, x = factor_analysis.FactorAnalysis(D, K), points()
    for weights in (torch.ones(7, 1), torch.ones(3)):
        for step in (model.em_step, model.initialise):
            with pytest.raises(ValueError, match="one weight for each of 7 x"):
                step(x, weights)
    with pytest.raises(ValueError, match="3 components need as many"):
        mixture(mixture_of_factor_analysers).initialise(x[:2])
    for allowed in (torch.zeros(7, 3), torch.ones(7, 2), torch.ones(3, 7)):
        with pytest.raises(ValueError, match="leaves each x at least one"):
            mixture(mixture_of_factor_analysers).em_step(x, allowed.bool())
