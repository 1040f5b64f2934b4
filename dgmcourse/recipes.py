"""How each shipped weight was made, and how to get it back: `python -m dgmcourse train NAME` makes
it again.

A weight is a .safetensors file in dgmcourse/weights with parameters in half precision, or 8 bits
where that is too large (what they measure is measured after rounding), and, in its header, the
recipe, seed, data, training curve, result and hash.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).parent / "weights"
CURVE = (
    "elbo",
    "kl",
    "log_p",
    "log_p_y",
    "cost",
    "discrepancy",
    "valid",
)  # of a training, what its card keeps
CURVE_POINTS = 50  # of a game, whose running curve stands for it
SAMPLES = 10_000  # as many as there are test digits, for distances between samples
BLOCK, SCALE = 32, ".scale"  # numbers of 8 bits that share a scale, and how its tensor is named
FROM_PRIOR = 200_000  # samples of z for a model without an encoder, where 5,000 are far too few


@dataclass(frozen=True)
class Recipe:
    """What `train.fit`, or `play.play` for a game of two, needs to make one weight, and one line on
    what it is.
    """

    about: str
    model: Callable[[], nn.Module]
    data: Callable[[], tuple]
    settings: dict
    seed: int = 0
    source: str = ""
    layers: str = ""  # of latent variables, and `prior`: the model's row in the table of `source`
    prior: str = ""
    published: float | None = (
        None  # test NLL there, nats, as the course knows it: not checked against the print
    )
    measure: Callable | None = None  # (model, data, S) -> dict; `measure_likelihood` if None
    game: bool = False
    bits: int = 16  # of a parameter in its file, or 8 (`packed`)


def dynamic_mnist():
    from dgmcourse.data.images import mnist

    return mnist("dynamic")


def grey_mnist():
    from dgmcourse.data.images import mnist

    return mnist(None)


def ring_of_eight():
    from dgmcourse.data.toy import ring_of_gaussians

    return ring_of_gaussians()


def density_network(**settings) -> nn.Module:
    from dgmcourse.models.density_network import DensityNetwork

    return DensityNetwork(**settings)


def vae(latent_dim: int) -> nn.Module:
    from dgmcourse.models import VAE

    return VAE(latent_dim)


def made(module: str, name: str, **settings) -> nn.Module:
    """dgmcourse.models.MODULE.NAME(**settings): a model's file is read when it is made."""
    from importlib import import_module

    return getattr(import_module(f"dgmcourse.models.{module}"), name)(**settings)


def flow_vae(
    posterior: str, steps: int, latent_dim: int = 40, hidden: int = 300, features: int = 100
) -> nn.Module:
    """The VAE with a posterior that is "diagonal" (0 steps), "planar", "Householder" or "inverse
    autoregressive".
    """
    from dgmcourse.densities import BernoulliConditional, StandardGaussian
    from dgmcourse.models.householder_flow import HouseholderFlow
    from dgmcourse.models.inverse_autoregressive_flow import autoregressive_flows
    from dgmcourse.models.latent_variable_model import LatentVariableModel
    from dgmcourse.models.normalizing_flow import FlowConditional
    from dgmcourse.models.planar_flow import PlanarFlow
    from dgmcourse.networks import gated_mlp

    if posterior == "diagonal":
        return made("vae", "VAE", latent_dim=latent_dim, hidden=hidden)
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


def flow_run(
    posterior: str, steps: int, seed: int, data, state: Path, settings: dict, digits: int, S: int
) -> dict:
    """Train one `flow_vae` and measure it, nats: the ELBO on all test digits; on the first `digits`
    of them the NLL with S samples and its distance from the ELBO there. Broken, it goes on from
    `state`.
    """
    from dgmcourse.evaluate import active_units, log_likelihood
    from dgmcourse.train import fit, own_randomness

    torch.manual_seed(seed)
    model, began = flow_vae(posterior, steps), time.process_time()
    history = fit(
        model, data.train, **settings, seed=seed, checkpoint=state, resume=True, progress=False
    )
    if history.stopped != "finished":
        raise KeyboardInterrupt(
            f"stopped after {len(history.epochs)} epochs; the same command goes on from {state}"
        )
    x = data.test.tensor()
    few = x[:digits]
    with torch.no_grad(), own_randomness(x.device, seed=0):
        elbo = torch.cat([model.log_weight(rows, (5,)).mean(0) for rows in x.split(1000)])
        elbo_of_few = torch.cat([model.log_weight(rows, (50,)).mean(0) for rows in few.split(100)])
        log_p = log_likelihood(model, few, S)
    row = {"posterior": posterior, "T": steps, "seed": seed, "epochs": len(history.epochs)}
    for name, values in (("elbo", elbo), ("nll", -log_p), ("gap", log_p - elbo_of_few)):
        row |= {
            name: round(values.mean().item(), 3),
            f"{name}_se": round(values.std().item() / len(values) ** 0.5, 3),
        }
    row |= {
        "active_units": int(active_units(model, x[:2000]).sum()),
        "train_elbo": round(history["elbo"][-1], 3),
    }
    return row | {
        "seconds": round(time.process_time() - began)
    }  # the processor's, of training and measuring


