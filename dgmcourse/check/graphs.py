"""Checks of notebook 14: the graph convolution, the log-probability of a graph, the expected rating.

The truth comes from sums over neighbours and over pairs, one at a time, and from the probabilities
that a rating is at least 1, 2, ..., R.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise
from dgmcourse.check._judge import Function, mask, randn, reals
from dgmcourse.check._progress import progress as progress
from dgmcourse.densities import StandardGaussian

# ---- the course's own answers


def _graph_convolution(A: Tensor, X: Tensor, W: Tensor) -> Tensor:
    A = A + torch.eye(len(A)).to(A)
    root = A.sum(1) ** -0.5
    M = root[:, None] * A * root
    return M @ X @ W


def _log_prob_of_graph(z: Tensor, b: Tensor, A: Tensor) -> Tensor:
    i, j = torch.triu_indices(len(A), len(A), 1)
    logits = (z @ z.mT)[:, i, j] + b
    sign = 2 * A[i, j] - 1
    return F.logsigmoid(sign * logits).sum(-1)


def _expected_rating(logits: Tensor) -> Tensor:
    levels = torch.arange(1, logits.shape[-1] + 1).to(logits)
    return logits.softmax(-1) @ levels


# ---- the graph convolution


def by_neighbours(A: Tensor, X: Tensor, W: Tensor) -> Tensor:
    """Node by node: what it says of itself, and what it hears of each neighbour."""
    said, degree = X @ W, 1 + A.sum(1)
    rows = []
    for i in range(len(A)):
        heard = said[i] / degree[i]
        for j in range(len(A)):
            if A[i, j]:
                heard = heard + said[j] / torch.sqrt(degree[i] * degree[j])
        rows.append(heard)
    return torch.stack(rows)


def convolution(
    loops: float = 1.0, degrees=None, left: float = -0.5, right: float = -0.5, after: float = 0.0
):
    """A slip: (A + loops I), its rows and columns multiplied by powers of the degrees; with `after` I
    added to that.
    """

    def answer(A, X, W):
        one = torch.eye(len(A)).to(A)
        with_loops = A + loops * one
        d = (with_loops if degrees is None else degrees(A)).sum(1)
        return ((d**left)[:, None] * with_loops * d**right + after * one) @ X @ W

    return answer


def lonely(A: Tensor) -> Tensor:
    """A, and a self-loop where there is no other edge: degrees of A that can be divided by."""
    return A + torch.diag((A.sum(1) == 0).to(A))


def twice_looped(A: Tensor) -> Tensor:
    return A + 2 * torch.eye(len(A)).to(A)


def adjacency(nodes: int, *edges: tuple[int, int]) -> Tensor:
    A = torch.zeros(nodes, nodes, dtype=torch.float64)
    for i, j in edges:
        A[i, j] = A[j, i] = 1
    return A


A6 = adjacency(6, (0, 1), (0, 2), (0, 3), (1, 2), (3, 4), (4, 5), (0, 4))
FEATURES, WEIGHT, FEW, NARROW = randn(0, (6, 4), (4, 3), (5, 4), (4, 3))
LATE = "added after the division, so each node hears itself in full: A + I first, then divide"
SYMMETRIC = "each neighbour counts 1 / sqrt(d_i d_j): the root of the degree on both sides"

graph_convolution = Exercise(
    name="graph_convolution",
    solution=_graph_convolution,
    judge=Function(
        "the new features",
        truth=by_neighbours,
        cases=[(A6, FEATURES, WEIGHT)],
        learn=("X", "W"),
        edges=[
            "for a node without neighbours",
            "its degree is 0 in A, and 1 in A + I, where it hears itself. Take the degrees of A + I",
            (adjacency(5, (0, 1), (1, 2), (0, 3)), FEW, NARROW),
            *("for one node alone", "", (adjacency(1), FEW[:1], NARROW)),
        ],
        slips=[
            "the self-loops are missing, so no node hears itself: begin with A + I",
            convolution(loops=0),
            "the degrees are those of A: take them of A + I, in which each node has one more",
            convolution(degrees=lambda A: A),
            f"each row is a mean over the neighbours, D^-1 (A + I): {SYMMETRIC}",
            convolution(left=-1, right=0),
            f"each column is divided by its degree, (A + I) D^-1: {SYMMETRIC}",
            convolution(left=0, right=-1),
            "you multiply by the roots of the degrees: divide by them, D^(-1/2)",
            convolution(left=0.5, right=0.5),
            f"the degree is on the left side only: {SYMMETRIC}",
            convolution(right=0),
            f"the degree is on the right side only: {SYMMETRIC}",
            convolution(left=0),
            "you divide by the degrees themselves on both sides: by their roots, D^(-1/2)",
            convolution(left=-1, right=-1),
            "nothing is divided: popular nodes hear much louder. Divide by the roots of both degrees",
            convolution(left=0, right=0),
            "each node hears itself twice: the self-loop is added once, A + I",
            convolution(loops=2),
            f"that is the mean over the neighbours alone, D^-1 A: begin with A + I, and {SYMMETRIC}",
            convolution(loops=0, left=-1, right=0),
            "neither self-loops nor degrees are in it: M has both",
            convolution(loops=0, left=0, right=0),
            f"the self-loop is {LATE}",
            convolution(loops=0, degrees=lonely, after=1),
            f"the degrees are those of A + I, but the self-loop is {LATE}",
            convolution(loops=0, degrees=lambda A: A + torch.eye(len(A)).to(A), after=1),
            f"the neighbours come as a mean, D^-1 A, and the self-loop is {LATE}",
            convolution(loops=0, degrees=lonely, left=-1, right=0, after=1),
            "the neighbours are subtracted, as in a Laplacian, I - D^-1/2 A D^-1/2: they are added, and"
            " the degrees are those of A + I",
            lambda A, X, W: X @ W - convolution(loops=0, degrees=lonely)(A, X, W),
            "the degrees have the self-loops, the product has not: multiply A + I by the roots, not A",
            convolution(loops=0, degrees=lambda A: A + torch.eye(len(A)).to(A)),
            "each degree is 1 too large: the row sums of A + I have the self-loop already",
            convolution(degrees=twice_looped),
            "1 was added to every entry of A: the identity, torch.eye(N), has it on the diagonal only",
            lambda A, X, W: convolution(loops=0)(A + 1, X, W),
            "only the diagonal of M is left: matrices are multiplied by @, and * goes entry by entry",
            lambda A, X, W: (X @ W) / (1 + A.sum(1, keepdim=True)) ** 2,
            "only the diagonal of M is left: matrices are multiplied by @, and * goes entry by entry",
            lambda A, X, W: (X @ W) / (1 + A.sum(1, keepdim=True)),
            "no node hears its neighbours: M is missing",
            lambda A, X, W: X @ W,
            "there is no relu in it: that comes after the convolution",
            lambda A, X, W: by_neighbours(A, X, W).relu(),
            "M is applied twice: one convolution hears from the neighbours once",
            lambda A, X, W: by_neighbours(A, by_neighbours(A, X, torch.eye(X.shape[1]).to(X)), W),
        ],
        shapes=[
            *((6, 4), "the features go through W, too: M X W has as many columns as W"),
            *((6, 6), "that is M: it is multiplied by X W"),
            *((6,), "you summed over the new features: a row for each node is asked for"),
            *((), "you summed over the nodes: a row for each of them is asked for"),
        ],
        nan="1 / sqrt(0)? The degree of a node is at least 1 in A + I",
        praise="the same as hearing each neighbour in turn, to {trial.off:.0e}; a node without"
        " neighbours hears itself.",
    ),
    hints=[
        "Three things: self-loops, A + I; its row sums, the degrees; and each entry divided by the"
        " roots of both its degrees.",
        "With root = (A + I).sum(1) ** -0.5: rows times root[:, None], columns times root. Then two"
        " matrix products.",
        "A = A + torch.eye(len(A)); root = A.sum(1) ** -0.5; return (root[:, None] * A * root) @ X @ W",
    ],
)


# ---- the log-probability of a graph


def log_sigmoid(logits: Tensor) -> Tensor:
    return -torch.logaddexp(torch.zeros_like(logits), -logits)


def over_pairs(A: Tensor, logit, there: bool, absent: bool) -> Tensor:
    """The sum of the log-probabilities of the pairs, one after the other."""
    total = torch.zeros_like(logit(0, 1))
    for i in range(len(A)):
        for j in range(i):
            if there if A[i, j] else absent:
                total = total + log_sigmoid(logit(i, j) if A[i, j] else -logit(i, j))
    return total


def products(z: Tensor, b: Tensor):
    return lambda i, j: torch.einsum("sk,sk->s", z[:, i], z[:, j]) + b


def of_all(z: Tensor, b: Tensor, A: Tensor) -> Tensor:
    return over_pairs(A, products(z, b), True, True)


def of_edges(z: Tensor, b: Tensor, A: Tensor) -> Tensor:
    return over_pairs(A, products(z, b), True, False)


def of_others(z: Tensor, b: Tensor, A: Tensor) -> Tensor:
    return over_pairs(A, products(z, b), False, True)


def of_diagonal(z: Tensor, b: Tensor, A: Tensor, there: bool = False) -> Tensor:
    logits = (z * z).sum(-1) + b
    return log_sigmoid(logits if there else -logits).sum(-1)


def with_logits(logits):
    """A slip: the same pairs with other logits."""
    return lambda z, b, A: over_pairs(A, lambda i, j: logits(z, b, i, j), True, True)


def each_pair(term):
    """A slip: a sum over the pairs of other terms than log p, of the logit and of A_ij."""

    def answer(z, b, A):
        logit = products(z, b)
        pairs = [(i, j) for i in range(len(A)) for j in range(i)]
        return sum(term(logit(i, j), A[i, j]) for i, j in pairs)

    return answer


as_edges, as_others = (each_pair(lambda x, a, s=sign: log_sigmoid(s * x)) for sign in (1, -1))


def cut_too_early(z: Tensor, b: Tensor, A: Tensor) -> Tensor:
    """Of an upper triangle of logits: each 0 beside it has log sigmoid(0) = -log 2."""
    return of_all(z, b, A) - len(A) * (len(A) + 1) / 2 * math.log(2)


def dot(z: Tensor, i: int, j: int) -> Tensor:
    return (z[:, i] * z[:, j]).sum(-1)


CODES, _ = randn(1, (8, 5, 2), (1,))  # more samples than terms: no sum of these fits by chance
OFFSET = torch.tensor(-0.7, dtype=torch.float64)
A5 = adjacency(5, (0, 1), (1, 2), (0, 4), (3, 4))
FAR = reals([[[6.0, 5.0], [-7.0, 4.0], [6.0, 6.0], [5.0, -8.0]]] * 2)[0]

log_prob_of_graph = Exercise(
    name="log_prob_of_graph",
    solution=_log_prob_of_graph,
    judge=Function(
        "log p(A|Z)",
        truth=of_all,
        cases=[(CODES, OFFSET, A5)],
        rows="z",
        learn=("z", "b"),
        edges=[
            "where logits are 60 or more",
            "a probability rounds to 0 or 1 there, and its logarithm is lost. Stay with logits:"
            " F.logsigmoid(l), and F.logsigmoid(-l) = log(1 - sigmoid(l))",
            (FAR, OFFSET, adjacency(4, (0, 1), (1, 3))),
            *("for a graph without edges", "", (CODES, OFFSET, adjacency(5))),
            *("for two nodes", "", (CODES[:, :2], OFFSET, adjacency(2, (0, 1)))),
        ],
        slips=[
            "each pair counts twice, as (i, j) and as (j, i): the sum is over i < j",
            lambda z, b, A: 2 * of_all(z, b, A),
            "all N^2 entries count, each pair twice and the diagonal, too: the sum is over i < j",
            lambda z, b, A: 2 * of_all(z, b, A) + of_diagonal(z, b, A),
            "the diagonal is among your pairs, and no node is linked to itself: i < j, triu with 1",
            lambda z, b, A: of_all(z, b, A) + of_diagonal(z, b, A),
            "only the edges count. A pair without one has the probability 1 - sigmoid, and that counts,"
            " too",
            of_edges,
            "only the pairs without an edge count: those with one have log sigmoid(l)",
            of_others,
            "you averaged over the pairs: sum them, a graph is all of its pairs",
            lambda z, b, A: of_all(z, b, A) / (len(A) * (len(A) - 1) / 2),
            "these are distances: the logit is the inner product z_i . z_j, plus b",
            with_logits(lambda z, b, i, j: b - ((z[:, i] - z[:, j]) ** 2).sum(-1)),
            "b is missing in the logits",
            with_logits(lambda z, b, i, j: dot(z, i, j)),
            "b has the wrong sign in the logits: z_i . z_j + b",
            with_logits(lambda z, b, i, j: dot(z, i, j) - b),
            "the codes are divided by their lengths: the logit is the plain inner product",
            with_logits(
                lambda z, b, i, j: dot(z / z.norm(dim=-1, keepdim=True), i, j) + b,
            ),
            "the codes' products are divided by sqrt(K), as in attention: the logit is the plain one",
            with_logits(lambda z, b, i, j: dot(z, i, j) / z.shape[-1] ** 0.5 + b),
            "these are distances: the logit is the inner product z_i . z_j, plus b",
            with_logits(lambda z, b, i, j: b - (z[:, i] - z[:, j]).norm(dim=-1)),
            "for a pair without an edge the sign turns the whole logit, b with it: -(z_i . z_j + b)",
            lambda z, b, A: (
                over_pairs(A, products(z, b), True, False)
                + over_pairs(A, products(z, -b), False, True)
            ),
            "b is added to the sum: it belongs into the logit of each pair",
            lambda z, b, A: of_all(z, 0 * b, A) + b,
            "every pair counts as an edge: one without has log sigmoid(-l)",
            as_edges,
            "no pair counts as an edge: one with an edge has log sigmoid(l)",
            as_others,
            "every pair counts as an edge, twice, and so does the diagonal: one without has"
            " log sigmoid(-l), and the sum is over i < j",
            lambda z, b, A: 2 * as_edges(z, b, A) + of_diagonal(z, b, A, 1),
            "a pair without an edge has log sigmoid(0) in yours: its sign is -1, 2 A_ij - 1",
            each_pair(lambda x, a: log_sigmoid(a * x)),
            "for a pair without an edge you took 1 - log sigmoid(l): the 1 is inside, log(1 - sigmoid(l))"
            " = log sigmoid(-l)",
            each_pair(lambda x, a: log_sigmoid(x) if a else 1 - log_sigmoid(x)),
            "probabilities are summed: it is their logarithms that add up, F.logsigmoid",
            each_pair(lambda x, a: (x if a else -x).sigmoid()),
            "log(1 - sigmoid(l)) is -softplus(l): in yours l has the wrong sign there",
            each_pair(lambda x, a: a * x + log_sigmoid(x)),
            "the logits were cut to i < j before the sigmoid: each 0 beside them adds log 1/2. Take the"
            " pairs first, or .triu(1) after F.logsigmoid",
            cut_too_early,
            "A was cut to i < j and the logits were not: below the diagonal every pair counts, as one"
            " without an edge. Sum over i < j",
            lambda z, b, A: of_all(z, b, A) + as_others(z, b, A) + of_diagonal(z, b, A),
            "the prior is in it, log p(A|Z) + log p(Z): log p(A|Z) alone is asked for",
            lambda z, b, A: of_all(z, b, A) + StandardGaussian(z.shape[-1]).log_prob(z).sum(-1),
            "edges and others are exchanged: an edge has log sigmoid(l), another pair log sigmoid(-l)",
            with_logits(lambda z, b, i, j: -dot(z, i, j) - b),
            "the logits of the edges are summed, without a sigmoid: log sigmoid(l) for an edge,"
            " log sigmoid(-l) for another pair",
            lambda z, b, A: (
                sum(products(z, b)(i, j) for i in range(len(A)) for j in range(i) if A[i, j])
                + torch.zeros_like(z[:, 0, 0])
            ),
        ],
        terms={
            "the sum over the edges": of_edges,
            "the sum over the pairs without an edge": of_others,
            "a sum over the diagonal": of_diagonal,
        },
        shapes=[
            (8, 5, 5),
            "one number for each pair: sum over the pairs i < j",
            (5, 5),
            "you summed over the samples of Z: sum over the pairs, and keep one number for each Z",
            (8, 10),
            "one number for each pair: sum over the pairs, .sum(-1)",
            (8, 5),
            "one number for each node: sum over both axes of the pairs",
            (),
            "you summed over the samples of Z, too: keep one number for each of them",
        ],
        unit="nats",
        praise="the same as the pairs one after the other, to {trial.off:.0e} nats, and the gradients"
        " are right for Z and for b.",
    ),
    hints=[
        "All logits at once are z @ z.mT + b, (S, N, N). Of those you need the pairs i < j, once each.",
        "i, j = torch.triu_indices(N, N, 1) lists them. Where A[i, j] is 1 the pair gives"
        " log sigmoid(l), elsewhere log sigmoid(-l).",
        "l = (z @ z.mT)[:, i, j] + b; sign = 2 * A[i, j] - 1; return F.logsigmoid(sign * l).sum(-1)",
    ],
)


# ---- the expected rating


def by_survival(logits: Tensor) -> Tensor:
    """The sum over k of the probability that the rating is at least k."""
    R, total = logits.shape[-1], 0
    for k in range(R):
        total = total + torch.exp(logits[:, k:].logsumexp(-1) - logits.logsumexp(-1))
    return total


def levels(logits: Tensor) -> Tensor:
    return torch.arange(1, logits.shape[-1] + 1).to(logits)


def middle(logits: Tensor) -> Tensor:
    """The median: the smallest level that half of the probability does not exceed."""
    return ((logits.softmax(-1).cumsum(-1) < 0.5).sum(-1) + 1).to(logits)


def averaged(change, back=lambda mean: mean):
    """A slip: a mean under p of changed levels, changed back."""
    return lambda logits: back(logits.softmax(-1) @ change(levels(logits)))


LOGITS, THREE = randn(4, (7, 5), (2, 3))
LARGE = reals([[900.0, 899.0, 0.0, -5.0, 898.5], [-800.0, -801.0, -799.0, -805.0, -800.5]])[0]

expected_rating = Exercise(
    name="expected_rating",
    solution=_expected_rating,
    judge=Function(
        "the expected rating",
        truth=by_survival,
        cases=[[1.5 * LOGITS]],
        rows="logits",
        kind=mask,  # the mode in whole numbers is told that it is the mode
        edges=[
            *("with three levels", "R is logits.shape[-1], not 5", [THREE]),
            "where logits are 900 or -800",
            "exp(900) is infinite in a computer, and exp(-800) is 0. Let torch subtract the largest"
            " first: .softmax(-1)",
            [LARGE],
        ],
        slips=[
            "that is the most probable rating, the mode: ask for the mean, sum_r r p(r)",
            lambda logits: logits.argmax(-1).to(logits) + 1,
            "that is the place of the largest logit, from 0: ask for the mean, sum_r r p(r)",
            lambda logits: logits.argmax(-1).to(logits),
            "that is the median: ask for the mean, sum_r r p(r)",
            middle,
            "that is the median, counted from 0: ask for the mean, sum_r r p(r)",
            lambda logits: middle(logits) - 1,
            "that is the largest probability: ask for the mean rating, sum_r r p(r)",
            lambda logits: logits.softmax(-1).amax(-1),
            "the probabilities alone are summed, to 1: weigh with them the ratings 1, ..., R",
            lambda logits: logits.softmax(-1).sum(-1),
            "that is the mean of the logits: ask for that of the ratings, sum_r r p(r)",
            lambda logits: logits.mean(-1),
            "the ratings count from 0 in yours: they are 1, 2, ..., R",
            lambda logits: by_survival(logits) - 1,
            "the probabilities sum to 1 over the pairs, not over the levels: .softmax(-1)",
            lambda logits: logits.softmax(0) @ levels(logits),
            "exp(logits) does not sum to 1: divide by its sum, .softmax(-1)",
            lambda logits: logits.exp() @ levels(logits),
            "the weights are the logits themselves: they are the probabilities, logits.softmax(-1)",
            lambda logits: logits @ levels(logits),
            "the weights are log-probabilities: they are the probabilities, .softmax(-1)",
            lambda logits: logits.log_softmax(-1) @ levels(logits),
            "each level has a sigmoid of its own: the levels share one probability, .softmax(-1)",
            lambda logits: logits.sigmoid() @ levels(logits),
            "each level has a sigmoid of its own, divided by their sum: the levels share one probability,"
            " .softmax(-1)",
            lambda logits: F.normalize(logits.sigmoid(), 1, -1) @ levels(logits),
            "the logits are divided by their sum: probabilities are exp(logits) over its sum,"
            " .softmax(-1)",
            lambda logits: logits / logits.sum(-1, keepdim=True) @ levels(logits),
            "the softmax is taken twice: once makes probabilities of the logits",
            lambda logits: logits.softmax(-1).softmax(-1) @ levels(logits),
            "the logits have the wrong sign in the softmax: the largest is the most probable",
            lambda logits: (-logits).softmax(-1) @ levels(logits),
            "the levels go from 0 to 1 in yours: they are 1, 2, ..., R",
            averaged(lambda r: (r - 1) / (len(r) - 1)),
            "the levels are squared: sum_r r p(r)",
            averaged(torch.square),
            "that is the root of the mean square: ask for the mean, sum_r r p(r)",
            averaged(torch.square, torch.sqrt),
            "that is the geometric mean: ask for the plain one, sum_r r p(r)",
            averaged(torch.log, torch.exp),
            "that is the variance: ask for the mean, sum_r r p(r)",
            lambda logits: averaged(torch.square)(logits) - by_survival(logits) ** 2,
            "that is the middle of the scale: the levels have the probabilities p(r)",
            lambda logits: torch.full_like(logits[:, 0], (1 + logits.shape[-1]) / 2),
            "it is rounded: the mean of a rating need be no whole number",
            lambda logits: by_survival(logits).round(),
            "you divided by the number of levels: the probabilities make a mean of it already",
            lambda logits: by_survival(logits) / logits.shape[-1],
            "the scale is turned round: the first logit is that of rating 1, the last that of R",
            lambda logits: logits.flip(-1).softmax(-1) @ levels(logits),
            "that is the mean of the logits under p: the ratings 1, ..., R are what is averaged",
            lambda logits: (logits.softmax(-1) * logits).sum(-1),
        ],
        shapes=[
            *((7, 5), "one number for each pair: sum over the levels, .sum(-1)"),
            *((), "one number for all pairs: sum over the levels alone, .sum(-1)"),
        ],
        errors={
            "have the same dtype": "the levels are whole numbers and the"
            " probabilities are not: make them floats, torch.arange(1, R + 1).to(logits)",
            "expected scalar type": "the levels are whole numbers and the probabilities are not: make"
            " them floats, torch.arange(1, R + 1).to(logits)",
        },
        praise="the first row's mean rating is {trial.found[0].value[0]:.2f}, and its gradients are"
        " right, too.",
    ),
    hints=[
        "First the probabilities of the levels from their logits, then the mean of 1, ..., R under them.",
        "p = logits.softmax(-1); levels = torch.arange(1, R + 1).to(p)",
        "(p * levels).sum(-1)",
    ],
)
