# ---
# jupyter:
#   dgmcourse:
#     part: A better bound
#     question: Can the prior be learned?
#     about: "a better prior: where codes are and the prior is not, mixtures, autoregressive
#       priors, the VampPrior, two layers"
#     slides: Improving the prior
#     minutes: 70
#     weights: {hvae: VAE, vamp_vae: VAE, vamp_hvae: VAE}
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
# # Priors: where should codes come from?
# *70 minutes, about 15 of them for three exercises. Slides: "Improving the prior", "Autoregressive
# prior", "VampPrior". You need the bound of [notebook 07](07_vae.ipynb).*
#
# A VAE's decoder learned from the codes its encoder sent. To generate, you send it codes of the
# prior's instead. **Does the prior send some to places where no digit's code ever was? And can it
# learn not to?**
#
# Below, each green triangle is a draw from the prior $\mathcal N(\mathbf{0}, \mathbf{I})$, each
# grey dot the code of a digit. The dotted circle, of radius 2, holds $1 - e^{-2} \approx 86\,\%$ of
# the prior. The draws are sorted: tenth 1 lies where the encoder puts more codes than the prior
# promises, tenth 10 where it puts fewest. Three things to try: go from 1 to 10, and watch the
# digits; find the tenth where they begin to fall apart; look where in the plane the last tenth
# lies, outside the circle or within.

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
import torch

from dgmcourse import intervals, plot, recipes
from dgmcourse.data.images import mnist
from dgmcourse.densities import Gaussian, Mixture
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
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.figure import slider_figure

torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine
digits = mnist("dynamic")  # training: binarised anew at every visit; test: binarised once
few = torch.arange(min(20_000, len(digits.train)))  # enough here, and light
digits = digits._replace(train=digits.train[few])
vae2 = recipes.load("vae_2d")  # two latent dimensions, trained on 50,000 digits


@torch.no_grad()
def posteriors(model, n: int) -> Gaussian:
    """q(z|x) of the first n training digits, 1,000 at a time."""
    parts = [
        model.encoder(digits.train[at : min(at + 1000, n)].tensor())
        for at in range(0, min(n, len(digits.train)), 1000)
    ]
    return Gaussian(torch.cat([q.mean for q in parts]), torch.cat([q.log_var for q in parts]))


@torch.no_grad()
def log_prob_of(density, z: torch.Tensor) -> torch.Tensor:
    """density.log_prob(z), 50 rows at a time, filled in place: small pieces that are kept would
    break up the memory.
    """
    found = torch.empty(len(z))
    for part, rows in zip(found.split(50), z.split(50), strict=True):
        part[:] = density.log_prob(rows)
    return found


torch.manual_seed(0)
q2 = posteriors(vae2, 10_000)
with torch.no_grad():
    # Their mean: how often the encoder uses a place.
    aggregate = Mixture(torch.zeros(len(q2.mean)), q2)
    drawn = vae2.prior.sample((10_000,))
    used = log_prob_of(aggregate, drawn) - vae2.prior.log_prob(drawn)
fullest_first = used.argsort(descending=True)


