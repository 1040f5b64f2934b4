r"""Two ways to the gradient of an expectation with respect to the distribution it is taken under.

$$\nabla_\phi\, \mathbb E_{z \sim q_\phi}[f(z)]$$

Slides: the VAE's "problem" and its "solution". Both estimators are unbiased; what differs is their variance.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgmcourse.densities import Density


def score_function(f: Callable[[Tensor], Tensor], q: Density, parameters: list[Tensor], S: int = 1) -> list[Tensor]:
    r"""The score-function (REINFORCE) estimate with S samples (Williams 1992): asks nothing of f but its values.

    $$\frac1S \sum_s f(z_s)\, \nabla_\phi \log q_\phi(z_s)$$

    Args:
        f: maps z (..., D) to (...).
        q: built from `parameters`, with any batch of independent problems in front: q.sample((S,)) is (S, R, D).
        parameters: tensors with requires_grad.

    Returns:
        one gradient for each parameter, of its shape. Parameters of shape (R, D) give R independent estimates.
    """
    z = q.sample((S,))
    surrogate = (f(z).detach() * q.log_prob(z)).mean(0)  # its gradient is the estimate, its value means nothing
    return list(torch.autograd.grad(surrogate.sum(), parameters))


def pathwise(f: Callable[[Tensor], Tensor], q: Density, parameters: list[Tensor], S: int = 1) -> list[Tensor]:
    r"""The pathwise (reparameterized) estimate with S samples (Kingma & Welling 2014): needs f's gradient.

    $$\frac1S \sum_s \nabla_\phi f(\mu + \sigma \odot \epsilon_s), \quad \epsilon_s \sim \mathcal N(0, I)$$

    Arguments and result as for `score_function`; f must be differentiable and q must have an `rsample`.

    Raises:
        NotImplementedError: if q has none (a Bernoulli, for instance).
    """
    return list(torch.autograd.grad(f(q.rsample((S,))).mean(0).sum(), parameters))
