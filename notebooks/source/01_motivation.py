# ---
# jupyter:
#   dgmcourse:
#     part: Why
#     question: What does a classifier not know?
#     about: what a classifier does not know; what a density buys, from ten labels to half a digit;
#       and why not all pixels at once
#     slides: Do we need generative modeling?
#     minutes: 75
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
# # Do we need generative modelling?
# *75 minutes, about 20 of them for three exercises. Slides: "Do we need generative modeling?",
# "Generative Modeling", "How to formulate a generative model?". You need Bayes' rule, the Gaussian,
# and some PyTorch. Afterwards you can say, with numbers, what $p(\mathbf{x})$ adds to a classifier
# and where it misleads.*
#
# A classifier was trained on two kinds of objects, blue and orange. Now comes a new object, the
# star. **Which colour is it, and how sure should one be?** Decide before you scroll on.

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
import time
from html import escape

import ipywidgets as widgets
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse import intervals, plot, recipes
from dgmcourse.check import motivation as check
from dgmcourse.data.frey import frey_faces
from dgmcourse.data.images import draw_bits, mnist
from dgmcourse.data.letters import letters
from dgmcourse.data.text import python_manual
from dgmcourse.data.toy import two_moons
from dgmcourse.evaluate import log_likelihood, precision_and_recall
from dgmcourse.models.character_model import CharacterModel
from dgmcourse.models.generative_classifier import GenerativeClassifier
from dgmcourse.models.markov_random_field import IsingGrid
from dgmcourse.models.mixture_of_factor_analysers import MixtureOfFactorAnalysers
from dgmcourse.networks import gated_mlp
from dgmcourse.plot import (
    CLASSES,
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
from dgmcourse.train import Adam, maximise
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.figure import LAYOUT, slider_figure
from dgmcourse.widgets.plane import grid, plane, plane_picture

torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine
measured = {}  # claim -> what you found, for the table at the end


points = two_moons(400, noise=0.12)  # (400, 2)
colours = torch.arange(400) % 2  # 0: blue, 1: orange
star, extent = (-2.0, -2.2), (-3.0, 4.0, -3.4, 3.6)

fig, ax = plt.subplots(figsize=(4.2, 3.6))
for label, marker in ((0, "o"), (1, "s")):
    ax.scatter(*points[colours == label].T, s=9, marker=marker, color=CLASSES[label])
ax.plot(*star, "*", color="white", markeredgecolor=DATA, ms=17, markeredgewidth=1.5)
ax.annotate("new object", star, (-1.6, -2.3))
ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=extent[:2], ylim=extent[2:])
plot.show(
    fig,
    alt=(
        "Two interleaved half moons of points, blue circles above and orange squares below, near"
        " the middle of the plane. Far away at the lower left, a star: the new object."
    ),
    caption=f"{len(points)} objects of two kinds, and one that is like none of them.",
)

# %% [markdown]
# Two models learn from these points. The **discriminative** one, a small network, learns
# $p(y|\mathbf{x})$ and nothing else: it maximises the mean of $\log p_\theta(y|\mathbf{x})$, which
# is minus the cross-entropy. The **joint** one learns where each kind lives, $p(\mathbf{x}|y)$, and
# how frequent it is, $p(y)$:
#
# $$p_\theta(\mathbf{x}, y) = p_\theta(\mathbf{x}|y)\, p_\theta(y) = p_\theta(y|\mathbf{x})\, p_\theta(\mathbf{x})$$
#
# Read aloud: a joint model contains the classifier, $p_\theta(y|\mathbf{x})$, *and* says how usual
# the object itself is, $p_\theta(\mathbf{x})$. The index $\theta$ stands for all that is learned;
# from here on we leave it out.


# %%
def train_classifier(x: Tensor, y: Tensor, sizes: list[int], steps=600, rate=3e-3):
    """A network whose outputs are log p(y|x) up to a constant: it maximises the mean of
    log p(y|x).
    """
    net = gated_mlp(sizes)
    optimiser = Adam(net.parameters(), lr=rate)
    for _ in range(steps):
        batch = torch.randint(len(x), (min(100, len(x)),))
        log_p = net(x[batch]).log_softmax(-1)  # (B, C)
        maximise(log_p.gather(1, y[batch, None]).squeeze(1), optimiser)
    return net.requires_grad_(False)


torch.manual_seed(0)
network = train_classifier(points, colours, [2, 50, 50, 2])
joint = GenerativeClassifier(2, classes=2, per_class=4)  # p(x|y): four Gaussians each
joint.initialise(points, colours, seed=1)
history = joint.fit_em(points, colours, steps=60)  # log p(x, y) rises with each step

# %% [markdown]
# Now drag the point, or focus the plane and use the arrow keys (with Shift, larger steps). Three
# things to try:
#
# 1. Where is the network undecided? Follow the border out of the picture's middle.
# 2. Find places where both models are certain and *disagree*. How near to the data can you get?
# 3. Which of the numbers at the right tells you not to trust either?
#
# Dotted lines: a classifier is certain to 99 %; a place is as probable as the least probable
# training point.

# %%
at = grid(extent, 121, 121)
with torch.no_grad():
    fields = {
        "p(y|x), the network": network(at).softmax(-1)[:, 0],
        "p(y|x), the joint model": joint.posterior(at)[:, 0],
        "log p(x), the joint model": joint.log_prob(at),
    }
fields = {name: values.reshape(121, 121) for name, values in fields.items()}
looks = {"extent": extent, "densities": ["log p(x), the joint model"], "point": star}

# %% jupyter={"source_hidden": true}
there = torch.tensor([star])
with torch.no_grad():
    by_network, at_star = network(there).softmax(-1)[0], joint.log_prob(there)[0]


def sure(p: Tensor) -> str:
    percent = f"{100 * p.max():.2f}" if p.max() < 0.9999 else "more than 99.99"
    return f"{percent} % sure of {('blue', 'orange')[p.argmax()]}"


show_widget(
    plane(points, colours, fields, **looks),
    plane_picture(points, colours, fields, **looks),
    alt=(
        "Three panels over the same plane. The network divides all of it into blue and orange by"
        " one border that runs on to the edges. The joint model's classifier divides it differently"
        " far from the data, in odd patches. log p(x) is high along the two moons and falls off at"
        " once beside them; the star lies far outside."
    ),
    caption=(
        f"At the star the network is {sure(by_network)}, where log p(x) is {at_star:.0f} nats: far"
        " below that of any training point."
    ),
)

# %% [markdown]
# **Highly probable decision, improbable object.** No classifier, not even the joint model's own,
# knows that it was asked something foolish: $p(y|\mathbf{x})$ has to distribute its 100 % over the
# labels it knows. Between the moons that is a statement about data; far away it is a statement
# about how a network, or a Gaussian, extrapolates.
#
# **Predict.** Scatter 2,000 objects over the plane, none within 0.5 of a training point. For how
# many is the network more than 99 % sure? For how many the joint model's classifier? And how many
# of them does $p(\mathbf{x})$ call unusual, if the threshold is set so that 1 % of *proper* new
# points are called so?

# %% tags=["claim-1"]
torch.manual_seed(0)
scattered = torch.rand(6000, 2) * 7 + torch.tensor([extent[0], extent[2]])
strange = scattered[torch.cdist(scattered, points).min(1).values > 0.5][:2000]
proper = two_moons(2000, noise=0.12, seed=1)
with torch.no_grad():
    threshold = joint.log_prob(proper).quantile(0.01)
    by_network, by_joint = network(strange).softmax(-1), joint.posterior(strange)
    unusual = joint.log_prob(strange) < threshold
certain = [p.max(-1).values > 0.99 for p in (by_network, by_joint)]

# %% jupyter={"source_hidden": true}
found = [intervals.of_share(s.sum(), len(s), "objects", 3) for s in (*certain, unusual)]
plane_finding = (
    f"of {len(strange):,} strange objects on the plane the network labels {found[0]:.1%} with more"
    f" than 99 % certainty, the joint model's classifier {found[1]:.1%}; p(x) finds {found[2]:.1%}"
    f" unusual, at 1 % of false alarms ({found[0].basis}, one training)"
)
plot.measured(plane_finding)

# %% [markdown]
# ## Exercise 1: both numbers from one (5 minutes)
# A joint model gives you $\log p(\mathbf{x}, y)$ for each label. Both numbers of the widget follow
# from it:
#
# $$p(\mathbf{x}) = \sum_y p(\mathbf{x}, y), \qquad p(y|\mathbf{x}) = \frac{p(\mathbf{x}, y)}{p(\mathbf{x})}$$
#
# For an image $\log p(\mathbf{x}, y)$ is easily $-2000$, and $e^{-2000}$ is 0 in each of torch's
# formats: float64 ends at $e^{-745}$. Stay with logarithms until the end.


