"""The Wasserstein GAN against independent truth: the exact earth-mover distance, derivatives by
hand, singular values.
"""

import copy

import pytest
import torch
from oracles import close, mutant, oracle_tests
from scipy.stats import wasserstein_distance
from torch import nn

from dgmcourse import play as playing
from dgmcourse.densities import StandardGaussian
from dgmcourse.models import wasserstein_gan
from dgmcourse.models.wasserstein_gan import WassersteinGAN, gradient_penalty
from dgmcourse.networks import ManyLinear, mlp
from dgmcourse.play import Players, play

pytestmark = pytest.mark.usefixtures("float64")


def affine(shift, scale, copies=None):
    """A generator that turns N(0, 1) into N(shift, scale^2)."""
    layer = ManyLinear(1, 1, copies)
    layer.weight.data.fill_(scale), layer.bias.data.fill_(shift)
    return layer


# ---- the critic against the exact distance, in one dimension

PAIRS = [
    (2.0, 1.0),
    (-0.7, 0.5),
    (0.0, 2.0),
]  # mean and standard deviation of the fakes; the data are N(0, 1)


def estimates(shift, scale, width=1.0, steps=300, spectral=False, **kind):
    """The critic's estimate after training, the exact distance of the same points, and the critic's
    steepest slope.
    """
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)  # twice as fast; the judgement below is in float64
    critic = mlp([1, 32, 32, 1], lambda: nn.LeakyReLU(0.2), spectral=spectral)
    game = WassersteinGAN(StandardGaussian(1), affine(shift, scale), critic, **kind)
    players = Players(game, 5e-3)
    for _ in range(steps):
        players.discriminator_step(width * torch.randn(128, 1))
    game.eval().double()
    torch.set_default_dtype(torch.float64)
    with torch.no_grad():
        real, fake = width * torch.randn(10_000, 1), shift + scale * torch.randn(10_000, 1)
        estimate = (game.logit(real).mean() - game.logit(fake).mean()).item()
        line = torch.linspace(-8, 8, 4001)[:, None]
        slope = (game.logit(line).diff().abs().max() / (line[1] - line[0])).item()
    return estimate, wasserstein_distance(real[:, 0].numpy(), fake[:, 0].numpy()), slope


@pytest.mark.parametrize("penalty", [4.0, 10.0])
@pytest.mark.parametrize("shift", [2.0, -1.0])
def test_with_a_penalty_the_critic_of_shifted_data_has_the_slope_of_the_formula(shift, penalty):
    """A slope g on the way from narrow bump to narrow bump is worth g W - lambda (g - 1)^2, most at
    g = 1 + W / (2 lambda).
    """
    estimate, exact, slope = estimates(shift, 0.1, width=0.1, penalty=penalty)
    assert exact == pytest.approx(abs(shift), rel=0.05)  # the points' distance is the densities'
    assert estimate == pytest.approx(exact * (1 + exact / (2 * penalty)), rel=0.1)
    assert estimate <= slope * exact + 1e-9


@pytest.mark.parametrize(("shift", "scale"), PAIRS)
def test_a_spectrally_normalised_critic_is_a_lower_bound(shift, scale):
    estimate, exact, slope = estimates(shift, scale, spectral=True)
    assert slope <= 1 + 1e-3  # one step of power iteration a pass follows with a little delay
    assert estimate <= slope * exact + 1e-9
    if scale == 1.0:
        assert estimate == pytest.approx(exact, rel=0.02)
    else:  # a critic that has to fold loses, at most half
        assert estimate > 0.4 * exact


@pytest.mark.parametrize(("shift", "scale"), PAIRS)
def test_a_clipped_critic_has_the_distance_times_its_slope_at_most(shift, scale):
    estimate, exact, slope = estimates(shift, scale, clip=0.2)
    # three layers of weights c: c sqrt(32) * c 32 * c sqrt(32) at most
    assert slope <= 0.2**3 * 32 * 32 + 1e-6
    assert 0.3 * slope * exact < estimate <= slope * exact + 1e-9


# ---- the objectives


def check_objectives(module):
    torch.manual_seed(3)
    weight, bias = torch.tensor([[0.5, -2.0]]), torch.tensor([0.3])
    critic = nn.Linear(2, 1)
    critic.weight.data.copy_(weight), critic.bias.data.copy_(bias)
    game = module.WassersteinGAN(StandardGaussian(2), nn.Linear(2, 2), critic)
    x = torch.randn(6, 2)
    torch.manual_seed(1)
    value, parts = game.discriminator_objective(x)
    torch.manual_seed(1)
    fake = game.generator(game.prior.sample((6,)))
    close(value, (x - fake.detach()) @ weight[0])  # the bias cancels
    close(parts["distance"], value)
    value.sum().backward()
    assert all(p.grad is None for p in game.generator.parameters()), (
        "in the critic's turn the generator stands still"
    )
    torch.manual_seed(1)
    value, _ = game.generator_objective(x)
    close(value, fake @ weight[0] + 0.3)
    (slope,) = torch.autograd.grad(value.sum(), [game.generator.bias])
    close(slope, 6 * weight[0])  # a linear critic pulls every fake the same way, however far it is


