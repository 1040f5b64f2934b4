# %% [markdown] notebook="00_welcome" minutes=45
# # Deep generative models
#
# Density networks, adversarial nets and variational auto-encoders
#
# After Jakub M. Tomczak's lecture *Deep Generative Models: GANs and VAE* (Split, 2017). The numbers
# on these slides were measured by the course: the links beside them lead to the cells that did.
# In brackets stand 95 % intervals.

# %% [markdown] tags=["notes"]
# 40 s. Say who you are and that each part has a notebook, named at the foot of the slides. Nothing
# here is copied from a paper unless the slide says so: the pictures are drawn by small models that
# come with the course, and the room can run them.

# %%
import math
import re

import matplotlib.pyplot as plt
import numpy as np
import torch
from deck import VALUE, Drawing, claim, live, show
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Ellipse

from dgmcourse import intervals, plot, recipes
from dgmcourse.data.images import mnist
from dgmcourse.data.text import python_manual
from dgmcourse.data.toy import two_moons
from dgmcourse.densities import Gaussian
from dgmcourse.models.character_model import CharacterModel
from dgmcourse.models.factor_analysis import FactorAnalysis
from dgmcourse.models.generative_classifier import GenerativeClassifier
from dgmcourse.models.mixture_of_factor_analysers import MixtureOfFactorAnalysers
from dgmcourse.networks import gated_mlp
from dgmcourse.plot import CLASSES, DATA, MODEL, NOISE, PRIOR
from dgmcourse.train import Adam, maximise
from dgmcourse.widgets.film import film
from dgmcourse.widgets.plane import grid, plane

torch.set_num_threads(1)
torch.manual_seed(0)
plot.COLOURS = 32  # enough for these pictures, and half the bytes
digits = mnist()
test = digits.test.x.float() / 255

points, colours = two_moons(400, noise=0.12), torch.arange(400) % 2
star, extent = (-2.0, -2.2), (-3.0, 4.0, -3.4, 3.6)
network = gated_mlp([2, 50, 50, 2])
optimiser = Adam(network.parameters(), lr=3e-3)
for _ in range(600):
    batch = torch.randint(len(points), (100,))
    log_probs = network(points[batch]).log_softmax(-1)
    maximise(log_probs.gather(1, colours[batch, None]).squeeze(1), optimiser)
joint = GenerativeClassifier(data_dim=2, classes=2, per_class=4)
joint.initialise(points, colours, seed=1)
joint.fit_em(points, colours, steps=60)
with torch.no_grad():
    at = grid(extent, 121, 121)
    sure = network(at).softmax(-1)[:, 0].reshape(121, 121)
    log_p = joint.log_prob(at).reshape(121, 121)
    joint_sure = joint.posterior(at)[:, 0].reshape(121, 121)
    star_p = network(torch.tensor([star])).softmax(-1).max().item()
    star_log_p = joint.log_prob(torch.tensor([star])).item()
    least = joint.log_prob(points).min().item()

# The widget's two colours, lighter.
two_colours = LinearSegmentedColormap.from_list("two", ["#f7e0b0", "#ffffff", "#b9d9ee"])


def moons(ax, new: bool = False) -> None:
    for label, marker in ((0, "o"), (1, "s")):
        ax.scatter(
            *points[colours == label].T, s=16, marker=marker, color=CLASSES[label], linewidths=0
        )
    if new:
        ax.plot(*star, "*", color="white", markeredgecolor=DATA, ms=24, markeredgewidth=2)
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[], xlabel="$x_1$", ylabel="$x_2$")


def decision(ax) -> None:
    ax.imshow(sure, origin="lower", extent=extent, cmap=two_colours, vmin=0, vmax=1, aspect="auto")
    ax.contour(sure, [0.5], extent=extent, colors=DATA, linewidths=2)


def density(ax) -> None:
    levels = [least + k for k in (0, 1, 2, 3, 4, 6, 9)]
    ax.contourf(log_p, levels=levels, extent=extent, cmap="Blues", extend="max")


# %% [markdown] notebook="01_motivation" minutes=45
# ## Do we need generative modelling?

# %% [markdown] tags=["notes"]
# 40 s. Objects of two kinds, blue and orange, with two features each. Ask: what does one usually do
# with them? Train a classifier. Let the room draw the border in the air before you go on.

# %% tags=["left"]
fig, ax = plt.subplots(figsize=(5.5, 5))
moons(ax)
show(fig, "Two interleaved half moons of points, blue circles above, orange squares below.")

