"""The deck as a lecturer opens it: made by slides/build.py as `make slides` does, looked at in
Chromium without a kernel.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "slides").glob("[0-9][0-9]_*.py"))
WIDTH, HEIGHT, LEAST = 1280, 720, 20  # px
SHOW_ALL = (
    "document.querySelectorAll('.present .fragment').forEach((part) =>"
    " part.classList.add('visible'))"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """deck.html, with deck.pdf beside it."""
    out = tmp_path_factory.mktemp("deck") / "deck.html"
    done = subprocess.run(
        [sys.executable, ROOT / "slides" / "build.py", "--out", out], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def deck(made, browser):
    """The page, opened; what it asked for and complained of."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.asked, page.errors = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(made.as_uri())
    page.wait_for_function("window.Reveal?.isReady()")
    page.evaluate("document.fonts.ready")
    yield page
    page.close()


def go(deck, number):
    deck.evaluate(f"Reveal.slide({number})")
    deck.evaluate(SHOW_ALL)
    deck.wait_for_function(
        "[...document.querySelectorAll('.present .live')].every((live) => 'ready' in live.dataset)"
    )


def test_it_is_one_light_file_that_asks_nobody(made, deck):
    assert made.stat().st_size < 6e6
    for number in range(deck.evaluate("Reveal.getTotalSlides()")):
        go(deck, number)
    strangers = [url for url in deck.asked if not url.startswith(("data:", "blob:", made.as_uri()))]
    assert strangers == [] and deck.errors == []


def test_every_slide_of_the_sources_is_there_in_order(deck):
    titles = []
    for source in SOURCES:
        for cell in jupytext.read(source, fmt="py:percent").cells:
            if cell.cell_type == "markdown" and (heading := re.match("##? (.+)", cell.source)):
                titles.append(heading[1])
    assert deck.evaluate("Reveal.getTotalSlides()") == len(titles)
    shown = deck.evaluate(
        "[...document.querySelectorAll('.slides > section')].map((s) => s.querySelector('h1,"
        " h2').innerText)"
    )
    for title, text in zip(titles, shown, strict=True):
        if "$" not in title:
            assert mark_free(text) == mark_free(title)


def mark_free(text):
    return re.sub(r"[^\w]+", " ", text).strip()


def test_every_formula_is_set(deck):
    wanted = []  # formulas of each slide's own words, and whether cells add to them
    for source in SOURCES:
        for cell in jupytext.read(source, fmt="py:percent").cells:
            if cell.cell_type == "markdown":
                if re.match("##? ", cell.source):
                    wanted.append([0, False])
                text = re.sub(r"`[^`]*`", "", cell.source)
                wanted[-1][0] += len(re.findall(r"\$\$.+?\$\$|\$.+?\$", text, flags=re.S))
            elif wanted:
                wanted[-1][1] = True
    there = deck.evaluate(
        "[...document.querySelectorAll('.slides > section')].map((s) =>"
        " s.querySelectorAll('.katex').length)"
    )
    for number, ((least, more), count) in enumerate(zip(wanted, there, strict=True)):
        assert count >= least if more else count == least, (
            f"slide {number + 1}: {count} formulas of {least}"
        )
    assert sum(there) > 100
    assert deck.evaluate("document.querySelectorAll('.katex-error').length") == 0
    raw = deck.evaluate("""[...document.querySelectorAll('.slides > section')].map((section) => {
        const copy = section.cloneNode(true);
        copy.querySelectorAll('.katex, code').forEach((part) => part.remove());
        return copy.textContent; })""")
    assert [text for text in raw if re.search(r"\$|\\[a-z]+|@@|\*\*", text)] == []


