"""The plane with its point, driven in JupyterLab by keys, mouse and finger; what is shown is what
Python computes.
"""

import json

import pytest

pytestmark = pytest.mark.browser
CELL = """
import torch
from dgmcourse.widgets.plane import grid, plane
torch.manual_seed(0)
extent = (-2.0, 3.0, -1.0, 2.0)
g = grid(extent, 61, 101)
fields = {"network": torch.sigmoid(3 * g[:, 0]).reshape(61, 101), "log p(x)": -5 * (g ** 2).sum(-1).reshape(61, 101)}
w = plane(torch.randn(50, 2) * 0.3, torch.arange(50) % 2, fields, extent=extent, densities=["log p(x)"], point=(0.1, 0.2))
w
"""


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open([CELL, "'a cell below'"])
    lab.run_all()
    page.wait_for_selector(".dgm-plane")
    return page


def python(lab, page, code):
    page.wait_for_timeout(300)  # the point is sent at most ten times a second
    return json.loads(lab.execute(f"import json; print(json.dumps({code}))"))


def shown(page):
    rows = page.eval_on_selector_all(
        ".dgm-plane .reading", "rows => rows.map(r => +r.dataset.value)"
    )
    return dict(zip(("network", "log p(x)"), rows, strict=True))


def put(lab, page, x, y):
    lab.execute(f"w.point = [{x}, {y}]")
    page.wait_for_function(
        "text => document.querySelector('.dgm-plane .where').textContent === text",
        arg=f"x = ({x:.2f}, {y:.2f})".replace("-", "\u2212"),
    )


def test_python_moves_the_point_and_both_agree_on_what_is_there(lab, page):
    for x, y in ((0.13, 0.27), (-1.71, 1.93), (3.0, -1.0), (-2.0, 2.0)):
        put(lab, page, x, y)
        assert shown(page) == pytest.approx(python(lab, page, "w.at(w.point)"), abs=1e-4)
        assert python(lab, page, "w.point") == pytest.approx([x, y])


def test_arrow_keys_move_it_and_with_shift_further(lab, page):
    put(lab, page, 0.0, 0.0)
    pad = page.get_by_role("application")
    pad.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    step = 5 / 80
    assert python(lab, page, "w.point") == pytest.approx([step, 5 * step])
    for _ in range(12):
        page.keyboard.press("Shift+ArrowDown")  # not beyond the edge
    assert python(lab, page, "w.point") == pytest.approx([step, -1])
    page.keyboard.press("d")
    page.keyboard.press("d")  # Jupyter's "delete the cell": not while the pad has the focus
    assert page.locator(".jp-CodeCell").count() == 2


def test_mouse_and_finger_drag_it(lab, page):
    box = page.locator(".dgm-plane .pad").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()
    page.mouse.move(box["x"] + 5, box["y"] + 5)  # no button: it stays
    assert python(lab, page, "w.point") == pytest.approx([2.0, 0.5], abs=0.05)
    page.touchscreen.tap(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.5)
    assert python(lab, page, "w.point") == pytest.approx([-1.0, 0.5], abs=0.05)


def test_far_from_the_data_it_says_so_in_words_and_aloud(lab, page):
    density = page.locator(".dgm-plane .reading").nth(1)
    put(lab, page, 0.0, 0.0)
    assert (
        "every training point" not in density.inner_text()
        and "alarm" not in density.get_attribute("class")
    )
    put(lab, page, 2.9, 1.9)
    assert (
        "every training point is more probable" in density.inner_text()
        and "alarm" in density.get_attribute("class")
    )
    assert "blue 99.98 %" in page.locator(".dgm-plane .reading").nth(0).inner_text()
    page.wait_for_function(
        "document.querySelector('.dgm-plane .spoken').textContent.includes('every training point')"
    )
    put(lab, page, -1.5, 0.0)
    assert "orange 99 %" in page.locator(".dgm-plane .reading").nth(0).inner_text()


def test_the_plane_can_be_shaded_by_each_field(page):
    canvas = "() => document.querySelector('.dgm-plane canvas').toDataURL()"
    seen = set()
    for k in (0, 1, -1):
        page.get_by_label("what the colours of the plane show").select_option(str(k))
        seen.add(page.evaluate(canvas))
    assert len(seen) == 3
