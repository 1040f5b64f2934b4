# ---
# jupyter:
#   dgmcourse:
#     about: "welcome: a map of the course, how exercises and widgets work, and a first walk through
#       a latent space"
#     slides: the title
#     minutes: 20
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
# # Two numbers, 784 pixels
# *Welcome to the course. 20 minutes, nothing needed yet. Slides: the title.*
#
# A network was shown 50,000 handwritten digits. Nobody told it which was a 3. All it may keep of
# each is two numbers, and from these two it has to write the digit again.
#
# **What does it put between a 4 and a 9? And what does it make of a letter?** In JupyterLab press
# Shift+Enter three times and find out; on a web page it is running already. Three things to try, by
# mouse, finger or keyboard (Tab to the pad, then the arrow keys; with Shift, larger steps):
#
# 1. Take a **4** by its button and walk to the nearest 9. Where does the one become the other?
# 2. Write a digit of your own on the paper at the left. Then write a letter. What comes back?
# 3. Press **Sample z** ten times. How many of the ten would pass for somebody's handwriting?

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
from dgmcourse import intervals, plot
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.latent import latent_grid, latent_traversal

show_widget(
    latent_traversal("vae_2d"),
    latent_grid("vae_2d"),
    alt=(
        "A table of 16 by 16 small pictures, each decoded from its own two numbers: 6s"
        " at the top left, 9s and 7s at the top right, 0s at the left edge, 2s in the"
        " middle, 4s between them and the 9s, 3s and 5s below, 8s and 1s at the bottom."
        " Neighbours differ little; some pictures between two digits are neither."
    ),
)

# %% [markdown]
# ## What you have just used
# The pad is $\mathbf{z}$, the two numbers (bold letters are vectors). The **decoder** turns any
# $\mathbf{z}$ into a probability of ink for each of the 784 pixels:
# $p_\theta(\mathbf{x}|\mathbf{z})$. The **encoder** says which $\mathbf{z}$ may stand for the
# picture $\mathbf{x}$ that you wrote: $q_\phi(\mathbf{z}|\mathbf{x})$.
#
# Before anything is written, $\mathbf{z}$ may be anywhere near the middle: that is the **prior**
# $p_\lambda(\mathbf{z})$, which *Sample z* draws from. The small $\theta$, $\phi$ and $\lambda$
# stand for what each of the three can learn: here the weights of two networks, and for the prior
# nothing yet.
#
# A decoder and a prior together give every picture a probability:
#
# $$p(\mathbf{x}) = \int p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z}$$
#
# Read it aloud: a picture is probable if probable codes explain it. If the decoder is a network
# and $\mathbf{z}$ has many dimensions, nobody can compute this integral. **The course is the story
# of what to do then:** sample it (density networks), avoid it (GANs), or bound it (VAEs); and, once
# it is bounded, how to make the bound better.

# %% [markdown]
# ## The way
# It follows J. M. Tomczak's lecture *Deep Generative Models: GANs and VAE* (Split, 2017), whose
# claims become measurements here.
#
# | Notebook | The question | Slides | Minutes |
# |:--|:--|:--|--:|
# | **Why** | | | |
# | [01 motivation](01_motivation.ipynb) | What does a classifier not know? | Do we need generative modeling? | 75 |
# | **Latent variables** | | | |
# | [02 latent_variable_models](02_latent_variable_models.ipynb) | What does a hidden cause buy? | Latent Variable Models | 60 |
# | [03 density_network](03_density_network.ipynb) | Can the integral simply be sampled? | Density Network | 60 |
# | **The game** | | | |
# | [04 gan](04_gan.ipynb) | Can a critic replace the likelihood? | Generative Adversarial Nets | 75 |
# | [05 wgan](05_wgan.ipynb) | Does a better distance calm the game? | Wasserstein GAN | 70 |
# | [06 more_gans](06_more_gans.ipynb) | What did others make of it? | More GANs | 80 |
# | **The bound** | | | |
# | [07 vae](07_vae.ipynb) | Can a bound replace the integral? | Variational Auto-Encoder | 75 |
# | [08 reparameterization](08_reparameterization.ipynb) | Can a gradient pass a draw? | Variational Auto-Encoder | 75 |
# | **A better bound** | | | |
# | [09 normalizing_flows](09_normalizing_flows.ipynb) | Can the posterior bend? | Improving the posterior | 70 |
# | [10 pixelvae](10_pixelvae.ipynb) | Can pixels know of each other? | Improving the decoder | 70 |
# | [11 priors](11_priors.ipynb) | Can the prior be learned? | Improving the prior | 70 |
# | **At work** | | | |
# | [12 semi_supervised](12_semi_supervised.ipynb) | How far does a handful of labels reach? | Extensions and applications | 75 |
# | [13a text](13a_text.ipynb) | Can one walk from sentence to sentence? | Extensions and applications | 65 |
# | [13b music](13b_music.ipynb) | What does a melody remember? | Extensions and applications | 60 |
# | [14 graphs](14_graphs.ipynb) | Which link is missing? | Extensions and applications | 75 |
# | [15 drug_response](15_drug_response.ipynb) | Which cells answer to a drug? | Extensions and applications | 60 |
# | **Looking back** | | | |
# | [16 looking_back](16_looking_back.ipynb) | What held, in numbers? | Pros and cons | 60 |
#
# Each says in its first lines what it needs. What you are asked to predict is left out of these
# working copies until you run the cell, and folded on a web page; the copies in the folder
# [solutions](solutions) show it, and the exercises' answers. In class, let people predict before you
# run a cell, and leave the exercises to them.

