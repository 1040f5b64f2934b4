r"""A VAE of sentences whose decoder is a dilated convolution: how far it sees is a setting.

Slides: "Some extensions". Yang, Hu, Salakhutdinov & Berg-Kirkpatrick, Improved Variational
Autoencoders for Text Modeling using Dilated Convolutions, 2017, arXiv:1702.08139.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import GaussianConditional, SequenceConditional, StandardGaussian
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.sentence_vae import SentenceNet, SentenceReader
from dgmcourse.settings import check_whole


def receptive_field(size: int, dilations: tuple[int, ...]) -> int:
    """How many words the decoder sees: 1 + (k - 1) sum d.

    >>> receptive_field(3, (1, 2, 4))
    15
    """
    return 1 + (size - 1) * sum(dilations)


class DilatedBlock(nn.Module):
    """h + a bottleneck of it: 1 x 1, a masked convolution of width k and dilation d, 1 x 1.

    The convolution at t sees t, t - d, ..., t - (k - 1) d, and zeros before the beginning: it is a
    linear map of these side by side.

    Args:
        hidden: channels of h; the bottleneck has half of them.
        size, dilation: k and d.
    """

    def __init__(self, hidden: int, size: int, dilation: int):
        super().__init__()
        inner = max(1, hidden // 2)
        self.size, self.dilation = size, dilation
        self.narrow = nn.Linear(hidden, inner)
        self.conv = nn.Linear(size * inner, inner)
        self.wide = nn.Linear(inner, hidden)

    @property
    def reach(self) -> int:
        """How many earlier positions it needs."""
        return (self.size - 1) * self.dilation

    def forward(self, h: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(n, T, hidden) to the same, and the bottleneck's last `reach` inputs, (n, reach, inner):
        given as `before`, they let the next call go on from here.
        """
        a = torch.relu(self.narrow(torch.relu(h)))
        if before is None:
            before = a.new_zeros(len(a), self.reach, a.shape[-1])
        a, T = torch.cat([before, a], 1), h.shape[1]
        seen = [a[:, self.reach - j * self.dilation :][:, :T] for j in range(self.size)]
        h = h + self.wide(torch.relu(self.conv(torch.cat(seen, -1))))
        return h, a[:, a.shape[1] - self.reach :]


class DilatedNet(SentenceNet):
    """A network for `Sequence` that sees a fixed number of words back: [e(x_{t-1}), z] at each
    position, 1 x 1, `DilatedBlock`s, 1 x 1.

    Args:
        symbols, given_dim, embedding, keep, length: as for `sentence_vae.SentenceNet`.
        hidden: channels.
        dilations: one for each block; () for none: then a word is given the one before it alone.
        size: k, the width of the convolutions.
    """

    def __init__(
        self,
        symbols: int,
        given_dim: int = 0,
        embedding: int = 64,
        hidden: int = 128,
        dilations: tuple[int, ...] = (1, 2, 4),
        size: int = 3,
        keep: float = 1.0,
        length: int = 60,
    ):
        check_whole(hidden=hidden, size=size)
        for dilation in dilations:
            check_whole(dilations=dilation)
        super().__init__(symbols, given_dim, embedding, keep, length)
        self.receptive_field = receptive_field(size, dilations)
        self.first = nn.Linear(embedding + given_dim, hidden)
        self.blocks = nn.ModuleList([DilatedBlock(hidden, size, d) for d in dilations])
        self.head = nn.Linear(hidden, symbols)

    def read(self, inputs: Tensor, given: Tensor | None = None) -> Tensor:
        """One vector for each position, of what is read before each symbol: (n, T)."""
        return self._through(self.embedded(inputs, given), [None] * len(self.blocks))[0]

    def start(self, given: Tensor | None, n: int) -> tuple[Tensor, ...]:
        """The state before the first symbol, one row for each sequence: z, and what each block
        keeps of the positions before, zeros.
        """
        like = self.head.weight
        given = like.new_zeros(n, 0) if given is None else given
        kept = [like.new_zeros(n, b.reach, b.narrow.out_features) for b in self.blocks]
        return given, *kept

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits of the next symbol after x, (n,), and the state with x read."""
        given, *before = state
        h, before = self._through(self.embedded(self.heard(x)[:, None], given), before)
        return self.head(h[:, 0]), (given, *before)

    def _through(self, e: Tensor, before: list) -> tuple[Tensor, list[Tensor]]:
        h, after = self.first(e), []
        for block, kept in zip(self.blocks, before, strict=True):
            h, kept = block(h, kept)
            after.append(kept)
        return torch.relu(h), after


class DilatedTextVAE(LatentVariableModel):
    """The `SentenceVAE` with a `DilatedNet` for its decoder, and nothing else exchanged.

    Args:
        symbols, latent_dim, embedding, hidden, keep, length: as for `SentenceVAE`.
        dilations, size: as for `DilatedNet`.
        cell: of the encoder, "gru" or "lstm".
    """

    def __init__(
        self,
        symbols: int,
        latent_dim: int = 16,
        embedding: int = 64,
        hidden: int = 128,
        dilations: tuple[int, ...] = (1, 2, 4),
        size: int = 3,
        cell: str = "gru",
        keep: float = 1.0,
        length: int = 60,
    ):
        check_whole(latent_dim=latent_dim)
        decoder = DilatedNet(symbols, latent_dim, embedding, hidden, dilations, size, keep, length)
        super().__init__(
            StandardGaussian(latent_dim),
            GaussianConditional(SentenceReader(symbols, 2 * latent_dim, embedding, hidden, cell)),
            SequenceConditional(decoder),
        )
