"""Networks that the browser runs: a model's layers and numbers, sent once.

`networks.js` runs them. `LatentTraversal` and `Handwriting` are such widgets.
"""

import anywidget
import numpy as np
import torch
import traitlets
from torch import nn

from dgmcourse.networks import Added

# The layers that networks.js can run, and what it reads of each. A further kind needs an entry here
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


class Networks(anywidget.AnyWidget):
    """The base of a widget whose networks run in the browser; `sent` makes its two traits."""

    _spec = traitlets.Dict().tag(sync=True)  # the networks' layers and what else the script reads
    _numbers = traitlets.Bytes().tag(sync=True)  # all blocks of numbers: _spec["parts"]

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


def weights_block(arrays: list[np.ndarray]) -> np.ndarray:
    """The numbers of all networks: in half precision, half the bytes, where that is exact, as for
    shipped weights.
    """
    numbers = np.concatenate(arrays)
    with np.errstate(over="ignore"):
        halves = numbers.astype(np.float16)
    return halves if (halves == numbers).all() else numbers


def sent(spec: dict, blocks: dict[str, np.ndarray]) -> dict:
    """The traits `_spec` and `_numbers` of a widget: the spec, and where each block of numbers is.

    Args:
        blocks: name -> numbers; those of the networks are "weights".
    """
    ends = np.cumsum([block.nbytes for block in blocks.values()]).tolist()
    places = {
        "half": blocks["weights"].dtype == np.float16,
        "parts": dict(zip(blocks, zip([0, *ends], ends, strict=False), strict=True)),
        "total": ends[-1],
    }
    return {
        "_spec": spec | places,
        "_numbers": b"".join(block.tobytes() for block in blocks.values()),
    }


def export(conditional: nn.Module, given: torch.Tensor, offset: int = 0) -> tuple[list, list]:
    """Export the network that gives the Density's mean: its layers, and their numbers, which start
    at `offset` in the block that is sent.

    Raises:
        TypeError: for a layer that networks.js cannot run, or a Conditional that does more than its
            `.net`, as tried with `given`.
    """
    kind = type(conditional).__name__
    if not hasattr(conditional, "net"):
        raise TypeError(
            f"the browser runs networks, {kind} has none called `.net`: use latent_grid(model)"
        )
    layers, arrays = [], []

    def linear(weight: torch.Tensor, bias: torch.Tensor | None):
        nonlocal offset
        weight = weight.detach().numpy()
        bias = np.zeros(len(weight), np.float32) if bias is None else bias.detach().numpy()
        arrays.extend([weight.ravel(), bias])
        size = {"in": weight.shape[1], "out": len(weight)}
        at = {"weight": offset, "bias": offset + weight.size}
        layers.append({"kind": "linear"} | size | at)
        offset += weight.size + bias.size

    def add(module):
        if type(module) is nn.Sequential:
            for child in module:
                add(child)
        elif isinstance(module, nn.Linear):
            linear(module.weight, module.bias)
        elif isinstance(module, Added):  # its first layer is a linear one of [a, b]
            linear(torch.cat([module.a.weight, module.b.weight], 1), module.a.bias)
            add(module.rest)
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
        elif hasattr(density, "log_probs"):  # Categorical
            layers.append({"kind": "softmax"})
            out = out.softmax(-1)
        elif out.shape[-1] > density.mean.shape[-1]:  # Gaussian: the mean, then the log-variance
            layers.append({"kind": "take", "n": density.mean.shape[-1]})
            out = out[..., : density.mean.shape[-1]]
        if out.shape != density.mean.shape or not torch.allclose(out, density.mean, atol=1e-5):
            raise TypeError(
                f"{kind} does more than its `.net`, all the browser has: use latent_grid(model)"
            )
    return layers, arrays
