"""Checks of notebook 04: the discriminator's objective, the generator's two, the alternating update.

The truth comes from scalar arithmetic in Python's floats, and for the update from two turns of a
game so small that its gradients are written out in numpy; never from the code that is asked for.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.check._exercise import Exercise, Wrong, beside
from dgmcourse.check._judge import Function, Slip, called, grouped, reals
from dgmcourse.check._progress import progress as progress
from dgmcourse.check._stubs import Prior
from dgmcourse.train import maximise

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


# ---- the two objectives


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def log_sigmoid(logit: float) -> float:
    return -math.log1p(math.exp(-logit)) if logit >= 0 else logit - math.log1p(math.exp(logit))


def both_by_number(real: Tensor, fake: Tensor) -> Tensor:
    rows = zip(real.tolist(), fake.tolist(), strict=True)
    return torch.tensor([log_sigmoid(r) + log_sigmoid(-f) for r, f in rows], dtype=torch.float64)


def either_by_number(fake: Tensor, saturating: bool) -> Tensor:
    values = [-log_sigmoid(-f) if saturating else log_sigmoid(f) for f in fake.tolist()]
    return torch.tensor(values, dtype=torch.float64)


def either(saturating=lambda f: -F.logsigmoid(-f), other=F.logsigmoid):
    """A slip, of the saturating objective or of the other one."""
    return lambda fake, which: saturating(fake) if which else other(fake)


log_s = F.logsigmoid
# logits of six real x, and of six fakes; and those at which a sigmoid is 0 or 1 in any float
REAL, FAKE = reals([2.0, -1.0, 0.5, 3.0, -0.3, 1.2], [-1.5, 0.4, -3.0, 1.0, 0.2, -0.7])
SURE = reals([800.0, -800.0, -800.0], [800.0, 800.0, -800.0])
LOGITS = (
    "the sigmoid is exactly 0 or 1 there, and its log is no number. Stay with the logits:"
    " F.logsigmoid(l) is log D, F.logsigmoid(-l) is log(1 - D). A clamp, or a small number added,"
    " hides how wrong a sure answer is, and cuts its gradient off"
)
NEGATIVE = (
    "it is not a number where a logit is negative, and a logit is any real number. D ="
    " sigmoid(logit) comes first, and F.logsigmoid does both at once"
)

discriminator_objective = Exercise(
    name="discriminator_objective",
    solution=_discriminator_objective,
    judge=Function(
        "discriminator_objective",
        truth=both_by_number,
        rows="real fake",
        cases=[(REAL, FAKE)],
        edges=["at a logit of 800", LOGITS, SURE],
        slips=[
            "the sign is turned: this is a loss, to be minimised. Here everything is maximised",
            lambda r, f: -log_s(r) - log_s(-f),
            "you took the fakes for real and the real for fakes: log D of the real ones, log(1 - D) of"
            " the fakes",
            lambda r, f: log_s(-r) + log_s(f),
            "you praise the expert for taking fakes for real: their term is log(1 - D),"
            " F.logsigmoid(-fake)",
            lambda r, f: log_s(r) + log_s(f),
            "the real ones' term has its sign turned: log D is F.logsigmoid(real)",
            lambda r, f: log_s(-r) + log_s(-f),
            "you subtract log D of the fakes: that is not log(1 - D), which is F.logsigmoid(-fake)",
            lambda r, f: log_s(r) - log_s(f),
            "1 - sigmoid(l) is sigmoid(-l), not sigmoid(1 - l): their term is F.logsigmoid(-fake)",
            lambda r, f: log_s(r) + log_s(1 - f),
            "1 - log D is not log(1 - D)",
            lambda r, f: log_s(r) + 1 - log_s(f),
            "it is half of what it should be: the two terms are added, not averaged",
            lambda r, f: (log_s(r) + log_s(-f)) / 2,
            "the logarithms are missing: log D + log(1 - D)",
            lambda r, f: r.sigmoid() + (-f).sigmoid(),
            "this is the difference of the logits (notebook 05's critic): take log D of the real,"
            " log(1 - D) of the fakes",
            lambda r, f: r - f,
            "you took the sigmoid twice: F.logsigmoid and binary_cross_entropy_with_logits want logits",
            lambda r, f: log_s(r.sigmoid()) + log_s(-f.sigmoid()),
        ],
        terms={
            "log D of the real ones": lambda r, f: log_s(r),
            "log(1 - D) of the fakes": lambda r, f: log_s(-f),
        },
        shapes=[(12,), "real and fake one after the other: add the two terms, row by row"],
        nan=NEGATIVE,
        unit="nats",
        praise="value and gradients agree with arithmetic by hand, also where the expert is as sure as"
        f" 800 nats. For one who only guesses it is {2 * log_sigmoid(0):.4f} = -2 log 2.",
    ),
    hints=[
        "Two terms, one for the real logits and one for the fakes', added row by row. No mean, no"
        " minus in front.",
        "1 - sigmoid(l) = sigmoid(-l): so log(1 - D) is the log-sigmoid of minus the logit.",
        "F.logsigmoid(real) + F.logsigmoid(-fake).",
    ],
)
generator_objective = Exercise(
    name="generator_objective",
    solution=_generator_objective,
    judge=Function(
        "generator_objective",
        truth=either_by_number,
        rows="fake",
        cases=[(FAKE, False), (FAKE, True)],
        edges=[
            *("at a logit of -800", LOGITS, (reals([-800.0, 0.0])[0], False)),
            *("at a logit of 800", LOGITS, (reals([800.0, 0.0])[0], True)),
        ],
        slips=[
            "it is the same for saturating=True and False: there are two objectives, log D and"
            " -log(1 - D)",
            lambda f, saturating: log_s(f),
            "it is the same for both, -log(1 - D): that is the saturating one, log D the other",
            lambda f, saturating: -log_s(-f),
            "the two are exchanged: -log(1 - D) is the saturating one, log D the other",
            lambda f, saturating: either_by_number(f, not saturating),
            "the sign of the saturating one is turned: the fraud wants log(1 - D) small. What is"
            " maximised is -log(1 - D)",
            either(lambda f: log_s(-f)),
            "the sign of the non-saturating one is turned: log D is maximised as it is, no loss",
            either(other=lambda f: -log_s(f)),
            "this is what the expert maximises with the fakes: the fraud's is log D, F.logsigmoid(fake)",
            either(other=lambda f: log_s(-f)),
            "with saturating=True you return -log D, which is neither: -log(1 - D) is wanted",
            either(lambda f: -log_s(f)),
            "the logarithm of the non-saturating one is missing",
            either(other=torch.sigmoid),
            "the logarithm of the saturating one is missing",
            either(lambda f: (-f).sigmoid()),
            "in the non-saturating one you took the sigmoid twice: F.logsigmoid wants logits",
            either(other=lambda f: log_s(f.sigmoid())),
            "in the saturating one you took the sigmoid twice: F.logsigmoid wants logits",
            either(lambda f: -log_s(-f.sigmoid())),
            "the non-saturating one is the logit itself: take the logarithm of its sigmoid",
            either(other=lambda f: f),
            "the saturating one is the logit itself: take the logarithm of its sigmoid",
            either(lambda f: f),
            "in the saturating one, 1 - sigmoid(l) is sigmoid(-l), not sigmoid(1 - l)",
            either(lambda f: -log_s(1 - f)),
            "in the saturating one, 1 - log D is not log(1 - D)",
            either(lambda f: 1 - log_s(f)),
            "in the saturating one, -(1 - log D) is not -log(1 - D)",
            either(lambda f: log_s(f) - 1),
        ],
        nan=NEGATIVE,
        unit="nats",
        praise="value and gradients of both agree with arithmetic by hand. Where the expert is sure of"
        f" a fake, at a logit of -8, the non-saturating one has the slope {sigmoid(8.0):.4f}, the"
        f" saturating one {sigmoid(-8.0):.4f}.",
    ),
    hints=[
        "The fraud wants log(1 - D) small, so it maximises minus that; or it maximises log D.",
        "log(1 - D) is F.logsigmoid(-fake), log D is F.logsigmoid(fake).",
        "-F.logsigmoid(-fake) if saturating else F.logsigmoid(fake).",
    ],
)


# ---- the alternating update

RATE = 0.5  # of both optimisers: steps large enough for their order to matter
B = 5


class SGD:
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


def small_game() -> tuple[nn.Module, nn.Module]:
    """A linear generator and a linear discriminator, in the plane: gradients that fit into four
    lines.
    """
    generator, discriminator = nn.Linear(2, 2).double(), nn.Linear(2, 1).double()
    numbers = reals([[0.8, -0.4], [0.3, 1.1]], [-1.0, 0.6], [[0.7, -0.9]], [0.2])
    with torch.no_grad():
        for p, value in zip(
            [*generator.parameters(), *discriminator.parameters()], numbers, strict=True
        ):
            p.copy_(value)
    return generator, discriminator


class Played(NamedTuple):
    """Two turns: the parameters before and after, what was returned, data and codes of each turn, and
    whether the expert's objective sent a gradient to the generator.
    """

    start: np.ndarray
    end: np.ndarray
    returned: list
    xs: list
    zs: list
    leaked: bool


def played(alternate, seed: int = 0) -> Played:
    """What an answer makes of the small game in two turns."""
    torch.manual_seed(seed)
    generator, discriminator = small_game()
    players = [SGD(discriminator.parameters()), SGD(generator.parameters())]
    prior = Prior(*reals([0.5, -1.0], [math.log(0.5), math.log(2.0)]))  # not N(0, I)
    arrived = []
    for p in generator.parameters():
        p.register_hook(arrived.append)

    def parameters() -> np.ndarray:
        both = [*discriminator.parameters(), *generator.parameters()]
        return torch.cat([p.detach().flatten() for p in both]).numpy().copy()

    start, returned, xs, zs = parameters(), [], [], []
    for _ in range(2):
        xs.append(torch.randn(B, 2, dtype=torch.float64) + 2)
        before = len(prior.drawn)
        given = {"x": xs[-1].clone(), "prior": prior, "G": generator, "D": discriminator}
        pair = called(alternate, given | dict(zip("dg", players, strict=True)), STOPPED)
        returned.append(two_numbers(pair))
        zs.append(codes(prior.drawn[before:]))
        if not (generator.training and discriminator.training):
            raise Wrong(
                "your function leaves a network in evaluation, where dropout does nothing: whoever calls"
                " .eval() calls .train() afterwards. Here neither is needed."
            )
    if zs[0][0].shape == zs[1][0].shape and torch.equal(zs[0][0], zs[1][0]):
        raise Wrong("two turns draw the same z: set no seed within your function.")
    return Played(start, parameters(), returned, xs, zs, len(arrived) > 4)


def two_numbers(pair) -> list[float]:
    try:
        first, second = (float(v.detach() if isinstance(v, Tensor) else v) for v in pair)
        return [first, second]
    except (TypeError, ValueError, RuntimeError):
        raise Wrong(
            "return two numbers, the mean objectives of the expert and of the fraud: what maximise"
            " returns."
        ) from None


def codes(draws: list[Tensor]) -> list[Tensor]:
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


STOPPED = {  # what torch says -> what the student did
    "backward through the graph a second time": (
        "the same fakes serve both turns, and the graph behind them is gone after the expert's"
        " step. Make its fakes under torch.no_grad(), and for the fraud's turn draw new z and make"
        " new fakes"
    ),
    "modified by an inplace operation": (
        "the fraud's logits were computed before the expert's step, which has changed the"
        " discriminator since: first step with d_optimiser, then make new fakes and ask the"
        " discriminator again"
    ),
    "no parameter that learns": (
        "nothing is left to differentiate: torch.no_grad() covers too much. Only the making of the"
        " expert's fakes stands under it, not the discriminator, not maximise"
    ),
}


def by_hand(xs: list, zs: list) -> tuple[np.ndarray, list]:
    """All parameters after the turns, one after another, and the mean objectives of each turn: by
    numpy. `zs` holds two draws a turn, the expert's first.
    """
    generator, discriminator = small_game()
    A, c, w, b = (
        p.detach().numpy().copy() for p in [*generator.parameters(), *discriminator.parameters()]
    )
    w, s, log_s, values = w[0], np.vectorize(sigmoid), np.vectorize(log_sigmoid), []
    for x, (z, z_new) in zip(xs, zs, strict=True):
        fakes = z @ A.T + c
        real, fake = x @ w + b, fakes @ w + b
        values.append([(log_s(real) + log_s(-fake)).mean()])
        w = w + RATE * ((1 - s(real))[:, None] * x - s(fake)[:, None] * fakes).mean(0)
        b = b + RATE * ((1 - s(real)) - s(fake)).mean(keepdims=True)
        fake = (z_new @ A.T + c) @ w + b
        values[-1].append(log_s(fake).mean())
        slope = (1 - s(fake))[:, None] / B * w  # of the mean objective, for each fake
        A, c = A + RATE * slope.T @ z_new, c + RATE * slope.sum(0)
    return np.concatenate([w, b, A.ravel(), c]), values


def turn(
    d_sign=1, g_sign=1, saturating=False, same_z=False, fraud_first=False, at_once=False,
    attached=False, leak=False, stale=False, back=lambda d, g: (d, g),
):  # fmt: skip
    """A slip: the update in plain PyTorch with one mistake or another.

    `leak` lets the gradient that the expert's turn sends to the generator into the fraud's step,
    `stale` that which the fraud's turn leaves in the discriminator into the expert's next step.
    """

    def alternate(x, prior, generator, discriminator, d_optimiser, g_optimiser):
        z = prior.sample((len(x),))
        z_new = z if same_z else prior.sample((len(x),))
        g_optimiser.zero_grad()

        def expert(z):
            fakes = generator(z) if attached or leak else generator(z).detach()
            return log_s(discriminator(x)) + log_s(-discriminator(fakes))

        def fraud(z):
            fake = discriminator(generator(z))
            return -log_s(-fake) if saturating else log_s(fake)

        def climb(value, optimiser, sign, kept):
            if not kept:
                optimiser.zero_grad()
            (-sign * value.mean()).backward()
            optimiser.step()
            return value.mean().item()

        if fraud_first:
            g = climb(fraud(z), g_optimiser, g_sign, leak)
            return climb(expert(z_new), d_optimiser, d_sign, stale), g
        if at_once:
            value = fraud(z_new)
            gradients = torch.autograd.grad(-value.mean(), list(generator.parameters()))
            d = climb(expert(z), d_optimiser, d_sign, stale)
            for p, gradient in zip(generator.parameters(), gradients, strict=True):
                p.grad = gradient
            g_optimiser.step()
            return d, value.mean().item()
        d = climb(expert(z), d_optimiser, d_sign, stale)
        d_optimiser.zero_grad()
        return back(d, climb(fraud(z_new), g_optimiser, g_sign, leak))

    return alternate


SLIPS = [
    "one z for both turns: the fraud draws new ones for its own turn",
    turn(same_z=True),
    "the fraud moves first: the expert's turn comes before",
    turn(fraud_first=True),
    "both move at once, from where they stood: the fraud answers the expert's *new* parameters, so"
    " ask the discriminator again after its step",
    turn(at_once=True),
    "the expert climbs down: its objective is to be maximised, and maximise has the only minus sign",
    turn(d_sign=-1),
    "the fraud climbs down: its objective is to be maximised, and maximise has the only minus sign",
    turn(g_sign=-1),
    "both climb down: the objectives are to be maximised, and maximise has the only minus sign",
    turn(d_sign=-1, g_sign=-1),
    "you took the saturating objective: the non-saturating one, log D, is asked for",
    turn(saturating=True),
    "the fraud's step uses the expert's gradient, too: in the expert's turn it flowed into the"
    " generator, and nobody removed it. Make those fakes under torch.no_grad(), or .detach() them",
    turn(leak=True),
    "the gradient that the fraud's turn left in the discriminator is added to the expert's next step:"
    " zero_grad() before each backward. maximise does it",
    turn(stale=True),
    "two gradients are never removed: zero_grad() before each backward, and no gradient into the"
    " generator in the expert's turn",
    turn(stale=True, leak=True),
    "one z for both turns, and the fraud moves first",
    turn(same_z=True, fraud_first=True),
    "one z for both turns, and both move at once",
    turn(same_z=True, at_once=True),
    "one z for both turns, and the gradient of the expert's turn is in the fraud's step",
    turn(same_z=True, leak=True),
    "nobody has moved: maximise(objective, optimiser) steps, or optimiser.step() after .backward()",
    turn(d_sign=0, g_sign=0),
    "both end where they should, but in the expert's turn a gradient flowed into the generator, where"
    " nobody wants it: make those fakes under torch.no_grad(), or .detach() them. It spares a third of"
    " the work, too",
    turn(attached=True),
    "both end where they should, but you return them in the wrong order: the expert's first, then the"
    " fraud's",
    turn(back=lambda d, g: (g, d)),
    "both end where they should, but you return losses: the mean objectives have the other sign",
    turn(back=lambda d, g: (-d, -g)),
]


class Alternate:
    """Judges a turn of the game, which changes the networks it is given."""

    slips = [Slip(*slip) for slip in grouped(SLIPS)]

    def __init__(self, seed: int = 0):
        self.seed = seed

    def fresh(self, seed: int) -> "Alternate":
        return Alternate(seed)

    def __call__(self, answer) -> str:
        with torch.random.fork_rng(devices=[]):
            seed = self.seed
            game = Played(*beside(answer, lambda there: played(there, seed)))
            pairs = [(two[0].numpy(), two[-1].numpy()) for two in game.zs]
            truth, values = by_hand([x.numpy() for x in game.xs], pairs)
            one_draw = any(len(two) == 1 for two in game.zs)
            right = np.allclose(game.end, truth, atol=1e-8) and not one_draw
            if right and not game.leaked and np.allclose(game.returned, values, atol=1e-6):
                return (
                    "after two turns all nine parameters agree with gradients by hand to"
                    f" {np.abs(game.end - truth).max():.0e}, and in the expert's turn none reaches the"
                    " generator."
                )
            for slip in self.slips:
                other = played(slip.function, seed)
                back = np.allclose(game.returned, other.returned, atol=1e-6) or not right
                same = back and game.leaked == other.leaked and len(other.zs[0]) == len(game.zs[0])
                if same and np.allclose(game.end, other.end, atol=1e-8):
                    raise Wrong(f"{slip.message}.")
        moved = np.abs(game.end - game.start) > 1e-9
        if not moved[:3].any():
            raise Wrong("the expert has not moved: maximise its objective with d_optimiser.")
        if not moved[3:].any():
            raise Wrong(
                "the fraud has not moved: no gradient reaches the generator in its turn. Make those"
                " fakes without torch.no_grad() and .detach(), and step with g_optimiser."
            )
        if one_draw:
            raise Wrong("you drew z once: the fraud draws new ones for its own turn.")
        if right:
            raise Wrong(
                f"both end where they should, but you return {game.returned[0]} where the mean"
                f" objectives before the steps are {values[0]}: return what maximise returns."
            )
        if game.leaked:
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


alternate = Exercise(
    name="alternate",
    solution=_alternate,
    judge=Alternate(),
    hints=[
        "Twice the same four things: draw z, make fakes, ask the discriminator, maximise. The first"
        " time for d_optimiser.",
        "In the expert's turn the fakes are made under torch.no_grad(). In the fraud's they are new,"
        " and ask the discriminator anew.",
        "discriminator(x) has shape (B, 1): .squeeze(-1). Then maximise(discriminator_objective(real,"
        " fake), d_optimiser), and with new fakes maximise(generator_objective(fake, False),"
        " g_optimiser); return what the two calls return.",
    ],
)
