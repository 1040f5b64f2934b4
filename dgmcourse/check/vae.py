"""Checks of notebook 07: the closed-form KL, the ELBO from its parts, ancestral sampling.

The truth comes from numerical integration over z, gradients included, never from the formula that
is asked for.
"""

import math

import numpy as np
import torch
from torch import Tensor

from dgmcourse import densities
from dgmcourse.check._exercise import Exercise
from dgmcourse.check._judge import Draws, Function, randn, reals
from dgmcourse.check._progress import progress as progress
from dgmcourse.check._stubs import Decoder, Encoder, Prior
from dgmcourse.densities import LOG_2PI, Gaussian

# ---- the course's own answers


def _kl(mean: Tensor, log_var: Tensor) -> Tensor:
    prior = Gaussian(torch.zeros_like(mean), torch.zeros_like(mean))
    return densities.kl(Gaussian(mean, log_var), prior)


def _elbo(x: Tensor, encoder, decoder) -> tuple[Tensor, Tensor, Tensor]:
    q = encoder(x)
    z = q.rsample()
    reconstruction = decoder(z).log_prob(x)
    regulariser = _kl(q.mean, q.log_var)
    return reconstruction - regulariser, reconstruction, regulariser


def _sample(n: int, prior, decoder) -> Tensor:
    z = prior.sample((n,))
    return decoder(z).sample()


# ---- the closed-form KL


def integrated_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """E_q[log q(z) - log p(z)] on a grid of z, dimension by dimension: (B,)."""
    t = torch.linspace(-10, 10, 4001, dtype=mean.dtype)  # z in standard deviations of q
    weight = torch.exp(-0.5 * t**2) * (t[1] - t[0]) / math.sqrt(2 * math.pi)
    z = mean[..., None] + torch.exp(log_var / 2)[..., None] * t
    log_q = -0.5 * (LOG_2PI + log_var[..., None] + t**2)
    return (weight * (log_q + 0.5 * (LOG_2PI + z**2))).sum((-1, -2))


def half(terms: Tensor) -> Tensor:
    return 0.5 * terms.sum(-1)


MEAN, LOG_VAR = randn(0, (7, 3), (7, 3))

kl = Exercise(
    name="kl",
    solution=_kl,
    judge=Function(
        "kl",
        truth=integrated_kl,
        rows="mean log_var",
        cases=[(MEAN, LOG_VAR)],
        edges=[
            *("with one latent dimension", "", (MEAN[:, :1], LOG_VAR[:, :1])),
            "where q is nearly the prior",
            "a KL may be as near to 0 as you like, so no clamp, and nothing added",
            (1e-3 * MEAN, 1e-3 * LOG_VAR),
            *("where q is far from the prior", "", (20 * MEAN, 10 * LOG_VAR)),
        ],
        slips=[
            "you used the standard deviation exp(log_var / 2) where the variance exp(log_var) belongs",
            lambda m, v: half((0.5 * v).exp() + m**2 - 1 - v),
            "you took log_var for the log of the standard deviation: the variance is exp(log_var), not"
            " exp(2 log_var)",
            lambda m, v: integrated_kl(m, 2 * v),
            "exp(2 log_var) is the variance squared: the variance is exp(log_var)",
            lambda m, v: half((2 * v).exp() + m**2 - 1 - v),
            "you took log_var for sigma, the standard deviation: it is log sigma^2, so the variance is"
            " exp(log_var)",
            lambda m, v: half(v**2 + m**2 - 1 - (v**2).log()),
            "you squared log_var to make the variance: it is log sigma^2, so take exp(log_var)",
            lambda m, v: half(v**2 + m**2 - 1 - v),
            "you used log_var where the variance belongs: the variance is exp(log_var)",
            lambda m, v: half(v + m**2 - 1 - v),
            "you used log_var in place of the variance: the variance is exp(log_var)",
            lambda m, v: half(v + m**2 - 1 - v.abs().log()),
            "you forgot to square the mean",
            lambda m, v: half(v.exp() + m - 1 - v),
            "this is KL[p || q], the other way round: the expectation is under q",
            lambda m, v: half(v + (1 + m**2) * (-v).exp() - 1),
        ],
        terms={
            "exp(log_var)": lambda m, v: v.exp().sum(-1),
            "mean**2": lambda m, v: (m**2).sum(-1),
            "the 1": lambda m, v: torch.ones_like(m).sum(-1),
            "log_var": lambda m, v: v.sum(-1),
        },
        shapes=[
            (7, 3),
            "one number for each latent dimension: sum over the last axis, .sum(-1)",
        ],
        nan="did you take the logarithm of log_var? It is a logarithm already and may be negative",
        unit="nats",
        praise="kl agrees with numerical integration over z to {trial.off:.0e} nats, and so do its"
        " gradients.",
    ),
    hints=[
        "The formula has four terms for each dimension. Write them on (B, d) tensors, then sum over"
        " the last axis.",
        "The network gives log_var = log sigma^2: the variance is torch.exp(log_var), its logarithm"
        " is log_var itself.",
        "0.5 * (torch.exp(log_var) + mean**2 - 1 - log_var), summed with .sum(-1).",
    ],
)


