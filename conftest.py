"""Time limits for a busy machine, for pytest on tests/ and on notebooks/: slow is not broken.

A limit is for an idle machine. A fixed piece of work is timed at the start and once a minute, and
the limits are multiplied by how much longer it takes than on an idle machine.
"""

import os
import time

import pytest
import torch

REFERENCE = 0.15  # seconds that `work` takes on an idle core
LARGEST = 8  # times a limit; a machine that is slower still is of no use for tests
BUSY = 2  # from here on, threads that wait for each other cost more than they bring
MINUTE = 60

slowness = measured_at = None


def work() -> None:
    """Do a fixed piece of work in torch and in Python, in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(4):
        x = torch.full((200, 200), 0.01)
        for _ in range(100):
            x = torch.tanh(x @ x)
        sum(i * i for i in range(200_000))
    torch.set_num_threads(threads)


def measure() -> float:
    """How many times as long as on an idle machine `work` takes, from 1 to LARGEST; measured at
    most once a minute.
    """
    global slowness, measured_at
    if measured_at is None or time.monotonic() - measured_at > MINUTE:
        began = time.perf_counter()
        work()
        slowness = min(max((time.perf_counter() - began) / REFERENCE, 1.0), LARGEST)
        measured_at = time.monotonic()
    return slowness


def pytest_configure(config):
    os.environ["DGMCOURSE_PROGRESS"] = ""  # the notes of what a student tried are not of tests
    if measure() > BUSY:  # for the kernels and the other processes that tests start
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    config.limit_of_a_cell = getattr(config.option, "nbval_cell_timeout", None)


def pytest_report_header():
    return f"time limits: {slowness:.1f} times those of an idle machine; measured once a minute"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    config, times = item.config, measure()
    if not item.get_closest_marker("timeout"):
        item.add_marker(pytest.mark.timeout(times * float(config.getini("timeout"))))
    if config.limit_of_a_cell:
        config.option.nbval_cell_timeout = times * config.limit_of_a_cell
    return (yield)


def pytest_terminal_summary(terminalreporter):
    failed = terminalreporter.getreports("failed") + terminalreporter.getreports("error")
    late = [report.nodeid for report in failed if "Timeout" in str(report.longrepr)]
    if late:
        terminalreporter.section("time limits")
        terminalreporter.write_line(
            f"{len(late)} ran longer than their limit, on a machine that took {slowness:.1f} times"
            f" as long as an idle one ({LARGEST} at most are allowed for). Cells that come after one"
            " in its notebook were skipped. Run these alone when the machine is idle: what passes"
            " then was slow, not broken."
        )
        for nodeid in late:
            terminalreporter.write_line(f"  {nodeid}")
