"""A figure with sliders in JupyterLab: a key press on its slider, or its button, changes the
picture that is seen.
"""

import pytest

pytestmark = pytest.mark.browser
CELL = "from dgmcourse.widgets import gradients as figures\nfigures.play_arrows()"


def test_a_key_press_and_a_button_change_the_picture(lab):
    page = lab.open([CELL])
    lab.run_all()
    image = page.locator(".jp-OutputArea img").first
    image.wait_for(timeout=60_000)
    assert image.evaluate("img => img.naturalWidth") > 500
    assert (
        "eight samples"
        in page.locator(".jp-OutputArea .widget-html", has_text="Picture").first.inner_text()
    )

    def changed(before):
        page.wait_for_function(
            "b => document.querySelector('.jp-OutputArea img').src !== b",
            arg=before,
            timeout=60_000,
        )
        return image.get_attribute("src")

    slider = page.locator(".jp-OutputArea .noUi-handle").first
    first = image.get_attribute("src")
    slider.focus()
    page.keyboard.press("ArrowRight")
    second = changed(first)
    assert float(slider.get_attribute("aria-valuenow")) == pytest.approx(1.7)
    page.get_by_role("button", name="new sample").click()
    assert changed(second) != first
