"""Studies: every row has its seed and rate, a broken one goes on, and the shipped table says what
was done.
"""

import json

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from dgmcourse import recipes, studies
from dgmcourse.data.images import Data, Splits
from dgmcourse.models.wasserstein_gan import WassersteinGAN


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The study on 40 random pictures, a few steps and two seeds each."""
    pictures = torch.rand(40, 784, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(
        studies, "grey_mnist", lambda: Splits(Data(pictures), Data(pictures), Data(pictures))
    )
    monkeypatch.setattr(
        studies,
        "measure_samples",
        lambda model, data, S: {"frechet": model.sample(5).mean().item()},
    )
    monkeypatch.setattr(studies, "STEPS", 6)
    monkeypatch.setattr(studies, "BATCH", 10)
    monkeypatch.setattr(studies, "SEEDS", range(2))
    monkeypatch.setattr(studies, "WEIGHTS", tmp_path)
    monkeypatch.setattr(recipes, "WEIGHTS", tmp_path)
    monkeypatch.chdir(tmp_path)


def test_a_study_all_the_way_round(small, capsys):
    studies.main(["gans_on_mnist"])
    table = recipes.study("gans_on_mnist")
    assert {(row["method"], row["seed"]) for row in table["rows"]} == {
        (m, s) for m in studies.METHODS for s in range(2)
    }
    for name, method in table["methods"].items():
        tried = {row["lr"]: row["frechet"] for row in table["search"] if row["method"] == name}
        assert set(tried) == set(studies.RATES) and method["lr"] == min(tried, key=tried.get)
        assert all(
            row["lr"] == method["lr"] and row["stopped"] == "finished"
            for row in table["rows"]
            if row["method"] == name
        )


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
    assert (
        without_time(again["rows"]) == without_time(whole["rows"])
        and again["methods"] == whole["methods"]
    )
    assert len(made) == len(whole["rows"] + whole["search"]) - 5


def test_the_methods_are_what_they_are_called():
    games = {name: studies.game(method) for name, method in studies.METHODS.items()}
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


def test_the_ring_is_the_courses():
    from dgmcourse.data.toy import ring_of_gaussians

    x = 2.5 * torch.randn(200, 2)
    torch.testing.assert_close(studies.ring_of_eight().log_prob(x), ring_of_gaussians().log_prob(x))


def test_the_measure_is_the_mean_distance_of_sorted_shadows():
    torch.manual_seed(0)
    real = torch.randn(40, 2)
    measure = studies.sliced_from(real)
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
    method, rates, rand = studies.RING_METHODS[kind][-1], [1e-3, 4e-3, 1e-2], torch.rand
    data = torch.randn(50, 2)

    def play(rates):
        torch.manual_seed(1)
        game = _copied(method, studies.ring_game(method, 1, hidden=5), len(rates))
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
            studies.play_at_rates(
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
    game = studies.ring_game(method, copies, hidden=5)
    with torch.no_grad():
        for many, p in zip(game.parameters(), one.parameters(), strict=True):
            many.copy_(p.expand_as(many))
    return game


@pytest.fixture
def tiny_ring(small, monkeypatch):
    monkeypatch.setattr(studies, "RING_STEPS", 4)
    monkeypatch.setattr(studies, "RING_GAMES", 2)
    monkeypatch.setattr(studies, "TURNS", 2)
    monkeypatch.setattr(studies, "STRONG_GAMES", 3)


def test_the_search_on_the_ring_keeps_the_closest_setting_and_goes_on_where_it_broke(
    tiny_ring, capsys
):
    studies.main(["gans_on_ring"])
    table = recipes.study("gans_on_ring")
    assert len(table["rows"]) == len(studies.RING_SETTINGS) * sum(
        map(len, studies.RING_METHODS.values())
    )
    for name, kept in table["methods"].items():
        rows = [row for row in table["rows"] if row["method"] == name]
        best = min(rows, key=lambda row: sum(row["distance"]))
        assert (best["clip"], best["penalty"]) == (kept["clip"], kept["penalty"])
        assert {key: best[key] for key in kept["settings"]} == kept["settings"]
        assert studies.Method(**kept).settings == kept["settings"]
    state = studies.Path("runs/gans_on_ring.json")
    state.write_text(json.dumps(json.loads(state.read_text())[:-2]))
    studies.main(["gans_on_ring"])
    again = recipes.study("gans_on_ring")
    assert [row["distance"] for row in again["rows"]] == [row["distance"] for row in table["rows"]]

    studies.main(["strong_critics_on_ring"])
    strong = recipes.study("strong_critics_on_ring")
    assert [(row["method"], row["discriminator_steps"]) for row in strong["rows"]] == [
        (name, n) for name in studies.STRONG_METHODS for n in studies.STRONG_STEPS
    ]
    assert all(torch.tensor(row["distances"]).shape == (3, 3) for row in strong["rows"])
    assert studies.ring_game(studies.Method(**strong["methods"]["saturating GAN"]), 1).saturating


@pytest.mark.parametrize("name", ["gans_on_ring", "strong_critics_on_ring"])
def test_the_shipped_tables_of_the_ring_are_what_this_code_would_make(name):
    """Every setting is there in the order it is tried; the kept ones are the closest of the table's
    own rows.
    """
    table = recipes.study(name)
    if name == "gans_on_ring":
        tried = [
            (n, k.clip, k.penalty, s["discriminator_steps"], s["optimiser"])
            for n, kinds in studies.RING_METHODS.items()
            for k in kinds
            for s in studies.RING_SETTINGS
        ]
        keys = ("method", "clip", "penalty", "discriminator_steps", "optimiser")
        assert [tuple(row[key] for key in keys) for row in table["rows"]] == tried
        for method, kept in table["methods"].items():
            best = min(
                (row for row in table["rows"] if row["method"] == method),
                key=lambda row: sum(row["distance"]),
            )
            assert {key: best[key] for key in kept["settings"]} == kept["settings"] and best[
                "clip"
            ] == kept["clip"]
    else:
        kept = recipes.study("gans_on_ring")["methods"]
        assert all(
            how == kept[method]
            for method, how in table["methods"].items()
            if method != "saturating GAN"
        )
    assert all(row["stopped"] == "finished" for row in table["rows"])


def test_what_is_not_there_says_how_to_make_it():
    with pytest.raises(FileNotFoundError, match="python -m dgmcourse.studies no_such makes it"):
        recipes.study("no_such")
