r"""The Householder flow: reflections, each in a mirror of its own. They turn the space and leave
every volume as it was.

$$f(z) = \left(I - 2\, \frac{v v^\top}{\|v\|^2}\right) z, \qquad \log \left|\det \frac{\partial f}{\partial z}\right| = 0$$

Any orthogonal matrix is a product of at most D reflections: a diagonal Gaussian becomes one with
any covariance.

Slides: "Extensions of normalizing flows", (ii) a volume-preserving one. Tomczak & Welling,
Improving Variational Auto-Encoders using Householder Flow, 2016, arXiv:1611.09630.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import check_event, check_given
from dgmcourse.models.normalizing_flow import Flow


class HouseholderFlow(Flow):
    """T reflections.

    Args:
        dim: D, dimensions of z.
        steps: T.
        given_dim: H; if not 0, the first v is a linear function of what is given, (..., H), and
            each further one a linear function of the one before, as in the paper.
    """

    def __init__(self, dim: int, steps: int = 1, given_dim: int = 0):
        super().__init__()
        if dim < 1 or steps < (1 if given_dim else 0):
            raise ValueError(
                f"a Householder flow has dimensions, and steps for what is given: got dim = {dim},"
                f" steps = {steps}"
            )
        self.dim, self.steps, self.given_dim = dim, steps, given_dim
        if given_dim:
            self.next = nn.ModuleList(
                [nn.Linear(given_dim if t == 0 else dim, dim) for t in range(steps)]
            )
        else:
            self.v = nn.Parameter(torch.randn(steps, dim))

    def mirrors(self, given: Tensor | None) -> list[Tensor]:
        """For each step the unit vector that its mirror is perpendicular to, (..., D)."""
        if not self.given_is_due(given):
            return list(unit(self.v).unbind(-2))
        v, vectors = check_given(given, self.next[0]), []
        for linear in self.next:
            v = linear(v)
            vectors.append(v)
        return [unit(v.to(given.dtype)) for v in vectors]

    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        for v in self.mirrors(given):
            z = reflect(z, v)
        return z, z.new_zeros(z.shape[:-1])

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """A reflection undoes itself: the same ones, the last one first."""
        for v in reversed(self.mirrors(given)):
            z = reflect(z, v)
        return z


def reflect(z: Tensor, v: Tensor) -> Tensor:
    """z reflected in the mirror through 0 perpendicular to the unit vector v, both (..., D)."""
    return z - 2 * v * (check_event(z, v) * v).sum(-1, keepdim=True)


def unit(v: Tensor) -> Tensor:
    """v / |v| whatever v's size, without overflow or underflow; 0, which has no direction, stays 0:
    no mirror.
    """
    tiny = torch.finfo(v.dtype).tiny
    return F.normalize(
        v / v.detach().abs().amax(-1, keepdim=True).clamp_min(tiny), dim=-1, eps=tiny
    )
