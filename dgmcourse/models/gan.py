"""The generative adversarial net: a generator and a discriminator, each with its own objective.

Slides: "Generative Adversarial Nets". Goodfellow et al., Generative Adversarial Nets, 2014.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import Density, PointConditional, StandardGaussian, apply
from dgmcourse.models.latent_variable_model import GenerativeModel
from dgmcourse.networks import mlp
from dgmcourse.settings import check_whole


class GAN(GenerativeModel):
    r"""$$\min_G \max_D\; \mathbb{E}_{x \sim p_{real}}[\log D(x)] + \mathbb{E}_{z \sim p(z)}[\log(1 - D(G(z)))]$$

    The discriminator answers with a logit, D(x) = sigmoid(logit): log D = logsigmoid(l) and
    log(1 - D) = logsigmoid(-l) are exact however sure it is. `dgmcourse.play` trains it.

    Args:
        prior: p(z), a Density.
        generator: G, a network from (..., latent_dim) to (..., D).
        discriminator: a network from (..., D) to logits (..., 1).
        saturating: the generator's objective. False: log D(G(z)), whose gradient is strong while
            the fakes are bad. True: -log(1 - D(G(z))), as in the min-max objective, whose gradient
            vanishes there.
    """

    parts = {"discriminator": "discriminator's", "generator": "generator's"}
    parts |= {"real": "D of real ones", "fake": "D of fakes"}

    def __init__(
        self,
        prior: Density,
        generator: nn.Module,
        discriminator: nn.Module,
        saturating: bool = False,
    ):
        super().__init__()
        self.prior, self.generator, self.discriminator = prior, generator, discriminator
        self.saturating = saturating

    def discriminator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """log D(x) + log(1 - D(G(z))), (B,), nats: -2 log 2 where D can only guess.

        Returns:
            what the discriminator maximises, and {"discriminator", "real", "fake"} to watch: the
            same, D(x) and D(G(z)), (B,) each.
        """
        with torch.no_grad():  # in the discriminator's turn the generator stands still
            fakes = self.make(x)
        real, fake = self.logit(x), self.logit(fakes)
        value = F.logsigmoid(real) + F.logsigmoid(-fake)
        return value, {"discriminator": value, "real": real.sigmoid(), "fake": fake.sigmoid()}

    def generator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """log D(G(z)) at fresh z, as many as there are x, of which only the shape is used: (B,)."""
        fake = self.logit(self.make(x))
        value = -F.logsigmoid(-fake) if self.saturating else F.logsigmoid(fake)
        return value, {"generator": value}

    def logit(self, x: Tensor) -> Tensor:
        """The discriminator's logit of each x, (B,): positive where it says "real"."""
        return apply(self.discriminator, x).squeeze(-1)

    def make(self, x: Tensor) -> Tensor:
        """G(z) at fresh z, as many as there are x."""
        return apply(self.generator, self.prior.sample(x.shape[:-1]))

    @property
    def decoder(self) -> PointConditional:
        """p(x|z), all of it at G(z)."""
        return PointConditional(self.generator)


class ImageGAN(GAN):
    """The GAN of 28x28 images with feed-forward networks.

    The discriminator leaves out 30 % of its units at random. Without that it is soon certain of
    every image, and its gradient tells the generator nothing.

    Args:
        latent_dim: dimensions of z.
        hidden: units in the smaller of the two hidden layers of each network. The larger, next to
            the pixels, has twice as many.
        saturating: as in `GAN`.
        data_dim: dimensions of x.
    """

    def __init__(
        self, latent_dim: int = 64, hidden: int = 256, saturating: bool = False, data_dim: int = 784
    ):
        check_whole(latent_dim=latent_dim, hidden=hidden, data_dim=data_dim)
        super().__init__(
            StandardGaussian(latent_dim),
            mlp([latent_dim, hidden, 2 * hidden, data_dim], leaky, output=nn.Sigmoid()),
            mlp([data_dim, 2 * hidden, hidden, 1], leaky, dropout=0.3),
            saturating,
        )


def leaky() -> nn.Module:
    """A ReLU that passes a fifth of negative values, and with them a gradient to the generator."""
    return nn.LeakyReLU(0.2)
