"""How everything here is timed: the rivals take turns, and it is the ratio within a turn that
counts.

Whatever else the machine does then slows all of them alike. Each row has the ratio of wall-clock
times (which the goals are about) and that of processor seconds (which another program's share of
the processor does not enter).
"""

import contextlib
import os
import statistics
import time
from collections.abc import Callable

import torch

Times = dict[
    str, list[tuple[float, float]]
]  # for each rival, its (wall, processor) seconds in each round


def turns(rivals: dict[str, Callable[[], object]], rounds: int, cuda: bool = False) -> Times:
    """Run A B C A B C ..., and one round before, which is not counted."""
    times = {name: [] for name in rivals}
    for _ in range(rounds + 1):
        for name, run in rivals.items():
            if cuda:
                torch.cuda.synchronize()
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            if cuda:
                torch.cuda.synchronize()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: ts[1:] for name, ts in times.items()}


def ratio_row(
    what: str, times: Times, above: str, below: str, goal: str | None = None, repeats=1
) -> dict:
    """One row of a table: both medians, and time(above) / time(below) round by round.

    Args:
        goal: "<= 1.5" or ">= 2", held against the median ratio of wall-clock times.
        repeats: how often a timed run did the thing, to quote the seconds of one.
    """
    both = list(zip(times[above], times[below], strict=True))
    wall, cpu = ([a[i] / b[i] for a, b in both] for i in (0, 1))
    medians = [statistics.median(t[0] for t in times[name]) / repeats for name in (above, below)]
    return {
        "what": what,
        "compared": f"{above} / {below}",
        "time": " / ".join(map(seconds, medians)),
        "ratio (quartiles)": spread(wall),
        "ratio of processor seconds": spread(cpu),
        "rounds": str(len(both)),
        "goal": judged(statistics.median(wall), goal),
    }


def seconds(t: float) -> str:
    return f"{t:.2f} s" if t >= 1 else f"{1e3 * t:.3g} ms"


def spread(ratios: list[float]) -> str:
    """The median and, in brackets, the quartiles between which the middle half lies."""
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"**{middle:.2f}** ({low:.2f} to {high:.2f})"


def judged(value: float, goal: str | None) -> str:
    if goal is None:
        return ""
    sign, bound = goal.split()
    met = value <= float(bound) if sign == "<=" else value >= float(bound)
    return f"{'at most' if sign == '<=' else 'at least'} {bound}: {'met' if met else 'not met'}"


@contextlib.contextmanager
def hushed():
    """Progress bars are drawn, since they belong to the cost, but nobody sees them."""
    with (
        open(os.devnull, "w") as bin,
        contextlib.redirect_stdout(bin),
        contextlib.redirect_stderr(bin),
    ):
        yield
