# %% [markdown] notebook="07_vae" minutes=45
# # The variational auto-encoder
#
# A bound in place of the integral, and a network that says where to look

# %% [markdown] tags=["notes"]
# 10 s. Two models so far, each with what the other lacks. This part is about the one between them.
# Notebooks 07 and 08 belong to it.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from deck import VALUE, Drawing, claim, live, show
from torch.distributions import Normal

from dgmcourse import plot, recipes
from dgmcourse.data.images import mnist
from dgmcourse.densities import Gaussian, kl
from dgmcourse.evaluate import kl_of_each_unit
from dgmcourse.gradients import pathwise, score_function
from dgmcourse.models import VAE
from dgmcourse.plot import POSTERIOR
from dgmcourse.train import fit
from dgmcourse.widgets.latent import latent_grid, latent_traversal

torch.set_num_threads(1)
digits = mnist()
test = digits.test[:500].tensor()
vae2, vae40 = recipes.load("vae_2d"), recipes.load("vae_40d")
with torch.no_grad():
    back = vae40.reconstruct(test[:10])


def together(d: Drawing, first: int) -> None:
    """The parts from `first` on wait for one key press, after the formulas above the drawing."""
    d.parts[first:] = [f'<g class="fragment">{"".join(d.parts[first:])}</g>']


def dice(d: Drawing, x: int, y: int, side: int, off: int, r: int, round: int) -> None:
    """A die that shows five, about (x, y): its dots have radius r and are `off` from the middle."""
    d.box(x, y, side, side, colour="noise", round=round)
    for right, down in ((-off, -off), (off, -off), (0, 0), (-off, off), (off, off)):
        place = f'cx="{x + right}" cy="{y + down}" r="{r}"'
        d.add(f'<circle {place} style="fill: var(--noise)"/>')


def to_mean_and_width(d: Drawing, y: int) -> None:
    """x -> encoder -> mu, sigma at the left, at height y."""
    d.node(50, y, "x", seen=True).arrow(96, y, 146, y)
    d.net(240, y, 180, 110, "encoder", narrow="right", colour="posterior")
    d.arrow(332, y, 392, y).box(440, y, 92, 92).formula(440, y, "*μ*, *σ*", size=34)


def density_network(d: Drawing, x: int, y: int, step=None) -> Drawing:
    """z -> decoder -> x, 460 wide, about (x, y)."""
    d.node(x - 186, y, "z", step=step).arrow(x - 140, y, x - 86, y, step=step)
    d.net(x, y, 170, 96, "decoder", narrow="left", step=step)
    return d.arrow(x + 86, y, x + 140, y, step=step).node(x + 186, y, "x", seen=True, step=step)


def gan(d: Drawing, x: int, y: int, step=None) -> Drawing:
    """z -> generator -> x -> discriminator, 552 wide, about (x, y)."""
    d.node(x - 240, y, "z", step=step, r=36).arrow(x - 202, y, x - 166, y, step=step)
    d.net(x - 84, y, 162, 96, "generator", narrow="left", step=step)
    d.arrow(x - 2, y, x + 34, y, step=step).node(x + 72, y, "x", step=step, r=36)
    d.arrow(x + 110, y, x + 146, y, step=step)
    return d.net(
        x + 210, y, 126, 96, "discrim-\ninator", narrow="right", colour="critic", step=step, size=24
    )


def auto_encoder(d: Drawing, lit: str = "encoder decoder prior", step=None) -> Drawing:
    """x -> encoder -> z -> decoder -> x, with the prior above z: 1150 x 250. What is not in `lit`
    is pale.
    """

    def colour(part, own):
        return own if part in lit else "line"

    def ink(part):
        return "ink" if part in lit else "quiet"

    d.image(60, 170, 112, 112, test[0].reshape(28, 28), frame="line").arrow(124, 170, 190, 170)
    d.net(298, 170, 208, 136, narrow="right", colour=colour("encoder", "posterior"))
    d.text(298, 152, "encoder", colour=ink("encoder"))
    d.formula(298, 188, "q_ϕ(*z*|*x*)", colour=ink("encoder"))
    d.arrow(406, 170, 524, 170).node(575, 170, "z").arrow(622, 170, 740, 170)
    d.net(852, 170, 208, 136, narrow="left", colour=colour("decoder", "model"))
    d.text(852, 152, "decoder", colour=ink("decoder"))
    d.formula(852, 188, "p_θ(*x*|*z*)", colour=ink("decoder"))
    d.arrow(960, 170, 1026, 170).image(1090, 170, 112, 112, back[0].reshape(28, 28), frame="line")
    d.box(575, 42, 210, 76, colour=colour("prior", "prior"))
    d.text(532, 42, "prior", colour=ink("prior"))
    d.formula(624, 42, "p_λ(*z*)", colour=ink("prior"))
    return d.arrow(575, 82, 575, 122)


def axes(
    d: Drawing, left, top, w, h, xlim, ylim, xticks, yticks, xlabel: str, ylabel: str, log: str = ""
):
    """Axes in a drawing, `log` of them logarithmic; what comes back puts data at their place."""

    def share(value, limits, name):
        value, low, high = np.log([value, *limits]) if name in log else (value, *limits)
        return (value - low) / (high - low)

    def at(x, y) -> tuple[float, float]:
        return left + w * share(x, xlim, "x"), top + h * (1 - share(y, ylim, "y"))

    lines = f"M{left},{top} V{top + h} H{left + w}"
    d.add(f'<path d="{lines}" style="stroke: var(--quiet); fill: none" stroke-width="2"/>')
    for x in xticks:
        words = f"{x:,g}".replace("-", "−")
        d.text(round(at(x, ylim[0])[0]), top + h + 20, words, size=22, colour="quiet")
    for y in yticks:
        words = f"{y:,g}".replace("-", "−")
        place = left - 10, round(at(xlim[0], y)[1])
        d.text(*place, words, size=22, anchor="end", colour="quiet")
    d.text(left + w / 2, top + h + 52, xlabel, size=24)
    x, y = left - 32 - 11 * max(len(f"{tick:,g}") for tick in yticks), top + h / 2
    place = f'transform="rotate(-90 {x} {y})" x="{x}" y="{y}" font-size="24"'
    d.add(f'<text {place} text-anchor="middle" dominant-baseline="central">{ylabel}</text>')
    return at


