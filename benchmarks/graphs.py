"""Graphs and ratings: a training pass, and what it costs as the graph grows

VGAE: forward, backward and Adam of one pass over Cora (32-16, the training graph of split 0). "all
pairs" is our sum over all 3.7 million pairs, exact. "pairs drawn" estimates it from as many random
pairs as there are edges, which is what PyTorch Geometric's `VGAE.recon_loss` does with its `GCNConv`
layers, the same weights, and its own negative sampling. The authors' way is written here in plain
torch: a dense N x N matrix of logits, and a weighted cross-entropy over all N^2 entries.

GC-MC: one pass over the 80,000 ratings of u1 (500-75, two bases, dropout 0.7), or over as many
generated ones where MovieLens is not there. PyTorch Geometric has no such model. The authors' way in
plain torch: a sparse matrix for each level of rating, and gathered codes of all asked pairs. DGL has
one among its examples, but its last wheel on PyPI, 2.1.0, is of torch 2.0 to 2.2 and does not load
beside a newer one.

Scale: the same pass on graphs of known make with three nodes to ten edges, 100,000 drawn pairs at
most, in a process of its own, with the most memory it held beyond what it held before.
"""

import copy
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from timing import hushed, ratio_row, turns
from timing import seconds as time_of
from torch import nn
from torch_geometric.nn import VGAE as PygVGAE
from torch_geometric.nn import GCNConv
from torch_geometric.utils import to_undirected

from dgmcourse.data.graphs import communities, cora, split_edges
from dgmcourse.data.ratings import generated, movielens
from dgmcourse.models.graph_vae import GraphVAE
from dgmcourse.models.matrix_completion import GraphMatrixCompletion
from dgmcourse.train import maximise

LR, ROUNDS = 0.01, 8
SIZES = (1_000, 10_000, 100_000, 1_000_000)  # edges


# ---- the peers


class Encoder(nn.Module):
    """Our encoder of PyTorch Geometric's layers, with our weights."""

    def __init__(self, ours: GraphVAE):
        super().__init__()
        self.layers = nn.ModuleList()
        for layer in (ours.encoder.first, ours.encoder.last):
            conv = GCNConv(layer.in_features, layer.out_features, bias=False, cached=True)
            self.layers.append(conv)
        self.ours = [ours]  # in a list: no part of this one

    def reset_parameters(self):
        """Called by `VGAE`: our weights, not new ones."""
        layers = self.ours[0].encoder.first, self.ours[0].encoder.last
        for conv, layer in zip(self.layers, layers, strict=True):
            conv.lin.weight.data.copy_(layer.weight.data.T)

    def forward(self, x, edge_index):
        first, last = self.layers
        return last(first(x, edge_index).relu(), edge_index).chunk(2, -1)


class Dense(nn.Module):
    """The authors' objective from a dense matrix of logits, on our encoder."""

    def __init__(self, ours: GraphVAE, graph):
        super().__init__()
        self.encoder = copy.deepcopy(ours.encoder)
        self.A = graph.adjacency() + torch.eye(graph.nodes)
        ones = 2 * graph.edges.shape[1]
        self.weight = torch.tensor((graph.nodes**2 - ones) / ones)
        self.norm = graph.nodes**2 / (2 * (graph.nodes**2 - ones))

    def objective(self, graph):
        q = self.encoder(graph)
        z = q.rsample()
        logits = z @ z.mT
        cost = F.binary_cross_entropy_with_logits(logits, self.A, pos_weight=self.weight)
        divergence = 0.5 * (q.mean**2 + q.log_var.exp() - 1 - q.log_var).sum()
        return (-self.norm * cost - divergence / graph.nodes**2).reshape(1)


class Levels(nn.Module):
    """GC-MC with a torch sparse matrix for each level, and gathered pairs."""

    def __init__(self, ours: GraphMatrixCompletion, known):
        super().__init__()
        self.ours, self.known = copy.deepcopy(ours), known
        sides = (known.users, known.items), (known.items, known.users)
        self.matrices = []
        for side, (to, of) in enumerate(sides):
            degree = known.counts()[side].float()
            for r in range(known.levels):
                here = known.values == r + 1
                place, value = torch.stack([to[here], of[here]]), 1 / degree[to[here]]
                shape = known.shape if side == 0 else known.shape[::-1]
                self.matrices.append(torch.sparse_coo_tensor(place, value, shape).coalesce())

    def objective(self):
        encoder, decoder, known = self.ours.encoder, self.ours.decoder, self.known
        kept = encoder.dropout(torch.ones(sum(known.shape), 1))
        codes = []
        for side in (0, 1):
            of = slice(known.shape[0], None) if side == 0 else slice(known.shape[0])
            heard = [
                torch.sparse.mm(self.matrices[side * known.levels + r], (kept * table)[of])
                for r, table in enumerate(encoder.table)
            ]
            hidden = encoder.dropout(torch.cat(heard, 1).relu())
            codes.append(hidden @ encoder.dense.weight.T + decoder.common[side])
        u, v = codes[0][known.users], codes[1][known.items]
        products = torch.stack([((u @ P) * v).sum(1) for P in decoder.bases], 1)
        return -F.cross_entropy(
            products @ decoder.mix + decoder.offset, known.values - 1, reduction="none"
        )


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=LR, fused=True)


