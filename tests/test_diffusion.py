"""The diffusion model against what is known without it: the noise step by step, Bayes' rule on a
grid, exact Gaussian data.
"""

import math

import pytest
import torch
from oracles import assert_mean, close, oracle_tests
from torch.distributions import Normal

from dgmcourse.densities import Gaussian
from dgmcourse.models import diffusion
from dgmcourse.models.diffusion import Diffusion, NoiseNet, cosine_schedule, linear_schedule

MEAN, STD = torch.tensor([0.7, -1.2]).double(), torch.tensor([0.5, 1.6]).double()


pytestmark = pytest.mark.usefixtures("float64")


def exact_noise(z, log_snr):
    """E[noise | z] where x is N(MEAN, STD^2): what no network can beat."""
    alpha2, sigma2 = torch.sigmoid(log_snr), torch.sigmoid(-log_snr)
    return sigma2.sqrt() * (z - alpha2.sqrt() * MEAN) / (alpha2 * STD**2 + sigma2)


def of_gaussian(schedule, module=diffusion, noise=exact_noise):
    return module.Diffusion(noise, 2, schedule)


def small_net():
    return NoiseNet(2, (16, 16)).double()


# ---- the encoder: it adds noise


def check_steps_add_up(module):
    """q(z_t|x) is what t single steps make: means and variances composed one by one, without
    alpha_t.
    """
    model = of_gaussian(cosine_schedule(7).double(), module)
    x = torch.tensor([[1.5, -0.4]])
    first = model.encoder(x, 1)
    mean, var = first.mean, first.log_var.exp()
    for t in range(2, 8):
        kept = model.step(torch.ones(1, 2), t)
        mean, var = kept.mean * mean, kept.mean**2 * var + kept.log_var.exp()
        close(model.encoder(x, t).mean, mean)
        close(model.encoder(x, t).log_var.exp(), var)


def test_a_simulated_walk_ends_where_the_formula_says():
    model, x = of_gaussian(linear_schedule(12, 4, -3)), torch.tensor([1.5, -0.4])
    z = model.encoder(x.expand(40_000, 2), 1).sample()
    for t in range(2, 13):
        z = model.step(z, t).sample()
    end = model.encoder(x, 12)
    assert_mean(z, end.mean)
    assert_mean((z - end.mean) ** 2, end.log_var.exp())


def test_schedules_are_the_ones_that_were_meant():
    model = of_gaussian(linear_schedule(5, 8, -8))
    log_snr, alpha, sigma = model.at(torch.tensor([1, 3, 5]))
    close(log_snr[:, 0], [8.0, 0.0, -8.0])
    close(alpha**2 + sigma**2, torch.ones(3, 1))
    close(alpha[1], [math.sqrt(0.5)])
    close((alpha / sigma)[:, 0].log() * 2, [8.0, 0.0, -8.0])
    cosine = of_gaussian(cosine_schedule(5, 0.1).double())
    close(
        cosine.at(torch.arange(1, 6))[1][:, 0],
        torch.cos(math.pi / 2 * torch.linspace(0.1, 0.9, 5)),
        atol=1e-6,
    )


# ---- one layer: Bayes' rule, and its KL


def check_bayes(module):
    """q(z_{t-1}|z_t, x) is q(z_t|z_{t-1}) q(z_{t-1}|x), normalised over a grid of z_{t-1}."""
    model = of_gaussian(torch.tensor([3.0, 1.0, -0.2, -2.0]), module)
    grid = torch.linspace(-6, 6, 4001)
    for t, x, z in ((2, 1.1, 0.3), (3, -0.8, 0.9), (4, 2.0, -1.7)):
        below = model.encoder(torch.full((1, 2), x), t - 1)
        prior = Normal(below.mean[0, 0], (below.log_var[0, 0] / 2).exp()).log_prob(grid)
        kept = model.at(t)[1] / model.at(t - 1)[1]
        likelihood = Normal(kept * grid, (1 - kept**2).sqrt()).log_prob(torch.tensor(z))
        weights = torch.softmax(prior + likelihood, 0)
        mean = (weights * grid).sum()
        var = (weights * (grid - mean) ** 2).sum()
        found = model.posterior(torch.full((1, 2), z), torch.full((1, 2), x), t)
        close(found.mean, mean.expand(1, 2), rtol=1e-6)
        close(found.log_var.exp(), var.expand(1, 2), rtol=1e-6)


