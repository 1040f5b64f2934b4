"""Distances between samples against scipy, brute force over permutations, double loops and
quadrature.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from oracles import assert_mean, close, oracle_tests
from scipy import integrate, linalg, stats

from dgmcourse import distances

pytestmark = pytest.mark.usefixtures("float64")

# --- oracles -------------------------------------------------------------------------------------


def check_on_a_line(distances):
    x, y = torch.randn(3, 50) * 2, torch.randn(3, 50).exp()
    for found, a, b in zip(distances.wasserstein_1d(x, y), x, y, strict=True):
        close(found, stats.wasserstein_distance(a, b))
    close(distances.wasserstein_1d(x[0], x[0] + 3), 3.0)
    close(distances.wasserstein_1d(x, x.flip(-1)), torch.zeros(3))


def check_exact(distances):
    """scipy's linear programme, and every permutation there is."""
    for n, dim in ((1, 3), (5, 2), (6, 1), (6, 4)):
        x, y = torch.randn(n, dim), 2 * torch.randn(n, dim) + 1
        found = distances.wasserstein(x, y)
        close(
            found,
            min(
                sum(math.dist(x[i], y[j]) for i, j in enumerate(order))
                for order in itertools.permutations(range(n))
            )
            / n,
        )
        close(found, stats.wasserstein_distance_nd(x.numpy(), y.numpy()), rtol=1e-7)
    x, y = torch.randn(200, 1), torch.randn(200, 1) + 1
    close(distances.wasserstein(x, y), stats.wasserstein_distance(x[:, 0], y[:, 0]))
    close(distances.wasserstein(x, y), distances.wasserstein(y, x))


