"""Checks of notebook 04: the discriminator's objective, the generator's two, the alternating
update.

The truth comes from scalar arithmetic in Python's floats, with the derivatives known by hand, and
for the update from two turns of a game so small that its gradients are written out in numpy; never
from the code that is asked for.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check.vae import _match, _tensor
from dgmcourse.densities import Gaussian
from dgmcourse.train import maximise

REAL = [2.0, -1.0, 0.5, 3.0, -0.3, 1.2]  # logits of six real x, and of six fakes
FAKE = [-1.5, 0.4, -3.0, 1.0, 0.2, -0.7]
SURE = 800.0  # a logit at which sigmoid is 0 or 1 in any floating point


# ---- the course's own answers


def _discriminator_objective(real: Tensor, fake: Tensor) -> Tensor:
    return F.logsigmoid(real) + F.logsigmoid(-fake)


def _generator_objective(fake: Tensor, saturating: bool) -> Tensor:
    return -F.logsigmoid(-fake) if saturating else F.logsigmoid(fake)


def _alternate(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    with torch.no_grad():
        fakes = generator(prior.sample((len(x),)))
    value = _discriminator_objective(discriminator(x).squeeze(-1), discriminator(fakes).squeeze(-1))
    for_expert = maximise(value, d_optimiser)
    fakes = generator(prior.sample((len(x),)))
    for_fraud = maximise(_generator_objective(discriminator(fakes).squeeze(-1), False), g_optimiser)
    return for_expert, for_fraud


# ---- scalars, by hand


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def _log_sigmoid(logit: float) -> float:
    return -math.log1p(math.exp(-logit)) if logit >= 0 else logit - math.log1p(math.exp(logit))


def _each(function, *columns) -> Tensor:
    return torch.tensor([function(*row) for row in zip(*columns, strict=True)], dtype=torch.float64)


def _leaf(numbers) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).requires_grad_()


# ---- what both objectives share


def _objective(value, like: Tensor, name: str) -> Tensor:
    value = _tensor(value, name)
    if value.dim() == 0:
        raise Wrong(
            f"{name} is one number for the whole batch: keep one for each logit, (B,). maximise"
            " averages over the batch. (F.binary_cross_entropy_with_logits averages unless told"
            " reduction='none'.)"
        )
    if value.shape == (2 * len(like),):
        raise Wrong(
            f"{name} has 2 B numbers, real and fake one after the other: add the two terms, row by"
            " row, (B,)."
        )
    if value.shape != like.shape:
        raise Wrong(
            f"{name} has shape {tuple(value.shape)}, expected {tuple(like.shape)}: one number for"
            " each logit."
        )
    return value


def _stable(
    value: Tensor, truth: Tensor, gradients: dict[str, tuple[Tensor | None, Tensor]]
) -> None:
    """Raise Wrong where certainty breaks the answer: logits of 800, whose probabilities are 0 and
    1.
    """
    if not value.isfinite().all():
        raise Wrong(
            f"at a logit of {SURE:.0f} it gives {value[~value.isfinite()][0].item()}, not"
            f" {truth[0].item():.0f}: the sigmoid has become exactly 0 or 1 there, and its log is"
            " no number. Stay with the logits: F.logsigmoid(l) is log D, F.logsigmoid(-l) is log(1"
            " - D)."
        )
    if not torch.allclose(value, truth, rtol=1e-6, atol=1e-6):
        i = (value - truth).abs().argmax().item()
        raise Wrong(
            f"at a logit of {SURE:.0f} it gives {value[i].item():.1f} where {truth[i].item():.1f}"
            " is right: a clamp, or a small number added to keep the log finite, hides how wrong a"
            " sure answer is, and cuts its gradient off. F.logsigmoid needs neither."
        )
    for name, (found, expected) in gradients.items():
        if found is None or not torch.allclose(found, expected, atol=1e-6):
            raise Wrong(
                f"the value holds at a logit of {SURE:.0f}, its gradient for the {name} logits does"
                f" not (it should be {expected.tolist()}): F.logsigmoid keeps it."
            )


def _derivatives(name: str, value: Tensor, expected: dict[str, tuple[Tensor, Tensor]]) -> None:
    if not value.requires_grad:
        raise Wrong(
            f"{name} has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )
    found = torch.autograd.grad(
        value.sum(), [leaf for leaf, _ in expected.values()], allow_unused=True
    )
    for (which, (_, truth)), gradient in zip(expected.items(), found, strict=True):
        if gradient is None or not torch.allclose(gradient, truth, rtol=1e-5, atol=1e-7):
            raise Wrong(
                f"the value of {name} is right, its gradient for the {which} logits is not: is part"
                " of it cut off (.detach(), .data, torch.no_grad())?"
            )


# ---- the discriminator's


def _judge_discriminator(discriminator_objective) -> str:
    name = "discriminator_objective"
    real, fake = _leaf(REAL), _leaf(FAKE)
    value = _objective(discriminator_objective(real, fake), real, name)
    truth = _each(lambda r, f: _log_sigmoid(r) + _log_sigmoid(-f), REAL, FAKE)
    p, q = _each(_sigmoid, REAL), _each(_sigmoid, FAKE)
    if value.isnan().any():
        raise Wrong(
            "it is not a number where a logit is negative: a logit is any real number. D ="
            " sigmoid(logit) comes first, and F.logsigmoid does both at once."
        )
    _match(
        value.detach(),
        truth,
        name,
        {
            "the sign is turned: this is a loss, to be minimised. Here everything is maximised": (
                -truth
            ),
            "you took the fakes for real and the real for fakes: log D of the real ones, log(1 - D) of the fakes": _each(
                lambda r, f: _log_sigmoid(-r) + _log_sigmoid(f), REAL, FAKE
            ),
            "you praise the expert for taking fakes for real: their term is log(1 - D), F.logsigmoid(-fake)": _each(
                lambda r, f: _log_sigmoid(r) + _log_sigmoid(f), REAL, FAKE
            ),
            "the real ones' term has its sign turned: log D is F.logsigmoid(real)": _each(
                lambda r, f: _log_sigmoid(-r) + _log_sigmoid(-f), REAL, FAKE
            ),
            "you subtract the fakes' term: add log(1 - D)": _each(
                lambda r, f: _log_sigmoid(r) - _log_sigmoid(-f), REAL, FAKE
            ),
            "you subtract log D of the fakes: that is not log(1 - D), which is F.logsigmoid(-fake)": _each(
                lambda r, f: _log_sigmoid(r) - _log_sigmoid(f), REAL, FAKE
            ),
            "1 - sigmoid(l) is sigmoid(-l), not sigmoid(1 - l): their term is F.logsigmoid(-fake)": _each(
                lambda r, f: _log_sigmoid(r) + _log_sigmoid(1 - f), REAL, FAKE
            ),
            "1 - log D is not log(1 - D)": _each(
                lambda r, f: _log_sigmoid(r) + 1 - _log_sigmoid(f), REAL, FAKE
            ),
            "the fakes' term is missing: the expert must also call the fakes fake": p.log(),
            "the real ones' term is missing: the expert must also call the real ones real": (
                (1 - q).log()
            ),
            "it is half of what it should be: the two terms are added, not averaged": truth / 2,
            "the logarithms are missing: log D + log(1 - D)": p + 1 - q,
            "this is the difference of the logits (notebook 05's critic): take log D of the real, log(1 - D) of the fakes": (
                real.detach() - fake.detach()
            ),
            "you took the sigmoid twice: F.logsigmoid and binary_cross_entropy_with_logits want logits": _each(
                lambda a, b: _log_sigmoid(a) + _log_sigmoid(-b), p.tolist(), q.tolist()
            ),
            "you took the logarithm to the base 2: nats have base e": truth / math.log(2),
            "you took the logarithm to the base 10: nats have base e": truth / math.log(10),
        },
    )
    _derivatives(name, value, {"real": (real, 1 - p), "fake": (fake, -q)})
    real, fake = _leaf([SURE, -SURE, -SURE]), _leaf([SURE, SURE, -SURE])
    value = _objective(discriminator_objective(real, fake), real, name)
    gradients = torch.autograd.grad(value.sum(), [real, fake], allow_unused=True)
    _stable(
        value.detach(),
        torch.tensor([-SURE, -2 * SURE, -SURE], dtype=torch.float64),
        {
            "real": (gradients[0], torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)),
            "fake": (gradients[1], torch.tensor([-1.0, -1.0, 0.0], dtype=torch.float64)),
        },
    )
    guess = _objective(
        discriminator_objective(torch.zeros(1), torch.zeros(1)), torch.zeros(1), name
    ).item()
    return (
        "value and gradients agree with arithmetic by hand, also where the expert is as sure as"
        f" {SURE:.0f} nats. For one who only guesses it is {guess:.4f} = -2 log 2."
    )


# ---- the generator's


def _judge_generator(generator_objective) -> str:
    name, like = "generator_objective", _leaf(FAKE)
    truth = {False: _each(_log_sigmoid, FAKE), True: _each(lambda f: -_log_sigmoid(-f), FAKE)}
    q = _each(_sigmoid, FAKE)
    slopes = {False: 1 - q, True: q}
    values, leaves = {}, {}
    for saturating in (False, True):
        leaves[saturating] = _leaf(FAKE)
        values[saturating] = _objective(
            generator_objective(leaves[saturating], saturating), like, name
        )
        if values[saturating].isnan().any():
            raise Wrong(
                "it is not a number where a logit is negative: a logit is any real number. D ="
                " sigmoid(logit) comes first."
            )
    found = {key: value.detach() for key, value in values.items()}
    if torch.equal(found[False], found[True]) and len(FAKE):
        raise Wrong(
            "it is the same for saturating=True and False: there are two objectives, log D and"
            " -log(1 - D)."
        )
    if torch.allclose(found[False], truth[True]) and torch.allclose(found[True], truth[False]):
        raise Wrong("the two are exchanged: -log(1 - D) is the saturating one, log D the other.")
    for saturating in (False, True):
        which = "saturating" if saturating else "non-saturating"
        _match(
            found[saturating],
            truth[saturating],
            name,
            {
                (
                    "the sign of the saturating one is turned: the fraud wants log(1 - D) small."
                    " What is maximised is -log(1 - D)"
                    if saturating
                    else (
                        "the sign of the non-saturating one is turned: log D is maximised as it is,"
                        " no loss"
                    )
                ): -truth[saturating],
                (
                    "this is what the expert maximises with the fakes: the fraud's is log D,"
                    " F.logsigmoid(fake)"
                    if not saturating
                    else (
                        "with saturating=True you return -log D, which is neither: -log(1 - D) is"
                        " wanted"
                    )
                ): (truth[not saturating] * -1),
                f"the logarithm of the {which} one is missing": 1 - q if saturating else q,
                f"in the {which} one you took the sigmoid twice: F.logsigmoid wants logits": _each(
                    lambda d: -_log_sigmoid(-d) if saturating else _log_sigmoid(d),  # noqa: B023
                    q.tolist(),
                ),
                f"the {which} one is the logit itself: take the logarithm of its sigmoid": (
                    like.detach()
                ),
                f"the {which} one is minus the logit: take the logarithm of its sigmoid": (
                    -like.detach()
                ),
                **(
                    {
                        "in the saturating one, 1 - sigmoid(l) is sigmoid(-l), not sigmoid(1 - l)": _each(
                            lambda f: -_log_sigmoid(1 - f), FAKE
                        ),
                        "in the saturating one, 1 - log D is not log(1 - D)": _each(
                            lambda f: 1 - _log_sigmoid(f), FAKE
                        ),
                        "in the saturating one, -(1 - log D) is not -log(1 - D)": _each(
                            lambda f: _log_sigmoid(f) - 1, FAKE
                        ),
                    }
                    if saturating
                    else {}
                ),
            },
        )
        _derivatives(
            f"the {which} objective",
            values[saturating],
            {"fake": (leaves[saturating], slopes[saturating])},
        )
    for saturating in (False, True):
        fake = _leaf([-SURE if not saturating else SURE, 0.0])
        value = _objective(generator_objective(fake, saturating), fake, name)
        gradient = torch.autograd.grad(value.sum(), [fake], allow_unused=True)
        end = torch.tensor(
            [SURE if saturating else -SURE, math.log(2) if saturating else -math.log(2)],
            dtype=torch.float64,
        )
        _stable(
            value.detach(),
            end,
            {"fake": (gradient[0], torch.tensor([1.0, 0.5], dtype=torch.float64))},
        )
    far = _sigmoid(-8.0)
    return (
        "value and gradients of both agree with arithmetic by hand. Where the expert is sure of a"
        f" fake, at a logit of -8, the non-saturating one has the slope {1 - far:.4f}, the"
        f" saturating one {far:.4f}."
    )


# ---- the alternating update

RATE = 0.5  # of both optimisers: steps large enough for their order to matter
B = 5


class _SGD:
    """Plain gradient steps; torch.optim.SGD imports all of torch.compile at its first, 130 MB, to
    ask it to stay out.
    """

    def __init__(self, parameters):
        self.param_groups = [{"params": list(parameters), "lr": RATE}]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for p in self.param_groups[0]["params"]:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                p -= RATE * p.grad


class _Prior(Gaussian):
    """p(z), which remembers what was drawn, and is not N(0, I)."""

    def __init__(self):
        super().__init__(
            torch.tensor([0.5, -1.0], dtype=torch.float64),
            torch.log(torch.tensor([0.5, 2.0], dtype=torch.float64)),
        )
        self.drawn, self.random = [], torch.Generator().manual_seed(1)

    def sample(self, shape=()) -> Tensor:
        if not isinstance(shape, tuple | list):
            raise Wrong(
                "prior.sample wants a shape, a tuple: prior.sample((len(x),)), with its comma. You"
                f" gave it {shape}."
            )
        noise = torch.randn(*shape, 2, generator=self.random, dtype=torch.float64)
        self.drawn.append(self.mean + torch.exp(self.log_var / 2) * noise)
        return self.drawn[-1]


def _game():
    """A linear generator and a linear discriminator, in the plane: gradients that fit into four
    lines.
    """
    with torch.random.fork_rng(devices=[]):
        generator, discriminator = nn.Linear(2, 2).double(), nn.Linear(2, 1).double()
    with torch.no_grad():
        generator.weight.copy_(torch.tensor([[0.8, -0.4], [0.3, 1.1]]))
        generator.bias.copy_(torch.tensor([-1.0, 0.6]))
        discriminator.weight.copy_(torch.tensor([[0.7, -0.9]]))
        discriminator.bias.copy_(torch.tensor([0.2]))
    return generator, discriminator


def _by_hand(
    xs: list,
    zs: list,
    same_z=False,
    fraud_first=False,
    at_once=False,
    d_sign=1.0,
    g_sign=1.0,
    saturating=False,
    stale=False,
    leak=False,
    swapped=False,
) -> tuple[np.ndarray, list]:
    """All parameters after the turns, one after another, and the mean objectives of each turn: by
    numpy.

    The keywords are mistakes. `zs` holds two draws a turn, the expert's first; `stale` keeps the
    gradients that the fraud's turn leaves in the expert; `leak` lets those of the expert's turn
    into the fraud's step.
    """
    generator, discriminator = _game()
    A, c = generator.weight.detach().numpy().copy(), generator.bias.detach().numpy().copy()
    w, b = (
        discriminator.weight.detach().numpy()[0].copy(),
        discriminator.bias.detach().numpy().copy(),
    )
    s = np.vectorize(_sigmoid)
    log_s = np.vectorize(_log_sigmoid)
    left, values = (np.zeros(2), np.zeros(1)), []
    for x, (z_d, z_g) in zip(xs, zs, strict=True):
        z_g = z_d if same_z else z_g

        def expert(z, x=x):
            fakes = z @ A.T + c
            real, fake = x @ w + b, fakes @ w + b
            value = (log_s(real) + log_s(-fake)).mean()
            over_w = ((1 - s(real))[:, None] * x - s(fake)[:, None] * fakes).mean(0)
            over_b = ((1 - s(real)) - s(fake)).mean(keepdims=True)
            slope = -s(fake) / len(z)  # of the mean objective, for each fake's logit
            return value, over_w, over_b, (slope[:, None] * w).T @ z, (slope[:, None] * w).sum(0)

        def fraud(z):
            fakes = z @ A.T + c
            fake = fakes @ w + b
            slope = (s(fake) if saturating else 1 - s(fake)) / len(z)
            value = (-log_s(-fake) if saturating else log_s(fake)).mean()
            return (
                value,
                (slope[:, None] * w).T @ z,
                (slope[:, None] * w).sum(0),
                (slope[:, None] * fakes).sum(0),
                slope.sum(keepdims=True),
            )

        def expert_steps(result):
            nonlocal w, b
            w, b = (
                w + RATE * (d_sign * result[1] + left[0]),
                b + RATE * (d_sign * result[2] + left[1]),
            )

        def fraud_steps(result, before=None):
            nonlocal A, c, left
            A = A + RATE * (g_sign * result[1] + (before[3] if leak else 0))
            c = c + RATE * (g_sign * result[2] + (before[4] if leak else 0))
            if stale:
                left = (g_sign * result[3], g_sign * result[4])

        if fraud_first:
            second = fraud(z_d)
            fraud_steps(second)
            first = expert(z_g)
            expert_steps(first)
        elif at_once:
            first, second = expert(z_d), fraud(z_g)
            expert_steps(first)
            fraud_steps(second, first)
        else:
            first = expert(z_d)
            expert_steps(first)
            second = fraud(z_g)
            fraud_steps(second, first)
        values.append((second[0], first[0]) if swapped else (first[0], second[0]))
    return np.concatenate([w, b, A.ravel(), c]), values


MISTAKES = {
    "one z for both turns: the fraud draws new ones for its own turn": {"same_z": True},
    "the fraud moves first: the expert's turn comes before": {"fraud_first": True},
    "both move at once, from where they stood: the fraud answers the expert's *new* parameters, so ask the discriminator again after its step": {
        "at_once": True
    },
    "the expert climbs down: its objective is to be maximised, and maximise has the only minus sign": {
        "d_sign": -1.0
    },
    "the fraud climbs down: its objective is to be maximised, and maximise has the only minus sign": {
        "g_sign": -1.0
    },
    "both climb down: the objectives are to be maximised, and maximise has the only minus sign": {
        "d_sign": -1.0,
        "g_sign": -1.0,
    },
    "you took the saturating objective: the non-saturating one, log D, is asked for": {
        "saturating": True
    },
    "the fraud's step uses the expert's gradient, too: in the expert's turn it flowed into the generator, and nobody removed it. Make those fakes under torch.no_grad(), or .detach() them": {
        "leak": True
    },
    "the gradient that the fraud's turn left in the discriminator is added to the expert's next step: zero_grad() before each backward. maximise does it": {
        "stale": True
    },
    "two gradients are never removed: zero_grad() before each backward, and no gradient into the generator in the expert's turn": {
        "stale": True,
        "leak": True,
    },
    "one z for both turns, and the fraud moves first": {"same_z": True, "fraud_first": True},
    "one z for both turns, and both move at once": {"same_z": True, "at_once": True},
    "one z for both turns, and the gradient of the expert's turn is in the fraud's step": {
        "same_z": True,
        "leak": True,
    },
}


STOPPED = {  # what torch says -> what the student did
    "backward through the graph a second time": (
        "the same fakes serve both turns, and the graph behind them is gone after the expert's"
        " step. Make its fakes under torch.no_grad(), and for the fraud's turn draw new z and make"
        " new fakes."
    ),
    "modified by an inplace operation": (
        "the fraud's logits were computed before the expert's step, which has changed the"
        " discriminator since: first step with d_optimiser, then make new fakes and ask the"
        " discriminator again."
    ),
    "does not require grad": (
        "nothing is left to differentiate: torch.no_grad() covers too much. Only the making of the"
        " expert's fakes stands under it, not the discriminator, not maximise."
    ),
}


def _judge_alternate(alternate) -> str:
    generator, discriminator = _game()
    start = _parameters(generator, discriminator)
    d_optimiser, g_optimiser = _SGD(discriminator.parameters()), _SGD(generator.parameters())
    prior, random = _Prior(), torch.Generator().manual_seed(0)
    xs = [torch.randn(B, 2, generator=random, dtype=torch.float64) + 2 for _ in range(2)]
    arrived = [0]
    for parameter in generator.parameters():
        parameter.register_hook(lambda gradient: arrived.__setitem__(0, arrived[0] + 1))
    returned, zs = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for x in xs:
            before = len(prior.drawn)
            try:
                pair = alternate(x, prior, generator, discriminator, d_optimiser, g_optimiser)
            except RuntimeError as error:
                for words, mistake in STOPPED.items():
                    if words in str(error):
                        raise Wrong(mistake) from None
                raise
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise Wrong(
                    "return two numbers, the mean objectives of the expert and of the fraud: what"
                    " maximise returns."
                )
            returned.append([_number(value) for value in pair])
            zs.append(_drawn(prior.drawn[before:]))
    end = _parameters(generator, discriminator)
    pairs = [(two[0].numpy(), two[-1].numpy()) for two in zs]
    truth, values = _by_hand([x.numpy() for x in xs], pairs)
    moved = np.abs(end - start) > 1e-9
    one_draw = any(len(two) == 1 for two in zs)
    if not moved.any():
        raise Wrong(
            "nobody has moved: maximise(objective, optimiser) steps, or optimiser.step() after"
            " .backward()."
        )
    if not moved[:3].any():
        raise Wrong("the expert has not moved: maximise its objective with d_optimiser.")
    if not moved[3:].any():
        raise Wrong(
            "the fraud has not moved: no gradient reaches the generator in its turn. Make those"
            " fakes without torch.no_grad() and .detach(), and step with g_optimiser."
        )
    if not np.allclose(end, truth, atol=1e-8) or one_draw:
        for mistake, keywords in MISTAKES.items():
            if one_draw != ("same_z" in keywords):
                continue
            if np.allclose(end, _by_hand([x.numpy() for x in xs], pairs, **keywords)[0], atol=1e-8):
                raise Wrong(f"{mistake}.")
        if one_draw:
            raise Wrong("you drew z once: the fraud draws new ones for its own turn.")
        if arrived[0] > 4:
            raise Wrong(
                "the parameters are not where they should be after two turns, and in the expert's"
                " turn a gradient flowed into the generator: make those fakes under"
                " torch.no_grad()."
            )
        raise Wrong(
            "the parameters are not where they should be after two turns. In each: the expert's"
            " step at fakes that need no gradient, then fresh z, new logits from the changed"
            " discriminator, and the fraud's step."
        )
    if arrived[0] > 4:
        raise Wrong(
            "both end where they should, but in the expert's turn a gradient flowed into the"
            " generator, where nobody wants it: make those fakes under torch.no_grad(), or"
            " .detach() them. It spares a third of the work, too."
        )
    for mistake, pairs_ in (
        ("", values),
        (
            "you return them in the wrong order: the expert's first, then the fraud's",
            [pair[::-1] for pair in values],
        ),
        (
            "you return losses: the mean objectives have the other sign",
            [(-a, -b) for a, b in values],
        ),
    ):
        if np.allclose(returned, pairs_, atol=1e-6):
            if mistake:
                raise Wrong(f"both end where they should, but {mistake}.")
            break
    else:
        raise Wrong(
            f"both end where they should, but you return {returned[0][0]:.4f} and"
            f" {returned[0][1]:.4f} where the mean objectives before the steps are"
            f" {values[0][0]:.4f} and {values[0][1]:.4f}: return what maximise returns."
        )
    return (
        "after two turns all nine parameters agree with gradients by hand to"
        f" {np.abs(end - truth).max():.0e}, and in the expert's turn none reaches the generator."
    )


def _parameters(generator: nn.Module, discriminator: nn.Module) -> np.ndarray:
    return (
        torch.cat(
            [p.detach().flatten() for net in (discriminator, generator) for p in net.parameters()]
        )
        .numpy()
        .copy()
    )


def _number(value) -> float:
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(
            "return two numbers, the mean objectives of the expert and of the fraud: what maximise"
            " returns."
        ) from None


def _drawn(draws: list[Tensor]) -> list[Tensor]:
    """The codes of one turn's two draws; one, if there was one draw only."""
    if not draws:
        raise Wrong("you drew no z from the prior: prior.sample((len(x),)), whatever the prior is.")
    if any(z.shape != (B, 2) for z in draws):
        shapes = " and ".join(str(tuple(z.shape)) for z in draws)
        raise Wrong(
            f"as many z as there are x, ({B}, 2), were to be drawn each time; you drew {shapes}:"
            " prior.sample((len(x),))."
        )
    if len(draws) > 2:
        raise Wrong(
            f"you drew z {len(draws)} times in one turn of both: once for the expert, once for the"
            " fraud."
        )
    return draws


