"""VampPrior: training step against pythae, likelihood against one point at a time

Training: forward, backward and Adam on one batch of 100 binary digits already in memory, the
VampPrior paper's VAE (gated 300-300, 40 latent dimensions) with 500 pseudo-inputs. pythae: its VAMP
with copies of our networks and pseudo-inputs, and the step and the reading of the loss of its
trainer, with the Adam it makes, and again with `fused=True` passed to it. Ours in float32 and, as
the weight's recipe has it, with matrix products in bfloat16. Bare products: nothing but the float32
matrix products of that step, no biases: the encoder's for the digits and for the pseudo-inputs,
which learn, and the decoder's. pythae makes its pseudo-inputs from an identity matrix by a linear
layer with a Hardtanh; ours are parameters; the layer begins with ours for its columns, so that both
losses are the same, which is checked first.

Likelihood: log p(x) of test digits with S = 5,000, no gradients. One point at a time: for each x,
ten times over, 500 copies of it are encoded, drawn and decoded, and the prior sends its
pseudo-inputs through the encoder again: what published code does, written here with our networks
and a prior that makes every pair's array. pythae: its `get_nll`, which does it with as many copies.
"""

import copy
import math
import tempfile

import torch
from peer import Decoder, Encoder, trainer
from products import bare_products
from pythae.models import VAMP, VAMPConfig
from step import Batch
from timing import hushed, ratio_row, turns

from dgmcourse import recipes
from dgmcourse.data.images import mnist
from dgmcourse.evaluate import log_likelihood
from dgmcourse.models.vamp_prior import VampVAE
from dgmcourse.train import maximise

LR, BATCH, K, STEPS, ROUNDS = 5e-4, 100, 500, 3, 20
S, COPIES, POINTS, NLL_ROUNDS = 5000, 500, 10, 3


def like_vamp(ours) -> VAMP:
    """pythae's VAMP with copies of the networks and the pseudo-inputs of `ours`."""
    config = VAMPConfig(
        input_dim=(784,),
        latent_dim=40,
        reconstruction_loss="bce",
        number_components=K,
        linear_scheduling_steps=0,
    )
    encoder = Encoder(copy.deepcopy(ours.encoder.net), ours.encoder.log_var_range)
    theirs = VAMP(config, encoder, Decoder(copy.deepcopy(ours.decoder.net)))
    layer = next(
        module for module in theirs.pseudo_inputs.modules() if isinstance(module, torch.nn.Linear)
    )
    layer.weight.data, layer.bias.data = (
        ours.prior.raw.detach().T.clone(),
        torch.zeros_like(layer.bias),
    )
    theirs.idle_input = theirs.idle_input.to(ours.prior.raw)
    return theirs


def check_same_objective(ours, x) -> float:
    """The relative difference of both losses at equal weights and noise, in float64.

    Raises:
        ValueError: if it exceeds 1e-7.
    """
    mine = copy.deepcopy(ours).double()
    theirs = like_vamp(mine).double()
    theirs.idle_input = theirs.idle_input.double()
    torch.manual_seed(0)
    loss = -mine.objective(x.double())[0].mean()
    torch.manual_seed(0)
    peers = theirs({"data": x.double()}, epoch=1).loss
    difference = abs(loss.item() / peers.item() - 1)
    if difference > 1e-7:
        raise ValueError(f"not the same objective: {loss.item()} and {peers.item()}")
    return difference


def one_point_at_a_time(model, x) -> torch.Tensor:
    estimates = []
    for point in x:
        log_w = []
        for _ in range(S // COPIES):
            batch = point.repeat(COPIES, 1)
            q, pseudo = model.encoder(batch), model.encoder(model.prior.pseudo_inputs)
            z = q.rsample()
            each = pseudo.log_prob(z[:, None])  # from differences: (copies, K, D)
            prior = torch.logsumexp(each, 1) - math.log(len(pseudo.mean))
            log_w.append(model.decoder(z).log_prob(batch) + prior - q.log_prob(z))
        estimates.append(torch.logsumexp(torch.cat(log_w), 0) - math.log(S))
    return torch.stack(estimates)


def measure(rounds: int = ROUNDS, nll_rounds: int = NLL_ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    with hushed():
        data = mnist("static")
    ours = VampVAE(40, components=K)
    x = data.train.tensor()[:BATCH]
    difference = check_same_objective(ours, x)
    with tempfile.TemporaryDirectory() as folder, hushed():
        batches = Batch(x)
        theirs = trainer(like_vamp(ours), batches, folder, LR, BATCH)
        fused = trainer(like_vamp(ours), batches, folder, LR, BATCH, fused=True)
        half = copy.deepcopy(ours)
        adams = {
            model: torch.optim.Adam(model.parameters(), lr=LR, fused=True) for model in (ours, half)
        }

        def our_steps(model):
            for _ in range(STEPS):
                with torch.autocast("cpu", torch.bfloat16, enabled=model is half):
                    value = model.objective(x)[0]
                maximise(value, adams[model])

        def their_steps(peer):
            for _ in range(STEPS):
                output = peer.model(
                    {"data": x}, epoch=1, dataset_size=len(data.train), uses_ddp=False
                )
                peer._optimizers_step(output)
                output.loss.item()

        parts = [
            bare_products(ours.encoder.net, BATCH),
            bare_products(ours.encoder.net, K, input_learns=True),
            bare_products(ours.decoder.net, BATCH),
        ]
        rivals = {
            "bare products": lambda: [part() for _ in range(STEPS) for part in parts],
            "ours": lambda: our_steps(ours),
            "ours, bfloat16": lambda: our_steps(half),
            "pythae": lambda: their_steps(theirs),
            "pythae, fused": lambda: their_steps(fused),
        }
        times = turns(rivals, rounds)
    step = f"one training step, K = {K}"
    rows = [
        ratio_row(step, times, "pythae", "ours", ">= 2", STEPS),
        ratio_row(step, times, "pythae, fused", "ours", None, STEPS),
        ratio_row(step, times, "pythae", "ours, bfloat16", ">= 2", STEPS),
        ratio_row(step, times, "ours", "bare products", None, STEPS),
        ratio_row(step, times, "pythae", "bare products", None, STEPS),
    ]
    points, found, trained = (
        data.test[:POINTS].tensor(),
        {},
        recipes.load("vamp_vae"),
    )  # whose estimate hardly scatters
    with torch.no_grad():
        rivals = {
            "ours": lambda: found.update(ours=log_likelihood(trained, points, S).mean().item()),
            "one point at a time": lambda: found.update(
                one=one_point_at_a_time(trained, points).mean().item()
            ),
            "pythae": lambda: found.update(pythae=float(peer.get_nll(points, S, COPIES))),
        }
        with hushed():
            peer = like_vamp(trained).eval()
            times = turns(rivals, nll_rounds)
    if max(found.values()) - min(found.values()) > 0.01 * abs(found["ours"]):
        raise ValueError(f"these should estimate the same log p(x): {found}")
    what = f"{POINTS} digits, S = {S:,}, K = {K}"
    rows += [
        ratio_row(what, times, rival, "ours", goal)
        for rival, goal in (("one point at a time", ">= 10"), ("pythae", None))
    ]
    return (
        rows,
        (
            f"The same objective: both losses differ by {difference:.0e} of their value at equal"
            " weights and noise, in float64."
        ),
    )
