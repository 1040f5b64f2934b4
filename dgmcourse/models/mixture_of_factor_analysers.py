r"""A mixture of factor analysers: several linear Gaussian models, each for a region of the data.

Slides: "Latent Variable Models", as what a linear model lacks. Ghahramani & Hinton, The EM
Algorithm for Mixtures of Factor Analyzers, 1996.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dgmcourse.densities import Shape, draw_index
from dgmcourse.models.factor_analysis import FactorAnalysis, run_em
from dgmcourse.settings import check_whole

NEGLIGIBLE = 1e-8  # a responsibility that changes no sum


class MixtureOfFactorAnalysers(nn.Module):
    r"""$$p(x) = \sum_m \pi_m\, \mathcal N(x \mid b_m, W_m W_m^T + \Psi_m)$$

    `observed`, (D,) booleans, asks for the observed dimensions only.

    Args:
        data_dim: D, dimensions of x.
        latent_dim: K, dimensions of each component's z.
        components: M, how many.
    """

    def __init__(self, data_dim: int, latent_dim: int, components: int):
        super().__init__()
        check_whole(data_dim=data_dim, latent_dim=latent_dim, components=components)
        self.components = nn.ModuleList(
            FactorAnalysis(data_dim, latent_dim) for _ in range(components)
        )
        self.log_weights = nn.Parameter(torch.full((components,), 1 / components).log())

    def log_joint(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """log pi_m + log p_m(x) for each component: (B, M), nats."""
        each = [component.log_prob(x, observed) for component in self.components]
        return torch.log_softmax(self.log_weights, -1) + torch.stack(each, -1)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """log p(x), exactly: (B,), nats."""
        return torch.logsumexp(self.log_joint(x, observed), -1)

    @torch.no_grad()
    def initialise(self, x: Tensor, seed: int = 0, rounds: int = 5) -> None:
        """Start each component as a cluster, found by a few rounds of k-means.

        The clusters start at examples that `seed` chooses. The loadings come from torch's
        generator: with torch.manual_seed before, all is repeatable.
        """
        check_whole(rounds=rounds)
        if len(x) < len(self.components):
            raise ValueError(
                f"{len(self.components)} components need as many x at least, got {len(x)}"
            )
        random = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(x), generator=random)[: len(self.components)]
        centres = x[chosen.to(x.device)].clone()
        for _ in range(rounds):
            nearest = torch.cdist(x, centres).argmin(-1)
            for k in nearest.unique():
                centres[k] = x[nearest == k].mean(0)
        for k, component in enumerate(self.components):
            # all examples count a little: one point, or none, has no variance to start from
            component.initialise(x, 0.01 + (nearest == k).to(x))
        self.log_weights.copy_((1 + torch.bincount(nearest, minlength=len(centres))).log())

    @torch.no_grad()
    def em_step(self, x: Tensor, allowed: Tensor | None = None) -> float:
        """Make a step of EM, and return the mean log p(x) before it, nats.

        E: which component made each x. M: a weighted step of each component. `allowed`, (B, M)
        booleans, excludes components that are known not to have made an x: then the value is the
        mean of log p(x and one of the allowed).
        """
        joint = self.log_joint(x)
        if not joint.isfinite().all() or not len(x):
            raise ValueError(
                f"EM needs one x at least and no NaN or infinity in any, got shape {tuple(x.shape)}"
            )
        if allowed is not None and (allowed.shape != joint.shape or not allowed.any(-1).all()):
            raise ValueError(
                f"allowed is a bool for each x and component, {tuple(joint.shape)}, and leaves each"
                " x at least one"
            )
        joint = joint if allowed is None else joint.masked_fill(~allowed, -torch.inf)
        log_p = torch.logsumexp(joint, -1)
        responsibility = torch.exp(joint - log_p.unsqueeze(-1))
        for component, weights in zip(self.components, responsibility.unbind(-1), strict=True):
            some = weights > NEGLIGIBLE
            if weights.sum() > 1:  # a component that lost all its examples stays as it is
                component.em_step(x[some], weights[some])
        self.log_weights.copy_(responsibility.mean(0).clamp_min(NEGLIGIBLE).log())
        return log_p.mean().item()

    def fit_em(self, x: Tensor, steps: int = 100, tolerance: float = 1e-6) -> list[float]:
        """Run EM until the mean log p(x) grows by less than `tolerance` nats; return its values."""
        return run_em(lambda: self.em_step(x), steps, tolerance)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        """Draw the component, then z, then x: (*shape, D)."""
        k = draw_index(self.log_weights.softmax(-1), shape)
        x = torch.empty(*k.shape, len(self.components[0].decoder.bias)).to(self.log_weights)
        for i in k.unique():
            x[k == i] = self.components[i].sample(int((k == i).sum()))
        return x

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, draw: bool = False) -> Tensor:
        """x with what is not observed replaced by its mean given the rest, or a draw: (B, D)."""
        responsibility = self.log_joint(x, observed).softmax(-1)
        if draw:
            chosen = torch.multinomial(responsibility, 1).squeeze(-1)
            responsibility = nn.functional.one_hot(chosen, len(self.components)).to(x)
        each = (component.complete(x, observed, draw) for component in self.components)
        return torch.where(observed, x, average(each, responsibility))

    @torch.no_grad()
    def denoise(self, x: Tensor, noise_var: float) -> Tensor:
        """The mean of the clean x given x + noise, noise ~ N(0, noise_var I): (B, D)."""
        each = [component.with_noise(noise_var).log_prob(x) for component in self.components]
        responsibility = (self.log_weights + torch.stack(each, -1)).softmax(-1)
        each = (component.denoise(x, noise_var) for component in self.components)
        return average(each, responsibility)


def average(each: Iterable[Tensor], responsibility: Tensor) -> Tensor:
    """The mean of M results, (B, D) each, weighted for each row by (B, M). One is held at a time."""
    weights = responsibility.unsqueeze(-2).unbind(-1)
    return sum(weight * result for weight, result in zip(weights, each, strict=True))
