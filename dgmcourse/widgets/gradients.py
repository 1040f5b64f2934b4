"""Notebook 08's pictures: estimators of a gradient, and how their spread depends on the samples,
the dimension and the function.

Each drawing function takes numbers and gives one figure; `play_...` adds sliders to it. Each
estimator has one colour and one marker.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor

from dgmcourse import gradients
from dgmcourse.densities import Gaussian
from dgmcourse.plot import CLASSES, DATA, MODEL, NOISE, POSTERIOR, WIDTH
from dgmcourse.widgets.figure import SliderFigure, slider_figure

# Indigo, amber, wine: they differ in greyscale, too.
PATHWISE, SCORE, BASELINE = CLASSES[7], CLASSES[1], CLASSES[8]
LOOKS = {
    "score function": {"color": SCORE, "marker": "s", "ls": "-"},
    "score function with baseline": {"color": BASELINE, "marker": "^", "ls": "--"},
    "pathwise": {"color": PATHWISE, "marker": "o", "ls": "-"},
}


# ---- the opening picture: one landscape, eight samples, two sets of arrows


def landscape(z: Tensor, height: float = 0.0) -> Tensor:
    """f(z) = 1.5 sin 2z - (z - 1)^2 / 4 + height."""
    return 1.5 * torch.sin(2 * z) - (z - 1) ** 2 / 4 + height


def landscape_slope(z: Tensor) -> Tensor:
    return 3 * torch.cos(2 * z) - (z - 1) / 2


def true_slope(mu: float, sigma: float) -> float:
    r"""d/dmu E[f(z)] under N(mu, sigma^2), by E[sin 2z] = exp(-2 sigma^2) sin 2mu."""
    return 3 * math.exp(-2 * sigma**2) * math.cos(2 * mu) - (mu - 1) / 2


def one_draw(
    mu: float, sigma: float, height: float = 0.0, seed: int = 0, n: int = 8
) -> dict[str, Tensor]:
    """Draw n samples in ascending order, with the term of each in either estimate of d/dmu E[f(z)]:
    (n,) each.
    """
    z = mu + sigma * torch.randn(n, generator=torch.Generator().manual_seed(seed)).sort().values
    return {
        "z": z,
        "pathwise": landscape_slope(z),
        "score function": landscape(z, height) * (z - mu) / sigma**2,
    }


def arrows(mu: float = -1.2, sigma: float = 0.6, height: float = 0.0, seed: int = 0) -> plt.Figure:
    drawn, truth, scale = one_draw(mu, sigma, height, seed), true_slope(mu, sigma), 0.3
    fig, axes = plt.subplots(3, 1, figsize=(WIDTH, 5.0), height_ratios=(1.7, 1, 1), sharex=True)
    grid, z = torch.linspace(-4.5, 5.5, 300), drawn["z"]
    axes[0].plot(grid, landscape(grid, height), color=MODEL)
    top = landscape(torch.tensor(0.8), height) + 0.6
    axes[0].text(0.8, top, "$f(z)$", color=MODEL, ha="center", fontsize=12)
    axes[0].vlines(z, -6.5, landscape(z, height), color=POSTERIOR, lw=0.7, alpha=0.5)
    axes[0].plot(z, landscape(z, height), "o", color=POSTERIOR, ms=6)
    bell = torch.exp(-0.5 * ((grid - mu) / sigma) ** 2) / sigma
    hill = -6.5 + 1.6 * bell.clamp(max=4)
    axes[0].fill_between(grid, -6.5, hill, color=POSTERIOR, alpha=0.25, lw=0)
    axes[0].text(mu, -6.2, r"$q(z)$", color=POSTERIOR, ha="center", fontsize=12)
    axes[0].set(ylim=(-6.5, 8), ylabel="value of f")
    axes[0].set_title("eight samples of q, and what f is worth at each")
    for ax, name in zip(axes[1:], ("pathwise", "score function"), strict=True):
        colour, terms = LOOKS[name]["color"], drawn[name]
        rows = np.linspace(1, 0.25, len(z))
        ax.plot(z, rows, ".", color=POSTERIOR, ms=5)
        for place, row, term in zip(z.tolist(), rows, terms.tolist(), strict=True):
            arrow(ax, place, row, scale * term, colour, 1.3)
        arrow(ax, mu, -0.05, scale * terms.mean().item(), colour, 3)
        arrow(ax, mu, -0.4, scale * truth, DATA, 3)
        words = f"mean of the 8: {terms.mean():+.2f}     truth: {truth:+.2f}"
        ax.text(1.0, 1.02, words, transform=ax.transAxes, ha="right", va="bottom")
        ax.set(ylim=(-0.65, 1.2), yticks=[-0.4, -0.05, 0.6], yticklabels=["truth", "mean", "each"])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[1].set_title("pathwise: up the slope of f")
    axes[2].set_title(r"score function: $f(z)\,(z-\mu)/\sigma^2$")
    axes[2].set(xlabel="z, and the way each sample wants to move $\\mu$", xlim=(-4.5, 5.5))
    return fig


def arrow(ax: plt.Axes, x: float, y: float, length: float, colour: str, width: float) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": width}
    style |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 8 + 1.5 * width}
    ax.annotate("", (x + length, y), (x, y), arrowprops=style, annotation_clip=False, clip_on=True)


def play_arrows() -> SliderFigure:
    return slider_figure(
        arrows,
        alt=(
            "A curve f(z), eight samples of a Gaussian q under it, and the arrows that two gradient"
            " estimators make of them."
        ),
        mu=(-3.0, 4.0, 0.1, 1.6),
        sigma=(0.1, 1.5, 0.05, 0.6),
        height=(-5.0, 5.0, 0.5, 0.0),
        seed="new sample",
    )


# ---- lines over a logarithmic axis


def lines(ax: plt.Axes, x, curves: dict[str, tuple], xlabel: str, ylabel: str) -> None:
    """Draw curves with error bars over logarithmic axes: {name: (values, errors)} for names in
    LOOKS, or {name: (values, errors, look)}.
    """
    for name, (values, errors, *look) in curves.items():
        look = look[0] if look else LOOKS[name]
        ax.errorbar(x, values, errors, label=name, ms=5, lw=1.5, capsize=2, **look)
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=ylabel)


def differences(steps, fresh, rewound, truth: float) -> plt.Figure:
    """Draw finite differences, (H, R) each, and their standard deviation against the step."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    for values, label, look in (
        (fresh, "fresh noise", {"color": NOISE, "marker": "s", "ls": "--"}),
        (rewound, "same noise", {"color": PATHWISE, "marker": "o", "ls": "-"}),
    ):
        lines(right, steps, {label: (values.std(-1), None, look)}, "step h", "standard deviation")
        some, look = values[:, :12], look | {"ls": "", "ms": 3.5, "alpha": 0.7}
        left.plot(steps, some, **look)
    left.axhline(truth, color=DATA, lw=1, ls=":")
    left.text(steps[-1], truth, "truth ", ha="right", va="bottom")
    left.set(xscale="log", yscale="symlog", xlabel="step h", ylabel="12 estimates of the gradient")
    right.legend()
    return fig


