"""Import

A fresh Python for each import, one after the other by turns; the clocks run in it, around the
import alone. `import dgmcourse` by itself loads nothing, so what a notebook's first cells ask for
is measured, too.
"""

import subprocess
import sys

from timing import ratio_row

ROUNDS = 15
RIVALS = {
    "torch": "import torch",
    "dgmcourse": "import dgmcourse",
    "fit, load, mnist, VAE": (
        "from dgmcourse import fit, load, mnist; from dgmcourse.models import VAE"
    ),
}
CLOCKS = """
from time import perf_counter, process_time
wall, cpu = perf_counter(), process_time()
{}
print(perf_counter() - wall, process_time() - cpu)
"""


def measure(rounds: int = ROUNDS) -> tuple[list[dict], str]:
    times = {name: [] for name in RIVALS}
    for _ in range(rounds + 1):
        for name, statement in RIVALS.items():
            command = [sys.executable, "-c", CLOCKS.format(statement)]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            times[name].append(tuple(map(float, printed.split())))
    times = {name: ts[1:] for name, ts in times.items()}  # the first round fills the caches
    return [ratio_row("import", times, name, "torch", "<= 1.1") for name in list(RIVALS)[1:]], ""
