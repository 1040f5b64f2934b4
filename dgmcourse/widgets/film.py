"""A film of ready-made pictures with a play button and a slider; it needs no kernel.

    film([draw(i) for i in range(24)], texts=["a point on the axis", ...], label="step")

The pictures are sent once and decoded at the start, so they do not flicker. For a slider whose
pictures must be computed there is `slider_figure`.
"""

import anywidget
import traitlets
from matplotlib.figure import Figure

from dgmcourse.plot import DPI, webp
from dgmcourse.widgets import esm


class Film(anywidget.AnyWidget):
    """The widget that `film` returns. Set `frame`, from 0, to show that picture; what the reader
    chooses stays in the browser.
    """

    _esm = esm("film")
    _frames = traitlets.List(traitlets.Bytes()).tag(sync=True)  # WebP
    # the alt text of each, also shown below it; or one for all
    _texts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    # of each control its label, kind (slider, box or button) and its values as they are shown
    _controls = traitlets.List(traitlets.Dict()).tag(sync=True)
    _seconds = traitlets.Float(0.0).tag(sync=True)  # each is seen while it plays; 0: it can't
    _width = traitlets.Int().tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)

    @traitlets.validate("frame")
    def _one_of_them(self, proposal):
        return min(max(proposal.value, 0), len(self._frames) - 1)

    def __repr__(self):
        return f"A film of {len(self._frames)} pictures: run this cell to play it."


def film(
    figures: list[Figure],
    texts: list[str],
    *,
    label: str = "step",
    seconds: float = 0.7,
    start: int = 0,
) -> Film:
    """Show figures of one size one after another; each is closed.

    Args:
        texts: what each picture shows, for those who can't see it; it stands below the picture as
            its caption.
        label: of the slider.
        seconds: how long each is seen while it plays.
        start: the picture shown first, from 0.

    Raises:
        ValueError: without figures, without a text for each, or for figures of different sizes.
    """
    if not figures or len(texts) != len(figures) or not all(text.strip() for text in texts):
        raise ValueError(
            f"a film needs pictures and a text for each: got {len(figures)} pictures and"
            f" {len(texts)} texts"
        )
    if len({tuple(figure.get_size_inches()) for figure in figures}) > 1:
        raise ValueError("the pictures of a film have one size: they would jump")
    width = round(figures[0].get_figwidth() * DPI)
    frames = [webp(figure) for figure in figures]
    places = [f"{i} / {len(frames)}" for i in range(1, len(frames) + 1)]
    look = {"_controls": [{"label": label, "kind": "slider", "values": places}], "_width": width}
    return Film(_frames=frames, _texts=list(texts), _seconds=seconds, frame=start, **look)