# ---- what is compared


def links() -> list[dict]:
    with hushed():
        graph = split_edges(cora()).train
    E = graph.edges.shape[1]
    torch.manual_seed(0)
    ours = GraphVAE(graph.features, weighted=True)
    drawn = GraphVAE(graph.features, offset=graph.log_odds, pairs=E)
    dense, theirs = Dense(ours, graph), PygVGAE(Encoder(drawn))
    x, both = graph.x, to_undirected(graph.edges)
    x = x.dense() if hasattr(x, "dense") else x
    check_same(drawn, theirs.encoder, graph, x, both)
    adams = {m: adam(m) for m in (ours, drawn, dense, theirs)}

    def geometric():
        theirs.train()
        z = theirs.encode(x, both)
        loss = theirs.recon_loss(z, graph.edges) + theirs.kl_loss() / graph.nodes
        adams[theirs].zero_grad()
        loss.backward()
        adams[theirs].step()

    times = turns(
        {
            "ours, all pairs": lambda: maximise(ours.objective(graph)[0], adams[ours]),
            "ours, pairs drawn": lambda: maximise(drawn.objective(graph)[0], adams[drawn]),
            "authors' way": lambda: maximise(dense.objective(graph), adams[dense]),
            "PyTorch Geometric": geometric,
        },
        ROUNDS,
    )
    what = f"VGAE, one pass over {graph.nodes:,} nodes"
    return [
        ratio_row(what, times, "authors' way", "ours, all pairs", ">= 1"),
        ratio_row(what, times, "PyTorch Geometric", "ours, pairs drawn", ">= 1"),
    ]


def check_same(ours: GraphVAE, theirs: Encoder, graph, x, both) -> None:
    """A ValueError unless both encoders give the same codes."""
    with torch.no_grad():
        a, b = ours.encoder(graph).mean, theirs(x, both)[0]
    if not torch.allclose(a, b, atol=1e-4):
        raise ValueError(f"not the same encoder: {(a - b).abs().max():.2g} apart")


def ratings() -> list[dict]:
    with hushed():
        known = movielens().train
    if len(known) < 80_000:
        known = generated(943, 1682, 100_000).train
    torch.manual_seed(0)
    ours = GraphMatrixCompletion(*known.shape, known.levels)
    theirs = Levels(ours, known)
    for model in (ours, theirs):
        model.eval()
    with torch.no_grad():
        a, b = ours.objective(known, known)[0], theirs.objective()
    if not torch.allclose(a, b, atol=1e-4):
        raise ValueError(f"not the same objective: {(a - b).abs().max():.2g} apart")
    for model in (ours, theirs):
        model.train()
    adams = {m: adam(m) for m in (ours, theirs)}
    times = turns(
        {
            "ours": lambda: maximise(ours.objective(known, known)[0], adams[ours]),
            "authors' way": lambda: maximise(theirs.objective(), adams[theirs]),
        },
        ROUNDS,
    )
    what = f"GC-MC, one pass over {len(known):,} ratings"
    return [ratio_row(what, times, "authors' way", "ours", ">= 1")]


# ---- scale


def held() -> float:
    """The most memory this process has held, MB. (`resource` counts what the parent held, too.)"""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS, in bytes
    return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) / 1024


def one_size(kind: str, edges: int, passes: int = 3) -> str:
    """The seconds of a pass and the memory, MB, of one size."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if kind == "VGAE":
        graph = communities(max(30, 3 * edges // 10), edges)
        model = GraphVAE(graph.features, offset=graph.log_odds, pairs=min(100_000, 20 * edges))
        given = (graph,)
    else:
        share = (edges / 10**6) ** 0.5  # of the users and films of MovieLens 1M, as dense
        users, items = int(6040 * share), int(3700 * share)
        known = generated(users, items, edges).train
        model = GraphMatrixCompletion(*known.shape, known.levels)
        given = (known, known)
    before, optimiser, times = held(), adam(model), []
    for _ in range(passes):
        began = time.perf_counter()
        maximise(model.objective(*given)[0], optimiser)
        times.append(time.perf_counter() - began)
    return f"{min(times):.6f} {held() - before:.0f} {held():.0f}"


def scale() -> list[dict]:
    rows = []
    for kind, unit in (("VGAE", "edges"), ("GC-MC", "ratings")):
        for edges in SIZES:
            command = [sys.executable, __file__, kind, str(edges)]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            seconds, more, most = found.split()[-3:]
            rows.append(
                {
                    "what": f"{kind}, {edges:,} {unit}",
                    "compared": "ours alone",
                    "time": time_of(float(seconds)),
                    "memory": f"{more} MB more, {most} MB in all",
                }
            )
    return rows


def measure() -> tuple[list[dict], str]:
    return links() + ratings() + scale(), (
        "The two encoders of VGAE give the same codes, and the two of GC-MC the same"
        " log-probabilities, at equal weights."
    )


if __name__ == "__main__":
    print(one_size(sys.argv[1], int(sys.argv[2])))
