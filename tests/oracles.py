"""Tools of the oracle tests: exact integrals, errors of Monte Carlo estimates, and mutants.

An oracle is a function `check_...(module)` that holds a module's code against an independent truth.
It must also be able to fail: `mutant(module, old, new)` is the module with one line broken, and
`survives` asks the same oracle about it.
"""

import contextlib
import inspect
import itertools
import re
import sys
import types
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from dgmcourse.densities import StandardGaussian


def mutant(module: types.ModuleType, old: str, new: str, *below: types.ModuleType):
    """A copy of a module in whose source `old` became `new`, however the formatter broke its lines.
    The module itself is untouched.

    The line may be in one of the modules `below` that it imports, the lowest first: then those from
    there up are copied, each on top of the other.
    """
    tokens = [re.escape(token) for token in re.findall(r"\w+|[^\w\s]", old)]
    pattern = r"\s*".join(
        f",?\\s*{token}" if token in (r"\)", r"\]", r"\}") else token for token in tokens
    )
    chain = [*below, module]
    places = [i for i, part in enumerate(chain) if re.search(pattern, inspect.getsource(part))]
    assert len(places) == 1, (
        f"{len(places)} of {[part.__name__ for part in chain]} have a line with {old!r}: bring this"
        " mutant up to date"
    )
    with mock.patch.dict(sys.modules):
        for i in range(places[0], len(chain)):
            source = inspect.getsource(chain[i])
            if i == places[0]:
                source = re.sub(pattern, lambda _: new.strip(), source)
            name = chain[i].__name__
            broken = sys.modules[name] = types.ModuleType(name)
            exec(compile(source, f"<mutant of {name}>", "exec"), broken.__dict__)
    return broken


def survives(check, module: types.ModuleType, old: str, new: str, *below) -> bool:
    """Whether the oracle lets the mutant pass. Only an AssertionError counts as caught, a crash is
    the test's own fault.
    """
    # Out here: a mutant that can't be made was not caught.
    broken = mutant(module, old, new, *below)
    with contextlib.suppress(AssertionError):
        check(broken)
        return True
    return False


def oracle_tests(*systems: tuple[types.ModuleType, dict]):
    """Two tests for a test module: each oracle holds for the code, and fails for each mutant.

    A system is a module and its oracles, {check: mutants}. Mutants are lines "old => new"; a new
    line in the code is written \\n.
    """
    oracles = [(module, check) for module, table in systems for check in table]
    mutants = [
        (module, check, *(part.strip().replace("\\n", "\n") for part in line.split("=>")))
        for module, table in systems
        for check, lines in table.items()
        for line in lines.strip().splitlines()
    ]

    @pytest.mark.parametrize(("module", "check"), oracles, ids=lambda part: part.__name__)
    def test_oracle(module, check):
        check(module)

    names = [f"{check.__name__}: {new or 'without ' + old}" for _, check, old, new in mutants]

    @pytest.mark.parametrize(("module", "check", "old", "new"), mutants, ids=names)
    def test_mutant_is_caught(module, check, old, new):
        assert not survives(check, module, old, new)

    return test_oracle, test_mutant_is_caught


class Codes(StandardGaussian):
    """A prior whose draws are decided beforehand, the same at every call."""

    def __init__(self, z: Tensor):
        super().__init__(z.shape[-1])
        self.z = z

    def sample(self, shape=()):
        return self.z.expand(*shape, self.dim)


def all_images(pixels: int = 9) -> Tensor:
    """Every binary image of so many pixels: (2^pixels, pixels)."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=pixels)))


def grid(dim: int, reach: float, points: int) -> tuple[Tensor, float]:
    """A square grid of `dim` axes from -reach to reach, (points^dim, dim), and the volume of a
    cell.

    For a smooth integrand that is 0 at the edges the sum over the grid times the volume converges
    exponentially.
    """
    axis = torch.linspace(-reach, reach, points)
    return torch.cartesian_prod(*[axis] * dim).reshape(-1, dim), float(axis[1] - axis[0]) ** dim


def assert_mean(samples: Tensor, expected, errors: float = 4.5) -> None:
    """The mean over the first axis is `expected` within so many of its standard errors,
    everywhere.
    """
    error = samples.std(0) / len(samples) ** 0.5
    distance = (samples.mean(0) - expected).abs() / (error + 1e-12)
    assert distance.max() < errors, f"{distance.max():.1f} standard errors from the expected value"


def close(a, b, rtol: float = 1e-10, atol: float = 1e-10) -> None:
    """Equal shapes and, up to rounding, equal values."""
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    assert a.shape == b.shape, f"shape {tuple(a.shape)}, not {tuple(b.shape)}"
    difference, allowed = (a.double() - b.double()).abs(), atol + rtol * b.double().abs()
    assert (difference <= allowed).all(), (
        f"up to {difference.max():.3g} off, for values up to {b.abs().max():.3g}"
    )


def frechet_by_hand(x, y):
    """The trace of the root of two covariances' product is a nuclear norm, which needs neither of
    them to be regular.
    """
    gap = ((x.mean(0) - y.mean(0)) ** 2).sum()
    x, y = ((points - points.mean(0)) / (len(points) - 1) ** 0.5 for points in (x, y))
    root = np.linalg.norm(np.linalg.qr(x, "r") @ np.linalg.qr(y, "r").T, "nuc")
    return gap + (x**2).sum() + (y**2).sum() - 2 * root


def check_samples_follow(
    log_prob, sample, pixels: bool, rows: tuple = (), one_hot: bool = False
) -> None:
    """exp(log_prob) sums to 1 over all 16 images of four pixels, those with a single 1 alone
    (`one_hot`), or a grid of the plane; samples are independent, and have each image as often, or
    the moments of the density.
    """
    x, cell = (all_images(4), 1.0) if pixels else grid(2, 11, 221)
    if one_hot:
        x = x[x.sum(-1) == 1]
    with torch.no_grad():
        p = log_prob(x.reshape(-1, *[1] * len(rows), x.shape[-1])).exp() * cell
    close(p.sum(0), torch.ones(rows), 1e-3, 1e-3)

    def features(x):
        if pixels:
            number = (x @ 2.0 ** torch.arange(3, -1, -1)).long()
            return torch.nn.functional.one_hot(number, 16).double()
        return torch.cat([x, x**2, x[..., :1] * x[..., 1:], (2 * x).sin()], -1)

    expected = torch.einsum("n...,nf->...f", p, features(x))
    drawn = sample((6_000 if pixels else 20_000,))
    assert_mean(features(drawn), expected, errors=5)
    off = drawn - drawn.mean(0)
    assert_mean(off[1:] * off[:-1], torch.zeros_like(off[0]), errors=5)
