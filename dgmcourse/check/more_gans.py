"""Checks of notebook 06: the auxiliary classifier's two objectives, the game on pairs, the maximum
mean discrepancy.

The truth comes from numpy in float64, derivatives worked out by hand included, and for the
discrepancy from a loop over pairs of points.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check._exercise import Exercise, Wrong

# ---- the course's own answers


def _auxiliary(
    real: Tensor, fake: Tensor, named_real: Tensor, named_fake: Tensor, y: Tensor, c: Tensor
):
    named = named_fake.gather(1, c[:, None])[:, 0]
    discriminator = (
        F.logsigmoid(real) + F.logsigmoid(-fake) + named_real.gather(1, y[:, None])[:, 0] + named
    )
    return discriminator, F.logsigmoid(fake) + named


def _bidirectional(
    x: Tensor, z: Tensor, encoder, generator, discriminator
) -> tuple[Tensor, Tensor]:
    found, made = encoder(x), generator(z)
    judges = F.logsigmoid(discriminator(x, found.detach())) + F.logsigmoid(
        -discriminator(made.detach(), z)
    )
    makers = F.logsigmoid(discriminator(made, z)) + F.logsigmoid(-discriminator(x, found))
    return judges, makers


def _mmd(z: Tensor, prior_z: Tensor, kernel) -> Tensor:
    def among(a):
        k = kernel(a, a)
        return (k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))

    return among(z) + among(prior_z) - 2 * kernel(z, prior_z).mean()


# ---- the auxiliary classifier's two objectives


def _judge_auxiliary(auxiliary) -> str:
    B, K = 6, 4
    random = np.random.RandomState(0)
    numbers = {"real": 2 * random.randn(B), "fake": 2 * random.randn(B)}
    scores = {name: random.randn(B, K) for name in ("named_real", "named_fake")}
    numbers |= {name: s - np.log(np.exp(s).sum(1, keepdims=True)) for name, s in scores.items()}
    y, c = np.array([0, 1, 2, 3, 1, 0]), np.array([3, 0, 1, 1, 2, 2])
    given = {name: torch.tensor(value, requires_grad=True) for name, value in numbers.items()}
    answer = auxiliary(*given.values(), torch.tensor(y), torch.tensor(c))
    found = _two(
        answer, B, ("the discriminator's objective", "the generator's objective"), _wrong_width(K)
    )

    real, fake, of_real, of_fake = numbers.values()
    rows = np.arange(B)
    log_real, log_not_fake, log_fake = (-np.logaddexp(0, -a) for a in (real, -fake, fake))
    class_real, class_fake, swapped = of_real[rows, y], of_fake[rows, c], of_fake[rows, y]
    D, G = log_real + log_not_fake + class_real + class_fake, log_fake + class_fake
    _order(found, (D, G), "the discriminator's objective first, then the generator's")
    _match(
        found[0],
        D,
        "the discriminator's objective",
        {
            "you returned a loss: here everything is maximised": -D,
            "the class is missing: add log p(y|x) and log p(c|G(z, c))": log_real + log_not_fake,
            "only the real image's class is in it: the discriminator has to name the fake's, too": (
                D - class_fake
            ),
            "only the fake's class is in it: the discriminator learns the classes from the real images": (
                D - class_real
            ),
            "source is missing: add log D(x) and log(1 - D(G(z, c)))": class_real + class_fake,
            "the fake's class is subtracted: the discriminator, too, gains by naming it right": (
                D - 2 * class_fake
            ),
            "the classes are subtracted: log p(y|x) is to be maximised": (
                D - 2 * (class_real + class_fake)
            ),
            "you asked whether the fake has the real image's class y: it was told c": (
                D - class_fake + swapped
            ),
            "you asked whether the real image has the fake's class c: its label is y": (
                D - class_real + of_real[rows, c]
            ),
            "log D(G) where log(1 - D(G)) belongs: the discriminator wants fakes to be found out": (
                log_real + log_fake + class_real + class_fake
            ),
            "log(1 - D(x)) where log D(x) belongs": (
                log_real - real + log_not_fake + class_real + class_fake
            ),
            "log(1 - D(G)) is missing": D - log_not_fake,
            "log D(x) is missing": D - log_real,
            "you averaged the class terms: each counts in full": (
                log_real + log_not_fake + (class_real + class_fake) / 2
            ),
            'you averaged the class terms over the batch: each image has its own (reduction="none" in a library\'s function)': (
                log_real + log_not_fake + class_real.mean() + class_fake.mean()
            ),
            "you took the most probable class, not the one that y (or c) names": (
                log_real + log_not_fake + of_real.max(1) + of_fake.max(1)
            ),
            "you added the probability of the class: named_real and named_fake are logarithms already, no .exp()": (
                log_real + log_not_fake + np.exp(class_real) + np.exp(class_fake)
            ),
            "you added the logarithms of all classes: pick the one that y (or c) names": (
                log_real + log_not_fake + of_real.sum(1) + of_fake.sum(1)
            ),
            "logits stand where logarithms belong: log D is F.logsigmoid(real)": (
                real - fake + class_real + class_fake
            ),
            "log(1 - D(G)) enters with the wrong sign": D - 2 * log_not_fake,
        },
    )
    _match(
        found[1],
        G,
        "the generator's objective",
        {
            "you returned a loss: here everything is maximised": -G,
            "it is -log(1 - D(G)) plus the class, whose gradient vanishes while the fakes are bad: use log D(G)": (
                -log_not_fake + class_fake
            ),
            "the class is missing: a generator that is not asked for it draws what it likes": (
                log_fake
            ),
            "log D(G) is missing: only the class is asked for, not a likely image": class_fake,
            "the class is subtracted: generator and discriminator agree that it should be seen": (
                log_fake - class_fake
            ),
            "it is log(1 - D(G)): this generator wants to be found out": log_not_fake + class_fake,
            "you asked for the real image's class y: the fake was told c": log_fake + swapped,
            "it is L_C - L_S to the letter: leave out the real images, which no generator can change, and take log D(G) in place of -log(1 - D(G)), as in notebook 04": (
                class_real + class_fake - log_real - log_not_fake
            ),
            "it holds terms of the real images, which no generator can change": [
                G + class_real,
                G + log_real,
                G + log_real + class_real,
                class_real + class_fake - log_not_fake,
                class_fake - log_real - log_not_fake,
            ],
        },
    )

    sure = [torch.tensor([-900.0, 900.0], dtype=torch.float64) for _ in range(2)]
    flat = torch.full((2, K), -math.log(K), dtype=torch.float64)
    extreme = auxiliary(sure[0], sure[1], flat, flat, torch.tensor([0, 1]), torch.tensor([2, 3]))
    _from_logits(
        extreme,
        (np.array([-900.0, -900.0]) - 2 * math.log(K), np.array([-900.0, 0.0]) - math.log(K)),
    )

    def one(where):
        slopes = np.zeros((B, K))
        slopes[rows, where] = 1
        return slopes

    up = {
        "real": _sigmoid(-real),
        "fake": -_sigmoid(fake),
        "named_real": one(y),
        "named_fake": one(c),
    }
    _gradients("the discriminator's objective", found[0], given, up)
    _gradients(
        "the generator's objective",
        found[1],
        given,
        {"fake": _sigmoid(-fake), "named_fake": one(c)},
    )
    return (
        f"values and gradients agree with numpy's to {_off(found, (D, G)):.0e} nats, at logits of"
        " 900, too. Both players want the class to be seen."
    )


def _wrong_width(K: int):
    def explain(value: Tensor, name: str) -> None:
        if value.dim() == 2 and value.shape[-1] == K:
            raise Wrong(
                f"{name} has one number for each class: pick the one that y (or c) names,"
                " .gather(1, y[:, None])[:, 0]."
            )
        if value.dim() == 2:
            raise Wrong(
                f"{name} has shape {tuple(value.shape)}: named[:, y] picks every label's column for"
                " every row. Use .gather(1, y[:, None])[:, 0], or squeeze what has a last axis"
                " of 1."
            )

    return explain


# ---- the game on pairs


class _Linear:
    """x -> x A, which remembers what it was given."""

    def __init__(self, A: np.ndarray):
        self.A, self.asked = torch.tensor(A, requires_grad=True), []

    def __call__(self, given: Tensor) -> Tensor:
        if given.shape[-1] != len(self.A):
            which = "the encoder takes x" if len(self.A) == 3 else "the generator takes z"
            raise Wrong(
                f"{which}, {len(self.A)} numbers in each row: you gave it rows of"
                f" {given.shape[-1]}."
            )
        return given @ self.A


class _Pairs:
    """D(x, z) = x u + z v + x W z: it hears whether x and z belong together."""

    def __init__(self, u, v, W):
        self.u, self.v, self.W = (torch.tensor(a, requires_grad=True) for a in (u, v, W))

    def __call__(self, x: Tensor, z: Tensor) -> Tensor:
        if x.shape[-1] != 3 or z.shape[-1] != 2:
            raise Wrong(
                "discriminator(x, z) takes the picture first, (B, 3) here, then the code, (B, 2):"
                f" you gave it {tuple(x.shape)} and {tuple(z.shape)}."
            )
        return x @ self.u + z @ self.v + ((x @ self.W) * z).sum(-1)


def _judge_bidirectional(bidirectional) -> str:
    B = 5
    random = np.random.RandomState(1)
    x, z, A, E = random.randn(B, 3), random.randn(B, 2), random.randn(2, 3), random.randn(3, 2)
    u, v, W = random.randn(3), random.randn(2), random.randn(3, 2)

    def fresh():
        return _Linear(E), _Linear(A), _Pairs(u, v, W)

    encoder, generator, discriminator = fresh()
    answer = bidirectional(torch.tensor(x), torch.tensor(z), encoder, generator, discriminator)
    names = ("the discriminator's objective", "generator and encoder's objective")
    found = _two(answer, B, names)

    def D(x, z):
        return x @ u + z @ v + ((x @ W) * z).sum(-1)

    def log_sigmoid(a):
        return -np.logaddexp(0, -a)

    made, code = z @ A, x @ E
    real, fake = D(x, code), D(made, z)
    judges, makers = log_sigmoid(real) + log_sigmoid(-fake), log_sigmoid(fake) + log_sigmoid(-real)
    loose, again, both = D(x, z), D(made, made @ E), D(code @ A, code)
    _order(
        found,
        (judges, makers),
        "the discriminator's objective first, then that of generator and encoder",
    )
    _match(
        found[0],
        judges,
        names[0],
        {
            "you returned a loss: here everything is maximised": -judges,
            "you paired x with the z drawn from the prior: a real picture's code is E(x)": (
                log_sigmoid(loose) + log_sigmoid(-fake)
            ),
            "you paired G(z) with E(G(z)): the generator's pair has the z it was drawn from": (
                log_sigmoid(real) + log_sigmoid(-again)
            ),
            "you compared x with its reconstruction G(E(x)): the second pair is (G(z), z), a z from the prior": (
                log_sigmoid(real) + log_sigmoid(-both)
            ),
            "you exchanged the codes: x goes with its own E(x), G(z) with the z it was drawn from": (
                log_sigmoid(loose) + log_sigmoid(-D(made, code))
            ),
            "you paired G(E(x)) with z: the generator's picture is G(z), drawn from that very z": (
                log_sigmoid(real) + log_sigmoid(-D(code @ A, z))
            ),
            "1 - log D(G(z), z) where log(1 - D(G(z), z)) belongs: F.logsigmoid(-logit)": (
                log_sigmoid(real) + 1 - log_sigmoid(fake)
            ),
            "the generator's pair is missing: log(1 - D(G(z), z))": log_sigmoid(real),
            "the encoder's pair is missing: log D(x, E(x))": log_sigmoid(-fake),
            "log D(G(z), z) where log(1 - D(G(z), z)) belongs": (
                log_sigmoid(real) + log_sigmoid(fake)
            ),
            "log(1 - D(G(z), z)) enters with the wrong sign": (
                log_sigmoid(real) - log_sigmoid(-fake)
            ),
            "you returned differences of logits: this is no Wasserstein GAN, take log D and log(1 - D)": (
                real - fake
            ),
        },
    )
    _match(
        found[1],
        makers,
        names[1],
        {
            "you returned a loss: here everything is maximised": -makers,
            "it is minus the discriminator's, whose gradient vanishes while the pairs are told apart easily: take each pair for the other, log D(G(z), z) + log(1 - D(x, E(x)))": (
                -judges
            ),
            "the encoder's term is missing, so nothing teaches the encoder: add log(1 - D(x, E(x)))": log_sigmoid(
                fake
            ),
            "the generator's term is missing, so nothing teaches the generator: add log D(G(z), z)": log_sigmoid(
                -real
            ),
            "log D(x, E(x)) where log(1 - D(x, E(x))) belongs: the encoder, too, wants its pair to be taken for the other kind": (
                log_sigmoid(fake) + log_sigmoid(real)
            ),
            "it is what the discriminator wants: turn both pairs round": judges,
            "it has a reconstruction error in it: this game never compares pixels": [
                makers - ((x - code @ A) ** 2).sum(-1),
                makers - ((z - made @ E) ** 2).sum(-1),
            ],
            "you paired x with the z drawn from the prior: a real picture's code is E(x)": (
                log_sigmoid(fake) + log_sigmoid(-loose)
            ),
        },
    )

    nets = fresh()
    far = [torch.tensor(x), torch.tensor(z)]
    nets[2].u = torch.tensor([900.0, 0.0, 0.0], dtype=torch.float64)
    nets[2].v, nets[2].W = nets[2].v * 0, nets[2].W * 0
    a, b = 900.0 * x[:, 0], 900.0 * made[:, 0]
    truth = (log_sigmoid(a) + log_sigmoid(-b), log_sigmoid(b) + log_sigmoid(-a))
    _from_logits(bidirectional(*far, *nets), truth)

    _on_the_graph(names[0], found[0])
    weights = {"encoder": encoder.A, "generator": generator.A}
    slope_code = v + x @ W  # of D(x, z) in z, and in x
    slope_made = u + z @ W.T
    up = {
        "encoder": -x.T @ (_sigmoid(real)[:, None] * slope_code),
        "generator": z.T @ (_sigmoid(-fake)[:, None] * slope_made),
    }
    leak = torch.autograd.grad(
        found[0].sum(), list(weights.values()), allow_unused=True, retain_graph=True
    )
    for name, gradient in zip(weights, leak, strict=True):
        if gradient is not None and gradient.abs().max() > 0:
            raise Wrong(
                f"the discriminator's objective sends a gradient to the {name}, which would help"
                " the discriminator against itself: in its turn the others stand still,"
                " encoder(x).detach(), generator(z).detach()."
            )
    judge = {"u": discriminator.u, "v": discriminator.v, "W": discriminator.W}
    r, f = _sigmoid(-real)[:, None], _sigmoid(fake)[:, None]
    _gradients(
        names[0],
        found[0],
        judge,
        {
            "u": (r * x - f * made).sum(0),
            "v": (r * code - f * z).sum(0),
            "W": x.T @ (r * code) - made.T @ (f * z),
        },
    )
    _gradients(names[1], found[1], weights, up)
    return (
        f"values and gradients agree with numpy's to {_off(found, (judges, makers)):.0e} nats, and"
        " nothing of the discriminator's objective reaches the other two. No pixel was compared."
    )


# ---- the maximum mean discrepancy


def _judge_mmd(mmd) -> str:
    random = np.random.RandomState(2)
    a, b = random.randn(5, 2), 0.5 + random.randn(7, 2)

    def k(p, q):
        return math.exp(-((p - q) ** 2).sum() / 3) + 0.1 * float(p[0] * q[0])

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        if p.dim() != 2 or q.dim() != 2:
            raise Wrong(
                f"kernel takes two sets of codes, (N, K) and (M, K): you gave it {tuple(p.shape)}"
                f" and {tuple(q.shape)}."
            )
        return torch.exp(-((p[:, None] - q) ** 2).sum(-1) / 3) + 0.1 * p[:, None, 0] * q[:, 0]

    def pairs(p, q, distinct=False):
        return [
            k(p[i], q[j]) for i in range(len(p)) for j in range(len(q)) if not (distinct and i == j)
        ]

    z, prior_z = torch.tensor(a, requires_grad=True), torch.tensor(b)
    value = mmd(z, prior_z, kernel)
    if not isinstance(value, Tensor):
        raise Wrong(
            f"mmd should be a tensor, it is {type(value).__name__}: a number of Python's carries no"
            " gradient."
        )
    if value.numel() != 1:
        raise Wrong(
            f"mmd has shape {tuple(value.shape)}: it is one number for the two sets, sum over all"
            " pairs."
        )
    if value.dim():
        raise Wrong(f"mmd has shape {tuple(value.shape)}: return a scalar, without axes.")
    N, M = len(a), len(b)
    aa, bb, ab = np.mean(pairs(a, a, True)), np.mean(pairs(b, b, True)), np.mean(pairs(a, b))
    aa_all, bb_all = np.mean(pairs(a, a)), np.mean(pairs(b, b))
    right = aa + bb - 2 * ab
    matched = np.mean([k(a[i], b[i]) for i in range(N)])
    aa_short, bb_short = aa * (N - 1) / N, bb * (M - 1) / M
    diagonal_left = aa_all * N / (N - 1) + bb_all * M / (M - 1) - 2 * ab
    _match(
        value.detach()[None],
        np.array([right]),
        "mmd",
        {
            "the sign is turned round: a large discrepancy should be a large number": np.array(
                [-right]
            ),
            "the pairs of a point with itself are in it, i = j: that makes two samples of one distribution look different. Leave them out and divide by N (N - 1)": np.array(
                [aa_all + bb_all - 2 * ab]
            ),
            "you divide by N (N - 1) but left the pairs i = j in the sum: subtract the kernel's diagonal": np.array(
                [diagonal_left]
            ),
            "you left the pairs i = j out of the sum but divide by N^2: there are N (N - 1) left": (
                np.array([aa_short + bb_short - 2 * ab])
            ),
            "you took the kernel of a point with itself for 1, which not every kernel gives: subtract k.diagonal().sum()": np.array(
                [
                    (sum(pairs(a, a)) - N) / (N * (N - 1))
                    + (sum(pairs(b, b)) - M) / (M * (M - 1))
                    - 2 * ab
                ]
            ),
            "you counted each pair once, (i, j) and not (j, i), but divide by N (N - 1): of these there are half as many": np.array(
                [aa / 2 + bb / 2 - 2 * ab]
            ),
            "the prior's pairs are divided by the number of pairs in z: there are M (M - 1), and M need not be N": np.array(
                [aa + bb * M * (M - 1) / (N * (N - 1)) - 2 * ab]
            ),
            "between the sets no pair is left out: z_i and the i-th draw are two points like any others": [
                np.array([aa + bb - 2 * (sum(pairs(a, b)) - N * matched) / pairs_between])
                for pairs_between in (N * (M - 1), N * M, N * M - N)
            ],
            "between the sets all pairs count, not only the i-th point of one with the i-th of the other": np.array(
                [aa + bb - 2 * matched]
            ),
            "the pairs between the sets count twice: subtract 2 times their mean": np.array(
                [aa + bb - ab]
            ),
            "the pairs between the sets enter with the wrong sign": np.array([aa + bb + 2 * ab]),
            "the pairs between the sets are missing": np.array([aa + bb]),
            "the pairs within the prior's codes are missing: they change no gradient, but without them it is no discrepancy": np.array(
                [aa - 2 * ab]
            ),
            "the pairs within z are missing: without them nothing pushes codes apart": np.array(
                [bb - 2 * ab]
            ),
            "you took the square root: the square is asked for": np.array(
                [math.sqrt(max(right, 0.0))]
            ),
            "you summed over the pairs: take means": np.array(
                [sum(pairs(a, a, True)) + sum(pairs(b, b, True)) - 2 * sum(pairs(a, b))]
            ),
            "it is the distance of the two means, not a mean over pairs of the kernel": np.array(
                [((a.mean(0) - b.mean(0)) ** 2).sum()]
            ),
        },
    )
    _on_the_graph("mmd", value)

    def slope(p, q):  # of k(p, q) in p
        return -2 / 3 * (p - q) * math.exp(-((p - q) ** 2).sum() / 3) + 0.1 * np.array([q[0], 0.0])

    near = a + 0.1
    if not _same(mmd(torch.tensor(near), torch.tensor(a), kernel), _unbiased(near, a, k)):
        raise Wrong(
            "mmd is right where it is positive, wrong where it is negative: it scatters about 0 if"
            " both sets come from one distribution, so don't clip it."
        )
    by_hand = np.stack(
        [
            2 / (N * (N - 1)) * sum(slope(a[i], a[j]) for j in range(N) if j != i)
            - 2 / (N * M) * sum(slope(a[i], q) for q in b)
            for i in range(N)
        ]
    )
    _gradients("mmd", value, {"z": z}, {"z": by_hand})
    return (
        f"a loop over all {N * (N - 1) + M * (M - 1) + N * M} pairs gives the same to"
        f" {abs(value.item() - right):.0e}, and so does its gradient in the codes. Unbiased, it may"
        " be negative."
    )


def _unbiased(a: np.ndarray, b: np.ndarray, k) -> np.ndarray:
    """MMD^2 by a loop over pairs."""
    n, m = len(a), len(b)
    within = [
        sum(k(p[i], p[j]) for i in range(len(p)) for j in range(len(p)) if i != j)
        / (len(p) * (len(p) - 1))
        for p in (a, b)
    ]
    return np.array(sum(within) - 2 * sum(k(p, q) for p in a for q in b) / (n * m))


# ---- what the three share


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -a))


def _two(answer, n: int, names: tuple[str, str], explain=None) -> tuple[Tensor, Tensor]:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong(f"return two tensors, each of shape (B,): {names[0]}, then {names[1]}.")
    for value, name in zip(answer, names, strict=True):
        if not isinstance(value, Tensor):
            raise Wrong(f"{name} should be a tensor, it is {type(value).__name__}.")
        if value.dim() == 0:
            raise Wrong(
                f"{name} is one number for the whole batch: keep one for each row, (B,). The"
                " training takes the mean."
            )
        if explain:
            explain(value, name)
        if value.shape != (n,):
            raise Wrong(f"{name} has shape {tuple(value.shape)}, expected {(n,)}.")
    return tuple(answer)


def _same(value: Tensor, truth: np.ndarray) -> bool:
    return bool(np.allclose(value.detach().double().numpy(), truth, rtol=1e-5, atol=1e-5))


def _off(values, truths) -> float:
    return (
        max(np.abs(v.detach().numpy() - t).max() for v, t in zip(values, truths, strict=True))
        + 1e-16
    )


def _order(found: tuple[Tensor, Tensor], truth: tuple[np.ndarray, np.ndarray], order: str) -> None:
    if _same(found[0], truth[1]) and _same(found[1], truth[0]):
        raise Wrong(f"both are right, but in the wrong order: return {order}.")


def _match(value: Tensor, truth: np.ndarray, name: str, mistakes: dict) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """
    if _same(value, truth):
        return
    for mistake, others in mistakes.items():
        if any(_same(value, other) for other in (others if isinstance(others, list) else [others])):
            raise Wrong(f"{name}: {mistake}.")
    if value.isnan().any():
        raise Wrong(
            f"{name} is not a number (NaN): a logarithm of something negative? A logit is any"
            " number, log D is F.logsigmoid(logit)."
        )
    difference = np.abs(value.detach().numpy() - truth)
    i = int(difference.argmax())
    where = f" (row {i} of the test)" if len(truth) > 1 else ""
    raise Wrong(f"{name} is {value[i].item():.4f} where {truth[i]:.4f} is right{where}.")