def draw_tenth(tenth: int) -> plt.Figure:
    """Twenty of the prior's draws, from the tenth of them in the fullest (1) to the emptiest (10)
    places.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.0), width_ratios=(1, 1.45))
    part = fullest_first.tensor_split(10)[tenth - 1]
    z = drawn[part[:: len(part) // 20][:20]]
    left.plot(*q2.mean[:2500].T, ".", ms=1.2, color=NOISE)
    left.plot(*z.T, "^", ms=6, color=PRIOR, markeredgecolor="white")
    circle = plt.Circle((0, 0), 2, fill=False, linestyle=":", color=PRIOR, linewidth=1.5)
    left.add_patch(circle)
    left.set(xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    with torch.no_grad():
        title = f"tenth {tenth}: used {used[part].mean().exp():.2g} times what was promised"
        plot.draw_images(right, vae2.decoder(z).mean, 5, title)
    return fig


classifier = recipes.load("digit_classifier")


@torch.no_grad()
def sure(images: torch.Tensor) -> torch.Tensor:
    """1 where the classifier gives one digit more than nine tenths, else 0: (N,)."""
    return torch.cat(
        [(classifier.log_prob(rows).exp().amax(-1) > 0.9).float() for rows in images.split(100)]
    )


def share(values: torch.Tensor, of: str = "draws") -> intervals.Interval:
    """The share of ones."""
    return intervals.of_share(int(values.sum()), len(values), of)


def in_hole(used: torch.Tensor) -> torch.Tensor:
    """Where the encoder is less than a tenth as often as the prior promises; `used` is the
    logarithm of the ratio.
    """
    return used < -torch.log(torch.tensor(10.0))


hole = in_hole(used)
with torch.no_grad():
    in_holes = sure(vae2.decoder(drawn[hole]).mean)
    elsewhere = sure(vae2.decoder(drawn[~hole][:1000]).mean)
    digits_themselves = sure(vae2.decoder(q2.mean[:1000]).mean)
q_all = posteriors(vae2, len(digits.train))
by = {}  # how many holes there are if so many digits are known
for n in (2500, len(q_all.mean)):
    mean, log_var = q_all.mean[:n], q_all.log_var[:n]
    known = Mixture(torch.zeros(len(mean)), Gaussian(mean, log_var))
    by[n] = share(in_hole(log_prob_of(known, drawn) - vae2.prior.log_prob(drawn)))
in_circle = share(drawn[hole].norm(dim=1) < 2)
fig, axes = plt.subplot_mosaic(
    [["plane", "elsewhere"], ["plane", "holes"]], figsize=(plot.WIDTH, 3.3), width_ratios=(1, 1.1)
)
axes["plane"].plot(*q2.mean[:2500].T, ".", ms=1.5, color=NOISE)
axes["plane"].plot(
    *drawn[hole][:150].T, "^", ms=5, color=PRIOR, markeredgecolor="black", markeredgewidth=0.5
)
axes["plane"].add_patch(
    plt.Circle((0, 0), 2, fill=False, linestyle=":", color=PRIOR, linewidth=1.5)
)
axes["plane"].set(
    xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), aspect="equal", xlabel="$z_1$", ylabel="$z_2$"
)
axes["plane"].set_title("codes, and draws in holes")
for where_, which in (("elsewhere", ~hole), ("holes", hole)):
    with torch.no_grad():
        plot.draw_images(
            axes[where_], vae2.decoder(drawn[which][:14]).mean, 7, f"decoded from {where_}"
        )
show_widget(
    slider_figure(
        draw_tenth,
        tenth=(1, 10, 1, 1),
        alt=(
            "Left, the latent plane with the codes of training digits in grey and twenty "
            "draws from the prior as green triangles. Right, what the decoder makes of these draws."
        ),
    ),
    fig,
    alt=(
        "Left, the codes of training digits in grey; green triangles, the prior's draws in holes,"
        " lie in the gaps between and around them, most within a dotted circle of radius 2. Right,"
        " fourteen digits decoded from elsewhere, and fourteen from holes."
    ),
    caption=(
        f"{hole.float().mean():.0%} of the prior's draws fall into holes, which the encoder uses"
        f" less than a tenth as often as the prior promises; {in_circle.value:.0%} of the holes lie"
        " within the circle, as gaps between the clumps."
    ),
)
rows = {
    f"draws in holes, judged by {len(q2.mean):,} training digits": share(hole),
    "the same by 2,500": by[2500],
    f"the same by {len(q_all.mean):,}: each digit more fills some": by[len(q_all.mean)],
    "draws in holes that lie within the circle": in_circle,
    "decoded from holes: the classifier is sure": share(in_holes),
    "decoded from elsewhere: it is sure": share(elsewhere),
    "reconstructed digits: it is sure": share(digits_themselves, "digits"),
}
plot.on_request(
    "In numbers",
    "| | share |",
    "|:--|--:|",
    *(f"| {what} | {found:.1%} |" for what, found in rows.items()),
    "",
    f"95 % intervals of each share of draws ({len(drawn):,} in all). Sure: one digit has more"
    " than nine tenths.",
)

# %% [markdown]
# Afterwards you can say in nats what a prior costs; write a mixture's density without losing it to
# rounding; fit a prior to a trained VAE in seconds; and write the prior that learns what it is made
# of.

# %% [markdown]
# ## The question
# The lecture calls the standard normal *unimodal* and *too restrictive*: one bump in the middle,
# while codes of digits come in clumps with gaps. An encoder at its best would be the exact
# posterior, and so three things hang together,
#
# $$q_\phi(\mathbf{z}|\mathbf{x}) \propto p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z}),$$
#
# and after the posterior ([09](09_normalizing_flows.ipynb)) and the decoder
# ([10](10_pixelvae.ipynb)) it is the turn of the last of them, the prior with its parameters
# $\lambda$, which had none so far. **Which prior would be best, what could it save, and what keeps
# you from simply taking it?**
#
# The notebook builds up to the prior that the lecture recommends, the VampPrior. Know beforehand
# how that ends: in trainings as short as those here it does not gain more likelihood than a plain
# mixture of Gaussians, rather less. What it is good at is the *draws*: they come closest to digits.
# The lecture's two claims, a better likelihood and better images, are measured separately below.

# %% jupyter={"source_hidden": true}
import copy
import math
from functools import partial

import numpy as np
from torch import Tensor

from dgmcourse.check import priors as check
from dgmcourse.data.images import Data
from dgmcourse.densities import StandardGaussian, kl
from dgmcourse.distances import frechet
from dgmcourse.models import VAE
from dgmcourse.models.autoregressive_prior import AutoregressivePrior
from dgmcourse.models.hierarchical_vae import Ancestral
from dgmcourse.models.inverse_autoregressive_flow import autoregressive_flows
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.mixture_prior import MixturePrior
from dgmcourse.models.normalizing_flow import FlowDensity
from dgmcourse.models.vamp_prior import VampPrior
from dgmcourse.train import Adam, fit, maximise
from dgmcourse.widgets.film import film

# %%
DIGITS = 8000  # of your own trainings: few of them, for the sake of time
EPOCHS, RATE = 4, 3e-3
SMALL = {"latent_dim": 2, "hidden": 100}  # their networks
PSEUDO = 50  # pseudo-inputs
FITS, STEPS = 2, 500  # where a prior alone is fitted
SEEDS = 3  # repetitions of what is drawn

test = digits.test[:2000].tensor()
measured = {}  # claim -> what you found, for the table at the end

# %% [markdown]
# ## The prior's bill
# The bound charges the encoder
# $\mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x})\,\|\,p_\lambda(\mathbf{z})]$ for each digit. What of it
# is the prior's fault? Call **aggregate posterior** what all $N$ digits together make of the latent
# space:
#
# $$\bar q(\mathbf{z}) = \frac1N \sum_{n=1}^N q_\phi(\mathbf{z}|\mathbf{x}_n)$$
#
# Read aloud: take a digit at random, then a code of it. Now write $\log q - \log p$ as
# $(\log q - \log \bar q) + (\log \bar q - \log p)$ and average over digits and codes:
#
# $$\frac1N \sum_n \mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x}_n)\,\|\,p_\lambda(\mathbf{z})] = \underbrace{\mathrm{I}(\mathbf{x};
#   \mathbf{z})}_{\text{what the code says}} + \underbrace{\mathrm{KL}[\bar q(\mathbf{z})\,\|\,p_\lambda(\mathbf{z})]}_{\text{what the prior wastes}}$$
#
# The first part is the **mutual information**: nats that the decoder gets something for. The second
# part is paid for nothing, and it is the only place in the whole bound where the prior occurs. So
# the best prior is $p_\lambda = \bar q$, and it saves exactly the second part.
#
# The whole bill has a closed form for these Gaussians:

# %%
vae40 = recipes.load("vae_40d")  # 40 latent dimensions, the same data
torch.manual_seed(0)
q40 = posteriors(vae40, 20_000)
for name, q in (("vae_2d", q2), ("vae_40d", q40)):
    bill = kl(q, StandardGaussian(q.mean.shape[-1])).mean()
    of = f"(mean of {len(q.mean):,} training digits)"
    print(f"{name} pays {bill:.1f} nats for a digit's code {of}")

# %% [markdown]
# To measure either part of it you need $\log \bar q$, the log-density of a mixture.

# %% [markdown]
# ## Exercise 1: the log-density of a mixture (6 minutes)
# $K$ diagonal Gaussians in $d$ latent dimensions, with weights $\pi_k$ that sum to 1:
#
# $$\log p(\mathbf{z}) = \log \sum_{k=1}^K \pi_k \prod_{j=1}^d \mathcal N(z_j\,|\,\mu_{kj}, \sigma_{kj}^2)$$
#
# Read aloud: multiply over dimensions within a component, *then* add over components. In logarithms the product is a
# sum and the sum a log-sum-exp, in that order. On a line
# $\log \mathcal N(z|\mu, \sigma^2) = -\tfrac12\big(\log 2\pi + \log \sigma^2 + (z - \mu)^2/\sigma^2\big)$, and
# `z[:, None] - means` has shape `(B, K, d)`.


# %% tags=["exercise"]
def mixture_log_prob(z: Tensor, log_weights, means, log_vars) -> Tensor:
    """log sum_k pi_k N(z | mu_k, diag(sigma_k^2)) in nats.

    z: (B, d).  log_weights: (K,), log pi_k.  means: (K, d).
    log_vars: (K, d), log sigma_k^2.  Returns: (B,).
    """
    ### BEGIN SOLUTION
    squares = (z[:, None] - means) ** 2 / torch.exp(log_vars)
    each = -0.5 * (math.log(2 * math.pi) + log_vars + squares).sum(-1)  # (B, K)
    return torch.logsumexp(log_weights + each, -1)
    ### END SOLUTION


# %% tags=["exercise-check"]
mixture_log_prob = check.mixture_log_prob(mixture_log_prob)
# check.mixture_log_prob.hint()

# %% [markdown]
# ## Exercise 2: split the bill (6 minutes)
# Draw one code $\mathbf{z}_n \sim q_\phi(\mathbf{z}|\mathbf{x}_n)$ for each of $N$ digits. The two
# parts of the bill are the means over $n$ of
#
# $$\log q_\phi(\mathbf{z}_n|\mathbf{x}_n) - \log \bar q(\mathbf{z}_n) \qquad\text{and}\qquad
#   \log \bar q(\mathbf{z}_n) - \log p_\lambda(\mathbf{z}_n).$$
#
# `q.log_prob(z)` pairs the $n$-th code with the $n$-th digit. The aggregate posterior pairs each
# code with all $N$: a mixture, and your first exercise knows its log-density.


# %% tags=["exercise"]
def split_kl(z: Tensor, q: Gaussian, prior) -> tuple[Tensor, Tensor]:
    """What each code says of its digit, and what the prior wastes on it, in nats.

    z: (N, d), z_n a draw from q(z|x_n).  prior.log_prob(z): (N,).
    q: its q.mean and q.log_var are (N, d), one row a digit.
    Returns: two tensors, (N,) each, whose sum is log q(z_n|x_n) - log p(z_n).
    """
    ### BEGIN SOLUTION
    log_weights = torch.full((len(z),), -math.log(len(z)))
    log_aggregate = mixture_log_prob(z, log_weights, q.mean, q.log_var)
    return q.log_prob(z) - log_aggregate, log_aggregate - prior.log_prob(z)
    ### END SOLUTION


# %% tags=["exercise-check"]
split_kl = check.split_kl(split_kl)
# check.split_kl.hint()

# %% [markdown]
# **Predict.** How many nats of vae_2d's bill does the prior waste: most, half, a few tenths? And
# what becomes of your split when it is made from 100 digits only? To see it, compute the
# information twice: with each code's own digit in the mean, and without.


# %%
@torch.no_grad()
def bracket(q: Gaussian, prior) -> tuple[Tensor, Tensor, Tensor]:
    """At a code of each digit, the information, its own digit in the mean and not, and
    the whole KL: (N,) each, nats.
    """
    n = len(q.mean)
    z, log_all, log_others = q.sample(), torch.empty(n), torch.empty(n)
    for rows in torch.arange(n).split(50):
        table = q.cross_log_prob(z[rows])  # of these codes under all n posteriors
        log_all[rows] = table.logsumexp(1) - math.log(n)
        table[torch.arange(len(rows)), rows] = -math.inf  # without its own digit
        log_others[rows] = table.logsumexp(1) - math.log(n - 1)
    log_q = q.log_prob(z)
    return log_q - log_all, log_q - log_others, log_q - prior.log_prob(z)


# %%
torch.manual_seed(0)
sizes = [n for n in (100, 300, 1000, 3000, 10_000) if n < len(q2.mean)] + [len(q2.mean)]
found = [bracket(Gaussian(q2.mean[:n], q2.log_var[:n]), vae2.prior) for n in sizes]
with torch.no_grad():
    part = Gaussian(q2.mean[:1000], q2.log_var[:1000])
    says, wastes = split_kl(part.sample(), part, vae2.prior)
print(f"your split, {len(says):,} digits: {says.mean():.2f} + {wastes.mean():.2f} nats")


# %% jupyter={"source_hidden": true}
low, high, total = found[-1]
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.8))
for k, style, words in ((1, "v--", "left out"), (0, "^-", "included")):
    label = f"information, own digit {words}"
    ax.plot(sizes, [f[k].mean() for f in found], style, color=POSTERIOR, ms=5, label=label)
ax.plot(sizes, [f[2].mean() for f in found], ":", color=PRIOR, label="whole KL")
ax.plot(sizes, np.log(sizes), color=NOISE, linewidth=1, label="log N")
ax.set(xscale="log", xlabel="digits N", ylabel="nats", ylim=(4, 12))
ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
ax.minorticks_off()
ax.legend(fontsize=9)
wasted = [intervals.of_mean(total - part, "digits") for part in (high, low)]
waste = f"{wasted[0].value:.2f} to {wasted[1].value:.2f}"
plot.show(
    fig,
    alt=(
        "The information against the number of digits: one estimate rises along log N and bends"
        " off, the other falls; they approach one another just below the whole KL."
    ),
    caption=(
        f"With {sizes[-1]:,} digits the two estimates of what the code says nearly meet, and leave"
        f" {waste} nats that the prior wastes."
    ),
)
plot.on_request(
    "In numbers",
    "| digits | whole KL | information, own digit included | left out |",
    "|--:|--:|--:|--:|",
    *(
        f"| {n:,} | {mean_and_error(whole, '.2f')} | {mean_and_error(with_, '.2f')} |"
        f" {mean_and_error(without, '.2f')} |"
        for n, (with_, without, whole) in zip(sizes, found, strict=True)
    ),
    "",
    f"Nats; mean and standard error over digits. With {sizes[0]} digits the split would have said"
    f" {(found[0][2] - found[0][0]).mean():.2f} wasted: it can't see more information than log"
    f" {sizes[0]} = {math.log(sizes[0]):.1f}. Where the upper line is above the whole KL, its waste"
    " would be negative; values above 12 are cut off.",
)

# %% [markdown]
# With few digits $\bar q$ is dominated by each code's own digit, and the information comes out as
# $\log N$ at most. Leave that digit out of its own mean, and it comes out too high instead (both by
# Jensen, in the mean over samples of digits). With infinitely many digits it would lie between
# the two. For vae_40d such a split would say little: its bill is far above $\log N$.
#
# So most of vae_2d's KL is not waste: it is what the decoder lives on, and no prior can save it.
# The waste is small, for this encoder was *trained* to fit $\mathcal N(\mathbf{0}, \mathbf{I})$.
# Nor is all of it a matter of gaps: the encoder's widths are clipped from below ([notebook
# 07](07_vae.ipynb)), so it spreads its codes wider than the prior. A table below says how much
# a single, wider bump would save.
#
# The bill does not show what the encoder gave up to fit the prior. That comes out only when prior
# and encoder learn together.

# %% [markdown]
# ## Break it: the best prior
# The best prior is $\bar q$. You know the encoder and have the digits, so why not take it: the
# mixture of the posteriors of all training digits? Nothing to train. **Predict.** The bound gains
# the second part of the bill on these digits. And on test digits? Try it with two latent dimensions
# and with 40.

# %%
torch.manual_seed(0)
counts = [n for n in (10, 100, 1000) if n < len(q2.mean)] + [len(q2.mean)]


@torch.no_grad()
def gain(prior, q: Gaussian) -> Tensor:
    """What the bound gains if this prior replaces N(0, I): log p(z) - log N(z | 0, I)
    at a code of each digit, (N,).
    """
    z = q.sample()
    return log_prob_of(prior, z) - StandardGaussian(z.shape[-1]).log_prob(z)


# %%
memory = {}  # (model, on): the gains on the digits, for each count
for name, model, q in (("vae_2d", vae2, q2), ("vae_40d", vae40, q40)):
    with torch.no_grad():
        new_digits = model.encoder(test)
    for n in counts:
        known = q.select(torch.arange(n))
        prior = Mixture(torch.zeros(n), known)
        own = gain(prior, known.select(torch.arange(min(n, 2000))))
        on_both = {"its own digits": own, "test digits": gain(prior, new_digits)}
        for on, values in on_both.items():
            found_gain = intervals.of_mean(values, "digits")
            memory.setdefault((name, on), []).append(found_gain)

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
for ax, name in zip(axes, ("vae_2d", "vae_40d"), strict=True):
    for on, style, colour in (("its own digits", "o-", PRIOR), ("test digits", "s--", DATA)):
        mean, low = np.array([(each.value, each.low) for each in memory[name, on]]).T
        ax.errorbar(counts, mean, mean - low, fmt=style, color=colour, ms=5, capsize=3, label=on)
    ax.axhline(0, color=NOISE, linewidth=1)
    ax.set(xscale="log", yscale="symlog", xlabel="digits in the prior", title=name)
    ax.set_yticks([-1000, -100, -10, 0, 10], ["-1,000", "-100", "-10", "0", "10"])
    ax.set_xticks(counts, [f"{n:,}" for n in counts])
    ax.minorticks_off()
axes[0].set_ylabel("gain of the bound, nats")
axes[0].legend(fontsize=9)
last = {key: values[-1] for key, values in memory.items()}
plot.show(
    fig,
    alt=(
        "Gain of the bound against the number of digits in the prior, for two models, on an axis"
        " that is logarithmic away from zero: on its own digits it is positive; on test digits it"
        " begins far below zero and rises, with two latent dimensions to about zero, with 40 it"
        " stays far below."
    ),
    caption=(
        "With 40 latent dimensions the prior has learned its digits by heart:"
        f" {last['vae_40d', 'its own digits'].value:+.0f} nats on them,"
        f" {last['vae_40d', 'test digits'].value:+.0f} on test digits."
    ),
)
plot.on_request(
    "In numbers",
    f"| model | {counts[-1]:,} posteriors gain on | nats |",
    "|:--|:--|--:|",
    *(f"| {name} | {on} | {found:+.2f} |" for (name, on), found in last.items()),
    "",
    f"{last['vae_2d', 'test digits'].basis}; one training each.",
)

# %% [markdown]
# With 40 dimensions the posteriors are islands. A prior that is made of them covers its own digits
# and nothing else: it is **overfitted**, like a kernel density estimate whose bumps are too narrow.
# It also costs $N$ components at each evaluation.
#
# The cure is the usual one: *fewer* parameters than examples, fitted to all of them, and judged on
# digits that were not there.

# %% [markdown]
# ## Fit a prior afterwards
# Leave encoder and decoder as they are. Then only one term of the bound moves:
#
# $$\max_\lambda\; \frac1N \sum_n \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x}_n)}[\log p_\lambda(\mathbf{z})]$$
#
# Read aloud: take codes, and fit any density to them by maximum likelihood. It costs seconds. Three
# families, beside **one Gaussian**, which needs no fit (its mean and widths are those of the codes)
# and shows what more than one bump is worth:
#
# - **A mixture of Gaussians:** $K$ means, variances and weights. Your exercise 1, with parameters.
# - **An autoregressive prior:** each dimension given those before it, $p_\lambda(\mathbf{z}) =
#   \prod_j p_\lambda(z_j|z_1, \dots, z_{j-1})$. Any distribution can be written so; one masked
#   network gives all the conditionals at once, here small mixtures on a line.
# - **An autoregressive flow**, the prior of the Variational Lossy Auto-encoder: the flow of
#   [notebook 09](09_normalizing_flows.ipynb) sends codes to noise, $\log p_\lambda(\mathbf{z}) =
#   \log \mathcal N(f(\mathbf{z})|\mathbf{0}, \mathbf{I}) + \log |\det \partial f/\partial
#   \mathbf{z}|$. With a single step it is an autoregressive prior of Gaussians.


# %%
def fit_prior(prior, q: Gaussian, rate: float, seed: int = 0):
    """Maximise log p(z) over codes of the posteriors q, 250 in a step; the rate falls
    to 0.
    """
    torch.manual_seed(seed)
    optimiser = Adam(prior.parameters(), lr=rate)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = rate * min(1, 2 * (1 - step / STEPS))
        z = q.select(torch.randint(len(q.mean), (250,))).sample()
        maximise(prior.log_prob(z), optimiser)
    return prior


# %%
FAMILIES = {
    "mixture of Gaussians": lambda dim: MixturePrior(dim, components=100, spread=0.1),
    "autoregressive": lambda dim: AutoregressivePrior(dim, (100, 100), components=5),
    "autoregressive flow": lambda dim: FlowDensity(
        StandardGaussian(dim), autoregressive_flows(dim, 4, hidden=(100,))
    ),
}
# The best learning rates we tried.
RATES = dict(zip(FAMILIES, (3e-2, 7e-3, 1e-2), strict=True))


def one_gaussian(q: Gaussian) -> Gaussian:
    """The best prior with one bump and a diagonal covariance: mean and variance of all
    codes.
    """
    variance = q.mean.var(0) + q.log_var.exp().mean(0)
    return Gaussian(q.mean.mean(0), torch.log(variance))


# %% [markdown]
# **Predict.** Which family finds the gaps between the clumps in two dimensions? And how many nats
# of the two bills does a fitted prior save on test digits?

# %%
gains, fitted = {}, {}  # (model, family) -> gains on test digits, one row a seed; prior
single = {}  # model -> gain by one Gaussian
for name, model, q in (("vae_2d", vae2, q2), ("vae_40d", vae40, q40)):
    with torch.no_grad():
        new_digits = model.encoder(test)
    single[name] = gain(one_gaussian(q), new_digits)
    for family in progress(FAMILIES, desc=name):
        for seed in range(FITS):
            torch.manual_seed(seed)
            prior = FAMILIES[family](q.mean.shape[-1])
            prior = fit_prior(prior, q, RATES[family], seed)
            gains.setdefault((name, family), []).append(gain(prior, new_digits))
        fitted[name, family] = prior


# %% jupyter={"source_hidden": true}
def widened(q: Gaussian, width: float = 0.1) -> Mixture:
    """The aggregate posterior, each posterior a little wider, for the eye."""
    wider = Gaussian(q.mean, torch.log(q.log_var.exp() + width**2))
    return Mixture(torch.zeros(len(q.mean)), wider)


@torch.no_grad()
def show_density(
    ax: plt.Axes, density, middle, reach: float, title: str = "", top: float | None = None
) -> float:
    """A density on a square of the plane as shades up to `top`, its own maximum if None, which is
    returned. Codes are grey.
    """
    side = torch.linspace(-reach, reach, 81)
    plane = torch.cartesian_prod(side, side) + torch.as_tensor(middle)
    picture = log_prob_of(density, plane).exp().reshape(81, 81).T
    top = top or picture.quantile(0.995).item()
    extent = [
        *(float(middle[0]) + reach * s for s in (-1, 1)),
        *(float(middle[1]) + reach * s for s in (-1, 1)),
    ]
    cmap = "Greens" if ax.get_label() == "prior" else "Greys"
    ax.imshow(picture, origin="lower", extent=extent, cmap=cmap, vmin=0, vmax=top)
    ax.set_title(title, fontsize=9)
    ax.locator_params(nbins=4)
    ax.tick_params(labelsize=8)
    return top


panels = {"standard normal": vae2.prior, "one Gaussian": one_gaussian(q2)}
panels |= {family: fitted["vae_2d", family] for family in FAMILIES}
fig, axes = plt.subplots(1, 6, figsize=(plot.WIDTH, 1.9), sharey=True)
origin, codes2 = (0.0, 0.0), widened(Gaussian(q2.mean[:5000], q2.log_var[:5000]))
top = 1 / (2 * math.pi)  # where the standard normal is highest: no shade of it is cut off
show_density(axes[0], codes2, origin, 3.6, "codes of digits", top)
for ax, (name, prior) in zip(axes[1:], panels.items(), strict=True):
    ax.set_label("prior")
    show_density(ax, prior, origin, 3.6, "\n".join(name.rsplit(" ", 1)), top)
for ax in axes:
    ax.set_xlabel("$z_1$")
axes[0].set_ylabel("$z_2$")


def over_seeds(values: list[Tensor], comparisons: int = 1) -> intervals.Interval:
    """The gain on test digits, each digit's averaged over the fits."""
    return intervals.of_mean(torch.stack(values).mean(0), "digits", comparisons)


