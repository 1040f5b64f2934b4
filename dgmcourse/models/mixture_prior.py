"""A mixture of Gaussians as a prior: the simplest one with more than one mode.

Slides: "Improving the prior". As a VAE's prior: Dilokthanakul et al., Deep Unsupervised Clustering
with Gaussian Mixture Variational Autoencoders, 2016, arXiv:1611.02648; and the baseline of Tomczak
& Welling, VAE with a VampPrior, 2017.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import Density, Gaussian, Mixture, Shape
from dgmcourse.settings import check_number, check_whole


class MixturePrior(Density, nn.Module):
    r"""K Gaussians whose weights, means and variances are learned.

    $$p(z) = \sum_{k=1}^K \pi_k\, \mathcal N(z \mid \mu_k, \mathrm{diag}\,\sigma_k^2)$$

    Args:
        dim: of z.
        components: K.
        spread: standard deviation of the first means. They must differ, or all components learn the
            same.
    """

    def __init__(self, dim: int, components: int = 50, spread: float = 1.0):
        check_whole(dim=dim, components=components)
        check_number(above=0, spread=spread)
        super().__init__()
        self.log_weights = nn.Parameter(torch.zeros(components))  # Mixture normalises them
        self.means = nn.Parameter(spread * torch.randn(components, dim))
        self.log_vars = nn.Parameter(torch.zeros(components, dim))

    def precomputed(self) -> Mixture:
        """The mixture with its weights normalised."""
        return Mixture(self.log_weights, Gaussian(self.means, self.log_vars))

    def log_prob(self, z: Tensor) -> Tensor:
        return self.precomputed().log_prob(z)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.precomputed().sample(shape)
