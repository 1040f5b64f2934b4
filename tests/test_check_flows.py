"""The exercises of notebook 09: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import flows as check

# ---- right answers


def own_planar(z, w, u, b):
    """The Jacobian as a matrix, and its determinant by a library."""
    a = torch.einsum("bd,d->b", z, w) + b
    jacobian = torch.eye(z.shape[1], dtype=z.dtype) + torch.einsum(
        "d,e,b->bde", u, w, 1 / torch.cosh(a) ** 2
    )
    return [z + torch.outer(torch.tanh(a), u), torch.linalg.det(jacobian).abs().log()]


def own_reflect(z, v):
    v = F.normalize(v, dim=1, eps=1e-30)
    H = torch.eye(z.shape[1], dtype=z.dtype) - 2 * v[:, :, None] * v[:, None, :]
    return (H @ z[:, :, None])[:, :, 0]


def own_step(z, W_m, b_m, W_s, b_s):
    mask = torch.ones_like(W_m).cumsum(0) > torch.ones_like(W_m).cumsum(1)
    m = F.linear(z, W_m * mask, b_m)
    s = F.linear(z, W_s * mask, b_s)
    return m + torch.sigmoid(s) * (z - m), -F.softplus(-s).sum(1)


def reflect_where(z, v):
    square = (v * v).sum(-1, keepdim=True)
    return z - 2 * v * (v * z).sum(-1, keepdim=True) / torch.where(square == 0, 1.0, square)


RIGHT = {
    "planar_step": own_planar,
    "reflect": [own_reflect, reflect_where],
    "autoregressive_step": own_step,
}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def det(z, w, u, b):
    return 1 + (u @ w) * (1 - torch.tanh(z @ w + b) ** 2)


def planar(log_det=lambda d: d.abs().log(), push=lambda z, u, h: z + u * h):
    """The step with another function of the determinant, or another push."""
    return lambda z, w, u, b: (
        push(z, u, torch.tanh(z @ w + b)[:, None]),
        log_det(det(z, w, u, b)),
    )


def mirror(z, v, smallest=0.0):
    return z - 2 * v * (v * z).sum(-1, keepdim=True) / ((v * v).sum(-1, keepdim=True) + smallest)


def mirror_in_place(z, v):
    z -= z - own_reflect(z, v)
    return z


def changed(change):
    """The right z' and log_det, changed by what m and s are."""
    return lambda z, W_m, b_m, W_s, b_s: change(
        *own_step(z, W_m, b_m, W_s, b_s), z @ W_m.tril(-1).T + b_m, z @ W_s.tril(-1).T + b_s
    )


def gate_without_gradient(z, W_m, b_m, W_s, b_s):
    m, s = z @ W_m.tril(-1).T + b_m, z @ W_s.tril(-1).T + b_s
    return torch.lerp(m, z, s.sigmoid().detach()), F.logsigmoid(s).sum(-1)


WRONG = {
    "planar_step": {
        "take the absolute value of the whole": planar(lambda d: (1 + (d - 1).abs()).log()),
        "nan where": planar(torch.log),
        "where u^T w < -1": planar(lambda d: d.clamp(min=1e-6).log()),
        "z itself is missing": planar(push=lambda z, u, h: u * h),
        "u tanh(w^T z + b) has the wrong sign": planar(push=lambda z, u, h: z - u * h),
        "base 10": planar(lambda d: d.abs().log10()),
        "a determinant is one number": planar(lambda d: d.abs().log()[:, None].expand(-1, 3)),
        "one number for the whole batch": planar(lambda d: d.abs().log().sum()),
        "an axis of 1 is left": planar(lambda d: d.abs().log()[:, None]),
        "log_det has no gradient": planar(lambda d: d.abs().log().detach()),
        "no gradient reaches u": planar(push=lambda z, u, h: z + u.detach() * h),
        "respect to z is not": planar(push=lambda z, u, h: z + u * h.detach()),
        "0.5 times": planar(lambda d: 0.5 * d.abs().log()),
        "is right (row": planar(lambda d: d.abs().log1p()),
        "in the order log_det, f(z)": lambda *a: own_planar(*a)[::-1],
        "return two tensors": lambda *a: own_planar(*a)[1],
    },
    "reflect": {
        "0 / 0": mirror,
        "is too large": lambda z, v: mirror(z, v, 1e-8),
        "is not finite for a v of zeros": lambda z, v: torch.where(v == 0, z, mirror(z, v)),
        "no gradient:": lambda z, v: own_reflect(z, v).detach(),
        "no gradient reaches v": lambda z, v: own_reflect(z, v.detach()),
        "changes z in place": mirror_in_place,
        "z has the wrong sign": lambda z, v: own_reflect(z, v) - 2 * z,
        "z is missing": lambda z, v: own_reflect(z, v) - z,
        "v (v^T z) / |v|^2 is missing": lambda z, v: 3 * z,
        "one row for each z": lambda z, v: own_reflect(z, v)[0],
        "transpose it": lambda z, v: own_reflect(z, v).T,
        "rows must not mix": lambda z, v: own_reflect(z, v.flip(0)),
        "should be a tensor": lambda z, v: own_reflect(z, v).tolist(),
        "is right (row": lambda z, v: z - v,
        "stopped with RuntimeError": lambda z, v: z @ v,
    },
    "autoregressive_step": {
        "m, not gated, does not belong": changed(
            lambda f, log_det, m, s: (f + s.sigmoid() * m, log_det)
        ),
        "the exponential of what is asked for": changed(
            lambda f, log_det, m, s: (f, log_det.exp())
        ),
        "the sign is turned": changed(lambda f, log_det, m, s: (f, -log_det)),
        "0 everywhere": changed(lambda f, log_det, m, s: (f, 0 * log_det)),
        "at s = -120": changed(lambda f, log_det, m, s: (f, s.sigmoid().log().sum(-1))),
        "a determinant is one number": changed(lambda f, log_det, m, s: (f, F.logsigmoid(s))),
        "whole batch": changed(lambda f, log_det, m, s: (f, log_det.sum())),
        "log_det has no gradient": changed(lambda f, log_det, m, s: (f, log_det.detach())),
        "z' has no gradient": changed(lambda f, log_det, m, s: (f.detach(), log_det)),
        "with respect to z is not": gate_without_gradient,
        "last axis is in reverse order": changed(lambda f, log_det, m, s: (f.flip(-1), log_det)),
        "0.5 times": changed(lambda f, log_det, m, s: (f, 0.5 * log_det)),
        "changes W_m in place": lambda z, W, *rest: own_step(z, W.tril_(-1), *rest),
    },
}
TestExercises = exercise_tests(check, "09_normalizing_flows", RIGHT, WRONG, F=F)
