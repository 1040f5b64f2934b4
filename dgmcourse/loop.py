"""The parts of a training loop: what it asks of models and data, and what goes on around its steps.

`train.fit` and `play.play` are loops made of these parts.
"""

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from dgmcourse.data.images import Data
from dgmcourse.files import alone, write_atomically
from dgmcourse.optim import TrainingError

CURVE_POINTS = 400  # the running curve keeps about this many points, however long the training


class Trainable(Protocol):
    """A model with one objective, which `train.fit` maximises.

    With `labelled = True` its objective is given the labels of a `Data`, too.
    """

    parts: dict[str, str]  # name of each part of the objective -> its label in a figure

    def objective(self, *batch_and_beta) -> tuple[Tensor, dict[str, Tensor]]:
        """What to maximise, one value for each example, and the parts to watch, of the same shape.

        Called as objective(*batch, beta); beta weighs the regulariser and rises to 1 in a warm-up.
        """


class Game(Protocol):
    """A model of two players, which `play.play` trains by turns.

    With `labelled = True` both objectives are given the labels, too. If it has `constrain()`, that
    is called after each step of the discriminator.
    """

    discriminator: nn.Module  # all parameters outside it belong to the generator
    parts: dict[str, str]  # of both objectives

    def discriminator_objective(self, *batch) -> tuple[Tensor, dict[str, Tensor]]:
        """What the discriminator maximises, one value for each example, and the parts to watch."""

    def generator_objective(self, *batch) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator maximises, and the parts to watch."""


@runtime_checkable
class Batches(Protocol):
    """Data to train on. `data.images.Data` is one.

    With a method `fingerprint()`, a line of text that tells them from others, a checkpoint is
    resumed with the same data only.
    """

    def __len__(self) -> int:
        """The number of examples. A pass has ceil(len / size) batches: the progress bar, the
        running curve and the learning-rate schedule rely on it.
        """

    def batches(self, size: int, shuffle: bool) -> Iterable:
        """The batches of one pass. The entries of a tuple are the objective's arguments: a labelled
        and an unlabelled part, or padded sequences and their lengths. Anything else, such as a
        tensor or one graph, is a single argument.
        """

    def to(self, device: torch.device) -> "Batches":
        """The same data on a device."""


def as_batches(data: Batches | Tensor) -> Batches:
    """The data themselves, or a tensor of floats (N, D) as a `Data`."""
    return data if isinstance(data, Batches) else Data.of(data)


def batches_of(model: nn.Module, data: Batches, size: int, shuffle: bool = True) -> Iterator[tuple]:
    """The batches of one pass, each as the tuple of what the objective is given of it.

    Raises:
        ValueError: if the model wants labels and a `Data` has none.
    """
    labelled = isinstance(data, Data) and getattr(model, "labelled", False)
    batches = data.batches(size, shuffle, labels=True) if labelled else data.batches(size, shuffle)
    return (batch if isinstance(batch, tuple) else (batch,) for batch in batches)


@dataclass
class History:
    """What happened: one row (a dictionary) an epoch, and a finer running curve of averages over a
    few steps.
    """

    epochs: list[dict] = field(default_factory=list)
    steps: list[dict] = field(default_factory=list)
    stopped: str = "finished"  # or "interrupted", "no further improvement", "diverged at step ..."
    best_epoch: int | None = None
    labels: dict[str, str] = field(default_factory=dict)  # the model's `parts`

    def __getitem__(self, name: str) -> list[float]:
        """A column of the epochs: history["elbo"], "reconstruction", "kl", "beta", "valid",
        "seconds".
        """
        return [row[name] for row in self.epochs]


class Averages:
    """Averages of an objective's parts, weighted by the number of examples.

    The sums stay on the device, since a GPU waits whenever a number is read.
    """

    def __init__(self):
        self.sums, self.counts = {}, {}

    def add(self, sums: dict[str, Tensor], n: int) -> None:
        """Add the parts' sums over n examples."""
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0) + value
            self.counts[name] = self.counts.get(name, 0) + n

    def take(self) -> dict[str, float]:
        """The averages since the last call."""
        averages = {name: value.item() / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return averages


class Run:
    """What goes on around the steps of a training: history, progress bar, running curve, live
    drawing, checkpoints and the end. Of several processes, only the first shows and writes.

    Args:
        model, optimisers: whose state a checkpoint holds.
        settings, data: compared with those of a checkpoint before resuming; so is the model. Of the
            data, if they offer it, the `fingerprint()`.
        total: the number of steps.
        window: steps for each point of the running curve.
        checkpoint, live, progress: as in `train.fit`.
        digits: of the numbers beside the bar.
    """

    def __init__(
        self,
        model: nn.Module,
        optimisers: list[torch.optim.Optimizer],
        settings: dict,
        device: torch.device,
        *,
        data: Iterable[Batches | None] = (),
        total: int,
        window: int,
        checkpoint: str | os.PathLike | None = None,
        live=None,
        progress: bool = True,
        digits: int = 1,
    ):
        self.first = processes()[0] == 0
        self.model, self.optimisers, self.settings, self.device = (
            model,
            optimisers,
            settings,
            device,
        )
        self.total, self.window, self.digits = total, window, digits
        self.checkpoint, self.live = checkpoint, live if self.first else None
        self.data = [fingerprint(part) for part in data] if checkpoint else []
        self.progress = progress and self.first
        parts = getattr(model, "parts", None)
        self.history = History(labels=dict(parts) if isinstance(parts, dict) else {})
        self.averages, self.steps, self.draw_at = Averages(), 0, 0.0
        self.best = None  # the parameters to keep, if they are not the last ones

    @contextlib.contextmanager
    def going(self, resume: bool):
        """The loop goes in here. At its end, after an interruption (KeyboardInterrupt) and after a
        TrainingError too, the model holds its best or last parameters in evaluation mode, and the
        history says how it ended.

        Raises:
            OSError: if another process writes the checkpoint, or it cannot be written: `files`.
        """
        writes = self.checkpoint and self.first
        with alone(self.checkpoint) if writes else contextlib.nullcontext():
            if resume and self.checkpoint and Path(self.checkpoint).exists():
                self.restore()
            self.history.stopped = "finished"
            self.bar = tqdm(
                total=self.total,
                initial=self.steps,
                disable=not self.progress,
                file=sys.stdout,
                mininterval=0.5,
                bar_format="{desc} |{bar:24}| {percentage:3.0f}%, {remaining} left{postfix}",
            )
            try:
                yield
            except KeyboardInterrupt:
                self.history.stopped = "interrupted"
            except TrainingError as error:
                self.history.stopped = f"diverged at step {self.steps + 1}: {error}"
            finally:
                self.bar.close()
                if self.best is not None:
                    self.model.load_state_dict(self.best)
                self.model.eval()
                self.draw()

    def watch(self, parts: dict[str, Tensor], n: int, *also: Averages) -> None:
        """Add a step's parts, the means over n examples, to the running curve and `also`."""
        sums = {name: part.detach().mean() * n for name, part in parts.items()}
        for averages in (self.averages, *also):
            averages.add(sums, n)

    def step(self) -> None:
        """Count a step; extend the running curve and draw where it is time."""
        self.steps += 1
        self.bar.update()
        if self.steps % self.window == 0:
            row = self.averages.take()
            self.history.steps.append({"step": self.steps, **row})
            shown = (f"{name} {value:.{self.digits}f}" for name, value in row.items())
            self.bar.set_postfix_str(", ".join(shown))
        if self.live and (now := time.perf_counter()) > self.draw_at:
            self.draw()
            # At most a fifth of the time is spent on drawing.
            self.draw_at = now + max(1, 5 * (time.perf_counter() - now))

    def draw(self) -> None:
        """Call live(model, history) in evaluation mode; what it draws at random has no effect."""
        if self.live:
            training = self.model.training
            with own_randomness(self.device):
                self.model.eval()
                self.live(self.model, self.history)
            self.model.train(training)

    def epoch(self, row: dict) -> None:
        """Add an epoch's row to the history and write the checkpoint."""
        self.history.epochs.append(row)
        if self.checkpoint and self.first:
            content = io.BytesIO()
            torch.save(self.state(), content)
            write_atomically(self.checkpoint, content.getvalue())

    def state(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "best": self.best,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.steps,
            "random": random_state(self.device),
            "history": vars(self.history),
            "running": (self.averages.sums, self.averages.counts),
            "settings": self.settings,
            "class": type(self.model).__name__,
            "data": self.data,
        }

    def restore(self) -> None:
        """Go back to the checkpoint's state.

        Raises:
            ValueError: if it is damaged, or was written for another model, with other data or
                settings, or by an earlier version. Nothing is changed then.
        """
        saved = load_checkpoint(self.checkpoint, self.device)
        if saved["settings"] != self.settings:
            raise ValueError(
                f"{self.checkpoint} was written with {saved['settings']}, not with"
                f" {self.settings}: remove it"
            )
        if "optimisers" not in saved:
            raise ValueError(f"{self.checkpoint} was written by an earlier version: remove it")
        # An earlier version's says neither of what class the model is nor which data it saw.
        kind = type(self.model).__name__
        there = {"class": saved.get("class", kind)} | outline(saved["model"])
        here = {"class": kind} | outline(self.model.state_dict())
        if name := next((n for n in here | there if there.get(n) != here.get(n)), None):
            raise ValueError(
                f"{self.checkpoint} was written while training another model: its {name} is"
                f" {there.get(name)}, this one's {here.get(name)}. Remove it"
            )
        if saved.get("data", self.data) != self.data:
            raise ValueError(
                f"{self.checkpoint} was written while training on other data: {saved['data']}, and"
                f" these are {self.data}. Go on with the same, or remove it"
            )
        self.model.load_state_dict(saved["model"])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        vars(self.history).update(saved["history"])
        self.averages.sums, self.averages.counts = saved["running"]
        self.steps, self.best = saved["step"], saved.get("best")
        set_random_state(saved["random"], self.device)


def load_checkpoint(path: str | os.PathLike, device: torch.device) -> dict:
    """A training's state.

    Raises:
        ValueError: for a file that is damaged, or no checkpoint.
    """
    content = io.BytesIO(Path(path).read_bytes())
    try:
        saved = torch.load(content, map_location=device, weights_only=True)
        if saved.keys() >= {"model", "settings", "step", "random", "history", "running"}:
            return saved
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception:  # which one depends on where the file is damaged
        pass
    raise ValueError(
        f"{path} is no checkpoint of a training, or a damaged one: remove it to start anew, or give"
        " checkpoint= another name"
    )


def outline(parameters: dict) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a state_dict."""
    return {name: tuple(value.shape) for name, value in parameters.items()}


def fingerprint(data: Batches | None) -> str | None:
    """What tells the data from others, where they offer it."""
    return data.fingerprint() if hasattr(data, "fingerprint") else None


def processes() -> tuple[int, int]:
    """The rank of this process and the number of those that train together (`distributed`)."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


@contextlib.contextmanager
def own_randomness(device: torch.device, seed: int | None = None):
    """Draw from `seed`, if one is given, and leave the random state outside as it was."""
    before = random_state(device)
    try:
        if seed is not None:
            torch.manual_seed(seed)
        yield
    finally:
        set_random_state(before, device)


def autocast(device: torch.device, mixed_precision: bool) -> torch.autocast:
    """Matrix products in bfloat16 if asked for, except where they would be emulated."""
    return torch.autocast(
        device.type, torch.bfloat16, enabled=mixed_precision and has_bfloat16(device)
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products in bfloat16.

    A processor without them emulates them: a step of the course's networks takes five to nine times
    as long as in float32.
    """
    if device.type != "cpu":
        return True
    if not hasattr(torch.cpu, "get_capabilities"):  # in older releases of torch
        return torch.backends.cpu.get_cpu_capability() == "AVX512"
    has = torch.cpu.get_capabilities()
    names = ("avx512_bf16", "amx_bf16", "bf16")
    return torch.backends.mkldnn.is_available() and any(has.get(name, False) for name in names)


def random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device).get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    if "device" in state:
        torch.get_device_module(device).set_rng_state(state["device"].cpu())
