"""What the slides' sources say: `show` a figure, `live` a widget, quote a `claim`, and draw.

Text in a figure is 20 px at least on a slide of 1280 x 720: `show` refuses smaller. A number on a
slide is computed there or quoted from the notebook that measured it, with a link to the cell.
"""

import base64
import io
import math
import re
from html import escape
from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from IPython.display import SVG, Image, Markdown, display
from matplotlib.text import Text

from dgmcourse import plot, recipes
from dgmcourse.intervals import LEVEL, Interval

LEAST = 20  # px
NUMBER = r"[-+−]?\d+(?:,\d{3})*(?:\.\d+)?%?"
# A measured value in a pattern of `quoted`, one group: "17", "1.2 ± 0.3 %", "+1.2 (+0.9 to +1.5)".
VALUE = (
    rf"({NUMBER}(?: of {NUMBER})?(?: (?:±|\$\\pm\$) {NUMBER}| \((?:95 %: )?{NUMBER} to {NUMBER}\))?(?: %)?"
    r"(?:, not shown)?)"
)
NOT_SHOWN, LATER = ", not shown", "\x00"  # what a value ends in, and where it stood
plt.rcParams.update(
    {
        "font.size": 15.5,
        "axes.titlesize": 15.5,
        "axes.labelsize": 15.5,
        "xtick.labelsize": 14.5,
        "ytick.labelsize": 14.5,
        "legend.fontsize": 15,
        "lines.linewidth": 2.6,
        "lines.markersize": 8,
        "axes.linewidth": 1.2,
        "font.family": "sans-serif",
    }
)


def show(fig: plt.Figure, alt: str) -> None:
    """A figure at its own size, 100 px an inch: 11.5 x 5.4 inches fill a slide, 5.5 x 5.2 a column.

    Raises:
        ValueError: without an alt text, or with text that is smaller than 20 px.
    """
    fig.draw_without_rendering()
    for text in fig.findobj(Text):
        size = text.get_fontsize() / 72 * plot.DPI
        if text.get_visible() and text.get_text().strip() and size < LEAST - 0.2:
            raise ValueError(f"{text.get_text()!r} has {size:.0f} px: {LEAST} at least")
    if not alt.strip():
        raise ValueError(
            "a figure needs an alt text: say what it shows to someone who can't see it"
        )
    width = round(fig.get_figwidth() * plot.DPI)
    display(Image(plot.png(fig, scale=1.5), width=width, alt=alt))


def live(widget, fig: plt.Figure, alt: str) -> None:
    """A widget that runs in the page, and the picture that stands for it on paper. The cell needs
    the tag "live".
    """
    display(widget)
    show(fig, alt)


def marked(text: str) -> str:
    """The text with its intervals, "(0.9 to 1.5)", set smaller, as HTML."""
    text = re.sub(r"(?<![\w.$^{])-(?=\d)", "−", text.replace(r"$\pm$", "±"))
    within = rf" ?\((?:95 %: )?({NUMBER} to {NUMBER})\)"
    return re.sub(within, r' <span class="interval">(\1)</span>', text)


def shown_last(text: str) -> str:
    """The text with each "not shown" at the end of its clause, behind the unit."""
    text = re.sub(rf"{LATER}([^{LATER}]*?)(?=[;:,.](?:\s|$)|$)", rf"\1{NOT_SHOWN}", text)
    return text.replace(LATER, NOT_SHOWN)


def less_nll(a: dict, b: dict, comparisons: int = 1) -> Interval:
    """By how many nats the test NLL of b's card is below a's: the results of two weights' headers.

    They keep standard errors over one and the same digits, so that the interval is that of two
    independent samples: wider than a paired one, since what is hard for one model is for the other.
    """
    error = math.hypot(a["test_nll_se"], b["test_nll_se"])
    reach = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / comparisons) * error
    less = a["test_nll"] - b["test_nll"]
    return Interval(less, less - reach, less + reach, b["n"], "test digits", comparisons)


