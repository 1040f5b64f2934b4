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
from dgmcourse.check._judge import Draws, Every, Function, called, randn, reals
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


def encoder(x: Tensor) -> Gaussian:
    """q(z|x), of any rows: a right answer may give it both cells at once, or the paired ones alone."""
    check_width(x, 3, "encoder(x)", "genes")
    return Gaussian(x @ E + OF_STATE, 0.4 * torch.tanh(x @ F) - 0.8)


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
W, B, OF_GENES, OF_MOVE, OF_STATE = reals(
    [[-0.7, 0.4], [0.5, 0.6]], [0.9, -0.7], [0.3, 0.7, 0.5], [0.2, 0.5], [0.2, -0.4]
)


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
    first=lambda q1, q2: q1.rsample(),
    second=lambda q1, q2, z1, move: q2.rsample(),
    stays=lambda q1, q2, z1, z2: densities.kl(q1, standard(q1)),
    moved=lambda q1, q2, z1, z2, move: densities.kl(q2, move(z1)),
    written=lambda decoder, z1, z2, x1, x2: decoder(z1).log_prob(x1) + decoder(z2).log_prob(x2),
    seen=lambda x1, x2: (x1, x2),
):
    """A slip: the bound with one of its parts made otherwise."""

    def answer(x1, x2, encoder, decoder, move):
        q1, q2 = (encoder(x) for x in seen(x1, x2))
        z1 = first(q1, q2)
        z2 = second(q1, q2, z1, move)
        reconstruction = written(decoder, z1, z2, x1, x2)
        return reconstruction - stays(q1, q2, z1, z2) - moved(q1, q2, z1, z2, move)

    return answer


def wide(width):
    """A slip: both states drawn with another width than the standard deviation."""

    def drawn(q: Gaussian) -> Tensor:
        return q.mean + width(q) * torch.randn_like(q.mean)

    return bound(first=lambda q1, q2: drawn(q1), second=lambda q1, q2, z1, move: drawn(q2))


def apart(answer) -> None:
    """Raise Wrong if z1 and z2 share their noise: of two cells that are alike they are then the same.
    Each term of the bound reads one of them, so its mean would not tell.
    """

    def decoded(x2: Tensor) -> Tensor:
        found = []

        def watched(z: Tensor) -> Gaussian:
            found.append(z.detach().reshape(-1, z.shape[-1]))
            return decoder(z)

        called(answer, {"x1": X1, "x2": x2, "encoder": encoder, "decoder": watched, "move": move})
        return torch.cat(found or [X1]).mul(1e8).round().unique(dim=0)

    with torch.random.fork_rng(devices=[]):
        both, alike, again = decoded(X2), decoded(X1), decoded(X1)
    if len(both) == 2 * len(alike) == 2 * len(X1) and not torch.equal(alike, again):
        raise Wrong(
            "z1 and z2 share their noise: where both cells are alike, both states are the same. Each"
            " needs a draw of its own, encoder(x1).rsample() and encoder(x2).rsample()."
        )


