"""Densities against scipy, torch.distributions, sums over all images and quadrature; and each
oracle against mutants.
"""

import math

import numpy as np
import pytest
import torch
from oracles import all_images, assert_mean, check_samples_follow, close, oracle_tests
from scipy import stats
from torch import distributions as td

from dgmcourse import densities
from dgmcourse.networks import mlp

pytestmark = pytest.mark.usefixtures("float64")


def gaussian_parameters(*shape):
    return torch.randn(shape), torch.randn(shape) * 0.7 - 0.3


# --- oracles -------------------------------------------------------------------------------------


def check_gaussian_log_prob(densities):
    mean, log_var = gaussian_parameters(5, 3)
    x = torch.randn(7, 5, 3) * 2
    expected = stats.norm(mean, torch.exp(log_var / 2)).logpdf(x).sum(-1)
    close(densities.Gaussian(mean, log_var).log_prob(x), torch.from_numpy(expected))
    x = torch.randn(4, 5, 3)
    standard = densities.StandardGaussian(3).log_prob(x)
    close(standard, td.Normal(0.0, 1.0).log_prob(x).sum(-1))


def check_samples(densities):
    """Against the log-densities, which other oracles hold."""
    mean, log_var = 2 * torch.randn(3, 2), torch.randn(3, 2)
    L = torch.tensor([[1.2, 0.0], [-0.8, 0.5]])
    for p in (densities.Gaussian(mean, log_var), densities.FullGaussian(mean, L)):
        check_samples_follow(p.log_prob, p.sample, False, (3,))
    mixture = densities.Mixture(torch.randn(3), densities.Gaussian(mean, log_var - 1))
    for p in (densities.StandardGaussian(2), mixture):
        check_samples_follow(p.log_prob, p.sample, False)
    bits = densities.Bernoulli(torch.randn(3, 4))
    check_samples_follow(bits.log_prob, bits.sample, True, (3,))
    close(bits.mean, torch.sigmoid(bits.logits))


def check_bernoulli_sums_to_one(densities):
    images = all_images()
    logits = torch.randn(4, 1, 9) * 2
    log_prob = densities.Bernoulli(logits).log_prob(images)
    assert log_prob.shape == (4, 512)
    close(log_prob.exp().sum(-1), torch.ones(4))
    close(log_prob, td.Bernoulli(logits=logits).log_prob(images).sum(-1))


def check_bernoulli_at_the_extremes(densities):
    """A wrong pixel costs what it costs, and says so to the gradient: no clamp, no rounding of 1 -
    p to 0.
    """
    logits = torch.tensor([-800.0, -60.0, -21.0, 0.0, 21.0, 60.0, 800.0])[:, None].requires_grad_()
    x = torch.tensor([0.0, 1.0])[:, None, None]
    log_prob = densities.Bernoulli(logits).log_prob(x)
    t = logits.detach()[:, 0]
    expected = [-torch.logaddexp(sign * t, torch.zeros(7)) for sign in (1, -1)]
    close(log_prob, torch.stack(expected), 1e-13, 1e-13)
    (gradient,) = torch.autograd.grad(log_prob[0].sum(), logits, retain_graph=True)
    close(gradient[:, 0], -torch.sigmoid(t), 1e-12, 0)
    (gradient,) = torch.autograd.grad(log_prob[1].sum(), logits)
    close(gradient[:, 0], torch.sigmoid(-t), 1e-7, 1e-15)


def check_categorical(densities):
    """Against torch.distributions and a sum over the classes, with any leading axes; the most and
    the least probable class at the extremes.
    """
    logits = 2 * torch.randn(5, 3)
    p, exact = densities.Categorical(logits), td.OneHotCategorical(logits=logits)
    y = torch.eye(3)[torch.randint(3, (7, 5))]
    close(p.log_prob(y), exact.log_prob(y))
    close(p.log_prob(torch.eye(3)[:, None]).exp().sum(0), torch.ones(5))
    close(p.mean, exact.probs)
    close(p.entropy(), exact.entropy())
    assert_mean(p.sample((20_000,)), exact.probs)
    assert p.sample().shape == (5, 3) and p.sample((0, 2)).shape == (0, 2, 5, 3)
    one = densities.Categorical(logits[0])
    assert one.sample().shape == (3,) and (one.sample((4,)).sum(-1) == 1).all()
    sure = densities.Categorical(torch.tensor([0.0, -40.0, -900.0, -math.inf]))
    log_p = sure.log_prob(torch.eye(4))
    close(log_p[:3], [0.0, -40.0, -900.0], 1e-13, 1e-13)
    assert log_p[3] == -math.inf
    close(sure.entropy(), 40 * math.exp(-40), 1e-12, 0)  # 1 - exp(-40) rounds to 1
    assert (sure.sample((100,)) == torch.eye(4)[0]).all()


