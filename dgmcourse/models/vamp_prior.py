"""The VampPrior: the best prior for a bound is the aggregate posterior, here of a few inputs that
are learned.

Slides: "Improving the prior". Tomczak & Welling, VAE with a VampPrior, 2017, arXiv:1705.07120.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import Density, Mixture
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.vae import VAE


class VampPrior(Density, nn.Module):
    r"""The mean of the posteriors of K pseudo-inputs, which are parameters and are trained with the
    rest.

    $$p(z) = \frac1K \sum_{k=1}^K q(z \mid u_k)$$

    Args:
        encoder: q(z|x), the model's own: it belongs to the model and is trained by both.
        data_dim: dimensions of a pseudo-input.
        components: K.
        start: mean and standard deviation of the first pseudo-inputs. Pixels outside 0 and 1 are
            clipped and then have no gradient, so a mean below 0 would never learn; the paper takes
            0.05 and 0.01 for MNIST.
        bounds: the range of a pseudo-input's numbers; None for data that are not pixels.

    `log_prob` encodes the pseudo-inputs anew, as training needs; for many questions to one model
    ask `fixed()`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        data_dim: int,
        components: int = 500,
        start: tuple[float, float] = (0.05, 0.01),
        bounds: tuple[float, float] | None = (0.0, 1.0),
    ):
        super().__init__()
        if components < 1:
            raise ValueError(f"a VampPrior has at least 1 pseudo-input, got {components}")
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"bounds are a smaller number and a larger one, or None, got {bounds}")
        self._encoder = (encoder,)  # in a tuple: its parameters are the model's and stay there
        self.bounds = bounds
        mean, std = start
        self.raw = nn.Parameter(mean + std * torch.randn(components, data_dim))

    @property
    def pseudo_inputs(self) -> Tensor:
        """u, (K, data_dim): as the encoder sees them, clipped to `bounds`."""
        return self.raw if self.bounds is None else self.raw.clamp(*self.bounds)

    def fixed(self) -> Mixture:
        """The prior as the mixture it is; the pseudo-inputs pass the encoder here, and never
        again.
        """
        return Mixture(self.raw.new_zeros(len(self.raw)), self._encoder[0](self.pseudo_inputs))

    def log_prob(self, z: Tensor) -> Tensor:
        return self.fixed().log_prob(z)

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return self.fixed().sample(shape)


class VampVAE(LatentVariableModel):
    """The feed-forward VAE with a VampPrior of `components` pseudo-inputs. Other arguments as for
    `VAE`.
    """

    def __init__(
        self,
        latent_dim: int = 40,
        hidden: int = 300,
        likelihood: str = "bernoulli",
        data_dim: int = 784,
        components: int = 500,
    ):
        plain = VAE(latent_dim, hidden, likelihood, data_dim)
        super().__init__(
            VampPrior(plain.encoder, data_dim, components), plain.encoder, plain.decoder
        )