def halved(x: torch.Tensor) -> torch.Tensor:
    """28x28 bytes, (N, 784), as 14x14 grey values in [0, 1], (N, 196): the mean of each 2x2."""
    return x.reshape(-1, 14, 2, 14, 2).float().mean((2, 4)).flatten(1) / 255


def small_pixelvae(reach: int, latent_dim: int = 8, hidden: int = 100) -> nn.Module:
    """A PixelVAE of 14x14 pixels whose decoder sees `reach` rows up; with 0 rows nothing but z, by
    the same network.
    """
    from dgmcourse.densities import GaussianConditional, StandardGaussian
    from dgmcourse.models.gated_pixelcnn import GatedPixelNet
    from dgmcourse.models.latent_variable_model import LatentVariableModel
    from dgmcourse.models.pixelcnn import PixelConditional
    from dgmcourse.networks import gated_mlp

    class Blind(GatedPixelNet):
        def forward(self, x, given=None):
            return super().forward(torch.zeros_like(x), given)

    net = (GatedPixelNet if reach else Blind)(8, max(reach - 1, 0), 3, shape=(14, 14))
    return LatentVariableModel(
        StandardGaussian(latent_dim),
        GaussianConditional(gated_mlp([196, hidden, 2 * latent_dim])),
        PixelConditional(net, gated_mlp([latent_dim, hidden, net.given_dim])),
    )


def pixel_run(
    reach: int,
    free: float,
    seed: int,
    data,
    digits: int,
    epochs: int,
    batch: int,
    lr: float,
    S: int,
) -> dict:
    """Train one `small_pixelvae` on so many digits, binarised anew at every visit, with `free` nats
    a dimension that cost nothing, the learning rate falling to 0 over the second half; its KL and
    ELBO on 1,000 test digits and its NLL on 400.
    """
    from dgmcourse.evaluate import active_units, log_likelihood
    from dgmcourse.models.pixelvae import free_bits
    from dgmcourse.train import Adam, maximise

    torch.manual_seed(seed)
    model, grey, began = small_pixelvae(reach), halved(data.train.x[:digits]), time.process_time()
    objective, optimiser = (
        free_bits(model, free) if free else model.objective,
        Adam(model.parameters(), lr=lr, fused=True),
    )
    steps, step = epochs * len(grey) // batch, 0
    for _ in range(epochs):
        for i in torch.randperm(len(grey)).split(batch):
            optimiser.param_groups[0]["lr"] = lr * min(1, 2 * (1 - step / steps))
            maximise(objective(torch.bernoulli(grey[i]))[0], optimiser)
            step += 1
    x = torch.bernoulli(halved(data.test.x[:1000]), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        parts = [model.objective(x)[1] for _ in range(5)]
        log_p = log_likelihood(model, x[:400], S)
    row = {"reach": reach, "free_bits": free, "seed": seed}
    row |= {
        name: round(torch.stack([part[name] for part in parts]).mean().item(), 3)
        for name in ("kl", "elbo")
    }
    row |= {"nll": round(-log_p.mean().item(), 3), "active": int(active_units(model, x).sum())}
    return row | {"seconds": round(time.process_time() - began, 1)}


def prior_model(
    name: str, latent_dim: int = 10, hidden: int = 100, components: int = 100
) -> nn.Module:
    """A small VAE whose prior is trained with it, by its name in `studies.PRIORS`."""
    from dgmcourse.densities import StandardGaussian
    from dgmcourse.models.inverse_autoregressive_flow import autoregressive_flows
    from dgmcourse.models.latent_variable_model import LatentVariableModel
    from dgmcourse.models.normalizing_flow import FlowDensity

    if name.startswith("two layers"):
        pseudo = components if "VampPrior" in name else None
        return made(
            "hierarchical_vae",
            "HierarchicalVAE",
            latent_dim=latent_dim,
            hidden=hidden,
            components=pseudo,
        )
    plain = made("vae", "VAE", latent_dim=latent_dim, hidden=hidden)
    prior = {
        "standard normal": lambda: plain.prior,
        "mixture of Gaussians": lambda: made(
            "mixture_prior", "MixturePrior", dim=latent_dim, components=components
        ),
        "autoregressive": lambda: made(
            "autoregressive_prior",
            "AutoregressivePrior",
            dim=latent_dim,
            hidden=(hidden,),
            components=3,
        ),
        "autoregressive flow": lambda: FlowDensity(
            StandardGaussian(latent_dim), autoregressive_flows(latent_dim, 4, (hidden,))
        ),
        "VampPrior": lambda: made(
            "vamp_prior", "VampPrior", encoder=plain.encoder, data_dim=784, components=components
        ),
    }[name]()
    return LatentVariableModel(prior, plain.encoder, plain.decoder)


def sharpness(x: torch.Tensor) -> float:
    """Squared differences of neighbouring pixels of 28x28 images (N, 784), summed over an image,
    averaged over images.
    """
    x = x.unflatten(-1, (28, 28))
    across, down = x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1]
    return ((across**2).sum((1, 2)) + (down**2).sum((1, 2))).mean().item()


