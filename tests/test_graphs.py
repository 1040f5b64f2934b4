"""Graphs and graph convolutions, against dense matrices, hand-made numbers and networkx; edges that
are held out.
"""

import doctest
import hashlib
import io
import pickle
import zlib

import networkx
import numpy as np
import pytest
import torch
from oracles import close, oracle_tests, survives
from scipy import sparse

from dgmcourse import graph_networks
from dgmcourse.data import graphs, ratings, source
from dgmcourse.data.graphs import Graph, split_edges
from dgmcourse.graph_networks import GraphConvolution, SparseMatrix, normalised_adjacency

pytestmark = pytest.mark.usefixtures("float64")

PATH = torch.tensor([[0, 1, 1], [1, 2, 3]])  # a star around node 1


def random_graph(nodes=9, edges=14, features=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    pairs = torch.triu_indices(nodes, nodes, 1)
    some = torch.randperm(pairs.shape[1], generator=random)[:edges]
    x = torch.randn(nodes, features, generator=random) if features else None
    return Graph(pairs[:, some], nodes, x)


# ---- sparse products and the graph convolution


def check_product(module):
    """The dense product and, by finite differences, its gradient; entries in one place add up."""
    rows, columns = torch.tensor([0, 2, 2, 0, 4]), torch.tensor([1, 0, 2, 1, 2])
    values = torch.tensor([1.5, -2.0, 0.5, 0.25, 3.0])
    A = module.SparseMatrix(rows, columns, values, (5, 3))
    dense = torch.zeros(5, 3).index_put((rows, columns), values, accumulate=True)
    x = torch.randn(3, 2, requires_grad=True)
    close(A.dense(), dense)
    close((A @ x).detach(), (dense @ x).detach())
    try:
        assert torch.autograd.gradcheck(lambda x: (A @ x).sin(), x)
    except RuntimeError as error:
        raise AssertionError from error
    close(module.SparseMatrix.of(dense).dense(), dense)


def check_normalised(module):
    """The star by hand: degrees with self-loops 2, 4, 2, 2, and 1 of the isolated node."""
    M = module.normalised_adjacency(PATH, 5).dense()
    r = 8**-0.5
    expected = torch.tensor(
        [
            [1 / 2, r, 0, 0, 0],
            [r, 1 / 4, r, r, 0],
            [0, r, 1 / 2, 0, 0],
            [0, r, 0, 1 / 2, 0],
            [0, 0, 0, 0, 1],
        ]
    )
    close(M, expected)
    graph = random_graph()
    A = graph.adjacency() + torch.eye(9)
    root = torch.diag(A.sum(0) ** -0.5)
    close(module.normalised_adjacency(graph.edges, 9).dense(), root @ A @ root)


def check_convolution(module):
    """One layer by hand on four nodes; sparse features give what dense ones give."""
    layer = module.GraphConvolution(2, 1)
    layer.weight.data = torch.tensor([[1.0], [-2.0]])
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 1.0], [0.0, 0.0]])
    M = module.normalised_adjacency(PATH, 4)
    by_hand = torch.tensor(
        [  # x W = 1, -2, 1, 0
            [1 / 2 - 2 / 8**0.5],
            [1 / 8**0.5 - 2 / 4 + 1 / 8**0.5],
            [1 / 2 - 2 / 8**0.5],
            [-2 / 8**0.5],
        ]
    )
    close(layer(M, x).detach(), by_hand)
    close(layer(M, module.SparseMatrix.of(x)).detach(), by_hand)
    named = module.GraphConvolution(4, 3)
    close(named(M, None).detach(), named(M, torch.eye(4)).detach())


test_oracle, test_mutant_is_caught = oracle_tests(
    (
        graph_networks,
        {
            check_product: """
                summed.index_add_(0, inverse, values) => summed[inverse] = values
                context.by_columns @ gradient => context.by_columns @ gradient.abs()
                place % shape[1], => place // shape[1] % shape[1],
            """,
            check_normalised: """
                loops = torch.arange(nodes, device=edges.device) => loops = torch.arange(0, device=edges.device)
                ** -0.5 => ** -1.0
                root[rows] * root[columns] => root[rows] * root[rows]
                torch.cat([edges[1], edges[0], loops]) => torch.cat([edges[0], edges[1], loops])
            """,
            check_convolution: """
                self.weight if x is None else x @ self.weight => self.weight if x is None else (x @ self.weight).relu()
            """,
        },
    ),
)


