# ---
# jupyter:
#   dgmcourse:
#     part: Latent variables
#     question: What does a hidden cause buy?
#     about: "first z, then x: factor analysis exactly, where it ends, and an infinite mixture of
#       Gaussians"
#     slides: Latent Variable Models
#     minutes: 60
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Latent variable models: first z, then x
# *60 minutes, about 20 of them for three exercises. Slides: "Latent Variable Models". You need the
# Gaussian in several dimensions, matrix products, and PyTorch's tensors.*
#
# ## The question
# Draw one number $z$. Let it choose a place in the plane. Add a little noise. **Which clouds of
# points can you make in this way, and how probable is each point of the cloud?** Press *Play*:
# nothing else happens in a latent variable model.
#
# Three things to try: stop at the third draw and say which of the two steps moved the point; look
# where the points are dense, and why; predict the cloud if the line were bent. You will see that
# one below.

# %% tags=["colab"] jupyter={"source_hidden": true}
# In Colab this installs the course and leaves Colab's own torch alone. Elsewhere it does nothing.
import importlib.util
import subprocess
import sys

REPOSITORY = ""  # written by `make badges REPO=...`
if "google.colab" in sys.modules:
    if importlib.util.find_spec("dgmcourse") is None:
        if not REPOSITORY:
            raise RuntimeError("Where does the course live? Write its address as REPOSITORY.")
        pip = [sys.executable, "-m", "pip", "install", "-q"]
        for name in ("anywidget", "mlxtend", "safetensors"):
            if importlib.util.find_spec(name) is None:
                subprocess.check_call([*pip, name])
        subprocess.check_call([*pip, "--no-deps", f"dgmcourse @ git+{REPOSITORY}"])
    from google.colab import output

    output.enable_custom_widget_manager()  # Colab shows other people's widgets only when asked to

# %% jupyter={"source_hidden": true}
import math
import sys

import ipywidgets as widgets
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse import intervals, plot
from dgmcourse.check import latent_variable_models as check
from dgmcourse.data.images import mnist
from dgmcourse.data.toy import two_moons
from dgmcourse.densities import LOG_2PI, FullGaussian, Gaussian, StandardGaussian
from dgmcourse.evaluate import log_mean_exp, precision_and_recall
from dgmcourse.models.factor_analysis import FactorAnalysis, probabilistic_pca
from dgmcourse.models.mixture_of_factor_analysers import MixtureOfFactorAnalysers
from dgmcourse.plot import (
    DATA,
    MODEL,
    NOISE,
    POSTERIOR,
    PRIOR,
    plt,
    progress,
    standard_error,
)
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.figure import LAYOUT, slider_figure
from dgmcourse.widgets.film import film

torch.set_num_threads(1)  # small matrices gain little from more, and lose much on a busy machine
OTHER, THIRD = plot.CLASSES[8], plot.CLASSES[1]  # wine and amber: what is compared with the model
measured = {}  # claim -> what you found, for the table at the end

line = FactorAnalysis(data_dim=2, latent_dim=1)  # the model of the film
with torch.no_grad():
    line.decoder.weight.copy_(torch.tensor([[1.6], [0.8]]))
    line.decoder.bias.copy_(torch.tensor([0.5, 0.0]))
    line.decoder.log_var.copy_(torch.tensor([0.15, 0.35]).log())


def bend(z: Tensor) -> Tensor:
    """A bent line in the plane, f(z) = (1.5 sin 2z, z): (..., 1) to (..., 2)."""
    return torch.cat([1.5 * torch.sin(2 * z), z], -1)


def bent(z: Tensor, sigma: float = 0.2) -> Gaussian:
    """p(x|z) = N(f(z), sigma^2 I)."""
    return Gaussian(bend(z), torch.full_like(bend(z), 2 * math.log(sigma)))


def ellipse(mean: Tensor, covariance: Tensor, radius: float = 1.0) -> Tensor:
    """Points at so many standard deviations from the mean: (2, 100)."""
    angle = torch.linspace(0, 2 * math.pi, 100).to(mean)
    circle = torch.stack([angle.cos(), angle.sin()])
    return mean[:, None] + radius * torch.linalg.cholesky(covariance) @ circle


def draw_fall(decoder, points: int, stage: str = "x", reach=(5.5, 3.6), end=None) -> plt.Figure:
    """The first `points` draws; of the last one only z ("z"), z and its place on the line
    ("mean"), or all ("x").
    """
    torch.manual_seed(3)
    z = torch.randn(2000, 1)
    with torch.no_grad():
        p, axis = decoder(z), torch.linspace(-3.2, 3.2, 200)
        mean, x, path = p.mean, p.sample(), decoder(axis[:, None]).mean
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.3), width_ratios=(1, 1.7))
    left.fill_between(
        axis, torch.exp(-(axis**2) / 2) / math.sqrt(2 * math.pi), color=PRIOR, alpha=0.2, lw=0
    )
    left.plot(axis, torch.exp(-(axis**2) / 2) / math.sqrt(2 * math.pi), color=PRIOR)
    size, alpha = (5, 0.9) if points <= 10 else (3, 0.6) if points <= 200 else (1.5, 0.5)
    left.plot(z[:points], torch.zeros(points) - 0.02, "|", color=PRIOR, ms=9, alpha=alpha)
    left.set(
        xlabel="z",
        xlim=(-3.2, 3.2),
        ylim=(-0.06, 0.45),
        yticks=[],
        title="first: z from the prior p(z)",
    )
    left.spines["left"].set_visible(False)
    right.plot(*path.T, color=MODEL, lw=1.2, alpha=0.8)
    done = points if stage == "x" else points - 1
    if points <= 100 and done > 0:
        right.plot(
            torch.stack([mean[:done, 0], x[:done, 0]]),
            torch.stack([mean[:done, 1], x[:done, 1]]),
            color=NOISE,
            lw=1,
        )
    right.plot(*x[: max(done, 0)].T, "o", color=DATA, ms=size, alpha=alpha, mew=0)
    if points and points <= 3:
        left.plot(z[points - 1], [0], "v", color=PRIOR, ms=11)
    if points and points <= 3 and stage != "z":
        right.plot(*mean[points - 1], "D", color=MODEL, ms=7)
    if points and points <= 3 and stage == "x":
        right.plot(*x[points - 1], "o", color=DATA, ms=8)
    for curve in end or []:
        right.plot(*curve, color=MODEL, lw=1.8)
    right.set(
        xlim=(-reach[0], reach[0]),
        ylim=(-reach[1], reach[1]),
        xlabel="$x_1$",
        ylabel="$x_2$",
        aspect="equal",
    )
    right.set_title("second: x given z, from p(x|z)")
    return fig


def play_fall(decoder, name: str, more: str, last: str, **kwargs):
    """The film: three draws step by step, then ever more of them at once."""
    script = [(0, "x", f"The prior over z, and {name} in the plane: each z has its place there.")]
    for i in (1, 2, 3):
        script += [
            (i, "z", f"Draw {i}, first: z from the prior."),
            (i, "mean", f"Draw {i}: the decoder gives that z its place, the mean of p(x|z)."),
            (i, "x", f"Draw {i}, second: x from p(x|z), noise about that place."),
        ]
    script += [(n, "x", f"{n:,} draws. {more}") for n in (5, 10, 30, 100, 300, 1000, 2000)]
    kwargs = {"reach": kwargs.get("reach", (5.5, 3.6)), "end": kwargs.get("end")}
    figures = [draw_fall(decoder, n, stage, reach=kwargs["reach"]) for n, stage, _ in script]
    figures.append(draw_fall(decoder, 2000, "x", **kwargs))
    return film(figures, [text for *_, text in script] + [last])


with torch.no_grad():
    W, b = line.decoder.weight.clone(), line.decoder.bias.clone()
    rings = [ellipse(b, W @ W.mT + torch.diag(line.decoder.log_var.exp()), r) for r in (1, 2)]
show_widget(
    play_fall(
        line.decoder,
        "a straight line",
        "Most lie near the middle of the line, where z is probable.",
        "The same with ellipses at one and two standard deviations of one Gaussian. Is it one?",
        end=rings,
    ),
    draw_fall(line.decoder, 100, end=rings),
    alt=(
        "Left: the bell curve of the prior with ticks where z was drawn. Right: a straight line in"
        " the plane; each z has a point on it, from which a grey segment leads to a drawn x. The"
        " points thin out along two ellipses about the line."
    ),
    caption=(
        "The cloud has the outline of the ellipses, one and two standard deviations of a single"
        " Gaussian. Green: the z; grey: the noise; dots: the x."
    ),
)

# %% [markdown]
# Afterwards you can write down the density of such a cloud; infer $z$ from $x$ exactly when
# everything is linear; fit the model by expectation-maximisation; and say, with numbers, what the
# linear model cannot do and what one bend changes.

# %% [markdown]
# ## Two steps, one integral
# A **latent variable model** explains what you see, $\mathbf{x}$, by something you do not,
# $\mathbf{z}$. It has two parts: a **prior** $p_\lambda(\mathbf{z})$, from which you draw first,
# and a **decoder** $p_\theta(\mathbf{x}|\mathbf{z})$, from which you draw second. The letters
# $\lambda$ and $\theta$ stand for their parameters. A point can be reached from many $\mathbf{z}$,
# so its density collects them all:
#
# $$p(\mathbf{x}) = \int p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z}$$
#
# Read aloud: $\mathbf{x}$ is probable if probable $\mathbf{z}$ put it there. Sampling needs no
# integral: draw, draw again, and forget $\mathbf{z}$.
#
# **Predict.** Forgetting is all it takes to turn draws of the pair $(\mathbf{z}, \mathbf{x})$ into
# draws from the integral. Suppose you made a mistake of 5 % in the noise. Would you see it in the
# film? How many draws would it take to be nearly sure?
#
# Measure it. Divide the plane into cells, compute each cell's probability from the integral (on a
# grid over $z$), and count draws. The statistic is $\chi^2 = \sum (\text{count} -
# \text{expected})^2 / \text{expected}$. What it is when nothing is wrong, chance decides: draw
# counts from the exact probabilities 500 times and look.

