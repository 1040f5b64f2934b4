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
# # PixelVAE: a decoder that looks at what it has drawn
# *70 minutes, about 15 of them for three exercises. Slides: "Improving the decoder". You need the
# VAE and its bound ([notebook 07](07_vae.ipynb)) and to know what a convolution is.*
#
# Give the pad the upper half of a digit, press *Complete*, and watch the other half being written
# pixel by pixel. Each pixel is drawn after a look at those above it and to its left. The decoder of
# a plain VAE never looks: it decides on all 784 pixels at once. **What does it miss, and what is
# left for the code $\mathbf{z}$ to say once pixels may look at one another?**

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

# %%
from dgmcourse import plot, recipes
from dgmcourse.data.images import mnist
from dgmcourse.widgets.pixels import pixel_writer, reach_explorer, reach_picture

digits = mnist(
    "dynamic"
)  # training: binarised anew at every visit; validation and test: binarised once
test, labels = digits.test[:1000].tensor(), digits.test.y[:1000]
plain, gated = recipes.load("pixelcnn"), recipes.load("gated_pixelcnn")
pixel_writer({"gated PixelCNN": gated, "PixelCNN": plain}, test[:12], rows=14)

# %% jupyter={"source_hidden": true}
import torch
from torch import Tensor, nn

torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine
torch.manual_seed(0)
upper = torch.arange(784) < 14 * 28
given = torch.where(upper, test[:10], torch.tensor(0.15))
completed = gated.sample((3, 10), x=test[:10], known=upper)
differ = (completed[0] != completed[1]).float().sum(-1).mean().item()
plot.show(
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
        "The pad without a kernel: upper halves of ten test digits, three completions of each, and"
        f" the digits they were cut from. Two completions of the same half differ in {differ:.0f}"
        f" of {784 - 14 * 28} pixels, on average over the ten."
    ),
)

# %% [markdown]
# Three things to try:
#
# 1. Complete the same half several times. Which halves leave a choice of digit, which don't?
# 2. Keep 0 rows. Then nothing is given, and the model writes something of its own. Does it become a
#    digit?
# 3. Draw something that is no digit, with mouse or with arrow keys and space. How does it get out
#    of that?
#
# Afterwards you can say what a decoder of independent pixels can't do, in nats; write the mask that
# makes a network autoregressive; draw from it for a small part of what it costs by the book; and
# tell what is left in $\mathbf{z}$ when the decoder needs it less.

# %% [markdown]
# ## The question
# The VAE of notebook 07 ends in a probability for each of the $D = 784$ pixels $x_d$. Given the
# code, the pixels are independent:
#
# $$p(\mathbf{x}|\mathbf{z}) = \prod_{d=1}^D p(x_d|\mathbf{z})$$
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
from IPython.display import Markdown, display
from tqdm import tqdm

from dgmcourse.check import pixelvae as check
from dgmcourse.data.images import Data
from dgmcourse.densities import kl
from dgmcourse.evaluate import active_units, log_mean_exp
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.pixelcnn import PixelCNN, PixelNet
from dgmcourse.models.pixelvae import free_bits
from dgmcourse.networks import MaskedConv2d, initialise
from dgmcourse.plot import MODEL, NOISE, POSTERIOR, PRIOR, plt
from dgmcourse.studies import pixels_against_code
from dgmcourse.train import best_device, fit
from dgmcourse.weights import build
from dgmcourse.widgets.figure import slider_figure

progress = partial(tqdm, file=sys.stdout, bar_format="{desc} |{bar:24}| {n}/{total}")


@torch.no_grad()
def in_parts(f, *tensors: Tensor, rows: int = 40) -> Tensor:
    """f of the tensors' rows, forty at a time: the features of a thousand images would fill the
    memory.
    """
    return torch.cat([f(*part) for part in zip(*(t.split(rows) for t in tensors), strict=True)])


# %%
vae, pixelvae = recipes.load("vae_40d"), recipes.load("pixelvae")  # 40 and 16 latent dimensions
DEVICE = best_device()
measured = {}  # claim -> what you found, for the table at the end

torch.manual_seed(0)
chosen = test[:6]  # six digits, a code for each, and 200 draws from each code
codes = {
    name: model.encoder(chosen).rsample().detach()
    for name, model in (("VAE", vae), ("PixelVAE", pixelvae))
}
draws = {
    name: torch.cat([model.decoder(codes[name]).sample((20,)) for _ in range(10)])
    for name, model in (("VAE", vae), ("PixelVAE", pixelvae))
}
redrawn = {  # 300 digits, a code for each, and one draw from it
    name: in_parts(lambda x: model.decoder(model.encoder(x).rsample()).sample(), test[:300])  # noqa: B023
    for name, model in (("VAE", vae), ("PixelVAE", pixelvae))
}


