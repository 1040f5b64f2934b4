# ---
# jupyter:
#   dgmcourse:
#     part: At work
#     question: What does a melody remember?
#     about: a VAE at every step of a recurrent network; chorales one hears, goes on with, and
#       harmonises under a melody of one's own; what latent variables buy, and what else does
#     slides: Extensions and applications
#     minutes: 60
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
# # Music: a VAE at every step
# *60 minutes, about 15 of them for three exercises. Slides: "Extensions and applications". You need
# the VAE and its bound ([notebook 07](07_vae.ipynb)), and the importance weights at its end.*
#
# Press Play: Bach. Press Draw, then Play: a model that has read 259 of his chorales. Now write a
# melody, and let it put three voices under it. Two models can do it; one of them listens to your
# melody *while* it chooses the chord, the other only afterwards. **What makes the difference?**
#
# Three things to try:
#
# 1. Draw by the VRNN, then by the RNN, a few times each. Which one has wrong notes, and are they
#    wrong in themselves or beside the other voices?
# 2. Go on: both are given the first half of a chorale. Listen for the seam.
# 3. Clear, write a melody on the roll (C major lies best), and press Harmonise.

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

from dgmcourse import recipes
from dgmcourse.data.music import Chorales, chorales
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.music import draw_roll, music, rolls

torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine
bach = chorales()  # divided by melody: no test chorale begins as one that is trained on
vrnn, rnn = recipes.load("chorale_vrnn"), recipes.load("chorale_rnn")
models = {"VRNN": vrnn, "RNN": rnn}
STEPS = 32  # eighth notes: four bars
pieces = {
    f"Bach, {name} (test)": pitches[:STEPS]
    for name, pitches in list(zip(bach.test.names, bach.test.pitches, strict=True))[:8]
}
scale = torch.tensor([60, 62, 64, 65, 67, 69, 71, 72]).repeat_interleave(2)
scale = torch.cat([scale, scale.flip(0)])
pieces["a scale to harmonise"] = torch.stack([scale, *[0 * scale] * 3], -1)

# %% jupyter={"source_hidden": true}
from dgmcourse.data.music import RANGES, VOICES, clashes, decode, encode, known_voices

torch.manual_seed(4)
first = bach.test.pitches[0][:STEPS]
soprano_only = encode(first)
under = {
    name: decode(model.complete(soprano_only, known_voices(0), 100)[0][0])
    for name, model in models.items()
}
drawn_first = {name: decode(model.sample((), STEPS)) for name, model in models.items()}
show_widget(
    music(pieces, models, steps=STEPS),
    rolls(
        {
            f"Bach, {bach.test.names[0]}": first,
            "drawn by the VRNN": drawn_first["VRNN"],
            "Bach's soprano, harmonised by the VRNN": under["VRNN"],
            "drawn by the RNN": drawn_first["RNN"],
        }
    ),
    alt=(
        "Four piano rolls of 32 eighth notes, pitch against time, a colour a voice: a chorale by"
        " Bach; one drawn by the VRNN; Bach's soprano with three voices by the VRNN; one drawn by"
        " the RNN. All have four lines that move by small steps and seldom cross."
    ),
    caption=(
        "Red to blue: soprano, alto, tenor, bass. Every chorale was moved so that its last bass"
        " note is a C."
    ),
)

# %% [markdown]
# Afterwards you can write the bound of a model with a latent variable at every step; sum it over
# sequences of different lengths; estimate a likelihood, and harmonise, with particles; and say when
# latent variables help a recurrent network, and what else would.

# %% [markdown]
# ## The question
# A chorale is a sequence of steps $\mathbf{x}_1, \dots, \mathbf{x}_T$. A step is an eighth note:
# four numbers, which pitch each voice has. A recurrent network keeps a state $\mathbf{h}_t$ of all
# it has read, and predicts the next step from it:
#
# $$p(\mathbf{x}) = \prod_t p(\mathbf{x}_t | \mathbf{h}_{t-1}), \qquad
#   p(\mathbf{x}_t | \mathbf{h}_{t-1}) = \prod_{v=1}^4 p(x_{t,v} | \mathbf{h}_{t-1})$$
#
# Read aloud: the chain rule over time, which is exact; and then, within a step, four voices that are
# chosen *independently*. The network knows what each voice may sing next. It cannot say that the
# alto takes the E *if* the soprano takes the C.
#
# Count what this does to an ear: chords in which two voices are a semitone apart, octaves aside, so that
# a major seventh counts, too. **Predict.** In Bach they are rare. How often do they come in what the RNN draws?

# %%
torch.manual_seed(0)
drawn = {name: decode(model.sample(100, 64)) for name, model in models.items()}
ours = {"Bach, test": torch.cat(bach.test.pitches), **drawn}
share = {
    name: clashes(pitches).double().mean().item()
    for name, pitches in ours.items()  # in how many of its steps
}

# %% jupyter={"source_hidden": true}
import math

from IPython.display import display
from torch import Tensor

from dgmcourse import intervals, plot
from dgmcourse.check import music as check
from dgmcourse.densities import kl
from dgmcourse.models.vrnn import ChoraleVRNN
from dgmcourse.plot import DATA, MODEL, NOISE, POSTERIOR, PRIOR, plt
from dgmcourse.train import fit

fig, ax = plt.subplots(figsize=(plot.WIDTH, 1.8))
places = range(len(share))
ax.barh(places, [100 * s for s in share.values()], color=[DATA, MODEL, NOISE], height=0.6)
for place, s in zip(places, share.values(), strict=True):
    ax.text(100 * s + 0.3, place, f"{100 * s:.1f} %", va="center")
ax.set(yticks=list(places), yticklabels=list(share), xlabel="steps with a clash, %")
ax.set_xlim(0, 118 * max(share.values()))
ax.invert_yaxis()
plot.show(
    fig,
    alt="Bars. Steps in which two voices clash: "
    + ", ".join(f"{name} {s:.1%}" for name, s in share.items())
    + ".",
    caption=(
        f"The RNN clashes {share['RNN'] / share['Bach, test']:.1f} times as often as Bach, the VRNN"
        f" {share['VRNN'] / share['Bach, test']:.1f} times (100 draws of 64 steps; one training"
        " each)."
    ),
)

