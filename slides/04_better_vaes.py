# %% [markdown] notebook="09_normalizing_flows" minutes=45
# # Improving the VAE
#
# A better posterior, a better decoder, a better prior; and what became of it

# %% [markdown] tags=["notes"]
# 10 s. Three parts of one model, each improved in turn. Notebooks 09, 10 and 11 belong to this
# part.

# %%
import math

import numpy as np
import torch
from deck import VALUE, Drawing, claim, less_nll, live, marked, quoted, show
from matplotlib.patches import Ellipse
from torch import nn

from dgmcourse import intervals, plot, recipes
from dgmcourse.data.images import mnist
from dgmcourse.densities import Gaussian, Mixture, StandardGaussian, kl
from dgmcourse.models import VAE
from dgmcourse.models.autoregressive_prior import AutoregressivePrior
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.normalizing_flow import FlowPosterior
from dgmcourse.models.planar_flow import PlanarFlow
from dgmcourse.models.vamp_prior import VampPrior
from dgmcourse.plot import DATA, MODEL, NOISE, POSTERIOR, PRIOR, plt
from dgmcourse.train import Adam, fit, maximise
from dgmcourse.weights import build
from dgmcourse.widgets.film import film

torch.set_num_threads(1)
plot.COLOURS = 24  # enough for these pictures, and half the bytes
digits = mnist("dynamic")
test = digits.test[:1000].tensor()
vae, pixelvae, gated = (recipes.load(name) for name in ("vae_40d", "pixelvae", "gated_pixelcnn"))

# %% [markdown] minutes=45
# ## Three boxes, and what ties them

# %% [markdown] tags=["notes"]
# 40 s. The true posterior is decoder times prior, normalised. So each of the three can be improved,
# and each that you change moves the other two. Ask the room: which of them would you work on first?
# The numbers below are what each would have been worth in the model with two latent dimensions.

# %%
d = Drawing(
    1150,
    270,
    "x goes through an encoder to z and on through a decoder to x; a prior stands above z.",
)
d.node(70, 180, "x", seen=True)
d.arrow(116, 180, 196, 180)
d.net(300, 180, 200, 120, "encoder\nq(z|x)", narrow="right", colour="posterior")
d.arrow(402, 180, 526, 180)
d.node(575, 180, "z")
d.arrow(621, 180, 746, 180)
d.net(850, 180, 200, 120, "decoder\np(x|z)", narrow="left", colour="model")
d.arrow(952, 180, 1034, 180)
d.node(1080, 180, "x", seen=True)
d.box(575, 42, 190, 76, "prior\np(z)", colour="prior", size=26)
d.arrow(575, 82, 575, 132)
remedies = (
    ("posterior", 300, 262, "1  normalizing flows"),
    ("model", 850, 262, "2  autoregressive decoder"),
    ("prior", 790, 42, "3  VampPrior, layers"),
)
for i, (colour, x, y, words) in enumerate(remedies, 1):
    d.text(x, y, words, colour=colour, size=27, step=i)
d.show()

# %% [markdown]
# $$q_\phi(\mathbf{z}|\mathbf{x}) \;\propto\; p_\theta(\mathbf{x}|\mathbf{z})\, p_\lambda(\mathbf{z})$$

# %% tags=["step"]
claim(
    26,
    rf"posterior would gain {VALUE} nats \(median {VALUE}\), a prior of clouds {VALUE}.*?"
    rf" correlate by {VALUE}",
    "In vae_2d the exact posterior would gain **{}** nats (median {}), a fitted prior **{}**."
    " Residuals of neighbouring pixels, which the decoder takes as independent, correlate by"
    " **{}**.",
    notebook="07",
)

# %% [markdown] minutes=45
# ## Is an axis-parallel ellipse enough?

# %% [markdown] tags=["notes"]
# 50 s. A model with two latent numbers and one observed, so small that the posterior is exact on a
# grid. All codes on a parabola explain x; the prior prefers those near the middle. First the
# posterior alone: ask what the best ellipse will do. It takes the heaviest piece and leaves the
# rest: the KL punishes putting mass where the posterior has none.

# %%
axis = torch.linspace(-4.5, 4.5, 181, dtype=torch.float64)
points, cell = torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2
prior = StandardGaussian(2)


def log_likelihood_of(z):
    """log p(x = -1 | z), nats."""
    decoded = z[..., 1] - z[..., 0] ** 2 + 0.8 * z[..., 0]
    return -0.5 * (((-1 - decoded) / 0.25) ** 2 + math.log(2 * math.pi)) - math.log(0.25)


def log_joint(z):
    return log_likelihood_of(z) + prior.log_prob(z)


log_p = torch.logsumexp(log_joint(points), 0) + math.log(cell)
log_posterior = log_joint(points) - log_p


