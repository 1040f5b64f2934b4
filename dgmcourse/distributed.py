"""Data-parallel training: `torchrun --nproc-per-node N -m dgmcourse train NAME`.

Each process holds the model and all the data and computes its share of each batch, and torch's
DistributedDataParallel averages the gradients. `batch_size` is that of all processes together.

The parameters are those of a training in one process, up to rounding, if the objective draws
nothing and each value depends on its own example alone. What the objective draws (z, dropout)
differs between processes, and the order and binarisation of the data then differ from those of one
process: the training is the same in distribution. Batch statistics (batch normalisation, the MMD,
the mean over a batch's labelled examples) are those of a share. The objective has to depend on every
parameter.
"""

import contextlib
import os
import signal
import sys

import torch
from torch import Tensor, distributed, nn

from dgmcourse.loop import History, own_randomness, processes, random_state, set_random_state


def join(device: torch.device) -> torch.device:
    """Join the processes that torchrun started, if it did, with NCCL for CUDA and else with gloo on
    the CPU. All but the first print nothing from here on.

    Returns:
        the device of this process.

    Raises:
        ValueError: if there are fewer GPUs than processes on this machine.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return device
    if device.type == "cuda":
        here, wanted = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
        if here < wanted:
            raise ValueError(
                f"{wanted} processes need as many GPUs, and {here} are here: start fewer, or use"
                " --device cpu"
            )
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if distributed.get_rank() > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return device


def leave() -> int:
    """Leave the group, if there is one, and return the rank: the first process, 0, goes on alone to
    measure and write.
    """
    rank, size = processes()
    if size > 1:
        distributed.destroy_process_group()
    return rank


@contextlib.contextmanager
def shared(objective, model: nn.Module, history: History, device: torch.device, seed: int):
    """The objective of batches that are shared among all processes; alone, the objective itself.

    It is given the whole batch, the same in each process, and returns the mean over all of it, as
    often as there are examples, with a gradient whose average over the processes is the mean's.
    An interruption (SIGINT, SIGTERM) of any process is a KeyboardInterrupt in all of them at the
    same step.
    """
    rank, size = processes()
    if size == 1:
        yield objective
        return
    module = nn.parallel.DistributedDataParallel(Forward(model, objective))
    stopped, state, epoch = False, None, None

    def of_all(*given):
        nonlocal state, epoch
        *batch, beta = given
        rows, weight = share(batch, rank, size)
        with own_randomness(device):
            if epoch == len(history.epochs):
                set_random_state(state, device)
            else:  # anew in each epoch, so that a resumed training draws what the unbroken one does
                epoch = len(history.epochs)
                torch.manual_seed(hash((seed, epoch, rank)))
            value, parts = module(*rows, beta)
            state = random_state(device)
        n = weight * len(value)
        means = torch.stack([one.detach().mean().double() for one in (value, *parts.values())])
        sums = torch.cat([n * means, means.new_tensor([n, stopped])])
        distributed.all_reduce(sums)
        total, any_stopped = sums[-2:].tolist()
        if any_stopped:
            raise KeyboardInterrupt
        means = sums[:-2] / total
        gradient = (value.mean() - value.detach().mean()) * (n * size / total)  # of value 0
        value = (means[0].to(value) + gradient).expand(round(total))
        return value, dict(zip(parts, means[1:], strict=True))

    def stop(*_):
        nonlocal stopped
        stopped = True

    before = {kind: signal.signal(kind, stop) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield of_all
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class Forward(nn.Module):
    """A module whose forward is an objective: DistributedDataParallel acts on forward alone."""

    def __init__(self, model: nn.Module, objective):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, *given) -> tuple[Tensor, dict[str, Tensor]]:
        value, parts = self.objective(*given)
        return value, {name: part.detach() for name, part in parts.items()}


def share(batch, rank: int, size: int) -> tuple[tuple, int]:
    """This process's rows of each tensor of a batch, with weight 1; where there are none, the first
    process's, with weight 0. Numbers are for all.

    Raises:
        TypeError: for a batch that is not made of tensors and numbers.
    """
    rows = split(tuple(batch), rank, size)
    return (rows, 1) if any_rows(rows) else (split(tuple(batch), 0, size), 0)


def split(batch, rank: int, size: int):
    if isinstance(batch, tuple):
        return tuple(split(part, rank, size) for part in batch)
    if isinstance(batch, int | float):
        return batch
    if not isinstance(batch, Tensor):
        raise TypeError(
            f"only tensors can be shared among {size} processes, and this batch has a"
            f" {type(batch).__name__}: train it in one process"
        )
    return batch.tensor_split(size)[rank]


def any_rows(rows) -> bool:
    if isinstance(rows, tuple):
        return any(map(any_rows, rows))
    return isinstance(rows, Tensor) and len(rows) > 0
