"""Studies: every row has its seed and rate, a broken one goes on, and the shipped table says what was done."""

import json

import pytest
import torch

from dgmcourse import recipes, studies
from dgmcourse.data.images import Data, Splits
from dgmcourse.models.wasserstein_gan import WassersteinGAN


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The study on 40 random pictures, a few steps and two seeds each."""
    pictures = torch.rand(40, 784, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(studies, "grey_mnist", lambda: Splits(Data(pictures), Data(pictures), Data(pictures)))
    monkeypatch.setattr(studies, "measure_samples", lambda model, data, S: {"frechet": model.sample(5).mean().item()})
    monkeypatch.setattr(studies, "STEPS", 6)
    monkeypatch.setattr(studies, "BATCH", 10)
    monkeypatch.setattr(studies, "SEEDS", range(2))
    monkeypatch.setattr(studies, "WEIGHTS", tmp_path)
    monkeypatch.setattr(recipes, "WEIGHTS", tmp_path)
    monkeypatch.chdir(tmp_path)


def test_a_study_all_the_way_round(small, capsys):
    studies.main(["gans_on_mnist"])
    table = recipes.study("gans_on_mnist")
    assert {(row["method"], row["seed"]) for row in table["rows"]} == {(m, s) for m in studies.METHODS for s in range(2)}
    for name, method in table["methods"].items():
        tried = {row["lr"]: row["frechet"] for row in table["search"] if row["method"] == name}
        assert set(tried) == set(studies.RATES) and method["lr"] == min(tried, key=tried.get)
        assert all(row["lr"] == method["lr"] and row["stopped"] == "finished" for row in table["rows"] if row["method"] == name)


def test_a_broken_study_goes_on_to_the_same_table(small, monkeypatch, capsys):
    studies.main(["gans_on_mnist"])
    whole = recipes.study("gans_on_mnist")
    state = studies.Path("runs/gans_on_mnist.json")
    kept = json.loads(state.read_text())[:5]
    state.write_text(json.dumps(kept))
    made = []
    one_run = studies.one_run
    monkeypatch.setattr(studies, "one_run", lambda *args: made.append(args[:3]) or one_run(*args))
    studies.main(["gans_on_mnist"])
    without_time = lambda rows: [row | {"seconds": 0} for row in rows]  # noqa: E731
    again = recipes.study("gans_on_mnist")
    assert without_time(again["rows"]) == without_time(whole["rows"]) and again["methods"] == whole["methods"]
    assert len(made) == len(whole["rows"] + whole["search"]) - 5


def test_the_methods_are_what_they_are_called():
    games = {name: studies.game(method) for name, method in studies.METHODS.items()}
    assert not isinstance(games["non-saturating GAN"], WassersteinGAN)
    clipped = games["clipped WGAN"]
    assert max(p.abs().max() for p in clipped.discriminator.parameters()) <= clipped.clip == 0.03
    assert games["WGAN with penalty"].penalty == 10 and games["WGAN with penalty"].clip is None
    spectral = games["spectral WGAN"]
    assert spectral.clip is None and spectral.penalty == 0 and hasattr(spectral.discriminator[0], "u")
    sizes = {tuple(tuple(p.shape) for p in game.parameters()) for game in games.values()}
    assert len(sizes) == 1  # the same two networks


def test_what_is_not_there_says_how_to_make_it():
    with pytest.raises(FileNotFoundError, match="python -m dgmcourse.studies no_such makes it"):
        recipes.study("no_such")
