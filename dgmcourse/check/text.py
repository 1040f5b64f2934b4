"""Checks of notebook 13a: a sentence's log-probability, the decoder's inputs, the perplexity.

The truth comes from loops over sentences and words, and from what was dropped.
"""

import math

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Function, Slip, called, grouped, randn
from dgmcourse.check._progress import progress as progress
from dgmcourse.densities import END, UNKNOWN, until_end

# ---- the course's own answers


def _sentence_log_prob(logits: Tensor, words: Tensor) -> Tensor:
    log_p = logits.log_softmax(-1).gather(-1, words[..., None])[..., 0]
    return log_p.where(until_end(words), 0.0).sum(-1)


def _decoder_inputs(words: Tensor, keep: float) -> Tensor:
    inputs = torch.cat([torch.full_like(words[:, :1], END), words[:, :-1]], 1)
    dropped = (torch.rand(words.shape) >= keep) & (inputs != END)
    return inputs.masked_fill(dropped, UNKNOWN)


def _perplexity(log_w: Tensor, words: Tensor) -> Tensor:
    log_p = log_w.logsumexp(0) - math.log(len(log_w))
    return torch.exp(-log_p.sum() / until_end(words).sum())


# ---- a sentence's log-probability


def word_by_word(logits: Tensor, words: Tensor) -> Tensor:
    total = []
    for row, sentence in zip(logits, words.tolist(), strict=True):
        total.append(row.new_zeros(()))
        for scores, word in zip(row, sentence, strict=True):
            top = scores.max()
            total[-1] = total[-1] + scores[word] - top - (scores - top).exp().sum().log()
            if word == END:
                break
    return torch.stack(total)


def masked(mask, log_softmax=lambda logits: logits.log_softmax(-1)):
    """A slip: the sum over the words of another mask, or of other scores."""

    def answer(logits, words):
        each = log_softmax(logits).gather(-1, words[..., None])[..., 0]
        return each.where(mask(words), 0.0).sum(-1)

    return answer


counted = masked(until_end)


def shifted(logits: Tensor, words: Tensor) -> Tensor:
    return counted(logits[:, :-1], words[:, 1:])


WORDS = torch.tensor(
    [[3, 1, 4, 2, END, END], [2, END, END, END, END, END], [4, 2, 1, 3, 3, END], [1, 3, 2, 2, 4, 1]]
)
(LOGITS,) = randn(5, (4, 6, 5))
LOGITS = 1.5 * LOGITS
OVERWRITTEN = torch.tensor([[2, 3, END, 4, 1], [1, END, 3, 3, 2]])

sentence_log_prob = Exercise(
    name="sentence_log_prob",
    solution=_sentence_log_prob,
    judge=Function(
        "log p",
        truth=word_by_word,
        cases=[(LOGITS, WORDS)],
        edges=[
            "for sentences of one place",
            "",
            (LOGITS[:, :1], WORDS[:, :1]),
            "where the logits are 800",
            "exp(800) is infinite in a computer: .log_softmax(-1) of the logits, and no softmax first",
            (800 * LOGITS[:2], WORDS[:2]),
            "where something else than end marks stands after the first one",
            "until_end(words) says what counts, whatever stands behind the end",
            (LOGITS[:2, :5], OVERWRITTEN),
        ],
        slips=[
            "you counted the places behind the end mark: a longer row would make the same sentence less"
            " probable. until_end(words) says which count",
            masked(lambda words: torch.ones_like(words, dtype=torch.bool)),
            "the end mark is missing: it is part of the sentence, and costs nats like every word",
            masked(lambda words: words != END),
            "that is the mean over the words of a sentence: sum them",
            lambda logits, words: counted(logits, words) / until_end(words).sum(-1),
            "you divided by the length of the row: sum, and divide by nothing",
            lambda logits, words: counted(logits, words) / words.shape[-1],
            "logits[:, t] are of words[:, t] already: you shifted one of the two",
            shifted,
            "you took the softmax twice: log_softmax takes the logits as they are",
            masked(until_end, lambda logits: logits.softmax(-1).log_softmax(-1)),
            "those are the logits of the words, not log-probabilities: .log_softmax(-1) first",
            masked(until_end, lambda logits: logits),
            "those are probabilities, not their logarithms: .log_softmax(-1)",
            masked(until_end, lambda logits: logits.softmax(-1)),
            "you normalised over the places: the words of the vocabulary are the last axis",
            masked(until_end, lambda logits: logits.log_softmax(1)),
            "that is the probability of a sentence, not its logarithm",
            lambda logits, words: counted(logits, words).exp(),
            "the most probable words were taken: gather those of the sentence",
            lambda logits, words: (
                logits.log_softmax(-1).amax(-1).where(until_end(words), 0.0).sum(-1)
            ),
        ],
        shapes=[
            (),
            "one number for the whole batch: each sentence has its own",
            (6,),
            "you summed over the sentences: the words of one stand along the last axis",
            (4, 6),
            "one number for each word: sum over the words of a sentence",
        ],
        rows="logits words",
        learn=("logits",),
        errors={
            "Index tensor must have": "gather wants an index of as many axes: words[..., None]"
        },
        unit="nats",
        praise="a loop over the words finds the same log p, to {trial.off:.0e} nats, however much stands"
        " behind the end.",
    ),
    hints=[
        "Three steps: a log-probability of every word of the vocabulary, that of the word that stands"
        " there, and the sum over those that count.",
        "logits.log_softmax(-1), then .gather(-1, words[..., None])[..., 0], then zeros where"
        " until_end(words) is false.",
        "log_p.where(until_end(words), 0.0).sum(-1)",
    ],
)


