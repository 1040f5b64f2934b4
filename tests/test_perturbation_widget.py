"""The plane of states: what is sent to the browser, what is drawn, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from oracles import grid

from dgmcourse.models.drug_vae import DrVAE
from dgmcourse.widgets.perturbation import (
    extent_of,
    log_prior,
    perturbation,
    perturbation_picture,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DrVAE(2, 6, 10, 2, 5, reads="shift").eval().requires_grad_(False)


@pytest.fixture(scope="module")
def cells():
    x1 = torch.randn(50, 10, generator=torch.Generator().manual_seed(1))
    return x1, torch.arange(50) % 3 - 1


def test_what_is_sent_is_the_model(model, cells):
    w = perturbation(model, *cells, point=(0.5, -0.2))
    spec, z = w._spec, model.state(cells[0]).mean
    np.testing.assert_allclose(spec["cells"], z, atol=1e-6)
    assert spec["labels"] == cells[1].tolist() and spec["point"] == [0.5, -0.2]
    shift = z @ torch.tensor(spec["move"]["weight"]).T + torch.tensor(spec["move"]["bias"])
    torch.testing.assert_close(shift, model.transition.shift(z))
    logit = shift @ torch.tensor(spec["weight"]) + spec["bias"]
    torch.testing.assert_close(
        torch.sigmoid(logit), model.encoder.top.encoder.y(z).mean[:, 1], atol=1e-5, rtol=1e-5
    )
    assert spec["usual"] == sorted(spec["usual"]) and len(spec["usual"]) == 50
    assert spec["decoder"][0]["in"] == 2 and len(w._numbers) == spec["total"]
    assert "run this cell" in repr(w)


def test_the_prior_of_a_state_integrates_to_one(model):
    z, cell = grid(2, 12, 121)
    assert (log_prior(model, z).exp().sum() * cell).item() == pytest.approx(1, abs=1e-3)
    assert torch.equal(log_prior(model, z), log_prior(model, z))


def test_the_plane_has_room_for_the_states(cells):
    left, right, bottom, top = extent_of(cells[0][:, :2])
    assert left == bottom == -right == -top
    assert (cells[0][:, :2].abs().max(-1).values < right).double().mean() > 0.9


def test_models_of_another_form_are_refused(cells):
    for wrong in (
        DrVAE(3, 6, 10, reads="shift"),
        DrVAE(2, 6, 10, reads="both"),
        DrVAE(2, 6, 10, 2, 5, 3, "shift"),
    ):
        with pytest.raises(ValueError, match="two states and two classes that reads the shift"):
            perturbation(wrong, *cells)


def test_the_picture_has_the_plane_and_the_genes(model, cells):
    fig = perturbation_picture(model, *cells, points=torch.tensor([[0.5, 0.5], [-1.0, 0.2]]))
    plane, bars = fig.axes[:2]
    assert plane.get_xlim() == extent_of(model.state(cells[0]).mean)[:2]
    assert len(bars.patches) == 8
    plt.close(fig)
