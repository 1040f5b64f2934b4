"""Walk through a latent space: a pad and sliders for z, a paper to write on, all computed in the
browser.

The networks are sent there once, as a list of layers and a block of numbers, and `latent.js` runs
them. From then on no kernel is needed: a key press shows its picture in the next frame, even while
the kernel trains.
"""

import copy
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from torch import nn

from dgmcourse.plot import CLASSES, WIDTH, tile

HERE = Path(__file__).parent
# test digits behind the pad: enough to show the classes, few enough to be sent at once (0.4 MB)
DIGITS = 500

# What latent.js can run, and its kind there. A further kind is a line here and one there.
LAYERS = {
    nn.GLU: lambda layer: {"kind": "glu"},
    nn.ReLU: lambda layer: {"kind": "relu"},
    nn.LeakyReLU: lambda layer: {"kind": "leaky_relu", "slope": layer.negative_slope},
    nn.ELU: lambda layer: {"kind": "elu", "alpha": layer.alpha},
    nn.SiLU: lambda layer: {"kind": "silu"},
    nn.Tanh: lambda layer: {"kind": "tanh"},
    nn.Sigmoid: lambda layer: {"kind": "sigmoid"},
    nn.Softplus: lambda layer: {"kind": "softplus", "beta": layer.beta},
}
NOTHING = (nn.Identity, nn.Dropout)  # in evaluation mode


def affine(norm: nn.BatchNorm1d) -> dict:
    """A trained batch normalisation is a factor and a shift for each unit. They go with the layers,
    as exact numbers: among the weights, which fit into half the bytes, they would not.
    """
    scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
    shift = (0 if norm.bias is None else norm.bias) - norm.running_mean * scale
    return {"kind": "affine", "scale": scale.tolist(), "shift": shift.tolist()}


class Code(traitlets.List):
    """A latent vector: set it with a list, an array or a tensor of d finite numbers; read it as a
    list.
    """

    def validate(self, widget, value):
        z = torch.as_tensor(value, dtype=torch.float32).detach().cpu().flatten()
        d = len(widget._spec["order"])
        if len(z) != d or not z.isfinite().all():
            raise traitlets.TraitError(
                f"z is a list of {d} finite numbers, got {len(z)}: {value!r:.80}"
            )
        return z.tolist()


class LatentTraversal(anywidget.AnyWidget):
    """What `latent_traversal` returns: `z` is where one is, `dims` what the pad shows; read or set
    either.
    """

    _esm = HERE / "latent.js"
    _css = HERE / "latent.css"
    _spec = traitlets.Dict().tag(sync=True)  # the networks' layers and what else latent.js reads
    _numbers = traitlets.Bytes().tag(
        sync=True
    )  # weights, codes, prior samples, digits: _spec["parts"]
    dims = traitlets.List(traitlets.Int()).tag(sync=True)
    z = Code().tag(sync=True)

    @traitlets.validate("dims")
    def _two_dims(self, proposal):
        d = len(self._spec["order"])
        if len(proposal.value) != 2 or not all(0 <= i < d for i in proposal.value):
            raise traitlets.TraitError(
                f"dims are two of the dimensions 0 to {d - 1}, got {proposal.value}"
            )
        return proposal.value

    def __init__(self, **traits):
        super().__init__(**traits)
        self.on_msg(
            lambda _, ask, __: self.send(ask, [self._numbers[ask["at"] : ask["at"] + ask["slice"]]])
        )

    def get_state(self, *args, **kwargs):
        """The numbers go out as the widget is made: Jupyter's limit of data per second spares that
        message. Who asks for the state later is a page loaded again: it gets them by the slice,
        from above.
        """
        state = super().get_state(*args, **kwargs)
        if self.comm is not None and "_numbers" in state:
            state["_numbers"] = b""
        return state

    def __repr__(self):
        return (
            f"Latent-space traversal ({len(self._spec['order'])} dimensions): run this cell to"
            " explore it."
        )