# %% [markdown] tags=["right"]
# Objects $\mathbf{x}$ of two kinds, $y$ = blue or orange.
#
# . . .
#
# The usual answer: learn
#
# $$p_\theta(y|\mathbf{x})$$
#
# and decide.

# %% [markdown] minutes=45
# ## A classifier divides the plane

# %% [markdown] tags=["notes"]
# 40 s. A small network with two hidden layers, trained on these 400 points. All it maximises is log
# p(y|x) at the points. The border is its own choice everywhere else.

# %% tags=["left"]
fig, ax = plt.subplots(figsize=(5.5, 5))
decision(ax)
moons(ax)
show(
    fig,
    "The plane in two colours, with one border between the moons that runs on to the edges of the"
    " picture.",
)

# %% [markdown] tags=["right"]
# $$p_\theta(y|\mathbf{x})$$
#
# * maximised at the training points
# * a statement about *every* point of the plane
# * its probabilities add up to 100 % even where no object ever was

# %% [markdown] minutes=45
# ## A joint model says where objects are

# %% [markdown] tags=["notes"]
# 45 s. Read the product aloud: first how usual the object is, then what it is. There is a
# classifier in it, not the network but one of its own, and one factor more. Four Gaussians for each
# colour are enough here.

# %% tags=["left"]
fig, ax = plt.subplots(figsize=(5.5, 5))
density(ax)
moons(ax)
show(
    fig,
    "The density of the joint model: high along the two moons, falling off at once beside them.",
)

# %% [markdown] tags=["right"]
# $$p_\theta(\mathbf{x}, y) = \step{p_\theta(y|\mathbf{x})}\; \step{p_\theta(\mathbf{x})}$$
#
# * $p_\theta(y|\mathbf{x})$: which kind, if it is one of these
# * $p_\theta(\mathbf{x})$: is it one of these at all?

# %% [markdown] minutes=45
# ## New data: what does the classifier say?

# %% [markdown] tags=["notes"]
# 40 s. Ask for a show of hands: what probability does the network give to its colour at the star?
# Most say: about a half.

# %% tags=["left"]
fig, ax = plt.subplots(figsize=(5.5, 5))
decision(ax)
moons(ax, new=True)
show(fig, "The divided plane, with a star far from all points, at the lower left.")

# %% tags=["right"]
said = f"{100 * star_p:.2f} %" if star_p < 0.9999 else "more than 99.99 %"
plot.markdown(
    "An object far from all others.\n\n. . .\n",
    f"The network gives its colour **{said}**.\n\n. . .\n",
    "High probability of the *label*: a highly probable decision!",
)

# %% [markdown] minutes=45
# ## ... and what does p(x) say?

# %% [markdown] tags=["notes"]
# 45 s. The label is still probable, says the network. The object is not: its log-density lies far
# below that of the least probable training point. So the decision is uncertain, and now we know
# that it is.

# %% tags=["left"]
fig, ax = plt.subplots(figsize=(5.5, 5))
density(ax)
moons(ax, new=True)
show(fig, "The density of the joint model with the star far outside.")

# %% tags=["right"]
plot.markdown(
    f"At the star $\\log p_\\theta(\\mathbf{{x}})$ is **{star_log_p:.0f}** nats; the least"
    f" probable training point has {least:.1f}.\n\n. . .\n",
    "Probable *label*, improbable *object*: an **uncertain decision**.",
)

# %% [markdown]
# ## Try it: drag the new object

# %% [markdown] tags=["notes"]
# 90 s. Live. Drag the point, or click the plane and use the arrow keys. Where the star was, far below
# on the left, the network is certain of blue and the joint model's own classifier of orange: a label
# far from the data is worth nothing. Then along the border: both are undecided. Then away from the data: both stay certain,
# log p(x) falls. Ask for a place where the two disagree near the data.

# %% tags=["live"]
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 5.2))
decision(left)
density(right)
for ax in (left, right):
    moons(ax, new=True)
left.set_title("p(y|x), the network")
right.set_title("p(x), the joint model")
fields = {
    "p(y|x), the network": sure,
    "p(y|x), the joint model": joint_sure,
    "log p(x), the joint model": log_p,
}
densities = ["log p(x), the joint model"]
live(
    plane(points, colours, fields, extent=extent, densities=densities, point=star),
    fig,
    "Left, the plane as the network divides it; right, the joint model's density, high along the"
    " moons only.",
)

# %% [markdown] minutes=60
# ## How often does that happen?

