"""Make sheets for paper: of each notebook its exercises and an exam's questions, each without and
with answers (`make sheets`).

    python sheets/build.py              of all notebooks
    python sheets/build.py 07 08        of some
    python sheets/build.py --no-pdf     the pages alone

The exercises and the closing questions come from the notebook's source, the mistakes that stand
below a solution from the exercise's judge; the exam's questions from
exam/NN_topic.md, their answers from exam/answers/NN_topic.md, under the same headings. Four files a
notebook are written to sheets/made, each as a page and as a PDF: NN_topic-exercises,
-exercises-answers, -exam, -exam-answers.
"""

import argparse
import importlib.util
import re
import sys
from html import escape
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import jupytext
import mistune

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
from page import npm_installed, print_pdfs, typefaces, with_formulas, without_formulas  # noqa: E402

MARKDOWN = mistune.create_markdown(escape=False, plugins=["table"])
SOURCES = ROOT / "notebooks" / "source"
CHECK = r"from dgmcourse\.check import (\w+) as check"
SIGNS, SIGN = r"([*_`\[\]])", r"\\\1"  # of Markdown, which a message has for itself
QUESTION = r"^## (.+?) \((\d+) points?\)$"
LINES = 3  # to write on, for each point of an exam's question


def notebooks():
    """The module that makes the notebooks: it knows what is a solution."""
    path = ROOT / "notebooks" / "build.py"
    spec = importlib.util.spec_from_file_location("notebooks_build", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Item(NamedTuple):
    """A task: Markdown, with its heading in it, code that is asked for or the solution, lines to
    write on, and the answer."""

    text: str
    answer: str = ""
    code: str = ""
    lines: int = 0


# ---- what stands on the sheets


def exercises(source: Path, solved: bool) -> list[Item]:
    """A notebook's exercises, each with the text that leads to it, and its closing questions."""
    builder, items, before = notebooks(), [], []
    for cell in jupytext.read(source, fmt="py:percent").cells:
        if cell.cell_type == "markdown":
            before = before * (not cell.source.startswith("#")) + [cell.source]
            if cell.source.startswith("## Questions"):
                items += closing(cell.source)
        else:
            if "exercise" in cell.metadata.get("tags", []):
                full, blank = (builder.cut(cell.source, s, source.name) for s in (True, False))
                lines = max(len(full.splitlines()) - len(blank.splitlines()), 0) + 3
                code = full if solved else re.sub(r"\n *\.\.\.\s*$", "", blank)
                name = re.search(r"^def (\w+)", full, flags=re.M)[1]
                answer = mistakes(source, name) if solved else ""
                items.append(Item(plain("\n\n".join(before)), answer, code, lines))
            before = []
    return items


def mistakes(source: Path, name: str) -> str:
    """What usually goes wrong in an exercise: the mistakes that its judge tells by name."""
    module = re.search(CHECK, source.read_text(encoding="utf-8"))[1]
    slips = getattr(import_module(f"dgmcourse.check.{module}"), name).judge.slips
    said = dict.fromkeys(slip.message.rstrip(".") for slip in slips)
    lines = "\n".join(f"- {escape(re.sub(SIGNS, SIGN, one), quote=False)}" for one in said)
    return f"What usually goes wrong, in the words of the check:\n\n{lines}"


def closing(text: str) -> list[Item]:
    """A notebook's folded questions, with their answers."""
    folded = r"<details>\s*<summary>(.+?)</summary>(.+?)</details>"
    found = re.findall(folded, text, flags=re.S)
    return [
        Item(f"## Question {i}\n\n{plain(question)}", answer=plain(answer), lines=4)
        for i, (question, answer) in enumerate(found, 1)
    ]


def exam(name: str) -> list[Item]:
    """The questions of an exam, with their answers.

    Raises:
        SystemExit: if a heading has no points, or questions and answers have not the same ones.
    """
    asked, answered = (
        parts((HERE / folder / f"{name}.md").read_text(encoding="utf-8"))
        for folder in ("exam", "exam/answers")
    )
    items = []
    for heading, text in asked.items():
        found = re.fullmatch(QUESTION, heading)
        if not found:
            raise SystemExit(f"exam/{name}.md: {heading!r} has no points, as `## Title (3 points)`")
        answer = answered.pop(f"## {found[1]}", "")
        if not answer:
            raise SystemExit(f"exam/answers/{name}.md: no answer to {found[1]!r}")
        title = f"## {len(items) + 1}. {heading.removeprefix('## ')}"
        items.append(Item(f"{title}\n\n{text}", answer, lines=LINES * int(found[2])))
    if answered:
        raise SystemExit(f"exam/answers/{name}.md: nobody asked {', '.join(answered)}")
    return items


def parts(text: str) -> dict[str, str]:
    """What stands under each heading of level 2."""
    _, *rest = re.split(r"^(## .+)\n", text, flags=re.M)
    return {heading: body.strip() for heading, body in zip(rest[::2], rest[1::2], strict=True)}


def plain(text: str) -> str:
    """The text for paper: a link is its words."""
    return re.sub(r"\[([^\]]+)\]\((?:[^()\s]+)\)", r"\1", text)


# ---- from items to a page


def page(title: str, about: str, items: list[Item], solved: bool, npm: str) -> str:
    """The whole page, which needs nothing else."""
    formulas = []

    def html(text: str) -> str:
        return MARKDOWN(without_formulas(text, formulas))

    body = f"<header>{html(f'# {title}')}<p>{escape(about)}</p>"
    body += "" if solved else "<p class='name'>Name <span></span> Date <span></span></p>"
    body += "</header>"
    for item in items:
        body += f"<section>{html(item.text)}"
        body += f"<pre><code>{escape(item.code)}</code></pre>" if item.code else ""
        if not solved:
            body += '<div class="lines">' + "<p></p>" * item.lines + "</div>"
        elif item.answer:
            heading = "" if item.code else "<h3>Answer</h3>"
            body += f'<div class="answer">{heading}{html(item.answer)}</div>'
        body += "</section>"
    style = typefaces() + (HERE / "sheet.css").read_text(encoding="utf-8")
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{style}</style>'
    body = with_formulas(body, formulas, npm)
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body><main>{body}</main></body></html>'
    )


