"""Distances between two sets of samples, for models without a likelihood.

Each takes two sets of points, (N, D) and (M, D), and is symmetric in them. Quote beside a distance
that of two sets of real data, which is not 0 for finite samples.
"""

import math

import torch
from torch import Tensor

from dgmcourse.settings import check_number, check_whole


def wasserstein_1d(x: Tensor, y: Tensor) -> Tensor:
    r"""The earth-mover distance $W_1$ of samples on a line, both of N points, (..., N): (...).

    $$W_1 = \frac1N \sum_i |x_{(i)} - y_{(i)}|$$

    In one dimension the best plan keeps the order: it is the mean distance of the sorted points.

    >>> wasserstein_1d(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 1.0]))
    tensor(1.5000)

    Raises:
        ValueError: for sets of different sizes, or empty ones.
    """
    if x.shape[-1] != y.shape[-1] or x.shape[-1] == 0:
        raise ValueError(
            f"two samples of one size, at least one point each: got {x.shape[-1]} and {y.shape[-1]}"
        )
    return (x.sort(-1).values - y.sort(-1).values).abs().mean(-1)


def sliced_wasserstein(x: Tensor, y: Tensor, directions: int = 200, seed: int = 0) -> float:
    """The mean over random directions of `wasserstein_1d` of the points' projections on them.

    It takes N log N steps, the exact distance N^3; it is at most that (Rabin et al. 2011). The same
    seed gives the same directions.

    Raises:
        ValueError: for sets of different sizes or dimensions.
    """
    check_points(x, y)
    check_whole(directions=directions)
    check_whole(None, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(x.shape[-1], directions, generator=generator)
    axes = torch.nn.functional.normalize(axes, dim=0).to(x)
    return wasserstein_1d((x @ axes).mT, (y @ axes).mT).mean().item()


def wasserstein(x: Tensor, y: Tensor) -> float:
    r"""The exact earth-mover distance $W_1$ between two samples of one size, at Euclidean cost.

    The best plan matches them one to one (scipy's assignment solver): 0.1 s for 1,000 points, eight
    times as long for twice as many.

    Raises:
        ValueError: for sets of different sizes or dimensions.
    """
    from scipy.optimize import linear_sum_assignment

    check_points(x, y)
    if len(x) != len(y):
        raise ValueError(f"the matching is one to one: got {len(x)} and {len(y)} points")
    cost = pairwise(x.cpu().double(), y.cpu().double()).numpy()
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def frechet(x: Tensor, y: Tensor) -> float:
    r"""The Frechet distance between Gaussians with the samples' means and covariances.

    $$|m_x - m_y|^2 + \mathrm{tr}\left(C_x + C_y - 2 (C_x C_y)^{1/2}\right)$$

    Of images it is taken in the features of a classifier, `DigitClassifier.features` (Heusel et al.
    2017). It is biased upwards for few points: compare only at one N, and use many more points than
    dimensions.

    Raises:
        ValueError: for fewer than two points, or different dimensions.
    """
    check_points(x, y, fewest=2)
    x, y = x.cpu().double(), y.cpu().double()
    cx, cy = (torch.atleast_2d(points.mT.cov()) for points in (x, y))
    root = square_root(cx)
    # the trace of the root of cx cy, by a similar, symmetric matrix
    cross = torch.linalg.eigvalsh(root @ cy @ root).clamp(min=0).sqrt().sum()
    square = ((x.mean(0) - y.mean(0)) ** 2).sum()
    return max(0.0, (square + (cx.trace() + cy.trace() - 2 * cross)).item())


def square_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.mT


def mmd(
    x: Tensor, y: Tensor, scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
) -> Tensor:
    r"""The squared maximum mean discrepancy, unbiased (Gretton et al. 2012): (), differentiable.

    $$\frac{1}{N(N-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{M(M-1)} \sum_{i \ne j} k(y_i, y_j)
      - \frac{2}{NM} \sum_{i,j} k(x_i, y_j)$$

    k is the inverse multiquadratic kernel of the Wasserstein auto-encoder, summed over scales:
    $\sum_s C_s / (C_s + |x - y|^2)$ with $C_s = 2 D s$, where 2 D is the expected squared distance
    of two draws of N(0, I). Unbiased, it may be negative.

    Raises:
        ValueError: for fewer than two points, or different dimensions.
    """
    check_points(x, y, fewest=2)
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales: expected positive numbers, at least one, got {scales!r}")
    widths = 2 * x.shape[-1] * torch.tensor(scales, dtype=x.dtype, device=x.device)

    def kernel(a, b):
        return (widths / (widths + pairwise(a, b).unsqueeze(-1) ** 2)).sum(-1)

    def among(a):
        k, n = kernel(a, a), len(a)
        return (k.sum() - k.diagonal().sum()) / (n * (n - 1))

    return among(x) + among(y) - 2 * kernel(x, y).mean()


def modes_found(x: Tensor, modes: Tensor, std: float, share: float = 0.2) -> tuple[int, float]:
    """How many modes of a mixture of equal Gaussians a sample covers, and how much is near any.

    Args:
        x: (N, D), the sample.
        modes: (K, D), the means.
        std: of each mode; a point is near a mode within four of them, and counts for the nearest.
        share: a mode is found if it has at least one point, and this share of the N / K that it
            would have if all were spread evenly.

    Returns:
        how many modes are found, and the part of the sample near one, in [0, 1].
    """
    check_points(x, modes)
    check_number(above=0, std=std)
    check_number(least=0, most=1, share=share)
    distance, nearest = pairwise(x, modes).min(-1)
    near = distance <= 4 * std
    count = torch.bincount(nearest[near], minlength=len(modes))
    return int((count >= max(1, share * len(x) / len(modes))).sum()), near.float().mean().item()


def pairwise(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|, (N, M), from differences: |x|^2 + |y|^2 - 2 xy would lose small distances."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def check_points(x: Tensor, y: Tensor, fewest: int = 1) -> None:
    """Raise a ValueError for what are not two sets of points to compare."""
    if x.dim() != 2 or y.dim() != 2 or x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"two sets of points of one dimension, (N, D) and (M, D): got {tuple(x.shape)} and "
            f"{tuple(y.shape)}"
        )
    if min(len(x), len(y)) < fewest:
        raise ValueError(
            f"at least {fewest} points are needed in each set, got {len(x)} and {len(y)}"
        )
