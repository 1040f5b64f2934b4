"""Checks of notebook 16: a Frechet distance, and a diffusion model's noise, its layer's KL and its
step back.

The truth comes from quantile functions, from noise added in many small steps, and from Bayes' rule
on a grid; never from the formula that is asked for.
"""

import math

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._old import _gradients, _rows
from dgmcourse.check._old import _match_rows as _match

ROWS, DIM = 6, 3


# ---- the course's own answers


def _frechet(x: Tensor, y: Tensor) -> Tensor:
    return ((x.mean(0) - y.mean(0)) ** 2 + (x.std(0) - y.std(0)) ** 2).sum()


def _add_noise(x: Tensor, epsilon: Tensor, log_snr: Tensor) -> Tensor:
    return torch.sigmoid(log_snr).sqrt() * x + torch.sigmoid(-log_snr).sqrt() * epsilon


def _layer_kl(x: Tensor, guess: Tensor, log_snr_below: Tensor, log_snr: Tensor) -> Tensor:
    return 0.5 * (log_snr_below.exp() - log_snr.exp()) * ((x - guess) ** 2).sum(-1)


def _step_back(
    z: Tensor, guess: Tensor, epsilon: Tensor, log_snr_below: Tensor, log_snr: Tensor
) -> Tensor:
    alpha, alpha_below = torch.sigmoid(log_snr).sqrt(), torch.sigmoid(log_snr_below).sqrt()
    sigma_below, r = torch.sigmoid(-log_snr_below).sqrt(), torch.exp(log_snr - log_snr_below)
    return alpha_below * (r * z / alpha + (1 - r) * guess) + (1 - r).sqrt() * sigma_below * epsilon


def _randn(seed: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=random, dtype=torch.float64) for shape in shapes]


# ---- the Frechet distance of two Gaussians


def _judge_frechet(frechet) -> str:
    x, y = _randn(0, (4000, DIM), (3000, DIM))
    x, y = (
        x * torch.tensor([0.5, 2.0, 1.1]) + torch.tensor([0.3, -1.0, 0.0]),
        y * torch.tensor([1.5, 0.7, 1.3]) + 0.4,
    )
    x.requires_grad_()
    value = frechet(x, y)
    if not isinstance(value, Tensor):
        raise Wrong(f"frechet should be a tensor of one number, it is {type(value).__name__}.")
    if value.shape == (DIM,):
        raise Wrong(f"frechet has shape ({DIM},), one number for each dimension: sum them.")
    if value.shape != ():
        raise Wrong(
            f"frechet has shape {tuple(value.shape)}: it is one number for two whole sets, reduce"
            " over the rows, axis 0."
        )
    m, w, s, t = x.mean(0).detach(), y.mean(0), x.std(0).detach(), y.std(0)
    truth = _between_quantiles(m, s, w, t)
    means, stds = ((m - w) ** 2).sum(), ((s - t) ** 2).sum()
    close = lambda a, b: abs(a - b) <= 2e-3 * abs(b)  # noqa: E731 - N or N - 1 below the variance: either will do
    if not close(value.item(), truth):
        for mistake, other in {
            "you took the square root: W is the root of this, the Frechet distance is its square": (
                math.sqrt(truth)
            ),
            "the distance of the standard deviations is missing": means,
            "the distance of the means is missing": stds,
            "you compared variances: compare standard deviations": (
                means + ((s**2 - t**2) ** 2).sum()
            ),
            "you added the variances' difference without a square root: it is (s - t)^2": (
                means + (s**2 - t**2).abs().sum()
            ),
            "you forgot to square": (m - w).abs().sum() + (s - t).abs().sum(),
            "you averaged over the dimensions: sum": truth / DIM,
            "you subtracted the second term: add it": means - stds,
            "the means' distance is not squared": (m - w).abs().sum() + stds,
            "the standard deviations' distance is not squared": means + (s - t).abs().sum(),
            "you took mean and spread of all numbers together: each dimension has its own, .mean(0) and .std(0)": (
                (x.detach().mean() - y.mean()) ** 2 + (x.detach().std() - y.std()) ** 2
            ),
            "you left out -2 s t: it is s^2 + t^2 - 2 s t": means + (s**2 + t**2).sum(),
        }.items():
            if close(value.item(), float(other)):
                raise Wrong(f"frechet: {mistake}.")
        raise Wrong(f"frechet is {value.item():.4f} where {truth:.4f} is right.")
    if not value.requires_grad:
        raise Wrong(
            "frechet is right but has no gradient: stay with tensors, no .item() and no"
            " torch.tensor(...)."
        )
    return (
        "it is the squared distance of the quantile functions, summed over dimensions, to"
        f" {abs(value.item() - truth):.0e}."
    )


