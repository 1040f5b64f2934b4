"""How Sphinx makes the site; web/build.py calls it and says what is in it."""

import sys
from html import escape
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from web.notebook import marked  # noqa: E402

project = "Deep generative models"
author = "the dgmcourse authors"
copyright = "the dgmcourse authors; text and pictures CC BY 4.0, code MIT"  # noqa: A001
language = "en"
extensions = ["myst_parser", "sphinx.ext.githubpages"]  # for hosts that leave out folders named _
gettext_compact = False  # a catalogue a page
translation_progress_classes = "untranslated"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
# links to cells are followed by the tests instead
suppress_warnings = ["myst.header", "myst.xref_missing", "misc.highlighting_failure"]
html_theme = "furo"
html_search_scorer = str(Path(__file__).with_name("scorer.js"))
html_title = "Deep generative models"
html_css_files = ["katex/katex.css", "site.css"]
html_js_files = [("live.js", {"defer": ""}), ("site.js", {"defer": ""})]
html_favicon = "icon.svg"
html_copy_source = False
smartquotes = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
html_theme_options = {"navigation_with_keys": False, "top_of_page_buttons": []}
html_math_renderer = "marks"


def inline(self, node):
    self.body.append(marked(escape(node.astext()), shown=False))
    raise_skip()


def block(self, node):
    self.body.append(f"<div>{marked(escape(node.astext()), shown=True)}</div>")
    raise_skip()


def raise_skip():
    from docutils.nodes import SkipNode

    raise SkipNode


def setup(app):
    # web/build.py sets all formulas at once, when the pages are written
    app.add_html_math_renderer("marks", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
