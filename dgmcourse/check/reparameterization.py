"""Checks of notebook 08: the score-function estimate, the reparameterized sample, the encoder's head.

The truth comes from the score of a Gaussian written out, from arithmetic on single numbers and the
moments of a Gaussian; never from the code that is asked for.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Draws, Every, Function, called, randn, tensor
from dgmcourse.check._progress import progress as progress
from dgmcourse.densities import Gaussian, check_shape

# ---- the course's own answers


def _score_function(f, q, parameters, S):
    z = q.sample((S,))
    surrogate = (f(z).detach() * q.log_prob(z)).mean()
    return torch.autograd.grad(surrogate, parameters)


def _reparameterize(mean, log_var, noise=None):
    if noise is None:
        noise = torch.randn_like(mean)
    return mean + torch.exp(0.5 * log_var) * noise


def _gaussian_head(output):
    mean, log_var = output.chunk(2, dim=-1)
    return mean, torch.exp(0.5 * log_var)


# ---- the score function


class Recorded(Gaussian):
    """A q(z) that gives everybody the same draws, and remembers them."""

    def __init__(self, mean: Tensor, log_var: Tensor):
        super().__init__(mean, log_var)
        torch.rand(1)  # no seed leads to this state
        self.drawn, self.state = [], torch.get_rng_state()

    def sample(self, shape=()) -> Tensor:
        (noise,) = randn(len(self.drawn), (*check_shape(shape), len(self.mean)))
        self.drawn.append((self.mean + torch.exp(0.5 * self.log_var) * noise).detach())
        return self.drawn[-1].clone()

    def rsample(self, shape=()) -> Tensor:
        raise Wrong(
            "you drew z with q.rsample, which moves with the parameters: log q(mu + sigma eps) then"
            " loses their influence and the gradient for the mean is 0. Draw with q.sample((S,))."
        )

    def asked_for(self, S: int) -> Tensor:
        """The S samples that an answer has drawn."""
        if not self.drawn:
            raise Wrong(
                "draw the samples with z = q.sample((S,)), so that they come from the q you were given."
            )
        z = torch.cat([z.reshape(-1, len(self.mean)) for z in self.drawn])
        if len(z) != S:
            raise Wrong(
                f"you drew {len(z)} samples where S = {S}: ask for S samples, q.sample((S,)), once, and"
                " take f and log q of the same ones."
            )
        if not torch.equal(self.state, torch.get_rng_state()):
            raise Wrong(
                "set no seed within your function, and draw nothing but z: it is random enough."
            )
        return z


def with_q(mean: Tensor, log_var: Tensor, S: int, f_of):
    parameters = [mean.requires_grad_(), log_var.requires_grad_()]
    for p in parameters:
        p.grad = torch.ones_like(p)  # of an earlier backward()
    q = Recorded(mean, log_var)
    return f_of(q), q, parameters, S


def two_gradients(value, name: str) -> Tensor:
    """One row for each parameter."""
    several = isinstance(value, tuple | list) and all(isinstance(g, Tensor) for g in value)
    if several and len(value) == 2 and value[0].shape == value[1].shape:
        value = torch.stack(list(value))
    if not isinstance(value, Tensor) or value.dim() != 2 or len(value) != 2:
        raise Wrong(
            "return one gradient for each of `parameters`, of its shape: a list, or what"
            " torch.autograd.grad returns."
        )
    return value


@torch.no_grad()
def averaged(f, q, z, weigh=lambda values: values) -> Tensor:
    """The average of f(z), as it is weighed, times the gradient of log q(z), for mean and log_var."""
    off = (z - q.mean) / q.log_var.exp()
    score = torch.stack([off, 0.5 * (off * (z - q.mean) - 1)])
    return (weigh(f(z))[:, None] * score).mean(1)


def others(values: Tensor) -> Tensor:
    """For each value, the mean of the others."""
    return (values.sum() - values) / (len(values) - 1)


def plain_estimate(f, q, parameters, S):
    return averaged(f, q, q.asked_for(S))


def estimate_with_baseline(f, q, parameters, S):
    return averaged(f, q, q.asked_for(S), lambda values: values - others(values))


def row(k: int, weigh=lambda values: values):
    """A term: the estimate for one of the two parameters."""
    only = torch.eye(2, dtype=torch.float64)[k][:, None]
    return lambda f, q, parameters, S: (
        only * averaged(f, q, q.drawn[0] if q.drawn else q.sample((S,)), weigh)
    )


def surrogate(of):
    """A slip: the gradient of another function of f(z) and log q(z)."""

    def estimate(f, q, parameters, S):
        z = q.sample((S,))
        return torch.stack(torch.autograd.grad(of(f(z), q.log_prob(z)), parameters))

    return estimate


class Either:
    """Judges of one exercise that has several right answers. The first one says what is wrong."""

    def __init__(self, *judges):
        self.judges, self.slips = judges, judges[0].slips

    def __call__(self, answer) -> str:
        faults = []
        for judge in self.judges:
            try:
                return judge(answer)
            except Wrong as wrong:
                faults.append(wrong)
        raise faults[0]

    def fresh(self, seed: int) -> "Either":
        return Either(*(judge.fresh(seed) for judge in self.judges))


def polynomial(q):
    return lambda z: (z**2).sum(-1) - z.prod(-1) - 2


def surprise(q):
    """It depends on the parameters itself, as the ELBO does."""
    return lambda z: -q.log_prob(z)


def step(q):
    return lambda z: (z[..., 0] > 0).double()


Q = [0.5 * x for x in randn(0, (3,), (3,))]
LEAK = (
    "for an f that depends on the parameters itself, as the ELBO does, your gradient also runs through"
    " f: detach f(z)"
)
ASKED = {
    "outputs": "the estimate",
    "given": with_q,
    "kind": two_gradients,
    "learn": (),
    "random": True,
    "cases": [(*Q, 5, polynomial), (*Q, 7, surprise), (*Q, 4, polynomial)],
}

score_function = Exercise(
    name="score_function",
    solution=_score_function,
    judge=Either(
        Function(
            truth=plain_estimate,
            edges=[
                *("for one sample, S = 1", "", (*Q, 1, polynomial)),
                *("for an f without slope", "its values are enough", (*Q, 6, step)),
                *("in one dimension", "", (Q[0][:1], Q[1][:1], 5, step)),
            ],
            slips=[
                LEAK,
                surrogate(lambda f, log_q: (f * log_q).mean()),
                LEAK,
                surrogate(lambda f, log_q: ((f - others(f.detach())) * log_q).mean()),
                "you subtracted the mean of all S values, the sample's own among them. That is no longer"
                " right on average: the estimate shrinks by (S - 1)/S. Subtract nothing, or the mean of"
                " the other values",
                surrogate(lambda f, log_q: ((f - f.mean()).detach() * log_q).mean()),
                "it is S times too large: average over the samples instead of summing",
                surrogate(lambda f, log_q: (f.detach() * log_q).sum()),
                "the sign is turned: return the gradient of the average, not of a loss",
                surrogate(lambda f, log_q: -(f.detach() * log_q).mean()),
                "you divided by S - 1: it is the mean over S samples",
                surrogate(lambda f, log_q: (f.detach() * log_q).sum() / (len(f) - 1)),
                "you multiplied f by the gradient of q itself. The samples already come with probability"
                " q(z): what is left to multiply by is the gradient of log q(z)",
                surrogate(lambda f, log_q: (f.detach() * log_q.exp()).mean()),
                "f has no influence: that is the average of grad log q(z) alone, which estimates 0",
                surrogate(lambda f, log_q: log_q.mean()),
                "you averaged f(z) and log q(z) first and multiplied then. Multiply sample by sample, then"
                " average: it is how f and log q vary together that holds the gradient",
                surrogate(lambda f, log_q: f.detach().mean() * log_q.mean()),
                "called a second time with the same tensors it gives more: .backward() adds to what .grad"
                " holds already. Use torch.autograd.grad, which returns the gradients and keeps nothing",
                lambda f, q, parameters, S: 1 + averaged(f, q, q.sample((S,))),
            ],
            terms={
                "the estimate for mean": row(0),
                "the estimate for log_var": row(1),
                "grad log q(z) for mean, without f,": row(0, torch.ones_like),
                "grad log q(z) for log_var, without f,": row(1, torch.ones_like),
            },
            errors={
                "does not require grad": (
                    "what you differentiate has no gradient: z has none, as it should. It is"
                    " q.log_prob(z), weighed by f(z), that depends on the parameters"
                )
            },
            praise="f's values were enough: the estimate is the average of f(z) times the gradient of log"
            " q(z), to {trial.off:.0e}.",
            **ASKED,
        ),
        Function(
            truth=estimate_with_baseline,
            praise="unbiased, and quieter than what was asked: you compare each value with the mean of the"
            " others, which does not depend on this sample. The notebook calls it a baseline and comes to"
            " it below. It needs S of 2 or more.",
            **ASKED,
        ),
    ),
    hints=[
        "The samples don't move with the parameters: z = q.sample((S,)). What does move is log q(z),"
        " q.log_prob(z).",
        "Build one number whose gradient is the estimate: the average over s of f(z_s) times log q(z_s).",
        "f(z) only weighs: f(z).detach(). Then return torch.autograd.grad(surrogate, parameters).",
    ],
)


# ---- the reparameterized sample

WIDTHS = {  # what may stand in sigma's place
    "exp(log_var) is the variance: sigma is its square root, exp(log_var / 2)": torch.exp,
    "log_var stands for sigma, as it is: turn it into a standard deviation, exp(log_var / 2)": torch.clone,
    "log_var / 2 is the logarithm of sigma: take exp of it": lambda v: v / 2,
    "the 1/2 belongs inside the exponential: exp(log_var / 2), not exp(log_var) / 2": lambda v: (
        v.exp() / 2
    ),
    "sigma is the square root of the variance, not its square: exp(log_var / 2)": lambda v: (
        torch.exp(2 * v)
    ),
    "softplus gives a positive sigma, and is a fine choice elsewhere. Here you have log sigma^2, so sigma"
    " is exp(log_var / 2)": F.softplus,
    "the absolute value is not smooth at 0, and two log_var mean the same sigma. It is"
    " exp(log_var / 2)": torch.abs,
    "a clipped sigma is exactly 0 for half of all log_var, and no gradient brings it back. It is"
    " exp(log_var / 2)": torch.relu,
}
NEGATIVE = "a square root or a logarithm of log_var, which may be negative? Take exp of it instead"
CLIPPED = "don't clip, and don't add a constant"


def by_number(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    numbers = zip(*(x.flatten().tolist() for x in (mean, log_var, noise)), strict=True)
    z = [m + math.exp(v / 2) * e for m, v, e in numbers]
    return torch.tensor(z, dtype=torch.float64).view(mean.shape)


def moments(z: Tensor) -> Tensor:
    """Of each number and its square, and of the first times the others."""
    return torch.cat([z, z**2, z[:, :1] * z[:, 1:]], 1)


def expected_moments(mean: Tensor, log_var: Tensor) -> Tensor:
    return torch.cat([mean, mean**2 + log_var.exp(), mean[:, :1] * mean[:, 1:]], 1)


def scaled(width):
    """A slip: z with something else in sigma's place."""
    return lambda mean, log_var, noise: mean + width(log_var) * noise


