"""The game of two players: the discriminator's turn, then the generator's, with an objective each.

A model that can play has `discriminator`, a module; `discriminator_objective(x)` and
`generator_objective(x)`, each (value (B,), parts); where weights are constrained, `constrain()`. If
it is `labelled`, both are given the labels, too. What is not the discriminator's is the
generator's: an encoder, for instance.
"""

import contextlib
import math
import os
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from dgmcourse.data.images import Data, available
from dgmcourse.densities import Density
from dgmcourse.train import (
    CURVE_POINTS,
    Adam,
    History,
    TrainingError,
    add,
    bare,
    batches_of,
    maximise,
    own_randomness,
    random_state,
    save_atomically,
    set_random_state,
)


class RMSprop(torch.optim.RMSprop):
    """torch.optim.RMSprop, step for step, without what `train.Adam` does without."""

    add_param_group = bare(torch.optim.RMSprop.add_param_group)
    zero_grad = bare(torch.optim.RMSprop.zero_grad)
    state_dict = bare(torch.optim.RMSprop.state_dict)
    load_state_dict = bare(torch.optim.RMSprop.load_state_dict)
    step = torch.no_grad()(bare(torch.optim.RMSprop.step))


def adam(parameters, lr: float) -> Adam:
    """Adam with DCGAN's memory of the gradient: 0.5, where 0.9 would answer moves the other player
    made long ago.
    """
    parameters = list(parameters)
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return Adam(parameters, lr=lr, betas=(0.5, 0.999), fused=fused)


def rmsprop(parameters, lr: float) -> RMSprop:
    """RMSprop, which has no momentum: what the Wasserstein GAN's authors use, with clipped
    weights.
    """
    return RMSprop(list(parameters), lr=lr)


OPTIMISERS = {"adam": adam, "rmsprop": rmsprop}
PLAYS = ("discriminator", "discriminator_objective", "generator_objective")


class Players:
    """The two sides of a game, each with its own optimiser: `discriminator_step(x)` and
    `generator_step(x)`.

    Args:
        game: as in `play`.
        lr: one learning rate for both, or (the discriminator's, the generator's).
        optimiser: "adam" or "rmsprop".

    Raises:
        TypeError: for a model that has no such game.
        ValueError: for another optimiser, or more than two learning rates.
    """

    def __init__(
        self, game: nn.Module, lr: float | tuple[float, float] = 2e-4, optimiser: str = "adam"
    ):
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
        self.game, self.judges = game, list(game.discriminator.parameters())
        known = set(map(id, self.judges))
        self.makers = [p for p in game.parameters() if id(p) not in known]
        sides = zip((self.judges, self.makers), rates, strict=True)
        self.optimisers = [OPTIMISERS[optimiser](side, rate) for side, rate in sides]

    def discriminator_step(self, *x: Tensor) -> dict[str, Tensor]:
        """One step up the discriminator's objective; returns the parts to watch. A TrainingError
        moves no parameter.
        """
        value, parts = self.game.discriminator_objective(*x)
        climb(value, x[0], self.optimisers[0])
        if hasattr(self.game, "constrain"):
            self.game.constrain()
        return parts

    def generator_step(self, *x: Tensor) -> dict[str, Tensor]:
        """One step up the generator's objective. The discriminator hands the gradient on and keeps
        none for itself.
        """
        with frozen(self.judges):
            value, parts = self.game.generator_objective(*x)
            climb(value, x[0], self.optimisers[1])
        return parts