def real_digits(count: int) -> tuple[torch.Tensor, dict]:
    """The classifier's features of so many test digits, and what as many training digits measure
    against them.
    """
    from dgmcourse.distances import frechet

    data, classifier = grey_mnist(), load("digit_classifier")
    torch.manual_seed(0)
    count = min(count, len(data.test), len(data.train))
    real, again = (
        part[torch.randperm(len(part))[:count]].tensor() for part in (data.test, data.train)
    )
    features = classifier.features(real)
    distance = frechet(classifier.features(again), features)
    return features, {
        "n": count,
        "frechet": round(distance, 3),
        "sharpness": round(sharpness(again), 3),
    }


def prior_run(
    name: str, seed: int, data, settings: dict, digits: int, S: int, real: torch.Tensor
) -> dict:
    """Train one `prior_model` and measure it: the first `digits` test digits with
    `measure_likelihood`, their KL in nats; and of decoded draws (means) the Frechet distance from
    `real`, the classifier's features of as many test digits, and the sharpness.
    """
    from dgmcourse.distances import frechet
    from dgmcourse.train import fit

    torch.manual_seed(seed)
    model = prior_model(name)
    history = fit(model, data.train, **settings, seed=seed, progress=False)
    results = measure_likelihood(model, data._replace(test=data.test[:digits]), S)
    torch.manual_seed(seed)
    with torch.no_grad():
        kl = (
            torch.cat([model.objective(x)[1]["kl"] for x in data.test[:digits].tensor().split(500)])
            .mean()
            .item()
        )
        means = model.decoder(model.prior.sample((len(real),))).mean
    distance = frechet(load("digit_classifier").features(means), real)
    measured = {
        "kl": round(kl, 3),
        "frechet": round(distance, 3),
        "sharpness": round(sharpness(means), 3),
    }
    return {"model": name, "seed": seed, "stopped": history.stopped, **results, **measured}


def squared_error_vae(latent_dim: int) -> nn.Module:
    """The VAE with the Wasserstein auto-encoder's networks and, up to its scale, its cost."""
    from dgmcourse.densities import (
        GaussianConditional,
        IsotropicGaussianConditional,
        StandardGaussian,
    )
    from dgmcourse.models.latent_variable_model import LatentVariableModel
    from dgmcourse.networks import conv_decoder, conv_encoder

    return LatentVariableModel(
        StandardGaussian(latent_dim),
        GaussianConditional(conv_encoder(2 * latent_dim), (-10.0, 2.0)),
        IsotropicGaussianConditional(nn.Sequential(conv_decoder(latent_dim), nn.Sigmoid())),
    )


