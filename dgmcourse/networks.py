"""Networks, from tensors to tensors; probability is elsewhere.

Images are rows of pixels, (B, 784): a convolutional net folds them into pictures and unfolds its
result itself.
"""

import math

import torch
from torch import Tensor, nn


def gated_mlp(sizes: list[int]) -> nn.Sequential:
    """A multi-layer perceptron whose hidden layers are gated, h = (A x + a) * sigmoid(B x + b).

    Both matrices are in one Linear, and GLU multiplies one half by the sigmoid of the other.

    >>> gated_mlp([784, 300, 300, 80])(torch.zeros(5, 784)).shape  # hidden layers of 300
    torch.Size([5, 80])
    """
    layers = []
    for i, o in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.Linear(i, 2 * o), nn.GLU(dim=-1)]
    return initialise(nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1])))


class Joined(nn.Module):
    """joint([f(a), g(b)]): a network of two inputs, each with layers of its own.

    Called with one tensor, its last axis holds a, then b. Leading axes that only b has (samples of
    z for each x) are added after f, which sees each a once.

    Args:
        f, g: Sequentials whose first layer has a known input size (`row_length`).
        joint: takes as many numbers as f and g give together.
    """

    def __init__(self, f: nn.Sequential, g: nn.Sequential, joint: nn.Module):
        super().__init__()
        self.f, self.g, self.joint = f, g, joint
        self.sizes = (row_length(f[0]), row_length(g[0]))
        self.in_features = sum(self.sizes)

    def forward(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        if b is None:
            a, b = a.split(self.sizes, -1)
        left, right = self.f(a), self.g(b)
        return self.joint(torch.cat([left.expand(*right.shape[:-1], -1), right], -1))


class Added(nn.Module):
    """rest(A a + B b): a network of two inputs that meet in its first layer, which has one bias.

    As a network of [a, b], but A a is computed once for each a, however many b there are of it:
    leading axes broadcast. Called with one tensor, its last axis holds a, then b.

    Args:
        sizes: dimensions of a and of b.
        hidden: outputs of the first layer.
        rest: what follows, its activation first.

    Raises:
        ValueError: for an a or a b of other dimensions.
    """

    def __init__(self, sizes: tuple[int, int], hidden: int, rest: nn.Module):
        super().__init__()
        self.sizes, self.in_features = tuple(sizes), sum(sizes)
        self.a, self.b = nn.Linear(sizes[0], hidden), nn.Linear(sizes[1], hidden, bias=False)
        self.rest = rest

    def forward(self, a: Tensor, b: Tensor | None = None) -> Tensor:
        if b is None:
            a, b = a.split(self.sizes, -1)
        for part, size in zip((a, b), self.sizes, strict=True):
            if part.shape[-1:] != (size,):
                raise ValueError(
                    f"expected vectors of {size} numbers on the last axis, got shape"
                    f" {tuple(part.shape)}"
                )
        return self.rest(self.a(a) + self.b(b))


def gated(i: int, o: int) -> nn.Sequential:
    """One gated layer, (A x + a) * sigmoid(B x + b)."""
    return initialise(nn.Sequential(nn.Linear(i, 2 * o), nn.GLU(dim=-1)))


class MaskedLinear(nn.Linear):
    """A linear layer whose weights are 0 where `mask`, (o, i), is 0."""

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


class MaskedMLP(nn.Module):
    """MADE: a perceptron whose outputs for dimension d depend only on the dimensions before d.

    z, (..., D), to (..., outputs * D): `outputs` blocks of D numbers, the first of which is a
    constant (or depends on `given` alone). One pass gives what takes D passes of an ordinary
    network.

    Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015, arXiv:1502.03509.

    Args:
        dim: D.
        hidden: units of each hidden layer; at least D, for every dimension to be seen.
        outputs: numbers for each dimension: 2 for a mean and a scale.
        given_dim: H, of what all outputs may depend on.
        reverse: the order runs from the last dimension to the first.
    """

    def __init__(
        self,
        dim: int,
        hidden: list[int],
        outputs: int = 2,
        given_dim: int = 0,
        reverse: bool = False,
    ):
        super().__init__()
        self.in_features, self.given_dim = dim, given_dim
        # the place of each dimension in the order; a unit of degree m sees the first m of them
        place = torch.arange(dim, 0, -1) if reverse else torch.arange(1, dim + 1)
        layers, seen, low = [], place, 0 if given_dim or dim == 1 else 1
        for units in hidden:
            degree = low + torch.arange(units) % (dim - low)
            layers += [MaskedLinear(degree.unsqueeze(1) >= seen), nn.ELU()]
            seen = degree
        last = (place.unsqueeze(1) > seen).repeat(outputs, 1)
        self.layers = initialise(nn.Sequential(*layers, MaskedLinear(last)))
        first = self.layers[0].out_features
        self.of_given = nn.Linear(given_dim, first, bias=False) if given_dim else None

    def forward(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        if z.shape[-1:] != (self.in_features,):
            raise ValueError(
                f"expected vectors of {self.in_features} dimensions on the last axis, got shape"
                f" {tuple(z.shape)}"
            )
        if (None if given is None else given.shape[-1]) != (self.given_dim or None):
            got = None if given is None else f"shape {tuple(given.shape)}"
            raise ValueError(
                f"this network was made for given_dim = {self.given_dim}, and what is given is"
                f" {got}"
            )
        first = self.layers[0](z)
        if given is not None:
            first = first + self.of_given(given)  # once for each x, however many z there are of it
        return self.layers[1:](first)


def mlp(
    sizes: list[int],
    activation: type[nn.Module] = nn.ReLU,
    output: nn.Module | None = None,
    copies: int | None = None,
    spectral: bool = False,
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A plain multi-layer perceptron, such as `mlp([2, 64, 64, 1])`.

    Args:
        activation: after each hidden layer.
        output: a last module, nn.Sigmoid() for pixels.
        copies: so many independent networks at once, from (copies, ..., i) to (copies, ..., o). A
            single network too small to keep the processor busy takes nearly as long as 20 of them.
        spectral: each layer's largest singular value is 1 (`SpectralLinear`): with ReLUs, the whole
            is 1-Lipschitz.
        batch_norm: before each activation.
        dropout: the share of each hidden layer's units that is left out in training.

    Raises:
        ValueError: for batch_norm with copies, which would share their statistics.
    """
    if batch_norm and copies:
        raise ValueError(
            "copies of a network have no batch normalisation here: its statistics would be taken"
            " over all"
        )
    layers = []
    for i, o in zip(sizes[:-1], sizes[1:], strict=True):
        if layers:
            layers += [BatchNormRows(i)] * batch_norm + [activation()]
            layers += [nn.Dropout(dropout)] * (dropout > 0)
        if spectral:
            layers.append(SpectralLinear(i, o, copies))
        else:
            layers.append(ManyLinear(i, o, copies) if copies else nn.Linear(i, o))
    return initialise(nn.Sequential(*layers, *([output] if output else [])))


class BatchNormRows(nn.BatchNorm1d):
    """Batch normalisation of rows, (..., D), with any leading axes; torch's takes (B, D)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(math.prod(x.shape[:-1]), x.shape[-1])).reshape(x.shape)


class ManyLinear(nn.Module):
    """`copies` linear layers in one matrix product: (copies, ..., i) to (copies, ..., o)."""

    def __init__(self, i: int, o: int, copies: int | None):
        super().__init__()
        many = () if copies is None else (copies,)
        self.in_features = i
        self.weight = nn.Parameter(torch.empty(*many, o, i))
        self.bias = nn.Parameter(torch.zeros(*many, o))

    def matrix(self) -> Tensor:
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.matrix(), self.bias
        if weight.dim() == 2:
            return nn.functional.linear(x, weight, bias)
        many = len(weight)
        if x.dim() < 3 or len(x) != many or x.shape[-1] != self.in_features:
            raise ValueError(
                f"{many} networks at once take ({many}, ..., {self.in_features}), got"
                f" {tuple(x.shape)}"
            )
        result = torch.baddbmm(bias.unsqueeze(1), x.flatten(1, -2), weight.mT)
        return result.reshape(*x.shape[:-1], weight.shape[1])


class SpectralLinear(ManyLinear):
    """A linear layer divided by its largest singular value, W / sigma(W).

    Each pass in training makes `steps` steps of power iteration towards that value (Miyato et al.,
    Spectral Normalization for Generative Adversarial Networks, 2018).
    """

    def __init__(self, i: int, o: int, copies: int | None = None, steps: int = 1):
        super().__init__(i, o, copies)
        self.steps = steps
        u = torch.randn(*self.weight.shape[:-1], 1)
        self.register_buffer("u", nn.functional.normalize(u, dim=-2))

    def matrix(self) -> Tensor:
        weight = self.weight
        with torch.no_grad():
            u = self.u
            for _ in range(self.steps if self.training else 1):
                v = nn.functional.normalize(weight.mT @ u, dim=-2)
                u = nn.functional.normalize(weight @ v, dim=-2)
            if self.training:
                self.u.copy_(u)
        return weight / (u.mT @ weight @ v)  # sigma = u^T W v, differentiable in W


def dcgan_generator(latent_dim: int, channels: int = 32) -> nn.Sequential:
    """Codes (..., latent_dim) to 28x28 pixels in [0, 1], (..., 784), as in DCGAN.

    7 -> 14 -> 28 by transposed convolutions of stride 2, with batch normalisation and ReLUs between
    them (Radford et al. 2015).
    """
    return initialise(
        RowsAsImages(
            nn.Linear(latent_dim, 2 * channels * 49),
            nn.Unflatten(1, (2 * channels, 7, 7)),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1),
            nn.Sigmoid(),
        ),
        std=0.02,
    ).to(memory_format=torch.channels_last)  # faster on the CPU


def dcgan_discriminator(
    outputs: int = 1, channels: int = 32, batch_norm: bool = True
) -> nn.Sequential:
    """28x28 pixels, (..., 784), to `outputs` numbers, as in DCGAN.

    28 -> 14 -> 7 by convolutions of stride 2 with leaky ReLUs, and batch normalisation after the
    second one. Without it no image's score depends on the rest of its batch.
    """
    return initialise(
        RowsAsImages(
            nn.Unflatten(1, (1, 28, 28)),
            nn.Conv2d(1, channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            nn.BatchNorm2d(2 * channels) if batch_norm else nn.Identity(),
            nn.LeakyReLU(0.2),
            nn.Flatten(1),
            nn.Linear(2 * channels * 49, outputs),
        ),
        std=0.02,
    ).to(memory_format=torch.channels_last)  # faster on the CPU


def conv_encoder(out: int, channels: int = 32, hidden: int = 128) -> nn.Sequential:
    """28x28 pixels, (..., 784), to `out` numbers.

    Two gated convolutions of stride 2 (28 -> 14 -> 7), a gated layer and a linear one.
    """
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


def conv_decoder(
    latent_dim: int, out_channels: int = 1, channels: int = 32, hidden: int = 128
) -> nn.Sequential:
    """`latent_dim` numbers to 28x28 pixels, (..., 784 * out_channels): `conv_encoder` reversed."""
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
    """Layers of pictures, (N, C, H, W), as a network of rows: (..., D) to (..., D').

    Raises:
        ValueError: for rows of another length than the first layer takes.
    """

    def forward(self, rows):
        width = row_length(self[0])
        if width and rows.shape[-1:] != (width,):
            raise ValueError(
                f"expected rows of {width} numbers on the last axis, got shape {tuple(rows.shape)}"
            )
        flat = rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])
        result = super().forward(flat).flatten(1)
        return result.reshape(*rows.shape[:-1], result.shape[-1])


def row_length(first: nn.Module) -> int | None:
    """How many numbers a first layer takes: a picture's pixels, or a linear layer's inputs."""
    if isinstance(first, nn.Unflatten):
        return math.prod(first.unflattened_size)
    return getattr(first, "in_features", None)


def initialise(net: nn.Module, std: float | None = None) -> nn.Module:
    """Draw weights from N(0, 2 / inputs), He et al. (2015), or N(0, std^2), and set biases to 0."""
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | ManyLinear):
            if std is not None:
                nn.init.normal_(module.weight, std=std)
            elif isinstance(module, ManyLinear):
                nn.init.normal_(module.weight, std=(2 / module.in_features) ** 0.5)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return net