X1, X2 = reals(
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
    judge=Every(
        apart,
        Draws(
            "the bound",
            truth=expected_bound,
            given=lambda x1, x2: (x1, x2, encoder, decoder, move),
            rows="x1 x2",
            cases=[(X1, X2)],
            slips=[
                "z2 is drawn from q(z1|x1), the state before the drug: x2 has a posterior of its own,"
                " encoder(x2). (The published code does the same.)",
                bound(second=lambda q1, q2, z1, move: q1.rsample()),
                "both posteriors are encoder(x1)'s: that of z2 has looked at x2, encoder(x2)",
                bound(seen=lambda x1, x2: (x1, x1)),
                "z2 is drawn from the guess, move(z1): x2 was measured, so look at it, encoder(x2)",
                bound(second=lambda q1, q2, z1, move: move(z1).rsample()),
                "x2 is written from the mean of the guess, move(z1): draw z2 from encoder(x2)",
                bound(second=lambda q1, q2, z1, move: move(z1).mean),
                "z1 is drawn from encoder(x2), the state after the drug: it is encoder(x1)'s",
                bound(first=lambda q1, q2: q2.rsample()),
                "before and after are exchanged: z1 is x1's state, and the drug moves it to z2, x2's",
                lambda x1, x2, encoder, decoder, move: bound()(x2, x1, encoder, decoder, move),
                "the reconstructions are crossed: z1 writes x1, and z2 writes x2",
                bound(
                    written=lambda decoder, z1, z2, x1, x2: (
                        decoder(z1).log_prob(x2) + decoder(z2).log_prob(x1)
                    )
                ),
                "z2 is asked for x1: it writes x2, decoder(z2).log_prob(x2)",
                bound(
                    written=lambda decoder, z1, z2, x1, x2: (
                        decoder(z1).log_prob(x1) + decoder(z2).log_prob(x1)
                    )
                ),
                "the KL of z2 is turned round: it is KL[q(z2|x2) || p(z2|z1)], kl(q2, move(z1))",
                bound(moved=lambda q1, q2, z1, z2, move: densities.kl(move(z1), q2)),
                "z2 is compared with N(0, I): its prior is p(z2|z1), move(z1)",
                bound(moved=lambda q1, q2, z1, z2, move: densities.kl(q2, standard(q2))),
                "z2 is compared with N(0, I) as well: p(z2|z1) is all the prior it has",
                bound(
                    moved=lambda q1, q2, z1, z2, move: (
                        densities.kl(q2, move(z1)) + densities.kl(q2, standard(q2))
                    )
                ),
                "the KL to N(0, I) is that of z2: it is z1 that has this prior, kl(q1, StandardGaussian(d))",
                bound(stays=lambda q1, q2, z1, z2: densities.kl(q2, standard(q2))),
                "the drug moves the mean of q(z1|x1): it moves the z1 that you drew, move(z1)",
                bound(moved=lambda q1, q2, z1, z2, move: densities.kl(q2, move(q1.mean))),
                "the drug moves z2: move takes the state before it, move(z1)",
                bound(moved=lambda q1, q2, z1, z2, move: densities.kl(q2, move(z2))),
                "p(z2|z1) is compared with q(z1|x1): it is q(z2|x2) that it is the prior of",
                bound(moved=lambda q1, q2, z1, z2, move: densities.kl(q1, move(z1))),
                "log q(z2|x2) is missing: the KL is E[log q(z2|x2) - log p(z2|z1)], kl(q2, move(z1))",
                bound(moved=lambda q1, q2, z1, z2, move: -move(z1).log_prob(z2)),
                "log q(z1|x1) is missing: the KL is E[log q(z1|x1) - log p(z1)]",
                bound(stays=lambda q1, q2, z1, z2: -standard(q1).log_prob(z1)),
                "the same pair gives a bound with too little noise: you decoded the mean of q(z2|x2)."
                " Draw z2",
                bound(second=lambda q1, q2, z1, move: q2.mean),
                "you decoded the mean of q(z1|x1): draw z1",
                bound(first=lambda q1, q2: q1.mean),
                "the states have the variance in the place of the standard deviation, exp(log_var / 2):"
                " q.rsample() does it",
                wide(lambda q: torch.exp(q.log_var)),
                "the states have noise of the width 1: it is exp(log_var / 2) wide, as q.rsample() draws it",
                wide(lambda q: 1.0),
                "no gradient passes through z1 and z2: .sample() cuts it off, .rsample() does not",
                bound(
                    first=lambda q1, q2: q1.sample(), second=lambda q1, q2, z1, move: q2.sample()
                ),
                "the gradient does not pass through z1: .sample() cuts it off, .rsample() does not",
                bound(first=lambda q1, q2: q1.sample()),
                "the gradient does not pass through z2: .sample() cuts it off, .rsample() does not",
                bound(second=lambda q1, q2, z1, move: q2.sample()),
                "the gradient of the drug's step is cut off: move(z1), without .detach()",
                bound(moved=lambda q1, q2, z1, z2, move: densities.kl(q2, move(z1.detach()))),
                "the KL of z1 is turned round: it is KL[q(z1|x1) || p(z1)], kl(q1, StandardGaussian(d))",
                bound(stays=lambda q1, q2, z1, z2: densities.kl(standard(q1), q1)),
                "you averaged over the genes: sum them, as .log_prob does",
                bound(
                    written=lambda decoder, z1, z2, x1, x2: (
                        (decoder(z1).log_prob(x1) + decoder(z2).log_prob(x2)) / x1.shape[-1]
                    )
                ),
                "that is a squared error: use decoder(z).log_prob(x)",
                bound(
                    written=lambda decoder, z1, z2, x1, x2: (
                        -((x1 - decoder(z1).mean) ** 2 + (x2 - decoder(z2).mean) ** 2).sum(-1)
                    )
                ),
                "you averaged the KL of z1 over its dimensions: sum them",
                bound(stays=lambda q1, q2, z1, z2: densities.kl(q1, standard(q1)) / 2),
                "a KL that is kept above a floor (free bits) makes it no bound: leave it as it is",
                bound(moved=lambda q1, q2, z1, z2, move: densities.kl(q2, move(z1)).clamp_min(2)),
                "log p(x2|z2) of the guess, move(z1), is added as in the authors' code: that is no part of"
                " the bound",
                bound(
                    written=lambda decoder, z1, z2, x1, x2: (
                        decoder(z1).log_prob(x1)
                        + decoder(z2).log_prob(x2)
                        + 0.05 * decoder(move(z1).rsample()).log_prob(x2)
                    )
                ),
                "the gradient of z1's KL is cut off: no .detach() there",
                bound(stays=lambda q1, q2, z1, z2: densities.kl(q1, standard(q1)).detach()),
                "the gradient of z2's KL is cut off: no .detach() there",
                bound(moved=lambda q1, q2, z1, z2, move: densities.kl(q2, move(z1)).detach()),
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


def second(seen=lambda q1, q2, z1, e1, e2, move: at(q2, e2), guessed=None):
    """A slip: z2 made otherwise, where x2 was measured or where it was not."""

    def moved(q1, q2, z1, e1, e2, move):
        return at(move(z1), e2)

    def answer(x1, x2, paired, e1, e2, encoder, move):
        q1, q2 = encoder(x1), encoder(x2)
        given = q1, q2, at(q1, e1), e1, e2, move
        return torch.where(paired[:, None], seen(*given), (guessed or moved)(*given))

    return answer


def both(drawn):
    """A slip: z2 is drawn(q, e1, e2) of the q that it should come from, in either case."""
    return second(
        lambda q1, q2, z1, e1, e2, move: drawn(q2, e1, e2),
        lambda q1, q2, z1, e1, e2, move: drawn(move(z1), e1, e2),
    )


def first_state(width):
    def answer(x1, x2, paired, e1, e2, encoder, move):
        q1 = encoder(x1)
        return q1.mean + width(q1, e1, e2)

    return answer


def spread(q: Gaussian, e: Tensor) -> Tensor:
    """A draw whose variance stands in the place of its standard deviation."""
    return q.mean + torch.exp(q.log_var) * e


PAIRED = torch.tensor([True, False, True, False, False, True])
E1, E2 = randn(5, (6, 2), (6, 2))

states = Exercise(
    name="states",
    solution=_states,
    judge=Function(
        ("z1", "z2"),
        truth=one_by_one,
        given=lambda x1, x2, paired, e1, e2: (x1, x2, paired, e1, e2, encoder, move),
        rows="x1 x2 paired e1 e2",
        learn=("x1", "x2"),
        cases=[(X1, torch.where(PAIRED[:, None], X2, 0.0), PAIRED, E1, E2)],
        edges=[
            *("where no cell was measured after the drug", ""),
            (X1, 0 * X2, torch.zeros(6, dtype=torch.bool), E1, E2),
            *("where every cell was", ""),
            (X1, X2, torch.ones(6, dtype=torch.bool), E1, E2),
        ],
        slips={
            "z1": [
                "z1 has the variance in the place of the standard deviation, exp(log_var / 2)",
                first_state(lambda q, e1, e2: torch.exp(q.log_var) * e1),
                "z1 has the logarithm of the variance in the place of the standard deviation,"
                " exp(log_var / 2)",
                first_state(lambda q, e1, e2: q.log_var * e1),
                "z1 has no noise: it is the mean plus exp(log_var / 2) times e1",
                first_state(lambda q, e1, e2: 0 * e1),
                "z1 has the noise of z2: e1 is meant for it",
                first_state(lambda q, e1, e2: torch.exp(q.log_var / 2) * e2),
                "z1 has noise of the width 1: it is exp(log_var / 2) wide",
                first_state(lambda q, e1, e2: e1),
                "z1 comes from encoder(x2): before the drug there was x1",
                lambda x1, x2, paired, e1, e2, encoder, move: at(encoder(x2), e1),
            ],
            "z2": [
                "where x2 is known, z2 comes from q(z1|x1), the state before the drug: encoder(x2) has"
                " looked at what happened. (This is the slip of the published code.)",
                second(lambda q1, q2, z1, e1, e2, move: at(q1, e2)),
                "where x2 is known, z2 is z1 itself: encoder(x2) has looked at what happened",
                second(lambda q1, q2, z1, e1, e2, move: z1),
                "all z2 come from q(z1|x1): x2 is not looked at, and the drug does nothing",
                second(*2 * [lambda q1, q2, z1, e1, e2, move: at(q1, e2)]),
                "all z2 come from p(z2|z1), the guess: where x2 was measured it should be looked at",
                second(lambda q1, q2, z1, e1, e2, move: at(move(z1), e2)),
                "all z2 come from encoder(x2), also where there is no x2 and its row holds zeros",
                second(guessed=lambda q1, q2, z1, e1, e2, move: at(q2, e2)),
                "the two cases are interchanged: where `paired` is true, x2 was measured",
                second(
                    lambda q1, q2, z1, e1, e2, move: at(move(z1), e2),
                    lambda q1, q2, z1, e1, e2, move: at(q2, e2),
                ),
                "where x2 is missing, z2 is z1's posterior: the drug moves the state, move(z1)",
                second(guessed=lambda q1, q2, z1, e1, e2, move: at(q1, e2)),
                "where x2 is missing, z2 is z1: the drug moves the state, move(z1)",
                second(guessed=lambda q1, q2, z1, e1, e2, move: z1),
                "where x2 is missing, z1 is added to the moved state: the mean of move(z1) has it already",
                second(guessed=lambda q1, q2, z1, e1, e2, move: z1 + at(move(z1), e2)),
                "the drug moves the mean of q(z1|x1): it moves the z1 that you drew",
                second(guessed=lambda q1, q2, z1, e1, e2, move: at(move(q1.mean), e2)),
                "z2 has the variance in the place of the standard deviation, exp(log_var / 2)",
                both(lambda q, e1, e2: spread(q, e2)),
                "where x2 is known, z2 has the variance in the place of the standard deviation,"
                " exp(log_var / 2)",
                second(lambda q1, q2, z1, e1, e2, move: spread(q2, e2)),
                "where x2 is missing, z2 has the variance in the place of the standard deviation,"
                " exp(log_var / 2)",
                second(guessed=lambda q1, q2, z1, e1, e2, move: spread(move(z1), e2)),
                "z2 has no noise: it is the mean plus exp(log_var / 2) times e2",
                both(lambda q, e1, e2: q.mean),
                "where x2 is known, z2 has no noise: encoder(x2) is a density, and z2 a draw of it",
                second(lambda q1, q2, z1, e1, e2, move: q2.mean),
                "where x2 is missing, z2 has no noise: move(z1) is a density, and z2 a draw of it",
                second(guessed=lambda q1, q2, z1, e1, e2, move: move(z1).mean),
                "z2 has noise of the width 1: it is exp(log_var / 2) wide",
                both(lambda q, e1, e2: q.mean + e2),
                "z2 has the noise of z1: e2 is meant for it, else the two states move together",
                both(lambda q, e1, e2: at(q, e1)),
                "where x2 is known, z2 has the noise of z1: e2 is meant for it",
                second(lambda q1, q2, z1, e1, e2, move: at(q2, e1)),
                "where x2 is missing, z2 has the noise of z1: e2 is meant for it",
                second(guessed=lambda q1, q2, z1, e1, e2, move: at(move(z1), e1)),
            ],
        },
        shapes={"z1": [(3, 2), "the cells without x2 are left out: each cell has both states"]},
        errors={
            "(6) must match the size of tensor b (2)": "`paired` is (B,) and a state (B, d): choose"
            " row by row, with paired[:, None]",
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


LOGITS, JOINT = reals(  # where y is not known, neither class is always the likelier by q or by L
    [[0.4, -0.9], [1.3, 0.2], [-0.5, 0.6], [-0.8, 0.7], [0.9, -0.4], [-0.3, 0.1]],
    [
        *([-181.2, -180.1], [-195.3, -196.1], [-209.4, -210.8]),
        *([-171.0, -169.6], [-189.2, -187.9], [-200.3, -202.1]),
    ],
)
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
            "a response of 0 is known, too: y >= 0, where you have y > 0",
            lambda y, log_q, L: torch.where(y > 0, L[:, 1], (log_q.exp() * (L - log_q)).sum(-1)),
            "unknown is -1 and not 0: y >= 0 is known, where you took y as true or false",
            lambda y, log_q, L: torch.where(
                y != 0, L.gather(-1, (y % 2)[:, None])[:, 0], (log_q.exp() * (L - log_q)).sum(-1)
            ),
            "the two cases are interchanged: where y >= 0 it is known, and L of that label is all",
            lambda y, log_q, L: torch.where(
                y < 0,
                L.gather(-1, y.clamp_min(0)[:, None])[:, 0],
                (log_q.exp() * (L - log_q)).sum(-1),
            ),
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
            "where y is not known you averaged over the classes: sum them, q is the average already",
            response(unknown=lambda log_q, L: (log_q.exp() * (L - log_q)).mean(-1)),
            "where y is not known log_q weighs the terms: the weights are q = log_q.exp()",
            response(unknown=lambda log_q, L: (log_q * (L - log_q)).sum(-1)),
            "where y is not known the sign is turned: each term is q (L - log q)",
            response(unknown=lambda log_q, L: (log_q.exp() * (log_q - L)).sum(-1)),
            "where y is not known the weights are softmax(L), the best q: take the q that you were"
            " given",
            response(unknown=lambda log_q, L: (L.softmax(-1) * (L - log_q)).sum(-1)),
            "where y is not known that is log sum_y q exp L: the logarithm stands inside the mean,"
            " sum_y q (L - log q)",
            response(unknown=lambda log_q, L: (L + log_q).logsumexp(-1)),
            "where y is not known you took the class of the largest L alone: sum over both",
            response(unknown=lambda log_q, L: L.amax(-1)),
            "a known response counts 0: its cell has a bound as well, L of that label",
            response(known=lambda y, log_q, L: 0 * L[:, 0]),
            "where y is known you took log q(y): the bound is L of that label",
            response(known=lambda y, log_q, L: log_q.gather(-1, y[:, None])[:, 0]),
            "the entropy of q is added where y is known, too: there is nothing left to guess",
            response(
                known=lambda y, log_q, L: (
                    L.gather(-1, y[:, None])[:, 0] - (log_q.exp() * log_q).sum(-1)
                )
            ),
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
        shapes=[
            *((2,), "you summed over the cells: the classes are the last axis, .sum(-1)"),
            *((3,), "cells are left out: those without a response have a bound, too"),
        ],
        errors={"index -1 is out of bounds": "-1 is no index for gather: y.clamp_min(0)[:, None]"},
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
