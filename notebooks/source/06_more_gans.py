# ---
# jupyter:
#   dgmcourse:
#     part: The game
#     question: What did others make of it?
#     about: convolutional, auxiliary classifier and bidirectional GANs, and the Wasserstein
#       auto-encoder beside the VAE
#     slides: More GANs
#     minutes: 80
#     weights: {dcgan: GAN, wae_gan: Wasserstein auto-encoder}
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
# # More GANs: what can be added to the game
# *80 minutes, about 20 of them for three exercises. Slides: "More GANs (selected)". You need the
# game of notebook 04; the transport of [notebook 05](05_wgan.ipynb) and the bound of [notebook
# 07](07_vae.ipynb) serve as comparisons.*
#
# A GAN hands you digits and no handle: you can't ask it for a 7, and you can't give it a 7 and ask
# for the code. Below is one that was told, in training, which digit to draw. **What must be added
# to the game for a class, for an encoder, for a distance you can trust, and what does each addition
# cost?**
#
# Three things to try: turn the style slider and watch whether the class holds; find a style whose
# slant or stroke all ten digits share; press the button until a digit fails, and say which class it
# is.

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

import torch

from dgmcourse import intervals, plot, recipes
from dgmcourse.plot import (
    CRITIC,
    DATA,
    MODEL,
    NOISE,
    POSTERIOR,
    PRIOR,
    mean_and_error,
    plt,
    progress,
)
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.figure import slider_figure

acgan = recipes.load("acgan")


