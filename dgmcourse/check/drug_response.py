"""Checks of notebook 15: the pair's bound, states from their posteriors, the response summed out.

The truth comes from log-densities at points with the mean and covariance of the noise, which is exact
for linear Gaussian networks; from one row after the other; and from the bound's distance to
log sum_y exp L.
"""

import math

import torch
from torch import Tensor

from dgmcourse import densities
from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Draws, Function, randn, reals
from dgmcourse.check._progress import progress as progress
from dgmcourse.densities import Gaussian

# ---- the course's own answers


def standard(q: Gaussian) -> Gaussian:
    return Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))


def _pair_bound(x1: Tensor, x2: Tensor, encoder, decoder, move) -> Tensor:
    q1, q2 = encoder(x1), encoder(x2)
    z1, z2 = q1.rsample(), q2.rsample()
    reconstruction = decoder(z1).log_prob(x1) + decoder(z2).log_prob(x2)
    return reconstruction - densities.kl(q1, standard(q1)) - densities.kl(q2, move(z1))


def _states(x1, x2, paired, e1, e2, encoder, move):
    def drawn(q: Gaussian, e: Tensor) -> Tensor:
        return q.mean + torch.exp(q.log_var / 2) * e

    z1 = drawn(encoder(x1), e1)
    z2 = torch.where(paired[:, None], drawn(encoder(x2), e2), drawn(move(z1), e2))
    return z1, z2


def _response_bound(y: Tensor, log_q: Tensor, L: Tensor) -> Tensor:
    known = L.gather(-1, y.clamp_min(0)[:, None])[:, 0]
    return torch.where(y >= 0, known, (log_q.exp() * (L - log_q)).sum(-1))


# ---- networks of the tests, all of them linear


class Encoder:
    """q(z|x) = N(shift + x E, exp(log_var - 0.8 + 0.4 tanh(x F)))."""

    def __init__(self, shift: Tensor, log_var: Tensor):
        self.shift, self.log_var = shift, log_var

    def __call__(self, x: Tensor) -> Gaussian:
        check_width(x, 3, "encoder(x)", "genes")
        return Gaussian(self.shift + x @ E, self.log_var - 0.8 + 0.4 * torch.tanh(x @ F))


def decoder(z: Tensor) -> Gaussian:
    """p(x|z)."""
    check_width(z, 2, "decoder(z)", "latent dimensions")
    mean = z @ A + 0.3
    return Gaussian(mean, OF_GENES.expand_as(mean))


def move(z1: Tensor) -> Gaussian:
    """p(z_2|z_1)."""
    check_width(z1, 2, "move(z1)", "latent dimensions")
    mean = z1 + z1 @ W + B
    return Gaussian(mean, OF_MOVE.expand_as(mean))


def check_width(given, width: int, call: str, what: str) -> None:
    shape = tuple(getattr(given, "shape", ()))
    if shape[-1:] != (width,):
        raise Wrong(
            f"{call} got a {type(given).__name__} of shape {shape}: it expects {width} {what} last."
        )


E, F, A = reals(
    [[0.6, -0.3], [0.2, 0.5], [-0.4, 0.3]],
    [[0.5, 1.0], [-1.0, 0.4], [0.8, -0.6]],
    [[1.0, -0.6, 0.4], [0.3, 0.9, -0.8]],
)
W, B, OF_GENES, OF_MOVE = reals([[-0.7, 0.4], [0.5, 0.6]], [0.9, -0.7], [0.3, 0.7, 0.5], [0.2, 0.5])


# ---- the pair's bound


def over_noise(f, n: int) -> Tensor:
    """The mean of f(noise), exact for what is quadratic in noise of n dimensions."""
    points = math.sqrt(n) * torch.cat([torch.eye(n), -torch.eye(n)]).double()
    return torch.stack([f(point) for point in points]).mean(0)


def at(q: Gaussian, noise: Tensor) -> Tensor:
    return q.mean + torch.exp(q.log_var / 2) * noise


