"""The relatives of the GAN against float64 by hand: values and gradients of each objective, and who
learns from which.
"""

import numpy as np
import pytest
import torch
from oracles import Codes, close, oracle_tests
from scipy import special
from torch import nn

from dgmcourse.models import (
    auxiliary_classifier_gan,
    bidirectional_gan,
    wasserstein_autoencoder,
)
from dgmcourse.networks import mlp
from dgmcourse.play import Players

pytestmark = pytest.mark.usefixtures("float64")


def log_sigmoid(a):
    return -np.logaddexp(0, -np.asarray(a))


def named_as(scores, y):
    """log p(y) of the classes' scores."""
    return np.log(special.softmax(scores, 1))[np.arange(len(y)), y]


def linear(weight, bias=None):
    """x -> x A + b with the parameters given."""
    layer = nn.Linear(*np.shape(weight))
    layer.weight.data = torch.tensor(np.asarray(weight).T.copy())
    layer.bias.data = torch.zeros(np.shape(weight)[1]) if bias is None else torch.tensor(bias)
    return layer


def gradient(value, net):
    """The gradient of the summed value in a linear layer's matrix, as `linear` takes it."""
    found = torch.autograd.grad(value.sum(), net.weight, retain_graph=True, materialize_grads=True)
    return found[0].mT


def moved(module):
    """Whether a gradient has reached any parameter."""
    return any(p.grad is not None and p.grad.abs().max() > 0 for p in module.parameters())


RANDOM = np.random.RandomState(0)
X = RANDOM.rand(6, 4)  # "images" of four pixels

# ---- the auxiliary classifier


CLASSES = 3
Z_STYLE, C_TOLD = RANDOM.randn(6, 2), np.array([2, 0, 1, 1, 2, 0])
Y = np.array([0, 1, 2, 0, 1, 2])
A = RANDOM.randn(2 + CLASSES, 4)  # G(z, c) = [z, one-hot c] A
B = RANDOM.randn(4, 1 + CLASSES)  # the source's logit and the classes'


def auxiliary(module):
    game = module.AuxiliaryClassifierGAN(latent_dim=2, classes=CLASSES, channels=1)
    game.generator, game.discriminator = linear(A), linear(B)
    game.prior = Codes(torch.tensor(Z_STYLE))
    game.draw_classes = lambda x: torch.tensor(C_TOLD)
    return game


def auxiliary_fakes():
    return np.concatenate([Z_STYLE, np.eye(CLASSES)[C_TOLD]], 1) @ A


def auxiliary_by_hand():
    """Both objectives, and their derivatives in A and B, in numpy."""
    given, fakes = np.concatenate([Z_STYLE, np.eye(CLASSES)[C_TOLD]], 1), auxiliary_fakes()
    real, fake = X @ B, fakes @ B
    named_real, named_fake = named_as(real[:, 1:], Y), named_as(fake[:, 1:], C_TOLD)
    D = log_sigmoid(real[:, 0]) + log_sigmoid(-fake[:, 0]) + named_real + named_fake
    G = log_sigmoid(fake[:, 0]) + named_fake

    def slope(scores, y, source):  # of one row's terms in its scores
        classes = np.eye(CLASSES)[y] - special.softmax(scores[:, 1:], 1)
        return np.concatenate([source[:, None], classes], 1)

    up_real = slope(real, Y, special.expit(-real[:, 0]))
    up_fake = slope(fake, C_TOLD, -special.expit(fake[:, 0]))
    up_fooled = slope(fake, C_TOLD, special.expit(-fake[:, 0]))
    return D, G, X.T @ up_real + fakes.T @ up_fake, given.T @ (up_fooled @ B.T)


