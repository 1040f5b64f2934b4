"""The exercises of notebook 02: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import torch
from exercises import exercise_tests
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from dgmcourse.check import latent_variable_models as check
from dgmcourse.densities import LOG_2PI

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


# ---- the truth the judges hold answers against comes from a grid over z: is the grid fine enough?


def test_the_sum_over_the_grid_is_the_integral():
    for x, W, b, psi in (
        check.drawn(0, 7, 2, 3),
        check.drawn(1, 6, 5, 2),
        check.drawn(2, 2, 800, 1),
    ):
        p = MultivariateNormal(b, W @ W.T + torch.diag(psi))
        assert torch.allclose(check.on_grid(x, W, b, psi)[0], p.log_prob(x), atol=1e-7, rtol=1e-9)


def test_least_squares_over_the_grid_is_the_maximum_of_the_expected_complete_log_likelihood():
    x, W, b, psi = check.drawn(2, 7, 4, 2)
    _, z, p = check.on_grid(x, W, b, psi)
    new_W, new_psi = (t.requires_grad_() for t in check.maximised(x, W, b, psi))
    off = x[:, None] - (z @ new_W.T + b)
    expected = (p * -0.5 * (off**2 / new_psi + new_psi.log()).sum(-1)).sum()
    for gradient in torch.autograd.grad(expected, [new_W, new_psi]):
        assert gradient.abs().max() < 1e-8


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def from_determinant(x, W, b, psi):
    C = W @ W.T + torch.diag(psi)
    log_det = torch.det(C).log() - torch.logdet(C)
    return own_marginal(x, W, b, psi) - 0.5 * log_det


def stochastic(x, W, b, psi):
    mean, G = own_posterior(x, W, b, psi)
    z = mean + torch.randn_like(mean) @ torch.linalg.cholesky(G).T
    return torch.linalg.lstsq(z, x - b).solution.T, psi


WRONG = {
    "marginal": {
        "leaves the range of floats": from_determinant,
        "nothing may be added": lambda x, W, b, psi: own_marginal(x, W, b, psi + 1e-5),
        "is singular": lambda x, W, b, psi: torch.linalg.solve(0 * W @ W.T, x.T)[0],
        "log det C has the wrong sign": lambda x, W, b, psi: (
            own_marginal(x, W, b, psi) + torch.logdet(W @ W.T + torch.diag(psi))
        ),
    },
    "posterior": {
        "in the order the covariance, the mean": lambda *given: own_posterior(*given)[::-1],
        "that is one of x": lambda x, *given: (own_posterior(x, *given)[0], x.T @ x),
        "it does not depend on x": lambda *given: (own_posterior(*given)[0], torch.ones(7, 2, 2)),
        "no gradient reaches psi": lambda *given: own_posterior(*given[:3], given[3].detach()),
    },
    "em_step": {
        "called twice": stochastic,
        "all of them count": lambda x, *given: own_em_step(x[:100], *given),
        "nor a bound be set": lambda *given: (
            own_em_step(*given)[0],
            own_em_step(*given)[1].clamp(1e-3),
        ),
        "keep its diagonal": lambda x, W, *given: (W, x.T @ x),
    },
}
TestExercises = exercise_tests(
    check,
    "02_latent_variable_models",
    RIGHT,
    WRONG,
    LOG_2PI=LOG_2PI,
    posterior=check.posterior.solution,
)