# %% [markdown]
# ## Is your machine ready?
# The course's doctor looks at what it needs and says what to do about the rest. No GPU is needed.

# %%
from dgmcourse.doctor import doctor

doctor()

# %% [markdown]
# ## How exercises work
# You write the equation, a check tells you whether it is right, and the notebook goes on with your
# function. If the cell is left as it is, or not right yet, the notebook goes on with the course's
# own.
#
# **Exercise (5 minutes).** A picture $\mathbf{x}$ has $D$ black or white pixels, $x_i = 1$ for ink.
# For a given $\mathbf{z}$ the decoder gives each a *logit* $l_i$, any real number, that stands for
# the probability of ink $p_i = 1 / (1 + e^{-l_i})$. With independent pixels
#
# $$\log p_\theta(\mathbf{x}|\mathbf{z}) = \sum_{i=1}^{D} \left[ x_i \log p_i + (1 - x_i) \log (1 - p_i) \right]
#             = \sum_{i=1}^{D} \left[ x_i\, l_i - \log(1 + e^{l_i}) \right]$$
#
# Read aloud: each pixel adds the log-probability of what it is. The logarithm is natural, so the
# unit is the *nat*. The second form never takes the logarithm of a rounded zero.

# %% tags=["exercise"]
import torch
import torch.nn.functional as F


def log_bernoulli(x, logits):
    """log p(x|z) in nats, shape (B,), from x (B, D) of 0 and 1 and the logits (B, D).

    F.softplus(l) is log(1 + e^l), without overflow.
    """
    ### BEGIN SOLUTION
    return (x * logits - F.softplus(logits)).sum(-1)
    ### END SOLUTION


# %% tags=["exercise-check"]
from dgmcourse.check import welcome as check

log_bernoulli = check.log_bernoulli(log_bernoulli)
# check.log_bernoulli.hint()

# %% [markdown]
# Try the check before you write, then with a mistake of your choice (forget the sum, say). For a
# hint remove the `#` before `check.log_bernoulli.hint()`, here and in every exercise; each further
# run gives the next one. `check.progress()` shows what you have tried so far, in all notebooks of
# this folder. It is noted beside them, in `progress.jsonl`, and sent to nobody.

# %% [markdown]
# Now use it on 100 test digits, and on the same digits with their pixels shuffled: exactly as much
# ink. **Predict:** the decoder gets each digit's code. By how many nats does it prefer a digit to
# its shuffled self, on average?

# %%
from dgmcourse import recipes
from dgmcourse.data.images import mnist

digits, vae = mnist(), recipes.load("vae_2d")
torch.manual_seed(0)
x = (digits.test.x[:100] > 127).float()  # black and white: 1 is ink
shuffled = x[:, torch.randperm(784)]
with torch.no_grad():
    p = vae.decoder(vae.encoder(x).mean)
    nats = log_bernoulli(x, p.logits), log_bernoulli(shuffled, p.logits)  # (100,) each

# %% jupyter={"source_hidden": true}
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 3, figsize=(5, 1.8))
titles = ["probability of ink", f"digit: {nats[0][0]:.0f} nats", f"shuffled: {nats[1][0]:.0f} nats"]
for ax, picture, title in zip(axes, (p.mean, x, shuffled), titles, strict=True):
    plot.draw_images(ax, picture[:1], columns=1, title=title)
plot.show(
    fig,
    alt=(
        "Three pictures in a row: the decoder's grey digit, the black and white test digit it"
        " stands for, and the digit's pixels in random order."
    ),
    caption=(
        "One of the 100. The same ink in other places is much less probable given the digit's"
        " code: the decoder knows where ink belongs."
    ),
)
lead = intervals.of_mean(nats[0] - nats[1], "digits")
plot.measured(
    f"given its code, a digit is by {lead:.0f} nats more probable than its pixels in random order"
    f" ({lead.basis})"
)

# %% [markdown]
# ## How training works
# Every model in the course is trained by the same `fit`, before your eyes: a bar with the time
# left, a curve, and samples. **Stop it whenever you have seen enough** (the ■ button, or the key I
# twice): you keep a usable model. This one is a small sister of the widget's network.
#
# **Predict:** the first samples are a grey blur. What comes first, different shapes or clear
# strokes?

# %%
from dgmcourse.models import VAE
from dgmcourse.train import fit

torch.manual_seed(0)
small = VAE(latent_dim=2, hidden=100)
history = fit(small, digits.train[:20000], epochs=5, lr=2e-3, live=plot.Live())

