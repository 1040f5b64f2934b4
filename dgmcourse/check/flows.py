"""Checks of notebook 09: a planar step, a Householder reflection, a masked autoregressive step.

The truth comes from autograd's Jacobian and its `slogdet`, from a basis made by QR, and from loops
over single numbers; never from the formula that is asked for.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check.vae import _gradients

ROWS, DIM = 6, 3


# ---- the course's own answers


def _planar_step(z: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    h = torch.tanh(z @ w + b)
    return z + u * h.unsqueeze(-1), torch.log(torch.abs(1 + (u @ w) * (1 - h**2)))


def _reflect(z: Tensor, v: Tensor) -> Tensor:
    size = (v * v).sum(-1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
    return z - 2 * v * (v * z).sum(-1, keepdim=True) / size


def _autoregressive_step(
    z: Tensor, W_m: Tensor, b_m: Tensor, W_s: Tensor, b_s: Tensor
) -> tuple[Tensor, Tensor]:
    m = z @ torch.tril(W_m, -1).T + b_m
    s = z @ torch.tril(W_s, -1).T + b_s
    sigma = torch.sigmoid(s)
    return sigma * z + (1 - sigma) * m, F.logsigmoid(s).sum(-1)


# ---- the planar step


def _judge_planar_step(planar_step) -> str:
    random = torch.Generator().manual_seed(0)
    z = 1.5 * torch.randn(ROWS, DIM, generator=random, dtype=torch.float64)
    w, u = (
        torch.tensor(values, dtype=torch.float64, requires_grad=True)
        for values in ([0.9, -0.6, 1.1], [0.7, 0.8, 1.3])
    )
    b = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    f, log_det = _pair(planar_step(z, w, u, b))

    def one(row: Tensor) -> Tensor:  # number by number
        a = sum(row[d] * w[d] for d in range(DIM)) + b
        return torch.stack([row[d] + u[d] * torch.sinh(a) / torch.cosh(a) for d in range(DIM)])

    right, truth = _with_slogdet(one, z)
    W, U, B, h, Z = w.detach(), u.detach(), b.detach(), torch.tanh(z @ w + b).detach(), z.detach()
    _match(
        f,
        right,
        "f(z)",
        {
            "f(z) lacks z itself: the step adds to z": U * h[:, None],
            "f(z) has the parts of w and u exchanged: push along u, by the tanh of w^T z + b": (
                Z + W * torch.tanh(Z @ U + B)[:, None]
            ),
            "f(z) is pushed along w: push along u": Z + W * h[:, None],
            "f(z) lacks b inside the tanh": Z + U * torch.tanh(Z @ W)[:, None],
            "f(z) has no tanh": Z + U * (Z @ W + B)[:, None],
            "f(z) uses a sigmoid where tanh stands": Z + U * torch.sigmoid(Z @ W + B)[:, None],
            "f(z) takes the tanh of each dimension on its own: w^T z is a sum over the dimensions": (
                Z + U * torch.tanh(Z * W + B)
            ),
            "f(z) pushes against u: add u, do not subtract it": Z - U * h[:, None],
        },
    )
    dot, slope = U @ W, 1 - h**2
    right_det = truth.detach()
    _match(
        log_det,
        right_det,
        "log_det",
        {
            "log_det is the determinant itself: take its logarithm": right_det.exp(),
            "log_det has the wrong sign: it is log |det df/dz|, and log q subtracts it later": (
                -right_det
            ),
            "log_det lacks the derivative of tanh, 1 - tanh^2": (
                torch.log(torch.abs(1 + dot)).expand(ROWS)
            ),
            "log_det has tanh where its derivative belongs, 1 - tanh^2": torch.log(
                torch.abs(1 + dot * h)
            ),
            "log_det has tanh^2 for the derivative of tanh: it is 1 - tanh^2": torch.log(
                torch.abs(1 + dot * h**2)
            ),
            "log_det has 1 - tanh for the derivative of tanh: it is 1 - tanh^2": torch.log(
                torch.abs(1 + dot * (1 - h))
            ),
            "log_det lacks the 1 + of the identity: f adds to z": torch.log(torch.abs(dot * slope)),
            "log_det subtracts where it should add: |1 + u^T w (1 - tanh^2)|": torch.log(
                torch.abs(1 - dot * slope)
            ),
            "log_det lacks u^T w": torch.log(1 + slope),
            "log_det averages u^T w over the dimensions: it is a sum": torch.log(
                torch.abs(1 + dot / DIM * slope)
            ),
            "log_det has u^T u where u^T w belongs": torch.log(1 + (U @ U) * slope),
            "log_det has w^T w where u^T w belongs": torch.log(1 + (W @ W) * slope),
            "log_det takes 1 + u_d w_d (1 - tanh^2) for each dimension and multiplies them: the Jacobian is not diagonal, its determinant is 1 + u^T w (1 - tanh^2)": (
                torch.log(torch.abs(1 + U * W * slope[:, None])).sum(-1)
            ),
            "log_det uses z^T w without b": torch.log(
                torch.abs(1 + dot * (1 - torch.tanh(Z @ W) ** 2))
            ),
            "log_det is in bits: take the natural logarithm": right_det / math.log(2),
            "log_det uses the sigmoid's derivative": torch.log(
                torch.abs(1 + dot * torch.sigmoid(Z @ W + B) * torch.sigmoid(-Z @ W - B))
            ),
        },
    )
    _gradients("log_det", log_det, truth, {"w": w, "u": u, "b": b})
    folded = planar_step(z, w.detach(), -3 * w.detach(), b.detach())[1]
    if not folded.isfinite().all():
        raise Wrong(
            "where u^T w < -1 the determinant can be negative, and yours has no logarithm: take"
            " |det| first, torch.abs."
        )
    return (
        f"f(z) and log_det agree with autograd's Jacobian on {ROWS} points to"
        f" {(log_det - right_det).abs().max().item():.0e} nats, and so do the gradients."
    )


# ---- the Householder reflection


def _judge_reflect(reflect) -> str:
    random = torch.Generator().manual_seed(1)
    z, v = (torch.randn(ROWS, DIM, generator=random, dtype=torch.float64) for _ in range(2))
    v = 2.5 * v
    answer = _rows(reflect(z, v), "reflect")
    right = torch.stack([_mirrored(*pair) for pair in zip(z, v, strict=True)])
    along, square = (v * z).sum(-1, keepdim=True), (v * v).sum(-1, keepdim=True)
    _match(
        answer,
        right,
        "reflect",
        {
            "you forgot the 2: without it z is projected onto the mirror, and cannot be got back": (
                z - v * along / square
            ),
            "you forgot to divide by |v|^2: v is not a unit vector": z - 2 * v * along,
            "you divided by |v| once: it is |v|^2, or a unit vector in both places": (
                z - 2 * v * along / square.sqrt()
            ),
            "the sign is turned round: subtract": z + 2 * v * along / square,
            "you returned - z reflected: it is z - 2 v (v^T z) / |v|^2": -right,
            "you returned the part along v, without z": 2 * v * along / square,
            "you reflected v in z's mirror: z and v are exchanged": (
                v - 2 * z * along / (z * z).sum(-1, keepdim=True)
            ),
            "v^T z is a sum over the dimensions, one number a row: yours multiplies each dimension on its own": (
                z - 2 * v * (v * z) / square
            ),
            "v v^T / |v|^2 is summed over the batch: each row has a v of its own": (
                z - 2 * z @ (v.T @ v) / (v * v).sum()
            ),
            "|v|^2 is summed over the batch: each row has a v of its own": (
                z - 2 * v * along / (v * v).sum()
            ),
            "v^T z and |v|^2 are summed over the batch: each row has a v of its own": (
                z - 2 * v * (v * z).sum() / (v * v).sum()
            ),
            "every row uses the first row's v": z - 2 * v[0] * (z @ v[0])[:, None] / (v[0] @ v[0]),
        },
    )
    again = _rows(reflect(answer.detach(), v), "reflect")
    if not torch.allclose(again, z, atol=1e-8):
        raise Wrong("reflected twice, z does not come back.")
    stuck = v.clone()
    stuck[2] = 0
    at_zero = _rows(reflect(z, stuck), "reflect")
    if not at_zero.isfinite().all():
        raise Wrong(
            "a v of zeros gives NaN: 0 / 0. Keep |v|^2 away from 0, with .clamp_min(1e-30) for"
            " instance; z stays as it is."
        )
    if not torch.allclose(at_zero[2], z[2]):
        raise Wrong("a v of zeros has no mirror: z stays as it is there.")
    short = _rows(reflect(z, 1e-6 * v), "reflect")
    if not torch.allclose(short, right, atol=1e-6):
        raise Wrong(
            "v's length does not matter, but at a millionth of it your answer changes: what you add"
            " to |v|^2 against 0 / 0 is too large. .clamp_min(1e-30) changes nothing but the zero."
        )
    return (
        f"{ROWS} reflections agree with a change of basis to"
        f" {(answer - right).abs().max().item():.0e}; twice is the identity, and a zero v does no"
        " harm."
    )


def _mirrored(z: Tensor, v: Tensor) -> Tensor:
    """z in an orthonormal basis whose first vector is v's direction, that coordinate turned, and
    back.
    """
    basis = torch.linalg.qr(torch.cat([v[:, None], torch.eye(len(v), dtype=v.dtype)[:, :-1]], 1)).Q
    coordinates = basis.T @ z
    coordinates[0] = -coordinates[0]
    return basis @ coordinates


# ---- the masked autoregressive step


def _judge_autoregressive_step(autoregressive_step) -> str:
    random = torch.Generator().manual_seed(2)
    z = torch.randn(ROWS, DIM, generator=random, dtype=torch.float64)
    W_m, W_s = (
        torch.randn(DIM, DIM, generator=random, dtype=torch.float64).requires_grad_()
        for _ in range(2)
    )
    b_m, b_s = (
        torch.randn(DIM, generator=random, dtype=torch.float64).requires_grad_() for _ in range(2)
    )
    f, log_det = _pair(autoregressive_step(z, W_m, b_m, W_s, b_s))

    def one(row: Tensor) -> Tensor:  # dimension by dimension, from those before it only
        new = []
        for d in range(DIM):
            m = b_m[d] + sum(W_m[d, e] * row[e] for e in range(d))
            s = b_s[d] + sum(W_s[d, e] * row[e] for e in range(d))
            gate = 1 / (1 + torch.exp(-s))
            new.append(gate * row[d] + (1 - gate) * m)
        return torch.stack(new)

    right, truth = _with_slogdet(one, z)
    M, A, S, B = W_m.detach(), b_m.detach(), W_s.detach(), b_s.detach()

    def step(mask, gate=torch.sigmoid, turned=False):
        m, s = (
            z @ (mask(M) if turned else mask(M).T) + A,
            z @ (mask(S) if turned else mask(S).T) + B,
        )
        return m, s, gate(s)

    def below(matrix, diagonal=-1):
        return matrix.tril(diagonal)

    def values(mask, **more):
        m, _, g = step(mask, **more)
        return g * z + (1 - g) * m

    m, s, g = step(below)
    _match(
        f,
        right,
        "z'",
        {
            "no mask: dimension d must not see itself or what comes after it. Keep the weights below the diagonal, torch.tril(W, -1)": values(
                lambda W: W
            ),
            "your mask keeps the diagonal, so that each dimension sees itself: torch.tril(W, -1)": (
                values(lambda W: below(W, 0))
            ),
            "your mask keeps what is above the diagonal: row d, the weights of output d, may see the columns before d": values(
                lambda W: W.triu(1)
            ),
            "the matrix is turned: m_d is row d of W times z, z @ W.T for a batch": values(
                below, turned=True
            ),
            "your mask keeps what is above the diagonal and its matrix is turned: tril(W, -1), then z @ W.T": values(
                lambda W: W.triu(1), turned=True
            ),
            "the gate is turned round: sigma keeps z, 1 - sigma lets m in": (1 - g) * z + g * m,
            "m is not gated: (1 - sigma) m": g * z + m,
            "z is not gated: sigma z": z + (1 - g) * m,
            "sigma is exp(s): here it is a gate, sigmoid(s)": values(below, gate=torch.exp),
            "sigma is tanh(s): here it is a gate, sigmoid(s)": values(below, gate=torch.tanh),
            "you used s itself as the gate: sigma = sigmoid(s)": s * z + (1 - s) * m,
            "the mask of m is missing": g * z + (1 - g) * (z @ M.T + A),
            "the mask of s is missing": torch.lerp(m, z, torch.sigmoid(z @ S.T + B)),
            "the biases are missing": torch.lerp(z @ below(M).T, z, torch.sigmoid(z @ below(S).T)),
            "you returned m": m,
        },
    )
    right_det, each = truth.detach(), F.logsigmoid(s)
    _match(
        log_det,
        right_det,
        "log_det",
        {
            "log_det has the wrong sign: log sigma is negative": -right_det,
            "log_det is the mean over the dimensions: sum": each.mean(-1),
            "log_det is the sum of s: it is the sum of log sigma": s.sum(-1),
            "log_det is the sum of sigma: take the logarithm first": g.sum(-1),
            "log_det is the determinant itself: take its logarithm": right_det.exp(),
            "log_det sums log(1 - sigma): the diagonal of the Jacobian is sigma": (
                F.logsigmoid(-s).sum(-1)
            ),
            "log_det is 0: this step changes volumes": torch.zeros(ROWS, dtype=z.dtype),
            "log_det is twice too large: log sigma, once": 2 * right_det,
        },
    )
    _gradients("log_det", log_det, truth, {"W_s": W_s, "b_s": b_s})
    closed = _pair(autoregressive_step(z, M, A, 0 * S, torch.full_like(B, -800.0)))[1]
    if not torch.allclose(closed, torch.full_like(closed, -800.0 * DIM)):
        raise Wrong(
            "a gate as closed as s = -800 has log sigma = -800; yours went through sigmoid(s),"
            " which is 0 there: F.logsigmoid(s) does not."
        )
    return (
        f"z' and log_det agree with a loop over dimensions and autograd's Jacobian on {ROWS} points"
        f" to {(log_det - right_det).abs().max().item():.0e} nats, and so do the gradients."
    )


# ---- what they share


def _with_slogdet(f, z: Tensor) -> tuple[Tensor, Tensor]:
    """f of each row, and log |det| of its Jacobian, which autograd makes."""
    jacobians = torch.stack(
        [torch.autograd.functional.jacobian(f, row, create_graph=True) for row in z]
    )
    return torch.stack([f(row) for row in z]).detach(), torch.linalg.slogdet(jacobians).logabsdet


def _pair(answer) -> tuple[Tensor, Tensor]:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong("return two tensors: the new z, (B, D), and log_det, (B,).")
    if (
        all(isinstance(part, Tensor) for part in answer)
        and answer[0].shape == (ROWS,)
        and answer[1].shape == (ROWS, DIM)
    ):
        raise Wrong("the two are in the other order: first the new z, then log_det.")
    f, log_det = _rows(answer[0], "the new z"), answer[1]
    if not isinstance(log_det, Tensor):
        raise Wrong(f"log_det should be a tensor, it is {type(log_det).__name__}.")
    if log_det.dim() == 0:
        raise Wrong("log_det is one number for the whole batch: each z has its own, shape (B,).")
    if log_det.shape == (ROWS, DIM):
        raise Wrong(
            "log_det has one number for each dimension: a determinant is one number for each z,"
            " shape (B,)."
        )
    if log_det.shape == (ROWS, 1):
        raise Wrong(
            "log_det has shape (B, 1): it should be (B,). With (B, 1) it would be broadcast against"
            " log q, (B,), to (B, B)."
        )
    if log_det.shape != (ROWS,):
        raise Wrong(f"log_det has shape {tuple(log_det.shape)}, expected {(ROWS,)}.")
    return f, log_det


def _rows(value, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise Wrong(f"{name} should be a tensor, it is {type(value).__name__}.")
    if value.shape != (ROWS, DIM):
        raise Wrong(
            f"{name} has shape {tuple(value.shape)}, expected {(ROWS, DIM)}: one row for each z."
        )
    return value


def _match(value: Tensor, truth: Tensor, name: str, mistakes: dict[str, Tensor]) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """
    found = value.detach().double()

    def same(other: Tensor) -> bool:
        return torch.allclose(found, other.detach().double(), rtol=1e-4, atol=1e-5, equal_nan=True)

    if same(truth):
        return
    for mistake, other in mistakes.items():
        if same(other):
            raise Wrong(f"{mistake}.")
    off = (found - truth.detach()).abs().nan_to_num(math.inf).flatten(1 if truth.dim() > 1 else 0)
    i = int((off.amax(-1) if off.dim() > 1 else off).argmax())
    numbers = lambda row: ", ".join(f"{x:.4f}" for x in row.reshape(-1).tolist())  # noqa: E731
    raise Wrong(
        f"{name} is {numbers(found[i])} where {numbers(truth[i])} is right (row {i} of the test)."
    )


