# ---
# jupyter:
#   dgmcourse:
#     part: The bound
#     question: Can a gradient pass a draw?
#     about: why the gradient is a problem, and two ways round it, compared by their variance
#     slides: Variational Auto-Encoder
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
# # The reparameterization trick: a gradient through a draw
# *75 minutes, about 15 of them for three exercises. Slides: "Variational Auto-Encoder", the problem
# and its solution. You need [notebook 07](07_vae.ipynb).*
#
# A Gaussian $q(z) = \mathcal N(z \mid \mu, \sigma^2)$ stands on a landscape $f$. You want $f$ to be
# large on average, so you draw eight samples. **Which way should $\mu$ move, and how far?**
#
# Two answers have been found. In the first, each sample looks at the slope under its feet. In the
# second, a sample knows no slope: it looks at how high it stands, and pulls $\mu$ towards itself if
# that is above zero, and pushes it away if below. Before you look at the arrows: whose average would
# you trust more? Three things to try:
#
# 1. Press *new sample* ten times. Which average wobbles more?
# 2. Raise `height`. The landscape keeps its shape, so the truth does not move. Which arrows do?
# 3. Make $\sigma$ small. One kind of arrow settles on the slope at $\mu$, the other explodes.

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

from dgmcourse import intervals, plot
from dgmcourse.widgets import gradients as figures
from dgmcourse.widgets import show as show_widget

mu, sigma, height = 1.6, 0.6, 2.0
many = figures.one_draw(mu, sigma, height, n=20_000)
spread = {name: many[name].std().item() for name in ("pathwise", "score function")}
show_widget(
    figures.play_arrows(),
    figures.arrows(mu, sigma, height),
    alt=(
        "A curve with eight samples of a Gaussian; below it the pathwise estimator's shorter"
        " arrows, each up the slope at its sample, and the score function's longer ones, which"
        " point both ways."
    ),
    caption=(
        "One set of samples, two readings. At a height of 2 the score function's arrows scatter"
        f" {spread['score function'] / spread['pathwise']:.1f} times as widely as the pathwise ones"
        " (standard deviations of 20,000 samples)."
    ),
)

# %% [markdown]
# Afterwards you can say why a gradient does not pass through `z = q.sample()`, and what goes wrong
# if you pretend it does; write both ways round it and check them against a known truth; predict
# which of them is quieter, by how much, and when the quieter one is wrong; and make a $\sigma$ that
# a network can learn without breaking.

# %% [markdown]
# ## Why there is a problem at all
#
# The VAE's objective for one $\mathbf{x}$ is an average over the encoder's own samples,
# $\mathbf{z}_s \sim q_\phi(\mathbf{z}|\mathbf{x})$ (bold letters are vectors):
#
# $$\mathcal L(\mathbf{x}) = \mathbb E_{q_\phi(\mathbf{z}|\mathbf{x})}\big[\underbrace{\log p_\theta(\mathbf{x}|\mathbf{z}) +
# \log p_\lambda(\mathbf{z}) - \log q_\phi(\mathbf{z}|\mathbf{x})}_{f(\mathbf{z})}\big]
# \approx \frac1S \sum_{s=1}^S f(\mathbf{z}_s)$$
#
# Read aloud: draw $S$ times from $q_\phi$, score each draw with $f$, average. The decoder's
# $\theta$ sits inside $f$ only, so its gradient is the average of gradients. The encoder's $\phi$
# decides *where the samples fall*, by the mean $\boldsymbol\mu$ and the standard deviations
# $\boldsymbol\sigma$ of its Gaussian. That is the lecture's problem: the gradient with respect to
# the sampling process.
#
# From here on you work where the truth is known: $f(\mathbf{z}) = -\sum_j z_j^2$ in $d$ dimensions,
# under $q = \mathcal N(\boldsymbol\mu, \mathrm{diag}\,\boldsymbol\sigma^2)$. Since $\mathbb
# E[z_j^2] = \mu_j^2 + \sigma_j^2$, the gradient for each $\mu_j$ is $-2\mu_j$. **Predict:** what
# will autograd say if you just sample and ask?

# %%
from dgmcourse.check import reparameterization as check
from dgmcourse.densities import Gaussian

torch.manual_seed(0)


def f(z):
    """-|z|^2: (..., d) to (...)."""
    return -(z**2).sum(-1)


mean = torch.ones(3, requires_grad=True)
log_var = torch.zeros(3, requires_grad=True)
z = Gaussian(mean, log_var).sample((100,))
print("z remembers where it came from:", z.requires_grad)
try:
    torch.autograd.grad(f(z).mean(), mean)
except RuntimeError as error:
    print("autograd:", error)

# %% [markdown]
# A drawn number is only a number. Nothing in it says how it would have changed had $\mu$ been a
# little larger.
#
# In a VAE it is worse, since no error is raised: the KL term and the decoder still have gradients,
# and training runs. You will see below what it trains.
#
# So nudge $\mu$ by $h$ and look: $(\hat{\mathcal L}(\mu + h) - \hat{\mathcal L}(\mu))/h$. The
# average of $S = 100$ samples is noisy, but a small $h$ should give an accurate slope. **Predict:**
# how does the error change when you make $h$ ten times smaller? And when both estimates use *the
# same* random numbers?


# %%
def estimate(mu, seed, R=300, S=100):
    """R independent estimates, (R,), of E[f(z)] in one dimension, from this seed."""
    torch.manual_seed(seed)
    mean = torch.full((R, 1), mu, dtype=torch.float64)
    return f(Gaussian(mean, torch.zeros_like(mean)).sample((S,))).mean(0)


