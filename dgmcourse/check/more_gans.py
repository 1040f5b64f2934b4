"""Checks of notebook 06: the auxiliary classifier's two objectives, the game on pairs, the maximum
mean discrepancy.

The truth comes from arithmetic on single numbers, row by row, and from a loop over pairs of points;
never from the code that is asked for.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Function, randn
from dgmcourse.check._progress import progress as progress
from dgmcourse.check.gan import log_sigmoid

# ---- the course's own answers


def _auxiliary(
    real: Tensor, fake: Tensor, named_real: Tensor, named_fake: Tensor, y: Tensor, c: Tensor
):
    named = named_fake.gather(1, c[:, None])[:, 0]
    discriminator = (
        F.logsigmoid(real) + F.logsigmoid(-fake) + named_real.gather(1, y[:, None])[:, 0] + named
    )
    return discriminator, F.logsigmoid(fake) + named


def _bidirectional(
    x: Tensor, z: Tensor, encoder, generator, discriminator
) -> tuple[Tensor, Tensor]:
    found, made = encoder(x), generator(z)
    judges = F.logsigmoid(discriminator(x, found.detach())) + F.logsigmoid(
        -discriminator(made.detach(), z)
    )
    makers = F.logsigmoid(discriminator(made, z)) + F.logsigmoid(-discriminator(x, found))
    return judges, makers


def _mmd(z: Tensor, prior_z: Tensor, kernel) -> Tensor:
    def among(a):
        k = kernel(a, a)
        return (k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))

    return among(z) + among(prior_z) - 2 * kernel(z, prior_z).mean()


# ---- the auxiliary classifier's two objectives

log_s = F.logsigmoid
LOGITS = (
    "log(sigmoid(900)) and log(1 - sigmoid(900)) round to 0 and minus infinity. log D is"
    " F.logsigmoid(logit), log(1 - D) is F.logsigmoid(-logit)"
)
NEGATIVE = "a logarithm of something negative? A logit is any number, log D is F.logsigmoid(logit)"
VANISHES = "whose gradient vanishes while the discriminator is nearly always right"


def row_by_row(real, fake, named_real, named_fake, y, c) -> tuple[Tensor, Tensor]:
    judges, makers = [], []
    for i, (r, f) in enumerate(zip(real.tolist(), fake.tolist(), strict=True)):
        of_real, of_fake = named_real[i, y[i]].item(), named_fake[i, c[i]].item()
        judges.append(log_sigmoid(r) + log_sigmoid(-f) + of_real + of_fake)
        makers.append(log_sigmoid(f) + of_fake)
    return torch.tensor(judges, dtype=torch.float64), torch.tensor(makers, dtype=torch.float64)


def with_probabilities(real, fake, named_real, named_fake, y, c):
    """The arguments, of any scores of the classes: each row of exp(named) sums to 1."""
    return real, fake, named_real.log_softmax(1), named_fake.log_softmax(1), y, c


def column(named: Tensor, k: Tensor) -> Tensor:
    return named[torch.arange(len(k)), k]


def term(of):
    """Of the logits r and f, of log p(y|x) and log p(c|G), and of the two with the labels exchanged."""
    return lambda real, fake, named_real, named_fake, y, c: of(
        *(real, fake, column(named_real, y), column(named_fake, c)),
        *(column(named_real, c), column(named_fake, y)),
    )


def classes(choose):
    """A slip: the discriminator's objective with another choice among the classes."""
    return lambda real, fake, named_real, named_fake, y, c: (
        log_s(real) + log_s(-fake) + choose(named_real, y) + choose(named_fake, c)
    )


def labels(*numbers: list[int]) -> list[Tensor]:
    return [torch.tensor(row) for row in numbers]