# ---- what the decoder reads

NO_SHIFT = (
    "with keep = 1 the decoder reads at each place the very word it has to predict: move the words one"
    " place to the right"
)
LEFT = "you moved the words to the left, so that the decoder reads what comes next: to the right"
NO_START = "before the first word stands END, the only thing the decoder can know there"
LONGER = "there is one place too many: the last word is the input of nothing"
KEEPS = "words are dropped with probability keep: keep is the share that stays, 1 - keep is dropped"
IGNORED = "keep is not used: with keep = 1 every word is read, and you drop some of them"
NEVER = "no word is ever dropped"
ZEROS = "a dropped word has become an end mark: UNKNOWN is another symbol"
ENDS = "end marks are dropped, too: the decoder may always know that a sentence begins, or is over"
COLUMNS = "all sentences lose the same places: draw one number for each word, (B, T)"
ROWS = "a sentence loses all its words or none: draw one number for each word, (B, T)"
AGAIN = "the same words are dropped at every call: draw anew"
OTHER = "a word that stays is another word than before: only dropped ones change"
FLOATS = "inputs are whole numbers, as words are: .long(), or masked_fill of words"


def all_read(words: Tensor) -> Tensor:
    """The inputs if nothing is dropped: END, and then the words but the last."""
    inputs = words.roll(1, 1)
    inputs[:, 0] = END
    return inputs


def dropping(mask, symbol: int = UNKNOWN, inputs=all_read):
    """A slip: the words of another mask, or another symbol."""
    return lambda words, keep: inputs(words).masked_fill(mask(words, keep), symbol)


def chance(words: Tensor, keep: float) -> Tensor:
    return torch.rand(words.shape) >= keep


def no_end(words: Tensor) -> Tensor:
    return all_read(words) != END


some_read = dropping(lambda words, keep: chance(words, keep) & no_end(words))