# %% tags=["exercise"]
def posterior_and_evidence(log_joint: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x) in nats and p(y|x), from log p(x, y).

    log_joint: (B, C).  Returns: log p(x), (B,), and p(y|x), (B, C).
    """
    ### BEGIN SOLUTION
    log_p = torch.logsumexp(log_joint, -1)
    return log_p, torch.exp(log_joint - log_p[:, None])
    ### END SOLUTION


# %% tags=["exercise-check"]
posterior_and_evidence = check.posterior_and_evidence(posterior_and_evidence)
# check.posterior_and_evidence.hint()

# %% [markdown]
# ## Digits, and things that are no digits
# Two dimensions are easy. Take 784: a classifier of handwritten digits, and for $p(\mathbf{x})$ a
# trained generative model of them, the VAE of [notebook 07](07_vae.ipynb). How it estimates $\log
# p(\mathbf{x})$ is that notebook's subject; here it is an instrument. Then show both what they have
# never seen.

# %%
torch.manual_seed(0)
digits = mnist(None)  # bytes, 0 to 255; draw_bits makes them black and white at random
few = torch.arange(min(8000, len(digits.train)))
digits = digits._replace(train=digits.train[few])  # the others are not needed
n = min(500, len(digits.test))
test, labels = draw_bits(digits.test.x[:n]), digits.test.y[:n]
bits = draw_bits(digits.train.x)
classifier = train_classifier(bits, digits.train.y, [784, 100, 10], steps=1500)
del bits
vae = recipes.load("vae_40d")
right = (classifier(test).argmax(-1) == labels).sum()
share = intervals.of_share(right, n, "digits")
plot.markdown(f"The classifier labels {share:.1%} of {n} test digits correctly.")

# %% [markdown]
# The strangers: **letters** in printers' fonts, sized and centred as MNIST's digits were, without
# those that pass for a digit (l, O, S, ...); **upside-down digits**, only 3, 4 and 7, since turned
# 0, 1, 6, 8, 9 are digits and turned 2 and 5 nearly; **noise**, each pixel a coin; and **faces**,
# where the Frey faces are there.
#
# **Predict.** How often is the classifier more than 99 % sure of a letter's class? Of a coin
# picture's?

# %%
torch.manual_seed(0)
turnable = torch.isin(digits.test.y, torch.tensor([3, 4, 7])).nonzero()[:n, 0]
things = {"digits": test, "letters": draw_bits(letters(n).x)}
things["upside-down"] = draw_bits(digits.test.x[turnable]).flip(-1)  # pixels backwards
things["noise"] = torch.bernoulli(torch.full((n, 784), 0.5))
faces = frey_faces()
if faces is not None:
    things["faces"] = (faces.x[torch.randperm(len(faces))[:n]] > 127).float()

with torch.no_grad():
    guesses = {name: classifier(x).softmax(-1) for name, x in things.items()}
    bar = progress(things.items(), desc="log p(x)")
    log_p = {name: log_likelihood(vae, x, S=50) for name, x in bar}
sureness = {name: p.max(-1).values for name, p in guesses.items()}

# %% jupyter={"source_hidden": true}
rows = [
    f"| {name} | {len(x):,} | {mean_and_error(100 * (sureness[name] > 0.99).float(), '.0f')} |"
    f" {mean_and_error(log_p[name])} |"
    for name, x in things.items()
]
plot.show(
    plot.images([x[:14] for x in things.values()], columns=14, titles=[*things]),
    alt="A row of fourteen images each of: "
    + ", ".join(things)
    + ". All in black and white pixels.",
    caption="What both models are shown. Nothing below the first row is a digit.",
)
plot.markdown(
    "| shown | n | classifier more than 99 % sure, % | mean log p(x), nats |",
    "|:--|--:|--:|--:|",
    *rows,
)

# %% [markdown]
# ## Exercise 2: how well does a score tell them apart? (5 minutes)
# A threshold on a score sorts digits from strangers, but which threshold? The **ROC curve** tries
# all: at each, the share of digits kept against the share of strangers let in. The area under it,
# the **AUC**, has a plain meaning: *the probability that a random digit scores higher than a random
# stranger*, where a tie counts one half. 1 is perfect, 0.5 useless, below 0.5 misleading.


# %% tags=["exercise"]
def auc(inside: Tensor, outside: Tensor) -> float:
    """The share of all pairs in which the score from inside is higher; ties count half.

    inside: (N,), outside: (M,), scores.  Returns: a number from 0 to 1.
    """
    ### BEGIN SOLUTION
    difference = inside[:, None] - outside  # (N, M)
    return ((difference > 0).float() + 0.5 * (difference == 0).float()).mean().item()
    ### END SOLUTION


# %% tags=["exercise-check"]
auc = check.auc(auc)
# check.auc.hint()

# %% [markdown]
# **Predict.** Score by the classifier's certainty, $\max_y p(y|\mathbf{x})$, or by $\log
# p(\mathbf{x})$. Which strangers does each find? Which are the hardest?


# %% jupyter={"source_hidden": true}
def area(inside: Tensor, outside: Tensor, comparisons: int = 1) -> intervals.Interval:
    """The AUC with its interval. One single stranger: the share of the digits above it."""
    value = auc(inside, outside)
    if len(outside) == 1:
        hits = round(value * len(inside))
        return intervals.of_share(hits, len(inside), "digits", comparisons)
    sizes = len(inside), len(outside)
    return intervals.of_auc(value, *sizes, "images of each kind", comparisons)


def area_gained(new: tuple, old: tuple, comparisons: int) -> intervals.Interval:
    """The AUC by one score less that by another, of the same images (DeLong et al. 1988).

    new, old: (scores of digits, scores of strangers).
    """

    def beats(inside, outside):  # (N, M)
        return (inside[:, None] > outside).double() + 0.5 * (inside[:, None] == outside)

    gain = beats(*new) - beats(*old)
    by_digit, by_stranger = gain.mean(1), gain.mean(0)
    if len(by_stranger) == 1:
        return intervals.of_mean(by_digit, "digits", comparisons)
    # The mean of the first, and the spread of both.
    off = by_stranger.mean() - by_stranger
    return intervals.of_difference(by_digit, off, "images of each kind", comparisons)


# %% tags=["claim-1"]
strangers = [name for name in things if name != "digits"]
areas = {}  # by certainty and by log p(x), and the second less the first
for name in strangers:
    by = [(score["digits"], score[name]) for score in (sureness, log_p)]
    areas[name] = [area(*scores, comparisons=3 * len(strangers)) for scores in by]
    areas[name].append(area_gained(*reversed(by), comparisons=3 * len(strangers)))

# %% jupyter={"source_hidden": true}
basis = areas["letters"][0].basis
measured["claim-1"] = (
    plane_finding
    + "; digits against strangers, AUC by certainty and by log p(x): "
    + ", ".join(f"{name} {a:.2f} and {b:.2f}" for name, (a, b, _) in areas.items())
    + f" ({basis})"
)
plot.markdown(
    "| digits against | AUC by certainty | AUC by log p(x) | the second less the first |",
    "|:--|--:|--:|--:|",
    *(
        f"| {name} | {a:.2f} | {b:.2f} | {gain.said('+.2f')} |"
        for name, (a, b, gain) in areas.items()
    ),
    "",
    f"*{basis[0].upper()}{basis[1:]}.*",
)


# %% jupyter={"source_hidden": true}
def roc(inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of strangers let in and digits kept, at every threshold."""
    lowest_first = torch.cat([inside, outside]).unique()
    thresholds = torch.cat([torch.tensor([torch.inf]), lowest_first.flip(0)])

    def share(scores):
        falling = scores.sort(descending=True).values
        return torch.searchsorted(-falling, -thresholds, right=True) / len(scores)

    return share(outside), share(inside)


fig, axes = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.4), sharey=True)
styles = (("-", POSTERIOR), ("--", MODEL), (":", DATA), ("-.", PRIOR))
titles = ("by certainty, max p(y|x)", "by log p(x)")
for ax, scores, title in zip(axes, (sureness, log_p), titles, strict=True):
    for name, (style, colour) in zip(strangers, styles, strict=False):
        ax.plot(*roc(scores["digits"], scores[name]), style, color=colour, label=name)
    ax.plot([0, 1], [0, 1], color=NOISE, linewidth=0.8)
    ax.set(title=title, xlabel="share of strangers let in", aspect="equal")
    ax.set(xlim=(-0.02, 1), ylim=(0, 1.02))
axes[0].set_ylabel("share of digits kept")
axes[1].legend(loc="lower right")
plot.show(
    fig,
    alt=(
        "Two panels of ROC curves, one curve for each kind of stranger. By the classifier's"
        " certainty the curves run well below the upper left corner; by log p(x) they run through"
        " it for noise and faces, on top of each other, and nearer to it than before for letters"
        " and upside-down digits."
    ),
    caption="log p(x) tells "
    + " and ".join(name for name in strangers if areas[name][1].value > 0.999)
    + " from digits with hardly a mistake. Other strangers overlap with digits; less than by"
    " certainty do "
    + (
        " and ".join(
            name
            for name in strangers
            if 0.999 > areas[name][1].value > areas[name][0].value and areas[name][2].shown
        )
        or "none"
    )
    + ".",
)

# %% [markdown]
# Coins and faces are easy for $p(\mathbf{x})$: hardly a stroke on blank paper among them. Strangers
# made of strokes are the hard ones, since strokes on paper are most of what it has learned. The
# classifier has learned nothing about paper at all: it looks for what tells a 3 from an 8, and
# finds some of it anywhere.

# %% [markdown]
# ## Break it: where $\log p(\mathbf{x})$ fails
# "Low probability, so no digit" worked. Does the converse hold? **Predict.** Three more kinds of
# strangers: round *dots*; *tiny digits*, test digits at half their size; and one *blank sheet*.
# Above or below the digits?


# %% jupyter={"source_hidden": true}
def dots(n: int) -> Tensor:
    """Round dots, (n, 784), with a radius of 1 to 3 pixels, near the middle."""
    at = torch.arange(28.0)
    middle, radius = 13.5 + 2 * torch.randn(n, 2, 1, 1), 1 + 2 * torch.rand(n, 1, 1)
    squared = (at[:, None] - middle[:, 0]) ** 2 + (at - middle[:, 1]) ** 2
    return (squared < radius**2).float().flatten(1)


# %%
torch.manual_seed(0)
halved = F.avg_pool2d(digits.test.x[:n].view(-1, 1, 28, 28) / 255, 2)  # (n, 1, 14, 14)
doubles = {
    "dots": dots(n),
    "tiny digits": torch.bernoulli(F.pad(halved, (7, 7, 7, 7)).flatten(1)),
    "blank sheet": torch.zeros(1, 784),
}
with torch.no_grad():
    for name, x in doubles.items():
        log_p[name] = log_likelihood(vae, x, S=5000 if len(x) == 1 else 50)
    tiny_sure, tiny_said = classifier(doubles["tiny digits"]).softmax(-1).max(-1)
