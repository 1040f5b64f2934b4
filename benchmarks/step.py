"""Training step against pythae

Forward, backward and Adam on one batch of 100 binary digits already in memory: the VampPrior
paper's VAE (gated 300-300, 40 latent dimensions, Bernoulli likelihood), the same networks with the
same weights on both sides. Ours: `objective` and `maximise` with the Adam of `fit`, fused. pythae:
its model, and the step and the reading of the loss of its trainer, with the Adam it makes (torch's
default), and again with `fused=True` passed to it.
"""

import tempfile

import torch
from peer import check_same_objective, like, trainer
from timing import hushed, ratio_row, turns

from dgmcourse.data.images import mnist
from dgmcourse.models import VAE
from dgmcourse.train import maximise

LR, BATCH, STEPS, ROUNDS = 5e-4, 100, 5, 40


def measure(device: str = "cpu", rounds: int = ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    with hushed():
        data = mnist("static").train
    ours = VAE(40)
    x = data.tensor()[:BATCH]
    differences = check_same_objective(ours, x)
    cuda = device == "cuda"
    with tempfile.TemporaryDirectory() as folder, hushed():
        batches = Batch(x)
        theirs = trainer(like(ours), batches, folder, LR, BATCH, cuda)
        fused = trainer(like(ours), batches, folder, LR, BATCH, cuda, fused=True)
        x = x.to(device)
        ours.to(device)
        adam = torch.optim.Adam(ours.parameters(), lr=LR, fused=True)

        def our_steps():
            for _ in range(STEPS):
                maximise(ours.objective(x)[0], adam)

        def their_steps(peer):
            for _ in range(STEPS):
                output = peer.model({"data": x}, epoch=1, dataset_size=len(data), uses_ddp=False)
                peer._optimizers_step(output)
                output.loss.item()

        rivals = {
            "ours": our_steps,
            "pythae": lambda: their_steps(theirs),
            "pythae, fused": lambda: their_steps(fused),
        }
        times = turns(rivals, rounds, cuda)
    rows = [
        ratio_row(f"one step, {device}", times, "ours", "pythae", "<= 1", STEPS),
        ratio_row(f"one step, {device}", times, "ours", "pythae, fused", None, STEPS),
    ]
    same = ", ".join(f"{name}: {value:.0e}" for name, value in differences.items())
    return rows, f"The same objective: relative differences at equal weights and noise are {same}."


class Batch(torch.utils.data.Dataset):
    """What pythae's trainer wants to see one batch of before it starts."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"data": self.x[i]}