def normal(*shape, seed: int) -> torch.Tensor:
    """Draws from N(0, I), the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def draw_class(digit: int, style: float, seed: int) -> plt.Figure:
    """The digit large, and all ten digits in the same style: a walk round a circle of styles, each
    a draw from N(0, I).
    """
    a, b = normal(2, acgan.prior.dim, seed=seed)
    z = a * math.cos(2 * math.pi * style) + b * math.sin(2 * math.pi * style)
    all_ten = acgan.generate(z.expand(10, -1), torch.arange(10))
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.5), width_ratios=(1, 2.4))
    plot.draw_images(left, all_ten[digit : digit + 1], 1, f"a {digit}, as ordered")
    plot.draw_images(right, all_ten, 5, "the same style for all ten classes")
    return fig


turns = torch.arange(12) / 12 * 2 * math.pi
a, b = normal(2, acgan.prior.dim, seed=0)
styles = turns.cos()[:, None] * a + turns.sin()[:, None] * b
with torch.no_grad():
    grid = acgan.generate(styles.repeat(4, 1), torch.tensor([0, 2, 4, 7]).repeat_interleave(12))
show_widget(
    slider_figure(
        draw_class,
        alt="A large digit of the chosen class, and all ten digits in the same style.",
        digit=(0, 9, 1, 7),
        style=(0.0, 1.0, 0.05, 0.0),
        seed="other styles",
    ),
    plot.images([*grid.split(12)], columns=12, titles=["told: 0", "told: 2", "told: 4", "told: 7"]),
    alt=(
        "Four rows of twelve generated digits, told to be 0, 2, 4 and 7. Along each row the style"
        " changes and comes back."
    ),
    caption="Along a row one class is told, and the style goes once round a circle.",
)

# %% [markdown]
# Afterwards you can write the objectives of four relatives of the GAN, say what each adds to the
# game, and measure whether it pays: images, class, code, and the fit of the codes to the prior.

# %% [markdown]
# ## Four changes to one game
# The GAN has a prior $p(\mathbf{z})$, a generator $G(\mathbf{z})$ and a discriminator
# $D(\mathbf{x})$, the probability that $\mathbf{x}$ is real. The lecture names four papers that
# change one thing each.


# %% jupyter={"source_hidden": true}
def panel(ax, title, boxes, arrows):
    """Boxes {name: (x, y, text, colour)} and arrows between them, drawn in an axis of 10 by 6."""
    ax.set(xlim=(0, 10), ylim=(0, 6))
    ax.set_axis_off()
    ax.set_title(title, fontsize=10)
    drawn = {}
    for name, (x, y, text, colour) in boxes.items():
        frame = {"boxstyle": "round,pad=0.35", "facecolor": colour + "22", "edgecolor": colour}
        drawn[name] = ax.text(x, y, text, ha="center", va="center", fontsize=10, bbox=frame)
    for start, end in arrows:
        a, b = drawn[start], drawn[end]
        link = {"arrowstyle": "-|>", "color": DATA, "linewidth": 1.1, "shrinkA": 1, "shrinkB": 2}
        link |= {"patchA": a.get_bbox_patch(), "patchB": b.get_bbox_patch()}
        ax.annotate("", b.get_position(), a.get_position(), arrowprops=link)


Z, G, X = r"$\mathbf{z}$", "$G$", r"$\mathbf{x}$"
fig, axes = plt.subplots(2, 2, figsize=(plot.WIDTH, 4.4))
panel(
    axes[0, 0],
    "DCGAN: networks that know pictures",
    {
        "z": (1, 4.6, Z, NOISE),
        "G": (4, 4.6, "$G$: convolutions", MODEL),
        "x": (1, 1.4, X, DATA),
        "D": (6.6, 3, "$D$: convolutions", CRITIC),
        "real": (9.3, 5.2, "real?", CRITIC),
    },
    [("z", "G"), ("G", "D"), ("x", "D"), ("D", "real")],
)
panel(
    axes[0, 1],
    "auxiliary classifier GAN: a class for both",
    {
        "z": (1, 5.2, Z, NOISE),
        "c": (1, 3.6, "class $c$", PRIOR),
        "G": (3.8, 4.4, G, MODEL),
        "x": (1, 1.2, X, DATA),
        "D": (6.1, 2.8, "$D$", CRITIC),
        "real": (8.9, 4.4, "real?", CRITIC),
        "class": (8.9, 1.2, "class?", PRIOR),
    },
    [("z", "G"), ("c", "G"), ("G", "D"), ("x", "D"), ("D", "real"), ("D", "class")],
)
panel(
    axes[1, 0],
    "bidirectional GAN: the game on pairs",
    {
        "z": (0.8, 4.6, Z, NOISE),
        "G": (3, 4.6, G, MODEL),
        "fake pair": (5.8, 4.6, r"$(G(\mathbf{z}),\, \mathbf{z})$", NOISE),
        "x": (0.8, 1.4, X, DATA),
        "E": (3, 1.4, "$E$", POSTERIOR),
        "real pair": (5.8, 1.4, r"$(\mathbf{x},\, E(\mathbf{x}))$", DATA),
        "D": (8.9, 3, "$D$: which?", CRITIC),
    },
    [
        ("z", "G"),
        ("G", "fake pair"),
        ("x", "E"),
        ("E", "real pair"),
        ("fake pair", "D"),
        ("real pair", "D"),
    ],
)
panel(
    axes[1, 1],
    "Wasserstein auto-encoder: no game on images",
    {
        "x": (0.8, 4.6, X, DATA),
        "E": (2.7, 4.6, "$E$", POSTERIOR),
        "code": (4.6, 4.6, Z, POSTERIOR),
        "G": (6.5, 4.6, G, MODEL),
        "back": (8.8, 4.6, "near " + X + "?", MODEL),
        "prior": (0.9, 1.4, r"$\mathbf{z} \sim p(\mathbf{z})$", PRIOR),
        "penalty": (4.6, 1.4, "same distribution?", CRITIC),
    },
    [
        ("x", "E"),
        ("E", "code"),
        ("code", "G"),
        ("G", "back"),
        ("code", "penalty"),
        ("prior", "penalty"),
    ],
)
plot.show(
    fig,
    alt=(
        "Four diagrams. DCGAN: z enters G, its image and a real x enter D, which answers real or"
        " not. Auxiliary classifier: z and a class c enter G; D answers real or not, and which"
        " class. Bidirectional: z with G(z), and x with its code E(x), enter D as pairs."
        " Wasserstein auto-encoder: x is encoded, decoded and compared with itself; its codes are"
        " compared with draws from the prior."
    ),
    caption=(
        "What judges is D, and below right the question about codes. In the first two it judges"
        " images, in the third images with their codes, in the last codes only: there an image is"
        " compared with itself."
    ),
)

# %% jupyter={"source_hidden": true}
import copy
import functools
import gc
import itertools
import sys

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse import evaluate
from dgmcourse.check import more_gans as check
from dgmcourse.data.frey import frey_faces
from dgmcourse.data.images import mnist
from dgmcourse.densities import GaussianConditional, PointConditional, StandardGaussian
from dgmcourse.distances import frechet
from dgmcourse.models.auxiliary_classifier_gan import AuxiliaryClassifierGAN
from dgmcourse.models.bidirectional_gan import BidirectionalGAN
from dgmcourse.models.gan import GAN
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.networks import initialise, mlp
from dgmcourse.play import play
from dgmcourse.train import best_device, fit
from dgmcourse.weights import path_of
from dgmcourse.widgets.latent import latent_grid, latent_traversal

# %%
DEVICE = best_device()
DIGITS, BATCH = 10_000, 64  # your own trainings see these few, for the sake of time
SPLITS = 4  # samples are judged in parts of 500, whose spread gives the error bar
N = SPLITS * 500
ROWS = 100  # images that go through a network at a time, for the sake of memory
TABLE = 15  # intervals in the closing table, which all hold together

torch.set_num_threads(1)  # small networks gain little from more threads
digits = mnist(None)  # grey
few = torch.arange(min(DIGITS, len(digits.train)))
digits = digits._replace(train=digits.train[few], valid=None)  # no need of the others
judge = recipes.load("digit_classifier")  # it has no part in any game
# Of the embedded 5,000 digits the test part is too small.
pool = digits.test if len(digits.test) >= 2 * N else digits.train
real = pool[:N].tensor()  # what samples are held against
again = pool[N : 2 * N].tensor()  # other real digits
measured = {}  # what you found, for the table at the end


# %% jupyter={"source_hidden": true}
def watch(draw, columns: int = 8, unit: str = "objective, nats") -> plot.Live:
    """For play or fit, live=watch(draw): what each side climbs, and the images that draw(model)
    gives, as training goes on.
    """
    return plot.Live(parts=plot.SIDES, unit=unit, draw=draw, columns=columns, title="")


@torch.no_grad()
def samples(model, n: int = N, seed: int = 0) -> Tensor:
    """n images; of a model with a decoder its means, so that no pixel noise of p(x|z) is judged."""

    def draw(n: int) -> Tensor:
        if hasattr(model, "decoder"):
            return model.decoder(model.prior.sample((n,))).mean
        return model.sample(n)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = [ROWS] * (n // ROWS) or [n]
        return torch.cat([draw(k) for k in parts])


in_parts = functools.partial(evaluate.in_parts, rows=ROWS)


def features(x: Tensor) -> Tensor:
    return judge.features(x, ROWS)


def classes(x: Tensor) -> Tensor:
    return judge.classify(x, ROWS)


features_real = features(real)


def distance(x: Tensor) -> np.ndarray:
    """The Frechet distance of images from real ones in the judge's features, for each of the
    splits: (SPLITS,).
    """
    pairs = zip(x.chunk(SPLITS), features_real.chunk(SPLITS), strict=True)
    return np.array([frechet(features(a), b) for a, b in pairs])


def percent(right: Tensor) -> Tensor:
    """100 where it is right, else 0: the mean is a share in percent."""
    return 100 * right.double()


def steps(history) -> int:
    return history.steps[-1]["step"] if history.steps else 0


def held_against(x, y, whose: str, of: str, spec: str = ".1f", paired: bool = True) -> str:
    """The means of x and y, and their difference with its interval: of pairs if x and y were
    measured on the same digits or parts.
    """
    gap = (
        intervals.of_mean(x - y, of, comparisons=TABLE)
        if paired
        else intervals.of_difference(x, y, of, comparisons=TABLE)
    )
    return f"{x.mean():{spec}} against {y.mean():{spec}} {whose}: {gap.said('+' + spec)}"


def table(head: str, rows: list[str], note: str, columns: str = "--:") -> None:
    line = "|:--" + f"|{columns}" * (head.count("|") - 2) + "|"
    plot.markdown(head, line, *rows, "", f"*{note}*")
    gc.collect()  # figures that were closed


apart = distance(again)

# %% [markdown]
# ## DCGAN: the same game, other networks
# The objective is the GAN's, word for word:
#
# $$\min_G \max_D\; \mathbb{E}_{\mathbf{x} \sim p_{real}}[\log D(\mathbf{x})] + \mathbb{E}_{\mathbf{z} \sim p(\mathbf{z})}[\log(1 - D(G(\mathbf{z})))]$$
#
# Read aloud: the discriminator wants to call real images real and made ones made; the generator
# wants it to fail. What Radford et al. (2015) changed is what stands inside $G$ and $D$:
# convolutions with strides, batch normalisation, weights that begin at $\mathcal N(0, 0.02^2)$, and
# an Adam that forgets quickly ($\beta_1 = 0.5$). All of it stands in two cells.

# %%
LATENT, MAPS = 32, 16  # dimensions of z; feature maps (shipped: 64 and 32)
generator = nn.Sequential(
    nn.Linear(LATENT, 2 * MAPS * 49),
    nn.Unflatten(1, (2 * MAPS, 7, 7)),
    *(nn.BatchNorm2d(2 * MAPS), nn.ReLU()),  # 7 x 7
    nn.ConvTranspose2d(2 * MAPS, MAPS, 4, stride=2, padding=1),
    *(nn.BatchNorm2d(MAPS), nn.ReLU()),  # 14 x 14
    nn.ConvTranspose2d(MAPS, 1, 4, stride=2, padding=1),
    *(nn.Flatten(1), nn.Sigmoid()),  # 28 x 28 in [0, 1]
)

# %%
discriminator = nn.Sequential(
    nn.Unflatten(1, (1, 28, 28)),
    *(nn.Conv2d(1, MAPS, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),  # 14 x 14
    nn.Conv2d(MAPS, 2 * MAPS, 4, stride=2, padding=1),
    *(nn.BatchNorm2d(2 * MAPS), nn.LeakyReLU(0.2)),  # 7 x 7
    *(nn.Flatten(1), nn.Linear(2 * MAPS * 49, 1)),
)  # the logit of D(x): log D is F.logsigmoid(logit)

# %% [markdown]
# **Predict.** How far do 400 steps, a quarter of a minute, get: to noise, strokes or digits? And
# the two curves: does one side's gain show as the other's loss?

# %%
torch.manual_seed(0)
players = initialise(generator, std=0.02), initialise(discriminator, std=0.02)
game = GAN(StandardGaussian(LATENT), *players)
untrained = copy.deepcopy(game).eval()

history = play(
    game,
    digits.train,
    steps=400,
    epochs=99,
    batch_size=BATCH,
    lr=2e-3,
    device=DEVICE,
    live=watch(lambda g: samples(g, 24)),
)
game = game.cpu()

# %% jupyter={"source_hidden": true}
if len(history.steps) > 100:
    D_found, G_found = (
        np.array([row[side] for row in history.steps]) for side in ("discriminator", "generator")
    )
    plot.markdown(
        f"**Measured.** Over the last 100 of your {steps(history)} steps the discriminator's"
        f" objective was {D_found[-100:].mean():.2f} on average, the generator's"
        f" {G_found[-100:].mean():.2f}. If $D$ could only guess they would be $-2\\log 2$ ="
        f" {-2 * math.log(2):.2f} and $-\\log 2$ = {-math.log(2):.2f}. Over all steps the two"
        f" correlate by {np.corrcoef(D_found, G_found)[0, 1]:.2f}: below 0, one side's gain is the"
        " other's loss."
    )

# %% jupyter={"source_hidden": true}
dcgan, dense = recipes.load("dcgan"), recipes.load("gan")
found = {"before": untrained, "yours": game, "gan, shipped": dense, "dcgan, shipped": dcgan}
drawn = {name: samples(model) for name, model in found.items()}
far = {name: distance(x) for name, x in drawn.items()}
weights = {
    name: sum(p.numel() for p in model.generator.parameters()) for name, model in found.items()
}
plot.show(
    plot.images(
        [x[:12] for x in drawn.values()] + [real[:12]], columns=12, titles=[*drawn, "real"]
    ),
    alt=(
        "Five rows of twelve images: noise before training, rough digits after your training,"
        " digits of the shipped feed-forward GAN, digits of the shipped DCGAN, real digits."
    ),
    caption=(
        f"Frechet distance from real digits: {far['before'].mean():,.0f} before,"
        f" {far['yours'].mean():,.0f} after your {steps(history)} steps; the table has the others."
    ),
)
card_d, card_g = recipes.card("dcgan"), recipes.card("gan")
many, many_g = card_d["results"], card_g["results"]
table(
    f"| | Frechet distance, 500 at a time | of {many['n']:,} | weights of G | epochs | seconds of"
    " training |",
    [
        f"| yours | {mean_and_error(far['yours'], ',.1f')} | | {weights['yours']:,} | | |",
        (
            f"| gan, shipped | {mean_and_error(far['gan, shipped'])} | {many_g['frechet']:.1f} |"
            f" {weights['gan, shipped']:,} | {card_g['epochs_trained']} | {card_g['seconds']:,} |"
        ),
        (
            f"| dcgan, shipped | {mean_and_error(far['dcgan, shipped'])} | {many['frechet']:.1f}"
            f" | {weights['dcgan, shipped']:,} | {card_d['epochs_trained']} |"
            f" {card_d['seconds']:,} |"
        ),
        f"| other real digits | {mean_and_error(apart)} | {many['real_frechet']:.1f} | | | |",
    ],
    f"First column: {N:,} samples and as many real digits in {SPLITS} parts of 500, mean and"
    " standard error over the parts. The others are from the weights' headers. Few samples add to"
    " a distance: the last line is the best one can do. One training each.",
)
del drawn
measured["DCGAN: convolutions make a better GAN"] = (
    "Frechet distance of DCGAN "
    + held_against(far["dcgan, shipped"], far["gan, shipped"], "of the feed-forward GAN", "parts")
    + f" (500 at a time; over {many['n']:,} samples {many['frechet']:.1f} against"
    f" {many_g['frechet']:.1f}; one training each). Its generator has"
    f" {weights['dcgan, shipped'] / weights['gan, shipped']:.2f} times the weights"
)
plot.markdown(f"**Measured.** {measured['DCGAN: convolutions make a better GAN']}.")

# %% [markdown]
# A convolution knows before any training that near pixels belong together and that a stroke is a
# stroke wherever it lies: one small set of weights learns from every place of every digit. The
# feed-forward net must learn each pixel's neighbours by heart, and where it has not, it leaves the
# grains you know from notebook 04. (One training of each is compared here; [notebook
# 05](05_wgan.ipynb) shows how far 20 trainings of one game lie apart.)
#
# ### A walk between two codes
# **Predict.** Take two codes and go from one to the other along a straight line. In 64 dimensions a
# draw from $\mathcal N(\mathbf{0}, \mathbf{I})$ has a length near 8. How long is the code half-way?
#
# Three things to try: move the slider and watch the code's length; tick *straight* and do it again;
# press the button until two ends are different digits, and find the place where one becomes the
# other.

# %% jupyter={"source_hidden": true}
START = 7  # two ends that are different digits


def way(a: Tensor, b: Tensor, t: Tensor, straight: bool) -> Tensor:
    """Codes between a and b at the shares t, along a line or along the arc of a sphere."""
    t = t[:, None]
    if straight:
        return (1 - t) * a + t * b
    angle = torch.acos(F.cosine_similarity(a, b, dim=-1).clamp(-1, 1))[..., None]
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


@torch.no_grad()
def draw_walk(way_along: float, straight: bool, seed: int) -> plt.Figure:
    a, b = normal(2, dcgan.prior.dim, seed=START + seed)
    z = way(a, b, torch.linspace(0, 1, 11), straight)
    at = way(a, b, torch.tensor([way_along]), straight)
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 1.6), width_ratios=(1, 4))
    plot.draw_images(left, dcgan.decoder(at).mean, 1, f"|z| = {at.norm():.1f}")
    plot.draw_images(right, dcgan.decoder(z).mean, 11, "the whole way")
    return fig


a, b = normal(2, N, dcgan.prior.dim, seed=1)
(sure_a, digit_a), (sure_b, digit_b) = (
    in_parts(lambda z: judge.log_prob(dcgan.decoder(z).mean), z[:100]).exp().max(-1) for z in (a, b)
)
clear = (sure_a > 0.95) & (sure_b > 0.95) & (digit_a != digit_b)  # two digits, not twice one
with torch.no_grad():
    half = {
        s: distance(in_parts(lambda z: dcgan.decoder(z).mean, way(a, b, torch.full((N,), 0.5), s)))
        for s in (True, False)
    }
    rows = [
        dcgan.decoder(way(a[k], b[k], torch.linspace(0, 1, 12), s)).mean
        for k in clear.nonzero()[:2, 0]
        for s in (True, False)
    ]
lengths = way(a, b, torch.full((N,), 0.5), True).norm(dim=-1)
show_widget(
    slider_figure(
        draw_walk,
        alt="A digit on the way between two, and eleven digits along the whole way.",
        way_along=(0.0, 1.0, 0.05, 0.5),
        straight=False,
        seed="other ends",
    ),
    plot.images(rows, columns=12, titles=["line", "arc", "line", "arc"]),
    alt=(
        "Two pairs of rows of twelve images: the way from one digit to another, along a line and"
        " along an arc."
    ),
    caption=(
        f"Half-way along the line a code has length {lengths.mean():.1f}, draws from the prior have"
        f" {a.norm(dim=-1).mean():.1f}."
    ),
)
plot.markdown(
    f"Frechet distance of the half-way digits: {mean_and_error(half[True])} on the line,"
    f" {mean_and_error(half[False])} on the arc; of draws from the prior"
    f" {mean_and_error(far['dcgan, shipped'])} (standard errors over {SPLITS} parts)."
)

# %% [markdown]
# Half-way along the line is $(\mathbf{a} + \mathbf{b})/2$: each number has variance 1/2, and the
# length is $8/\sqrt 2$. All training codes lay on a shell of radius 8, and the line cuts through
# its inside, where the generator was hardly ever asked. Neighbours change smoothly either way: a
# generator that kept digits by heart would jump.

# %% [markdown]
# ### Faces
# The game knows nothing about digits. **Predict.** Nearly two thousand pictures of one face, from a
# film: what will be right after ten seconds, and what wrong? (Nobody licenses these pictures, so
# the course ships neither them nor a network trained on them.)

# %%
faces = frey_faces()  # widened to 28 x 28, or None where they are not
if faces is not None:
    torch.manual_seed(0)
    players = [copy.deepcopy(net) for net in (generator, discriminator)]
    players = [initialise(net, std=0.02) for net in players]
    faced = GAN(StandardGaussian(LATENT), *players).to(DEVICE)
    settings = {"steps": 600, "epochs": 99, "batch_size": 32, "lr": 1e-3}
    views = watch(lambda g: 1 - samples(g, 24))
    faced_history = play(faced, faces, **settings, device=DEVICE, live=views)

# %% jupyter={"source_hidden": true}
if faces is not None:
    drawn, film = samples(faced.cpu(), 500), faces[::3].tensor()[:500]
    apart_drawn, apart_film = (torch.pdist(part).mean().item() for part in (drawn, film))
    grain_drawn, grain_film = (
        part.reshape(-1, 28, 28).diff(dim=-1).square().mean().item() for part in (drawn, film)
    )
    plot.show(
        plot.images(
            [1 - drawn[:12], 1 - drawn[12:24], 1 - film[::42][:12]],
            columns=12,
            titles=["made", "made", "film"],
        ),
        alt=(
            "Two rows of generated faces, grainy, with eyes and a mouth where they belong, and a"
            " row of pictures of the film."
        ),
        caption=(
            f"After {steps(faced_history)} steps the made faces are grainy: the squared"
            f" step from pixel to pixel is {grain_drawn / grain_film:.1f} times"
            " the film's."
        ),
    )
    plot.markdown(
        f"Two made faces differ by {apart_drawn:.1f} on average, two of the film by"
        f" {apart_film:.1f} (Euclidean, {len(drawn)} each, of {len(faces):,} pictures)."
    )
    del drawn, film

# %% [markdown]
# Eyes, nose and mouth find their places first: they are where all pictures agree. Smooth skin comes
# last: to be smooth, many pixels must agree with one another in each single picture.

# %% [markdown]
# ## Auxiliary classifier GAN: a class for both players
# Odena, Olah and Shlens (2016) tell the generator a class, $G(\mathbf{z}, c)$, and ask the
# discriminator two questions: is the image real, and which class is it?
#
# $$L_S = \mathbb{E}[\log D(\mathbf{x})] + \mathbb{E}[\log(1 - D(G(\mathbf{z}, c)))], \qquad
#   L_C = \mathbb{E}[\log p(y \mid \mathbf{x})] + \mathbb{E}[\log p(c \mid G(\mathbf{z}, c))]$$
#
# Read aloud: $L_S$ is the GAN's game about the source; $L_C$ rewards whoever makes the class
# visible, $y$ in a real image and $c$ in a made one. The discriminator maximises $L_S + L_C$, the
# generator $L_C - L_S$. **About the source they fight, about the class they agree.**
#
# ## Exercise 1: two objectives (7 minutes)
# Write both. `real` and `fake` are logits of $D$, `(B,)`: $\log D$ is `F.logsigmoid(logit)` and
# $\log(1 - D)$ is `F.logsigmoid(-logit)`. `named_real` and `named_fake`, `(B, 10)`, are $\log
# p(\text{class}|\cdot)$ of each class. As in notebook 04 the generator maximises $\log D$ of its
# fakes in place of $-\log(1 - D)$.


# %% tags=["exercise"]
def auxiliary(real, fake, named_real, named_fake, y, c) -> tuple[Tensor, Tensor]:
    """What the discriminator and what the generator maximises, in nats.

    real, fake: (B,), logits. named_real, named_fake: (B, 10), log-probabilities.
    y, c: (B,), whole numbers: the real images' labels, the classes the fakes were told.
    Returns: discriminator (B,), generator (B,).
    """
    ### BEGIN SOLUTION
    named = named_fake.gather(1, c[:, None])[:, 0]
    judged = F.logsigmoid(real) + F.logsigmoid(-fake)
    discriminator = judged + named_real.gather(1, y[:, None])[:, 0] + named
    return discriminator, F.logsigmoid(fake) + named
    ### END SOLUTION


# %% tags=["exercise-check"]
auxiliary = check.auxiliary(auxiliary)
# check.auxiliary.hint()

# %% [markdown]
# **Predict.** The generator gets noise and a label and has never seen an image. After 400 steps,
# how many of its digits will a classifier name as they were ordered: one in ten, half, nearly all?


# %%
class Yours(AuxiliaryClassifierGAN):
    """DCGAN's networks with a class, and your two objectives."""

    def ask(self, x, y, still=False):
        z, c = self.prior.sample((len(x),)), self.draw_classes(x)
        # In the discriminator's turn the generator stands still.
        with torch.set_grad_enabled(not still):
            fakes = self.generate(z, c)
        (real, named_real), (fake, named_fake) = self.judge(x), self.judge(fakes)
        return auxiliary(real, fake, named_real, named_fake, y, c)

    def discriminator_objective(self, x, y):
        return (value := self.ask(x, y, still=True)[0]), {"discriminator": value}

    def generator_objective(self, x, y):
        return (value := self.ask(x, y)[1]), {"generator": value}


