"""On a GPU

The step and the epoch above on CUDA, and one epoch of the feed-forward and of the convolutional VAE
with matrix products in float32 and, by `fit(..., mixed_precision=True)`, in bfloat16.
"""

import epoch
import step
import torch
from timing import hushed, ratio_row, turns

from dgmcourse.data.images import mnist
from dgmcourse.models import VAE, ConvVAE
from dgmcourse.train import fit


def measure() -> tuple[list[dict], str]:
    if not torch.cuda.is_available():
        return [], "No CUDA device on this machine: not measured."
    rows = step.measure("cuda")[0] + epoch.measure("cuda")[0] + mixed_precision("cuda")
    return rows, f"On one {torch.cuda.get_device_name()}."


def mixed_precision(device: str, n: int | None = None, rounds: int = 5) -> list[dict]:
    rows = []
    for make in (VAE, ConvVAE):
        torch.manual_seed(0)
        with hushed():
            train, model = mnist("dynamic").train[:n].to(device), make(40)
            rivals = {
                name: lambda on=on: fit(model, train, epochs=1, device=device, mixed_precision=on)  # noqa: B023
                for name, on in (("float32", False), ("bfloat16", True))
            }
            times = turns(rivals, rounds, device == "cuda")
        what = f"one epoch of {make.__name__}(40), {len(train):,} digits"
        rows.append(ratio_row(what, times, "bfloat16", "float32"))
    return rows