def measure_accuracy(model: nn.Module, data, S=None) -> dict:
    """A classifier's share of right answers on the test set, with its standard error."""
    test = data.test.to(next(model.parameters()).device)
    right = (model.classify(test.tensor()) == test.y).double()
    error = right.std().item() / len(right) ** 0.5
    return {
        "test_accuracy": round(right.mean().item(), 4),
        "test_accuracy_se": round(error, 4),
        "n": len(right),
    }


def measure_samples(
    model: nn.Module, data, S: int | None = None, draw: Callable | None = None
) -> dict:
    """Distances between S samples (10,000) and as many test images, and between training images and
    the same, which is the best one can do: sliced Wasserstein in pixels, Frechet in the features of
    `digit_classifier`; and how the classifier's digits of the samples are spread: the total
    variation from the test set's own.
    """
    from dgmcourse.distances import frechet, sliced_wasserstein
    from dgmcourse.train import own_randomness

    device = next(model.parameters()).device
    real = data.test.to(device).tensor()
    S = min(S or SAMPLES, len(real), len(data.train))
    classifier = load("digit_classifier").to(device)
    with own_randomness(device, seed=0):
        drawn = torch.cat([(draw or model.sample)(min(1000, S - at)) for at in range(0, S, 1000)])
        real, again = (
            real[torch.randperm(len(real))[:S]],
            data.train.to(device)[torch.randperm(len(data.train))[:S]].tensor(),
        )

    def seen(x):
        features = classifier.features(x)
        return features, torch.bincount(classifier.head(features).argmax(-1), minlength=10) / len(x)

    results, (features_real, spread_real) = {}, seen(real)
    for prefix, x in (("", drawn), ("real_", again)):
        features, spread = seen(x)
        results |= {
            f"{prefix}sliced_wasserstein": round(sliced_wasserstein(x, real), 4),
            f"{prefix}frechet": round(frechet(features, features_real), 3),
            f"{prefix}class_distance": round(0.5 * (spread - spread_real).abs().sum().item(), 4),
        }
    return results | {"n": S}


def measure_autoencoder(model: nn.Module, data, S: int | None = None) -> dict:
    """The samples' distances, and the mean squared error of reconstructed test images, summed over
    pixels.

    Samples are the decoder's means, as one shows them: a VAE's own have noise on every pixel, which
    is all a distance sees.
    """
    x = data.test.to(next(model.parameters()).device).tensor()
    errors = torch.cat([((model.reconstruct(rows) - rows) ** 2).sum(-1) for rows in x.split(1000)])
    means = lambda n: model.decoder(model.prior.sample((n,))).mean.detach()  # noqa: E731
    return measure_samples(model, data, S, means) | {
        "reconstruction_error": round(errors.mean().item(), 3)
    }


def measure_exact(model: nn.Module, data, S=None) -> dict:
    """Test log-likelihood with its standard error over the examples, nats, of a model that has it
    exactly.
    """
    x = data.test.to(next(model.parameters()).device).tensor()
    with torch.no_grad():
        log_p = torch.cat([model.log_prob(rows) for rows in x.split(500)])
    return {
        "test_nll": round(-log_p.mean().item(), 3),
        "test_nll_se": round(log_p.std().item() / len(x) ** 0.5, 3),
        "n": len(x),
    }


def measure_pixelvae(model: nn.Module, data, S: int | None = None) -> dict:
    """`measure_likelihood` with S = 30, for each z takes a pass of a convolutional decoder at full
    size. The NLL is at most this. Few rows at a time, whose maps of features stay in the
    processor's cache, take less time.
    """
    return measure_likelihood(model, data, S or 30, rows=60)


# Batch, learning rate and warm-up are the VampPrior paper's. It keeps the rate for up to 2000
# epochs and stops when the validation bound has not improved for 50; lowering the rate instead
# gained 1.4 nats in 8 epochs where we tried it.
SETTINGS = {"batch_size": 100, "lr": 5e-4, "mixed_precision": True}

BETTER_PRIOR = SETTINGS | {"epochs": 1000, "warm_up": 100, "anneal": 500}
CONVOLUTIONAL = SETTINGS | {
    "lr": 1e-3,
    "epochs": 120,
    "warm_up": 30,
    "anneal": 60,
}  # what two hours of a processor's core allow

GAME = {
    "batch_size": 64,
    "lr": 2e-4,
    "mixed_precision": True,
}  # DCGAN's; Adam's beta1 = 0.5 is `play.adam`
AUTOENCODER = {"batch_size": 100, "lr": 1e-3, "epochs": 12, "anneal": 8, "mixed_precision": True}