# %% [markdown]
# Both models are small and know less of harmony than Bach. But some of these clashes have another
# reason: each voice draws a note that it could well sing here, and the notes don't fit together. It
# is *agreement* that is missing. Notebook 10 met the same among neighbouring pixels.

# %% [markdown]
# ## The model: one latent variable a step
# The variational recurrent network (VRNN) of Chung et al. (2015) puts a VAE into every step, and lets
# all parts of it see the state:
#
# $$p(\mathbf{x}, \mathbf{z}) = \prod_t p(\mathbf{z}_t | \mathbf{h}_{t-1})\,
#   p(\mathbf{x}_t | \mathbf{z}_t, \mathbf{h}_{t-1}), \qquad
#   q(\mathbf{z}|\mathbf{x}) = \prod_t q(\mathbf{z}_t | \mathbf{x}_t, \mathbf{h}_{t-1}), \qquad
#   \mathbf{h}_t = f(\mathbf{x}_t, \mathbf{z}_t, \mathbf{h}_{t-1})$$
#
# Read aloud: think of a chord, in view of all that was; write four voices for it; remember both.
# Given $\mathbf{z}_t$ the voices are still independent. But $\mathbf{z}_t$ is drawn anew, once for all
# four, and so they can agree. Note the prior: it is not $\mathcal N(\mathbf{0}, \mathbf{I})$ but a
# Gaussian whose mean and variances are computed from $\mathbf{h}_{t-1}$.

# %% jupyter={"source_hidden": true}
fig, axes = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.5))
for ax, title, arrows in (
    (axes[0], "it draws", (("h", "z"), ("z", "x"), ("h", "x"))),
    (axes[1], "it reads", (("x", "z"), ("h", "z"))),
):
    at = {"h": (0.5, 1.0), "z": (2.0, 1.9), "x": (2.0, 0.35), "n": (3.8, 1.0)}
    ax.set(xlim=(-0.3, 4.6), ylim=(-0.15, 2.4), aspect="equal", title=title)
    ax.set_axis_off()
    then = (("h", "n"), ("z", "n"), ("x", "n"))
    for a, b in (*arrows, *then):
        (x1, y1), (x2, y2) = at[a], at[b]
        far = math.hypot(x2 - x1, y2 - y1)
        ux, uy = 0.4 * (x2 - x1) / far, 0.4 * (y2 - y1) / far
        colour = NOISE if b == "n" else MODEL if title == "it draws" else POSTERIOR
        plot.draw_arrow(ax, (x1 + ux, y1 + uy), (x2 - ux, y2 - uy), colour=colour)
    names = {"h": r"$\mathbf{h}_{t-1}$", "z": r"$\mathbf{z}_t$", "x": r"$\mathbf{x}_t$"}
    for name, place in at.items():
        face = "#d9d9d9" if name == "x" else "white"
        ax.add_patch(plt.Circle(place, 0.36, facecolor=face, edgecolor=DATA, linewidth=1.5))
        label = names.get(name, r"$\mathbf{h}_t$")
        ax.text(*place, label, ha="center", va="center")
plot.show(
    fig,
    alt=(
        "Two drawings of a step. It draws: arrows from the state h to z, from z and h to x. It"
        " reads: arrows from x and h to z. In both, x, z and h make the next state."
    ),
    caption="Blue: prior and decoder. Red: the encoder. Grey: the recurrence, common to both.",
)

# %% [markdown]
# ## Exercise 1: the bound of a step (6 minutes)
# Given the past, a step is a VAE, and its bound is the one you know, with three networks that see
# $\mathbf{h} = \mathbf{h}_{t-1}$:
#
# $$\mathcal L_t = \mathbb E_{q(\mathbf{z}_t|\mathbf{x}_t, \mathbf{h})}
#   [\log p(\mathbf{x}_t | \mathbf{z}_t, \mathbf{h})]
#   - \mathrm{KL}[q(\mathbf{z}_t|\mathbf{x}_t, \mathbf{h})\,\|\,p(\mathbf{z}_t|\mathbf{h})]$$
#
# Read aloud: how well the chord is written, given its $\mathbf{z}$; less how far this $\mathbf{z}$
# is from what the past led to expect. What the past foretold costs little here; a surprising chord
# costs more. Take one sample of $\mathbf{z}$.


# %% tags=["exercise"]
def step_bound(x: Tensor, h: Tensor, prior, encoder, decoder) -> Tensor:
    """The bound on log p(x_t|h) with one sample of z for each row, in nats.

    x: (B, D), a step.  h: (B, H), the state before it.
    prior(h): p(z|h).  encoder(x, h): q(z|x, h).  Both have .rsample(), (B, d),
    and can be given to kl(q, p), (B,).
    decoder(z, h): p(x|z, h), with .log_prob(x), (B,).
    Returns: (B,).
    """
    ### BEGIN SOLUTION
    q = encoder(x, h)
    z = q.rsample()
    return decoder(z, h).log_prob(x) - kl(q, prior(h))
    ### END SOLUTION


# %% tags=["exercise-check"]
step_bound = check.step_bound(step_bound)
# check.step_bound.hint()

# %% [markdown]
# Look at the first chords of the test chorales with it. There is no past yet, $\mathbf{h}_0 =
# \mathbf{0}$, so this is a plain VAE of one chord. **Predict.** Four voices of about 30 pitches each
# would cost $4 \log 30 \approx 14$ nats if all were as probable. How many are needed?

# %%
x, lengths = bach.test.tensors()  # (N, T, 133) and (N,): padded with silence
first_chords, h0 = x[:, 0], vrnn.start((len(x),))


def encoder(x: Tensor, h: Tensor):
    # phi_x: a network of one layer
    return vrnn.encoder(torch.cat([vrnn.phi_x(x), h], -1))


def decoder(z: Tensor, h: Tensor):
    return vrnn.decoder(torch.cat([z, h], -1))


with torch.no_grad():
    again = first_chords.repeat(50, 1), h0.repeat(50, 1)  # fifty samples of z for each
    L1 = step_bound(*again, vrnn.prior, encoder, decoder).view(50, -1).mean(0)
    log_p1 = rnn.each_log_prob(x)[:, 0]  # the RNN's, exact

# %% jupyter={"source_hidden": true}
found = intervals.of_mean(-L1, "test chorales", 2)
other = intervals.of_mean(-log_p1, "test chorales", 2)
plot.markdown(
    f"**Measured.** The first chord costs the VRNN at most {found:.1f} nats, the RNN {other:.1f}"
    f" ({found.basis})."
)