# %%
torch.manual_seed(0)
told = Yours(latent_dim=16, channels=MAPS)
z_shown = normal(4, 1, 16, seed=0).expand(4, 10, 16).to(DEVICE)
c_shown = torch.arange(10).expand(4, 10).to(DEVICE)
history = play(
    told,
    digits.train,
    steps=400,
    epochs=99,
    batch_size=BATCH,
    lr=2e-3,
    device=DEVICE,
    live=watch(lambda game: game.generate(z_shown, c_shown).flatten(0, 1), 10),
)
told = told.cpu()

# %% [markdown]
# ## Does it draw what it was told?
# **Predict.** The classifier had no part in the game. Will it agree with the order given to the
# shipped, well-trained model as often as with the labels of *real* digits, less often, or more
# often? And will its 7s differ from one another as much as real 7s?

# %% jupyter={"source_hidden": true}
ordered = torch.arange(N) % 10


def to_order(model, seed: int = 0) -> Tensor:
    return in_parts(model.generate, normal(N, model.prior.dim, seed=seed), ordered)


def spread_within(x: Tensor, y: Tensor) -> Tensor:
    """The mean distance between two images of one class, for each of the ten: (10,), in pixels."""
    return torch.stack([torch.pdist(x[y == k][:150]).mean() for k in range(10)])


