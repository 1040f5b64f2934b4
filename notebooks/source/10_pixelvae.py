# ---
# jupyter:
#   dgmcourse:
#     part: A better bound
#     question: Can pixels know of each other?
#     about: "a better decoder: masked convolutions, a digit drawn pixel by pixel at a thirtieth of
#       the usual cost, and what is left to the code"
#     slides: Improving the decoder
#     minutes: 70
#     weights: {pixelvae: PixelVAE, gated_pixelcnn: PixelCNN}
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
# # PixelVAE: a decoder that looks at what it has drawn
# *70 minutes, about 15 of them for three exercises. Slides: "Improving the decoder". You need the
# VAE and its bound ([notebook 07](07_vae.ipynb)) and to know what a convolution is.*
#
# Give the pad the upper half of a digit, press *Complete*, and watch the other half being written
# pixel by pixel. Each pixel is drawn after a look at those above it and to its left. The decoder of
# a plain VAE never looks: it decides on all 784 pixels at once. **What does it miss, and what is
# left for the code $\mathbf{z}$ to say once pixels may look at one another?**
#
# Three things to try:
#
# 1. Complete the same half several times. Which halves leave a choice of digit, which don't?
# 2. Keep 0 rows. Then nothing is given, and the model writes something of its own. Does it become a
#    digit?
# 3. Draw something that is no digit, with mouse or with arrow keys and space. How does it get out
#    of that?

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
from torch import Tensor, nn

from dgmcourse import intervals, plot, recipes
from dgmcourse.data.images import mnist
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.pixels import pixel_writer, reach_explorer, reach_picture

torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine
digits = mnist("dynamic")  # training: binarised anew at every visit; test: once
test, labels = digits.test[:1000].tensor(), digits.test.y[:1000]
plain, gated = recipes.load("pixelcnn"), recipes.load("gated_pixelcnn")
torch.manual_seed(0)
upper = torch.arange(784) < 14 * 28
given = torch.where(upper, test[:10], torch.tensor(0.15))
completed = gated.sample((3, 10), x=test[:10], known=upper)
differ = (completed[0] != completed[1]).float().sum(-1).mean().item()
show_widget(
    pixel_writer({"gated PixelCNN": gated, "PixelCNN": plain}, test[:12], rows=14),
    plot.images(
        [given, *completed, test[:10]],
        titles=["given", "completed", "again", "and again", "the digit"],
    ),
    alt=(
        "Five rows of ten pictures: the upper halves of ten test digits over grey paper; three"
        " completions of each by the gated PixelCNN, strokes that go on from where they were cut;"
        " and the whole digits."
    ),
    caption=(
        f"Two completions of the same half differ in {differ:.0f} of {784 - 14 * 28} pixels, on"
        " average over ten digits."
    ),
)

# %% [markdown]
# Afterwards you can say what a decoder of independent pixels can't do, in nats; write the mask that
# makes a network autoregressive; draw from it for a small part of what it costs by the book; and
# tell what is left in $\mathbf{z}$ when the decoder needs it less.

# %% [markdown]
# ## The question
# The VAE of notebook 07 ends in a probability for each of the $D = 784$ pixels $x_i$. Given the
# code, the pixels are independent:
#
# $$p(\mathbf{x}|\mathbf{z}) = \prod_{i=1}^D p(x_i|\mathbf{z})$$
#
# Read aloud: once $\mathbf{z}$ is known, no pixel tells you anything about another. All that pixels
# have in common must pass through $\mathbf{z}$. The lecture's words: *dependency only on
# $\mathbf{z}$, missing correlations.*
#
# Is anything missing? Take a test digit, a code for it, and draw several images **from that one
# code**. **Predict.** What will differ between the draws of a plain VAE? And between those of a
# **PixelVAE**, a VAE whose pixels look at one another? (How it is made comes later.)

# %% jupyter={"source_hidden": true}
import time
from functools import partial

import numpy as np
import torch.nn.functional as F

from dgmcourse import evaluate
from dgmcourse.check import pixelvae as check
from dgmcourse.data.images import Data
from dgmcourse.densities import kl
from dgmcourse.evaluate import active_units
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.pixelcnn import PixelCNN, PixelNet
from dgmcourse.models.pixelvae import free_bits
from dgmcourse.networks import MaskedConv2d, initialise
from dgmcourse.plot import (
    MODEL,
    NOISE,
    POSTERIOR,
    PRIOR,
    mean_and_error,
    plt,
    progress,
    standard_error,
)
from dgmcourse.studies import pixels_against_code
from dgmcourse.train import best_device, fit
from dgmcourse.weights import build
from dgmcourse.widgets.figure import slider_figure

# The features of a thousand images need too much memory: 40 at a time.
in_parts = partial(evaluate.in_parts, rows=40)


# %%
vae = recipes.load("vae_40d")  # 40 latent dimensions
pixelvae = recipes.load("pixelvae")  # 16
both = {"VAE": vae, "PixelVAE": pixelvae}
DEVICE = best_device()
measured = {}  # claim -> what you found, for the table at the end

torch.manual_seed(0)
chosen = test[:6]  # six digits, a code for each, and 200 draws from each code
codes = {name: model.encoder(chosen).rsample().detach() for name, model in both.items()}
draws = {
    name: torch.cat([model.decoder(codes[name]).sample((20,)) for _ in range(10)])
    for name, model in both.items()
}


def draw_again(model):
    """A function of digits: a code for each, and one draw from it."""
    return lambda x: model.decoder(model.encoder(x).rsample()).sample()


redrawn = {name: in_parts(draw_again(both[name]), test[:300]) for name in both}


# %% jupyter={"source_hidden": true}
def lone(x: Tensor) -> Tensor:
    """The number of pixels in each image (N, 784) that differ from all four next to them: (N,)."""
    x = x.reshape(-1, 1, 28, 28)
    cross = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None]
    return (F.conv2d(F.pad(x, (1, 1, 1, 1)), cross) == 4 * (1 - x)).float().sum((1, 2, 3))


pick = [0, 1, 3]
specks = {
    "a test digit": lone(test[:300]),
    "a draw of the VAE": lone(redrawn["VAE"]),
    "one of the PixelVAE": lone(redrawn["PixelVAE"]),
}
blocks = [torch.cat([chosen[i : i + 1], draws[name][:9, i]]) for i in pick for name in draws]
plot.show(
    plot.images(blocks, titles=[name for _ in pick for name in draws]),
    alt=(
        "Six rows of ten digits, in pairs: a test digit and nine draws from one code for it, first"
        " the VAE's, then the PixelVAE's. The VAE's nine have the same shape, with specks and gaps;"
        " the PixelVAE's have fewer of them, and differ in their strokes, some so far that they are"
        " another digit."
    ),
    caption=(
        "First column: test digits; then nine draws from one code for each. A draw of the VAE has"
        f" {specks['a draw of the VAE'].mean():.1f} pixels that differ from all four beside them,"
        f" one of the PixelVAE {specks['one of the PixelVAE'].mean():.1f}."
    ),
)
plot.on_request(
    "Lone pixels",
    "| | pixels that differ from all four beside them |",
    "|:--|--:|",
    *(f"| {words} | {mean_and_error(count, '.2f')} |" for words, count in specks.items()),
    "",
    f"Mean and standard error over {len(redrawn['VAE'])} digits, one draw each.",
)

