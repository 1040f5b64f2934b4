"""Notebook 08's exercises: two gradient estimators and the network's head that feeds them, judged
by their gradients.
"""

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.densities import Gaussian

MEAN = torch.tensor([[0.7, -1.3, 2.0], [0.1, 0.4, -0.8]], dtype=torch.float64)
LOG_VAR = torch.tensor([[-1.1, 0.6, -0.4], [0.9, -2.0, 0.3]], dtype=torch.float64)
NOISE = torch.tensor([[0.5, -1.2, 0.8], [1.7, -0.3, -0.9]], dtype=torch.float64)


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-6, atol=1e-8)


def tensor_of(result, shape: tuple[int, ...], what: str) -> Tensor:
    """The result, if it is a tensor of this shape."""
    if not isinstance(result, Tensor):
        raise Wrong(f"{what} must be a tensor, yours is {type(result).__name__}.")
    if result.shape != shape:
        raise Wrong(f"{what} must have shape {tuple(shape)} here, yours has {tuple(result.shape)}.")
    return result


# ---- the score function


def score_function(f, q, parameters, S):
    z = q.sample((S,))
    surrogate = (f(z).detach() * q.log_prob(z)).mean()
    return torch.autograd.grad(surrogate, parameters)


class Fixed(Gaussian):
    """A Gaussian whose draws are decided beforehand, and which remembers how it was asked for
    them.
    """

    def __init__(self, mean: Tensor, log_var: Tensor, z: Tensor):
        super().__init__(mean, log_var)
        self.z, self.asked, self.path = z, None, False

    def sample(self, shape=()):
        if not isinstance(shape, tuple | list):
            raise Wrong("q.sample wants a shape, a tuple: q.sample((S,)), with its comma.")
        self.asked = tuple(shape)
        return self.z

    def rsample(self, shape=()):
        self.path = True
        return self.mean + torch.exp(0.5 * self.log_var) * (
            self.z - self.mean
        ).detach() / torch.exp(0.5 * self.log_var.detach())


def judge_score_function(answer) -> str:
    S, found, values, score, log_q = asked_for_gradients(answer, lambda q: plain)

    def weighed(weights):
        return [(weights[:, None] * s).mean(0) for s in score]

    right, others = weighed(values), (values.sum() - values) / (S - 1)
    with_baseline = all(map(close, found, weighed(values - others)))
    mistakes = {
        f"you subtracted the mean of all S values, the sample's own among them. That is no longer right on average: the estimate shrinks by (S - 1)/S, here to {S - 1}/{S} of the gradient. Subtract nothing, or the mean of the other values.": weighed(
            values - values.mean()
        ),
        "the estimate has the wrong sign: it should point uphill. Nothing is minimised here.": [
            -g for g in right
        ],
        f"it is S = {S} times too large: average over the samples instead of summing.": [
            S * g for g in right
        ],
        "you multiplied f by the gradient of q itself. The samples already come with probability q(z): what is left to multiply by is the gradient of log q(z).": [
            (values[:, None] * log_q.exp()[:, None] * s).mean(0) for s in score
        ],
        "f has no influence: that is the average of grad log q(z) alone, which estimates 0.": [
            s.mean(0) for s in score
        ],
        "you averaged f(z) and log q(z) first and multiplied then. Multiply sample by sample, then average: it is how f and log q vary together that holds the gradient.": [
            values.mean() * s.mean(0) for s in score
        ],
    }
    if not with_baseline:
        compare(
            found,
            right,
            mistakes,
            wrong_factor(found, right, plain_score=[s.mean(0) for s in score]),
        )
    _, found, values, score, _ = asked_for_gradients(answer, lambda q: lambda z: -q.log_prob(z))
    leak = (
        "for an f that depends on the parameters itself, as the ELBO does, your gradient also runs"
        " through f: detach f(z)."
    )
    others = (values.sum() - values) / (S - 1)
    compare(found, weighed(values - others if with_baseline else values), {}, leak)
    if with_baseline:
        return (
            "unbiased, and quieter than what was asked: you compare each value with the mean of the"
            " others, which does not depend on this sample. The notebook calls it a baseline and"
            " comes to it below. It needs S of 2 or more."
        )
    return (
        "f's values were enough: the estimate is the average of f(z) times the gradient of log"
        " q(z), to the last digit."
    )


