"""Measurements too long for a notebook: many trainings, whose table of results is kept beside the
weights.

`python -m dgmcourse.studies gans_on_ring` repeats one; interrupted, it goes on.
`recipes.study(name)` reads its table.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from dgmcourse.recipes import WEIGHTS, grey_mnist, measure_samples, ring_of_eight


@dataclass(frozen=True)
class Method:
    """One way to play: how a game is made (the GAN's, or the Wasserstein GAN's with a clip, a
    penalty or spectral layers), and the settings that `play` is told: "discriminator_steps",
    "optimiser".
    """

    about: str
    clip: float | None = None
    penalty: float = 0.0
    spectral: bool = False
    wasserstein: bool = True
    saturating: bool = False
    settings: dict = field(default_factory=dict)


# Learning rates are each method's best of RATES on a seed that is not among SEEDS; the rows of that
# search are kept, too. The clipped one also tried the paper's own c = 0.01 with RMSprop at 5e-5
# (the rows called "clipped, as published").
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
PUBLISHED = Method(
    "weights in [-0.01, 0.01]",
    clip=0.01,
    settings={"discriminator_steps": 5, "optimiser": "rmsprop"},
)
SEEDS, SEARCH_SEED, RATES = range(20), 100, (2e-4, 5e-4, 1e-3)
STEPS, BATCH, SAMPLES = (
    3000,
    64,
    5000,
)  # steps are the discriminator's: each method sees as many images


def game(method: Method) -> nn.Module:
    """The same two networks for every method, but for what the method says: 32-128-256-784 and
    784-256-128-1.
    """
    from dgmcourse.densities import StandardGaussian
    from dgmcourse.models.gan import GAN, leaky
    from dgmcourse.models.wasserstein_gan import WassersteinGAN
    from dgmcourse.networks import mlp

    generator = mlp([32, 128, 256, 784], leaky, output=nn.Sigmoid())
    critic = mlp(
        [784, 256, 128, 1],
        leaky,
        spectral=method.spectral,
        dropout=0.0 if method.wasserstein else 0.3,
    )
    if method.wasserstein:
        return WassersteinGAN(StandardGaussian(32), generator, critic, method.clip, method.penalty)
    return GAN(StandardGaussian(32), generator, critic, method.saturating)


def one_run(name: str, method: Method, seed: int, lr: float, data) -> dict:
    """A row: which method, seed and rate, whether it came to its end, processor seconds, and
    `measure_samples`.
    """
    from dgmcourse.play import play

    torch.manual_seed(seed)
    model, began = game(method), time.process_time()
    epochs = -(-STEPS * BATCH // len(data.train))
    history = play(
        model,
        data.train,
        epochs=epochs,
        steps=STEPS,
        batch_size=BATCH,
        lr=lr,
        seed=seed,
        progress=False,
        **method.settings,
    )
    seconds = time.process_time() - began
    row = {
        "method": name,
        "seed": seed,
        "lr": lr,
        "stopped": history.stopped,
        "seconds": round(seconds, 1),
    }
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

    best = {
        name: min(RATES, key=lambda lr: run(name, method, SEARCH_SEED, lr))
        for name, method in METHODS.items()
    }  # noqa: B023
    run("clipped, as published", PUBLISHED, SEARCH_SEED, 5e-5)
    for seed in SEEDS:
        for name, method in METHODS.items():
            run(name, method, seed, best[name])
    return {
        "about": gans_on_mnist.__doc__.partition(";")[0],
        "data": f"{len(data.train):,} training and {len(data.test):,} test digits",
        "settings": {
            "steps": STEPS,
            "batch_size": BATCH,
            "samples": SAMPLES,
            "rates tried": RATES,
            "search seed": SEARCH_SEED,
        },
        "methods": {name: asdict(method) | {"lr": best[name]} for name, method in METHODS.items()},
        "torch": torch.__version__,
        "rows": [row for row in rows if row["seed"] in SEEDS],
        "search": [row for row in rows if row["seed"] == SEARCH_SEED],
    }


# ---- on the ring of eight Gaussians: many games at once, some at one learning rate, some at another

RING_RATES, RING_STEPS, RING_BATCH, RING_GAMES = (1e-3, 3e-3, 1e-2), 1500, 32, 8
RING_METHODS = {
    "GAN": [Method("GAN, log D trick", wasserstein=False)],
    "clipped WGAN": [Method(f"weights in [-{c}, {c}]", clip=c) for c in (0.1, 0.3, 1.0)],
    "WGAN with penalty": [
        Method(f"gradient penalty, lambda = {p:g}", penalty=p) for p in (0.1, 1.0, 10.0)
    ],
    "spectral WGAN": [Method("spectral normalisation of each layer", spectral=True)],
    "spectral GAN": [
        Method("GAN, log D trick, D with spectral normalisation", spectral=True, wasserstein=False)
    ],
}
RING_SETTINGS = [
    {"discriminator_steps": n, "optimiser": o} for n in (1, 3) for o in ("adam", "rmsprop")
]


def ring_game(method: Method, copies: int, hidden: int = 32) -> nn.Module:
    """`copies` independent games at once, of networks 4-32-32-2 and 2-32-32-1."""
    from dgmcourse.densities import StandardGaussian
    from dgmcourse.models.gan import GAN, leaky
    from dgmcourse.models.wasserstein_gan import WassersteinGAN
    from dgmcourse.networks import mlp

    generator = mlp([4, hidden, hidden, 2], copies=copies)
    critic = mlp([2, hidden, hidden, 1], leaky, copies=copies, spectral=method.spectral)
    if method.wasserstein:
        return WassersteinGAN(StandardGaussian(4), generator, critic, method.clip, method.penalty)
    return GAN(StandardGaussian(4), generator, critic, method.saturating)


def play_at_rates(
    game: nn.Module,
    data: Tensor,
    rates: Tensor,
    steps: int,
    batch: int,
    *,
    discriminator_steps: int = 1,
    optimiser: str = "adam",
    watch=None,
) -> None:
    """`play`'s loop for copies of a game, each at a learning rate of its own.

    The copies share optimisers at the largest rate, and each copy's update is scaled by its own
    rate / the largest: with Adam and RMSprop, whose steps are proportional to the rate, that is a
    training at that rate.

    Args:
        game: as many copies as there are rates; trained in place, and left in evaluation.
        data: (N, D), of which every copy draws batches of its own, with replacement.
        rates: (copies,).
        steps: batches, the discriminator's steps; the generator has one after each
            `discriminator_steps` of them.
        watch: called as watch(game, step, parts) after each step; parts are the discriminator
            objective's, (copies, batch).

    Raises:
        TrainingError: as soon as one of the copies is not finite any more; all keep what they have.
    """
    from dgmcourse.play import Players

    players = Players(game, rates.max().item(), optimiser)
    for shared in players.optimisers:
        scale_steps(shared, rates / rates.max())
    game.train()
    try:
        for step in range(1, steps + 1):
            x = data[torch.randint(len(data), (len(rates), batch))]
            parts = players.discriminator_step(x)
            if step % discriminator_steps == 0:
                players.generator_step(x)
            if watch:
                watch(game, step, parts)
    finally:
        game.eval()


def scale_steps(optimiser: torch.optim.Optimizer, share: Tensor) -> None:
    """Let each copy take its share, (copies,), of every step of the optimiser."""
    step, parameters = optimiser.step, optimiser.param_groups[0]["params"]

    @torch.no_grad()
    def scaled():
        before = [p.clone() for p in parameters]
        step()
        for p, was in zip(parameters, before, strict=True):
            p.copy_(torch.lerp(was, p, share.view(-1, *[1] * (p.dim() - 1))))

    optimiser.step = scaled


def sliced_from(real: Tensor, directions: int = 24):
    """A function that measures samples (..., n, 2), with n a divisor of N, against real points (N,
    2): the mean earth-mover distance over fixed random directions, shape (...). Each sample counts
    as often as makes N.
    """
    axes = nn.functional.normalize(torch.randn(real.shape[-1], directions), dim=0)

    def shadows(x: Tensor) -> Tensor:
        return (x @ axes).sort(-2).values.repeat_interleave(len(real) // x.shape[-2], -2)

    ours = shadows(real)

    def measure(
        x: Tensor,
    ) -> Tensor:  # one sample at a time: thousands of points and many games would fill the memory
        each = x.reshape(-1, *x.shape[-2:])
        return torch.stack([(shadows(one) - ours).abs().mean() for one in each]).reshape(
            x.shape[:-2]
        )

    return measure


def ring_distances(
    method: Method, games: int, steps: int, seed: int
) -> tuple[list[list[float]], str, float]:
    """Play `games` games at each of RING_RATES: their distances from the ring, [game][rate];
    whether they came to an end; and the processor's seconds.
    """
    from dgmcourse.play import TrainingError

    torch.manual_seed(seed)
    ring = ring_of_eight()
    data, measure = ring.sample((20_000,)), sliced_from(ring.sample((4000,)))
    rates = torch.tensor(RING_RATES).repeat(games)
    game, began, stopped = ring_game(method, len(rates)), time.process_time(), "finished"
    try:
        play_at_rates(game, data, rates, steps, RING_BATCH, **method.settings)
    except TrainingError as error:
        stopped = f"diverged: {error}"
    with torch.no_grad():
        samples = game.generator(game.prior.sample((len(rates), 4000))).nan_to_num(1e3)
    distances = [[round(d, 4) for d in row] for row in measure(samples).reshape(games, -1).tolist()]
    return distances, stopped, round(time.process_time() - began, 1)


def one_ring(name: str, method: Method) -> dict:
    """A row of the search: the method, and at each of RING_RATES the mean distance of RING_GAMES
    games from the ring.
    """
    distances, stopped, seconds = ring_distances(method, RING_GAMES, RING_STEPS, SEARCH_SEED)
    mean = [round(sum(column) / RING_GAMES, 4) for column in zip(*distances, strict=True)]
    row = {
        "method": name,
        "clip": method.clip,
        "penalty": method.penalty,
        **method.settings,
        "stopped": stopped,
    }
    return row | {"seconds": seconds, "distance": mean}


def gans_on_ring(rows: list[dict], save) -> dict:
    """Which strength, optimiser and number of critic steps suits each of five methods on the ring;
    `rows` as above.
    """
    tried = [
        (name, Method(**asdict(kind) | {"settings": settings}))
        for name, kinds in RING_METHODS.items()
        for kind in kinds
        for settings in RING_SETTINGS
    ]
    for name, method in tried[len(rows) :]:
        rows.append(one_ring(name, method))
        save(rows)
        print(name, method.about, *method.settings.values(), rows[-1]["distance"], flush=True)
    over_rates = {name: [] for name in RING_METHODS}
    for (name, method), row in zip(tried, rows, strict=True):
        over_rates[name].append(
            (sum(row["distance"]) / len(RING_RATES), len(over_rates[name]), method)
        )
    return {
        "about": gans_on_ring.__doc__.partition(";")[0],
        "data": "a ring of eight Gaussians",
        "settings": {
            "steps": RING_STEPS,
            "batch_size": RING_BATCH,
            "rates": RING_RATES,
            "games a rate": RING_GAMES,
            "seed": SEARCH_SEED,
            "best": "the smallest distance, averaged over rates and games",
        },
        "methods": {name: asdict(min(found)[2]) for name, found in over_rates.items()},
        "torch": torch.__version__,
        "rows": rows,
    }


STRONG_METHODS = ("saturating GAN", "GAN", "clipped WGAN", "WGAN with penalty")
STRONG_STEPS, TURNS, STRONG_GAMES = (
    (1, 5),
    1000,
    20,
)  # steps of the critic for each of the generator's 1,000


def strong_critics_on_ring(rows: list[dict], save) -> dict:
    """What becomes of the generator if the critic is trained well: one or five steps a turn; `rows`
    as above.
    """
    from dgmcourse.recipes import study

    best = {name: Method(**kept) for name, kept in study("gans_on_ring")["methods"].items()}
    minimax = asdict(best["GAN"]) | {"about": "GAN, its min-max objective", "saturating": True}
    methods = {"saturating GAN": Method(**minimax)} | best
    tried = [(name, n) for name in STRONG_METHODS for n in STRONG_STEPS]
    for name, n in tried[len(rows) :]:
        method = Method(
            **asdict(methods[name])
            | {"settings": methods[name].settings | {"discriminator_steps": n}}
        )
        distances, stopped, seconds = ring_distances(method, STRONG_GAMES, TURNS * n, seed=0)
        rows.append(
            {
                "method": name,
                **method.settings,
                "stopped": stopped,
                "seconds": seconds,
                "distances": distances,
            }
        )
        save(rows)
        print(
            name,
            n,
            [round(sum(column) / STRONG_GAMES, 3) for column in zip(*distances, strict=True)],
            flush=True,
        )
    return {
        "about": strong_critics_on_ring.__doc__.partition(";")[0],
        "data": "a ring of eight Gaussians",
        "settings": {
            "turns": TURNS,
            "batch_size": RING_BATCH,
            "rates": RING_RATES,
            "games a rate": STRONG_GAMES,
            "seed": 0,
        },
        "methods": {name: asdict(methods[name]) for name in STRONG_METHODS},
        "torch": torch.__version__,
        "rows": rows,
    }


# ---- flows as posteriors of one VAE

FLOWS = [
    ("diagonal", 0),
    ("planar", 16),
    ("Householder", 16),
    ("inverse autoregressive", 4),  # first the longest of each
    ("planar", 1),
    ("planar", 4),
    ("Householder", 1),
    ("inverse autoregressive", 1),
]
FLOW_SEEDS, FLOW_DIGITS, FLOW_SAMPLES = range(3), 1000, 500
FLOW_SETTINGS = {
    "epochs": 14,
    "batch_size": 100,
    "lr": 1e-3,
    "warm_up": 3,
    "anneal": 7,
    "mixed_precision": True,
}


def flows_on_mnist(rows: list[dict], save) -> dict:
    """The VAE (gated 300-300, 40 latent dimensions) with each posterior at several T; `rows` as
    above.
    """
    from dgmcourse.recipes import dynamic_mnist, flow_run

    data = dynamic_mnist()
    for kinds in (FLOWS[:4], FLOWS[4:]):
        for seed in FLOW_SEEDS:
            for posterior, T in kinds:
                run = {
                    "posterior": posterior,
                    "T": T,
                    "seed": seed,
                    "epochs": FLOW_SETTINGS["epochs"],
                }
                if any(run.items() <= row.items() for row in rows):
                    continue
                state = (
                    Path("runs") / f"flows_{'_'.join(map(str, run.values())).replace(' ', '_')}.pt"
                )
                rows.append(
                    flow_run(
                        posterior, T, seed, data, state, FLOW_SETTINGS, FLOW_DIGITS, FLOW_SAMPLES
                    )
                )
                save(rows)
                state.unlink()
                print(
                    {
                        name: rows[-1][name]
                        for name in ("posterior", "T", "seed", "elbo", "nll", "gap")
                    },
                    flush=True,
                )
    return flows_table(rows, data)


def flows_table(rows: list[dict], data) -> dict:
    """The study's table of the rows there are."""
    return {
        "about": flows_on_mnist.__doc__.partition(";")[0] + ".",
        "data": (
            f"{len(data.train):,} training and {len(data.test):,} test digits, binarised"
            " dynamically"
        ),
        "settings": FLOW_SETTINGS,
        "digits": {"elbo": len(data.test), "nll": min(FLOW_DIGITS, len(data.test))},
        "samples": FLOW_SAMPLES,
        "torch": torch.__version__,
        "rows": [row for row in rows if row["epochs"] == FLOW_SETTINGS["epochs"]],
    }


