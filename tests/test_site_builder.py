"""The site's builder: how a notebook becomes a page, which statements a widget needs, what the pages
beside the notebooks say. tests/browser/test_site.py reads the site itself.
"""

import base64
import gzip
import inspect
import json
import math
import random
import re
import sys
from html import unescape
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "tools")]
from dgmcourse.plot import plt, webp  # noqa: E402
from dgmcourse.widgets.figure import slider_figure  # noqa: E402
from web import build, frames, languages, live, notebook, pages, reference, search  # noqa: E402
from web.slice import slice_of  # noqa: E402

# ---- which statements a widget needs

CELLS = [
    "import torch\nfrom dgmcourse.models import VAE\nimport numpy as np",
    "torch.manual_seed(0)\nsteps = 5\nmodel = VAE(2)\nother = VAE(3)",
    "def draw(n):\n    return model.sample(n) * scale",
    "fit(model, data)\nfit(other, data)\nscale = 2\nscale = 3",
    "print(model)\nfig = draw(1)\nseen = []\nseen.append(fig)\nfig = 5",
    "show_widget(film(seen))",
]


def test_only_what_a_widget_needs_is_run():
    assert slice_of(CELLS, {5}) == [
        "import torch\nfrom dgmcourse.models import VAE",
        "torch.manual_seed(0)\nmodel = VAE(2)",
        "def draw(n):\n    return model.sample(n) * scale",
        "fit(model, data)\nscale = 3",
        "fig = draw(1)\nseen = []\nseen.append(fig)",
        "show_widget(film(seen))",
    ]


@pytest.mark.parametrize(
    "before, kept",
    [
        ("x = {}\nx['a'] = 1\ny = 2", "x = {}\nx['a'] = 1"),
        ("for x in range(3):\n    y = x", "for x in range(3):\n    y = x"),
        ("x = 1\nif x:\n    x = 2", "x = 1\nif x:\n    x = 2"),
        ("y = 1\nx = lambda: y", "y = 1\nx = lambda: y"),
        ("@cache\ndef x():\n    return 1\ny = 2", "@cache\ndef x():\n    return 1"),
        ("y = 2\nx, z = 1, 2", "x, z = 1, 2"),
        ("plot.show(x)\nx = 1", "x = 1"),
        ("x = 1\nx += 1", "x = 1\nx += 1"),
        ("class x:\n    pass\nx.a = 1", "class x:\n    pass\nx.a = 1"),
        ("x = {}\ndef f(k):\n    x[k] = 1\nf(2)", "x = {}\ndef f(k):\n    x[k] = 1\nf(2)"),
        ("x = 1\ndef f():\n    global x\n    x = 2\ndef g():\n    f()\ng()", None),
        ("x = 1\ndef f():\n    x = {}\n    x[0] = 1\nf()\ny = f()", "x = 1"),
        ("x = 1\ndef f(x):\n    x.append(1)\nf(y)", "x = 1"),
    ],
)
def test_what_gives_or_changes_a_value_is_kept(before, kept):
    assert slice_of([before, "show(x)"], {1}) == [kept or before, "show(x)"]


# ---- a figure with sliders without a kernel


def line(height, S, dashed, seed):
    fig, ax = plt.subplots(figsize=(2, 1), layout="none")
    ax.plot([0, height], [0, S + seed], ls="--" if dashed else "-")
    ax.set(xlim=(0, 1), ylim=(0, 9))
    return fig


def test_a_figure_with_sliders_becomes_a_film_of_its_pictures():
    kinds = {"height": (0.0, 1.0, 0.1, 0.3), "S": [2, 1, 4], "dashed": False, "seed": "new"}
    film = frames.film_of(slider_figure(line, alt="a line", **kinds), "a line", most=48)
    shown = {control["label"]: control["values"] for control in film._controls}
    assert [control["kind"] for control in film._controls] == ["slider", "slider", "box", "button"]
    sizes = [len(values) for values in shown.values()]
    assert sizes == [2, 3, 2, 3] and len(film._frames) == 36
    assert shown["height"] == ["0.3", "1.0"] and shown["S"] == ["2", "1", "4"]
    assert film._texts == ["a line"] and film._width == 250
    assert film._frames[film.frame] == webp(line(0.3, 2, False, 0))
    last = webp(line(1.0, 4, True, sizes[3] - 1))
    assert film._frames[-1] == last != film._frames[film.frame]
    plt.close("all")


