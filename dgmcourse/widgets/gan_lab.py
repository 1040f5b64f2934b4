"""A laboratory of GANs in the plane: data, generator, discriminator and both objectives while they
train.

    gan_lab()  # press Play: the ring of 8 is found in seconds
    gan_lab("grid", seed=3, lr=(0.002, 0.001), discriminator_steps=2)
    gan_lab(points)  # your own, (N, 2), in the square from -3 to 3

    # the same as a static figure, trained in torch, and the modes found
    fig, modes = gan_lab_picture("ring", steps=(0, 300, 2000))

The game runs in the browser, in `gan_lab.js`, so the picture moves on while the kernel trains
something else, and no kernel is needed once it is shown. The networks are z -> hidden -> hidden ->
2 (ReLU) and 2 -> hidden -> hidden -> 1 (leaky ReLU), batches of 64, Adam with beta1 = 0.5. In a page
without Jupyter: save `esm("gan_lab")` as a module, link `gan_lab.css`, import `mount` from the
module and call `mount(element, gan_lab(...).settings)`.
"""

import math

import anywidget
import matplotlib.pyplot as plt
import torch
import traitlets
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor
from torch.nn.functional import logsigmoid

from dgmcourse.data.toy import grid_of_gaussians, mixture, ring_of_gaussians, two_moons
from dgmcourse.densities import StandardGaussian
from dgmcourse.distances import modes_found
from dgmcourse.models.gan import GAN, leaky
from dgmcourse.models.wasserstein_gan import WassersteinGAN
from dgmcourse.networks import mlp
from dgmcourse.play import Players
from dgmcourse.plot import CRITIC, DATA, MODEL, WIDTH
from dgmcourse.train import TrainingError
from dgmcourse.widgets import HERE, esm

REACH = 3.0  # the plane goes from -3 to 3
ARROW, FAKE = "#003a5c", "#E69F00"  # where the discriminator says "fake"; CRITIC is "real"
REAL_OR_FAKE = LinearSegmentedColormap.from_list("D(x)", [FAKE, "#ffffff", CRITIC])
DATASETS = ("ring", "grid", "moons", "one", "drawn")
OBJECTIVES = ("non-saturating", "saturating", "wasserstein")


class GanLab(anywidget.AnyWidget):
    """The widget that `gan_lab` returns. `settings` are those it began with: what the reader changes
    stays in the browser.
    """

    _esm = esm("gan_lab")
    _css = HERE / "gan_lab.css"
    _spec = traitlets.Dict().tag(sync=True)

    @property
    def settings(self) -> dict:
        return self._spec["settings"]

    def __repr__(self):
        return f"GAN laboratory ({self.settings['data']}): run this cell to play."


def gan_lab(
    data: str | Tensor = "ring",
    seed: int = 0,
    *,
    objective: str = "non-saturating",
    lr: float | tuple[float, float] = 2e-3,
    discriminator_steps: int = 1,
    clip: float = 0.1,
    hidden: int = 32,
    latent_dim: int = 2,
) -> GanLab:
    """Make the widget; every argument is also a control in it.

    Args:
        data: "ring" (8 Gaussians), "grid" (25), "moons", "one" (Gaussian), "drawn" (by hand, empty
            at first); or points (N, 2).
        seed: of the players' first weights and of all draws; each reset takes the next one.
        objective: of the generator, "non-saturating" or "saturating"; or "wasserstein", of both,
            with clipped weights.
        lr: one learning rate for both, or (the discriminator's, the generator's).
        discriminator_steps: its steps for each step of the generator.
        clip: c, for "wasserstein": the critic's weights stay in [-c, c].
        hidden: units in each hidden layer.
        latent_dim: dimensions of z.

    Raises:
        ValueError: for an argument the laboratory does not know or allow: another name, points
            outside the plane, a rate that is not positive.
    """
    given = settings(data, seed, objective, lr, discriminator_steps, clip, hidden, latent_dim)
    colours = {"data": DATA, "model": MODEL, "real": CRITIC, "fake": FAKE}
    return GanLab(_spec={"settings": given, "colours": colours})