# ---- what is left to a code when pixels see one another

REACHES, FREE_BITS, PIXEL_SEEDS = (0, 1, 2, 4, 7), 0.5, range(3)
PIXEL_SETTINGS = {"digits": 5000, "epochs": 8, "batch": 50, "lr": 3e-3, "S": 50}


def pixels_against_code(rows: list[dict], save) -> dict:
    """Small PixelVAEs whose decoders see more and more rows, and the last one with free bits;
    `rows` as above.
    """
    from dgmcourse.recipes import pixel_run

    data = grey_mnist()
    todo = [(reach, 0.0, seed) for seed in PIXEL_SEEDS for reach in REACHES]
    todo += [(REACHES[-1], FREE_BITS, seed) for seed in PIXEL_SEEDS]
    for reach, free, seed in todo[len(rows) :]:
        rows.append(pixel_run(reach, free, seed, data, **PIXEL_SETTINGS))
        save(rows)
        print(rows[-1], flush=True)
    return {
        "about": pixels_against_code.__doc__.partition(";")[0] + ".",
        "data": (
            f"{min(PIXEL_SETTINGS['digits'], len(data.train)):,} training and"
            f" {min(400, len(data.test))} test digits of 14x14 pixels"
        ),
        "settings": PIXEL_SETTINGS,
        "torch": torch.__version__,
        "rows": rows,
    }


