"""Probability distributions: what has a density, and what becomes one when something is given.

Two protocols carry the whole course:

* a **Density** can be evaluated, `log_prob(x)`, and drawn from, `sample(shape)`: p(x), p(z) or one
  q(z|x);
* a **Conditional** is a network that turns what is given into a Density: `encoder(x)` is q(z|x),
  `decoder(z)` is p(x|z).

Shapes: the event is the last axis. `log_prob` of an (S, B, D) tensor is (S, B), in nats, summed
over the D dimensions. Parameters stand one Density per row, (B, D), and broadcast against what is
evaluated.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOG_2PI = math.log(2 * math.pi)

# softplus, too, goes through log1p, which under AVX-512 reads (masked out) a constant that -0.0
# alone needs. Until its page of memory was truly read once, the processor suppresses a page fault
# at each read: ten times slower (torch 2.15).
torch.log1p(torch.full((16,), -0.0, dtype=torch.float32, device="cpu"))


class Density(ABC):
    """A distribution whose log-density can be computed and that can be sampled."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, for x of shape (..., D): shape (...)."""

    @abstractmethod
    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Draws, of shape (*shape, *parameters' shape); no gradient flows through them."""

    def cross_log_prob(self, x: Tensor) -> Tensor:
        """log p_k(x) for every x, (..., D), under each of K rows of parameters, (K, D): shape (...,
        K), nats.
        """
        return self.log_prob(x.unsqueeze(-2))

    def select(self, rows: Tensor) -> "Density":
        """The Density of these rows of the parameters: with indices (n,), one row for each."""
        raise NotImplementedError(f"the rows of a {type(self).__name__} can't be selected")

    def fixed(self) -> "Density":
        """The same distribution for many questions in a row: what no question changes (a
        VampPrior's encoded pseudo-inputs) is computed once. Not for training, where the parameters
        change.
        """
        return self

    def rsample(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Draws as a differentiable function of the parameters (the reparameterization trick),
        where there is one.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no reparameterized sample: no smooth function of its"
            " parameters and a fixed noise gives a draw. The score-function estimator"
            " (dgmcourse.gradients) needs none."
        )

    def rsample_and_log_prob(self, shape: tuple[int, ...] = ()) -> tuple[Tensor, Tensor]:
        """A differentiable draw and its log-density: one pass where that is cheaper (a flow
        overrides this).
        """
        x = self.rsample(shape)
        return x, self.log_prob(x)


class Gaussian(Density):
    r"""A Gaussian with diagonal covariance, N(x | mean, diag(exp(log_var))).

    $$\log p(x) = -\tfrac12 \sum_d \left[\log 2\pi + \log\sigma_d^2 + (x_d - \mu_d)^2 / \sigma_d^2\right]$$

    Args:
        mean: (..., D).
        log_var: log of the variances, same shape: a network's output may be any real number, a
            variance may not.

    Raises:
        ValueError: if the shapes differ: broadcast, a variance shared by D dimensions would be
            counted once.
    """

    def __init__(self, mean: Tensor, log_var: Tensor):
        if mean.shape != log_var.shape:
            raise ValueError(
                f"mean and log_var must have one shape, got {tuple(mean.shape)} and"
                f" {tuple(log_var.shape)}: expand one"
            )
        self.mean, self.log_var = mean, log_var

    def log_prob(self, x: Tensor) -> Tensor:
        check_event(x, self.mean)
        return -0.5 * (
            LOG_2PI + self.log_var + (x - self.mean) ** 2 * torch.exp(-self.log_var)
        ).sum(-1)

    def cross_log_prob(self, x: Tensor) -> Tensor:
        r"""As in `Density`, but the (..., K, D) array of every pair is never made: with the square
        multiplied out, $\sum_d (x_d - \mu_d)^2/\sigma_d^2$ is two matrix products. Its terms
        cancel, so they are summed in float64.
        """
        check_event(x, self.mean)
        if self.mean.dim() != 2 or x.device.type == "mps":  # Apple's GPUs have no float64
            return super().cross_log_prob(x)
        mean, log_var, wide = self.mean.double(), self.log_var.double(), x.double()
        precision = torch.exp(-log_var)
        constant = (LOG_2PI + log_var + mean**2 * precision).sum(-1)
        return (wide @ (mean * precision).mT - 0.5 * (wide**2 @ precision.mT + constant)).to(
            x.dtype
        )

    def select(self, rows: Tensor) -> "Gaussian":
        return Gaussian(self.mean[rows], self.log_var[rows])

    def rsample(self, shape: tuple[int, ...] = ()) -> Tensor:
        epsilon = torch.randn(
            *check_shape(shape), *self.mean.shape, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + torch.exp(0.5 * self.log_var) * epsilon

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return self.rsample(shape)


class FullGaussian(Density):
    r"""A Gaussian whose dimensions depend on one another, N(x | mean, L L^T), L lower triangular.

    $$\log p(x) = -\tfrac12 \left[D \log 2\pi + |L^{-1}(x - \mu)|^2\right] - \sum_d \log L_{dd}$$

    Args:
        mean: (..., D).
        scale_tril: L, (..., D, D) or one for all, (D, D), with a positive diagonal: the Cholesky
            factor of the covariance.
    """

    def __init__(self, mean: Tensor, scale_tril: Tensor):
        if scale_tril.shape[-2:] != mean.shape[-1:] * 2:
            raise ValueError(
                f"for {mean.shape[-1]} dimensions the factor is square, got shape"
                f" {tuple(scale_tril.shape)}"
            )
        self.mean, self.scale_tril = mean, scale_tril

    @property
    def covariance(self) -> Tensor:
        return self.scale_tril @ self.scale_tril.mT

    def log_prob(self, x: Tensor) -> Tensor:
        off = check_event(x, self.mean) - self.mean
        if (
            self.scale_tril.dim() == 2
        ):  # one L for all: a single solve, without a copy of L for each row
            noise = torch.linalg.solve_triangular(
                self.scale_tril, off.reshape(-1, off.shape[-1]).mT, upper=False
            ).mT
            noise = noise.reshape(off.shape)
        else:
            noise = torch.linalg.solve_triangular(
                self.scale_tril, off.unsqueeze(-1), upper=False
            ).squeeze(-1)
        log_det = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (noise.shape[-1] * LOG_2PI + (noise**2).sum(-1)) - log_det

    def select(self, rows: Tensor) -> "FullGaussian":
        return FullGaussian(
            self.mean[rows],
            self.scale_tril if self.scale_tril.dim() == 2 else self.scale_tril[rows],
        )

    def rsample(self, shape: tuple[int, ...] = ()) -> Tensor:
        epsilon = torch.randn(
            *check_shape(shape), *self.mean.shape, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + (self.scale_tril @ epsilon.unsqueeze(-1)).squeeze(-1)

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return self.rsample(shape)


class StandardGaussian(Density, nn.Module):
    """N(0, I) in `dim` dimensions: the plain VAE's prior. `sample((n,))` has shape (n, dim)."""

    def __init__(self, dim: int):
        super().__init__()
        if dim < 1:
            raise ValueError(f"a latent space has at least 1 dimension, got {dim}")
        self.dim = dim
        self.register_buffer(
            "mean", torch.zeros(dim), persistent=False
        )  # knows the device and dtype
        self.register_buffer("log_var", torch.zeros(dim), persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (self.dim * LOG_2PI + (check_event(z, self.mean) ** 2).sum(-1))

    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return torch.randn(
            *check_shape(shape), self.dim, dtype=self.mean.dtype, device=self.mean.device
        )

    rsample = sample  # with no parameters, every draw is the noise itself


class Bernoulli(Density):
    r"""Independent coin flips, one per dimension, from logits l: P(x_d = 1) = 1 / (1 + exp(-l_d)).

    $$\log p(x) = \sum_d \left[x_d l_d - \log(1 + e^{l_d})\right]$$

    Never from probabilities: 1 - p rounds to 0 where the logit is large, and a clamp caps what a
    wrong pixel costs.

    Raises:
        ValueError: where x is anything but 0 or 1.
    """

    def __init__(self, logits: Tensor):
        self.logits = logits

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    def log_prob(self, x: Tensor) -> Tensor:
        check_event(x, self.logits)
        check_binary(x)
        # softplus(l) = log(1 + e^l), for which l is exact in float64 only from 40 on (torch's
        # default: 20). Summed apart, only one array of the logits' size is alive beside them: a
        # third sends memory back and forth to the system.
        return (x * self.logits).sum(-1) - F.softplus(self.logits, threshold=40).sum(-1)

    def cross_log_prob(self, x: Tensor) -> Tensor:
        """As in `Density`, but the (..., K, D) array of every pixel of every pair is never made:
        one matrix product.
        """
        check_binary(check_event(x, self.logits))
        return x @ self.logits.mT - F.softplus(self.logits, threshold=40).sum(-1)

    def select(self, rows: Tensor) -> "Bernoulli":
        return Bernoulli(self.logits[rows])

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return torch.bernoulli(self.mean.expand(*check_shape(shape), *self.logits.shape))


class Point(Density):
    """All of the probability on one point: what a generator makes of a code. It can be sampled and
    has no density.

    Args:
        mean: the point, (..., D).
    """

    def __init__(self, mean: Tensor):
        self.mean = mean

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError(
            "a point has no density: a generator without noise is an implicit model. It can be"
            " sampled, but no x has a log-probability under it; a bump about each sample (a kernel"
            " density estimate) is another model."
        )

    def rsample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return self.mean.expand(*check_shape(shape), *self.mean.shape)

    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        return self.rsample(shape).detach().clone()


class Mixture(Density):
    r"""$$\log p(x) = \log \sum_k \pi_k\, p_k(x)$$

    The log-sum-exp runs over the components, after each component has summed over its dimensions.

    Args:
        log_weights: (K,), normalised here.
        components: a Gaussian (or Bernoulli) whose parameters have shape (K, D).
    """

    def __init__(self, log_weights: Tensor, components: Density):
        self.log_weights = torch.log_softmax(log_weights, -1)
        self.components = components

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.logsumexp(self.log_weights + self.components.cross_log_prob(x), -1)

    @torch.no_grad()
    def sample(self, shape: tuple[int, ...] = ()) -> Tensor:
        n = math.prod(check_shape(shape))
        k = torch.multinomial(self.log_weights.exp(), n, replacement=True)
        return self.components.select(k).sample().reshape(*shape, -1)


class GaussianConditional(nn.Module):
    """A network's output, split in two: N(mean(given), diag(exp(log_var(given)))). The encoder
    q(z|x).

    Args:
        net: maps (..., G) to (..., 2 D), the means first, then the log-variances.
        log_var_range: the log-variances are clipped to it (VampPrior code: (-6, 2) for an encoder,
            (-4.5, 0) for a decoder), since a density on grey values can be driven to infinity by a
            variance that goes to 0.

    Under mixed precision the network may answer in half precision: sums of log-probabilities go on
    in that of `given`.
    """

    def __init__(self, net: nn.Module, log_var_range: tuple[float, float] = (-6.0, 2.0)):
        super().__init__()
        self.net, self.log_var_range = net, log_var_range

    def forward(self, given: Tensor) -> Gaussian:
        return gaussian_of(
            self.net(check_given(given, self.net)).to(given.dtype), self.log_var_range
        )


def gaussian_of(output: Tensor, log_var_range: tuple[float, float]) -> Gaussian:
    """A network's output, (..., 2 D), as a Gaussian: the means first, then the log-variances,
    clipped to their range.
    """
    if output.shape[-1] % 2:
        raise ValueError(
            "a mean and a log-variance each need an even output, the network has"
            f" {output.shape[-1]}"
        )
    mean, log_var = output.chunk(2, -1)
    return Gaussian(mean, log_var.clamp(*log_var_range))


class BernoulliConditional(nn.Module):
    """A network's output as logits: the decoder p(x|z) of a binary image. `net` maps (..., G) to
    (..., D).
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Bernoulli:
        return Bernoulli(self.net(check_given(given, self.net)).to(given.dtype))


class IsotropicGaussianConditional(nn.Module):
    """N(net(given), sigma^2 I) with one variance for all dimensions, which is learned: log p(x|z)
    is a squared distance in units of sigma. `net` maps (..., G) to (..., D).
    """

    def __init__(self, net: nn.Module, log_var: float = -3.0):
        super().__init__()
        self.net, self.log_var = net, nn.Parameter(torch.tensor(log_var))

    def forward(self, given: Tensor) -> Gaussian:
        mean = self.net(check_given(given, self.net)).to(given.dtype)
        return Gaussian(mean, self.log_var.to(mean).expand_as(mean))


class PointConditional(nn.Module):
    """A network's output as it is: the generator G of a GAN in the decoder's place. `net` maps
    (..., G) to (..., D).
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Point:
        return Point(self.net(check_given(given, self.net)).to(given.dtype))


def kl(q: Gaussian, p: Gaussian | StandardGaussian) -> Tensor:
    r"""KL[q || p] between diagonal Gaussians in closed form: (B,), nats, summed over dimensions.

    $$\tfrac12 \sum_d \left[\log\frac{\sigma_{p,d}^2}{\sigma_{q,d}^2}
      + \frac{\sigma_{q,d}^2 + (\mu_{q,d} - \mu_{p,d})^2}{\sigma_{p,d}^2} - 1\right]$$

    Raises:
        TypeError: for any other pair, which has no closed form here: estimate E_q[log q(z) - log
            p(z)] by sampling.
    """
    return kl_per_dimension(q, p).sum(-1)


def kl_per_dimension(q: Gaussian, p: Gaussian | StandardGaussian) -> Tensor:
    """The terms of `kl` before they are summed: (B, D). A dimension that stays at 0 is not used."""
    if not has_closed_form(q, p):
        raise TypeError(
            f"no closed form for KL[{type(q).__name__} || {type(p).__name__}], only between"
            " diagonal Gaussians: use E_q[log q(z) - log p(z)] by sampling"
        )
    check_event(q.mean, p.mean)
    variance_ratio = torch.exp(q.log_var - p.log_var)
    return 0.5 * (
        p.log_var - q.log_var + variance_ratio + (q.mean - p.mean) ** 2 * torch.exp(-p.log_var) - 1
    )


def has_closed_form(q: Density, p: Density) -> bool:
    """Whether `kl(q, p)` can be had without sampling."""
    return isinstance(q, Gaussian) and isinstance(p, Gaussian | StandardGaussian)


def check_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """shape, if it is one; else a TypeError that says so, where torch would speak of an iterable
    after *.
    """
    if not isinstance(shape, tuple | list):
        raise TypeError(f"sample takes a shape, a tuple such as (5,) for five draws, got {shape!r}")
    return shape


def check_event(x: Tensor, parameter: Tensor) -> Tensor:
    """x, if its last axis fits the parameter's; else a ValueError that says what was expected and
    what came.
    """
    if x.shape[-1:] != parameter.shape[-1:]:
        raise ValueError(
            f"expected vectors of {parameter.shape[-1]} dimensions on the last axis, got shape"
            f" {tuple(x.shape)}"
        )
    return x


def check_given(given: Tensor, net: nn.Module) -> Tensor:
    """given, if the network can take it; else an error in words, where torch would speak of mat1
    and mat2.
    """
    if not isinstance(given, Tensor):
        raise TypeError(
            f"expected a tensor, got {type(given).__name__}: torch.as_tensor(x) makes one"
        )
    first = net[0] if isinstance(net, nn.Sequential) else net
    width = getattr(first, "in_features", None)
    if width is not None and given.shape[-1:] != (width,):
        raise ValueError(
            f"expected vectors of {width} numbers on the last axis, got shape {tuple(given.shape)}"
        )
    dtype = next((p.dtype for p in net.parameters()), given.dtype)
    embeds = given.dtype == torch.int64 and any(
        isinstance(part, nn.Embedding) for part in net.modules()
    )
    if given.dtype != dtype and not embeds:
        raise ValueError(
            f"expected {dtype} like the network's parameters, got {given.dtype}: x.to({dtype})"
            " converts"
        )
    return given


def check_binary(x: Tensor) -> Tensor:
    """x, if all of it is 0 or 1; else a ValueError: a Bernoulli's log-probability of grey values
    means nothing.
    """
    if not torch.equal(x * x, x):
        if x.isnan().any():
            raise ValueError(
                f"expected binary pixels (0 or 1), got NaN (not a number) in {int(x.isnan().sum())}"
                f" of {x.numel()}"
            )
        raise ValueError(
            f"expected binary pixels (0 or 1), got values from {x.min():.3g} to {x.max():.3g}:"
            " binarise the images (mnist(binarise='dynamic')) or give the model a Gaussian"
            " likelihood"
        )
    return x
