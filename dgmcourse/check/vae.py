"""Checks of notebook 07: the closed-form KL, the ELBO from its parts, ancestral sampling.

The truth comes from numerical integration over z, gradients included, never from the formula that
is asked for.
"""

import math
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from dgmcourse import densities
from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.densities import LOG_2PI, Bernoulli, Gaussian

ROWS = (
    20_000  # copies of one x: their mean is the expectation over z, their spread its standard error
)
SIGMAS = 6.0  # how many standard errors an answer may be off: a right one fails once in a billion


# ---- the course's own answers


def _kl(mean: Tensor, log_var: Tensor) -> Tensor:
    return densities.kl(
        Gaussian(mean, log_var), Gaussian(torch.zeros_like(mean), torch.zeros_like(mean))
    )


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


def _judge_kl(kl) -> str:
    B, D = 7, 3
    random = torch.Generator().manual_seed(0)
    mean = torch.randn(B, D, generator=random, dtype=torch.float64).requires_grad_()
    log_var = torch.randn(B, D, generator=random, dtype=torch.float64).requires_grad_()
    value = _tensor(kl(mean, log_var), "kl")
    if value.shape == (B, D):
        raise Wrong(
            f"kl has shape {(B, D)}, one number for each latent dimension: sum it over the last"
            " axis, .sum(-1)."
        )
    if value.shape == (D,):
        raise Wrong(
            f"kl has shape {(D,)}: you summed over the batch (axis 0). Sum over the latent"
            " dimensions, .sum(-1)."
        )
    if value.dim() == 0:
        raise Wrong(
            "kl is one number for the whole batch: sum over the latent dimensions only and keep the"
            " batch, (B,)."
        )
    _shape(value, (B,), "kl")
    if not value.isfinite().all():
        raise Wrong(
            "kl is not finite. Did you take the logarithm of log_var? It is a logarithm already,"
            " and may be negative."
        )
    truth = _integrated_kl(mean, log_var)
    m, v = mean.detach(), log_var.detach()

    def half(terms):
        return 0.5 * terms.sum(-1)

    right = truth.detach()
    _match(
        value.detach(),
        right,
        "kl",
        {
            "you averaged the KL over the latent dimensions: sum it": right / D,
            "the sign is turned round: a KL is never negative": -right,
            "it is twice what it should be: you forgot the factor 1/2": 2 * right,
            "you forgot the - 1": right + 0.5 * D,
            "+ 1 where - 1 should be": right + D,
            "you used the standard deviation exp(log_var / 2) where the variance exp(log_var) belongs": half(
                (0.5 * v).exp() + m**2 - 1 - v
            ),
            "you took log_var for the log of the standard deviation: the variance is exp(log_var), not exp(2 log_var)": half(
                (2 * v).exp() + m**2 - 1 - 2 * v
            ),
            "exp(2 log_var) is the variance squared: the variance is exp(log_var)": half(
                (2 * v).exp() + m**2 - 1 - v
            ),
            "you took log_var for sigma, the standard deviation: it is log sigma^2, so the variance is exp(log_var)": half(
                v**2 + m**2 - 1 - (v**2).log()
            ),
            "you squared log_var to make the variance: log_var is log sigma^2, so the variance is exp(log_var)": half(
                v**2 + m**2 - 1 - v
            ),
            "you used log_var where the variance belongs: the variance is exp(log_var)": half(
                m**2 - 1
            ),
            "you used log_var in place of the variance: the variance is exp(log_var)": half(
                v + m**2 - 1 - v.abs().log()
            ),
            "you forgot the term - log_var": half(v.exp() + m**2 - 1),
            "you subtract 2 log_var: log sigma^2 is log_var itself, so subtract it once": half(
                v.exp() + m**2 - 1 - 2 * v
            ),
            "you subtract log_var / 2 within the bracket: log sigma^2 is log_var itself": half(
                v.exp() + m**2 - 1 - 0.5 * v
            ),
            "the 1/2 multiplies the first term only: put all four in brackets, 0.5 * (... + ... - 1 - ...)": (
                (0.5 * v.exp() + m**2 - 1 - v).sum(-1)
            ),
            "the 1/2 multiplies the mean's square only: put all four in brackets, 0.5 * (... + ... - 1 - ...)": (
                (0.5 * m**2 + v.exp() - 1 - v).sum(-1)
            ),
            "log_var enters with the wrong sign: - log_var": half(v.exp() + m**2 - 1 + v),
            "you forgot the means: mean squared belongs in it": half(v.exp() - 1 - v),
            "you forgot to square the mean": half(v.exp() + m - 1 - v),
            "you subtract the mean's square: add it": half(v.exp() - m**2 - 1 - v),
            "this is KL[p || q], the other way round: the expectation is under q": half(
                v + (1 + m**2) * (-v).exp() - 1
            ),
        },
        otherwise=_of_four_terms(value.detach(), m, v),
    )
    _gradients("kl", value, truth, {"mean": mean, "log_var": log_var})
    return (
        f"kl agrees with numerical integration over z to {(value - truth).abs().max().item():.0e}"
        " nats, and so do its gradients."
    )


