"""A `slider_figure` for a page without a kernel: a film of its pictures at some places of its controls."""

import math
from itertools import product

import ipywidgets as widgets

from dgmcourse.plot import webp
from dgmcourse.widgets import figure
from dgmcourse.widgets.film import Film

MOST = 32  # pictures of a widget, 10 to 40 kB each
PRESSES = 4  # pictures that a button leads through


def film_of(widget: figure.SliderFigure, alt: str, most: int = MOST) -> Film:
    """The film of at most so many pictures; the first one shown is the one that the widget shows."""
    controls = list(widget.controls.values())
    values = [values_of(control) for control in controls]
    counts = shared_out([len(all_of_it) for all_of_it in values], most)
    starts = [v.index(near(v, control.value)) for v, control in zip(values, controls, strict=True)]
    chosen = [
        list(range(n)) if kind(control) == "button" else places(len(v), n, start)
        for control, v, n, start in zip(controls, values, counts, starts, strict=True)
    ]
    shown = [[v[i] for i in c] for v, c in zip(values, chosen, strict=True)]
    frames, frame = [], 0
    for at in product(*map(enumerate, shown)):
        if all(chosen[k][i] == starts[k] for k, (i, _) in enumerate(at)):
            frame = len(frames)
        with figure.one_thread():
            fig = widget.draw(**dict(zip(widget.controls, [v for _, v in at], strict=True)))
        frames.append(webp(fig))
    told = [
        {"label": c.description, "kind": kind(c), "values": [words(c, value) for value in v]}
        for c, v in zip(controls, shown, strict=True)
    ]
    width = round(float(widget.image.width))
    return Film(_frames=frames, _texts=[alt], _controls=told, _width=width, frame=frame)


def kind(control) -> str:
    kinds = {widgets.Checkbox: "box", figure.Button: "button"}
    return kinds.get(type(control), "slider")


def values_of(control) -> list:
    """All values of a control, in order."""
    if kind(control) == "box":
        return [False, True]
    if kind(control) == "button":
        return list(range(PRESSES))
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    steps = math.floor((control.max - control.min) / control.step + 1e-9)
    values = [control.min + i * control.step for i in range(steps + 1)]
    return values if isinstance(control.min, int) else [round(value, 9) for value in values]


def near(values: list, value):
    """The one of the values that is this one, but for rounding."""
    return value if value in values else min(values, key=lambda other: abs(other - value))


def shared_out(sizes: list[int], most: int) -> list[int]:
    """How many values of each control are shown, so that there are at most so many combinations: the
    control with most gives up first; where 2 of each are too many, the last ones stay as they are.
    """
    counts = list(sizes)
    while math.prod(counts) > most:
        largest = [i for i, count in enumerate(counts) if count == max(counts)]
        counts[largest[0] if max(counts) > 2 else largest[-1]] -= 1
    return counts


def places(size: int, count: int, start: int) -> list[int]:
    """`count` places among 0, ..., size - 1, evenly spread, with both ends and `start` among them."""
    chosen = {round(i * (size - 1) / max(count - 1, 1)) for i in range(count)}
    if start not in chosen:
        inner = sorted(chosen - {0, size - 1}) or sorted(chosen)
        chosen.remove(min(inner, key=lambda i: abs(i - start)))
    return sorted(chosen | {start})


def words(control, value) -> str:
    """A value as the control shows it."""
    if hasattr(control, "options"):
        pairs = [o if isinstance(o, tuple) else (str(o), o) for o in control.options]
        return next(str(label) for label, other in pairs if other == value)
    look = getattr(control, "readout_format", "")
    return format(value, look if isinstance(control, widgets.FloatSlider) else "")