def in_holes_of(prior, n: int = 2000) -> intervals.Interval:
    """The share of the prior's draws at places that the encoder uses less than a tenth as often as
    the prior.
    """
    torch.manual_seed(3)
    z = prior.sample((n,))
    return share(in_hole(log_prob_of(aggregate, z) - log_prob_of(prior, z)))


holes_of = {name: in_holes_of(prior) for name, prior in panels.items()}
fewest = min(holes_of, key=lambda name: holes_of[name].value)
plot.show(
    fig,
    alt=(
        "Six densities over the latent plane: the codes' own, with clumps and gaps; the standard"
        " normal, one round bump; one Gaussian, a wider and flatter one; and three fitted priors,"
        " all smoother than the codes: the mixture with several clumps, the others with the codes'"
        " outline and few gaps."
    ),
    caption=(
        f"The {fewest} finds the gaps best: {holes_of[fewest].value:.0%} of its draws fall into"
        f" holes, of the standard normal's {holes_of['standard normal'].value:.0%}."
    ),
)
plot.on_request(
    "Draws in holes, of all six",
    "| prior | share of 2,000 draws |",
    "|:--|--:|",
    *(f"| {name} | {found:.1%} |" for name, found in holes_of.items()),
    "",
    f"{holes_of[fewest].basis}.",
)

