"""The density network: a latent variable model with a neural network for a decoder, trained without
an encoder.

Slides: "Density Network". MacKay, Bayesian Neural Networks and Density Networks, 1995.
"""

import math
from numbers import Integral

import torch
from torch import Tensor, nn

from dgmcourse.densities import StandardGaussian
from dgmcourse.models.vae import outputs_per_pixel, pixels
from dgmcourse.networks import gated_mlp


class DensityNetwork(nn.Module):
    r"""$$\log p(x) \approx \log \frac1S \sum_{s=1}^S \exp\left(\log p(x \mid z_s)\right), \quad z_s \sim p(z)$$

    The S codes are drawn once for a batch and shared by all its x: each is decoded once, and a
    Bernoulli decoder holds every x against every code in one matrix product. Each x's estimate is
    what it would be with codes of its own.

    Args:
        latent_dim: dimensions of z.
        hidden: units in each of the decoder's two gated layers.
        likelihood: "bernoulli" for binary pixels, "gaussian" for real numbers.
        data_dim: dimensions of x.
        samples: S in training. The bound is looser for fewer, and the cost proportional.

    Raises:
        ValueError: for another likelihood, or a number of samples that is not 1, 2, ...
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
        if not isinstance(samples, Integral) or samples < 1:
            raise ValueError(
                "the estimate needs a whole number of samples, at least one sample, got samples ="
                f" {samples!r}"
            )
        self.samples = samples
        self.prior = StandardGaussian(latent_dim)
        outputs = data_dim * outputs_per_pixel(likelihood)
        self.decoder = pixels(gated_mlp([latent_dim, hidden, hidden, outputs]), likelihood)

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """The estimate of log p(x), in expectation a lower bound: (B,), nats, and {"log_p"} to
        watch.

        There is no regulariser that beta could weigh.
        """
        z = self.prior.sample((self.samples,))
        log_p = torch.logsumexp(self.decoder(z).cross_log_prob(x), -1) - math.log(self.samples)
        return log_p, {"log_p": log_p}

    @torch.no_grad()
    def posterior_mean(self, x: Tensor, S: int = 5000) -> Tensor:
        r"""$$E[z \mid x] \approx \sum_s w_s z_s, \quad w_s \propto p(x \mid z_s), \quad z_s \sim p(z)$$

        What an encoder would answer, (B, latent_dim), had by trying: in many dimensions it is the
        best of S poor codes.

        Raises:
            ValueError: for S < 1.
        """
        if S < 1:
            raise ValueError(f"the posterior's mean needs at least one sample, got S = {S}")
        z = self.prior.sample((S,))
        return torch.softmax(self.decoder(z).cross_log_prob(x), -1) @ z

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n objects: first z from the prior, then x given z. Shape (n, D).

        Raises:
            TypeError: if n is not a whole number.
        """
        if not isinstance(n, Integral):
            raise TypeError(
                f"sample takes the number of objects, a whole number such as 5, got {n!r}"
            )
        return self.decoder(self.prior.sample((n,))).sample()