# %% jupyter={"source_hidden": true}
EDGES = torch.linspace(-4, 4, 33).double()  # 32 cells along each axis


def cell_probabilities(decoder) -> Tensor:
    """The integral over z of p(z) P(cell | z), and what lies outside: (32 * 32 + 1,), by
    quadrature on 4001 points of z.
    """
    z = torch.linspace(-8, 8, 4001).double()[:, None]
    weight = torch.softmax(-(z[:, 0] ** 2) / 2, 0)
    with torch.no_grad():
        p = decoder(z.float())
    sigma = torch.exp(p.log_var.double() / 2)
    u = (EDGES - p.mean.double()[..., None]) / sigma[..., None]
    below = torch.special.ndtr(u)  # (4001, 2, 33)
    within = below.diff(dim=-1)
    inside = torch.einsum("z,zi,zj->ij", weight, within[:, 0], within[:, 1]).flatten()
    return torch.cat([inside, 1 - inside.sum(dim=0, keepdim=True)]).clamp_min(0)


def counts(x: Tensor) -> Tensor:
    """How many points fall into each cell, and how many outside: (32 * 32 + 1,)."""
    cell = torch.bucketize(x.double(), EDGES) - 1
    outside = ((cell < 0) | (cell > 31)).any(-1)
    index = torch.where(outside, 32 * 32, 32 * cell[:, 0] + cell[:, 1])
    return torch.bincount(index, minlength=32 * 32 + 1)


def chi_square(count: Tensor, probability: Tensor) -> float:
    """Cells that expect fewer than 10 draws are counted together."""
    expected = probability * count.sum()
    rare = expected < 10
    e = torch.cat([expected[~rare], expected[rare].sum(0, keepdim=True)])
    c = torch.cat([count[~rare], count[rare].sum(0, keepdim=True)])
    return ((c - e) ** 2 / e.clamp_min(1e-9)).sum().item()


# %%
def two_steps(n: int, prior, decoder) -> Tensor:
    z = prior.sample((n,))  # first
    return decoder(z).sample()  # second


def careless(decoder):
    """The same with a noise that is 5 % too wide."""
    return lambda z: Gaussian(decoder(z).mean, decoder(z).log_var + 2 * math.log(1.05))


# %% tags=["claim-8"] jupyter={"source_hidden": true}
def repeated(n: int, truth: Tensor, probability: Tensor, times: int) -> Tensor:
    """The statistic of `times` sets of n counts from `truth`, judged by `probability`: (times,)."""
    draws = np.random.default_rng(n).multinomial(n, truth / truth.sum(), times)
    return torch.tensor([chi_square(torch.from_numpy(count), probability) for count in draws])


n, FILM, SETS, tested = 100_000, 2000, 20, {}
DRAWS = [1000, FILM, 5000, 10_000, 20_000, 50_000, n]
torch.manual_seed(0)
with torch.no_grad():
    for name, decoder in {"straight line": line.decoder, "bent line": bent}.items():
        exact, wide = cell_probabilities(decoder), cell_probabilities(careless(decoder))
        null = repeated(n, exact, exact, 500)  # as it is if all is well
        right, wrong = (
            torch.tensor(
                [
                    chi_square(counts(two_steps(n, StandardGaussian(1), way)), exact)
                    for _ in range(k)
                ]
            )
            for way, k in ((decoder, SETS), (careless(decoder), 2))
        )
        power = {}  # draws -> how often the careless sampler lies above 95 % of the exact ones
        for m in DRAWS:
            alarm = repeated(m, exact, exact, 200).quantile(0.95)
            power[m] = (repeated(m + 1, wide, exact, 200) > alarm).float().mean().item()
        off = intervals.of_difference(right, null, "sets of draws", comparisons=2)
        tested[name] = {"null": null, "right": right.mean().item(), "wrong": wrong.mean().item()}
        tested[name] |= {"power": power, "off": off}
measured["claim-8"] = (
    "; ".join(
        f"{name}: two-step draws give $\\chi^2$ = {t['right']:.0f}, exact counts"
        f" {t['null'].mean():.0f}, a difference of {t['off'].said('+.0f')}"
        for name, t in tested.items()
    )
    + f" ({n:,} draws each; {off.basis}; against 500 of exact counts)"
)
plot.measured(measured["claim-8"])

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.5))
for ax, (name, t) in zip(axes, tested.items(), strict=False):
    top = ax.hist(t["null"], 20, color=NOISE, alpha=0.6)[0].max()
    ax.set(xlabel="$\\chi^2$ over the cells", title=name, yticks=[], ylim=(0, 1.5 * top))
    ax.spines["left"].set_visible(False)
    low = t["null"].min().item()
    ax.set_xlim(low - 0.25 * (t["wrong"] - low), t["wrong"] + 0.06 * (t["wrong"] - low))
    marks = ((t["right"], MODEL, "-", "two steps"), (t["wrong"], OTHER, "--", "noise 5 % too wide"))
    for value, colour, style, text in marks:
        ax.axvline(value, 0, 0.72, color=colour, linestyle=style)
        ax.text(
            value,
            (1.12 if colour == MODEL else 1.3) * top,
            text,
            color=colour,
            ha="center" if colour == MODEL else "right",
        )
for (name, t), style in zip(tested.items(), ("o-", "s--"), strict=True):
    axes[2].plot(
        DRAWS, [100 * share for share in t["power"].values()], style, color=OTHER, ms=4, label=name
    )
axes[2].axvline(FILM, color=NOISE, lw=1)
axes[2].text(FILM * 1.1, 96, "film", color=NOISE, va="top")
axes[2].set(xscale="log", xlabel="draws", ylim=(-4, 104), title="5 % too wide: noticed, %")
axes[2].legend(loc="lower right", fontsize=8)
enough = next((m for m in DRAWS if min(t["power"][m] for t in tested.values()) >= 0.9), n)
plot.show(
    fig,
    alt=(
        "For the straight and for the bent line: a grey histogram of the statistic when counts are"
        " drawn from the exact probabilities, a line within it for the two-step draws, and a dashed"
        " line far to the right for noise 5 percent too wide. Third: how often that noise is"
        " noticed, against the number of draws, rising from nearly never to always."
    ),
    caption=(
        "Two-step draws lie where exact ones lie (grey). A noise 5 % too wide stands far out, but"
        " not at the film's number of draws."
    ),
)
trials = {
    (name, m): intervals.of_share(round(200 * t["power"][m]), 200, "trials", comparisons=4)
    for name, t in tested.items()
    for m in (FILM, enough)
}
plot.markdown(
    "How often the noise 5 % too wide is noticed (false alarms: 5 %): "
    + "; ".join(f"{name}, {m:,} draws: {share:.0%}" for (name, m), share in trials.items())
    + f" ({trials['bent line', FILM].basis})."
)

# %% [markdown]
# The film hardly shows the mistake; counting does, with enough draws. So sampling is easy for *any*
# decoder you can draw from. The integral is another matter: here it took a grid over one $z$. Ten
# latent dimensions and a grid of 100 points each would take $100^{10}$ calls of the decoder. When
# can you do without a grid?

# %% [markdown]
# ## When everything is linear: factor analysis
# Let the decoder be a linear map plus independent noise, and the prior a standard Gaussian. (The
# slides allow $\mathcal N(\boldsymbol\mu_0, \boldsymbol\Sigma_0)$. It gives nothing new: take
# $\mathbf{W}\boldsymbol\Sigma_0^{1/2}$ for $\mathbf{W}$ and $\mathbf{b} +
# \mathbf{W}\boldsymbol\mu_0$ for $\mathbf{b}$.)
#
# $$p_\theta(\mathbf{x}|\mathbf{z}) = \mathcal N(\mathbf{W}\mathbf{z} + \mathbf{b},\, \boldsymbol\Psi), \qquad
#   \boldsymbol\Psi = \mathrm{diag}(\psi_1, \dots, \psi_D), \qquad p(\mathbf{z}) = \mathcal N(\mathbf{0}, \mathbf{I}).$$
#
# Read aloud: $d$ hidden factors, each with a *loading* on each of the $D$ things you see (the
# columns of $\mathbf{W}$); and to each of these its own noise. Spearman asked in 1904 whether
# pupils' marks in all subjects have one common factor.
#
# **Step 1.** Write the two draws as one equation: $\mathbf{x} = \mathbf{W}\mathbf{z} + \mathbf{b} +
# \boldsymbol\epsilon$, with $\boldsymbol\epsilon \sim \mathcal N(\mathbf{0}, \boldsymbol\Psi)$.
# Linear in Gaussian things, so $\mathbf{x}$ is Gaussian. Only its mean and covariance are left to
# find.
#
# **Step 2.** The mean is $\mathbf{W}\,\mathbb{E}[\mathbf{z}] + \mathbf{b} +
# \mathbb{E}[\boldsymbol\epsilon] = \mathbf{b}$.
#
# **Step 3.** $\mathbf{z}$ and $\boldsymbol\epsilon$ are independent, so their covariances add:
# $\mathbf{W}\,\mathbb{E}[\mathbf{z}\mathbf{z}^\top]\,\mathbf{W}^\top + \boldsymbol\Psi$. Together:
#
# $$p(\mathbf{x}) = \mathcal N(\mathbf{x} \mid \mathbf{b},\; \mathbf{W}\mathbf{W}^\top + \boldsymbol\Psi)$$
#
# Read aloud: a thin sheet, spanned by the loadings, thickened along each axis by that axis' own
# noise. What two dimensions have in common goes through $\mathbf{z}$; what each has for itself is
# $\boldsymbol\Psi$. The integral has become a formula.

