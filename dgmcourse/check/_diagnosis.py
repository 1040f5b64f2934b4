"""The general diagnoses: what a wrong shape or a wrong value likely means, whatever the exercise."""

import math
import re
from typing import NamedTuple

import torch
from torch import Tensor

SIGMAS = 6.0  # standard errors that an average may be off: a right one fails once in a billion


class Estimate(NamedTuple):
    """A value and its standard error, which is 0 for what is not random."""

    value: Tensor
    error: Tensor | float = 0.0

    def agrees(self, other: "Estimate", rtol: float = 1e-4, atol: float = 1e-5) -> bool:
        """Whether both are equal, up to rounding and chance, and NaN in the same places."""
        a, b = self.value.detach().double(), other.value.detach().double()
        if a.shape != b.shape:
            return False
        variance = torch.as_tensor(self.error) ** 2 + torch.as_tensor(other.error) ** 2
        allowed = atol + rtol * b.abs() + SIGMAS * variance.sqrt()
        near = b.isfinite() & ((a - b).abs() <= allowed)
        return bool((near | (a == b) | (a.isnan() & b.isnan())).all())


def numbers(values: Tensor) -> str:
    return ", ".join(f"{x:.4f}" for x in values.flatten()[:6].tolist())


def shape_hint(found: tuple, right: tuple, arguments: list) -> str:
    """What a wrong shape likely means."""
    widths = {a.shape[-1] for a in arguments if isinstance(a, Tensor) and a.dim() > 1}
    if found == () and right:
        return "one number for the whole batch: keep one for each row, the training takes the mean later"
    if found in ((*right, 1), (1, *right)):
        return "an axis of 1 is left, which would broadcast to a table: .squeeze(-1), or no keepdim"
    if len(right) > 1 and found == right[::-1]:
        return "transpose it"
    if len(right) == 1 and found == right * 2:
        return "each row is paired with each; are two parts (B, 1) and (B,)?"
    if len(found) == len(right) + 1 and found[: len(right)] == right:
        return "one number for each entry of a row: sum over the last axis, .sum(-1)"
    if len(found) == 1 and found[0] in widths:
        return "you summed over the batch, axis 0: keep it, and sum over the last axis, .sum(-1)"
    return ""


RELATIONS = {
    "it is 0 everywhere": torch.zeros_like,
    "the sign is turned": torch.neg,
    "this is the exponential of what is asked for: take its logarithm": torch.exp,
    "this is the logarithm of what is asked for: leave it out": torch.log,
    "the logarithm is to the base 2: nats are of the natural one": lambda t: t / math.log(2),
    "the logarithm is to the base 10: nats are of the natural one": lambda t: t / math.log(10),
    "this is the absolute value of what is asked for": torch.abs,
    "this is the square of what is asked for": torch.square,
    "this is the root of what is asked for": torch.sqrt,
    "this is 1 minus what is asked for": lambda t: 1 - t,
    "negative values are cut off": torch.relu,
}
REARRANGED = {
    "the matrix is transposed": lambda t: t.mT if t.shape[-1:] == t.shape[-2:-1] else t,
    "the last axis is in reverse order": lambda t: t.flip(-1),
    "the rows are in reverse order": lambda t: t.flip(0),
    "each row has the value of the row before it": lambda t: t.roll(1, 0),
    "each row has the value of the row after it": lambda t: t.roll(-1, 0),
    "each row has the first row's value": lambda t: t[:1].expand_as(t),
    "each row has the mean of all rows": lambda t: t.mean(0, True).expand_as(t),
}


