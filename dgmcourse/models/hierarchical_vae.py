"""A VAE with two layers of latent variables: z_2 above, z_1 below it, and both make x.

Slides: "VampPrior", as HVAE. Tomczak & Welling, VAE with a VampPrior, 2017, arXiv:1705.07120: sizes
and wiring.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dgmcourse.densities import (
    Conditional,
    Density,
    Gaussian,
    GaussianConditional,
    Shape,
    StandardGaussian,
    check_event,
    gaussian_of,
    outputs_per_pixel,
    pixel_decoder,
)
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.vamp_prior import VampPrior
from dgmcourse.networks import Joined, conv_decoder, conv_encoder, gated, gated_mlp
from dgmcourse.settings import check_interval, check_whole


class Ancestral(Density):
    r"""$$p(z_2, z_1) = p(z_2)\, p(z_1 \mid z_2)$$

    The event is the concatenation [z_2, z_1], so that a model of two layers is a latent variable
    model of one z.

    Args:
        top: p(z_2), a Density.
        below: maps z_2 to the Density p(z_1 | z_2).
        top_dim: dimensions of z_2.
    """

    def __init__(self, top: Density, below: Callable[[Tensor], Density], top_dim: int):
        self.top, self.below, self.top_dim = top, below, top_dim

    def log_prob(self, z: Tensor) -> Tensor:
        z2, z1 = z[..., : self.top_dim], z[..., self.top_dim :]
        return self.top.log_prob(z2) + self.below(z2).log_prob(z1)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        z2 = self.top.sample(shape)
        return torch.cat([z2, self.below(z2).sample()], -1)

    def rsample(self, shape: Shape = ()) -> Tensor:
        return self.rsample_and_log_prob(shape)[0]

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        z2, log_top = self.top.rsample_and_log_prob(shape)
        z1, log_below = self.below(z2).rsample_and_log_prob()
        return torch.cat([z2, z1], -1), log_top + log_below

    @property
    def mean(self) -> Tensor:
        """The top's mean, and the mean below given that one: a reconstruction starts here."""
        return torch.cat([self.top.mean, self.below(self.top.mean).mean], -1)

    def precomputed(self) -> "Ancestral":
        return Ancestral(self.top.precomputed(), self.below, self.top_dim)


class TwoLayerPrior(Density, nn.Module):
    """p(z_2) p(z_1 | z_2) as a module with parameters, around the arithmetic of `Ancestral`.

    Args:
        top: p(z_2), a Density.
        below: p(z_1 | z_2), a Conditional.
        dims: dimensions of z_2 and of z_1.
    """

    def __init__(self, top: Density, below: Conditional, dims: tuple[int, int]):
        super().__init__()
        self.top, self.below, self.dims = top, below, dims

    def follow(self, encoder: Conditional) -> None:
        """As `VampPrior.follow`, if p(z_2) is one."""
        if hasattr(self.top, "follow"):
            self.top.follow(encoder.top)

    def precomputed(self) -> Ancestral:
        return Ancestral(self.top.precomputed(), self.below, self.dims[0])

    def log_prob(self, z: Tensor) -> Tensor:
        return self.precomputed().log_prob(check_event(z, sum(self.dims)))

    def sample(self, shape: Shape = ()) -> Tensor:
        return self.precomputed().sample(shape)


class TwoLayerEncoder(nn.Module):
    r"""$$q(z_2, z_1 \mid x) = q(z_2 \mid x)\, q(z_1 \mid x, z_2)$$

    Args:
        top: q(z_2|x), a Conditional.
        below: a network (x, z_2) -> means and log-variances of z_1.
        log_var_range: these log-variances are clipped to it.
    """

    def __init__(
        self,
        top: Conditional,
        below: Joined,
        log_var_range: tuple[float, float] = (-6.0, 2.0),
    ):
        check_interval(log_var_range=log_var_range)
        super().__init__()
        self.top, self.below, self.log_var_range = top, below, log_var_range

    def forward(self, x: Tensor) -> Ancestral:
        def below(z2: Tensor) -> Gaussian:
            return gaussian_of(self.below(x, z2).to(x.dtype), self.log_var_range)

        top = self.top(x)
        return Ancestral(top, below, top.mean.shape[-1])