# %% [markdown]
# ## Exercise 1: the marginal (6 minutes)
# The log-density of that Gaussian, with $\mathbf{C} = \mathbf{W}\mathbf{W}^\top + \boldsymbol\Psi$:
#
# $$\log p(\mathbf{x}) = -\tfrac12 \left[D \log 2\pi + \log\det\mathbf{C} +
#   (\mathbf{x} - \mathbf{b})^\top \mathbf{C}^{-1} (\mathbf{x} - \mathbf{b})\right]$$
#
# `psi` holds the *variances*. `LOG_2PI` is $\log 2\pi$. With hundreds of dimensions a determinant
# leaves the range of floats although its logarithm does not: `torch.logdet`. And
# `torch.linalg.solve(C, A)` is $\mathbf{C}^{-1}\mathbf{A}$ for the columns of $\mathbf{A}$.


# %% tags=["exercise"]
def marginal(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> Tensor:
    """log p(x) of the linear Gaussian model, in nats.

    x: (B, D).  W: (D, d).  b: (D,).  psi: (D,), the variances of the noise.
    Returns: (B,).
    """
    ### BEGIN SOLUTION
    C = W @ W.T + torch.diag(psi)
    off = x - b
    distance = (off * torch.linalg.solve(C, off.T).T).sum(-1)
    return -0.5 * (x.shape[1] * LOG_2PI + torch.logdet(C) + distance)
    ### END SOLUTION


# %%
marginal = check.marginal(marginal)
# check.marginal.hint()

# %% [markdown]
# ## Backwards: which z was it?
# You see $\mathbf{x}$. Bayes' rule says which $\mathbf{z}$ may have made it:
# $p(\mathbf{z}|\mathbf{x}) \propto p_\theta(\mathbf{x}|\mathbf{z})\,p(\mathbf{z})$. Take the
# logarithm and keep what depends on $\mathbf{z}$:
#
# $$-\tfrac12 (\mathbf{x} - \mathbf{b} - \mathbf{W}\mathbf{z})^\top \boldsymbol\Psi^{-1} (\mathbf{x} - \mathbf{b} - \mathbf{W}\mathbf{z})
#   - \tfrac12 \mathbf{z}^\top\mathbf{z}
#   \;=\; -\tfrac12 \mathbf{z}^\top \big(\mathbf{I} + \mathbf{W}^\top \boldsymbol\Psi^{-1} \mathbf{W}\big)\, \mathbf{z}
#   + \mathbf{z}^\top \mathbf{W}^\top \boldsymbol\Psi^{-1} (\mathbf{x} - \mathbf{b}) + \dots$$
#
# A quadratic, so the posterior is Gaussian too. The matrix between the two $\mathbf{z}$ is its
# precision; call its inverse $\mathbf{G}$:
#
# $$p(\mathbf{z}|\mathbf{x}) = \mathcal N\big(\mathbf{z} \mid \mathbf{G}\mathbf{W}^\top\boldsymbol\Psi^{-1}(\mathbf{x} - \mathbf{b}),\;
#   \mathbf{G}\big), \qquad \mathbf{G} = \big(\mathbf{I} + \mathbf{W}^\top\boldsymbol\Psi^{-1}\mathbf{W}\big)^{-1}.$$
#
# Read aloud: weigh each dimension by how little noise it has, ask the loadings what $\mathbf{z}$ it
# speaks for, and shrink towards the prior's mean. The precisions add: $\mathbf{I}$ from the prior,
# the rest from the evidence. How *sure* you are, $\mathbf{G}$, does not depend on what you saw.

# %% [markdown]
# ## Exercise 2: the posterior (7 minutes)
# Mean and covariance of $\mathbf{z}$ given each $\mathbf{x}$. One mean per row, one covariance for
# all. The matrix to invert is $d \times d$, however many pixels there are.


# %% tags=["exercise"]
def posterior(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    """p(z|x) of the linear Gaussian model.

    x: (B, D).  W: (D, d).  b: (D,).  psi: (D,), the variances of the noise.
    Returns: mean (B, d), covariance (d, d).
    """
    ### BEGIN SOLUTION
    d = W.shape[1]
    scaled = W / psi[:, None]  # Psi^-1 W
    G = torch.linalg.inv(torch.eye(d).to(W) + W.T @ scaled)
    return (x - b) @ scaled @ G, G
    ### END SOLUTION


# %%
posterior = check.posterior(posterior)
# check.posterior.hint()

# %% [markdown]
# ### The perfect encoder
# A good guess $q(\mathbf{z}|\mathbf{x})$ of the posterior turns the integral into an average that
# needs few draws,
#
# $$p(\mathbf{x}) = \mathbb{E}_{q(\mathbf{z}|\mathbf{x})}\left[w\right], \qquad w =
#   \frac{p_\theta(\mathbf{x}|\mathbf{z})\,p(\mathbf{z})}{q(\mathbf{z}|\mathbf{x})},$$
#
# an idea that will return as the [VAE](07_vae.ipynb)'s encoder. **Predict.** You draw one
# $\mathbf{z}$ from $q$ and compute $\log w$. How far is it from $\log p(\mathbf{x})$ if $q$ is the
# prior? If $q$ is the exact posterior? If it is the posterior with a standard deviation 1.5 times
# too wide?

# %%
DIM, FACTORS, ROWS = 20, 5, 2000
torch.manual_seed(0)
W, b = torch.randn(DIM, FACTORS).double(), torch.randn(DIM).double()
psi = torch.rand(DIM).double() + 0.2
x = torch.randn(FACTORS).double() @ W.T + b + psi.sqrt() * torch.randn(DIM)
x = x.expand(ROWS, -1)  # one x, for which z is drawn 2,000 times
mean, G = posterior(x, W, b, psi)
root = torch.linalg.cholesky(G)

# %%
prior = FullGaussian(torch.zeros_like(mean), torch.eye(FACTORS).double())
proposals = {
    "prior": prior,
    "1.5 times too wide": FullGaussian(mean, 1.5 * root),
    "exact posterior": FullGaussian(mean, root),
}
log_w = {}
for name, q in proposals.items():
    z = q.sample()
    likelihood = Gaussian(z @ W.T + b, psi.log().expand(ROWS, -1)).log_prob(x)
    log_w[name] = likelihood + prior.log_prob(z) - q.log_prob(z)
log_p = marginal(x[:1], W, b, psi).item()

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.4))
for row, (values, colour) in enumerate(zip(log_w.values(), (PRIOR, NOISE, POSTERIOR), strict=True)):
    jitter = row + 0.5 * torch.rand(ROWS) - 0.25
    ax.plot((values - log_p).clamp_min(-1000), jitter, ".", color=colour, ms=3, alpha=0.4, mew=0)
ax.set(xscale="symlog", xlim=(-1100, 10), yticks=range(3), yticklabels=[*log_w], ylim=(-0.5, 2.5))
ax.set_xticks([-1000, -100, -10, -1, 0, 1, 10], ["-1000", "-100", "-10", "-1", "0", "1", "10"])
ax.set_xlabel("$\\log w - \\log p(x)$, nats, one draw of z each")
plot.show(
    fig,
    alt=(
        "Log-weights less log p(x) for three proposals: draws from the prior lie hundreds of nats"
        " below zero, those from a too wide posterior scatter within a few nats, those from the"
        " exact posterior all lie on zero."
    ),
    caption=(
        "With the exact posterior every single draw of z gives log p(x), to"
        f" {(log_w['exact posterior'] - log_p).abs().max():.0e} nats."
    ),
)
plot.on_request(
    "The others, in nats",
    "One draw of z gives, relative to log p(x), "
    + "; ".join(
        f"{values.mean() - log_p:+.1f} ± {values.std():.1f} ({name})"
        for name, values in log_w.items()
        if name != "exact posterior"
    )
    + f" (mean and standard deviation of {ROWS:,} draws; one x with {DIM} dimensions, {FACTORS}"
    " factors; what lies below -1000 is drawn there).",
)

# %% [markdown]
# With the exact posterior the weight is a constant: by Bayes' rule
# $p_\theta(\mathbf{x}|\mathbf{z})\,p(\mathbf{z}) = p(\mathbf{z}|\mathbf{x})\,p(\mathbf{x})$ for
# *every* $\mathbf{z}$, and what is divided away is the posterior. That is what convenient means:
# nothing to estimate. Everything later in this course that samples $\mathbf{z}$ pays for not having
# this.

# %% [markdown]
# ## Learning: expectation-maximisation
# If you saw the $\mathbf{z}$ of each $\mathbf{x}$, finding $\mathbf{W}$ would be linear regression.
# You do not, but you know their posterior. So alternate (Dempster et al. 1977; Rubin & Thayer
# 1982):
#
# **E.** With the present parameters, find the posterior of each of the $N$ points: its mean,
# written $\langle\mathbf{z}_n\rangle$, and its covariance $\mathbf{G}$. Hence
# $\langle\mathbf{z}_n\mathbf{z}_n^\top\rangle = \mathbf{G} +
# \langle\mathbf{z}_n\rangle\langle\mathbf{z}_n\rangle^\top$: the second moment is the covariance
# *and* the mean's square.
#
# **M.** Maximise $\sum_n \mathbb{E}_{p(\mathbf{z}_n|\mathbf{x}_n)}[\log p(\mathbf{x}_n,
# \mathbf{z}_n)]$. Its gradient is zero at
#
# $$\mathbf{W} \leftarrow \Big[\sum_n (\mathbf{x}_n - \mathbf{b}) \langle\mathbf{z}_n\rangle^\top\Big]
#   \Big[\sum_n \langle\mathbf{z}_n\mathbf{z}_n^\top\rangle\Big]^{-1}, \qquad
#   \psi_i \leftarrow \frac1N \sum_n \Big[(x_{ni} - b_i)^2 - (x_{ni} - b_i)\,\langle\mathbf{z}_n\rangle^\top\mathbf{w}_i\Big],$$
#
# with $\mathbf{w}_i$ the new row $i$ of $\mathbf{W}$, and $\mathbf{b}$ the mean of the data, once
# and for all. Read aloud: regress $\mathbf{x}$ on what you believe $\mathbf{z}$ to be; what the
# regression leaves over is noise.
#
# **Why it can never fall.** For any guess $q$ of the posterior, $\log p(\mathbf{x}) =
# \mathbb{E}_q[\log p(\mathbf{x}, \mathbf{z}) - \log q(\mathbf{z})] +
# \mathrm{KL}[q\,\|\,p(\mathbf{z}|\mathbf{x})]$. The E step makes the second term zero, its least
# value; the M step raises the first. What happens to the second after that can only help.