# %% [markdown] tags=["notes"]
# 50 s. Two thousand points over the plane, none near the data. Nearly all are labelled with
# certainty, by the joint model's own classifier, too: the fault lies in the question p(y|x), not in
# networks. p(x) finds every one. With real images it is less clear-cut: a blank sheet has a higher
# density than a digit drawn at random. Notebook 01 shows that, too.

# %%
claim(
    1,
    rf"of ([\d,]+) strange objects .* labels {VALUE} with more than 99 % certainty, the joint"
    rf" model's classifier {VALUE}; p\(x\) finds {VALUE} unusual, at (1 %)",
    "Of {} strange objects the network labels **{}** with more than 99 % certainty, the joint"
    " model's own classifier {}. $p(\\mathbf{{x}})$ finds **{}** of them unusual, at {} of false"
    " alarms.",
)
claim(
    1,
    rf"letters {VALUE} and {VALUE}.*faces {VALUE} and {VALUE}",
    "Digits against letters: certainty tells them apart with an AUC of {}, $\\log p(\\mathbf{{x}})$"
    " with {}; digits against faces: {} and **{}**.",
)

# %% [markdown] minutes=45
# ## A decision is not enough

# %% [markdown] tags=["notes"]
# 60 s. Three reasons, in the lecture's order. The distribution of y is only a part of the story.
# Without that of x nobody can say how a decision carries over. And a model that can draw has
# understood something: Feynman left the sentence on his blackboard.

# %% [markdown]
# * **Uncertainty.** The distribution of $y$ is a part of the story only.
# * **Generalisation.** Are the new objects like the old ones? A question about $p(\mathbf{x})$.
# * **Understanding.** “What I cannot create, I do not understand.” (R. P. Feynman)

# %%
claim(
    2,
    rf"accuracy falls from {VALUE} to {VALUE}, mean certainty from {VALUE} to {VALUE}; .*?(?=\(95 %)",
    "Digits turned by 90 degrees: accuracy falls from {} to **{}**, the classifier's certainty only"
    " from {} to **{}**.",
)

# %% [markdown]
# ## Labels are expensive, images are cheap

# %% [markdown] tags=["notes"]
# 60 s. Semi-supervised learning. Draw attention to the two clouds: with one label each, where would
# you put the border? A joint model puts it between the clouds, since it also has to explain the
# grey points. The gain is large with ten labels and gone with two hundred; and where clouds are not
# the classes, unlabelled data harm. Notebook 01 shows both.

# %% tags=["left"]
torch.manual_seed(3)
apart = torch.tensor([0.0, 1.2])
cloud = torch.cat([torch.randn(90, 2) * 0.55 + apart, torch.randn(90, 2) * 0.55 - apart])
kind = torch.arange(180) // 90
known = torch.tensor([3, 95])
fig, ax = plt.subplots(figsize=(5.4, 3.9))
ax.scatter(*cloud.T, s=24, color=NOISE, alpha=0.6, linewidths=0)
for i, marker in zip(known, ("o", "s"), strict=True):
    ax.scatter(
        *cloud[i], s=260, marker=marker, color=CLASSES[kind[i]], edgecolors=DATA, linewidths=2
    )
ax.set(xticks=[], yticks=[], xlabel="$x_1$", ylabel="$x_2$")
ax.set(aspect="equal", xlim=(-2.6, 2.6), ylim=(-2.9, 2.9))
show(fig, "Two clouds of grey points, one above the other, with one labelled point in each.")

# %% [markdown] tags=["right"]
# Two labels, and many objects without.
#
# . . .
#
# Where $y$ is missing, maximise
#
# $$\log p(\mathbf{x}) = \log \sum_y p(\mathbf{x}, y)$$

# %%
claim(
    3,
    rf"with 10 labels {VALUE}, with 50 labels {VALUE}, with 200 labels {VALUE}",
    "2,000 digits, 10 of them labelled: **{}** points of accuracy more than the better of two"
    " classifiers that see the labelled ones only; with 50 labels {}; with 200 {}.",
    "01",
)

# %% [markdown]
# ## Missing and distorted data

# %% [markdown] tags=["notes"]
# 60 s. First row: what is given. Ask what the lower half is. Below, what the model expects, given
# the upper half: a conditional mean, exact for a mixture of factor analysers. Nobody trained it for
# that question. Ten nearest neighbours, averaged, do a little better in this error; a single one
# does much worse.