class Posterior(nn.Module):
    """A diagonal Gaussian, with or without T planar steps behind it."""

    def __init__(self, T: int, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.mean = nn.Parameter(0.5 * torch.randn(2))
        self.log_var = nn.Parameter(torch.full((2,), -1.0))
        self.flow = PlanarFlow(2, T) if T else None

    def forward(self):
        base = Gaussian(self.mean, self.log_var)
        return FlowPosterior(base, self.flow) if self.flow else base

    @torch.no_grad()
    def exact_kl(self) -> float:
        log_q = self().log_prob(points)
        return float((log_q.exp() * (log_q - log_posterior)).sum() * cell)


def climbed(T: int, seed: int = 0, wrong: bool = False) -> tuple[Posterior, float]:
    """A posterior after 400 steps up the bound, and the mean of its last objectives; with `wrong`
    the KL is that of the Gaussian at z^(0), in closed form.
    """
    q, values = Posterior(T, seed), []
    optimiser = Adam(q.parameters(), lr=0.05)
    for step in range(400):
        optimiser.param_groups[0]["lr"] = 0.05 * min(1, 2 * (1 - step / 400))
        if wrong:
            z, log_det = q.flow(q().base.rsample((256,)))
            closed_form = kl(q().base, Gaussian(prior.mean, prior.log_var))
            value = log_likelihood_of(z) + log_det - closed_form
        else:
            z, log_q = q().rsample_and_log_prob((256,))
            value = log_joint(z) - log_q
        values.append(maximise(value, optimiser, clip=10))
    return q.double(), float(np.mean(values[-50:]))


def outline(ax) -> None:
    """The exact posterior as two lines."""
    levels = torch.tensor([0.05, 0.3]) * log_posterior.exp().max()
    height = log_posterior.exp().reshape(181, 181).T
    ax.contour(axis, axis, height, levels, colors=DATA, linewidths=1.6)


def latent_plane(ax, xlim, ylim, ticks) -> None:
    ax.set(xlim=xlim, ylim=ylim, aspect="equal", xticks=ticks, yticks=ticks)
    ax.set(xlabel="$z_1$", ylabel="$z_2$")


def shades(ax, log_q, colours: str) -> None:
    q = log_q.exp().reshape(181, 181).T
    ax.contourf(axis, axis, q, levels=float(q.max()) * np.linspace(0.03, 1, 9), cmap=colours)


diagonal = min((climbed(0, seed)[0] for seed in range(3)), key=Posterior.exact_kl)

# %% [markdown]
# $p(\mathbf{z}) = \mathcal N(\mathbf{0}, \mathbf{I})$, $\;p(x|\mathbf{z}) = \mathcal N(x | z_2 -
# z_1^2 + 0.8\, z_1, 0.25^2)$; seen: $x = -1$.

# %% tags=["left"]
fig, ax = plt.subplots(figsize=(5, 3.4))
shades(ax, log_posterior, "Greys")
outline(ax)
latent_plane(ax, (-2.2, 2.8), (-2.4, 2.4), [-2, 0, 2])
ax.set_title("the posterior, exact")
show(fig, "The exact posterior over the latent plane: a bent band, a parabola open to the top.")

# %% tags=["right", "step"]
fig, ax = plt.subplots(figsize=(5, 3.4))
with torch.no_grad():
    shades(ax, diagonal().log_prob(points), "Oranges")
outline(ax)
latent_plane(ax, (-2.2, 2.8), (-2.4, 2.4), [-2, 0, 2])
ax.set_title("the best diagonal Gaussian")
show(
    fig,
    "The best diagonal Gaussian: an axis-parallel ellipse on one piece of the bent band, the rest"
    " left out.",
)

# %% tags=["step"]
claim(
    27,
    rf"diagonal Gaussian leaves {VALUE} nats, the full one {VALUE}",
    "The best diagonal Gaussian leaves **{}** nats of KL, the best with any covariance **{}**.",
)

# %% [markdown] minutes=45
# ## Change of variables

# %% [markdown] tags=["notes"]
# 45 s. Drawing is easy: push a Gaussian's draws through an invertible f. The density needs the
# factor. Both shaded pieces hold the same probability; where f is steep the piece gets longer, so
# the density must fall. In several dimensions the length becomes a volume, and its change the
# determinant. Notebook 09 has this with a slider.

# %% tags=["left"]
line = torch.linspace(-3.2, 3.2, 801, dtype=torch.float64)
mapped, slope = line + torch.tanh(2 * line), 1 + 2 * (1 - torch.tanh(2 * line) ** 2)
q0 = torch.exp(-0.5 * (line - 0.3) ** 2) / math.sqrt(2 * math.pi)
ratios = {"width_ratios": (1, 2.3), "height_ratios": (2.3, 1)}
fig, axes = plt.subplots(2, 2, figsize=(5.5, 4.9), sharex="col", sharey="row", **ratios)
axes[0, 1].plot(line, mapped, color=MODEL)
axes[0, 1].set_title("$z' = f(z)$", color=MODEL, loc="left")
axes[1, 1].plot(line, q0, color=NOISE)
axes[1, 1].set(xlabel="$z$", ylabel="$q_0(z)$", yticks=[], xticks=[-2, 0, 2])
axes[0, 0].plot(q0 / slope, mapped, color=POSTERIOR)
axes[0, 0].set(ylabel="$z'$", xlabel="$q(z')$", xticks=[], yticks=[-2, 0, 2])
axes[0, 0].invert_xaxis()
for low, high in ((-0.35, 0.05), (1.3, 1.7)):
    piece = (line >= low) & (line <= high)
    axes[1, 1].fill_between(line[piece], q0[piece], color=NOISE, alpha=0.55, lw=0)
    axes[0, 0].fill_betweenx(mapped[piece], (q0 / slope)[piece], color=POSTERIOR, alpha=0.55, lw=0)
    for at in (low, high):
        to = at + math.tanh(2 * at)
        axes[0, 1].plot([at, at, -3.2], [-4.2, to, to], ":", color=DATA, lw=1.3)
axes[0, 1].set(xlim=(-3.2, 3.2), ylim=(-4.2, 4.2))
axes[1, 0].set_axis_off()
with_factor, without = (float(torch.trapezoid(y, mapped)) for y in (q0 / slope, q0))
show(
    fig,
    "A Gaussian below, a map that is steep in the middle, and at its left the mapped density with"
    " two humps: a piece under the steep part becomes longer and lower.",
)

# %% [markdown] tags=["right"]
# $$q(z') = q_0(z) \left|\frac{df}{dz}\right|^{-1}$$
#
# The same probability on twice the length: half the density.
#
# . . .
#
# In $d$ dimensions:
#
# $$q(\mathbf{z}') = q_0(\mathbf{z}) \left|\det \frac{\partial f}{\partial \mathbf{z}}\right|^{-1}$$

# %% tags=["right", "step"]
plot.markdown(f"Area below the curve: with the factor {with_factor:.2f}, without {without:.2f}.")

# %% [markdown] minutes=45
# ## Normalizing flows: one small bend after another

# %% [markdown] tags=["notes"]
# 45 s. A diagonal posterior is insufficient and inflexible. Keep it as the beginning, and apply T
# invertible maps. Factors multiply, so their logarithms will add. In a VAE the encoder gives the
# Gaussian and the parameters of the maps.

# %%
d = Drawing(1150, 190, "z 0 goes through the maps f 1 to f T, one after another, to z T.")
for i, (x, name) in enumerate(((90, "(0)"), (410, "(1)"), (1060, "(T)"))):
    d.node(x, 90, "z", r=50, colour="noise" if i == 0 else "posterior")
    d.text(x + 26, 74, name, size=21)
for start, x, end, name in (
    (142, 235, 356, "(1)"),
    (462, 555, 676, "(2)"),
    (754, 865, 1006, "(T)"),
):
    d.arrow(start, 90, x - 45, 90)
    d.box(x, 90, 86, 70, "f", "maths", colour="model", size=36).text(x + 28, 74, name, size=20)
    d.arrow(x + 45, 90, end, 90)
    if name == "(2)":
        d.text(715, 86, "· · ·", size=40)
d.text(90, 172, "diagonal Gaussian", size=24, colour="noise")
d.text(1060, 172, "any shape?", size=24, colour="posterior")
d.show()

# %% [markdown]
# Apply $T$ **invertible** maps to $\mathbf{z}^{(0)} \sim q(\mathbf{z}^{(0)}|\mathbf{x})$:
#
# $$\mathbf{z}^{(T)} = f^{(T)} \circ \dots \circ f^{(1)}(\mathbf{z}^{(0)})$$
#
# . . .
#
# $$q(\mathbf{z}^{(T)}|\mathbf{x}) = q(\mathbf{z}^{(0)}|\mathbf{x}) \step{\;\prod_{t=1}^T \left|\det \frac{\partial f^{(t)}}{\partial
# \mathbf{z}^{(t-1)}}\right|^{-1}}$$

# %% [markdown] minutes=45
# ## The new objective

# %% [markdown] tags=["notes"]
# 60 s. Build it term by term. The decoder sees the last z. The sum rewards spreading out and
# charges for contracting. The last term looks like the KL of two Gaussians and is none: its two
# densities are taken at two points, so it is sampled. The last line is what happens on the band
# when somebody puts the closed form there: the same fit, the wrong objective. A bound above the
# evidence is a bug.

# %% [markdown]
# $$\small \log p(\mathbf{x}) \ge \mathbb{E}_{q(\mathbf{z}^{(0)}|\mathbf{x})}\!\left[\log p(\mathbf{x}|\mathbf{z}^{(T)}) \step{+ \sum_{t=1}^T \log
# \left|\det \frac{\partial f^{(t)}}{\partial \mathbf{z}^{(t-1)}}\right|}\right] \step{- \mathrm{KL}(q(\mathbf{z}^{(0)}|\mathbf{x}) \,\|\,
# p(\mathbf{z}^{(T)}))}$$
#
# * the decoder sees $\mathbf{z}^{(T)}$, the **last** of the chain
# * the sum rewards spreading out, and charges for contracting
# * the last term has its two densities at **two points**: no closed form, sample it
#
# . . .
#
# $$\mathrm{KL}(q(\mathbf{z}^{(0)}|\mathbf{x}) \,\|\, p(\mathbf{z}^{(T)})) \;\text{ means }\;
# \mathbb{E}_{q(\mathbf{z}^{(0)}|\mathbf{x})}\!\left[\log q(\mathbf{z}^{(0)}|\mathbf{x}) - \log p(\mathbf{z}^{(T)})\right]$$

# %% tags=["step"]
STEPS = 11
tries = [climbed(STEPS, seed) for seed in range(4)]
bent, right_end = min(tries, key=lambda found: found[0].exact_kl())
_, wrong_end = climbed(STEPS, 0, wrong=True)
side = "above" if wrong_end > log_p else "below"
plot.markdown(
    "With the closed form at $\\mathbf{z}^{(0)}$ the “bound” of the band ends"
    f" {abs(wrong_end - float(log_p)):.2f} nats **{side}** $\\log p(x)$; with the right term"
    f" {float(log_p) - right_end:.2f} below."
)

# %% [markdown] minutes=60
# ## Which maps? The determinant decides

# %% [markdown] tags=["notes"]
# 35 s. A determinant costs d cubed in general, for each digit and each step. There are two ways
# out: maps whose determinant is easy, and maps that leave every volume as it is, where the sum of
# the objective disappears.

# %%
d = Drawing(
    1150,
    500,
    "Left, a square becomes a larger, bent shape: a general flow. Right, a square is turned and"
    " stays as large: a volume-preserving flow.",
)
d.text(575, 24, "invertible, and |det J| cheap: in general it costs d³", size=28)
SQUARE = 'y="200" width="110" height="110"'


def look(colour: str) -> str:
    return f'style="fill: var(--wash); stroke: var(--{colour})" stroke-width="3"'


for k, x, colour, title, words in (
    (1, 280, "model", "(i)  general: |det J| easy to compute", "planar, autoregressive"),
    (2, 870, "prior", "(ii)  volume-preserving: |det J| = 1", "reflections: Householder"),
):
    d.text(x, 100, title, size=29, colour=colour, step=k)
    d.add(f'<rect x="{x - 205}" {SQUARE} {look("noise")}/>', k)
    d.arrow(x - 70, 255, x + 20, 255, step=k)
    d.text(x, 400, words, size=28, step=k)
bent_square = (
    "M330,330 C370,300 440,330 500,318 C482,270 500,220 486,172"
    " C430,196 380,160 330,182 C350,230 322,280 330,330 Z"
)
d.add(f'<path d="{bent_square}" {look("model")}/>', 1)
d.add(f'<rect x="925" {SQUARE} transform="rotate(33 980 255)" {look("prior")}/>', 2)
d.text(280, 450, "the sum of log-determinants is computed", size=25, colour="quiet", step=1)
d.text(870, 450, "the sum is zero", size=25, colour="quiet", step=2)
d.show()

# %% [markdown]
# ## The planar step: push across one line

# %% [markdown] tags=["notes"]
# 40 s. Everything moves along u, by an amount that changes across one line only. The Jacobian is
# the identity plus a column times a row, so its determinant costs d operations. With w times u
# below minus one the sheet would fold: two points on one place. Ask what the grid shows: where
# lines are wide apart, the cloud is thin.

# %% [markdown] tags=["left"]
# $$f(\mathbf{z}) = \mathbf{z} + \mathbf{u}\, \tanh(\mathbf{w}^\top \mathbf{z} + b)$$

# %% [markdown] tags=["left", "step"]
# $$\left|\det \frac{\partial f}{\partial \mathbf{z}}\right| = \left|1 + \mathbf{u}^\top \mathbf{w}\, (1 - \tanh^2(\cdot))\right|$$

# %% [markdown] tags=["left"]
# * $d$ operations, not $d^3$
# * invertible if $\mathbf{w}^\top \mathbf{u} > -1$

# %% [markdown] tags=["left"]
# <p class="small">Rezende & Mohamed (2015). Variational inference with normalizing flows. ICML.</p>

# %% tags=["right"]
mesh = torch.cartesian_prod(*[torch.linspace(-3.4, 3.4, 91, dtype=torch.float64)] * 2)


def draw_sheet(ax, sheet, log_q, reach: float, top: float) -> None:
    """The bent sheet with its density; some of its lines are drawn."""
    x, y = sheet.T.reshape(2, 91, 91).numpy()
    density, levels = log_q.exp().reshape(91, 91).numpy(), [0.04, 0.15, 0.3, 0.45, 0.6, 0.8, 9]
    ax.contourf(x, y, density, top * np.array(levels), cmap="Oranges", vmin=0, vmax=top)
    for lines in slice(None, None, 9), 90:
        ax.plot(x[lines].T, y[lines].T, color=NOISE, lw=0.9)
        ax.plot(x[:, lines], y[:, lines], color=NOISE, lw=0.9)
    limits = (-reach, reach)
    latent_plane(ax, limits, limits, [-4, 0, 4] if reach > 4 else [-2, 0, 2])


w = torch.tensor([0.87, 0.5], dtype=torch.float64)
u = 0.8 * w
h = torch.tanh(2 * mesh @ w)
stretch = 1 + 2 * (u @ w) * (1 - h**2)
log_q0 = prior.log_prob(mesh)
fig, ax = plt.subplots(figsize=(5.4, 4.9))
draw_sheet(ax, mesh + u * h[:, None], log_q0 - stretch.log(), 4.2, 0.16)
ax.plot([3, -3], [-5.22, 5.22], "--", color=DATA, lw=1.8)  # where w^T z = 0
ax.set_title(f"one step: areas × {stretch.min():.1f} to × {stretch.max():.1f}")
show(
    fig,
    "A square grid after one planar step: pulled apart along a slanted dashed line, and the round"
    " cloud on it has become two humps.",
)

# %% [markdown]
# ## Bending space, step by step

# %% [markdown] tags=["notes"]
# 70 s. Live: press Play, or click the slider and use the arrow keys. The outline is the exact
# posterior, the cloud is where the flow has brought the Gaussian after t steps. Ask before you
# play: will every step come nearer? No: only the last cloud is judged, and the KL after each step
# says so. The flow was fitted while these slides were made, the best of four starts.

# %% tags=["live"]
with torch.no_grad():
    w, u, b, _ = bent.flow.parts(None)
    base = bent().base
    sheet = base.mean + torch.exp(0.5 * base.log_var) * mesh
    torch.manual_seed(0)
    drawn, log_q = base.rsample_and_log_prob((20_000,))
    path, way = [(sheet, base.log_prob(sheet))], [float((log_q - log_joint(drawn) + log_p).mean())]

    def step(t: int, z, log_q):
        """z and log q(z) after step t."""
        h = torch.tanh(z @ w[t] + b[t])
        return z + h[:, None] * u[t], log_q - torch.log1p((w[t] @ u[t]) * (1 - h * h))

    for t in range(STEPS):
        path.append(step(t, *path[-1]))
        drawn, log_q = step(t, drawn, log_q)
        way.append(float((log_q - log_joint(drawn) + log_p).mean()))
nearer = sum(after < before for before, after in zip(way, way[1:], strict=False))


def draw_path(t: int):
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.5), width_ratios=(1, 1.1))
    draw_sheet(left, *path[t], 3, 0.45)
    outline(left)
    left.set_title(f"after {t} of {STEPS} steps")
    right.semilogy(way, "o-", color=NOISE, ms=6, lw=1.5)
    right.semilogy([t], [way[t]], "o", color=POSTERIOR, ms=13)
    right.set(xlabel="step t", title="KL to the posterior, nats", xticks=range(0, STEPS + 1, 2))
    return fig


