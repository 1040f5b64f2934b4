"""Which strength, optimiser and number of critic steps suits each of five methods on the ring."""

import time
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor, nn

from dgmcourse.data.toy import ring_of_gaussians
from dgmcourse.densities import StandardGaussian
from dgmcourse.models.gan import GAN, leaky
from dgmcourse.models.wasserstein_gan import WassersteinGAN
from dgmcourse.networks import mlp
from dgmcourse.play import Players, TrainingError, climb, frozen


@dataclass(frozen=True)
class Method:
    """One way to play: the GAN's game, or the Wasserstein GAN's with a clip, a penalty or spectral
    layers; `settings` are `play`'s "discriminator_steps" and "optimiser".
    """

    about: str
    clip: float | None = None
    penalty: float = 0.0
    spectral: bool = False
    wasserstein: bool = True
    saturating: bool = False
    settings: dict = field(default_factory=dict)


METHODS = {
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
PLAY_SETTINGS = [
    {"discriminator_steps": n, "optimiser": o} for n in (1, 3) for o in ("adam", "rmsprop")
]
RATES, STEPS, BATCH, GAMES, SEED = (1e-3, 3e-3, 1e-2), 1500, 32, 8, 100


def ring_game(method: Method, copies: int, hidden: int = 32) -> nn.Module:
    """`copies` independent games at once, of networks 4-32-32-2 and 2-32-32-1."""
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

    They share one optimiser at the largest rate. Each copy's update is then scaled by its own rate
    / the largest rate: with Adam and RMSprop, whose steps are proportional to the rate, that is a
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
    players, pace = Players(game, rates.max().item(), optimiser), rates / rates.max()

    def step_up(value, x, optimiser):
        moving = optimiser.param_groups[0]["params"]
        before = [p.detach().clone() for p in moving]
        climb(value, x, optimiser)
        with torch.no_grad():
            for p, was in zip(moving, before, strict=True):
                p.copy_(torch.lerp(was, p, pace.view(-1, *[1] * (p.dim() - 1))))

    game.train()
    try:
        for step in range(1, steps + 1):
            x = data[torch.randint(len(data), (len(rates), batch))]
            value, parts = game.discriminator_objective(x)
            step_up(value, x, players.optimisers[0])
            if hasattr(game, "constrain"):
                game.constrain()
            if step % discriminator_steps == 0:
                with frozen(players.judges):
                    step_up(game.generator_objective(x)[0], x, players.optimisers[1])
            if watch:
                watch(game, step, parts)
    finally:
        game.eval()


def sliced_from(real: Tensor, directions: int = 24):
    """A function that measures samples (..., n, 2), with n a divisor of N, against real points (N,
    2): the mean earth-mover distance over fixed random directions, shape (...). Samples are
    repeated to length N.
    """
    axes = nn.functional.normalize(torch.randn(real.shape[-1], directions), dim=0)

    def shadows(x: Tensor) -> Tensor:
        return (x @ axes).sort(-2).values.repeat_interleave(len(real) // x.shape[-2], -2)

    ours = shadows(real)

    def measure(x: Tensor) -> Tensor:
        each = x.reshape(-1, *x.shape[-2:])  # one sample at a time, to spare memory
        distances = torch.stack([(shadows(one) - ours).abs().mean() for one in each])
        return distances.reshape(x.shape[:-2])

    return measure


def ring_distances(method: Method, games: int, steps: int) -> tuple[list[list[float]], str, float]:
    """Play `games` games at each of RATES: their distances from the ring, [game][rate]; whether
    they came to an end; and the processor's seconds.
    """
    ring = ring_of_gaussians()
    data, measure = ring.sample((20_000,)), sliced_from(ring.sample((4000,)))
    rates = torch.tensor(RATES).repeat(games)
    game, began, stopped = ring_game(method, len(rates)), time.process_time(), "finished"
    try:
        play_at_rates(game, data, rates, steps, BATCH, **method.settings)
    except TrainingError as error:
        stopped = f"diverged: {error}"
    with torch.no_grad():
        samples = game.generator(game.prior.sample((len(rates), 4000))).nan_to_num(1e3)
    distances = [[round(d, 4) for d in row] for row in measure(samples).reshape(games, -1).tolist()]
    return distances, stopped, round(time.process_time() - began, 1)


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [
        ({"method": name, "clip": kind.clip, "penalty": kind.penalty, **settings}, SEED)
        for name, kinds in METHODS.items()
        for kind in kinds
        for settings in PLAY_SETTINGS
    ]


def method_of(row: dict) -> Method:
    """The method of a setting or a row."""
    settings = {key: row[key] for key in PLAY_SETTINGS[0]}
    kinds = {(kind.clip, kind.penalty): kind for kind in METHODS[row["method"]]}
    return replace(kinds[row["clip"], row["penalty"]], settings=settings)


def run(setting: dict, seed: int) -> dict:
    """At each of RATES the mean distance of GAMES games from the ring."""
    distances, stopped, seconds = ring_distances(method_of(setting), GAMES, STEPS)
    mean = [round(sum(column) / GAMES, 4) for column in zip(*distances, strict=True)]
    return {"stopped": stopped, "seconds": seconds, "distance": mean}


def table(rows: list[dict]) -> dict:
    best = {}
    for name in METHODS:
        tried = [row for row in rows if row["method"] == name]
        best[name] = method_of(min(tried, key=lambda row: sum(row["distance"]) / len(RATES)))
    return {
        "about": __doc__.rstrip("."),
        "data": "a ring of eight Gaussians",
        "settings": {
            "steps": STEPS,
            "batch_size": BATCH,
            "rates": RATES,
            "games a rate": GAMES,
            "seed": SEED,
            "best": "the smallest distance, averaged over rates and games",
        },
        "methods": {name: asdict(method) for name, method in best.items()},
        "torch": torch.__version__,
        "rows": rows,
    }
