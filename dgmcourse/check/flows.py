"""Checks of notebook 09: a planar step, a Householder reflection, a masked autoregressive step.

The truth comes from autograd's Jacobian and its `slogdet`, from a basis made by QR, and from loops
over single numbers; never from the formula that is asked for.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise
from dgmcourse.check._judge import Function, randn, reals
from dgmcourse.check._progress import progress as progress

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


def with_slogdet(f, z: Tensor) -> tuple[Tensor, Tensor]:
    """f of each row, and log |det| of its Jacobian, which autograd makes."""
    jacobian = torch.autograd.functional.jacobian
    jacobians = torch.stack([jacobian(f, row, create_graph=True) for row in z])
    return torch.stack([f(row) for row in z]), torch.linalg.slogdet(jacobians).logabsdet


def planar_by_number(z, w, u, b):
    def one(row):
        a = sum(row[d] * w[d] for d in range(len(w))) + b
        return torch.stack([row[d] + u[d] * torch.sinh(a) / torch.cosh(a) for d in range(len(w))])

    return with_slogdet(one, z)


def pushed(change):
    """A slip: what is pushed, of z, w, u and a = w^T z + b."""
    return lambda z, w, u, b: change(z, w, u, (z @ w + b)[:, None])


def log_of(det):
    """A slip: log |det|, the determinant made of w, u and h = tanh(w^T z + b), each (B, d)."""
    return lambda z, w, u, b: torch.log(
        torch.abs(det(w, u, torch.tanh(z @ w + b)[:, None].expand_as(z))[:, 0])
    )


def slope(h):
    return 1 - h**2


def planar_det(z, w, u, b):
    return planar_by_number(z, w, u, b)[1]


Z = 1.5 * randn(0, (6, 3))[0]
W, U, B = reals([0.9, -0.6, 1.1], [0.7, 0.8, 1.3], 0.4)

planar_step = Exercise(
    name="planar_step",
    solution=_planar_step,
    judge=Function(
        ("f(z)", "log_det"),
        truth=planar_by_number,
        rows="z",
        cases=[(Z, W, U, B)],
        edges=[
            *("in one dimension", "", (Z[:, :1], W[:1], U[:1], B)),
            "where u^T w < -1",
            "the determinant can be negative there: take the absolute value of the whole of it,"
            " |1 + u^T w (1 - tanh^2)|, and then the logarithm",
            (Z, W, -3 * W, B),
        ],
        slips={
            "f(z)": [
                "f(z) has the parts of w and u exchanged: push along u, by the tanh of w^T z + b",
                lambda z, w, u, b: planar_by_number(z, u, w, b)[0],
                "f(z) is pushed along w: push along u",
                pushed(lambda z, w, u, a: z + w * a.tanh()),
                "f(z) lacks b inside the tanh",
                lambda z, w, u, b: planar_by_number(z, w, u, 0 * b)[0],
                "f(z) has no tanh",
                pushed(lambda z, w, u, a: z + u * a),
                "f(z) uses a sigmoid where tanh stands",
                pushed(lambda z, w, u, a: z + u * a.sigmoid()),
                "f(z) takes the tanh of each dimension on its own: w^T z is a sum over the dimensions",
                lambda z, w, u, b: z + u * torch.tanh(z * w + b),
            ],
            "log_det": [
                "log_det is the determinant itself: take its logarithm",
                lambda *a: planar_det(*a).exp(),
                "log_det has the wrong sign: it is log |det df/dz|, and log q subtracts it later",
                lambda *a: -planar_det(*a),
                "log_det lacks the derivative of tanh, 1 - tanh^2",
                log_of(lambda w, u, h: 1 + u @ w + 0 * h),
                "log_det has tanh where its derivative belongs, 1 - tanh^2",
                log_of(lambda w, u, h: 1 + u @ w * h),
                "log_det has tanh^2 for the derivative of tanh: it is 1 - tanh^2",
                log_of(lambda w, u, h: 1 + u @ w * h**2),
                "log_det has 1 - tanh for the derivative of tanh: it is 1 - tanh^2",
                log_of(lambda w, u, h: 1 + u @ w * (1 - h)),
                "log_det lacks the 1 + of the identity: f adds to z",
                log_of(lambda w, u, h: u @ w * slope(h)),
                "log_det subtracts where it should add: |1 + u^T w (1 - tanh^2)|",
                log_of(lambda w, u, h: 1 - u @ w * slope(h)),
                "log_det lacks u^T w",
                log_of(lambda w, u, h: 1 + slope(h)),
                "log_det averages u^T w over the dimensions: it is a sum",
                log_of(lambda w, u, h: 1 + (u * w).mean() * slope(h)),
                "log_det has u^T u where u^T w belongs",
                log_of(lambda w, u, h: 1 + u @ u * slope(h)),
                "log_det has w^T w where u^T w belongs",
                log_of(lambda w, u, h: 1 + w @ w * slope(h)),
                "log_det multiplies 1 + u_d w_d (1 - tanh^2) over the dimensions: the Jacobian is not"
                " diagonal, its determinant is 1 + u^T w (1 - tanh^2)",
                log_of(lambda w, u, h: (1 + u * w * slope(h)).prod(-1, keepdim=True)),
                "log_det uses w^T z without b",
                lambda z, w, u, b: planar_det(z, w, u, 0 * b),
                "log_det uses the sigmoid's derivative",
                lambda z, w, u, b: torch.log(
                    torch.abs(1 + u @ w * torch.sigmoid(z @ w + b) * torch.sigmoid(-z @ w - b))
                ),
            ],
        },
        terms={
            "f(z)": {
                "z itself": lambda z, w, u, b: z,
                "u tanh(w^T z + b)": lambda z, w, u, b: planar_by_number(z, w, u, b)[0] - z,
            }
        },
        shapes={
            "f(z)": [(6,), "it has one row for each z, (B, d)"],
            "log_det": [(6, 3), "a determinant is one number for each z, (B,)"],
        },
        praise="f(z) and log_det agree with autograd's Jacobian on 6 points to {trial.off:.0e} nats, and"
        " so do the gradients.",
    ),
    hints=[
        "First the number a = w^T z + b of each row, shape (B,): z @ w + b. Everything else is made"
        " of tanh(a).",
        "The derivative of tanh(a) is 1 - tanh(a)^2. The determinant is 1 + (u @ w) times it, shape"
        " (B,).",
        "h = torch.tanh(z @ w + b); return z + u * h.unsqueeze(-1), torch.log(torch.abs(1 + (u @ w) *"
        " (1 - h**2))).",
    ],
)


# ---- the Householder reflection


def mirrored(z: Tensor, v: Tensor) -> Tensor:
    """Each z in an orthonormal basis whose first vector is v's direction, with that coordinate
    turned, and back. Where v is 0 there is no mirror, and z stays.
    """
    rows = []
    for one, normal in zip(z.detach(), v.detach(), strict=True):
        eye = torch.eye(len(normal), dtype=normal.dtype)
        basis = torch.linalg.qr(torch.cat([normal[:, None], eye[:, :-1]], 1)).Q
        coordinates = basis.T @ one
        coordinates[0] = -coordinates[0]
        rows.append(basis @ coordinates if normal.any() else one)
    return torch.stack(rows)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


POINT, NORMAL = randn(1, (6, 3), (6, 3))
NORMAL = 2.5 * NORMAL
STUCK = NORMAL * torch.tensor([[1.0], [1], [0], [1], [1], [1]], dtype=torch.float64)

reflect = Exercise(
    name="reflect",
    solution=_reflect,
    judge=Function(
        "reflect",
        truth=mirrored,
        rows="z v",
        cases=[(POINT, NORMAL)],
        edges=[
            *("in one dimension", "", (POINT[:, :1], NORMAL[:, :1])),
            "for a v of a millionth of its length",
            "what you add to |v|^2 against 0 / 0 is too large, since v's length does not matter:"
            " .clamp_min(1e-30) changes nothing but the zero",
            (POINT, 1e-6 * NORMAL),
            "for a v of zeros",
            "0 / 0 is NaN. Keep |v|^2 away from 0, with .clamp_min(1e-30) for instance, and z stays"
            " as it is",
            (POINT, STUCK),
        ],
        slips=[
            "you forgot the 2: without it z is projected onto the mirror, and cannot be got back",
            lambda z, v: (z + mirrored(z, v)) / 2,
            "you forgot to divide by |v|^2: v is not a unit vector",
            lambda z, v: z - 2 * v * dot(v, z),
            "you divided by |v| once: it is |v|^2, or a unit vector in both places",
            lambda z, v: z - 2 * v * dot(v, z) / dot(v, v).sqrt(),
            "you returned - z reflected: it is z - 2 v (v^T z) / |v|^2",
            lambda z, v: -mirrored(z, v),
            "you reflected v in z's mirror: z and v are exchanged",
            lambda z, v: mirrored(v, z),
            "v^T z is a sum over the dimensions, one number a row: yours multiplies each dimension on"
            " its own",
            lambda z, v: z - 2 * v * (v * z) / dot(v, v),
            "v v^T / |v|^2 is summed over the batch: each row has a v of its own",
            lambda z, v: z - 2 * z @ (v.T @ v) / (v * v).sum(),
            "|v|^2 is summed over the batch: each row has a v of its own",
            lambda z, v: z - 2 * v * dot(v, z) / (v * v).sum(),
            "v^T z and |v|^2 are summed over the batch: each row has a v of its own",
            lambda z, v: z - 2 * v * (v * z).sum() / (v * v).sum(),
            "every row uses the first row's v",
            lambda z, v: mirrored(z, v[:1].expand_as(v)),
        ],
        terms={
            "z": lambda z, v: z,
            "v (v^T z) / |v|^2": lambda z, v: z - mirrored(z, v),
        },
        shapes=[(3,), "it has one row for each z"],
        praise="6 reflections agree with a change of basis to {trial.off:.0e}; twice is the identity, and"
        " a zero v does no harm.",
    ),
    hints=[
        "You need no d x d matrix: v v^T z is v times the number v^T z.",
        "That number, for each row: (v * z).sum(-1, keepdim=True), shape (B, 1). |v|^2 likewise.",
        "size = (v * v).sum(-1, keepdim=True).clamp_min(1e-30); return z - 2 * v * (v * z).sum(-1,"
        " keepdim=True) / size.",
    ],
)


# ---- the masked autoregressive step


def dimension_by_dimension(z, W_m, b_m, W_s, b_s):
    """Each dimension is made of those before it only. In float64, where sigmoid(-120) is not 0."""
    W_m, b_m, W_s, b_s = (p.double() for p in (W_m, b_m, W_s, b_s))

    def one(row):
        new = []
        for d in range(len(row)):
            m = b_m[d] + sum(W_m[d, e] * row[e] for e in range(d))
            s = b_s[d] + sum(W_s[d, e] * row[e] for e in range(d))
            gate = 1 / (1 + torch.exp(-s))
            new.append(gate * row[d] + (1 - gate) * m)
        return torch.stack(new)

    return with_slogdet(one, z.double())


def masked(mask_m, mask_s=None, turned=False):
    """A slip: z' with other masks, or matrices the wrong way round."""

    def step(z, W_m, b_m, W_s, b_s):
        M, S = mask_m(W_m), (mask_s or mask_m)(W_s)
        m, s = z @ (M if turned else M.T) + b_m, z @ (S if turned else S.T) + b_s
        return torch.lerp(m, z, torch.sigmoid(s))

    return step


