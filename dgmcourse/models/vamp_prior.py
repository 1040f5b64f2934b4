"""The VampPrior: the aggregate posterior, which is a bound's best prior, of a few learned inputs.

Slides: "Improving the prior". Tomczak & Welling, VAE with a VampPrior, 2017, arXiv:1705.07120.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import Conditional, Density, Mixture, Shape
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.vae import VAE
from dgmcourse.settings import check_interval, check_number, check_whole


class VampPrior(Density, nn.Module):
    r"""The mean of the posteriors of K pseudo-inputs, parameters that are trained with the rest.

    $$p(z) = \frac1K \sum_{k=1}^K q(z \mid u_k)$$

    `log_prob` encodes the pseudo-inputs anew, as training needs it. To evaluate it repeatedly take
    `precomputed()`.

    Args:
        encoder: q(z|x), the model's own: it belongs to the model and is trained by both. If the
            model's is replaced, that one takes its place here, so give one prior to one model.
        data_dim: dimensions of a pseudo-input.
        components: K.
        start: mean and standard deviation of the first pseudo-inputs. Pixels outside of [0, 1] are
            clipped and have no gradient, so that a mean below 0 would never learn; the paper takes
            0.05 and 0.01 for MNIST.
        bounds: the range of a pseudo-input's numbers; None for data that are not pixels.
    """

    def __init__(
        self,
        encoder: Conditional,
        data_dim: int,
        components: int = 500,
        start: tuple[float, float] = (0.05, 0.01),
        bounds: tuple[float, float] | None = (0.0, 1.0),
    ):
        mean, std = start
        check_whole(data_dim=data_dim, components=components)
        check_number(start=mean)
        check_number(least=0, start=std)
        check_interval(none=True, bounds=bounds)
        super().__init__()
        self.follow(encoder)
        self.bounds = bounds
        self.raw = nn.Parameter(mean + std * torch.randn(components, data_dim))

    def follow(self, encoder: Conditional) -> None:
        """Encode the pseudo-inputs by this encoder, which a `LatentVariableModel` does with its own."""
        self.__dict__["encoder"] = encoder  # no submodule: its parameters are the model's

    @property
    def pseudo_inputs(self) -> Tensor:
        """u, (K, data_dim), as the encoder sees them: clipped to `bounds`."""
        return self.raw if self.bounds is None else self.raw.clamp(*self.bounds)

    def precomputed(self) -> Mixture:
        """The prior as a mixture, whose pseudo-inputs are encoded here."""
        return Mixture(self.raw.new_zeros(len(self.raw)), self.encoder(self.pseudo_inputs))

    def log_prob(self, z: Tensor) -> Tensor:
        return self.precomputed().log_prob(z)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.precomputed().sample(shape)


class VampVAE(LatentVariableModel):
    """The feed-forward VAE with a VampPrior of `components` pseudo-inputs; else as `VAE`."""

    def __init__(
        self,
        latent_dim: int = 40,
        hidden: int = 300,
        likelihood: str = "bernoulli",
        data_dim: int = 784,
        components: int = 500,
    ):
        plain = VAE(latent_dim, hidden, likelihood, data_dim)
        prior = VampPrior(plain.encoder, data_dim, components)
        super().__init__(prior, plain.encoder, plain.decoder)
