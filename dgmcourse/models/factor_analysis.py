r"""Factor analysis: linear and Gaussian, a latent variable model whose integral is a formula.

Slides: "Latent Variable Models". Rubin & Thayer, 1982 (EM); Tipping & Bishop, 1999 (probabilistic
PCA).
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dgmcourse.densities import FullGaussian, Gaussian, StandardGaussian, check_event
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.settings import check_number, check_whole

# of Psi's variances: the likelihood would grow without limit where a pixel never varies
SMALLEST = 1e-6


class LinearGaussianConditional(nn.Module):
    """The decoder p(x|z) = N(W z + b, Psi), with a diagonal Psi.

    `weight` is W, (D, K), `bias` b, (D,), and `log_var` the log of Psi's diagonal, (D,).
    """

    def __init__(self, latent_dim: int, data_dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(data_dim, latent_dim) / latent_dim**0.5)
        self.bias = nn.Parameter(torch.zeros(data_dim))
        self.log_var = nn.Parameter(torch.zeros(data_dim))

    def forward(self, z: Tensor) -> Gaussian:
        mean = z @ self.weight.mT + self.bias
        return Gaussian(mean, self.log_var.expand_as(mean))


class FactorAnalysis(LatentVariableModel):
    r"""$$p(z) = \mathcal N(0, I), \quad p(x \mid z) = \mathcal N(W z + b, \Psi), \quad
      p(x) = \mathcal N(b, W W^T + \Psi)$$

    Psi is diagonal. The encoder is no network but the posterior itself, so that every one-sample
    `log_weight` is log p(x). `observed`, a boolean mask (D,), restricts posterior and likelihood to
    some of the dimensions.

    Args:
        data_dim: D, dimensions of x.
        latent_dim: K, dimensions of z.
    """

    def __init__(self, data_dim: int, latent_dim: int):
        check_whole(data_dim=data_dim, latent_dim=latent_dim)
        decoder = LinearGaussianConditional(latent_dim, data_dim)
        super().__init__(StandardGaussian(latent_dim), self.posterior, decoder)

    def posterior(self, x: Tensor, observed: Tensor | None = None) -> FullGaussian:
        r"""$$p(z \mid x) = \mathcal N\big(G W^T \Psi^{-1} (x - b),\; G\big), \quad
        G = (I + W^T \Psi^{-1} W)^{-1}$$"""
        p, seen = self.decoder, slice(None) if observed is None else observed
        whole = observed is None
        if not whole and (observed.dtype != torch.bool or observed.shape != p.bias.shape):
            raise ValueError(
                f"observed is one bool for each of {len(p.bias)} dimensions, got {observed.dtype}"
                f" {tuple(observed.shape)}"
            )
        weight, off = p.weight[seen], (check_event(x, p.bias) - p.bias)[..., seen]
        scaled = weight / p.log_var[seen].exp().unsqueeze(-1)
        factor = torch.linalg.cholesky(scaled.mT @ weight + torch.eye(weight.shape[1]).to(weight))
        covariance = torch.cholesky_inverse(factor)
        return FullGaussian(off @ scaled @ covariance, torch.linalg.cholesky(covariance))

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        r"""log p(x), exactly, (B,), nats; if so asked, of the observed dimensions.

        It takes no D x D matrix, for at every z, here the posterior's mean,

        $$\log p(x) = \log p(x \mid z) + \log p(z) - \log p(z \mid x).$$
        """
        q, seen = self.posterior(x, observed), slice(None) if observed is None else observed
        p = self.decoder(q.mean)
        likelihood = Gaussian(p.mean[..., seen], p.log_var[..., seen]).log_prob(x[..., seen])
        return likelihood + self.prior.log_prob(q.mean) - q.log_prob(q.mean)

    @torch.no_grad()
    def initialise(self, x: Tensor, weights: Tensor | None = None) -> None:
        """Start at the data's mean and variance, half of which goes to random factors."""
        p, weights = self.decoder, check_weights(x, weights, self.decoder.bias)
        mean = weights @ x / weights.sum()
        variance = (weights @ (x - mean) ** 2 / weights.sum()).clamp_min(SMALLEST)
        p.bias.copy_(mean)
        p.log_var.copy_((variance / 2).log())
        p.weight.normal_().mul_((variance / 2 / p.weight.shape[1]).sqrt().unsqueeze(-1))

    @torch.no_grad()
    def em_step(self, x: Tensor, weights: Tensor | None = None) -> float:
        """Make a step of expectation-maximisation, and return the mean log p(x) before it, nats.

        E: the posterior of z for each x. M: a regression of x on (z, 1), with E[z] and E[z z^T] in
        their place, gives W and b; the variance it leaves unexplained is Psi. The mean log p(x)
        never falls. `weights`, (N,), count some x less (a mixture's responsibilities).
        """
        weights = check_weights(x, weights, self.decoder.bias)
        p, q, total = self.decoder, self.posterior(x), weights.sum()
        log_p = (weights @ self.log_prob(x) / total).item()
        off = x - p.bias  # about the old mean, so that Psi is no difference of large numbers
        z = torch.cat([q.mean, torch.ones_like(q.mean[:, :1])], -1)
        second_moment = z.mT @ (weights.unsqueeze(-1) * z)
        second_moment[:-1, :-1] += total * q.covariance
        moment = off.mT @ (weights.unsqueeze(-1) * z)
        loadings = torch.linalg.solve(second_moment, moment.mT).mT
        variance = (weights @ off**2 - (loadings * moment).sum(-1)) / total
        p.weight.copy_(loadings[:, :-1])
        p.bias.add_(loadings[:, -1])
        p.log_var.copy_(variance.clamp_min(SMALLEST).log())
        return log_p

    def fit_em(self, x: Tensor, steps: int = 100, tolerance: float = 1e-6) -> list[float]:
        """Run EM until the mean log p(x) grows by less than `tolerance` nats; return its values."""
        return run_em(lambda: self.em_step(x), steps, tolerance)

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, draw: bool = False) -> Tensor:
        """x with what is not observed replaced by its mean given the rest, or a draw: (B, D)."""
        q = self.posterior(x, observed)
        missing = self.decoder(q.sample()).sample() if draw else self.decoder(q.mean).mean
        return torch.where(observed, x, missing)

    @torch.no_grad()
    def denoise(self, x: Tensor, noise_var: float) -> Tensor:
        """The mean of the clean x given x + noise, noise ~ N(0, noise_var I): (B, D)."""
        explained = self.decoder(self.with_noise(noise_var).posterior(x).mean).mean
        variance = self.decoder.log_var.exp()
        return explained + variance / (variance + noise_var) * (x - explained)

    def with_noise(self, noise_var: float) -> "FactorAnalysis":
        """The model of x + noise."""
        check_number(least=0, noise_var=noise_var)
        noisy = copy.deepcopy(self)
        noisy.decoder.log_var.data.exp_().add_(noise_var).log_()
        return noisy


