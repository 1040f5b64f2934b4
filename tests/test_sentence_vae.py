"""Sentence VAEs and language models against sums over all strings of a language of three letters, with
recurrent and with dilated nets; what is masked, read and seen, by gradient.
"""

import itertools
import math

import pytest
import torch
from oracles import assert_mean, close, grid, oracle_tests
from torch.nn import functional as F

from dgmcourse import densities
from dgmcourse.densities import (
    END,
    UNKNOWN,
    GaussianConditional,
    Sequence,
    SequenceConditional,
    check_symbols,
    until_end,
)
from dgmcourse.evaluate import log_likelihood
from dgmcourse.models import dilated_text_vae, sentence_vae
from dgmcourse.models.dilated_text_vae import DilatedNet, DilatedTextVAE, receptive_field
from dgmcourse.models.pixelvae import free_bits
from dgmcourse.models.sentence_vae import (
    LanguageModel,
    RecurrentNet,
    SentenceReader,
    SentenceVAE,
    decoder_inputs,
)

pytestmark = pytest.mark.usefixtures("float64")
CONTRACT = {Sequence: None, LanguageModel: None, SentenceVAE: None, DilatedTextVAE: None}
V, LONGEST = 4, 4  # the end mark and three letters, and the longest row


def shaken(net, scale: float = 0.6):
    """The network with parameters away from where they start, so that nothing is nearly uniform."""
    torch.manual_seed(1)
    for p in net.parameters():
        p.data += scale * torch.randn_like(p)
    return net.eval()


def nets(given_dim: int, **more):
    """One of each kind."""
    return [
        shaken(RecurrentNet(V, given_dim, 3, 5, "gru", length=LONGEST, **more)),
        shaken(RecurrentNet(V, given_dim, 3, 5, "lstm", length=LONGEST, **more)),
        shaken(DilatedNet(V, given_dim, 3, 6, (1, 2), 2, length=LONGEST, **more)),
    ]


def all_strings(longest: int = LONGEST) -> torch.Tensor:
    """Every string of 0 to `longest` letters: those of fewer with their end mark, those of `longest`
    without, since nothing is known of how they go on.
    """
    rows = [
        [*word, *[END] * (longest - n)]
        for n in range(longest + 1)
        for word in itertools.product(range(1, V), repeat=n)
    ]
    return torch.tensor(rows)


def by_hand(net, x: list[int], z=None) -> float:
    """log p(x|z) by drawing's own steps, one symbol at a time."""
    state, total, word = net.start(z, 1), 0.0, torch.tensor([END])
    for symbol in x:
        logits, state = net.step(word, state)
        total += F.log_softmax(logits, -1)[0, symbol].item()
        if symbol == END:
            return total
        word = torch.tensor([symbol])
    return total


def check_all_strings_sum_to_one(module):
    z = torch.tensor([[0.7, -1.2], [0.0, 2.0]])
    x = all_strings()
    for net in nets(2):
        log_p = module.Sequence(net, z[:, None]).log_prob(x)
        close(log_p.shape, (2, len(x)))
        close(log_p.logsumexp(-1), torch.zeros(2))
        close(log_p[1, 50], by_hand(net, x[50].tolist(), z[1:]))
    for net in nets(0):
        close(module.Sequence(net).log_prob(x).logsumexp(-1), torch.tensor(0.0))


def check_padding_changes_nothing(module):
    x = torch.tensor([[2, 3, 1, END], [1, END, END, END], [END, END, END, END]])
    longer = F.pad(x, (0, 5))
    longer[1, 2:] = torch.tensor([3, 2, 1, 2, 3, 1, 1])  # whatever stands there
    for net in nets(2):
        z = torch.randn(3, 2)
        found = module.Sequence(net, z).log_prob(longer)
        close(found, module.Sequence(net, z).log_prob(x))
        for i, n in enumerate((4, 2, 1)):  # one by one, without any
            close(found[i], module.Sequence(net, z[i]).log_prob(x[i, :n]))


SEQUENCES = {
    check_all_strings_sum_to_one: """
        ends.cumsum(-1) == ends => x != END
        ends.cumsum(-1) == ends => ends >= 0
        ignore_index=IGNORED, reduction="none" => ignore_index=IGNORED, reduction="mean"\\n)[None
        """,
    check_padding_changes_nothing: """
        ends.cumsum(-1) == ends => ends >= 0
        x.where(until_end(x), IGNORED).flatten() => x.flatten()
        """,
}