# %% jupyter={"source_hidden": true}
alone = {(name, "one Gaussian"): [values] for name, values in single.items()}
compared = 2 * (1 + len(FAMILIES))
saved = {key: over_seeds(values, compared) for key, values in (gains | alone).items()}
rows = []
for (name, family), gained in sorted(saved.items()):
    each = [values.mean() for values in gains.get((name, family), [])]
    span = f"{min(each):+.2f} to {max(each):+.2f}" if each else ""
    rows.append(f"| {name} | {family} | {gained.said('+.2f')} | {span} |")
torch.manual_seed(0)
spread_out = MixturePrior(40, components=100, spread=1.0)
far = gain(fit_prior(spread_out, q40, RATES["mixture of Gaussians"]), new_digits)
plot.markdown(
    "| encoder and decoder | prior fitted afterwards | gain of the bound, test digits | each fit |",
    "|:--|:--|--:|--:|",
    *rows,
    "",
    f"*Nats against the standard normal, {gained.basis}; means of {FITS} fits of {STEPS} steps."
    " So few steps favour what learns fast: this is no order of the families.*",
)
plot.on_request(
    "Where a mixture's means begin",
    "With 40 dimensions it matters: begun a standard deviation of 1 apart instead of 0.1, the"
    f" mixture gains {intervals.of_mean(far, 'digits'):+.2f} instead of"
    f" {saved['vae_40d', 'mixture of Gaussians'].value:+.2f}. Components far from all codes are"
    " responsible for none, and get no gradient.",
)

# %% [markdown]
# What one Gaussian gains was no fault of being unimodal: the bump had the wrong widths. Only what a
# family gains beyond it is the price of *one* bump.
#
# The bound rises by what the table says, and nothing else was touched: no pixel is reconstructed
# better. What changes is where you draw from. **Predict.** Does one *see* it? The measure is the
# Fréchet distance of [notebook 04](04_gan.ipynb), between decoded draws and test digits, in a
# classifier's features: smaller is better.


# %%
@torch.no_grad()
def distance_to_digits(decoder, prior, seed: int = 0) -> float:
    """Frechet distance of decoded draws (means) from as many test digits, in the
    classifier's features.
    """
    torch.manual_seed(seed)
    parts = prior.sample((count,)).split(100)
    drawn = [classifier.features(decoder(z).mean) for z in parts]
    return frechet(torch.cat(drawn), real_features)


def features_of(part: Data) -> Tensor:
    """The classifier's features of some grey digits."""
    grey = Data(part.x[torch.randperm(len(part))[:count]]).tensor()
    return classifier.features(grey, rows=100)


def distances_of(decoder, prior) -> list[float]:
    return [distance_to_digits(decoder, prior, seed) for seed in range(SEEDS)]


# %%
torch.manual_seed(1)
count = min(5000, len(digits.test))
real_features, again = features_of(digits.test), features_of(digits.train)
afterwards = {"standard normal": vae40.prior}
afterwards |= {family: fitted["vae_40d", family] for family in FAMILIES}
distances = {}
for name, prior in afterwards.items():
    distances[name] = distances_of(vae40.decoder, prior)
with torch.no_grad():
    torch.manual_seed(5)
    blocks = [vae40.decoder(prior.sample((20,))).mean for prior in afterwards.values()]

# %% jupyter={"source_hidden": true}
closest = min(FAMILIES, key=lambda family: np.mean(distances[family]))
real_distance = frechet(again, real_features)


def rounded(values) -> str:
    """Mean and standard error over repetitions, with as many digits as the error allows."""
    error = standard_error(values)
    places = min(4, max(0, -math.floor(math.log10(error / 3)))) if error > 0 else 2
    return mean_and_error(values, f".{places}f")


plot.show(
    plot.images(
        blocks, titles=[name.replace(" of ", "\nof ").replace("e f", "e\nf") for name in afterwards]
    ),
    alt=(
        "Four blocks of twenty digits decoded by vae_40d from draws of the standard normal and of"
        " three priors fitted afterwards. Those of the standard normal and of the flow have more"
        " shapes that are no digit than the mixture's."
    ),
    caption=(
        f"One decoder, four priors. The {closest} brings the draws from a Fréchet distance of"
        f" {np.mean(distances['standard normal']):.0f} to {np.mean(distances[closest]):.0f}."
    ),
)
plot.on_request(
    "All distances",
    "| prior | Fréchet distance from test digits |",
    "|:--|--:|",
    *(f"| {name} | {rounded(d)} |" for name, d in distances.items()),
    f"| training digits | {real_distance:.1f} |",
    "",
    f"In a classifier's features; {count:,} draws, mean and standard error over {SEEDS} repetitions"
    " of drawing. From fewer images a distance comes out larger: all in this notebook are from so"
    " many.",
)

# %% [markdown]
# ## The VampPrior
# The best prior is $\bar q$, but it knows too many digits. The lecture's answer: keep its form and
# make it of a few inputs that are *learned*,
#
# $$p_\lambda(\mathbf{z}) = \frac1K \sum_{k=1}^K q_\phi(\mathbf{z}|\mathbf{u}_k).$$
#
# Read aloud: the prior is the mean of the encoder's answers to $K$ pictures that nobody wrote. The
# **pseudo-inputs** $\mathbf{u}_k$ are $\lambda$. They are trained with everything else, by the
# gradient of the bound that passes through the encoder. It is called the *variational mixture of
# posteriors*.
#
# What is new against a mixture of Gaussians? Prior and posterior share the encoder's weights: when
# the encoder moves its codes, the prior moves along. And its components are never far from all
# codes: they lie where the encoder *can* send something.

# %% [markdown]
# ## Exercise 3: the VampPrior (3 minutes)
# `encoder(u)` is a Gaussian with `.mean` and `.log_var`, `(K, d)` each for $K$ pseudo-inputs and
# $d$ latent dimensions. The gradient must reach both the pseudo-inputs and the encoder.


# %% tags=["exercise"]
def vamp_log_prob(z: Tensor, u: Tensor, encoder) -> Tensor:
    """log of the mean of q(z|u_k) over K pseudo-inputs, in nats.

    z: (B, d).  u: (K, number of pixels).  Returns: (B,).
    """
    ### BEGIN SOLUTION
    q = encoder(u)
    log_weights = torch.full((len(u),), -math.log(len(u)))
    return mixture_log_prob(z, log_weights, q.mean, q.log_var)
    ### END SOLUTION


# %% tags=["exercise-check"]
vamp_log_prob = check.vamp_log_prob(vamp_log_prob)
# check.vamp_log_prob.hint()

# %% [markdown]
# ## Train it, and watch the pseudo-inputs
# Your prior in a VAE with two latent dimensions, so that you can look at it. The pseudo-inputs
# start as grey noise with a mean of 0.05: pixels outside 0 and 1 are clipped and get no gradient,
# so a start below 0 would never learn anything.
#
# **Predict.** What will the pseudo-inputs look like in the end: digits, averages of digits, or
# noise to anyone but the encoder?


# %%
class YourVampPrior(VampPrior):
    """The course's, which knows how to sample, with your log-density."""

    def log_prob(self, z: Tensor) -> Tensor:
        return vamp_log_prob(z, self.pseudo_inputs, self.encoder)


# %%
def with_prior(prior, seed: int = 0) -> LatentVariableModel:
    """A small VAE with the prior `prior(encoder)`; a seed fixes its networks' first
    weights.
    """
    torch.manual_seed(seed)
    plain = VAE(**SMALL)
    return LatentVariableModel(prior(plain.encoder), plain.encoder, plain.decoder)


def train(model: LatentVariableModel, **settings) -> LatentVariableModel:
    settings |= {"epochs": EPOCHS, "batch_size": 50, "lr": RATE, "anneal": 2}
    fit(model, digits.train[:DIGITS], progress=False, **settings)
    return model.eval()


# %%
yours = with_prior(lambda encoder: YourVampPrior(encoder, 784, PSEUDO))
shots, steps = {}, iter(range(10**6))


def shot() -> tuple:
    return yours.prior.pseudo_inputs.detach().clone(), copy.deepcopy(yours.encoder)


def watched(x: Tensor, beta: float) -> tuple[Tensor, dict]:
    """The model's objective; now and then keep a copy of pseudo-inputs and encoder."""
    if (step := next(steps)) in (0, 10, 30, 60, 100, 200, 400):
        shots[step] = shot()
    return yours.objective(x, beta)


train(yours, objective=watched)
shots[next(steps)] = shot()