# %%
torch.manual_seed(0)
train_x = digits.train.x[:2000].float() / 255
blurred = train_x + 0.15 * torch.randn_like(train_x)
mixture = MixtureOfFactorAnalysers(data_dim=784, latent_dim=15, components=20)
mixture.initialise(blurred)
for _ in range(6):
    mixture.em_step(blurred)
upper = torch.arange(784) < 392
some = test[:10]
noisy = some + 0.5 * torch.randn_like(some)
rows = [
    some * upper,
    mixture.complete(some, upper).clamp(0, 1),
    noisy.clamp(0, 1),
    mixture.denoise(noisy, 0.25 - 0.15**2).clamp(0, 1),
]
fig = plot.images(rows, titles=["upper half", "completed", "noisy", "cleaned"], width=10.6)
show(
    fig,
    "Four rows of ten digits: upper halves only; completed by the model; with strong noise; cleaned"
    " by the model.",
)

# %%
claim(
    4,
    rf"squared error a digit {VALUE}; .*?nearest digit {VALUE}, ten nearest {VALUE}\..*?(?=\(95 %)",
    "Squared error of the completed half: **{}**; the nearest digit has {} more, the mean of the"
    " ten nearest {} more.",
)

# %% [markdown]
# ## Images: which are real?

# %% [markdown] tags=["notes"]
# 50 s. Two rows of digits. Ask for hands: which row was drawn by a model? Count, then go on to the
# next slide.

# %%
vae = recipes.load("vae_40d")
torch.manual_seed(1)
with torch.no_grad():
    drawn = vae.sample(11)
real = torch.bernoulli(test[30:41])
fig, ax = plt.subplots(figsize=(11.3, 2.3))
plot.draw_images(ax, torch.cat([drawn, real]), columns=11)
show(
    fig,
    "Two rows of eleven binary images of digits; one row was drawn by a model, the other are test"
    " digits.",
)

# %% [markdown]
# ## Images: the upper row was generated

# %% [markdown] tags=["notes"]
# 40 s. The upper row are samples of the course's variational auto-encoder. Realistic: no farther
# from some digit than that digit's third neighbour is. Even other real digits do not reach 100 per
# cent in this measure. We shall meet three families of models that draw like this. The same
# numbers come back in part 3, where the model is explained.

# %%
fig, ax = plt.subplots(figsize=(11.3, 2.3))
plot.draw_images(ax, torch.cat([drawn, real]), columns=11)
for i, colour in enumerate((MODEL, DATA)):
    corner, width = (-2, 30 * i - 0.5), 11 * 30 + 2
    ax.add_patch(plt.Rectangle(corner, width, 28, fill=False, edgecolor=colour, linewidth=3))
ax.set(xlim=(-4, 332), ylim=(60, -3))
show(
    fig,
    "The same two rows: the upper one framed in blue, samples of a model; the lower one in grey,"
    " test digits.",
)
claim(
    5,
    rf"of ([\d,]+) samples of vae_40d {VALUE} are realistic,(?: and they cover)?"
    rf" {VALUE} of .*?other test digits:? {VALUE} and {VALUE}",
    "Of {} samples of this model **{}** are realistic by nearest neighbours, and they cover **{}**"
    " of the test digits; other test digits reach {} and {}.",
    notebook="07",
)

# %% [markdown]
# ## Sequences

# %% [markdown] tags=["notes"]
# 60 s. A sequence is a product of conditionals, exactly. This model only counts which character
# follows the last five, in the manual of the Python language. Read the sample aloud: words are
# right, sentences are not. Recurrent and latent variable models for text come at the end of the
# lecture.

# %%
text = python_manual()
counted = CharacterModel(order=5, alphabet=text.alphabet).fit(text.train)
torch.manual_seed(0)
sample = " ".join(counted.sample(260, start="\n")[1:].split())
plain = sample.translate(str.maketrans("_<|", " ‹/", "*$`"))  # nothing that Markdown reads
plot.markdown(
    r"$$p(\mathbf{x}) = \prod_t p(x_t|x_1, \dots, x_{t-1})"
    r" \approx \prod_t p(x_t|x_{t-5}, \dots, x_{t-1})$$",
    f"\n> *{plain}*",
)
claim(
    6,
    rf"words that exist in (\d+) samples of (\d+) characters: {VALUE} at n = 0, {VALUE} at n = 5",
    "In {} samples of {} characters, words that exist: {} where characters are drawn one by one,"
    " **{}** given the last five.",
    "01",
)