# %% [markdown]
# ## Exercise 2: sequences of different lengths (4 minutes)
# The bound of a chorale is the sum of its steps' bounds, each given the $\mathbf{z}$ drawn so far:
#
# $$\mathcal L(\mathbf{x}) = \mathbb E_q \sum_{t=1}^{T} \Big[
#   \log p(\mathbf{x}_t | \mathbf{z}_t, \mathbf{h}_{t-1}) - \mathrm{KL}[q_t\,\|\,p_t] \Big]
#   \;\le\; \log p(\mathbf{x})$$
#
# Chorales of a batch have different $T$. They stand in one tensor as long as the longest one, and
# what is behind an end is filler. Sum each row up to its own end. Filler may be anything, even
# $-\infty$; nothing of it may reach the sum.


# %% tags=["exercise"]
def sum_over_steps(terms: Tensor, lengths: Tensor) -> Tensor:
    """The sum of each sequence's terms, up to its end.

    terms: (B, T), a number for each step.  lengths: (B,), whole numbers from 1 to T.
    Returns: (B,).
    """
    ### BEGIN SOLUTION
    there = torch.arange(terms.shape[-1]) < lengths[:, None]
    return torch.where(there, terms, 0.0).sum(-1)
    ### END SOLUTION


# %% tags=["exercise-check"]
sum_over_steps = check.sum_over_steps(sum_over_steps)
# check.sum_over_steps.hint()

# %% [markdown]
# ## Train it
# A small one, on fragments of four bars. Your sum is in its objective. The KL's weight
# $\beta$ rises slowly from 0 to 1; why, you will see when you break it. On the right is what the
# model draws at that moment, always with the same noise. **Predict.** What does it learn first: the
# voices' ranges, the rhythm, or the chords?

# %%
# the last fragment of a chorale is shorter, and left out
fragments = [part.cut(STEPS).pitches for part in bach[:2]]
train, valid = (Chorales([p for p in part if len(p) == STEPS]) for part in fragments)


def objective(x, lengths, beta):
    """The bound of each sequence, (B,), with the KL's weight beta, and its parts."""
    path, _ = model.unroll(x)  # z ~ q at each step; prior, q and decoder of all steps
    log_p = sum_over_steps(path.decoder.log_prob(x), lengths)
    kls = sum_over_steps(kl(path.q, path.prior), lengths)
    return log_p - beta * kls, {"elbo": log_p - kls, "reconstruction": log_p, "kl": kls}


# %% jupyter={"source_hidden": true}
class Rehearsal:
    """For `fit(..., live=Rehearsal())`: the curves, and what the model draws now."""

    def __init__(self):
        self.handle, self.figure = None, plt.figure(figsize=(plot.WIDTH, 2.5))

    def __call__(self, model, history) -> None:
        if len(history.steps) < 2:
            return
        self.figure.clear()
        left, right = self.figure.subplots(1, 2, width_ratios=(1.3, 1))
        plot.draw_curves(left, history, unit=f"nats, {STEPS} steps")
        torch.manual_seed(3)
        draw_roll(right, decode(model.sample((), STEPS)), "drawn now")
        right.set_xlabel("eighth notes")
        words = f"After {history.steps[-1]['step']} steps of training: the curves of the bound and"
        words += " its two parts, and a piano roll of what the model draws."
        image = plot.picture(self.figure, words)
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)


# %%
SMALL = {"sizes": vrnn.decoder.sizes, "latent_dim": 8, "hidden": 64, "features": 32}
settings = {"epochs": 8, "batch_size": 32, "lr": 8e-3, "anneal": 3, "clip": 100.0}
torch.manual_seed(0)
model = ChoraleVRNN(**SMALL)
history = fit(
    model,
    train,
    valid,
    **settings,
    warm_up=5,
    objective=objective,
    live=Rehearsal(),
)

# %% jupyter={"source_hidden": true}
if history.steps:
    with torch.no_grad():
        v, n = valid.tensors()
        torch.manual_seed(0)
        mine, mine_parts = objective(v, n, 1.0)
    plot.markdown(
        f"After {len(history.epochs)} passes your model's bound is"
        f" {(mine.sum() / n.sum()).item():.2f} nats a step on validation fragments; its KL is"
        f" {(mine_parts['kl'].sum() / n.sum()).item():.2f}. What it draws clashes in"
        f" {clashes(decode(model.sample(100, STEPS))).double().mean():.0%} of the steps."
    )

# %% [markdown]
# The ranges come first, since they need no memory. Then voices learn to stay where they are, and clashes
# grow fewer meanwhile; but when you stop, it is the chords that are furthest from Bach's. Listen to it,
# beside the shipped one, which was trained on fragments of eight bars, for longer and with a larger
# state.

# %% jupyter={"source_hidden": true}
torch.manual_seed(6)
heard = {"yours": decode(model.sample((), STEPS)), "shipped": decode(vrnn.sample((), STEPS))}
show_widget(
    music({f"drawn by {name}": pitches for name, pitches in heard.items()}),
    rolls(heard),
    alt="Two piano rolls: what your model draws, and what the shipped one draws.",
    caption="Four bars by each, drawn once and not chosen; a colour a voice, as above.",
)

# %% [markdown]
# ## Exercise 3: weights of particles (5 minutes)
# The bound says less than $\log p(\mathbf{x})$. Importance weights say more ([notebook
# 07](07_vae.ipynb)), but a path of 100 steps has 100 chances to go astray, and one path in thousands
# then carries all the weight. So let $S$ paths, *particles*, go side by side, and after each step
# breed from the good ones. Each particle has a weight for its step:
#
# $$w_t^s = \frac{p(\mathbf{x}_t|\mathbf{z}_t^s, \mathbf{h}_{t-1}^s)\, p(\mathbf{z}_t^s|\mathbf{h}_{t-1}^s)}
#   {q(\mathbf{z}_t^s|\mathbf{x}_t, \mathbf{h}_{t-1}^s)}, \qquad
#   \log \hat p(\mathbf{x}) = \sum_t \log \frac1S \sum_s w_t^s$$
#
# Read aloud: the *mean* weight estimates how probable this step was, and its logarithms add up. Then
# draw $S$ particles anew, each old one with the probability $w_t^s / \sum_r w_t^r$, its share. You
# are given the logarithms of the weights; a weight may be $e^{-900}$.


