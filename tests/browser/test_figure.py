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


SHOWN = """
from dgmcourse.plot import plt
from dgmcourse.widgets import show
from dgmcourse.widgets.figure import slider_figure
def draw(height):
    fig, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, height])
    return fig
show(slider_figure(draw, alt="a line", height=(0.0, 2.0, 0.1, 1.0)), draw(1.0), alt="a line")
"""


def test_a_widget_stands_in_its_pictures_place_and_the_picture_in_words_below(lab):
    page = lab.open([SHOWN])
    lab.run_all()
    page.locator(".jp-OutputArea .noUi-handle").first.wait_for(timeout=60_000)
    assert page.locator(".jp-OutputArea .jp-RenderedImage").count() == 0
    page.get_by_text("The picture in words").click()
    words = page.locator(".jp-OutputArea details")
    assert words.get_attribute("open") is not None and "a line" in words.inner_text()
    bundle = page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.model.cells.get(0).outputs.get(0).data"
    )
    assert "image/png" in bundle  # what is stored, for readers without a kernel


DARK = """
from dgmcourse import plot
from dgmcourse.widgets.film import film
plot.show(draw(1.0), alt="a line")
film([draw(1.0)], ["a line"])
"""


def test_figures_are_dark_in_the_dark_theme_and_keep_their_hues(lab):
    page = lab.open([SHOWN, DARK])
    lab.run_all()
    page.locator(".film img").wait_for(timeout=60_000)
    kinds = [".jp-RenderedImage img", "img.widget-image", ".film img"]
    looks = f"{kinds}.map((kind) => getComputedStyle(document.querySelector(kind)).filter)"
    assert page.evaluate(looks) == ["none"] * 3
    splash = "document.getElementById('jupyterlab-splash')"  # over the page while a theme is loaded
    change = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
    page.evaluate(change, "JupyterLab Dark")
    page.wait_for_function(f"document.body.dataset.jpThemeLight === 'false' && !{splash}")
    found = page.evaluate(looks)
    page.evaluate(change, "JupyterLab Light")
    page.wait_for_function(f"document.body.dataset.jpThemeLight === 'true' && !{splash}")
    assert found == ["invert(0.93) hue-rotate(180deg)"] * 3