# %% [markdown]
# The curve is a lower bound on $\log p(\mathbf{x})$, in nats per picture: the higher, the less the
# digits surprise the model. Shapes come first, clear strokes take longer; dark or noisy squares are
# codes that no digit has claimed yet. The widget's network is wider and was trained until the bound
# stopped rising. Notebook 07 derives what is maximised.

# %% [markdown]
# ## How to read the formulas
# Within a notebook a letter means one thing, and these mean the same in all of them,
# unless the notebook says otherwise. Bold letters are vectors; coordinates are counted
# from 1.
#
# | | |
# |:--|:--|
# | $\mathbf{x}$, $x_1, \dots, x_D$ | a data point and its $D$ dimensions, the pixels of an image |
# | $\mathbf{z}$, $z_1, \dots, z_d$ | its code and the $d$ latent dimensions |
# | $y$ | a label, one of $C$ classes |
# | $p_\theta(\mathbf{x}\mid\mathbf{z})$, $q_\phi(\mathbf{z}\mid\mathbf{x})$, $p_\lambda(\mathbf{z})$ | decoder, encoder, prior, and their parameters |
# | $N$, $B$, $S$ | how many data points, points in a batch, samples of $\mathbf{z}$ for one integral |
# | $K$, $L$, $T$ | how many components of a mixture, layers, steps |
# | $\mu$, $\sigma$, $\boldsymbol\epsilon$ | a mean, a standard deviation, noise from $\mathcal N(\mathbf{0}, \mathbf{I})$ |
# | $\beta$ | the weight of the KL divergence in a bound |
# | $\mathrm{KL}[q\,\Vert\,p]$ | the Kullback-Leibler divergence, $\mathbb{E}_q[\log q - \log p]$ |
#
# Logarithms are natural, so their unit is the nat.
#
# "1.2 (0.9 to 1.5)" is a value with its 95 % interval. Beside it stands what was repeated: the
# training, from other seeds, or the measurement on other test digits of one training. A difference
# whose interval includes 0 is *not shown*. "1.2 ± 0.2" is a mean with its standard error; it
# describes, and no claim rests on it.

# %% [markdown]
# ## How to read the figures
# A colour means the same thing wherever one of these things is drawn, and figures say it by line or
# marker, too.

# %% jupyter={"source_hidden": true}
roles = {
    "data": (plot.DATA, r"$\mathbf{x}$"),
    "model": (plot.MODEL, r"$p_\theta(\mathbf{x}|\mathbf{z})$"),
    "prior": (plot.PRIOR, r"$p_\lambda(\mathbf{z})$"),
    "posterior": (plot.POSTERIOR, r"$q_\phi(\mathbf{z}|\mathbf{x})$"),
    "noise": (plot.NOISE, r"$\mathbf{\epsilon}$"),
    "critic": (plot.CRITIC, r"$D(\mathbf{x})$"),
}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 0.9))
for i, (name, (colour, symbol)) in enumerate(roles.items()):
    ax.barh(1, 0.9, left=i, height=0.6, color=colour)
    ax.text(i + 0.45, 1, symbol, ha="center", va="center", color="white", fontsize=12)
    ax.text(i + 0.45, 0.42, name, ha="center", va="center")
ax.set(xlim=(0, 6), ylim=(0.2, 1.35))
ax.set_axis_off()
plot.show(
    fig,
    alt=(
        "Six bars: data dark grey, model blue, prior green, posterior orange red, noise grey,"
        " critic pink."
    ),
    caption=(
        "Okabe and Ito chose these colours to be told apart by most readers, whatever their colour"
        " vision."
    ),
)

# %% [markdown]
# ## Good to know
# **Keys.** Shift+Enter runs a cell, Tab moves into a widget and on, arrow keys move what has the
# focus.
#
# **Data.** Where a notebook loads digits, a line says which you have: all 70,000 of MNIST, if they
# are at hand or can be fetched, else 5,000 of them that come with the course's packages. `python -m
# dgmcourse data` fetches the rest (11 MB).
#
# **Stuck?** Restart the kernel and run all cells: every notebook runs to its end with nothing
# filled in. If it does not, or a sentence is wrong, tell us where you got the course from;
# [CONTRIBUTING](../CONTRIBUTING.md) says how.
#
# <details><summary><b>A question to take along.</b> Nobody told the network which pair of numbers a digit
# should get. Where do the pairs come from?</summary>
#
# Encoder and decoder were changed together, a little at each step, until the digit that came out
# was probable given its code, while the codes were held to where the prior expects them. Notebook
# 07 makes one bound of the two.
# </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, Split 2017.
# - D. P. Kingma and M. Welling, [Auto-Encoding Variational Bayes](https://arxiv.org/abs/1312.6114),
#   2014: the model behind the widget.
# - Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, *Gradient-Based Learning Applied to Document
#   Recognition*, 1998: MNIST.
# - M. Okabe and K. Ito, *Color Universal Design*, 2008: the colours.
#
# Code: MIT. Text and figures: CC BY 4.0. See [LICENSE](../LICENSE).
#
# Next: [01, what does a classifier not know?](01_motivation.ipynb)