# %% [markdown] minutes=45
# ## How do we write down $p(\mathbf{x})$?

# %% [markdown] tags=["notes"]
# 45 s. A table of probabilities for all images of 28 times 28 black or white pixels has two to the
# power 784 entries: let the room say how many digits that number has. So structure is needed.

# %% tags=["left"]
fig, ax = plt.subplots(figsize=(4.8, 4.8))
ax.imshow((test[3] > 0.5).view(28, 28), vmin=0, vmax=1)
ax.set(xticks=np.arange(-0.5, 28), yticks=np.arange(-0.5, 28), xticklabels=[], yticklabels=[])
ax.grid(color="#bbbbbb", linewidth=0.6)
ax.tick_params(length=0)
show(fig, "A digit as a grid of 28 by 28 black and white pixels.")

# %% tags=["right"]
plot.markdown(
    "$28 \\times 28$ pixels, black or white:\n",
    f"$$2^{{784}} \\approx 10^{{{784 * math.log10(2):.0f}}}\\ \\text{{images}}$$\n\n. . .\n",
    "Modelling in a high-dimensional space is difficult.",
)

# %% [markdown] minutes=60
# ## Model all dependencies among pixels?

# %% [markdown] tags=["notes"]
# 50 s. A Markov random field: a positive factor for each group of neighbouring pixels, here each
# edge. What is missing is the constant that makes the sum one. It is a sum over all images.