def test_a_product_has_the_wider_dtype():
    A = SparseMatrix.of(torch.eye(3, dtype=torch.float32))
    assert (A @ torch.ones(3, 1, dtype=torch.float64)).dtype == torch.float64
    assert (A @ torch.ones(3, 1, dtype=torch.float32)).dtype == torch.float32


@pytest.mark.parametrize("x", [torch.ones(2, 3), torch.ones(3), torch.ones(1, 3, 2)])
def test_a_product_says_what_does_not_fit(x):
    with pytest.raises(ValueError, match=r"of shape \(4, 3\) multiplies \(3, D\), got"):
        SparseMatrix.of(torch.ones(4, 3)) @ x


def test_a_convolution_says_what_does_not_fit():
    M = normalised_adjacency(PATH, 4)
    with pytest.raises(ValueError, match="made for 3 numbers, got 2 features of each node"):
        GraphConvolution(3, 2)(M, torch.ones(4, 2))
    with pytest.raises(ValueError, match="made for 3 numbers, got 4 nodes, none of which has"):
        GraphConvolution(3, 2)(M, None)


@pytest.mark.parametrize("module", [graph_networks, graphs, ratings])
def test_the_examples_are_true(module):
    torch.set_default_dtype(torch.float32)
    assert doctest.testmod(module).failed == 0


# ---- graphs


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([[0, 1], [0, 2]], "1 self-loops"),
        ([[0, 1, 0], [1, 2, 1]], "1 edges are there twice"),
        ([[0, 1], [1, 0]], "perhaps in both directions"),
        ([[0, 1], [1, 4]], "between nodes 0 to 3, got 0 to 4"),
        ([[0, -1], [1, 2]], "got -1 to 2"),
        ([[0.0], [1.0]], "whole numbers"),
        ([0, 1], "whole numbers"),
    ],
)
def test_what_are_no_edges_is_refused(edges, message):
    with pytest.raises(ValueError, match=message):
        Graph(torch.tensor(edges), 4)


def test_a_matrix_that_is_no_undirected_graph_is_refused():
    A = torch.zeros(3, 3)
    A[0, 1] = 1
    for wrong, message in (
        (A, "directed"),
        (A + A.T + torch.eye(3), "3 self-loops"),
        (2 * (A + A.T), "0 and 1 only"),
        (A[:2], "square"),
    ):
        with pytest.raises(ValueError, match=message):
            Graph.of_adjacency(wrong)
    with pytest.raises(ValueError, match="2 rows of features for 3 nodes"):
        Graph(torch.tensor([[0], [1]]), 3, torch.ones(2, 4))


def test_a_graph_and_its_matrix_are_the_same():
    graph = random_graph()
    again = Graph.of_adjacency(graph.adjacency(), graph.x)
    assert torch.equal(again.edges, graph.edges) and again.fingerprint() == graph.fingerprint()
    assert torch.equal(graph.degrees(), graph.adjacency().sum(0).long())
    other = Graph(graph.edges.flip(0)[:, torch.randperm(14)], 9)  # any direction, any order
    assert torch.equal(other.edges, graph.edges)
    p = 14.5 / 37
    assert graph.log_odds == pytest.approx(np.log(p / (1 - p))) and graph.pairs == 36
    assert len(graph) == 1 and next(iter(graph.batches(100, True))) is graph
    assert graph.with_edges(PATH).fingerprint() != graph.fingerprint()
    assert graph.features == 4 and graph.without_features().features == 9
    with pytest.raises(ValueError, match="dense matrix of 6,000 x 6,000 pairs is not made"):
        Graph(PATH, 6000).adjacency()


