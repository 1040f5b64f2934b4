"""Training step of a density network

Forward and backward of the estimate of log p(x) on 500 binary digits with S = 1,000 samples of z:
the shipped density network's sizes (gated 300-300, 2 latent dimensions, Bernoulli likelihood).
Ours: `objective` and its gradient, then the whole step with `maximise` and the Adam of `fit`. Bare
products: nothing but the matrix products of that step, no biases: for each layer of the decoder its
output, its weight's gradient and its input's (which the first does without), and the product of 500
digits with 1,000 rows of logits, forward and to the logits. Broadcasting: the same estimate through
a tensor of every pixel of every pair, (S, B, D), for 50 of the digits, since 500 would need some
gigabytes; ours is timed on the same 50.

Memory: the most that is allocated at once for tensors in one forward and backward, by torch's
profiler.
"""

import itertools
import math

import torch
from products import bare_products
from timing import hushed, ratio_row, turns

from dgmcourse.data.images import mnist
from dgmcourse.models.density_network import DensityNetwork
from dgmcourse.train import Adam, maximise

S, BATCH, FEW, STEPS, ROUNDS = 1000, 500, 50, 5, 15


def bare_step(model, x):
    layers, share = bare_products(model.decoder.net, S), torch.randn(len(x), S, device=x.device)
    logits = torch.randn(S, x.shape[1], device=x.device)

    def run():
        layers()
        torch.mm(x, logits.t())
        torch.mm(share.t(), x)

    return run


def broadcast(model, x):
    """The estimate as its equation is read, every x beside every code: (B,)."""
    p = model.decoder(model.prior.sample((S, 1)))
    return torch.logsumexp(p.log_prob(x.expand(S, *x.shape)), 0) - math.log(S)


def gradient(model, value):
    return torch.autograd.grad(value.mean(), list(model.parameters()))


def repeated(run):
    """Several steps a turn: longer than the slices into which a busy processor cuts time."""
    return lambda: [run() for _ in range(STEPS)]


def most_alive(run) -> float:
    """The most memory for tensors alive at once while `run` runs, beyond what was there before:
    MiB.
    """
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        run()
    changes = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    changes = [
        e.nbytes() for e in sorted(changes, key=lambda e: e.start_ns())
    ]  # allocated, or freed below 0
    return max(itertools.accumulate(changes)) / 2**20


def measure(device: str = "cpu", rounds: int = ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    with hushed():
        x = mnist("static").train.tensor()[:BATCH].to(device)
    model, few = DensityNetwork(2, samples=S).to(device), x[:FEW]
    z = model.prior.sample((S,))
    model.prior.sample = lambda shape: z.view(*shape, 2)
    same = [model.objective(few)[0], broadcast(model, few)]
    del model.prior.sample
    if (same[0] - same[1]).abs().max() > 1e-3:
        raise AssertionError("the two do not compute the same")
    adam = Adam(model.parameters(), lr=0.0, fused=True)
    rivals = {
        "bare products": bare_step(model, x),
        "forward and backward": lambda: gradient(model, model.objective(x)[0]),
        "whole step": lambda: maximise(model.objective(x)[0], adam),
        "ours": lambda: gradient(model, model.objective(few)[0]),
        "broadcasting": lambda: gradient(model, broadcast(model, few)),
    }
    times = turns({name: repeated(run) for name, run in rivals.items()}, rounds, device == "cuda")
    ours, theirs = (most_alive(rivals[name]) for name in ("ours", "broadcasting"))
    full = most_alive(rivals["forward and backward"])
    what = f"S = {S:,}, {BATCH} digits, {device}"
    rows = [
        ratio_row(what, times, "forward and backward", "bare products", "<= 1.5", STEPS),
        ratio_row(what, times, "whole step", "bare products", "<= 1.5", STEPS),
        ratio_row(f"S = {S:,}, {FEW} digits, {device}", times, "broadcasting", "ours", None, STEPS),
    ]
    return (
        rows,
        (
            f"Allocated at once: ours {ours:.0f} MiB and broadcasting {theirs:.0f} MiB for {FEW}"
            f" digits, ours {full:.0f} MiB for {BATCH}. Both give the same estimates, to"
            f" {(same[0] - same[1]).abs().max().item():.0e} nats."
        ),
    )