def test_bayes_rule_keeps_its_digits_where_neighbours_are_nearly_alike():
    log_snr = torch.linspace(8, -8, 1000)
    exact, rounded = (
        Diffusion(exact_noise, 2, log_snr.to(kind)) for kind in (torch.float64, torch.float32)
    )
    x, z = torch.randn(2, 5, 2)
    for t in (2, 500, 1000):
        a, b = exact.posterior(z, x, t), rounded.posterior(z.float(), x.float(), t)
        close(b.log_var, a.log_var, atol=2e-4)
        assert a.log_var.isfinite().all()


def check_layers_are_weighted_errors(module):
    """A layer's KL is (SNR_{t-1} - SNR_t) / 2 times the squared error of x, or (1/r - 1) / 2 times
    that of the noise.
    """
    torch.manual_seed(0)
    model, x = (
        of_gaussian(torch.tensor([3.0, 1.0, -0.2, -2.0]), module, small_net()),
        torch.randn(3, 2),
    )
    snr = model.log_snr.exp()
    for t in (2, 3, 4):
        torch.manual_seed(t)
        found = model.layer_kl(x, t)
        torch.manual_seed(t)
        z = model.encoder(x, t).sample()
        _, alpha, sigma = model.at(t)
        by_x = 0.5 * (snr[t - 2] - snr[t - 1]) * ((x - model.denoise(z, t)) ** 2).sum(-1)
        error = (z - alpha * x) / sigma - model.noise(z, model.at(t)[0])
        close(found, by_x)
        close(found, 0.5 * (snr[t - 2] / snr[t - 1] - 1) * (error**2).sum(-1))


# ---- the bound


def log_p(x):
    return Normal(MEAN, STD).log_prob(x).sum(-1)


def exact_bound(schedule, mean=MEAN, std=STD):
    """The bound's expectation over x for exact_noise, nats, in closed form: a posterior variance
    for each layer.
    """
    snr, var = schedule.exp(), std**2
    left = lambda s: var / (1 + s * var)  # noqa: E731 - Var[x | z_t], whose mean the guess is
    layers = 0.5 * ((snr[:-1] - snr[1:])[:, None] * left(snr[1:, None])).sum()
    reconstruction = -0.5 * (math.log(2 * math.pi) - schedule[0] + snr[0] * left(snr[0])).sum()
    alpha2, sigma2 = torch.sigmoid(schedule[-1]), torch.sigmoid(-schedule[-1])
    top = 0.5 * (alpha2 * (mean**2 + var) + sigma2 - 1 - sigma2.log()).sum()
    return (reconstruction - layers - top).item()


ENTROPY = -Normal(MEAN, STD).entropy().sum().item()  # E[log p(x)]


@pytest.mark.parametrize("layers", [2, 5, 20])
def test_the_bound_of_exact_gaussian_data_is_what_integration_gives(layers):
    model, x = of_gaussian(linear_schedule(layers, 7, -7)), MEAN + STD * torch.randn(20_000, 2)
    expected = exact_bound(model.log_snr)
    assert_mean(model.elbo(x), expected)
    assert expected < ENTROPY


def test_with_more_layers_the_bound_comes_near_the_log_density_and_stays_below():
    gaps = [
        ENTROPY - exact_bound(linear_schedule(layers, 9, -9))
        for layers in (2, 4, 16, 64, 256, 1024)
    ]
    assert (
        all(a > 1.9 * b > 0 for a, b in zip(gaps[2:], gaps[3:], strict=False)) and gaps[-1] < 0.1
    ), gaps
    x = MEAN + STD * torch.randn(500, 2)
    model = of_gaussian(linear_schedule(256, 9, -9))
    gap = log_p(x) - model.elbo(x)
    assert_mean(gap, gaps[4])


