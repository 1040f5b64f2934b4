# ---
# jupyter:
#   dgmcourse:
#     part: The game
#     question: Can a critic replace the likelihood?
#     about: "a game in place of a likelihood: a laboratory to play in, and the lecture's pros and
#       cons in numbers"
#     slides: Generative Adversarial Nets
#     minutes: 75
#     weights: {gan: GAN}
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
# # Generative adversarial nets: a fraud, an expert and an artist
# *75 minutes, about 20 of them for three exercises. Slides: "Generative Adversarial Nets". You need
# the logarithm, the sigmoid, the Gaussian, and PyTorch's autograd.*
#
# Some of these digits were written by people, the others by a network that was never shown one: it
# only heard from a second network how well it had fooled it. **Which are which, and how can a
# network learn to write from nothing but a verdict?**

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
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.gan_lab import REAL_OR_FAKE, gan_lab, gan_lab_picture

torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine
digits = mnist(None)  # grey values
gan = recipes.load("gan")  # two feed-forward networks
torch.manual_seed(5)
real_or_fake = torch.randperm(20) < 10  # which of the twenty places hold a real digit
quiz = gan.sample(20)
quiz[real_or_fake] = digits.test[torch.randperm(len(digits.test))[:10]].tensor()
plot.show(
    plot.images(quiz),
    alt=(
        "Twenty handwritten digits in two rows of ten, some clean, some with a stray stroke. Half"
        " of them are real."
    ),
    caption=(
        "Ten of these are real. Write down your ten before you go on: row and column. The answer"
        " is under “Hardly told from real ones?”."
    ),
)

# %% [markdown]
# And here is the game in the plane, to be played before any code. Grey points are data,
# blue triangles are fakes, an arrow says where a fake would rather be, and the colour is
# what the second network thinks of each place. It trains here, in your browser. Press
# *Play*. Three things to try:
#
# 1. Let it run until the fakes cover the ring. Do the two curves come to rest when the picture
#    does?
# 2. Reset, and give the generator a learning rate far above the discriminator's. Watch one mode for
#    a while.
# 3. Take the 25 modes of the grid. Which does it find first, and does it keep them?

# %% jupyter={"source_hidden": true}
fig, found = gan_lab_picture("ring", steps=(0, 300, 1500))
show_widget(
    gan_lab("ring"),
    fig,
    alt=(
        "Three panels of the plane, at the start and after 300 and 1,500 steps: fakes as blue"
        " triangles go from a wide fan on one side to the eight data clusters of a ring; the"
        " background shows the discriminator's verdict. Below, both players' objectives over the"
        f" steps. After the last one {found[-1][0]} of {found[-1][1]} modes are found."
    ),
    caption=(
        "Watch how many modes the fakes have found, and then the two curves: neither says how many."
    ),
)

# %% [markdown]
# Afterwards you can write both players' objectives so that they survive any certainty; derive what
# a perfect discriminator would say, and what it makes the generator minimise; train the pair; and
# measure what the lecture says of them, for and against.

# %% [markdown]
# ## The question
# Every model so far had a likelihood to climb. A factor analyser had a formula for it; a density
# network paid for $\log p(\mathbf{x})$ with thousands of codes, had to give each pixel a density,
# and makes smooth averages where it is not sure ([notebook 03](03_density_network.ipynb)).
#
# **Could you train a generator without ever asking how probable a digit is?** All you need is its
# samples, some real digits, and somebody who tells the two apart.

# %% jupyter={"source_hidden": true}
import copy
import math
import sys
import time
from functools import partial

import ipywidgets as widgets
import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.check import gan as check
from dgmcourse.data.toy import grid_of_gaussians, mixture, ring_of_gaussians
from dgmcourse.densities import StandardGaussian
from dgmcourse.distances import frechet, modes_found, sliced_wasserstein, wasserstein
from dgmcourse.models.gan import GAN, ImageGAN, leaky
from dgmcourse.networks import mlp
from dgmcourse.play import Players, play
from dgmcourse.plot import CRITIC, DATA, MODEL, NOISE, mean_and_error, plt, progress, standard_error
from dgmcourse.train import Adam, best_device, maximise
from dgmcourse.widgets.figure import slider_figure
from dgmcourse.widgets.film import film
from dgmcourse.widgets.latent import latent_grid, latent_traversal

# %%
DEVICE = best_device()
DIGITS = 10_000  # of your own training: a fifth of them, for the sake of time
EPOCHS, RATE = 6, 5e-4
SEEDS = 20  # runs of the same small game

torch.manual_seed(0)
few = torch.randperm(len(digits.train))[:4000]
pool = digits.train[few].tensor()  # real digits to compare with
held_out = digits.test[torch.randperm(len(digits.test))[:1000]].tensor()
train = digits.train[torch.arange(min(DIGITS, len(digits.train)))]
del digits  # the others are not needed, and their memory is
measured = {}  # claim -> what you found, for the table at the end

# %% [markdown]
# ## Three people
# The **artist** paints, and nobody knows how: all there is are pictures $\mathbf{x} \sim
# p_{real}(\mathbf{x})$.
#
# The **fraud** has never seen one. It takes some noise $\mathbf{z}$ from a prior $p(\mathbf{z})$
# and turns it into a picture, $G(\mathbf{z})$. The pictures it makes have some distribution; call
# it $p_G$.
#
# The **expert** is given one picture at a time, the artist's or the fraud's, and says how probable
# it is that the artist made it: $D(\mathbf{x})$, between 0 and 1. Afterwards the truth is told to
# both. The expert learns from its mistakes, and the fraud learns what gave it away.


# %% jupyter={"source_hidden": true}
def draw_game() -> plt.Figure:
    fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.9))
    ax.set(xlim=(0, 10), ylim=(0, 4), aspect="equal")
    ax.set_axis_off()

    def box(x, y, wide, name, formula, colour):
        style = {"boxstyle": "round,pad=0.02,rounding_size=0.12", "linewidth": 1.8}
        style |= {"facecolor": colour + "1c", "edgecolor": colour}
        ax.add_patch(plt.matplotlib.patches.FancyBboxPatch((x, y), wide, 0.95, **style))
        ax.text(x + wide / 2, y + 0.66, name, ha="center", va="center", color=DATA, fontsize=10)
        ax.text(x + wide / 2, y + 0.27, formula, ha="center", va="center", color=DATA, fontsize=12)

    arrow = partial(plot.draw_arrow, ax)
    box(1.75, 2.8, 1.7, "the artist", r"$p_{real}(\mathbf{x})$", DATA)
    box(0.05, 0.75, 1.1, "noise", r"$\mathbf{z} \sim p(\mathbf{z})$", NOISE)
    box(1.75, 0.75, 1.7, "the fraud", r"$G(\mathbf{z})$", MODEL)
    box(5.7, 1.8, 1.7, "the expert", r"$D(\mathbf{x})$", CRITIC)
    arrow((1.18, 1.22), (1.72, 1.22))
    for y, real in ((3.28, True), (1.22, False)):
        place = [4.05 / 10, (y - 0.42) / 4, 0.084, 0.21]
        picture = ax.inset_axes(place)
        picture.imshow(quiz[real_or_fake == real][1].reshape(28, 28), vmin=0, vmax=1)
        picture.set(xticks=[], yticks=[])
        picture.spines[:].set(visible=True, color=DATA if real else MODEL)
        arrow((3.48, y), (4.02, y))
        arrow((4.95, y), (5.66, 2.28 + (0.28 if real else -0.28)))
    arrow((7.44, 2.28), (8.1, 2.28))
    ax.text(8.2, 2.28, "real, or fake?", va="center", fontsize=11, color=DATA)
    arrow((8.9, 2.55), (6.55, 2.8), CRITIC, "--", 0.45)
    ax.text(7.9, 3.4, "learns from its mistakes", color="#8F4A70", fontsize=9, ha="center")
    arrow((9.3, 2.0), (2.6, 0.72), MODEL, "--", -0.26)
    words = "learns what gave it away: the verdict's gradient, passed on through D"
    ax.text(5.3, 0.02, words, color=MODEL, fontsize=9, ha="center")
    return fig


plot.show(
    draw_game(),
    alt=(
        "A diagram. The artist makes real pictures; noise z goes into the fraud, who makes fakes"
        " G(z). A real digit and a fake one go to the expert D, who says real or fake. A dashed"
        " arrow leads from the verdict back to the expert, who learns from mistakes, and another"
        " back to the fraud, who gets the verdict's gradient through D."
    ),
    caption=(
        "The fraud never sees a real picture. All it learns of them has passed through the expert."
    ),
)

# %% [markdown]
# ## One number, two wishes
# Score the expert as one scores a forecast: by the logarithm of the probability it gave to the
# truth.
#
# $$\min_G \max_D\; \mathbb{E}_{\mathbf{x} \sim p_{real}}[\log D(\mathbf{x})] + \mathbb{E}_{\mathbf{z} \sim p(\mathbf{z})}
#   [\log(1 - D(G(\mathbf{z})))]$$
#
# Read aloud: the expert $D$ wants both terms near 0, real pictures called real and fakes called
# fake. The fraud $G$ can touch the second term only, and wants it as low as it gets. It is called a
# **min-max game**: one number, pulled at from both ends.
#
# An expert who learned nothing says ½ to everything and scores $2 \log \frac12 = -2\log 2 \approx
# -1.39$. Keep that number.
#
# ### Why logits
# A network gives any real number $l$, a **logit**; $D = \sigma(l) = 1/(1 + e^{-l})$. **Predict.**
# What does float32 make of $\log(1 - \sigma(l))$ when the expert is very sure that a fake is real,
# $l = 20$? And of its gradient, which is $-\sigma(l)$?

# %%
for logit in (5.0, 15.0, 20.0, 100.0):
    naive, stable = (torch.tensor(logit, requires_grad=True) for _ in range(2))
    first, second = torch.log(1 - torch.sigmoid(naive)), F.logsigmoid(-stable)
    first.backward(), second.backward()
    print(
        f"l = {logit:5.0f}   log(1 - sigmoid(l)): {first.item():7.3f}, gradient"
        f" {naive.grad:6.3f}   logsigmoid(-l): {second.item():8.3f}, gradient"
        f" {stable.grad:6.3f}"
    )