# %% [markdown]
# The VAE's pixels toss their coins separately: where the decoder says one half, a pixel is ink and
# its neighbour is not, at random. That leaves specks and gaps (the counts under the picture). The
# PixelVAE's pixel knows what its neighbour has just become. Its draws differ in another way: whole
# strokes come out otherwise, now and then the digit itself.
#
# Put a number on it. What draws from one code have in common beyond the pixels' own averages is
# their **total correlation**, the sum of the pixels' entropies minus the entropy of the image:
#
# $$\mathrm{TC}(\mathbf{z}) = \sum_{i} H[x_i|\mathbf{z}] - H[\mathbf{x}|\mathbf{z}] \;\ge\; 0$$
#
# Read aloud: how many nats you would pay too much if you described the image pixel by pixel, each
# without regard to the others. For a factorised decoder it is 0, whatever its weights.
#
# But do *real* digits need it? Take a digit's residual, the pixels minus their probabilities. Under
# the right $p(\mathbf{x}|\mathbf{z})$, at codes from its posterior, neighbouring residuals don't
# correlate. **Predict** the correlation for the two models, and for a code that says everything:
# the grey picture that these digits were binarised from.


# %% jupyter={"source_hidden": true}
def entropy(p: Tensor) -> Tensor:
    """Of a coin with probability p, nats."""
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))


def neighbours(residual: Tensor) -> Tensor:
    """Correlation of the residuals (N, 784) of pixels side by side: (20,), one for each group of
    digits.
    """
    r = residual.unflatten(-1, (28, 28))
    a, b = r[..., :-1].reshape(20, -1), r[..., 1:].reshape(20, -1)
    return (a * b).sum(1) / ((a**2).sum(1) * (b**2).sum(1)).sqrt()


def residual(x: Tensor) -> Tensor:
    """What the VAE leaves of digits, each at a code of its own."""
    return x - vae.decoder(vae.encoder(x).rsample()).mean


def pixel_residual(x: Tensor) -> Tensor:
    """The same for the PixelVAE, whose means depend on the pixels before."""
    q = pixelvae.encoder(x)
    return x - torch.sigmoid(pixelvae.decoder(q.rsample()).logits(x))


# %% tags=["claim-30"]
with torch.no_grad():
    p = pixelvae.decoder(codes["PixelVAE"])
    # Of each pixel, given z and those before it: (200, 6, 784).
    logits = in_parts(p.logits, draws["PixelVAE"], rows=4)
    # Minus the image's entropy given z: (6,).
    log_p = in_parts(p.log_prob, draws["PixelVAE"], rows=4).mean(0)
    total_correlation = entropy(torch.sigmoid(logits).mean(0)).sum(-1) + log_p

x = test[: len(test) // 20 * 20]
left_over = {
    "VAE": neighbours(in_parts(residual, x)),
    "PixelVAE": neighbours(in_parts(pixel_residual, x)),
}
from_grey = neighbours(x - digits.test.x[: len(x)].float() / 255)

# %% jupyter={"source_hidden": true}
of_groups = f"groups of {len(x) // 20} digits"
by_vae, by_pixelvae = (intervals.of_mean(each, of_groups, 2) for each in left_over.values())
shared_nats = intervals.of_mean(total_correlation, "codes")
measured["claim-30"] = (
    "residuals of neighbouring pixels in test digits correlate by"
    f" {by_vae:.3f} under the VAE (its decoder says 0) and by {by_pixelvae:.3f} under the PixelVAE"
    f" ({by_vae.basis}; one training each). Given one code, a PixelVAE's draws have a total"
    f" correlation of {shared_nats:.0f} nats ({shared_nats.basis}, {len(logits)} draws each),"
    " a VAE's 0"
)
plot.measured(measured["claim-30"])
plot.markdown(
    "Given the grey picture residuals correlate by"
    f" {intervals.of_mean(from_grey, of_groups).said('.3f')}."
)

# %% [markdown]
# What a factorised decoder leaves of a digit is not noise: it has structure that the VAE's codes
# don't carry. (A code as rich as the grey picture would leave none: given
# that, these pixels were tossed separately.) The autoregressive decoder leaves far less behind.
#
# A total correlation above 0 is no merit in itself. It says how much the decoder decides *on its
# own*, given $\mathbf{z}$. Keep that in mind for the tug-of-war below.

# %% [markdown]
# ## The chain rule, pixel by pixel
# No distribution needs independent pixels. Number them in the order of reading, line by line, and
# take the product rule:
#
# $$p(\mathbf{x}|\mathbf{z}) = p(x_1|\mathbf{z}) \prod_{i=2}^{D} p(x_i|x_1, \dots, x_{i-1}, \mathbf{z})$$
#
# Read aloud: draw the first pixel, then each next one given all you have drawn. Nothing is assumed
# and nothing approximated; only the order is a choice. Without $\mathbf{z}$ it is a model
# $p(\mathbf{x})$ of its own, with an exact likelihood: no bound, no encoder.
#
# A network for each of 784 conditionals would be absurd. **One** convolutional network gives all
# 784 logits, if its output at pixel $i$ is forbidden to see pixel $i$ and what comes after. That is
# what masks are for.

# %% [markdown]
# ## Exercise 1: the mask (5 minutes)
# A convolution looks at a square of pixels around its place. Multiply its kernel by a mask of zeros
# and ones: 1 where a pixel comes *before* the centre in the order of reading. That is kind **A**,
# for the first layer, which sees pixels.
#
# Deeper layers see features. The feature at a pixel's place was made from pixels before it, so a
# deeper layer may use its own place, too: kind **B** has a 1 at the centre.


# %% tags=["exercise"]
def mask(size: int, kind: str) -> Tensor:
    """Where a masked convolution may look: (size, size), of 0 and 1, mask[row, column].

    size: odd.  kind: "A" (the centre is closed) or "B" (the centre is open).
    """
    ### BEGIN SOLUTION
    result, centre = torch.zeros(size, size), size // 2
    result[:centre] = 1
    result[centre, :centre] = 1
    if kind == "B":
        result[centre, centre] = 1
    return result
    ### END SOLUTION


# %% tags=["exercise-check"]
mask = check.mask(mask)
# check.mask.hint()

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.3))
for ax, (size, kind) in zip(axes, ((7, "A"), (3, "B"), (5, "B")), strict=True):
    shown = torch.as_tensor(mask(size, kind)).float()
    ax.imshow(1 - 0.75 * shown, cmap="Blues_r", vmin=0, vmax=1)
    ax.text(
        size // 2,
        size // 2,
        kind,
        ha="center",
        va="center",
        color="white" if kind == "B" else "black",
        weight="bold",
    )
    ax.set(title=f"kind {kind}, size {size}", xticks=[], yticks=[])
    ax.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white")
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
plot.show(
    fig,
    alt=(
        "Three kernels: size 7 of kind A, sizes 3 and 5 of kind B. Dark cells, which may be seen,"
        " fill the rows above the centre and the cells to the left of it; the centre itself is dark"
        " in kind B only."
    ),
    caption=(
        f"Dark: open. At size 7 kind A opens {int(torch.as_tensor(mask(7, 'A')).sum())} of 49"
        " places: half of a kernel's places lie behind its centre. The first two are the layers of"
        " the network you will train."
    ),
)

