r"""A diffusion model: a VAE of T layers whose encoder is fixed and only adds noise. All that is
learned is the decoder, which removes it.

$$q(z_t \mid x) = \mathcal N(\alpha_t x, \sigma_t^2 I), \qquad
  p(x, z_{1:T}) = p(z_T) \prod_{t=2}^T p(z_{t-1} \mid z_t)\; p(x \mid z_1)$$

After the lecture: what hierarchical VAEs became. Sohl-Dickstein et al., Deep Unsupervised Learning
using Nonequilibrium Thermodynamics, 2015; Ho, Jain & Abbeel, Denoising Diffusion Probabilistic
Models, 2020; Kingma et al., Variational Diffusion Models, 2021, whose notation this is.
"""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import Gaussian, Shape, StandardGaussian, check_event, check_shape, kl
from dgmcourse.models.latent_variable_model import elbo_parts
from dgmcourse.networks import mlp
from dgmcourse.settings import check_number, check_whole


def linear_schedule(layers: int = 1000, first: float = 8.0, last: float = -8.0) -> Tensor:
    """The log signal-to-noise ratio of each layer in equal steps, from data to noise: (T,)."""
    check_whole(2, layers=layers)
    check_number(first=first, last=last)
    return torch.linspace(first, last, layers)


def cosine_schedule(layers: int = 1000, margin: float = 0.012) -> Tensor:
    r"""$\log(\alpha_t^2 / \sigma_t^2)$ for $\alpha_t = \cos(\pi u_t / 2)$, u in equal steps: (T,).

    Nichol & Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021.
    """
    check_whole(2, layers=layers)
    check_number(above=0, below=0.5, margin=margin)
    u = torch.linspace(margin, 1 - margin, layers, dtype=torch.float64)
    return (-2 * torch.tan(math.pi / 2 * u).log()).float()


class NoiseNet(nn.Module):
    """One network for all layers: z, (..., D), and the layer's log SNR, (..., 1), to the noise."""

    def __init__(self, dim: int, hidden: tuple[int, ...] = (128, 128, 128)):
        check_whole(dim=dim)
        for units in hidden:
            check_whole(hidden=units)
        super().__init__()
        self.net = mlp([dim + 3, *hidden, dim], nn.SiLU)

    def forward(self, z: Tensor, log_snr: Tensor) -> Tensor:
        log_snr = log_snr.expand(*z.shape[:-1], 1)
        waves = torch.sin(log_snr / 2), torch.cos(log_snr / 2)
        return self.net(torch.cat([z, log_snr / 8, *waves], -1))