# %% [markdown]
# The sigmoid becomes exactly 1, the difference exactly 0, and its logarithm ends the training.
# Since $1 - \sigma(l) = \sigma(-l)$, both logarithms are one function of the logit, and
# `F.logsigmoid` computes it without ever forming the probability.

# %% [markdown]
# ## Exercise 1: the expert's objective (5 minutes)
# You get the logits of some real pictures and of as many fakes. Everything is maximised; there is
# no loss and no mean.


# %% tags=["exercise"]
def discriminator_objective(real: Tensor, fake: Tensor) -> Tensor:
    """log D(x) + log(1 - D(G(z))) in nats, to be maximised by the discriminator.

    real, fake: (B,), logits of real pictures x and of fakes G(z), any real numbers.
    Returns: (B,).
    """
    ### BEGIN SOLUTION
    return F.logsigmoid(real) + F.logsigmoid(-fake)
    ### END SOLUTION


# %% tags=["exercise-check"]
discriminator_objective = check.discriminator_objective(discriminator_objective)
# check.discriminator_objective.hint()

# %% [markdown]
# ## The best possible expert
# Let the fraud stand still. Which $D$ scores highest? Write the two expectations as one integral
# over pictures,
#
# $$V(D) = \int \big[\, p_{real}(\mathbf{x}) \log D(\mathbf{x}) + p_G(\mathbf{x}) \log(1 - D(\mathbf{x})) \,\big]\, d\mathbf{x},$$
#
# and maximise at each $\mathbf{x}$ on its own. The derivative in $D$ is $p_{real}/D - p_G/(1 - D)$;
# it is 0 at
#
# $$D^*(\mathbf{x}) = \frac{p_{real}(\mathbf{x})}{p_{real}(\mathbf{x}) + p_G(\mathbf{x})}.$$
#
# Read aloud: where both make a picture equally often, nobody can do better than ½. The expert's
# logit is then $\log p_{real}(\mathbf{x}) - \log p_G(\mathbf{x})$: **two samples and a classifier
# give you a ratio of densities**, and neither density was ever written down.
#
# Put $D^*$ back, with $m = (p_{real} + p_G)/2$ halfway between the two:
#
# $$V(D^*) = -2 \log 2 + \underbrace{\mathrm{KL}[p_{real} \| m] + \mathrm{KL}[p_G \| m]}_{2\,\mathrm{JS}[p_{real},\, p_G]}$$
#
# Read aloud: against a perfect expert the fraud minimises the **Jensen-Shannon divergence** JS. It
# is 0 only if $p_G = p_{real}$, and at most $\log 2$, which it reaches when the two have nothing in
# common.

# %%
x = torch.linspace(-14, 14, 4001, dtype=torch.float64)
dx = x[1] - x[0]
places = torch.tensor([-1.2, 1.2], dtype=torch.float64)
artist = mixture(places, 0.5)  # p_real: two bumps on a line


def log_real(x: Tensor) -> Tensor:
    return artist.log_prob(x[..., None])


def log_fraud(x: Tensor, shift: float, width: float) -> Tensor:
    """p_G: the same two bumps, moved and stretched; p_real with shift 0 and width 1."""
    return log_real((x - shift) / width) - math.log(width)


def value(logit: Tensor, shift: float, width: float) -> float:
    """V(D) for D = sigmoid(logit), by quadrature: nats."""
    of_real = log_real(x).exp() * F.logsigmoid(logit)
    of_fakes = log_fraud(x, shift, width).exp() * F.logsigmoid(-logit)
    return ((of_real + of_fakes).sum() * dx).item()


def best_logit(shift: float, width: float) -> Tensor:
    return log_real(x) - log_fraud(x, shift, width)  # of D*


# %% [markdown]
# **Predict.** The fraud paints the artist's two bumps, but shifted. How does the best expert's
# score change as the shift grows, and what would the fraud feel of it at a shift of 6?
#
# Three things to try: find the fraud that leaves the expert guessing; shift it as far as it goes,
# and watch the right curve under your hand; make the fraud narrow, and ask where $D^*$ is surest.

# %% jupyter={"source_hidden": true}
shifts = [round(0.2 * i, 1) for i in range(-35, 36)]
WIDTHS = [0.5, 0.7, 1.0, 1.5, 2.0]
scores = {w: [value(best_logit(s, w), s, w) for s in shifts] for w in WIDTHS}


def draw_expert(shift: float, width: float) -> plt.Figure:
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.7))
    shown = x.abs() < 8.5
    at = x[shown]
    left.fill_between(at, log_real(at).exp(), color=DATA, alpha=0.15)
    left.plot(at, log_real(at).exp(), color=DATA, label="$p_{real}$")
    left.plot(at, log_fraud(at, shift, width).exp(), "--", color=MODEL, label="$p_G$")
    left.plot(
        at,
        best_logit(shift, width)[shown].sigmoid(),
        ":",
        color="#A0527A",
        linewidth=2.2,
        label="$D^*$",
    )
    left.set(
        xlabel="x",
        ylabel="density, and $D^*$",
        ylim=(0, 1.3),
        title=f"shift {shift:.1f}, width {width:g}",
    )
    left.legend(ncols=3, loc="upper left", fontsize=9, columnspacing=1)
    right.plot(shifts, scores[width], color=CRITIC)
    right.axhline(0, color=DATA, linewidth=0.8)
    right.axhline(-2 * math.log(2), color=DATA, linewidth=0.8, linestyle=":")
    right.text(0, -0.12, "0: never wrong", fontsize=9, ha="center")
    right.text(-7, -2 * math.log(2) + 0.04, "$-2\\log 2$: guesses", fontsize=9)
    score = value(best_logit(shift, width), shift, width)
    right.plot(shift, score, "o", color=CRITIC)
    js = score / 2 + math.log(2)
    right.set(xlabel="shift of the fraud", ylabel="$V(D^*)$, nats", ylim=(-1.5, 0.1))
    right.set_title(f"V(D*) = {score:.2f}, JS = {abs(js):.3f} nats")
    return fig


flat = [
    (value(best_logit(s + 0.1, 1.0), s + 0.1, 1.0) - value(best_logit(s - 0.1, 1.0), s - 0.1, 1.0))
    / 0.2
    for s in (1.0, 6.0)
]
show_widget(
    slider_figure(
        draw_expert,
        alt=(
            "Left, the densities of artist and fraud on a line and the best expert's D. Right, the"
            " best expert's score against the fraud's shift: lowest where the two agree, and flat"
            " near 0 where they are far apart."
        ),
        shift=(-7.0, 7.0, 0.1, 1.5),
        width=widgets.SelectionSlider(
            options=WIDTHS, value=1.0, description="width", layout={"width": "22em"}
        ),
    ),
    draw_expert(1.5, 1.0),
    alt=(
        "At shift 1.5 D* is a wave that follows which of the two densities"
        " is higher; the score has a deep valley at shift 0, a shallow dip on either side beyond 2,"
        " and is nearly flat beyond 5."
    ),
    caption=(
        f"A fraud that is far off hears nearly nothing about where to go: at shift 1 the score"
        f" rises by {flat[0]:.2f} nats per unit of shift, at shift 6 by {flat[1]:.4f}."
    ),
)

# %% [markdown]
# In the small dip beyond 2 one of the fraud's bumps lies on the wrong one of the artist's; a fraud
# that only goes downhill stays there. The flat sides are what notebook 05 is about.
#
# Is $V(D^*)$ really $-2 \log 2 + 2\,\mathrm{JS}$, and does no other expert score higher? Take 300
# random frauds. The score comes from the grid; JS from its two KLs by another quadrature,
# Gauss-Legendre; and each $D^*$ is challenged by an expert whose logits are off by a random wave.

# %%
nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(400))
y, w = 14 * nodes, 14 * weights
random = torch.Generator().manual_seed(0)
off, worse = [], []
for u in torch.rand(300, 4, generator=random).tolist():
    shift, width = 6 * u[0] - 3, 0.6 + u[1]
    p, q = log_real(y), log_fraud(y, shift, width)
    middle = torch.logaddexp(p, q) - math.log(2)
    js = 0.5 * (w @ (p.exp() * (p - middle)) + w @ (q.exp() * (q - middle))).item()
    logit = best_logit(shift, width)
    challenger = logit + u[2] * torch.cos(x + 6 * u[3])
    best = value(logit, shift, width)
    off.append(abs(best - (2 * js - 2 * math.log(2))))
    worse.append(best - value(challenger, shift, width))

# %% jupyter={"source_hidden": true}
print(
    f"{len(off)} frauds: V(D*) differs from -2 log 2 + 2 JS by at most {max(off):.0e}"
    f" nats; {sum(gap < 0 for gap in worse)} challengers beat D*; on average they lose"
    f" {np.mean(worse):.3f}"
)

# %% [markdown]
# ### A trained expert
# Nobody gives a real expert the densities. Give a small network samples only, and *your* objective.
# **Predict.** Where will it come close to $D^*$, and where will it make things up?

# %%
torch.manual_seed(0)
SHIFT, BREADTH = 1.5, 0.6  # the fraud's, a narrow one
learner = mlp([1, 64, 64, 1], leaky)
optimiser = Adam(learner.parameters(), lr=2e-3)
for _ in progress(range(800), desc="expert"):
    real, fake = (artist.sample((256,)).float() for _ in range(2))
    logits = learner(real)[:, 0], learner(SHIFT + BREADTH * fake)[:, 0]
    maximise(discriminator_objective(*logits), optimiser)

# %% jupyter={"source_hidden": true}
with torch.no_grad():
    learned = learner(x.float()[:, None])[:, 0].double()
mass = (log_real(x).exp() + log_fraud(x, SHIFT, BREADTH).exp()) / 2
reached, ideal = value(learned, SHIFT, BREADTH), value(best_logit(SHIFT, BREADTH), SHIFT, BREADTH)
gap_d = (learned.sigmoid() - best_logit(SHIFT, BREADTH).sigmoid()).abs()
inside = (mass * gap_d).sum().item() * dx.item()
beyond = gap_d[(x > 4) & (x < 8.5)].mean().item()
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.5))
shown = x.abs() < 8.5
ax.fill_between(x[shown], mass[shown], color=NOISE, alpha=0.3, label="where pictures are")
ax.plot(
    x[shown],
    best_logit(SHIFT, BREADTH)[shown].sigmoid(),
    ":",
    color=DATA,
    linewidth=2.2,
    label="$D^*$",
)
ax.plot(x[shown], learned[shown].sigmoid(), color=CRITIC, label="trained on samples")
ax.set(xlabel="x", ylabel="D(x)", ylim=(-0.03, 1.25), yticks=[0, 0.5, 1])
ax.legend(ncols=3, loc="upper center")
plot.show(
    fig,
    alt=(
        "The trained discriminator's curve lies on D* between -3 and 3, where there are pictures;"
        f" far to the right D* is 1 and the trained one {learned[x > 8][0].sigmoid():.2f}."
    ),
    caption=(
        f"Where pictures are, the trained expert is {inside:.3f} from D* on average; between 4 and"
        f" 8.5, where nobody ever asked it, {beyond:.2f}."
    ),
)
plot.on_request(
    "Its score", f"{reached:.3f} nats, {ideal - reached:.3f} below that of D* (one training)."
)

