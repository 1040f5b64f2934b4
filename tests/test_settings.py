"""A setting out of its range is refused in one sentence that says what was expected, before anything
is drawn, trained or measured.
"""

import importlib
import inspect
import math
import pkgutil
import types
import typing

import pytest
import torch

from dgmcourse import distances, evaluate, measure, models, optim, play, recipes, studies, train
from dgmcourse.data.toy import ring_of_gaussians
from dgmcourse.densities import GaussianConditional, StandardGaussian
from dgmcourse.models.autoregressive_prior import AutoregressivePrior
from dgmcourse.models.diffusion import NoiseNet
from dgmcourse.models.dilated_text_vae import DilatedNet
from dgmcourse.models.factor_analysis import FactorAnalysis
from dgmcourse.models.gan import GAN
from dgmcourse.models.inverse_autoregressive_flow import InverseAutoregressiveFlow
from dgmcourse.models.markov_random_field import IsingGrid
from dgmcourse.models.pixelcnn import PixelNet
from dgmcourse.models.vae import VAE
from dgmcourse.models.vamp_prior import VampPrior
from dgmcourse.networks import mlp
from dgmcourse.settings import check_interval, check_number, check_whole

# Parts of models that nobody makes alone, and numbers with a sentence of their own.
INNER = {"GatedLayer", "LinearGaussianConditional", "Ancestral", "two_layer_prior", "run_em"}
INNER |= {"Canvas", "Row", "at_a_pixel", "LabelPrior", "Stacked", "DecoderOfLast"}
INNER |= {"receptive_field", "decoder_inputs", "DilatedBlock"}
INNER |= {"one_hidden_layer", "GraphEncoder", "InnerProduct", "RatingEncoder", "BilinearDecoder"}
INNER |= {"OfFirst", "Response", "SideInformation"}
INNER |= {"GRUCell", "SequenceModel", "RNN", "VRNN"}
OWN_WORDS = {("IsingGrid", "coupling"), ("IsingGrid", "field")}
MAY_BE_0 = {"layers", "steps", "given_dim", "order", "first", "last", "weight", "penalty", "nats"}
MAY_BE_0 |= {"alpha", "dropout", "offset", "keep", "free"}
X = torch.randn(8, 2)


def numbers_of_models():
    """Every number that a constructor or function of dgmcourse.models is given, by its annotation."""
    for module in pkgutil.iter_modules(models.__path__):
        module = importlib.import_module(f"{models.__name__}.{module.name}")
        for name, make in vars(module).items():
            if getattr(make, "__module__", None) != module.__name__ or name in INNER:
                continue
            for parameter in inspect.signature(make).parameters.values():
                union = isinstance(parameter.annotation, types.UnionType)
                kinds = typing.get_args(parameter.annotation) if union else [parameter.annotation]
                if (int in kinds or float in kinds) and (name, parameter.name) not in OWN_WORDS:
                    yield pytest.param(make, parameter, kinds, id=f"{name}-{parameter.name}")


@pytest.mark.parametrize(("make", "parameter", "kinds"), list(numbers_of_models()))
def test_every_number_of_every_model_has_a_range(make, parameter, kinds):
    wrong = [math.nan, math.inf, "3", torch.ones(2)] + [0] * (parameter.name not in MAY_BE_0)
    wrong += [2.5, -1, True] * (int in kinds) + [None] * (type(None) not in kinds)
    for value in wrong:
        others = {
            other.name: X if other.name in ("x", "log_snr") else 1
            for other in inspect.signature(make).parameters.values()
            if other.default is other.empty
        }
        with pytest.raises(ValueError, match=f"^{parameter.name}: expected .*, got ") as error:
            make(**others | {parameter.name: value})
        assert "\n" not in str(error.value)


def vae():
    return VAE(2, 4, data_dim=2, likelihood="gaussian")


def game():
    return GAN(StandardGaussian(2), mlp([2, 4, 2]), mlp([2, 4, 1]))


def fit(**settings):
    train.fit(vae(), X, X, **{"epochs": 1, "progress": False} | settings)


def plays(data=X, **settings):
    play.play(game(), data, progress=False, **settings)


