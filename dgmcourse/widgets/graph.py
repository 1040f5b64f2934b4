"""Edit a small graph and see a graph auto-encoder answer: codes and probabilities of links, all in the
browser.

The encoder is two products with the normalised adjacency matrix, small enough for `graph.js` to repeat
at every edit. No kernel is needed once the widget is shown.
"""

import anywidget
import traitlets
from torch import Tensor, nn

from dgmcourse.data.graphs import Graph
from dgmcourse.plot import CLASSES, DATA, NOISE, POSTERIOR, WIDTH, plt
from dgmcourse.widgets import HERE, esm

MOST = 100  # nodes that can be told apart in the drawing
GUESSES = 8  # missing links that are drawn: the most probable ones
MARKERS = ("o", "s")


class GraphEditor(anywidget.AnyWidget):
    """The widget that `graph_editor` returns."""

    _esm = esm("graph")
    _css = HERE / "graph.css"
    _spec = traitlets.Dict().tag(sync=True)

    def __repr__(self):
        return "A graph to edit, with the links that a model expects: run this cell to use it."


def graph_editor(model: nn.Module, graph: Graph, *, start: int = 0) -> GraphEditor:
    """Make the widget.

    Args:
        model: a graph auto-encoder, variational or not, with codes of two dimensions, trained on
            a graph of these nodes without features.
        graph: at most 100 nodes, with a class, 0 or 1, for each.
        start: the node that is chosen at first.

    Raises:
        ValueError: for codes of other dimensions, a graph with features, without classes, or with
            more nodes.
    """
    if model.prior.dim != 2:
        raise ValueError(f"the plane shows codes of 2 dimensions, these have {model.prior.dim}")
    if graph.x is not None:
        raise ValueError("the browser runs a model without features: graph.without_features()")
    if graph.nodes > MOST:
        raise ValueError(f"{graph.nodes} nodes cannot be told apart in a drawing, {MOST} can")
    if graph.y is None or not ((graph.y == 0) | (graph.y == 1)).all():
        raise ValueError("each node has a class, 0 or 1, which its shape shows")
    encoder, offset = model.encoder, model.decoder.offset
    return GraphEditor(
        _spec={
            "nodes": graph.nodes,
            "edges": graph.edges.T.tolist(),
            "places": places(graph).tolist(),
            "sides": graph.y.tolist(),
            "names": list(graph.names),
            "colours": CLASSES[:2],
            "first": encoder.first.weight.detach().cpu().double().tolist(),
            "last": encoder.last.weight.detach().cpu().double().tolist(),
            "noise": bool(model.noise),
            "offset": 0.0 if offset is None else offset.item(),
            "guesses": GUESSES,
            "start": start,
        }
    )


def places(graph: Graph) -> Tensor:
    """Where to draw the nodes: (N, 2), in [0, 1], linked ones near each other."""
    import networkx

    network = networkx.Graph()
    network.add_nodes_from(range(graph.nodes))
    network.add_edges_from(graph.edges.T.tolist())
    apart = 1.5 / graph.nodes**0.5
    found = networkx.spring_layout(network, seed=1, k=apart, iterations=200)
    at = Tensor([found[i].tolist() for i in range(graph.nodes)])
    return (at - at.amin(0)) / (at.amax(0) - at.amin(0))


def most_probable(model: nn.Module, graph: Graph, n: int) -> tuple[Tensor, Tensor]:
    """The n missing links that the model finds most probable, (2, n), and their probabilities."""
    p = model.link_probabilities(graph).triu(1) * (graph.adjacency() == 0)
    best = p.flatten().topk(n)
    return Tensor([divmod(k, graph.nodes) for k in best.indices.tolist()]).long().T, best.values


def graph_picture(model: nn.Module, graph: Graph) -> plt.Figure:
    """Draw the graph with the most probable missing links, and the codes, as a static picture, for
    `show(fig, alt=...)`.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.5), width_ratios=(1.2, 1))
    at, codes = places(graph), model.codes(graph)
    for u, v in graph.edges.T.tolist():
        left.plot(*at[[u, v]].T, color=NOISE, linewidth=0.8, zorder=1)
    for u, v in most_probable(model, graph, GUESSES)[0].T.tolist():
        left.plot(*at[[u, v]].T, color=POSTERIOR, linewidth=1.6, linestyle="--", zorder=2)
    for side in (0, 1):
        these = graph.y == side
        look = {"marker": MARKERS[side], "color": CLASSES[side], "edgecolors": "white", "zorder": 3}
        left.scatter(*at[these].T, s=150, linewidths=0.8, **look)
        right.scatter(*codes[these].T, s=45, linewidths=0.6, label=graph.names[side], **look)
    for i, (x, y) in enumerate(at.tolist()):
        look = {"color": DATA if graph.y[i] else "white", "zorder": 4}  # dark on the light squares
        left.text(x, y, str(i + 1), size=7, ha="center", va="center", **look)
    left.set_title("the graph; dashed: links it expects")
    left.set_axis_off()
    right.axhline(0, color=NOISE, linewidth=0.6, zorder=0)
    right.axvline(0, color=NOISE, linewidth=0.6, zorder=0)
    right.set(title="codes", xlabel="$z_1$", ylabel="$z_2$")
    right.legend(fontsize=8)
    return fig
