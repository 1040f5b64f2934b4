"""Where a data file comes from: the one place that decides.

`find(dataset)` tries, in this order: the directory in DGMCOURSE_DATA; the user's cache
(DGMCOURSE_CACHE, else XDG_CACHE_HOME/dgmcourse, else ~/.cache/dgmcourse); a download into that
cache. Each file's checksum is compared at every use: what is damaged or incomplete is reported and
never used. Where all three fail, the caller goes on with its embedded default, and says so with
`say`. DGMCOURSE_OFFLINE=1 skips the network.

A new data set is one new file: a `DataSet`, and a function that turns the bytes from `find` into
`Splits`.
"""

import contextlib
import gzip
import hashlib
import os
import queue
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import zlib
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError

import numpy as np

from dgmcourse.files import write_atomically

CONNECT = 3.0  # seconds until the first byte; a dead network is noticed after this, once per mirror
STALL = 6.0  # seconds without a byte in the middle of a download
PAUSE = 0.5  # seconds before a second try, twice that before a third
ROUNDS = 3  # tries of each mirror that answers at all
REMEMBER = (
    600  # seconds for which a network that failed is not tried again, by this or another process
)


class File(NamedTuple):
    """A file called `name`, published as `name + packed` (packed: ".gz" or nothing)."""

    name: str
    crc32: int | None  # of the content: compared at every use (10 ms for MNIST's 47 MB); None: md5
    md5: str  # of what is downloaded, before anything reads it
    packed: str = ""


class DataSet(NamedTuple):
    title: str
    folder: str  # below DGMCOURSE_DATA or the cache, in the layout its usual loader expects
    files: tuple[File, ...]
    mirrors: tuple[str, ...]  # each the address of a folder, with its final slash


class Unavailable(Exception):
    """A download failed; the message says how."""


class Gone(Unavailable):
    """A download failed in a way that a second try would not mend."""


def find(dataset, download=True):
    """Return ({name: bytes as a uint8 array}, where from), or (None, why not).

    With download="again" the network is tried even if it failed a moment ago; with False, not at
    all.
    """
    if os.environ.get("DGMCOURSE_DATA"):
        root = Path(os.environ["DGMCOURSE_DATA"]).expanduser()
        if not root.is_dir():
            say(f"DGMCOURSE_DATA names {root}, which is not a directory: ignored.", sys.stderr)
        found = _read(dataset, root, "it is not used: delete it, or put the original there")
        if len(found) == len(dataset.files):
            return found, "the directory in DGMCOURSE_DATA"
    root = cache()
    found = _read(dataset, root, "it is not used, but fetched again")
    if len(found) == len(dataset.files):
        return found, f"the cache {_short(root)}"
    if not download or not dataset.mirrors:
        return None, "not downloaded yet" if dataset.mirrors else "nowhere to be fetched from"
    if os.environ.get("DGMCOURSE_OFFLINE", "0") not in ("", "0"):
        return None, "DGMCOURSE_OFFLINE is set"
    return _download(dataset, root, found, again=download == "again")


def cache():
    """The directory of the user's cache (it need not exist)."""
    if chosen := os.environ.get("DGMCOURSE_CACHE"):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "dgmcourse"
    try:
        return Path.home() / ".cache" / "dgmcourse"
    except RuntimeError:  # no home directory at all
        return Path(tempfile.gettempdir()) / "dgmcourse"


_said = set()


def say(line, stream=None):
    """Print a line, once per process however often the data are loaded."""
    if line not in _said:
        _said.add(line)
        print(line, file=stream, flush=True)


def _short(path):
    """A path with the home directory as ~, fit to stand in a shared notebook."""
    home = os.path.expanduser("~")
    path = str(path)
    return "~" + path[len(home) :] if home != "/" and path.startswith(home + os.sep) else path


def _read(dataset, root, consequence):
    """{name: bytes} of the data set's files below root that are there and intact."""
    found = {}
    for file in dataset.files:
        for suffix in ("", ".gz"):
            path = root / dataset.folder / (file.name + suffix)
            if not path.is_file():
                continue
            try:
                # A private map copies nothing, and what is written to it does not reach the file.
                plain = suffix == ""
                content = (
                    np.memmap(path, mode="c")
                    if plain
                    else _bytes(gzip.decompress(path.read_bytes()))
                )
                intact = _intact(file, path if plain else None, content)
            except (OSError, EOFError, ValueError, zlib.error):
                intact = False
            if intact:
                found[file.name] = content
                break
            say(
                f"{dataset.title}: {_short(path)} is damaged or incomplete; {consequence}.",
                sys.stderr,
            )
    return found


def _intact(file, path, content):
    if file.crc32 is None:  # of a file that is published as it is
        return hashlib.md5(content).hexdigest() == file.md5
    return (zlib.crc32(content) if path is None else _crc32(path)) == file.crc32


