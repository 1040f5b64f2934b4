"""Checks of notebook 05: the earth-mover distance of sorted samples, the critic's objective,
clipping.

The truth comes from an assignment solver, from a critic written out in numpy at the points it was
asked about, and from comparing every weight with a list.
"""

import numpy as np
import torch
from torch import Tensor, nn

from dgmcourse.check._exercise import Blank, Exercise, Wrong
from dgmcourse.densities import Gaussian

# ---- the course's own answers


def _wasserstein_1d(x: Tensor, y: Tensor) -> Tensor:
    return (x.sort().values - y.sort().values).abs().mean()


def _critic_objective(x: Tensor, prior, generator, critic) -> Tensor:
    z = prior.sample((len(x),))
    return (critic(x) - critic(generator(z))).squeeze(-1)


@torch.no_grad()
def _clip_weights(critic, c: float):
    for p in critic.parameters():
        p.clamp_(-c, c)
    return critic


# ---- the distance of two samples on a line


def _judge_wasserstein_1d(wasserstein_1d) -> str:
    random = torch.Generator().manual_seed(0)
    N = 40
    x = torch.randn(N, generator=random, dtype=torch.float64)
    y = 0.4 * torch.randn(N, generator=random, dtype=torch.float64) + 0.3 * x.flip(0) + 0.5
    kept = x.clone(), y.clone()
    try:
        value = wasserstein_1d(x, y)
    except (TypeError, NotImplementedError, RuntimeError) as error:
        if "return_types.sort" in str(error):
            raise Wrong(
                "x.sort() gives two tensors, the sorted values and where they stood: take"
                " x.sort().values."
            ) from None
        if "'list' and 'list'" in str(error):
            raise Wrong(
                "sorted(x) makes a list, and lists can't be subtracted: x.sort().values is a"
                " tensor."
            ) from None
        if "Long" in str(error):  # the mean of whole numbers
            raise Wrong(
                "you compare the places the points came from, whole numbers: take x.sort().values."
            ) from None
        raise
    if not (torch.equal(x, kept[0]) and torch.equal(y, kept[1])):
        raise Wrong(
            "you changed the samples you were given: sort copies, x.sort().values, not x in place."
        )
    if isinstance(value, Tensor) and value.shape == (N, N):
        raise Wrong(
            f"the result has shape {(N, N)}: all pairs. Only partners in the sorted order count."
        )
    if isinstance(value, Tensor) and value.shape == (N,):
        raise Wrong(
            f"the result has shape {(N,)}, one distance for each pair: average them, .mean()."
        )
    if isinstance(value, Tensor) and value.shape == (1,):
        raise Wrong("the result has shape (1,): one number has none, (). Leave out keepdim.")
    value = _number(value, "wasserstein_1d")
    truth = _by_assignment(x, y)
    a, b = x.numpy(), y.numpy()
    sa, sb = np.sort(a), np.sort(b)
    places = np.argsort(a), np.argsort(b)
    _match(
        value,
        truth,
        "wasserstein_1d",
        {
            "you added up the work of all points: each carries a mass of 1/N, so take the mean": (
                truth * N
            ),
            "you paired the points in the order they came: sort both samples first": (
                np.abs(a - b).mean()
            ),
            "only x is sorted: sort both": np.abs(sa - b).mean(),
            "only y is sorted: sort both": np.abs(a - sb).mean(),
            "one sample is sorted upwards and the other downwards: the smallest goes to the smallest": (
                np.abs(sa - sb[::-1]).mean()
            ),
            "you compare the places the points came from: take x.sort().values": (
                np.abs(places[0] - places[1]).mean()
            ),
            "half of it: there is no factor": truth / 2,
            "you took the size of each point, not of each difference: (x - y).abs(), after sorting": np.mean(
                np.abs(sa) - np.abs(sb)
            ),
            "that is the norm of the differences: take the mean of their absolute values": np.sqrt(
                ((sa - sb) ** 2).sum()
            ),
            "you squared the distances: earth moved twice as far is twice the work, not four times. Use .abs()": (
                ((sa - sb) ** 2).mean()
            ),
            "that is the root of the mean square, W2: W1 is the mean of the absolute differences": (
                np.sqrt(((sa - sb) ** 2).mean())
            ),
            "without .abs() the moves to the left cancel those to the right: the difference of the means is left": -abs(
                (sa - sb).mean()
            ),
            "that is the distance of the two means, moves to the left cancel those to the right: take .abs() of each difference first": abs(
                (sa - sb).mean()
            ),
            "that is the largest move: take the mean of all": np.abs(sa - sb).max(),
            "that is the median move: take the mean": float(torch.tensor(np.abs(sa - sb)).median()),
            "that is the mean over all N x N pairs, which is not 0 for x and x: only partners in the sorted order count": (
                np.abs(a[:, None] - b).mean()
            ),
        },
    )
    one = _number(wasserstein_1d(x[:1], y[:1]), "wasserstein_1d")
    _match(one, abs(a[0] - b[0]), "for one point each wasserstein_1d", {})
    far = _number(wasserstein_1d(x, x.flip(0) + 7), "wasserstein_1d")
    _match(far, 7.0, "for a sample and itself, shifted by 7, wasserstein_1d", {})
    return (
        f"the best of all {N}! matchings of two samples of {N} points has the same work,"
        f" {truth:.4f}."
    )


