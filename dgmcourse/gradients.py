r"""Two ways to the gradient of an expectation with respect to the distribution it is taken under.

$$\nabla_\phi\, \mathbb E_{z \sim q_\phi}[f(z)]$$

Slides: the VAE's "problem" and its "solution". Both estimators are unbiased; they differ in
variance.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgmcourse.densities import Density


def score_function(
    f: Callable[[Tensor], Tensor],
    q: Density,
    parameters: list[Tensor],
    S: int = 1,
    baseline: bool = False,
) -> list[Tensor]:
    r"""The score-function (REINFORCE) estimate with S samples, which needs only the values of f.

    Williams, 1992:

    $$\frac1S \sum_s f(z_s)\, \nabla_\phi \log q_\phi(z_s)$$

    Args:
        f: maps z (..., D) to (...).
        q: made of `parameters`, for R independent problems at once if they are (R, D).
        parameters: tensors with requires_grad.
        baseline: subtract from each f(z_s) the mean of the other S - 1 values. E[grad log q] = 0,
            so that any number that does not depend on z_s can be subtracted without a bias.

    Returns:
        a gradient for each parameter, of its shape. Parameters (R, D) give R independent estimates.

    Raises:
        ValueError: with a baseline and S = 1, when there are no other values; if S < 1; if f does
            not give one value for each z.
    """
    values, z = draw_and_evaluate(f, q.sample, S)
    values = values.detach()
    if baseline:
        values = values - leave_one_out(values)
    surrogate = (values * q.log_prob(z)).mean(0)  # only its gradient means something
    return list(torch.autograd.grad(surrogate.sum(), parameters))


def leave_one_out(values: Tensor) -> Tensor:
    """For each of S values, (S, ...), the mean of the others: (S, ...).

    Mnih & Rezende, 2016; Kool et al., 2019.
    """
    if len(values) < 2:
        raise ValueError(
            "a leave-one-out baseline needs S >= 2 samples: there is nothing to compare a single"
            " one with"
        )
    return (values.sum(0) - values) / (len(values) - 1)


def pathwise(
    f: Callable[[Tensor], Tensor], q: Density, parameters: list[Tensor], S: int = 1
) -> list[Tensor]:
    r"""The pathwise (reparameterized) estimate with S samples, which needs the gradient of f.

    Kingma & Welling, 2014:

    $$\frac1S \sum_s \nabla_\phi f(\mu + \sigma \odot \epsilon_s), \quad \epsilon_s \sim \mathcal N(0, I)$$

    Arguments and result as for `score_function`; f must be differentiable and q must have an
    `rsample`.

    Raises:
        NotImplementedError: if q has none (a Bernoulli, for instance).
        ValueError: if S < 1, or f does not give one value for each z.
    """
    values, _ = draw_and_evaluate(f, q.rsample, S)
    return list(torch.autograd.grad(values.mean(0).sum(), parameters))


def draw_and_evaluate(
    f: Callable[[Tensor], Tensor], sample: Callable[[tuple], Tensor], S: int
) -> tuple[Tensor, Tensor]:
    """f(z), (S, ...), and z, (S, ..., D).

    Raises:
        ValueError: if S < 1, or if f(z) has another shape, which could broadcast unnoticed.
    """
    if S < 1:
        raise ValueError(f"an estimate needs at least one sample, got S = {S}")
    z = sample((S,))
    values = f(z)
    if values.shape != z.shape[:-1]:
        raise ValueError(
            f"f must give one value for each z, shape {tuple(z.shape[:-1])}, got"
            f" {tuple(values.shape)}: sum over the last axis"
        )
    return values, z
