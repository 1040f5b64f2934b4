"""The site as a newcomer reads it, with some of its widgets and of its reference, made by web/build.py
as `make site` does, served from its folder, in Chromium and in Firefox.
`make site ARGS=--check` asks the same of every page; test_deck.py presents the slides.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tools")]
import firefox  # noqa: E402

from web import check  # noqa: E402

# The cells whose widgets are tried.
WIDGETS = r"latent_traversal\(.vae|draw_gap,|gan_lab\(|Quiz\(QUESTIONS"
PAGES = [
    "index.html",
    "notebooks/07_vae.html",
    "claims.html",
    "teach.html",
    "limits.html",
    "de/cite.html",
    "reference/dgmcourse.models.vae.html",
]
LIVE = "document.querySelector('.live').shadowRoot"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, ROOT / "web" / "build.py", "--no-deck", "--widgets", WIDGETS]
    build += ["--reference", "dgmcourse.models.vae"]
    build += ["--out", out / "site", "--cache", out / "cache"]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stdout + done.stderr
    return out / "site"


@pytest.fixture(scope="module")
def address(site):
    with check.served(site) as address:
        yield address


@pytest.fixture
def reader(address, browser):
    reader = check.Reader(browser, address)
    yield reader
    assert reader.close() == []


def test_its_links_lead_somewhere_and_its_pictures_have_words(site):
    assert check.files(site) == []


@pytest.mark.parametrize(
    "damage, fault",
    [
        ('<a href="notebooks/07_vae.html#no-such-place">x</a>', "names no place"),
        ('<a href="nowhere.html">x</a>', "leads nowhere"),
        ('<img src="_static/icon.svg">', "no alternative text"),
        ('<script src="https://example.org/x.js"></script>', "loads https://example.org"),
        ('<p id="twice"></p><p id="twice"></p>', "two elements"),
    ],
)
def test_a_planted_fault_is_found(site, damage, fault):
    page = site / "planted.html"
    page.write_text(damage)
    assert [fault in words for words in check.files(site)] == [True]
    page.unlink()


@pytest.mark.parametrize("scheme, width", [("light", 1280), ("dark", 390)])
def test_every_kind_of_page_is_accessible_and_asks_nobody(address, browser, scheme, width):
    reader = check.Reader(browser, address, scheme, width)
    for path in PAGES:
        reader.open(path)
        reader.look()
    assert reader.close() == []


def test_what_only_the_theme_lets_scroll_is_too_wide(site, address, browser):
    page = site / "planted.html"
    page.write_text(
        '<!doctype html><html lang="en"><title>x</title><main class="content" style="overflow-x:'
        ' auto" tabindex="0"><h1 style="width: 2000px">x</h1></main>'
    )
    reader = check.Reader(browser, address, width=390)
    reader.open("planted.html")
    reader.look(axe=False)
    page.unlink()
    assert any("wider than the window" in fault for fault in reader.close())


def test_what_is_asked_of_a_page_can_fail(site, address, browser):
    page = site / "planted.html"
    page.write_text(
        "<!doctype html><html><title>x</title><div style='width: 2000px'>x</div>"
        "<script>fetch('http://localhost:9/').catch(() => 0); throw new Error('thrown')</script>"
    )
    reader = check.Reader(browser, address)
    reader.open("planted.html")
    reader.look()
    page.unlink()
    faults = "\n".join(reader.close())
    for fault in (
        "asks for http://localhost:9/",
        "thrown",
        "wider than the window",
        "axe: html-has-lang",
    ):
        assert fault in faults


def test_the_front_page_is_light(reader):
    loaded = []
    reader.page.on("response", lambda response: loaded.append(len(response.body())))
    reader.open("index.html").wait_for_load_state("networkidle")
    assert 10_000 < sum(loaded) < 1.5e6


def test_a_digit_written_on_the_paper_is_encoded_without_a_kernel(reader):
    page = reader.open("notebooks/07_vae.html")
    paper = page.locator(".live").first.locator(".paper")
    paper.scroll_into_view_if_needed()
    pixels = f"{LIVE}.querySelector('canvas.picture').toDataURL()"
    place = f"{LIVE}.querySelector('.where').textContent"
    before, at = page.evaluate(pixels), page.evaluate(place)
    box = paper.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8, steps=10)
    page.mouse.up()
    page.wait_for_function(f"({pixels}) !== {before!r} && {place} !== {at!r}")


def test_a_figure_with_sliders_is_moved_without_a_kernel(reader):
    page = reader.open("notebooks/07_vae.html")
    page.evaluate("document.querySelectorAll('details.predict').forEach((d) => { d.open = true; })")
    widget = page.locator(".live", has=page.locator(".film"))
    assert widget.locator(".film img").count() == 1  # the others come when it is touched
    first = widget.locator(".film img").get_attribute("src")
    slider = widget.get_by_role("slider", name="mean")
    before = slider.get_attribute("aria-valuetext")
    slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") != before
    seen = widget.locator(".film img:visible")
    expect(seen).not_to_have_attribute("src", first)
    assert (
        seen.count() == 1 and seen.get_attribute("alt") and widget.locator(".film img").count() > 20
    )
    assert seen.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 900


def test_the_gan_game_is_played(reader):
    page = reader.open("notebooks/04_gan.html")
    game = page.get_by_role("group", name="GAN laboratory")
    numbers, before = game.locator(".numbers"), game.locator(".numbers").inner_text()
    game.get_by_role("button", name="one round").click()
    expect(numbers).not_to_have_text(before)
    game.get_by_role("button", name="play", exact=True).click()
    page.wait_for_timeout(500)
    game.get_by_role("button", name="pause", exact=True).click()
    assert numbers.inner_text() != before


def test_the_self_test_is_answered(reader):
    page = reader.open("notebooks/16_looking_back.html")
    test = page.get_by_role("region", name="self-test of 20 questions")
    test.get_by_role("radio").first.check()
    test.get_by_role("button", name="Check").click()
    expect(test.locator(".said")).to_contain_text(re.compile(r"^(Right|Not so)\. "))
    expect(test.locator(".count")).to_contain_text("of 1 answered")


def test_it_is_dark_with_its_figures_and_widgets_and_light_again_by_a_button(address, browser):
    reader = check.Reader(browser, address, "dark")
    page = reader.open("notebooks/07_vae.html")
    tells = f"{LIVE}.lastChild.dataset.jpThemeLight"
    image = "getComputedStyle(document.querySelector('figure img')).filter"
    assert page.evaluate(tells) == "false" and "invert" in page.evaluate(image)
    button = page.locator("button.theme-toggle:visible").first
    for _ in range(3):  # as the system has it, light, dark
        button.click()
        if page.evaluate("document.body.dataset.theme") == "light":
            break
    page.wait_for_function(f"{tells} === 'true'")
    assert page.evaluate(image) == "none"
    assert reader.close() == []


def test_hints_come_one_at_a_time_and_the_solution_on_request(reader):
    page = reader.open("notebooks/07_vae.html", widgets=False)
    hints = page.locator("details.hint > summary", has_text="for kl")
    solution = page.locator("details.solution").first
    assert [hints.nth(i).is_visible() for i in range(3)] == [True, False, False]
    hints.nth(0).press("Enter")
    assert [hints.nth(i).is_visible() for i in range(3)] == [True, True, False]
    assert not solution.locator("pre").is_visible()
    solution.locator("summary").press("Enter")
    assert "log_var" in solution.locator("pre").inner_text()


def test_what_is_to_be_predicted_is_folded(reader):
    page = reader.open("notebooks/07_vae.html", widgets=False)
    assert "Predict first, then run this cell" not in page.locator("article").inner_text()
    folded = page.locator("details.predict").first
    assert not folded.locator("figure, p").first.is_visible()
    folded.locator("> summary").click()
    assert folded.locator("figure, p").first.is_visible()


def test_what_goes_on_at_the_right_fades_there_until_it_is_scrolled(reader):
    page = reader.open("notebooks/07_vae.html", widgets=False)
    page.set_viewport_size({"width": 390, "height": 900})
    for kind in ("figure", ".katex-display", "pre"):
        wide = page.locator(f"article {kind}.more").filter(visible=True).first
        assert wide.get_attribute("tabindex") == "0"
        wide.evaluate("(part) => { part.id = 'wide'; part.scrollLeft = 9999; }")
        page.wait_for_function("!document.getElementById('wide').classList.contains('more')")
        page.locator("#wide").evaluate("(part) => part.removeAttribute('id')")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function("!document.querySelector('figure.more')")


def test_a_printed_page_has_pictures_in_the_widgets_places_and_no_hints(reader):
    page = reader.open("notebooks/07_vae.html")
    widget = page.locator(".live").first
    assert (
        widget.locator(".paper").is_visible()
        and not page.locator(".live > figure img").first.is_visible()
    )
    page.emulate_media(media="print")
    assert (
        not widget.locator(".paper").is_visible()
        and page.locator(".live > figure img").first.is_visible()
    )
    assert (
        page.locator("details.hint, details.solution, details.code").filter(visible=True).count()
        == 0
    )
    furniture = page.locator(".skip-to-content, .sidebar-drawer, .toc-drawer")
    assert furniture.count() == 3 and furniture.filter(visible=True).count() == 0
    page.set_viewport_size({"width": 700, "height": 1000})  # an A4 page
    wide = """[...document.querySelectorAll('article :is(table, pre, .katex-display)')]
        .filter((part) => part.scrollWidth > part.clientWidth + 1).map((part) => part.innerText)"""
    assert page.evaluate(wide) == []


def test_what_a_student_would_type_leads_to_the_section(reader):
    assert len(check.WORDS) >= 30 and check.found_by_search(reader, check.WORDS) == []
    assert len(check.found_by_search(reader, {"elbo": "04_gan"})) == 1
    page = reader.open("search.html?q=posterior+collapse", widgets=False)
    result = page.locator("#search-results li", has_text="Break it: posterior collapse").first
    expect(result).to_contain_text("−βKL")  # as it is read, and not its TeX, too
    assert r"\beta" not in result.inner_text()
    result.locator("> a").click()
    page.wait_for_function("document.querySelectorAll('.highlighted').length > 1")
    shown = "document.querySelector(location.hash).getBoundingClientRect().top"
    page.wait_for_function(f"Math.abs({shown}) < 200 && scrollY > 0")


def test_a_page_in_german_says_so_and_leads_back(reader, site):
    page = reader.open("cite.html", widgets=False)
    page.get_by_role("link", name="Deutsch").click()
    assert page.url.endswith("/de/cite.html")
    assert page.evaluate("document.documentElement.lang") == "de"
    assert page.locator("h1").inner_text().startswith("Zitieren")
    text = page.locator("article").inner_html()
    assert "untranslated" not in text and "If the course" not in text
    page.get_by_role("link", name="Behauptungen").click()
    assert page.url.endswith("/claims.html") and "/de/" not in page.url
    page.wait_for_load_state()
    page.go_back()
    page.get_by_role("link", name="English").click()
    assert page.evaluate("document.documentElement.lang") == "en"
    names = {path.relative_to(site / "de").as_posix() for path in (site / "de").rglob("*.html")}
    assert names == {"cite.html", "index.html"}


def test_the_claims_are_found_by_word(reader):
    page = reader.open("claims.html")
    rows = page.locator(".claims tbody tr")
    page.get_by_label("Find in the claims").fill("unlabelled classifier")
    shown = rows.filter(visible=True).all_inner_texts()
    assert 0 < len(shown) < rows.count() and all("unlabelled" in text for text in shown)
    page.get_by_label("Find in the claims").fill("")
    link = page.locator(".claims a[href*='07_vae']").first
    link.click()
    page.wait_for_load_state()
    cell = page.url.partition("#")[2]
    expect(page.locator(f"[id='{cell}'] :is(code, pre)").first).to_be_attached()


# ---- the same in Firefox


@pytest.fixture(scope="module")
def fox():
    if firefox.find() is None:
        pytest.skip("no Firefox on the PATH (Debian: apt install firefox-esr)")
    with firefox.started() as port:
        yield port


ARROW_RIGHT = "\ue014"  # as WebDriver names the key


def test_firefox_reads_writes_searches_and_asks_nobody(address, fox):
    tab = firefox.Tab(fox)
    tab.open(f"{address}/notebooks/07_vae.html")
    tab.value("document.querySelectorAll('.live').forEach((place) => startNow(place))")
    tab.wait("[...document.querySelectorAll('.live')].every((place) => 'ready' in place.dataset)")
    paper = f"{LIVE}.querySelector('.paper')"
    tab.value(f"{paper}.scrollIntoView({{ block: 'center' }})")
    box = f"(({{ left, top, width, height }}) => JSON.stringify([left, top, width, height]))({paper}.getBoundingClientRect())"
    left, top, width, height = json.loads(tab.value(box))
    place = f"{LIVE}.querySelector('.where').textContent"
    before = tab.value(place)
    tab.drag(*((left + width / 2, top + height * y) for y in (0.2, 0.4, 0.6, 0.8)))
    tab.wait(f"{place} !== {json.dumps(before)}")

    tab.value("document.querySelectorAll('details.predict').forEach((d) => { d.open = true; })")
    film = "[...document.querySelectorAll('.live')].map((p) => p.shadowRoot).find((p) => p.querySelector('.film'))"
    shown = f"[...{film}.querySelectorAll('.film img')].find((i) => i.style.visibility === 'visible').src"
    before = tab.value(shown)
    tab.value(f"{film}.querySelector('input').focus()")
    tab.press(ARROW_RIGHT)
    tab.wait(f"{shown} !== {json.dumps(before)}")

    hint = "document.querySelector('details.hint')"
    assert tab.value(f"{hint}.open") is False
    tab.value(f"{hint}.querySelector('summary').click()")
    assert tab.value(f"{hint}.open") is True

    tab.open(f"{address}/search.html?q=posterior collapse")
    tab.wait("/finished/.test(document.querySelector('.search-summary')?.innerText)")
    assert "07_vae" in tab.value("document.querySelector('#search-results li > a').href")
    tab.open(f"{address}/notebooks/04_gan.html")
    tab.value("document.querySelectorAll('.live').forEach((place) => startNow(place))")
    tab.wait(f"{LIVE}?.querySelector('.numbers')")
    numbers = f"{LIVE}.querySelector('.numbers').textContent"
    before = tab.value(numbers)
    tab.value(f"{LIVE}.querySelector('button.play').click()")
    tab.wait(f"{numbers} !== {json.dumps(before)}")
    assert tab.faults == []
    assert [url for url in tab.asked if not url.startswith((address, "data:", "blob:"))] == []