def settings(data, seed, objective, lr, discriminator_steps, clip, hidden, latent_dim) -> dict:
    """Check the arguments of `gan_lab` and give them as `gan_lab.js` reads them."""
    points = []
    if not isinstance(data, str):
        x = torch.as_tensor(data).detach().double().cpu()
        pairs = x.dim() == 2 and x.shape[1] == 2 and 1 <= len(x) <= 1000
        if not pairs or not (x.abs() <= REACH).all():
            largest = f", up to {x.abs().max():.3g}" if x.numel() else ""
            raise ValueError(
                "your own data are 1 to 1,000 points (N, 2) between -3 and 3, got shape"
                f" {tuple(x.shape)}{largest}"
            )
        data, points = "drawn", x.tolist()
    for what, value, known in (("data", data, DATASETS), ("objective", objective, OBJECTIVES)):
        if value not in known:
            raise ValueError(f"{what} is one of {', '.join(map(repr, known))}, got {value!r}")
    rates = lr if isinstance(lr, tuple | list) else (lr, lr)
    if len(rates) != 2 or not all(0 < rate <= 1 for rate in rates):
        raise ValueError(
            "lr is one rate, or (the discriminator's, the generator's), above 0 and at most 1; got"
            f" {lr!r}"
        )
    for what, value, low, high in (
        ("seed", seed, 0, 10**6),
        ("discriminator_steps", discriminator_steps, 1, 10),
        ("hidden", hidden, 1, 128),
        ("latent_dim", latent_dim, 1, 16),
    ):
        if value != int(value) or not low <= value <= high:
            raise ValueError(f"{what} is a whole number from {low} to {high:,}, got {value!r}")
    if not 0 < clip <= 1:
        raise ValueError(f"clip is above 0 and at most 1, got {clip!r}")
    return {
        "data": data,
        "seed": int(seed),
        "objective": objective,
        "lr": {"d": float(rates[0]), "g": float(rates[1])},
        "steps": int(discriminator_steps),
        "clip": float(clip),
        "hidden": int(hidden),
        "latent": int(latent_dim),
        "points": points,
    }