def check_kl(densities):
    (mean, log_var), (mean_p, log_var_p) = gaussian_parameters(5, 3), gaussian_parameters(5, 3)
    q, p = densities.Gaussian(mean, log_var), densities.Gaussian(mean_p, log_var_p)
    exact_q, exact_p = (
        td.Normal(m, (v / 2).exp()) for m, v in ((mean, log_var), (mean_p, log_var_p))
    )
    close(densities.kl(q, p), td.kl_divergence(exact_q, exact_p).sum(-1))
    close(densities.kl_per_dimension(q, p), td.kl_divergence(exact_q, exact_p))
    from_standard = td.kl_divergence(exact_q, td.Normal(0.0, 1.0)).sum(-1)
    close(densities.kl(q, densities.StandardGaussian(3)), from_standard)


def check_conditionals(densities):
    """The network's output is means first, then log-variances, which are clipped: constant outside
    of the range.
    """
    output = torch.tensor([[1.0, -2.0, -9.0, 0.5], [3.0, 0.0, 1.0, 7.0]]).requires_grad_()
    q = densities.GaussianConditional(torch.nn.Identity(), (-6.0, 2.0))(output)
    close(q.mean, output[:, :2])
    close(q.log_var, [[-6.0, 0.5], [1.0, 2.0]])
    (gradient,) = torch.autograd.grad(q.mean.sum() + q.log_var.sum(), output)
    close(gradient, [[1.0, 1, 0, 1], [1.0, 1, 1, 0]])
    close(densities.BernoulliConditional(torch.nn.Identity())(output).logits, output)


def check_one_variance_for_all(densities):
    """N(net(z), sigma^2 I): against scipy; its slope in log sigma^2 is half of what the squared
    distance has too much.
    """
    net = torch.nn.Linear(2, 3)
    conditional = densities.IsotropicGaussianConditional(net, log_var=-1.4)
    given, x = torch.randn(4, 5, 2), torch.randn(5, 3)
    log_prob = conditional(given).log_prob(x)
    mean, std = net(given).detach(), math.exp(-0.7)
    close(log_prob, torch.from_numpy(stats.norm(mean, std).logpdf(x.expand(4, 5, 3))).sum(-1))
    (slope,) = torch.autograd.grad(log_prob.sum(), conditional.log_var)
    close(slope, 0.5 * (((x - mean) / std) ** 2 - 1).sum())
    names = {name for name, _ in conditional.named_parameters()}
    assert names == {"net.weight", "net.bias", "log_var"}


def check_point(densities):
    """All draws are the network's output, and its gradient flows through rsample; no x has a
    density.
    """
    net = torch.nn.Linear(2, 3)
    given = torch.randn(4, 2, requires_grad=True)
    point = densities.PointConditional(net)(given)
    output = (given @ net.weight.T + net.bias).detach()
    close(point.mean, output)
    close(point.sample((5, 2)), output.expand(5, 2, 4, 3))
    close(point.sample(), output)
    point.sample().zero_()  # whose is it
    point.sample((2,))[0] += 1
    close(point.mean, output)
    (gradient,) = torch.autograd.grad(point.rsample((6,)).sum(), given)
    close(gradient, 6 * net.weight.sum(0).expand(4, 2))
    for asked in (point.log_prob, point.cross_log_prob):
        try:
            asked(output)
        except NotImplementedError as error:
            assert "implicit model" in str(error) and "\n" not in str(error)
        else:
            raise AssertionError("a density where there is none")


def check_half_precision_networks(densities):
    """A network that answers in bfloat16: the sum of 784 log-probabilities is one of float32."""
    given = torch.randn(2, 784).float()

    class Half(torch.nn.Module):
        def forward(self, x):
            return torch.cat([x, x], -1).bfloat16()

    answer, x = given.bfloat16().double(), (torch.rand(2, 784) < 0.5).float()
    twice = torch.cat([answer, answer], -1)
    for conditional, exact in (
        (densities.GaussianConditional(Half(), (-9, 9)), td.Normal(answer, (answer / 2).exp())),
        (densities.BernoulliConditional(Half()), td.Bernoulli(logits=twice)),
        (densities.IsotropicGaussianConditional(Half(), -0.5), td.Normal(twice, math.exp(-0.25))),
    ):
        bits = x.expand(2, -1) if exact.mean.shape == x.shape else torch.cat([x, x], -1)
        found = conditional(given).log_prob(bits)
        close(found, exact.log_prob(bits.double()).sum(-1), rtol=1e-5)
    assert densities.PointConditional(Half())(given).mean.dtype == torch.float32


