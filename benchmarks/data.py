"""Data path

Reading MNIST from its four files (decoding, splitting, verifying that the files are sound) and one
epoch's batches of 100, shuffled and binarised, as parts of one epoch of `fit` on the VampPrior
paper's VAE. The files are in the system's cache.
"""

import statistics

import torch
from timing import hushed, judged, seconds, spread, turns

from dgmcourse.data.images import mnist
from dgmcourse.models import VAE
from dgmcourse.train import fit

ROUNDS = 5


def measure(rounds: int = ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    with hushed():
        train, model = mnist("dynamic").train, VAE(40)
        rivals = {
            "load": lambda: mnist("dynamic"),
            "batches": lambda: sum(1 for _ in train.batches(100)),
            "epoch": lambda: fit(model, train, epochs=1),
        }
        times = turns(rivals, rounds)
    parts = {"loading": ["load"], "one epoch's batches": ["batches"], "both": ["load", "batches"]}
    rows = []
    for what, names in parts.items():
        taken = [[sum(times[name][r][i] for name in names) for r in range(rounds)] for i in (0, 1)]
        wall, cpu = (
            [100 * taken[i][r] / times["epoch"][r][i] for r in range(rounds)] for i in (0, 1)
        )
        rows.append(
            {
                "what": f"{what}, {len(train):,} digits",
                "time": seconds(statistics.median(taken[0])),
                "per cent of an epoch (quartiles)": spread(wall),
                "per cent of its processor seconds": spread(cpu),
                "rounds": str(rounds),
                "goal": judged(statistics.median(wall), "<= 5") if what == "both" else "",
            }
        )
    return rows, ""
