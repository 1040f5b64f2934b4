"""Make the deck from its sources, slides/NN_part.py: slides/deck.html and slides/deck.pdf
(`make slides`).

    python slides/build.py                 both
    python slides/build.py 02              of these parts only, to look at while writing
    python slides/build.py --minutes 60    for a lecture of 60 minutes: slides/deck-60.html and .pdf
    python slides/build.py --no-pdf

A source is a jupytext percent script; slides/README.md says how a slide is written. Its cells are
run, so that each figure and each number comes from the course's code and weights. The page holds
all it needs: reveal.js, the formulas (set by KaTeX while it is built), a typeface, and the widgets
with the numbers they show. It needs no network.
"""

import argparse
import base64
import json
import re
import sys
from html import escape
from pathlib import Path

import jupytext
import mistune
import nbformat

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.append(str(ROOT / "tools"))
from page import (  # noqa: E402
    LIVE,
    MODULES,
    STATE,
    VIEW,
    data_url,
    npm_installed,
    print_pdfs,
    run,
    typefaces,
    webp,
    with_formulas,
    without_formulas,
    without_kernel,
)

WIDTH, HEIGHT = 1280, 720
LECTURES = (45, 60, 90)  # minutes; the longest has all slides
HEADING = r"(##?) (.+)\n*"  # of a slide


# ---- from a source to its slides


def executed(source: Path) -> nbformat.NotebookNode:
    """The source as an executed notebook, with the widgets' state."""
    nb = jupytext.read(source, fmt="py:percent")
    run(nb, HERE)
    return nb