CASE = [
    *randn(0, (7,), (7,), (7, 4), (7, 4)),
    *labels([0, 1, 2, 3, 1, 0, 2], [3, 0, 1, 1, 2, 2, 0]),
]
WIDER = [*randn(1, (5,), (5,), (5, 6), (5, 6)), *labels([2, 0, 5, 1, 4], [0, 3, 2, 5, 1])]
SURE = [torch.tensor([-900.0, 900.0, 900.0], dtype=torch.float64), *(x[:3] for x in CASE[1:])]
SURE[1] = SURE[0].flip(0)
JUDGES, MAKERS = "the discriminator's objective", "the generator's objective"
WIDTHS = [
    (7, 4),
    "it has one number for each class: pick the one that y (or c) names, .gather(1, y[:, None])[:, 0]",
    (7, 7),
    "named[:, y] picks every label's column for every row. Use .gather(1, y[:, None])[:, 0], or squeeze"
    " what has a last axis of 1",
]

TERMS = {
    "log D(x)": term(lambda r, *_: log_s(r)),
    "log(1 - D(x))": term(lambda r, *_: log_s(-r)),
    "log D(G(z, c))": term(lambda r, f, *_: log_s(f)),
    "log(1 - D(G(z, c)))": term(lambda r, f, *_: log_s(-f)),
    "log p(y|x)": term(lambda *t: t[2]),
    "log p(c|G(z, c))": term(lambda *t: t[3]),
    "log p(c|x), though the label of x is y,": term(lambda *t: t[4]),
    "log p(y|G(z, c)), though the fake was told c,": term(lambda *t: t[5]),
}

auxiliary = Exercise(
    name="auxiliary",
    solution=_auxiliary,
    judge=Function(
        (JUDGES, MAKERS),
        truth=row_by_row,
        given=with_probabilities,
        rows="real fake named_real named_fake y c",
        cases=[CASE, WIDER],
        edges=[
            *("for a discriminator that is sure, at logits of 900", LOGITS, SURE),
            "where a class is all but impossible",
            "its logarithm may be as low as it likes, and costs that much: no clamp",
            [*CASE[:2], 40 * CASE[2], 40 * CASE[3], *CASE[4:]],
        ],
        slips={
            JUDGES: [
                'you averaged the class terms over the batch: each image has its own (reduction="none" in'
                " a library's function)",
                classes(lambda named, k: column(named, k).mean()),
                "you took the most probable class, not the one that y (or c) names",
                classes(lambda named, k: named.amax(1)),
                "you added the probability of the class: named_real and named_fake are logarithms"
                " already, no .exp()",
                classes(lambda named, k: column(named, k).exp()),
                "you added the logarithms of all classes: pick the one that y (or c) names",
                classes(lambda named, k: named.sum(1)),
                "you took the mean over the classes: pick the one that y (or c) names",
                classes(lambda named, k: named.mean(1)),
                "you picked the first row's class for every row: .gather(1, y[:, None])[:, 0]",
                classes(lambda named, k: named[:, k[0]]),
                "classes are counted from 0, in y and c, too: no - 1",
                classes(lambda named, k: column(named, k - 1)),
                "logits stand where logarithms belong: log D is F.logsigmoid(real)",
                term(lambda r, f, a, b, *_: r - f + a + b),
            ],
            MAKERS: [
                f"it is -log(1 - D(G)) plus the class, {VANISHES}: use log D(G)",
                term(lambda r, f, a, b, *_: b - log_s(-f)),
                "it is L_C - L_S to the letter: leave out the real images, which no generator can change,"
                " and take log D(G) in place of -log(1 - D(G)), as in notebook 04",
                term(lambda r, f, a, b, *_: a + b - log_s(r) - log_s(-f)),
            ],
        },
        terms={JUDGES: TERMS, MAKERS: TERMS},
        shapes={JUDGES: WIDTHS, MAKERS: WIDTHS},
        nan=NEGATIVE,
        unit="nats",
        praise="values and gradients agree with arithmetic by hand to {trial.off:.0e} nats, at logits of"
        " 900, too. Both players want the class to be seen.",
    ),
    hints=[
        "Four terms for the discriminator: is x real, is G(z, c) a fake, what is x's class, what is the"
        " fake's. Two for the generator.",
        "log D is F.logsigmoid(logit), log(1 - D) is F.logsigmoid(-logit). Of named_real, (B, 10), you"
        " want for each row the column y: named_real.gather(1, y[:, None])[:, 0]; of named_fake the"
        " column c.",
        "named = named_fake.gather(1, c[:, None])[:, 0]; the generator's is F.logsigmoid(fake) + named;"
        " the discriminator's is F.logsigmoid(real) + F.logsigmoid(-fake) + named_real.gather(1, y[:,"
        " None])[:, 0] + named.",
    ],
)


