"""The tests on each Python, with the oldest, the pinned and the newest packages: `make matrix`.

    make matrix                               all routes: 3.11-oldest, 3.11-pinned, ..., colab
    make matrix ARGS="3.11-oldest colab"      these; without a number, on the Python of .venv
    make matrix ARGS="--quick oldest newest"  a part of the tests, in about a minute each: what CI runs

"oldest" are the lower bounds of pyproject.toml (of a package without a wheel for this Python, the
first that has one), "newest" is what the registry offers today, with the newest of what these
depend on. "colab" are the newest with ipywidgets 7.7, as Google Colab has it. Browser tests,
notebooks, slides and the set-up are left to `make test`.

Each route gets an environment in .venv-matrix, which is removed after it. The Pythons are those that
uv finds or fetches: a route whose Python is missing counts as failed.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".venv-matrix"
PYTHONS = ("3.11", "3.12", "3.13")
PACKAGES = ("oldest", "pinned", "newest")
COLAB, COLABS_PYTHON = "ipywidgets==7.7.1", "3.12"
# Tests of what does not depend on the packages' versions, or needs the pinned ones.
LEFT_OUT = "test_build.py test_badges.py test_notebooks.py test_setup.py test_slides.py".split()
QUICK = "imports contract train weights files latent_widget quiz_widget".split()


def run(*command, **more) -> bool:
    """Run a command in the repository; whether it succeeded."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return (
        subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, **more).returncode == 0
    )


def route_of(name: str) -> tuple[str, str]:
    """The Python and the packages of a route's name; a ValueError lists the names."""
    python, _, packages = name.rpartition("-")
    if not python:
        here = ".".join(platform.python_version_tuple()[:2])
        python = COLABS_PYTHON if name == "colab" else here
    if python not in PYTHONS or packages not in (*PACKAGES, "colab"):
        raise ValueError(
            f"there is no route {name!r}: say PYTHON-PACKAGES, of {', '.join(PYTHONS)} and"
            f" {', '.join(PACKAGES)}, or colab"
        )
    return python, packages


def install(python: str, packages: str, place: Path) -> str:
    """Make the environment of a route; what went wrong, or nothing."""
    uv, inside = Path(sys.executable).with_name("uv"), place / "bin" / "python"
    if not run(uv, "venv", "--quiet", "--clear", "--python", python, place):
        return f"no Python {python}: install it, or let uv fetch it"
    pins = ROOT / "requirements.txt"
    if packages != "pinned":
        pins, overrides = place / "requirements.txt", place / "overrides.txt"
        overrides.write_text(COLAB if packages == "colab" else "")  # against the lower bound
        resolution = "lowest-direct" if packages == "oldest" else "highest"
        asked = ["--python", inside, "--resolution", resolution, "--only-binary", ":all:"]
        asked += ["--override", overrides, "--extra", "test", "pyproject.toml", "-o", pins]
        if not run(uv, "pip", "compile", "--quiet", *asked):
            return "no set of packages fits together (see above)"
    done = run(uv, "pip", "install", "--quiet", "--python", inside, "-r", pins)
    course = ["--no-deps", "--no-build-isolation", "-e", "."]
    done = done and run(uv, "pip", "install", "--quiet", "--python", inside, *course)
    return "" if done else "the packages could not be installed (see above)"


def tests(packages: str, quick: bool) -> list[Path]:
    """The files of tests that a route runs."""
    folder = ROOT / "tests"
    if quick:
        return [folder / f"test_{name}.py" for name in QUICK]
    if packages == "colab":
        return sorted(folder.glob("test_*widget*.py"))
    return sorted(path for path in folder.glob("test_*.py") if path.name not in LEFT_OUT)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make matrix")
    parser.add_argument("routes", nargs="*", metavar="ROUTE")
    parser.add_argument("--quick", action="store_true", help="a part of the tests")
    options = parser.parse_args(arguments)
    everything = [f"{python}-{packages}" for python in PYTHONS for packages in PACKAGES] + ["colab"]
    try:
        routes = {name: route_of(name) for name in options.routes or everything}
    except ValueError as error:
        parser.error(str(error))
    results = {}
    for name, (python, packages) in routes.items():
        print(f"\n==== {name}", flush=True)
        place, began = PLACE / name, time.monotonic()
        wrong = install(python, packages, place)
        installed = time.monotonic()
        if not wrong:
            command = [place / "bin" / "python", "-m", "pytest", "-q", "-m", "not browser"]
            command += ["-p", "no:cacheprovider", *tests(packages, options.quick)]
            wrong = "" if run(*command) else "tests failed (see above)"
        shutil.rmtree(place, ignore_errors=True)  # there may be none
        times = f"installed in {installed - began:.0f} s, tested in {time.monotonic() - installed:.0f} s"
        results[name] = wrong, times
    shutil.rmtree(PLACE, ignore_errors=True)
    print()
    for name, (wrong, times) in results.items():
        print(f"{name:14}{wrong or 'passed':60}{times}")
    return 1 if any(wrong for wrong, _ in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
