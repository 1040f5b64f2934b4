"""Write a digit and see what a semi-supervised VAE makes of it, all in the browser: the classes that
q(y|x) gives it, and all classes in the same handwriting.

A label is what is written, the latent code is how: z comes from q(z|x, y), and the decoder is given
this z with each y. No kernel is needed once the widget is shown.
"""

import copy

import torch
from torch import nn

from dgmcourse.densities import GaussianConditional, check_batch
from dgmcourse.plot import CLASSES, MODEL, WIDTH, draw_images, plt
from dgmcourse.widgets import HERE, esm
from dgmcourse.widgets.networks import Networks, export, sent, weights_block

DIGITS = 200  # to take one from: twenty or so of each class
SLIDERS = 8  # at most: the dimensions of z that the digits differ by most


class Handwriting(Networks):
    """The widget that `handwriting` returns."""

    _esm = esm("networks", "handwriting")
    _css = "\n".join(
        (HERE / f"{name}.css").read_text("utf-8") for name in ("latent", "handwriting")
    )

    def __repr__(self):
        return "A sheet to write a digit on, which a model then writes as every other digit: run this cell."


def handwriting(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, *, start: int = 0
) -> Handwriting:
    """Make the widget.

    Args:
        model: an `M1M2` or a `SemiSupervisedVAE` of 28 x 28 pixels with feed-forward networks, on any
            device; it is copied, not changed.
        x, y: some digits to take one from, grey values in [0, 1], (N, 784), and their labels, (N,).
        start: which of them lies on the paper at first.

    Raises:
        TypeError: for a layer that the browser cannot run.
        ValueError: for images that are not 28 x 28, or not in [0, 1], or no such digit to start at.
    """
    x = check_batch(x, finite=True)
    if x.shape[-1] != 784:
        raise ValueError(f"what is written has 28 x 28 pixels, the digits have {x.shape[-1]}")
    if len(x) == 0 or len(x) != len(y) or not 0 <= x.min() <= x.max() <= 1:
        raise ValueError(
            "expected grey values from 0 to 1 and a label for each digit, got"
            f" {len(x)} digits, {len(y)} labels"
            + (f" and values from {x.min():g} to {x.max():g}" if len(x) else "")
        )
    if start not in range(min(len(x), DIGITS)):
        raise ValueError(
            f"start: expected one of {min(len(x), DIGITS)} digits, from 0, got {start}"
        )
    model = copy.deepcopy(model).cpu().float().eval()
    x, y = x[:DIGITS].cpu().float(), y[:DIGITS].cpu()
    m2, codes = labelled_part(model, x)
    C, d = m2.classes, m2.prior.z.dim
    labels = m2.labels[y.long() % C]  # a model of fewer classes than the digits have is shown, too
    z = torch.randn(len(x), d, generator=torch.Generator().manual_seed(0))
    encoder = GaussianConditional(m2.encoder.z, m2.encoder.log_var_range)
    stages = [
        ("classifier", m2.encoder.y, codes),
        ("encoder", encoder, torch.cat([codes, labels], -1)),
        ("decoder", m2.decoder, torch.cat([labels, z], -1)),
    ]
    if m2 is not model:
        stages += [("to_code", model.encoder.below, x), ("from_code", model.decoder.decoder, codes)]
    networks, arrays = {}, []
    for name, conditional, given in stages:
        networks[name], more = export(conditional, given[:8], sum(map(len, arrays)))
        arrays += more
    with torch.no_grad():
        spread = m2.encoder.given_label(codes, labels).mean.std(0)
    blocks = {
        "weights": weights_block(arrays),
        "digits": (x * 255).round().to(torch.uint8).numpy(),
    }
    spec = networks | {
        "classes": C,
        "d": d,
        "sliders": sorted(spread.argsort(descending=True)[:SLIDERS].tolist()),
        "start": start,
        "labels": y.tolist(),
        "colours": CLASSES,
        "extent": 3.0,  # of the sliders, in standard deviations of the prior
    }
    return Handwriting(**sent(spec, blocks))


@torch.no_grad()
def labelled_part(model: nn.Module, x: torch.Tensor) -> tuple[nn.Module, torch.Tensor]:
    """The part of a model that knows labels, and what it sees of x: of an `M1M2` the means of M1's
    codes, else x itself.
    """
    if hasattr(model, "m2"):
        return model.m2, model.encoder.below(x).mean
    return model, x


@torch.no_grad()
def in_every_class(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean of p(x|y', z) for every class y', with z the mean of q(z|x, y): (B, C, D). With an
    `M1M2` this z is z_2, and x is decoded from the mean of p(z_1|y', z_2).

    Args:
        x: (B, D). y: (B,), the label that each x is taken to have.
    """
    m2, codes = labelled_part(model, x)
    z = m2.encoder.given_label(codes, m2.one_hot(y, codes)).mean
    z = z[:, None].expand(-1, m2.classes, -1)
    written = m2.decoder(torch.cat([m2.labels.expand(len(x), -1, -1), z], -1)).mean
    return model.decoder.decoder(written).mean if m2 is not model else written


@torch.no_grad()
def handwriting_picture(model: nn.Module, x: torch.Tensor) -> plt.Figure:
    """Draw a few digits, (B, 784), q(y|x) of each as bars, and all classes in the hand of each: a
    static picture, for `show(fig, alt=...)`.
    """
    m2, codes = labelled_part(model, x)
    q = m2.encoder.y(codes).mean
    written = in_every_class(model, x, q.argmax(-1))
    fig, axes = plt.subplots(
        len(x), 3, figsize=(WIDTH, 0.62 * len(x) + 0.5), width_ratios=(1, 2.6, 10), squeeze=False
    )
    for (paper, bars, hand), image, p, row in zip(axes, x, q, written, strict=True):
        draw_images(paper, image[None], 1)
        bars.bar(range(len(p)), p, color=MODEL)
        bars.set(ylim=(0, 1), yticks=[], xticks=range(len(p)))
        bars.tick_params(length=0, labelsize=7)
        bars.spines["left"].set_visible(False)
        draw_images(hand, row, len(p))
    for ax, title in zip(axes[0], ("x", "q(y|x)", "every y in the same hand"), strict=True):
        ax.set_title(title)
    return fig
