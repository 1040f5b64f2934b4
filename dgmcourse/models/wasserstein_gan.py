"""The Wasserstein GAN: the discriminator becomes a 1-Lipschitz critic, and its objective a distance.

Slides: "Wasserstein GAN". Arjovsky, Chintala & Bottou, Wasserstein GAN, 2017. The gradient penalty: Gulrajani et al.,
Improved Training of Wasserstein GANs, 2017.
"""

import torch
from torch import Tensor, nn

from dgmcourse.models.gan import GAN


class WassersteinGAN(GAN):
    r"""$$\min_G \max_{D \in \mathcal W}\; \mathbb{E}_{x \sim p_{real}}[D(x)] - \mathbb{E}_{z \sim p(z)}[D(G(z))]$$

    $\mathcal W$ are the 1-Lipschitz functions, for which the maximum is the earth-mover distance. Three ways to stay near
    them: clip the critic's weights to [-c, c] after each of its steps (`clip`); charge it for slopes other than 1
    (`penalty`); or build it of layers that cannot be steeper (`mlp(..., spectral=True)`, neither argument).

    Args:
        prior, generator: as in `GAN`.
        discriminator: the critic, a network from (..., D) to real numbers (..., 1).
        clip: c, 0.01 in the paper; None: no clipping. With it the critic is K-Lipschitz for some K that depends on c and
            the network, and its objective K times the distance at most.
        penalty: lambda, 10 in the paper; 0: none.

    Raises:
        ValueError: for clip <= 0 or a negative penalty.
    """

    def __init__(self, prior: nn.Module, generator: nn.Module, discriminator: nn.Module, clip: float | None = None,
                 penalty: float = 0.0):  # fmt: skip
        if (clip is not None and clip <= 0) or penalty < 0:
            raise ValueError(f"weights are clipped to [-c, c] with c > 0, and a penalty is not negative: got {clip}, {penalty}")
        super().__init__(prior, generator, discriminator)
        self.clip, self.penalty = clip, penalty
        self.constrain()

    def discriminator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """D(x) - D(G(z)) less the penalty: (B,). Its mean, without the penalty, estimates the distance from below.

        Returns:
            the objective, and {"distance"}: D(x) - D(G(z)), (B,).
        """
        with torch.no_grad():
            fake = self.make(x)
        distance = self.logit(x) - self.logit(fake)
        penalty = self.penalty * gradient_penalty(self.discriminator, x, fake) if self.penalty else 0.0
        return distance - penalty, {"distance": distance}

    def generator_objective(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """D(G(z)) at fresh z: (B,)."""
        value = self.logit(self.make(x))
        return value, {"generator": value}

    @torch.no_grad()
    def constrain(self) -> None:
        """clip(weights, -c, c), if there is a c. To be called after each of the critic's steps, as `play` does."""
        if self.clip is not None:
            for weight in self.discriminator.parameters():
                weight.clamp_(-self.clip, self.clip)


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    r"""$(|\nabla D(\hat x)| - 1)^2$ at a random point $\hat x$ between each real and its fake: (B,)."""
    share = torch.rand(*real.shape[:-1], 1, dtype=real.dtype, device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.norm(dim=-1) - 1) ** 2