PIXELS = {"batch_size": 50, "lr": 3e-3, "epochs": 4, "anneal": 4, "mixed_precision": True}

RECIPES = {
    "vae_2d": Recipe(
        about=(
            "VAE with 2 latent dimensions on dynamically binarised MNIST: a latent space one can"
            " look at"
        ),
        model=lambda: vae(2),
        data=dynamic_mnist,
        settings=SETTINGS | {"epochs": 150, "warm_up": 10, "anneal": 75},
        source="Kingma & Welling 2014",
    ),
    "vae_40d": Recipe(
        about=(
            "VAE with 40 latent dimensions on dynamically binarised MNIST: the VampPrior paper's"
            " standard-prior VAE"
        ),
        model=lambda: vae(40),
        data=dynamic_mnist,
        settings=SETTINGS | {"epochs": 800, "warm_up": 100, "anneal": 350},
        source="Tomczak & Welling 2017, arXiv:1705.07120",
        layers="one",
        prior="standard normal",
        published=84.50,
    ),
    "vamp_vae": Recipe(
        about="vae_40d's networks with a VampPrior of 500 pseudo-inputs",
        model=lambda: made("vamp_prior", "VampVAE"),
        data=dynamic_mnist,
        settings=BETTER_PRIOR,
        source="Tomczak & Welling 2017, arXiv:1705.07120",
        layers="one",
        prior="VampPrior",
        published=82.38,
    ),
    "hvae": Recipe(
        about="VAE with two layers of 40 latent dimensions and a standard prior on the upper one",
        model=lambda: made("hierarchical_vae", "HierarchicalVAE"),
        data=dynamic_mnist,
        settings=BETTER_PRIOR,
        source="Tomczak & Welling 2017, arXiv:1705.07120",
        layers="two",
        prior="standard normal",
        published=82.42,
        bits=8,
    ),
    "vamp_hvae": Recipe(
        about="hvae with a VampPrior of 500 pseudo-inputs on the upper layer",
        model=lambda: made("hierarchical_vae", "HierarchicalVAE", components=500),
        data=dynamic_mnist,
        settings=BETTER_PRIOR,
        source="Tomczak & Welling 2017, arXiv:1705.07120",
        layers="two",
        prior="VampPrior",
        published=81.24,
        bits=8,
    ),
    "conv_hvae": Recipe(
        about="hvae with convolutional networks, trained shorter",
        model=lambda: made("hierarchical_vae", "ConvHierarchicalVAE", channels=24),
        data=dynamic_mnist,
        settings=CONVOLUTIONAL,
        source="Tomczak & Welling 2017, arXiv:1705.07120",
        layers="two, convolutional",
        prior="standard normal",
        published=80.40,
        bits=8,
    ),
    "vamp_conv_hvae": Recipe(
        about="conv_hvae with a VampPrior of 500 pseudo-inputs on the upper layer",
        model=lambda: made("hierarchical_vae", "ConvHierarchicalVAE", channels=24, components=500),
        data=dynamic_mnist,
        settings=CONVOLUTIONAL,
        source="Tomczak & Welling 2017, arXiv:1705.07120",
        layers="two, convolutional",
        prior="VampPrior",
        published=79.75,
        bits=8,
    ),
    "pixelcnn": Recipe(
        about="PixelCNN of 7 masked layers on dynamically binarised MNIST, with its blind spot",
        model=lambda: made("pixelcnn", "PixelCNN", net=made("pixelcnn", "PixelNet")),
        data=dynamic_mnist,
        settings=PIXELS,
        source="van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759",
        measure=measure_exact,
    ),
    "gated_pixelcnn": Recipe(
        about=(
            "gated PixelCNN of 7 layers, with fewer parameters than pixelcnn and the same reach, on"
            " the same digits"
        ),
        model=lambda: made("pixelcnn", "PixelCNN", net=made("gated_pixelcnn", "GatedPixelNet")),
        data=dynamic_mnist,
        settings=PIXELS,
        source="van den Oord et al. 2016, arXiv:1606.05328",
        measure=measure_exact,
    ),
    "pixelvae": Recipe(
        about=(
            "PixelVAE with 16 latent dimensions, whose decoder sees 4 rows up, on the same digits"
        ),
        model=lambda: made("pixelvae", "PixelVAE"),
        data=dynamic_mnist,
        settings=PIXELS | {"lr": 2e-3, "epochs": 7, "anneal": 6, "warm_up": 2},
        source="Gulrajani et al. 2016, arXiv:1611.05013",
        measure=measure_pixelvae,
    ),
    "density_network_2d": Recipe(
        about=(
            "density network with vae_2d's decoder, trained on 1,000 samples of z a step, on the"
            " same digits"
        ),
        model=lambda: density_network(latent_dim=2, samples=1000),
        data=dynamic_mnist,
        settings={
            "batch_size": 250,
            "lr": 1e-3,
            "mixed_precision": True,
            "epochs": 200,
            "anneal": 150,
        },
        source="MacKay 1995",
    ),
    "digit_classifier": Recipe(
        about=(
            "convolutional classifier of digits, in whose features generated ones are compared with"
            " real ones"
        ),
        model=lambda: made("classifier", "DigitClassifier"),
        data=grey_mnist,
        settings={"batch_size": 100, "lr": 1e-3, "epochs": 8, "anneal": 6, "mixed_precision": True},
        measure=measure_accuracy,
    ),
    "gan": Recipe(
        about="feed-forward GAN on grey MNIST",
        model=lambda: made("gan", "ImageGAN"),
        data=grey_mnist,
        settings=GAME | {"epochs": 30},
        source="Goodfellow et al. 2014",
        measure=measure_samples,
        game=True,
    ),
    "dcgan": Recipe(
        about="deep convolutional GAN on grey MNIST",
        model=lambda: made("dcgan", "DCGAN"),
        data=grey_mnist,
        settings=GAME | {"epochs": 12},
        source="Radford, Metz & Chintala 2015, arXiv:1511.06434",
        measure=measure_samples,
        game=True,
    ),
    "acgan": Recipe(
        about="auxiliary classifier GAN on grey MNIST: digits by class and style",
        model=lambda: made("auxiliary_classifier_gan", "AuxiliaryClassifierGAN"),
        data=grey_mnist,
        settings=GAME | {"epochs": 12},
        source="Odena, Olah & Shlens 2016, arXiv:1610.09585",
        measure=measure_samples,
        game=True,
    ),
    "bigan": Recipe(
        about="bidirectional GAN on grey MNIST, all feed-forward: a GAN with an encoder",
        model=lambda: made("bidirectional_gan", "BidirectionalGAN"),
        data=grey_mnist,
        settings=GAME | {"epochs": 30, "batch_size": 128},
        source="Donahue, Kraehenbuehl & Darrell 2016, arXiv:1605.09782",
        measure=measure_samples,
        game=True,
    ),
    "wae_mmd": Recipe(
        about="Wasserstein auto-encoder on grey MNIST, 8 latent dimensions, with the MMD penalty",
        model=lambda: made("wasserstein_autoencoder", "WassersteinAutoEncoder"),
        data=grey_mnist,
        settings=AUTOENCODER,
        source="Tolstikhin et al. 2018, arXiv:1711.01558",
        measure=measure_autoencoder,
    ),
    "wae_gan": Recipe(
        about=(
            "Wasserstein auto-encoder on grey MNIST, 8 latent dimensions, with an adversary in the"
            " latent space"
        ),
        model=lambda: made("wasserstein_autoencoder", "AdversarialWAE"),
        data=grey_mnist,
        settings={"batch_size": 100, "lr": (5e-4, 1e-3), "epochs": 12, "mixed_precision": True},
        source="Bousquet et al. 2017, arXiv:1705.07642; Tolstikhin et al. 2018, arXiv:1711.01558",
        measure=measure_autoencoder,
        game=True,
    ),
    "vae_8d": Recipe(
        about=(
            "VAE on grey MNIST with the networks and the squared error of the Wasserstein"
            " auto-encoders"
        ),
        model=lambda: squared_error_vae(8),
        data=grey_mnist,
        settings=AUTOENCODER,
        source="Kingma & Welling 2014",
        measure=measure_autoencoder,
    ),
}


