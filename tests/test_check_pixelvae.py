"""The exercises of notebook 10: right answers pass, wrong ones are told what is wrong."""

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import pixelvae as check

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


def cross_entropy(x, net):
    return -F.binary_cross_entropy_with_logits(net(x), x, reduction="none").sum(1)


def own_draw(x, i, net):
    """With uniform noise, in single precision."""
    drawn = torch.rand(len(x), 1, dtype=x.dtype) < 1 / (1 + torch.exp(-net(x)[:, i : i + 1]))
    return torch.cat([x[:, :i], drawn, x[:, i + 1 :]], 1).float()


RIGHT = {"mask": own_mask, "log_prob": [own_log_prob, cross_entropy], "draw": own_draw}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def with_row(size, kind, value):
    mask = own_mask(size, kind).int()
    mask[size // 2, size // 2 + 1 :] = value
    return mask


def put(x, i, value):
    x = x.clone()
    x[:, i] = value
    return x


def in_place(x, i, net, end):
    x[:, i] = torch.bernoulli(torch.sigmoid(net(x)[:, i]))
    return x if end else None


WRONG = {
    "mask": {
        "what is to its right does not belong": lambda size, kind: with_row(size, kind, 1),
        "kind A, does not belong in it and": lambda size, kind: own_mask(size, "AB"[kind == "A"]),
        "other numbers than 0 and 1": lambda size, kind: own_mask(size, kind) / 2,
        "should be a tensor, it is ndarray": lambda *of: own_mask(*of).numpy(),
        "row 0, column 0, is closed": lambda size, kind: (
            own_mask(size, kind)
            .bool()
            .index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(False))
        ),
    },
    "log_prob": {
        "(1 - x) log(1 - p) has the wrong sign": lambda x, net: (
            x * F.logsigmoid(net(x)) - (1 - x) * F.logsigmoid(-net(x))
        ).sum(-1),
        "rounded or clamped": lambda x, net: own_log_prob(x, net).clamp_min(-100),
        "takes whole images": lambda x, net: net(x[:, :2]).sum(-1),
    },
    "draw": {
        "returns nothing": lambda x, i, net: in_place(x, i, net, False),
        "in place, and so the caller's": lambda x, i, net: in_place(x, i, net, True),
        "net(x)[i] is row i": lambda x, i, net: put(x, i, net(x)[i].sigmoid().bernoulli()),
        "which was drawn before": lambda x, i, net: torch.bernoulli(torch.sigmoid(net(x))),
        "one draw serves the whole batch": lambda x, i, net: put(
            x, i, (torch.rand(()) < torch.sigmoid(net(x)[:, i])).double()
        ),
    },
}
TestExercises = exercise_tests(check, "10_pixelvae", RIGHT, WRONG, F=F)