def _of_four_terms(value: Tensor, mean: Tensor, log_var: Tensor) -> str:
    """What a wrong value is made of, if it is a sum of the formula's four terms with other factors;
    else nothing.
    """
    names = ("exp(log_var)", "mean**2", "1", "log_var")
    terms = torch.stack([log_var.exp(), mean**2, torch.ones_like(mean), log_var], -1).sum(
        1
    )  # (B, 4)
    factors = torch.linalg.lstsq(terms, value[:, None].to(terms)).solution[:, 0]
    if not torch.allclose(terms @ factors, value.to(terms), atol=1e-4):
        return ""
    wrong = [
        f"{name} has the factor {found + 0.0:g}, not {right}"
        for name, found, right in zip(
            names, factors.round(decimals=3).tolist(), (0.5, 0.5, -0.5, -0.5), strict=True
        )
        if abs(found - right) > 1e-3
    ]
    return f"kl has the formula's four terms, but not with their factors: {' and '.join(wrong)}."


def _integrated_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """E_q[log q(z) - log p(z)] on a grid of z, dimension by dimension: (B,)."""
    t = torch.linspace(-10, 10, 4001, dtype=mean.dtype)  # z in standard deviations of q
    weight = torch.exp(-0.5 * t**2) * (t[1] - t[0]) / math.sqrt(2 * math.pi)
    z = mean[..., None] + torch.exp(log_var / 2)[..., None] * t
    log_q = -0.5 * (LOG_2PI + log_var[..., None] + t**2)
    return (weight * (log_q + 0.5 * (LOG_2PI + z**2))).sum((-1, -2))


# ---- the ELBO from its parts