def recipe(name: str) -> Recipe:
    """The recipe of that name; a KeyError that lists the names there are."""
    if name not in RECIPES:
        raise KeyError(f"no recipe {name!r}: there are {', '.join(RECIPES)}")
    return RECIPES[name]


def load(name: str) -> nn.Module:
    """The trained model of that name, in evaluation mode, float32, on the CPU.

    Raises:
        KeyError: for a name that is not in RECIPES.
        FileNotFoundError: if its weight was not trained yet.
        ValueError: if the file is not the one that was written (its hash differs).
    """
    from dgmcourse.train import own_randomness

    with own_randomness(
        torch.device("cpu")
    ):  # the random parameters it is made with are not meant to stay
        model = recipe(name).model()
    tensors, _ = read(name)
    model.load_state_dict(unpacked(tensors))
    return model.eval()


def card(name: str) -> dict:
    """What the weight's header says: recipe, settings, seed, data, curve, results (nats), hash.
    Errors as in `load`.
    """
    return read(name)[1]


def study(name: str) -> dict:
    """The table of a measured study (`dgmcourse.studies`): its "rows", dictionaries, and what they
    were had with.

    Raises:
        FileNotFoundError: if there is none of that name.
    """
    path = WEIGHTS / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: python -m dgmcourse.studies {name} makes it")
    return json.loads(path.read_text())