# Text that leaves the slide, its block or meets the foot; text below 20 px. Formulas' indices may
# be smaller than their base.
FAULTS = """() => {
    const found = [], section = document.querySelector('section.present');
    const foot = section.querySelector('footer')?.getBoundingClientRect().top ?? 720;
    const look = (root) => {
        for (const part of root.querySelectorAll('*')) {
            if (part.shadowRoot) look(part.shadowRoot);
            if (part.closest('footer, aside, .katex-mathml, script, style, .spoken') || !part.checkVisibility({ visibilityProperty: true })) continue;
            const words = [...part.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim()).map((n) => n.textContent.trim()).join(' ');
            if (!words && !['IMG', 'svg', 'CANVAS'].includes(part.tagName)) continue;
            const box = part.getBoundingClientRect(), name = `${part.tagName} ${words.slice(0, 40)}`;
            if (!box.width || !box.height) continue;
            if (box.left < -1 || box.right > 1281 || box.top < -1 || box.bottom > foot + 4) found.push(`${name}: leaves the slide, ${[box.left, box.top, box.right, box.bottom].map(Math.round)}`);
            if (part.scrollWidth > part.clientWidth + 2 && getComputedStyle(part).display !== 'inline' && part.clientWidth && !part.closest('.katex, svg')) found.push(`${name}: wider than its place`);
            const zoom = part.currentCSSZoom ?? 1, at = part.ownerSVGElement ? part.getScreenCTM() : { a: 1, b: 0 }, scale = Math.hypot(at.a, at.b);
            const size = parseFloat(getComputedStyle(part).fontSize) * zoom * scale;
            if (words && size < 19.9 && !part.closest('.katex')) found.push(`${name}: ${size.toFixed(1)} px`);
        }
    };
    look(section.querySelector('.body'));
    const title = section.querySelector('h1, h2');
    if (title.scrollWidth > title.clientWidth + 1 || title.getBoundingClientRect().height > 90 && title.tagName === 'H2') found.push('the title is too long');
    for (const formula of section.querySelectorAll('.body .katex')) {
        const base = parseFloat(getComputedStyle(formula).fontSize);
        if (base < 22) found.push(`a formula of ${base} px`);
    }
    return found; }"""


def test_nothing_overflows_and_nothing_is_small(deck):
    faults = {}
    for number in range(deck.evaluate("Reveal.getTotalSlides()")):
        go(deck, number)
        if found := deck.evaluate(FAULTS):
            faults[number + 1] = found
    assert faults == {}


@pytest.mark.parametrize(
    "damage, fault",
    [
        ("body.style.fontSize = '12px'", "px"),
        ("body.style.transform = 'translateY(300px)'", "leaves the slide"),
        (
            (
                "body.innerHTML = '<p style=\"width: 200px; white-space: nowrap\">' + 'word"
                " '.repeat(20) + '</p>'"
            ),
            "wider than its place",
        ),
    ],
)
def test_a_planted_fault_is_found(made, browser, damage, fault):
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.goto(made.as_uri() + "#/1")
    page.wait_for_function("window.Reveal?.isReady()")
    page.evaluate(SHOW_ALL)
    page.evaluate(
        f"(() => {{ const body = document.querySelector('section.present .body'); {damage}; }})()"
    )
    assert any(fault in found for found in page.evaluate(FAULTS))
    page.close()


@pytest.mark.parametrize("room", ["light", "dark"])
def test_it_is_accessible(made, browser, room):
    """axe, WCAG 2 A and AA, over all slides at once as they are printed."""
    page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.goto(f"{made.as_uri()}?print-pdf&room={room}")
    page.wait_for_selector("html.ready-to-print", timeout=120_000)
    page.add_script_tag(path=str(ROOT / "slides" / "node_modules" / "axe-core" / "axe.min.js"))
    found = page.evaluate(
        "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes:"
        " ['violations'] })"
    )
    page.close()
    faults = [
        (v["id"], v["help"], [node["html"][:200] for node in v["nodes"][:3]])
        for v in found["violations"]
    ]
    assert faults == [] and len(found["passes"]) > 5


def test_a_walk_through_the_latent_space_needs_no_kernel_and_keeps_the_arrow_keys(deck):
    go(deck, slide_with(deck, ".dgm-latent"))
    at = deck.evaluate("Reveal.getIndices().h")
    pixels = (
        "document.querySelector('section.present"
        " .live').shadowRoot.querySelector('canvas.picture').toDataURL()"
    )
    before = deck.evaluate(pixels)
    pad = deck.locator("section.present .pad")
    pad.focus()
    for _ in range(5):
        pad.press("ArrowRight")
    deck.wait_for_function(f"({pixels}) !== {before!r}")
    assert deck.evaluate("Reveal.getIndices().h") == at
    pad.press("Escape")


