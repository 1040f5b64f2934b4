"""Tensors to figures, in the course's one visual language.

A colour always means the same thing: data, model, prior, posterior, noise, critic. The colours are
Okabe & Ito's, told apart by readers with any colour vision; lines and markers differ as well, for
greyscale.
"""

import io
import math
import os
import sys
import warnings
from html import escape
from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import torch
from IPython.display import HTML, Image, Markdown, display
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from matplotlib.transforms import Bbox
from torch import Tensor
from tqdm import tqdm

DATA, MODEL, PRIOR = "#333333", "#0072B2", "#009E73"
POSTERIOR, NOISE, CRITIC = "#D55E00", "#999999", "#CC79A7"
CLASSES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"]
CLASSES += ["#D55E00", "#7F7F00", "#332288", "#882255", "#666666"]
WIDTH, DPI = 7.2, 100  # of a text column: inches as drawn, and pixels an inch
SHOWN = 1.25  # times as large as drawn: 900 pixels, nearly as wide as JupyterLab's prose
COLOURS = 128  # of a stored picture's palette

LOOKS = {  # colour and line of an objective's parts
    "elbo": (MODEL, "-"),
    "log_p": (MODEL, "-"),
    "reconstruction": (POSTERIOR, "--"),
    "kl": (PRIOR, ":"),
    "discriminator": (CRITIC, "-"),
    "generator": (MODEL, "--"),
    "cost": (MODEL, "-"),
    "real": (DATA, "-"),
    "fake": (MODEL, "--"),
    "distance": (CRITIC, "-"),
}
# Which parts of a game, or of a training with a cost, belong in one picture.
VERDICTS, SIDES, DISTANCE = ("real", "fake"), ("discriminator", "generator", "cost"), ("distance",)

STYLE = {
    "figure.max_open_warning": 0,  # a notebook that is stopped half-way may leave some open
    "figure.figsize": (WIDTH, 3.0),
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#333333",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.prop_cycle": matplotlib.cycler(color=[MODEL, POSTERIOR, PRIOR, CRITIC, NOISE, DATA]),
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.cmap": "gray_r",
    "mathtext.fontset": "cm",
}
plt.rcParams.update(STYLE)


def show(fig: plt.Figure, alt: str, caption: str = "") -> None:
    """Put a figure in the notebook, with a caption that states the finding and an alternative text.

    The text is the image's `alt`, and it stands folded below the picture, too: JupyterLab and
    nbconvert's templates leave out the alt of an output's image.

    Raises:
        ValueError: without an alt text.
    """
    display(picture(fig, alt))
    display(HTML(caption_html(caption, alt)))


def picture(fig: plt.Figure, alt: str) -> Image:
    """The figure as a PNG image of its own size with its alt text; the figure is closed."""
    if not alt.strip():
        raise ValueError(
            "a figure needs an alt text: say what it shows to someone who can't see it"
        )
    return Image(png(fig), width=round(fig.get_figwidth() * DPI * SHOWN), alt=alt)


def png(fig: plt.Figure, scale: float = 1.5 * SHOWN) -> bytes:
    """The figure as PNG bytes, with `scale` times the drawn pixels: sharp at 150 % zoom."""
    small = io.BytesIO()
    _drawn(fig, scale).save(small, format="png", optimize=True)
    return small.getvalue()


def webp(fig: plt.Figure, scale: float = SHOWN) -> bytes:
    """The same pixels as WebP, half the bytes: for browsers, since notebooks' viewers know PNG only."""
    small = io.BytesIO()
    _drawn(fig, scale).convert("RGB").save(small, format="webp", lossless=True, method=4)
    return small.getvalue()


def _drawn(fig: plt.Figure, scale: float) -> PIL.Image.Image:
    """The figure's pixels, `scale` times as many as drawn; the figure is closed.

    A palette of 128 colours, without a visible loss, takes a third of the bytes of full colour.
    With DGMCOURSE_STRICT=1, as where the notebooks are built, texts that overlap are warned of.
    """
    if os.environ.get("DGMCOURSE_STRICT") == "1":
        for pair in overlapping_texts(fig):
            warnings.warn("texts of a figure overlap: {!r} and {!r}".format(*pair), stacklevel=4)
    pixels = io.BytesIO()
    fig.savefig(
        pixels, format="png", dpi=DPI * scale, facecolor="white", pil_kwargs={"compress_level": 1}
    )
    plt.close(fig)
    image = PIL.Image.open(pixels).convert("RGB")
    return image.quantize(COLOURS, dither=PIL.Image.Dither.NONE)


