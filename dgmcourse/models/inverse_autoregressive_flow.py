r"""The inverse autoregressive flow: the scale and shift of each dimension depend on those before.

$$z'_d = \sigma_d\, z_d + (1 - \sigma_d)\, m_d, \qquad (m_d, s_d) \text{ of } z_1, \dots, z_{d-1}, \quad
  \sigma_d = \mathrm{sigmoid}(s_d),$$

$$\log \left|\det \frac{\partial z'}{\partial z}\right| = \sum_d \log \sigma_d$$

The Jacobian is triangular, and one pass of a masked network (MADE) gives all m and s. A gate below
1 only contracts: the base must be wider than what it is to become, or an `Affine` comes before each
step.

Slides: "Extensions of normalizing flows", a general one. Kingma et al., Improving Variational
Inference with Inverse Autoregressive Flow, 2016, arXiv:1606.04934.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.models.normalizing_flow import Flow, Flows
from dgmcourse.networks import MaskedMLP
from dgmcourse.settings import check_whole

OPEN = 1.5  # added to s: gates start open, at sigmoid(1.5) = 0.82, as the paper advises
FAR = 1e6  # the inverse is clamped here, where nothing is probable: infinity would give NaN


class InverseAutoregressiveFlow(Flow):
    """One step. Forward is one pass; the inverse needs one for each dimension.

    Args:
        dim: D, dimensions of z.
        hidden: units of the masked network's hidden layers; at least D, for every dimension to be
            seen.
        given_dim: H, of a context that m and s may depend on, (..., H).
        reverse: take the dimensions from the last to the first.
    """

    def __init__(
        self, dim: int, hidden: tuple[int, ...] = (64,), given_dim: int = 0, reverse: bool = False
    ):
        check_whole(dim=dim)
        check_whole(0, given_dim=given_dim)
        for units in hidden:
            check_whole(hidden=units)
        super().__init__()
        self.dim, self.given_dim, self.reverse = dim, given_dim, reverse
        self.net = MaskedMLP(dim, list(hidden), 2, given_dim, reverse)
        self.net.layers[-1].weight.data *= 0.1  # m and s start small

    def move_and_gate(self, z: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """m and s, (..., D) each: those of dimension d depend on the dimensions before it only."""
        m, s = self.net(z, given).to(z.dtype).chunk(2, -1)
        return m, s + OPEN

    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        m, s = self.move_and_gate(z, given)
        return torch.lerp(m, z, torch.sigmoid(s)), F.logsigmoid(s).sum(-1)

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """One dimension after another: the m and s of each need those found before."""
        found = torch.zeros_like(z)
        for d in reversed(range(self.dim)) if self.reverse else range(self.dim):
            m, s = self.move_and_gate(found, given)
            value = m + (z - m) * (1 + torch.exp(-s))  # 1 / sigmoid(s) = 1 + exp(-s)
            value = value.clamp(-FAR, FAR)
            found = torch.cat([found[..., :d], value[..., d : d + 1], found[..., d + 1 :]], -1)
        return found


def autoregressive_flows(
    dim: int, steps: int, hidden: tuple[int, ...] = (64,), given_dim: int = 0
) -> Flows:
    """T steps in alternating orders of the dimensions, so that none is always first and unmoved."""
    check_whole(0, steps=steps)
    orders = (t % 2 == 1 for t in range(steps))
    return Flows(*(InverseAutoregressiveFlow(dim, hidden, given_dim, order) for order in orders))
