"""Distributions (`Density`) and networks that return one (`Conditional`).

Shapes: the event is the last axis. `log_prob` of an (S, B, D) tensor is (S, B), in nats, summed
over the D dimensions. Parameters hold one Density per row, (B, D), and broadcast against x.
"""

import math
from abc import ABC, abstractmethod
from numbers import Integral
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOG_2PI = math.log(2 * math.pi)

# Work around slow page faults in torch's AVX-512 log1p, which softplus uses, too (torch 2.15): it
# reads a constant that only -0.0 needs, ten times slower until one real read has loaded its page.
torch.log1p(torch.full((16,), -0.0, dtype=torch.float32, device="cpu"))

Shape = int | tuple[int, ...]  # of samples: a whole number n is the shape (n,)


class Density(ABC):
    """A distribution whose log-density can be computed and that can be sampled."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, for x of shape (..., D): shape (...)."""

    @abstractmethod
    def sample(self, shape: Shape = ()) -> Tensor:
        """Draw samples, without a gradient: (*shape, *parameters' shape)."""

    def rsample(self, shape: Shape = ()) -> Tensor:
        """Draw samples as a differentiable function of the parameters, where there is one: the
        reparameterization trick. Shape and random numbers as for `sample`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no reparameterized sample: no smooth function of its"
            " parameters and a fixed noise gives a draw. The score-function estimator"
            " (dgmcourse.gradients) needs none."
        )

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """`rsample`, and the log-density of its draws: a flow needs one pass for both."""
        x = self.rsample(shape)
        return x, self.log_prob(x)

    def cross_log_prob(self, x: Tensor) -> Tensor:
        """log p_k(x), nats, of each x, (..., D), under each of K rows of parameters: (..., K)."""
        return self.log_prob(x.unsqueeze(-2))

    def select(self, rows: Tensor) -> "Density":
        """The Density whose parameters are these rows; indices may repeat."""
        raise NotImplementedError(f"the rows of a {type(self).__name__} can't be selected")

    def precomputed(self) -> "Density":
        """An equal Density with its parameters computed once, for repeated evaluation.

        A VampPrior, for instance, encodes its pseudo-inputs here and never again. Not for training,
        during which the parameters change.
        """
        return self


class Conditional(Protocol):
    """What turns a given tensor into a Density: the encoder q(z|x), the decoder p(x|z)."""

    def __call__(self, given: Tensor) -> Density:
        """The Density given each row of `given`, (..., G): its parameters are (..., D)."""


class Gaussian(Density):
    r"""A Gaussian with diagonal covariance, N(x | mean, diag(exp(log_var))).

    $$\log p(x) = -\tfrac12 \sum_d \left[\log 2\pi + \log\sigma_d^2 + (x_d - \mu_d)^2 / \sigma_d^2\right]$$

    >>> Gaussian(torch.zeros(2, 3), torch.zeros(2, 3)).sample(5).shape
    torch.Size([5, 2, 3])

    Args:
        mean: (..., D).
        log_var: logarithm of the variances, of the same shape. A network's output may be any real
            number, a variance may not.

    Raises:
        ValueError: if the shapes differ. A variance that broadcasts would be counted once, not D
            times.
    """

    def __init__(self, mean: Tensor, log_var: Tensor):
        if mean.shape != log_var.shape:
            raise ValueError(
                f"mean and log_var must have one shape, got {tuple(mean.shape)} and"
                f" {tuple(log_var.shape)}: expand one"
            )
        self.mean, self.log_var = mean, log_var

    def log_prob(self, x: Tensor) -> Tensor:
        square = (check_event(x, self.mean) - self.mean) ** 2
        return -0.5 * (LOG_2PI + self.log_var + square * torch.exp(-self.log_var)).sum(-1)

    def cross_log_prob(self, x: Tensor) -> Tensor:
        r"""As in `Density`, without the (..., K, D) array of all pairs.

        With the square multiplied out, $\sum_d (x_d - \mu_d)^2/\sigma_d^2$ is two matrix products.
        Their terms cancel, so they are summed in float64.
        """
        check_event(x, self.mean)
        if self.mean.dim() != 2 or x.device.type == "mps":  # Apple's GPUs have no float64
            return super().cross_log_prob(x)
        mean, log_var, wide = self.mean.double(), self.log_var.double(), x.double()
        precision = torch.exp(-log_var)
        constant = (LOG_2PI + log_var + mean**2 * precision).sum(-1)
        log_p = wide @ (mean * precision).mT - 0.5 * (wide**2 @ precision.mT + constant)
        return log_p.to(x.dtype)

    def select(self, rows: Tensor) -> "Gaussian":
        return Gaussian(self.mean[rows], self.log_var[rows])

    def rsample(self, shape: Shape = ()) -> Tensor:
        return self.mean + torch.exp(0.5 * self.log_var) * standard_noise(shape, self.mean)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.rsample(shape)


class FullGaussian(Density):
    r"""A Gaussian with any covariance, N(x | mean, L L^T), L lower triangular.

    $$\log p(x) = -\tfrac12 \left[D \log 2\pi + |L^{-1}(x - \mu)|^2\right] - \sum_d \log L_{dd}$$

    Args:
        mean: (..., D).
        scale_tril: L, the covariance's Cholesky factor, with a positive diagonal: (..., D, D), or
            (D, D) for all rows.
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
        L, off = self.scale_tril, check_event(x, self.mean) - self.mean
        if L.dim() == 2:  # shared: one solve with all rows as columns, without a copy of L for each
            columns = off.reshape(-1, off.shape[-1]).mT
            noise = torch.linalg.solve_triangular(L, columns, upper=False).mT.reshape(off.shape)
        else:
            noise = torch.linalg.solve_triangular(L, off.unsqueeze(-1), upper=False).squeeze(-1)
        log_det = L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (noise.shape[-1] * LOG_2PI + (noise**2).sum(-1)) - log_det

    def select(self, rows: Tensor) -> "FullGaussian":
        shared = self.scale_tril.dim() == 2
        return FullGaussian(self.mean[rows], self.scale_tril if shared else self.scale_tril[rows])

    def rsample(self, shape: Shape = ()) -> Tensor:
        noise = standard_noise(shape, self.mean)
        return self.mean + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.rsample(shape)


