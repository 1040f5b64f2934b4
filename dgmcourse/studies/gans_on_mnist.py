"""Four ways to play on grey MNIST, over the same seeds.

Each method plays with its best optimiser and learning rate, found on a seed that is not among the
others: for each optimiser the search starts with three rates, and goes on while the best one is at the
edge of those tried. Its rows are kept. The clipped one also tried the paper's own c = 0.01 with
RMSprop at 5e-5.
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
        "weights in [-0.03, 0.03]", clip=0.03, settings={"discriminator_steps": 3}
    ),
    "WGAN with penalty": Method(
        "gradient penalty, lambda = 10", penalty=10.0, settings={"discriminator_steps": 3}
    ),
    "spectral WGAN": Method(
        "spectral normalisation of each layer", spectral=True, settings={"discriminator_steps": 2}
    ),
}
PUBLISHED = {"method": "clipped, as published", "optimiser": "rmsprop", "lr": 5e-5}
PUBLISHED_METHOD = Method(
    "weights in [-0.01, 0.01]", clip=0.01, settings={"discriminator_steps": 5}
)
OPTIMISERS = ("adam", "rmsprop")
RATES, FIRST = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2), slice(2, 5)
SEEDS, SEARCH_SEED = range(20), 100
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
    """The search; when it is complete, also each method at its best setting with each seed."""
    searches = [search(name, o, rows) for name in METHODS for o in OPTIMISERS]
    settings = [setting for search in searches for setting in search] + [PUBLISHED]
    games = [(setting, SEARCH_SEED) for setting in settings]
    if not all(row_of(game, rows) for game in games):
        return games
    return games + [(best(name, rows), seed) for seed in SEEDS for name in METHODS]


def search(name: str, optimiser: str, rows: list[dict]) -> list[dict]:
    """The settings to try: the first RATES, and the next one beyond an edge that is the best."""
    setting = {"method": name, "optimiser": optimiser}
    low, high, _ = FIRST.indices(len(RATES))
    while True:
        settings = [setting | {"lr": lr} for lr in RATES[low:high]]
        found = [row_of((setting, SEARCH_SEED), rows) for setting in settings]
        if None in found:
            return settings
        at = low + found.index(min(found, key=lambda row: row["frechet"]))
        if at == high - 1 and high < len(RATES):
            high += 1
        elif at == low and low > 0:
            low -= 1
        else:
            return settings


def searched(rows: list[dict]) -> list[dict]:
    return [row for row in rows if row["seed"] == SEARCH_SEED]


def best(name: str, rows: list[dict]) -> dict:
    """A method's setting with the smallest Frechet distance in the search."""
    of_it = [row for row in searched(rows) if row["method"] == name]
    row = min(of_it, key=lambda row: row["frechet"])
    return {"method": name, "optimiser": row["optimiser"], "lr": row["lr"]}


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
        optimiser=setting["optimiser"],
        seed=seed,
        progress=False,
        **method.settings,
    )
    seconds = round(time.process_time() - began, 1)
    stopped = finished(history).stopped
    return {"stopped": stopped, "seconds": seconds} | measure.samples(model.eval(), data, SAMPLES)


def table(rows: list[dict]) -> dict:
    """The rows of the search apart; to each method belong its best "lr" and "optimiser", and the
    rates "tried" with that.
    """
    data, methods = mnist(None), {}
    for name, method in METHODS.items():
        kept = best(name, rows)
        same = {"method": name, "optimiser": kept["optimiser"]}.items()
        tried = [row["lr"] for row in searched(rows) if same <= row.items()]
        methods[name] = asdict(method) | {"lr": kept["lr"], "tried": sorted(tried)}
        methods[name]["settings"] = method.settings | {"optimiser": kept["optimiser"]}
        del methods[name]["saturating"]  # none is
    return {
        "about": __doc__.splitlines()[0].rstrip("."),
        "data": f"{len(data.train):,} training and {len(data.test):,} test digits",
        "settings": {
            "steps": STEPS,
            "batch_size": BATCH,
            "samples": SAMPLES,
            "search seed": SEARCH_SEED,
        },
        "methods": methods,
        "torch": torch.__version__,
        "rows": [row for row in rows if row["seed"] in SEEDS],
        "search": searched(rows),
    }
