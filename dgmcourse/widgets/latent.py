"""Walk through a latent space with a pad and sliders for z, and encode a digit that is written by
hand, all in the browser.

The networks are sent once, as a list of layers and a block of numbers, and `latent.js` runs them.
From then on no kernel is needed: the picture follows in the next frame, even while the kernel
trains.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets

from dgmcourse.plot import CLASSES, WIDTH, tile
from dgmcourse.widgets import HERE, esm
from dgmcourse.widgets.networks import Networks, export, sent, weights_block

DIGITS = 500  # behind the pad: enough to show the classes, few enough to be sent at once (0.4 MB)


class Code(traitlets.List):
    """A latent vector. Set it with a list, an array or a tensor of d finite numbers; it reads as a
    list.
    """

    def validate(self, widget, value):
        z = torch.as_tensor(value, dtype=torch.float32).detach().cpu().flatten()
        d = len(widget._spec["order"])
        if len(z) != d or not z.isfinite().all():
            got = f"{len(z)}: {value!r:.80}"
            raise traitlets.TraitError(f"z is a list of {d} finite numbers, got {got}")
        return z.tolist()


class LatentTraversal(Networks):
    """The widget that `latent_traversal` returns. `z` is the code that is decoded and `dims` are
    the two dimensions of the pad: read or set either.
    """

    _esm = esm("networks", "latent")
    _css = HERE / "latent.css"
    dims = traitlets.List(traitlets.Int()).tag(sync=True)
    z = Code().tag(sync=True)

    @traitlets.validate("dims")
    def _two_dims(self, proposal):
        d = len(self._spec["order"])
        if len(proposal.value) != 2 or not all(0 <= i < d for i in proposal.value):
            known = f"two of the dimensions 0 to {d - 1}"
            raise traitlets.TraitError(f"dims are {known}, got {proposal.value}")
        return proposal.value

    def __repr__(self):
        d = len(self._spec["order"])
        return f"Latent-space traversal ({d} dimensions): run this cell to explore it."


def latent_traversal(model, data=None, *, dims=None, shown=10, shape=(28, 28)) -> LatentTraversal:
    """Make the widget: x -> encoder -> z -> decoder -> mean of p(x|z), all in the browser.

    A model without an encoder, such as a density network, starts from z and has no paper to write
    on. A model that cannot give the codes of images in any way, such as a GAN, has no digits behind
    the pad.

    Args:
        model: a `LatentVariableModel`, or another model with `prior` and `decoder`, on any device;
            it is copied, not changed. The `.net` of decoder and encoder is a stack of the layers in
            `LAYERS`. Or the name of a shipped model, such as "vae_2d".
        data: the images whose codes lie behind the pad: a `Data` with `.x` and labels `.y`, or a
            pair (x, y), x of shape (N, D) as grey values in [0, 1] or bytes, y of shape (N,) or
            None. If None: MNIST's test digits.
        dims: the two latent dimensions the pad shows at first; if None the two most active.
        shown: the number of sliders shown at first, in order of activity: the variance of the mean
            of q(z|x) over the data; without codes, that of the picture as this dimension alone
            varies.
        shape: the images' (height, width).

    Raises:
        TypeError: a layer that the browser cannot run, a convolution, say: `latent_grid` draws any
            model.
        ValueError: sizes that do not fit one another.
    """
    model, x, y, codes, variance, order = _prepare(model, data)
    if shape[0] * shape[1] != x.shape[1]:
        raise ValueError(
            f"images are {shape[0]} x {shape[1]}, but the data have {x.shape[1]} pixels"
        )
    decoder, arrays = export(model.decoder, codes[:8])
    encoder, more = None, []
    if tuple(shape) == (28, 28) and encodes(model):  # what is written has 28 x 28 pixels
        encoder, more = export(model.encoder, x[:8], sum(map(len, arrays)))
    weights, d = weights_block(arrays + more), len(order)
    with torch.random.fork_rng(devices=[]):  # the notebook's random numbers stay what they are
        torch.manual_seed(0)
        samples = model.prior.sample((100,))
    blocks = {
        "weights": weights,
        "codes": codes[: min(DIGITS, len(x))].numpy(),
        "prior": samples.numpy(),
        "digits": (x[:DIGITS] * 255).round().to(torch.uint8).numpy(),
    }
    reach = np.ceil(np.quantile(codes[:, order[:2]].abs(), 0.99))
    varied = "the encoder's mean over the data"
    if not len(x):
        varied = "the picture, this dimension alone varied"
    spec = {
        "decoder": decoder,
        "encoder": encoder,
        "shape": shape,
        "order": order,
        "shown": min(shown, d),
        "extent": float(np.clip(reach, 3, 5)),  # of pad and sliders, in standard deviations
        "variance": variance.tolist(),
        "of": varied,
        "labels": [] if y is None else y[:DIGITS].tolist(),
        "colours": CLASSES,
    }
    return LatentTraversal(
        **sent(spec, blocks),
        dims=sorted(order[:2]) if dims is None else list(dims),
        z=[0.0] * d,
    )


def latent_grid(model, data=None, *, n=None, rows=8) -> plt.Figure:
    """Draw the decoded images of a grid of codes: a static picture, for `show(fig, alt=...)`.

    Two dimensions: the plane, n x n, at the quantiles of the prior N(0, I) (equal steps of
    probability). More: a row for each of the `rows` most active dimensions, from -3 to 3, the
    others at 0. For any model with square images; other arguments as for `latent_traversal`.
    """
    model, x, _, _, _, order = _prepare(model, data)
    d, side = len(order), round(x.shape[1] ** 0.5)
    n = n or (16 if d == 2 else 13)
    if d == 2:
        across = torch.special.ndtri((torch.arange(n) + 0.5) / n)
        up = across.flip(0)  # the first row is the highest z_2
        z = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1)
        down, label = [f"{value:.1f}" for value in up], "$z_1$"
    else:
        across, order = torch.linspace(-3, 3, n), order[:rows]
        z = torch.zeros(len(order), n, d)
        z[torch.arange(len(order)), :, order] = across
        down, label = [f"$z_{{{i + 1}}}$" for i in order], "value of this dimension, all others 0"
    with torch.no_grad():
        mosaic = tile(model.decoder(z.flatten(0, 1)).mean, n, side, gap=0)
    fig, ax = plt.subplots(figsize=(WIDTH, (WIDTH - 0.6) * len(down) / n + 0.5))
    ax.imshow(mosaic, vmin=0, vmax=1, interpolation="nearest", cmap="gray_r")
    middles = [(k + 0.5) * side - 0.5 for k in range(max(n, len(down)))]
    ax.set_xticks(middles[:n], [f"{value:.1f}" for value in across])
    ax.set_yticks(middles[: len(down)], down)
    ax.set(xlabel=label, ylabel="$z_2$" if d == 2 else "")
    ax.tick_params(length=0, labelsize=8)
    ax.spines[:].set_visible(False)
    return fig


def encodes(model) -> bool:
    return hasattr(model, "encoder")


def found(model, x):
    """Find the codes of x for a model without an encoder, with the same seed every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model.posterior_mean(x)


