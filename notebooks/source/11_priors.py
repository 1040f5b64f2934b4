# ---
# jupyter:
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
# *70 minutes, about 15 of them for three exercises. Slides: "Improving the prior", "Autoregressive prior",
# "VampPrior". You need the bound of [notebook 07](07_vae.ipynb).*
#
# A VAE's decoder learned from the codes its encoder sent. To generate, you send it codes of the prior's instead.
# **Does the prior send some to places where no digit's code ever was? And can it learn not to?**

# %% tags=["colab"] jupyter={"source_hidden": true}
# In Colab this installs the course and leaves Colab's own torch alone. Anywhere else it does nothing.
import importlib.util
import subprocess
import sys

REPOSITORY = ""  # written by `make badges REPO=...`
if "google.colab" in sys.modules:
    if importlib.util.find_spec("dgmcourse") is None:
        if not REPOSITORY:
            raise RuntimeError("Where does the course live? Write its address as REPOSITORY, above.")
        pip = [sys.executable, "-m", "pip", "install", "-q"]
        for name in ("anywidget", "mlxtend", "safetensors"):
            if importlib.util.find_spec(name) is None:
                subprocess.check_call([*pip, name])
        subprocess.check_call([*pip, "--no-deps", f"dgmcourse @ git+{REPOSITORY}"])
    from google.colab import output

    output.enable_custom_widget_manager()  # Colab shows other people's widgets only when asked to

# %% jupyter={"source_hidden": true}
import torch

from dgmcourse import plot, recipes
from dgmcourse.data.images import mnist
from dgmcourse.densities import Gaussian, Mixture
from dgmcourse.plot import DATA, MODEL, NOISE, POSTERIOR, PRIOR, plt
from dgmcourse.widgets.figure import slider_figure

torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine
digits = mnist("dynamic")  # training: binarised anew at every visit; test: binarised once
digits = digits._replace(train=digits.train[torch.arange(min(20_000, len(digits.train)))])  # enough here, and light
vae2 = recipes.load("vae_2d")  # two latent dimensions, trained on 50,000 digits


@torch.no_grad()
def posteriors(model, n: int) -> Gaussian:
    """q(z|x) of the first n training digits, 1,000 at a time."""
    parts = [model.encoder(digits.train[at : min(at + 1000, n)].tensor()) for at in range(0, min(n, len(digits.train)), 1000)]
    return Gaussian(torch.cat([q.mean for q in parts]), torch.cat([q.log_var for q in parts]))


@torch.no_grad()
def log_prob_of(density, z: torch.Tensor) -> torch.Tensor:
    """density.log_prob(z), 50 rows at a time, filled in place: small pieces kept would break up the memory."""
    found = torch.empty(len(z))
    for part, rows in zip(found.split(50), z.split(50), strict=True):
        part[:] = density.log_prob(rows)
    return found


torch.manual_seed(0)
q2 = posteriors(vae2, 10_000)
with torch.no_grad():
    aggregate = Mixture(torch.zeros(len(q2.mean)), q2)  # their mean: how often the encoder uses a place
    drawn = vae2.prior.sample((10_000,))
    used = log_prob_of(aggregate, drawn) - vae2.prior.log_prob(drawn)
fullest_first = used.argsort(descending=True)