def noisy(change):
    """A slip: z with other noise."""
    return lambda mean, log_var, noise: mean + (log_var / 2).exp() * change(noise)


def drawing(draw, change=lambda z: z):
    """A slip: right with the noise that is given, but drawing other noise."""

    def z(mean, log_var, noise=None):
        sigma = (log_var / 2).exp()
        return change(mean + sigma * draw(mean)) if noise is None else mean + sigma * noise

    return z


def lets_gradients_through(answer) -> None:
    """Raise Wrong if z has no gradient, which is worse than whatever else is wrong with it."""
    mean, log_var, noise = (x.clone() for x in GIVEN)
    learned = [mean.requires_grad_(), log_var.requires_grad_()]
    with torch.random.fork_rng(devices=[]):
        z = tensor(called(answer, {"mean": mean, "log_var": log_var, "noise": noise}), "z")
    if z.requires_grad:
        slopes = torch.autograd.grad(z.sum(), learned, None, True, materialize_grads=True)
    if not z.requires_grad or not any(slope.any() for slope in slopes):
        raise Wrong(
            "z has no gradient: .sample() and .detach() cut it off, and of torch.normal(mean, std)"
            " torch defines the derivative as 0. Scale and shift the noise yourself."
        )


GIVEN = [0.5 * x for x in randn(1, (5, 3), (5, 3), (5, 3))]
EXTREME = torch.tensor([-60.0, 20.0, 1.0], dtype=torch.float64).expand(5, 3)
SEVERAL = "you used one noise number for several entries of z: noise has one for each, multiply elementwise"