def _from_logits(found, truth: tuple[np.ndarray, np.ndarray]) -> None:
    """Logits of 900: a sigmoid is exactly 0 or 1 there, its logarithm is not to be had any more."""
    for value, right in zip(found, truth, strict=True):
        if not _same(value, right):
            raise Wrong(
                "right for small logits, wrong for a discriminator that is sure: log(sigmoid(900))"
                " and log(1 - sigmoid(900)) round to 0 and minus infinity. log D is"
                " F.logsigmoid(logit), log(1 - D) is F.logsigmoid(-logit)."
            )


def _on_the_graph(name: str, value: Tensor) -> None:
    if not value.requires_grad:
        raise Wrong(
            f"{name} has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )


def _gradients(
    name: str, value: Tensor, parameters: dict[str, Tensor], truth: dict[str, np.ndarray]
) -> None:
    """Raise Wrong unless value's gradients are `truth`'s; where that says nothing there should be
    none.
    """
    _on_the_graph(name, value)
    got = torch.autograd.grad(
        value.sum(), list(parameters.values()), allow_unused=True, retain_graph=True
    )
    for parameter, gradient in zip(parameters, got, strict=True):
        gradient = torch.zeros_like(parameters[parameter]) if gradient is None else gradient
        right = truth.get(parameter, np.zeros(1))
        if not np.allclose(gradient.numpy(), right, rtol=1e-5, atol=1e-6):
            lost = (
                "no gradient reaches" if gradient.abs().max() == 0 else "a wrong gradient reaches"
            )
            raise Wrong(
                f"the value of {name} is right, but {lost} {parameter}: is part of it cut off"
                " (.detach(), .data, torch.no_grad()), or not cut off where it should be?"
            )


auxiliary = Exercise(
    name="auxiliary",
    solution=_auxiliary,
    judge=_judge_auxiliary,
    hints=[
        (
            "Four terms for the discriminator: is x real, is G(z, c) a fake, what is x's class,"
            " what is the fake's. Two for the generator."
        ),
        (
            "log D is F.logsigmoid(logit), log(1 - D) is F.logsigmoid(-logit). Of named_real, (B,"
            " 10), you want for each row the column y: named_real.gather(1, y[:, None])[:, 0]; of"
            " named_fake the column c."
        ),
        (
            "named = named_fake.gather(1, c[:, None])[:, 0]; the generator's is F.logsigmoid(fake)"
            " + named; the discriminator's is F.logsigmoid(real) + F.logsigmoid(-fake) +"
            " named_real.gather(1, y[:, None])[:, 0] + named."
        ),
    ],
)
bidirectional = Exercise(
    name="bidirectional",
    solution=_bidirectional,
    judge=_judge_bidirectional,
    hints=[
        (
            "Two pairs: (x, E(x)), which D should call real, and (G(z), z), which it should not."
            " Generator and encoder want the reverse."
        ),
        (
            "found = encoder(x) and made = generator(z); in the discriminator's objective use"
            " found.detach() and made.detach()."
        ),
        (
            "F.logsigmoid(discriminator(x, found.detach())) +"
            " F.logsigmoid(-discriminator(made.detach(), z)) is the first; the second has no"
            " .detach() and the signs of both logits turned."
        ),
    ],
)
mmd = Exercise(
    name="mmd",
    solution=_mmd,
    judge=_judge_mmd,
    hints=[
        (
            "Three means of the kernel: over pairs within z, over pairs within prior_z, and over"
            " pairs of one with the other."
        ),
        (
            "k = kernel(z, z) is (N, N), its diagonal holds the pairs i = j: k.sum() -"
            " k.diagonal().sum() leaves them out, and N (N - 1) pairs remain."
        ),
        (
            "within(z) + within(prior_z) - 2 * kernel(z, prior_z).mean(), with within(a) = (k.sum()"
            " - k.diagonal().sum()) / (n * (n - 1))."
        ),
    ],
)