tiny_right = tiny_said == labels

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.3), width_ratios=(1, 1.7))
shown = {name: (things | doubles)[name] for name in ("digits", "letters", "upside-down", *doubles)}
order = [*shown]
for row, x in enumerate(shown.values(), start=1):  # beside its box, each sheet in a frame
    for column in range(6):
        edges = (column + 0.05, column + 0.95, row + 0.43, row - 0.43)
        left.imshow(x[column % len(x)].view(28, 28), extent=edges, vmin=0, vmax=1, aspect="auto")
        across, down = [edges[i] for i in (0, 1, 1, 0, 0)], [edges[i] for i in (2, 2, 3, 3, 2)]
        left.plot(across, down, color=NOISE, linewidth=0.5)
left.set(xlim=(0, 6), ylim=(len(order) + 0.5, 0.5))
left.set_axis_off()
values = [log_p[name].numpy() for name in order]
style = {"orientation": "horizontal", "medianprops": {"color": POSTERIOR}, "widths": 0.5}
right.boxplot(values, whis=(5, 95), showfliers=False, **style)
right.axvline(log_p["digits"].median(), color=MODEL, linestyle=":")
right.set(yticklabels=order, xlabel="log p(x), nats", ylim=(len(order) + 0.5, 0.5))
right.locator_params(axis="x", nbins=6)
plot.show(
    fig,
    alt=(
        "Left: examples of digits, letters, upside-down digits, dots, tiny digits and the blank"
        " sheet. Right: box plots of log p(x) of each, quartiles with whiskers from 5 to 95 %;"
        " letters and upside-down digits lie below the digits' median, a dotted line; dots and tiny"
        " digits lie mostly above it, the blank sheet far above."
    ),
    caption="Images with little ink are rated above most digits, a blank sheet above nearly all.",
)
higher = {  # the chance that the stranger is rated above a digit: 1 - AUC
    name: area(-log_p["digits"], -log_p[name], comparisons=len(doubles)) for name in doubles
}
plot.markdown(
    "**Measured.** The chance that a stranger is rated above a random digit: "
    + ", ".join(f"{name} {chance:.0%}" for name, chance in higher.items())
    + f" ({higher['dots'].basis}; one blank sheet)."
)

# %% [markdown]
# A blank sheet is no digit, and $\log p(\mathbf{x})$ likes it better than most digits. Likelihood
# rates *simple* images high: little ink, little that can go wrong. Large models of photographs do
# the same to images of other data sets (Nalisnick et al. 2019).

# %% jupyter={"source_hidden": true}
ink = test.mean().item()
blank = 784 * math.log(1 - ink)
typical = 784 * (ink * math.log(ink) + (1 - ink) * math.log(1 - ink))
deviation = math.sqrt(784 * ink * (1 - ink)) * math.log((1 - ink) / ink)
plot.markdown(
    "**Why.** Forget digits, draw 784 pixels one by one, each with ink with probability"
    f" {ink:.2f}. The *most probable* image is the blank one, at {blank:.0f} nats. Draws lie at"
    f" {typical:.0f} ± {deviation:.0f} nats: the blank sheet is"
    f" {(blank - typical) / deviation:.0f} standard deviations above what is usual, and has a"
    f" chance of $e^{{{blank:.0f}}}$. Any single draw is less probable still, but there are so"
    " many of them: in 784 dimensions nearly all probability lies where $\\log p(\\mathbf{x})$ is"
    " *middling*, in the **typical set**, and hardly any at its peak."
)

# %% [markdown]
# Whether an image is unusual depends on how many images share its level, and that $\log
# p(\mathbf{x})$ of one image does not say. So being *as probable as the data are* is a test from
# both sides: score by $-\left|\log p(\mathbf{x}) - \text{mean over digits}\right|$. **Predict.**
# Whom does it catch now, and who was caught better before?

# %%
middle = log_p["digits"].mean()
two_sided = {name: -(values - middle).abs() for name, values in log_p.items()}
both_ways = {}
for name in log_p.keys() - {"digits"}:
    by = [(score["digits"], score[name]) for score in (log_p, two_sided)]
    both_ways[name] = [area(*scores) for scores in by]
    both_ways[name].append(area_gained(*reversed(by), comparisons=len(log_p) - 1))

# %% jupyter={"source_hidden": true}
verdicts = {name: gain.verdict("gains", "loses") for name, (_, _, gain) in both_ways.items()}
better, worse = ([k for k in log_p if verdicts.get(k) == word] for word in ("gains", "loses"))
plot.markdown(
    "| digits against | n | AUC by log p(x) | by its distance from the digits' mean | gain |",
    "|:--|--:|--:|--:|--:|",
    *(
        f"| {name} | {len(log_p[name])} | {both_ways[name][0]:.2f} | {both_ways[name][1]:.2f} |"
        f" {both_ways[name][2].said('+.2f')} |"
        for name in log_p
        if name in both_ways
    ),
    "",
    (
        f"*95 % intervals, the gain's corrected for {len(both_ways)} comparisons.*\n\n"
        f"It gains for {', '.join(better) or 'none'} and pays for it with"
        f" {', '.join(worse) or 'none'}: an unusually *good* digit is now suspect, too. What lies"
        " at the digits' own level passes any test of the level. $p(\\mathbf{x})$ alone does"
        " not decide."
    ),
)

# %% [markdown]
# ## Does the decision carry over?
# The second of the lecture's reasons: without $p(\mathbf{x})$ you can't know how decisions carry
# over to new data. Test data rarely come from where the training data came from. Here they are the
# same digits, turned. (All are made black or white by a threshold: turning blurs, and drawn bits
# would show the blur.)
#
# **Predict.** Turn test digits by 90 degrees: what is left of the accuracy? And of the classifier's
# mean certainty, which, were it honest, would equal the accuracy? You see one digit, upright or
# turned: by which number would you rather notice?


