"""A figure with sliders: a function that draws, and one control for each of its arguments.

    def draw(mu, S, seed):
        ...
        return fig

    slider_figure(draw, alt="...", mu=(-3.0, 3.0, 0.1, 1.0), S=[1, 10, 100], seed="new sample")

The picture is one `widgets.Image` whose bytes are replaced: nothing flickers or jumps. The browser
holds a slider's next value back until the kernel has answered the last, so dragging never queues up
more drawings than are seen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from threading import RLock

import ipywidgets as widgets
import torch
import traitlets
from matplotlib.figure import Figure

from dgmcourse.plot import DPI, png

SYMBOLS = dict(
    zip("mu sigma epsilon alpha beta tau lambda_ pi theta phi".split(), "μσεαβτλπθφ", strict=True)
)
LAYOUT = {"layout": {"width": "22em"}, "style": {"description_width": "6.5em"}}
HIDDEN = (  # but read aloud
    "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)"
)


DRAWING = (
    RLock()
)  # the kernel answers widgets in several threads, and pyplot's current figure is everybody's


class SliderFigure(widgets.VBox):
    """What `slider_figure` returns: `controls` by name (set their `.value`), `image`, `alt`,
    `message` for errors.
    """

    def __init__(self, draw: Callable[..., Figure], alt: str, controls: dict[str, widgets.Widget]):
        self.draw, self.controls = draw, controls
        self.image = widgets.Image(
            format="png"
        )  # which has no alt text, and whose `tooltip` the front end can't show
        self.alt = widgets.HTML(
            f'<span style="{HIDDEN}">Picture: {escape(alt)}</span>',
            layout={"height": "0", "margin": "0"},
        )
        self.message = widgets.HTML()
        for control in controls.values():
            control.observe(self._update, names="value")
        row = widgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.message, self.alt, self.image])
        self._draw()

    def _draw(self) -> None:
        with DRAWING, one_thread():
            figure = self.draw(**{name: control.value for name, control in self.controls.items()})
            self.image.width = str(round(figure.get_figwidth() * DPI))
            self.image.value = png(figure)

    def _update(self, change) -> None:
        try:
            self._draw()
            self.message.value = ""
        except Exception as error:  # a kernel's callback has no cell to show it in
            text = escape(f"{type(error).__name__}: {error}")
            self.message.value = (
                f'<p role="alert" style="color: #D55E00">The picture is not up to date. {text}</p>'
            )
            raise


class Button(widgets.Button):
    """A button with a `value`, the number of times it was pressed: a seed for "new sample"."""

    value = traitlets.Int(0)

    def __init__(self, description: str):
        super().__init__(description=description)
        self.on_click(lambda _: setattr(self, "value", self.value + 1))


def slider_figure(draw: Callable[..., Figure], *, alt: str, **controls) -> SliderFigure:
    """A figure that is drawn again whenever a control is moved, by mouse or by the arrow keys.

    Args:
        draw: called as draw(**values), returns a matplotlib figure: fast (0.1 s), and of a fixed
            size.
        alt: what the picture shows, for those who can't see it.
        controls: for each argument of `draw` one of
            (low, high, step, start), a slider, of integers if all four are;
            a list of options, a slider over them that starts at the first;
            True or False, a box to tick;
            a string, a button with that label: `draw` gets how often it was pressed, a seed;
            any ipywidget with a `value`, as it is.

    Raises:
        ValueError: without an alt text.
        Exception: whatever `draw` raises, at once; later, above the picture.
    """
    if not alt.strip():
        raise ValueError(
            "a figure needs an alt text: say what it shows to someone who can't see it"
        )
    return SliderFigure(draw, alt, {name: control(name, what) for name, what in controls.items()})


def control(name: str, what) -> widgets.Widget:
    label = SYMBOLS.get(name, name.replace("_", " "))
    if isinstance(what, widgets.Widget):
        return what
    if isinstance(what, str):
        return Button(what)
    if isinstance(what, bool):
        return widgets.Checkbox(value=what, description=label, indent=False)
    if isinstance(what, list):
        return widgets.SelectionSlider(options=what, value=what[0], description=label, **LAYOUT)
    low, high, step, start = what
    if all(isinstance(number, int) for number in what):
        return widgets.IntSlider(start, low, high, step, description=label, **LAYOUT)
    places = len(f"{step:g}".partition(".")[2])
    return widgets.FloatSlider(
        start,
        min=low,
        max=high,
        step=step,
        description=label,
        readout_format=f".{places}f",
        **LAYOUT,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Small tensors on one thread: a second one that waits for a busy core costs a hundred times
    the work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