def check_penalty_is_subtracted(module):
    critic = nn.Linear(2, 1)
    critic.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    game = module.WassersteinGAN(StandardGaussian(2), nn.Linear(2, 2), critic, penalty=10.0)
    value, parts = game.discriminator_objective(torch.randn(5, 2))
    close(parts["distance"] - value, torch.full((5,), 10.0 * (5 - 1) ** 2))


def check_clip(module):
    generator = mlp([2, 2])
    makers = copy.deepcopy(generator.state_dict())
    game = module.WassersteinGAN(StandardGaussian(2), generator, mlp([2, 8, 1]), clip=0.1)
    assert largest(game) <= 0.1, "from the start"
    with torch.no_grad():
        for p in game.discriminator.parameters():
            p.copy_(torch.linspace(-0.3, 0.3, p.numel()).reshape(p.shape))
    before = [p.clone() for p in game.discriminator.parameters()]
    game.constrain()
    for p, was in zip(game.discriminator.parameters(), before, strict=True):
        close(p, torch.where(was > 0.1, 0.1, torch.where(was < -0.1, -0.1, was)))
    for name, p in game.generator.state_dict().items():
        close(p, makers[name])


# ---- the gradient penalty


def test_a_linear_critic_has_the_penalty_of_its_slope_and_its_derivative():
    for weight in ([3.0, 4.0], [0.1, -0.2], [0.6, 0.8]):
        critic = nn.Linear(2, 1)
        critic.weight.data.copy_(w := torch.tensor([weight]))
        value = gradient_penalty(critic, torch.randn(7, 2), torch.randn(7, 2))
        close(value, torch.full((7,), (w.norm().item() - 1) ** 2))
        (slope,) = torch.autograd.grad(value.mean(), [critic.weight])
        close(slope, 2 * (w.norm() - 1) * w / w.norm())


class Quadratic(nn.Module):
    """D(x) = x^T A x / 2, whose gradient at x is A x; it remembers where it was asked."""

    def __init__(self, A):
        super().__init__()
        self.A = A

    def forward(self, x):
        self.asked = x.detach()
        return (x * (x @ self.A)).sum(-1, keepdim=True) / 2


def check_between(module):
    """The points lie between real and fake, at a place of its own for each pair, and the value is
    that of A x.
    """
    torch.manual_seed(0)
    critic = Quadratic(torch.tensor([[2.0, 0.5], [0.5, -1.0]]))
    real, fake = torch.randn(500, 2), torch.randn(500, 2) + 5
    value = module.gradient_penalty(critic, real, fake)
    share = (critic.asked - real) / (fake - real)
    close(share[:, 0], share[:, 1], atol=1e-8)
    assert share.min() >= -1e-9 and share.max() <= 1 + 1e-9
    assert share[:, 0].mean().item() == pytest.approx(0.5, abs=0.05)
    assert share[:, 0].std().item() == pytest.approx(12**-0.5, abs=0.03)
    close(value, ((critic.asked @ critic.A).norm(dim=-1) - 1) ** 2)


def check_second_derivative(module):
    """The penalty's gradient with respect to the critic's weights, against central differences of
    differences.
    """
    torch.manual_seed(0)
    critic = mlp([2, 6, 1], nn.Tanh)
    points = torch.randn(4, 2)

    def by_differences(h=1e-5):
        with torch.no_grad():
            slope = [
                (critic(points + h * e) - critic(points - h * e)) / (2 * h) for e in torch.eye(2)
            ]
            return (((torch.cat(slope, 1) ** 2).sum(1).sqrt() - 1) ** 2).sum()

    value = module.gradient_penalty(
        critic, points, points
    ).sum()  # real = fake: the place between them is known
    close(value, by_differences(), rtol=1e-6)
    assert value.requires_grad, "a penalty without a gradient corrects nothing"
    weight = critic[0].weight
    (slope,) = torch.autograd.grad(value, [weight])
    for i in range(6):
        for j in range(2):
            with torch.no_grad():
                weight[i, j] += 1e-4
                above = by_differences()
                weight[i, j] -= 2e-4
                below = by_differences()
                weight[i, j] += 1e-4
            close(slope[i, j], (above - below) / 2e-4, rtol=1e-3, atol=1e-4)