class Deck:
    """Slides, put together from cells: HTML with the formulas still to be set, and the state of the
    widgets. Those that only longer lectures have are left out.
    """

    def __init__(self, minutes: int = LECTURES[-1]):
        self.slides, self.formulas, self.widgets, self.sources = [], [], {}, {}
        self.notebook = ""  # the one that belongs to what is shown
        self.minutes, self.left_out = minutes, False

    def add(self, nb: nbformat.NotebookNode) -> None:
        """Add a part: a level 1 or 2 heading begins a slide, which the cells after it belong to."""
        for cell in nb.cells:
            tags = set(cell.metadata.get("tags", []))
            self.notebook = cell.metadata.get("notebook", self.notebook)
            if cell.cell_type == "markdown" and re.match(HEADING, cell.source):
                self.left_out = shortest_lecture(cell) > self.minutes
            if self.left_out:
                continue
            if cell.cell_type == "markdown" and "notes" in tags:
                self.slides[-1]["notes"] += cell.source + "\n\n"
            elif cell.cell_type == "markdown":
                self.text(cell.source, tags)
            elif cell.cell_type == "code":
                for output in cell.outputs:
                    self.output(output, tags, nb)

    def text(self, source: str, tags: set) -> None:
        if heading := re.match(HEADING, source):
            kind = "part" if heading[1] == "#" else "slide"
            slide = {"kind": kind, "title": heading[2], "notebook": self.notebook}
            self.slides.append(slide | {"blocks": [], "notes": ""})
            source = source[heading.end() :]
        if source.strip():
            self.block(self.html(source), tags)

    def block(self, html: str, tags: set) -> None:
        side = next((side for side in ("left", "right") if side in tags), "all")
        if "step" in tags:
            html = f'<div class="fragment">{html}</div>'
        self.slides[-1]["blocks"].append((side, html))

    def output(self, output, tags: set, nb) -> None:
        """Add one output of a cell: a drawing, a picture, a widget, or text, but not what was
        printed.
        """
        data, image = output.get("data", {}), output.get("metadata", {}).get("image/png", {})
        if output.output_type == "stream":
            if output.name == "stderr":
                raise SystemExit(f"{self.slides[-1]['title']}: {output.text}")
        elif VIEW in data:
            self.block(self.widget(data[VIEW]["model_id"], nb), tags)
        elif "image/svg+xml" in data:
            self.block(f"<figure>{data['image/svg+xml']}</figure>", tags)
        elif "image/png" in data:
            extra = 'class="print" ' * ("live" in tags)
            size = f'width="{image["width"]}" ' if "width" in image else ""
            alt, address = escape(image["alt"]), data_url(webp(data["image/png"]), "image/webp")
            self.block(f'<figure {extra}><img {size}alt="{alt}" src="{address}"></figure>', tags)
        elif "text/markdown" in data:
            self.block(self.html(data["text/markdown"]), tags)
        elif "text/html" in data:
            self.block(data["text/html"], tags)

    def widget(self, model: str, nb) -> str:
        """A place where deck.js starts an anywidget: the JavaScript of the notebook, without a
        kernel.
        """
        saved = nb.metadata["widgets"][STATE]["state"][model]
        source, style, state = without_kernel(saved)
        name = f"widget-{len(self.widgets)}"
        self.sources.setdefault(source, f"module-{len(self.sources)}")
        self.widgets[name] = {"module": self.sources[source], "css": style, "state": state}
        return f'<div class="live" data-widget="{name}"></div>'

    # ---- text

    def html(self, text: str) -> str:
        """Markdown to HTML. `* ` items come one by one, `- ` items at once; what follows a line
        `. . .` waits for a key.
        """
        parts = [self.markdown(part) for part in re.split(r"^\. \. \.$", text, flags=re.M)]
        return parts[0] + "".join(f'<div class="fragment">{part}</div>' for part in parts[1:])

    def markdown(self, text: str) -> str:
        return MARKDOWN(without_formulas(text, self.formulas))

    def page(self, npm: str) -> str:
        """The whole page."""
        names = set()
        sections = [section(slide, names, self) for slide in self.slides]
        body = with_formulas("\n".join(sections), self.formulas, npm)
        modules = {
            name: base64.b64encode(source.encode()).decode()
            for source, name in self.sources.items()
        }
        look = (HERE / "live.css").read_text()
        widgets = {"modules": modules, "widgets": self.widgets, "look": look}
        reveal = MODULES / "reveal.js"
        scripts = (
            reveal / "dist/reveal.js",
            reveal / "plugin/notes/notes.js",
            LIVE,
            HERE / "deck.js",
        )
        parts = {
            "style": styles(),
            "slides": body,
            "widgets": json.dumps(widgets).replace("</", "<\\/"),
            "script": "\n".join(map(script, scripts)),
        }
        template = (HERE / "deck.template.html").read_text(encoding="utf-8")
        return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def shortest_lecture(cell: nbformat.NotebookNode) -> int:
    """Minutes of the shortest lecture that has the slide which this cell begins."""
    minutes = cell.metadata.get("minutes", LECTURES[-1])
    if minutes not in LECTURES:
        which = ", ".join(map(str, LECTURES))
        raise SystemExit(
            f"{cell.source.partition(chr(10))[0]!r}: minutes={minutes}, not of {which}"
        )
    return minutes


class Steps(mistune.HTMLRenderer):
    """List items marked `*` wait for a key press each."""

    def render_token(self, token, state):
        if token["type"] == "list":
            for item in token["children"]:
                item["attrs"] = {"step": token["bullet"] == "*"}
        return super().render_token(token, state)

    def list_item(self, text, step=False):
        return f'<li class="fragment">{text}</li>\n' if step else f"<li>{text}</li>\n"


MARKDOWN = mistune.create_markdown(escape=False, renderer=Steps(escape=False), plugins=["table"])


