# ---
# jupyter:
#   dgmcourse:
#     part: The bound
#     question: Can a bound replace the integral?
#     about: from log p(x) to the bound, step by step; write it, train it, measure it, make it
#       collapse
#     slides: Variational Auto-Encoder
#     minutes: 75
#     weights: {vae_2d: VAE, vae_40d: VAE}
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
# # Variational auto-encoder: a bound in place of the integral
# *75 minutes, about 15 of them for three exercises. Slides: "Variational Auto-Encoder". You need
# the Gaussian, the logarithm of a mean, and PyTorch's autograd.*
#
# Each point of the pad below is a code. A network, the decoder, writes the digit it stands for.
# Write a digit yourself, and a second network, the encoder, finds the codes that give it back.
# **Nobody told the two which code belongs to which digit. What did they climb together, and how far
# below the truth did it leave them?** Three things to try, in your browser:
#
# 1. Walk from a 1 to a 0. Which digits lie on the way, and why these?
# 2. Find a place where the decoder is undecided. Are there test digits (the dots) behind it?
# 3. Write a 7 with and without a bar. How far apart do they land?

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
from dgmcourse import plot
from dgmcourse.data.images import mnist
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.latent import latent_grid, latent_traversal

digits = mnist("dynamic")  # training: binarised anew at every visit; test: once
unlabelled = digits.test.x, None  # the classes come later
fig = latent_grid("vae_2d", unlabelled, n=12)
fig.set_size_inches(5.2, 5.4)
show_widget(
    latent_traversal("vae_2d", unlabelled),
    fig,
    alt=(
        "The pad as a picture: 12 by 12 decoded digits over the two latent dimensions, from -1.7 to"
        " 1.7 each. The digits change into one another gradually, with blends at their borders."
    ),
    caption="The decoder's mean over the latent plane: neighbouring codes give similar digits.",
)

# %% [markdown]
# Afterwards you can derive the bound a VAE climbs and say exactly what it leaves out; write it in
# three lines and train with it; measure what a trained VAE knows; and tell when its latent
# variables have died, and why.

# %% [markdown]
# ## The question
# A latent variable model explains a digit $\mathbf{x}$ by a few hidden numbers $\mathbf{z}$: draw
# $\mathbf{z}$ from a prior $p_\lambda(\mathbf{z})$, then $\mathbf{x}$ from
# $p_\theta(\mathbf{x}|\mathbf{z})$. To train it you want
#
# $$\log p(\mathbf{x}) = \log \int p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z}.$$
#
# Read aloud: a digit is probable if probable codes explain it. The trouble is to find them. A
# density network draws codes blindly from the prior, and with 40 latent dimensions practically none
# of them explains *this* digit.
#
# **What if a second network looked at the digit and told you where to search?** That network is the
# encoder. It will cost you the exact integral, and in two dimensions you will know the price
# exactly.

# %% jupyter={"source_hidden": true}
import copy
import itertools
import math

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Normal

from dgmcourse import intervals, recipes
from dgmcourse.check import vae as check
from dgmcourse.data.images import Data
from dgmcourse.densities import Gaussian, Mixture, kl_per_dimension
from dgmcourse.evaluate import (
    active_units,
    effective_sample_size,
    kl_of_each_unit,
    log_likelihood,
    log_mean_exp,
    precision_and_recall,
)
from dgmcourse.measure import linear_reading, sharpness
from dgmcourse.models import VAE
from dgmcourse.plot import (
    DATA,
    MODEL,
    NOISE,
    POSTERIOR,
    PRIOR,
    mean_and_error,
    plt,
    progress,
    standard_error,
)
from dgmcourse.train import best_device, fit
from dgmcourse.widgets.figure import slider_figure

# %%
DEVICE = best_device()
DIGITS = 10_000  # of your own training: a fifth of them, for the sake of time
EPOCHS, RATE = 5, 2e-3
SMALL = {"latent_dim": 10, "hidden": 100}  # where many networks are trained

torch.set_num_threads(1)  # small networks gain little from more threads

test, labels = digits.test[:2000].tensor(), digits.test.y[:2000]
measured = {}  # claim -> what you found, for the table at the end

# %% [markdown]
# ## The picture
# Three boxes. The **encoder** $q_\phi(\mathbf{z}|\mathbf{x})$ guesses which codes explain
# $\mathbf{x}$. The **decoder** $p_\theta(\mathbf{x}|\mathbf{z})$ turns a code into a probability
# for each pixel. The **prior** $p_\lambda(\mathbf{z})$ says which codes are usual. The first two
# are networks with weights $\phi$ and $\theta$. What the prior could learn is called $\lambda$;
# here it is $\mathcal N(\mathbf{0}, \mathbf{I})$ and learns nothing.

# %% jupyter={"source_hidden": true}
plot.show(
    plot.vae_diagram(),
    alt=(
        "A diagram from left to right: a digit x enters the encoder q(z|x), which gives the code z;"
        " z enters the decoder p(x|z), which gives x again. The prior of z points at z from above."
        " Below the encoder stands the regulariser, minus KL of q(z|x) from the prior; below the"
        " decoder the reconstruction, the expectation under q of log p(x|z)."
    ),
    caption=(
        "Two terms score the three boxes. To generate, you need the right half only: z from the"
        " prior, x from the decoder."
    ),
)

# %% [markdown]
# ## From $\log p(\mathbf{x})$ to the bound, step by step
# **Step 1: invite the encoder.** Multiply by
# $q_\phi(\mathbf{z}|\mathbf{x}) / q_\phi(\mathbf{z}|\mathbf{x}) = 1$:
#
# $$\log p(\mathbf{x}) = \log \int q_\phi(\mathbf{z}|\mathbf{x})\,
#   \frac{p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})}{q_\phi(\mathbf{z}|\mathbf{x})}\, d\mathbf{z}
#   = \log\, \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}\!\left[\frac{p_\theta(\mathbf{x}|\mathbf{z})\,
#   p_\lambda(\mathbf{z})}{q_\phi(\mathbf{z}|\mathbf{x})}\right]$$
#
# Nothing has changed but the point of view: you now draw codes where the encoder sends you, and the
# fraction corrects for it.
#
# **Step 2: take the logarithm inside.** The logarithm is concave, so the log of a mean is at least
# the mean of the logs (Jensen):
#
# $$\log p(\mathbf{x}) \;\ge\; \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}\!\left[\log p_\theta(\mathbf{x}|\mathbf{z}) +
#   \log p_\lambda(\mathbf{z}) - \log q_\phi(\mathbf{z}|\mathbf{x})\right] = \mathcal L(\mathbf{x})$$
#
# $\mathcal L$ is the **evidence lower bound**, the ELBO. A mean of logs is kind to gradients: draw
# one code, and you have an unbiased estimate. The log of a mean is not.
#
# **Step 3: sort the terms.** The last two belong together; their expectation is minus a KL
# divergence:
#
# $$\mathcal L(\mathbf{x}) = \underbrace{\mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}[\log p_\theta(\mathbf{x}|\mathbf{z})]}
#   _{\text{reconstruction}} - \underbrace{\mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x})\,\|\,p_\lambda(\mathbf{z})]}
#   _{\text{regularisation}}$$
#
# Read aloud: the first term asks whether the codes you chose bring the digit back. The second
# charges the encoder, in nats, for choosing codes the prior did not expect.
#
# **Step 4: what did Jensen cost?** Put $p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z}) =
# p(\mathbf{z}|\mathbf{x})\, p(\mathbf{x})$ into $\mathcal L$. The evidence does not depend on
# $\mathbf{z}$ and leaves the expectation:
#
# $$\log p(\mathbf{x}) - \mathcal L(\mathbf{x}) = \mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x})\,\|\,p(\mathbf{z}|\mathbf{x})]$$
#
# Read aloud: the bound is short by the encoder's error, no more and no less. Where the encoder is
# the true posterior $p(\mathbf{z}|\mathbf{x}) \propto
# p_\theta(\mathbf{x}|\mathbf{z})\,p_\lambda(\mathbf{z})$, the bound is the evidence.

# %% [markdown]
# ## The gap, exactly
# Equations are cheap. Take a model so small that the integral is a sum over a grid: one latent
# number, one observed number $x = 0$,
#
# $$p_\lambda(z) = \mathcal N(0, 1), \qquad p_\theta(x|z) = \mathcal N(x \mid z + \tfrac12 z^2,\; 0.25^2).$$
#
# Two codes decode to exactly 0: $z = 0$ and $z = -2$. The prior prefers the first. The
# approximation $q(z) = \mathcal N(\mu, \sigma^2)$ has one bump.

# %%
grid = torch.linspace(-12, 12, 6001, dtype=torch.float64)
step = grid[1] - grid[0]
tiny_prior = Normal(*torch.tensor([0.0, 1.0], dtype=torch.float64))
tiny_decoder = Normal(grid + grid**2 / 2, torch.full_like(grid, 0.25))
tiny_log_lik = tiny_decoder.log_prob(grid * 0)  # log p(x = 0 | z)
tiny_log_p = torch.logsumexp(tiny_log_lik + tiny_prior.log_prob(grid), 0) + step.log()
tiny_log_posterior = tiny_log_lik + tiny_prior.log_prob(grid) - tiny_log_p


# %%
def exact(mean: float, sigma: float) -> dict[str, float]:
    """All of the bound's parts for q = N(mean, sigma^2), by quadrature: nats."""
    log_var = 2 * math.log(sigma)
    q = Gaussian(*torch.tensor([[mean], [log_var]], dtype=torch.float64))
    log_q = q.log_prob(grid[:, None])
    weight = log_q.exp() * step
    parts = {
        "reconstruction": weight @ tiny_log_lik,
        "kl to prior": weight @ (log_q - tiny_prior.log_prob(grid)),
        "kl to posterior": weight @ (log_q - tiny_log_posterior),
    }
    parts = {name: value.item() for name, value in parts.items()}
    return parts | {"elbo": parts["reconstruction"] - parts["kl to prior"]}