def test_of_many_controls_the_last_ones_stay_as_they_are():
    def bars(**heights):
        fig, ax = plt.subplots(figsize=(1, 1), layout="none")
        ax.bar(range(len(heights)), list(heights.values()))
        return fig

    levels = {f"film_{k}": [3, 1, 2] for k in range(5)}
    film = frames.film_of(slider_figure(bars, alt="bars", **levels), "bars", most=4)
    assert [control["values"] for control in film._controls] == [["3", "2"]] * 2 + [["3"]] * 3
    assert len(film._frames) == 4 and film._frames[0] == webp(bars(**dict.fromkeys(levels, 3)))
    assert film._frames[-1] == webp(bars(film_0=2, film_1=2, film_2=3, film_3=3, film_4=3))
    plt.close("all")


def test_a_widget_that_needs_much_code_holds_up_no_other(tmp_path):
    shown = [new_output("display_data", {"text/plain": "A film: run this cell to play it."})]
    long = "\n".join(f"a_{n} = {n}" for n in range(200))
    cells = [
        new_code_cell("x = 1"),
        new_code_cell("show(x)", outputs=shown),
        new_code_cell(f"{long}\ny = {' + '.join(f'a_{n}' for n in range(200))}"),
        new_code_cell("show(y)", outputs=shown),
        new_code_cell("show(x + 1)", outputs=shown),
    ]
    path = tmp_path / "01_two.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    light, heavy = live.slices(path, re.compile(""))
    assert (light.wanted, light.lines, light.code[2]) == ({1, 4}, 3, "")
    assert heavy.wanted == {3} and heavy.lines == 202 and heavy.code[:2] == ["", ""]
    assert [part.wanted for part in live.slices(path, re.compile(r"show\(y"))] == [{3}]


def test_a_build_stops_at_its_time_and_the_next_one_makes_the_rest(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(live, "busy", lambda: 1.0)
    about = "A film. In the notebook run this cell."
    code = "import time\nfrom dgmcourse.widgets.film import Film\n{wait}\nFilm(_frames=[], _texts=['a'])"
    outputs = [new_output("display_data", {"text/plain": about})]
    paths = []
    for name, wait in (("01_short", ""), ("02_long", "time.sleep(5)")):
        cell = new_code_cell(code.format(wait=wait), outputs=outputs, id=name)
        paths.append(tmp_path / "solutions" / f"{name}.ipynb")
        paths[0].parent.mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=[cell]), paths[-1])
    short, long = paths
    build = live.Widgets(tmp_path / "cache")
    build.limit = 1  # second, in which no kernel has started
    build.make([long])
    assert build.named == {long: {}} and "1 widgets stay pictures" in capsys.readouterr().out
    build.limit = math.inf
    build.make(paths)
    assert {key for named in build.named.values() for key in named} == {
        ("01_short", 0),
        ("02_long", 0),
    }
    again = live.Widgets(tmp_path / "cache")
    again.limit = 0
    again.make(paths)
    assert again.named == build.named and again.files == build.files


def test_a_large_array_is_a_file_that_widgets_share(tmp_path):
    made = live.Widgets(tmp_path)
    numbers = random.Random(0).randbytes(live.SMALL + 100)
    data = {"data": base64.b64encode(numbers).decode()}
    buffers = [{"path": ["network", "W"]} | data, {"path": ["few"], "data": "AAAA"}]
    for about in ("one", "another"):
        state = {"_esm": "", "about": about, "network": {}}
        _, _, state = live.without_kernel({"state": state, "buffers": buffers}, made.kept)
        file = state["network"]["W"]["file"]
        assert gzip.decompress(made.files[file]) == numbers
        assert gzip.decompress(base64.b64decode(state["few"]["gzip"])) == b"\0\0\0"
    assert list(made.files) == [file]


@pytest.mark.parametrize(
    "size, count, start, expected",
    [
        (5, 5, 2, [0, 1, 2, 3, 4]),
        (37, 4, 0, [0, 12, 24, 36]),
        (25, 3, 17, [0, 17, 24]),
        (21, 2, 10, [10, 20]),
        (1, 1, 0, [0]),
    ],
)
def test_places_are_spread_and_the_first_picture_is_among_them(size, count, start, expected):
    assert frames.places(size, count, start) == expected


# ---- a notebook as a page