def check_full_gaussian(densities):
    L = torch.tril(torch.randn(4, 3, 3))
    L.diagonal(dim1=-2, dim2=-1).abs_().add_(0.3)
    mean, x = torch.randn(4, 3), 1.5 * torch.randn(4, 3)
    own, shared = densities.FullGaussian(mean, L), densities.FullGaussian(mean, L[0])
    close(own.log_prob(x), td.MultivariateNormal(mean, scale_tril=L).log_prob(x))
    close(shared.log_prob(x), td.MultivariateNormal(mean, scale_tril=L[0]).log_prob(x))
    many = torch.randn(5, 4, 3)
    close(shared.log_prob(many), td.MultivariateNormal(mean, scale_tril=L[0]).log_prob(many))
    close(own.covariance, L @ L.mT)
    each = [
        td.MultivariateNormal(m, scale_tril=f).log_prob(x) for m, f in zip(mean, L, strict=True)
    ]
    close(own.cross_log_prob(x), torch.stack(each, -1))


def check_cross_log_prob(densities):
    """Every x under every row of parameters, one pair at a time; the mixture that is summed from
    them.
    """
    mean, log_var = torch.randn(6, 3), torch.randn(6, 3)
    x = torch.randn(2, 4, 3)
    gaussian = densities.Gaussian(mean, log_var)
    bernoulli, binary = densities.Bernoulli(5 * mean), (x > 0.5).double()
    normals = [td.Normal(m, (v / 2).exp()) for m, v in zip(mean, log_var, strict=True)]
    coins = [td.Bernoulli(logits=row) for row in 5 * mean]
    weights = 2 * torch.randn(6)
    for density, exact, at in ((gaussian, normals, x), (bernoulli, coins, binary)):
        each = torch.stack([p.log_prob(at).sum(-1) for p in exact], -1)
        close(density.cross_log_prob(at), each)
        mixed = torch.logsumexp(weights.log_softmax(0) + each, -1)
        close(densities.Mixture(weights, density).log_prob(at), mixed)


def check_narrow_components_in_float32(densities):
    """At log-variances near -6 the two matrix products cancel: in float32 they must agree with the
    direct form in float64.
    """
    mean, log_var = (3 * torch.randn(50, 40)).float(), 0.4 * torch.randn(50, 40) - 6
    near = mean[torch.arange(50)] + 0.05 * torch.randn(50, 40).float()
    found = densities.Gaussian(mean, log_var.float()).cross_log_prob(near)
    wide = densities.Gaussian(mean.double(), log_var.float().double())
    direct = wide.log_prob(near.double()[:, None])
    assert found.dtype == torch.float32
    close(found, direct, rtol=1e-6, atol=1e-4)