# ---- the ELBO from its parts


def expected_parts(x: Tensor, encoder, decoder) -> tuple[Tensor, Tensor, Tensor]:
    """E_q[log p(x|z)] by Gauss-Hermite quadrature in two dimensions, and the integrated KL."""
    q = encoder(x)
    nodes, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(60))
    t = torch.cartesian_prod(nodes, nodes)[:, None]
    w = torch.cartesian_prod(weights, weights).prod(-1)[:, None] / (2 * math.pi)
    logits = (q.mean + torch.exp(q.log_var / 2) * t) @ decoder.weight + decoder.bias
    log_prob = -torch.logaddexp(torch.zeros_like(logits), (1 - 2 * x) * logits).sum(-1)
    r, k = (w * log_prob).sum(0), integrated_kl(q.mean, q.log_var)
    return r - k, r, k


def drawn(q: Gaussian) -> Tensor:
    return q.rsample()


def kl_of(q: Gaussian) -> Tensor:
    return densities.kl(q, Gaussian(0 * q.mean, 0 * q.log_var))


def noisy(scale, noise=torch.randn_like):
    """z of q's mean and noise of another scale or kind."""
    return lambda q: q.mean + scale(q) * noise(q.mean)


def width(q: Gaussian) -> Tensor:
    return torch.exp(q.log_var / 2)


def reconstruction(z_of, log_prob=lambda p, x: p.log_prob(x)):
    """A slip: the reconstruction, with another z or another measure."""
    return lambda x, encoder, decoder: log_prob(decoder(z_of(encoder(x))), x)


def regulariser(change):
    """A slip: the KL's value, made of q."""
    return lambda x, encoder, decoder: change(encoder(x))


def bound(combine, z_of=drawn):
    """A slip: the bound, of the reconstruction and the KL."""
    return lambda x, encoder, decoder: combine(
        decoder(z_of(encoder(x))).log_prob(x), kl_of(encoder(x))
    )


WEIGHT = torch.tensor([[1.5, -1.0, 0.5], [0.5, 1.0, -2.0]], dtype=torch.float64)
ROWS = reals(
    [[0.7, -0.5], [-1.0, 1.2], [0.2, 0.9], [-1.5, -0.4]],
    [[-1.2, 0.4], [0.3, -0.7], [-2.0, -0.1], [0.6, 0.2]],
    [[0.3, -0.6, 0.9], [1.1, 0.2, -0.5], [-0.4, 0.8, 0.1], [0.0, -1.0, 0.7]],
    [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]],
)
SURE = reals([[0.1, -0.2]], [[-1.0, -2.0]], [[60.0, 60.0, -60.0]], [[1.0, 0.0, 0.0]])


def with_nets(mean, log_var, bias, x, weight):
    encoder = Encoder(mean, log_var, x.detach())
    return x, encoder, Decoder(bias, weight, encoder)


