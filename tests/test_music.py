"""Chorales: the shipped array, its parts, and what is no chorale."""

import types

import numpy as np
import pytest
import torch

from dgmcourse.data import music
from dgmcourse.data.music import RANGES, SIZES, Chorales, chorales, decode, encode
from dgmcourse.models.vrnn import ChoraleRNN, ChoraleVRNN
from dgmcourse.train import fit

SOME = [
    [[60, 55, 52, 48], [62, 0, 53, 41], [0, 0, 0, 0]],
    [[84, 79, 74, 67]],
    [[55, 49, 44, 31]] * 2,
]


def test_the_shipped_chorales():
    parts = chorales()
    assert [len(part) for part in parts] == [259, 36, 66]
    assert sum(len(each) for part in parts for each in part.pitches) == 39294
    assert music.ARRAY.stat().st_size < 60_000
    names = [name for part in parts for name in part.names]
    assert len(set(names)) == len(names) and "bwv269" in names
    everything = torch.cat([each for part in parts for each in part.pitches])
    for (low, high), row in zip(RANGES, everything.unbind(-1), strict=True):
        sounding = row[row != 0]
        assert (sounding.min(), sounding.max()) == (low, high)  # no class that never occurs


def test_parts_share_no_melody_and_end_on_c():
    beginnings = [{tuple(music.opening(p).tolist()) for p in part.pitches} for part in chorales()]
    assert not (beginnings[0] & beginnings[1] or (beginnings[0] | beginnings[1]) & beginnings[2])
    for part in chorales():
        for pitches in part.pitches:
            assert pitches[:, 3][pitches[:, 3] != 0][-1] % 12 == 0


def test_transposition():
    pitches = torch.tensor([[67, 0, 59, 43], [66, 62, 59, 54]])
    assert (
        music.to_c(pitches) == -6 and music.to_c(pitches - 1) == -5 and music.to_c(pitches + 1) == 5
    )
    assert music.transposed(pitches, 2).tolist() == [[69, 0, 61, 45], [68, 64, 61, 56]]
    assert music.opening(torch.tensor([[60], [60], [0], [64], [62]])).tolist() == [4, -2]


def test_clashes():
    chords = [[72, 60, 67, 48], [71, 60, 67, 48], [60, 60, 0, 49], [61, 0, 0, 0], [64, 62, 57, 50]]
    assert music.clashes(torch.tensor(chords)).tolist() == [False, True, True, False, False]
    assert music.clashes(torch.zeros(2, 3, 4, dtype=torch.long)).shape == (2, 3)


def test_encoding_is_one_hot_and_comes_back():
    for rows in SOME:
        pitches = torch.tensor(rows)
        x = encode(pitches)
        assert x.shape == (len(rows), 133) and sum(SIZES) == 133
        assert all((part.sum(-1) == 1).all() for part in x.split(SIZES, -1))
        assert torch.equal(decode(x), pitches)
    x = encode(torch.tensor([[0, 49, 74, 32]]))
    assert x.nonzero()[:, 1].tolist() == [0, 31 + 1, 31 + 32 + 31, 31 + 32 + 32 + 2]
    assert music.known_voices(0).nonzero().squeeze(-1).tolist() == list(range(31))
    assert music.known_voices(1, 3).sum() == 32 + 38


def test_batches_are_padded_with_silence():
    data = Chorales(SOME, ["a", "b", "c"])
    x, lengths = data.tensors()
    assert x.shape == (3, 3, 133) and lengths.tolist() == [3, 1, 2]
    assert decode(x[1]).tolist() == [[84, 79, 74, 67], [0] * 4, [0] * 4]
    seen = []
    for x, lengths in data.batches(2):
        assert x.shape[1] == lengths.max()
        seen += [decode(row)[:n].tolist() for row, n in zip(x, lengths, strict=True)]
    assert sorted(seen) == sorted(SOME)
    assert [len(x) for x, _ in data.batches(2, shuffle=False)] == [2, 1]
    torch.manual_seed(0)
    a = [lengths.tolist() for _, lengths in chorales().train.batches(16)]
    torch.manual_seed(0)
    assert a == [lengths.tolist() for _, lengths in chorales().train.batches(16)]
    padding = 1 - sum(map(sum, a)) / sum(max(row) * len(row) for row in a)
    assert padding < 0.2


def test_some_of_the_chorales():
    data = Chorales(SOME, ["a", "b", "c"])
    assert data[1].names == ["b"] and data[1:].names == ["b", "c"] and len(data[-1]) == 1
    assert data.fingerprint() != data[::-1].fingerprint()
    assert repr(data.to("cpu")) == "Chorales(3 chorales, 6 steps)"


@pytest.mark.parametrize(
    ("pitches", "words"),
    [
        ([], "an empty chorale: expected at least one step of four pitches"),
        (
            [[60, 55, 52]],
            r"expected a chorale as steps of four pitches, .T, 4., .* got shape .1, 3.",
        ),
        ([60, 55, 52, 48], "expected a chorale as steps of four pitches"),
        (
            [[60, 80, 52, 48]],
            "a pitch of the alto is 0 .silence. or a MIDI number from 49 to 79, got 80",
        ),
        ([[60, 55, 52, -1]], "a pitch of the bass is 0 .* from 31 to 67, got -1"),
        ([[60.0, 55.0, 52.0, 48.0]], "expected pitches as whole numbers .MIDI., got torch.float32"),
    ],
)
def test_what_is_no_chorale_is_refused(pitches, words):
    with pytest.raises(ValueError, match=words):
        Chorales([[[60, 55, 52, 48]], pitches])
    with pytest.raises(ValueError, match=words):
        encode(torch.as_tensor(pitches))