# %% [markdown]
# ## Exercise 3: one EM step (8 minutes)
# You may call your `posterior`. The sums over $n$ are matrix products: no loop.


# %% tags=["exercise"]
def em_step(x: Tensor, W: Tensor, b: Tensor, psi: Tensor) -> tuple[Tensor, Tensor]:
    """One step of expectation-maximisation.

    x: (N, D).  W: (D, d).  b: (D,), the mean of x, which stays.  psi: (D,).
    Returns: the new W (D, d), the new psi (D,).
    """
    ### BEGIN SOLUTION
    z, G = posterior(x, W, b, psi)
    off = x - b
    cross = off.T @ z  # (D, d)
    second_moment = z.T @ z + len(x) * G  # (d, d)
    W = torch.linalg.solve(second_moment, cross.T).T
    psi = (off**2 - off * (z @ W.T)).mean(0)
    return W, psi
    ### END SOLUTION


# %%
em_step = check.em_step(em_step)
# check.em_step.hint()

# %% [markdown]
# ## Run it on digits
# Grey digits at half the resolution, $14 \times 14$ pixels, with a noise of 0.05 on every pixel.
# Why the noise? You will see what happens without it under *Break it*. **Predict.** Ten factors:
# what will their loadings look like as images? Will they be digits, strokes, or blots? And does the
# likelihood climb evenly?

# %%
SIDE, SENSOR, TRAIN, TEST = 14, 0.05, 4000, 1000


def half_size(digits, n: int, seed: int, sensor: float = SENSOR) -> Tensor:
    """Grey digits at half the resolution, (n, 196), with noise on every pixel."""
    random = torch.Generator().manual_seed(seed)
    x = F.avg_pool2d(digits.x[:n].float().view(-1, 1, 28, 28) / 255, 2).flatten(1)
    return x + sensor * torch.randn(x.shape, generator=random)


# %%
digits = mnist(None)
train = half_size(digits.train, TRAIN, seed=0)
test = half_size(digits.test, TEST, seed=1)
labels = digits.test.y[: len(test)]
clean = digits.train[:800].tensor().double()  # 784 pixels, no noise
unseen = digits.test[:400].tensor().double()
del digits  # the others are not needed, and their memory is

# %%
torch.manual_seed(0)
b, variance = train.mean(0), train.var(0)
W, psi = 0.1 * torch.randn(SIDE**2, 10), variance / 2
curve, kept = [], {}
for step in progress(range(61), desc="EM steps"):
    curve.append(marginal(train, W, b, psi).mean().item())
    kept[step] = W
    W, psi = em_step(train, W, b, psi)


# %% jupyter={"source_hidden": true}
def large(x: Tensor) -> Tensor:
    """14 x 14 pixels drawn as 28 x 28, ink between 0 and 1."""
    x = x.reshape(-1, SIDE, SIDE).clamp(0, 1)
    return x.repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1)


def draw_loadings(ax, W: Tensor, columns: int, limit: float | None = None) -> None:
    limit = limit or W.abs().max()
    ax.imshow(
        plot.tile(W.T, columns, side=SIDE, gap=1),
        cmap="PuOr",
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    ax.set_axis_off()


def draw_em(step: int) -> plt.Figure:
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.3), width_ratios=(1, 1.5))
    left.plot(curve, color=MODEL)
    left.plot(step, curve[step], "o", color=MODEL)
    left.set(xlabel="EM step", ylabel="mean log p(x), nats")
    draw_loadings(right, kept[step], 5)
    right.set_title(f"the ten loadings after {step} steps")
    return fig


shown = [0, 1, 2, 3, 4, 6, 8, 10, 15, 20, 30, 40, 60]
worst_step = min(after - before for before, after in zip(curve, curve[1:], strict=False))
half_way = next(i for i, value in enumerate(curve) if value > (curve[0] + curve[-1]) / 2)
told = [
    f"After {step} steps the training digits have {curve[step]:.2f} nats on average."
    for step in shown
]
show_widget(
    film([draw_em(step) for step in shown], told, seconds=0.9),
    draw_em(60),
    alt=(
        "Left: the mean log-likelihood of the training digits against the EM step: a steep climb,"
        " then ever slower. Right: ten loadings as images, blots of positive and negative weight:"
        " rings, bars and strokes, none of them a digit."
    ),
    caption=(
        f"No step went down: the smallest change in 60 was {worst_step:+.3f} nats a digit. Half of"
        f" the climb was done after {half_way} steps."
        if worst_step > 0
        else f"A step went down: the smallest change in 60 was {worst_step:+.3f} nats a digit."
    ),
)

# %% [markdown]
# Blots: patterns that add up to digits and cancel where no ink is wanted. Nothing forbids negative
# amounts of ink.
#
# ### Is it right?
# A bug in EM can still climb. Compare with a library: the same data, both to convergence, and ours
# evaluated at the library's parameters. **Predict** how many decimal places agree.

# %%
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as SklearnFactorAnalysis

# 49 pixels: converges within seconds.
tiny = F.avg_pool2d(train[:2000].view(-1, 1, SIDE, SIDE), 2).flatten(1).double()
theirs = SklearnFactorAnalysis(4, tol=1e-10, max_iter=5000, svd_method="lapack")
theirs.fit(tiny.numpy())
torch.manual_seed(0)
ours = FactorAnalysis(49, 4).double()
ours.initialise(tiny)
rising = ours.fit_em(tiny, steps=3000, tolerance=1e-11)
parameters = (theirs.components_.T, theirs.mean_, theirs.noise_variance_)
with torch.no_grad():
    library = theirs.score(tiny.numpy())
    formula = marginal(tiny, *map(torch.from_numpy, parameters)).mean().item()
    own = ours.log_prob(tiny).mean().item()
    closed = probabilistic_pca(tiny, 4).log_prob(tiny).mean().item()

# %% jupyter={"source_hidden": true}
rows = {
    "scikit-learn's score of its own fit": library,
    "`marginal` at scikit-learn's parameters": formula,
    f"`FactorAnalysis` of this course after {len(rising)} EM steps": own,
    "probabilistic PCA, in closed form": closed,
    "scikit-learn's PCA as a density": PCA(4).fit(tiny.numpy()).score(tiny.numpy()),
}
apart = max(abs(formula - library), abs(own - library))
note = (
    f"*{len(tiny):,} digits of 49 pixels, 4 factors. The first three lie within"
    f" {apart:.0e} nats of one another.*"
)
table = [f"| {name} | {value:.7f} |" for name, value in rows.items()]
plot.markdown("| | mean log p(x), nats |", "|:--|--:|", *table, "", note)

# %% [markdown]
# The first three are one number. Two independent programs, one of them using another algorithm for
# the M step, climbed the same hill. The last two belong together as well, and lie lower.
#
# They are **probabilistic PCA**: factor analysis with the same noise for every pixel,
# $\boldsymbol\Psi = \sigma^2\mathbf{I}$. Its maximum needs no EM (Tipping & Bishop 1999). Let $v_1
# \ge v_2 \ge \dots$ be the eigenvalues of the data's covariance, the variances along its
# eigenvectors $\mathbf{u}_i$. Then
#
# $$\sigma^2 = \frac{1}{D - d}\sum_{i > d} v_i, \qquad
#   \mathbf{W} = \big[\mathbf{u}_1 \sqrt{v_1 - \sigma^2}, \dots, \mathbf{u}_d \sqrt{v_d - \sigma^2}\big].$$
#
# Read aloud: the discarded directions' average variance is the noise; the kept ones have what
# exceeds it. It is the special case with fewer parameters, so it cannot be higher on the data it
# was fitted to. scikit-learn's variances divide by $N - 1$, ours by $N$; hence the difference far
# behind the point.
#
# Now let $\sigma \to 0$. **Predict** where the reconstruction
# $\mathbf{W}\,\mathbb{E}[\mathbf{z}|\mathbf{x}] + \mathbf{b}$ of a point goes.

# %% jupyter={"source_hidden": true}
torch.manual_seed(1)
cloud = torch.randn(40, 2) @ torch.tensor([[1.5, 0.8], [-0.3, 0.55]])
cloud -= cloud.mean(0)
eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(cloud.mT, correction=0))
long_axis = eigenvectors[:, 1:]
orthogonal = (cloud @ long_axis) @ long_axis.mT


def shrunk(sigma: float) -> Tensor:
    """W E[z|x] of probabilistic PCA's W at this noise: (40, 2)."""
    W = long_axis * eigenvalues[1].sub(sigma**2).clamp_min(1e-12).sqrt()
    mean, _ = posterior(cloud, W, torch.zeros(2), torch.full((2,), sigma**2))
    return mean @ W.mT


def draw_limit(sigma: float) -> plt.Figure:
    fig, ax = plt.subplots(figsize=(plot.WIDTH, 3.4))
    to = shrunk(sigma)
    ax.plot(*(7 * long_axis * torch.tensor([-1.0, 1.0])), color=MODEL, lw=1)
    ax.plot(
        torch.stack([cloud[:, 0], to[:, 0]]),
        torch.stack([cloud[:, 1], to[:, 1]]),
        color=NOISE,
        lw=1,
    )
    ax.plot(*cloud.T, "o", color=DATA, ms=4, label="x")
    ax.plot(*to.T, "D", color=POSTERIOR, ms=4, label="$W\\,E[z|x] + b$")
    off = (to - orthogonal).norm(dim=1).mean()
    ax.set(
        xlim=(-7.6, 7.6),
        ylim=(-3.6, 3.6),
        aspect="equal",
        xlabel="$x_1$",
        ylabel="$x_2$",
        title=f"$\\sigma$ = {sigma:g}: {off:.3f} from the orthogonal projection, on average",
    )
    ax.legend(loc="upper left")
    return fig


