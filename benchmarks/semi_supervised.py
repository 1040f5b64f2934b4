"""Semi-supervised training step against pyro

Forward, backward and Adam of M2 (784-500-50, ten classes, softplus) on a batch of 100 unlabelled
and 100 labelled binary digits already in memory, with the same weights on both sides. Ours:
`objective` and `maximise` with the Adam of `fit`, fused, in float32 and with matrix products in
bfloat16, which are slower, not faster, on a processor that has no instructions for them. pyro: the
model and the guide of its SS-VAE example, with our networks, y enumerated in parallel by
`config_enumerate` and `TraceEnum_ELBO`, and what the example does with them: one `SVI.step` for
each of the two bounds and the classification loss, with pyro's own Adam and its checks, as they are
by default. "pyro, one step" is the fastest we could make of it: the three parts as one objective,
which is ours, one step of a fused Adam, and no checks. Bare products: nothing but the
float32 matrix products of our step, no biases.
"""

import copy

import pyro
import pyro.distributions as dist
import torch
from products import bare_products
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from timing import hushed, ratio_row, turns

from dgmcourse.data.images import mnist
from dgmcourse.data.labels import balanced
from dgmcourse.models.semi_supervised_vae import M2
from dgmcourse.train import maximise

LR, BATCH, SHARE, STEPS, ROUNDS, DRAWS = 3e-4, 100, 0.002, 2, 12, 40


class SSVAE:
    """pyro's model, guide and classification loss around the networks of an M2."""

    def __init__(self, ours: M2):
        self.networks = ours
        self.guide = config_enumerate(self.guide, "parallel", expand=True)
        self.elbo = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)

    def model(self, x, y=None):
        pyro.module("networks", self.networks)
        like = self.networks.prior.logits
        with pyro.plate("data", len(x)):
            zeros = like.new_zeros(len(x), self.networks.prior.z.dim)
            z = pyro.sample("z", dist.Normal(zeros, torch.ones_like(zeros)).to_event(1))
            prior = dist.OneHotCategorical(logits=like.expand(len(x), -1))
            y = pyro.sample("y", prior, obs=y)
            y = y.expand(*z.shape[:-1], -1)
            logits = self.networks.decoder.net(torch.cat([y, z], -1))
            pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(self, x, y=None):
        pyro.module("networks", self.networks)
        with pyro.plate("data", len(x)):
            if y is None:
                y = pyro.sample("y", dist.OneHotCategorical(logits=self.networks.encoder.y.net(x)))
            given = torch.cat([x.expand(*y.shape[:-1], -1), y], -1)
            mean, log_var = self.networks.encoder.z(given).chunk(2, -1)
            std = (0.5 * log_var.clamp(*self.networks.encoder.log_var_range)).exp()
            pyro.sample("z", dist.Normal(mean, std).to_event(1))

    def classification(self, x, y):
        pyro.module("networks", self.networks)
        with pyro.plate("data", len(x)), pyro.poutine.scale(scale=self.networks.alpha):
            logits = self.networks.encoder.y.net(x)
            pyro.sample("y", dist.OneHotCategorical(logits=logits), obs=y)

    def objective(self, x, labelled, y):
        """The three parts together, weighed as by our objective: a number."""
        bound = self.elbo.differentiable_loss(self.model, self.guide, x) / len(x)
        of_labelled = self.elbo.differentiable_loss(self.model, self.guide, labelled, y) / len(y)
        logits = self.networks.encoder.y.net(labelled)
        log_q = dist.OneHotCategorical(logits=logits).log_prob(y).mean()
        return self.networks.alpha * log_q - bound - SHARE * of_labelled


def check_same_objective(ours: M2, x, labelled, y) -> float:
    """How far the means of both objectives are apart, in standard errors, over draws of z.

    Raises:
        ValueError: if it is more than four.
    """
    ours = copy.deepcopy(ours).double()
    x, labelled, theirs = x.double(), labelled.double(), SSVAE(ours)
    one_hot = ours.one_hot(y, labelled)
    both = [
        (
            ours.objective(x, labelled, y, SHARE)[0].mean().item(),
            theirs.objective(x, labelled, one_hot).item(),
        )
        for _ in range(DRAWS)
    ]
    draws = torch.tensor(both)
    error = (draws.var(0).sum() / DRAWS).sqrt()
    apart = float((draws[:, 0].mean() - draws[:, 1].mean()).abs() / error)
    if apart > 4:
        raise ValueError(f"not the same objective: {draws.mean(0).tolist()}, {apart:.1f} errors")
    return apart


def measure(rounds: int = ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    pyro.enable_validation(False)
    with hushed():
        data = mnist("static").train
    of_classes = balanced(data.y, BATCH)
    x, labelled, y = data[:BATCH].tensor(), data[of_classes].tensor(), data.y[of_classes]
    ours = M2()
    apart = check_same_objective(ours, x, labelled, y)
    half, theirs, three = (copy.deepcopy(ours) for _ in range(3))
    one_hot = ours.one_hot(y, labelled)
    adams = {
        model: torch.optim.Adam(model.parameters(), lr=LR, fused=True)
        for model in (ours, half, theirs)
    }
    peer, example = SSVAE(theirs), SSVAE(three)
    pyro.clear_param_store()
    adam = pyro.optim.Adam({"lr": LR})
    bound = SVI(example.model, example.guide, adam, example.elbo)
    classes = SVI(example.classification, lambda x, y: None, adam, Trace_ELBO())

    def our_steps(model):
        for _ in range(STEPS):
            with torch.autocast("cpu", torch.bfloat16, enabled=model is half):
                value = model.objective(x, labelled, y, SHARE)[0]
            maximise(value, adams[model])

    def one_step():
        for _ in range(STEPS):
            maximise(peer.objective(x, labelled, one_hot), adams[theirs])

    def three_steps():
        with pyro.validation_enabled(True):
            for _ in range(STEPS):
                bound.step(x)
                bound.step(labelled, one_hot)
                classes.step(labelled, one_hot)

    rows = BATCH * (ours.classes + 1)  # what is decoded
    parts = [
        bare_products(ours.encoder.y, 2 * BATCH),
        bare_products(ours.encoder.z.a, 2 * BATCH),
        bare_products(ours.encoder.z.rest, rows, input_learns=True),
        bare_products(ours.decoder, rows, input_learns=True),
    ]
    times = turns(
        {
            "bare products": lambda: [part() for _ in range(STEPS) for part in parts],
            "ours": lambda: our_steps(ours),
            "ours, bfloat16": lambda: our_steps(half),
            "pyro": three_steps,
            "pyro, one step": one_step,
        },
        rounds,
    )
    what = f"one step, {BATCH} + {BATCH} digits"
    return [
        ratio_row(what, times, "pyro", "ours", ">= 2", STEPS),
        ratio_row(what, times, "pyro, one step", "ours", ">= 2", STEPS),
        ratio_row(what, times, "pyro", "ours, bfloat16", ">= 2", STEPS),
        ratio_row(what, times, "ours", "bare products", None, STEPS),
        ratio_row(what, times, "pyro, one step", "bare products", None, STEPS),
    ], (
        f"The same objective: over {DRAWS} draws of z the means of both are {apart:.1f} standard"
        " errors apart, in float64."
    )