# %% tags=["exercise"]
def weigh(log_w: Tensor) -> tuple[Tensor, Tensor]:
    """The log of the mean weight of each row, and each particle's share.

    log_w: (B, S), log-weights of S particles for each of B sequences.
    Returns: (B,) and (B, S); a row of the shares sums to 1.
    """
    ### BEGIN SOLUTION
    evidence = torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])
    return evidence, log_w.softmax(-1)
    ### END SOLUTION


# %% tags=["exercise-check"]
weigh = check.weigh(weigh)
# check.weigh.hint()

# %% [markdown]
# With it a particle filter takes a dozen lines. **Predict.** For 12 test chorales: the bound, plain
# importance weights of whole paths, and particles that breed. How far apart are the three with 64
# paths?


# %%
@torch.no_grad()
def particle_filter(model, x: Tensor, S: int) -> Tensor:
    """An estimate of log p(x), (B,), with S particles. x: (B, T, D)."""
    h, log_p = model.start((S, len(x))), 0
    for x_t in x.unbind(1):
        f = model.phi_x(x_t).expand(S, -1, -1)
        q = model.encoder(torch.cat([f, h], -1))
        z = q.sample()
        p = model.decoder(torch.cat([z, h], -1))
        log_w = p.log_prob(x_t) + model.prior(h).log_prob(z) - q.log_prob(z)
        evidence, shares = weigh(log_w.mT)
        log_p = log_p + evidence
        kept = torch.multinomial(shares, S, replacement=True).mT
        h = model.cell(f, z, h).gather(0, kept[..., None].expand_as(h))
    return log_p


# %%
paths, steps = [1, 4, 16, 64], 48  # eighth notes: six bars
some = torch.stack([encode(row[:steps]) for row in bach.test.pitches[:12]])
torch.manual_seed(0)
with torch.no_grad():
    rows = [vrnn.log_weight(some, None, (16,)) for _ in range(4)]  # to save memory
log_w = torch.cat(rows)  # (64, 12)
bound = log_w.mean(0)
plain = [torch.logsumexp(log_w[:S], 0) - math.log(S) for S in paths]
filtered = [particle_filter(vrnn, some, S) for S in paths]

# %% jupyter={"source_hidden": true}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.6))
for name, rows, colour, line in (
    ("whole paths", plain, NOISE, "s--"),
    ("particles that breed", filtered, MODEL, "o-"),
):
    gains = [(row - bound) / steps for row in rows]
    mean = [g.mean().item() for g in gains]
    error = [g.std().item() / len(g) ** 0.5 for g in gains]
    ax.errorbar(paths, mean, error, fmt=line, color=colour, capsize=3, label=name)
ax.axhline(0, color=DATA, linestyle=":")
ax.text(64, 0.004, "the bound", ha="right", color=DATA)
ax.set(xscale="log", xlabel="paths or particles S", ylabel="above the bound,\nnats a step")
ax.set_xticks(paths, [str(S) for S in paths])
ax.minorticks_off()
ax.legend(loc="upper left")
tighter = intervals.of_mean((filtered[-1] - bound) / steps, "test chorales", 2)
bred = intervals.of_mean((filtered[-1] - plain[-1]) / steps, "test chorales", 2)
plot.show(
    fig,
    alt=(
        "Estimates of log p above the bound, in nats a step, against the number of paths: by whole"
        f" paths, and by particles that breed, which end {tighter.value:.2f} above."
    ),
    caption=f"12 test chorales of {steps} steps; bars: one standard error over chorales.",
)
plot.measured(
    f"with 64 particles the estimate is {tighter.said('.3f', 'nats a step')} above the bound, and"
    f" {bred.said('.3f')} above that of 64 whole paths ({tighter.basis})"
)

# %% [markdown]
# Both rise towards $\log p(\mathbf{x})$ from below, on average. A few particles that breed say more than
# many whole paths. The VRNN's NLLs in the study below are made with 30 particles, which breed only
# when their weights have grown too unequal; they are still a little too high.


# %% [markdown]
# ## What z holds
# The KL of a step says how many nats $\mathbf{z}_t$ tells about its chord beyond what the past told.
# **Predict.** In which steps of a chorale will that be much? Where will it be next to nothing?

# %%
with torch.no_grad():
    torch.manual_seed(0)
    path, _ = vrnn.unroll(x)
    kl_of_step = kl(path.q, path.prior)  # (N, T)
    log_p_of_step = path.decoder.log_prob(x)
del path  # to save memory
pitches = decode(x)
moved = (pitches[:, 1:] != pitches[:, :-1]).any(-1)  # does any voice move?
inside = torch.arange(1, x.shape[1]) < lengths[:, None]
kls = kl_of_step[:, 1:]
at_moves, at_rests = (
    torch.stack([k[m & i].mean() for k, m, i in zip(kls, which, inside, strict=True)])
    for which in (moved, ~moved)
)

# %% jupyter={"source_hidden": true}
example = 0
shown = min(64, int(lengths[example]))
fig, (top, below) = plt.subplots(
    2, 1, figsize=(plot.WIDTH, 3.6), height_ratios=(1.5, 1), sharex=True
)
draw_roll(top, pitches[example, :shown], f"Bach, {bach.test.names[example]}")
below.bar(
    torch.arange(shown) + 0.5, kl_of_step[example, :shown], color=PRIOR, width=0.8, linewidth=0
)
below.set(xlabel="eighth notes", ylabel="KL, nats")
more = intervals.of_mean(at_moves - at_rests, "test chorales")
plot.show(
    fig,
    alt=(
        "A piano roll of a test chorale, and below it the KL of each step. It is high where voices"
        " move, mostly on every second step, and low where the chord is held."
    ),
    caption=(
        "Above the chorale, below the KL of each of its steps. In the test chorales z tells"
        f" {at_moves.mean():.2f} nats where a voice moves, and {at_rests.mean():.2f} where none"
        " does."
    ),
)
plot.measured(
    f"a step in which a voice moves costs {more.said('.2f', 'nats')} more KL than one in which none"
    f" does ({more.basis})"
)

# %% [markdown]
# $\mathbf{z}$ has most to say where there is most to decide. You can ask it for what it says: keep the
# past, draw $\mathbf{z}$ four times, and look at the chord that each makes most probable.

