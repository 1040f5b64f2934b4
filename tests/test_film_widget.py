"""The film of ready-made pictures, as the kernel has it; its playing is seen in tests/browser."""

import io

import PIL.Image
import pytest

from dgmcourse.plot import DPI, plt
from dgmcourse.widgets.film import film


def pictures(n=3):
    figures = [plt.figure(figsize=(4, 2)) for _ in range(n)]
    for i, figure in enumerate(figures):
        figure.add_subplot().plot(range(i + 2))
    return figures


def test_each_figure_becomes_a_picture_of_its_own_and_is_closed():
    figures = pictures()
    widget = film(figures, ["one", "two", "three"])
    assert [PIL.Image.open(io.BytesIO(frame)).size for frame in widget._frames] == [(500, 250)] * 3
    assert len(set(widget._frames)) == 3
    assert widget._width == 4 * DPI
    assert not any(plt.fignum_exists(figure.number) for figure in figures)


def test_a_frame_beyond_the_end_is_the_last():
    widget = film(pictures(), ["one", "two", "three"], start=1)
    assert widget.frame == 1
    widget.frame = 7
    assert widget.frame == 2
    widget.frame = -3
    assert widget.frame == 0


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        film([*pictures(2), plt.figure(figsize=(4, 3))], ["one", "two", "three"])
    plt.close("all")


@pytest.mark.parametrize("texts", [[], ["one"], ["one", "two", " "]])
def test_every_picture_needs_a_text(texts):
    with pytest.raises(ValueError, match="text for each"):
        film(pictures(), texts)
    plt.close("all")
