"""Four ways to play on grey MNIST, over the same seeds.

Each method plays at its best of three learning rates, found on a seed that is not among the others;
the rows of that search are kept. The clipped one also tried the paper's own c = 0.01 with RMSprop
at 5e-5.
"""

import time
from dataclasses import asdict

import torch
from torch import nn

from dgmcourse import measure
from dgmcourse.data.images import mnist
from dgmcourse.densities import StandardGaussian
from dgmcourse.models.gan import GAN, leaky
from dgmcourse.models.wasserstein_gan import WassersteinGAN
from dgmcourse.networks import mlp
from dgmcourse.play import play
from dgmcourse.studies import finished, row_of
from dgmcourse.studies.gans_on_ring import Method

METHODS = {
    "non-saturating GAN": Method(
        "GAN, log D trick, dropout 0.3 in D", wasserstein=False, settings={"discriminator_steps": 1}
    ),
    "clipped WGAN": Method(
        "weights in [-0.03, 0.03]",
        clip=0.03,
        settings={"discriminator_steps": 3, "optimiser": "rmsprop"},
    ),
    "WGAN with penalty": Method(
        "gradient penalty, lambda = 10", penalty=10.0, settings={"discriminator_steps": 3}
    ),
    "spectral WGAN": Method(
        "spectral normalisation of each layer", spectral=True, settings={"discriminator_steps": 2}
    ),
}
PUBLISHED = {"method": "clipped, as published", "lr": 5e-5}
PUBLISHED_METHOD = Method(
    "weights in [-0.01, 0.01]",
    clip=0.01,
    settings={"discriminator_steps": 5, "optimiser": "rmsprop"},
)
SEEDS, SEARCH_SEED, RATES = range(20), 100, (2e-4, 5e-4, 1e-3)
STEPS, BATCH, SAMPLES = 3000, 64, 5000  # the discriminator's steps: each method sees as many images


def game(method: Method) -> nn.Module:
    """The same two networks for every method, but for what the method says: 32-128-256-784 and
    784-256-128-1.
    """
    generator = mlp([32, 128, 256, 784], leaky, output=nn.Sigmoid())
    dropout = 0.0 if method.wasserstein else 0.3
    critic = mlp([784, 256, 128, 1], leaky, spectral=method.spectral, dropout=dropout)
    if method.wasserstein:
        return WassersteinGAN(StandardGaussian(32), generator, critic, method.clip, method.penalty)
    return GAN(StandardGaussian(32), generator, critic, method.saturating)


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    """The search; when it is complete, also each method at its best rate with each seed."""
    settings = [{"method": name, "lr": lr} for name in METHODS for lr in RATES] + [PUBLISHED]
    search = [(setting, SEARCH_SEED) for setting in settings]
    if not all(row_of(job, rows) for job in search):
        return search
    best = best_rates(rows)
    return search + [({"method": n, "lr": best[n]}, seed) for seed in SEEDS for n in METHODS]


def searched(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["seed"] == SEARCH_SEED]


def best_rates(rows: list[dict]) -> dict[str, float]:
    """Each method's learning rate with the smallest Frechet distance in the search."""
    frechet = {(row["method"], row["lr"]): row["frechet"] for row in searched(rows)}
    return {name: min(RATES, key=lambda lr: frechet[name, lr]) for name in METHODS}  # noqa: B023


def run(setting: dict, seed: int) -> dict:
    """Play one game: whether it came to its end, processor seconds, and `measure.samples`."""
    data, method = mnist(None), METHODS.get(setting["method"], PUBLISHED_METHOD)
    model, began = game(method), time.process_time()
    epochs = -(-STEPS * BATCH // len(data.train))
    history = play(
        model,
        data.train,
        epochs=epochs,
        steps=STEPS,
        batch_size=BATCH,
        lr=setting["lr"],
        seed=seed,
        progress=False,
        **method.settings,
    )
    seconds = round(time.process_time() - began, 1)
    stopped = finished(history).stopped
    return {"stopped": stopped, "seconds": seconds} | measure.samples(model.eval(), data, SAMPLES)


def table(rows: list[dict]) -> dict:
    data, best = mnist(None), best_rates(rows)
    methods = {name: asdict(method) | {"lr": best[name]} for name, method in METHODS.items()}
    for method in methods.values():
        del method["saturating"]  # none is
    return {
        "about": __doc__.splitlines()[0].rstrip("."),
        "data": f"{len(data.train):,} training and {len(data.test):,} test digits",
        "settings": {
            "steps": STEPS,
            "batch_size": BATCH,
            "samples": SAMPLES,
            "rates tried": RATES,
            "search seed": SEARCH_SEED,
        },
        "methods": methods,
        "torch": torch.__version__,
        "rows": [row for row in rows if row["seed"] in SEEDS],
        "search": searched(rows),
    }