@torch.no_grad()
def probabilistic_pca(x: Tensor, latent_dim: int) -> FactorAnalysis:
    r"""Factor analysis with Psi = sigma^2 I, at its maximum likelihood, which is a formula:

    $$\sigma^2 = \frac{1}{D-K} \sum_{d>K} \lambda_d, \quad W = U_K (\Lambda_K - \sigma^2 I)^{1/2}$$

    with U and lambda the eigenvectors and eigenvalues of the covariance of x.
    """
    check_whole(1, x.shape[1] - 1, latent_dim=latent_dim)
    model = FactorAnalysis(x.shape[1], latent_dim).to(x)
    model.initialise(x)
    values, vectors = torch.linalg.eigh(torch.cov(x.mT, correction=0))  # ascending
    noise = values[:-latent_dim].mean().clamp_min(SMALLEST)
    scale = (values[-latent_dim:] - noise).clamp_min(0).sqrt()
    model.decoder.weight.copy_(vectors[:, -latent_dim:] * scale)
    model.decoder.log_var.fill_(noise.log())
    return model


def run_em(step: Callable[[], float], steps: int, tolerance: float) -> list[float]:
    """Call `step`, at most `steps` times, until its value grows by less than `tolerance`."""
    check_whole(0, steps=steps)
    if not tolerance < math.inf:  # nor is NaN
        raise ValueError(f"tolerance: expected a number, or -inf for all steps, got {tolerance!r}")
    values = []
    while len(values) < steps and (len(values) < 2 or values[-1] - values[-2] >= tolerance):
        values.append(step())
    return values


def check_weights(x: Tensor, weights: Tensor | None, parameter: Tensor) -> Tensor:
    """The weights of the x that EM is given, (N,); 1 if there are none.

    Raises:
        ValueError: for x or weights that EM cannot use.
    """
    if not len(check_event(x, parameter)) or not x.isfinite().all():
        raise ValueError(
            f"EM needs one x at least and no NaN or infinity in any, got shape {tuple(x.shape)}"
        )
    if weights is not None and weights.shape != x.shape[:1]:
        raise ValueError(
            f"expected one weight for each of {len(x)} x, got shape {tuple(weights.shape)}"
        )
    return x.new_ones(len(x)) if weights is None else weights
