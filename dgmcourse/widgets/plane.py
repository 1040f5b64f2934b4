"""Drag a point over a plane and read off what models say there: probabilities of labels, and how
probable such a point is.

All values are computed once, on a grid, and sent to the browser, where `plane.js` interpolates them.
No kernel is needed afterwards.
"""

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from dgmcourse.plot import CLASSES, DATA, NOISE, WIDTH
from dgmcourse.widgets import HERE, esm


class Place(traitlets.List):
    """A point of the plane: set it with two finite numbers; read it as a list."""

    def validate(self, widget, value):
        place = torch.as_tensor(value, dtype=torch.float64).detach().cpu().flatten()
        if len(place) != 2 or not place.isfinite().all():
            raise traitlets.TraitError(f"a point is two finite numbers, got {value!r:.80}")
        return place.tolist()


class Plane(anywidget.AnyWidget):
    """The widget that `plane` returns. `point` is the place that is shown: read or set it; `at`
    gives the values at any point.
    """

    _esm = esm("plane")
    _css = HERE / "plane.css"
    _spec = traitlets.Dict().tag(sync=True)
    # float32: the grids one after another, then the points
    _numbers = traitlets.Bytes().tag(sync=True)
    point = Place().tag(sync=True)

    def at(self, point) -> dict[str, float]:
        """Give {field: its value at the point}, as the browser interpolates it."""
        names = [field["name"] for field in self._spec["fields"]]
        height, width = self._spec["size"]
        numbers = np.frombuffer(self._numbers, np.float32)[: len(names) * height * width]
        grids = torch.tensor(numbers.reshape(-1, height, width))
        place = torch.as_tensor(point).reshape(1, 2)
        values = interpolate(grids, self._spec["extent"], place)[:, 0]
        return dict(zip(names, values.tolist(), strict=True))

    def __repr__(self):
        return "A plane with a point to drag: run this cell to use it."


def plane(
    points: Tensor,
    labels: Tensor,
    fields: dict[str, Tensor],
    *,
    extent,
    densities=(),
    classes=("blue", "orange"),
    point=None,
) -> Plane:
    """Make the widget.

    Args:
        points: (N, 2), the training data.
        labels: (N,), 0 or 1.
        fields: name -> (H, W), values at `grid(extent, H, W)`. Each is a probability of the first
            class, unless named in `densities`.
        extent: (left, right, bottom, top) of the plane.
        densities: names of the fields that are log-densities, in nats: shown against their values
            at the points.
        classes: names of the two labels.
        point: where the point is at first; by default the middle.

    Raises:
        ValueError: for grids of different sizes or with numbers that are not finite, probabilities
            outside [0, 1], points that are not (N, 2), labels other than 0 and 1, an extent whose
            limits do not grow.
    """
    if points.dim() != 2 or points.shape[1] != 2 or len(points) == 0 or not points.isfinite().all():
        raise ValueError(
            f"points are finite, (N, 2), one at least; got shape {tuple(points.shape)}"
        )
    known = labels.shape == points.shape[:1] and ((labels == 0) | (labels == 1)).all()
    if not known or len(classes) != 2:
        raise ValueError(
            f"each of {len(points)} points has a label, 0 or 1; got shape {tuple(labels.shape)},"
            f" {len(classes)} classes"
        )
    if len(extent) != 4 or not (extent[0] < extent[1] and extent[2] < extent[3]):
        raise ValueError(f"extent is (left, right, bottom, top), got {tuple(extent)}")
    densities = [densities] if isinstance(densities, str) else densities
    names, sizes = list(fields), {tuple(field.shape) for field in fields.values()}
    if len(sizes) != 1 or len(next(iter(sizes))) != 2 or min(next(iter(sizes))) < 2:
        raise ValueError(
            f"fields are grids (H, W) of one size, 2 x 2 at least, got {sorted(sizes)}"
        )
    if unknown := set(densities) - set(names):
        raise ValueError(f"no field is called {', '.join(sorted(unknown))}")
    grids = torch.stack([field.detach().float().cpu() for field in fields.values()])
    if not grids.isfinite().all():
        raise ValueError("a field has numbers that are not finite: log-densities must not be -inf")
    points = points.detach().float().cpu()
    at_points = interpolate(grids, extent, points).sort(-1).values
    spec = []
    for name, grid_, values in zip(names, grids, at_points, strict=True):
        if name not in densities and (grid_.min() < 0 or grid_.max() > 1):
            raise ValueError(
                f"{name!r} is no probability, from {grid_.min():.3g} to {grid_.max():.3g}: is it"
                " one of `densities`?"
            )
        density = name in densities
        reference = values.tolist() if density else []
        spec.append({"name": name, "density": density, "reference": reference})
    left, right, bottom, top = map(float, extent)
    return Plane(
        _spec={
            "fields": spec,
            "size": tuple(grids.shape[1:]),
            "extent": (left, right, bottom, top),
            "classes": tuple(classes),
            "colours": CLASSES[:2],
            "labels": labels.int().tolist(),
        },
        _numbers=grids.numpy().tobytes() + points.numpy().tobytes(),
        point=[(left + right) / 2, (bottom + top) / 2] if point is None else point,
    )


