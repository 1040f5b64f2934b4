"""The exercises of notebook 10: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import pixelvae as check


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


# ---- right answers


def own_mask(size, kind):
    """Places numbered in the order of reading; booleans."""
    number = torch.arange(size * size).view(size, size)
    middle = size * size // 2
    return number < middle + (1 if kind == "B" else 0)


def own_log_prob(x, net):
    """A pass for each pixel, with what comes later erased, and a library's Bernoulli."""
    total = torch.zeros(len(x), dtype=x.dtype)
    for i in range(x.shape[1]):
        before = torch.where(torch.arange(x.shape[1]) < i, x, torch.zeros_like(x))
        total = total + torch.distributions.Bernoulli(logits=net(before)[:, i]).log_prob(x[:, i])
    return total


def own_draw(x, i, net):
    """In place, with uniform noise."""
    x[:, i] = (torch.rand(len(x), dtype=x.dtype) < 1 / (1 + torch.exp(-net(x)[:, i]))).to(x)
    return x


RIGHT = {"mask": own_mask, "log_prob": own_log_prob, "draw": own_draw}
NAMES = list(RIGHT)


def test_a_librarys_cross_entropy_and_an_array_pass():
    assert (
        verdict(
            "log_prob",
            lambda x, net: -F.binary_cross_entropy_with_logits(net(x), x, reduction="none").sum(1),
        )[0].kind
        == "pass"
    )
    assert (
        verdict("mask", lambda size, kind: own_mask(size, kind).numpy().astype(int))[0].kind
        == "pass"
    )


# ---- wrong answers, each with a phrase of the message meant for it


def changed(change):
    """The right mask, changed: an array of the same shape."""
    return lambda size, kind: torch.tensor(
        np.ascontiguousarray(change(own_mask(size, kind).double().numpy(), size, kind))
    )


def without(m, rows, columns):
    m = m.copy()
    m[rows, columns] = 0
    return m


