"""Log-likelihood by importance sampling

log p(x) of test digits with S = 5,000 samples of z for each, the VampPrior paper's VAE with 40
latent dimensions, no gradients on any side. Ours: `evaluate.log_likelihood`, which encodes each x
once and sends 500 z of a few x through the decoder at a time. One point at a time: for each x, 50
times over, copy it 100 times, encode the copies, draw, decode, and take the log-sum-exp of the
5,000 at the end: what published code does (the VampPrior authors', with 500 copies 10 times:
measured, too), written here with our networks and densities. pythae: its `get_nll`, which does it
with 100 copies. Bare products: nothing but the decoder's three matrix products, no biases, for all
5,000 z of each x, 500 rows at a time and 1,000 rows at a time.
"""

import math

import torch
from peer import like
from timing import hushed, ratio_row, turns

from dgmcourse.data.images import mnist
from dgmcourse.evaluate import log_likelihood
from dgmcourse.models import VAE

S, POINTS, ROUNDS = 5000, 20, 5


def one_point_at_a_time(model, x, copies):
    estimates = []
    for point in x:
        log_w = []
        for _ in range(S // copies):
            batch = point.repeat(copies, 1)
            q = model.encoder(batch)
            z = q.rsample()
            log_w.append(model.decoder(z).log_prob(batch) + model.prior.log_prob(z) - q.log_prob(z))
        estimates.append(torch.logsumexp(torch.cat(log_w), 0) - math.log(S))
    return torch.stack(estimates)


def bare_products(model, n, rows):
    weights = [
        layer.weight.t() for layer in model.decoder.net if isinstance(layer, torch.nn.Linear)
    ]
    inputs = [torch.randn(rows, weight.shape[0], device=weight.device) for weight in weights]
    for _ in range(n // rows):
        for h, weight in zip(inputs, weights, strict=True):
            torch.mm(h, weight)


@torch.no_grad()
def measure(
    device: str = "cpu", points: int = POINTS, rounds: int = ROUNDS
) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    with hushed():
        x = mnist("dynamic").test[:points].tensor().to(device)
    ours = VAE(40).to(device).eval()
    theirs, found = like(ours).eval(), {}
    rivals = {
        "ours": lambda: found.update(ours=log_likelihood(ours, x, S).mean().item()),
        "one point at a time": lambda: found.update(
            one=one_point_at_a_time(ours, x, 100).mean().item()
        ),
        "one point, 500 copies": lambda: found.update(
            more=one_point_at_a_time(ours, x, 500).mean().item()
        ),
        "pythae": lambda: found.update(pythae=float(theirs.get_nll(x, S, 100))),
        "bare products, 500 rows": lambda: bare_products(ours, len(x) * S, 500),
        "bare products, 1,000 rows": lambda: bare_products(ours, len(x) * S, 1000),
    }
    times = turns(rivals, rounds, device == "cuda")
    if max(found.values()) - min(found.values()) > 0.01 * abs(found["ours"]):
        raise ValueError(f"these should estimate the same log p(x): {found}")
    what = f"{points} digits, S = {S:,}"
    rows = [
        ratio_row(what, times, "one point at a time", "ours", ">= 2.5"),
        ratio_row(what, times, "one point, 500 copies", "ours"),
        ratio_row(what, times, "pythae", "ours"),
        ratio_row(what, times, "ours", "bare products, 500 rows", "<= 1.5"),
        ratio_row(what, times, "ours", "bare products, 1,000 rows", "<= 1.5"),
    ]
    agree = ", ".join(f"{value:.1f}" for value in found.values())
    return rows, f"The four estimates of the mean log p(x), with untrained weights: {agree} nats."
