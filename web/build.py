"""Make the site, a folder that any web server serves, from the executed notebooks (`make site`).

    python web/build.py                 site/
    python web/build.py 07 08           with these notebooks only, to look at while writing
    python web/build.py --check         then look at every page: links, requests, errors, axe
    python web/build.py --catalogues    the sentences of all pages for translators, and no site
    python web/build.py --all           with every widget that can be, for publishing

No notebook is run as a whole: the outputs are in them. Formulas are set by KaTeX while it is built, fonts
and search lie inside, so that nothing is fetched while it is read. web/README.md says what is made of
what.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path += [str(ROOT), str(ROOT / "tools")]
from page import FONTS, LIVE, MODULES, installed, npm_installed, set_formulas  # noqa: E402

from web import check, languages, pages, reference, search  # noqa: E402
from web.live import Widgets  # noqa: E402
from web.notebook import NOTEBOOKS, Page, raw  # noqa: E402

OTHERS = {  # the pages beside the notebooks
    "claims": "[Claims](claims.md): what was measured of each, with its interval, to search in",
    "slides": "[Slides](slides.md): the lecture, to present in the browser",
    "teach": "[Teach with this](teach.md): one lecture, one day or six weeks, and what to assign",
    "cite": "[Cite this](cite.md): for a paper, and when you use a part",
    "limits": "[Limits](limits.md): what was not tried, and what a page can't do",
    "reference/index": "[Reference](reference/index.md): the package, module by module",
}
PACKAGES = HERE / "packages"
MADE_FROM = {".py", ".js", ".css", ".json", ".mjs", ".safetensors"}  # the deck
LISTED = ROOT / "dgmcourse" / "weights" / "notebooks.json"


def packages_installed() -> None:
    """Sphinx and what it needs, in a folder of their own: the course itself does without."""
    made_from = (HERE / "requirements.txt").read_text() + sys.version
    done = PACKAGES / ".made-from"
    if not done.exists() or done.read_text() != made_from:
        print("- Sphinx, its theme and its reader of Markdown", flush=True)
        own = PACKAGES.with_name(f"packages-{os.getpid()}")
        install = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet"]
        install += ["--python", sys.executable, "--target", own, "--require-hashes"]
        try:
            installed([*install, "-r", HERE / "requirements.txt"])
        except SystemExit:
            shutil.rmtree(own, ignore_errors=True)
            raise
        (own / done.name).write_text(made_from)
        shutil.rmtree(PACKAGES, ignore_errors=True)
        try:
            own.rename(PACKAGES)
        except OSError:  # another process was as quick
            shutil.rmtree(own)
    sys.path.insert(0, str(PACKAGES))


def write(path: Path, content: str | bytes) -> None:
    """Write a file, unless it has this content: Sphinx reads again what is new."""
    content = content.encode() if isinstance(content, str) else content
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# ---- what Sphinx reads


def chosen(which: list[str]) -> list[Path]:
    """The notebooks whose names begin so; all, for none."""
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]*_*.ipynb"))
    return [path for path in paths if path.stem.startswith(tuple(which) or "")]


def sources(source: Path, paths: list[Path], deck: str, modules: str, widgets: Widgets) -> None:
    """Write all pages, as Markdown, and what they show."""
    shutil.rmtree(source / "static", ignore_errors=True)
    static, names, made = source / "static", {path.stem for path in paths}, {}
    spoken, repository = languages.translated(), pages.repository()
    for path in paths:
        page = Page(path, widgets.named.get(solved(path), {}), names, repository)
        made[f"notebooks/{path.stem}.md"] = page.markdown
        for name, content in page.figures.items():
            write(static / "figures" / name, content)
    for name, content in widgets.files.items():
        write(static / "widgets" / name, content)
    made["claims.md"] = pages.claims(names)
    if deck:
        made["slides.md"] = pages.slides(deck)
    made |= {f"reference/{name}.md": text for name, text in reference.pages(modules).items()}
    made |= pages.documents(names, repository)
    made |= {"cite.md": pages.cite(repository)}
    made |= {f"{name}.md": pages.text(name) for name in ("teach", "limits")}
    listed = json.loads(LISTED.read_text(encoding="utf-8"))
    about = {f"notebooks/{row['notebook']}.md": front_matter(row) for row in listed}
    made["index.md"] = front_page(
        [row for row in listed if row["notebook"] in names], made, repository
    )
    write(static / "traversal.webp", pages.traversal())
    for name in ("index.md", "teach.md", "cite.md", "limits.md"):
        made[name] = pages.without_dead_links(made[name], made)
    for name, text in made.items():
        title, line, rest = text.partition("\n")
        if links := languages.switch(name.removesuffix(".md"), "en", spoken):
            text = f"{title}\n\n{raw(links)}\n{rest}"
        write(source / name, about.get(name, "") + text)
    for page in source.rglob("*.md"):
        if str(page.relative_to(source)) not in made:
            page.unlink()
    for path in (LIVE, HERE / "site.css", HERE / "site.js"):
        write(static / path.name, path.read_bytes())
    katex(static / "katex")


def solved(path: Path) -> Path:
    """A notebook with its solutions."""
    return path.parent / "solutions" / path.name


def front_page(listed: list[dict], made: dict[str, str], repository: str) -> str:
    """The front page, text/index.md, with the table of the notebooks and the contents of the site."""
    table, contents = [], []
    for part, group in groupby(listed, key=lambda row: row.get("part", "Start")):
        rows = list(group)
        entries = "\n".join(f"{label(row)} <notebooks/{row['notebook']}>" for row in rows)
        contents.append(f"```{{toctree}}\n:hidden:\n:caption: {part}\n\n{entries}\n```")
        for row in rows:
            link = f"[{label(row)}](notebooks/{row['notebook']}.md)"
            question = row.get("question") or row["about"][0].upper() + row["about"][1:]
            table.append(f"| {link} | {question} | {row['minutes']} |")
    others = [page for page in OTHERS if f"{page}.md" in made]
    docs = [name.removesuffix(".md") for name in made if name.startswith("docs/")]
    entries = "\n".join([*others[:-1], *docs, others[-1]])
    contents.append(f"```{{toctree}}\n:hidden:\n:caption: Beside them\n\n{entries}\n```")
    head = ["| Notebook | The question | Minutes |", "|:--|:--|--:|"]
    lists = {"notebooks": head + table, "others": [f"- {OTHERS[page]}" for page in others]}
    lists |= {"commands": pages.commands(repository), "picture": pages.picture()}
    text = pages.text("index", **{name: "\n".join(rows) for name, rows in lists.items()})
    return text + "\n" + "\n\n".join(contents) + "\n"


def front_matter(row: dict) -> str:
    """What a notebook's page says of itself to those who search: here, or on the web."""
    said = {"description": row["about"], "keywords": search.keywords(row)}
    return f"---\nmyst: {json.dumps({'html_meta': said})}\n---\n"