texts = ["Before the first step: the diagonal Gaussian, and the outline of the exact posterior."]
texts += [
    f"Step {t}: the KL goes from {way[t - 1]:.2f} to {way[t]:.2f} nats."
    for t in range(1, STEPS + 1)
]
live(
    film([draw_path(t) for t in range(STEPS + 1)], texts, label="step t", seconds=0.9),
    draw_path(STEPS),
    "After the last step the cloud is a bent band on the exact posterior's outline; beside it the"
    " KL after each step, which rises and falls before it ends low.",
)

# %% tags=["step"]
plot.markdown(
    f"{nearer} of {STEPS} steps come nearer. The bound judges the **last** cloud only:"
    f" {way[-1]:.2f} nats."
)

# %% [markdown]
# ## Householder flow: flexible at |det J| = 1?

# %% [markdown] tags=["notes"]
# 45 s. Orthogonal matrices keep all volumes, and every orthogonal matrix is a product of
# reflections. Each reflection is one vector, which the encoder gives. Flexible here means turned,
# not bent: a reflected Gaussian is a Gaussian. For one digit the flow buys a full covariance. What
# that is worth to a whole VAE we see in two slides.

# %% [markdown] tags=["left"]
# Orthogonal matrices, made of reflections:
#
# $$f(\mathbf{z}) = \left(\mathbf{I} - 2\, \frac{\mathbf{v}\mathbf{v}^\top}{\|\mathbf{v}\|^2}\right) \mathbf{z}$$
#
# $$|\det J| = 1$$
#
# <p class="small">Tomczak & Welling (2016). arXiv:1611.09630.</p>

# %% tags=["right"]
d = Drawing(
    540,
    300,
    "A flat ellipse and its reflection in a slanted dashed mirror, which is the same ellipse"
    " turned.",
)
mirror = '<line x1="-225" y1="130" x2="225" y2="-130" style="stroke: var(--ink)"'
dash = 'stroke-width="3" stroke-dasharray="10 8"'
d.add(f'<g transform="translate(270 160)">{mirror} {dash}/></g>')
for colour, turned, k in (
    ("noise", "", None),
    ("posterior", ' transform="rotate(-60 270 160)"', 1),
):
    line = f'style="fill: none; stroke: var(--{colour})" stroke-width="4"'
    d.add(f'<ellipse cx="270" cy="160" rx="170" ry="42"{turned} {line}/>', k)
d.arrow(270, 160, 218, 70, colour="model").text(196, 66, "v", "vector", size=32, colour="model")
d.text(500, 20, "mirror", size=24).text(82, 108, "q of z⁰", size=24, colour="noise")
d.text(420, 288, "after one reflection", size=24, colour="posterior", step=1)
d.show()

# %%
claim(
    28,
    rf"in (\d+) dimensions (\d+) reflections leave {VALUE} nats to a random covariance, none {VALUE}",
    "In {} dimensions {} reflections leave {} nats of KL to a random covariance; none {}.",
)

# %% tags=["step"]
claim(
    28,
    rf"the KL falls by {VALUE} nats.*?for a reflected Gaussian is one: {VALUE}",
    "On the band the KL falls by **{}** nats, and differs from the full Gaussian's by {}: turned,"
    " not bent.",
    against=True,
)

# %% [markdown]
# ## Inverse autoregressive flow: the general one

# %% [markdown] tags=["notes"]
# 50 s. Each dimension is kept in part, and moved in part, as the dimensions before it say. So the
# Jacobian is a triangle and its determinant the product of the diagonal. One masked network gives
# all m and s. Ask: why turn the order from step to step? In a single step the first dimension
# depends on itself only, and the measurement shows what the wrong order costs.

# %% [markdown] tags=["left"]
# $$z'_i = \sigma_i\, z_i + (1 - \sigma_i)\, m_i$$
#
# $\sigma_i = \mathrm{sigmoid}(s_i)$, with $m_i, s_i$ functions of $z_1, \dots, z_{i-1}$
#
# . . .
#
# $$\textstyle \log |\det J| = \sum_{i=1}^{d} \log \sigma_i$$
#
# <p class="small">Kingma et al. (2016). NIPS.</p>