REFUSED = [
    *((fit, {name: wrong}) for name in ("lr", "warm_up", "anneal") for wrong in (-1, math.nan, "1")),
    *((fit, {"clip": wrong}) for wrong in (-1, 0, math.nan, math.inf)),
    *((fit, {name: wrong}) for name in ("epochs", "batch_size", "patience") for wrong in (0, 2.5)),
    *((call, {"seed": wrong}) for call in (fit, plays) for wrong in (1.5, None, math.nan)),
    *((plays, {name: 0}) for name in ("epochs", "steps", "batch_size", "discriminator_steps")),
    *((plays, {"lr": wrong}) for wrong in (-1, math.nan, (0.1, -1))),
    (lambda **given: plays(ring_of_gaussians(), steps=2, **given), {"batch_size": (4, 0)}),
    (lambda **given: train.mean_objective(vae(), X, **given), {"batch_size": 0}),
    (lambda **given: optim.adam(vae().parameters(), **given), {"lr": -1}),
    (lambda **given: optim.rmsprop(vae().parameters(), **given), {"lr": math.nan}),
    *((lambda S=5, rows=5: evaluate.log_likelihood(vae(), X, S, rows=rows), {name: wrong})
      for name in ("S", "rows") for wrong in (0, -3, 2.5)),
    *((lambda S=5, rows=5: evaluate.log_likelihood_from_prior(vae(), X, S, rows=rows), {name: -3})
      for name in ("S", "rows")),
    (lambda k: evaluate.precision_and_recall(X, X, k), {"k": 0}),
    (lambda threshold: evaluate.active_units(vae(), X, threshold), {"threshold": math.nan}),
    *((lambda **given: distances.sliced_wasserstein(X, X, **given), {name: wrong})
      for name, wrong in (("directions", 0), ("seed", 0.5))),
    *((lambda scales: distances.mmd(X, X, scales), {"scales": wrong})
      for wrong in ((), (1.0, 0.0), (math.nan,), (math.inf,))),
    *((lambda std=1.0, share=0.2: distances.modes_found(X, X, std, share), {name: wrong})
      for name, wrong in (("std", 0), ("std", -1), ("std", math.nan), ("share", 2), ("share", -1))),
    (lambda epochs: recipes.train("vae_2d", epochs=epochs), {"epochs": 0}),
    (lambda S: recipes.evaluate("vae_2d", S), {"S": 0}),
    *((lambda jobs: studies.run("priors", jobs), {"jobs": wrong}) for wrong in (0, -1)),
    *((lambda S=None, rows=5, part=5: measure.likelihood(vae(), None, S, rows, part), {name: 0})
      for name in ("S", "rows", "part")),
    (lambda hidden: AutoregressivePrior(2, hidden), {"hidden": (4, 0)}),
    (lambda hidden: NoiseNet(2, hidden), {"hidden": (0,)}),
    (lambda hidden: InverseAutoregressiveFlow(2, hidden), {"hidden": (-1,)}),
    (lambda shape: PixelNet(shape=shape), {"shape": (28, 0)}),
    (lambda dilations: DilatedNet(5, dilations=dilations), {"dilations": (1, 0)}),
    (lambda bounds: VampPrior(None, 2, 2, bounds=bounds), {"bounds": (1.0, 0.0)}),
    (lambda start: VampPrior(None, 2, 2, start), {"start": (0.0, -1.0)}),
    (lambda **given: AutoregressivePrior(2, **given), {"log_var_range": (2.0, -6.0)}),
    (lambda sweeps: IsingGrid(2, 2).gibbs(torch.zeros(4), sweeps), {"sweeps": -1}),
    (lambda noise_var: FactorAnalysis(2, 1).denoise(X, noise_var), {"noise_var": -1.0}),
    (lambda steps: FactorAnalysis(2, 1).fit_em(X, steps), {"steps": -1}),
    (lambda tolerance: FactorAnalysis(2, 1).fit_em(X, 3, tolerance), {"tolerance": math.nan}),
    (lambda S: models.DensityNetwork(2, 4, data_dim=2).posterior_mean(X, S), {"S": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("call", "wrong"), REFUSED)
def test_a_setting_out_of_its_range_is_refused(call, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name}: expected .*, got ") as error:
        call(**wrong)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("clip", [-1, 0, math.nan])
def test_a_step_with_a_clip_that_is_none_is_refused(clip):
    model = vae()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="^clip: expected a positive number or None, got"):
        optim.maximise(model.objective(X)[0], optimiser, clip)


def test_the_sentence():
    for call, sentence in (
        (lambda: check_number(above=0, none=True, clip=-1), "clip: expected a positive number or None, got -1"),
        (lambda: check_number(least=0, most=1, share=2), "share: expected a number of at least 0 and at most 1, got 2"),
        (lambda: check_number(x=math.nan), "x: expected a number, got nan"),
        (lambda: check_whole(epochs=0), "epochs: expected a positive whole number, got 0"),
        (lambda: check_whole(2, classes=1), "classes: expected a whole number of at least 2, got 1"),
        (lambda: check_whole(None, seed="x"), "seed: expected a whole number, got 'x'"),
        (lambda: check_interval(a=(1, 1)), "a: expected a smaller number and a larger one, got (1, 1)"),
    ):  # fmt: skip
        with pytest.raises(ValueError) as error:
            call()
        assert str(error.value) == sentence


def test_what_is_in_its_range_passes():
    import numpy as np

    check_whole(a=1, b=np.int64(3), c=10**30)
    check_whole(0, 8, order=8)
    check_whole(none=True, patience=None)
    check_number(least=0, lr=0, warm_up=np.float32(0.5), anneal=2)
    check_interval(none=True, bounds=None)
    check_interval(log_var_range=(-6.0, 2.0))
    assert GaussianConditional(mlp([2, 4]))(X).mean.shape == (8, 2)
