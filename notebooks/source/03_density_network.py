# ---
# jupyter:
#   dgmcourse:
#     part: Latent variables
#     question: Can the integral simply be sampled?
#     about: "sample the integral: it works in two dimensions, better than a VAE, and fails in
#       forty; measured"
#     slides: Density Network
#     minutes: 60
#     weights: {density_network_2d: density network}
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
# # Density network: sample the integral
# *60 minutes, about 16 of them for three exercises. Slides: "Density Network". You need [latent
# variable models](02_latent_variable_models.ipynb), the logarithm, and PyTorch's autograd.*
#
# Afterwards you can train a model whose likelihood is an integral, without an encoder; keep a sum
# of probabilities alive where floating point gives up; say how far such an estimate is off, and
# which way; and predict the number of latent dimensions at which all of it breaks.

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

# %% [markdown]
# ## The question
# A latent variable model draws a code $\mathbf{z}$ from a prior $p_\lambda(\mathbf{z})$, then
# $\mathbf{x}$ from $p_\theta(\mathbf{x}|\mathbf{z})$. How probable is a given $\mathbf{x}$? Any
# code may have made it:
#
# $$p(\mathbf{x}) = \int p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z}.$$
#
# While everything is linear and Gaussian, this is a formula. Put a neural network between
# $\mathbf{z}$ and $\mathbf{x}$, and no formula is left. **What if you drew many codes blindly,
# asked each how well it explains $\mathbf{x}$, and averaged?**
#
# Below are a trained density network with two latent dimensions, one test digit, and $S$ codes from
# the prior (green). Three things to try:
#
# 1. Raise S until the best four codes look like the digit. How many does it take?
# 2. At S = 100 press *draw again* ten times. How many nats does the estimate jump? And at 10,000?
# 3. Of 10,000 codes, how many matter? The orange dots show it. *Effective codes* count them:
#    $1/\sum_s r_s^2$, where $r_s$ is a code's share of the sum. One code with all of it counts 1, S
#    equal ones count S.

# %% jupyter={"source_hidden": true}
import math
import sys
import time

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import display
from torch import Tensor, nn

from dgmcourse import evaluate, intervals, plot, recipes
from dgmcourse.check import density_network as check
from dgmcourse.data.images import mnist
from dgmcourse.data.toy import pinwheel, ring, two_moons
from dgmcourse.densities import Bernoulli, Gaussian
from dgmcourse.evaluate import effective_sample_size, log_likelihood_from_prior
from dgmcourse.models import VAE
from dgmcourse.models.density_network import DensityNetwork
from dgmcourse.models.factor_analysis import FactorAnalysis
from dgmcourse.networks import gated_mlp
from dgmcourse.plot import (
    DATA,
    MODEL,
    NOISE,
    POSTERIOR,
    PRIOR,
    mean_and_error,
    plt,
    progress,
)
from dgmcourse.train import best_device, fit
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.figure import LAYOUT, slider_figure
from dgmcourse.widgets.latent import latent_grid, latent_traversal

DEVICE = best_device()
torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine

digits = mnist("dynamic")  # training: binarised anew at every visit; test: binarised once
train = digits.train[torch.arange(len(digits.train))[:10_000]]
test = digits.test[torch.arange(len(digits.test))[:500]]
del digits  # the others are not needed, and their memory is
network = recipes.load("density_network_2d")  # 2 latent dimensions, trained on 50,000 digits
measured = {}  # claim -> what you found, for the table at the end


def among(name: str, options, start) -> widgets.SelectionSlider:
    """A slider over some numbers that does not begin at the first."""
    return widgets.SelectionSlider(
        options=[(f"{n:,}", n) for n in options], value=start, description=name, **LAYOUT
    )


torch.manual_seed(0)
SHOWN = [int((test.y == label).nonzero()[0]) for label in range(10)]  # one test digit of each class
ten = test[SHOWN].tensor()
with torch.no_grad():
    pool = network.prior.sample((100_000,))  # enough codes for many draws of S of them
    parts = [network.decoder(z).cross_log_prob(ten) for z in pool.split(500)]
    pool_log_w = torch.cat(parts, 1)  # (10, 100000)


