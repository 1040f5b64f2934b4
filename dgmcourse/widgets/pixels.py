"""Two pads of pixels: which pixels influence the prediction of the one that is clicked; and half a
digit that a model completes, pixel by pixel.

The kernel computes and `pixels.js` shows the result: a click or a key press sends a message, and
the answer holds colours and a sentence.
"""

from collections.abc import Callable

import anywidget
import numpy as np
import torch
import traitlets
from torch import Tensor

from dgmcourse.plot import DATA, MODEL, POSTERIOR, WIDTH, plt
from dgmcourse.widgets import HERE, esm

Net = Callable[[Tensor], Tensor]  # images (B, D) -> logits (B, D)
Nets = dict[str, Net]
PAPER, LATER = (255, 255, 255), (222, 222, 222)


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)


UNSEEN = (0.45 * np.array(PAPER) + 0.55 * rgb(POSTERIOR)).round().astype(np.uint8)


class Pixels(anywidget.AnyWidget):
    """The base of both pads: a message from the browser goes to `answer`, whose result goes back."""

    _esm = esm("pixels")
    _css = HERE / "pixels.css"
    _spec = traitlets.Dict().tag(sync=True)
    _alone = traitlets.Dict().tag(sync=True)  # what answers where there is no kernel: web/pads.py

    def __init__(self, **traits):
        super().__init__(**traits)
        self.on_msg(lambda _, ask, __: self.send(*self.reply(ask)))

    def reply(self, ask: dict) -> tuple[dict, list[bytes]]:
        """The answer, or its error in words: a callback has no cell that would show an error."""
        try:
            return self.answer(ask)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}, []


class ReachExplorer(Pixels):
    """The widget that `reach_explorer` returns. `answer({"cell": [row, column]})` computes what a
    click there shows.
    """

    def __init__(self, nets: Nets, x: Tensor, shape: tuple[int, int], cell: tuple[int, int]):
        self.nets, self.x, self.shape = nets, x, shape
        self.last = list(cell)
        spec = {"kind": "reach", "shape": list(shape), "panels": [*nets], "cell": list(cell)}
        super().__init__(_spec=spec | {"unseen": UNSEEN.tolist()})

    def answer(self, ask: dict) -> tuple[dict, list[bytes]]:
        self.last = [int(i) for i in ask["cell"]]
        maps = [influence(net, self.x, self.shape, self.last) for net in self.nets.values()]
        pictures = np.stack([colours(m, self.shape, self.last) for m in maps])
        lines = [words(m, self.shape, self.last) for m in maps]
        says = [f"{name}: {line}" for name, line in zip(self.nets, lines, strict=True)]
        return {"says": says}, [pictures.tobytes()]

    def __repr__(self):
        return "Pictures of what each pixel's prediction has seen: run this cell to click in them."


def influence(net: Net, x: Tensor, shape: tuple[int, int], cell) -> np.ndarray:
    """The influence of each pixel on the logit at `cell`: |d logit / d x_j|, averaged over the
    images x: (H, W).
    """
    x = x.detach().clone().requires_grad_()
    logit = net(x)[:, cell[0] * shape[1] + cell[1]]
    return torch.autograd.grad(logit.sum(), x)[0].abs().mean(0).reshape(shape).numpy()


def before(shape: tuple[int, int], cell) -> np.ndarray:
    """Say of each pixel whether it comes before the cell in the order of reading: (H, W)."""
    return np.arange(shape[0] * shape[1]).reshape(shape) < cell[0] * shape[1] + cell[1]


def words(m: np.ndarray, shape, cell) -> str:
    earlier, seen = before(shape, cell).sum(), int((m > 0).sum())
    return f"row {cell[0]}, column {cell[1]}: {seen} of {earlier} earlier pixels have a gradient"


