"""Checks of notebook 01: p(x) and p(y|x) from log p(x, y), the area under the ROC curve, a pixel
given all the others.

The truth comes from decimal arithmetic, from the ROC curve's trapezoids, and from a table of all
images.
"""

import itertools
from decimal import Decimal, localcontext

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Function, number, randn, reals
from dgmcourse.check._progress import progress as progress

# ---- the course's own answers


def _posterior_and_evidence(log_joint: Tensor) -> tuple[Tensor, Tensor]:
    log_p = torch.logsumexp(log_joint, -1)
    return log_p, torch.exp(log_joint - log_p.unsqueeze(-1))


def _auc(inside: Tensor, outside: Tensor) -> float:
    difference = inside[:, None] - outside
    return ((difference > 0).float() + 0.5 * (difference == 0).float()).mean().item()


def _pixel_given_rest(x: Tensor, i: int, log_potential) -> Tensor:
    on, off = x.clone(), x.clone()
    on[:, i], off[:, i] = 1, 0
    return torch.sigmoid(log_potential(on) - log_potential(off))


# ---- the evidence and the posterior


def with_50_digits(log_joint: Tensor) -> tuple[Tensor, Tensor]:
    with localcontext(prec=50):
        rows = [[Decimal(a).exp() for a in row] for row in log_joint.tolist()]
        log_p = [float(sum(row).ln()) for row in rows]
        posterior = [[float(a / sum(row)) for a in row] for row in rows]
    return tuple(reals(log_p, posterior))


JOINT = reals([[-1.0, -2.5, -0.7], [-3.0, -3.5, -9.0], [0.4, 1.2, -0.3], [-5.0, -4.0, -4.5]])[0]
APART = reals([[-2000.0], [0.0], [900.0], [-50.0]])[0]
NEVER = JOINT.masked_fill(torch.eye(4, 3) == 1, -torch.inf)
FAR = (
    "exp gives 0 or infinity there, and is not to be clamped or added to: torch.logsumexp(log_joint,"
    " -1) takes each row's largest term out first"
)

posterior_and_evidence = Exercise(
    name="posterior_and_evidence",
    solution=_posterior_and_evidence,
    judge=Function(
        ("log p(x)", "p(y|x)"),
        truth=with_50_digits,
        rows="log_joint",
        cases=[[JOINT]],
        edges=[
            *("at log p(x, y) near -2000, usual for an image,", FAR, [JOINT - 2000]),
            *("where rows are thousands of nats apart", FAR, [JOINT + APART]),
            *("where log p(x, y) is -infinity for one y", "", [NEVER]),
            *("with one class only", "", [JOINT[:, :1]]),
        ],
        slips={
            "log p(x)": [
                "you summed logarithms: a sum of probabilities is wanted, take the exponential first",
                lambda a: a.sum(-1),
                "you averaged logarithms: a sum of probabilities is wanted, take the exponential first",
                lambda a: a.mean(-1),
                "you averaged over the classes: p(y) is in the joint already, so sum",
                lambda a: a.exp().mean(-1).log(),
                "you took the largest of the joint's terms: all of them count",
                lambda a: a.max(-1).values,
                "only the first two classes count: sum over all, however many",
                lambda a: a[:, :2].logsumexp(-1),
            ],
            "p(y|x)": [
                "this is the joint p(x, y): divide by p(x)",
                torch.exp,
                "you divided by the largest term, which is no sum: divide by p(x)",
                lambda a: (a - a.max(-1, keepdim=True).values).exp(),
                "you normalised over the batch: the sum over y, the last axis, is 1",
                lambda a: a.softmax(0),
                "you normalised twice: a softmax takes logarithms, not probabilities",
                lambda a: a.softmax(-1).softmax(-1),
                "you divided logarithms: subtract log p(x), then take the exponential",
                lambda a: a / a.logsumexp(-1, keepdim=True),
                "you divided p(x, y) by log p(x): by p(x), or subtract logarithms",
                lambda a: a.exp() / a.logsumexp(-1, keepdim=True),
                "a sigmoid compares with nothing: p(y|x) sums to 1 over y",
                torch.sigmoid,
                "1 for the likeliest class, 0 for the others: keep the probabilities",
                lambda a: (a == a.max(-1, keepdim=True).values).double(),
            ],
        },
        praise="both agree with 50-digit arithmetic, also where log p(x, y) is -2000 and its"
        " exponential 0.",
    ),
    hints=[
        "p(x) is the sum of p(x, y) over y, and p(y|x) = p(x, y) / p(x). You are given logarithms.",
        "log of a sum of exponentials: torch.logsumexp(log_joint, -1). Dividing is subtracting"
        " logarithms.",
        "log_p = torch.logsumexp(log_joint, -1); the posterior is torch.exp(log_joint -"
        " log_p[:, None]).",
    ],
)


# ---- the area under the ROC curve


