"""The pads of notebook 10 for a page without a kernel: what the kernel would answer is sent with them.

The answers to a click on every second row and column are all there. A completion is drawn at random, so the networks
are there, and pixels.js goes through them as models/pixelcnn.py and gated_pixelcnn.py do.
"""

import numpy as np
import torch

from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.pixelcnn import PixelNet
from dgmcourse.networks import MaskedConv2d
from dgmcourse.widgets.pixels import PixelWriter, ReachExplorer

STEP = 2  # 196 cells of a digit's: a few seconds


def with_answers(explorer: ReachExplorer) -> ReachExplorer:
    """The same with the pictures and the words of every STEP-th row and column's cell."""
    height, width = explorer.shape
    cells = [[r, c] for r in range(0, height, STEP) for c in range(0, width, STEP)]
    first = explorer.last
    answers = [explorer.answer({"cell": cell}) for cell in cells]
    explorer.last = first
    pictures = b"".join(buffers[0] for _, buffers in answers)
    says = [message["says"] for message, _ in answers]
    explorer._alone = {"pictures": pictures, "says": says, "step": STEP}
    return explorer


def with_networks(writer: PixelWriter) -> PixelWriter:
    """The same with its models' networks.

    Raises:
        TypeError: for a model whose network pixels.js does not know.
    """
    numbers = []
    nets = {name: network(model.net, numbers) for name, model in writer.models.items()}
    writer._alone = {"nets": nets, "numbers": np.concatenate(numbers).tobytes()}
    return writer


def network(net, numbers: list[np.ndarray]) -> dict:
    """A network's layers; their numbers are added to the list."""
    if isinstance(net, PixelNet):
        layers = [convolution(conv, numbers) for conv in net.convs]
    elif isinstance(net, GatedPixelNet):
        names = ("vertical", "horizontal", "link", "out")
        layers = [
            {name: convolution(getattr(layer, name), numbers) for name in names}
            | {"residual": layer.residual}
            for layer in net.layers
        ]
    else:
        raise TypeError(f"pixels.js knows PixelNet and GatedPixelNet, not {type(net).__name__}")
    head = [convolution(net.head[i], numbers) for i in (0, 2)]
    return {"gated": isinstance(net, GatedPixelNet), "layers": layers, "head": head}


@torch.no_grad()
def convolution(conv: torch.nn.Conv2d, numbers: list[np.ndarray]) -> dict:
    """Where it reads, as [row, column] from the pixel, and where its numbers are: those of a place
    stand together, (in, out), and the bias after all.
    """
    masked = isinstance(conv, MaskedConv2d)
    weight = conv.masked_weight() if masked else conv.weight
    mask = conv.mask if masked else torch.ones(1, 1)
    left, _, top, _ = conv.border if masked else (0, 0, 0, 0)
    places = mask.nonzero().tolist()
    at = sum(map(len, numbers))
    kept = torch.stack([weight[:, :, r, c].mT for r, c in places])
    numbers += [kept.float().numpy().ravel(), conv.bias.float().numpy()]
    return {
        "places": [[r - top, c - left] for r, c in places],
        "in": conv.in_channels,
        "out": conv.out_channels,
        "weight": at,
        "bias": at + kept.numel(),
    }
