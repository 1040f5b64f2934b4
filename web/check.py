"""What is asked of the site: that links lead somewhere, that it asks no other host for anything, that
no page complains, and that everybody can read it.

`make site ARGS=--check` asks it of all pages, tests/browser/test_site.py of a few.
"""

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tools"))
AXE = ROOT / "slides" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
ELSEWHERE = re.compile(r"^[a-z]+:|^//")
# Words that a student would type, and where one of the first results is to lead: a notebook, or its section.
WORDS = {
    "posterior collapse": "07_vae#break-it-posterior-collapse",
    "autoencoder": "07_vae",
    "kl annealing": "13a_text",
    "perplexity": "13a_text",
    "link prediction": "14_graphs",
    "collaborative filtering": "14_graphs",
    "drug": "15_drug_response",
    "music": "13b_music",
    "evidence lower bound": "07_vae",
    "elbo": "07_vae",
    "active units": "07_vae",
    "regulariser": "07_vae",
    "reparameterization": "08_reparameterization",
    "score function": "08_reparameterization",
    "gumbel": "08_reparameterization#what-cannot-be-reparameterized",
    "variance of gradient": "08_reparameterization",
    "normalizing flow": "09_normalizing_flows",
    "planar": "09_normalizing_flows#the-planar-flow-bends-the-band",
    "householder": "09_normalizing_flows#exercise-2-the-householder-reflection-5-minutes",
    "change of variables": "09_normalizing_flows#change-of-variables-in-one-dimension",
    "inverse autoregressive": "09_normalizing_flows",
    "jacobian": "09_normalizing_flows",
    "pixelcnn": "10_pixelvae",
    "masked convolution": "10_pixelvae#exercise-1-the-mask-5-minutes",
    "free bits": "10_pixelvae",
    "vampprior": "11_priors",
    "pseudo-inputs": "11_priors",
    "aggregated posterior": "11_priors",
    "mode collapse": "04_gan",
    "nash equilibrium": "04_gan",
    "discriminator": "04_gan",
    "non-saturating": "04_gan",
    "wasserstein": "05_wgan",
    "gradient penalty": "05_wgan",
    "lipschitz": "05_wgan",
    "dcgan": "06_more_gans#dcgan-the-same-game-other-networks",
    "frechet": "16_looking_back#exercise-1-the-frechet-distance-4-minutes",
    "factor analysis": "02_latent_variable_models",
    "mixture of gaussians": "02_latent_variable_models",
    "importance sampling": "03_density_network",
    "semi-supervised": "12_semi_supervised",
    "gibbs sampling": "01_motivation",
    "anomaly detection": "01_motivation",
    "inpainting": "01_motivation",
    "em algorithm": "02_latent_variable_models#exercise-3-one-em-step-8-minutes",
    "log-sum-exp": "03_density_network#why-the-exp-and-the-log",
    "diffusion": "16_looking_back",
    "self-test": "16_looking_back",
}
FIRST = 3


class Elements(HTMLParser):
    """A page's names, links, pictures, and what it loads."""

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links, self.loads, self.without_alt = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif tag in ("img", "script", "iframe", "source") and "src" in found:
            self.loads.append(found["src"])
        elif tag == "link" and "href" in found and found.get("rel") != "canonical":
            self.loads.append(found["href"])
        if tag == "img" and not (found.get("alt") or "").strip():
            self.without_alt.append(found.get("src", ""))
        if "data-widget" in found and found["data-widget"].endswith(".json"):
            self.loads.append("../_static/widgets/" + found["data-widget"])


def files(site: Path) -> list[str]:
    """What is wrong in the pages as they lie there, in words."""
    paths = sorted(site.rglob("*.html"))
    pages = {path.resolve(): Elements(path.read_text(encoding="utf-8")) for path in paths}
    faults = []
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        faults += [f"{where}: no alternative text for {image[:60]}" for image in page.without_alt]
        twice = {name for name in page.ids if page.ids.count(name) > 1}
        faults += [f"{where}: two elements have the id {name}" for name in sorted(twice)]
        for load in page.loads:
            if ELSEWHERE.match(load) and not load.startswith("data:"):
                faults.append(f"{where}: loads {load[:80]}")
        for link in [*page.links, *page.loads]:
            if ELSEWHERE.match(link):
                continue
            address, name = urldefrag(link)
            target = (
                (path.parent / unquote(address.partition("?")[0])).resolve() if address else path
            )
            target = target / "index.html" if target.is_dir() else target
            name = unquote(name).removeprefix("/")
            if not target.exists():
                faults.append(f"{where}: {link[:80]} leads nowhere")
            elif name and target in pages and name not in pages[target].ids:
                faults.append(f"{where}: {link[:80]} names no place of that page")
    return faults


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of a server of this folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