def section(slide: dict, names: set, deck: Deck) -> str:
    """A slide as reveal.js wants it. Its name in the address is made of its title; blocks beside
    one another form columns.
    """
    title = re.sub(r"\$[^$]*\$", "", slide["title"]).lower()
    plain = re.sub(r"[^a-z0-9]+", "-", title).strip("-") or "slide"
    name = next(n for n in (plain, *(f"{plain}-{k}" for k in range(2, 99))) if n not in names)
    names.add(name)
    level = "h1" if slide["kind"] == "part" else "h2"
    body, columns = "", {"left": "", "right": ""}
    for side, html in [*slide["blocks"], ("all", "")]:
        if side != "all":
            columns[side] += html
            continue
        if any(columns.values()):
            both = "".join(f"<div>{column}</div>" for column in columns.values())
            body += f'<div class="columns">{both}</div>'
            columns = {"left": "", "right": ""}
        body += html
    seconds, notes = timing(slide)
    link = ""
    if notebook := slide["notebook"]:
        address = f"../notebooks/{notebook}.ipynb"
        link = f'<footer><a href="{address}">notebook {notebook.partition("_")[0]}</a></footer>'
    title = deck.markdown(slide["title"]).removeprefix("<p>").removesuffix("</p>\n")
    return (
        f'<section id="{name}" class="{slide["kind"]}" data-timing="{seconds}">'
        f"<{level}>{title}</{level}>\n"
        f'<div class="body">{body}</div>\n'
        f'{link}<aside class="notes">{deck.markdown(notes)}</aside></section>'
    )


def timing(slide: dict) -> tuple[int, str]:
    """Seconds and text of a slide's notes, which begin `45 s.`; a slide without is refused."""
    if not (found := re.match(r"(\d+) s\.\s*(?=\S)", slide["notes"])):
        example = "`45 s. Say that ...`"
        raise SystemExit(
            f"slide {slide['title']!r}: its notes begin with its time, for instance {example}"
        )
    return int(found[1]), f"**{found[1]} s.** " + slide["notes"][found.end() :]


# ---- what is put into the page


def styles() -> str:
    """All style sheets as one, with the fonts inside."""

    def text(path: Path) -> str:
        return path.read_text(encoding="utf-8")

    reveal = "".join(text(MODULES / f"reveal.js/dist/{name}.css") for name in ("reset", "reveal"))
    look = text(HERE / "deck.css")
    return "\n".join([reveal, typefaces(), look]).replace("</style", "")


def script(path: Path) -> str:
    """A script's text, safe inside <script>."""
    text = path.read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


# ---- tools it needs


def print_pdf(page: Path, pdf: Path) -> None:
    """The deck as a tagged PDF, a page a slide, all steps shown."""
    print_pdfs(
        {f"{page.as_uri()}?print-pdf": pdf},
        "html.ready-to-print",
        width=WIDTH,
        height=HEIGHT,
        prefer_css_page_size=True,
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument(
        "which", nargs="*", help="beginnings of parts' names, 02 for instance; all if none"
    )
    parser.add_argument("--no-pdf", action="store_true")
    parser.add_argument(
        "--minutes", type=int, choices=LECTURES, default=LECTURES[-1], help="of the lecture"
    )
    parser.add_argument("--out", type=Path, help="the page to write; the PDF lies beside it")
    asked = parser.parse_args(arguments)
    shorter = "" if asked.minutes == LECTURES[-1] else f"-{asked.minutes}"
    asked.out = asked.out or HERE / f"deck{shorter}.html"
    npm, deck = npm_installed(), Deck(asked.minutes)
    sources = [
        path
        for path in sorted(HERE.glob("[0-9][0-9]_*.py"))
        if path.name.startswith(tuple(asked.which) or "")
    ]
    for source in sources:
        print(f"- {source.name}", flush=True)
        deck.add(executed(source))
    page = deck.page(npm)
    asked.out.write_text(page, encoding="utf-8")
    minutes = sum(timing(slide)[0] for slide in deck.slides) / 60
    print(
        f"{asked.out}: {len(deck.slides)} slides, {minutes:.0f} minutes,"
        f" {len(page.encode()) / 1e6:.1f} MB"
    )
    if not asked.no_pdf:
        try:
            print_pdf(asked.out, asked.out.with_suffix(".pdf"))
        except RuntimeError as error:
            print(f"The page is made, the PDF is not. {error}", file=sys.stderr)
            return 1
        print(asked.out.with_suffix(".pdf"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
