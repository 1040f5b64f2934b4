"""Search that leads to a section: how much each section of the notebooks says of each word, which
scorer.js asks beside Sphinx's own index, where a word counts the same wherever it stands.
"""

import json
import re
from collections import Counter, defaultdict
from html.parser import HTMLParser
from pathlib import Path

HEADING, KEYWORD = 5, 3  # a word there counts as often as this in the text
LEAST = 2  # what a section says once says little of it


class Sections(HTMLParser):
    """A page's sections, [anchor, title, how often it says each word]; what lies in a section of a
    section counts there only.
    """

    def __init__(self, html: str):
        super().__init__()
        self.found, self.within, self.heading, self.skipped = [], [], False, 0
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if self.skipped or given.get("class") in ("tex", "headerlink") or tag in ("script", "style"):
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
    return ", ".join(sorted(set(re.findall(r"\w{3,}", said.lower()))))


def index(site: Path) -> None:
    """Put the notebooks' sections before Sphinx's index, as `sections`, {"of": {page: [first, end]},
    "places": [[anchor, title]], "words": {stem: {place: how often}}}.
    """
    from snowballstemmer import stemmer

    stem = stemmer("english").stemWord
    of, places, words = {}, [], defaultdict(Counter)
    for path in sorted((site / "notebooks").glob("*.html")):
        page = Sections(path.read_text(encoding="utf-8"))
        first = len(places)
        if page.found:
            for word in re.findall(r"\w+", getattr(page, "keywords", "")):
                page.found[0][2][word] += KEYWORD
        for anchor, title, said in page.found:
            for word, n in said.items():
                words[stem(word)][len(places)] += n
            places.append([anchor, " ".join(title.split())])
        of[f"notebooks/{path.stem}"] = [first, len(places)]
    told = {
        word: kept
        for word, counts in sorted(words.items())
        if (kept := {place: n for place, n in counts.items() if n >= LEAST}) and not word.isdigit()
    }
    made = json.dumps({"of": of, "places": places, "words": told}, separators=(",", ":"))
    path = site / "searchindex.js"
    theirs = path.read_text(encoding="utf-8")
    path.write_text(f"window.sections={made};\n{theirs}", encoding="utf-8")
