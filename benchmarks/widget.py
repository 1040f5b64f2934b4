"""From a key press to its picture

The latent-space traversal at 40 dimensions, decoded in the browser, and `interact` with an inline
figure, in one notebook in JupyterLab; blocks of presses of the two alternate. "changed": until the
pixels are other ones; "shown": until the frame with them has been drawn. What is timed, and how:
benchmarks/latency.py.
"""

import re
import subprocess
import sys
from pathlib import Path

from timing import judged

FRAME = 16.7  # ms at 60 Hz


def measure() -> tuple[list[dict], str]:
    script = Path(__file__).with_name("latency.py")
    printed = subprocess.run(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    lines = [re.split(r"\s{2,}|\s(?=[\d.]+$)", line.strip()) for line in printed.splitlines()]
    heading, *rows = [line for line in lines if len(line) == 3]
    medians = {what: float(median) for what, median, _ in rows}
    ours = medians["traversal, 40 dimensions: changed"]
    interact = medians["interact, inline figure: changed"]
    rows = [dict(zip(["", "median", "95th percentile"], row, strict=True)) for row in rows]
    rows[0]["goal"] = judged(ours, f"<= {FRAME}")
    return (
        rows,
        f"In {heading[0]}. `interact` takes {interact / ours:.0f} times as long to change it.",
    )