def draw_tenth(tenth: int) -> plt.Figure:
    """Twenty of the prior's draws, from the tenth of them that lies in the fullest (1) or the emptiest (10) places."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.0), width_ratios=(1, 1.45))
    part = fullest_first.tensor_split(10)[tenth - 1]
    z = drawn[part[:: len(part) // 20][:20]]
    left.plot(*q2.mean[:2500].T, ".", ms=1.2, color=NOISE)
    left.plot(*z.T, "^", ms=6, color=PRIOR, markeredgecolor="white")
    circle = plt.Circle((0, 0), 2, fill=False, linestyle=":", color=PRIOR, linewidth=1.5)
    left.add_patch(circle)
    left.set(xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    with torch.no_grad():
        plot.draw_images(right, vae2.decoder(z).mean, 5, f"tenth {tenth}: used {used[part].mean().exp():.2g} times as often")
    return fig


slider_figure(draw_tenth, tenth=(1, 10, 1, 1), alt="Left, the latent plane with the codes of training digits in grey and twenty "
              "draws from the prior as green triangles. Right, what the decoder makes of these draws.")

# %% [markdown]
# Each green triangle is a draw from the prior $\mathcal N(\mathbf{0}, \mathbf{I})$, each grey dot the code of a digit.
# The draws are sorted: tenth 1 lies where the encoder puts more codes than the prior promises, tenth 10 where it
# puts fewest. Three things to try: go from 1 to 10, and watch the digits; find the tenth where they begin to
# fall apart; look where in the plane the last tenth lies. In the middle, or outside?

# %% jupyter={"source_hidden": true}
classifier = recipes.load("digit_classifier")


@torch.no_grad()
def sure(images: torch.Tensor) -> torch.Tensor:
    """1 where the classifier gives a digit more than nine tenths, else 0: (N,)."""
    return torch.cat([(classifier.log_prob(rows).exp().amax(-1) > 0.9).float() for rows in images.split(100)])


def share(values: torch.Tensor) -> str:
    p = values.mean().item()
    places = 0 if p > 0.1 else 1
    return f"{100 * p:.{places}f} ± {100 * (p * (1 - p) / len(values)) ** 0.5:.{places}f} %"


hole = used < -torch.log(torch.tensor(10.0))  # used less than a tenth as often as the prior promises
with torch.no_grad():
    in_holes, elsewhere = sure(vae2.decoder(drawn[hole]).mean), sure(vae2.decoder(drawn[~hole][:1000]).mean)
    digits_themselves = sure(vae2.decoder(q2.mean[:1000]).mean)
fig, axes = plt.subplot_mosaic([["plane", "elsewhere"], ["plane", "holes"]], figsize=(plot.WIDTH, 3.3), width_ratios=(1, 1.1))
axes["plane"].plot(*q2.mean[:2500].T, ".", ms=1.5, color=NOISE)
axes["plane"].plot(*drawn[hole][:150].T, "^", ms=4, color=PRIOR, markeredgecolor="white", markeredgewidth=0.4)
axes["plane"].set(xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
axes["plane"].set_title("codes, and draws in holes")
for where_, which in (("elsewhere", ~hole), ("holes", hole)):
    with torch.no_grad():
        plot.draw_images(axes[where_], vae2.decoder(drawn[which][:14]).mean, 7, f"decoded from {where_}")
plot.show(
    fig,
    alt="Left, the codes of training digits in grey; green triangles, the prior's draws in holes, lie in the gaps between "
    "and around them. Right, fourteen digits decoded from elsewhere, and fourteen from holes.",
    caption=f"{share(hole.float())} of the prior's draws fall into holes: places that the encoder uses less than a tenth as "
    f"often "
    f"as the prior promises ({len(drawn):,} draws, {len(q2.mean):,} training digits). A classifier is sure of "
    f"{share(in_holes)} of what "
    f"is decoded there, of {share(elsewhere)} elsewhere, and of {share(digits_themselves)} of reconstructed digits.",
)

# %% [markdown]
# Afterwards you can say to the nat what a prior costs; write a mixture's density without losing it to
# rounding; fit a prior to a trained VAE in seconds; and write the prior that learns what it is made of.

# %% [markdown]
# ## The question
# The lecture calls the standard normal *unimodal* and *too restrictive*: one bump in the middle, while codes of
# digits come in clumps with gaps. Three things hang together,
#
# $$q_\phi(\mathbf{z}|\mathbf{x}) \propto p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z}),$$
#
# and after the posterior ([09](09_normalizing_flows.ipynb)) and the decoder ([10](10_pixelvae.ipynb)) it is the turn of the last of them, the prior
# with its parameters $\lambda$, which had none so far. **Which prior would be best, what
# could it save, and what keeps you from simply taking it?**

# %% jupyter={"source_hidden": true}
import copy
import math
from functools import partial

import numpy as np
from IPython.display import Markdown, display
from torch import Tensor
from tqdm import tqdm

from dgmcourse.check import priors as check
from dgmcourse.data.images import Data
from dgmcourse.densities import StandardGaussian
from dgmcourse.distances import frechet
from dgmcourse.models import VAE
from dgmcourse.models.autoregressive_prior import AutoregressivePrior
from dgmcourse.models.hierarchical_vae import HierarchicalVAE
from dgmcourse.models.inverse_autoregressive_flow import autoregressive_flows
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.mixture_prior import MixturePrior
from dgmcourse.models.normalizing_flow import FlowDensity
from dgmcourse.models.vamp_prior import VampPrior
from dgmcourse.train import Adam, fit, maximise
from dgmcourse.widgets.film import film

# %%
DIGITS, EPOCHS, RATE = 10_000, 4, 3e-3  # of your own trainings: few of the digits, for the sake of time
SMALL = {"latent_dim": 2, "hidden": 100}  # their networks
PSEUDO, SEEDS = 50, 3  # pseudo-inputs; repetitions
STEPS, FAST = 500, 1e-2  # and learning rate, when a prior alone is fitted

progress = partial(tqdm, file=sys.stdout, bar_format="{desc} |{bar:24}| {n}/{total}")
test = digits.test[:2000].tensor()
measured = {}  # claim -> what you found, for the table at the end

# %% [markdown]
# ## The prior's bill
# The bound charges the encoder $\mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x})\,\|\,p_\lambda(\mathbf{z})]$ for each digit. What of
# it is the prior's fault? Call **aggregate posterior** what all $N$ digits together make of the latent space:
#
# $$\bar q(\mathbf{z}) = \frac1N \sum_{n=1}^N q_\phi(\mathbf{z}|\mathbf{x}_n)$$
#
# Read aloud: take a digit at random, then a code of it. Now write $\log q - \log p$ as
# $(\log q - \log \bar q) + (\log \bar q - \log p)$ and average over digits and codes:
#
# $$\frac1N \sum_n \mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x}_n)\,\|\,p_\lambda(\mathbf{z})] = \underbrace{\mathrm{I}(\mathbf{x};
#   \mathbf{z})}_{\text{what the code says}} + \underbrace{\mathrm{KL}[\bar q(\mathbf{z})\,\|\,p_\lambda(\mathbf{z})]}_{\text{what the prior wastes}}$$
#
# The first part is the **mutual information**: nats that the decoder gets something for. The second part is paid for
# nothing, and it is the only place in the whole bound where the prior occurs. So the best prior is
# $p_\lambda = \bar q$, and it saves exactly the second part.
#
# To measure either part you need $\log \bar q$, the log-density of a mixture.

# %% [markdown]
# ## Exercise 1: the log-density of a mixture (6 minutes)
# $K$ diagonal Gaussians with weights $\pi_k$ that sum to 1:
#
# $$\log p(\mathbf{z}) = \log \sum_{k=1}^K \pi_k \prod_{d=1}^D \mathcal N(z_d\,|\,\mu_{kd}, \sigma_{kd}^2)$$
#
# Read aloud: multiply over dimensions within a component, *then* add over components. In logarithms the product is a
# sum and the sum a log-sum-exp, in that order. `z[:, None] - means` has shape `(B, K, D)`.

# %% tags=["exercise"]
def mixture_log_prob(z: Tensor, log_weights: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    """log sum_k pi_k N(z | mu_k, diag(sigma_k^2)) in nats.

    z: (B, D).  log_weights: (K,), log pi_k.  means: (K, D).  log_vars: (K, D), log sigma_k^2.  Returns: (B,).
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
# Draw one code $\mathbf{z}_n \sim q_\phi(\mathbf{z}|\mathbf{x}_n)$ for each of $N$ digits. The two parts of the bill are the
# means over $n$ of
#
# $$\log q_\phi(\mathbf{z}_n|\mathbf{x}_n) - \log \bar q(\mathbf{z}_n) \qquad\text{and}\qquad
#   \log \bar q(\mathbf{z}_n) - \log p_\lambda(\mathbf{z}_n).$$
#
# `q.log_prob(z)` pairs the $n$-th code with the $n$-th digit. The aggregate posterior pairs each code with all $N$.

# %% tags=["exercise"]
def split_kl(z: Tensor, q: Gaussian, prior) -> tuple[Tensor, Tensor]:
    """What each code says of its digit, and what the prior wastes on it, in nats.

    z: (N, D), z_n a draw from q(z|x_n).  q: its q.mean and q.log_var are (N, D), one row a digit.
    prior.log_prob(z): (N,).  Returns: two tensors, (N,) each; their sum is log q(z_n|x_n) - log p(z_n).
    """
    ### BEGIN SOLUTION
    n = len(z)
    log_aggregate = mixture_log_prob(z, torch.full((n,), -math.log(n)), q.mean, q.log_var)
    return q.log_prob(z) - log_aggregate, log_aggregate - prior.log_prob(z)
    ### END SOLUTION

# %% tags=["exercise-check"]
split_kl = check.split_kl(split_kl)
# check.split_kl.hint()

# %% [markdown]
# **Predict.** vae_2d pays about 7 nats for a code. How many of these does the prior waste: most, half, a few tenths?
# And what becomes of your split when it is made from 100 digits only?
#
# With few digits $\bar q$ is dominated by each code's own digit, and the information comes out as $\log N$ at most.
# Leave that digit out of its own mean, and it comes out too high instead (both by Jensen). The truth for all digits lies
# between the two.

# %%
@torch.no_grad()
def bracket(n: int) -> tuple[float, float, float]:
    """The information from n digits, with each in its own mean and without; and the whole KL: nats."""
    q = Gaussian(q2.mean[:n], q2.log_var[:n])
    z, log_all, log_others = q.sample(), torch.empty(n), torch.empty(n)
    for rows in torch.arange(n).split(50):
        table = q.cross_log_prob(z[rows])  # of these codes under all n posteriors
        log_all[rows] = table.logsumexp(1) - math.log(n)
        table[torch.arange(len(rows)), rows] = -math.inf  # without its own digit
        log_others[rows] = table.logsumexp(1) - math.log(n - 1)
    log_q = q.log_prob(z)
    parts = log_q - log_all, log_q - log_others, log_q - vae2.prior.log_prob(z)
    return tuple(part.mean().item() for part in parts)


torch.manual_seed(0)
sizes = [n for n in (100, 300, 1000, 3000, 10_000) if n < len(q2.mean)] + [len(q2.mean)]
found = [bracket(n) for n in sizes]
with torch.no_grad():
    part = Gaussian(q2.mean[:1000], q2.log_var[:1000])
    information, waste = split_kl(part.sample(), part, vae2.prior)
print(f"your split, 1,000 digits: {information.mean():.2f} + {waste.mean():.2f} nats")

