"""The VAE (gated 300-300, 40 latent dimensions) with each posterior at several T."""

import time

import torch
from torch import nn

from dgmcourse.data.images import mnist
from dgmcourse.densities import BernoulliConditional, StandardGaussian
from dgmcourse.evaluate import active_units, highest_k, log_likelihood
from dgmcourse.models.householder_flow import HouseholderFlow
from dgmcourse.models.inverse_autoregressive_flow import autoregressive_flows
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.normalizing_flow import FlowConditional
from dgmcourse.models.planar_flow import PlanarFlow
from dgmcourse.models.vae import VAE
from dgmcourse.networks import gated_mlp
from dgmcourse.studies import finished
from dgmcourse.train import fit, own_randomness

LONGEST = [("diagonal", 0), ("planar", 16), ("Householder", 16), ("inverse autoregressive", 4)]
SHORTER = [("planar", 1), ("planar", 4), ("Householder", 1), ("inverse autoregressive", 1)]
SEEDS, DIGITS, SAMPLES = range(3), 1000, 500
SETTINGS = {
    "epochs": 14,
    "batch_size": 100,
    "lr": 1e-3,
    "warm_up": 3,
    "anneal": 7,
    "mixed_precision": True,
}


def flow_vae(
    posterior: str, steps: int, latent_dim: int = 40, hidden: int = 300, features: int = 100
) -> nn.Module:
    """The VAE with a posterior that is "diagonal" (0 steps), "planar", "Householder" or "inverse
    autoregressive".
    """
    if posterior == "diagonal":
        return VAE(latent_dim, hidden)
    flow = {
        "planar": lambda: PlanarFlow(latent_dim, steps, features),
        "Householder": lambda: HouseholderFlow(latent_dim, steps, features),
        "inverse autoregressive": lambda: autoregressive_flows(latent_dim, steps, (320,), features),
    }[posterior]()
    net = gated_mlp([784, hidden, hidden, 2 * latent_dim + features])
    decoder = BernoulliConditional(gated_mlp([latent_dim, hidden, hidden, 784]))
    return LatentVariableModel(
        StandardGaussian(latent_dim), FlowConditional(net, flow, features), decoder
    )


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [
        ({"posterior": posterior, "T": T, "epochs": SETTINGS["epochs"]}, seed)
        for posteriors in (LONGEST, SHORTER)
        for seed in SEEDS
        for posterior, T in posteriors
    ]


def run(setting: dict, seed: int) -> dict:
    """Train a `flow_vae` and measure it, nats: the ELBO on all test digits; on the first DIGITS of
    them the NLL, the share of them for which it is not to be trusted ("unreliable"), and the gap
    between log-likelihood and ELBO.
    """
    data, model = mnist("dynamic"), flow_vae(setting["posterior"], setting["T"])
    began = time.process_time()
    history = finished(fit(model, data.train, **SETTINGS, seed=seed, progress=False))
    x = data.test.tensor()
    few = x[:DIGITS]
    with torch.no_grad(), own_randomness(x.device, seed=0):
        elbo = torch.cat([model.log_weight(rows, (5,)).mean(0) for rows in x.split(1000)])
        elbo_of_few = torch.cat([model.log_weight(rows, (50,)).mean(0) for rows in few.split(100)])
        log_p, k, _ = log_likelihood(model, few, SAMPLES, reliability=True)
    row = {}
    for name, values in (("elbo", elbo), ("nll", -log_p), ("gap", log_p - elbo_of_few)):
        row[name] = round(values.mean().item(), 3)
        row[f"{name}_se"] = round(values.std().item() / len(values) ** 0.5, 3)
    return row | {
        "unreliable": round((k > highest_k(SAMPLES)).double().mean().item(), 3),
        "active_units": int(active_units(model, x[:2000]).sum()),
        "train_elbo": round(history["elbo"][-1], 3),
        "seconds": round(time.process_time() - began),  # of the processor
    }


def table(rows: list[dict]) -> dict:
    data = mnist("dynamic")
    return {
        "about": __doc__,
        "data": (
            f"{len(data.train):,} training and {len(data.test):,} test digits, binarised"
            " dynamically"
        ),
        "settings": SETTINGS,
        "digits": {"elbo": len(data.test), "nll": min(DIGITS, len(data.test))},
        "samples": SAMPLES,
        "torch": torch.__version__,
        "rows": rows,
    }