def label(row: dict) -> str:
    """A notebook in the contents: "07 Variational auto-encoder"."""
    return f"{row['notebook'].partition('_')[0]} {row['title']}"


def katex(folder: Path) -> None:
    """KaTeX's style sheet with its fonts, and the typeface of the text."""
    css = (MODULES / "katex/dist/katex.min.css").read_text(encoding="utf-8")
    css = re.sub(r",url\([^)]+\.(?:woff|ttf)\) format\([^)]+\)", "", css)
    for file in re.findall(r"url\((fonts/[^)]+\.woff2)\)", css):
        write(folder / file, (MODULES / "katex/dist" / file).read_bytes())
    for weight, slant in FONTS:
        file = f"source-sans-3-latin-{weight}-{slant}.woff2"
        write(
            folder / "fonts" / file,
            (MODULES / "@fontsource/source-sans-3/files" / file).read_bytes(),
        )
        look = f"font-family: 'Source Sans 3'; font-weight: {weight}; font-style: {slant}"
        css += f"\n@font-face {{ {look}; font-display: swap; src: url(fonts/{file}) format('woff2'); }}"
    write(folder / "katex.css", css)


def made_deck(cache: Path) -> str:
    """The deck's page, made anew if the slides or the course have changed."""
    course = [*(ROOT / "slides").glob("*.*"), *(ROOT / "dgmcourse").rglob("*.*"), LIVE]
    course = [path for path in course if path.suffix in MADE_FROM]
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(course))).hexdigest()
    kept = cache / f"deck-{version[:16]}.html"
    if not kept.exists():
        print("- the slides", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        build = [sys.executable, ROOT / "slides" / "build.py", "--no-pdf", "--out", kept]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # the widgets are made meanwhile
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL, env=one_thread)
    return kept.read_text(encoding="utf-8")


# ---- from pages to the site


def sphinx(source: Path, out: Path, trees: Path, kind: str = "html", **settings) -> None:
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    with patch_docutils(), docutils_namespace():
        Sphinx(source, HERE, out, trees, kind, settings, status=None).build()