elbo = Exercise(
    name="elbo",
    solution=_elbo,
    judge=Draws(
        ("the bound", "the reconstruction", "the regulariser"),
        truth=expected_parts,
        given=with_nets,
        rows="mean log_var bias x",
        learn=("mean", "log_var", "bias"),
        learn_through=("the bound",),
        cases=[(*ROWS, WEIGHT)],
        edges=[
            "for a wrong pixel of logit 60",
            "it costs 60 nats, so you went through probabilities, clamped or rounded. Use decoder(z).log_prob(x), which"
            " works on logits",
            (*SURE, 0 * WEIGHT),
        ],
        slips={
            "the reconstruction": [
                "the same x gives the same value every time: you decoded the mean of q. Draw z from q",
                reconstruction(lambda q: q.mean),
                "it has the wrong sign: log p(x|z) is what you maximise, no loss",
                reconstruction(drawn, lambda p, x: -p.log_prob(x)),
                "you averaged it over the pixels: sum them",
                reconstruction(drawn, lambda p, x: p.log_prob(x) / 3),
                "that is a squared error: use decoder(z).log_prob(x)",
                reconstruction(drawn, lambda p, x: -((x - p.mean) ** 2).sum(-1)),
                "you drew z from the prior: draw it from q(z|x)",
                reconstruction(lambda q: torch.randn_like(q.mean)),
                "z has the variance exp(log_var) for its standard deviation: that is exp(log_var / 2)",
                reconstruction(noisy(lambda q: q.log_var.exp())),
                "z has no noise of the width of q: the standard deviation is exp(log_var / 2)",
                reconstruction(noisy(lambda q: 1.0)),
                "one number is the noise of all dimensions of z: each has its own, torch.randn_like",
                reconstruction(noisy(width, lambda mean: torch.randn(len(mean), 1))),
                "the noise is uniform, torch.rand: it is Gaussian, torch.randn",
                reconstruction(noisy(width, torch.rand_like)),
            ],
            "the regulariser": [
                "it has the wrong sign: return the KL itself, which is never negative",
                regulariser(lambda q: -kl_of(q)),
                "you averaged the KL over the latent dimensions: sum it",
                regulariser(lambda q: kl_of(q) / 2),
                "it is 0: return kl(q.mean, q.log_var)",
                regulariser(lambda q: 0 * q.mean[:, 0]),
                "you gave kl its arguments the wrong way round: kl(q.mean, q.log_var)",
                regulariser(lambda q: kl_of(Gaussian(q.log_var, q.mean))),
                "this is the mean over the batch: keep one for each row",
                regulariser(lambda q: kl_of(q).mean().expand(len(q.mean))),
            ],
            "the bound": [
                "you returned a loss, -ELBO: here everything is maximised",
                bound(lambda r, k: k - r),
                "in the bound the regulariser must be subtracted: reconstruction - regulariser",
                bound(lambda r, k: r + k),
                "both signs are wrong",
                bound(lambda r, k: -r - k),
                "the gradient does not pass through z: .sample() cuts it off, .rsample() does not",
                bound(lambda r, k: r - k, lambda q: q.sample()),
                "the KL's gradient is cut off: no .detach() there",
                bound(lambda r, k: r - k.detach()),
                "the reconstruction's gradient is cut off, for encoder and decoder: no torch.no_grad()",
                bound(lambda r, k: r.detach() - k),
            ],
        },
        terms={
            "the bound": {
                "the reconstruction": lambda x, e, d: expected_parts(x, e, d)[1],
                "the regulariser, subtracted,": lambda x, e, d: -expected_parts(x, e, d)[2],
            }
        },
        shared="one noise for the whole batch: every row of x needs a z of its own, as q.rsample() gives",
        unit="nats",
        praise="over 5,000 draws of z the first x's mean bound is {trial.found[0].value[0]:.3f} +-"
        " {trial.found[0].error[0]:.3f} nats, by integration {trial.truth[0].value[0]:.3f}; the"
        " gradients of encoder and decoder agree too.",
    ),
    hints=[
        "Four steps: q = encoder(x), draw z from q, ask decoder(z) how probable x is, subtract the"
        " KL.",
        "q.rsample() draws a z for each row and lets the gradient through; q.mean and q.log_var go"
        " into your kl.",
        "reconstruction = decoder(q.rsample()).log_prob(x); regulariser = kl(q.mean, q.log_var); the"
        " bound is their difference.",
    ],
)