# %% [markdown]
# ## Exercise 2: the log-likelihood (5 minutes)
# With masks in place one pass gives all the logits, a row for each image, each logit computed
# from the pixels before it alone. The log of the product is a sum:
#
# $$\log p(\mathbf{x}) = \sum_{i=1}^{D} \left[x_i \log p_i + (1 - x_i) \log(1 - p_i)\right], \qquad
#   p_i = \mathrm{sigmoid}(l_i)$$
#
# Read aloud: each pixel earns the log-probability of the value it has. Work on the logits $l_i$:
# $\log p_i$ is `F.logsigmoid(l)`, and $\log(1 - p_i)$ is `F.logsigmoid(-l)`.


# %% tags=["exercise"]
def log_prob(x: Tensor, net) -> Tensor:
    """log p(x) under an autoregressive network, in nats.

    x: (B, D), zeros and ones.
    net(x): (B, D), the logit of each pixel given those before it.
    Returns: (B,).
    """
    ### BEGIN SOLUTION
    logits = net(x)
    return (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)
    ### END SOLUTION


# %% tags=["exercise-check"]
log_prob = check.log_prob(log_prob)
# check.log_prob.hint()

# %% [markdown]
# ## Exercise 3: one pixel (4 minutes)
# Drawing is the chain itself: pixel after pixel, each given those already there. Write one step.
# What stands in `x` from pixel `i` on has not been drawn yet and does not matter. (Python counts
# from 0: `x[:, i]` holds the pixels $x_{i+1}$.) `torch.bernoulli(p)` draws a 0 or a 1 for each entry
# of `p`.


# %% tags=["exercise"]
def draw(x: Tensor, i: int, net) -> Tensor:
    """The images x with pixel i drawn from p(x_i | x_0, ..., x_{i-1}), and all others
    as they were.

    x: (B, D), of which the first i pixels are drawn.  net(x): (B, D), logits.
    Returns: (B, D).
    """
    ### BEGIN SOLUTION
    p = torch.sigmoid(net(x)[:, i])
    x = x.clone()
    x[:, i] = torch.bernoulli(p)
    return x
    ### END SOLUTION


# %% tags=["exercise-check"]
draw = check.draw(draw)
# check.draw.hint()

# %% [markdown]
# ## Train it
# Your mask in every layer, your log-likelihood as the objective. **Predict.** A coin for each pixel
# scores $784 \log \frac12$, some $-543$ nats. How many of the first 100 steps does it take to get
# to $-150$? And what will be right first in its samples, strokes or digits?
#
# Stop it whenever you like (the square button): you keep what you have.


# %%
def pixelcnn(first: str = "A", width: int = 16, layers: int = 4) -> PixelCNN:
    """A small PixelCNN with your masks: 7x7 of kind `first`, then 3x3 of kind B, then a
    logit for each pixel.
    """
    net = PixelNet(width, layers)
    for i, conv in enumerate(net.convs):
        size, kind = (7, first) if i == 0 else (3, "B")
        window = torch.as_tensor(mask(size, kind)).float()
        net.convs[i] = MaskedConv2d(conv.in_channels, width, window)
    initialise(net.convs)
    return PixelCNN(net)


# %%
def train(model: PixelCNN, n: int, **settings):
    """One epoch over n digits, maximising your log-likelihood."""

    def objective(x: Tensor, beta: float) -> tuple[Tensor, dict[str, Tensor]]:
        value = log_prob(x, model.net)
        return value, {"log_p": value}

    settings |= {"epochs": 1, "batch_size": 50, "lr": 3e-3, "device": DEVICE}
    return fit(model, digits.train[:n], objective=objective, **settings)


# %%
torch.manual_seed(0)
own = pixelcnn()
parts = {"log_p": (MODEL, "-", "log p(x)")}
live = plot.Live(parts=parts, title="samples", draw=lambda model: model.sample((20,)))
history = train(own, 8000, live=live)
own = own.cpu()

# %% jupyter={"source_hidden": true}
if history.steps:
    reached = next((row["step"] for row in history.steps if row["log_p"] > -150), None)
    score = in_parts(own.log_prob, test)
    plot.markdown(
        "The training average passed $-150$ nats"
        f" {'at step ' + str(reached) if reached else 'not yet'}. After step"
        f" {history.steps[-1]['step']:,} your model gives {len(test):,} test digits"
        f" {intervals.of_mean(score, 'digits'):.1f} nats each: log p(x) itself, for there is no"
        " bound and no gap. It has"
        f" {sum(w.numel() for w in own.parameters()):,} weights; the decoder of vae_40d alone has"
        f" {sum(w.numel() for w in vae.decoder.parameters()):,}."
    )

# %% [markdown]
# A few dozen steps teach it strokes: every pixel of every digit is a training case for the same few
# weights. Digits take longer, and some never come: this network sees seven rows up, and a 9 is
# taller than that.

# %% [markdown]
# ## Drawing without doing anything twice
# By the book, a sample takes 784 passes of the network, one for each pixel, and of each pass a
# single logit is used. The other 783 are thrown away. How much of that work is needed at all?
#
# Every feature depends on earlier pixels only. So each feature can be computed *once*, when those
# pixels are known, and kept. `sample` does that: what the rows above mean for a row is one
# convolution for the whole row, and what stands to the left of a pixel is a small product at that
# pixel. **Predict.** How many times faster will that be, for one image and for sixteen at once?


# %%
@torch.no_grad()
def by_the_book(net, n: int, passes: int = 784) -> Tensor:
    """n images, (n, 784), by your `draw`, pixel after pixel: a full pass for each."""
    x = torch.zeros(n, 784)
    for i in range(passes):
        x = draw(x, i, net)
    return x


torch.manual_seed(0)
began = time.process_time()
slow = by_the_book(own.net, 5)
between = time.process_time()
fast = own.sample((5,))
ended = time.process_time()

# %% jupyter={"source_hidden": true}
noise = torch.rand(1, 784)  # the same for both


def certain(x: Tensor) -> Tensor:
    """Logits far above 0 where the noise is less than p, and far below elsewhere."""
    return 1e9 * (own.net(x) - torch.logit(noise))


same = torch.equal(by_the_book(certain, 1), own.sample((1,), noise=noise))
plot.show(
    plot.images([torch.cat([slow, fast])]),
    alt=(
        "Ten samples in a row, five drawn by the book and five by sample: strokes and parts of"
        " digits in both."
    ),
    caption=(
        f"Left, five images from your draw, step by step, in {between - began:.1f} s of processor"
        f" time; right, five from sample, in {ended - between:.2f} s. With the same noise the two"
        f" ways give {'the same image, pixel for pixel' if same else 'different images'}."
    ),
)

# %% jupyter={"source_hidden": true}
weights = {
    name: sum(w.numel() for key, w in model.net.named_parameters() if key.endswith("weight"))
    for name, model in (("PixelCNN", plain), ("gated PixelCNN", gated))
}
rows, factors, few = [], [], {1: 60, 16: 8}


def seconds(function) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


for name, model in (("PixelCNN", plain), ("gated PixelCNN", gated)):
    for n, passes in few.items():
        once = min(seconds(lambda: model.sample((n,))) for _ in range(3))  # noqa: B023
        naive = (
            min(seconds(lambda: by_the_book(model.net, n, passes)) for _ in range(2))  # noqa: B023
            * 784
            / passes
        )
        factors.append(naive / once)
        rows.append(
            f"| {name} | {n} | {784**2 * weights[name] * n / 1e9:,.0f} |"
            f" {784 * weights[name] * n / 1e9:,.2f} | {naive:.1f} s | {once:.2f} s |"
            f" **{naive / once:.0f}** |"
        )