def overlapping_texts(fig: plt.Figure) -> list[tuple[str, str]]:
    """The pairs of texts of a figure that overlap: titles, labels, ticks, names."""
    fig.draw_without_rendering()  # at the figure's own resolution, as the boxes are measured
    boxes = [(text.get_text(), _box(text)) for text in _texts(fig)]
    return [(a, b) for (a, one), (b, other) in combinations(boxes, 2) if one.overlaps(other)]


def _texts(fig: plt.Figure) -> list[Text]:
    """The texts that are seen: ticks beyond an axis's limits and those of a hidden axis are not."""
    hidden = set()
    for ax in [*fig.axes, *(inset for outer in fig.axes for inset in outer.child_axes)]:
        for axis in (ax.xaxis, ax.yaxis):
            off = not (ax.axison and axis.get_visible())
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if off or not low - slack <= tick.get_loc() <= high + slack:
                    hidden |= {tick.label1, tick.label2}
            hidden |= {axis.label, axis.offsetText} if off else set()
    return [
        text
        for text in fig.findobj(Text)
        if text.get_text().strip() and text.get_visible() and text not in hidden
        if text.axes is None or text.axes.get_visible()
    ]


def _box(text: Text) -> Bbox:
    """Where a text stands, in pixels, without a rim of a point; an annotation without its arrow."""
    return Text.get_window_extent(text).padded(-text.figure.dpi / 72)


def label_points(ax: plt.Axes, x, y, names: list[str], size: float = 9) -> None:
    """Write its name beside each point, where it meets no point and no other text of the axis.

    Of the places around its point, near ones first, a name takes the one that overlaps least. A name
    that stands farther off is tied to its point by a line. Call it last: it goes by the limits of
    the axis and by the texts that are there.

    Args:
        x, y: (N,), the points, in the units of the axis.
        size: of the letters, in points, and of the marks.
    """
    fig = ax.figure
    fig.draw_without_rendering()  # lays the figure out
    unit = fig.dpi / 72  # pixels a point
    points = ax.transData.transform(np.column_stack([_floats(x), _floats(y)]))
    marks = [_around(point, (size * unit, size * unit)) for point in points]
    others = marks + [text.get_window_extent() for text in _texts(fig) if text.axes is ax]
    look = {"fontsize": size, "ha": "center", "va": "center", "textcoords": "offset points"}
    look["arrowprops"] = {"arrowstyle": "-", "linewidth": 0.6, "color": NOISE, "shrinkB": size / 2}
    texts = [
        ax.annotate(name, xy, (0, 0), **look)
        for name, xy in zip(names, zip(x, y, strict=True), strict=True)
    ]
    extents = [Text.get_window_extent(text).size + [0.4 * size * unit, 0] for text in texts]
    circle = [np.array([math.cos(a), math.sin(a)]) for a in np.arange(16) * math.pi / 8]
    places = [(gap, way) for gap in size * np.array([0.7, 1.1, 2, 3, 4.5]) for way in circle]
    boxes = {}
    for i in [*range(len(texts))] * 3:  # in later rounds it is known where all other names are
        taken = others + [box for k, box in boxes.items() if k != i]
        costs = {}
        for gap, way in places:
            box = _around(points[i] + way * (gap * unit + extents[i] / 2), extents[i])
            covered = sum(_shared(box, other) for other in taken)
            outside = box.width * box.height - _shared(box, ax.bbox)
            costs[box] = covered + 10 * outside + gap + abs(way[1]), gap  # best right or left
        boxes[i] = min(costs, key=costs.get)
        texts[i].arrow_patch.set_visible(costs[boxes[i]][1] > 1.5 * size)
        middle = (boxes[i].p0 + boxes[i].p1) / 2
        texts[i].xyann = (middle - points[i]) / unit


def _around(middle: np.ndarray, size) -> Bbox:
    return Bbox([middle - np.array(size) / 2, middle + np.array(size) / 2])


def _shared(a: Bbox, b: Bbox) -> float:
    """The area that two boxes have in common."""
    both = Bbox.intersection(a, b)
    return both.width * both.height if both else 0.0


