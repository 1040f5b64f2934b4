"""Simulated cells before and after a drug: when do pairs help to tell which cells will answer?"""

import math

import torch
from torch import Tensor, nn

from dgmcourse.data.drugs import Simulation, simulated
from dgmcourse.data.images import Data
from dgmcourse.densities import kl
from dgmcourse.evaluate import auc
from dgmcourse.measure import class_probabilities
from dgmcourse.models.drug_vae import DrVAE, PertVAE, halves
from dgmcourse.studies import finished
from dgmcourse.train import fit

LABELS, PAIRS, THROUGH = (20,), (0, 20, 60, 200), (1.0, 0.0)
SEEDS = range(5)
CELLS = {"lines": 300, "genes": 60, "states": 8}
MODEL = {"latent_dim": 8, "hidden": None, "data_dim": CELLS["genes"]}
SETTINGS = {"epochs": 120, "batch_size": 100, "lr": 3e-2, "anneal": 90}
PENALTY = 1.0  # of the linear map from a state to its change


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [
        ({"through": through, "labels": labels, "pairs": pairs}, seed)
        for seed in SEEDS
        for through in THROUGH
        for labels in LABELS
        for pairs in PAIRS
    ]


def published(model: PertVAE, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
    """PertVAE's objective with the slip of the authors' code alone: z_2 is drawn from q(z_1|x_1). Their
    code has two more terms for x_2, which are left out here.
    """
    x1, x2, paired = halves(x)
    q1, q2 = model.state(x1), model.state(x2)
    z1, z2 = q1.rsample(), q1.rsample()  # the slip: q2 is meant
    log_p1, log_p2 = model.expression(z1).log_prob(x1), model.expression(z2).log_prob(x2)
    more = torch.where(paired, log_p2 - kl(q2, model.transition(z1)), torch.zeros_like(log_p2))
    value = log_p1 - beta * kl(q1, model.prior.top) + more
    return value, {"elbo": value}


def trained(model: nn.Module, data: Simulation, seed: int, objective=None) -> nn.Module:
    train = data.train if model_is_labelled(model) else Data(data.train.x)
    finished(fit(model, train, **SETTINGS, seed=seed, progress=False, objective=objective))
    return model.eval()


def model_is_labelled(model: nn.Module) -> bool:
    return getattr(model, "labelled", False)


def hits(score: Tensor, y: Tensor) -> float:
    return round(auc(score[y == 1], score[y == 0]), 4)


def angle(a: Tensor, b: Tensor) -> float:
    """Between two directions, degrees from 0 to 180."""
    cosine = (a @ b / (a.norm() * b.norm())).clamp(-1, 1).item()
    return round(math.degrees(math.acos(cosine)), 2)


@torch.no_grad()
def change(model: PertVAE | DrVAE, data: Simulation) -> dict:
    """How well a model knows what the drug does, on test cells: the angle of the mean change to the
    true direction; the correlation of each cell's change along the model's own direction with its
    true push; the error of the predicted x_2, where 1 is that of "nothing happens".
    """
    x1, x2 = data.test.x.chunk(2, -1)
    still = model.expression(model.state(x1).mean).mean
    moved = model.after(x1) - still
    mean = moved.mean(0)
    along = moved @ mean / mean.norm()
    return {
        "angle": angle(mean, data.direction),
        "push": round(torch.corrcoef(torch.stack([along, data.push]))[0, 1].item(), 4),
        "error": round((((x2 - still - moved) ** 2).mean() / ((x2 - still) ** 2).mean()).item(), 4),
    }


def components(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The mean of x and its first k principal axes, (D, k)."""
    mean = x.mean(0)
    return mean, torch.linalg.svd(x - mean, full_matrices=False).Vh[:k].mT


def linear(data: Simulation) -> dict:
    """What linear algebra makes of the same cells: logistic regressions on x_1, on its principal
    components over all cells, and on the change that a ridge regression over the pairs predicts.
    """
    x1, x2, paired = halves(data.train.x)
    test = data.test.x.chunk(2, -1)[0]
    known = data.train.y >= 0
    mean, axes = components(x1, MODEL["latent_dim"])
    z1, z_test = (x1 - mean) @ axes, (test - mean) @ axes

    def told(codes: Tensor, test_codes: Tensor) -> float:
        p = class_probabilities(codes[known], data.train.y[known], test_codes)
        return hits(p[:, 1], data.test.y)

    found = {"logistic": told(x1, test), "logistic on components": told(z1, z_test)}
    if not paired.any():
        return {"auc": found}
    z = torch.nn.functional.pad(z1, (0, 1), value=1.0)
    z_t = torch.nn.functional.pad(z_test, (0, 1), value=1.0)
    moved = (x2 - x1)[paired] @ axes
    square = z[paired].mT @ z[paired] + PENALTY * torch.eye(z.shape[1])
    map_ = torch.linalg.solve(square, z[paired].mT @ moved)
    found["logistic on predicted change"] = told(z @ map_, z_t @ map_)
    return {"auc": found, "angle of the mean": angle((x2 - x1)[paired].mean(0), data.direction)}


def run(setting: dict, seed: int) -> dict:
    """The test AUC of each method, and what it knows of the drug."""
    data = simulated(seed=seed, **CELLS, **setting)
    x1, y = data.test.x.chunk(2, -1)[0], data.test.y
    row = linear(data) | {"changes": {}}
    row["auc"]["best possible"] = hits(data.p, y)
    variants = {"Dr.VAE": "both", "Dr.VAE, shift": "shift"}
    if not setting["pairs"]:
        variants = {"no pairs": "state"}
    for name, reads in variants.items():
        torch.manual_seed(seed)
        model = trained(DrVAE(**MODEL, reads=reads), data, seed)
        row["auc"][name] = hits(model.response(x1)[:, 1], y)
        if setting["pairs"]:
            row["changes"][name] = change(model, data)
    one = setting["labels"] == LABELS[0] and setting["through"] == THROUGH[0]
    if setting["pairs"] and one:  # of what does not look at responses
        for name in ("PertVAE", "published"):
            torch.manual_seed(seed)
            model = PertVAE(**MODEL)
            slip = (lambda x, beta, m=model: published(m, x, beta)) if name == "published" else None
            row["changes"][name] = change(trained(model, data, seed, slip), data)
    return row


def table(rows: list[dict]) -> dict:
    return {
        "about": __doc__.rstrip("."),
        "settings": {"cells": CELLS, "model": MODEL, "training": SETTINGS},
        "labels": list(LABELS),
        "pairs": list(PAIRS),
        "through": list(THROUGH),
        "seeds": len({row["seed"] for row in rows}),
        "torch": torch.__version__,
        "rows": rows,
    }