# %% jupyter={"source_hidden": true}
def draw_shot(step: int) -> plt.Figure:
    u, encoder = shots[step]
    with torch.no_grad():
        codes, pseudo = encoder(test[:1000]).mean, encoder(u)
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.0), width_ratios=(1.35, 1))
    darkest = plot.full_contrast(u[:30])  # their greys are faint: the darkest is drawn black
    plot.draw_images(left, darkest, 6, f"30 of {PSEUDO} pseudo-inputs, step {step}")
    right.plot(*codes.T, ".", ms=1.5, color=NOISE)
    for mean, width in zip(pseudo.mean, (pseudo.log_var / 2).exp(), strict=True):
        right.add_patch(
            plt.matplotlib.patches.Ellipse(mean, *(4 * width), fill=False, color=PRIOR, linewidth=1)
        )
    middle = (codes.amin(0) + codes.amax(0)) / 2
    reach = 1.2 * float((codes - middle).abs().max().clamp_min(1))
    right.set(
        xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach)
    )
    right.set(
        aspect="equal", xlabel="$z_1$", ylabel="$z_2$", title="codes, and the prior's components"
    )
    return fig


def spreads(q: Gaussian) -> tuple[float, float]:
    """How far codes scatter within a posterior, and posteriors' means: roots of mean variances."""
    return q.log_var.exp().mean().sqrt().item(), q.mean.var(0).mean().sqrt().item()


with torch.no_grad():
    scatter = {step: spreads(encoder(u)) for step, (u, encoder) in shots.items()}
last_step = max(shots)
show_widget(
    film(
        [draw_shot(step) for step in shots],
        [
            f"Step {step}: pseudo-inputs span {u.min():.2f} to {u.max():.2f}, mean {u.mean():.3f};"
            " at the right their posteriors, as ellipses of two standard deviations, over the codes"
            f" of test digits: {within:.2f} wide (one standard deviation), their middles scattered"
            f" by {between:.2f}."
            for (step, (u, _)), (within, between) in zip(
                shots.items(), scatter.values(), strict=True
            )
        ],
        label="step",
        seconds=0.9,
    ),
    draw_shot(last_step),
    alt=(
        "Left, thirty learned pseudo-inputs, specks for the most part, a few with the outline of a"
        " digit. Right, the codes of test digits in grey and the prior's components as green"
        " ellipses over them."
    ),
    caption=(
        "Each pseudo-input is drawn with its darkest grey as black. The classifier is sure of"
        f" {int(sure(shots[last_step][0]).sum())} of the {PSEUDO} in the end; their posteriors,"
        " which lay on one another, have parted."
    ),
)

# %% [markdown]
# The encoder is the only reader they have: any picture that it sends to the right place will do,
# and nobody taught them to look like anything to you. Watch the ellipses instead: they begin as one
# bump and part to where the codes go.

# %% [markdown]
# ## How many pseudo-inputs?
# With $K = 1$ the prior is one Gaussian, as *unimodal* as the standard normal, but it learns its
# place and its widths. With $K = N$ and digits for pseudo-inputs it is $\bar q$. **Predict.** What
# does $K = 1$ gain over the standard normal: nothing, half of what there is to gain, nearly all?
# From which $K$ on does more not help?
#
# Three things to try with the slider: begin at $K = 1$ and compare the two densities; find the $K$
# from which on you can't tell them apart; then look at the codes' density alone while you move.

# %%
KS, normal = [1, 5, 25], "standard normal"
choices = {normal: lambda encoder: StandardGaussian(2)}
choices |= {K: partial(VampPrior, data_dim=784, components=K) for K in KS}
# (K or the normal, seed) -> model; for one seed all start alike and see the same digits
by_size = {}
for seed in range(2):
    for K, prior in progress(choices.items(), desc=f"seed {seed}"):
        by_size[K, seed] = train(with_prior(prior, seed), seed=seed)


# %% jupyter={"source_hidden": true}
@torch.no_grad()
def bound_of(model: LatentVariableModel, seed: int = 0) -> Tensor:
    """The ELBO of each of 2,000 test digits, a mean of three draws: (N,)."""
    torch.manual_seed(seed)
    draws = [torch.cat([model.elbo(rows) for rows in test.split(500)]) for _ in range(3)]
    return torch.stack(draws).mean(0)


@torch.no_grad()
def square_of(model: LatentVariableModel) -> tuple[Gaussian, Tensor, float]:
    """The posteriors of 1,500 test digits; the middle and reach of the square with their codes."""
    q = model.encoder(test[:1500])
    middle = (q.mean.amin(0) + q.mean.amax(0)) / 2
    return q, middle, 1.1 * (q.mean - middle).abs().max().item()


@torch.no_grad()
def draw_both(model: LatentVariableModel, title: str) -> plt.Figure:
    """Pseudo-inputs; the codes' density and the prior's, on one scale."""
    fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.5), width_ratios=(1.1, 1, 1))
    u = model.prior.pseudo_inputs
    plot.draw_images(
        axes[0],
        plot.full_contrast(u[:25]),
        5,
        f"{min(25, len(u))} of {len(u)} pseudo-inputs" if len(u) > 1 else "the pseudo-input",
    )
    q, middle, reach = square_of(model)
    top = show_density(axes[1], widened(q), middle, reach, "codes of test digits")
    axes[2].set_label("prior")
    show_density(axes[2], model.prior.precomputed(), middle, reach, title, top)
    return fig


size_bounds = {key: bound_of(model) for key, model in by_size.items()}
show_widget(
    slider_figure(
        lambda K: draw_both(by_size[K, 0], f"prior, bound {size_bounds[K, 0].mean():.1f}"),
        K=KS,
        alt=(
            "Left, up to 25 pseudo-inputs; in the middle, the density of the codes of test digits;"
            " right, the VampPrior's density."
        ),
    ),
    draw_both(by_size[KS[-1], 0], f"prior, bound {size_bounds[KS[-1], 0].mean():.1f}"),
    alt=(
        "Left, 25 pseudo-inputs, each with its darkest grey drawn black; in the middle, the density"
        " of the codes of test digits; right, the VampPrior's, of much the same outline."
    ),
)

# %% jupyter={"source_hidden": true}
gained = {
    (K, seed): size_bounds[K, seed] - size_bounds[normal, seed] for K in KS for seed in range(2)
}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.5))
for seed, style in enumerate(("o-", "s--")):
    each = [intervals.of_mean(gained[K, seed], "digits") for K in KS]
    ax.errorbar(
        [i + 1 + 0.04 * seed for i in range(len(KS))],
        [d.value for d in each],
        [d.value - d.low for d in each],
        fmt=style,
        color=MODEL,
        capsize=3,
        ms=5,
        label=f"seed {seed}",
    )
ax.plot(0, 0, "D", color=NOISE, ms=6)
ax.axhline(0, color=NOISE, linewidth=1)
ax.set(xlabel="pseudo-inputs K", ylabel="gain of the bound, nats")
ax.set_xticks(range(len(KS) + 1), [normal, *KS])
ax.legend(fontsize=9, loc="lower right")
one, many = (np.mean([gained[K, seed].mean() for seed in range(2)]) for K in (KS[0], KS[-1]))
plot.show(
    fig,
    alt=(
        "The gain of the test bound over the standard normal against the number of pseudo-inputs,"
        " one line for each of two seeds: both jump at one pseudo-input and rise a little from"
        " there."
    ),
    caption=(
        f"Most of the gain comes with the first pseudo-input: {one:.2f} nats in the mean of two"
        f" seeds, {many:.2f} with {KS[-1]}."
    ),
)
rises = {
    (K, seed): intervals.of_mean(gained[K, seed] - gained[KS[0], seed], "digits", 2 * (len(KS) - 1))
    for K in KS[1:]
    for seed in range(2)
}
between = abs(size_bounds[normal, 0].mean() - size_bounds[normal, 1].mean())
plot.on_request(
    "Beyond one pseudo-input",
    "| K | seed | gain over K = 1, nats |",
    "|--:|--:|--:|",
    *(f"| {K} | {seed} | {rise.said('+.2f')} |" for (K, seed), rise in rises.items()),
    "",
    f"{rises[KS[-1], 0].basis}. Lines compare like with like: the two standard normals themselves"
    f" are {between:.1f} nats apart.",
)

# %% [markdown]
# One Gaussian that may choose its place and widths is no richer: shift and stretch the encoder's
# last layer and the decoder's first, and it is the standard normal again, with the same bound (but
# for the clipped widths). What it gains here is *speed*: the networks need not carry the codes to
# the prior first, and these trainings are short. Only the rest, from $K = 1$ on, is the price of
# there being *one* bump. And look at the codes' density alone while you move the slider: the prior
# does not only follow the codes. **The codes follow the prior**, too.

# %% [markdown]
# ## Five priors, one architecture
# Now all of them, each trained *together* with the same encoder and decoder. With the parts of a
# `LatentVariableModel` a prior is one line. **Predict.** Where will the codes lie if no round bump
# holds them together? And does each prior find them?

# %%
PRIORS = {
    "mixture of Gaussians": lambda encoder: MixturePrior(2, PSEUDO),
    "autoregressive": lambda encoder: AutoregressivePrior(2, (50,), components=3),
    "autoregressive flow": lambda encoder: FlowDensity(
        StandardGaussian(2), autoregressive_flows(2, 4, (50,))
    ),
}
runs = {normal: by_size[normal, 0]}
for name, prior in progress(PRIORS.items(), desc="priors"):
    runs[name] = train(with_prior(prior))
runs["VampPrior"] = yours
together = {name: bound_of(model) for name, model in runs.items()}

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 5, figsize=(plot.WIDTH, 3.1))
for (above, below), (name, model) in zip(axes.T, runs.items(), strict=True):
    q, middle, reach = square_of(model)
    top = show_density(above, widened(q), middle, reach, "\n".join(name.rsplit(" ", 1)))
    below.set_label("prior")
    show_density(below, model.prior.precomputed(), middle, reach, "", top)
axes[0, 0].set_ylabel("codes")
axes[1, 0].set_ylabel("prior")
for ax in axes.flat:
    ax.locator_params(nbins=3)
