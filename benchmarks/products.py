"""The least that a training step costs: the matrix products of its linear layers, and nothing
else.
"""

from collections.abc import Callable

import torch
from torch import nn


def bare_products(net: nn.Module, rows: int, input_learns: bool = False) -> Callable[[], None]:
    """For each linear layer of `net`, in turn, the product for its output, for its weight's
    gradient and for its input's; no biases.

    Args:
        input_learns: whether the first layer's input is itself trained; without, it needs no
            gradient.
    """
    weights = [layer.weight.detach() for layer in net.modules() if isinstance(layer, nn.Linear)]
    pairs = [
        [torch.randn(rows, n, device=weight.device) for n in weight.shape] for weight in weights
    ]

    def run():
        for i, (weight, (gradient, given)) in enumerate(zip(weights, pairs, strict=True)):
            torch.mm(given, weight.t())
            torch.mm(gradient.t(), given)
            if i > 0 or input_learns:
                torch.mm(gradient, weight)

    return run
