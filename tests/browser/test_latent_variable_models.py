"""Notebook 02 in JupyterLab: its film plays without the kernel, and a slider of its own changes its
picture.
"""

import re
from pathlib import Path

import jupytext
import pytest

pytestmark = pytest.mark.browser
SOURCE = Path(__file__).parents[2] / "notebooks" / "source" / "02_latent_variable_models.py"
SHOWN = (
    "() => [...document.querySelectorAll('.film img')].findIndex((i) => i.style.visibility ==="
    " 'visible')"
)


def opening():
    """The notebook's code up to its first film."""
    cells = [cell.source for cell in jupytext.read(SOURCE).cells if cell.cell_type == "code"]
    first = next(i for i, cell in enumerate(cells) if re.search(r"^ *play_fall\(", cell, re.M))
    return "\n".join(cells[: first + 1])


@pytest.fixture(scope="module")
def page(lab):
    limit = (
        "slider_figure(lambda angle: draw_fall(line.decoder, int(angle)), alt='points', angle=(0,"
        " 90, 5, 5))"
    )
    page = lab.open([opening(), limit])
    lab.run_all()
    page.wait_for_selector(".film img")
    return page


def test_the_film_goes_on_without_the_kernel(lab, page):
    frames = page.locator(".film img")
    assert frames.count() > 10
    assert all(frames.nth(i).get_attribute("alt") for i in range(frames.count()))
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    slider = page.get_by_role("slider", name="step")
    slider.focus()
    assert page.evaluate(SHOWN) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"({SHOWN})() === 2")
    assert "3 of" in slider.get_attribute("aria-valuetext")
    page.keyboard.press("End")
    page.wait_for_function(f"({SHOWN})() === {frames.count() - 1}")


def test_play_starts_over_and_pause_holds(page):
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"({SHOWN})() === 1", timeout=10_000)
    page.get_by_role("button", name="Pause").click()
    at = page.evaluate(SHOWN)
    page.wait_for_timeout(1500)
    assert page.evaluate(SHOWN) == at
