"""Checks of notebook 13b: a step's bound, the sum over the steps of each sequence, particles' weights.

The truth comes from quadrature over z, from loops over sequences and steps, and from arithmetic with
whole weights in place of their logarithms.
"""

import math

import numpy as np
import torch
from torch import Tensor

from dgmcourse import densities
from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Draws, Function, randn, reals
from dgmcourse.check._progress import progress as progress
from dgmcourse.densities import LOG_2PI, Bernoulli, Gaussian

# ---- the course's own answers


def _step_bound(x: Tensor, h: Tensor, prior, encoder, decoder) -> Tensor:
    q = encoder(x, h)
    z = q.rsample()
    return decoder(z, h).log_prob(x) - densities.kl(q, prior(h))


def _sum_over_steps(terms: Tensor, lengths: Tensor) -> Tensor:
    there = torch.arange(terms.shape[-1]) < lengths[:, None]
    return torch.where(there, terms, 0.0).sum(-1)


def _weigh(log_w: Tensor) -> tuple[Tensor, Tensor]:
    evidence = torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])
    return evidence, log_w.softmax(-1)


# ---- the bound of a step


class StepPrior:
    """A p(z|h) that is no network: row i of the parameters is that of row i of h, which moves them."""

    def __init__(self, mean: Tensor, log_var: Tensor, by_state: Tensor):
        self.mean, self.log_var, self.by_state = mean, log_var, by_state

    def __call__(self, h: Tensor) -> Gaussian:
        check_width(h, self.by_state, "prior(h)", "h")
        return Gaussian(self.mean + h @ self.by_state, self.log_var + 0.3 * (h @ self.by_state))


class StepEncoder(StepPrior):
    """q(z|x, h), of which row i of the parameters is what it makes of row i of x."""

    def __call__(self, x: Tensor, h: Tensor) -> Gaussian:
        check_width(h, self.by_state, "encoder(x, h)", "h")
        if x.shape[-1:] != (PIXELS,):
            raise Wrong(f"encoder(x, h) got x of shape {tuple(x.shape)}: it expects {PIXELS} keys.")
        return Gaussian(self.mean - h @ self.by_state, self.log_var - 0.3 * (h @ self.by_state))


class StepDecoder:
    """p(x|z, h): keys that are pressed or not, with logits linear in z and h."""

    def __init__(self, bias: Tensor, by_state: Tensor, weight: Tensor):
        self.bias, self.by_state, self.weight = bias, by_state, weight

    def __call__(self, z: Tensor, h: Tensor) -> Bernoulli:
        check_width(z, self.weight, "decoder(z, h)", "z")
        check_width(h, self.by_state, "decoder(z, h)", "h")
        return Bernoulli(self.bias + h @ self.by_state + z @ self.weight)


def check_width(given, matrix: Tensor, call: str, name: str) -> None:
    shape = tuple(getattr(given, "shape", ()))
    if shape[-1:] != (len(matrix),):
        raise Wrong(
            f"{call} got a {type(given).__name__} of shape {shape} for {name}: it expects"
            f" (B, {len(matrix)}) here."
        )


def reconstruction(x: Tensor, h: Tensor, prior, encoder, decoder) -> Tensor:
    """E_q[log p(x|z, h)] by Gauss-Hermite quadrature in two dimensions."""
    q = encoder(x, h)
    nodes, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(60))
    t = torch.cartesian_prod(nodes, nodes)[:, None]
    w = torch.cartesian_prod(weights, weights).prod(-1)[:, None] / (2 * math.pi)
    z = q.mean + torch.exp(q.log_var / 2) * t
    logits = decoder.bias + h @ decoder.by_state + z @ decoder.weight
    return (w * -torch.logaddexp(torch.zeros_like(logits), (1 - 2 * x) * logits).sum(-1)).sum(0)