def difference(h, seed, other_seed):
    return (estimate(1 + h, seed) - estimate(1, other_seed)) / h


steps = torch.logspace(-4, 0, 9).tolist()
fresh = torch.stack([difference(h, 2 * i, 2 * i + 1) for i, h in enumerate(steps)])
rewound = torch.stack([difference(h, 2 * i, 2 * i) for i, h in enumerate(steps)])

# %% jupyter={"source_hidden": true}
plot.show(
    figures.differences(steps, fresh, rewound, truth=-2.0),
    alt=(
        "Finite differences against the step: with fresh noise their spread grows as the step"
        " shrinks, with the same noise it is flat."
    ),
    caption=(
        "With fresh noise a ten times smaller step makes the standard deviation"
        f" {fresh[0].std() / fresh[2].std():.1f} times as large; with the same noise it stays at"
        f" {rewound[0].std():.2f}. 300 repetitions."
    ),
)

# %% [markdown]
# Two noisy numbers, divided by almost nothing: the noise is divided too. But rewind the dice, and
# the noise is the same in both, so that it cancels. Keep this in mind: **hold the noise still, and
# a sample becomes a smooth function of $\mu$.** That is the second way out. First the older one.

# %% [markdown]
# ## First way out: differentiate the density
#
# The samples have no derivative, but their density has. Write the average as an integral:
#
# $$\begin{aligned}
# \nabla_\phi \int q_\phi(\mathbf{z}) f(\mathbf{z})\, d\mathbf{z} &= \int f(\mathbf{z})\, \nabla_\phi q_\phi(\mathbf{z})\, d\mathbf{z} \\
# &= \int q_\phi(\mathbf{z})\, f(\mathbf{z})\, \underbrace{\frac{\nabla_\phi q_\phi(\mathbf{z})}{q_\phi(\mathbf{z})}}
# _{\nabla_\phi \log q_\phi(\mathbf{z})} d\mathbf{z}
# = \mathbb E_{q_\phi}\big[f(\mathbf{z})\, \nabla_\phi \log q_\phi(\mathbf{z})\big]
# \end{aligned}$$
#
# The middle step multiplies and divides by $q$: it turns the integral back into an average over
# samples. Read aloud: make each sample more probable in proportion to what it earned. $\nabla_\phi
# \log q_\phi$ is called the *score function*; reinforcement learning knows the estimator as
# REINFORCE. It asks nothing of $f$ but its values.
#
# ### Exercise 1: the score-function estimator (8 minutes)
#
# Return the estimate $\frac1S \sum_s f(\mathbf{z}_s)\, \nabla_\phi \log q_\phi(\mathbf{z}_s)$ for
# each tensor in `parameters`. The easy way is a *surrogate*: one number whose gradient, taken by
# `torch.autograd.grad`, is the estimate.


# %% tags=["exercise"]
def score_function(f, q, parameters, S):
    """The score-function estimate of the gradient of E_q[f(z)].

    f:           maps z (S, d) to (S,); may be any function; if it depends on the
                 parameters itself, that part of its gradient must be 0 on average, as
                 it is for -log q(z)
    q:           a Density: q.sample((S,)), (S, d), has no gradient; q.log_prob(z), (S,)
    parameters:  the tensors of q, here [mean, log_var]
    returns      one gradient for each parameter, of its shape
    """
    ### BEGIN SOLUTION
    z = q.sample((S,))
    surrogate = (f(z).detach() * q.log_prob(z)).mean()
    return torch.autograd.grad(surrogate, parameters)
    ### END SOLUTION


# %% tags=["exercise-check"]
score_function = check.score_function(score_function)
# check.score_function.hint()

# %% [markdown]
# Try it where the truth is $-2$ for each mean. **Predict:** how many digits will 1,000 samples get
# right?

# %%
torch.manual_seed(0)
for S in (10, 1000, 100_000):
    g_mean, _ = score_function(f, Gaussian(mean, log_var), [mean, log_var], S)
    print(f"S = {S:7,}: gradient for the three means", *(f"{g:8.3f}" for g in g_mean))

# %% [markdown]
# It works without knowing any slope of $f$, and it is noisy: you pay a hundred times the samples
# for each digit.

# %% [markdown]
# ## Second way out: move the noise outside
#
# Where does the randomness of $\mathbf{z}$ come from? A Gaussian sample is made from a standard
# one:
#
# $$\mathbf{z} = \boldsymbol\mu + \boldsymbol\sigma \odot \boldsymbol\epsilon,
# \qquad \boldsymbol\epsilon \sim \mathcal N(\mathbf{0}, \mathbf{I}).$$
#
# Read aloud: draw noise that knows nothing of the parameters, then stretch it by
# $\boldsymbol\sigma$ and shift it to $\boldsymbol\mu$. This is the lecture's *non-centred
# parameterization*. The average is now over $\boldsymbol\epsilon$, whose distribution has no $\phi$
# in it, and the gradient walks in:
#
# $$\begin{aligned}
# \nabla_\phi\, \mathbb E_{q_\phi}[f(\mathbf{z})]
# &= \nabla_\phi\, \mathbb E_{\boldsymbol\epsilon}[f(\boldsymbol\mu + \boldsymbol\sigma \odot \boldsymbol\epsilon)] \\
# &= \mathbb E_{\boldsymbol\epsilon}\Big[\sum_j \frac{\partial f}{\partial z_j}\, \nabla_\phi (\mu_j + \sigma_j\, \epsilon_j)\Big]
# \end{aligned}$$
#
# Each sample now asks: had $\boldsymbol\mu$ been larger, *I* would have moved along; is it uphill
# there? The estimator is called *pathwise*: the gradient follows the sample's path back to the
# parameters.
#
# ### Exercise 2: the reparameterized sample (4 minutes)
#
# An encoder gives `mean` $= \boldsymbol\mu$ and `log_var` $= \log \boldsymbol\sigma^2$. The check
# looks at your sample's gradient, not at its value only.