def caption_html(caption: str, alt: str = "") -> str:
    """The caption, and below it, folded, the picture in words."""
    style = "max-width: 900px; margin: 0 0 1em; opacity: .8; font-size: 92%"
    text = f"<p style='margin: 0'>{escape(caption)}</p>" if caption else ""
    words = f"<details><summary>The picture in words</summary>{escape(alt)}</details>"
    return f'<div style="{style}">{text}{words if alt else ""}</div>'


def markdown(*lines: str) -> None:
    """Put lines of Markdown in the notebook: a sentence, or the rows of a table."""
    display(Markdown("\n".join(lines)))


def on_request(summary: str, *lines: str) -> None:
    """Put lines of Markdown in the notebook, folded under a summary: what a caption leaves out."""
    markdown(f"<details><summary>{summary}</summary>", "", *lines, "", "</details>")


def measured(finding: str) -> None:
    """Put what a cell found in the notebook: "Measured." and the finding, as a sentence."""
    markdown(f"**Measured.** {finding[0].upper()}{finding[1:]}.")


def claims_table(claims: dict, measured: dict[str, str]) -> None:
    """A notebook's closing table: what the lecture claims, and what was measured of it.

    Args:
        claims: number of the claim, or "claim-NUMBER", -> what the lecture says.
        measured: "claim-NUMBER" -> what was found.
    """
    rows = [f"| {says} | {measured[f'claim-{n}']} |" for n, says in claims.items()]
    markdown("| the lecture says | you measured |", "|:--|:--|", *rows)


def mean_and_error(values, spec: str = ".1f", pm: str = "±") -> str:
    """The mean of N independent values and its standard error, as "1.2 ± 0.3".

    Args:
        values: (N,), a tensor, an array or a list.
        spec, pm: as for `value_and_error`.
    """
    return value_and_error(_floats(values).mean().item(), standard_error(values), spec, pm)


def value_and_error(value: float, error: float, spec: str = ".1f", pm: str = "±") -> str:
    """A value and its standard error, as "1.2 ± 0.3"; without an error (nan) the value alone.

    Args:
        spec: the format of both numbers, for example ".2f", ".0%" or ",.1f"; "+.1f" gives the value
            its sign.
        pm: what stands between them.
    """
    if math.isnan(error):
        return f"{value:{spec}}"
    return f"{value:{spec}} {pm} {error:{spec.removeprefix('+')}}"


def standard_error(values) -> float:
    """The standard error of the mean of N independent values: their standard deviation (divisor
    N - 1) over the root of N; nan for one value.
    """
    values = _floats(values)
    return (values.std() / len(values) ** 0.5).item() if len(values) > 1 else math.nan


def _floats(values) -> Tensor:
    values = values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))
    return values if values.is_floating_point() else values.double()


def progress(items=None, desc: str = "", total: int | None = None) -> tqdm:
    """The items, with a progress bar below the cell that counts them as they are taken. Without
    items a bar of this total, which `.update()` moves on.
    """
    layout = "{desc} |{bar:24}| {n}/{total}"
    return tqdm(items, desc=desc, total=total, file=sys.stdout, bar_format=layout)


