"""The deep convolutional GAN: the GAN's game between convolutional networks.

Slides: "More GANs", deep convolutional GANs. Radford, Metz & Chintala, Unsupervised Representation
Learning with Deep Convolutional Generative Adversarial Networks, 2015.
"""

from dgmcourse.densities import StandardGaussian
from dgmcourse.models.gan import GAN
from dgmcourse.networks import dcgan_discriminator, dcgan_generator
from dgmcourse.settings import check_whole


class DCGAN(GAN):
    """The GAN with convolutional networks for 28x28 images.

    It follows the paper: strides in place of pooling, batch normalisation, ReLUs in G and leaky
    ones in D, weights that start at N(0, 0.02^2), Adam with 2e-4 and beta1 = 0.5.

    Args:
        latent_dim: dimensions of z, 100 in the paper.
        channels: of the largest feature maps; the next have twice as many.
    """

    def __init__(self, latent_dim: int = 64, channels: int = 32):
        check_whole(latent_dim=latent_dim, channels=channels)
        super().__init__(
            StandardGaussian(latent_dim),
            dcgan_generator(latent_dim, channels),
            dcgan_discriminator(1, channels),
        )