def test_small_graphs_are_those_of_networkx():
    club = graphs.karate_club()
    assert (club.nodes, club.edges.shape[1], club.names) == (34, 78, ("Mr. Hi", "Officer"))
    expected = networkx.to_numpy_array(networkx.karate_club_graph(), weight=None)
    close(club.adjacency(), torch.tensor(expected))
    assert club.y.bincount().tolist() == [17, 17] and club.y[0] == 0 and club.y[33] == 1
    novel = graphs.les_miserables()
    assert (novel.nodes, novel.edges.shape[1], len(novel.names)) == (77, 254, 77)
    valjean = novel.names.index("Valjean")
    assert novel.degrees()[valjean] == networkx.les_miserables_graph().degree["Valjean"]


# ---- edges held out


def numbers(pairs):
    return {(min(a, b), max(a, b)) for a, b in pairs.T.tolist()}


def check_split(module):
    """By construction: every true edge in one part, no pair in two, no non-edge an edge."""
    graph = graphs.les_miserables()
    for seed in range(5):
        split = module.split_edges(graph, 0.2, 0.3, seed)
        parts = [numbers(p) for p in (split.train.edges, split.valid.edges, split.test.edges)] + [
            numbers(p) for p in (split.valid.non_edges, split.test.non_edges)
        ]
        assert [len(p) for p in parts] == [128, 50, 76, 50, 76]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert set.union(*parts[:3]) == numbers(graph.edges)


def check_non_edges_are_uniform(module):
    """Each free pair as often as any other, whether few or most of them are drawn."""
    graph, random = random_graph(6, 5, 0), torch.Generator().manual_seed(0)
    for n in (2, 8):
        counts = torch.zeros(6, 6)
        for _ in range(500):
            i, j = module.non_edges(graph, n, random)
            assert len(numbers(torch.stack([i, j]))) == n
            counts[i, j] += 1
        free = counts[(graph.adjacency() + torch.eye(6) == 0).triu().bool()]
        p = n / 10
        assert len(free) == 10 and free.sum() == 500 * n
        assert ((free / 500 - p).abs() < 4.5 * (p * (1 - p) / 500) ** 0.5).all()


test_split_oracle, test_split_mutant_is_caught = oracle_tests(
    (
        graphs,
        {
            check_split: """
                none = non_edges(graph, => none = non_edges(graph.with_edges(train),
                Pairs(valid_edges, none[:, n_test:]) => Pairs(valid_edges, none[:, :n_valid])
                graph.with_edges(train) => graph
                order.split([n_test, n_valid, E - n_test - n_valid]) => (order[:n_test], order[:n_valid], order[-128:])
            """,
            check_non_edges_are_uniform: """
                np.sort(first) => first
                [u != v] => [u < v - 1]
                .triu().nonzero().mT\\n => .nonzero().mT
            """,
        },
    ),
)


def test_a_split_is_repeatable_and_refuses_what_it_cannot_do():
    graph = graphs.karate_club()
    a, b, c = (split_edges(graph, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(a.test.edges, b.test.edges) and torch.equal(a.test[1], b.test[1])
    assert not torch.equal(a.test.edges, c.test.edges)
    with pytest.raises(ValueError, match="leave 75 to train on and 0 to test"):
        split_edges(graph, test=0.01)
    with pytest.raises(ValueError, match="leave -7 to train"):
        split_edges(graph, 0.6, 0.5)
    with pytest.raises(ValueError, match="3 pairs without an edge are asked for, the graph has 1"):
        split_edges(Graph(torch.triu_indices(4, 4, 1)[:, :5], 4), 0.21, 0.41)
    # almost no pair is free, and all of them are asked for
    full = split_edges(Graph(torch.triu_indices(8, 8, 1)[:, :-2], 8), 0.04, 0.04)
    assert len(numbers(torch.cat([full.valid.non_edges, full.test.non_edges], 1))) == 2


# ---- Planetoid's files


def small_planetoid():
    """Files of six papers in Planetoid's form, and what they say: papers 3 to 5 are tested in
    another order, and number 4 is not in the lists.
    """
    x = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]], np.float32)
    y = np.eye(2, dtype=np.int32)[[0, 1, 0, 1, 0, 0]]
    parts = {
        "allx": sparse.csr_matrix(x[:3]),
        "ally": y[:3],
        "tx": sparse.csr_matrix(x[[5, 3]]),
        "ty": y[[5, 3]],
        "graph": {0: [1, 1, 0], 1: [0, 2], 2: [1, 5], 3: [], 4: [], 5: [2]},
    }
    files = {name: old(part) for name, part in parts.items()} | {"test.index": b"5\n3\n"}
    return files, x, [0, 1, 0, 1, -1, 0]