show_widget(
    slider_figure(
        draw_limit,
        alt="Points, a line through them, and each point's reconstruction on the line.",
        sigma=[1.2, 1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.05, 0.01],
    ),
    draw_limit(0.8),
    alt=(
        "Forty points about a rising line; from each a grey segment leads to its reconstruction on"
        " the line, which lies nearer the middle than its orthogonal projection."
    ),
    caption=(
        "With noise, reconstructions are pulled towards the mean; without, they end at PCA's"
        " orthogonal projection."
    ),
)
plot.on_request(
    "How far from the orthogonal projection",
    "On average, 40 points: "
    + ", ".join(
        f"{(shrunk(s) - orthogonal).norm(dim=1).mean():.1g} at $\\sigma$ = {s:g}"
        for s in (0.8, 0.4, 0.1, 0.01)
    )
    + ".",
)

# %% [markdown]
# Principal component analysis is the limit: no noise, no doubt about $\mathbf{z}$, no shrinking,
# and no density either.

# %% [markdown]
# ### What do the factors mean?
# Take two factors, so that $\mathbf{z}$ can be drawn, and turn them by an angle, with a rotation
# $\mathbf{R}$: $\mathbf{W}\mathbf{R}$ in place of $\mathbf{W}$. **Predict.** Does the likelihood
# rise, fall or stay?
#
# Three things to try: find the angle at which the first loading is a ring (a zero less a one); turn
# on by 90 degrees; watch the fifth decimal of the likelihood.

# %%
pair = FactorAnalysis(SIDE**2, 2)
torch.manual_seed(0)
pair.initialise(train)
pair.fit_em(train, steps=60, tolerance=1e-3)
W2, b2 = pair.decoder.weight.detach(), pair.decoder.bias.detach()
psi2 = pair.decoder.log_var.detach().exp()


def turned(angle: float) -> Tensor:
    """W R, (D, 2): the loadings turned by so many degrees."""
    a = math.radians(angle)
    return W2 @ torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])


# %% jupyter={"source_hidden": true}
def draw_rotation(angle: float) -> plt.Figure:
    W, some = turned(angle), test[:400]
    mean, _ = posterior(some, W, b2, psi2)
    value = marginal(some.double(), W.double(), b2.double(), psi2.double()).mean()
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3), width_ratios=(1.15, 1))
    draw_loadings(left, W, 2, W2.abs().max() * 1.2)
    left.set_title(f"loadings turned by {angle:.0f} degrees\n{value:.5f} nats a digit")
    for digit in (0, 1, 7):
        at = mean[labels[:400] == digit]
        right.scatter(*at.T, s=26, marker=f"${digit}$", color=plot.CLASSES[digit], linewidths=0.2)
    right.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    right.set_title("E[z|x] of test digits 0, 1 and 7")
    return fig


angles = range(0, 180, 15)
each = torch.tensor(
    [marginal(test.double(), turned(a).double(), b2.double(), psi2.double()).mean() for a in angles]
)
show_widget(
    slider_figure(
        draw_rotation,
        alt="Two loadings as images, and test digits in the plane of z, turned by an angle.",
        angle=(0.0, 180.0, 5.0, 0.0),
    ),
    draw_rotation(45),
    alt=(
        "Left: two loadings as images, turned by 45 degrees. Right: test digits 0, 1 and 7 in the"
        " plane of the two factors; zeros and ones lie apart."
    ),
    caption=(
        f"Twelve angles from 0 to 165 degrees change the mean over {len(test):,} test digits by at"
        f" most {(each.max() - each.min()).item():.0e} nats. Loadings and codes turn together; the"
        " data cannot tell."
    ),
)

# %% [markdown]
# It stays: $\mathbf{W}\mathbf{R}\mathbf{R}^\top\mathbf{W}^\top = \mathbf{W}\mathbf{W}^\top$, since
# the prior looks the same from all sides. So neither of two factors has a meaning of its own; only
# the plane they span has. **To name one of several factors is to choose an angle.** (A single
# factor, Spearman's, is free only in its sign.) A decoder that is a neural network inherits the
# problem: it can undo any rotation of its input.

# %% [markdown]
# ## Convenient, but limiting
# Whatever $\mathbf{W}$ is, the result is a single Gaussian. More factors only make it a more
# general one; with enough of them you reach the Gaussian with *any* covariance, and there it ends.
# The simplest way out is several of them, a **mixture of factor analysers** (Ghahramani & Hinton
# 1996): first draw which one, then $\mathbf{z}$, then $\mathbf{x}$,
#
# $$p(\mathbf{x}) = \sum_{k=1}^{K} \pi_k\, \mathcal N(\mathbf{x} \mid \mathbf{b}_k, \mathbf{W}_k\mathbf{W}_k^\top + \boldsymbol\Psi_k).$$
#
# Read aloud: with probability $\pi_k$ the point comes from factor analyser $k$, which has a centre,
# loadings and noises of its own.
#
# **Predict** before you look at two moons: where will the best single Gaussian put its highest
# density?

# %%
moons = two_moons(2000, noise=0.1)
torch.manual_seed(0)
single = FactorAnalysis(2, 1)
single.initialise(moons)
single.fit_em(moons, steps=200)
several = {}
for components in (2, 8):
    torch.manual_seed(0)
    several[components] = MixtureOfFactorAnalysers(2, 1, components)
    several[components].initialise(moons)
    several[components].fit_em(moons, steps=100, tolerance=1e-5)

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.3), sharey=True)
u, v = torch.linspace(-1.8, 2.8, 140), torch.linspace(-1.3, 1.8, 100)
plane = torch.cartesian_prod(u, v)
nats, fresh = {}, two_moons(5000, noise=0.1, seed=1)
for ax, (name, model) in zip(
    axes, {"1 Gaussian": single, "2": several[2], "8": several[8]}.items(), strict=True
):
    with torch.no_grad():
        density = model.log_prob(plane).exp().view(140, 100).T
        nats[name] = model.log_prob(fresh)
    ax.contourf(
        u,
        v,
        density,
        levels=density.max() * torch.tensor([0.02, 0.1, 0.25, 0.5, 0.75, 1.01]),
        cmap="Blues",
    )
    ax.plot(*moons[:300].T, ".", color=DATA, ms=2)
    ax.set(aspect="equal", title=f"{name}: {nats[name].mean():.2f} nats", xlabel="$x_1$")
axes[0].set_ylabel("$x_2$")
plot.show(
    fig,
    alt=(
        "Two moons with the density of one Gaussian, a wide ellipse highest in the gap between the"
        " moons; of two Gaussians, a broad ellipse on each moon; and of eight, which follow the"
        " curves."
    ),
    caption=(
        "The single Gaussian peaks where there is nothing: the nearest of 2,000 points is"
        f" {(moons - single.decoder.bias.detach()).norm(dim=1).min():.2f} away from its mean."
    ),
)
ahead = [intervals.of_mean(nats[a] - nats["1 Gaussian"], "points", 2) for a in ("2", "8")]
plot.measured(
    f"on fresh points two factor analysers are {ahead[0].said('.2f', 'nats')} ahead of the single"
    f" Gaussian, eight {ahead[1].said('.2f')} ({ahead[0].basis}; one start each)"
)

# %% [markdown]
# On digits? Factor analysis with ever more factors; the Gaussian with any covariance, its limit;
# and mixtures of 5, 10 and 20 factor analysers with ten factors each. All are fitted to the same
# digits and judged on the same unseen ones. **Predict.** By how many nats will twenty small models
# beat one large one?

# %%
scores, fitted = {}, {}  # (kind, size) -> log p of each test digit
with torch.no_grad():
    for d in progress((1, 2, 5, 10, 20, 50, 100), desc="factor analysis"):
        torch.manual_seed(0)
        model = fitted["factors", d] = FactorAnalysis(SIDE**2, d)
        model.initialise(train)
        model.fit_em(train, steps=60, tolerance=0.02)
        scores["factors", d] = model.log_prob(test)
    for components in progress((2, 5, 10, 20), desc="mixtures"):
        torch.manual_seed(0)
        model = MixtureOfFactorAnalysers(SIDE**2, latent_dim=10, components=components)
        fitted["mixture", components] = model
        model.initialise(train)
        model.fit_em(train, steps=30, tolerance=0.1)
        scores["mixture", components] = model.log_prob(test)

# %%
full = FullGaussian(train.mean(0), torch.linalg.cholesky(torch.cov(train.T)))
scores["any covariance", 1] = full.log_prob(test)

# %% tags=["claim-9"] jupyter={"source_hidden": true}
one, many, few_of_them = ("factors", 100), ("mixture", 20), ("mixture", 5)


def lead(a: tuple, b: tuple) -> intervals.Interval:
    """By how many nats a digit model a is ahead of model b on the unseen digits."""
    return intervals.of_mean(scores[a] - scores[b], "digits", comparisons=3)


in_bits = (scores[many] - scores[one]).mean() / (SIDE**2 * math.log(2))
measured["claim-9"] = (
    "convenient: likelihood, posterior and EM are formulas. Limiting: factor analysis ends at"
    f" {scores[one].mean():.1f} nats a digit ({one[1]} factors; any covariance"
    f" {scores['any covariance', 1].mean():.1f}), {many[1]} analysers of 10 factors reach"
    f" {scores[many].mean():.1f}: {lead(many, one):.1f} nats more, {in_bits:.2f} bits a pixel"
    f" ({lead(many, one).basis}; paired, one start each)"
)
plot.measured(measured["claim-9"])


