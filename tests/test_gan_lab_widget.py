"""The GAN laboratory's Python half: what it sends and refuses, and the static picture. The other
half is tested in tests/browser.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from dgmcourse.densities import StandardGaussian
from dgmcourse.models.gan import GAN
from dgmcourse.models.wasserstein_gan import WassersteinGAN
from dgmcourse.plot import CRITIC, DATA, MODEL
from dgmcourse.widgets import gan_lab as module
from dgmcourse.widgets.gan_lab import GanLab, gan_lab, gan_lab_picture, players, sampler, snapshot


def close_all():
    plt.close("all")


def test_what_is_sent():
    w = gan_lab(
        "grid",
        3,
        objective="wasserstein",
        lr=(0.001, 0.002),
        discriminator_steps=5,
        clip=0.2,
        hidden=16,
        latent_dim=4,
    )
    assert isinstance(w, GanLab) and "grid" in repr(w) and "run this cell" in repr(w)
    assert w.settings == {
        "data": "grid",
        "seed": 3,
        "objective": "wasserstein",
        "lr": {"d": 0.001, "g": 0.002},
        "steps": 5,
        "clip": 0.2,
        "hidden": 16,
        "latent": 4,
        "points": [],
    }
    assert w._spec["colours"] == {"data": DATA, "model": MODEL, "real": CRITIC, "fake": module.FAKE}
    assert gan_lab().settings["lr"] == {"d": 2e-3, "g": 2e-3}
    json.dumps(gan_lab(seed=np.int64(2), lr=np.float32(0.01))._spec)  # it travels as JSON


@pytest.mark.parametrize("kind", [torch.tensor, np.array, list])
def test_points_of_ones_own(kind):
    w = gan_lab(kind([[0.0, 1.0], [-3.0, 2.5]]))
    assert w.settings["data"] == "drawn" and w.settings["points"] == [[0.0, 1.0], [-3.0, 2.5]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "rings"}, "data is one of 'ring', 'grid'"),
        ({"data": torch.zeros(5, 3)}, r"\(N, 2\) between -3 and 3, got shape \(5, 3\)"),
        ({"data": torch.zeros(0, 2)}, "1 to 1,000 points"),
        ({"data": torch.zeros(1001, 2)}, "1 to 1,000 points"),
        ({"data": torch.full((4, 2), 3.5)}, "up to 3.5"),
        ({"data": torch.full((4, 2), torch.nan)}, "between -3 and 3"),
        ({"objective": "wgan"}, "objective is one of"),
        ({"lr": 0}, "lr is one rate"),
        ({"lr": float("nan")}, "lr is one rate"),
        ({"lr": (0.1, 0.1, 0.1)}, "lr is one rate"),
        ({"lr": (0.1, 2.0)}, "at most 1"),
        ({"discriminator_steps": 0}, "discriminator_steps is a whole number from 1 to 10"),
        ({"discriminator_steps": 1.5}, "whole number"),
        ({"seed": -1}, "seed is a whole number"),
        ({"hidden": 1000}, "hidden is a whole number from 1 to 128"),
        ({"latent_dim": 0}, "latent_dim is a whole number"),
        ({"clip": 0.0}, "clip is above 0"),
    ],
)
def test_what_the_laboratory_does_not_have_is_said_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        gan_lab(**arguments)


@pytest.mark.parametrize("data", ["ring", "grid", "moons", "one"])
def test_the_data_fit_the_plane(data):
    draw, modes, std = sampler(gan_lab(data).settings)
    x = draw(2000)
    assert x.shape == (2000, 2) and (x.abs() <= module.REACH).float().mean() > 0.998
    if modes is not None:
        assert len(modes) == {"ring": 8, "grid": 25}[data]
        gap = torch.cdist(x, modes).min(-1).values
        assert (gap.square().mean() / 2).sqrt().item() == pytest.approx(std, rel=0.1)


def test_drawn_points_are_blurred_and_none_are_refused():
    points = torch.tensor([[1.0, 1.0], [-1.0, 0.0]])
    draw, modes, _ = sampler(gan_lab(points).settings)
    gap = torch.cdist(draw(2000), points).min(-1).values
    assert modes is None and (gap.square().mean() / 2).sqrt().item() == pytest.approx(0.05, rel=0.1)
    with pytest.raises(ValueError, match="give the data as points"):
        gan_lab_picture("drawn")


@pytest.mark.parametrize("objective", module.OBJECTIVES)
def test_the_picture_shows_the_run(objective):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    fig, modes = gan_lab_picture("ring", seed=1, objective=objective, steps=(0, 3, 8))
    assert torch.equal(state, torch.get_rng_state()), (
        "what the notebook draws must not depend on the figure"
    )
    axes = [ax for ax in fig.axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in axes] == [
        f"{n} steps: {k} of 8 modes" for n, (k, _) in zip((0, 3, 8), modes, strict=True)
    ]
    assert all(ax.images[0].get_array().shape == (61, 61) for ax in axes)
    assert fig.axes[-1].get_ylabel() == (
        "objective" if objective == "wasserstein" else "objective, nats"
    )
    assert len(fig.axes[-1].lines[0].get_xdata()) == 8
    again = gan_lab_picture("ring", seed=1, objective=objective, steps=(8,))[0]
    first, second = axes[-1].collections, again.axes[0].collections
    fakes = [
        [c.get_offsets() for c in found if len(c.get_offsets()) == 300][1]
        for found in (first, second)
    ]
    assert np.array_equal(*fakes), "the same seed is the same run, whatever is drawn on the way"
    other = gan_lab_picture("ring", seed=2, objective=objective, steps=(8,))[0]
    assert not np.array_equal(
        fakes[0],
        [c.get_offsets() for c in other.axes[0].collections if len(c.get_offsets()) == 300][1],
    )
    close_all()


def test_the_picture_of_data_without_modes_and_of_a_game_that_diverges(monkeypatch):
    fig, modes = gan_lab_picture(torch.rand(20, 2), steps=(4,))
    assert modes == [None] and fig.axes[0].get_title(loc="left") == "4 steps"
    turns = iter(range(100))
    real = module.Players.generator_step

    def step(self, x):
        if next(turns) == 3:
            with torch.no_grad():
                self.discriminator[0].fill_(torch.inf)
        return real(self, x)

    monkeypatch.setattr(module.Players, "generator_step", step)
    fig, modes = gan_lab_picture("one", steps=(0, 50))
    assert len(modes) == 1 and "diverged at step 4" in fig.axes[-1].get_xlabel()
    close_all()


@pytest.mark.parametrize("steps", [(), (3, 1), (-1, 2), (2, 2)])
def test_steps_grow(steps):
    with pytest.raises(ValueError, match="steps grow"):
        gan_lab_picture(steps=steps)


@pytest.mark.parametrize("objective", module.OBJECTIVES)
def test_the_pull_is_the_slope_of_the_generators_objective(objective, float64):
    """A discriminator of one straight logit, a . x + b: the slopes are known."""
    a, b = torch.tensor([0.8, -0.5]), 0.3
    judge = torch.nn.Linear(2, 1)
    judge.weight.data, judge.bias.data = a[None].clone(), torch.tensor([b])
    prior, maker = StandardGaussian(2), torch.nn.Identity()
    wasserstein = objective == "wasserstein"
    game = GAN(prior, maker, judge, saturating=objective == "saturating")
    if wasserstein:
        game = WassersteinGAN(prior, maker, judge)
    fakes, logits, pulls = snapshot(game, codes := torch.randn(50, 2))
    d = 1 / (1 + (-(codes[:36] @ a + b)).exp())
    strength = {"non-saturating": 1 - d, "saturating": d, "wasserstein": torch.ones(36)}[objective]
    assert torch.allclose(pulls, strength[:, None] * a, atol=1e-12)
    assert torch.equal(fakes, codes)
    corner = 3 * a[0] - 3 * a[1] + b  # rows go from the bottom up
    assert logits[0, -1].item() == pytest.approx(corner.item())


def test_the_networks_are_the_ones_of_the_browser():
    game = players(gan_lab(hidden=16, latent_dim=3).settings)
    count = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    assert count(game.generator) == 3 * 16 + 16 + 16 * 16 + 16 + 16 * 2 + 2
    assert count(game.discriminator) == 2 * 16 + 16 + 16 * 16 + 16 + 16 + 1
    slopes = lambda net: [getattr(layer, "negative_slope", 0.0) for layer in net[1::2]]  # noqa: E731
    assert slopes(game.generator) == [0, 0] and slopes(game.discriminator) == [0.2, 0.2]
    assert players(gan_lab(objective="wasserstein", clip=0.3).settings).clip == 0.3