def html(source: Path, out: Path, cache: Path) -> None:
    """All pages, the sections for the search, and the pages in other languages."""
    sphinx(source, out, cache / "trees", html_static_path=[str(source / "static")])
    from snowballstemmer import stemmer  # of Sphinx

    search.index(out, stemmer("english").stemWord)
    for language, own in languages.translated().items():
        its = cache / language
        languages.stand_ins(source, its, language, own)
        words = {"language": language, "locale_dirs": [str(its / "locale")]}
        sphinx(its, out / language, cache / f"trees-{language}", **words)
        languages.keep_translated(out, language, own)


def finish(out: Path, npm: str) -> None:
    """Set the formulas of all pages, each on one line with the bracket or the comma that touches it;
    the captions of the contents lack the level of a heading.
    """
    marked = r'(\(?)<span class="tex" data-shown="([01])">(.*?)</span>([^\s<]*)'
    pattern, base = re.compile(marked, re.S), '</span><span class="base">'
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.html"))}
    asked = sorted({found[1:3] for text in texts.values() for found in pattern.findall(text)})
    formulas = [(unescape(tex), shown == "1") for shown, tex in asked]
    made = dict(zip(asked, set_formulas(formulas, npm), strict=True))

    def formula(found) -> str:
        before, *tex, after = found.groups()
        html = made[tuple(tex)]
        if not (before or after):
            return html
        parts = html.replace(base, base.replace("><", "><wbr><"))  # it may still end a line within
        return f'<span class="whole">{before}{parts}{after}</span>'

    for path, text in texts.items():
        text = pattern.sub(formula, text)
        write(path, text.replace('role="heading"><span', 'role="heading" aria-level="2"><span'))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument(
        "which", nargs="*", help="beginnings of notebooks' names, 07 for instance; all if none"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="the folder to write")
    parser.add_argument(
        "--cache", type=Path, default=HERE / "cache", help="where what is made on the way is kept"
    )
    parser.add_argument("--check", action="store_true", help="then look at every page (minutes)")
    parser.add_argument("--catalogues", action="store_true", help="only these, for translators")
    parser.add_argument("--no-widgets", action="store_true", help="with pictures in their place")
    parser.add_argument("--widgets", default="", help="only those in whose cells this pattern is")
    parser.add_argument("--all", action="store_true", help="all widgets, however long it takes")
    parser.add_argument("--no-deck", action="store_true", help="without the slides")
    parser.add_argument("--reference", help="the modules whose names begin so", default="dgmcourse")
    asked = parser.parse_args(arguments)
    if asked.catalogues and (asked.which or asked.no_deck):
        parser.error("catalogues are of all pages: ask for --catalogues alone")
    began = time.perf_counter()
    npm = npm_installed()
    packages_installed()
    asked.out, asked.cache = asked.out.resolve(), asked.cache.resolve()
    source = asked.cache / "source"
    if (asked.out / ".buildinfo").exists():
        shutil.rmtree(asked.out)
    notebooks = chosen(asked.which)
    widgets = Widgets(asked.cache / "widgets", asked.widgets, asked.all)
    with ThreadPoolExecutor() as pool:  # what takes longest, side by side
        making = pool.submit(made_deck, asked.cache) if not asked.no_deck else None
        if not (asked.no_widgets or asked.catalogues):
            widgets.make([solved(path) for path in notebooks])
        deck = making.result() if making else ""
    sources(source, notebooks, deck, asked.reference, widgets)
    if asked.catalogues:
        sphinx(source, asked.cache / "catalogues", asked.cache / "trees-catalogues", "gettext")
        lacks = languages.update(asked.cache / "catalogues")
        print("\n".join([f"The catalogues are in {asked.cache / 'catalogues'}.", *lacks]))
        return 0
    html(source, asked.out, asked.cache)
    finish(asked.out, npm)
    if deck:
        write(asked.out / "deck.html", pages.for_site(deck, {path.stem for path in notebooks}))
    for path in notebooks:
        shutil.copy(path, asked.out / "notebooks")
    files = [path for path in asked.out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    count = sum(path.suffix == ".html" for path in files)
    seconds = time.perf_counter() - began
    print(f"{asked.out}: {count} pages, {size:.1f} MB, {seconds:.0f} s")
    if asked.check:
        faults = check.everything(asked.out)
        print("\n".join(faults) or "Every page is as it should be.")
        return 1 if faults else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
