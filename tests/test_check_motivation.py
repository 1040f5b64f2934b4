"""The exercises of notebook 01: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import numpy as np
import torch
from exercises import exercise_tests

from dgmcourse.check import motivation as check

# ---- right answers


def own_posterior_and_evidence(log_joint):
    top = log_joint.max(dim=1, keepdim=True)[0]
    weights = torch.exp(log_joint - top)
    return [top[:, 0] + weights.sum(1).log(), weights / weights.sum(1, keepdim=True)]


def own_auc(inside, outside):
    """By ranks, as Mann and Whitney count, in numpy."""
    both, n, m = np.concatenate([inside.numpy(), outside.numpy()]), len(inside), len(outside)
    ranks = [(both < s).sum() + 0.5 * ((both == s).sum() + 1) for s in inside.numpy()]
    return (sum(ranks) - n * (n + 1) / 2) / (n * m)


def own_pixel_given_rest(x, i, log_potential):
    columns = torch.arange(x.shape[1]) == i
    both = [log_potential(torch.where(columns, value, x)) for value in (0.0, 1.0)]
    return torch.stack(both, -1).softmax(-1)[..., 1]


RIGHT = {
    "posterior_and_evidence": own_posterior_and_evidence,
    "auc": own_auc,
    "pixel_given_rest": own_pixel_given_rest,
}

# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def of_both(change):
    return lambda a: change(*own_posterior_and_evidence(a))


def in_place(x, i, log_potential):
    on, off = (log_potential(x.index_fill_(1, torch.tensor(i), value)) for value in (1, 0))
    return torch.sigmoid(on - off)


def of_pixel(change):
    return lambda *given: change(own_pixel_given_rest(*given))


WRONG = {
    "posterior_and_evidence": {
        "near -2000, usual for an image, it is -inf": lambda a: (a.exp().sum(-1).log(), a),
        "rows are thousands of nats apart it is -inf": lambda a: (
            ((a - a.max()).exp().sum(-1).log() + a.max(), a)
        ),
        "p(y|x) is right elsewhere, but at": lambda a: (
            (a.logsumexp(-1), a.softmax(-1) if a.max() > -99 else 0 * a + 1 / 3)
        ),
        "-infinity for one y it is nan": of_both(lambda log_p, p: (log_p + 0 * p.log().sum(-1), p)),
        "in the order p(y|x), log p(x)": of_both(lambda log_p, p: (p, log_p)),
        "you summed over the batch": lambda a: (a.logsumexp(0), a.softmax(0)),
        "p(y|x) has no gradient": of_both(lambda log_p, p: (log_p, p.detach())),
    },
    "auc": {
        "1 minus what is asked for": lambda a, b: own_auc(b, a),
        "a sum where a mean belongs": lambda a, b: own_auc(a, b) * len(b),
        "where all scores are equal it is inf": lambda a, b: own_auc(a, b) / (a.max() > b.min()),
        "near is no tie": lambda a, b: own_auc(a.round(decimals=3), b.round(decimals=3)),
        "should be one number, it is bool": lambda a, b: bool(a.mean() > b.mean()),
        "take the mean over all pairs": lambda a, b: (a[:, None] > b).float(),
        "draw nothing": lambda a, b: own_auc(a[torch.randint(len(a), a.shape)], b),
    },
    "pixel_given_rest": {
        "changes x in place": in_place,
        "usual for a large grid, it is nan": lambda x, i, f: own_pixel_given_rest(
            x, i, lambda images: f(images).exp().log()
        ),
        "so clamp nothing": of_pixel(lambda p: p.clamp(0.003, 0.997)),
        "draw nothing": of_pixel(torch.bernoulli),
        "whole images of 0 and 1": lambda x, i, f: f(x[:, i : i + 1]),
        "these are images": lambda x, i, f: own_pixel_given_rest(x, i, f)[:, None] + 0 * x,
        "not for a batch of one": of_pixel(torch.squeeze),
    },
}
TestExercises = exercise_tests(check, "01_motivation", RIGHT, WRONG)