def gan_lab_picture(
    data: str | Tensor = "ring", seed: int = 0, *, steps=(0, 300, 2000), **arguments
) -> tuple[plt.Figure, list]:
    """Train with the same settings in torch, and draw a static figure for `show(fig, alt=...)`.

    Its random numbers differ from the browser's, so the two trainings agree in what is typical, not
    in detail.

    Args:
        data, seed, arguments: as for `gan_lab`; "drawn" needs points.
        steps: growing; after so many rounds a panel is drawn. Below the panels are the running
            means of the objectives.

    Returns: the figure, and the modes found in each panel: [(found, of how many), ...], None for
        data without modes.
    """
    given = {"objective": "non-saturating", "lr": 2e-3, "discriminator_steps": 1}
    given |= {"clip": 0.1, "hidden": 32, "latent_dim": 2}
    s = settings(data, seed, **given | arguments)
    if list(steps) != sorted(set(steps)) or not steps or steps[0] < 0:
        raise ValueError(f"steps grow, from 0 on, got {steps!r}")
    wasserstein = s["objective"] == "wasserstein"
    shots, course, real, modes, broken = train(s, steps)
    fig = plt.figure(figsize=(WIDTH, WIDTH / len(shots) + 2.1))
    above, below = fig.subfigures(2, 1, height_ratios=[WIDTH / len(shots) + 0.5, 1.6])
    axes = above.subplots(1, len(shots), sharey=True, squeeze=False)[0]
    edges, limits = (-REACH, REACH, -REACH, REACH), (-REACH, REACH)
    for ax, (step, found, fakes, logits, pulls) in zip(axes, shots, strict=True):
        values = logits if wasserstein else logits.sigmoid()
        low, high = (values.min(), values.max()) if wasserstein else (0, 1)
        look = {"cmap": REAL_OR_FAKE, "vmin": low, "vmax": high, "interpolation": "bilinear"}
        heat = ax.imshow(values.numpy(), extent=edges, origin="lower", **look)
        if not wasserstein and logits.min() < 0 < logits.max():
            ax.contour(logits.numpy(), [0.0], extent=edges, colors=DATA, linewidths=0.8)
        ax.scatter(*real.T.numpy(), s=5, color=DATA, linewidths=0, label="data")
        ax.scatter(*fakes.T.numpy(), s=8, marker="^", color=MODEL, linewidths=0, label="fakes")
        if wasserstein:  # lengths as in gan_lab.js
            pulls = pulls / (2.5 * pulls.norm(dim=-1).mean())
        pulls = pulls * (0.5 / pulls.norm(dim=-1, keepdim=True).clamp(min=0.5))
        heads = {"width": 0.006, "headwidth": 3.5, "headlength": 4, "headaxislength": 4}
        unscaled = {"angles": "xy", "scale_units": "xy", "scale": 1}
        places = fakes[: len(pulls)].T.numpy()
        ax.quiver(*places, *pulls.T.numpy(), color=ARROW, **heads, **unscaled)
        title = f"{step:,} steps" + (f": {found} of {modes} modes" if modes else "")
        ax.set(title=title, xlim=limits, ylim=limits)
        ax.tick_params(labelsize=8)
    ticks, label = [0, 0.5, 1], "D(x), the line: 1/2"
    if wasserstein:
        ticks, label = [], "critic, lowest to highest"
    above.colorbar(heat, ax=axes, shrink=0.75, aspect=30, pad=0.01, ticks=ticks, label=label)
    pull = plt.Line2D([], [], color=ARROW, marker=">", markevery=[1], markersize=4)
    handles = [*axes[0].get_legend_handles_labels()[0], pull]
    labels = ["data", "fakes", "pull of G's objective on a fake"]
    look = {"ncols": 3, "fontsize": 8, "markerscale": 1.6}
    above.legend(handles, labels, loc="outside lower left", **look)
    ax = below.subplots()
    if course:
        smooth = max(1, len(course) // 100)
        whole = torch.tensor(course)[: len(course) // smooth * smooth]
        means = whole.reshape(-1, smooth, 2).mean(1).numpy()
        at = smooth * (torch.arange(len(means)) + 0.5).numpy()
        ax.plot(at, means[:, 0], color=CRITIC, label="D")
        ax.plot(at, means[:, 1], "--", color=MODEL, label="G")
    if not wasserstein:
        guess = "$-2\\log 2$: D can only guess"
        ax.axhline(-2 * math.log(2), color=DATA, linestyle=":", linewidth=1, label=guess)
    ax.set_xlabel(f"step ({broken})" if broken else "step")
    ax.set_ylabel("objective" if wasserstein else "objective, nats")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=8, ncols=3)
    return fig, [(found, modes) if modes else None for _, found, *_ in shots]


def train(s: dict, steps) -> tuple[list, list, Tensor, int, str]:
    """Play a game with these settings, with a snapshot after each of `steps` rounds.

    Returns: for each snapshot (step, modes found, fakes, logits, pulls); both mean objectives of
        each round; real points; the number of modes, or 0; and the error that ended it, or "".
    """
    with torch.random.fork_rng(devices=[]):  # the notebook's random numbers stay what they are
        torch.manual_seed(s["seed"])
        draw, modes, std = sampler(s)
        game = players(s)
        sides = Players(game, (s["lr"]["d"], s["lr"]["g"]))
        codes, real, shots, course, broken = torch.randn(300, s["latent"]), draw(300), [], [], ""
        for step in range(steps[-1] + 1):
            if step in steps:
                fakes, *rest = snapshot(game, codes)
                found = 0 if modes is None else modes_found(fakes, modes, std)[0]
                shots.append((step, found, fakes, *rest))
            if step == steps[-1]:
                break
            try:
                for _ in range(s["steps"]):
                    judged = sides.discriminator_step(draw(64))
                made = sides.generator_step(draw(64))
            except TrainingError as error:
                broken = f"diverged at step {step + 1}: {error}"
                break
            verdict = judged.get("discriminator", judged.get("distance"))
            course.append((verdict.mean().item(), made["generator"].mean().item()))
    return shots, course, real, 0 if modes is None else len(modes), broken


def sampler(s: dict):
    """Give a function n -> points (n, 2) for the settings' data; the modes, (K, 2) or None; and
    their standard deviation.
    """
    if s["data"] in ("ring", "grid"):
        density, std = ring_of_gaussians(), 0.1
        if s["data"] == "grid":
            density, std = grid_of_gaussians(), 0.05
        return (lambda n: density.sample((n,))), density.components.mean, std
    if s["data"] == "one":
        density = mixture(torch.ones(1, 2), 0.5)
        return (lambda n: density.sample((n,))), None, 0.0
    if s["data"] == "moons":
        pool, blur = 1.5 * (two_moons(20_000, seed=s["seed"]) - torch.tensor([0.5, 0.25])), 0.0
    elif s["points"]:
        pool = torch.tensor(s["points"], dtype=torch.get_default_dtype())
        blur = 0.05  # as in gan_lab.js
    else:
        raise ValueError("nobody can draw into a static picture: give the data as points (N, 2)")
    return (lambda n: pool[torch.randint(len(pool), (n,))] + blur * torch.randn(n, 2)), None, 0.0


def players(s: dict) -> GAN:
    """The laboratory's two networks, untrained, in torch."""
    prior, hidden = StandardGaussian(s["latent"]), [s["hidden"]] * 2
    networks = mlp([s["latent"], *hidden, 2]), mlp([2, *hidden, 1], leaky)
    if s["objective"] == "wasserstein":
        return WassersteinGAN(prior, *networks, clip=s["clip"])
    return GAN(prior, *networks, saturating=s["objective"] == "saturating")


def snapshot(game: GAN, codes: Tensor):
    """Compute the fakes at these codes, the discriminator's logits over the plane, and the pull on
    the first 36 fakes: the gradient of the generator's objective.
    """
    across = torch.linspace(-REACH, REACH, 61)
    with torch.no_grad():
        fakes = game.generator(codes)
        plane = torch.stack(torch.meshgrid(across, across, indexing="xy"), -1)
        logits = game.logit(plane)
    x = fakes[:36].clone().requires_grad_()
    logit = game.logit(x)
    if isinstance(game, WassersteinGAN):
        value = logit
    elif game.saturating:
        value = -logsigmoid(-logit)
    else:
        value = logsigmoid(logit)
    return fakes, logits, torch.autograd.grad(value.sum(), x)[0]