# ---- priors, and a second layer, trained with one encoder and decoder

PRIORS = (
    "standard normal",
    "mixture of Gaussians",
    "autoregressive",
    "autoregressive flow",
    "VampPrior",
    "two layers, standard normal",
    "two layers, VampPrior",
)
PRIOR_SEEDS, PRIOR_DIGITS, PRIOR_SAMPLES, PRIOR_DRAWN = range(3), 1000, 500, 5000
PRIOR_SETTINGS = {"epochs": 10, "batch_size": 100, "lr": 1e-3, "warm_up": 2, "anneal": 5}


def priors(rows: list[dict], save) -> dict:
    """Five priors, and two layers, with ten latent dimensions each, every model trained anew;
    `rows` as above.
    """
    from dgmcourse.recipes import dynamic_mnist, prior_run, real_digits

    data, (features, digits) = dynamic_mnist(), real_digits(PRIOR_DRAWN)
    for seed in PRIOR_SEEDS:
        for name in PRIORS:
            if not any((row["model"], row["seed"]) == (name, seed) for row in rows):
                rows.append(
                    prior_run(
                        name, seed, data, PRIOR_SETTINGS, PRIOR_DIGITS, PRIOR_SAMPLES, features
                    )
                )
                save(rows)
                print(rows[-1], flush=True)
    return {
        "about": priors.__doc__.partition(";")[0],
        "data": (
            f"{len(data.train):,} training and {len(data.test):,} test digits, binarised"
            " dynamically"
        ),
        "settings": (
            PRIOR_SETTINGS | {"S": PRIOR_SAMPLES, "digits": PRIOR_DIGITS, "drawn": digits["n"]}
        ),
        "digits": digits,
        "torch": torch.__version__,
        "rows": rows,
    }


STUDIES = {
    "priors": priors,
    "flows_on_mnist": flows_on_mnist,
    "gans_on_mnist": gans_on_mnist,
    "gans_on_ring": gans_on_ring,
    "pixels_against_code": pixels_against_code,
    "strong_critics_on_ring": strong_critics_on_ring,
}


def main(names: list[str]) -> None:
    for name in names or STUDIES:
        state = Path("runs") / f"{name}.json"
        state.parent.mkdir(exist_ok=True)
        rows = json.loads(state.read_text()) if state.exists() else []
        table = STUDIES[name](rows, lambda rows: state.write_text(json.dumps(rows)))  # noqa: B023
        (WEIGHTS / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
