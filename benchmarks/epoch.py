"""Whole epoch against pythae

All training digits once, in batches of 100, each library with its own data path, progress bar and
bookkeeping. Ours: `fit` for one epoch on `mnist("dynamic")`, which binarises anew at every visit. pythae:
`train_step` of its trainer on its `BaseDataset` and its own DataLoader, as its documentation has it; the
digits were binarised beforehand, so it does less. Its saving of the model after training is not counted.
"""

import tempfile

import torch
from peer import like, trainer
from pythae.data.datasets import BaseDataset
from timing import hushed, ratio_row, turns

from dgmcourse.data.images import mnist
from dgmcourse.models import VAE
from dgmcourse.train import fit

LR, BATCH, ROUNDS = 5e-4, 100, 5


def measure(device: str = "cpu", rounds: int = ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    cuda = device == "cuda"
    with tempfile.TemporaryDirectory() as folder, hushed():
        dynamic, static = mnist("dynamic").train, mnist("static").train
        ours = VAE(40)
        theirs = trainer(like(ours), BaseDataset(static.tensor(), static.y), folder, LR, BATCH, cuda)
        rivals = {
            "pythae": lambda: theirs.train_step(1),
            "ours": lambda: fit(ours, dynamic, epochs=1, batch_size=BATCH, lr=LR, device=device),
        }
        times = turns(rivals, rounds, cuda)
    what = f"one epoch, {len(dynamic):,} digits, {device}"
    return [ratio_row(what, times, "pythae", "ours", ">= 2")], ""
