"""Checks of notebook 01: p(x) and p(y|x) from log p(x, y), the area under the ROC curve, a pixel
given all the others.

The truth comes from decimal arithmetic, from the ROC curve's trapezoids, and from a table of all
states.
"""

import itertools
from decimal import Decimal, localcontext

import torch
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong

# ---- the course's own answers


def _posterior_and_evidence(log_joint: Tensor) -> tuple[Tensor, Tensor]:
    log_p = torch.logsumexp(log_joint, -1)
    return log_p, torch.exp(log_joint - log_p.unsqueeze(-1))


def _auc(inside: Tensor, outside: Tensor) -> float:
    difference = inside[:, None] - outside
    return ((difference > 0).float() + 0.5 * (difference == 0).float()).mean().item()


def _pixel_given_rest(x: Tensor, i: int, log_potential) -> Tensor:
    on, off = x.clone(), x.clone()
    on[:, i], off[:, i] = 1, 0
    return torch.sigmoid(log_potential(on) - log_potential(off))


# ---- the evidence and the posterior


def _judge_posterior_and_evidence(posterior_and_evidence) -> str:
    log_joint = torch.tensor(
        [[-1.0, -2.5, -0.7], [-3.0, -3.5, -9.0], [0.4, 1.2, -0.3], [-5.0, -4.0, -4.5]],
        dtype=torch.float64,
    )
    far = log_joint - 2000  # an image of 784 pixels: exp of this is 0 in any float that torch has
    truth, B, C = _exactly(log_joint), *log_joint.shape
    log_p, posterior = _two(
        posterior_and_evidence(log_joint),
        "posterior_and_evidence",
        "log p(x), (B,), and p(y|x), (B, C)",
    )
    if log_p.shape == (B, C) and posterior.shape == (B,):
        raise Wrong("the two are in the wrong order: first log p(x), then p(y|x).")
    if log_p.dim() == 0:
        raise Wrong(
            "log p(x) is one number for the whole batch: sum over the classes only, the last axis."
        )
    if log_p.shape == (C,):
        raise Wrong(
            "log p(x) has one number for each class: you summed over the batch. Sum over the last"
            " axis."
        )
    if log_p.shape == (B, 1):
        raise Wrong("log p(x) has shape (B, 1): keepdim serves to subtract it, return it as (B,).")
    _shape(log_p, (B,), "log p(x)")
    _shape(posterior, (B, C), "p(y|x)")
    _match(
        log_p,
        truth[0],
        "log p(x)",
        {
            "you summed the logarithms: a sum of probabilities is wanted, take the exponential before": log_joint.sum(
                -1
            ),
            "you averaged over the classes: p(y) is in the joint already, so sum": (
                truth[0] - torch.tensor(float(C)).log()
            ),
            "you took the largest of the joint's terms: all of them count": (
                log_joint.max(-1).values
            ),
            "you averaged the logarithms: a sum of probabilities is wanted, take the exponential before": log_joint.mean(
                -1
            ),
            "this is p(x), not its logarithm": truth[0].exp(),
            "log p(x) has the wrong sign: no loss, the log-probability itself": -truth[0],
        },
    )
    _match(
        posterior,
        truth[1],
        "p(y|x)",
        {
            "this is log p(y|x): take the exponential": truth[1].log(),
            "this is the joint p(x, y): divide by p(x)": log_joint.exp(),
            "you normalised over the batch: the sum over y, the last axis, is 1": log_joint.softmax(
                0
            ),
            "you divided logarithms: subtract log p(x), then take the exponential": (
                log_joint / truth[0].unsqueeze(-1)
            ),
            "you divided p(x, y) by log p(x): by p(x), or subtract logarithms": (
                log_joint.exp() / truth[0].unsqueeze(-1)
            ),
            "a sigmoid compares with nothing: p(y|x) sums to 1 over y": log_joint.sigmoid(),
            "1 for the likeliest class, 0 for the others: keep the probabilities": (
                (truth[1] == truth[1].max(-1, True).values).double()
            ),
        },
    )
    log_p, posterior = _two(
        posterior_and_evidence(far), "posterior_and_evidence", "log p(x) and p(y|x)"
    )
    if not log_p.isfinite().all() or not posterior.isfinite().all():
        raise Wrong(
            "right for small numbers, but at log p(x, y) = -2000, usual for an image, exp gives 0"
            " and its logarithm -inf: torch.logsumexp(log_joint, -1) takes the largest term out"
            " first."
        )
    _match(log_p, truth[0] - 2000, "at log p(x, y) near -2000, log p(x)", {})
    _match(posterior, truth[1], "at log p(x, y) near -2000, p(y|x)", {})
    return (
        "both agree with 50-digit arithmetic, also where log p(x, y) is -2000 and its"
        " exponential 0."
    )


