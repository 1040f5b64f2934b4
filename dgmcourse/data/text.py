"""Text for models of sequences: prose that every Python brings along, so that nothing needs to be
fetched.
"""

import importlib.util
import re
from typing import NamedTuple

from dgmcourse.data.source import say


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