# %% tags=["left"]
def edge(d: Drawing, x1, y1, x2, y2, colour: str = "noise", width: int = 3, step=None) -> None:
    look = f'style="stroke: var(--{colour})" stroke-width="{width}"'
    d.add(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" {look}/>', step)


d = Drawing(
    500,
    470,
    "A grid of pixels, each joined to its neighbours by an edge; one edge is marked as a"
    " potential.",
)
for i in range(5):
    for j in range(5):
        x, y = 50 + 100 * j, 45 + 95 * i
        if j < 4:
            edge(d, x, y, x + 100, y, step=1)
        if i < 4:
            edge(d, x, y, x, y + 95, step=1)
edge(d, 150, 140, 250, 140, colour="posterior", width=9, step=2)
ink = (test[3].view(28, 28)[4:24:4, 4:24:4] > 0.3).int().tolist()
for i in range(5):
    for j in range(5):
        d.node(50 + 100 * j, 45 + 95 * i, "", r=24, seen=bool(ink[i][j]))
d.text(200, 112, "ψ", "maths", size=34, colour="posterior", step=2)
d.show()

# %% [markdown] tags=["right"]
# $$p(\mathbf{x}) = \step{\frac{1}{Z}} \prod_{c} \psi_c(\mathbf{x}_c)$$
#
# * a potential $\psi_c$ for each group $c$ of pixels
# * $Z = \sum_{\mathbf{x}} \prod_c \psi_c(\mathbf{x}_c)$, over *all* images

# %% [markdown] minutes=60
# ## Very inefficient!

# %% [markdown] tags=["notes"]
# 45 s. The time to sum over all images about doubles with each pixel: the measured line,
# continued. With neighbours only, pixel by pixel, one value of Z still takes about an hour; and
# Gibbs sampling is slow where the pixels really depend on one another.

# %% tags=["left"]
seventh = next(row["measured"] for row in recipes.claims() if row["claim"] == 7)
factor = float(re.search(r"takes ([\d.]+)", seventh)[1])
fig, ax = plt.subplots(figsize=(5.5, 4.1))
sizes = torch.arange(4, 101, dtype=torch.float64)
ax.semilogy(sizes, factor ** (sizes - 20), color=MODEL)
YEAR = 3600 * 24 * 365  # seconds
ax.axhline(YEAR, color=NOISE, ls="--")
ax.text(99, YEAR / 8, "a year, if 20 pixels\ntake a second", color=DATA, ha="right", va="top")
ax.axhline(1, color=NOISE, ls=":")
ax.text(99, 1 / 8, "20 pixels", color=DATA, ha="right", va="top")
ax.set(xlabel="pixels", ylabel="time, 20 pixels = 1")
show(
    fig,
    "Time to sum over all images against the number of pixels, a straight line on a logarithmic"
    " scale.",
)

# %% [markdown] tags=["right"]
# Each further pixel doubles the number of terms.
#
# . . .
#
# And drawing an image needs a Markov chain, which is slow where pixels really depend on one
# another.

# %%
claim(
    7,
    rf"takes {VALUE} times as long for each further pixel \([^)]*\), for 28 x 28 10 to the"
    r" power (\d+) years",
    "Enumeration takes **{}** times as long for each further pixel; for $28 \\times 28$ pixels it"
    " would take $10^{{{}}}$ years.",
)

# %% [markdown] minutes=45
# ## A possible way out

# %% [markdown] tags=["notes"]
# 30 s. The turn of the lecture. Pixels depend on one another because they have common causes: which
# digit, how slanted, how thick. Give the causes a name, z, and the pixels need not know each other.

# %%
d = Drawing(
    1000,
    380,
    "Left: pixels joined to one another. Right: a hidden variable z with arrows to each of the"
    " pixels, which are not joined any more.",
)
angles = [2 * math.pi * k / 5 - math.pi / 2 for k in range(5)]
corners = [(round(200 + 140 * math.cos(a)), round(190 + 140 * math.sin(a))) for a in angles]
for k in range(5):
    for m in range(k):
        edge(d, *corners[k], *corners[m])
for k, corner in enumerate(corners):
    d.node(*corner, f"x{'₁₂₃₄₅'[k]}", "maths", r=38, seen=True)
d.arrow(420, 190, 540, 190, step=1)
d.node(780, 70, "z", colour="prior", step=1)
for k in range(5):
    d.arrow(780 + 12 * (k - 2), 114, 600 + 90 * k, 272, step=1)
    d.node(600 + 90 * k, 312, f"x{'₁₂₃₄₅'[k]}", "maths", r=38, seen=True, step=1)
d.show()

# %% [markdown]
# **Latent variable models**: common causes $\mathbf{z}$ make the pixels depend on one another.

# %% [markdown] notebook="02_latent_variable_models" minutes=45
# ## Latent variable models

# %% [markdown] tags=["notes"]
# 45 s. The central equation of the lecture; everything that follows is a way to live with this
# integral. Name the three: the prior over causes, the likelihood of x given the causes, the
# integral over all of them.

# %% tags=["left"]
d = Drawing(420, 440, "z with an arrow to x, which is observed.")
d.node(210, 90, "z", r=58, colour="prior")
d.arrow(210, 150, 210, 290)
d.node(210, 350, "x", r=58, seen=True)
d.show()

# %% [markdown] tags=["right"]
# $$p(\mathbf{x}) = \int \step{p_\theta(\mathbf{x}|\mathbf{z})}\, \step{p_\lambda(\mathbf{z})}\, d\mathbf{z}$$
#
# * prior $p_\lambda(\mathbf{z})$: which causes are common
# * likelihood $p_\theta(\mathbf{x}|\mathbf{z})$: what they make
# * the integral: over all possible causes

# %% [markdown] minutes=45
# ## First $\mathbf{z}$, then $\mathbf{x}$

# %% [markdown] tags=["notes"]
# 35 s. Sampling is easy: two steps, from two simple distributions. A check against exact counts
# says that two-step draws have the density of the integral. Say already now that the way back, from
# x to z, is the difficult one.

# %% tags=["left"]
d = Drawing(420, 380, "z, marked one, with an arrow to x, marked two.")
d.node(210, 65, "z", r=58, colour="prior")
d.text(310, 65, "1. sample", size=30, anchor="start", colour="prior", step=1)
d.arrow(210, 125, 210, 252, step=2)
d.node(210, 312, "x", r=58, seen=True)
d.text(310, 312, "2. sample", size=30, anchor="start", step=2)
d.show()

# %% [markdown] tags=["right"]
# $$p(\mathbf{x}) = \int \step{\underbrace{p_\theta(\mathbf{x}|\mathbf{z})}_{\text{2. then } \mathbf{x}}}\, \step{\underbrace{p_\lambda(\mathbf{z})}_{\text{1. first } \mathbf{z}}}\, d\mathbf{z}$$

# %%
claim(
    8,
    rf"straight line: two-step draws give \$\\chi\^2\$ = (\d+), exact counts {VALUE},"
    rf" a difference of {VALUE}.*?(?=\(100,000)",
    "100,000 draws, counted in cells: two steps give $\\chi^2$ = **{}**, draws from the exact"
    " density {}. The difference: {}.",
)

# %% [markdown]
# ## A line in the plane, and noise

# %% [markdown] tags=["notes"]
# 75 s. Live: play, or move the slider. A place on the line is drawn by the prior, then noise moves
# the point off the line. At the end ask: what shape has the cloud? An ellipse: a Gaussian.


# %% tags=["live"]
def bend(z):
    return torch.cat([1.5 * torch.sin(2 * z), z], -1)


line = FactorAnalysis(data_dim=2, latent_dim=1)
with torch.no_grad():
    line.decoder.weight.copy_(torch.tensor([[1.6], [0.8]]))
    line.decoder.bias.zero_()
    line.decoder.log_var.copy_(torch.tensor([0.15, 0.35]).log())


def fall(decoder, n: int, half: bool = False, reach=(5.0, 3.3)):
    """The first n draws; of the last one only its place on the line, if `half`."""
    torch.manual_seed(3)
    z, axis = torch.randn(1000, 1), torch.linspace(-3.2, 3.2, 200)
    with torch.no_grad():
        p, path = decoder(z), decoder(axis[:, None]).mean
        mean, x = p.mean, p.sample()
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.9), width_ratios=(1, 1.9))
    bell = torch.exp(-(axis**2) / 2) / math.sqrt(2 * math.pi)
    left.fill_between(axis, bell, color=PRIOR, alpha=0.2, lw=0)
    left.plot(z[:n], torch.full((n,), -0.025), "|", color=PRIOR, ms=13, mew=2)
    left.set(xlabel="z", xlim=(-3.2, 3.2), ylim=(-0.06, 0.45), yticks=[], title="first: z")
    left.spines["left"].set_visible(False)
    right.plot(*path.T, color=MODEL, lw=1.8)
    done = n - half
    if n <= 30:
        right.plot(*torch.stack([mean[:done], x[:done]]).unbind(-1), color=NOISE, lw=1.5)
    right.plot(*x[:done].T, "o", color=DATA, ms=7 if n <= 30 else 3.5, mew=0, alpha=0.8)
    if n and n <= 3:
        right.plot(*mean[n - 1], "D", color=MODEL, ms=10)
    right.set(xlim=(-reach[0], reach[0]), ylim=(-reach[1], reach[1]), xticks=[], yticks=[])
    right.set(xlabel="$x_1$", ylabel="$x_2$", title="then: x given z")
    return fig


