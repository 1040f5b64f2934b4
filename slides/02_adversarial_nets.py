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

# %% [markdown] notebook="03_density_network" minutes=45
# # Density networks and adversarial nets
#
# A network between code and image, and two ways to train it:
#
# by its likelihood, and by a game

# %% [markdown] tags=["notes"]
# 10 s. So far: a latent variable model, linear at first. Now a neural network takes the place of
# the straight line. Two answers to one question follow: how do you train it?

# %%
import math
import re

import matplotlib.pyplot as plt
import numpy as np
import torch
from deck import VALUE, Drawing, claim, less_nll, live, marked, show

from dgmcourse import intervals, recipes
from dgmcourse.data.images import mnist
from dgmcourse.data.toy import ring_of_gaussians, two_moons
from dgmcourse.densities import Gaussian, StandardGaussian
from dgmcourse.distances import modes_found, wasserstein_1d
from dgmcourse.evaluate import effective_sample_size
from dgmcourse.models.gan import GAN, ImageGAN, leaky
from dgmcourse.networks import gated_mlp, mlp
from dgmcourse.play import Players, adam
from dgmcourse.plot import CRITIC, DATA, MODEL, NOISE, POSTERIOR, markdown, tile
from dgmcourse.train import Adam, maximise
from dgmcourse.widgets import gan_lab as lab
from dgmcourse.widgets.film import film

torch.set_num_threads(1)
digits = mnist(None)  # grey values
names = ("density_network_2d", "gan", "dcgan", "acgan", "bigan", "wae_gan")
models = {name: recipes.load(name) for name in names}
cards = {name: recipes.card(name) for name in (*names, "vae_2d", "wae_mmd")}


def sheet(d: Drawing, x, y, w, images, columns: int, **more) -> Drawing:
    """Digits (N, 784) in so many columns, about (x, y), w wide."""
    picture = tile(images, columns)
    return d.image(x, y, w, w * picture.shape[0] / picture.shape[1], picture, **more)


def bar(d: Drawing, x, y, w, h, colour: str) -> Drawing:
    """A bar from x to the right, its middle line at y."""
    place = f'x="{x}" y="{y - h / 2}" width="{max(w, 2):.0f}" height="{h}"'
    return d.add(f'<rect {place} style="fill: var(--{colour})"/>')


def rule(d: Drawing, x1, y1, x2, y2, colour: str = "line") -> Drawing:
    look = f'style="stroke: var(--{colour})" stroke-width="2"'
    return d.add(f'<path d="M{x1},{y1} L{x2},{y2}" {look}/>')


def dot(d: Drawing, x, y, r: int, colour: str, step=None) -> Drawing:
    return d.add(f'<circle cx="{x}" cy="{y}" r="{r}" style="fill: var(--{colour})"/>', step)


@torch.no_grad()
def samples(name: str, n: int, seed: int = 0):
    torch.manual_seed(seed)
    return models[name].sample(n)


# %% [markdown] minutes=45
# ## A density network

# %% [markdown] tags=["notes"]
# 50 s. Draw a code, pass it through the network, read off one density for each pixel, draw the
# image. Ask: which of these steps is random? (The first and the last.) MacKay proposed it in 1995.
# The digit is the shipped network's own.

# %%
with torch.no_grad():
    torch.manual_seed(3)
    z = models["density_network_2d"].prior.sample((1,))
    p = models["density_network_2d"].decoder(z)
    drawn, mean = p.sample(), p.mean
d = Drawing(
    1150,
    330,
    "A code z, drawn from the prior, enters a network, which answers with a density for each pixel;"
    " the image x is drawn from it",
)
d.node(90, 150, "z", colour="prior")
d.formula(90, 240, "p_λ(*z*)", colour="prior")
d.text(90, 290, "the prior", size=24, colour="quiet")
d.arrow(138, 150, 248, 150, step=1)
d.net(370, 150, 240, 190, "neural\nnetwork", narrow="left", step=1)
d.text(370, 290, "a curved map", size=24, colour="quiet", step=1)
d.arrow(494, 150, 602, 150, step=2)
sheet(d, 690, 150, 168, mean, 1, frame="model", step=2)
d.formula(690, 256, "p_θ(*x*|*z*)", colour="model", step=2)
d.text(690, 300, "a density for each pixel", size=24, colour="quiet", step=2)
d.arrow(780, 150, 918, 150, step=3)
d.text(850, 120, "draw", size=24, colour="quiet", step=3)
sheet(d, 1010, 150, 168, drawn, 1, frame="ink", step=3)
d.formula(1010, 256, "*x*", step=3)
d.show()

# %% [markdown] tags=["step"]
# $$p(\mathbf{x}) = \int p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z}$$

# %% [markdown]
# <p class="small">MacKay, 1995: Bayesian neural networks and density networks.</p>

# %% [markdown] minutes=60
# ## Two latent dimensions, all digits

# %% [markdown] tags=["notes"]
# 35 s. This is the trained network's latent plane, in equal steps of prior probability. Nobody told
# it which digit is which; neighbours look alike because the map is smooth. Ask: where is a blend
# nobody would write? Notebook 03 lets you walk here.

# %%
across, up = (torch.special.ndtri((torch.arange(n) + 0.5) / n) for n in (14, 6))
grid = torch.stack(torch.meshgrid(across, up.flip(0), indexing="xy"), -1).reshape(-1, 2)
with torch.no_grad():
    plane_of_digits = models["density_network_2d"].decoder(grid).mean
d = Drawing(
    1150,
    530,
    "A table of 14 by 6 decoded digits over the two latent dimensions: digits of all classes,"
    " changing gradually into one another",
)
sheet(d, 600, 238, 1060, plane_of_digits, 14)
d.arrow(70, 484, 1130, 484)
d.arrow(50, 470, 50, 6)
for x, y, k in ((600, 514, 1), (22, 238, 2)):
    place = f'x="{x}" y="{y}" font-size="26" text-anchor="middle" dominant-baseline="central"'
    index = f'<tspan font-size="20" dy="6">{k}</tspan>'
    d.add(f'<text {place}><tspan class="maths">z</tspan>{index}</text>')
d.show()

# %% [markdown] minutes=45
# ## How to train it?

# %% [markdown] tags=["notes"]
# 35 s. We want the parameters under which the data are probable. In factor analysis this integral
# was a formula. Ask the room what they would do now, and wait.

# %% [markdown]
# $$\large \max_\theta\; \log p(\mathbf{x}) = \log \int \underbrace{p_\theta(\mathbf{x}|\mathbf{z})}_{\step{\text{a network in here}}} \, p_\lambda(\mathbf{z})\, d\mathbf{z}$$
#
# * Straight line, Gaussian noise: the integral is a formula.
# * With a network inside, **no formula is left**.
# * And it is needed for each $\mathbf{x}$, at each step of training.

# %% [markdown] minutes=45
# ## An average over many codes

# %% [markdown] tags=["notes"]
# 70 s. An integral against a prior is a mean over draws from it. Draw codes blindly, ask each how
# probable x is under it, average. Orange dots grow with a code's share of the sum. Ask how many of
# the thousand matter; the digit shown is one for which it is more than one. If asked: with finite S
# the mean under the log lies too low, on average, by Jensen. Notebook 03 opens with a slider for S.

# %% [markdown] tags=["left"]
# A mean over draws from the prior:
#
# $$\begin{aligned} \log p(\mathbf{x}) &= \log \int p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z} \\ &\step{\approx \log \frac1S \sum_{s=1}^{S} p_\theta(\mathbf{x}|\mathbf{z}_s)} \\ &\step{= \log \frac1S \sum_{s=1}^{S} \exp\big(\log p_\theta(\mathbf{x}|\mathbf{z}_s)\big)} \end{aligned}$$
#
# with $\;\mathbf{z}_s \sim p_\lambda(\mathbf{z})$