def check_one_random_layer_estimates_the_sum(module):
    """The objective's mean over layers drawn at random is the bound with all layers; a sum, not a
    mean over them.
    """
    torch.manual_seed(0)
    model, x = of_gaussian(linear_schedule(6, 5, -1), module), MEAN + STD * torch.randn(60_000, 2)
    value, parts = model.objective(x)
    assert value.shape == (60_000,)
    assert_mean(value, exact_bound(model.log_snr))
    close(value, parts["reconstruction"] - parts["kl"])
    close(parts["elbo"], value)
    close(model.objective(x[:3], beta=0.0)[0].shape, torch.Size([3]))
    assert (parts["kl"].mean() > 0) and parts["kl"].mean() < 20


def test_beta_weighs_what_is_charged_and_not_what_is_reported():
    model, x = of_gaussian(linear_schedule(6, 5, -5)), torch.randn(4, 2)
    value, parts = model.objective(x, beta=0.3)
    close(value, parts["reconstruction"] - 0.3 * parts["kl"])


def check_noise_objective(module):
    """Minus the squared error of the noise, its expectation by the exact net: the sum over
    dimensions, mean over layers.
    """
    torch.manual_seed(0)
    schedule = linear_schedule(4, 3, -3)
    model, x = of_gaussian(schedule, module), MEAN + STD * torch.randn(60_000, 2)
    snr = schedule.exp()[:, None]
    expected = -(snr * STD**2 / (1 + snr * STD**2)).sum(-1).mean()  # Var[noise|z] = SNR Var[x|z]
    value, _ = model.noise_objective(x)
    assert_mean(value, expected)


def test_the_best_network_is_the_same_for_both_objectives():
    """Of a scaled exact answer, factor 1 is best: by the bound and by the noise."""
    x = MEAN + STD * torch.randn(20_000, 2)
    for name in ("objective", "noise_objective"):
        worth = []
        for factor in (0.8, 1.0, 1.2):
            torch.manual_seed(1)
            model = of_gaussian(
                linear_schedule(8, 4, -6), noise=lambda z, s, f=factor: f * exact_noise(z, s)
            )
            worth.append(getattr(model, name)(x)[0].mean())
        assert worth[1] > worth[0] and worth[1] > worth[2]


# ---- drawing


def check_samples(module):
    """With the exact net and many layers, the walk back ends in the data's mean and covariance."""
    torch.manual_seed(0)
    model = of_gaussian(linear_schedule(200, 8, -8), module)
    x = model.sample(5000)
    assert x.shape == (5000, 2)
    assert_mean(x, MEAN, 5)
    relative = (x.mT.cov() - torch.diag(STD**2)) / torch.outer(STD, STD)
    # 200 layers are coarse by 4 %, and 5,000 draws have an error of 2 %
    assert relative.abs().max() < 0.1, relative


def check_walk(module):
    model = of_gaussian(linear_schedule(5), module)
    steps = [(t, z.shape) for t, z in model.walk(3)]
    assert steps == [(t, (3, 2)) for t in (5, 4, 3, 2, 1, 0)]


MUTANTS = {
    check_steps_add_up: """
        torch.log1p(-(kept**2)) => torch.log1p(-kept)
        alpha * check_event => alpha**2 * check_event
    """,
    check_bayes: """
        new.log() + F.logsigmoid(-log_snr_below) => new.log() + F.logsigmoid(-log_snr)
        new.log() + F.log => F.log
        r * z / alpha + new * x => r * z + new * x
    """,
    check_layers_are_weighted_errors: """
        (z - sigma * self.noise => (z + sigma * self.noise
        guess, t) => z, t)
    """,
    check_one_random_layer_estimates_the_sum: """
        (self.layers - 1) * self.layer_kl => self.layer_kl
        reconstruction - beta * regulariser, => reconstruction + beta * regulariser,
        layers + kl( => layers - kl(
        randint(2, self.layers + 1 => randint(2, self.layers
    """,
    check_noise_objective: """
        ** 2).sum(-1) => ** 2).mean(-1)
        value = -(( => value = ((
    """,
    check_samples: """
        new.log() + F.logsigmoid => 2 * new.log() + F.logsigmoid
        guess, -self.at(1)[0]) => guess, self.at(1)[0])
    """,
    check_walk: "range(self.layers, 0, -1) => range(self.layers, 1, -1)",
}
test_oracle, test_mutant_is_caught = oracle_tests((diffusion, MUTANTS))


