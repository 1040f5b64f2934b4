"""Graphs: what they are, two citation networks and two small ones, and how edges are held out."""

import functools
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dgmcourse.data import source
from dgmcourse.data.frey import Arrays
from dgmcourse.graph_networks import SparseMatrix, normalised_adjacency
from dgmcourse.settings import check_number, check_whole

DENSE = 5000  # nodes up to which a matrix of all pairs is made


class Graph:
    """An undirected graph of N nodes. As data to train on it is one example: `fit(model, graph)`.

    >>> Graph(torch.tensor([[2, 0], [1, 1]]), 4)
    Graph(4 nodes, 2 edges)

    Args:
        edges: (2, E) whole numbers from 0 to N - 1, each edge once, in any direction. They are kept
            in order, the smaller node first.
        nodes: N; some may have no edge.
        x: features of the nodes, (N, F), floats or a `SparseMatrix`; None: there are none.
        y: a class for each node, (N,), -1 where it is not known.
        names: of the classes.

    Raises:
        ValueError: for self-loops, edges given twice, nodes out of range, or another number of
            features or classes than of nodes.
    """

    def __init__(
        self,
        edges: Tensor,
        nodes: int,
        x: Tensor | SparseMatrix | None = None,
        y: Tensor | None = None,
        names: tuple[str, ...] = (),
    ):
        check_whole(nodes=nodes)
        for name, given in (("features", x), ("classes", y)):
            if given is not None and given.shape[0] != nodes:
                raise ValueError(f"{given.shape[0]} rows of {name} for {nodes} nodes")
        self.edges, self.nodes = check_edges(edges, nodes), nodes
        self.x, self.y, self.names = x, y, names

    @staticmethod
    def of_adjacency(A: Tensor, x: Tensor | None = None, y: Tensor | None = None) -> "Graph":
        """The graph of a matrix (N, N) of 0 and 1.

        Raises:
            ValueError: for a matrix that is not symmetric (a directed graph), has ones on its
                diagonal (self-loops), or other numbers.
        """
        A = torch.as_tensor(A)
        if A.dim() != 2 or A.shape[0] != A.shape[1]:
            raise ValueError(f"an adjacency matrix is square, (N, N), got shape {tuple(A.shape)}")
        if not ((A == 0) | (A == 1)).all():
            raise ValueError(
                "an adjacency matrix has entries 0 and 1 only: weights are not modelled"
            )
        if not torch.equal(A, A.mT):
            raise ValueError(
                "this graph is directed, its matrix not symmetric: torch.maximum(A, A.mT) forgets"
                " the directions"
            )
        if A.diagonal().any():
            raise ValueError(f"{int(A.diagonal().sum())} self-loops: set the diagonal to 0")
        return Graph(A.triu().nonzero().mT, len(A), x, y)

    @functools.cached_property
    def normalised(self) -> SparseMatrix:
        """`normalised_adjacency` of this graph, computed once."""
        return normalised_adjacency(self.edges, self.nodes)

    def adjacency(self) -> Tensor:
        """A, (N, N), dense; a ValueError beyond 5,000 nodes."""
        if self.nodes > DENSE:
            raise ValueError(
                f"a dense matrix of {self.nodes:,} x {self.nodes:,} pairs is not made: work with"
                " `edges`"
            )
        A = torch.zeros(self.nodes, self.nodes, device=self.edges.device)
        A[self.edges[0], self.edges[1]] = 1
        A[self.edges[1], self.edges[0]] = 1
        return A

    def degrees(self) -> Tensor:
        """The number of neighbours of each node, (N,)."""
        return torch.bincount(self.edges.flatten(), minlength=self.nodes)

    @property
    def features(self) -> int:
        """How many numbers a model gets of each node: F, or N without features (its own name)."""
        return self.nodes if self.x is None else self.x.shape[1]

    @property
    def pairs(self) -> int:
        """The number of unordered pairs of nodes, each an edge or none."""
        return self.nodes * (self.nodes - 1) // 2

    @property
    def log_odds(self) -> float:
        """log p / (1 - p) of the share p of pairs that are edges; half a pair is added to each."""
        E = self.edges.shape[1]
        return float(np.log((E + 0.5) / (self.pairs - E + 0.5)))

    def with_edges(self, edges: Tensor) -> "Graph":
        """The same nodes with other edges."""
        return Graph(edges, self.nodes, self.x, self.y, self.names)

    def without_features(self) -> "Graph":
        return Graph(self.edges, self.nodes, None, self.y, self.names)

    def __len__(self) -> int:
        """1: a graph is one example."""
        return 1

    def batches(self, size: int = 1, shuffle: bool = True) -> Iterator["Graph"]:
        """The one batch of a pass: the graph."""
        yield self

    def to(self, device: torch.device) -> "Graph":
        if torch.device(device) == self.edges.device:
            return self
        x, y = (None if part is None else part.to(device) for part in (self.x, self.y))
        return Graph(self.edges.to(device), self.nodes, x, y, self.names)

    def fingerprint(self) -> str:
        """What tells this graph from others: its size, and a hash of its edges."""
        edges = self.edges.cpu().contiguous().numpy().tobytes()
        return f"{self!r}, {self.features}, {hashlib.sha256(edges).hexdigest()[:12]}"

    def __repr__(self) -> str:
        more = "" if self.x is None else f", {self.x.shape[1]:,} features"
        return f"Graph({self.nodes:,} nodes, {self.edges.shape[1]:,} edges{more})"


