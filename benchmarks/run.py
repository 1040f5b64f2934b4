"""Run the benchmarks and write benchmarks/RESULTS.md: `python benchmarks/run.py [NAME ...]
[--threads 1]`.

A benchmark is a file beside this one: its docstring's first line is the title, the rest says what
is compared, and `measure()` returns the table's rows (dictionaries, column to text) and a remark.
Only the sections that are run are written anew.
"""

import argparse
import importlib
import os
import platform
import re
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
NAMES = [
    "step",
    "epoch",
    "evaluation",
    "density_network",
    "gan",
    "vamp",
    "semi_supervised",
    "graphs",
    "text",
    "flows",
    "data",
    "imports",
    "widget",
    "gpu",
]
HEAD = """# Benchmarks

Written by `benchmarks/run.py`; `make bench` repeats all of it, `make bench ARGS="step epoch"` some. The
rivals take turns, A B A B; a ratio is that of the times within one turn: its median and, in brackets, the
quartiles. Goals are held against wall-clock times; processor seconds leave out what else the machine did.
"""


def table(rows: list[dict]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [
        columns,
        ["---"] * len(columns),
        *([row.get(column, "") for column in columns] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(threads: int) -> str:
    import torch

    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    cores = f"{os.cpu_count()} processor cores ({processor()}{load})"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{date.today()}: {cores}, {threads} thread{'s' * (threads > 1)}, {versions}, {data()}"


def processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def data() -> str:
    from timing import hushed

    from dgmcourse.data.images import mnist

    with hushed():
        return f"MNIST with {len(mnist(None).train):,} training digits."


def section(name: str, threads: int) -> str:
    module = importlib.import_module(name)
    title, _, text = module.__doc__.strip().partition("\n")
    rows, remark = module.measure()
    how = f"`python benchmarks/run.py {name}`, {machine(threads)}"
    return "\n\n".join(
        filter(None, [f"## {title}", text.strip(), table(rows) if rows else "", remark, how])
    )


def write(new: dict[str, str]) -> None:
    """Merge the new sections with those of the file, in the order of NAMES."""
    path = HERE / "RESULTS.md"
    old = re.split(r"^(?=## )", path.read_text(), flags=re.M)[1:] if path.exists() else []
    found = {re.search(r"run\.py (\w+)`", text)[1]: text.strip() for text in old} | new
    path.write_text(
        "\n\n".join([HEAD.strip(), *(found[name] for name in NAMES if name in found)]) + "\n"
    )


def main() -> None:
    there = [name for name in NAMES if (HERE / f"{name}.py").exists()]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(there)} (all)")
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch (1: the ratios are steadiest)"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(there):
        parser.error(
            f"no benchmark named {', '.join(sorted(unknown))}: there are {', '.join(there)}"
        )
    sys.path.insert(0, str(HERE.parent))
    import torch

    torch.set_num_threads(arguments.threads)
    for name in arguments.names or there:
        print(f"{name} ...", flush=True)
        text = section(name, arguments.threads)
        write({name: text})
        print(text, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
