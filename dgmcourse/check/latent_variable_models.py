"""Checks of notebook 02: the marginal of the linear Gaussian model, its posterior, one EM step.

The truth comes from a grid over z, on which p(x|z) p(z) is summed, and from least squares over that
grid: never from the formulas that are asked for.
"""

import math

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.densities import LOG_2PI

B, D, K = 7, 4, 2


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


# ---- a small case and its truth, by a sum over a grid of z


def _case(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x (B, D), W (D, K), b = mean of x, psi: no two of the numbers alike."""
    random = torch.Generator().manual_seed(seed)
    W = torch.randn(D, K, generator=random, dtype=torch.float64)
    psi = 0.3 + torch.rand(D, generator=random, dtype=torch.float64)
    x = (
        torch.randn(B, D, generator=random, dtype=torch.float64) @ torch.diag(psi) * 2
        + 1
        + torch.arange(D) / 2
    )
    return x, W, x.mean(0), psi


def _grid() -> tuple[Tensor, float]:
    axis = torch.linspace(-9, 9, 241, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2


def _integrated(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log p(x) (B,), the grid of z (G, K), and p(z|x) on it (B, G), normalised."""
    z, cell = _grid()
    off = x[:, None] - (z @ W.T + b)  # (B, G, D)
    log_joint = -0.5 * (off**2 / psi + psi.log() + LOG_2PI).sum(-1) - 0.5 * (z**2 + LOG_2PI).sum(-1)
    log_p = torch.logsumexp(log_joint, -1) + math.log(cell)
    return log_p, z, torch.softmax(log_joint, -1)


def _moments(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    """E[z|x], (B, K), and Cov[z|x], (B, K, K)."""
    _, z, p = _integrated(x, W, b, psi)
    mean = p @ z
    return mean, torch.einsum("bg,gi,gj->bij", p, z, z) - mean[:, :, None] * mean[:, None]


def _maximised(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    """The W and psi that maximise the expected log p(x, z): weighted least squares over all pairs
    of an x and a z of the grid.
    """
    _, z, p = _integrated(x, W, b, psi)
    kept = p.max(0).values > 1e-14  # the grid where any posterior has mass
    z, root = z[kept], p[:, kept].sqrt()
    design = (root[..., None] * z).reshape(-1, z.shape[1])  # (B * G, K)
    target = (root[..., None] * (x - b)[:, None]).reshape(-1, x.shape[1])
    slopes = torch.linalg.lstsq(design, target).solution  # (K, D)
    return slopes.T, ((target - design @ slopes) ** 2).sum(0) / len(x)


# ---- the marginal


def _judge_marginal(marginal) -> str:
    x, W, b, psi = _case()
    value = _tensor(_call(marginal, "marginal", x, W, b, psi), "marginal")
    if value.dim() == 0:
        raise Wrong(
            "marginal is one number for the whole batch: keep one for each row of x, shape (B,)."
        )
    if value.shape == (B, B):
        raise Wrong(
            f"marginal has shape {(B, B)}: (x - b) C^-1 (x - b)^T pairs every row with every other."
            " You want its diagonal: multiply elementwise and sum over the last axis."
        )
    if value.shape == (B, D):
        raise Wrong(
            f"marginal has shape {(B, D)}, one number for each dimension: sum over the last axis,"
            " .sum(-1)."
        )
    if value.shape == (D,):
        raise Wrong(
            f"marginal has shape {(D,)}: you summed over the batch (axis 0). Sum over the"
            " dimensions, .sum(-1)."
        )
    if value.shape in ((B, 1), (1, B)):
        raise Wrong(
            f"marginal has shape {tuple(value.shape)}, an axis too many: return {(B,)}, .squeeze()"
            " or a sum without keepdim."
        )
    _shape(value, (B,), "marginal")
    if not value.isfinite().all() or value.abs().max() > 1e6:
        raise Wrong(
            f"marginal is {value[0].item():.3g} nats for the first row: the covariance you invert"
            " is singular, or nearly so. W W^T alone has rank K; the noise, torch.diag(psi), makes"
            " it a covariance in all directions."
        )
    truth = _integrated(x, W, b, psi)[0]
    off = x - b

    def gaussian(
        C: Tensor,
        off: Tensor = off,
        pi: float = 1.0,
        det: float = 1.0,
        half: float = 0.5,
        square: float = 1.0,
    ) -> Tensor:
        distance = (off * torch.linalg.solve(C, off.T).T).sum(-1)
        return -half * (pi * D * LOG_2PI + det * torch.logdet(C) + square * distance)

    C, noise = W @ W.T + torch.diag(psi), torch.diag(psi)
    _match(
        value,
        truth,
        "marginal",
        "nats",
        {
            "the sign is turned round: return log p(x), which is maximised, no loss": -truth,
            "this is the density p(x) itself: return its logarithm": truth.exp(),
            "you forgot the factor 1/2": 2 * truth,
            "you forgot the factors: the covariance is W W^T + Psi, not Psi alone": gaussian(noise),
            "you used only the variances of x: W W^T + Psi has entries off its diagonal, and they matter": gaussian(
                torch.diag(C.diagonal())
            ),
            "you squared psi: it holds the variances already": gaussian(
                W @ W.T + torch.diag(psi**2)
            ),
            "you took the square root of psi: the covariance needs the variances, which psi holds": gaussian(
                W @ W.T + torch.diag(psi.sqrt())
            ),
            "you took exp of psi: it holds the variances, not their logarithms": gaussian(
                W @ W.T + torch.diag(psi.exp())
            ),
            "you used the identity for the noise: its variances are psi": gaussian(
                W @ W.T + torch.eye(D, dtype=x.dtype)
            ),
            "you forgot to subtract b": gaussian(C, off=x),
            "you forgot D log 2 pi": gaussian(C, pi=0),
            "log 2 pi counts once for each of the D dimensions": gaussian(C, pi=1 / D),
            "you forgot the log-determinant": gaussian(C, det=0),
            "the minus belongs before all three terms, D log 2 pi and the log-determinant, too": (
                gaussian(C, pi=-1, det=-1)
            ),
            "the log-determinant has the wrong sign: a wide Gaussian is low": gaussian(C, det=-1),
            "the distance has the wrong sign: far from b is improbable": gaussian(C, square=-1),
            "you forgot the distance (x - b)^T C^-1 (x - b)": gaussian(C, square=0).expand(B),
            "you multiplied by C where its inverse belongs": (
                -0.5 * (D * LOG_2PI + torch.logdet(C) + (off @ C * off).sum(-1))
            ),
            "the log-determinant is taken of the inverse, or the root, of C": gaussian(C, det=0.5),
            "you averaged over the dimensions: log-probabilities are summed": truth / D,
            "this is log p(x|z) at z = E[z|x]: the marginal has no z left in it": _at_mean(
                x, W, b, psi
            ),
            "this is log p(x|z) at z = 0: integrate z out": gaussian(noise),
        },
    )
    _many_dimensions(marginal)
    return (
        f"on {B} points it agrees with a sum over {len(_grid()[0]):,} values of z to"
        f" {(value - truth).abs().max().item():.0e} nats."
    )


def _at_mean(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> Tensor:
    off = x - b - _moments(x, W, b, psi)[0] @ W.T
    return -0.5 * (off**2 / psi + psi.log() + LOG_2PI).sum(-1)


def _many_dimensions(marginal) -> None:
    """One factor that all of 800 dimensions share: det C is about 10^-1600, beyond any float. Truth
    by a grid over z.
    """
    n, psi = 800, torch.full((800,), 1e-2, dtype=torch.float64)
    W = torch.full((n, 1), 0.1, dtype=torch.float64)
    x = torch.linspace(-0.1, 0.3, n, dtype=torch.float64).repeat(2, 1)
    value = _tensor(marginal(x, W, torch.zeros(n, dtype=torch.float64), psi), "marginal")
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    total, square = x[0].sum(), (x[0] ** 2).sum()  # of which alone the likelihood depends on z
    log_lik = -0.5 * (
        (square - 0.2 * z * total + 0.01 * n * z**2) / 1e-2 + n * (math.log(1e-2) + LOG_2PI)
    )
    truth = torch.logsumexp(log_lik - 0.5 * (z**2 + LOG_2PI), 0) + math.log(18 / 20_000)
    if not value.isfinite().all():
        raise Wrong(
            f"right for {D} dimensions, but {value[0].item()} for {n}: the determinant leaves the"
            " range of floats. torch.logdet(C) computes its logarithm without it."
        )
    if (value - truth).abs().max() > 1e-4 * truth.abs():
        raise Wrong(
            f"right for {D} dimensions, but {value[0].item():.1f} nats for {n} where"
            f" {truth.item():.1f} is right."
        )


# ---- the posterior


def _judge_posterior(posterior) -> str:
    x, W, b, psi = _case(1)
    mean, covariance = _two(
        _call(posterior, "posterior", x, W, b, psi),
        "posterior",
        "the mean (B, K) and the covariance (K, K)",
    )
    if (mean.shape, covariance.shape) == ((K, K), (B, K)):
        raise Wrong(
            "the mean comes first and the covariance second: you returned them the other way round."
        )
    if mean.shape == (K, B):
        raise Wrong(f"the mean has shape {(K, B)}: transpose it, one row for each x, (B, K).")
    if mean.shape == (K,):
        raise Wrong("the mean is one for the whole batch: keep one row for each x, (B, K).")
    _shape(mean, (B, K), "the mean")
    if covariance.shape == (D, D):
        raise Wrong(
            f"the covariance has shape {(D, D)}, that of x: the posterior is over z, (K, K)."
        )
    if covariance.shape == (B, K, K):
        raise Wrong("the covariance does not depend on x: return it once, (K, K).")
    if covariance.shape == (K,):
        raise Wrong(
            "the covariance is a vector: the factors are correlated given x, return the whole"
            " matrix (K, K)."
        )
    _shape(covariance, (K, K), "the covariance")
    true_mean, each = _moments(x, W, b, psi)
    true_covariance = each[0]
    eye, inverse = torch.eye(K, dtype=x.dtype), torch.linalg.inv
    scaled = W / psi[:, None]
    precision = eye + W.T @ scaled
    _match(
        covariance,
        true_covariance,
        "the covariance",
        "",
        {
            "this is the precision I + W^T Psi^-1 W: the covariance is its inverse": precision,
            "you forgot I, the prior's precision": inverse(W.T @ scaled),
            "you forgot Psi: each dimension counts by its own noise, W^T Psi^-1 W": inverse(
                eye + W.T @ W
            ),
            "you multiplied by psi where you should divide: Psi^-1": inverse(
                eye + W.T @ (W * psi[:, None])
            ),
            "psi holds variances: no square": inverse(eye + W.T @ (W / psi[:, None] ** 2)),
            "psi holds variances: no root": inverse(eye + W.T @ (W / psi[:, None].sqrt())),
            "this is its Cholesky factor: return the covariance": torch.linalg.cholesky(
                true_covariance
            ),
            "this is its root, entry by entry: return the covariance": true_covariance.sqrt(),
            "the prior's covariance is added: it is the precisions that add": (
                eye + inverse(W.T @ scaled)
            ),
            "this is the posterior of the prior alone: x tells something about z": eye,
            "only its diagonal is right: the factors are correlated given x": torch.diag(
                true_covariance.diagonal()
            ),
        },
    )
    off, G = x - b, true_covariance
    _match(
        mean,
        true_mean,
        "the mean",
        "",
        {
            "you forgot to subtract b": x @ scaled @ G,
            "you forgot Psi^-1: a noisy dimension must count less": off @ W @ G,
            "you forgot the factor G": off @ scaled,
            "this is least squares: the prior pulls z towards 0, (I + W^T Psi^-1 W)": (
                off @ scaled @ inverse(W.T @ scaled)
            ),
            "you multiplied by psi where you should divide: Psi^-1": off @ (W * psi[:, None]) @ G,
            "the sign is turned round: x - b, not b - x": -true_mean,
            "psi holds variances: no root": off @ (W / psi[:, None].sqrt()) @ G,
            "psi holds variances: no square": off @ (W / psi[:, None] ** 2) @ G,
            "this is a projection on W: the posterior weighs by precision": off @ W,
        },
    )
    return (
        f"mean and covariance agree with sums over {len(_grid()[0]):,} values of z to"
        f" {(mean - true_mean).abs().max().item():.0e}."
    )


# ---- one EM step


def _judge_em_step(em_step) -> str:
    x, W, b, psi = _case(2)
    new_W, new_psi = _two(
        _call(em_step, "em_step", x, W, b, psi), "em_step", "the new W (D, K) and the new psi (D,)"
    )
    if (new_W.shape, new_psi.shape) == ((D,), (D, K)):
        raise Wrong("W comes first and psi second: you returned them the other way round.")
    if new_W.shape == (K, D):
        raise Wrong(f"W has shape {(K, D)}: transpose it, one row for each dimension of x, (D, K).")
    _shape(new_W, (D, K), "W")
    if new_psi.shape == (D, D):
        raise Wrong(
            "psi is a matrix: keep its diagonal only, (D,). What dimensions share must go"
            " through z."
        )
    if new_psi.dim() == 0 or new_psi.shape == (1,):
        raise Wrong(
            "psi is one number: each dimension has a noise of its own, (D,). (One for all is"
            " probabilistic PCA.)"
        )
    _shape(new_psi, (D,), "psi")
    true_W, true_psi = _maximised(x, W, b, psi)
    mean, each = _moments(x, W, b, psi)
    off, G = x - b, each[0]
    cross, outer = off.T @ mean, mean.T @ mean
    second = outer + B * G

    def regressed(moment: Tensor, cross: Tensor = cross) -> Tensor:
        return cross @ torch.linalg.inv(moment)

    _match(
        new_W,
        true_W,
        "W",
        "",
        {
            "W has not changed: return the new one": W,
            "you used <z><z>^T for <z z^T>: add the posterior's covariance G": regressed(outer),
            "G counts once for each of the N rows: N G": regressed(outer + G),
            "the sums do not match: both over n, or both averaged": regressed(second / B),
            "the sums do not match: both over n, or both averaged (the first is)": regressed(
                second, cross / B
            ),
            "you forgot the second moment: a regression divides by <z z^T>": cross,
            "you multiplied by the second moment: multiply by its inverse": cross @ second,
            "you used the prior's second moment, N I: take the posterior's": cross / B,
            "you used N I + sum of <z><z>^T: G is the posterior's covariance, not the prior's": (
                regressed(outer + B * torch.eye(K, dtype=x.dtype))
            ),
        },
    )
    fit = mean @ true_W.T
    again = _moments(x, true_W, b, psi)[0] @ true_W.T
    _match(
        new_psi,
        true_psi,
        "psi",
        "",
        {
            "psi has not changed: return the new one": psi,
            "you used the old W: what is left over is left over by the new one": (
                (off**2 - off * (mean @ W.T)).mean(0)
            ),
            "this is the residual at the posterior's mean: z is uncertain, and that adds w_d^T G w_d": (
                ((off - fit) ** 2).mean(0)
            ),
            "the uncertainty of z adds w_d^T G w_d: you added w_d^T w_d, without G": (
                ((off - fit) ** 2).mean(0) + (true_W**2).sum(1)
            ),
            "you took the posterior again with the new W: the M step keeps the E step's": (
                (off**2 - off * again).mean(0)
            ),
            "you summed over n: average": B * true_psi,
            "this is the variance of x: subtract what the factors explain": (off**2).mean(0),
            "you subtracted the explained part twice": (off**2 - 2 * off * fit).mean(0),
            "the explained part is added: subtract it": (off**2 + off * fit).mean(0),
            "this is the standard deviation: psi holds variances": true_psi.sqrt(),
            "this is log psi: return the variances": true_psi.log(),
            "you averaged over the dimensions: each has a noise of its own (one for all is probabilistic PCA)": (
                true_psi.mean().expand(D)
            ),
            "you forgot to subtract b": (x**2 - x * fit).mean(0),
            "you divided by N - 1: maximum likelihood divides by N": true_psi * B / (B - 1),
        },
    )
    gain = (_integrated(x, new_W, b, new_psi)[0] - _integrated(x, W, b, psi)[0]).mean().item()
    return (
        "it is the maximum that least squares over a grid of z finds, and the step raises the mean"
        f" log p(x) by {gain:.3f} nats."
    )


# ---- what all three share


def _call(function, name: str, *given: Tensor):
    """The answer to copies of what is given. One that changes them would be judged by other numbers
    than it saw.
    """
    copies = [t.clone() for t in given]
    answer = function(*copies)
    for argument, before, after in zip(("x", "W", "b", "psi"), given, copies, strict=True):
        if not torch.equal(before, after):
            raise Wrong(
                f"{name} changed {argument} in place: x - b makes a new tensor, x -= b changes the"
                " caller's."
            )
    return answer


def _two(answer, name: str, what: str) -> tuple[Tensor, Tensor]:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        found = (
            f"{len(answer)} things"
            if isinstance(answer, tuple | list)
            else f"one {type(answer).__name__}"
        )
        raise Wrong(f"{name} returns two tensors: {what}. You returned {found}.")
    return tuple(_tensor(value, f"each of the two that {name} returns") for value in answer)


def _tensor(value, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise Wrong(f"{name} should be a tensor, it is {type(value).__name__}.")
    return value.detach()


def _shape(value: Tensor, shape: tuple, name: str) -> None:
    if value.shape != shape:
        raise Wrong(f"{name} has shape {tuple(value.shape)}, expected {shape}.")


def _match(
    value: Tensor,
    truth: Tensor,
    name: str,
    unit: str,
    mistakes: dict[str, Tensor],
    tolerance: float = 1e-5,
) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """

    def same(other: Tensor) -> bool:
        return torch.allclose(
            value.double(), other.double().expand(value.shape), rtol=tolerance, atol=tolerance
        )

    if same(truth):
        return
    for mistake, other in mistakes.items():
        if same(other):
            raise Wrong(f"{name}: {mistake}.")
    if not value.isfinite().all():
        raise Wrong(
            f"{name} is not finite. psi holds the variances themselves: is there a logarithm or a"
            " division too many?"
        )
    at = (value - truth).abs().flatten().argmax().item()
    found, right = value.flatten()[at].item(), truth.flatten()[at].item()
    raise Wrong(
        f"{name} has an entry {found:.4f} where {right:.4f} is right{f' ({unit})' if unit else ''}."
    )


marginal = Exercise(
    name="marginal",
    solution=_marginal,
    judge=_judge_marginal,
    hints=[
        "Make the covariance C first, (D, D): torch.diag(psi) puts the variances on a diagonal.",
        (
            "Solve for all rows at once: torch.linalg.solve(C, off.T) has one column for each x."
            " Multiply it, transposed, by off."
        ),
        (
            "-0.5 * (D * LOG_2PI + torch.logdet(C) + (off * torch.linalg.solve(C,"
            " off.T).T).sum(-1)), where off = x - b."
        ),
    ],
)
posterior = Exercise(
    name="posterior",
    solution=_posterior,
    judge=_judge_posterior,
    hints=[
        "Psi is diagonal: Psi^-1 W is W / psi[:, None], a division of each row by its variance.",
        "G = torch.linalg.inv(torch.eye(K).to(W) + W.T @ scaled), where scaled = W / psi[:, None].",
        (
            "Rows of x stand where the equation has columns, so its transpose: (x - b) @ scaled @"
            " G, and G is symmetric."
        ),
    ],
)
em_step = Exercise(
    name="em_step",
    solution=_em_step,
    judge=_judge_em_step,
    hints=[
        (
            "E first: z, G = posterior(x, W, b, psi). Then two sums over n: off.T @ z is (D, K),"
            " z.T @ z is (K, K)."
        ),
        (
            "The second moment summed over n is z.T @ z + len(x) * G: every row has its own mean"
            " and the same covariance."
        ),
        (
            "W = torch.linalg.solve(second_moment, cross.T).T, then psi = (off**2 - off * (z @"
            " W.T)).mean(0) with the new W."
        ),
    ],
)
