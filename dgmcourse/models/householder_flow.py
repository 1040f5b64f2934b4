r"""The Householder flow: a chain of reflections, which turn the space and change no volume.

$$f(z) = \left(I - 2\, \frac{v v^\top}{\|v\|^2}\right) z, \qquad
  \log \left|\det \frac{\partial f}{\partial z}\right| = 0$$

Any orthogonal matrix is a product of at most D reflections: a diagonal Gaussian becomes one with
any covariance.

Slides: "Extensions of normalizing flows", (ii) a volume-preserving one. Tomczak & Welling,
Improving Variational Auto-Encoders using Householder Flow, 2016, arXiv:1611.09630.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import apply, check_event
from dgmcourse.models.normalizing_flow import Flow
from dgmcourse.settings import check_whole


class HouseholderFlow(Flow):
    """T reflections.

    Args:
        dim: D, dimensions of z.
        steps: T.
        given_dim: H; if not 0, the first v is a linear function of what is given, (..., H), and
            each further one a linear function of the one before, as in the paper.
    """

    def __init__(self, dim: int, steps: int = 1, given_dim: int = 0):
        check_whole(dim=dim)
        check_whole(0, given_dim=given_dim)
        check_whole(1 if given_dim else 0, steps=steps)
        super().__init__()
        self.dim, self.steps, self.given_dim = dim, steps, given_dim
        if given_dim:
            inputs = [given_dim] + [dim] * (steps - 1)
            self.next = nn.ModuleList([nn.Linear(i, dim) for i in inputs])
        else:
            self.v = nn.Parameter(torch.randn(steps, dim))

    def mirrors(self, given: Tensor | None) -> list[Tensor]:
        """The unit vector perpendicular to each step's mirror, (..., D)."""
        if not self.check_condition(given):
            return list(unit(self.v).unbind(-2))
        v, vectors = given, []
        for linear in self.next:
            v = apply(linear, v)
            vectors.append(unit(v))
        return vectors

    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_event(z, self.dim)
        for v in self.mirrors(given):
            z = reflect(z, v)
        return z, z.new_zeros(z.shape[:-1])

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """The same reflections, last first: each undoes itself."""
        check_event(z, self.dim)
        for v in reversed(self.mirrors(given)):
            z = reflect(z, v)
        return z


def reflect(z: Tensor, v: Tensor) -> Tensor:
    """z reflected in the mirror through 0 perpendicular to the unit vector v, both (..., D)."""
    return z - 2 * v * (z * v).sum(-1, keepdim=True)


def unit(v: Tensor) -> Tensor:
    """v / |v|, (..., D), without overflow or underflow; 0 stays 0, which is no mirror."""
    tiny = torch.finfo(v.dtype).tiny
    largest = v.detach().abs().amax(-1, keepdim=True).clamp_min(tiny)
    return F.normalize(v / largest, dim=-1, eps=tiny)