def claims() -> list[dict]:
    """What each notebook found of the lecture's claims: rows {notebook, claim, cell, lecture,
    measured}, from its closing table.

    `cell` is the id of the cell that measured it. `notebooks/build.py` writes them.
    """
    return json.loads((WEIGHTS / "claims.json").read_text(encoding="utf-8"))


def notebooks() -> list[dict]:
    """What each notebook says of itself: rows {notebook, title, about, slides, minutes}; where it
    has them, part and question of the course's map, and weights, {name: family}.

    `notebooks/build.py` collects them from the headers of the notebooks' sources.
    """
    return json.loads((WEIGHTS / "notebooks.json").read_text(encoding="utf-8"))


def train(
    name: str,
    out: os.PathLike | str = WEIGHTS,
    device=None,
    epochs: int | None = None,
    resume: bool = True,
) -> Path:
    """Train a weight by its recipe, measure it on the test set and write it to `out`. Interrupted,
    it can go on.
    """
    from dgmcourse.play import play
    from dgmcourse.train import fit

    chosen = recipe(name)
    data = chosen.data()
    torch.manual_seed(chosen.seed)
    model = chosen.model()
    settings = chosen.settings | ({"epochs": epochs} if epochs else {})
    state = Path("runs") / f"{name}.pt"
    more = {"seed": chosen.seed, "device": device, "checkpoint": state, "resume": resume}
    if chosen.game:
        history = play(model, data.train, **settings, **more)
    else:
        history = fit(model, data.train, data.valid, **settings, **more)
    if history.stopped.startswith("diverged"):
        raise ArithmeticError(f"{name}: the game {history.stopped}; nothing was written")
    if history.stopped == "interrupted":
        raise KeyboardInterrupt(
            f"stopped after {len(history.epochs)} epochs; the same command goes on from {state}"
        )
    tensors = packed(model.state_dict(), chosen.bits)
    model.load_state_dict(unpacked(tensors))  # measure what is shipped
    facts = {
        "name": name,
        "about": chosen.about,
        "source": chosen.source,
        "settings": settings,
        "seed": chosen.seed,
        "data": (
            f"{len(data.train):,} training, {len(data.valid):,} validation and {len(data.test):,}"
            " test examples"
        ),
        "torch": torch.__version__,
        "epochs_trained": len(history.epochs),
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "seconds": round(sum(history["seconds"])),
        "curve": curve(history),
        "hash": digest(tensors),
        "results": (chosen.measure or measure_likelihood)(model.eval(), data, None),
    }
    return write(tensors, facts, Path(out) / f"{name}.safetensors")


def evaluate(name: str, S: int | None = None, device=None) -> dict:
    """Measure a shipped weight again on its test set: {"test_nll", "test_nll_se", "test_elbo",
    ...}, nats.
    """
    from dgmcourse.train import available

    chosen = recipe(name)
    return (chosen.measure or measure_likelihood)(
        load(name).to(available(device or "cpu")), chosen.data(), S
    )