def old(part):
    """A pickle as old scipy and numpy wrote it."""
    content = pickle.dumps(part, protocol=3)
    for new, then in ((b"scipy.sparse._csr", b"scipy.sparse.csr"), (b"numpy._core", b"numpy.core")):
        content = content.replace(new, then)
    return content


def test_planetoids_files_are_read_as_they_mean():
    files, x, y = small_planetoid()
    graph = graphs.read_planetoid({k: np.frombuffer(v, np.uint8) for k, v in files.items()})
    assert graph.edges.T.tolist() == [[0, 1], [1, 2], [2, 5]]  # no loop, none twice

    def check(module):
        graph = module.read_planetoid({k: np.frombuffer(v, np.uint8) for k, v in files.items()})
        assert torch.equal(graph.x.dense(), torch.tensor(x).to(graph.x.dense().dtype))
        assert graph.y.tolist() == y

    for before, after in (
        ('("tx", place)', '("tx", np.sort(place))'),
        ('("ty", place)', '("ty", np.sort(place))'),
        ("torch.full((nodes,), -1)", "torch.full((nodes,), 0)"),
    ):
        assert not survives(check, graphs, before, after)


def test_files_are_found_checked_and_named(tmp_path, monkeypatch, capsys):
    files, *_ = small_planetoid()
    folder = tmp_path / "data" / "Planetoid" / "Cora" / "raw"
    folder.mkdir(parents=True)
    listed = []
    for name, content in files.items():
        (folder / f"ind.cora.{name}").write_bytes(content)
        sums = zlib.crc32(content), hashlib.md5(content).hexdigest()
        listed.append(source.File(f"ind.cora.{name}", *sums))
    monkeypatch.setattr(graphs, "CORA", graphs.CORA._replace(files=tuple(listed)))
    monkeypatch.setattr(source, "_said", set())
    monkeypatch.setenv("DGMCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "cache"))
    assert graphs.cora(download=False).nodes == 6
    assert "Cora: 6 papers, 3 citations from the directory in" in capsys.readouterr().out
    (folder / "ind.cora.graph").write_bytes(b"another")
    monkeypatch.setattr(graphs, "Planetoid", None)  # a wrong file is not opened
    assert graphs.cora(download=False).nodes == 77
    said = capsys.readouterr()
    assert "in its place Les Miserables" in said.out and "damaged or incomplete" in said.err


def test_the_pickle_can_name_nothing_but_its_own_kinds():
    for evil in (b"cos\nsystem\n(S'true'\ntR.", b"cbuiltins\neval\n(S'1'\ntR."):
        with pytest.raises(pickle.UnpicklingError, match="has no use for"):
            graphs.Planetoid(io.BytesIO(evil)).load()


# ---- the generator


def test_communities_are_as_they_are_said_to_be():
    graph = graphs.communities(3000, 9000, 5, within=0.8, words=50, seed=3)
    assert graph.edges.shape == (2, 9000) and graph.x.shape == (3000, 50)
    same = (graph.y[graph.edges[0]] == graph.y[graph.edges[1]]).double().mean().item()
    p = 0.8 + 0.2 / 5
    assert abs(same - p) < 4.5 * (p * (1 - p) / 9000) ** 0.5 + 2e-3  # pairs found twice count once
    dense = graph.x.dense()
    own = torch.stack([dense[i, 10 * c : 10 * c + 10].sum() for i, c in enumerate(graph.y)])
    assert ((dense == 0) | (dense == 1)).all() and own.mean() / dense.sum(1).mean() > 0.45
    again = graphs.communities(3000, 9000, 5, within=0.8, words=50, seed=3)
    assert again.fingerprint() == graph.fingerprint()
    for wrong in ({"within": 1.5}, {"nodes": 4}, {"nodes": 100, "edges": 2000}, {"words": 2}):
        with pytest.raises(ValueError):
            graphs.communities(**wrong)
