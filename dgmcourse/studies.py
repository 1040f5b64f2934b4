"""Measurements too long for a notebook: many trainings, whose table of results is kept beside the weights.

`python -m dgmcourse.studies gans_on_mnist` repeats one; interrupted, it goes on. `recipes.study(name)` reads its table.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from dgmcourse.recipes import WEIGHTS, grey_mnist, measure_samples


@dataclass(frozen=True)
class Method:
    """One way to play: how a game is made, and what `play` is told."""

    about: str
    clip: float | None = None
    penalty: float = 0.0
    spectral: bool = False
    wasserstein: bool = True
    settings: dict | None = None


# Learning rates are each method's best of RATES on a seed that is not among SEEDS; the rows of that search are kept, too.
# The clipped one also tried the paper's own c = 0.01 with RMSprop at 5e-5 (the rows called "clipped, as published").
METHODS = {
    "non-saturating GAN": Method("GAN, log D trick, dropout 0.3 in D", wasserstein=False, settings={"discriminator_steps": 1}),
    "clipped WGAN": Method("weights in [-0.03, 0.03]", clip=0.03, settings={"discriminator_steps": 3, "optimiser": "rmsprop"}),
    "WGAN with penalty": Method("gradient penalty, lambda = 10", penalty=10.0, settings={"discriminator_steps": 3}),
    "spectral WGAN": Method("spectral normalisation of each layer", spectral=True, settings={"discriminator_steps": 2}),
}
PUBLISHED = Method("weights in [-0.01, 0.01]", clip=0.01, settings={"discriminator_steps": 5, "optimiser": "rmsprop"})
SEEDS, SEARCH_SEED, RATES = range(20), 100, (2e-4, 5e-4, 1e-3)
STEPS, BATCH, SAMPLES = 3000, 64, 5000  # steps are the discriminator's: each method sees as many images


def game(method: Method) -> nn.Module:
    """The same two networks for every method, but for what the method says: 32-128-256-784 and 784-256-128-1."""
    from dgmcourse.densities import StandardGaussian
    from dgmcourse.models.gan import GAN, leaky
    from dgmcourse.models.wasserstein_gan import WassersteinGAN
    from dgmcourse.networks import mlp

    generator = mlp([32, 128, 256, 784], leaky, output=nn.Sigmoid())
    critic = mlp([784, 256, 128, 1], leaky, spectral=method.spectral, dropout=0.0 if method.wasserstein else 0.3)
    if method.wasserstein:
        return WassersteinGAN(StandardGaussian(32), generator, critic, method.clip, method.penalty)
    return GAN(StandardGaussian(32), generator, critic)


def one_run(name: str, method: Method, seed: int, lr: float, data) -> dict:
    """A row: which method, seed and rate, whether it came to its end, processor seconds, and `measure_samples`."""
    from dgmcourse.play import play

    torch.manual_seed(seed)
    model, began = game(method), time.process_time()
    epochs = -(-STEPS * BATCH // len(data.train))
    history = play(model, data.train, epochs=epochs, steps=STEPS, batch_size=BATCH, lr=lr, seed=seed, progress=False, **method.settings)
    seconds = time.process_time() - began
    row = {"method": name, "seed": seed, "lr": lr, "stopped": history.stopped, "seconds": round(seconds, 1)}
    return row | measure_samples(model.eval(), data, SAMPLES)


def gans_on_mnist(rows: list[dict], save) -> dict:
    """Four ways to play on grey MNIST, over the same seeds; `rows` are those already there."""
    data = grey_mnist()

    def run(name, method, seed, lr):
        known = [row for row in rows if (row["method"], row["seed"], row["lr"]) == (name, seed, lr)]
        if not known:
            rows.append(one_run(name, method, seed, lr, data))
            save(rows)
            known = rows[-1:]
        print(name, seed, lr, known[0]["frechet"], flush=True)
        return known[0]["frechet"]

    best = {name: min(RATES, key=lambda lr: run(name, method, SEARCH_SEED, lr)) for name, method in METHODS.items()}  # noqa: B023
    run("clipped, as published", PUBLISHED, SEARCH_SEED, 5e-5)
    for seed in SEEDS:
        for name, method in METHODS.items():
            run(name, method, seed, best[name])
    return {
        "about": gans_on_mnist.__doc__.partition(";")[0],
        "data": f"{len(data.train):,} training and {len(data.test):,} test digits",
        "settings": {"steps": STEPS, "batch_size": BATCH, "samples": SAMPLES, "rates tried": RATES, "search seed": SEARCH_SEED},
        "methods": {name: asdict(method) | {"lr": best[name]} for name, method in METHODS.items()},
        "torch": torch.__version__,
        "rows": [row for row in rows if row["seed"] in SEEDS],
        "search": [row for row in rows if row["seed"] == SEARCH_SEED],
    }


STUDIES = {"gans_on_mnist": gans_on_mnist}


def main(names: list[str]) -> None:
    for name in names or STUDIES:
        state = Path("runs") / f"{name}.json"
        state.parent.mkdir(exist_ok=True)
        rows = json.loads(state.read_text()) if state.exists() else []
        table = STUDIES[name](rows, lambda rows: state.write_text(json.dumps(rows)))  # noqa: B023
        (WEIGHTS / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
