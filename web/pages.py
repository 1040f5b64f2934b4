"""The pages beside the notebooks: the texts in text/ and docs/, what was measured of the lecture's
claims, and the slides.
"""

import io
import json
import posixpath
import re
import tomllib
from html import escape
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path

import PIL.Image
import yaml

from web.notebook import FENCE, formulas, raw

ROOT = Path(__file__).resolve().parents[1]
TEXT = ROOT / "web" / "text"
DOCS = ROOT / "docs"
CLAIMS = ROOT / "dgmcourse" / "weights" / "claims.json"
CITATION = ROOT / "CITATION.cff"
WIDGET = (122, 306, 888, 716)  # in docs/traversal.png
INTERVAL = r"(?<=\d|%) \((?=[−+-]?[\d.,]+ ?%? to )([^)]*)\)"


def repository() -> str:
    """The address that `make badges` has written, or ""."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "")


def text(name: str, **parts: str) -> str:
    """A page of text/, each {{part}} filled in."""
    words = (TEXT / f"{name}.md").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], words)


def commands(repository: str) -> list[str]:
    """How to get the course and start it, for the front page."""
    if not repository:
        return [
            "`make lab`, in the course's folder. Whoever gave you this site knows where that is."
        ]
    return [f"{FENCE}sh", f"git clone {repository} dgmcourse", "cd dgmcourse", "make lab", FENCE]


def traversal() -> bytes:
    """The widget alone, of the README's picture of JupyterLab, as WebP."""
    packed = io.BytesIO()
    PIL.Image.open(DOCS / "traversal.png").crop(WIDGET).save(packed, "WEBP", quality=90)
    return packed.getvalue()


