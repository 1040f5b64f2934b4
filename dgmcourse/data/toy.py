"""Toy data in one and two dimensions, where everything can be drawn and much is known exactly.

The samplers return floats (n, 2), the same for the same seed. The mixtures are Densities, with
`sample((n,))` and `log_prob(x)`.
"""

import math

import torch
from torch import Tensor

from dgmcourse.densities import Gaussian, Mixture, as_floats


def two_moons(n: int, noise: float = 0.1, seed: int = 0) -> Tensor:
    """Two interleaved half circles of radius 1 about (0, 0) and (1, 1/2), with Gaussian noise: (n,
    2).
    """
    random = _random(n, seed)
    upper = torch.arange(n) % 2 == 0
    angle = math.pi * torch.rand(n, generator=random)
    x = torch.stack([angle.cos(), angle.sin()], -1)
    x[~upper] = torch.tensor([1.0, 0.5]) - x[~upper]
    return x + noise * torch.randn(n, 2, generator=random)


def ring(n: int, radius: float = 1.0, noise: float = 0.1, seed: int = 0) -> Tensor:
    """A circle about the origin with Gaussian noise: (n, 2)."""
    random = _random(n, seed)
    angle = 2 * math.pi * torch.rand(n, generator=random)
    x = radius * torch.stack([angle.cos(), angle.sin()], -1)
    return x + noise * torch.randn(n, 2, generator=random)


def pinwheel(n: int, arms: int = 5, twist: float = 0.6, seed: int = 0) -> Tensor:
    """Gaussian blades along `arms` rays, more twisted further out: (n, 2). After Johnson et al.
    2016.
    """
    random = _random(n, seed)
    along = 1 + 0.3 * torch.randn(n, generator=random)
    across = 0.1 * torch.randn(n, generator=random)
    angle = 2 * math.pi / arms * (torch.arange(n) % arms) + twist * along.exp()
    cos, sin = angle.cos(), angle.sin()
    return 2 * torch.stack([along * cos - across * sin, along * sin + across * cos], -1)


def ring_of_gaussians(modes: int = 8, radius: float = 2.0, std: float = 0.1) -> Mixture:
    """Equal Gaussians on a circle about the origin: the usual test of which modes a model
    covers.
    """
    angle = 2 * math.pi / modes * torch.arange(modes)
    return mixture(radius * torch.stack([angle.cos(), angle.sin()], -1), std)


def grid_of_gaussians(side: int = 5, spacing: float = 1.0, std: float = 0.05) -> Mixture:
    """side x side equal Gaussians on a square grid about the origin."""
    steps = spacing * (torch.arange(side) - (side - 1) / 2)
    return mixture(torch.cartesian_prod(steps, steps), std)


def mixture(means, stds=1.0, weights=None) -> Mixture:
    """A mixture of Gaussians; in one dimension for instance `mixture([-2.0, 1.0], [0.5, 1.0], [0.3,
    0.7])`.

    Args:
        means: (K, D), or (K,) for D = 1.
        stds: one standard deviation for all, or (K,), or (K, D).
        weights: (K,) positive numbers; they are normalised. Equal by default.

    Raises:
        ValueError: for shapes that don't fit, and standard deviations or weights that are not
            positive.
    """
    means = as_floats(torch.as_tensor(means))
    means = means[:, None] if means.dim() == 1 else means
    stds = torch.as_tensor(stds, dtype=means.dtype)
    stds = stds[:, None] if stds.dim() == 1 else stds
    weights = torch.ones(len(means)) if weights is None else torch.as_tensor(weights)
    K, D = means.shape if means.dim() == 2 else (0, 0)
    if not K or stds.shape not in ((), (K, 1), (K, D)) or weights.shape != (K,):
        raise ValueError(
            "a mixture has means (K, D), standard deviations (), (K,) or (K, D), and weights (K,):"
            f" got shapes {tuple(means.shape)}, {tuple(stds.shape)} and {tuple(weights.shape)}"
        )
    stds = stds.expand_as(means)
    if not (stds > 0).all() or not (weights > 0).all():
        raise ValueError("standard deviations and weights of a mixture must be positive")
    return Mixture(weights.to(means.dtype).log(), Gaussian(means, 2 * stds.log()))


def _random(n, seed):
    if n < 1:
        raise ValueError(f"how many points? n={n}")
    return torch.Generator().manual_seed(seed)