def mixed(mix):
    """A slip, of z, m and s."""
    return lambda z, W_m, b_m, W_s, b_s: mix(z, z @ W_m.tril(-1).T + b_m, z @ W_s.tril(-1).T + b_s)


def below(matrix):
    return matrix.tril(-1)


def whole(matrix):
    return matrix


POINTS, W_M, W_S, B_M, B_S = randn(2, (6, 3), (3, 3), (3, 3), (3,), (3,))
MASK = "dimension d must not see itself or what comes after it. Keep the weights below the diagonal"

autoregressive_step = Exercise(
    name="autoregressive_step",
    solution=_autoregressive_step,
    judge=Function(
        ("z'", "log_det"),
        truth=dimension_by_dimension,
        rows="z",
        cases=[(POINTS, W_M, B_M, W_S, B_S)],
        edges=[
            "in one dimension",
            "",
            (POINTS[:, :1], W_M[:1, :1], B_M[:1], W_S[:1, :1], B_S[:1]),
            "at s = -120",
            "in float32 sigmoid(s) is 0 there. F.logsigmoid(s) is -120, and does not go through it",
            (POINTS.float(), W_M.float(), B_M.float(), 0 * W_S.float(), torch.full((3,), -120.0)),
        ],
        slips={
            "z'": [
                f"no mask: {MASK}, torch.tril(W, -1)",
                masked(whole),
                "your mask keeps the diagonal, so that each dimension sees itself: torch.tril(W, -1)",
                masked(torch.tril),
                "your mask keeps what is above the diagonal: row d, the weights of output d, may see the"
                " columns before d",
                masked(lambda W: W.triu(1)),
                "the matrix is turned: m_d is row d of W times z, z @ W.T for a batch",
                masked(below, turned=True),
                "your mask keeps what is above the diagonal and its matrix is turned: tril(W, -1), then"
                " z @ W.T",
                masked(lambda W: W.triu(1), turned=True),
                "the mask of m is missing",
                masked(whole, below),
                "the mask of s is missing",
                masked(below, whole),
                "the gate is turned round: sigma keeps z, 1 - sigma lets m in",
                mixed(lambda z, m, s: torch.lerp(z, m, s.sigmoid())),
                "sigma is exp(s): here it is a gate, sigmoid(s)",
                mixed(lambda z, m, s: torch.lerp(m, z, s.exp())),
                "sigma is tanh(s): here it is a gate, sigmoid(s)",
                mixed(lambda z, m, s: torch.lerp(m, z, s.tanh())),
                "you used s itself as the gate: sigma = sigmoid(s)",
                mixed(lambda z, m, s: torch.lerp(m, z, s)),
                "the biases are missing",
                lambda z, W, b, V, c: dimension_by_dimension(z, W, 0 * b, V, 0 * c)[0],
            ],
            "log_det": [
                "log_det is the mean over the dimensions: sum",
                mixed(lambda z, m, s: F.logsigmoid(s).mean(-1)),
                "log_det is the sum of s: it is the sum of log sigma",
                mixed(lambda z, m, s: s.sum(-1)),
                "log_det is the sum of sigma: take the logarithm first",
                mixed(lambda z, m, s: s.sigmoid().sum(-1)),
                "log_det sums log(1 - sigma): the diagonal of the Jacobian is sigma",
                mixed(lambda z, m, s: F.logsigmoid(-s).sum(-1)),
            ],
        },
        terms={
            "z'": {
                "sigma z": mixed(lambda z, m, s: s.sigmoid() * z),
                "(1 - sigma) m": mixed(lambda z, m, s: (-s).sigmoid() * m),
                "z, not gated,": mixed(lambda z, m, s: z),
                "m, not gated,": mixed(lambda z, m, s: m),
            }
        },
        shapes={"log_det": [(6, 3), "a determinant is one number for each z, (B,): sum"]},
        praise="z' and log_det agree with a loop over dimensions and autograd's Jacobian on 6 points to"
        " {trial.off:.0e} nats, and so do the gradients.",
    ),
    hints=[
        "torch.tril(W, -1) keeps the weights below the diagonal: row d, for output d, keeps the"
        " columns before d.",
        "For a batch m = z @ torch.tril(W_m, -1).T + b_m, and s likewise. The Jacobian's diagonal is"
        " sigma = torch.sigmoid(s).",
        "return sigma * z + (1 - sigma) * m, F.logsigmoid(s).sum(-1).",
    ],
)
