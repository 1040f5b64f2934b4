"""Slide from one sentence to another through the codes between: pick two, and read what is decoded.

Everything is decoded beforehand, by beam search, and sent as text: the browser shows it, and no kernel
is needed.
"""

import itertools

import anywidget
import torch
import traitlets
from torch import nn

from dgmcourse.data.text import Vocabulary
from dgmcourse.plot import DATA, MODEL, NOISE, WIDTH, plt
from dgmcourse.widgets import HERE, esm

BEAM = 5
ROWS = 100  # codes that are decoded together


class SentenceSlider(anywidget.AnyWidget):
    """The widget that `sentence_slider` returns."""

    _esm = esm("sentences")
    _css = (HERE / "sentences.css").read_text("utf-8")
    _spec = traitlets.Dict().tag(sync=True)

    def __repr__(self):
        return "Two sentences, and a slider from one to the other: run this cell to move it."


def sentence_slider(
    model: nn.Module,
    vocabulary: Vocabulary,
    sentences: list[str],
    *,
    points: int = 11,
    start: tuple[int, int] = (0, 1),
) -> SentenceSlider:
    """Make the widget.

    Args:
        model: a `SentenceVAE` or `DilatedTextVAE`.
        vocabulary: the words of its symbols.
        sentences: to pick from, two at least.
        points: codes from one sentence to the other, these included.
        start: which two are picked at first.

    Raises:
        ValueError: for fewer than two sentences or points, or a sentence with an unknown word: it
            would be another sentence to the model.
    """
    if min(points, len(sentences)) < 2:
        raise ValueError(
            f"expected two sentences and points at least, got {len(sentences)} and {points}"
        )
    for sentence in sentences:
        if unknown := vocabulary.unknown(sentence):
            raise ValueError(f"{sentence!r} has words that the model does not know: {unknown}")
    pairs = list(itertools.combinations(range(len(sentences)), 2))
    z = codes(model, vocabulary, sentences)
    paths = between(model, vocabulary, z[[i for i, _ in pairs]], z[[j for _, j in pairs]], points)
    texts = list(dict.fromkeys(text for path in paths for text in path))
    at = {text: i for i, text in enumerate(texts)}
    return SentenceSlider(
        _spec={
            "sentences": list(sentences),
            "texts": texts,
            "paths": {
                f"{i} {j}": [at[text] for text in path]
                for (i, j), path in zip(pairs, paths, strict=True)
            },
            "points": points,
            "start": list(start),
        }
    )


@torch.no_grad()
def codes(model: nn.Module, vocabulary: Vocabulary, sentences: list[str]) -> torch.Tensor:
    """The means of q(z|x) of sentences, (N, d)."""
    return model.encoder(vocabulary.encode(sentences)).mean


def between(
    model: nn.Module, vocabulary: Vocabulary, a: torch.Tensor, b: torch.Tensor, points: int
) -> list[list[str]]:
    """What is decoded on the straight lines from codes a to codes b, (N, d): N lists of `points`."""
    share = torch.linspace(0, 1, points)[:, None]
    z = a[:, None] + share * (b - a)[:, None]  # (N, points, d)
    parts = z.flatten(0, 1).split(ROWS)
    drawn = torch.cat([model.decoder(part).likeliest(BEAM) for part in parts])
    texts = vocabulary.decode(drawn)
    return [texts[i : i + points] for i in range(0, len(texts), points)]


def changed(before: str, after: str) -> list[bool]:
    """Which words of `after` are not in the longest common subsequence of words with `before`."""
    a, b = before.split(), after.split()
    longest = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, j in itertools.product(reversed(range(len(a))), reversed(range(len(b)))):
        both = longest[i + 1][j + 1] + 1
        longest[i][j] = both if a[i] == b[j] else max(longest[i + 1][j], longest[i][j + 1])
    new, i = [], 0
    for j, word in enumerate(b):
        while i < len(a) and a[i] != word and longest[i + 1][j] == longest[i][j]:
            i += 1
        kept = i < len(a) and a[i] == word and longest[i][j] == longest[i + 1][j + 1] + 1
        i += kept
        new.append(not kept)
    return new


def sentence_picture(spec: dict) -> plt.Figure:
    """The walk that the widget starts with: a static picture, for `show(fig, alt=...)`.

    Args:
        spec: of the widget, `slider._spec`.
    """
    i, j = spec["start"]
    path = [spec["texts"][k] for k in spec["paths"][f"{min(i, j)} {max(i, j)}"]]
    path = path if i < j else path[::-1]
    rows = [spec["sentences"][i], *path, spec["sentences"][j]]
    fig, ax = plt.subplots(figsize=(WIDTH, 0.27 * len(rows) + 0.2))
    ax.set_axis_off()
    for k, text in enumerate(rows):
        ends = k in (0, len(rows) - 1)
        ax.text(
            *(0.06, 1 - (k + 0.5) / len(rows), text),
            transform=ax.transAxes,
            va="center",
            size=9,
            color=DATA if ends else MODEL,
            style="italic" if ends else "normal",
        )
        if not ends:
            share = f"{(k - 1) / (len(path) - 1):.1f}"
            ax.text(
                0, 1 - (k + 0.5) / len(rows), share, transform=ax.transAxes, va="center", size=8
            )
    ax.axhline(0, color=NOISE, linewidth=0)
    return fig