orders = {"yours": to_order(told), "shipped": to_order(acgan)}
obeyed = {name: percent(classes(x) == ordered) for name, x in orders.items()}
obeyed["real"] = percent(classes(real) == pool[:N].y)
ratio = {
    name: spread_within(x, ordered) / spread_within(real, pool[:N].y) for name, x in orders.items()
}
ratio["real"] = spread_within(again, pool[N : 2 * N].y) / spread_within(real, pool[:N].y)
closeness = {
    "yours": distance(orders["yours"]),
    "shipped": distance(orders["shipped"]),
    "real": apart,
}
sevens = {name: x[ordered == 7][:12] for name, x in orders.items()} | {
    "real": real[pool[:N].y == 7][:12]
}
del orders
plot.show(
    plot.images([*sevens.values()], columns=12, titles=[f"7, {name}" for name in sevens]),
    alt="Three rows of twelve 7s: by the model just trained, by the shipped model, and real ones.",
    caption=(
        f"Of yours {obeyed['yours'].mean():.0f} % are named as ordered, at a Frechet distance of"
        f" {closeness['yours'].mean():.0f}: a class can be read long before a digit looks real."
    ),
)
table(
    "| | named as ordered, % | spread within a class, real = 1 | Frechet distance |",
    [
        f"| {name} | {mean_and_error(obeyed[name])} |"
        f" {mean_and_error(ratio[name], '.2f')} |"
        f" {mean_and_error(closeness[name], ',.1f')} |"
        for name in ("yours", "shipped")
    ]
    + [
        (
            f"| real digits | {mean_and_error(obeyed['real'])} |"
            f" {mean_and_error(ratio['real'], '.2f')} | {mean_and_error(apart)} |"
        )
    ],
    f"{N:,} digits each, as many of each class; the real line compares {N:,} other real ones"
    f" (labels for orders). Errors: of a share; over the ten classes; over {SPLITS} parts of 500.",
)
measured["AC-GAN: samples show the class they are told"] = (
    "named as ordered in %: "
    + held_against(
        obeyed["shipped"], obeyed["real"], "of real digits", "digits", ".1f", paired=False
    )
    + "; spread within a class, real = 1: "
    + held_against(ratio["shipped"], ratio["real"], "of other real digits", "classes", ".2f")
)
plot.markdown(
    "**Measured.** Of the shipped model:"
    f" {measured['AC-GAN: samples show the class they are told']}."
)

# %% [markdown]
# Why ask for both? A real writer does not care whether a classifier can read his 4; this generator
# is paid for it. The log-probability of the class falls near a border between classes, so $L_C$
# pulls every drawing away from the borders, towards plain and easy specimens. The worry with this
# model is a class more legible than life and poorer than life: **Measured** says how much of either
# there is here.

# %% [markdown]
# ## Bidirectional GAN: an encoder without a single compared pixel
# Donahue, Krähenbühl and Darrell (2016) and, at the same time, Dumoulin et al. give the game an
# encoder $E$. The discriminator no longer sees images but **pairs** of an image and a code:
#
# $$\min_{G, E} \max_D\; \mathbb{E}_{\mathbf{x} \sim p_{real}}[\log D(\mathbf{x}, E(\mathbf{x}))] + \mathbb{E}_{\mathbf{z} \sim p(\mathbf{z})}[\log(1 - D(G(\mathbf{z}), \mathbf{z}))]$$
#
# Read aloud: here is a picture and a code; did somebody find the code for the picture, or make the
# picture from the code? Where $D$ can only guess, the two kinds of pairs have one joint
# distribution. Then $E(\mathbf{x})$ is a code from which $G$ makes $\mathbf{x}$: **the encoder has
# become the generator's inverse, and nobody ever asked for a reconstruction.**
#
# ## Exercise 2: the game on pairs (6 minutes)
# `discriminator(x, z)` takes a picture and a code and gives logits, `(B,)`. Encoder and generator
# play on one side and want each pair taken for the other kind. In the discriminator's turn they
# stand still: `.detach()`.


# %% tags=["exercise"]
def bidirectional(x: Tensor, z: Tensor, encoder, generator, discriminator):
    """What the discriminator and what generator and encoder maximise, in nats.

    x: (B, D), real images. z: (B, d), draws from the prior.
    encoder(x): (B, d). generator(z): (B, D).
    Returns: discriminator (B,), without a gradient to encoder and generator; generator
    and encoder (B,).
    """
    ### BEGIN SOLUTION
    code, fake = encoder(x), generator(z)
    real_logit = discriminator(x, code.detach())
    fake_logit = discriminator(fake.detach(), z)
    judged = F.logsigmoid(real_logit) + F.logsigmoid(-fake_logit)
    fake_logit, real_logit = discriminator(fake, z), discriminator(x, code)
    return judged, F.logsigmoid(fake_logit) + F.logsigmoid(-real_logit)
    ### END SOLUTION


# %% tags=["exercise-check"]
bidirectional = check.bidirectional(bidirectional)
# check.bidirectional.hint()

# %% [markdown]
# **Predict.** After ten seconds of this, will $G(E(\mathbf{x}))$ be the digit $\mathbf{x}$, a digit
# of the same class, or just some digit? Odd columns of the live picture are test digits, even ones
# what comes back.


# %%
class Paired(BidirectionalGAN):
    """All networks feed-forward, and your two objectives."""

    def ask(self, x):
        z = self.prior.sample((len(x),))
        return bidirectional(x, z, self.inverse, self.generator, self.logit)

    def discriminator_objective(self, x):
        return (value := self.ask(x)[0]), {"discriminator": value}

    def generator_objective(self, x):
        return (value := self.ask(x)[1]), {"generator": value}


# %%
torch.manual_seed(0)
paired = Paired(latent_dim=16, hidden=192)
shown = digits.test[:12].tensor()


def beside(model) -> Tensor:
    """Test digits, each with what comes back."""
    back = model.reconstruct(shown.to(DEVICE)).cpu()
    return torch.stack([shown, back], 1).flatten(0, 1)


settings = {"steps": 700, "epochs": 99, "batch_size": BATCH, "lr": 2e-3}
history = play(paired, digits.train, **settings, device=DEVICE, live=watch(beside))
paired = paired.cpu()

# %% [markdown]
# ## Write, and the generator answers
# The shipped one had 50 dimensions and more time. Its encoder and generator run in your browser:
# write a digit on the paper, the encoder finds its code, and the generator draws what it makes of
# it.
#
# Three things to try: write a digit and compare slant, size and thickness with the answer; move one
# slider and see whether anything like a single property changes; write something that is no digit.

# %% jupyter={"source_hidden": true}
bigan = recipes.load("bigan")
show_widget(
    latent_traversal(bigan, digits.test),
    latent_grid(bigan, digits.test),
    alt=(
        "Eight rows of generated digits, one for each of the most active code numbers: from left to"
        " right that number goes from -3 to 3 and the digit changes its shape or class."
    ),
    caption="One number of the code changes along a row, the others stay 0.",
)

# %% [markdown]
# **Predict.** On test digits: how often does the class survive the way there and back,
# $G(E(\mathbf{x}))$? Are the pixels nearer than those of any other digit of the class? And does $E$
# find the code again from which an image was made, $E(G(\mathbf{z})) = \mathbf{z}$?


# %%
def there_and_back(model, x: Tensor) -> Tensor:
    return in_parts(model.reconstruct, x)


def found_again(model, n: int = N) -> float:
    """The correlation of z and E(G(z)), over n codes, all dimensions: 1 if E inverts G,
    0 if it finds nothing of z.
    """
    z = normal(n, model.prior.dim, seed=5)
    back = in_parts(lambda z: model.encoder(model.decoder(z).mean).mean, z)
    return torch.corrcoef(torch.stack([z.flatten(), back.flatten()]))[0, 1].item()