reparameterize = Exercise(
    name="reparameterize",
    solution=_reparameterize,
    judge=Every(
        lets_gradients_through,
        Function(
            "z",
            truth=by_number,
            rows="mean log_var noise",
            learn=("mean", "log_var"),
            cases=[GIVEN],
            edges=[
                *("for log_var of -60 and 20", CLIPPED, (GIVEN[0], EXTREME, GIVEN[2])),
                *("for a noise of zeros", "only None means: draw it", (*GIVEN[:2], 0 * GIVEN[2])),
                *(
                    "for single vectors, of shape (3,)",
                    "any one shape may come",
                    [x[0] for x in GIVEN],
                ),
            ],
            slips=[
                *(x for words, width in WIDTHS.items() for x in (words, scaled(width))),
                "the noise is not scaled: multiply it by sigma = exp(log_var / 2)",
                scaled(torch.ones_like),
                "the mean is scaled too: multiply only the noise by sigma, then add the mean",
                lambda mean, log_var, noise: (log_var / 2).exp() * (mean + noise),
                "use the noise you are given, draw only if it is None",
                noisy(torch.randn_like),
                SEVERAL,
                noisy(lambda noise: noise[:1]),
                SEVERAL,
                noisy(lambda noise: noise[..., :1]),
            ],
            terms={
                "the mean": lambda mean, log_var, noise: mean,
                "sigma * noise": lambda mean, log_var, noise: (log_var / 2).exp() * noise,
            },
            nan=NEGATIVE,
        ),
        Draws(
            "z",
            truth=expected_moments,
            rows="mean log_var",
            event=(3,),
            copies=1300,
            moments=moments,
            cases=[[GIVEN[0][:3], -GIVEN[1][:3].abs()]],
            slips=[
                "torch.rand is uniform, between 0 and 1: you need the Gaussian torch.randn",
                drawing(torch.rand_like),
                "all dimensions of a row share one noise number, so z lies on a line: draw"
                " torch.randn_like(mean)",
                drawing(lambda mean: torch.randn(len(mean), 1)),
                "with noise of its own z has no gradient: .sample() and .detach() cut it off, and of"
                " torch.normal(mean, std) torch defines the derivative as 0. Draw torch.randn_like(mean)"
                " and scale it yourself",
                drawing(torch.randn_like, torch.detach),
            ],
            terms={
                "the mean": lambda mean, log_var: expected_moments(mean, log_var - math.inf),
                "the variance, exp(log_var),": lambda mean, log_var: expected_moments(
                    0 * mean, log_var
                ),
            },
            shared="every row of the batch got the same noise: draw one number for each entry,"
            " torch.randn_like(mean)",
            praise="the gradient flows through your sample, to the mean and to the log-variance. Over 1,300"
            " draws of your own noise the first z^2 averages {trial.found[0].value[0][3]:.3f} +-"
            " {trial.found[0].error[0][3]:.3f}, where {trial.truth[0].value[0][3]:.3f} is right.",
        ),
    ),
    hints=[
        "Start with the noise: if it is None, draw one standard Gaussian number for each entry of mean.",
        "log_var is log sigma^2. What function of it is sigma?",
        "sigma = torch.exp(0.5 * log_var), noise = torch.randn_like(mean), and z is the mean plus sigma"
        " times the noise.",
    ],
)