# %% jupyter={"source_hidden": true}
low, high, total = found[-1]
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.8))
ax.plot(sizes, [f[1] for f in found], "v--", color=POSTERIOR, ms=5, label="information, own digit left out")
ax.plot(sizes, [f[0] for f in found], "^-", color=POSTERIOR, ms=5, label="information, own digit included")
ax.plot(sizes, [f[2] for f in found], ":", color=PRIOR, label="whole KL")
ax.plot(sizes, np.log(sizes), color=NOISE, linewidth=1, label="log N")
ax.set(xscale="log", xlabel="digits N", ylabel="nats", ylim=(4, 12))
ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
ax.minorticks_off()
ax.legend(fontsize=9)
least, most = max(0.0, total - high), total - low
plot.show(
    fig,
    alt="The information against the number of digits: one estimate rises along log N and bends off, the other falls; they "
    "approach one another just below the whole KL.",
    caption=f"At {sizes[-1]:,} digits the code says between {low:.2f} and {high:.2f} of {total:.2f} nats, so that the prior "
    f"wastes "
    f"between {least:.2f} and {most:.2f}. With 100 digits the split would have said {found[0][2] - found[0][0]:.2f} wasted: it "
    f"can't see "
    f"more information than log 100 = {math.log(100):.1f}.",
)

# %% [markdown]
# So most of the KL is not waste: it is what the decoder lives on, and no prior can save it. The waste is small, for a
# reason: this encoder was *trained* to fit $\mathcal N(\mathbf{0}, \mathbf{I})$. What it gave up to fit you can't see
# in the bill. That comes out only when prior and encoder learn together, further down.

# %% [markdown]
# ## Break it: the best prior
# The best prior is $\bar q$. You know the encoder and have the digits, so why not take it: the mixture of the
# posteriors of all training digits? Nothing to train. **Predict.** The bound gains the second part of the bill on these
# digits. And on test digits? Try it with two latent dimensions and with 40.

# %%
vae40 = recipes.load("vae_40d")
torch.manual_seed(0)
q40 = posteriors(vae40, 20_000)
counts = [n for n in (10, 100, 1000) if n < len(q2.mean)] + [len(q2.mean)]


@torch.no_grad()
def gain(prior, q: Gaussian) -> Tensor:
    """What the bound gains if this prior replaces N(0, I): log p(z) - log N(z | 0, I) at a code of each digit, (N,)."""
    z = q.sample()
    return log_prob_of(prior, z) - StandardGaussian(z.shape[-1]).log_prob(z)


memory = {}  # (model, on): mean gain and its standard error, for each count
for name, model, q in (("vae_2d", vae2, q2), ("vae_40d", vae40, q40)):
    with torch.no_grad():
        new_digits = model.encoder(test)
    for n in counts:
        prior = Mixture(torch.zeros(n), Gaussian(q.mean[:n], q.log_var[:n]))
        own = gain(prior, Gaussian(q.mean[: min(n, 2000)], q.log_var[: min(n, 2000)]))
        for on, values in (("its own digits", own), ("test digits", gain(prior, new_digits))):
            memory.setdefault((name, on), []).append((values.mean().item(), values.std().item() / len(values) ** 0.5))

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
for ax, name in zip(axes, ("vae_2d", "vae_40d"), strict=True):
    for on, style, colour in (("its own digits", "o-", PRIOR), ("test digits", "s--", DATA)):
        mean, error = np.array(memory[name, on]).T
        ax.errorbar(counts, mean, error, fmt=style, color=colour, ms=5, capsize=3, label=on)
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
    alt="Gain of the bound against the number of digits in the prior, for two models: on its own digits it is positive, on test "
    "digits far below zero and rising; with 40 latent dimensions it stays far below zero.",
    caption=f"A prior of {counts[-1]:,} posteriors gains {last['vae_2d', 'its own digits'][0]:+.2f} nats on its own digits and "
    f"{last['vae_2d', 'test digits'][0]:+.2f} ± {last['vae_2d', 'test digits'][1]:.2f} on test digits with two latent "
    f"dimensions; with 40 "
    f"{last['vae_40d', 'its own digits'][0]:+.1f} and {last['vae_40d', 'test digits'][0]:+.0f} ± "
    f"{last['vae_40d', 'test digits'][1]:.0f}. "
    "It has learned its digits by heart.",
)

# %% [markdown]
# With 40 dimensions the posteriors are islands. A prior that is made of them covers its own digits and nothing else: it is
# **overfitted**, as any model with one component for each training example would be. It also costs $N$ components at
# each evaluation.
#
# The cure is the usual one: *fewer* parameters than examples, fitted to all of them, and judged on digits that were not there.

# %% [markdown]
# ## Fit a prior afterwards
# Leave encoder and decoder as they are. Then only one term of the bound moves:
#
# $$\max_\lambda\; \frac1N \sum_n \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x}_n)}[\log p_\lambda(\mathbf{z})]$$
#
# Read aloud: take codes, and fit any density to them by maximum likelihood. It costs seconds. Three families:
#
# - **A mixture of Gaussians:** $K$ means, variances and weights. Your exercise 1, with parameters.
# - **An autoregressive prior:** each dimension given those before it,
#   $p_\lambda(\mathbf{z}) = \prod_d p_\lambda(z_d|z_1, \dots, z_{d-1})$. Any distribution can be written so; one masked
#   network gives all the conditionals at once, here small mixtures on a line.
# - **An autoregressive flow**, the prior of the Variational Lossy Auto-encoder: the flow of
#   [notebook 09](09_normalizing_flows.ipynb) sends codes to noise, $\log p_\lambda(\mathbf{z}) = \log \mathcal N(f(\mathbf{z})|\mathbf{0}, \mathbf{I}) +
#   \log |\det \partial f/\partial \mathbf{z}|$. With a single step it is an autoregressive prior of Gaussians.

# %%
def fit_prior(prior, q: Gaussian, steps: int, seed: int = 0):
    """Maximise log p(z) over codes of the posteriors q, 250 in a step; the rate falls to 0."""
    torch.manual_seed(seed)
    optimiser = Adam(prior.parameters(), lr=FAST)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = FAST * min(1, 2 * (1 - step / steps))
        z = q.select(torch.randint(len(q.mean), (250,))).sample()
        maximise(prior.log_prob(z), optimiser)
    return prior


FAMILIES = {
    "mixture of Gaussians": lambda dim: MixturePrior(dim, components=100, spread=0.1),
    "autoregressive": lambda dim: AutoregressivePrior(dim, hidden=(100, 100), components=3),
    "autoregressive flow": lambda dim: FlowDensity(StandardGaussian(dim), autoregressive_flows(dim, 4, hidden=(100,))),
}

# %% [markdown]
# **Predict.** Which family finds the gaps between the clumps in two dimensions? And how many of the 7 nats, or of the 26 with
# 40 dimensions, does a fitted prior save on test digits?

# %%
gains, fitted = {}, {}  # (model, family) -> gains on test digits, one row a seed
for name, model, q in (("vae_2d", vae2, q2), ("vae_40d", vae40, q40)):
    with torch.no_grad():
        new_digits = model.encoder(test)
    for family in progress(FAMILIES, desc=name):
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            prior = fit_prior(FAMILIES[family](q.mean.shape[-1]), q, STEPS, seed)
            gains.setdefault((name, family), []).append(gain(prior, new_digits))
        fitted[name, family] = prior