# %% tags=["right"]
d = Drawing(
    520,
    320,
    "A Jacobian of six by six: zeros above the diagonal, sigma on it, other entries below.",
)
for i in range(6):
    for j in range(6):
        fill = "posterior" if i == j else "line" if j < i else "paper"
        place = f'x="{80 + 48 * j}" y="{16 + 48 * i}" width="45" height="45"'
        line = f'style="fill: var(--{fill}); stroke: var(--line)" stroke-width="1.5"'
        d.add(f"<rect {place} {line}/>")
d.text(40, 160, "J =", "maths", size=34).text(268, 88, "0", size=40, colour="quiet")
d.arrow(430, 250, 372, 274, colour="posterior")
d.text(458, 244, "σ", "maths", size=34, colour="posterior")
d.show()

# %%
claim(
    29,
    rf"step leaves {VALUE} nats: {VALUE} less than one planar step, {VALUE} more than four",
    "On the band one step leaves **{}** nats: **{}** less than a planar step, {} more than four.",
)

# %% tags=["step"]
claim(
    29,
    rf"in the other order {VALUE} more",
    "With the two dimensions in the other order one step leaves **{}** nats more.",
    against=True,
)

# %% [markdown] minutes=45
# ## In the VAE: what do the flows buy?

# %% [markdown] tags=["notes"]
# 50 s. The VAE of part 3 with each posterior at several T, the same short training for all, three
# seeds. All gain; the autoregressive flow most, the Householder flow least. Then the surprise: the
# NLL, in which the encoder has no part, falls as well. So the model itself has become better,
# trained beside a better posterior: it is not the posterior alone that gains.

# %% tags=["left"]
study, runs = recipes.study("flows_on_mnist"), {}
for row in study["rows"]:
    runs.setdefault((row["posterior"], row["T"]), []).append(row)


def values_of(key, column: str) -> np.ndarray:
    """Of each seed, in order."""
    return np.array([row[column] for row in sorted(runs[key], key=lambda row: row["seed"])])


plain = ("diagonal", 0)
fig, ax = plt.subplots(figsize=(5.7, 4.4))
for name, style, colour, words in (
    ("inverse autoregressive", "^:", MODEL, "autoregressive"),
    ("planar", "o-", POSTERIOR, "planar"),
    ("Householder", "s--", PRIOR, "Householder"),
):
    keys = [plain] + sorted(key for key in runs if key[0] == name)
    at = [0, *(1 + [1, 4, 16].index(T) for _, T in keys[1:])]
    ends = [intervals.of_mean(values_of(key, "elbo"), "seeds") for key in keys]
    mean = [end.value for end in ends]
    reach = [end.high - end.value for end in ends]
    ax.errorbar(at, mean, reach, fmt=style, color=colour, capsize=4)
    x, y = {"planar": (2.9, 0.05), "Householder": (2.9, -0.8)}.get(name, (2.12, 0.0))
    ax.text(x, mean[-1] + y, words, color=colour, ha="right" if x > 2.5 else "left", va="center")
ax.set_xticks(range(4), ["diagonal", "1", "4", "16"])
ax.set(xlabel="steps T", ylabel="test ELBO, nats", xlim=(-0.3, 3.4))
show(
    fig,
    "The test ELBO against the number of steps for three flows, all beginning at the diagonal"
    " posterior: all rise, the autoregressive flow the most, the Householder flow the least.",
)

# %% [markdown] tags=["right"]
# $\mathbf{z}$ of 40 dimensions, the same training for all.

# %% tags=["right"]
flows = [key for key in runs if key != plain]
best = max(flows, key=lambda key: values_of(key, "elbo").mean())


def gain_of(better, plainly) -> intervals.Interval:
    """Between the seeds of two posteriors, as notebook 09 compares them."""
    return intervals.of_difference(better, plainly, "seeds", comparisons=len(flows))


gained = {"elbo": gain_of(values_of(best, "elbo"), values_of(plain, "elbo"))}
for column in ("gap", "nll"):  # costs
    gained[column] = gain_of(values_of(plain, column), values_of(best, column))
by_model, by_model_best = (values_of(key, "nll") - values_of(key, "gap") for key in (plain, best))
more = gain_of(by_model, by_model_best).verdict(
    "the **model** gains more than the posterior",
    "the posterior gains more than the model",
    "which of the two is larger is not shown",
)
plot.markdown(
    '<div class="claim card">\n',
    f"The best of the study ({best[0]}, T = {best[1]}) gains"
    f" **{marked(gained['elbo'].said('.2f', 'nats'))}** of ELBO: the gap to $\\log p(\\mathbf{{x}})$"
    f" closes by {marked(gained['gap'].said('.2f'))}, the NLL falls by"
    f" {marked(gained['nll'].said('.2f'))}; {more}.\n",
    "</div>",
)

# %% tags=["right"]
epochs, n = study["rows"][0]["epochs"], study["digits"]["nll"]
plot.markdown(
    f'<p class="small">95 % intervals over {len(runs[plain])} seeds, corrected for the'
    f" {len(flows)} flows tried; in the picture of each mean. {epochs} epochs; NLL with"
    f" S = {study['samples']} on {n:,} test digits.</p>"
)

# %% [markdown] notebook="10_pixelvae" minutes=45
# ## Improving the decoder: one code, many draws

# %% [markdown] tags=["notes"]
# 50 s. Take a digit, the first in each row, and a code for it, and draw again and again from that
# one code. The VAE tosses a coin for each pixel separately: specks and gaps. The PixelVAE's pixels
# have seen their neighbours. Cover the labels first and let the room say which is which.

# %% [markdown]
# Dependency on $\mathbf{z}$ only, $\;p_\theta(\mathbf{x}|\mathbf{z}) = \prod_i
# p_\theta(x_i|\mathbf{z})$: what is missing?

# %%
torch.manual_seed(0)
blocks, names = [], []
for i in (0, 3):
    for name, model in (("VAE", vae), ("PixelVAE", pixelvae)):
        with torch.no_grad():
            z = model.encoder(test[i : i + 1]).rsample()
            blocks.append(torch.cat([test[i : i + 1], model.decoder(z).sample((13,))[:, 0]]))
        names.append(name)
show(
    plot.images(blocks, 14, names, 9.6),
    "Rows in pairs: a test digit and thirteen draws from one code for it. The VAE's have the"
    " digit's shape with specks and gaps, the PixelVAE's have clean strokes that vary in shape.",
)

# %% tags=["step"]
claim(
    30,
    rf"correlate by {VALUE} under the VAE \(its decoder says 0\) and by {VALUE} under",
    "Residuals of neighbouring pixels correlate by **{}** under the VAE, which assumes 0, and by"
    " **{}** under the PixelVAE.",
)

# %% tags=["step"]
claim(
    30,
    rf"total correlation of {VALUE} nats",
    "Given one code, the total correlation of a PixelVAE's draws is **{}** nats, of a VAE's 0.",
)

# %% [markdown] minutes=45
# ## PixelCNN: each pixel given those before it

# %% [markdown] tags=["notes"]
# 65 s. The product rule and nothing else: no assumption, only an order, that of reading. A network
# for each of 784 conditionals would be absurd. One convolutional network gives all the logits in
# one pass, if its kernels may not look ahead; drawing is a chain. The first layer sees pixels, so
# it must not see its own place: mask A. Deeper layers see features made from pixels before, so
# their own place is allowed: mask B. Ask what happens with B first: it copies its input, and the
# likelihood is too good to be true.

# %% [markdown]
# $$p(\mathbf{x}|\mathbf{z}) = p(x_1|\mathbf{z}) \step{\prod_{i=2}^{D} p(x_i|x_1, \dots, x_{i-1}, \mathbf{z})}$$

# %% tags=["step"]
d = Drawing(
    1150,
    300,
    "Two masks of kernels. A, seven by seven: the rows above the centre and the cells to its left"
    " are open, the centre is closed. B, three by three: the centre is open as well.",
)
for x, n, kind, words, side in (
    (290, 7, "A", "first layer, on pixels", 35),
    (860, 3, "B", "deeper layers, on features", 82),
):
    for i in range(n):
        for j in range(n):
            fill = "model" if i * n + j < n * n // 2 + (kind == "B") else "paper"
            edge, width = ("posterior", 5) if i == j == n // 2 else ("line", 2)
            place = f'x="{x + (j - n / 2) * side}" y="{52 + i * side}"'
            size = f'width="{side - 4}" height="{side - 4}"'
            colours = f"fill: var(--{fill}); stroke: var(--{edge}); fill-opacity: 0.8"
            d.add(f'<rect {place} {size} style="{colours}" stroke-width="{width}"/>')
    d.text(x, 20, f"mask {kind}: {words}", size=28)
