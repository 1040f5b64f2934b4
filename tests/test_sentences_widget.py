"""The slider between two sentences: its Python half, what it sends, what it refuses, the picture. The
other half is tested in tests/browser.
"""

import json

import matplotlib.pyplot as plt
import pytest
import torch

from dgmcourse.data.text import Vocabulary
from dgmcourse.models.sentence_vae import SentenceVAE
from dgmcourse.widgets.sentences import between, changed, codes, sentence_picture, sentence_slider

WORDS = Vocabulary(["a", "dog", "cat", "runs", "sleeps", "."])
SAID = ["a dog runs.", "a cat sleeps.", "cat dog a."]


@pytest.fixture
def model():
    torch.manual_seed(3)
    model = SentenceVAE(len(WORDS), 2, 4, 6, length=6)
    for p in model.parameters():
        p.data *= 3
    return model.eval()


def test_each_pair_has_its_path_from_the_one_to_the_other(model):
    spec = sentence_slider(model, WORDS, SAID, points=4, start=(2, 0))._spec
    assert spec["sentences"] == SAID and set(spec["paths"]) == {"0 1", "0 2", "1 2"}
    assert (spec["points"], spec["start"]) == (4, [2, 0])
    z = codes(model, WORDS, SAID)
    for pair, path in spec["paths"].items():
        i, j = map(int, pair.split())
        texts = [spec["texts"][k] for k in path]
        assert texts == between(model, WORDS, z[i : i + 1], z[j : j + 1], 4)[0]
        ends = WORDS.decode(model.decoder(z[[i, j]]).likeliest(5))
        assert [texts[0], texts[-1]] == ends
    json.dumps(spec)  # it is text


def test_changed_words_are_those_outside_the_longest_common_row():
    assert changed("a dog runs", "a cat runs") == [False, True, False]
    assert changed("a dog runs", "a dog runs") == [False] * 3
    assert changed("", "a b") == [True, True]
    assert changed("b a c", "a b c") in ([True, False, False], [False, True, False])


def test_what_has_no_path_is_refused(model):
    with pytest.raises(ValueError, match="two sentences and points at least, got 1 and 11"):
        sentence_slider(model, WORDS, SAID[:1])
    with pytest.raises(ValueError, match="got 3 and 1"):
        sentence_slider(model, WORDS, SAID, points=1)
    with pytest.raises(ValueError, match=r"does not know: \['bird'\]"):
        sentence_slider(model, WORDS, [*SAID, "a bird runs"])
    with pytest.raises(ValueError, match="expected a word in every sentence"):
        sentence_slider(model, WORDS, [*SAID, " "])


def test_the_picture_has_both_sentences_and_all_between(model):
    spec = sentence_slider(model, WORDS, SAID, points=3, start=(1, 0))._spec
    fig = sentence_picture(spec)
    texts = [t.get_text() for t in fig.axes[0].texts]
    assert SAID[1] == texts[0] and SAID[0] == texts[-1]
    way = [spec["texts"][k] for k in spec["paths"]["0 1"]][::-1]
    assert [t for t in texts[1:-1] if not t.startswith(("0.", "1."))] == way
    plt.close(fig)