# ---- the game on pairs


def with_networks(x, z, encoder, generator, u, v, W):
    def discriminator(x, z):
        return x @ u + z @ v + ((x @ W) * z).sum(-1)

    return x, z, lambda x: x @ encoder, lambda z: z @ generator, discriminator


def with_softplus(x, z, E, G, D) -> tuple[Tensor, Tensor]:
    """One row after the other: log D is -softplus(-logit), log(1 - D) is -softplus(logit)."""
    judges, makers = [], []
    for a, b in zip(x.split(1), z.split(1), strict=True):
        judges.append(-F.softplus(-D(a, E(a).detach())) - F.softplus(D(G(b).detach(), b)))
        makers.append(-F.softplus(-D(G(b), b)) - F.softplus(D(a, E(a))))
    return torch.cat(judges), torch.cat(makers)


def of_logits(combine):
    """A slip or term, of the logits of (x, E(x)) and (G(z), z)."""
    return lambda x, z, E, G, D: combine(D(x, E(x)), D(G(z), z))


def of_pair(sign: int, pair):
    """A term: the log-probability that a pair is taken for real, or for a fake."""
    return lambda x, z, E, G, D: log_s(sign * D(*pair(x, z, E, G)))


def reconstructing(distance):
    """A slip of the makers, with a distance to subtract."""
    return lambda x, z, E, G, D: log_s(D(G(z), z)) + log_s(-D(x, E(x))) - distance(x, z, E, G)


def sizes(seed: int, B: int, n: int, k: int) -> list[Tensor]:
    """x of n numbers, z of k, and the networks' weights."""
    x, z, *weights = randn(seed, (B, n), (B, k), (n, k), (k, n), (n,), (k,), (n, k))
    return [x, z, *(0.5 * w for w in weights)]


PAIRS = {
    "x, E(x)": lambda x, z, E, G: (x, E(x)),
    "G(z), z": lambda x, z, E, G: (G(z), z),
    "x, z": lambda x, z, E, G: (x, z),
    "G(z), E(x)": lambda x, z, E, G: (G(z), E(x)),
    "G(z), E(G(z))": lambda x, z, E, G: (G(z), E(G(z))),
    "G(E(x)), E(x)": lambda x, z, E, G: (G(E(x)), E(x)),
    "G(E(x)), z": lambda x, z, E, G: (G(E(x)), z),
}
PAIR_TERMS = {
    **{f"log D({pair})": of_pair(1, of) for pair, of in PAIRS.items()},
    **{f"log(1 - D({pair}))": of_pair(-1, of) for pair, of in PAIRS.items()},
}
BATCH = sizes(1, 11, 3, 2)
FAR = [*BATCH[:4], 900.0 * torch.eye(3, dtype=torch.float64)[0], 0 * BATCH[5], 0 * BATCH[6]]
BOTH = "generator and encoder's objective"
PIXELS = "it has a reconstruction error in it: this game never compares pixels"
PLACES = (
    "encoder(x) takes pictures, generator(z) codes, discriminator(x, z) the picture first, then the"
    " code: yours are exchanged somewhere"
)

