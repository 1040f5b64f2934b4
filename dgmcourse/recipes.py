"""How each shipped weight was made, and how to get it back: `python -m dgmcourse train NAME` makes it again.

A weight is a .safetensors file in dgmcourse/weights with parameters in half precision (what they measure is measured after
rounding) and, in its header, the recipe, seed, data, training curve, result and hash.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).parent / "weights"
CURVE = ("elbo", "kl", "log_p", "log_p_y", "cost", "discrepancy", "valid")  # of a training, what its card keeps
CURVE_POINTS = 50  # of a game, whose running curve stands for it
SAMPLES = 10_000  # as many as there are test digits, for distances between samples
FROM_PRIOR = 200_000  # samples of z for a model without an encoder, where 5,000 are far too few


@dataclass(frozen=True)
class Recipe:
    """What `train.fit`, or `play.play` for a game of two, needs to make one weight, and one line on what it is."""

    about: str
    model: Callable[[], nn.Module]
    data: Callable[[], tuple]
    settings: dict
    seed: int = 0
    source: str = ""
    results: dict = field(default_factory=dict)
    measure: Callable | None = None  # (model, data, S) -> dict; `measure_likelihood` if None
    game: bool = False


def dynamic_mnist():
    from dgmcourse.data.images import mnist

    return mnist("dynamic")


def grey_mnist():
    from dgmcourse.data.images import mnist

    return mnist(None)


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


def squared_error_vae(latent_dim: int) -> nn.Module:
    """The VAE with the Wasserstein auto-encoder's networks and, up to its scale, its cost."""
    from dgmcourse.densities import GaussianConditional, IsotropicGaussianConditional, StandardGaussian
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
    return {"test_accuracy": round(right.mean().item(), 4), "test_accuracy_se": round(error, 4), "n": len(right)}


def measure_samples(model: nn.Module, data, S: int | None = None, draw: Callable | None = None) -> dict:
    """Distances between S samples (10,000) and as many test images, and between training images and the same, which is the
    best one can do: sliced Wasserstein in pixels, Frechet in the features of `digit_classifier`; and how the classifier's
    digits of the samples are spread: the total variation from the test set's own."""
    from dgmcourse.distances import frechet, sliced_wasserstein
    from dgmcourse.train import own_randomness

    device = next(model.parameters()).device
    real = data.test.to(device).tensor()
    S = min(S or SAMPLES, len(real), len(data.train))
    classifier = load("digit_classifier").to(device)
    with own_randomness(device, seed=0):
        drawn = torch.cat([(draw or model.sample)(min(1000, S - at)) for at in range(0, S, 1000)])
        real, again = real[torch.randperm(len(real))[:S]], data.train.to(device)[torch.randperm(len(data.train))[:S]].tensor()

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
    """The samples' distances, and the mean squared error of reconstructed test images, summed over pixels.

    Samples are the decoder's means, as one shows them: a VAE's own have noise on every pixel, which is all a distance sees.
    """
    x = data.test.to(next(model.parameters()).device).tensor()
    errors = torch.cat([((model.reconstruct(rows) - rows) ** 2).sum(-1) for rows in x.split(1000)])
    means = lambda n: model.decoder(model.prior.sample((n,))).mean.detach()  # noqa: E731
    return measure_samples(model, data, S, means) | {"reconstruction_error": round(errors.mean().item(), 3)}


# Batch, learning rate and warm-up are the VampPrior paper's. It keeps the rate for up to 2000 epochs and stops when the
# validation bound has not improved for 50; lowering the rate instead gained 1.4 nats in 8 epochs where we tried it.
SETTINGS = {"batch_size": 100, "lr": 5e-4, "mixed_precision": True}

BETTER_PRIOR = SETTINGS | {"epochs": 400, "warm_up": 100, "anneal": 200}

GAME = {"batch_size": 64, "lr": 2e-4, "mixed_precision": True}  # DCGAN's; Adam's beta1 = 0.5 is `play.adam`
AUTOENCODER = {"batch_size": 100, "lr": 1e-3, "epochs": 12, "anneal": 8, "mixed_precision": True}

