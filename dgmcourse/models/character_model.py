r"""Text as a chain of conditional probabilities: p(text) = prod_t p(c_t | the n characters before).

Slides: "Sequence generation". Counts of n-grams, interpolated after Witten & Bell, The
Zero-Frequency Problem, 1991.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from dgmcourse.densities import check_shape
from dgmcourse.settings import check_whole


class CharacterModel:
    r"""An interpolated n-gram model over characters.

    $$p_n(c \mid h) = \frac{N(hc) + T(h)\, p_{n-1}(c \mid h')}{N(h) + T(h)}, \qquad p_{-1}(c) = 1/V$$

    h are the last n characters, h' the last n - 1; N(hc) counts how often c followed h, N(h) how
    often anything did, T(h) how many different characters did. The more different characters have
    followed h, the more probability is left for new ones. At the beginning of a text, where fewer
    than n characters precede, the shorter context is used.

    It is no `Density`: an event is a text of any length, a str.

    Args:
        order: n, the number of characters the next one depends on, from 0 to 8.
        alphabet: the V characters there are; those of the training text by default.
    """

    def __init__(self, order: int, alphabet: str | None = None):
        check_whole(0, 8, order=order)  # 9 characters of 127 fill the 63 bits of a whole number
        if len(set(alphabet or "")) != len(alphabet or ""):
            raise ValueError("the alphabet has a character twice")
        self.order, self.alphabet, self.tables = order, alphabet, []

    def fit(self, text: str) -> "CharacterModel":
        """Count the n-grams of a text, for each n <= order.

        A table holds them as sorted numbers, with N(hc), and their contexts h, with N(h) and T(h).
        """
        self.alphabet = self.alphabet or "".join(sorted(set(text)))
        if len(self.alphabet) > 127:
            raise ValueError(
                f"an alphabet has at most 127 characters, this one {len(self.alphabet)}"
            )
        codes = self.encode(text)
        if len(codes) <= self.order:
            raise ValueError(
                f"{len(codes)} characters are too few to count contexts of {self.order}"
            )
        self.tables = []
        for n in range(self.order + 1):
            grams, follows = self._grams(codes, n)[n:].unique(return_counts=True)
            context, inverse, types = (grams // self.V).unique_consecutive(
                return_inverse=True, return_counts=True
            )
            total = torch.zeros_like(context).index_add_(0, inverse, follows)
            self.tables.append((grams, follows, context, total, types))
        return self

    def shorter(self, order: int) -> "CharacterModel":
        """The model of a lower order from the same counts."""
        model = CharacterModel(order, self.alphabet)
        if order > self.order:
            raise ValueError(f"counted up to order {self.order}, asked for {order}")
        model.tables = self.tables[: order + 1]
        return model

    def log_conditionals(self, text: str) -> Tensor:
        """log p(c_t | the characters before), for each character of the text: (T,), nats."""
        codes = self.encode(text)
        p = torch.full((len(codes),), 1 / self.V, dtype=torch.float64)
        for n, (grams, follows, context, total, types) in enumerate(self._counted()):
            gram = self._grams(codes, n)
            N_hc = look_up(gram, grams, follows)
            N_h, T_h = (look_up(gram // self.V, context, counts) for counts in (total, types))
            mixed = (N_hc + T_h * p) / (N_h + T_h)
            p = torch.where((N_h > 0) & (torch.arange(len(codes)) >= n), mixed, p)
        return p.log()

    def log_prob(self, text: str) -> Tensor:
        """log p(text) = sum_t log p(c_t | c_{t-n}, ..., c_{t-1}): (), nats."""
        return self.log_conditionals(text).sum()

    def bits_per_character(self, text: str) -> float:
        """-log2 p(text) / its length, which an ideal compressor would reach with this model."""
        if not text:
            raise ValueError("an empty text has no bits per character")
        return -self.log_conditionals(text).mean().item() / math.log(2)

    def probabilities(self, context: str) -> Tensor:
        """p(c | context) for each character of the alphabet: (V,).

        Only the last `order` characters of the context matter.
        """
        p = torch.full((self.V,), 1 / self.V, dtype=torch.float64)
        longest_first = [*self._followers(self.encode(context).tolist())]
        for characters, counts, varied in reversed(longest_first):
            p = varied * p
            p[characters] += counts
            p = p / (counts.sum() + varied)
        return p

    def sample(self, length: int, start: str = "") -> str:
        """Draw `length` characters, each given those before it, and return them after `start`.

        p_n is a mixture: with probability N / (N + T) the next character is one of those that
        followed the longest context, with T / (N + T) it is drawn by the next shorter context.
        """
        (length,) = check_shape(length)
        codes = self.encode(start).tolist()
        for _ in range(length):
            code = torch.randint(self.V, ()).item()  # of order -1, if no context decides
            for characters, counts, varied in self._followers(codes):
                u = torch.rand(()) * (counts.sum() + varied) - varied
                if u >= 0:
                    code = characters[(counts.cumsum(0) > u).int().argmax()].item()
                    break
            codes.append(code)
        return "".join(self.alphabet[code] for code in codes)

    def encode(self, text: str) -> Tensor:
        """The characters' places in the alphabet: (T,)."""
        place = {character: i for i, character in enumerate(self.alphabet or "")}
        if missing := sorted(set(text) - set(place)):
            raise ValueError(f"not in the model's alphabet: {' '.join(map(repr, missing[:5]))}")
        return torch.tensor([place[character] for character in text], dtype=torch.int64)

    @property
    def V(self) -> int:
        return len(self.alphabet)

    def _followers(self, codes: list[int]) -> Iterator[tuple[Tensor, Tensor, int]]:
        """What followed the last n of `codes` in the text, for n = order, ..., 0.

        Yields characters, N(hc) and T(h), where n characters were seen.
        """
        tables = self._counted()[: len(codes) + 1]
        for n in range(len(tables) - 1, -1, -1):
            h = sum(code * self.V**i for i, code in enumerate(reversed(codes[len(codes) - n :])))
            grams, follows, *_ = tables[n]
            ends = torch.tensor([h * self.V, (h + 1) * self.V])
            first, last = torch.searchsorted(grams, ends).tolist()
            if first < last:
                yield grams[first:last] % self.V, follows[first:last], last - first

    def _counted(self) -> list:
        if not self.tables:
            raise ValueError("the model has counted nothing yet: fit(text) first")
        return self.tables

    def _grams(self, codes: Tensor, n: int) -> Tensor:
        """Each character with the n before it as one number, (T,); the first n are incomplete."""
        number = codes.clone()
        for back in range(1, n + 1):
            number[back:] += codes[: max(0, len(codes) - back)] * self.V**back
        return number


def look_up(keys: Tensor, sorted_keys: Tensor, values: Tensor) -> Tensor:
    """The value of each key in a sorted table, 0 where there is none."""
    at = torch.searchsorted(sorted_keys, keys).clamp_max(len(sorted_keys) - 1)
    return torch.where(sorted_keys[at] == keys, values[at], 0)
