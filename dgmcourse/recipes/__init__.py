"""How each shipped weight was trained: one file a family, one `Recipe` a weight.

`python -m dgmcourse train NAME` trains it again. A Recipe at the top of a file in this folder is
found under its variable's name, which is the weight's.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import torch
from torch import nn

from dgmcourse import distributed, measure, weights
from dgmcourse.data.images import Splits, available
from dgmcourse.files import check_writable
from dgmcourse.play import play
from dgmcourse.settings import check_whole
from dgmcourse.train import History, fit, products_in
from dgmcourse.weights import card, claims, load, notebooks, study

__all__ = [
    "Recipe",
    "all_recipes",
    "card",
    "claims",
    "evaluate",
    "load",
    "notebooks",
    "recipe",
    "renew_reliability",
    "study",
    "train",
]

CURVE_POINTS = 50  # of a game, whose running curve stands for it


@dataclass(frozen=True)
class Recipe:
    """How one weight is trained and measured.

    Args:
        about: one line on what it is.
        model: its `weights.constructor`.
        data: a function that returns the data.
        settings: arguments of `train.fit`, or of `play.play` for a game.
        source: the paper.
        layers, prior, published: the row of the table in `source`: layers of latent variables,
            prior, test NLL in nats; the latter as the course knows it, not checked against the print.
        measure: one of `dgmcourse.measure`, or another such function.
        game: whether it is a game of two players.
        bits: of a parameter in its file, 16 or 8.
    """

    about: str
    model: dict
    data: Callable[[], Splits]
    settings: dict
    seed: int = 0
    source: str = ""
    layers: str = ""
    prior: str = ""
    published: float | None = None
    measure: Callable[[nn.Module, Splits, int | None], dict] = measure.likelihood
    game: bool = False
    bits: int = 16


@functools.cache
def all_recipes() -> dict[str, Recipe]:
    """Every recipe in the files of this folder, by its name."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    values = [item for module in modules for item in vars(module).items()]
    return {name: value for name, value in values if isinstance(value, Recipe)}


def recipe(name: str) -> Recipe:
    """The recipe of that name; a KeyError that lists the names there are."""
    if name not in all_recipes():
        raise KeyError(f"no recipe {name!r}: there are {', '.join(all_recipes())}")
    return all_recipes()[name]


def train(
    name: str,
    out: os.PathLike | str | None = None,
    device: torch.device | str | None = None,
    epochs: int | None = None,
    resume: bool = True,
) -> Path:
    """Train a weight by its recipe, measure it on the test set and write it to the folder `out` (by
    default the package's own). Interrupted, the same call goes on. Of several processes
    (`distributed`) the first alone measures and writes.

    Raises:
        ArithmeticError: if the training diverged. Nothing is written.
        KeyboardInterrupt: if it was interrupted, with a sentence on how to go on.
        OSError: if another process trains it here, or a file cannot be written; the folder `out`
            is tried before the training.
        ValueError: for a setting out of its range, or a checkpoint of another training.
    """
    check_whole(none=True, epochs=epochs)
    chosen, state = recipe(name), Path("runs") / f"{name}.pt"
    path = Path(out or weights.WEIGHTS) / f"{name}.safetensors"
    check_writable(path)
    data = chosen.data()
    torch.manual_seed(chosen.seed)
    model = weights.build(chosen.model)
    settings = chosen.settings | ({"epochs": epochs} if epochs else {})
    more = {"seed": chosen.seed, "device": device, "checkpoint": state, "resume": resume}
    if chosen.game:
        history = play(model, data.train, **settings, **more)
    else:
        history = fit(model, data.train, data.valid, **settings, **more)
    if distributed.leave() > 0:
        return path
    if history.stopped.startswith("diverged"):
        raise ArithmeticError(f"{name}: the game {history.stopped}; nothing was written")
    if history.stopped == "interrupted":
        raise KeyboardInterrupt(
            f"stopped after {len(history.epochs)} epochs; the same command goes on from {state}"
        )
    tensors = weights.packed(model.state_dict(), chosen.bits)
    model.load_state_dict(weights.unpacked(tensors))  # measure what is shipped
    facts = {
        "name": name,
        "about": chosen.about,
        "source": chosen.source,
        "model": chosen.model,
        "settings": settings,
        "seed": chosen.seed,
        "data": (
            f"{len(data.train):,} training, {len(data.valid):,} validation and {len(data.test):,}"
            " test examples"
        ),
        "torch": torch.__version__,
        "products": products_in(model, settings.get("mixed_precision", False)),
        "epochs_trained": len(history.epochs),
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "seconds": round(sum(history["seconds"])),
        "curve": curve(history),
        "results": chosen.measure(model.eval(), data, None),
    }
    if hasattr(data, "vocabulary"):
        facts["vocabulary"] = list(data.vocabulary.words)
    return weights.write(tensors, facts, path)


def evaluate(name: str, S: int | None = None, device: torch.device | str | None = None) -> dict:
    """Measure a shipped weight again on its test set: {"test_nll", "test_nll_se", "test_elbo",
    ...}, nats.
    """
    check_whole(none=True, S=S)
    chosen = recipe(name)
    return chosen.measure(load(name).to(available(device or "cpu")), chosen.data(), S)


def renew_reliability(name: str, device: torch.device | str | None = None) -> dict:
    """Measure how far the likelihood of a shipped weight is to be trusted (`measure.reliability`),
    and write that into its header. Parameters, hash and all other results stay.

    Raises:
        ValueError: for a weight without a likelihood by importance sampling, or on another test set
            than its other results were measured on.
        OSError: if its file cannot be written.
    """
    chosen, path = recipe(name), weights.path_of(name)
    tensors, facts = weights.read(name)
    recorded, data = facts["results"], chosen.data()
    if "test_nll" not in recorded or "S" not in recorded:
        raise ValueError(f"the results of {name} hold no likelihood by importance sampling")
    if len(data.test) != recorded["n"]:
        raise ValueError(
            f"{name} was measured on {recorded['n']:,} test examples, and {len(data.test):,} are"
            " here: its header is left as it is"
        )
    check_writable(path)
    model = load(name).to(available(device or "cpu"))
    found = chosen.measure(model, data, recorded["S"], reliability_only=True)
    weights.write(tensors, facts | {"results": recorded | found}, path)
    return found


def curve(history: History) -> dict[str, list[float]]:
    """What a card keeps of a training: the epochs' parts, or some points of a game's running
    curve.
    """
    rows, names = history.epochs, {*history.labels, "valid"}
    if not rows[0].keys() & names:
        rows = history.steps[:: -(-len(history.steps) // CURVE_POINTS)]
        names = set(rows[-1])
    return {name: [round(row[name], 2) for row in rows] for name in rows[-1] if name in names}