# %%
spot = 32  # steps of the chorale above have been read
with torch.no_grad():
    torch.manual_seed(2)
    h = vrnn.read(x[:1, :spot])
    z = vrnn.prior(h).sample((4,))  # (4, 1, d)
    p = vrnn.decoder(torch.cat([z, h.expand(4, -1, -1)], -1))
    likeliest = torch.cat([part.argmax(-1) for part in p.mean.split(p.sizes, -1)], -1)
    sure = torch.cat([part.amax(-1) for part in p.mean.split(p.sizes, -1)], -1)
    many = vrnn.prior(h).sample((1000,))  # what is left when z is not known
    p = vrnn.decoder(torch.cat([many, h.expand(1000, -1, -1)], -1)).mean

# %% jupyter={"source_hidden": true}
LETTERS = "C C♯ D E♭ E F F♯ G A♭ A B♭ B".split()


def called(pitch: int) -> str:
    return f"{LETTERS[pitch % 12]}{pitch // 12 - 1}" if pitch else "silent"


names_of = [
    [
        called(int(c) - 1 + low if c else 0) + f" ({100 * s:.0f} %)"
        for c, s, (low, _) in zip(row, certain, RANGES, strict=True)
    ]
    for row, certain in zip(likeliest, sure, strict=True)
]
plot.markdown(
    f"| after {spot} steps | {' | '.join(VOICES)} |",
    "|:--|--:|--:|--:|--:|",
    "| Bach goes on | " + " | ".join(called(int(n)) for n in pitches[0, spot]) + " |",
    *(f"| z drawn, {k + 1} | {' | '.join(row)} |" for k, row in enumerate(names_of)),
    "",
    "*For each draw of z the most probable pitch of each voice, and how probable it is.*",
)
given_z = torch.stack([part.amax(-1).mean() for part in p.split(vrnn.decoder.sizes, -1)])
without = torch.stack([part.mean(0).amax() for part in p.split(vrnn.decoder.sizes, -1)])
chords = len({tuple(row) for row in likeliest.tolist()})
plot.markdown(
    f"Read each row as one chord: the four draws of z lead to {chords} different ones. Over 1,000"
    f" draws the most probable pitch of a voice has {given_z.mean():.0%} on average when z is"
    f" known, and {without.mean():.0%} when it is not: at this step, that much of the choice is"
    " z's."
)

# %% [markdown]
# ## A given soprano
# Nobody trained the model to harmonise. But it has a joint distribution, and so it can be asked:
# draw the lower voices from $p(\text{alto, tenor, bass} | \text{soprano})$. Particles do it. Each draws
# $\mathbf{z}_t$ from the *prior*, and three voices given it; its weight is what it thought of the
# soprano's next note, $p(\text{soprano}_t|\mathbf{z}_t, \mathbf{h}_{t-1})$; and the good ones breed.
#
# The RNN can do it, too. But its three voices are independent of the soprano's note of the same step:
# its weight prefers particles whose *past* led to this note. **Predict.** Which of the two sets more
# wrong notes under Bach's melodies?

# %%
melodies = [row[:STEPS] for row in bach.test.pitches[:30]]
known = known_voices(0)
torch.manual_seed(0)
set_under, evidence = {}, {}
for name, harmoniser in models.items():
    set_under[name], evidence[name] = [], torch.zeros(len(melodies))
    for i, row in enumerate(melodies):
        found, log_p = harmoniser.complete(encode(row), known, 60)
        set_under[name].append(decode(found[0]))  # one of 60 particles
        evidence[name][i] = log_p / STEPS

# %% jupyter={"source_hidden": true}
clash = {
    name: torch.tensor([100 * clashes(row).double().mean() for row in rows])
    for name, rows in {**set_under, "Bach": melodies}.items()
}
fewer = intervals.of_mean(clash["RNN"] - clash["VRNN"], "test chorales", 2)
knows = intervals.of_mean(evidence["VRNN"] - evidence["RNN"], "test chorales", 2)
plot.markdown(
    "| under thirty of Bach's sopranos | steps with a clash, % | log p(soprano), nats a step |",
    "|:--|--:|--:|",
    *(f"| {n} | {clash[n].mean():.1f} | {evidence[n].mean():.2f} |" for n in models),
    f"| Bach himself | {clash['Bach'].mean():.1f} | |",
    "",
    f"*{STEPS} steps each, 60 particles. {fewer.basis}.*",
)
plot.measured(
    f"steps with a clash, RNN less VRNN: {fewer.said('+.1f', 'points')}; log p(soprano), VRNN less"
    f" RNN: {knows.said('+.2f', 'nats a step')} ({fewer.basis}; one training each)"
)
listen = {f"soprano by Bach, the rest by the {name}": set_under[name][1] for name in models}
listen["all by Bach"] = melodies[1]
show_widget(
    music(listen),
    rolls(dict(zip(("VRNN", "RNN", "Bach"), listen.values(), strict=True)), columns=3),
    alt="Three piano rolls with one soprano: lower voices by the VRNN, by the RNN, and by Bach.",
    caption=(
        "One soprano, in red at the top, and three settings of the other voices: drawn once and not"
        " chosen."
    ),
)

# %% [markdown]
# In the RNN the soprano's note chooses among pasts only, and then three voices are drawn without it. In
# the VRNN it chooses among $\mathbf{z}_t$, and the other three voices are drawn from the same
# $\mathbf{z}_t$. That is the difference you heard at the start.
#
# Each step chooses without an idea of the soprano's *next* note, and so paints itself into corners; sixty
# particles are sixty guesses. Bach knew the whole melody. An encoder that reads it to its
# end and proposes $\mathbf{z}_t$ would be the next thing to build.

# %% [markdown]
# ## Do latent variables help?
# One training of each proves little, and the RNN has another remedy: a richer output. Let
# $p(\mathbf{x}_t|\mathbf{h}_{t-1})$ be a *mixture* of four sets of independent voices. Which component
# it is, is a latent variable, too, but a discrete one, summed over exactly, and forgotten after the
# step. The study trained three models of about the same size from five seeds each, on the same
# chorales with the same settings, each until it stopped improving on the validation chorales, and
# measured all test chorales. **Predict.** Rank the RNN, the RNN with the mixture, and the VRNN. Which
# of the three has the fewest clashes?

# %% tags=["claim-40"]
study = recipes.study("music")
of = {}
for row in study["rows"]:  # in the order of the seeds
    of.setdefault(row["model"], []).append(row)


