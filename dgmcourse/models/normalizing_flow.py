r"""Normalizing flows: a simple distribution sent through invertible maps, with the volume they
change kept in account.

$$z^{(T)} = f^{(T)} \circ \dots \circ f^{(1)}(z^{(0)}), \qquad
  \log q(z^{(T)}) = \log q(z^{(0)}) - \sum_{t=1}^T \log \left|\det \frac{\partial f^{(t)}}{\partial z^{(t-1)}}\right|$$

Slides: "Normalizing flows". Rezende & Mohamed, Variational Inference with Normalizing Flows, 2015,
arXiv:1505.05770.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dgmcourse.densities import Density, check_event, check_given, gaussian_of


class Flow(nn.Module, ABC):
    """An invertible map f of z, (..., D) to (..., D), whose log-determinant can be computed.

    `given` is what its parameters may depend on, (..., H): an encoder's features. With given_dim=0
    a flow takes none.
    """

    @abstractmethod
    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """f(z), (..., D), and log |det df/dz|, (...)."""

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """The z that f sends here, (..., D)."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse in closed form")

    def given_is_due(self, given: Tensor | None) -> bool:
        """Whether this flow's parameters depend on `given`; a ValueError if it is missing, or not
        asked for.
        """
        if (given is None) != (self.given_dim == 0):
            raise ValueError(
                f"this flow was made with given_dim = {self.given_dim}, and given is"
                f" {'' if given is None else 'not '}None"
            )
        return given is not None


class Flows(Flow):
    """T flows, one after another; the log-determinants add up."""

    def __init__(self, *flows: Flow):
        super().__init__()
        self.flows = nn.ModuleList(flows)

    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(z.shape[:-1])
        for flow in self.flows:
            z, log_det = flow(z, given)
            total = total + log_det
        return z, total

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        for flow in reversed(self.flows):
            z = flow.inverse(z, given)
        return z


class Affine(Flow):
    """A shift and a positive scale of each dimension, learned: the units in which the other flows
    see their data.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.shift, self.log_scale = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z = self.shift + check_event(z, self.shift) * torch.exp(self.log_scale)
        return z, self.log_scale.sum().expand(z.shape[:-1])

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        return (check_event(z, self.shift) - self.shift) * torch.exp(-self.log_scale)


class FlowPosterior(Density):
    """What a flow makes of draws from a base: q(z^(T)). Drawing and knowing the draw's density is
    one pass.

    Args:
        base: q(z^(0)), a Density with `rsample`.
        flow: f.
        given: what the flow's parameters depend on, if they do.
    """

    def __init__(self, base: Density, flow: Flow, given: Tensor | None = None):
        self.base, self.flow, self.given = base, flow, given

    @property
    def mean(self) -> Tensor:
        """f of the base's mean: the centre's image, which stands in for a mean that has no closed
        form.
        """
        return self.flow(self.base.mean, self.given)[0]

    def rsample_and_log_prob(self, shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        z0, log_q0 = self.base.rsample_and_log_prob(shape)
        z, log_det = self.flow(z0, self.given)
        return z, log_q0 - log_det

    def rsample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return self.rsample_and_log_prob(shape)[0]

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return self.rsample(shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z) at any z, through the flow's inverse."""
        z0 = self.flow.inverse(z, self.given)
        return self.base.log_prob(z0) - self.flow(z0, self.given)[1]


class FlowDensity(Density, nn.Module):
    r"""A flow fitted to data: it sends x to the base's noise, and the density is one pass.

    $$\log p(x) = \log p_0(f(x)) + \log |\det \partial f / \partial x|$$

    Drawing needs the inverse. As a prior (an autoregressive flow: Variational Lossy Autoencoder,
    2016) or as p(x).
    """

    parts = {"log_p": "log p(x)"}

    def __init__(self, base: nn.Module, flow: Flow):
        super().__init__()
        self.base, self.flow = base, flow

    def log_prob(self, x: Tensor) -> Tensor:
        noise, log_det = self.flow(x)
        return self.base.log_prob(noise) + log_det

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return self.flow.inverse(self.base.sample(shape))

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(x), (B,), which is to be maximised; `beta` changes nothing."""
        log_p = self.log_prob(x)
        return log_p, {"log_p": log_p}


class FlowConditional(nn.Module):
    """An encoder q(z|x) whose Gaussian goes through a flow.

    Args:
        net: maps x to (..., 2 D + H): means, log-variances, and what the flow is given.
        flow: on D dimensions.
        given_dim: H, 0 for a flow that is the same for every x.
        log_var_range: as for `GaussianConditional`.
    """

    def __init__(
        self,
        net: nn.Module,
        flow: Flow,
        given_dim: int = 0,
        log_var_range: tuple[float, float] = (-6.0, 2.0),
    ):
        super().__init__()
        self.net, self.flow, self.given_dim, self.log_var_range = (
            net,
            flow,
            given_dim,
            log_var_range,
        )

    def forward(self, x: Tensor) -> FlowPosterior:
        output = self.net(check_given(x, self.net)).to(x.dtype)
        parameters, given = output.split([output.shape[-1] - self.given_dim, self.given_dim], -1)
        return FlowPosterior(
            gaussian_of(parameters, self.log_var_range),
            self.flow,
            given if self.given_dim else None,
        )