def check_edges(edges: Tensor, nodes: int) -> Tensor:
    """Edges (2, E) in order, the smaller node first; a ValueError for what a `Graph` can't have."""
    edges = torch.as_tensor(edges)
    if edges.dim() != 2 or len(edges) != 2 or edges.is_floating_point():
        raise ValueError(
            f"edges are whole numbers (2, E), got {edges.dtype} of shape {tuple(edges.shape)}"
        )
    if edges.numel() and not (0 <= edges.min() and edges.max() < nodes):
        raise ValueError(
            f"edges are between nodes 0 to {nodes - 1}, got {int(edges.min())} to"
            f" {int(edges.max())}"
        )
    if loops := int((edges[0] == edges[1]).sum()):
        raise ValueError(
            f"{loops} self-loops: a pair has two different nodes (edges[:, edges[0] != edges[1]])"
        )
    number = (edges.amin(0) * nodes + edges.amax(0)).long()
    ordered = number.unique()
    if len(ordered) < len(number):
        raise ValueError(
            f"{len(number) - len(ordered)} edges are there twice, perhaps in both directions: give"
            " each undirected edge once"
        )
    return torch.stack([ordered // nodes, ordered % nodes])


# ---- edges held out


class Pairs(NamedTuple):
    """Pairs of nodes that are edges, (2, E), and as many that are none, to be told apart."""

    edges: Tensor
    non_edges: Tensor


class LinkSplit(NamedTuple):
    """A graph to train on, and the pairs that were taken out of it."""

    train: Graph
    valid: Pairs
    test: Pairs


def split_edges(graph: Graph, valid: float = 0.05, test: float = 0.1, seed: int = 0) -> LinkSplit:
    """Hold out shares of the edges, with as many pairs that are no edge of the whole graph.

    It cannot leak: of the parts, train, validation and test, each true edge is in one; pairs that
    are none are all different, and no edge of any part. The authors' own split compares validation
    pairs with the training and validation edges only, so that some are test edges.

    Kipf & Welling's shares, 85, 5 and 10 %.

    Raises:
        ValueError: for shares that leave nothing to train on or nothing to test, or for a graph in
            which fewer pairs are free.
    """
    check_number(least=0, below=1, valid=valid)
    check_number(above=0, below=1, test=test)
    check_whole(None, seed=seed)
    E, random = graph.edges.shape[1], torch.Generator().manual_seed(seed)
    n_valid, n_test = int(E * valid), int(E * test)
    if n_test < 1 or n_valid + n_test >= E:
        raise ValueError(
            f"of {E} edges, shares of {valid:g} and {test:g} leave {E - n_valid - n_test} to train"
            f" on and {n_test} to test: each needs one"
        )
    order = torch.randperm(E, generator=random).to(graph.edges.device)
    test_edges, valid_edges, train = (
        graph.edges[:, part] for part in order.split([n_test, n_valid, E - n_test - n_valid])
    )
    none = non_edges(graph, n_test + n_valid, random)
    return LinkSplit(
        graph.with_edges(train),
        Pairs(valid_edges, none[:, n_test:]),
        Pairs(test_edges, none[:, :n_test]),
    )


def non_edges(graph: Graph, n: int, random: torch.Generator) -> Tensor:
    """n different pairs of nodes, drawn uniformly from those that are no edge: (2, n)."""
    N, taken = graph.nodes, graph.edges[0] * graph.nodes + graph.edges[1]
    if n > graph.pairs - len(taken):
        raise ValueError(
            f"{n} pairs without an edge are asked for, the graph has {graph.pairs - len(taken)}"
        )
    if n > (graph.pairs - len(taken)) / 2 and N <= DENSE:  # a draw would mostly hit a known one
        free = (graph.adjacency().cpu() + torch.eye(N) == 0).triu().nonzero().mT
        return free[:, torch.randperm(free.shape[1], generator=random)[:n]].to(taken.device)
    drawn = taken.new_empty(0)
    while len(drawn) < n:
        u, v = torch.randint(N, (2, 2 * n + 10), generator=random).to(taken.device)
        number = (torch.minimum(u, v) * N + torch.maximum(u, v))[u != v]
        new = torch.cat([drawn, number[~torch.isin(number, taken)]])
        _, first = np.unique(new.cpu().numpy(), return_index=True)  # each pair where it came first
        drawn = new[torch.from_numpy(np.sort(first)).to(new.device)]
    return torch.stack([drawn[:n] // N, drawn[:n] % N])


# ---- where graphs come from

MIRRORS = (
    "https://github.com/kimiyoung/planetoid/raw/master/data/",
    "https://raw.githubusercontent.com/kimiyoung/planetoid/master/data/",
)


def planetoid_files(name: str, sums: dict[str, tuple[int, str]]) -> tuple[source.File, ...]:
    return tuple(source.File(f"ind.{name}.{part}", *both) for part, both in sums.items())


CORA = source.DataSet(
    title="Cora",
    folder="Planetoid/Cora/raw",
    files=planetoid_files(
        "cora",
        {
            "allx": (0x467AF9B1, "c9083193a57057dd1238321e140194d7"),
            "ally": (0x769AFF3E, "125d70817fe1fdbfdcad991995e81579"),
            "tx": (0xFB87DD55, "b29c36916768e1d2f55391c1aa9317ac"),
            "ty": (0x68F1D63A, "48bf43f54fa5b86089a4bd0299795f10"),
            "graph": (0x1B247435, "b37c419cec179f45834467630c278e4c"),
            "test.index": (0xD28C37A6, "9b822cae1d01f41e8bf8782e20367c0e"),
        },
    ),
    mirrors=MIRRORS,
)
CITESEER = source.DataSet(
    title="CiteSeer",
    folder="Planetoid/CiteSeer/raw",
    files=planetoid_files(
        "citeseer",
        {
            "allx": (0x22613520, "28486b4b9c4ee076b4eee2febd89ba86"),
            "ally": (0x6BC98274, "f0df7e5f859245e32987bfd224d01657"),
            "tx": (0x0F47446D, "c25ab826a7e95c0922ab625de705f7df"),
            "ty": (0xECF717EE, "356894a73b7a7eff43c3580f2fcf92a4"),
            "graph": (0x0EE28E4F, "5f88483d5f5cc2b26b987bbbfb695005"),
            "test.index": (0xA3E32C67, "70af39d4dff8aaa5c63f8dc526b16534"),
        },
    ),
    mirrors=MIRRORS,
)
# The files number the classes; their sizes, which were published with the names, tell which is which.
CLASSES = {
    "Cora": (
        "theory",
        "reinforcement learning",
        "genetic algorithms",
        "neural networks",
        "probabilistic methods",
        "case-based",
        "rule learning",
    ),
    "CiteSeer": ("AI", "ML", "information retrieval", "databases", "agents", "HCI"),
}


def cora(download: bool | str = True) -> Graph:
    """2,708 papers on machine learning, 5,278 citations among them, and which of 1,433 words occur.

    Sen et al., Collective Classification in Network Data, 2008, in Planetoid's files (Yang, Cohen &
    Salakhutdinov 2016). A citation counts in both directions. Where the files cannot be had, one
    line says so, and the graph is `les_miserables`.
    """
    return planetoid(CORA, download)


def citeseer(download: bool | str = True) -> Graph:
    """3,327 papers, 4,552 citations, 3,703 words, as `cora`. 15 papers have no words, no class and
    no place in the lists of the files; 48 papers have no citation.
    """
    return planetoid(CITESEER, download)


def planetoid(dataset: source.DataSet, download: bool | str) -> Graph:
    files, where = source.find(dataset, download)
    if files is None:
        source.say(
            f"{dataset.title}: not here ({where}); in its place Les Miserables, 77 characters"
            " of a novel"
        )
        return les_miserables()
    graph = read_planetoid({name.split(".", 2)[2]: part for name, part in files.items()})
    graph.names = CLASSES[dataset.title]
    source.say(
        f"{dataset.title}: {graph.nodes:,} papers, {graph.edges.shape[1]:,} citations from {where}"
    )
    return graph


def read_planetoid(files: dict[str, np.ndarray]) -> Graph:
    """The graph of Planetoid's files, {part: bytes}, whose checksums are right.

    `allx` are the words of the first papers, `tx` those of the rest, in the order of `test.index`.
    A number between those of `test.index` that is missing there is a paper without words.
    """
    parts = {
        name: Planetoid(io.BytesIO(content.tobytes()), encoding="latin1").load()
        for name, content in files.items()
        if name != "test.index"
    }
    place = np.array(files["test.index"].tobytes().split(), dtype=np.int64)
    first, nodes = parts["allx"]._shape[0], len(parts["graph"])
    features = parts["allx"]._shape[1]
    rows, columns = [], []
    for part, where in (("allx", np.arange(first)), ("tx", place)):
        matrix = parts[part]
        rows.append(np.repeat(where, np.diff(matrix.indptr)))
        columns.append(matrix.indices[: matrix.indptr[-1]])
    rows, columns = (torch.from_numpy(np.concatenate(p).astype(np.int64)) for p in (rows, columns))
    x = SparseMatrix(rows, columns, torch.ones(len(rows)), (nodes, features))
    y = torch.full((nodes,), -1)
    for part, where in (("ally", np.arange(first)), ("ty", place)):
        label = torch.from_numpy(np.array(parts[part]))
        y[torch.from_numpy(where)] = torch.where(label.sum(1) == 1, label.argmax(1), -1)
    u, v = np.array([(a, b) for a, near in parts["graph"].items() for b in near]).T
    number = np.unique(np.minimum(u, v) * nodes + np.maximum(u, v))
    edges = torch.from_numpy(np.stack([number // nodes, number % nodes]))
    return Graph(edges[:, edges[0] != edges[1]], nodes, x, y)


class Csr:
    """What a pickle of scipy's csr_matrix holds: `_shape`, `indptr`, `indices`, `data`."""


class Planetoid(Arrays):
    """A pickle of arrays, sparse matrices and lists of neighbours: it can name no other code."""

    OTHERS = {
        ("scipy.sparse.csr", "csr_matrix"): Csr,
        ("collections", "defaultdict"): defaultdict,
        ("__builtin__", "list"): list,
        ("builtins", "list"): list,
    }

    def find_class(self, module, name):
        if (module, name) in self.OTHERS:
            return self.OTHERS[module, name]
        return super().find_class(module, name)


def karate_club() -> Graph:
    """34 members of a karate club, 78 friendships, and which side each took when it split.

    Zachary, An Information Flow Model for Conflict and Fission in Small Groups, 1977; from networkx.
    """
    import networkx

    network = networkx.karate_club_graph()
    clubs = ("Mr. Hi", "Officer")
    y = torch.tensor([clubs.index(network.nodes[i]["club"]) for i in network])
    return Graph(torch.tensor(list(network.edges)).mT, len(network), y=y, names=clubs)


def les_miserables() -> Graph:
    """77 characters of Victor Hugo's novel, and 254 pairs of them that share a chapter.

    Knuth, The Stanford GraphBase, 1993; from networkx. `names` are the characters'.
    """
    import networkx

    network = networkx.les_miserables_graph()
    place = {name: i for i, name in enumerate(network)}
    edges = torch.tensor([(place[a], place[b]) for a, b in network.edges]).mT
    return Graph(edges, len(place), names=tuple(place))


def communities(
    nodes: int = 2000,
    edges: int = 6000,
    classes: int = 5,
    within: float = 0.8,
    words: int = 200,
    seed: int = 0,
) -> Graph:
    """A graph of known make: classes of equal chance, and most edges within them.

    An edge has its first node at random and its second one, with probability `within`, from the
    same class, else from all nodes; what comes twice counts once, and more are drawn. Each node has
    10 words, half of them from its class's share of all, the others from anywhere. In time and
    memory of the order of nodes + edges.

    Raises:
        ValueError: for a setting out of its range, or more than a quarter of all pairs as edges.
    """
    check_whole(nodes=nodes, edges=edges, classes=classes)
    check_whole(classes, words=words)
    check_number(least=0, most=1, within=within)
    check_whole(None, seed=seed)
    if nodes < 2 * classes or edges > nodes * (nodes - 1) // 8:
        raise ValueError(
            f"{edges} edges among {nodes} nodes of {classes} classes: two nodes a class at least,"
            " and at most a quarter of all pairs"
        )
    random = torch.Generator().manual_seed(seed)
    y = torch.arange(nodes) % classes  # so that i + classes k is another node of i's class
    found = torch.empty(0, dtype=torch.long)
    while len(found) < edges:
        n = edges - len(found) + 100
        u, v = torch.randint(nodes, (2, n), generator=random)
        size = (nodes - 1 - y[u]) // classes + 1
        k = (torch.rand(n, generator=random) * size).long()
        v = torch.where(torch.rand(n, generator=random) < within, y[u] + classes * k, v)
        number = (torch.minimum(u, v) * nodes + torch.maximum(u, v))[u != v]
        found = torch.cat([found, number]).unique()
    found = found[torch.randperm(len(found), generator=random)[:edges]]
    share = words // classes
    own = y[:, None] * share + torch.randint(share, (nodes, 5), generator=random)
    any_ = torch.randint(words, (nodes, 5), generator=random)
    columns = torch.cat([own, any_], 1)
    place = (torch.arange(nodes)[:, None] * words + columns).unique()
    x = SparseMatrix(place // words, place % words, torch.ones(len(place)), (nodes, words))
    return Graph(torch.stack([found // nodes, found % nodes]), nodes, x, y)
