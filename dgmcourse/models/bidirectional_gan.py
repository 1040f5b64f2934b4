"""The bidirectional GAN: an encoder learns the generator's inverse without comparing pixels.

Slides: "More GANs", bidirectional GANs. Donahue, Kraehenbuehl & Darrell, Adversarial Feature
Learning, 2016.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import PointConditional, StandardGaussian
from dgmcourse.models.gan import leaky
from dgmcourse.models.latent_variable_model import AutoEncoder
from dgmcourse.networks import mlp
from dgmcourse.settings import check_whole


class BidirectionalGAN(AutoEncoder):
    r"""$$\min_{G, E} \max_D\; \mathbb{E}_{x \sim p_{real}}[\log D(x, E(x))]
      + \mathbb{E}_{z \sim p(z)}[\log(1 - D(G(z), z))]$$

    The discriminator sees pairs. Where it can't tell (x, E(x)) from (G(z), z), E inverts G:
    E(G(z)) = z. Nothing in the training asks a reconstruction G(E(x)) to be near x.

    Args:
        latent_dim: dimensions of z: uniform in the paper, N(0, I) here.
        hidden: units in each of the two hidden layers of each network.
        data_dim: dimensions of x.
    """

    parts = {"discriminator": "discriminator's", "generator": "generator's"}
    parts |= {"real": "D of real ones", "fake": "D of fakes"}

    def __init__(self, latent_dim: int = 50, hidden: int = 512, data_dim: int = 784):
        check_whole(latent_dim=latent_dim, hidden=hidden, data_dim=data_dim)
        super().__init__()
        self.prior = StandardGaussian(latent_dim)
        self.generator = mlp(
            [latent_dim, hidden, hidden, data_dim], output=nn.Sigmoid(), batch_norm=True
        )
        self.inverse = mlp([data_dim, hidden, hidden, latent_dim], batch_norm=True)
        self.discriminator = mlp([data_dim + latent_dim, hidden, hidden, 1], leaky)

    def logit(self, x: Tensor, z: Tensor) -> Tensor:
        """The discriminator's logit that the pair began with a real x, (B,)."""
        if z.shape != (*x.shape[:-1], self.prior.dim):
            raise ValueError(
                f"a pair is an x and a code of {self.prior.dim} numbers: got x of shape"
                f" {tuple(x.shape)} and codes of shape {tuple(z.shape)}"
            )
        return self.discriminator(torch.cat([x, z], -1)).squeeze(-1).to(x.dtype)

    def discriminator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """log D(x, E(x)) + log(1 - D(G(z), z)): (B,), nats."""
        z = self.prior.sample(x.shape[:-1])
        with torch.no_grad():
            code, fake_x = self.encoder(x).mean, self.decoder(z).mean
        real, fake = self.logit(x, code), self.logit(fake_x, z)
        value = F.logsigmoid(real) + F.logsigmoid(-fake)
        return value, {"discriminator": value, "real": real.sigmoid(), "fake": fake.sigmoid()}

    def generator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """log D(G(z), z) + log(1 - D(x, E(x))), for generator and encoder: (B,), nats."""
        z = self.prior.sample(x.shape[:-1])
        fake_x, code = self.decoder(z).mean, self.encoder(x).mean
        value = F.logsigmoid(self.logit(fake_x, z)) + F.logsigmoid(-self.logit(x, code))
        return value, {"generator": value}

    @property
    def decoder(self) -> PointConditional:
        """p(x|z), all of it at G(z)."""
        return PointConditional(self.generator)

    @property
    def encoder(self) -> PointConditional:
        """q(z|x), all of it at E(x)."""
        return PointConditional(self.inverse)
