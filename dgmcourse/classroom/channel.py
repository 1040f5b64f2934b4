"""What the judge and a student's process say to one another, on two pipes.

To the student's process goes a pickle, which the judge made. What comes back is data: JSON for the
structure, bytes for arrays. It is never unpickled, and it is limited in size and time. That a process
has ended, and how, is said on a third pipe, which no student's code can write to.
"""

import json
import math
import os
import re
import select
import struct
import time

import numpy as np
import torch

LARGEST = 256 << 20  # bytes of one message
LARGEST_HEADER = 1 << 20  # of its first part, which is read as JSON
READY, FINE, LATE, ENDED = b"r", b"0", b"l", b"e"  # what is said on the third pipe
TYPES = {
    str(t).removeprefix("torch."): t
    for t in (torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16)
    + (torch.int8, torch.uint8, torch.bool, torch.complex64, torch.complex128)
}


class Gone(BaseException):
    """The student's process cannot go on: too slow, ended, or it says what nobody understands. No
    judge catches it with what a student's code can raise.
    """


class Channel:
    """Messages on two file descriptors; `until` is when patience ends, in time.monotonic().

    Args:
        ends: where it is said that the process at the other side has ended.
    """

    def __init__(self, read: int, write: int, ends: int | None = None):
        self.read_from, self.write_to, self.ends, self.until = read, write, ends, math.inf
        os.set_blocking(write, False)

    def wait(self, fd: int, reading: bool) -> None:
        left = self.until - time.monotonic()
        patience = None if left == math.inf else max(left, 0)
        heard = [one for one in (fd, self.ends) if one is not None] if reading else []
        ready = select.select(heard, [] if reading else [fd], [], patience)
        if left <= 0 or not any(ready):
            raise Gone("ran longer than it may")
        if fd != self.ends and self.ends in ready[0]:
            late = self.end() == LATE
            raise Gone("ran longer than it may" if late else "ended its process")

    def end(self) -> bytes:
        """How the process at the other side has ended; b"" if all of it has."""
        self.wait(self.ends, True)
        return os.read(self.ends, 1)

    def silent(self) -> bool:
        """Whether nothing has been said that was not read."""
        return not select.select([self.read_from], [], [], 0)[0]

    def take(self, n: int) -> bytes:
        parts = bytearray()
        while len(parts) < n:
            self.wait(self.read_from, True)
            part = os.read(self.read_from, min(n - len(parts), 1 << 20))
            if not part:
                raise Gone("ended its process")
            parts += part
        return bytes(parts)

    def receive(self) -> list[bytes]:
        count, *_ = struct.unpack("<B", self.take(1))
        sizes = struct.unpack(f"<{count}Q", self.take(8 * count))
        if sum(sizes) > LARGEST or self.ends is not None and sum(sizes[:1]) > LARGEST_HEADER:
            raise Gone("returned more than can be sent")
        return [self.take(size) for size in sizes]

    def send(self, *parts: bytes) -> None:
        sizes = struct.pack(f"<B{len(parts)}Q", len(parts), *map(len, parts))
        data = memoryview(sizes + b"".join(parts))
        while data:
            self.wait(self.write_to, False)
            try:
                data = data[os.write(self.write_to, data[: 1 << 16]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise Gone("ended its process") from None


# ---- data


class Writer:
    """Values as what JSON can hold, and the bytes of their arrays.

    Args:
        known: what the reader has already: id of an object -> how it is called.
    """

    def __init__(self, known: dict[int, dict]):
        self.known, self.bytes, self.tensors = known, bytearray(), []

    def value(self, x, depth: int = 0):
        if id(x) in self.known:
            return self.known[id(x)]
        if isinstance(x, np.generic) and str(x.dtype) in TYPES:
            return self.array(torch.from_numpy(np.array(x)), "scalar")
        if x is None or isinstance(x, bool | int | float | str):
            return {"plain": x[:2000] if isinstance(x, str) else x}
        if isinstance(x, list | tuple) and depth < 5:
            kind = "list" if isinstance(x, list) else "tuple"
            return {kind: [self.value(one, depth + 1) for one in x]}
        if isinstance(x, torch.Tensor) and str(x.dtype).removeprefix("torch.") in TYPES:
            return self.array(x, "tensor")
        if isinstance(x, np.ndarray) and str(x.dtype) in TYPES:
            return self.array(torch.from_numpy(np.ascontiguousarray(x)), "array")
        return {"other": "ellipsis" if x is ... else type(x).__name__}

    def array(self, x: torch.Tensor, kind: str) -> dict:
        flat = x.detach().cpu().contiguous()
        said = {kind: str(x.dtype).removeprefix("torch."), "shape": list(x.shape)}
        self.bytes += flat.numpy().tobytes()
        if x.requires_grad:
            said["slope"] = len(self.tensors)
            self.tensors.append(x)
        return said


class Reader:
    """What a Writer wrote; `tensors` are those that carry gradients, in their order.

    Args:
        known: how an object is called -> the object.
    """

    def __init__(self, data: bytes, known: dict[str, object]):
        self.data, self.at, self.known, self.tensors = data, 0, known, []

    def value(self, said: dict):
        (kind, what), *_ = said.items()
        if kind == "known":
            return self.known[what]
        if kind == "plain":
            return what
        if kind in ("list", "tuple"):
            return {"list": list, "tuple": tuple}[kind](self.value(one) for one in what)
        if kind in ("tensor", "array", "scalar"):
            return self.array(TYPES[what], said, kind)
        if what == "ellipsis":
            return ...
        return type(re.sub(r"\W", "", str(what))[:40] or "object", (), {})()

    def array(self, dtype: torch.dtype, said: dict, kind: str):
        shape = [int(n) for n in said["shape"]]
        if any(n < 0 for n in shape):
            raise ValueError("a negative length")
        size = math.prod(shape) * dtype.itemsize
        data = self.data[self.at : self.at + size]
        if len(data) != size:
            raise ValueError("too few bytes")
        self.at += size
        flat = (
            torch.frombuffer(bytearray(data), dtype=dtype) if size else torch.empty(0, dtype=dtype)
        )
        x = flat.reshape(shape)
        if "slope" in said:
            self.tensors.append(x)
        return x if kind == "tensor" else x.numpy()[() if kind == "scalar" else ...]


def as_bytes(said: dict) -> bytes:
    return json.dumps(said).encode()
