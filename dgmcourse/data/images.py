"""Image data sets as one tensor of bytes, and how the bytes become what a model sees."""

import functools
import os
from typing import NamedTuple

import numpy as np
import torch


class Data:
    """Images as bytes, x of shape (N, D) uint8, with labels y (N,); a model gets floats in [0, 1].

    `binarise` says how bytes become floats:
    - None: grey, x / 255;
    - "dynamic": a fresh draw x_d ~ Bernoulli(byte_d / 255) at every visit;
    - "static": drawn once with `seed`, the same at every visit.
    """

    def __init__(self, x, y=None, binarise=None, bits=None):
        self.x, self.y, self.binarise, self._bits = x, y, binarise, bits

    @staticmethod
    def of(data):
        """`data` itself, or the floats (N, D) of a plain tensor as a Data."""
        return data if isinstance(data, Data) else Data(torch.as_tensor(data))

    @property
    def bits(self):
        if callable(self._bits):
            self._bits = self._bits().to(self.x.device)
        return self._bits

    def floats(self, index=slice(None)):
        if self.binarise == "static":
            return self.bits[index].float()
        x = self.x[index] if isinstance(index, slice) else self.x.index_select(0, index)
        if not x.dtype == torch.uint8:
            return x
        if self.binarise == "dynamic":
            return torch.lt(torch.empty_like(x).random_(0, 255), x, out=torch.empty(x.shape, device=x.device))
        return x.float() / 255

    def tensor(self):
        return self.floats()

    def batches(self, size=100, shuffle=True):
        device = self.x.device
        order = torch.randperm(len(self)) if shuffle else torch.arange(len(self))
        for index in order.to(device).split(size):
            yield self.floats(index)

    def to(self, device):
        return Data(self.x.to(device), None if self.y is None else self.y.to(device), self.binarise,
                    self.bits.to(device) if self.binarise == "static" else None)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return Data(self.x[index], None if self.y is None else self.y[index], self.binarise,
                    self.bits[index] if self.binarise == "static" else None)


class Splits(NamedTuple):
    train: Data
    valid: Data
    test: Data


def fixed_bits(*parts, seed=777):
    """Bernoulli(byte / 255) drawn once, the very bits of `numpy.random.RandomState(seed).binomial(1, x / 255)`."""
    random, out = np.random.RandomState(seed), []
    for x in parts:
        x = x.numpy()
        u = random.random_sample(x.shape)
        p = x.astype(np.float32) / np.float32(255)
        out.append(torch.from_numpy(np.where(p <= 0.5, u > 1 - p.astype(np.float64), u <= p)))
    return out


def mnist(binarise="dynamic"):
    root = os.path.join(os.environ["DGMCOURSE_DATA"], "MNIST", "raw")

    def read(name, skip):
        return torch.from_numpy(np.fromfile(os.path.join(root, name), np.uint8, offset=skip))

    x, y = read("train-images-idx3-ubyte", 16).view(-1, 784), read("train-labels-idx1-ubyte", 8).long()
    xt, yt = read("t10k-images-idx3-ubyte", 16).view(-1, 784), read("t10k-labels-idx1-ubyte", 8).long()
    drawn = functools.cache(lambda: fixed_bits(x[50000:], xt))
    how = "static" if binarise else None
    train = Data(x[:50000], y[:50000], binarise, lambda: fixed_bits(x[:50000], seed=778)[0])
    return Splits(train, Data(x[50000:], y[50000:], how, lambda: drawn()[0]), Data(xt, yt, how, lambda: drawn()[1]))