# %% jupyter={"source_hidden": true}
def errors(kind: str) -> tuple[list, list, list]:
    """Sizes of the models of one kind, their mean scores and standard errors."""
    sizes = [key[1] for key in scores if key[0] == kind]
    values = [scores[kind, size] for size in sizes]
    return sizes, [v.mean().item() for v in values], [standard_error(v) for v in values]


def numbers(*key) -> int:
    return sum(p.numel() for p in fitted[key].parameters())


fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.8))
ax.errorbar(
    *errors("factors"), fmt="o-", color=MODEL, capsize=3, ms=5, label="factor analysis, by factors"
)
ax.errorbar(
    *errors("mixture"),
    fmt="s--",
    color=OTHER,
    capsize=3,
    ms=5,
    label="mixture (10 factors each), by components",
)
ax.axhline(scores["any covariance", 1].mean(), color=DATA, lw=1)
ax.text(
    100,
    scores["any covariance", 1].mean() + 2,
    "one Gaussian, any covariance",
    color=DATA,
    ha="right",
)
ax.set(xscale="log", xlabel="factors, or components", ylabel="test log p(x), nats")
ax.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
ax.minorticks_off()
ax.legend(loc="lower right")
plot.show(
    fig,
    alt=(
        "Test log-likelihood: factor analysis climbs with the number of factors and flattens at the"
        " level of a Gaussian with any covariance; mixtures climb with the number of components,"
        " past that level."
    ),
    caption=(
        "Factor analysis ends where the Gaussian with any covariance lies; a handful of small ones"
        " pass it. (Bars: standard errors.)"
    ),
)

# %% jupyter={"source_hidden": true}
with torch.no_grad():
    seen = [model.log_prob(train).mean().item() for model in (full, fitted[one])]
plot.markdown(
    f"*Is the line a ceiling? On the {len(train):,} training digits it is, since no Gaussian is"
    f" more likely than the one with the data's own covariance: {seen[0]:.1f} nats, {one[1]}"
    f" factors {seen[1]:.1f}. On unseen digits it need not be: {one[1]} factors have fewer"
    f" parameters to overfit with and end {lead(one, ('any covariance', 1)):+.2f} nats from"
    f" it.*\n\n*Size is not the point: {few_of_them[1]} analysers have {numbers(*few_of_them):,}"
    f" parameters, factor analysis with {one[1]} factors {numbers(*one):,}, and the five lead by"
    f" {lead(few_of_them, one).said('.1f', 'nats')} ({lead(one, many).basis}).*"
)

# %% [markdown]
# And the samples? Count a sample as *realistic* if it lies no farther from some test digit than
# that digit's third neighbour among the test digits (Kynkäänniemi et al. 2019). **Predict.** Of a
# hundred samples, how many are realistic with 10 factors, with 100, with 20 analysers? And of a
# hundred other test digits?

# %%
half = len(test) // 2
torch.manual_seed(2)
drawn = {
    "test digits": test[half : 2 * half],
    "10 factors": fitted["factors", 10].sample(half),
    "100 factors": fitted["factors", 100].sample(half),
    "20 analysers": fitted["mixture", 20].sample(half),
}
realistic = {}
for name, x in drawn.items():
    hits = precision_and_recall(test[:half], x)[0].sum()
    realistic[name] = intervals.of_share(hits, half, "images", comparisons=len(drawn))

# %% jupyter={"source_hidden": true}
plot.show(
    plot.images([large(x[:20]) for x in drawn.values()], titles=[*drawn]),
    alt=(
        "Twenty test digits, and samples: of factor analysis with 10 and with 100 factors, grey"
        " clouds of overlaid strokes with hardly a digit among them; of a mixture of 20 factor"
        " analysers, ragged but mostly recognisable digits."
    ),
    caption=(
        "A Gaussian draws sums of strokes; a mixture first decides which kind of digit it draws."
    ),
)
plot.measured(
    "realistic by nearest neighbours are "
    + ", ".join(f"{name} {share:.0%}" for name, share in realistic.items())
    + f" ({realistic['10 factors'].basis})"
)

# %% [markdown]
# **What limits is the linear map.** A linear map of a Gaussian is a Gaussian: one hill, convex
# contours, everything between two digits at least as probable as the rarer of the two. More factors
# cannot change that. The mixture can, but it has to store each piece by itself, and what it learned
# of slant in the threes it must learn again in the eights.

# %% [markdown]
# ## One bend: an infinite mixture of Gaussians
# Keep the prior and the two steps, and bend the line: $p(\mathbf{x}|z) = \mathcal N(f(z),
# \sigma^2\mathbf{I})$ with $f(z) = (1.5 \sin 2z,\; z)$. The noise $\sigma = 0.2$ is smaller than
# that of the straight line, so that you see the bend. **Predict** which ellipse fits this cloud,
# then watch the same film again.

# %% jupyter={"source_hidden": true}
show_widget(
    play_fall(
        bent,
        "a bent line",
        "The cloud follows the line.",
        "2,000 draws. No ellipse fits this cloud.",
        reach=(5.2, 3.4),
    ),
    draw_fall(bent, 300, reach=(5.2, 3.4)),
    alt=(
        "Left: the bell curve of the prior with ticks where z was drawn. Right: a line bent like a"
        " snake, and points scattered closely about it, dense in the middle and sparse at the ends."
    ),
    caption=(
        "The prior and the two steps are those of before; the place that z chooses lies on a curve"
        " now, and no ellipse has the outline of this cloud."
    ),
)

# %% [markdown]
# What is the density of this cloud? Approximate the integral over $z$ by a sum over $K$ places
# $z^{(k)}$ that are equally probable under the prior (its quantiles):
#
# $$p(\mathbf{x}) = \int \mathcal N(\mathbf{x} \mid f(z), \sigma^2\mathbf{I})\; p(z)\, dz \;\approx\;
#   \frac1K \sum_{k=1}^{K} \mathcal N(\mathbf{x} \mid f(z^{(k)}), \sigma^2\mathbf{I}).$$
#
# Read aloud: the right side is a mixture of $K$ Gaussians on a string. As $K$ grows, the sum
# becomes the integral: **a mixture with one component for every value of $z$**, and yet no more
# parameters than $f$ and $\sigma$ have. If $f$ is linear, all these Gaussians merge into one. Bent,
# they do not.
#
# Three things to try: sweep *up to z* from left to right with 64 components; take 8 components and
# see beads; with 16, find the noise at which the beads in the middle merge. Why do the outer ones
# stay apart?

# %% jupyter={"source_hidden": true}
u, v = torch.linspace(-2.6, 2.6, 120), torch.linspace(-3.3, 3.3, 150)
PLANE = torch.cartesian_prod(u, v)


def string(K: int) -> Tensor:
    """K equally probable places of z: (K, 1)."""
    return torch.special.ndtri((torch.arange(K).double() + 0.5) / K).float()[:, None]


def draw_sweep(up_to: float, components: int, sigma: float) -> plt.Figure:
    z = string(components)
    z = z[z[:, 0] <= up_to]
    density = torch.zeros(120, 150)
    if len(z):
        each = [bent(z, sigma).cross_log_prob(some).exp().sum(-1) for some in PLANE.split(1000)]
        density = torch.cat(each).view(120, 150) / components
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.3), width_ratios=(1, 1.4))
    axis = torch.linspace(-3.2, 3.2, 300)
    bell = torch.exp(-(axis**2) / 2) / math.sqrt(2 * math.pi)
    left.plot(axis, bell, color=PRIOR)
    left.fill_between(axis, bell, where=axis <= up_to, color=PRIOR, alpha=0.2, lw=0)
    left.plot(z[:, 0], torch.zeros(len(z)), "|", color=PRIOR, ms=10)
    left.set(
        xlabel="z", ylim=(-0.02, 0.45), yticks=[], title=f"{len(z)} of {components} places of z"
    )
    left.spines["left"].set_visible(False)
    right.imshow(
        density.T**0.5,
        origin="lower",
        extent=(-2.6, 2.6, -3.3, 3.3),
        cmap="Blues",
        vmin=0,
        vmax=0.5,
        aspect="equal",
    )
    right.plot(*bend(axis[:, None]).T, color=MODEL, lw=0.7, alpha=0.5)
    if components <= 64:
        for place in bend(z):
            right.add_patch(
                plt.Circle(place.tolist(), sigma, fill=False, color=MODEL, lw=0.6, alpha=0.8)
            )
    right.set(
        xlim=(-2.6, 2.6),
        ylim=(-3.3, 3.3),
        xlabel="$x_1$",
        ylabel="$x_2$",
        title="their Gaussians, added up",
    )
    return fig


