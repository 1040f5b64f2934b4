"""Notebook 04's traversal in JupyterLab: a model with a prior and a generator, but no encoder."""

import json

import pytest
from test_latent import changes

CELL = """
from dgmcourse.widgets.latent import latent_traversal
w = latent_traversal("gan")
w
"""


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open([CELL])
    lab.run_all()
    page.wait_for_selector(".dgm-latent")
    return page


def test_there_is_no_paper_and_no_digit_behind_the_pad(page):
    assert page.locator(".dgm-latent section.x").count() == 0
    assert page.locator(".dgm-latent .legend button").count() == 0
    assert "the picture, this dimension alone" in page.locator(
        ".dgm-latent label.slider"
    ).first.get_attribute("title")


def test_sampling_and_a_slider_change_the_digit_and_python_hears_of_it(lab, page):
    changes(page, page.get_by_role("button", name="draw z from the prior").click)
    page.wait_for_timeout(300)  # sent at most ten times a second
    assert any(json.loads(lab.execute("import json; print(json.dumps(w.z))")))
    slider = page.locator(".dgm-latent input[type=range]").first
    slider.focus()
    changes(page, lambda: [page.keyboard.press("Shift+ArrowRight") for _ in range(3)])


def test_a_click_on_the_empty_pad_moves_there(page):
    pad = page.locator(".dgm-latent .pad")
    changes(page, lambda: pad.click(position={"x": 20, "y": 20}))
