"""Optimisation: one step up an objective, and the optimisers that take it."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dgmcourse.settings import check_number


class TrainingError(ArithmeticError):
    """The objective or its gradient is not a finite number."""


def maximise(
    objective: Tensor, optimiser: torch.optim.Optimizer, clip: float | None = None
) -> float:
    """Take one step up the gradient of the batch's mean objective.

    The only place with optimisation's minus sign.

    Args:
        objective: (B,), to be maximised.
        optimiser: any of torch.optim's.
        clip: the largest norm the whole gradient may have; None: any.

    Returns:
        the mean objective before the step.

    Raises:
        TrainingError: if the objective or its gradient is not finite. The parameters are untouched.
        ValueError: if clip is not positive, or the objective depends on no parameter.
    """
    if clip is not None and not clip > 0:
        check_number(above=0, none=True, clip=clip)
    if not objective.requires_grad:
        raise ValueError(
            "the objective depends on no parameter that learns: no step can change it. Was it"
            " computed under no_grad, or detached?"
        )
    mean = objective.mean()
    optimiser.zero_grad()
    (-mean).backward()
    parameters = [
        p for group in optimiser.param_groups for p in group["params"] if p.grad is not None
    ]
    norm = nn.utils.get_total_norm([p.grad for p in parameters])
    # Read both numbers at once: a GPU waits at every reading.
    value, size = torch.stack([mean.detach(), norm.to(mean)]).tolist()
    if not math.isfinite(value):
        raise TrainingError(f"the objective is {value}")
    if not math.isfinite(size):
        raise TrainingError(f"the gradient's norm is {size}")
    if clip is not None:
        nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    optimiser.step()
    return value


def learning(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that a training changes.

    Raises:
        ValueError: if there are none.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            f"{type(module).__name__} has no parameter that learns: it is not trained by gradients,"
            " or all requires_grad are False"
        )
    return parameters


def uncompiled(optimiser: type) -> type:
    """Undo torch.optim's decorators, which import torch.compile (170 MB, some seconds) at the first
    step only to disable it.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step"):
        method = getattr(optimiser, name)
        setattr(optimiser, name, getattr(method, "__wrapped__", method))
    optimiser.step = torch.no_grad()(optimiser.step)
    return optimiser


@uncompiled
class Adam(torch.optim.Adam):
    """torch.optim.Adam, step for step, without its import of the compiler."""


@uncompiled
class RMSprop(torch.optim.RMSprop):
    """torch.optim.RMSprop, step for step, without its import of the compiler."""


def adam(parameters: Iterable[nn.Parameter], lr: float) -> Adam:
    """Adam for a player of a game (DCGAN).

    Uses beta1 = 0.5: the opponent changes, so old gradients mislead.
    """
    check_number(least=0, lr=lr)
    parameters = list(parameters)
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return Adam(parameters, lr=lr, betas=(0.5, 0.999), fused=fused)


def rmsprop(parameters: Iterable[nn.Parameter], lr: float) -> RMSprop:
    """RMSprop without momentum, which the Wasserstein GAN's authors use with clipped weights."""
    check_number(least=0, lr=lr)
    return RMSprop(list(parameters), lr=lr)