# %% tags=["right"]
torch.manual_seed(0)
net, hundred = models["density_network_2d"], torch.bernoulli(digits.test[:100].tensor())
with torch.no_grad():
    codes = net.prior.sample((1000,))
    all_weights = net.decoder(codes).cross_log_prob(hundred)
effective = effective_sample_size(all_weights, 1)
shown = int((effective > 2.5).nonzero()[0])  # a digit for which more than one code counts
x_shown = hundred[shown : shown + 1]
share = torch.softmax(all_weights[shown], 0)
best = share.topk(3).indices
fig, ax = plt.subplots(figsize=(5.2, 3.2))
ax.plot(*codes.T, "s", ms=2.6, color="#7fc4ae", mew=0, antialiased=False)
seen = share > 0.003
ax.scatter(*codes[seen].T, s=500 * share[seen], color=POSTERIOR, linewidths=0, zorder=3)
ax.set(xlim=(-3.4, 3.4), ylim=(-3.4, 3.4), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
ax.set(xlabel="$z_1$", ylabel="$z_2$")
ax.text(3.3, 2.9, "share of the sum", color="#b34700", ha="right", va="center")
show(
    fig,
    "A thousand green codes over the latent plane; the few with a share of the sum, orange, lie in"
    " one small place",
)

# %% tags=["right"]
with torch.no_grad():
    best_means = net.decoder(codes[best]).mean
d = Drawing(540, 112, "A test digit, and what the three codes with the largest shares decode to")
sheet(d, 60, 42, 80, x_shown, 1, frame="ink")
d.formula(60, 100, "*x*", size=24)
d.text(150, 42, "from", size=22, colour="quiet")
for i, code in enumerate(best):
    sheet(d, 240 + 110 * i, 42, 80, best_means[i : i + 1], 1, frame="posterior")
    d.text(240 + 110 * i, 100, f"{share[code]:.0%}", size=22, colour="posterior")
d.show()
markdown(
    f'<p class="small">Of {len(codes):,} codes {effective.median():.1f} are effective (median of'
    f" {len(hundred)} digits).</p>"
)

# %% [markdown]
# ## The log-sum-exp, without underflow

# %% [markdown] tags=["notes"]
# 50 s. Ask before showing the table: what is the probability of a digit if every pixel is a coin?
# Its exponential is zero in the arithmetic that trains networks, and the gradient is lost with it.
# Measure each term against the largest: nothing changes, nothing underflows. Exercise 1 of notebook
# 03.

# %% tags=["left"]
rows = ["| $\\log w_s$ | float32: $e^{\\log w_s}$ | float64 |", "|--:|--:|--:|"]
for value in (-80.0, -110.0, 784 * math.log(0.5), -800.0):
    cells = []
    for dtype in (torch.float32, torch.float64):
        number = torch.tensor(value, dtype=dtype).exp().item()
        cells.append(f"$10^{{{round(math.log10(number))}}}$" if number else "**0**")
    rows.append(f"| {value:.0f} | {cells[0]} | {cells[1]} |".replace("| -", "| −"))
markdown(f"784 pixels, each a coin: $\\log w =$ **{784 * math.log(0.5):.0f}**".replace("-", "−"))
markdown(*rows)

# %% [markdown] tags=["right", "step"]
# **Log-sum-exp**: take out the largest,
#
# $$w_s = p_\theta(\mathbf{x}|\mathbf{z}_s), \quad m = \max_s \log w_s$$
#
# $$\begin{aligned} &\log \frac1S \sum_s e^{\log w_s} \\ &\quad = m + \log \frac1S \sum_s e^{\log w_s - m} \end{aligned}$$
#
# Exact, and its best term is $e^0 = 1$.

# %% [markdown]
# ## Training: sample, log-sum-exp, gradient

# %% [markdown] tags=["notes"]
# 50 s. That is all of the training. One latent number, a line through the plane, noise of one
# width: it finds both moons, and pays for the bridge between them, since a continuous map cannot
# tear. The pictures are a short training made with this slide; the numbers are the notebook's.


# %% tags=["left"]
class ThickLine(torch.nn.Module):
    """p(x|z) = N(f(z), sigma^2 I)."""

    def __init__(self):
        super().__init__()
        self.f = gated_mlp([1, 32, 32, 2])
        self.log_sigma = torch.nn.Parameter(torch.tensor(math.log(0.5)))

    def forward(self, z):
        mean = self.f(z)
        return Gaussian(mean, (2 * self.log_sigma).expand_as(mean))


torch.manual_seed(2)
moons, decoder, prior = two_moons(2000), ThickLine(), StandardGaussian(1)
optimiser = Adam(decoder.parameters(), lr=1e-2)
line, steps, shots = torch.linspace(-3, 3, 300)[:, None], 400, {}
for step in range(steps + 1):
    if step in (0, steps):
        with torch.no_grad():
            shots[step] = decoder(line).mean
    x = moons[torch.randint(len(moons), (100,))]
    optimiser.param_groups[0]["lr"] = 1e-2 * min(1, 2.02 - 2 * step / steps)
    log_weights = decoder(prior.sample((100,))).cross_log_prob(x)
    maximise(torch.logsumexp(log_weights, 1) - math.log(100), optimiser)
fig, axes = plt.subplots(2, 1, figsize=(5.0, 4.9))
for ax, (step, curve) in zip(axes, shots.items(), strict=True):
    ax.plot(*moons[:250].T, ".", ms=4, color="#888888")
    ax.plot(*curve.T, color=MODEL, lw=3)
    ax.set(xlim=(-2, 2.7), ylim=(-0.95, 1.45), aspect="equal", xticks=[], yticks=[])
    ax.set_title(f"after {step} steps" if step else "the line f(z) at the start", loc="center")
    ax.spines[:].set_visible(False)
show(
    fig,
    f"Grey points of two moons and the line f(z): at the start it lies anywhere, after {steps}"
    " steps a curve that runs through both moons",
)

# %% [markdown] tags=["right"]
# * **Sample** $S$ codes from the prior.
# * **Log-sum-exp** of the $\log p_\theta(\mathbf{x}|\mathbf{z}_s)$.
# * **Climb** its gradient in $\theta$:
#
# . . .
#
# $$\sum_s r_s \nabla_\theta \log p_\theta(\mathbf{x}|\mathbf{z}_s), \quad r_s = \frac{w_s}{\sum_t w_t}$$

# %% tags=["right", "step"]
claim(
    11,
    rf"from {VALUE} to {VALUE} nats.*? the true density has {VALUE}: {VALUE} are",
    "Two moons, $S$ = 100: from {} to {} nats a point. The true density has {}; {} are missing.",
    notebook="03",
)

# %% [markdown] minutes=45
# ## It scales badly in high dimensions

# %% [markdown] tags=["notes"]
# 60 s. Here the truth is known, x is z plus noise, so every loss is the estimate's. At one
# effective code it is no average any more, but the best of S tries. Ask what so many codes a digit
# would cost. Notebook 03 has theory and measurement on one line.

# %% tags=["left"]
SIGMA, dims, S = 0.5, (1, 2, 3, 5, 7, 10, 14, 20, 28, 40), 10_000
counts = []
for dim in dims:
    torch.manual_seed(dim)
    x = math.sqrt(1 + SIGMA**2) * torch.randn(20, dim)  # of N(0, (1 + sigma^2) I)
    z = torch.randn(S, dim)
    log_weights = -(torch.cdist(x, z) ** 2) / (2 * SIGMA**2)
    counts.append(effective_sample_size(log_weights, 1).median().item())
d = Drawing(
    540,
    480,
    "Effective codes of 10,000 against the dimensions of z, on a logarithmic axis: thousands at one"
    " dimension, about one from 20 on",
)


def place(dim: int, count: float) -> tuple[float, float]:
    return 112 + 9.8 * dim, 400 - 86 * math.log10(count)


for n in (1, 10, 100, 1000, 10_000):
    _, y = place(0, n)
    rule(d, 112, y, 530, y)
    d.text(102, y, f"{n:,}", size=24, anchor="end", colour="quiet")
for dim in (0, 10, 20, 30, 40):
    d.text(112 + 9.8 * dim, 428, f"{dim}", size=24, colour="quiet")
d.text(112, 22, f"effective codes, of {S:,}", size=26, anchor="start")
d.text(315, 464, "dimensions of z", size=26)
measured = [place(dim, count) for dim, count in zip(dims, counts, strict=True)]
d.trace(measured, colour="model")
for x, y in measured:
    dot(d, f"{x:.0f}", f"{y:.0f}", 7, "model")
d.show()

# %% tags=["right", "step"]
claim(
    12,
    rf"multiplies the codes needed by {VALUE}; continued to 40, that is (\$[^$]+\$)",
    "Each dimension multiplies the codes needed by {}. At 40 dimensions: {}.",
    notebook="03",
)
claim(
    12,
    rf"decoder with ([\d,]+) blind codes has {VALUE} effective ones"
    rf" and falls {VALUE} nats short of ([\d,]+) codes",
    "Digits, 40 dimensions: of {} blind codes {} is effective, and they fall {} nats short of {}"
    " codes that an encoder chose.",
    notebook="03",
)

# %% [markdown]
# ## Density network: pros and cons

# %% [markdown] tags=["notes"]
# 45 s. Go through the list with the numbers. With two latent dimensions the old model beats the VAE
# with a like decoder, on the same digits: the likelihood itself is worth climbing where codes cover
# the space.

# %% [markdown] tags=["left"]
# **Pros**
#
# - maximises the **likelihood** itself
# - **sampling** in two easy steps
# - trained by **gradients**

# %% [markdown] tags=["right"]
# **Cons**
#
# - needs **explicit** densities
# - **fails in high dimensions**
#
# <p style="height: 33px"></p>

# %% tags=["step"]
a, b = (cards[name]["results"] for name in ("density_network_2d", "vae_2d"))
gain = less_nll(b, a)
markdown(
    '<div class="claim card">\n',
    f"2 latent dimensions: $\\log p(\\mathbf{{x}})$ = −{a['test_nll']:.1f} nats, with a VAE of a like"
    f" decoder −{b['test_nll']:.1f}; the difference is **{marked(gain.said('.1f'))}**."
    f' <span class="basis">{gain.n:,} {gain.of}, one training each</span>\n',
    "</div>",
)
claim(
    13,
    rf"noise of ([\d.]+) gives \d+ new points {VALUE} nats each, noise of ([\d.]+) {VALUE}",
    "Two moons: with noise of {} a new point has {} nats, with noise of {} it has {}. Without noise"
    " there is no density to maximise.",
    notebook="03",
)

# %% [markdown] minutes=45
# ## Can we do better?

# %% [markdown] tags=["notes"]
# 15 s. Let the question stand for a moment. The next idea drops the density altogether.

# %% [markdown] tags=[]
# Could you train a generator without ever asking how probable an image is?

# %% [markdown] notebook="04_gan" minutes=45
# ## A fraud, an expert, an artist

# %% [markdown] tags=["notes"]
# 50 s. Introduce the three one after another. Nobody knows how the artist paints: there are only
# pictures. The fraud has never seen one. The expert is told the truth afterwards, and so is the
# fraud.

# %%
d = Drawing(
    1150,
    500,
    "A fraud, an art expert and an artist. The fraud and the artist hand pictures to the expert,"
    " who says whose they are; the fraud hears the verdict",
)
d.person(110, 90, colour="model", hat="mask")
d.text(110, 200, "a fraud", size=30)
d.person(830, 210, colour="critic", step=1)
d.text(830, 322, "an art expert", size=30, step=1)
d.person(110, 352, colour="data", hat="beret", step=2)
d.text(110, 462, "a real artist", size=30, step=2)
d.text(215, 96, "makes pictures that should", size=26, anchor="start", step=3)
d.text(215, 130, "pass for the artist’s", size=26, anchor="start", step=3)
d.arrow(460, 138, 735, 196, colour="model", step=3)
d.arrow(230, 360, 735, 262, colour="data", step=4)
d.text(915, 180, "sees one picture", size=26, anchor="start", step=4)
d.text(915, 214, "at a time and says:", size=26, anchor="start", step=4)
d.text(915, 248, "real, or fake", size=26, anchor="start", colour="critic", step=4)
d.arrow(800, 140, 182, 58, colour="critic", dashed=True, bend=-120, step=5)
d.text(690, 440, "The fraud hears the verdict and learns; so does the expert.", size=28, step=5)
d.show()

# %% [markdown] minutes=60
# ## The fraud learns to fool the expert

# %% [markdown] tags=["notes"]
# 45 s. At first the expert laughs. The fraud only hears "fake", and in which direction a picture
# would have seemed less so. Later the expert hesitates. The pictures are real outputs: a generator
# before training, and the shipped one after it.

# %%
torch.manual_seed(4)
early, late_fake = ImageGAN().sample(1), samples("gan", 40, seed=1)[11:12]
d = Drawing(
    1150,
    500,
    "Above, the fraud shows a grey blur and the expert says fake. Below, the fraud shows a digit"
    " and the expert thinks it is the artist's",
)
for y, when, picture, words, first in (
    (100, "early", early, "Hm … fake!", None),
    (360, "late", late_fake, "Hm … the artist’s!", 2),
):
    d.text(60, y, when, size=26, colour="quiet", step=first)
    d.person(200, y - 10, colour="model", hat="mask", step=first)
    sheet(d, 390, y, 150, picture, 1, frame="model", step=first)
    d.arrow(482, y, 600, y, step=first)
    d.person(700, y - 10, colour="critic", step=first)
    speech = 1 if first is None else 3
    tip = f"M 812,{y - 6} L 770,{y + 4} L 812,{y + 16} Z"
    d.add(f'<path d="{tip}" style="fill: var(--critic)"/>', speech)
    d.box(965, y, 310, 84, words, size=30, round=30, colour="critic", step=speech)
d.show()

# %% [markdown] minutes=45
# ## The same, with two networks

# %% [markdown] tags=["notes"]
# 55 s. One, sample z. Two, generate G(z). Three, discriminate: is the given image real or fake? The
# dashed arrows carry the learning. Point out that G never sees a real image: all it learns has
# passed through D.

# %%
real_one = digits.test.tensor()[7:8]
d = Drawing(
    1150,
    500,
    "Noise z enters the generator G, which makes an image. That image or a real one enters the"
    " discriminator D, which says real or fake; the verdict's gradient goes back to both networks",
)
d.node(70, 350, "z", colour="noise")
d.formula(70, 428, "*z*∼p(*z*)", size=28, colour="quiet")
d.arrow(118, 350, 196, 350, step=1)
d.net(290, 350, 180, 150, "", narrow="left", step=1)
d.formula(290, 350, "G", size=44, colour="model", step=1)
d.arrow(384, 350, 456, 350, step=1)
sheet(d, 530, 350, 130, late_fake, 1, frame="model", step=1)
d.formula(530, 438, "G(*z*)", size=28, colour="model", step=1)
sheet(d, 530, 110, 130, real_one, 1, frame="data", step=2)
d.text(530, 22, "real", size=26, colour="quiet", step=2)
d.arrow(602, 120, 702, 200, step=2)
d.arrow(602, 340, 702, 262, step=2)
d.net(800, 230, 190, 170, "", narrow="right", colour="critic", step=2)
d.formula(800, 230, "D", size=44, colour="critic", step=2)
d.arrow(900, 230, 975, 230, step=2)
d.text(1062, 214, "real,", size=28, step=2)
d.text(1062, 250, "or fake?", size=28, step=2)
d.arrow(1062, 190, 820, 140, colour="critic", dashed=True, bend=60, step=3)
d.arrow(1062, 276, 296, 416, colour="model", dashed=True, bend=215, step=3)
d.text(70, 60, "1  sample", size=28, anchor="start")
d.formula(182, 60, "*z*", size=30, anchor="start")
d.text(70, 104, "2  generate", size=28, anchor="start", step=1)
d.formula(204, 104, "G(*z*)", size=30, anchor="start", step=1)
d.text(70, 148, "3  real, or fake?", size=28, anchor="start", step=2)
d.show()

# %% [markdown] minutes=45
# ## One objective, two players

# %% [markdown] tags=["notes"]
# 75 s. Score the expert as a forecaster: the log of the probability given to the truth. Read the
# formula once for each player. The discriminator wants both terms near zero; the generator can
# touch the second only. In practice it climbs log D of its fakes, since its own term goes flat
# against a sure expert: exercise 2 of notebook 04.

# %% [markdown]
# $$\large \min_G \max_D\; \mathbb{E}_{\mathbf{x} \sim p_{real}}[\log D(\mathbf{x})] + \mathbb{E}_{\mathbf{z} \sim p(\mathbf{z})}[\log(1 - D(G(\mathbf{z})))]$$

# %% [markdown] tags=["left", "step"]
# **The generator minimises**
#
# $$\mathbb{E}_{\mathbf{z} \sim p(\mathbf{z})}[\log(1 - D(G(\mathbf{z})))]$$
#
# The first term is out of its reach.

# %% [markdown] tags=["right", "step"]
# **The discriminator maximises**
#
# $$\mathbb{E}[\log D(\mathbf{x})] + \mathbb{E}[\log(1 - D(G(\mathbf{z})))]$$
#
# Both terms are its own.

# %% tags=["step"]
markdown(
    "A discriminator that can only guess says ½ and scores $-2\\log 2 \\approx$"
    f" −{2 * math.log(2):.2f}. If no other does better, the fakes are distributed as the data:"
    " $p_G = p_{real}$."
)

# %% [markdown] minutes=60
# ## Play it

# %% [markdown] tags=["notes"]
# 110 s. Live, it trains in the browser. Press "fair game": blue fakes find the eight grey clusters.
# Do the curves come to rest when the picture does? Then "mode collapse" and "oscillation". Ask the
# room to predict each one first. Escape gives the keys back to the deck. All its controls are at
# the top of notebook 04.

# %% tags=["live"]
given = lab.settings("ring", 0, "non-saturating", 2e-3, 1, 0.1, 32, 2)
shots, _, real, of, _ = lab.train(given, (0, 1200))
fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True)
for ax, (step, found, fakes, logits, _) in zip(axes, shots, strict=True):
    levels, plane = np.linspace(0, 1, 8), (-3, 3, -3, 3)
    verdict = logits.sigmoid()
    ax.contourf(verdict, levels, extent=plane, cmap=lab.REAL_OR_FAKE, antialiased=False)
    ax.plot(*real[:120].T, "o", ms=4, color=DATA)
    ax.plot(*fakes[:120].T, "^", ms=5, color=MODEL)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    ax.set_title(f"step {step:,}: {found} of {of} modes")
