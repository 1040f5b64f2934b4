"""The Wasserstein auto-encoder: optimal transport between data and generator, relaxed to a
reconstruction and a penalty.

Slides: "More GANs", the VEGAN cookbook. Bousquet, Gelly, Tolstikhin, Simon-Gabriel & Schoelkopf,
From Optimal Transport to Generative Modeling: the VEGAN Cookbook, 2017; Tolstikhin, Bousquet, Gelly
& Schoelkopf, Wasserstein Auto-Encoders, 2018.
"""

from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import PointConditional, StandardGaussian, check_given
from dgmcourse.distances import mmd
from dgmcourse.models.gan import leaky
from dgmcourse.networks import conv_decoder, conv_encoder, mlp


class WassersteinAutoEncoder(nn.Module):
    r"""$$\max_{G, E}\; -\mathbb{E}_{x \sim p_{real}}\, |x - G(E(x))|^2 - \lambda\, \mathcal D(q(z), p(z))$$

    q(z) is what the encoder makes of all the data, the aggregate posterior. Only it, and no single
    q(z|x), is asked to be the prior: codes of different x need not overlap. The transport cost c is
    the squared distance.

    Here the discrepancy D is the squared maximum mean discrepancy: `fit` trains it, there is no
    adversary.

    Args:
        latent_dim: dimensions of z, 8 in the paper's MNIST experiments.
        weight: lambda; 0: a plain auto-encoder.
        channels, hidden: of the convolutional networks.

    Raises:
        ValueError: for a negative weight.
    """

    parts = {"cost": "cost", "discrepancy": "discrepancy"}

    def __init__(
        self, latent_dim: int = 8, weight: float = 10.0, channels: int = 32, hidden: int = 128
    ):
        if not weight >= 0:  # NaN neither
            raise ValueError(f"the penalty's weight lambda is not negative, got {weight}")
        super().__init__()
        self.prior, self.weight = StandardGaussian(latent_dim), weight
        self.encoder = PointConditional(conv_encoder(latent_dim, channels, hidden))
        self.decoder = PointConditional(
            nn.Sequential(conv_decoder(latent_dim, 1, channels, hidden), nn.Sigmoid())
        )

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """-|x - G(E(x))|^2 - lambda MMD^2 for each x, (B,); the second is the whole batch's, the
        same for all.

        Returns:
            what to maximise, and {"cost", "discrepancy"}, (B,) each.
        """
        z = self.encoder(x).mean
        cost = ((x - self.decoder(z).mean) ** 2).sum(-1)
        discrepancy = mmd(z, self.prior.sample(z.shape[:-1])).expand_as(cost)
        return -cost - beta * self.weight * discrepancy, {"cost": cost, "discrepancy": discrepancy}

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n objects G(z), z ~ p(z): shape (n, D)."""
        if not isinstance(n, Integral) or n < 0:
            raise TypeError(
                f"sample takes the number of objects, a whole number such as 5, got {n!r}"
            )
        return self.decoder(self.prior.sample((n,))).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """G(E(x)), (B, D)."""
        return self.decoder(self.encoder(x).mean).mean


class AdversarialWAE(WassersteinAutoEncoder):
    r"""The same, with a discriminator in the latent space for the discrepancy: it learns to tell
    p(z) from q(z).

    The discriminator maximises log D(z) + log(1 - D(E(x))), z ~ p(z); encoder and generator
    maximise -|x - G(E(x))|^2 + lambda log D(E(x)). With this cost it is the adversarial
    auto-encoder (Makhzani et al. 2015).
    """

    parts = {"discriminator": "discriminator's", "cost": "cost", "fooled": "log D of codes"}

    def __init__(
        self, latent_dim: int = 8, weight: float = 10.0, channels: int = 32, hidden: int = 128
    ):
        super().__init__(latent_dim, weight, channels, hidden)
        self.discriminator = mlp([latent_dim, 4 * hidden, 4 * hidden, 1], leaky)

    def discriminator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """log D(z) + log(1 - D(E(x))): (B,), nats."""
        with torch.no_grad():
            found = self.encoder(x).mean
        real, fake = self.logit(self.prior.sample(x.shape[:-1])), self.logit(found)
        value = F.logsigmoid(real) + F.logsigmoid(-fake)
        return value, {"discriminator": value}

    def generator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """-|x - G(E(x))|^2 + lambda log D(E(x)): (B,)."""
        z = self.encoder(x).mean
        cost = ((x - self.decoder(z).mean) ** 2).sum(-1)
        fooled = F.logsigmoid(self.logit(z))
        return -cost + self.weight * fooled, {"cost": cost, "fooled": fooled}

    def logit(self, z: Tensor) -> Tensor:
        """The discriminator's logit that a code was drawn from the prior, (B,)."""
        return self.discriminator(check_given(z, self.discriminator)).squeeze(-1).to(z.dtype)