# %% jupyter={"source_hidden": true}
def turned(x: Tensor, degrees: float) -> Tensor:
    """Grey images (B, 784) turned about the middle, then made binary."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = torch.tensor([[cos, -sin, 0], [sin, cos, 0]]).expand(len(x), 2, 3)
    where = F.affine_grid(matrix, (len(x), 1, 28, 28), align_corners=False)
    grey = F.grid_sample(x.view(-1, 1, 28, 28), where, align_corners=False)
    return (grey > 0.5).float().flatten(1)


# %% tags=["claim-2"]
angles = [0, 10, 20, 30, 45, 60, 75, 90]
grey = digits.test.x[:200].float() / 255
carried = {}
for angle in progress(angles, desc="angles"):
    x = turned(grey, angle)
    p, y = classifier(x).softmax(-1).max(-1)
    right = y == labels[: len(x)]
    carried[angle] = {"x": x, "said": y, "sure": p, "right": right}
    carried[angle]["log_p"] = log_likelihood(vae, x, S=50)

# %% jupyter={"source_hidden": true}
first, last, k = carried[0], carried[90], 11  # numbers in the finding below
hits = [at["right"].sum() for at in (first, last)]
accuracies = [intervals.of_share(n_right, len(grey), "digits", k) for n_right in hits]
sure_of = [intervals.of_mean(at["sure"], "digits", k) for at in (first, last)]
alarms = {  # upright digits against turned ones
    (name, angle): area(first[name], carried[angle][name], k)
    for name in ("log_p", "sure")
    for angle in (20, 90)
}
tiny_alarm = area(log_p["digits"], log_p["tiny digits"], k)
tiny_doubt = area(sureness["digits"], tiny_sure, k)
tiny_accuracy = intervals.of_share(tiny_right.sum(), len(tiny_right), "digits", k)
measured["claim-2"] = (
    f"turned from 0 to 90 degrees, accuracy falls from {accuracies[0]:.0%} to {accuracies[1]:.0%},"
    f" mean certainty from {sure_of[0]:.0%} to {sure_of[1]:.0%}; upright against turned, AUC by"
    f" log p(x) {alarms['log_p', 20]:.2f} at 20 and {alarms['log_p', 90]:.2f} at 90 degrees, by"
    f" certainty {alarms['sure', 20]:.2f} and {alarms['sure', 90]:.2f} ({accuracies[0].basis});"
    f" {len(tiny_right)} tiny digits: {tiny_accuracy:.0%} right, AUC by log p(x) {tiny_alarm:.2f},"
    f" by certainty {tiny_doubt:.2f}"
)
halfway = carried[45]
ranks = {name: halfway[name].argsort().argsort().float() for name in ("sure", "log_p")}
scores = {"log p(x)": halfway["log_p"], "certainty": halfway["sure"]}
scores["the sum of their ranks"] = ranks["sure"] + ranks["log_p"]
tells = [  # right against wrong decisions
    f"{area(score[halfway['right']], score[~halfway['right']], 3):.2f} by {name}"
    for name, score in scores.items()
]
plot.measured(measured["claim-2"])
plot.markdown(
    f"Single decisions, right against wrong, at 45 degrees, where {halfway['right'].sum()} of"
    f" {len(grey)} are right: AUC {', '.join(tells)}."
)


# %% jupyter={"source_hidden": true}
def over_angles(name: str) -> Tensor:
    return torch.stack([at[name].float().mean() for at in carried.values()])


def draw_turned(angle: int) -> plt.Figure:
    at = carried[angle]
    fig, (left, middle, right) = plt.subplots(
        1, 3, figsize=(plot.WIDTH, 2.7), width_ratios=(1.15, 1.2, 1.2)
    )
    plot.draw_images(left, at["x"][:12], 4)
    for i in range(12):
        style = {"weight": "bold", "ha": "center", "va": "center", "size": 9, "color": PRIOR}
        if not at["right"][i]:  # ringed
            ring = {"boxstyle": "circle,pad=0.15", "facecolor": "none", "edgecolor": POSTERIOR}
            style |= {"color": POSTERIOR, "bbox": ring}
        corner = 30 * (i % 4) + 26, 30 * (i // 4) + 5
        left.text(*corner, at["said"][i].item(), **style)
    left.set_title("digits, and what it says")
    for name, style, colour, label in (
        ("right", "o-", DATA, "accuracy"),
        ("sure", "s--", POSTERIOR, "mean certainty"),
    ):
        middle.plot(angles, 100 * over_angles(name), style, color=colour, label=label, ms=4)
    middle.set(ylim=(0, 102), ylabel="%", xlabel="degrees")
    middle.legend(fontsize=8, loc="lower left")
    percent = {name: 100 * at[name].float().mean() for name in ("right", "sure")}
    middle.set_title(f"right {percent['right']:.0f} %, sure {percent['sure']:.0f} %")
    right.plot(angles, over_angles("log_p"), "^-", color=MODEL, ms=4)
    right.set(ylabel="mean log p(x), nats", xlabel="degrees")
    right.set_title(f"log p(x) {at['log_p'].mean():.0f} nats")
    for ax in (middle, right):
        ax.axvline(angle, color=NOISE, linewidth=1)
    return fig


too_sure = 100 * (last["sure"] - last["right"].float()).mean()
show_widget(
    slider_figure(
        draw_turned,
        alt=(
            "Twelve turned digits with the classifier's labels; its accuracy and mean certainty,"
            " and the mean log p(x), against the angle."
        ),
        angle=widgets.SelectionSlider(options=angles, value=45, description="angle", **LAYOUT),
    ),
    draw_turned(45),
    alt=(
        "Left: twelve digits turned by 45 degrees with the classifier's labels, the wrong ones"
        " ringed. Middle: accuracy falls steeply with the angle, mean certainty hardly. Right: mean"
        " log p(x) falls with the angle."
    ),
    caption=f"At 90 degrees the classifier is {too_sure:.0f} points surer than it is right.",
)

# %% [markdown]
# The accuracy you once measured holds for data like those you measured it on, and certainty is no
# substitute: it falls a little where accuracy collapses. *That* it falls is a warning all the same;
# at large angles $p(\mathbf{x})$ gives the clearer one.
#
# And tiny digits, of which the classifier gets few right, $p(\mathbf{x})$ finds *more* probable
# than those it knows: here only certainty warns. Neither number gives the accuracy that is left, or
# tells reliably whether a *single* decision is right. A joint model gives you both numbers; look at
# both.

# %% [markdown]
# ## What else a density buys: labels
# Labels are expensive, images are cheap. A discriminative model learns nothing from an image
# without a label. A joint model can: where $y$ is missing, it maximises $\log p(\mathbf{x}) = \log
# \sum_y p(\mathbf{x}, y)$, your first exercise. EM does both at once.
#
# **Predict.** Of 2,000 digits ten have a label, one of each class. How many points of accuracy do
# the others bring? And if there are five labels for each class, or twenty?
#
# All get the same 25 principal components. The rivals know the labelled digits only: a linear
# classifier with the lecture's $p(y|\mathbf{x})$, and the nearest labelled neighbour.

# %% jupyter={"source_hidden": true}
pool = digits.train[:2000]
unseen, unseen_y = digits.test.x[:1000].float() / 255, digits.test.y[:1000]
pool_x = pool.x.float() / 255
centre = pool_x.mean(0)
variances, directions = torch.linalg.eigh(torch.cov(pool_x.T))
project = directions[:, -25:] / variances[-25:].mean().sqrt()  # on principal components
parts, unseen_parts = (pool_x - centre) @ project, (unseen - centre) @ project
del pool_x, variances, directions


def labels_of_few(seed: int, per_class: int) -> Tensor:
    """The pool's labels, (2000,), with -1 for all but so many of each class."""
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    known = torch.cat([order[pool.y[order] == c][:per_class] for c in range(10)])
    return torch.full_like(pool.y, -1).index_copy(0, known, pool.y[known])


def accuracy(scores: Tensor) -> float:
    return 100 * (scores.argmax(-1) == unseen_y).float().mean().item()


# %%
def compete(seed: int, per_class: int) -> list[float]:
    """Percent correct of the joint model, the linear classifier and the nearest
    neighbour, from the same labels.
    """
    torch.manual_seed(seed)
    y = labels_of_few(seed, per_class)
    known = y >= 0
    model = GenerativeClassifier(25, classes=10, latent_dim=5)
    model.initialise(parts, y)
    model.fit_em(parts, y, steps=20, tolerance=0.01)
    linear = train_classifier(parts[known], y[known], [25, 10], steps=100, rate=0.02)
    nearest = y[known][torch.cdist(unseen_parts, parts[known]).argmin(-1)]
    with torch.no_grad():
        joint = posterior_and_evidence(model.log_joint(unseen_parts))[1]
    guesses = (joint, linear(unseen_parts), F.one_hot(nearest))
    return [accuracy(guess) for guess in guesses]


# %% tags=["claim-3"]
SEEDS = 20  # each time with other labels
won, gains = {}, {}
for k in (1, 5, 20):
    bar = progress(range(SEEDS), desc=f"{10 * k} labels")
    won[k] = torch.tensor([compete(seed, k) for seed in bar])
    gained = won[k][:, 0] - won[k][:, 1:].max(-1).values  # over the better, by seed
    gains[k] = intervals.of_mean(gained, "sets of labels", comparisons=3)

# %% jupyter={"source_hidden": true}
points_won = [f"with {10 * k} labels {gain.said('+.1f')}" for k, gain in gains.items()]
measured["claim-3"] = (
    f"points of accuracy of the joint model over the better of its rivals, {len(pool):,} digits in"
    f" all: {', '.join(points_won)} ({gains[1].basis})"
)
table = [
    f"| {10 * k} | "
    + " | ".join(mean_and_error(a) for a in scores.T)
    + f" | {gains[k].said('+.1f')} |"
    for k, scores in won.items()
]
plot.markdown(
    (
        "| labels | joint model, % right | linear classifier | nearest neighbour | gain over the"
        " better of the two |"
    ),
    "|--:|--:|--:|--:|--:|",
    *table,
    "",
    (
        f"*{SEEDS} sets of labels, with standard errors; gain: {gains[1].basis};"
        f" {len(pool):,} digits in all; {len(unseen):,} others to test.*"
    ),
)

fig, axes = plt.subplots(1, len(won), figsize=(plot.WIDTH, 2.8), sharey=True)
torch.manual_seed(0)
for ax, (k, scores) in zip(axes, won.items(), strict=True):
    for i, (colour, marker) in enumerate(((MODEL, "o"), (POSTERIOR, "s"), (NOISE, "^"))):
        at = i + 0.12 * (torch.rand(len(scores)) - 0.5)
        ax.scatter(at, scores[:, i], s=14, marker=marker, color=colour, alpha=0.7)
        error = standard_error(scores[:, i])
        ax.errorbar(i + 0.25, scores[:, i].mean(), error, fmt="_", color=colour, capsize=4, ms=14)
    ax.set(xticks=range(3), xticklabels=["joint", "linear", "nearest"], xlim=(-0.5, 2.7))
    ax.set_title(f"{10 * k} labels")
axes[0].set_ylabel(f"correct of {len(unseen)}, %")
plot.show(
    fig,
    alt=(
        "Three panels of dots, one for each set of labels, percent correct of the joint model, the"
        " linear classifier and the nearest neighbour, with means and standard errors; the"
        f" {measured['claim-3']}."
    ),
    caption=(
        f"What unlabelled digits bring shrinks as labels come, from {gains[1].value:.1f} points"
        f" with 10 labels to {gains[20].value:.1f} with 200."
    ),
)

# %% [markdown]
# Where labels are scarce, the unlabelled digits say where the clusters are, and a label only has to
# name one. With more labels the rivals catch up. (A discriminative model is often behind with few
# labels and ahead with many, Ng & Jordan 2001.)
#
# Is the model too simple to be a good classifier? **Predict.** Fit it with *all* labels. Then hide
# all but 50, and let EM go on from there: does $\log p$ rise or fall? And the accuracy?


# %%
def forget(seed: int) -> list[float]:
    """Percent correct with all labels, and after EM went on with 50; the rise of log p
    meanwhile, in nats.
    """
    torch.manual_seed(seed)
    model = GenerativeClassifier(25, classes=10, latent_dim=5)
    model.initialise(parts, pool.y)
    model.fit_em(parts, pool.y, steps=20, tolerance=0.01)
    with_all = accuracy(model.posterior(unseen_parts))
    log_p = model.fit_em(parts, labels_of_few(seed, 5), steps=30, tolerance=0.001)
    return [with_all, accuracy(model.posterior(unseen_parts)), log_p[-1] - log_p[0]]


forgot = torch.tensor([forget(seed) for seed in range(5)])

# %% jupyter={"source_hidden": true}
rise = intervals.of_mean(forgot[:, 2], "sets of labels", comparisons=2)
fall = intervals.of_mean(forgot[:, 1] - forgot[:, 0], "sets of labels", comparisons=2)
plot.markdown(
    f"With all labels {forgot[:, 0].mean():.1f} % are right. EM with 50 of them changes $\\log p$"
    f" by {rise.said('+.2f', 'nats a digit')}, and the accuracy by {fall.said('+.1f', 'points')}"
    f" ({rise.basis}). Begun at the 50 labels it ended at {won[5][:, 0].mean():.1f} %."
)