def expected(term):
    """E_q of a term(x1, x2, q1, q2, z1, z2)."""

    def of(x1, x2, encoder, decoder, move):
        q1, q2 = encoder(x1), encoder(x2)
        return over_noise(lambda e: term(x1, x2, q1, q2, at(q1, e[:2]), at(q2, e[2:])), 4)

    return of


before_drug = expected(lambda x1, x2, q1, q2, z1, z2: decoder(z1).log_prob(x1))
after_drug = expected(lambda x1, x2, q1, q2, z1, z2: decoder(z2).log_prob(x2))
first_kl = expected(lambda x1, x2, q1, q2, z1, z2: standard(q1).log_prob(z1) - q1.log_prob(z1))
second_kl = expected(lambda x1, x2, q1, q2, z1, z2: move(z1).log_prob(z2) - q2.log_prob(z2))


def expected_bound(x1, x2, encoder, decoder, move):
    parts = (before_drug, after_drug, first_kl, second_kl)
    return sum(part(x1, x2, encoder, decoder, move) for part in parts)


def bound(
    second=lambda q1, q2: q2.rsample(),
    first=lambda q1: q1.rsample(),
    moved=lambda q2, q1, z1, z2, move: densities.kl(q2, move(z1)),
    stays=lambda q1: densities.kl(q1, standard(q1)),
    log_prob=lambda p, x: p.log_prob(x),
):
    """A slip: the bound with one of its parts made otherwise."""

    def answer(x1, x2, encoder, decoder, move):
        q1, q2 = encoder(x1), encoder(x2)
        z1 = first(q1)
        z2 = second(q1, q2)
        reconstruction = log_prob(decoder(z1), x1) + log_prob(decoder(z2), x2)
        return reconstruction - stays(q1) - moved(q2, q1, z1, z2, move)

    return answer


ROWS = reals(
    [[0.2, -0.4], [-0.9, 0.7], [1.1, 0.3], [0.4, 1.2], [-1.3, -0.6], [0.7, -1.1]],
    [[-0.6, 0.3], [0.2, -0.9], [-1.1, -0.2], [0.5, 0.1], [-0.3, -1.4], [0.0, 0.6]],
    [
        *([0.9, -1.2, 0.4], [-0.7, 0.5, 1.3], [1.6, 0.8, -0.9]),
        *([0.1, -0.3, 1.1], [-1.5, 1.0, 0.2], [0.6, 1.4, -0.1]),
    ],
    [
        *([-0.4, 0.9, 1.5], [1.2, -1.4, 0.2], [0.3, 1.7, -1.1]),
        *([-1.6, 0.2, 0.5], [0.8, 0.7, -0.3], [-0.2, -1.8, 1.9]),
    ],
)