# %% jupyter={"source_hidden": true}
wae, wae_gan, vae = (recipes.load(name) for name in ("wae_mmd", "wae_gan", "vae_8d"))
test = digits.test[:1000]
x, y = test.tensor(), test.y
right = classes(x) == y
back = {
    "bigan, yours": there_and_back(paired, x),
    "bigan": there_and_back(bigan, x),
    "wae_mmd": there_and_back(wae, x),
    "vae_8d": there_and_back(vae, x),
}
other = x.clone()  # each digit's neighbour in the list of its class
for k in range(10):
    other[y == k] = x[y == k].roll(1, 0)
strangers = {
    "another digit of its class": other,
    "another test digit": x.roll(1, 0),
    "the mean digit": x.mean(0).expand_as(x),
}
error = {name: ((r - x) ** 2).sum(-1) for name, r in (back | strangers).items()}
kept = {name: percent(classes(r) == classes(x)) for name, r in (back | strangers).items()}
again_z = {
    "bigan, yours": found_again(paired),
    "bigan": found_again(bigan),
    "wae_mmd": found_again(wae),
    "vae_8d": found_again(vae),
}
plot.show(
    plot.images(
        [x[:12], *(r[:12] for r in back.values())], columns=12, titles=["test digit", *back]
    ),
    alt=(
        "Five rows of twelve: test digits, and what comes back from the live bidirectional GAN, the"
        " shipped one, a Wasserstein auto-encoder and a VAE."
    ),
    caption=(
        f"Of {len(x):,} digits {kept['bigan'].mean():.0f} % keep the class they had for the"
        f" classifier in the shipped game, {kept['wae_mmd'].mean():.0f} % in an auto-encoder that"
        " was trained to reconstruct."
    ),
)
table(
    "| there and back | squared error of G(E(x)), summed over pixels | same class, % | correlation"
    " of E(G(z)) and z |",
    [
        f"| {name} | {mean_and_error(error[name])} | {mean_and_error(kept[name])} |"
        f" {again_z[name]:.2f} |"
        for name in back
    ]
    + [
        f"| *in its place {name}* | {mean_and_error(error[name])} |"
        f" {mean_and_error(kept[name])} | |"
        for name in strangers
    ],
    f"{len(x):,} test digits, standard errors over digits; {N:,} codes, all their numbers together."
    " The last column is 1 for an inverse (or a multiple of it), 0 for an encoder that finds"
    " nothing of z again.",
)
measured["BiGAN: the encoder inverts the generator"] = (
    "digits that keep their class there and back, in %: "
    + held_against(kept["bigan"], kept["wae_mmd"], "of wae_mmd", "digits")
    + "; squared error "
    + held_against(
        error["bigan"],
        error["another digit of its class"],
        "of another digit of the class",
        "digits",
    )
    + f"; E(G(z)) correlates with z by {again_z['bigan']:.2f} (wae_mmd {again_z['wae_mmd']:.2f})"
)
plot.markdown(f"**Measured.** {measured['BiGAN: the encoder inverts the generator']}.")

# %% [markdown]
# "Where $D$ can only guess" is a condition about the end of a game that has no end. Short of it the
# pairs only resemble one another, and nothing but the discriminator says in what: whatever it
# overlooks, $E$ and $G$ are free to change.
#
# ## Is the code a good description?
# The paper's own test: give each test digit the label of its **nearest neighbour** among labelled
# digits, with distances measured in $E(\mathbf{x})$. **Predict.** Better than in plain pixels?
# Better than the VAE's codes? And a network that nobody trained?

# %% jupyter={"source_hidden": true}
labelled, asked = digits.train[:4000], digits.test[:2000]


def nearest(encode) -> Tensor:
    """Which test digits have the label of their nearest labelled digit in `encode`'s space."""

    def codes(data) -> Tensor:
        parts = [data[i : i + 1000].tensor() for i in range(0, len(data), 1000)]
        return torch.cat([in_parts(encode, part) for part in parts])

    known, new = codes(labelled), codes(asked)
    at = in_parts(lambda z: torch.cdist(z, known).argmin(1), new)
    return labelled.y[at] == asked.y


vae40 = recipes.load("vae_40d")
torch.manual_seed(0)
nobody = BidirectionalGAN().eval()  # the shipped one's networks, as they begin
spaces = {
    "pixels": (784, lambda x: x),
    "bigan's encoder": (50, lambda x: bigan.encoder(x).mean),
    "the same network, untrained": (50, lambda x: nobody.encoder(x).mean),
    "vae_40d's means": (40, lambda x: vae40.encoder((x > 0.5).float()).mean),
    "vae_8d's means": (8, lambda x: vae.encoder(x).mean),
    "wae_mmd's codes": (8, lambda x: wae.encoder(x).mean),
}
hits = {name: nearest(encode) for name, (_, encode) in spaces.items()}
del vae40, nobody
accuracy = {name: percent(right) for name, right in hits.items()}
shares = {
    name: intervals.of_share(int(right.sum()), len(right), "digits", comparisons=len(hits))
    for name, right in hits.items()
}

fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.5))
names = sorted(accuracy, key=lambda name: shares[name].value)
marks = {"pixels": DATA, "bigan's encoder": CRITIC, "the same network, untrained": NOISE}
colours = [marks.get(name, POSTERIOR) for name in names]
for at, (name, colour) in enumerate(zip(names, colours, strict=True)):
    share = shares[name]
    reach = [[100 * (share.value - share.low)], [100 * (share.high - share.value)]]
    ax.errorbar(100 * share.value, at, xerr=reach, fmt="o", color=colour, capsize=3)
ax.set_yticks(range(len(names)), [f"{name} ({spaces[name][0]})" for name in names])
ax.set(xlabel=f"1-nearest-neighbour accuracy, % ({len(asked):,} test digits)")
plot.show(
    fig,
    alt="Accuracies with error bars, best to worst: "
    + ", ".join(f"{name} {100 * shares[name].value:.1f} %" for name in reversed(names))
    + ".",
    caption=(
        f"Best: {names[-1]}, {100 * shares[names[-1]].value:.1f} %. {len(labelled):,} labelled"
        f" digits; {shares['pixels'].basis}."
    ),
)
ours, pixels, theirs = (accuracy[name] for name in ("bigan's encoder", "pixels", "vae_8d's means"))
measured["BiGAN: its features are useful"] = (
    "1-nearest-neighbour accuracy in %: "
    + held_against(ours, pixels, "of pixels", "digits")
    + "; "
    + held_against(ours, theirs, "of vae_8d's means", "digits")
)
plot.markdown(f"**Measured.** {measured['BiGAN: its features are useful']}.")

# %% [markdown]
# MNIST is kind to pixels: digits are centred, of one size, on empty ground. Judge the encoder
# against the untrained network for what the game taught it, and against the VAE for what another
# objective teaches.

# %% [markdown]
# ## Wasserstein auto-encoder: the transport, relaxed
# Notebook 05 measured how far $p_G$ is from the data by the cheapest plan that carries one to the
# other, and needed a Lipschitz critic for it. Bousquet et al. (2017) start from the plan itself,
# and note what it becomes when images come from codes. Its cost here is the *square* of the
# distance carried, so $W_1$ of notebook 05 becomes $W_2^2$.
#
# A plan says, for each $\mathbf{x}$, to which $G(\mathbf{z})$ it goes. So it is an **encoder**
# $q(\mathbf{z}|\mathbf{x})$, and all codes together must be used as often as the prior wants:
#
# $$W_2^2(p_{real}, p_G) = \inf_{q:\; q(\mathbf{z}) = p(\mathbf{z})}\; \mathbb{E}_{\mathbf{x} \sim p_{real}}\, \mathbb{E}_{q(\mathbf{z}|\mathbf{x})}\; |\mathbf{x} - G(\mathbf{z})|^2, \qquad q(\mathbf{z}) = \mathbb{E}_{\mathbf{x} \sim p_{real}}[q(\mathbf{z}|\mathbf{x})]$$
#
# Read aloud: the distance is the best reconstruction error of any encoder whose codes, all
# together, look like the prior. Eight points and eight codes are few enough to try every such
# encoder. **Predict.** How many are there? And what happens to the error if the condition is
# dropped?


# %%
def G_toy(z: Tensor) -> Tensor:
    """A generator with one code number: a curve in the plane."""
    return torch.stack([z, torch.sin(1.5 * z)], -1)


z_toy = torch.special.ndtri((torch.arange(8.0) + 0.5) / 8)  # equal parts of the prior
x_toy = torch.stack([0.4 + 0.9 * normal(8, seed=3), 0.9 * normal(8, seed=4)], -1)
cost = ((x_toy[:, None] - G_toy(z_toy)) ** 2).sum(-1)  # (8, 8): of encoding x_i as z_j
# Every code used once: q(z) = p(z).
encoders = torch.tensor(list(itertools.permutations(range(8))))
errors = cost[torch.arange(8), encoders].mean(-1)
free = cost.argmin(1)  # each x takes the code it likes, whoever else has it

# %% jupyter={"source_hidden": true}
from scipy.optimize import linear_sum_assignment