def small(tmp_path, repository=""):
    """The page of a small notebook, made of a student's and a solved copy."""
    code = "def kl(mean, log_var):\n    "
    said = new_output("display_data", {"text/html": "<b>Not done yet.</b> write kl"})
    asked = new_output("display_data", {"text/markdown": notebook.PREDICT})
    seen = new_output("display_data", {"text/markdown": "**Measured.** 42."})
    plain = {
        "text/plain": "A film of 3 pictures: run this cell to play it.",
        "text/html": "<i>f</i>",
    }
    where = "MNIST: 5 digits from the directory in DGMCOURSE_DATA\nready\n"
    cells = {
        "text": new_markdown_cell(
            "# A title\n[![Launch](https://a.org/b.svg)](https://a.org/c)\n"
            "See [the next](08_next.ipynb#A-heading,-b?), [cell](08_next.ipynb#cell-id=ab1),"
            " [none](99_none.ipynb) and [the licence](../LICENSE).\n\n| $p(x|z)$ | b |\n| --- | --- |"
        ),
        "colab": new_code_cell("COLAB = 1", metadata={"tags": ["colab"]}),
        "imports": new_code_cell(
            "from dgmcourse.check import vae as check",
            metadata={"jupyter": {"source_hidden": True}},
            outputs=[new_output("stream", name="stdout", text=where)],
        ),
        "exercise": new_code_cell(code + "...", metadata={"tags": ["exercise"]}),
        "judge": new_code_cell("kl = check.kl(kl)", outputs=[said]),
        "trained": new_code_cell("train()", outputs=[asked]),
        "predicted": new_code_cell("print(6 * 7)", outputs=[asked]),
        "drawn": new_code_cell("draw()", outputs=[asked]),
        "told": new_markdown_cell("Of course.\n\nAs expected.\n\nNow **Predict.** What comes?"),
        "widget": new_code_cell("show(film)", outputs=[new_output("display_data", plain)]),
    }
    for name, cell in cells.items():
        cell.id = name
    (tmp_path / "solutions").mkdir()
    student = new_notebook(cells=list(cells.values()))
    nbformat.write(student, tmp_path / "07_small.ipynb")
    cells["exercise"].source = code + "return SOLVED"
    bar = "\rtrainings |███████ | 6/7\rtrainings |████████| 7/7\n"
    cells["trained"].outputs = [new_output("stream", name="stdout", text=bar)]
    cells["predicted"].outputs = cells["drawn"].outputs = [seen]
    nbformat.write(student, tmp_path / "solutions" / "07_small.ipynb")
    states, others = {("widget", 0): "state.json"}, {"07_small", "08_next"}
    return notebook.Page(tmp_path / "07_small.ipynb", states, others, repository).markdown


@pytest.fixture
def page(tmp_path):
    return small(tmp_path)


def test_links_lead_to_pages_and_bars_in_formulas_divide_no_table(page):
    assert "[the next](08_next.md#a-heading-b)" in page
    assert "[cell](08_next.md#cell-ab1)" in page
    assert ", none and the licence." in page  # neither has a page, and there is no repository
    assert r"| $p(x\vert z)$ | b |" in page


def test_without_a_repository_a_notebook_can_be_kept_and_not_launched(page):
    assert '<a href="07_small.ipynb" download>Download this notebook</a>' in page
    assert "a.org" not in page and page.count("<a ") == 1


@pytest.mark.parametrize(
    "address, names",
    [
        ("https://github.com/a/b", ["Open in Colab", "Launch on Binder"]),
        ("https://gitlab.com/a/b", ["Launch on Binder"]),
    ],
)
def test_with_one_there_are_the_buttons_that_make_badges_writes(tmp_path, address, names):
    page = small(tmp_path, address)
    links = re.findall(r'<a href="(https[^"]*)">([^<]*)</a>', page)
    assert [name for _, name in links] == names and "<img" not in page and "svg" not in page
    badges = notebook.badges(address, "07_small.ipynb")
    assert all(f"]({unescape(link)})" in badges for link, _ in links)
    assert f"[the licence]({address}/blob/main/LICENSE)" in page


def test_code_is_folded_as_in_jupyter_and_colab_is_left_out(page):
    assert "COLAB" not in page
    before = page[: page.index("from dgmcourse.check")]
    assert before.rstrip().splitlines()[-4].startswith('<details class="code"')
    assert "ready" in page and "DGMCOURSE_DATA" not in page