def curve(history) -> dict[str, list[float]]:
    """What the card keeps of a training: the epochs' parts, or some points of a game's running
    curve.
    """
    rows = (
        history.epochs
        if history.epochs[0].keys() & set(CURVE)
        else history.steps[:: -(-len(history.steps) // CURVE_POINTS)]
    )
    names = [name for name in rows[-1] if name in CURVE or rows is not history.epochs]
    return {name: [round(row[name], 2) for row in rows] for name in names}


def measure_likelihood(model: nn.Module, data, S: int | None = None, rows: int = 500) -> dict:
    """Test log-likelihood with its standard error over the examples, nats; with an encoder, by
    importance sampling (S = 5,000), and the bound and the active units, too; without one, by S =
    200,000 samples of the prior.
    """
    from dgmcourse.evaluate import active_units, log_likelihood, log_likelihood_from_prior
    from dgmcourse.train import own_randomness

    device = next(model.parameters()).device
    x = data.test.to(device).tensor()
    with own_randomness(device, seed=0):
        if hasattr(model, "encoder"):
            S = S or 5000
            elbo = (
                torch.cat([model.log_weight(part).detach() for part in x.split(2 * rows)])
                .mean()
                .item()
            )
            log_p = log_likelihood(model, x, S, rows=rows, progress=True)
            more = {"test_elbo": round(elbo, 3), "active_units": int(active_units(model, x).sum())}
        else:
            S, more = S or FROM_PRIOR, {}
            log_p = log_likelihood_from_prior(model, x, S)
    nll = {
        "test_nll": round(-log_p.mean().item(), 3),
        "test_nll_se": round(log_p.std().item() / len(x) ** 0.5, 3),
    }
    return nll | more | {"S": S, "n": len(x)}


def packed(parameters: dict[str, torch.Tensor], bits: int = 16) -> dict[str, torch.Tensor]:
    """What a file holds: half precision, or, in 8 bits, each 32 numbers of a matrix as whole ones
    up to 127 times one scale.

    That is 8.5 bits a number; what they measure afterwards was 0.00 to 0.02 nats worse for the VAEs
    of 07 and 11.
    """
    tensors = {}
    for name, values in parameters.items():
        values = values.detach().cpu()
        if bits == 16 or values.dim() < 2:
            tensors[name] = values.half()
            continue
        blocks = nn.functional.pad(values.flatten(), (0, -values.numel() % BLOCK)).view(-1, BLOCK)
        scale = (blocks.abs().amax(1, keepdim=True) / 127).clamp(min=1e-7).half()
        whole = (blocks / scale.float()).round().clamp(-127, 127).to(torch.int8)
        tensors[name], tensors[name + SCALE] = (
            whole.flatten()[: values.numel()].view(values.shape),
            scale.flatten(),
        )
    return tensors


def unpacked(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The parameters of a file, float32."""
    parameters = {
        name: values.float() for name, values in tensors.items() if not name.endswith(SCALE)
    }
    for name, values in parameters.items():
        if name + SCALE in tensors:
            scale = tensors[name + SCALE].float().repeat_interleave(BLOCK)[: values.numel()]
            parameters[name] = values * scale.view(values.shape)
    return parameters


def write(tensors: dict[str, torch.Tensor], facts: dict, path: Path) -> Path:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"card": json.dumps(facts)})
    return path


def read(name: str) -> tuple[dict[str, torch.Tensor], dict]:
    """What a weight's file holds, compared with its hash, and its card."""
    from safetensors import SafetensorError, safe_open

    path, whole = weight_path(name), False
    with contextlib.suppress(
        SafetensorError, ValueError, KeyError, TypeError
    ):  # what a damaged header gives
        with safe_open(path, "pt") as file:
            tensors, facts = (
                {k: file.get_tensor(k) for k in file.keys()},
                json.loads(file.metadata()["card"]),
            )
        whole = digest(tensors) == facts["hash"] and all(
            t.dtype in (torch.half, torch.int8) for t in tensors.values()
        )
    if not whole:
        raise ValueError(
            f"{path} is damaged: its parameters do not have the hash in its header. Fetch the file"
            " again."
        )
    return tensors, facts


def weight_path(name: str) -> Path:
    recipe(name)
    path = WEIGHTS / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: python -m dgmcourse train {name} makes it")
    return path


def digest(tensors: dict[str, torch.Tensor]) -> str:
    """sha256 over the parameters' names, shapes and bytes."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(f"{name} {tuple(tensors[name].shape)}".encode())
        total.update(tensors[name].contiguous().numpy().tobytes())
    return total.hexdigest()
