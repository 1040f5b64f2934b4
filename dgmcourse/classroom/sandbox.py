"""The command that starts a student's process apart from everything else, by what the operating
system has. docs/grading.md says what each does not hold back.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
SCRATCH = Path("/scratch-of-dgmcourse")  # within bubblewrap the only place to write
RUN = [sys.executable, "-m", "dgmcourse.classroom.student"]
KINDS = {  # what holds, and what does not
    "bwrap": "bubblewrap: no network, no file of yours",
    "unshare": "unshare: no network; it can read and write what you can. Install bubblewrap",
    "none": "none: a submission can do all that you can. Install bubblewrap (Linux)",
}
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/alternatives", "/etc/ld.so.cache")


def best() -> str:
    """The strongest kind that works here."""
    return next(kind for kind in KINDS if not refused(kind))


def refused(kind: str) -> str:
    """Why a kind does not work here, in its own last words; "" if it does."""
    if kind == "none":
        return ""
    if not shutil.which(kind):
        return f"{kind} is not installed"
    try:
        ran = subprocess.run([*prefix(kind), "true"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = ran.stderr.decode(errors="replace").strip().splitlines()
    return (said or [f"{kind} ends with {ran.returncode}"])[-1] if ran.returncode else ""


def named(kind: str) -> str:
    """A kind in words, and why there is no better one where bubblewrap is here but does not work."""
    why = refused("bwrap") if kind != "bwrap" and shutil.which("bwrap") else ""
    return KINDS[kind] + f", or let it work: here it says {why!r} (docs/grading.md)" * bool(why)


def command(kind: str) -> list[str]:
    """The command of a student's process in a sandbox of this kind."""
    return [*prefix(kind), *RUN] + ["alone"] * (kind != "none")


def prefix(kind: str) -> list[str]:
    if kind == "bwrap":
        return bubblewrap()
    if kind == "unshare":
        apart = ["unshare", "--user", "--map-root-user", "--net", "--ipc", "--pid", "--fork"]
        return [*apart, "--kill-child", "--mount-proc", "env", *environment()]
    return ["env", *environment()]


def environment() -> list[str]:
    """The variables that it has, and no others: `env -i`'s."""
    path = f"PATH={os.path.dirname(sys.executable)}:/usr/bin:/bin"
    course = f"PYTHONPATH={PACKAGE.parent}"
    rest = ["HOME=/tmp", "OMP_NUM_THREADS=1", "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8"]
    return ["-i", path, course, *rest, "CUDA_VISIBLE_DEVICES="]  # nothing that a copy cannot use


def bubblewrap() -> list[str]:
    """Python, the system's libraries and the package can be read, but for the package's checks."""
    prefixes = {str(Path(p).resolve()) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    roots = [*SYSTEM, *sorted(prefixes), sys.prefix, *packages, str(PACKAGE)]
    binds = [word for root in dict.fromkeys(roots) for word in ("--ro-bind-try", root, root)]
    return [
        *("bwrap", "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", *binds),
        *("--size", str(64 << 20), "--tmpfs", str(SCRATCH)),
        *("--tmpfs", str(PACKAGE / "check"), "--remount-ro", str(PACKAGE / "check")),
        *("--remount-ro", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"),
        *("env", *environment(), f"TMPDIR={SCRATCH}"),
    ]