live(
    lab.gan_lab("ring"),
    fig,
    "Two moments of a game on a ring of eight clusters: grey data, blue fakes, and in the"
    " background what the discriminator says",
)

# %% [markdown]
# ## Once converged: indistinguishable?

# %% [markdown] tags=["notes"]
# 60 s. Ten of these are real. Let everybody write down ten, then show the answer. Guessing finds
# five of the ten on average. Then the network's score: it sees single dark pixels and grey edges
# that we forgive. Notebook 04 hires three such experts.

# %%
torch.manual_seed(5)
is_real = torch.randperm(20) < 10
quiz = samples("gan", 20, seed=6)
quiz[is_real] = digits.test[torch.randperm(len(digits.test))[:10]].tensor()
d = Drawing(
    1150,
    296,
    "Twenty handwritten digits in two rows of ten; ten are real, the others made by the shipped"
    " GAN. The answer is framed.",
)
for i in range(20):
    x, y = 70 + 112 * (i % 10), 64 + 130 * (i // 10)
    sheet(d, x, y, 104, quiz[i : i + 1], 1)
    if is_real[i]:
        place = f'x="{x - 55}" y="{y - 55}" width="110" height="110" rx="8"'
        look = 'style="fill: none; stroke: var(--prior)" stroke-width="5"'
        d.add(f"<rect {place} {look}/>", 1)
d.text(575, 278, "framed: real", size=26, colour="prior", step=1)
d.show()

# %% tags=["step"]
claim(
    14,
    rf"right in {VALUE} of its answers \(two heaps of real digits: {VALUE}",
    "A fresh network, asked “real or fake?”, is right in {} of its answers; with two sets of real"
    " digits in {}.",
    notebook="04",
    against=True,
)

# %% [markdown] minutes=45
# ## But training is very unstable

# %% [markdown] tags=["notes"]
# 55 s. The same game, the same settings; nothing differs but the seed. These are notebook 04's own
# twenty games, played once more. Grey circles are the clusters, blue dots the fakes, an orange
# frame a failure. Which modes are missing differs from seed to seed.

# %%
torch.manual_seed(0)
ring, GAMES, TURNS = ring_of_gaussians(), 20, 1500
generator, discriminator = (mlp([2, 32, 32, out], copies=GAMES) for out in (2, 1))
game = GAN(StandardGaussian(2), generator, discriminator)
players = Players(game, 2e-3)
for turn in range(1, TURNS + 1):
    players.discriminator_step(ring.sample((GAMES, 64)))
    players.generator_step(ring.sample((GAMES, 64)))
    if turn % 100 == 0:  # as often as the notebook looks, which draws codes
        with torch.no_grad():
            fakes = game.generator(game.prior.sample((GAMES, 500)))
fig, axes = plt.subplots(2, 10, figsize=(11.4, 2.75))
failed = 0
for x, ax in zip(fakes, axes.flat, strict=True):
    found, near = modes_found(x, ring.components.mean, 0.1)
    fails = found < 8 or near < 0.75
    failed += fails
    ax.plot(*ring.components.mean.T, "o", ms=8, mfc="none", color=NOISE, mew=1.2)
    ax.plot(*x[:150].T, "s", ms=2, color=MODEL, mew=0, antialiased=False)
    ax.set(xlim=(-2.9, 2.9), ylim=(-2.9, 2.9), xticks=[], yticks=[], aspect="equal")
    ax.set_title(f"{found} of 8", loc="center", pad=3)
    ax.spines[:].set(visible=True, color=POSTERIOR if fails else "#bbbbbb", lw=3 if fails else 1)
show(
    fig,
    f"Twenty seeds of one game after {TURNS:,} turns, eight circles each: the fakes of some lie on"
    " all of them, those of others miss one or two, with streaks between. Failures are framed.",
)
markdown(
    f"After {TURNS:,} turns, with 2 latent dimensions: {failed} of {GAMES} fail (framed). A game"
    " **fails** if a mode is missing, or more than a quarter of the samples lie near none."
)

# %% tags=["step"]
claim(
    15,
    r"of (\d+) seeds (\d+) fail with 2 latent dimensions (\(.*?\)); (\d+) with 8 latent dimensions"
    r" (\(.*?\))",
    "Of {} seeds {} fail with 2 latent dimensions{}, {} with 8{}.",
    notebook="04",
)

# %% [markdown]
# ## No objective that both maximise

# %% [markdown] tags=["notes"]
# 45 s. The smallest game: the data at 0, the fakes at theta, the expert's slope psi. Both could
# rest at the cross. Moving at once they fly off, by turns they circle it, and a small tax on the
# expert's slope lets them in. Ask which of the three they expect of gradient steps. Notebook 04
# derives it; notebook 05 uses the tax.


# %%
def tiny_game(rate: float, by_turns: bool, penalty: float = 0.0, steps: int = 400) -> np.ndarray:
    """The path of (theta, psi): a fraud at theta lowers V = log(1 - sigma(psi theta)), an expert
    with slope psi raises V - penalty psi^2 / 2.
    """
    theta, psi, path = 1.0, 0.0, []
    for _ in range(steps):
        path.append((theta, psi))
        before, D = psi, 1 / (1 + math.exp(-psi * theta))
        psi += rate * (-theta * D - penalty * psi)
        slope = psi if by_turns else before
        theta += rate * slope / (1 + math.exp(-slope * theta))
    return np.array(path)


paths = {
    "both at once": tiny_game(0.15, False),
    "by turns": tiny_game(0.15, True),
    "by turns, slope taxed": tiny_game(0.15, True, 0.3),
}
d = Drawing(
    1150,
    470,
    "Three paths from one start: the first spirals outwards, the second circles the point where"
    " both could rest, the third spirals into it",
)
for i, (name, path) in enumerate(paths.items()):
    x, y, unit, step = 190 + 385 * i, 215, 66, i or None
    d.text(x, 24, name, size=28, step=step)
    axes = f"M{x - 170},{y} H{x + 170} M{x},{y - 165} V{y + 165}"
    d.add(f'<path d="{axes}" style="stroke: var(--line)" stroke-width="2"/>', step)
    places = [(x + unit * theta, y - unit * psi) for theta, psi in path[::2]]
    d.trace(places, colour="critic", width=3, step=step)
    dot(d, x + unit, y, 9, "model", step)
    cross = f"M{x - 12},{y} H{x + 12} M{x},{y - 12} V{y + 12}"
    d.add(f'<path d="{cross}" style="stroke: var(--ink)" stroke-width="4"/>', step)
d.formula(372, 200, "θ", size=30)
d.formula(212, 62, "ψ", size=30)
d.formula(300, 425, "θ", size=30)
d.text(322, 425, "where the fakes are", size=26, anchor="start")
d.formula(640, 425, "ψ", size=30)
d.text(664, 425, "the expert’s slope", size=26, anchor="start")
d.show()

# %% [markdown] notebook="06_more_gans" minutes=45
# ## Training images and samples

# %% [markdown] tags=["notes"]
# 45 s. Upper left is the data. Same data, same game: feed-forward, convolutional, and with the
# class told to both players. Fréchet distance in a classifier's features; real digits from real
# ones are not at zero either. Ask which differences they see, and which only the number does.

# %%
real_distance = cards["dcgan"]["results"]["real_frechet"]
d = Drawing(
    1150,
    440,
    "Four sheets of digits: training images, samples of a feed-forward GAN, of a DCGAN, and of an"
    " auxiliary classifier GAN",
)
first_thirty = digits.train[torch.arange(30)].tensor()
sheets = [(f"training images: {real_distance:.1f}", first_thirty, "ink")]
players_of = {"gan": "GAN, feed-forward", "dcgan": "DCGAN", "acgan": "AC-GAN, given classes"}
for key, title in players_of.items():
    title += f": {cards[key]['results']['frechet']:.0f}"
    sheets.append((title, samples(key, 30, seed=2), "model"))
for i, (title, images, colour) in enumerate(sheets):
    x, y, step = 285 + 580 * (i % 2), 124 + 230 * (i // 2), i or None
    d.text(x - 265, y - 104, title, size=26, anchor="start", colour=colour, step=step)
    sheet(d, x, y, 530, images, 10, step=step)
d.show()

# %% [markdown]
# <p class="small">Numbers: Fréchet distance from test digits; 0 would be the same distribution.</p>

# %% [markdown] notebook="04_gan" minutes=45
# ## GANs: pros

# %% [markdown] tags=["notes"]
# 40 s. Each of them answers something the density network could not do. Note the last: a turn costs
# the same in 2 and in 512 latent dimensions, since nobody asks which code made this image.

# %%
ms = rf"{VALUE} ms at (\d+)"
claim(
    16,
    r"it trains with (no density written down)",
    "**Implicit models**: it trains with {}; any network that turns noise into images will do.",
    notebook="04",
)

# %% tags=["step"]
claim(
    16,
    rf"{VALUE} microseconds an image of (\d+) pixels",
    "**Easy sampling**: {} microseconds an image of {} pixels, in one pass.",
    notebook="04",
)
markdown(
    '<div class="claim">\n',
    "**Gradients** train both players, the generator through the discriminator.\n",
    "</div>",
)
claim(
    16,
    rf"takes {ms}, {ms}, {ms} latent",
    "**High dimensions**: a turn takes {} ms at {}, {} ms at {}, {} ms at {} latent dimensions.",
    notebook="04",
)

# %% [markdown] minutes=45
# ## GANs: cons

# %% [markdown] tags=["notes"]
# 60 s. Take them one by one. Judged by a kernel estimate, real digits come second to blurred
# averages; four distances do not agree on an order; and modes get lost: G is judged one picture at
# a time, and each of the ten classes should have about a tenth.

# %%
claim(
    15,
    r"of (\d+) seeds (\d+) fail with 2 latent dimensions (\(.*?\))",
    "**Unstable**: of {} seeds {} fail on the ring{}.",
    notebook="04",
)

# %% tags=["step"]
claim(
    17,
    r"Of (\w+) heaps a kernel estimate puts ([\w ]+) first and real digits in place ([\w ]+)",
    "**Not the likelihood’s solution**: it has no likelihood. A kernel estimate ranks {1} first of"
    " {0} sets of images, and real digits in place {2}.",
    notebook="04",
)
claim(
    18,
    r"the smudges come in place (\d by exact W), (\d by sliced W), (\d) by Frechet,"
    r" (\d by classes)",
    "**No clear assessment**: of five sets of images the smudges rank {}, {}, {} by Fréchet, {}.",
    notebook="04",
)
claim(
    19,
    rf"on the grid {VALUE} of 25 .*; of digits, {VALUE} are (\ds) and {VALUE} (\ds)",
    "**Missing modes**: it finds {} of 25 on a grid; of its digits {} are {} and {} {}.",
    notebook="04",
)

# %% [markdown] notebook="05_wgan"
# ## Which distance notices that the model gets worse?

# %% [markdown] tags=["notes"]
# 80 s. Two piles of earth: the data, and what a model makes of them. Play the film and watch both
# numbers. The Jensen-Shannon divergence, which G would lower against a perfect expert, soon has
# nothing left to say. The work of moving the earth goes on growing. Ask: which would you rather be
# told?

# %% tags=["live"]
places = torch.linspace(-8, 16, 4801, dtype=torch.float64)
STEP = (places[1] - places[0]).item()


def bell(mean: float, std: float):
    return torch.exp(-0.5 * ((places - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def js(p, q) -> float:
    m = (p + q) / 2
    to_mean = torch.xlogy(p, p / m).nan_to_num() + torch.xlogy(q, q / m).nan_to_num()
    return 0.5 * STEP * to_mean.sum().item()


def cdf(p):
    return (p.cumsum(0) - p / 2) * STEP


def w1(p, q) -> float:
    return STEP * (cdf(p) - cdf(q)).abs().sum().item()


def grains(p, n: int = 14) -> np.ndarray:
    return np.interp((np.arange(n) + 0.5) / n, cdf(p), places)


heap = 0.6 * bell(-1.2, 0.35) + 0.4 * bell(0.4, 0.5)
ways = [0, 1, 2, 4, 6, 10]
model_of = {way: bell(way - 0.5, 0.6) for way in ways}
measured = {way: (w1(heap, model_of[way]), js(heap, model_of[way])) for way in ways}


def piles(way: float) -> plt.Figure:
    q, (work, divergence) = model_of[way], measured[way]
    fig, (ax, right) = plt.subplots(1, 2, figsize=(10, 3.5), width_ratios=(2.1, 1))
    ax.fill_between(places, 0.5, 0.5 + heap, color="#b8b8b8", lw=0)
    ax.fill_between(places, -0.5, -0.5 - q, color="#a6cde4", lw=0)
    ax.plot([grains(heap), grains(q)], [0.5, -0.5], color=CRITIC, lw=1.2)
    ax.text(-3.8, 0.75, "data", color=DATA)
    ax.text(-3.8, -1.0, "model", color=MODEL)
    ax.set(xlim=(-4, 12), ylim=(-1.3, 1.3), yticks=[], xlabel="place")
    ax.spines["left"].set_visible(False)
    right.barh(0, work / 10, 0.42, color=CRITIC)
    right.text(0, 0.38, f"earth mover {work:.2f}", va="center")
    right.barh(-1, divergence / math.log(2), 0.42, color=NOISE)
    right.text(0, -0.62, f"Jensen-Shannon {divergence:.2f} nats", va="center")
    right.set(xlim=(0, 1.06), ylim=(-1.4, 0.65), xticks=[], yticks=[])
    right.spines[:].set_visible(False)
    return fig


words = [
    f"Model {way} to the right: earth mover {work:.2f}, Jensen-Shannon {divergence:.3f} of at most"
    f" {math.log(2):.3f} nats."
    for way, (work, divergence) in measured.items()
]
live(
    film([piles(way) for way in ways], words, label="place of the model", seconds=0.9, start=1),
    piles(4),
    "The data's pile above, the model's below and to the right, lines that carry equal loads from"
    " one to the other, and both distances as bars",
)

# %% [markdown]
# ## The dual: a price in place of a plan

# %% [markdown] tags=["notes"]
# 75 s. Nobody can hold a plan over images. Its dual is one function, a price: high at the data, low
# at the fakes, never steeper than 1. The discriminator loses its sigmoid and the logs, and gains a
# constraint. Under the fakes the best discriminator is flat, the best critic has slope 1 however
# far away they are.

# %% [markdown] tags=["left"]
# $$W_1 = \min_{\gamma}\, \mathbb{E}_{(\mathbf{x}, \mathbf{x}') \sim \gamma}\, |\mathbf{x} - \mathbf{x}'|$$
#
# $\gamma$: a plan, which $\mathbf{x}$ goes to which fake $\mathbf{x}'$
#
# . . .
#
# $$\begin{aligned} \min_G \max_{D \in \mathcal{W}}\; &\mathbb{E}_{\mathbf{x} \sim p_{real}}[D(\mathbf{x})] \\ - &\mathbb{E}_{\mathbf{z} \sim p(\mathbf{z})}[D(G(\mathbf{z}))] \end{aligned}$$
#
# $\mathcal{W}$: the **1-Lipschitz** functions,
#
# $$|D(\mathbf{x}) - D(\mathbf{x}')| \le |\mathbf{x} - \mathbf{x}'|$$


# %% tags=["right", "step"]
def bump(centre: float):
    u = places - centre
    return torch.where(u.abs() < 0.5, 1 + torch.cos(2 * math.pi * u), 0.0)


AWAY = 3.0
p, q = bump(0), bump(AWAY)
way = cdf(q) - cdf(p)
price = STEP * torch.where(way.abs() > 1e-9, way.sign(), 0.0).cumsum(0)
price = price - price[(places - AWAY).abs().argmin()]
d = Drawing(
    540,
    500,
    "Data's bump and the fakes' bump, 3 apart: the best critic falls with slope 1 from one to the"
    " other, the best discriminator is 1 on one and 0 on the other, flat on both",
)
near = slice(1380, 2420, 10)  # from -1.1 to 4.1
at_x = 60 + 94 * (places + 1)
for density, colour, name, place in ((p, "data", "data", 0), (q, "model", "fakes", AWAY)):
    inside = density > 0
    edge = zip(at_x[inside][::12], 400 - 105 * density[inside][::12], strict=True)
    d.trace(edge, colour=colour, fill=True, width=0)
    d.text(60 + 94 * (place + 1), 400 - 105 * 2 - 18, name, size=26, colour=colour)
    y = 400 - 105 * (1.0 if name == "data" else 0.0)
    ends = [(60 + 94 * (place + end), y) for end in (0.5, 1.5)]
    d.trace(ends, colour="noise", dash="12 7", width=5)
rule(d, 60, 400, 530, 400)
d.trace(zip(at_x[near], 400 - 105 * price[near], strict=True), colour="critic", width=5)
gained = STEP * (price * (p - q)).sum().item()
d.text(215, 46, "best critic: slope 1", size=26, anchor="start", colour="critic")
d.text(215, 80, f"gains {gained:.2f}, and the", size=24, anchor="start", colour="quiet")
d.text(215, 110, f"distance is {w1(p, q):.2f}", size=24, anchor="start", colour="quiet")
d.text(295, 476, "dashed: the best discriminator, flat", size=26, colour="noise")
for value in (0, 1, 2, 3):
    d.text(48, 400 - 105 * value, str(value), size=24, anchor="end", colour="quiet")
d.text(28, 36, "D", "maths", size=28)
d.show()

# %% [markdown]
# ## Keep the critic Lipschitz: clip its weights

# %% [markdown] tags=["notes"]
# 55 s. One line after each of the critic's steps. Bounded weights bound every slope, by a constant
# nobody knows. Left: what critics of one small network estimate, by c. Right: the shape of the one
# that is nearest. What came later: a gradient penalty, spectral normalisation.

# %% [markdown]
# <p style="text-align: center"><code style="font-size: 1.1em">clip(weights, -c, c)</code></p>


# %%
class Bumps(Gaussian):
    """Equal bumps of width 0.3 about some places on a line."""

    def __init__(self, *places: float):
        super().__init__(torch.zeros(1), torch.full((1,), 2 * math.log(0.3)))
        self.places = torch.tensor(places)

    def sample(self, shape=()):
        return super().sample(shape) + self.places[torch.randint(len(self.places), (*shape, 1))]


data, still = Bumps(-2, 2), Bumps(-4, 0, 4)
ruler = torch.linspace(-5.5, 5.5, 551)[:, None]
clips, critics = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0), {}
torch.manual_seed(1)
seen, faked = data.sample((20_000,)), still.sample((20_000,))
exact = wasserstein_1d(seen[:, 0], faked[:, 0]).item()
for c in clips:
    torch.manual_seed(0)
    critic = mlp([1, 32, 32, 1], leaky)
    optimiser = adam(critic.parameters(), lr=3e-3)
    for _ in range(400):
        maximise((critic(data.sample((64,))) - critic(still.sample((64,))))[:, 0], optimiser)
        with torch.no_grad():
            for weight in critic.parameters():
                weight.clamp_(-c, c)
    with torch.no_grad():
        critics[c] = (critic(seen).mean() - critic(faked).mean()).item(), critic(ruler)[:, 0]
nearest = min(clips, key=lambda c: abs(math.log(max(critics[c][0], 1e-9) / exact)))
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.4))
left.axhline(exact, color=DATA, lw=1.6)
left.text(0.0095, exact * 1.5, f"exact: {exact:.2f}", color=DATA)
left.plot(clips, [critics[c][0] for c in clips], "o-", color=CRITIC)
left.set(xscale="log", yscale="log", xlabel="c", ylabel="critic’s estimate", ylim=(1e-4, 1e3))
left.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
left.minorticks_off()
for x, colour in ((seen, DATA), (faked, MODEL)):
    right.hist(x[:6000, 0].numpy(), 60, range=(-5.5, 5.5), density=True, color=colour, alpha=0.3)
best_prices = 2 - (ruler[:, 0].abs() - 2).abs()
shape = critics[nearest][1]
right.plot(ruler, best_prices / 4, ":", color=DATA, lw=2.4)
right.plot(ruler, (shape - shape.mean()) / (shape.max() - shape.min()) + 0.25, color=CRITIC)
right.text(0.1, 0.66, "best prices (dotted)", color=DATA, ha="center")
right.set(xlabel="x", xticks=[-4, -2, 0, 2, 4], yticks=[], ylim=(-0.65, 0.98))
right.set_title(f"critic at c = {nearest:g}, and what it should be")
show(
    fig,
    "Left, the clipped critic's estimate against c on logarithmic axes, from a ten-thousandth to"
    f" hundreds; the exact distance is {exact:.2f}. Right, the critic at c = {nearest:g} over two"
    " data bumps and three fake ones, beside the zigzag of the best prices",
)

# %% tags=["step"]
claim(
    20,
    rf"Within 25 % of the exact distance are {VALUE} (?:of the )?clipped critics, {VALUE} with a"
    rf" penalty, {VALUE} (?:of the )?spectral",
    "Critics within 25 % of the exact distance: clipped {}, with a gradient penalty {}, spectral {}.",
    notebook="05",
    against=True,
)

# %% [markdown]
# ## Does it stabilise training?

# %% [markdown] tags=["notes"]
# 70 s. Sixty games on the ring for each method, twenty seeds at three learning rates; a game fails
# here if it finds fewer than four modes, which is milder than the count of some slides ago. Lines
# on the bars are 95 % intervals, corrected for five comparisons. On digits, twenty seeds each.
# Clipping has fewer failures than the plain GAN, but the intervals overlap widely; what holds is
# spectral normalisation, in a plain GAN. The penalty fails most often on the ring, and is best
# on digits. So: in part. And still a fifth of the samples, or more, lie between modes.

# %%
rows = [row for row in recipes.claims() if row["claim"] == 21]
text = next(row["measured"] for row in rows if row["notebook"].startswith("05"))
games, listed = re.search(r"failures of (\d+) games: ([^;]+);", text).groups()
failures = {name: int(count) for count, name in re.findall(r"(\d+) \(([^)]+)\)", listed)}
table = recipes.study("gans_on_mnist")["rows"]
methods = list(dict.fromkeys(row["method"] for row in table))
hue = {
    "GAN": "data",
    "non-saturating GAN": "data",
    "clipped WGAN": "model",
    "WGAN with penalty": "critic",
    "spectral WGAN": "posterior",
    "spectral GAN": "prior",
}
counted = ", ".join(f"{name} {count}" for name, count in failures.items())
d = Drawing(
    1150,
    330,
    f"Left, failed games on the ring: {counted}. Right, the Fréchet distance of"
    f" {len(table) // len(methods)} seeds on digits"
    " for four methods; the WGAN with penalty is lowest",
)
d.text(232, 24, f"ring: under 4 of 8 modes, of {games} games", size=26, anchor="start")
shares = {
    name: intervals.of_share(count, int(games), "games", comparisons=len(failures))
    for name, count in failures.items()
}
unit = 270 / max(share.high for share in shares.values())
for i, (name, count) in enumerate(failures.items()):
    y, width = 74 + 48 * i, unit * shares[name].value
    d.text(220, y, name, size=25, anchor="end")
    bar(d, 232, y, width, 30, hue[name])
    low, high = (232 + unit * limit for limit in (shares[name].low, shares[name].high))
    d.trace([(low, y), (high, y)], colour="quiet", width=3)
    d.text(high + 12, y, str(count), size=26, anchor="start")
d.text(810, 24, f"digits: {len(table) // len(methods)} seeds each", size=26, anchor="start")
for i, name in enumerate(methods):
    values = [row["frechet"] for row in table if row["method"] == name]
    y, dots = 74 + 48 * i, ""
    d.text(798, y, name.removeprefix("non-saturating "), size=25, anchor="end")
    for x, down in zip(values, np.linspace(-12, 12, len(values)), strict=True):
        dots += f'<circle cx="{810 + 1.15 * x:.0f}" cy="{y + down:.0f}" r="5"/>'
    d.add(f'<g style="fill: var(--{hue[name]}); fill-opacity: 0.75">{dots}</g>')
rule(d, 810, 256, 1145, 256, "quiet")
for value in (0, 100, 200):
    d.text(810 + 1.15 * value, 278, str(value), size=24, colour="quiet")
d.text(970, 312, "Fréchet distance", size=26)
d.show()

# %% tags=["step"]
claim(
    21,
    rf"less the GAN's: {VALUE} \(clipped WGAN\), {VALUE} \(WGAN with penalty\), .*?"
    rf"{VALUE} \(spectral GAN\)",
    "**In part.** Share of failed games less the GAN's: clipped {}; penalty {}; spectral GAN {}.",
    notebook="05",
    against=True,
)
claim(
    22,
    r"(\d+ to \d+ of \d+) games still miss a mode",
    "**Other problems remain.** {} games miss a mode.",
    notebook="05",
)

# %% [markdown] notebook="06_more_gans"
# ## More GANs: other networks, and a class

# %% [markdown] tags=["notes"]
# 50 s. DCGAN changes what stands inside G and D, not the game. The auxiliary classifier GAN tells G
# a class and asks D two questions; about the source the players fight, about the class they agree.
# Rows: the class told; columns: one style.

# %% tags=["left"]
image = samples("dcgan", 4, seed=0)[1:2]
d = Drawing(540, 300, "DCGAN's generator: a code grows to 7 by 7, 14 by 14 and 28 by 28 pixels")
d.node(40, 140, "z", colour="noise", r=34)
d.arrow(78, 140, 108, 140)
for x, size, text in ((160, 70, "7 × 7"), (278, 104, "14 × 14")):
    for k in (2, 1, 0):
        place = f'x="{x - size / 2 + 9 * k}" y="{140 - size / 2 - 9 * k}"'
        look = 'style="fill: var(--wash); stroke: var(--model)" stroke-width="2.5"'
        d.add(f'<rect {place} width="{size}" height="{size}" {look}/>')
    d.text(x, 246, text, size=24, colour="quiet")
d.arrow(352, 140, 390, 140)
sheet(d, 466, 140, 144, image, 1, frame="model")
d.text(466, 246, "28 × 28", size=24, colour="quiet")
d.text(270, 24, "DCGAN: convolutions", size=28)
d.show()
markdown(
    f"Fréchet distance {cards['dcgan']['results']['frechet']:.0f}; feed-forward"
    f" {cards['gan']['results']['frechet']:.0f}."
)

# %% [markdown] tags=["left"]
# <p class="small">Radford, Metz, Chintala, 2015: Unsupervised representation learning with deep convolutional generative adversarial networks.</p>

# %% tags=["right"]
torch.manual_seed(1)
styles = models["acgan"].prior.sample((9,))
told = torch.tensor([2, 4, 7, 9])
with torch.no_grad():
    ordered = models["acgan"].generate(styles.repeat(4, 1), told.repeat_interleave(9))
d = Drawing(
    540,
    300,
    "Digits by an auxiliary classifier GAN: four rows of one class each, nine columns of one style"
    " each",
)
d.text(270, 24, "AC-GAN: a class for both players", size=28)
sheet(d, 295, 170, 480, ordered, 9)
for i, label in enumerate(told):
    d.text(30, 170 + (i - 1.5) * 53.5, str(label.item()), size=28, colour="prior")
d.show()
markdown(f"Fréchet distance {cards['acgan']['results']['frechet']:.0f}, with labels.")

# %% [markdown] tags=["right"]
# <p class="small">Odena, Olah, Shlens, 2016: Conditional image synthesis with auxiliary classifier GANs.<br>&nbsp;</p>

# %% [markdown]
# ## More GANs: a way back to the code

# %% [markdown] tags=["notes"]
# 50 s. A GAN cannot say which code belongs to an image. The bidirectional one trains an encoder by
# playing the game on pairs. The Wasserstein auto-encoder reconstructs, and plays against the codes
# only. Upper rows: test digits; lower: there and back. Ask which encoder they would trust.

# %% tags=["left"]
test = digits.test[:8].tensor()


def there_and_back(model, x):
    with torch.no_grad():
        return model.decoder(model.encoder(x).mean).mean


d = Drawing(
    540,
    320,
    "Bidirectional GAN: D judges pairs of image and code. Test digits above, what comes back below",
)
d.text(270, 24, "BiGAN: the game on pairs", size=28)
d.box(140, 92, 200, 60, colour="model")
d.formula(140, 92, "(G(*z*), *z*)", size=28)
d.box(140, 172, 200, 60, colour="posterior")
d.formula(140, 172, "(*x*, E(*x*))", size=28)
d.net(390, 132, 110, 110, "", narrow="right", colour="critic")
d.formula(390, 132, "D", size=36, colour="critic")
d.arrow(244, 92, 328, 118)
d.arrow(244, 172, 328, 146)
d.arrow(449, 132, 486, 132)
d.text(514, 132, "?", size=34)
sheet(d, 270, 272, 460, torch.cat([test, there_and_back(models["bigan"], test)]), 8)
d.show()

# %% [markdown] tags=["left"]
# <p class="small">Donahue, Krähenbühl, Darrell, 2016: Adversarial feature learning.<br>&nbsp;</p>

# %% tags=["right"]
d = Drawing(
    540,
    320,
    "Wasserstein auto-encoder: x is encoded and decoded; its codes are compared with the prior."
    " Test digits above, what comes back below",
)
d.text(270, 24, "WAE: the game on codes", size=28)
d.formula(30, 92, "*x*", size=34)
d.arrow(52, 92, 86, 92)
d.net(140, 92, 100, 84, "", narrow="right", colour="posterior")
d.formula(140, 92, "E", size=32, colour="posterior")
d.arrow(194, 92, 230, 92)
d.formula(254, 92, "*z*", size=34, colour="posterior")
d.arrow(278, 92, 312, 92)
d.net(366, 92, 100, 84, "", narrow="left", colour="model")
d.formula(366, 92, "G", size=32, colour="model")
d.arrow(420, 92, 456, 92)
d.formula(506, 92, "≈*x*", size=34)
d.arrow(254, 118, 254, 158, colour="critic")
d.text(266, 178, "like draws from the prior?", size=25, colour="critic")
sheet(d, 270, 272, 460, torch.cat([test, there_and_back(models["wae_gan"], test)]), 8)
d.show()

# %% [markdown] tags=["right"]
# <p class="small">Bousquet, Gelly, Tolstikhin, Simon-Gabriel, Schölkopf, 2017: From optimal transport to generative modeling: the VEGAN cookbook.</p>

# %% [markdown]
# ## One data set, six models

# %% [markdown] tags=["notes"]
# 40 s. All trained on the same digits, each once. The order is that of one distance; the second
# judge, nearest neighbours in a classifier's features, names another winner. Which reminds us of
# the con: no clear way to assess.

# %% tags=["left"]
label_of = {
    "gan": "GAN",
    "dcgan": "DCGAN",
    "acgan": "AC-GAN (labels)",
    "bigan": "BiGAN",
    "wae_mmd": "WAE, MMD",
    "wae_gan": "WAE, adversarial",
}
distance = {words: cards[name]["results"]["frechet"] for name, words in label_of.items()}
order = sorted(distance, key=distance.get)
listed = ", ".join(f"{name} {distance[name]:.0f}" for name in order)
d = Drawing(540, 460, f"Fréchet distances: {listed}")
n = cards["gan"]["results"]["n"]
d.text(222, 24, f"Fréchet distance, {n:,} samples", size=25, anchor="start")
lines = [("real digits", real_distance, f"{real_distance:.1f}", "data")]
lines += [(name, distance[name], f"{distance[name]:.0f}", "model") for name in order]
for i, (name, value, words, colour) in enumerate(lines):
    y = 80 + 56 * i
    d.text(210, y, name, size=26, anchor="end")
    bar(d, 222, y, 2.2 * value, 34, colour)
    d.text(232 + 2.2 * value, y, words, size=26, anchor="start")
d.show()

# %% tags=["right", "step"]
claim(
    14,
    rf"tell the best, wae_gan, from real digits in .*?{VALUE} against {VALUE} of real from real:"
    rf" {VALUE}",
    "Nearest neighbours name another winner, the adversarial WAE: they tell it from real digits in"
    " {}\u00a0% of cases, real from real in {}\u00a0%: {} points.",
    notebook="06",
    against=True,
)
claim(
    19,
    rf"gan draws \d+ of ten classes, and (\ds) too rarely: {VALUE} points; dcgan .*? (\ds) too"
    rf" rarely: {VALUE} points; bigan .*? (\ds) too rarely: {VALUE} points.*?([\d,]+) samples",
    "Points by which the class that each misses most is too rare: GAN {0} {1}; DCGAN {2} {3};"
    " BiGAN {4} {5}. {6} samples.",
    notebook="06",
)

# %% [markdown]
# ## Questions?

# %% [markdown] tags=["notes"]
# 75 s. Leave time. If nobody asks: why does a GAN's discriminator, when it is perfect, teach
# nothing? What would you report if you had to sell a generator? Next come the likelihood again, and
# an encoder.

# %%
d = Drawing(1150, 420, "The fraud, the expert and the artist, side by side")
for x, colour, hat, pictures in (
    (200, "model", "mask", late_fake),
    (575, "critic", "", None),
    (950, "data", "beret", real_one),
):
    d.person(x, 150, colour=colour, hat=hat, size=1.5)
    if pictures is not None:
        sheet(d, x, 345, 110, pictures, 1, frame=colour)
d.text(575, 345, "?", size=90, colour="critic")
d.show()

# %% [markdown] tags=[] minutes=45
# ## References of this part

# %% [markdown] tags=["notes"]
# 10 s. For those who read the slides later. Each notebook closes with its own list.

# %% [markdown]
# <div class="small">
#
# - D. J. C. MacKay, 1995. Bayesian neural networks and density networks. *Nuclear Instruments and
#   Methods A*.
# - I. Goodfellow et al., 2014. Generative adversarial nets. *NeurIPS*.
# - M. Arjovsky, S. Chintala, L. Bottou, 2017. Wasserstein GAN. *ICML*.
# - I. Gulrajani et al., 2017. Improved training of Wasserstein GANs. *NeurIPS*.
# - T. Miyato, T. Kataoka, M. Koyama, Y. Yoshida, 2018. Spectral normalization for GANs. *ICLR*.
# - M. Heusel et al., 2017. GANs trained by a two time-scale update rule (the Fréchet distance).
#   *NeurIPS*.
# - A. Radford, L. Metz, S. Chintala, 2015. Unsupervised representation learning with deep
#   convolutional generative adversarial networks. *arXiv:1511.06434*.
# - A. Odena, C. Olah, J. Shlens, 2016. Conditional image synthesis with auxiliary classifier GANs.
#   *arXiv:1610.09585*.
# - J. Donahue, P. Krähenbühl, T. Darrell, 2016. Adversarial feature learning. *arXiv:1605.09782*.
# - O. Bousquet, S. Gelly, I. Tolstikhin, C.-J. Simon-Gabriel, B. Schölkopf, 2017. From optimal
#   transport to generative modeling: the VEGAN cookbook. *arXiv:1705.07642*.
#
# </div>