def _between_quantiles(m: Tensor, s: Tensor, w: Tensor, t: Tensor) -> float:
    r"""$\sum_d \int_0^1 (F_d^{-1}(u) - G_d^{-1}(u))^2 du$ for Gaussians with these means and
    standard deviations.
    """
    u = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    normal = math.sqrt(2) * torch.erfinv(2 * u - 1)
    return sum(
        ((m[d] + s[d] * normal - w[d] - t[d] * normal) ** 2).mean().item() for d in range(len(m))
    )


# ---- noise, all at once


def _judge_add_noise(add_noise) -> str:
    x, epsilon = _randn(1, (ROWS, DIM), (ROWS, DIM))
    log_snr = torch.tensor([[6.0], [2.0], [0.7], [0.0], [-1.5], [-7.0]], dtype=torch.float64)
    x.requires_grad_()
    answer = _rows(add_noise(x, epsilon, log_snr), "add_noise")
    right = torch.stack(
        [_in_small_steps(*row) for row in zip(x, epsilon, log_snr[:, 0].tolist(), strict=True)]
    )
    snr = log_snr.exp()
    alpha2, sigma2, X = torch.sigmoid(log_snr), torch.sigmoid(-log_snr), x.detach()
    _match(
        answer.detach(),
        right.detach(),
        "add_noise",
        {
            "you multiplied by alpha^2 and sigma^2: take their square roots": (
                alpha2 * X + sigma2 * epsilon
            ),
            "sigma is a square root, too: sqrt(sigmoid(-log_snr))": (
                alpha2.sqrt() * X + sigma2 * epsilon
            ),
            "alpha is a square root, too: sqrt(sigmoid(log_snr))": (
                alpha2 * X + sigma2.sqrt() * epsilon
            ),
            "alpha and sigma have changed places": sigma2.sqrt() * X + alpha2.sqrt() * epsilon,
            "x is not shrunk: alpha < 1 makes room for the noise": X + sigma2.sqrt() * epsilon,
            "the noise is not scaled by sigma": alpha2.sqrt() * X + epsilon,
            "this is the mean of q(z_t|x): add sigma times epsilon": alpha2.sqrt() * X,
            "log_snr is a logarithm: alpha^2 = SNR / (1 + SNR), with SNR = exp(log_snr), is sigmoid(log_snr)": (
                (log_snr.abs() / (1 + log_snr.abs())).sqrt() * X
                + (1 / (1 + log_snr.abs())).sqrt() * epsilon
            ),
            "SNR is alpha^2 / sigma^2, not alpha / sigma": (
                snr / (1 + snr**2).sqrt() * X + 1 / (1 + snr**2).sqrt() * epsilon
            ),
            "the noise is subtracted: add it": alpha2.sqrt() * X - sigma2.sqrt() * epsilon,
            "sigma is 1 - alpha: the squares add up to 1": (
                alpha2.sqrt() * X + (1 - alpha2.sqrt()) * epsilon
            ),
        },
    )
    _gradients("add_noise", answer, right, {"x": x})
    far = add_noise(torch.ones(2, DIM), torch.ones(2, DIM), torch.tensor([[-95.0], [95.0]]))
    if not far.isfinite().all() or not torch.allclose(far, torch.ones(2, DIM)):
        raise Wrong(
            "right, but not where log_snr is -95 or 95: exp overflows. torch.sigmoid does not."
        )
    return (
        f"it is what 1,000 small steps of noise make, to {(answer - right).abs().max().item():.0e}."
    )


def _in_small_steps(x: Tensor, epsilon: Tensor, log_snr: float, steps: int = 1000) -> Tensor:
    """Mean and variance of z after steps that each keep a little less of it and fill up the
    variance.
    """
    log_alpha = -0.5 * math.log1p(math.exp(-log_snr))
    kept, mean, var = math.exp(log_alpha / steps), x, 0.0
    for _ in range(steps):
        mean, var = kept * mean, kept**2 * var + (1 - kept**2)
    return mean + math.sqrt(var) * epsilon


# ---- what one layer costs