pair_bound = Exercise(
    name="pair_bound",
    solution=_pair_bound,
    judge=Draws(
        "the bound",
        truth=expected_bound,
        given=lambda shift, log_var, x1, x2: (x1, x2, Encoder(shift, log_var), decoder, move),
        rows="shift log_var x1 x2",
        learn=("shift", "log_var"),
        cases=[ROWS],
        slips=[
            "z2 is drawn from q(z1|x1), the state before the drug: x2 has a posterior of its own,"
            " encoder(x2). (The published code does the same.)",
            bound(second=lambda q1, q2: q1.rsample()),
            "the KL of z2 is turned round: it is KL[q(z2|x2) || p(z2|z1)], kl(q2, move(z1))",
            bound(moved=lambda q2, q1, z1, z2, move: densities.kl(move(z1), q2)),
            "z2 is compared with N(0, I): its prior is p(z2|z1), move(z1)",
            bound(moved=lambda q2, q1, z1, z2, move: densities.kl(q2, standard(q2))),
            "the drug moves the mean of q(z1|x1): it moves the z1 that you drew, move(z1)",
            bound(moved=lambda q2, q1, z1, z2, move: densities.kl(q2, move(q1.mean))),
            "the drug moves z2: move takes the state before it, move(z1)",
            bound(moved=lambda q2, q1, z1, z2, move: densities.kl(q2, move(z2))),
            "p(z2|z1) is compared with q(z1|x1): it is q(z2|x2) that it is the prior of",
            bound(moved=lambda q2, q1, z1, z2, move: densities.kl(q1, move(z1))),
            "the same pair gives a bound with too little noise: you decoded the mean of q(z2|x2)."
            " Draw z2",
            bound(second=lambda q1, q2: q2.mean),
            "you decoded the mean of q(z1|x1): draw z1",
            bound(first=lambda q1: q1.mean),
            "the gradient does not pass through z2: .sample() cuts it off, .rsample() does not",
            bound(second=lambda q1, q2: q2.sample()),
            "the KL of z1 is turned round: it is KL[q(z1|x1) || p(z1)], kl(q1, StandardGaussian(d))",
            bound(stays=lambda q1: densities.kl(standard(q1), q1)),
            "you averaged over the genes: sum them, as .log_prob does",
            bound(log_prob=lambda p, x: p.log_prob(x) / 3),
            "that is a squared error: use decoder(z).log_prob(x)",
            bound(log_prob=lambda p, x: -((x - p.mean) ** 2).sum(-1)),
            "you averaged the KL of z1 over its dimensions: sum them",
            bound(stays=lambda q1: densities.kl(q1, standard(q1)) / 2),
            "the gradient of z2's KL is cut off: no .detach() there",
            bound(moved=lambda q2, q1, z1, z2, move: densities.kl(q2, move(z1)).detach()),
        ],
        terms={
            "log p(x1|z1)": before_drug,
            "log p(x2|z2)": after_drug,
            "the KL of z1, subtracted,": first_kl,
            "the KL of z2, subtracted,": second_kl,
        },
        shared="one noise for the whole batch: every cell needs its own, as q.rsample() gives",
        unit="nats",
        praise="over 5,000 draws the first pair's mean bound is {trial.found[0].value[0]:.3f} +-"
        " {trial.found[0].error[0]:.3f} nats, in closed form {trial.truth[0].value[0]:.3f}; the"
        " gradients agree too.",
    ),
    hints=[
        "Two VAEs that share encoder and decoder. Only the prior of the second state differs: it is"
        " where the drug takes the first, move(z1).",
        "q1, q2 = encoder(x1), encoder(x2); z1, z2 = q1.rsample(), q2.rsample(). Two log_prob, two kl.",
        "... - kl(q1, StandardGaussian(d)) - kl(q2, move(z1)), with d = z1.shape[-1]",
    ],
)


# ---- states from their posteriors


def one_by_one(x1, x2, paired, e1, e2, encoder, move):
    """Row after row, and dimension after dimension."""
    q1, q2 = encoder(x1), encoder(x2)
    first = q1.mean + e1 * q1.log_var.exp().sqrt()
    p = move(first)
    rows = [
        (q2 if there else p).mean[i] + e2[i] * (q2 if there else p).log_var[i].exp().sqrt()
        for i, there in enumerate(paired.tolist())
    ]
    return first, torch.stack(rows) if rows else first[:0]


def second(from_, width=lambda q: torch.exp(q.log_var / 2), noise=lambda e1, e2: e2):
    """A slip: z2 made otherwise, of each cell."""

    def answer(x1, x2, paired, e1, e2, encoder, move):
        q1, q2 = encoder(x1), encoder(x2)
        z1, e = at(q1, e1), noise(e1, e2)
        q = from_(q1, q2, move, z1)
        measured, missing = q if isinstance(q, tuple) else (q, q)
        return torch.where(
            paired[:, None],
            measured.mean + width(measured) * e,
            missing.mean + width(missing) * e,
        )

    return answer


def right(q1, q2, move, z1):
    return q2, move(z1)


def first_state(width):
    def answer(x1, x2, paired, e1, e2, encoder, move):
        q1 = encoder(x1)
        return q1.mean + width(q1, e1, e2)

    return answer


SHIFT, LOG_VAR, X1, X2 = ROWS
PAIRED = torch.tensor([True, False, True, False, False, True])
E1, E2 = randn(5, (6, 2), (6, 2))

