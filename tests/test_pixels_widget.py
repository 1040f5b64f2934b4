"""The pads of pixels without a browser: the answers to a click and to a completion, and errors."""

import numpy as np
import pytest
import torch

from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.pixelcnn import PixelCNN, PixelNet
from dgmcourse.plot import plt
from dgmcourse.widgets.pixels import (
    LATER,
    colours,
    influence,
    pixel_writer,
    reach_explorer,
    reach_picture,
    rgb,
)

SHAPE = (6, 7)


@pytest.fixture
def nets():
    nets = {"plain": PixelNet(4, 2, 3, shape=SHAPE), "gated": GatedPixelNet(4, 2, 3, shape=SHAPE)}
    for net in nets.values():
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.5)
    return nets


def test_influence_is_the_mean_gradient_by_finite_differences(nets):
    net, x, step = nets["gated"].double(), torch.rand(3, 42, dtype=torch.float64), 1e-6
    found = influence(net, x, SHAPE, (3, 2)).reshape(-1)
    for j in (0, 10, 15, 22, 23, 30):
        moved = x.clone()
        moved[:, j] += step
        with torch.no_grad():
            expected = ((net(moved) - net(x))[:, 3 * 7 + 2] / step).abs().mean().item()
        assert found[j] == pytest.approx(expected, abs=1e-5)
    assert (found[23:] == 0).all() and found[22] > 0


def test_a_click_answers_with_colours_and_words(nets):
    explorer = reach_explorer(nets, torch.rand(5, 42), shape=SHAPE, cell=(0, 0))
    message, buffers = explorer.reply({"cell": [3, 2]})
    pictures = np.frombuffer(buffers[0], np.uint8).reshape(2, *SHAPE, 3)
    seen = {
        name: influence(net, torch.rand(5, 42), SHAPE, (3, 2)) > 0 for name, net in nets.items()
    }
    for (name, m), says, picture in zip(seen.items(), message["says"], pictures, strict=True):
        assert says.startswith(f"{name}: row 3, column 2: ") and says.endswith(
            "of 23 earlier pixels have a gradient"
        )
        assert (picture[4:] == LATER).all() and (picture[3, 3:] == LATER).all()
        assert (picture[3, 2] == rgb("#333333")).all()
        assert m.sum() <= 23
    assert explorer.last == [3, 2]
    assert (
        reach_explorer(nets, torch.rand(5, 42), shape=SHAPE)
        .reply({"cell": [0, 0]})[0]["says"][0]
        .endswith("0 of 0 earlier pixels have a gradient")
    )


def test_seen_blue_unseen_orange():
    m = np.zeros(SHAPE)
    m[0, 1], m[0, 2] = 1.0, 1e-3
    picture = colours(m, SHAPE, (1, 0)).astype(int)
    assert picture[0, 1].tolist() == rgb("#0072B2").astype(int).tolist()
    blue, pale, orange = picture[0, 1], picture[0, 2], picture[0, 3]
    assert pale[2] > pale[0] and pale[0] > blue[0] and orange[0] > orange[2]


def test_a_completion_keeps_the_rows_above(nets):
    model = PixelCNN(nets["gated"])
    writer = pixel_writer({"gated": model}, torch.zeros(2, 42), shape=SHAPE, rows=3)
    ink = (torch.rand(42) < 0.5).int().tolist()
    message, buffers = writer.reply({"model": "gated", "x": ink, "rows": 4})
    drawn = np.frombuffer(buffers[0], np.uint8)
    p = np.frombuffer(buffers[1], np.float32)
    assert (
        message == {"from": 28}
        and drawn[:28].tolist() == ink[:28]
        and set(drawn.tolist()) <= {0, 1}
    )
    with torch.no_grad():
        expected = torch.sigmoid(model.logits(torch.tensor(drawn[None], dtype=torch.float32))[0])
    np.testing.assert_allclose(p, expected, atol=1e-6)
    others = {
        tuple(np.frombuffer(writer.reply({"model": "gated", "x": ink, "rows": 4})[1][0], np.uint8))
        for _ in range(8)
    }
    assert len(others) > 1


def test_an_error_is_answered_in_words(nets):
    writer = pixel_writer({"gated": PixelCNN(nets["gated"])}, torch.zeros(1, 42), shape=SHAPE)
    message, buffers = writer.reply({"model": "other", "x": [0] * 42, "rows": 2})
    assert message["error"].startswith("KeyError") and not buffers


def test_the_static_picture_and_the_names(nets):
    x = torch.rand(2, 42)
    figure = reach_picture(nets, x, shape=SHAPE, cell=(3, 3))
    for ax, net in zip(figure.axes, nets.values(), strict=True):  # dots: for greyscale
        unseen = np.argwhere(
            (influence(net, x, SHAPE, (3, 3)) == 0) & (np.arange(42).reshape(SHAPE) < 24)
        )
        assert len(unseen) > 0 or ax.get_title("left") == "gated"
        assert {(r, c) for c, r in ax.lines[0].get_xydata()} == set(map(tuple, unseen))
    assert [ax.get_title("left") for ax in figure.axes] == ["plain", "gated"]
    plt.close(figure)
    assert "run this cell" in repr(reach_explorer(nets, torch.rand(2, 42), shape=SHAPE))
    assert "run this cell" in repr(pixel_writer({}, torch.zeros(1, 42), shape=SHAPE))