# %% [markdown]
# A classifier has found a ratio of densities from samples. But look far to the right, where there
# are hardly any pictures. The artist's, rare as they are, are much more frequent there than the
# narrow fraud's: $D^* = 1$. The network never saw one, and extrapolates. **The equations are about
# $D^*$; the fraud plays against the network.**

# %% [markdown]
# ## The fraud's wish, twice
# The min-max game says: the fraud lowers $\log(1 - D(G(\mathbf{z})))$, that is, it *maximises*
# $-\log(1 - D(G(\mathbf{z})))$. At the beginning any expert sees through it: $D(G(\mathbf{z}))
# \approx 0$. The slope of $-\log(1 - \sigma(l))$ is $\sigma(l) = D$ itself: **the worse the fake,
# the weaker the lesson.** The objective *saturates*.
#
# So its inventors gave the fraud another wish with the same goal: maximise $\log D(G(\mathbf{z}))$.
# Its slope is $1 - D$: full strength while the fakes are bad. It is no min-max game any more, just
# two players with two objectives, and nearly everybody trains this one.
#
# ## Exercise 2: the fraud's objectives (4 minutes)
# Both of them, stable, and both to be **maximised**.


# %% tags=["exercise"]
def generator_objective(fake: Tensor, saturating: bool) -> Tensor:
    """What the generator maximises, in nats: the min-max game's own if saturating, else
    log D(G(z)).

    fake: (B,), logits of the fakes G(z).  Returns: (B,).
    """
    ### BEGIN SOLUTION
    return -F.logsigmoid(-fake) if saturating else F.logsigmoid(fake)
    ### END SOLUTION


# %% tags=["exercise-check"]
generator_objective = check.generator_objective(generator_objective)
# check.generator_objective.hint()

# %% [markdown]
# **Predict.** An untrained generator, and an expert who looks at its fakes and at real digits for
# some steps alone. After how many steps is the saturating lesson down to a hundredth? And the other
# one?


# %% jupyter={"source_hidden": true}
def lesson(game: GAN, saturating: bool) -> float:
    """The norm of the gradient of the mean objective of 256 fakes, all of the generator's
    parameters together.
    """
    fake = game.logit(game.generator(game.prior.sample((256,))))
    mean = generator_objective(fake, saturating).mean()
    gradient = torch.autograd.grad(mean, list(game.generator.parameters()))
    return nn.utils.get_total_norm(gradient).item()


LOOKS, EXPERTS = [0, 1, 2, 5, 10, 20, 40, 80], 4
lessons = {False: [], True: []}
for seed in progress(range(EXPERTS), desc="experts"):
    torch.manual_seed(seed)
    young = ImageGAN()
    players = Players(young, RATE)
    for look in range(LOOKS[-1] + 1):
        if look in LOOKS:
            young.eval()
            for saturating, rows in lessons.items():
                rows.append(lesson(young, saturating))
            young.train()
        players.discriminator_step(pool[torch.randint(len(pool), (64,))])
young.eval()
with torch.no_grad():
    early = young.logit(young.sample(500))
lessons = {key: torch.tensor(rows).reshape(EXPERTS, -1) for key, rows in lessons.items()}
# As shares of the non-saturating one at the start.
strength = {key: rows / lessons[False][:, :1] for key, rows in lessons.items()}

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
logits = torch.linspace(-12, 6, 200)
for saturating, (colour, line, name) in {
    False: (MODEL, "-", "non-saturating"),
    True: (DATA, "--", "saturating"),
}.items():
    left.plot(
        logits,
        logits.sigmoid() if saturating else (-logits).sigmoid(),
        line,
        color=colour,
        label=name,
    )
    mean, error = strength[saturating].mean(0), strength[saturating].std(0) / EXPERTS**0.5
    right.errorbar(LOOKS, mean, error, fmt="o" + line, color=colour, ms=4, capsize=3, label=name)
height = torch.histc(early.clamp(-12, 6), 30, -12, 6)
left.bar(
    torch.linspace(-11.7, 5.7, 30),
    height / height.max() * 0.8,
    width=0.55,
    color=NOISE,
    alpha=0.5,
    zorder=0,
)
left.text(early.mean().clamp(-10, 4), 0.84, "fakes", color="#666666", ha="center", fontsize=9)
left.set(
    xlabel="logit of a fake",
    ylabel="slope of the objective",
    ylim=(0, 1.2),
    title="what a logit teaches",
)
left.legend(loc="upper center", ncols=2, fontsize=8)
right.set(
    xscale="symlog",
    yscale="log",
    xlabel="steps of the expert alone",
    ylabel="gradient, share of the start's",
)
right.set_xticks(LOOKS, LOOKS)
right.minorticks_off()
right.set_title("what reaches the generator")
right.legend(loc="lower left", fontsize=8)
ratio = (lessons[False] / lessons[True])[:, -1]
below = [look for look, rows in zip(LOOKS, strength[True].T, strict=True) if rows.mean() < 0.01]
hundredth = "is not seen below a hundredth"
if below:
    hundredth = f"is first seen below a hundredth at step {below[0]}"
plot.show(
    fig,
    alt=(
        "Left, slopes against the fake's logit: the saturating one's rises from 0 to 1, the"
        " other's falls from 1 to 0; a histogram of an untrained generator's fakes, after"
        f" {LOOKS[-1]} steps of the expert, stands far to the left. Right, gradient norms, mean and"
        " standard error, against the expert's head start: the saturating one falls by orders of"
        " magnitude, the non-saturating one does not."
    ),
    caption="The better the expert, the less is left of the saturating lesson; the other stays.",
)
decades = intervals.of_mean(ratio.log10(), "seeds")
plot.measured(
    f"after {LOOKS[-1]} steps of the expert the fakes' logits are {early.mean():.1f} on average"
    f" (the last seed). The saturating gradient {hundredth}, and ends at"
    f" {strength[True][:, -1].mean():.1g} of the start's; the non-saturating one ends at"
    f" {strength[False][:, -1].mean():.2g} times the start's. Between the two lies a factor of 10"
    f" to the power {decades:.1f} ({decades.basis})"
)

# %% [markdown]
# For a single fake the two gradients point the same way: both are the logit's gradient, times a
# number. Only that number differs. The saturating one listens to the fakes that nearly pass; the
# other to those that fail. (An optimiser like Adam rescales what it gets, and hides some of the
# difference; you will see how much.)

# %% [markdown]
# ## Exercise 3: by turns (10 minutes)
# Now the game. First the expert's turn: fresh $\mathbf{z}$, fakes, logits, one step up its
# objective. Then the fraud's: *fresh* $\mathbf{z}$ again, fakes, logits from the expert *as it is
# now*, one step up `generator_objective(..., saturating=False)`.
#
# In the expert's turn the fraud stands still: make those fakes under `torch.no_grad()`, so that no
# gradient is computed for the generator. `maximise(objective, optimiser)` makes one step up the
# mean of the objective, and returns that mean; it removes old gradients first. `discriminator(x)`
# has shape `(B, 1)`; `.squeeze(-1)` makes it `(B,)`.