def integrated_kl(x: Tensor, h: Tensor, prior, encoder, decoder) -> Tensor:
    """E_q[log q(z|x, h) - log p(z|h)] on a grid of z, dimension by dimension."""
    q, p = encoder(x, h), prior(h)
    t = torch.linspace(-10, 10, 4001, dtype=q.mean.dtype)  # z in standard deviations of q
    weight = torch.exp(-0.5 * t**2) * (t[1] - t[0]) / math.sqrt(2 * math.pi)
    z = q.mean[..., None] + torch.exp(q.log_var / 2)[..., None] * t
    log_q = -0.5 * (LOG_2PI + q.log_var[..., None] + t**2)
    square = (z - p.mean[..., None]) ** 2 * torch.exp(-p.log_var)[..., None]
    log_p = -0.5 * (LOG_2PI + p.log_var[..., None] + square)
    return (weight * (log_q - log_p)).sum((-1, -2))


def expected_bound(x: Tensor, h: Tensor, prior, encoder, decoder) -> Tensor:
    return reconstruction(x, h, prior, encoder, decoder) - integrated_kl(
        x, h, prior, encoder, decoder
    )


def standard(h: Tensor) -> Gaussian:
    return Gaussian(torch.zeros_like(h[..., :2]), torch.zeros_like(h[..., :2]))


def bound(
    of_prior=lambda prior, h: prior(h),
    of_encoder=lambda encoder, x, h: encoder(x, h),
    of_decoder=lambda decoder, z, h: decoder(z, h),
    draw=lambda q, p: q.rsample(),
    log_prob=lambda p, x: p.log_prob(x),
    divergence=lambda q, p: densities.kl(q, p),
):
    """A slip: the bound with one of its parts made otherwise."""

    def answer(x, h, prior, encoder, decoder):
        q, p = of_encoder(encoder, x, h), of_prior(prior, h)
        z = draw(q, p)
        return log_prob(of_decoder(decoder, z, h), x) - divergence(q, p)

    return answer


def without_path(combine):
    """A slip: made of log p(x|z, h), log q(z|x, h), the two densities and a z that cuts gradients."""

    def answer(x, h, prior, encoder, decoder):
        q, p = encoder(x, h), prior(h)
        z = q.sample()
        return combine(decoder(z, h).log_prob(x), q.log_prob(z), q, p, z)

    return answer


def free_bits(total: float = 0.0, each: float = 0.0):
    """A slip: the KL held at so many nats at least, as a whole and in each dimension."""

    def divergence(q, p):
        alone = (Gaussian(g.mean[..., None], g.log_var[..., None]) for g in (q, p))
        return densities.kl(*alone).clamp(min=each).sum(-1).clamp(min=total)

    return bound(divergence=divergence)


CUT_OFF = "the gradient does not pass through z: .sample() cuts it off, .rsample() does not"
SURROGATE = (
    "log q(z|x, h) stands in it as a factor, as for the score-function gradient: so its value is no"
    " bound. Draw z with q.rsample(), through which the gradient passes, and leave the factor out"
)
FLOOR = (
    "you hold the KL above a floor (free bits): that is a trick of training. In the bound the KL may"
    " be as small as it is"
)
PIXELS = 3
ROWS = reals(
    [[0.7, -0.5], [-1.0, 1.2], [0.2, 0.9], [-1.5, -0.4]],  # of q: mean, log-variance
    [[-1.2, 0.4], [0.3, -0.7], [-2.0, -0.1], [0.6, 0.2]],
    [[0.4, 0.3], [-0.6, 0.1], [0.9, -0.8], [-0.2, 0.5]],  # of the prior
    [[0.5, -0.6], [-0.9, 0.4], [0.2, 0.7], [-0.3, -1.0]],
    [[0.3, -0.6, 0.9], [1.1, 0.2, -0.5], [-0.4, 0.8, 0.1], [0.0, -1.0, 0.7]],
    [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]],
    [[0.8, -0.3, 0.5, 1.2], [-0.7, 1.1, 0.4, -0.9], [0.1, 0.6, -1.3, 0.2], [1.4, -0.5, -0.2, 0.7]],
)
NEAR = reals(  # q is nearly the prior
    [[0.35, -0.55], [-0.8, 0.2]],
    [[-0.45, 0.3], [0.2, -0.6]],
    [[0.4, -0.6], [-0.75, 0.25]],
    [[-0.5, 0.35], [0.15, -0.5]],
    [[0.3, -0.6, 0.9], [1.1, 0.2, -0.5]],
    [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]],
    [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]],
)
SURE = reals(
    [[0.1, -0.2]],
    [[-1.0, -2.0]],
    [[0.3, 0.2]],
    [[-0.5, 0.1]],
    [[60.0, 60.0, -60.0]],
    [[1.0, 0.0, 0.0]],
    [[0.0, 0.0, 0.0, 0.0]],
)
OF_Z, OF_X = randn(11, (4, 2), (4, 3))
WEIGHT = torch.tensor([[1.5, -1.0, 0.5], [0.5, 1.0, -2.0]], dtype=torch.float64)