# ---- the head of the encoder


def column_by_column(output: Tensor) -> tuple[Tensor, Tensor]:
    columns = output.unbind(-1)
    D = len(columns) // 2
    sigma = [torch.pow(math.e, columns[D + d] / 2) for d in range(D)]
    return torch.stack(columns[:D], -1), torch.stack(sigma, -1)


def halves(change):
    """A slip, of the two halves."""
    return lambda output: change(*output.split(output.shape[-1] // 2, -1))


def sigma_of(width):
    """A slip: sigma, with something else in its place."""
    return halves(lambda mean, log_var: width(log_var))


def sd(log_var: Tensor) -> Tensor:
    return torch.exp(log_var / 2)


def columns(name: str, half: str, starts: list[int], change=torch.clone) -> list:
    """Slips: other slices of three columns."""

    def cut(start):
        return lambda output: change(output[:, start : start + 3])

    words = [
        f"{name} is made of the columns {i} to {i + 2} of 0 to 5: it is the {half}" for i in starts
    ]
    return [x for said, i in zip(words, starts, strict=True) for x in (said, cut(i))]


(OUTPUT,) = randn(2, (4, 6))
(WIDER,) = randn(3, (3, 10))
MIDDLE = (
    "cut in the middle, wherever that is: output.chunk(2, dim=-1), or d = output.shape[-1] // 2"
)
SWAPPED = "the halves are swapped: the first is the mean, the second the log-variance"
AS_IT_IS = "the mean is the first half of the output as it is: any real number is a valid mean"
SECOND = (
    "you took every second number: the first half of the last axis is the mean, the rest log_var"
)
SHAPES = [(2, 6), "you cut the batch in two: cut the last axis, output.chunk(2, dim=-1)"]
for shape in ((4,), (4, 1), (4, 2), (4, 4), (4, 5), (4, 6)):
    SHAPES += [shape, "it is half of the 6 columns, d = output.shape[-1] // 2 of them"]

gaussian_head = Exercise(
    name="gaussian_head",
    solution=_gaussian_head,
    judge=Function(
        ("the mean", "sigma"),
        truth=column_by_column,
        rows="output",
        rtol=1e-9,
        cases=[[OUTPUT]],
        edges=[
            *("for an output of 10 columns", MIDDLE, [WIDER]),
            *("for an output of 2 columns", MIDDLE, [WIDER[:, :2]]),
            *("for log_var of -60 and 20", CLIPPED, [torch.cat([OUTPUT[:, :3], EXTREME[:4]], 1)]),
        ],
        slips={
            "the mean": [
                SECOND,
                lambda output: output[:, ::2],
                SWAPPED,
                halves(lambda mean, log_var: log_var),
                SWAPPED,
                sigma_of(sd),
                *columns("the mean", "first half, 0 to 2", [1, 2]),
                AS_IT_IS,
                halves(lambda mean, log_var: mean.tanh()),
                AS_IT_IS,
                halves(lambda mean, log_var: sd(mean)),
            ],
            "sigma": [
                *(x for words, width in WIDTHS.items() for x in (words, sigma_of(width))),
                *columns("sigma", "second half, 3 to 5", [0, 1, 2], sd),
            ],
        },
        shapes={"the mean": SHAPES, "sigma": SHAPES},
        nan=NEGATIVE,
        praise="any output gives a sigma above 0 with a gradient of its own: even a log_var of -60 gives"
        f" {math.exp(-30):.0e}, and not one NaN.",
    ),
    hints=[
        "output.chunk(2, dim=-1) cuts the last axis into two halves.",
        "The first half is the mean. The second is log sigma^2: sigma = exp(log_var / 2).",
    ],
)