def wrong_factor(found, right, plain_score) -> str:
    """The last word on a wrong estimate: what it is a multiple of, or which of the two gradients is
    wrong.
    """
    for what, whole in (
        ("the right one", right),
        ("the average of grad log q(z) alone, in which f has no part,", plain_score),
    ):
        factor = (found[0] @ whole[0]) / (whole[0] @ whole[0])
        if all(close(g, factor * w) for g, w in zip(found, whole, strict=True)):
            return (
                f"your estimate is {what} times {factor:.3g}: it is the average over s of f(z_s)"
                " times grad log q(z_s)."
            )
    bad = [
        name
        for name, g, w in zip(("mean", "log_var"), found, right, strict=True)
        if not close(g, w)
    ]
    return (
        f"the estimate for {' and for '.join(bad)} is not the average over s of f(z_s) times the"
        " gradient of log q(z_s): the surrogate (f(z).detach() * q.log_prob(z)).mean() has that"
        " gradient."
    )


def plain(z):
    return (z**2).sum(-1) - z.prod(-1)


def asked_for_gradients(answer, f_of):
    """S, the answer's gradients for mean and log-variance on fixed draws, and the true pieces,
    sample by sample.
    """
    S = 5
    z = MEAN[0] + torch.sin(torch.arange(1.0, 3 * S + 1, dtype=torch.float64) ** 2).reshape(S, 3)
    mean, log_var = MEAN[0].clone().requires_grad_(), LOG_VAR[0].clone().requires_grad_()
    q = Fixed(mean, log_var, z)
    f = f_of(q)
    found = answer(f, q, [mean, log_var], S)
    if q.path:
        raise Wrong(
            "you drew z with q.rsample, which moves with the parameters: log q(mu + sigma eps) then"
            " loses their influence and the gradient for the mean is 0. Draw with q.sample((S,))."
        )
    if q.asked is None:
        raise Wrong(
            "draw the samples with z = q.sample((S,)), so that they come from the q you were given."
        )
    if q.asked != (S,):
        raise Wrong(
            f"q.sample was asked for the shape {q.asked}: ask for S samples, q.sample((S,))."
        )
    if isinstance(found, Tensor) or len(found) != 2:
        raise Wrong(
            "return one gradient for each of `parameters`: a list, or what torch.autograd.grad"
            " returns."
        )
    found = [tensor_of(g, (3,), "each gradient").clone() for g in found]
    if all(
        close(twice, 2 * g)
        for twice, g in zip(answer(f, q, [mean, log_var], S), found, strict=True)
    ):
        raise Wrong(
            "called a second time with the same tensors it gives twice as much: .backward() adds to"
            " what .grad holds already. Use torch.autograd.grad, which returns the gradients and"
            " keeps nothing."
        )
    with torch.no_grad():
        variance = log_var.exp()
        score = [(z - mean) / variance, 0.5 * ((z - mean) ** 2 / variance - 1)]
        return S, found, f(z), score, q.log_prob(z)


def compare(found, right, mistakes: dict[str, list[Tensor]], otherwise: str) -> None:
    for message, wrong in (
        {} if all(map(close, found, right)) else {**mistakes, otherwise: found}
    ).items():
        if all(map(close, found, wrong)):
            raise Wrong(message)


# ---- the reparameterized sample


def reparameterize(mean, log_var, noise=None):
    if noise is None:
        noise = torch.randn_like(mean)
    return mean + torch.exp(0.5 * log_var) * noise


def judge_reparameterize(answer) -> str:
    mean, log_var = MEAN.clone().requires_grad_(), LOG_VAR.clone().requires_grad_()
    z = tensor_of(answer(mean, log_var, NOISE.clone()), MEAN.shape, "z")
    if not close(MEAN, mean.detach()) or not close(LOG_VAR, log_var.detach()):
        raise Wrong(
            "your function changed `mean` or `log_var` in place: leave what you were given as"
            " it is."
        )
    judge_value(z.detach(), answer)
    judge_gradient(z, mean, log_var, NOISE)
    judge_drawn_noise(answer)
    mean = torch.full(
        (4000, 3), 1.0, dtype=torch.float64, requires_grad=True
    )  # f(z) = -|z|^2, true gradient -2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        (g,) = torch.autograd.grad(-(answer(mean, torch.zeros_like(mean)) ** 2).sum(), mean)
    error = (g.std() / g.numel() ** 0.5).item()
    return (
        "the gradient flows through your sample, to the mean and to the log-variance. On E[-|z|^2]"
        " at mu = 1, where it should be -2 for each dimension, 12,000 of your samples give"
        f" {g.mean().item():.3f} +- {error:.3f}."
    )


