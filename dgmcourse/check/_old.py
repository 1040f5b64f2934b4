"""What modules that are not yet declarative judge with; goes with the last of them."""

import math

import torch
from torch import Tensor

from dgmcourse.check._exercise import Wrong
from dgmcourse.densities import Bernoulli

ROWS, DIM = 6, 3
WEIGHT = torch.tensor(
    [[1.5, -1.0, 0.5], [0.5, 1.0, -2.0]], dtype=torch.float64
)  # 2 latent dimensions, 3 pixels


class _Decoder:
    """p(x|z): three pixels whose logits are linear in z."""

    def __init__(self, bias: Tensor, weight: Tensor = WEIGHT):
        self.bias, self.weight = bias, weight

    def __call__(self, z: Tensor) -> Bernoulli:
        if z.shape[-1] != len(self.weight):
            raise Wrong(
                f"the decoder got z of shape {tuple(z.shape)}: it expects {len(self.weight)} latent"
                " dimensions last."
            )
        return Bernoulli(z @ self.weight + self.bias)


def _tensor(value, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise Wrong(f"{name} should be a tensor, it is {type(value).__name__}.")
    return value


def _shape(value: Tensor, shape: tuple, name: str) -> None:
    if value.shape != shape:
        raise Wrong(f"{name} has shape {tuple(value.shape)}, expected {shape}.")


def _match(
    value: Tensor, truth: Tensor, name: str, mistakes: dict[str, Tensor], otherwise: str = ""
) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """

    def same(other):
        return torch.allclose(value.double(), other.double(), rtol=1e-4, atol=1e-4)

    if same(truth):
        return
    for mistake, other in mistakes.items():
        if same(other):
            raise Wrong(f"{mistake}.")
    i = (value - truth).abs().argmax()
    raise Wrong(
        otherwise
        or f"{name} is {value[i].item():.4f} nats where {truth[i].item():.4f} is right (row {i.item()} of the test)."
    )


def _gradients(
    name: str, value: Tensor, truth: Tensor, parameters: dict[str, Tensor], atol: float = 1e-5
) -> None:
    """Raise Wrong unless value's gradients are those of the truth."""
    if not value.requires_grad:
        raise Wrong(
            f"{name} has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )
    got = torch.autograd.grad(value.sum(), list(parameters.values()), allow_unused=True)
    expected = torch.autograd.grad(truth.sum(), list(parameters.values()))
    for parameter, a, b in zip(parameters, got, expected, strict=True):
        if a is None or not torch.allclose(a, b, rtol=1e-4, atol=atol):
            raise Wrong(
                f"the value of {name} is right, its gradient with respect to {parameter} is not: is"
                " part of it cut off (.detach(), .data, torch.no_grad())?"
            )


def _rows(value, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise Wrong(f"{name} should be a tensor, it is {type(value).__name__}.")
    if value.shape != (ROWS, DIM):
        raise Wrong(
            f"{name} has shape {tuple(value.shape)}, expected {(ROWS, DIM)}: one row for each z."
        )
    return value


def _match_rows(value: Tensor, truth: Tensor, name: str, mistakes: dict[str, Tensor]) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """
    found = value.detach().double()

    def same(other: Tensor) -> bool:
        return torch.allclose(found, other.detach().double(), rtol=1e-4, atol=1e-5, equal_nan=True)

    if same(truth):
        return
    for mistake, other in mistakes.items():
        if same(other):
            raise Wrong(f"{mistake}.")
    off = (found - truth.detach()).abs().nan_to_num(math.inf).flatten(1 if truth.dim() > 1 else 0)
    i = int((off.amax(-1) if off.dim() > 1 else off).argmax())
    numbers = lambda row: ", ".join(f"{x:.4f}" for x in row.reshape(-1).tolist())  # noqa: E731
    raise Wrong(
        f"{name} is {numbers(found[i])} where {numbers(truth[i])} is right (row {i} of the test)."
    )
