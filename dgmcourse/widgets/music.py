"""Hear chorales, see them as a piano roll, and let a model go on with one or put voices under a
melody; all of it in the browser.

No kernel is needed once the widget is shown. Sound is made by the browser (Web Audio).
"""

import copy

import torch
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from dgmcourse.data.music import RANGES, SILENCE, SIZES, VOICES, check_chorale
from dgmcourse.densities import PointConditional
from dgmcourse.plot import WIDTH, plt
from dgmcourse.widgets import HERE, esm
from dgmcourse.widgets.networks import Networks, export, sent, weights_block

COLOURS = ("#D55E00", "#E69F00", "#009E73", "#0072B2")  # soprano to bass
LOWEST, HIGHEST = min(low for low, _ in RANGES), max(high for _, high in RANGES)


class Music(Networks):
    """The widget that `music` returns."""

    _esm = esm("networks", "music")
    _css = (HERE / "music.css").read_text("utf-8")

    def __repr__(self):
        return "Chorales to hear and to go on with: run this cell."


def music(
    pieces: dict[str, Tensor], models: dict[str, nn.Module] | None = None, *, steps: int = 32
) -> Music:
    """Make the widget.

    Args:
        pieces: what can be heard, by name: pitches (T, 4), MIDI numbers, soprano first, 0 for
            silence.
        models: by name, `VRNN`s and `RNN`s of these four voices as `ChoraleVRNN` and `ChoraleRNN`
            make them, without a mixture. They are copied, not changed. None: the widget only plays.
        steps: of what a model draws, eighth notes.

    Raises:
        TypeError: for a model the browser cannot run.
        ValueError: without a piece, or for one that is no chorale: empty, or with a pitch out of its
            voice's range, which the models could not read.
    """
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps: expected a positive whole number, got {steps!r}")
    if not pieces:
        raise ValueError("nothing to hear: expected at least one piece")
    arrays, specs = [], {}
    for name, model in (models or {}).items():
        specs[name] = {}
        for part, net in networks_of(model).items():
            given = torch.zeros(1, net[0].in_features)
            layers, more = export(PointConditional(net), given, sum(map(len, arrays)))
            specs[name][part] = layers
            arrays += more
        if hasattr(model, "encoder"):
            specs[name]["range"] = list(model.prior.log_var_range)
    spec = {
        "pieces": [
            {"name": name, "pitches": check_chorale(pitches).tolist()}
            for name, pitches in pieces.items()
        ],
        "models": specs,
        "steps": steps,
        "sizes": list(SIZES),
        "lows": [low for low, _ in RANGES],
        "voices": list(VOICES),
        "colours": list(COLOURS),
        "lowest": LOWEST,
        "highest": HIGHEST,
    }
    return Music(**sent(spec, {"weights": weights_block(arrays or [torch.zeros(1).numpy()])}))


def networks_of(model: nn.Module) -> dict[str, nn.Sequential]:
    """The networks of a model of chorales by the names that music.js calls them.

    Raises:
        TypeError: for another model, or one with a mixture.
    """
    model = copy.deepcopy(model).cpu().float().eval()
    decoder = getattr(model, "decoder", None)
    if getattr(decoder, "components", 1) is not None or tuple(decoder.sizes) != SIZES:
        raise TypeError(
            "the browser plays with a ChoraleVRNN or a ChoraleRNN of these four voices, without a"
            " mixture"
        )
    found = {"decoder": model.decoder.net, "phi_x": model.phi_x}
    if hasattr(model, "encoder"):
        found |= {"prior": model.prior.net, "encoder": model.encoder.net}
        found |= {"phi_z": model.cell.phi_z} | gates(model.cell.gru)
    else:
        found |= gates(model.cell, "_l0")
    return found


def gates(gru: nn.Module, layer: str = "") -> dict[str, nn.Sequential]:
    """The two matrices of a gated recurrent unit, of what it is given and of its state."""
    found = {}
    for name, part in (("given", "ih"), ("state", "hh")):
        weight, bias = (getattr(gru, f"{kind}_{part}{layer}") for kind in ("weight", "bias"))
        linear = nn.utils.skip_init(nn.Linear, weight.shape[1], len(weight))  # draws nothing
        linear.weight, linear.bias = nn.Parameter(weight.data), nn.Parameter(bias.data)
        found[name] = nn.Sequential(linear)
    return found


def notes(pitches: Tensor) -> list[tuple[int, int, int, int]]:
    """The notes of a piece, (T, 4), as (voice, first step, number of steps, pitch): equal pitches in
    a row are one note.
    """
    found = []
    for voice, row in enumerate(pitches.mT.tolist()):
        first = 0
        for t in range(1, len(row) + 1):
            if t == len(row) or row[t] != row[first]:
                if row[first] != SILENCE:
                    found.append((voice, first, t - first, row[first]))
                first = t
    return found


def draw_roll(ax: plt.Axes, pitches: Tensor, title: str = "", faded: int = 0) -> None:
    """Draw a piece, (T, 4), as a piano roll: time to the right, pitch upwards, a colour a voice.

    Args:
        faded: steps at the beginning that were given, drawn paler.
    """
    pitches = check_chorale(pitches)
    for voice, first, length, pitch in notes(pitches):
        look = {"facecolor": COLOURS[voice], "alpha": 0.45 if first < faded else 1.0}
        ax.add_patch(Rectangle((first + 0.06, pitch - 0.65), length - 0.12, 1.3, **look))
    for c in range(36, 85, 12):
        ax.axhline(c, color="#dddddd", linewidth=0.8, zorder=0)
    ax.set(xlim=(0, len(pitches)), ylim=(LOWEST - 1, HIGHEST + 1))
    ax.set(xticks=range(0, len(pitches) + 1, 8), yticks=range(36, 85, 12))
    ax.set_yticklabels([f"C{k}" for k in range(2, 7)])
    ax.tick_params(length=0)
    ax.set_title(title)


def rolls(pieces: dict[str, Tensor], columns: int = 2, faded: int = 0) -> plt.Figure:
    """Draw pieces as piano rolls, one beside the other: a static picture, for `show`."""
    if not pieces:
        raise ValueError("nothing to draw: expected at least one piece")
    rows = -(-len(pieces) // columns)
    fig, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 1.75 * rows + 0.3), squeeze=False, sharey=True
    )
    for ax, (name, pitches) in zip(axes.flat, pieces.items(), strict=False):
        draw_roll(ax, pitches, name, faded)
    for ax in axes.flat[len(pieces) :]:
        ax.set_axis_off()
    for ax in axes[-1]:
        ax.set_xlabel("eighth notes")
    return fig