def _exactly(log_joint: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x) and p(y|x) with 50 digits."""
    with localcontext() as context:
        context.prec = 50
        rows = [[Decimal(a).exp() for a in row] for row in log_joint.tolist()]
        log_p = [float(sum(row).ln()) for row in rows]
        posterior = [[float(a / sum(row)) for a in row] for row in rows]
    return torch.tensor(log_p, dtype=torch.float64), torch.tensor(posterior, dtype=torch.float64)


# ---- the area under the ROC curve


def _judge_auc(auc) -> str:
    random = torch.Generator().manual_seed(0)
    inside = torch.randn(70, generator=random, dtype=torch.float64) + 0.6
    outside = torch.randn(45, generator=random, dtype=torch.float64)
    cases = {
        "distinct scores": (inside, outside),
        "scores with ties": ((inside * 1.5).round(), (outside * 1.5).round()),
    }
    for name, (a, b) in cases.items():
        value, truth = _number(auc(a.clone(), b.clone()), "auc"), _area(a, b)
        ties = (a[:, None] == b).double().mean().item()
        mistakes = {
            "you compared the wrong way round: the share of pairs in which the one from inside scores higher": (
                1 - truth
            ),
            "it is in percent: a number between 0 and 1": 100 * truth,
            "you counted the pairs: divide by their number, len(inside) * len(outside)": (
                truth * len(a) * len(b)
            ),
            "you divided by the number of scores inside only": truth * len(b),
            "you divided by the number of scores outside only": truth * len(a),
            "you divided by the number of scores: divide by that of pairs, len(inside) * len(outside)": (
                truth * len(a) * len(b) / (len(a) + len(b))
            ),
            "this is the mean difference: only which of the two is higher counts": (
                (a.mean() - b.mean()).item()
            ),
            "a sigmoid is no comparison: a pair counts 1, or 0, or one half for a tie": (
                torch.sigmoid(a[:, None] - b).mean().item()
            ),
            "this is the accuracy at one threshold; the AUC has none": (
                ((a > 0).double().mean() + (b <= 0).double().mean()).item() / 2
            ),
        }
        if ties:
            mistakes |= {
                "a tie counts nothing with you: it counts half": truth - ties / 2,
                "a tie counts fully with you: it counts half": truth + ties / 2,
            }
        for mistake, other in mistakes.items():
            if abs(value - other) < 1e-6 and abs(value - truth) > 1e-6:
                raise Wrong(f"{mistake}.")
        if not abs(value - truth) <= 1e-6:  # written so that NaN is wrong, too
            raise Wrong(
                f"for {name} the AUC is {value:.4f} where {truth:.4f} is right: compare each of"
                " inside with each of outside."
            )
    small = _number(auc(torch.full((3,), 2.0), torch.full((5,), 2.0)), "auc")
    if not abs(small - 0.5) <= 1e-6:
        raise Wrong(
            f"if all scores are equal they tell nothing, and the AUC is 0.5; yours is {small:.2f}."
        )
    return (
        "the share of pairs agrees with the area under the ROC curve,"
        f" {_area(*cases['scores with ties']):.4f} where there are ties."
    )


def _area(inside: Tensor, outside: Tensor) -> float:
    """By trapezoids, threshold by threshold."""
    thresholds = torch.cat([inside, outside]).unique().flip(0)
    accepted = [
        torch.cat([torch.zeros(1), torch.stack([(a >= t).double().mean() for t in thresholds])])
        for a in (inside, outside)
    ]
    return torch.trapezoid(accepted[0], accepted[1]).item()


# ---- a pixel given all the others


def _judge_pixel_given_rest(pixel_given_rest) -> str:
    D = 4
    random = torch.Generator().manual_seed(0)
    states = torch.tensor([*itertools.product([0.0, 1.0], repeat=D)], dtype=torch.float64)
    table = 2 * torch.randn(
        2**D, generator=random, dtype=torch.float64
    )  # any log-potential: dependencies of all pixels

    def log_potential(x: Tensor) -> Tensor:
        if x.shape[-1] != D or not ((x == 0) | (x == 1)).all():
            raise Wrong(
                f"log_potential got {tuple(x.shape)} with values from {x.min():.2g} to"
                f" {x.max():.2g}: whole images of 0 and 1."
            )
        return shift + table[(x @ 2 ** torch.arange(D - 1, -1, -1, dtype=x.dtype)).long()]

    shift = 0.0
    joint = table.softmax(0).reshape([2] * D)
    for i in range(D):
        given = states.clone()
        value = pixel_given_rest(given, i, log_potential)
        if not isinstance(value, Tensor):
            raise Wrong(f"pixel_given_rest should be a tensor, it is {type(value).__name__}.")
        if not torch.equal(given, states):
            raise Wrong(
                "you changed x itself: work on copies, x.clone(), or the caller's images are gone."
            )
        if value.shape == (len(states), D):
            raise Wrong(
                "you returned images: what is wanted is the probability of pixel i, one number for"
                " each row, (B,)."
            )
        _shape(value, (len(states),), "pixel_given_rest")
        both = joint / joint.sum(i, keepdim=True)  # p(x_i | rest) in the table of all states
        truth = both.select(i, 1).unsqueeze(i).expand_as(joint).reshape(-1)
        odds = truth.logit()
        chosen = table.softmax(0)
        on = joint.select(i, 1).unsqueeze(i).expand_as(joint).reshape(-1)
        if value.dtype == torch.bool or ((value == 0) | (value == 1)).all():
            raise Wrong("you drew the pixel, or rounded: return the probability that it is 1.")
        _match(
            value,
            truth,
            "p(x_i = 1 | the others)",
            {
                "this is the probability that pixel i is 0": 1 - truth,
                "this is the logarithm of the probability: take the exponential, or sigmoid in place of logsigmoid": (
                    truth.log()
                ),
                "these are the log-odds: a sigmoid makes a probability of them": odds,
                "these are the odds psi(1) / psi(0): divide by psi(0) + psi(1)": odds.exp(),
                "this is p(x), normalised over all images: only two images matter, with pixel i on and off": (
                    chosen
                ),
                "this is p(x with pixel i on) among all images: given the others, only two images are left": (
                    on
                ),
                "twice the difference: that factor is the Ising grid's spins', and log_potential knows it already": torch.sigmoid(
                    2 * odds
                ),
                "the one image is x as it came: clone it twice, with pixel i on and off": (
                    torch.where(states[:, i] == 1, 0.5, truth)
                ),
                "you set row i, an image: pixel i is a column, x[:, i]": _by_rows(
                    states, i, log_potential
                ),
                "the sigmoid of one log-potential: of the difference between pixel i on and off": (
                    torch.sigmoid(table)
                ),
                "the sigmoid of the log-potential with pixel i on: subtract the one with it off": (
                    torch.sigmoid(
                        table.reshape([2] * D)
                        .select(i, 1)
                        .unsqueeze(i)
                        .expand_as(joint)
                        .reshape(-1)
                    )
                ),
                "it is the probability of the value that pixel i has: of 1, whatever it is now": (
                    torch.where(states[:, i] == 1, truth, 1 - truth)
                ),
            },
        )
    shift = 1500.0  # the potentials of a large grid
    value = pixel_given_rest(states.clone(), 0, log_potential)
    if not value.isfinite().all():
        raise Wrong(
            "right for small numbers, but a log-potential of 1500, usual for a large grid,"
            " overflows in exp: the sigmoid of the difference of two log-potentials never takes it."
        )
    _match(
        value,
        joint.select(0, 1).div(joint.sum(0)).expand_as(joint).reshape(-1),
        "at log-potentials near 1500, p(x_i = 1 | the others)",
        {},
    )
    return (
        "for potentials that tie all four pixels together it agrees with the table of all 16"
        " images, and Z was never needed."
    )


def _by_rows(states: Tensor, i: int, log_potential) -> Tensor:
    on, off = states.clone(), states.clone()
    on[i], off[i] = 1, 0
    return torch.sigmoid(log_potential(on) - log_potential(off))


# ---- what all three share


def _two(answer, name: str, what: str) -> tuple[Tensor, Tensor]:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong(f"{name} returns two tensors: {what}.")
    for value in answer:
        if not isinstance(value, Tensor):
            raise Wrong(f"{name} returns two tensors, one of yours is {type(value).__name__}.")
    return tuple(a.detach() for a in answer)


def _number(value, name: str) -> float:
    if isinstance(value, str):
        raise Wrong(f"{name} is one number, yours is a text.")
    value = torch.as_tensor(value)
    if value.numel() != 1:
        raise Wrong(
            f"{name} is one number, yours has shape {tuple(value.shape)}: take the mean over all"
            " pairs."
        )
    return float(value)


def _shape(value: Tensor, shape: tuple, name: str) -> None:
    if value.shape != shape:
        raise Wrong(f"{name} has shape {tuple(value.shape)}, expected {shape}.")


def _match(value: Tensor, truth: Tensor, name: str, mistakes: dict[str, Tensor]) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """

    def same(other):
        return torch.allclose(value.double(), other.double(), rtol=1e-4, atol=1e-5)

    if same(truth):
        return
    for mistake, other in mistakes.items():
        if same(other):
            raise Wrong(f"{mistake}.")
    row = int(
        (value - truth).abs().reshape(len(value), -1).max(-1).values.nan_to_num(torch.inf).argmax()
    )
    raise Wrong(
        f"{name} is {_words(value[row])} where {_words(truth[row])} is right (row {row} of the"
        " test)."
    )


