"""The Wasserstein GAN: the discriminator is a 1-Lipschitz critic, its objective a distance.

Slides: "Wasserstein GAN". Arjovsky, Chintala & Bottou, Wasserstein GAN, 2017. The gradient penalty:
Gulrajani et al., Improved Training of Wasserstein GANs, 2017.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import Density, apply
from dgmcourse.models.gan import GAN
from dgmcourse.settings import check_number


class WassersteinGAN(GAN):
    r"""$$\min_G \max_{D \in \mathcal W}\; \mathbb{E}_{x \sim p_{real}}[D(x)] - \mathbb{E}_{z \sim p(z)}[D(G(z))]$$

    $\mathcal W$ are the 1-Lipschitz functions, for which the maximum is the earth-mover distance.
    Three ways to stay near them: clip the critic's weights to [-c, c] after each of its steps
    (`clip`); charge it for slopes other than 1 (`penalty`); or build it of layers that cannot be
    steeper (`mlp(..., spectral=True)`, neither argument).

    Args:
        prior, generator: as in `GAN`.
        discriminator: the critic, a network from (..., D) to real numbers (..., 1).
        clip: c, 0.01 in the paper; None: no clipping. The critic is then K-Lipschitz, where K
            depends on c and the network, and its objective is at most K times the distance. The
            first clipping is done here. Play it with optimiser="rmsprop", as the paper does: with
            Adam's memory most games of notebook 05 are lost.
        penalty: lambda, 10 in the paper; 0: none. The critic must have no batch normalisation,
            with which its slope at one point would depend on the others.

    Raises:
        ValueError: unless clip > 0 and penalty >= 0.
    """

    parts = {"distance": "the critic's estimate", "generator": "generator's"}

    def __init__(
        self,
        prior: Density,
        generator: nn.Module,
        discriminator: nn.Module,
        clip: float | None = None,
        penalty: float = 0.0,
    ):
        check_number(above=0, none=True, clip=clip)
        check_number(least=0, penalty=penalty)
        super().__init__(prior, generator, discriminator)
        self.clip, self.penalty = clip, penalty
        self.constrain()

    def discriminator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """D(x) - D(G(z)) less the penalty: (B,).

        Returns:
            what the critic maximises, and {"distance"}: D(x) - D(G(z)), (B,). Its mean is at most
            the distance if the critic is 1-Lipschitz, as spectral layers make it, and at most K
            times the distance if it is clipped. With a penalty it is no bound: for fakes that are
            the data shifted by W, the best critic gives W (1 + W / 2 lambda).
        """
        with torch.no_grad():
            fake = self.make(x)
        distance = self.logit(x) - self.logit(fake)
        penalty = gradient_penalty(self.discriminator, x, fake) if self.penalty else 0.0
        return distance - self.penalty * penalty, {"distance": distance}

    def generator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """D(G(z)) at fresh z: (B,)."""
        value = self.logit(self.make(x))
        return value, {"generator": value}

    @torch.no_grad()
    def constrain(self) -> None:
        """Clip the critic's weights, if there is a c: `play` does it after each of its steps."""
        if self.clip is not None:
            for weight in self.discriminator.parameters():
                weight.clamp_(-self.clip, self.clip)


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    r"""$(|\nabla D(\hat x)| - 1)^2$ at a random point $\hat x$ between a real and its fake: (B,).

    Args:
        critic: from (..., D) to (..., 1), where each answer depends on its own row alone.
        real, fake: (..., D) of one shape; copies of a critic have an axis in front. No gradient
            goes back to them.

    Raises:
        ValueError: for different shapes, for rows that the critic can't take, and unless the critic
            gives one number for each row.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"each real has its fake: got shapes {tuple(real.shape)} and {tuple(fake.shape)}"
        )
    with torch.enable_grad():  # the slope is wanted even where nothing learns
        share = torch.rand(*real.shape[:-1], 1, dtype=real.dtype, device=real.device)
        between = (share * real + (1 - share) * fake).detach().requires_grad_()
        answers = apply(critic, between)
        if answers.shape != (*real.shape[:-1], 1):
            raise ValueError(
                f"a critic answers each row with one number, shape {(*real.shape[:-1], 1)}, not"
                f" {tuple(answers.shape)}"
            )
        (gradient,) = torch.autograd.grad(answers.sum(), between, create_graph=True)
        return (gradient.norm(dim=-1) - 1) ** 2