plot.markdown(
    (
        "| model | images | multiply-adds by the book, $10^9$ | each once, $10^9$ | time by the"
        " book | each once | times faster |"
    ),
    "|:--|--:|--:|--:|--:|--:|--:|",
    *rows,
    "",
    (
        "*The shipped models, processor time: the best of 3 draws; by the book, the better of 2"
        f" runs of {few[1]} passes ({few[16]} for 16 images), scaled to 784. The factor is from"
        f" {min(factors):.0f} to {max(factors):.0f}.*"
    ),
)

# %% [markdown]
# By count it is a factor of 784: one pass's work in place of 784. In time a single image gets less
# of it, because its 784 steps are small ones that follow one another; a batch shares the steps. The
# order can't be parallelised away: that is the price of a chain. (Scoring an image has no such
# price: one pass.)

# %% [markdown]
# ## A blind spot
# How far up can a pixel see? A kernel of size 7 sees three rows up, and each further layer of size
# 5 adds two: fifteen rows in the shipped networks of 7 layers, and as many columns to either side.
# But stacking masked convolutions hides a flaw. **Predict.** Of the pixels within that reach, which
# will have no influence at all? Run the cell, and click a pixel on the left.
#
# Three things to try: walk to the right along row 14 and watch the orange triangle right above the
# row, at most fifteen columns away (what is orange farther off is out of reach); sit on the last
# column (is something still missing within reach, and why?); go to row 2, close under the upper
# edge.


# %% jupyter={"source_hidden": true}
def seen(net: nn.Module, cell: tuple[int, int]) -> Tensor:
    """Which pixels have a gradient on the logit at the cell, for some of eight digits: (28, 28)."""
    x = test[:8].clone().requires_grad_()
    logit = net(x)[:, cell[0] * 28 + cell[1]]
    gradient = torch.autograd.grad(logit.sum(), x)[0]
    return gradient.abs().sum(0).reshape(28, 28) > 0


REACH = sum(len(conv.mask) - 1 for conv in plain.net.convs)  # rows: a mask ends at the pixel's


def within(cell: tuple[int, int]) -> Tensor:
    """The earlier pixels that layers of this size could see at best, REACH rows up and as many
    columns to either side: (28, 28).
    """
    (r, c), window = cell, torch.zeros(28, 28, dtype=torch.bool)
    window[max(0, r - REACH) : r + 1, max(0, c - REACH) : c + REACH + 1] = True
    return window & (torch.arange(784) < r * 28 + c).reshape(28, 28)


nets, cell = {"PixelCNN": plain.net, "gated PixelCNN": gated.net}, (14, 12)


def blind(name: str, cell: tuple[int, int]) -> int:
    return int((within(cell) & ~seen(nets[name], cell)).sum())


reach = reach_picture(nets, test[:8], cell=cell)
left, top = max(0, cell[1] - REACH) - 0.5, max(0, cell[0] - REACH) - 0.5
right, bottom = min(27, cell[1] + REACH) + 0.5, cell[0] + 0.5
for ax in reach.axes:
    box = {"fill": False, "color": "black", "linestyle": "--"}
    ax.add_patch(plt.Rectangle((left, top), right - left, bottom - top, **box))
show_widget(
    reach_explorer(nets, test[:8], cell=cell),
    reach,
    alt=(
        "Two grids of 28 by 28 pixels. In the PixelCNN's, the pixels seen from row 14, column 12"
        " fill a block above and to the left whose right edge slopes away: a triangle to the right"
        " above the pixel is orange, not seen. In the gated PixelCNN's the block is a full"
        " rectangle."
    ),
    caption=(
        "Blue: earlier pixels that the logit looks at, deeper where more. Orange: earlier, and"
        " without any influence. Of the earlier pixels within reach (dashed) the PixelCNN misses"
        f" {blind('PixelCNN', cell)}, the gated one {blind('gated PixelCNN', cell)}."
    ),
)
plot.on_request(
    "At other pixels",
    "| pixel | blind spot of the PixelCNN | of the gated PixelCNN |",
    "|:--|--:|--:|",
    *(
        f"| row {r}, column {c} | {blind('PixelCNN', (r, c))} | {blind('gated PixelCNN', (r, c))} |"
        for r, c in (cell, (2, cell[1]), (14, 27))
    ),
    "",
    "Pixels within reach that have no influence. At the last column nothing above is to the right.",
)

# %% [markdown]
# The mask leaves out the pixels to the right in the *same* row, at every layer. To look above and
# to the right, a layer of size 5 goes at most two columns to the right for each row up; the first
# one, of size 7, goes three columns once. So what lies $r$ rows up and more than $2r + 1$ columns to
# the right is never seen, however many layers you add. That is the **blind spot**.
#
# **The gated PixelCNN** (van den Oord et al. 2016) closes it with two stacks. The *vertical* one,
# $\mathbf{v}$, looks at whole rows above and needs no mask within them; the *horizontal* one,
# $\mathbf{h}$, looks to the left in its own row, and at $\mathbf{v}$ in its place:
#
# $$\mathbf{v}' = g(W * \mathbf{v}), \qquad \mathbf{h}' = \mathbf{h} + R\, g(U * \mathbf{h} + L\, \mathbf{v}'), \qquad
#   g(\mathbf{a}, \mathbf{b}) = \tanh(\mathbf{a}) \odot \mathrm{sigmoid}(\mathbf{b})$$
#
# Read aloud: rows above are summed up first, without holes; then the row itself joins. Never the
# other way round: $\mathbf{v}$ must not see $\mathbf{h}$, which knows too much. The gate $g$ lets
# one half of the features, $\mathbf{b}$, decide how much of the other, $\mathbf{a}$, passes:
# $\odot$ multiplies feature by feature. $W$ and $U$ are masked convolutions, of several rows and of
# one; $L$ and $R$ are of size 1, a matrix at each pixel. In the first layer, of kind A, the sum
# with $\mathbf{h}$ is left out: it would hand the pixel on to itself.

# %% [markdown]
# ## PixelVAE
# Put the chain into the decoder's place, and nothing else of the VAE changes:
#
# $$\mathcal L(\mathbf{x}) = \mathbb{E}_{q(\mathbf{z}|\mathbf{x})}\!\left[\sum_{i=1}^D \log p(x_i|x_1, \dots, x_{i-1},
#   \mathbf{z})\right] - \mathrm{KL}[q(\mathbf{z}|\mathbf{x})\,\|\,p(\mathbf{z})]$$
#
# How does $\mathbf{z}$ get in? A network turns it into a map, features for each pixel, which is
# **added as a bias in the first layer, outside the mask**. A mask A over it would hide from the
# pixel its own place of the map, for no reason: $\mathbf{z}$ is known before the first pixel is
# drawn.
#
# Your own `log_prob` is enough for this bound. Only the network changes: it is given the map of
# $\mathbf{z}$, too.

# %%
torch.manual_seed(0)
with torch.no_grad():
    x = test[:50]
    q = pixelvae.encoder(x)
    # (50, 16) to (50, 32 * 784): 32 features for each pixel.
    map_of_z = pixelvae.decoder.given(q.rsample())
    chain_given_z = partial(pixelvae.decoder.net, given=map_of_z)
    # The equation above, (50,).
    by_hand = log_prob(x, chain_given_z) - kl(q, pixelvae.prior)
    torch.manual_seed(0)
    by_model = pixelvae.elbo(x)
