"""The pads of pixels in JupyterLab: by keys, mouse and finger; what is shown is what Python
answered. And what they answer by themselves in a page without a kernel.
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.pixelcnn import PixelCNN, PixelNet
from dgmcourse.widgets import esm
from dgmcourse.widgets.pixels import pixel_writer, reach_explorer

sys.path.append(str(Path(__file__).resolve().parents[2]))
from web.pads import with_answers, with_networks  # noqa: E402

pytestmark = pytest.mark.browser
CELLS = [
    """
import torch
from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.pixelcnn import PixelCNN, PixelNet
from dgmcourse.widgets.pixels import influence, pixel_writer, reach_explorer
torch.manual_seed(0)
nets = {"plain": PixelNet(4, 2, 3), "gated": GatedPixelNet(4, 2, 3)}
e = reach_explorer(nets, torch.rand(4, 784), cell=(10, 12))
e
""",
    """
models = {name: PixelCNN(net) for name, net in nets.items()}
w = pixel_writer(models, torch.zeros(2, 784), rows=20)
w
""",
    "'a cell below'",
]


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open(CELLS)
    lab.run_all()
    page.wait_for_function("document.querySelectorAll('.dgm-pixels').length === 2")
    page.wait_for_selector(".dgm-pixels[data-cell='10,12']")
    return page


def python(lab, code):
    return json.loads(lab.execute(f"import json; print(json.dumps({code}))"))


def colour(page, pad, row, column):
    """The middle of a cell of a canvas."""
    return page.evaluate(
        "([k, r, c]) => [...document.querySelectorAll('.dgm-pixels canvas')[k].getContext('2d')"
        ".getImageData(10 * c + 5, 10 * r + 5, 1, 1).data].slice(0, 3)",
        [pad, row, column],
    )


def shown(page, row, column):
    page.wait_for_selector(f".dgm-pixels[data-cell='{row},{column}']")


def test_a_click_and_the_arrow_keys_choose_a_pixel(lab, page):
    pad = page.get_by_role("application").nth(0)
    box = pad.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 8.5 / 28, box["y"] + box["height"] * 15.5 / 28)
    shown(page, 15, 8)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    shown(page, 16, 13)
    assert python(lab, "e.last") == [16, 13]
    expected = python(
        lab,
        "[list(e.answer({'cell': [16, 13]})[1][0][3 * (784 * k + 28 * 15 + 14):][:3]) for k in"
        " (0, 1)]",
    )
    assert [colour(page, k, 15, 14) for k in (0, 1)] == expected
    unseen, seen = python(
        lab,
        "[[int(v) for v in divmod((m[:14] == w).ravel().argmax(), 28)] for m in "
        "[influence(nets['plain'], e.x, (28, 28), [16, 13]) > 0] for w in (False, True)]",
    )
    corner = page.evaluate(
        "cells => cells.map(([r, c]) => [...document.querySelectorAll('.dgm-pixels"
        " canvas')[0].getContext('2d').getImageData(10 * c + 1, 10 * r + 1, 1,"
        " 1).data].slice(0, 3))",
        [unseen, seen],
    )
    assert corner[0] == [138, 61, 0] != corner[1]  # what is not seen bears a dot
    assert colour(page, 0, 16, 13) == [51, 51, 51] and colour(page, 1, 20, 3) == [222, 222, 222]
    says = page.locator(".dgm-pixels .panel .says").first.inner_text()
    assert says.startswith("row 16, column 13: ") and says.endswith(
        "of 461 earlier pixels have a gradient"
    )
    page.keyboard.press("d")
    page.keyboard.press("d")  # Jupyter's "delete the cell": not while the pad has the focus
    assert page.locator(".jp-CodeCell").count() == len(CELLS)


def test_ink_by_keys_and_by_mouse_is_kept_and_the_rest_is_drawn_pixel_by_pixel(lab, page):
    root, pad = page.locator(".dgm-pixels").nth(1), page.get_by_role("application").nth(2)
    pad.focus()
    for key in ("ArrowDown", "Space", "ArrowRight", "Space"):  # from row 4, column 12
        page.keyboard.press(key)
    assert colour(page, 2, 5, 12) == colour(page, 2, 5, 13) == [51, 51, 51]
    box = pad.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 3.5 / 28, box["y"] + box["height"] * 8.5 / 28)
    page.mouse.down()
    page.mouse.move(
        box["x"] + box["width"] * 9.5 / 28, box["y"] + box["height"] * 8.5 / 28, steps=12
    )
    page.mouse.up()
    assert all(colour(page, 2, 8, c) == [51, 51, 51] for c in range(3, 10))
    root.get_by_label("speed").focus()
    for _ in range(2):
        page.keyboard.press("ArrowLeft")  # the slowest: it can be watched
    pad.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("+document.querySelectorAll('.dgm-pixels')[1].dataset.at > 28 * 20 + 5")
    on_its_way = int(root.get_attribute("data-at"))
    assert on_its_way < 784 and "p = " in root.locator(".says").inner_text()
    page.wait_for_function(
        f"+document.querySelectorAll('.dgm-pixels')[1].dataset.at > {on_its_way}"
    )
    page.wait_for_function(
        "document.querySelectorAll('.dgm-pixels')[1].dataset.at === '784'", timeout=30_000
    )
    drawn = python(lab, "w.last.int().tolist()")
    assert drawn[5 * 28 + 12] == drawn[8 * 28 + 5] == 1 and sum(drawn[: 28 * 5]) == 0
    for row, column in ((20, 3), (22, 17), (27, 27), (25, 9)):
        assert colour(page, 2, row, column) == (
            [0, 114, 178] if drawn[28 * row + column] else [255, 255, 255]
        )
    assert f"{sum(drawn[560:])} of them are ink" in root.locator(".says").inner_text()


def test_a_finger_draws_and_clear_clears(lab, page):
    root, pad = page.locator(".dgm-pixels").nth(1), page.get_by_role("application").nth(2)
    root.get_by_role("button", name="Clear").click()
    assert colour(page, 2, 8, 5) == [255, 255, 255]
    box = pad.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 6.5 / 28, box["y"] + box["height"] * 6.5 / 28)
    assert colour(page, 2, 6, 6) == [51, 51, 51]
    root.get_by_label("which model completes it").select_option("plain")
    root.get_by_label("speed").fill("3")
    root.get_by_role("button", name="Complete").click()
    page.wait_for_function(
        "document.querySelectorAll('.dgm-pixels')[1].dataset.at === '784'", timeout=30_000
    )
    assert python(lab, "w.last.int().tolist()")[6 * 28 + 6] == 1


# ---- without a kernel

SHAPE = (6, 7)


@pytest.fixture(scope="module")
def nets():
    nets = {"plain": PixelNet(5, 2, 3, shape=SHAPE), "gated": GatedPixelNet(4, 2, 5, shape=SHAPE)}
    for net in nets.values():
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.5)
    return nets


@pytest.mark.parametrize("name", ["plain", "gated"])
def test_javascript_walks_through_the_networks_as_torch_passes_them(browser, nets, name):
    models = {name: PixelCNN(net) for name, net in nets.items()}
    writer = with_networks(pixel_writer(models, torch.zeros(1, 42), shape=SHAPE))
    x = (torch.rand(42) < 0.5).float()
    state = {"nets": writer._alone["nets"], "x": x.tolist(), "name": name}
    state["numbers"] = np.frombuffer(writer._alone["numbers"], np.float32).tolist()
    page = browser.new_page()
    source = base64.b64encode(esm("pixels").encode()).decode()
    drawn, p, again, of_again = page.evaluate(
        f"""async ({{ nets, numbers, x, name }}) => {{
            const {{ walk }} = await import('data:text/javascript;base64,{source}');
            const go = (from) => walk(nets[name], Float32Array.from(numbers), [6, 7], x, from);
            return [42, 10].flatMap((from) => Object.values(go(from)).map((a) => [...a])); }}""",
        state,
    )
    page.close()
    assert drawn == x.tolist() and again[:10] == drawn[:10] and set(again) == {0, 1}
    for values, found in ((drawn, p), (again, of_again)):
        with torch.no_grad():
            expected = torch.sigmoid(nets[name](torch.tensor([values], dtype=torch.float32))[0])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_second_click_has_its_answer(nets):
    explorer = reach_explorer(nets, torch.rand(3, 42), shape=SHAPE, cell=(2, 1))
    with_answers(explorer)
    message, buffers = explorer.answer({"cell": [4, 2]})
    at, size = 2 * 4 + 1, 2 * 42 * 3
    assert explorer._alone["says"][at] == message["says"]
    assert explorer._alone["pictures"][at * size :][:size] == buffers[0]
    assert len(explorer._alone["pictures"]) == 3 * 4 * size


def test_the_pads_are_used_without_a_kernel(browser, nets):
    explorer = with_answers(reach_explorer(nets, torch.rand(3, 42), shape=SHAPE, cell=(3, 3)))
    models = {name: PixelCNN(net) for name, net in nets.items()}
    writer = with_networks(pixel_writer(models, torch.ones(1, 42), shape=SHAPE, rows=2))
    page, faults = browser.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    source = base64.b64encode(esm("pixels").encode()).decode()
    for widget in (explorer, writer):
        alone = dict(widget._alone)
        sent = {k: list(v) for k, v in alone.items() if isinstance(v, bytes)}
        page.evaluate(
            f"""async ([spec, alone, sent]) => {{
                for (const [k, v] of Object.entries(sent)) alone[k] = new DataView(Uint8Array.from(v).buffer);
                const {{ default: pads }} = await import('data:text/javascript;base64,{source}');
                const model = {{ get: (name) => (name === '_spec' ? spec : alone), on() {{}}, off() {{}} }};
                pads.render({{ model, el: document.body }}); }}""",
            [widget._spec, {k: v for k, v in alone.items() if k not in sent}, sent],
        )
    reach, write = page.locator(".dgm-pixels").nth(0), page.locator(".dgm-pixels").nth(1)
    page.wait_for_selector(".dgm-pixels[data-cell='2,2']")  # of every second row and column
    reach.get_by_role("application").first.press("ArrowDown")
    page.wait_for_selector(".dgm-pixels[data-cell='4,2']")
    expected = explorer.answer({"cell": [4, 2]})[0]["says"][0]
    assert expected == f"plain: {reach.locator('.says').first.inner_text()}"
    write.get_by_label("speed").fill("3")
    write.get_by_role("button", name="Complete").click()
    page.wait_for_selector(".dgm-pixels[data-at='42']")
    assert write.locator(".says").inner_text().startswith("28 pixels drawn, ")
    page.close()
    assert faults == []
