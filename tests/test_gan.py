"""The GAN against float64 by hand, and its optimal discriminator against the ratio of two known
densities.
"""

import math

import numpy as np
import pytest
import torch
from oracles import Codes, close, oracle_tests
from scipy import integrate, optimize, special, stats
from torch import nn

from dgmcourse.densities import StandardGaussian
from dgmcourse.models import gan
from dgmcourse.networks import mlp

pytestmark = pytest.mark.usefixtures("float64")


class Quadratic(nn.Module):
    """a + b x + c x^2: the logit that tells two Gaussians on a line from one another."""

    def __init__(self):
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return (torch.cat([torch.ones_like(x), x, x**2], -1) @ self.coefficients).unsqueeze(-1)


def logits_game(gan, fake, saturating=False):
    """A game in which a point is its own logit."""
    return gan.GAN(Codes(torch.as_tensor(fake)[:, None]), nn.Identity(), nn.Identity(), saturating)


def net_game(gan, saturating=False):
    return gan.GAN(StandardGaussian(3), mlp([3, 8, 2]), mlp([2, 8, 1], gan.leaky), saturating)


REAL = [-800.0, -40.0, -1.5, 0.0, 0.3, 40.0, 800.0]
FAKE = [800.0, -800.0, 0.7, -2.0, 0.0, 40.0, -40.0]

# --- oracles -------------------------------------------------------------------------------------


def check_discriminator_objective(gan):
    """log D(x) + log(1 - D(G(z))) of logits as large as they come, and its slope in them."""
    real = torch.tensor(REAL, requires_grad=True)
    game = logits_game(gan, FAKE)
    value, parts = game.discriminator_objective(real[:, None])
    expected = -np.logaddexp(0, -np.array(REAL)) - np.logaddexp(0, FAKE)
    close(value, expected)
    assert set(parts) == {"discriminator", "real", "fake"}
    close(parts["discriminator"], expected)
    close(parts["real"], special.expit(REAL))
    close(parts["fake"], special.expit(FAKE))
    close(torch.autograd.grad(value.sum(), real)[0], special.expit(-np.array(REAL)))


def check_generator_objective(gan):
    """log D(G(z)), with slope 1 - D; saturating: -log(1 - D(G(z))), with slope D, which is the
    min-max game's own.
    """
    x = torch.zeros(len(FAKE), 1)
    for saturating, expected, slope in (
        (False, -np.logaddexp(0, -np.array(FAKE)), special.expit(-np.array(FAKE))),
        (True, np.logaddexp(0, FAKE), special.expit(FAKE)),
    ):
        game = logits_game(gan, FAKE, saturating)
        game.prior.z.requires_grad_()
        value, parts = game.generator_objective(x)
        close(value, expected)
        close(parts["generator"], expected)
        close(torch.autograd.grad(value.sum(), game.prior.z)[0][:, 0], slope)


def check_saturating_is_the_minmax_game(gan):
    """What the generator gains the discriminator loses: the sum of both objectives is log D(x),
    which no generator moves. The other generator's gradient points the same way and is (1 - D) / D
    times as long: much longer where D is small.
    """
    games = [net_game(gan, saturating) for saturating in (True, False)]
    games[1].load_state_dict(games[0].state_dict())
    with torch.no_grad():  # the discriminator is sure of every fake
        for game in games:
            game.discriminator[-1].bias.fill_(-9.0)
    x, z = torch.randn(1, 2), torch.randn(1, 3)
    gradients = []
    for game in games:
        game.prior = Codes(z)
        value, _ = game.generator_objective(x)
        gradients.append(
            torch.cat(
                [g.flatten() for g in torch.autograd.grad(value.sum(), game.generator.parameters())]
            )
        )
    game = games[0]
    close(
        game.discriminator_objective(x)[0] + game.generator_objective(x)[0],
        nn.functional.logsigmoid(game.discriminator(x)[:, 0]),
    )
    odds = torch.exp(-game.discriminator(game.generator(z)))[0, 0]
    assert odds > 100
    close(gradients[1], odds * gradients[0])


def check_sides(gan):
    """No gradient of the discriminator's objective in the generator; the generator's reaches both
    networks.
    """
    game = net_game(gan)
    x = torch.randn(5, 2)
    game.discriminator_objective(x)[0].sum().backward()
    assert all(p.grad is None for p in game.generator.parameters())
    assert all(p.grad is not None and p.grad.any() for p in game.discriminator.parameters())
    game.zero_grad()
    game.generator_objective(x)[0].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in game.generator.parameters())


P, Q = stats.norm(0.0, 1.0), stats.norm(1.2, 0.7)


def quantiles(of, n=5000):
    """Points that lie as the distribution does: a mean over them is an integral, but for the
    outermost.
    """
    return torch.from_numpy(of.ppf((np.arange(n) + 0.5) / n))[:, None]


def check_optimal_discriminator(gan):
    """Where it is best, its logit is log p/q, and its objective is -2 log 2 + 2 JS(p, q): by
    quadrature.
    """
    game = gan.GAN(Codes(quantiles(Q)), nn.Identity(), Quadratic())
    x = quantiles(P)
    coefficients = game.discriminator.coefficients

    def loss(values):
        with torch.no_grad():
            coefficients.copy_(torch.from_numpy(values))
        value = -game.discriminator_objective(x)[0].mean()
        return value.item(), torch.autograd.grad(value, coefficients)[0].numpy()

    best = optimize.minimize(loss, np.zeros(3), jac=True, tol=1e-7)
    at = torch.linspace(-2.5, 3.0, 50)[:, None]
    with torch.no_grad():
        close(
            game.logit(at), torch.from_numpy(P.logpdf(at) - Q.logpdf(at))[:, 0], rtol=0, atol=0.03
        )
        close(
            game.logit(at).sigmoid(),
            torch.from_numpy(P.pdf(at) / (P.pdf(at) + Q.pdf(at)))[:, 0],
            rtol=0,
            atol=2e-3,
        )

    def relative_entropy(p, q):
        return integrate.quad(
            lambda t: p.pdf(t) * (p.logpdf(t) - np.log((p.pdf(t) + q.pdf(t)) / 2)), -9, 9, limit=200
        )[0]

    jensen_shannon = 0.5 * relative_entropy(P, Q) + 0.5 * relative_entropy(Q, P)
    close(-best.fun, -2 * math.log(2) + 2 * jensen_shannon, rtol=0, atol=2e-4)
    assert 0.1 < jensen_shannon < math.log(2)


