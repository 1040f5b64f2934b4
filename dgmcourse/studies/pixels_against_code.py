"""Small PixelVAEs whose decoders see more and more rows, and the last one with free bits."""

import time

import torch
from torch import Tensor, nn

from dgmcourse.data.images import mnist
from dgmcourse.densities import GaussianConditional, StandardGaussian
from dgmcourse.evaluate import active_units, highest_k, log_likelihood
from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.pixelcnn import PixelConditional
from dgmcourse.models.pixelvae import free_bits
from dgmcourse.networks import gated_mlp
from dgmcourse.train import Adam, maximise

REACHES, FREE_BITS, SEEDS = (0, 1, 2, 4, 7), 0.5, range(3)
SETTINGS = {"digits": 5000, "epochs": 8, "batch": 50, "lr": 3e-3, "S": 50}


def halved(x: Tensor) -> Tensor:
    """28x28 bytes, (N, 784), as 14x14 grey values in [0, 1], (N, 196): the mean of each 2x2."""
    return x.reshape(-1, 14, 2, 14, 2).float().mean((2, 4)).flatten(1) / 255


class Blind(GatedPixelNet):
    """A pixel network that sees no pixel, only `given`."""

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        return super().forward(torch.zeros_like(x), given)


def small_pixelvae(reach: int, latent_dim: int = 8, hidden: int = 100) -> nn.Module:
    """A PixelVAE of 14x14 pixels whose decoder sees `reach` rows up; with 0 rows it sees z alone,
    with the same network.
    """
    net = (GatedPixelNet if reach else Blind)(8, max(reach - 1, 0), 3, shape=(14, 14))
    return LatentVariableModel(
        StandardGaussian(latent_dim),
        GaussianConditional(gated_mlp([196, hidden, 2 * latent_dim])),
        PixelConditional(net, gated_mlp([latent_dim, hidden, net.given_dim])),
    )


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    settings = [{"reach": reach, "free_bits": 0.0} for reach in REACHES]
    with_free_bits = {"reach": REACHES[-1], "free_bits": FREE_BITS}
    return [(setting, seed) for seed in SEEDS for setting in settings] + [
        (with_free_bits, seed) for seed in SEEDS
    ]


def run(setting: dict, seed: int) -> dict:
    """Train a `small_pixelvae` on some digits, binarised anew at every visit, the learning rate
    falling to 0 over the second half. Its KL and ELBO on 1,000 test digits, its NLL on 400, and the
    share of these for which that is not to be trusted ("unreliable").
    """
    data, free = mnist(None), setting["free_bits"]
    digits, epochs, batch, lr, S = (SETTINGS[k] for k in ("digits", "epochs", "batch", "lr", "S"))
    model, grey = small_pixelvae(setting["reach"]), halved(data.train.x[:digits])
    began = time.process_time()
    objective = free_bits(model, free) if free else model.objective
    optimiser = Adam(model.parameters(), lr=lr, fused=True)
    steps, step = epochs * len(grey) // batch, 0
    for _ in range(epochs):
        for i in torch.randperm(len(grey)).split(batch):
            optimiser.param_groups[0]["lr"] = lr * min(1, 2 * (1 - step / steps))
            maximise(objective(torch.bernoulli(grey[i]))[0], optimiser)
            step += 1
    x = torch.bernoulli(halved(data.test.x[:1000]), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        parts = [model.objective(x)[1] for _ in range(5)]
        log_p, k, _ = log_likelihood(model, x[:400], S, reliability=True)
    mean = {k: torch.stack([part[k] for part in parts]).mean().item() for k in ("kl", "elbo")}
    return {
        "kl": round(mean["kl"], 3),
        "elbo": round(mean["elbo"], 3),
        "nll": round(-log_p.mean().item(), 3),
        "unreliable": round((k > highest_k(S)).double().mean().item(), 3),
        "active": int(active_units(model, x).sum()),
        "seconds": round(time.process_time() - began, 1),
    }


def table(rows: list[dict]) -> dict:
    data = mnist(None)
    return {
        "about": __doc__,
        "data": (
            f"{min(SETTINGS['digits'], len(data.train)):,} training and"
            f" {min(400, len(data.test))} test digits of 14x14 pixels"
        ),
        "settings": SETTINGS,
        "torch": torch.__version__,
        "rows": rows,
    }