def _judge_elbo(elbo) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean, log_var, bias, x = _parameters()
        m, v, b = (p[0].detach().clone().requires_grad_() for p in (mean, log_var, bias))
        true_r, true_kl = _expected_log_prob(x[0], m, v, b), _integrated_kl(m[None], v[None])[0]
        three = _three(elbo(x, _Encoder(mean, log_var), _Decoder(bias)), len(x))
        _in_order(three, true_r.item(), true_kl.item())
        _confident_pixels(elbo)
        bound, reconstruction, regulariser = three
        again = _three(elbo(x, _Encoder(mean, log_var), _Decoder(bias)), len(x))[1].detach()
    r = reconstruction.detach()
    if r.std() < 1e-9:
        if (r[0] - again[0]).abs() < 1e-9:
            raise Wrong(
                "the same x gives the same reconstruction every time: you decoded the mean of q."
                " Draw z from q."
            )
        raise Wrong(
            "one noise for the whole batch: every row of x needs a z of its own. q.rsample() gives"
            " that."
        )
    parts = {"mean": mean, "log_var": log_var}

    def at(**changed) -> float:
        given = {"mean": m, "log_var": v} | changed
        return _expected_log_prob(x[0], given["mean"], given["log_var"], b).item()

    zero, pixels = torch.zeros_like(m), x.shape[1]
    _expect(
        r,
        true_r.item(),
        "the reconstruction",
        {
            "it has the wrong sign: log p(x|z) is what you maximise, no loss": -true_r.item(),
            "you averaged it over the pixels: sum them": true_r.item() / pixels,
            "you drew z from the prior: draw it from q(z|x)": at(mean=zero, log_var=zero),
            "z has the variance exp(log_var) for its standard deviation: that is exp(log_var / 2)": at(
                log_var=2 * v
            ),
            "z has no noise of the width of q: the standard deviation is exp(log_var / 2)": at(
                log_var=zero
            ),
        },
    )
    _expect(
        regulariser.detach(),
        true_kl.item(),
        "the regulariser",
        {
            "it has the wrong sign: return the KL itself, which is never negative": -true_kl.item(),
            "you averaged the KL over the latent dimensions: sum it": true_kl.item() / len(m),
            "it is 0: return kl(q.mean, q.log_var)": 0.0,
            "you gave kl its arguments the wrong way round: kl(q.mean, q.log_var)": (
                _integrated_kl(v[None], m[None]).item()
            ),
        },
    )
    k = regulariser.detach()
    _match(
        bound.detach(),
        r - k,
        "the bound",
        {
            "you added the KL: the bound is reconstruction - KL": r + k,
            "you returned a loss, -ELBO: here everything is maximised": k - r,
            "the prior term is missing: subtract the KL": r,
            "both signs are wrong": -r - k,
        },
    )
    if not bound.requires_grad:
        raise Wrong(
            "the bound has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )
    found = dict(
        zip(
            ("mean", "log_var", "bias"),
            torch.autograd.grad(bound.sum(), [mean, log_var, bias], allow_unused=True),
            strict=True,
        )
    )
    truth = dict(
        zip(
            ("mean", "log_var", "bias"),
            torch.autograd.grad(true_r - true_kl, [m, v, b]),
            strict=True,
        )
    )
    from_kl = dict(
        zip(parts, torch.autograd.grad(-_integrated_kl(m[None], v[None])[0], [m, v]), strict=True)
    )
    for name in parts:
        gradient = torch.zeros_like(mean) if found[name] is None else found[name]
        if gradient.abs().max() == 0:
            raise Wrong(
                "no gradient reaches the encoder: something cuts it off (.detach(), .sample() or"
                " torch.no_grad())."
            )
        _expect(
            gradient,
            truth[name],
            f"the gradient with respect to q's {name}",
            {
                "the gradient does not pass through z: .sample() cuts it off, .rsample() does not": from_kl[
                    name
                ],
                "the KL's gradient is cut off: no .detach() there": truth[name] - from_kl[name],
            },
        )
    if found["bias"] is None or found["bias"].abs().max() == 0:
        raise Wrong(
            "no gradient reaches the decoder: something cuts it off (.detach(), .sample() or"
            " torch.no_grad())."
        )
    _expect(found["bias"], truth["bias"], "the gradient with respect to the decoder's bias", {})
    value, se = bound.mean().item(), bound.std().item() / ROWS**0.5
    return (
        f"over {ROWS:,} draws of z the mean bound is {value:.3f} +- {se:.3f} nats, by integration"
        f" {(true_r - true_kl).item():.3f}; the gradients of encoder and decoder agree too."
    )


def _in_order(three: tuple[Tensor, ...], true_r: float, true_kl: float) -> None:
    """Raise Wrong if the three are right, but each at another's place."""
    names = ("bound", "reconstruction", "regulariser")

    def averages(values: Tensor, truth: float) -> bool:
        error = values.std().item() / len(values) ** 0.5
        return abs(values.mean().item() - truth) <= SIGMAS * error + 1e-5

    for order in list(permutations(range(3)))[1:]:
        bound, r, k = (three[i].detach() for i in order)
        if torch.allclose(bound, r - k) and averages(r, true_r) and averages(k, true_kl):
            yours = ", ".join(names[order.index(i)] for i in range(3))
            raise Wrong(
                f"the three are right, but you return them in the order {yours}. It is"
                f" {', '.join(names)}."
            )


class _Encoder:
    """A q(z|x) that does not look at x."""

    def __init__(self, mean: Tensor, log_var: Tensor):
        self.mean, self.log_var = mean, log_var

    def __call__(self, x: Tensor) -> Gaussian:
        return Gaussian(self.mean, self.log_var)


WEIGHT = torch.tensor(
    [[1.5, -1.0, 0.5], [0.5, 1.0, -2.0]], dtype=torch.float64
)  # 2 latent dimensions, 3 pixels


class _Decoder:
    """p(x|z): three pixels whose logits are linear in z."""

    def __init__(self, bias: Tensor, weight: Tensor = WEIGHT):
        self.bias, self.weight = bias, weight

    def __call__(self, z: Tensor) -> Bernoulli:
        if z.shape[-1] != len(self.weight):
            raise Wrong(
                f"the decoder got z of shape {tuple(z.shape)}: it expects {len(self.weight)} latent"
                " dimensions last."
            )
        return Bernoulli(z @ self.weight + self.bias)


def _parameters() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q's mean and log-variance, the decoder's bias, and x: the same in every row, and each row a
    leaf of its own.
    """
    rows = ([0.7, -0.5], [-1.2, 0.4], [0.3, -0.6, 0.9], [1.0, 0.0, 1.0])
    mean, log_var, bias, x = (
        torch.tensor(row, dtype=torch.float64).repeat(ROWS, 1) for row in rows
    )
    return mean.requires_grad_(), log_var.requires_grad_(), bias.requires_grad_(), x


def _expected_log_prob(x: Tensor, mean: Tensor, log_var: Tensor, bias: Tensor) -> Tensor:
    """E_q[log p(x|z)] by Gauss-Hermite quadrature in two dimensions."""
    nodes, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(60))
    t = torch.cartesian_prod(nodes, nodes)
    w = torch.cartesian_prod(weights, weights).prod(-1) / (2 * math.pi)
    logits = (mean + torch.exp(log_var / 2) * t) @ WEIGHT + bias
    return (w * (-torch.logaddexp(torch.zeros_like(logits), (1 - 2 * x) * logits)).sum(-1)).sum()


def _confident_pixels(elbo) -> None:
    """A decoder as sure as 60 nats, and wrong on one pixel: probabilities can't express it, logits
    can.
    """
    log_var = torch.full((4, 2), -60.0, dtype=torch.float64)
    bias = torch.tensor([60.0, 60.0, -60.0], dtype=torch.float64)
    x = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).repeat(4, 1)
    decoder = _Decoder(bias, torch.zeros(2, 3, dtype=torch.float64))
    value = _three(elbo(x, _Encoder(torch.zeros_like(log_var), log_var), decoder), 4)[1].detach()
    if ((value.abs() - 1).abs() < 1e-6).all():
        raise Wrong(
            "a wrong pixel of logit 60 costs 60 nats, yours 1: that is a squared error. Use"
            " decoder(z).log_prob(x)."
        )
    clamped = (
        value.isfinite().all()
        and ((value.abs() - 60).abs() > 1).all()
        and ((value.abs() * 3 - 60).abs() > 1).all()
    )
    if not value.isfinite().all() or clamped:
        raise Wrong(
            f"a wrong pixel of logit 60 costs 60 nats, yours {-value.mean().item():.1f}: you went"
            " through probabilities, clamped or rounded. Use decoder(z).log_prob(x), which works"
            " on logits."
        )


def _three(answer, n: int) -> tuple[Tensor, Tensor, Tensor]:
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise Wrong(
            "return three tensors, each of shape (B,): the bound, the reconstruction, the"
            " regulariser."
        )
    names = ("the bound", "the reconstruction", "the regulariser")
    for value, name in zip(answer, names, strict=True):
        _tensor(value, name)
        if value.dim() == 0:
            raise Wrong(
                f"{name} is one number for the whole batch: keep one for each x, shape (B,)."
                " log_prob and kl have summed over pixels and dimensions already, and maximise"
                " averages over the batch."
            )
        if value.shape == (n, 3):
            raise Wrong(f"{name} has one number for each pixel: sum over the last axis, .sum(-1).")
        _shape(value, (n,), name)
    return tuple(answer)


# ---- ancestral sampling


def _judge_sample(sample) -> str:
    n, D = 4000, 3
    prior = _Prior(
        torch.ones(2), torch.full((2,), math.log(0.25))
    )  # not N(0, I): p(z) is whatever `prior` says
    odds = torch.tensor([0.3, 0.5, 0.9])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # Pixels that do not depend on z: what is drawn from p(x|z).
        x = _images(sample, n, D, prior, _Decoder(torch.logit(odds), torch.zeros(2, D)))
        # All pixels are 1 where z[0] > 0.6, else 0: what z was drawn.
        switch = _images(
            sample,
            n,
            D,
            prior,
            _Decoder(torch.full((D,), -240.0), torch.tensor([[400.0] * D, [0.0] * D])),
        )
    if not ((x == 0) | (x == 1)).all():
        raise Wrong(
            "you returned the probabilities, a grey mean image: draw x from p(x|z),"
            " decoder(z).sample()."
        )
    if torch.equal(x.mean(0), odds.round()) or x.std(0).max() == 0:
        raise Wrong(
            "the pixels do not vary although their probabilities are 0.3, 0.5 and 0.9: you rounded"
            " them. Draw them."
        )
    both = (x[:, 0] * x[:, 1]).mean().item()
    _expect(x, odds, "the pixels' frequency", {})
    if abs(both - 0.15) > SIGMAS * math.sqrt(0.15 * 0.85 / n):
        raise Wrong(
            f"given z the pixels are independent; yours are 1 together with frequency {both:.2f},"
            " not 0.15. Draw each pixel with a random number of its own."
        )
    if switch.std(0).max() == 0:
        raise Wrong("all n images come from the same z: draw n of them, prior.sample((n,)).")
    on = _beyond(0.6, mean=1.0, sigma=0.5)
    _expect(
        switch,
        torch.full((D,), on),
        "the share of z[0] > 0.6",
        {
            "you drew z from N(0, I), whatever the prior is: use prior.sample": torch.full(
                (D,), _beyond(0.6)
            ),
            "z is uniform: draw it from the prior": torch.full((D,), 0.4),
        },
    )
    return (
        f"z follows the prior ({switch[:, 0].mean():.3f} of {n:,} draws beyond a point that"
        f" {on:.3f} of p(z) is beyond), and each pixel is drawn given its z."
    )


class _Prior(Gaussian):
    """p(z), which says what shape it wants where torch would speak of an iterable after *."""

    def sample(self, shape=()) -> Tensor:
        if not isinstance(shape, tuple | list):
            raise Wrong(
                "prior.sample wants a shape, a tuple: prior.sample((n,)), with its comma. You gave"
                f" it {shape}, of type {type(shape).__name__}."
            )
        return super().sample(shape)


def _beyond(point: float, mean: float = 0.0, sigma: float = 1.0) -> float:
    """The probability that a Gaussian exceeds the point."""
    return 0.5 * math.erfc((point - mean) / (sigma * math.sqrt(2)))


def _images(sample, n: int, D: int, prior, decoder) -> Tensor:
    x = _tensor(sample(n, prior, decoder), "sample")
    if x.dtype == torch.bool:
        raise Wrong(
            "you returned True and False: return zeros and ones as floats, decoder(z).sample()."
        )
    if x.shape == (n, n, D):
        raise Wrong(
            "you drew n images for each of n codes: z has n rows already, so decoder(z).sample()"
            " draws one for each."
        )
    if x.shape == (n, 2):
        raise Wrong("you returned the codes z: decode them and draw x.")
    if x.shape == (D,) or x.shape == (1, D):
        raise Wrong("sample returned one image, not n: draw n codes, prior.sample((n,)).")
    _shape(x, (n, D), "sample")
    return x.detach()


# ---- what all three share


def _tensor(value, name: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise Wrong(f"{name} should be a tensor, it is {type(value).__name__}.")
    return value


def _shape(value: Tensor, shape: tuple, name: str) -> None:
    if value.shape != shape:
        raise Wrong(f"{name} has shape {tuple(value.shape)}, expected {shape}.")


def _match(
    value: Tensor, truth: Tensor, name: str, mistakes: dict[str, Tensor], otherwise: str = ""
) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """

    def same(other):
        return torch.allclose(value.double(), other.double(), rtol=1e-4, atol=1e-4)

    if same(truth):
        return
    for mistake, other in mistakes.items():
        if same(other):
            raise Wrong(f"{mistake}.")
    i = (value - truth).abs().argmax()
    raise Wrong(
        otherwise
        or f"{name} is {value[i].item():.4f} nats where {truth[i].item():.4f} is right (row {i.item()} of the test)."
    )


def _expect(draws: Tensor, truth, name: str, mistakes: dict) -> None:
    """Raise Wrong unless the mean of `draws` over the rows is the truth, within its standard
    error.
    """
    mean, truth = draws.mean(0), torch.as_tensor(truth, dtype=draws.dtype)
    allowed = SIGMAS * draws.std(0) / len(draws) ** 0.5 + 1e-5

    def same(other):
        return bool(((mean - torch.as_tensor(other, dtype=draws.dtype)).abs() <= allowed).all())

    if same(truth):
        return
    for mistake, other in mistakes.items():
        if same(other):
            raise Wrong(f"{name}: {mistake}.")
    numbers = ", ".join(f"{value:.3f}" for value in mean.reshape(-1).tolist())
    expected = ", ".join(f"{value:.3f}" for value in truth.reshape(-1).tolist())
    raise Wrong(f"{name} averages {numbers} where {expected} is right.")


def _gradients(
    name: str, value: Tensor, truth: Tensor, parameters: dict[str, Tensor], atol: float = 1e-5
) -> None:
    """Raise Wrong unless value's gradients are those of the truth."""
    if not value.requires_grad:
        raise Wrong(
            f"{name} has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )
    got = torch.autograd.grad(value.sum(), list(parameters.values()), allow_unused=True)
    expected = torch.autograd.grad(truth.sum(), list(parameters.values()))
    for parameter, a, b in zip(parameters, got, expected, strict=True):
        if a is None or not torch.allclose(a, b, rtol=1e-4, atol=atol):
            raise Wrong(
                f"the value of {name} is right, its gradient with respect to {parameter} is not: is"
                " part of it cut off (.detach(), .data, torch.no_grad())?"
            )


kl = Exercise(
    name="kl",
    solution=_kl,
    judge=_judge_kl,
    hints=[
        (
            "The formula has four terms for each dimension. Write them on (B, D) tensors, then sum"
            " over the last axis."
        ),
        (
            "The network gives log_var = log sigma^2: the variance is torch.exp(log_var), its"
            " logarithm is log_var itself."
        ),
        "0.5 * (torch.exp(log_var) + mean**2 - 1 - log_var), summed with .sum(-1).",
    ],
)
elbo = Exercise(
    name="elbo",
    solution=_elbo,
    judge=_judge_elbo,
    hints=[
        (
            "Four steps: q = encoder(x), draw z from q, ask decoder(z) how probable x is, subtract"
            " the KL."
        ),
        (
            "q.rsample() draws a z for each row and lets the gradient through; q.mean and q.log_var"
            " go into your kl."
        ),
        (
            "reconstruction = decoder(q.rsample()).log_prob(x); regulariser = kl(q.mean,"
            " q.log_var); the bound is their difference."
        ),
    ],
)
sample = Exercise(
    name="sample",
    solution=_sample,
    judge=_judge_sample,
    hints=[
        (
            "Two draws, one after the other: first z from p(z), then x from p(x|z). The encoder has"
            " no part in it."
        ),
        (
            "prior.sample((n,)) has shape (n, d). decoder(z) is a Density with one row for each z,"
            " and can be sampled too."
        ),
        "z = prior.sample((n,)), then return decoder(z).sample().",
    ],
)