def check_auxiliary(module):
    game = auxiliary(module)
    D, G, slope_D, slope_G = auxiliary_by_hand()
    value, parts = game.discriminator_objective(torch.tensor(X), torch.tensor(Y))
    close(value, D)
    close(gradient(value, game.discriminator), slope_D)
    named_real, named_fake = (
        named_as((X @ B)[:, 1:], Y),
        named_as((auxiliary_fakes() @ B)[:, 1:], C_TOLD),
    )
    close(parts["class of real"], named_real)
    close(parts["discriminator"], D - named_real - named_fake)
    value.sum().backward()
    assert not moved(game.generator), "in the discriminator's turn the generator stands still"
    value, parts = game.generator_objective(torch.tensor(X), torch.tensor(Y))
    close(value, G)
    close(parts["generator"] + parts["class of fake"], G)
    close(gradient(value, game.generator), slope_G)


def check_told(module):
    """One-hot classes behind the style, in this order; a class of one's choice, and otherwise all
    as often.
    """
    game = auxiliary(module)
    told = game.generate(torch.tensor(Z_STYLE[:1]).expand(CLASSES, 2), torch.arange(CLASSES))
    close(told, Z_STYLE[:1] @ A[:2] + A[2:])
    game = module.AuxiliaryClassifierGAN(latent_dim=2, classes=CLASSES, channels=1)
    shows_the_class = np.concatenate([np.zeros((2, CLASSES)), np.eye(CLASSES)])
    game.generator = linear(shows_the_class)
    close(game.sample(5, 1), np.tile([0.0, 1.0, 0.0], (5, 1)))
    counts = game.sample(9000).numpy().sum(0)
    assert np.abs(counts - 3000).max() < 4.5 * (9000 * (1 / 3) * (2 / 3)) ** 0.5


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.zeros(5, dtype=torch.long), r"\(5,\)"),
        (torch.zeros(6), "float"),
        (torch.zeros(6, 1, dtype=torch.long), r"\(6, 1\)"),
        (torch.tensor([0, 1, 2, 3, 0, 1]), "from 0 to 3"),
        (torch.tensor([0, 1, 2, -1, 0, 1]), "from -1 to 2"),
        (torch.ones(6, dtype=torch.bool), "bool"),
    ],
)
def test_labels_that_do_not_fit_give_one_sentence(labels, words):
    game = auxiliary(auxiliary_classifier_gan)
    sentence = "each image has one class, a whole number from 0 to 2"
    with pytest.raises(ValueError, match=sentence) as error:
        game.discriminator_objective(torch.tensor(X), labels)
    assert error.match(words) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="each style has one class"):
        game.generate(torch.tensor(Z_STYLE), labels)


@pytest.mark.parametrize(
    "labels",
    [torch.tensor(Y).to(torch.uint8), list(map(int, Y)), np.array(Y)],
    ids=["bytes", "list", "numpy"],
)
def test_small_whole_numbers_lists_and_arrays_are_labels_too(labels):
    game = auxiliary(auxiliary_classifier_gan)
    close(game.discriminator_objective(torch.tensor(X), labels)[0], auxiliary_by_hand()[0])


def test_styles_and_images_that_do_not_fit_give_one_sentence():
    game = auxiliary_classifier_gan.AuxiliaryClassifierGAN(latent_dim=2, channels=1)
    with pytest.raises(ValueError, match="a style has 2 numbers"):
        game.generate(torch.randn(5, 3), torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match="784"):
        game.discriminator_objective(torch.rand(5, 28), torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match="float32"):
        game.discriminator_objective(torch.rand(5, 784).float(), torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match="whole number from 0 to 9"):
        game.sample(5, 10)


# ---- the bidirectional game


Z_PAIR = RANDOM.randn(6, 2)
G_MATRIX, E_MATRIX = RANDOM.randn(2, 4), RANDOM.randn(4, 2)


class Bilinear(nn.Module):
    """D(x, z) = x W z + u x, over pairs that come as one row."""

    def __init__(self, W, u):
        super().__init__()
        self.W, self.u = nn.Parameter(torch.tensor(W)), nn.Parameter(torch.tensor(u))

    def forward(self, pair):
        x, z = pair.split([4, 2], -1)
        return ((x @ self.W * z).sum(-1) + x @ self.u).unsqueeze(-1)