d.show()

# %% [markdown] tags=["step"]
# One network, **one pass**, all 784 logits. Blue is open; framed: the pixel itself.

# %% [markdown]
# <p class="small">van den Oord, Kalchbrenner & Kavukcuoglu (2016). Pixel recurrent neural networks. ICML.</p>

# %% [markdown]
# ## A blind spot, and the gated PixelCNN

# %% [markdown] tags=["notes"]
# 45 s. What each network sees from one pixel, by gradient. Stacked masks hide a triangle above and
# to the right, however many layers there are. The gated PixelCNN has two stacks: the vertical one
# sees whole rows above and needs no mask in them, the horizontal one looks to the left and at the
# vertical one, never the other way round.

# %% tags=["left"]
fig, axes = plt.subplots(1, 2, figsize=(5.6, 2.2))
row, column = 14, 12
place = row * 28 + column  # in the order of reading
reach = torch.zeros(28, 28, dtype=torch.bool)
missed, models = [], {"PixelCNN": recipes.load("pixelcnn"), "gated": gated}
# rows, and columns to either side: the first layer goes 3, each of the six others 2
up = sum(len(conv.mask) - 1 for conv in models["PixelCNN"].net.convs)
reach[max(0, row - up) : row + 1, max(0, column - up) : column + up + 1] = True
reach &= (torch.arange(784) < place).reshape(28, 28)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    x = test[:8].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model.net(x)[:, place].sum(), x)
    seen = gradient.abs().sum(0).reshape(28, 28) > 0
    missed.append(int((reach & ~seen).sum()))
    picture = np.full((28, 28, 3), 0.95)
    picture[seen] = plt.matplotlib.colors.to_rgb("#7fb8d8")
    picture[reach & ~seen] = plt.matplotlib.colors.to_rgb(POSTERIOR)
    picture[row, column] = 0.15
    ax.imshow(picture[:18], interpolation="nearest")
    ax.set(xticks=[], yticks=[], title=f"{name}: {missed[-1]} missed")
    ax.spines[:].set_visible(False)
show(
    fig,
    "What two networks see from one pixel: the PixelCNN misses a triangle above and to the right,"
    " the gated PixelCNN misses nothing within its reach.",
)

# %% tags=["left"]
plot.markdown(
    f"Blue: seen. Orange: earlier, within reach of the layers, and never seen ({missed[0]} of"
    f" {int(reach.sum())} pixels)."
)

# %% [markdown] tags=["right"]
# Two stacks: $\mathbf{v}$ for the rows above, $\mathbf{h}$ for the row itself.
#
# $$\mathbf{v}' = g(W * \mathbf{v})$$
#
# $$\mathbf{h}' = \mathbf{h} + R\, g(U * \mathbf{h} + L\, \mathbf{v}')$$
#
# $$\step{g(\mathbf{a}, \mathbf{b}) = \tanh(\mathbf{a}) \odot \mathrm{sigmoid}(\mathbf{b})}$$
#
# $\mathbf{a}, \mathbf{b}$: the two halves of what a convolution gives

# %% [markdown] tags=["right"]
# <p class="small">van den Oord et al. (2016). Conditional image generation with PixelCNN decoders. NIPS.</p>

# %% [markdown] minutes=60
# ## PixelVAE: a code, and pixels that look at one another

# %% [markdown] tags=["notes"]
# 45 s. Put the chain where the decoder was: the bound, the encoder and the prior stay. The first
# two rows have the same codes, column by column: what they share z has decided, the rest was
# decided pixel by pixel. The gated PixelCNN has no code: good strokes that need not add up to a
# digit. These are draws, zeros and ones, not means; a VAE's pictures are usually shown as means.

# %%
torch.manual_seed(3)
with torch.no_grad():
    z = pixelvae.prior.sample((12,))
    blocks = [
        *pixelvae.decoder(z).sample((2,)),
        gated.sample((12,)),
        vae.sample(12),
        vae.decoder(vae.prior.sample((12,))).mean,
    ]
names = ["PixelVAE", "same codes", "gated PixelCNN", "VAE", "VAE, means"]
show(
    plot.images(blocks, 12, names, 11.3),
    "Five rows of twelve digits: two draws of the PixelVAE from the same codes, alike in the digit"
    " and different in the strokes; the gated PixelCNN's, strokes that are not always digits; the"
    " VAE's, speckled; and the VAE's means, smooth.",
)

# %% [markdown]
# <p class="small">Gulrajani et al. (2016). PixelVAE: a latent variable model for natural images. arXiv:1611.05013.
# Chen et al. (2016). Variational lossy autoencoder. arXiv:1611.02731.</p>

# %% [markdown] minutes=60
# ## Four models, one test set: which is the best?

# %% [markdown] tags=["notes"]
# 65 s. PixelCNN, gated, VAE, PixelVAE: ask for the order first; nobody trained them for the same
# time. Two of the four numbers are exact, the other two are upper bounds of the NLL by importance
# sampling. Then the price: the bound charges for z and for nothing else, so a decoder that sees
# enough need not ask. If you want a representation, hold the pixels back. The last line is a study
# of small PixelVAEs in notebook 10.

# %% tags=["step"]
names = {
    "vae_40d": "VAE",
    "pixelcnn": "PixelCNN",
    "gated_pixelcnn": "gated PixelCNN",
    "pixelvae": "PixelVAE",
}
lines = []
for name, words in names.items():
    card = recipes.card(name)
    size = sum(p.numel() for p in build(recipes.recipe(name).model).parameters())
    r = card["results"]
    kind = f"at most, S = {r['S']:,}" if "S" in r else "exact"
    lines.append(
        f"| {words} | **{r['test_nll']:.2f}** ± {r['test_nll_se']:.2f} | {kind} |"
        f" {size / 1e3:,.0f} | {card['epochs_trained']} |"
    )
plot.markdown(
    "| model | test NLL, nats | | weights, thousands | epochs |",
    "|:--|--:|:--|--:|--:|",
    *lines,
)

# %% tags=["step"]
results = {name: recipes.card(name)["results"] for name in names}
first, second, *_ = sorted(results, key=lambda name: results[name]["test_nll"])
lead, without_pixels = (
    less_nll(results[name], results[first], comparisons=2) for name in (second, "vae_40d")
)
plot.markdown(
    f"{names[first]} has the lowest: **{marked(lead.said('.1f'))}** nats less than {names[second]},"
    f" and **{marked(without_pixels.said('.1f'))}** less than the VAE, whose pixels depend on the"
    " code only."
)

# %% tags=["step"]
claim(
    26,
    rf"from (\d+) to (\d+) rows in sight the KL goes from {VALUE} to {VALUE} nats, by {VALUE},",
    "The more rows the decoder sees, the less the code says: from {} to {} rows the KL goes from {}"
    " to {} nats, by **{}**.",
    notebook="10",
    against=True,
)

# %%
n = recipes.card("pixelvae")["results"]["n"]
plot.markdown(
    f'<p class="small">Dynamically binarised MNIST, {n:,} test digits, one training each; ± standard'
    " error over digits; from the weights' headers.</p>"
)

# %% [markdown] notebook="11_priors" minutes=45
# ## Improving the prior: one round bump has holes

# %% [markdown] tags=["notes"]
# 50 s. Grey: codes of training digits. The prior is a round bump, unimodal; the codes lie in
# clumps. Green: draws of the prior at places which the encoder uses less than a tenth as often as
# the prior promises. To the right, what is decoded from elsewhere and from there. Ask: where are
# the holes, outside or between the clumps?

# %%
vae2 = recipes.load("vae_2d")
torch.manual_seed(0)
with torch.no_grad():
    q2 = vae2.encoder(digits.train[: min(5000, len(digits.train))].tensor())
    aggregate, drawn = Mixture(torch.zeros(len(q2.mean)), q2), vae2.prior.sample((4000,))
    used = torch.cat([aggregate.log_prob(z) for z in drawn.split(100)]) - vae2.prior.log_prob(drawn)
hole = used < -math.log(10)
fig, axes = plt.subplot_mosaic(
    [["plane", "elsewhere"], ["plane", "holes"]], figsize=(11.2, 4.2), width_ratios=(1, 1.55)
)
axes["plane"].plot(*q2.mean[:700].T, ".", ms=3, color=NOISE)
axes["plane"].plot(*drawn[hole][:120].T, "^", ms=9, color=PRIOR, mec="white", mew=0.6)
latent_plane(axes["plane"], (-3.6, 3.6), (-3.6, 3.6), [-2, 0, 2])
for panel, which, where in (("elsewhere", ~hole, "elsewhere"), ("holes", hole, "in holes")):
    with torch.no_grad():
        decoded = vae2.decoder(drawn[which][:20]).mean
    plot.draw_images(axes[panel], decoded, 10, f"the prior's draws, decoded: {where}")
