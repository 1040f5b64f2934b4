"""A VAE whose decoder is a PixelCNN: z tells what the picture is of, earlier pixels tell the rest.

Slides: "Improving the decoder", "PixelVAE". Gulrajani et al., PixelVAE: A Latent Variable Model for
Natural Images, 2016, arXiv:1611.05013; what is left for z: Chen et al., Variational Lossy
Autoencoder, 2016, arXiv:1611.02731.
"""

import torch
from torch import Tensor

from dgmcourse.densities import GaussianConditional, StandardGaussian, kl_per_dimension
from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.latent_variable_model import LatentVariableModel, elbo_parts
from dgmcourse.models.pixelcnn import PixelConditional
from dgmcourse.networks import conv_decoder, conv_encoder
from dgmcourse.settings import check_number, check_whole


class PixelVAE(LatentVariableModel):
    r"""$$p(\mathbf{x}) = \int p(\mathbf{z}) \prod_{i=1}^D p(x_i \mid x_1, \dots, x_{i-1}, \mathbf{z})\, d\mathbf{z}$$

    Binary images of 28x28 pixels. The fewer pixels the decoder sees, the more is left for z.

    Args:
        latent_dim: dimensions of z.
        width, layers, first: of the decoder's `GatedPixelNet`; it sees layers + first // 2 rows up.
        channels, hidden: of the convolutional encoder, and of the network that makes a map of z.
    """

    def __init__(
        self,
        latent_dim: int = 16,
        width: int = 16,
        layers: int = 2,
        first: int = 5,
        channels: int = 16,
        hidden: int = 64,
    ):
        check_whole(latent_dim=latent_dim, channels=channels, hidden=hidden)
        net = GatedPixelNet(width, layers, first)
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(conv_encoder(2 * latent_dim, channels, hidden)),
            PixelConditional(net, conv_decoder(latent_dim, 2 * width, channels, hidden)),
        )


def free_bits(model: LatentVariableModel, nats: float):
    r"""An objective for `fit` under which so many nats of KL in each dimension cost nothing.

    $$\mathbb{E}_{q}[\log p(\mathbf{x} \mid \mathbf{z})] - \sum_d \max(\lambda, \overline{\mathrm{KL}}_d)$$

    The mean is over the batch. A dimension below lambda has nothing to gain from telling even less
    (Kingma et al., Inverse Autoregressive Flow, 2016). This is no bound on log p(x); the parts it
    reports are those of the bound.

    Raises:
        ValueError: for a number of nats that is negative or NaN.
    """
    check_number(least=0, nats=nats)

    def objective(x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        q = model.encoder(x)
        reconstruction = model.decoder(q.rsample()).log_prob(x)
        of_each = kl_per_dimension(q, model.prior)
        charged = torch.clamp(of_each.mean(0), min=nats).sum()
        return reconstruction - beta * charged, elbo_parts(reconstruction, of_each.sum(-1))

    return objective
