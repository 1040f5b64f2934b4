r"""A grid of pixels that depend on their neighbours: p(x) proportional to a product of potentials.

Slides: "How to formulate a generative model?", p(x) = prod_c psi_c(x_c). Ising 1925; Geman & Geman,
Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images, 1984.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.densities import Density, Shape, check_binary, check_shape, draw_index
from dgmcourse.settings import check_whole

CHUNK = 1 << 14  # states that are held at once while all are enumerated
MOST = 26  # pixels of a grid whose states can be enumerated: 2^26 of them take minutes


class IsingGrid(Density):
    r"""A Markov random field on a height x width grid of binary pixels, with spins s = 2 x - 1.

    $$p(x) = \frac1Z \prod_{i \sim j} e^{J s_i s_j} \prod_i e^{h s_i}, \qquad
      Z = \sum_{x \in \{0,1\}^{height \cdot width}} \prod_{i \sim j} e^{J s_i s_j} \prod_i e^{h s_i}$$

    i ~ j are pixels side by side or one above the other; nothing joins opposite edges of the grid.
    x is a row of pixels, (..., height * width). An infinite grid becomes ordered at
    J = log(1 + sqrt 2) / 2 = 0.4407 (Onsager 1944).

    Args:
        height, width: of the grid.
        coupling: J; if positive, neighbours tend to be equal. A tensor (B,) gives each of B grids
            its own.
        field: h; if positive, pixels tend to be 1. A tensor likewise.
    """

    CRITICAL = math.log(1 + math.sqrt(2)) / 2

    def __init__(
        self, height: int, width: int, coupling: float | Tensor = 0.3, field: float | Tensor = 0.0
    ):
        check_whole(height=height, width=width)
        self.height, self.width = height, width
        self.coupling, self.field = torch.as_tensor(coupling), torch.as_tensor(field)
        finite = self.coupling.isfinite().all() and self.field.isfinite().all()
        if not finite or max(self.coupling.dim(), self.field.dim()) > 1:
            raise ValueError(
                "coupling and field are finite numbers, or one for each of B grids, (B,)"
            )

    def log_potential(self, x: Tensor) -> Tensor:
        """log prod_c psi_c(x_c), nats, cheap for any size: x (..., height * width) to (...)."""
        return self._log_potential(self._spins(check_binary(x)))

    def log_partition(self) -> Tensor:
        """log Z by its definition, a sum over all 2^(height * width) images: () or (B,), nats.

        Each pixel doubles the time.

        Raises:
            ValueError: for more than 26 pixels.
        """
        pixels = self.height * self.width
        if pixels > MOST:
            raise ValueError(
                f"{self.height} x {self.width} pixels have 2^{pixels} states: too many to enumerate"
            )
        starts = range(0, 1 << pixels, CHUNK)
        grids = torch.broadcast_shapes(self.coupling.shape, self.field.shape)
        parts = torch.empty(len(starts), *grids)
        for part, start in zip(parts, starts, strict=True):
            states = self._states(start, min(start + CHUNK, 1 << pixels))
            # in place: pieces kept one by one would break up the memory
            part.copy_(torch.logsumexp(self._log_potential(self._spins(states)), 0))
        return torch.logsumexp(parts, 0)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) = log-potential - log Z: (...), nats. It enumerates all states at every call."""
        return self.log_potential(x) - self.log_partition()

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        """Draw exactly, by enumeration: (*shape, height * width).

        Raises:
            ValueError: for more than 16 pixels, or more than one coupling: `gibbs` can do these.
        """
        shape, pixels = check_shape(shape), self.height * self.width
        if pixels > 16 or self.coupling.dim() or self.field.dim():
            raise ValueError(
                "exact draws need one coupling and at most 16 pixels, whose states are enumerated:"
                " use gibbs(x, sweeps)"
            )
        states = self._states(0, 1 << pixels)
        probabilities = torch.softmax(self._log_potential(self._spins(states)), 0)
        return states[draw_index(probabilities, shape)]

    @torch.no_grad()
    def gibbs(self, x: Tensor, sweeps: int = 1) -> Tensor:
        r"""Run Markov chains from x, (..., height * width), in which each pixel is drawn given all
        others.

        $$p(x_i = 1 \mid x_{others}) = \mathrm{sigmoid}\left(2 J \sum_{j \sim i} s_j + 2 h\right)$$

        Each row of x is a chain; with a coupling for each grid, x is (..., B, height * width). Z
        cancels. The pixels of one colour of a chessboard are no neighbours and are drawn at once.
        """
        check_whole(0, sweeps=sweeps)
        s = self._spins(check_binary(x))
        rows = torch.arange(self.height, device=x.device)
        columns = torch.arange(self.width, device=x.device)
        colour = (rows[:, None] + columns) % 2
        coupling, field = (a[..., None, None] for a in (self.coupling, self.field))
        for _ in range(sweeps):
            for now in (0, 1):
                around = F.pad(s, (1, 1, 1, 1))  # a rim of zeros: the edges have fewer neighbours
                beside = around[..., 1:-1, 2:] + around[..., 1:-1, :-2]
                neighbours = beside + around[..., 2:, 1:-1] + around[..., :-2, 1:-1]
                p = torch.sigmoid(2 * (coupling * neighbours + field))
                s = torch.where(colour == now, 2 * (torch.rand_like(s) < p).to(s.dtype) - 1, s)
        return ((s + 1) / 2).flatten(-2)

    def _log_potential(self, s: Tensor) -> Tensor:
        beside = (s[..., 1:] * s[..., :-1]).sum((-1, -2))
        above = (s[..., 1:, :] * s[..., :-1, :]).sum((-1, -2))
        return self.coupling * (beside + above) + self.field * s.sum((-1, -2))

    def _spins(self, x: Tensor) -> Tensor:
        """s = 2 x - 1, (..., height, width): floats, for bytes would overflow."""
        if x.dim() == 0 or x.shape[-1] != self.height * self.width:
            raise ValueError(
                f"expected rows of {self.height} x {self.width} pixels, got shape {tuple(x.shape)}"
            )
        x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        return (2 * x - 1).unflatten(-1, (self.height, self.width))

    def _states(self, start: int, stop: int) -> Tensor:
        """Images start to stop - 1, whose pixels are the number's binary digits: (count, pixels).

        For grids with couplings of their own there is an axis of 1 in the middle.
        """
        numbers = torch.arange(start, stop)[:, None]
        states = (numbers >> torch.arange(self.height * self.width)) & 1
        states = states.to(torch.get_default_dtype())
        return states.unsqueeze(1) if self.coupling.dim() or self.field.dim() else states