states = Exercise(
    name="states",
    solution=_states,
    judge=Function(
        ("z1", "z2"),
        truth=one_by_one,
        given=lambda shift, log_var, x1, x2, paired, e1, e2: (
            *(x1, x2, paired, e1, e2),
            *(Encoder(shift, log_var), move),
        ),
        rows="shift log_var x1 x2 paired e1 e2",
        learn=("shift", "log_var"),
        cases=[(SHIFT, LOG_VAR, X1, torch.where(PAIRED[:, None], X2, 0.0), PAIRED, E1, E2)],
        edges=[
            *("where no cell was measured after the drug", ""),
            (SHIFT, LOG_VAR, X1, 0 * X2, torch.zeros(6, dtype=torch.bool), E1, E2),
            *("where every cell was", ""),
            (SHIFT, LOG_VAR, X1, X2, torch.ones(6, dtype=torch.bool), E1, E2),
        ],
        slips={
            "z1": [
                "z1 has the variance in the place of the standard deviation, exp(log_var / 2)",
                first_state(lambda q, e1, e2: torch.exp(q.log_var) * e1),
                "z1 has no noise: it is the mean plus exp(log_var / 2) times e1",
                first_state(lambda q, e1, e2: 0 * e1),
                "z1 has the noise of z2: e1 is meant for it",
                first_state(lambda q, e1, e2: torch.exp(q.log_var / 2) * e2),
                "z1 has noise of the width 1: it is exp(log_var / 2) wide",
                first_state(lambda q, e1, e2: e1),
            ],
            "z2": [
                "where x2 is known, z2 comes from q(z1|x1), the state before the drug: encoder(x2) has"
                " looked at what happened. (This is the slip of the published code.)",
                second(lambda q1, q2, move, z1: (q1, move(z1))),
                "all z2 come from q(z1|x1): x2 is not looked at, and the drug does nothing",
                second(lambda q1, q2, move, z1: q1),
                "all z2 come from p(z2|z1), the guess: where x2 was measured it should be looked at",
                second(lambda q1, q2, move, z1: move(z1)),
                "all z2 come from encoder(x2), also where there is no x2 and its row holds zeros",
                second(lambda q1, q2, move, z1: q2),
                "the two cases are interchanged: where `paired` is true, x2 was measured",
                second(lambda q1, q2, move, z1: (move(z1), q2)),
                "where x2 is missing, z2 is z1's posterior: the drug moves the state, move(z1)",
                second(lambda q1, q2, move, z1: (q2, q1)),
                "the drug moves the mean of q(z1|x1): it moves the z1 that you drew",
                second(lambda q1, q2, move, z1: (q2, move(q1.mean))),
                "z2 has the variance in the place of the standard deviation, exp(log_var / 2)",
                second(right, width=lambda q: torch.exp(q.log_var)),
                "z2 has no noise: it is the mean plus exp(log_var / 2) times e2",
                second(right, width=lambda q: 0 * q.log_var),
                "z2 has the noise of z1: e2 is meant for it, else the two states move together",
                second(right, noise=lambda e1, e2: e1),
            ],
        },
        praise="both states are right where x2 is known and where not, to {trial.off:.0e}.",
    ),
    hints=[
        "z1 has one source, q(z1|x1). z2 has two: a look at x2 where there is one, else the model's"
        " own guess from z1.",
        "mean + exp(log_var / 2) * noise, for encoder(x1) with e1, and for encoder(x2) and move(z1)"
        " with e2.",
        "z2 = torch.where(paired[:, None], ..., ...): the first is drawn from encoder(x2), the second"
        " from move(z1)",
    ],
)


# ---- the response, summed out where it is not known


def by_rows(y: Tensor, log_q: Tensor, L: Tensor) -> Tensor:
    """L of the known label; else log sum_y exp L less KL[q || softmax L]."""
    rows = []
    for label, q, row in zip(y.tolist(), log_q, L, strict=True):
        best = row.log_softmax(-1)
        away = sum(q[c].exp() * (q[c] - best[c]) for c in range(len(row)))
        rows.append(row[label] if label >= 0 else row.logsumexp(-1) - away)
    return torch.stack(rows) if rows else L[:, 0]