gain_together = {
    name: intervals.of_mean(values - together[normal], "digits", len(together))
    for name, values in together.items()
    if name != normal
}
vamp_less = intervals.of_mean(
    together["VampPrior"] - together["mixture of Gaussians"], "digits", len(together)
)
plot.show(
    fig,
    alt=(
        "Two rows of five densities over the latent plane. Above, the codes of test digits, much"
        " the same shape with each prior; below, the prior: the standard normal lies off the codes'"
        " middle, mixture, autoregressive prior and flow are a smooth patch over them, the"
        " VampPrior follows their outline."
    ),
    caption=(
        "Above, codes; below, the prior that was trained with them. The VampPrior follows the"
        " codes' outline."
    ),
)
plot.markdown(
    "| trained with | gain of the bound over the standard normal, nats |",
    "|:--|--:|",
    *(f"| {name} | {gained.said('+.2f')} |" for name, gained in gain_together.items()),
    f"| VampPrior over the mixture | {vamp_less.said('+.2f')} |",
    "",
    f"*{vamp_less.basis}; one training each: another seed may give another order.*",
)
rows = []
for name in (normal, "VampPrior"):
    torch.manual_seed(0)
    low, high, total = bracket(posteriors(runs[name], 5000), runs[name].prior.precomputed())
    rows.append(
        f"| {name} | {mean_and_error(total, '.2f')} | {mean_and_error(low, '.2f')} to"
        f" {mean_and_error(high, '.2f')} | {mean_and_error(total - high, '.2f')} to"
        f" {mean_and_error(total - low, '.2f')} |"
    )
plot.markdown(
    "| trained with | the bill, KL | what the code says | what the prior wastes |",
    "|:--|--:|--:|--:|",
    *rows,
    "",
    f"*Nats, mean and standard error over {len(low):,} training digits, with each code's own digit"
    " in the mean and without.*",
)

# %% [markdown]
# With a learned prior nothing ties the codes to the origin, and the prior lies where they do. Their
# shape is much the same after so few steps, and not every prior has found its outline. Read the
# table: what the prior wastes all but goes, what the code says stays. That is what the
# proportionality sign asks for: change one of the three, and the others want to move. How much each
# prior brings, and in which order, one short training can't tell you: that takes several seeds.

# %% [markdown]
# ## Ten dimensions, five priors, two layers
# Two dimensions are for the eye. The same comparison with ten latent dimensions on all training
# digits outlasts a lesson, so it was done beforehand, over several seeds: `python -m
# dgmcourse.studies priors`. Two models in it have two layers:
#
# $$p_\theta(\mathbf{x}|\mathbf{z}_1, \mathbf{z}_2)\, p_\lambda(\mathbf{z}_1|\mathbf{z}_2)\, p_\lambda(\mathbf{z}_2) \qquad\text{and}\qquad
#   q_\phi(\mathbf{z}_1|\mathbf{x}, \mathbf{z}_2)\, q_\phi(\mathbf{z}_2|\mathbf{x})$$
#
# Read aloud: $\mathbf{z}_2$ decides first, $\mathbf{z}_1$ fills in. It is the **hierarchical VAE**.
# For $\mathbf{z}_1$ the layer above is a learned prior, an infinite mixture of Gaussians, $\int
# p_\lambda(\mathbf{z}_1|\mathbf{z}_2)\,p_\lambda(\mathbf{z}_2)\,d\mathbf{z}_2$; for $\mathbf{z}_2$
# you still choose one: the standard normal, or a VampPrior.
#
# **Predict.** Order these by test likelihood: VAE, VAE with VampPrior, hierarchical VAE,
# hierarchical VAE with VampPrior. Is it the same order if you judge by generated images?

# %% jupyter={"source_hidden": true}
table = recipes.study("priors")
found = {}  # model -> seed -> row
for row in table["rows"]:
    found.setdefault(row["model"], {})[row["seed"]] = row
whole = [seed for seed in found["standard normal"] if all(seed in rows for rows in found.values())]
columns = {
    name: {
        key: np.array([rows[seed][key] for seed in whole])
        for key in ("test_nll", "frechet", "sharpness")
    }
    for name, rows in found.items()
}


def against(name: str, base: str, key: str, comparisons: int, better: int = -1):
    """By how much the model is better than the base, paired over seeds: an interval."""
    difference = better * (columns[name][key] - columns[base][key])
    return intervals.of_mean(difference, "seeds", comparisons)


others = [name for name in columns if name != normal]
gain_of = {name: against(name, normal, "test_nll", len(others)) for name in others}
plot.markdown(
    (
        "| trained together | test log p(x) | better than the standard normal by | Fréchet"
        " distance | sharpness |"
    ),
    "|:--|--:|--:|--:|--:|",
    *(
        f"| {name} | {-c['test_nll'].mean():.2f} |"
        f" {gain_of[name].said('.2f') if name in gain_of else ''} | {rounded(c['frechet'])} |"
        f" {rounded(c['sharpness'] / table['digits']['sharpness'])} |"
        for name, c in columns.items()
    ),
    f"| training digits | | | {table['digits']['frechet']:.1f} | 1 |",
    "",
    f"*Gains: {gain_of['VampPrior'].basis}; other errors: standard errors over seeds.*",
)
plot.on_request(
    "How they were trained and measured",
    f"{table['settings']['epochs']} epochs on {table['data'].split(' and')[0]} digits, far shorter"
    " than the weights' trainings, with 100 hidden units and 100 components or pseudo-inputs.",
    "",
    f"log p(x) in nats with S = {table['settings']['S']:,} on {table['settings']['digits']:,} test"
    f" digits; Fréchet distance of {table['settings']['drawn']:,} decoded draws (means) from as"
    " many test digits, as above; sharpness: squared differences of neighbouring pixels, 1 as in"
    " training digits. With two layers there are ten dimensions in each, and more weights: that"
    " gain is not the second layer's alone.",
)

# %% tags=["claim-26"]
afterwards_gain = over_seeds(gains["vae_40d", closest])
trained_gain = gain_of["VampPrior"]

# %% jupyter={"source_hidden": true}
measured["claim-26"] = (
    "with encoder and decoder as they are, a prior fitted to vae_40d's codes"
    f" ({closest}) gains {afterwards_gain:.2f} nats of the bound"
    f" ({afterwards_gain.basis}, one training) and brings the draws' Fréchet distance"
    f" from {np.mean(distances[normal]):.0f} to {np.mean(distances[closest]):.0f};"
    f" trained together, in smaller models, a VampPrior gains {trained_gain:.2f} nats of"
    f" log p(x){'' if trained_gain.shown else ', not shown'} ({trained_gain.basis})"
)
plot.measured(measured["claim-26"])

# %% tags=["claim-31"]
learned = [name for name in others if not name.startswith("two layers")]

# %% jupyter={"source_hidden": true}
measured["claim-31"] = (
    f"{share(hole):.1%} of vae_2d's prior lies in holes, judged by {len(q2.mean):,}"
    " digits; trained together with ten dimensions, learned priors gain, in nats of log"
    " p(x): "
    + ", ".join(f"{name} {gain_of[name].said('.2f')}" for name in learned)
    + f" ({gain_of['VampPrior'].basis})"
)
plot.measured(measured["claim-31"])

# %% jupyter={"source_hidden": true}
mixture = "mixture of Gaussians"
likelier = against("VampPrior", mixture, "test_nll", 2)
nearer = against("VampPrior", mixture, "frechet", 2)
plot.markdown(
    "**The VampPrior against the plain mixture of Gaussians**, which the lecture does not compare:"
    f" in log p(x) it is {likelier.verdict('better', 'worse', 'not shown to be better or worse')},"
    f" {likelier:+.2f} nats; its draws are"
    f" {nearer.verdict('closer to', 'farther from', 'not shown to be closer to')} digits, by a"
    f" Fréchet distance of {nearer:.0f} ({nearer.basis})."
)

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 3.0), sharey=True)
names = list(columns)
titles = {
    "test_nll": "test log p(x), nats\n(right is better)",
    "frechet": "Fréchet distance\n(left is better)",
    "sharpness": "sharpness\n(right is better)",
}
unit = {"sharpness": table["digits"]["sharpness"], "test_nll": -1}
for ax, (key, title) in zip(axes, titles.items(), strict=True):
    for i, name in enumerate(names):
        values = columns[name][key] / unit.get(key, 1)
        two = name.startswith("two")
        ax.errorbar(
            values.mean(),
            i,
            xerr=standard_error(values),
            fmt="s" if two else "o",
            capsize=3,
            ms=5,
            color=MODEL,
            markerfacecolor="white" if two else MODEL,
        )
    ax.set(xlabel=title, yticks=range(len(names)), yticklabels=names)
    ax.grid(axis="x", color="#dddddd", linewidth=0.6)
axes[0].invert_yaxis()
pairs = len(names) * (len(names) - 1)
at_odds = [  # a is likelier, b draws better
    (a, b)
    for a in names
    for b in names
    if a != b
    and (likelier := against(a, b, "test_nll", pairs)).shown
    and (closer := against(b, a, "frechet", pairs)).shown
    and min(likelier.value, closer.value) > 0
]
best_of = {key: min(names, key=lambda name, key=key: columns[name][key].mean()) for key in titles}
plot.show(
    fig,
    alt=(
        "Three panels, one mark for each of seven models: test log-likelihood, Fréchet distance of"
        " samples, sharpness. Both models with two layers are far ahead in likelihood; with a"
        " VampPrior they lead in all three panels, with a standard normal not."
    ),
    caption=(f"'{best_of['test_nll']}' leads in likelihood, '{best_of['frechet']}' in distance. ")
    + f"Squares have two layers; bars are standard errors over {len(whole)} seeds.",
)
a, b = at_odds[0] if at_odds else (None, None)
plot.markdown(
    f"The two orders differ: '{a}' is shown to be likelier than '{b}', and its draws to be farther"
    f" from digits ({len(at_odds)} such pairs, corrected for {pairs} comparisons)."
    if at_odds
    else "No two models are shown to be in one order by likelihood and in the other by distance"
    f" (corrected for {pairs} comparisons)."
)

