"""Measure a trained model: likelihoods, active latent dimensions, precision and recall.

Likelihoods are in nats, (N,), one for each x. Average them, and quote their standard error over x.
x is a batch, (N, D), of any dtype of real numbers; a NaN makes its own row's result NaN, and is
refused where the result is a count or true and false.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from dgmcourse.densities import as_floats, check_batch, check_terms, kl_per_dimension
from dgmcourse.distances import check_points
from dgmcourse.settings import check_number, check_whole

# rows of z in a pass of the decoder: fewer cost calls, more cost memory (benchmarks/RESULTS.md)
ROWS = 500


class Estimate(NamedTuple):
    """Estimates of log p(x) by importance sampling, and how far to trust each: (N,) all three.

    `log_p` in nats; `k`, the shape of the weights' tail (`pareto_k`); `ess`, the effective sample
    size (`effective_sample_size`), from 1 to S.
    """

    log_p: Tensor
    k: Tensor
    ess: Tensor


@torch.no_grad()
def log_likelihood(
    model,
    x: Tensor,
    S: int = 5000,
    *,
    rows: int = ROWS,
    progress: bool = False,
    reliability: bool = False,
) -> Tensor | Estimate:
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
        reliability: return an `Estimate`, with Pareto k and effective sample size. Where k is above
            `highest_k(S)`, 0.7, a few weights decide the estimate, and it is probably too low, by an
            unknown amount.

    Raises:
        ValueError: for an empty x, S < 1, rows < 1, or a model whose terms are not one value for
            each z.
    """
    x = check_sampling(x, S, rows)
    chunk = min(S, 250)  # samples at a time; the rest of `rows` is filled with further x
    rows = rows if x.device.type == "cpu" else max(rows, 50_000)
    prior, estimates, reliable = model.prior.precomputed(), [], []
    batches = x.split(max(1, rows // chunk))
    for batch in tqdm(batches, disable=not progress, desc=f"log p(x), S = {S}"):
        q = model.encoder(batch)
        total = batch.new_full((len(batch),), -math.inf)
        tail = Tail(S) if reliability else None
        for done in range(0, S, chunk):
            z, log_q = q.rsample_and_log_prob((min(chunk, S - done),))
            log_p_x, log_p_z = model.decoder(z).log_prob(batch), prior.log_prob(z)
            check_terms(z.shape[:-1], log_p_x, log_p_z, log_q)
            log_w = log_p_x + log_p_z - log_q
            total = torch.logaddexp(total, torch.logsumexp(log_w, 0))
            if tail:
                tail.add(log_w)
        estimates.append(total - math.log(S))
        if tail:
            reliable.append(tail.reliability(total))
    if not reliability:
        return torch.cat(estimates)
    return Estimate(torch.cat(estimates), *map(torch.cat, zip(*reliable, strict=True)))


@torch.no_grad()
def log_likelihood_from_prior(
    model, x: Tensor, S: int = 5000, *, rows: int = ROWS, reliability: bool = False
) -> Tensor | Estimate:
    r"""The density network's estimate of log p(x), without an encoder: (N,), nats.

    $$\log \hat p(x) = \log \frac1S \sum_{s=1}^S p(x \mid z_s), \quad z_s \sim p(z)$$

    The samples are the same for every x, and each is decoded once. Like `log_likelihood` this is a
    stochastic lower bound, a much looser one where few z explain an x.

    Args:
        model: has `prior` and `decoder`.
        x: (N, D), floats.
        S: samples of z.
        rows: how many z go through the decoder at once.
        reliability: as in `log_likelihood`.

    Raises:
        ValueError: for an empty x, S < 1 or rows < 1.
    """
    x = check_sampling(x, S, rows)
    tail = Tail(S) if reliability else None
    prior, total = model.prior.precomputed(), x.new_full((len(x),), -math.inf)
    for done in range(0, S, rows):
        p = model.decoder(prior.sample((min(rows, S - done),)))
        log_w = p.cross_log_prob(x)
        total = torch.logaddexp(total, torch.logsumexp(log_w, -1))
        if tail:
            tail.add(log_w.mT)
    log_p = total - math.log(S)
    return Estimate(log_p, *tail.reliability(total)) if tail else log_p


def check_sampling(x: Tensor, S: int, rows: int) -> Tensor:
    """x as floats; a ValueError unless it is a batch, (N, D), of at least one x, and S and rows are
    at least 1.
    """
    check_whole(S=S, rows=rows)
    if len(x := check_batch(x)) == 0:
        raise ValueError(f"expected at least one x, got shape {tuple(x.shape)}")
    return x


class Tail:
    """What the reliability of an estimate needs of S log-weights that come in parts, (s, N): the sum
    of their squares, and the largest, of which `pareto_k` is made.
    """

    def __init__(self, S: int):
        self.kept, self.largest, self.squares = tail_length(S) + 1, None, None

    def add(self, log_w: Tensor) -> None:
        squares, largest = torch.logsumexp(2 * log_w, 0), log_w
        if self.largest is not None:
            squares = torch.logaddexp(self.squares, squares)
            largest = torch.cat([self.largest, log_w])
        self.squares = squares
        self.largest = top(largest, self.kept)

    def reliability(self, total: Tensor) -> tuple[Tensor, Tensor]:
        """Pareto k and the effective sample size, (N,) each, given the log of the weights' sum."""
        return tail_shape(self.largest), torch.exp(2 * total - self.squares)


def pareto_k(log_w: Tensor, dim: int = 0) -> Tensor:
    r"""How heavy the tail of the weights is along `dim`: the shape k of a Pareto distribution.

    $$P(w > u + y \mid w > u) \approx (1 + k y / \sigma)^{-1/k}$$

    It is fitted to the largest min(S / 5, 3 sqrt(S)) of S weights. Weights have a variance only if
    k < 1/2, and a mean only if k < 1. Up to `highest_k(S)`, 0.7 for S = 2,200 weights or more, their
    mean is of use in practice. Above it is not to be trusted: a few weights decide it, and above 0.7
    no S within reach is enough. Take another q(z|x), or a sum over a grid. A small k is no proof
    either: a mode of the posterior that no draw came near is in none of the weights.

    Vehtari, Simpson, Gelman, Yao & Gabry, Pareto Smoothed Importance Sampling, 2024; fitted after
    Zhang & Stephens, 2009, with the former's weak prior at k = 1/2. Infinity if fewer than five
    weights exceed the tail's smallest, which is too few to tell; minus infinity if none does, as
    with a q that is the posterior itself.

    Args:
        log_w: log-weights, S of them along `dim`.

    Returns:
        k for each place on the other axes.
    """
    check_whole(S=log_w.shape[dim])
    log_w = log_w.movedim(dim, 0)
    return tail_shape(top(log_w, tail_length(len(log_w)) + 1))


def top(log_w: Tensor, n: int) -> Tensor:
    """The n largest along the first axis, or as many as there are, in falling order."""
    return log_w.topk(min(n, len(log_w)), 0).values


def highest_k(S: int) -> float:
    """The highest `pareto_k` with which the mean of S weights is to be trusted:
    min(0.7, 1 - 1 / log10 S). Vehtari et al., Pareto Smoothed Importance Sampling, 2024.

    >>> highest_k(5000), round(highest_k(100), 2)
    (0.7, 0.5)
    """
    check_whole(S=S)
    return min(0.7, 1 - 1 / math.log10(S)) if S > 1 else -math.inf


def tail_length(S: int) -> int:
    """How many of S weights count as their tail."""
    return math.ceil(min(S / 5, 3 * S**0.5))


def tail_shape(largest: Tensor) -> Tensor:
    """`pareto_k` of the log-weights of the tail and the next below, in falling order: (M + 1, ...).

    Zhang & Stephens: with excesses y over the smallest weight and theta = -k / sigma, the likelihood
    is highest at k(theta) = mean log(1 - theta y); theta is averaged over that profile likelihood.
    """
    log_w = largest.cpu().double()
    finite = log_w.clamp_min(torch.finfo(log_w.dtype).min)
    # excesses in units of the largest weight, rising; expm1 keeps small ones
    y = -torch.exp(finite[:-1] - finite[:1]) * torch.expm1(finite[-1:] - finite[:-1])
    y, M = y.flip(0), len(y)
    n = (y > 0).sum(0, keepdim=True)
    if M < 5:
        return torch.full_like(largest[0], math.inf)
    quartile = y.gather(0, (M - n + (n / 4 + 0.5).long() - 1).clamp(0, M - 1))
    points = 30 + int(M**0.5)
    steps = 1 - (points / (torch.arange(points, dtype=y.dtype) + 0.5)).sqrt()
    thetas = 1 / y[-1] + steps.view(-1, *[1] * (y.dim() - 1)) / (3 * quartile)
    thetas = thetas.masked_fill(thetas == 0, 1e-100)  # where -k / theta is 0 / 0
    k = torch.stack([torch.log1p(-theta * y).sum(0) for theta in thetas]) / n
    profile = n * (torch.log(-thetas / k) - k - 1)
    theta = (torch.softmax(profile, 0) * thetas).sum(0)
    n = n.squeeze(0)
    k = torch.log1p(-theta * y).sum(0) / n
    k = (n * k + 10 * 0.5) / (n + 10)
    k = k.where(n >= 5, math.inf).where((n > 0) | (log_w[0] == -math.inf), -math.inf)
    k = k.where(~log_w.isnan().any(0), math.nan)
    return k.to(largest.dtype).to(largest.device)


@torch.no_grad()
def in_parts(f: Callable[..., Tensor], *tensors: Tensor, rows: int = ROWS) -> Tensor:
    """f of the tensors' rows, `rows` at a time, without a gradient: for the sake of memory.

    Args:
        f: of as many tensors, (B, ...) each, to (B, ...); no row may depend on another.
        tensors: (N, ...), each.

    Returns:
        (N, ...).

    Raises:
        ValueError: for tensors of different lengths, or rows < 1.
    """
    check_whole(rows=rows)
    if len({len(tensor) for tensor in tensors}) != 1:
        raise ValueError(
            f"expected tensors of one length, got {', '.join(str(len(t)) for t in tensors)}"
        )
    parts = zip(*(tensor.split(rows) for tensor in tensors), strict=True)
    return torch.cat([f(*part) for part in parts])


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
        ValueError: for fewer than two x, NaN or infinity, or a negative threshold.
    """
    check_number(least=0, threshold=threshold)
    if len(x := check_batch(x, finite=True)) < 2:
        raise ValueError(f"a variance over x needs at least two x, got {len(x)}")
    return in_parts(lambda rows: model.encoder(rows).mean, x).var(0) > threshold


def precision_and_recall(real: Tensor, drawn: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """Which drawn rows are realistic, (M,), and which of N real ones can be drawn, (N,).

    A drawn row is realistic, 1, if a real one lies at least as near as that one's k-th nearest real
    neighbour, else 0; and the other way round. Precision, the mean of the first, falls with bad
    samples, recall, that of the second, with missed modes (Kynkaanniemi et al., Improved Precision
    and Recall Metric, 2019, in a classifier's feature space). Compare with real against real.

    Raises:
        ValueError: for k < 1, fewer than k + 1 rows on one side, rows of different lengths, NaN or
            infinity.
    """
    check_whole(k=k)
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


def auc(positive: Tensor, negative: Tensor) -> float:
    """The chance that a positive example has a higher score than a negative one; ties count half.

    The area under the curve of hits against false alarms (ROC), by ranks: Mann and Whitney's U.

    Args:
        positive, negative: scores, (P,) and (N,); any real numbers.

    Raises:
        ValueError: for no scores of a kind, scores that are no vectors, or NaN.
    """
    positive, negative = check_scores(positive, negative)
    ordered = negative.sort().values
    below = torch.searchsorted(ordered, positive)
    tied = torch.searchsorted(ordered, positive, right=True) - below
    return ((below + 0.5 * tied).double().mean() / len(negative)).item()


def average_precision(positive: Tensor, negative: Tensor) -> float:
    r"""The mean precision at each positive example, going down the scores.

    $$\mathrm{AP} = \sum_n (R_n - R_{n-1}) P_n$$

    with precision P and recall R of all examples whose score is at least the n-th different one, as
    in scikit-learn. Unlike the AUC it depends on how many negatives there are for each positive.

    Args, Raises: as for `auc`.
    """
    positive, negative = check_scores(positive, negative)
    hits, false_alarms = (
        len(part) - torch.searchsorted(part.sort().values, positive)  # of scores as high as this
        for part in (positive, negative)
    )
    return (hits / (hits + false_alarms).double()).mean().item()


def check_scores(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of both kinds in one dtype; a ValueError for what has no rank."""
    positive, negative = as_floats(positive), as_floats(negative)
    for name, scores in (("positive", positive), ("negative", negative)):
        if scores.dim() != 1 or not len(scores):
            raise ValueError(
                f"expected one score for each of some {name} examples, (n,), got shape"
                f" {tuple(scores.shape)}"
            )
        if scores.isnan().any():
            raise ValueError(
                f"{int(scores.isnan().sum())} {name} scores are NaN: they have no rank"
            )
    wide = torch.promote_types(positive.dtype, negative.dtype)
    return positive.detach().to(wide).contiguous(), negative.detach().to(wide).contiguous()