# %% jupyter={"source_hidden": true}
def lone(x: Tensor) -> tuple[float, float]:
    """How many pixels of an image (..., 784) differ from all four next to them: mean over images,
    and its standard error.
    """
    x = x.reshape(-1, 1, 28, 28)
    cross = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None]
    count = (F.conv2d(F.pad(x, (1, 1, 1, 1)), cross) == 4 * (1 - x)).float().sum((1, 2, 3))
    return count.mean().item(), count.std().item() / len(count) ** 0.5


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
        "First column: test digits. Then nine draws from one code for each. Pixels that differ from"
        " all four beside them: "
    )
    + ", ".join(f"{m:.2f} ± {e:.2f} in {words}" for words, (m, e) in specks.items())
    + f" ({len(redrawn['VAE'])} digits, one draw each, ± standard error).",
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
# $$\mathrm{TC}(\mathbf{z}) = \sum_{d} H[x_d|\mathbf{z}] - H[\mathbf{x}|\mathbf{z}] \;\ge\; 0$$
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
    """Correlation of the residuals (N, 784) of pixels side by side, in 20 groups of digits:
    (20,).
    """
    r = residual.unflatten(-1, (28, 28))
    a, b = r[..., :-1].reshape(20, -1), r[..., 1:].reshape(20, -1)
    return (a * b).sum(1) / ((a**2).sum(1) * (b**2).sum(1)).sqrt()


# %% tags=["claim-30"]
with torch.no_grad():
    p = pixelvae.decoder(codes["PixelVAE"])
    logits = in_parts(
        p.logits, draws["PixelVAE"], rows=8
    )  # (200, 6, 784): of each pixel, given z and those before it
    log_p = in_parts(p.log_prob, draws["PixelVAE"], rows=8).mean(
        0
    )  # (6,): minus the image's entropy given z
    total_correlation = entropy(torch.sigmoid(logits).mean(0)).sum(-1) + log_p

