"""Search that leads to a section: how much each section of the notebooks says of each word, which
scorer.js asks beside Sphinx's own index, where a word counts the same wherever it stands.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

HEADING, KEYWORD = 5, 3  # a word there counts as often as this in the text
LEAST = 2  # what a section says once says little of it
LEFT_OUT = ("tex", "headerlink", "code")
# What students call it and the notebook does not, or hardly.
ALSO = {
    "01_motivation": "anomaly outlier novelty detection out-of-distribution inpainting denoising",
    "02_latent_variable_models": "principal components PCA",
    "03_density_network": "importance sampling Monte Carlo",
    "04_gan": "minimax Nash equilibrium",
    "05_wgan": "gradient penalty WGAN-GP earth mover",
    "06_more_gans": "conditional BiGAN ACGAN FID",
    "07_vae": "autoencoder variational inference ELBO loss reconstruction",
    "08_reparameterization": "reparametrization reparametrisation pathwise REINFORCE",
    "09_normalizing_flows": "invertible RealNVP",
    "10_pixelvae": "PixelRNN",
    "12_semi_supervised": "few labels",
    "14_graphs": "GNN GCN collaborative filtering recommender matrix completion",
    "16_looking_back": "DDPM FID quiz",
}
AT_THE_END = ("Sources", "Questions")  # sections that nobody is led to


class Sections(HTMLParser):
    """A page's sections, [anchor, title, how often it says each word]; what lies in a section of a
    section counts there only, folded code and formulas nowhere.
    """

    def __init__(self, html: str):
        super().__init__()
        self.found, self.within, self.heading, self.skipped = [], [], False, 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if self.skipped or given.get("class") in LEFT_OUT or tag in ("script", "style"):
            self.skipped += tag not in ("img", "br", "input")
        elif tag == "meta" and given.get("name") == "keywords":
            self.keywords = given["content"]
        elif tag == "section":
            self.found.append([given.get("id", ""), "", Counter()])
            self.within.append(self.found[-1])
        self.heading |= re.fullmatch("h[1-6]", tag) is not None

    def handle_endtag(self, tag):
        if self.skipped:
            self.skipped -= 1
        elif tag == "section":
            self.within.pop()
        elif re.fullmatch("h[1-6]", tag):
            self.heading = False

    def handle_data(self, data):
        if self.skipped or not self.within:
            return
        section = self.within[-1]
        if self.heading:
            section[1] += data
        for word in re.findall(r"\w+", data.lower()):
            section[2][word] += HEADING if self.heading else 1


def keywords(row: dict) -> str:
    """The words by which a notebook describes itself, one of the rows of notebooks.json."""
    said = " ".join(row.get(name, "") for name in ("title", "question", "about", "slides"))
    said += " " + ALSO.get(row["notebook"], "")
    return ", ".join(sorted(set(re.findall(r"\w{3,}", said.lower()))))


def index(site: Path, stem: Callable[[str], str]) -> None:
    """Put the notebooks' sections before Sphinx's index, as `sections`, {"of": {page: [first, end]},
    "places": [[anchor, title, length, 1 on average]], "words": {stem: {place: how often}}};
    `stem` is to be the search's own.
    """
    of, places, words = {}, [], defaultdict(Counter)
    for path in sorted((site / "notebooks").glob("*.html")):
        page = Sections(path.read_text(encoding="utf-8"))
        first = len(places)
        if page.found:
            for word in re.findall(r"\w+", getattr(page, "keywords", "")):
                page.found[0][2][word] += KEYWORD
        for anchor, title, said in page.found:
            title = " ".join(title.split())
            for word, n in said.items() if title not in AT_THE_END else ():
                words[stem(word)][len(places)] += n
            places.append([anchor, title, said.total()])
        of[f"notebooks/{path.stem}"] = [first, len(places)]
    average = sum(length for *_, length in places) / max(1, len(places))
    places = [[anchor, title, round(length / average, 2)] for anchor, title, length in places]
    told = {
        word: kept
        for word, counts in sorted(words.items())
        if (kept := {place: n for place, n in counts.items() if n >= LEAST}) and not word.isdigit()
    }
    made = json.dumps({"of": of, "places": places, "words": told}, separators=(",", ":"))
    path = site / "searchindex.js"
    theirs = path.read_text(encoding="utf-8")
    path.write_text(f"window.sections={made};\n{theirs}", encoding="utf-8")