W_PAIR, U_PAIR = RANDOM.randn(4, 2), RANDOM.randn(4)


def bidirectional(module):
    game = module.BidirectionalGAN(latent_dim=2, hidden=3, data_dim=4)
    game.generator, game.inverse = linear(G_MATRIX), linear(E_MATRIX)
    game.prior, game.discriminator = Codes(torch.tensor(Z_PAIR)), Bilinear(W_PAIR, U_PAIR)
    return game


def check_bidirectional(module):
    game = bidirectional(module)
    made, found = Z_PAIR @ G_MATRIX, X @ E_MATRIX
    real, fake = ((x @ W_PAIR * z).sum(-1) + x @ U_PAIR for x, z in ((X, found), (made, Z_PAIR)))
    value, parts = game.discriminator_objective(torch.tensor(X))
    close(value, log_sigmoid(real) + log_sigmoid(-fake))
    close(parts["discriminator"], value)
    close(parts["real"], special.expit(real))
    close(parts["fake"], special.expit(fake))
    r, f = special.expit(-real)[:, None], special.expit(fake)[:, None]
    D = game.discriminator
    in_W, in_u = torch.autograd.grad(value.sum(), [D.W, D.u], retain_graph=True)
    close(in_W, X.T @ (r * found) - made.T @ (f * Z_PAIR))
    close(in_u, (r * X - f * made).sum(0))
    value.sum().backward()
    assert not moved(game.generator) and not moved(game.inverse), (
        "in the discriminator's turn the others stand still"
    )
    value, parts = game.generator_objective(torch.tensor(X))
    close(value, log_sigmoid(fake) + log_sigmoid(-real))
    close(parts["generator"], value)
    up_code, up_made = X @ W_PAIR, Z_PAIR @ W_PAIR.T + U_PAIR
    close(gradient(value, game.inverse), -X.T @ (special.expit(real)[:, None] * up_code))
    close(gradient(value, game.generator), Z_PAIR.T @ (special.expit(-fake)[:, None] * up_made))


def test_with_the_inverse_as_encoder_no_discriminator_can_tell_the_pairs_apart():
    """Where the data are G(z), z ~ p(z), and E inverts G, both kinds of pairs have one
    distribution: the objective's mean is at most -2 log 2 for every discriminator, and it is more
    for some discriminator where E is not the inverse.
    """
    torch.manual_seed(0)
    matrix = np.array([[2.0, 0.5], [-0.3, 1.0]])

    def best(E):
        game = bidirectional_gan.BidirectionalGAN(latent_dim=2, hidden=4, data_dim=2)
        game.generator, game.inverse = linear(matrix), linear(E)
        game.discriminator = mlp([4, 16, 1], nn.Tanh)
        players = Players(game, 0.02)
        for _ in range(150):
            players.discriminator_step(torch.randn(128, 2) @ torch.tensor(matrix))
        with torch.no_grad():
            return game.discriminator_objective(torch.randn(20_000, 2) @ torch.tensor(matrix))[0]

    right, wrong = best(np.linalg.inv(matrix)), best(-np.linalg.inv(matrix))
    error = right.std().item() / len(right) ** 0.5
    assert -0.05 < right.mean().item() + 2 * np.log(2) < 4.5 * error
    assert wrong.mean().item() > -2 * np.log(2) + 0.3


def test_codes_and_pixels_that_do_not_fit_a_pair_give_one_sentence():
    game = bidirectional_gan.BidirectionalGAN(latent_dim=2, hidden=3, data_dim=4)
    for z in (torch.randn(6, 3), torch.randn(5, 2), torch.randn(2)):
        with pytest.raises(ValueError, match="a pair is an x and a code of 2 numbers"):
            game.logit(torch.tensor(X), z)
    with pytest.raises(ValueError, match="vectors of 4 numbers"):
        game.discriminator_objective(torch.randn(6, 5))


