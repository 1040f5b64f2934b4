"""Training and drawing of sentence models

Training: steps of a language model of the shipped sizes, LSTM, on the same batches of captions, ours
by `fit`'s parts (`Sentences`, `LanguageModel`, `maximise`) against a plain one in torch: Embedding,
LSTM, Linear and cross_entropy with ignore_index, padded to each batch's longest. Tokens per second is
what counts, so the ratio is time(plain) / time(ours). Drawing: one sentence of 60 words, and 200 of
them together, with the decoder's state kept from word to word (`Sequence.sample`), against the whole
sentence so far read once more for each word. No step of an LSTM can be faster than its matrix products:
they are timed alone, for one sentence.
"""

import torch
import torch.nn.functional as F
from timing import ratio_row, turns
from torch import nn

from dgmcourse.data.text import Sentences
from dgmcourse.densities import END, Sequence, draw_symbols, until_end
from dgmcourse.models.dilated_text_vae import DilatedNet
from dgmcourse.models.sentence_vae import LanguageModel, RecurrentNet
from dgmcourse.train import Adam, maximise

V, EMBEDDING, HIDDEN, BATCH, STEPS, WORDS, ROUNDS = 1200, 64, 128, 64, 5, 60, 9


class Plain(nn.Module):
    """The language model as one writes it in torch."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(V, EMBEDDING), nn.Linear(HIDDEN, V)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)

    def loss(self, x):
        inputs = F.pad(x[:, :-1], (1, 0), value=END)
        logits = self.head(self.lstm(self.embed(inputs))[0])
        wanted = x.where(until_end(x), -100)
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-100)


def sentences() -> Sentences:
    """As long as captions are: 12 words on average."""
    torch.manual_seed(0)
    x = torch.randint(2, V, (BATCH * STEPS, 25))
    x[torch.arange(25) >= (12 + 3 * torch.randn(len(x), 1)).clamp(4, 24)] = END
    return Sentences(x)


def endless(net):
    """The net, to draw sentences which are all of sixty words."""
    net.head.bias.data[END] = -torch.inf
    return net.eval()


@torch.no_grad()
def recomputed(net, n: int) -> torch.Tensor:
    """Draw words with the whole sentence so far read again for each: (n, WORDS)."""
    x = torch.full((n, WORDS), END)
    for t in range(WORDS):
        x[:, t] = draw_symbols(net(x[:, : t + 1])[:, t])
    return x


@torch.no_grad()
def products(net) -> None:
    """Of an LSTM's sixty steps the matrix products alone: its input's, its state's and the logits'."""
    e, h = torch.ones(1, EMBEDDING), torch.ones(1, HIDDEN)
    for _ in range(WORDS):
        for vector, matrix in zip(
            (e, h, h), (*net.rnn.all_weights[0][:2], net.head.weight), strict=True
        ):
            F.linear(vector, matrix)


def measure(rounds: int = ROUNDS) -> tuple[list[dict], str]:
    data, plain = sentences(), Plain()
    ours = LanguageModel(RecurrentNet(V, 0, EMBEDDING, HIDDEN, "lstm"))
    adams = {model: Adam(model.parameters(), lr=1e-3, fused=True) for model in (ours, plain)}

    def our_steps():
        for x in data.batches(BATCH):
            maximise(ours.objective(x)[0], adams[ours])

    def plain_steps():
        for x in data.batches(BATCH):
            adams[plain].zero_grad()
            plain.loss(x).backward()
            adams[plain].step()

    times = turns({"plain": plain_steps, "ours": our_steps}, rounds)
    seconds = sorted(wall for wall, _ in times["ours"])[rounds // 2]
    rows = [ratio_row(f"one step, {BATCH} sentences", times, "plain", "ours", ">= 0.9", STEPS)]
    lstm = endless(RecurrentNet(V, 0, EMBEDDING, HIDDEN, "lstm", length=WORDS))
    nets = {
        "LSTM": lstm,
        "dilated 1, 2, 4": endless(DilatedNet(V, 0, EMBEDDING, HIDDEN, (1, 2, 4), length=WORDS)),
    }
    for name, net in nets.items():
        for n in (1, 200):
            drawing = {
                "again": lambda net=net, n=n: recomputed(net, n),
                "kept": lambda net=net, n=n: Sequence(net).sample((n,)),
            }
            if net is lstm and n == 1:
                drawing["products"] = lambda: products(lstm)
            times = turns(drawing, rounds if n == 1 else max(3, rounds // 3))
            what = f"{n} sentence{'s' * (n > 1)} of {WORDS} words, {name}"
            rows.append(ratio_row(what, times, "again", "kept", ">= 20"))
            if "products" in times:
                rows.append(ratio_row(f"{what}: most that is possible", times, "again", "products"))
    return rows, f"Training reads {data.symbols / seconds:,.0f} tokens a second."
