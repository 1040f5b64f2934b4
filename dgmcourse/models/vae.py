"""The variational auto-encoder: the lecture's diagram with neural networks in two of its boxes.

Slides: "Variational Auto-Encoder". Kingma & Welling, Auto-Encoding Variational Bayes, 2014;
Rezende, Mohamed & Wierstra, Stochastic Backpropagation, 2014. Sizes of the feed-forward nets:
Tomczak & Welling, VAE with a VampPrior, 2017.
"""

from torch import nn

from dgmcourse.densities import (
    GaussianConditional,
    IsotropicGaussianConditional,
    StandardGaussian,
    outputs_per_pixel,
    pixel_decoder,
)
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.networks import conv_decoder, conv_encoder, gated_mlp
from dgmcourse.settings import check_whole


class VAE(LatentVariableModel):
    r"""The VAE with feed-forward gated networks.

    $$p(z) = \mathcal N(0, I), \quad q(z \mid x) = \mathcal N(\mu(x), \mathrm{diag}\,\sigma^2(x)), \quad
      p(x \mid z) = \mathrm{Bernoulli}(\pi(z)) \text{ or } \mathcal N(\mu(z), \mathrm{diag}\,\sigma^2(z))$$

    >>> VAE(latent_dim=2, hidden=8).sample(5).shape
    torch.Size([5, 784])

    Args:
        latent_dim: dimensions of z.
        hidden: units in each of the two hidden layers of each network.
        likelihood: "bernoulli" for binary pixels, "gaussian" for grey ones.
        data_dim: dimensions of x.

    Raises:
        ValueError: for another likelihood, or a setting out of its range.
    """

    def __init__(
        self,
        latent_dim: int = 40,
        hidden: int = 300,
        likelihood: str = "bernoulli",
        data_dim: int = 784,
    ):
        check_whole(latent_dim=latent_dim, hidden=hidden, data_dim=data_dim)
        outputs = data_dim * outputs_per_pixel(likelihood)
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(gated_mlp([data_dim, hidden, hidden, 2 * latent_dim])),
            pixel_decoder(gated_mlp([latent_dim, hidden, hidden, outputs]), likelihood),
        )


class ConvVAE(LatentVariableModel):
    """The VAE with convolutional networks for 28x28 images.

    Args:
        latent_dim, likelihood: as for `VAE`.
        channels, hidden: of the convolutions, and of the layer between them and z.
    """

    def __init__(
        self,
        latent_dim: int = 40,
        channels: int = 32,
        hidden: int = 128,
        likelihood: str = "bernoulli",
    ):
        check_whole(latent_dim=latent_dim, channels=channels, hidden=hidden)
        outputs = outputs_per_pixel(likelihood)
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(conv_encoder(2 * latent_dim, channels, hidden)),
            pixel_decoder(conv_decoder(latent_dim, outputs, channels, hidden), likelihood),
        )


class SquaredErrorVAE(LatentVariableModel):
    r"""The VAE with the Wasserstein auto-encoder's networks and, up to its scale, its cost.

    $$\log p(x \mid z) = -\frac{|x - \mu(z)|^2}{2 \sigma^2} + \text{const}, \quad \mu(z) \in (0, 1)^{784}$$
    """

    def __init__(self, latent_dim: int = 8):
        check_whole(latent_dim=latent_dim)
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(conv_encoder(2 * latent_dim), (-10.0, 2.0)),
            IsotropicGaussianConditional(nn.Sequential(conv_decoder(latent_dim), nn.Sigmoid())),
        )
