"""Training of a model with one objective. Two players: `dgmcourse.play`."""

import math
import os
import time

import torch
from torch import Tensor, nn

from dgmcourse.data.images import Data, available
from dgmcourse.distributed import shared
from dgmcourse.loop import (
    CURVE_POINTS,
    Averages,
    Batches,
    History,
    Run,
    Trainable,
    as_batches,
    autocast,
    batches_of,
    has_bfloat16,
    own_randomness,
)
from dgmcourse.optim import Adam, TrainingError, learning, maximise
from dgmcourse.settings import check_number, check_whole


def best_device() -> torch.device:
    """The fastest device here: CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def products_in(model: nn.Module, mixed_precision: bool) -> str:
    """In which numbers a training of the model, where it lies, multiplies matrices."""
    mixed = mixed_precision and has_bfloat16(learning(model)[0].device)
    return "bfloat16" if mixed else "float32"


def fit(
    model: Trainable,
    train: Batches | Tensor,
    valid: Batches | Tensor | None = None,
    *,
    epochs: int,
    batch_size: int = 100,
    lr: float = 5e-4,
    warm_up: float = 0,
    anneal: float = 0,
    patience: int | None = None,
    clip: float | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    mixed_precision: bool = False,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    live=None,
    progress: bool = True,
    objective=None,
) -> History:
    """Train `model` with Adam by maximising its objective, and leave the best parameters in it.

    With `valid`, "best" is the epoch with the highest validation objective at beta = 1, counted
    from the first epoch that trained at beta = 1: an earlier one optimised something else. Without,
    it is the last epoch. The Stop button (KeyboardInterrupt) ends the training early with the same
    promise, and without an error.

    Under torchrun the batches are shared among its processes: see `dgmcourse.distributed`.

    Args:
        model: a `Trainable`, that is, it has `objective(x, beta)`; trained in place.
        train, valid: `Data`, a tensor of floats (N, D), or anything with the methods of `Batches`,
            whose batches may be tuples: then the objective is called as objective(*batch, beta).
        epochs: passes over `train`.
        batch_size, lr: of Adam; the published settings are 100 and 5e-4.
        warm_up: beta rises linearly from 1/warm_up to 1 over this many epochs; 0: it is 1.
        anneal: the learning rate decays linearly to 0 over this many epochs at the end, which
            reduces the gradient noise; 0: it does not.
        patience: stop after this many epochs without a better validation objective.
        clip: the largest norm of the gradient; None: any.
        seed: of everything random in here; the caller's random state is left as it was.
        device: where to train, "cuda" for instance; by default where the model is.
        mixed_precision: matrix products in bfloat16 (sums of log-probabilities stay in float32);
            on a processor that only emulates bfloat16, in float32, which is faster there.
        checkpoint: a file that holds the whole state after every epoch.
        resume: go on from `checkpoint` if it is there, to the same numbers as an unbroken training.
            It has to be of this model, these data and these settings.
        live: called as live(model, history) about once a second and at the end, to draw a curve for
            instance; what it draws at random changes nothing in the training.
        progress: show a bar with the objective's parts and the time left.
        objective: a function (x, beta) to use in place of `model.objective`: the one you wrote, for
            instance.

    Raises:
        TrainingError: at a loss that is not finite; the message has the step and the likely causes,
            and `.history` what went before. The model keeps its last finite (or best) parameters.
        TypeError: for a game, or another model without an objective.
        ValueError: for a setting out of its range; if there is nothing to train or to train on,
            `patience` has no `valid` to judge by, the device is not here, `checkpoint` is damaged
            or was written for something else, or `objective` does not give one value for each x.
    """
    check_whole(epochs=epochs, batch_size=batch_size)
    check_whole(none=True, patience=patience)
    check_whole(None, seed=seed)
    check_number(least=0, lr=lr, warm_up=warm_up, anneal=anneal)
    check_number(above=0, none=True, clip=clip)
    objective = objective or objective_of(model)
    train, valid = as_batches(train), None if valid is None else as_batches(valid)
    if len(train) == 0:
        raise ValueError("the training data are empty: give at least one example")
    if valid is not None and len(valid) == 0:
        raise ValueError("the validation data are empty: give some examples, or valid=None")
    if patience is not None and valid is None:
        raise ValueError(
            "patience needs validation data to judge by: fit(model, train, valid, patience=...)"
        )
    device = available(device or learning(model)[0].device)
    model.to(device)
    train, valid = train.to(device), None if valid is None else valid.to(device)
    optimiser = Adam(model.parameters(), lr=lr, fused=device.type in ("cpu", "cuda"))
    settings = {"batch_size": batch_size, "lr": lr, "warm_up": warm_up, "clip": clip, "seed": seed}
    settings |= {"n": len(train), "mixed_precision": mixed_precision}
    if anneal:
        settings |= {"anneal": anneal, "epochs": epochs}
    steps = math.ceil(len(train) / batch_size)
    run = Run(
        model,
        [optimiser],
        settings,
        device,
        data=(train, valid),
        total=steps * epochs,
        window=max(1, steps * epochs // CURVE_POINTS),
        checkpoint=checkpoint,
        live=live,
        progress=progress,
    )
    history, objective = run.history, checked(objective, train)

    with (
        own_randomness(device, seed),
        shared(objective, model, history, device, seed) as objective,
        run.going(resume),
    ):
        best = history["valid"][history.best_epoch - 1] if history.best_epoch else -math.inf
        for epoch in range(len(history.epochs), epochs):
            waited = epoch - (history.best_epoch or math.inf)
            if patience is not None and waited >= patience:
                history.stopped = "no further improvement"
                break
            run.bar.set_description_str(f"epoch {epoch + 1}/{epochs}")
            beta = min(1.0, (epoch + 1) / warm_up) if warm_up else 1.0
            began, averages = time.perf_counter(), Averages()
            model.train()
            for batch in batches_of(model, train, batch_size):
                if anneal:
                    left = max(0.0, epochs - run.steps / steps)  # epochs
                    optimiser.param_groups[0]["lr"] = lr * min(1.0, left / anneal)
                with autocast(device, mixed_precision):
                    value, parts = objective(*batch, beta)
                maximise(value, optimiser, clip)
                run.watch(parts, len(value), averages)
                run.step()
            row = {"epoch": epoch + 1, "beta": beta, **averages.take()}
            if valid is not None:
                row["valid"] = mean_objective(model, valid, objective)
                if beta == 1 and row["valid"] > best:
                    best, history.best_epoch = row["valid"], epoch + 1
                    run.best = {k: v.detach().clone() for k, v in model.state_dict().items()}
            run.epoch(row | {"seconds": time.perf_counter() - began})

    if history.stopped.startswith("diverged"):
        error = TrainingError(
            f"training stopped in epoch {len(history.epochs) + 1},"
            f" {history.stopped.removeprefix('diverged ')}. Likely causes: a learning rate too"
            f" large (it is {lr:g}), a log of zero or an exp of a large number in the objective, a"
            " variance that went to zero, NaN in the data, or grey pixels for a Bernoulli likelihood"
            " (binarise them: mnist(binarise='dynamic')). The model keeps the parameters from before"
            " this step (or its best ones)."
        )
        error.history = history
        raise error
    return history


@torch.no_grad()
def mean_objective(
    model: nn.Module, data: Batches | Tensor, objective=None, batch_size: int = 1000
) -> float:
    """The objective at beta = 1, averaged over `data`, nats; one sample of z for each x.

    Raises:
        ValueError: for empty data.
    """
    check_whole(batch_size=batch_size)
    data = as_batches(data)
    objective = checked(objective or objective_of(model), data)
    if len(data) == 0:
        raise ValueError("the data are empty: give at least one example")
    model.eval()
    total = n = 0
    for batch in batches_of(model, data, batch_size, shuffle=False):
        value, _ = objective(*batch, 1.0)
        total, n = total + value.sum().item(), n + len(value)
    return total / n


def objective_of(model: Trainable):
    """model.objective, or a TypeError for a model that is trained in another way."""
    if hasattr(model, "discriminator_objective"):
        raise TypeError(
            f"{type(model).__name__} is a game of two players, each with an objective of its own:"
            " play(game, data) of dgmcourse.play trains it"
        )
    if not hasattr(model, "objective"):
        raise TypeError(
            f"{type(model).__name__} has no objective to maximise: give one,"
            " fit(model, train, objective=...)"
        )
    return model.objective


def checked(objective, data: Batches):
    """The objective, with a look at what it returns: (value, parts), with one value for each x of a
    `Data`, and of other data with one axis of values; else a ValueError.
    """

    def looked_at(*given):
        result = objective(*given)
        if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], dict):
            raise ValueError(
                "an objective returns two things: its values, and a dictionary of parts to watch"
                " (it may be empty)"
            )
        shape, of_each = tuple(result[0].shape), "its examples, shape (n,)"
        right = len(shape) == 1 and shape[0] > 0
        if isinstance(data, Data):
            n = len(given[0])
            right, of_each = shape == (n,), f"the {n} examples, shape ({n},)"
        if not right:
            raise ValueError(
                f"an objective returns one value for each of {of_each}, not {shape}: sum over"
                " dimensions, and leave the batch's mean to the training"
            )
        return result

    return looked_at