def test_hints_lie_within_one_another_and_the_solution_below(page):
    hints = [page.index(f"Hint {i} of 3 for kl") for i in (1, 2, 3)]
    assert hints == sorted(hints) and hints[-1] < page.index(">Solution<") < page.index("SOLVED")
    between = page[hints[0] : hints[-1]]
    assert between.count("<details") == 2 and between.count("</details>") == 0
    assert "Not done yet" not in page


def test_every_exercise_of_the_course_has_hints():
    paths = sorted(notebook.NOTEBOOKS.glob("[0-9][0-9]*_*.ipynb"))
    assert len(paths) > 12
    for path in paths:
        cells = nbformat.read(path, 4).cells
        tagged = {cell.id for cell in cells if "exercise" in cell.metadata.get("tags", [])}
        found = notebook.exercises(cells)
        assert set(found) == tagged, path.name
        assert all(len(hints) > 1 for asked in found.values() for _, hints in asked)


def test_what_is_to_be_predicted_is_folded_with_the_answer_in_it(page):
    assert notebook.PREDICT not in page
    first, second = (part.split("</details>")[0] for part in page.split('class="predict"')[1:])
    assert "Predict first, then look" in first and "**Measured.** 42." in first
    assert "Look further" in second
    assert second.index("**Measured.** 42.") < second.index("Of course.\n\nAs expected.")
    assert page.count("Of course.") == 1 and page.index(second) < page.index("Now **Predict.**")
    assert "█" not in page and "7/7" not in page  # and there is no fold with nothing in it


@pytest.mark.parametrize(
    "paragraph, new",
    [
        ("Of course it is: $a = b$, as the bound is one.", False),
        ("Shapes come first. Who would have thought it? Nobody did.", False),
        ("Why not? Because it costs nats.", True),
        ("The claim is a bound. Test it on 2,000 q: does one cross it?", True),
        (
            "**Does it?** Looking is no measurement. Call a sample *realistic* if it lies near.",
            True,
        ),
        ("They have a formula (Tipping):", True),
        ("$$a = b$$", True),
        ("Three things to try: move it.", True),
    ],
)
def test_what_begins_something_new_is_not_folded_with_an_answer(paragraph, new):
    assert notebook.begins_something(paragraph) == new


def test_a_widget_has_its_state_and_its_picture_where_it_cannot_run(page):
    assert '<div class="live" data-widget="state.json"><i>f</i></div>' in page


# ---- the pages beside them


def test_the_claims_say_what_was_measured_and_where():
    text = pages.claims({"07_vae"})
    assert 'href="notebooks/07_vae.html#cell-' in text and "08_repa" not in text
    assert 'id="claim-1"' in text and text.count('id="claim-3"') == 1
    assert pages.words("1.2 (1.1 to 1.3), $x$ <y") == (
        '1.2 <span class="interval">(1.1 to 1.3)</span>,'
        ' <span class="tex" data-shown="0">x</span> &lt;y'
    )
    assert pages.words("95 % of 20") == "95&nbsp;% of 20"  # on one line


def test_a_formula_stays_with_what_touches_it_and_may_end_a_line_within(tmp_path, monkeypatch):
    parts = [
        '<span class="katex"><span class="base">a</span>',
        '<span class="base">b</span></span>',
    ]
    made = "".join(parts)
    monkeypatch.setattr(build, "set_formulas", lambda formulas, npm: [made] * len(formulas))
    tex, page = notebook.marked("a=b", shown=False), tmp_path / "page.html"
    page.write_text(f"<p>{tex} or ({tex}), by</p><div>{notebook.marked('a', shown=True)}</div>")
    build.finish(tmp_path, "npm")
    whole = f'<span class="whole">({"<wbr>".join(parts)}),</span>'
    assert page.read_text() == f"<p>{made} or {whole} by</p><div>{made}</div>"


def test_the_deck_leads_to_pages():
    deck = '<a href="../notebooks/07_vae.ipynb#cell-id=ab">a</a><a href="../notebooks/99_x.ipynb">b</a>'
    assert pages.for_site(deck, {"07_vae"}) == (
        '<a href="notebooks/07_vae.html#cell-ab">a</a><a >b</a>'
    )


