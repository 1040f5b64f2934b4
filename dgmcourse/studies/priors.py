"""Five priors, and two layers, with ten latent dimensions each, every model trained anew."""

import functools

import torch
from torch import Tensor, nn

from dgmcourse import measure, weights
from dgmcourse.data.images import mnist
from dgmcourse.densities import StandardGaussian
from dgmcourse.distances import frechet
from dgmcourse.models.autoregressive_prior import AutoregressivePrior
from dgmcourse.models.hierarchical_vae import HierarchicalVAE
from dgmcourse.models.inverse_autoregressive_flow import autoregressive_flows
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.mixture_prior import MixturePrior
from dgmcourse.models.normalizing_flow import FlowDensity
from dgmcourse.models.vae import VAE
from dgmcourse.models.vamp_prior import VampPrior
from dgmcourse.studies import finished
from dgmcourse.train import fit, own_randomness

PRIORS = (
    "standard normal",
    "mixture of Gaussians",
    "autoregressive",
    "autoregressive flow",
    "VampPrior",
    "two layers, standard normal",
    "two layers, VampPrior",
)
SEEDS, DIGITS, SAMPLES, DRAWN = range(5), 1000, 500, 5000
SETTINGS = {"epochs": 10, "batch_size": 100, "lr": 1e-3, "warm_up": 2, "anneal": 5}


def prior_model(
    name: str, latent_dim: int = 10, hidden: int = 100, components: int = 100
) -> nn.Module:
    """A small VAE with the prior of that name, which is trained with it."""
    if name.startswith("two layers"):
        pseudo_inputs = components if "VampPrior" in name else None
        return HierarchicalVAE(latent_dim, hidden, components=pseudo_inputs)
    plain = VAE(latent_dim, hidden)
    prior = {
        "standard normal": lambda: plain.prior,
        "mixture of Gaussians": lambda: MixturePrior(latent_dim, components),
        "autoregressive": lambda: AutoregressivePrior(latent_dim, (hidden,), components=3),
        "autoregressive flow": lambda: FlowDensity(
            StandardGaussian(latent_dim), autoregressive_flows(latent_dim, 4, (hidden,))
        ),
        "VampPrior": lambda: VampPrior(plain.encoder, 784, components),
    }[name]()
    return LatentVariableModel(prior, plain.encoder, plain.decoder)


@functools.cache
def real_digits() -> tuple[Tensor, dict]:
    """The classifier's features of DRAWN test digits, and the Frechet distance and the sharpness of
    as many training digits.
    """
    data, classifier = mnist(None), weights.load("digit_classifier")
    n = min(DRAWN, len(data.test), len(data.train))
    with own_randomness(torch.device("cpu"), seed=0):
        real, again = (
            part[torch.randperm(len(part))[:n]].tensor() for part in (data.test, data.train)
        )
    features = classifier.features(real)
    distance = frechet(classifier.features(again), features)
    return features, {
        "frechet": round(distance, 3),
        "sharpness": round(measure.sharpness(again), 3),
        "n": n,
    }


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [({"model": name}, seed) for seed in SEEDS for name in PRIORS]


def run(setting: dict, seed: int) -> dict:
    """Train a `prior_model`. On DIGITS test digits: `measure.likelihood`, and the KL in nats; of
    decoded draws (means): the Frechet distance from `real_digits`, and the sharpness.
    """
    data, (real, _) = mnist("dynamic"), real_digits()
    model = prior_model(setting["model"])
    history = finished(fit(model, data.train, **SETTINGS, seed=seed, progress=False))
    results = measure.likelihood(model, data._replace(test=data.test[:DIGITS]), SAMPLES)
    torch.manual_seed(seed)
    with torch.no_grad():
        x = data.test[:DIGITS].tensor()
        kl = torch.cat([model.objective(rows)[1]["kl"] for rows in x.split(500)])
        means = model.decoder(model.prior.sample((len(real),))).mean
    distance = frechet(weights.load("digit_classifier").features(means), real)
    return {
        "stopped": history.stopped,
        **results,
        "kl": round(kl.mean().item(), 3),
        "frechet": round(distance, 3),
        "sharpness": round(measure.sharpness(means), 3),
    }


def table(rows: list[dict]) -> dict:
    data, (_, digits) = mnist("dynamic"), real_digits()
    return {
        "about": __doc__.rstrip("."),
        "data": (
            f"{len(data.train):,} training and {len(data.test):,} test digits, binarised"
            " dynamically"
        ),
        "settings": SETTINGS | {"S": SAMPLES, "digits": DIGITS, "drawn": digits["n"]},
        "torch": torch.__version__,
        "digits": digits,
        "rows": rows,
    }