# %% [markdown]
# **Predict.** You move $q$ from the right bump to the left one. What happens to the bound in
# between, and is the left bump as good a place as the right one?
#
# Three things to try: find the best $q$ you can; then sit on the left bump, at $-2$, and tune the
# width there; then walk from bump to bump, once with a narrow $q$ and once with a wide one. The
# orange bar is the gap.

# %% jupyter={"source_hidden": true}
sweep = torch.linspace(-3.5, 1.5, 151, dtype=torch.float64).tolist()
widths = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 1.0)
bounds = {(m, s): exact(m, s)["elbo"] for m in sweep for s in widths}
best = max(bounds, key=bounds.get)
# Between the bumps, at best's width.
dip = min((m for m in sweep if -1.5 < m < -0.5), key=lambda m: bounds[m, best[1]])
left_best = max((m for m in sweep if m < dip), key=lambda m: bounds[m, best[1]]), best[1]
free = [max(bounds[m, s] for s in widths) for m in sweep]  # the best width at each mean


def draw_gap(mean: float, width: float) -> plt.Figure:
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.7))
    at, shown = exact(mean, width), (grid > -3.5) & (grid < 2)
    z, posterior = grid[shown], tiny_log_posterior[shown].exp()
    left.fill_between(z, posterior, color=DATA, alpha=0.15)
    left.plot(z, posterior, color=DATA, label="exact $p(z|x)$")
    left.plot(z, Normal(mean, width).log_prob(z).exp(), "--", color=POSTERIOR, label="$q(z)$")
    left.plot(z, tiny_prior.log_prob(z).exp(), ":", color=PRIOR, label=r"prior $p_\lambda(z)$")
    left.set(
        xlabel="z", ylabel="density", ylim=(0, 1.9), title=f"q: mean {mean:.2f}, width {width:.2f}"
    )
    left.legend(loc="upper left", fontsize=9)
    right.plot(sweep, [exact(m, width)["elbo"] for m in sweep], color=MODEL)
    right.plot(sweep, free, ":", color=MODEL, linewidth=1.2)
    right.axhline(tiny_log_p, color=DATA)
    right.text(1.5, tiny_log_p + 0.15, "log p(x)", color=DATA, ha="right")
    right.text(-0.95, -8.7, "ELBO (dotted: at\nthe best width)", color=MODEL, ha="center")
    low = max(at["elbo"], -9)
    right.plot([mean, mean], [low, tiny_log_p], color=POSTERIOR, linewidth=3, solid_capstyle="butt")
    right.plot(mean, low, "o", color=MODEL)
    gap = f"gap = KL[q || p(z|x)] = {at['kl to posterior']:.2f} nats"
    right.set(xlabel="mean of q", ylabel="nats", ylim=(-9, 0.5), title=gap)
    return fig


gap = exact(*best)["kl to posterior"]
way = [value for m, value in zip(sweep, free, strict=True) if -2 <= m <= best[0]]
falls = sum(b < a for a, b in zip(way, way[1:], strict=False))
show_widget(
    slider_figure(
        draw_gap,
        alt="The exact posterior with q, and the bound against the mean of q.",
        mean=(-3.0, 1.0, 0.05, -1.0),
        width=(0.1, 1.2, 0.05, 0.4),
    ),
    draw_gap(*best),
    alt=(
        "Left: the exact posterior has a high bump near 0 and a low one near -2; the best Gaussian"
        " sits on the high one. Right: the bound against the mean of q, at this width a high hill"
        " on the right and a lower one on the left, at the best width for each mean a single"
        f" slope; both stay below the line log p(x). At the best q the gap is {gap:.2f} nats."
    ),
    caption=(
        "Left, q and the exact posterior. Right, the bound for each mean of q, and in orange the"
        " gap that q leaves below log p(x): its KL to the posterior."
    ),
)

# %% jupyter={"source_hidden": true}
plot.markdown(
    f"The best single bump, mean {best[0]:.2f} and width {best[1]:.2f}, has a bound of"
    f" {bounds[best]:.2f} and leaves a gap of {gap:.2f} nats. At the same width the left bump"
    f" has its best bound, {bounds[left_best]:.2f}, at mean {left_best[0]:.2f}, and between them it"
    f" dips to {bounds[dip, best[1]]:.2f}. With the best width at each mean (dotted) it falls in"
    f" {falls} of {len(way) - 1} steps from -2 to the best."
)

# %% [markdown]
# Between the bumps a narrow $q$ sits on codes that do not give $x = 0$, and the bound dips. Let the
# width follow, and the dip is gone: a wide $q$ walks from the left bump to the right without ever
# losing. The left bump is the poorer place, because the prior charges more for a code near $-2$.
#
# The claim is that this is a *lower* bound made of two terms, and the derivation says how far it
# lies below. Test it on 2,000 different $q$: does one get above $\log p(x)$, and is the gap the KL
# each time?
#
# Each of the three numbers goes its own way, or the identity would only test itself: the KL to the
# posterior comes from the grid, $\log p(x)$ from another quadrature, and the bound from no integral
# at all, with the moments of a Gaussian and the KL to the prior in closed form.

# %%
nodes, weights = np.polynomial.legendre.leggauss(200)
z = 8 * nodes  # from -8 to 8
exponent = -0.5 * ((z + z**2 / 2) / 0.25) ** 2 - 0.5 * z**2
joint = np.exp(exponent) / (2 * math.pi * 0.25)  # p(x = 0 | z) p(z)
log_p = math.log(8 * weights @ joint)


def by_hand(m: float, s: float) -> float:
    """The bound for q = N(m, s^2) from its two terms, in nats, with the moments of q in
    E_q[(z + z^2 / 2)^2].
    """
    second, third = m**2 + s**2, m**3 + 3 * m * s**2  # E_q[z^2], E_q[z^3]
    fourth = m**4 + 6 * m**2 * s**2 + 3 * s**4
    squared_error = second + third + fourth / 4
    reconstruction = -0.5 * math.log(2 * math.pi * 0.25**2)
    reconstruction -= squared_error / (2 * 0.25**2)
    return reconstruction - 0.5 * (s**2 + m**2 - 1 - 2 * math.log(s))


# %% tags=["claim-23"]
uniform = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)).tolist()
tried = [(-3 + 4.5 * u, 0.05 + v) for u, v in uniform]  # mean and width
above = sum(by_hand(*q) > log_p for q in tried)
off = max(abs(log_p - by_hand(*q) - exact(*q)["kl to posterior"]) for q in tried)

# %% jupyter={"source_hidden": true}
share = intervals.of_share(above, len(tried), "random choices of q")
measured["claim-23"] = (
    f"{above} of {len(tried):,} random choices of q exceed log p(x) = {log_p:.3f}: a share of"
    f" {share:.1%} ({share.basis}); log p(x) - ELBO equals the KL from q to the posterior to"
    f" {off:.0e} nats, each of the three computed in its own way"
)
plot.measured(measured["claim-23"])

# %% [markdown]
# ## Two forces
# **Predict.** Leave $q$ where it is best and change only its width. Which width would the
# reconstruction choose if it were alone? Which would the regulariser?

# %% jupyter={"source_hidden": true}
scales = torch.logspace(-1.5, 0.4, 80, dtype=torch.float64).tolist()
parts = [exact(best[0], s) for s in scales]
peak = max(range(len(scales)), key=lambda i: parts[i]["elbo"])
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.8))
for values, line, colour, name in (
    ([p["reconstruction"] for p in parts], "--", POSTERIOR, "reconstruction"),
    ([-p["kl to prior"] for p in parts], ":", PRIOR, "-KL to the prior"),
    ([p["elbo"] for p in parts], "-", MODEL, "their sum, the ELBO"),
):
    ax.plot(scales, values, line, color=colour, label=name)
ax.axhline(tiny_log_p, color=DATA, linewidth=1)
ax.text(scales[0], tiny_log_p + 0.12, "log p(x)", color=DATA)
ax.plot(scales[peak], parts[peak]["elbo"], "o", color=MODEL)
ax.set(xscale="log", xlabel="width of q", ylabel="nats", ylim=(-6, 1))
ax.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
ax.minorticks_off()
ax.legend(loc="lower left")
plot.show(
    fig,
    alt=(
        "Reconstruction falls as q gets wider; minus the KL rises until width 1 and falls after"
        f" it. Their sum has one maximum between, at width {scales[peak]:.2f}, below log p(x)."
    ),
    caption=(
        "Reconstruction wants q narrow, the regulariser wants it as wide as the prior. "
        f"The bound settles at {scales[peak]:.2f}."
    ),
)

# %% [markdown]
# A plain auto-encoder has the first force only: its codes are points, and between them the decoder
# was never asked. The second force makes each code a cloud and pulls the clouds together. That is
# why you can draw from the prior at all.

# %% [markdown]
# ## With $S$ samples
# For 784 pixels there is no grid. The expectation becomes a mean over $S$ draws:
#
# $$\mathcal L(\mathbf{x}) \approx \frac1S \sum_{s=1}^{S} \left[\log p_\theta(\mathbf{x}|\mathbf{z}_s) - \log
#   q_\phi(\mathbf{z}_s|\mathbf{x}) + \log p_\lambda(\mathbf{z}_s)\right], \qquad \mathbf{z}_s \sim
#   q_\phi(\mathbf{z}|\mathbf{x})$$
#
# Read aloud: ask the encoder for $S$ codes, and average what each of them is worth. Or keep the KL
# in closed form (your first exercise) and sample the reconstruction alone.
#
# **Predict.** How much does the estimate for one digit scatter at $S = 1$: a tenth of a nat, some
# nats, or tens? And which of the two versions scatters less? Take a well-trained VAE with 40 latent
# dimensions.


