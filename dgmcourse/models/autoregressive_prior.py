"""An autoregressive prior: each latent dimension given those before it.

Slides: "Autoregressive prior". Chen et al., Variational Lossy Autoencoder, 2017, arXiv:1611.02731.
Their prior with one Gaussian for each dimension is a special case: as a map of z to noise it is an
autoregressive flow, and a `FlowDensity` of several such flows in alternating orders is the general
one.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import LOG_2PI, Density, Shape, check_event, check_shape
from dgmcourse.networks import MaskedMLP
from dgmcourse.settings import check_interval, check_whole


class AutoregressivePrior(Density, nn.Module):
    r"""$$p(z) = \prod_{d=1}^D p(z_d \mid z_1, \dots, z_{d-1}), \quad
      p(z_d \mid z_{<d}) = \sum_{c=1}^C \pi_{dc}\, \mathcal N(z_d \mid \mu_{dc}, \sigma_{dc}^2)$$

    One masked network gives the parameters of all D conditionals: a density takes one pass, a draw
    D of them.

    Args:
        dim: D.
        hidden: units of each hidden layer; at least D - 1, for every dimension to be seen by those
            after it.
        components: C, of each one-dimensional conditional.
        log_var_range: the log-variances are clipped to it.
    """

    def __init__(
        self,
        dim: int,
        hidden: tuple[int, ...] = (100, 100),
        components: int = 1,
        log_var_range: tuple[float, float] = (-6.0, 2.0),
    ):
        super().__init__()
        check_whole(dim=dim, components=components)
        for units in hidden:
            check_whole(hidden=units)
        check_interval(log_var_range=log_var_range)
        self.dim, self.components, self.log_var_range = dim, components, log_var_range
        self.net = MaskedMLP(dim, list(hidden), outputs=3 * components)
        places = torch.linspace(-2, 2, components + 2)[1:-1]  # equal means would learn the same
        self.net.layers[-1].bias.data.view(3, components, dim)[1] += places.unsqueeze(-1)

    def conditionals(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-variances of all p(z_d | z_<d) at once: (..., C, D) each."""
        output = self.net(z).to(z.dtype).unflatten(-1, (3, self.components, self.dim))
        weights, mean, log_var = output.unbind(-3)
        return torch.log_softmax(weights, -2), mean, log_var.clamp(*self.log_var_range)

    def log_prob(self, z: Tensor) -> Tensor:
        log_weights, mean, log_var = self.conditionals(check_event(z, self.dim))
        square = (z.unsqueeze(-2) - mean) ** 2
        each = log_weights - 0.5 * (LOG_2PI + log_var + square * torch.exp(-log_var))
        return torch.logsumexp(each, -2).sum(-1)  # a mixture in each dimension, then the chain rule

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        z = next(self.parameters()).new_zeros(*check_shape(shape), self.dim)
        for d in range(self.dim):
            log_weights, mean, log_var = (part[..., d] for part in self.conditionals(z))
            gumbel = -torch.empty_like(log_weights).exponential_().log()
            c = (log_weights + gumbel).argmax(-1, keepdim=True)  # a draw from the weights
            mean, log_var = mean.gather(-1, c).squeeze(-1), log_var.gather(-1, c).squeeze(-1)
            z[..., d] = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        return z
