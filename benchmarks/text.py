"""Training and drawing of sentence models

Training: steps of a language model of the shipped sizes, LSTM, on the same batches of captions, ours
by `fit`'s parts (`Sentences`, `LanguageModel`, `maximise`) against a plain one in torch: Embedding,
LSTM, Linear and cross_entropy with ignore_index, padded to each batch's longest. Tokens per second is
what counts, so the ratio is time(plain) / time(ours). Drawing: one sentence of 60 words, and 200 of them
together, with the decoder's state kept from word to word, against the whole sentence so far once more
for each word.
"""

import torch
import torch.nn.functional as F
from timing import ratio_row, turns
from torch import nn

from dgmcourse.data.text import Sentences
from dgmcourse.densities import END, draw_symbols, until_end
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


def recomputed(net, n: int) -> torch.Tensor:
    """Draw words with the whole sentence so far read again for each: (n, WORDS)."""
    x = torch.full((n, 1), END)
    for t in range(WORDS):
        logits = net(x)[:, t]
        logits[:, END] = -torch.inf  # all are of sixty words
        x[:, t] = draw_symbols(logits)
        x = F.pad(x, (0, 1), value=END)
    return x[:, :WORDS]


def kept(net, n: int) -> torch.Tensor:
    """The same, one step a word: what `Sequence.sample` does."""
    state, word, drawn = net.start(None, n), torch.full((n,), END), []
    for _ in range(WORDS):
        logits, state = net.step(word, state)
        logits[:, END] = -torch.inf
        word = draw_symbols(logits)
        drawn.append(word)
    return torch.stack(drawn, 1)


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
    nets = {
        "LSTM": ours.net,
        "dilated 1, 2, 4": DilatedNet(V, 0, EMBEDDING, HIDDEN, (1, 2, 4)),
    }
    for name, net in nets.items():
        net.eval()
        for n in (1, 200):
            drawing = {"again": recomputed, "kept": kept}
            drawing = {k: lambda f=f, net=net, n=n: f(net, n) for k, f in drawing.items()}
            with torch.no_grad():
                both = turns(drawing, max(3, rounds // 2))
            what = f"{n} sentence{'s' * (n > 1)} of {WORDS} words, {name}"
            rows.append(ratio_row(what, both, "again", "kept", ">= 20"))
    return rows, f"Training reads {data.symbols / seconds:,.0f} tokens a second."
