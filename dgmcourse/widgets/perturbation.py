"""Move a cell over the plane of its states, before a drug, and see what the drug is expected to do to
it and how probable it is that the cell answers. No kernel is needed once the widget is shown.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from dgmcourse.densities import Gaussian
from dgmcourse.plot import CLASSES, DATA, NOISE, POSTERIOR, WIDTH, draw_arrow, plt
from dgmcourse.widgets import HERE, esm
from dgmcourse.widgets.networks import Networks, export, sent, weights_block

CELLS, PARTS, DRAWS, GENES = 300, 300, 200, 8  # shown; of p(z_1); of a state; of most changed genes


class Perturbation(Networks):
    """The widget that `perturbation` returns."""

    _esm = esm("networks", "perturbation")
    _css = "\n".join((HERE / f"{n}.css").read_text("utf-8") for n in ("plane", "perturbation"))

    def __repr__(self):
        return "A plane of cells' states and what a drug does to them: run this cell to use it."


@torch.no_grad()
def perturbation(
    model: nn.Module, x1: Tensor, y: Tensor, *, point: tuple[float, float] = (0.0, 0.0)
) -> Perturbation:
    """Make the widget.

    Args:
        model: a `DrVAE` of two latent dimensions and two classes with a hidden layer that reads the
            shift; it is copied, not changed.
        x1: cells before the drug, (N, D); the first 300 are shown.
        y: their responses, (N,): 0, 1, or -1 where not known.
        point: the state that is shown at first.

    Raises:
        ValueError: for a model of another form.
    """
    model = copy.deepcopy(model).cpu().float().eval()
    x1, y = x1[:CELLS].cpu().float(), y[:CELLS].cpu()
    response = model.encoder.top.encoder.y.net
    if len(model.transition.log_var) != 2 or model.m2.classes != 2 or response.reads != "shift":
        raise ValueError("expected a Dr.VAE of two states and two classes that reads the shift")
    q, p, usual = model.state(x1), parts_of_prior(model), log_prior(model, model.state(x1).mean)
    layers, arrays = export(model.expression, q.mean[:8])
    move = model.transition.move
    noise = torch.randn(DRAWS, 2, generator=torch.Generator().manual_seed(0))
    spec = {
        "decoder": layers,
        "move": {"weight": move.weight.tolist(), "bias": move.bias.tolist()},
        "spread": torch.exp(model.transition.log_var / 2).tolist(),
        "weight": (response.logits.weight[1] - response.logits.weight[0]).tolist(),
        "bias": (response.logits.bias[1] - response.logits.bias[0]).item(),
        "width": torch.exp(q.log_var / 2).mean(0).tolist(),
        "noise": noise.tolist(),
        "cells": q.mean.tolist(),
        "labels": y.tolist(),
        "usual": usual.sort().values.tolist(),
        "prior": {"mean": p.mean.tolist(), "log_var": p.log_var.tolist()},
        "extent": extent_of(q.mean),
        "genes": GENES,
        "colours": CLASSES[:2],
        "point": list(point),
    }
    return Perturbation(**sent(spec, {"weights": weights_block(arrays)}))


def extent_of(states: Tensor) -> tuple[float, float, float, float]:
    """A square about 0 with room around all but the farthest states: (left, right, bottom, top)."""
    reach = round(1.25 * states.abs().max(-1).values.quantile(0.98).item(), 1)
    return -reach, reach, -reach, reach


def parts_of_prior(model: nn.Module) -> Gaussian:
    """Components of p(z_1) = sum_y p(y) integral p(z_1|y, z_3) p(z_3) dz_3, by draws of z_3."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        return model.prior.below.state(model.prior.top.sample(PARTS))


def log_prior(model: nn.Module, z1: Tensor) -> Tensor:
    """log p(z_1), (N,), nats, by the same draws as the widget's."""
    with torch.no_grad():
        log_p = parts_of_prior(model).cross_log_prob(z1)
    return torch.logsumexp(log_p, -1) - np.log(PARTS)


@torch.no_grad()
def perturbation_picture(model: nn.Module, x1: Tensor, y: Tensor, *, points: Tensor) -> plt.Figure:
    """Draw the plane as a static picture, with an arrow from each of some states, (P, 2), to where the
    drug is expected to take it, and the genes that change most for the first.
    """
    z, y = model.state(x1[:CELLS]).mean, y[:CELLS]
    left, right, bottom, top = extent_of(z)
    fig, (ax, bars) = plt.subplots(1, 2, figsize=(WIDTH, 3.6), width_ratios=(1.25, 1))
    axes = torch.linspace(left, right, 61), torch.linspace(bottom, top, 61)
    places = torch.stack(torch.meshgrid(*axes, indexing="xy"), -1)
    p = model.encoder.top.encoder.y(places).mean[..., 1]
    ax.contourf(*axes, p.numpy(), levels=np.linspace(0, 1, 11), cmap="Greys", alpha=0.35)
    line = ax.contour(*axes, p.numpy(), levels=[0.5], colors=DATA, linewidths=1.2)
    ax.clabel(line, fmt={0.5: "1/2"}, fontsize=8)
    ax.scatter(*z[y < 0].T.numpy(), s=5, color=NOISE)
    for label, marker in ((0, "o"), (1, "s")):
        at = z[y == label].T.numpy()
        ax.scatter(*at, s=16, marker=marker, color=CLASSES[label], edgecolor="white")
    for start in points:
        end = start + model.transition.shift(start)
        draw_arrow(ax, tuple(start.tolist()), tuple(end.tolist()), colour=POSTERIOR)
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="$z_1$, first", ylabel="second")
    ax.set_title("states, and where the drug takes them")
    change = model.expression(points[0] + model.transition.shift(points[0])).mean
    change = change - model.expression(points[0]).mean
    most = change.abs().topk(GENES).indices
    bars.barh(range(GENES), change[most].numpy(), color=POSTERIOR)
    bars.set_yticks(range(GENES), [f"gene {i + 1}" for i in most.tolist()])
    bars.invert_yaxis()
    bars.axvline(0, color=DATA, linewidth=0.8)
    bars.set(title="most changed, first cell", xlabel="expected change")
    return fig