show(
    fig,
    "Left, codes of digits in grey and the prior's draws in holes as green triangles, in the gaps"
    " between and around the codes. Right, digits decoded from elsewhere, and from holes, where"
    " many are none.",
)

# %% tags=["step"]
claim(
    31,
    rf"{VALUE} of vae_2d's prior lies in holes",
    "**{}** of vae_2d's prior lies in holes: the encoder uses them less than a tenth as often.",
)

# %% [markdown] minutes=45
# ## Which prior would be the best?

# %% [markdown] tags=["notes"]
# 40 s. Averaged over the digits, the bound's KL splits in two: what the code says of its digit, and
# what the prior wastes. The prior occurs in the second part only, so the best prior is the mean of
# all posteriors. It has as many parts as there are digits, and in 40 dimensions it learns them by
# heart: notebook 11 breaks it so. Two ways out have fewer parameters.

# %% [markdown]
# $$\frac1N \sum_n \mathrm{KL}[q_\phi(\mathbf{z}|\mathbf{x}_n)\,\|\,p_\lambda(\mathbf{z})] = \underbrace{\mathrm{I}(\mathbf{x};
# \mathbf{z})}_{\text{what the code says}} \step{+ \underbrace{\mathrm{KL}[\bar q(\mathbf{z})\,\|\,p_\lambda(\mathbf{z})]}_{\text{what the prior wastes}}}$$
#
# * the best prior is the **aggregate posterior** $\bar q(\mathbf{z}) = \frac1N \sum_n
#   q_\phi(\mathbf{z}|\mathbf{x}_n)$
# * ... of all $N$ digits: too many parts, and it overfits
# * fewer parameters: one dimension after another, or a mixture of a few posteriors

# %% [markdown] minutes=60
# ## An autoregressive prior

# %% [markdown] tags=["notes"]
# 45 s. One dimension after another, each given those before it: the chain rule, exact. A masked
# network gives all conditionals at once, as PixelCNN's does. The picture: such a prior, fitted to
# the codes while these slides were made. Ask what a draw costs: as many passes as there are
# dimensions. Read the box: the interval includes zero. Turned round, it is a flow: that is the prior
# of the paper.

# %% [markdown] tags=["left"]
# $$p_\lambda(\mathbf{z}) = \prod_{i=1}^{d} p_\lambda(z_i|z_1, \dots, z_{i-1})$$
#
# * each a mixture of Gaussians: no round bump
# * a density: one pass; a draw: $d$ passes
#
# <p class="small">Chen et al. (2016). Variational lossy autoencoder. arXiv:1611.02731.</p>

# %% tags=["right"]
torch.manual_seed(0)
chain = AutoregressivePrior(2, (50,), components=5)
optimiser = Adam(chain.parameters(), lr=1e-2)
for _ in range(600):
    batch = torch.randint(len(q2.mean), (256,))
    codes = q2.mean[batch] + torch.exp(q2.log_var[batch] / 2) * torch.randn(256, 2)
    maximise(chain.log_prob(codes), optimiser)
side = torch.linspace(-3.6, 3.6, 121)
with torch.no_grad():
    density = chain.log_prob(torch.cartesian_prod(side, side)).exp().reshape(121, 121).T
fig, ax = plt.subplots(figsize=(5.2, 3.9))
ax.contourf(side, side, density, float(density.max()) * np.linspace(0.03, 1, 9), cmap="Greens")
ax.plot(*q2.mean[:700].T, ".", ms=2.5, color=DATA)
latent_plane(ax, (-3.6, 3.6), (-3.6, 3.6), [-2, 0, 2])
ax.set_title("codes, and the prior's density")
show(
    fig,
    "The latent plane: dots, the codes of digits, in clumps; the autoregressive prior's density in"
    " green lies on the clumps and leaves the gaps between them nearly white.",
)

# %%
claim(
    31,
    rf"autoregressive {VALUE}",
    "Trained together with ten latent dimensions it gains **{}** nats of $\\log p(\\mathbf{{x}})$.",
)

# %% [markdown] minutes=45
# ## VampPrior: a mixture of posteriors of learned inputs

# %% [markdown] tags=["notes"]
# 55 s. Keep the best prior's form and make it of K inputs that nobody wrote: pseudo-inputs, learned
# by the gradient that passes through the encoder. When the encoder moves its codes, the prior moves
# along. Ask whether the pseudo-inputs need to look like digits: only the encoder has to read them.
# Those shown belong to the shipped model with 40 dimensions. The plane is that of a small VAE with
# two, trained while these slides were made; the ellipses are one standard deviation.

# %% [markdown] tags=["left"]
# $$p_\lambda(\mathbf{z}) = \frac1K \sum_{k=1}^K q_\phi(\mathbf{z}|\mathbf{u}_k)$$
#
# * pseudo-inputs $\mathbf{u}_k$: learned, $K \ll N$
# * shares the encoder: prior and posterior move together
#
# <p class="small">Tomczak & Welling (2017). VAE with a VampPrior. arXiv:1705.07120.</p>

# %% tags=["right"]
torch.manual_seed(0)
small = VAE(latent_dim=2, hidden=100)
prior_of_few = VampPrior(small.encoder, 784, 50)
vamp = LatentVariableModel(prior_of_few, small.encoder, small.decoder)
few = digits.train[: min(6000, len(digits.train))]
fit(vamp, few, epochs=4, batch_size=50, lr=3e-3, anneal=2, progress=False)
vamp.eval()
with torch.no_grad():
    codes, parts = vamp.encoder(test).mean, vamp.encoder(prior_of_few.pseudo_inputs)
    learned = recipes.load("vamp_vae").prior.pseudo_inputs
    shown = learned[:9] / learned[:9].amax(1, keepdim=True)  # each from white to black
fig, (left, right) = plt.subplots(1, 2, figsize=(5.6, 3.3), width_ratios=(1, 1))
plot.draw_images(left, shown, 3, f"9 of {len(learned)} $u_k$")
right.plot(*codes[:600].T, ".", ms=2.5, color=NOISE)
for mean, width in zip(parts.mean, (parts.log_var / 2).exp(), strict=True):
    right.add_patch(Ellipse(mean, *(2 * width), fill=False, color=PRIOR, linewidth=1.3))
middle = (codes.amin(0) + codes.amax(0)) / 2
half = 1.15 * float((codes - middle).abs().max())
xlim, ylim = ((m - half, m + half) for m in middle)
latent_plane(right, xlim, ylim, [])
right.set_title("codes and prior")
show(
    fig,
    "Left, nine learned pseudo-inputs, rough digits with specks about them. Right, codes of test"
    " digits in grey, with the prior's components as green ellipses over them.",
)

# %%
claim(
    26,
    rf"VampPrior gains {VALUE} nats of log p\(x\)",
    "Trained with ten latent dimensions, a VampPrior gains **{}** nats of $\\log p(\\mathbf{{x}})$.",
    notebook="11",
)

# %% [markdown] minutes=60
# ## Two layers

# %% [markdown] tags=["notes"]
# 35 s. z 2 decides first, z 1 fills in. For z 1 the layer above is already a learned prior, an
# infinite mixture of Gaussians; for z 2 one still chooses: the standard normal or a VampPrior. The
# encoder goes the same way: first z 2 from x, then z 1 from both.

# %% [markdown] tags=["left"]
# Generate:
#
# $$p_\theta(\mathbf{x}|\mathbf{z}_1, \mathbf{z}_2)\, p_\lambda(\mathbf{z}_1|\mathbf{z}_2)\, \step{p_\lambda(\mathbf{z}_2)}$$
#
# Infer:
#
# $$q_\phi(\mathbf{z}_1|\mathbf{x}, \mathbf{z}_2)\, q_\phi(\mathbf{z}_2|\mathbf{x})$$
#
# . . .
#
# On top: $\;p_\lambda(\mathbf{z}_2) = \frac1K \sum_k q_\phi(\mathbf{z}_2|\mathbf{u}_k)$

# %% tags=["right"]
d = Drawing(
    540,
    460,
    "Two graphs. To generate: z 2 points at z 1, and both at x. To infer: x points at z 2 and z 1,"
    " and z 2 at z 1.",
)
for x, title, colour in ((125, "generate", "model"), (415, "infer", "posterior")):
    d.text(x, 20, title, size=28, colour=colour)
    for y, name, sub in ((105, "z", "2"), (250, "z", "1"), (400, "x", "")):
        d.node(x, y, name, seen=name == "x", r=42)
        d.text(x + 20, y + 14, sub or " ", size=22)
    d.arrow(x, 149, x, 205, colour=colour)
    if title == "generate":
        d.arrow(x, 294, x, 355, colour=colour)
        d.arrow(x - 36, 130, x - 38, 378, colour=colour, bend=-62)
    else:
        d.arrow(x, 356, x, 295, colour=colour)
        d.arrow(x + 38, 378, x + 37, 130, colour=colour, bend=-62)