RECIPES = {
    "vae_2d": Recipe(
        about="VAE with 2 latent dimensions on dynamically binarised MNIST: a latent space one can look at",
        model=lambda: vae(2),
        data=dynamic_mnist,
        settings=SETTINGS | {"epochs": 150, "warm_up": 10, "anneal": 75},
        source="Kingma & Welling 2014",
    ),
    "vae_40d": Recipe(
        about="VAE with 40 latent dimensions on dynamically binarised MNIST: the VampPrior paper's standard-prior VAE",
        model=lambda: vae(40),
        data=dynamic_mnist,
        settings=SETTINGS | {"epochs": 800, "warm_up": 100, "anneal": 350},
        source="Tomczak & Welling 2017, arXiv:1705.07120",
    ),
    "vamp_vae": Recipe(
        about="vae_40d's networks with a VampPrior of 500 pseudo-inputs",
        model=lambda: made("vamp_prior", "VampVAE"),
        data=dynamic_mnist,
        settings=BETTER_PRIOR,
        source="Tomczak & Welling 2017, arXiv:1705.07120",
    ),
    "hvae": Recipe(
        about="VAE with two layers of 40 latent dimensions and a standard prior on the upper one",
        model=lambda: made("hierarchical_vae", "HierarchicalVAE"),
        data=dynamic_mnist,
        settings=BETTER_PRIOR,
        source="Tomczak & Welling 2017, arXiv:1705.07120",
    ),
    "vamp_hvae": Recipe(
        about="hvae with a VampPrior of 500 pseudo-inputs on the upper layer",
        model=lambda: made("hierarchical_vae", "HierarchicalVAE", components=500),
        data=dynamic_mnist,
        settings=BETTER_PRIOR,
        source="Tomczak & Welling 2017, arXiv:1705.07120",
    ),
    "density_network_2d": Recipe(
        about="density network with vae_2d's decoder, trained on 1,000 samples of z a step, on the same digits",
        model=lambda: density_network(latent_dim=2, samples=1000),
        data=dynamic_mnist,
        settings={"batch_size": 250, "lr": 1e-3, "mixed_precision": True, "epochs": 200, "anneal": 150},
        source="MacKay 1995",
    ),
    "digit_classifier": Recipe(
        about="convolutional classifier of digits, in whose features generated ones are compared with real ones",
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
        about="Wasserstein auto-encoder on grey MNIST, 8 latent dimensions, with an adversary in the latent space",
        model=lambda: made("wasserstein_autoencoder", "AdversarialWAE"),
        data=grey_mnist,
        settings={"batch_size": 100, "lr": (5e-4, 1e-3), "epochs": 12, "mixed_precision": True},
        source="Bousquet et al. 2017, arXiv:1705.07642; Tolstikhin et al. 2018, arXiv:1711.01558",
        measure=measure_autoencoder,
        game=True,
    ),
    "vae_8d": Recipe(
        about="VAE on grey MNIST with the networks and the squared error of the Wasserstein auto-encoders",
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

    with own_randomness(torch.device("cpu")):  # the random parameters it is made with are not meant to stay
        model = recipe(name).model()
    tensors, _ = read(name)
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    return model.eval()


def card(name: str) -> dict:
    """What the weight's header says: recipe, settings, seed, data, curve, results (nats), hash. Errors as in `load`."""
    return read(name)[1]


def study(name: str) -> dict:
    """The table of a measured study (`dgmcourse.studies`): its "rows", dictionaries, and what they were had with.

    Raises:
        FileNotFoundError: if there is none of that name.
    """
    path = WEIGHTS / f"{name}.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: python -m dgmcourse.studies {name} makes it")
    return json.loads(path.read_text())


def train(name: str, out: os.PathLike | str = WEIGHTS, device=None, epochs: int | None = None, resume: bool = True) -> Path:
    """Train a weight by its recipe, measure it on the test set and write it to `out`. Interrupted, it can go on."""
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
        raise KeyboardInterrupt(f"stopped after {len(history.epochs)} epochs; the same command goes on from {state}")
    tensors = {k: v.detach().cpu().half() for k, v in model.state_dict().items()}
    model.load_state_dict({k: v.float() for k, v in tensors.items()})  # measure what is shipped
    facts = {
        "name": name,
        "about": chosen.about,
        "source": chosen.source,
        "settings": settings,
        "seed": chosen.seed,
        "data": f"{len(data.train):,} training, {len(data.valid):,} validation and {len(data.test):,} test examples",
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
    """Measure a shipped weight again on its test set: {"test_nll", "test_nll_se", "test_elbo", ...}, nats."""
    from dgmcourse.train import available

    chosen = recipe(name)
    return (chosen.measure or measure_likelihood)(load(name).to(available(device or "cpu")), chosen.data(), S)


def curve(history) -> dict[str, list[float]]:
    """What the card keeps of a training: the epochs' parts, or some points of a game's running curve."""
    rows = history.epochs if history.epochs[0].keys() & set(CURVE) else history.steps[:: -(-len(history.steps) // CURVE_POINTS)]
    names = [name for name in rows[-1] if name in CURVE or rows is not history.epochs]
    return {name: [round(row[name], 2) for row in rows] for name in names}


def measure_likelihood(model: nn.Module, data, S: int | None = None) -> dict:
    """Test log-likelihood with its standard error over the examples, nats; with an encoder, by importance sampling
    (S = 5,000), and the bound and the active units, too; without one, by S = 200,000 samples of the prior."""
    from dgmcourse.evaluate import active_units, log_likelihood, log_likelihood_from_prior
    from dgmcourse.train import own_randomness

    device = next(model.parameters()).device
    x = data.test.to(device).tensor()
    with own_randomness(device, seed=0):
        if hasattr(model, "encoder"):
            S = S or 5000
            elbo = torch.cat([model.log_weight(rows).detach() for rows in x.split(1000)]).mean().item()
            log_p = log_likelihood(model, x, S, progress=True)
            more = {"test_elbo": round(elbo, 3), "active_units": int(active_units(model, x).sum())}
        else:
            S, more = S or FROM_PRIOR, {}
            log_p = log_likelihood_from_prior(model, x, S)
    nll = {"test_nll": round(-log_p.mean().item(), 3), "test_nll_se": round(log_p.std().item() / len(x) ** 0.5, 3)}
    return nll | more | {"S": S, "n": len(x)}


def write(tensors: dict[str, torch.Tensor], facts: dict, path: Path) -> Path:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"card": json.dumps(facts)})
    return path


def read(name: str) -> tuple[dict[str, torch.Tensor], dict]:
    """A weight's parameters, compared with their hash, and its card."""
    from safetensors import SafetensorError, safe_open

    path, whole = weight_path(name), False
    with contextlib.suppress(SafetensorError, ValueError, KeyError, TypeError):  # what a damaged header gives
        with safe_open(path, "pt") as file:
            tensors, facts = {k: file.get_tensor(k) for k in file.keys()}, json.loads(file.metadata()["card"])
        whole = digest(tensors) == facts["hash"] and all(t.is_floating_point() for t in tensors.values())
    if not whole:
        raise ValueError(f"{path} is damaged: its parameters do not have the hash in its header. Fetch the file again.")
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