def slide_with(deck, selector):
    for number in range(deck.evaluate("Reveal.getTotalSlides()")):
        if deck.evaluate(f"!!Reveal.getSlide({number}).querySelector('.live')"):
            go(deck, number)
            if deck.locator(f"section.present .live {selector}").count():
                return number
    raise AssertionError(f"no slide has a live {selector}")


def test_a_film_is_played_by_hand(deck):
    go(deck, slide_with(deck, ".film"))
    shown = (
        "[...document.querySelector('section.present .live').shadowRoot.querySelectorAll('.film"
        " img')].findIndex((image) => image.style.visibility === 'visible')"
    )
    assert deck.evaluate(shown) == 0
    deck.locator("section.present input[type=range]").press("ArrowRight")
    assert deck.evaluate(shown) == 1


def test_a_widgets_button_has_its_own_keys_and_the_presenter_the_rest(deck):
    """After a click on Play the arrows turn the slide; on a slider they move it, and PageDown turns."""
    number = slide_with(deck, ".film")
    at = "Reveal.getState().indexh"
    for part, key, turns in [
        ("button", "ArrowRight", True),
        ("button", " ", False),
        ("input[type=range]", "ArrowRight", False),
        ("input[type=range]", "PageDown", True),
    ]:
        go(deck, number)
        deck.locator(f"section.present {part}").first.press(key)
        assert (deck.evaluate(at) != number) == turns, (part, key)


def test_the_room_is_darkened_by_a_key_and_the_notes_are_there(deck):
    def ground():
        return deck.evaluate("getComputedStyle(document.body).backgroundColor")

    go(deck, 0)
    light = ground()
    deck.keyboard.press("l")
    dark = ground()
    deck.keyboard.press("l")
    assert light == ground() == "rgb(255, 255, 255)" and dark == "rgb(20, 24, 28)"
    notes = deck.evaluate(
        "[...document.querySelectorAll('.slides > section')].map((s) =>"
        " s.querySelector('aside.notes').textContent)"
    )
    assert all(len(text) > 40 for text in notes)


def test_the_pdf_has_a_page_for_each_slide_and_tags(made, deck):
    pdf = made.with_suffix(".pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) == deck.evaluate(
        "Reveal.getTotalSlides()"
    )
    assert b"/StructTreeRoot" in pdf and b"/Marked true" in pdf


def test_each_measured_number_leads_to_the_cell_that_measured_it(deck):
    quotes = deck.evaluate(
        """[...document.querySelectorAll('.slides a[href*="cell-id="]')].map((link) => {
        const quote = link.closest('.claim'), copy = quote?.cloneNode(true);
        copy?.querySelectorAll('.katex-html, a').forEach((part) => part.remove());
        return [copy?.textContent ?? '', link.getAttribute('href'), link.textContent]; })"""
    )
    assert len(quotes) > 50 and deck.evaluate(
        "[...document.querySelectorAll('.claim:not(.card)')].every((q) =>"
        " q.querySelector('a[href*=\"cell-id=\"]') || !/\\d\\.\\d/.test(q.innerText))"
    )
    rows = json.loads((ROOT / "dgmcourse" / "weights" / "claims.json").read_text(encoding="utf-8"))
    for text, link, name in quotes:
        path, cell = re.fullmatch(r"\.\./(notebooks/\w+\.ipynb)#cell-id=(\w+)", link).groups()
        number = int(re.search(r"C(\d+)", name)[1])
        cells = {cell.id: cell for cell in nbformat.read(ROOT / path, as_version=4).cells}
        assert f"claim-{number}" in cells[cell].metadata.tags, text
        measured = " ".join(
            row["measured"] for row in rows if row["claim"] == number and row["cell"] == cell
        )
        for value in re.findall(r"\d[\d,]*\.\d+", text):
            assert value in measured, f"{value} of {text!r} is not in {measured!r}"