# %% [markdown]
# So the model can do better than EM lets it. Unlabelled digits pull the classes to wherever
# $p(\mathbf{x})$ is highest, and that is not where the labels part. Likelihood and accuracy are two
# goals.
#
# **Break it:** what if the classes are *not* the clusters? Two clouds in the plane. First each
# cloud is a class. Then, the same points, but the class is which *half*, left or right, of its
# cloud a point is in. **Predict** what 300 unlabelled points bring in each case.


# %% jupyter={"source_hidden": true}
def clouds(halves: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Points (300, 2) in two clouds, and labels: which cloud, or which half of it."""
    upper = torch.arange(300) % 2
    noise = torch.randn(300, 2, generator=torch.Generator().manual_seed(seed))
    x = noise * torch.tensor([0.8, 0.4])
    x[:, 1] += 2.4 * (upper - 0.5)
    return x, (x[:, 0] > 0).long() if halves else upper


def gain_from_unlabelled(halves: bool, per_class: int, seed: int):
    """Points gained by the joint model over a linear classifier, the model, and which points were
    labelled.
    """
    torch.manual_seed(seed)
    x, truth = clouds(halves, seed)
    order = torch.randperm(len(x))
    known = torch.cat([order[truth[order] == c][:per_class] for c in (0, 1)])
    y = torch.full_like(truth, -1)
    y[known] = truth[known]
    model = GenerativeClassifier(2, classes=2)
    model.initialise(x, y, seed)
    model.fit_em(x, y, steps=40, tolerance=1e-3)
    linear = train_classifier(x[known], y[known], [2, 2], steps=40, rate=0.15)
    ours, theirs = (
        100 * (p.argmax(-1) == truth).float().mean().item() for p in (model.log_joint(x), linear(x))
    )
    return ours - theirs, model, known


cases = [(halves, k) for halves in (False, True) for k in (1, 3)]
fates = {
    case: [gain_from_unlabelled(*case, seed) for seed in range(30)]
    for case in progress(cases, desc="clouds")
}

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 4, figsize=(plot.WIDTH, 2.5), sharey=True)
window = (-2.6, 2.6, -2.6, 2.6)
around = grid(window, 61, 61)
brought = {case: torch.tensor([run[0] for run in runs]) for case, runs in fates.items()}
helped = {case: intervals.of_mean(gain, "seeds", len(cases)) for case, gain in brought.items()}
for ax, ((halves, k), runs) in zip(axes, fates.items(), strict=True):
    gain = brought[halves, k]
    seed = int((gain - gain.median()).abs().argmin())  # a typical one
    (x, truth), (_, model, known) = clouds(halves, seed), runs[seed]
    for c, marker in ((0, "o"), (1, "s")):
        ax.scatter(*x[truth == c].T, s=5, marker=marker, color=CLASSES[c], alpha=0.5)
        mine = x[known[truth[known] == c]]
        ax.scatter(*mine.T, s=45, marker=marker, color=CLASSES[c], edgecolors=DATA, linewidths=1.3)
    with torch.no_grad():
        ax.contour(model.posterior(around)[:, 0].reshape(61, 61), [0.5], extent=window, colors=DATA)
    ax.set(
        xlabel="$x_1$",
        title=f"{'halves' if halves else 'clouds'}, {2 * k} labels\n{gain.mean():+.1f} points",
    )
axes[0].set_ylabel("$x_2$")
plot.show(
    fig,
    alt=(
        "Four panels with two clouds of points, one above the other, and the joint model's border"
        " in a typical run. Where clouds are the classes the border runs between them. Where left"
        " and right halves are the classes it runs there, too, or astray."
    ),
    caption=(
        "Unlabelled points help where clouds are the classes; where halves are, EM still finds the"
        " clouds. Large: labelled."
    ),
)
plot.markdown(
    "**Measured.** Accuracy over a linear classifier with the same labels, in points: "
    + "; ".join(
        f"{'halves' if halves else 'clouds'}, {2 * k} labels: {gain.said('+.1f')}"
        for (halves, k), gain in helped.items()
    )
    + f" ({helped[True, 1].basis})."
)

# %% [markdown]
# Unlabelled data help a *right* model. They make a wrong one surer of its error (Nigam et al. 2000
# met this with texts). Semi-supervised VAEs, notebook 12, carry the idea on.

# %% [markdown]
# ## What else: missing and distorted data
# With a density over all pixels you can ask for some given others. In a mixture of factor
# analysers, Gaussians each with a few latent directions ([notebook
# 02](02_latent_variable_models.ipynb) builds it), the answer is exact:
# $p(\mathbf{x}_{\text{lower}}|\mathbf{x}_{\text{upper}})$ is a mixture of Gaussians again.
#
# **Predict.** The lower half of a digit is torn off. Rivals: the mean image, and the lower half of
# the training digit whose upper half is nearest; or the mean of the ten nearest. Which has the
# smallest error, and which looks best?


# %% jupyter={"source_hidden": true}
def blur(x: Tensor, width: float) -> Tensor:
    """Images (B, 784) smoothed by a Gaussian of this width in pixels, along rows and columns; from
    0 to 1.
    """
    at = torch.arange(28.0)
    kernel = torch.exp(-0.5 * ((at[:, None] - at) / width) ** 2)
    kernel = kernel / kernel.sum(-1, keepdim=True)
    return (kernel @ x.view(-1, 28, 28) @ kernel.T).flatten(1).clamp(0, 1)


# %%
NOISE_STD = 0.15  # in training: pixels that never vary would else be infinitely certain
filled_x = digits.train.x[:2000].float() / 255
whole = digits.test.x[:300].float() / 255
torch.manual_seed(0)
noisy_x = filled_x + NOISE_STD * torch.randn_like(filled_x)
mixture = MixtureOfFactorAnalysers(data_dim=784, latent_dim=15, components=20)
mixture.initialise(noisy_x)
for _ in progress(range(8), desc="EM steps"):
    mixture.em_step(noisy_x)

# %%
upper = torch.arange(784) < 392  # what is observed
near = torch.cdist(whole[:, upper], filled_x[:, upper]).topk(10, largest=False).indices
fillings = {
    "mean image": torch.where(upper, whole, filled_x.mean(0)),
    "nearest digit": torch.where(upper, whole, filled_x[near[:, 0]]),
    "ten nearest": torch.where(upper, whole, filled_x[near].mean(1)),
    "E[lower | upper]": mixture.complete(whole, upper).clamp(0, 1),
}
draws = [mixture.complete(whole, upper, draw=True).clamp(0, 1) for _ in range(2)]
missing = {name: ((x - whole) ** 2).sum(-1) for name, x in fillings.items()}


# %% jupyter={"source_hidden": true}
def more_than(ours: str, errors: dict[str, Tensor]) -> dict[str, intervals.Interval]:
    """By how much each rival's squared error is larger than ours, digit by digit."""
    return {
        name: intervals.of_mean(errors[name] - errors[ours], "digits", comparisons=6)
        for name in errors
        if name != ours
    }


def listed(gaps: dict[str, intervals.Interval]) -> str:
    return ", ".join(f"{name} {gap.said('+.1f')}" for name, gap in gaps.items())


filled_gaps = more_than("E[lower | upper]", missing)
names = [name.replace(" |", "\n|") for name in fillings]
least = min(missing, key=lambda name: missing[name].mean())
plot.show(
    plot.images(
        [x[:12] for x in (whole, whole * upper, *fillings.values(), *draws)],
        columns=12,
        titles=["test digits", "upper half", *names, "a draw", "another"],
    ),
    alt=(
        "Rows of twelve digits: whole; upper halves; completed by the mean image, by the nearest"
        " digit, by ten nearest, by the conditional mean; two speckled draws from the conditional."
    ),
    caption=(
        f"The row {least!r} has the smallest squared error, {missing[least].mean():.1f} a digit;"
        f" the nearest digit, which looks best, has {missing['nearest digit'].mean():.1f}."
    ),
)

# %% [markdown]
# The nearest digit looks best, since it is one, and its error is large: a sharp guess that is wrong
# is punished twice. Ten averaged neighbours are a hard rival: they too estimate the conditional
# mean, without a model.

# %% [markdown]
# **Denoising** is the same question with all pixels given, but each wrong:
# $\mathbb{E}[\mathbf{x}|\mathbf{x} + \text{noise}]$. The mixture was fitted to digits with noise of
# 0.15 added, so what it finds behind a noise of 0.5 is a digit with that little noise still in it.
# Given all of a pixel's noise, the little one is on average a share of $0.15^2 / 0.5^2$ of it.
# Subtract that, and the digit is left.
#
# **Predict.** The rivals are a blur, with the width that is best for these very digits, and the
# mean of the ten training digits nearest to the noisy one. Who wins?

# %% tags=["claim-4"]
torch.manual_seed(0)
distorted = whole + 0.5 * torch.randn_like(whole)
blurred = [blur(distorted, width) for width in (0.6, 0.8, 1.0, 1.2, 1.4)]
near = torch.cdist(distorted, filled_x).topk(10, largest=False).indices
# E[x + 0.15 noise | noisy x], and from it E[x | noisy x].
nearly = mixture.denoise(distorted, 0.5**2 - NOISE_STD**2)
share = NOISE_STD**2 / 0.5**2
cleaned = {
    "noisy": distorted,
    "blurred": min(blurred, key=lambda x: ((x - whole) ** 2).sum()),
    "ten nearest": filled_x[near].mean(1),
    "E[x | noisy x]": ((nearly - share * distorted) / (1 - share)).clamp(0, 1),
}
noise_left = {name: ((x - whole) ** 2).sum(-1) for name, x in cleaned.items()}

# %% jupyter={"source_hidden": true}
cleaned_gaps = more_than("E[x | noisy x]", noise_left)
rival = cleaned_gaps["ten nearest"]
measured["claim-4"] = (
    f"lower half filled in, squared error a digit {missing['E[lower | upper]'].mean():.1f}; rivals"
    f" have more by: {listed(filled_gaps)}. Noise of standard deviation 0.5 removed, error"
    f" {noise_left['E[x | noisy x]'].mean():.1f}; rivals have more by: {listed(cleaned_gaps)}"
    f" ({cleaned_gaps['noisy'].basis}, paired; one training)"
)
plot.measured(measured["claim-4"])
with_noise = ((nearly.clamp(0, 1) - whole) ** 2).sum(-1).mean()
plot.markdown(f"With the little noise left in, the error would be {with_noise:.1f}.")
plot.show(
    plot.images(
        [x[:12].clamp(0, 1) for x in (whole, *cleaned.values())],
        columns=12,
        titles=["test digits", *cleaned],
    ),
    alt=(
        "Rows of twelve digits: whole; with strong noise; blurred, the noise still in them as"
        " clouds; the mean of ten nearest training digits, soft; the conditional mean, cleaner,"
        " some of its digits misread."
    ),
    caption=(
        "The conditional mean leaves "
        + rival.verdict("a smaller error than", "a larger error than", "an error like that of")
        + " the mean of ten neighbours."
    ),
)

# %% [markdown]
# Neighbours answer both questions, too; what they lack is the probability. The density answers both
# by one rule, says how probable each completion is, and no one had trained it for either.

# %% [markdown]
# ## What else: images
# "What I cannot create, I do not understand": the lecture quotes Feynman. So draw. Call a drawn
# image *realistic* if it lies no farther from some digit than that digit's third neighbour, and a
# digit *covered* if it lies so near to a draw. **Predict.** What share of *real* digits is
# realistic? Of the VAE's draws?

# %% tags=["claim-5"]
torch.manual_seed(0)
m = n // 2
with torch.no_grad():
    drawn = {
        "other digits": test[m : 2 * m],
        "the VAE": vae.sample(m),
        "the mixture": (mixture.sample(m) > 0.5).float(),
        "pixels one by one": torch.bernoulli(test.mean(0).expand(m, -1)),
    }
shares = {}  # of the drawn that are realistic, of the digits that are covered
for name, x in drawn.items():
    shares[name] = [
        intervals.of_share(kind.sum(), m, "images", comparisons=2 * len(drawn))
        for kind in precision_and_recall(test[:m], x)
    ]

# %% jupyter={"source_hidden": true}
measured["claim-5"] = (
    "realistic and covered: "
    + ", ".join(f"{name} {a:.0%} and {b:.0%}" for name, (a, b) in shares.items())
    + f" ({shares['the VAE'][0].basis}, one training)"
)
plot.measured(measured["claim-5"])
plot.show(
    plot.images(
        [x[:14] for x in drawn.values()],
        columns=14,
        titles=[name.replace("pixels ", "pixels\n") for name in drawn],
    ),
    alt=(
        "Rows of fourteen images: other test digits; samples of the VAE, mostly like digits;"
        " samples of the mixture, rougher, with stray specks; pixels drawn one by one, a formless"
        " cloud."
    ),
    caption=(
        f"{shares['the VAE'][0].value:.0%} of the VAE's draws are realistic, none of those whose"
        " pixels are drawn one by one: dependencies among pixels are what makes a digit."
        if shares["pixels one by one"][0].value == 0
        else f"{shares['the VAE'][0].value:.0%} of the VAE's draws are realistic."
    ),
)

# %% [markdown]
# Read both numbers together: draws that lie far apart have a long reach, and cover much without
# being realistic.

# %% [markdown]
# ## What else: sequences
# A sequence is a product of conditionals, exactly, by the chain rule. Keep the last $n$ characters
# only:
#
# $$p(\mathbf{x}) = \prod_t p(x_t|x_1, \dots, x_{t-1}) \approx \prod_t p(x_t|x_{t-n}, \dots, x_{t-1})$$
#
# Each factor is counted: how often did this character follow these $n$? What was never seen falls
# back on $n - 1$ (Witten & Bell 1991). The text is one that every Python brings along, the prose of
# its own language reference.
#
# **Predict.** Four lines of the same 22 characters: English, two words swapped, two words misspelt,
# all of it backwards. Which mistake costs more?

# %%
text = python_manual()
counted = CharacterModel(order=8, alphabet=text.alphabet).fit(text.train)
models = [counted.shorter(order) for order in range(9)]
sentences = ["The value is returned.", "The is value returned."]
for sentence in [*sentences, "The vlaue is reutrned.", "denruter si eulav ehT"]:
    print(f"{sentence:24} log p = {models[4].log_prob(sentence):7.1f} nats")

# %% [markdown]
# Swapped words surprise only where they meet; a misspelt word, at nearly each of its letters. A sum
# of $\log p$ over characters knows nothing of grammar except through them.
#
# **Predict.** With growing $n$, what becomes of the bits per character on the text it counted? On
# text it did not? What do you see in the samples that the second curve does not say?

# %%
torch.manual_seed(0)
SAMPLES = 20  # of each model
samples = [
    [model.sample(220, start="\n")[1:] for _ in range(SAMPLES)]
    for model in progress(models, desc="samples")
]
seen = [model.bits_per_character(text.train) for model in models]
unseen_text = [model.bits_per_character(text.test) for model in models]

# %% tags=["claim-6"] jupyter={"source_hidden": true}
vocabulary = set(text.train.split())


def known_words(sample: str) -> float:
    """Percent of the words of a sample, without its last, that are words of the manual."""
    words = sample.split()[:-1]
    return 100 * sum(word in vocabulary for word in words) / len(words)


def copied(sample: str, length: int = 15) -> float:
    """Percent of the sample's stretches of this length that are in the training text as well."""
    starts = range(len(sample) - length)
    return 100 * sum(sample[i : i + length] in text.train for i in starts) / len(starts)


def of_samples(measure, order: int) -> str:
    each = [measure(sample) for sample in samples[order]]
    return f"{intervals.of_mean(each, 'samples', comparisons=6):.0f} %"


def bits(order: int) -> Tensor:
    """Bits per character on stretches of 1,000 characters of the held-out text."""
    each = -models[order].log_conditionals(text.test) / math.log(2)
    return each[: len(each) // 1000 * 1000].view(-1, 1000).mean(1)


best = min(range(9), key=lambda order: unseen_text[order])
fewer = {
    order: intervals.of_mean(bits(order) - bits(best), "stretches of 1,000 characters", 6)
    for order in (0, 8)
}
measured["claim-6"] = (
    f"{unseen_text[best]:.2f} bits per character at n = {best}, on {len(text.test):,} held-out"
    f" characters (a guess: {math.log2(len(text.alphabet)):.2f}); n = 0 needs"
    f" {fewer[0].said('+.2f')}, n = 8 {fewer[8].said('+.2f')} ({fewer[0].basis});"
    f" words that exist in {SAMPLES} samples of 220 characters:"
    f" {of_samples(known_words, 0)} at n = 0, {of_samples(known_words, best)} at n = {best};"
    f" copied: {of_samples(copied, best)} at n = {best}, {of_samples(copied, 8)} at n = 8"
)
plot.measured(measured["claim-6"])

# %% jupyter={"source_hidden": true}
order_slider = widgets.IntSlider(best, 0, 8, description="n", continuous_update=True)
written = widgets.HTML()


def show_sample(_=None):
    order, look = order_slider.value, "font-family: serif; font-size: 110%; min-height: 7em"
    sample = samples[order][0]
    written.value = (
        f'<p style="max-width: 45em; {look}">{escape(sample)}</p><p>{unseen_text[order]:.2f} bits'
        f" per held-out character; {known_words(sample):.0f} % of the words exist;"
        f" {copied(sample):.0f} % of its 15-character stretches are copied.</p>"
    )


order_slider.observe(show_sample, "value")
show_sample()
widgets.VBox([order_slider, written])

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.5))
ax.plot(range(9), seen, "s--", color=NOISE, label="the text it counted", ms=5)
ax.plot(range(9), unseen_text, "o-", color=MODEL, label="held-out text", ms=5)
ax.set(xlabel="n, characters it remembers", ylabel="bits per character", ylim=(0, 5))
ax.legend()
plot.show(
    fig,
    alt=(
        "Bits per character against n: on the counted text they fall all the way, on held-out text"
        f" they fall to a minimum at n = {best} and rise again."
    ),
    caption=(
        f"Beyond n = {best} the model learns the manual by heart: at n = 8 it needs {seen[8]:.2f}"
        f" bits where it counted, {unseen_text[8]:.2f} where it did not."
    ),
)
rows = []
for order in (0, 1, 2, 3, best, 8):
    begins = samples[order][0][:90].strip().translate({10: " ", ord("|"): "/", ord("`"): None})
    words, quoted = ([f(s) for s in samples[order]] for f in (known_words, copied))
    measures = f"{mean_and_error(words, '.0f')} % | {mean_and_error(quoted, '.0f')} %"
    rows.append(f"| {order} | `{begins}` | {measures} |")