def under_the_curve(inside: Tensor, outside: Tensor) -> Tensor:
    """By trapezoids, threshold by threshold."""
    thresholds = torch.cat([inside, outside]).unique().flip(0)
    inside, outside = (
        torch.stack([0 * a[0], *((a >= t).double().mean() for t in thresholds)])
        for a in (inside, outside)
    )
    return torch.trapezoid(inside, outside)


def share(pair):
    """A slip: the mean over all pairs."""
    return lambda a, b: pair(a[:, None], b).double().mean()


def area_of(change):
    """A slip, made of the area and the numbers of scores inside and outside."""
    return lambda a, b: change(under_the_curve(a, b), len(a), len(b))


def accuracy(threshold):
    """A slip, of all scores: the mean of the two shares on the right side of one threshold."""
    return lambda a, b: under_the_curve(*(1.0 * (s > threshold(torch.cat([a, b]))) for s in (a, b)))


NOISE = randn(0, (37,), (23,))
IN, OUT = NOISE[0] + 0.6, NOISE[1]
TIES = [(1.5 * scores).round() for scores in (IN, OUT)]

auc = Exercise(
    name="auc",
    solution=_auc,
    judge=Function(
        "the AUC",
        truth=under_the_curve,
        kind=number,
        learn=(),
        moved=("inside",),
        rtol=1e-6,
        cases=[TIES, (IN, OUT), (OUT[:9] - 0.6, IN[:14])],
        edges=[
            "where all scores are equal",
            "they tell nothing there, and the AUC is 0.5",
            reals([2.0] * 3, [2.0] * 5),
            *("for one score of each", "", reals([-1.0], [3.0])),
            "for scores that differ by a millionth",
            "near is no tie, and not far either: only which of the two is higher counts",
            (1e-6 * IN, 1e-6 * OUT),
        ],
        slips=[
            "a tie counts nothing with you: it counts half",
            share(torch.gt),
            "a tie counts fully with you: it counts half",
            share(torch.ge),
            "ties are left out: each is one of the pairs, and counts half",
            lambda a, b: share(torch.gt)(a, b) / share(torch.ne)(a, b),
            "you counted the pairs: divide by their number, len(inside) * len(outside)",
            area_of(lambda area, n, m: n * m * area),
            "you divided by the number of scores: divide by that of pairs, len(inside) * len(outside)",
            area_of(lambda area, n, m: n * m * area / (n + m)),
            "you divided by len(inside)**2: there are len(inside) * len(outside) pairs",
            area_of(lambda area, n, m: area * m / n),
            "this is twice the AUC minus 1, from -1 to 1: a pair counts 1, or 0, or one half for a tie",
            area_of(lambda area, n, m: 2 * area - 1),
            "an AUC below one half says that the score misleads: do not turn it round",
            area_of(lambda area, n, m: torch.maximum(area, 1 - area)),
            "each of inside is compared with one of outside: compare it with all, inside[:, None]",
            lambda a, b: under_the_curve(a[: len(b)] - b[: len(a)], torch.zeros(1)),
            "the mean of inside stands for all of them: compare each with each of outside",
            lambda a, b: under_the_curve(a.mean()[None], b),
            "this is the mean difference: only which of the two is higher counts",
            share(torch.sub),
            "a sigmoid is no comparison: a pair counts 1, or 0, or one half for a tie",
            share(lambda a, b: (a - b).sigmoid()),
            "this is the accuracy at one threshold; the AUC has none",
            accuracy(lambda scores: 0),
            "this is the accuracy at the mean score; the AUC has no threshold",
            accuracy(torch.mean),
        ],
        shapes=[(37, 23), "take the mean over all pairs"],
        praise="the share of pairs agrees with the area under the ROC curve,"
        " {trial.truth[0].value:.4f} where there are ties.",
    ),
    hints=[
        "Take each score from inside with each from outside: how often is the first the larger?",
        "inside[:, None] - outside is an (N, M) table of differences. A difference of 0 counts"
        " one half.",
        "d = inside[:, None] - outside; then ((d > 0).float() + 0.5 * (d == 0).float()).mean().",
    ],
)


# ---- a pixel given all the others


def images(D: int) -> Tensor:
    return torch.tensor([*itertools.product([0.0, 1.0], repeat=D)], dtype=torch.float64)


def given(x: Tensor, i: int, table: Tensor) -> tuple:
    """The table, which has a number for each image, as a log-potential: dependencies of all pixels."""
    D = x.shape[1]

    def log_potential(x: Tensor) -> Tensor:
        if x.shape[-1] != D or not ((x == 0) | (x == 1)).all():
            raise Wrong(
                f"log_potential got {tuple(x.shape)} with values from {x.min():.2g} to {x.max():.2g}:"
                " whole images of 0 and 1."
            )
        return table[(x.double() @ 2.0 ** torch.arange(D).double()).long()]

    return x, i, log_potential


