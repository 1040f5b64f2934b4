"""A training step of two flows against normflows and zuko

Batches of 100 draws in 40 dimensions. normflows 1.7.3 (Stimper et al. 2023): 80 planar steps fitted
to N(0, I) by E[log q - log p], in its own loop over `Planar` flows and in our `PlanarFlow(40, 80)`.
zuko 1.6.0 (Rozet et al. 2022): the log- likelihood of data under its MAF of 4 transforms with one
hidden layer of 320, and under our 4 autoregressive steps of the same widths, which have as many
weights; its scale is an exponential, ours a gate. All with the Adam that torch makes by default,
and once more without its step: forward and backward only.

Equal maps are checked first for the planar flow: with the same w, u-hat and b both give the same z
and log-determinant.
"""

import math

import normflows
import torch
import zuko
from timing import ratio_row, turns

from dgmcourse.densities import StandardGaussian
from dgmcourse.models.inverse_autoregressive_flow import autoregressive_flows
from dgmcourse.models.normalizing_flow import FlowDensity
from dgmcourse.models.planar_flow import MARGIN, SHIFT, PlanarFlow

DIM, BATCH, STEPS, REPEATS, ROUNDS = 40, 100, 80, 20, 15


class Theirs(torch.nn.Module):
    """normflows' planar flows, one after another, as its NormalizingFlow runs them."""

    def __init__(self):
        super().__init__()
        self.flows = torch.nn.ModuleList([normflows.flows.Planar((DIM,)) for _ in range(STEPS)])

    def forward(self, z):
        total = torch.zeros(len(z), dtype=z.dtype)
        for flow in self.flows:
            z, log_det = flow(z)
            total += log_det
        return z, total


def check_same_map() -> None:
    """A ValueError if the two planar flows differ, in float64, at equal w, u-hat and b."""
    theirs, ours = Theirs().double(), PlanarFlow(DIM, STEPS).double()
    rows = []
    for flow in theirs.flows:
        w, u, b = flow.w[0].detach(), flow.u[0].detach(), torch.randn(1, dtype=torch.float64)
        flow.b.data.copy_(b)
        along = math.log(1 + math.exp(w @ u)) - 1  # their w^T u-hat; ours has another u for it
        raw = math.log(math.expm1(along / (1 - MARGIN) + 1)) - SHIFT
        u_hat = u + (along - w @ u) * w / (w @ w)
        rows.append(torch.cat([w, u_hat + (raw - along) * w / (w @ w), b]))
    ours.start.data.copy_(torch.stack(rows))
    z = torch.randn(BATCH, DIM, dtype=torch.float64)
    for a, b in zip(theirs(z), ours(z), strict=True):
        if not torch.allclose(a, b, rtol=1e-7, atol=1e-7):
            raise ValueError(f"not the same map: {(a - b).abs().max():.1e} apart")


def training(model, objective, update: bool):
    """REPEATS steps down the objective; without an update forward and backward only."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)

    def run():
        for _ in range(REPEATS):
            optimiser.zero_grad()
            objective().mean().backward()
            if update:
                optimiser.step()

    return run


def measure(rounds: int = ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    check_same_map()
    p, x, rows = StandardGaussian(DIM), torch.randn(BATCH, DIM), []

    def variational(flow):
        def objective():
            z0 = p.sample((BATCH,))
            z, log_det = flow(z0)
            return p.log_prob(z0) - log_det - p.log_prob(z)

        return objective

    maf = zuko.flows.MAF(DIM, transforms=4, hidden_features=(320,))
    iaf = FlowDensity(p, autoregressive_flows(DIM, 4, (320,)))
    pairs = [
        (
            "80 planar steps",
            "normflows",
            Theirs(),
            variational,
            PlanarFlow(DIM, STEPS),
            variational,
            ">= 2.5",
        ),
        (
            "4 autoregressive steps of 320",
            "zuko",
            maf,
            lambda m: lambda: -m().log_prob(x),
            iaf,
            lambda m: lambda: -m.log_prob(x),
            ">= 1",
        ),
    ]
    for what, peer, theirs, their_objective, ours, our_objective, goal in pairs:
        for update, name in ((True, "training step"), (False, "forward and backward")):
            rivals = {
                peer: training(theirs, their_objective(theirs), update),
                "ours": training(ours, our_objective(ours), update),
            }
            times = turns(rivals, rounds)
            rows.append(
                ratio_row(f"{what}, {name}", times, peer, "ours", goal if update else None, REPEATS)
            )
    return rows, ""