def colours(m: np.ndarray, shape, cell) -> np.ndarray:
    """The colours of the influences m: blue, deeper where a pixel has more influence; orange for
    earlier pixels without any; grey for later ones; dark for the cell. (H, W, 3), bytes.
    """
    relative = np.maximum(m, 1e-12) / max(m.max(), 1e-12)
    strength = np.clip(1 + np.log10(relative) / 5, 0.12, 1)[..., None]
    blue = (1 - strength) * PAPER + strength * rgb(MODEL)
    picture = np.where((m > 0)[..., None], blue, UNSEEN)
    picture = np.where(before(shape, cell)[..., None], picture, LATER)
    picture[tuple(cell)] = rgb(DATA)
    return picture.round().astype(np.uint8)


def reach_explorer(nets: Nets, x: Tensor, *, shape=(28, 28), cell=(14, 14)) -> ReachExplorer:
    """Show, for each net, which earlier pixels have a gradient on the logit of the pixel that is
    clicked, or reached with the arrow keys.

    Args:
        nets: name -> a network from images (B, D) to logits (B, D).
        x: images at which the gradients are taken, (B, D). A unit that is switched off in all of
            them passes no gradient, so take several.
        shape, cell: of the images; the pixel asked about first.
    """
    return ReachExplorer(nets, x, tuple(shape), tuple(cell))


def reach_picture(nets: Nets, x: Tensor, *, shape=(28, 28), cell=(14, 14)) -> plt.Figure:
    """Draw the same as a static picture, for `show(fig, alt=...)`."""
    size = min(WIDTH, 3.2 * len(nets)), 3.3
    fig, axes = plt.subplots(1, len(nets), figsize=size, squeeze=False)
    for ax, (name, net) in zip(axes[0], nets.items(), strict=True):
        picture = colours(influence(net, x, shape, cell), shape, cell)
        ax.imshow(picture, interpolation="nearest")
        rows, columns = (picture == UNSEEN).all(-1).nonzero()
        ax.plot(columns, rows, ".", color="#8a3d00", ms=2)  # in greyscale orange equals pale blue
        ax.set_title(name)
        ax.set_axis_off()
    return fig


class PixelWriter(Pixels):
    """The widget that `pixel_writer` returns. `answer({"model", "x", "rows"})` completes the image
    x from its row `rows` on.
    """

    def __init__(self, models: dict, digits: Tensor, shape: tuple[int, int], rows: int):
        self.models, self.shape = models, shape
        self.last = None  # what was completed last, (D,)
        ink = digits.reshape(-1, shape[0] * shape[1]).byte().tolist()
        spec = {"kind": "write", "shape": list(shape), "models": [*models]}
        super().__init__(_spec=spec | {"digits": ink, "rows": rows})

    @torch.no_grad()
    def answer(self, ask: dict) -> tuple[dict, list[bytes]]:
        p, x = self.models[ask["model"]], torch.tensor(ask["x"], dtype=torch.float32)
        kept = int(ask["rows"]) * self.shape[1]  # pixels
        known = torch.arange(self.shape[0] * self.shape[1]) < kept
        self.last = p.sample((1,), x=x, known=known)[0]
        probability = torch.sigmoid(p.logits(self.last[None])[0]).numpy().astype(np.float32)
        return {"from": kept}, [self.last.byte().numpy().tobytes(), probability.tobytes()]

    def __repr__(self):
        return "A pad to write half a digit on, which a model completes: run this cell to use it."


def pixel_writer(models: dict, digits: Tensor, *, shape=(28, 28), rows=14) -> PixelWriter:
    """Write the upper rows of a digit, and watch a model draw the others.

    Args:
        models: name -> a density with `sample(shape, x=, known=)` and `logits`: a PixelCNN, or a
            PixelVAE's p(x|z).
        digits: some images, (N, D) of 0 and 1, to begin with.
        shape, rows: of the images; how many rows are kept at first.
    """
    return PixelWriter(models, torch.as_tensor(digits), tuple(shape), rows)