# %% jupyter={"source_hidden": true}
def scatter(draws: Tensor, S: int) -> Tensor:
    """The standard deviation of the S-sample estimate for each digit, in nats: (20,)."""
    return draws[: len(draws) // S * S].unflatten(0, (-1, S)).mean(1).std(0)


# %% tags=["claim-24"]
vae40 = recipes.load("vae_40d")
x_scatter = test[:20]
sampled, closed = [], []  # one-sample estimates of the 20 bounds
torch.manual_seed(0)
with torch.no_grad():
    q = vae40.encoder(x_scatter)
    for _ in range(48):
        z = q.rsample((64,))
        reconstruction = vae40.decoder(z).log_prob(x_scatter)
        sampled.append(reconstruction + vae40.prior.log_prob(z) - q.log_prob(z))
        closed.append(reconstruction - kl_per_dimension(q, vae40.prior).sum(-1))
sampled, closed = torch.cat(sampled), torch.cat(closed)  # (3072, 20)

# %% jupyter={"source_hidden": true}
sizes = [1, 3, 10, 30, 100, 300]
spread, spread_closed = (
    torch.stack([scatter(draws, S) for S in sizes]) for draws in (sampled, closed)
)  # (6, 20)
slopes = np.polyfit(np.log(sizes), spread.log(), 1)[0]  # one for each digit
one, closed_changes, slope = (
    intervals.of_mean(values, "digits", comparisons=3)
    for values in (spread[0], spread_closed[0] - spread[0], slopes)
)
measured["claim-24"] = (
    f"for one digit a draw scatters by {one:.1f} nats, and S draws by S to the power {slope:.2f} of"
    f" that; the KL in closed form changes the scatter by {closed_changes.said('+.1f', 'nats')}"
    f" ({slope.basis})"
)
plot.measured(measured["claim-24"])

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.6))
ax.plot(sizes, spread.mean(1), "o-", color=MODEL, label="all three terms sampled", ms=5)
ax.plot(sizes, spread_closed.mean(1), "s--", color=POSTERIOR, label="KL in closed form", ms=5)
ax.set(xscale="log", yscale="log", xlabel="samples S", ylabel="standard deviation, nats")
ax.set_xticks(sizes, sizes)
ax.set_yticks([0.2, 0.5, 1, 2, 4], ["0.2", "0.5", "1", "2", "4"])
ax.minorticks_off()
ax.legend()
plot.show(
    fig,
    alt=(
        "Standard deviation of the estimated bound against S on logarithmic axes: two parallel"
        f" falling lines, from {spread[0].mean():.1f} nats (all sampled) and"
        f" {spread_closed[0].mean():.1f} nats (KL in closed form) at S = 1."
    ),
    caption=(
        f"The scatter falls like S to the power {slope.value:.2f}; theory says -0.5. Means over"
        f" {len(x_scatter)} test digits, {len(sampled):,} draws each."
    ),
)

# %% [markdown]
# Digits differ from one another by far more than that, so one draw for each digit of a batch is
# enough to train with. Whether the closed form scatters less is no law: where $q$ fits well, the
# errors of the three sampled terms cancel, because $\log
# p_\theta(\mathbf{x}|\mathbf{z})\,p_\lambda(\mathbf{z})$ and $\log q_\phi(\mathbf{z}|\mathbf{x})$
# rise and fall together.

# %% [markdown]
# ## Exercise 1: the regulariser (5 minutes)
# For two diagonal Gaussians the expectation can be done by hand. In one dimension, with $q =
# \mathcal N(\mu, \sigma^2)$ and the prior $p_\lambda = \mathcal N(0, 1)$, take $\mathbb{E}_q[\log
# q(z) - \log p_\lambda(z)]$, use $\mathbb{E}_q[z^2] = \mu^2 + \sigma^2$, and sum over the $d$
# latent dimensions:
#
# $$\mathrm{KL}[q\,\|\,p_\lambda] = \frac12 \sum_{j=1}^{d} \left(\sigma_j^2 + \mu_j^2 - 1 - \log \sigma_j^2\right)$$
#
# Read aloud: pay for being off centre, and for a variance other than 1. The network gives
# $\log\sigma^2$, which may be any real number; a variance may not.