def response(known=lambda label, log_q, L: L.gather(-1, label[:, None])[:, 0], unknown=None):
    """A slip: a cell with a known response, or one without, treated otherwise."""

    def summed(log_q, L):
        return (log_q.exp() * (L - log_q)).sum(-1)

    def answer(y, log_q, L):
        of_known = known(y.clamp_min(0), log_q, L)
        return torch.where(y >= 0, of_known, (unknown or summed)(log_q, L))

    return answer


LOGITS, JOINT = randn(7, (6, 2), (6, 2))
JOINT = 2 * JOINT - reals([[180.0], [195.0], [210.0], [170.0], [188.0], [201.0]])[0]
Y = torch.tensor([1, -1, 0, -1, -1, 1])

response_bound = Exercise(
    name="response_bound",
    solution=_response_bound,
    judge=Function(
        "the bound",
        truth=by_rows,
        given=lambda y, logits, L: (y, logits.log_softmax(-1), L),
        rows="y logits L",
        cases=[(Y, LOGITS, JOINT)],
        edges=[
            *("where no response is known", "", (-torch.ones_like(Y), LOGITS, JOINT)),
            *("where all are", "", (Y.clamp_min(0), LOGITS, JOINT)),
            "where q is all but certain",
            "a logarithm of a rounded probability? log_q is a logarithm already",
            (Y, 700 * LOGITS, JOINT),
        ],
        slips=[
            "cells with a known response have their label summed out, too: theirs is L of that label",
            lambda y, log_q, L: (log_q.exp() * (L - log_q)).sum(-1),
            "an unknown response, -1, was taken for the last class: y = -1 indexes from the end",
            lambda y, log_q, L: L.gather(-1, (y % 2)[:, None])[:, 0],
            "an unknown response is taken for the class 0: sum over both classes there",
            lambda y, log_q, L: L.gather(-1, y.clamp_min(0)[:, None])[:, 0],
            "an unknown response counts 0, as if the cell were not there: its x still says something",
            response(unknown=lambda log_q, L: 0 * L[:, 0]),
            "where y is not known the entropy is missing: each term is q (L - log q)",
            response(unknown=lambda log_q, L: (log_q.exp() * L).sum(-1)),
            "where y is not known the entropy has the wrong sign: each term is q (L - log q)",
            response(unknown=lambda log_q, L: (log_q.exp() * (L + log_q)).sum(-1)),
            "where y is not known the two L are averaged with equal weights: weigh them with q",
            response(unknown=lambda log_q, L: L.mean(-1)),
            "where y is not known you took the likelier class alone: sum over both",
            response(unknown=lambda log_q, L: L.gather(-1, log_q.argmax(-1)[:, None])[:, 0]),
            "that is the bound at the best q, log sum_y exp L, not at the q that you were given",
            response(unknown=lambda log_q, L: L.logsumexp(-1)),
            "where y is not known the weights are missing: each term counts q(y) times",
            response(unknown=lambda log_q, L: (L - log_q).sum(-1)),
            "log q(y) is added where y is known: L(x, y) is all, the classifier's term comes later",
            response(
                known=lambda y, log_q, L: (L + log_q).gather(-1, y[:, None])[:, 0],
            ),
            "log q(y) is subtracted where y is known: q(y) is certain there, and has no entropy",
            response(
                known=lambda y, log_q, L: (L - log_q).gather(-1, y[:, None])[:, 0],
            ),
            "where y is known you took the other class",
            response(known=lambda y, log_q, L: L.gather(-1, 1 - y[:, None])[:, 0]),
        ],
        shapes=[(2,), "you summed over the cells: the classes are the last axis, .sum(-1)"],
        unit="nats",
        praise="known responses are taken, unknown ones summed out, to {trial.off:.0e} nats; the"
        " gradients are right for q and for L.",
    ),
    hints=[
        "Two rules, one for each kind of cell, and torch.where(y >= 0, ..., ...) to choose.",
        "Known: L.gather(-1, ...) at the label, of which -1 is no index: y.clamp_min(0). Not known:"
        " notebook 12's sum, q (L - log q) over the classes.",
        "torch.where(y >= 0, L.gather(-1, y.clamp_min(0)[:, None])[:, 0], (log_q.exp() * (L -"
        " log_q)).sum(-1))",
    ],
)