class StandardGaussian(Density, nn.Module):
    """N(0, I) in `dim` dimensions: the plain VAE's prior."""

    def __init__(self, dim: int):
        super().__init__()
        if dim < 1:
            raise ValueError(f"a latent space has at least 1 dimension, got {dim}")
        self.dim = dim
        # buffers, so that draws have the model's device and dtype
        self.register_buffer("mean", torch.zeros(dim), persistent=False)
        self.register_buffer("log_var", torch.zeros(dim), persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (self.dim * LOG_2PI + (check_event(z, self.mean) ** 2).sum(-1))

    def sample(self, shape: Shape = ()) -> Tensor:
        return standard_noise(shape, self.mean)

    rsample = sample  # there are no parameters: a draw is the noise itself


class Bernoulli(Density):
    r"""Independent binary variables with logits l: P(x_d = 1) = 1 / (1 + exp(-l_d)).

    $$\log p(x) = \sum_d \left[x_d l_d - \log(1 + e^{l_d})\right]$$

    It takes logits and no probabilities: 1 - p rounds to 0 where a logit is large, and clamping p
    would limit the cost of a wrong pixel.

    >>> Bernoulli(torch.zeros(3)).log_prob(torch.tensor([0.0, 1.0, 1.0]))
    tensor(-2.0794)

    Raises:
        ValueError: where x is anything but 0 or 1.
    """

    def __init__(self, logits: Tensor):
        self.logits = logits

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    def log_prob(self, x: Tensor) -> Tensor:
        check_binary(check_event(x, self.logits))
        # Two sums keep one temporary array alive instead of two, which avoids repeated allocation.
        # softplus(l) = log(1 + e^l); in float64 it equals l only from 40 on (torch's default: 20).
        return (x * self.logits).sum(-1) - F.softplus(self.logits, threshold=40).sum(-1)

    def cross_log_prob(self, x: Tensor) -> Tensor:
        """As in `Density`, by a matrix product, without the (..., K, D) array of all pairs."""
        check_binary(check_event(x, self.logits))
        return x @ self.logits.mT - F.softplus(self.logits, threshold=40).sum(-1)

    def select(self, rows: Tensor) -> "Bernoulli":
        return Bernoulli(self.logits[rows])

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return torch.bernoulli(self.mean.expand(*check_shape(shape), *self.logits.shape))


class Point(Density):
    """All probability on one point, a generator's output: it can be sampled and has no density.

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

    def rsample(self, shape: Shape = ()) -> Tensor:
        return self.mean.expand(*check_shape(shape), *self.mean.shape)

    def sample(self, shape: Shape = ()) -> Tensor:
        return self.rsample(shape).detach().clone()


class Mixture(Density):
    r"""$$\log p(x) = \log \sum_k \pi_k\, p_k(x)$$

    The log-sum-exp is over components, after each component has summed over its dimensions.

    Args:
        log_weights: (K,), normalised here.
        components: a Gaussian or a Bernoulli whose parameters have shape (K, D).
    """

    def __init__(self, log_weights: Tensor, components: Density):
        self.log_weights = torch.log_softmax(log_weights, -1)
        self.components = components

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.logsumexp(self.log_weights + self.components.cross_log_prob(x), -1)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.components.select(draw_index(self.log_weights.exp(), shape)).sample()


class GaussianConditional(nn.Module):
    """N(mean(given), diag(exp(log_var(given)))), such as the encoder q(z|x).

    Under mixed precision the network may answer in half precision: its output is converted to the
    dtype of `given`, in which log-probabilities are summed.

    Args:
        net: maps (..., G) to (..., 2 D): the means, then the log-variances.
        log_var_range: the log-variances are clipped to it. Without a limit the density of grey
            values grows to infinity as a variance goes to 0. VampPrior's code has (-6, 2) for an
            encoder and (-4.5, 0) for a decoder.
    """

    def __init__(self, net: nn.Module, log_var_range: tuple[float, float] = (-6.0, 2.0)):
        super().__init__()
        self.net, self.log_var_range = net, log_var_range

    def forward(self, given: Tensor) -> Gaussian:
        return gaussian_of(apply(self.net, given), self.log_var_range)


def gaussian_of(output: Tensor, log_var_range: tuple[float, float]) -> Gaussian:
    """A network's output, (..., 2 D), as a Gaussian: means, then log-variances to be clipped."""
    if output.shape[-1] % 2:
        raise ValueError(
            "a mean and a log-variance each need an even output, the network has"
            f" {output.shape[-1]}"
        )
    mean, log_var = output.chunk(2, -1)
    return Gaussian(mean, log_var.clamp(*log_var_range))


class BernoulliConditional(nn.Module):
    """Bernoulli(sigmoid(net(given))), such as the decoder p(x|z) of binary images.

    Args:
        net: maps (..., G) to logits (..., D).
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Bernoulli:
        return Bernoulli(apply(self.net, given))


class IsotropicGaussianConditional(nn.Module):
    """N(net(given), sigma^2 I) with one learned variance for all dimensions.

    log p(x|z) is then a squared distance in units of sigma.

    Args:
        net: maps (..., G) to means (..., D).
        log_var: the first value of log sigma^2.
    """

    def __init__(self, net: nn.Module, log_var: float = -3.0):
        super().__init__()
        self.net, self.log_var = net, nn.Parameter(torch.tensor(log_var))

    def forward(self, given: Tensor) -> Gaussian:
        mean = apply(self.net, given)
        return Gaussian(mean, self.log_var.to(mean).expand_as(mean))


class PointConditional(nn.Module):
    """All probability on net(given): a decoder without noise, such as a GAN's generator.

    Args:
        net: maps (..., G) to (..., D).
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Point:
        return Point(apply(self.net, given))


LIKELIHOODS = {"bernoulli": 1, "gaussian": 2}  # p(x|z) of pixels: a network's outputs for each


def outputs_per_pixel(likelihood: str) -> int:
    """How many numbers for each pixel a decoder's network has to give.

    Raises:
        ValueError: for a likelihood that is not in LIKELIHOODS.
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"likelihood is one of {', '.join(map(repr, LIKELIHOODS))}, got {likelihood!r}"
        )
    return LIKELIHOODS[likelihood]


def pixel_decoder(net: nn.Module, likelihood: str) -> nn.Module:
    """The decoder p(x|z) of binary ("bernoulli") or grey ("gaussian") pixels around a network."""
    if likelihood == "bernoulli":
        return BernoulliConditional(net)
    return GaussianConditional(net, (-4.5, 0.0))


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
    square = (check_event(q.mean, p.mean) - p.mean) ** 2
    variance_ratio = torch.exp(q.log_var - p.log_var)
    return 0.5 * (p.log_var - q.log_var + variance_ratio + square * torch.exp(-p.log_var) - 1)


def has_closed_form(q: Density, p: Density) -> bool:
    """Whether `kl(q, p)` has a formula."""
    return isinstance(q, Gaussian) and isinstance(p, Gaussian | StandardGaussian)


def standard_noise(shape: Shape, like: Tensor) -> Tensor:
    """Draws of N(0, I), (*shape, *like.shape), with the dtype and device of `like`."""
    return torch.randn(*check_shape(shape), *like.shape, dtype=like.dtype, device=like.device)


def draw_index(probabilities: Tensor, shape: Shape) -> Tensor:
    """Indices drawn with these probabilities, (K,): whole numbers of the given shape."""
    shape = check_shape(shape)
    if not (n := math.prod(shape)):  # which multinomial refuses
        return torch.zeros(shape, dtype=torch.long, device=probabilities.device)
    return torch.multinomial(probabilities, n, replacement=True).reshape(shape)


def apply(net: nn.Module, given: Tensor, *more: Tensor) -> Tensor:
    """net(given, *more), in the dtype of `given` (but of words, whole numbers, in the network's).

    `given` is checked only if that fails, so that a training step spends no time on it. The error
    then says in words what does not fit (`check_given`).
    """
    try:
        output = net(given, *more)
        return output.to(given.dtype) if given.is_floating_point() else output
    except Exception as error:
        failure = error
    check_given(given, net)
    raise failure


def check_shape(shape: Shape) -> tuple[int, ...]:
    """The shape of samples as a tuple, (n,) for a whole number n.

    Raises:
        TypeError: for what is no shape, or has a size below 0.
    """
    sizes = shape if isinstance(shape, tuple | list) else (shape,)
    if not all(isinstance(n, Integral) and n >= 0 for n in sizes):
        raise TypeError(
            "sample takes a shape, a whole number such as 5 or a tuple such as (5, 2), and no size"
            f" below 0: got {shape!r}"
        )
    return tuple(sizes)


def check_event(x: Tensor, like: Tensor | int) -> Tensor:
    """x, if its last axis has as many dimensions as that of `like`.

    Raises:
        ValueError: if not; the message says what was expected and what came.
    """
    expected = (like,) if isinstance(like, int) else like.shape[-1:]
    if x.shape[-1:] != expected:
        raise ValueError(
            f"expected vectors of {expected[0]} dimensions on the last axis, got shape"
            f" {tuple(x.shape)}"
        )
    return x


def check_given(given: Tensor, net: nn.Module) -> Tensor:
    """given, if the network can take it.

    Raises:
        TypeError, ValueError: if not; the message names the type, the width or the dtype, where
            torch would speak of mat1 and mat2.
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
    embeds = any(isinstance(part, nn.Embedding) for part in net.modules())
    if given.dtype != dtype and not (given.dtype == torch.int64 and embeds):
        raise ValueError(
            f"expected {dtype} like the network's parameters, got {given.dtype}: x.to({dtype})"
            " converts"
        )
    return given


def check_binary(x: Tensor) -> Tensor:
    """x, if all of it is 0 or 1.

    Raises:
        ValueError: if not: a Bernoulli's log-probability of grey values means nothing.
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


def check_terms(
    shape: tuple[int, ...], log_likelihood: Tensor, log_prior: Tensor = None, log_q: Tensor = None
) -> None:
    """Check that the terms of a log-weight have this shape, one value for each z: a term of another
    shape would be broadcast, and counted for every example.

    Raises:
        ValueError: if one has another shape; the message names it.
    """
    terms = {"log p(x|z)": log_likelihood, "log p(z)": log_prior, "log q(z|x)": log_q}
    for name, term in terms.items():
        if term is not None and term.shape != shape:
            raise ValueError(
                f"{name} is one value for each z, here of shape {tuple(shape)}, and the model gives"
                f" {tuple(term.shape)}: sum over the last axis, the dimensions, and no other"
            )