MUTANTS = {
    check_categorical: """
        torch.log_softmax(as_floats(logits), -1) => torch.log(torch.softmax(as_floats(logits), -1) + 1e-8)
        torch.log_softmax(as_floats(logits), -1) => torch.log_softmax(as_floats(logits), 0)
        return -torch.where(self.log_probs => return torch.where(self.log_probs
        0.0, self.mean * self.log_probs => 0.0, self.log_probs
        torch.multinomial(rows, 1) => rows.argmax(-1)
        torch.multinomial(rows, 1) => torch.multinomial(torch.ones_like(rows), 1)
        torch.where(y == 0, 0.0, y * log_p) => torch.where(y == 0, 0.0, y * log_p.exp())
    """,
    check_gaussian_log_prob: """
        -0.5 * (LOG_2PI + self.log_var => -0.5 * (0 + self.log_var
        torch.exp(-self.log_var)).sum => torch.exp(-0.5 * self.log_var)).sum
        torch.exp(-self.log_var)).sum(-1) => torch.exp(-self.log_var)).mean(-1)
        torch.exp(-self.log_var)).sum(-1) => torch.exp(-self.log_var)).sum((-1, -2))
        self.dim * LOG_2PI => LOG_2PI
        -0.5 * (LOG_2PI + self => -1.0 * (LOG_2PI + self
    """,
    check_samples: """
        torch.exp(0.5 * self.log_var) * standard => torch.exp(self.log_var) * standard
        return torch.randn(*check => return 3.46 * torch.rand(*check
        return standard_noise(shape, self.mean) => \
            return standard_noise(shape, self.mean[:1]).expand(*shape, self.dim)
        (self.scale_tril @ noise => (self.scale_tril.mT @ noise
        torch.bernoulli( => torch.round(
        torch.multinomial(probabilities, n, replacement=True) => (torch.arange(n) * len(probabilities) // n)
        draw_index(self.log_weights.exp(), shape) => draw_index(torch.ones_like(self.log_weights), shape)
    """,
    check_bernoulli_at_the_extremes: """
        (x * self.logits).sum(-1) - F.softplus(self.logits, threshold=40) => \
            torch.log(torch.where(x == 1, self.mean, 1 - self.mean).clamp(1e-5, 1 - 1e-5))
        (x * self.logits).sum(-1) - F.softplus(self.logits, threshold=40) => \
            torch.log(torch.where(x == 1, self.mean, 1 - self.mean))
        , threshold=40 =>
        F.softplus(self.logits, threshold=40) => torch.log1p(self.logits.exp())
    """,
    check_bernoulli_sums_to_one: """
        (-1) - F.softplus(self.logits, threshold=40).sum(-1) => (-1)
        self.logits).sum(-1) - F.softplus(self.logits => (-self.logits)).sum(-1) - F.softplus((-self.logits)
        sum(-1) - F.softplus(self.logits, threshold=40).sum => \
            mean(-1) - F.softplus(self.logits, threshold=40).mean
    """,
    check_kl: """
        kl_per_dimension(q, p).sum(-1) => kl_per_dimension(q, p).mean(-1)
        variance_ratio = => q, p = p, q\\n    variance_ratio =
        p.log_var - q => q.log_var - p
        0.5 * (p.log_var => (p.log_var
        torch.exp(-p.log_var) - 1) => torch.exp(-p.log_var))
        square * torch.exp(-p.log_var) => square
    """,
    check_conditionals: """
        mean, log_var = output => log_var, mean = output
        .clamp(*log_var_range) =>
    """,
    check_one_variance_for_all: "self.log_var.to(mean) => (2 * self.log_var).to(mean)",
    check_full_gaussian: """
        - log_det => - 0.5 * log_det
        solve_triangular(L, columns => solve_triangular(L.mT, columns
        solve_triangular(L, off => solve_triangular(L.mT, off
        @ self.scale_tril.mT => .mT @ self.scale_tril
    """,
    check_cross_log_prob: """
        .mT.to(x.dtype) - F.softplus => .mT.to(x.dtype) + F.softplus
        self.log_weights + self.components => self.components
        torch.log_softmax(log_weights, -1) => torch.log_softmax(0 * log_weights, -1)
        torch.log_softmax(log_weights, -1) => log_weights
        torch.logsumexp(self.log_weights + self.components.cross_log_prob(x), -1) => \
            (self.log_weights.exp() * self.components.cross_log_prob(x)).sum(-1)
        torch.logsumexp(self.log_weights + self.components.cross_log_prob(x), -1) => \
            (lambda c: torch.logsumexp(self.log_weights[:, None] - 0.5 * (LOG_2PI + c.log_var \
            + (x.unsqueeze(-2) - c.mean) ** 2 * torch.exp(-c.log_var)), -2).sum(-1))(self.components)
    """,
    check_narrow_components_in_float32: """
        self.mean.double(), self.log_var.double(), x.double() => self.mean, self.log_var, x
    """,
    check_point: """
        self.rsample(shape).detach().clone() => self.rsample(shape)
        .detach().clone() => .detach()
        return self.mean.expand( => return 0.5 * self.mean.expand(
        raise NotImplementedError( "a point => return x.sum(-1)\\n        str(\\n            "a point
    """,
    check_half_precision_networks: ".to(torch.promote_types(output.dtype, given.dtype)) =>",
}
test_oracle, test_mutant_is_caught = oracle_tests((densities, MUTANTS))


# --- what a reader does wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    "x, message",
    [
        (torch.full((2, 3), 0.5), "binary pixels .* from 0.5 to 0.5"),
        (torch.tensor([[0.0, 1.0, float("nan")]]), "binary pixels"),
        (torch.tensor([[0, 255, 0]], dtype=torch.uint8), "binary pixels .* from 0 to 255"),
        (torch.full((2, 3), -1.0), "binary pixels"),
        (torch.zeros(2, 4), r"3 dimensions on the last axis, got shape \(2, 4\)"),
        (torch.tensor(1.0), r"3 dimensions on the last axis, got shape \(\)"),
    ],
    ids=["grey", "NaN", "bytes", "negative", "shape", "scalar"],
)
def test_bernoulli_says_what_is_wrong_with_x(x, message):
    with pytest.raises(ValueError, match=message) as error:
        densities.Bernoulli(torch.zeros(2, 3)).log_prob(x)
    assert len(str(error.value)) < 250 and "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.float32])