def relation(found: list[Estimate], truth: list[Estimate], sizes: list[set[int]]) -> str:
    """How wrong values relate to the right ones in all cases, in words; "" if not simply.

    Args:
        sizes: for each case, the lengths of its inputs' axes and the whole numbers among the inputs.
    """
    both = list(zip(found, truth, strict=True))
    for words, change in (
        RELATIONS | (REARRANGED if all(t.value.dim() for t in truth) else {})
    ).items():
        if all(f.agrees(Estimate(change(t.value))) for f, t in both):
            return words

    def are_sizes(xs: list[float]) -> bool:
        return all(
            any(abs(x / n - 1) < 1e-3 for n in ns if n > 1) for x, ns in zip(xs, sizes, strict=True)
        )

    def alike(xs: list[float]) -> bool:  # one number or two relate to any others
        return sum(t.value.numel() for t in truth) > 2 and max(xs) - min(xs) < 1e-3 * abs(xs[0])

    ratios = [((f.value * t.value).sum() / (t.value**2).sum()).item() for f, t in both]
    offsets = [(f.value - t.value).mean().item() for f, t in both]
    if all(f.agrees(Estimate(r * t.value)) for r, (f, t) in zip(ratios, both, strict=True)):
        if are_sizes([1 / r for r in ratios]):
            return f"it is 1/{1 / ratios[0]:.0f} of what it should be: a mean where a sum belongs"
        if are_sizes(ratios):
            return f"it is {ratios[0]:.0f} times what it should be: a sum where a mean belongs"
        if alike(ratios):
            return f"it is {ratios[0]:.3g} times what it should be: a factor of {1 / ratios[0]:.2g} is missing"
    if all(f.agrees(Estimate(t.value + c)) for c, (f, t) in zip(offsets, both, strict=True)):
        if are_sizes([math.exp(min(abs(c), 50)) for c in offsets]):
            n, verb = math.exp(abs(offsets[0])), "subtract" if offsets[0] > 0 else "add"
            return f"it is off by log {n:.0f}, the logarithm of a length: {verb} it"
        if alike(offsets):
            more = "large" if offsets[0] > 0 else "small"
            return f"it is {abs(offsets[0]):.4g} too {more} everywhere: is there a term too many, or few?"
    value, right = (torch.cat([e.value.double().flatten() for e in es]) for es in (found, truth))
    low, high = value.min(), value.max()
    off = ~torch.isclose(value, right, rtol=1e-3, atol=1e-4)
    if off.sum() > 1 and right[off].std() > 0 and torch.allclose(value, right.clamp(low, high)):
        where = f"{value[off].min():.4g}"
        where = where if value[off].std() == 0 else f"{where} or {value[off].max():.4g}"
        return f"where it should be {numbers(right[off])} it is {where}: is it clamped?"
    return ""


def combination(terms: dict[str, Tensor], found: Estimate, truth: Tensor) -> str:
    """Which factors are wrong, if a wrong value is a linear combination of the right one's terms."""
    matrix = torch.stack(list(terms.values()), -1).double()
    noise = torch.as_tensor(found.error).double().expand(len(matrix))
    scale = noise.clamp(min=noise.max() / 100)[:, None] if noise.any() else torch.ones(1, 1)
    errors = torch.linalg.pinv(matrix / scale).norm(dim=-1, keepdim=True) * bool(noise.any())
    slack = 2e-3 + SIGMAS * errors  # of each factor
    factors, wrong = [], []
    for value, error in (found, (truth, 0.0)):
        target = value.double()[:, None]
        factors.append(torch.linalg.lstsq(matrix / scale, target / scale).solution)
        if not Estimate((matrix @ factors[-1])[:, 0]).agrees(Estimate(target[:, 0], error)):
            return ""
    ratio = (factors[0] * factors[1]).sum() / (factors[1] ** 2).sum()
    if ((factors[0] - ratio * factors[1]).abs() < slack).all():
        return ""  # a multiple of the right value: see `relation`
    columns = (column[:, 0].tolist() for column in (*factors, slack))
    for term, a, right, near in zip(terms, *columns, strict=True):
        if abs(a - right) < near:
            continue
        positive = re.sub(r", (to be )?subtracted,$", "", term)
        if positive != term and abs(a + right) < near:
            wrong.append(f"{positive} must be subtracted")
            continue
        said = f"has the factor {a:.2g}, not {right:.2g}"
        said = "has the wrong sign" if abs(a + right) < near else said
        said = "does not belong in it" if abs(right) < near else said
        wrong.append(f"{term} {'is missing' if abs(a) < near else said}")
    return " and ".join(wrong)