script = [
    (0, False, "Each z has its place on the line."),
    (1, True, "First: z, and its place."),
    (1, False, "Then: x, noise about that place."),
    (2, True, "Again: z."),
    (2, False, "And x."),
    (10, False, "10 draws."),
    (30, False, "30 draws."),
    (1000, False, "1,000 draws: what shape is it?"),
]
pictures = [fall(line.decoder, n, half) for n, half, _ in script]
live(
    film(pictures, [words for *_, words in script], label="draws", seconds=1.2),
    fall(line.decoder, 30),
    "Left, ticks where z was drawn under a bell; right, a straight line with points about it.",
)

# %% [markdown]
# ## Linear and Gaussian: factor analysis

# %% [markdown] tags=["notes"]
# 60 s. Linear map, Gaussian prior, Gaussian noise: then all is known in closed form, marginal and
# posterior. Convenient! Ask what the marginal is: one Gaussian, whatever W is. Limiting: one hill,
# however many factors.

# %% [markdown]
# $$p_\lambda(\mathbf{z}) = \mathcal{N}(\boldsymbol{\mu}_0, \boldsymbol{\Sigma}_0), \qquad p_\theta(\mathbf{x}|\mathbf{z}) = \mathcal{N}(\mathbf{W}\mathbf{z} + \mathbf{b}, \boldsymbol{\Psi})$$
#
# . . .
#
# $$p(\mathbf{x}) = \mathcal{N}\big(\mathbf{W}\boldsymbol{\mu}_0 + \mathbf{b},\; \mathbf{W}\boldsymbol{\Sigma}_0\mathbf{W}^\top + \boldsymbol{\Psi}\big)$$
#
# * convenient: likelihood, posterior and learning are formulas
# * limiting: a linear map of a Gaussian is *one* Gaussian

# %%
claim(
    9,
    rf"factor analysis ends at {VALUE} nats a digit.*?analysers.*?reach {VALUE}: {VALUE} nats more",
    "Unseen digits: factor analysis reaches $\\log p(\\mathbf{{x}})$ = {} nats, a mixture of 20"
    " factor analysers {}, **{}** nats more.",
)

# %% [markdown]
# ## What if the map of $\mathbf{z}$ is not linear?

# %% [markdown] tags=["notes"]
# 50 s. Bend the line, keep everything else. Ask which ellipse fits this cloud. None. It is one
# Gaussian for each value of z, strung along a curve: infinitely many of them.