def _judge_layer_kl(layer_kl) -> str:
    x, guess = _randn(2, (ROWS, DIM), (ROWS, DIM))
    below, log_snr = (
        torch.tensor(values, dtype=torch.float64)
        for values in ([3.0, 1.0, 0.2, -0.5, -2.0, 6.0], [2.5, -0.5, 0.1, -1.5, -3.0, 3.0])
    )
    guess.requires_grad_()
    value = layer_kl(x, guess, below, log_snr)
    if not isinstance(value, Tensor):
        raise Wrong(f"layer_kl should be a tensor, it is {type(value).__name__}.")
    if value.shape == (ROWS, DIM):
        raise Wrong(
            f"layer_kl has shape ({ROWS}, {DIM}), one number for each dimension: sum over them, the"
            " last axis."
        )
    if value.shape == (ROWS, ROWS):
        raise Wrong(
            f"layer_kl has shape ({ROWS}, {ROWS}): every x is paired with every layer. Sum over the"
            " dimensions before you weigh."
        )
    if value.dim() == 0:
        raise Wrong(
            "layer_kl is one number for the whole batch: keep one for each x. maximise averages."
        )
    if value.shape != (ROWS,):
        raise Wrong(f"layer_kl has shape {tuple(value.shape)}, expected ({ROWS},).")
    truth = torch.stack(
        [_kl_on_a_grid(x[i], guess[i], below[i].item(), log_snr[i].item()) for i in range(ROWS)]
    )
    square, a, b = ((x - guess) ** 2).sum(-1).detach(), below.exp(), log_snr.exp()
    right = truth.detach()
    _match(
        value.detach()[:, None],
        right[:, None],
        "layer_kl",
        {
            message: other[:, None]
            for message, other in {
                "the factor 1/2 is missing": 2 * right,
                "the sign is turned round: below, less noise, the SNR is higher": -right,
                "you averaged over the dimensions: sum": right / DIM,
                "below and log_snr are logarithms: weigh by the difference of the SNRs, exp(log_snr_below) - exp(log_snr)": (
                    0.5 * (below - log_snr) * square
                ),
                "you took the exponential of the difference: it is a difference of exponentials": (
                    0.5 * (below - log_snr).exp() * square
                ),
                "this weight, SNR_{t-1} / SNR_t - 1, belongs to the error of the noise: of x it is SNR_{t-1} - SNR_t": (
                    0.5 * (a / b - 1) * square
                ),
                "you weigh by alpha^2, the sigmoid: SNR is alpha^2 / sigma^2, exp of what is given": (
                    0.5 * (torch.sigmoid(below) - torch.sigmoid(log_snr)) * square
                ),
                "you forgot to square the error": (
                    0.5 * (a - b) * (x - guess).abs().sum(-1).detach()
                ),
                "the weight is missing: errors in low layers cost more": 0.5 * square,
                "you took the norm of the error: square it": 0.5 * (a - b) * square.sqrt(),
                "you added the SNRs: it is what the layer below knows more": 0.5 * (a + b) * square,
                "you squared the sum of the errors: sum their squares": (
                    0.5 * (a - b) * ((x - guess).sum(-1) ** 2).detach()
                ),
            }.items()
        },
    )
    _gradients("layer_kl", value, truth, {"guess": guess}, atol=1e-4)
    return (
        f"it agrees with the KL integrated over a grid to {(value - truth).abs().max().item():.0e}"
        " nats, and so does its gradient."
    )


def _below(z: Tensor, x: Tensor, below: float, log_snr: float) -> tuple[Tensor, float]:
    """Mean and variance of q(z_{t-1}|z_t, x): two Gaussian factors in z_{t-1}, precisions added."""
    alpha2, alpha2_below = 1 / (1 + math.exp(-log_snr)), 1 / (1 + math.exp(-below))
    kept2 = alpha2 / alpha2_below
    of_x, of_z = 1 / (1 - alpha2_below), kept2 / (1 - kept2)
    mean = (of_x * math.sqrt(alpha2_below) * x + of_z * z / math.sqrt(kept2)) / (of_x + of_z)
    return mean, 1 / (of_x + of_z)


def _kl_on_a_grid(x: Tensor, guess: Tensor, below: float, log_snr: float) -> Tensor:
    z = torch.full_like(x, 0.3)  # any: both Gaussians move alike with it
    (m, var), (w, _) = _below(z, x, below, log_snr), _below(z, guess, below, log_snr)
    t = torch.linspace(-10, 10, 2001, dtype=x.dtype)
    weight = torch.exp(-0.5 * t**2) * (t[1] - t[0]) / math.sqrt(2 * math.pi)
    at = m.detach()[:, None] + math.sqrt(var) * t
    return (weight * ((at - w[:, None]) ** 2 - (at - m[:, None]) ** 2) / (2 * var)).sum()


# ---- one step back


