"""Walk through a latent space with a pad and sliders for z, and encode a digit that is written by
hand, all in the browser.

The networks are sent once, as a list of layers and a block of numbers, and `latent.js` runs them.
From then on no kernel is needed: the picture follows in the next frame, even while the kernel
trains.
"""

import copy

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from torch import nn

from dgmcourse.plot import CLASSES, WIDTH, tile
from dgmcourse.widgets import HERE, esm

DIGITS = 500  # behind the pad: enough to show the classes, few enough to be sent at once (0.4 MB)

# The layers that latent.js can run, and what it reads of each. A further kind needs an entry here
# and one there.
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
NOTHING = (nn.Identity, nn.Dropout)  # the identity in evaluation mode


def affine(norm: nn.BatchNorm1d) -> dict:
    """Write a trained batch normalisation as a factor and a shift for each unit.

    They stand in the list of layers, not among the weights: those are sent in half precision where
    that is exact, and these numbers would not be.
    """
    scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
    shift = (0 if norm.bias is None else norm.bias) - norm.running_mean * scale
    return {"kind": "affine", "scale": scale.tolist(), "shift": shift.tolist()}


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


class LatentTraversal(anywidget.AnyWidget):
    """The widget that `latent_traversal` returns. `z` is the code that is decoded and `dims` are
    the two dimensions of the pad: read or set either.
    """

    _esm = esm("latent")
    _css = HERE / "latent.css"
    _spec = traitlets.Dict().tag(sync=True)  # the networks' layers and what else latent.js reads
    _numbers = traitlets.Bytes().tag(sync=True)  # weights, codes, samples, digits: _spec["parts"]
    dims = traitlets.List(traitlets.Int()).tag(sync=True)
    z = Code().tag(sync=True)

    @traitlets.validate("dims")
    def _two_dims(self, proposal):
        d = len(self._spec["order"])
        if len(proposal.value) != 2 or not all(0 <= i < d for i in proposal.value):
            known = f"two of the dimensions 0 to {d - 1}"
            raise traitlets.TraitError(f"dims are {known}, got {proposal.value}")
        return proposal.value

    def __init__(self, **traits):
        super().__init__(**traits)
        self.on_msg(self._send_slice)

    def _send_slice(self, _, ask: dict, __) -> None:
        self.send(ask, [self._numbers[ask["at"] : ask["at"] + ask["slice"]]])

    def get_state(self, *args, **kwargs):
        """Give the state, after the widget's creation without `_numbers`.

        The numbers are sent once, at creation, with a message that Jupyter's limit on the data rate
        does not count. A page that is loaded again asks for the state later, and fetches the
        numbers in slices (`_send_slice`).
        """
        state = super().get_state(*args, **kwargs)
        if self.comm is not None and "_numbers" in state:
            state["_numbers"] = b""
        return state

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
    numbers, d = np.concatenate(arrays + more), len(order)
    with np.errstate(over="ignore"):
        halves = numbers.astype(np.float16)
    half = bool((halves == numbers).all())  # as in the shipped weights: half the bytes
    with torch.random.fork_rng(devices=[]):  # the notebook's random numbers stay what they are
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
    varied = "the encoder's mean over the data"
    if not len(x):
        varied = "the picture, this dimension alone varied"
    spec = {
        "decoder": decoder,
        "encoder": encoder,
        "half": half,
        "parts": dict(zip(blocks, zip([0, *ends], ends, strict=False), strict=True)),
        "total": ends[-1],
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
        _spec=spec,
        _numbers=b"".join(block.tobytes() for block in blocks.values()),
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


def export(conditional: nn.Module, given: torch.Tensor, offset: int = 0) -> tuple[list, list]:
    """Export the network that gives the Density's mean: its layers, and their numbers, which start
    at `offset` in the block that is sent.

    Raises:
        TypeError: for a layer that latent.js cannot run, or a Conditional that does more than its
            `.net`, as tried with `given`.
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
            bias = np.zeros(len(weight), np.float32)
            if module.bias is not None:
                bias = module.bias.detach().numpy()
            arrays.extend([weight.ravel(), bias])
            size = {"in": module.in_features, "out": module.out_features}
            at = {"weight": offset, "bias": offset + weight.size}
            layers.append({"kind": "linear"} | size | at)
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