def quoted(
    number: int, pattern: str, sentence: str, notebook: str = "", with_basis: bool = False
) -> str:
    """A sentence with what a notebook measured of the lecture's claim, and a link to the cell that
    did, as HTML.

    Args:
        pattern: a regular expression, searched in the measured text; its groups fill the sentence's
            `{}` in turn.
        notebook: beginning of its name, where several have measured the claim.
        with_basis: whether to say what the intervals rest on: "20 seeds". It is what the notebook
            says next behind the pattern, or within it.

    Raises:
        ValueError: no such claim, or nothing in its text that fits: the notebook has changed.
    """
    rows = [row for row in recipes.claims() if row["claim"] == number]
    rows = [row for row in rows if row["notebook"].startswith(notebook)]
    if len(rows) != 1:
        where = notebook or "any notebook"
        raise ValueError(f"claim {number} in {where}: {len(rows)} rows, expected one")
    name, cell, measured = (rows[0][key] for key in ("notebook", "cell", "measured"))
    found = re.search(pattern, measured)
    if not found:
        wanted = pattern.replace(VALUE, "{VALUE}")
        raise ValueError(f"claim {number}: {wanted!r} is not in {measured!r}")
    values = [marked(value).replace(NOT_SHOWN, LATER) for value in found.groups()]
    if with_basis and any("interval" in value for value in values):
        basis = r"95 % interval, ((?:[^;),]|,(?=\d))+(?:, corrected for \d+ comparisons)?)"
        rests_on = re.match(f"[^;]*?;? ?{basis}", measured[found.end() :])
        if rests_on := rests_on or re.search(basis, found[0]):
            sentence += f' <span class="basis">{rests_on[1]}</span>'
    link = f"../notebooks/{name}.ipynb#cell-id={cell}"
    text = shown_last(sentence.format(*values))
    return f'{text} <a href="{link}">{name.partition("_")[0]} · C{number}</a>'


def claim(number: int, pattern: str, sentence: str, notebook: str = "", against=False) -> None:
    """`quoted` with its basis, in a box; `against`: it contradicts what the lecture says, or limits
    it.
    """
    kind = "claim against" if against else "claim"
    text = quoted(number, pattern, sentence, notebook, with_basis=True)
    display(Markdown(f'<div class="{kind}">\n\n{text}\n\n</div>'))


def stacked(label: str, y: float, size: int) -> list[tuple[str, float]]:
    """The lines of a label about y, each with its height on the drawing."""
    lines = label.split("\n") if label else []
    return [(line, y + (i - (len(lines) - 1) / 2) * size * 1.2) for i, line in enumerate(lines)]


