"""The sheet to write a digit on, driven in JupyterLab as a student would."""

import numpy as np
import pytest
import torch
from pages import controls, cut_off

from dgmcourse.models.semi_supervised_vae import M2

CELL = """
import torch
from dgmcourse.data.images import mnist
from dgmcourse.models.semi_supervised_vae import M2
from dgmcourse.widgets.handwriting import handwriting
torch.manual_seed(3)
model = M2(latent_dim=5, hidden=20).half().float()
for parameter in model.parameters():
    parameter.data *= 3  # an untrained network hardly answers
test = mnist(None).test
w = handwriting(model, test.x[:200].float() / 255, test.y[:200])
w
"""


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open([CELL, "'a cell below'"])
    lab.run_all()
    page.wait_for_selector(".dgm-handwriting")
    return page


def hand(page):
    """The ten pictures' opacities, (10, 784)."""
    rows = page.evaluate(
        """() => [...document.querySelectorAll('.dgm-handwriting .hand canvas')].map((c) =>
            Array.from(c.getContext('2d').getImageData(0, 0, 28, 28).data.filter((_, i) => i % 4 === 3)))"""
    )
    return np.array(rows)


def percents(page):
    said = page.locator(".dgm-handwriting .class .value").all_inner_texts()
    return [int(text.split()[0]) for text in said]


def changes(page, act):
    before = hand(page)
    act()
    for _ in range(50):
        if not np.array_equal(hand(page), before):
            return
        page.wait_for_timeout(100)
    raise AssertionError("the pictures stayed the same")


def write(page):
    page.get_by_role("button", name="clear the paper").click()
    box = page.locator(".dgm-handwriting .paper").bounding_box()
    line = [
        (box["x"] + u * box["width"], box["y"] + v * box["height"])
        for u, v in ((0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
    ]
    page.mouse.move(*line[0])
    page.mouse.down()
    for point in line[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def test_it_starts_with_a_digit_its_classes_and_ten_pictures(page):
    assert hand(page).shape == (10, 784) and hand(page).any(-1).all()
    assert 95 <= sum(percents(page)) <= 105


def test_writing_a_digit(page):
    changes(page, lambda: write(page))
    assert "of what you wrote" in page.locator(".dgm-handwriting .p .caption").inner_text()


def test_a_digit_and_a_label_by_keyboard(page):
    changes(page, lambda: page.get_by_role("button", name="next test digit 3").press("Enter"))
    caption = page.locator(".dgm-handwriting .p .caption")
    assert ", a 3, read as a" in caption.inner_text()
    before = percents(page)
    row = page.locator(".dgm-handwriting .class").nth(8)
    chosen = page.locator(".dgm-handwriting .class.chosen b").inner_text()
    row = row if chosen != "8" else page.locator(".dgm-handwriting .class").nth(5)
    said = row.locator("b").inner_text()
    changes(page, lambda: row.press("Enter"))
    assert caption.inner_text().endswith(f"read as a {said}")
    assert row.get_attribute("aria-pressed") == "true" and percents(page) == before
    changes(page, lambda: row.press("Enter"))
    assert caption.inner_text().endswith(f"read as a {chosen}")


def test_a_slider_and_another_hand(page):
    slider = page.locator(".dgm-handwriting input[type=range]").first
    slider.focus()
    cells = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = page.evaluate(cells)
    changes(page, lambda: page.keyboard.press("ArrowRight"))
    assert page.evaluate(cells) == before
    changes(page, lambda: page.get_by_role("button", name="draw z from the prior").press("Enter"))
    changes(page, lambda: page.get_by_role("button", name="take z from the digit again").click())


def test_the_widget_in_place_computes_what_torch_does(page):
    torch.manual_seed(3)
    model = M2(latent_dim=5, hidden=20).half().float()
    for parameter in model.parameters():
        parameter.data *= 3
    x, y, z = torch.rand(20, 784), torch.eye(10)[torch.arange(20) % 10], torch.randn(20, 5)
    run = """([kind, points]) => {
        const net = document.querySelector('.dgm-handwriting')[kind];
        return points.map((x) => Array.from(net(Float32Array.from(x)))); }"""
    with torch.no_grad():
        for kind, points, expected in (
            ("classify", x, model.encoder.y(x).mean),
            ("encode", torch.cat([x, y], 1), model.encoder.given_label(x, y).mean),
            ("decode", torch.cat([y, z], 1), model.decoder(torch.cat([y, z], 1)).mean),
        ):
            found = np.array(page.evaluate(run, [kind, points.tolist()]))
            assert np.abs(found - expected.numpy()).max() < 1e-4


def test_narrow_columns(page):
    size = page.viewport_size
    page.evaluate("window.jupyterapp.shell.collapseLeft()")
    for width in (764, 470):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert cut_off(page, ".dgm-handwriting") == []
    page.set_viewport_size(size)


def test_every_control_has_a_name(page):
    found = controls(page, ".dgm-handwriting")
    assert {"button", "slider"} == {role for role, _ in found}
    assert [role for role, name in found if not name.strip()] == []


def test_without_a_kernel(page):
    """The last test of this page: its kernel ends here, the widget goes on."""
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_timeout(500)
    changes(page, lambda: page.get_by_role("button", name="next test digit 7").click())
    changes(page, lambda: write(page))
