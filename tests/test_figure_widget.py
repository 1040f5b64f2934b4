"""The figure with sliders: a control that moves changes the picture, and an error is shown."""

import threading
import time

import matplotlib.pyplot as plt
import pytest
import torch

from dgmcourse.plot import WIDTH
from dgmcourse.widgets.figure import slider_figure


def draw(height=1.0, S=1, dashed=False, seed=0):
    if height > 4:
        raise ArithmeticError("too high <to draw>")
    fig, ax = plt.subplots(figsize=(WIDTH, 1.5))
    ax.plot([0, 1], [0, height], ls="--" if dashed else "-", lw=S)
    ax.set(ylim=(0, 5), xlabel=f"threads {torch.get_num_threads()}, seed {seed}")
    return fig


def test_every_kind_of_control_changes_the_picture():
    kinds = {"height": (0.0, 5.0, 0.5, 1.0), "S": [1, 4], "dashed": False, "seed": "new sample"}
    widget = slider_figure(draw, alt="a line", **kinds)
    seen = {bytes(widget.image.value)}
    assert bytes(widget.image.value).startswith(b"\x89PNG") and widget.image.width == str(
        round(WIDTH * 125)
    )
    for name, value in {"height": 2.5, "S": 4, "dashed": True}.items():
        widget.controls[name].value = value
        seen.add(bytes(widget.image.value))
    widget.controls["seed"].click()
    seen.add(bytes(widget.image.value))
    assert len(seen) == 5
    widget.controls[
        "height"
    ].value = 1.0  # the same values give the same picture: nothing else changed it
    before = widget.image.value
    widget.controls["height"].value = 2.0
    widget.controls["height"].value = 1.0
    assert widget.image.value == before


def test_integers_and_decimals_and_symbols_are_read_off_the_range():
    widget = slider_figure(
        lambda S, sigma: draw(), alt="a line", S=(1, 9, 1, 3), sigma=(0.0, 1.0, 0.05, 0.5)
    )
    S, sigma = widget.controls["S"], widget.controls["sigma"]
    assert S.value == 3 and isinstance(S.value, int) and S.description == "S"
    assert sigma.readout_format == ".2f" and sigma.description == "σ"


def test_an_error_is_seen_at_once_and_later_and_goes_away():
    with pytest.raises(ArithmeticError):
        slider_figure(draw, alt="a line", height=(0.0, 5.0, 0.5, 4.5))
    widget = slider_figure(draw, alt="a line", height=(0.0, 5.0, 0.5, 1.0))
    picture = widget.image.value
    # In a front end no cell shows this error: hence the message.
    with pytest.raises(ArithmeticError):
        widget.controls["height"].value = 4.5
    assert "too high &lt;to draw&gt;" in widget.message.value and widget.image.value == picture
    widget.controls["height"].value = 2.0
    assert widget.message.value == "" and widget.image.value != picture


def test_one_thread_while_drawing_and_as_before_after():
    threads, during = torch.get_num_threads(), []

    def spy(height):
        during.append(torch.get_num_threads())
        return draw(height)

    torch.set_num_threads(2)
    try:
        widget = slider_figure(spy, alt="a line", height=(0.0, 5.0, 0.5, 1.0))
        with pytest.raises(ArithmeticError):
            widget.controls["height"].value = 5.0
        assert during == [1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_no_figure_without_a_text_for_those_who_cannot_see_it():
    assert "a &lt;line&gt;" in slider_figure(draw, alt="a <line>", S=[1, 4]).alt.value
    with pytest.raises(ValueError, match="alt text"):
        slider_figure(draw, alt=" ", height=(0.0, 5.0, 0.5, 1.0))


def test_two_threads_draw_one_after_the_other():
    """A kernel may answer two moves of a slider at once: the picture is complete and shows the last
    values.
    """
    inside, overlaps = [], []

    def draw(a, b):
        inside.append(1)
        overlaps.append(len(inside) > 1)
        fig, ax = plt.subplots(figsize=(1, 1))
        time.sleep(0.05)
        plt.plot([0, a], [0, b])  # into the current figure, which another thread could change
        inside.pop()
        return fig

    widget = slider_figure(draw, alt="a line", a=(0, 9, 1, 1), b=(0, 9, 1, 1))
    threads = [
        threading.Thread(target=setattr, args=(widget.controls[name], "value", value))
        for name, value in (("a", 3), ("b", 4), ("a", 5), ("b", 6))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(overlaps) > 2 and not any(overlaps)
    final = {name: control.value for name, control in widget.controls.items()}
    assert (
        widget.image.value
        == slider_figure(
            draw, alt="a line", **{k: (0, 9, 1, v) for k, v in final.items()}
        ).image.value
    )