def column(name: str, key: str) -> Tensor:
    """A column of the study's table for one model, a number for each seed."""
    return torch.tensor([row[key] for row in of[name]], dtype=torch.float64)


better = {
    rival: intervals.of_mean(
        column(rival, "nats_a_step") - column("VRNN", "nats_a_step"), "seeds", 3
    )
    for rival in ("RNN", "RNN, mixture")
}

# %% jupyter={"source_hidden": true}
per_chorale = {name: intervals.of_mean(column(name, "test_nll"), "seeds", 3) for name in of}
per_step = {name: intervals.of_mean(column(name, "nats_a_step"), "seeds", 3) for name in of}
clashing = {name: intervals.of_mean(100 * column(name, "clashes"), "seeds", 3) for name in of}
bach_clashes = 100 * clashes(torch.cat(bach.test.pitches)).double().mean().item()
passes = {name: [sum(row["passes"]) for row in rows] for name, rows in of.items()}
rates = ", then ".join(f"{rate:g}" for rate in study["settings"]["rates"])
stopped = sum(row["converged"] for row in study["rows"])
plot.markdown(
    "| | parameters | passes | NLL of a step, nats | NLL of a chorale | steps with a clash, % |",
    "|:--|--:|--:|--:|--:|--:|",
    *(
        f"| {name} | {rows[0]['parameters']:,} | {min(passes[name])} to {max(passes[name])} |"
        f" {per_step[name]:.3f} | {per_chorale[name]:.1f} | {clashing[name]:.1f} |"
        for name, rows in of.items()
    ),
    f"| Bach, test | | | | | {bach_clashes:.1f} |",
    "",
    f"*{len(bach.test)} test chorales. {per_step['VRNN'].basis}. Training at a learning rate of"
    f" {rates}, at each until the validation bound had not risen for"
    f" {study['settings']['patience']} passes: so ended {stopped} of {len(study['rows'])}"
    f" trainings. The clashes are those of draws. The VRNN's NLL is an upper bound, by"
    f" {study['settings']['particles']} particles; its KL is"
    f" {column('VRNN', 'kl_a_step').mean():.2f} nats a step. The other two are exact.*",
)
mixed = intervals.of_mean(
    column("RNN", "nats_a_step") - column("RNN, mixture", "nats_a_step"), "seeds", 3
)
cleaner = {
    (a, b): intervals.of_mean(100 * (column(a, "clashes") - column(b, "clashes")), "seeds", 3)
    for a, b in (("RNN", "RNN, mixture"), ("RNN", "VRNN"), ("RNN, mixture", "VRNN"))
}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 2.0))
for place, (name, colour) in enumerate(
    (("RNN", NOISE), ("RNN, mixture", POSTERIOR), ("VRNN", MODEL))
):
    values = column(name, "nats_a_step")
    ax.plot(values, [place] * len(values), "o", color=colour, alpha=0.7)
    ax.plot(values.mean(), place, "|", color=DATA, ms=18, mew=2)
ax.set(yticks=range(3), yticklabels=["RNN", "RNN, mixture", "VRNN"], ylim=(2.5, -0.5))
ax.set_xlabel("NLL of a step, nats (left is better)")
plot.show(
    fig,
    alt="Test NLL of a step, a dot for each of five seeds: "
    + ", ".join(f"{name} {column(name, 'nats_a_step').mean():.3f}" for name in of)
    + " on average.",
    caption=(
        f"A dot is a training, a line their mean. Against the RNN the VRNN saves"
        f" {better['RNN'].said('+.3f', 'nats a step')}, against the mixture"
        f" {better['RNN, mixture'].said('+.3f')} ({better['RNN'].basis})."
    ),
)
words = ("a lower NLL", "a higher NLL", "no lower NLL that is shown")
measured = {
    "claim-40": (
        f"than an RNN of the same size with the same output a VRNN has"
        f" {better['RNN'].verdict(*words)}, by {better['RNN']:+.2f} nats a step; than one whose"
        f" output is a mixture {better['RNN, mixture'].verdict(*words)}, by"
        f" {better['RNN, mixture']:+.2f} ({better['RNN'].basis}; test chorales). Its draws clash in"
        f" {clashing['VRNN'].value:.0f} % of the steps, theirs in {clashing['RNN'].value:.0f} and"
        f" {clashing['RNN, mixture'].value:.0f} %, Bach's in {bach_clashes:.0f} %"
    )
}
plot.measured(measured["claim-40"])
named = {tuple(n.removeprefix("RNN, ") for n in pair): c for pair, c in cleaner.items()}
plot.markdown(
    f"RNN less mixture: {mixed.said('+.3f', 'nats a step')}. Steps with a clash: "
    + "; ".join(f"{a} less {b}: {c.said('+.1f', 'points')}" for (a, b), c in named.items())
    + f" ({mixed.basis})."
)
longer = {name: recipes.card(f"chorale_{name.lower()}") for name in models}
plot.markdown(
    f"The shipped two had {longer['RNN']['settings']['epochs']} passes at a rate that falls to 0,"
    " and stand at "
    + " and ".join(
        f"{c['results']['nats_a_step']:.2f} ± {c['results']['nats_a_step_se']:.2f} ({name}; its"
        f" best pass on validation chorales was {c['best_epoch']})"
        for name, c in longer.items()
    )
    + " nats a step, ± a standard error over test chorales; one training each."
)

# %% [markdown]
# Two ways lead to voices that agree: a latent variable for each step, and an output that is not a
# product. The paper compared with both, and found the VRNN ahead on speech, where a step is 200
# samples of sound. Here both have fewer clashes than the RNN, but only the VRNN's NLL is far below:
# clean chords and a high likelihood are two things.
#
# What has the VRNN beside its chords? A mixture can't *remember* its choice but by the notes it led to,
# while the VRNN's state is given $\mathbf{z}_t$ itself. A mixture of four is a small one; the paper's
# had twenty components, which here would cost most of the parameters. And $\mathbf{z}_t$ is drawn
# anew in each pass, which makes it harder to learn 259 chorales by heart: compare the passes after
# which validation said stop. How much each of these counts, the table can't say.
#
# Other papers report about 4 to 9 nats a step for "JSB chorales". These are other steps (quarter notes,
# 88 keys on or off) and another split: not comparable with this table.

