"""The Wasserstein auto-encoder: optimal transport, relaxed to a reconstruction and a penalty.

Slides: "More GANs", the VEGAN cookbook. Bousquet, Gelly, Tolstikhin, Simon-Gabriel & Schoelkopf,
From Optimal Transport to Generative Modeling: the VEGAN Cookbook, 2017; Tolstikhin, Bousquet, Gelly
& Schoelkopf, Wasserstein Auto-Encoders, 2018.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import PointConditional, StandardGaussian, apply
from dgmcourse.distances import mmd
from dgmcourse.models.gan import leaky
from dgmcourse.models.latent_variable_model import AutoEncoder
from dgmcourse.networks import conv_decoder, conv_encoder, mlp
from dgmcourse.settings import check_number, check_whole


class PenalisedAutoEncoder(AutoEncoder):
    r"""What both Wasserstein auto-encoders have: the networks, without noise, and the cost.

    $$\max_{G, E}\; -\mathbb{E}_{x \sim p_{real}}\, |x - G(E(x))|^2 - \lambda\, \mathcal D(q(z), p(z))$$

    q(z) is the aggregate posterior, the distribution of E(x) over all data. The penalty asks q(z),
    and no single q(z|x), to be the prior: codes of different x need not overlap. The transport cost
    is the squared distance. A subclass brings the discrepancy D.

    Args:
        latent_dim: dimensions of z, 8 in the paper's MNIST experiments.
        weight: lambda; 0 gives a plain auto-encoder.
        channels, hidden: of the convolutional networks.

    Raises:
        ValueError: for a setting out of its range.
    """

    parts = {"cost": "cost", "discrepancy": "discrepancy"}

    def __init__(
        self, latent_dim: int = 8, weight: float = 10.0, channels: int = 32, hidden: int = 128
    ):
        check_whole(latent_dim=latent_dim, channels=channels, hidden=hidden)
        check_number(least=0, weight=weight)
        super().__init__()
        self.prior, self.weight = StandardGaussian(latent_dim), weight
        self.encoder = PointConditional(conv_encoder(latent_dim, channels, hidden))
        self.decoder = PointConditional(
            nn.Sequential(conv_decoder(latent_dim, 1, channels, hidden), nn.Sigmoid())
        )

    def code_and_cost(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E(x), (B, latent_dim), and |x - G(E(x))|^2, (B,)."""
        z = self.encoder(x).mean
        return z, ((x - self.decoder(z).mean) ** 2).sum(-1)


class WassersteinAutoEncoder(PenalisedAutoEncoder):
    """With the squared maximum mean discrepancy: no adversary, `fit` trains it."""

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """-|x - G(E(x))|^2 - lambda MMD^2, (B,); the MMD is one number for the whole batch.

        Returns:
            what to maximise, and {"cost", "discrepancy"}, (B,) each.
        """
        z, cost = self.code_and_cost(x)
        discrepancy = mmd(z, self.prior.sample(z.shape[:-1])).expand_as(cost)
        return -cost - beta * self.weight * discrepancy, {"cost": cost, "discrepancy": discrepancy}


class AdversarialWAE(PenalisedAutoEncoder):
    """With a discriminator in the latent space, which tells p(z) from q(z): `play` trains it.

    The discriminator maximises log D(z) + log(1 - D(E(x))), z ~ p(z); encoder and generator
    maximise -|x - G(E(x))|^2 + lambda log D(E(x)). With this cost it is the adversarial
    auto-encoder (Makhzani et al. 2015). Arguments as for `PenalisedAutoEncoder`.
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
            code = self.encoder(x).mean
        real, fake = self.logit(self.prior.sample(x.shape[:-1])), self.logit(code)
        value = F.logsigmoid(real) + F.logsigmoid(-fake)
        return value, {"discriminator": value}

    def generator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """-|x - G(E(x))|^2 + lambda log D(E(x)): (B,)."""
        z, cost = self.code_and_cost(x)
        fooled = F.logsigmoid(self.logit(z))
        return -cost + self.weight * fooled, {"cost": cost, "fooled": fooled}

    def logit(self, z: Tensor) -> Tensor:
        """The discriminator's logit that a code was drawn from the prior, (B,)."""
        return apply(self.discriminator, z).squeeze(-1)
