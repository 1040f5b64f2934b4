"""Checks of notebook 11: a mixture's log-density, a KL in two parts, the VampPrior.

The truth is a sum of products of one-dimensional densities, none of them a logarithm, in float64;
where that is 0 in float64, it is the one component that is left.
"""

import math

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._old import _gradients
from dgmcourse.densities import Gaussian, Mixture, kl

B, K, D = 6, 4, 3


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


# ---- the truth, without a logarithm before the end


def _each(z: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    """N(z_bd | mu_kd, sigma_kd^2) for each z, component and dimension: (B, K, D)."""
    sigma = torch.sqrt(torch.exp(log_vars))
    return torch.exp(-(((z[:, None] - means) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))


def _density(z: Tensor, weights: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    """The mixture's density: (B,)."""
    return _each(z, means, log_vars).prod(-1) @ weights


def _parameters(seed: int, n: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """z (n, D), means and log-variances (k, D), which have gradients, in float64."""
    random = torch.Generator().manual_seed(seed)
    z, means, log_vars = (
        torch.randn(rows, D, generator=random, dtype=torch.float64) for rows in (n, k, k)
    )
    return z, means.requires_grad_(), log_vars.requires_grad_()


# ---- the mixture


def _judge_mixture(answer) -> str:
    z, means, log_vars = _parameters(0, B, K)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    log_weights = weights.log().requires_grad_()
    value = _one_each(
        answer(z, log_weights, means, log_vars),
        "mixture_log_prob",
        B,
        {
            (
                B,
                K,
            ): (
                "one number for each z and component: the log-sum-exp over the components, dim -1,"
                " is missing"
            ),
            (
                B,
                D,
            ): (
                "one number for each z and dimension: sum over the dimensions, the last axis,"
                " before you mix"
            ),
            (K,): (
                "one number for each component: take the log-sum-exp over the components and keep"
                " the batch"
            ),
            (B, 1): "a spare axis at the end: one number for each z, without keepdim",
        },
    )
    truth = _density(z, log_weights.exp(), means, log_vars).log()
    each = _each(z, means, log_vars).detach()
    m, v, right = means.detach(), log_vars.detach(), truth.detach()
    log_each, constant = each.log().sum(-1), 0.5 * D * math.log(2 * math.pi)
    far = (z[:, None] - m) ** 2

    def mixed(log_components):
        return torch.logsumexp(weights.log() + log_components, -1)

    _match(
        value.detach(),
        right,
        "mixture_log_prob",
        {
            "each dimension was mixed on its own: sum over the dimensions first, then take the log-sum-exp over the components": (
                (weights[:, None] * each).sum(1).log().sum(-1)
            ),
            "the sign is turned round: return the log-density itself": -right,
            "you averaged over the dimensions: sum them": mixed(log_each / D),
            "you returned the density: take its logarithm": right.exp(),
            "the log-sum-exp ran over the dimensions, too: within a component they are a product, so sum their logarithms": torch.logsumexp(
                (weights[:, None] * each).log(), (1, 2)
            ),
            "the weights are missing: add log_weights to the components' log-densities": (
                torch.logsumexp(log_each, -1)
            ),
            "all components count alike: add log_weights, not -log K": (
                torch.logsumexp(log_each, -1) - math.log(K)
            ),
            "log_weights hold the 1/K already: no mean over the components, no - log K beside them": (
                right - math.log(K)
            ),
            "you added log_weights in every dimension: once for each component, after the sum over dimensions": mixed(
                log_each + (D - 1) * weights.log()
            ),
            "you multiplied by log_weights: a product of densities is a sum of logarithms": (
                torch.logsumexp(weights.log() * log_each, -1)
            ),
            "you added the weights: add their logarithms, log_weights": torch.logsumexp(
                weights + log_each, -1
            ),
            "a mean of logarithms is not the logarithm of a mean: log-sum-exp over the components": (
                (weights * log_each).sum(-1)
            ),
            "you multiplied the components, that is added their logarithms: a mixture is a sum of densities, log-sum-exp": (
                (weights.log() + log_each).sum(-1)
            ),
            "you took the nearest component alone: all of them count, log-sum-exp": (
                (weights.log() + log_each).amax(-1)
            ),
            "the constant log 2 pi is missing": mixed(log_each + constant),
            "the constant is there once for each z, not once for each dimension": mixed(
                log_each + constant * (1 - 1 / D)
            ),
            "the constant is log 2 pi, not log pi": mixed(log_each + 0.5 * D * math.log(2)),
            "the factor 1/2 is missing before log 2 pi": mixed(log_each - constant),
            "the minus is missing: log N(z | mu, sigma^2) is -1/2 of the three terms' sum": mixed(
                -log_each
            ),
            "the factor 1/2 is missing: it stands before all three terms, log 2 pi, log_vars and the square": mixed(
                2 * log_each
            ),
            "the factor 1/2 stands before all three terms, before log 2 pi and log_vars, too": (
                mixed(-2 * constant - v.sum(-1) - 0.5 * (far / v.exp()).sum(-1))
            ),
            "the term log_vars is missing: a wide component is a low one": mixed(
                log_each + 0.5 * v.sum(-1)
            ),
            "log_vars is log sigma^2: you divided by sigma, not by the variance exp(log_vars)": (
                mixed(-constant - 0.5 * (v + far / (v / 2).exp()).sum(-1))
            ),
            "log_vars is log sigma^2: you took exp(log_vars) for the standard deviation": mixed(
                -constant - (v + far / (2 * v).exp() / 2).sum(-1)
            ),
            "log_vars is log sigma^2: you divided by exp(2 log_vars), the variance squared": mixed(
                -constant - 0.5 * (v + far / (2 * v).exp()).sum(-1)
            ),
            "you divided by log_vars: the variance is exp(log_vars)": mixed(
                -constant - 0.5 * (v + far / v).sum(-1)
            ),
            "you multiplied the squares by the variance: divide by it": mixed(
                -constant - 0.5 * (v + far * v.exp()).sum(-1)
            ),
            "the factor 1/2 is missing before the squares": mixed(
                -constant - (0.5 * v + far / v.exp()).sum(-1)
            ),
            "you forgot to square the distance": mixed(
                -constant - 0.5 * (v + (z[:, None] - m) / v.exp()).sum(-1)
            ),
        },
    )
    parameters = {"log_weights": log_weights, "means": means, "log_vars": log_vars}
    _gradients("mixture_log_prob", value, truth, parameters, atol=1e-6)
    _far_away(answer)
    return (
        f"it is the logarithm of the summed densities to {(value - truth).abs().max().item():.0e}"
        " nats, and so are its gradients."
    )


def _far_away(answer) -> None:
    """A point 200 standard deviations from the first component and farther from the other: both
    densities are 0 in any float.
    """
    z, means = torch.full((1, 1), 200.0), torch.tensor([[0.0], [-50.0]])
    value = answer(z, torch.log(torch.tensor([0.25, 0.75])), means, torch.zeros(2, 1))
    alone = math.log(0.25) - 0.5 * (math.log(2 * math.pi) + 200.0**2)
    if not torch.isfinite(value).all():
        raise Wrong(
            "right nearby, but 200 standard deviations away it is not finite: densities there are"
            " smaller than any float. Don't leave the logarithm: torch.logsumexp."
        )
    if abs(value.item() - alone) > 0.1:
        raise Wrong(
            f"right nearby, but far away it is {value.item():,.1f} nats where {alone:,.1f} is"
            " right: no clamp, no small number added. torch.logsumexp needs neither."
        )


# ---- the KL in two parts


def _judge_split(answer) -> str:
    n = 7
    z, means, log_vars = _parameters(1, n, n)
    z = means.detach() + torch.exp(log_vars.detach() / 2) * z  # z_n of q(z|x_n)
    prior = Gaussian(
        torch.full((D,), -1.3, dtype=torch.float64), torch.full((D,), 0.4, dtype=torch.float64)
    )
    parts = answer(z, Gaussian(means, log_vars), prior)
    if not isinstance(parts, tuple | list) or len(parts) != 2:
        raise Wrong(
            "return two tensors, (N,) each: log q(z_n|x_n) - log aggregate(z_n), and log"
            " aggregate(z_n) - log p(z_n)."
        )
    found = [
        _one_each(
            part,
            name,
            n,
            {
                (
                    n,
                    n,
                ): (
                    "each z is paired with each x: log q(z_n|x_n) takes the n-th of both,"
                    " q.log_prob(z)"
                )
            },
        )
        for part, name in zip(parts, ("the first part", "the second part"), strict=True)
    ]
    table = _each(z, means, log_vars).prod(-1).detach()  # (z_n, x_m)
    own, log_p = (
        table.diagonal().log(),
        _each(z, prior.mean[None], prior.log_var[None]).prod(-1)[:, 0].log(),
    )
    log_aggregate = table.mean(1).log()
    truth = own - log_aggregate, log_aggregate - log_p
    values = [part.detach() for part in found]
    if _same(values[0], truth[1]) and _same(values[1], truth[0]):
        raise Wrong(
            "both are right, in the other order: the information first, then what the aggregate"
            " posterior pays to the prior."
        )
    others = (table.sum(1) - table.diagonal()) / (n - 1)

    def with_(aggregate):
        return own - aggregate, aggregate - log_p

    slips = {
        "the aggregate posterior is a mean over the N digits: your sum lacks 1/N, that is - log N": with_(
            table.sum(1).log()
        ),
        "you took the mean over the codes, not over the digits: for one z, average q(z|x_m) over all m": with_(
            table.mean(0).log()
        ),
        "a mean of logarithms is not the logarithm of a mean: the aggregate posterior is a mean of densities": with_(
            table.log().mean(1)
        ),
        "you left out x_n itself: the aggregate posterior is the mean over all N": with_(
            others.log()
        ),
        "the mixture takes the logarithms of its weights: -log N, not 1/N": with_(
            table.sum(1).log() + 1 / n
        ),
        "the logarithm of the weight 1/N is -log N, not +log N": with_(
            table.sum(1).log() + math.log(n)
        ),
        "the log-weights are -log N each, not 1": with_(table.sum(1).log() + 1),
        "you took q.log_prob(z), each code's own posterior, for the aggregate posterior: average over all N": with_(
            own
        ),
        "you averaged q(z_n|x_n), each code under its own digit: for one z, average q(z|x_m) over all m": with_(
            own.exp().mean().log().expand(n)
        ),
        "you averaged log q(z_n|x_n), each code under its own digit: for one z, average q(z|x_m) over all m": with_(
            own.mean().expand(n)
        ),
        "you used one wide Gaussian with the posteriors' mean parameters: average the densities, not the parameters": with_(
            _each(z, means.mean(0, keepdim=True), log_vars.mean(0, keepdim=True))
            .detach()
            .prod(-1)[:, 0]
            .log()
        ),
    }
    standard = _each(z, torch.zeros_like(z[:1]), torch.zeros_like(z[:1])).prod(-1)[:, 0].log()
    for i, name in enumerate(("the first part", "the second part")):
        _match(
            values[i],
            truth[i],
            name,
            {
                **{message: wrong[i] for message, wrong in slips.items()},
                "the sign is turned round": -truth[i],
                "this is the whole KL, log q(z_n|x_n) - log p(z_n): the parts add up to it": (
                    own - log_p
                ),
                "this is a log-density: take the difference of two": (
                    own if i == 0 else log_aggregate
                ),
                "you took N(0, I) for the prior: it is given, prior.log_prob(z)": (
                    log_aggregate - standard if i else own - standard
                ),
                "this is the whole KL in closed form: take the difference of two logarithms at the codes z": (
                    kl(Gaussian(means, log_vars), prior).detach()
                ),
            },
        )
        cut = (
            not found[i].requires_grad
            or torch.autograd.grad(found[i].sum(), means, retain_graph=True, allow_unused=True)[0]
            is None
        )
        if cut:
            raise Wrong(
                f"{name} has no gradient with respect to q: something cuts it off (.detach() or"
                " torch.no_grad())."
            )
    total = (own - log_p).mean().item()
    return (
        f"of a KL of {total:.3f} nats you found {values[0].mean():.3f} of information and"
        f" {values[1].mean():.3f} that a better prior would save."
    )


# ---- the VampPrior


class _Encoder:
    """A q(z|x) with a tanh and a line, which counts its calls."""

    def __init__(self, seed: int = 3, data_dim: int = 5):
        random = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(
            data_dim, 2 * D, generator=random, dtype=torch.float64
        ).requires_grad_()
        self.calls = []

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
        self.calls.append(len(x) if x.dim() > 1 else 1)
        return Gaussian(*self.parameters(x))


def _judge_vamp(answer) -> str:
    encoder, k = _Encoder(), 5
    z = _parameters(2, B, 1)[0]
    u = torch.rand(
        k, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64
    ).requires_grad_()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value = answer(z, u, encoder)
    value = _one_each(
        value,
        "vamp_log_prob",
        B,
        {
            (
                B,
                k,
            ): (
                "one number for each z and pseudo-input: the log-sum-exp over the pseudo-inputs is"
                " missing"
            ),
            (k,): "one number for each pseudo-input: mix over them and keep the batch of z",
        },
    )
    calls = sum(encoder.calls)
    means, log_vars = encoder.parameters(u)
    each = _each(z, means, log_vars)
    truth = each.prod(-1).mean(1).log()
    m, v, right = means.detach(), log_vars.detach(), truth.detach()
    log_each = each.detach().prod(-1).log()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if not _same(
            _one_each(answer(z, u, encoder), "vamp_log_prob", B, {}).detach(), value.detach()
        ):
            raise Wrong(
                "asked twice, it gives two answers: a density is not random. Mix the posteriors"
                " themselves, draw nothing from them."
            )
    _match(
        value.detach(),
        right,
        "vamp_log_prob",
        {
            "the mean over K pseudo-inputs lacks 1/K, that is - log K": right + math.log(k),
            "you subtracted K, not log K": right + math.log(k) - k,
            "the mixture takes the logarithms of its weights: -log K, not 1/K": (
                right + math.log(k) + 1 / k
            ),
            "the logarithm of the weight 1/K is -log K, not +log K": right + 2 * math.log(k),
            "you divided by the number of z: the mean is over the K pseudo-inputs, len(u)": (
                right + math.log(k) - math.log(B)
            ),
            "the mixture takes log_vars: pass q.log_var as it is": (
                _each(z, m, v.exp()).prod(-1).mean(1).log()
            ),
            "each dimension was mixed on its own: sum over the dimensions first": (
                each.detach().mean(1).log().sum(-1)
            ),
            "a mean of logarithms is not the logarithm of a mean: log-sum-exp over the pseudo-inputs": log_each.mean(
                1
            ),
            "the sign is turned round: return the log-density itself": -right,
            "you averaged the posteriors' parameters into one Gaussian: average their densities": (
                _each(z, m.mean(0, keepdim=True), v.mean(0, keepdim=True)).prod(-1)[:, 0].log()
            ),
            "you encoded the mean pseudo-input: encode all K, then average the densities": (
                _each(z, *(p.detach() for p in encoder.parameters(u.mean(0, keepdim=True))))
                .prod(-1)[:, 0]
                .log()
            ),
            "this is N(0, I), the prior you want to replace": (
                _each(z, torch.zeros_like(z[:1]), torch.zeros_like(z[:1])).prod(-1)[:, 0].log()
            ),
            "you used the posteriors' means with variance 1: their widths count, too": (
                Mixture(torch.zeros(k).double(), Gaussian(m, torch.zeros_like(m))).log_prob(z)
            ),
            "only the first pseudo-input counts: take the mean over all K": log_each[:, 0],
        },
    )
    if not value.requires_grad:
        raise Wrong(
            "vamp_log_prob has no gradient: pseudo-inputs and encoder learn through it. No"
            " torch.no_grad(), no .detach()."
        )
    for name, p, what in (
        ("u", u, "the pseudo-inputs"),
        ("the encoder", encoder.weight, "the encoder"),
    ):
        got = torch.autograd.grad(value.sum(), p, retain_graph=True, allow_unused=True)[0]
        expected = torch.autograd.grad(truth.sum(), p, retain_graph=True)[0]
        if got is None or got.abs().max() == 0:
            raise Wrong(
                f"no gradient reaches {what}: something on the way from {name} is cut off"
                " (.detach(), .data)."
            )
        if not torch.allclose(got, expected, rtol=1e-4, atol=1e-6):
            raise Wrong(
                f"the value is right, the gradient with respect to {name} is not: is part of it cut"
                " off?"
            )
    with torch.no_grad():
        if not answer(z + 1000, u, encoder).isfinite().all():
            raise Wrong(
                "right nearby, but a thousand away it is not finite: densities there are smaller"
                " than any float. Don't leave the logarithm: your mixture_log_prob, or"
                " torch.logsumexp."
            )
    if calls > k:
        raise Wrong(
            f"right, but the encoder saw {calls} rows for {k} pseudo-inputs: q = encoder(u) once,"
            " for all z and for both q.mean and q.log_var."
        )
    return (
        f"it agrees with the mean of {k} posteriors to {(value - truth).abs().max().item():.0e}"
        " nats, and its gradients reach pseudo-inputs and encoder."
    )


# ---- what all three share


def _one_each(value, name: str, n: int, shapes: dict) -> Tensor:
    """value, if it is a tensor (n,) of finite numbers; else Wrong, in the words of `shapes` where
    they fit.
    """
    if not isinstance(value, Tensor):
        raise Wrong(f"{name} should be a tensor, it is {type(value).__name__}.")
    if value.shape != (n,):
        if tuple(value.shape) in shapes:
            raise Wrong(f"{name} has shape {tuple(value.shape)}, {shapes[tuple(value.shape)]}.")
        if value.dim() == 0:
            raise Wrong(
                f"{name} is one number for the whole batch: keep one for each z, shape ({n},)."
                " maximise averages."
            )
        raise Wrong(f"{name} has shape {tuple(value.shape)}, expected ({n},).")
    if not value.isfinite().all():
        raise Wrong(
            f"{name} is not finite. log_vars are logarithms already and may be negative: no further"
            " log or sqrt."
        )
    return value


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-4)


def _match(value: Tensor, truth: Tensor, name: str, mistakes: dict[str, Tensor]) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """
    if _same(value, truth):
        return
    for mistake, other in mistakes.items():
        if _same(value, other):
            raise Wrong(f"{name}: {mistake}.")
    i = (value - truth).abs().argmax().item()
    raise Wrong(
        f"{name} is {value[i].item():.4f} nats where {truth[i].item():.4f} is right (row {i} of the"
        " test)."
    )


mixture_log_prob = Exercise(
    name="mixture_log_prob",
    solution=_mixture_log_prob,
    judge=_judge_mixture,
    hints=[
        (
            "Three steps: every z against every component, (B, K, D); the sum over D; the"
            " log-sum-exp over K."
        ),
        (
            "z[:, None] - means has shape (B, K, D). One dimension's log-density is -0.5 * (log 2"
            " pi + log_vars + square / variance)."
        ),
        "each = that, summed with .sum(-1), (B, K); then torch.logsumexp(log_weights + each, -1).",
    ],
)
split_kl = Exercise(
    name="split_kl",
    solution=_split_kl,
    judge=_judge_split,
    hints=[
        (
            "The aggregate posterior is a mixture: its components are the N posteriors, with"
            " weights 1/N. You wrote its log-density."
        ),
        (
            "log_aggregate = mixture_log_prob(z, log_weights, q.mean, q.log_var), where each of the"
            " N log-weights is -log N."
        ),
        (
            "Return q.log_prob(z) - log_aggregate, log_aggregate - prior.log_prob(z);"
            " torch.full((N,), -math.log(N)) are the log-weights."
        ),
    ],
)
vamp_log_prob = Exercise(
    name="vamp_log_prob",
    solution=_vamp_log_prob,
    judge=_judge_vamp,
    hints=[
        (
            "The encoder's answer to the K pseudo-inputs is K Gaussians: q = encoder(u). The prior"
            " is their mixture with equal weights."
        ),
        "mixture_log_prob takes q.mean and q.log_var, (K, D) each, and K log-weights, all -log K.",
        (
            "q = encoder(u); return mixture_log_prob(z, torch.full((len(u),), -math.log(len(u))),"
            " q.mean, q.log_var)."
        ),
    ],
)