def with_nets(mean, log_var, p_mean, p_log_var, bias, x, h, scale):
    """The arguments of the inputs; the networks' weights are `scale` times those above."""
    prior = StepPrior(p_mean, p_log_var, 0.7 * scale * OF_Z)
    encoder = StepEncoder(mean, log_var, 0.4 * scale * OF_Z)
    return x, h, prior, encoder, StepDecoder(bias, scale * OF_X, scale * WEIGHT)


step_bound = Exercise(
    name="step_bound",
    solution=_step_bound,
    judge=Draws(
        "the bound",
        truth=expected_bound,
        given=with_nets,
        rows="mean log_var p_mean p_log_var bias x h",
        learn=("mean", "log_var", "p_mean", "p_log_var", "bias"),
        cases=[(*ROWS, 1.0)],
        edges=[
            *("where q is nearly the prior", FLOOR, (*NEAR, 0.5)),
            "for a wrong key of logit 60",
            "it costs 60 nats, so you went through probabilities, clamped or rounded. Use"
            " decoder(z, h).log_prob(x), which works on logits",
            (*SURE, 0.0),
        ],
        slips=[
            "the same x gives the same value every time: you decoded the mean of q. Draw z from q",
            bound(draw=lambda q, p: q.mean),
            "the noise of z has the wrong width: it is exp(log_var / 2), as q.rsample() has",
            bound(draw=lambda q, p: q.mean + torch.exp(q.log_var) * torch.randn_like(q.mean)),
            CUT_OFF,
            bound(draw=lambda q, p: q.sample()),
            "you drew z from the prior. That is how a step is drawn, not how it is scored: draw it"
            " from q(z|x, h)",
            bound(draw=lambda q, p: p.rsample()),
            "you took the KL to N(0, I): the prior of this step is prior(h)",
            bound(of_prior=lambda prior, h: standard(h)),
            "the prior has not seen the state: prior(h)",
            bound(of_prior=lambda prior, h: prior(torch.zeros_like(h))),
            "the encoder has not seen the state: encoder(x, h)",
            bound(of_encoder=lambda encoder, x, h: encoder(x, torch.zeros_like(h))),
            "the decoder has not seen the state: decoder(z, h)",
            bound(of_decoder=lambda decoder, z, h: decoder(z, torch.zeros_like(h))),
            "the decoder has not seen z: decoder(z, h)",
            bound(of_decoder=lambda decoder, z, h: decoder(torch.zeros_like(z), h)),
            "the KL is turned round: it is KL[q(z|x, h) || p(z|h)], kl(q, prior(h))",
            bound(divergence=lambda q, p: densities.kl(p, q)),
            "the KL counts half: sum it over the latent dimensions, don't average it",
            bound(divergence=lambda q, p: densities.kl(q, p) / 2),
            *(part for floor in (3.0, 5.0) for part in (FLOOR, free_bits(total=floor))),
            *(part for floor in (1.0, 2.0) for part in (FLOOR, free_bits(each=floor))),
            "the KL is cut off above: it may be as large as it is",
            bound(divergence=lambda q, p: densities.kl(q, p).clamp(max=1.0)),
            "you averaged log p(x|z, h) over the keys: sum it",
            bound(log_prob=lambda p, x: p.log_prob(x) / PIXELS),
            "that is a squared error: use decoder(z, h).log_prob(x)",
            bound(log_prob=lambda p, x: -((x - p.mean) ** 2).sum(-1)),
            "that is the probability of x, not its logarithm",
            bound(log_prob=lambda p, x: p.log_prob(x).exp()),
            "the prior does not learn: its gradient is cut off",
            bound(
                divergence=lambda q, p: densities.kl(
                    q, Gaussian(p.mean.detach(), p.log_var.detach())
                )
            ),
            "log p(z|h) counts, and log q(z|x, h) does not: the KL is the mean of log q - log p",
            bound(divergence=lambda q, p: -p.log_prob(q.rsample())),
            CUT_OFF,  # averages with much noise, and so last: they would agree with others
            without_path(lambda r, log_q, q, p, z: r + p.log_prob(z) - log_q),
            SURROGATE,
            without_path(lambda r, log_q, q, p, z: r * log_q - densities.kl(q, p)),
            SURROGATE,
            without_path(lambda r, log_q, q, p, z: r + r * log_q - densities.kl(q, p)),
            SURROGATE,
            without_path(lambda r, log_q, q, p, z: (r - densities.kl(q, p)) * log_q),
            SURROGATE,
            without_path(lambda r, log_q, q, p, z: (r - densities.kl(q, p)) * (1 + log_q)),
        ],
        terms={
            "the reconstruction": reconstruction,
            "the KL, subtracted,": lambda *given: -integrated_kl(*given),
        },
        shared="one noise for the whole batch: every row needs a z of its own, as q.rsample() gives",
        unit="nats",
        praise="over 5,000 draws of z the first row's mean bound is {trial.found[0].value[0]:.3f} +-"
        " {trial.found[0].error[0]:.3f} nats, by integration {trial.truth[0].value[0]:.3f}; the"
        " gradients agree too, that of the prior among them.",
    ),
    hints=[
        "It is the ELBO of notebook 07, with h handed to all three networks, and a prior that is one"
        " of them.",
        "q = encoder(x, h); z = q.rsample(); then log p(x|z, h), and KL[q || prior(h)], which kl(q, p)"
        " gives.",
        "decoder(z, h).log_prob(x) - kl(q, prior(h))",
    ],
)