def latent_traversal(model, data=None, *, dims=None, shown=10, shape=(28, 28)) -> LatentTraversal:
    """The widget: x -> encoder -> z -> decoder -> mean of p(x|z), all of it in the browser. Without
    an encoder, as a density network is, it starts from z, and has no paper to write on. A model
    that can't say where a digit lies either, a GAN, has none behind the pad.

    Args:
        model: a `LatentVariableModel`, or what has `prior` and `decoder`, on any device, copied,
            not changed, whose decoder's and encoder's `.net` are stacks of the layers in `LAYERS`.
            Or the name of a shipped one, such as "vae_2d".
        data: what lies behind the pad: a `Data` with `.x` and labels `.y`, or a pair (x, y), x of
            shape (N, D) as grey values in [0, 1] or bytes, y of shape (N,) or None. If None:
            MNIST's test digits.
        dims: the two latent dimensions the pad shows at first; if None the two most active.
        shown: how many sliders one sees at first. They stand in order of activity, the variance of
            the mean of q(z|x) over the data; without codes, that of the picture as this dimension
            alone varies.
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
    if tuple(shape) == (28, 28) and encodes(
        model
    ):  # the size of what is written; else the widget has no paper
        encoder, more = export(model.encoder, x[:8], sum(map(len, arrays)))
    numbers, d = np.concatenate(arrays + more), len(order)
    with np.errstate(over="ignore"):
        halves = numbers.astype(np.float16)
    half = bool((halves == numbers).all())  # as in the shipped weights: half the bytes
    with torch.random.fork_rng(devices=[]):  # what the notebook draws does not depend on the widget
        torch.manual_seed(0)
        samples = model.prior.sample((100,))
    blocks = {
        "weights": halves if half else numbers,
        "codes": codes[: min(DIGITS, len(x))].numpy(),
        "prior": samples.numpy(),
        "digits": (x[:DIGITS] * 255).round().to(torch.uint8).numpy(),
    }
    ends = np.cumsum([block.nbytes for block in blocks.values()]).tolist()
    reach = np.ceil(np.quantile(codes[:, order[:2]].abs(), 0.99))
    return LatentTraversal(
        _spec={
            "decoder": decoder,
            "encoder": encoder,
            "half": half,
            "parts": dict(zip(blocks, zip([0, *ends], ends, strict=False), strict=True)),
            "total": ends[-1],
            "shape": shape,
            "order": order,
            "shown": min(shown, d),
            "extent": float(
                min(max(reach, 3), 5)
            ),  # of the pad and the sliders, in standard deviations
            "variance": variance.tolist(),
            "of": (
                "the encoder's mean over the data"
                if len(x)
                else "the picture, this dimension alone varied"
            ),
            "labels": [] if y is None else y[:DIGITS].tolist(),
            "colours": CLASSES,
        },
        _numbers=b"".join(block.tobytes() for block in blocks.values()),
        dims=sorted(order[:2]) if dims is None else list(dims),
        z=[0.0] * d,
    )


def latent_grid(model, data=None, *, n=None, rows=8) -> plt.Figure:
    """The same as a static picture, for `show(fig, alt=...)`: what the decoder makes of a grid of
    codes.

    Two dimensions: the plane, n x n, at the quantiles of the prior N(0, I) (equal steps of
    probability). More: a row for each of the `rows` most active dimensions, from -3 to 3, the
    others at 0. Any model with square images will do; other arguments as for `latent_traversal`.
    """
    model, x, _, _, _, order = _prepare(model, data)
    d, side = len(order), round(x.shape[1] ** 0.5)
    n = n or (16 if d == 2 else 13)
    if d == 2:
        across = torch.special.ndtri((torch.arange(n) + 0.5) / n)
        z = torch.stack(
            torch.meshgrid(across, across.flip(0), indexing="xy"), -1
        )  # z[1] grows upwards
        down, label = [f"{value:.1f}" for value in across.flip(0)], "z[0]"
    else:
        across, order = torch.linspace(-3, 3, n), order[:rows]
        z = torch.zeros(len(order), n, d)
        z[torch.arange(len(order)), :, order] = across
        down, label = [f"z[{i}]" for i in order], "value of this dimension, all others 0"
    with torch.no_grad():
        mosaic = tile(model.decoder(z.flatten(0, 1)).mean, n, side, gap=0)
    fig, ax = plt.subplots(figsize=(WIDTH, (WIDTH - 0.6) * len(down) / n + 0.5))
    ax.imshow(mosaic, vmin=0, vmax=1, interpolation="nearest", cmap="gray_r")
    middles = [(k + 0.5) * side - 0.5 for k in range(max(n, len(down)))]
    ax.set_xticks(middles[:n], [f"{value:.1f}" for value in across])
    ax.set_yticks(middles[: len(down)], down)
    ax.set(xlabel=label, ylabel="z[1]" if d == 2 else "")
    ax.tick_params(length=0, labelsize=8)
    ax.spines[:].set_visible(False)
    return fig


def export(conditional: nn.Module, given: torch.Tensor, offset: int = 0) -> tuple[list, list]:
    """The layers of given -> mean of the Density, and their numbers, at `offset` and on in the
    block sent.

    `given` is tried: a Conditional that does more than its `.net`, or a layer latent.js lacks, is a
    TypeError.
    """
    kind = type(conditional).__name__
    if not hasattr(conditional, "net"):
        raise TypeError(
            f"the browser runs networks, {kind} has none called `.net`: use latent_grid(model)"
        )
    layers, arrays = [], []

    def add(module):
        nonlocal offset
        if type(module) is nn.Sequential:
            for child in module:
                add(child)
        elif isinstance(module, nn.Linear):
            weight = module.weight.detach().numpy()
            bias = (
                np.zeros(len(weight), np.float32)
                if module.bias is None
                else module.bias.detach().numpy()
            )
            arrays.extend([weight.ravel(), bias])
            layers.append(
                {
                    "kind": "linear",
                    "in": module.in_features,
                    "out": module.out_features,
                    "weight": offset,
                    "bias": offset + weight.size,
                }
            )
            offset += weight.size + bias.size
        elif type(module) in LAYERS:
            layers.append(LAYERS[type(module)](module))
        elif isinstance(module, nn.BatchNorm1d) and module.track_running_stats:
            layers.append(affine(module))
        elif not isinstance(module, NOTHING):
            known = ", ".join(layer.__name__ for layer in (nn.Linear, nn.BatchNorm1d, *LAYERS))
            raise TypeError(
                f"the browser cannot run {type(module).__name__} (in {kind}.net), only {known}: "
                "use latent_grid(model), a static picture"
            )

    add(conditional.net)
    with torch.no_grad():
        out, density = conditional.net(given), conditional(given)
        if hasattr(density, "logits"):  # Bernoulli
            layers.append({"kind": "sigmoid"})
            out = out.sigmoid()
        elif out.shape[-1] > density.mean.shape[-1]:  # Gaussian: the mean, then the log-variance
            layers.append({"kind": "take", "n": density.mean.shape[-1]})
            out = out[..., : density.mean.shape[-1]]
        if out.shape != density.mean.shape or not torch.allclose(out, density.mean, atol=1e-5):
            raise TypeError(
                f"{kind} does more than its `.net`, all the browser has: use latent_grid(model)"
            )
    return layers, arrays


def encodes(model) -> bool:
    return hasattr(model, "encoder")


def found(model, x):
    """The codes of x for a model without an encoder, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model.posterior_mean(x)


def picture_variance(model, z):
    """How much the picture varies if one dimension of z does and the others are 0: (d,), summed
    over the pixels.
    """
    n, d = z.shape
    alone = torch.zeros(n, d, d)
    alone[:, range(d), range(d)] = z
    return model.decoder(alone.flatten(0, 1)).mean.reshape(n, d, -1).var(0).sum(-1)


def _prepare(model, data):
    """A copy of the model on the CPU; images, labels, codes; activities; dimensions by activity.
    Where nothing tells the codes of images, as in a GAN, there are no images, and the codes are
    drawn from the prior.
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
        variance = codes.var(0) if len(x) else picture_variance(model, codes[:50])
    order = [0, 1] if len(variance) == 2 else variance.argsort(descending=True).tolist()
    return model, x, y, codes, variance, order