bidirectional = Exercise(
    name="bidirectional",
    solution=_bidirectional,
    judge=Function(
        (JUDGES, BOTH),
        truth=with_softplus,
        given=with_networks,
        rows="x z",
        learn=("encoder", "generator", "u", "v", "W"),
        cases=[BATCH, sizes(2, 9, 4, 3)],
        edges=[
            *("with one latent dimension", "", sizes(3, 6, 3, 1)),
            *("for a discriminator that is sure, at logits of 900", LOGITS, FAR),
        ],
        slips={
            JUDGES: [
                "1 - log D(G(z), z) where log(1 - D(G(z), z)) belongs: F.logsigmoid(-logit)",
                of_logits(lambda r, f: log_s(r) + 1 - log_s(f)),
                "you returned differences of logits: this is no Wasserstein GAN, take log D and"
                " log(1 - D)",
                of_logits(lambda r, f: r - f),
            ],
            BOTH: [
                f"it is minus the discriminator's, {VANISHES}: take each pair for the other,"
                " log D(G(z), z) + log(1 - D(x, E(x)))",
                of_logits(lambda r, f: -log_s(r) - log_s(-f)),
                "it is what the discriminator wants: turn both pairs round",
                of_logits(lambda r, f: log_s(r) + log_s(-f)),
                PIXELS,
                reconstructing(lambda x, z, E, G: ((x - G(E(x))) ** 2).sum(-1)),
                PIXELS,
                reconstructing(lambda x, z, E, G: ((z - E(G(z))) ** 2).sum(-1)),
            ],
        },
        terms={JUDGES: PAIR_TERMS, BOTH: PAIR_TERMS},
        errors={"mat1 and mat2 shapes": PLACES, "size mismatch": PLACES},
        nan=NEGATIVE,
        unit="nats",
        praise="values and gradients agree with ours, row by row, to {trial.off:.0e} nats, and"
        " nothing of the discriminator's objective reaches the other two. No pixel was compared.",
    ),
    hints=[
        "Two pairs: (x, E(x)), which D should call real, and (G(z), z), which it should not. Generator"
        " and encoder want the reverse.",
        "found = encoder(x) and made = generator(z); in the discriminator's objective use found.detach()"
        " and made.detach().",
        "F.logsigmoid(discriminator(x, found.detach())) + F.logsigmoid(-discriminator(made.detach(), z))"
        " is the first; the second has no .detach() and the signs of both logits turned.",
    ],
)


# ---- the maximum mean discrepancy


def pair_by_pair(z: Tensor, prior_z: Tensor, kernel) -> Tensor:
    def mean(a, b, distinct):
        pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not distinct or i != j]
        return sum(kernel(a[i : i + 1], b[j : j + 1])[0, 0] for i, j in pairs) / len(pairs)

    within = mean(z, z, True) + mean(prior_z, prior_z, True)
    return within - 2 * mean(z, prior_z, False)


def kernel_of(width: float, linear: float):
    """A bell, and a part whose diagonal is not 1."""

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        if p.dim() != 2 or q.dim() != 2:
            raise Wrong(
                f"kernel takes two sets of codes, (N, K) and (M, K): you gave it {tuple(p.shape)} and"
                f" {tuple(q.shape)}."
            )
        return torch.exp(-((p[:, None] - q) ** 2).sum(-1) / width) + linear * p @ q.T

    return kernel


def among(k: Tensor) -> Tensor:
    return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))


def discrepancy(within=among, between=torch.mean):
    """A slip: other means of the kernel's matrix, within the sets or between them."""
    return lambda z, p, k: within(k(z, z)) + within(k(p, p)) - 2 * between(k(z, p))


def with_sizes(of):
    """A slip, of the sums over pairs and of N and M."""

    def mmd(z, p, k):
        zz, pp = k(z, z), k(p, p)
        return of(zz.sum() - zz.trace(), pp.sum() - pp.trace(), k(z, p).sum(), len(z), len(p))

    return mmd


def cut_short(z: Tensor, p: Tensor, k) -> Tensor:
    n = min(len(z), len(p))
    return among(k(z[:n], z[:n])) + among(k(p[:n], p[:n])) - 2 * k(z[:n], p[:n]).mean()


def sets(seed: int, n: int, m: int, dims: int = 2, shift: float = 1.5) -> list:
    z, prior_z = randn(seed, (n, dims), (m, dims))
    return [z, prior_z + shift, kernel_of(3.0 + seed, 0.1)]


SIZES = [(5, 7), (6, 4), (3, 8), (7, 5), (4, 6), (8, 3)]
NEAR = randn(9, (6, 2))[0]
NONE_LEFT_OUT = (
    "between the sets no pair is left out: z_i and the i-th draw are two points like any others"
)
OWN_M = "there are M (M - 1) pairs within the prior's codes and N M between the sets, and M need not be N"

