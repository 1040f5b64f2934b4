"""The exercises of notebook 13a: right answers pass, wrong ones are told what is wrong."""

import math

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import text as check
from dgmcourse.densities import END, UNKNOWN, until_end

# ---- right answers


def by_cross_entropy(logits, words):
    targets = words.masked_fill(~until_end(words), -100)
    nats = F.cross_entropy(logits.mT, targets, ignore_index=-100, reduction="none")
    return -nats.sum(-1)


def by_one_hot(logits, words):
    log_p = (logits.log_softmax(-1) * F.one_hot(words, logits.shape[-1])).sum(-1)
    return (log_p * until_end(words)).sum(-1)


def by_where(words, keep):
    shifted = F.pad(words, (1, 0), value=END)[:, :-1]
    drop = torch.bernoulli(torch.full(words.shape, 1 - keep)).bool()
    return torch.where(drop & (shifted != END), UNKNOWN, shifted)


def one_by_one(words, keep):
    rows = [
        [END, *(w if w == END or torch.rand(()) < keep else UNKNOWN for w in row[:-1])]
        for row in words.tolist()
    ]
    return torch.tensor(rows)


def own_perplexity(log_w, words):
    top = log_w.max(0).values
    nats = -(top + (log_w - top).exp().mean(0).log()).sum()
    return (nats / until_end(words).double().sum()).exp()


RIGHT = {
    "sentence_log_prob": [by_cross_entropy, by_one_hot],
    "decoder_inputs": [by_where, one_by_one],
    "perplexity": [own_perplexity],
}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def in_place(words, keep):
    words[torch.rand(words.shape) >= keep] = UNKNOWN
    return F.pad(words, (1, 0), value=END)[:, :-1]


fixed = torch.Generator()


def always_the_same(words, keep):
    fixed.manual_seed(0)
    shifted = F.pad(words, (1, 0), value=END)[:, :-1]
    drop = torch.rand(words.shape, generator=fixed) >= keep
    return torch.where(drop & (shifted != END), UNKNOWN, shifted)


WRONG = {
    "sentence_log_prob": {
        "one number for the whole batch": lambda logits, words: by_one_hot(logits, words).mean(),
        "you summed over the sentences": lambda logits, words: (
            logits.log_softmax(-1).gather(-1, words[..., None])[..., 0] * until_end(words)
        ).sum(0),
        "one number for each word": lambda logits, words: (
            -F.cross_entropy(logits.mT, words, reduction="none")
        ),
        "the sign is turned": lambda logits, words: -by_one_hot(logits, words),
        "exp(800) is infinite": lambda logits, words: (
            (
                (logits.exp() / logits.exp().sum(-1, keepdim=True))
                .log()
                .gather(-1, words[..., None])[..., 0]
            )
            .where(until_end(words), 0.0)
            .sum(-1)
        ),
        "gather wants an index": lambda logits, words: logits.log_softmax(-1).gather(-1, words),
        "log p has no gradient": lambda logits, words: by_one_hot(logits.detach(), words),
    },
    "decoder_inputs": {
        "changes words in place": in_place,
        "dropped at every call": always_the_same,
        "one place too many": lambda words, keep: F.pad(words, (1, 0), value=END),
        "one for each word": lambda words, keep: by_where(words, keep)[:, :-1],
        "of the words are dropped with keep": lambda words, keep: by_where(words, keep**2),
        "with keep = 0 every word is UNKNOWN": lambda words, keep: by_where(words, keep or 1.0),
        "should be a tensor": lambda words, keep: by_where(words, keep).tolist(),
    },
    "perplexity": {
        "one for each sentence": lambda log_w, words: torch.exp(
            -(log_w.logsumexp(0) - math.log(len(log_w))) / until_end(words).sum(-1)
        ),
        "exp(-900) is 0": lambda log_w, words: torch.exp(
            -log_w.exp().mean(0).log().sum() / until_end(words).sum()
        ),
        "one for each sample of z": lambda log_w, words: torch.exp(
            -log_w.sum(1) / until_end(words).sum()
        ),
        "should be a tensor": lambda log_w, words: own_perplexity(log_w, words).item(),
    },
}
TestExercises = exercise_tests(
    check,
    "13a_text",
    RIGHT,
    WRONG,
    F=F,
    math=math,
    END=END,
    UNKNOWN=UNKNOWN,
    until_end=until_end,
)
