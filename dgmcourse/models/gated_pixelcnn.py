r"""The gated PixelCNN: two stacks of masked convolutions that together see every pixel before one.

Slides: "Improving the decoder". van den Oord et al., Conditional Image Generation with PixelCNN
Decoders, 2016, arXiv:1606.05328: the gates, the stacks, and the link between them.
"""

import math
from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor, nn

from dgmcourse.models.pixelwalk import Canvas, at_a_pixel, head_at_a_pixel
from dgmcourse.networks import (
    MaskedConv2d,
    add_tiled,
    broadcast_leading,
    initialise,
    map_of,
    pictures,
    pixel_head,
    pixel_mask,
)
from dgmcourse.settings import check_whole


class GatedLayer(nn.Module):
    r"""Two stacks: the vertical one, v, sees the rows above; the horizontal one, h, its row and v.

    $$\mathbf{v}' = g(W * \mathbf{v}), \quad \mathbf{h}' = \mathbf{h} + R\, g(U * \mathbf{h} + L\, \mathbf{v}'), \quad
      g(\mathbf{a}, \mathbf{b}) = \tanh(\mathbf{a}) \odot \mathrm{sigmoid}(\mathbf{b})$$

    The first layer, of kind A, has nothing to add R g(...) to.
    """

    def __init__(self, i: int, width: int, size: int, kind: str):
        super().__init__()
        self.residual = kind == "B"
        self.vertical = MaskedConv2d(i, 2 * width, pixel_mask(size, kind, left=False))
        self.horizontal = MaskedConv2d(i, 2 * width, pixel_mask(size, kind, above=False))
        self.link, self.out = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, v: Tensor, h: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        v = gate(self.vertical(v))
        both = add_tiled(self.horizontal(h), self.link(v))
        if given is not None:
            both = add_tiled(both, map_of(given, both.shape[-2:]))
        more = self.out(gate(both))
        return v, h + more if self.residual else more


class GatedPixelNet(nn.Module):
    """The gated network, in which a pixel's logit can see all pixels before it.

    z enters the horizontal stack. The vertical one, most of the work, is computed once for an x,
    however many z come with it. Arguments as for `PixelNet`.
    """

    def __init__(
        self,
        width: int = 16,
        layers: int = 6,
        first: int = 7,
        size: int = 3,
        shape: tuple[int, int] = (28, 28),
    ):
        check_whole(width=width, size=size)
        check_whole(0, layers=layers)
        check_whole(3, first=first)
        for side in shape:
            check_whole(shape=side)
        super().__init__()
        self.shape, self.given_dim = shape, 2 * width * math.prod(shape)
        stack = [GatedLayer(1, width, first, "A")]
        stack += [GatedLayer(width, width, size, "B") for _ in range(layers)]
        self.layers, self.head = initialise(nn.ModuleList(stack)), pixel_head(width)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        x, given, lead = broadcast_leading(x, given)
        v = h = pictures(x, self.shape)
        for i, layer in enumerate(self.layers):
            v, h = layer(v, h, None if i else given)
        return self.head(h).reshape(*lead, math.prod(self.shape))

    def walk(self, n: int, given: Tensor | None = None) -> Generator[np.ndarray, np.ndarray, None]:
        """As `PixelNet.walk`: the vertical stack row by row, the horizontal one pixel by pixel."""
        verticals = [layer.vertical for layer in self.layers]
        tall = [Canvas(conv, n, self.shape, len(conv.mask)) for conv in verticals]
        flat = [Canvas(layer.horizontal, n, self.shape, 0) for layer in self.layers]
        # sigmoid(b) = (1 + tanh(b / 2)) / 2: one tanh serves both halves of a gate, if the second's
        # weights are halved before it and the product after it
        width = self.layers[0].out.in_channels
        halved = torch.tensor([1.0] * width + [0.5] * width).to(tall[0].x)
        outs = [at_a_pixel(layer.out, 0.5) for layer in self.layers]
        last = head_at_a_pixel(self.head)
        for r in range(self.shape[0]):
            rows = []
            for i, layer in enumerate(self.layers):
                above = gate(tall[i].row(r))
                term = flat[i].row(r) + layer.link(above)
                if given is not None and i == 0:
                    term = add_tiled(term, map_of(given, self.shape)[:, :, r : r + 1])
                rows.append(flat[i].pixels(r, term, halved))
                if i + 1 < len(self.layers):
                    tall[i + 1].put_row(r, above)
            for c in range(self.shape[1]):
                h = None
                for row, out in zip(rows, outs, strict=True):
                    if h is not None:
                        row.put(c, h)
                    both = np.tanh(row.at(c))
                    more = out(both[:, :width] * (1 + both[:, width:]))
                    h = more if h is None else h + more
                value = (yield last(h))[:, None]
                tall[0].x[:, tall[0].corner[0] + r, tall[0].corner[1] + c] = torch.from_numpy(value)
                rows[0].put(c, value)
        yield None


def gate(a: Tensor) -> Tensor:
    """tanh of the first half of the features, on axis 1, times the sigmoid of the second."""
    # of channels last, a half has gaps: closed first, since tanh and sigmoid are slow across them
    a, b = (half.movedim(1, -1).contiguous().movedim(-1, 1) for half in a.chunk(2, 1))
    return torch.tanh(a) * torch.sigmoid(b)
