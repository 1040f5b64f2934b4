"""The graph editor, driven in JupyterLab as a student would; what it computes is what torch does."""

import re

import numpy as np
import pytest
import torch
from pages import controls, cut_off

from dgmcourse.data.graphs import karate_club
from dgmcourse.models.graph_vae import GraphVAE

pytestmark = pytest.mark.browser
MODEL = """
torch.manual_seed(1)
club = karate_club()
model = GraphVAE(club.features, latent_dim=2, hidden=6, offset=-1.0)
for parameter in model.parameters():
    parameter.data *= 3  # an untrained network hardly answers
"""
CELL = f"""
import torch
from dgmcourse.data.graphs import karate_club
from dgmcourse.models.graph_vae import GraphVAE
from dgmcourse.widgets.graph import graph_editor
{MODEL}
graph_editor(model, club, start=8)
"""
STATE = "() => document.querySelector('.dgm-graph').state()"


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open([CELL, "'a cell below'"])
    lab.run_all()
    page.wait_for_selector(".dgm-graph")
    return page


@pytest.fixture(scope="module")
def torchs():
    space = {"torch": torch, "karate_club": karate_club, "GraphVAE": GraphVAE}
    exec(MODEL, space)
    return space["model"], space["club"]


def agrees(page, torchs):
    """Codes, deviations and probabilities of the graph as it is in the page."""
    model, club = torchs
    state = page.evaluate(STATE)
    A = torch.tensor(state["A"]).view(34, 34)
    graph = club.with_edges(A.triu().nonzero().mT)
    with torch.no_grad():
        q = model.encoder(graph)
    p = np.array(state["p"])
    np.fill_diagonal(p, 0)
    np.testing.assert_allclose(state["z"], q.mean, atol=1e-4)
    np.testing.assert_allclose(state["deviation"], (0.5 * q.log_var).exp(), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(p, model.link_probabilities(graph), atol=1e-4)
    return state, graph


def linked(page, i, j):
    return page.evaluate(STATE)["A"][34 * i + j]


def middle_of(page, node):
    box = page.locator(f".dgm-graph .node[data-node='{node}']").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_it_starts_with_the_club_as_it_is(page, torchs):
    state, graph = agrees(page, torchs)
    assert state["chosen"] == 8 and graph.edges.shape[1] == 78
    assert page.locator(".dgm-graph .guess").count() - 1 == 8  # one of them is in the key


def test_pulling_from_one_member_to_another_links_and_cuts(page, torchs):
    assert linked(page, 11, 24) == 0
    for expected in (1, 0):
        page.mouse.move(*middle_of(page, 11))
        page.mouse.down()
        page.mouse.move(*middle_of(page, 24), steps=5)
        page.mouse.up()
        assert linked(page, 11, 24) == expected == linked(page, 24, 11)
        agrees(page, torchs)
    assert "Cut 12–25" in page.locator(".dgm-graph .links .caption").inner_text()
    page.mouse.click(*middle_of(page, 3))
    assert page.evaluate(STATE)["chosen"] == 3


def test_all_of_it_by_keyboard(page, torchs):
    pad = page.get_by_role("application")
    pad.focus()
    cells = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before, at = page.evaluate(STATE)["chosen"], page.evaluate(cells)
    for key in ("ArrowDown", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("d")
    page.keyboard.press("d")  # Jupyter's "delete the cell"
    assert page.evaluate(STATE)["chosen"] != before and page.evaluate(cells) == at
    assert page.locator(".jp-CodeCell").count() == 2
    bar = page.locator(".dgm-graph .link").first
    pressed = bar.get_attribute("aria-pressed")
    bar.press("Enter")
    assert bar.get_attribute("aria-pressed") != pressed
    agrees(page, torchs)
    page.get_by_label("another member", exact=True).select_option("16")
    other = int(page.get_by_label("another member", exact=True).input_value())
    chosen = page.evaluate(STATE)["chosen"]
    was = linked(page, chosen, other)
    page.locator(".dgm-graph .row button").first.press("Enter")
    assert linked(page, chosen, other) == 1 - was
    page.get_by_role("button", name="Reset").press("Enter")
    state, graph = agrees(page, torchs)
    assert graph.edges.shape[1] == 78


def test_a_member_without_links_keeps_a_code(page, torchs):
    page.evaluate(
        """() => { const root = document.querySelector('.dgm-graph');
            for (const j of [0]) root.toggle(11, j); }"""
    )
    state, graph = agrees(page, torchs)
    assert graph.degrees()[11] == 0 and np.isfinite(state["z"]).all()
    page.get_by_role("button", name="Reset").click()


def test_it_says_what_happened_aloud(page):
    page.mouse.click(*middle_of(page, 33))
    page.locator(".dgm-graph .link").nth(2).press("Enter")
    page.wait_for_function(
        "document.querySelector('.dgm-graph .spoken').textContent.includes('probability went from')"
    )
    page.get_by_role("button", name="Reset").click()


def test_narrow_columns(page):
    size = page.viewport_size
    page.evaluate("window.jupyterapp.shell.collapseLeft()")
    for width in (764, 470, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert cut_off(page, ".dgm-graph") == []
    page.set_viewport_size(size)


def test_every_control_has_a_name(page):
    found = controls(page, ".dgm-graph")
    assert {"application", "button", "combobox", "option"} == {role for role, _ in found}
    assert [role for role, name in found if not name.strip()] == []
    member, chance = page.locator(".dgm-graph .link").first.locator("b, .value").all_inner_texts()
    said = rf"link \d+ to {member}\s*: (not )?there, probability\s*{chance}"  # what is seen, in its order
    assert re.fullmatch(said, next(name for _, name in found if name.startswith("link")))
    assert page.locator(".dgm-graph .link[aria-label]").count() == 0


def test_without_a_kernel(page, torchs):
    """The last test of this page: its kernel ends here, the widget goes on."""
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_timeout(500)
    page.locator(".dgm-graph .link").first.click()
    agrees(page, torchs)
