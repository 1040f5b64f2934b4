"""Sheets as a lecturer prints them: made by sheets/build.py as `make sheets` does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("exercises", "exercises-answers", "exam", "exam-answers")
NAMES = ("07_vae", "09_normalizing_flows")
PAPER = {"width": 658, "height": 980}  # px of 174 x 259 mm, what is left of A4 within the margins
WIDE = """[...document.querySelectorAll('main *')].filter((part) => !part.closest('.katex-mathml')
    && part.getBoundingClientRect().right > document.querySelector('main').getBoundingClientRect().right + 2)
    .map((part) => part.textContent.slice(0, 60))"""
RAW = r"""(() => { const copy = document.querySelector('main').cloneNode(true);
    copy.querySelectorAll('.katex, code').forEach((part) => part.remove());
    return copy.textContent.match(/\$|\\[a-z]+|@@|\*\*|<details/g); })()"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("sheets")
    command = [sys.executable, ROOT / "sheets" / "build.py", "07", "09", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.parametrize("name", [f"{name}-{kind}" for name in NAMES for kind in KINDS])
def test_a_sheet_fits_its_paper_and_its_formulas_are_set(made, browser, name):
    page = browser.new_page(viewport=PAPER)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((made / f"{name}.html").as_uri())
    page.evaluate("document.fonts.ready")
    page.emulate_media(media="print")
    wide, raw = page.evaluate(WIDE), page.evaluate(RAW)
    formulas = page.evaluate("document.querySelectorAll('.katex').length")
    page.close()
    assert (wide, raw) == ([], None) and formulas > 5
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    pdf = (made / f"{name}.pdf").read_bytes()
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) <= 5
    assert b"/StructTreeRoot" in pdf and b"/Marked true" in pdf


def test_a_line_that_is_too_long_is_found(made, browser):
    page = browser.new_page(viewport=PAPER)
    page.goto((made / "07_vae-exam.html").as_uri())
    page.evaluate("document.querySelector('section p').style.width = '900px'")
    found = page.evaluate(WIDE)
    page.close()
    assert found