# %% [markdown]
# **Does a hierarchical VAE with a VampPrior generate better images than a VAE?** The lecture shows
# blocks of digits side by side: real ones, a VAE's, those of two layers with a VampPrior, and those
# of two convolutional layers. Looking is no measurement, so take two numbers of the table: the
# distance in a classifier's features, which sees shapes that are no digits and digits that are
# missing, and the sharpness of the strokes.

# %%
# 40 dimensions in each layer.
LARGE = {name: made for name, made in recipes.all_recipes().items() if made.published}
drawn_by, drawn = {}, {}
for name in LARGE:  # one after the other: together they need too much memory
    model = recipes.load(name)
    with torch.no_grad():
        prior = model.prior.precomputed()
        drawn_by[name] = distances_of(model.decoder, prior)
        torch.manual_seed(5)
        drawn[name] = model.decoder(prior.sample((30,))).mean

# %% jupyter={"source_hidden": true}
blocks = {"test digits": Data(digits.test.x[:30]).tensor()} | drawn
plot.show(
    plot.images(list(blocks.values()), columns=15, titles=list(blocks)),
    alt=(
        "Blocks of thirty digits, one under another: real test digits, and what each of the large"
        " trained models draws."
    ),
    caption=(
        "Test digits, and draws of the large models (the decoder's means). Closest to digits draws"
        f" {min(drawn_by, key=lambda name: np.mean(drawn_by[name]))}."
    ),
)

# %% tags=["claim-32"]
best = "two layers, VampPrior"
closer = against(best, normal, "frechet", 4)
sharper = against(best, normal, "sharpness", 4, better=+1)
alone = {
    "the VampPrior alone": against("VampPrior", normal, "frechet", 4),
    "the second layer alone": against(f"two layers, {normal}", normal, "frechet", 4),
}

# %% jupyter={"source_hidden": true}
from_, to = (columns[name]["frechet"].mean() for name in (normal, best))
times = columns[best]["sharpness"].mean() / columns[normal]["sharpness"].mean()
measured["claim-32"] = (
    f"the Fréchet distance falls by {closer.said('.0f')} from {from_:.0f} to {to:.0f} (training"
    f" digits: {table['digits']['frechet']:.1f}), by "
    + ", by ".join(f"{found.said('.0f')} with {part}" for part, found in alone.items())
    + f"; strokes are {times:.2f} times as sharp"
    f"{'' if sharper.shown else ', not shown'} ({closer.basis}; two layers also have twice the"
    " latent dimensions). The large models, one training each: "
    + ", ".join(f"{name} {np.mean(values):.0f}" for name, values in drawn_by.items())
)
plot.measured(measured["claim-32"])

# %% [markdown]
# Likelihood and images need not agree: the bound asks how well *real* digits are explained, and
# pays little attention to what lies in the holes. If a share $h$ of the prior lies there, cutting
# it off would gain $-\log(1 - h)$, about $h$ nats, for each digit. That is next to nothing for the
# likelihood. But a share $h$ of your draws is spoiled.

# %% [markdown]
# ## What do the two layers say?
# A layer can be ignored: if the other one tells the decoder everything, its KL goes to 0.
# **Predict.** Which of the two layers carries more nats? And if you hold $\mathbf{z}_2$ and draw
# $\mathbf{z}_1$ two hundred times, what stays the same in the pictures, and what varies most?


# %%
def layers(q: Ancestral, p: Ancestral) -> tuple[Tensor, Tensor]:
    """The KL of z_2, and of z_1 given z_2, at one draw: (B,) each, nats. An `Ancestral`
    draws z_2, then z_1.
    """
    z2, log_q2 = q.top.rsample_and_log_prob()
    z1, log_q1 = q.below(z2).rsample_and_log_prob()
    return log_q2 - p.top.log_prob(z2), log_q1 - p.below(z2).log_prob(z1)


kl_of = {}  # model -> the KL of z_2, and of z_1 given z_2, of each digit
for name in [name for name in LARGE if "hvae" in name]:
    model = recipes.load(name)
    torch.manual_seed(1)
    with torch.no_grad():
        prior = model.prior.precomputed()  # here the pseudo-inputs are encoded, once
        shares = [layers(model.encoder(x), prior) for x in test.split(50)]
        kl_of[name] = [torch.cat(part) for part in zip(*shares, strict=True)]

# %% jupyter={"source_hidden": true}
shown = "vamp_hvae"
model = recipes.load(shown)
torch.manual_seed(1)
with torch.no_grad():
    fixed = model.prior.precomputed()

    def draw_below(rows: int, columns: int) -> Tensor:
        """Pictures (rows, columns, 784): each row has one z_2, each column another z_1 given it."""
        z2 = fixed.top.sample((rows, 1)).expand(-1, columns, -1)
        return model.decoder(torch.cat([z2, fixed.below(z2).sample()], -1)).mean

    pairs = torch.cat([draw_below(100, 2) for _ in range(10)])
    one, other = pairs.unbind(1)
    digit_one, digit_other = (classifier.classify(x, rows=100) for x in (one, other))
    same, chance = (digit_one == digit_other, digit_one == digit_other.roll(1))
    within_row, across = (((one - x) ** 2).sum(-1).mean().item() for x in (other, other.roll(1, 0)))
    many = draw_below(4, 200)


def farthest(x: Tensor, n: int) -> Tensor:
    """Of images (N, D) n that differ much: each next one is farthest from those chosen before."""
    chosen, distance = [0], torch.cdist(x, x)
    for _ in range(n - 1):
        chosen.append(int(distance[chosen].amin(0).argmax()))
    return x[chosen]


varies = plot.full_contrast(many.std(1))  # (4, 784): where the draws of a row differ
rows = [
    torch.cat([x.mean(0)[None], v[None], farthest(x, 4)]) for x, v in zip(many, varies, strict=True)
]
layer_2, layer_1 = (intervals.of_mean(part, "digits", 2) for part in kl_of[shown])
plot.show(
    plot.images(torch.cat(rows), columns=6),
    alt=(
        "Four rows, one for each draw of the upper layer's code. First the mean of 200 draws of the"
        " lower layer's code, a digit; then a map of where they differ, the outlines of its"
        " strokes; then the four draws that differ most: the same digit each time, its strokes"
        " shifted, bent or broken."
    ),
    caption=(
        "Each row has one z_2. First the mean of 200 draws of z_1 given it, then where they differ,"
        f" then the four that differ most: the same digit, with its strokes moved ({shown})."
    ),
)
plot.measured(
    f"two draws of z_1 for one z_2 are read as the same digit in {share(same, 'pairs'):.1%} of"
    f" {len(same):,} rows, two of different rows in {share(chance, 'pairs'):.1%}; their squared"
    f" difference is {within_row / across:.0%} of that between rows. The KL of z_2 is"
    f" {layer_2:.1f} nats, that of z_1 given z_2 {layer_1:.1f} ({layer_2.basis}; one training)"
)
plot.on_request(
    "The other models",
    "| model | KL of z_2, nats | KL of z_1 given z_2 |",
    "|:--|--:|--:|",
    *(
        f"| {name} | " + " | ".join(mean_and_error(part, ".2f") for part in parts) + " |"
        for name, parts in kl_of.items()
    ),
    "",
    f"Mean and standard error over {len(test):,} test digits; one training each.",
)

# %% [markdown]
# What stays in a row is what $\mathbf{z}_2$ decides, what changes is left to $\mathbf{z}_1$. Don't
# read the nats as visible change: they say how far a digit's own $\mathbf{z}_1$ lies from what
# $\mathbf{z}_2$ led you to expect, and a stroke that is shifted a little costs nats, too. Either
# layer could be the ignored one: it would be near 0 nats.

# %% [markdown]
# ## What does a pseudo-input stand for?
# Draw codes from the posterior of one pseudo-input, and decode them. **Predict.** Is what you see
# related to the pseudo-input?

# %%
whose = "vamp_vae"
vamp = recipes.load(whose)
torch.manual_seed(2)
with torch.no_grad():
    u_all = vamp.prior.pseudo_inputs
    u = u_all[torch.randperm(len(u_all))[:6]]
    around = vamp.decoder(vamp.encoder(u).sample((9,))).mean  # (9, 6, 784)
    pictures = torch.cat([plot.full_contrast(u)[None], around])  # (10, 6, 784)

# %% jupyter={"source_hidden": true}
with torch.no_grad():
    where = vamp.encoder(u_all)
    within, between = spreads(where)
    decoded = vamp.decoder(where.mean).mean  # of each pseudo-input, the middle of its posterior
    alike = torch.nn.functional.cosine_similarity(u_all, decoded)
    chance = torch.nn.functional.cosine_similarity(u_all, decoded.roll(1, 0))
plot.show(
    plot.images(pictures.transpose(0, 1).flatten(0, 1), columns=10),
    alt=(
        "Six rows: first a pseudo-input, then nine digits decoded from codes that its posterior"
        " gave."
    ),
    caption=(
        f"First column: pseudo-inputs of {whose}, the darkest grey of each drawn black; then draws"
        " from their posteriors, decoded."
    ),
)
closer_to_own = intervals.of_mean(alike - chance, "pseudo-inputs")
plot.measured(
    "a pseudo-input resembles what its own posterior's mean is decoded to more than what another's"
    f" is: the cosine is larger by {closer_to_own.said('.2f')} ({closer_to_own.basis}). Codes"
    f" scatter by {within:.2f} within one posterior, by {between:.2f} between pseudo-inputs"
    " (root of the mean variance over dimensions)"
)

# %% [markdown]
# Your own pseudo-inputs looked like specks; trained for long, with 40 dimensions, they come to look
# like faint digits. Nobody asked for that, either. But the encoder has learned to answer digits,
# and the gradient changes those pixels that move its answer.