# %% [markdown]
# ## Does it make music?
# "It generates sequences", the lecture says. Three questions a listener would ask, as numbers: are
# the chords clean, do the voices move as often as Bach's, and is it new, or copied? Copied is a
# window of eight steps, one bar, all four voices of which occur so somewhere in the training
# chorales. **Predict.** How much of Bach's own *test* chorales is copied in this sense?


# %%
def windows(rows, n: int = 8) -> list:
    """All windows of n steps in which something moves, as bytes."""
    cut = (row[t : t + n] for row in rows for t in range(len(row) - n + 1))
    return [w.byte().numpy().tobytes() for w in cut if (w[1:] != w[:-1]).any()]


# %% tags=["claim-6"]
seen = set(windows(bach.train.pitches))
music_of = {
    "Bach, test": bach.test.pitches,
    **{n: list(rows) for n, rows in drawn.items()},
}
bars = {name: [windows([row]) for row in rows] for name, rows in music_of.items()}
copied = {
    name: torch.tensor([sum(w in seen for w in ws) / max(1, len(ws)) for ws in each])
    for name, each in bars.items()
}
moves = {
    name: torch.tensor([(row[1:] != row[:-1]).double().mean() for row in rows])
    for name, rows in music_of.items()
}

# %% jupyter={"source_hidden": true}
clean = {
    name: torch.tensor([clashes(row).double().mean() for row in rows])
    for name, rows in music_of.items()
}
plot.markdown(
    "| | steps with a clash, % | a voice moves, % of steps | bars copied, % |",
    "|:--|--:|--:|--:|",
    *(
        f"| {name} | {intervals.of_mean(100 * clean[name], 'pieces', 9):.1f} |"
        f" {intervals.of_mean(100 * moves[name], 'pieces', 9):.1f} |"
        f" {intervals.of_mean(100 * copied[name], 'pieces', 9):.1f} |"
        for name in music_of
    ),
    "",
    f"*95 % intervals over pieces ({len(bach.test)} chorales, 100 draws each), corrected for 9"
    " comparisons; one training each. Means over pieces; the figure at the start averages over"
    " steps.*",
)
apart = {
    name: intervals.of_difference(100 * clean[name], 100 * clean["Bach, test"], "pieces", 2)
    for name in models
}
told = "its clashes still tell it from Bach", "it has fewer clashes than Bach"
more_moves = intervals.of_difference(100 * moves["VRNN"], 100 * moves["Bach, test"], "pieces", 2)
measured["claim-6"] = (
    f"a VRNN draws four-part music that is new ({copied['VRNN'].mean():.1%} of its bars are copied,"
    f" of unseen Bach {copied['Bach, test'].mean():.1%}) and moves"
    f" {more_moves.verdict('more often than', 'less often than', 'about as often as')} Bach's (in"
    f" {moves['VRNN'].mean():.0%} of the steps, Bach's in {moves['Bach, test'].mean():.0%});"
    f" {apart['VRNN'].verdict(*told, 'its clashes do not tell it from Bach')}, by"
    f" {apart['VRNN']:+.1f} points, an RNN's by {apart['RNN']:+.1f} ({apart['VRNN'].basis}; one"
    f" training each)"
)
plot.measured(measured["claim-6"])

# %% [markdown]
# A chord is right or wrong for a moment; a chorale has phrases, and comes home. Draw a few times
# above, and listen for an ending. The state forgets where a phrase began, and $\mathbf{z}_t$ knows
# one step only. Nothing in this model plans.

# %% [markdown]
# ## Break it
# ### A prior that has seen the answer
# In code the prior of the *next* step and that of *this* step differ by one line: whether
# $\mathbf{h}$ is advanced before the KL is taken, or after. **Predict.** With $\mathbf{h}_t$ in the
# place of $\mathbf{h}_{t-1}$, will what is maximised end lower or higher? And the true bound of
# the model trained so?


# %%
def cheating(x, lengths, beta):
    """As the bound, but the prior of a step is asked after the step was read."""
    f, h, total = model.phi_x(x), model.start((len(x),)), 0
    for t in range(x.shape[1]):
        q = model.encoder(torch.cat([f[:, t], h], -1))
        z = q.rsample()
        log_p = model.decoder(torch.cat([z, h], -1)).log_prob(x[:, t])
        h = model.cell(f[:, t], z, h)
        step = log_p - beta * kl(q, model.prior(h))  # h has seen x_t, and z
        total = total + torch.where(t < lengths, step, 0.0)
    return total, {"elbo": total}


# %%
honest = model
torch.manual_seed(0)
model = ChoraleVRNN(**SMALL)  # as the one you trained, with another objective
cheat = fit(model, train, **settings, warm_up=5, objective=cheating, progress=False)

# %% jupyter={"source_hidden": true}
cheater, model = model, honest


def nats_a_step(of_model, bound_of) -> Tensor:
    """A bound of each validation fragment, nats a step."""
    global model
    kept, model = model, of_model
    with torch.no_grad():
        torch.manual_seed(0)
        value = bound_of(v, n, 1.0)[0] / n
    model = kept
    return value


rows = {
    "yours": (nats_a_step(honest, objective), nats_a_step(honest, objective)),
    "the cheat": (nats_a_step(cheater, cheating), nats_a_step(cheater, objective)),
}
flattered = intervals.of_mean(rows["the cheat"][0] - rows["yours"][0], "validation fragments", 2)
true_loss = intervals.of_mean(rows["the cheat"][1] - rows["yours"][1], "validation fragments", 2)
plot.markdown(
    "| | what it maximised, nats a step | its bound |",
    "|:--|--:|--:|",
    *(
        f"| {name} | {claimed.mean():.2f} | {true.mean():.2f} |"
        for name, (claimed, true) in rows.items()
    ),
)
plot.measured(
    f"what the cheat maximised ends {flattered.said('+.2f', 'nats a step')} from the honest bound;"
    f" its true bound ends {true_loss.said('+.2f')} from it ({flattered.basis}; one training each)"
)

# %% [markdown]
# The cheat's number is no bound on anything: its "prior" knows $\mathbf{z}_t$ already, so
# that $\mathbf{z}_t$ may tell the whole chord for next to nothing. When it draws, or is scored as it
# would draw, nobody can hand it the answer. A test finds this at once: the prior of a step may have
# no gradient from that step.

