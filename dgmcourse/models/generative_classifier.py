r"""A classifier that also models the objects: the joint distribution p(x, y).

Slides: "Do we need generative modeling?". Learning from unlabelled data, too: Nigam et al., Text
Classification from Labeled and Unlabeled Documents Using EM, 2000.
"""

import torch
from torch import Tensor, nn

from dgmcourse.models.factor_analysis import run_em
from dgmcourse.models.mixture_of_factor_analysers import MixtureOfFactorAnalysers
from dgmcourse.settings import check_whole

UNLABELLED = -1


class GenerativeClassifier(nn.Module):
    r"""$$p(x, y) = p(y)\, p(x \mid y), \qquad p(y \mid x) = \frac{p(x, y)}{p(x)}, \qquad p(x) = \sum_y p(x, y)$$

    Each p(x|y) is a mixture of `per_class` factor analysers; together they are one mixture, each of
    whose components belongs to a class.

    Args:
        data_dim: dimensions of x.
        classes: how many values y has: 0, 1, ..., classes - 1.
        latent_dim: of each factor analyser.
        per_class: factor analysers for each class.
    """

    def __init__(self, data_dim: int, classes: int, latent_dim: int = 1, per_class: int = 1):
        super().__init__()
        check_whole(classes=classes, per_class=per_class)
        self.classes, self.per_class = classes, per_class
        self.mixture = MixtureOfFactorAnalysers(data_dim, latent_dim, classes * per_class)
        owner = torch.arange(classes).repeat_interleave(per_class)  # the class of each component
        self.register_buffer("owner", owner)

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, y) for each y: (B, C), nats."""
        return self.mixture.log_joint(x).unflatten(-1, (self.classes, self.per_class)).logsumexp(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), whatever the label: (B,), nats."""
        return self.mixture.log_prob(x)

    def posterior(self, x: Tensor) -> Tensor:
        """p(y|x): (B, C), each row a probability."""
        return self.log_joint(x).softmax(-1)

    @torch.no_grad()
    def initialise(self, x: Tensor, y: Tensor, seed: int = 0) -> None:
        """Start each component at the mean of its class's labelled examples.

        Where a class has several components, each starts at one of the examples, so that they
        differ. All have the variance of all the data.

        Args:
            x: (B, data_dim). y: (B,), integers, -1 where there is no label.
            seed: of the choice of examples; the random factors' is torch's own.

        Raises:
            ValueError: for a class of which no example is labelled, for labels of another shape,
                for x that is not finite.
        """
        self._check(x, y)
        random = torch.Generator().manual_seed(seed)
        for owner, component in zip(self.owner.tolist(), self.mixture.components, strict=True):
            mine = (y == owner).nonzero().squeeze(-1)
            if len(mine) == 0:
                raise ValueError(
                    f"class {owner} has no labelled example: each class needs at least one"
                )
            component.initialise(x)
            example = x[mine[torch.randint(len(mine), (), generator=random)]]
            component.decoder.bias.copy_(x[mine].mean(0) if self.per_class == 1 else example)
        self.mixture.log_weights.zero_()

    def fit_em(
        self, x: Tensor, y: Tensor, steps: int = 100, tolerance: float = 1e-6
    ) -> list[float]:
        """Run EM from the present parameters, on log p(x, y), or log p(x) where y = -1.

        Returns:
            the mean of it before each step, nats.
        """
        self._check(x, y)
        allowed = (y == UNLABELLED).unsqueeze(-1) | (y.unsqueeze(-1) == self.owner)
        return run_em(lambda: self.mixture.em_step(x, allowed), steps, tolerance)

    def _check(self, x: Tensor, y: Tensor) -> None:
        if len(x) == 0 or not x.is_floating_point() or not x.isfinite().all():
            raise ValueError(
                f"x must be finite floats, one row at least; got {x.dtype} of shape"
                f" {tuple(x.shape)}"
            )
        whole = y.shape == x.shape[:1] and not y.is_floating_point()
        if not whole or y.min() < UNLABELLED or y.max() >= self.classes:
            raise ValueError(
                f"expected {len(x)} labels from 0 to {self.classes - 1}, or {UNLABELLED} for none,"
                f" as integers, got {y.dtype} of shape {tuple(y.shape)}"
                + (f" from {y.min()} to {y.max()}" if y.numel() else "")
            )