# %% jupyter={"source_hidden": true}
def widened(q: Gaussian, width: float = 0.1) -> Mixture:
    """The aggregate posterior, each posterior widened by a standard deviation of 0.1 for the eye's sake."""
    return Mixture(torch.zeros(len(q.mean)), Gaussian(q.mean, torch.log(q.log_var.exp() + width**2)))


@torch.no_grad()
def show_density(ax: plt.Axes, density, middle, reach: float, title: str = "", top: float | None = None) -> float:
    """A density on a square of the plane as shades up to `top`, its own maximum if None, which is returned. Codes are grey."""
    side = torch.linspace(-reach, reach, 81)
    plane = torch.cartesian_prod(side, side) + torch.as_tensor(middle)
    picture = log_prob_of(density, plane).exp().reshape(81, 81).T
    top = top or picture.quantile(0.995).item()
    extent = [*(float(middle[0]) + reach * s for s in (-1, 1)), *(float(middle[1]) + reach * s for s in (-1, 1))]
    cmap = "Greens" if ax.get_label() == "prior" else "Greys"
    ax.imshow(picture, origin="lower", extent=extent, cmap=cmap, vmin=0, vmax=top)
    ax.set_title(title, fontsize=9)
    ax.locator_params(nbins=4)
    ax.tick_params(labelsize=8)
    return top


panels = {"standard normal": vae2.prior} | {family: fitted["vae_2d", family] for family in FAMILIES}
fig, axes = plt.subplots(1, 5, figsize=(plot.WIDTH, 1.9), sharey=True)
origin, codes2 = (0.0, 0.0), widened(Gaussian(q2.mean[:5000], q2.log_var[:5000]))
top = show_density(axes[0], codes2, origin, 3.6, "codes of digits")
for ax, (name, prior) in zip(axes[1:], panels.items(), strict=True):
    ax.set_label("prior")
    show_density(ax, prior, origin, 3.6, name.replace("mixture of ", "mixture of\n").replace(" flow", "\nflow"), top)


def over_seeds(values: list[Tensor]) -> tuple[float, float]:
    """Mean over seeds and digits, and its standard error over digits."""
    each = torch.stack(values).mean(0)
    return each.mean().item(), each.std().item() / len(each) ** 0.5


two_d = [gains["vae_2d", family] for family in FAMILIES]
best2 = max(FAMILIES, key=lambda family: over_seeds(gains["vae_2d", family])[0])
plot.show(
    fig,
    alt="Five densities over the latent plane: the codes' own, with clumps, rays and gaps; the standard normal, one round bump; "
    "and three fitted priors, which follow the clumps.",
    caption=f"Of the three fitted priors {sum(mean > 2 * error for mean, error in map(over_seeds, two_d))} beat the round bump "
    f"by more than "
    f"two standard errors. The {best2} saves most, "
    f"{over_seeds(gains['vae_2d', best2])[0]:.2f} ± {over_seeds(gains['vae_2d', best2])[1]:.2f} nats on {len(test):,} test "
    f"digits. The bill "
    f"left room for {least:.2f} to {most:.2f}.",
)

# %% jupyter={"source_hidden": true}
rows = []
for name in ("vae_2d", "vae_40d"):
    for family in FAMILIES:
        mean, error = over_seeds(gains[name, family])
        seeds = torch.stack([g.mean() for g in gains[name, family]])
        rows.append(f"| {name} | {family} | {mean:+.2f} $\\pm$ {error:.2f} | {seeds.min():+.2f} to {seeds.max():+.2f} |")
display(Markdown("\n".join([
    "| encoder and decoder | prior fitted afterwards | gain of the bound, test digits | over seeds "
    "|", "|:--|:--|--:|--:|", *rows, "",
    f"*Nats against the standard normal on {len(test):,} test digits (standard error over digits), means of {SEEDS} fits of "
    f"{STEPS} steps each "
    f"on the codes of {len(q2.mean):,} training digits, {len(q40.mean):,} with 40 dimensions.*"])))  # fmt: skip

# %% [markdown]
# (Where the last column is wide, one of the fits got stuck: for the sake of time they are few steps at a high rate.)
#
# The bound rises by what the table says, and nothing else was touched: no pixel is reconstructed better. What changes
# is where you draw from. **Predict.** Does one *see* it? The measure is the Fréchet distance of [notebook 04](04_gan.ipynb), between
# decoded draws and test digits, in a classifier's features: smaller is better.

# %%
@torch.no_grad()
def distance_to_digits(decoder, prior, seed: int = 0, n: int = 1000) -> float:
    """Frechet distance of n decoded draws (means) from as many test digits, in the classifier's features."""
    torch.manual_seed(seed)
    return frechet(classifier.features(decoder(prior.sample((n,))).mean, rows=100), real_features)


torch.manual_seed(1)
count = min(1000, len(digits.test))
real_features, again = (
    classifier.features(Data(part.x[torch.randperm(len(part))[:count]]).tensor(), rows=100)  # of grey digits
    for part in (digits.test, digits.train)
)
afterwards = {"standard normal": vae40.prior} | {family: fitted["vae_40d", family] for family in FAMILIES}
distances = {name: [distance_to_digits(vae40.decoder, prior, seed, count) for seed in range(SEEDS)]
             for name, prior in afterwards.items()}  # fmt: skip
with torch.no_grad():
    torch.manual_seed(5)
    blocks = [vae40.decoder(prior.sample((20,))).mean for prior in afterwards.values()]

# %% jupyter={"source_hidden": true}
closest = min(FAMILIES, key=lambda family: np.mean(distances[family]))


def pm(values) -> str:
    """Mean and standard error over repetitions."""
    values = np.asarray(values)
    return f"{values.mean():.3g} ± {values.std(ddof=1) / len(values) ** 0.5:.2g}"


plot.show(
    plot.images(blocks, titles=[name.replace(" of ", "\nof ").replace("e f", "e\nf") for name in afterwards]),
    alt="Four blocks of twenty digits decoded by vae_40d from draws of the standard normal and of three priors fitted "
    "afterwards.",
    caption=f"One decoder, four priors. The {closest} brings the draws from {np.mean(distances['standard normal']):.0f} to "
    f"{np.mean(distances[closest]):.0f}, with a gain of {over_seeds(gains['vae_40d', closest])[0]:.2f} nats. Distance from "
    f"test digits (Fréchet, in a classifier's features, "
    f"{count:,} draws, {SEEDS} repetitions): " + "; ".join(f"{name} {pm(d)}" for name, d in distances.items())
    + f"; {count:,} training digits {frechet(again, real_features):.2g}.",
)  # fmt: skip

# %% [markdown]
# ## The VampPrior
# The best prior is $\bar q$, but it knows too many digits. The lecture's answer: keep its form and make it of a few
# inputs that are *learned*,
#
# $$p_\lambda(\mathbf{z}) = \frac1K \sum_{k=1}^K q_\phi(\mathbf{z}|\mathbf{u}_k).$$
#
# Read aloud: the prior is the mean of the encoder's answers to $K$ pictures that nobody wrote. The **pseudo-inputs**
# $\mathbf{u}_k$ are $\lambda$. They are trained with everything else, by the gradient of the bound that passes through
# the encoder. It is called the *variational mixture of posteriors*.
#
# What is new against a mixture of Gaussians? Prior and posterior share the encoder's weights: when the encoder moves
# its codes, the prior moves along. Nor do means get lost far from any code: they are where the encoder *can* send something.

