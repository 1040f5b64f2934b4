r"""The planar flow: each step moves z along one direction, depending on its distance from a plane.

$$f(z) = z + \hat u \tanh(w^\top z + b), \qquad
  \log \left|\det \frac{\partial f}{\partial z}\right|
  = \log \left|1 + \hat u^\top w\, (1 - \tanh^2(w^\top z + b))\right|$$

Slides: "Normalizing flows", (i) a general one. Rezende & Mohamed, Variational Inference with
Normalizing Flows, 2015, arXiv:1505.05770.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import apply, check_event
from dgmcourse.models.normalizing_flow import Flow
from dgmcourse.settings import check_whole

MARGIN = 1e-4  # how far w^T u stays from -1, where the space would fold: enough for float32
SHIFT = math.log(math.e - 1)  # softplus(SHIFT) = 1


class PlanarFlow(Flow):
    r"""T planar steps. To be invertible, $w^\top \hat u > -1$, the paper moves each u along w:

    $$\hat u = u + (m(w^\top u) - w^\top u)\, \frac{w}{\|w\|^2}, \qquad m(a) = \mathrm{softplus}(a) - 1$$

    Here m is shifted so that m(0) = 0. Then u = 0, where every step starts, is the identity, and
    nothing explodes at w = 0.

    Args:
        dim: D, dimensions of z.
        steps: T.
        given_dim: H; if not 0, each step's w, u and b are linear functions of what is given,
            (..., H).
    """

    def __init__(self, dim: int, steps: int = 1, given_dim: int = 0):
        check_whole(dim=dim, steps=steps)
        check_whole(0, given_dim=given_dim)
        super().__init__()
        self.dim, self.steps, self.given_dim = dim, steps, given_dim
        start = torch.zeros(steps, 2 * dim + 1)
        start[:, :dim] = torch.randn(steps, dim) / dim**0.5  # w; u and b start at 0
        self.start = nn.Parameter(start)
        if given_dim:
            self.of_given = nn.Linear(given_dim, steps * (2 * dim + 1), bias=False)
            nn.init.normal_(self.of_given.weight, std=0.1 / given_dim**0.5)
            self.of_given.weight.data.view(steps, 2 * dim + 1, given_dim)[:, dim : 2 * dim] = 0

    def parts(self, given: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""w and $\hat u$, (..., T, D), b and $w^\top \hat u$, (..., T), of all steps at once."""
        values = self.start
        if self.check_condition(given):
            of_given = apply(self.of_given, given).to(values.dtype)
            values = values + of_given.unflatten(-1, values.shape)
        w, u, b = values.split([self.dim, self.dim, 1], -1)
        along = (w * u).sum(-1, keepdim=True)
        slope = (1 - MARGIN) * (F.softplus(along + SHIFT) - 1)
        size = (w * w).sum(-1, keepdim=True).clamp_min(torch.finfo(w.dtype).tiny)
        return w, u + (slope - along) * (w / size), b.squeeze(-1), slope.squeeze(-1)

    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_event(z, self.dim)
        w, u, b, slope = self.parts(given)
        steps = zip(w.unbind(-2), u.unbind(-2), b.unsqueeze(-1).unbind(-2), strict=True)
        bends = []
        for w_t, u_t, b_t in steps:
            bends.append(torch.tanh((z * w_t).sum(-1, keepdim=True) + b_t))
            z = torch.addcmul(z, u_t, bends[-1])
        h = torch.cat(bends, -1)
        return z, torch.log1p(slope * (1 - h * h)).sum(-1)

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        r"""Undo the steps, last first: $a = w^\top z$ is the root of an increasing function, found
        by bisection.
        """
        check_event(z, self.dim)
        w, u, b, slope = self.parts(given)
        for t in reversed(range(self.steps)):
            w_t, b_t, slope_t = w[..., t, :], b[..., t], slope[..., t]
            goal = (z * w_t).sum(-1)  # of a + slope tanh(a + b)
            with torch.no_grad():
                low, high = goal - slope_t.abs(), goal + slope_t.abs()
                for _ in range(60):
                    a = (low + high) / 2
                    above = a + slope_t * torch.tanh(a + b_t) > goal
                    low, high = torch.where(above, low, a), torch.where(above, a, high)
            h = torch.tanh(a + b_t)  # one Newton step: the last digits, and the root's gradient
            a = a - (a + slope_t * h - goal) / (1 + slope_t * (1 - h * h)).detach()
            z = z - u[..., t, :] * torch.tanh(a + b_t).unsqueeze(-1)
        return z