class Reads:
    """A judge of `decoder_inputs`: what is dropped, how often, and what never."""

    SHARE = 0.7

    slips = [
        Slip(message, function)
        for message, function in grouped(
            [
                NO_SHIFT,
                dropping(lambda w, k: chance(w, k) & (w != END), inputs=lambda w: w.clone()),
                LEFT,
                dropping(
                    lambda w, k: chance(w, k) & (w.roll(-1, 1) != END),
                    inputs=lambda w: w.roll(-1, 1),
                ),
                NO_START,
                lambda w, k: torch.cat(
                    [torch.full_like(w[:, :1], UNKNOWN), some_read(w, k)[:, 1:]], 1
                ),
                NO_START,  # END only if the row is filled up
                dropping(
                    lambda w, k: chance(w, k) & (w.roll(1, 1) != END),
                    inputs=lambda w: w.roll(1, 1),
                ),
                KEEPS,
                dropping(lambda w, k: ~chance(w, k) & no_end(w)),
                IGNORED,
                dropping(lambda w, k: (torch.rand(w.shape) >= 0.5) & no_end(w)),
                NEVER,
                lambda w, k: all_read(w) if k else some_read(w, k),
                ZEROS,
                dropping(lambda w, k: chance(w, k) & no_end(w), symbol=END),
                ENDS,
                dropping(chance),
                COLUMNS,
                dropping(lambda w, k: (torch.rand(w.shape[1]) >= k) & no_end(w)),
                ROWS,
                dropping(lambda w, k: (torch.rand(len(w), 1) >= k) & no_end(w)),
                OTHER,
                lambda w, k: some_read(w.roll(1, 0), k),
                FLOATS,
                lambda w, k: some_read(w, k).double(),
            ]
        )
    ]

    def __init__(self, seed: int = 0):
        self.seed = seed

    def fresh(self, seed: int) -> "Reads":
        return Reads(seed)

    def __call__(self, answer) -> str:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.judged(answer)

    def judged(self, answer) -> str:
        words = torch.randint(2, 12, (300, 20))
        words[torch.arange(20) >= torch.randint(8, 22, (300, 1))] = END  # some have none
        right = all_read(words)
        inputs = self.asked(answer, words, 1.0)
        for wrong, why in ((words, NO_SHIFT), (words.roll(-1, 1), LEFT)):
            if torch.equal(inputs[:, :-1], wrong[:, :-1]):
                raise Wrong(f"{why}.")
        if (inputs[:, 0] != END).any():
            raise Wrong(f"{NO_START}.")
        if (inputs[right != END] == UNKNOWN).all():
            raise Wrong(f"{KEEPS}.")
        differ = inputs != right
        if differ.any() and (inputs[differ] == UNKNOWN).all():
            raise Wrong(f"{IGNORED}.")
        if differ.any():
            n = int(differ.any(1).sum())
            raise Wrong(
                f"{OTHER}: with keep = 1 nothing is dropped, and {n} of {len(words)} rows differ from"
                " END and the words but the last."
            )
        share = self.dropped(self.asked(answer, words, self.SHARE), right)
        if torch.equal(*(self.asked(answer, words, self.SHARE) for _ in range(2))):
            raise Wrong(f"{AGAIN}.")
        nothing = self.asked(answer, words, 0.0)
        if not torch.equal(nothing, right.where(right == END, UNKNOWN)):
            raise Wrong("with keep = 0 every word is UNKNOWN, and only end marks are left.")
        self.asked(answer, words[:1, :1], self.SHARE)
        return (
            f"of {int((right != END).sum()):,} words {1 - share:.1%} were read with keep ="
            f" {self.SHARE}, each as it was; no end mark was lost, and the targets are untouched."
        ).replace("%", " %")

    def asked(self, answer, words: Tensor, keep: float) -> Tensor:
        inputs = called(answer, {"words": words, "keep": keep})
        if not isinstance(inputs, Tensor):
            raise Wrong(f"the inputs should be a tensor, they are {type(inputs).__name__}.")
        if inputs.dtype.is_floating_point or inputs.dtype == torch.bool:
            raise Wrong(f"{FLOATS}.")
        if inputs.shape != words.shape:
            longer = inputs.shape[-1:] == (words.shape[-1] + 1,)
            raise Wrong(
                f"{LONGER}."
                if longer
                else f"the inputs have shape {tuple(inputs.shape)}: one for each word,"
                f" {tuple(words.shape)}."
            )
        return inputs

    def dropped(self, inputs: Tensor, right: Tensor) -> float:
        """The share of words that is not read, if it is as it should be."""
        word = right != END
        if (inputs[~word] != END).any():
            raise Wrong(f"{ENDS}.")
        gone = (inputs != right) & word
        share = (gone.sum() / word.sum()).item()
        if not gone.any():
            raise Wrong(f"{NEVER}.")
        if (inputs[gone] == END).all():
            raise Wrong(f"{ZEROS}.")
        if (inputs[gone] != UNKNOWN).any():
            raise Wrong(f"{OTHER}.")
        whole, columns = gone.sum(1) / word.sum(1), gone.sum(0) / word.sum(0).clamp(min=1)
        if ((whole == 0) | (whole == 1)).all():
            raise Wrong(f"{ROWS}.")
        if ((columns[1:8] == 0) | (columns[1:8] == 1)).all():
            raise Wrong(f"{COLUMNS}.")
        error = 4.5 * (self.SHARE * (1 - self.SHARE) / int(word.sum())) ** 0.5
        if abs(share - self.SHARE) < error:
            raise Wrong(f"{KEEPS}.")
        if abs(share - (1 - self.SHARE)) > error:
            raise Wrong(
                f"{share:.0%} of the words are dropped with keep = {self.SHARE}: it should be"
                f" {1 - self.SHARE:.0%}, each word by itself.".replace("%", " %")
            )
        return share


decoder_inputs = Exercise(
    name="decoder_inputs",
    solution=_decoder_inputs,
    judge=Reads(),
    hints=[
        "Two things: move the words one place to the right, with END before the first; then replace some"
        " of them, but no END, by UNKNOWN.",
        "torch.cat([torch.full_like(words[:, :1], END), words[:, :-1]], 1) are the inputs;"
        " torch.rand(words.shape) >= keep says which words go.",
        "inputs.masked_fill((torch.rand(words.shape) >= keep) & (inputs != END), UNKNOWN)",
    ],
)


# ---- the perplexity


