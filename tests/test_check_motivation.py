"""The exercises of notebook 01: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import numpy as np
import torch
from exercises import exercise_tests

from dgmcourse.check import motivation as check


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


# ---- right answers


def own_posterior_and_evidence(log_joint):
    top = log_joint.max(dim=1, keepdim=True)[0]
    weights = torch.exp(log_joint - top)
    return [top[:, 0] + weights.sum(1).log(), weights / weights.sum(1, keepdim=True)]


def own_auc(inside, outside):
    """By ranks, as Mann and Whitney count, in numpy."""
    everything = np.concatenate([inside.numpy(), outside.numpy()])
    n, m = len(inside), len(outside)
    ranks = np.array(
        [(everything < s).sum() + 0.5 * ((everything == s).sum() + 1) for s in everything]
    )
    return (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)


def own_pixel_given_rest(x, i, log_potential):
    both = []
    for value in (0.0, 1.0):
        image = torch.cat([x[:, :i], torch.full_like(x[:, :1], value), x[:, i + 1 :]], 1)
        both.append(log_potential(image))
    return torch.stack(both, -1).softmax(-1)[..., 1]


RIGHT = {
    "posterior_and_evidence": own_posterior_and_evidence,
    "auc": own_auc,
    "pixel_given_rest": own_pixel_given_rest,
}
NAMES = list(RIGHT)


# ---- wrong answers, each with a phrase of the message meant for it


def of_both(change):
    def answer(log_joint):
        return change(*check.posterior_and_evidence.solution(log_joint))

    return answer


WRONG_POSTERIOR = {
    "exp gives 0": lambda a: (a.exp().sum(-1).log(), a.exp() / a.exp().sum(-1, keepdim=True)),
    "a sum of probabilities is wanted": lambda a: (a.sum(-1), a.softmax(-1)),
    "averaged over the classes": lambda a: (a.exp().mean(-1).log(), a.softmax(-1)),
    "the largest of the joint's terms": lambda a: (a.max(-1).values, a.softmax(-1)),
    "this is p(x), not its logarithm": of_both(lambda log_p, p: (log_p.exp(), p)),
    "no loss": of_both(lambda log_p, p: (-log_p, p)),
    "wrong order": of_both(lambda log_p, p: (p, log_p)),
    "one number for the whole batch": lambda a: (a.logsumexp((0, 1)), a.softmax(-1)),
    "you summed over the batch": lambda a: (a.logsumexp(0), a.softmax(0)),
    "return it as (B,)": lambda a: (a.logsumexp(-1, keepdim=True), a.softmax(-1)),
    "this is log p(y|x)": of_both(lambda log_p, p: (log_p, p.log())),
    "this is the joint p(x, y)": lambda a: (a.logsumexp(-1), a.exp()),
    "normalised over the batch": lambda a: (a.logsumexp(-1), a.softmax(0)),
    "you divided logarithms": lambda a: (a.logsumexp(-1), a / a.logsumexp(-1, keepdim=True)),
    "1 for the likeliest class": of_both(
        lambda log_p, p: (log_p, (p == p.max(-1, True).values).double())
    ),
    "you averaged the logarithms": lambda a: (a.mean(-1), a.softmax(-1)),
    "you divided p(x, y) by log p(x)": lambda a: (
        a.logsumexp(-1),
        a.exp() / a.logsumexp(-1, keepdim=True),
    ),
    "sums to 1 over y": lambda a: (a.logsumexp(-1), a.sigmoid()),
    "log p(x) is nan": of_both(lambda log_p, p: (log_p * torch.nan, p)),
    "at log p(x, y) near -2000, p(y|x)": lambda a: (
        a.logsumexp(-1),
        a.softmax(-1) if a.max() > -99 else torch.full_like(a, 1 / 3),
    ),
    "returns two tensors": lambda a: a.logsumexp(-1),
    "one of yours is list": of_both(lambda log_p, p: (log_p.tolist(), p)),
    "p(y|x) has shape (4,)": of_both(lambda log_p, p: (log_p, p[:, 0])),
    "is right (row": of_both(lambda log_p, p: (log_p + 0.1, p)),
    "stopped with": lambda a: a @ a,
}


def pairs(a, b):
    return a[:, None] - b


WRONG_AUC = {
    "compared the wrong way round": lambda a, b: own_auc(b, a),
    "in percent": lambda a, b: 100 * own_auc(a, b),
    "divide by their number": lambda a, b: (
        (pairs(a, b) > 0).float().sum() + 0.5 * (pairs(a, b) == 0).float().sum()
    ),
    "number of scores inside only": lambda a, b: own_auc(a, b) * len(b),
    "number of scores outside only": lambda a, b: own_auc(a, b) * len(a),
    "divide by that of pairs": lambda a, b: own_auc(a, b) * len(a) * len(b) / (len(a) + len(b)),
    "the mean difference": lambda a, b: pairs(a, b).mean(),
    "a sigmoid is no comparison": lambda a, b: torch.sigmoid(pairs(a, b)).mean(),
    "the AUC is nan": lambda a, b: float("nan"),
    "yours is nan": lambda a, b: own_auc(a, b) if a.std() else torch.tensor(torch.nan),
    "yours is a text": lambda a, b: str(own_auc(a, b)),
    "a tie counts nothing": lambda a, b: (pairs(a, b) > 0).float().mean(),
    "a tie counts fully": lambda a, b: (pairs(a, b) >= 0).float().mean(),
    "accuracy at one threshold": lambda a, b: (
        ((a > 0).double().mean() + (b <= 0).double().mean()) / 2
    ),
    "take the mean over all pairs": lambda a, b: (pairs(a, b) > 0).float(),
    "compare each of inside with each": lambda a, b: (a.mean() > b.mean()).float(),
    "stopped with": lambda a, b: (a > b).float().mean(),
}

solve = check.pixel_given_rest.solution


def with_on(x, i, value):
    x = x.clone()
    x[:, i] = value
    return x


def in_place(x, i, log_potential):
    x[:, i] = 1
    on = log_potential(x)
    x[:, i] = 0
    return torch.sigmoid(on - log_potential(x))


def probabilities_of_all(x, i, log_potential):
    p = torch.stack([solve(x, k, log_potential) for k in range(x.shape[1])], -1)
    return p


def by_rows(x, i, log_potential):
    on, off = x.clone(), x.clone()
    on[i], off[i] = 1, 0
    return torch.sigmoid(log_potential(on) - log_potential(off))


def through_exp(x, i, log_potential):
    on, off = (log_potential(with_on(x, i, v)).exp() for v in (1, 0))
    return on / (on + off)


WRONG_PIXEL = {
    "you changed x itself": in_place,
    "pixel i is 0": lambda x, i, f: 1 - solve(x, i, f),
    "this is the logarithm": lambda x, i, f: solve(x, i, f).log(),
    "twice the difference": lambda x, i, f: torch.sigmoid(
        2 * (f(with_on(x, i, 1)) - f(with_on(x, i, 0)))
    ),
    "x as it came": lambda x, i, f: torch.sigmoid(f(with_on(x, i, 1)) - f(x)),
    "pixel i is a column": by_rows,
    "near 1500": lambda x, i, f: solve(x, i, f) if f(x).max() < 1000 else torch.ones(len(x)) * 0.7,
    "these are the log-odds": lambda x, i, f: f(with_on(x, i, 1)) - f(with_on(x, i, 0)),
    "these are the odds": lambda x, i, f: (f(with_on(x, i, 1)) - f(with_on(x, i, 0))).exp(),
    "normalised over all images": lambda x, i, f: f(x).softmax(0),
    "given the others, only two images are left": (
        lambda x, i, f: f(x).softmax(0)[
            [(with_on(x, i, 1)[r] == x).all(1).nonzero().item() for r in range(len(x))]
        ]
    ),
    "the sigmoid of one log-potential": lambda x, i, f: torch.sigmoid(f(x)),
    "subtract the one with it off": lambda x, i, f: torch.sigmoid(f(with_on(x, i, 1))),
    "the value that pixel i has": lambda x, i, f: torch.where(
        x[:, i] == 1, solve(x, i, f), 1 - solve(x, i, f)
    ),
    "overflows in exp": through_exp,
    "you drew the pixel": lambda x, i, f: torch.bernoulli(solve(x, i, f)),
    "whole images of 0 and 1": lambda x, i, f: f(x[:, i : i + 1]),
    "you returned images": probabilities_of_all,
    "should be a tensor": lambda x, i, f: solve(x, i, f).tolist(),
    "has shape (1,), expected (16,)": lambda x, i, f: solve(x, i, f)[:1],
    "is right (row": lambda x, i, f: solve(x, i, f) * 0.9,
}


WRONG = dict(zip(NAMES, (WRONG_POSTERIOR, WRONG_AUC, WRONG_PIXEL), strict=True))
TestExercises = exercise_tests(check, "01_motivation", RIGHT, WRONG)