def pixel_mask(size: int, kind: str, above: bool = True, left: bool = True) -> Tensor:
    """The mask of a convolution that sees earlier pixels only, in the order of reading.

    It is (size, size), and 1 in the rows above the centre and to the left of it. Kind "A" leaves
    the centre out, for pixels; "B" has it, for features at a pixel's place that depend only on the
    pixels before it. With left=False: the rows above alone (for kind "B" and the whole row of the
    centre); with above=False: the centre's row alone.
    """
    if kind not in ("A", "B") or size % 2 == 0:
        raise ValueError(f"a mask is of kind 'A' or 'B' and of odd size, got {kind!r} and {size}")
    mask, centre = torch.zeros(size, size), size // 2
    if above:
        mask[: centre + (kind == "B" and not left)] = 1
    if left:
        mask[centre, : centre + (kind == "B")] = 1
    return mask


class MaskedConv2d(nn.Conv2d):
    """A convolution whose weights are 0 where `mask`, (size, size), is 0.

    From (N, i, H, W) to (N, o, H, W). Rows and columns at the mask's edges that are all 0 are
    neither stored nor computed.
    """

    def __init__(self, i: int, o: int, mask: Tensor):
        rows, columns = (mask.sum(1 - axis).nonzero().squeeze(1) for axis in (0, 1))
        top, bottom, left, right = int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
        super().__init__(i, o, (bottom - top + 1, right - left + 1))
        kept = mask[top : bottom + 1, left : right + 1].to(self.weight.dtype)
        self.register_buffer("mask", kept, persistent=False)
        centre = len(mask) // 2  # around the input: zeros, or cut off where negative
        self.border = (centre - left, right - centre, centre - top, bottom - centre)
        self.to(memory_format=torch.channels_last)  # up to twice as fast on the CPU

    def masked_weight(self) -> Tensor:
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x, self.border)
        return nn.functional.conv2d(padded, self.masked_weight(), self.bias)