mmd = Exercise(
    name="mmd",
    solution=_mmd,
    judge=Function(
        "mmd",
        truth=pair_by_pair,
        learn=("z",),
        cases=[sets(seed, n, m) for seed, (n, m) in enumerate(SIZES)],
        edges=[
            "where it is negative",
            "it scatters about 0 if both sets come from one distribution, so don't clip it",
            (NEAR, NEAR + 0.1, kernel_of(3.0, 0.1)),
            *(
                "where codes coincide",
                "pairs of equal points count",
                (NEAR[[0, 0, 1, 1, 2]], NEAR, kernel_of(3.0, 0.0)),
            ),
            *("in one dimension", "", sets(7, 6, 5, dims=1)),
            *("for two codes and two draws", "", sets(8, 2, 2)),
        ],
        slips=[
            "the pairs of a point with itself are in it, i = j: that makes two samples of one"
            " distribution look different. Leave them out and divide by N (N - 1)",
            discrepancy(torch.mean),
            "you divide by N (N - 1) but left the pairs i = j in the sum: subtract the kernel's diagonal",
            discrepancy(lambda k: k.sum() / (len(k) * (len(k) - 1))),
            "you left the pairs i = j out of the sum but divide by N^2: there are N (N - 1) left",
            discrepancy(lambda k: (k.sum() - k.trace()) / len(k) ** 2),
            "you took the kernel of a point with itself for 1, which not every kernel gives: subtract"
            " k.diagonal().sum()",
            discrepancy(lambda k: (k.sum() - len(k)) / (len(k) * (len(k) - 1))),
            "you counted each pair once, (i, j) and not (j, i), but divide by N (N - 1): of these there"
            " are half as many",
            discrepancy(lambda k: among(k) / 2),
            "torch.triu keeps the pairs i = j: its second argument is 1 without them",
            discrepancy(lambda k: 2 * k.triu().sum() / (len(k) * (len(k) - 1))),
            OWN_M,
            with_sizes(lambda zz, pp, zp, n, m: (zz + pp) / (n * (n - 1)) - 2 * zp / (n * m)),
            OWN_M,
            with_sizes(lambda zz, pp, zp, n, m: (zz + pp) / (n * (n - 1)) - 2 * zp / n**2),
            "you cut both sets to the length of the shorter: every point counts, and M need not be N",
            cut_short,
            NONE_LEFT_OUT,
            discrepancy(between=lambda k: k.fill_diagonal_(0).mean()),
            NONE_LEFT_OUT,
            discrepancy(
                between=lambda k: (k.sum() - k.diagonal().sum()) / (k.numel() - min(k.shape))
            ),
            "between the sets all pairs count, not only the i-th point of one with the i-th of the other",
            discrepancy(between=lambda k: k.diagonal().mean()),
            "you summed over the pairs: take means",
            with_sizes(lambda zz, pp, zp, n, m: zz + pp - 2 * zp),
            "it is the distance of the two means, not a mean over pairs of the kernel",
            lambda z, p, k: ((z.mean(0) - p.mean(0)) ** 2).sum(),
        ],
        terms={
            "the mean over pairs within z, which pushes codes apart,": lambda z, p, k: among(
                k(z, z)
            ),
            "the mean over pairs within the prior's codes": lambda z, p, k: among(k(p, p)),
            "the mean over pairs between the sets": lambda z, p, k: k(z, p).mean(),
        },
        shapes=[(5,), "it is one number for the two sets, over all pairs"],
        nan="a root of something negative, or a division by 0",
        praise="a loop over all pairs gives the same to {trial.off:.0e}, and so does its gradient in the"
        " codes. Unbiased, it may be negative.",
    ),
    hints=[
        "Three means of the kernel: over pairs within z, over pairs within prior_z, and over pairs of one"
        " with the other.",
        "k = kernel(z, z) is (N, N), its diagonal holds the pairs i = j: k.sum() - k.diagonal().sum()"
        " leaves them out, and N (N - 1) pairs remain.",
        "within(z) + within(prior_z) - 2 * kernel(z, prior_z).mean(), with within(a) = (k.sum() -"
        " k.diagonal().sum()) / (n * (n - 1)).",
    ],
)