def opened(m, size):
    m = m.copy()
    m[size // 2, size // 2 + 1 :] = 1
    return m


WRONG_MASK = {
    "two kinds are interchanged": lambda size, kind: own_mask(size, "AB"[kind == "A"]),
    "kind A sees the centre as well": lambda size, kind: own_mask(size, "B"),
    "kind B leaves the centre out": lambda size, kind: own_mask(size, "A"),
    "0 and 1 are interchanged": lambda size, kind: ~own_mask(size, kind),
    "pixels after the centre": changed(lambda m, s, k: m[::-1, ::-1]),
    "rows and columns are interchanged": changed(lambda m, s, k: m.T),
    "rows below are open": changed(lambda m, s, k: m[::-1]),
    "looks to the right": changed(lambda m, s, k: m[:, ::-1]),
    "above and to the right of the centre are earlier": changed(
        lambda m, s, k: without(m, slice(None), slice(s // 2 + 1, None))
    ),
    "open to its end": changed(lambda m, s, k: opened(m, s)),
    "only the quarter above": changed(
        lambda m, s, k: without(m, slice(0, s // 2), slice(s // 2, None))
    ),
    "triangle, of places whose row": (
        lambda size, kind: torch.ones(size, size).tril(-1 if kind == "A" else 0)
    ),
    "triangle, of places to the right": (
        lambda size, kind: torch.ones(size, size).triu(1 if kind == "A" else 0)
    ),
    "centre's row is missing": changed(lambda m, s, k: without(m, s // 2, slice(0, s // 2))),
    "rows above are missing": changed(lambda m, s, k: without(m, slice(0, s // 2), slice(None))),
    "right at size 3 only": changed(
        lambda m, s, k: np.pad(own_mask(3, k).double().numpy(), (s - 3) // 2)
    ),
    "is square": lambda size, kind: own_mask(size, kind).flatten(),
    "other numbers than 0 and 1": lambda size, kind: own_mask(size, kind) / 2,
    "row 0, column 0, is closed": changed(lambda m, s, k: without(m, 0, 0)),
    "should be a tensor": lambda size, kind: "B",
}


def logits(x, net):
    return net(x)


def of_value(x, net):
    """p(x_i | before) of the value that x_i has."""
    p = torch.sigmoid(net(x))
    return torch.where(x == 1, p, 1 - p)


WRONG_LOG_PROB = {
    "averaged over the pixels": lambda x, net: of_value(x, net).log().mean(-1),
    "wrong sign": (
        lambda x, net: F.binary_cross_entropy_with_logits(net(x), x, reduction="none").sum(-1)
    ),
    "this is p(x), a product": lambda x, net: of_value(x, net).prod(-1),
    "sum of the probabilities": lambda x, net: of_value(x, net).sum(-1),
    "multiplied the logarithms": lambda x, net: of_value(x, net).log().prod(-1),
    "pixels that are 0 are missing": lambda x, net: (x * F.logsigmoid(net(x))).sum(-1),
    "pixels that are 1 are missing": lambda x, net: ((1 - x) * F.logsigmoid(-net(x))).sum(-1),
    "0 and 1 are interchanged": lambda x, net: (1 - of_value(x, net)).log().sum(-1),
    "took the logits for probabilities": (
        lambda x, net: (x * net(x).log() + (1 - x) * (1 - net(x)).log()).sum(-1)
    ),
    "not logsigmoid(1 - logit)": (
        lambda x, net: (x * F.logsigmoid(net(x)) + (1 - x) * F.logsigmoid(1 - net(x))).sum(-1)
    ),
    "1 - log p in place of": (
        lambda x, net: (x * F.logsigmoid(net(x)) + (1 - x) * (1 - F.logsigmoid(net(x)))).sum(-1)
    ),
    "second term has the wrong sign": (
        lambda x, net: (x * F.logsigmoid(net(x)) - (1 - x) * F.logsigmoid(-net(x))).sum(-1)
    ),
    "took the logits for log-probabilities": lambda x, net: (x * net(x)).sum(-1),
    "second term has log p, too": lambda x, net: F.logsigmoid(net(x)).sum(-1),
    "shifted by a pixel": (
        lambda x, net: (x * net(x).roll(1, 1) - F.softplus(net(x).roll(1, 1))).sum(-1)
    ),
    "only the last pixel": lambda x, net: of_value(x, net).log()[:, -1],
    "bits": lambda x, net: of_value(x, net).log2().sum(-1),
    "one number for each pixel": lambda x, net: of_value(x, net).log(),
    "one number for the whole batch": lambda x, net: of_value(x, net).log().sum(-1).mean(),
    "summed over the batch": lambda x, net: of_value(x, net).log().sum(0),
    "rounded or clamped": lambda x, net: of_value(x, net).clamp_min(1e-5).log().sum(-1),
    "no gradient": lambda x, net: (
        (x * F.logsigmoid(net(x)) + (1 - x) * F.logsigmoid(-net(x))).sum(-1).detach()
    ),
    "takes whole images": lambda x, net: net(x[:, :2]).sum(-1),
}


def put(x, i, value):
    x = x.clone()
    x[:, i] = value
    return x


def coin(p):
    return torch.bernoulli(p.clamp(0, 1))


def in_place(x, i, net):
    x[:, i] = coin(torch.sigmoid(net(x)[:, i]))


WRONG_DRAW = {
    "returns nothing": in_place,
    "net(x)[i] is row i": lambda x, i, net: put(x, i, coin(torch.sigmoid(net(x)[i]))),
    "the pixel alone": lambda x, i, net: coin(torch.sigmoid(net(x)[:, i])),
    "which comes later": (
        lambda x, i, net: coin(torch.sigmoid(net(x))).where(torch.arange(3) >= i, x)
    ),
    "which was drawn before": lambda x, i, net: coin(torch.sigmoid(net(x))),
    "no 0 or 1": lambda x, i, net: put(x, i, torch.sigmoid(net(x)[:, i])),
    "more probable value": lambda x, i, net: put(x, i, (net(x)[:, i] > 0).double()),
    "the same in every image": lambda x, i, net: put(
        x, i, (torch.rand(()) < torch.sigmoid(net(x)[:, i])).double()
    ),
    "probability of 0": lambda x, i, net: put(x, i, coin(1 - torch.sigmoid(net(x)[:, i]))),
    "fair coin": lambda x, i, net: put(x, i, coin(torch.full((len(x),), 0.5, dtype=x.dtype))),
    "logit is taken for the probability": lambda x, i, net: put(x, i, coin(net(x)[:, i])),
    "next pixel's logit": lambda x, i, net: put(
        x, i, coin(torch.sigmoid(net(put(x, i, 0.0))[:, min(i + 1, 2)]))
    ),
    "pixel before's logit": lambda x, i, net: put(
        x, i, coin(torch.sigmoid(net(x)[:, i - 1] if i else net(put(x, 0, 0.0))[:, 2]))
    ),
    "first pixel's logit": lambda x, i, net: put(x, i, coin(torch.sigmoid(net(x)[:, 0]))),
    "sigmoid is taken twice": lambda x, i, net: put(
        x, i, coin(torch.sigmoid(torch.sigmoid(net(x)[:, i])))
    ),
    "expected that of x": lambda x, i, net: x[:10],
}
WRONG = {"mask": WRONG_MASK, "log_prob": WRONG_LOG_PROB, "draw": WRONG_DRAW}
TestExercises = exercise_tests(check, "10_pixelvae", RIGHT, WRONG, F=F)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_stops_is_told_where(name):
    found, _ = verdict(name, lambda *a: 1 / 0)
    assert found.kind == "fail" and "ZeroDivisionError" in found.text