def grid(extent, height: int = 81, width: int = 81) -> Tensor:
    """Give the points where fields are computed: (height * width, 2), rows from the bottom up, each
    from left to right.
    """
    left, right, bottom, top = extent
    across, up = torch.linspace(left, right, width), torch.linspace(bottom, top, height)
    return torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).flatten(0, 1)


def interpolate(grids: Tensor, extent, points: Tensor) -> Tensor:
    """Interpolate grids (F, H, W) bilinearly at points (N, 2): (F, N). A point outside the extent
    has the value at the nearest edge.
    """
    left, right, bottom, top = extent
    height, width = grids.shape[1:]
    u = ((points[:, 0] - left) / (right - left) * (width - 1)).clamp(0, width - 1)
    v = ((points[:, 1] - bottom) / (top - bottom) * (height - 1)).clamp(0, height - 1)
    i, j = v.long().clamp_max(height - 2), u.long().clamp_max(width - 2)
    a, b = v - i, u - j
    below = (1 - b) * grids[:, i, j] + b * grids[:, i, j + 1]
    above = (1 - b) * grids[:, i + 1, j] + b * grids[:, i + 1, j + 1]
    return (1 - a) * below + a * above


def plane_picture(
    points: Tensor, labels: Tensor, fields: dict[str, Tensor], *, extent, densities=(), point=None
) -> plt.Figure:
    """Draw the same as a static picture, for `show(fig, alt=...)`: a panel for each field.
    Arguments as for `plane`.
    """
    densities = [densities] if isinstance(densities, str) else densities
    left, right, bottom, top = extent
    height = WIDTH / len(fields) * (top - bottom) / (right - left)
    fig, axes = plt.subplots(1, len(fields), figsize=(WIDTH, 0.55 + height), squeeze=False)
    two = LinearSegmentedColormap.from_list("two", [CLASSES[1], "#ffffff", CLASSES[0]])
    placed = {"extent": extent, "origin": "lower", "aspect": "auto"}
    for ax, (name, field) in zip(axes[0], fields.items(), strict=True):
        values = field.detach().float().cpu().numpy()
        lines = {"extent": extent, "colors": DATA}
        if name in densities:
            usual = interpolate(field[None].float(), extent, points.float())[0].numpy()
            # As far below the least probable point as that is below the most probable one.
            low = 2 * usual.min() - usual.max()
            ax.imshow(values.clip(low), cmap="Greys", vmax=usual.max() + 1, **placed)
            ax.contour(values, [usual.min()], linestyles=":", linewidths=1.2, **lines)
        else:
            ax.imshow(values, cmap=two, vmin=0, vmax=1, alpha=0.45, **placed)
            styles = [":", "-", ":"]
            ax.contour(values, [0.01, 0.5, 0.99], linestyles=styles, linewidths=1, **lines)
        for label, marker in ((0, "o"), (1, "s")):
            look = {"marker": marker, "color": CLASSES[label], "edgecolors": "white"}
            ax.scatter(*points[labels == label].T.numpy(), s=9, linewidths=0.3, **look)
        if point is not None:
            ax.plot(*point, "*", color="white", markeredgecolor=DATA, ms=15, markeredgewidth=1.4)
        ax.set(title=name, xlim=(left, right), ylim=(bottom, top), xlabel="$x_1$")
        ax.tick_params(labelsize=8, color=NOISE)
    axes[0, 0].set_ylabel("$x_2$")
    return fig