# %% [markdown]
# ### An average over padding
# A loss averaged over all entries of a batch is one call, `.mean()`. **Predict.** What happens to the
# nats a step of the same model on the same chorales, when the batch is larger?

# %%
terms = log_p_of_step - kl_of_step  # (N, T), padding among them
rate = -sum_over_steps(terms, lengths).sum() / lengths.sum()
padded = {}
for size in (1, 4, 16, 66):
    parts = [(part, part.max()) for part in lengths.split(size)]
    rows_of = terms.split(size)
    sums = [-row[:, :T].sum() for row, (_, T) in zip(rows_of, parts, strict=True)]
    padded[size] = (sum(sums) / sum(len(p) * T for p, T in parts)).item()

# %% jupyter={"source_hidden": true}
plot.markdown(
    "| batch | nats a step, averaged over the batch's tensor |",
    "|--:|--:|",
    *(f"| {size} | {value:.2f} |" for size, value in padded.items()),
    "",
    f"*The same model, the same {len(x)} chorales. Up to each chorale's own end it is {rate:.2f}.*",
)

# %% [markdown]
# The larger the batch, the more of its entries are filler, and silence after silence is easy to
# predict. The model looks better by having longer neighbours. Sum up to each end; divide, if you
# must, by the number of steps that are there.

# %% [markdown]
# ### No annealing, and no KL
# With $\beta = 1$ from the first step, $\mathbf{z}$ costs nats before the decoder has learned what it
# is good for. With $\beta = 0$ it never costs any. **Predict.** What is the KL of each, and which of
# them draws clean chords?


# %%
def without_kl(x, lengths, beta):
    return objective(x, lengths, 0.0)


briefly = settings | {"progress": False}  # and no warm_up: beta is 1 from the start
broken = {}
for name, of_model in (("no annealing", objective), ("no KL", without_kl)):
    torch.manual_seed(0)
    broken[name] = model = ChoraleVRNN(**SMALL)
    fit(model, train, **briefly, objective=of_model)
model = honest

# %% jupyter={"source_hidden": true}
rows = []
for name, m in {"annealed (yours)": honest, **broken}.items():
    model = m
    with torch.no_grad():
        torch.manual_seed(0)
        _, parts = objective(v, n, 1.0)
        ugly = clashes(decode(m.sample(100, STEPS))).double().mean()
    means = [(parts[k].sum() / n.sum()).item() for k in ("reconstruction", "kl", "elbo")]
    rows.append(f"| {name} | {means[0]:.2f} | {means[1]:.2f} | {means[2]:.2f} | {100 * ugly:.1f} |")
model = honest
plot.markdown(
    "| | log p(x given z) | KL | bound | drawn steps with a clash, % |",
    "|:--|--:|--:|--:|--:|",
    *rows,
    "",
    f"*Nats a step on {len(v)} validation fragments; one training each.*",
)

# %% [markdown]
# Without annealing $\mathbf{z}$ is switched off early, and with a state as good as this one it is hard
# to switch on again: the VRNN has become an RNN. Without a KL the codes say everything and lie
# anywhere; the prior has never been asked to meet them, and what it draws is noise to the decoder.
# In between the KL is a price, and what is worth it is bought.

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    6: "a deep generative model generates sequences",
    40: "latent variables help a recurrent model of sequences",
}
plot.claims_table(claims, measured)

# %% [markdown]
# ## For and against
# **For.** Dependencies *within* a step come into a recurrent network at the price of one small latent
# variable; the prior learns from the past what to expect; with particles, any part of a sequence can be
# asked for given any other; the bound is a sum of bounds you know.
#
# **Against.** No exact likelihood. The state does most of the work, and $\mathbf{z}$ is easily left
# unused. $q(\mathbf{z}_t|\mathbf{x}_t, \mathbf{h}_{t-1})$ has not seen the future, so even with linear
# maps the bound stays below $\log p$. A richer output buys cleaner chords, too, with an exact
# likelihood, though here its NLL stays higher. And one step must wait for the last one, in training
# as in drawing.

# %% [markdown]
# ## Questions
# <details><summary>Why may the KL be taken in closed form here, though z_t depends on z_1, ..., z_{t-1}?</summary>
#
# Given the path drawn so far, h is fixed, and both q and p of the next z are Gaussians. The
# expectation over the path itself is still a sample. </details>
#
# <details><summary>Your h must not see x_t before the prior of z_t is asked. May it see z_{t-1}?</summary>
#
# Yes, and it helps: else the prior of z_t could not know what was decided a step ago but by way of x. In the
# linear-Gaussian case, h_t = z_t is all of the state. </details>
#
# <details><summary>In harmonising, why is z drawn from the prior and not from the encoder?</summary>
#
# The encoder wants a whole step, and three of its voices are what is asked for. The prior needs none,
# and the weight corrects for it. A better proposal would look at the soprano, and at its next
# notes. </details>
#
# <details><summary>All particles descend from one after a while. Is the estimate of log p wrong then?</summary>
#
# No: the mean weights of all steps were taken before each choice, and their product has no bias. But as
# a sample of voices for the *beginning* of the piece the particles are one draw, not many. </details>
#
# <details><summary>When would a mixture of outputs not do, and a VRNN would?</summary>
#
# When a step has many parts. Each component is one way to agree, and costs as many logits as the
# whole output does without a mixture. A vector z combines its dimensions, and so has many ways for few. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Some extensions and
#   applications of VAE".
# - J. Chung, K. Kastner, L. Dinh, K. Goel, A. Courville, Y. Bengio, *A Recurrent Latent Variable Model
#   for Sequential Data*, NeurIPS 2015: the VRNN.
# - C. J. Maddison et al., *Filtering Variational Objectives*, NeurIPS 2017: particles and the bound.
# - N. Boulanger-Lewandowski, Y. Bengio, P. Vincent, *Modeling Temporal Dependencies in
#   High-Dimensional Sequences*, ICML 2012: chorales as a test, and outputs that are no product.
# - G. Hadjeres, F. Pachet, F. Nielsen, *DeepBach*, ICML 2017: chorales given a soprano.
# - J. S. Bach's chorales, in the public domain, from the corpus of the package music21 (M. S. Cuthbert
#   and others): `python -m dgmcourse.data.music` makes the array again.
#
# Before: [13a, sentences](13a_text.ipynb).
# Next: [14, graphs and ratings](14_graphs.ipynb)
