"""How slides are made from cells, what is refused, and that each number on them is a notebook's."""

import importlib.util
import re
import shutil
from pathlib import Path

import jupytext
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "slides").glob("[0-9][0-9]_*.py"))


def module(name):
    spec = importlib.util.spec_from_file_location(f"slides_{name}", ROOT / "slides" / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


build, deck = module("build"), module("deck")
GOOD = """# %% [markdown] notebook="04_gan"
# ## A title with $z$
# Text with $x$ and `$no$`.
#
# * first
# * second
#
# . . .
#
# Later.

# %% [markdown] tags=["notes"]
# 45 s. Say this.
"""


def slides(text):
    made = build.Deck()
    made.add(jupytext.reads(text, fmt="py:percent"))
    return made


def test_a_cell_becomes_a_slide():
    made = slides(GOOD)
    (slide,) = made.slides
    section = build.section(slide, set(), made)
    assert (
        'id="a-title-with"' in section
        and 'data-timing="45"' in section
        and 'href="../notebooks/04_gan.ipynb"' in section
    )
    assert (
        section.count('<li class="fragment">') == 2 and section.count('<div class="fragment">') == 1
    )
    assert made.formulas == [("x", False), ("z", False)] and "<code>$no$</code>" in section
    assert "<strong>45 s.</strong>" in section.split("<aside")[1]


def test_slides_of_one_title_have_names_of_their_own():
    made, names = slides(GOOD + "\n" + GOOD), set()
    for slide in made.slides:
        build.section(slide, names, made)
    assert names == {"a-title-with", "a-title-with-2"}


def test_columns_stand_beside_one_another_and_steps_wait():
    cells = [
        new_markdown_cell("## T"),
        new_markdown_cell("a", metadata={"tags": ["left"]}),
        new_markdown_cell("b", metadata={"tags": ["right", "step"]}),
        new_markdown_cell("below"),
        new_markdown_cell("9 s. n", metadata={"tags": ["notes"]}),
    ]
    made = build.Deck()
    made.add(new_notebook(cells=cells))
    body = build.section(made.slides[0], set(), made)
    assert '<div class="columns"><div><p>a</p>' in body.replace("\n", "")
    assert '<div class="fragment"><p>b</p>' in body.replace("\n", "") and body.index(
        "columns"
    ) < body.index("below")


@pytest.mark.parametrize("notes", ["", "Say this.", "45 Say this.", "45 s."])
def test_a_slide_without_its_time_is_refused(notes):
    made = slides(GOOD.replace("45 s. Say this.", notes or "-"))
    with pytest.raises(SystemExit, match="its notes begin with its time"):
        build.section(made.slides[0], set(), made)


def test_what_a_cell_complains_of_stops_the_build():
    made = slides(GOOD)
    complaint = new_code_cell("1", outputs=[new_output("stream", name="stderr", text="a warning")])
    with pytest.raises(SystemExit, match="a warning"):
        made.add(new_notebook(cells=[complaint]))


@pytest.mark.skipif(
    shutil.which("npm") is None, reason="the deck's browser test makes this with a Node of its own"
)
def test_a_formula_that_is_wrong_stops_the_build():
    made = slides(GOOD.replace("$x$", r"$\frac{1}$"))
    with pytest.raises(SystemExit, match="a formula cannot be set"):
        build.with_formulas("", made.formulas, build.npm_installed())


def test_small_text_in_a_figure_is_refused():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ax.set_title("fine print", fontsize=9)
    with pytest.raises(ValueError, match="'fine print' has 12 px: 20 at least"):
        deck.show(fig, "a picture")
    with pytest.raises(ValueError, match="20 at least"):
        deck.Drawing(10, 10, "a drawing").text(0, 0, "fine print", size=12)
    with pytest.raises(ValueError, match="needs an alt text"):
        deck.Drawing(10, 10, " ")


def test_a_claim_is_quoted_as_measured_or_not_at_all(monkeypatch, capsys):
    rows = [
        {
            "notebook": "04_gan",
            "claim": 14,
            "cell": "abc",
            "lecture": "-",
            "measured": r"right in 89.3% $\pm$ 1.0%, of 5",
        }
    ]
    monkeypatch.setattr(deck.recipes, "claims", lambda: rows)
    shown = []
    monkeypatch.setattr(deck, "display", lambda what: shown.append(what.data))
    deck.claim(14, r"right in ([\d.]+% \$\\pm\$ [\d.]+%)", "In {} of its answers.")
    assert (
        "In 89.3% ± 1.0% of its answers." in shown[0]
        and 'href="../notebooks/04_gan.ipynb#cell-id=abc">04 · C14<' in shown[0]
    )
    with pytest.raises(ValueError, match="is not in"):
        deck.claim(14, r"wrong in ([\d.]+%)", "{}")
    with pytest.raises(ValueError, match="0 rows, expected one"):
        deck.claim(15, ".*", "")


@pytest.mark.parametrize(
    "text",
    [
        "17",
        "-1.10",
        "1,109 ± 52",
        r"89.3% $\pm$ 1.0%",
        "76 ± 3 %",
        "10 of 40",
        "7 (5 to 9) %",
        "14% (8% to 23%)",
        "+0.5 (-0.9 to +1.9), not shown",
        "10 (95 %: 30% to 70%)",
    ],
)
def test_a_pattern_finds_a_value_with_all_that_belongs_to_it(text):
    assert re.search(rf"it has {deck.VALUE}; others", f"it has {text}; others 3.")[1] == text
    assert re.search(deck.VALUE, f"it has {text} and 3.")[1] == text


def test_an_interval_is_set_smaller_and_minus_signs_are_set():
    found = deck.marked("-1.5 (-2.5 to -0.5), not shown (by 3 of 4), 5e-11")
    assert found == (
        '−1.5 <span class="interval">(−2.5 to −0.5)</span>, not shown (by 3 of 4), 5e-11'
    )


MEASURED = (
    "gains +1.2 (+0.2 to +2.2), (95 % interval, 1,000 digits, corrected for 2 comparisons, paired);"
    " falls by 3 (2 to 4) nats; rises by 5 (4 to 6) with it (95 % interval, 5 seeds of 2 kinds; one)"
)


@pytest.mark.parametrize(
    "pattern, basis",
    [
        (rf"gains {deck.VALUE}", "1,000 digits, corrected for 2 comparisons"),
        (rf"rises by {deck.VALUE}", "5 seeds of 2 kinds"),
        (rf"gains {deck.VALUE}.*falls", "1,000 digits, corrected for 2 comparisons"),
        (rf"falls by {deck.VALUE}", None),  # what follows belongs to another finding
        (r"gains \+([\d.]+)", None),  # no interval is quoted
    ],
)
def test_a_claim_says_what_its_intervals_rest_on(monkeypatch, pattern, basis):
    row = {"notebook": "04_gan", "claim": 14, "cell": "abc", "lecture": "-", "measured": MEASURED}
    monkeypatch.setattr(deck.recipes, "claims", lambda: [row])
    text = deck.quoted(14, pattern, "It is {}.", with_basis=True)
    found = re.search('<span class="basis">(.*?)</span>', text)
    assert (found and found[1]) == basis
    assert "basis" not in deck.quoted(14, pattern, "It is {}.")


def test_two_weights_are_compared_by_their_headers():
    """As independent samples of a known standard error, by the normal distribution's 1.96."""
    a, b = (
        {"test_nll": nll, "test_nll_se": se, "n": 100} for nll, se in ((90.0, 0.3), (80.0, 0.4))
    )
    found = deck.less_nll(a, b)
    assert (found.value, found.n) == (10, 100)
    assert (found.low, found.high) == pytest.approx((10 - 1.959964 * 0.5, 10 + 1.959964 * 0.5))
    corrected = deck.less_nll(a, b, comparisons=2)
    assert corrected.high == pytest.approx(10 + 2.241403 * 0.5)


def test_a_figure_has_its_own_size(monkeypatch):
    """100 px an inch, whatever the notebooks' pages show."""
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(deck, "display", shown.append)
    deck.show(plt.figure(figsize=(5.5, 2)), "nothing yet")
    assert shown[0].width == 550
    with pytest.raises(ValueError, match="needs an alt text"):
        deck.show(plt.figure(), " ")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_each_source_has_slides_with_notes(source):
    made = build.Deck()
    made.add(jupytext.read(source, fmt="py:percent"))
    for slide in made.slides:
        seconds, _ = build.timing(slide)
        assert 10 <= seconds <= 180, slide["title"]
        assert (
            not slide["notebook"] or (ROOT / "notebooks" / f"{slide['notebook']}.ipynb").exists()
        ), slide["title"]


def shown(minutes):
    """The slides of a lecture of so many minutes: titles and seconds."""
    made = build.Deck(minutes)
    for source in SOURCES:
        made.add(jupytext.read(source, fmt="py:percent"))
    return [(slide["title"], build.timing(slide)[0]) for slide in made.slides]


@pytest.mark.parametrize("minutes, least, most", [(45, 50, 75), (60, 60, 95), (90, 80, 115)])
def test_each_deck_is_as_long_as_its_lecture(minutes, least, most):
    slides = shown(minutes)
    assert least <= len(slides) <= most
    assert 0.9 * minutes <= sum(seconds for _, seconds in slides) / 60 <= minutes


@pytest.mark.parametrize("short, long", [(45, 60), (60, 90)])
def test_a_longer_lecture_has_the_slides_of_a_shorter_one_in_order(short, long):
    rest = iter(shown(long))
    assert all(slide in rest for slide in shown(short))


def test_a_slide_that_a_lecture_leaves_out_takes_its_cells_along():
    cells = [
        new_markdown_cell("## Long", metadata={"notebook": "04_gan"}),
        new_markdown_cell("9 s. n", metadata={"tags": ["notes"]}),
        new_code_cell("1", outputs=[new_output("stream", name="stdout", text="x")]),
        new_markdown_cell("$f$"),
        new_markdown_cell("## Short", metadata={"minutes": 45}),
        new_markdown_cell("8 s. n", metadata={"tags": ["notes"]}),
    ]
    made = build.Deck(60)
    made.add(new_notebook(cells=cells))
    (slide,) = made.slides
    assert (slide["title"], slide["notebook"], made.formulas) == ("Short", "04_gan", [])
    cells[0].metadata["minutes"] = 50
    with pytest.raises(SystemExit, match="## Long': minutes=50, not of 45, 60, 90"):
        build.Deck().add(new_notebook(cells=cells))


def test_no_number_is_typed_in():
    """What was measured comes from a cell or from `claim`: a decimal in a slide's own words is one
    that nobody can trace.
    """
    for source in SOURCES:
        for cell in jupytext.read(source, fmt="py:percent").cells:
            if cell.cell_type == "markdown" and "notes" not in cell.metadata.get("tags", []):
                words = re.sub(r"\$[^$]*\$|arXiv:[\d.]+|`[^`]*`|<[^>]+>", "", cell.source)
                assert not re.search(r"\d\.\d|±", words), f"{source.name}: {cell.source}"