def _by_assignment(x: Tensor, y: Tensor) -> float:
    """The work of the cheapest one-to-one matching, found by a solver that knows nothing of
    order.
    """
    from scipy.optimize import linear_sum_assignment

    cost = np.abs(x.numpy()[:, None] - y.numpy())
    return float(cost[linear_sum_assignment(cost)].mean())


# ---- the critic's objective


class _Generator(nn.Module):
    """G(z) = A z + b, with a memory of the codes it was given."""

    def __init__(self):
        super().__init__()
        self.A = nn.Parameter(
            torch.tensor([[1.0, 0.5], [0.0, 1.0], [-1.0, 0.3]], dtype=torch.float64)
        )
        self.b = nn.Parameter(torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64))
        self.asked = []

    def forward(self, z: Tensor) -> Tensor:
        if z.dim() > 2:
            raise Wrong(
                f"the generator got {tuple(z.shape)}: one z for each x, and prior.sample wants how"
                " many, not how wide. prior.sample((len(x),))."
            )
        if z.shape[-1] != 2:
            raise Wrong(
                f"the generator got {tuple(z.shape)}: it turns codes z of 2 dimensions into x. Draw"
                " z from the prior."
            )
        z = z.to(self.A)
        self.asked.append(z.detach().clone())
        return z @ self.A.mT + self.b