# %% tags=["exercise"]
def reparameterize(mean, log_var, noise=None):
    """A sample of N(mean, diag(exp(log_var))), differentiable in mean and log_var.

    mean, log_var:  (B, d), or any one shape
    noise:          standard Gaussian numbers of the same shape; if None, draw them
    returns         z, of the same shape
    """
    ### BEGIN SOLUTION
    if noise is None:
        noise = torch.randn_like(mean)
    return mean + torch.exp(0.5 * log_var) * noise
    ### END SOLUTION


# %% tags=["exercise-check"]
reparameterize = check.reparameterize(reparameterize)
# check.reparameterize.hint()

# %% [markdown]
# The same problem, the same numbers of samples. **Predict** the digits again.

# %%
torch.manual_seed(0)
for S in (10, 1000, 100_000):
    z = reparameterize(mean.expand(S, 3), log_var.expand(S, 3))
    (g_mean,) = torch.autograd.grad(f(z).mean(), [mean])
    print(f"S = {S:7,}: gradient for the three means", *(f"{g:8.3f}" for g in g_mean))

# %% [markdown]
# A further digit costs the same hundredfold here, since either error falls like $1/\sqrt S$. The
# start is what differs.

# %% [markdown]
# ## Both are right. How loud are they?
#
# Two questions: is either estimator biased, and how does its noise depend on the number of samples
# $S$ and the number of dimensions $d$? `dgmcourse.gradients` has both estimators as you wrote them,
# for many independent repetitions at once.
#
# The comparison should be fair. The score function has a well-known cure: since $\mathbb E_q[\nabla
# \log q] = \nabla\!\int\! q\, d\mathbf{z} = 0$, you may subtract from $f(\mathbf{z}_s)$ any number
# that does not depend on $\mathbf{z}_s$. This *baseline* costs no bias. A good one that is free
# when $S \ge 2$: the mean of the *other* samples' values.

# %% jupyter={"source_hidden": true}
from dgmcourse.gradients import pathwise
from dgmcourse.gradients import score_function as scores

# %%
ESTIMATORS = {
    "score function": scores,
    "score function with baseline": lambda f, q, parameters, S: scores(
        f, q, parameters, S, baseline=True
    ),
    "pathwise": pathwise,
}


def repeat(estimator, S, d, R=500):
    """R independent estimates, (R,), of the gradient for mu_1 at mu = 1, sigma = 1, in
    truth -2.
    """
    mean = torch.ones(R, d, requires_grad=True)
    return estimator(f, Gaussian(mean, torch.zeros(R, d)), [mean], S)[0][:, 0]


# %% jupyter={"source_hidden": true}
torch.manual_seed(0)
rows = []
for name, estimator in ESTIMATORS.items():
    g = repeat(estimator, S=10, d=10, R=4000)
    bias = intervals.of_mean(g + 2, "repetitions", comparisons=len(ESTIMATORS))
    rows.append(f"| {name} | {g.mean():.3f} | {bias.said('+.3f')} | {g.std():.2f} |")
plot.markdown(
    "| estimator | mean | bias | standard deviation |",
    "|:--|--:|--:|--:|",
    *rows,
    "",
    f"*S = 10, d = 10; the truth is -2. {bias.basis}.*",
)

# %% [markdown]
# The intervals of the bias say whether one is shown; the standard deviations are another matter.
# **Predict:** in a log-log plot, what slope has the variance against $S$? And against $d$?

# %%
S_values, d_values = [2, 4, 8, 16, 32, 64, 128], [1, 2, 4, 8, 16, 32, 64, 128]


def variance(estimator, S, d):
    """The variance of one estimate and its standard error, from 10 groups of 50."""
    groups = repeat(estimator, S, d).reshape(10, 50).var(-1)
    return groups.mean().item(), plot.standard_error(groups)


torch.manual_seed(0)
by_S = {
    name: list(zip(*[variance(e, S, 10) for S in S_values], strict=True))
    for name, e in ESTIMATORS.items()
}
by_d = {
    name: list(zip(*[variance(e, 10, d) for d in d_values], strict=True))
    for name, e in ESTIMATORS.items()
}


