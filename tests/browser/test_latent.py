"""The latent-space traversal, driven in JupyterLab and in Notebook 7 as a student would."""

import json

import numpy as np
import pytest
import torch
from pages import controls, cut_off

from dgmcourse.models import VAE

CELL = """
import torch
from dgmcourse.models import VAE
from dgmcourse.widgets.latent import latent_traversal
torch.manual_seed(3)
model = VAE(40).half().float()
for parameter in model.parameters():
    parameter.data *= 2  # an untrained network hardly answers
w = latent_traversal(model)
w
"""


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open([CELL, "'a cell below'"])
    lab.run_all()
    page.wait_for_selector(".dgm-latent")
    return page


@pytest.fixture(autouse=True)
def at_the_centre(request):
    if "page" in request.fixturenames:
        request.getfixturevalue("page").get_by_role("button", name="set z to 0").click()


def pixels(page, canvas=".picture"):
    return page.evaluate(
        f"""() => {{ const c = document.querySelector('.dgm-latent {canvas}');
                     return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); }}"""
    )


def ink(page, canvas):
    return page.evaluate(
        f"""() => {{ const c = document.querySelector('.dgm-latent {canvas}');
                     const {{ data }} = c.getContext('2d').getImageData(0, 0, c.width, c.height);
                     return data.reduce((sum, value, i) => (i % 4 === 3 ? sum + value : sum), 0); }}"""
    )


def z_in_python(lab, page):
    page.wait_for_timeout(300)  # sent at most ten times a second
    return np.array(json.loads(lab.execute("import json; print(json.dumps(w.z))")))


SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def name(i):
    """z₁ of the first latent dimension, z[0]."""
    return f"z{i + 1}".translate(SUBSCRIPTS)


def slider(page, k):
    """The k-th slider and the index of the latent dimension it moves."""
    element = page.locator(".dgm-latent input[type=range]").nth(k)
    said = element.get_attribute("aria-label").rsplit("z", 1)[1]
    return element, int(said.translate({b: a for a, b in SUBSCRIPTS.items()})) - 1


def changes(page, act):
    before = pixels(page)
    act()
    for _ in range(50):
        if pixels(page) != before:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the picture stayed the same")


def test_a_slider_by_keyboard(lab, page):
    element, i = slider(page, 0)
    element.focus()
    for key, value in (("ArrowRight", 0.1), ("Shift+ArrowRight", 0.6), ("ArrowLeft", 0.5)):
        changes(page, lambda key=key: page.keyboard.press(key))
        assert abs(z_in_python(lab, page)[i] - value) < 1e-6


def test_a_slider_by_mouse(lab, page):
    element, i = slider(page, 1)
    box = element.bounding_box()
    changes(
        page, lambda: page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2)
    )
    assert z_in_python(lab, page)[i] > 1


def test_the_pad_by_keyboard(lab, page):
    cell = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    pad = page.locator(".dgm-latent .pad")
    pad.focus()
    before, top = page.evaluate(cell), pad.bounding_box()["y"]
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowLeft", "ArrowDown", "ArrowDown"):
        changes(page, lambda key=key: page.keyboard.press(key))
    right, up = json.loads(lab.execute("print(w.dims)"))
    z = z_in_python(lab, page)
    assert np.allclose([z[right], z[up]], [-0.4, -0.1], atol=1e-6) and np.count_nonzero(z) == 2
    assert page.evaluate(cell) == before and pad.bounding_box()["y"] == top, (
        "the arrows moved the notebook"
    )
    page.wait_for_timeout(500)
    assert f"{name(right)} = \u22120.40" in page.locator(".dgm-latent [role=status]").inner_text()


def test_jupyter_does_not_take_the_keys_for_commands(page):
    cells = "window.jupyterapp.shell.currentWidget.content.model.cells.length"
    before = page.evaluate(cells)
    for place in (".pad", "input[type=range]", ".legend button"):
        page.locator(f".dgm-latent {place}").first.focus()
        for key in "a", "b", "d", "d":  # insert above, insert below, delete
            page.keyboard.press(key)
    page.wait_for_timeout(200)
    assert page.evaluate(cells) == before


def test_the_pad_by_mouse(lab, page):
    box = page.locator(".dgm-latent .pad").bounding_box()
    at = lambda u, v: (box["x"] + u * box["width"], box["y"] + v * box["height"])  # noqa: E731
    page.mouse.move(*at(0.5, 0.5))
    page.mouse.down()
    changes(page, lambda: page.mouse.move(*at(0.9, 0.1), steps=5))
    page.mouse.up()
    right, up = json.loads(lab.execute("print(w.dims)"))
    z, extent = z_in_python(lab, page), float(lab.execute("print(w._spec['extent'])"))
    assert np.allclose([z[right], z[up]], 0.8 * extent, atol=0.05)


def test_a_click_on_a_digit_takes_its_whole_code(lab, page):
    facts = "print(json.dumps([w.dims, w._spec['parts']['codes'], w._spec['extent']]))"
    (right, up), (start, end), extent = json.loads(lab.execute("import json; " + facts))
    codes = np.array(
        json.loads(
            lab.execute(
                f"import numpy; print(numpy.frombuffer(w._numbers[{start}:{end}], 'f4').reshape(-1,"
                " 40).tolist())"
            )
        )
    )
    far = np.abs(codes[:, [right, up]]).max(1)
    n = int(np.where(far < 0.95 * extent, far, 0).argmax())  # near the edge it has few neighbours
    box = page.locator(".dgm-latent .pad").bounding_box()
    u, v = 0.5 + codes[n, right] / extent / 2, 0.5 - codes[n, up] / extent / 2
    changes(
        page, lambda: page.mouse.click(box["x"] + u * box["width"], box["y"] + v * box["height"])
    )
    z = z_in_python(lab, page)
    assert np.abs(codes - z).max(1).min() < 1e-6, "not the code of any digit"
    assert "test digit" in page.locator(".dgm-latent .p .caption").inner_text()
    assert ink(page, ".paper") > 0


