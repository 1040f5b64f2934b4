"""The exercises of notebook 02: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import torch
from exercises import exercise_tests
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from dgmcourse.check import latent_variable_models as check
from dgmcourse.densities import LOG_2PI


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


# ---- right answers


def own_marginal(x, W, b, psi):
    return LowRankMultivariateNormal(b, W, psi).log_prob(x)


def own_posterior(x, W, b, psi):
    """Conditioning of the joint Gaussian of (z, x): no precision of z in sight."""
    gain = torch.linalg.solve(W @ W.T + torch.diag(psi), W).T  # W^T C^-1
    return [(gain @ (x - b).T).T, torch.eye(W.shape[1]).double() - gain @ W]


def own_em_step(x, W, b, psi):
    """A loop over n, outer products, and the full residual covariance whose diagonal is kept."""
    mean, G = own_posterior(x, W, b, psi)
    first, second = torch.zeros_like(W), torch.zeros_like(G)
    for row, z in zip(x - b, mean, strict=True):
        first += torch.outer(row, z)
        second += G + torch.outer(z, z)
    new = first @ torch.linalg.inv(second)
    residual = (x - b - mean @ new.T).T @ (x - b - mean @ new.T) / len(x) + new @ G @ new.T
    return new, torch.diagonal(residual)


RIGHT = {"marginal": own_marginal, "posterior": own_posterior, "em_step": own_em_step}
NAMES = list(RIGHT)


# ---- the truth the judges hold answers against comes from a grid over z: is the grid fine enough?


def test_the_sum_over_the_grid_is_the_integral():
    for seed in range(3):
        x, W, b, psi = check._case(seed)
        C = W @ W.T + torch.diag(psi)
        log_p, _, _ = check._integrated(x, W, b, psi)
        assert torch.allclose(log_p, MultivariateNormal(b, C).log_prob(x), atol=1e-9, rtol=0)


def test_least_squares_over_the_grid_is_the_maximum_of_the_expected_complete_log_likelihood():
    x, W, b, psi = check._case(2)
    _, z, p = check._integrated(x, W, b, psi)
    new_W, new_psi = (t.requires_grad_() for t in check._maximised(x, W, b, psi))
    off = x[:, None] - (z @ new_W.T + b)
    expected = (p * -0.5 * (off**2 / new_psi + new_psi.log()).sum(-1)).sum()
    for gradient in torch.autograd.grad(expected, [new_W, new_psi]):
        assert gradient.abs().max() < 1e-8


# ---- wrong answers, each with a phrase of the message meant for it


def gaussian(off, C, D=None, det=1.0, pi=True):
    D = off.shape[1] if D is None else D
    return -0.5 * (
        D * LOG_2PI * pi + det * torch.logdet(C) + (off * torch.linalg.solve(C, off.T).T).sum(-1)
    )


def covariance(W, psi):
    return W @ W.T + torch.diag(psi)


right = check.marginal.solution
DENSE = {  # the same with a determinant that overflows
    "from the determinant": lambda x, W, b, psi: (
        -0.5
        * (
            x.shape[1] * LOG_2PI
            + torch.det(covariance(W, psi)).log()
            + ((x - b) * torch.linalg.solve(covariance(W, psi), (x - b).T).T).sum(-1)
        )
    )
}
WRONG_MARGINAL = {
    "sign is turned": lambda *a: -right(*a),
    "density p(x) itself": lambda *a: right(*a).exp(),
    "factor 1/2": lambda *a: 2 * right(*a),
    "has rank K": lambda x, W, b, psi: gaussian(x - b, W @ W.T + 1e-30 * torch.diag(psi)),
    "the noise, torch.diag": lambda x, W, b, psi: gaussian(x - b, W @ W.T + psi),
    "not Psi alone": lambda x, W, b, psi: gaussian(x - b, torch.diag(psi)),
    "entries off its diagonal": lambda x, W, b, psi: (
        torch.distributions.Normal(b, ((W**2).sum(1) + psi).sqrt()).log_prob(x).sum(-1)
    ),
    "squared psi": lambda x, W, b, psi: gaussian(x - b, covariance(W, psi**2)),
    "square root of psi": lambda x, W, b, psi: gaussian(x - b, covariance(W, psi.sqrt())),
    "identity for the noise": lambda x, W, b, psi: gaussian(
        x - b, covariance(W, torch.ones_like(psi))
    ),
    "forgot to subtract b": lambda x, W, b, psi: gaussian(x, covariance(W, psi)),
    "forgot D log 2 pi": lambda x, W, b, psi: gaussian(x - b, covariance(W, psi), pi=False),
    "once for each of the D": lambda x, W, b, psi: gaussian(x - b, covariance(W, psi), D=1),
    "forgot the log-determinant": lambda x, W, b, psi: gaussian(x - b, covariance(W, psi), det=0),
    "log-determinant has the wrong sign": lambda x, W, b, psi: gaussian(
        x - b, covariance(W, psi), det=-1
    ),
    "taken of the inverse, or the root": lambda x, W, b, psi: gaussian(
        x - b, covariance(W, psi), det=0.5
    ),
    "where its inverse belongs": lambda x, W, b, psi: (
        -0.5
        * (
            x.shape[1] * LOG_2PI
            + torch.logdet(covariance(W, psi))
            + ((x - b) @ covariance(W, psi) * (x - b)).sum(-1)
        )
    ),
    "averaged over the dimensions": lambda x, W, b, psi: right(x, W, b, psi) / x.shape[1],
    "keep one for each row": lambda *a: right(*a).mean(),
    "pairs every row with every other": lambda x, W, b, psi: (
        (x - b) @ torch.linalg.solve(covariance(W, psi), (x - b).T)
    ),
    "one number for each dimension": lambda x, W, b, psi: (x - b) ** 2 / psi,
    "summed over the batch": lambda x, W, b, psi: ((x - b) ** 2 / psi).sum(0),
    "marginal has no z left": lambda x, W, b, psi: (
        torch.distributions.Normal(b + own_posterior(x, W, b, psi)[0] @ W.T, psi.sqrt())
        .log_prob(x)
        .sum(-1)
    ),
    "an axis too many": lambda *a: right(*a).unsqueeze(-1),
    "took exp of psi": lambda x, W, b, psi: gaussian(x - b, covariance(W, psi.exp())),
    "before all three terms": lambda x, W, b, psi: (
        right(x, W, b, psi) + x.shape[1] * LOG_2PI + torch.logdet(covariance(W, psi))
    ),
    "changed x in place": lambda x, W, b, psi: right(x.sub_(b), W, torch.zeros_like(b), psi),
    "leaves the range of floats": DENSE["from the determinant"],
    "is right (nats)": lambda *a: right(*a) + 0.1,
    "should be a tensor": lambda *a: right(*a).tolist(),
    "stopped with": lambda x, W, b, psi: W @ x,
}


def scaled(W, psi):
    return W / psi[:, None]


def with_precision(precision):
    """The right mean with a covariance from another precision: an answer that is wrong in its G."""

    def answer(x, W, b, psi):
        G = torch.linalg.inv(precision(W, psi, torch.eye(W.shape[1]).double()))
        return (x - b) @ scaled(W, psi) @ G, G

    return answer


def with_parts(change):
    return lambda x, W, b, psi: change(*own_posterior(x, W, b, psi), x - b, x, W, psi)


WRONG_POSTERIOR = {
    "you forgot I": with_precision(lambda W, psi, eye: W.T @ scaled(W, psi)),
    "you forgot Psi:": with_precision(lambda W, psi, eye: eye + W.T @ W),
    "multiplied by psi": with_precision(lambda W, psi, eye: eye + W.T @ (W * psi[:, None])),
    "no square": with_precision(lambda W, psi, eye: eye + W.T @ scaled(W, psi**2)),
    "no root": with_precision(lambda W, psi, eye: eye + W.T @ scaled(W, psi.sqrt())),
    "this is the precision": with_parts(lambda m, G, *_: (m, torch.linalg.inv(G))),
    "Cholesky factor": with_parts(lambda m, G, *_: (m, torch.linalg.cholesky(G))),
    "only its diagonal": with_parts(lambda m, G, *_: (m, torch.diag(G.diagonal()))),
    "prior alone": with_parts(lambda m, G, *_: (m, torch.eye(len(G)).double())),
    "precisions that add": with_parts(
        lambda m, G, off, x, W, psi: (m, torch.eye(len(G)) + torch.linalg.inv(W.T @ scaled(W, psi)))
    ),
    "the mean: you forgot to subtract b": with_parts(
        lambda m, G, off, x, W, psi: (x @ scaled(W, psi) @ G, G)
    ),
    "noisy dimension must count less": with_parts(lambda m, G, off, x, W, psi: (off @ W @ G, G)),
    "forgot the factor G": with_parts(lambda m, G, off, x, W, psi: (off @ scaled(W, psi), G)),
    "this is least squares": with_parts(
        lambda m, G, off, x, W, psi: (
            off @ scaled(W, psi) @ torch.linalg.inv(W.T @ scaled(W, psi)),
            G,
        )
    ),
    "x - b, not b - x": with_parts(lambda m, G, *_: (-m, G)),
    "a projection on W": with_parts(lambda m, G, off, x, W, psi: (off @ W, G)),
    "transpose it, one row": with_parts(lambda m, G, *_: (m.T, G)),
    "one for the whole batch": with_parts(lambda m, G, *_: (m.mean(0), G)),
    "that of x": with_parts(lambda m, G, off, x, W, psi: (m, covariance(W, psi))),
    "does not depend on x": with_parts(lambda m, G, *_: (m, G.expand(len(m), *G.shape))),
    "the other way round": with_parts(lambda m, G, *_: (G, m)),
    "its root, entry by entry": with_parts(lambda m, G, *_: (m, G.sqrt())),
    "changed x in place": lambda x, W, b, psi: own_posterior(
        x.sub_(b), W, torch.zeros_like(b), psi
    ),
    "the covariance is a vector": with_parts(lambda m, G, *_: (m, G.diagonal())),
    "You returned one Tensor": with_parts(lambda m, G, *_: m),
    "has an entry": with_parts(lambda m, G, *_: (m + 0.1, G)),
    "stopped with": lambda x, W, b, psi: (W.T @ x, W),
}


def with_sums(W_of, psi_of=None):
    """em_step from its sums: W_of(cross, outer, G, N), then psi_of(off, mean, new W, old W, G)."""

    def answer(x, W, b, psi):
        mean, G = own_posterior(x, W, b, psi)
        new = W_of((x - b).T @ mean, mean.T @ mean, G, len(x))
        explained = psi_of or (
            lambda off, mean, new, old, G: (off**2 - off * (mean @ new.T)).mean(0)
        )
        return new, explained(x - b, mean, new, W, G)

    return answer


def W_right(cross, outer, G, N):
    return cross @ torch.linalg.inv(outer + N * G)


def after(change):
    return lambda *a: change(*own_em_step(*a))


def full_psi(off, mean, new, old, G):
    return off.T @ (off - mean @ new.T) / len(off)


def in_place(x, W, b, psi):
    new_W, new_psi = own_em_step(x, W, b, psi)
    W.copy_(new_W)
    return W, new_psi


def posterior_again(x, W, b, psi):
    new, _ = own_em_step(x, W, b, psi)
    return new, ((x - b) ** 2 - (x - b) * (own_posterior(x, new, b, psi)[0] @ new.T)).mean(0)


WRONG_EM_STEP = {
    "add the posterior's covariance G": with_sums(
        lambda cross, outer, G, N: cross @ torch.linalg.inv(outer)
    ),
    "N G": with_sums(lambda cross, outer, G, N: cross @ torch.linalg.inv(outer + G)),
    "both over n, or both averaged.": with_sums(
        lambda cross, outer, G, N: cross @ torch.linalg.inv(outer / N + G)
    ),
    "(the first is)": with_sums(
        lambda cross, outer, G, N: cross / N @ torch.linalg.inv(outer + N * G)
    ),
    "multiply by its inverse": with_sums(lambda cross, outer, G, N: cross @ (outer + N * G)),
    "a regression divides": with_sums(lambda cross, outer, G, N: cross),
    "not the prior's": with_sums(
        lambda cross, outer, G, N: cross @ torch.linalg.inv(outer + N * torch.eye(len(G)))
    ),
    "W has not changed": lambda x, W, b, psi: (W, own_em_step(x, W, b, psi)[1]),
    "psi has not changed": lambda x, W, b, psi: (own_em_step(x, W, b, psi)[0], psi),
    "the old W": with_sums(
        W_right, lambda off, mean, new, old, G: (off**2 - off * (mean @ old.T)).mean(0)
    ),
    "z is uncertain": with_sums(
        W_right, lambda off, mean, new, old, G: ((off - mean @ new.T) ** 2).mean(0)
    ),
    "summed over n": with_sums(
        W_right, lambda off, mean, new, old, G: (off**2 - off * (mean @ new.T)).sum(0)
    ),
    "subtract what the factors explain": with_sums(W_right, lambda off, *_: (off**2).mean(0)),
    "forgot to subtract b": lambda x, W, b, psi: (
        own_em_step(x, W, b, psi)[0],
        (x**2 - x * (own_posterior(x, W, b, psi)[0] @ own_em_step(x, W, b, psi)[0].T)).mean(0),
    ),
    "twice": with_sums(
        W_right, lambda off, mean, new, old, G: (off**2 - 2 * off * (mean @ new.T)).mean(0)
    ),
    "part is added": with_sums(
        W_right, lambda off, mean, new, old, G: (off**2 + off * (mean @ new.T)).mean(0)
    ),
    "standard deviation": after(lambda W, psi: (W, psi.sqrt())),
    "this is log psi": after(lambda W, psi: (W, psi.log())),
    "averaged over the dimensions": after(lambda W, psi: (W, psi.mean().expand(len(psi)))),
    "psi is one number": after(lambda W, psi: (W, psi.mean())),
    "keep its diagonal": with_sums(W_right, full_psi),
    "transpose it, one row for each dimension": after(lambda W, psi: (W.T, psi)),
    "divides by N": lambda x, W, b, psi: (
        own_em_step(x, W, b, psi)[0],
        own_em_step(x, W, b, psi)[1] * len(x) / (len(x) - 1),
    ),
    "changed W in place": in_place,
    "changed x in place": lambda x, W, b, psi: own_em_step(x.sub_(b), W, torch.zeros_like(b), psi),
    "the other way round": after(lambda W, psi: (psi, W)),
    "without G": with_sums(
        W_right,
        lambda off, mean, new, old, G: ((off - mean @ new.T) ** 2).mean(0) + (new**2).sum(1),
    ),
    "the E step's": posterior_again,
    "You returned 3 things": lambda x, W, b, psi: (*own_em_step(x, W, b, psi), b),
    "returns two tensors": after(lambda W, psi: W),
    "has an entry": after(lambda W, psi: (W + 0.1, psi)),
    "stopped with": lambda x, W, b, psi: (x @ x, psi),
}

CASES = {"marginal": WRONG_MARGINAL, "posterior": WRONG_POSTERIOR, "em_step": WRONG_EM_STEP}
TestExercises = exercise_tests(
    check,
    "02_latent_variable_models",
    RIGHT,
    CASES,
    LOG_2PI=LOG_2PI,
    posterior=check.posterior.solution,
)