def climb(value: Tensor, x: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """`maximise`, for one value for each x. Copies of a game, (copies, B), are added: they share no
    parameter, so that each climbs as it would alone.

    Raises:
        ValueError: for values of another shape.
        TrainingError: as `maximise`.
    """
    if value.shape != x.shape[:-1]:
        raise ValueError(
            f"an objective returns one value for each example, shape {tuple(x.shape[:-1])}, not"
            f" {tuple(value.shape)}: sum over dimensions, and leave the batch's mean to the"
            " training"
        )
    maximise(value.reshape(-1, value.shape[-1]).sum(0), optimiser)


def play(
    game: nn.Module,
    train: Data | Tensor | Density,
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
        game: see the module's first lines; trained in place.
        train: `Data`, a tensor of floats (N, D), or a Density that is sampled afresh for every
            step.
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
            labels where the game wants them, or as in `Players` and `fit`.
    """
    drawn = isinstance(train, Density)
    train = train if drawn else Data.of(train)
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
    counts = [discriminator_steps, *shape, *(n for n in (epochs, steps) if n is not None)]
    if min(counts) < 1 or not (drawn or len(train)):
        what = "a Density" if drawn else f"{len(train)} examples"
        raise ValueError(
            f"nothing to do: {what}, epochs={epochs}, steps={steps}, batches of {shape}, "
            f"{discriminator_steps} steps of the discriminator"
        )
    device = available(device or next(game.parameters()).device)
    players = Players(game.to(device), lr, optimiser)
    train = train if drawn else train.to(device)
    per_epoch = steps if drawn else math.ceil(len(train) / batch_size)
    epochs = epochs or (math.ceil(steps / per_epoch) if steps else 1)
    total = min(steps or math.inf, per_epoch * epochs)
    window = discriminator_steps * max(
        1, total // (CURVE_POINTS * discriminator_steps)
    )  # a turn of both in each
    settings = {
        "batch_size": batch_size,
        "lr": lr,
        "optimiser": optimiser,
        "discriminator_steps": discriminator_steps,
        "seed": seed,
        "mixed_precision": mixed_precision,
        "per_epoch": per_epoch,
    }
    if total % per_epoch:  # the state at the end is within an epoch, from where nobody could go on
        settings["steps"] = steps
    history, step, draw_at, sums, counted = History(), 0, 0.0, {}, {}

    def state():
        return {
            "model": game.state_dict(),
            "optimisers": [o.state_dict() for o in players.optimisers],
            "step": step,
            "random": random_state(device),
            "history": vars(history),
            "running": (sums, counted),
            "settings": settings,
        }

    def draw():
        with own_randomness(device):
            game.eval()
            live(game, history)
            game.train()

    def watch(parts):
        add(sums, parts, 1)
        for name in parts:
            counted[name] = counted.get(name, 0) + 1

    with own_randomness(device, seed):
        if resume and checkpoint and Path(checkpoint).exists():
            saved = torch.load(checkpoint, map_location=device, weights_only=True)
            if saved["settings"] != settings:
                raise ValueError(
                    f"{checkpoint} was written with {saved['settings']}, not with {settings}:"
                    " remove it"
                )
            game.load_state_dict(saved["model"])
            for optimiser_, was in zip(players.optimisers, saved["optimisers"], strict=True):
                optimiser_.load_state_dict(was)
            history, step, (sums, counted) = (
                History(**saved["history"]),
                saved["step"],
                saved["running"],
            )
            set_random_state(saved["random"], device)
        history.stopped = "finished"
        bar = tqdm(
            total=total,
            initial=step,
            disable=not progress,
            file=sys.stdout,
            mininterval=0.5,
            bar_format="{desc} |{bar:24}| {percentage:3.0f}%, {remaining} left{postfix}",
        )
        try:
            while step < total:
                bar.set_description_str(
                    "training" if drawn else f"epoch {step // per_epoch + 1}/{epochs}"
                )
                game.train()
                began = time.perf_counter()
                for x in (
                    draws(train, shape, total - step, device)
                    if drawn
                    else batches_of(game, train, batch_size)
                ):
                    with torch.autocast(device.type, torch.bfloat16, enabled=mixed_precision):
                        watch(players.discriminator_step(*x))
                        if (step + 1) % discriminator_steps == 0:
                            watch(players.generator_step(*x))
                    step += 1
                    bar.update()
                    if step % window == 0:
                        row = {name: value.item() / counted[name] for name, value in sums.items()}
                        bar.set_postfix_str(
                            ", ".join(f"{name} {value:.2f}" for name, value in row.items())
                        )
                        history.steps.append({"step": step, **row})
                        sums.clear(), counted.clear()
                    if live and (now := time.perf_counter()) > draw_at:
                        draw()
                        draw_at = now + max(
                            1, 5 * (time.perf_counter() - now)
                        )  # at most a fifth of the time
                    if step == total:
                        break
                history.epochs.append(
                    {"epoch": len(history.epochs) + 1, "seconds": time.perf_counter() - began}
                )
                if checkpoint:
                    save_atomically(state(), checkpoint)
        except KeyboardInterrupt:
            history.stopped = "interrupted"
        except TrainingError as error:
            history.stopped = f"diverged at step {step + 1}: {error}"
        finally:
            bar.close()
            game.eval()
            if live:
                draw()
                game.eval()
    if history.stopped.startswith("diverged"):
        print(
            f"The game {history.stopped}. Both players keep what they had before it. Likely causes:"
            f" a learning rate too large (here {lr}), or NaN in the data."
        )
    return history


def draws(density: Density, shape: tuple[int, ...], steps: int, device: torch.device):
    """`steps` fresh batches of a Density, as tuples (x,)."""
    return ((density.sample(shape).to(device),) for _ in range(steps))


@contextlib.contextmanager
def frozen(parameters: list[nn.Parameter]):
    """In here no gradient is computed for these parameters, though it flows through them: that
    spares much work.
    """
    learn = [p for p in parameters if p.requires_grad]
    for p in learn:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learn:
            p.requires_grad_(True)