print(
    f"{len(x)} test digits, nats: {by_hand.mean():.2f} with your log_prob,"
    f" {by_model.mean():.2f} by pixelvae.elbo"
)

# %% [markdown]
# `PixelVAE` is a few lines: `LatentVariableModel(prior, encoder, decoder)`, whose decoder is a
# `PixelConditional`. The bound, importance sampling and `sample` are those of notebook 07.
# **Predict.** Draw ten codes from the prior, and three images from each. What will the three have
# in common?

# %%
torch.manual_seed(3)
with torch.no_grad():
    z = pixelvae.prior.sample((10,))
    from_prior = pixelvae.decoder(z).sample((3,))  # three draws for each of ten codes
    from_vae = vae.sample(10)


# %% jupyter={"source_hidden": true}
def overlap(a: Tensor, b: Tensor) -> Tensor:
    """The share of their ink that two images have in common: (N, D) and (N, D) to (N,)."""
    return (a * b).sum(-1) / torch.maximum(a, b).sum(-1).clamp(1)


shared = torch.stack(
    [overlap(from_prior[i], from_prior[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
).mean(0)
by_chance = torch.stack(
    [overlap(from_prior[0], from_prior[1].roll(k, 0)) for k in range(1, 10)]
).mean(0)
more = intervals.of_mean(100 * (shared - by_chance), "codes")
plot.show(
    plot.images(
        [*from_prior, gated.sample((10,)), from_vae],
        titles=["PixelVAE", "same codes", "same codes", "gated PixelCNN", "VAE"],
    ),
    alt=(
        "Five rows of ten samples: three draws of the PixelVAE from the same ten codes, which agree"
        " in the digit and differ in the strokes; ten samples of the gated PixelCNN; ten speckled"
        " samples of the VAE."
    ),
    caption=(
        "Within a column the PixelVAE's three draws have one code. They share"
        f" {shared.mean():.0%} of their ink, draws from different codes {by_chance.mean():.0%}."
    ),
)
plot.measured(
    f"draws from one code share {more.said('.0f')} points more of their ink than draws from"
    f" different ones ({more.basis}): that much is z's doing"
)

# %% [markdown]
# Look along the fourth row. The gated PixelCNN's pixels see fifteen rows up, half a digit, and none
# of them knows what the whole is to be: strokes come out well, and need not add up to a digit. The
# PixelVAE's pixels see four rows, and $\mathbf{z}$ knows the rest.

# %% [markdown]
# ## Four models, one test set
# The shipped models were trained on the same 50,000 digits; their headers say how. **Predict** the
# order of plain VAE, PixelCNN, gated PixelCNN and PixelVAE. Which of the four numbers are exact?

# %% jupyter={"source_hidden": true}
names = {
    "vae_40d": "VAE",
    "pixelcnn": "PixelCNN",
    "gated_pixelcnn": "gated PixelCNN",
    "pixelvae": "PixelVAE",
}
cards = {name: recipes.card(name) for name in names}
size = {
    name: sum(w.numel() for w in build(recipes.recipe(name).model).parameters()) for name in names
}
lines = []
for name, words in names.items():
    r = cards[name]["results"]
    kind = f"at most, S = {r['S']:,}" if "S" in r else "exact"
    lines.append(
        f"| {words} | **{r['test_nll']:.2f}** $\\pm$ {r['test_nll_se']:.2f} | {kind} |"
        f" {size[name]:,} | {cards[name]['epochs_trained']} |"
    )
plot.markdown(
    "| model | test NLL, nats | | weights | epochs |",
    "|:--|--:|:--|--:|--:|",
    *lines,
    "",
    (
        f"*Negative log-likelihood over all {cards['pixelvae']['results']['n']:,} test digits,"
        " with the standard error over digits: less is better; one training each. Importance"
        " sampling with S codes gives an upper bound of the NLL; by Pareto k a few codes decide it"
        f" for {cards['vae_40d']['results']['unreliable']:.0%} of"
        f" {cards['vae_40d']['results']['reliability_n']:,} digits with the VAE, and for"
        f" {cards['pixelvae']['results']['unreliable']:.0%} with the PixelVAE.*"
    ),
)
nll = {name: card["results"]["test_nll"] for name, card in cards.items()}
order = sorted(nll, key=nll.get)

# %% jupyter={"source_hidden": true}
gain, S_card = (cards["pixelvae"]["results"][key] for key in ("gain", "S"))
chain = sum(w.numel() for w in pixelvae.decoder.net.parameters())
plot.markdown(
    f"The order, best first: {', '.join(names[name] for name in order)}. From the PixelCNN to the"
    " gated one, at fewer weights, the NLL changes by"
    f" {nll['gated_pixelcnn'] - nll['pixelcnn']:+.1f} nats; from there to the PixelVAE, which has a"
    f" code and sees 4 rows up in place of {REACH}, by"
    f" {nll['pixelvae'] - nll['gated_pixelcnn']:+.1f}. Not all of that need be the code's doing:"
    f" the PixelVAE has {size['pixelvae'] / size['gated_pixelcnn']:.1f} times the weights,"
    f" though only {chain:,} of them in the chain of pixels, and saw the digits"
    f" {cards['pixelvae']['epochs_trained']} times, the gated PixelCNN"
    f" {cards['gated_pixelcnn']['epochs_trained']} times.\n\nHow loose is S ="
    f" {S_card}? On {gain['n']:,} digits, {gain['S']:,} codes lower the NLL by {gain['nats']:.2f}"
    f" $\\pm$ {gain['se']:.2f} nats: about {nll['pixelvae'] - gain['nats']:.2f} is nearer"
    " the truth."
)

# %% [markdown]
# Published, with larger networks and longer trainings: on statically binarised digits a PixelCNN
# alone 81.3 and PixelVAE 80.6 (12 layers of 5x5; Gulrajani et al.). On dynamically binarised ones a
# small PixelCNN of 6 layers 87.6, and 79.5 with a code (Chen et al.). The models here were trained
# for so many epochs as an hour or so on one core of a CPU allows; the column says how many.

# %% [markdown]
# ## What z still encodes
# The KL says how many nats the encoder sends; it does not say what about. **Predict.** Encode a
# test digit, draw an image from the code, and let a classifier name it. How often is it still the
# same digit, for the VAE and for the PixelVAE?

# %% jupyter={"source_hidden": true}
classifier = recipes.load("digit_classifier")


def named(x: Tensor) -> Tensor:
    """The class that the classifier gives to each image."""
    return in_parts(classifier.classify, x)


# %%
def kl_of(model):
    return lambda x: kl(model.encoder(x), model.prior)


x, y = test[:300], labels[:300]
rows = []
for name, model in both.items():
    again = redrawn[name]  # a code for each digit and one draw from it, as above
    kept = (named(again) == y).float().mean().item()
    same_pixels = (again == x).float().mean().item()
    nats = in_parts(kl_of(model), x).mean().item()
    dim = model.prior.sample((1,)).shape[-1]
    units = f"{int(active_units(model, test).sum())} of {dim}"
    rows.append((name, nats, units, kept, same_pixels))
ceiling = (named(x) == y).float().mean().item()


# %% jupyter={"source_hidden": true}
def share(p: float) -> str:
    """A share of the digits with its interval."""
    return f"{intervals.of_share(round(p * len(x)), len(x), 'digits', 2):.0%}"


plot.markdown(
    (
        "| model | KL, nats | active units | drawn anew, still the same digit | pixels that are"
        " the same |"
    ),
    "|:--|--:|--:|--:|--:|",
    *(
        f"| {name} | {nats:.1f} | {units} | {share(kept)} | {pixels:.1%} |"
        for name, nats, units, kept, pixels in rows
    ),
    "",
    (
        f"*{len(x)} test digits, 95 % intervals, corrected for 2 comparisons; one training each."
        f" The classifier names {ceiling:.0%} of the digits themselves. A blank picture has"
        f" {1 - x.mean():.1%} of a digit's pixels right, another digit"
        f" {(x == x.roll(1, 0)).float().mean():.1%}.*"
    ),
)
kl_ratio = rows[1][1] / rows[0][1]
plot.markdown(
    f"With {kl_ratio:.0%} of the VAE's nats the PixelVAE's code still keeps the digit in"
    f" {rows[1][3]:.0%} of the cases, the VAE's in {rows[0][3]:.0%}. The rest the pixels settle"
    " among themselves."
)

# %% [markdown]
# ## Break it: a decoder that needs no code
# Both $\mathbf{z}$ and the pixels before can explain a pixel, and the bound charges for
# $\mathbf{z}$ only. A decoder that sees enough does not need the code. And in
#
# $$q(\mathbf{z}|\mathbf{x}) \approx p(\mathbf{z}|\mathbf{x}) \propto p(\mathbf{x}|\mathbf{z})\, p(\mathbf{z})$$
#
# the first factor no longer depends on $\mathbf{z}$: the posterior becomes the prior (**posterior
# collapse**), and there is nothing left to encode. See how far it goes: a small PixelVAE (14x14
# pixels, 8 latent dimensions), whose decoder sees 0, 1, 3 or 7 rows up. With 0 it sees no pixel at
# all, not even the one to its left. More rows take more layers: 1, 1, 3 and 7.
#
# Does a decoder use its code? Give each digit the code $\mathbf{z}'$ of **another** one and count what it
# loses:
#
# $$\log p(\mathbf{x}|\mathbf{z}) - \log p(\mathbf{x}|\mathbf{z}')$$
#
# Read aloud: the nats by which its own code explains a digit better than another digit's. A decoder
# that ignores the code loses nothing. **Predict.** How many nats are lost with 0 rows in sight, and
# how many with 7?
#
# Three things to try with the slider below: begin at 0 rows and look at the means, most of which
# have something of the digit above them (where one is mere grey, the short training has not come to
# that code); move to 7, and see how much fainter and more alike they have become; then take one
# step more, to *free bits*, which come after.

# %%
# Seven rows again, with 1 nat for each dimension of z free of charge: see below.
SEVEN_FREE = "7, free bits"
decoders = {  # rows, free nats
    "0": (0, 0.0),
    "1": (1, 0.0),
    "3": (3, 0.0),
    "7": (7, 0.0),
    SEVEN_FREE: (7, 1.0),
}
half_size = (255 * pixels_against_code.halved(digits.train.x[:4000])).round().byte()
small = Data(half_size, binarise="dynamic")

# %%
SHORT = {"epochs": 2, "anneal": 1, "batch_size": 50, "lr": 3e-3, "progress": False}


def small_pixelvae(rows: int, nats: float) -> LatentVariableModel:
    torch.manual_seed(0)
    model = pixels_against_code.small_pixelvae(rows)
    fit(model, small, **SHORT, objective=free_bits(model, nats))
    return model


tug = {
    name: small_pixelvae(*settings)
    for name, settings in progress(decoders.items(), desc="trainings")
}


# %%
@torch.no_grad()
def lost_with_another_code(model: LatentVariableModel, x: Tensor) -> Tensor:
    """By how many nats a digit's own code explains it better than another's: (N,)."""

    def lead(x, own, other):
        return model.decoder(own).log_prob(x) - model.decoder(other).log_prob(x)

    z = model.encoder(x).rsample()
    return in_parts(lead, x, z, z[torch.randperm(len(z))])


torch.manual_seed(0)
small_test = torch.bernoulli(pixels_against_code.halved(digits.test.x[:1000]))
lost = {name: lost_with_another_code(model, small_test) for name, model in tug.items()}

# %% jupyter={"source_hidden": true}
with torch.no_grad():
    tug_kl = {name: kl(model.encoder(small_test), model.prior) for name, model in tug.items()}
    tug_bound = {name: in_parts(model.elbo, small_test) for name, model in tug.items()}
    twelve = small_test[:12]
    of_codes = {  # 64 draws from a code for each of twelve digits, (64, 12, 196)
        name: model.decoder(model.encoder(twelve).rsample()).sample((64,))
        for name, model in tug.items()
    }


def apart(x: Tensor) -> str:
    """How far the means of 32 draws from a code are from those of another's, and of 32 further
    draws from the same.
    """
    # In pixels: |differences| summed over the image.
    gaps = torch.cdist(x[:32].mean(0), x[32:].mean(0), 1)
    n = len(gaps)
    same = gaps.diagonal().mean()
    return f"{(gaps.mean() * n - same) / (n - 1):.1f} | {same:.1f}"


def draw_tug(rows: str) -> plt.Figure:
    """Digits and draws from their codes; what the codes say and are worth, for all decoders."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 3.1), width_ratios=(1.35, 1))
    of_eight = of_codes[rows][:, :8]
    plot.draw_images(
        left,
        torch.cat([twelve[:8], of_eight.mean(0), *of_eight[:3]]),
        8,
        "a digit, the mean of 64 draws from its code, and three of them",
    )
    at = np.arange(len(tug))
    for values, shift, colour, label in (
        (tug_kl, -0.2, PRIOR, "KL: what the code says"),
        (lost, 0.2, POSTERIOR, "lost with another's code"),
    ):
        means = [v.mean() for v in values.values()]
        errors = [standard_error(v) for v in values.values()]
        bars = right.bar(
            at + shift,
            means,
            0.4,
            yerr=errors,
            color=colour,
            label=label,
            hatch="" if shift < 0 else "//",
            edgecolor="white",
            error_kw={"elinewidth": 1},
        )
        for name, bar in zip(tug, bars, strict=True):
            bar.set_alpha(1.0 if name == rows else 0.3)
    right.set_xticks(at, [name.replace(", ", ",\n") for name in tug])
    right.set(xlabel="rows the decoder sees", ylabel="nats per digit")
    right.set_ylim(0, 1.3 * max(v.mean() for v in (*tug_kl.values(), *lost.values())))
    right.legend(fontsize=8, loc="upper center")
    return fig


show_widget(
    slider_figure(
        draw_tug,
        rows=[*tug],
        alt=(
            "Left, eight digits of 14 by 14 pixels, the mean of 64 draws from the code of each, and"
            " three of the draws. Right, bars for each decoder: the KL, and the nats a digit loses"
            " with another's code."
        ),
    ),
    plot.images(
        [twelve, *(x.mean(0) for x in of_codes.values())],
        columns=12,
        titles=["digits", "0 rows", "1 row", "3 rows", "7 rows", SEVEN_FREE],
    ),
    alt=(
        "Six rows of twelve small pictures: test digits; and the mean of 64 draws from the code of"
        " each, grey shapes, by decoders that see 0, 1, 3 and 7 rows, and by one that sees 7 and"
        " was trained with free bits."
    ),
    caption=(
        "The more rows a decoder sees, the less it uses the code: with another digit's code it"
        f" loses {lost['0'].mean():.0f} nats at 0 rows, {lost['7'].mean():.0f} at 7."
    ),
)
fewer = intervals.of_mean(lost["7"] - lost["0"], "digits", 2)
freed = intervals.of_mean(lost[SEVEN_FREE] - lost["7"], "digits", 2)
plot.markdown(
    (
        "| rows in sight | KL, nats | lost with another's code | bound | two codes' means differ"
        " by | one code's, drawn twice |"
    ),
    "|:--|--:|--:|--:|--:|--:|",
    *(
        f"| {name} | {mean_and_error(tug_kl[name], '.2f')} | **{mean_and_error(lost[name])}** |"
        f" {tug_bound[name].mean():.1f} | {apart(of_codes[name])} |"
        for name in tug
    ),
    "",
    (f"*{len(small_test):,} test digits, ± standard error over digits; one training each.*"),
)
plot.measured(
    f"from 0 to 7 rows the nats lost with another's code change by {fewer.said('+.1f')}; free bits"
    f" at 7 rows change them by {freed.said('+.1f')} ({fewer.basis}; one training each)"
)
plot.on_request(
    "The other columns",
    "Last columns: means of 32 draws, differences in pixels; what one code's own draws differ by is"
    " chance. With free bits 8 nats are free.",
    "",
    f"From 3 to 7 rows the bound goes from {tug_bound['3'].mean():.1f} to"
    f" {tug_bound['7'].mean():.1f}: seven layers need a longer training than three. A decoder"
    " that ignores its code would lose 0.0 with another's.",
)

# %% [markdown]
# Decoders that see rows above do better by the bound than the one that sees none, and hear less of
# their code: what they are told costs nats, a look at the pixels costs none.
#
# **Free bits** are the cure from the encoder's side. $\sum_{j=1}^d \max(c, \mathrm{KL}_j)$ in place
# of the KL, where $j$ counts the $d$ latent dimensions and $\mathrm{KL}_j$ is averaged over
# the batch, makes the first $c$ nats of each cost nothing. So the encoder gains nothing by
# saying less, and what it says anyway the decoder learns to use (`free_bits` in
# [pixelvae.py](../dgmcourse/models/pixelvae.py)). In a short training the bound pays for it:
# compare the two at 7 rows. The study below says whether it does after a longer one.
#
# Two epochs are a short training, and one seed is one seed. The study below trained models of this
# kind for four times as many epochs on 5,000 digits in place of 4,000, with several seeds.
# **Predict.** Will a longer training bring the code back, or silence it?

# %%
study = recipes.study("pixels_against_code")
by_reach = {}  # rows in sight -> seed -> what was measured
for row in study["rows"]:
    if row["free_bits"] == 0:
        by_reach.setdefault(row["reach"], {})[row["seed"]] = row
low, high = min(by_reach), max(by_reach)


def change(key: str, a: int, b: int, comparisons: int = 2) -> intervals.Interval:
    """From a to b rows in sight, paired over seeds."""
    pairs = [(by_reach[a][seed], by_reach[b][seed]) for seed in by_reach[a]]
    return intervals.of_mean([y[key] - x[key] for x, y in pairs], "seeds", comparisons)


# %% tags=["claim-26"]
less_said, better = change("kl", low, high), change("nll", low, high)

# %% jupyter={"source_hidden": true}
values = {
    key: {r: np.array([row[key] for row in rows.values()]) for r, rows in by_reach.items()}
    for key in ("kl", "nll")
}
mean, spread = (
    {key: {r: f(v) for r, v in of.items()} for key, of in values.items()}
    for f in (np.mean, partial(np.std, ddof=1))
)
measured["claim-26"] = (
    f"another decoder is another posterior: from {low} to {high} rows in sight the KL goes from"
    f" {mean['kl'][low]:.1f} to {mean['kl'][high]:.1f} nats, by {less_said.said('+.1f')}, and the"
    f" NLL from {mean['nll'][low]:.1f} to {mean['nll'][high]:.1f}, by {better.said('+.1f')}"
    f" ({better.basis})"
)
plot.measured(measured["claim-26"])
least = min(row["active"] for row in study["rows"] if row["free_bits"] == 0)
fate = "says less, and is not silenced" if least else "falls silent altogether in some"
left = {
    "short": tug_kl[str(high)].mean() / tug_kl[str(low)].mean(),
    "long": mean["kl"][high] / mean["kl"][low],
}
plot.markdown(
    f"In no run are fewer than {least} of 8 dimensions active: the code {fate}. {high} rows leave"
    f" {left['short']:.0%} of the blind decoder's nats after the short training,"
    f" {left['long']:.0%} after the long one."
)

# %% jupyter={"source_hidden": true}
freed = [
    row for row in study["rows"] if row["free_bits"] == max(r["free_bits"] for r in study["rows"])
]
fig, panels = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
for ax, key, colour, label in (
    (panels[0], "kl", PRIOR, "KL, nats"),
    (panels[1], "nll", MODEL, "test NLL, nats"),
):
    look = {"color": colour, "capsize": 3, "label": "the bound"}
    ax.errorbar([*by_reach], [*mean[key].values()], [*spread[key].values()], fmt="o-", **look)
    with_free = [row[key] for row in freed]
    ax.errorbar(
        [freed[0]["reach"] + 0.25],
        [np.mean(with_free)],
        [np.std(with_free, ddof=1)],
        fmt="s",
        color=POSTERIOR,
        capsize=3,
        label=f"free bits, {freed[0]['free_bits']:g} nats a dimension",
    )
    ax.set(xlabel="rows the decoder sees above a pixel", ylabel=label, xticks=[*by_reach])
panels[0].legend(fontsize=8)
panels[0].set_ylim(0, None)
freed_kl = np.mean([row["kl"] for row in freed])
plot.show(
    fig,
    alt=(
        f"Left: the KL against the rows the decoder sees, from {mean['kl'][low]:.1f} nats at {low}"
        f" to {mean['kl'][high]:.1f} at {high}; a square, trained with free bits, lies at"
        f" {freed_kl:.1f}. Right: the test NLL, from {mean['nll'][low]:.1f} to"
        f" {mean['nll'][high]:.1f}."
    ),
    caption=(
        f"With free bits the code says {freed_kl:.1f} nats at {freed[0]['reach']} rows, without"
        f" {mean['kl'][freed[0]['reach']]:.1f}."
    ),
)
steps = [*zip([*by_reach], [*by_reach][1:], strict=False)]
plot.on_request(
    "Step by step",
    "| rows in sight | KL, nats | NLL |",
    "|:--|--:|--:|",
    *(
        f"| from {a} to {b} | {change('kl', a, b, 2 * len(steps)).said('+.2f')} |"
        f" {change('nll', a, b, 2 * len(steps)).said('+.2f')} |"
        for a, b in steps
    ),
    "",
    f"{change('kl', low, high, 2 * len(steps)).basis}. The NLL with free bits is"
    f" {mean_and_error([row['nll'] for row in freed], '.2f')}, without"
    f" {mean_and_error(values['nll'][freed[0]['reach']], '.2f')}; it is an upper bound (S ="
    f" {study['settings']['S']}). {study['data']}, {study['settings']['epochs']} epochs; the"
    " picture's bars: standard deviation over seeds.",
)

# %% [markdown]
# Improving the decoder moves the work from the code to the pixels. If you want a likelihood, let
# the pixels see as much as they like. If you want a **representation**, hold them back: a small
# receptive field leaves the shape of the whole to $\mathbf{z}$ and keeps the texture for the
# pixels. That choice was made for the shipped PixelVAE, which sees 4 rows.

# %% [markdown]
# ## Break it: a mask that leaks
# One wrong letter: kind B in the first layer, so that each pixel is given *itself*. **Predict** the
# training curve, and what the samples look like.

# %%
torch.manual_seed(0)
leaky = pixelcnn(first="B")
leak_history = train(leaky, 8000, progress=False)
leaky = leaky.cpu()
torch.manual_seed(0)
leaked = leaky.sample((10,))

# %% jupyter={"source_hidden": true}
cheat, honest = (in_parts(model.log_prob, test).mean().item() for model in (leaky, own))


def framed(x: Tensor) -> Tensor:
    """Images in a grey frame, without which a blank one shows nothing."""
    return F.pad(x.reshape(-1, 28, 28), (1, 1, 1, 1), value=0.3).flatten(1)


torch.manual_seed(0)
plot.show(
    plot.images(
        [framed(leaked), framed(own.sample((10,)))], titles=["mask B first", "mask A first"]
    ),
    alt=(
        "Two rows of ten samples. With mask B in the first layer, they have"
        f" {leaked.sum(-1).mean():.0f} pixels of ink; with mask A they are strokes and parts of"
        " digits."
    ),
    caption=(
        f"The leaking network says {cheat:.1f} nats of a test digit, the honest one {honest:.1f}:"
        " its number is no log-probability, for over all images exp of it does not sum to 1."
    ),
)

# %% [markdown]
# No honest model comes near that likelihood, and the samples have nothing of a digit. The network
# copies its input to its output; when drawing, there is nothing to copy yet. **A likelihood that is
# too good is a leak until proven otherwise.** A test is cheap: a gradient from each output to each
# input, or the sum over all images of a tiny model, which must be 1.


# %%
def leaks(model: PixelCNN) -> str:
    """How many logits have a gradient to the logit's own pixel or to a later one."""
    x, found, asked = torch.rand(1, 784, requires_grad=True), 0, range(0, 784, 27)
    for i in asked:
        gradient = torch.autograd.grad(model.net(x)[0, i], x)[0][0]
        found += bool((gradient[i:] != 0).any())
    return f"{found} of {len(asked)}"


plot.markdown(
    f"**Caught.** Logits that see their own pixel or a later one: {leaks(leaky)} in"
    f" the leaking network, {leaks(own)} in yours, {leaks(gated)} in the gated"
    " PixelCNN."
)

# %% [markdown]
# ## How much of a digit decides?
# Back to the pad. Give the model the first rows of a digit and let it write the others.
# **Predict.** After how many of 28 rows is the digit settled, so that a classifier finds the
# completion to be the same?

# %%
torch.manual_seed(0)
x, y, kept_rows = test[:100], labels[:100], [0, 6, 10, 14, 18, 22, 28]
settled = []
for r in kept_rows:
    filled = gated.sample((len(x),), x=x, known=torch.arange(784) < 28 * r)
    settled.append((named(filled) == y).float().mean().item())

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.6))
found = [intervals.of_share(round(p * len(x)), len(x), "digits") for p in settled]
ax.errorbar(
    kept_rows,
    [100 * each.value for each in found],
    100 * np.array([(each.value - each.low, each.high - each.value) for each in found]).T,
    fmt="o-",
    color=MODEL,
    capsize=3,
)
ax.axhline(10, color=NOISE, linestyle=":")
ax.text(28, 12, "chance", color="#666666", ha="right")
ax.set(xlabel="rows that are given", ylabel="same digit, %", ylim=(0, 103), xticks=kept_rows)
half = next((r for r, p in zip(kept_rows, settled, strict=True) if p > 0.5), None)
plot.show(
    fig,
    alt=(
        "Share of completions that a classifier takes for the same digit against the number of rows"
        " given: "
    )
    + ", ".join(f"{p:.0%} at {r}" for r, p in zip(kept_rows, settled, strict=True))
    + ".",
    caption=(
        f"More than half of the digits are settled from {half} rows on ({len(x)} test digits, one"
        f" completion each by the gated PixelCNN; bars: 95 % intervals)."
    ),
)

# %% [markdown]
# Only what comes *before* can be given: the chain has an order. To complete an upper half from a
# lower one you would need another order, or a model that has none, such as the VAE with its
# posterior over $\mathbf{z}$.

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    26: (
        # a bar would end the column
        r"encoder, decoder and prior are tied by $q(\mathbf{z} \mid \mathbf{x}) \propto "
        r"p(\mathbf{x} \mid \mathbf{z})\,p(\mathbf{z})$; each can be improved"
    ),
    30: (
        r"a decoder that depends on $\mathbf{z}$ only misses correlations; an autoregressive one"
        r" has them"
    ),
}
plot.claims_table(claims, measured)