class _Critic(nn.Module):
    """D(x) = w . x + x . x / 10, real numbers of both signs."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.5, -1.0, 0.5], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != 3:
            raise Wrong(
                f"the critic got {tuple(x.shape)}: it judges x of 3 dimensions. Send z through the"
                " generator first."
            )
        return (x @ self.w + 0.1 * (x * x).sum(-1)).unsqueeze(-1)


class _Prior(Gaussian):
    def sample(self, shape=()) -> Tensor:
        if not isinstance(shape, tuple | list):
            raise Wrong(
                "prior.sample wants a shape, a tuple: prior.sample((len(x),)), with its comma. You"
                f" gave it {shape}."
            )
        return super().sample(shape)


def _judge_critic_objective(critic_objective) -> str:
    B = 300
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(B, 3, dtype=torch.float64)
        centre = torch.tensor(
            [3.0, -2.0], dtype=torch.float64
        )  # not N(0, I): p(z) is whatever `prior` says
        prior, generator, critic = (
            _Prior(centre, torch.zeros(2, dtype=torch.float64)),
            _Generator(),
            _Critic(),
        )
        value = critic_objective(x, prior, generator, critic)
    if isinstance(value, tuple):
        raise Wrong(f"return one tensor, the objective: you return {len(value)} things.")
    if not isinstance(value, Tensor):
        raise Wrong(f"the objective should be a tensor, it is {type(value).__name__}.")
    if not generator.asked:
        raise Wrong(
            "the generator was not asked for fakes: draw z from the prior and judge generator(z),"
            " too."
        )
    z = generator.asked[-1]
    if value.shape == (B, B):
        raise Wrong(
            f"the objective has shape {(B, B)}: one part was (B, 1), the other (B,), and their"
            " difference is a table. Squeeze the last axis of both, .squeeze(-1)."
        )
    if value.shape == (B, 1):
        raise Wrong(
            f"the objective has shape {(B, 1)}: the critic answers with a column. Drop it with"
            " .squeeze(-1)."
        )
    if value.dim() == 0:
        raise Wrong(
            "the objective is one number for the whole batch: keep one for each x, (B,). maximise"
            " takes the mean."
        )
    if z.shape != (B, 2):
        raise Wrong(
            f"you drew codes of shape {tuple(z.shape)} for {B} data: one z for each x,"
            " prior.sample((len(x),))."
        )
    if value.shape != (B,):
        raise Wrong(f"the objective has shape {tuple(value.shape)}, expected {(B,)}.")
    if z.std(0).max() < 1e-9:
        raise Wrong(
            "every fake comes from the same z: draw one for each x, prior.sample((len(x),))."
        )
    if ((z.mean(0) - centre).abs() > 6 / B**0.5).any():
        raise Wrong("you drew z from N(0, I), whatever the prior is: use prior.sample.")
    weight = critic.w.detach().numpy()

    def judged(points: np.ndarray) -> np.ndarray:
        return points @ weight + 0.1 * (points**2).sum(-1)

    data = x.numpy()
    fakes = z.numpy() @ generator.A.detach().numpy().T + generator.b.detach().numpy()
    real, fake = judged(data), judged(fakes)

    def sigmoid(logit):
        return 1 / (1 + np.exp(-logit))

    def log_sigmoid(logit):
        return -np.logaddexp(0, -logit)

    found = value.detach().numpy()
    if np.isnan(found).any():
        raise Wrong(
            "the objective is not a number where the critic answers below 0: no logarithm, take its"
            " answers as they are."
        )
    _match(
        found,
        real - fake,
        "the objective",
        {
            "the sign is turned round: the critic wants D high on real data and low on fakes, D(x) - D(G(z))": (
                fake - real
            ),
            "you added the two terms: the critic is paid for D(x) and pays for D(G(z))": (
                real + fake
            ),
            "you forgot the fakes: subtract D(G(z))": real,
            "you forgot the data: D(x) - D(G(z))": -fake,
            "that is the generator's: it maximises D(G(z)), the critic D(x) - D(G(z))": fake,
            "that is the GAN's objective: a critic's answer is no logit, take D(x) and D(G(z)) as they are": (
                log_sigmoid(real) + log_sigmoid(-fake)
            ),
            "a sigmoid squeezes the critic's answers into (0, 1): take them as they are": (
                sigmoid(real) - sigmoid(fake)
            ),
            "a logarithm of probabilities: the critic's answers are real numbers, take them as they are": (
                log_sigmoid(real) - log_sigmoid(fake)
            ),
            "the absolute value makes the critic's order of real and fake free: leave it out": (
                np.abs(real - fake)
            ),
            "you squared it: the difference itself": (real - fake) ** 2,
            "you took the mean over the fakes already: one z for each x, and maximise averages": (
                real - fake.mean()
            ),
            "half of it: there is no factor": (real - fake) / 2,
        },
    )
    if not value.requires_grad:
        raise Wrong(
            "the objective has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )
    (slope,) = torch.autograd.grad(value.sum(), [critic.w], allow_unused=True)
    slope = np.zeros(3) if slope is None else slope.numpy()
    from_data, from_fakes = data.sum(0), -fakes.sum(0)
    if not np.allclose(slope, from_data + from_fakes, rtol=1e-6):
        if np.allclose(slope, from_data):
            raise Wrong(
                "no gradient comes from the fakes: critic(generator(z).detach()) spares the"
                " generator, critic(generator(z)).detach() silences the critic."
            )
        if np.allclose(slope, from_fakes):
            raise Wrong("no gradient comes from the data: no .detach() on critic(x).")
        raise Wrong(
            "the objective's value is right, its gradient for the critic is not: is part of it cut"
            " off?"
        )
    return (
        f"{B} differences and their gradient for the critic agree with the critic written out by"
        " hand."
    )


# ---- clipping


def _judge_clip_weights(clip_weights) -> str:
    C = 0.25
    critic, before = _three_layers()
    parameters = list(critic.parameters())
    for p in parameters:
        p.grad = torch.ones_like(p)
    try:
        result, returned = clip_weights(critic, C), True
    except Blank:
        if all(torch.equal(p, was) for p, was in zip(parameters, before, strict=True)):
            raise
        result, returned = critic, False
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        if "leaf" in str(error):
            raise Wrong(
                "autograd refuses to watch a weight change in place: do it within torch.no_grad()."
            ) from None
        if "unpack" in str(error):
            raise Wrong("critic.parameters() has no names: for p in critic.parameters().") from None
        if (
            isinstance(error, AttributeError)
            and "module '" not in str(error)
            or "not iterable" in str(error)
        ):
            raise Wrong(
                f"{error}: the numbers to clip are the tensors in critic.parameters()."
            ) from None
        raise
    now = list(critic.parameters())
    if len(now) != len(parameters) or any(p is not q for p, q in zip(now, parameters, strict=True)):
        raise Wrong(
            "you replaced the critic's weights by new ones: the optimiser goes on with the old."
            " Change them in place, p.clamp_(-c, c)."
        )
    if all(torch.equal(p, was) for p, was in zip(now, before, strict=True)):
        if any((p.grad != 1).any() for p in now):
            raise Wrong("you clipped the gradients: clip the weights themselves.")
        raise Wrong(
            "the critic's weights are what they were: p.clamp(...) makes a new tensor,"
            " p.clamp_(...) changes p."
        )
    _compare(now, before, C)
    if any(not p.requires_grad for p in now):
        raise Wrong("the weights no longer require a gradient: leave requires_grad as it was.")
    if any(p.grad is None or (p.grad != 1).any() for p in now):
        raise Wrong(
            "the weights are right, but you changed their gradients, too: leave them alone."
        )
    if not returned:
        raise Wrong("the weights are clipped as they should be: now return the critic, too.")
    if result is not critic:
        raise Wrong(f"return the critic itself: you return {type(result).__name__}.")
    count = sum(p.numel() for p in now)
    outside = sum(int((was.abs() > C).sum()) for was in before)
    return (
        f"of {count} weights and biases in three layers {outside} were outside [-{C}, {C}]; none is"
        " now, and the others stayed."
    )


def _three_layers() -> tuple[nn.Module, list[Tensor]]:
    """A critic with weights on both sides of both ends, within layers and within a layer of
    layers.
    """
    random = torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        critic = nn.Sequential(
            nn.Linear(2, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 4), nn.ReLU()), nn.Linear(4, 3)
        ).double()
    with torch.no_grad():
        for p in critic.parameters():
            p.copy_(0.4 * torch.randn(p.shape, generator=random, dtype=torch.float64))
    return critic, [p.detach().clone() for p in critic.parameters()]


def _compare(now: list[Tensor], before: list[Tensor], c: float) -> None:
    """Raise Wrong unless every number is the one before it, moved to the nearer end of [-c, c] if
    it was beyond.
    """

    def all_are(other) -> bool:
        return all(
            torch.allclose(p.detach(), other(was), atol=1e-9)
            for p, was in zip(now, before, strict=True)
        )

    def right(was: Tensor) -> Tensor:
        return torch.where(was > c, c, torch.where(was < -c, -c, was))

    if all_are(right):
        return
    scaled = [
        torch.allclose(p.detach() / was, (p.detach() / was).flatten()[0])
        for p, was in zip(now, before, strict=True)
    ]
    mistakes = {
        "only the upper end is there: weights below -c belong at -c": lambda was: was.clamp(max=c),
        "only the lower end is there: weights above c belong at c": lambda was: was.clamp(min=-c),
        "negative weights are gone: clip to [-c, c], not to [0, c]": lambda was: was.clamp(0, c),
        "weights outside became 0: they belong at the nearer end, c or -c": lambda was: torch.where(
            was.abs() > c, 0.0, was
        ),
        "every weight became c or -c: those within stay what they are": lambda was: c * was.sign(),
        "weights below -c became c: each goes to the nearer end": lambda was: torch.where(
            was.abs() > c, c, was
        ),
        "you squashed all weights (tanh): those within stay what they are": lambda was: (
            c * (was / c).tanh()
        ),
        "you squashed all weights (tanh), those within too": lambda was: was.tanh() * c,
        "your box is [-1, 1], whatever c is": lambda was: was.clamp(-1, 1),
        "your box is [-0.01, 0.01], whatever c is": lambda was: was.clamp(-0.01, 0.01),
        "the ends are the wrong way round, so that every weight is -c: clamp_(-c, c)": lambda was: (
            torch.full_like(was, -c)
        ),
        "the ends are the wrong way round, so that every weight is c: clamp_(-c, c)": lambda was: (
            torch.full_like(was, c)
        ),
    }
    for mistake, other in mistakes.items():
        if all_are(other):
            raise Wrong(f"{mistake}.")
    if all(scaled):
        raise Wrong(
            "you scaled the weights to fit: clipping moves the ones outside to the nearer end and"
            " leaves the others."
        )
    touched = [torch.allclose(p.detach(), right(was)) for p, was in zip(now, before, strict=True)]
    if touched == [True] + [False] * 5:
        raise Wrong(
            "only the first tensor of critic.parameters() is clipped: does your loop return in its"
            " first round?"
        )
    if touched == [True, False] * 3:
        raise Wrong("the biases are not clipped: take all of critic.parameters().")
    if touched == [False, True] * 3:
        raise Wrong("only the biases are clipped: take all of critic.parameters().")
    if 0 < sum(touched) < len(touched):
        raise Wrong(
            f"{sum(touched)} of the {len(touched)} tensors in critic.parameters() are right, the"
            " others are not: take them all, those within inner modules, too."
        )
    i = next(
        i
        for i, (p, was) in enumerate(zip(now, before, strict=True))
        if not torch.allclose(p.detach(), right(was))
    )
    place = (now[i].detach() - right(before[i])).abs().argmax()
    was, became, due = (
        t.flatten()[place].item() for t in (before[i], now[i].detach(), right(before[i]))
    )
    raise Wrong(
        f"a weight of {was:.3f} became {became:.3f} with c = {c}, where {due:.3f} is right."
    )


# ---- what they share


def _number(value, name: str) -> float:
    if isinstance(value, Tensor) and value.dim() == 1 and value.numel() > 1:
        raise Wrong(f"{name} has shape {tuple(value.shape)}: it is one number for two samples.")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        shape = tuple(value.shape) if hasattr(value, "shape") else type(value).__name__
        raise Wrong(f"{name} should be one number, it is {shape}.") from None


def _match(value, truth, name: str, mistakes: dict) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """

    def same(other) -> bool:
        return np.allclose(value, other, rtol=1e-5, atol=1e-7)

    if same(truth):
        return
    for mistake, other in mistakes.items():
        if same(other):
            raise Wrong(f"{mistake}.")
    i = int(np.abs(np.atleast_1d(value) - np.atleast_1d(truth)).argmax())
    where = f" (row {i} of the test)" if np.ndim(truth) else ""
    raise Wrong(
        f"{name} is {np.atleast_1d(value)[i]:.4f} where {np.atleast_1d(truth)[i]:.4f} is"
        f" right{where}."
    )


