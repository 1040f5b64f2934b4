"""What a setting may be, checked once, where it is given.

The sentence is the same everywhere: "clip: expected a positive number or None, got -1".
"""

import math
from numbers import Integral, Real


def check_whole(
    least: int | None = 1, most: int | None = None, /, *, none: bool = False, **settings
) -> None:
    """Raise a ValueError unless each setting is a whole number in the range, or None where it may.

    >>> check_whole(epochs=3, batch_size=100)
    """
    check_range(settings, Integral, none, least=least, most=most)


def check_number(
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    none: bool = False,
    **settings,
) -> None:
    """Raise a ValueError unless each setting is a finite number in the range, or None where it may.

    >>> check_number(above=0, none=True, clip=None)
    """
    check_range(settings, Real, none, least=least, above=above, most=most, below=below)


def check_interval(*, none: bool = False, **settings) -> None:
    """Raise a ValueError unless each setting is a smaller and a larger number, or None where it
    may.
    """
    for name, value in settings.items():
        pair = isinstance(value, tuple | list) and len(value) == 2
        if not (none and value is None) and not (pair and value[0] < value[1]):
            raise ValueError(
                f"{name}: expected a smaller number and a larger one{' or None' * none}, got"
                f" {value!r}"
            )


def check_range(
    settings: dict,
    kind: type,
    none: bool,
    least: float | None,
    most: float | None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """What `check_whole` and `check_number` have in common."""
    for name, value in settings.items():
        if none and value is None:
            continue
        if not (
            isinstance(value, kind)
            and not isinstance(value, bool)
            and abs(value) < math.inf  # nor is NaN
            and (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
            and (below is None or value < below)
        ):
            whole = "whole " * (kind is Integral)
            if most is None and below is None and (above == 0 or (whole and least == 1)):
                expected = f"a positive {whole}number"
            else:
                limits = {"of at least": least, "above": above, "at most": most, "below": below}
                said = [f"{words} {n}" for words, n in limits.items() if n is not None]
                expected = f"a {whole}number {' and '.join(said)}".strip()
            raise ValueError(f"{name}: expected {expected}{' or None' * none}, got {value!r}")
