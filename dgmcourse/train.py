"""Training: one loop for every model that has an objective to maximise.

A model that can be trained has `objective(x, beta)`: what to maximise, (B,), and a dictionary of
parts, (B,) each, to watch. If it says `labelled = True`, its objective is given the labels, too:
`objective(x, y, beta)`. Two players: `dgmcourse.play`.
"""

import contextlib
import math
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from dgmcourse.data.images import Data, available

CURVE_POINTS = 400  # the running curve keeps about this many points, however long the training


class TrainingError(ArithmeticError):
    """The objective or its gradient is not a finite number."""


@dataclass
class History:
    """What happened: one row (a dictionary) an epoch, and a finer running curve of averages over a
    few steps.
    """

    epochs: list[dict] = field(default_factory=list)
    steps: list[dict] = field(default_factory=list)
    stopped: str = "finished"  # or "interrupted", or "no further improvement"
    best_epoch: int | None = None

    def __getitem__(self, name: str) -> list[float]:
        """A column of the epochs: history["elbo"], "reconstruction", "kl", "beta", "valid",
        "seconds".
        """
        return [row[name] for row in self.epochs]


def best_device() -> torch.device:
    """The fastest device here: CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def bare(method):
    """The method without what torch.optim wraps it in for the compiler's sake."""
    return getattr(method, "__wrapped__", method)