# %% [markdown]
# ## One table
# Dynamic MNIST, all test digits, log p(x) by importance sampling, as in the paper; not all were
# trained as long. The numbers come from the headers of the weights that come with the course.
# **Predict.** What gains more, the VampPrior or the second layer?

# %% jupyter={"source_hidden": true}
OTHERS = [  # no such model here
    ("two, and a PixelCNN", "standard normal", 79.70),
    ("two, and a PixelCNN", "VampPrior", 78.45),
]
cards = {name: recipes.card(name) for name in LARGE}  # each weight's header
PATIENCE = 50  # epochs without a better validation bound, after which the paper stops


def last_rise(name: str) -> tuple[float, int]:
    """By how many nats the best validation bound rose over the last epochs, and over how many: an
    eighth, at most 50.
    """
    valid = cards[name]["curve"]["valid"]
    back = min(PATIENCE, len(valid) // 8)
    return max(valid) - max(valid[:-back]), back


def compared(a: str, b: str, what: str) -> str:
    """A row: what b gains over a, here and in the paper, and how long both were trained."""
    results = [cards[name]["results"] for name in (a, b)]
    ours, se = ([r[key] for r in results] for key in ("test_nll", "test_nll_se"))
    epochs = [f"{cards[name]['epochs_trained']:,}" for name in (a, b)]
    return (
        f"| {what} | {ours[0] - ours[1]:+.2f} $\\pm$ {np.hypot(*se):.2f} |"
        f" {' and '.join(dict.fromkeys(epochs))} | {LARGE[a].published - LARGE[b].published:+.2f} |"
    )


rows = []
for name, recipe in LARGE.items():
    c, r = cards[name], cards[name]["results"]
    rise, back = last_rise(name)
    ours = f"**{r['test_nll']:.2f}** $\\pm$ {r['test_nll_se']:.2f} | {-r['test_elbo']:.2f}"
    rows.append(
        f"| {recipe.layers} | {recipe.prior} | {ours} | {c['epochs_trained']:,} |"
        f" {c['seconds'] / 3600:.1f} | {rise:.2f} in {back} | {recipe.published:.2f} |"
    )
rows += [
    f"| {layers_} | {prior_} | no model here | | | | | {paper:.2f} |"
    for layers_, prior_, paper in OTHERS
]
# One protocol for all.
((samples_, count_),) = {(c["results"]["S"], c["results"]["n"]) for c in cards.values()}
untrusted_ = [c["results"]["unreliable"] for c in cards.values()]
judged_ = [c["results"]["reliability_n"] for c in cards.values()]
to_the_end = sum(c["epochs_trained"] == c["settings"]["epochs"] for c in cards.values())
steps_ = [
    ("the VampPrior, one layer", "vae_40d", "vamp_vae"),
    ("the VampPrior, two layers", "hvae", "vamp_hvae"),
    ("the VampPrior, two convolutional layers", "conv_hvae", "vamp_conv_hvae"),
    ("the second layer, standard normal", "vae_40d", "hvae"),
    ("the second layer, VampPrior", "vamp_vae", "vamp_hvae"),
    ("convolution, standard normal", "hvae", "conv_hvae"),
    ("convolution, VampPrior", "vamp_hvae", "vamp_conv_hvae"),
]
plot.markdown(
    "| layers | prior | -log p(x), ours | -ELBO | epochs | hours | last rise | paper |",
    "|:--|:--|--:|--:|--:|--:|--:|--:|",
    *rows,
    "",
    f"*Nats a digit, smaller is better; S = {samples_:,} on {count_:,} test digits, standard errors"
    f" over digits; one training each. For {min(untrusted_):.0%} to {max(untrusted_):.0%} of the"
    f" digits, of {min(judged_):,} to {max(judged_):,} evenly spaced ones, a few samples decide the"
    " estimate (Pareto k above 0.7), so that -log p(x) may be smaller by an unknown amount.*",
)
plot.on_request(
    "How long they were trained, and the paper's",
    "Hours are of the training's clock, on whatever machine it ran; the last rise is the validation"
    f" bound's, in so many epochs. {to_the_end} of {len(cards)} trainings went to their recipe's"
    " end, where the learning rate is 0.",
    "",
    f"The paper trains for 2,000 epochs at most and stops after {PATIENCE} without a better"
    " validation bound; its numbers are quoted as we know them, not checked against the print. Its"
    " convolutional decoder has 64 channels at full size; ours has 24 at 14x14 pixels and 48 at"
    " 7x7, a small part of the work, and was trained shorter.",
)
plot.markdown(
    "| gain of | here, nats | epochs | paper |",
    "|:--|--:|--:|--:|",
    *(compared(a, b, what) for what, a, b in steps_),
    "",
    (
        "*One training each, so that a gain may be the seed's; the error is over digits, and at"
        " most so large, for they are the same. Two numbers of epochs: not trained equally long.*"
    ),
)

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.6))
STYLES = {
    "vae_40d": (NOISE, "-"),
    "vamp_vae": (PRIOR, "-"),
    "hvae": (NOISE, "--"),
    "vamp_hvae": (PRIOR, "--"),
    "conv_hvae": (NOISE, ":"),
    "vamp_conv_hvae": (PRIOR, ":"),
}
for name, c in cards.items():
    valid, (colour, line) = c["curve"]["valid"], STYLES[name]
    ax.plot(range(1, len(valid) + 1), valid, line, color=colour, linewidth=1.4, label=name)
    at = c["best_epoch"] or len(valid)  # none is the best before the warm-up's end
    ax.plot(at, valid[at - 1], "o", color=colour, ms=5)
best_bounds = [max(c["curve"]["valid"]) for c in cards.values()]
ax.set(
    xlabel="epoch",
    ylabel="validation bound, nats",
    ylim=(min(best_bounds) - 10, max(best_bounds) + 1),
)
ax.legend(fontsize=9, loc="lower right")
plot.show(
    fig,
    alt=(
        "The bound on validation digits against the epoch, one line for each large model that was"
        " trained: it rises steeply, then flattens. A dot marks the best epoch."
    ),
    caption=(
        "Full lines have one layer, broken ones two, dotted ones two and convolutions; grey is the"
        " standard normal, green the VampPrior; dots are the epochs whose parameters were kept. The"
        f" best is {max(zip(best_bounds, cards, strict=True))[1]}."
    ),
)

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    26: (
        # a bar would end the column
        r"encoder, decoder and prior are tied by $q_\phi(\mathbf{z} \mid \mathbf{x}) \propto "
        r"p_\theta(\mathbf{x} \mid \mathbf{z})\,p_\lambda(\mathbf{z})$; each can be improved: here"
        r" the prior"
    ),
    31: (
        "a standard normal prior is unimodal and too restrictive; autoregressive and VampPriors are"
        " better"
    ),
    32: "a hierarchical VAE with a VampPrior generates better images than a VAE",
}
plot.claims_table(claims, measured)

# %% [markdown]
# ## For and against
# **Mixture of Gaussians.** The cheapest, and you can read its components. In many dimensions it
# matters where its means begin.
#
# **Autoregressive prior and flow.** They can come close to anything, given units enough. A draw
# takes a pass for each dimension, and nothing in them tells you where the codes are.
#
# **VampPrior.** Moves with the encoder and can be looked at. Each step sends $K$ pseudo-inputs
# through the encoder, and a mixture of diagonal Gaussians in many dimensions needs many.
#
# **All of them** leave the decoder's form alone: what it can't draw from any code, a better prior
# does not help.

# %% [markdown]
# ## Questions
# <details><summary>The KL of a VAE with a learned prior is lower. Does its code say less?</summary>
#
# Not necessarily. The KL is information plus waste, and a better prior lowers the waste. Only the
# split can tell. </details>
#
# <details><summary>A prior whose holes are cut off gains almost no likelihood. Why care?</summary>
#
# Because you draw from the prior, and the likelihood never does: it only asks for the prior's
# density where digits' codes are.
# </details>
#
# <details><summary>Someone takes the log-sum-exp over components for each dimension, then sums. What prior is that?</summary>
#
# A product of one-dimensional mixtures: with $K$ components and $d$ dimensions it has bumps at all
# $K^d$ combinations, and most of them are holes. It is a proper density, so nothing crashes; the
# bound is just one of another model. </details>
#
# <details><summary>Why is an autoregressive prior's log-sum-exp for each dimension right?</summary>
#
# Because there each *conditional* is a mixture on a line, and the chain rule adds their logarithms.
# The dependence is in the conditioning. </details>
#
# <details><summary>Could you set the pseudo-inputs to real digits and leave them there?</summary>
#
# Yes: it is the aggregate posterior of $K$ digits, the memorising prior from above, but now trained with the encoder, which can
# widen the posteriors until they fit. Learned ones need fewer. </details>
#
# <details><summary>A flow in the encoder and one in the prior: what is the difference?</summary>
#
# The encoder's bends $q_\phi(\mathbf{z}|\mathbf{x})$ for each digit and must be cheap to *draw*
# from; the prior's bends the whole and must be cheap to *evaluate*. An autoregressive flow run
# backwards turns one into the other. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Improving the prior".
# - J. M. Tomczak, M. Welling, *VAE with a VampPrior*, AISTATS 2018: VampPrior, two layers,
#   architecture and protocol.
# - X. Chen et al., *Variational Lossy Autoencoder*, ICLR 2017: the autoregressive-flow prior.
# - M. D. Hoffman, M. J. Johnson, *ELBO surgery: yet another way to carve up the variational
#   evidence lower bound*, 2016: the bill in two parts.
# - A. van den Oord et al., *Representation Learning with Contrastive Predictive Coding*, 2018, and
#   B. Poole et al., *On Variational Bounds of Mutual Information*, ICML 2019: why $N$ digits show
#   no more than $\log N$ nats, and the estimate from the other side.
# - M. Germain et al., *MADE*, ICML 2015: masked networks.
#
# Before: [10, a decoder that looks at what it has drawn](10_pixelvae.ipynb). Next: [12, few labels and many
# digits](12_semi_supervised.ipynb)