class HierarchicalVAE(LatentVariableModel):
    r"""$$p(z_2)\, p(z_1 \mid z_2)\, p(x \mid z_1, z_2) \quad\text{and}\quad q(z_2 \mid x)\, q(z_1 \mid x, z_2)$$

    Args:
        latent_dim: dimensions of z_1 and of z_2, each.
        hidden: units in each hidden layer.
        components: pseudo-inputs of a VampPrior for z_2; None for a standard Gaussian.
        likelihood, data_dim: as for `VAE`.
    """

    def __init__(
        self,
        latent_dim: int = 40,
        hidden: int = 300,
        likelihood: str = "bernoulli",
        data_dim: int = 784,
        components: int | None = None,
    ):
        check_whole(latent_dim=latent_dim, hidden=hidden, data_dim=data_dim)
        check_whole(none=True, components=components)
        outputs = data_dim * outputs_per_pixel(likelihood)
        encoder = TwoLayerEncoder(
            GaussianConditional(gated_mlp([data_dim, hidden, hidden, 2 * latent_dim])),
            Joined(
                gated(data_dim, hidden),
                gated(latent_dim, hidden),
                gated_mlp([2 * hidden, hidden, 2 * latent_dim]),
            ),
        )
        prior = two_layer_prior(encoder, latent_dim, hidden, data_dim, components)
        decoder = Joined(
            gated(latent_dim, hidden),
            gated(latent_dim, hidden),
            gated_mlp([2 * hidden, hidden, outputs]),
        )
        super().__init__(prior, encoder, pixel_decoder(decoder, likelihood))


class ConvHierarchicalVAE(LatentVariableModel):
    """`HierarchicalVAE` with convolutional networks for 28x28 images.

    Strides make pictures smaller and larger again, 28 -> 14 -> 7 and back, as in `ConvVAE`. The
    paper's decoder has four convolutions of 64 channels at full size, some 30 times the work.

    Args:
        latent_dim, likelihood, components: as for `HierarchicalVAE`.
        channels, hidden: of the convolutions, and of the layers between them and z.
    """

    def __init__(
        self,
        latent_dim: int = 40,
        channels: int = 32,
        hidden: int = 128,
        likelihood: str = "bernoulli",
        components: int | None = None,
    ):
        check_whole(latent_dim=latent_dim, channels=channels, hidden=hidden)
        check_whole(none=True, components=components)
        features = conv_encoder(1, channels, hidden)[:-1]  # up to its last hidden layer
        encoder = TwoLayerEncoder(
            GaussianConditional(conv_encoder(2 * latent_dim, channels, hidden)),
            Joined(
                features, gated(latent_dim, hidden), gated_mlp([2 * hidden, hidden, 2 * latent_dim])
            ),
        )
        net = conv_decoder(2 * hidden, outputs_per_pixel(likelihood), channels, hidden)
        decoder = Joined(gated(latent_dim, hidden), gated(latent_dim, hidden), net)
        prior = two_layer_prior(encoder, latent_dim, hidden, 784, components)
        super().__init__(prior, encoder, pixel_decoder(decoder, likelihood))


def two_layer_prior(
    encoder: TwoLayerEncoder, latent_dim: int, hidden: int, data_dim: int, components: int | None
) -> TwoLayerPrior:
    """p(z_2), a standard Gaussian or a VampPrior of so many components, and p(z_1 | z_2)."""
    if components is None:
        top = StandardGaussian(latent_dim)
    else:
        top = VampPrior(encoder.top, data_dim, components)
    below = GaussianConditional(gated_mlp([latent_dim, hidden, hidden, 2 * latent_dim]))
    return TwoLayerPrior(top, below, (latent_dim, latent_dim))