MUTANTS = {
    check_discriminator_objective: """
        F.logsigmoid(real) + =>
        F.logsigmoid(real) => real.sigmoid().log()
        F.logsigmoid(-fake) return value, {"disc => (1 - fake.sigmoid()).log()\\n        return value, {"disc
        F.logsigmoid(real) + F.logsigmoid(-fake) => (F.logsigmoid(real) + F.logsigmoid(-fake)) / 2
        real.sigmoid(), "fake": fake => fake.sigmoid(), "fake": real
        "real": real.sigmoid() => "real": real
    """,
    check_saturating_is_the_minmax_game: """
        F.logsigmoid(-fake) return value, {"disc => F.logsigmoid(fake)\\n        return value, {"disc
    """,
    check_optimal_discriminator: "F.logsigmoid(real) => F.logsigmoid(-real)",
    check_generator_objective: """
        if self.saturating => if True
        if self.saturating => if False
        else F.logsigmoid(fake) => else F.logsigmoid(-fake)
    """,
    check_sides: """
        with torch.no_grad():  # in => if True:  # in
        fake = self.logit(self.make(x)) => fake = self.logit(self.make(x).detach())
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((gan, MUTANTS))


# --- a model to look at, and small promises ------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_logit_is_too_large(dtype):
    """In half the digits, too: no infinity and no gradient that is not a number."""
    for saturating in (False, True):
        game = logits_game(gan, FAKE, saturating).to(dtype)
        game.prior.z = game.prior.z.to(dtype).requires_grad_()
        real = torch.tensor(REAL, dtype=dtype)[:, None].requires_grad_()
        for value, _ in (game.discriminator_objective(real), game.generator_objective(real)):
            assert value.isfinite().all() and value.dtype == dtype
            gradients = torch.autograd.grad(
                value.sum(), (real, game.prior.z), materialize_grads=True
            )
            assert all(g.isfinite().all() for g in gradients)


def test_as_a_model_to_look_at_it_has_a_prior_and_a_decoder():
    game = net_game(gan)
    z = torch.randn(4, 5, 3)
    close(game.decoder(z).mean, game.generator(z))
    close(game.decoder(z).sample((2,)), game.generator(z).expand(2, 4, 5, 2))
    with pytest.raises(NotImplementedError, match="implicit model"):
        game.decoder(z).log_prob(torch.zeros(2))
    with pytest.raises(ValueError, match="expected vectors of 3 numbers"):
        game.decoder(torch.zeros(4, 2))
    torch.manual_seed(3)
    x = game.sample(6)
    torch.manual_seed(3)
    close(x, game.generator(torch.randn(6, 3)))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.zeros(5, 3), r"expected vectors of 2 numbers on the last axis, got shape \(5, 3\)"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_a_sentence(x, said):
    for judge in (net_game(gan).logit, net_game(gan).discriminator_objective):
        with pytest.raises(ValueError, match=said) as error:
            judge(x)
        assert "\n" not in str(error.value)


def test_copies_of_a_game_are_as_many_games():
    """Objectives (copies, B): each row is what a game alone says, and its gradient is that
    game's.
    """
    many = gan.GAN(
        StandardGaussian(3), mlp([3, 8, 2], copies=4), mlp([2, 8, 1], gan.leaky, copies=4)
    )
    alone = [net_game(gan) for _ in range(4)]
    x, z = torch.randn(4, 6, 2), torch.randn(4, 6, 3)
    many.prior = Codes(z)
    value, _ = many.discriminator_objective(x)
    made, _ = many.generator_objective(x)
    assert value.shape == made.shape == (4, 6)
    for k, game in enumerate(alone):
        game.prior = Codes(z[k])
        with torch.no_grad():
            for p, ours in zip(game.parameters(), many.parameters(), strict=True):
                p.copy_(ours[k])
        close(value[k], game.discriminator_objective(x[k])[0])
        close(made[k], game.generator_objective(x[k])[0])


def test_the_gan_of_images():
    game = gan.ImageGAN(latent_dim=5, hidden=16, saturating=True).train()
    assert game.saturating and not gan.ImageGAN(5, 16).saturating
    x = game.sample(7)
    assert x.shape == (7, 784) and 0 <= x.min() and x.max() <= 1 and x.std() > 0.01
    assert not torch.equal(game.logit(x), game.logit(x))  # units are left out at random
    z = torch.randn(3, 5)
    assert torch.equal(game.generator(z), game.generator(z))
    game.eval()
    assert torch.equal(game.logit(x), game.logit(x)) and game.logit(x).shape == (7,)
    assert [tuple(p.shape) for p in game.generator.parameters() if p.dim() == 2] == [
        (16, 5),
        (32, 16),
        (784, 32),
    ]
    assert [tuple(p.shape) for p in game.discriminator.parameters() if p.dim() == 2] == [
        (32, 784),
        (16, 32),
        (1, 16),
    ]