# ---- the sum over the steps


def step_by_step(terms: Tensor, lengths: Tensor) -> Tensor:
    """By two loops, which never touch what lies behind an end."""
    return torch.stack(
        [sum(terms[i, t] for t in range(int(n))) for i, n in enumerate(lengths.tolist())]
    )


def there(terms: Tensor, lengths: Tensor, more: int = 0) -> Tensor:
    return torch.arange(terms.shape[-1]) < lengths[:, None] + more


TERMS = randn(5, (5, 7))[0] - 1.0
LENGTHS = torch.tensor([7, 2, 4, 1, 5])
INFINITE = torch.where(there(TERMS, LENGTHS), TERMS, -math.inf)

sum_over_steps = Exercise(
    name="sum_over_steps",
    solution=_sum_over_steps,
    judge=Function(
        "the sum",
        truth=step_by_step,
        rows="terms lengths",
        cases=[(TERMS, LENGTHS), (TERMS[1:, :5], LENGTHS[1:])],
        edges=[
            *("for sequences of one step", "", (TERMS[:, :1], torch.ones(5, dtype=torch.long))),
            *("where all are as long as the batch", "", (TERMS, torch.full((5,), 7))),
            "where what lies behind an end is -inf",
            "0 times -inf is no number. Choose, don't multiply: torch.where(there, terms, 0.0)",
            (INFINITE, LENGTHS),
        ],
        slips=[
            "what lies behind an end counts: sum the first lengths[i] steps of row i alone",
            lambda terms, lengths: terms.sum(-1),
            "one step too many: steps count from 0, so the last one there is is lengths - 1",
            lambda terms, lengths: torch.where(there(terms, lengths, 1), terms, 0.0).sum(-1),
            "the last step of each sequence is missing: steps 0 to lengths - 1 are there",
            lambda terms, lengths: torch.where(there(terms, lengths, -1), terms, 0.0).sum(-1),
            "the first step is missing: steps 0 to lengths - 1 are there",
            lambda terms, lengths: torch.where(there(terms, lengths), terms, 0.0)[:, 1:].sum(-1),
            "you summed the last lengths[i] steps: filler stands at the end of a row, so count the"
            " steps that are there from its beginning",
            lambda terms, lengths: torch.where(there(terms, lengths), terms.flip(-1), 0.0).sum(-1),
            "what is not there counts as 0 in a sum, not as -inf: torch.where(there, terms, 0.0)",
            lambda terms, lengths: torch.where(there(terms, lengths), terms, -math.inf).sum(-1),
            "you kept what lies behind the ends, and dropped the sequences",
            lambda terms, lengths: torch.where(there(terms, lengths), 0.0, terms).sum(-1),
            "that is the mean of each sequence's steps: log p(x) is their sum",
            lambda terms, lengths: torch.where(there(terms, lengths), terms, 0.0).sum(-1) / lengths,
            "you divided by the batch's number of steps, padding among them: sum",
            lambda terms, lengths: (
                torch.where(there(terms, lengths), terms, 0.0).sum(-1) / terms.shape[-1]
            ),
            "you divided by the number of all steps of the batch: each sequence's own sum is asked for",
            lambda terms, lengths: (
                torch.where(there(terms, lengths), terms, 0.0).sum(-1) / lengths.sum()
            ),
            "you divided by the mean length: each sequence's own sum is asked for",
            lambda terms, lengths: (
                torch.where(there(terms, lengths), terms, 0.0).sum(-1) / lengths.double().mean()
            ),
            "that is the mean over all steps, padding among them: sum, and each row up to its end",
            lambda terms, lengths: terms.mean(-1),
            "that is the last step of each sequence alone: sum all up to there",
            lambda terms, lengths: terms.gather(-1, lengths[:, None] - 1).squeeze(-1),
            "the shortest length cuts all sequences off: each has its own",
            lambda terms, lengths: terms[:, : int(lengths.min())].sum(-1),
        ],
        shapes=[
            (7,),
            "you summed over the batch: steps are the last axis, .sum(-1)",
            (5, 7),
            "the steps are still there: sum over the last axis, .sum(-1)",
        ],
        errors={
            "must match the size": "lengths is (B,) and the steps' numbers are (T,), with T ="
            " terms.shape[-1]: compare them as lengths[:, None], so that each sequence meets each step"
        },
        unit="nats",
        praise="each sequence has its own sum, to {trial.off:.0e} nats, and no gradient reaches what"
        " lies behind an end.",
    ),
    hints=[
        "Which steps are there? Number them with torch.arange(T), and compare with the lengths.",
        "there = torch.arange(terms.shape[-1]) < lengths[:, None], of shape (B, T).",
        "torch.where(there, terms, 0.0).sum(-1)",
    ],
)