# %% [markdown]
# ## Exercise 3: the VampPrior (3 minutes)
# `encoder(u)` is a Gaussian with `.mean` and `.log_var`, `(K, L)` each for $K$ pseudo-inputs and $L$ latent dimensions. The gradient
# must reach both the pseudo-inputs and the encoder.

# %% tags=["exercise"]
def vamp_log_prob(z: Tensor, u: Tensor, encoder) -> Tensor:
    """log of the mean of q(z|u_k) over K pseudo-inputs, in nats.

    z: (B, L).  u: (K, D), pixels.  Returns: (B,).
    """
    ### BEGIN SOLUTION
    q = encoder(u)
    return mixture_log_prob(z, torch.full((len(u),), -math.log(len(u))), q.mean, q.log_var)
    ### END SOLUTION

# %% tags=["exercise-check"]
vamp_log_prob = check.vamp_log_prob(vamp_log_prob)
# check.vamp_log_prob.hint()

# %% [markdown]
# ## Train it, and watch the pseudo-inputs
# Your prior in a VAE with two latent dimensions, so that you can look at it. The pseudo-inputs start as grey noise with a
# mean of 0.05: pixels outside 0 and 1 are clipped and get no gradient, so a start below 0 would never learn anything.
#
# **Predict.** What will the pseudo-inputs look like in the end: digits, averages of digits, or noise to anyone but the encoder?

# %%
class YourVampPrior(VampPrior):
    """The course's, which knows how to sample, with your log-density."""

    def log_prob(self, z: Tensor) -> Tensor:
        return vamp_log_prob(z, self.pseudo_inputs, self._encoder[0])


def with_prior(prior) -> LatentVariableModel:
    """A small VAE whose prior is made by `prior(encoder)`; its networks start from the same weights each time."""
    torch.manual_seed(0)
    plain = VAE(**SMALL)
    return LatentVariableModel(prior(plain.encoder), plain.encoder, plain.decoder)


def train(model: LatentVariableModel, **settings) -> LatentVariableModel:
    fit(model, digits.train[:DIGITS], epochs=EPOCHS, batch_size=50, lr=RATE, anneal=2, progress=False, **settings)
    return model.eval()


yours = with_prior(lambda encoder: YourVampPrior(encoder, 784, PSEUDO))
shots, steps = {}, iter(range(10**6))


def watched(x: Tensor, beta: float) -> tuple[Tensor, dict]:
    """The model's objective; now and then it keeps a copy of pseudo-inputs and encoder."""
    if (step := next(steps)) in (0, 10, 30, 60, 100, 200, 400, 600):
        shots[step] = yours.prior.pseudo_inputs.detach().clone(), copy.deepcopy(yours.encoder)
    return yours.objective(x, beta)


train(yours, objective=watched)
shots[next(steps)] = yours.prior.pseudo_inputs.detach().clone(), copy.deepcopy(yours.encoder)

# %% jupyter={"source_hidden": true}
def draw_shot(step: int) -> plt.Figure:
    u, encoder = shots[step]
    with torch.no_grad():
        codes, pseudo = encoder(test[:1000]).mean, encoder(u)
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.0), width_ratios=(1.35, 1))
    plot.draw_images(left, u[:30], 6, f"30 of {PSEUDO} pseudo-inputs, step {step}")
    right.plot(*codes.T, ".", ms=1.5, color=NOISE)
    for mean, width in zip(pseudo.mean, (pseudo.log_var / 2).exp(), strict=True):
        right.add_patch(plt.matplotlib.patches.Ellipse(mean, *(4 * width), fill=False, color=PRIOR, linewidth=1))
    middle = (codes.amin(0) + codes.amax(0)) / 2
    reach = 1.2 * float((codes - middle).abs().max().clamp_min(1))
    right.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
    right.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$", title="codes, and the prior's components")
    return fig


film(
    [draw_shot(step) for step in shots],
    [f"Step {step}: pseudo-inputs span {u.min():.2f} to {u.max():.2f}, mean {u.mean():.3f}; at the right their posteriors, as "
     f"ellipses of two standard deviations, over the codes of test digits." for step, (u, _) in shots.items()],
    label="step", seconds=0.9,
)  # fmt: skip

# %% jupyter={"source_hidden": true}
u_first, u_last = shots[0][0], shots[max(shots)][0]
nearest = torch.cdist(u_last, digits.train[:2000].tensor()).amin(1)
typical = torch.cdist(test[:PSEUDO], digits.train[:2000].tensor()).amin(1)
plot.show(
    draw_shot(max(shots)),
    alt="Left, thirty learned pseudo-inputs: grey, blurred shapes. Right, the codes of test digits in grey and the prior's "
    "components as "
    "green ellipses among them.",
    caption=f"After {max(shots)} steps. Pixels moved by {(u_last - u_first).abs().mean():.3f} on average. The nearest of 2,000 "
    f"training digits is "
    f"{nearest.mean():.1f} away from a pseudo-input and {typical.mean():.1f} from a test digit. No one taught them to look like "
    "anything: all that counts is where the encoder sends them.",
)

# %% [markdown]
# The encoder is the only reader they have: any picture that it sends to the right place will do, and after so short a training few
# of them look like digits to anyone else. Watch the ellipses instead: they spread until they cover the codes.
#
# ## How many pseudo-inputs?
# With $K = 1$ the prior is one Gaussian that learns its place, with $K = N$ and digits for pseudo-inputs it is $\bar q$. **Predict.**
# From which $K$ on does more not help?

# %%
KS = [1, 5, 20, 100]
by_size = {}
for size in progress(KS, desc="trainings"):
    by_size[size] = train(with_prior(lambda encoder: VampPrior(encoder, 784, size)))  # noqa: B023

# %% jupyter={"source_hidden": true}
@torch.no_grad()
def bound_of(model: LatentVariableModel, seed: int = 0) -> Tensor:
    """The ELBO of each of 2,000 test digits, a mean of three draws: (N,)."""
    torch.manual_seed(seed)
    return torch.stack([torch.cat([model.elbo(rows) for rows in test.split(500)]) for _ in range(3)]).mean(0)


@torch.no_grad()
def square_of(model: LatentVariableModel) -> tuple[Gaussian, Tensor, float]:
    """The posteriors of 1,500 test digits, and the middle and reach of the square that holds their codes."""
    q = model.encoder(test[:1500])
    middle = (q.mean.amin(0) + q.mean.amax(0)) / 2
    return q, middle, 1.1 * (q.mean - middle).abs().max().item()


@torch.no_grad()
def draw_both(model: LatentVariableModel, title: str) -> plt.Figure:
    """Pseudo-inputs; the codes' density and the prior's, on one scale."""
    fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.5), width_ratios=(1.1, 1, 1))
    u = model.prior.pseudo_inputs
    plot.draw_images(axes[0], u[:25], 5, f"{min(25, len(u))} of {len(u)} pseudo-inputs" if len(u) > 1 else "the pseudo-input")
    q, middle, reach = square_of(model)
    top = show_density(axes[1], widened(q), middle, reach, "codes of test digits")
    axes[2].set_label("prior")
    show_density(axes[2], model.prior.fixed(), middle, reach, title, top)
    return fig


size_bounds = {size: bound_of(model) for size, model in by_size.items()}
slider_figure(
    lambda K: draw_both(by_size[K], f"prior, bound {size_bounds[K].mean():.1f}"), K=KS,
    alt="Left, up to 25 pseudo-inputs; in the middle, the density of the codes of test digits; right, the VampPrior's density.",
)  # fmt: skip