def judge_value(z, answer) -> None:
    sigma, again = torch.exp(0.5 * LOG_VAR), answer(MEAN, LOG_VAR, NOISE.clone()).detach()
    if z.isnan().any():
        raise Wrong(
            "z is not a number where log_var is negative: a square root (or log) of log_var? Take"
            " exp of it instead."
        )
    if not close(z, again):
        raise Wrong(
            "two calls with the same `noise` gave two different z: use the noise you are given,"
            " draw only if it is None."
        )
    mistakes = [
        (
            MEAN + torch.exp(LOG_VAR) * NOISE,
            (
                "you multiplied the noise by the variance exp(log_var); its standard deviation is "
                "the square root of that: exp(log_var / 2)."
            ),
        ),
        (
            MEAN + LOG_VAR * NOISE,
            (
                "log_var itself multiplies the noise: turn it into a standard deviation,"
                " exp(log_var / 2)."
            ),
        ),
        (MEAN + 0.5 * LOG_VAR * NOISE, "log_var / 2 is the logarithm of sigma: take exp of it."),
        (
            MEAN + 0.5 * torch.exp(LOG_VAR) * NOISE,
            "the 1/2 belongs inside the exponential: exp(log_var / 2), not exp(log_var) / 2.",
        ),
        (
            MEAN + torch.exp(2 * LOG_VAR) * NOISE,
            "sigma is the square root of the variance, not its square: exp(log_var / 2).",
        ),
        (
            MEAN - sigma * NOISE,
            (
                "the sign of the noise is turned round: the distribution is right, but add sigma *"
                " noise as asked."
            ),
        ),
        (MEAN + NOISE, "the noise is not scaled: multiply it by sigma = exp(log_var / 2)."),
        (sigma * NOISE, "your sample ignores the mean: add it."),
        (MEAN, "your sample is the mean, without noise."),
        (
            sigma * (MEAN + NOISE),
            "the mean is scaled too: multiply only the noise by sigma, then add the mean.",
        ),
    ]
    for wrong, message in mistakes:
        if close(z, wrong):
            raise Wrong(message)
    rows, columns = NOISE[:1].expand_as(NOISE), NOISE[:, :1].expand_as(NOISE)
    if close(z, MEAN + sigma * rows) or close(z, MEAN + sigma * columns):
        raise Wrong(
            "you used one noise number for several entries of z: noise has one for each, multiply"
            " elementwise."
        )
    if not close(z, MEAN + sigma * NOISE):
        raise Wrong(
            "z is not mean + sigma * noise with sigma = exp(log_var / 2): try it on one number by"
            " hand."
        )


def judge_gradient(z, mean, log_var, noise) -> None:
    """z's value is right; does it depend on the parameters as a function of them should?"""
    cut = "Look for .detach(), .item(), .data, torch.no_grad or torch.tensor(...)."
    if not z.requires_grad:
        raise Wrong(
            "z has the right value but no gradient: the graph is cut between the parameters and z."
            f" {cut}"
        )
    g_mean, g_log_var = torch.autograd.grad(z.sum(), [mean, log_var], allow_unused=True)
    names = {"mean": g_mean, "log_var": g_log_var}
    for name, g in names.items():
        if g is None or not g.any():
            raise Wrong(
                f"z's value is right, but no gradient reaches {name}: it is cut on the way. {cut}"
            )
    if not close(g_mean, torch.ones_like(g_mean)):
        raise Wrong("dz/dmean is not 1: the mean enters z once, added.")
    if not close(g_log_var, 0.5 * torch.exp(0.5 * log_var).detach() * noise):
        raise Wrong(
            "dz/dlog_var is not sigma * noise / 2, although z's value is right: part of the path is"
            " cut or doubled."
        )