def among_all_images(x: Tensor, i: int, log_potential) -> Tensor:
    """Of all images that are like x but for pixel i, the share of those with it on."""
    every, others = images(x.shape[1]), torch.arange(x.shape[1]) != i
    alike = (x[:, None, others] == every[:, others]).all(-1)
    on, both = (
        log_potential(every).where(chosen, -torch.inf).logsumexp(-1)
        for chosen in (alike & (every[:, i] == 1), alike)
    )
    return (on - both).exp()


def two(change, where=lambda i: (slice(None), i)):
    """A slip, of log psi with pixel i on and off, and of x as it came; `where` is what is set."""

    def slip(x, i, log_potential):
        on, off = x.clone(), x.clone()
        on[where(i)], off[where(i)] = 1, 0
        return change(*map(log_potential, (on, off, x)))

    return slip


def conditional(on: Tensor, off: Tensor, x: Tensor) -> Tensor:
    return (on - off).sigmoid()


TABLE, SMALL = randn(2, (16,), (8,))
OVERFLOW = (
    "exp is infinite or 0, and the sigmoid of the difference of two log-potentials never takes it"
)

pixel_given_rest = Exercise(
    name="pixel_given_rest",
    solution=_pixel_given_rest,
    judge=Function(
        "p(x_i = 1 | the others)",
        truth=among_all_images,
        given=given,
        rows="x",
        learn=(),
        moved=("table",),
        cases=[*((images(4), i, TABLE) for i in range(4)), (images(3).flip(0), 1, SMALL)],
        edges=[
            "for log-potentials of 1500, usual for a large grid,",
            OVERFLOW,
            (images(4), 0, TABLE + 1500),
            *("for log-potentials of -1500", OVERFLOW, (images(4), 3, TABLE - 1500)),
            "where the two log-potentials are far apart",
            "the probability may be as near to 0 or 1 as you like, so clamp nothing",
            (images(4), 2, 40 * TABLE),
            *("for images of one pixel", "", (images(1), 0, TABLE[:2])),
        ],
        slips=[
            "these are the log-odds: a sigmoid makes a probability of them",
            two(lambda on, off, x: on - off),
            "these are the odds psi(1) / psi(0): divide by psi(0) + psi(1)",
            two(lambda on, off, x: (on - off).exp()),
            "this is a ratio of logarithms: take the sigmoid of their difference",
            two(lambda on, off, x: on / (on + off)),
            "you drew the pixel, or rounded: return the probability that it is 1",
            two(lambda on, off, x: (on > off).double()),
            "this is p(x), normalised over all images: only two matter, with pixel i on and off",
            two(lambda on, off, x: x.softmax(0)),
            "this is p(x with pixel i on) among all images: given the others, only two are left",
            two(lambda on, off, x: (on - x.logsumexp(0)).exp()),
            "you normalised over the batch: each row has two images of its own, pixel i on and off",
            two(lambda on, off, x: (on - off).softmax(0)),
            "twice the difference: that factor is the Ising grid's, and log_potential knows it already",
            two(lambda on, off, x: (2 * (on - off)).sigmoid()),
            "the one image is x as it came: clone it twice, with pixel i on and off",
            two(lambda on, off, x: (on - x).sigmoid()),
            "the sigmoid of one log-potential: of the difference between pixel i on and off",
            two(lambda on, off, x: x.sigmoid()),
            "the sigmoid of the log-potential with pixel i on: subtract the one with it off",
            two(lambda on, off, x: on.sigmoid()),
            "it is the probability of the value that pixel i has: of 1, whatever it is now",
            two(lambda on, off, x: (x - torch.logaddexp(on, off)).exp()),
            "you set row i, an image: pixel i is a column, x[:, i]",
            two(conditional, lambda i: i),
            "you set the pixels after i, too: only pixel i changes, x[:, i]",
            two(conditional, lambda i: (slice(None), slice(i, None))),
            "you set the pixel before i: they are counted from 0",
            two(conditional, lambda i: (slice(None), i - 1)),
            "you set all other pixels to 0, too: they stay as they are in x",
            lambda x, i, log_potential: among_all_images(0 * x, i, log_potential),
        ],
        shapes=[
            (16, 4),
            "these are images: return the probability of pixel i, one number for each row",
        ],
        praise="for potentials that tie all four pixels together it agrees with the table of all 16"
        " images, and Z was never needed.",
    ),
    hints=[
        "Given all the others, only two images are left: pixel i on, and pixel i off. Z is the"
        " same for both.",
        "psi(on) / (psi(on) + psi(off)) is the sigmoid of log psi(on) - log psi(off).",
        "on, off = x.clone(), x.clone(); on[:, i] = 1; off[:, i] = 0;"
        " torch.sigmoid(log_potential(on) - log_potential(off)).",
    ],
)
