"""How sure a measured number is: one rule for the whole course.

A finding rests on n independent repetitions of one unit: the seeds of a training, sets of labels, or
the test digits of one trained model. It is given with its two-sided 95 % interval: Student's t for
a mean, Clopper and Pearson's exact interval for a share, Newcombe's for an AUC. Where a table makes
several comparisons, each interval is widened so that all of them hold together with 95 % (Bonferroni).
A difference whose interval includes 0 is not shown.

An interval prints as its value and its limits, in any format of a number:

>>> gain = of_mean([0.9, 1.4, 1.0, 1.3], "seeds")
>>> f"{gain:+.2f} nats"
'+1.15 (+0.77 to +1.53) nats'
>>> gain.basis
'95 % interval, 4 seeds'
>>> gain.verdict("better", "worse")
'better'
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

LEVEL = 0.95  # that all intervals of one table hold


@dataclass(frozen=True)
class Interval:
    """A measured value with the limits of its interval.

    Args:
        n, of: how many repetitions, and of what: 5, "seeds".
        comparisons: of the table it stands in; the interval is widened for it.
    """

    value: float
    low: float
    high: float
    n: int
    of: str
    comparisons: int = 1

    def __format__(self, spec: str) -> str:
        if math.isnan(self.low):
            return f"{self.value:{spec}} (no interval)"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    @property
    def basis(self) -> str:
        """What the interval is: its level, the repetitions, the comparisons it is corrected for."""
        many = f", corrected for {self.comparisons} comparisons" if self.comparisons > 1 else ""
        return f"{LEVEL:.0%} interval, {self.n:,} {self.of}{many}".replace("%", " %")

    @property
    def shown(self) -> bool:
        """Whether a difference is shown: its interval does not include 0."""
        return self.low > 0 or self.high < 0

    def said(self, spec: str, unit: str = "") -> str:
        """A difference with its limits; behind one whose interval includes 0: "not shown"."""
        return f"{self:{spec}} {unit}".rstrip() + ("" if self.shown else ", not shown")

    def verdict(self, above: str, below: str, neither: str = "not shown") -> str:
        """The word for a difference that is above 0, below 0, or not shown to be either."""
        return (above if self.value > 0 else below) if self.shown else neither


def of_mean(values, of: str, comparisons: int = 1) -> Interval:
    """The mean of n independent values by Student's t. A paired difference: the mean of a - b.

    Args:
        values: (n,), a tensor, an array or a list. One value alone has no interval: nan.
        of: what is repeated, in the plural: "seeds", "digits".
        comparisons: how many of the table's intervals are to hold together.

    Raises:
        ValueError: without values.
    """
    values = np.asarray(values, dtype=float).ravel()
    if len(values) == 0:
        raise ValueError("expected at least one value to take the mean of, got none")
    n, mean = len(values), values.mean()
    if n == 1:
        return Interval(mean, math.nan, math.nan, n, of, comparisons)
    reach = stats.t.isf(_tail(comparisons), n - 1) * values.std(ddof=1) / n**0.5
    return Interval(mean, mean - reach, mean + reach, n, of, comparisons)


def of_difference(a, b, of: str, comparisons: int = 1) -> Interval:
    """mean(a) - mean(b) of two independent samples, whose variances may differ, by Welch's t.

    Where a and b were measured on the same seeds or digits, take `of_mean(a - b)`: it is narrower.
    """
    a, b = (np.asarray(v, dtype=float).ravel() for v in (a, b))
    if min(len(a), len(b)) < 2:
        raise ValueError(f"expected at least 2 values on each side, got {len(a)} and {len(b)}")
    level = 1 - 2 * _tail(comparisons)
    found = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
    n = min(len(a), len(b))
    return Interval(a.mean() - b.mean(), found.low, found.high, n, of, comparisons)


def of_share(hits: int, n: int, of: str, comparisons: int = 1) -> Interval:
    """The share of n independent trials that succeeded; exact, so that 0 of n and n of n have an
    interval, too (Clopper and Pearson 1934).
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"expected 0 <= hits <= n and n >= 1, got {hits} of {n}")
    level = 1 - 2 * _tail(comparisons)
    found = stats.binomtest(int(hits), int(n)).proportion_ci(level, method="exact")
    return Interval(hits / n, found.low, found.high, n, of, comparisons)


def of_auc(auc: float, positives: int, negatives: int, of: str, comparisons: int = 1) -> Interval:
    """The area under a ROC curve of so many positives and negatives, by Newcombe's method 5.

    The limits solve |auc - A| = z sqrt(V(A)) with Hanley and McNeil's variance V, so that an AUC of
    1 has an interval, too (Newcombe, Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic, part 2, 2006).
    """
    z, pairs = stats.norm.isf(_tail(comparisons)), positives * negatives
    half = (positives + negatives) / 2 - 1

    def excess(a: float) -> float:
        v = a * (1 - a) / pairs * (1 + half * ((1 - a) / (2 - a) + a / (1 + a)))
        return (auc - a) ** 2 - z**2 * v

    # At auc itself the excess is at most 0, and at an auc of 0 or 1 it is 0: start beside it.
    low = optimize.brentq(excess, 0, auc - 1e-9) if auc > 1e-8 else 0.0
    high = optimize.brentq(excess, auc + 1e-9, 1) if auc < 1 - 1e-8 else 1.0
    return Interval(auc, low, high, min(positives, negatives), of, comparisons)


def _tail(comparisons: int) -> float:
    return (1 - LEVEL) / 2 / comparisons
