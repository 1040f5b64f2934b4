r"""A VAE of sentences, and the language model that it is without z.

$$p(x) = \int p(z) \prod_{t=1}^{T+1} p(x_t \mid x_1, \dots, x_{t-1}, z)\, dz$$

Slides: "Some extensions". Bowman, Vilnis, Vinyals, Dai, Jozefowicz & Bengio, Generating Sentences
from a Continuous Space, 2015, arXiv:1511.06349.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import (
    END,
    UNKNOWN,
    GaussianConditional,
    Sequence,
    SequenceConditional,
    StandardGaussian,
    check_symbols,
    until_end,
)
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.pixelvae import free_bits
from dgmcourse.settings import check_number, check_whole

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}


def decoder_inputs(x: Tensor, keep: float = 1.0) -> Tensor:
    """What the decoder reads before each symbol: the symbol before, and an end mark before the first.

    With word dropout each word is replaced by `UNKNOWN` with probability 1 - keep, anew at every
    call. End marks stay, and so does x itself, which is what is to be predicted.

    Args:
        x: (..., T), whole numbers.
    """
    inputs = torch.cat([torch.full_like(x[..., :1], END), x[..., :-1]], -1)
    if keep == 1:
        return inputs
    dropped = (torch.rand(x.shape, device=x.device) >= keep) & (inputs != END)
    return inputs.masked_fill(dropped, UNKNOWN)


class SentenceNet(nn.Module):
    """What the networks for `Sequence` share: the embedding of words, and which of them are read.

    Args:
        symbols: V, how many there are, `END` and `UNKNOWN` included.
        given_dim: dimensions of z, which is given at every step; 0: none.
        embedding: dimensions of e(x).
        keep: the share of words that the decoder may read in training (`decoder_inputs`). 0: none,
            in training or later, p(x|z) = prod_t p(x_t | t, z), the inputless decoder.
        length: of the longest sentence that is drawn, its end mark included.
    """

    def __init__(self, symbols: int, given_dim: int, embedding: int, keep: float, length: int):
        check_whole(0, given_dim=given_dim)
        check_whole(symbols=symbols, embedding=embedding, length=length)
        check_number(least=0, most=1, keep=keep)
        super().__init__()
        self.symbols, self.given_dim, self.length, self.keep = symbols, given_dim, length, keep
        self.embed = nn.Embedding(symbols, embedding)

    @property
    def kept(self) -> float:
        """The share of words that is read now."""
        return self.keep if self.training or self.keep == 0 else 1.0

    def features(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """One vector for each position: (n, T) and (n, given_dim) to (n, T, hidden)."""
        return self.read(decoder_inputs(x, self.kept), given)

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Logits of every symbol given those before it: (n, T, symbols)."""
        return self.head(self.features(x, given))

    def embedded(self, inputs: Tensor, given: Tensor | None) -> Tensor:
        """[e(x), z] of the inputs (n, T): (n, T, embedding + given_dim)."""
        e = self.embed(inputs)
        if given is None:
            return e
        return torch.cat([e, given[:, None].expand(-1, e.shape[1], -1)], -1)

    def heard(self, x: Tensor) -> Tensor:
        """The symbols x as the next step may read them."""
        return x if self.kept else x.where(x == END, UNKNOWN)