# ---- the rest


def test_the_network_learns_in_both_ways():
    from dgmcourse.train import fit

    x = MEAN + STD * torch.randn(500, 2)
    for name in ("objective", "noise_objective"):
        torch.manual_seed(0)
        model = of_gaussian(linear_schedule(20, 5, -5), noise=NoiseNet(2, (32,)).double())
        before = model.elbo(x).mean()
        fit(model, x, epochs=30, lr=1e-2, objective=getattr(model, name), progress=False)
        after = model.elbo(x).mean()
        assert (
            exact_bound(model.log_snr) - 0.3 < after < exact_bound(model.log_snr) + 0.3
            and after > before + 1
        )


def test_the_network_sees_the_layer():
    net = small_net()
    z = torch.randn(3, 2)
    assert not torch.allclose(net(z, torch.tensor([[2.0]])), net(z, torch.tensor([[-2.0]])))
    each = torch.tensor([[2.0], [-2.0], [0.0]])
    close(net(z, each)[1], net(z[1:2], torch.tensor([-2.0]))[0])


def test_rows_may_be_at_layers_of_their_own():
    model, x = of_gaussian(linear_schedule(5, 3, -3)), torch.randn(2, 2)
    both = model.posterior(x, 2 * x, torch.tensor([2, 5]))
    for row, t in enumerate((2, 5)):
        one = model.posterior(x[row], 2 * x[row], t)
        close(both.mean[row], one.mean)
        close(both.log_var[row], one.log_var)


def test_bad_input_is_named_in_a_sentence():
    for wrong in (
        torch.tensor([1.0, 2.0]),
        torch.tensor([1.0]),
        torch.tensor(1.0),
        torch.tensor([2.0, 2.0]),
    ):
        with pytest.raises(ValueError, match="falling"):
            Diffusion(exact_noise, 2, wrong)
    with pytest.raises(ValueError, match="2 dimensions"):
        of_gaussian(linear_schedule(5)).objective(torch.randn(4, 3))


@pytest.mark.parametrize("t", [0, 11, torch.tensor(0), torch.tensor([3, 11])])
def test_there_is_no_layer_below_the_first_and_none_above_the_last(t):
    model = Diffusion(small_net(), 2, linear_schedule(10))
    with pytest.raises(ValueError, match="from 1 to 10"):
        model.encoder(torch.zeros(2, 2), t)


def test_no_step_leads_below_the_first_layer():
    model, x = Diffusion(small_net(), 2, linear_schedule(10)), torch.zeros(2, 2)
    for below in (
        model.layer_kl,
        model.step,
        lambda z, t: model.posterior(z, z, t),
        lambda z, t: model.decoder(z, torch.tensor([t, 5])),
    ):
        with pytest.raises(ValueError, match="from 1 to 10"):
            below(x, 1)


def test_a_covariance_that_no_single_layer_has():
    """Correlated data with their own exact net: the walk draws the covariance, and the bound is
    that along its axes.
    """
    values, axes = torch.tensor([1.8, 0.2]), torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / math.sqrt(2)

    def noise(z, log_snr):
        return (
            torch.sigmoid(-log_snr).sqrt()
            * (z @ axes / (torch.sigmoid(log_snr) * values + torch.sigmoid(-log_snr)))
            @ axes.mT
        )

    model = Diffusion(noise, 2, linear_schedule(100, 7, -7))
    found = model.sample(5000).mT.cov()
    assert (
        found - torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    ).abs().max() < 0.15  # 100 layers draw a little too narrowly
    x = values.sqrt() * torch.randn(2000, 2) @ axes.mT
    assert_mean(model.elbo(x), exact_bound(model.log_snr, torch.zeros(2), values.sqrt()))


def test_a_layer_is_a_gaussian_of_the_course():
    model = of_gaussian(linear_schedule(5, 3, -3))
    for density in (
        model.encoder(torch.randn(4, 2), 3),
        model.decoder(torch.randn(4, 2), 3),
        model.decoder(torch.randn(4, 2), 1),
    ):
        assert isinstance(density, Gaussian) and density.log_prob(torch.randn(4, 2)).shape == (4,)
