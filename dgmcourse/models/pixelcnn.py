r"""An image as a chain of pixels in the order of reading, each given all before it.

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
from threadpoolctl import threadpool_limits  # comes with scikit-learn
from torch import Tensor, nn

from dgmcourse.densities import (
    Bernoulli,
    Density,
    Shape,
    apply,
    call,
    check_binary,
    check_event,
    check_rows,
    check_shape,
)
from dgmcourse.models.pixelwalk import Canvas, check_noise_and_known, head_at_a_pixel
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


class PixelDensity(Density):
    """p(x|z) of binary images by a masked network; p(x) where nothing is given.

    Args:
        net: `PixelNet` or `GatedPixelNet`.
        given: what z adds to the first layer, (..., net.given_dim), one row for each image.
    """

    def __init__(self, net: nn.Module, given: Tensor | None = None):
        self.net, self.given = net, given
        if given is not None:
            check_event(given, next(net.parameters()), net.given_dim)

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError(
            "a chain of pixels has no mean in closed form: average samples, or take"
            " torch.sigmoid(p.logits(x)), each pixel's mean given those of x before it"
        )

    def logits(self, x: Tensor) -> Tensor:
        """Of p(x_i = 1 | x_1, ..., x_{i-1}, z), for every i in one pass: (..., D).

        Leading axes are those of x, or more if z has more.
        """
        D = math.prod(self.net.shape)
        if self.given is None:
            x = check_event(x, next(self.net.parameters()), D)
        else:
            x = check_rows(x, self.given, D)
        return apply(self.net, x, self.given)

    def log_prob(self, x: Tensor) -> Tensor:
        return Bernoulli(self.logits(x)).log_prob(x)

    @torch.no_grad()
    def sample(
        self,
        shape: Shape = (),
        noise: Tensor | None = None,
        x: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """Draw pixel by pixel, none of which is computed twice: (*shape, *rows of `given`, D).

        Args:
            shape: as for every Density.
            noise: uniform numbers of the result's shape, one for each pixel: x_i = 1 where it is
                less than p(x_i = 1 | ...).
            x, known: images, and which of their pixels (booleans) are given; the others are drawn,
                each depending only on pixels before it.

        Raises:
            ValueError: for noise outside [0, 1], one of x and known alone, given pixels not 0 or 1,
                shapes that don't fit.
        """
        D, rows = math.prod(self.net.shape), () if self.given is None else self.given.shape[:-1]
        shape, like = (*check_shape(shape), *rows, D), next(self.net.parameters())
        u = torch.rand(shape, dtype=like.dtype, device=like.device) if noise is None else noise
        check_noise_and_known(u, x, known, shape)

        def columns(t: Tensor) -> Tensor:
            """All images side by side, on the CPU: (D, n)."""
            return t.expand(shape).reshape(-1, D).mT.contiguous().cpu()

        given = self.given
        if given is not None:
            given = given.expand(*shape[:-1], -1).reshape(-1, given.shape[-1]).cpu()
        threshold = columns(torch.logit(u)).numpy()  # u < sigmoid(l) where logit(u) < l
        if known is not None:
            known = columns(known.bool()).numpy()
            x = check_binary(columns(x.to(like)).where(torch.from_numpy(known), 0)).numpy()
        drawn = np.empty_like(threshold)
        net = self.net if like.device.type == "cpu" else copy.deepcopy(self.net).cpu()
        walk = net.walk(threshold.shape[1], given)
        # Products this small gain nothing from a second thread, and wait for it on a busy machine.
        with threadpool_limits(1, "blas"):
            logit = next(walk)
            for i in range(D):
                drawn[i] = threshold[i] < logit
                if known is not None:
                    drawn[i] = np.where(known[i], x[i], drawn[i])
                logit = walk.send(drawn[i])
        return torch.from_numpy(drawn).mT.reshape(shape).contiguous().to(like.device)


class PixelCNN(PixelDensity, nn.Module):
    """p(x) of binary images, exact in one pass of the network: `PixelCNN(GatedPixelNet())`."""

    parts = {"log_p": "log p(x)"}

    def __init__(self, net: nn.Module):
        nn.Module.__init__(self)
        PixelDensity.__init__(self, net)

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(x), (B,), nats, and {"log_p"}, the same; `beta` changes nothing."""
        log_p = self.log_prob(x)
        return log_p, {"log_p": log_p}


class PixelConditional(nn.Module):
    """The decoder p(x|z) whose pixels depend on those before them and on all of z.

    Args:
        net: `PixelNet` or `GatedPixelNet`.
        given: maps z to (..., net.given_dim): features for each pixel, which no mask covers.
    """

    def __init__(self, net: nn.Module, given: nn.Module):
        super().__init__()
        self.net, self.given = net, given

    def forward(self, z: Tensor) -> PixelDensity:
        """p(x|z) for each row of z, (..., latent_dim)."""
        return PixelDensity(self.net, call(self.given, z))


class PixelNet(nn.Module):
    """Masked convolutions: x, (..., D), to a logit for each pixel, which sees earlier pixels only.

    It does not see all of them, however many layers there are: a triangle above and to the right is
    never seen, the blind spot.

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
        check_whole(width=width, size=size)
        check_whole(0, layers=layers)
        check_whole(3, first=first)
        for side in shape:
            check_whole(shape=side)
        super().__init__()
        self.shape, self.given_dim = shape, width * math.prod(shape)
        convs = [MaskedConv2d(1, width, pixel_mask(first, "A"))]
        convs += [MaskedConv2d(width, width, pixel_mask(size, "B")) for _ in range(layers)]
        self.convs, self.head = initialise(nn.ModuleList(convs)), pixel_head(width)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        x, given, lead = broadcast_leading(x, given)
        h = pictures(x, self.shape)
        for i, conv in enumerate(self.convs):
            h = conv(h)
            if i == 0 and given is not None:
                h = add_tiled(h, map_of(given, self.shape))
            h = torch.relu(h)
        return self.head(h).reshape(*lead, math.prod(self.shape))

    def walk(self, n: int, given: Tensor | None = None) -> Generator[np.ndarray, np.ndarray, None]:
        """Yield each pixel's logits, (n,), and be sent its values.

        The rows above a row are taken into account once for all of it; what stands to the left of a
        pixel is added at that pixel.
        """
        canvases = [Canvas(conv, n, self.shape, len(conv.mask) - 1) for conv in self.convs]
        last = head_at_a_pixel(self.head)
        for r in range(self.shape[0]):
            terms = [canvas.row(r) for canvas in canvases]
            if given is not None:
                terms[0] = add_tiled(terms[0], map_of(given, self.shape)[:, :, r : r + 1])
            rows = [canvas.pixels(r, term) for canvas, term in zip(canvases, terms, strict=True)]
            for c in range(self.shape[1]):
                h = np.maximum(rows[0].at(c), 0)
                for row in rows[1:]:
                    row.put(c, h)
                    h = np.maximum(row.at(c), 0)
                rows[0].put(c, (yield last(h))[:, None])
        yield None
