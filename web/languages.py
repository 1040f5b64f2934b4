"""The site in other languages: catalogues of its sentences for translators, and the pages made of
those that came back. A page is translated if its catalogue is in locale/LANGUAGE/LC_MESSAGES.
"""

import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

LOCALE = Path(__file__).resolve().parent / "locale"
NAMES = {"en": "English", "de": "Deutsch", "hr": "Hrvatski"}  # as their readers call them
LINK = re.compile(r'(<(?:a|link|script|form|img)\b[^>]*?\s(?:href|src|action)=")([^"#?:]+)')


def translated(locale: Path = LOCALE) -> dict[str, set[str]]:
    """The pages that each language has."""
    found = {}
    for path in sorted(locale.glob("*/LC_MESSAGES/**/*.po")):
        language, folder, *_ = path.relative_to(locale).parts
        page = path.relative_to(locale / language / folder).with_suffix("")
        found.setdefault(language, set()).add(page.as_posix())
    return found


def switch(page: str, language: str, languages: dict[str, set[str]]) -> str:
    """The line below a page's title that leads to the page in the other languages, as HTML; "" if
    there is none.
    """
    up = "../" * (page.count("/") + (language != "en"))
    links = [
        f'<a href="{up}{"" if other == "en" else other + "/"}{page}.html" lang="{other}"'
        f' hreflang="{other}">{NAMES.get(other, other)}</a>'
        for other in ["en", *languages]
        if other != language and (other == "en" or page in languages[other])
    ]
    return f'<p class="languages">{" ".join(links)}</p>' if links else ""


def stand_ins(source: Path, own: Path, language: str, pages: set[str]) -> None:
    """Write what Sphinx reads for one language: the pages that are translated, the front page for the
    contents, and of the others the titles, so that links to them have a name.
    """
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(LOCALE / language, own / "locale" / language)
    for path in source.rglob("*.md"):
        name = path.relative_to(source).with_suffix("").as_posix()
        text = path.read_text(encoding="utf-8")
        if name in pages:
            links = switch(name, language, translated())
            text = re.sub(r'<p class="languages">.*</p>', links, text)
        elif name != "index":
            orphan = "---\norphan: true\n---\n" * name.startswith("reference/")
            text = orphan + re.search(r"^# .*\n", text, re.M)[0]
        (own / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (own / path.relative_to(source)).write_text(text, encoding="utf-8")


def keep_translated(out: Path, language: str, pages: set[str]) -> None:
    """Leave in out/language its own pages and what only they need; their other links lead to out."""
    own = out / language
    for path in own.rglob("*"):
        name = path.relative_to(own).as_posix()
        only_here = name.startswith("_static/") and not (out / name).exists()
        if path.is_file() and name.removesuffix(".html") not in pages and not only_here:
            path.unlink()
    for folder in sorted((path for path in own.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    for path in own.rglob("*.html"):

        def link(found, here=path.parent) -> str:
            target = Path(os.path.normpath(here / found[2]))
            there = out / target.relative_to(own) if target.is_relative_to(own) else target
            if target.exists() or not there.exists():
                return found[0]
            return found[1] + os.path.relpath(there, here).replace(os.sep, "/")

        text = LINK.sub(link, path.read_text(encoding="utf-8"))
        text = re.sub(r'(data-content_root=")(?:\./)?', r"\1../", text)
        # what has not been translated, and the titles of pages that are not
        text = re.sub(
            r'(<\w+) class="([^"]*)\buntranslated\b', r'\1 lang="en" class="\2untranslated', text
        )
        text = re.sub(r'(<a class="reference internal")( href="\.\./)', r'\1 lang="en"\2', text)
        path.write_text(text, encoding="utf-8")


def update(templates: Path, locale: Path = LOCALE) -> list[str]:
    """Bring every catalogue up to date with its template; what it lacks, in words.

    A sentence that changed stays without a translation until somebody has looked at it; of one that
    is gone the translation is kept as a comment.
    """
    from babel.messages.pofile import read_po, write_po

    lacks = []
    for language, pages in translated(locale).items():
        for page in sorted(pages):
            path = locale / language / "LC_MESSAGES" / f"{page}.po"
            with path.open("rb") as file:
                catalogue = read_po(file, locale=language)
            with (templates / f"{page}.pot").open("rb") as file:
                template = read_po(file)
            before = [(m.id, m.string) for m in catalogue]
            catalogue.update(template, no_fuzzy_matching=False)
            if [(m.id, m.string) for m in catalogue] != before:
                catalogue.revision_date = datetime.now(UTC)
                with path.open("wb") as file:
                    write_po(file, catalogue, width=100, no_location=True)
            missing = sum(not m.string or m.fuzzy for m in catalogue if m.id)
            lacks += [f"{path.name}, {language}: {missing} to translate"] if missing else []
    return lacks
