"""Intervals: against other formulas of the same intervals, and how often they hold the truth."""

import doctest

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from dgmcourse import intervals


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(intervals).failed == 0


def test_a_mean_has_the_interval_of_the_t_test():
    values = [2.1, 1.4, 3.3, 2.2, 0.9]
    found = intervals.of_mean(values, "seeds")
    right = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((right.low, right.high))
    assert found.value == pytest.approx(1.98)


def test_a_difference_is_shown_exactly_where_the_two_sided_test_rejects():
    rng = np.random.default_rng(0)
    for shift in np.linspace(0, 1, 30):
        a, b = rng.normal(shift, 1, 12), rng.normal(0, 2, 9)
        paired = intervals.of_mean(a[:9] - b, "seeds")
        assert paired.shown == (stats.ttest_rel(a[:9], b).pvalue < 0.05)
        two = intervals.of_difference(a, b, "seeds")
        assert two.shown == (stats.ttest_ind(a, b, equal_var=False).pvalue < 0.05)
        three = intervals.of_difference(a, b, "seeds", comparisons=3)
        assert three.shown == (stats.ttest_ind(a, b, equal_var=False).pvalue < 0.05 / 3)


def test_a_share_at_the_boundary_has_an_interval():
    # none of n: the upper limit u has (1 - u)^n = 0.025
    found = intervals.of_share(0, 20, "games")
    assert (found.low, (1 - found.high) ** 20) == pytest.approx((0, 0.025))
    inside = intervals.of_share(7, 20, "games")
    beta = stats.beta.ppf([0.025, 0.975], [7, 8], [14, 13])
    assert (inside.low, inside.high) == pytest.approx(tuple(beta))


def test_an_auc_of_one_has_an_interval_and_others_hold_the_truth():
    found = intervals.of_auc(1.0, 50, 50, "letters")
    assert 0.85 < found.low < 0.99 and found.high == 1
    turned = intervals.of_auc(0.0, 50, 50, "letters")
    assert (turned.low, turned.high) == pytest.approx((0, 1 - found.low))
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        a, b = rng.normal(1.5, 1, 40), rng.normal(0, 1, 60)
        auc = roc_auc_score(np.r_[np.ones(40), np.zeros(60)], np.r_[a, b])
        interval = intervals.of_auc(auc, 40, 60, "images")
        held += interval.low <= stats.norm.cdf(1.5 / 2**0.5) <= interval.high
    assert 0.92 * 300 < held < 0.99 * 300


def test_several_comparisons_hold_together():
    rng, held = np.random.default_rng(2), 0
    for _ in range(400):
        rows = [intervals.of_mean(rng.normal(0, 1, 5), "seeds", comparisons=8) for _ in range(8)]
        held += not any(row.shown for row in rows)
    assert held > 0.925 * 400  # uncorrected, 0.95^8 = 66 %


def test_one_value_has_no_interval_and_is_never_shown():
    found = intervals.of_mean([3.0], "seeds")
    assert not found.shown and f"{found:.1f}" == "3.0 (no interval)"
    assert found.verdict("better", "worse") == "not shown"
    assert found.said("+.1f") == "+3.0 (no interval), not shown"
    two = intervals.of_mean([1.0, 3.0], "seeds")
    assert two.said("+.0f") == "+2 (-11 to +15), not shown"
    assert intervals.of_mean([100.0, 102.0], "seeds").said("+.0f") == "+101 (+88 to +114)"


def test_what_has_no_interval_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        intervals.of_mean([], "seeds")
    with pytest.raises(ValueError, match="got 4 of 3"):
        intervals.of_share(4, 3, "games")
    with pytest.raises(ValueError, match="got 1 and 3"):
        intervals.of_difference([1], [1, 2, 3], "seeds")