# %% tags=["exercise"]
def alternate(
    x: Tensor, prior, generator, discriminator, d_optimiser, g_optimiser
) -> tuple[float, float]:
    """One turn of the expert, then one of the fraud.

    x: (B, D), real pictures. prior.sample((B,)) draws B codes.
    generator: codes -> (B, D). discriminator: (B, D) -> logits (B, 1).
    Returns: the mean objectives of expert and fraud, as maximise returns them.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        fakes = generator(prior.sample((len(x),)))
    for_expert = discriminator_objective(
        discriminator(x).squeeze(-1), discriminator(fakes).squeeze(-1)
    )
    expert = maximise(for_expert, d_optimiser)

    fakes = generator(prior.sample((len(x),)))
    for_fraud = generator_objective(discriminator(fakes).squeeze(-1), saturating=False)
    return expert, maximise(for_fraud, g_optimiser)
    ### END SOLUTION


# %% tags=["exercise-check"]
alternate = check.alternate(alternate)
# check.alternate.hint()

# %% [markdown]
# Your loop, on a ring of eight Gaussians. **Predict** both mean objectives at the end, if the fraud
# becomes perfect.

# %%
torch.manual_seed(1)
ring = ring_of_gaussians()  # eight modes on a circle of radius 2
small = GAN(StandardGaussian(2), mlp([2, 32, 32, 2]), mlp([2, 32, 32, 1]))
both = (small.generator, small.discriminator)
g_optimiser, d_optimiser = (
    Adam(player.parameters(), lr=2e-3, betas=(0.5, 0.999)) for player in both
)
turns, snapshots = [], {}
for turn in progress(range(1501), desc="your game"):
    if turn in (0, 250, 600, 1500):
        snapshots[turn] = copy.deepcopy(small)
    batch = ring.sample((64,))
    turns.append(alternate(batch, small.prior, *both, d_optimiser, g_optimiser))

# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
codes, data = torch.randn(500, 2), ring.sample((300,))
end_of_turns = torch.tensor(turns[-300:]).mean(0)
fig, axes = plt.subplots(1, 4, figsize=(plot.WIDTH, 2.2), sharey=True)
plane = torch.stack(
    torch.meshgrid(torch.linspace(-3, 3, 60), torch.linspace(-3, 3, 60), indexing="xy"), -1
)
covered = []
for ax, (turn, game) in zip(axes, snapshots.items(), strict=True):
    with torch.no_grad():
        verdict, fakes = game.logit(plane).sigmoid(), game.generator(codes)
    heat = ax.imshow(
        verdict, extent=(-3, 3, -3, 3), origin="lower", cmap=REAL_OR_FAKE, vmin=0, vmax=1
    )
    ax.plot(*data.T, ".", ms=2, color=DATA)
    ax.plot(*fakes.T, "^", ms=2, color=MODEL)
    covered.append(modes_found(fakes, ring.components.mean, 0.1))
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[-2, 0, 2], yticks=[-2, 0, 2], title=f"turn {turn:,}")
fig.colorbar(heat, ax=axes, shrink=0.8, label="D(x)", ticks=[0, 0.5, 1])
plot.show(
    fig,
    alt=(
        "Four panels at turns 0, 250, 600 and 1,500: the blue fakes go from a fan at the middle to"
        " the eight grey clusters of the ring, while the background, what D says, changes its"
        " pattern each time."
    ),
    caption=f"At turn 1,500 your game has found {covered[-1][0]} of 8 modes.",
)
plot.measured(
    f"over the last 300 turns the expert's objective is {end_of_turns[0]:.2f} nats (one who"
    f" guesses: {-2 * math.log(2):.2f}) and the fraud's {end_of_turns[1]:.2f} (there:"
    f" {-math.log(2):.2f}). Modes found: {', '.join(str(n) for n, _ in covered)} of 8; share of the"
    f" fakes near one: {', '.join(f'{share:.0%}' for _, share in covered)} (one game)"
)

# %% [markdown]
# If the fraud were perfect, $D$ would be ½ everywhere: $-2\log 2$ and $-\log 2$. Close values don't
# prove it, though: an expert that has not caught up would score the same. **Neither objective says
# how good the fakes are.** You will meet this again below.

# %% [markdown]
# ## Train it on digits
# The same two networks with 784 outputs and 784 inputs, and `play`, which does by turns what you
# did. **Predict.** The expert's mean verdicts on real digits and on fakes, $D(\mathbf{x})$ and
# $D(G(\mathbf{z}))$, are drawn while it runs. Do the two curves meet at ½?
#
# Stop it whenever you like (the square button): you keep both players as they are.

# %%
torch.manual_seed(0)
yours = ImageGAN()  # 64 numbers to 784 pixels, and 784 pixels to a logit
live = plot.Live(
    parts=plot.VERDICTS,
    unit="mean verdict D",
    draw=lambda game: game.sample(30),
    columns=6,
    title="fakes",
)
history = play(yours, train, epochs=EPOCHS, lr=RATE, device=DEVICE, live=live)
yours = yours.cpu()

# %% jupyter={"source_hidden": true}
if history.steps:
    late = history.steps[-max(1, len(history.steps) // 5) :]
    verdicts = [np.mean([row[name] for row in late]) for name in ("real", "fake")]
    plot.markdown(
        f"**The game {history.stopped}** after {history.steps[-1]['step']:,} steps. Over the last"
        f" fifth of them the expert gave real digits {verdicts[0]:.2f} and fakes"
        f" {verdicts[1]:.2f}. The shipped `gan` had {recipes.card('gan')['epochs_trained']} epochs"
        f" on 50,000 digits, against your {len(history.epochs)} on {len(train):,}."
    )

# %% [markdown]
# The curves don't settle, and they need not meet: while the fakes get better, the expert gets
# better at finding what is wrong with them. What you can trust are the pictures, rough as they are
# after so short a game.

# %% [markdown]
# ## Walk through its latent space
# The shipped GAN, at 64 latent dimensions. It has no encoder, so there are no digits behind the pad
# and nothing to write on: nobody can say which $\mathbf{z}$ belongs to a digit. The sliders stand
# in order of how much they change the picture.
#
# Three things to try: press *Sample z* ten times, and count what you would take for real; then move
# the first three sliders from one end to the other; then a late one.

# %%
show_widget(
    latent_traversal("gan"),
    latent_grid("gan", rows=4),
    alt=(
        "Four rows of digits; in each one latent dimension goes from -3 to 3 while all"
        " others are 0, and the digit changes its shape or its class."
    ),
)

# %% [markdown]
# **Predict.** On the straight line between two codes, is the middle a blend of two digits laid over
# one another, or a digit of its own?

# %% jupyter={"source_hidden": true}
classifier = recipes.load("digit_classifier")
features = partial(classifier.features, rows=100)  # a little at a time
classify = partial(classifier.classify, rows=100)
with torch.no_grad():
    torch.manual_seed(8)
    start, end = gan.prior.sample((500,)), gan.prior.sample((500,))
    fakes = gan.generator(start), gan.generator(end)

    def sure(images: Tensor) -> Tensor:
        best = [classifier.log_prob(part).amax(-1) for part in images.split(100)]
        return torch.cat(best).exp()

    middles, blends = gan.generator((start + end) / 2), (fakes[0] + fakes[1]) / 2
    certain = {"ends": sure(fakes[0]), "middles": sure(middles), "blends": sure(blends)}
    share = torch.linspace(0, 1, 11)[:, None]
    walks = [gan.generator((1 - share) * start[i] + share * end[i]) for i in range(3)]
    blend = (1 - share) * fakes[0][2] + share * fakes[1][2]
gain = intervals.of_mean(certain["middles"] - certain["blends"], "pairs")
better = "Codes in between decode to digits rather than to blends"
plot.show(
    plot.images([*walks, blend], columns=11, titles=["in z", "in z", "in z", "in pixels"]),
    alt=(
        "Three rows in which one digit turns into another by way of digits in between, and a fourth"
        " with the same ends as the third, in which the one fades out while the other fades in."
    ),
    caption=gain.verdict(f"{better}.", "Blends are surer digits.", "No difference is shown."),
)
plot.measured(
    f"half-way in z a classifier is {certain['middles'].mean():.2f} sure of its answer on average,"
    f" half-way in pixels {certain['blends'].mean():.2f}, at the ends {certain['ends'].mean():.2f};"
    f" the first less the second: {gain.said('+.2f')} ({gain.basis})"
)

# %% [markdown]
# ## Hardly told from real ones?
# Once the game has converged, says the lecture, generated images can hardly be told from real ones.
# Your own ten guesses first:

# %% jupyter={"source_hidden": true}
places = [
    f"{'first' if i < 10 else 'second'} row, {i % 10 + 1}" for i in range(20) if real_or_fake[i]
]
# The probability of eight or more right, by chance.
eight = sum(math.comb(10, k) ** 2 for k in (8, 9, 10)) / math.comb(20, 10)
plot.markdown(
    "<details><summary>Which of the twenty at the top were real?</summary>\n\n"
    + "; ".join(places)
    + ".\n\nGuessing finds five of the ten on average, eight or more only once in "
    + f"{1 / eight:.0f} tries.</details>"
)

# %% [markdown]
# Your eye is one expert. Hire three others, who all answer the same question, *which of these two
# heaps does it come from?*, and let each of them also sort two heaps of *real* digits, where ½ is
# all one can do:
#
# - the game's own discriminator, against which the generator was trained;
# - each picture's **nearest neighbour** among all the others, by pixels;
# - a **fresh** network of the same kind, trained for 300 steps on 1,500 of each and asked about
#   others.
#
# **Predict** the three.


# %%
def neighbour(a: Tensor, b: Tensor) -> Tensor:
    """For each picture of both heaps: is its nearest neighbour from the same one?"""
    both, mine = torch.cat([a, b]), torch.arange(len(a) + len(b)) < len(a)
    distance = torch.cdist(both, both).fill_diagonal_(math.inf)
    return mine[distance.argmin(1)] == mine


def fresh(a: Tensor, b: Tensor, seed: int = 0) -> Tensor:
    """The same question to a network trained on the first three quarters of each heap,
    about the last.
    """
    torch.manual_seed(seed)
    n, net = len(a) * 3 // 4, mlp([784, 256, 1], leaky)
    optimiser = Adam(net.parameters(), lr=1e-3)
    for _ in range(300):
        rows = torch.randint(n, (2, 64))
        logits = net(a[rows[0]])[:, 0], net(b[rows[1]])[:, 0]
        maximise(discriminator_objective(*logits), optimiser)
    with torch.no_grad():
        return torch.cat([net(a[n:])[:, 0] > 0, net(b[n:])[:, 0] < 0])


# %% tags=["claim-14"]
torch.manual_seed(1)
real, again = pool[:2000], pool[2000:]
fakes, mine = gan.sample(2000), yours.sample(2000)
with torch.no_grad():
    own = torch.cat([gan.logit(real) > 0, gan.logit(fakes) < 0])
heaps = [fakes, again]
told = {  # (against fakes, against other real digits)
    "the game's own discriminator": (own, None),
    "nearest neighbour": [neighbour(real[:1000], h[:1000]) for h in heaps],
    "a fresh network": [fresh(real, heap) for heap in heaps],
}
seen_real, *seen = (features(heap).split(500) for heap in (real, *heaps))
distance = [[*map(frechet, seen_real, some)] for some in seen]

# %% jupyter={"source_hidden": true}
share_right = {
    name: [
        intervals.of_share(right.sum(), len(right), "pictures", comparisons=5)
        for right in both
        if right is not None
    ]
    for name, both in told.items()
}
found_out, by_chance = share_right["a fresh network"]
far, near = (intervals.of_mean(each, "heaps of 500", comparisons=2) for each in distance)
measured["claim-14"] = (
    f"a fresh network is right in {found_out:.1%} of its answers (two heaps of real digits:"
    f" {by_chance:.1%}; {found_out.basis}), and the Frechet distance of fakes from real digits is"
    f" {far:.0f}, of other real digits {near:.1f} ({far.basis}); one training"
)
plot.measured(measured["claim-14"])

# %% jupyter={"source_hidden": true}
plot.markdown(
    "| expert | real or fake: right | real or real: right |",
    "|:--|--:|--:|",
    *(
        f"| {name} | {both[0]:.1%} | {f'{both[1]:.1%}' if both[1:] else 'not asked'} |"
        for name, both in share_right.items()
    ),
    "",
    (
        f"*{len(real):,} real training digits and as many samples of `gan`; the nearest neighbour"
        " is sought among 1,000 of each;"
        f" the fresh network is asked about {found_out.n:,} it was not trained on. 95 % intervals,"
        " corrected for 5 comparisons.*"
    ),
)

# %% jupyter={"source_hidden": true}
verdict = "the claim holds even against a machine, here"
if found_out.low > 0.75:
    verdict = "**hardly** is too strong for this game"
plot.markdown(
    f"With a fresh network right in {found_out.value:.0%} of its answers, {verdict}. Look for what"
    " a network sees that you forgive: single dark pixels far from any stroke, grey where pens"
    " leave black or nothing. What you judge is whether it *could* be a digit; what the network"
    " judges is all 784 pixels. [Notebook 06](06_more_gans.ipynb) asks the same of convolutional"
    " networks."
)

# %% [markdown]
# ## Very unstable?
# A model with one objective climbs one hill, and its seeds end close together ([notebook
# 07](07_vae.ipynb#Is-the-training-stable?) measures it for a VAE). Play the game on the ring 20
# times, all at once (their networks are stacked, so that 20 games cost little more than one). Say
# beforehand what failure is: **at the end not all eight modes found, or less than three quarters of
# the samples near one.**
#
# **Predict.** Everything is the same but the seed. How many of 20 fail? And with 8 latent
# dimensions in place of 2? With the saturating objective?


# %% jupyter={"source_hidden": true}
def many(
    data,
    latent_dim=2,
    hidden=32,
    lr=2e-3,
    saturating=False,
    steps=1500,
    copies=SEEDS,
    game=None,
    every=100,
    label="",
):
    """So many games at once on a 2-D density; their fakes, (copies, 500, 2), every so many steps,
    and the last game.
    """
    torch.manual_seed(0)
    game = game or GAN(
        StandardGaussian(latent_dim),
        mlp([latent_dim, hidden, hidden, 2], copies=copies),
        mlp([2, hidden, hidden, 1], copies=copies),
        saturating,
    )
    players, shots = Players(game, lr), {}
    for step in progress(range(1, steps + 1), desc=label):
        players.discriminator_step(data.sample((copies, 64)))
        players.generator_step(data.sample((copies, 64)))
        if step % every == 0:
            with torch.no_grad():
                shots[step] = game.generator(game.prior.sample((copies, 500)))
    return shots, game


def coverage(fakes: Tensor, density, std: float) -> tuple[Tensor, Tensor]:
    """Of each copy, the modes found and the share of samples near one: (copies,) each."""
    found, near = zip(*(modes_found(x, density.components.mean, std) for x in fakes), strict=True)
    return torch.tensor(found).float(), torch.tensor(near)


# %% tags=["claim-15"]
kinds = {
    "2 latent dimensions": {},
    "8 latent dimensions": {"latent_dim": 8},
    "2, saturating": {"saturating": True},
}
runs = {kind: many(ring, label=kind, **keywords)[0] for kind, keywords in kinds.items()}
modes = {
    kind: [coverage(fakes, ring, 0.1)[0] for fakes in shots.values()]
    for kind, shots in runs.items()
}
course = {kind: torch.stack(rows) for kind, rows in modes.items()}  # (looks, seeds)
ends = {kind: coverage(shots[1500], ring, 0.1) for kind, shots in runs.items()}
failed = {kind: (found < 8) | (near < 0.75) for kind, (found, near) in ends.items()}


# %% jupyter={"source_hidden": true}
counts = {kind: int(bad.sum()) for kind, bad in failed.items()}
spans = {kind: intervals.of_share(n, SEEDS, "seeds", 4) for kind, n in counts.items()}
rows = course["2 latent dimensions"]  # how often a game loses modes
losses = intervals.of_mean((rows[1:] < rows[:-1]).sum(0), "seeds", comparisons=4)
measured["claim-15"] = (
    f"of {SEEDS} seeds "
    + "; ".join(
        f"{n}{' fail' * (not i)} with {kind} ({spans[kind].low:.0%} to {spans[kind].high:.0%})"
        for i, (kind, n) in enumerate(counts.items())
    )
    + f". On its way to step 1,500 a game with 2 loses modes {losses:.1f} times ({losses.basis})"
)
plot.measured(measured["claim-15"])
fig, (left, middle, right) = plt.subplots(
    1, 3, figsize=(plot.WIDTH, 2.6), width_ratios=(1.25, 1.25, 1)
)
for ax, kind in ((left, "2 latent dimensions"), (middle, "8 latent dimensions")):
    at, rows = list(runs[kind]), course[kind]
    ax.plot(at, rows + torch.linspace(-0.2, 0.2, SEEDS), color=MODEL, alpha=0.25, linewidth=1)
    ax.errorbar(at, rows.mean(1), rows.std(1) / SEEDS**0.5, color=MODEL, linewidth=2)
    ax.set(xlabel="step", ylim=(-0.5, 8.6), yticks=range(0, 9, 2), title=kind)
    ax.axhline(8, color=DATA, linewidth=0.8, linestyle=":")
left.set_ylabel("modes found, of 8")
for i, (kind, n) in enumerate(counts.items()):
    low, high = spans[kind].low, spans[kind].high
    right.bar(i, n / SEEDS, color=(MODEL, MODEL, NOISE)[i], alpha=0.5)
    right.errorbar(i, n / SEEDS, [[n / SEEDS - low], [high - n / SEEDS]], color=DATA, capsize=4)
    right.text(i, 0.02, f"{n}", ha="center", fontsize=9)
right.set(xticks=range(3), ylim=(0, 1.05), ylabel="share that fails")
right.set_xticklabels(["2 dim.", "8 dim.", "2, satur."], fontsize=8)
plot.show(
    fig,
    alt=(
        "Modes found over the steps for 20 seeds, with 2 and with 8 latent dimensions: thin lines"
        " that climb, cross and sometimes fall, drawn a little apart, and their mean with its"
        " standard error. Right, the share of seeds that fail with its interval for three kinds of"
        " game."
    ),
    caption="Games climb, cross and lose again what they had found: the seed decides.",
)

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(2, 10, figsize=(plot.WIDTH, 1.9), sharex=True, sharey=True)
for i, ax in enumerate(axes.flat):
    bad = bool(failed["8 latent dimensions"][i])
    ax.plot(*ring.components.mean.T, "o", ms=5, mfc="none", color=DATA, markeredgewidth=0.6)
    ax.plot(*runs["8 latent dimensions"][1500][i][:300].T, ".", ms=1.5, color=MODEL)
    ax.set(xlim=(-2.8, 2.8), ylim=(-2.8, 2.8), xticks=[], yticks=[], aspect="equal")
    ax.set_title(
        f"{int(ends['8 latent dimensions'][0][i])}{'' if bad else ' ok'}",
        fontsize=8,
        loc="center",
        pad=1,
    )
    ax.spines[:].set(visible=True, color="#D55E00" if bad else "#009E73")
plot.show(
    fig,
    alt=(
        "Twenty small pictures of the plane, one for each seed: eight circles where the data are,"
        " blue dots where the fakes are, crowded at some of the circles and thin or absent at"
        " others."
    ),
    caption=(
        "The same game, 20 seeds, 8 latent dimensions, step 1,500; above each the modes it has"
        f" found. {counts['8 latent dimensions']} of 20 fail; how many modes they miss, and which,"
        " depends on the seed."
    ),
)

# %% jupyter={"source_hidden": true}
plain, saturated = (counts[kind] for kind in ("2 latent dimensions", "2, saturating"))
gains = course["8 latent dimensions"][-1] - course["8 latent dimensions"][-6]
gains = intervals.of_mean(gains, "seeds")
fewer = intervals.of_difference(failed["2, saturating"], failed["2 latent dimensions"], "seeds")
plot.markdown(
    f"Eight dimensions of noise in place of two, and {counts['8 latent dimensions']} games fail in"
    f" place of {plain}; they still gain {gains:+.1f} modes over the last 500 steps, so"
    " this is being slow as much as being unstable. The saturating objective, with its lost"
    f" lessons, fails {saturated} times against {plain}, a difference of"
    f" {fewer.said('+.0%', 'of the games')} ({fewer.basis}). In"
    " the plane the fakes overlap with the data from the start, and Adam divides each gradient by"
    " its own usual size, so that a weak lesson makes no small step. With digits, above, a factor"
    f" of {ratio.mean():,.0f} lay between the two.\n\nThe optimiser is part of the game, too:"
    " these have the usual Adam, with $\\beta_1 = 0.5$; [notebook 05](05_wgan.ipynb) also tries"
    " one without momentum."
)

# %% [markdown]
# ### Why it does not come to rest
# Strip the min-max game to one number each. The data are all at 0; the fraud puts its fakes at
# $\theta$; the expert's logit is $\psi x$. What both pull at is then $\log(1 -
# \sigma(\psi\theta))$: the expert wants it large, the fraud small. At $\theta = \psi = 0$ both
# could rest. **Predict.** Do they get there?


# %%
def tiny_game(rate: float, by_turns: bool, penalty: float = 0.0, steps: int = 400):
    """The path (theta, psi): a fraud lowers V = log(1 - sigma(psi theta)), an expert
    raises V - penalty psi^2 / 2.
    """
    theta, psi, path = 1.0, 0.0, []
    for _ in range(steps):
        path.append((theta, psi))
        before, D = psi, 1 / (1 + math.exp(-psi * theta))
        psi += rate * (-theta * D - penalty * psi)
        slope = psi if by_turns else before  # of the expert the fraud looks at
        theta += rate * slope / (1 + math.exp(-slope * theta))
    return np.array(path)


paths = {
    "both at once": tiny_game(0.15, by_turns=False),
    "by turns": tiny_game(0.15, by_turns=True),
    "by turns, with a penalty": tiny_game(0.15, by_turns=True, penalty=0.3),
}

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.6), sharex=True, sharey=True)
for ax, (name, path) in zip(axes, paths.items(), strict=True):
    ax.plot(*path.T, "-", color=CRITIC, linewidth=0.8)
    ax.plot(*path[::8].T, ".", color=CRITIC, ms=3)
    ax.plot(*path[0], "o", color=MODEL, ms=6)
    ax.plot(0, 0, "+", color=DATA, ms=10)
    ax.set(xlabel=r"$\theta$, the fakes", title=name, xlim=(-3, 3), ylim=(-3, 3))
axes[0].set_ylabel(r"$\psi$, the expert's slope")
away = {name: np.hypot(*path[-60:].T).mean() for name, path in paths.items()}
plot.show(
    fig,
    alt=(
        "Three paths in the plane of theta and psi, all from (1, 0). The first spirals outwards,"
        " the second circles round the origin, the third spirals into it."
    ),
    caption="Both at once they move away from where they could rest; a penalty brings them there.",
)
plot.on_request(
    "How far away they end",
    "Distance from where both could rest, at first 1, over the last 60 of 400 steps: "
    + ", ".join(f"{r:.2f} {name}" for name, r in away.items())
    + ".",
)

# %% [markdown]
# They chase each other round the point. There is no hill both climb: what one gains the other
# loses, and together the two gradients make a whirl. By turns the circle closes, at once it opens,
# and a small tax on the expert's slope (a *gradient penalty*, [notebook 05](05_wgan.ipynb)) turns
# it inwards. (With the non-saturating objective the circle shrinks by itself, but ever more
# slowly.)

# %% [markdown]
# ## Break it: a fraud too quick for its expert
# Take the ring, and change nothing but the learning rates: the fraud's up, the expert's down, their
# product the same. **Predict.** The fraud now makes many steps against an expert that hardly moves.
# Where do all its fakes go? And what happens when the expert has caught up?
#
# First as a film: 500 steps with rates 50 : 1, then 700 with the rates equal again, from where the
# first 500 left it. Of eight seeds you see the three that move most. Three things to try: stop the
# film and predict where the clump jumps next; count how many modes it holds at once; watch what the
# first frames after step 500 do to it.

# %%
PACE = 2e-3  # both rates, where they are equal


def broken_then_cured(copies: int = 8):
    rates = (PACE / 50**0.5, PACE * 50**0.5)
    schedule = {"steps": 500, "every": 20, "label": "too quick"}
    quick, game = many(ring, lr=rates, copies=copies, **schedule)
    schedule = {"steps": 700, "every": 50, "label": "rates equal"}
    cured, _ = many(ring, lr=PACE, copies=copies, game=game, **schedule)
    return quick, {500 + step: fakes for step, fakes in cured.items()}


quick, cured = broken_then_cured()


# %% jupyter={"source_hidden": true}
def draw_on_ring(ax: plt.Axes, fakes: Tensor, sizes: tuple[float, float]) -> None:
    """Fakes over the ring's modes; `sizes` of the modes' circles and of the dots."""
    circle, dot = sizes
    ax.plot(*ring.components.mean.T, "o", ms=circle, mfc="none", color=DATA, markeredgewidth=0.8)
    ax.plot(*fakes[:300].T, ".", ms=dot, color=MODEL)
    ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")


def frame(step: int, fakes: Tensor) -> plt.Figure:
    fig, axes = plt.subplots(1, 3, figsize=(plot.WIDTH, 2.5), sharey=True)
    for i, ax in zip(restless[:3], axes, strict=True):
        draw_on_ring(ax, fakes[i], (13, 3))
        ax.set(xticks=[-2, 0, 2], yticks=[-2, 0, 2], title=f"seed {i}: step {step:,}")
    return fig


late = torch.stack([quick[step] for step in quick if step >= 240])  # (looks, copies, 500, 2)
centre = late.median(2, keepdim=True).values
jumps = (centre[1:] - centre[:-1]).norm(dim=-1)[..., 0]  # (looks - 1, copies)
restless = jumps.mean(0).argsort(descending=True).tolist()  # seeds; first, who moves most
collapsed = {step: coverage(fakes, ring, 0.1)[0] for step, fakes in (quick | cured).items()}
looks = (*range(300, 501, 20), *range(550, 801, 50), 1000, 1200)
shown = {step: (quick | cured)[step] for step in looks}
jump = jumps.mean().item()
spread = (late - centre).norm(dim=-1).median(2).values.mean().item()
fig, axes = plt.subplots(1, 5, figsize=(plot.WIDTH, 1.9), sharey=True)
for ax, step in zip(axes, (440, 460, 480, 500, 1200), strict=True):
    draw_on_ring(ax, (quick | cured)[step][restless[0]], (7, 2))
    ax.set(xticks=[], yticks=[], title=f"step {step:,}")
before, after = collapsed[500], collapsed[1200]
show_widget(
    film(
        [frame(step, fakes) for step, fakes in shown.items()],
        [
            f"Step {step:,}, rates {'50 : 1' if step <= 500 else 'equal'}: modes found "
            + ", ".join(f"{int(n)}" for n in collapsed[step][restless[:3]])
            + " of 8."
            for step in shown
        ],
        label="step",
        seconds=0.4,
    ),
    fig,
    alt=(
        f"Five pictures of seed {restless[0]} from the film: from step 440 to 500 the fakes form a"
        " clump or a thin streak, which moves; at step 1,200, with equal rates since 500, they are"
        " spread over the ring."
    ),
    caption=(
        "The fakes crowd where the expert is fooled, and leave when it has noticed: in 20 steps"
        f" their middle moves by {jump:.1f}, on a ring of radius 2."
    ),
)
cure = [intervals.of_mean(modes, "seeds", 3) for modes in (before, after, after - before)]
plot.measured(
    f"at step 500 the games hold {cure[0]:.1f} of 8 modes, after 700 steps with equal rates"
    f" {cure[1]:.1f}, {cure[2].said('+.1f')} ({cure[2].basis}). While the rates are unequal, half"
    f" of the fakes lie within {spread:.1f} of their middle"
)

# %% [markdown]
# **Why.** Against a fixed expert the fraud's best answer is no distribution at all: put every fake
# on the one place where $D$ is highest. Nothing in its objective asks for variety. It is the
# expert's *next* step that punishes the clump, and if that comes too late, the clump has moved on.
# This is **mode collapse**, and in its mild form, missing modes.
#
# How quick is too quick? Move the slider.

# %%
PACES = {  # fraud : expert
    "1 : 100": 10.0,
    "1 : 10": 10**0.5,
    "1 : 1": 1.0,
    "10 : 1": 10**-0.5,
    "100 : 1": 0.1,
}
paced = {}
for name, factor in PACES.items():
    rates = PACE * factor, PACE / factor  # the expert's, the fraud's
    paced[name] = many(
        ring, lr=rates, steps=600, every=600, copies=6, label=f"fraud : expert = {name}"
    )[0][600]

# %% jupyter={"source_hidden": true}
reached_modes = {name: coverage(fakes, ring, 0.1)[0] for name, fakes in paced.items()}
near_modes = {name: coverage(fakes, ring, 0.1)[1] for name, fakes in paced.items()}


def draw_paces(rates: str) -> plt.Figure:
    fig, axes = plt.subplots(1, 4, figsize=(plot.WIDTH, 2.1), width_ratios=(1, 1, 1, 1.5))
    for i, ax in enumerate(axes[:3]):
        draw_on_ring(ax, paced[rates][i], (9, 2.5))
        ax.set(xticks=[], yticks=[], title=f"seed {i}")
    mean = torch.stack([found.mean() for found in reached_modes.values()])
    error = [standard_error(found) for found in reached_modes.values()]
    axes[3].errorbar(range(len(PACES)), mean, error, fmt="o-", color=MODEL, capsize=3)
    axes[3].plot(list(PACES).index(rates), reached_modes[rates].mean(), "o", color="#D55E00", ms=9)
    axes[3].set(ylim=(0, 8.4), ylabel="modes found, of 8")
    axes[3].set_xticks(range(len(PACES)), list(PACES), fontsize=7)
    axes[3].set_xlabel("rates, fraud : expert", fontsize=8)
    return fig


show_widget(
    slider_figure(
        draw_paces,
        alt=(
            "Fakes of three seeds after 600 steps over the eight modes of a ring, and the mean"
            " number of modes found against the ratio of learning rates."
        ),
        rates=widgets.SelectionSlider(
            options=list(PACES),
            value="100 : 1",
            description="fraud : expert",
            layout={"width": "24em"},
        ),
    ),
    draw_paces("100 : 1"),
    alt=(
        "At 100 : 1 the fakes of three seeds against the eight modes; at the right the mean number"
        " of modes, with standard errors, for the five ratios of the rates, "
    )
    + ", ".join(f"{n.mean():.1f}" for n in reached_modes.values())
    + ".",
    caption="Both ends are bad: a fraud that is too quick settles nowhere, a slow one gets stuck.",
)
plot.on_request(
    "All five",
    "| fraud : expert | modes found | samples near one |",
    "|:--|--:|--:|",
    *(
        f"| {name} | {mean_and_error(n)} | {near_modes[name].mean():.0%} |"
        for name, n in reached_modes.items()
    ),
    "",
    "*After 600 steps, 6 seeds, with standard errors.*",
)

# %% jupyter={"source_hidden": true}
slow_modes, slow_near = reached_modes["1 : 100"].mean(), near_modes["1 : 100"].mean()
best = max(PACES, key=lambda name: reached_modes[name].mean())
lead = intervals.of_difference(reached_modes[best], reached_modes["1 : 1"], "seeds", 4)
plot.markdown(
    "Both ends are bad, each in its own way. With a fraud too quick the fakes are nowhere for long"
    f" ({near_modes['100 : 1'].mean():.0%} near a mode). With an expert too quick {slow_near:.0%}"
    f" are near a mode, but the modes are only {slow_modes:.1f} of 8: the fraud stays where it was"
    " first believed. **The cure is balance**: rates, or steps a turn, with which neither outruns"
    f" the other. Of these five {best} finds most, {reached_modes[best].mean():.1f} modes, against"
    f" 1 : 1 {lead.said('+.1f')} ({lead.basis}). Or an expert that cannot become too steep:"
    " [notebook 05](05_wgan.ipynb)."
)

# %% [markdown]
# ### When it diverges
# A learning rate can also be so large that a number leaves the floating point. That must not cost
# you the notebook: `play` stops, keeps the last finite players, and says what happened.

# %%
torch.manual_seed(0)
wild = GAN(StandardGaussian(2), mlp([2, 32, 32, 2]), mlp([2, 32, 32, 1]))
wild_history = play(wild, ring, steps=200, batch_size=64, lr=1e4, progress=False)
finite = all(p.isfinite().all() for p in wild.parameters())
far = wild.sample(500).abs().mean()
print(
    f"Its parameters are {'all finite' if finite else 'not finite'}, and its fakes"
    f" about {far:.0e} from the origin."
)
# No smaller step mends it: begin anew.
tame = GAN(StandardGaussian(2), mlp([2, 32, 32, 2]), mlp([2, 32, 32, 1]))
tame_history = play(tame, ring, steps=200, batch_size=64, lr=PACE, progress=False)
print(f"A new game at a rate of {PACE}: {tame_history.stopped}.")

# %% [markdown]
# ## Sampling, and what need not be written down
# The lecture's list of merits: *implicit* models, easy sampling, high dimensions. **Predict.** How
# long does one digit take? Does a turn of the game take longer with more latent dimensions, as the
# density network's integral did ([notebook
# 03](03_density_network.ipynb#It-scales-badly:-where-the-truth-is-known))?


# %% tags=["claim-16"]
def milliseconds(job) -> float:
    began = time.perf_counter()
    job()
    return 1e3 * (time.perf_counter() - began)


batch, ROUNDS = pool[:64], 6
games = {d: Players(ImageGAN(d), RATE) for d in (2, 64, 512)}
turn_ms, sample_ms = {d: [] for d in games}, []
for _ in range(ROUNDS):  # the first is to warm up
    sample_ms.append(milliseconds(lambda: gan.sample(1000)))
    for d, two in games.items():
        first = milliseconds(lambda two=two: two.discriminator_step(batch))
        second = milliseconds(lambda two=two: two.generator_step(batch))
        turn_ms[d].append(first + second)

# %% jupyter={"source_hidden": true}
del games, two
longer = np.array(turn_ms[512][1:]) / np.array(turn_ms[2][1:])
longer = intervals.of_mean(longer, "rounds")
measured["claim-16"] = (
    f"it trains with no density written down; {min(sample_ms):.0f} microseconds an image of 784"
    " pixels, in one pass; a turn of the game takes "
    + ", ".join(f"{min(ms):.0f} ms at {d}" for d, ms in turn_ms.items())
    + f" latent dimensions, with one code for each digit (the fastest of {ROUNDS}); at 512 it takes"
    f" {longer:.2f} times as long as at 2 ({longer.basis})"
)
plot.measured(measured["claim-16"])


# %% [markdown]
# One code a digit, whatever the dimension: the game never asks which of all codes made *this*
# digit, so no integral is to be sampled. That is what "implicit" buys. Here is what it costs.

# %% [markdown]
# ## No likelihood
# Ask the model how probable a test digit is:

# %%
try:
    gan.decoder(gan.prior.sample((1,))).log_prob(held_out[:1])
except NotImplementedError as error:
    print(f"NotImplementedError: {error}")

# %% [markdown]
# $G$ maps 64 numbers into 784: all it can ever make lies on a sheet that has no volume, and a test
# digit beside it has density 0. So papers put a small Gaussian bump on each of N samples and call
# the mixture's $\log p$ the model's: a **kernel density estimate**,
#
# $$\log \hat p(\mathbf{x}) = \log \frac1N \sum_{n=1}^N \mathcal N(\mathbf{x} \mid \mathbf{x}_n, h^2 \mathbf{I}).$$
#
# Read aloud: $\mathbf{x}$ is probable if some sample lies within about $h$ of it, all 784 pixels
# counted. Let it judge five heaps of pictures, 1,000 each: your GAN's, the shipped one's, the means
# of a VAE (notebook 07), **real training digits**, and *smudges*, each the average of ten similar
# training digits. **Predict** the ranking. Does it depend on $h$?
#
# And a case where the truth is known: N(0, I) in $d$ dimensions, 1,000 of its own samples, the best
# $h$ of many. How far below the true $\mathbb{E}[\log p]$ is the estimate?

# %% jupyter={"source_hidden": true}
torch.manual_seed(2)
vae = recipes.load("vae_40d")
with torch.no_grad():
    parts = vae.prior.sample((2000,)).split(200)
    vae_means = torch.cat([vae.decoder(z).mean for z in parts])
smudges = []  # each digit with its nine nearest
for part in again.split(250):
    close = torch.cdist(part, again).topk(10, largest=False).indices
    smudges += [again[rows].mean(0) for rows in close]
smudges = torch.stack(smudges)
heaps = {
    "your GAN": mine,
    "gan": fakes,
    "VAE, means": vae_means,
    "real digits": again,
    "smudges": smudges,
}


# %% tags=["claim-17"]
WIDTHS_H = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def kernel_estimate(samples: Tensor, x: Tensor, h: float) -> Tensor:
    """log of the mean over samples of N(x | sample, h^2 I): (B,), nats."""
    D = x.shape[-1]
    squared = torch.cdist(x, samples) ** 2
    log_bumps = -squared / (2 * h**2) - D / 2 * math.log(2 * math.pi * h**2)
    return torch.logsumexp(log_bumps, 1) - math.log(len(samples))


estimates = {
    name: torch.stack([kernel_estimate(heap[:1000], held_out, h) for h in WIDTHS_H])
    for name, heap in heaps.items()
}

# %% jupyter={"source_hidden": true}
orders = [
    sorted(heaps, key=lambda name, i=i: -estimates[name][i].mean().item())
    for i in range(len(WIDTHS_H))
]
short = {}
for d in (1, 2, 5, 10, 20, 50):
    torch.manual_seed(d)
    a, b = torch.randn(1000, d), torch.randn(500, d)
    truth = -0.5 * d * math.log(2 * math.pi) - 0.5 * (b**2).sum(1)
    short[d] = min(
        (truth - kernel_estimate(a, b, h)).mean().item() for h in np.geomspace(0.05, 2, 25)
    )
winners = [order[0] for order in orders]
rank_of_real = [order.index("real digits") + 1 for order in orders]
k = len(WIDTHS_H) + 2  # comparisons
copies_lead = [
    intervals.of_mean(gap, "digits", k) for gap in estimates["real digits"] - estimates["gan"]
]
least, most = (f(copies_lead, key=lambda gap: gap.value) for f in (min, max))
places = " to ".join(map(str, sorted({min(rank_of_real), max(rank_of_real)})))
beaten = sum(gap.low > 0 for gap in copies_lead)
top = max(range(len(WIDTHS_H)), key=lambda i: estimates["real digits"][i].mean())
blur, lead = (
    intervals.of_mean(estimates[a][top] - estimates[b][top], "digits", k)
    for a, b in (("smudges", "real digits"), ("real digits", "VAE, means"))
)
measured["claim-17"] = (
    "`log_prob` raises an error. Of five heaps a kernel estimate puts"
    f" {' or '.join(dict.fromkeys(winners))} first and real digits in place {places};"
    f" at h = {WIDTHS_H[top]} the smudges are"
    f" {blur:+.0f} nats before real digits. A copy of training digits beats the GAN at"
    f" {beaten} of {len(WIDTHS_H)} bandwidths, by {least:.0f} to {most:.0f} nats ({blur.basis},"
    " paired; one training)"
)
plot.measured(measured["claim-17"])
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.9), width_ratios=(1.5, 1))
marks = {
    "your GAN": (MODEL, "v:"),
    "gan": (MODEL, "o-"),
    "VAE, means": ("#D55E00", "s"),
    "real digits": (DATA, "D-"),
    "smudges": ("#7F7F00", "^-."),
}
for name, (colour, mark) in marks.items():
    # The VAE's marks are open: they lie on the real digits' line.
    style = {"ms": 9, "mfc": "none"} if name == "VAE, means" else {"ms": 4}
    style |= {"color": colour, "linewidth": 1.4, "label": name}
    left.plot(WIDTHS_H, estimates[name].mean(1), mark, **style)
left.set(xlabel="bandwidth h", ylabel="kernel estimate, nats per digit", ylim=(-900, 350))
left.legend(fontsize=8, loc="lower right")
right.plot(list(short), list(short.values()), "o-", color=DATA)
right.set(
    xscale="log",
    yscale="log",
    xlabel="dimensions d",
    ylabel="nats below the truth",
    title="N(0, I), best h",
)
right.set_xticks(list(short), list(short))
right.minorticks_off()
plot.show(
    fig,
    alt=(
        "Left, kernel density estimates against the bandwidth for five heaps of pictures: all rise"
        " to a maximum between 0.15 and 0.3 and fall; the smudges' curve is the highest there."
        " Right, the estimate's shortfall for a Gaussian grows with the dimension."
    ),
    caption=(
        "Even of a Gaussian's own samples the estimate is short of the truth, by"
        f" {short[2]:.2f} nats in 2 dimensions and {short[50]:.1f} in 50."
    ),
)
plot.on_request(
    f"The order at h = {WIDTHS_H[top]}, the best for real digits",
    f"Nats a digit, {len(held_out):,} held-out digits, with standard errors: "
    + ", ".join(f"{name} {mean_and_error(estimates[name][top], '.0f')}" for name in orders[top])
    + f". Digit by digit, real digits less the VAE's means: {lead.said('+.0f')} ({lead.basis}).",
)

# %% jupyter={"source_hidden": true}
plot.show(
    plot.images(
        [heaps[name][:12] for name in ("real digits", "smudges", "VAE, means", "gan")],
        columns=12,
        titles=["real digits", "smudges", "VAE, means", "gan"],
    ),
    alt=(
        "Four rows of twelve: clean real digits; blurred averages; the VAE's soft digits; the GAN's"
        " digits with stray pixels."
    ),
    caption=(
        f"What was judged. At h = {WIDTHS_H[top]} the estimate prefers the"
        f" {'second row' if winners[top] == 'smudges' else winners[top]} and gives real digits"
        f" place {rank_of_real[top]} of {len(heaps)}."
    ),
)

# %% [markdown]
# An average lies closer, in squared pixels, to a digit nobody has seen than another real digit
# does. So the judge prefers blur to the truth, and a model that has only *copied* its training
# digits would get the real digits' score without having learned anything. The number measures the
# bump, not the model. (Theis et al. 2016 say so with more care.)

# %% [markdown]
# ## Then how to measure?
# By distances between heaps of samples. Four of them, each with *real against real* beside it,
# because no finite sample is at distance 0 from another:
#
# - **exact Wasserstein**: the cheapest way to carry one heap onto the other, in pixels ([notebook
#   05](05_wgan.ipynb));
# - **sliced Wasserstein**: the same for shadows on 200 random directions, averaged;
# - **Frechet**: the distance of two Gaussians, one fitted to each heap, in the 64 features of a
#   digit classifier;
# - **classes**: half the summed differences of the two class histograms (total variation).
#
# **Predict.** Do they agree on the order?


# %% tags=["claim-18"]
def distances(x: Tensor, y: Tensor, seen_x: Tensor, seen_y: Tensor) -> list[float]:
    """The four, between two heaps of 500 and their features."""
    classes = [
        torch.bincount(classifier.head(seen).argmax(1), minlength=10) / len(seen)
        for seen in (seen_x, seen_y)
    ]
    variation = 0.5 * (classes[0] - classes[1]).abs().sum().item()
    by_pixels = [wasserstein(x, y), sliced_wasserstein(x, y)]
    return [*by_pixels, frechet(seen_x, seen_y), variation]


# %%
MEASURES, judged = ["exact W", "sliced W", "Frechet", "classes"], {}
seen_real = features(real)
for name, heap in heaps.items():
    compared = heap, real, features(heap), seen_real
    four = zip(*(part.split(500) for part in compared), strict=True)
    judged[name] = torch.tensor([distances(*parts) for parts in four])
by_measure = [
    sorted(heaps, key=lambda name, k=k: judged[name][:, k].mean().item())
    for k in range(len(MEASURES))
]

# %% jupyter={"source_hidden": true}
plot.markdown(
    "| against 500 real digits | " + " | ".join(MEASURES) + " |",
    "|:--|" + "--:|" * len(MEASURES),
    *(
        f"| {name + (' (others)' if name == 'real digits' else '')} | "
        + " | ".join(
            f"{m:.{p}f} $\\pm$ {s:.{p}f}"
            for m, s, p in zip(rows.mean(0), rows.std(0) / 2, (2, 3, 0, 2), strict=True)
        )
        + " |"
        for name, rows in judged.items()
    ),
    "",
    (
        "*Mean and standard error over four disjoint heaps of 500. The smudges are made of the"
        " other real digits, not of those they are compared with.*"
    ),
)
gaps = [
    intervals.of_mean(gap, "heaps of 500", comparisons=4)
    for gap in (judged["smudges"] - judged["real digits"]).T
]
smudged = [order.index("smudges") + 1 for order in by_measure]
measured["claim-18"] = (
    "there are several, and they disagree: of five heaps the smudges come in place "
    + ", ".join(f"{place} by {measure}" for place, measure in zip(smudged, MEASURES, strict=True))
    + "; smudges less other real digits: "
    + ", ".join(
        f"{measure} {gap.said(f'+.{p}f')}"
        for measure, gap, p in zip(MEASURES, gaps, (2, 3, 0, 2), strict=True)
    )
    + f" ({gaps[0].basis})"
)
plot.measured(measured["claim-18"])

# %% [markdown]
# Each is right about what it looks at. The exact distance of pixels forgives blur, even rewards it.
# Its shadows and the classifier's features don't, but the features know digits only; the class
# histogram knows nothing but counts. None of them is the likelihood, and none would notice a copy
# of the training set. Report two at least, with their N, and with real against real.

# %% [markdown]
# ## Which modes are missing?
# On the ring you have counted. Now 25 modes on a grid, eight games at once, and then digits: a
# classifier names 2,000 samples of the shipped GAN. **Predict.** A GAN trained on ten equally
# frequent digits: which will it make too seldom?

# %% tags=["claim-19"]
grid25 = grid_of_gaussians(spacing=4.0, std=0.2)  # 5 x 5
shots, _ = many(grid25, hidden=64, steps=1200, every=1200, copies=8, label="25 modes")
on_grid = shots[1200]
of_25, near_25 = coverage(on_grid, grid25, 0.2)
images = {"gan": fakes, "real": real, "others": again}
named = {}  # the shares of the ten classes
for name, heap in images.items():
    named[name] = torch.bincount(classify(heap), minlength=10) / len(heap)

# %% jupyter={"source_hidden": true}
rarest, most = named["gan"].argmin().item(), named["gan"].argmax().item()
of_8 = {kind: found for kind, (found, _) in ends.items()}


on_ring = {kind: intervals.of_mean(found, "seeds", 3) for kind, found in of_8.items()}
of_grid = intervals.of_mean(of_25, "seeds", 3)
many_of, few_of = (  # chosen among ten classes
    intervals.of_share(round(len(fakes) * named["gan"][c].item()), len(fakes), "digits", 10)
    for c in (most, rarest)
)
off = intervals.of_mean(judged["gan"][:, 3] - judged["real digits"][:, 3], "heaps of 500")
measured["claim-19"] = (
    f"on the ring {on_ring['2 latent dimensions']:.1f} of 8 modes with 2 latent dimensions,"
    f" {on_ring['8 latent dimensions']:.1f} with 8 ({SEEDS} seeds); on the grid {of_grid:.1f} of 25"
    f" ({of_grid.basis}); of digits, {many_of:.0%} are {most}s and {few_of:.0%} {rarest}s"
    f" ({few_of.basis}), and the classes are farther from the data's than those of real digits by"
    f" {off.said('+.2f')} in total variation ({off.basis}; one training)"
)
plot.measured(measured["claim-19"])
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8), width_ratios=(1, 1.5))
best_grid = int(of_25.argmax())
left.plot(*grid25.components.mean.T, "o", ms=6, mfc="none", color=DATA, markeredgewidth=0.7)
left.plot(*on_grid[best_grid].T, ".", ms=2, color=MODEL)
left.set(xlim=(-11, 11), ylim=(-11, 11), aspect="equal", xticks=[-8, 0, 8], yticks=[-8, 0, 8])
left.set_title(f"the best of 8: {int(of_25.max())} of 25", fontsize=9)
at = torch.arange(10)
for shift, name, colour, label in ((-0.2, "real", DATA, "real digits"), (0.2, "gan", MODEL, "gan")):
    p = named[name]
    right.bar(at + shift, p, 0.38, color=colour, alpha=0.6, label=label)
    error = (p * (1 - p) / 2000).sqrt()
    right.errorbar(at + shift, p, error, fmt="none", color="#111111", capsize=2, linewidth=1)
right.set(xlabel="class, as the classifier names it", ylabel="share", xticks=range(10))
right.legend(fontsize=8)
fewer = [str(k) for k in range(10) if named["gan"][k] < 0.7 * named["real"][k]]
plot.show(
    fig,
    alt=(
        "Left, a 5 by 5 grid of circles and the fakes of the best of eight games, on some of the"
        " circles and between them. Right, the share of each digit among real ones, all near a"
        f" tenth, and among the GAN's, with standard errors, from {named['gan'].min():.2f} to"
        f" {named['gan'].max():.2f}."
    ),
    caption=(
        f"Made less than 0.7 times as often as in the data: the digit {', '.join(fewer)}."
        if fewer
        else "No digit is made less than 0.7 times as often as it occurs."
    ),
)
plot.on_request(
    "On the grid",
    f"After 1,200 steps the eight games find {of_25.min():.0f} to {of_25.max():.0f} of 25 modes,"
    f" with {near_25.mean():.0%} of their fakes near one (an even cloud would have"
    f" {math.pi * 0.8**2 / 16:.0%}).",
)

# %% [markdown]
# The grid is not a fair defeat: 1,200 steps are few for it, and in the laboratory at the top you
# can play on. The digits are one: that game had 30 epochs. And a class is a coarse mode; within
# one, the histogram sees nothing. What the objective does not ask for, variety, it does not get for
# sure.

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    14: "a converged GAN's images can hardly be told from real ones",
    15: "its training is very unstable",
    16: "it allows implicit models, samples easily, works in high dimension",
    17: "it is not the likelihood's solution",
    18: "there is no clear quantitative assessment",
    19: "it misses modes",
}
plot.claims_table(claims, measured)

# %% [markdown]
# ## For and against
# **For.** No density has to be written down, so any network that turns noise into pictures will do;
# one pass makes a sample; each step costs one code a picture, in any dimension; and the samples are
# not averaged, because an average is what the expert spots first.
#
# **Against.** No number rises while it trains; two learning rates must fit one another; the seed
# decides what is found; variety is not asked for; there is no likelihood, no encoder, and every
# substitute measure looks at something else.

# %% [markdown]
# ## Questions
# <details><summary>Your discriminator's objective has risen to -0.1. Good news?</summary>
#
# For nobody but the expert: it tells nearly everything apart. The generator's lessons get weaker
# (saturating) or noisier. If it stays there, slow the expert down or give it noise or dropout.
# </details>
#
# <details><summary>It stands at exactly -2 log 2. Has the game converged?</summary>
#
# Perhaps. Or the discriminator has collapsed to ½ everywhere, too weak to see anything. Train a
# fresh one against the frozen generator: if it finds nothing either, believe it. </details>
#
# <details><summary>Why draw new z for the generator's turn?</summary>
#
# With the same ones it still learns; but the expert has just adapted to those very fakes, so their
# logits are worse than those of other fakes of the same generator. Fresh ones give the gradient of
# the expectation.
# </details>
#
# <details><summary>What does the non-saturating game minimise, if not the Jensen-Shannon divergence?</summary>
#
# Against a perfect expert its gradient is that of KL[p_G || p_real] - 2 JS (Arjovsky & Bottou
# 2017): the KL punishes fakes where no data are, and hardly punishes data without fakes. It favours
# missing a mode over inventing one. </details>
#
# <details><summary>Could you get a log-likelihood from the discriminator, since it is a ratio of densities?</summary>
#
# A ratio only, p_real / p_G, and only of the perfect one. To get p_real you would need p_G, which
# an implicit model doesn't have. As a ratio it is useful: to reject or reweight bad samples, for
# instance. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Generative Adversarial
#   Nets".
# - I. Goodfellow et al., *Generative Adversarial Nets*, NeurIPS 2014: the game, the optimal
#   discriminator, both objectives.
# - A. Radford, L. Metz, S. Chintala, *Unsupervised Representation Learning with DCGANs*, 2015: Adam
#   with beta1 = 0.5.
# - M. Arjovsky, L. Bottou, *Towards Principled Methods for Training GANs*, ICLR 2017: vanishing
#   gradients.
# - L. Mescheder, A. Geiger, S. Nowozin, *Which Training Methods for GANs do actually Converge?*,
#   ICML 2018: the game of two numbers, the penalty.
# - M. Heusel et al., *GANs Trained by a Two Time-Scale Update Rule*, NeurIPS 2017: two learning
#   rates, the Frechet distance.
# - L. Theis, A. van den Oord, M. Bethge, *A Note on the Evaluation of Generative Models*, ICLR
#   2016: what a kernel estimate does.
# - D. Lopez-Paz, M. Oquab, *Revisiting Classifier Two-Sample Tests*, ICLR 2017. M. Kahng et al.,
#   *GAN Lab*, 2018: a game to look at.
#
# Next: [05, does a better distance calm the game?](05_wgan.ipynb)
