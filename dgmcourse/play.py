"""The game of two players: the discriminator's turn, then the generator's, with an objective each."""

import contextlib
import math
import os
import time

import torch
from torch import Tensor, nn

from dgmcourse.data.images import available
from dgmcourse.densities import Density
from dgmcourse.loop import (
    CURVE_POINTS,
    Batches,
    Game,
    History,
    Run,
    as_batches,
    autocast,
    batches_of,
    own_randomness,
    processes,
)
from dgmcourse.optim import TrainingError, adam, learning, maximise, rmsprop
from dgmcourse.settings import check_whole

__all__ = ["Players", "TrainingError", "adam", "frozen", "play", "rmsprop"]

OPTIMISERS = {"adam": adam, "rmsprop": rmsprop}
PLAYS = ("discriminator", "discriminator_objective", "generator_objective")


class Players:
    """The two sides of a game, each with its own optimiser: `discriminator_step(x)` and
    `generator_step(x)`. All parameters that are not the discriminator's are the generator's, an
    encoder's for instance.

    Args:
        game: a `Game`.
        lr: one learning rate for both, or (the discriminator's, the generator's).
        optimiser: "adam" or "rmsprop".

    Raises:
        TypeError: for a model that has no such game.
        ValueError: for another optimiser, more than two learning rates or one below 0, or a side
            without parameters.
    """

    def __init__(self, game: Game, lr: float | tuple[float, float] = 2e-4, optimiser: str = "adam"):
        if missing := [name for name in PLAYS if not hasattr(game, name)]:
            raise TypeError(
                f"{type(game).__name__} is no game of two players, it has no"
                f" {' and no '.join(missing)}: a model with one objective is trained by fit"
            )
        if optimiser not in OPTIMISERS:
            raise ValueError(
                f"optimiser is one of {', '.join(map(repr, OPTIMISERS))}, got {optimiser!r}"
            )
        rates = lr if isinstance(lr, tuple | list) else (lr, lr)
        if len(rates) != 2:
            raise ValueError(
                f"lr is one number, or (the discriminator's, the generator's): got {lr}"
            )
        self.game, self.discriminator = game, list(game.discriminator.parameters())
        known = set(map(id, self.discriminator))
        self.generator = [p for p in game.parameters() if id(p) not in known]
        if not self.discriminator or not self.generator:
            raise ValueError(
                f"a side of {type(game).__name__} has no parameters: both learn in a game, the"
                f" discriminator (here {len(self.discriminator)} tensors) and all that is not part of"
                f" it (here {len(self.generator)})"
            )
        sides = zip((self.discriminator, self.generator), rates, strict=True)
        self.optimisers = [OPTIMISERS[optimiser](side, rate) for side, rate in sides]

    def discriminator_step(self, *x: Tensor) -> dict[str, Tensor]:
        """Take one step up the discriminator's objective; returns the parts to watch. A
        TrainingError moves no parameter.
        """
        value, parts = self.game.discriminator_objective(*x)
        maximise(over_copies(value, x[0]), self.optimisers[0])
        if hasattr(self.game, "constrain"):
            self.game.constrain()
        return parts

    def generator_step(self, *x: Tensor) -> dict[str, Tensor]:
        """Take one step up the generator's objective. The gradient flows through the discriminator,
        which keeps none for itself.
        """
        with frozen(self.discriminator):
            value, parts = self.game.generator_objective(*x)
            maximise(over_copies(value, x[0]), self.optimisers[1])
        return parts


def over_copies(value: Tensor, x: Tensor) -> Tensor:
    """The values of a batch, (B,): those of copies of a game, (copies, B), are added. The copies
    share no parameter, so each moves as it would alone.

    Raises:
        ValueError: if there is not one value for each x.
    """
    if value.shape != x.shape[:-1]:
        raise ValueError(
            f"an objective returns one value for each example, shape {tuple(x.shape[:-1])}, not"
            f" {tuple(value.shape)}: sum over dimensions, and leave the batch's mean to the"
            " training"
        )
    return value.reshape(-1, value.shape[-1]).sum(0)