# %% jupyter={"source_hidden": true}
def slope(x, y):
    x, y = torch.tensor(x).double().log(), torch.tensor(y).double().log()
    return (((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()).item()


short = {
    "score function": "score function",
    "score function with baseline": "with baseline",
    "pathwise": "pathwise",
}
in_S = ", ".join(f"{short[n]} {slope(S_values, v):.2f}" for n, (v, _) in by_S.items())
in_d = ", ".join(f"{short[n]} {slope(d_values[3:], v[3:]):.2f}" for n, (v, _) in by_d.items())
at = {n: v[-1] for n, (v, _) in by_d.items()}
plot.show(
    figures.variance_lines(by_S, by_d, S_values, d_values, fixed_S=10, fixed_d=10),
    alt=(
        "Variance of three gradient estimators, log-log. Against S all fall in parallel; against d"
        " the score function rises steeply, with a baseline less so, and the pathwise one is flat."
    ),
    caption=(
        f"At d = {d_values[-1]} the score function has"
        f" {at['score function'] / at['pathwise']:,.0f} times the pathwise variance, with a"
        f" baseline still {at['score function with baseline'] / at['pathwise']:,.0f} times. Bars"
        " are standard errors, of 500 repetitions a point."
    ),
)
plot.markdown(f"Slopes against $S$: {in_S}. Slopes against $d$, from $d = 8$ on: {in_d}.")

# %% [markdown]
# More samples help everyone alike: $1/S$. The baseline gains a little more at first: with two
# samples the "mean of the others" is a single noisy value. More dimensions don't help alike. The
# pathwise estimate for $\mu_1$ is the slope along $z_1$, and other dimensions have no part in it.
# The score function multiplies the *whole* $f$, to which all $d$ dimensions contribute, by the
# score of the first: what the others earn is noise to it, of order $d^2$. A baseline removes its
# mean, and leaves order $d$.
#
# Play: start at $d = 1$ and push it up. Then try to buy the noise back with $S$. Last, make
# $\sigma$ small.

# %% jupyter={"source_hidden": true}
wrong_way = {
    short[name]: (g > 0).float().mean() for name, g in figures.estimates(S=16, d=20).items()
}
show_widget(
    figures.play_histograms(),
    figures.histograms(S=16, d=20),
    alt=(
        "Histograms of 300 gradient estimates: wide for the score function, narrower with a"
        " baseline, narrowest pathwise."
    ),
    caption=(
        f"At S = 16 and d = 20 {wrong_way['score function']:.0%} of the score function's estimates"
        f" point the wrong way, {wrong_way['with baseline']:.0%} with a baseline."
    ),
)

# %% [markdown]
# ## Where $\sigma$ comes from
#
# In a VAE $\boldsymbol\mu$ and $\boldsymbol\sigma$ are outputs of a network,
# $\boldsymbol\mu(\mathbf{x})$ and $\boldsymbol\sigma(\mathbf{x})$, and a network's output can be
# any real number. A standard deviation can't. **Predict:** what happens if you take the raw output
# as $\sigma$? Here $q = \mathcal N(0, \sigma^2)$ starts at $\sigma = 1$ and climbs, by its pathwise
# gradient, to a posterior of width 0.1.
#
# Three things to try: lower `step` until the raw output survives; then halve `target`, and see
# whether the same step still works; ask the same of the other two.


# %% tags=["break-it"]
def sigma_path(sigma_of, raw, step=0.1, target=0.1, steps=60):
    """sigma after each step up the gradient of E_q[log p(z)] - E_q[log q(z)] for
    p = N(0, target^2).
    """
    torch.manual_seed(0)
    path = []
    for _ in range(steps):
        raw = torch.as_tensor(raw).detach().requires_grad_()
        sigma = sigma_of(raw)
        z = sigma * torch.randn(64)
        elbo = -0.5 * (z / target).square().mean() + sigma.log()  # up to constants
        path.append(sigma.item())
        raw = raw + step * torch.autograd.grad(elbo, raw)[0]
    return path


# %% jupyter={"source_hidden": true}
import ipywidgets as widgets

from dgmcourse.widgets.figure import slider_figure

STEP_SIZES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
WAYS = {
    r"raw output: $\sigma = a$": (lambda a: a, 1.0),
    r"logs: $\sigma = e^{a/2}$": (lambda a: torch.exp(0.5 * a), 0.0),
    r"softplus: $\sigma = \log(1 + e^a)$": (torch.nn.functional.softplus, 0.5413),
}


def race(step, target):
    return figures.paths(
        {name: sigma_path(*way, step, target) for name, way in WAYS.items()}, target
    )


raw, logs, soft = (sigma_path(*way) for way in WAYS.values())
negative = sum(not s > 0 for s in raw)
show_widget(
    slider_figure(
        race,
        alt="Three ways to make a sigma, each climbing to its target.",
        step=widgets.SelectionSlider(options=STEP_SIZES, value=0.1, description="step"),
        target=(0.05, 1.0, 0.05, 0.1),
    ),
    race(0.1, 0.1),
    alt=(
        "Sigma against the step. The raw output turns negative at once and leaves the picture, the"
        " other two come to the target."
    ),
    caption=(
        f"The raw output is no standard deviation in {negative} of {len(raw)} steps; the other two"
        " come to the target of 0.1."
    ),
)

# %% [markdown]
# The sampler did not even notice: $-\epsilon$ is as likely as $\epsilon$, so a negative $\sigma$
# draws good samples. But $\log\sigma$ is not a number, so the objective is none either, while its
# gradient, $1/\sigma$ in part, stays finite and throws $\sigma$ back and forth.
#
# The step size can't save it for long. Near the top the objective's curvature in $\sigma$ is
# $-2/\text{target}^2$, so each narrower posterior needs a smaller step. In $\log \sigma^2$ it is
# $-\frac12$, whatever the target.

# %% [markdown]
# ### Exercise 3: the encoder's head (3 minutes)
#
# The last layer gives $2d$ numbers: $d$ means, then $d$ log-variances. Return $\boldsymbol\mu$ and
# $\boldsymbol\sigma$.


# %% tags=["exercise"]
def gaussian_head(output):
    """A network's output as the parameters of a Gaussian.

    output:  (B, 2 d), any real numbers: the d means, then the d values of log sigma^2
    returns  mean (B, d) and sigma (B, d), sigma above 0
    """
    ### BEGIN SOLUTION
    mean, log_var = output.chunk(2, dim=-1)
    return mean, torch.exp(0.5 * log_var)
    ### END SOLUTION


# %% tags=["exercise-check"]
gaussian_head = check.gaussian_head(gaussian_head)
# check.gaussian_head.hint()

# %% [markdown]
# The course's `GaussianConditional` is this head, with one more precaution: it clips the
# log-variance to a range, so that one wild output early in training does not make $\sigma =
# e^{20}$.

# %% [markdown]
# ## Train with it, train without it
#
# Now a real encoder: a small VAE on digits of 14 x 14 pixels, trained in five ways, each with
# another gradient for the encoder. The KL term is the same for all; the decoder's gradient is the
# usual one, averaged over $S$ decodings.
#
# - **pathwise**, $S = 1$: your `reparameterize`.
# - **score function**, $S = 1$ and $S = 4$: the reconstruction $\log
#   p_\theta(\mathbf{x}|\mathbf{z})$ weighs $\nabla_\phi \log q_\phi(\mathbf{z}|\mathbf{x})$.
# - **score function with baseline**, $S = 4$: it, too, must decode four samples a step.
# - **nothing**, $S = 1$: `z = q.sample()`, and nobody complains.
#
# **Predict** the order of the five, and what *nothing* learns.

# %% jupyter={"source_hidden": true}
from dgmcourse.data.images import mnist
from dgmcourse.densities import kl
from dgmcourse.gradients import leave_one_out
from dgmcourse.models import VAE
from dgmcourse.train import fit


# %%
def objective_of(vae, way, S=1):
    """What `fit` maximises: the ELBO, with the encoder's gradient had in this way."""

    def objective(x, beta=1.0):
        q = vae.encoder(x)
        parameters = q.mean.expand(S, -1, -1), q.log_var.expand(S, -1, -1)
        z = reparameterize(*parameters) if way == "pathwise" else q.sample((S,))
        log_p = vae.decoder(z).log_prob(x)  # (S, B)
        elbo = (log_p - kl(q, vae.prior)).mean(0)
        if "score" not in way:
            return elbo, {"elbo": elbo}
        values = log_p.detach()
        if "baseline" in way:
            values = values - leave_one_out(values)
        surrogate = (values * q.log_prob(z)).mean(0)
        # The ELBO, with a further gradient.
        return elbo + surrogate - surrogate.detach(), {"elbo": elbo}

    return objective


# %% jupyter={"source_hidden": true}
def halved(data, n):
    """The first n digits at half the side, black and white: (n, 196)."""
    pixels = data.x[:n].reshape(-1, 1, 28, 28).float() / 255
    return (torch.nn.functional.avg_pool2d(pixels, 2).flatten(1) > 0.5).float()


digits = mnist()
train, test = halved(digits.train, 4000), halved(digits.test, 500)

# %% tags=["claim-25"]
RUNS = [("pathwise", 1), ("score function with baseline", 4), ("score function", 4)]
RUNS += [("score function", 1), ("nothing", 1)]
SEEDS, EPOCHS = 5, 10


def train_with(run, seed):
    torch.manual_seed(seed)
    vae = VAE(latent_dim=8, hidden=64, data_dim=196)
    settings = {"epochs": EPOCHS, "lr": 1e-3, "seed": seed, "progress": False}
    return vae, fit(vae, train, objective=objective_of(vae, *run), **settings)


torch.set_num_threads(1)  # small networks gain little from more threads
todo = [(run, seed) for run in RUNS for seed in range(SEEDS)]
trained = {at: train_with(*at) for at in plot.progress(todo, desc="trainings")}

# %% jupyter={"source_hidden": true}
curves, elbos = {}, {}
for run in RUNS:
    histories = [trained[run, seed][1] for seed in range(SEEDS)]
    values = torch.tensor([[row["elbo"] for row in history.steps] for history in histories])
    curves[run] = [row["step"] for row in histories[0].steps], values
    with torch.no_grad():
        elbos[run] = [trained[run, seed][0].elbo(test).mean().item() for seed in range(SEEDS)]

# %% jupyter={"source_hidden": true}
smooth, window = {}, 10
for run, (at, values) in curves.items():
    smooth[run] = torch.tensor(at[window - 1 :]), values.unfold(-1, window, 1).mean(-1)
name_of = {run: f"{run[0]}, S = {run[1]}" for run in RUNS}
PATH, LOUD, NOTHING = RUNS[0], RUNS[3], RUNS[4]
tested = {run: torch.tensor(e) for run, e in elbos.items()}
middle = {run: values.median(0).values for run, (_, values) in smooth.items()}
steps = smooth[PATH][0]
reached = steps[(middle[PATH] >= middle[LOUD].max()).nonzero()[0].item()]
above = (middle[NOTHING] > middle[LOUD])[steps > 100].float().mean()
looks = {
    run: figures.LOOKS.get(run[0], {"color": plot.NOISE, "marker": "x", "ls": ":"}) for run in RUNS
}
looks[LOUD] = looks[LOUD] | {"marker": "D", "ls": "-."}
plot.show(
    figures.training({name_of[run]: (*smooth[run], looks[run]) for run in RUNS}),
    alt=(
        "ELBO against training step for five ways to the encoder's gradient. At the end, from the"
        " highest to the lowest: "
    )
    + "; ".join(
        f"{name_of[run]}, {middle[run][-1]:.0f} nats"
        for run in sorted(RUNS, key=lambda run: -middle[run][-1])
    )
    + ".",
    caption=(
        "The pathwise run passed the best level of the plain score function (S = 1) at step"
        f" {reached} of {steps[-1]}. That one lies below no gradient at all at {above:.0%} of the"
        " points after step 100. Lines are medians of running means over ten points, bands go from"
        f" the worst to the best of {SEEDS} seeds."
    ),
)

# %% [markdown]
# The noisier the gradient, the slower the climb, whether it is sampling or a baseline that makes it
# quieter. Compare the plain score function at $S = 1$ with *nothing*: a gradient that is right on
# average can be so loud that none at all does better in the same time (the caption counts how
# often).
#
# And *nothing* looks like training: the curve rises, no error, no warning. Ask the encoders how
# much they say about a digit. **Predict** the last line.

# %%
for way, S in RUNS:
    vae = trained[(way, S), 0][0]  # the first seed's
    with torch.no_grad():
        nats = kl(vae.encoder(test), vae.prior).mean()
    print(f"{way:28} S = {S}   KL from the prior = {nats:6.2f} nats per image")

# %% [markdown]
# Its only gradient comes from the KL, which is least when $q_\phi(\mathbf{z}|\mathbf{x})$ is the
# prior. So the encoder learns to say nothing about $\mathbf{x}$, and the decoder learns the average
# digit. A VAE with a silent encoder is the first thing to suspect when a `detach` or `sample` has
# crept in.
#
# One more number. Take the trained VAE and measure the noise of the encoder's gradient on one
# batch, at the same $S = 4$ for all. **Predict:** how many times more samples would the score
# function need to be as quiet?


# %%
def encoder_noise(vae, way, x, groups=6):
    """The variance of the encoder's gradient, summed over all its weights, in each
    group of ten repeats: (groups,).
    """
    weights, objective = list(vae.encoder.parameters()), objective_of(vae, way, S=4)

    def gradient():
        each = torch.autograd.grad(objective(x)[0].mean(), weights)
        return torch.cat([g.flatten() for g in each])

    def variance():
        return torch.stack([gradient() for _ in range(10)]).var(0).sum()

    return torch.stack([variance() for _ in range(groups)])


# %%
torch.manual_seed(0)
vae = trained[PATH, 0][0]
noise = {way: encoder_noise(vae, way, test[:100]) for way in figures.LOOKS}

# %% jupyter={"source_hidden": true}
louder = {
    way: intervals.of_mean(noise[way] / noise["pathwise"].mean(), "groups of repeats", 2)
    for way in ("score function", "score function with baseline")
}
plot.markdown(
    "| | samples needed in place of one pathwise sample |",
    "|:--|--:|",
    *(f"| {way} | {times:,.0f} |" for way, times in louder.items()),
    "",
    f"*{louder['score function'].basis}.*",
)

# %% [markdown]
# Each of these samples is a pass through the decoder: this is what the slope of $f$ is worth.

# %% [markdown]
# ## What cannot be reparameterized
#
# A coin, $z \in \{0, 1\}$ with $P(z = 1) = p$, can be drawn from noise outside, too: $z = 1$ if $u < p$, with $u$ uniform.
# **Predict:** hold $u$ still and move $p$. What is $dz/dp$?

# %% jupyter={"source_hidden": true}
taus = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
plot.show(
    figures.coins([0, 0.1, 0.5, 1]),
    alt=(
        "Six samples as functions of p: steps for a coin, smooth curves for relaxed ones, which"
        " bend the average."
    ),
    caption=(
        "Thin: single samples, each with its own u. Thick: the average of 1,000. A coin's average"
        " is smooth although no single sample is: each has slope 0 everywhere but at its jump. A"
        " relaxed coin has slopes; the higher its temperature, the further its average is from p"
        " (dotted)."
    ),
)

# %% [markdown]
# Zero almost everywhere: the path is there, but it has steps, and the slope misses them. torch
# knows which of its distributions have a path:

# %%
from torch import distributions as td

kinds = [td.Normal, td.Laplace, td.Gamma, td.Dirichlet]
kinds += [td.Bernoulli, td.Categorical, td.Poisson]
has = [f"{kind.__name__}: {'yes' if kind.has_rsample else 'no'}" for kind in kinds]
print("  ".join(has))

# %% [markdown]
# Anything of the form *location + scale x noise* has one (Gaussian, Laplace, logistic), and so has
# a smooth inverse of the distribution function (exponential, Gumbel). For Gamma, Beta and Dirichlet
# the path is found by *implicit* reparameterization: differentiate the distribution function
# instead of inverting it. Discrete ones have none.
#
# For coins and dice there are two exits. The score function is exact and noisy. A **relaxation**
# replaces the step by a slope, the gentler the higher its *temperature* $\tau$:
#
# $$z = \mathrm{sigmoid}\big((\mathrm{logit}\, p + \mathrm{logit}\, u)/\tau\big)$$
#
# For a die it is called Gumbel-softmax. It has a gradient, of *another* objective. Take $f(z) = (z - 0.45)^2$ and
# $p = \frac12$, where the gradient for the logit is $p(1-p)(f(1) - f(0)) = 0.025$. **Predict:** as $\tau$ falls, what
# happens to the bias, and what to the noise?


# %%
def relaxed(logits, tau):
    """Relaxed coins, one for each logit."""
    u = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    return torch.sigmoid((logits + torch.logit(u)) / tau)


def coin_value(z):
    return (z - 0.45) ** 2


torch.manual_seed(0)
R, truth = 100_000, 0.25 * (0.55**2 - 0.45**2)
logits = torch.zeros(R, requires_grad=True)
values = (coin_value(relaxed(logits, tau)).sum() for tau in taus)
g = torch.stack([torch.autograd.grad(value, logits)[0] for value in values])
bias, error, deviation = g.mean(1) - truth, g.std(1) / R**0.5, g.std(1)

# %% jupyter={"source_hidden": true}
coin = torch.bernoulli(torch.full((R,), 0.5))
exact = coin_value(coin) * (coin - 0.5)  # the score of a coin for its logit is z - p
cold, hot = 0, len(taus) - 1
plot.show(
    figures.relaxation_lines(taus, bias, error, deviation, exact.std().item(), truth),
    alt=(
        "Left: the relaxed gradient's bias grows with the temperature. Right: its deviation falls"
        " with the temperature."
    ),
    caption=(
        f"At temperature {taus[hot]:g} the bias is {bias[hot] / truth:.0%} of the true gradient. On"
        f" the way down to {taus[cold]:g} the deviation of one estimate grows"
        f" {deviation[cold] / deviation[hot]:.0f}-fold. {R:,} draws each."
    ),
)
left = [
    intervals.of_mean(values / truth - 1, "draws", comparisons=2) for values in (g[cold], exact)
]
plot.markdown(
    f"Bias as a share of the true gradient: at temperature {taus[cold]:g} {left[0].said('+.1%')};"
    f" of the exact score function {left[1].said('+.1%')}, whose deviation is {exact.std():.2f}"
    f" ({left[0].basis})."
)

# %% [markdown]
# Cold is right and loud, hot is quiet and wrong. You choose the temperature, and with it the error.

# %% [markdown]
# ## Break it: when the quiet one lies
#
# So far the pathwise gradient won everywhere. Here is where it loses. Let $f$ be a step: 1 if $z >
# 0$, else 0, an accuracy or a game won. Under $q = \mathcal N(\mu, 1)$ the average is the
# probability that $z > 0$: smooth in $\mu$, with the gradient $\mathcal N(\mu \mid 0, 1)$, a
# Gaussian density at $\mu$.
#
# **Predict** what either estimator says as you push `steepness` from a gentle ramp to a jump. Watch
# the standard deviation in the titles, too.
#
# Three things to try: start at 1 and watch both standard deviations on the way to 1000; take the
# last step, to a jump; there, move $\mu$ over the edge and see who notices.

# %% tags=["break-it"] jupyter={"source_hidden": true}
jump = figures.step_estimates(0.5, float("inf"), R=2000)
seen = intervals.of_mean(jump["score function"], "repetitions")
show_widget(
    figures.play_cliff(),
    figures.cliff(0.5, "a jump"),
    alt=(
        "A step function; the score function's estimates surround the truth, the pathwise ones are"
        " all exactly 0."
    ),
    caption=(
        f"At a jump the pathwise mean is {jump['pathwise'].mean():.3f} with a standard deviation of"
        f" {jump['pathwise'].std():.3f}: no noise at all, and wrong."
    ),
)
plot.markdown(
    f"At the jump the score function's mean is {seen:.3f}, the truth"
    f" {figures.step_slope(0.5, float('inf')):.3f} (S = 10; {seen.basis})."
)

# %% [markdown]
# At a jump every sample stands on flat ground, so the slope is 0 for each of them: a variance of
# zero, and no truth in it. The exchange of gradient and average, which the pathwise derivation took
# for granted, needs an $f$ without jumps. torch raises no error for `round`, `floor` or `sign`: it
# has defined their slope as 0.
#
# Just *before* it fails, the estimator warns you. **Predict:** how loud is it on a ramp that gets
# steeper?

# %%
steepness = [0.5, 1, 2, 5, 10, 20, 50, 100, 200]
found = [figures.step_estimates(0.5, k, S=1, R=20_000) for k in steepness]
spread = {
    name: [estimates[name].std().item() for estimates in found]
    for name in ("score function", "pathwise")
}

# %% jupyter={"source_hidden": true}
crossing = next(k for k, a, b in zip(steepness, *spread.values(), strict=True) if b > a)
silent = (found[-1]["pathwise"].abs() < 1e-6).float().mean()
plot.show(
    figures.step_lines(steepness, spread),
    alt=(
        "Standard deviation against steepness: rising for the pathwise estimator, flat for the"
        " score function; they cross."
    ),
    caption=(
        f"From k = {crossing:g} on the pathwise estimator is the louder one. At k ="
        f" {steepness[-1]} a share of {silent:.0%} of its estimates is 0, and the few others carry"
        " all: a heavy tail. 20,000 repetitions."
    ),
)
plot.markdown(
    "In log-log the pathwise deviation grows with slope"
    f" {slope(steepness[4:], spread['pathwise'][4:]):.2f}."
)

# %% [markdown]
# The cure: use the score function for what is rough, or smooth $f$ itself. A VAE with a Gaussian
# code and a smooth decoder never meets the problem, because $\log p_\theta(\mathbf{x}|\mathbf{z})$
# has a slope at every $\mathbf{z}$.

# %% [markdown]
# ## The lecture's claim, and what you measured

# %% jupyter={"source_hidden": true}

behind = {
    run: intervals.of_mean(tested[PATH] - tested[run], "seeds", comparisons=len(RUNS) - 1)
    for run in RUNS[1:]
}
plot.markdown(
    "| encoder's gradient | nats behind pathwise, S = 1 |",
    "|:--|--:|",
    *(f"| {name_of[run]} | {found.said('.1f')} |" for run, found in behind.items()),
    "",
    (
        f"*Test ELBO of a small VAE, {EPOCHS} epochs of {len(train):,} digits;"
        f" {behind[LOUD].basis}.*"
    ),
)

claims = {
    25: "sampling is the problem for the gradient, and a non-centred parameterization solves it"
}
loud, quiet = louder["score function"], louder["score function with baseline"]
measured = {
    "claim-25": (
        f"at the same S the plain score function's gradient has {loud:,.0f} times the pathwise"
        f" variance, with a leave-one-out baseline {quiet:,.0f} times ({loud.basis}); a small VAE"
        f" ends {behind[LOUD].said('.1f')} nats behind with it ({SEEDS} seeds, S = 1)"
    )
}
plot.claims_table(claims, measured)

# %% [markdown]
# It holds, with a footnote. For a Gaussian encoder and a smooth decoder one sample a step trained
# the model. But the trick is not the only way: the baseline's row says how much of the gap it
# closes, and the row of four samples without one that it is not done by more decodings alone. And
# it needs a path: no coins, no cliffs.
#
# | | score function | pathwise (reparameterized) |
# |---|---|---|
# | needs of $f$ | its values | its gradient, and no jumps |
# | needs of $q$ | $\nabla \log q$ | a smooth path from fixed noise to $\mathbf{z}$ |
# | discrete $\mathbf{z}$ | yes | no; a relaxation is biased |
# | variance against $S$ | $1/S$ | $1/S$ |
# | variance against $d$, here | $d^2$; with a baseline $d$ | constant |
# | adding a constant to $f$ | changes the variance | changes nothing |
# | steep $f$ | no matter | variance grows, then silent error |
# | used in | reinforcement learning, discrete latents | VAEs, flows, diffusion models |

# %% [markdown]
# ## Questions
#
# <details><summary>1. Training uses one sample a step, S = 1. Why is that enough?</summary>
#
# The gradient is averaged over the batch and, by the optimiser, over steps. Each image has its own
# noise, so a batch of 100 averages 100 samples. Only the total noise matters, and that of choosing
# the batch is in it, too, whatever S.
# </details>
#
# <details><summary>2. Your ELBO contains −log q(z|x) at the sample. You write z = q.sample(). Autograd returns a gradient
# for the encoder. What is it?</summary>
#
# That of $-\log q$ at fixed $\mathbf{z}$, the negative score. Its average is $-\mathbb E_q[\nabla
# \log q] = 0$: pure noise around zero. No error, no signal.
# </details>
#
# <details><summary>3. Why does the leave-one-out baseline leave out the sample itself?</summary>
#
# With it the baseline depends on $\mathbf{z}_s$ and may no longer be pulled out of the expectation.
# The estimate shrinks by the factor $(S-1)/S$: for $S = 2$ half the gradient is gone.
# </details>
#
# <details><summary>4. All rows of a batch share one ε. Is the gradient biased?</summary>
#
# No: each row's estimate is still right on average. But the rows' errors no longer cancel, so the
# batch's gradient is as noisy as that of one row.
# </details>
#
# <details><summary>5. σ shrinks towards 0. What happens to either estimator's variance for f(z) = −z²?</summary>
#
# Pathwise: the slope $-2z$ varies by $2\sigma$, so the variance $4\sigma^2$ vanishes. Score
# function: $f$ hardly varies, but it is multiplied by $(z - \mu)/\sigma^2$, which has standard
# deviation $1/\sigma$: the variance explodes unless a baseline removes $f(\mu)$.
# </details>

# %% [markdown]
# ## Sources
#
# - Kingma & Welling, *Auto-Encoding Variational Bayes*, ICLR 2014. Rezende, Mohamed & Wierstra,
#   *Stochastic Backpropagation and Approximate Inference in Deep Generative Models*, ICML 2014: the
#   trick in the VAE.
# - Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
#   Learning*, Machine Learning 1992: REINFORCE and the baseline.
# - Glasserman, *Monte Carlo Methods in Financial Engineering*, Springer 2003, chapter 7: both
#   estimators, and when the pathwise one fails.
# - Mohamed, Rosca, Figurnov & Mnih, *Monte Carlo Gradient Estimation in Machine Learning*, JMLR
#   2020: the survey.
# - Mnih & Rezende, *Variational Inference for Monte Carlo Objectives*, ICML 2016; Kool, van Hoof &
#   Welling, *Buy 4 REINFORCE Samples, Get a Baseline for Free!*, 2019: the leave-one-out baseline.
# - Maddison, Mnih & Teh, *The Concrete Distribution*, ICLR 2017; Jang, Gu & Poole, *Categorical
#   Reparameterization with Gumbel-Softmax*, ICLR 2017. Figurnov, Mohamed & Mnih, *Implicit
#   Reparameterization Gradients*, NeurIPS 2018.
#
# Next: [09, can the posterior bend?](09_normalizing_flows.ipynb)