plan = linear_sum_assignment(cost.numpy())[1]
transport = cost[torch.arange(8), torch.tensor(plan)].mean().item()
line = torch.linspace(-2.2, 2.2, 200)
fig, axes = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.6), sharey=True)
best = encoders[errors.argmin()], f"every code used once: error {errors.min():.2f}"
freest = free, f"no condition: error {cost.min(1).values.mean():.2f}"
for ax, (codes, title) in zip(axes, (best, freest), strict=True):
    ax.plot(*G_toy(line).T, color=MODEL, linewidth=1, alpha=0.5)
    ax.plot(*G_toy(z_toy).T, "o", color=MODEL, ms=6, label=r"$G(\mathbf{z})$")
    ax.plot(*x_toy.T, "s", color=DATA, ms=5, label=r"$\mathbf{x}$")
    for i, j in enumerate(codes):
        ax.plot(*torch.stack([x_toy[i], G_toy(z_toy)[j]]).T, color=POSTERIOR, linewidth=1)
    ax.set(title=title, xlabel="$x_1$")
axes[0].set(ylabel="$x_2$")
axes[0].legend(loc="lower right", fontsize=8)
used = len(set(free.tolist()))
plot.show(
    fig,
    alt=(
        "Eight data points linked to eight points on a curve. Left each curve point has one link,"
        " right some have several and some none."
    ),
    caption=(
        f"The best of {len(encoders):,} encoders that use every code once has an error of"
        f" {errors.min():.2f}. Without the condition it falls, and only {used} of 8 codes are used."
    ),
)
plot.markdown(
    f"The exact transport plan (scipy) costs {transport:.4f}, the best encoder's error is"
    f" {errors.min():.4f}; without the condition it is {cost.min(1).values.mean():.2f}: the other"
    " codes decode to points that no $\\mathbf{x}$ asked for."
)

# %% [markdown]
# The two numbers agree because they are one: choosing the encoder *is* choosing the plan. For a
# network the condition is out of reach, so it becomes a penalty, with a weight $\beta$ (the paper's
# $\lambda$) and a discrepancy $\mathcal D$ between the codes and the prior:
#
# $$\max_{G, E}\; -\mathbb{E}_{\mathbf{x} \sim p_{real}}\, |\mathbf{x} - G(E(\mathbf{x}))|^2 - \beta\, \mathcal D(q(\mathbf{z}), p(\mathbf{z}))$$
#
# Read aloud: reconstruct, and let the codes *as a whole* look like the prior. Compare it with the
# VAE's bound, which asks it of the codes of **each** $\mathbf{x}$: there the clouds of two digits
# must overlap, and where they do, the decoder has to answer with the mean of both, a blur. That is
# the argument; you will measure it.
#
# Two discrepancies are in use. **Adversarial**: a discriminator in the latent space learns to tell
# $\mathbf{z} \sim p(\mathbf{z})$ from $E(\mathbf{x})$ (with the squared error this is the
# adversarial auto-encoder). **MMD**: no opponent, only a kernel $k$ that says how near two codes
# are,
#
# $$\mathrm{MMD}^2 = \frac{1}{N(N-1)} \sum_{i \neq j} k(\mathbf{z}_i, \mathbf{z}_j) + \frac{1}{M(M-1)} \sum_{i \neq j} k(\tilde{\mathbf{z}}_i, \tilde{\mathbf{z}}_j) - \frac{2}{NM} \sum_{i, j} k(\mathbf{z}_i, \tilde{\mathbf{z}}_j)$$
#
# with codes $\mathbf{z}_i = E(\mathbf{x}_i)$ and draws $\tilde{\mathbf{z}}_j$ from the prior. Read
# aloud: how near codes are to one another, plus the same among draws, less twice how near the ones
# are to the others. If both come from one distribution, the three means are equal and all cancels.
#
# ## Exercise 3: the discrepancy (7 minutes)
# `kernel(a, b)` gives all pairs at once, `(N, M)`. Mind the pairs $i = j$: a point is always near
# itself.


# %% tags=["exercise"]
def mmd(z: Tensor, prior_z: Tensor, kernel) -> Tensor:
    """The squared maximum mean discrepancy of two sets of codes, unbiased.

    z: (N, d).  prior_z: (M, d).  kernel(a, b): (len(a), len(b)).  Returns: a scalar.
    """

    ### BEGIN SOLUTION
    def among(a):
        k = kernel(a, a)
        return (k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))

    return among(z) + among(prior_z) - 2 * kernel(z, prior_z).mean()
    ### END SOLUTION


# %% tags=["exercise-check"]
mmd = check.mmd(mmd)
# check.mmd.hint()

# %% [markdown]
# ## Break it: leave the condition out
# Train with your discrepancy and small feed-forward networks in eight latent dimensions: once
# without the penalty, then with more and more of it. **Predict.** At $\beta = 0$ nothing but
# reconstruction is trained. What will the *samples* look like, $G(\mathbf{z})$ for $\mathbf{z}$
# from the prior, and why? Can $\beta$ be too large?
#
# Three things to try with the slider below: set $\beta$ to 0 and look where the codes of one class
# lie; find the $\beta$ whose samples you like best; go to the end and say what the penalty has cost.


# %%
def kernel(a: Tensor, b: Tensor, scales=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) -> Tensor:
    """Inverse multiquadratic, C / (C + |a - b|^2), summed over scales: near and far
    pairs both have a slope.
    """
    squares = ((a[:, None] - b) ** 2).sum(-1)
    return sum(c / (c + squares) for c in (2 * a.shape[1] * s for s in scales))


# %%
def penalised(model, beta: float):
    """The objective with your discrepancy. fit's own rising beta is not used."""

    def objective(x: Tensor, _: float):
        z = model.encoder(x).mean
        cost = ((x - model.decoder(z).mean) ** 2).sum(-1)
        penalty = mmd(z, model.prior.sample((len(x),)), kernel).expand_as(cost)
        return -cost - beta * penalty, {"cost": cost, "penalty": penalty}

    return objective


def small_wae(beta: float, live=None):
    torch.manual_seed(0)
    boxes = mlp([784, 128, 128, 8]), mlp([8, 128, 128, 784], output=nn.Sigmoid())
    model = LatentVariableModel(StandardGaussian(8), *map(PointConditional, boxes))
    settings = {"epochs": 5, "lr": 3e-3, "live": live, "progress": live is not None}
    fit(model, digits.train[:8000], objective=penalised(model, beta), **settings)
    return model


# %%
penalties = [0, 1, 10, 100, 1000]
views = watch(lambda m: samples(m, 24), unit="squared error")
swept = {w: small_wae(w, live=views if w == 100 else None) for w in penalties}


# %% jupyter={"source_hidden": true}
def codes_of(model) -> Tensor:
    """The codes of the test digits: a VAE's drawn from q(z|x), the others' points."""
    torch.manual_seed(0)
    drawn = isinstance(model.encoder, GaussianConditional)
    return in_parts(lambda x: model.encoder(x).sample() if drawn else model.encoder(x).mean, x)


def misfit(z: Tensor) -> np.ndarray:
    """MMD² of codes and draws from the prior, for each of four parts: (4,)."""
    parts = z.chunk(4)
    return np.array(
        [mmd(part, normal(*part.shape, seed=10 + i), kernel) for i, part in enumerate(parts)]
    )


trace = {}
for w, model in swept.items():
    z = codes_of(model)
    widest = z.var(0).argsort(descending=True)[:2]  # the two dimensions that are looked at
    trace[w] = {
        "codes": z[:, widest],
        "cost": ((there_and_back(model, x) - x) ** 2).sum(-1),
        "mmd": misfit(z),
        "frechet": distance(samples(model)),
    }


def draw_condition(beta: float) -> plt.Figure:
    at = trace[beta]
    fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.9), width_ratios=(1, 1.5))
    for k in range(10):
        left.plot(*at["codes"][y == k].T, ".", color=plot.CLASSES[k], ms=2.5)
    angle = torch.linspace(0, 2 * math.pi, 100)
    left.plot(2 * angle.cos(), 2 * angle.sin(), color="#00694D", linewidth=2, zorder=3)
    reach = max(4.0, float(at["codes"].abs().max()) * 1.05)
    left.set(
        xlim=(-reach, reach),
        ylim=(-reach, reach),
        aspect="equal",
        xlabel="code, widest dimension",
        ylabel="second widest",
    )
    left.set_title("circle: prior, two std.")
    plot.draw_images(
        right,
        samples(swept[beta], 40),
        8,
        f"samples: Frechet {at['frechet'].mean():.0f}; error {at['cost'].mean():.1f}",
    )
    return fig


fig, axes = plt.subplots(2, len(penalties), figsize=(plot.WIDTH, 3.1))
for (w, at), top, bottom in zip(trace.items(), axes[0], axes[1], strict=True):
    reach = max(4.0, float(at["codes"].abs().max()) * 1.05)
    for k in range(10):
        top.plot(*at["codes"][y == k].T, ".", color=plot.CLASSES[k], ms=1.5)
    angle = torch.linspace(0, 2 * math.pi, 100)
    top.plot(2 * angle.cos(), 2 * angle.sin(), color="#00694D", linewidth=1.5, zorder=3)
    top.set(
        xlim=(-reach, reach),
        ylim=(-reach, reach),
        aspect="equal",
        xticks=[],
        yticks=[],
        title=f"$\\beta$ = {w}",
    )
    plot.draw_images(bottom, samples(swept[w], 16), 4)