def sheets(source: Path, npm: str) -> dict[str, str]:
    """The pages of a notebook, by their names."""
    header, made = notebooks().header(source), {}
    number = source.stem.partition("_")[0]
    for solved, ending in ((False, ""), (True, "-answers")):
        made[f"{source.stem}-exercises{ending}"] = page(
            f"{number} {header['title']}: exercises" + ", with answers" * solved,
            f"Deep generative models. To be written on paper or in {source.stem}.ipynb, where a"
            " check says what is wrong.",
            exercises(source, solved),
            solved,
            npm,
        )
        if (HERE / "exam" / f"{source.stem}.md").exists():
            items = exam(source.stem)
            points = sum(
                int(n) for item in items for n in re.findall(r"\((\d+) points?\)", item.text)
            )
            made[f"{source.stem}-exam{ending}"] = page(
                f"{number} {header['title']}: questions" + ", with answers" * solved,
                f"Deep generative models. {len(items)} questions, {points} points. Logarithms are"
                " natural." + " (1) stands after what is worth a point." * solved,
                items,
                solved,
                npm,
            )
    return made


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("which", nargs="*", help="beginnings of notebooks' names; all if none")
    parser.add_argument("--no-pdf", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "made", help="the folder to write to")
    asked = parser.parse_args(arguments)
    sources = [
        p for p in sorted(SOURCES.glob("*.py")) if p.name.startswith(tuple(asked.which) or "")
    ]
    if not sources:
        raise SystemExit(f"no notebook's name begins with {' or '.join(asked.which)}")
    npm = npm_installed()
    asked.out.mkdir(parents=True, exist_ok=True)
    pages = {}
    for source in sources:
        for name, text in sheets(source, npm).items():
            path = asked.out.resolve() / f"{name}.html"
            path.write_text(text, encoding="utf-8")
            pages[path.as_uri()] = path.with_suffix(".pdf")
        print(f"- {source.stem}", flush=True)
    if not asked.no_pdf:
        try:
            print_pdfs(pages, "main", format="A4", prefer_css_page_size=True)
        except RuntimeError as error:
            print(f"The pages are made, the PDFs are not. {error}", file=sys.stderr)
            return 1
    print(f"{asked.out}: {len(pages)} sheets")
    return 0


if __name__ == "__main__":
    sys.exit(main())