class RecurrentNet(SentenceNet):
    r"""$$h_t = \mathrm{GRU}([e(x_{t-1}), z], h_{t-1}), \quad h_0 = \tanh(A z + a), \quad
      p(x_t \mid x_{<t}, z) = \mathrm{softmax}(B h_t + b)$$

    Args:
        symbols, given_dim, embedding, keep, length: as for `SentenceNet`; z is given at the first
            state, too.
        hidden: dimensions of h.
        cell: "gru" or "lstm".
    """

    def __init__(
        self,
        symbols: int,
        given_dim: int = 0,
        embedding: int = 64,
        hidden: int = 128,
        cell: str = "gru",
        keep: float = 1.0,
        length: int = 60,
    ):
        check_whole(hidden=hidden)
        super().__init__(symbols, given_dim, embedding, keep, length)
        self.rnn = cell_of(cell)(embedding + given_dim, hidden, batch_first=True)
        self.first = nn.Linear(given_dim, hidden) if given_dim else None
        self.head = nn.Linear(hidden, symbols)

    def read(self, inputs: Tensor, given: Tensor | None = None) -> Tensor:
        """h_1, ..., h_T of what is read before each symbol, as `decoder_inputs` makes it: (n, T)."""
        _, *state = self.start(given, len(inputs))
        return self.rnn(self.embedded(inputs, given), self._as_torchs(state))[0]

    def start(self, given: Tensor | None, n: int) -> tuple[Tensor, ...]:
        """The state before the first symbol, one row for each sequence: (z, h), or (z, h, c)."""
        if given is None:
            given = self.head.weight.new_zeros(n, 0)
        h = given.new_zeros(n, self.rnn.hidden_size)
        h, rest = torch.tanh(self.first(given)) if self.first else h, (h,) * self._is_lstm
        return given, h, *rest

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits of the next symbol after x, (n,), and the state with x read."""
        given, *state = state
        x, weights = self.heard(x), self.rnn.all_weights[0]
        e = torch.cat([self.embed(x), given], -1)
        if self._is_lstm:
            state = torch.lstm_cell(e, state, *weights)
        else:
            state = (torch.gru_cell(e, *state, *weights),)
        return self.head(state[0]), (given, *state)

    @property
    def _is_lstm(self) -> bool:
        return isinstance(self.rnn, nn.LSTM)

    def _as_torchs(self, state: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
        state = tuple(part[None].contiguous() for part in state)  # torch has an axis of layers
        return state if self._is_lstm else state[0]


class SentenceReader(nn.Module):
    """A network from sequences (..., T) to `outputs` numbers: the last state of a recurrent net, at
    the end mark, through one linear layer. What follows the end mark is not read.

    Args:
        symbols, embedding, hidden, cell: as for `RecurrentNet`.
        outputs: (..., outputs) is returned.
    """

    def __init__(
        self, symbols: int, outputs: int, embedding: int = 64, hidden: int = 128, cell: str = "gru"
    ):
        check_whole(symbols=symbols, outputs=outputs, embedding=embedding, hidden=hidden)
        super().__init__()
        self.embed = nn.Embedding(symbols, embedding)
        self.rnn = cell_of(cell)(embedding, hidden, batch_first=True)
        self.last = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = check_symbols(x, self.last.weight, self.embed.num_embeddings)
        rows = x.reshape(-1, x.shape[-1])
        h, _ = self.rnn(self.embed(rows))
        at = until_end(rows).sum(-1) - 1
        h = h.gather(1, at[:, None, None].expand(-1, 1, h.shape[-1]))[:, 0]
        return self.last(h).view(*x.shape[:-1], -1)


class SentenceVAE(LatentVariableModel):
    r"""$$p(z) = \mathcal N(0, I), \quad q(z \mid x) = \mathcal N(\mu(x), \mathrm{diag}\,\sigma^2(x)),
      \quad p(x \mid z) = \prod_t p(x_t \mid x_{<t}, z)$$

    Its bound is that of every VAE. A decoder that reads all words before each may leave z unused:
    against that are a `warm_up` of the KL's weight, `keep` and `free`.

    Args:
        symbols, embedding, hidden, cell, keep, length: as for `RecurrentNet`; encoder and decoder
            have the same sizes.
        latent_dim: dimensions of z.
        free: nats of KL in each dimension that cost nothing in training (`pixelvae.free_bits`).
    """

    def __init__(
        self,
        symbols: int,
        latent_dim: int = 16,
        embedding: int = 64,
        hidden: int = 128,
        cell: str = "gru",
        keep: float = 1.0,
        length: int = 60,
        free: float = 0.0,
    ):
        check_whole(latent_dim=latent_dim)
        check_number(least=0, free=free)
        decoder = RecurrentNet(symbols, latent_dim, embedding, hidden, cell, keep, length)
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(SentenceReader(symbols, 2 * latent_dim, embedding, hidden, cell)),
            SequenceConditional(decoder),
        )
        self.free = free

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """The bound, as of every `LatentVariableModel`; in training with `free` nats."""
        if self.free and self.training:
            return free_bits(self, self.free)(x, beta)
        return super().objective(x, beta)


class LanguageModel(Sequence, nn.Module):
    """p(x) of sequences, exact in one pass: the VAE's decoder with no z.

    Args:
        net: a `RecurrentNet` or a `DilatedNet` of given_dim 0.

    Raises:
        ValueError: for a net that wants a z.
    """

    parts = {"log_p": "log p(x)"}

    def __init__(self, net: nn.Module):
        if net.given_dim:
            raise ValueError(
                f"a language model has no z, and this net wants {net.given_dim} numbers"
            )
        nn.Module.__init__(self)
        Sequence.__init__(self, net)

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(x), (B,), nats, and {"log_p"}, the same; `beta` changes nothing."""
        log_p = self.log_prob(x)
        return log_p, {"log_p": log_p}


def cell_of(name: str) -> type[nn.Module]:
    """The recurrent layer of that name; else a ValueError."""
    if name not in CELLS:
        raise ValueError(f"cell is one of {', '.join(map(repr, CELLS))}, got {name!r}")
    return CELLS[name]
