"""The slider between two sentences, driven in JupyterLab as a student would."""

import pytest
from pages import controls, cut_off

CELL = """
import torch
from dgmcourse.data.text import Vocabulary
from dgmcourse.models.sentence_vae import SentenceVAE
from dgmcourse.widgets.sentences import sentence_slider
torch.manual_seed(3)
words = Vocabulary(["a", "dog", "cat", "runs", "sleeps", "."])
model = SentenceVAE(len(words), 2, 4, 6, length=6).eval()
for p in model.parameters():
    p.data *= 6
w = sentence_slider(model, words, ["a dog runs.", "a cat sleeps.", "cat dog a."])
w
"""
ROOT = ".dgm-sentences"


@pytest.fixture(scope="module")
def page(lab):
    page = lab.open([CELL, "'a cell below'"])
    lab.run_all()
    page.wait_for_selector(ROOT)
    return page


def way(page):
    return page.locator(f"{ROOT} li span:nth-child(2)").all_inner_texts()


def at(page):
    current = page.locator(f"{ROOT} li").evaluate_all(
        "rows => rows.map((r) => r.getAttribute('aria-current') === 'true')"
    )
    assert sum(current) == 1
    return current.index(True)


def test_the_slider_walks_by_keyboard_and_jupyter_stays_out(page):
    assert len(way(page)) == 11 and at(page) == 0
    slider = page.locator(f"{ROOT} input[type=range]")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert at(page) == 3
    assert page.locator(f"{ROOT} .now").inner_text() == way(page)[3]
    assert slider.get_attribute("aria-valuetext") == way(page)[3]
    page.keyboard.press("d"), page.keyboard.press("d")
    assert page.locator(".jp-Notebook .jp-CodeCell").count() >= 2
    page.keyboard.press("End")
    assert at(page) == 10


def test_other_sentences_and_the_way_back(page):
    before = way(page)
    page.get_by_role("button", name="exchange the two sentences").press("Enter")
    assert way(page) == before[::-1]
    page.get_by_label("to this sentence").select_option(label="cat dog a.")
    other = way(page)
    assert len(other) == 11 and other[0] == before[-1]
    page.get_by_label("from this sentence").select_option(label="cat dog a.")
    assert way(page) == [other[-1]] * 11  # the same sentence twice: one code


def test_everything_has_a_name_and_fits(page):
    found = [pair for pair in controls(page, ROOT) if pair[0] != "option"]
    assert ("slider", "from the one to the other") in found and len(found) == 4
    assert all(name for _, name in found)
    for width in (1280, 420):
        page.set_viewport_size({"width": width, "height": 900})
        assert cut_off(page, ROOT) == []
