"""How much memory and time a class needs: kernels at once, each running a notebook's first cells.

    .venv-hub/bin/python tools/hub/measure.py --kernels 20                the cells before the first
                                                                          exercise of 07
    .venv-hub/bin/python tools/hub/measure.py --kernels 2 --whole         all of it, side by side

Of each kernel, in megabytes: resident (RSS), of which shared with other processes, and proportional
(PSS), in which what n processes share counts 1/n each: only these may be added. And the seconds of
a core that it took, which other work on the machine does not change much. Linux only.
"""

import argparse
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from jupyter_client.manager import start_new_kernel

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def megabytes(pid: int) -> dict[str, float]:
    """What the kernel says of a process's memory."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    kb = {name: int(n) for name, n in re.findall(r"^(\w+): +(\d+) kB", text, flags=re.M)}
    shared = kb["Shared_Clean"] + kb["Shared_Dirty"]
    return {"RSS": kb["Rss"] / 1024, "shared": shared / 1024, "PSS": kb["Pss"] / 1024}


def core_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cells(notebook: str, whole: bool) -> list[str]:
    """The code of a notebook's cells, up to its first exercise or all of it."""
    (path,) = NOTEBOOKS.glob(f"{notebook}*.ipynb")
    code = []
    for cell in nbformat.read(path, 4).cells:
        if not whole and "exercise" in cell.metadata.get("tags", []):
            break
        if cell.cell_type == "code":
            code.append(cell.source)
    return code


class Kernel:
    def __init__(self, folder: Path):
        self.manager, self.client = start_new_kernel(
            cwd=str(folder), startup_timeout=600, extra_arguments=["--IPKernelApp.log_level=ERROR"]
        )
        self.pid = self.manager.provisioner.pid

    def run(self, code: list[str]) -> None:
        for source in code:
            reply = self.client.execute_interactive(
                source, output_hook=lambda _: None, timeout=3600
            )
            if reply["content"]["status"] != "ok":
                raise SystemExit(f"a cell failed: {reply['content']['evalue']}")

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--kernels", type=int, default=20)
    parser.add_argument("--notebook", default="07")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument(
        "--at-a-time", type=int, default=os.cpu_count(), help="kernels that compute"
    )
    asked = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "DGMCOURSE_PROGRESS": ""}
    code, kernels, began = cells(asked.notebook, asked.whole), [], time.perf_counter()

    def one(_):
        kernel = Kernel(NOTEBOOKS)
        kernels.append(kernel)
        kernel.run(code)

    try:
        with ThreadPoolExecutor(asked.at_a_time) as pool:
            list(pool.map(one, range(asked.kernels)))
        took, found = time.perf_counter() - began, [megabytes(kernel.pid) for kernel in kernels]
        seconds = [core_seconds(kernel.pid) for kernel in kernels]
    finally:
        for kernel in kernels:
            kernel.close()
    mean = {key: sum(row[key] for row in found) / len(found) for key in found[0]}
    print(
        f"{len(kernels)} kernels, {asked.notebook}{' whole' if asked.whole else ''}: {took:.0f} s"
    )
    print("each " + ", ".join(f"{key} {value:.0f} MB" for key, value in mean.items()))
    print(f"together (PSS) {sum(row['PSS'] for row in found) / 1024:.1f} GB")
    print(f"each {sum(seconds) / len(seconds):.0f} s of a core")


if __name__ == "__main__":
    main()