def variance_alone(model, z):
    """Compute the variance of the picture, summed over the pixels, as each dimension of z varies
    alone and the others are 0: (d,).
    """
    n, d = z.shape
    alone = torch.zeros(n, d, d)
    alone[:, range(d), range(d)] = z
    return model.decoder(alone.flatten(0, 1)).mean.reshape(n, d, -1).var(0).sum(-1)


def _prepare(model, data):
    """Give a copy of the model on the CPU; images, labels and codes; the activity of each dimension;
    the dimensions in order of activity. A model that cannot give the codes of images, such as a
    GAN, has no images, and its codes are drawn from the prior.
    """
    if isinstance(model, str):
        from dgmcourse.weights import load

        model = load(model)
    if data is None:
        from dgmcourse.data.images import mnist

        data = mnist(None).test
    x, y = data if isinstance(data, tuple) else (getattr(data, "x", data), getattr(data, "y", None))
    x = torch.as_tensor(x)[:2000].cpu()
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    model = copy.deepcopy(model).cpu().float().eval()
    with torch.no_grad():
        if encodes(model):
            codes = model.encoder(x).mean.contiguous()
        elif hasattr(model, "posterior_mean"):
            codes = found(model, (x > 0.5).float())
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                x, y, codes = x[:0], None, model.prior.sample((2000,))
    if codes.shape[1] < 2:
        raise ValueError("the pad needs at least two latent dimensions, this model has one")
    if not codes.isfinite().all():
        raise ValueError("the encoder's means are not finite: has training diverged?")
    with torch.no_grad():
        variance = codes.var(0) if len(x) else variance_alone(model, codes[:50])
    order = [0, 1] if len(variance) == 2 else variance.argsort(descending=True).tolist()
    return model, x, y, codes, variance, order
