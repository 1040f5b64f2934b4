"""A few labels among many examples: data of semi-supervised learning."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dgmcourse.data.images import Data
from dgmcourse.settings import check_whole


def balanced(y: Tensor, n: int, seed: int = 0) -> Tensor:
    """Which examples are labelled: the indices of n of them, drawn at random, as many of each class.

    Args:
        y: all labels, (N,), whole numbers.
        n: a multiple of the number of classes.
        seed: of the choice.

    Raises:
        ValueError: if n is no such multiple, a class has fewer examples, or y are no labels.
    """
    check_whole(n=n)
    if not isinstance(y, Tensor) or y.dim() != 1 or y.is_floating_point() or not len(y):
        came = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"expected labels, whole numbers of shape (N,), got {came}")
    classes = y.unique().tolist()
    each, left = divmod(n, len(classes))
    if left:
        raise ValueError(f"expected a multiple of the {len(classes)} classes, got n={n}")
    fewest = min(int((y == c).sum()) for c in classes)
    if each > fewest:
        raise ValueError(f"{n} labels are {each} of each class, and one has {fewest} examples")
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=random)
    return torch.cat([order[(y[order] == c).nonzero().squeeze(-1)[:each]] for c in classes])


class SemiSupervised:
    """Labelled and unlabelled data side by side, `Batches` of (x, x_labelled, y, share).

    A pass visits each unlabelled x once; the labelled ones come round as often as that takes, in a
    new order each time. share = N_l / N_u.

    Args:
        data: all examples; their labels are not looked at.
        labelled: those whose labels are.
        size: labelled examples in a batch; all, if there are fewer.
    """

    def __init__(self, data: Data, labelled: Data, size: int = 100):
        check_whole(size=size)
        data, labelled = Data.of(data), Data.of(labelled)
        if len(data) == 0 or len(labelled) == 0 or labelled.y is None:
            raise ValueError(
                f"expected examples and labelled examples, Data(x, y), got {len(data)} and"
                f" {0 if labelled.y is None else len(labelled)}"
            )
        if data.x.shape[1:] != labelled.x.shape[1:]:
            raise ValueError(
                f"expected labelled examples like the others, of shape {tuple(data.x.shape[1:])},"
                f" got {tuple(labelled.x.shape[1:])}"
            )
        self.data, self.labelled, self.size = data, labelled, size

    def __len__(self) -> int:
        return len(self.data)

    def batches(self, size: int = 100, shuffle: bool = True) -> Iterator[tuple]:
        share, labelled = len(self.labelled) / len(self.data), self._endless(shuffle)
        for x in self.data.batches(size, shuffle):
            yield (x, *next(labelled), share)

    def _endless(self, shuffle: bool) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.labelled.batches(self.size, shuffle, labels=True)

    def to(self, device) -> "SemiSupervised":
        return SemiSupervised(self.data.to(device), self.labelled.to(device), self.size)

    def fingerprint(self) -> str:
        labelled = self.labelled.fingerprint()
        return f"{self.data.fingerprint()}; labelled, {self.size} at a time: {labelled}"


class Codes(Data):
    """The codes z ~ q(z|x) of examples, drawn anew at every visit: what M2 sees of M1.

    Args:
        x: means, then standard deviations of q(z|x): (N, 2 d).
        y: labels, (N,), if there are any.
    """

    @property
    def means(self) -> Tensor:
        """The mean of q(z|x) of each example, (N, d)."""
        return self.x.chunk(2, -1)[0]

    def _floats(self, x: Tensor) -> Tensor:
        mean, std = x.chunk(2, -1)
        return torch.addcmul(mean, std, torch.randn_like(std))

    def _like(self, f) -> "Codes":
        return Codes(f(self.x), None if self.y is None else f(self.y))


@torch.no_grad()
def codes(model: nn.Module, data: Data | Tensor) -> Codes:
    """The `Codes` of data by the encoder of a model, with one draw of "dynamic" pixels.

    Raises:
        ValueError: for empty data.
    """
    data = Data.of(data)
    if len(data) == 0:
        raise ValueError("expected at least one example, got none")
    parts = [model.encoder(x) for x in data.batches(1000, shuffle=False)]
    rows = [torch.cat([q.mean, torch.exp(0.5 * q.log_var)], -1) for q in parts]
    return Codes(torch.cat(rows), data.y)
