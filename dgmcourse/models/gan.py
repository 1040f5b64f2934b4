"""The generative adversarial net: a generator and the discriminator that judges it, each with its
own objective.

Slides: "Generative Adversarial Nets". Goodfellow et al., Generative Adversarial Nets, 2014.
"""

from numbers import Integral

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import PointConditional, StandardGaussian, check_given
from dgmcourse.networks import mlp


class GAN(nn.Module):
    r"""$$\min_G \max_D\; \mathbb{E}_{x \sim p_{real}}[\log D(x)] + \mathbb{E}_{z \sim p(z)}[\log(1 - D(G(z)))]$$

    The discriminator answers with a logit, D(x) = sigmoid(logit): log D = logsigmoid(l) and log(1 -
    D) = logsigmoid(-l) are exact however sure it is. `dgmcourse.play` trains it; as a model to look
    at it has `prior` and `decoder` like any other.

    Args:
        prior: p(z), a Density.
        generator: G, a network from (..., latent_dim) to (..., D).
        discriminator: a network from (..., D) to logits (..., 1).
        saturating: the generator's objective. False: log D(G(z)), whose gradient is strong while
            the fakes are bad; True: -log(1 - D(G(z))), the min-max objective's own, whose gradient
            vanishes there.
    """

    parts = {"discriminator": "discriminator's", "generator": "generator's"}
    parts |= {"real": "D of real ones", "fake": "D of fakes"}

    def __init__(
        self,
        prior: nn.Module,
        generator: nn.Module,
        discriminator: nn.Module,
        saturating: bool = False,
    ):
        super().__init__()
        self.prior, self.generator, self.discriminator, self.saturating = (
            prior,
            generator,
            discriminator,
            saturating,
        )

    def discriminator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """log D(x) + log(1 - D(G(z))), which the discriminator maximises: (B,), nats; -2 log 2
        where it has to guess.

        Returns: the objective, and {"discriminator", "real", "fake"}: itself, D(x) and D(G(z)),
            (B,) each.
        """
        with torch.no_grad():  # in the discriminator's turn the generator stands still
            fakes = self.make(x)
        real, fake = self.logit(x), self.logit(fakes)
        value = F.logsigmoid(real) + F.logsigmoid(-fake)
        return value, {"discriminator": value, "real": real.sigmoid(), "fake": fake.sigmoid()}

    def generator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator maximises at fresh z, as many as there are x (which are not looked
        at): (B,), nats.
        """
        fake = self.logit(self.make(x))
        value = -F.logsigmoid(-fake) if self.saturating else F.logsigmoid(fake)
        return value, {"generator": value}

    def logit(self, x: Tensor) -> Tensor:
        """The discriminator's logit of each x, (B,): positive where it says "real"."""
        return self.discriminator(check_given(x, self.discriminator)).squeeze(-1).to(x.dtype)

    def make(self, x: Tensor) -> Tensor:
        """G(z) at fresh z, as many as there are x."""
        z = self.prior.sample(x.shape[:-1])
        return self.generator(z).to(z.dtype)  # mixed precision stays within the networks

    @property
    def decoder(self) -> PointConditional:
        """p(x|z), all of it at G(z)."""
        return PointConditional(self.generator)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n objects G(z), z ~ p(z): shape (n, D)."""
        if not isinstance(n, Integral):
            raise TypeError(
                f"sample takes the number of objects, a whole number such as 5, got {n!r}"
            )
        return self.generator(self.prior.sample((n,)))


class ImageGAN(GAN):
    """The GAN of 28x28 images with feed-forward networks.

    Args:
        latent_dim: dimensions of z.
        hidden: units in the smaller of the two hidden layers of each network; the larger, next to
            the pixels, has twice as many.
        saturating: as in `GAN`.

    The discriminator leaves out 30 % of its units at random: without that it is soon certain of
    every image, and nothing it says is of use to the generator.
    """

    def __init__(
        self, latent_dim: int = 64, hidden: int = 256, saturating: bool = False, data_dim: int = 784
    ):
        super().__init__(
            StandardGaussian(latent_dim),
            mlp([latent_dim, hidden, 2 * hidden, data_dim], leaky, output=nn.Sigmoid()),
            mlp([data_dim, 2 * hidden, hidden, 1], leaky, dropout=0.3),
            saturating,
        )


def leaky() -> nn.Module:
    """A ReLU that lets a fifth of the negative side through: the discriminator has a gradient
    everywhere to pass on.
    """
    return nn.LeakyReLU(0.2)