class Adam(torch.optim.Adam):
    """torch.optim.Adam, step for step. The plain one imports all of torch.compile at its first use,
    170 MB and some seconds, only to ask it to stay out; nothing is compiled here.
    """

    add_param_group = bare(torch.optim.Adam.add_param_group)
    zero_grad = bare(torch.optim.Adam.zero_grad)
    state_dict = bare(torch.optim.Adam.state_dict)
    load_state_dict = bare(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(bare(torch.optim.Adam.step))


def maximise(
    objective: Tensor, optimiser: torch.optim.Optimizer, clip: float | None = None
) -> float:
    """One step up the gradient of the batch's mean objective. The only place with optimisation's
    minus sign.

    Args:
        objective: (B,), to be maximised.
        optimiser: any of torch.optim's.
        clip: the largest norm the whole gradient may have.

    Returns:
        the mean objective before the step.

    Raises:
        TrainingError: if the objective or its gradient is not finite. The parameters are untouched.
    """
    mean = objective.mean()
    optimiser.zero_grad()
    (-mean).backward()
    parameters = [
        p for group in optimiser.param_groups for p in group["params"] if p.grad is not None
    ]
    norm = nn.utils.get_total_norm([p.grad for p in parameters])
    value, size = torch.stack(
        [mean.detach(), norm.to(mean)]
    ).tolist()  # both at once: a GPU waits at every reading
    if not math.isfinite(value):
        raise TrainingError(f"the objective is {value}")
    if not math.isfinite(size):
        raise TrainingError(f"the gradient's norm is {size}")
    if clip is not None:
        nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    optimiser.step()
    return value


def fit(
    model: nn.Module,
    train: Data | Tensor,
    valid: Data | Tensor | None = None,
    *,
    epochs: int,
    batch_size: int = 100,
    lr: float = 5e-4,
    warm_up: int = 0,
    anneal: int = 0,
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

    Args:
        model: has `objective(x, beta)`; trained in place.
        train, valid: `Data`, or a tensor of floats (N, D).
        epochs: passes over `train`.
        batch_size, lr: of Adam; the published settings are 100 and 5e-4.
        warm_up: beta rises linearly from 1/warm_up to 1 over this many epochs.
        anneal: the learning rate falls linearly to 0 over this many epochs at the end: the last nat
            is under its noise.
        patience: stop after this many epochs without a better validation objective.
        clip: the largest norm of the gradient.
        seed: of everything random in here; the caller's random state is left as it was.
        device: where to train, "cuda" for instance; by default where the model is.
        mixed_precision: matrix products in bfloat16 (sums of log-probabilities stay in float32).
        checkpoint: a file that holds the whole state after every epoch.
        resume: go on from `checkpoint` if it is there, to the same numbers as an unbroken training.
        live: called as live(model, history) about once a second and at the end, to draw a curve for
            instance; what it draws at random changes nothing in the training.
        progress: show a bar with the objective's parts and the time left.
        objective: a function (x, beta) to use in place of `model.objective`: the one you wrote, for
            instance.

    Raises:
        TrainingError: at a loss that is not finite; the message has the step and the likely causes,
            and `.history` what went before. The model keeps its last finite (or best) parameters.
        ValueError: if there is nothing to train on, `patience` has no `valid` to judge by, the
            device is not here, `checkpoint` was written under other settings, or `objective` does
            not give one value for each x.
    """
    train, valid = Data.of(train), None if valid is None else Data.of(valid)
    if len(train) == 0 or epochs < 1 or batch_size < 1:
        raise ValueError(
            f"nothing to do: {len(train)} training examples, {epochs} epochs, batches of"
            f" {batch_size}"
        )
    if valid is not None and len(valid) == 0:
        raise ValueError("the validation data are empty: give some examples, or valid=None")
    if patience is not None and valid is None:
        raise ValueError(
            "patience needs validation data to judge by: fit(model, train, valid, patience=...)"
        )
    device = available(device or next(model.parameters()).device)
    model.to(device)
    train, valid = train.to(device), None if valid is None else valid.to(device)
    objective = objective or model.objective
    optimiser = Adam(model.parameters(), lr=lr, fused=device.type in ("cpu", "cuda"))
    settings = {
        "batch_size": batch_size,
        "lr": lr,
        "warm_up": warm_up,
        "clip": clip,
        "seed": seed,
        "n": len(train),
        "mixed_precision": mixed_precision,
    }
    if anneal:
        settings |= {"anneal": anneal, "epochs": epochs}
    history, best, best_value, draw_at = History(), None, -math.inf, 0.0
    sums, counted = {}, 0  # of the running curve, since its last point
    steps = math.ceil(len(train) / batch_size)
    window = max(1, steps * epochs // CURVE_POINTS)

    def state():
        return {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "random": random_state(device),
            "history": vars(history),
            "best": best,
            "best_value": best_value,
            "running": (sums, counted),
            "settings": settings,
        }

    def draw():
        with own_randomness(device):
            live(model, history)

    with own_randomness(device, seed):
        if resume and checkpoint and Path(checkpoint).exists():
            saved = torch.load(checkpoint, map_location=device, weights_only=True)
            if saved["settings"] != settings:
                raise ValueError(
                    f"{checkpoint} was written with {saved['settings']}, not with {settings}:"
                    " remove it"
                )
            model.load_state_dict(saved["model"])
            optimiser.load_state_dict(saved["optimiser"])
            history, best, best_value = (
                History(**saved["history"]),
                saved["best"],
                saved["best_value"],
            )
            sums, counted = saved.get("running", ({}, 0))
            set_random_state(saved["random"], device)
        first = len(history.epochs)
        step = steps * first
        history.stopped = "finished"
        bar = tqdm(
            total=steps * epochs,
            initial=step,
            disable=not progress,
            file=sys.stdout,
            mininterval=0.5,
            bar_format="{desc} |{bar:24}| {percentage:3.0f}%, {remaining} left{postfix}",
        )
        try:
            for epoch in range(first, epochs):
                if (
                    patience is not None
                    and history.best_epoch is not None
                    and epoch - history.best_epoch >= patience
                ):
                    history.stopped = "no further improvement"
                    break
                beta = min(1.0, (epoch + 1) / warm_up) if warm_up else 1.0
                bar.set_description_str(f"epoch {epoch + 1}/{epochs}")
                model.train()
                began, totals, seen = time.perf_counter(), {}, 0
                for x, *y in batches_of(model, train, batch_size):
                    if anneal:
                        optimiser.param_groups[0]["lr"] = lr * min(
                            1.0, (epochs - step / steps) / anneal
                        )
                    with torch.autocast(device.type, torch.bfloat16, enabled=mixed_precision):
                        value, parts = one_each(objective(x, *y, beta), x)
                    try:
                        maximise(value, optimiser, clip)
                    except TrainingError as error:
                        raise explain(error, epoch, step, lr, history) from None
                    add(totals, parts, len(x))
                    add(sums, parts, len(x))
                    seen, counted = seen + len(x), counted + len(x)
                    step += 1
                    bar.update()
                    if step % window == 0:
                        history.steps.append(
                            {"step": step, **{k: v.item() / counted for k, v in sums.items()}}
                        )
                        bar.set_postfix_str(
                            ", ".join(
                                f"{k} {v:.1f}" for k, v in history.steps[-1].items() if k != "step"
                            )
                        )
                        sums, counted = {}, 0
                    if live and (now := time.perf_counter()) > draw_at:
                        draw()
                        draw_at = now + max(
                            1, 5 * (time.perf_counter() - now)
                        )  # at most a fifth of the time
                row = {
                    "epoch": epoch + 1,
                    "beta": beta,
                    **{k: v.item() / seen for k, v in totals.items()},
                }
                if valid is not None:
                    row["valid"] = mean_objective(model, valid, objective)
                row["seconds"] = time.perf_counter() - began
                history.epochs.append(row)
                if valid is not None and beta == 1 and row["valid"] > best_value:
                    best_value, history.best_epoch = row["valid"], epoch + 1
                    best = {k: v.detach().clone() for k, v in model.state_dict().items()}
                if checkpoint:
                    save_atomically(state(), checkpoint)
        except KeyboardInterrupt:
            history.stopped = "interrupted"
        finally:
            bar.close()
            if best is not None:
                model.load_state_dict(best)
            model.eval()
            if live:
                draw()
    return history


@torch.no_grad()
def mean_objective(
    model: nn.Module, data: Data | Tensor, objective=None, batch_size: int = 1000
) -> float:
    """The objective at beta = 1, averaged over `data`, nats; one sample of z for each x.

    Raises:
        ValueError: for empty data.
    """
    data, objective = Data.of(data), objective or model.objective
    if len(data) == 0:
        raise ValueError("the data are empty: give at least one example")
    model.eval()
    batches = batches_of(model, data, batch_size, shuffle=False)
    return sum(one_each(objective(x, *y, 1.0), x)[0].sum().item() for x, *y in batches) / len(data)


def batches_of(model: nn.Module, data: Data, size: int, shuffle: bool = True):
    """Tuples of what the model's objective is given of each batch: (x,), or (x, y) if it is
    `labelled`.
    """
    labels = getattr(model, "labelled", False)
    return (batch if labels else (batch,) for batch in data.batches(size, shuffle, labels))


def one_each(result: tuple[Tensor, dict], x: Tensor) -> tuple[Tensor, dict]:
    """What an objective returned, if it is (value, parts) with one value for each x; else a
    ValueError.
    """
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[1], dict):
        raise ValueError(
            "an objective returns two things: its values, and a dictionary of parts to watch (it"
            " may be empty)"
        )
    if result[0].shape != x.shape[:1]:
        raise ValueError(
            f"an objective returns one value for each of the {len(x)} examples, shape ({len(x)},),"
            f" not {tuple(result[0].shape)}: sum over dimensions, and leave the batch's mean to the"
            " training"
        )
    return result


def explain(
    error: TrainingError, epoch: int, step: int, lr: float, history: History
) -> TrainingError:
    """The same error with the place, the likely causes and the history."""
    explained = TrainingError(
        f"training stopped in epoch {epoch + 1}, at step {step + 1}: {error}. Likely causes: a"
        f" learning rate too large (it is {lr:g}), a log of zero or an exp of a large number in the"
        " objective, a variance that went to zero, or NaN in the data. The model keeps the"
        " parameters from before this step (or its best ones)."
    )
    explained.history = history
    return explained


def add(totals: dict, parts: dict[str, Tensor], n: int) -> None:
    """Sum each part's batch total into `totals`, on the device: reading every number out would make
    a GPU wait.
    """
    for name, part in parts.items():
        totals[name] = totals.get(name, 0) + part.detach().mean() * n


@contextlib.contextmanager
def own_randomness(device: torch.device, seed: int | None = None):
    """What is drawn in here, from `seed` if one is given, leaves the random numbers drawn outside
    as they were.
    """
    before = random_state(device)
    try:
        if seed is not None:
            torch.manual_seed(seed)
        yield
    finally:
        set_random_state(before, device)


def random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device).get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if "device" in state:
        torch.get_device_module(device).set_rng_state(state["device"].cpu())


def save_atomically(state: dict, path: str | os.PathLike) -> None:
    """Write beside the file, then rename: a crash in between leaves the older state, not half a
    file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(path.suffix + ".part")
    torch.save(state, beside)
    os.replace(beside, path)