def truth(sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """The integral over z, by 1,001 places, on a grid of the plane: points (N, 2), log p,
    (N,), and the probability of each cell, (N,).
    """
    step, places = sigma, torch.linspace(-5, 5, 1001)[:, None]
    axis = torch.arange(-5, 5 + step, step)
    points = torch.cartesian_prod(axis[axis.abs() < 1.5 + 6 * sigma], axis)
    points = points[torch.cdist(points, bend(places[::10])).min(-1).values < 5 * sigma]
    log_prior = torch.log_softmax(-(places[:, 0] ** 2) / 2, 0)
    log_p = [
        torch.logsumexp(bent(places, sigma).cross_log_prob(p) + log_prior, -1)
        for p in points.split(500)
    ]
    log_p = torch.cat(log_p).double()
    return points.double(), log_p, log_p.exp() * step**2


known = {sigma: truth(sigma) for sigma in (0.4, 0.2, 0.1)}
points, log_p, weight = known[0.2]
beads = {}  # K -> KL of the integral from the sum of K components
for K in (8, 32, 128, 512):
    parts = points.float().split(500)
    log_q = [log_mean_exp(bent(string(K)).cross_log_prob(part), -1) for part in parts]
    each = weight * (log_p - torch.cat(log_q))
    beads[K] = each.sum(), each[points[:, 1].abs() > 1.5].sum()
show_widget(
    slider_figure(
        draw_sweep,
        alt=(
            "Left: places of z under the bell of the prior, up to the slider. Right: a Gaussian for"
            " each along the bent line, and the density that is their sum."
        ),
        up_to=(-3.0, 3.0, 0.1, 0.0),
        components=widgets.SelectionSlider(
            options=[8, 16, 32, 64, 256], value=64, description="components", **LAYOUT
        ),
        sigma=(0.1, 0.4, 0.1, 0.2),
    ),
    draw_sweep(3.0, 32, 0.2),
    alt=(
        "Left: 32 places of z under the bell of the prior, dense in the middle. Right: 32 circles"
        " strung along the bent line, and the density they add up to: a bent band in the middle,"
        " separate beads at the two ends."
    ),
    caption="With 32 components the middle is smooth; the ends, where z is rare, are beads.",
)
plot.on_request(
    "How far the sum is from the integral",
    "KL divergence at noise 0.2, and what of it comes from beyond $|x_2|$ = 1.5: "
    + ", ".join(
        f"{kl:.3f} ({ends:+.3f}) nats with {K} components" for K, (kl, ends) in beads.items()
    )
    + ".",
)

# %% [markdown]
# ### How large a finite mixture is as good?
# The string is one choice of components. Give a finite mixture every freedom instead: $K$
# Gaussians, each with its own weight, mean and covariance, fitted by EM to the exact density itself
# (as if you had infinitely many data). What it lacks is its own fault then.
#
# **Predict.** How many free Gaussians come within 0.01 nats of the bent line at noise 0.2? And when
# the noise is halved?


# %% jupyter={"source_hidden": true}
def features(x: Tensor) -> Tensor:
    """(1, x1, x2, x1^2, x1 x2, x2^2): the log of a Gaussian is linear in these, (N, 6)."""
    a, b = x.unbind(-1)
    return torch.stack([torch.ones_like(a), a, b, a * a, a * b, b * b], -1)


def log_gaussians(phi: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """log pi_k + log N(x | mean_k, covariance_k): (N, K), as one matrix product."""
    P = torch.linalg.inv(covariances)
    shift = (P @ means[..., None])[..., 0]
    constant = weights.log() - LOG_2PI + 0.5 * torch.logdet(P) - 0.5 * (shift * means).sum(-1)
    squares = -0.5 * P[:, 0, 0], -P[:, 0, 1], -0.5 * P[:, 1, 1]
    return phi @ torch.stack([constant, *shift.T, *squares])


def fit_mixture(points: Tensor, weight: Tensor, K: int, seed: int, sigma: float, steps: int = 1000):
    """K Gaussians by EM from means on the bent line, at random quantiles: log of their
    mixture, (N,), means and covariances.
    """
    random = torch.Generator().manual_seed(seed)
    u = (torch.arange(K) + torch.rand(K, generator=random)) / K
    means = bend(torch.special.ndtri(u.clamp(1e-4, 1 - 1e-4))[:, None]).double()
    covariances = (torch.eye(2) * (sigma**2 + 1 / K**2)).double().repeat(K, 1, 1)
    weights, phi = torch.full((K,), 1 / K).double(), features(points)
    for _ in range(steps):
        r = log_gaussians(phi, weights, means, covariances).softmax(-1) * weight[:, None]
        total, first, a, ab, b = (r.T @ phi).split([1, 2, 1, 1, 1], -1)
        before = means
        weights, means = total[:, 0].clamp_min(1e-12), first / total.clamp_min(1e-12)
        second = torch.cat([a, ab, ab, b], -1).view(K, 2, 2) / total.clamp_min(1e-12)[..., None]
        covariances = second - means[:, :, None] * means[:, None] + 1e-3 * sigma**2 * torch.eye(2)
        if (means - before).abs().max() < 1e-6 * sigma:
            break
    log_q = torch.logsumexp(log_gaussians(phi, weights / weights.sum(), means, covariances), -1)
    return log_q, means, covariances


# %%
sizes, kl = [1, 2, 4, 6, 8, 12, 16, 20], {}
SEEDS, ENOUGH = range(4), 0.01
for sigma, (points, log_p, weight) in known.items():
    for K in progress(sizes, desc=f"noise {sigma}"):
        fits = [fit_mixture(points, weight, K, seed, sigma)[0] for seed in SEEDS]
        kl[sigma, K] = torch.stack([(weight * (log_p - log_q)).sum() for log_q in fits])


# %% tags=["claim-10"] jupyter={"source_hidden": true}
def crossing(values: Tensor) -> float:
    """How many Gaussians, interpolated where the values of `sizes` fall below 0.01."""
    falling = -values.log().numpy()
    return math.exp(np.interp(-math.log(ENOUGH), falling, np.log(sizes), right=np.inf))


crossed = {  # noise -> how many, by each start
    sigma: np.array(
        [crossing(by_start) for by_start in torch.stack([kl[sigma, K] for K in sizes]).T]
    )
    for sigma in known
}
needed = {sigma: intervals.of_mean(K, "starts", comparisons=4) for sigma, K in crossed.items()}
doubling = intervals.of_mean((crossed[0.1] / crossed[0.4]) ** 0.5, "starts", comparisons=4)
measured["claim-10"] = (
    f"to come within {ENOUGH} nats of one bent line, a finite mixture needs about "
    + ", ".join(f"{K:.1f} Gaussians at noise {sigma}" for sigma, K in needed.items())
    + f", {doubling:.2f} times as many whenever the noise is halved, while the bent line stays what"
    f" it is (interpolated; {doubling.basis}; at most 1,000 EM steps)"
)
plot.measured(measured["claim-10"])

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3), width_ratios=(1.5, 1))
for sigma, style, colour in zip(needed, ("o-", "s--", "^:"), (MODEL, OTHER, THIRD), strict=True):
    values = torch.stack([kl[sigma, m] for m in sizes])
    left.errorbar(
        sizes,
        values.mean(1),
        values.std(1),
        fmt=style,
        color=colour,
        ms=4,
        capsize=2,
        label=f"noise {sigma}",
    )
left.axhline(ENOUGH, color=DATA, lw=1)
left.text(1, ENOUGH * 1.15, "0.01 nats", color=DATA, fontsize=9)
left.set(
    xscale="log",
    yscale="log",
    xlabel="Gaussians in the finite mixture",
    ylabel="KL from the truth, nats",
    ylim=(5e-4, 3),
)
left.set_xticks(sizes, sizes)
left.minorticks_off()
left.legend(loc="lower left")
points, log_p, weight = known[0.1]
places = torch.linspace(-4, 4, 201)[:, None]
log_prior = torch.log_softmax(-(places[:, 0] ** 2) / 2, 0)
density = torch.cat(
    [
        (bent(places, 0.1).cross_log_prob(some) + log_prior).exp().sum(-1)
        for some in PLANE.split(1000)
    ]
)
right.imshow(
    density.view(120, 150).T ** 0.5,
    origin="lower",
    extent=(-2.6, 2.6, -3.3, 3.3),
    cmap="Greys",
    vmin=0,
    vmax=1,
)
_, means, covariances = fit_mixture(points, weight, 8, 0, 0.1)
for mean, covariance in zip(means, covariances, strict=True):
    right.plot(*ellipse(mean, covariance, 2), color=MODEL, lw=1.2)
right.set(
    xlim=(-2.2, 2.2),
    ylim=(-3.2, 3.2),
    aspect="equal",
    xlabel="$x_1$",
    ylabel="$x_2$",
    title="8 Gaussians, noise 0.1",
)
plot.show(
    fig,
    alt=(
        "Left: KL divergence from the truth against the number of Gaussians, falling, on"
        " logarithmic axes, for three noises; the smaller the noise the later it falls below 0.01."
        " Right: the bent band and eight ellipses that cover it piece by piece."
    ),
    caption=(
        "Each Gaussian takes the piece of the curve that looks straight at the width of the noise,"
        " so less noise needs more of them. (Mean and standard deviation of the starts.)"
    ),
)

# %% [markdown]
# A finite mixture pays per piece, and the pieces get shorter as the noise gets smaller. The bent
# line pays for $f$ once. With ten latent dimensions the pieces would tile a ten-dimensional
# surface: ten of them along each direction are $10^{10}$. A good $f$ can do what a mixture cannot:
# what it learned of slant in one place holds in others.
#
# Where does one get a good $f$? Take **a neural network**, and learn it. The price: no formula for
# the integral, none for the posterior, no EM. How to train it all the same is the question of the
# [density network](03_density_network.ipynb).

# %% [markdown]
# ## Break it: infinite likelihood
# The digits above had a noise of 0.05 on every pixel. Take them as they are, with all $28 \times
# 28$ pixels. In the corners of the pictures there is never any ink: those pixels are exactly 0 in
# every training digit. **Predict.** What does EM make of $\psi$ there, and what of the likelihood?
# And what will it say of a test digit with a speck in the corner?
#
# One remedy is a floor, the smallest value a $\psi_i$ may take. Move it. Three things to try: find
# the floor that is best for the *training* digits; the one that is best for the *test* digits; look
# where the pixels at the floor are.

# %%
FLOORS = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8]
broken = {}
for floor in progress(FLOORS, desc="floors"):
    torch.manual_seed(0)
    b, psi = clean.mean(0), (clean.var(0) / 2).clamp_min(floor)
    W = 0.1 * torch.randn(784, 10).double()
    for _ in range(15):
        W, psi = em_step(clean, W, b, psi)
        psi = psi.clamp_min(floor)
    values = {"train": marginal(clean, W, b, psi), "test": marginal(unseen, W, b, psi)}
    broken[floor] = values | {"at floor": psi <= floor * 1.001}