# ---- the Wasserstein auto-encoders


D_MATRIX, F_MATRIX = RANDOM.randn(2, 4), RANDOM.randn(4, 2)  # decoder and encoder
Z_PRIOR = RANDOM.randn(6, 2)
V = RANDOM.randn(2, 1)  # the adversary's logit of a code
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def autoencoder(module, kind, **settings):
    game = getattr(module, kind)(latent_dim=2, channels=1, hidden=2, **settings)
    game.encoder.net, game.decoder.net = linear(F_MATRIX), linear(D_MATRIX)
    game.prior = Codes(torch.tensor(Z_PRIOR))
    if kind == "AdversarialWAE":
        game.discriminator = linear(V)
    return game


def cost_by_hand():
    """Codes, costs, and the summed cost's gradient in decoder and encoder."""
    codes = X @ F_MATRIX
    off = codes @ D_MATRIX - X
    return codes, (off**2).sum(1), codes.T @ (2 * off), X.T @ (2 * off @ D_MATRIX.T)


def discrepancy_by_hand(a, b):
    """MMD^2, pair by pair, and its derivative in a by central differences."""

    def k(p, q):
        return sum(4 * s / (4 * s + ((p - q) ** 2).sum()) for s in SCALES)

    def mmd(a):
        n, pairs = len(a), [(i, j) for i in range(len(a)) for j in range(len(a)) if i != j]
        among = sum(k(z[i], z[j]) for z in (a, b) for i, j in pairs) / (n * (n - 1))
        return among - 2 * np.mean([k(p, q) for p in a for q in b])

    steps = 1e-5 * np.eye(a.size).reshape(-1, *a.shape)
    slopes = [(mmd(a + step) - mmd(a - step)) / 2e-5 for step in steps]
    return mmd(a), np.reshape(slopes, a.shape)


def check_mmd_objective(module):
    game = autoencoder(module, "WassersteinAutoEncoder", weight=3.0)
    codes, cost, up_decoder, up_encoder = cost_by_hand()
    apart, up_codes = discrepancy_by_hand(codes, Z_PRIOR)
    value, parts = game.objective(torch.tensor(X))
    close(value, -cost - 3 * apart)
    close(parts["cost"], cost)
    close(parts["discrepancy"], np.full(6, apart))
    close(gradient(value, game.decoder.net), -up_decoder)
    close(gradient(value, game.encoder.net), -up_encoder - 6 * 3 * X.T @ up_codes, 1e-7, 1e-7)
    close(game.objective(torch.tensor(X), beta=0.25)[0], -cost - 0.75 * apart)


def check_adversarial_objectives(module):
    game = autoencoder(module, "AdversarialWAE", weight=3.0)
    codes, cost, up_decoder, up_encoder = cost_by_hand()
    real, fake = (Z_PRIOR @ V)[:, 0], (codes @ V)[:, 0]
    value, parts = game.discriminator_objective(torch.tensor(X))
    close(value, log_sigmoid(real) + log_sigmoid(-fake))
    close(parts["discriminator"], value)
    expected = Z_PRIOR.T @ special.expit(-real)[:, None] - codes.T @ special.expit(fake)[:, None]
    close(gradient(value, game.discriminator), expected)
    value.sum().backward()
    assert not moved(game.encoder) and not moved(game.decoder), (
        "in the discriminator's turn the auto-encoder stands still"
    )
    value, parts = game.generator_objective(torch.tensor(X))
    close(value, -cost + 3 * log_sigmoid(fake))
    close(parts["cost"], cost)
    close(parts["fooled"], log_sigmoid(fake))
    close(gradient(value, game.decoder.net), -up_decoder)
    fooling = 3 * X.T @ (special.expit(-fake)[:, None] * V.T)
    close(gradient(value, game.encoder.net), fooling - up_encoder)


