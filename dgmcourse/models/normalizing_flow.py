r"""Normalizing flows: a simple distribution sent through invertible maps, corrected for volume.

$$z^{(T)} = f^{(T)} \circ \dots \circ f^{(1)}(z^{(0)}), \qquad
  \log q(z^{(T)}) = \log q(z^{(0)}) - \sum_{t=1}^T \log \left|\det \frac{\partial f^{(t)}}{\partial z^{(t-1)}}\right|$$

Slides: "Normalizing flows". Rezende & Mohamed, Variational Inference with Normalizing Flows, 2015,
arXiv:1505.05770.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dgmcourse.densities import Density, Shape, apply, check_event, gaussian_of
from dgmcourse.settings import check_interval, check_whole


class Flow(nn.Module, ABC):
    """An invertible map f of z, (..., D) to (..., D), whose log-determinant can be computed.

    `given`, (..., H), is what its parameters may depend on, such as an encoder's features. A flow
    with given_dim = 0 takes none.
    """

    @abstractmethod
    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """f(z), (..., D), and log |det df/dz|, (...)."""

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        """The z that f maps to this one, (..., D)."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse in closed form")

    def check_condition(self, given: Tensor | None) -> bool:
        """Whether something is given.

        Raises:
            ValueError: if the flow was made for it and it is missing, or the other way round.
        """
        if (given is None) != (self.given_dim == 0):
            raise ValueError(
                f"this flow was made with given_dim = {self.given_dim}, and given is"
                f" {'' if given is None else 'not '}None"
            )
        return given is not None


class Flows(Flow):
    """T flows, one after another; their log-determinants add up."""

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
    """A learned shift and positive scale of each dimension, which other flows can build on."""

    def __init__(self, dim: int):
        check_whole(dim=dim)
        super().__init__()
        self.shift, self.log_scale = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, z: Tensor, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z = self.shift + check_event(z, self.shift) * torch.exp(self.log_scale)
        return z, self.log_scale.sum().expand(z.shape[:-1])

    def inverse(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        return (check_event(z, self.shift) - self.shift) * torch.exp(-self.log_scale)


class FlowPosterior(Density):
    """q(z^(T)), the distribution of f(z) for z from a base. One pass gives a draw and its density.

    Args:
        base: q(z^(0)), a Density with `rsample`.
        flow: f.
        given: what the flow's parameters depend on, if they do.
    """

    def __init__(self, base: Density, flow: Flow, given: Tensor | None = None):
        self.base, self.flow, self.given = base, flow, given

    @property
    def mean(self) -> Tensor:
        """f of the base's mean, in place of the true mean, which has no closed form."""
        return self.flow(self.base.mean, self.given)[0]

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        z0, log_q0 = self.base.rsample_and_log_prob(shape)
        z, log_det = self.flow(z0, self.given)
        return z, log_q0 - log_det

    def rsample(self, shape: Shape = ()) -> Tensor:
        return self.rsample_and_log_prob(shape)[0]

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.rsample(shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z) at any z, through the flow's inverse."""
        z0 = self.flow.inverse(z, self.given)
        return self.base.log_prob(z0) - self.flow(z0, self.given)[1]


class FlowDensity(Density, nn.Module):
    r"""A flow fitted to data: it maps x to the base's noise, and the density takes one pass.

    $$\log p(x) = \log p_0(f(x)) + \log |\det \partial f / \partial x|$$

    Sampling needs the inverse. It serves as a prior (an autoregressive flow: Variational Lossy
    Autoencoder, 2016) or as p(x).
    """

    parts = {"log_p": "log p(x)"}

    def __init__(self, base: Density, flow: Flow):
        super().__init__()
        self.base, self.flow = base, flow

    def log_prob(self, x: Tensor) -> Tensor:
        noise, log_det = self.flow(x)
        return self.base.log_prob(noise) + log_det

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.flow.inverse(self.base.sample(shape))

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(x), (B,), nats, and {"log_p"}, the same; `beta` changes nothing."""
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
        check_whole(0, given_dim=given_dim)
        check_interval(log_var_range=log_var_range)
        super().__init__()
        self.net, self.flow = net, flow
        self.given_dim, self.log_var_range = given_dim, log_var_range

    def forward(self, x: Tensor) -> FlowPosterior:
        output = apply(self.net, x)
        parameters, given = output.split([output.shape[-1] - self.given_dim, self.given_dim], -1)
        base = gaussian_of(parameters, self.log_var_range)
        return FlowPosterior(base, self.flow, given if self.given_dim else None)
