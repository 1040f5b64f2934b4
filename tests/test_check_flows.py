"""The exercises of notebook 09: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import pytest
import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import flows as check


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


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


RIGHT = {"planar_step": own_planar, "reflect": own_reflect, "autoregressive_step": own_step}
NAMES = list(RIGHT)


@pytest.mark.parametrize("name", NAMES)
def test_hints_come_one_at_a_time(name, capsys):
    for _ in range(4):
        getattr(check, name).hint()
    said = capsys.readouterr().out.splitlines()
    assert [line[:11] for line in said] == [
        "Hint 1 of 3",
        "Hint 2 of 3",
        "Hint 3 of 3",
        "Hint 3 of 3",
    ]


# ---- wrong answers, each told what is wrong


def planar(f=lambda z, w, u, a: z + u * torch.tanh(a)[:, None], log_det=None):
    def planar_step(z, w, u, b):
        a = z @ w + b
        h = torch.tanh(a)
        return f(z, w, u, a), (
            log_det or (lambda u, w, h: torch.log(torch.abs(1 + (u @ w) * (1 - h**2))))
        )(u, w, h)

    return planar_step


PLANAR = [
    (planar(log_det=lambda u, w, h: (1 + (u @ w) * (1 - h**2)).abs()), "the determinant itself"),
    (planar(log_det=lambda u, w, h: -torch.log(torch.abs(1 + (u @ w) * (1 - h**2)))), "wrong sign"),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + (u @ w) * h))),
        "has tanh where its derivative",
    ),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + u @ w)).expand(len(h))),
        "lacks the derivative",
    ),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + (u @ w) * (1 - h)))),
        "1 - tanh for the derivative",
    ),
    (planar(log_det=lambda u, w, h: torch.log(torch.abs((u @ w) * (1 - h**2)))), "lacks the 1 +"),
    (
        planar(
            log_det=lambda u, w, h: torch.log(torch.abs(1 + u * w * (1 - h**2)[:, None])).sum(-1)
        ),
        "not diagonal",
    ),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + u * w * (1 - h**2)[:, None]))),
        "one number for each dimension",
    ),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + (u @ w) * (1 - h**2))).sum()),
        "one number for the whole batch",
    ),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + (u @ w) * (1 - h**2)))[:, None]),
        "(B, 1)",
    ),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + (u @ w) * (1 - h**2))).detach()),
        "no gradient",
    ),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + (u @ w).detach() * (1 - h**2)))),
        "gradient with respect to w",
    ),
    (planar(log_det=lambda u, w, h: torch.log(1 + (u @ w) * (1 - h**2))), "|det| first"),
    (
        planar(log_det=lambda u, w, h: torch.log(torch.abs(1 + 0.5 * (u @ w) * (1 - h**2)))),
        "is right (row",
    ),
    (planar(f=lambda z, w, u, a: u * torch.tanh(a)[:, None]), "lacks z itself"),
    (planar(f=lambda z, w, u, a: z + w * torch.tanh(a)[:, None]), "along w"),
    (lambda z, w, u, b: tuple(reversed(own_planar(z, w, u, b))), "other order"),
    (lambda z, w, u, b: own_planar(z, w, u, b)[1], "return two tensors"),
]


def mirror(z, v, factor=2.0, power=2):
    size = (v * v).sum(-1, keepdim=True).clamp_min(1e-300)
    return z - factor * v * (v * z).sum(-1, keepdim=True) / size ** (power / 2)


REFLECT = [
    (lambda z, v: mirror(z, v, factor=1.0), "forgot the 2"),
    (lambda z, v: mirror(z, v, power=0), "forgot to divide by |v|^2"),
    (lambda z, v: mirror(z, v, power=1), "by |v| once"),
    (lambda z, v: mirror(z, v, factor=-2.0), "sign is turned round"),
    (lambda z, v: -mirror(z, v), "- z reflected"),
    (lambda z, v: z - mirror(z, v), "without z"),
    (lambda z, v: mirror(v, z), "exchanged"),
    (lambda z, v: z - 2 * v * (v * z) / (v * v).sum(-1, keepdim=True), "each dimension on its own"),
    (lambda z, v: z - 2 * z @ (v.T @ v) / (v * v).sum(), "each row has a v of its own"),
    (
        lambda z, v: z - 2 * v * (v * z).sum(-1, keepdim=True) / (v * v).sum(-1, keepdim=True),
        "0 / 0",
    ),
    (
        lambda z, v: (
            z - 2 * v * (v * z).sum(-1, keepdim=True) / ((v * v).sum(-1, keepdim=True) + 1e-8)
        ),
        "too large",
    ),
    (lambda z, v: mirror(z, v)[0], "one row for each z"),
    (lambda z, v: mirror(z, v).tolist(), "should be a tensor"),
    (lambda z, v: 3 * z, "is right (row"),
]


def step(
    mask=lambda W: W.tril(-1),
    mix=lambda z, m, s: torch.lerp(m, z, torch.sigmoid(s)),
    log_det=lambda s: F.logsigmoid(s).sum(-1),
    turned=False,
):
    def autoregressive_step(z, W_m, b_m, W_s, b_s):
        m, s = (z @ (mask(W) if turned else mask(W).T) + b for W, b in ((W_m, b_m), (W_s, b_s)))
        return mix(z, m, s), log_det(s)

    return autoregressive_step


STEP = [
    (step(mask=lambda W: W), "no mask"),
    (step(mask=lambda W: W.tril()), "keeps the diagonal"),
    (step(mask=lambda W: W.triu(1)), "above the diagonal"),
    (step(turned=True), "the matrix is turned"),
    (step(mix=lambda z, m, s: torch.lerp(z, m, torch.sigmoid(s))), "turned round"),
    (step(mix=lambda z, m, s: torch.sigmoid(s) * z + m), "m is not gated"),
    (step(mix=lambda z, m, s: torch.exp(s) * z + (1 - torch.exp(s)) * m), "exp(s)"),
    (step(log_det=lambda s: s.sum(-1)), "the sum of s"),
    (step(log_det=lambda s: F.logsigmoid(s).mean(-1)), "the mean over the dimensions"),
    (step(log_det=lambda s: -F.logsigmoid(s).sum(-1)), "wrong sign"),
    (step(log_det=lambda s: F.logsigmoid(s)), "one number for each dimension"),
    (step(log_det=lambda s: torch.log(1 - torch.sigmoid(s)).sum(-1)), "log(1 - sigma)"),
    (step(log_det=lambda s: torch.sigmoid(s).prod(-1)), "determinant itself"),
    (step(log_det=lambda s: torch.log(torch.sigmoid(s)).sum(-1)), "F.logsigmoid"),
    (step(log_det=lambda s: F.logsigmoid(s).sum(-1).detach()), "no gradient"),
    (step(log_det=lambda s: F.logsigmoid(s).sum()), "whole batch"),
    (step(log_det=lambda s: 0.5 * F.logsigmoid(s).sum(-1)), "is right (row"),
]

WRONG = {
    name: {message: answer for answer, message in cases}
    for name, cases in zip(NAMES, (PLANAR, REFLECT, STEP), strict=True)
}
TestExercises = exercise_tests(check, "09_normalizing_flows", RIGHT, WRONG, F=F)


def test_an_answer_that_breaks_names_its_error():
    found, _ = verdict("reflect", lambda z, v: z @ v)
    assert found.kind == "fail" and "RuntimeError" in found.text


def test_each_message_is_its_own():
    for cases in (PLANAR, REFLECT, STEP):
        assert len({message for _, message in cases}) == len(cases) >= 5
