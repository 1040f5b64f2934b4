"""Chorales by J. S. Bach: four voices, a pitch each for every eighth note, and what a model gets of
them.

The music is in the public domain. `python -m dgmcourse.data.music` makes the shipped array again from
the corpus of the package music21 (Cuthbert and others), which it needs for that alone.
"""

import math
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.settings import check_whole

VOICES = ("soprano", "alto", "tenor", "bass")
RANGES = ((55, 84), (49, 79), (44, 74), (31, 67))  # MIDI numbers in which each voice's pitches lie
SIZES = tuple(high - low + 2 for low, high in RANGES)  # classes of each voice: silence, then these
SILENCE, MIDDLE_C = 0, 60
ARRAY = Path(__file__).parent / "chorales.npz"
SHARES = (0.7, 0.1, 0.2)  # of melodies: training, validation, test
FRAGMENT = 64  # steps, eight bars: into which chorales are cut for training


class Chorales:
    """Chorales of any lengths as data to train on, `Batches` of (x, lengths).

    A batch x, (B, T, 133), is as long as its longest chorale, lengths (B,) say how long each is;
    behind its end a chorale is silent. A step is the one-hot vectors of the four voices side by
    side, as `densities.Categoricals` takes them.

    >>> Chorales([[[60, 55, 52, 48], [60, 57, 53, 41]]])
    Chorales(1 chorales, 2 steps)

    Args:
        pitches: one (T, 4) of whole numbers for each chorale: MIDI numbers, soprano first, 0 for
            silence.
        names: of the chorales.

    Raises:
        ValueError: for an empty chorale, a pitch out of a voice's range, what is no chorale at all, or
            another number of names.
    """

    def __init__(self, pitches: list, names: list[str] | None = None):
        self.pitches = [check_chorale(each) for each in pitches]
        self.names = [str(i) for i in range(len(pitches))] if names is None else list(names)
        if len(self.names) != len(self.pitches):
            raise ValueError(f"{len(self.names)} names for {len(self.pitches)} chorales")
        self.device = torch.device("cpu")

    def tensors(self) -> tuple[Tensor, Tensor]:
        """All chorales as one batch: x, (N, T, 133), and their lengths, (N,)."""
        return self._padded(range(len(self)))

    def batches(self, size: int = 16, shuffle: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of (x, lengths). With `shuffle` in a random order, in which chorales of about the
        same length stay together, so that little is padding.
        """
        check_whole(size=size)
        order = torch.arange(len(self))
        if shuffle:
            lengths = torch.tensor([len(each) for each in self.pitches])
            order = (lengths * (0.9 + 0.2 * torch.rand(len(self)))).argsort()
        parts = order.split(size)
        for i in torch.randperm(len(parts)).tolist() if shuffle else range(len(parts)):
            yield self._padded(parts[i].tolist())

    def _padded(self, which) -> tuple[Tensor, Tensor]:
        if not (rows := [self.pitches[i] for i in which]):
            raise ValueError("there are no chorales here: expected at least one")
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.device)
        return encode(x, check=False), lengths

    def to(self, device) -> "Chorales":
        """The same on another device."""
        moved = Chorales(self.pitches, self.names)
        moved.device = torch.device(device)
        return moved

    def cut(self, steps: int) -> "Chorales":
        """All of them, cut into fragments of so many steps; the last of each may be shorter."""
        check_whole(steps=steps)
        parts = [
            (part, name)
            for each, name in zip(self.pitches, self.names, strict=True)
            for part in each.split(steps)
        ]
        return Chorales([part for part, _ in parts], [name for _, name in parts])

    def __getitem__(self, index) -> "Chorales":
        """Some of the chorales: `chorales[:10]`; `chorales[3]` has one."""
        rows = range(len(self))[index]
        rows = [rows] if isinstance(rows, int) else rows
        return Chorales([self.pitches[i] for i in rows], [self.names[i] for i in rows])

    def __len__(self) -> int:
        return len(self.pitches)

    def fingerprint(self) -> str:
        """What tells these chorales from others."""
        total = 0
        for each in self.pitches:
            total = zlib.crc32(each.numpy().tobytes(), total)
        return f"{self!r}, {total:08x}"

    def __repr__(self) -> str:
        return f"Chorales({len(self)} chorales, {sum(map(len, self.pitches)):,} steps)"


class Music(NamedTuple):
    train: Chorales
    valid: Chorales
    test: Chorales


def chorales() -> Music:
    """Bach's chorales, divided by melody and transposed.

    Each is moved by at most six semitones so that its last bass note is a C, which most often is the
    tonic. Many melodies were harmonised several times: all chorales that begin alike, with the same
    eight intervals of the soprano, fall into one part. So none of the test begins as one that was
    trained on.
    """
    with np.load(ARRAY) as file:
        names, lengths = file["names"].tolist(), file["lengths"].tolist()
        pitches = torch.from_numpy(file["pitches"].astype(np.int64)).split(lengths)
    parts = ([], [], [])
    for name, original in zip(names, pitches, strict=True):
        place = zlib.crc32(opening(original).numpy().tobytes()) / 2**32
        part = 0 if place < SHARES[0] else 1 if place < SHARES[0] + SHARES[1] else 2
        parts[part].append((name, transposed(original, to_c(original))))
    return Music(*(Chorales([p for _, p in part], [n for n, _ in part]) for part in parts))


def opening(pitches: Tensor, intervals: int = 8) -> Tensor:
    """The first intervals of the soprano, semitones, without repetitions of a note and silence."""
    melody = pitches[:, 0][pitches[:, 0] != SILENCE].unique_consecutive()
    return melody.diff()[:intervals]


def to_c(pitches: Tensor) -> int:
    """By how many semitones, -6 to 5, the last bass note is moved to a C; 0 for a silent bass."""
    sounding = pitches[:, 3][pitches[:, 3] != SILENCE]
    return (6 - int(sounding[-1])) % 12 - 6 if len(sounding) else 0


def transposed(pitches: Tensor, semitones: int) -> Tensor:
    """Pitches, (..., 4), moved by so many semitones; silence stays."""
    return torch.where(pitches == SILENCE, SILENCE, pitches + semitones)


def encode(pitches: Tensor, check: bool = True) -> Tensor:
    """Pitches, (..., 4), as one-hot vectors side by side, (..., 133), floats.

    Raises:
        ValueError: for a pitch out of its voice's range.
    """
    if check:
        pitches = check_pitches(pitches)
    lows = torch.tensor([low for low, _ in RANGES], device=pitches.device)
    classes = torch.where(pitches == SILENCE, 0, pitches - lows + 1)
    one_hot = [F.one_hot(c, size) for c, size in zip(classes.unbind(-1), SIZES, strict=True)]
    return torch.cat(one_hot, -1).to(torch.get_default_dtype())


def decode(x: Tensor) -> Tensor:
    """Pitches, (..., 4), of one-hot vectors, (..., 133): `encode`'s inverse.

    Raises:
        ValueError: for another last axis.
    """
    if x.shape[-1:] != (sum(SIZES),):
        raise ValueError(f"expected steps of {sum(SIZES)} numbers, got shape {tuple(x.shape)}")
    classes = torch.stack([part.argmax(-1) for part in x.split(SIZES, -1)], -1)
    lows = torch.tensor([low for low, _ in RANGES], device=x.device)
    return torch.where(classes == 0, SILENCE, classes - 1 + lows)


def clashes(pitches: Tensor) -> Tensor:
    """Which chords, (..., 4), have two voices a semitone apart, octaves aside: (...), booleans.

    Such a chord is rare in this music, and prepared where it occurs.
    """
    i, j = torch.triu_indices(4, 4, 1)
    sounding = (pitches[..., i] != SILENCE) & (pitches[..., j] != SILENCE)
    apart = (pitches[..., i] - pitches[..., j]) % 12
    return (sounding & ((apart == 1) | (apart == 11))).any(-1)


def known_voices(*voices: int) -> Tensor:
    """Which of a step's 133 numbers belong to these voices (0: soprano): (133,) booleans.

    Raises:
        ValueError: for a voice there is none of.
    """
    if wrong := [v for v in voices if v not in range(len(SIZES))]:
        raise ValueError(f"voices are 0 (soprano), 1, 2 and 3 (bass), got {wrong[0]!r}")
    return torch.cat([torch.full((size,), v in voices) for v, size in enumerate(SIZES)])


def check_pitches(pitches) -> Tensor:
    """The pitches of one chorale or more, (..., T, 4), as whole numbers.

    Raises:
        ValueError: if they have another shape, no step, numbers that are not whole, or one out of
            its voice's range.
    """
    try:
        pitches = torch.as_tensor(pitches)
    except (TypeError, ValueError, RuntimeError):  # which one depends on what is no number
        raise ValueError(
            "expected a chorale as steps of four pitches each, whole numbers (MIDI), got a"
            f" {type(pitches).__name__} of something else"
        ) from None
    if pitches.numel() == 0:
        raise ValueError("an empty chorale: expected at least one step of four pitches")
    if pitches.dim() < 2 or pitches.shape[-1] != 4:
        raise ValueError(
            "expected a chorale as steps of four pitches, (T, 4), soprano first, got shape"
            f" {tuple(pitches.shape)}"
        )
    if pitches.is_floating_point() or pitches.is_complex() or pitches.dtype == torch.bool:
        raise ValueError(f"expected pitches as whole numbers (MIDI), got {pitches.dtype}")
    for voice, (low, high), row in zip(VOICES, RANGES, pitches.unbind(-1), strict=True):
        outside = (row != SILENCE) & ((row < low) | (row > high))
        if outside.any():
            raise ValueError(
                f"a pitch of the {voice} is 0 (silence) or a MIDI number from {low} to {high}, got"
                f" {row[outside][0].item()}"
            )
    return pitches.long()


def check_chorale(pitches) -> Tensor:
    """The pitches of one chorale, (T, 4): as `check_pitches`, and no batch.

    Raises:
        ValueError: for what is not one chorale.
    """
    pitches = check_pitches(pitches)
    if pitches.dim() != 2:
        raise ValueError(f"expected one chorale, (T, 4), got shape {tuple(pitches.shape)}")
    return pitches


def extract() -> dict[str, np.ndarray]:
    """The shipped array, from music21's corpus: of each of its scores by Bach that has four parts and
    12 bars or more, the pitch that sounds in each part on each eighth note.

    Of chorales that are the same up to transposition the first by name is kept.
    """
    from music21 import chord, corpus, note

    def sounding(part, steps: int) -> list[int]:
        row = [SILENCE] * steps
        for element in part.flatten().notesAndRests:
            if isinstance(element, note.Note | chord.Chord):
                begin = 2 * float(element.offset)
                end = begin + 2 * float(element.quarterLength)
                for k in range(math.ceil(begin), min(math.ceil(end), steps)):
                    row[k] = max(pitch.midi for pitch in element.pitches)
        return row

    kept, seen = {}, set()
    for path in sorted(corpus.getComposer("bach"), key=lambda path: path.stem):
        parts = corpus.parse(path).parts
        steps = round(max((part.highestTime for part in parts), default=0) * 2)
        if len(parts) != 4 or not 48 <= steps <= 400 or path.stem in kept:
            continue
        pitches = np.array([sounding(part, steps) for part in parts]).T
        try:
            moved = torch.from_numpy(pitches)
            moved = check_pitches(transposed(moved, to_c(moved)))
        except ValueError:
            continue  # parts in another order, or instruments that leave the voices' ranges
        if (key := moved.numpy().tobytes()) not in seen:
            kept[path.stem] = pitches
            seen.add(key)
    return {
        "names": np.array(list(kept)),
        "lengths": np.array([len(each) for each in kept.values()], np.int16),
        "pitches": np.concatenate(list(kept.values())).astype(np.uint8),
    }


def main(path: str = str(ARRAY)) -> None:
    """Write the array to a file, and say whether it is the shipped one.

    Raises:
        SystemExit: without music21.
    """
    try:
        made = extract()
    except ImportError:
        raise SystemExit("the chorales come from music21's corpus: pip install music21") from None
    with np.load(ARRAY) as shipped:
        same = all(np.array_equal(made[name], shipped[name]) for name in made)
    np.savez_compressed(path, **made)
    print(f"{len(made['names'])} chorales in {path}: {'as' if same else 'not as'} shipped")


if __name__ == "__main__":
    main(*sys.argv[1:])