def _judge_step_back(step_back) -> str:
    z, guess, epsilon = _randn(3, (ROWS, DIM), (ROWS, DIM), (ROWS, DIM))
    below, log_snr = (
        torch.tensor([[v] for v in values], dtype=torch.float64)
        for values in ([3.0, 1.0, 0.2, -0.5, -2.0, 6.0], [2.5, -0.5, 0.1, -1.5, -3.0, 3.0])
    )
    answer = _rows(step_back(z, guess, epsilon, below, log_snr), "step_back")
    if answer.isnan().any():
        raise Wrong(
            "step_back is NaN, so you took the root of a negative number: r = exp(log SNR_t - log"
            " SNR_{t-1}) lies between 0 and 1."
        )
    found = [_below(z[i], guess[i], below[i].item(), log_snr[i].item()) for i in range(ROWS)]
    mean, std = (
        torch.stack([m for m, _ in found]),
        torch.tensor([[math.sqrt(v)] for _, v in found], dtype=torch.float64),
    )
    right = mean + std * epsilon
    alpha, sigma, alpha_below, sigma_below = (
        torch.sigmoid(v).sqrt() for v in (log_snr, -log_snr, below, -below)
    )
    r = torch.exp(log_snr - below)
    _match(
        answer,
        right,
        "step_back",
        {
            "this is the mean: add the noise, the standard deviation times epsilon": mean,
            "you multiplied epsilon by the variance: take its square root": mean + std**2 * epsilon,
            "the noise is not scaled": mean + epsilon,
            "the noise is that of q(z_{t-1}|x): z_t knows part of it, so its variance has the factor 1 - r": (
                mean + sigma_below * epsilon
            ),
            "sigma_{t-1} is missing in the noise": mean + (1 - r).sqrt() * epsilon,
            "the noise has sigma_t where sigma_{t-1} belongs": (
                mean + (1 - r).sqrt() * sigma * epsilon
            ),
            "you went to the guess at once, alpha_{t-1} guess + sigma_{t-1} epsilon: that forgets z_t": (
                alpha_below * guess + sigma_below * epsilon
            ),
            "divide z by alpha_t first: it was shrunk": (
                alpha_below * (r * z + (1 - r) * guess) + std * epsilon
            ),
            "alpha_{t-1} is missing: z_{t-1} is shrunk, too": (
                r * z / alpha + (1 - r) * guess + std * epsilon
            ),
            "r and 1 - r have changed places: the noisier z_t is, the less it counts": (
                alpha_below * ((1 - r) * z / alpha + r * guess) + std * epsilon
            ),
            "r is SNR_t / SNR_{t-1}: you took the ratio of the logarithms": (
                alpha_below * (log_snr / below * z / alpha + (1 - log_snr / below) * guess)
                + (1 - log_snr / below).clamp_min(0).sqrt() * sigma_below * epsilon
            ),
            "alpha_t stands where alpha_{t-1} belongs": (
                alpha * (r * z / alpha + (1 - r) * guess) + std * epsilon
            ),
            "the noise is subtracted. As a draw that is as good; here epsilon is given: add it": (
                mean - std * epsilon
            ),
        },
    )
    return (
        "it is the product of what z_t and the guess say about z_(t-1), normalised, to"
        f" {(answer - right).abs().max().item():.0e}."
    )


frechet = Exercise(
    name="frechet",
    solution=_frechet,
    judge=_judge_frechet,
    hints=[
        (
            "Four vectors of D numbers: x.mean(0), y.mean(0), x.std(0), y.std(0). Axis 0 holds the"
            " images."
        ),
        (
            "The squared distance of the means, and the squared distance of the standard"
            " deviations, each summed over the dimensions."
        ),
        "((x.mean(0) - y.mean(0)) ** 2 + (x.std(0) - y.std(0)) ** 2).sum()",
    ],
)
add_noise = Exercise(
    name="add_noise",
    solution=_add_noise,
    judge=_judge_add_noise,
    hints=[
        "Solve alpha^2 + sigma^2 = 1 and alpha^2 / sigma^2 = exp(log_snr) for alpha^2.",
        (
            "alpha^2 = SNR / (1 + SNR) = sigmoid(log_snr), and sigma^2 = sigmoid(-log_snr). Take"
            " the roots."
        ),
        "torch.sigmoid(log_snr).sqrt() * x + torch.sigmoid(-log_snr).sqrt() * epsilon",
    ],
)
layer_kl = Exercise(
    name="layer_kl",
    solution=_layer_kl,
    judge=_judge_layer_kl,
    hints=[
        "The squared error, summed over the dimensions, is (B,); the weight is (B,), too.",
        "The weight is half of SNR_{t-1} - SNR_t. What is given are logarithms of both.",
        "0.5 * (log_snr_below.exp() - log_snr.exp()) * ((x - guess) ** 2).sum(-1)",
    ],
)
step_back = Exercise(
    name="step_back",
    solution=_step_back,
    judge=_judge_step_back,
    hints=[
        (
            "You need alpha_t, alpha_{t-1}, sigma_{t-1}, each the root of a sigmoid, and r ="
            " exp(log_snr - log_snr_below)."
        ),
        (
            "mean = alpha_{t-1} * (r * z / alpha_t + (1 - r) * guess); variance = (1 - r) *"
            " sigma_{t-1}^2."
        ),
        "return mean + (1 - r).sqrt() * sigma_below * epsilon",
    ],
)