# %% [markdown]
# ## For and against
# **For.** Exact likelihoods without an encoder (PixelCNN), or a bound with a code beside it
# (PixelVAE); sharp draws whose pixels agree with one another; few weights, because every place
# shares them; a dial, the receptive field, that says how much is left to the code.
#
# **Against.** Drawing is sequential, however much one caches; the order of the pixels is arbitrary,
# and only what comes later can be completed; the code may die of a decoder that sees too much; a
# single wrong mask makes all numbers worthless without any error.

# %% [markdown]
# ## Questions
# <details><summary>Why must the first layer be of kind A, and the others of kind B?</summary>
#
# The first sees pixels: at its centre stands the very pixel to be predicted. The others see
# features, and the feature at the centre was made of earlier pixels only. With A throughout nothing
# leaks, but each further layer would lose one more of the pixels just to the left: two layers of
# kind A never see the nearest. </details>
#
# <details><summary>Training a PixelCNN takes one pass for an image, drawing one takes 784 steps. Why?</summary>
#
# In training all pixels are known, so all conditionals can be computed at once. In drawing, each
# waits for the one before. </details>
#
# <details><summary>A PixelVAE reaches 79 nats with a KL of 0.02. What have you trained?</summary>
#
# A PixelCNN beside an encoder whose codes are ignored. The bound is fine, the representation empty:
# report the KL and the active units beside it. </details>
#
# <details><summary>Could you feed z through the masked convolution as an extra input channel?</summary>
#
# With mask A the map's value at the pixel itself would be hidden, at the first pixel all of it. A bias outside the mask
# costs nothing: $\mathbf{z}$ does not depend on the pixels to come. </details>
#
# <details><summary>Does the order of the pixels matter for the likelihood?</summary>
#
# The product rule holds in any order. A network of finite size fits some orders better, and its
# likelihoods under two orders differ. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Improving the decoder".
# - A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, *Pixel Recurrent Neural Networks*, ICML 2016:
#   masks A and B.
# - A. van den Oord et al., *Conditional Image Generation with PixelCNN Decoders*, NeurIPS 2016: the
#   blind spot and the gated network.
# - I. Gulrajani et al., *PixelVAE: A Latent Variable Model for Natural Images*, ICLR 2017.
# - X. Chen et al., *Variational Lossy Autoencoder*, ICLR 2017: what a code is left to say.
# - P. Ramachandran et al., *Fast Generation for Convolutional Autoregressive Models*, 2017:
#   caching.
# - D. P. Kingma et al., *Improved Variational Inference with Inverse Autoregressive Flow*, NeurIPS
#   2016: free bits.
#
# Before: [09, a posterior that bends](09_normalizing_flows.ipynb). Next: [11, a prior that is
# learned](11_priors.ipynb)
