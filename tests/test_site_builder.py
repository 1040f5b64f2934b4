"""The site's builder: how a notebook becomes a page, which statements a widget needs, what the pages
beside the notebooks say. tests/browser/test_site.py reads the site itself.
"""

import inspect
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT), str(ROOT / "tools")]
from dgmcourse.plot import plt, webp  # noqa: E402
from dgmcourse.widgets.figure import slider_figure  # noqa: E402
from web import frames, notebook, pages, reference  # noqa: E402
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
    ],
)
def test_what_gives_or_changes_a_value_is_kept(before, kept):
    assert slice_of([before, "show(x)"], {1}) == [kept, "show(x)"]


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


@pytest.fixture
def page(tmp_path):
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
        "predicted": new_code_cell("print(6 * 7)", outputs=[asked]),
        "widget": new_code_cell("show(film)", outputs=[new_output("display_data", plain)]),
    }
    for name, cell in cells.items():
        cell.id = name
    (tmp_path / "solutions").mkdir()
    student = new_notebook(cells=list(cells.values()))
    nbformat.write(student, tmp_path / "07_small.ipynb")
    cells["exercise"].source = code + "return SOLVED"
    cells["predicted"].outputs = [seen]
    nbformat.write(student, tmp_path / "solutions" / "07_small.ipynb")
    return notebook.Page(
        tmp_path / "07_small.ipynb", {("widget", 0): "state.json"}, {"07_small", "08_next"}
    ).markdown


def test_links_lead_to_pages_and_bars_in_formulas_divide_no_table(page):
    assert "[the next](08_next.md#a-heading-b)" in page
    assert "[cell](08_next.md#cell-ab1)" in page
    assert ", none and the licence." in page  # neither has a page, and there is no repository
    assert r"| $p(x\vert z)$ | b |" in page


def test_a_launch_badge_is_a_link_without_a_picture_from_elsewhere(page):
    assert "[Launch](https://a.org/c)" in page and "b.svg" not in page


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


def test_what_is_to_be_predicted_is_folded_with_the_answer_in_it(page):
    assert notebook.PREDICT not in page
    assert page.index('<details class="predict"') < page.index("**Measured.** 42.")


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


def test_the_reference_has_every_public_module_and_no_solution():
    names = reference.modules()
    assert {"dgmcourse.densities", "dgmcourse.models.vae", "dgmcourse.check"} <= set(names)
    assert not [name for name in names if name.startswith("dgmcourse.check.")]
