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
    distance = ((x - b) * torch.linalg.solve(C, (x - b).T).T).sum(-1)
    return -0.5 * (x.shape[1] * LOG_2PI + torch.det(C).log() + distance)


def without_noise(x, W, b, psi):
    return MultivariateNormal(b, W @ W.T, validate_args=False).log_prob(x)


def in_place(x, W, b, psi):
    new_W, new_psi = own_em_step(x, W, b, psi)
    return W.copy_(new_W), new_psi


def stochastic(x, W, b, psi):
    mean, G = own_posterior(x, W, b, psi)
    z = mean + torch.randn_like(mean) @ torch.linalg.cholesky(G).T
    return torch.linalg.lstsq(z, x - b).solution.T, psi


WRONG = {
    "marginal": {
        "leaves the range of floats": from_determinant,
        "not positive-definite": without_noise,
        "nothing may be added": lambda x, W, b, psi: own_marginal(x, W, b, psi + 1e-5),
        "log det C is missing": lambda *a: (
            own_marginal(*a) + 0.5 * torch.logdet(a[1] @ a[1].T + torch.diag(a[3]))
        ),
        "pairs every row with every other": lambda x, W, b, psi: (x - b) @ (x - b).T,
        "a factor of 0.5 is missing": lambda *a: 2 * own_marginal(*a),
    },
    "posterior": {
        "in the order the covariance, the mean": lambda *a: own_posterior(*a)[::-1],
        "that is one of x": lambda x, *a: (own_posterior(x, *a)[0], x.T @ x),
        "no gradient reaches psi": lambda x, W, b, psi: own_posterior(x, W, b, psi.detach()),
        "the sign is turned": lambda x, W, b, psi: (
            -own_posterior(x, W, b, psi)[0],
            own_posterior(x, W, b, psi)[1],
        ),
    },
    "em_step": {
        "changes W in place": in_place,
        "called twice": stochastic,
        "all of them count": lambda x, *a: own_em_step(x[:100], *a),
        "keep its diagonal": lambda x, *a: (own_em_step(x, *a)[0], x.T @ x),
        "has the factor 2": lambda x, W, b, psi: (
            own_em_step(x, W, b, psi)[0],
            2 * own_em_step(x, W, b, psi)[1] - ((x - b) ** 2).mean(0),
        ),
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
