"""Checks of notebook 11: a mixture's log-density, a KL in two parts, the VampPrior.

The truth comes from torch's own mixture of independent Gaussians.
"""

import math

import torch
import torch.distributions as D
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Function, randn, reals
from dgmcourse.check._progress import progress as progress
from dgmcourse.densities import LOG_2PI, Gaussian

# ---- the course's own answers


def _mixture_log_prob(z: Tensor, log_weights: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    each = Gaussian(means, log_vars).log_prob(z[:, None])
    return torch.logsumexp(log_weights + each, -1)


def _split_kl(z: Tensor, q: Gaussian, prior) -> tuple[Tensor, Tensor]:
    n = len(z)
    log_aggregate = _mixture_log_prob(z, torch.full((n,), -math.log(n)).to(z), q.mean, q.log_var)
    return q.log_prob(z) - log_aggregate, log_aggregate - prior.log_prob(z)


def _vamp_log_prob(z: Tensor, u: Tensor, encoder) -> Tensor:
    q = encoder(u)
    return _mixture_log_prob(z, torch.full((len(u),), -math.log(len(u))).to(z), q.mean, q.log_var)


# ---- the truth, and what slips are made of


def gaussian(mean: Tensor, log_var: Tensor) -> D.Distribution:
    return D.Independent(D.Normal(mean, log_var.exp().sqrt()), 1)


def of_torch(z: Tensor, log_weights: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    """A mixture's log-density: (B,)."""
    weights = D.Categorical(logits=log_weights, validate_args=False)
    return D.MixtureSameFamily(weights, gaussian(means, log_vars), validate_args=False).log_prob(z)


def evenly(z: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    return of_torch(z, torch.zeros(len(means), dtype=z.dtype), means, log_vars)


def table(z: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    """The log-density of each z under each component: (B, K)."""
    return gaussian(means, log_vars).log_prob(z[:, None])


def one_by_one(z: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    """The same for each dimension alone: (B, K, d)."""
    return gaussian(means[..., None], log_vars[..., None]).log_prob(z[:, None, :, None])


lse = torch.logsumexp
FAR = (
    "densities there are smaller than any float: no clamp, no small number added. Don't leave the"
    " logarithm: torch.logsumexp"
)


# ---- the mixture


def mixed(mix):
    """A slip: what is made of the log-weights and each z's log-density under each component."""
    return lambda z, w, m, v: mix(w, table(z, m, v))


def gauss(constant=LOG_2PI, width=lambda v: v, square=lambda d, v: d**2 / v.exp()):
    """A slip: another log-density of one dimension, of the distance d and the log-variance v."""

    def mixture(z, w, m, v):
        return lse(w - 0.5 * (constant + width(v) + square(z[:, None] - m, v)).sum(-1), -1)

    return mixture


def with_weights(z, log_weights, means, log_vars):
    return z, log_weights.log_softmax(0), means, log_vars


Z, LOG_WEIGHTS, MEANS, LOG_VARS = *randn(0, (6, 3)), *randn(1, (4,), (4, 3), (4, 3))
LOG_VARS = LOG_VARS / 2
(WIDTHS,) = reals([[-9.0, 0, 9], [9, -8, 3], [-7, 7, 1], [3, -9, 0]])

mixture_log_prob = Exercise(
    name="mixture_log_prob",
    solution=_mixture_log_prob,
    judge=Function(
        "mixture_log_prob",
        truth=of_torch,
        given=with_weights,
        rows="z",
        cases=[(Z, LOG_WEIGHTS, MEANS, LOG_VARS), randn(2, (5, 2), (7,), (7, 2), (7, 2))],
        edges=[
            *("200 standard deviations away", FAR, (Z + 200, LOG_WEIGHTS, MEANS, 0 * LOG_VARS)),
            *(
                "for log-variances from -9 to 9",
                "any real number is allowed",
                (MEANS, LOG_WEIGHTS, MEANS, WIDTHS),
            ),
            *("for one component", "", (Z, LOG_WEIGHTS[:1], MEANS[:1], LOG_VARS[:1])),
            *("in one dimension", "", (Z[:, :1], LOG_WEIGHTS, MEANS[:, :1], LOG_VARS[:, :1])),
            *("where weights are nearly 0", "", (Z, 40 * LOG_WEIGHTS, MEANS, LOG_VARS)),
        ],
        slips=[
            "each dimension was mixed on its own: sum over the dimensions first, then take the"
            " log-sum-exp over the components",
            lambda z, w, m, v: lse(w[:, None] + one_by_one(z, m, v), 1).sum(-1),
            "you averaged over the dimensions: sum them",
            lambda z, w, m, v: lse(w + one_by_one(z, m, v).mean(-1), -1),
            "the log-sum-exp ran over the dimensions, too: within a component they are a product, so sum"
            " their logarithms",
            lambda z, w, m, v: lse(w[:, None] + one_by_one(z, m, v), (1, 2)),
            "the weights are missing: add log_weights to the components' log-densities",
            mixed(lambda w, each: lse(each, -1)),
            "all components count alike: add log_weights, not -log K",
            mixed(lambda w, each: lse(each - math.log(len(w)), -1)),
            "you added log_weights in every dimension: once for each component, after the sum over"
            " dimensions",
            lambda z, w, m, v: lse(z.shape[1] * w + table(z, m, v), -1),
            "you multiplied by log_weights: a product of densities is a sum of logarithms",
            mixed(lambda w, each: lse(w * each, -1)),
            "you added the weights: add their logarithms, log_weights",
            mixed(lambda w, each: lse(w.exp() + each, -1)),
            "a mean of logarithms is not the logarithm of a mean: log-sum-exp over the components",
            mixed(lambda w, each: (w.exp() * each).sum(-1)),
            "a mean of logarithms is not the logarithm of a mean: log-sum-exp over the components",
            mixed(lambda w, each: (w + each).mean(-1)),
            "a mean of logarithms is not the logarithm of a mean: log-sum-exp over the components",
            mixed(lambda w, each: each.mean(-1)),
            "you multiplied the components, that is added their logarithms: a mixture is a sum of"
            " densities, log-sum-exp",
            mixed(lambda w, each: (w + each).sum(-1)),
            "you took the nearest component alone: all of them count, log-sum-exp",
            mixed(lambda w, each: (w + each).amax(-1)),
            "the minus is missing: log N(z | mu, sigma^2) is -1/2 of the three terms' sum",
            mixed(lambda w, each: lse(w - each, -1)),
            "the factor 1/2 is missing: it stands before all three terms, log 2 pi, log_vars and the"
            " square",
            mixed(lambda w, each: lse(w + 2 * each, -1)),
            "the constant log 2 pi is missing",
            gauss(constant=0),
            "the constant log 2 pi is there once for each z, not once for each dimension",
            lambda z, w, m, v: gauss(constant=LOG_2PI / z.shape[1])(z, w, m, v),
            "the constant is log 2 pi, not log pi",
            gauss(constant=math.log(math.pi)),
            "the factor 1/2 is missing before log 2 pi",
            gauss(constant=2 * LOG_2PI),
            "the factor 1/2 stands before all three terms, before log 2 pi and log_vars, too",
            gauss(2 * LOG_2PI, lambda v: 2 * v),
            "the term log_vars is missing: a wide component is a low one",
            gauss(width=lambda v: 0 * v),
            "log_vars is log sigma^2: you divided by sigma, not by the variance exp(log_vars)",
            gauss(square=lambda d, v: d**2 / (v / 2).exp()),
            "log_vars is log sigma^2: you took exp(log_vars) for the standard deviation",
            gauss(width=lambda v: 2 * v, square=lambda d, v: d**2 / (2 * v).exp()),
            "log_vars is log sigma^2: you divided by exp(2 log_vars), the variance squared",
            gauss(square=lambda d, v: d**2 / (2 * v).exp()),
            "you took the exponential of log_vars twice: the variance is exp(log_vars)",
            gauss(square=lambda d, v: d**2 / v.exp().exp()),
            "you divided by log_vars: the variance is exp(log_vars)",
            gauss(square=lambda d, v: d**2 / v),
            "you multiplied the squares by the variance: divide by it",
            gauss(square=lambda d, v: d**2 * v.exp()),
            "the factor 1/2 is missing before the squares",
            gauss(square=lambda d, v: 2 * d**2 / v.exp()),
            "you forgot to square the distance",
            gauss(square=lambda d, v: d / v.exp()),
        ],
        shapes=[
            (6, 4),
            "one number for each z and component: the log-sum-exp over the components, dim -1, is"
            " missing",
            (6, 3),
            "one number for each z and dimension: sum over the dimensions, the last axis, before you mix",
            (4,),
            "one number for each component: take the log-sum-exp over the components and keep the batch",
        ],
        errors={
            "must match the size": "two shapes do not fit together: every z meets every component in"
            " z[:, None] - means, (B, K, d)",
        },
        nan="log_vars are logarithms already and may be negative: no further log or sqrt",
        unit="nats",
        praise="it agrees with torch's own mixture to {trial.off:.0e} nats, far away, too, and so do its"
        " gradients.",
    ),
    hints=[
        "Three steps: every z against every component, (B, K, d); the sum over dimensions; the log-sum-exp"
        " over K.",
        "z[:, None] - means has shape (B, K, d). One dimension's log-density is -0.5 * (log 2 pi +"
        " log_vars + square / variance).",
        "each = that, summed with .sum(-1), (B, K); then torch.logsumexp(log_weights + each, -1).",
    ],
)


# ---- the KL in two parts


def three(z: Tensor, q: Gaussian, prior: Gaussian) -> tuple[Tensor, Tensor, Tensor]:
    """log q(z_n|x_n), the log of the aggregate posterior, log p(z_n): (N,) each."""
    log_p = gaussian(prior.mean, prior.log_var).log_prob(z)
    return gaussian(q.mean, q.log_var).log_prob(z), evenly(z, q.mean, q.log_var), log_p


def two_parts(z: Tensor, q: Gaussian, prior: Gaussian) -> tuple[Tensor, Tensor]:
    own, aggregate, log_p = three(z, q, prior)
    return own - aggregate, aggregate - log_p


def first(aggregate):
    """A slip: the first part with another aggregate posterior, of the table log q(z_n|x_m)."""

    def part(z, q, prior):
        log_q = table(z, q.mean, q.log_var)
        return log_q.diagonal() - aggregate(log_q)

    return part


def first_of(aggregate):
    """A slip: the first part with another aggregate posterior, of z and q."""
    return lambda z, q, prior: three(z, q, prior)[0] - aggregate(z, q)


def second(log_p):
    """A slip: the second part with another log p(z_n), of z, q and the prior."""
    return lambda z, q, prior: three(z, q, prior)[1] - log_p(z, q, prior)


def merged(z, q):
    """The Gaussian with the aggregate posterior's moments."""
    mean = q.mean.mean(0)
    return gaussian(mean, (q.log_var.exp() + (q.mean - mean) ** 2).mean(0).log()).log_prob(z)


def closed_form(z, q, prior):
    return D.kl_divergence(gaussian(q.mean, q.log_var), gaussian(prior.mean, prior.log_var))


def with_densities(z, means, log_vars, prior_mean, prior_log_var):
    return z, Gaussian(means, log_vars), Gaussian(prior_mean, prior_log_var)


def posteriors(seed: int, n: int, dims: int) -> tuple[Tensor, ...]:
    """One code of each posterior, their parameters, and those of a prior that is not N(0, I)."""
    z, means, log_vars = randn(seed, (n, dims), (n, dims), (n, dims))
    prior = torch.linspace(-1.3, -0.7, dims).double(), torch.linspace(0.4, 0.8, dims).double()
    return means + torch.exp(log_vars / 2) * z, means, log_vars, *prior


def over(log_q: Tensor) -> Tensor:
    """log q(z_n|x_m) of the others, m not n."""
    return log_q.masked_fill(torch.eye(len(log_q), dtype=torch.bool), -math.inf)


CODES, *ENCODED = posteriors(3, 7, 3)
N = "the aggregate posterior is the mean over the N digits, and N is len(z)"
OWN = "each code under its own digit: for one z, average q(z|x_m) over all m"

split_kl = Exercise(
    name="split_kl",
    solution=_split_kl,
    judge=Function(
        ("the first part", "the second part"),
        truth=two_parts,
        given=with_densities,
        cases=[(CODES, *ENCODED), posteriors(4, 10, 2)],
        edges=[
            *("for one digit", "", posteriors(5, 1, 3)),
            *("with one latent dimension", "", posteriors(6, 6, 1)),
            *(
                "where the posteriors are far apart",
                FAR,
                (CODES * 1e3, ENCODED[0] * 1e3, *ENCODED[1:]),
            ),
        ],
        slips={
            "the first part": [
                f"{N}: your sum lacks 1/N, that is - log N",
                first(lambda t: lse(t, 1)),
                f"{N}: you took the logarithm of the number of dimensions",
                lambda z, q, p: two_parts(z, q, p)[0] + math.log(z.shape[1] / len(z)),
                f"{N}, not 1000",
                first(lambda t: lse(t, 1) - math.log(1000)),
                "you took the mean over the codes, not over the digits: for one z, average q(z|x_m) over"
                " all m",
                first(lambda t: lse(t, 0) - math.log(len(t))),
                "a mean of logarithms is not the logarithm of a mean: the aggregate posterior is a mean of"
                " densities",
                first(lambda t: t.mean(1)),
                "you left out x_n itself: the aggregate posterior is the mean over all N",
                first(lambda t: lse(over(t), 1) - math.log(max(1, len(t) - 1))),
                "the mixture takes the logarithms of its weights: -log N, not 1/N",
                first(lambda t: lse(t + 1 / len(t), 1)),
                "the logarithm of the weight 1/N is -log N, not +log N",
                first(lambda t: lse(t, 1) + math.log(len(t))),
                "the log-weights are -log N each, not 1",
                first(lambda t: lse(t, 1) + 1),
                "you took q.log_prob(z), each code's own posterior, for the aggregate posterior: average"
                " over all N",
                first(lambda t: t.diagonal()),
                f"you averaged q(z_n|x_n), {OWN}",
                first(lambda t: lse(t.diagonal(), 0) - math.log(len(t))),
                f"you averaged log q(z_n|x_n), {OWN}",
                first(lambda t: t.diagonal().mean()),
                "you used one wide Gaussian with the posteriors' mean parameters: average the densities,"
                " not the parameters",
                first_of(lambda z, q: gaussian(q.mean.mean(0), q.log_var.mean(0)).log_prob(z)),
                "you used one Gaussian with the aggregate posterior's mean and variance: it is a mixture,"
                " average the densities",
                first_of(merged),
                "the mixture takes log_vars: pass q.log_var as it is",
                first_of(lambda z, q: evenly(z, q.mean, q.log_var.exp())),
            ],
            "the second part": [
                "you took N(0, I) for the prior: it is given, prior.log_prob(z)",
                second(lambda z, q, p: gaussian(0 * z, 0 * z).log_prob(z)),
                "the prior is asked at the posteriors' means: ask it at the codes, prior.log_prob(z)",
                second(lambda z, q, p: gaussian(p.mean, p.log_var).log_prob(q.mean)),
                "this is the whole KL in closed form: take the difference of two logarithms at the codes z",
                closed_form,
            ],
        },
        terms={
            "the first part": {
                "log q(z_n|x_n)": lambda *given: three(*given)[0],
                "log of the aggregate posterior, subtracted,": lambda *given: -three(*given)[1],
                "log p(z_n)": lambda *given: three(*given)[2],
            },
            "the second part": {
                "log q(z_n|x_n)": lambda *given: three(*given)[0],
                "log of the aggregate posterior": lambda *given: three(*given)[1],
                "log p(z_n), subtracted,": lambda *given: -three(*given)[2],
            },
        },
        shapes={
            "the first part": [
                (7, 7),
                "each z is paired with each x: log q(z_n|x_n) takes the n-th of both, q.log_prob(z)",
            ]
        },
        unit="nats",
        praise="both parts agree with torch's own mixture to {trial.off:.0e} nats, and so do their"
        " gradients; the first code has {trial.truth[0].value[0]:.3f} nats of information.",
    ),
    hints=[
        "The aggregate posterior is a mixture: its components are the N posteriors, with weights 1/N."
        " You wrote its log-density.",
        "log_aggregate = mixture_log_prob(z, log_weights, q.mean, q.log_var), where each of the N"
        " log-weights is -log N.",
        "Return q.log_prob(z) - log_aggregate, log_aggregate - prior.log_prob(z); torch.full((N,),"
        " -math.log(N)) are the log-weights.",
    ],
)


# ---- the VampPrior


class Encoder:
    """A q(z|x) with a tanh and a matrix, which counts the rows it was given."""

    def __init__(self, weight: Tensor):
        self.weight, self.rows = weight, 0

    def parameters(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = (torch.tanh(x.to(self.weight)) @ self.weight).chunk(2, -1)
        return mean, 0.7 * log_var

    def __call__(self, x: Tensor) -> Gaussian:
        if not isinstance(x, Tensor) or x.shape[-1] != len(self.weight):
            shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise Wrong(
                f"the encoder was given {shape}: it takes inputs of {len(self.weight)} pixels."
                " Encode u, not z."
            )
        self.rows += len(x) if x.dim() > 1 else 1
        return Gaussian(*self.parameters(x))


def of_posteriors(z: Tensor, u: Tensor, encoder: Encoder) -> Tensor:
    return evenly(z, *encoder.parameters(u))


def vamp(mix):
    """A slip: what is made of each z's log-density under each posterior."""
    return lambda z, u, encoder: mix(table(z, *encoder.parameters(u)))


def components(change):
    """A slip: a mixture of other components, made of the posteriors' means and log-variances."""
    return lambda z, u, encoder: evenly(z, *change(*encoder.parameters(u)))


class Vamp(Function):
    """The judge of the VampPrior, which also says if the encoder works too often."""

    def __call__(self, answer) -> str:
        praise = super().__call__(answer)
        z, u, encoder = self.setting(self.cases[0])[1].values()
        answer(z, u, encoder)
        if encoder.rows > len(u):
            raise Wrong(
                f"right, but the encoder saw {encoder.rows} rows for {len(u)} pseudo-inputs:"
                " q = encoder(u) once, for all z and for both q.mean and q.log_var."
            )
        return praise


LATENT, WEIGHT = randn(7, (6, 3), (5, 6))
PIXELS, OTHER = torch.sigmoid(randn(8, (4, 5))[0]), torch.sigmoid(randn(9, (9, 5))[0])
K = "the mean is over the K pseudo-inputs, and K is len(u)"

vamp_log_prob = Exercise(
    name="vamp_log_prob",
    solution=_vamp_log_prob,
    judge=Vamp(
        "vamp_log_prob",
        truth=of_posteriors,
        given=lambda z, u, encoder: (z, u, Encoder(encoder)),
        rows="z",
        cases=[(LATENT, PIXELS, WEIGHT), (1.5 * LATENT[:5], OTHER, -WEIGHT)],
        edges=[
            *("for one pseudo-input", "", (LATENT, PIXELS[:1], WEIGHT)),
            "for pseudo-inputs outside [0, 1]",
            "give u to the encoder as it is",
            (LATENT, 3 * PIXELS - 1, WEIGHT),
            *("with one latent dimension", "", (LATENT[:, :1], PIXELS, WEIGHT[:, :2])),
            *("a thousand away", FAR, (LATENT + 1000, PIXELS, WEIGHT)),
        ],
        slips=[
            f"{K}: you subtracted K, not log K",
            vamp(lambda each: lse(each, -1) - each.shape[1]),
            f"{K}: you divided by the number of z",
            vamp(lambda each: lse(each, -1) - math.log(len(each))),
            f"{K}: you divided by the number of pixels",
            lambda z, u, e: of_posteriors(z, u, e) + math.log(len(u) / u.shape[1]),
            f"{K}, not 500",
            vamp(lambda each: lse(each, -1) - math.log(500)),
            "the mixture takes the logarithms of its weights: -log K, not 1/K",
            vamp(lambda each: lse(each + 1 / each.shape[1], -1)),
            "the logarithm of the weight 1/K is -log K, not +log K",
            vamp(lambda each: lse(each, -1) + math.log(each.shape[1])),
            "the mixture takes log_vars: pass q.log_var as it is",
            components(lambda m, v: (m, v.exp())),
            "means and log-variances are exchanged: q.mean comes before q.log_var",
            components(lambda m, v: (v, m)),
            "you used the posteriors' means with variance 1: their widths count, too",
            components(lambda m, v: (m, 0 * v)),
            "you averaged the posteriors' parameters into one Gaussian: average their densities",
            components(lambda m, v: (m.mean(0, True), v.mean(0, True))),
            "only the first pseudo-input counts: take the mean over all K",
            components(lambda m, v: (m[:1], v[:1])),
            "each dimension was mixed on its own: sum over the dimensions first",
            lambda z, u, e: (lse(one_by_one(z, *e.parameters(u)), 1) - math.log(len(u))).sum(-1),
            "a mean of logarithms is not the logarithm of a mean: log-sum-exp over the pseudo-inputs",
            vamp(lambda each: each.mean(-1)),
            "you encoded the mean pseudo-input: encode all K, then average the densities",
            lambda z, u, e: of_posteriors(z, u.mean(0, True), e),
            "the pseudo-inputs went through a sigmoid: give u to the encoder as it is",
            lambda z, u, e: of_posteriors(z, u.sigmoid(), e),
            "this is N(0, I), the prior you want to replace",
            lambda z, u, e: gaussian(0 * z, 0 * z).log_prob(z),
        ],
        shapes=[
            (6, 4),
            "one number for each z and pseudo-input: the log-sum-exp over the pseudo-inputs is missing",
            (4,),
            "one number for each pseudo-input: mix over them and keep the batch of z",
        ],
        errors={
            "must match the size": "two shapes do not fit together: each z meets each of the K"
            " posteriors, as in your mixture_log_prob",
        },
        unit="nats",
        praise="it agrees with the mean of the posteriors to {trial.off:.0e} nats, and its gradients"
        " reach pseudo-inputs and encoder.",
    ),
    hints=[
        "The encoder's answer to the K pseudo-inputs is K Gaussians: q = encoder(u). The prior is"
        " their mixture with equal weights.",
        "mixture_log_prob takes q.mean and q.log_var, (K, d) each, and K log-weights, all -log K.",
        "q = encoder(u); return mixture_log_prob(z, torch.full((len(u),), -math.log(len(u))),"
        " q.mean, q.log_var).",
    ],
)
