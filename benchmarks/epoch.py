"""Whole epoch against pythae

All training digits once, in batches of 100, each library with its own data path, progress bar and
bookkeeping. Ours: `fit` for one epoch on `mnist("dynamic")`, which binarises anew at every visit.
pythae: `train_step` of its trainer with its DataLoader, on what its documentation offers for that:
a torchvision dataset with transforms, here MNIST's, whose digits become tensors and are binarised
when visited. "pythae, fixed bits" is on its own `BaseDataset`, of one tensor that was binarised for
good beforehand: less work than ours. Its saving of the model after training is not counted. "Bare
products": nothing but the matrix products of these steps, forward and backward, which both sides
do: no epoch can take less.
"""

import os
import tempfile

import torch
from peer import like, trainer
from pythae.data.datasets import BaseDataset, DatasetOutput
from timing import hushed, ratio_row, turns
from torchvision import transforms
from torchvision.datasets import MNIST

from dgmcourse.data.images import mnist
from dgmcourse.models import VAE
from dgmcourse.train import fit

LR, BATCH, ROUNDS = 5e-4, 100, 5


class Digits(MNIST):
    """torchvision's MNIST with our training digits in it, handed out as pythae wants them."""

    def __init__(self, x, y):
        self.data, self.targets, self.target_transform = x.view(-1, 28, 28), y, None
        self.transform = transforms.Compose([transforms.ToTensor(), torch.bernoulli, torch.flatten])

    def __getitem__(self, i):
        return DatasetOutput(data=super().__getitem__(i)[0])


def bare_products(model, steps):
    """Each layer's output, its weight's gradient and its input's, which the first layer does
    without.
    """
    layers = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    weights = [layer.weight.detach() for layer in layers]
    pairs = [[torch.randn(BATCH, n, device=w.device) for n in w.shape] for w in weights]
    for _ in range(steps):
        for i, (weight, (gradient, x)) in enumerate(zip(weights, pairs, strict=True)):
            torch.mm(x, weight.t())
            torch.mm(gradient.t(), x)
            if i > 0:
                torch.mm(gradient, weight)


def measure(device: str = "cpu", rounds: int = ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    cuda = device == "cuda"
    with tempfile.TemporaryDirectory() as folder, hushed():
        dynamic, static = mnist("dynamic").train, mnist("static").train
        ours = VAE(40)
        drawn = trainer(like(ours), Digits(dynamic.x, dynamic.y), folder, LR, BATCH, cuda)
        fixed = trainer(like(ours), BaseDataset(static.tensor(), static.y), folder, LR, BATCH, cuda)
        rivals = {
            "pythae": lambda: drawn.train_step(1),
            "ours": lambda: fit(ours, dynamic, epochs=1, batch_size=BATCH, lr=LR, device=device),
            "pythae, fixed bits": lambda: fixed.train_step(1),
            "bare products": lambda: bare_products(ours, len(dynamic) // BATCH),
        }
        rows, before = [], torch.get_num_threads()
        for threads in sorted({before, before if cuda else os.cpu_count()}):
            torch.set_num_threads(threads)
            times = turns(rivals, rounds, cuda)
            what = (
                f"one epoch, {len(dynamic):,} digits, {device}, {threads}"
                f" thread{'s' * (threads > 1)}"
            )
            rows += [
                ratio_row(what, times, peer, "ours", ">= 2")
                for peer in ("pythae", "pythae, fixed bits")
            ]
            rows.append(ratio_row(what, times, "ours", "bare products"))
        torch.set_num_threads(before)
    return rows, ""
