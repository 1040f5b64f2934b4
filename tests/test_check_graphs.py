"""The exercises of notebook 14: right answers pass, wrong ones are told what is wrong."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import graphs as check
from dgmcourse.data.graphs import Graph

# ---- right answers


def by_course(A, X, W):
    """With the course's sparse matrix."""
    return Graph.of_adjacency(A).normalised @ (X @ W)


def by_diagonal_matrices(A, X, W):
    loops = A + torch.diag(torch.ones(len(A)).to(A))
    D = torch.diag(loops.sum(1).rsqrt())
    return D @ loops @ D @ X @ W


def by_bernoulli(z, b, A):
    """By torch's own Bernoulli, all entries, halved."""
    N = len(A)
    p = torch.distributions.Bernoulli(logits=torch.einsum("sik,sjk->sij", z, z) + b)
    return (p.log_prob(A) * (1 - torch.eye(N).to(A))).sum((1, 2)) / 2


def without_then_with(z, b, A):
    """log p of the graph without edges, plus the logits of the edges."""
    logits = (z @ z.mT + b).triu(1)
    none = F.logsigmoid(-(z @ z.mT + b)).triu(1).sum((1, 2))
    return none + (logits * A).sum((1, 2))


def by_loop(logits):
    p = logits.softmax(-1)
    return sum((r + 1) * p[:, r] for r in range(p.shape[1]))


RIGHT = {
    "graph_convolution": [by_course, by_diagonal_matrices],
    "log_prob_of_graph": [by_bernoulli, without_then_with],
    "expected_rating": [by_loop],
}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def upper(A):
    return torch.triu_indices(len(A), len(A), 1)


def pair_logits(z, b, A):
    i, j = upper(A)
    return (z @ z.mT)[:, i, j] + b, A[i, j]


def weighed(z, b, A):
    logits, there = pair_logits(z, b, A)
    each = F.logsigmoid((2 * there - 1) * logits)
    return (torch.where(there == 1, 3.0, 1.0) * each).sum(-1)


def through_probabilities(z, b, A):
    logits, there = pair_logits(z, b, A)
    p = logits.sigmoid()
    return torch.where(there == 1, p, 1 - p).clamp(1e-7, 1 - 1e-7).log().sum(-1)


WRONG = {
    "graph_convolution": {
        "the features go through W": lambda A, X, W: check.by_neighbours(
            A, X, torch.eye(X.shape[1]).to(X)
        ),
        "no gradient reaches": lambda A, X, W: check.by_neighbours(A, X.detach(), W),
        "for a node without neighbours": lambda A, X, W: (
            (A + torch.eye(len(A)).to(A)) @ X @ W * float("nan")
            if (A.sum(1) == 0).any()
            else check.by_neighbours(A, X, W)
        ),
        "2 times": lambda A, X, W: 2 * check.by_neighbours(A, X, W),
        "in place": lambda A, X, W: check.by_neighbours(A.fill_diagonal_(1), X, W),
    },
    "log_prob_of_graph": {
        "the sum over the edges has the factor 3": weighed,
        "where logits are 60 or more": through_probabilities,
        "one number for each pair": lambda z, b, A: F.logsigmoid(
            (2 * pair_logits(z, b, A)[1] - 1) * pair_logits(z, b, A)[0]
        ),
        "the sign is turned": lambda z, b, A: -by_bernoulli(z, b, A),
        "summed over the samples of Z": lambda z, b, A: by_bernoulli(z, b, A).sum(),
    },
    "expected_rating": {
        "exp(900) is infinite": lambda logits: (
            logits.exp() / logits.exp().sum(-1, keepdim=True) @ check.levels(logits)
        ),
        "R is logits.shape[-1], not 5": lambda logits: (
            logits.softmax(-1) @ torch.arange(1.0, 6.0).to(logits)
        ),
        "one number for each pair": lambda logits: logits.softmax(-1) * check.levels(logits),
        "the levels are whole numbers": lambda logits: logits.softmax(-1) @ torch.arange(1, 6),
        "that is the most probable rating": lambda logits: logits.argmax(-1) + 1,
    },
}
TestExercises = exercise_tests(check, "14_graphs", RIGHT, WRONG, F=F)


def test_the_truth_of_a_graph_is_a_probability():
    """Over all 64 graphs of four nodes it sums to 1."""
    z, b = torch.randn(2, 4, 3, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    i, j = torch.triu_indices(4, 4, 1)
    total = 0
    for links in itertools.product((0.0, 1.0), repeat=6):
        A = torch.zeros(4, 4, dtype=torch.float64)
        A[i, j] = A[j, i] = torch.tensor(links, dtype=torch.float64)
        total = total + check.of_all(z, b, A).exp()
    assert total.tolist() == pytest.approx([1, 1], abs=1e-12)