def test_the_slides_are_listed_by_their_titles():
    formula = '<span class="katex"><math>z<annotation>z</annotation></math>'
    formula += '<span class="katex-html"><span>z</span></span></span>'
    deck = '<section id="a" class="part"><h1>Part</h1></section>'
    deck += f'<section id="b" class="slide" data-timing="4"><h2>First {formula}</h2></section>'
    text = pages.slides(deck)
    assert "## Part" in text and '<li><a href="deck.html#/b">First z</a></li>' in text


def test_a_docstring_is_set_with_its_equation_its_sections_and_its_example():
    def f(x, *rest):
        r"""Twice x, (*shape, D).

        $$2 x$$

        >>> f(1)
        2

        Args:
            x: a number; its
                square is not asked for.
            *rest: no one needs them.

        Raises:
            ValueError: never.
        """

    made = reference.docstring(inspect.getdoc(f))
    assert made == (
        "Twice x, (\\*shape, D).\n\n$$2 x$$\n\n```````pycon\n>>> f(1)\n2\n```````\n\n"
        "**Arguments**\n\n- `x`: a number; its square is not asked for.\n"
        "- `*rest`: no one needs them.\n\n**Raises**\n\n- `ValueError`: never."
    )


def test_a_long_signature_has_an_argument_a_line():
    long = "a: Tensor, " * 8 + "b: int = 0"
    inside = "    a: Tensor,\n" * 8 + "    b: int = 0,\n"
    assert reference.code(f"class A({long})") == (f"```````python\nclass A(\n{inside})\n```````")
    assert f"\n{inside}) -> Tensor\n" in reference.code(f"f({long}) -> Tensor")


def test_the_reference_has_every_public_module_and_no_solution():
    names = set(reference.pages())  # it imports them all
    assert {"dgmcourse.densities", "dgmcourse.models.vae", "dgmcourse.check", "index"} <= names
    assert names == {*reference.modules(), "index"}
    assert not [name for name in names if name.startswith("dgmcourse.check.")]


# ---- the texts: to teach with, to cite, what there is not


def test_the_citation_is_that_of_citation_cff(tmp_path, monkeypatch):
    page = pages.cite("https://github.com/a/b")
    given = yaml.safe_load(pages.CITATION.read_text())
    assert (
        f"<cite>{given['title']}</cite>, version {given['version']}. https://github.com/a/b" in page
    )
    assert "url = {https://github.com/a/b}," in page and "url =" not in pages.cite("")
    assert "author = {{The dgmcourse developers}}," in page and "year" not in page
    assert "is not released yet" in page and "{{citation}}" not in page
    monkeypatch.setattr(pages, "CITATION", tmp_path / "CITATION.cff")
    pages.CITATION.write_text(yaml.safe_dump(given | {"date-released": "2027-02-03"}))
    page = pages.cite("")
    assert "developers (2027). <cite>" in page and "year = {2027}," in page
    assert "is not released yet" not in page


def test_our_pages_name_notebooks_that_there_are():
    listed = json.loads((ROOT / "dgmcourse/weights/notebooks.json").read_text())
    text = "".join((pages.TEXT / f"{name}.md").read_text() for name in ("teach", "limits"))
    named = set(re.findall(r"notebooks/(\d\w+)\.md", text))
    assert named and named <= {row["notebook"] for row in listed}


def test_a_link_to_a_page_that_is_not_made_is_words():
    text = "[a](slides.md), [b](claims.md#claim-1) and [c](https://a.org/x.md)"
    assert pages.without_dead_links(text, {"claims.md"}) == (
        "a, [b](claims.md#claim-1) and [c](https://a.org/x.md)"
    )


def test_documents_lead_to_pages_to_the_repository_or_nowhere(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text(
        "# A\n[b](b.md) [n](../notebooks/07_vae.ipynb#cell-id=ab) [m](../Makefile) [w](https://a.org) [t](#a)"
    )
    (tmp_path / "docs/b.md").write_text("# B\n")
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "DOCS", tmp_path / "docs")
    rest = " [w](https://a.org) [t](#a)"
    made = pages.documents({"07_vae"}, "https://a.org/r")
    assert made["docs/a.md"] == (
        "# A\n[b](b.md) [n](../notebooks/07_vae.md#cell-ab)"
        f" [m](https://a.org/r/blob/main/Makefile){rest}"
    )
    assert made["docs/b.md"] == "# B\n"
    assert pages.documents(set(), "")["docs/a.md"] == f"# A\n[b](b.md) n m{rest}"


# ---- search, and other languages


