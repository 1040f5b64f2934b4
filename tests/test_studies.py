"""Studies: what each one varies and measures, and that a broken one goes on to the same table."""

import json
import math
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import close
from scipy.stats import wasserstein_distance

from dgmcourse import studies, weights
from dgmcourse.data.drugs import Screen, folds
from dgmcourse.data.graphs import Pairs, communities, karate_club, split_edges
from dgmcourse.data.images import Data, Splits
from dgmcourse.data.music import Chorales, Music
from dgmcourse.data.ratings import Ratings, generated
from dgmcourse.data.text import Corpus, Sentences, Vocabulary
from dgmcourse.densities import Categorical, kl
from dgmcourse.models.drug_vae import PertVAE
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.wasserstein_gan import WassersteinGAN
from dgmcourse.studies import (
    drug_pairs,
    drug_response,
    flows_on_mnist,
    gans_on_mnist,
    gans_on_ring,
    link_prediction,
    pixels_against_code,
    priors,
    ratings,
    semi_supervised,
    strong_critics_on_ring,
    text,
)

SHIPPED = weights.WEIGHTS


def small_screen():
    """Twelve genes of sixty lines, two drugs that answer to one of them each."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(60, 12, generator=random)
    response = x[:, :2] + 0.3 * torch.randn(60, 2, generator=random)
    lines, genes = [f"line {i}" for i in range(60)], [f"gene {i}" for i in range(12)]
    return Screen(lines, genes, x, ["A", "B"], response)


FEW = {  # constants of each study, for a run of seconds, and the rows it then has
    "drug_pairs": (
        {
            "PAIRS": (0, 20),
            "SEEDS": range(2),
            "CELLS": {"lines": 60, "genes": 12, "states": 3},
            "MODEL": {"latent_dim": 3, "hidden": None, "data_dim": 12},
            "SETTINGS": {"epochs": 2, "lr": 1e-2},
        },
        8,
    ),
    "drug_response": (
        {
            "screen": small_screen,
            "SEEDS": range(1),
            "DRUGS": 2,
            "LINES": 50,
            "FOLDS": 2,
            "TREES": 20,
            "COMPONENTS": 5,
            "LATENT": {"latent_dim": 2, "data_dim": 12, "reads": "state"},
            "SETTINGS": {"epochs": 2, "lr": 1e-2},
            "CODES": {"latent_dim": 2, "hidden": 5, "data_dim": 12, "likelihood": "gaussian"},
            "CODES_SETTINGS": {"epochs": 2, "lr": 1e-2},
        },
        2,
    ),
    "flows_on_mnist": (
        {"SETTINGS": {"epochs": 1, "batch_size": 20}, "SEEDS": range(2), "DIGITS": 9, "SAMPLES": 5},
        16,
    ),
    "gans_on_mnist": (
        {"STEPS": 6, "BATCH": 10, "SEEDS": range(2), "SAMPLES": 30}
        | {"RATES": (1e-4, 1e-3), "FIRST": slice(0, 2)},
        17 + 8,
    ),
    "gans_on_ring": (
        {"STEPS": 4, "GAMES": 2, "PLAY_SETTINGS": gans_on_ring.PLAY_SETTINGS[::3]},
        18,
    ),
    "link_prediction": (
        {
            "GRAPHS": {"small": lambda: communities(60, 150, words=40)},
            "SETTINGS": {"epochs": 2, "lr": 0.01},
            "SEEDS": range(2),
            "DIMENSIONS": (2, 4),
        },
        18,
    ),
    "music": (
        {
            "SETTINGS": {"epochs": 2, "batch_size": 2, "patience": 1},
            "RATES": (1e-3, 1e-4),
            "WARM_UP": {"VRNN": 0},
            "SEEDS": range(2),
            "PARTICLES": 3,
            "DRAWN": (2, 3),
            "chorales": lambda: Music(*[Chorales([[[60, 55, 52, 48]] * n for n in (2, 5, 3)])] * 3),
        },
        6,
    ),
    "pixels_against_code": (
        {
            "SETTINGS": {"digits": 40, "epochs": 1, "batch": 20, "lr": 1e-3, "S": 5},
            "REACHES": (0, 2),
            "SEEDS": range(2),
        },
        6,
    ),
    "priors": (
        {
            "PRIORS": ("standard normal", "VampPrior"),
            "SEEDS": range(2),
            "DIGITS": 7,
            "SAMPLES": 5,
            "DRAWN": 50,
            "SETTINGS": {"epochs": 1, "batch_size": 20, "lr": 1e-3},
        },
        4,
    ),
    "ratings": (
        {
            "movielens": lambda: generated(40, 30, 400),
            "movielens_features": lambda: (torch.rand(40, 3), torch.rand(30, 2)),
            "MODELS": {
                name: (kind, {"hidden": 10, "latent_dim": 2}, {"epochs": 2})
                for name, (kind, *_) in ratings.MODELS.items()
            },
            "SEEDS": range(2),
            "COLD": 5,
            "FACTORS": (2,),
            "PENALTIES": (1.0, 3.0),
            "SWEEPS": 2,
        },
        12,
    ),
    "semi_supervised": (
        {
            "LABELS": (10, 20),
            "SETS": range(2),
            "SOME": {"self-training": (10,), "M1+M2, alpha = 3": (10,)},
            "ROUNDS": 1,
            "NETWORK": {"steps": 3, "lr": 1e-3, "weight_decay": 0.1},
            "STACKED_SETTINGS": {"epochs": 1, "batch_size": 20, "lr": 1e-3},
        },
        32,
    ),
    "text": (
        {
            "captions": lambda *_: few_sentences(),
            "SETTINGS": {"epochs": 1, "batch_size": 20, "lr": 1e-3},
            "SIZES": {"embedding": 3, "hidden": 4, "length": 6},
            "SEEDS": range(2),
            "FIELDS": {1: (), 3: (1,)},
            "SAMPLES": 3,
        },
        2 * (2 + 5 + 4),
    ),
    "strong_critics_on_ring": ({"TURNS": 2, "GAMES": 3}, 8),
}

SHIPPED_TABLES = list(FEW)


def few_sentences():
    """Forty rows of a few words, for training and for the test."""
    random = torch.Generator().manual_seed(0)
    x = torch.randint(2, 9, (40, 6), generator=random)
    x[torch.arange(6) >= torch.randint(1, 6, (40, 1), generator=random)] = 0
    words = Vocabulary(["a", "dog", "cat", "runs", "sleeps", ".", "and"])
    return Corpus(*[Sentences(x)] * 3, words)


def few_pictures(binarise="dynamic"):
    """Sixty random pictures, grey or binary, for training and for the test."""
    grey = torch.randint(0, 256, (60, 784), generator=torch.Generator().manual_seed(0))
    x = grey.byte() if binarise is None else (grey > 180).float()
    return Splits(*[Data(x, torch.arange(60) % 10)] * 3)


@pytest.fixture
def few(monkeypatch, tmp_path):
    """All studies on few pictures, a few steps each; the rest as it is run."""
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "weights")
    weights.WEIGHTS.mkdir()
    for file in ("digit_classifier.safetensors", "vamp_vae.safetensors", "gans_on_ring.json"):
        (weights.WEIGHTS / file).write_bytes((SHIPPED / file).read_bytes())
    for name, (constants, _) in FEW.items():
        module = import_module(f"dgmcourse.studies.{name}")
        for constant, value in constants.items():
            monkeypatch.setattr(module, constant, value)
        if hasattr(module, "mnist"):
            monkeypatch.setattr(module, "mnist", few_pictures)
    kept = (
        priors.real_digits,
        link_prediction.graph_of,
        ratings.split,
        ratings.inner,
        ratings.tuned,
        semi_supervised.digits,
        drug_response.screen,
        drug_response.seen,
        text.corpus,
    )
    kept = [function for function in kept if hasattr(function, "cache_clear")]  # not a few's own
    for function in kept:
        function.cache_clear()
    monkeypatch.chdir(tmp_path)
    yield
    for function in kept:
        function.cache_clear()


def without_time(rows):
    return [row | {"seconds": 0} for row in rows]


# ---- the runner


def test_every_study_is_found():
    assert list(studies.all_studies()) == sorted(FEW)
    assert studies.all_studies()["priors"].startswith("Five priors, and two layers")


@pytest.mark.parametrize("name", FEW)
def test_a_broken_study_goes_on_to_the_same_table(name, few, monkeypatch, capsys):
    module, state, made = import_module(f"dgmcourse.studies.{name}"), Path(f"runs/{name}.json"), []
    studies.run(name)
    whole, rows = weights.study(name), json.loads(state.read_text())
    assert len(rows) == FEW[name][1] and whole["torch"] == torch.__version__
    state.write_text(json.dumps(rows[: len(rows) // 2]))
    run = module.run
    monkeypatch.setattr(module, "run", lambda *job: made.append(job) or run(*job))
    studies.run(name)
    again = weights.study(name)
    assert len(made) == len(rows) - len(rows) // 2
    for part in {"rows", "search"} & again.keys():
        whole[part], again[part] = without_time(whole[part]), without_time(again[part])
    assert again == whole
    studies.run(name)  # everything is there
    assert len(made) == len(rows) - len(rows) // 2


def test_rows_that_came_in_another_order_make_the_same_table(few, capsys):
    """As several processes return them; and a row of another setting is no row of the study."""
    studies.run("priors")
    table, state = (weights.WEIGHTS / "priors.json").read_text(), Path("runs/priors.json")
    rows = json.loads(state.read_text())
    other = rows[0] | {"model": "another prior", "frechet": -1.0}
    state.write_text(json.dumps([other, *reversed(rows)]))
    studies.run("priors")
    assert (weights.WEIGHTS / "priors.json").read_text() == table


def test_a_study_interrupted_within_a_row_keeps_the_rows_before(few, monkeypatch, capsys):
    """Both loops return when they are interrupted: that row must not be kept, half trained."""
    objective, calls = LatentVariableModel.objective, []

    def interrupted(self, x, beta=1.0):
        calls.append(len(x))
        if len(calls) == 6:  # in the second row: three steps and a measurement are the first's
            raise KeyboardInterrupt
        return objective(self, x, beta)

    with monkeypatch.context() as patch:
        patch.setattr(LatentVariableModel, "objective", interrupted)
        with pytest.raises(KeyboardInterrupt, match="the same command begins it again"):
            studies.run("priors")
    assert len(json.loads(Path("runs/priors.json").read_text())) == 1
    assert not (weights.WEIGHTS / "priors.json").exists()


def test_a_row_starts_from_its_seed_and_keeps_its_setting(monkeypatch):
    seen = lambda setting, seed: {"drawn": torch.rand(1).item(), "T": 1, "seed": 9}  # noqa: E731
    monkeypatch.setattr(flows_on_mnist, "run", seen)
    row = studies.one("flows_on_mnist", {"posterior": "planar", "T": 4}, 5)
    torch.manual_seed(5)
    assert row == {"posterior": "planar", "T": 4, "seed": 5, "drawn": torch.rand(1).item()}


def test_a_scheduler_needs_a_package_that_is_named(few, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"pip install 'dgmcourse\[cluster\]'"):
        studies.run("priors", scheduler="tcp://127.0.0.1:1")


@pytest.mark.parametrize("name", SHIPPED_TABLES)
def test_the_shipped_table_is_what_its_rows_make(name, monkeypatch):
    """Byte for byte: settings, methods, texts, and the choice of the best."""
    text = (SHIPPED / f"{name}.json").read_text()
    table, module = json.loads(text), import_module(f"dgmcourse.studies.{name}")
    full = Splits(*(Data(torch.zeros(n, 1)) for n in (50_000, 10_000, 10_000)))
    if hasattr(module, "mnist"):
        monkeypatch.setattr(module, "mnist", lambda binarise: full)
    monkeypatch.setattr(priors, "real_digits", lambda: (None, table["digits"]))
    for study in (link_prediction, ratings):
        monkeypatch.setattr(study, "described", lambda: table["data"])
    monkeypatch.setattr(torch, "__version__", table["torch"])
    again = module.table(table["rows"] + table.get("search", []))
    assert json.dumps(again, indent=1) + "\n" == text


# ---- games on MNIST


def test_each_method_plays_at_its_best_setting_of_the_search(few, capsys):
    studies.run("gans_on_mnist")
    table = weights.study("gans_on_mnist")
    assert {(row["method"], row["seed"]) for row in table["rows"]} == {
        (m, s) for m in gans_on_mnist.METHODS for s in range(2)
    }
    for name, method in table["methods"].items():
        tried = {
            (row["optimiser"], row["lr"]): row["frechet"]
            for row in table["search"]
            if row["method"] == name
        }
        assert set(tried) == {(o, lr) for o in ("adam", "rmsprop") for lr in (1e-4, 1e-3)}
        kept = method["settings"]["optimiser"], method["lr"]
        assert kept == min(tried, key=tried.get) and method["tried"] == [1e-4, 1e-3]
        assert all(
            (row["optimiser"], row["lr"]) == kept and row["stopped"] == "finished"
            for row in table["rows"]
            if row["method"] == name
        )
    assert [row["lr"] for row in table["search"] if row["method"] not in table["methods"]] == [5e-5]


@pytest.mark.parametrize(
    "best, tried",
    [
        (5e-4, [2e-4, 5e-4, 1e-3]),  # within the first three
        (2e-3, [2e-4, 5e-4, 1e-3, 2e-3, 5e-3]),
        (1e-4, [5e-5, 1e-4, 2e-4, 5e-4, 1e-3]),
        (2e-2, [2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2]),  # there is no larger one
    ],
)
def test_the_search_goes_on_beyond_an_edge_that_is_the_best(best, tried):
    rows, name = [], "clipped WGAN"
    while True:
        settings = gans_on_mnist.search(name, "adam", rows)
        new = [s for s in settings if not any(s.items() <= row.items() for row in rows)]
        if not new:
            break
        for setting in new:
            off = abs(math.log(setting["lr"] / best))
            rows.append(setting | {"seed": gans_on_mnist.SEARCH_SEED, "frechet": off})
    assert [setting["lr"] for setting in settings] == tried
    assert len(rows) == len(tried)


def test_the_methods_are_what_they_are_called():
    games = {name: gans_on_mnist.game(method) for name, method in gans_on_mnist.METHODS.items()}
    assert not isinstance(games["non-saturating GAN"], WassersteinGAN)
    clipped = games["clipped WGAN"]
    assert max(p.abs().max() for p in clipped.discriminator.parameters()) <= clipped.clip == 0.03
    assert games["WGAN with penalty"].penalty == 10 and games["WGAN with penalty"].clip is None
    spectral = games["spectral WGAN"]
    assert (
        spectral.clip is None and spectral.penalty == 0 and hasattr(spectral.discriminator[0], "u")
    )
    sizes = {tuple(tuple(p.shape) for p in game.parameters()) for game in games.values()}
    assert len(sizes) == 1  # the same two networks


# ---- on the ring


def test_the_measure_is_the_mean_distance_of_sorted_shadows():
    torch.manual_seed(0)
    real = torch.randn(40, 2)
    measure = gans_on_ring.sliced_from(real)
    assert measure(real).item() == 0
    torch.manual_seed(0)
    torch.randn(40, 2)
    axes = torch.nn.functional.normalize(torch.randn(2, 24), dim=0)
    copies = torch.randn(3, 20, 2)
    by_hand = [
        np.mean([wasserstein_distance((real @ a).numpy(), (x @ a).numpy()) for a in axes.T])
        for x in copies
    ]
    assert measure(copies).tolist() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
@pytest.mark.parametrize("kind", ["GAN", "clipped WGAN", "WGAN with penalty"])
def test_each_of_many_games_is_the_one_that_would_be_played_alone_at_its_rate(optimiser, kind):
    """Three games of the same start, data and codes at three rates, against each alone with an
    optimiser at its rate.
    """
    method, rates, rand = gans_on_ring.METHODS[kind][-1], [1e-3, 4e-3, 1e-2], torch.rand
    data = torch.randn(50, 2)

    def play(rates):
        torch.manual_seed(1)
        game = _copied(method, gans_on_ring.ring_game(method, 1, hidden=5), len(rates))
        codes, between = (torch.Generator().manual_seed(seed) for seed in (2, 3))
        with (
            pytest.MonkeyPatch.context() as patch
        ):  # every copy gets the same codes, data and points between
            patch.setattr(
                game.prior,
                "sample",
                lambda shape: torch.randn(shape[-1], 4, generator=codes).expand(*shape, 4),
            )
            patch.setattr(
                torch,
                "randint",
                lambda high, shape: torch.arange(shape[1]).expand(shape) * 7 % high,
            )
            patch.setattr(
                torch, "rand", lambda *shape, **_: rand(*shape[1:], generator=between).expand(shape)
            )
            gans_on_ring.play_at_rates(
                game, data, torch.tensor(rates), 12, 8, discriminator_steps=2, optimiser=optimiser
            )
        return [p.detach() for p in game.parameters()]

    together = play(rates)
    for i, rate in enumerate(rates):
        for all_three, alone in zip(together, play([rate]), strict=True):
            torch.testing.assert_close(all_three[i], alone[0], rtol=1e-4, atol=1e-6)
    assert any(
        (p[0] - p[2]).abs().max() > 1e-3 for p in together
    )  # and the rates make a difference


def _copied(method, one, copies):
    game = gans_on_ring.ring_game(method, copies, hidden=5)
    with torch.no_grad():
        for many, p in zip(game.parameters(), one.parameters(), strict=True):
            many.copy_(p.expand_as(many))
    return game


def test_the_search_on_the_ring_keeps_the_closest_setting(few, capsys):
    studies.run("gans_on_ring")
    table = weights.study("gans_on_ring")
    assert len(table["rows"]) == len(gans_on_ring.PLAY_SETTINGS) * sum(
        map(len, gans_on_ring.METHODS.values())
    )
    for name, kept in table["methods"].items():
        rows = [row for row in table["rows"] if row["method"] == name]
        best = min(rows, key=lambda row: sum(row["distance"]))
        assert (best["clip"], best["penalty"]) == (kept["clip"], kept["penalty"])
        assert {key: best[key] for key in kept["settings"]} == kept["settings"]
        assert gans_on_ring.Method(**kept).settings == kept["settings"]

    studies.run("strong_critics_on_ring")
    strong = weights.study("strong_critics_on_ring")
    assert [(row["method"], row["discriminator_steps"]) for row in strong["rows"]] == [
        (name, n)
        for name in strong_critics_on_ring.METHODS
        for n in strong_critics_on_ring.CRITIC_STEPS
    ]
    assert all(torch.tensor(row["distances"]).shape == (3, 3) for row in strong["rows"])
    saturating = gans_on_ring.Method(**strong["methods"]["saturating GAN"])
    assert gans_on_ring.ring_game(saturating, 1).saturating
    assert all(
        how == table["methods"][method]
        for method, how in strong["methods"].items()
        if method != "saturating GAN"
    )


# ---- flows, pixels, priors


def test_flows_are_measured_where_the_table_says(few, capsys):
    studies.run("flows_on_mnist")
    table = weights.study("flows_on_mnist")
    kinds = flows_on_mnist.LONGEST
    assert [(r["posterior"], r["T"], r["seed"]) for r in table["rows"][:4]] == [
        (*kind, 0) for kind in kinds
    ]
    assert table["digits"] == {"elbo": 60, "nll": 9}
    for row in table["rows"]:
        assert row["gap"] > 0 and row["elbo_se"] > 0 and row["nll"] > 0 > row["elbo"]
        assert 0 <= row["unreliable"] <= 1


def test_a_row_of_pixels_against_code_is_what_it_says(few):
    """A few steps: same seed, same row; with 0 rows in sight no pixel matters, with 2 those of 2
    rows do; free bits are used.
    """
    grey = torch.randint(0, 256, (300, 784), dtype=torch.uint8)
    close(
        pixels_against_code.halved(grey)[5].reshape(14, 14)[3, 4],
        grey[5].reshape(28, 28)[6:8, 8:10].double().mean() / 255,
        1e-6,
        1e-6,
    )

    def run(reach, free_bits, seed):
        setting = {"reach": reach, "free_bits": free_bits}
        return studies.one("pixels_against_code", setting, seed) | {"seconds": 0}

    first = run(2, 0.0, 1)
    assert first == run(2, 0.0, 1) != run(2, 0.0, 2) | {"seed": 1}
    assert first.keys() == {
        "reach",
        "free_bits",
        "seed",
        "kl",
        "elbo",
        "nll",
        "unreliable",
        "active",
        "seconds",
    }
    assert run(2, 5.0, 1)["kl"] != first["kl"]
    z, x = torch.randn(1, 8), torch.rand(1, 196, requires_grad=True)
    for reach in (0, 1, 2, 4):
        logits = pixels_against_code.small_pixelvae(reach).decoder(z).logits(x)[0]
        gradient = torch.autograd.grad(logits[10 * 14 + 7], x, allow_unused=True)[0]
        rows = (
            torch.zeros(0) if gradient is None else gradient.reshape(14, 14).abs().sum(1).nonzero()
        )
        assert (10 - int(rows.min()) if rows.numel() else 0) == reach


def test_priors_are_measured_where_the_table_says(few, capsys):
    studies.run("priors")
    table = weights.study("priors")
    assert [(row["model"], row["seed"]) for row in table["rows"]] == [
        ("standard normal", 0),
        ("VampPrior", 0),
        ("standard normal", 1),
        ("VampPrior", 1),
    ]
    assert all(
        row["stopped"] == "finished" and row["n"] == 7 and row["S"] == 5 for row in table["rows"]
    )
    assert table["digits"]["n"] == 50


@pytest.mark.parametrize("name", priors.PRIORS)
def test_each_of_the_studys_models_has_its_prior(name):
    model, x = priors.prior_model(name), torch.bernoulli(torch.full((5, 784), 0.2))
    value, parts = model.objective(x)
    assert value.shape == (5,) and value.isfinite().all() and model.sample(3).shape == (3, 784)
    layers = 2 if name.startswith("two layers") else 1
    assert model.prior.sample((3,)).shape == (3, 10 * layers)
    top = model.prior.top if layers == 2 else model.prior
    expected = {
        "standard normal": "StandardGaussian",
        "autoregressive flow": "FlowDensity",
        "VampPrior": "VampPrior",
        "mixture of Gaussians": "MixturePrior",
        "autoregressive": "AutoregressivePrior",
    }
    assert type(top).__name__ == expected[name.removeprefix("two layers, ")]


@pytest.mark.parametrize("name", SHIPPED_TABLES)
def test_the_shipped_table_is_whole(name):
    """A row for each job, no other; every game and training came to its end; bounds are bounds."""
    rows, module = weights.study(name), import_module(f"dgmcourse.studies.{name}")
    rows = rows["rows"] + rows.get("search", [])
    if "ring" in name:  # a single seed, which these rows do not name
        rows = [row | {"seed": module.SEED} for row in rows]
    jobs = module.jobs(rows)
    assert len(jobs) == len(rows) and all(studies.row_of(job, rows) for job in jobs)
    for row in rows:
        assert row.get("stopped", "finished") == "finished"
        if name == "pixels_against_code":
            assert row["nll"] < -row["elbo"] and row["kl"] > 0
        if name == "music":
            assert row["converged"] and row["test_nll"] < -row.get("test_elbo", -math.inf)
        if name == "priors":
            assert -row["test_elbo"] > row["test_nll"] - 0.5 and row["S"] == priors.SAMPLES


# ---- music


def test_music_is_trained_at_one_rate_after_the_other(few, monkeypatch):
    """The warm-up comes once, each training goes on with the same model, and all are counted."""
    module, asked = import_module("dgmcourse.studies.music"), []
    trained = module.fit

    def fit(model, *data, **settings):
        asked.append((id(model), settings["lr"], settings["warm_up"], settings["patience"]))
        return trained(model, *data, **settings)

    monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(module, "WARM_UP", {"VRNN": 1})
    row = studies.one("music", {"model": "VRNN"}, 0)
    assert len({model for model, *_ in asked}) == 1
    assert [rest for _, *rest in asked] == [[1e-3, 1, 1], [1e-4, 0, 1]]
    assert len(row["passes"]) == 2 and row["converged"] is False  # both passes made it better


# ---- link_prediction


def test_scores_of_pairs_are_those_of_networkx_and_by_hand(float64):
    """Of the karate club without some edges."""
    import networkx

    split = split_edges(karate_club(), 0.1, 0.2)
    graph = split.train
    network = networkx.Graph(graph.edges.T.tolist())
    network.add_nodes_from(range(34))
    pairs = split.test.non_edges
    both = [tuple(pair) for pair in pairs.T.tolist()]
    common = [len(list(networkx.common_neighbors(network, *pair))) for pair in both]
    close(link_prediction.common_neighbours(graph, pairs), torch.tensor(common).double())
    adamic = [p for _, _, p in networkx.adamic_adar_index(network, both)]
    close(link_prediction.adamic_adar(graph, pairs), torch.tensor(adamic))
    A = torch.tensor(networkx.to_numpy_array(network, nodelist=range(34)))
    paths = A @ A + link_prediction.KATZ * A @ A @ A
    close(link_prediction.katz(graph, pairs), paths[pairs[0], pairs[1]])


def test_spectral_codes_are_eigenvectors(float64):
    """Of a connected graph; of others an eigenvalue may be found once for several components."""
    graph = karate_club()
    M, root = graph.normalised.dense(), (graph.degrees() + 1).sqrt()
    codes = link_prediction.spectral_codes(graph, 4) * root[:, None]
    values = torch.linalg.eigvalsh(M).flip(0)[:4]
    close(M @ codes, codes * values, 1e-6, 1e-6)
    close(codes.T @ codes, torch.eye(4), 1e-6, 1e-6)


def test_dimensions_are_chosen_on_validation_pairs(float64, monkeypatch):
    """With codes of which only the first two dimensions know the validation edges."""
    split = split_edges(karate_club(), 0.1, 0.2)
    u, v = split.valid.edges
    codes = torch.zeros(34, 4)
    codes[u, 0] = codes[v, 0] = 1
    codes[:, 2:] = torch.randn(34, 2)
    monkeypatch.setattr(link_prediction, "spectral_codes", lambda graph, k: codes[:, :k])
    monkeypatch.setattr(link_prediction, "DIMENSIONS", (2, 4))
    _, more = link_prediction.spectral(split)
    assert more == {"dimensions": 2}


def test_words_are_compared_by_their_angle(float64):
    graph = communities(40, 60, 4, words=20)
    x, pairs = graph.x.dense(), torch.tensor([[0, 3], [5, 7]])
    expected = [torch.cosine_similarity(x[i], x[j], 0) for i, j in pairs.T.tolist()]
    close(link_prediction.words(graph, pairs), torch.stack(expected))
    perfect = Pairs(torch.tensor([[0], [1]]), torch.tensor([[1], [2]]))
    found = link_prediction.measured(lambda pairs: -pairs[0].double(), perfect)
    assert found == {"auc": 100.0, "ap": 100.0}


# ---- ratings


def test_means_and_factors_are_at_their_optimum(float64):
    """Ridge regression: the gradient of the squared error with its penalty is 0."""
    known = generated(30, 20, 250).train
    means = ratings.Means(known, 3.0, sweeps=300)
    b, c = means.users.clone().requires_grad_(), means.items.clone().requires_grad_()
    error = known.values - means.mean - b[known.users] - c[known.items]
    cost = (error**2).sum() + 3 * ((b**2).sum() + (c**2).sum())
    for slope in torch.autograd.grad(cost, (b, c)):
        close(slope, torch.zeros_like(slope), 1e-8, 1e-8)
    model = ratings.Factorisation(known, means, 2, 1.5)
    u, v = (code.clone().requires_grad_() for code in model.codes)
    error = known.values - means.predict(known) - (u[known.users] * v[known.items]).sum(1)
    cost = (error**2).sum() + 1.5 * ((u**2).sum() + (v**2).sum())
    (slope,) = torch.autograd.grad(cost, v)  # the items were solved for last
    close(slope, torch.zeros_like(slope), 1e-8, 1e-8)
    prediction = model.predict(known)
    close(prediction, (known.values - error).detach())


def test_what_is_measured_of_ratings_by_hand(float64):
    known = Ratings([0, 0, 1], [0, 1, 0], [1, 2, 3], (2, 4), levels=3)
    asked = Ratings([0, 1, 1], [2, 2, 3], [3, 1, 2], (2, 4), levels=3)
    p = torch.tensor([[0.25, 0.25, 0.5], [0.8, 0.1, 0.1], [0.25, 0.5, 0.25]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ratings, "COLD", 2)
        found = ratings.measured(torch.tensor([2.0, 1.0, 2.0]), Categorical(p.log()), known, asked)
    assert found["rmse"] == round((1 / 3) ** 0.5, 4) and found["cold"] == 2
    nll = -np.log([0.5, 0.8, 0.5])
    assert found["nll"] == round(nll.mean(), 4) and found["cold_nll"] == round(nll[1:].mean(), 4)
    assert found["cold_rmse"] == 0 and found["warm_rmse"] == 1
    # bins: .1 twice (none true), .25 four times (none), .5 twice (both), .8 once (true)
    assert found["calibration"] == round((0.2 + 1.0 + 1.0 + 0.2) / 9, 4)
    bell = ratings.bell(torch.tensor([2.2]), 0.5, 3).mean
    weights = np.exp(-0.5 * ((np.arange(1, 4) - 2.2) / 0.5) ** 2)
    close(bell[0], torch.tensor(weights / weights.sum()))


# ---- drug_response, drug_pairs


def test_what_is_measured_of_probabilities_by_scikit_learn():
    from sklearn import metrics

    random = torch.Generator().manual_seed(0)
    y = torch.rand(50, generator=random) < 0.4
    p = (0.6 * torch.rand(50, generator=random) + 0.3 * y).clamp(0.01, 0.99)
    found = drug_response.measures(p, y.long())
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(y, p))
    assert found["ap"] == pytest.approx(metrics.average_precision_score(y, p))
    assert found["nll"] == pytest.approx(metrics.log_loss(y, p.double()), rel=1e-5)
    by_hand = np.array_split(np.argsort(p.numpy(), kind="stable"), 5)
    off = [len(i) * abs(p[i].mean() - y[i].double().mean()) for i in by_hand]
    assert found["calibration"] == pytest.approx(float(sum(off)) / 50, abs=1e-6)
    certain = drug_response.measures(y.double(), y.long())
    assert certain["auc"] == 1 and certain["calibration"] == pytest.approx(0, abs=1e-5)


def test_a_ridge_on_the_response_leaves_one_out_as_refitting_does(float64, monkeypatch):
    from sklearn.linear_model import Ridge

    x, test = torch.randn(14, 4), torch.randn(5, 4)
    r = x[:, 0] + 0.3 * torch.randn(14)
    seen = []
    monkeypatch.setattr(drug_response, "RIDGE", (2.0,))
    monkeypatch.setattr(drug_response, "ridge", lambda a, y, b: seen.extend([a, b]) or b[:, 0])
    drug_response.ridge_on_response(x, r, (r < 0).long(), test)
    whole = Ridge(2.0).fit(x, r)
    close(seen[1][:, 0], torch.tensor(whole.predict(test)), 1e-8, 1e-8)
    mean = x.mean(0)  # which stays that of all: the shortcut's only difference
    for i in range(14):
        kept = [j for j in range(14) if j != i]
        a = torch.cat([torch.ones(13, 1), x[kept] - mean], 1)
        penalty = 2.0 * torch.eye(5)
        penalty[0, 0] = 0
        b = torch.linalg.solve(a.T @ a + penalty, a.T @ r[kept])
        close(seen[0][i, 0], b[0] + (x[i] - mean) @ b[1:], 1e-6, 1e-6)


def test_the_svms_kernels_are_scikit_learns(float64, monkeypatch):
    """With one width and one C: the distances of a radial SVM, and the curve of those held out."""
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.svm import SVC

    x, test = torch.randn(40, 6), torch.randn(9, 6)
    y = (x[:, 0] + 0.5 * torch.randn(40) > 0).long()
    seen = []
    monkeypatch.setattr(drug_response, "WIDTHS", (1.5,))
    monkeypatch.setattr(drug_response, "MARGINS", (2.0,))
    monkeypatch.setattr(drug_response, "ridge", lambda a, y, b: seen.extend([a, b]) or b[:, 0])
    drug_response.margins(x, y, test, 3)
    mean = sum(((a - b) ** 2).sum() for a in x for b in x) / 40**2
    svm = SVC(C=2.0, gamma=1.5 / mean.item())
    close(seen[1][:, 0], torch.tensor(svm.fit(x, y).decision_function(test)))
    inner = torch.empty(40).long()
    for k, part in enumerate(folds(40, 5, 3)):
        inner[part] = k
    held_out = cross_val_predict(
        svm, x, y, cv=PredefinedSplit(inner.numpy()), method="decision_function"
    )
    close(seen[0][:, 0], torch.tensor(held_out), 1e-3, 1e-3)  # libsvm's own tolerance


def test_drugs_are_chosen_without_a_look_at_a_response(few, monkeypatch):
    assert drug_response.chosen_drugs() == ["A", "B"]
    monkeypatch.setattr(drug_response, "DRUGS", 3)
    with pytest.raises(ValueError, match="2 drugs were tried on 50 lines, fewer than 3"):
        drug_response.chosen_drugs()


def test_folds_see_no_test_line(few, monkeypatch):
    """Another test line changes nothing of what is learned of the training lines."""
    monkeypatch.setitem(drug_response.CODES_SETTINGS, "epochs", 1)
    at = drug_response.seen(0, 0)
    screen = small_screen()
    screen.x[~at["train"]] += 5.0
    monkeypatch.setattr(drug_response, "screen", lambda: screen)
    drug_response.seen.cache_clear()
    again = drug_response.seen(0, 0)
    for name in ("some", "genes", "codes"):
        close(at[name][at["train"]], again[name][at["train"]], 1e-4, 1e-4)


def test_the_published_slip_draws_z2_from_the_state_before(few):
    """Without its KL the slip's bound does not depend on q(z_2|x_2); PertVAE's does."""
    torch.manual_seed(0)
    model = PertVAE(3, None, 12)
    x = torch.randn(5, 24)
    torch.manual_seed(1)
    value = drug_pairs.published(model, x)[0]
    torch.manual_seed(1)
    q1, q2 = model.state(x[:, :12]), model.state(x[:, 12:])
    z1, z2 = q1.rsample(), q1.rsample()
    p = model.expression
    expected = p(z1).log_prob(x[:, :12]) + p(z2).log_prob(x[:, 12:])
    expected = expected - kl(q1, model.prior.top) - kl(q2, model.transition(z1))
    close(value, expected, 1e-5, 1e-5)
    assert drug_pairs.angle(torch.tensor([1.0, 0]), torch.tensor([1.0, 1])) == pytest.approx(45)