def by_loops(log_w: Tensor, words: Tensor) -> Tensor:
    nats, count = log_w.new_zeros(()), 0
    for b in range(log_w.shape[1]):
        top = log_w[:, b].max()
        nats = nats - top - (sum((w - top).exp() for w in log_w[:, b]) / len(log_w)).log()
        for word in words[b].tolist():
            count += 1
            if word == END:
                break
    return (nats / count).exp()


def log_mean(log_w: Tensor) -> Tensor:
    return log_w.logsumexp(0) - math.log(len(log_w))


def ratio(log_p=log_mean, count=lambda words: until_end(words).sum(), power=torch.exp):
    """A slip: another log p, another count, another base."""
    return lambda log_w, words: power(-log_p(log_w).sum() / count(words))


(NOISE,) = randn(7, (6, 4))
LENGTHS = until_end(WORDS).sum(-1)
LOG_W = NOISE - 1.2 * LENGTHS

perplexity = Exercise(
    name="perplexity",
    solution=_perplexity,
    judge=Function(
        "the perplexity",
        truth=by_loops,
        cases=[(LOG_W, WORDS)],
        edges=[
            "for one sample of z",
            "",
            (LOG_W[:1], WORDS),
            "for one sentence",
            "",
            (LOG_W[:, :1], WORDS[:1]),
            "where log w is -900",
            "exp(-900) is 0 in a computer: the mean of the weights is log_w.logsumexp(0) - log S",
            (LOG_W[:, :2] - 900, 0 * torch.ones(2, 500, dtype=torch.long) + 2),
        ],
        slips=[
            "that is the bound: its mean of log w is below the log of the mean of w, so the perplexity is"
            " too large. Average the weights, not their logarithms",
            ratio(lambda log_w: log_w.mean(0)),
            "log S is missing: the weights are to be averaged over their S samples, not summed",
            ratio(lambda log_w: log_w.logsumexp(0)),
            "you subtracted log B: the mean is over the S samples of each sentence, log S",
            ratio(lambda log_w: log_w.logsumexp(0) - math.log(log_w.shape[1])),
            "log S is subtracted once for all sentences: each has its own mean over S samples, so it"
            " belongs before the sum",
            lambda log_w, words: torch.exp(
                (math.log(len(log_w)) - log_w.logsumexp(0).sum()) / until_end(words).sum()
            ),
            "you added up the sentences within each sample of z, and averaged then: each sentence has"
            " its own mean over the samples, and their logarithms are added",
            ratio(lambda log_w: log_mean(log_w.sum(1))),
            "all weights of all sentences were averaged together: each sentence has its own mean over"
            " the samples, and their logarithms are added",
            ratio(lambda log_w: log_mean(log_w.flatten())),
            "you divided by the number of sentences: a perplexity is of words, end marks among them",
            ratio(count=len),
            "the end marks are missing in the count: each was predicted, and paid for",
            ratio(count=lambda words: (words != END).sum()),
            "you counted the places behind the end marks as words: until_end(words)",
            ratio(count=lambda words: words.numel()),
            "that is the mean of the sentences' perplexities: add up all nats and all words, then divide",
            lambda log_w, words: torch.exp(-log_mean(log_w) / until_end(words).sum(-1)).mean(),
            "you averaged nats a word over the sentences, so that a short one counts as much as a long"
            " one: add up all nats and all words, then divide",
            lambda log_w, words: torch.exp((-log_mean(log_w) / until_end(words).sum(-1)).mean()),
            "nats belong to exp, bits to 2: these are nats",
            ratio(power=lambda nats: 2**nats),
            "that are the nats of a word: the perplexity is exp of it",
            ratio(power=lambda nats: nats),
            "the sign of log p is lost: the perplexity is above 1",
            ratio(power=lambda nats: torch.exp(-nats)),
            "the samples of z are the first axis, you averaged over the sentences",
            lambda log_w, words: torch.exp(
                -(log_w.logsumexp(1) - math.log(log_w.shape[1])).sum() / until_end(words).sum()
            ),
            "the best of the samples was taken: average the weights of all S",
            ratio(lambda log_w: log_w.amax(0)),
        ],
        shapes=[
            (4,),
            "one for each sentence: it is one number for all of them together",
            (6,),
            "one for each sample of z: average the weights over the samples, the first axis",
        ],
        learn=("log_w",),
        praise="{trial.found[0].value:.4f} in the test, as a loop over sentences and words finds it.",
    ),
    hints=[
        "First log p of each sentence, (B,): the log of the mean of S weights. Then all nats together,"
        " divided by all words together.",
        "log_p = log_w.logsumexp(0) - math.log(len(log_w)); the words that count are"
        " until_end(words).sum().",
        "torch.exp(-log_p.sum() / until_end(words).sum())",
    ],
)
