r"""An image as a chain of pixels, in the order of reading, each given all before it.

$$p(\mathbf{x}) = \prod_{i=1}^D p(x_i \mid x_1, \dots, x_{i-1}), \qquad
  p(\mathbf{x} \mid \mathbf{z}) = \prod_{i=1}^D p(x_i \mid x_1, \dots, x_{i-1}, \mathbf{z})$$

Slides: "Improving the decoder". van den Oord, Kalchbrenner & Kavukcuoglu, Pixel Recurrent Neural
Networks, 2016, arXiv:1601.06759; van den Oord et al., Conditional Image Generation with PixelCNN
Decoders, 2016, arXiv:1606.05328.
"""

import copy
import math
from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor, nn

from dgmcourse.densities import (
    Bernoulli,
    Density,
    check_binary,
    check_event,
    check_given,
    check_shape,
)
from dgmcourse.models.pixelwalk import Canvas, check_noise_and_known, head_at_a_pixel
from dgmcourse.networks import (
    MaskedConv2d,
    aligned,
    initialise,
    map_of,
    pictures,
    pixel_head,
    pixel_mask,
    plus,
)


class PixelDensity(Density):
    """p(x|z) of binary images: a network that is masked, and what z adds to its first layer (None:
    p(x)).

    Args:
        net: `PixelNet` or `GatedPixelNet`.
        given: (..., net.given_dim), one row for each image.
    """

    def __init__(self, net: nn.Module, given: Tensor | None = None):
        self.net, self.given = (
            net,
            given if given is None else check_event(given, given.new_empty(net.given_dim)),
        )

    def logits(self, x: Tensor) -> Tensor:
        """Of p(x_i = 1 | x_1, ..., x_{i-1}, z), for every i in one pass: the shape of x, or more if
        z has more.
        """
        x = check_event(check_given(x, self.net), x.new_empty(math.prod(self.net.shape)))
        return self.net(x, self.given).to(x.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        return Bernoulli(self.logits(x)).log_prob(x)

    @torch.no_grad()
    def sample(
        self,
        shape: tuple[int, ...] = (),
        noise: Tensor | None = None,
        x: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Pixel by pixel, none of which is computed twice: (*shape, *rows of `given`, D).

        Args:
            noise: uniform numbers of the result's shape, one for each pixel: x_i = 1 where it is
                less than p(x_i = 1 | ...).
            x, known: images and which of their pixels (booleans) are given; the others are drawn.
                Only pixels before one have a say in it.

        Raises:
            ValueError: for noise outside [0, 1], one of x and known alone, given pixels not 0 or 1,
                shapes that don't fit.
        """
        D, rows = math.prod(self.net.shape), () if self.given is None else self.given.shape[:-1]
        shape, like = (*check_shape(shape), *rows, D), next(self.net.parameters())
        u = torch.rand(shape, dtype=like.dtype, device=like.device) if noise is None else noise
        check_noise_and_known(u, x, known, shape)
        columns = lambda t: t.expand(shape).reshape(-1, D).mT.contiguous().cpu()  # noqa: E731
        given = (
            None
            if self.given is None
            else self.given.expand(*shape[:-1], -1).reshape(-1, self.given.shape[-1]).cpu()
        )
        threshold = columns(torch.logit(u)).numpy()  # u < sigmoid(l) where logit(u) < l
        if known is not None:
            known = columns(known.bool()).numpy()
            x = check_binary(columns(x.to(like)).where(torch.from_numpy(known), 0)).numpy()
        drawn = np.empty_like(threshold)
        net = self.net if like.device.type == "cpu" else copy.deepcopy(self.net).cpu()
        walk = net.walk(threshold.shape[1], given)
        logit = next(walk)
        for i in range(D):
            drawn[i] = threshold[i] < logit
            if known is not None:
                drawn[i] = np.where(known[i], x[i], drawn[i])
            logit = walk.send(drawn[i])
        return torch.from_numpy(drawn).mT.reshape(shape).contiguous().to(like.device)


class PixelCNN(PixelDensity, nn.Module):
    """p(x) of binary images, which is exact and one pass of the network:
    `PixelCNN(GatedPixelNet())`.
    """

    parts = {"log_p": "log p(x)"}

    def __init__(self, net: nn.Module):
        nn.Module.__init__(self)
        PixelDensity.__init__(self, net)

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(x), (B,), nats, which is to be maximised; `beta` changes nothing."""
        log_p = self.log_prob(x)
        return log_p, {"log_p": log_p}


class PixelConditional(nn.Module):
    """The decoder p(x|z) whose pixels see those before them, and all of z.

    Args:
        net: `PixelNet` or `GatedPixelNet`.
        given: maps z to (..., net.given_dim): a map of features, one for each pixel, that no mask
            covers.
    """

    def __init__(self, net: nn.Module, given: nn.Module):
        super().__init__()
        self.net, self.given = net, given

    def forward(self, z: Tensor) -> PixelDensity:
        """p(x|z) for each row of z, (..., latent_dim)."""
        return PixelDensity(self.net, self.given(z))


class PixelNet(nn.Module):
    """Masked convolutions, one after another: x, (..., D), to a logit for each pixel, which sees
    pixels before it only.

    Not all of them, however many layers there are: a triangle above and to the right is never seen,
    the blind spot.

    Args:
        width: features.
        layers: of kind B, after the first of kind A.
        first, size: of their kernels, odd; first is 3 at least.
        shape: height and width of the images.
    """

    def __init__(
        self,
        width: int = 32,
        layers: int = 6,
        first: int = 7,
        size: int = 3,
        shape: tuple[int, int] = (28, 28),
    ):
        super().__init__()
        self.shape, self.given_dim = shape, width * math.prod(shape)
        convs = [MaskedConv2d(1, width, pixel_mask(first, "A"))]
        convs += [MaskedConv2d(width, width, pixel_mask(size, "B")) for _ in range(layers)]
        self.convs, self.head = initialise(nn.ModuleList(convs)), pixel_head(width)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        x, given, lead = aligned(x, given)
        h = pictures(x, self.shape)
        for i, conv in enumerate(self.convs):
            h = conv(h)
            h = torch.relu(h if i or given is None else plus(h, map_of(given, self.shape)))
        return self.head(h).reshape(*lead, math.prod(self.shape))

    def walk(self, n: int, given: Tensor | None = None) -> Generator[np.ndarray, np.ndarray, None]:
        """Yields each pixel's logits, (n,), and is sent its values. What the rows above mean for a
        row is computed once for all of it; what stands to the left of a pixel is added at that
        pixel.
        """
        canvases = [Canvas(conv, n, self.shape, len(conv.mask) - 1) for conv in self.convs]
        last = head_at_a_pixel(self.head)
        for r in range(self.shape[0]):
            terms = [canvas.row(r) for canvas in canvases]
            if given is not None:
                terms[0] = plus(terms[0], map_of(given, self.shape)[:, :, r : r + 1])
            rows = [canvas.pixels(r, term) for canvas, term in zip(canvases, terms, strict=True)]
            for c in range(self.shape[1]):
                h = np.maximum(rows[0].at(c), 0)
                for row in rows[1:]:
                    row.put(c, h)
                    h = np.maximum(row.at(c), 0)
                rows[0].put(c, (yield last(h))[:, None])
        yield None