# ---- ancestral sampling


def moments(x: Tensor) -> Tensor:
    """Each pixel, its square, which tells a draw from a probability, and its product with the first."""
    return torch.cat([x, x**2, x[:, :1] * x[:, 1:]], 1)


def expected_moments(n: int, prior, decoder) -> Tensor:
    """The moments' expectations, by the midpoint rule over z in two dimensions."""
    t = 0.02 * (torch.arange(-400, 400, dtype=torch.float64) + 0.5)
    t = torch.cartesian_prod(t, t)
    w = 0.02**2 * torch.exp(-0.5 * (t**2).sum(-1)) / (2 * math.pi)
    p = torch.special.expit(
        (prior.mean + torch.exp(prior.log_var / 2) * t) @ decoder.weight + decoder.bias
    )
    return w @ torch.cat([p, p, p[:, :1] * p[:, 1:]], 1)


PRIOR = reals([1.0, 1.0], [math.log(0.25)] * 2)  # not N(0, I): p(z) is whatever `prior` says
SWITCHES = 1e6 * torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
ODDS = torch.tensor([0.3, 0.5, 0.9], dtype=torch.float64)

sample = Exercise(
    name="sample",
    solution=_sample,
    judge=Draws(
        "sample",
        truth=expected_moments,
        given=lambda n, mean, log_var, bias, weight: (
            n,
            Prior(mean, log_var),
            Decoder(bias, weight),
        ),
        learn=(),
        moved=("mean", "log_var", "bias", "weight"),
        event=(3,),
        copies=4000,
        moments=moments,
        cases=[
            (*PRIOR, torch.full_like(ODDS, -1.5e6), SWITCHES),  # a pixel is 1 where its z is > 1.5
            (*PRIOR, ODDS.logit(), 0 * SWITCHES),  # pixels that do not depend on z
        ],
        shared="one draw serves all n images: draw n codes, prior.sample((n,)), and each pixel of each"
        " image with a random number of its own",
        slips=[
            "you returned the probabilities, a grey mean image: draw x from p(x|z), decoder(z).sample()",
            lambda n, p, d: d(p.sample((n,))).mean,
            "you rounded the pixels, though their probabilities are 0.3, 0.5 and 0.9: draw them",
            lambda n, p, d: d(p.sample((n,))).mean.round(),
            "you drew z from N(0, I), whatever the prior is: use prior.sample",
            lambda n, p, d: d(torch.randn_like(p.sample((n,)))).sample(),
            "z is uniform: draw it from the prior",
            lambda n, p, d: d(torch.rand_like(p.sample((n,)))).sample(),
            "one number is drawn for both dimensions of z: each has its own, prior.sample((n,))",
            lambda n, p, d: d(p.sample((n,))[:, :1].expand(n, 2)).sample(),
            "given z the pixels are independent, yours are not: draw each pixel with a random number of"
            " its own",
            lambda n, p, d: (torch.rand(n, 1) < d(p.sample((n,))).mean).double(),
        ],
        shapes=[
            (5, 5, 3),
            "you drew n images for each of n codes: z has n rows already, so decoder(z).sample() draws"
            " one for each",
            (5, 2),
            "you returned the codes z: decode them and draw x",
            (3,),
            "that is one image, not n: draw n codes, prior.sample((n,))",
            (1, 3),
            "that is one image, not n: draw n codes, prior.sample((n,))",
        ],
        praise="z follows the prior ({trial.found[0].value[0]:.3f} of 4,000 draws beyond a point that"
        " {trial.truth[0].value[0]:.3f} of p(z) is beyond), and each pixel is drawn given its z.",
    ),
    hints=[
        "Two draws, one after the other: first z from p(z), then x from p(x|z). The encoder has no"
        " part in it.",
        "prior.sample((n,)) has shape (n, d). decoder(z) is a Density with one row for each z, and can"
        " be sampled too.",
        "z = prior.sample((n,)), then return decoder(z).sample().",
    ],
)