plot.markdown(
    "| n | a sample begins | words that exist | copied |",
    "|--:|:--|--:|--:|",
    *rows,
    "",
    f"*Shares: of {SAMPLES} samples, with standard errors; copied: stretches of 15 characters.*",
)

# %% [markdown]
# The samples read better and better, the held-out bits do not: what a long memory adds is more and
# more quotation (the last column). **Judge a generative model by held-out likelihood *and* by its
# samples.** And what no $n$ mends: nothing holds a sentence together over more than $n$ characters.
# A latent variable could (notebook 13).

# %% [markdown]
# ## How to formulate $p(\mathbf{x})$? All dependencies among pixels
# So a density is worth having. The most direct way to write one: for each group $c$ of pixels that
# depend on each other a positive function, a *potential*, and their product:
#
# $$p(\mathbf{x}) = \frac1Z \prod_c \psi_c(\mathbf{x}_c), \qquad Z = \sum_{\mathbf{x}} \prod_c \psi_c(\mathbf{x}_c)$$
#
# Read aloud: each group votes for the values it likes; $Z$ makes probabilities of the votes. The
# smallest interesting case is the **Ising grid**: pixels are 0 or 1, groups are pairs of
# neighbours, and $\psi = e^{J}$ if they are equal, $e^{-J}$ if not. The product takes microseconds.
# $Z$ is a sum over all images.
#
# **Predict.** On a machine that sums a million images in a second, how long does $Z$ take for 28 x
# 28 binary pixels: days, years, ages of the universe?