discriminator_objective = Exercise(
    name="discriminator_objective",
    solution=_discriminator_objective,
    judge=_judge_discriminator,
    hints=[
        (
            "Two terms, one for the real logits and one for the fakes', added row by row. No mean,"
            " no minus in front."
        ),
        "1 - sigmoid(l) = sigmoid(-l): so log(1 - D) is the log-sigmoid of minus the logit.",
        "F.logsigmoid(real) + F.logsigmoid(-fake).",
    ],
)
generator_objective = Exercise(
    name="generator_objective",
    solution=_generator_objective,
    judge=_judge_generator,
    hints=[
        "The fraud wants log(1 - D) small, so it maximises minus that; or it maximises log D.",
        "log(1 - D) is F.logsigmoid(-fake), log D is F.logsigmoid(fake).",
        "-F.logsigmoid(-fake) if saturating else F.logsigmoid(fake).",
    ],
)
alternate = Exercise(
    name="alternate",
    solution=_alternate,
    judge=_judge_alternate,
    hints=[
        (
            "Twice the same four things: draw z, make fakes, ask the discriminator, maximise. The"
            " first time for d_optimiser."
        ),
        (
            "In the expert's turn the fakes are made under torch.no_grad(). In the fraud's they are"
            " new, and ask the discriminator anew."
        ),
        (
            "discriminator(x) has shape (B, 1): .squeeze(-1). Then"
            " maximise(discriminator_objective(real, fake), d_optimiser), and with new fakes"
            " maximise(generator_objective(fake, False), g_optimiser); return what the two calls"
            " return."
        ),
    ],
)
