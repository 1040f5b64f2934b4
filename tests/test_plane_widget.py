"""The plane: its grid, its interpolation against scipy's, what it sends, and what it refuses."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import traitlets
from scipy.interpolate import RegularGridInterpolator

from dgmcourse.widgets.plane import grid, interpolate, plane, plane_picture

EXTENT = (-2.0, 3.0, -1.0, 2.0)


def example(height=13, width=21, **changes):
    torch.manual_seed(0)
    g = grid(EXTENT, height, width)
    points, labels = torch.randn(30, 2) * 0.3, torch.arange(30) % 2
    fields = {"p(y|x)": torch.sigmoid(2 * g[:, 0] + g[:, 1]), "log p(x)": -(g**2).sum(-1)}
    fields = {name: values.reshape(height, width) for name, values in fields.items()} | changes
    return points, labels, fields


def test_the_grid_goes_up_row_by_row():
    g = grid(EXTENT, 3, 6).reshape(3, 6, 2)
    assert (
        g[0, 0].tolist() == [-2, -1]
        and g[0, -1].tolist() == [3, -1]
        and g[-1, 0].tolist() == [-2, 2]
    )
    assert torch.allclose(g[1, 2], torch.tensor([0.0, 0.5]))


def test_interpolation_is_bilinear_and_stops_at_the_edge():
    _, _, fields = example()
    grids = torch.stack([*fields.values()])
    axes = np.linspace(-1, 2, 13), np.linspace(-2, 3, 21)
    inside = torch.rand(200, 2) * torch.tensor([5.0, 3.0]) + torch.tensor([-2.0, -1.0])
    found = interpolate(grids, EXTENT, inside)
    for values, field in zip(found, grids, strict=True):
        scipys = RegularGridInterpolator(axes, field.numpy())(inside.flip(-1).numpy())
        np.testing.assert_allclose(values, scipys, atol=1e-5)
    corner = interpolate(grids, EXTENT, torch.tensor([[99.0, -99.0]]))[:, 0]
    assert torch.equal(corner, grids[:, 0, -1])


def test_what_is_sent_is_what_is_read():
    points, labels, fields = example()
    w = plane(points, labels, fields, extent=EXTENT, densities=["log p(x)"], point=(0.5, 0.25))
    assert len(w._numbers) == 4 * (2 * 13 * 21 + 60)
    np.testing.assert_array_equal(
        np.frombuffer(w._numbers, np.float32)[-60:].reshape(30, 2), points
    )
    at = w.at(w.point)
    assert at["log p(x)"] == pytest.approx(-0.5 * 0.5 - 0.25 * 0.25, abs=0.03)
    assert at["p(y|x)"] == pytest.approx(torch.sigmoid(torch.tensor(1.25)).item(), abs=0.01)
    reference = w._spec["fields"][1]["reference"]
    assert reference == sorted(reference) and len(reference) == 30
    assert w._spec["fields"][0]["reference"] == []
    assert plane(points, labels, fields, extent=EXTENT, densities=["log p(x)"]).point == [0.5, 0.5]


def test_the_point_is_two_finite_numbers():
    points, labels, fields = example()
    w = plane(points, labels, fields, extent=EXTENT, densities=["log p(x)"])
    w.point = torch.tensor([1.0, -0.5])
    assert w.point == [1.0, -0.5]
    for wrong in ([1.0], [1.0, float("nan")], [1, 2, 3]):
        with pytest.raises(traitlets.TraitError, match="two finite numbers"):
            w.point = wrong
    assert "run this cell" in repr(w)


def test_what_does_not_fit_is_said_in_words():
    for changes, densities, message in (
        ({"other": torch.zeros(3, 3)}, ["log p(x)"], "grids .* of one size"),
        ({"log p(x)": torch.full((13, 21), -torch.inf)}, ["log p(x)"], "not finite"),
        ({}, [], "is no probability"),
        ({}, ["log p(y)"], r"no field is called log p\(y\)"),
    ):
        points, labels, fields = example(**changes)
        with pytest.raises(ValueError, match=message):
            plane(points, labels, fields, extent=EXTENT, densities=densities)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": torch.zeros(4, 3)}, r"points are finite, \(N, 2\)"),
        ({"points": torch.full((4, 2), torch.nan)}, "points are finite"),
        ({"points": torch.zeros(0, 2), "labels": torch.zeros(0)}, "one at least"),
        ({"labels": torch.tensor([1, 2, 1, 2])}, "a label, 0 or 1"),
        ({"labels": torch.zeros(3)}, "each of 4 points has a label"),
        ({"classes": ("a", "b", "c")}, "3 classes"),
        ({"extent": (1.0, -1.0, -1.0, 1.0)}, "left, right, bottom, top"),
        ({"fields": {"p": torch.full((1, 1), 0.5)}}, "2 x 2 at least"),
        ({"fields": {}}, "grids"),
    ],
)
def test_points_labels_and_extent_that_do_not_fit_are_said_in_words(changes, message):
    good = {
        "points": torch.zeros(4, 2),
        "labels": torch.tensor([0, 1, 0, 1]),
        "fields": {"p": torch.full((3, 3), 0.5)},
        "extent": EXTENT,
    }
    plane(**good)
    with pytest.raises(ValueError, match=message):
        plane(**good | changes)


def test_labels_may_be_floats_and_one_density_a_name():
    points, labels, fields = example()
    w = plane(points, labels.float(), fields, extent=EXTENT, densities="log p(x)")
    assert w._spec["labels"] == labels.tolist() and [
        field["density"] for field in w._spec["fields"]
    ] == [False, True]


def test_the_picture_has_a_panel_for_each_field():
    points, labels, fields = example()
    fig = plane_picture(
        points, labels, fields, extent=EXTENT, densities=["log p(x)"], point=(1.0, 1.0)
    )
    assert [ax.get_title(loc="left") or ax.get_title() for ax in fig.axes] == ["p(y|x)", "log p(x)"]
    plt.close(fig)