def _words(value: Tensor) -> str:
    return ", ".join(f"{a:.4f}" for a in value.reshape(-1).tolist())


posterior_and_evidence = Exercise(
    name="posterior_and_evidence",
    solution=_posterior_and_evidence,
    judge=_judge_posterior_and_evidence,
    hints=[
        "p(x) is the sum of p(x, y) over y, and p(y|x) = p(x, y) / p(x). You are given logarithms.",
        (
            "log of a sum of exponentials: torch.logsumexp(log_joint, -1). Dividing is subtracting"
            " logarithms."
        ),
        (
            "log_p = torch.logsumexp(log_joint, -1); the posterior is torch.exp(log_joint -"
            " log_p[:, None])."
        ),
    ],
)
auc = Exercise(
    name="auc",
    solution=_auc,
    judge=_judge_auc,
    hints=[
        "Take each score from inside with each from outside: how often is the first the larger?",
        (
            "inside[:, None] - outside is an (N, M) table of differences. A difference of 0 counts"
            " one half."
        ),
        "d = inside[:, None] - outside; then ((d > 0).float() + 0.5 * (d == 0).float()).mean().",
    ],
)
pixel_given_rest = Exercise(
    name="pixel_given_rest",
    solution=_pixel_given_rest,
    judge=_judge_pixel_given_rest,
    hints=[
        (
            "Given all the others, only two images are left: pixel i on, and pixel i off. Z is the"
            " same for both."
        ),
        "psi(on) / (psi(on) + psi(off)) is the sigmoid of log psi(on) - log psi(off).",
        (
            "on, off = x.clone(), x.clone(); on[:, i] = 1; off[:, i] = 0;"
            " torch.sigmoid(log_potential(on) - log_potential(off))."
        ),
    ],
)
