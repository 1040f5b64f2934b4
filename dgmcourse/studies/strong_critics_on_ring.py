"""What becomes of the generator if the critic is trained well: one or five steps a turn.

The methods are those that `gans_on_ring` found best, and the GAN with its min-max objective.
"""

from dataclasses import asdict, replace

import torch

from dgmcourse import weights
from dgmcourse.studies.gans_on_ring import BATCH, RATES, Method, ring_distances

METHODS = ("saturating GAN", "GAN", "clipped WGAN", "WGAN with penalty")
CRITIC_STEPS, TURNS, GAMES, SEED = (1, 5), 1000, 20, 0  # TURNS: the generator's steps


def methods() -> dict[str, Method]:
    kept = weights.study("gans_on_ring")["methods"]
    best = {name: Method(**method) for name, method in kept.items()}
    saturating = replace(best["GAN"], about="GAN, its min-max objective", saturating=True)
    return {name: ({"saturating GAN": saturating} | best)[name] for name in METHODS}


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [({"method": m, "discriminator_steps": n}, SEED) for m in METHODS for n in CRITIC_STEPS]


def run(setting: dict, seed: int) -> dict:
    """The distances of GAMES games from the ring at each of RATES."""
    method, n = methods()[setting["method"]], setting["discriminator_steps"]
    method = replace(method, settings=method.settings | {"discriminator_steps": n})
    distances, stopped, seconds = ring_distances(method, GAMES, TURNS * n)
    return {**method.settings, "stopped": stopped, "seconds": seconds, "distances": distances}


def table(rows: list[dict]) -> dict:
    return {
        "about": __doc__.splitlines()[0].rstrip("."),
        "data": "a ring of eight Gaussians",
        "settings": {
            "turns": TURNS,
            "batch_size": BATCH,
            "rates": RATES,
            "games a rate": GAMES,
            "seed": SEED,
        },
        "methods": {name: asdict(method) for name, method in methods().items()},
        "torch": torch.__version__,
        "rows": rows,
    }