class Drawing:
    """A drawing for a slide. What is drawn with `step=1`, 2, ... appears with that key press;
    colours are names of the style sheet's.

        d = Drawing(900, 300, alt="z points at x")
        d.node(200, 150, "z", "vector")
        d.arrow(250, 150, 550, 150, step=1)
        d.node(600, 150, "x", "vector", seen=True)
        d.show()

    Raises:
        ValueError: without an alt text, or for text that is smaller than 20 px.
    """

    def __init__(self, width: int, height: int, alt: str):
        if not alt.strip():
            raise ValueError(
                "a drawing needs an alt text: say what it shows to someone who can't see it"
            )
        self.width, self.height, self.alt, self.parts = width, height, alt, []

    def add(self, svg: str, step: int | None = None) -> "Drawing":
        if step is not None:
            svg = f'<g class="fragment" data-fragment-index="{step}">{svg}</g>'
        self.parts.append(svg)
        return self

    def text(self, x, y, text: str, kind="", *, size=28, anchor="middle", colour="ink", step=None):
        """Text whose middle line is at y. `kind`: "" for words, "maths" for italic letters,
        "vector" for bold ones.
        """
        if size < LEAST:
            raise ValueError(f"{text!r} has {size} px: {LEAST} at least")
        place = f'x="{x}" y="{y}" class="{kind}" font-size="{size}" text-anchor="{anchor}"'
        look = f'dominant-baseline="central" style="fill: var(--{colour})"'
        return self.add(f"<text {place} {look}>{escape(text)}</text>", step)

    def formula(self, x, y, text: str, *, size=30, anchor="middle", colour="ink", step=None):
        """A short formula in letters: *z* is bold, _φ an index, other letters are italic."""
        place = f'x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}"'
        svg = f'<text {place} dominant-baseline="central" style="fill: var(--{colour})">'
        down = 0
        for bold, low, letter, other in re.findall(r"\*(.)\*|_(.)|([A-Za-zα-ωϕϵ])|(.)", text):
            italic = low or letter or ord(bold or "a") > 127
            family = "KaTeX_Math; font-style: italic" if italic else "KaTeX_Main"
            weight, shift = 700 if bold else 400, (0.22 * size if low else 0) - down
            down += shift
            height = max(LEAST, round(0.72 * size)) if low else size
            look = f"font-family: {family}; font-weight: {weight}; font-size: {height}px"
            sign = escape(bold or low or letter or other)
            svg += f'<tspan dy="{shift:.1f}" style="{look}; fill: var(--{colour})">{sign}</tspan>'
        return self.add(svg + "</text>", step)

    def trace(self, points, *, colour="ink", width: float = 4, dash="", fill=False, step=None):
        """A line through points (x, y), or the area within it."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        look = f"fill: none; stroke: var(--{colour})"
        if fill:
            look = f"fill: var(--{colour}); fill-opacity: 0.35"
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        line = f'stroke-width="{width}"{dashes} stroke-linejoin="round"'
        return self.add(f'<polyline points="{places}" style="{look}" {line}/>', step)

    def node(self, x, y, label: str, kind="vector", *, r=44, seen=False, colour="ink", step=None):
        """A random variable: a circle, shaded where it is observed."""
        fill = "var(--line)" if seen else "var(--paper)"
        look = f'style="stroke: var(--{colour}); fill: {fill}" stroke-width="3"'
        circle = f'<circle cx="{x}" cy="{y}" r="{r}" {look}/>'
        place = f'x="{x}" y="{y}" class="{kind}" font-size="38" text-anchor="middle"'
        letter = f'<text {place} dominant-baseline="central">{escape(label)}</text>'
        return self.add(circle + letter, step)

    def box(
        self, x, y, w, h, label="", kind="", *, colour="ink", size=28, round: int = 10, step=None
    ):
        """A rectangle about its middle (x, y), with a label of one or more lines."""
        if label and size < LEAST:
            raise ValueError(f"{label!r} has {size} px: {LEAST} at least")
        place = f'x="{x - w / 2}" y="{y - h / 2}" width="{w}" height="{h}" rx="{round}"'
        look = f'style="stroke: var(--{colour}); fill: var(--wash)" stroke-width="3"'
        svg = f"<rect {place} {look}/>"
        for line, at in stacked(label, y, size):
            place = f'x="{x}" y="{at}" class="{kind}" font-size="{size}" text-anchor="middle"'
            svg += f'<text {place} dominant-baseline="central">{escape(line)}</text>'
        return self.add(svg, step)

    def net(self, x, y, w, h, label="", *, narrow="", colour="model", size=26, step=None):
        """A network: a box, or a trapezium whose `narrow` side is "left" or "right"."""
        a, b = (0.28 * h if narrow == side else 0 for side in ("left", "right"))
        left, right, top, bottom = x - w / 2, x + w / 2, y - h / 2, y + h / 2
        points = [(left, top + a), (right, top + b), (right, bottom - b), (left, bottom - a)]
        corners = " ".join(f"{px},{py}" for px, py in points)
        look = f'style="stroke: var(--{colour}); fill: var(--wash)" stroke-width="3"'
        self.add(f'<polygon points="{corners}" {look} stroke-linejoin="round"/>', step)
        for line, at in stacked(label, y, size):
            self.text(x, at, line, size=size, step=step)
        return self

    def arrow(self, x1, y1, x2, y2, *, colour="ink", dashed=False, bend: float = 0, step=None):
        """From (x1, y1) to (x2, y2), with its middle pushed aside by `bend`: to the left of the way
        where it is positive.
        """
        across = np.array([y2 - y1, x1 - x2]) / max(np.hypot(x2 - x1, y2 - y1), 1e-9)
        mx, my = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) + bend * across
        way = np.array([x2 - mx, y2 - my]) if bend else np.array([x2 - x1, y2 - y1])
        way = way / max(np.hypot(*way), 1e-9)
        side = np.array([-way[1], way[0]])
        tip = np.array([x2, y2])
        left, right = tip - 18 * way + 8 * side, tip - 18 * way - 8 * side
        end = tip - 14 * way
        path = f"M{x1},{y1} Q{mx:.1f},{my:.1f} {end[0]:.1f},{end[1]:.1f}"
        dash = 'stroke-dasharray="9 8"' if dashed else ""
        head = f"{tip[0]},{tip[1]} {left[0]:.1f},{left[1]:.1f} {right[0]:.1f},{right[1]:.1f}"
        look = f'style="stroke: var(--{colour}); fill: none" stroke-width="3" {dash}'
        point = f'<polygon points="{head}" style="fill: var(--{colour})"/>'
        return self.add(f'<path d="{path}" {look}/>{point}', step)

    def image(self, x, y, w, h, pixels, *, frame="", step=None):
        """A picture about its middle (x, y): rows of grey values in [0, 1] (ink is dark), or of
        colours (H, W, 3).
        """
        values = (np.asarray(pixels, dtype=float).clip(0, 1) * 255).round().astype(np.uint8)
        kind = "coloured"
        if values.ndim == 2:
            values, kind = 255 - values, "grey"  # which the dark room turns over
        png = io.BytesIO()
        PIL.Image.fromarray(values).save(png, "PNG", optimize=True)
        url = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
        place = f'x="{x - w / 2}" y="{y - h / 2}" width="{w}" height="{h}"'
        svg = f'<image {place} href="{url}" class="{kind}" style="image-rendering: pixelated"/>'
        if frame:
            svg += f'<rect {place} style="fill: none; stroke: var(--{frame})" stroke-width="3"/>'
        return self.add(svg, step)

    def person(self, x, y, *, colour="ink", size: float = 1.0, hat="", step=None):
        """Head and shoulders about (x, y), about 120 px wide; `hat`: "" or "beret" or "mask"."""
        look = f'style="stroke: var(--{colour}); fill: var(--wash)" stroke-width="3"'
        svg = f'<g transform="translate({x} {y}) scale({size})" {look}>'
        svg += '<path d="M-62,78 C-62,22 -34,12 0,12 C34,12 62,22 62,78 Z"/>'
        svg += '<circle cx="0" cy="-24" r="33"/>'
        hats = {
            "beret": "M-42,-44 C-40,-78 36,-86 46,-50 C30,-42 -22,-38 -42,-44 Z",
            "mask": "M-34,-36 L34,-36 L31,-20 C20,-12 8,-14 0,-22 C-8,-14 -20,-12 -31,-20 Z",
        }
        if hat:
            svg += f'<path d="{hats[hat]}" style="fill: var(--{colour})"/>'
        return self.add(svg + "</g>", step)

    def _repr_svg_(self) -> str:
        size = f'width="{self.width}" height="{self.height}"'
        box = f'viewBox="0 0 {self.width} {self.height}"'
        about = f'xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(self.alt)}"'
        return f"<svg {about} {size} {box}>{''.join(self.parts)}</svg>"

    def show(self) -> None:
        display(SVG(self._repr_svg_()))
