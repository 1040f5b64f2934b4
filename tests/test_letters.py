"""Letters look as MNIST's digits do: boxed, centred, of usual weight, and the same for the same
seed.
"""

import numpy as np
import pytest
import torch

from dgmcourse.data import letters as module
from dgmcourse.data.images import embedded_digits
from dgmcourse.data.letters import FONTS, LETTERS, LIKE_DIGITS, letters


def boxes(x):
    """Height, width, and centre of mass (row, column) of each image."""
    images = x.reshape(-1, 28, 28).double()
    rows, columns = (images.amax(2) > 0).nonzero(), (images.amax(1) > 0).nonzero()
    spans = []
    for places in (rows, columns):
        spans.append(
            torch.stack(
                [
                    places[places[:, 0] == i, 1].max() - places[places[:, 0] == i, 1].min() + 1
                    for i in range(len(x))
                ]
            )
        )
    at, ink = torch.arange(28.0, dtype=torch.float64), images.sum((1, 2))
    centre = torch.stack([(images.sum(2) @ at) / ink, (images.sum(1) @ at) / ink], -1)
    return torch.stack(spans, -1), centre


def test_they_fill_a_box_of_20_and_balance_in_the_middle():
    x = letters(120).x
    assert x.dtype == torch.uint8 and x.shape == (120, 784)
    spans, centre = boxes(x)
    assert (spans.amax(1) <= 20).all() and (spans.amax(1) >= 19).all()
    assert (centre - 13.5).abs().max() < 0.6
    assert (spans.amin(1) < 18).float().mean() > 0.3, "proportions are kept: not all are square"


def test_their_ink_is_about_a_digits():
    ink = letters(200).x.float().mean() / 255
    digits = embedded_digits()[0].float().mean() / 255
    assert 0.8 < ink / digits < 1.4
    assert letters(60).x.max() > 250


def test_the_seed_chooses_them():
    a, b, other = letters(30, seed=1), letters(30, seed=1), letters(30, seed=2)
    assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)
    assert not torch.equal(a.x, other.x)
    state = np.random.get_state()[1].copy()
    letters(3)
    assert (np.random.get_state()[1] == state).all()


def test_labels_are_places_in_what_was_asked_for():
    found = letters(60, "AX")
    assert set(found.y.tolist()) == {0, 1}
    symmetric = found.x.reshape(-1, 28, 28).float()
    upside = (symmetric - symmetric.flip(1).flip(2)).abs().mean((1, 2))
    assert upside[found.y == 1].mean() < upside[found.y == 0].mean(), (
        "an X looks the same upside down, an A does not"
    )


def test_no_letter_that_passes_for_a_digit_is_among_them():
    assert not set(LETTERS) & set(LIKE_DIGITS) and len(LETTERS) == 36
    assert set("OolISZ") <= set(LIKE_DIGITS)


def test_each_font_is_there_and_draws():
    random = np.random.RandomState(0)
    for font in FONTS:
        assert (module.fonts() / f"{font}.ttf").is_file()
        for character in "Ak-l":
            assert module.letter(character, module.fonts() / f"{font}.ttf", random).max() > 100


def test_the_stroke_can_be_chosen(monkeypatch):
    ink = {}
    for stroke in (1.4, 4.0):
        monkeypatch.setattr(module, "STROKE", (stroke, stroke))
        ink[stroke] = letters(40, "HEX").x.float().mean()
    assert ink[4.0] > 1.5 * ink[1.4]


def test_what_does_not_fit_is_said_in_words(monkeypatch):
    for wrong in ((0,), (5, "  ")):
        with pytest.raises(ValueError, match="how many letters of which"):
            letters(*wrong)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install matplotlib"):
        module.fonts()
