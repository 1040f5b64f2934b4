"""Notebook 04's traversal, driven in JupyterLab: a model with a prior and a generator only, no
codes of digits.
"""

import json

import pytest

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


def picture(page):
    return page.evaluate(
        """() => { const c = document.querySelector('.dgm-latent .picture');
                   return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); }"""
    )


def changes(page, act):
    before = picture(page)
    act()
    for _ in range(50):
        if picture(page) != before:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the picture stayed the same")


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
