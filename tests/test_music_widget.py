"""The room of music, its Python half: what it sends, what it refuses, and the static picture. The
other half is tested in tests/browser.
"""

import numpy as np
import pytest
import torch
from torch import nn

from dgmcourse.data.music import SIZES
from dgmcourse.models.vae import VAE
from dgmcourse.models.vrnn import ChoraleRNN, ChoraleVRNN
from dgmcourse.plot import plt
from dgmcourse.widgets.music import COLOURS, draw_roll, music, notes, rolls

PIECE = torch.tensor([[72, 67, 64, 48], [72, 67, 65, 48], [0, 69, 65, 48], [72, 69, 65, 0]])


def models():
    torch.manual_seed(1)
    return {"VRNN": ChoraleVRNN(SIZES, 3, 8, 6), "RNN": ChoraleRNN(SIZES, 8, 6)}


def test_what_is_sent_are_the_networks_of_both_models():
    given = models()
    spec = (w := music({"a piece": PIECE}, given, steps=16))._spec
    assert (
        spec["pieces"] == [{"name": "a piece", "pitches": PIECE.tolist()}] and spec["steps"] == 16
    )
    assert set(spec["models"]["RNN"]) == {"decoder", "phi_x", "given", "state"}
    assert spec["models"]["VRNN"]["range"] == [-8.0, 2.0]
    assert {"prior", "encoder", "phi_z"} <= set(spec["models"]["VRNN"])
    numbers = np.frombuffer(w._numbers[slice(*spec["parts"]["weights"])], np.float32)
    assert len(numbers) == sum(p.numel() for m in given.values() for p in m.parameters())
    layer = spec["models"]["VRNN"]["state"][0]
    weight = numbers[layer["weight"] :][: layer["out"] * layer["in"]].reshape(layer["out"], -1)
    np.testing.assert_array_equal(weight, given["VRNN"].cell.gru.weight_hh.detach())


def test_without_models_it_only_plays():
    spec = music({"a piece": PIECE})._spec
    assert spec["models"] == {} and spec["total"] == 2


def test_the_model_is_left_alone():
    given = {name: model.double().train() for name, model in models().items()}
    before = torch.get_rng_state()
    music({"a piece": PIECE}, given)
    assert all(m.training and next(m.parameters()).dtype == torch.float64 for m in given.values())
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_play_is_refused():
    with pytest.raises(ValueError, match="nothing to hear: expected at least one piece"):
        music({})
    mixture, others = ChoraleRNN(SIZES, 8, 6, components=2), ChoraleVRNN((2, 3), 2, 8, 6)
    for other in (mixture, others, VAE(2, 4), nn.Linear(2, 2)):
        with pytest.raises(TypeError, match="plays with a ChoraleVRNN or a ChoraleRNN of these"):
            music({"a piece": PIECE}, {"another": other})
    with pytest.raises(ValueError, match="^steps: expected a positive whole number, got 0"):
        music({"a piece": PIECE}, steps=0)
    with pytest.raises(ValueError, match="nothing to draw: expected at least one piece"):
        rolls({})


@pytest.mark.parametrize(
    ("pitches", "words"),
    [
        (PIECE[:0], "an empty chorale: expected at least one step"),
        (
            PIECE + 20,
            "a pitch of the soprano is 0 .silence. or a MIDI number from 55 to 84, got 92",
        ),
        (PIECE[None], "expected one chorale, .T, 4., got shape .1, 4, 4."),
        (PIECE.float(), "expected pitches as whole numbers"),
    ],
)
def test_what_is_no_chorale_is_neither_heard_nor_drawn(pitches, words):
    for ask in (music, rolls):
        with pytest.raises(ValueError, match=words):
            ask({"a piece": PIECE, "another": pitches})


def test_a_piece_of_one_step_is_heard_and_drawn():
    spec = music({"a chord": PIECE[:1]}, models(), steps=1)._spec
    assert spec["pieces"][0]["pitches"] == PIECE[:1].tolist()
    fig = rolls({"a chord": PIECE[:1]})
    assert len(fig.axes[0].patches) == 4
    plt.close(fig)


def test_equal_pitches_in_a_row_are_one_note():
    assert notes(PIECE) == [
        *((0, 0, 2, 72), (0, 3, 1, 72)),
        *((1, 0, 2, 67), (1, 2, 2, 69)),
        *((2, 0, 1, 64), (2, 1, 3, 65)),
        (3, 0, 3, 48),
    ]


def test_the_picture_has_every_note_where_it_sounds():
    fig, ax = plt.subplots()
    draw_roll(ax, PIECE, "a piece", faded=1)
    boxes = [(patch.get_x(), patch.get_y(), patch.get_facecolor()) for patch in ax.patches]
    assert len(boxes) == 7 and ax.get_xlim() == (0, 4) and ax.get_title(loc="left") == "a piece"
    assert len({colour[:3] for *_, colour in boxes}) == len(COLOURS)
    assert [round(colour[3], 2) for *_, colour in boxes[:2]] == [0.45, 1.0]
    plt.close(fig)
    fig = rolls({"one": PIECE, "two": PIECE, "three": PIECE})
    assert [ax.get_title(loc="left") for ax in fig.axes] == ["one", "two", "three", ""]
    plt.close(fig)