def check_sliced(distances):
    """The mean over many directions of what scipy says of the shadows; in one dimension there is
    one direction.
    """
    x, y = (
        torch.randn(300, 3) * torch.tensor([1.0, 2.0, 0.5]),
        torch.randn(300, 3) + torch.tensor([1.0, 0.0, -0.5]),
    )
    axes = np.random.default_rng(1).normal(size=(400, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    by_hand = [stats.wasserstein_distance(x.numpy() @ axis, y.numpy() @ axis) for axis in axes]
    found = distances.sliced_wasserstein(x, y, directions=400)
    assert abs(found - np.mean(by_hand)) < 4.5 * np.std(by_hand) * (2 / 400) ** 0.5
    assert found < distances.wasserstein(x, y)
    x, y = torch.randn(40, 1), torch.randn(40, 1) * 3
    close(distances.sliced_wasserstein(x, y), stats.wasserstein_distance(x[:, 0], y[:, 0]))


def check_sliced_repeats(distances):
    """The seed alone decides, and nobody else's random numbers are used up."""
    x, y = torch.randn(20, 3), torch.randn(20, 3)
    torch.manual_seed(5)
    found, expected = distances.sliced_wasserstein(x, y, 10), torch.rand(2)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(2), expected)
    assert (
        found
        == distances.sliced_wasserstein(x, y, 10)
        != distances.sliced_wasserstein(x, y, 10, seed=1)
    )


def with_moments(mean, covariance, n=30):
    """n points that have exactly this mean and this covariance."""
    x = torch.randn(n, len(mean))
    x = x - x.mean(0)
    x = torch.linalg.solve_triangular(
        torch.linalg.cholesky(x.mT @ x / (n - 1)), x.mT, upper=False
    ).mT
    return torch.tensor(mean) + x @ torch.linalg.cholesky(torch.tensor(covariance)).mT


def check_frechet(distances):
    """Against scipy's matrix square root; and for Gaussians that lie along the axes, sum (m - m')^2
    + (s - s')^2.
    """
    x, y = torch.randn(60, 4) @ torch.randn(4, 4), torch.randn(90, 4) @ torch.randn(4, 4) + 0.5
    moments = [(points.numpy().mean(0), np.cov(points.numpy().T)) for points in (x, y)]
    (m, c), (n, d) = moments
    expected = ((m - n) ** 2).sum() + np.trace(c + d - 2 * linalg.sqrtm(c @ d).real)
    close(distances.frechet(x, y), expected, rtol=1e-8)
    close(distances.frechet(y, x), expected, rtol=1e-8)
    x, y = (
        with_moments([1.0, 2.0], [[4.0, 0.0], [0.0, 0.25]]),
        with_moments([0.0, -1.0], [[1.0, 0.0], [0.0, 9.0]], 50),
    )
    close(distances.frechet(x, y), 1 + 9 + (2 - 1) ** 2 + (0.5 - 3) ** 2)
    x, y = with_moments([1.0], [[4.0]]), with_moments([-1.0], [[9.0]])
    close(distances.frechet(x, y), 4 + 1.0)
    close(distances.frechet(x, x), 0.0, atol=1e-9)


def check_frechet_of_few_points(distances):
    """Fewer points than dimensions: the covariances have no inverse. The root's trace is then a
    nuclear norm's.
    """
    x, y = torch.randn(5, 8), torch.randn(6, 8) + 1
    a, b = (points - points.mean(0) for points in (x, y))
    cross = np.linalg.norm((a @ b.mT).numpy() / (4 * 5) ** 0.5, "nuc")
    expected = (
        (x.mean(0) - y.mean(0)).square().sum()
        + a.square().sum() / 4
        + b.square().sum() / 5
        - 2 * cross
    )
    close(distances.frechet(x, y), expected, rtol=1e-6)


SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def kernel(squared, dim):
    return sum(2 * dim * s / (2 * dim * s + squared) for s in SCALES)


def check_mmd_double_loop(distances):
    x, y = torch.randn(7, 3), torch.randn(5, 3) + 0.7
    k = lambda a, b: kernel(math.dist(a, b) ** 2, 3)  # noqa: E731
    expected = sum(k(a, b) for a, b in itertools.permutations(x, 2)) / 42
    expected += sum(k(a, b) for a, b in itertools.permutations(y, 2)) / 20
    expected -= 2 * sum(k(a, b) for a in x for b in y) / 35
    close(distances.mmd(x, y), expected)
    close(distances.mmd(y, x), expected)
    close(distances.mmd(x + 1e6, y + 1e6), expected, rtol=1e-6)  # only differences count


def check_mmd_quadrature(distances):
    """Without bias, at 4 points as at 30: its mean over draws is the integral, which is 0 for two
    draws of one p.
    """

    def expected_kernel(shift, variance):
        return integrate.quad(
            lambda d: kernel(d * d, 1) * stats.norm(shift, variance**0.5).pdf(d), -30, 30, limit=200
        )[0]

    exact = expected_kernel(0, 2) + expected_kernel(0, 2 * 0.25) - 2 * expected_kernel(1, 1 + 0.25)
    assert exact > 0.3
    for n, m in ((4, 3), (30, 40)):
        apart = [distances.mmd(torch.randn(n, 1), 0.5 * torch.randn(m, 1) + 1) for _ in range(400)]
        assert_mean(torch.stack(apart), exact)
        same = [distances.mmd(torch.randn(n, 1), torch.randn(m, 1)) for _ in range(400)]
        assert_mean(torch.stack(same), 0.0)
        assert min(same) < 0


def check_mmd_gradient(distances):
    """Against finite differences, where points coincide, too."""
    x, y = torch.randn(4, 2), torch.randn(3, 2)
    x[1] = x[0]
    y[2] = x[0]
    (gradient,) = torch.autograd.grad(distances.mmd(x.requires_grad_(), y), x)
    steps = 1e-5 * torch.eye(8).reshape(8, 4, 2)
    with torch.no_grad():
        slopes = (
            torch.stack([distances.mmd(x + step, y) - distances.mmd(x - step, y) for step in steps])
            / 2e-5
        )
    close(gradient, slopes.reshape(4, 2), rtol=1e-6, atol=1e-8)


def check_modes(distances):
    modes = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [20.0, 20.0]])
    at = lambda *counts: modes.repeat_interleave(torch.tensor(counts), 0)  # noqa: E731
    found = lambda *counts, **more: distances.modes_found(at(*counts), modes, 0.5, **more)  # noqa: E731
    assert found(10, 10, 10, 10) == (4, 1.0)
    # of 40 spread evenly each has 10: two are a share of 0.2, one is not
    assert found(37, 1, 1, 1) == (1, 1.0)
    assert found(36, 2, 1, 1) == (2, 1.0)
    assert found(40, 0, 0, 0, share=0.0) == (1, 1.0)  # none without a point
    assert found(3, 0, 0, 0) == (1, 1.0) and found(1, 1, 0, 0, share=1.0) == (2, 1.0)
    # within four standard deviations or not
    near = torch.tensor([[1.99, 0.0], [2.01, 0.0], [10.0, -1.99], [5.0, 0.0]])
    assert distances.modes_found(near, modes, 0.5) == (2, 0.5)
    close_by = torch.tensor([[0.0], [1.0]])  # near both: counted once, for the nearer
    assert distances.modes_found(torch.tensor([[0.4], [0.45]]), close_by, 1.0) == (1, 1.0)
    assert distances.modes_found(torch.full((5, 2), 100.0), modes, 0.5) == (0, 0.0)
    assert distances.modes_found(torch.full((5, 2), math.nan), modes, 0.5) == (0, 0.0)