def draw_search(digit: int, S: int, seed: int = 0) -> plt.Figure:
    random = torch.Generator().manual_seed(seed)
    kept = torch.randperm(len(pool), generator=random)[:S]
    z, log_w = pool[kept], pool_log_w[digit, kept]
    weight = torch.softmax(log_w, 0)
    best = weight.topk(min(4, S)).indices
    estimate, ess = torch.logsumexp(log_w, 0) - math.log(S), effective_sample_size(log_w)
    fig = plt.figure(figsize=(plot.WIDTH, 3.1))
    left, right = fig.subplots(1, 2, width_ratios=(1.1, 1))
    left.plot(
        *z[:5000].T, ".", ms=2 if S > 300 else 4, color=PRIOR, alpha=max(0.15, min(0.7, 100 / S))
    )
    felt = weight > 0.003
    left.scatter(*z[felt].T, s=160 * weight[felt], color=POSTERIOR, linewidths=0)
    left.set(
        xlim=(-3.6, 3.6),
        ylim=(-3.6, 3.6),
        xlabel="$z_1$",
        ylabel="$z_2$",
        xticks=[-2, 0, 2],
        yticks=[-2, 0, 2],
    )
    left.set_title(f"{S:,} blind codes; orange area: share of the sum", fontsize=9)
    with torch.no_grad():
        means = network.decoder(z[best]).mean
    right.set_axis_off()
    right.set_title(f"log p(x) about {estimate:.1f} nats; effective codes {ess:.1f}", fontsize=9)
    places = [[0.5 + 0.26 * (k % 2), 0.52 - 0.5 * (k // 2), 0.23, 0.36] for k in range(len(best))]
    shown = [([0.0, 0.2, 0.44, 0.62], ten[digit], "the digit x", DATA)]
    for place, mean, i in zip(places, means, best, strict=True):
        shown.append((place, mean, f"{weight[i]:.0%}", POSTERIOR))
    for place, image, text, colour in shown:
        ax = right.inset_axes(place)
        ax.imshow(image.reshape(28, 28), vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(text, fontsize=9, color=colour, labelpad=2)
        ax.spines[:].set(visible=True, color=colour)
    return fig


one_digit = pool_log_w[2]
parts = [one_digit[torch.randperm(len(pool))].unflatten(0, (-1, S)) for S in (100, 10_000)]
jumps = [(torch.logsumexp(part, 1) - math.log(part.shape[1])).std().item() for part in parts]
best = [torch.softmax(part, 1).amax(1).mean().item() for part in parts]
show_widget(
    slider_figure(
        draw_search,
        alt=(
            "Left, the latent plane with S codes drawn from the prior; orange dots grow with a"
            " code's share of the sum. Right, a test digit and the decoder's means at the four"
            " codes with the largest shares."
        ),
        digit=(0, 9, 1, 2),
        S=among("S", [1, 10, 100, 1000, 10_000], 10),
        seed="draw again",
    ),
    draw_search(2, 1000),
    alt=(
        "1,000 green dots over the latent plane, the few that matter orange in one small place, a"
        " handwritten 2 and four decoded codes beside it."
    ),
    caption=(
        "Most codes decode to something else, and very few make the sum: the best of 100 has"
        f" {best[0]:.0%} of it on average, the best of 10,000 {best[1]:.0%}."
    ),
)
plot.on_request(
    "How much does the estimate jump?",
    f"From draw to draw it scatters by {jumps[0]:.1f} nats at S = 100 and by {jumps[1]:.1f} at S ="
    f" 10,000 (standard deviation over {len(parts[0]):,} and {len(parts[1])} draws).",
)

# %% [markdown]
# ## The estimate
# An integral against a prior is an expectation, and an expectation is a mean over draws:
#
# $$\log p(\mathbf{x}) \approx \log \frac1S \sum_{s=1}^{S} \exp\big(\log p_\theta(\mathbf{x}|\mathbf{z}_s)\big),
#   \qquad \mathbf{z}_s \sim p_\lambda(\mathbf{z}).$$
#
# Read aloud: draw $S$ codes, decode each, ask how probable $\mathbf{x}$ is under each, average the
# probabilities, take the logarithm. What a code gives to the sum is its *weight*, $w_s =
# p_\theta(\mathbf{x}|\mathbf{z}_s)$. The codes know nothing of $\mathbf{x}$, so one set of $S$
# codes serves every $\mathbf{x}$ of a batch: each is decoded once.
#
# ### Why the exp and the log
# A decoder gives you $\log p_\theta(\mathbf{x}|\mathbf{z})$, a sum over pixels. Before a decoder
# has learned anything, each of 784 pixels is a coin. **Predict.** How many nats is that, and what
# is its exponential in float32, whose smallest number is about $10^{-45}$? In float64, with
# $10^{-324}$? And the gradient of $\log(\exp(a))$, which is 1: what does autograd say?

# %%
for log_w in (-80.0, -100.0, -110.0, 784 * math.log(0.5), -800.0):
    a = torch.tensor(log_w, requires_grad=True)
    b = torch.tensor(log_w, dtype=torch.float64)
    a.exp().log().backward()
    print(
        f"log w = {log_w:6.1f}   float32: {a.exp():8.1e}, gradient {a.grad:3.1f}"
        f"   float64: {b.exp():8.1e}"
    )

# %% [markdown]
# Zero is worse than small: its logarithm is $-\infty$ and its gradient not a number, which ruins a
# network in one step. The gradient dies even before the value does. Do digits really get there?
# Take three decoders, 100 codes from the prior, 500 test digits, and average naively. **Predict**
# the shares that are lost.


# %%
@torch.no_grad()
def log_weights(model, x: Tensor, S: int, rows: int = 500) -> Tensor:
    """log p(x|z_s) of every x under the same S codes from the prior: (B, S). Each code
    is decoded once, in parts of `rows`.
    """
    parts = model.prior.sample((S,)).split(rows)
    log_w = torch.empty(len(x), S)
    for z, columns in zip(parts, log_w.split(rows, 1), strict=True):
        columns[:] = model.decoder(z).cross_log_prob(x)
    return log_w


# %%
torch.manual_seed(0)
x = test.tensor()
vae40 = recipes.load("vae_40d")  # without its encoder, a model of digits, too
decoders = {
    "not trained": DensityNetwork(2),
    "density_network_2d": network,
    "decoder of vae_40d": vae40,
}
lost = {}
for name, model in decoders.items():
    log_w = log_weights(model, x, 100)
    naive = log_w.exp().mean(1).log(), log_w.double().exp().mean(1).log()
    lost[name] = [(~value.isfinite()).sum() for value in naive]

# %% jupyter={"source_hidden": true}
shares = {
    name: [intervals.of_share(n, len(x), "digits", comparisons=6) for n in both]
    for name, both in lost.items()
}
plot.markdown(
    "| decoder | lost in float32 | lost in float64 |",
    "|:--|--:|--:|",
    *(f"| {name} | {a:.1%} | {b:.1%} |" for name, (a, b) in shares.items()),
    "",
    (
        f"*The share whose mean is exactly 0, by the same 100 codes ({shares[name][0].basis})."
        " Binary images of 32 x 34 pixels would lose all in float64, too, before training.*"
    ),
)

# %% [markdown]
# float32 is what you train with, and most digits are lost in it. More digits of precision only move
# the wall. The cure moves the numbers instead: take the largest, $m = \max_s \log w_s$, out of the
# sum,
#
# $$\log \frac1S \sum_s e^{\log w_s} = m + \log \frac1S \sum_s e^{\log w_s - m}.$$
#
# Read aloud: measure every term against the best one. The best one becomes $e^0 = 1$; what still
# underflows would not have changed the sum. This is the **log-sum-exp** trick, exact for every $m$.

# %% [markdown]
# ## Exercise 1: log-mean-exp (5 minutes)
# Write it for any axis. You may begin with `torch.logsumexp`, or write the two steps yourself. If
# every term is $-\infty$, no code explains $\mathbf{x}$: the answer is $-\infty$.


# %% tags=["exercise"]
def log_mean_exp(log_w: Tensor, dim: int) -> Tensor:
    """log of the mean of exp(log_w) along dim, in nats, without that axis.

    log_w: any shape, (B, S) for instance, any real numbers or -inf.
    Returns: (B,) for dim = 1.
    """
    ### BEGIN SOLUTION
    return torch.logsumexp(log_w, dim) - math.log(log_w.shape[dim])
    ### END SOLUTION


# %%
log_mean_exp = check.log_mean_exp(log_mean_exp)
# check.log_mean_exp.hint()

# %% [markdown]
# ## Exercise 2: the estimate (8 minutes)
# `prior.sample((S,))` draws codes, `(S, d)`. `decoder(z)` is a Density with one row for each code;
# its `cross_log_prob(x)` holds every x against every row: `(B, S)`, already summed over the pixels.
# It does so with one matrix product, since a tensor of `(S, B, 784)` numbers would not fit into
# memory for long.


# %% tags=["exercise"]
def log_likelihood(x: Tensor, prior, decoder, S: int) -> Tensor:
    """The Monte Carlo estimate of log p(x) from S codes of the prior, in nats.

    x: (B, D); prior: a Density over z; decoder: z -> a Density over x.
    Returns: (B,), one number for each x, with a gradient for the decoder.
    """
    ### BEGIN SOLUTION
    z = prior.sample((S,))
    return log_mean_exp(decoder(z).cross_log_prob(x), 1)
    ### END SOLUTION


# %%
log_likelihood = check.log_likelihood(log_likelihood)
# check.log_likelihood.hint()

# %% [markdown]
# ## How far off is it, and which way?
# The mean inside is unbiased: over many draws of the codes, $\mathbb{E}[\hat p(\mathbf{x})] =
# p(\mathbf{x})$ for every $S$. The logarithm outside is concave, so by Jensen
#
# $$\mathbb{E}\big[\log \hat p(\mathbf{x})\big] \le \log p(\mathbf{x}).$$
#
# Read aloud: on average you report too little. A Taylor expansion says how much, with
# $\chi^2 = \mathrm{Var}[w] / p(\mathbf{x})^2$, the relative variance of one weight $w$:
#
# $$\text{bias} \approx -\frac{\chi^2}{2S}, \qquad \text{standard deviation} \approx \sqrt{\chi^2 / S}.$$
#
# Check it where the truth is known. Take $\mathbf{x} = \mathbf{z} + \sigma\boldsymbol\epsilon$ in
# $d$ dimensions: a factor analyser, with $p(\mathbf{x}) = \mathcal N(\mathbf{0}, (1 +
# \sigma^2)\mathbf{I})$ and a formula for $\chi^2$, too. **Predict.** At S = 100, $d = 2$, $\sigma =
# \frac12$: is the estimate off by hundredths of a nat, tenths, or whole nats? And at $d = 10$?

# %%
SIGMA = 0.5


def linear_gaussian(d: int) -> FactorAnalysis:
    """x = z + sigma noise in d dimensions: its log_prob is exact."""
    model = FactorAnalysis(d, d)
    model.decoder.weight.data.copy_(torch.eye(d))
    model.decoder.log_var.data.fill_(2 * math.log(SIGMA))
    return model


def usual_x(d: int) -> Tensor:
    """One x, (1, d), as far from the origin as x usually is."""
    return math.sqrt(1 + SIGMA**2) * torch.tensor([-1.0, 1.0]).repeat(d)[None, :d]


errors = {}  # for each d, of one x: log-weights of 500,000 codes less the true log p(x)
for d in (1, 2, 5, 10):
    torch.manual_seed(d)
    model, x = linear_gaussian(d), usual_x(d)
    log_w = log_weights(model, x, 500_000, rows=20_000)
    errors[d] = (log_w - model.log_prob(x).detach())[0]


# %% jupyter={"source_hidden": true}
def relative_variance(d: int) -> float:
    """chi^2 = E[w^2] / p(x)^2 - 1: the square of a Gaussian is a narrower one, times a constant,
    and integrates as easily.
    """
    x = usual_x(d)
    squared = Gaussian(torch.zeros(1, d), torch.full((1, d), math.log(1 + SIGMA**2 / 2))).log_prob(
        x
    )
    squared = squared - d * math.log(2 * SIGMA * math.sqrt(math.pi))
    return math.expm1(squared.item() - 2 * linear_gaussian(d).log_prob(x).item())


chi2 = {d: relative_variance(d) for d in errors}
SAMPLES = [3, 10, 30, 100, 300, 1000]


def estimates(d: int, S: int) -> Tensor:
    """The error of as many separate estimates as 500,000 codes are enough for: (500000 // S,)."""
    return log_mean_exp(errors[d][: len(errors[d]) // S * S].view(-1, S), 1)


def bias(off: Tensor) -> intervals.Interval:
    """The mean error. p-hat / p - 1 is 0 on average: the noise that it explains is taken out."""
    off, known = off.double(), off.double().expm1()
    covariance = torch.cov(torch.stack([off, known]))
    rest = off - covariance[0, 1] / covariance[1, 1] * known
    return intervals.of_mean(rest, "estimates")


biases = {(d, S): bias(estimates(d, S)) for d in errors for S in SAMPLES}
spread = {(d, S): estimates(d, S).std().item() for d in errors for S in SAMPLES}


def draw_errors(d: int, S: int) -> plt.Figure:
    off = estimates(d, S)
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.9), width_ratios=(1.15, 1))
    low, high = min(-1.0, off.quantile(0.01).item()), max(0.6, off.quantile(0.999).item())
    left.hist(off.numpy(), bins=np.linspace(low, high, 41), color=MODEL, alpha=0.45)
    left.axvline(0, color=DATA, linewidth=1.5)
    left.axvline(biases[d, S].value, color=MODEL, linestyle="--")
    left.text(
        0.02,
        0.95,
        f"d = {d}, S = {S}\nmean error {biases[d, S].value:+.3f}\nsecond order"
        f" {-chi2[d] / (2 * S):+.3f}",
        transform=left.transAxes,
        va="top",
        fontsize=9,
    )
    left.set(
        xlabel="log p(x) estimated - exact, nats", ylabel=f"of {len(off):,} estimates", yticks=[]
    )
    right.errorbar(
        SAMPLES,
        [-biases[d, size].value for size in SAMPLES],
        [(biases[d, size].high - biases[d, size].low) / 2 for size in SAMPLES],
        fmt="o",
        color=MODEL,
        ms=5,
        capsize=2,
        label="bias, downward",
    )
    right.plot(
        SAMPLES,
        [spread[d, size] for size in SAMPLES],
        "s",
        color=POSTERIOR,
        ms=5,
        label="standard deviation",
    )
    right.plot(SAMPLES, [chi2[d] / (2 * size) for size in SAMPLES], "-", color=MODEL, linewidth=1)
    right.plot(
        SAMPLES, [(chi2[d] / size) ** 0.5 for size in SAMPLES], "--", color=POSTERIOR, linewidth=1
    )
    right.axvline(S, color=NOISE, linewidth=1, zorder=0)
    right.set(xscale="log", yscale="log", xlabel="samples S", ylabel="nats", ylim=(2e-4, 30))
    right.set_xticks(SAMPLES, SAMPLES)
    right.minorticks_off()
    right.legend(fontsize=8, loc="lower left", title="lines: second order", title_fontsize=8)
    return fig


plain = intervals.of_mean(errors[2].exp(), "codes")
show_widget(
    slider_figure(
        draw_errors,
        alt=(
            "Left, a histogram of the error of many estimates, with the exact value at 0. Right,"
            " its bias and standard deviation against S, with the second-order theory as lines."
        ),
        d=among("d", list(errors), 2),
        S=among("S", SAMPLES, 100),
    ),
    draw_errors(2, 100),
    alt=(
        "Left, the estimate's error at d = 2 and S = 100: a bell about zero with a longer tail to"
        " the left. Right, bias and standard deviation fall along the theory's lines."
    ),
    caption=(
        f"At d = 2 and S = 100 the mean error is {biases[2, 100].value:.4f} nats, where theory says"
        f" {-chi2[2] / 200:.4f}."
    ),
)
plot.on_request(
    "The mean errors, and theory's",
    "| d | S | mean error, nats | theory |",
    "|--:|--:|--:|--:|",
    *(
        f"| {d} | {S:,} | {biases[d, S]:.4f} | {-chi2[d] / (2 * S):.4f} |"
        for d, S in ((2, 100), (2, 1000), (10, 100), (10, 1000))
    ),
    "",
    f"*95 % intervals over {len(estimates(2, 100)):,} and {len(estimates(2, 1000))} estimates.*"
    f" $\\chi^2$ is {chi2[2]:.1f} at d = 2 and {chi2[10]:,.0f} at d = 10. The mean of $\\hat p$"
    f" itself is right: {plain:.3f} of p(x) at d = 2 ({plain.basis}).",
)

# %% [markdown]
# In one or two dimensions, from some thirty codes on, theory and measurement lie on one another:
# bias falls like $1/S$, scatter like $1/\sqrt S$. So an estimate that is still *climbing* with $S$
# is not there yet. At $d = 10$ the expansion fails: it is for $S \gg \chi^2$, and $\chi^2$ grows
# with every dimension.

# %% [markdown]
# ## What the gradient says
# The estimate is a function of the decoder's parameters $\theta$, and autograd does the rest. What
# does it do?
#
# $$\nabla_\theta \log \hat p(\mathbf{x}) = \sum_s r_s\, \nabla_\theta \log p_\theta(\mathbf{x}|\mathbf{z}_s),
#   \qquad r_s = \frac{w_s}{\sum_{t} w_{t}}.$$
#
# Read aloud: every code is asked to explain $\mathbf{x}$ better, in proportion to how well it
# already does. The shares $r_s$, the codes' *responsibilities* for $\mathbf{x}$, are a softmax of
# the log-weights: the posterior $p(\mathbf{z}|\mathbf{x})$, found by trying. It is EM with an
# E-step by sampling and one gradient step for an M-step.

# %%
torch.manual_seed(0)
small, x = DensityNetwork(latent_dim=2, hidden=20), ten
parameters = list(small.decoder.parameters())
log_w = small.decoder(small.prior.sample((50,))).cross_log_prob(x)  # (10, 50)
r = torch.softmax(log_w, 1).detach()  # plain numbers: no gradient passes through them
estimate = log_mean_exp(log_w, 1).sum()
direct = torch.autograd.grad(estimate, parameters, retain_graph=True)
weighted = torch.autograd.grad((r * log_w).sum(), parameters)
pairs = zip(direct, weighted, strict=True)
worst = max(((a - b).abs().max() / a.abs().max()).item() for a, b in pairs)
two = "Autograd of the estimate and the weighted average"
print(f"{two} differ by {worst:.0e} of the largest entry.")

# %% [markdown]
# ## Train it in two dimensions
# Now everything can be seen. One latent number $z$, a network $f$ that lays a line through the
# plane, and noise of one width: $p_\theta(\mathbf{x}|z) = \mathcal N(f(z), \sigma^2 \mathbf{I})$.
# An infinite mixture of Gaussians along a line.


# %%
class ThickLine(nn.Module):
    """The decoder p(x|z) = N(f(z), sigma^2 I): a line (one latent dimension) or a sheet
    (two), made thick by noise.
    """

    def __init__(self, latent_dim: int):
        super().__init__()
        self.f = gated_mlp([latent_dim, 32, 32, 2])
        self.log_sigma = nn.Parameter(torch.tensor(math.log(0.5)))

    def forward(self, z: Tensor) -> Gaussian:
        mean = self.f(z)
        return Gaussian(mean, (2 * self.log_sigma).expand_as(mean))


def plane_network(latent_dim: int) -> DensityNetwork:
    torch.manual_seed(0)
    model = DensityNetwork(latent_dim, data_dim=2, likelihood="gaussian")
    model.decoder = ThickLine(latent_dim)
    return model


TRAIN_2D = {"epochs": 40, "lr": 1e-2, "anneal": 20}
moons, new_moons = two_moons(2000), two_moons(2000, seed=1)

# %% [markdown]
# With one latent number the integral is a sum over a grid, and exact. So is the density that the
# moons are drawn from: a point on a half circle, then noise of 0.1. So you will see how far
# gradient ascent on a *sampled* integral gets.
#
# **Predict.** Two moons, one line. The line must get from one moon to the other. What will the
# density look like there? And $\sigma$ starts at 0.5: which way does it go, and where does it stop?

# %% jupyter={"source_hidden": true}
side = torch.linspace(-2.3, 2.3, 90)
plane = torch.cartesian_prod(side, side)


def density_of(model: DensityNetwork, S: int = 500) -> Tensor:
    """p(x) over the plane, (90, 90)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return log_likelihood_from_prior(model, plane, S, rows=50).exp().reshape(90, 90).T


def draw_density(ax: plt.Axes, density: Tensor, data: Tensor | None = None) -> None:
    ax.imshow(
        density,
        origin="lower",
        extent=[-2.3, 2.3] * 2,
        cmap="Blues",
        vmin=0,
        vmax=density.flatten().quantile(0.995),
    )
    if data is not None:
        ax.plot(*data[:250].T, ".", color=DATA, ms=2)
    ax.set(xticks=[-2, 0, 2], yticks=[-2, 0, 2], xlim=(-2.3, 2.3), ylim=(-2.3, 2.3))


def line_of(model: DensityNetwork) -> Tensor:
    """f(z) for z from -3 to 3: (400, 2)."""
    with torch.no_grad():
        return model.decoder(torch.linspace(-3, 3, 400)[:, None]).mean


class LivePlane(plot.Live):
    """The curve of the objective, and the density over the plane with the data in it."""

    def __init__(self, data: Tensor):
        super().__init__()
        self.data = data

    def __call__(self, model, history) -> None:
        if not history.steps:
            return
        self.figure = self.figure or plt.figure(figsize=(plot.WIDTH, 2.6))
        self.figure.clear()
        left, right = self.figure.subplots(1, 2, width_ratios=(1.5, 1))
        step, value = ([row[name] for row in history.steps] for name in ("step", "log_p"))
        left.plot(step, value, color=MODEL)
        left.set(xlabel="step", ylabel="log p(x), nats", ylim=(-3, -0.7))
        draw_density(right, density_of(model), self.data)
        if model.prior.dim == 1:
            right.plot(*line_of(model).T, color=POSTERIOR, linewidth=1)
        right.set_title(f"sigma {model.decoder.log_sigma.exp():.2f}")
        image = plot.picture(
            self.figure, f"Training curve, at {value[-1]:.2f} nats, and the density with its line."
        )
        self.handle = self.handle or display(image, display_id=True)
        self.handle.update(image)


# %%
line = plane_network(1)
before = log_likelihood_from_prior(line, new_moons, 5000, rows=100)


def objective(x: Tensor, beta: float) -> tuple[Tensor, dict[str, Tensor]]:
    """What fit maximises, one value for each x, and what it shows. beta is for bounds:
    there is none here.
    """
    value = log_likelihood(x, line.prior, line.decoder, S=100)
    return value, {"log_p": value}


history = fit(line, moons, objective=objective, live=LivePlane(moons), **TRAIN_2D)


# %% jupyter={"source_hidden": true}
@torch.no_grad()
def exact_log_p(model: DensityNetwork, x: Tensor, nodes: int = 4001) -> Tensor:
    """log p(x) by a sum over a fine grid of the one latent number: (B,)."""
    z = torch.linspace(-6, 6, nodes)[:, None]
    p, log_prior = model.decoder(z), model.prior.log_prob(z) + math.log(12 / (nodes - 1))
    return torch.cat(
        [torch.logsumexp(p.cross_log_prob(part) + log_prior, 1) for part in x.split(100)]
    )


angle = math.pi * (torch.arange(1000) + 0.5) / 1000
upper = torch.stack([angle.cos(), angle.sin()], 1)
centres = torch.cat([upper, torch.tensor([1.0, 0.5]) - upper])
blurred = Gaussian(centres, torch.full_like(centres, 2 * math.log(0.1)))
truth = torch.cat([log_mean_exp(blurred.cross_log_prob(part), 1) for part in new_moons.split(100)])

# %% tags=["claim-11"]
after = exact_log_p(line, new_moons)
gained = intervals.of_mean(after - before, "points", comparisons=2)
gap = intervals.of_mean(truth - after, "points", comparisons=2)

# %% jupyter={"source_hidden": true}
sampled = log_likelihood_from_prior(line, new_moons, 100) - after
measured["claim-11"] = (
    f"two moons: gradient ascent on S = 100 codes raises log p(x) of {len(after):,} new points from"
    f" {before.mean():.2f} to {after.mean():.2f} nats, by {gained:.2f}; the true density has"
    f" {truth.mean():.2f}: {gap:.2f} are missing ({gap.basis}; one training)"
)
plot.measured(measured["claim-11"])
plot.markdown(
    f"The training's own estimate, S = 100, is off by {sampled.mean():+.2f} nats. $\\sigma$ went"
    f" from 0.5 to {line.decoder.log_sigma.exp():.2f}; the moons' own noise is 0.10."
)

# %% [markdown]
# The line runs through both moons and pays for the bridge between them: there it puts probability
# where no data are. A continuous $f$ of a connected prior can't tear. It can only cross the gap
# quickly, within little of $z$.
#
# Now look at the responsibilities: which codes does a point ask for help? Move the point along the
# data.

# %% jupyter={"source_hidden": true}
order = torch.cdist(new_moons, line_of(line)).argmin(1).argsort()
by_line = new_moons[order][::40]  # 50 points in the line's order
grid_z = torch.linspace(-3, 3, 1200)[:, None]


def draw_pull(point: int, S: int, seed: int = 0) -> plt.Figure:
    x, random = by_line[point], torch.Generator().manual_seed(seed)
    z = torch.randn(S, 1, generator=random)
    with torch.no_grad():
        p, r = line.decoder(z), torch.softmax(line.decoder(z).cross_log_prob(x), -1)
        log_posterior = line.decoder(grid_z).cross_log_prob(x) + line.prior.log_prob(grid_z)
        posterior = torch.softmax(log_posterior, 0) / (grid_z[1] - grid_z[0])
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
    left.plot(*moons[:400].T, ".", color=NOISE, ms=2)
    left.plot(*line_of(line).T, color=MODEL, linewidth=1)
    left.scatter(*p.mean.T, s=5, color=PRIOR)
    left.scatter(*p.mean.T, s=120 * r, color=POSTERIOR)
    left.plot(*x, "*", color=DATA, ms=12)
    left.set(
        xlim=(-1.6, 2.6), ylim=(-1.2, 1.6), xticks=[-1, 0, 1, 2], yticks=[-1, 0, 1], aspect="equal"
    )
    left.set_title("the line, S codes on it, one point", fontsize=9)
    right.fill_between(grid_z[:, 0], posterior, color=DATA, alpha=0.2, linewidth=0)
    right.plot(grid_z, posterior, color=DATA, linewidth=1, label="exact p(z|x)")
    right.vlines(
        z[:, 0],
        0,
        r * posterior.max() / r.max(),
        color=POSTERIOR,
        linewidth=1.2,
        label="responsibilities (scaled)",
    )
    right.plot(z[:, 0], torch.zeros(S) - 0.03 * posterior.max(), "|", color=PRIOR, ms=5)
    right.set(xlabel="z", xlim=(-3, 3), yticks=[])
    ess = 1 / (r**2).sum()
    right.set_title(f"{ess:.1f} of {S} codes carry the gradient", fontsize=9)
    right.legend(fontsize=8, loc="upper right")
    return fig


with torch.no_grad():
    carried = {
        S: effective_sample_size(log_weights(line, new_moons, S), 1).median().item()
        for S in (10, 100, 1000)
    }
show_widget(
    slider_figure(
        draw_pull,
        alt=(
            "Left, the moons, the learned line with S codes on it, and one point; codes near the"
            " point are large and orange. Right, the responsibilities of the codes against z, on"
            " the exact posterior."
        ),
        point=(0, len(by_line) - 1, 1, 12),
        S=among("S", [10, 30, 100, 300, 1000], 100),
        seed="new codes",
    ),
    draw_pull(12, 100),
    alt=(
        "One point and 100 codes: a few codes near the point are large, and their responsibilities"
        " follow the exact posterior's bump."
    ),
    caption=(
        "A point pulls the piece of line that is near it already: of 100 codes"
        f" {carried[100]:.0f} are effective, in the median over points."
    ),
)
plot.on_request(
    "With fewer or more codes",
    f"Effective codes, median over {len(new_moons):,} points: "
    + ", ".join(f"{e:.1f} of {S:,}" for S, e in carried.items())
    + ".",
)

# %% [markdown]
# With few codes a stretch of $z$ may be empty, and a point then pulls the wrong piece of line,
# since somebody must answer: responsibilities sum to 1.
#
# Two more data sets: a ring with one latent number, and a pinwheel, for which you take two.
# **Predict.** A line has ends, a ring has none. Where will they lie?

# %%
sets = {"two moons": moons, "ring": ring(2000), "pinwheel": pinwheel(2000, arms=3) / 2}
held_out = {
    "two moons": new_moons,
    "ring": ring(2000, seed=1),
    "pinwheel": pinwheel(2000, arms=3, seed=1) / 2,
}
trained = {"two moons": line}
for name, latent_dim in (("ring", 1), ("pinwheel", 2)):
    trained[name] = plane_network(latent_dim)
    trained[name].samples = 100  # S of the model's own objective: your estimate
    fit(trained[name], sets[name], live=LivePlane(sets[name]), **TRAIN_2D)

# %% jupyter={"source_hidden": true}
pictures = {}
for name, model in trained.items():
    torch.manual_seed(0)
    with torch.no_grad():
        score = log_likelihood_from_prior(model, held_out[name], 5000, rows=100)
        pictures[name] = model.sample(1000), density_of(model, 2000), score


def draw_sets(data: str, show: str) -> plt.Figure:
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.4))
    left.plot(*held_out[data][:1000].T, ".", color=DATA, ms=2)
    left.set_title("new data")
    drawn, density, score = pictures[data]
    if show == "samples":
        right.plot(*drawn.T, ".", color=MODEL, ms=2)
    else:
        draw_density(right, density)
    if show == "density and line" and trained[data].prior.dim == 1:
        right.plot(*line_of(trained[data]).T, color=POSTERIOR, linewidth=1)
    right.set_title(f"{show}: {score.mean():.2f} nats")
    for ax in (left, right):
        ax.set(
            xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), xticks=[-2, 0, 2], yticks=[-2, 0, 2], aspect="equal"
        )
    return fig


fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.6), sharey=True)
for ax, (name, model) in zip(axes, trained.items(), strict=True):
    draw_density(ax, pictures[name][1])
    if model.prior.dim == 1:
        ax.plot(*line_of(model).T, color=POSTERIOR, linewidth=0.8)
        ax.plot(*line_of(model)[[0, -1]].T, "o", color=POSTERIOR, ms=4)
    ax.set_title(f"{name}, {model.prior.dim} latent", fontsize=9)
show_widget(
    slider_figure(
        draw_sets,
        alt=(
            "Left, new data of the chosen set. Right, the density its network has learned, or"
            " samples of it."
        ),
        data=list(sets),
        show=["density", "density and line", "samples"],
    ),
    fig,
    alt=(
        "Three densities over the plane: two moons with a bridge between them, a ring whose line"
        " meets its other end, and three blades of a pinwheel."
    ),
    caption="One estimate, three shapes. Orange: f(z) for z from -3 to 3, with its ends.",
)
plot.on_request(
    "In nats",
    f"log p of {len(new_moons):,} new points, with standard errors: "
    + ", ".join(f"{name} {mean_and_error(score, '.2f')}" for name, (*_, score) in pictures.items())
    + ".",
)
with torch.no_grad():
    meeting = torch.pdist(trained["ring"].decoder(torch.tensor([[-2.0], [2.0]])).mean).item()
    turn = torch.linspace(0, 2 * math.pi, 73)[:-1]
    along = exact_log_p(trained["ring"], torch.stack([turn.cos(), turn.sin()], 1)).exp()
plot.measured(
    f"from f(-2) to f(2) of the ring it is {meeting:.2f} ($\\sigma$ is"
    f" {trained['ring'].decoder.log_sigma.exp():.2f}). Along the ring the density stays between"
    f" {along.min():.2f} and {along.max():.2f}, where the data's is"
    f" {1 / (2 * math.pi * math.sqrt(2 * math.pi) * 0.1):.2f} (one training)"
)

# %% [markdown]
# The ring's ends meet. Each is a tail of the prior, too thin to fill its stretch alone, so they
# overlap: two distant codes for one place. The line could not close, its density could.

# %% [markdown]
# ## Train it on digits
# The same lines, a Bernoulli decoder, 784 pixels. **Predict.** It starts near $-543$ nats, a coin
# for each pixel. What will the first samples look like? And after some hundred steps, will all ten
# classes be there?
#
# Stop it whenever you like (the square button): you keep what you have.

# %%
torch.manual_seed(0)
mine = DensityNetwork(latent_dim=2, hidden=200)


def objective(x: Tensor, beta: float) -> tuple[Tensor, dict[str, Tensor]]:
    value = log_likelihood(x, mine.prior, mine.decoder, S=300)
    return value, {"log_p": value}


settings = {"batch_size": 200, "lr": 3e-3, "anneal": 5, "device": DEVICE}
epochs = 80_000 // len(train)
fit(mine, train, objective=objective, epochs=epochs, live=plot.Live(), **settings)
mine = mine.cpu()

# %% [markdown]
# The first samples look alike, an average digit: no code has a speciality yet. Then they part. Are
# all ten classes there? Draw some and see.
#
# ## Exercise 3: sample it (3 minutes)
# To say how probable an $\mathbf{x}$ is takes many codes. To make one takes two draws, cause before
# effect. Return zeros and ones, not their probabilities.


# %% tags=["exercise"]
def sample(n: int, prior, decoder) -> Tensor:
    """n images drawn from the model, zeros and ones.  Returns: (n, D)."""
    ### BEGIN SOLUTION
    z = prior.sample((n,))
    return decoder(z).sample()
    ### END SOLUTION


# %%
sample = check.sample(sample)
# check.sample.hint()

# %%
torch.manual_seed(0)
with torch.no_grad():
    drawn = {
        "test digits": ten,
        "your samples": sample(10, mine.prior, mine.decoder),
        "your means": mine.decoder(mine.prior.sample((10,))).mean,
        "its samples": sample(10, network.prior, network.decoder),
        "its means": network.decoder(network.prior.sample((10,))).mean,
    }

# %% jupyter={"source_hidden": true}
few = test[:300].tensor()
torch.manual_seed(0)
mine_log_p = log_likelihood_from_prior(mine, few, 20_000)
frequency = train[:3000].tensor().mean(0).clamp(1e-3, 1 - 1e-3)
by_frequency = Bernoulli(frequency.logit()).log_prob(few)  # (300,): what needs no code at all
known, idle, classes = train[:2000], {}, {}
with torch.no_grad():
    codes = network.prior.sample((1000,))
    for name, model in (("yours", mine), ("shipped", network)):
        p = model.decoder(codes)
        used = (p.cross_log_prob(few) > by_frequency[:, None]).any(0)
        idle[name] = intervals.of_share((~used).sum(), len(used), "codes", comparisons=2)
        nearest = torch.cdist(p.mean[used], known.tensor()).argmin(1)
        classes[name] = torch.bincount(known.y[nearest], minlength=10) / used.sum().clamp(min=1)
        if name == "yours" and not used.all():
            torch.manual_seed(0)
            untrained = DensityNetwork(latent_dim=2, hidden=200).decoder(codes)
            contrast = untrained.logits.std().item(), p.logits[~used].std().item()
plot.show(
    plot.images([*drawn.values()], titles=[*drawn]),
    alt=(
        "Five rows of ten: test digits; samples and means of the network just trained, blurred"
        " digits and some noise; samples and means of the shipped network, mostly clear digits."
    ),
    caption=(
        "Your short training has learned what digits are, not yet all of it; the shipped network"
        " (last two rows) draws clear ones."
    ),
)
reached = intervals.of_mean(mine_log_p, "digits")
plot.on_request(
    "In nats",
    f"Yours reaches {reached:.1f} nats (S = 20,000; {reached.basis}; one training). The shipped"
    f" network has had {recipes.card('density_network_2d')['epochs_trained']} epochs on 50,000"
    " digits with S = 1,000, and has a wider decoder.",
)

# %% [markdown]
# Some samples may be noise, white on black. Their codes explain no digit better than others do, so
# they have no responsibility and no gradient of their own. **Predict.** Do they show what the
# decoder began with?


# %% jupyter={"source_hidden": true}
def mix(name: str) -> str:
    return ", ".join(f"{label}: {share:.0%}" for label, share in enumerate(classes[name]))


plot.markdown(
    f"**Measured.** Of 1,000 codes from the prior, {idle['yours']:.1%} of yours and"
    f" {idle['shipped']:.1%} of the shipped network's explain none of {len(few)} test digits"
    f" better than the mere frequencies of the pixels do ({idle['yours'].basis}; one training"
    " each). "
    + (
        f"The logits of yours that do not have a standard deviation of {contrast[1]:.1f};"
        f" before training it was {contrast[0]:.1f}.\n\n"
        if idle["yours"].value
        else "\n\n"
    )
    + f"Classes of the other codes' means, by the nearest of {len(known):,} training digits (in"
    f" pixels, so roughly): yours {mix('yours')}; the shipped network's {mix('shipped')}."
)

# %% [markdown]
# The idle codes do not show the start. All codes share the decoder's parameters, and each step for
# the others carries the idle ones along: what they show is an accident, at high contrast. They cost
# something, too: they take prior probability that no digit uses.

# %% [markdown]
# ## What a well-trained one knows
# The shipped `density_network_2d` has a decoder built like that of `vae_2d` from [notebook
# 07](07_vae.ipynb), and has seen the same digits; the training differs. Walk through its latent
# plane. There is no encoder to place the test digits behind the pad: each stands where the
# responsibilities of 5,000 codes put it.
#
# Three things to try: find all ten classes; find the class with the most room, and guess why; look
# for blends that nobody would write.

# %%
fig = latent_grid("density_network_2d", test[:10], n=12)
fig.set_size_inches(5.2, 5.4)
show_widget(
    latent_traversal("density_network_2d", test),
    fig,
    alt=(
        "A 12 by 12 table of decoded digits over the two latent dimensions, in equal"
        " steps of prior probability; digits change into one another gradually."
    ),
    caption=f"Hardly a place is wasted: {idle['shipped'].value:.1%} of codes are idle.",
)

# %% [markdown]
# **How good is it?** Estimate $\log p(\mathbf{x})$ of held-out digits, for it and for `vae_2d`, in
# the same way: codes from the prior, the same digits. **Predict.** The VAE was trained on a lower
# bound, this one on (nearly) the thing itself. Who wins? And how many codes does the estimate need
# before it stops climbing?

# %%
vae2 = recipes.load("vae_2d")
sizes = [10, 100, 1000, 10_000, 50_000]
scores = {name: [] for name in ("density_network_2d", "vae_2d")}
for name, model in (("density_network_2d", network), ("vae_2d", vae2)):
    torch.manual_seed(0)
    for S in progress(sizes, desc=f"{name:18}"):
        scores[name].append(log_likelihood_from_prior(model, few, S))  # (300,)

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.7))
for name, style, colour in (("density_network_2d", "o-", MODEL), ("vae_2d", "s--", POSTERIOR)):
    ax.plot(sizes, [value.mean() for value in scores[name]], style, color=colour, ms=5, label=name)
ax.set(xscale="log", xlabel="codes S from the prior", ylabel="log p(x), nats per digit")
ax.set_xticks(sizes, [f"{S:,}" for S in sizes])
ax.minorticks_off()
ax.legend(loc="lower right")
*_, at_1000, at_10_000, at_end = scores["density_network_2d"]
better, last_gain, at_training = (
    intervals.of_mean(at_end - other, "digits", comparisons=3)
    for other in (scores["vae_2d"][-1], at_10_000, at_1000)
)
plot.show(
    fig,
    alt=(
        "Estimated log p(x) against S for both models: steep climbs up to S = 1,000, then nearly"
        " flat."
    ),
    caption=(
        "In two dimensions the estimate is nearly there at 10,000 codes: from there to 50,000 it"
        f" climbs another {last_gain.value:.2f} nats."
    ),
)
plot.measured(
    f"the density network's log p(x) less the VAE's is {better.said('+.1f', 'nats')}; from 10,000"
    f" to 50,000 codes its estimate climbs {last_gain:.2f} nats, and with 1,000, as in its"
    f" training, it is {at_training:.1f} short ({better.basis}, paired; one training each)"
)
cards = {name: recipes.card(name)["results"] for name in scores}
plot.markdown(
    (
        "| same decoder, trained as | log p(x) here, from the prior | on all test digits, by the"
        " recipe |"
    ),
    "|:--|--:|:--|",
    *(
        f"| {name} | {mean_and_error(scores[name][-1])} | {-cards[name]['test_nll']:.2f} ±"
        f" {cards[name]['test_nll_se']:.2f} (S = {cards[name]['S']:,} from the"
        f" {'encoder' if 'vae' in name else 'prior'}) |"
        for name in scores
    ),
    "",
    (
        f"*Nats per digit: here {len(few)} test digits and S = {sizes[-1]:,}. Standard errors over"
        " digits; what an estimate misses of a digit is not in them.*"
    ),
)
untrusted = {name: f"{card['unreliable']:.0%}" for name, card in cards.items()}
card = cards["density_network_2d"]
plot.markdown(
    "**For how many digits is the last column not to be trusted?** Where Pareto k, which says how"
    " heavy the tail of the weights is, exceeds 0.7, a few codes decide, and"
    " $\\log p(\\mathbf{x})$ may be higher by an unknown amount. That holds for"
    f" {untrusted['density_network_2d']} of {card['reliability_n']:,} test digits with the density"
    f" network, where {card['ess']:.0f} of the {card['S']:,} codes carry the estimate on average,"
    f" and for {untrusted['vae_2d']} with `vae_2d`'s encoder. In two dimensions a sum over a grid"
    " needs no such trust: [notebook 07](07_vae.ipynb) takes it for `vae_2d`."
)

# %% [markdown]
# With two latent dimensions the older model is the better one of these two. A thousand codes nearly
# cover the plane, so its objective lies within a few nats of the likelihood, while the VAE's
# decoder must please an encoder that can answer with upright ellipses only (notebook 07 measures
# that gap). Here the VAE's bound isn't worth its price; it pays where codes can no longer cover the
# space. When is that?

# %% [markdown]
# ## It scales badly: where the truth is known
# Two dimensions went well. Back to $\mathbf{x} = \mathbf{z} + \sigma\boldsymbol\epsilon$, where
# $\log p(\mathbf{x})$ is exact in any dimension. The cost of the estimate is the number of codes.
# **Predict.** Keep S = 10,000 and raise $d$ from 1 to 50. How many of the codes still matter at $d
# = 10$? How many nats is the estimate short at $d = 40$?

# %%
DIMS = (1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 50)
SIZES = (10, 100, 1000, 10_000)
# For each (d, S): how far below the exact log p(x), (50,); effective codes; shares.
short, ess, shares = {}, {}, {}
for d in progress(DIMS, desc="dimensions"):
    torch.manual_seed(d)
    model = linear_gaussian(d)
    x = model.sample(50)
    log_w, exact = log_weights(model, x, SIZES[-1]), model.log_prob(x).detach()
    for S in SIZES:
        short[d, S] = log_mean_exp(log_w[:, :S], 1) - exact
        ess[d, S] = effective_sample_size(log_w[:, :S], 1).median().item()
        shares[d, S] = torch.softmax(log_w[0, :S], 0).topk(10).values


# %% jupyter={"source_hidden": true}
def draw_scaling(d: int, S: int) -> plt.Figure:
    fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.7))
    axes[0].bar(range(1, 11), 100 * shares[d, S], color=POSTERIOR)
    axes[0].set(
        ylim=(0, 100), xlabel="ten best codes", ylabel="share of the sum, %", xticks=[1, 5, 10]
    )
    axes[0].set_title(f"d = {d}, S = {S:,}", fontsize=9)
    for size in SIZES:
        look = {"color": MODEL, "linewidth": 2.2} if size == S else {"color": NOISE, "linewidth": 1}
        axes[1].plot(DIMS, [ess[k, size] for k in DIMS], **look)
        axes[2].plot(DIMS, [short[k, size].mean() for k in DIMS], **look)
        axes[2].text(
            51,
            short[50, size].mean(),
            f"S = {size:,}",
            fontsize=8,
            va="center",
            color=look["color"],
        )
    axes[1].plot(d, ess[d, S], "o", color=MODEL)
    axes[2].plot(d, short[d, S].mean(), "o", color=MODEL)
    axes[1].set(yscale="log", ylim=(0.8, 2e4), xlabel="dimension d of z")
    axes[1].set_title(f"effective codes: {ess[d, S]:,.1f}", fontsize=9)
    axes[2].set(xlabel="dimension d of z", ylim=(-130, 5), xlim=(-2, 82), xticks=[0, 20, 40])
    axes[2].set_title(f"error, nats: {short[d, S].mean():+.2f}", fontsize=9)
    return fig


show_widget(
    slider_figure(
        draw_scaling,
        alt=(
            "Left, the shares of the ten best codes in the sum. Middle, the effective number of"
            " codes against the dimension, one line for each S. Right, the error of the estimate"
            " against the dimension."
        ),
        d=list(DIMS),
        S=among("S", SIZES, 10_000),
    ),
    draw_scaling(10, 10_000),
    alt=(
        "At d = 10 and S = 10,000 a few codes hold most of the sum; the effective number falls from"
        " thousands to one as d grows; the error grows with d, and more codes only delay it."
    ),
    caption=(
        f"Of 10,000 codes {ess[2, 10_000]:,.0f} are effective at d = 2, {ess[20, 10_000]:.1f} at"
        " d = 20: more codes only delay the end."
    ),
)
at_40, cost = (
    intervals.of_mean(values, "points x", comparisons=2)
    for values in (-short[40, 10_000], short[40, 10_000] - short[40, 10])
)
plot.measured(
    f"at d = 10, {ess[10, 10_000]:.1f} of 10,000 codes are effective (median over {at_40.n} x); at"
    f" d = 40 the estimate is short by {at_40:.0f} nats, and a thousand times fewer codes cost"
    f" {cost:.0f} more ({at_40.basis})"
)

# %% [markdown]
# At one effective code the estimate is no average any more: it is the best of S tries. How many
# codes would it take? Theory has an answer (Chatterjee & Diaconis 2018): about
# $\exp(\mathrm{KL}[p(\mathbf{z}|\mathbf{x})\,\|\,p_\lambda(\mathbf{z})])$. Read aloud: $\mathbf{x}$
# tells so many nats about its code, and blind guessing pays for each with a factor of $e$. Here
# each dimension tells $\frac12 \log(1 + 1/\sigma^2)$ nats.
#
# Measure it: the S at which the estimate is one nat short on average, for $d$ up to 12, and a
# straight line through its logarithm. **Predict** what the line says at $d = 40$.

# %% jupyter={"source_hidden": true}
FIT_DIMS = (2, 4, 6, 8, 10, 12)
grid_S = 2 ** torch.arange(0, 16)  # 1 to 32,768
needed = {}  # for each d: 16 estimates of log S, each from 8 x's with codes of their own
for d in progress(FIT_DIMS, desc="codes for one nat"):
    torch.manual_seed(d)
    model, shortfall = linear_gaussian(d), torch.empty(16, len(grid_S))
    for group in shortfall:
        x = model.sample(8)
        log_w = log_weights(model, x, int(grid_S[-1]), rows=4000)
        log_w = log_w - model.log_prob(x).detach()[:, None]
        total = torch.logcumsumexp(log_w, 1)[:, grid_S - 1]
        group[:] = (grid_S.log() - total).mean(0)
    needed[d] = shortfall


def codes_for_one_nat(shortfall: Tensor) -> float:
    """log S where the mean shortfall, (sizes,), falls through 1, interpolated linearly."""
    i = int((shortfall > 1).nonzero().max())
    if i + 1 == len(shortfall):
        return math.nan
    fraction = (shortfall[i] - 1) / (shortfall[i] - shortfall[i + 1])
    return (grid_S[i].log() + fraction * math.log(2)).item()


log_S = np.array([codes_for_one_nat(needed[d].mean(0)) for d in FIT_DIMS])
# Four independent repetitions: a line through each fourth of the estimates.
fourths = [[codes_for_one_nat(part.mean(0)) for part in needed[d].split(4)] for d in FIT_DIMS]
lines = np.polyfit(FIT_DIMS, np.array(fourths), 1).T  # (4, 2), slopes and offsets
wide = np.arange(0, 45, 4)
band = [intervals.of_mean(lines @ [d, 1] / math.log(10), "repetitions") for d in wide]
slope, power_40 = (  # of e, for each dimension; of ten, at 40
    intervals.of_mean(values, "repetitions", comparisons=2)
    for values in (lines[:, 0], lines @ [40, 1] / math.log(10))
)
factor, factor_low, factor_high = (math.exp(s) for s in (slope.value, slope.low, slope.high))

# %% jupyter={"source_hidden": true}
per_dim = 0.5 * math.log(1 + SIGMA**-2)
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.9))
low, middle, high = zip(*((at.low, at.value, at.high) for at in band), strict=True)
ax.fill_between(wide, low, high, color=MODEL, alpha=0.2, linewidth=0)
ax.plot(wide, middle, color=MODEL, label="straight line through the measured")
ax.plot(
    wide, per_dim * wide / math.log(10), "--", color=DATA, linewidth=1.2, label="exp(KL), theory"
)
ax.plot(FIT_DIMS, log_S / math.log(10), "o", color=POSTERIOR, label="measured")
ax.set(
    xlabel="dimension d of z", ylabel="codes for an error of 1 nat", xlim=(0, 44), ylim=(-0.5, 17)
)
ax.set_yticks([0, 3, 6, 9, 12, 15], ["1", "$10^3$", "$10^6$", "$10^9$", "$10^{12}$", "$10^{15}$"])
ax.legend(loc="upper left")
plot.show(
    fig,
    alt=(
        "Codes needed for an error of one nat against the dimension, on a logarithmic axis: six"
        " measured points lie on a straight line, continued to d = 44, beside the theory's."
    ),
    caption=(
        f"Every dimension multiplies the codes by {factor:.2f}; theory says"
        f" {math.exp(per_dim):.2f}."
    ),
)
plot.measured(
    f"every dimension multiplies the codes by {factor:.2f} ({factor_low:.2f} to {factor_high:.2f})."
    f" If the line stays straight, d = 40 takes 10 to the power {power_40:.1f} ({slope.basis}, each"
    " of 32 points x for every d)"
)

# %% [markdown]
# ## It scales badly: digits
# Perhaps a *trained* network would arrange itself with the few codes it gets? Give density networks
# 2, 5 and 20 latent dimensions and a fixed budget, S = 300 codes and some hundred steps, and VAEs
# with decoders of the same build as many steps; two trainings of each, from different seeds.
# **Predict.** For which of the two do more dimensions help?

# %%
widths, few_digits = (2, 5, 20), train[:6000]
budget = {"batch_size": 100, "lr": 3e-3, "anneal": 3}
quietly = {"progress": False, "device": DEVICE}


def trained_on_few(kind: str, d: int, seed: int):
    torch.manual_seed(seed)
    vae = kind == "VAE"
    model = VAE(d, hidden=100) if vae else DensityNetwork(d, hidden=100, samples=300)
    fit(model, few_digits, epochs=30_000 // len(few_digits), **budget, **quietly)
    return model.cpu()


# %%
# (kind, d) -> log p(x) of 100 test digits by both trainings, (2, 100); effective codes;
# the gain of 30,000 codes over 3,000
grown = {}
trainings = [(kind, d) for kind in ("density network", "VAE") for d in widths]
for kind, d in progress(trainings, desc="trainings"):
    scored, counts, gains = [], [], []
    for seed in (0, 1):
        model = trained_on_few(kind, d, seed)
        log_w = log_weights(model, few[:100], 30_000)
        by_prior = log_mean_exp(log_w, 1)
        vae = kind == "VAE"
        own = evaluate.log_likelihood(model, few[:100], 200) if vae else by_prior
        scored.append(own)
        counts.append(effective_sample_size(log_w, 1).median().item())
        gains.append((by_prior - log_mean_exp(log_w[:, :3000], 1)).mean().item())
    grown[kind, d] = torch.stack(scored), counts, gains

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
for kind, style, colour in (("density network", "o-", MODEL), ("VAE", "s--", POSTERIOR)):
    values = [grown[kind, d][0].mean(1) for d in widths]
    for value, d in zip(values, widths, strict=True):
        left.plot([d, d], value, style[0], color=colour, ms=4, alpha=0.6)
    left.plot(widths, [value.mean() for value in values], style[1:], color=colour)
    left.plot([], [], style, color=colour, ms=4, label=kind)
    right.plot(
        widths, [np.mean(grown[kind, d][1]) for d in widths], style, color=colour, ms=5, label=kind
    )
left.set(xlabel="latent dimensions", ylabel="log p(x), nats per digit", xticks=widths)
right.set(
    xlabel="latent dimensions", ylabel="effective of 30,000 codes", yscale="log", xticks=widths
)
left.legend(fontsize=8, loc="lower right")


def gained(kind: str, a: int, b: int) -> str:
    more = grown[kind, b][0].mean(0) - grown[kind, a][0].mean(0)
    return intervals.of_mean(more, "digits", comparisons=5).said("+.1f")


apart = max((value[0].mean(1)[0] - value[0].mean(1)[1]).abs().item() for value in grown.values())
behind = (grown["VAE", 20][0] - grown["density network", 20][0]).mean(0)
behind = intervals.of_mean(behind, "digits", comparisons=5)
plot.show(
    fig,
    alt=(
        "Left, log p(x) of test digits against the number of latent dimensions, a mark for each"
        " training: both models rise from 2 to 5, then the VAE goes on and the density network does"
        " not. Right, effective codes of the prior fall towards one for both."
    ),
    caption="With the same budget the VAE gains from 20 dimensions, the density network hardly.",
)
plot.measured(
    f"from 2 to 5 dimensions the density network gains {gained('density network', 2, 5)} nats,"
    f" from 5 to 20 {gained('density network', 5, 20)}; the VAE {gained('VAE', 2, 5)} and"
    f" {gained('VAE', 5, 20)} ({behind.basis}, paired; means of two trainings, at most"
    f" {apart:.1f} nats apart)"
)
_, counts, gains = grown["density network", 20]
few_effective, still = np.mean(counts), np.mean(gains)
plot.markdown(
    "Is the density network as bad as its number, or is the number bad? Of 30,000 codes"
    f" {few_effective:.1f} are effective at 20 dimensions, so the estimate is too low: going from"
    f" 3,000 codes to 30,000 raised it by {still:.1f} nats"
    f" ({np.mean(grown['density network', 2][2]):.1f} at 2 dimensions). To the VAE, estimated with"
    f" 200 codes of its encoder, it lacks {behind:.1f}."
)

# %% [markdown]
# So whether 20 dimensions are better for the density network than 5, these numbers can't tell: what
# the estimate misses is as large as the difference. That is half of the trouble. The other half is
# larger: with 20 it stays behind a VAE, since what 300 blind codes do not find, the decoder can't
# be taught to use.

# %% [markdown]
# ## Let something look at $\mathbf{x}$ first
# Blind codes are the problem, so draw them where they are worth it. Take any
# $q(\mathbf{z}|\mathbf{x})$ that is nowhere zero, and correct for the choice:
#
# $$\log p(\mathbf{x}) \approx \log \frac1S \sum_{s=1}^S
#   \frac{p_\theta(\mathbf{x}|\mathbf{z}_s)\,p_\lambda(\mathbf{z}_s)}{q_\phi(\mathbf{z}_s|\mathbf{x})},
#   \qquad \mathbf{z}_s \sim q_\phi(\mathbf{z}|\mathbf{x}).$$
#
# Read aloud: look where it pays, and divide by how eagerly you looked there. The fraction is the
# weight $w_s$ now; with $q = p_\lambda$ it is the old one. If $q$ is the posterior, every weight
# equals $p(\mathbf{x})$, and one code is enough. The VAE trains such a $q$: its encoder.
#
# Take the *decoders* of two trained VAEs as they are, and estimate $\log p(\mathbf{x})$ of the same
# digits in both ways. **Predict.** With 40 latent dimensions, how far are 50,000 blind codes from
# 1,000 codes of the encoder? And with 2, does the encoder win, too?

# %% tags=["claim-12"]
x = few[:60]
proposals = {}  # (model, proposal) -> log-weights, (S, 60)
torch.manual_seed(0)
for name, model in progress((("vae_2d", vae2), ("vae_40d", vae40)), desc="models"):
    proposals[name, "prior"] = log_weights(model, x, 50_000).T
    with torch.no_grad():  # 125 times 8 codes: little memory
        parts = [model.log_weight(x, (8,)) for _ in range(125)]
    proposals[name, "encoder"] = torch.cat(parts)
final = {key: log_mean_exp(log_w, 0) for key, log_w in proposals.items()}
counted = {key: effective_sample_size(log_w, 0) for key, log_w in proposals.items()}
apart = final["vae_40d", "encoder"] - final["vae_40d", "prior"]
missing = intervals.of_mean(apart, "digits", comparisons=2)

# %% jupyter={"source_hidden": true}
measured["claim-12"] = (
    f"where log p(x) is exact ($\\sigma$ = {SIGMA}), every latent dimension multiplies the codes"
    f" needed by {factor:.2f} ({factor_low:.2f} to {factor_high:.2f}); continued to 40, that is"
    f" $10^{{{power_40.value:.0f}}}$ (10 to the power {power_40.low:.1f} to {power_40.high:.1f};"
    f" {power_40.basis}). On digits, vae_40d's decoder with 50,000 blind codes has"
    f" {counted['vae_40d', 'prior'].median():.1f} effective ones and falls {missing:.0f} nats short"
    f" of 1,000 codes of its encoder, {counted['vae_40d', 'encoder'].median():.0f} of them"
    f" effective (medians; {missing.basis}, one training)"
)
plot.measured(measured["claim-12"])

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
for ax, name in zip(axes, ("vae_2d", "vae_40d"), strict=True):
    for proposal, style, colour in (("prior", "o-", PRIOR), ("encoder", "s--", POSTERIOR)):
        log_w = proposals[name, proposal]
        at = [S for S in (1, 10, 100, 1000, 10_000, 50_000) if S <= len(log_w)]
        groups = [
            log_mean_exp(log_w[: len(log_w) // S * S].unflatten(0, (-1, S))[:200], 1).mean(1)
            for S in at
        ]
        ax.errorbar(
            at,
            [g.mean() for g in groups],
            [g.std() if len(g) > 1 else 0 for g in groups],
            fmt=style,
            color=colour,
            ms=4,
            capsize=2,
            label=f"codes from the {proposal}",
        )
    top = max(final[name, proposal].mean().item() for proposal in ("prior", "encoder"))
    ax.set(
        xscale="log",
        xlabel="codes S",
        title=f"decoder of {name}",
        ylim=(top - (45 if name == "vae_2d" else 350), top + 8),
    )
axes[0].set_ylabel("log p(x) estimated, nats")
axes[1].legend(fontsize=8, loc="lower right")
two = final["vae_2d", "encoder"] - final["vae_2d", "prior"]
lead = intervals.of_mean(two, "digits", comparisons=2)
plot.show(
    fig,
    alt=(
        "Estimated log p(x) against S for codes from the prior and from the encoder, two panels."
        " With 40 latent dimensions the encoder's line is flat and far above the prior's, which"
        " climbs all the way. With 2 the prior's line catches up; estimates from fewest codes lie"
        " below the frame."
    ),
    caption=(
        f"In 40 dimensions the encoder's codes are {missing.value:.0f} nats ahead at the end; in"
        " two blind codes catch up. Bars: scatter over repeats."
    ),
)
plot.measured(
    "in two dimensions the encoder's 1,000 codes less 50,000 blind ones:"
    f" {lead.said('+.1f', 'nats')} ({lead.basis}), median {two.median():.2f}. The encoder falls"
    f" more than a nat short for {(two < -1).sum()} digits, by {-two.min():.0f} for the worst;"
    f" blind codes for {(two > 1).sum()}, by {two.max():.0f}"
)

# %% [markdown]
# In 40 dimensions the encoder turns a hopeless estimate into a good one: less bias, less scatter,
# at a fiftieth of the codes. In two dimensions it saves codes for most digits and fails badly for a
# few: where it looks in the wrong place, or too narrowly, it misses the posterior and does not
# know. Many blind codes cover the plane, whatever the digit. A proposal helps as much as it is
# right.
#
# And if the encoder can look, why estimate at all? Drop the log of the mean for a mean of logs,
# train encoder and decoder together, and one code is enough: that is the bound of [notebook
# 07](07_vae.ipynb).

# %% [markdown]
# ## It needs a density
# All of this asked the decoder "how probable is $\mathbf{x}$ under this code?" What if the decoder
# has no noise, $\mathbf{x} = f(\mathbf{z})$, as a sharp image generator would like? Take the two
# moons' line and make it thinner. **Predict.** $\sigma$ goes from 0.3 to 0.01. Where is the
# likelihood of new data highest, and how does it fall on either side?

# %% tags=["claim-13"]
nodes = torch.linspace(-6, 6, 8001)
with torch.no_grad():
    # Distances, (200, 8001).
    to_line = torch.cdist(new_moons[:200], line.decoder(nodes[:, None]).mean)
    log_prior = line.prior.log_prob(nodes[:, None]) + (nodes[1] - nodes[0]).log()


def thin(sigma: float) -> Tensor:
    """log p(x) of 200 new points if the line's noise were sigma, exactly: (200,)."""
    log_lik = -((to_line / sigma) ** 2) / 2 - math.log(2 * math.pi * sigma**2)
    return torch.logsumexp(log_lik + log_prior, 1)


sigmas = [0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.015, 0.01]
thinned = {sigma: thin(sigma) for sigma in sigmas}

# %% jupyter={"source_hidden": true}
best_sigma = max(sigmas, key=lambda sigma: thinned[sigma].mean())
thinnest = intervals.of_mean(thinned[0.01], "points", comparisons=2)
dear = intervals.of_mean(thinned[best_sigma] - thinned[0.01], "points", comparisons=2)
measured["claim-13"] = (
    f"noise of {best_sigma} gives 200 new points {thinned[best_sigma].mean():.2f} nats each, noise"
    f" of 0.01 {thinnest:.0f}, {dear:.0f} less ({dear.basis}; one training); without noise there is"
    " no density, and nothing to maximise"
)
plot.measured(measured["claim-13"])


# %% jupyter={"source_hidden": true}
def draw_thin(sigma: float) -> plt.Figure:
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8), width_ratios=(1, 1.25))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with torch.no_grad():
            mean = line.decoder(line.prior.sample((800,))).mean
        drawn = mean + sigma * torch.randn_like(mean)
    left.plot(*new_moons[:200].T, ".", color=DATA, ms=3)
    left.plot(*drawn.T, ".", color=MODEL, ms=2)
    left.set(xlim=(-1.6, 2.6), ylim=(-1.2, 1.6), xticks=[], yticks=[], aspect="equal")
    left.set_title(f"new points, and samples at sigma = {sigma}", fontsize=9)
    right.plot(sigmas, [thinned[s].mean() for s in sigmas], "-", color=MODEL)
    right.plot(sigma, thinned[sigma].mean(), "o", color=MODEL)
    right.set(
        xscale="log",
        xlabel="noise sigma",
        ylabel="log p(x) of new points, nats",
        yscale="symlog",
        ylim=(-400, 0),
    )
    right.set_xticks([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"])
    right.set_yticks([0, -1, -10, -100], ["0", "-1", "-10", "-100"])
    right.minorticks_off()
    right.set_title(
        f"{thinned[sigma].mean():.2f} nats; worst point {thinned[sigma].min():.0f}", fontsize=9
    )
    return fig


show_widget(
    slider_figure(
        draw_thin,
        alt=(
            "Left, new points of two moons and samples of the line with noise of the chosen width."
            " Right, the mean log p(x) of new points against the noise: highest near 0.1, falling"
            " ever more steeply to the left."
        ),
        sigma=sigmas,
    ),
    draw_thin(0.02),
    alt=(
        "At sigma = 0.02 samples lie on a thin line beside most new points, and the likelihood has"
        " collapsed. It is highest near 0.1 and falls to both sides, to the left ever more steeply."
    ),
    caption=(
        "Samples look neater the thinner the line, and new points get less probability:"
        f" {thinned[0.02].mean():.1f} nats at 0.02. At 0 almost every x has density 0."
    ),
)

# %% [markdown]
# Too much noise costs little: its price grows like $\log\sigma$. The samples at $\sigma = 0.02$ are
# no worse to look at, but a point off the line by $a$ costs $a^2 / 2\sigma^2$ nats, without limit.
# A decoder without noise is an **implicit** model: one can sample it and can't ask it anything.
# GANs (notebook 04) train such models, by another question.

# %% [markdown]
# ## Break it: too few codes
# Digits have 2 latent dimensions again; what happens with S = 1? The log of a mean of *one* term is
# that term, so you maximise $\mathbb{E}_{p_\lambda(\mathbf{z})}[\log
# p_\theta(\mathbf{x}|\mathbf{z})]$. **Predict.** Which decoder does that best? And how many codes
# does it take until samples differ?

# %%
starved = {}
for S in progress((1, 3, 10, 100, 1000), desc="trainings"):
    torch.manual_seed(0)
    model = DensityNetwork(2, hidden=100, samples=S)
    fit(model, few_digits, epochs=24_000 // len(few_digits), **budget, **quietly)
    model = model.cpu()
    starved[S] = model, log_likelihood_from_prior(model, few, 10_000)


# %% jupyter={"source_hidden": true}
def draw_starved(S: int) -> plt.Figure:
    model, score = starved[S]
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.3), width_ratios=(1.5, 1))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plot.draw_images(
            left, model.decoder(model.prior.sample((24,))).mean, 8, f"S = {S}: means of samples"
        )
    right.plot(
        list(starved), [value.mean() for _, value in starved.values()], "o-", color=MODEL, ms=4
    )
    right.plot(S, score.mean(), "o", color=POSTERIOR, ms=8)
    right.set(
        xscale="log", xlabel="codes S in training", title=f"test log p(x): {score.mean():.1f} nats"
    )
    right.set_xticks(list(starved), list(starved))
    right.minorticks_off()
    return fig


with torch.no_grad():
    torch.manual_seed(0)
    codes = network.prior.sample((10,))
    rows = {f"S = {S}": model.decoder(codes).mean for S, (model, _) in starved.items()}
    means = starved[1][0].decoder(network.prior.sample((1000,))).mean
    far = (means - frequency).abs().mean().item()
    # E[log p(x|z)], what S = 1 maximises: (300,).
    alone = log_weights(starved[1][0], few, 1000).mean(1)
show_widget(
    slider_figure(
        draw_starved,
        alt=(
            "Left, means of 24 samples of a network trained with S codes. Right, its log p(x) on"
            " test digits against S."
        ),
        S=list(starved),
    ),
    plot.images([*rows.values()], titles=[*rows], width=5.5),
    alt=(
        "Five rows of ten sample means. At S = 1 all ten are the same grey blur; with more codes"
        " digits of different classes appear."
    ),
    caption="With one code all samples are one picture; it takes rivals for them to differ.",
)
costs = {
    S: intervals.of_mean(starved[1000][1] - score, "digits", comparisons=4)
    for S, (_, score) in starved.items()
    if S < 1000
}
plot.measured(
    f"test log p(x) at S = 1,000 is {starved[1000][1].mean():.0f} nats; it is less by "
    + ", ".join(f"{cost.said('.0f')} at S = {S}" for S, cost in costs.items())
    + f" ({costs[1].basis}, paired; one training each, equal numbers of steps). At S = 1 a pixel is"
    f" within {far:.2f} of its frequency in the training data on average. What S = 1 maximises,"
    f" E[log p(x|z)], has come to {alone.mean():.0f}; one picture for all codes, the frequencies,"
    f" has {by_frequency.mean():.0f}"
)

# %% [markdown]
# **Why.** With one code nobody competes: every code is fully responsible for every digit it meets,
# and the best answer to all digits at once is their mean: no decoder's $\mathbb{E}[\log
# p_\theta(\mathbf{x}|\mathbf{z})]$ can beat that one picture on the data it was made of. (The test
# $\log p(\mathbf{x})$ is a little higher, since codes that differ by accident mix.) It takes rivals
# for a code to be spared the digits that others explain better; responsibilities are what makes
# codes specialise. The bias of the estimate is not a matter of accounting: with small S you train
# another objective.

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    11: "a density network learns by gradient from sampled z and a log-sum-exp",
    12: "it scales badly with dimension",
    13: "it needs explicit densities",
}
plot.claims_table(claims, measured)

# %% [markdown]
# ## For and against

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
start = time.perf_counter()
network.sample(1000)
to_sample = 1e3 * (time.perf_counter() - start)
start = time.perf_counter()
log_likelihood_from_prior(network, few[:1], 10_000)
to_score = 1e3 * (time.perf_counter() - start)
plot.markdown(
    "| | in numbers, here |",
    "|:--|:--|",
    (
        f"| **for**: it maximises the likelihood itself | {gap:.2f} nats short of the true"
        f" density in 2-D; {better:+.1f} nats against a VAE with a like decoder, 2"
        " latent dimensions |"
    ),
    (
        f"| **for**: sampling is easy | {to_sample / 1000:.2f} ms an image; to score one with"
        f" 10,000 codes, {to_score:.0f} ms |"
    ),
    (
        "| **for**: trained by gradients, no second network | a hundred codes a step do for 2"
        f" latent dimensions: {starved[100][1].mean():.0f} nats at S = 100,"
        f" {starved[1000][1].mean():.0f} at S = 1,000 |"
    ),
    (
        f"| **against**: fails in high dimensions | codes times {factor:.2f} for every"
        f" dimension where the truth is known; {counted['vae_40d', 'prior'].median():.1f} of"
        " 50,000 effective at 40 |"
    ),
    (
        f"| **against**: needs explicit densities | noise of 0.01 in place of {best_sigma} costs"
        f" {dear:.0f} nats, and there is no end below |"
    ),
)

# %% [markdown]
# ## Questions
# <details><summary>Your estimate of log p(x) rises by two nats as you double S. What does that tell you?</summary>
#
# If it is more than scatter: that it is too low still, by more than those two nats perhaps, since
# the bias has one sign. Doubling S until nothing moves is a necessary check, not a proof, since a
# region no code has hit does not announce itself.
# </details>
#
# <details><summary>Why may all x of a batch share their S codes?</summary>
#
# Each x's estimate is what it would be with codes of its own: the codes know nothing of x. Only the
# errors of different x become dependent, so the batch's mean is noisier than with separate codes.
# In exchange each code is decoded once for the batch. </details>
#
# <details><summary>The decoder's noise is small. Does that make the integral easier or harder to sample?</summary>
#
# Harder: a sharp decoder makes the posterior narrow, and fewer blind codes hit it. In the linear
# example each dimension costs half of log(1 + 1/sigma^2) nats; a model gets harder to train as it
# gets better. </details>
#
# <details><summary>Could low-discrepancy points or a grid replace the random codes?</summary>
#
# In a few dimensions, and they do better there: GTM (Bishop et al. 1998) is a density network on a
# fixed grid, trained by EM. In d dimensions a grid of n points an axis has n^d. </details>
#
# <details><summary>With S = 1 the objective is a lower bound on log p(x). So is a VAE's with one code. Why does the VAE
# learn?</summary>
#
# Both are Jensen's inequality for one sample. The gap is KL[q || p(z|x)]: with q = prior it is huge
# unless z says nothing of x, so the bound teaches the decoder to ignore z. The encoder makes the
# gap small where z does say something. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Density Network".
# - D. J. C. MacKay, *Bayesian Neural Networks and Density Networks*, Nuclear Instruments and
#   Methods A,
#   1995. D. J. C. MacKay, M. N. Gibbs, *Density Networks*, 1999.
# - C. M. Bishop, M. Svensén, C. K. I. Williams, *GTM: The Generative Topographic Mapping*, Neural
#   Computation 1998: the same model on a grid of codes, trained by EM.
# - S. Chatterjee, P. Diaconis, *The Sample Size Required in Importance Sampling*, Annals of Applied
#   Probability 2018: exp(KL) samples, no fewer and not many more.
# - Y. Burda, R. Grosse, R. Salakhutdinov, *Importance Weighted Autoencoders*, ICLR 2016: the
#   estimate with an encoder, and as an objective.
#
# Next: [04, can a critic replace the likelihood?](04_gan.ipynb) And
# [07, the variational auto-encoder](07_vae.ipynb), gives the decoder an encoder.