def tile(x: Tensor, columns: int = 10, side: int | None = None, gap: int = 2) -> np.ndarray:
    """Rows of pixels (N, side * side) as one picture, `columns` to a line, N padded with blanks.

    Raises:
        ValueError: if no side is given and the row is not that of a square image.
    """
    side = side or side_of(torch.as_tensor(x).shape[-1])
    if side is None:
        raise ValueError(
            f"a row of {x.shape[-1]} numbers is no square image: expected (N, side * side)"
        )
    x = torch.as_tensor(x).detach().float().cpu().reshape(-1, side, side)
    lines = -(-len(x) // columns)
    canvas = torch.zeros(lines * (side + gap) - gap, columns * (side + gap) - gap)
    for i, image in enumerate(x):
        top, left = (i // columns) * (side + gap), (i % columns) * (side + gap)
        canvas[top : top + side, left : left + side] = image
    return canvas.numpy()


def side_of(pixels: int) -> int | None:
    """The side of the square image with so many pixels, if there is one."""
    return side if (side := math.isqrt(pixels)) ** 2 == pixels else None


def full_contrast(x: Tensor) -> Tensor:
    """Faint images (N, D), each scaled so that its darkest hundredth of pixels is black."""
    return (x / x.quantile(0.99, -1, keepdim=True).clamp_min(1e-6)).clamp(0, 1)


def draw_images(ax: plt.Axes, x: Tensor, columns: int = 10, title: str = "") -> None:
    """Square images, (N, 784) for instance, in [0, 1], tiled into an axis: ink is dark."""
    ax.imshow(tile(x, columns), vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()


def images(
    x: Tensor, columns: int = 10, titles: list[str] | None = None, width: float = WIDTH
) -> plt.Figure:
    """A figure of images (N, 784), or of several such blocks one under another, each with a title
    at its left.
    """
    blocks = x if isinstance(x, list | tuple) else [x]
    titles = titles or [""] * len(blocks)
    lines = [line for title in titles for line in title.split("\n") if line.strip()]
    size = plt.rcParams["font.size"]
    widths = [TextPath((0, 0), line, size=size).get_extents().width / 72 for line in lines]
    gap, space = 0.12, 0.06  # inches, as all that follows
    label = max(1.2, 0.25 + max(widths)) if lines else 0
    across = width - label
    shapes = [tile(block, columns).shape for block in blocks]
    heights = [across * high / wide for high, wide in shapes]
    total = sum(heights) + space * (len(blocks) + 1)
    fig = plt.figure(figsize=(width, total), layout="none")
    top = total
    for block, title, height in zip(blocks, titles, heights, strict=True):
        top -= height + space
        ax = fig.add_axes((label / width, top / total, across / width, height / total))
        draw_images(ax, block, columns)
        ax.text(-gap / across, 0.5, title, transform=ax.transAxes, ha="right", va="center")
    return fig


def curves(history, parts=None) -> list[tuple[str, list[float], dict]]:
    """The running curve of each part: its label, values, and colour and line as matplotlib's.

    Labels are the model's `parts`. The KL is drawn as -KL, like the other term of the bound.

    Args:
        parts: names, or {name: (colour, line, label)}; by default those that the model declares, or
            all that the history has if these are others.
    """
    there = [name for name in (history.steps or [{}])[0] if name != "step"]
    if parts is None:
        parts = [name for name in there if name in history.labels] or there
        parts = sorted(parts, key=lambda name: [*LOOKS, name].index(name))
    found = []
    for i, name in enumerate(name for name in parts if name in there):
        sign, minus = (-1, "-") if name == "kl" else (1, "")
        colour, line = LOOKS.get(name, (CLASSES[(i + 1) % len(CLASSES)], "-."))
        label = minus + history.labels.get(name, name)
        if isinstance(parts, dict):
            colour, line, label = parts[name]
        values = [sign * row[name] for row in history.steps]
        found.append((label, values, {"color": colour, "linestyle": line}))
    return found


def draw_curves(
    ax: plt.Axes, history, valid: bool = True, *, parts=None, unit: str = "nats per image"
) -> None:
    """The parts of the objective (`parts` as in `curves`), running averages, against the step, and
    its validation value at epochs' ends.
    """
    step = [row["step"] for row in history.steps]
    for label, values, look in curves(history, parts):
        ax.plot(step, values, label=label, **look)
    if valid and history.epochs and "valid" in history.epochs[0] and step:
        per_epoch = step[-1] / max(1, len(history.epochs))
        at = [per_epoch * (i + 1) for i in range(len(history.epochs))]
        ax.plot(at, history["valid"], "o", color=DATA, ms=4, label="validation")
    ax.set(xlabel="step", ylabel=unit)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower right" if parts is None else "best")


class Live:
    """Give it to `fit(..., live=Live())`: the curve, and samples from one fixed set of z, redrawn
    while training runs.

    The curve alone, where the samples are no square images. For a game of two: `play(...,
    live=Live(parts=VERDICTS, unit="mean verdict", draw=lambda game: game.sample(20),
    title="fakes"))`.

    Args:
        samples: how many, of a model with a prior and a decoder, whose means are shown.
        seed: of what is drawn.
        parts: which parts of the objective, as in `curves`: VERDICTS, SIDES or DISTANCE of a game.
        unit: of the curves.
        draw: a function of the model that gives other images, (n, pixels).
        columns, title: of the images.
    """

    def __init__(
        self,
        samples: int = 20,
        seed: int = 0,
        *,
        parts=None,
        unit: str = "nats per image",
        draw=None,
        columns: int = 5,
        title: str = "samples (means)",
    ):
        self.seed, self.parts, self.unit, self.columns, self.title = (
            seed,
            parts,
            unit,
            columns,
            title,
        )
        self.draw = draw or (lambda model: model.decoder(model.prior.sample((samples,))).mean)
        # One figure, cleared each time: closed ones wait for the garbage collector.
        self.figure = self.handle = None

    def __call__(self, model, history) -> None:
        if not history.steps:
            return
        self.figure = self.figure or plt.figure(figsize=(WIDTH, 2.6))
        self.figure.clear()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            x = self.draw(model)
        pictures = side_of(x.shape[-1]) is not None
        left, *right = self.figure.subplots(
            1, 1 + pictures, width_ratios=(1.5, 1)[: 1 + pictures], squeeze=False
        )[0]
        draw_curves(left, history, parts=self.parts, unit=self.unit)
        if pictures:
            draw_images(right[0], x, self.columns, self.title)
        image = picture(self.figure, self.alt(history, len(x) if pictures else 0))
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)

    def alt(self, history, images: int) -> str:
        """The picture in words: the last values of the curves, and the number of images."""
        reached = [f"{label} {values[-1]:.3g}" for label, values, _ in curves(history, self.parts)]
        words = f"Curves after {history.steps[-1]['step']} steps, in {self.unit}: "
        words += ", ".join(reached)
        return words + (f"; and {images} generated images." if images else ".")


def draw_arrow(
    ax: plt.Axes, start, end, colour: str = DATA, line: str = "-", bend: float = 0.0
) -> None:
    """An arrow of a diagram from point to point, straight or bent like a bow."""
    style = {"arrowstyle": "-|>", "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
    style |= {"color": colour, "linestyle": line, "connectionstyle": f"arc3,rad={bend}"}
    ax.annotate("", end, start, arrowprops=style)


def vae_diagram() -> plt.Figure:
    """The lecture's diagram: x -> encoder -> z -> decoder -> x, with the prior above z, and below
    the two terms of the bound.
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 2.7))
    ax.set(xlim=(0, 10), ylim=(0, 3.75), aspect="equal")
    ax.set_axis_off()

    def shape(corners, colour):
        style = {"facecolor": colour + "22", "edgecolor": colour, "linewidth": 1.8}
        ax.add_patch(plt.Polygon(corners, closed=True, **style))

    def word(x, y, text, colour=DATA, **kwargs):
        ax.text(x, y, text, color=colour, **{"ha": "center", "va": "center"} | kwargs)

    for left in (0.15, 9.05):
        shape([(left, 0.95), (left + 0.8, 0.95), (left + 0.8, 2.35), (left, 2.35)], DATA)
        word(left + 0.4, 1.65, r"$\mathbf{x}$", fontsize=15)
    shape([(1.75, 0.85), (3.65, 1.2), (3.65, 2.1), (1.75, 2.45)], POSTERIOR)
    shape([(6.35, 1.2), (8.25, 0.85), (8.25, 2.45), (6.35, 2.1)], MODEL)
    ax.add_patch(plt.Circle((5, 1.65), 0.42, facecolor="white", edgecolor=DATA, linewidth=1.8))
    shape([(4.15, 2.85), (5.85, 2.85), (5.85, 3.65), (4.15, 3.65)], PRIOR)
    for x, y, name, formula, colour in (
        (2.7, 1.65, "encoder", r"$q_\phi(\mathbf{z}|\mathbf{x})$", "#A34700"),
        (7.3, 1.65, "decoder", r"$p_\theta(\mathbf{x}|\mathbf{z})$", MODEL),
        (5, 3.25, "prior", r"$p_\lambda(\mathbf{z})$", "#00694D"),
    ):
        word(x, y + 0.19, name, colour, fontsize=10)
        word(x, y - 0.19, formula, colour, fontsize=12)
    word(5, 1.65, r"$\mathbf{z}$", fontsize=15)
    for start, end in ((0.95, 1.72), (3.65, 4.55), (5.42, 6.32), (8.25, 9.02)):
        draw_arrow(ax, (start, 1.65), (end, 1.65))
    draw_arrow(ax, (5, 2.85), (5, 2.1))
    divergence = r"\mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x})\,\|\,p_\lambda(\mathbf{z})]"
    word(3.0, 0.3, rf"regulariser: $-\,{divergence}$", "#A34700")
    word(7.6, 0.3, r"reconstruction: $\mathrm{E}_q[\log p_\theta(\mathbf{x}|\mathbf{z})]$", MODEL)
    return fig
