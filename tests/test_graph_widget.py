"""The graph editor's Python half: what it sends, what it refuses, and the static picture. The other
half is tested in tests/browser.
"""

import matplotlib.pyplot as plt
import pytest
import torch

from dgmcourse.data.graphs import Graph, karate_club
from dgmcourse.models.graph_vae import GraphAutoEncoder, GraphVAE
from dgmcourse.widgets.graph import graph_editor, graph_picture, most_probable, places

CLUB = karate_club()


def made(kind=GraphVAE, **sizes):
    torch.manual_seed(0)
    return kind(CLUB.features, **{"latent_dim": 2, "hidden": 5, "offset": -1.5} | sizes)


def test_what_is_sent_gives_the_models_probabilities():
    """The spec alone, as graph.js reads it, in dense matrices."""
    for model in (made(), made(GraphAutoEncoder), made(offset=None)):
        spec = graph_editor(model, CLUB, start=8)._spec
        A = torch.eye(spec["nodes"], dtype=torch.float64)
        for i, j in spec["edges"]:
            A[i, j] = A[j, i] = 1
        root = A.sum(1) ** -0.5
        M = root[:, None] * A * root
        first, last = (torch.tensor(spec[name], dtype=torch.float64) for name in ("first", "last"))
        output = M @ (M @ first).relu() @ last
        assert output.shape == (34, 4 if spec["noise"] else 2)
        z = output[:, :2]
        p = torch.sigmoid(z @ z.mT + spec["offset"]).fill_diagonal_(0)
        torch.testing.assert_close(p.float(), model.link_probabilities(CLUB), atol=1e-6, rtol=1e-5)
        assert spec["start"] == 8 and spec["sides"] == CLUB.y.tolist()


def test_the_places_are_in_the_unit_square_and_apart():
    at = places(CLUB)
    assert at.shape == (34, 2) and at.min() == 0 and at.max() == 1
    assert torch.equal(at, places(CLUB)) and torch.pdist(at).min() > 0.03
    assert places(Graph(torch.tensor([[0], [1]]), 3)).isfinite().all()  # a node without links


def test_the_most_probable_missing_links_are_missing_and_in_order():
    model = made()
    pairs, p = most_probable(model, CLUB, 6)
    A, all_p = CLUB.adjacency(), model.link_probabilities(CLUB)
    assert (A[pairs[0], pairs[1]] == 0).all() and (pairs[0] != pairs[1]).all()
    assert torch.equal(all_p[pairs[0], pairs[1]], p) and (p[:-1] >= p[1:]).all()
    missing = all_p[(A == 0) & ~torch.eye(34, dtype=torch.bool)]
    assert p[0] == missing.max()


def test_what_it_cannot_show_is_refused():
    many = Graph(torch.tensor([[0], [1]]), 101, y=torch.zeros(101))
    for model, graph, message in (
        (made(latent_dim=3), CLUB, "codes of 2 dimensions, these have 3"),
        (made(), Graph(CLUB.edges, 34, torch.eye(34), CLUB.y), "a model without features"),
        (made(), many, "101 nodes cannot be told apart"),
        (made(), Graph(CLUB.edges, 34), "a class, 0 or 1"),
    ):
        with pytest.raises(ValueError, match=message):
            graph_editor(model, graph)
    assert "run this cell" in repr(graph_editor(made(), CLUB))


def test_the_picture_has_the_graph_and_the_codes():
    fig = graph_picture(made(), CLUB)
    assert [ax.get_title(loc="left") for ax in fig.axes][1] == "codes"
    assert len(fig.axes[0].lines) == CLUB.edges.shape[1] + 8
    plt.close(fig)