# %% tags=["exercise"]
def kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL[N(mean, diag(exp(log_var))) || N(0, I)] in nats.

    mean, log_var: (B, d) for d latent dimensions.  Returns: (B,).
    """
    ### BEGIN SOLUTION
    return 0.5 * (torch.exp(log_var) + mean**2 - 1 - log_var).sum(-1)
    ### END SOLUTION


# %% tags=["exercise-check"]
kl = check.kl(kl)
# check.kl.hint()

# %% [markdown]
# ## Exercise 2: the bound from its parts (8 minutes)
# Now all of it. `encoder(x)` is a Gaussian with `.mean`, `.log_var` (each `(B, d)`) and
# `.rsample()`, a draw `(B, d)` that lets gradients through ([notebook
# 08](08_reparameterization.ipynb) is about that word). `decoder(z)` is a Bernoulli for each pixel,
# with `.log_prob(x)`, already summed over the pixels: `(B,)`. Everything is maximised; there is no
# loss.


# %% tags=["exercise"]
def elbo(x: Tensor, encoder, decoder) -> tuple[Tensor, Tensor, Tensor]:
    """The evidence lower bound with one sample of z for each x, and its parts: nats.

    x: (B, D), zeros and ones.  Returns: bound, reconstruction, regulariser, (B,) each,
    where bound = reconstruction - regulariser.
    """
    ### BEGIN SOLUTION
    q = encoder(x)
    z = q.rsample()
    reconstruction = decoder(z).log_prob(x)
    regulariser = kl(q.mean, q.log_var)
    return reconstruction - regulariser, reconstruction, regulariser
    ### END SOLUTION


# %% tags=["exercise-check"]
elbo = check.elbo(elbo)
# check.elbo.hint()

# %% [markdown]
# ## Exercise 3: generate (3 minutes)
# A latent variable model is sampled in two steps, cause before effect: $\mathbf{z} \sim
# p_\lambda(\mathbf{z})$, then $\mathbf{x} \sim p_\theta(\mathbf{x}|\mathbf{z})$.
# `prior.sample((n,))` has shape `(n, d)`; a Density such as `decoder(z)` has a `.sample()` too.
# Return zeros and ones, not their probabilities.


# %% tags=["exercise"]
def sample(n: int, prior, decoder) -> Tensor:
    """n images drawn from the model, zeros and ones.  Returns: (n, D)."""
    ### BEGIN SOLUTION
    z = prior.sample((n,))
    return decoder(z).sample()
    ### END SOLUTION


# %% tags=["exercise-check"]
sample = check.sample(sample)
# check.sample.hint()

# %% [markdown]
# ## Train it
# Your bound, a VAE with 20 latent dimensions, Adam. **Predict.** The bound begins somewhat below
# $784 \log \frac12$, a coin for each pixel: how many nats is that? Which term moves first, the
# reconstruction or the KL? And does the KL go up or down?
#
# Stop it whenever you like (the square button): you keep what you have.

# %%
torch.manual_seed(0)
vae = VAE(latent_dim=20, hidden=200)


def objective(x: Tensor, beta: float) -> tuple[Tensor, dict[str, Tensor]]:
    """What fit maximises, and what it shows. fit raises beta during a warm-up: there is
    none here, beta = 1.
    """
    bound, reconstruction, regulariser = elbo(x, vae.encoder, vae.decoder)
    with torch.no_grad():  # how much of the KL is codes that differ from one another
        spread = vae.encoder(x).mean.var(0).sum() / 2
    parts = {"elbo": bound, "reconstruction": reconstruction, "kl": regulariser}
    return bound, parts | {"spread": spread}


# %%
history = fit(
    vae,
    digits.train[:DIGITS],
    digits.valid[:1000],
    epochs=EPOCHS,
    lr=RATE,
    objective=objective,
    device=DEVICE,
    live=plot.Live(),
)
vae = vae.cpu()

# %% jupyter={"source_hidden": true}
if history.steps:
    first, last = history.steps[0], history.steps[-1]
    plot.markdown(
        f"A coin for each pixel: {784 * math.log(0.5):.0f} nats. At step {first['step']} the bound"
        f" was {first['elbo']:.0f} with a KL of {first['kl']:.1f}: random logits are not 0, and"
        f" cost {784 * math.log(0.5) - first['reconstruction']:.0f} nats more than a coin. After"
        f" step {last['step']:,} it is **{last['elbo']:.1f}** ({last['reconstruction']:.1f} -"
        f" {last['kl']:.1f}). These were {len(history.epochs)} epochs on"
        f" {min(DIGITS, len(digits.train)):,} digits; vae_40d below had"
        f" {recipes.card('vae_40d')['epochs_trained']:,} on 50,000."
    )
early = [row for row in history.steps if row["step"] <= 100]
if len(early) > 50:  # if you stopped it earlier, there is nothing to see yet
    peak = max(early[:20], key=lambda row: row["kl"])
    fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.4))
    at = [row["step"] for row in early]
    ax.plot(at, [row["kl"] for row in early], ":", color=PRIOR, label="KL")
    ax.plot(
        at,
        [row["spread"] for row in early],
        "--",
        color=POSTERIOR,
        label="half the variance of q's means, summed",
    )
    ax.set(xlabel="step", ylabel="nats per digit", ylim=(0, None))
    ax.legend(loc="upper right")
    plot.show(
        fig,
        alt=(
            "The KL of the first hundred steps rises steeply, falls by about half and rises again"
            " slowly; the part that the spread of the means makes stays near 0 at first and grows"
            " only later."
        ),
        caption=(
            "The beginning, enlarged. Of the KL at its first peak"
            f" {peak['spread'] / peak['kl']:.0%} comes from codes that differ from digit to digit,"
            f" at the end of the picture {early[-1]['spread'] / early[-1]['kl']:.0%}."
        ),
    )

# %% [markdown]
# Both move at once. In its first steps the encoder sends *every* digit to nearly the same
# narrow spot: many nats of KL that tell the decoder nothing about the digit. Soon about
# half of it is taken back. Only then does the KL rise because digits get codes of their
# own. (The dashed line, half the variance of the means of $q$, is the part
# $\frac12 \mu^2$ of the KL, as far as $\mu$ differs from digit to digit.) **A late rise
# of the KL is the model learning to use its code**, not a fault.

# %%
torch.manual_seed(1)
with torch.no_grad():
    back = vae.reconstruct(test[:10])
    drawn = sample(10, vae.prior, vae.decoder)

# %% jupyter={"source_hidden": true}
plot.show(
    plot.images([test[:10], back, drawn], titles=["test digit", "reconstructed", "your samples"]),
    alt=(
        "Three rows of ten digits: test digits, their reconstructions by the model just trained,"
        " somewhat smoother, and ten drawn samples, speckled, some of them like digits."
    ),
    caption=(
        "Your model after a short training. Reconstructions are the decoder's means and look"
        " smooth; samples are zeros and ones, each pixel drawn on its own, and look speckled."
    ),
)

# %% [markdown]
# ## What a well-trained VAE knows
# Two shipped models, trained by the [recipes](../dgmcourse/recipes/autoencoders.py) on 50,000 digits: one with 2
# latent dimensions, to be looked at, one with 40. Their headers say how they were made and what
# they scored.

# %% jupyter={"source_hidden": true}
rows = []
for name in ("vae_2d", "vae_40d"):
    card = recipes.card(name)
    r = card["results"]
    rows.append(
        f"| {name} | {card['epochs_trained']:,} | {r['test_elbo']:.2f} | **{-r['test_nll']:.2f}**"
        f" $\\pm$ {r['test_nll_se']:.2f} | {r['active_units']} |"
    )
plot.markdown(
    f"| model | epochs | test ELBO | test log p(x), S = {r['S']:,} | active units |",
    "|:--|--:|--:|--:|--:|",
    *rows,
    "",
    (
        f"*Nats per digit, over {r['n']:,} test digits, with the standard error over digits, as"
        " the recipe measured.*"
    ),
)

# %% [markdown]
# Where does the encoder send the test digits? **Predict.** Nobody gave it a label. Which classes
# will lie side by side?

# %%
vae2 = recipes.load("vae_2d")
with torch.no_grad():
    codes = vae2.encoder(test).mean  # (2000, 2)

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(5.6, 5.2))
for digit in range(10):
    at = codes[labels == digit]
    ax.scatter(*at.T, s=26, marker=f"${digit}$", color=plot.CLASSES[digit], linewidths=0.2)
middles = torch.stack([codes[labels == digit].median(0).values for digit in range(10)])
for _ in range(20):  # badges that would cover one another are pushed apart
    gaps = middles[:, None] - middles + 1e-3 * torch.arange(10.0)[:, None, None].sub(4.5)
    distance = gaps.norm(dim=-1, keepdim=True) + 9 * torch.eye(10)[..., None]
    middles += 0.2 * (gaps / distance * (0.55 - distance).relu()).sum(1)
for digit in range(10):
    badge = {"boxstyle": "circle,pad=0.25", "facecolor": plot.CLASSES[digit], "edgecolor": "white"}
    ax.text(
        *middles[digit],
        str(digit),
        color="white",
        weight="bold",
        ha="center",
        va="center",
        fontsize=11,
        bbox=badge,
    )
angle = torch.linspace(0, 2 * math.pi, 100)
circle = torch.stack([angle.cos(), angle.sin()])
ax.plot(*2 * circle, ":", color=PRIOR)
ax.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
ax.set_title("dotted: two standard deviations of the prior", color="#00694D", fontsize=9)
inside = (codes.norm(dim=1) < 2).float().mean().item()
plot.show(
    fig,
    alt=(
        f"Scatter plot of the latent means of {len(codes):,} test digits, drawn as numerals in ten"
        " colours. Each class forms a patch or a wedge; similar classes overlap. A dotted circle"
        " marks two standard deviations of the prior."
    ),
    caption=(
        f"Classes fall apart without a label in sight, and look-alikes share a border. {inside:.0%}"
        f" of the means lie within the dotted circle, where the prior has {1 - math.exp(-2):.0%} of"
        " its mass."
    ),
)

# %% [markdown]
# **A representation?** If the code is one, a simple classifier should do better on the codes than
# on the pixels. Take two simple ones, with few labels and with many: the nearest neighbour, and a
# linear classifier (logistic regression; how strongly its weights are held back is chosen by
# cross-validation on the labelled digits, for each space anew). A fair rival are 40 principal
# components, which need no labels either. **Predict** the order.

# %%
COUNTS, SETS = (100, 400, 2000), 10  # labelled digits; sets of them
unlabelled = digits.train[:5000].tensor()
centre = unlabelled.mean(0)
components = torch.linalg.eigh(torch.cov(unlabelled.T)).eigenvectors[:, -40:]
spaces = {
    "784 pixels": lambda x: x - centre,
    "40 principal components": lambda x: (x - centre) @ components,
    "vae_40d": torch.no_grad()(lambda x: vae40.encoder(x).mean),
    "vae_2d": torch.no_grad()(lambda x: vae2.encoder(x).mean),
}
del unlabelled


def nearest(z: Tensor, y: Tensor, queries: Tensor, theirs: Tensor) -> Tensor:
    """Which queries have the label of their nearest neighbour among z."""
    return y[torch.cdist(queries, z).argmin(1)] == theirs


# %% tags=["claim-34"]
READERS = {"nearest neighbour": nearest, "linear classifier": linear_reading}
asked = digits.test[torch.randperm(len(digits.test))[:2000]]
queries = {name: space(asked.tensor()) for name, space in spaces.items()}
correct = {}  # (reader, space, labelled digits) -> percent correct with each set
for i in progress(range(SETS), desc="sets of labels"):
    torch.manual_seed(i)
    known = digits.train[torch.randperm(len(digits.train))[: COUNTS[-1]]]
    x = known.tensor()
    for name, space in spaces.items():
        z = space(x)
        for (title, reader), n in itertools.product(READERS.items(), COUNTS):
            right = reader(z[:n], known.y[:n], queries[name], asked.y).double().mean()
            correct.setdefault((title, name, n), []).append(100 * right.item())

# %% jupyter={"source_hidden": true}
RIVALS = ("784 pixels", "40 principal components")
cases = [*itertools.product(READERS, COUNTS)]
lead = {  # (reader, rival, labelled digits) -> how many more points vae_40d gets
    (title, rival, n): intervals.of_mean(
        np.subtract(correct[title, "vae_40d", n], correct[title, rival, n]),
        "sets of labels",
        comparisons=2 * len(cases),
    )
    for title, n in cases
    for rival in RIVALS
}


def against(rival: str) -> str:
    """What the linear reader of vae_40d gains on a rival, for each number of labels."""
    found = {n: lead["linear classifier", rival, n] for n in COUNTS}
    return "; ".join(f"{found[n].said('+.1f')} with {n:,} labels" for n in COUNTS)


some = lead[cases[0][0], RIVALS[0], COUNTS[0]]
measured["claim-34"] = (
    "percentage points that a tuned linear reader gains from vae_40d's code, against pixels:"
    f" {against('784 pixels')}; against 40 principal components:"
    f" {against('40 principal components')} ({some.basis})"
)
plot.measured(measured["claim-34"])

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.9), sharey=True)
looks = dict(
    zip(spaces, (("s--", DATA), ("^:", NOISE), ("o-", MODEL), ("d-.", POSTERIOR)), strict=True)
)
for ax, title in zip(axes, READERS, strict=True):
    for name, (style, colour) in looks.items():
        values = [np.mean(correct[title, name, n]) for n in COUNTS]
        ax.plot(COUNTS, values, style, color=colour, label=name, ms=5)
    ax.set(xscale="log", xlabel="labelled digits", title=title)
    ax.set_xticks(COUNTS, [f"{n:,}" for n in COUNTS])
    ax.minorticks_off()
axes[0].set_ylabel("correct, %")
axes[0].legend(fontsize=8, loc="lower right")
reads = {
    title: lead[title, "784 pixels", COUNTS[-1]].verdict("better", "worse", "neither way shown")
    for title in READERS
}
plot.show(
    fig,
    alt="Two panels, percent correct against the number of labelled digits, four lines each. "
    + "; ".join(
        f"{title}, {n:,} labels: "
        + ", ".join(f"{name} {np.mean(correct[title, name, n]):.0f}" for name in spaces)
        for title, n in cases
        if n != 400
    )
    + ".",
    caption=(
        f"With {COUNTS[-1]:,} labels vae_40d's code is read, against the pixels:"
        f" {reads['linear classifier']} by the linear classifier, {reads['nearest neighbour']} by"
        f" the nearest neighbour. Means over {SETS} sets of labels."
    ),
)
plot.markdown(
    "| | labels | " + " | ".join(spaces) + " | vae_40d less pixels | less components |",
    "|:--|--:|" + "--:|" * (len(spaces) + 2),
    *(
        f"| {title} | {n:,} | "
        + " | ".join(f"{np.mean(correct[title, name, n]):.1f}" for name in spaces)
        + " | "
        + " | ".join(lead[title, rival, n].said("+.1f") for rival in RIVALS)
        + " |"
        for title, n in cases
    ),
    "",
    f"*Correct in %, of {len(asked):,} test digits. {some.basis}.*",
)
in_use = spaces["vae_40d"](test).var(0)[active_units(vae40, test)]
by_components = spaces["40 principal components"](test).var(0)
plot.markdown(
    f"How wide are the directions? The widest of the {len(in_use)} active units of vae_40d has"
    f" {in_use.max() / in_use.min():.0f} times the variance of the narrowest; among the 40"
    f" principal components it is {by_components.max() / by_components.min():.0f} times."
)

# %% [markdown]
# So it depends on the reader. For the linear one vae_40d's code is the better description once there
# are a few hundred labels; with 100 no difference is shown. For the nearest neighbour it is worse
# than the pixels at every number of labels, and forty principal components, which cost one matrix,
# are better. The two numbers of vae_2d serve a nearest neighbour well as long as labels are few, and
# a linear reader badly: its classes are wedges round a centre.
#
# Forty numbers keep what names a digit, but not arranged for naming: the bound never asked classes
# to lie apart. And the units in use differ in width less than the principal components do, so that
# for a nearest neighbour slant may count nearly as much as shape (our guess, untested).

# %% [markdown]
# ### Reconstructions, samples, interpolations
# To walk from one digit to another, encode both, go straight from mean to mean, and decode on the
# way. **Predict.** What lies half-way between one digit and another: a cross-fade of two images, or
# something one could have written?

# %%
steps = torch.linspace(0, 1, 10)[:, None]
torch.manual_seed(0)
with torch.no_grad():
    code = vae40.encoder(test[:4]).mean
    walks = [(1 - steps) * code[i] + steps * code[i + 1] for i in range(3)]
    blocks = {
        "test digits": test[:10],
        "reconstructed": vae40.reconstruct(test[:10]),
        "walk in pixels": (1 - steps) * test[0] + steps * test[1],
        "walks in z": vae40.decoder(torch.cat(walks)).mean,
        "samples\n(means)": vae40.decoder(vae40.prior.sample((20,))).mean,
    }

# %% jupyter={"source_hidden": true}
plot.show(
    plot.images([*blocks.values()], titles=[*blocks]),
    alt=(
        "Blocks of digits from the 40-dimensional model: ten test digits; their reconstructions; a"
        " cross-fade of two digits in pixels, where both show through; three walks in latent space,"
        " where strokes bend from one digit into the other; the means of twenty samples."
    ),
    caption=(
        "In pixels, half-way is two digits on top of each other. In z the strokes themselves "
        "move, and what lies between is drawn, not faded."
    ),
)

# %% [markdown]
# **Does it generate images?** Looking at twenty is no measurement. Call a sample *realistic* if it
# lies within reach of a test digit: no farther than that digit's third neighbour among the test
# digits. And call a test digit *covered* if it lies within such reach of a sample.
#
# One share alone can be cheated: a blank sheet is near every thin 1. Other test digits show what is
# possible, pixels drawn one by one with the right frequencies what is easy. **Predict** the order
# of the rest.

# %% tags=["claim-5"]
n = min(1000, len(test) // 2)
torch.manual_seed(0)
with torch.no_grad():
    drawn = {
        "other test digits": test[n : 2 * n],
        "vae_40d": sample(n, vae40.prior, vae40.decoder),
        "vae_2d": sample(n, vae2.prior, vae2.decoder),
        "yours": sample(n, vae.prior, vae.decoder),
        "pixels one by one": torch.bernoulli(test.mean(0).expand(n, -1)),
        "blank sheets": torch.zeros(n, 784),
    }
kinds = {name: precision_and_recall(test[:n], x) for name, x in drawn.items()}

# %% jupyter={"source_hidden": true}
shares = {
    name: [
        intervals.of_share(int(kind.sum()), len(kind), of, comparisons=2 * len(kinds))
        for kind, of in zip(both, ("samples", "test digits"), strict=True)
    ]
    for name, both in kinds.items()
}
measured["claim-5"] = (
    f"of {n:,} samples of vae_40d {shares['vae_40d'][0]:.0%} are realistic, and they cover"
    f" {shares['vae_40d'][1]:.0%} of as many test digits; other test digits"
    f" {shares['other test digits'][0]:.0%} and {shares['other test digits'][1]:.0%}"
    f" ({shares['vae_40d'][0].basis}; one training)"
)
plot.measured(measured["claim-5"])

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.4), width_ratios=(1, 1.15))
plot.draw_images(left, torch.cat([x[:6] for x in drawn.values()]), 6)
for k, (name, colour, hatch) in enumerate(
    (("realistic", MODEL, ""), ("test digits covered", DATA, "///"))
):
    share = 100 * np.array([[both[k].value, both[k].low, both[k].high] for both in shares.values()])
    at = np.arange(len(share)) + 0.38 * k - 0.19
    right.barh(
        at,
        share[:, 0],
        xerr=np.abs(share[:, 1:] - share[:, :1]).T,
        height=0.36,
        capsize=2,
        label=name,
        facecolor=colour if k == 0 else "white",
        edgecolor=colour,
        hatch=hatch,
    )
right.set(xlim=(0, 108), xlabel="%", yticks=range(len(shares)), yticklabels=[*shares])
right.invert_yaxis()
right.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1), ncols=2)
plot.show(
    fig,
    alt=(
        "Left: six images each of other test digits, of samples of the three models, of pixels"
        " drawn one by one, and of blank sheets. Right: two bars for each, the shares that are"
        " realistic and that cover the test digits: "
    )
    + ", ".join(f"{name} {a.value:.0%} and {b.value:.0%}" for name, (a, b) in shares.items())
    + ".",
    caption=(
        "Rows and bars belong together; lines are the intervals. The blank sheets,"
        f" {shares['blank sheets'][0].value:.0%} realistic and"
        f" {shares['blank sheets'][1].value:.0%} covering, show why one number is not enough."
    ),
)

# %% [markdown]
# So it does generate images; the first row shows all there is to reach. A decoder that is told only
# two numbers is unsure of more pixels, draws each of them on its own, and the speckles carry its
# samples out of reach.
#
# Why do even single pixels cover some digits? Scattered samples lie far from their neighbours, so
# their reach is wide: one share flatters noise as the other flatters blank paper.

# %% [markdown]
# ## How far below the evidence?
# The bound is what you trained. What you want to report is $\log p(\mathbf{x})$. Use the encoder
# once more, as the proposal of an importance sampler, and take the mean *before* the logarithm:
#
# $$\log \hat p(\mathbf{x}) = \log \frac1S \sum_{s=1}^{S} \frac{p_\theta(\mathbf{x}|\mathbf{z}_s)\,p_\lambda(\mathbf{z}_s)}
#   {q_\phi(\mathbf{z}_s|\mathbf{x})}$$
#
# Read aloud: average the weights, not their logarithms. With $S = 1$ its expectation is the ELBO;
# as $S$ grows it climbs to $\log p(\mathbf{x})$ (Burda et al. 2016). **Predict.** How many nats lie
# between $S = 1$ and $S = 5000$, and has it stopped climbing by then?

# %%
x_estimate = test[:40]
torch.manual_seed(0)
with torch.no_grad():
    # Filled in place: small pieces that are kept would break up the memory.
    log_w = torch.empty(5000, len(x_estimate))
    for rows in progress(log_w.split(50), desc="log-weights"):
        rows[:] = vae40.log_weight(x_estimate, (50,))
sizes = [1, 2, 5, 10, 50, 200, 1000, 5000]
# For each S the estimates, (5000 / S,), each a mean over the digits.
estimates = [log_mean_exp(log_w.unflatten(0, (-1, S)), 1).mean(-1) for S in sizes]
rise = log_mean_exp(log_w) - log_w.mean(0)  # (40,): log p(x) - ELBO
ess = effective_sample_size(log_w)

# %% jupyter={"source_hidden": true}
value = [e.mean().item() for e in estimates]
error = [e.std().item() if len(e) > 1 else 0 for e in estimates]
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.8))
ax.errorbar(
    sizes, value, error, fmt="o-", color=MODEL, capsize=3, ms=5, label="importance-sampled log p(x)"
)
ax.axhline(value[0], color=POSTERIOR, linestyle="--", label="ELBO")
ax.set(xscale="log", xlabel="samples S", ylabel="nats per digit")
ax.set_xticks(sizes, [f"{S:,}" for S in sizes])
ax.minorticks_off()
ax.legend(loc="center right")
plot.show(
    fig,
    alt=(
        f"The estimate against S: it rises from the ELBO, {value[0]:.2f} at S = 1, to"
        f" {value[-1]:.2f} at S = 5,000, ever more slowly."
    ),
    caption=(
        f"The estimate climbs from S = 1 to 5,000, on average over {len(x_estimate)} test digits."
        " Bars are the standard deviation of repeats."
    ),
)
climbed = intervals.of_mean(rise, "digits")
card = recipes.card("vae_40d")["results"]
plot.markdown(
    f"From S = 1 to 5,000 it climbs {climbed:.2f} nats ({climbed.basis}). Has it stopped climbing?"
    " Not quite: five times the samples, from 1,000 to 5,000, still"
    f" brought {value[-1] - value[-2]:.2f} nats. Of 5,000 samples {ess.median():.0f} carry the"
    f" estimate (median effective sample size; {ess.min():.0f} for the worst digit). The level,"
    f" {value[-1]:.1f}, has a standard error of {standard_error(log_mean_exp(log_w)):.1f}"
    f" over these {len(x_estimate)} digits; the recipe measured {-card['test_nll']:.2f} $\\pm$"
    f" {card['test_nll_se']:.2f} on {card['n']:,}. For {card['unreliable']:.0%} of"
    f" {card['reliability_n']:,} of these a few samples decide the estimate (Pareto k above"
    f" 0.7): it"
    " may be too low by an amount that no error tells. **Compare models at the same S and on the"
    " same digits only.**"
)

# %% [markdown]
# ## Three boxes, one posterior
# The lecture ties the three boxes together in one line:
#
# $$q_\phi(\mathbf{z}|\mathbf{x}) \propto p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})$$
#
# Read aloud: the best encoder is given by the decoder and the prior, so change one and the others
# must follow; and each can be the weak one. With two latent dimensions the plane can be covered
# with a grid, and the posterior of a *trained* VAE is exact.

# %% jupyter={"source_hidden": true}
x_plane = test[:100]
side = torch.linspace(-5, 5, 401)
plane = torch.cartesian_prod(side, side)  # (160801, 2)
cell = 2 * (side[1] - side[0]).log()  # a cell's log area
with torch.no_grad():
    q = vae2.encoder(digits.valid[:500].tensor())
wider = Gaussian(q.mean, torch.log(q.log_var.exp() + 0.3**2))
clouds = Mixture(torch.zeros(len(q.mean)), wider)  # another prior, for later


@torch.no_grad()
def walk(*priors) -> tuple[list[Tensor], Tensor]:
    """log p(x) of each x with each prior, (100,) each, as sums over the grid; and the first
    posterior's peak, (100, 2).
    """
    sums = [[] for _ in priors]
    top, peaks = torch.full((len(x_plane),), -math.inf), torch.zeros(len(x_plane), 2)
    for z in plane.split(250):
        log_lik = vae2.decoder(z).cross_log_prob(x_plane)  # (100, 250)
        log_joints = [log_lik + prior.log_prob(z) for prior in priors]
        for found, log_joint in zip(sums, log_joints, strict=True):
            found.append(log_joint.logsumexp(1))
        value, at = log_joints[0].max(1)
        peaks, top = torch.where((value > top)[:, None], z[at], peaks), torch.maximum(value, top)
    return [torch.stack(found).logsumexp(0) + cell for found in sums], peaks


# %%
(log_p, log_p_clouds), peaks = walk(vae2.prior, clouds)
torch.manual_seed(0)
with torch.no_grad():
    pairs = x_plane.split(2)
    bound = torch.cat([vae2.log_weight(pair, (200,)).mean(0) for pair in pairs])
    sampled = log_likelihood(vae2, x_plane[:30], S=5000)
gap, missed = log_p - bound, log_p[:30] - sampled

# %% jupyter={"source_hidden": true}
short = intervals.of_mean(gap, "digits")
plot.markdown(
    f"Over {len(x_plane)} test digits: exact $\\log p(\\mathbf{{x}})$ {log_p.mean():.2f}, ELBO"
    f" {bound.mean():.2f}. The gap is **{gap.median():.2f}** nats for the median digit and"
    f" {short:.2f} on average ({short.basis}): a few digits make the mean, {gap.max():.0f} the"
    f" worst. The bound is below the evidence for {(gap > 0).sum()} of {len(x_plane)}. Importance"
    f" sampling with S = 5,000 falls short of the exact value by {missed.median():.3f} nats for the"
    f" median of {len(missed)} digits, and by {missed.max():.2f} for the worst."
)

# %% [markdown]
# Mind that worst digit: where the encoder looks in the wrong place, no draw hits the posterior, and
# the sampler does not know what it missed. An importance-sampled $\log p(\mathbf{x})$ is a lower
# bound too, on average.

# %% [markdown]
# **Predict.** The encoder may only answer with an upright ellipse, and no narrower than its
# network's log-variance is clipped, $\log\sigma^2 \ge -6$ as in the VampPrior paper. What shapes
# and sizes has the exact posterior?

# %% jupyter={"source_hidden": true}
order = gap.argsort()
chosen = order[[len(x_plane) // 10, len(x_plane) // 2, len(x_plane) * 9 // 10]]
fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.75))
for ax, i in zip(axes, chosen.tolist(), strict=True):
    with torch.no_grad():
        q = vae2.encoder(x_plane[i : i + 1])
    mean, width = q.mean[0], (q.log_var[0] / 2).exp()
    reach = 4 * width + (peaks[i] - mean).abs()
    across, down = (torch.linspace(-1, 1, 61) * reach[d] + mean[d] for d in (0, 1))
    local = torch.cartesian_prod(across, down)
    with torch.no_grad():
        log_lik = vae2.decoder(local).cross_log_prob(x_plane[i : i + 1])[0]
        log_joint = log_lik + vae2.prior.log_prob(local)
    posterior = (log_joint - log_joint.max()).exp().reshape(61, 61).T
    ax.contourf(
        across, down, posterior, levels=[0.01, 0.05, 0.14, 0.37, 0.6, 0.8, 1.0], cmap="Greys"
    )
    for k in (1, 2):
        ax.plot(*(mean[:, None] + k * width[:, None] * circle), color=POSTERIOR, linewidth=1.5)
    plot.draw_images(ax.inset_axes([0.02, 0.74, 0.26, 0.26]), x_plane[i : i + 1], 1)
    ax.set(xlabel="$z_1$", title=f"gap {gap[i]:.2f} nats")
    ax.tick_params(labelsize=8)
axes[0].set_ylabel("$z_2$")
low, middle, high = (f"{gap[i]:.2f}" for i in chosen)
with torch.no_grad():
    clipped = (vae2.encoder(x_plane).log_var <= -6).float().mean().item()
plot.show(
    fig,
    alt=(
        "Three panels, each with the exact posterior of one test digit as grey contours and the"
        " encoder's Gaussian as two orange ellipses. At a small gap they nearly agree; at a large"
        " one the posterior is narrower, tilted, or elsewhere."
    ),
    caption=(
        f"The gap is width, tilt and place: {low}, {middle} and {high} nats at its 10th, 50th and"
        " 90th percentile. Grey is the exact posterior, orange the encoder's one and two standard"
        f" deviations. {clipped:.0%} of its log-variances sit at the clip: with two numbers for a"
        " digit, it would rather be narrower still."
    ),
)

# %% [markdown]
# Now weigh the three boxes of this model, without training anything.
#
# - **Posterior:** how much would the exact one gain? That is the gap.
# - **Prior:** replace $\mathcal N(\mathbf{0}, \mathbf{I})$ by a mixture of clouds, one where the
#   encoder puts each of 500 *validation* digits, a little widened. Its evidence was summed in the
#   same walk over the grid.
# - **Decoder:** if pixels are independent given $\mathbf{z}$, as it assumes, then what is left of
#   neighbouring pixels after their means are taken away does not correlate.
#
# **Predict.** Which gains more nats, the exact posterior or the other prior? And are the pixels
# independent?


# %% jupyter={"source_hidden": true}
@torch.no_grad()
def neighbours(model: VAE) -> Tensor:
    """Correlation of the standardised residuals of pixels side by side: (20,), one for each 25
    test digits.
    """
    p = model.decoder(model.encoder(test[:500]).rsample()).mean
    r = ((test[:500] - p) / (p * (1 - p)).sqrt().clamp_min(0.05)).unflatten(1, (28, 28))
    a, b = r[:, :, :-1].reshape(20, -1), r[:, :, 1:].reshape(20, -1)
    return (a * b).sum(1) / ((a**2).sum(1) * (b**2).sum(1)).sqrt()


# %% tags=["claim-26"]
gain = log_p_clouds - log_p  # (100,): another prior, the same decoder
residual, residual40 = neighbours(vae2), neighbours(vae40)

# %% jupyter={"source_hidden": true}
by_posterior, by_prior, alike, alike40 = (
    intervals.of_mean(values, of, comparisons=4)
    for values, of in (
        (gap, "digits"),
        (gain, "digits"),
        (residual, "groups of 25 digits"),
        (residual40, "groups of 25 digits"),
    )
)
measured["claim-26"] = (
    f"in vae_2d the exact posterior would gain {by_posterior:.2f} nats (median"
    f" {gap.median():.2f}), a prior of clouds {by_prior:.2f} ({by_prior.basis}); residuals of"
    f" neighbouring pixels correlate by {alike:.2f} where the decoder says 0 ({alike.n}"
    f" {alike.of})"
)
plot.measured(measured["claim-26"])
plot.markdown(
    f"One digit of the {len(x_plane)} makes {gap.max() / gap.sum():.0%} of the mean gap. In vae_40d"
    f" the residuals correlate by {alike40:.2f}."
)

# %% [markdown]
# With two numbers for a digit the posterior must be narrow and in the right place, so there is much
# to lose on that side. And a decoder that is told too little leaves its pixels with something in
# common.
#
# Each box falls short in a way of its own, so each can be improved: notebook 09 bends the posterior
# with flows, 10 lets the decoder's pixels know of one another, 11 learns a prior that lies where
# the codes are.

# %% [markdown]
# ## Ink or grey: what the decoder's distribution does
# A Bernoulli decoder gives *probabilities of binary images*. MNIST is grey, though, and a Gaussian
# decoder gives a *density of grey values*. Train one of each: same networks, same digits, same
# number of steps. **Predict.** Which gets the larger number for its bound? Whose draws look better?

# %%
few = digits.train[:6000]


def train_small(model, data=few, beta=1.0, objective=VAE.objective, **settings):
    """A few seconds of maximising reconstruction - beta KL, or another objective."""
    settings = {"epochs": 5, "lr": RATE, "progress": False} | settings
    history = fit(
        model,
        data,
        **settings,
        device=DEVICE,
        objective=lambda x, rising: objective(model, x, beta * rising),
    )
    return model.cpu(), history


def small(seed: int = 0, likelihood: str = "bernoulli") -> VAE:
    torch.manual_seed(seed)
    return VAE(**SMALL, likelihood=likelihood)


# %%
ink, ink_history = train_small(small())
# Bytes as they are: grey values.
grey, _ = train_small(small(likelihood="gaussian"), Data(few.x), clip=50)

# %% jupyter={"source_hidden": true}
grey_x = digits.test.x[:1000].float() / 255
torch.manual_seed(2)
with torch.no_grad():
    near = grey.decoder(grey.encoder(grey_x[:10]).mean)
    blocks = [
        test[:10],
        ink.reconstruct(test[:10]),
        ink.decoder(ink.encoder(test[:10]).mean).sample(),
        grey_x[:10],
        near.mean,
        near.sample().clamp(0, 1),
    ]
    scores = {"ink": ink.elbo(test[:1000]), "grey": grey.elbo(grey_x)}
    means = {"ink": ink.reconstruct(test[:1000]), "grey": grey.reconstruct(grey_x)}
judge = recipes.load("digit_classifier")
named = {name: (judge.classify(x, 100) == labels[:1000]).double() for name, x in means.items()}
sharp = {name: sharpness(x) / sharpness(grey_x) for name, x in means.items()}
lost = intervals.of_mean(100 * (named["ink"] - named["grey"]), "digits")
floor = (near.log_var <= -4.5).float().mean().item()
plot.show(
    plot.images(
        blocks,
        titles=["binary digit", "reconstructed", "a draw", "grey digit", "reconstructed", "a draw"],
    ),
    alt=(
        "Six rows of ten digits. Bernoulli model: binary test digits, their reconstructions, and"
        " draws from the decoder. Gaussian model: grey test digits, their reconstructions, which"
        " are blurrier and some of them other digits, and draws, which have noise all over the"
        " picture, also where paper should be blank."
    ),
    caption=(
        "Above the Bernoulli decoder, below the Gaussian one. Its means are blurrier, and several"
        " are other digits; its draws spread noise over blank paper."
    ),
)
plot.markdown(
    f"**Measured.** The classifier names {named['grey'].mean():.0%} of {len(grey_x):,} test digits"
    " rightly from the Gaussian decoder's means, from the Bernoulli decoder's"
    f" {named['ink'].mean():.0%}: {lost:+.1f} points ({lost.basis}; one training each)."
    f" Edges have {sharp['grey']:.2f} and {sharp['ink']:.2f} of the grey digits' sharpness (squared"
    f" differences of neighbouring pixels). {floor:.0%} of the Gaussian's variances sit at the"
    " floor this model allows (log-variance -4.5)."
)

# %% [markdown]
# And the numbers? The third line below is the *same* Gaussian model with grey values counted from 0
# to 255 instead of from 0 to 1: each of 784 coordinates is stretched by 255, and the density
# shrinks by as much.


# %% jupyter={"source_hidden": true}
bytes_ = scores["grey"] - 784 * math.log(255)
ink_nats, grey_nats, byte_nats = (
    mean_and_error(values, ",.1f", r"$\pm$") for values in (scores["ink"], scores["grey"], bytes_)
)
plot.markdown(
    "| what the number is the logarithm of | test ELBO, nats per digit |",
    "|:--|--:|",
    f"| a probability of a binary image (Bernoulli) | {ink_nats} |",
    f"| a density of grey values from 0 to 1 (Gaussian) | {grey_nats} |",
    f"| a density of grey values from 0 to 255, same model | {byte_nats} |",
    "",
    (
        f"*{len(grey_x):,} test digits. The last line is"
        f" {-bytes_.mean() / (784 * math.log(2)):.1f} bits a pixel, to be held against a byte's 8"
        " only after noise has been put between the bytes.*"
    ),
)

# %% [markdown]
# A log-probability can't be positive. A log-density can be anything: it changes with the unit. And
# since most pixels of MNIST are exactly 0, a Gaussian could raise its density there without limit
# by letting the variance go to 0; only the floor stops it. **Never put the two in one table.**
# Choose the decoder by what the data are.

# %% [markdown]
# ## Break it: posterior collapse
# Weigh the regulariser with a factor: maximise reconstruction $- \beta\,$KL. At $\beta = 1$ it is
# the bound; at larger $\beta$ a nat of code costs more than it is worth. **Predict.** As $\beta$
# grows, does the KL shrink evenly over the latent units, or do they die one by one? What does a
# decoder write that gets no message any more?
#
# Seven small trainings, each from the same start. A unit counts as used if it carries
# more than 0.1 nats, on average over test digits. (The *active units* above have a mean
# that varies, by more than 0.01. A unit whose mean varies slightly counts as active even
# if it carries almost no nats.)
#
# Three things to try: find the $\beta$ at which the first bars vanish; compare what the few living
# units at $\beta = 10$ can still tell the decoder with what ten can; go down to 0.1 and look at the
# *samples*.

# %%
betas = [0.1, 0.5, 1, 2, 5, 10, 20]
x_swept = test[:1000]


@torch.no_grad()
def autopsy(model: VAE) -> dict:
    """The KL of each unit, largest first, the units in use, the bound at beta = 1."""
    torch.manual_seed(0)
    units = kl_of_each_unit(model, x_swept).sort(descending=True).values
    used, bound = int((units > 0.1).sum()), model.elbo(x_swept).mean().item()
    return {"kl": units, "used": used, "elbo": bound}


swept = {
    beta: ink if beta == 1 else train_small(small(), beta=beta)[0]
    for beta in progress(betas, desc="trainings")
}
found = {beta: autopsy(model) for beta, model in swept.items()}


# %% jupyter={"source_hidden": true}
def draw_collapse(beta: float) -> plt.Figure:
    model, at = swept[beta], found[beta]
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.3), width_ratios=(1.7, 1))
    with torch.no_grad():
        torch.manual_seed(0)
        means = model.decoder(model.prior.sample((10,))).mean
        rows = torch.cat([test[:10], model.reconstruct(test[:10]), means])
    plot.draw_images(left, rows, 10, f"beta = {beta}: digits, reconstructions, samples (means)")
    n = len(at["kl"])
    right.bar(range(1, n + 1), at["kl"], color=POSTERIOR)
    right.set(
        ylim=(0, 5), xlabel="latent unit, sorted", ylabel="KL, nats", xticks=range(1, n + 1, 3)
    )
    right.set_title(f"{at['used']} of {n} used, KL {at['kl'].sum():.1f}, ELBO {at['elbo']:.0f}")
    return fig


fig = plt.figure(figsize=(plot.WIDTH, 3.5))
axes = fig.subplots(2, 2, height_ratios=(1, len(betas)), width_ratios=(1, 1))
with torch.no_grad():
    rows = torch.cat([model.reconstruct(test[:8]) for model in swept.values()])
plot.draw_images(axes[0, 0], test[:8], 8)
axes[1, 0].imshow(plot.tile(rows, 8), vmin=0, vmax=1, aspect="auto")
axes[1, 0].set_yticks(
    [30 * i + 14 for i in range(len(betas))], [f"$\\beta$ = {beta}" for beta in betas]
)
axes[1, 0].set_xticks([])
axes[1, 0].tick_params(length=0)
axes[1, 0].spines[:].set_visible(False)
log_kl = torch.stack([at["kl"] for at in found.values()]).clamp_min(1e-3).log10()
image = axes[1, 1].imshow(log_kl, aspect="auto", cmap="Oranges", vmin=-2, vmax=0.7)
for i, beta in enumerate(betas):
    axes[1, 1].text(9.8, i, f"{found[beta]['used']} used", va="center", fontsize=9)
axes[1, 1].set(
    xlabel="latent unit, sorted", yticks=[], xticks=[0, 4, 9], xticklabels=["1", "5", "10"]
)
axes[0, 1].set_axis_off()
bar = fig.colorbar(
    image, cax=axes[0, 1].inset_axes([0, 0.35, 1, 0.3]), orientation="horizontal", ticks=[-2, -1, 0]
)
bar.ax.set_xticklabels(["0.01", "0.1", "1 nat"])
show_widget(
    slider_figure(
        draw_collapse,
        alt="Digits, reconstructions and samples at this beta, and the KL of each latent unit.",
        beta=widgets.SelectionSlider(options=betas, value=1, description="β"),
    ),
    fig,
    alt=(
        "Left: eight test digits and their reconstructions for seven values of beta; they blur as"
        " beta grows and end as one and the same smudge. Right: the KL of each latent unit, fading"
        " unit by unit: "
    )
    + ", ".join(f"{at['used']} used at beta {beta}" for beta, at in found.items())
    + ".",
    caption=(
        f"What the code carries dies with the units: a KL of {found[0.1]['kl'].sum():.0f} nats at"
        f" beta = 0.1, of {found[20]['kl'].sum():.2f} at 20."
    ),
)

# %% [markdown]
# First every unit says less, then they die one by one: your prediction was half right, whichever it
# was. To a decoder that gets no message nothing is left but the average digit.
#
# **Why.** Each unit is a shop of its own: it stays open as long as the nats of reconstruction it
# brings exceed $\beta$ times the nats of KL it costs.
#
# Once closed, it is slow to reopen: with $q_\phi = p_\lambda$ the KL's gradient is zero, the code
# is noise, the decoder has unlearned to listen, and so little tells the encoder that a message
# would help. A decoder that needs no message, an autoregressive one (notebook 10), gets there at
# $\beta = 1$.
#
# **Predict.** Take the dead model of $\beta = 20$ and train it on, as long again, at $\beta = 1$.
# Does it catch up with one that had $\beta = 1$ all the time?

# %%
longer, _ = train_small(small(), epochs=10)
reopened, _ = train_small(copy.deepcopy(swept[20]), seed=1)  # goes on from the dead one

# %% jupyter={"source_hidden": true}
back, never = autopsy(reopened), autopsy(longer)
plot.markdown(
    f"**Measured.** {back['used']} of its 10 units are used again; its test ELBO is"
    f" {back['elbo']:.1f} nats, at the same number of steps without the detour {never['elbo']:.1f}"
    " (one training each)."
)

# %% [markdown]
# ### Against it: let the code grow before it is taxed
# A large $\beta$ is not needed. Take twice as many units and five times the learning rate, at
# $\beta = 1$: in the first steps the decoder cannot use the code yet, but the KL is charged already,
# and units close that would have paid later. Two cures:
#
# *Warm-up* raises $\beta$ from near 0 to its value during the first epochs (Bowman et al. 2016).
# *Free bits* tax only what exceeds an allowance of $a$ nats for each unit, $\sum_{j=1}^{d} \max(a,
# \mathrm{KL}_j)$, with the batch's mean as $\mathrm{KL}_j$ (Kingma et al. 2016): below the
# allowance a unit has no reason to close.
#
# **Predict.** Which of the two brings back more units? And does a unit that is used again raise the
# bound?

# %%
ALLOWANCE, CURE_SEEDS = 0.5, 5  # nats a unit


def free_bits(model: VAE, x: Tensor, beta: float) -> tuple[Tensor, dict[str, Tensor]]:
    q = model.encoder(x)
    reconstruction = model.decoder(q.rsample()).log_prob(x)
    each = kl_per_dimension(q, model.prior).mean(0)
    value = reconstruction - beta * each.clamp_min(ALLOWANCE).sum()
    return value, {"elbo": value}


def hurried(seed: int, **cure) -> dict:
    torch.manual_seed(seed)
    model = VAE(latent_dim=20, hidden=100)
    return autopsy(train_small(model, lr=1e-2, seed=seed, **cure)[0])


# %%
CURES = {"no cure": {}, "warm-up": {"warm_up": 4}}
CURES["free bits"] = {"objective": free_bits}
cured = {name: [] for name in CURES}
todo = [*itertools.product(CURES, range(CURE_SEEDS))]
for name, seed in progress(todo, desc="trainings"):
    cured[name].append(hurried(seed, **CURES[name]))

# %% jupyter={"source_hidden": true}
values = {
    name: {part: np.array([at[part] for at in runs], float) for part in ("elbo", "used")}
    for name, runs in cured.items()
}
gained = {
    (name, part): intervals.of_mean(
        values[name][part] - values["no cure"][part], "seeds", comparisons=4
    )
    for name in ("warm-up", "free bits")
    for part in ("elbo", "used")
}


def gained_as(name: str, part: str) -> str:
    return gained[name, part].said("+.1f") if (name, part) in gained else ""


plot.markdown(
    "| trained with | test ELBO | gain | units used, of 20 | gain |",
    "|:--|--:|--:|--:|--:|",
    *(
        f"| {name} | {at['elbo'].mean():.1f} | {gained_as(name, 'elbo')} |"
        f" {at['used'].mean():.1f} | {gained_as(name, 'used')} |"
        for name, at in values.items()
    ),
    "",
    f"*{len(x_swept):,} test digits, the bound at $\\beta = 1$ in nats; means over the seeds."
    f" {gained['warm-up', 'elbo'].basis}.*",
)

# %% [markdown]
# Warm-up lets the units open before they are taxed, and those that pay stay open: the model uses
# more of them, and its bound rises. Free bits keep every unit open, but an open unit need not pay:
# the full allowance is charged even where less is used, so below it nothing pulls on
# $\mathrm{KL}_j$. Count the units to see that something collapsed; let the bound, or better $\log
# p(\mathbf{x})$, decide whether a cure has cured.
# %% [markdown]
# ## Is the training stable?
# The lecture counts stable training among the VAE's merits. **Predict.** Five seeds, nothing else
# changed: how far apart do they end? And with ten times the learning rate?

# %% tags=["claim-33"]
runs, hot_runs = [(ink, ink_history)], []
for seed in progress(range(5), desc="seeds"):
    if seed > 0:
        runs.append(train_small(small(seed), seed=seed))
    hot_runs.append(train_small(small(seed), seed=seed, lr=10 * RATE))

# %% jupyter={"source_hidden": true}
ends, hot_ends = (
    torch.tensor([autopsy(model)["elbo"] for model, _ in several]) for several in (runs, hot_runs)
)
level = intervals.of_mean(ends, "seeds", comparisons=2)
hotter = intervals.of_mean(hot_ends - ends, "seeds", comparisons=2)
measured["claim-33"] = (
    f"{len(ends)} seeds end within {ends.max() - ends.min():.1f} nats of one another, at a test"
    f" ELBO of {level:.1f}; ten times the learning rate changes it by {hotter.said('+.1f')}"
    f" ({level.basis})"
)
plot.measured(measured["claim-33"])

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.7))
for several, style, name in (
    (runs, {"color": MODEL, "linewidth": 1, "alpha": 0.7}, "five seeds"),
    (hot_runs, {"color": POSTERIOR, "linestyle": ":", "linewidth": 1}, "learning rate times 10"),
):
    for i, (_, history) in enumerate(several):
        steps = [row["step"] for row in history.steps]
        elbos = [row["elbo"] for row in history.steps]
        ax.plot(steps, elbos, **style, label=None if i else name)
ax.set(xlabel="step", ylabel="training ELBO, nats", ylim=(-400, -100))
ax.legend(loc="lower right")
plot.show(
    fig,
    alt=(
        "Training curves of five seeds lie on one another, a steep climb that flattens; the curves"
        f" of the tenfold learning rate run near them and end {hotter.value:+.1f} nats from their"
        " mean on test digits."
    ),
    caption=(
        f"Five seeds end within {ends.max() - ends.min():.1f} nats of one another, after a climb of"
        f" {ends.mean() - ink_history.steps[0]['elbo']:.0f}."
    ),
)

# %% [markdown]
# Encoder and decoder climb one and the same number, so neither can undo the other's work. Compare
# [notebook 04](04_gan.ipynb), where two networks pull at one number from both ends.

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    5: "it generates images",
    23: "the ELBO is a lower bound: reconstruction less a regulariser",
    24: "it can be estimated with S samples",
    26: (
        # a bar would end the column
        r"encoder, decoder and prior are tied by $q_\phi(\mathbf{z} \mid \mathbf{x}) \propto "
        r"p_\theta(\mathbf{x} \mid \mathbf{z})\,p_\lambda(\mathbf{z})$; each can be improved"
    ),
    33: "training is stable",
    34: "it finds a latent representation",
}
plot.claims_table(claims, measured)

# %% [markdown]
# ## For and against
# **For.** One objective, maximised, no game; a number that says how good the model is, with a known
# direction of error; an encoder that comes for free and gives representations; three boxes that can
# be exchanged one at a time.
#
# **Against.** A bound, whose gap hides in the comparison of two models; explicit densities for all
# three boxes; a decoder that treats pixels as independent and pays for it with smooth means and
# speckled draws; latent units that can die while the bound looks fine.

# %% [markdown]
# ## Questions
# <details><summary>Your ELBO is higher than a colleague's. Is your model better?</summary>
#
# Not necessarily: you may have the better encoder and the worse $p(\mathbf{x})$. Estimate $\log
# p(\mathbf{x})$ of both by importance sampling with the same S on the same digits, binarised in the
# same way. </details>
#
# <details><summary>Why is it the KL from q to the posterior that makes the gap, and not from the posterior to q?</summary>
#
# The expectation is taken under $q$, because that is what you can sample. So $q$ is punished for
# being where the posterior is not, and hardly for missing a bump: in the one-dimensional model it
# sat on one of two. </details>
#
# <details><summary>A library averages the KL over the latent dimensions. What have they trained?</summary>
#
# A model with $\beta = 1/d$ for $d$ dimensions: with 40 dimensions the regulariser counts a
# fortieth. Reconstructions look splendid, samples don't. </details>
#
# <details><summary>The KL is 25 nats. What does it mean in bits, and for whom?</summary>
#
# 25 / log 2, about 36 bits: what the code tells the decoder about one digit, on average, beyond
# what the prior expects (an upper bound on the information that $\mathbf{z}$ carries about
# $\mathbf{x}$). </details>
#
# <details><summary>Ten of 40 units are inactive at beta = 1. Is that a failure?</summary>
#
# Perhaps not: the bound closes units that do not pay. It is one if the same model with warm-up uses
# more of them *and* has a higher bound. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Variational
#   Auto-Encoder".
# - D. P. Kingma, M. Welling, *Auto-Encoding Variational Bayes*, ICLR 2014. D. J. Rezende, S.
#   Mohamed, D. Wierstra, *Stochastic Backpropagation*, ICML 2014.
# - Y. Burda, R. Grosse, R. Salakhutdinov, *Importance Weighted Autoencoders*, ICLR 2016: the
#   estimator and active units.
# - J. M. Tomczak, M. Welling, *VAE with a VampPrior*, AISTATS 2018: the architecture of the shipped
#   models.
# - S. R. Bowman et al., *Generating Sentences from a Continuous Space*, CoNLL 2016: collapse and
#   warm-up. D. P. Kingma et al., *Improved Variational Inference with Inverse Autoregressive Flow*,
#   NeurIPS 2016: free bits. I. Higgins et al., *beta-VAE*, ICLR 2017.
# - T. Kynkäänniemi et al., *Improved Precision and Recall Metric for Assessing Generative Models*,
#   NeurIPS 2019: realistic and covered, there in a classifier's features.
#
# Next: [08, how does a gradient pass through a draw?](08_reparameterization.ipynb)