def pixel_head(width: int) -> nn.Sequential:
    """From the features at a pixel's place to its logit, (N, width, H, W) to (N, 1, H, W)."""
    return initialise(nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, 1, 1)))


def pictures(x: Tensor, shape: tuple[int, int]) -> Tensor:
    """Rows of pixels, (..., D), as pictures, (N, 1, H, W), in the order fastest to convolve."""
    return x.reshape(-1, 1, *shape).contiguous()


def map_of(given: Tensor, shape: tuple[int, int]) -> Tensor:
    """Rows, (..., C * H * W), as maps of features, (N, C, H, W)."""
    return given.reshape(-1, given.shape[-1] // math.prod(shape), *shape)


def broadcast_leading(
    x: Tensor, given: Tensor | None
) -> tuple[Tensor, Tensor | None, tuple[int, ...]]:
    """Broadcast the leading axes of pixels, (..., D), and maps, (..., G); return the result's, too.

    x keeps its shape where only the maps have more axes in front (samples of z for each x), so that
    what depends on x alone is computed once.
    """
    if given is None:
        return x, None, x.shape[:-1]
    lead = torch.broadcast_shapes(x.shape[:-1], given.shape[:-1])
    if lead[len(lead) - x.dim() + 1 :] != x.shape[:-1]:
        x = x.expand(*lead, x.shape[-1])
    return x, given.expand(*lead, given.shape[-1]), lead


def add_tiled(a: Tensor, b: Tensor) -> Tensor:
    """Add tensors whose batch sizes differ by an integer factor, tiling the smaller."""
    small, large = sorted((a, b), key=len)
    if len(small) == len(large):
        return large + small
    if len(small) == 0:
        return large[:0] + small
    return (large.unflatten(0, (-1, len(small))) + small).flatten(0, 1)
