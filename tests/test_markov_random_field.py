"""The grid of pixels against sums over all its states, a transfer matrix, and itself as a Markov
chain.
"""

import itertools
import math

import pytest
import torch
from oracles import all_images, assert_mean, close, oracle_tests

from dgmcourse.models import markov_random_field
from dgmcourse.models.markov_random_field import IsingGrid

pytestmark = pytest.mark.usefixtures("float64")


def energy(x, height, width, coupling, field):
    """log prod psi of one image, pair by pair, with nothing of torch's."""
    s = [[2 * int(x[width * r + c]) - 1 for c in range(width)] for r in range(height)]
    total = field * sum(map(sum, s))
    for r, c in itertools.product(range(height), range(width)):
        for r2, c2 in ((r, c + 1), (r + 1, c)):
            if r2 < height and c2 < width:
                total += coupling * s[r][c] * s[r2][c2]
    return total


def transfer(height, width, coupling, field):
    """log Z row by row: a row's weight given the row above is a matrix over 2^width states."""
    rows = [2 * torch.tensor(row) - 1 for row in itertools.product([0.0, 1.0], repeat=width)]
    inside = torch.stack([coupling * (s[1:] * s[:-1]).sum() + field * s.sum() for s in rows])
    between = coupling * torch.stack(rows) @ torch.stack(rows).T
    total = inside
    for _ in range(height - 1):
        total = inside + torch.logsumexp(total + between, 1)
    return torch.logsumexp(total, 0)


def check_potential(module):
    for height, width in ((2, 4), (4, 2), (1, 5), (3, 3)):
        x = all_images(height * width).double()
        expected = torch.tensor([energy(image, height, width, 0.35, -0.2) for image in x])
        close(module.IsingGrid(height, width, 0.35, -0.2).log_potential(x), expected)


def check_partition(module):
    for height, width in ((2, 3), (4, 3), (3, 5), (1, 7), (16, 1)):
        grid = module.IsingGrid(height, width, 0.4, 0.15)
        close(grid.log_partition(), transfer(height, width, 0.4, 0.15))


def check_gibbs(module):
    """One sweep must leave p(x) as it is: over all states, the chain's frequencies after it are
    p's.
    """
    grid = module.IsingGrid(2, 3, 0.5, 0.1)
    states = all_images(6).double()
    log_p = torch.stack([torch.tensor(energy(x, 2, 3, 0.5, 0.1)) for x in states]).log_softmax(0)
    start = states[torch.multinomial(log_p.exp(), 60_000, replacement=True)]
    after = grid.gibbs(start, 1)
    assert ((after == 0) | (after == 1)).all()
    index = (after * 2 ** torch.arange(5, -1, -1)).sum(-1).long()
    assert_mean(torch.nn.functional.one_hot(index, 64).double(), log_p.exp())


def check_all_pixels_move(module):
    """A chain of which half the pixels stand still leaves p(x) as it is, too."""
    grid = module.IsingGrid(3, 3, 0.0)
    assert_mean(grid.gibbs(torch.zeros(4000, 9), 1), torch.full((9,), 0.5))


MUTANTS = {
    check_potential: """
        (beside + above) => (beside - above)
        + self.field * s => - self.field * s
        s[..., 1:, :] * s[..., :-1, :] => s[..., 1:, 1:] * s[..., :-1, :-1]
    """,
    check_partition: """
        range(0, 1 << pixels, CHUNK) => range(0, 1 << pixels, CHUNK + 1)
        min(start + CHUNK, 1 << pixels) => min(start + CHUNK, (1 << pixels) - 1)
    """,
    check_gibbs: """
        torch.sigmoid(2 * => torch.sigmoid(1 *
        neighbours + field => neighbours - field
        around[..., 2:, 1:-1] => around[..., 2:, 2:]
        torch.where(colour == now, => torch.where(colour == colour,
    """,
    check_all_pixels_move: "for now in (0, 1) => for now in (0, 0)",
}
test_oracle, test_mutant_is_caught = oracle_tests((markov_random_field, MUTANTS))


def test_probabilities_sum_to_one_and_exact_draws_follow_them():
    grid = IsingGrid(3, 3, 0.4, 0.2)
    states = all_images(9).double()
    p = grid.log_prob(states).exp()
    close(p.sum(), torch.tensor(1.0))
    draws = grid.sample((40, 500))
    assert draws.shape == (40, 500, 9)
    assert_mean(draws.flatten(0, 1), p @ states)
    pairs = draws.flatten(0, 1)[:, :, None] * draws.flatten(0, 1)[:, None]
    assert_mean(pairs.flatten(1), torch.einsum("n,ni,nj->ij", p, states, states).flatten())


def test_a_coupling_for_each_grid():
    J = torch.tensor([0.1, 0.7])
    both = IsingGrid(2, 3, J)
    close(both.log_partition(), torch.stack([transfer(2, 3, j, 0.0) for j in J.tolist()]))
    x = torch.bernoulli(torch.full((2, 6), 0.5))
    close(
        both.log_prob(x),
        torch.stack([IsingGrid(2, 3, j).log_prob(row) for j, row in zip(J, x, strict=True)]),
    )
    after = both.gibbs(torch.ones(5, 2, 6), 3)
    assert after.shape == (5, 2, 6)
    strong = IsingGrid(8, 8, torch.tensor([0.0, 3.0])).gibbs(torch.ones(50, 2, 64), 5).mean((0, 2))
    assert abs(strong[0] - 0.5) < 0.05 and strong[1] > 0.99


def test_bits_may_be_integers_or_booleans_and_x_is_left_alone():
    for x in (
        torch.zeros(500, 6, dtype=torch.uint8),
        torch.zeros(500, 6).bool(),
        torch.zeros(500, 6),
    ):
        after = IsingGrid(2, 3, 0.0).gibbs(x)
        assert after.is_floating_point() and 0.4 < after.mean() < 0.6 and not x.any()
    assert IsingGrid(2, 3).gibbs(torch.zeros(0, 6)).shape == (0, 6)


def test_the_critical_coupling_is_onsagers():
    assert math.sinh(2 * IsingGrid.CRITICAL) == pytest.approx(1)


def test_what_does_not_fit_is_said_in_words():
    with pytest.raises(ValueError, match=r"2\^30 states"):
        IsingGrid(5, 6).log_partition()
    with pytest.raises(ValueError, match="use gibbs"):
        IsingGrid(5, 5).sample((1,))
    with pytest.raises(ValueError, match="rows of 2 x 3 pixels"):
        IsingGrid(2, 3).log_potential(torch.zeros(4, 5))
    for wrong in (torch.full((4, 6), 0.5), torch.full((4, 6), torch.nan)):
        with pytest.raises(ValueError, match="binary pixels"):
            IsingGrid(2, 3).gibbs(wrong)
    for wrong in (math.nan, torch.ones(2, 2)):
        with pytest.raises(ValueError, match="finite numbers, or one for each"):
            IsingGrid(2, 3, wrong)
    with pytest.raises(ValueError, match="rows of 2 x 3 pixels"):
        IsingGrid(2, 3).log_potential(torch.tensor(1.0))
    with pytest.raises(ValueError, match="binary pixels"):
        IsingGrid(2, 3).log_potential(torch.full((4, 6), 0.5))