# %%
shapes = [(4, 4), (3, 6), (4, 5), (3, 7), (2, 11)]
IsingGrid(2, 7).log_partition()  # the first call of anything is slow
timings = []  # (rounds, shapes), seconds of this process's own time
for _ in progress(range(5), desc="log Z"):
    row = []
    for h, w in shapes:
        began = time.process_time()
        IsingGrid(h, w, coupling=0.4).log_partition()
        row.append(time.process_time() - began)
    timings.append(row)

pixels, timings = np.array([h * w for h, w in shapes]), np.array(timings)
# An image's own work grows with its pixels, too: seconds for each pixel of it.
growth = [np.exp(np.polyfit(pixels, np.log(row / pixels), 1)[0]) for row in timings]

# %% jupyter={"source_hidden": true}
growth = intervals.of_mean(growth, "rounds of timings", comparisons=4)
seconds = timings.min(0)
each = seconds / (pixels * 2.0**pixels)  # for a pixel of an image, whatever the grid
YEAR, UNIVERSE = 3.156e7, 1.38e10  # seconds; years, the age of the universe
years = math.log10(784) + 784 * math.log10(2) + math.log10(each[-1] / YEAR)  # log10

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.6))
line = np.arange(12, 41)
ax.plot(pixels, seconds, "o", color=MODEL, label="measured")
label = f"{1e9 * each[-1]:.1f} ns x pixels x $2^{{\\mathrm{{pixels}}}}$"
ax.plot(line, line * 2.0**line * each[-1], "--", color=POSTERIOR, label=label)
for height, word in ((1, "a second"), (3600, "an hour"), (YEAR / 52, "a week")):
    ax.axhline(height, color=NOISE, linewidth=0.6)
    ax.text(12, height * 1.25, word, color="#555555", fontsize=8)
ax.set(yscale="log", xlabel="pixels", ylabel="seconds for log Z", xlim=(11, 40))
ax.legend(loc="lower right")
plot.show(
    fig,
    alt=(
        "Time for log Z against the number of pixels, on a logarithmic axis: points on a straight"
        f" line, extended to 40 pixels. Each pixel of each image takes {1e9 * each.min():.1f} to"
        f" {1e9 * each.max():.1f} ns."
    ),
    caption=(
        f"Each pixel doubles the images. At that pace the 784 pixels of a digit take 10 to the"
        f" power {years:.0f} years; the universe has lasted 10 to the power"
        f" {math.log10(UNIVERSE):.0f}."
    ),
)

# %% [markdown]
# ### The honest remark
# "Hopeless" is too quick. A grid of *neighbours* can be summed pixel by pixel: once a pixel has met
# its neighbour to the right and the one below, it can be summed out. At any time only one row of
# pixels is undecided, $2^{28}$ states and not $2^{784}$.


# %% jupyter={"source_hidden": true}
def log_partition_by_pixel(height: int, width: int, J: float) -> float:
    """log Z of the grid, from the log-weights of all 2^width states of the last row."""
    v = torch.zeros(2**width)
    pair = J * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])  # log psi of two neighbours
    for row in range(height):
        for column in range(width):
            if row:  # sum over the pixel above; the new one takes its place
                above = v.view(2**column, 1, 2, -1)
                v = torch.logsumexp(above + pair[None, :, :, None], 2)
            if column:  # meet the pixel at the left
                v = v.view(2 ** (column - 1), 2, 2, -1) + pair[None, :, :, None]
    return torch.logsumexp(v.flatten(), 0).item()


# %%
COLUMNS = 14
by_enumeration = IsingGrid(4, 5, 0.4).log_partition().item()
agree = abs(log_partition_by_pixel(4, 5, 0.4) - by_enumeration)
took = []
for _ in range(5):
    began = time.process_time()
    log_partition_by_pixel(28, COLUMNS, 0.4)
    took.append(time.process_time() - began)
# Each further column doubles the states.
hours = min(took) * 2 ** (28 - COLUMNS) * 28 / COLUMNS / 3600

# %% jupyter={"source_hidden": true}
plot.markdown(
    f"It gives the same $\\log Z$ (4 x 5 pixels: to {agree:.0e} nats). 28 rows of {COLUMNS} pixels"
    f" take {min(took):.2f} s and each further column doubles that, so 28 x 28 would take about"
    f" **{hours:.1f} hours** and {2**28 * 8 / 1e9:.0f} GB of memory. Neighbours only is not"
    " hopeless. A potential for *each pair* of pixels is: no pixel is ever done with, all 784 stay"
    " undecided. That is the lecture's case, *all* dependencies."
)

# %% [markdown]
# ## Exercise 3: a pixel, given all the others (5 minutes)
# To *draw* from such a model you don't need $Z$. Fix all pixels but one: only two images are left,
# and in the ratio of their probabilities $Z$ cancels,
#
# $$p(x_i = 1|\mathbf{x}_{\text{others}}) = \frac{\psi(\mathbf{x}^{\text{on}})}{\psi(\mathbf{x}^{\text{on}}) + \psi(\mathbf{x}^{\text{off}})}
#   = \mathrm{sigmoid}\!\left(\log \psi(\mathbf{x}^{\text{on}}) - \log \psi(\mathbf{x}^{\text{off}})\right), \qquad \psi = \prod_c \psi_c .$$
#
# `log_potential(x)` gives $\log \psi$, `(B,)`. Write it for any potential, not only the grid's.


# %% tags=["exercise"]
def pixel_given_rest(x: Tensor, i: int, log_potential) -> Tensor:
    """The probability that pixel i is 1, given the other pixels of x.

    x: (B, D), zeros and ones.  Returns: (B,).
    """
    ### BEGIN SOLUTION
    on, off = x.clone(), x.clone()
    on[:, i], off[:, i] = 1, 0
    return torch.sigmoid(log_potential(on) - log_potential(off))
    ### END SOLUTION


# %% tags=["exercise-check"]
pixel_given_rest = check.pixel_given_rest(pixel_given_rest)
# check.pixel_given_rest.hint()

# %% [markdown]
# Drawing each pixel in turn from this conditional, over and over, is **Gibbs sampling** (Geman &
# Geman 1984): a Markov chain whose draws come to follow $p(\mathbf{x})$. On nine pixels you can
# hold it against the exact model:

# %%
small = IsingGrid(3, 3, coupling=0.4)
torch.manual_seed(0)
x = torch.bernoulli(torch.full((2000, 9), 0.5))  # 2,000 chains, begun with coins
for _ in range(20):
    for i in range(9):
        x[:, i] = torch.bernoulli(pixel_given_rest(x, i, small.log_potential))
exact_draws = small.sample((20_000,))
by_chain, exactly = ((a[:, 0] == a[:, 8]).float() for a in (x, exact_draws))
apart = intervals.of_difference(by_chain, exactly, "chains")
plot.markdown(
    f"Opposite corners are equal in {by_chain.mean():.1%} of {len(x):,} chains, in"
    f" {exactly.mean():.1%} of {len(exact_draws):,} exact draws; the difference:"
    f" {apart.said('+.1%')} (coins: 50 %)."
)

# %% [markdown]
# ## How long does the chain take?
# A draw depends on the draw before. At coupling 0 the pixels are coins; at a large one all are
# equal. An infinite grid begins to order at $J = \frac12\log(1 + \sqrt2) \approx 0.44$ (Onsager
# 1944).
#
# Three things to try: at 0.2, how many sweeps until nothing reminds of the start? Near 0.44, press
# *another start* several times: how different are the pictures? At 0.7, in how many of ten starts
# has one colour won after 200 sweeps?


# %%
def chain(coupling: float, seed: int = 0, side: int = 40, sweeps: int = 200):
    """The grid after so many sweeps from a start of coins, and the magnetisation after
    each, from -1 to 1.
    """
    field, magnetisation = IsingGrid(side, side, coupling), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.bernoulli(torch.full((side * side,), 0.5))
        for _ in range(sweeps):
            x = field.gibbs(x)
            magnetisation.append(2 * x.mean().item() - 1)
    return x.view(side, side), magnetisation


# %% jupyter={"source_hidden": true}
def draw_chains(*couplings: float, seed: int = 0) -> plt.Figure:
    rows = len(couplings)
    fig, axes = plt.subplots(
        rows, 2, figsize=(plot.WIDTH, 0.5 + 1.7 * rows), width_ratios=(1, 2.6), squeeze=False
    )
    for (left, right), coupling in zip(axes, couplings, strict=True):
        x, magnetisation = chain(coupling, seed)
        left.imshow(x, vmin=0, vmax=1)
        left.set_axis_off()
        right.plot(magnetisation, color=MODEL)
        right.axhline(0, color=NOISE, linewidth=0.6)
        right.set(ylim=(-1.05, 1.05), ylabel="magnetisation", title=f"J = {coupling:.2f}")
    axes[-1, 1].set_xlabel("sweeps over all pixels")
    return fig


