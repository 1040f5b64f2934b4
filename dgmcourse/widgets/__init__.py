"""Widgets: one module each, its JavaScript beside it, with the helpers of common.js before it."""

from pathlib import Path

from IPython.display import HTML, display
from matplotlib.figure import Figure

from dgmcourse.plot import caption_html, picture

HERE = Path(__file__).parent


def esm(*names: str) -> str:
    """The JavaScript module of a widget, its `_esm`: common.js, then each NAME.js."""
    return "\n".join(
        (HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("common", *names)
    )


def show(widget, figure: Figure, alt: str, caption: str = "") -> None:
    """Show a widget. Where none can run, its picture stands in its place.

    Both are one output: JupyterLab takes the widget where a kernel runs, and the picture before
    that; a code host and a printed page have the picture.

    Args:
        figure: the widget in a typical state, as `latent_grid`, `film`, ... draw it.
        alt: this picture, of that state, in words. The `alt` of a `slider_figure` says what any of its
            pictures shows.

    Raises:
        ValueError: without an alt text.
    """
    data, metadata = picture(figure, alt)._repr_mimebundle_()
    view = widget._repr_mimebundle_()  # of an anywidget with its metadata
    view = view[0] if isinstance(view, tuple) else view
    display(data | view, metadata=metadata, raw=True)
    display(HTML(caption_html(caption, alt)))