best = min(trace, key=lambda w: trace[w]["frechet"].mean())
behind = {
    w: intervals.of_mean(at["frechet"] - trace[best]["frechet"], "parts", len(trace) - 1)
    for w, at in trace.items()
    if w != best
}
tied = [w for w in trace if w == best or not behind[w].shown]
show_widget(
    slider_figure(
        draw_condition,
        alt="The codes of the test digits against the prior's circle, and samples.",
        beta=penalties,
    ),
    fig,
    alt=(
        "For five weights of the penalty: two dimensions of the codes of test digits against the"
        " prior's circle, spread far beyond it without a penalty and drawn into it as the weight"
        " grows, and sixteen samples below each."
    ),
    caption=(
        "The penalty draws the codes into the prior's circle. The samples have the lowest Frechet"
        f" distance at beta = {' or '.join(map(str, tied))}."
    ),
)
table(
    "| $\\beta$ | reconstruction error | MMD² of codes and prior | Frechet distance of samples |",
    [
        f"| {w} | {mean_and_error(at['cost'])} | {mean_and_error(at['mmd'], '.3f')} |"
        f" {mean_and_error(at['frechet'])} |"
        for w, at in trace.items()
    ],
    f"{len(x):,} test digits and codes, {N:,} samples in {SPLITS} parts, one training each: the"
    " standard errors are those of measuring, not of training.",
)

# %% [markdown]
# Without the penalty the encoder spreads its codes wherever the decoder can best tell them apart.
# The prior's draws fall on a few of them or between, where the decoder was never asked. A plain
# auto-encoder reconstructs and can't generate; the penalty is the cure. Where it outweighs the
# error, the encoder listens to little else, and the price is paid in reconstructions: in the end
# samples can't be better than what the decoder learned to draw.

# %% [markdown]
# ## Against the VAE: sharper?
# Three shipped models have *the same networks*, 8 latent dimensions and the squared error: `vae_8d`
# (the bound, with the variance of the pixels learned), `wae_mmd` and `wae_gan`. **Predict.** Whose
# samples are the sharpest? Whose codes fit the prior best? Sharpness here is the variance of the
# image's Laplacian, each pixel's four neighbours less four times itself: 0 for a flat picture,
# large where ink ends abruptly.

# %%
LAPLACE = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]


def sharpness(x: Tensor) -> Tensor:
    """The variance of each image's Laplacian: (N,)."""

    def variance(x: Tensor) -> Tensor:
        edges = F.conv2d(x.reshape(-1, 1, 28, 28), LAPLACE, padding=1)
        return edges.flatten(1).var(1)

    return in_parts(variance, x)


# %% jupyter={"source_hidden": true}
three = {"vae_8d": vae, "wae_mmd": wae, "wae_gan": wae_gan}
sampled = {name: samples(model) for name, model in three.items()}
back |= {"wae_gan": there_and_back(wae_gan, x)}
error |= {"wae_gan": ((back["wae_gan"] - x) ** 2).sum(-1)}
sharp_real = sharpness(real).mean()
sharp = {name: sharpness(s) / sharp_real for name, s in sampled.items()}
sharp_back = {name: sharpness(back[name]) / sharpness(x).mean() for name in three}
near = {name: distance(s) for name, s in sampled.items()}
sampled = {name: s[:12].clone() for name, s in sampled.items()}
sharp_again = sharpness(again) / sharp_real


codes_fit = {name: misfit(codes_of(model)) for name, model in three.items()}
prior_fit = misfit(normal(len(x), 8, seed=30))
sharpest = max(three, key=lambda name: sharp[name].mean())
plot.show(
    plot.images([real[:12], *sampled.values()], columns=12, titles=["real", *three]),
    alt=(
        "Four rows of twelve: real digits, and samples of the VAE, of the Wasserstein auto-encoder"
        " with MMD and of the adversarial one."
    ),
    caption=(
        f"The sharpest samples are those of {sharpest}: {sharp[sharpest].mean():.2f} of the"
        " sharpness of real digits."
    ),
)
table(
    "| same networks | sharpness of samples | of reconstructions | Frechet, samples |"
    " reconstruction error | MMD² of codes |",
    [
        f"| {name} | {mean_and_error(sharp[name], '.3f')} |"
        f" {mean_and_error(sharp_back[name], '.3f')} | {mean_and_error(near[name])} |"
        f" {mean_and_error(error[name])} | {mean_and_error(codes_fit[name], '.3f')} |"
        for name in three
    ]
    + [
        f"| real digits, draws from the prior | {mean_and_error(sharp_again, '.3f')} | |"
        f" {mean_and_error(apart)} | | {mean_and_error(prior_fit, '.3f')} |"
    ],
    f"Sharpness relative to real digits. {N:,} samples, {len(x):,} test digits; standard errors"
    " over images, or over 4 parts. Of the VAE the means of p(x|z) are judged, and codes drawn"
    " from q(z|x).",
)


measured["WAE: sharper samples than a VAE"] = (
    "sharpness of samples, real digits = 1: "
    + "; ".join(
        f"{name} "
        + held_against(sharp[name], sharp["vae_8d"], "of the VAE", "samples", ".3f", paired=False)
        for name in ("wae_mmd", "wae_gan")
    )
    + "; Frechet distance: "
    + "; ".join(
        f"{name} {held_against(near[name], near['vae_8d'], 'of the VAE', 'parts')}"
        for name in ("wae_mmd", "wae_gan")
    )
)
price, width = 2 * vae.decoder.log_var.exp().item(), codes_of(vae).std(0)
# A standard deviation of q(z|x).
cloud = in_parts(lambda x: vae.encoder(x).log_var.exp(), x).mean().sqrt().item()
low, high = (f(values.mean() for values in sharp_back.values()) for f in (min, max))
plot.markdown(f"**Measured.** {measured['WAE: sharper samples than a VAE']}.")
plot.markdown(
    "Why do the VAE's codes fit worst? Multiply its bound by twice its pixel variance, and it is"
    f" $-|\\mathbf{{x}} - G(\\mathbf{{z}})|^2$ less {price:.3f} times the KL: its own $\\beta$,"
    " chosen by maximum likelihood. At that price its codes have standard deviations from"
    f" {width.min():.2f} to {width.max():.2f} where the prior has 1 (wae_mmd:"
    f" {codes_of(wae).std(0).min():.2f} to {codes_of(wae).std(0).max():.2f}).\n\nIs it the overlap"
    " of clouds that blurs? Here there is little of it: one cloud has a standard deviation of"
    f" {cloud:.2f}. And the *reconstructions* of all three models have {low:.2f} to {high:.2f} of"
    " the real sharpness, with clouds and without. So the blur here is the squared error's, whose"
    " best answer to a doubt is a mean. The argument is not confirmed, nor refuted: it needs a VAE"
    " whose KL counts more."
)

# %% [markdown]
# Two warnings before you believe any sharpness. Noise is sharp, too: salt and pepper would beat
# real digits. So read the column together with the Frechet distance. And a sharp sample of a bad
# code is a sharp nothing: the fit of the codes to the prior (the last column) decides how often the
# decoder is asked where it knows an answer.
#
# Walk between two test digits in three models at once. The codes lie in different spaces, the
# question is the same. **Predict.** Is what lies half-way a digit? More of one than the average of
# the two images is?
#
# Three things to try: two digits of one class; the way to 0 and to 1, where a model does not give
# back the digit itself; two digits between which one model passes a third.


# %% jupyter={"source_hidden": true}
@torch.no_grad()
def draw_between(first: int, second: int, way_along: float) -> plt.Figure:
    pair = x[[first, second]]
    fig, axes = plt.subplots(1, 4, figsize=(plot.WIDTH, 1.9))
    plot.draw_images(axes[0], pair, 2, f"from {y[first]} to {y[second]}")
    for ax, (name, model) in zip(
        axes[1:], {"bigan": bigan, "vae_8d": vae, "wae_mmd": wae}.items(), strict=True
    ):
        z = model.encoder(pair).mean
        plot.draw_images(
            ax, model.decoder((1 - way_along) * z[:1] + way_along * z[1:]).mean, 1, name
        )
    return fig


def surest(x: Tensor) -> Tensor:
    """The probability that the classifier gives to its best class: (N,)."""
    return in_parts(lambda x: judge.log_prob(x).exp().max(-1).values, x)


with torch.no_grad():
    t = torch.linspace(0, 1, 12)[:, None]
    rows = []
    for model in (bigan, vae, wae):
        z = model.encoder(x[:2]).mean
        rows.append(model.decoder((1 - t) * z[:1] + t * z[1:]).mean)
    ends = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:500]]
    sure = {}
    for name, model in (("bigan", bigan), ("vae_8d", vae), ("wae_mmd", wae)):
        z = in_parts(lambda x, model=model: model.encoder(x).mean, ends)
        middle = in_parts(lambda z, model=model: model.decoder(z).mean, (z[:250] + z[250:]) / 2)
        sure[name] = surest(middle)
    sure["pixels"], sure_ends = surest((ends[:250] + ends[250:]) / 2), surest(ends)