def test_a_word_counts_in_its_own_section_and_more_in_a_heading(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/07_a.html").write_text(
        '<meta name="keywords" content="pad, bound"><section id="a"><h1>Auto-encoders<a class="headerlink">¶</a>'
        '</h1><p>bounds <span class="tex">bound <b>x</b></span></p><section id="b"><h2>The <em>bound</em></h2>'
        "<img src=x><p>Bound, of a bound</p></section><script>bound</script></section>"
    )
    (tmp_path / "searchindex.js").write_text("Search.setIndex({})")
    search.index(tmp_path, lambda word: word.removesuffix("s").removesuffix("er"))
    line, theirs = (tmp_path / "searchindex.js").read_text().split("\n")
    made = json.loads(line.removeprefix("window.sections=").removesuffix(";"))
    assert theirs == "Search.setIndex({})" and made["of"] == {"notebooks/07_a": [0, 2]}
    assert made["places"] == [["a", "Auto-encoders", 1.1], ["b", "The bound", 0.9]]
    assert made["words"]["bound"] == {"0": 4, "1": 7} and made["words"]["pad"] == {"0": 3}
    assert made["words"]["encod"] == {"0": 5} and "x" not in made["words"]


def test_a_page_leads_to_its_translations_and_they_lead_back():
    spoken = {"de": {"cite", "notebooks/07_vae"}, "hr": {"cite"}}
    assert languages.switch("claims", "en", spoken) == ""
    assert languages.switch("notebooks/07_vae", "en", spoken) == (
        '<p class="languages"><a href="../de/notebooks/07_vae.html" lang="de" hreflang="de">Deutsch</a></p>'
    )
    both = languages.switch("cite", "de", spoken)
    assert re.findall('href="([^"]*)"', both) == ["../cite.html", "../hr/cite.html"]


def test_what_is_not_translated_is_left_to_the_english_page_and_marked(tmp_path):
    (tmp_path / "de/_static").mkdir(parents=True)
    (tmp_path / "_static").mkdir()
    for name in ("cite.html", "claims.html", "_static/a.css", "de/claims.html", "de/_static/a.css"):
        (tmp_path / name).write_text("x")
    (tmp_path / "de/_static/translations.js").write_text("x")
    (tmp_path / "de/cite.html").write_text(
        '<html data-content_root="./"><link href="_static/a.css?v=1"><script src="_static/translations.js">'
        '<a class="reference internal" href="claims.html#claim-1">C</a><a href="cite.html">c</a>'
        '<a href="https://a.org/claims.html">o</a><a href="#here">h</a><p class="untranslated">words</p>'
    )
    languages.keep_translated(tmp_path, "de", {"cite"})
    left = {p.relative_to(tmp_path / "de").as_posix() for p in (tmp_path / "de").rglob("*.*")}
    assert left == {"cite.html", "_static/translations.js"}
    assert (tmp_path / "de/cite.html").read_text() == (
        '<html data-content_root="../"><link href="../_static/a.css?v=1"><script src="_static/translations.js">'
        '<a class="reference internal" lang="en" href="../claims.html#claim-1">C</a><a href="cite.html">c</a>'
        '<a href="https://a.org/claims.html">o</a><a href="#here">h</a><p lang="en" class="untranslated">words</p>'
    )


def test_a_sentence_that_changed_waits_for_its_translator(tmp_path):
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n\n'
    own = tmp_path / "locale/de/LC_MESSAGES"
    own.mkdir(parents=True)
    before = [
        ("Cite this", "Zitieren"),
        ("Take version one of it.", "Fassung eins."),
        ("Old", "Alt"),
    ]
    words = "\n".join(f'msgid "{en}"\nmsgstr "{de}"\n' for en, de in before)
    (own / "cite.po").write_text(head + words)
    now = ["Cite this", "Take version two of it.", "New"]
    (tmp_path / "cite.pot").write_text(head + "\n".join(f'msgid "{en}"\nmsgstr ""\n' for en in now))
    assert languages.translated(tmp_path / "locale") == {"de": {"cite"}}
    assert languages.update(tmp_path, tmp_path / "locale") == ["cite.po, de: 2 to translate"]
    text = (own / "cite.po").read_text()
    assert 'msgid "Cite this"\nmsgstr "Zitieren"' in text and '#~ msgstr "Alt"' in text
    assert '#, fuzzy\nmsgid "Take version two of it."' in text
    languages.update(tmp_path, tmp_path / "locale")
    assert (own / "cite.po").read_text() == text