def judge_drawn_noise(answer) -> None:
    """Without `noise` the function draws it: one standard Gaussian number for each entry, new at
    each call.
    """
    mean = torch.zeros(4000, 3, dtype=torch.float64, requires_grad=True)
    log_var = torch.full((4000, 3), -1.0, dtype=torch.float64, requires_grad=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        z, again = (tensor_of(answer(mean, log_var), mean.shape, "z") for _ in range(2))
    noise = (z / torch.exp(0.5 * log_var)).detach()
    if close(z.detach(), again.detach()):
        raise Wrong(
            "two calls drew the same noise: draw it anew in each call, without a fixed seed."
        )
    if (noise[0] == noise).all() and (noise == noise[0, 0]).all():
        raise Wrong(
            "one number is the noise of the whole batch: every entry of z needs its own,"
            " torch.randn_like(mean)."
        )
    if close(noise, noise[:1].expand_as(noise)):
        raise Wrong(
            "every row of the batch got the same noise: draw one number for each entry,"
            " torch.randn_like(mean)."
        )
    if close(noise, noise[:, :1].expand_as(noise)):
        raise Wrong(
            "all dimensions of a row share one noise number, so z lies on a line: draw"
            " torch.randn_like(mean)."
        )
    if z.requires_grad and not any(
        g is not None and g.any()
        for g in torch.autograd.grad(z.sum(), [mean, log_var], allow_unused=True, retain_graph=True)
    ):
        raise Wrong(
            "with noise of its own z has a gradient of zeros: torch.normal(mean, std) draws, but"
            " torch defines its derivative as 0. Draw torch.randn_like(mean) and scale it yourself."
        )
    if noise.min() >= 0 and noise.max() <= 1:
        raise Wrong(
            "the noise lies between 0 and 1: torch.rand is uniform, you need the Gaussian"
            " torch.randn."
        )
    if noise.mean().abs() > 0.05 or (noise.std() - 1).abs() > 0.05:
        raise Wrong(
            f"the noise you draw has mean {noise.mean():.2f} and standard deviation"
            f" {noise.std():.2f}: it should be N(0, 1), torch.randn_like(mean)."
        )
    judge_gradient(z, mean, log_var, noise)


# ---- the head of the encoder


def gaussian_head(output):
    mean, log_var = output.chunk(2, dim=-1)
    return mean, torch.exp(0.5 * log_var)


def judge_gaussian_head(answer) -> str:
    output = (
        torch.cat([MEAN, LOG_VAR], -1).repeat(2, 1).requires_grad_()
    )  # (4, 6): not as many rows as columns
    right = MEAN.repeat(2, 1), torch.exp(0.5 * LOG_VAR).repeat(2, 1)
    result = answer(output)
    if isinstance(result, Tensor) or len(result) != 2:
        raise Wrong("return two tensors, the mean and sigma: return mean, sigma.")
    first, second = result
    judge_cut(first, "the mean", "first")
    judge_cut(second, "sigma", "second")
    mean, sigma = first.detach(), second.detach()
    raw = output.detach()
    swapped = LOG_VAR.repeat(2, 1)
    if close(mean, raw[:, ::2]):
        raise Wrong(
            "you took every second number: the first half of the last axis is the mean, the rest"
            " the log-variance."
        )
    if close(mean, right[1]) or close(mean, swapped):
        raise Wrong("the halves are swapped: the first is the mean, the second the log-variance.")
    if start := cut_at(raw, mean, lambda half: half):
        raise Wrong(
            f"the mean is made of the columns {start} to {start + 2} of 0 to 5: it is the first"
            " half, 0 to 2."
        )
    if not close(mean, right[0]):
        raise Wrong(
            "the mean is the first half of the output as it is: any real number is a valid mean."
        )
    if sigma.isnan().any():
        raise Wrong(
            "sigma is not a number for a negative output: a root or logarithm of it? exp takes any"
            " real number."
        )
    mistakes = [
        (
            swapped,
            (
                "the second half is returned as it is: as a standard deviation it would be negative"
                " for some inputs. It is log sigma^2, so sigma = exp(half of it)."
            ),
        ),
        (
            swapped.exp(),
            "that is the variance, exp(log_var): sigma is its square root, exp(log_var / 2).",
        ),
        (0.5 * swapped, "half the log-variance is log sigma: take exp of it."),
        (
            0.5 * swapped.exp(),
            "the 1/2 belongs inside the exponential: exp(log_var / 2), not exp(log_var) / 2.",
        ),
        (
            torch.nn.functional.softplus(swapped),
            (
                "softplus gives a positive sigma, and is a fine choice elsewhere. Here the "
                "second half is log sigma^2, which exp(half of it) turns into sigma."
            ),
        ),
        (
            swapped.abs(),
            (
                "the absolute value is not smooth at 0, and two outputs mean the same sigma. The"
                " second half is log sigma^2: exp(half of it)."
            ),
        ),
        (
            swapped.relu(),
            (
                "a clipped output is positive or exactly 0, and where it is 0 no gradient brings it"
                " back. The second half is log sigma^2: exp(half of it)."
            ),
        ),
    ]
    for wrong, message in mistakes:
        if close(sigma, wrong):
            raise Wrong(message)
    start = cut_at(raw, sigma, lambda half: torch.exp(0.5 * half))
    if start is not None and start != 3:
        raise Wrong(
            f"sigma is made of the columns {start} to {start + 2} of 0 to 5: it is the second half,"
            " 3 to 5."
        )
    if not close(sigma, right[1]):
        raise Wrong(
            "sigma is not exp(log_var / 2) of the second half of the output: try it on one number"
            " by hand."
        )
    judge_head_gradient(output, first, second)
    for columns in (10, 2):
        judge_other_width(answer, columns)
    with torch.no_grad():
        small = answer(torch.tensor([[0.0, -60.0]], dtype=torch.float64))[1].item()
    if small <= 0 or not close(torch.tensor(small).log(), torch.tensor(-30.0)):
        raise Wrong("for log_var = -60 sigma is not exp(-30): don't clip or add a constant here.")
    return (
        f"any output gives a sigma above 0 with a gradient of its own: even -60 gives {small:.0e},"
        " and not one NaN."
    )


def judge_cut(half, what: str, which: str) -> None:
    """Is it a half of an output of 4 rows and 6 columns?"""
    if isinstance(half, Tensor) and half.shape == (2, 6):
        raise Wrong("you cut the batch in two: cut the last axis, output.chunk(2, dim=-1).")
    if isinstance(half, Tensor) and half.shape == (4,):
        raise Wrong(
            f"{what} is a single column, output[:, i]: it is the {which} half of them, D of 2 D."
        )
    if isinstance(half, Tensor) and half.dim() == 2 and len(half) == 4 and half.shape[1] != 3:
        raise Wrong(
            f"{what} has {half.shape[1]} of the output's 6 columns: it is the {which} half, with D"
            " = output.shape[-1] // 2 of them."
        )
    tensor_of(half, (4, 3), what)


def cut_at(output, half, made) -> int | None:
    """The column at which a slice of three starts that gives this half."""
    return next(
        (start for start in range(4) if close(half, made(output[:, start : start + 3]))), None
    )


def judge_other_width(answer, columns: int) -> None:
    """The number of dimensions is the output's business, not a number in the code."""
    output = torch.linspace(-1, 1, 2 * columns, dtype=torch.float64).reshape(2, columns)
    fixed = f"right for an output of 6 columns, but for one of {columns}"
    cure = (
        "cut in the middle, wherever that is: output.chunk(2, dim=-1), or D = output.shape[-1]"
        " // 2."
    )
    try:
        halves = [tuple(half.shape) for half in answer(output)]
    except Exception as error:  # whatever a fixed cut can raise
        raise Wrong(f"{fixed} it stops with {type(error).__name__}: {cure}") from None
    if halves != [(2, columns // 2)] * 2:
        raise Wrong(
            f"{fixed} the mean has {halves[0][-1]} and sigma {halves[1][-1]}, not {columns // 2}"
            f" each: {cure}"
        )


def judge_head_gradient(output, mean, sigma) -> None:
    for what, half in (("the mean", mean), ("sigma", sigma)):
        g = (
            torch.autograd.grad(half.sum(), output, allow_unused=True, retain_graph=True)[0]
            if half.requires_grad
            else None
        )
        if g is None or not g.any():
            raise Wrong(
                f"{what} has the right value but no gradient: the encoder could not learn it."
                " Remove the detach."
            )


score_function = Exercise(
    "score_function",
    score_function,
    judge_score_function,
    [
        (
            "The samples don't move with the parameters: z = q.sample((S,)). What does move is log"
            " q(z), q.log_prob(z)."
        ),
        (
            "Build one number whose gradient is the estimate: the average over s of f(z_s) times"
            " log q(z_s)."
        ),
        "f(z) only weighs: f(z).detach(). Then return torch.autograd.grad(surrogate, parameters).",
    ],
)
reparameterize = Exercise(
    "reparameterize",
    reparameterize,
    judge_reparameterize,
    [
        (
            "Start with the noise: if it is None, draw one standard Gaussian number for each entry"
            " of mean."
        ),
        "log_var is log sigma^2. What function of it is sigma?",
        (
            "sigma = torch.exp(0.5 * log_var), noise = torch.randn_like(mean), and z is the mean"
            " plus sigma times the noise."
        ),
    ],
)
gaussian_head = Exercise(
    "gaussian_head",
    gaussian_head,
    judge_gaussian_head,
    [
        "output.chunk(2, dim=-1) cuts the last axis into two halves.",
        "The first half is the mean. The second is log sigma^2: sigma = exp(log_var / 2).",
    ],
)
