"""Chorales by an RNN, an RNN whose output is a mixture, and a VRNN, of about one size."""

import torch

from dgmcourse.data.music import FRAGMENT, SIZES, chorales, clashes, decode
from dgmcourse.measure import sequences
from dgmcourse.models.vrnn import ChoraleRNN, ChoraleVRNN
from dgmcourse.studies import finished
from dgmcourse.train import fit

SETTINGS = {"epochs": 60, "batch_size": 16, "clip": 100.0, "patience": 6}
RATES = (4e-3, 1e-3, 2.5e-4)  # one after the other, each until the validation bound stops rising
SEEDS = range(5)
PARTICLES = 30
DRAWN = (200, 48)  # sequences, and steps of each
MIXTURE = {"hidden": 91, "components": 4}
# One RNN with dropout of 0.3 at its inputs and in its decoder, not in the table, had 4.71 nats a
# step: no better than without.
MODELS = {
    "RNN": lambda: ChoraleRNN(SIZES, hidden=122),
    "RNN, mixture": lambda: ChoraleRNN(SIZES, **MIXTURE),
    "VRNN": lambda: ChoraleVRNN(SIZES),
}
WARM_UP = {"VRNN": 9}  # epochs; the others have no KL


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [({"model": name}, seed) for seed in SEEDS for name in MODELS]


def run(setting: dict, seed: int) -> dict:
    """Train one until the validation chorales say stop, at each rate from the best pass of the one
    before, and measure it on the test's.
    """
    model, data = MODELS[setting["model"]](), chorales()
    train, warm_up = data.train.cut(FRAGMENT), WARM_UP.get(setting["model"], 0)
    passes, stopped, seconds = [], [], 0.0
    for lr in RATES:
        more = {"lr": lr, "warm_up": warm_up, "seed": seed, "progress": False}
        history = finished(fit(model, train, data.valid, **SETTINGS, **more))
        warm_up = 0
        passes.append(len(history.epochs))
        stopped.append(history.stopped)
        seconds += sum(history["seconds"])
    found = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "passes": passes,
        "converged": all(why == "no further improvement" for why in stopped),
        "seconds": round(seconds),
    }
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
        "settings": SETTINGS
        | {"rates": list(RATES), "warm_up of the VRNN": WARM_UP["VRNN"], "particles": PARTICLES},
        "torch": torch.__version__,
        "rows": rows,
    }
