"""Checks of notebook 10: the mask, the log-likelihood of a chain of pixels, one step of drawing.

The truth comes from counting places in the order of reading, and from enumerating every image of
three pixels.
"""

import itertools

import numpy as np
import torch
from torch import Tensor

from dgmcourse.check._exercise import Blank, Exercise, Wrong
from dgmcourse.check._old import _tensor

ROWS = (
    20_000  # copies of one beginning: the share of ones among them is the probability that was used
)
SIGMAS = 6.0


# ---- the course's own answers


def _mask(size: int, kind: str) -> Tensor:
    result, centre = torch.zeros(size, size), size // 2
    result[:centre] = 1
    result[centre, : centre + (kind == "B")] = 1
    return result


def _log_prob(x: Tensor, net) -> Tensor:
    logits = net(x)
    return (
        x * torch.nn.functional.logsigmoid(logits)
        + (1 - x) * torch.nn.functional.logsigmoid(-logits)
    ).sum(-1)


def _draw(x: Tensor, i: int, net) -> Tensor:
    p = torch.sigmoid(net(x)[:, i])
    x = x.clone()
    x[:, i] = torch.bernoulli(p)
    return x


# ---- the mask


def _read_before(size: int, own: bool) -> np.ndarray:
    """1 where a place of the kernel comes before its centre when one reads line by line (or is it,
    if own).
    """
    order = np.arange(size * size).reshape(size, size)
    centre = order[size // 2, size // 2]
    return (order <= centre if own else order < centre).astype(float)


def _judge_mask(mask) -> str:
    found = {}
    for size, kind in itertools.product((3, 5, 7), "AB"):
        value = mask(size, kind)
        if isinstance(value, np.ndarray | list):
            value = torch.as_tensor(value)
        value = _tensor(value, "mask")
        if value.shape != (size, size):
            raise Wrong(
                f"mask({size}, {kind!r}) has shape {tuple(value.shape)}: it is square, ({size},"
                f" {size})."
            )
        found[size, kind] = value.double().detach().numpy()
        if not np.isin(found[size, kind], (0, 1)).all():
            raise Wrong(f"mask({size}, {kind!r}) has other numbers than 0 and 1 in it.")
    truth = {key: _read_before(key[0], key[1] == "B") for key in found}

    def all_are(change) -> bool:
        return all(np.array_equal(found[key], change(*key)) for key in found)

    def right(size, kind):
        return truth[size, kind]

    def centre_only(size, kind):
        return np.pad(truth[3, kind], (size - 3) // 2)

    def corner(size, kind):
        keep = truth[size, kind].copy()
        keep[:, size // 2 + 1 :] = 0
        return keep

    def whole_row(size, kind):
        keep = truth[size, kind].copy()
        keep[size // 2, size // 2 + 1 :] = 1
        return keep

    def quarter(size, kind):
        keep = truth[size, kind].copy()
        keep[: size // 2, size // 2 :] = 0
        return keep

    def no_row(size, kind):
        keep = truth[size, kind].copy()
        keep[size // 2, : size // 2] = 0
        return keep

    mistakes = {
        "the two kinds are interchanged: A leaves the centre out, B has it": lambda s, k: truth[
            s, "AB"[k == "A"]
        ],
        "kind A sees the centre as well: the pixel would be given itself to predict": lambda s, k: (
            truth[s, "B"]
        ),
        "kind B leaves the centre out, too: features at the centre know only earlier pixels, so B may use them": lambda s, k: (
            truth[s, "A"]
        ),
        "0 and 1 are interchanged: 1 is where the convolution may look": lambda s, k: (
            1 - truth[s, k]
        ),
        "it looks at the pixels after the centre, not at those before": lambda s, k: truth[s, k][
            ::-1, ::-1
        ],
        "rows and columns are interchanged: the order is line by line, mask[row, column]": (
            lambda s, k: truth[s, k].T
        ),
        "the rows below are open, those above are not: row 0 is the top": lambda s, k: truth[s, k][
            ::-1
        ],
        "in the centre's row it looks to the right: earlier pixels stand to the left": (
            lambda s, k: truth[s, k][:, ::-1]
        ),
        "above and to the right of the centre are earlier pixels, too: the rows above are open as a whole": (
            corner
        ),
        "only the quarter above and to the left is open: the rows above are, as a whole": quarter,
        "this is a triangle, of places whose row and column are compared: compare places with the centre, line by line": lambda s, k: (
            np.tri(s, k=-(k == "A"))
        ),
        "this is a triangle, of places to the right of the diagonal: compare places with the centre, line by line": lambda s, k: (
            np.tri(s, k=-(k == "A")).T
        ),
        "the centre's row is open to its end: pixels to the right of the centre come later": (
            whole_row
        ),
        "the centre's row is missing: the pixels to its left come earlier": no_row,
        "the rows above are missing": lambda s, k: truth[s, k] * (np.arange(s) == s // 2)[:, None],
        "it is right at size 3 only: a kernel of size 5 has two rows above its centre": centre_only,
    }
    if not all_are(right):
        for mistake, change in mistakes.items():
            if all_are(change):
                raise Wrong(f"{mistake}.")
        for (size, kind), value in found.items():
            off = np.argwhere(value != truth[size, kind])
            if len(off):
                r, c = off[0].tolist()
                word = (
                    "open, and comes not before the centre"
                    if value[r, c]
                    else "closed, though it may be seen"
                )
                raise Wrong(
                    f"mask({size}, {kind!r}) is wrong at {len(off)} places. The first, row {r},"
                    f" column {c}, is {word}."
                )
    return "for sizes 3, 5 and 7, A opens the {} and B the {} places that it should.".format(
        *(", ".join(str(int(truth[size, kind].sum())) for size in (3, 5, 7)) for kind in "AB")
    )


# ---- the log-likelihood


class _Chain:
    """Three pixels, each logit of which depends on those before: a table in place of a network."""

    first, second, third = 0.7, (-1.1, 0.4), ((0.3, -0.8), (1.6, -2.2))

    def __init__(self, scale: float = 1.0):
        self.scale, self.passes = scale, 0

    def __call__(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.shape[-1:] != (3,):
            raise Wrong(
                f"the network got {_shape_of(x)}: it takes whole images, (B, D), here of D = 3"
                " pixels."
            )
        self.passes += 1
        a, b = x[..., 0], x[..., 1]
        second = self.second[0] * (1 - a) + self.second[1] * a
        third = sum(
            self.third[i][j] * (a if i else 1 - a) * (b if j else 1 - b)
            for i, j in itertools.product((0, 1), repeat=2)
        )
        return self.scale * torch.stack([torch.full_like(a, self.first), second, third], -1)

    def conditionals(self, image) -> np.ndarray:
        """p(x_i | before) of the image's own values, by hand."""
        a, b, _ = map(int, image)
        logits = self.scale * np.array([self.first, self.second[a], self.third[a][b]])
        p = np.exp(-np.logaddexp(0, -logits))
        return np.where(np.array(image, bool), p, 1 - p)


def _judge_log_prob(log_prob) -> str:
    images = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    x, net = torch.tensor(images), _Chain()
    value = _tensor(log_prob(x, net), "log_prob")
    if value.shape == (8, 3):
        raise Wrong(
            "log_prob has shape (B, D), one number for each pixel: sum over the pixels, .sum(-1)."
        )
    if value.dim() == 0:
        raise Wrong(
            "log_prob is one number for the whole batch: sum over the pixels only and keep the"
            " batch, (B,)."
        )
    if value.shape == (3,):
        raise Wrong(
            "log_prob has shape (D,): you summed over the batch (axis 0). Sum over the pixels,"
            " .sum(-1)."
        )
    if value.shape != (8,):
        raise Wrong(f"log_prob has shape {tuple(value.shape)}, expected (B,), here (8,).")
    each = np.array([net.conditionals(image) for image in images])
    ones = np.where(images == 1, each, 1 - each)  # p(x_i = 1 | before)
    logits = np.log(ones / (1 - ones))
    shifted = np.roll(logits, 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mistakes = {
            "you averaged over the pixels: sum": np.log(each).mean(1),
            "it has the wrong sign: this is a loss, here everything is maximised": (
                -np.log(each).sum(1)
            ),
            "this is p(x), a product: take its logarithm, the sum of the logarithms": each.prod(1),
            "this is the sum of the probabilities: sum their logarithms": each.sum(1),
            "you multiplied the logarithms: the logarithm of a product is a sum": (
                np.log(each).prod(1)
            ),
            "the pixels that are 0 are missing: they add (1 - x) log(1 - p)": (
                (images * np.log(ones)).sum(1)
            ),
            "the pixels that are 1 are missing: they add x log p": (
                ((1 - images) * np.log(1 - ones)).sum(1)
            ),
            "0 and 1 are interchanged: a pixel that is 1 adds log p": np.log(1 - each).sum(1),
            "you took the logits for probabilities: p = sigmoid(logit)": (
                (images * np.log(logits) + (1 - images) * np.log(1 - logits)).sum(1)
            ),
            "log(1 - p) is logsigmoid(-logit), not logsigmoid(1 - logit)": (
                (images * np.log(ones) - (1 - images) * np.logaddexp(0, logits - 1)).sum(1)
            ),
            "the second term has 1 - log p in place of log(1 - p), which is logsigmoid(-logit)": (
                (images * np.log(ones) + (1 - images) * (1 - np.log(ones))).sum(1)
            ),
            "the second term has the wrong sign: both are added": (
                (np.where(images == 1, 1, -1) * np.log(each)).sum(1)
            ),
            "you took the logits for log-probabilities: log p = logsigmoid(logit)": (
                (images * logits).sum(1)
            ),
            "the second term has log p, too: a pixel that is 0 adds log(1 - p)": (
                np.log(ones).sum(1)
            ),
            "the logits are shifted by a pixel: net(x)[:, i] is of pixel i already, which it has not seen": (
                (images * shifted - np.logaddexp(0, shifted)).sum(1)
            ),
            "only the last pixel's conditional is there: multiply all of them": np.log(each)[:, -1],
            "these are bits, logarithms to base 2: nats, natural logarithms": np.log2(each).sum(1),
        }
    _match(value.detach().double().numpy(), np.log(each).sum(1), "log_prob", mistakes)
    sure = _Chain(60.0)
    wrong = torch.tensor([[0.0, 1.0, 1.0]], dtype=torch.float64)  # against all three logits
    truth = sum(-np.logaddexp(0, -s * 60.0 * v) for s, v in ((-1, 0.7), (1, -1.1), (1, -0.8)))
    found = _tensor(log_prob(wrong.float(), sure), "log_prob").detach().double().item()
    if not abs(found - truth) < 0.01:
        raise Wrong(
            f"an image with three sure and wrong pixels has log p = {truth:.0f} nats, yours"
            f" {found:.1f}: a probability was rounded or clamped. Stay with the logits: logsigmoid,"
            " or binary_cross_entropy_with_logits."
        )
    leaf = torch.tensor([0.1], dtype=torch.float64, requires_grad=True)
    moved = log_prob(x, lambda x: net(x) + leaf)
    if not moved.requires_grad:
        raise Wrong(
            "log_prob has no gradient: something cuts it off (.detach(), .item(), .numpy() or"
            " torch.no_grad())."
        )
    total = np.exp(value.detach().double().numpy()).sum()
    net.passes = 0
    log_prob(x, net)
    passes = (
        "one pass of the network"
        if net.passes == 1
        else f"{net.passes} passes of the network, where one gives all logits"
    )
    return f"over all 8 images of three pixels exp(log_prob) sums to {total:.6f}, with {passes}."


# ---- one step of drawing


def _judge_draw(draw) -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shares = []
        for i, beginning in ((2, (0.0, 1.0)), (2, (1.0, 0.0)), (1, (0.0,)), (1, (1.0,)), (0, ())):
            x = torch.zeros(ROWS, 3, dtype=torch.float64)
            x[:, :i] = torch.tensor(beginning, dtype=torch.float64)
            x[:, i + 1 :] = 0.5  # what is not drawn yet must not matter, and stay
            given, net = x.clone(), _Chain()
            result = _tensor(_called(draw, x, i, net), "draw")
            if result.shape == (ROWS,) or result.shape == (ROWS, 1):
                raise Wrong(
                    "draw returned the pixel alone: return the images, (B, D), with pixel i"
                    " filled in."
                )
            if result.shape != (ROWS, 3):
                raise Wrong(
                    f"draw has shape {tuple(result.shape)}, expected that of x, (B, D) ="
                    f" {(ROWS, 3)}."
                )
            result, pixel = result.detach().double(), result.detach().double()[:, i]
            p = net.conditionals([*beginning, *[1.0] * (3 - i)])[i]
            _one_pixel(result, given, i)
            if not torch.isin(pixel, torch.tensor([0.0, 1.0], dtype=torch.float64)).all():
                raise Wrong("pixel i is no 0 or 1: draw it, torch.bernoulli(p).")
            shares.append((i, beginning, p, pixel.mean().item()))
        _all_shares(shares)
    i, _, p, share = shares[-1]
    return (
        f"of {ROWS:,} draws of pixel {i}, {share:.3f} are 1, where p(x_{i} = 1 | x before) ="
        f" {p:.3f}; all other pixels are untouched."
    )


def _called(draw, x: Tensor, i: int, net) -> Tensor:
    """What draw returns; Wrong for two ways to return nothing of use, which otherwise look like a
    blank or an error of torch's.
    """
    given = x.clone()
    try:
        return draw(x, i, net)
    except Blank:
        if torch.equal(x, given):
            raise
        raise Wrong("draw changes x and returns nothing: end it with `return x`.") from None
    except RuntimeError as error:
        if f"({ROWS})" not in str(error) or "(3)" not in str(error):
            raise
        raise Wrong(
            "D numbers were put where B belong: net(x)[i] is row i, an image's logits; net(x)[:, i]"
            " are pixel i's, (B,)."
        ) from None


def _one_pixel(result: Tensor, given: Tensor, i: int) -> None:
    changed = (result != given).any(0)
    if changed[:i].any():
        raise Wrong(
            f"pixel {int(changed[:i].nonzero()[0])} has changed, which was drawn before: change"
            f" pixel i = {i} only."
        )
    if changed[i + 1 :].any():
        raise Wrong(
            f"pixel {i + 1 + int(changed[i + 1 :].nonzero()[0])} has changed, which comes later:"
            f" change pixel i = {i} only."
        )


def _all_shares(shares: list) -> None:
    """Raise Wrong unless each share of ones is that of its probability, within its standard
    error.
    """

    def fits(probability) -> bool:
        errors = [
            max((q * (1 - q) / ROWS) ** 0.5, 1e-4) for q in map(probability, range(len(shares)))
        ]
        return all(abs(s[3] - probability(k)) <= SIGMAS * errors[k] for k, s in enumerate(shares))

    true = [p for _, _, p, _ in shares]
    if fits(lambda k: true[k]):
        return
    net = _Chain()

    def of_pixel(k, other) -> float:
        """The probability that `net` gives another pixel on the same half-drawn image."""
        i, beginning = shares[k][:2]
        x = torch.full((1, 3), 0.5, dtype=torch.float64)
        x[0, :i], x[0, i] = torch.tensor(beginning, dtype=torch.float64), 0.0
        return torch.sigmoid(net(x))[0, other(i)].item()

    for mistake, probability in {
        "1 is drawn with the probability of 0: x_i = 1 where the noise is less than p": lambda k: (
            1 - true[k]
        ),
        "a fair coin is thrown: use sigmoid(net(x)[:, i])": lambda k: 0.5,
        "the logit is taken for the probability: p = sigmoid(logit)": lambda k: min(
            max(float(np.log(true[k] / (1 - true[k]))), 0.0), 1.0
        ),
        "the next pixel's logit is used: net(x)[:, i] is of pixel i": lambda k: of_pixel(
            k, lambda i: min(i + 1, 2)
        ),
        "the pixel before's logit is used: net(x)[:, i] is of pixel i, which it has not seen": (
            lambda k: of_pixel(k, lambda i: i - 1)
        ),
        "the first pixel's logit is used for every pixel: net(x)[:, i]": lambda k: of_pixel(
            k, lambda i: 0
        ),
        "the sigmoid is taken twice": lambda k: 1 / (1 + np.exp(-true[k])),
    }.items():
        if fits(probability):
            raise Wrong(f"{mistake}.")
    if all(share in (0.0, 1.0) for *_, share in shares):
        raise Wrong(
            "the pixel is the same in every image: you took the more probable value, or drew once"
            " for the whole batch. Draw one for each image, torch.bernoulli(p) with p of shape"
            " (B,)."
        )
    i, beginning, p, share = max(shares, key=lambda s: abs(s[3] - s[2]))
    raise Wrong(
        f"after the pixels {list(map(int, beginning))} the next one is 1 with p = {p:.3f}; in"
        f" {ROWS:,} draws yours is 1 with {share:.3f}."
    )


# ---- what all three share


def _shape_of(value) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _match(
    value: np.ndarray, truth: np.ndarray, name: str, mistakes: dict[str, np.ndarray]
) -> None:
    """Raise Wrong unless value is the truth: with the mistake's name where it equals what that
    mistake gives.
    """
    if np.allclose(value, truth, rtol=1e-4, atol=1e-4):
        return
    for mistake, other in mistakes.items():
        if np.allclose(value, other, rtol=1e-4, atol=1e-4, equal_nan=True):
            raise Wrong(f"{mistake}.")
    i = int(np.nan_to_num(np.abs(value - truth), nan=np.inf).argmax())
    raise Wrong(
        f"{name} is {value[i]:.4f} nats where {truth[i]:.4f} is right (row {i} of the test)."
    )


mask = Exercise(
    name="mask",
    solution=_mask,
    judge=_judge_mask,
    hints=[
        (
            "Number the places of the kernel line by line. Those with a smaller number than the"
            " centre's are open."
        ),
        (
            "The centre is at row and column size // 2. Rows above it are open as a whole; of its"
            " own row, the left part."
        ),
        (
            'result[:centre] = 1, then result[centre, :centre] = 1, and for kind "B" result[centre,'
            " centre] = 1 as well."
        ),
    ],
)
log_prob = Exercise(
    name="log_prob",
    solution=_log_prob,
    judge=_judge_log_prob,
    hints=[
        (
            "The logarithm of the product is a sum: each pixel adds the log-probability of the"
            " value it has."
        ),
        (
            "logits = net(x) has one logit for each pixel. log p = logsigmoid(logit), log(1 - p) ="
            " logsigmoid(-logit)."
        ),
        "(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)",
    ],
)
draw = Exercise(
    name="draw",
    solution=_draw,
    judge=_judge_draw,
    hints=[
        "net(x) gives a logit for every pixel at once. You need one column of it.",
        "p = torch.sigmoid(net(x)[:, i]); torch.bernoulli(p) draws a 0 or 1 for each image.",
        "x = x.clone(); x[:, i] = torch.bernoulli(torch.sigmoid(net(x)[:, i])); return x",
    ],
)