def picture() -> list[str]:
    """The front page's picture, which leads to the first notebook."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    alt = " ".join(re.search(r"!\[([^]]+)\]\(docs/traversal", readme)[1].split())
    left, top, right, bottom = WIDGET
    box = f"width={right - left} height={bottom - top}"
    image = f'<img src="_static/traversal.webp" {box} alt="{escape(alt)}">'
    return [raw(f'<figure><a href="notebooks/00_welcome.html">{image}</a></figure>')]


def without_dead_links(words: str, made: set[str]) -> str:
    """Markdown whose links to pages that are not made are words only."""
    link = r"\[([^\]]+)\]\(([\w/.]+\.md)(?:#[^)]*)?\)"
    return re.sub(link, lambda found: found[0] if found[2] in made else found[1], words)


def documents(notebooks: set[str], repository: str) -> dict[str, str]:
    """The pages of docs/*.md; what they link to is a page, else in the repository, else words."""
    names = {f"docs/{path.name}" for path in DOCS.glob("*.md")}

    def link(found) -> str:
        target, _, place = found[2].partition("#")
        path = posixpath.normpath(f"docs/{target}") if target else ""
        if not path or path in names or re.match(r"[a-z]+:", target):
            return found[0]
        name = path.removeprefix("notebooks/").removesuffix(".ipynb")
        if name in notebooks:
            cell = f"#cell-{place.removeprefix('cell-id=')}" if place else ""
            return f"[{found[1]}](../notebooks/{name}.md{cell})"
        return f"[{found[1]}]({repository}/blob/main/{path})" if repository else found[1]

    made = {}
    for name in sorted(names):
        words = (ROOT / name).read_text(encoding="utf-8")
        made[name] = re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", link, words)
    return made


def cite(repository: str) -> str:
    """How the course is cited, from CITATION.cff."""
    given = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    authors = " and ".join(author["name"] for author in given["authors"])
    year = str(given.get("date-released", ""))[:4]
    named = f"{authors}{f' ({year})' if year else ''}. <cite>{given['title']}</cite>"
    named = f"{named}, version {given['version']}. {repository}".strip()
    fields = {"author": f"{{{authors}}}", "title": given["title"], "version": given["version"]}
    fields |= {"year": year, "url": repository}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    bibtex = "\n".join([f"{FENCE}bibtex", "@software{dgmcourse,", *lines, "}", FENCE])
    credit = f"From <cite>{given['title']}</cite>, CC BY 4.0"
    quoted = [
        raw(f'<blockquote lang="en"><p>{words}</p></blockquote>') for words in (named, credit)
    ]
    made = text("cite", citation=quoted[0], bibtex=bibtex, credit=quoted[1])
    return re.sub(r"This version is not released.*\n\n", "", made) if year else made


def claims(notebooks: set[str]) -> str:
    """The table of the claims, with a link to the cell that measured each."""
    rows = json.loads(CLAIMS.read_text(encoding="utf-8"))
    rows = sorted(rows, key=lambda row: (row["claim"], row["notebook"]))
    body, seen = [], set()
    for row in rows:
        number, name = row["claim"], row["notebook"]
        anchor = "" if number in seen else f' id="claim-{number}"'
        seen.add(number)
        where = name.partition("_")[0]
        if name in notebooks:
            where = f'<a href="notebooks/{name}.html#cell-{row["cell"]}">{where}</a>'
        body.append(
            f"<tr{anchor}><th scope=row>C{number}</th><td>{words(row['lecture'])}</td>"
            f"<td>{words(row['measured'])}</td><td>{where}</td></tr>"
        )
    head = "".join(
        f"<th scope=col>{name}</th>"
        for name in ("Claim", "The lecture says", "Measured", "Notebook")
    )
    text = (
        "# Claims\n\nEach claim of the lecture that a notebook measured, in the notebook's own words."
        ' In brackets stands a two-sided 95 % interval; "not shown" means that it includes 0. The'
        " last column leads to the cell that measured it.\n\n"
    )
    search = (
        '<p class="find"><label for="find">Find in the claims</label>'
        '<input id="find" type="search" autocomplete="off"> <span id="found" role="status"></span></p>'
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return text + raw(f'{search}<div class="claims">{table}</div>') + "\n"


def words(text: str) -> str:
    """A claim's text, which is Markdown, as HTML: formulas marked, intervals in their own look."""
    html = formulas(escape(text, quote=False))
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    html = re.sub(INTERVAL, r' <span class="interval">(\1)</span>', html)
    return re.sub(r"(?<=\d) %", "&nbsp;%", html)


def slides(deck: str) -> str:
    """The page that leads to the deck, with its slides by their titles, of the deck's HTML."""
    found = re.findall(
        r'<section id="([^"]+)" class="(part|slide)"[^>]*>\s*<h[12]>(.*?)</h[12]>', deck, re.S
    )
    text = (
        "# Slides\n\n"
        + raw('<p><a class="present" href="deck.html">Present the slides</a></p>')
        + "\n\nArrow keys go on and back, `Escape` shows the slides in a row to leaf through, `S` opens"
        " the speaker's view with notes and clock, `L` turns the light on and off. Numbers on the slides come from"
        " the notebooks; each leads to the cell that measured it.\n\n"
    )
    for part, group in groupby(found, key=lambda slide: slide[1] == "part"):
        if part:
            text += "".join(f"\n## {plain(title)}\n" for *_, title in group)
            continue
        links = (
            f'<li><a href="deck.html#/{name}">{escape(plain(t))}</a></li>' for name, _, t in group
        )
        text += "\n" + raw(f"<ul>{''.join(links)}</ul>") + "\n"
    return text


class Words(HTMLParser):
    """The words of a piece of HTML; of a formula those that are read aloud, once."""

    def __init__(self, html: str):
        super().__init__()
        self.words, self.depth = "", 0  # depth: in what is left out
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        left_out = tag == "annotation" or dict(attributes).get("class") == "katex-html"
        self.depth += bool(self.depth or left_out)

    def handle_endtag(self, tag):
        self.depth -= bool(self.depth)

    def handle_data(self, data):
        self.words += "" if self.depth else data


def plain(html: str) -> str:
    return " ".join(Words(html).words.split())


def for_site(deck: str, notebooks: set[str]) -> str:
    """The deck, its links to notebooks turned into links to pages; without those that have none."""

    def link(found) -> str:
        place = f"#cell-{found[2]}" if found[2] else ""
        return f'href="notebooks/{found[1]}.html{place}"' if found[1] in notebooks else ""

    return re.sub(r'href="\.\./notebooks/(\w+)\.ipynb(?:#cell-id=(\w+))?"', link, deck)