# %% [markdown]
# Three things to try: begin at $K = 1$ and compare the two densities; find the $K$ from which on you can't tell them
# apart; then look at the codes' density alone while you move. The prior does not only follow the codes. **The codes
# follow the prior**, too.

# %% jupyter={"source_hidden": true}
differences = {size: size_bounds[size] - size_bounds[1] for size in KS}
fig = plt.figure(figsize=(plot.WIDTH, 2.5))
ax = fig.subplots()
ax.errorbar(KS, [d.mean() for d in differences.values()], [d.std() / len(d) ** 0.5 for d in differences.values()], fmt="o-",
            color=MODEL, capsize=3, ms=5)  # fmt: skip
ax.axhline(0, color=NOISE, linewidth=1)
ax.set(xscale="log", xlabel="pseudo-inputs K", ylabel="test bound, against K = 1")
ax.set_xticks(KS, KS)
ax.minorticks_off()
top_size = max(KS, key=lambda size: size_bounds[size].mean())
plot.show(
    fig,
    alt="The test bound against the number of pseudo-inputs, as a difference from one pseudo-input.",
    caption=f"Against one pseudo-input, {len(test):,} test digits gain "
    + ", ".join(f"{d.mean():+.2f} ± {d.std() / len(d) ** 0.5:.2f} with {size}" for size, d in differences.items() if size > 1)
    + " nats (standard error over digits; one training each, and trainings differ, too). "
    + f"With {KS[1]} already {differences[KS[1]].mean() / differences[top_size].mean():.0%} of the largest gain is there.",
)

# %% [markdown]
# ## Five priors, one architecture
# Now all of them, each trained *together* with the same encoder and decoder. With the parts of a
# `LatentVariableModel` a prior is one line. **Predict.** Where will the codes lie if no round bump holds them together? And does
# each prior find them?

# %%
PRIORS = {
    "standard normal": lambda encoder: StandardGaussian(2),
    "mixture of Gaussians": lambda encoder: MixturePrior(2, PSEUDO),
    "autoregressive": lambda encoder: AutoregressivePrior(2, (50,), components=3),
    "autoregressive flow": lambda encoder: FlowDensity(StandardGaussian(2), autoregressive_flows(2, 4, (50,))),
}
runs = {name: train(with_prior(prior)) for name, prior in progress(PRIORS.items(), desc="priors")}
runs["VampPrior"] = yours
together = {name: bound_of(model) for name, model in runs.items()}

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 5, figsize=(plot.WIDTH, 3.5))
for (above, below), (name, model) in zip(axes.T, runs.items(), strict=True):
    q, middle, reach = square_of(model)
    top = show_density(above, widened(q), middle, reach, name.replace("mixture of ", "mixture of\n").replace(" flow", "\nflow"))
    below.set_label("prior")
    show_density(below, model.prior.fixed(), middle, reach, "", top)
axes[0, 0].set_ylabel("codes")
axes[1, 0].set_ylabel("prior")
base = together["standard normal"]


def over_digits(values: Tensor) -> str:
    return f"{values.mean():+.2f} ± {values.std() / len(values) ** 0.5:.2f}"


plot.show(
    fig,
    alt="Two rows of five densities over the latent plane. Above, the codes of test digits with each prior; below, the prior.",
    caption=f"Above, codes; below, the prior that was trained with them. The standard normal's bound is {base.mean():.1f} nats "
    f"on "
    f"{len(test):,} test digits; against it "
    f"" + ", ".join(f"{name} {over_digits(values - base)}" for name, values in together.items()
                                                          if values is not base)
    + " (standard error over digits; one training each, and another seed moves these by tenths, or more).",
)  # fmt: skip
rows = []
for name in ("standard normal", "VampPrior"):
    with torch.no_grad():
        torch.manual_seed(0)
        q = runs[name].encoder(test[:1000])
        says, wastes = split_kl(q.sample(), q, runs[name].prior)
    rows.append(f"| {name} | {(says + wastes).mean():.2f} | {says.mean():.2f} | {wastes.mean():.2f} |")
display(Markdown("\n".join([
    "| trained with | the bill, KL | what the code says | what the prior wastes |", "|:--|--:|--:|--:|", *rows, "",
    f"*Your split of {len(says):,} test digits, nats. From so few the information is a little too low and the waste too high, "
    f"alike for both.*"])))

# %% [markdown]
# With a learned prior nothing holds the codes at the middle any more: they go where the decoder can tell them apart, and the prior goes
# where they are. That is what the proportionality sign of the three boxes says: change one, and the others move. One short training
# each can't tell you how much it brings.

# %% [markdown]
# ## Ten dimensions, five priors, two layers
# Two dimensions are for the eye. The same comparison with ten latent dimensions on all training digits outlasts a
# lesson, so it was done beforehand, over several seeds: `python -m dgmcourse.studies priors`. Two models in it have two layers:
#
# $$p_\theta(\mathbf{x}|\mathbf{z}_1, \mathbf{z}_2)\, p_\lambda(\mathbf{z}_1|\mathbf{z}_2)\, p_\lambda(\mathbf{z}_2) \qquad\text{and}\qquad
#   q_\phi(\mathbf{z}_1|\mathbf{x}, \mathbf{z}_2)\, q_\phi(\mathbf{z}_2|\mathbf{x})$$
#
# Read aloud: $\mathbf{z}_2$ decides first, $\mathbf{z}_1$ fills in. It is the **hierarchical VAE**. For $\mathbf{z}_1$ the layer above
# is a learned prior, an infinite mixture of Gaussians, $\int p_\lambda(\mathbf{z}_1|\mathbf{z}_2)\,p_\lambda(\mathbf{z}_2)\,d\mathbf{z}_2$; for
# $\mathbf{z}_2$ you still choose one: the standard normal, or a VampPrior.
#
# **Predict.** Order these by test likelihood: VAE, VAE with VampPrior, hierarchical VAE, hierarchical VAE with VampPrior. Is it the
# same order if you judge by generated images?

# %% jupyter={"source_hidden": true}
table = recipes.study("priors")
found = {}  # model -> seed -> row
for row in table["rows"]:
    found.setdefault(row["model"], {})[row["seed"]] = row
whole = [seed for seed in found["standard normal"] if all(seed in rows for rows in found.values())]
columns = {name: {key: np.array([rows[seed][key] for seed in whole]) for key in ("test_nll", "frechet", "sharpness")}
           for name, rows in found.items()}  # fmt: skip
display(Markdown("\n".join([
    "| trained together | test log p(x) | against the standard normal | Fréchet distance | sharpness |", "|:--|--:|--:|--:|--:|",
    *(f"| {name} | {-c['test_nll'].mean():.2f} | {pm(columns['standard normal']['test_nll'] - c['test_nll'])} "
      f"| {pm(c['frechet'])} | {pm(c['sharpness'] / table['digits']['sharpness'])} |" for name, c in columns.items()),
    f"| training digits | | | {table['digits']['frechet']:.3g} | {1:.3g} |", "",
    f"*{table['about']}. Means and standard errors over {len(whole)} seeds; log p(x) in nats with S = "
    f"{table['settings']['S']:,} on "
    f"{table['settings']['digits']:,} test digits; distances of {table['settings']['drawn']:,} decoded draws (means) from as "
    f"many test digits, "
    "in a classifier's features; sharpness: squared differences of neighbouring pixels, 1 as in training "
    "digits. With two layers there are ten dimensions in each, and more weights: that gain is not the second "
    "layer's alone.*"])))  # fmt: skip