@pytest.mark.parametrize("pitches", [[[60, 55, 52, 48], [60, 55]], "bwv269", None, [["C4"] * 4]])
def test_what_is_no_number_is_refused(pitches):
    kind = type(pitches).__name__
    with pytest.raises(ValueError, match=f"whole numbers .MIDI., got a {kind} of something else"):
        Chorales([pitches])


def test_a_batch_is_no_chorale():
    with pytest.raises(ValueError, match=r"expected one chorale, .T, 4., got shape .1, 1, 4."):
        Chorales([[[[60, 55, 52, 48]]]])


def test_no_chorales_make_no_batch():
    nothing = Chorales([])
    for ask in (nothing.tensors, lambda: list(nothing.batches(2))):
        with pytest.raises(ValueError, match="there are no chorales here: expected at least one"):
            ask()
    with pytest.raises(ValueError, match="the training data are empty"):
        fit(ChoraleRNN(SIZES, 4, 3), nothing, epochs=1, progress=False)


def test_a_chorale_of_one_step_is_one():
    """It is cut, moved, trained on, gone on with and harmonised as any other."""
    data = Chorales([[[60, 55, 52, 48]]])
    assert len(data.cut(8)) == 1 and music.opening(data.pitches[0]).tolist() == []
    assert music.to_c(data.pitches[0]) == 0
    for model in (ChoraleRNN(SIZES, 4, 3), ChoraleVRNN(SIZES, 2, 4, 3)):
        history = fit(model, data, data, epochs=1, progress=False)
        assert torch.isfinite(torch.tensor(history["valid"])).all()
        x = encode(data.pitches[0])
        assert model.sample((2,), 3, beginning=x).shape == (2, 3, 133)
        drawn, log_p = model.complete(x, music.known_voices(0), 4)
        assert (decode(drawn)[..., 0] == 60).all() and log_p < 0


def test_other_widths_and_voices_are_refused():
    with pytest.raises(ValueError, match=r"expected steps of 133 numbers, got shape .2, 5."):
        decode(torch.zeros(2, 5))
    for voice in (4, -1, "soprano"):
        with pytest.raises(ValueError, match=f"voices are 0 .soprano.*, got {voice!r}"):
            music.known_voices(0, voice)


def test_names_belong_to_chorales():
    with pytest.raises(ValueError, match="1 names for 3 chorales"):
        Chorales(SOME, ["a"])


def test_the_array_is_made_of_a_corpus(monkeypatch, tmp_path, capsys):
    """By a small one in place of music21's: what sounds on each eighth, of four parts alone."""

    class Note:
        def __init__(self, midi, offset, quarters):
            self.pitches, self.offset = [types.SimpleNamespace(midi=midi)], offset
            self.quarterLength = quarters

    class Part:
        highestTime = 26.0

        def __init__(self, *notes):
            self.notesAndRests = notes

        def flatten(self):
            return self

    voices = [Note(67, 0, 1.5), Note(69, 1.5, 24.5)], [Note(62, 0, 26)], [Note(59, 1 / 3, 25)]
    four = [Part(*notes) for notes in (*voices, [Note(55, 0, 0.25), Note(43, 2, 24)])]
    scores = {"b": four, "a": four[:3], "c": four}
    corpus = types.SimpleNamespace(
        getComposer=lambda name: [types.SimpleNamespace(stem=stem) for stem in scores],
        parse=lambda path: types.SimpleNamespace(parts=scores[path.stem]),
    )
    fake = types.SimpleNamespace(
        corpus=corpus,
        note=types.SimpleNamespace(Note=Note),
        chord=types.SimpleNamespace(Chord=Note),
    )
    monkeypatch.setitem(__import__("sys").modules, "music21", fake)
    made = music.extract()
    assert made["names"].tolist() == ["b"] and made["lengths"].tolist() == [52]
    assert made["pitches"][:5].tolist() == [
        [67, 62, 0, 55],
        [67, 62, 59, 0],
        [67, 62, 59, 0],
        [69, 62, 59, 0],
        [69, 62, 59, 43],
    ]
    music.main(str(tmp_path / "made.npz"))
    with np.load(tmp_path / "made.npz") as file:
        assert {name: file[name].tolist() for name in file} == {
            name: value.tolist() for name, value in made.items()
        }
    assert "1 chorales in" in (said := capsys.readouterr().out) and "not as shipped" in said


def test_what_is_shipped_is_known_as_such(monkeypatch, tmp_path, capsys):
    with np.load(music.ARRAY) as file:
        shipped = dict(file)
    monkeypatch.setattr(music, "extract", lambda: shipped)
    music.main(str(tmp_path / "made.npz"))
    assert f"{len(shipped['names'])} chorales in" in (said := capsys.readouterr().out)
    assert said.strip().endswith(": as shipped")


def test_without_music21_it_says_where_it_is(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "music21", None)
    with pytest.raises(SystemExit, match="music21's corpus: pip install music21"):
        music.main()
