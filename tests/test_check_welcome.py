"""Notebook 00's exercise: right answers pass, the blank is seen, typical wrong ones hear what is
wrong.
"""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dgmcourse.check import welcome as check


def kind_and_text(answer):
    verdict, going_on = check.log_bernoulli.verdict(answer)
    assert going_on is (answer if verdict.kind == "pass" else check.log_bernoulli.solution)
    return verdict.kind, verdict.text


RIGHT = {
    "the course's": check.log_bernoulli.solution,
    "by the library's loss": lambda x, a: (
        -F.binary_cross_entropy_with_logits(a, x, reduction="none").sum(-1)
    ),
    "by signs": lambda x, a: F.logsigmoid((2 * x - 1) * a).sum(dim=-1),
    "by a distribution": lambda x, a: torch.distributions.Bernoulli(logits=a).log_prob(x).sum(-1),
}
WRONG = {
    "not summed": (lambda x, a: x * a - F.softplus(a), "per pixel"),
    "summed over all": (lambda x, a: (x * a - F.softplus(a)).sum(), "whole batch"),
    "summed over the batch": (lambda x, a: (x * a - F.softplus(a)).sum(0), "summed over the batch"),
    "averaged": (lambda x, a: (x * a - F.softplus(a)).mean(-1), "averaged"),
    "a loss": (
        lambda x, a: F.binary_cross_entropy_with_logits(a, x, reduction="none").sum(-1),
        "sign",
    ),
    "a probability": (lambda x, a: (x * a - F.softplus(a)).sum(-1).exp(), "logarithm"),
    "bits": (lambda x, a: (x * a - F.softplus(a)).sum(-1) / np.log(2), "bits"),
    "ink only": (lambda x, a: (x * F.logsigmoid(a)).sum(-1), "white pixel"),
    "no normaliser": (lambda x, a: (x * a).sum(-1), "subtracted"),
    "exchanged": (lambda x, a: F.logsigmoid((1 - 2 * x) * a).sum(-1), "exchanged"),
    "logits as probabilities": (
        lambda x, a: (x * a.log() + (1 - x) * (1 - a).log()).sum(-1),
        "sigmoid",
    ),
    "softplus of -l": (lambda x, a: (x * a - F.softplus(-a)).sum(-1), "softplus(-l)"),
    "normaliser added": (lambda x, a: (x * a + F.softplus(a)).sum(-1), "you added"),
    "x forgotten": (lambda x, a: -F.softplus(a).sum(-1), "x has no influence"),
    "log p everywhere": (lambda x, a: F.logsigmoid(a).sum(-1), "every pixel"),
    "white subtracted": (
        lambda x, a: (x * F.logsigmoid(a) - (1 - x) * F.logsigmoid(-a)).sum(-1),
        "added, not subtracted",
    ),
    "1 - log p": (
        lambda x, a: (x * F.logsigmoid(a) + (1 - x) * (1 - F.logsigmoid(a))).sum(-1),
        "logarithm last",
    ),
    "probabilities as logits": (
        lambda x, a: torch.distributions.Bernoulli(logits=a.sigmoid()).log_prob(x).sum(-1),
        "logits themselves",
    ),
    "divided by the batch": (lambda x, a: (x * a - F.softplus(a)).sum(-1) / len(x), "batch's size"),
    "overflow": (lambda x, a: (x * a - (1 + a.exp()).log()).sum(-1), "exp(200)"),
    "zero times log of zero": (
        lambda x, a: (x * a.sigmoid().log() + (1 - x) * (1 - a.sigmoid()).log()).sum(-1),
        "0 * log 0",
    ),
    "another number": (lambda x, a: (x * a - F.softplus(a)).sum(-1) - 1, "of 7 pixels"),
    "the second axis": (lambda x, a: (x * a - F.softplus(a)).sum(1), "last axis"),
    "without gradient": (lambda x, a: (x * a - F.softplus(a)).sum(-1).detach(), "gradient"),
    "half a gradient": (lambda x, a: (x * a - F.softplus(a.detach())).sum(-1), "should be x - p"),
    "rounded": (
        lambda x, a: torch.where(x == 1, torch.sigmoid(a), 1 - torch.sigmoid(a)).log().sum(-1),
        "softplus",
    ),
    "clamped": (
        lambda x, a: (
            torch.where(x == 1, torch.sigmoid(a), 1 - torch.sigmoid(a)).clamp(1e-7).log().sum(-1)
        ),
        "logit of 200",
    ),
    "numbers, not tensors": (lambda x, a: 0.0, "float"),
    "an error": (lambda x, a: x @ a, "RuntimeError"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass(name):
    assert kind_and_text(RIGHT[name])[0] == "pass"


@pytest.mark.parametrize("name", WRONG)
def test_wrong_answers_hear_their_mistake(name):
    answer, word = WRONG[name]
    kind, text = kind_and_text(answer)
    assert kind == "fail" and word in text, text
    assert re.search(r"[.] Stuck\?", text), text


def test_blank_is_not_done_yet():
    def log_bernoulli(x, logits):
        """As it stands in the student's copy."""
        ...

    assert kind_and_text(log_bernoulli)[0] == "blank"


def test_hints_come_one_at_a_time(capsys):
    check.log_bernoulli.given = 0
    for n in (1, 2, 3, 3):
        check.log_bernoulli.hint()
        assert capsys.readouterr().out.startswith(f"Hint {n} of 3")