def curve(
    d: Drawing, at, xs, ys, colour: str, *, dash="", marks=False, width: float = 4, step=None
) -> None:
    places = [at(x, y) for x, y in zip(xs, ys, strict=True)]
    d.trace(places, colour=colour, dash=dash, width=width, step=step)
    for x, y in places if marks else ():
        d.add(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="7" style="fill: var(--{colour})"/>', step)


def widths(net) -> list[int]:
    """Of a gated network: what goes in, the hidden units, what comes out."""
    layers = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    return [layer.in_features for layer in layers] + [layers[-1].out_features]


# %% [markdown] minutes=45
# ## So far we have

# %% [markdown] tags=["notes"]
# 80 s. Left, the density network: likelihood, by codes drawn blindly from the prior. Every further
# latent dimension multiplies the codes needed; with 40 of them practically one blind code in 50,000
# does all the explaining. Right, the GAN: the number of latent dimensions costs nothing. But what
# it trains has no density, and the game may fail. The failures are from notebook 04's ring.

# %%
d = Drawing(
    1152,
    160,
    "Left, the density network: z goes into a decoder, which gives x. Right, the adversarial net: z"
    " goes into a generator, which gives x, which goes into a discriminator.",
)
d.text(276, 20, "Density network", size=30).text(876, 20, "Generative adversarial net", size=30)
density_network(d, 276, 106)
gan(d, 876, 106).show()

# %% tags=["left", "step"]
claim(
    12,
    rf"multiplies the codes needed by {VALUE}; continued to (\d+), that is \$(.+?)\$",
    "**For few dimensions only.** Each one more multiplies the codes needed by **{}**; continued to"
    " {}: ${}$.",
)

# %% tags=["left", "step"]
claim(
    12,
    rf"with ([\d,]+) blind codes has {VALUE} effective",
    "**Inefficient training.** Of {} blind codes for a digit **{}** is effective, in 40"
    " dimensions.",
)

# %% tags=["right", "step"]
claim(
    16,
    rf"takes {VALUE} ms at (\d+), .* {VALUE} ms at (\d+) latent",
    "**For many dimensions!** A turn of the game takes {} ms with {} latent dimensions, **{}** ms"
    " with {}.",
)

# %% tags=["right", "step"]
claim(
    15,
    r"of (\d+) seeds (\d+) fail with (\d+) latent dimensions (\(.*?\));"
    r" (\d+) with (\d+) latent dimensions (\(.*?\))",
    "**No distribution, unstable training.** On the ring {1} of {0} seeds fail with {2} latent"
    " dimensions{3}, **{4}** with {5}{6}.",
)

# %% [markdown] minutes=45
# ## The question

# %% [markdown] tags=["notes"]
# 20 s. Let the room read it, and wait. What does the density network lack? Not a density: it looks
# for codes without looking at the digit. Take suggestions before you go on.

# %%
d = Drawing(1152, 160, "The density network at the left, the adversarial net at the right.")
density_network(d, 276, 56)
gan(d, 876, 56).show()

# %% [markdown] tags=["step"]
# <div class="big">
#
# Can we keep the **log-likelihood**
#
# and train it **simply**?
#
# </div>

# %% [markdown] minutes=45
# ## Between the two: look at the digit first

# %% [markdown] tags=["notes"]
# 40 s. Reveal row by row. From the density network we keep the prior, the decoder and the
# likelihood. From the GAN the idea of a second network. This one does not judge, it helps: it looks
# at x and says which codes might explain it.

# %%
d = Drawing(
    1150,
    500,
    "Three rows: the density network, z to x; the variational auto-encoder, x to encoder to z to"
    " decoder to x; the adversarial net, z to generator to x to discriminator.",
)
d.text(0, 70, "Density", size=28, anchor="start")
d.text(0, 104, "network", size=28, anchor="start")
density_network(d, 796, 87)
d.text(0, 396, "Generative", size=28, anchor="start")
d.text(0, 430, "adversarial net", size=28, anchor="start")
gan(d, 846, 413)
d.text(0, 233, "Variational", size=28, anchor="start", step=1)
d.text(0, 267, "auto-encoder", size=28, anchor="start", step=1)
d.node(238, 250, "x", seen=True, step=2).arrow(284, 250, 338, 250, step=2)
d.net(424, 250, 170, 96, "encoder", narrow="right", colour="posterior", step=2)
d.arrow(510, 250, 564, 250, step=2)
density_network(d, 796, 250, step=1).show()

# %% [markdown] minutes=45
# ## The picture: three boxes

# %% [markdown] tags=["notes"]
# 45 s. Encoder, decoder, prior: this diagram comes back until the end of the lecture. To train, go
# from left to right. To generate, cover the left half: z from the prior, x from the decoder. The
# digit at the right is what the shipped model with 40 dimensions makes of the one at the left.

# %%
d = Drawing(
    1150,
    330,
    "A digit x goes into the encoder q(z|x), which gives z; z goes into the decoder p(x|z), which"
    " gives x again. The prior p(z) stands above z. Under the encoder: minus KL; under the decoder:"
    " reconstruction.",
)
auto_encoder(d)
d.text(298, 272, "guesses the codes", colour="posterior", step=1)
d.text(298, 306, "that explain x", colour="posterior", step=1)
d.text(852, 272, "a probability", colour="model", step=2)
d.text(852, 306, "for each pixel", colour="model", step=2)
d.text(700, 30, "which codes are usual,", anchor="start", colour="prior", step=3)
d.text(700, 64, "whatever x is", anchor="start", colour="prior", step=3)
d.show()

# %% [markdown] tags=["step"]
# Train: $\mathbf{x} \to \mathbf{z} \to \mathbf{x}$. Generate: $\mathbf{z} \sim
# p_\lambda(\mathbf{z})$, then $\mathbf{x} \sim p_\theta(\mathbf{x}|\mathbf{z})$.

# %% [markdown] minutes=45
# ## A bound in place of the integral

# %% [markdown] tags=["notes"]
# 90 s. Line by line. The first is what we want. The second has changed nothing: a one was
# multiplied in, so that codes are drawn where the encoder sends us. The third is the only place
# where something is lost: the log goes inside, by Jensen. The fourth sorts the terms. Ask which of
# the four could be estimated with a single code: the last two.

# %% [markdown]
# <div style="font-size: 33px">
#
# $$\begin{aligned}
# \log p(\mathbf{x}) &= \log \int p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z} \\
# &\step{= \log \int \frac{q_\phi(\mathbf{z}|\mathbf{x})}{q_\phi(\mathbf{z}|\mathbf{x})}\; p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})\, d\mathbf{z} \qquad \text{\small the encoder is invited}} \\
# &\step{\ge \int q_\phi(\mathbf{z}|\mathbf{x})\; \log \frac{p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})}{q_\phi(\mathbf{z}|\mathbf{x})}\, d\mathbf{z} \qquad \text{\small Jensen: the log goes inside}} \\
# &\step{= \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}[\log p_\theta(\mathbf{x}|\mathbf{z})] - \mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x})\,\|\,p_\lambda(\mathbf{z})]} \\
# &\step{= \mathcal L(\mathbf{x}) \qquad \text{\small the evidence lower bound, ELBO}}
# \end{aligned}$$
#
# </div>

# %% [markdown] minutes=45
# ## What did Jensen cost?

# %% [markdown] tags=["notes"]
# 45 s. Put p(z|x) p(x) for p(x|z) p(z) into the bound; p(x) does not depend on z and leaves the
# integral. What remains is a KL: the bound is short by the encoder's error, no more and no less. In
# the notebook each of the three numbers is computed in a way of its own.

# %% [markdown]
# Bayes: $\; p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z}) = p(\mathbf{z}|\mathbf{x})\,
# p(\mathbf{x})$
#
# $$\begin{aligned}
# \mathcal L(\mathbf{x}) &= \int q_\phi(\mathbf{z}|\mathbf{x})\, \log \frac{p(\mathbf{z}|\mathbf{x})\, p(\mathbf{x})}{q_\phi(\mathbf{z}|\mathbf{x})}\, d\mathbf{z} \\
# &\step{= \log p(\mathbf{x}) - \mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x})\,\|\,p(\mathbf{z}|\mathbf{x})]}
# \end{aligned}$$
#
# . . .
#
# The bound is short by **the encoder's error**. Right encoder: no gap.

# %% tags=["step"]
claim(
    23,
    r"(\d+) of ([\d,]+) (?:random )?choices of q exceed log p\(x\).*posterior to (\d)e-0*(\d+) nats",
    "In a model with one latent number **{}** of {} encoders exceed $\\log p(x)$, and the gap is"
    " that KL to within ${}\\cdot 10^{{-{}}}$ nats.",
)

# %% [markdown] minutes=60
# ## Move q, and the bound follows

# %% [markdown] tags=["notes"]
# 50 s. Two codes, 0 and -2, decode to the x we saw, so the exact posterior has two bumps. Each key
# press moves q to the right. Before the third, ask what happens to the bound between the bumps. It
# dips: q sits on codes that do not give x. The orange bar is the gap, in nats. Notebook 07 has
# sliders for mean and width.

# %%
grid = torch.linspace(-12, 12, 6001, dtype=torch.float64)
cell = (grid[1] - grid[0]).log()
prior_at = Normal(torch.zeros(1, dtype=torch.float64), 1.0).log_prob(grid)


def log_likelihood(z):
    """log p(x = 0 | z), nats."""
    return Normal(z + z**2 / 2, torch.full_like(z, 0.25)).log_prob(torch.zeros_like(z))


likelihood_at = log_likelihood(grid)
evidence = (torch.logsumexp(likelihood_at + prior_at, 0) + cell).item()


def parts(mean: float, sigma: float) -> tuple[float, float]:
    """Reconstruction and regulariser of q = N(mean, sigma^2), nats."""
    log_q = Normal(torch.tensor(mean, dtype=torch.float64), sigma).log_prob(grid)
    weight = (log_q + cell).exp()
    return (weight @ likelihood_at).item(), (weight @ (log_q - prior_at)).item()


def bound(mean: float, sigma: float) -> float:
    reconstruction, regulariser = parts(mean, sigma)
    return reconstruction - regulariser


sweep = np.linspace(-2.6, 0.7, 67).tolist()
pairs = [(m, s) for m in sweep for s in (0.15, 0.2, 0.25, 0.3, 0.35, 0.4)]
best_mean, width = max(pairs, key=lambda q: bound(*q))
hill = {m: bound(m, width) for m in sweep}  # at the best width
valley = min((m for m in sweep if -1.6 < m < -0.5), key=hill.get)
places = [-2.4, max((m for m in sweep if m < valley), key=hill.get), valley, best_mean]
gaps = [evidence - bound(m, width) for m in places]
d = Drawing(
    1152,
    450,
    "Left: an exact posterior with two bumps, and q at four places from left to right. Right: the"
    " bound against the mean of q, two hills under the line log p(x). The gaps are"
    f" {', '.join(f'{gap:.1f}' for gap in gaps)} nats.",
)
ticks = (-3, -2, -1, 0, 1), (0, 1, 2)
at = axes(d, 92, 30, 450, 340, (-3.2, 1.2), (0, 2), *ticks, "code z", "density")
some = torch.linspace(-3.2, 1.2, 90, dtype=torch.float64)
log_joint = log_likelihood(some) - some**2 / 2 - math.log(2 * math.pi) / 2
exact = (log_joint - evidence).exp()
outline = [(-3.2, 0), *zip(some.tolist(), exact.tolist(), strict=True), (1.2, 0)]
area = " ".join(f"{x:.0f},{y:.1f}" for x, y in (at(*pair) for pair in outline))
d.add(f'<polygon points="{area}" style="fill: var(--line)"/>')
d.text(530, 40, "grey: exact p(z|x)", size=24, anchor="end")
ticks = (-2, -1, 0), (-6, -4, -2, 0)
to = axes(d, 680, 30, 380, 340, (-2.6, 0.7), (-7, 0.6), *ticks, "mean of q", "ELBO, nats")
inside = {m: value for m, value in hill.items() if value > -7}
curve(d, to, inside.keys(), inside.values(), "model")
curve(d, to, (-2.6, 0.7), (evidence, evidence), "ink", width=3)
d.text(1066, round(to(0.7, evidence)[1]), "log p(x)", size=24, anchor="start")
for k, (mean, gap) in enumerate(zip(places, gaps, strict=True), 1):
    near = some[(some - mean).abs() < 3.2 * width]
    height = Normal(mean, width).log_prob(near).exp()
    curve(d, at, near.tolist(), height.tolist(), "posterior", step=k)
    peak = at(mean, 1 / (width * math.sqrt(2 * math.pi)))
    (x, low), (_, high) = to(mean, evidence - gap), to(mean, evidence)
    d.text(round(peak[0]), round(peak[1]) - 20, str(k), colour="posterior", step=k)
    d.text(round(x), round(high) - 20, str(k), colour="posterior", step=k)
    curve(d, to, (mean, mean), (evidence - gap, evidence), "posterior", width=9, step=k)
    words, look = f"{gap:.1f}", {"size": 24, "colour": "posterior", "step": k}
    if low > 320:  # beside the bar that reaches the axis
        d.text(round(x) + 14, round(low - 16), words, anchor="start", **look)
    else:
        d.text(round(x) + 8, round(low + 24), words, **look)
d.show()

# %% [markdown]
# <p class="small">Orange bars: the gap, KL[q(z|x) ∥ p(z|x)], in nats.</p>

# %% [markdown] minutes=60
# ## The two terms pull in opposite directions

# %% [markdown] tags=["notes"]
# 45 s. Same little model, q at its best place; only its width changes. Ask which width the
# reconstruction would choose alone: none at all, a point. That is a plain auto-encoder. The
# regulariser would have the prior's width. Their sum has its top between.

# %% [markdown]
# $$\mathcal L(\mathbf{x}) = \step{\underbrace{\mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}[\log p_\theta(\mathbf{x}|\mathbf{z})]}_{\text{reconstruction}}}
# \step{- \underbrace{\mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x})\,\|\,p_\lambda(\mathbf{z})]}_{\text{regularisation}}}$$

# %% tags=["step"]
scales = np.geomspace(0.03, 2.5, 80).tolist()
reconstruction, regulariser = np.array([parts(best_mean, s) for s in scales]).T
top = int((reconstruction - regulariser).argmax())
d = Drawing(
    1100,
    370,
    "Reconstruction falls as q gets wider, minus KL rises until width 1; their sum, the bound, is"
    f" highest at {scales[top]:.2f}.",
)
ticks = (0.03, 0.1, 0.3, 1), (-6, -4, -2, 0)
at = axes(d, 110, 6, 800, 290, (0.03, 2.5), (-6, 1.2), *ticks, "width of q", "nats", log="x")
curve(d, at, (0.03, 2.5), (evidence, evidence), "ink", width=2)
total = reconstruction - regulariser
for values, colour, dash in (
    (reconstruction, "posterior", "14 8"),
    (-regulariser, "prior", "4 7"),
    (total, "model", ""),
):
    inside = values > -6
    curve(d, at, np.array(scales)[inside], values[inside], colour, dash=dash)
curve(d, at, [scales[top]], [total[top]], "model", marks=True)
d.text(918, round(at(1, evidence)[1]), "log p(x)", anchor="start", size=24)
y, words = round(at(1, 0.75)[1]), "reconstruction: best for a point"
d.text(122, y, words, anchor="start", colour="posterior", size=24)
y, words = round(at(1, -3.4)[1]), "regulariser: best at the prior’s width"
d.text(250, y, words, anchor="start", colour="prior", size=24)
place, words = map(round, at(0.4, -2)), f"their sum: best at {scales[top]:.2f}"
d.text(*place, words, colour="model", size=24, anchor="end")
d.show()

# %% [markdown]
# ## With S samples

# %% [markdown] tags=["notes"]
# 50 s. For 784 pixels there is no grid: ask the encoder for S codes and average what each is worth.
# Let the room guess the scatter for one digit at S = 1: a tenth of a nat, some nats, tens? Digits
# differ from each other by more, so one code a digit is enough to train with. The KL in closed form
# scatters more here; that is no law, notebook 07 says why.

# %% [markdown] tags=["left"]
# $$\mathcal L(\mathbf{x}) \approx \frac1S \sum_{s=1}^{S} f(\mathbf{z}_s), \quad \mathbf{z}_s \sim q_\phi(\mathbf{z}|\mathbf{x})$$
#
# . . .
#
# $$\begin{aligned}
# f(\mathbf{z}_s) &= \log p_\theta(\mathbf{x}|\mathbf{z}_s) \\ &\quad - \log q_\phi(\mathbf{z}_s|\mathbf{x}) \\ &\quad + \log p_\lambda(\mathbf{z}_s)
# \end{aligned}$$

# %% tags=["left", "step"]
claim(
    24,
    rf"draw scatters by {VALUE} nats.*?S draws by S to the power {VALUE}.*?(?=\(95 %)",
    "One code scatters by **{}** nats a digit; $S$ codes by $S$ to the power {} of that.",
)

# %% tags=["right"]
torch.manual_seed(0)
with torch.no_grad():
    q = vae40.encoder(test[:20])
    draws = torch.cat([vae40.log_weight(test[:20], (50,)) for _ in range(20)])  # (1000, 20)
sizes = [1, 2, 5, 10, 25, 50, 100]
spread = [draws.unflatten(0, (-1, S)).mean(1).var(0).mean().sqrt().item() for S in sizes]
between = vae40.log_weight(test[:200]).detach().std().item()
d = Drawing(
    552,
    470,
    "Standard deviation of the estimate against S on logarithmic axes: a straight line from"
    f" {spread[0]:.1f} nats at S = 1 to {spread[-1]:.1f} at S = 100; digits differ by"
    f" {between:.0f}.",
)
ticks, names = ((1, 10, 100), (0.3, 1, 3, 10, 30)), ("samples S", "standard deviation, nats")
at = axes(d, 100, 20, 440, 380, (0.9, 110), (0.2, 40), *ticks, *names, log="xy")
curve(d, at, (0.9, 110), (between, between), "ink", width=3)
curve(d, at, sizes, spread, "model", marks=True)
d.text(536, round(at(1, between)[1]) + 24, "from digit to digit", anchor="end", size=24)
d.text(536, round(at(1, 2.4)[1]), "of one digit's estimate", anchor="end", colour="model", size=24)
d.show()

# %% [markdown] notebook="08_reparameterization" minutes=45
# ## The problem: a gradient through dice

# %% [markdown] tags=["notes"]
# 40 s. The decoder's weights sit inside f: no problem. The encoder's decide where the samples fall.
# A drawn number does not know how it would have changed had the mean been larger, so no gradient
# comes back through it. In a VAE nothing warns you: training runs, and the encoder learns to say
# nothing. Notebook 08 trains one.

# %% [markdown]
# $$\nabla_\phi\; \mathbb{E}_{q_\phi(\mathbf{z}|\mathbf{x})}[f(\mathbf{z})] \;\approx\; \step{\nabla_\phi\, \frac1S \sum_{s=1}^{S} f(\mathbf{z}_s) \;=\; \text{?} \qquad \mathbf{z}_s \sim q_\phi(\mathbf{z}|\mathbf{x})}$$

# %%
d = Drawing(
    1150,
    290,
    "x goes into the encoder, which gives mu and sigma; dice draw z from them; z goes into f. The"
    " gradient comes back from f to z and stops at the dice.",
)
to_mean_and_width(d, 110)
d.arrow(488, 110, 556, 110)
dice(d, 616, 110, 112, off=28, r=10, round=22)
d.arrow(674, 110, 746, 110).node(794, 110, "z").arrow(840, 110, 910, 110)
d.box(1000, 110, 170, 92, colour="model").formula(1000, 110, "f(*z*)", size=34)
first = len(d.parts)
d.arrow(1000, 164, 806, 162, colour="model", bend=70)
d.formula(905, 234, "∂f/∂*z*", colour="model", size=32)
together(d, first)
first = len(d.parts)
d.arrow(782, 162, 640, 176, colour="posterior", dashed=True, bend=60)
d.text(616, 208, "?", size=52, colour="posterior")
d.text(400, 208, "how would z have moved?", colour="posterior")
together(d, first)
d.show()

# %% [markdown] minutes=45
# ## The solution: draw the noise outside

# %% [markdown] tags=["notes"]
# 70 s. The non-centred parameterization, better known as the reparameterization trick. The noise is
# drawn from a standard normal that knows no parameters, then stretched and shifted. The same z as
# before, but now z is a smooth function of mu and sigma, and both are outputs of a network. The
# dice stand aside: the gradient passes them by. It needs an f with a slope.

# %% [markdown]
# $$q_\phi(\mathbf{z}|\mathbf{x}) = \mathcal N(\mathbf{z}|\boldsymbol\mu, \mathrm{diag}\,\boldsymbol\sigma^2): \qquad
# \step{\mathbf{z}_s = \underbrace{\boxed{\boldsymbol\mu}}_{\text{network}} + \underbrace{\boxed{\boldsymbol\sigma}}_{\text{network}} \odot\, \boldsymbol\epsilon_s,} \qquad \step{\boldsymbol\epsilon_s \sim \mathcal N(\mathbf{0}, \mathbf{I})}$$

# %%
d = Drawing(
    1150,
    340,
    "The dice give epsilon, which enters mu plus sigma times epsilon from above; the gradient runs"
    " back from f through z to mu and sigma and the encoder.",
)
to_mean_and_width(d, 190)
d.arrow(488, 190, 536, 190)
d.box(620, 190, 164, 84).formula(620, 190, "*μ* + *σ* ⊙ *ϵ*", size=32).arrow(704, 190, 746, 190)
dice(d, 620, 50, 92, off=22, r=8, round=20)
d.arrow(620, 98, 620, 146, colour="noise")
d.formula(684, 50, "*ϵ* ∼ N(*0*, *I*)", colour="noise", anchor="start", size=32)
d.node(794, 190, "z").arrow(840, 190, 910, 190)
d.box(1000, 190, 170, 92, colour="model").formula(1000, 190, "f(*z*)", size=34)
first = len(d.parts)
for start, end in ((1000, 806), (782, 632), (608, 448), (432, 250)):
    d.arrow(start, 242, end, 242, colour="model", bend=60)
d.text(620, 320, "the gradient passes the dice by", colour="model")
together(d, first)
d.show()

# %% [markdown]
# ## Both are unbiased, one has less variance

# %% [markdown] tags=["notes"]
# 45 s. There is an older way out, which differentiates the density: the score function, or
# REINFORCE. It asks nothing of f but its values. Both estimators are right on average. Here the
# truth is known; with the number of dimensions the score function's variance grows, the other's
# does not. Its price: f must have a slope, and z must not be discrete.

# %% [markdown] tags=["left"]
# Score function:
#
# $$\mathbb{E}_q\big[f(\mathbf{z})\, \nabla_\phi \log q_\phi(\mathbf{z}|\mathbf{x})\big]$$
#
# Non-centred:
#
# $$\mathbb{E}_{\boldsymbol\epsilon}\big[\nabla_\phi\, f(\boldsymbol\mu + \boldsymbol\sigma \odot \boldsymbol\epsilon)\big]$$

# %% tags=["left", "step"]
claim(
    25,
    rf"has {VALUE} times the pathwise variance, with a leave-one-out baseline {VALUE} times.*?;"
    rf" a small VAE ends \+?{VALUE} nats behind with it \((\d+ seeds)",
    "In a small VAE the score function has **{}** times the variance, with a baseline {} times."
    " Training with the plain one ends {} nats behind, over {}.",
)

# %% tags=["right", "step"]
torch.manual_seed(0)
dimensions = [1, 2, 4, 8, 16, 32, 64, 128]


def variance(estimator, latent_dim: int, **settings) -> float:
    """The variance of the gradient for mu_1, over 1,000 estimates with 10 samples each; f(z) =
    -|z|^2 at mu = 1, sigma = 1.
    """
    mean = torch.ones(1000, latent_dim, requires_grad=True)
    q = Gaussian(mean, torch.zeros(1000, latent_dim))
    (gradient,) = estimator(lambda z: -(z**2).sum(-1), q, [mean], 10, **settings)
    return gradient[:, 0].var().item()


score = [variance(score_function, d) for d in dimensions]
with_baseline = [variance(score_function, d, baseline=True) for d in dimensions]
noise = {
    "score function": (score, "noise", "", -26),
    "with baseline": (with_baseline, "noise", "12 8", 78),
    "non-centred": ([variance(pathwise, d) for d in dimensions], "model", "", 26),
}
d = Drawing(
    552,
    490,
    "Variance of the gradient against the number of dimensions: the score function's rises steeply,"
    " with a baseline less, the non-centred one's stays flat.",
)
ticks = (1, 4, 16, 64), (0.1, 1, 10, 100, 1000, 10000)
names = "latent dimensions", "variance of the gradient"
at = axes(d, 110, 40, 430, 380, (0.9, 140), (0.1, 1.2e4), *ticks, *names, log="xy")
for name, (values, colour, dash, off) in noise.items():
    curve(d, at, dimensions, values, colour, dash=dash, marks=True)
    y, ink = round(at(128, values[-1])[1]) + off, "model" if colour == "model" else "ink"
    d.text(536, y, name, anchor="end", size=24, colour=ink)
d.show()

# %% [markdown] notebook="07_vae" minutes=45
# ## The encoder

# %% [markdown] tags=["notes"]
# 40 s. A network that takes a digit and gives the parameters of a Gaussian: a mean and a
# log-variance for each latent dimension. The logarithm, since a network's output may be any number
# and a variance may not. The shapes are those of the shipped model.

# %%
auto_encoder(Drawing(1150, 250, "The three boxes, the encoder lit."), "encoder").show()

# %% [markdown] tags=["left"]
# A **deep neural net** that gives the parameters of the variational posterior:
#
# $$q_\phi(\mathbf{z}|\mathbf{x}) = \mathcal N\big(\mathbf{z}\,|\,\boldsymbol\mu(\mathbf{x}), \mathrm{diag}\,\boldsymbol\sigma^2(\mathbf{x})\big)$$

# %% tags=["right", "step"]
net, latent_dim = widths(vae40.encoder.net), vae40.encoder(test[:1]).mean.shape[-1]
plot.markdown(f"""<div style="font-size: 26px">

```python
net = gated_mlp({net})
mean, log_var = net(x).chunk(2, -1)
q = Gaussian(mean, log_var)
```

`x` (B, {net[0]}) → `mean`, `log_var` (B, {latent_dim}) each

</div>""")

# %% [markdown] minutes=45
# ## The decoder

# %% [markdown] tags=["notes"]
# 40 s. The same the other way round: a code goes in, the parameters of a distribution over images
# come out. For black and white pixels a Bernoulli for each, for grey ones a Gaussian. Their numbers
# must never share a table: one is a probability, the other a density. Given z the pixels are
# independent: keep that in mind.

# %%
auto_encoder(Drawing(1150, 250, "The three boxes, the decoder lit."), "decoder").show()

# %% [markdown] tags=["left"]
# A **deep neural net** that gives the parameters of the generator, Bernoulli or normal:
#
# $$p_\theta(\mathbf{x}|\mathbf{z}) = \prod_i \mathrm{Bern}\big(x_i\,|\,\pi_i(\mathbf{z})\big)$$

# %% tags=["right", "step"]
net = widths(vae40.decoder.net)
plot.markdown(f"""<div style="font-size: 26px">

```python
net = gated_mlp({net})
p = Bernoulli(logits=net(z))
p.log_prob(x)
```

`z` (B, {net[0]}) → `logits` (B, {net[-1]}) → `log_prob` (B,)

</div>""")

# %% [markdown] minutes=45
# ## The prior

# %% [markdown] tags=["notes"]
# 30 s. It has two jobs. In training it charges the encoder for unusual codes. In generation it is
# where codes come from. The standard normal learns nothing; what a prior could learn is called
# lambda, and that is for later.

# %%
auto_encoder(Drawing(1150, 250, "The three boxes, the prior lit."), "prior").show()

# %% [markdown] tags=["left"]
# It **regularises** the encoder and takes part in the **generative process**:
#
# $$p_\lambda(\mathbf{z}) = \mathcal N(\mathbf{z}\,|\,\mathbf{0}, \mathbf{I})$$

# %% tags=["right", "step"]
plot.markdown(f"""<div style="font-size: 26px">

```python
prior = StandardGaussian({latent_dim})
z = prior.sample((n,))
x = decoder(z).sample()
```

`z` (n, {latent_dim}) → `x` (n, {net[-1]})

</div>""")

# %% [markdown] minutes=45
# ## The whole objective in code

# %% [markdown] tags=["notes"]
# 40 s. This is the objective, and it has been run to make this slide. Everything is maximised,
# there is no loss with a sign to remember. rsample is the non-centred draw; with sample in its
# place the encoder would go silent. In notebook 07 you write these lines yourself.

# %%
listing = """q = encoder(x)                             # Gaussian
z = q.rsample()                            # mean + sigma * noise
reconstruction = decoder(z).log_prob(x)    # (B,)
regulariser = kl(q, prior)                 # (B,)
elbo = reconstruction - regulariser        # maximise its mean"""
scope = {"encoder": vae40.encoder, "decoder": vae40.decoder, "prior": vae40.prior}
scope |= {"x": test, "kl": kl}
torch.manual_seed(0)
with torch.no_grad():
    exec(listing, scope)
names = "elbo", "reconstruction", "regulariser"
elbo, gained, paid = (scope[name].mean().item() for name in names)
plot.markdown("```python", listing, "```")

# %% tags=["step"]
results = recipes.card("vae_40d")["results"]
text = (
    f"Just run, for {len(test)} digits: {gained:.1f} - {paid:.1f} = **{elbo:.1f} nats**.\n\n"
    f"`vae_40d` on {results['n']:,} test digits: ELBO {results['test_elbo']:.2f},"
    f" $\\log p(\\mathbf{{x}})$ {-results['test_nll']:.2f} ± {results['test_nll_se']:.2f} (standard"
    f" error) by {results['S']:,} samples."
)
plot.markdown(text.replace("-", "−"))

# %% [markdown] minutes=45
# ## Walk through the latent space

# %% [markdown] tags=["notes"]
# 90 s. Live, all of it runs in the browser. Click the pad and walk with the arrow keys, from a 1 to
# a 0, and ask what lies on the way. Let someone write a 7 at the left, with and without a bar. Then
# find a place where the decoder is undecided. Nobody told the model of classes. Esc gives the keys
# back to the deck.

# %% tags=["live"]
fig = latent_grid(vae2, digits.test, n=12)
fig.set_size_inches(5.2, 5.2)
for text in [*fig.axes[0].get_xticklabels(), *fig.axes[0].get_yticklabels()]:
    text.set_visible(False)
fig.axes[0].set(xticks=[], yticks=[], xlabel="$z_1$", ylabel="$z_2$")
live(
    latent_traversal("vae_2d"),
    fig,
    "A 12 by 12 table of decoded digits over the two latent dimensions; the digits change into one"
    " another gradually.",
)

# %% [markdown] minutes=45
# ## Forty dimensions: reconstructions and samples

# %% [markdown] tags=["notes"]
# 40 s. Above, test digits and what comes back through 40 numbers; below, codes drawn from the
# prior. These are the decoder's means, smoother than draws. Realistic and covered are defined in
# notebook 07 by nearest neighbours; other test digits show what is possible at all. It is
# the measurement that part 1 quoted.

# %%
torch.manual_seed(1)
with torch.no_grad():
    drawn = vae40.decoder(vae40.prior.sample((20,))).mean
titles = ["test digits", "reconstructed", "samples"]
fig = plot.images([test[:10], back, drawn], titles=titles, width=9.6)
show(
    fig,
    "Ten test digits, their reconstructions, somewhat smoother, and twenty samples, most of them"
    " like digits.",
)
claim(
    5,
    rf"of ([\d,]+) samples of vae_40d {VALUE} are realistic,(?: and they cover)?"
    rf" {VALUE} of .*?other test digits:? {VALUE} and {VALUE}",
    "Of {} samples **{}** are realistic, and they cover **{}** of the test digits; other test"
    " digits reach {} and {}.",
    notebook="07",
)

# %% [markdown] minutes=60
# ## Does it find a latent representation?

# %% [markdown] tags=["notes"]
# 45 s. Ask what lies half-way between two digits. In pixels, two digits on top of each other. In z,
# strokes that move. But is the code a representation in the sense that a simple classifier does
# better on it? Measured with a linear reader, tuned in the same way for codes, pixels and principal
# components. The bound never asked classes to lie apart.

# %%
share = torch.linspace(0, 1, 10)[:, None]
with torch.no_grad():
    code = vae40.encoder(test[:3]).mean
    walks = [vae40.decoder((1 - share) * code[i] + share * code[i + 1]).mean for i in range(2)]
cross_fade = (1 - share) * test[0] + share * test[1]
fig = plot.images([cross_fade, torch.cat(walks)], titles=["in pixels", "in z"], width=9.6)
show(
    fig,
    "A walk between digits: in pixels a cross-fade of two images, in z strokes that bend from one"
    " digit into the next.",
)

# %% tags=["step"]
claim(
    34,
    rf"against pixels: {VALUE} with ([\d,]+) labels;.*?{VALUE} with ([\d,]+) labels; against 40"
    rf" principal components: {VALUE} with [\d,]+ labels;.*?{VALUE} with [\d,]+ labels \(",
    "Points of accuracy that a tuned linear reader gains from the code: on pixels {0} with {1}"
    " labels; {2} with {3}; on 40 principal components {4}; {5}.",
    notebook="07",
)

# %% [markdown] minutes=60
# ## Training is stable

# %% [markdown] tags=["notes"]
# 35 s. Five seeds, nothing else changed: one curve. Encoder and decoder climb one and the same
# number, so neither can undo the other's work. Recall the game, where two networks pull at one
# number from both ends. These trainings were run for this slide; the notebook's have the same
# settings.

# %% tags=["left"]
few, runs = digits.train[:6000], []
for seed in range(5):
    torch.manual_seed(seed)
    runs.append(VAE(latent_dim=10, hidden=100))
    history = fit(runs[-1], few, epochs=5, lr=2e-3, seed=seed, progress=False)
    history = [(row["step"], row["elbo"]) for row in history.steps]
    if not seed:
        alt = "Training curves of five seeds lie on one another: a steep climb that flattens."
        d, end = Drawing(552, 470, alt), history[-1][0]
        ticks, names = (range(0, end + 1, 100), (-400, -300, -200)), ("step", "training ELBO, nats")
        at = axes(d, 100, 20, 440, 380, (0, end), (-420, -110), *ticks, *names)
    steps, values = np.array(history)[2:-2, 0], np.array(history)[:, 1]
    values = np.convolve(values, np.ones(5) / 5, "valid")
    shown = np.flatnonzero(values > -420)
    shown = np.concatenate([shown[:20], shown[20::4]])  # thinner where the curve is flat
    curve(d, at, steps[shown], values[shown], "model", width=2)
d.text(300, 170, "five seeds", colour="model", anchor="start").show()

# %% tags=["right"]
claim(
    33,
    rf"(\d+) seeds end within ([\d.]+ nats) of one another, at a test ELBO of {VALUE};"
    rf" ten times the learning rate changes it by {VALUE}",
    "**{}** seeds end within **{}** of one another, at a test ELBO of {}; ten times the learning"
    " rate changes it by {}.",
    notebook="07",
)

# %% [markdown] tags=["right", "step"]
# One objective, maximised by both networks.

# %% [markdown] minutes=45
# ## What can go wrong: collapse

# %% [markdown] tags=["notes"]
# 50 s. A latent unit stays active as long as the nats of reconstruction it brings exceed the nats
# of KL it costs. In the shipped model many are inactive, which is what the bound prefers. With the
# KL weighed twenty times practically all are, and the decoder writes the average digit. A decoder
# that can do without the code gets there without any weight. Cures: warm-up, free bits; notebook 07
# tries both.

# %% tags=["left"]
with torch.no_grad():
    units = kl_of_each_unit(vae40, test).sort(descending=True).values
closed = int((units < 0.01).sum())
d = Drawing(
    552,
    330,
    f"KL of each latent unit of vae_40d, sorted: {len(units) - closed} carry something, {closed}"
    " nothing.",
)
ticks = (1, 10, 20, 30, 40), (0, 1, 2, 3)
names = "latent unit of vae_40d, sorted", "KL, nats"
at = axes(d, 90, 20, 452, 240, (0.4, len(units) + 0.6), (0, 3.2), *ticks, *names)
for k, value in enumerate(units.tolist(), 1):
    (x, y), ground = at(k - 0.4, value), at(k, 0)[1]
    place = f'x="{x:.1f}" y="{y:.1f}" width="9" height="{ground - y:.1f}"'
    d.add(f'<rect {place} style="fill: var(--posterior)"/>')
d.text(542, 140, f"{closed} of {len(units)} units", anchor="end", size=26)
d.text(542, 172, "carry nothing", anchor="end", size=26).show()

# %% [markdown] tags=["left", "step"]
# A unit stays active while it gains more reconstruction than it costs in KL.

# %% tags=["right", "step"]
torch.manual_seed(0)
taxed = VAE(latent_dim=10, hidden=100)


def twentyfold(x, rising: float):
    return taxed.objective(x, 20 * rising)


fit(taxed, few, epochs=5, lr=2e-3, progress=False, objective=twentyfold)
with torch.no_grad():
    silent = kl_of_each_unit(taxed, test)
    rows = [test[:6], runs[0].reconstruct(test[:6]), taxed.reconstruct(test[:6])]
show(
    plot.images(rows, 6, ["digits", "KL × 1", "KL × 20"], 5.5),
    "Six digits; their reconstructions by a small VAE; with the KL weighed twenty times all"
    " reconstructions are one smudge.",
)
plot.markdown(
    f"{int((silent < 0.1).sum())} of {len(silent)} units inactive: {silent.sum():.2f} nats of KL."
    " Cures: warm-up, free bits."
)

# %% [markdown] minutes=45
# ## One equation ties the three boxes

# %% [markdown] tags=["notes"]
# 45 s. The best encoder is given by decoder and prior: change one box and the others must follow.
# With two latent dimensions the exact posterior can be drawn; grey is the truth, orange what the
# encoder may answer with: an upright ellipse. Width, tilt and place can all be wrong. The three
# digits stand for a small, a middle and a large gap among forty.

# %% [markdown]
# $$q_\phi(\mathbf{z}|\mathbf{x}) \propto p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})$$

# %%
torch.manual_seed(0)
x = test[:40]
with torch.no_grad():
    usual, guessed = vae2.prior.sample((8000,)), vae2.encoder(x).rsample((200,))
    anywhere = torch.cat([usual, guessed.flatten(0, 1)])
    likelihood = [vae2.decoder(z).cross_log_prob(x) for z in anywhere.split(1000)]
    joint = torch.cat(likelihood, 1) + vae2.prior.log_prob(anywhere)
    peaks = anywhere[joint.argmax(1)]  # of each exact posterior, nearly
    lower = vae2.log_weight(x, (300,)).mean(0)


@torch.no_grad()
def exact_near(i: int, cells: int = 61):
    """The exact joint over a rectangle that holds the encoder's ellipse and the posterior's peak:
    the places across and down, the joint relative to its maximum; the ellipse's mean and width; and
    the gap, nats.
    """
    q = vae2.encoder(x[i : i + 1])
    mean, width = q.mean[0], (q.log_var[0] / 2).exp()
    reach = 4 * width + (peaks[i] - mean).abs()
    across, down = (torch.linspace(-1, 1, cells) * reach[k] + mean[k] for k in (0, 1))
    z = torch.cartesian_prod(across, down)
    log_joint = vae2.decoder(z).cross_log_prob(x[i : i + 1])[0] + vae2.prior.log_prob(z)
    area = (across[1] - across[0]) * (down[1] - down[0])
    gap = (log_joint.logsumexp(0) + area.log() - lower[i]).item()
    height = (log_joint - log_joint.max()).exp().reshape(cells, cells).T
    return across, down, height, mean, width, gap


gaps = torch.tensor([exact_near(i)[-1] for i in range(len(x))])
order = gaps.argsort().tolist()
angle = torch.linspace(0, 2 * math.pi, 80)
circle = torch.stack([angle.cos(), angle.sin()])
fig, axes = plt.subplots(1, 3, figsize=(11.3, 3.9))
for ax, i in zip(axes, (order[4], order[20], order[35]), strict=True):
    across, down, height, mean, width, gap = exact_near(i)
    ax.contourf(across, down, height, levels=[0.01, 0.05, 0.2, 0.5, 1.0], cmap="Greys")
    for k in (1, 2):
        ax.plot(*(mean[:, None] + k * width[:, None] * circle), color=POSTERIOR)
    plot.draw_images(ax.inset_axes([0.01, 0.72, 0.27, 0.27]), x[i : i + 1], 1)
    ax.set(title=f"gap {gap:.1f} nats", xticks=[], yticks=[], xlabel="$z_1$")
axes[0].set_ylabel("$z_2$")
show(
    fig,
    "Three exact posteriors as grey contours with the encoder's upright ellipses: nearly the same,"
    " narrower and tilted, and elsewhere.",
)

# %% [markdown]
# <p class="small">Grey: the exact posterior of one digit. Orange: the encoder's answer, one and two standard deviations.</p>

# %% [markdown] minutes=60
# ## Which of the three is the weakest?

# %% [markdown] tags=["notes"]
# 40 s. Weighed in the model with two dimensions, without training anything. Encoder: replace its
# answer by the exact posterior. The mean is made by a few digits it gets badly wrong; the median
# says so. Prior: replace the normal by a mixture where codes lie. Decoder: given z it says that
# neighbouring pixels have nothing in common. They do.

# %%
d = Drawing(1150, 250, "The three boxes, all lit.")
auto_encoder(d).show()

# %% tags=["step"]
claim(
    26,
    rf"the exact posterior would gain {VALUE} nats \(median {VALUE}\), a prior of clouds {VALUE}",
    "Encoder: the exact posterior would gain **{}** nats (median {}). Prior: a mixture that covers"
    " the codes gains **{}**.",
    notebook="07",
)

# %% tags=["step"]
claim(
    26,
    rf"residuals of neighbouring pixels correlate by {VALUE} where the decoder says (\d)",
    "Decoder: the residuals of neighbouring pixels correlate by **{}**; it assumes {}.",
    notebook="07",
)

# %% [markdown]
# ## A better decoder: from z alone to pixels, too

# %% [markdown] tags=["notes"]
# 40 s. The lecture's list for the decoder. In the first two a pixel knows the code and nothing
# else. A PixelCNN needs no code: each pixel is drawn given those above and to the left. The
# PixelVAE has both. Let the room bet which is best, and how far a PixelCNN without any code gets;
# the numbers come in part 4.


# %%
def row(decoder: str, sees: str, pixels: str, name: str) -> str:
    epochs = recipes.card(name)["epochs_trained"]
    return f"| {decoder} | {sees} | {pixels} | `{name}`, {epochs:,} epochs |"


code, before = r"the code $\mathbf{z}$", "the pixels before it"
plot.markdown(
    r"| decoder | a pixel sees | given $\mathbf{z}$, pixels are | with the course |",
    "|:--|:--|:--|:--|",
    row("feed-forward net", code, "independent", "vae_40d"),
    row("convolutional net", code, "independent", "conv_hvae"),
    row("PixelCNN", before, "dependent", "pixelcnn"),
    row("gated PixelCNN", before, "dependent", "gated_pixelcnn"),
    row("**PixelVAE**", "both", "dependent", "pixelvae"),
)

# %% [markdown] tags=["step"]
# Which one will give unseen digits the highest $\log p(\mathbf{x})$?

# %% [markdown] minutes=45
# ## Improve them one at a time

# %% [markdown] tags=["notes"]
# 25 s. The plan of what follows: first the posterior, with flows; then the decoder, with an
# autoregressive one; then the prior. Each time the other two boxes stay as they are.

# %%
d = Drawing(
    1150,
    400,
    "The three boxes with a pointer to each: a more flexible posterior, a decoder whose pixels know"
    " of one another, a prior that lies where the codes are.",
)
auto_encoder(d)
for k, x, colour, first, second in (
    (1, 298, "posterior", "a flexible posterior:", "flows"),
    (2, 852, "model", "pixels that know of", "one another: PixelVAE"),
):
    d.arrow(x, 320, x, 248, colour=colour, step=k)
    d.text(x, 346, first, step=k).text(x, 382, second, step=k)
d.arrow(800, 42, 690, 42, colour="prior", step=3)
d.text(814, 26, "a prior where the codes are:", anchor="start", step=3)
d.text(814, 60, "mixtures, VampPrior", anchor="start", step=3)
d.show()

# %% [markdown]
# <p class="small">Notebooks 09 (posterior), 10 (decoder) and 11 (prior).</p>

# %% [markdown] minutes=45
# ## References

# %% [markdown] tags=["notes"]
# 10 s. For those who read the slides later.

# %% [markdown]
# <div class="small">
#
# - D. P. Kingma, M. Welling (2014). *Auto-encoding variational Bayes.* ICLR.
# - D. J. Rezende, S. Mohamed, D. Wierstra (2014). *Stochastic backpropagation and approximate
#   inference in deep generative models.* ICML.
# - Y. Burda, R. Grosse, R. Salakhutdinov (2016). *Importance weighted autoencoders.* ICLR. The
#   estimate of $\log p(\mathbf{x})$.
# - R. J. Williams (1992). *Simple statistical gradient-following algorithms for connectionist
#   reinforcement learning.* Machine Learning. The score function.
# - S. R. Bowman et al. (2016). *Generating sentences from a continuous space.* CoNLL. Collapse and
#   warm-up.
# - D. P. Kingma et al. (2016). *Improved variational inference with inverse autoregressive flow.*
#   NeurIPS. Free bits.
# - A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu (2016). *Pixel recurrent neural networks.*
#   ICML. PixelCNN.
# - A. van den Oord et al. (2016). *Conditional image generation with PixelCNN decoders.* NeurIPS.
#   The gated one.
# - I. Gulrajani et al. (2017). *PixelVAE: a latent variable model for natural images.* ICLR.
#
# </div>
