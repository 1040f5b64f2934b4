"""A classifier of digits, which takes no part in any game.

It names generated digits, and the Frechet distance is measured in its features.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import call, check_batch
from dgmcourse.networks import RowsAsImages, initialise
from dgmcourse.settings import check_whole


class DigitClassifier(nn.Module):
    r"""$$\log p(y \mid x) = \mathrm{log\,softmax}(A\, h(x) + a)_y$$

    Args:
        features: dimensions of h(x), the last layer's input.
        channels: of the first of two convolutions.
        classes: values of y.
    """

    labelled = True  # its objective takes the labels, too

    parts = {"log_p_y": "log p(y|x)", "right": "share of right answers"}

    def __init__(self, features: int = 64, channels: int = 16, classes: int = 10):
        check_whole(features=features, channels=channels, classes=classes)
        super().__init__()
        self.net = initialise(
            RowsAsImages(
                nn.Unflatten(1, (1, 28, 28)),
                nn.Conv2d(1, channels, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(channels, 2 * channels, 5, padding=2),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(1),
                nn.Dropout(0.5),
                nn.Linear(2 * channels * 49, features),
                nn.ReLU(),
            )
        ).to(memory_format=torch.channels_last)  # up to twice as fast on the CPU
        self.head = nn.Linear(features, classes)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(y|x) of each class: grey pixels (B, 784) in [0, 1] to (B, classes)."""
        return torch.log_softmax(call(self.head, call(self.net, x)), -1)

    def objective(
        self, x: Tensor, y: Tensor, beta: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """log p(y|x), (B,), nats.

        Returns:
            what to maximise, and {"log_p_y", "right"} to watch: the same, and 1 where the most
            probable class is y.
        """
        log_p = self.log_prob(check_batch(x))
        value = -F.nll_loss(log_p, y.long(), reduction="none")
        return value, {"log_p_y": value, "right": (log_p.argmax(-1) == y).float()}

    @torch.no_grad()
    def features(self, x: Tensor, rows: int = 1000) -> Tensor:
        """h(x), (B, features), without a gradient and `rows` at a time."""
        check_whole(rows=rows)
        return torch.cat([call(self.net, part) for part in check_batch(x).split(rows)])

    @torch.no_grad()
    def classify(self, x: Tensor, rows: int = 1000) -> Tensor:
        """The most probable class of each x, (B,)."""
        check_whole(rows=rows)
        return torch.cat([self.log_prob(part).argmax(-1) for part in check_batch(x).split(rows)])