def test_digits_and_samples_by_keyboard(lab, page):
    button = page.get_by_role("button", name="next test digit 3")
    captions = []
    for _ in range(2):
        changes(page, lambda: button.press("Enter"))
        captions.append(page.locator(".dgm-latent .p .caption").inner_text())
    assert all(caption.endswith("a 3") for caption in captions) and captions[0] != captions[1]
    changes(page, lambda: page.get_by_role("button", name="draw z from the prior").press("Enter"))
    assert 0.3 < z_in_python(lab, page).std() < 2


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "finger"])
def test_writing_a_digit(lab, page, touch):
    page.get_by_role("button", name="clear the paper").click()
    assert ink(page, ".paper") == ink(page, ".seen") == 0
    paper = page.locator(".dgm-latent .paper")
    box = paper.bounding_box()
    line = [
        (box["x"] + u * box["width"], box["y"] + v * box["height"])
        for u, v in ((0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
    ]

    def write():
        if touch:
            client = page.context.new_cdp_session(page)
            points = [
                ("touchStart", line[0]),
                *(("touchMove", point) for point in line[1:]),
                ("touchEnd", None),
            ]
            for kind, point in points:
                places = [{"x": point[0], "y": point[1]}] if point else []
                client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
            return
        page.mouse.move(*line[0])
        page.mouse.down()
        for point in line[1:]:
            page.mouse.move(*point, steps=4)
        page.mouse.up()

    changes(page, write)
    assert ink(page, ".seen") > 0 and np.count_nonzero(z_in_python(lab, page)) == 40
    assert (
        page.locator(".dgm-latent .p .caption").inner_text() == "reconstruction of what you wrote"
    )


def test_the_widget_in_place_computes_what_torch_does(page):
    torch.manual_seed(3)
    model = VAE(40).half().float()
    for parameter in model.parameters():
        parameter.data *= 2
    z, x = torch.randn(100, 40), torch.rand(100, 784)
    run = """([kind, points]) => {
        const net = document.querySelector('.dgm-latent')[kind];
        return points.map((x) => Array.from(net(Float32Array.from(x)))); }"""
    with torch.no_grad():
        for kind, points, expected in (
            ("decode", z, model.decoder(z).mean),
            ("encode", x, model.encoder(x).mean),
        ):
            assert (
                np.abs(
                    np.array(page.evaluate(run, [kind, points.tolist()])) - expected.numpy()
                ).max()
                < 1e-4
            )


def test_python_moves_the_pad(lab, page):
    changes(page, lambda: lab.execute("w.z = torch.ones(40)"))
    assert page.locator(".dgm-latent .value").first.inner_text() == "1.00"
    assert "TraitError" in lab.execute("w.z = [1, 2]")
    lab.execute("w.dims = [5, 7]")
    page.wait_for_timeout(300)
    assert page.locator(".dgm-latent select").first.input_value() == "5"
    page.locator(".dgm-latent select").first.select_option("9")
    page.wait_for_timeout(300)
    assert json.loads(lab.execute("print(w.dims)")) == [9, 7]


def test_all_dimensions_can_be_shown(page):
    shown = page.locator(".dgm-latent .slider:visible")
    assert shown.count() == 10
    page.get_by_role("button", name="show all 40").click()
    assert shown.count() == 40
    page.get_by_role("button", name="show the 10 most active").click()
    assert shown.count() == 10


def test_every_control_has_a_name(page):
    found = controls(page, ".dgm-latent")
    assert {"button", "slider", "combobox", "application"} <= {role for role, _ in found}
    assert [role for role, name in found if not name.strip()] == []


def test_narrow_columns_and_zoom(page):
    """At 200 % zoom of a 700-pixel column everything is still there, and nothing is cut off."""
    size = page.viewport_size
    page.evaluate("window.jupyterapp.shell.collapseLeft()")
    for width in (764, 470):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert cut_off(page, ".dgm-latent") == []
    page.set_viewport_size(size)


def test_a_page_loaded_again_still_works(lab, page):
    """The kernel then sends the numbers by the slice, below the rate above which Jupyter drops
    messages.
    """
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(500)
    page.reload()
    page.wait_for_selector(".dgm-latent", timeout=90_000)
    page.locator(".dgm-latent .pad").focus()
    changes(page, lambda: page.keyboard.press("ArrowRight"))


def test_without_a_kernel(lab, page):
    """The last test of this page: its kernel ends here, the widget goes on."""
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_timeout(500)
    page.locator(".dgm-latent .pad").focus()
    changes(page, lambda: page.keyboard.press("ArrowRight"))
    changes(page, lambda: page.get_by_role("button", name="next test digit 7").click())
    page.wait_for_timeout(300)  # Jupyter itself writes to the console that z reached nobody
    lab.errors[:] = [
        error for error in lab.errors if "Could not send widget sync message" not in error
    ]


def test_notebook_7(notebook7):
    page = notebook7.open([CELL, "'a cell below'"])
    notebook7.run_all()
    page.wait_for_selector(".dgm-latent")
    page.locator(".dgm-latent .pad").focus()
    changes(page, lambda: page.keyboard.press("ArrowUp"))
    slider(page, 0)[0].focus()
    changes(page, lambda: page.keyboard.press("ArrowRight"))
    assert np.isclose(np.abs(z_in_python(notebook7, page)).sum(), 0.2)
