"""Widgets that ask the kernel, made so that a page without one can answer.

web/live.py calls `alone` in the kernel that makes a notebook's widgets, before anything else.
"""

from dgmcourse.widgets import figure, pixels
from web.frames import film_of
from web.pads import with_answers, with_networks


def alone() -> None:
    """From here on `slider_figure` gives a film, and the pads of pixels have their answers in them."""
    slider_figure, reach_explorer = figure.slider_figure, pixels.reach_explorer
    pixel_writer = pixels.pixel_writer

    def film(draw, *, alt, **controls):
        return film_of(slider_figure(draw, alt=alt, **controls), alt)

    figure.slider_figure = film
    pixels.reach_explorer = lambda *args, **named: with_answers(reach_explorer(*args, **named))
    pixels.pixel_writer = lambda *args, **named: with_networks(pixel_writer(*args, **named))