show_widget(
    slider_figure(
        lambda coupling, seed: draw_chains(coupling, seed=seed),
        coupling=(0.0, 0.8, 0.02, 0.44),
        seed="another start",
        alt=(
            "A grid of black and white pixels drawn by Gibbs sampling, and its magnetisation"
            " against the sweeps."
        ),
    ),
    draw_chains(0.2, 0.44, 0.7),
    alt=(
        "Three grids of 40 x 40 pixels after 200 sweeps, with their magnetisation against the"
        " sweeps: at a weak coupling noise about 0; near the critical one patches of all sizes and"
        " slow wandering; at a strong one large areas of one colour."
    ),
    caption=(
        "Near the critical coupling the magnetisation wanders; at a strong one black and white can"
        " stand still beside each other."
    ),
)

# %% [markdown]
# The **integrated autocorrelation time** $\tau = 1 + 2\sum_k \rho_k$ counts it: of $T$ sweeps only
# $T/\tau$ are worth an independent draw, where $\rho_k$ is the correlation of the magnetisation's
# size $|m|$ with itself $k$ sweeps later.
#
# **Predict.** Take nine couplings from 0.1 to 0.6. At which does the chain forget most slowly, and
# how many sweeps is it then? Beyond, will a chain still change from mostly black to mostly white?


# %%
def autocorrelation_time(series: Tensor) -> Tensor:
    """tau of each chain of (T, chains), in sweeps; the sum stops at 5 tau, beyond which
    it is noise (Sokal).
    """
    centred = series - series.mean(0)
    power = torch.fft.rfft(centred, 2 * len(series), dim=0).abs() ** 2
    rho = torch.fft.irfft(power, dim=0)[: len(series)]
    tau = 2 * (rho / rho[0]).cumsum(0) - 1
    window = (torch.arange(len(series))[:, None] >= 5 * tau).int().argmax(0)
    return tau.gather(0, window[None])[0]


# %%
couplings = [0.1, 0.2, 0.3, 0.36, 0.4, 0.44, 0.48, 0.54, 0.6]
CHAINS, SIDE = 16, 20  # chains for each coupling; pixels across
chains = IsingGrid(SIDE, SIDE, torch.tensor(couplings).repeat_interleave(CHAINS))
torch.manual_seed(0)
x = torch.ones(len(couplings) * CHAINS, SIDE * SIDE)
traces = torch.empty(2000, len(x))
for trace in progress(traces, desc="sweeps"):
    x = chains.gibbs(x)
    trace[:] = 2 * x.mean(-1) - 1  # the magnetisation of each chain

# %% tags=["claim-7"] jupyter={"source_hidden": true}
traces = traces[300:]
tau = autocorrelation_time(traces.abs()).view(-1, CHAINS)
crossed = (traces.sign() != traces[0].sign()).any(0).float().view(-1, CHAINS).mean(1)
slowest = int(tau.mean(1).argmax())
quick, slow = (intervals.of_mean(tau[i], "chains", comparisons=4) for i in (0, slowest))
changed = intervals.of_share(round(CHAINS * crossed[-1].item()), CHAINS, "chains", comparisons=4)
measured["claim-7"] = (
    f"log Z by enumeration takes {growth:.2f} times as long for each further pixel ({len(pixels)}"
    f" grids, {growth.n} {growth.of}), for 28 x 28 10 to the power {years:.0f} years; of neighbours"
    f" only, pixel by pixel, about {hours:.1f} hours. Gibbs sampling of {SIDE} x {SIDE} pixels"
    f" needs {quick:.1f} sweeps for an independent draw at J = {couplings[0]}, {slow:.0f} at J ="
    f" {couplings[slowest]}; at J = {couplings[-1]} {changed:.0%} of the chains ever change colour"
    f" in {len(traces):,} sweeps ({slow.basis})"
)
plot.measured(measured["claim-7"])

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
left.errorbar(
    couplings, tau.mean(1), tau.std(1) / CHAINS**0.5, fmt="o-", color=MODEL, capsize=3, ms=5
)
left.axvline(IsingGrid.CRITICAL, color=NOISE, linestyle=":")
left.text(IsingGrid.CRITICAL - 0.01, 1.1, "critical", color="#555555", rotation=90, ha="right")
left.set(xlabel="coupling J", ylabel="sweeps per independent |m|", yscale="log")
right.plot(couplings, 100 * crossed, "s-", color=POSTERIOR, ms=5)
right.axvline(IsingGrid.CRITICAL, color=NOISE, linestyle=":")
right.set(xlabel="coupling J", ylabel="chains that changed colour, %", ylim=(-3, 103))
plot.show(
    fig,
    alt=(
        "Left: the autocorrelation time, mean and standard error over the chains, rises to a peak"
        " near the critical coupling and falls beyond it. Right: the share of chains that changed"
        " from mostly black to mostly white falls from all to none beyond the critical coupling."
    ),
    caption=(
        f"Slowest at J = {couplings[slowest]}. Beyond, |m| is quick again, but only because each"
        " chain stays in its own half: half of the probability is never visited."
    ),
)

# %% [markdown]
# Near the critical coupling patches of every size form, and a sampler that turns one pixel at a
# time can move a patch only along its border. (The peak lies a little above 0.44: pixels at an edge
# have fewer neighbours, and a small grid orders later than an infinite one.) Beyond it one colour
# wins, and to turn all of it the chain would have to pass through images that are far less probable
# than either.

# %% [markdown]
# So the product of potentials is easy to write and expensive to use: likelihoods need $Z$, draws
# need a chain that may forget slowly or never. It is the price of writing down dependencies
# *between pixels*. **Latent variable models** pay less: let a few hidden numbers explain why the
# pixels go together, and the pixels can be independent given these.

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    1: "a classifier can be certain about an object unlike anything seen; $p(x, y)$ tells the"
    " difference",
    2: "without $p(x)$ one can't say how a decision carries over to new data",
    3: "unlabelled data make a better classifier",
    4: "a model of x fills in missing and cleans distorted data",
    5: "it generates images",
    6: "it generates sequences",
    7: "modelling all dependencies among pixels by potentials is very inefficient",
}
plot.claims_table(claims, measured)

# %% [markdown]
# ## For and against
# **For.** One model answers questions nobody trained it for: is this usual, what is missing here,
# what was it without the noise, show me another. It learns from what has no label. It can often
# tell that the data have changed.
#
# **Against.** A density in high dimensions is no measure of strangeness by itself. It helps a
# classifier only as far as it is right: a wrong model makes unlabelled data harmful. It spends its
# capacity on all of $\mathbf{x}$, also on what no decision needs. And writing one down, so that it
# can be computed, is the problem the rest of the course is about.

# %% [markdown]
# ## Questions
# <details><summary>Does it help to add a class "none of these" to the classifier?</summary>
#
# It helps against strangers like those you train it with. To train it you need examples of
# everything else, which is to say a model of what is *not* a digit. </details>
#
# <details><summary>The joint model's own p(y|x) was certain far away from the data. Why? It has a density.</summary>
#
# $p(y|\mathbf{x})$ is a ratio of two densities. Both are tiny there, but one is many powers of ten
# tinier: the ratio doesn't know how small its parts are. </details>
#
# <details><summary>You measure length in millimetres instead of metres. What happens to log p(x), and to your threshold?</summary>
#
# If $\mathbf{x}$ has $D$ coordinates, each stretched by 1000, the log-density is lower by $D \log 1000$. Comparisons
# within one unit stay; a threshold has to move along. Bend the space, take $\log x_1$ for a coordinate, and
# even the *order* changes: another reason not to trust the level alone. </details>
#
# <details><summary>You may have ten digits labelled, of your choice. What does p(x) tell you about which?</summary>
#
# Take those that stand for many others: one from the middle of each cluster. Later take what the
# model is least sure of. That is active learning; a classifier alone can do the second, and easily
# spends its labels on oddities. </details>
#
# <details><summary>Why did Gibbs sampling look fast at J = 0.6?</summary>
#
# Each chain equilibrated quickly within its own half, mostly black. The other half, as probable by
# symmetry, was never visited: a chain can't report what it has not seen. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Do we need generative
#   modeling?" to "How to formulate a generative model?".
# - E. Nalisnick et al., *Do Deep Generative Models Know What They Don't Know?*, ICLR 2019;
#   *Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality*, 2019.
# - E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, *Comparing the Areas under Two or More
#   Correlated Receiver Operating Characteristic Curves*, Biometrics 1988.
# - M. Hein, M. Andriushchenko, J. Bitterwolf, *Why ReLU Networks Yield High-Confidence Predictions
#   Far Away from the Training Data*, CVPR 2019.
# - K. Nigam, A. McCallum, S. Thrun, T. Mitchell, *Text Classification from Labeled and Unlabeled
#   Documents Using EM*, 2000.
# - Z. Ghahramani, G. E. Hinton, *The EM Algorithm for Mixtures of Factor Analyzers*, 1996.
# - T. Kynkäänniemi et al., *Improved Precision and Recall Metric for Assessing Generative Models*,
#   NeurIPS 2019.
# - A. Y. Ng, M. I. Jordan, *On Discriminative vs. Generative Classifiers*, NeurIPS 2001.
# - I. H. Witten, T. C. Bell, *The Zero-Frequency Problem*, IEEE Trans. Information Theory 37, 1991.
# - S. Geman, D. Geman, *Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of
#   Images*, 1984. L. Onsager, *Crystal Statistics I*, 1944. A. Sokal, *Monte Carlo Methods in
#   Statistical Mechanics*, 1997: autocorrelation times.
#
# Next: [02, what does a hidden cause buy?](02_latent_variable_models.ipynb)
