"""The plane of states, driven in JupyterLab by keys, mouse and buttons; what the browser computes is
what the model does.
"""

import pytest
from pages import controls, cut_off

pytestmark = pytest.mark.browser
CELL = """
import torch
from dgmcourse.models.drug_vae import DrVAE
from dgmcourse.widgets.perturbation import log_prior, perturbation
torch.manual_seed(0)
model = DrVAE(2, 6, 10, 2, 5, reads="shift").eval().requires_grad_(False)
model.transition.move.weight.copy_(torch.tensor([[0.6, -0.4], [0.3, 0.9]]))
x1, y = torch.randn(60, 10), torch.arange(60) % 3 - 1
w = perturbation(model, x1, y, point=(0.5, -0.3))
w
"""
ROOT = ".dgm-perturbation"


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open([CELL, "'a cell below'"])
    lab.run_all()
    page.wait_for_selector(ROOT)
    return page


def ask(page, call):
    return page.evaluate(f"document.querySelector('{ROOT}').{call}")


def python(lab, code):
    import json

    return json.loads(lab.execute(f"import json; print(json.dumps({code}))"))


def where(page):
    return page.locator(f"{ROOT} .where").inner_text()


def test_the_browser_computes_what_the_model_does(lab, page):
    for z in ([0.5, -0.3], [-1.2, 0.8]):
        there = f"torch.tensor({z})"
        shift = python(lab, f"model.transition.shift({there}).tolist()")
        assert ask(page, f"shift({z})") == pytest.approx(shift, abs=1e-4)
        log_p = python(lab, f"log_prior(model, {there}[None]).item()")
        assert ask(page, f"logPrior({z})") == pytest.approx(log_p, abs=1e-3)
        code = f"(model.expression({there} + model.transition.shift({there})).mean - model.expression({there}).mean).tolist()"
        found = page.evaluate(f"Array.from(document.querySelector('{ROOT}').change({z}))")
        assert found == pytest.approx(python(lab, code), abs=1e-3)
        answer = ask(page, f"response({z})")
        assert 0 <= answer["low"] <= answer["mean"] <= answer["high"] <= 1


def test_arrow_keys_and_the_mouse_move_the_cell(page):
    pad = page.get_by_role("application")
    pad.focus()
    before = where(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    after = where(page)
    assert before != after
    page.keyboard.press("d")
    page.keyboard.press("d")  # Jupyter's "delete the cell": not while the pad has the focus
    assert page.locator(".jp-CodeCell").count() == 2
    box = page.locator(f"{ROOT} .pad").bounding_box()
    page.mouse.click(box["x"] + 30, box["y"] + 40)
    assert where(page) != after


def test_buttons_take_a_cell_and_one_unlike_all_others_is_said_to_be(page):
    seen = {where(page)}
    for name in ("a cell that answered", "one that did not"):
        page.get_by_role("button", name=name).click()
        seen.add(where(page))
    page.get_by_role("button", name="unlike all others").click()
    seen.add(where(page))
    assert len(seen) == 4
    reading = page.locator(f"{ROOT} .reading").nth(1)
    assert "alarm" in reading.get_attribute("class")
    assert "every known cell is more probable" in reading.inner_text()
    page.wait_for_function(
        f"document.querySelector('{ROOT} .spoken').textContent.includes('every known cell')"
    )


def test_it_is_reached_by_keyboard_and_nothing_is_cut_off(page):
    names = [name for _, name in controls(page, ROOT)]
    assert any(name.startswith("a cell's state before the drug") for name in names)
    assert {"a cell that answered", "one that did not", "unlike all others"} <= set(names)
    assert cut_off(page, ROOT) == []