wasserstein_1d = Exercise(
    name="wasserstein_1d",
    solution=_wasserstein_1d,
    judge=_judge_wasserstein_1d,
    hints=[
        (
            "Who gets the earth of the leftmost point of x? Nobody can take it more cheaply than"
            " the leftmost point of y."
        ),
        "x.sort() gives two tensors, values and places; x.sort().values is the first.",
        "The mean of (x.sort().values - y.sort().values).abs().",
    ],
)
critic_objective = Exercise(
    name="critic_objective",
    solution=_critic_objective,
    judge=_judge_critic_objective,
    hints=[
        (
            "Draw as many codes as there are x, prior.sample((len(x),)), and let the generator make"
            " fakes of them."
        ),
        (
            "The critic's answers are real numbers: no sigmoid and no logarithm. High on data, low"
            " on fakes."
        ),
        (
            "(critic(x) - critic(generator(z))).squeeze(-1): the critic gives a column (B, 1), the"
            " objective is (B,)."
        ),
    ],
)
clip_weights = Exercise(
    name="clip_weights",
    solution=_clip_weights,
    judge=_judge_clip_weights,
    hints=[
        "critic.parameters() has all weights and biases; a loop over them, and one line for each.",
        (
            "p.clamp_(-c, c) works in place, with its underscore; within torch.no_grad(), or"
            " autograd objects."
        ),
        "with torch.no_grad(): for p in critic.parameters(): p.clamp_(-c, c). Then return critic.",
    ],
)
