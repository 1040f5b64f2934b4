"""Networks against their formulas."""

import pytest
import torch
from oracles import close, survives

from dgmcourse import networks

pytestmark = pytest.mark.usefixtures("float64")


def check_gated_layer(networks):
    """h = (A x + a) * sigmoid(B x + b), twice, then C h + c; any leading axes."""
    net = networks.gated_mlp([5, 4, 3, 2])
    for p in net.parameters():
        torch.nn.init.normal_(p)
    A1, a1, A2, a2, C, c = net.parameters()
    x = h = torch.randn(3, 7, 5)
    for weight, bias, width in ((A1, a1, 4), (A2, a2, 3)):
        A, B = weight[:width], weight[width:]
        h = (h @ A.T + bias[:width]) / (1 + torch.exp(-(h @ B.T + bias[width:])))
    close(net(x), h @ C.T + c)


def check_initialisation(networks):
    """Weights of mean 0 and variance 2 / inputs, within four standard errors; biases 0."""
    encoder, decoder = networks.conv_encoder(10, channels=16), networks.conv_decoder(10, channels=16)
    for net in (networks.gated_mlp([784, 300, 300, 80]), encoder, decoder):
        for layer in net:
            if not hasattr(layer, "weight"):
                continue
            w = layer.weight
            inputs = w[0].numel()
            assert abs(w.var() * inputs / 2 - 1) < 4 * (2 / w.numel()) ** 0.5
            assert abs(w.mean()) < 4 * (2 / inputs / w.numel()) ** 0.5
            assert not layer.bias.any()


def check_convolutional_rows(networks):
    """(S, B, D) in, (S, B, D') out, and each row by itself: no pixel of one image reaches another's
    result."""
    for net, given, out in (
        (networks.conv_encoder(6, 4, 8), 784, 6),
        (networks.conv_decoder(3, 2, 4, 8), 3, 1568),
    ):
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.3)
        x = torch.randn(3, 2, given)
        y = net(x)
        assert y.shape == (3, 2, out)
        close(y[2, 1], net(x[2, 1][None])[0])
        close(y, net(x.reshape(6, given)).reshape(3, 2, out))


def check_convolution_sees_pictures(networks):
    """A pixel of the decoder depends on its neighbourhood in the 7 x 7 picture, each of whose positions is
    4 pixels wide."""
    net = networks.conv_decoder(2, 1, 2, 4)
    small = torch.randn(1, 4 * 49, requires_grad=True)
    picture = net[4:](small).reshape(28, 28)
    for row, column in ((0, 0), (0, 27), (13, 14), (27, 5)):
        (reached,) = torch.autograd.grad(picture[row, column], small, retain_graph=True)
        there = reached.reshape(4, 7, 7).abs().sum(0).nonzero()
        assert len(there) and (there * 4 + 1.5 - torch.tensor([row, column])).abs().max() <= 6.5


CHECKS = [check_gated_layer, check_initialisation, check_convolutional_rows, check_convolution_sees_pictures]


@pytest.mark.parametrize("check", CHECKS)
def test_oracle(check):
    check(networks)


MUTANTS = {
    "no gate": (
        "layers += [nn.Linear(i, 2 * o), nn.GLU(dim=-1)]",
        "layers += [nn.Linear(i, 2 * o), nn.Softmax(-1), nn.GLU(dim=-1)]",
                check_gated_layer),
    "gate before the sum": ("nn.GLU(dim=-1)]\n", "nn.Tanh(), nn.GLU(dim=-1)]\n", check_gated_layer),
    "gated output": (
        "nn.Linear(sizes[-2], sizes[-1]))", "nn.Linear(sizes[-2], sizes[-1]), nn.Sigmoid())",
        check_gated_layer),
    "Xavier's variance": ('nonlinearity="relu"', 'nonlinearity="linear"', check_initialisation),
    "variance of the outputs": (
        'nonlinearity="relu"', 'nonlinearity="relu", mode="fan_out"', check_initialisation),
    "biases not 0": ("nn.init.zeros_(module.bias)", "nn.init.ones_(module.bias)", check_initialisation),
    "rows interleaved": (
        "result.reshape(*rows.shape[:-1], result.shape[-1])",
        "result.reshape(-1, *rows.shape[:-1]).movedim(0, -1)",
        check_convolutional_rows),
    "images mixed": (
        "rows.shape[-1])).flatten(1)", "rows.shape[-1]).cumsum(0)).flatten(1)", check_convolutional_rows),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    old, new, *checks = MUTANTS[name]
    for check in checks:
        assert not survives(check, networks, old, new), f"{check.__name__} does not notice"


def test_rows_that_are_no_pictures_are_refused():
    """In a sentence that says what was expected and what came."""
    for net, shape, expected in (
        (networks.conv_encoder(4), (3, 64), 784),
        (networks.conv_encoder(4), (3, 28, 28), 784),
        (networks.conv_decoder(5), (2, 3, 4), 5),
    ):
        with pytest.raises(ValueError, match=f"^expected rows of {expected} numbers on the last axis, got shape ") as error:
            net(torch.zeros(shape))
        assert str(error.value).endswith(str(shape))
