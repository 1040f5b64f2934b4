"""Which of nine ways of predicting a citation finds the held-out ones, over ten splits of two graphs."""

import functools
import time

import torch
from torch import Tensor
from torch.nn.functional import normalize

from dgmcourse.data.graphs import Graph, LinkSplit, Pairs, citeseer, cora, split_edges
from dgmcourse.evaluate import auc, average_precision
from dgmcourse.graph_networks import SparseMatrix
from dgmcourse.models.graph_vae import GraphAutoEncoder, GraphVAE
from dgmcourse.studies import finished
from dgmcourse.train import fit

GRAPHS = {"Cora": cora, "CiteSeer": citeseer}
SEEDS = range(10)  # of the split and of the training
SETTINGS = {"epochs": 200, "lr": 0.01}  # the authors'
HELD_OUT = {"valid": 0.05, "test": 0.1}
DIMENSIONS = (8, 16, 32, 64, 128)  # of the spectral embedding; the validation pairs choose
KATZ = 0.05  # what a path of three edges counts beside one of two

# ---- scores of pairs that nothing is trained for: from a graph and pairs, (2, P), to (P,)


def neighbours(graph: Graph) -> SparseMatrix:
    """The adjacency matrix, sparse."""
    rows, columns = torch.cat([graph.edges, graph.edges.flip(0)], 1)
    return SparseMatrix(rows, columns, torch.ones(len(rows)), (graph.nodes, graph.nodes))


def at(matrix: Tensor, pairs: Tensor) -> Tensor:
    return matrix[pairs[0], pairs[1]]


def common_neighbours(graph: Graph, pairs: Tensor) -> Tensor:
    """The number of nodes that are neighbours of both."""
    return at(neighbours(graph) @ graph.adjacency(), pairs)


def adamic_adar(graph: Graph, pairs: Tensor) -> Tensor:
    """The common neighbours, each counted 1 / log of its degree (Adamic & Adar 2003)."""
    weight = 1 / graph.degrees().clamp_min(2).log()  # of degree 1, a node is nobody's common one
    return at(neighbours(graph) @ (weight[:, None] * graph.adjacency()), pairs)


def katz(graph: Graph, pairs: Tensor) -> Tensor:
    """The number of paths of two edges, and KATZ times those of three (after Katz 1953)."""
    A = neighbours(graph)
    two = A @ graph.adjacency()
    return at(two + KATZ * (A @ two), pairs)


def words(graph: Graph, pairs: Tensor) -> Tensor:
    """The cosine of the angle between the words of both."""
    x = graph.x.dense() if isinstance(graph.x, SparseMatrix) else graph.x
    x = normalize(x, dim=1)
    return (x[pairs[0]] * x[pairs[1]]).sum(1)


def words_and_paths(graph: Graph, pairs: Tensor) -> Tensor:
    """The sum of `words` and `katz`, not tuned."""
    return words(graph, pairs) + katz(graph, pairs)


def spectral_codes(graph: Graph, dimensions: int) -> Tensor:
    """Eigenvectors of the normalised adjacency, those of the largest eigenvalues first, each row
    divided by the root of its node's degree: (N, dimensions).

    They are sought from one start vector. So of an eigenvalue that many components of the graph
    share, such as 1, mostly one eigenvector is found, and not one for each isolated node.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import eigsh

    M = graph.normalised.by_rows
    parts = (M.values().double(), M.col_indices(), M.crow_indices())
    matrix = csr_matrix(tuple(part.numpy() for part in parts), shape=graph.normalised.shape)
    start = torch.ones(graph.nodes, dtype=torch.float64).numpy()
    # many basis vectors: with few, the repeated eigenvalue leaves nothing to restart from
    basis = min(graph.nodes, 4 * dimensions + 40)
    values, vectors = eigsh(matrix, dimensions, which="LA", v0=start, ncv=basis)
    order = values.argsort()[::-1].copy()
    root = (graph.degrees() + 1).double() ** -0.5
    return torch.from_numpy(vectors[:, order]) * root[:, None]


HEURISTICS = {
    "common neighbours": common_neighbours,
    "Adamic-Adar": adamic_adar,
    "words alone": words,
    "paths": katz,
    "words and paths": words_and_paths,
}


def spectral(split: LinkSplit) -> tuple[dict, dict]:
    """The scores of `spectral_codes`' products, with the number of dimensions that is best on the
    validation pairs.
    """
    most = min(max(DIMENSIONS), split.train.nodes - 2)
    codes = spectral_codes(split.train, most)

    def score(k):
        return lambda pairs: (codes[pairs[0], :k] * codes[pairs[1], :k]).sum(1)

    best = max(
        (k for k in DIMENSIONS if k <= most), key=lambda k: measured(score(k), split.valid)["auc"]
    )
    return measured(score(best), split.test), {"dimensions": best}


# ---- what is trained


MODELS = {
    "GAE": lambda graph: GraphAutoEncoder(graph.features, weighted=True),
    "VGAE": lambda graph: GraphVAE(graph.features, weighted=True),
    "VGAE, true bound": lambda graph: GraphVAE(graph.features, offset=graph.log_odds),
}


@functools.cache
def graph_of(name: str) -> Graph:
    return GRAPHS[name]()


def measured(score, pairs: Pairs) -> dict:
    """AUC and average precision, in per cent, of the scores of some held-out pairs."""
    both = score(pairs.edges), score(pairs.non_edges)
    return {"auc": round(100 * auc(*both), 3), "ap": round(100 * average_precision(*both), 3)}


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    methods = (*HEURISTICS, "spectral", *MODELS)
    return [({"graph": g, "method": m}, seed) for seed in SEEDS for g in GRAPHS for m in methods]


def run(setting: dict, seed: int) -> dict:
    """AUC and AP on the test pairs of a split. Of a model also the validation pairs' AUC and AP, the
    mean probability that it gives to a pair, and the ELBO in nats.
    """
    graph, method = graph_of(setting["graph"]), setting["method"]
    split, began = split_edges(graph, **HELD_OUT, seed=seed), time.perf_counter()
    more = {}
    if method in HEURISTICS:
        result = measured(functools.partial(HEURISTICS[method], split.train), split.test)
    elif method == "spectral":
        result, more = spectral(split)
    else:
        model = MODELS[method](split.train)
        history = finished(fit(model, split.train, **SETTINGS, seed=seed, progress=False))
        score = functools.partial(model.link_logits, split.train)
        result = measured(score, split.test)
        p = model.link_probabilities(split.train).sum().item() / 2 / graph.pairs
        valid = {f"valid_{name}": v for name, v in measured(score, split.valid).items()}
        more = valid | {"stopped": history.stopped, "mean_probability": round(p, 5)}
        if "elbo" in model.parts:
            more["elbo"] = round(history["elbo"][-1], 1)
    return result | more | {"seconds": round(time.perf_counter() - began, 1)}


def described() -> dict:
    """The size of each graph."""
    graphs = {name: graph_of(name) for name in GRAPHS}
    return {
        name: {
            "nodes": graph.nodes,
            "edges": graph.edges.shape[1],
            "features": graph.features,
            "density": round(graph.edges.shape[1] / graph.pairs, 6),
        }
        for name, graph in graphs.items()
    }


def table(rows: list[dict]) -> dict:
    return {
        "about": __doc__.rstrip("."),
        "data": described(),
        "settings": SETTINGS | {"held_out": HELD_OUT, "hidden": 32, "latent_dim": 16},
        "torch": torch.__version__,
        "rows": rows,
    }