d.show()

# %% [markdown] minutes=45
# ## Learned priors, measured

# %% [markdown] tags=["notes"]
# 50 s. One encoder and decoder, ten latent dimensions, every prior trained together with them,
# several seeds each; bars are 95 % intervals. Circles have one layer, squares two. By likelihood the second layer brings most, by
# images the VampPrior: the two orders are not the same. Two layers also have twice the latent
# dimensions, so that gain is not the layer's alone.

# %%
priors, found = recipes.study("priors"), {}
for row in priors["rows"]:
    found.setdefault(row["model"], []).append(row)
fig, axes = plt.subplots(1, 2, figsize=(11.3, 2.75), sharey=True)
for ax, key, sign, title in (
    (axes[0], "test_nll", -1, "test log p(x), nats: right is better"),
    (axes[1], "frechet", 1, "Fréchet distance: left is better"),
):
    for i, (name, rows) in enumerate(found.items()):
        end = intervals.of_mean([sign * row[key] for row in rows], "seeds")
        marker, colour = "s" if name.startswith("two") else "o", PRIOR if "Vamp" in name else MODEL
        reach = end.high - end.value
        ax.errorbar(end.value, i, xerr=reach, fmt=marker, color=colour, capsize=4, ms=10)
    ax.set(xlabel=title, yticks=range(len(found)), yticklabels=found)
    ax.xaxis.set_major_locator(plt.MaxNLocator(5, integer=True))
    ax.grid(axis="x", color="#dddddd", linewidth=1)
axes[0].invert_yaxis()
show(
    fig,
    "Seven models: the two with two layers are far ahead in likelihood; by Fréchet distance the two"
    " layers with VampPrior lead, and the VampPrior alone is ahead of two layers with a standard"
    " normal.",
)

# %%
claim(
    31,
    rf"mixture of Gaussians {VALUE}.*?autoregressive {VALUE}.*?flow {VALUE}.*?VampPrior {VALUE}",
    "Gain in nats, one layer: mixture **{}**; autoregressive **{}**; autoregressive flow **{}**;"
    " VampPrior **{}**.",
)

# %% tags=["step"]
claim(
    32,
    rf"falls by {VALUE} from {VALUE}.*? to {VALUE}[ ;(]+training digits(?: are at|:) {VALUE}"
    r".*?(?=\(95 %)",
    "Two layers, VampPrior: the Fréchet distance falls by **{}** from {} to {}; training digits: {}.",
)

# %% [markdown]
# ## The long trainings, beside the paper's

# %% [markdown] tags=["notes"]
# 30 s. The paper's networks: 40 latent dimensions in each layer, gated layers of 300, 500
# pseudo-inputs. Ours come from the headers of the weights that are with the course. The
# convolutional networks are smaller than the paper's and were trained shorter: compare their two
# rows with each other. The paper's column is quoted without the print at hand: look it up before
# you cite it.

# %%
TRAINED = {name: recipe for name, recipe in recipes.all_recipes().items() if recipe.published}
cards = {name: recipes.card(name) for name in TRAINED}
protocols = {(card["results"]["S"], card["results"]["n"]) for card in cards.values()}
((samples, count),) = protocols  # one for all
lines = []
for name, recipe in TRAINED.items():
    r = cards[name]["results"]
    ours = f"**{r['test_nll']:.2f}** ± {r['test_nll_se']:.2f} | {cards[name]['epochs_trained']:,}"
    lines.append(f"| {recipe.layers} | {recipe.prior} | {ours} | {recipe.published:.2f} |")
plot.markdown(
    "| layers | prior | test NLL, nats, ours | epochs | the paper's |",
    "|:--|:--|--:|--:|--:|",
    *lines,
)
best = min(cards, key=lambda name: cards[name]["results"]["test_nll"])
torch.manual_seed(5)
with torch.no_grad():
    pair = [recipes.load(name) for name in ("vae_40d", best)]
    blocks = [model.decoder(model.prior.sample((16,))).mean for model in pair]
show(
    plot.images(blocks, 16, ["vae_40d", best], 9.6),
    f"Sixteen digits drawn by vae_40d, and sixteen by {best}: decoders' means.",
)
plot.markdown(
    f'<p class="small">Ours: S = {samples:,}, {count:,} test digits, one training each, ± standard'
    " error. The paper's: Tomczak & Welling (2017).</p>"
)

# %% [markdown] notebook="12_semi_supervised" minutes=60
# ## Extensions: fewer labels, and sequences

# %% [markdown] tags=["notes"]
# 50 s. What was built on it while the lecture was new. Semi-supervised: the label is one more
# latent variable, seen for some. Sequences: one code for a sentence, or one for each step of time,
# with a prior that has heard what came before. Notebook 12's numbers rest on ten random sets of
# labels, one of each class or ten; 13a has the sentences, 13b four-part music.

# %%
d = Drawing(
    1150,
    150,
    "Two graphs. Left: a label y, seen for some, and a code z both point at x. Right: at each of"
    " three steps a code z points at x; z and x go on into what is remembered, which points at the"
    " next step's z and x.",
)
d.node(110, 34, "y", "maths", r=30, colour="posterior").node(270, 34, "z", r=30)
d.node(190, 116, "x", r=30, seen=True)
d.arrow(132, 56, 165, 94).arrow(248, 56, 215, 94)
for i, x in enumerate((560, 760, 960)):
    d.node(x, 32, "z", r=30).node(x, 118, "x", r=30, seen=True)
    d.arrow(x, 62, x, 86)
    d.box(x + 100, 75, 44, 40, "h", "maths", round=6)
    d.arrow(x + 28, 44, x + 76, 66).arrow(x + 28, 106, x + 76, 84)
    if i < 2:
        d.arrow(x + 124, 66, x + 170, 46).arrow(x + 124, 84, x + 170, 104)
d.show()

# %% [markdown]
# - **Few labels:** $p(\mathbf{x}|y, \mathbf{z})$ <span class="small">Kingma et al. (2014).
#   Semi-supervised learning with deep generative models.</span>
# - **Sentences:** one code each <span class="small">Bowman et al. (2015). Generating sentences from
#   a continuous space.</span>
# - **Sequences:** a code for each step <span class="small">Chung et al. (2015). A recurrent latent
#   variable model for sequential data.</span>

# %%
claim(
    38,
    rf"passes is {VALUE} % with 10, {VALUE} % with 100",
    "M1+M2, wrong with one label a class: **{}** %; with ten: **{}** %.",
    "12",
)

# %%
claim(
    40,
    rf"lower NLL, by {VALUE} nats a step",
    "Chorales, a code for each step: an RNN's NLL less a VRNN's is **{}** nats a step.",
)

# %% [markdown] notebook="14_graphs" minutes=60
# ## Applications: graphs, text, drugs

# %% [markdown] tags=["notes"]
# 50 s. The same bound with other networks inside. A graph, of which a table of ratings is one, too:
# which link is missing, how many stars? Text: a decoder that sees less should have to ask the code;
# in our short trainings it does not. Cells before and after a drug: there a ridge regression is
# better, and notebook 15 says so. Notebooks 13a, 14 and 15.

# %% [markdown]
# - **Graphs, ratings** <span class="small">Kipf & Welling (2016). Variational graph auto-encoders.
#   van den Berg, Kipf & Welling (2017).</span>
# - **Text**, decoded by dilated convolutions <span class="small">Yang et al. (2017).</span>
# - **Cells:** what will a drug do? <span class="small">Rampasek & Goldenberg (2017). Dr.
#   VAE.</span>