MUTANTS = {
    check_objectives: """
        self.logit(x) - self.logit(fake) => self.logit(x) + self.logit(fake)
        self.logit(x) - self.logit(fake) => self.logit(fake) - self.logit(x)
        with torch.no_grad(): fake => if True:\\n            fake
        value = self.logit(self.make(x)) => value = -self.logit(self.make(x))
    """,
    check_penalty_is_subtracted: """
        distance - self.penalty * penalty => distance + self.penalty * penalty
        - 1) ** 2 => ) ** 2
    """,
    check_clip: """
        -self.clip, self.clip => 0.0, self.clip
        self.discriminator.parameters() => self.parameters()
    """,
    check_between: """
        share * real + (1 - share) * fake => real
        share * real + (1 - share) * fake => real + share * fake
        torch.rand(*real.shape[:-1], 1, => torch.rand(1,
        torch.rand(*real.shape[:-1], 1, => torch.rand(*real.shape,
        gradient.norm(dim=-1) => gradient.abs().sum(-1)
    """,
    check_second_derivative: """
        create_graph=True => create_graph=False
        gradient.norm(dim=-1) => gradient.detach().norm(dim=-1)
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((wasserstein_gan, MUTANTS))


def test_a_critic_that_says_the_same_everywhere_is_charged_in_full_and_without_nan():
    critic = mlp([2, 4, 1])
    for p in critic.parameters():
        nn.init.zeros_(p)
    value = gradient_penalty(critic, torch.randn(3, 2), torch.randn(3, 2))
    close(value, torch.ones(3))
    assert all(
        g.isfinite().all()
        for g in torch.autograd.grad(value.sum(), list(critic.parameters()), allow_unused=True)
        if g is not None
    )


@pytest.mark.parametrize(
    ("sizes", "real", "fake", "sentence"),
    [
        ([2, 4, 1], (5, 2), (4, 2), "each real has its fake"),
        ([2, 4, 1], (5, 2), (1, 2), "each real has its fake"),  # which would broadcast
        ([2, 4, 1], (5, 3), (5, 3), "expected vectors of 2 numbers"),
        ([2, 4, 2], (5, 2), (5, 2), "one number"),
    ],
)
def test_what_has_no_penalty_is_told_why(sizes, real, fake, sentence):
    with pytest.raises(ValueError, match=sentence):
        gradient_penalty(mlp(sizes), torch.randn(real), torch.randn(fake))


def test_the_penalty_can_be_looked_at_without_learning():
    critic = nn.Linear(2, 1)
    critic.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    game = WassersteinGAN(StandardGaussian(2), nn.Linear(2, 2), critic, penalty=1.0)
    with torch.no_grad():
        value, parts = game.discriminator_objective(torch.randn(6, 2))
    close(parts["distance"] - value, torch.full((6,), 16.0))
    assert not value.requires_grad


def test_copies_are_charged_each_for_itself():
    critic = ManyLinear(2, 1, 3)
    critic.weight.data.copy_(torch.tensor([[[3.0, 4.0]], [[0.0, 1.0]], [[0.0, 0.5]]]))
    value = gradient_penalty(critic, torch.randn(3, 5, 2), torch.randn(3, 5, 2))
    close(value, torch.tensor([16.0, 0.0, 0.25])[:, None].expand(3, 5))


# ---- clipping, in the loop that trains


def largest(game):
    return max(p.abs().max().item() for p in game.discriminator.parameters())


class Watched(WassersteinGAN):
    """Keeps the critic's largest weight as it is whenever either player is about to move."""

    def discriminator_objective(self, x):
        self.seen = [*getattr(self, "seen", []), largest(self)]
        return super().discriminator_objective(x)

    def generator_objective(self, x):
        self.seen.append(largest(self))
        return super().generator_objective(x)


def watched(clip, playing=playing, **options):
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    game = Watched(StandardGaussian(2), mlp([2, 8, 2]), mlp([2, 8, 8, 1]), clip=clip)
    playing.play(
        game,
        torch.randn(64, 2),
        steps=30,
        epochs=30,
        batch_size=16,
        lr=0.05,
        progress=False,
        **options,
    )
    return [*game.seen, largest(game)]


@pytest.mark.parametrize("options", [{}, {"discriminator_steps": 5}, {"optimiser": "rmsprop"}])
def test_every_weight_is_within_the_clip_after_every_step_of_play(options):
    c = 0.03
    seen = watched(c, **options)
    assert len(seen) == 30 + 30 // options.get("discriminator_steps", 1) + 1
    assert max(seen) <= c * (1 + 1e-6)
    assert max(watched(None, **options)[2:]) > 10 * c, (
        "without clipping this training leaves the box at once"
    )


def test_a_loop_that_forgets_to_clip_would_be_found():
    broken = mutant(playing, "self.game.constrain()", "pass")
    assert max(watched(0.03, broken)) > 0.03 * 1.01


def test_twenty_copies_play_at_once_and_each_is_clipped():
    torch.set_default_dtype(torch.float32)
    from dgmcourse.data.toy import ring_of_gaussians

    game = WassersteinGAN(
        StandardGaussian(2), mlp([2, 8, 2], copies=20), mlp([2, 8, 1], copies=20), clip=0.05
    )
    history = play(game, ring_of_gaussians(), steps=20, batch_size=(20, 16), progress=False)
    assert history.stopped == "finished" and largest(game) <= 0.05 * (1 + 1e-6)
