"""Networks: tensors to tensors. No probability in here.

Images arrive as rows of pixels, (B, 784): a convolutional net folds them into pictures itself and unfolds its result.
"""

import math

from torch import nn


def gated_mlp(sizes: list[int]) -> nn.Sequential:
    """A multi-layer perceptron whose hidden layers are gated, h = (A x + a) * sigmoid(B x + b).

    Both matrices sit in one Linear, of which GLU multiplies one half by the sigmoid of the other.
    `gated_mlp([784, 300, 300, 80])` has two hidden layers of 300 and a linear output of 80.
    """
    layers = []
    for i, o in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.Linear(i, 2 * o), nn.GLU(dim=-1)]
    return initialise(nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1])))


def conv_encoder(out: int, channels: int = 32, hidden: int = 128) -> nn.Sequential:
    """28x28 pixels, (..., 784), to `out` numbers: two gated convolutions of stride 2 (28 -> 14 -> 7), then a gated layer."""
    return initialise(
        RowsAsImages(
            nn.Unflatten(1, (1, 28, 28)),
            nn.Conv2d(1, 2 * channels, 4, stride=2, padding=1),
            nn.GLU(dim=-3),
            nn.Conv2d(channels, 4 * channels, 4, stride=2, padding=1),
            nn.GLU(dim=-3),
            nn.Flatten(1),
            nn.Linear(2 * channels * 49, 2 * hidden),
            nn.GLU(dim=-1),
            nn.Linear(hidden, out),
        )
    )


def conv_decoder(latent_dim: int, out_channels: int = 1, channels: int = 32, hidden: int = 128) -> nn.Sequential:
    """`latent_dim` numbers to 28x28 pixels, (..., 784 * out_channels): the encoder's way back."""
    return initialise(
        RowsAsImages(
            nn.Linear(latent_dim, 2 * hidden),
            nn.GLU(dim=-1),
            nn.Linear(hidden, 4 * channels * 49),
            nn.GLU(dim=-1),
            nn.Unflatten(1, (2 * channels, 7, 7)),
            nn.ConvTranspose2d(2 * channels, 2 * channels, 4, stride=2, padding=1),
            nn.GLU(dim=-3),
            nn.ConvTranspose2d(channels, out_channels, 4, stride=2, padding=1),
        )
    )


class RowsAsImages(nn.Sequential):
    """Layers that know pictures, (N, C, H, W), behind an interface that knows rows: (..., D) to (..., D').

    Raises:
        ValueError: for rows of another length than the first layer takes.
    """

    def forward(self, rows):
        width = row_length(self[0])
        if width and rows.shape[-1:] != (width,):
            raise ValueError(f"expected rows of {width} numbers on the last axis, got shape {tuple(rows.shape)}")
        result = super().forward(rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])).flatten(1)
        return result.reshape(*rows.shape[:-1], result.shape[-1])


def row_length(first: nn.Module) -> int | None:
    """How many numbers this first layer takes: pixels to be folded into a picture, or a linear layer's inputs."""
    return math.prod(first.unflattened_size) if isinstance(first, nn.Unflatten) else getattr(first, "in_features", None)


def initialise(net: nn.Module) -> nn.Module:
    """He et al. (2015): weights ~ N(0, 2 / inputs), biases 0."""
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return net
