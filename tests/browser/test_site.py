"""The site as a newcomer reads it: one notebook's page and the pages beside it, made by web/build.py
as `make site` does, served from their folder. `make site ARGS=--check` asks the same of every page.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tools")]
from web import check  # noqa: E402

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


def built(out, *asked):
    build = [sys.executable, ROOT / "web" / "build.py", *asked, "--no-deck"]
    build += ["--reference", "dgmcourse.models.vae"]
    build += ["--out", out / "site", "--cache", out / "cache"]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stdout + done.stderr
    return out / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return built(tmp_path_factory.mktemp("site"), "07")


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


def test_what_a_student_would_type_leads_to_the_section(tmp_path, browser):
    assert len(check.WORDS) >= 30
    with check.served(built(tmp_path, "--no-widgets")) as address:
        reader = check.Reader(browser, address)
        assert check.found_by_search(reader, check.WORDS) == []
        assert len(check.found_by_search(reader, {"elbo": "04_gan"})) == 1
        page = reader.open("search.html?q=posterior+collapse", widgets=False)
        page.locator("#search-results a[href*='07_vae']").first.click()
        page.wait_for_function("document.querySelectorAll('.highlighted').length > 1")
        shown = "document.querySelector(location.hash).getBoundingClientRect().top"
        assert page.evaluate(f"Math.abs({shown}) < 200 && scrollY > 0")
        assert reader.close() == []


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
    cell = page.url.partition("#")[2]
    assert page.locator(f"[id='{cell}'] code, [id='{cell}'] pre").count()