AUXILIARY_CLASSIFIER_GAN = {
    check_auxiliary: """
        F.logsigmoid(real) + F.logsigmoid(-fake) => F.logsigmoid(real) - F.logsigmoid(fake)
        pick(seen, y) + pick(seen_fake, c) => pick(seen, y)
        pick(seen, y) + pick(seen_fake, c) => pick(seen, y) + pick(seen_fake, y)
        F.logsigmoid(fake) => -F.logsigmoid(-fake)
        pick(seen, c) => pick(seen, y)
        return source + label, {"generator" => return source - label, {"generator"
        with torch.no_grad(): x_fake => if True:\\n            x_fake
        torch.log_softmax(classes, -1) => torch.log_softmax(classes, 0)
        torch.log_softmax(classes, -1) => F.logsigmoid(classes)
    """,
    check_told: """
        torch.cat([z, one_hot.to(z)], -1) => torch.cat([one_hot.to(z), z], -1)
        torch.randint(self.classes, => torch.randint(self.classes - 1,
        torch.full(z.shape[:-1], c) => torch.full(z.shape[:-1], 0)
    """,
}
BIDIRECTIONAL_GAN = {
    check_bidirectional: """
        F.logsigmoid(real) + F.logsigmoid(-fake) => F.logsigmoid(real) + F.logsigmoid(fake)
        + F.logsigmoid(-self.logit(x, code)) =>
        F.logsigmoid(self.logit(fake_x, z)) + F.logsigmoid(-self.logit(x, code)) => \
            -F.logsigmoid(-self.logit(fake_x, z)) - F.logsigmoid(self.logit(x, code))
        real, fake = self.logit(x, code) => real, fake = self.logit(x, z)
        , self.logit(fake_x, z) => , self.logit(fake_x, code)
        with torch.no_grad(): code, fake_x => if True:\\n            code, fake_x
        torch.cat([x, z], -1) => torch.cat([x, -z], -1)
        , self.encoder(x).mean => , self.encoder(x).mean.detach()
    """,
}
WASSERSTEIN_AUTOENCODER = {
    check_mmd_objective: """
        -cost - beta => -cost + beta
        -cost - beta * self.weight * discrepancy => -cost - self.weight * discrepancy
        ** 2).sum(-1 => ** 2).mean(-1
        (x - self.decoder(z).mean) ** 2 => x - self.decoder(z).mean).abs(
        mmd(z, self.prior => mmd(z.detach(), self.prior
    """,
    check_adversarial_objectives: """
        real) + F.logsigmoid(-fake => fake) + F.logsigmoid(-real
        with torch.no_grad(): code => if True:\\n            code
        -cost + self.weight * fooled => -cost + fooled
        -cost + self.weight * fooled => -cost - self.weight * fooled
        self.logit(z) => self.logit(z.detach())
        fooled = F.logsigmoid(self.logit(z)) => fooled = -F.logsigmoid(-self.logit(z))
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests(
    (auxiliary_classifier_gan, AUXILIARY_CLASSIFIER_GAN),
    (bidirectional_gan, BIDIRECTIONAL_GAN),
    (wasserstein_autoencoder, WASSERSTEIN_AUTOENCODER),
)


def test_without_the_penalty_it_is_a_plain_auto_encoder():
    game = autoencoder(wasserstein_autoencoder, "WassersteinAutoEncoder", weight=0.0)
    close(game.objective(torch.tensor(X))[0], -cost_by_hand()[1])


def test_codes_and_weights_that_do_not_fit_give_one_sentence():
    game = wasserstein_autoencoder.AdversarialWAE(latent_dim=2, channels=1, hidden=2)
    with pytest.raises(ValueError, match="vectors of 2 numbers"):
        game.logit(torch.randn(5, 3))
    with pytest.raises(ValueError, match="at least 2 points"):
        wasserstein_autoencoder.WassersteinAutoEncoder(2, channels=1, hidden=2).objective(
            torch.rand(1, 784)
        )
    with pytest.raises(ValueError, match="784"):
        game.generator_objective(torch.rand(5, 100))