class Reader:
    """A page of a browser, and what went wrong in it: `faults`, in words."""

    def __init__(self, browser, address: str, scheme: str = "light", width: int = 1280):
        view = {"width": width, "height": 900}
        self.page = browser.new_page(viewport=view, color_scheme=scheme)
        self.address, self.scheme, self.width, self.faults = address, scheme, width, []
        self.page.on("console", lambda m: m.type == "error" and self.fault(m.text))
        self.page.on("pageerror", lambda error: self.fault(str(error)))
        self.page.on("request", lambda request: self.host(request.url))

    def fault(self, words: str) -> None:
        where = self.page.url.removeprefix(self.address)
        self.faults.append(f"{where}, {self.scheme}, {self.width} px: {words}")

    def host(self, url: str) -> None:
        if not url.startswith((self.address, "data:", "blob:", "about:")):
            self.fault(f"asks for {url}")

    def open(self, path: str, widgets: bool = True):
        """Open a page with its widgets started and all that is folded unfolded."""
        self.page.goto(f"{self.address}/{path}")
        if widgets:
            self.page.evaluate(
                "() => document.querySelectorAll('.live').forEach((p) => window.startNow?.(p))"
            )
            ready = "[...document.querySelectorAll('.live')].every((p) => 'ready' in p.dataset)"
            try:
                self.page.wait_for_function(ready, timeout=60_000)
            except Exception:
                self.fault("a widget does not start")
        return self.page

    def look(self, axe: bool = True) -> None:
        """Note what leaves the page at its side, and what axe has to say of it."""
        self.page.evaluate(
            "() => document.querySelectorAll('details').forEach((d) => { d.open = true; })"
        )
        wide = self.page.evaluate(
            "[document.documentElement, ...document.querySelectorAll('.content')]"  # on a small screen
            ".some((part) => part.scrollWidth > part.clientWidth + 1)"  # the theme lets this scroll
        )
        if wide:
            self.fault("is wider than the window")
        if axe:
            self.page.add_script_tag(path=str(AXE))
            found = self.page.evaluate(
                f"axe.run({{ exclude: [['.katex']] }}, {{ runOnly: {RULES}, resultTypes: ['violations'] }})"
            )
            for v in found["violations"]:
                nodes = [node["html"][:120] for node in v["nodes"][:2]]
                self.fault(f"axe: {v['id']}, {len(v['nodes'])} times: {nodes}")

    def search(self, words: str) -> list[str]:
        """The addresses that a search leads to, best first."""
        self.page.goto(f"{self.address}/search.html?q={words}")
        self.page.wait_for_function(
            "/finished|did not match/.test(document.querySelector('.search-summary')?.innerText)",
            timeout=30_000,
        )
        links = "[...document.querySelectorAll('#search-results li > a')].map((a) => a.href)"
        return self.page.evaluate(links)

    def close(self) -> list[str]:
        self.page.close()
        return self.faults


def found_by_search(reader: Reader, words: dict[str, str]) -> list[str]:
    """The words that do not lead to their place, in words."""
    faults = []
    for asked, place in words.items():
        page, mark, section = place.partition("#")
        found = [url.rpartition("/notebooks/")[2] for url in reader.search(asked)[:FIRST]]
        if not any(url.startswith(f"{page}.html{mark}{section}") for url in found):
            faults.append(f"searched for {asked!r}: {place} is not among {found}")
    return faults


def everything(site: Path) -> list[str]:
    """Everything that is wrong with all pages, in light and dark, in a wide and a narrow window."""
    import chromium
    from playwright.sync_api import sync_playwright

    faults = files(site)
    paths = [str(path.relative_to(site)) for path in sorted(site.rglob("*.html"))]
    paths = [path for path in paths if path != "deck.html"]  # has tests of its own
    with sync_playwright() as playwright, served(site) as address:
        browser = playwright.chromium.launch(executable_path=chromium.find(), args=chromium.FLAGS)
        for scheme, width in (("light", 1280), ("dark", 390)):
            reader = Reader(browser, address, scheme, width)
            for path in paths:
                print(f"  {scheme}, {width} px: {path}", flush=True)
                reader.open(path)
                reader.look()
            faults += reader.close()
        reader = Reader(browser, address)
        made = {path.removeprefix("notebooks/").removesuffix(".html") for path in paths}
        there = {word: place for word, place in WORDS.items() if place.partition("#")[0] in made}
        faults += found_by_search(reader, there)
        faults += reader.close()
        browser.close()
    return faults