# %%
def bent_line(z) -> Gaussian:
    mean = bend(z)
    return Gaussian(mean, torch.full_like(mean, 2 * math.log(0.2)))


show(
    fall(bent_line, 1000, reach=(4.6, 3.3)),
    "Left, ticks under the bell of the prior; right, a line bent like a snake with points closely"
    " about it.",
)

# %% [markdown]
# $$p(\mathbf{x}) = \int \mathcal{N}(\mathbf{x}|f(\mathbf{z}), \sigma^2\mathbf{I})\; p_\lambda(\mathbf{z})\, d\mathbf{z}: \quad \textit{an infinite mixture of Gaussians}$$

# %% [markdown]
# ## A finite mixture needs more and more parts

# %% [markdown] tags=["notes"]
# 45 s. A finite mixture can imitate the curve, and needs more and more Gaussians as the noise gets
# smaller. These are fitted freely: weights, means and covariances, by EM. Equal round ones, strung
# along the line, would have to be many more. The bent line stays what it is.

# %%
torch.manual_seed(0)
drawn, unseen = (bent_line(torch.randn(n, 1)).sample() for n in (10_000, 5000))
places = torch.linspace(-5, 5, 1001)[:, None]
log_prior = torch.log_softmax(-(places[:, 0] ** 2) / 2, 0)
with torch.no_grad():
    terms = [bent_line(places).cross_log_prob(x) + log_prior for x in unseen.split(500)]
    exact = torch.cat(terms).logsumexp(-1)
path = bend(torch.linspace(-3.2, 3.2, 300)[:, None])
fig, axes = plt.subplots(1, 3, figsize=(11.3, 3.9))
for ax, K in zip(axes, (2, 4, 12), strict=True):
    fitted = MixtureOfFactorAnalysers(data_dim=2, latent_dim=1, components=K)
    fitted.initialise(drawn)
    fitted.fit_em(drawn, steps=60)
    with torch.no_grad():
        short = intervals.of_mean(exact - fitted.log_prob(unseen), "points")
        weights = fitted.log_weights.softmax(-1)
        shades = (0.5 * weights / weights.max()).tolist()
        for one, shade in zip(fitted.components, shades, strict=True):
            W, psi = one.decoder.weight, one.decoder.log_var.exp()
            variances, axes_of = torch.linalg.eigh(W @ W.T + psi.diag())
            tilt = math.degrees(math.atan2(*axes_of[:, 1].flip(0)))
            sizes = 4 * variances.sqrt().flip(0)  # two standard deviations to each side
            middle = one.decoder.bias.tolist()
            ax.add_patch(Ellipse(middle, *sizes, angle=tilt, color=MODEL, alpha=shade, lw=0))
    ax.plot(*path.T, color=DATA, lw=1.2)
    ax.set(xlim=(-2.9, 2.9), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal")
    ax.set_title(f"{K} Gaussians:\n{short.value:.2f} nats short")
show(
    fig,
    "The bent line at noise 0.2 with mixtures of 2, 4 and 12 Gaussians fitted to it: two large"
    " ellipses, then longer ones along its bends, then a chain of slender ones that covers it.",
)
claim(
    10,
    rf"about {VALUE} Gaussians at noise 0.4, {VALUE} Gaussians at noise 0.2,"
    rf" {VALUE} Gaussians at noise 0.1",
    "Fitted freely, a mixture within 0.01 nats of the bent line needs about {} Gaussians at noise"
    " 0.4, {} at 0.2, **{}** at 0.1.",
)

# %% [markdown] minutes=45
# ## Let the map be a neural network

# %% [markdown] tags=["notes"]
# 40 s. The last step of this part: what bends the line is learned. The decoder is a network, its
# outputs are the parameters of a simple distribution over x. Three families differ in how they
# train it: that is the rest of the lecture.

# %%
d = Drawing(
    1000, 300, "z goes into a neural network, which gives the parameters of the distribution of x."
)
d.node(100, 150, "z", r=54, colour="prior")
d.arrow(158, 150, 330, 150, step=1)
d.net(470, 150, 260, 210, "neural\nnetwork", narrow="left", step=1)
d.arrow(602, 150, 780, 150, step=2)
d.text(690, 118, "parameters", size=24, step=2)
d.node(845, 150, "x", r=54, seen=True, step=2)
d.show()

# %% [markdown]
# $$p(\mathbf{x}) = \int p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z}, \qquad \text{with a network } \theta: \text{ a \textbf{deep} generative model}$$
