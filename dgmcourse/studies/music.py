"""Chorales by an RNN, an RNN whose output is a mixture, and a VRNN, of about one size."""

import torch

from dgmcourse.data.music import FRAGMENT, SIZES, chorales, clashes, decode
from dgmcourse.measure import sequences
from dgmcourse.models.vrnn import ChoraleRNN, ChoraleVRNN
from dgmcourse.studies import finished
from dgmcourse.train import fit

SETTINGS = {"epochs": 14, "batch_size": 16, "lr": 4e-3, "anneal": 7, "clip": 100.0}
SEEDS = range(5)
PARTICLES = 30
DRAWN = (200, 48)  # sequences, and steps of each
MIXTURE = {"hidden": 91, "components": 4}
MODELS = {
    "RNN": lambda: ChoraleRNN(SIZES, hidden=122),
    "RNN, mixture": lambda: ChoraleRNN(SIZES, **MIXTURE),
    "VRNN": lambda: ChoraleVRNN(SIZES),
}
WARM_UP = {"VRNN": 9}  # epochs; the others have no KL


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [({"model": name}, seed) for seed in SEEDS for name in MODELS]


def run(setting: dict, seed: int) -> dict:
    """Train one, keep its best epoch on the validation chorales, and measure it on the test's."""
    model, data = MODELS[setting["model"]](), chorales()
    more = {"warm_up": WARM_UP.get(setting["model"], 0), "seed": seed, "progress": False}
    history = finished(fit(model, data.train.cut(FRAGMENT), data.valid, **SETTINGS, **more))
    parameters = sum(p.numel() for p in model.parameters())
    seconds = round(sum(history["seconds"]))
    found = {"parameters": parameters, "best_epoch": history.best_epoch, "seconds": seconds}
    share = clashes(decode(model.eval().sample(DRAWN[:1], DRAWN[1]))).double().mean().item()
    return found | {"clashes": round(share, 4)} | sequences(model, data, PARTICLES)


def table(rows: list[dict]) -> dict:
    data = chorales()
    return {
        "about": __doc__.rstrip("."),
        "data": (
            f"{len(data.train)} training, {len(data.valid)} validation and {len(data.test)} test"
            f" chorales, divided by melody; training in fragments of {FRAGMENT} steps"
        ),
        "settings": SETTINGS | {"warm_up of the VRNN": WARM_UP["VRNN"], "particles": PARTICLES},
        "torch": torch.__version__,
        "rows": rows,
    }