planar_step = Exercise(
    name="planar_step",
    solution=_planar_step,
    judge=_judge_planar_step,
    hints=[
        (
            "First the number a = w^T z + b of each row, shape (B,): z @ w + b. Everything else is"
            " made of tanh(a)."
        ),
        (
            "The derivative of tanh(a) is 1 - tanh(a)^2. The determinant is 1 + (u @ w) times it,"
            " shape (B,)."
        ),
        (
            "h = torch.tanh(z @ w + b); return z + u * h.unsqueeze(-1), torch.log(torch.abs(1 + (u"
            " @ w) * (1 - h**2)))."
        ),
    ],
)
reflect = Exercise(
    name="reflect",
    solution=_reflect,
    judge=_judge_reflect,
    hints=[
        "You need no D x D matrix: v v^T z is v times the number v^T z.",
        "That number, for each row: (v * z).sum(-1, keepdim=True), shape (B, 1). |v|^2 likewise.",
        (
            "size = (v * v).sum(-1, keepdim=True).clamp_min(1e-30); return z - 2 * v * (v *"
            " z).sum(-1, keepdim=True) / size."
        ),
    ],
)
autoregressive_step = Exercise(
    name="autoregressive_step",
    solution=_autoregressive_step,
    judge=_judge_autoregressive_step,
    hints=[
        (
            "torch.tril(W, -1) keeps the weights below the diagonal: row d, for output d, keeps the"
            " columns before d."
        ),
        (
            "For a batch m = z @ torch.tril(W_m, -1).T + b_m, and s likewise. The Jacobian's"
            " diagonal is sigma = torch.sigmoid(s)."
        ),
        "return sigma * z + (1 - sigma) * m, F.logsigmoid(s).sum(-1).",
    ],
)