MUTANTS = {
    check_on_a_line: """
        y.sort(-1).values => y
        .abs().mean(-1) => .square().mean(-1)
        .abs().mean(-1) => .abs().sum(-1)
    """,
    check_sliced: """
        torch.nn.functional.normalize( => torch.cumsum(
        normalize(axes, dim=0) => normalize(axes, dim=1)
        .mean().item() def wasserstein => [0].item()\\n\\n\\ndef wasserstein
        (y @ axes).mT).mean() => (y @ axes).mT).max()
    """,
    check_sliced_repeats: """
        directions, generator=generator => directions
        manual_seed(seed) => manual_seed(0)
    """,
    check_exact: """
        rows, columns = linear_sum_assignment(cost) => rows = columns = range(len(cost))
        linear_sum_assignment(cost) => range(len(cost)), cost.argmin(1)
        linear_sum_assignment(cost) => linear_sum_assignment(-cost)
        .double()).numpy() => .double()).numpy() ** 2
        torch.cdist(x, y, compute_mode= => torch.cdist(x, y, p=1.0, compute_mode=
    """,
    check_frechet: """
        ((x.mean(0) - y.mean(0)) ** 2) => ((x.mean(0) - y.mean(0)).abs())
        - 2 * cross => - cross
        (root @ cy @ root).clamp(min=0).sqrt().sum() => (root @ cy @ root).sum()
        (points.mT.cov()) => (points.mT.cov()).diag().diag()
        points.mT.cov() => points.mT.cov(correction=0)
        points.mT.cov() => points.cov()[: x.shape[1], : x.shape[1]]
    """,
    check_frechet_of_few_points: "root @ cy @ root => root @ cy @ cy @ root",
    check_mmd_double_loop: """
        (n * (n - 1)) => (n * n)
        - 2 * kernel(x, y) => - kernel(x, y)
        among(x) + among(y) => 2 * among(x)
        unsqueeze(-1) ** 2 => unsqueeze(-1)
        unsqueeze(-1) ** 2)).sum(-1) => unsqueeze(-1) ** 2)).mean(-1)
        2 * x.shape[-1] * torch => 2 * torch
        torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist") => \
            ((x * x).sum(-1, keepdim=True) + (y * y).sum(-1) - 2 * x @ y.mT).clamp(min=0).sqrt()
    """,
    check_mmd_quadrature: "(k.sum() - k.diagonal().sum()) / (n * (n - 1)) => k.mean()",
    check_mmd_gradient: """
        torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist") => \
            ((x.unsqueeze(1) - y) ** 2).sum(-1).sqrt()
    """,
    check_modes: """
        <= 4 * std => <= 2 * std
        <= 4 * std => <= 5 * std
        nearest[near] => nearest
        max(1, share * len(x) / len(modes)) => 1
        max(1, share * len(x) / len(modes)) => share * len(x) / len(modes)
        share * len(x) / len(modes) => share * len(x)
        count >= max( => count > max(
        near.float().mean() => near.float().sum()
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((distances, MUTANTS))


# --- what a reader does wrong --------------------------------------------------------------------


def points(*shape):
    return torch.zeros(shape)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            lambda: distances.wasserstein_1d(points(4), points(5)),
            "one size, at least one point each: got shapes (4,) and (5,)",
        ),
        (
            lambda: distances.wasserstein_1d(points(3, 0), points(3, 0)),
            "got shapes (3, 0) and (3, 0)",
        ),
        (
            lambda: distances.sliced_wasserstein(points(4, 2), points(5, 2)),
            "two samples of one size",
        ),
        (
            lambda: distances.sliced_wasserstein(points(4, 2), points(4, 3)),
            "of one dimension, (N, D) and (M, D): got (4, 2) and (4, 3)",
        ),
        (
            lambda: distances.wasserstein(points(4, 2), points(5, 2)),
            "the matching is one to one: got 4 and 5 points",
        ),
        (
            lambda: distances.wasserstein(points(0, 2), points(0, 2)),
            "at least 1 points are needed in each set, got 0 and 0",
        ),
        (
            lambda: distances.wasserstein(points(4), points(4)),
            "(N, D) and (M, D): got (4,) and (4,)",
        ),
        (
            lambda: distances.frechet(points(1, 2), points(5, 2)),
            "at least 2 points are needed in each set, got 1 and 5",
        ),
        (lambda: distances.frechet(points(5, 2), points(5, 3)), "of one dimension"),
        (
            lambda: distances.mmd(points(5, 2), points(1, 2)),
            "at least 2 points are needed in each set, got 5 and 1",
        ),
        (lambda: distances.mmd(points(2, 5, 2), points(2, 5, 2)), "got (2, 5, 2) and (2, 5, 2)"),
        (
            lambda: distances.modes_found(points(0, 2), points(8, 2), 0.1),
            "at least 1 points are needed",
        ),
        (lambda: distances.modes_found(points(5, 2), points(8, 3), 0.1), "of one dimension"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused_in_a_sentence(wrong, said):
    with pytest.raises(ValueError) as error:
        wrong()
    assert said in str(error.value) and "\n" not in str(error.value)


def test_floats_of_single_precision_are_enough():
    """Samples come in float32: what is summed over thousands of points is summed in float64, and
    far from the origin.
    """
    x, y = torch.randn(500, 3) + 100, 1.5 * torch.randn(500, 3) + 101
    for distance, error in (
        (distances.frechet, 1e-4),
        (distances.wasserstein, 1e-4),
        (distances.mmd, 1e-3),
        (distances.sliced_wasserstein, 1e-4),
    ):
        close(distance(x.float(), y.float()), distance(x, y), rtol=error)


def test_the_discrepancy_is_as_exact_under_mixed_precision():
    """The Wasserstein auto-encoder's penalty is taken where the networks compute with 8 bits."""
    x, y = torch.randn(50, 8).float(), torch.randn(50, 8).float() + 1
    exact = distances.mmd(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        close(distances.mmd(x, y), exact, rtol=1e-6)
