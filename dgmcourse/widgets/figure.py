"""A figure with sliders: a function that draws, and one control for each of its arguments.

    def draw(mu, S, seed):
        ...
        return fig

    slider_figure(draw, alt="...", mu=(-3.0, 3.0, 0.1, 1.0), S=[1, 10, 100], seed="new sample")

The picture is one `widgets.Image` whose bytes are replaced, so that it neither flickers nor jumps.
The browser sends a slider's next value only when the kernel has answered the last one, so that
dragging does not queue up drawings.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from threading import RLock

import ipywidgets as widgets
import torch
import traitlets
from matplotlib.figure import Figure

from dgmcourse.plot import DPI, SHOWN, png

LETTERS = "mu sigma epsilon alpha beta tau lambda_ pi theta phi".split()
SYMBOLS = dict(zip(LETTERS, "μσεαβτλπθφ", strict=True))
LAYOUT = {"layout": {"width": "22em"}, "style": {"description_width": "6.5em"}}
# Not seen, but read by screen readers.
HIDDEN = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)"

# The kernel answers widgets in several threads, which share pyplot's current figure.
DRAWING = RLock()


class SliderFigure(widgets.VBox):
    """The widget that `slider_figure` returns: `controls` by name (set their `.value`), `image`,
    `alt`, and `message` for errors.
    """

    def __init__(self, draw: Callable[..., Figure], alt: str, controls: dict[str, widgets.Widget]):
        self.draw, self.controls = draw, controls
        self.image = widgets.Image(
            format="png"
        )  # has no alt text: it stands in an element of its own
        text = f'<span style="{HIDDEN}">Picture: {escape(alt)}</span>'
        self.alt = widgets.HTML(text, layout={"height": "0", "margin": "0"})
        self.message = widgets.HTML()
        for control in controls.values():
            control.observe(self._update, names="value")
        row = widgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.message, self.alt, self.image])
        self._draw()

    def _draw(self) -> None:
        with DRAWING, one_thread():
            figure = self.draw(**{name: control.value for name, control in self.controls.items()})
            self.image.width = str(round(figure.get_figwidth() * DPI * SHOWN))
            self.image.value = png(figure, scale=SHOWN)  # a frame counts more than sharpness

    def _update(self, change) -> None:
        try:
            self._draw()
            self.message.value = ""
        except Exception as error:  # a callback has no cell that would show it
            text = escape(f"{type(error).__name__}: {error}")
            self.message.value = (
                f'<p role="alert" style="color: #D55E00">The picture is not up to date. {text}</p>'
            )
            raise


class Button(widgets.Button):
    """A button whose `value` is how often it was pressed: a seed for "new sample"."""

    value = traitlets.Int(0)

    def __init__(self, description: str):
        super().__init__(description=description)
        self.on_click(lambda _: setattr(self, "value", self.value + 1))


def slider_figure(draw: Callable[..., Figure], *, alt: str, **controls) -> SliderFigure:
    """Show a figure that is drawn again whenever a control is moved, by mouse or arrow keys.

    Args:
        draw: called as draw(**values); returns a matplotlib figure of a fixed size, in 0.1 s or so.
        alt: what the picture shows, for those who can't see it.
        controls: for each argument of `draw` one of
            (low, high, step, start), a slider, of integers if all four are;
            a list of options, a slider over them that starts at the first;
            True or False, a box to tick;
            a string, a button with that label: `draw` gets how often it was pressed, a seed;
            any ipywidget with a `value`, as it is.

    Raises:
        ValueError: without an alt text.
        Exception: whatever `draw` raises at first; what it raises later stands above the picture.
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
    look = {"description": label, "readout_format": f".{places}f", **LAYOUT}
    return widgets.FloatSlider(start, min=low, max=high, step=step, **look)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: for small tensors, waiting for a second thread on a busy core can take
    a hundred times as long as the work itself.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