def variance_lines(by_S: dict, by_d: dict, S, d, fixed_S: int, fixed_d: int) -> plt.Figure:
    """Draw the variance of one estimate, {estimator: (values, errors)}, against the number of
    samples and against the dimension.
    """
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharey=True)
    lines(axes[0], S, by_S, "samples S", "variance of one estimate")
    lines(axes[1], d, by_d, "dimensions d", "")
    axes[0].set_title(f"against S, at d = {fixed_d}")
    axes[1].set_title(f"against d, at S = {fixed_S}")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return fig


# ---- histograms of estimates


def estimates(S: int, d: int, sigma: float = 1.0, R: int = 300, seed: int = 0) -> dict[str, Tensor]:
    """Estimate dE/dmu_1 for f(z) = -|z|^2 at mu = 1, R times by each estimator: (R,) each. The true
    value is -2.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean = torch.ones(R, d, requires_grad=True)
        q = Gaussian(mean, torch.full((R, d), 2 * math.log(sigma)))

        def f(z):
            return -(z**2).sum(-1)

        (score,) = gradients.score_function(f, q, [mean], S)
        (with_baseline,) = gradients.score_function(f, q, [mean], S, baseline=True)
        (pathwise,) = gradients.pathwise(f, q, [mean], S)
    gradient_of = {
        "score function": score,
        "score function with baseline": with_baseline,
        "pathwise": pathwise,
    }
    return {name: gradient[:, 0] for name, gradient in gradient_of.items()}


def histograms(S: int = 10, d: int = 10, sigma: float = 1.0, reach: float = 40.0) -> plt.Figure:
    fig, axes = plt.subplots(3, 1, figsize=(WIDTH, 3.6), sharex=True, sharey=True)
    for ax, (name, g) in zip(axes, estimates(S, d, sigma).items(), strict=True):
        histogram(ax, name, g, -2.0, reach)
    axes[-1].set_xlabel(
        r"300 estimates of $\partial\, E[f] / \partial \mu_1$ (the truth, -2, is dotted)"
    )
    return fig


def histogram(ax: plt.Axes, name: str, g: Tensor, truth: float, reach: float) -> None:
    """Draw a histogram of estimates (R,) of one gradient about its true value; the title gives the
    share beyond the axis.
    """
    outside = ((g - truth).abs() > reach).float().mean()
    note = f", {outside:.1%} beyond the axis" if outside > 0 else ""
    edges = np.linspace(truth - reach, truth + reach, 82)
    ax.hist(g.numpy(), bins=edges, color=LOOKS[name]["color"])
    ax.axvline(truth, color=DATA, lw=1.2, ls=":")
    ax.set(xlim=(truth - reach, truth + reach), ylim=(0, len(g) / 3), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.set_title(f"{name}: mean {g.mean():.2f}, standard deviation {g.std():.2f}{note}")


def play_histograms() -> SliderFigure:
    return slider_figure(
        histograms,
        alt="Histograms of 300 estimates of one gradient by three estimators.",
        S=[2, 4, 8, 16, 32, 64, 128],
        d=[1, 2, 5, 10, 20, 50, 100],
        sigma=(0.1, 2.0, 0.1, 1.0),
    )


# ---- sigma on its way


def paths(
    sigmas: dict[str, list[float]], target: float, low: float = -0.35, high: float = 1.15
) -> plt.Figure:
    """Draw sigma against the step for each parameterization, up to where it is not positive."""
    fig, axes = plt.subplots(1, len(sigmas), figsize=(WIDTH, 2.6), sharey=True)
    hues = CLASSES[6], PATHWISE, CLASSES[4]
    for ax, (name, path), colour in zip(axes, sigmas.items(), hues, strict=False):
        path = np.array(path)
        bad = next((i for i, sigma in enumerate(path) if not sigma > 0), None)
        ax.axhspan(low, 0, color=NOISE, alpha=0.25, lw=0)
        ax.axhline(target, color=DATA, lw=1, ls=":")
        ax.plot(path[: bad + 1].clip(low) if bad else path, color=colour, marker=".", ms=4, lw=1)
        words = f"ends at {path[-1]:.3f}"
        if bad:
            ax.plot(bad, max(path[bad], low), "X", color=colour, ms=11, clip_on=False)
            words = f"step {bad}: $\\sigma$ = {path[bad]:.1f}\nlog $\\sigma$ is not a number"
        ax.text(0.97, 0.95, words, transform=ax.transAxes, ha="right", va="top")
        ax.set(xlim=(-2, len(path)), ylim=(low, high), xlabel="step")
        ax.set_title(name)
    axes[0].set_ylabel("$\\sigma$ (target dotted, impossible grey)")
    return fig


# ---- training


def training(curves: dict[str, tuple[list[int], Tensor, dict]]) -> plt.Figure:
    """Draw the ELBO against the step, {name: (steps, values (seeds, steps), look)}: the median, and
    the range over seeds.
    """
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    for name, (steps, values, look) in curves.items():
        ax.fill_between(steps, values.amin(0), values.amax(0), color=look["color"], alpha=0.2, lw=0)
        ax.plot(steps, values.median(0).values, label=name, markevery=0.12, ms=5, **look)
    late = (values.median(0).values[len(steps) // 10 :] for steps, values, _ in curves.values())
    low = min(values.min().item() for values in late)
    ax.set(xlabel="step of training", ylabel="ELBO on the batch (nats per image)")
    ax.set_ylim(low - 2, None)
    ax.legend(loc="lower right")
    return fig


# ---- a coin


def relaxed_coin(logits: Tensor, u: Tensor, tau: float) -> Tensor:
    """Relax a coin to a concrete variable, sigmoid((logits + logit(u)) / tau); at tau = 0 it is the
    coin itself.
    """
    argument = logits + torch.log(u) - torch.log1p(-u)
    return torch.sigmoid(argument / tau) if tau > 0 else (argument > 0).to(u)


def coins(taus: list[float], n: int = 6) -> plt.Figure:
    """Draw single samples as functions of p, each with its own u held fixed, and the average of
    1000 of them.
    """
    p = torch.linspace(0.005, 0.995, 300)[:, None]
    many = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    few = (torch.arange(n) + 0.5) / n
    fig, axes = plt.subplots(1, len(taus), figsize=(WIDTH, 2.6), sharey=True, squeeze=False)
    for ax, tau in zip(axes[0], taus, strict=True):
        ax.plot(p, relaxed_coin(torch.logit(p), few, tau), color=POSTERIOR, lw=0.8, alpha=0.7)
        average = relaxed_coin(torch.logit(p), many.clamp(1e-4, 1 - 1e-4), tau).mean(-1)
        ax.plot(p, average, color=PATHWISE, lw=2.5)
        ax.plot([0, 1], [0, 1], color=DATA, lw=1, ls=":")
        name = "a coin" if tau == 0 else f"relaxed, $\\tau$ = {tau:g}"
        ax.set(xlabel="p", title=name, xticks=[0, 0.5, 1])
    axes[0, 0].set_ylabel("z")
    return fig


def relaxation_lines(
    taus, bias, error, deviation, exact_deviation: float, truth: float
) -> plt.Figure:
    """Draw the bias with its standard error, and the standard deviation of one estimate, against
    the temperature.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.8))
    left.errorbar(taus, bias, error, color=PATHWISE, marker="o", capsize=2, ms=5, lw=1.5)
    left.axhline(0, color=DATA, lw=1, ls=":")
    left.axhline(-truth, color=NOISE, lw=1, ls="--")
    look = {"color": "#666666", "va": "bottom", "ha": "left", "fontsize": 9}
    left.text(taus[0], -truth, "as large as the truth", **look)
    left.set(xscale="log", xlabel="temperature $\\tau$", ylabel="bias of the gradient")
    right.plot(taus, deviation, color=PATHWISE, marker="o", ms=5, lw=1.5, label="relaxed")
    right.axhline(exact_deviation, color=SCORE, ls="--", label="score function, exact coin")
    right.set(xscale="log", yscale="log", xlabel="temperature $\\tau$")
    right.set_ylabel("deviation of one estimate")
    right.legend()
    return fig


