"""Sampling pixel by pixel without computing anything twice: what `pixelcnn` draws with.

A pass of the network gives all logits, and only one of them is needed at a time: 784 passes for a
digit, nearly all of it thrown away. Here each feature is computed once, as soon as it can be. What
rows above contribute to a row is one convolution for the whole row. What stands to the left of a
pixel is a product of a vector with a small matrix, in NumPy, whose calls cost a fraction of
torch's. It runs on the CPU wherever the network is: on a GPU, too, the pixels of an image come one
after another.
"""

from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.networks import MaskedConv2d


class Canvas:
    """The input of a masked convolution while it is filled in: (n, H, W, C) in a border of zeros.

    Args:
        conv: the convolution.
        n: how many images.
        shape: their height and width, H and W.
        above: how many rows of its kernel, from the top, are taken for a row of pixels at once; the
            one after them is for what stands to the left of a pixel.
    """

    def __init__(self, conv: MaskedConv2d, n: int, shape: tuple[int, int], above: int):
        left, right, top, _ = conv.border
        weight = conv.masked_weight()
        taps = 0 if above == len(conv.mask) else int(conv.mask[above].sum())
        self.corner, self.rows = (top, left), above
        self.width, self.n, self.C = shape[1], n, conv.in_channels
        self.above, self.bias = weight[:, :, :above], conv.bias
        own = weight[:, :, -1, :taps].permute(2, 1, 0)
        self.own = own.reshape(taps * self.C, conv.out_channels).contiguous()
        self.x = weight.new_zeros(n, top + shape[0], left + shape[1] + max(right, 0), self.C)

    def row(self, r: int) -> Tensor:
        """What the kernel's rows above contribute to row r, (n, out, 1, W)."""
        if not self.rows:
            return self.bias.view(1, -1, 1, 1).expand(self.n, -1, 1, self.width)
        return F.conv2d(self.x[:, r : r + self.rows].movedim(-1, 1), self.above, self.bias)

    def put_row(self, r: int, features: Tensor) -> None:
        """Write row r, (n, C, 1, W)."""
        top, left = self.corner
        self.x[:, top + r, left : left + self.width] = features[:, :, 0].mT

    def pixels(self, r: int, term: Tensor, scale: Tensor | None = None) -> "Row":
        """Row r, to be filled in pixel by pixel.

        Args:
            term: what the result already has from above, (n, out, 1, W).
            scale: a factor of the whole result, (out,).
        """
        own, term = self.own, term[:, :, 0].permute(2, 0, 1)
        own, term = (own, term) if scale is None else (own * scale, term * scale)
        return Row(self.x[:, self.corner[0] + r], term, own, self.corner[1])


class Row:
    """One row of a canvas: x, (n, columns, C), the terms from above, (W, n, out), and the weights
    of what stands to the left.
    """

    def __init__(self, x: Tensor, term: Tensor, own: Tensor, shift: int):
        self.C, self.shift, self.size = x.shape[-1], shift * x.shape[-1], len(own)
        self.x, self.term, self.own = x.flatten(1).numpy(), term.contiguous().numpy(), own.numpy()

    def at(self, c: int) -> np.ndarray:
        """The convolution at column c, (n, out)."""
        at = c * self.C
        h = self.x[:, at : at + self.size].dot(self.own)
        h += self.term[c]
        return h

    def put(self, c: int, value: np.ndarray) -> None:
        """Write column c, (n, C)."""
        at = c * self.C + self.shift
        self.x[:, at : at + self.C] = value


def at_a_pixel(conv: nn.Conv2d, scale: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    """A 1x1 convolution as a function of `scale` times one pixel's features, (n, C)."""
    weight, bias = (scale * conv.weight[:, :, 0, 0].mT).contiguous().numpy(), conv.bias.numpy()
    return lambda h: h.dot(weight) + bias


def head_at_a_pixel(head: nn.Sequential) -> Callable[[np.ndarray], np.ndarray]:
    """From a pixel's features, (n, C), to its logits, (n,)."""
    hidden, last = at_a_pixel(head[0]), at_a_pixel(head[2])
    return lambda h: last(np.maximum(hidden(h), 0))[:, 0]


def check_noise_and_known(
    noise: Tensor, x: Tensor | None, known: Tensor | None, shape: tuple[int, ...]
) -> None:
    """Raise the ValueErrors of `pixelcnn.PixelDensity.sample`, whose result has this shape."""
    if (x is None) != (known is None):
        raise ValueError(
            "to complete images give both: x, the images, and known, which of their pixels are"
            " given"
        )
    if not ((noise >= 0) & (noise <= 1)).all():  # nor is NaN
        raise ValueError("expected noise from 0 to 1, as torch.rand draws it")
    for name, t in {"noise": noise, "x": x, "known": known}.items():
        if t is None:
            continue
        pairs = zip(reversed(t.shape), reversed(shape), strict=False)
        repeats = t.dim() <= len(shape) and all(n in (1, m) for n, m in pairs)
        if not repeats or t.shape[-1:] != shape[-1:]:
            raise ValueError(
                f"expected {name} of shape {shape}, or one that is repeated to it, got"
                f" {tuple(t.shape)}"
            )