# %%
d = Drawing(
    1150,
    150,
    "Three drawings: a graph with a dashed link to be predicted; a table of ratings with gaps; a"
    " cell's code, moved by a drug.",
)
nodes = [(90, 62), (170, 17), (270, 42), (130, 132), (235, 122)]
link = 'style="stroke: var(--ink)" stroke-width="3"'
asked = 'style="stroke: var(--posterior)" stroke-width="4" stroke-dasharray="9 8"'
for i, j, look in ((0, 1, link), (1, 2, link), (0, 3, link), (3, 4, link), (2, 4, asked)):
    (x1, y1), (x2, y2) = nodes[i], nodes[j]
    d.add(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" {look}/>')
for x, y in nodes:
    d.node(x, y, "", r=15, colour="model")
for i, value in enumerate(("5", "", "3", "1", "", "4", "", "2", "?", "1", "5", "")):
    x, y = 482 + 62 * (i % 4), 24 + 50 * (i // 4)
    d.box(x, y, 56, 44, round=4, colour="line")
    d.text(x, y, value or " ", size=26, colour="posterior" if value == "?" else "ink")
d.node(870, 70, "z", r=40).arrow(912, 70, 1006, 70, colour="posterior")
d.node(1050, 70, "z", r=40, colour="posterior").text(958, 36, "drug", size=25, colour="posterior")
d.text(870, 138, "before", size=24).text(1050, 138, "after", size=24)
d.show()

# %%
claim(
    42,
    rf"on Cora a VGAE's AUC is {VALUE}.*?Adamic-Adar {VALUE}",
    "Links of Cora: AUC **{}**, by {} points more than common neighbours tell (Adamic-Adar).",
)

# %%
claim(
    44,
    rf"tuned ridge {VALUE}",
    "Drug response: AUC by **{}** from a tuned ridge regression's, which is better.",
    against=True,
)

# %% [markdown] notebook="16_looking_back" minutes=45
# ## VAE: for and against, in numbers

# %% [markdown] tags=["notes"]
# 60 s. The lecture's list, each line with what the course measured. Ask which line they would not
# have believed this morning. Be fair about stability: the steadiest kind of game, the WGAN with
# penalty, scatters as little as the VAEs. The question mark after blurry is the lecture's own: the
# means of a plain VAE are smooth, its draws are speckled, and a decoder that sees its own pixels
# draws as sharply as the data are. Most of it is the factorised decoder, shown by its mean. With
# decoders of one form the VAE is still a little softer, so the bound has a share.

# %%
r = recipes.card("vae_40d")["results"]
likelihood = f"vae_40d: NLL {r['test_nll']:.2f} nats on {r['n']:,} test digits; "
likelihood += quoted(
    23, r"(\d+) of ([\d,]+) (?:random )?choices of q exceed", "{} of {} bounds too high", "07"
)
sampling = quoted(
    5,
    rf"samples of vae_40d {VALUE} are realistic,.*other test digits:? {VALUE}",
    "{} of samples are realistic, {} of digits",
    "07",
)
gradients = quoted(
    25,
    rf"has {VALUE} times the pathwise variance",
    "score function: {} times the other's variance",
    "08",
)
stability = quoted(
    33,
    rf"scatters by {VALUE} in VAEs .*? and by {VALUE} in games.*?difference is {VALUE} points((?:, not shown)?) \(",
    "Fréchet distance's scatter {}, of games {}; difference {} points{}",
    "16",
)
representation = quoted(
    34,
    rf"against pixels: {VALUE} with ([\d,]+) labels",
    "linear reader, {1} labels: {0} points more than from pixels",
    "07",
)
combination = quoted(
    35,
    rf"names {VALUE} of (?:them|the digits) by",
    "a prior with one Gaussian a class names {} of the digits",
    "16",
)
explicit = quoted(
    36,
    rf"bound of vae_8d is {VALUE} nats at (?:sigma|\$\\sigma\$) = ([\d.]+), {VALUE} at"
    r" (?:\$\\sigma\$ = )?([\d.]+)",
    "bound {} nats at σ = {}, {} at {}, none at 0",
    "16",
)
sharpness = quoted(
    37,
    rf"the means of vae_40d have {VALUE}.*? its draws {VALUE} .*?sees its own pixels draws at {VALUE}",
    "sharpness (real 1): means {}, draws {}, PixelVAE's draws {}",
    "16",
)
rows = [
    ("+", "likelihood framework", likelihood),
    ("+", "easy sampling", sampling),
    ("+", "training by gradients", gradients),
    ("+", "stable training", stability),
    ("+", "finds a representation", representation),
    ("+", "combines with others", combination),
    ("−", "only explicit models", explicit),
    ("−", "blurry images (?)", sharpness),
]
plot.markdown(
    '<div class="tight">\n',
    "| | the lecture | the course |",
    "|:--|:--|:--|",
    *(f"| **{sign}** | {a.replace(' ', '&nbsp;')} | {b} |" for sign, a, b in rows),
    "\n</div>",
)

# %% [markdown] minutes=60
# ## Where the field went

# %% [markdown] tags=["notes"]
# 35 s. The lecture counted citations here. Two lines instead. More layers, a fixed encoder that
# only adds noise: a diffusion model, trained by the bound of part 3. And a map from noise to data
# learned as a velocity, without the determinants of this part. Notebook 16 trains a small diffusion
# model.

# %%
d = Drawing(
    1150, 270, "A chain from x over z 1 and z 2 to z T, and below it a dashed chain back to x."
)
d.node(90, 140, "x", seen=True, r=48)
for x, index in ((350, "1"), (610, "2"), (1010, "T")):
    d.node(x, 140, "z", r=48, colour="noise").text(x + 24, 156, index, size=23)
for x1, x2 in ((128, 312), (388, 572), (648, 972)):
    d.arrow(x1, 112, x2, 112, colour="posterior", bend=46)
    d.arrow(x2, 170, x1, 170, colour="model", bend=46, dashed=True)
d.text(810, 140, "· · ·", size=40)
d.text(480, 24, "fixed encoder: adds noise", size=27, colour="posterior")
d.text(480, 254, "learned decoder: a step back at a time", size=27, colour="model")
d.show()

# %% [markdown]
# - **Diffusion models:** a VAE of a thousand layers, its encoder fixed; the same bound.
# - **Flow matching:** a flow in continuous time, learned as a velocity; no determinants.
#
# <p class="small">Ho, Jain & Abbeel (2020). Denoising diffusion probabilistic models. NeurIPS. &nbsp; Lipman et al. (2023). Flow matching for generative modeling. ICLR.</p>

# %% [markdown] minutes=45
# ## What to take home

# %% [markdown] tags=["notes"]
# 25 s. Back to the star of the first slides: a decision is as good as one's idea of what is usual.
# Thank the room, leave the links on the screen, and take questions.

# %% [markdown]
# <div class="big">
#
# To **decide** well, one has to know what the world is **usually like**.
#
# </div>

# %% [markdown] tags=["step"]
# <div class="big">
#
# That is $p(\mathbf{x})$: generative modelling.
#
# </div>

# %% [markdown]
# Thank you. After the lecture *Deep Generative Models: GANs and VAE* by Jakub M. Tomczak, Split,
# 2017: [jmtomczak.github.io](https://jmtomczak.github.io),
# [github.com/jmtomczak](https://github.com/jmtomczak)
#
# The code and the numbers: in the notebooks named at the foot of the slides, from
# [00_welcome](../notebooks/00_welcome.ipynb) to
# [16_looking_back](../notebooks/16_looking_back.ipynb).

# %% [markdown] minutes=45
# ## References

# %% [markdown] tags=["notes"]
# 10 s. For the handout: what the lecture cites in this part, in its order, and what came after it.

# %% [markdown]
# <p class="small" style="font-size: 20px; line-height: 1.52; text-align: left">
# Rezende & Mohamed (2015). Variational inference with normalizing flows. ICML.<br> Tomczak &
# Welling (2016). Improving variational inference with Householder flow. arXiv:1611.09630, NIPS
# workshop.<br> Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling (2016). Improving
# variational inference with inverse autoregressive flow. NIPS.<br> van den Oord, Kalchbrenner &
# Kavukcuoglu (2016). Pixel recurrent neural networks. ICML, arXiv:1601.06759.<br> van den Oord,
# Kalchbrenner, Vinyals et al. (2016). Conditional image generation with PixelCNN decoders. NIPS,
# arXiv:1606.05328.<br> Gulrajani, Kumar, Ahmed, Taiga et al. (2016). PixelVAE: a latent variable
# model for natural images. arXiv:1611.05013.<br> Chen, Kingma, Salimans, Duan et al. (2016).
# Variational lossy autoencoder. arXiv:1611.02731.<br> Tomczak & Welling (2017). VAE with a
# VampPrior. arXiv:1705.07120.<br> Kingma, Mohamed, Rezende & Welling (2014). Semi-supervised
# learning with deep generative models. NIPS.<br> Bowman, Vilnis, Vinyals, Dai, Jozefowicz & Bengio
# (2015). Generating sentences from a continuous space. arXiv:1511.06349.<br> Chung, Kastner, Dinh,
# Goel, Courville & Bengio (2015). A recurrent latent variable model for sequential data. NIPS.<br>
# Yang, Hu, Salakhutdinov & Berg-Kirkpatrick (2017). Improved VAEs for text modeling using dilated
# convolutions. arXiv:1702.08139.<br> Kipf & Welling (2016). Variational graph auto-encoders.
# arXiv:1611.07308, NIPS workshop.<br> van den Berg, Kipf & Welling (2017). Graph convolutional
# matrix completion. arXiv:1706.02263.<br> Rampasek & Goldenberg (2017). Dr. VAE: drug response
# variational autoencoder. arXiv:1706.08203.<br> Ho, Jain & Abbeel (2020). Denoising diffusion
# probabilistic models. NeurIPS.<br> Lipman, Chen, Ben-Hamu, Nickel & Le (2023). Flow matching for
# generative modeling. ICLR.
# </p>