# ---- weights of particles


def whole_weights(log_w: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the weights and their shares, relative to the row's largest, one by one."""
    evidence, shares = [], []
    for row in log_w:
        top = row.max().detach()
        w = [torch.exp(value - top) for value in row]
        evidence.append(torch.log(sum(w) / len(w)) + top)
        shares.append(torch.stack(w) / sum(w))
    return torch.stack(evidence), torch.stack(shares)


LOG_W = randn(8, (3, 5))[0] * 1.5 - torch.tensor([[2.0], [4.0], [3.0]], dtype=torch.float64)
DEEP = reals([[-900.0, -901.0, -899.5], [-1200.0, -1203.0, -1200.5]])[0]

weigh = Exercise(
    name="weigh",
    solution=_weigh,
    judge=Function(
        ("the evidence", "the table of shares"),
        truth=whole_weights,
        rows="log_w",
        learn_through=("the evidence",),  # what is drawn by the shares has no gradient
        cases=[[LOG_W]],
        edges=[
            *("for one particle", "S is log_w.shape[-1]", [LOG_W[:, :1]]),
            "where all weights are e^-900",
            "exp(-900) is 0 in a computer. torch.logsumexp and softmax subtract the largest first",
            [DEEP],
        ],
        slips={
            "the evidence": [
                "that is the log of the sum of the weights, not of their mean: it is log S too much",
                lambda log_w: torch.logsumexp(log_w, -1),
                "that is log B in place of log S: particles are the last axis, log_w.shape[-1]",
                lambda log_w: torch.logsumexp(log_w, -1) - math.log(len(log_w)),
                "you divided by all B S particles of the batch: each row has S, log_w.shape[-1]",
                lambda log_w: torch.logsumexp(log_w, -1) - math.log(log_w.numel()),
                "the sum's logarithm is divided by S: log S is subtracted from it",
                lambda log_w: torch.logsumexp(log_w, -1) / log_w.shape[-1],
                "you subtracted the largest log-weight first, and did not add it again at the end",
                lambda log_w: (log_w - log_w.amax(-1, keepdim=True)).exp().mean(-1).log(),
                "that is the mean of the logarithms, a bound: the mean of the weights comes first,"
                " then the logarithm",
                lambda log_w: log_w.mean(-1),
                "that is the mean of the weights: its logarithm is asked for",
                lambda log_w: log_w.exp().mean(-1),
                "that is the largest weight alone: take the mean of all",
                lambda log_w: log_w.amax(-1),
                "log S has the wrong sign: a mean is the sum divided by S",
                lambda log_w: torch.logsumexp(log_w, -1) + math.log(log_w.shape[-1]),
            ],
            "the table of shares": [
                "a row does not sum to 1: divide the weights by their sum, .softmax(-1)",
                lambda log_w: log_w.exp(),
                "each weight is divided by the largest one, so a row does not sum to 1: divide by their"
                " sum, .softmax(-1)",
                lambda log_w: (log_w - log_w.amax(-1, keepdim=True)).exp(),
                "each weight is divided by the batch's largest one, so a row does not sum to 1: divide"
                " by the row's sum, .softmax(-1)",
                lambda log_w: (log_w - log_w.max()).exp(),
                "each weight is divided by S, so a row does not sum to 1: divide by their sum,"
                " .softmax(-1)",
                lambda log_w: log_w.exp() / log_w.shape[-1],
                "all weights of the batch were divided by one sum: each row has its own, .softmax(-1)",
                lambda log_w: log_w.exp() / log_w.exp().sum(),
                "a row sums to S: divide by the sum of the weights, not by their mean",
                lambda log_w: log_w.softmax(-1) * log_w.shape[-1],
                "those are the logarithms of the shares",
                lambda log_w: log_w.log_softmax(-1),
                "you normalised over the batch: particles are the last axis, .softmax(-1)",
                lambda log_w: log_w.softmax(0),
                "the heaviest particle has all: the others have their shares, too",
                lambda log_w: torch.zeros_like(log_w).scatter(-1, log_w.argmax(-1, True), 1.0),
                "all particles have the same share: it depends on their weights",
                lambda log_w: torch.full_like(log_w, 1 / log_w.shape[-1]),
                "light particles have the large shares: your sign is turned",
                lambda log_w: (-log_w).softmax(-1),
                "log_w is a logarithm: exponentiate before you divide",
                lambda log_w: log_w / log_w.sum(-1, keepdim=True),
            ],
        },
        shapes={
            "the evidence": [(5,), "you averaged over the batch: particles are the last axis"],
            "the table of shares": [(3,), "one share for each particle: (B, S)"],
        },
        praise="evidence and shares agree with whole weights, to {trial.off:.0e}, even where they are"
        " e^-900.",
    ),
    hints=[
        "Two things of the same weights w = exp(log_w): the log of their mean, and w / sum(w).",
        "torch.logsumexp(log_w, -1) is the log of the sum. The mean is the sum divided by S.",
        "torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1]), log_w.softmax(-1)",
    ],
)