# %% jupyter={"source_hidden": true}
def draw_floor(floor: float) -> plt.Figure:
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8), width_ratios=(2, 1))
    for name, style, colour in (("train", "o-", MODEL), ("test", "s--", OTHER)):
        left.plot(
            FLOORS,
            [at[name].mean() for at in broken.values()],
            style,
            color=colour,
            ms=4,
            label=f"{name} digits",
        )
        left.plot(floor, broken[floor][name].mean(), "o", color=colour, ms=10, fillstyle="none")
    left.set(
        xscale="log",
        yscale="symlog",
        xlabel="floor of $\\psi$",
        ylabel="mean log p(x), nats",
        ylim=(-2e6, 2e4),
    )
    left.set_yticks(
        [-1e6, -1e4, -100, 0, 100, 1e4], ["$-10^6$", "$-10^4$", "-100", "0", "100", "$10^4$"]
    )
    left.minorticks_off()
    left.invert_xaxis()
    left.legend(loc="lower left")
    right.imshow(broken[floor]["at floor"].view(28, 28), vmin=0, vmax=1.3)
    right.set(
        xticks=[], yticks=[], xlabel=f"{int(broken[floor]['at floor'].sum())} pixels at {floor:g}"
    )
    return fig


second_floor, best_floor = sorted(FLOORS, key=lambda f: broken[f]["test"].mean())[-2:]
ahead = broken[best_floor]["test"] - broken[second_floor]["test"]
ahead = intervals.of_mean(ahead, "test digits", comparisons=2)
deepest = broken[FLOORS[-1]]
collapse = broken[best_floor]["test"] - deepest["test"]
losers = intervals.of_share((collapse > 0).sum(), len(collapse), "test digits", comparisons=2)
show_widget(
    slider_figure(
        draw_floor,
        alt="Training and test likelihood against the floor of psi; the pixels that are at it.",
        floor=FLOORS,
    ),
    draw_floor(1e-4),
    alt=(
        "Mean log-likelihood against the floor, which gets smaller to the right: that of training"
        " digits rises steadily, that of test digits rises at first and then collapses. Right: the"
        " pixels at the floor, a frame around the image."
    ),
    caption=(
        "The lower the floor, the more probable are training digits; a few test digits then lose"
        " so much that their mean collapses."
    ),
)
plot.measured(
    f"from floor {FLOORS[0]:g} to {FLOORS[-1]:g} training digits go from"
    f" {broken[FLOORS[0]]['train'].mean():.0f} to {deepest['train'].mean():,.0f} nats. The floor"
    f" best for test digits is {best_floor:g}, before {second_floor:g} by"
    f" {ahead.said('.0f', 'nats')}. From {best_floor:g} to {FLOORS[-1]:g} their mean falls by"
    f" {collapse.mean():,.0f} nats, by what {losers:.0%} of them lose; in the median a digit's log"
    f" p changes by {-collapse.median():+,.0f} ({ahead.basis}; one training)"
)

# %% [markdown]
# **Why.** A pixel that never varies can be predicted perfectly, and a density that is perfectly
# sure is infinite: each such $\psi_i$ goes to 0 and takes the likelihood along, half a nat per
# factor $e$. A grey speck of 0.1 in the frame then costs $0.1^2 / 2\psi_i$ nats, half a million at
# $\psi_i = 10^{-8}$.
#
# A pixel that does vary runs away just so if the factors come to explain all of it, the *Heywood
# case* of factor analysis; in a mixture, it is the component that sits on a single point. The cures
# are one idea in different clothes: a floor, a prior on $\boldsymbol\Psi$, or honest noise in the
# data, which says how finely the sensor can tell.
#
# ## Break it: the wrong hill
# EM climbs the hill it starts on. **Predict.** Twelve starts of the same four-component mixture on
# the moons, each climbed until it rises no more: on how many different hills do they end? And six
# starts of one factor analyser on the small digits of before?

# %%
few = moons[:600].double()
ends, alone = {}, []
for seed in progress(range(12), desc="starts"):
    torch.manual_seed(seed)
    model = MixtureOfFactorAnalysers(2, 1, 4).double()
    model.initialise(few, seed=seed, rounds=1)
    ends[seed] = (model.fit_em(few, steps=1000, tolerance=1e-6)[-1], model)
    if seed % 2:
        continue
    one_analyser = FactorAnalysis(49, 4).double()
    one_analyser.initialise(tiny)
    alone.append(one_analyser.fit_em(tiny, steps=1000, tolerance=1e-8)[-1])

# %% jupyter={"source_hidden": true}
order = sorted(ends, key=lambda seed: ends[seed][0])
heights = torch.tensor([ends[seed][0] for seed in order])
hills = 1 + int((heights.diff() > 2e-3).sum())
on_top = (heights > heights[-1] - 2e-3).sum()
on_top = intervals.of_share(on_top, len(ends), "starts")
fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.3), width_ratios=(1, 1.2, 1.2))
axes[0].plot(heights, "o", color=MODEL, ms=4)
axes[0].set(
    xlabel="start, sorted",
    ylabel="mean log p(x), nats",
    xticks=[0, 5, 11],
    xticklabels=["1", "6", "12"],
)
for ax, seed, name in ((axes[1], order[0], "worst"), (axes[2], order[-1], "best")):
    ax.plot(*few[:400].T, ".", color=DATA, ms=2)
    with torch.no_grad():
        for component in ends[seed][1].components:
            p = component.decoder
            covariance = p.weight @ p.weight.mT + torch.diag(p.log_var.exp())
            ax.plot(*ellipse(p.bias, covariance, 2), color=MODEL)
    ax.set(
        aspect="equal",
        xlim=(-2, 3),
        ylim=(-1.5, 2),
        xticks=[],
        yticks=[],
        title=f"{name}: {ends[seed][0]:.3f} nats",
    )
plot.show(
    fig,
    alt=(
        "Left: the final likelihood of twelve starts, sorted: a few low ones, then a plateau that"
        " most reach. Right: four ellipses of the worst and of the best end on the two moons; in"
        " the worst one ellipse straddles both moons and overlaps another."
    ),
    caption=(
        f"The same data, model and algorithm: {len(ends)} starts end on {hills} different hills."
    ),
)
plot.measured(
    f"from {heights[0]:.3f} to {heights[-1]:.3f} nats; {on_top:.0%} of the starts end on the"
    f" highest hill ({on_top.basis}, {len(few)} points). One factor analyser: {len(alone)} starts"
    f" end within {max(alone) - min(alone):.0e} nats of one another ({len(tiny):,} digits of 49"
    " pixels)"
)

# %% [markdown]
# **Why.** A mixture's components must share out the data, and two that share a piece cannot see
# from there that a third is overstretched: every small move makes it worse. One analyser has
# nothing to share out. So start a mixture several times and keep the best; and let EM climb to the
# end before you count hills, for on a ridge it is slow and looks finished.

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    8: "a latent variable model is sampled in two easy steps",
    9: "linear and Gaussian: factor analysis, convenient but limiting",
    10: "a non-linear map of z makes an infinite mixture of Gaussians",
}
plot.claims_table(claims, measured)

# %% [markdown]
# The first claim holds for every decoder that one can draw from. The second holds in both halves:
# what is convenient and what limits are the same fact, that everything stays Gaussian. The third is
# true by definition, since an integral over $z$ is the mixture; the number says how many ordinary
# components one bend is worth.
#
# ## For and against the linear model
# **For.** The density, the posterior and the training are formulas; a bad fit is the model's fault,
# never the optimiser's or the encoder's. Missing pixels are integrated out exactly. A thousand
# dimensions cost little, since only $d \times d$ matrices need be inverted: your `posterior` does
# so; your `marginal` solves a $D \times D$ system, and `FactorAnalysis.log_prob` shows the way
# round it.
#
# **Against.** A single Gaussian, whatever the number of factors. Factors have no meaning of their
# own. A $\psi$ can run away to 0. And everything that made it easy is gone as soon as $f$ bends.

# %% [markdown]
# ## Questions
# <details><summary>Factor analysis with d = D factors: which distributions can it represent?</summary>
#
# All Gaussians, and no others: $\mathbf{W}\mathbf{W}^\top + \boldsymbol\Psi$ can then be any
# covariance. </details>
#
# <details><summary>Multiply one pixel by 100. How do factor analysis and PCA react?</summary>
#
# Factor analysis multiplies that row of $\mathbf{W}$ and its $\psi$ accordingly and is otherwise
# the same model. PCA's first component turns towards the loud pixel: with one noise for all, size
# counts as signal. </details>
#
# <details><summary>Turn all the data by a rotation in pixel space. And now?</summary>
#
# PCA turns along and is otherwise the same. Factor analysis is not: noise that was independent from
# pixel to pixel is no longer so in the turned axes. </details>
#
# <details><summary>The posterior's covariance does not depend on x. Is that plausible for digits?</summary>
#
# Hardly: some digits are easy to read and some are not. It is a consequence of linearity, and a
# bent decoder gives a posterior whose width, and even number of bumps, depends on $\mathbf{x}$.
# </details>
#
# <details><summary>Is an infinite mixture always better than a finite one?</summary>
#
# No. It is a particular one, whose components are tied to a curve or surface by $f$. If the data
# come in separate clumps, a smooth $f$ must draw bridges between them, and a finite mixture need
# not. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Latent Variable Models".
# - C. Spearman, *"General Intelligence," Objectively Determined and Measured*, American Journal of
#   Psychology, 1904.
# - A. P. Dempster, N. M. Laird, D. B. Rubin, *Maximum Likelihood from Incomplete Data via the EM
#   Algorithm*, JRSS B, 1977. D. B. Rubin, D. T. Thayer, *EM Algorithms for ML Factor Analysis*,
#   Psychometrika, 1982.
# - M. E. Tipping, C. M. Bishop, *Probabilistic Principal Component Analysis*, JRSS B, 1999.
# - Z. Ghahramani, G. E. Hinton, *The EM Algorithm for Mixtures of Factor Analyzers*, technical
#   report, 1996.
# - T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, *Improved Precision and Recall
#   Metric for Assessing Generative Models*, NeurIPS 2019.
# - C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, chapters 9 and 12. S. Roweis, Z.
#   Ghahramani, *A Unifying Review of Linear Gaussian Models*, Neural Computation, 1999.
#
# Next: [03, can the integral simply be sampled?](03_density_network.ipynb)