# ---- a cliff


def step(z: Tensor, steepness: float) -> Tensor:
    """Step from 0 to 1 at z = 0: Phi(k z), (..., 1) to (...). For k = infinity it is a jump, whose
    derivative in torch is 0.
    """
    z = z.squeeze(-1)
    return 0.5 * (torch.sign(z) + 1) if math.isinf(steepness) else torch.special.ndtr(steepness * z)


def step_slope(mu: float, steepness: float) -> float:
    """Compute d/dmu of E[step(z)] under N(mu, 1): k phi(k mu / r) / r with r = sqrt(1 + k^2), or
    phi(mu) for the jump.
    """
    k = 1.0 if math.isinf(steepness) else steepness / math.hypot(1, steepness)
    return k * math.exp(-0.5 * (k * mu) ** 2) / math.sqrt(2 * math.pi)


def step_estimates(
    mu: float, steepness: float, S: int = 10, R: int = 300, seed: int = 0
) -> dict[str, Tensor]:
    """Estimate that gradient with S samples, R times by each estimator: (R,) each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean = torch.full((R, 1), mu, requires_grad=True)
        q = Gaussian(mean, torch.zeros(R, 1))

        def f(z):
            return step(z, steepness)

        (score,) = gradients.score_function(f, q, [mean], S)
        (pathwise,) = gradients.pathwise(f, q, [mean], S)
    return {"score function": score[:, 0], "pathwise": pathwise[:, 0]}


def cliff(mu: float = 0.5, steepness: float | str = 4) -> plt.Figure:
    k = math.inf if steepness == "a jump" else float(steepness)
    fig, axes = plt.subplots(3, 1, figsize=(WIDTH, 4.4), height_ratios=(1.5, 1, 1))
    z = torch.linspace(-4, 4, 801)
    axes[0].plot(z, step(z[:, None], k), color=MODEL, label="f(z)")
    bell = torch.exp(-0.5 * (z - mu) ** 2) * 0.4
    axes[0].fill_between(z, bell, color=POSTERIOR, alpha=0.25, lw=0, label="q(z)")
    axes[0].set(xlim=(-4, 4), ylim=(0, 1.1), xlabel="z")
    axes[0].legend(loc="upper left")
    for ax, (name, g) in zip(axes[1:], step_estimates(mu, k).items(), strict=True):
        histogram(ax, name, g, step_slope(mu, k), 1.2)
    axes[2].set_xlabel(
        r"300 estimates of $\partial\, E[f] / \partial \mu$ with S = 10 (truth dotted)"
    )
    return fig


def play_cliff() -> SliderFigure:
    return slider_figure(
        cliff,
        alt=(
            "A step f(z), a Gaussian q, and histograms of 300 estimates of the gradient by two"
            " estimators."
        ),
        mu=(-3.0, 3.0, 0.1, 0.5),
        steepness=[1, 2, 5, 10, 20, 50, 100, 1000, "a jump"],
    )


def step_lines(steepness, spread: dict[str, list[float]]) -> plt.Figure:
    """Draw the standard deviation of one estimate with one sample against the steepness."""
    fig, ax = plt.subplots(figsize=(WIDTH, 2.8))
    curves = {name: (values, None) for name, values in spread.items()}
    lines(ax, steepness, curves, "steepness k of the step", "standard deviation (S = 1)")
    ax.legend()
    return fig