def against(name: str, base: str, key: str, better: int = -1) -> tuple[str, bool]:
    """The paired difference over seeds as text, and whether it is better by two standard errors."""
    difference = better * (columns[name][key] - columns[base][key])
    return pm(difference), bool(difference.mean() > 2 * difference.std(ddof=1) / len(difference) ** 0.5)


# %% tags=["claim-26"]
finished = over_seeds(gains["vae_40d", closest])
with_others = against("VampPrior", "standard normal", "test_nll")
measured["claim-26"] = (
    f"with encoder and decoder as they are, a prior fitted to vae_40d's codes ({closest}) gains {finished[0]:+.2f} "
    f"$\\pm$ "
    f"{finished[1]:.2f} nats of the bound and brings the samples' Fréchet distance from "
    f"{pm(distances['standard normal'])} to "
    f"{pm(distances[closest])}; trained together, in the smaller models, a VampPrior gains {with_others[0]} nats of "
    f"log p(x)"
    + ("" if with_others[1] else ", within the noise")
)
display(Markdown(f"**Measured.** {measured['claim-26']}."))

# %% tags=["claim-31"]
learned = [name for name in columns if name not in ("standard normal",) and not name.startswith("two layers")]
better = {name: against(name, "standard normal", "test_nll") for name in learned}
measured["claim-31"] = (
    f"{share(hole.float())} of vae_2d's prior lies in holes; trained together with ten dimensions, learned priors "
    f"gain, in nats of "
    "log p(x): "
    + ", ".join(f"{name} {text}" + ("" if clear else " (within the noise)") for name, (text, clear) in better.items())
)
display(Markdown(f"**Measured.** {measured['claim-31']}."))

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 3.0), sharey=True)
names = list(columns)
titles = {"test_nll": "test log p(x), nats", "frechet": "Fréchet distance", "sharpness": "sharpness"}
for ax, (key, title) in zip(axes, titles.items(), strict=True):
    for i, name in enumerate(names):
        values = columns[name][key] / (table["digits"]["sharpness"] if key == "sharpness" else -1 if key == "test_nll" else 1)
        two = name.startswith("two")
        ax.errorbar(values.mean(), i, xerr=values.std(ddof=1) / len(values) ** 0.5, fmt="s" if two else "o", capsize=3, ms=5,
                    color=POSTERIOR if two else MODEL)  # fmt: skip
    ax.set(xlabel=title, yticks=range(len(names)), yticklabels=names)
    ax.grid(axis="x", color="#dddddd", linewidth=0.6)
axes[0].invert_yaxis()
by_likelihood = sorted(names, key=lambda name: columns[name]["test_nll"].mean())
by_images = sorted(names, key=lambda name: columns[name]["frechet"].mean())
plot.show(
    fig,
    alt="Three panels, one dot with an error bar for each of seven models: test log-likelihood, Fréchet distance of samples, "
    "sharpness.",
    caption=f"By likelihood the best is {by_likelihood[0]}, the last {by_likelihood[-1]}; by images {by_images[0]} and "
    f"{by_images[-1]}. " + ("The orders agree." if by_likelihood == by_images else "The orders are not the same.")
    + f" Squares have two layers; bars are standard errors over {len(whole)} seeds.",
)  # fmt: skip

# %% [markdown]
# **Does a hierarchical VAE with a VampPrior generate better images than a VAE?** The lecture shows four blocks of digits side by side.
# Looking is no measurement, so take the two numbers of the table: the distance in a classifier's features, which sees
# shapes that are no digits and digits that are missing, and the sharpness of the strokes.

# %% tags=["claim-32"]
best, plain = "two layers, VampPrior", "standard normal"
closer, sharper = against(best, plain, "frechet"), against(best, plain, "sharpness", +1)
alone = {"the VampPrior alone": "VampPrior", "the second layer alone": "two layers, standard normal"}
per_part = {part: against(name, plain, "frechet")[0] for part, name in alone.items()}
measured["claim-32"] = (
    f"the Fréchet distance falls by {closer[0]} from {columns[plain]['frechet'].mean():.0f}"
    + ("" if closer[1] else ", within the noise")
    + f" (by {per_part['the VampPrior alone']} with the VampPrior alone, {per_part['the second layer alone']} with "
    f"the second layer alone), "
    f"to {columns[best]['frechet'].mean():.0f}; training digits are at {table['digits']['frechet']:.1f}. Strokes are "
    f"{columns[best]['sharpness'].mean() / columns[plain]['sharpness'].mean():.2f} times as sharp"
    + ("" if sharper[1] else ", within the noise")
    + ". (Two layers also have twice the latent dimensions.)"
)
display(Markdown(f"**Measured**, over {len(whole)} seeds. {measured['claim-32']}"))

# %% [markdown]
# Likelihood and images need not agree: the bound asks how well *real* digits are explained, and pays little attention to what lies
# in the holes. A sample that lands in one costs the likelihood next to nothing and the picture everything.

# %% [markdown]
# ## What do the two layers say?
# A second layer can be ignored: if $\mathbf{z}_1$ tells the decoder everything, nobody needs $\mathbf{z}_2$, and its KL goes to 0.
# **Predict.** Which of the two layers carries more nats? And if you hold $\mathbf{z}_2$ and draw $\mathbf{z}_1$ again and
# again, what stays the same in the pictures? (With the shipped `hvae` and `vamp_hvae` if they are there, else with a small model
# trained here.)

# %%
def shipped(name: str) -> LatentVariableModel | None:
    """A shipped model, or None if its training is not finished."""
    try:
        return recipes.load(name)
    except FileNotFoundError:
        return None


