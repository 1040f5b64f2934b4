"""A notebook as a page: MyST Markdown with each code cell's outputs as they were stored.

Code that JupyterLab shows folded is folded here, too; so are what the reader is asked to predict, and
the solutions, which stand below their exercise, behind its hints.
"""

import hashlib
import importlib
import io
import re
from html import escape
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote

import nbformat
import PIL.Image
from page import webp

from notebooks.badges import badges
from web.live import is_widget

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
FENCE = "`" * 7  # longer than any in the text
PREDICT = "*Predict first, then run this cell.*"
ASKED = r"^#|\*\*(?:Predict|Break it)"  # where a section or a question begins
# A paragraph that begins something new: a question, a formula or what leads to it, a thing to do.
NEW = ASKED + r"|^\$\$|^[-|>]|:$|things to try|\b(?:Test|Try|Measure) it\b|"
NEW += r"^(?:Now|Call|Look|Test|Take|Draw|Walk|Move|Choose|Go|Try|Here|Next|Back|Solve)\b"
BAR = r"\|[█▏▎▍▌▋▊▉ ]+\|"  # of progress
NAME = r"\d\d[a-z]?_\w+"  # a notebook's
CHECK = r"^(?:\w+ = )?check\.(\w+)\((\w+)"


class Page:
    """One notebook's page: `markdown`, and `figures`, {file name: bytes}.

    Args:
        path: the student's copy; its solutions are looked for in solutions/ beside it.
        widgets: the file with the state, by a cell's id and which of the cell's widgets it is.
        others: the notebooks that have a page; a link to another one is left out.
        repository: the address of the repository, for links to its files; "" if there is none.
    """

    def __init__(
        self,
        path: Path,
        widgets: dict[tuple[str, int], str],
        others: set[str],
        repository: str = "",
    ):
        self.others, self.repository, self.figures = others, repository, {}
        self.cells = nbformat.read(path, 4).cells
        solved = nbformat.read(path.parent / "solutions" / path.name, 4).cells
        self.solved = {cell.id: cell for cell in solved}
        self.widgets, self.exercises = widgets, exercises(self.cells)
        self.answers, self.looked = answers(self.cells), False  # looked: since the last question
        first, *rest = (self.cell(cell) for cell in self.cells)
        title, _, text = first.partition("\n")
        self.parts = [title, raw(launch(path.name, repository)), text, *rest]

    @property
    def markdown(self) -> str:
        return "\n\n".join(filter(None, self.parts)) + "\n"

    def cell(self, cell) -> str:
        if cell.cell_type == "markdown":
            self.looked &= not re.search(ASKED, cell.source, re.M)
            told = self.answers.get(cell.id, "")
            return self.text(cell.source.removeprefix(told))
        if "colab" in cell.metadata.get("tags", []) or not cell.source.strip():
            return ""
        # Of one run, whose numbers the claims quote, too; a check says there what the reader has not
        # done here.
        open_still = any("Not done yet." in words(output, "html") for output in cell.outputs)
        outputs = [] if open_still else self.outputs(self.solved[cell.id])
        if cell.id in self.answers:
            told = "\n\n".join(filter(None, [*outputs, self.text(self.answers[cell.id])]))
            title = "Look further" if self.looked else "Predict first, then look"
            outputs = [folded("predict", title, told)] if told else []
            self.looked |= bool(told)
        code = f"{FENCE}python\n{cell.source}\n{FENCE}"
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            code = folded("code", f"Code of this cell, {lines(cell.source)}", code)
        if cell.id in self.exercises:
            code += "\n\n" + self.help(cell)
        inside = "\n\n".join(filter(None, [code, *outputs]))
        return f"{raw(f'<div class=cell id=cell-{cell.id}>')}\n\n{inside}\n\n{raw('</div>')}"

    def help(self, cell) -> str:
        """An exercise's hints, each within the one before, and then its solution."""
        solution = f"{FENCE}python\n{self.solved[cell.id].source}\n{FENCE}"
        parts = []
        for name, hints in self.exercises[cell.id]:
            inside = ""
            for i, hint in reversed(list(enumerate(hints, 1))):
                words = self.text(f"{raw(f'<p>{escape(hint)}</p>')}\n\n{inside}")
                inside = folded("hint", f"Hint {i} of {len(hints)} for {name}", words)
            parts.append(inside)
        parts.append(folded("solution", "Solution", solution))
        return "\n\n".join(parts)

    def outputs(self, cell) -> list[str]:
        """What a page can show of a cell's outputs."""
        shown, k = [], 0
        for output in cell.outputs:
            live = is_widget(output)
            shown.append(self.output(output, self.widgets.get((cell.id, k)) if live else None))
            k += live
        return list(filter(None, shown))

    def output(self, output, state: str | None) -> str:
        if output.output_type == "stream":
            if output.name == "stderr" or (said := of_the_course(output.text)) == "":
                return ""
            return raw(f"<pre>{escape(said)}</pre>")
        data, about = output.get("data", {}), output.get("metadata", {}).get("image/png", {})
        html = data.get("text/html", "")
        if "image/png" in data:
            html = self.figure(data["image/png"], about)
        elif "text/markdown" in data:
            return self.text(data["text/markdown"])
        elif not html:
            html = f"<pre>{escape(data.get('text/plain', ''))}</pre>"
        html = formulas(self.links(html))
        if state:
            html = f'<div class="live" data-widget="{state}">{html}</div>'
        elif is_widget(output):
            html += '<p class="needs">In the notebook this picture has controls.</p>'
        return raw(html)

    def figure(self, png: str, about: dict) -> str:
        packed = webp(png)
        file = f"{hashlib.sha256(packed).hexdigest()[:16]}.webp"
        self.figures[file] = packed
        width, height = size(packed)
        shown = about.get("width", width // 2)
        box = f"width={shown} height={round(shown * height / width)} style=--drawn:{shown}px"
        alt = escape(about["alt"])
        look = "class=faces " if re.search(r"\bfaces?\b", alt) else ""
        image = f'<img {look}{box} loading=lazy alt="{alt}" src="../_static/figures/{file}">'
        return f"<figure>{image}</figure>"

    # ---- text

    def text(self, source: str) -> str:
        """Markdown as MyST reads it: links lead to pages, a bar within a formula divides no table,
        and launch badges, pictures of another host, are left to the page's own buttons.
        """
        source = re.sub(r"^\[!\[.*\n?", "", source, flags=re.M)
        source = re.sub(
            rf"\[([^\]]*)\]\(({NAME})\.ipynb(?:#([^)]*(?:\([^)]*\))?[^)]*))?\)",
            lambda found: (
                f"[{found[1]}]({found[2]}.md{anchor(found[3])})"
                if found[2] in self.others
                else found[1]
            ),
            source,
        )
        source = re.sub(r"\[([^\]]+)\]\((?:\.\./([^)]+)|(solutions))\)", self.in_repository, source)
        rows = source.split("\n")
        return "\n".join(
            whole_formulas(row) if row.lstrip().startswith("|") else row for row in rows
        )

    def in_repository(self, found) -> str:
        text, path = found[1], found[2] or f"notebooks/{found[3]}"
        return f"[{text}]({self.repository}/blob/main/{path})" if self.repository else text

    def links(self, html: str) -> str:
        """HTML whose links between notebooks lead to pages."""
        return re.sub(
            rf"""\bhref=(["'])({NAME})\.ipynb(?:#([^"']*))?\1""",
            lambda found: (
                f'href="{found[2]}.html{anchor(found[3])}"' if found[2] in self.others else ""
            ),
            html,
        )


def words(output, kind: str) -> str:
    """What an output has as text/markdown or text/html, for instance."""
    return output.get("data", {}).get(f"text/{kind}", "")


def launch(notebook: str, repository: str) -> str:
    """The buttons below a page's title: the badges as links, if there is a repository, and a download."""
    buttons = re.findall(
        r"\[!\[(.*?)\]\(.*?\)\]\((.*?)\)", badges(repository, notebook) if repository else ""
    )
    links = "".join(f'<a href="{escape(address)}">{name}</a> ' for name, address in buttons)
    links += f'<a href="{notebook}" download>Download this notebook</a>'
    return f'<p class="get">{links} It has been run for this page: there is nothing to start.</p>'


def answers(cells) -> dict[str, str]:
    """What tells the answer to a prediction, by the id of the code cell that asks for one and by that
    of the text after it: the paragraphs there before one that begins something new.
    """
    found = {}
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if cell.cell_type == "code" and any(PREDICT in words(o, "markdown") for o in cell.outputs):
            found[cell.id] = ""
            if after and after.cell_type == "markdown":
                paragraphs = re.split(r"(?<=\n)\n+(?=\S)", after.source)
                told = takewhile(lambda text: not begins_something(text), paragraphs)
                found[cell.id] = found[after.id] = "\n".join(told)
    return found


def begins_something(paragraph: str) -> bool:
    sentences = re.split(r"(?<=[.!?])\s+", paragraph.strip())
    asks = any(sentences[i].endswith("?") for i in (0, -1))
    return asks or any(re.search(NEW, sentence) for sentence in sentences)


def exercises(cells) -> dict[str, list[tuple[str, list[str]]]]:
    """Of each exercise's cell, by its id, the names and the hints of what it asks for.

    A cell `check.NAME(ANSWER)` belongs to the last cell before it in which ANSWER is defined.
    """
    found, module, last = {}, None, {}
    for cell in cells:
        if cell.cell_type != "code":
            continue
        if imported := re.search(
            r"^from dgmcourse\.check import (\w+) as check$", cell.source, re.M
        ):
            module = importlib.import_module(f"dgmcourse.check.{imported[1]}")
        for name in re.findall(r"^(?:def|class) (\w+)|^(\w+) = ", cell.source, re.M):
            if "exercise" in cell.metadata.get("tags", []):
                last[name[0] or name[1]] = cell.id
        for name, answer in re.findall(CHECK, cell.source, re.M):
            hints = getattr(module, name).hints
            found.setdefault(last.get(answer, ""), []).append((name, hints))
    return {cell: hints for cell, hints in found.items() if cell}


def raw(html: str) -> str:
    return f"{FENCE}{{raw}} html\n{html}\n{FENCE}"


def folded(kind: str, summary: str, inside: str) -> str:
    opening = f'<details class="{kind}"><summary>{escape(summary)}</summary>'
    return f"{raw(opening)}\n\n{inside}\n\n{raw('</details>')}"


def lines(code: str) -> str:
    n = code.count("\n") + 1
    return f"{n} line{'s' * (n > 1)}"


def anchor(fragment: str | None) -> str:
    """What follows a page's name in a link, from Jupyter's way to name a heading or a cell."""
    if not fragment:
        return ""
    if fragment.startswith("cell-id="):
        return f"#cell-{fragment.removeprefix('cell-id=')}"
    return "#" + re.sub(r"[^\w-]", "", unquote(fragment).lower())


def whole_formulas(row: str) -> str:
    return re.sub(r"\$[^$]+\$", lambda found: found[0].replace("|", r"\vert "), row)


def of_the_course(text: str) -> str:
    """What was printed, without bars of progress and where this machine has the data from."""
    return re.sub(
        rf"^.*(?:\bfrom the (?:directory|user's cache)\b|{BAR}).*\n?", "", text, flags=re.M
    )


def formulas(html: str) -> str:
    """HTML whose $formulas$ are marked, to be set with those of the text."""
    return re.sub(r"\$([^$<>]+)\$", lambda found: marked(found[1], shown=False), html)


def marked(tex: str, shown: bool) -> str:
    """Where a formula is to be set, as HTML; `tex` is escaped."""
    return f'<span class="tex" data-shown="{int(shown)}">{tex}</span>'


def size(webp_bytes: bytes) -> tuple[int, int]:
    return PIL.Image.open(io.BytesIO(webp_bytes)).size