def _crc32(path):
    """Of the file, not of its map: pages that are read through a map count as this process's
    memory.
    """
    crc32 = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc32 = zlib.crc32(block, crc32)
    return crc32


def _bytes(content):
    return np.frombuffer(bytearray(content), np.uint8)  # writable, as torch asks


# ---- the network

_failed = {}  # data set -> why, for this process


def _download(dataset, root, found, again):
    """Fetch into root the files that `found` lacks. Return what `find` does."""
    marker = root / f".{dataset.title}-unavailable"  # the failure's memory for other processes
    if not again and (why := _failed.get(dataset) or _recent(marker)):
        return None, why
    _progress(f"{dataset.title}: downloading to {_short(root)} ...")
    mirrors, troubles = list(dataset.mirrors), {}
    try:
        for file in dataset.files:
            if file.name not in found:
                content, where = _fetch(file, mirrors, troubles)
                _write(root / dataset.folder / file.name, content)
                found[file.name] = _bytes(content)
    except Unavailable as trouble:
        _failed[dataset] = why = str(trouble)
        _write(marker, why.encode())
        return None, why
    _failed.pop(dataset, None)
    with contextlib.suppress(OSError):
        marker.unlink()
    return found, where


def _recent(marker):
    try:
        return marker.read_text() if time.time() - marker.stat().st_mtime < REMEMBER else None
    except OSError:
        return None


def _fetch(file, mirrors, troubles):
    """The content of a file, and the mirror that was the first to deliver it intact.

    A mirror that answers badly (503, a truncated or altered file) is tried again after the others,
    ROUNDS times in all. One that cannot be reached, or falls silent, is struck off `mirrors`.
    """
    for attempt in range(ROUNDS):
        time.sleep(PAUSE * attempt)
        for mirror in list(mirrors):
            host = urllib.parse.urlsplit(mirror).netloc
            try:
                return _unpack(file, _get(mirror + file.name + file.packed)), mirror
            except Unavailable as trouble:
                troubles[host] = trouble
                if isinstance(trouble, Gone):
                    mirrors.remove(mirror)
                _progress(f"  {file.name} from {host}: {trouble}")
        if not mirrors:
            break
    if all(
        str(trouble).startswith(("no connection", "no answer")) for trouble in troubles.values()
    ):
        raise Unavailable("no network")
    raise Unavailable("; ".join(f"{host}: {trouble}" for host, trouble in troubles.items()))


def _get(url):
    """The bytes at url. A thread reads them, so that a name server that does not answer cannot
    block the caller.
    """
    from tqdm import tqdm  # here, because most runs download nothing

    inbox = queue.Queue()

    def read():
        try:
            # Longer than both waits below: they decide, and their messages say why.
            with urllib.request.urlopen(url, timeout=CONNECT + STALL) as answer:
                inbox.put(int(answer.headers.get("Content-Length") or 0))
                while block := answer.read(1 << 16):
                    inbox.put(block)
            inbox.put(b"")
        except Exception as error:  # any error ends the wait of the caller
            inbox.put(error)

    threading.Thread(target=read, daemon=True).start()
    try:
        size = inbox.get(timeout=CONNECT)
    except queue.Empty:
        raise Gone(f"no answer within {CONNECT:g} s") from None
    if isinstance(size, HTTPError):
        again = size.code >= 500 or size.code == 429
        raise (Unavailable if again else Gone)(f"the server answered {size.code} {size.reason}")
    if isinstance(size, Exception):
        reason = getattr(size, "reason", size)
        raise Gone(f"no connection ({getattr(reason, 'strerror', None) or reason})")

    content, block = bytearray(), None
    label = "  " + url.rsplit("/", 1)[-1]
    with tqdm(total=size or None, unit="B", unit_scale=True, desc=label, leave=False) as bar:
        while block != b"":
            try:
                block = inbox.get(timeout=STALL)
            except queue.Empty:
                raise Gone(f"stalled: nothing came for {STALL:g} s") from None
            if isinstance(block, Exception):  # the connection broke
                break
            content += block
            bar.update(len(block))
    if len(content) < size or isinstance(block, Exception):
        raise Unavailable(f"truncated: {len(content):,} of {size:,} bytes came")
    return bytes(content)


def _unpack(file, content):
    """The content of what was downloaded, which nothing reads before its checksum is right."""
    if hashlib.md5(content).hexdigest() != file.md5:
        raise Unavailable("wrong checksum: not the file that was published")
    return gzip.decompress(content) if file.packed else content


def _write(path, content):
    """Write a file of the cache. Where that fails, on a full disk for instance, it costs the cache
    only.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        why = error.__cause__.strerror  # without the path, which may stand in a shared notebook
        say(f"  nothing is kept for the next time: {_short(path.parent)}: {why}", sys.stderr)


def _progress(line):
    """Print to standard output: a notebook shows standard error in red, as if something broke."""
    print(line, flush=True)
