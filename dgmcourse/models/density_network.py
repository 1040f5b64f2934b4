"""The density network: a latent variable model whose decoder is a network, trained without encoder.

Slides: "Density Network". MacKay, Bayesian Neural Networks and Density Networks, 1995.
"""

import math

import torch
from torch import Tensor

from dgmcourse.densities import StandardGaussian, outputs_per_pixel, pixel_decoder
from dgmcourse.models.latent_variable_model import GenerativeModel
from dgmcourse.networks import gated_mlp
from dgmcourse.settings import check_whole


class DensityNetwork(GenerativeModel):
    r"""$$\log p(x) \approx \log \frac1S \sum_{s=1}^S \exp\left(\log p(x \mid z_s)\right), \quad z_s \sim p(z)$$

    The S codes are drawn once for a batch and shared by all its x: each is decoded once, and a
    Bernoulli decoder compares every x with every code in one matrix product. For each x the
    estimate has the distribution that codes of its own would give.

    Args:
        latent_dim: dimensions of z.
        hidden: units in each of the decoder's two gated layers.
        likelihood: "bernoulli" for binary pixels, "gaussian" for real numbers.
        data_dim: dimensions of x.
        samples: S in training. With fewer the bound is looser; the cost is proportional.

    Raises:
        ValueError: for another likelihood, or a setting out of its range.
    """

    parts = {"log_p": "estimate of log p(x)"}

    def __init__(
        self,
        latent_dim: int = 2,
        hidden: int = 300,
        likelihood: str = "bernoulli",
        data_dim: int = 784,
        samples: int = 1000,
    ):
        super().__init__()
        check_whole(latent_dim=latent_dim, hidden=hidden, data_dim=data_dim, samples=samples)
        self.samples = samples
        self.prior = StandardGaussian(latent_dim)
        outputs = data_dim * outputs_per_pixel(likelihood)
        self.decoder = pixel_decoder(gated_mlp([latent_dim, hidden, hidden, outputs]), likelihood)

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """The estimate of log p(x), in expectation a lower bound: (B,), nats.

        Returns:
            what to maximise, and {"log_p"}, the same, to watch. Nothing here depends on beta.
        """
        z = self.prior.sample((self.samples,))
        log_p = torch.logsumexp(self.decoder(z).cross_log_prob(x), -1) - math.log(self.samples)
        return log_p, {"log_p": log_p}

    @torch.no_grad()
    def posterior_mean(self, x: Tensor, S: int = 5000) -> Tensor:
        r"""$$E[z \mid x] \approx \sum_s w_s z_s, \quad w_s \propto p(x \mid z_s), \quad z_s \sim p(z)$$

        What an encoder would give, (B, latent_dim), found by trial: in many dimensions it is the
        best of S poor codes.

        Raises:
            ValueError: for S < 1.
        """
        check_whole(S=S)
        z = self.prior.sample((S,))
        return torch.softmax(self.decoder(z).cross_log_prob(x), -1) @ z