x = test[: len(test) // 20 * 20]
residuals = {  # of the test digits, each at a code of its own
    "VAE": in_parts(lambda x: x - vae.decoder(vae.encoder(x).rsample()).mean, x),
    "PixelVAE": in_parts(
        lambda x: x - torch.sigmoid(pixelvae.decoder(pixelvae.encoder(x).rsample()).logits(x)), x
    ),
}
left_over = {name: neighbours(r) for name, r in residuals.items()}
from_grey = neighbours(x - digits.test.x[: len(x)].float() / 255)
said = {name: f"{r.mean():.3f} $\\pm$ {r.std() / 20**0.5:.3f}" for name, r in left_over.items()}
measured["claim-30"] = (
    f"residuals of neighbouring pixels in {len(x):,} test digits correlate by {said['VAE']} under"
    f" the VAE (its decoder says 0) and by {said['PixelVAE']} under the PixelVAE. Given one code,"
    f" its draws have a total correlation of {total_correlation.mean():.1f} nats"
    f" ({total_correlation.min():.1f} to {total_correlation.max():.1f} over six codes,"
    f" {len(logits)} draws each), the VAE's 0"
)
display(
    Markdown(
        f"**Measured.** {measured['claim-30']}. Given the grey picture residuals correlate by "
        f"{from_grey.mean():.3f} $\\pm$ {from_grey.std() / 20**0.5:.3f}."
    )
)

# %% [markdown]
# What is left of a digit after a factorised decoder has had its say is not noise: it has structure
# that the VAE's codes don't carry. (A code as rich as the grey picture would leave none: given
# that, these pixels were tossed separately.) The autoregressive decoder leaves far less behind.
#
# A total correlation above 0 is no merit in itself. It says how much the decoder *does on its own*,
# after $\mathbf{z}$ has spoken. Keep that in mind for the tug-of-war below.

# %% [markdown]
# ## The chain rule, pixel by pixel
# No distribution needs independent pixels. Number them in the order of reading, line by line, and
# take the product rule:
#
# $$p(\mathbf{x}|\mathbf{z}) = p(x_1|\mathbf{z}) \prod_{d=2}^{D} p(x_d|x_1, \dots, x_{d-1}, \mathbf{z})$$
#
# Read aloud: draw the first pixel, then each next one given all you have drawn. Nothing is assumed
# and nothing approximated; only the order is a choice. Without $\mathbf{z}$ it is a model
# $p(\mathbf{x})$ of its own, with an exact likelihood: no bound, no encoder.
#
# A network for each of 784 conditionals would be absurd. **One** convolutional network gives all
# 784 logits, if its output at pixel $d$ is forbidden to see pixel $d$ and what comes after. That is
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
    """Where a masked convolution may look: (size, size), zeros and ones, mask[row, column].

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
        " places, just under half: half of a kernel's places lie behind its centre. The first two"
        " are the layers of the network you will train."
    ),
)

# %% [markdown]
# ## Exercise 2: the log-likelihood (5 minutes)
# With masks in place one pass gives all the logits, `net(x)[:, d]` for pixel $d$, each computed
# from the pixels before it alone. The log of the product is a sum:
#
# $$\log p(\mathbf{x}) = \sum_{d=1}^{D} \left[x_d \log p_d + (1 - x_d) \log(1 - p_d)\right], \qquad
#   p_d = \mathrm{sigmoid}(l_d)$$
#
# Read aloud: each pixel earns the log-probability of the value it has. Work on the logits $l_d$:
# $\log p_d$ is `F.logsigmoid(l)`, and $\log(1 - p_d)$ is `F.logsigmoid(-l)`.


# %% tags=["exercise"]
def log_prob(x: Tensor, net) -> Tensor:
    """log p(x) under an autoregressive network, in nats.

    x: (B, D), zeros and ones. net(x): (B, D), the logit of each pixel given those before it.
    Returns: (B,).
    """
    ### BEGIN SOLUTION
    logits = net(x)
    return (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)
    ### END SOLUTION


# %% tags=["exercise-check"]
log_prob = check.log_prob(log_prob)

# %% [markdown]
# ## Exercise 3: one pixel (4 minutes)
# Drawing is the chain itself: pixel after pixel, each given those already there. Write one step.
# What stands in `x` from pixel `i` on has not been drawn yet and does not matter. (Python counts
# from 0: pixel `i` is $x_{i+1}$ above.) `torch.bernoulli(p)` draws a 0 or a 1 for each entry of
# `p`.


# %% tags=["exercise"]
def draw(x: Tensor, i: int, net) -> Tensor:
    """The images x with pixel i drawn from p(x_i | x_0, ..., x_{i-1}), and all others as they were.

    x: (B, D), of which the first i pixels are drawn.  net(x): (B, D), logits.  Returns: (B, D).
    """
    ### BEGIN SOLUTION
    p = torch.sigmoid(net(x)[:, i])
    x = x.clone()
    x[:, i] = torch.bernoulli(p)
    return x
    ### END SOLUTION


# %% tags=["exercise-check"]
draw = check.draw(draw)

# %% [markdown]
# ## Train it
# Your mask in every layer, your log-likelihood as the objective. **Predict.** A coin for each pixel
# scores $784 \log \frac12$, some $-543$ nats. How many of the first 100 steps does it take to get
# to $-150$? And what will be right first in its samples, strokes or digits?
#
# Stop it whenever you like (the square button): you keep what you have.


# %%
def pixelcnn(first: str = "A", width: int = 16, layers: int = 4) -> PixelCNN:
    """A small PixelCNN with your masks: 7x7 of kind `first`, then 3x3 of kind B, then a logit for
    each pixel.
    """
    net = PixelNet(width, layers)
    for i, conv in enumerate(net.convs):
        size, kind = (7, first) if i == 0 else (3, "B")
        net.convs[i] = MaskedConv2d(
            conv.in_channels, width, torch.as_tensor(mask(size, kind)).float()
        )
    initialise(net.convs)
    return PixelCNN(net)


def train(model: PixelCNN, n: int, **settings):
    """One epoch over n digits, maximising your log-likelihood."""

    def objective(x: Tensor, beta: float) -> tuple[Tensor, dict[str, Tensor]]:
        value = log_prob(x, model.net)
        return value, {"log_p": value}

    return fit(
        model,
        digits.train[:n],
        epochs=1,
        batch_size=50,
        lr=3e-3,
        objective=objective,
        device=DEVICE,
        **settings,
    )


torch.manual_seed(0)
own = pixelcnn()
history = train(
    own,
    8000,
    live=plot.Live(
        parts={"log_p": (MODEL, "-", "log p(x)")},
        title="samples",
        draw=lambda model: model.sample((20,)),
    ),
)
own = own.cpu()

# %% jupyter={"source_hidden": true}
if history.steps:
    reached = next((row["step"] for row in history.steps if row["log_p"] > -150), None)
    score = in_parts(own.log_prob, test)
    display(
        Markdown(
            "The training average passed $-150$ nats"
            f" {'at step ' + str(reached) if reached else 'not yet'}. After step"
            f" {history.steps[-1]['step']:,} your model gives {len(test):,} test digits"
            f" **{score.mean():.1f}** $\\pm$ {score.std() / len(score) ** 0.5:.1f} nats each,"
            " exactly: there is no gap, because there is no bound. It has"
            f" {sum(w.numel() for w in own.parameters()):,} weights; the decoder of vae_40d alone"
            f" has {sum(w.numel() for w in vae.decoder.parameters()):,}."
        )
    )

# %% [markdown]
# A few dozen steps teach it strokes: every pixel of every digit is a training case for the same few
# weights. Digits take longer, and some never come: this network sees seven rows up, and a 9 is
# taller than that.

# %% [markdown]
# ## Drawing without doing anything twice
# By the book, a sample takes 784 passes of the network, one for each pixel, and of each pass a
# single logit is used. The other 783 are thrown away. **Predict.** How much of that work is needed
# at all?
#
# Every feature depends on earlier pixels only. So each feature can be computed *once*, when those
# pixels are known, and kept. `sample` does that: what the rows above mean for a row is one
# convolution for the whole row, and what stands to the left of a pixel is a small product at that
# pixel.


# %%
@torch.no_grad()
def by_the_book(net, n: int, passes: int = 784) -> Tensor:
    """n images, (n, 784): your `draw`, pixel after pixel, with a full pass of the network for
    each.
    """
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
noise = torch.rand(
    1, 784
)  # the same for both: a logit far above 0 where it is less than p, and far below elsewhere
same = torch.equal(
    by_the_book(lambda x: 1e9 * (own.net(x) - torch.logit(noise)), 1), own.sample((1,), noise=noise)
)
plot.show(
    plot.images([torch.cat([slow, fast])]),
    alt=(
        "Ten samples in a row, five drawn by the book and five by sample: strokes and parts of"
        " digits in both."
    ),
    caption=(
        f"Left, five images from your draw, step by step: {between - began:.1f} s of processor"
        f" time. Right, five from sample: {ended - between:.2f} s. With the same noise the two ways"
        f" give {'the same image, pixel for pixel' if same else 'different images'}."
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
display(
    Markdown(
        "\n".join(
            [
                (
                    "| model | images | multiply-adds by the book, $10^9$ | each once, $10^9$ |"
                    " time by the book | each once | times faster |"
                ),
                "|:--|--:|--:|--:|--:|--:|--:|",
                *rows,
                "",
                (
                    "*The shipped models, processor time: the best of 3 draws; by the book, the"
                    f" better of 2 runs of {few[1]} passes ({few[16]} for 16 images), scaled to"
                    f" 784. The factor is from {min(factors):.0f} to {max(factors):.0f}.*"
                ),
            ]
        )
    )
)

# %% [markdown]
# By count it is a factor of 784: one pass's work in place of 784. In time a single image gets less
# of it, because its 784 steps are small ones that follow one another; a batch shares the steps. The
# order can't be parallelised away: that is the price of a chain. (Scoring an image has no such
# price: one pass.)

# %% [markdown]
# ## A blind spot
# How far up can a pixel see? A kernel of size 7 sees three rows up, and each further layer of size
# 3 adds one: nine rows in the shipped networks of 7 layers, and as many columns to either side. But
# stacking masked convolutions hides a flaw. **Predict.** Of the pixels within that reach, which
# will have no influence at all? Click one on the left to see.

# %%
reach_explorer({"PixelCNN": plain.net, "gated PixelCNN": gated.net}, test[:8], cell=(14, 12))

# %% [markdown]
# Three things to try: walk to the right along row 14 and watch the orange triangle right above the
# row, less than ten columns away (what is orange farther off is out of reach); sit on the last
# column (is something still missing within reach, and why?); go to row 2, close under the upper
# edge.

# %% jupyter={"source_hidden": true}
nets, cell = {"PixelCNN": plain.net, "gated PixelCNN": gated.net}, (14, 12)


def seen(net: nn.Module, cell: tuple[int, int]) -> Tensor:
    """Which pixels have a gradient on the logit at the cell, for some of eight digits: (28, 28)."""
    x = test[:8].clone().requires_grad_()
    return (
        torch.autograd.grad(net(x)[:, cell[0] * 28 + cell[1]].sum(), x)[0]
        .abs()
        .sum(0)
        .reshape(28, 28)
        > 0
    )


def within(cell: tuple[int, int]) -> Tensor:
    """The earlier pixels that layers of this size could see at best, nine rows up and nine columns
    to either side: (28, 28).
    """
    (r, c), window = cell, torch.zeros(28, 28, dtype=torch.bool)
    window[max(0, r - 9) : r + 1, max(0, c - 9) : c + 10] = True
    return window & (torch.arange(784) < r * 28 + c).reshape(28, 28)


def blind(name: str, cell: tuple[int, int]) -> int:
    return int((within(cell) & ~seen(nets[name], cell)).sum())


reach = reach_picture(nets, test[:8], cell=cell)
for ax in reach.axes:  # nine rows up, nine columns to either side
    ax.add_patch(
        plt.Rectangle(
            (cell[1] - 9.5, cell[0] - 9.5), 19, 10, fill=False, color="black", linestyle="--"
        )
    )
plot.show(
    reach,
    alt=(
        "Two grids of 28 by 28 pixels. In the PixelCNN's, the pixels seen from row 14, column 12"
        " fill a block above and to the left whose right edge slopes away: a triangle to the right"
        " above the pixel is orange, not seen. In the gated PixelCNN's the block is a full"
        " rectangle."
    ),
    caption=(
        f"Blue: earlier pixels that the logit at row {cell[0]}, column {cell[1]} looks at, deeper"
        " where more. Orange: earlier, and without any influence. Dashed: within reach of the"
        f" layers; what is orange inside is the blind spot. Of the {int(within(cell).sum())}"
        f" earlier pixels within reach, the PixelCNN misses {blind('PixelCNN', cell)} and the gated"
        f" one {blind('gated PixelCNN', cell)}; at row 2, same column, it is"
        f" {blind('PixelCNN', (2, 12))} and {blind('gated PixelCNN', (2, 12))}, at the last column"
        f" of row 14 {blind('PixelCNN', (14, 27))} and {blind('gated PixelCNN', (14, 27))}: nothing"
        " above lies to the right of it."
    ),
)

# %% [markdown]
# The mask leaves out the pixels to the right in the *same* row, at every layer. To look above and
# to the right, a layer of size 3 goes at most one column to the right for each row up; the first
# one, of size 7, goes three columns once. So whatever lies more than two columns beyond that
# diagonal is never seen, however many layers you add. That is the **blind spot**.
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
# $$\mathcal L(\mathbf{x}) = \mathbb{E}_{q(\mathbf{z}|\mathbf{x})}\!\left[\sum_{d=1}^D \log p(x_d|x_1, \dots, x_{d-1},
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
    map_of_z = pixelvae.decoder.given(
        q.rsample()
    )  # (50, 16) to (50, 32 * 784): 32 features for each pixel
    chain_given_z = lambda x: pixelvae.decoder.net(x, map_of_z)  # noqa: E731
    by_hand = log_prob(x, chain_given_z) - kl(q, pixelvae.prior)  # the equation above, (50,)
    torch.manual_seed(0)
    by_model = pixelvae.elbo(x)
print(
    f"{len(x)} test digits, nats: {by_hand.mean():.2f} with your log_prob, {by_model.mean():.2f} by"
    " pixelvae.elbo"
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
        "Samples, zeros and ones all of them. Within a column the PixelVAE's three have one code"
        f" and share {shared.mean():.0%} ± {shared.std() / 10**0.5:.0%} of their ink (mean over ten"
        f" codes and its standard error); draws from different codes share {by_chance.mean():.0%},"
        " by chance. What goes beyond that is z's doing."
    ),
)

# %% [markdown]
# Look along the fourth row. The gated PixelCNN's pixels see nine rows, and none of them knows what
# the whole is to be: strokes come out well, and need not add up to a digit. The PixelVAE's pixels
# see four rows, and $\mathbf{z}$ knows the rest.

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
display(
    Markdown(
        "\n".join(
            [
                "| model | test NLL, nats | | weights | epochs |",
                "|:--|--:|:--|--:|--:|",
                *lines,
                "",
                (
                    f"*Negative log-likelihood over all {cards['pixelvae']['results']['n']:,} test"
                    " digits, with the standard error over digits: less is better. As the recipes"
                    " measured. Importance sampling with S codes gives an upper bound of the NLL.*"
                ),
            ]
        )
    )
)
nll = {name: card["results"]["test_nll"] for name, card in cards.items()}
order = sorted(nll, key=nll.get)

# %% jupyter={"source_hidden": true}
log_w = torch.cat(
    [in_parts(lambda x: pixelvae.log_weight(x, (50,)).T, test[:30], rows=1) for _ in range(3)], 1
).T  # (150, 30)
S_card = cards["pixelvae"]["results"]["S"]
at_S = log_mean_exp(log_w[: len(log_w) // S_card * S_card].unflatten(0, (-1, S_card)), 1).mean(0)
gained = log_mean_exp(log_w) - at_S
chain = sum(w.numel() for w in pixelvae.decoder.net.parameters())
display(
    Markdown(
        f"The order, best first: {', '.join(names[name] for name in order)}. From the PixelCNN to"
        " the gated one, at fewer weights, the NLL changes by"
        f" {nll['gated_pixelcnn'] - nll['pixelcnn']:+.1f} nats; with a code beside the pixels by"
        f" another {nll['pixelvae'] - nll['gated_pixelcnn']:+.1f}, though the PixelVAE's decoder"
        " sees 4 rows up and the gated PixelCNN 9. Not all of that need be the code's doing: the"
        f" PixelVAE has {size['pixelvae'] / size['gated_pixelcnn']:.0f} times the weights"
        f" ({chain:,} of them in the chain of pixels) and saw the digits"
        f" {cards['pixelvae']['epochs_trained']} times in place of"
        f" {cards['gated_pixelcnn']['epochs_trained']}.\n\nHow loose is S = {S_card}? On"
        f" {log_w.shape[1]} digits, {len(log_w)} codes in place of {S_card} lower the NLL by"
        f" {gained.mean():.2f} $\\pm$ {gained.std() / len(gained) ** 0.5:.2f} nats."
    )
)

# %% [markdown]
# Published, with larger networks and longer trainings: on statically binarised digits a PixelCNN
# alone 81.3 and PixelVAE 80.6 (12 layers of 5x5; Gulrajani et al.). On dynamically binarised ones a
# small PixelCNN of 6 layers 87.6, and 79.5 with a code (Chen et al.). The PixelCNNs here were
# trained for a few epochs on a CPU; the column says how many.

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
x, y = test[:300], labels[:300]
rows = []
for name, model in (("VAE", vae), ("PixelVAE", pixelvae)):
    again = redrawn[name]  # a code for each digit and one draw from it, as above
    kept, same_pixels = (
        (named(again) == y).float().mean().item(),
        (again == x).float().mean().item(),
    )
    nats = in_parts(lambda x: kl(model.encoder(x), model.prior), x).mean().item()  # noqa: B023
    units = f"{int(active_units(model, test).sum())} of {model.prior.sample((1,)).shape[-1]}"
    rows.append((name, nats, units, kept, same_pixels))
ceiling = (named(x) == y).float().mean().item()

# %% jupyter={"source_hidden": true}
bar = lambda p: (p * (1 - p) / len(x)) ** 0.5  # noqa: E731
display(
    Markdown(
        "\n".join(
            [
                (
                    "| model | KL, nats | active units | drawn anew, still the same digit | pixels"
                    " that are the same |"
                ),
                "|:--|--:|--:|--:|--:|",
                *(
                    f"| {name} | {kl:.1f} | {units} | {kept:.0%} $\\pm$ {bar(kept):.0%} |"
                    f" {pixels:.1%} |"
                    for name, kl, units, kept, pixels in rows
                ),
                "",
                (
                    f"*{len(x)} test digits; the classifier names {ceiling:.0%} of the digits"
                    f" themselves. A blank picture has {1 - x.mean():.1%} of a digit's pixels"
                    f" right, another digit {(x == x.roll(1, 0)).float().mean():.1%}.*"
                ),
            ]
        )
    )
)
kl_ratio = rows[1][1] / rows[0][1]
display(
    Markdown(
        f"With {kl_ratio:.0%} of the VAE's nats the PixelVAE's code still keeps the digit in"
        f" {rows[1][3]:.0%} of the cases, the VAE's in {rows[0][3]:.0%}. The rest the pixels settle"
        " among themselves."
    )
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
# Does a decoder listen? Give each digit the code $\mathbf{z}'$ of **another** one and count what it
# loses:
#
# $$\log p(\mathbf{x}|\mathbf{z}) - \log p(\mathbf{x}|\mathbf{z}')$$
#
# Read aloud: the nats by which its own code explains a digit better than a stranger's. A deaf
# decoder loses nothing. **Predict.** How many will it be with 0 rows in sight, how many with 7?

# %%
SEVEN_FREE = (  # seven rows again, 1 nat for each dimension of z free of charge: see below
    "7, free bits"
)
decoders = {
    "0": (0, 0.0),
    "1": (1, 0.0),
    "3": (3, 0.0),
    "7": (7, 0.0),
    SEVEN_FREE: (7, 1.0),
}  # rows, free nats
small = Data(
    (255 * pixels_against_code.halved(digits.train.x[:4000])).round().byte(), binarise="dynamic"
)


def small_pixelvae(rows: int, nats: float) -> LatentVariableModel:
    torch.manual_seed(0)
    model = pixels_against_code.small_pixelvae(rows)
    fit(
        model,
        small,
        epochs=2,
        anneal=1,
        batch_size=50,
        lr=3e-3,
        objective=free_bits(model, nats),
        progress=False,
    )
    return model


tug = {
    name: small_pixelvae(*settings)
    for name, settings in progress(decoders.items(), desc="trainings")
}


# %%
@torch.no_grad()
def lost_with_another_code(model: LatentVariableModel, x: Tensor) -> Tensor:
    """By how many nats a digit's own code explains it better than another digit's: (N,)."""
    z = model.encoder(x).rsample()
    another = z[torch.randperm(len(z))]
    return in_parts(
        lambda x, z, other: model.decoder(z).log_prob(x) - model.decoder(other).log_prob(x),
        x,
        z,
        another,
    )


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
    gaps = torch.cdist(
        x[:32].mean(0), x[32:].mean(0), 1
    )  # in pixels: |differences| summed over the image
    n = len(gaps)
    same = gaps.diagonal().mean()
    return f"{(gaps.mean() * n - same) / (n - 1):.1f} | {same:.1f}"


def with_error(v: Tensor, places: int = 1) -> str:
    return f"{v.mean():.{places}f} ± {v.std() / len(v) ** 0.5:.{places}f}"


def draw_tug(rows: str) -> plt.Figure:
    """Digits and draws from their codes; what the codes say and what they are worth, for all
    decoders.
    """
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
        means, errors = (
            [v.mean() for v in values.values()],
            [v.std() / len(v) ** 0.5 for v in values.values()],
        )
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


slider_figure(
    draw_tug,
    rows=[*tug],
    alt=(
        "Left, eight digits of 14 by 14 pixels, the mean of 64 draws from the code of each, and"
        " three of the draws. Right, bars for each decoder: the KL, and the nats a digit loses with"
        " another's code."
    ),
)

# %% [markdown]
# Three things to try: begin at 0 rows and look at the means, most of which have something of the
# digit above them (where one is mere grey, the short training has not come to that code); move to
# 7, and see how much fainter and more alike they have become; then take one step more, to *free
# bits*.

# %% jupyter={"source_hidden": true}
plot.show(
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
        "Digits, and the mean of 64 draws from the code of each. From 0 to 7 rows the cost of"
        " another digit's code goes from "
    )
    + " to ".join(with_error(lost[name]) for name in ("0", "7"))
    + " nats, the KL goes from "
    + " to ".join(with_error(tug_kl[name], 2) for name in ("0", "7"))
    + f" nats; with free bits a wrong code costs {with_error(lost[SEVEN_FREE])}.",
)
display(
    Markdown(
        "\n".join(
            [
                (
                    "| rows in sight | KL, nats | lost with another's code | bound | two codes'"
                    " means differ by | one code's, drawn twice |"
                ),
                "|:--|--:|--:|--:|--:|--:|",
                *(
                    f"| {name} | {with_error(tug_kl[name], 2)} | **{with_error(lost[name])}** |"
                    f" {tug_bound[name].mean():.1f} | {apart(of_codes[name])} |"
                    for name in tug
                ),
                "",
                (
                    f"*{len(small_test):,} test digits, ± standard error over digits; one training"
                    " each. With free bits 8 nats are free. Last columns: means of 32 draws,"
                    " differences in pixels; what one code's own draws differ by is chance.*"
                ),
                "",
                (
                    f"From 3 to 7 rows the bound goes from {tug_bound['3'].mean():.1f} to"
                    f" {tug_bound['7'].mean():.1f}: seven layers need a longer training than three."
                    " A deaf decoder would lose 0.0 with another's code."
                ),
            ]
        )
    )
)

# %% [markdown]
# Decoders that see rows above do better by the bound than the one that sees none, and hear less of
# their code: what they are told costs nats, a look at the pixels costs none.
#
# **Free bits** are the cure from the encoder's side. $\sum_j \max(\lambda, \mathrm{KL}_j)$ in place
# of the KL, where $j$ counts the dimensions of $\mathbf{z}$ and $\mathrm{KL}_j$ is averaged over
# the batch, makes the first $\lambda$ nats of each cost nothing. So the encoder gains nothing by
# saying less, and what it says anyway the decoder learns to use (`free_bits` in
# [pixelvae.py](../dgmcourse/models/pixelvae.py)). In a short training the bound pays for it:
# compare the two at 7 rows. The study below says whether it does after a longer one.
#
# Two epochs are a short training, and one seed is one seed. The study below trained models of this
# kind for four times as many epochs on 5,000 digits in place of 4,000, with several seeds.
# **Predict.** Will a longer training bring the code back, or silence it?

# %% tags=["claim-26"]
study = recipes.study("pixels_against_code")
free = {row["free_bits"] for row in study["rows"]} - {0.0}
by_reach = {
    r: [row for row in study["rows"] if row["reach"] == r and row["free_bits"] == 0]
    for r in sorted({row["reach"] for row in study["rows"]})
}
mean = {
    key: {r: np.mean([row[key] for row in rows]) for r, rows in by_reach.items()}
    for key in ("kl", "nll")
}
spread = {
    key: {r: np.std([row[key] for row in rows], ddof=1) for r, rows in by_reach.items()}
    for key in ("kl", "nll")
}
low, high = min(by_reach), max(by_reach)
measured["claim-26"] = (
    f"another decoder is another posterior: from {low} to {high} rows in sight the KL goes from"
    f" {mean['kl'][low]:.1f} $\\pm$ {spread['kl'][low]:.1f} to {mean['kl'][high]:.1f} $\\pm$"
    f" {spread['kl'][high]:.1f} nats and the NLL from {mean['nll'][low]:.1f} $\\pm$"
    f" {spread['nll'][low]:.1f} to {mean['nll'][high]:.1f} $\\pm$ {spread['nll'][high]:.1f}"
    f" (standard deviation over {len(by_reach[low])} seeds)"
)
least = min(row["active"] for row in study["rows"] if row["free_bits"] == 0)
display(
    Markdown(
        f"**Measured.** {measured['claim-26']}. In no run are fewer than {least} of 8 dimensions"
        " active: the code"
        f" {'says less, and is not silenced' if least else 'falls silent altogether in some'}. From"
        f" the short training above to this one the KL goes from {tug_kl[str(high)].mean():.1f} to"
        f" {mean['kl'][high]:.1f} nats at {high} rows, but also from {tug_kl[str(low)].mean():.1f}"
        f" to {mean['kl'][low]:.1f} at {low}: {high} rows leave"
        f" {tug_kl[str(high)].mean() / tug_kl[str(low)].mean():.0%} of the blind decoder's nats"
        f" after the one, {mean['kl'][high] / mean['kl'][low]:.0%} after the other."
    )
)

# %% jupyter={"source_hidden": true}
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.8))
for ax, key, colour, label in (
    (left, "kl", PRIOR, "KL, nats"),
    (right, "nll", MODEL, "test NLL, nats"),
):
    ax.errorbar(
        [*by_reach],
        [*mean[key].values()],
        [*spread[key].values()],
        fmt="o-",
        color=colour,
        capsize=3,
        label="the bound",
    )
    for nats in sorted(free):
        rows = [row for row in study["rows"] if row["free_bits"] == nats]
        at_reach = rows[0]["reach"]
        values = [row[key] for row in rows]
        ax.errorbar(
            [at_reach + 0.25],
            [np.mean(values)],
            [np.std(values, ddof=1)],
            fmt="s",
            color=POSTERIOR,
            capsize=3,
            label=f"free bits, {nats:g} nats a dimension",
        )
    ax.set(xlabel="rows the decoder sees above a pixel", ylabel=label, xticks=[*by_reach])
left.legend(fontsize=8)
left.set_ylim(0, None)
steps = [*zip([*by_reach], [*by_reach][1:], strict=False)]
n = len(by_reach[low])
clear = sum(
    mean["kl"][a] - mean["kl"][b] > 2 * np.hypot(spread["kl"][a], spread["kl"][b]) / n**0.5
    for a, b in steps
)
rescued = [row for row in study["rows"] if row["free_bits"] == max(free)]
plot.show(
    fig,
    alt=(
        f"Left: the KL against the rows the decoder sees, from {mean['kl'][low]:.1f} nats at {low}"
        f" to {mean['kl'][high]:.1f} at {high}; a square, trained with free bits, lies at"
        f" {np.mean([row['kl'] for row in rescued]):.1f}. Right: the test NLL, from"
        f" {mean['nll'][low]:.1f} to {mean['nll'][high]:.1f}."
    ),
    caption=(
        f"From {low} to {high} rows the KL goes from {mean['kl'][low]:.1f} to"
        f" {mean['kl'][high]:.1f} nats, in {clear} of {len(steps)} steps down by more than two"
        f" standard errors. With {max(free):g} nats free in each of 8 dimensions it is"
        f" {np.mean([row['kl'] for row in rescued]):.1f} at {rescued[0]['reach']} rows,"
        f" {8 * max(free):g} of them free, at an NLL of"
        f" {np.mean([row['nll'] for row in rescued]):.2f} ±"
        f" {np.std([row['nll'] for row in rescued], ddof=1):.2f}, without"
        f" {mean['nll'][rescued[0]['reach']]:.2f} ± {spread['nll'][rescued[0]['reach']]:.2f} (at"
        f" most, S = {study['settings']['S']}). {study['data']}, {study['settings']['epochs']}"
        f" epochs; bars: standard deviation over {n} seeds."
    ),
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
framed = lambda x: F.pad(x.reshape(-1, 28, 28), (1, 1, 1, 1), value=0.3).flatten(1)  # noqa: E731 - or a blank one is nothing
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
        f"After {leak_history.steps[-1]['step'] if leak_history.steps else 0} steps the leaking"
        f" network says {cheat:.1f} nats of {len(test):,} test digits, the honest one {honest:.1f}"
        f" after {history.steps[-1]['step'] if history.steps else 0}. Its number is no"
        " log-probability: over all images exp of it does not sum to 1. Its samples have"
        f" {leaked.sum(-1).mean():.0f} pixels of ink on average, test digits"
        f" {test.sum(-1).mean():.0f}."
    ),
)

# %% [markdown]
# No honest model comes near that likelihood, and the samples have nothing of a digit. The network
# copies its input to its output; when drawing, there is nothing to copy yet. **A likelihood that is
# too good is a leak until proven otherwise.** A test is cheap: a gradient from each output to each
# input, or the sum over all images of a tiny model, which must be 1.


# %%
def leaks(model: PixelCNN) -> str:
    """Of how many logits there is a gradient to the logit's own pixel or to a later one."""
    x, found, asked = torch.rand(1, 784, requires_grad=True), 0, range(0, 784, 27)
    for i in asked:
        gradient = torch.autograd.grad(model.net(x)[0, i], x)[0][0]
        found += bool((gradient[i:] != 0).any())
    return f"{found} of {len(asked)}"


display(
    Markdown(
        f"**Caught.** Logits that see their own pixel or a later one: {leaks(leaky)} in the leaking"
        f" network, {leaks(own)} in yours, {leaks(gated)} in the gated PixelCNN."
    )
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
    known = torch.arange(784) < 28 * r
    settled.append((named(gated.sample((len(x),), x=x, known=known)) == y).float().mean().item())

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.6))
errors = [(p * (1 - p) / len(x)) ** 0.5 for p in settled]
ax.errorbar(
    kept_rows,
    [100 * p for p in settled],
    [100 * e for e in errors],
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
        f"{len(x)} test digits, one completion each by the gated PixelCNN. More than half are"
        f" settled from {half} rows on; with 14 rows it is {settled[kept_rows.index(14)]:.0%} ±"
        f" {errors[kept_rows.index(14)]:.0%}."
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
table = [f"| {claim} | {measured[f'claim-{n}']} |" for n, claim in claims.items()]
display(Markdown("\n".join(["| the lecture says | you measured |", "|:--|:--|", *table])))

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
# A PixelCNN with an encoder that nobody listens to. The bound is fine, the representation empty:
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
