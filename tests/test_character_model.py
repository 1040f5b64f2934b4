"""The character model against the recursion of Witten & Bell written out in fractions, context by
context.
"""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from oracles import close, oracle_tests

from dgmcourse.models import character_model
from dgmcourse.models.character_model import CharacterModel

TEXT = "abracadabra, a cadabra: abba!"
OTHER = "a bad cab, dabbabra!"
ALPHABET = "".join(sorted(set(TEXT + OTHER + "z")))


def exactly(text: str, context: str, character: str, order: int) -> Fraction:
    """p_n(c | h) by counting in the string itself."""
    if order < 0:
        return Fraction(1, len(ALPHABET))
    h = context[len(context) - order :] if order else ""
    lower = exactly(text, context, character, order - 1)
    if len(h) < order:
        return lower
    followers = [text[i + order] for i in range(len(text) - order) if text[i : i + order] == h]
    N, T = len(followers), len(set(followers))
    return (followers.count(character) + T * lower) / Fraction(N + T) if N else lower


def check_conditionals(module):
    for order in (0, 1, 2, 4):
        model = module.CharacterModel(order, ALPHABET).fit(TEXT)
        found = model.log_conditionals(OTHER).exp()
        expected = [float(exactly(TEXT, OTHER[:t], OTHER[t], order)) for t in range(len(OTHER))]
        close(found, torch.tensor(expected, dtype=torch.float64))


def check_probabilities(module):
    for order, context in itertools.product(
        (0, 1, 3), ("", "a", "ab", "zzz", "abra", "cadab", "za")
    ):
        model = module.CharacterModel(order, ALPHABET).fit(TEXT)
        expected = [float(exactly(TEXT, context, c, order)) for c in ALPHABET]
        close(model.probabilities(context), torch.tensor(expected, dtype=torch.float64))


def check_draws(module):
    torch.manual_seed(0)
    model = module.CharacterModel(2, ALPHABET).fit(TEXT)
    for start in ("ab", "zz", "a", ""):
        n = 3000
        drawn = "".join(model.sample(1, start)[len(start) :] for _ in range(n))
        p = model.probabilities(start)
        share = torch.tensor([drawn.count(c) / n for c in ALPHABET], dtype=torch.float64)
        assert ((share - p).abs() < 4.5 * (p * (1 - p) / n).sqrt() + 1e-9).all()


MUTANTS = {
    check_conditionals: """
        (N_hc + T_h * p) / (N_h + T_h) => (N_hc + p) / (N_h + 1)
        (torch.arange(len(codes)) >= n) => (torch.arange(len(codes)) >= 0)
        self._grams(codes, n)[n:] => self._grams(codes, n)
        index_add_(0, inverse, follows) => index_add_(0, inverse, torch.ones_like(follows))
        self.V**back => self.V**(back - 1)
    """,
    check_probabilities: """
        p = varied * p => p = p
        (h + 1) * self.V => h * self.V + 1
        in reversed(longest_first) => in longest_first
    """,
    check_draws: """
        * (counts.sum() + varied) - varied => * counts.sum()
        (counts.cumsum(0) > u) => (counts.cumsum(0) > u / 2)
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((character_model, MUTANTS))


def test_probabilities_sum_to_one_after_any_context():
    model = CharacterModel(3, ALPHABET).fit(TEXT)
    for length in range(5):
        for i in range(len(OTHER) - length):
            close(
                model.probabilities(OTHER[i : i + length]).sum(),
                torch.tensor(1.0, dtype=torch.float64),
            )


def test_the_probability_of_all_texts_of_a_length_sums_to_one():
    model = CharacterModel(2, "abc").fit("abcab baca".replace(" ", "c"))
    total = sum(model.log_prob("".join(text)).exp() for text in itertools.product("abc", repeat=5))
    close(total, torch.tensor(1.0, dtype=torch.float64))


def test_log_prob_sums_the_conditionals_and_bits_are_their_mean():
    model = CharacterModel(2, ALPHABET).fit(TEXT)
    expected = sum(
        math.log(model.probabilities(OTHER[:t])[ALPHABET.index(c)]) for t, c in enumerate(OTHER)
    )
    assert model.log_prob(OTHER).item() == pytest.approx(expected)
    assert model.log_prob(OTHER).shape == ()
    assert model.bits_per_character(OTHER) == pytest.approx(-expected / len(OTHER) / math.log(2))


def test_a_shorter_one_is_the_model_fitted_with_that_order():
    long = CharacterModel(4, ALPHABET).fit(TEXT)
    for order in range(5):
        close(
            long.shorter(order).log_conditionals(OTHER),
            CharacterModel(order, ALPHABET).fit(TEXT).log_conditionals(OTHER),
        )


def test_the_longest_order_fits_into_its_numbers():
    alphabet = "".join(chr(i) for i in range(127))
    text = "".join(chr(int(i)) for i in torch.randint(127, (300,))) + chr(126) * 20
    model = CharacterModel(8, alphabet).fit(text)
    assert model.tables[-1][0].min() >= 0 and (model.tables[-1][0].diff() > 0).all()
    close(model.probabilities(chr(126) * 8).sum(), torch.tensor(1.0, dtype=torch.float64))
    assert model.probabilities(chr(126) * 8).argmax() == 126


def test_samples_begin_as_asked_and_repeat_with_the_seed():
    model = CharacterModel(3).fit(TEXT * 3)
    torch.manual_seed(1)
    first = model.sample(50, "abra")
    torch.manual_seed(1)
    assert first == model.sample(50, "abra") and first.startswith("abra") and len(first) == 54
    assert set(first) <= set(TEXT)


def test_what_does_not_fit_is_said_in_words():
    with pytest.raises(ValueError, match="twice"):
        CharacterModel(1, "aab")
    with pytest.raises(ValueError, match="empty text"):
        CharacterModel(1).fit("abc").bits_per_character("")
    with pytest.raises(ValueError, match="counted nothing yet"):
        CharacterModel(1, "ab").log_prob("ab")
    with pytest.raises(ValueError, match="not in the model's alphabet: 'z'"):
        CharacterModel(1).fit("abc").log_prob("abz")
    with pytest.raises(ValueError, match="too few"):
        CharacterModel(3).fit("abc")
    with pytest.raises(ValueError, match="at most 127"):
        CharacterModel(1).fit("".join(chr(i) for i in range(200)))
    with pytest.raises(ValueError, match="counted up to order 1"):
        CharacterModel(1).fit("abc").shorter(2)