def test_bernoulli_takes_bits_of_any_type(dtype):
    logits, x = torch.tensor([[1.0, 2.0, -1.0]]), torch.tensor([[0.0, 1, 1]])
    found = densities.Bernoulli(logits).log_prob(x.to(dtype))
    close(found, td.Bernoulli(logits=logits).log_prob(x).sum(-1))


def test_kl_refuses_what_has_no_closed_form_and_what_would_broadcast():
    q = densities.Gaussian(torch.zeros(2, 3), torch.zeros(2, 3))
    mixture = densities.Mixture(torch.zeros(2), q)
    with pytest.raises(TypeError, match=r"KL\[Gaussian \|\| Mixture\].*sampling"):
        densities.kl(q, mixture)
    assert not densities.has_closed_form(q, mixture)
    with pytest.raises(ValueError, match="dimensions on the last axis"):
        densities.kl(q, densities.StandardGaussian(1))


def test_a_network_with_half_a_variance_is_refused():
    with pytest.raises(ValueError, match="a mean and a log-variance"):
        densities.GaussianConditional(torch.nn.Linear(4, 3))(torch.zeros(2, 4))


def test_the_standard_gaussian_moves_with_its_model_and_adds_nothing_to_its_weights():
    prior = densities.StandardGaussian(3).float()
    assert prior.sample().dtype == torch.float32 and prior.double().sample().dtype == torch.float64
    assert not prior.state_dict() and not list(prior.parameters())


def test_a_network_says_what_kind_of_numbers_it_takes():
    encoder = densities.GaussianConditional(torch.nn.Linear(3, 4))
    with pytest.raises(TypeError, match="expected real numbers, got torch.complex64"):
        encoder(torch.zeros(2, 3, dtype=torch.complex64))
    with pytest.raises(TypeError, match="expected a tensor, got ndarray"):
        encoder(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="on the device 'cpu', as the parameters are, got one on"):
        encoder(torch.zeros(2, 3, device="meta"))
    words = densities.GaussianConditional(torch.nn.Sequential(torch.nn.Embedding(5, 4)))
    found = words(torch.tensor([1, 4]))  # in the embedding's dtype, not in whole numbers
    close(torch.cat([found.mean, found.log_var], -1), words.net[0].weight[[1, 4]])
    with pytest.raises(ValueError, match="words as whole numbers, torch.int64, got torch.float64"):
        words(torch.tensor([1.0, 4.0]))


def test_a_network_of_any_linear_layers_says_how_many_numbers_it_takes():
    """One network, or many at once."""
    for net, wrong in (
        (mlp([3, 4, 2]), (5, 2)),
        (mlp([3, 4, 2], copies=4), (4, 5, 2)),
        (mlp([3, 2], spectral=True), (2,)),
    ):
        for kind in ("Point", "IsotropicGaussian", "Bernoulli"):
            with pytest.raises(
                ValueError, match="^expected vectors of 3 numbers on the last axis, got"
            ):
                getattr(densities, f"{kind}Conditional")(net)(torch.zeros(wrong))


def test_what_is_not_one_hot_is_refused_or_gives_nan():
    p = densities.Categorical(torch.randn(3))
    for wrong in ([0.0, 0, 0], [1.0, 1, 0], [0.5, 0.5, 0], [2.0, -1, 0], [math.nan, 0, 1]):
        y = torch.tensor([[0.0, 1, 0], wrong])
        with pytest.raises(
            ValueError, match="^expected one-hot vectors.*in 1 of 2 rows: F.one_hot"
        ):
            p.log_prob(y)
        found = torch.func.vmap(p.log_prob)(y)
        close(found[0], p.log_prob(y[0]))
        assert found[1].isnan()


def test_a_class_is_drawn_without_a_gradient_or_not_at_all():
    """Where one is asked for, a draw would leave it out without a word."""
    logits = torch.randn(4, 3, requires_grad=True)
    with pytest.raises(NotImplementedError, match="Categorical has no reparameterized sample"):
        densities.Categorical(logits).rsample_and_log_prob((2,))
    with torch.no_grad():
        p = densities.Categorical(logits)
        y, log_p = p.rsample_and_log_prob((2,))
    close(log_p, p.log_prob(y))
    assert densities.Categorical(logits.detach()).rsample_and_log_prob()[0].shape == (4, 3)
