"""The variational auto-encoder: the lecture's diagram with neural networks in two of its boxes.

Slides: "Variational Auto-Encoder". Kingma & Welling, Auto-Encoding Variational Bayes, 2014;
Rezende, Mohamed & Wierstra, Stochastic Backpropagation, 2014. Sizes of the feed-forward nets:
Tomczak & Welling, VAE with a VampPrior, 2017.
"""

from torch import nn

from dgmcourse.densities import (
    BernoulliConditional,
    GaussianConditional,
    IsotropicGaussianConditional,
    StandardGaussian,
)
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.networks import conv_decoder, conv_encoder, gated_mlp

LIKELIHOODS = {"bernoulli": 1, "gaussian": 2}  # and the network's outputs per pixel


class VAE(LatentVariableModel):
    r"""The VAE with feed-forward gated networks.

    $$p(z) = \mathcal N(0, I), \quad q(z \mid x) = \mathcal N(\mu(x), \mathrm{diag}\,\sigma^2(x)), \quad
      p(x \mid z) = \mathrm{Bernoulli}(\pi(z)) \text{ or } \mathcal N(\mu(z), \mathrm{diag}\,\sigma^2(z))$$

    Args:
        latent_dim: dimensions of z.
        hidden: units in each of the two hidden layers of each network.
        likelihood: "bernoulli" for binary pixels, "gaussian" for grey ones.
        data_dim: dimensions of x.

    Raises:
        ValueError: for another likelihood.
    """

    def __init__(
        self,
        latent_dim: int = 40,
        hidden: int = 300,
        likelihood: str = "bernoulli",
        data_dim: int = 784,
    ):
        outputs = data_dim * outputs_per_pixel(likelihood)
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(gated_mlp([data_dim, hidden, hidden, 2 * latent_dim])),
            pixels(gated_mlp([latent_dim, hidden, hidden, outputs]), likelihood),
        )


class ConvVAE(LatentVariableModel):
    """The VAE with convolutional networks for 28x28 images. Arguments as for `VAE`; `channels`
    scales the convolutions.
    """

    def __init__(
        self,
        latent_dim: int = 40,
        channels: int = 32,
        hidden: int = 128,
        likelihood: str = "bernoulli",
    ):
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(conv_encoder(2 * latent_dim, channels, hidden)),
            pixels(
                conv_decoder(latent_dim, outputs_per_pixel(likelihood), channels, hidden),
                likelihood,
            ),
        )


class SquaredErrorVAE(LatentVariableModel):
    r"""The VAE with the Wasserstein auto-encoder's networks and, up to its scale, its cost.

    $$\log p(x \mid z) = -\frac{|x - \mu(z)|^2}{2 \sigma^2} + \text{const}, \quad \mu(z) \in (0, 1)^{784}$$
    """

    def __init__(self, latent_dim: int = 8):
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(conv_encoder(2 * latent_dim), (-10.0, 2.0)),
            IsotropicGaussianConditional(nn.Sequential(conv_decoder(latent_dim), nn.Sigmoid())),
        )


def outputs_per_pixel(likelihood: str) -> int:
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"likelihood is one of {', '.join(map(repr, LIKELIHOODS))}, got {likelihood!r}"
        )
    return LIKELIHOODS[likelihood]


def pixels(net: nn.Module, likelihood: str) -> nn.Module:
    """The decoder p(x|z) around a network: logits for a Bernoulli, means and log-variances for a
    Gaussian.
    """
    return (
        BernoulliConditional(net)
        if likelihood == "bernoulli"
        else GaussianConditional(net, (-4.5, 0.0))
    )