class Diffusion(nn.Module):
    r"""With $\mathrm{SNR}_t = \alpha_t^2 / \sigma_t^2$, $\alpha_t^2 + \sigma_t^2 = 1$ and
    $r = \mathrm{SNR}_t / \mathrm{SNR}_{t-1}$,

    $$q(z_{t-1} \mid z_t, x)
      = \mathcal N\left(\alpha_{t-1}\left[r\, z_t / \alpha_t + (1 - r)\, x\right], (1 - r)\, \sigma_{t-1}^2 I\right)$$

    The decoder of layer t is the same Gaussian, with an estimate $\hat x(z_t, t)$ in place of x.
    Layers are counted from 1 (nearly x) to T (nearly noise). `t` is a number, or one for each row,
    (B,).

    Args:
        noise: maps z, (..., D), and the log SNR, (..., 1), to the noise in z, (..., D): a
            `NoiseNet`.
        dim: D.
        log_snr: the schedule, (T,), falling: `linear_schedule()`.

    Raises:
        ValueError: for a schedule that does not fall, or of fewer than two layers.
    """

    parts = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
    parts |= {"noise": "minus the squared error of the noise"}

    def __init__(self, noise: Callable[[Tensor, Tensor], Tensor], dim: int, log_snr: Tensor):
        check_whole(dim=dim)
        super().__init__()
        if log_snr.dim() != 1 or len(log_snr) < 2 or not (log_snr.diff() < 0).all():
            raise ValueError(
                "a schedule is the log SNR of two layers at least, (T,), falling from layer to"
                " layer"
            )
        self.noise, self.prior, self.layers = noise, StandardGaussian(dim), len(log_snr)
        self.register_buffer("log_snr", log_snr, persistent=False)

    def at(self, t: Tensor | int) -> tuple[Tensor, Tensor, Tensor]:
        """log SNR, alpha and sigma of layer t, (..., 1) each."""
        if ((t := torch.as_tensor(t)) < 1).any() or (t > self.layers).any():
            raise ValueError(
                f"layers are counted from 1 to {self.layers}, and a step between two is named by"
                " the upper one"
            )
        log_snr = self.log_snr[t - 1][..., None]
        return log_snr, torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()

    def encoder(self, x: Tensor, t: Tensor | int) -> Gaussian:
        """q(z_t|x): any layer at once, without those below."""
        log_snr, alpha, _ = self.at(t)
        return isotropic(alpha * check_event(x, self.prior.mean), F.logsigmoid(-log_snr))

    def step(self, z: Tensor, t: Tensor | int) -> Gaussian:
        """q(z_t|z_{t-1}) for t from 2 on: one step towards noise."""
        kept = self.at(t)[1] / self.at(t - 1)[1]
        return isotropic(kept * z, torch.log1p(-(kept**2)))

    def posterior(self, z: Tensor, x: Tensor, t: Tensor | int) -> Gaussian:
        """q(z_{t-1}|z_t, x) for z = z_t and t from 2 on, by Bayes' rule."""
        (log_snr, alpha, _), (log_snr_below, alpha_below, _) = self.at(t), self.at(t - 1)
        log_r = log_snr - log_snr_below
        r, new = torch.exp(log_r), -torch.expm1(log_r)  # new: 1 - r, exact where r is nearly 1
        mean = alpha_below * (r * z / alpha + new * x)
        return isotropic(mean, new.log() + F.logsigmoid(-log_snr_below))

    def denoise(self, z: Tensor, t: Tensor | int) -> Tensor:
        """The estimate of x from z_t, which is z_t less the estimated noise: (..., D)."""
        log_snr, alpha, sigma = self.at(t)
        return (z - sigma * self.noise(z, log_snr)) / alpha

    def decoder(self, z: Tensor, t: Tensor | int) -> Gaussian:
        """p(z_{t-1}|z_t) for z = z_t. At t = 1: p(x|z_1), with the variance of z_1 / alpha_1."""
        guess = self.denoise(z, t)
        if isinstance(t, int) and t == 1:
            return isotropic(guess, -self.at(1)[0])
        return self.posterior(z, guess, t)

    def layer_kl(self, x: Tensor, t: Tensor | int) -> Tensor:
        """KL[q(z_{t-1}|z_t, x) || p(z_{t-1}|z_t)] at one draw of z_t, t from 2 on: (B,), nats."""
        z = self.encoder(x, t).rsample()
        return kl(self.posterior(z, x, t), self.decoder(z, t))

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        r"""The evidence lower bound, (B,), nats, with the sum over layers estimated at one of them,
        drawn for each x.

        $$\mathcal L(x) = \mathbb E[\log p(x \mid z_1)]
          - \sum_{t=2}^T \mathbb E\,\mathrm{KL}[q(z_{t-1} \mid z_t, x) \,\|\, p(z_{t-1} \mid z_t)]
          - \mathrm{KL}[q(z_T \mid x) \,\|\, p(z_T)]$$

        Returns:
            what to maximise, and {"elbo", "reconstruction", "kl"}, as a `LatentVariableModel` does.
        """
        t = torch.randint(2, self.layers + 1, x.shape[:1], device=x.device)
        return self.bound(x, (self.layers - 1) * self.layer_kl(x, t), beta)

    def bound(
        self, x: Tensor, layers: Tensor, beta: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`objective`, given the KL of the layers 2 to T, (B,)."""
        reconstruction = self.decoder(self.encoder(x, 1).rsample(), 1).log_prob(x)
        regulariser = layers + kl(self.encoder(x, self.layers), self.prior)
        return reconstruction - beta * regulariser, elbo_parts(reconstruction, regulariser)

    @torch.no_grad()
    def elbo(self, x: Tensor) -> Tensor:
        """The bound with every layer visited, one draw of each: (B,), nats."""
        return self.bound(x, sum(self.layer_kl(x, t) for t in range(2, self.layers + 1)))[0]

    def noise_objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus the squared error of the noise at a random layer, (B,).

        This is a layer's KL without its factor (Ho et al. 2020); `beta` changes nothing.
        """
        log_snr, alpha, sigma = self.at(torch.randint(1, self.layers + 1, x.shape[:1]))
        epsilon = torch.randn_like(x)
        value = -((epsilon - self.noise(alpha * x + sigma * epsilon, log_snr)) ** 2).sum(-1)
        return value, {"noise": value}

    @torch.no_grad()
    def walk(self, shape: Shape = ()) -> Iterator[tuple[int, Tensor]]:
        """Ancestral sampling: (T, z_T), (T - 1, z_{T-1}), ..., (0, x), each z (*shape, D)."""
        z = self.prior.sample(check_shape(shape))
        yield self.layers, z
        for t in range(self.layers, 0, -1):
            z = self.decoder(z, t).sample()
            yield t - 1, z

    def sample(self, shape: Shape = ()) -> Tensor:
        """Draw x, (*shape, D), through all T layers."""
        return [z for _, z in self.walk(shape)][-1]


def isotropic(mean: Tensor, log_var: Tensor) -> Gaussian:
    """N(mean, exp(log_var) I), one variance for all dimensions of a row."""
    return Gaussian(mean, log_var.expand_as(mean))
