"""Checks of notebook 02: the marginal of the linear Gaussian model, its posterior, one EM step.

The truth comes from a grid over z, on which p(x|z) p(z) is summed, and from least squares over that
grid: never from the formulas that are asked for.
"""

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise
from dgmcourse.check._judge import Function, randn
from dgmcourse.check._progress import progress as progress
from dgmcourse.densities import LOG_2PI

# ---- the course's own answers


def _marginal(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> Tensor:
    C = W @ W.T + torch.diag(psi)
    off = x - b
    distance = (off * torch.linalg.solve(C, off.T).T).sum(-1)
    return -0.5 * (x.shape[1] * LOG_2PI + torch.logdet(C) + distance)


def _posterior(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    scaled = W / psi[:, None]
    G = torch.linalg.inv(torch.eye(W.shape[1]).to(W) + W.T @ scaled)
    return (x - b) @ scaled @ G, G


def _em_step(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    z, G = _posterior(x, W, b, psi)
    off = x - b
    cross = off.T @ z
    W = torch.linalg.solve(z.T @ z + len(x) * G, cross.T).T
    return W, (off**2 - off * (z @ W.T)).mean(0)


# ---- the truth, by sums over a grid of z


def on_grid(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x) (B,), a grid of z for each x (B, G, d), and p(z|x) on it (B, G), normalised.

    The grid lies where z explains x, about the z of least squares. Its step is one standard
    deviation of the posterior: the sum is the integral to 1e-8.
    """
    d = W.shape[1]
    with torch.no_grad():
        design = torch.cat([W / psi.sqrt()[:, None], torch.eye(d).to(W)])
        target = torch.cat([(x - b) / psi.sqrt(), x.new_zeros(len(x), d)], 1)
        centre = torch.linalg.lstsq(design, target.T).solution.T
        width = torch.linalg.inv(torch.linalg.qr(design).R)
        t = torch.cartesian_prod(*[torch.arange(-7, 8).to(W)] * d).view(-1, d)
        z = centre[:, None] + t @ width.T
        cell = torch.linalg.slogdet(width).logabsdet
    off = x[:, None] - (z @ W.T + b)  # (B, G, D)
    log_joint = -0.5 * (off**2 / psi + psi.log() + LOG_2PI).sum(-1) - 0.5 * (z**2 + LOG_2PI).sum(-1)
    return torch.logsumexp(log_joint, -1) + cell, z, torch.softmax(log_joint, -1)


def moments(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    """E[z|x], (B, d), and Cov[z|x], (d, d), the same for all x."""
    _, z, p = on_grid(x, W, b, psi)
    mean = (p[..., None] * z).sum(1)
    off = z[0] - mean[0]
    return mean, (p[0, :, None] * off).T @ off


def maximised(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    """The W and psi that maximise the expected log p(x, z): weighted least squares over all pairs
    of an x and a z of its grid.
    """
    _, z, p = on_grid(x, W, b, psi)
    root = p.sqrt()[..., None]
    design = (root * z).flatten(0, 1)  # (B * G, d)
    target = (root * (x - b)[:, None]).flatten(0, 1)
    slopes = torch.linalg.lstsq(design, target).solution  # (d, D)
    return slopes.T, ((target - design @ slopes) ** 2).sum(0) / len(x)


def drawn(seed: int, B: int, D: int, d: int, unit: float = 1.0, centred: bool = False) -> tuple:
    """x of the model, W, b and psi, in small units if so asked, and b the mean of x."""
    z, W, b, noise, spread = randn(seed, (B, d), (D, d), (D,), (B, D), (D,))
    psi = 0.3 + spread.sigmoid()
    x = 1.5 * z @ W.T + b + 0.5 + psi.sqrt() * noise
    return unit * x, unit * W, unit * (x.mean(0) if centred else b), unit**2 * psi


CENTRED = "you subtracted the batch's own mean: b is given, and rows must not mix"
SINGULAR = (
    "the covariance you invert is singular: W W^T alone has rank d; the noise, torch.diag(psi), makes"
    " it a covariance in all directions"
)
SMALL = "the noise is small there: nothing may be added to its variances, nor a bound be set"
x, W, b, psi = LINE = drawn(5, 6, 1, 1, centred=True)
EDGES = [
    *("where all is a hundredth as large", SMALL, drawn(6, 7, 4, 2, 1e-2, True)),
    *("in one dimension", "", LINE),
    *("for loadings of 0", "", (x, 0 * W, b, psi)),
]


# ---- what slips are made of

inverse = torch.linalg.pinv  # which raises no error, whatever a slip has made


class Parts:
    """The matrices and sums of the formulas, by names of theirs."""

    def __init__(self, x: Tensor, W: Tensor, b: Tensor, psi: Tensor):
        self.x, self.W, self.b, self.psi, self.column = x, W, b, psi, psi[:, None]
        self.N, self.off, self.I = len(x), x - b, torch.eye(W.shape[1]).to(W)
        self.evidence, self.C = W.T @ (W / self.column), W @ W.T + torch.diag(psi)
        self.mean, self.G = moments(x, W, b, psi)
        self.cross, self.outer = self.off.T @ self.mean, self.mean.T @ self.mean


def of(change):
    """A slip, of these parts."""
    return lambda *given: change(Parts(*given))


def left(change):
    """A slip of psi: a mean over n, of these parts, the new W and what z explains with it."""

    def slip(*given):
        s, new_W = Parts(*given), maximised(*given)[0]
        return change(s, new_W, s.mean @ new_W.T).mean(0)

    return slip


def distance(off: Tensor, C: Tensor) -> Tensor:
    return (off @ inverse(C) * off).sum(-1)


def log_p(s: Parts, C: Tensor | None = None, off: Tensor | None = None, D: float = 0) -> Tensor:
    """log p(x) with another covariance, x - b or number of dimensions."""
    C, off = s.C if C is None else C, s.off if off is None else off
    return -0.5 * ((D or len(C)) * LOG_2PI + torch.logdet(C) + distance(off, C))


def noisy(change):
    """A slip: log p(x) with another noise."""
    return of(lambda s: log_p(s, s.W @ s.W.T + torch.diag(change(s.psi))))


# ---- the marginal

marginal = Exercise(
    name="marginal",
    solution=_marginal,
    judge=Function(
        "marginal",
        truth=lambda x, W, b, psi: on_grid(x, W, b, psi)[0],
        rows="x",
        cases=[drawn(0, 7, 2, 3), drawn(1, 6, 5, 1), drawn(10, 5, 3, 1)],
        edges=[
            *EDGES,
            *("far from b", "", (1e3 * x, W, b, psi)),
            "in 800 dimensions",
            "the determinant leaves the range of floats. torch.logdet(C) computes its logarithm"
            " without it",
            drawn(7, 2, 800, 1, 0.1),
        ],
        slips=[
            "you forgot the factors: the covariance is W W^T + Psi. With Psi alone this is"
            " log p(x|z) at z = 0",
            of(lambda s: log_p(s, torch.diag(s.psi))),
            "you forgot the noise: W W^T alone has rank d, and no inverse where d < D",
            noisy(lambda psi: 1e-9 * psi),
            "W W^T + psi adds psi to every row: the noise is a matrix, torch.diag(psi)",
            of(lambda s: log_p(s, s.W @ s.W.T + s.psi)),
            "you used only the variances of x: C has entries off its diagonal, and they matter",
            of(lambda s: log_p(s, torch.diag(s.C.diagonal()))),
            *("you squared psi: it holds the variances already", noisy(torch.square)),
            *("you took the square root of psi: C needs the variances", noisy(torch.sqrt)),
            *("you took exp of psi: it holds variances, not logarithms", noisy(torch.exp)),
            *("you used the identity for the noise: its variances are psi", noisy(torch.ones_like)),
            *("you forgot to subtract b", of(lambda s: log_p(s, off=s.x))),
            *(CENTRED, of(lambda s: log_p(s, off=s.x - s.x.mean(0)))),
            "log 2 pi counts once for each of the D dimensions",
            of(lambda s: log_p(s, D=1)),
            "log 2 pi counts for each of the D dimensions of x, not for the d of z",
            of(lambda s: log_p(s, D=len(s.I))),
            "torch.linalg.slogdet gives the sign first: the logarithm is its second",
            of(lambda s: log_p(s) + 0.5 * (torch.logdet(s.C) - 1)),
            "you multiplied by C where its inverse belongs",
            of(lambda s: log_p(s) + 0.5 * (distance(s.off, s.C) - distance(s.off, inverse(s.C)))),
            "this is log p(x|z) at z = E[z|x]: the marginal has no z left in it",
            of(lambda s: log_p(s, torch.diag(s.psi), s.off - s.mean @ s.W.T)),
        ],
        terms={
            "D log 2 pi": of(lambda s: (0 * s.x + LOG_2PI).sum(-1)),
            "log det C": of(lambda s: torch.logdet(s.C).expand(s.N)),
            "the distance (x - b)^T C^-1 (x - b)": of(lambda s: distance(s.off, s.C)),
        },
        shapes=[
            (7, 7),
            "(x - b) C^-1 (x - b)^T pairs every row with every other. You want its diagonal:"
            " multiply elementwise and sum over the last axis",
        ],
        errors={"singular": SINGULAR},
        nan=f"is there a logarithm or a division too many? Or {SINGULAR}",
        unit="nats",
        praise="on 7 points it agrees with a sum over 3,375 values of z to {trial.off:.0e} nats, and"
        " so do its gradients.",
    ),
    hints=[
        "Make the covariance C first, (D, D): torch.diag(psi) puts the variances on a diagonal.",
        "Solve for all rows at once: torch.linalg.solve(C, off.T) has one column for each x. Multiply"
        " it, transposed, by off.",
        "-0.5 * (D * LOG_2PI + torch.logdet(C) + (off * torch.linalg.solve(C, off.T).T).sum(-1)),"
        " where off = x - b.",
    ],
)


# ---- the posterior

posterior = Exercise(
    name="posterior",
    solution=_posterior,
    judge=Function(
        ("the mean", "the covariance"),
        truth=moments,
        rows="x",
        cases=[drawn(2, 7, 4, 2), drawn(3, 6, 5, 3)],
        edges=[*EDGES, *("for more factors than dimensions", "", drawn(4, 6, 2, 3))],
        slips={
            "the covariance": [
                "this is the precision I + W^T Psi^-1 W: the covariance is its inverse",
                of(lambda s: inverse(s.G)),
                *("you forgot I, the prior's precision", of(lambda s: inverse(s.evidence))),
                "you forgot Psi: each dimension counts by its own noise, W^T Psi^-1 W",
                of(lambda s: inverse(s.I + s.W.T @ s.W)),
                "you multiplied by psi where you should divide: Psi^-1",
                of(lambda s: inverse(s.I + s.W.T @ (s.W * s.column))),
                "psi holds variances: no square",
                of(lambda s: inverse(s.I + s.W.T @ (s.W / s.column**2))),
                "psi holds variances: no root",
                of(lambda s: inverse(s.I + s.W.T @ (s.W / s.column.sqrt()))),
                "you used one noise for all dimensions, the mean of psi: each has its own",
                of(lambda s: inverse(s.I + s.W.T @ s.W / s.psi.mean())),
                "the evidence counts once for each row: that of one x is W^T Psi^-1 W",
                of(lambda s: inverse(s.I + s.N * s.evidence)),
                "this is its Cholesky factor: return the covariance",
                of(lambda s: torch.linalg.cholesky(s.G)),
                "this is its root, entry by entry: return the covariance",
                of(lambda s: s.G.sqrt()),
                "the prior's covariance is added: it is the precisions that add",
                of(lambda s: s.I + inverse(s.evidence)),
                "this is the prior's: x tells something about z",
                of(lambda s: s.I),
                "only its diagonal is right: the factors are correlated given x",
                of(lambda s: torch.diag(s.G.diagonal())),
                "the precision's diagonal alone is inverted: invert the whole matrix",
                of(lambda s: torch.diag(1 / inverse(s.G).diagonal())),
            ],
            "the mean": [
                *("you forgot to subtract b", of(lambda s: s.x @ (s.W / s.column) @ s.G)),
                *(CENTRED, of(lambda s: (s.x - s.x.mean(0)) @ (s.W / s.column) @ s.G)),
                "you forgot Psi^-1: a noisy dimension must count less",
                of(lambda s: s.off @ s.W @ s.G),
                *("you forgot the factor G", of(lambda s: s.off @ (s.W / s.column))),
                "this is least squares: the prior pulls z towards 0, (I + W^T Psi^-1 W)",
                of(lambda s: s.off @ (s.W / s.column) @ inverse(s.evidence)),
                "you multiplied by psi where you should divide: Psi^-1",
                of(lambda s: s.off @ (s.W * s.column) @ s.G),
                "psi holds variances: no root",
                of(lambda s: s.off @ (s.W / s.column.sqrt()) @ s.G),
                "psi holds variances: no square",
                of(lambda s: s.off @ (s.W / s.column**2) @ s.G),
                "this is a projection on W: the posterior weighs by precision",
                of(lambda s: s.off @ s.W),
            ],
        },
        shapes={
            "the covariance": [
                (4, 4),
                "that is one of x: the posterior is over z, (d, d)",
                (7, 2, 2),
                "it does not depend on x: return it once, (d, d)",
                (2,),
                "the factors are correlated given x: return the whole matrix, (d, d)",
            ],
            "the mean": [(2,), "one for the whole batch: keep one row for each x, (B, d)"],
        },
        praise="mean and covariance agree with sums over 225 values of z to {trial.off:.0e}, and so"
        " do their gradients.",
    ),
    hints=[
        "Psi is diagonal: Psi^-1 W is W / psi[:, None], a division of each row by its variance.",
        "G = torch.linalg.inv(torch.eye(d).to(W) + W.T @ scaled), where scaled = W / psi[:, None].",
        "Rows of x stand where the equation has columns, so its transpose: (x - b) @ scaled @ G, and G"
        " is symmetric.",
    ],
)


# ---- one EM step


def again(s: Parts, new_W: Tensor, fit: Tensor) -> Tensor:
    return s.off**2 - s.off * (moments(s.x, new_W, s.b, s.psi)[0] @ new_W.T)


em_step = Exercise(
    name="em_step",
    solution=_em_step,
    judge=Function(
        ("W", "psi"),
        truth=maximised,
        learn=(),  # an update by a formula: nothing is differentiated
        moved=("x", "W", "b", "psi"),
        cases=[drawn(6, 7, 4, 2, centred=True), drawn(7, 6, 5, 3, centred=True)],
        edges=[
            *EDGES,
            *("for one x", "", drawn(8, 1, 4, 2, centred=True)),
            *("for 300 x", "all of them count", drawn(9, 300, 3, 1, centred=True)),
        ],
        slips={
            "W": [
                *("W has not changed: return the new one", of(lambda s: s.W)),
                "you used <z><z>^T for <z z^T>: add the posterior's covariance G",
                of(lambda s: s.cross @ inverse(s.outer)),
                "G counts once for each of the N rows: N G",
                of(lambda s: s.cross @ inverse(s.outer + s.G)),
                "the sums do not match: both over n, or both averaged",
                of(lambda s: s.cross @ inverse(s.outer / s.N + s.G)),
                "the sums do not match: both over n, or both averaged (the first is)",
                of(lambda s: s.cross @ inverse(s.outer + s.N * s.G) / s.N),
                "you forgot the second moment: a regression divides by <z z^T>",
                of(lambda s: s.cross),
                "you multiplied by the second moment: multiply by its inverse",
                of(lambda s: s.cross @ (s.outer + s.N * s.G)),
                "you multiplied by the mean second moment: multiply by the inverse",
                of(lambda s: s.cross @ (s.outer + s.N * s.G) / s.N**2),
                "you used the prior's second moment, N I: take the posterior's",
                of(lambda s: s.cross / s.N),
                "you used N I + sum of <z><z>^T: G is the posterior's covariance, not the prior's",
                of(lambda s: s.cross @ inverse(s.outer + s.N * s.I)),
            ],
            "psi": [
                *("psi has not changed: return the new one", of(lambda s: s.psi)),
                "you used the old W: what is left over is left over by the new one",
                left(lambda s, new_W, fit: s.off**2 - s.off * (s.mean @ s.W.T)),
                "this is the residual at the posterior's mean: z is uncertain, which adds w_d^T G w_d",
                left(lambda s, new_W, fit: (s.off - fit) ** 2),
                "the uncertainty of z adds w_d^T G w_d: you added w_d^T w_d, without G",
                left(lambda s, new_W, fit: (s.off - fit) ** 2 + (new_W**2).sum(1)),
                "you took the posterior again with the new W: the M step keeps the E step's",
                left(again),
                "this is the variance of x: subtract what the factors explain",
                left(lambda s, new_W, fit: s.off**2),
                *("you forgot to subtract b", left(lambda s, new_W, fit: s.x**2 - s.x * fit)),
                "you averaged over the dimensions: each has a noise of its own (one for all is"
                " probabilistic PCA)",
                lambda *given: maximised(*given)[1].mean().expand_as(given[3]),
                "you divided by N - 1: maximum likelihood divides by N",
                lambda *given: maximised(*given)[1] * len(given[0]) / (len(given[0]) - 1),
            ],
        },
        terms={
            "psi": {
                "the variance of x": left(lambda s, new_W, fit: s.off**2),
                "what the factors explain, (x - b) W<z>,": left(lambda s, new_W, fit: -s.off * fit),
            }
        },
        shapes={
            "psi": [
                *((4, 4), "keep its diagonal only: what dimensions share must go through z"),
                *((), "each dimension has a noise of its own (one for all is probabilistic PCA)"),
                *((1,), "each dimension has a noise of its own (one for all is probabilistic PCA)"),
            ]
        },
        praise="it is the maximum that least squares over a grid of z finds, to {trial.off:.0e}.",
    ),
    hints=[
        "E first: z, G = posterior(x, W, b, psi). Then two sums over n: off.T @ z is (D, d), z.T @ z is"
        " (d, d).",
        "The second moment summed over n is z.T @ z + len(x) * G: every row has its own mean and the"
        " same covariance.",
        "W = torch.linalg.solve(second_moment, cross.T).T, then psi = (off**2 - off * (z @ W.T)).mean(0)"
        " with the new W.",
    ],
)
