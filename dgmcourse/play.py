"""The game of two players: the discriminator's turn, then the generator's, with an objective each.

A model that can play has `discriminator`, a module; `discriminator_objective(x)` and `generator_objective(x)`, each (value
(B,), parts); where weights are constrained, `constrain()`. If it is `labelled`, both are given the labels, too. What is not
the discriminator's is the generator's: an encoder, for instance.
"""

import contextlib
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
    """Adam with DCGAN's memory of the gradient: 0.5, where 0.9 would answer moves that the other player made long ago."""
    parameters = list(parameters)
    return Adam(parameters, lr=lr, betas=(0.5, 0.999), fused=parameters[0].device.type in ("cpu", "cuda"))


def rmsprop(parameters, lr: float) -> RMSprop:
    """RMSprop, which has no momentum: what the Wasserstein GAN's authors use, with clipped weights."""
    return RMSprop(list(parameters), lr=lr)


OPTIMISERS = {"adam": adam, "rmsprop": rmsprop}


class Players:
    """The two sides of a game, each with its own optimiser: `discriminator_step(x)` and `generator_step(x)`.

    Args:
        game: as in `play`.
        lr: one learning rate for both, or (the discriminator's, the generator's).
        optimiser: "adam" or "rmsprop".
    """

    def __init__(self, game: nn.Module, lr: float | tuple[float, float] = 2e-4, optimiser: str = "adam"):
        if optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser is one of {', '.join(map(repr, OPTIMISERS))}, got {optimiser!r}")
        self.game, self.judges = game, list(game.discriminator.parameters())
        known = set(map(id, self.judges))
        self.makers = [p for p in game.parameters() if id(p) not in known]
        rates = lr if isinstance(lr, tuple | list) else (lr, lr)
        self.optimisers = [OPTIMISERS[optimiser](side, rate) for side, rate in zip((self.judges, self.makers), rates, strict=True)]

    def discriminator_step(self, *x: Tensor) -> dict[str, Tensor]:
        """One step up the discriminator's objective; returns the parts to watch. A TrainingError leaves all as it was."""
        value, parts = self.game.discriminator_objective(*x)
        maximise(value, self.optimisers[0])
        if hasattr(self.game, "constrain"):
            self.game.constrain()
        return parts

    def generator_step(self, *x: Tensor) -> dict[str, Tensor]:
        """One step up the generator's objective. The discriminator hands the gradient on and keeps none for itself."""
        with frozen(self.judges):
            value, parts = self.game.generator_objective(*x)
            maximise(value, self.optimisers[1])
        return parts


def play(
    game: nn.Module,
    train: Data | Tensor | Density,
    *,
    epochs: int = 1,
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

    Every batch is a turn of the discriminator; after `discriminator_steps` of them the generator has one. Nothing here is
    "best": neither objective says how good the samples are. A game that diverges, or that the Stop button ends, leaves the
    last finite parameters, raises nothing, and says in one line what happened: `history.stopped` begins with "diverged".

    Args:
        game: see the module's first lines; trained in place.
        train: `Data`, a tensor of floats (N, D), or a Density that is sampled afresh for every step.
        epochs: passes over `train`; of a Density there is none, it is `steps` batches.
        steps: stop after so many batches; needed for a Density.
        batch_size: examples in a batch; for a Density also a shape, (20, 64) for 20 copies of the game at once.
        discriminator_steps: its turns for each turn of the generator.
        lr, optimiser: as in `Players`; the defaults are DCGAN's.
        seed, device, mixed_precision, checkpoint, resume, live, progress: as in `train.fit`; the state is kept after each epoch.

    Raises:
        ValueError: if there is nothing to train on, no end (`steps`) for a Density, or as in `fit`.
    """
    drawn = isinstance(train, Density)
    if drawn and not steps:
        raise ValueError("a Density never ends: say how many steps, play(game, density, steps=...)")
    train = train if drawn else Data.of(train)
    if epochs < 1 or discriminator_steps < 1 or (steps is not None and steps < 1) or (not drawn and len(train) == 0):
        raise ValueError(f"nothing to do: {epochs} epochs, {steps} steps, {discriminator_steps} discriminator steps, "
                         f"{'a Density' if drawn else f'{len(train)} examples'}")  # fmt: skip
    device = available(device or next(game.parameters()).device)
    game.to(device)
    train = train if drawn else train.to(device)
    players = Players(game, lr, optimiser)
    per_epoch = steps if drawn else -(-len(train) // batch_size)
    total = min(steps or per_epoch * epochs, per_epoch * epochs)
    window = max(1, total // CURVE_POINTS)
    settings = {"batch_size": batch_size, "lr": lr, "optimiser": optimiser, "discriminator_steps": discriminator_steps,
                "seed": seed, "mixed_precision": mixed_precision, "per_epoch": per_epoch}  # fmt: skip
    history, step, draw_at, sums, counted = History(), 0, 0.0, {}, {}

    def state():
        return {"model": game.state_dict(), "optimisers": [o.state_dict() for o in players.optimisers], "step": step,
                "random": random_state(device), "history": vars(history), "running": (sums, counted), "settings": settings}  # fmt: skip

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
                raise ValueError(f"{checkpoint} was written with {saved['settings']}, not with {settings}: remove it")
            game.load_state_dict(saved["model"])
            for optimiser_, was in zip(players.optimisers, saved["optimisers"], strict=True):
                optimiser_.load_state_dict(was)
            history, step, (sums, counted) = History(**saved["history"]), saved["step"], saved["running"]
            set_random_state(saved["random"], device)
        history.stopped = "finished"
        bar = tqdm(total=total, initial=step, disable=not progress, file=sys.stdout, mininterval=0.5,
                   bar_format="{desc} |{bar:24}| {percentage:3.0f}%, {remaining} left{postfix}")  # fmt: skip
        try:
            while step < total:
                bar.set_description_str("training" if drawn else f"epoch {step // per_epoch + 1}/{epochs}")
                game.train()
                began = time.perf_counter()
                for x in draws(train, batch_size, steps - step) if drawn else batches_of(game, train, batch_size):
                    with torch.autocast(device.type, torch.bfloat16, enabled=mixed_precision):
                        watch(players.discriminator_step(*x))
                        if (step + 1) % discriminator_steps == 0:
                            watch(players.generator_step(*x))
                    step += 1
                    bar.update()
                    if step % window == 0:
                        history.steps.append({"step": step, **{k: v.item() / counted[k] for k, v in sums.items()}})
                        bar.set_postfix_str(", ".join(f"{k} {v:.2f}" for k, v in history.steps[-1].items() if k != "step"))
                        sums.clear(), counted.clear()
                    if live and (now := time.perf_counter()) > draw_at:
                        draw()
                        draw_at = now + max(1, 5 * (time.perf_counter() - now))  # at most a fifth of the time
                    if step == total:
                        break
                history.epochs.append({"epoch": len(history.epochs) + 1, "seconds": time.perf_counter() - began})
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
        print(f"The game {history.stopped}. Both players keep what they had before it. Smaller learning rates, or the same one "
              f"for both, often help; here they were {lr}.")  # fmt: skip
    return history


def draws(density: Density, batch_size: int | tuple[int, ...], steps: int):
    """`steps` fresh batches of a Density, as tuples (x,)."""
    shape = batch_size if isinstance(batch_size, tuple) else (batch_size,)
    return ((density.sample(shape),) for _ in range(steps))


@contextlib.contextmanager
def frozen(parameters: list[nn.Parameter]):
    """No gradient is computed for these parameters in here, though it flows through them: a third of the work is spared."""
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
