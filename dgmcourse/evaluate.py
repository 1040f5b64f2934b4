"""Measure a trained model: likelihoods, active latent dimensions, precision and recall.

Likelihoods are in nats, (N,), one for each x. Average them, and quote their standard error over x.
x is a batch, (N, D), of any dtype of real numbers; a NaN makes its own row's result NaN, and is
refused where the result is a count or true and false.
"""

import math

import torch
from torch import Tensor
from tqdm import tqdm

from dgmcourse.densities import check_batch, kl_per_dimension
from dgmcourse.distances import check_points

# rows of z in a pass of the decoder: fewer cost calls, more cost memory (benchmarks/RESULTS.md)
ROWS = 500


@torch.no_grad()
def log_likelihood(
    model, x: Tensor, S: int = 5000, *, rows: int = ROWS, progress: bool = False
) -> Tensor:
    r"""The importance-sampled estimate of log p(x) for a latent variable model: (N,), nats.

    $$\log \hat p(x) = \log \frac1S \sum_{s=1}^S \frac{p(x \mid z_s)\, p(z_s)}{q(z_s \mid x)}, \quad
      z_s \sim q(z \mid x)$$

    A stochastic lower bound that grows with S to log p(x) (Burda, Grosse & Salakhutdinov,
    Importance Weighted Autoencoders, 2016). Each x is encoded once; then many z of a few x go
    through the decoder at a time.

    Args:
        model: has `prior`, `encoder` and `decoder`.
        x: (N, D), floats.
        S: samples of z for each x.
        rows: how many z go through the decoder at once; more on a GPU.
        progress: show a bar.

    Raises:
        ValueError: for an empty x or S < 1.
    """
    x = check_batch(x)
    if len(x) == 0 or S < 1:
        raise ValueError(f"expected at least one x and one sample, got {len(x)} and S = {S}")
    chunk = min(S, 250)  # samples at a time; the rest of `rows` is filled with further x
    rows = rows if x.device.type == "cpu" else max(rows, 50_000)
    prior, estimates = model.prior.precomputed(), []
    batches = x.split(max(1, rows // chunk))
    for batch in tqdm(batches, disable=not progress, desc=f"log p(x), S = {S}"):
        q = model.encoder(batch)
        total = batch.new_full((len(batch),), -math.inf)
        for done in range(0, S, chunk):
            z, log_q = q.rsample_and_log_prob((min(chunk, S - done),))
            log_w = model.decoder(z).log_prob(batch) + prior.log_prob(z) - log_q
            total = torch.logaddexp(total, torch.logsumexp(log_w, 0))
        estimates.append(total - math.log(S))
    return torch.cat(estimates)


@torch.no_grad()
def log_likelihood_from_prior(model, x: Tensor, S: int = 5000, *, rows: int = ROWS) -> Tensor:
    r"""The density network's estimate of log p(x), without an encoder: (N,), nats.

    $$\log \hat p(x) = \log \frac1S \sum_{s=1}^S p(x \mid z_s), \quad z_s \sim p(z)$$

    The samples are the same for every x, and each is decoded once. Like `log_likelihood` this is a
    stochastic lower bound, a much looser one where few z explain an x.

    Args:
        model: has `prior` and `decoder`.
        x: (N, D), floats.
        S: samples of z.
        rows: how many z go through the decoder at once.

    Raises:
        ValueError: for an empty x or S < 1.
    """
    x = check_batch(x)
    if len(x) == 0 or S < 1:
        raise ValueError(f"expected at least one x and one sample, got {len(x)} and S = {S}")
    prior, total = model.prior.precomputed(), x.new_full((len(x),), -math.inf)
    for done in range(0, S, rows):
        p = model.decoder(prior.sample((min(rows, S - done),)))
        total = torch.logaddexp(total, torch.logsumexp(p.cross_log_prob(x), -1))
    return total - math.log(S)


def log_mean_exp(log_w: Tensor, dim: int = 0) -> Tensor:
    """The log of the mean of exp(log_w) along `dim`, without overflow or underflow.

    >>> log_mean_exp(torch.full((3,), -1000.0))
    tensor(-1000.)
    """
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])


def effective_sample_size(log_w: Tensor, dim: int = 0) -> Tensor:
    """(sum w)^2 / sum w^2 along `dim`, from 1 to S: how many samples carry the estimate."""
    return torch.exp(2 * torch.logsumexp(log_w, dim) - torch.logsumexp(2 * log_w, dim))


@torch.no_grad()
def kl_of_each_unit(model, x: Tensor) -> Tensor:
    """KL[q(z_d|x) || p(z_d)] averaged over x, for each latent dimension: (D,), nats.

    Raises:
        ValueError: for an empty x.
        TypeError: unless encoder and prior are diagonal Gaussians. The dimensions of a learned
            prior may depend on one another, and have no KL of their own: take `active_units`, or
            the "kl" of `model.objective(x)`, which is that of all dimensions.
    """
    if len(x := check_batch(x)) == 0:
        raise ValueError("a mean over x needs at least one x, got none")
    return kl_per_dimension(model.encoder(x), model.prior).mean(0)


@torch.no_grad()
def active_units(model, x: Tensor, threshold: float = 0.01) -> Tensor:
    """Which latent dimensions are used: (D,) booleans.

    Unit d is active if the variance over x of q's mean exceeds 0.01 (Burda, Grosse & Salakhutdinov
    2016). A collapsed one has the same posterior, the prior, for every x.

    Raises:
        ValueError: for fewer than two x, NaN or infinity.
    """
    if len(x := check_batch(x, finite=True)) < 2:
        raise ValueError(f"a variance over x needs at least two x, got {len(x)}")
    return model.encoder(x).mean.var(0) > threshold


def precision_and_recall(real: Tensor, drawn: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """Which drawn rows are realistic, (M,), and which of N real ones can be drawn, (N,).

    A drawn row is realistic, 1, if a real one lies at least as near as that one's k-th nearest real
    neighbour, else 0; and the other way round. Precision, the mean of the first, falls with bad
    samples, recall, that of the second, with missed modes (Kynkaanniemi et al., Improved Precision
    and Recall Metric, 2019, in a classifier's feature space). Compare with real against real.

    Raises:
        ValueError: for fewer than k + 1 rows on one side, rows of different lengths, NaN or
            infinity.
    """
    real, drawn = check_points(real, drawn)
    if min(len(real), len(drawn)) <= k:
        raise ValueError(
            f"a {k}-th neighbour needs at least {k + 1} rows, got {len(real)} real and {len(drawn)}"
            " drawn ones"
        )

    def within_reach(x, of):
        reach = torch.cdist(of, of).kthvalue(k + 1, dim=1).values  # the nearest is itself
        return (torch.cdist(x, of) <= reach).any(1).float()

    return within_reach(drawn, real), within_reach(real, drawn)