def layers(model: HierarchicalVAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """The KL of z_2, and of z_1 given z_2, at one draw: (B,) each, nats."""
    q, p = model.encoder(x), model.prior.fixed()
    z2, log_q2 = q.top.rsample_and_log_prob()
    z1, log_q1 = q.below(z2).rsample_and_log_prob()
    return log_q2 - p.top.log_prob(z2), log_q1 - p.below(z2).log_prob(z1)


two = {name: model for name in ("hvae", "vamp_hvae") if (model := shipped(name)) is not None}
if not two:  # a small one, trained here
    torch.manual_seed(0)
    two = {"two layers of 10, trained here": train(HierarchicalVAE(10, 100, components=PSEUDO))}

# %% jupyter={"source_hidden": true}
shown = list(two)[-1]
model = two[shown]
torch.manual_seed(1)
with torch.no_grad():
    each = {name: [part.mean().item() for part in layers(m, test)] for name, m in two.items()}
    below = model.prior.fixed()
    rows = []
    for z2 in below.top.sample((6,)):
        z2 = z2.expand(12, -1)
        rows.append(model.decoder(torch.cat([z2, below.below(z2).sample()], -1)).mean)
plot.show(
    plot.images(torch.cat(rows), columns=12),
    alt="Six rows of twelve digits. In each row the upper layer's code is held and the lower layer's drawn anew.",
    caption=f"{shown}: each row has one z_2 and twelve draws of z_1 given it. KL of z_2 and of z_1 given z_2, nats on "
    f"{len(test):,} test digits: "
    + "; ".join(f"{name} {a:.1f} and {b:.1f}" for name, (a, b) in each.items()) + ".",
)  # fmt: skip

# %% [markdown]
# ## What does a pseudo-input stand for?
# Draw codes from the posterior of one pseudo-input, and decode them: the shipped `vamp_vae`'s if it is there, with 40 latent
# dimensions and long trained; else those of the small model from above. **Predict.** Is what you see related to the pseudo-input?

# %%
vamp = shipped("vamp_vae") or by_size[max(KS)]
torch.manual_seed(2)
with torch.no_grad():
    u = vamp.prior.pseudo_inputs[torch.randperm(len(vamp.prior.pseudo_inputs))[:6]]
    around = vamp.decoder(vamp.encoder(u).sample((9,))).mean  # (9, 6, 784)
    each_row = torch.cat([u[None], around]).transpose(0, 1).reshape(-1, 784)

# %% jupyter={"source_hidden": true}
with torch.no_grad():
    u_all = vamp.prior.pseudo_inputs
    where = vamp.encoder(u_all)
    spread_within = (where.log_var.exp()).mean().sqrt().item()
    spread_between = where.mean.std(0).mean().item()
    alike = torch.nn.functional.cosine_similarity(u, around.mean(0)).mean().item()
    chance = torch.nn.functional.cosine_similarity(u, around.mean(0).roll(1, 0)).mean().item()
plot.show(
    plot.images(each_row, columns=10),
    alt="Six rows: first a pseudo-input, then nine digits decoded from codes that its posterior gave.",
    caption=f"First column: pseudo-inputs of {'vamp_vae' if len(u_all) == 500 else 'the small model trained above'}; then "
    f"draws from "
    f"their posteriors, decoded. A pseudo-input and the mean of its own row have a cosine of {alike:.2f}, with another's row "
    f"{chance:.2f}. Within one posterior codes scatter by {spread_within:.2f}, between the {len(u_all)} pseudo-inputs by "
    f"{spread_between:.2f} "
    "(standard deviations, mean over dimensions).",
)

# %% [markdown]
# ## One table, one protocol
# Dynamic MNIST, $S = 5000$ importance samples, all 10,000 test digits: the paper's setting. The numbers come from the headers of
# the shipped weights, and beside them stands how long each was trained.

# %% jupyter={"source_hidden": true}
PAPER = {"vae_40d": ("VAE", "standard normal", 84.50), "vamp_vae": ("VAE", "VampPrior", 82.38),
         "hvae": ("two layers", "standard normal", 82.42), "vamp_hvae": ("two layers", "VampPrior", 81.24)}  # fmt: skip
rows, scores = [], {}
for name, (model_, prior_, paper) in PAPER.items():
    try:
        card = recipes.card(name)
        r = scores[name] = card["results"]
        ours = f"**{r['test_nll']:.2f}** $\\pm$ {r['test_nll_se']:.2f} | {-r['test_elbo']:.2f} | {card['epochs_trained']:,} "
        ours += f"| {card['seconds'] / 3600:.1f}"
    except FileNotFoundError:
        ours = "not trained yet | | | "
    rows.append(f"| {model_} | {prior_} | {ours} | {paper:.2f} |")
gap = ""
if {"vae_40d", "vamp_vae"} <= set(scores):
    gain_ = scores["vae_40d"]["test_nll"] - scores["vamp_vae"]["test_nll"]
    theirs = PAPER["vae_40d"][2] - PAPER["vamp_vae"][2]
    gap = f" The VampPrior's gain with one layer: {gain_:.2f} nats here, {theirs:.2f} in the paper."
display(Markdown("\n".join([
    "| layers | prior | -log p(x), ours | -ELBO | epochs | hours | -log p(x), paper "
    "|", "|:--|:--|--:|--:|--:|--:|--:|", *rows, "",
    "*Nats a digit, smaller is better; the standard error is over digits. Hours are of the training's clock on a few slow "
    "cores. The paper trains up to "
    "2,000 epochs and stops by its validation bound; its numbers are quoted as we know them, not checked against the print. A "
    "model with fewer "
    f"epochs than its neighbour is not compared on equal terms.{gap}*"])))  # fmt: skip

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    26: r"encoder, decoder and prior are tied by $q_\phi(\mathbf{z} \mid \mathbf{x}) \propto "  # a bar would end the column
    r"p_\theta(\mathbf{x} \mid \mathbf{z})\,p_\lambda(\mathbf{z})$; each can be improved: here the prior",
    31: "a standard normal prior is unimodal and too restrictive; autoregressive and VampPriors are better",
    32: "a hierarchical VAE with a VampPrior generates better images than a VAE",
}
table_ = [f"| {claim} | {measured[f'claim-{n}']} |" for n, claim in claims.items()]
display(Markdown("\n".join(["| the lecture says | you measured |", "|:--|:--|", *table_])))

# %% [markdown]
# ## For and against
# **Mixture of Gaussians.** The cheapest, and you can read its components. In many dimensions means that start far from all codes stay there.
#
# **Autoregressive prior and flow.** They can be anything. A draw takes a pass for each dimension, and nothing in them tells you where the
# codes are.
#
# **VampPrior.** Moves with the encoder and can be looked at. Each step sends $K$ pseudo-inputs through the encoder, and a mixture of
# diagonal Gaussians in many dimensions needs many.
#
# **All of them** leave the decoder alone: what it can't draw, a better code does not help.

# %% [markdown]
# ## Questions
# <details><summary>The KL of a VAE with a learned prior is lower. Does its code say less?</summary>
#
# Not necessarily. The KL is information plus waste, and a better prior lowers the waste. Only the split can tell. </details>
#
# <details><summary>Someone takes the log-sum-exp over components for each dimension, then sums. What prior is that?</summary>
#
# A product of one-dimensional mixtures: with $K$ components and $D$ dimensions it has bumps at all $K^D$ combinations, and most of
# them are holes. It is a proper density, so nothing crashes; the bound is just one of another model. </details>
#
# <details><summary>Why is an autoregressive prior's log-sum-exp for each dimension right?</summary>
#
# Because there each *conditional* is a mixture on a line, and the chain rule adds their logarithms. The dependence is in the
# conditioning. </details>
#
# <details><summary>Could you set the pseudo-inputs to real digits and leave them there?</summary>
#
# Yes: it is the aggregate posterior of $K$ digits, the memorising prior from above, but now trained with the encoder, which can
# widen the posteriors until they fit. Learned ones need fewer. </details>
#
# <details><summary>A flow in the encoder and one in the prior: what is the difference?</summary>
#
# The encoder's bends $q_\phi(\mathbf{z}|\mathbf{x})$ for each digit and must be cheap to *draw* from; the prior's bends the whole and must be
# cheap to *evaluate*. An autoregressive flow run backwards turns one into the other. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Improving the prior".
# - J. M. Tomczak, M. Welling, *VAE with a VampPrior*, AISTATS 2018: VampPrior, two layers, architecture and protocol.
# - X. Chen et al., *Variational Lossy Autoencoder*, ICLR 2017: the autoregressive-flow prior.
# - M. D. Hoffman, M. J. Johnson, *ELBO surgery: yet another way to carve up the variational evidence lower bound*, 2016: the bill in two parts.
# - A. van den Oord et al., *Representation Learning with Contrastive Predictive Coding*, 2018, and B. Poole et al., *On Variational
#   Bounds of Mutual Information*, ICML 2019: why $N$ digits show no more than $\log N$ nats, and the estimate from the other side.
# - M. Germain et al., *MADE*, ICML 2015: masked networks.