def play(
    game: Game,
    train: Batches | Tensor | Density,
    *,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int | tuple[int, ...] = 64,
    discriminator_steps: int = 1,
    lr: float | tuple[float, float] = 2e-4,
    optimiser: str = "adam",
    seed: int = 0,
    device: torch.device | str | None = None,
    mixed_precision: bool = False,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    live=None,
    progress: bool = True,
) -> History:
    """Train both players by turns, and leave what they learned in the game.

    Every batch is a turn of the discriminator; after `discriminator_steps` of them the generator
    has one. Nothing here is "best": neither objective says how good the samples are. A game that
    diverges, or that the Stop button ends, raises nothing and leaves the last finite parameters.
    What happened is in `history.stopped`: "finished", "interrupted", or "diverged at step ...",
    which is printed, too.

    Args:
        game: a `Game`; trained in place.
        train: data as in `train.fit`, the first entry of whose batches is x (B, D), or a Density
            that is sampled afresh for every step.
        epochs: passes over `train`; as many as `steps` take if these are given, else one. A Density
            has none.
        steps: stop after so many batches; needed for a Density.
        batch_size: examples in a batch; for a Density also a shape, (20, 64) for 20 copies of the
            game at once: one that diverges ends all.
        discriminator_steps: its turns for each turn of the generator.
        lr, optimiser: as in `Players`; the defaults are DCGAN's.
        seed, device, mixed_precision, checkpoint, resume, live, progress: as in `train.fit`; the
            state is kept after each epoch, and at the end.

    Raises:
        TypeError, ValueError: if there is nothing to train on, no end (`steps`) for a Density, no
            labels where the game wants them, more than one process, or as in `Players` and `fit`.
    """
    check_whole(discriminator_steps=discriminator_steps)
    check_whole(none=True, epochs=epochs, steps=steps)
    check_whole(None, seed=seed)
    if processes()[1] > 1:
        raise ValueError(
            "a game of two players is trained by one process: start it without torchrun"
        )
    drawn = isinstance(train, Density)
    train = train if drawn else as_batches(train)
    shape = tuple(batch_size) if isinstance(batch_size, tuple | list) else (batch_size,)
    if drawn and steps is None:
        raise ValueError("a Density never ends: say how many steps, play(game, density, steps=...)")
    if drawn and getattr(game, "labelled", False):
        raise ValueError("this game wants labels, and a Density has none: play(game, Data(x, y))")
    if not drawn and shape != (batch_size,):
        raise ValueError(
            f"only a Density is drawn in batches of shape {shape}: of examples, batch_size is one"
            " number"
        )
    for size in shape:
        check_whole(batch_size=size)
    if not drawn and len(train) == 0:
        raise ValueError("the training data are empty: give at least one example")
    device = available(device or learning(game)[0].device)
    players = Players(game.to(device), lr, optimiser)
    train = train if drawn else train.to(device)
    per_epoch = steps if drawn else math.ceil(len(train) / batch_size)
    epochs = epochs or (math.ceil(steps / per_epoch) if steps else 1)
    total = min(steps or math.inf, per_epoch * epochs)
    settings = {"batch_size": batch_size, "lr": lr, "optimiser": optimiser}
    settings |= {"discriminator_steps": discriminator_steps, "seed": seed}
    settings |= {"mixed_precision": mixed_precision, "per_epoch": per_epoch}
    if total % per_epoch:  # the state at the end is within an epoch, from where nobody could go on
        settings["steps"] = steps
    run = Run(
        game,
        players.optimisers,
        settings,
        device,
        data=() if drawn else (train,),
        total=total,
        # Both players have a turn in each window.
        window=discriminator_steps * max(1, total // (CURVE_POINTS * discriminator_steps)),
        checkpoint=checkpoint,
        live=live,
        progress=progress,
        digits=2,
    )
    history = run.history

    with own_randomness(device, seed), run.going(resume):
        while run.steps < total:
            epoch, began = len(history.epochs) + 1, time.perf_counter()
            run.bar.set_description_str("training" if drawn else f"epoch {epoch}/{epochs}")
            game.train()
            if drawn:
                batches = ((train.sample(shape).to(device),) for _ in range(total - run.steps))
            else:
                batches = batches_of(game, train, batch_size)
            for x in batches:
                with autocast(device, mixed_precision):
                    run.watch(players.discriminator_step(*x), 1)
                    if (run.steps + 1) % discriminator_steps == 0:
                        run.watch(players.generator_step(*x), 1)
                run.step()
                if run.steps == total:
                    break
            run.epoch({"epoch": epoch, "seconds": time.perf_counter() - began})

    if history.stopped.startswith("diverged"):
        print(
            f"The game {history.stopped}. Both players keep what they had before it. Likely causes:"
            f" a learning rate too large (here {lr}), or NaN in the data."
        )
    return history


@contextlib.contextmanager
def frozen(parameters: list[nn.Parameter]):
    """Compute no gradient for these parameters, though it flows through them: that saves much
    work.
    """
    learn = [p for p in parameters if p.requires_grad]
    for p in learn:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learn:
            p.requires_grad_(True)
