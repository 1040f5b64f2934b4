"""Files that are never read half written, and that one process at a time writes.

A crash, a full disk or a killed process leaves the older file or the newer one, both whole.
"""

import contextlib
import errno
import glob
import os
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: there, nothing is locked
    fcntl = None

FORGOTTEN = 3600  # seconds after which a temporary file's process no longer writes it
FULL = {  # what to do about an error number
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota of the disk is used up",
    errno.EFBIG: "no file may be so large here",
}
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Write a temporary file in the same folder, which is made where it is missing, and rename it.

    Raises:
        OSError: if it cannot be written; one sentence says why and what to do. The older file, if
            there is one, stays as it was.
    """
    path = Path(path)
    beside = temporary(path)
    with explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_forgotten(path)
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()


def check_writable(path: str | os.PathLike) -> None:
    """Make the folder of `path`, and raise now what `write_atomically` would raise after hours.

    Raises:
        OSError: as `write_atomically`.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary(path).touch()
        temporary(path).unlink()


@contextlib.contextmanager
def alone(path: str | os.PathLike) -> Iterator[None]:
    """Keep other processes from writing `path` meanwhile: each has to ask here first.

    The lock is the system's and ends with the process, however that ends. Its file, `path`.lock,
    holds the process's number and stays. Where the file system has no locks, nothing is checked.

    Raises:
        OSError: if another process is writing it, or the folder cannot be written.
    """
    path = Path(path)
    lock = path.with_name(f"{path.name}.lock")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+")
    with file:
        if not locked(file):
            file.seek(0)
            who = file.read().strip()  # nothing, if it has come only now
            raise BlockingIOError(
                f"{path} is being written by {f'process {who}' if who else 'another process'}: wait"
                " until it ends, or start this one in another folder"
            )
        with explained(path):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield


def locked(file) -> bool:
    """Lock an open file, unless another process has; True, too, where there are no locks."""
    with contextlib.suppress(OSError):  # of a file system without locks
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def temporary(path: Path) -> Path:
    """This process's temporary file for `path`, in the same folder."""
    return path.with_name(f"{path.name}.{os.getpid()}.part")


def remove_forgotten(path: Path) -> None:
    """Remove the temporary files that killed processes have left."""
    for beside in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - beside.stat().st_mtime > FORGOTTEN:
                beside.unlink()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's error into a sentence that says what to do; it stays as the cause."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            why = f"{FULL[error.errno]}: free some space, then do the same again"
        elif error.errno in REFUSED:
            why = f"{path.parent} is read-only for you: choose another folder, or change its rights"
        elif isinstance(error, FileExistsError | NotADirectoryError):
            why = f"{path.parent} is or is in a file, not a folder: choose another"
        else:
            why = f"{error.strerror or error}"
        raise type(error)(f"{path} could not be written, since {why}") from error