show_widget(
    slider_figure(
        draw_between,
        alt="Two test digits, and what three models decode on the way between their codes.",
        first=(0, 99, 1, 0),
        second=(0, 99, 1, 1),
        way_along=(0.0, 1.0, 0.05, 0.5),
    ),
    plot.images(rows, columns=12, titles=["bigan", "vae_8d", "wae_mmd"]),
    alt=(
        "Three rows of twelve images from one test digit to another through the latent space of"
        " three models."
    ),
    caption=(
        f"Half-way the classifier is sure of its best class by {sure['bigan'].mean():.2f} (bigan),"
        f" in the average of the two images by {sure['pixels'].mean():.2f}."
    ),
)
beyond = {
    name: intervals.of_mean(sure[name] - sure["pixels"], "pairs", comparisons=3)
    for name in ("bigan", "vae_8d", "wae_mmd")
}
plot.markdown(
    "How sure the classifier is half-way, beyond the average of the two images: "
    + "; ".join(f"{name} {gain.said('+.2f')}" for name, gain in beyond.items())
    + f" ({beyond['bigan'].basis}). Of the {len(ends)} digits themselves it is sure by"
    f" {mean_and_error(sure_ends, '.2f')}."
)

# %% [markdown]
# ## All of the line in one table
# Seven shipped models on the same digits. One more measure, with a plain scale: put as many samples
# as real digits together and ask of each whether its **nearest neighbour**, in the features of the
# classifier, **is of its own kind**. If nobody can tell them apart, half are. **Predict** the best
# model, and whether it comes near 50 %. Will both measures name the same one?


# %%
def told_apart(x: Tensor, of: Tensor = features_real[:1000]) -> Tensor:
    """Whether the nearest other one of each sample and real digit, in the judge's
    features, is of its kind: 100 or 0, so that the mean is a share in percent.
    """
    both = torch.cat([of, features(x[: len(of)])])
    place = torch.arange(len(both))

    def nearest_other(z: Tensor, i: Tensor) -> Tensor:
        return torch.cdist(z, both).scatter(1, i[:, None], math.inf).argmin(1)

    nearest = in_parts(nearest_other, both, place)
    return percent((nearest < len(of)) == (place < len(of)))


# %% jupyter={"source_hidden": true}
line = {
    "gan": dense,
    "dcgan": dcgan,
    "acgan": acgan,
    "bigan": bigan,
    "wae_mmd": wae,
    "wae_gan": wae_gan,
    "vae_8d": vae,
}
cards = {name: recipes.card(name) for name in line}

# %% tags=["claim-14", "claim-19"]
apart_by, named = {"real": told_apart(again)}, {"real": classes(real)}
# Measured above, of the same samples.
near_to = near | {"gan": far["gan, shipped"], "dcgan": far["dcgan, shipped"]}
for name, model in progress(line.items(), desc="models"):
    images = samples(model)
    apart_by[name], named[name] = told_apart(images), classes(images)
    if name not in near_to:
        near_to[name] = distance(images)
best = min(line, key=lambda name: near_to[name].mean())
hidden = min(line, key=lambda name: apart_by[name].mean())

# %% jupyter={"source_hidden": true}
measured["claim-14"] = (
    f"nearest neighbours tell the best, {hidden}, from real digits in % of cases: "
    + held_against(apart_by[hidden], apart_by["real"], "of real from real", "images")
    + f"; Frechet distance of the best, {best}: "
    + held_against(near_to[best], apart, "of other real digits", "parts")
)


def rarest(name: str) -> str:
    """Of the ten classes the one that this game draws too rarely by most, with the interval."""
    gaps = [
        intervals.of_difference(
            percent(named[name] == k), percent(named["real"] == k), "samples", 10 * TABLE
        )
        for k in range(10)
    ]
    k = min(range(10), key=lambda k: gaps[k].value)
    drawn = len(set(named[name].tolist()))
    return (
        f"{name} draws {drawn} of ten classes, and {k}s too rarely: {gaps[k].said('+.1f')} points"
    )


games = ("gan", "dcgan", "bigan")  # the games without labels
measured["claim-19"] = (
    "; ".join(map(rarest, games))
    + f" (against real digits, the class that it misses most; {N:,} samples)"
)

# %% jupyter={"source_hidden": true}
n = min(card["results"]["n"] for card in cards.values())
rows = []
for name, card in cards.items():
    r, megabytes = card["results"], path_of(name).stat().st_size / 1e6
    rows.append(
        f"| {name} | {mean_and_error(near_to[name])} | {mean_and_error(apart_by[name])} |"
        f" {r['frechet']:.1f} | {r['sliced_wasserstein']:.3f} | {r['class_distance']:.3f} |"
        f" {card['seconds']:,} | {megabytes:.1f} |"
    )
r = cards["dcgan"]["results"]
rows.append(
    f"| *real digits* | {mean_and_error(apart)} | {mean_and_error(apart_by['real'])} |"
    f" {r['real_frechet']:.1f} | {r['real_sliced_wasserstein']:.3f} |"
    f" {r['real_class_distance']:.3f} | | |"
)
table(
    f"| model | Frechet, 500 at a time | told apart, % | Frechet, {n:,} | sliced Wasserstein |"
    " classes, total variation | seconds to train | MB of weights |",
    rows,
    f"Columns 2 and 3 measured here: {N:,} samples in parts of 500, and 1,000 with 1,000 real ones."
    f" The others are from the weights' headers: {n:,} samples and test digits. Distances shrink"
    " with the number of samples: compare within a column. Seconds on the machine that trained"
    " them, which was busy. Of vae_8d the means of p(x|z) are judged. The acgan had labels, the"
    " others none.",
)
plot.markdown(
    f"**Measured.** By Frechet distance the best is {best}, by nearest neighbours {hidden}. "
    + (
        "The two agree."
        if best == hidden
        else (
            "The two do not agree: a Frechet distance sees means and covariances of all "
            "samples together, a neighbour each sample by itself."
        )
    )
)

# %% [markdown]
# ## What the papers and the lecture say, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    "claim-14": "lecture: a converged GAN's images can hardly be told from real ones",
    "claim-19": "lecture: a GAN misses modes",
}
table(
    "| said | measured |",
    [f"| {claims.get(key, key)} | {value} |" for key, value in measured.items()],
    "Each value beside another one, with the 95 % interval of their difference, corrected for"
    f" {TABLE} comparisons; of one trained model each, n is {N:,} unless the section says"
    " otherwise.",
    columns=":--",
)

# %% [markdown]
# ## For and against
# **For.** Each addition gives the GAN one thing it lacked: pictures' own structure, a class on
# order, an encoder, a trainable distance without a critic of images. Objectives of two lines; the
# loop that trains them never changed.
#
# **Against.** Still no likelihood for the games, and no number among their own objectives that says
# how good they are. A class that can be read is not a class in all its variety; an inverse is
# promised for the end of the game only; a penalty has a weight that somebody must choose.

# %% [markdown]
# ## Questions
# <details><summary>The auxiliary classifier GAN's generator maximises the class term as well. Why does that not end the game?</summary>
#
# The class is only half of what it maximises. A bold, legible symbol that no one would take for
# handwriting satisfies the class term and loses the other, $\log D$. The two pull together only
# where real images are legible, too. </details>
#
# <details><summary>In the bidirectional game, what would a discriminator that ignores the code train?</summary>
#
# An ordinary GAN, with an encoder that gets no gradient: its pair would be judged by the image
# alone, which it can't change.
# </details>
#
# <details><summary>Why does the unbiased MMD become negative now and then, and may you clip it at 0?</summary>
#
# Its expectation is 0 when both sets come from one distribution, so it must scatter to both sides.
# Clipped it would be biased, and would have no gradient half of the time. </details>
#
# <details><summary>Each code of a Wasserstein auto-encoder is one point. Why can you sample from it, but not from a plain
# auto-encoder?</summary>
#
# The penalty makes the points of all images together fill the prior, so a draw from the prior has
# neighbours that the decoder knows. Nothing does that for the plain one. </details>
#
# <details><summary>Your Frechet distance is 6, a paper's is 3. Is your model worse?</summary>
#
# Not comparable unless features, number of samples and reference set are the same: on 500 samples
# even real digits don't get 0.
# </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "More GANs (selected)".
# - A. Radford, L. Metz, S. Chintala, *Unsupervised Representation Learning with Deep Convolutional
#   Generative Adversarial Networks*, arXiv:1511.06434, 2015.
# - A. Odena, C. Olah, J. Shlens, *Conditional Image Synthesis with Auxiliary Classifier GANs*,
#   arXiv:1610.09585, 2016.
# - J. Donahue, P. Krähenbühl, T. Darrell, *Adversarial Feature Learning*, arXiv:1605.09782, 2016.
#   V. Dumoulin et al., *Adversarially Learned Inference*, ICLR 2017.
# - O. Bousquet, S. Gelly, I. Tolstikhin, C.-J. Simon-Gabriel, B. Schölkopf, *From Optimal Transport
#   to Generative Modeling: the VEGAN Cookbook*, arXiv:1705.07642, 2017. I. Tolstikhin et al.,
#   *Wasserstein Auto-Encoders*, ICLR 2018: both penalties.
# - A. Makhzani et al., *Adversarial Autoencoders*, 2015. A. Gretton et al., *A Kernel Two-Sample
#   Test*, JMLR 2012: the MMD.
# - M. Heusel et al., *GANs Trained by a Two Time-Scale Update Rule*, NeurIPS 2017: the Frechet
#   distance, there in Inception's features. D. Lopez-Paz, M. Oquab, *Revisiting Classifier
#   Two-Sample Tests*, ICLR 2017: told apart by nearest neighbours.
#
# Next: [07, a bound in place of the game](07_vae.ipynb)
