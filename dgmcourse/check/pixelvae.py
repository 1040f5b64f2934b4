"""Checks of notebook 10: the mask, the log-likelihood of a chain of pixels, one step of drawing.

The truth comes from counting places in the order of reading, and from a chain of three pixels whose
logits are worked out one by one.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.check import _judge
from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Draws, Function, Trial, reals
from dgmcourse.check._progress import progress as progress

# ---- the course's own answers


def _mask(size: int, kind: str) -> Tensor:
    result, centre = torch.zeros(size, size), size // 2
    result[:centre] = 1
    result[centre, : centre + (kind == "B")] = 1
    return result


def _log_prob(x: Tensor, net) -> Tensor:
    logits = net(x)
    return (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)


def _draw(x: Tensor, i: int, net) -> Tensor:
    p = torch.sigmoid(net(x)[:, i])
    x = x.clone()
    x[:, i] = torch.bernoulli(p)
    return x


# ---- the mask


def read_before(size: int, kind: str) -> Tensor:
    """1 where a place comes before the centre when one reads line by line (or is it, for B)."""
    order = torch.arange(size * size).view(size, size)
    return (order < order[size // 2, size // 2] + (kind == "B")).double()


def side(row: int, column: int, kinds: str = "AB"):
    """A term: the places on one side of the centre, or the centre itself."""

    def places(size, kind):
        at = (torch.arange(size) - size // 2).sign()
        return ((at[:, None] == row) & (at == column)).double() * (kind in kinds)

    return places


def zeros_and_ones(value, name: str) -> Tensor:
    value = _judge.mask(value, name)
    if not ((value == 0) | (value == 1)).all():
        raise Wrong(
            f"{name} has other numbers than 0 and 1 in it: 1 is where the convolution may look."
        )
    return value


class Mask(Function):
    def place(self, trial: Trial, k: int) -> str:
        found, (size, kind) = trial.found[k].value, trial.case.inputs
        wrong = (found != trial.truth[k].value).nonzero().tolist()
        row, column = wrong[0]
        word = "open, though not before the centre" if found[row, column] else "closed, wrongly"
        return (
            f"is wrong in {len(wrong)} of {size * size} places, kind {kind!r}: row {row}, column"
            f" {column}, is {word}"
        )


mask = Exercise(
    name="mask",
    solution=_mask,
    judge=Mask(
        "mask",
        truth=read_before,
        kind=zeros_and_ones,
        cases=list(itertools.product((3, 5, 7), "AB")),
        edges=[*("at size 1", "", (1, "A")), *("at size 1", "", (1, "B"))],
        slips=[
            "0 and 1 are interchanged: 1 is where the convolution may look",
            lambda size, kind: 1 - read_before(size, kind),
            "it looks at the pixels after the centre, not at those before",
            lambda size, kind: read_before(size, kind).flip(0, 1),
            "the rows below are open, those above are not: row 0 is the top",
            lambda size, kind: read_before(size, kind).flip(0),
            "the rows above are missing",
            lambda size, kind: read_before(size, kind) * (torch.arange(size) >= size // 2)[:, None],
            "rows and columns are interchanged: the order is line by line, mask[row, column]",
            lambda size, kind: read_before(size, kind).T,
            "this is a triangle: compare places with the centre, line by line, not rows with columns",
            lambda size, kind: torch.ones(size, size).tril(-(kind == "A")),
            "this is a triangle, above the diagonal: compare places with the centre, line by line",
            lambda size, kind: torch.ones(size, size).triu(int(kind == "A")),
            "it is right at size 3 only: a kernel of size 5 has two rows above its centre",
            lambda size, kind: F.pad(read_before(3, kind), [(size - 3) // 2] * 4),
        ],
        terms={
            "the centre, in kind A,": side(0, 0, "A"),
            "the centre, in kind B,": side(0, 0, "B"),
            "what is to its left": side(0, -1),
            "what is to its right": side(0, 1),
            "what is straight above": side(-1, 0),
            "what is above to the left": side(-1, -1),
            "what is above to the right": side(-1, 1),
            "what is below": lambda *s: side(1, -1)(*s) + side(1, 0)(*s) + side(1, 1)(*s),
        },
        shapes=[(9,), "it is square, (size, size)"],
        praise="for sizes 1, 3, 5 and 7, A opens the 0, 4, 12, 24 and B the 1, 5, 13, 25 places that it"
        " should.",
    ),
    hints=[
        "Number the places of the kernel line by line. Those with a smaller number than the centre's"
        " are open.",
        "The centre is at row and column size // 2. Rows above it are open as a whole; of its own row,"
        " the left part.",
        'result[:centre] = 1, then result[centre, :centre] = 1, and for kind "B" result[centre,'
        " centre] = 1 as well.",
    ],
)


# ---- the log-likelihood


class Chain:
    """Pixels whose logits are linear in those before them."""

    def __init__(self, weight: Tensor, bias: Tensor):
        self.weight, self.bias = weight.tril(-1), bias

    def __call__(self, x: Tensor) -> Tensor:
        shape, D = tuple(getattr(x, "shape", ())), len(self.bias)
        if shape[-1:] != (D,):
            raise Wrong(
                f"the network got a {type(x).__name__} of shape {shape}: it takes whole images, (B, D),"
                f" here of D = {D} pixels."
            )
        return x.to(self.bias) @ self.weight.T + self.bias


def pixel_by_pixel(x: Tensor, net) -> Tensor:
    """The conditional log-probabilities one by one, added."""
    rows = []
    for image in x.double().tolist():
        total = torch.zeros((), dtype=torch.float64)
        for i, pixel in enumerate(image):
            logit = net.bias[i].double() + sum(net.weight[i, j] * image[j] for j in range(i))
            total = total - torch.logaddexp(0 * logit, -logit if pixel else logit)
        rows.append(total)
    return torch.stack(rows)


def of_value(combine):
    """A slip, of the conditional probabilities of the values that the pixels have."""
    return lambda x, net: combine(torch.where(x == 1, net(x).sigmoid(), (-net(x)).sigmoid()))


def scored(pair):
    """A slip or a term, of what stands for log p and for log(1 - p), made of the logits."""

    def log_prob(x, net):
        log_p, log_not_p = pair(net(x))
        return (x * log_p + (1 - x) * log_not_p).sum(-1)

    return log_prob


def log_both(logits: Tensor) -> tuple[Tensor, Tensor]:
    return F.logsigmoid(logits), F.logsigmoid(-logits)


IMAGES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
SURE = reals([[0, 1, 0], [1, 0, 1], [0, 1, 1]], [[0] * 3] * 3, [800, -800, 800])
WEIGHT, BIAS = reals([[0, 0, 0], [3, 0, 0], [2, -4, 0]], [0.8, -1.0, 0.5])
SHIFTED = "the logits are shifted by a pixel: net(x)[:, i] is pixel i's already"

log_prob = Exercise(
    name="log_prob",
    solution=_log_prob,
    judge=Function(
        "log_prob",
        truth=pixel_by_pixel,
        given=lambda x, weight, bias: (x, Chain(weight, bias)),
        rows="x",
        learn=("weight", "bias"),
        cases=[(IMAGES, WEIGHT, BIAS)],
        edges=[
            *("with one pixel", "", (IMAGES[3:5, :1], WEIGHT[:1, :1], BIAS[:1])),
            "at logits of 800",
            "a probability was rounded or clamped, or exp overflows. Stay with the logits: logsigmoid,"
            " or binary_cross_entropy_with_logits",
            SURE,
        ],
        slips=[
            "this is the sum of the probabilities: sum their logarithms",
            of_value(lambda p: p.sum(-1)),
            "you multiplied the logarithms: the logarithm of a product is a sum",
            of_value(lambda p: p.log().prod(-1)),
            "only the last pixel's conditional is there: multiply all of them",
            of_value(lambda p: p.log()[:, -1]),
            "the first pixel's term is missing: p(x_1) belongs to the product, too",
            of_value(lambda p: p.log()[:, 1:].sum(-1)),
            "0 and 1 are interchanged: a pixel that is 1 adds log p",
            of_value(lambda p: (1 - p).log().sum(-1)),
            "you took the logits for probabilities: p = sigmoid(logit)",
            scored(lambda logits: (logits.log(), (1 - logits).log())),
            "you took the logits for log-probabilities: log p = logsigmoid(logit)",
            scored(lambda logits: (logits, 0 * logits)),
            "you took the sigmoid twice: logsigmoid wants logits",
            scored(lambda logits: log_both(logits.sigmoid())),
            "log(1 - p) is logsigmoid(-logit), not logsigmoid(1 - logit)",
            scored(lambda logits: (F.logsigmoid(logits), F.logsigmoid(1 - logits))),
            "the second term has 1 - log p in place of log(1 - p), which is logsigmoid(-logit)",
            scored(lambda logits: (F.logsigmoid(logits), 1 - F.logsigmoid(logits))),
            "this is a softmax over the pixels: each has a probability of its own, sigmoid(logit)",
            scored(lambda logits: (logits.log_softmax(-1), 0 * logits)),
            SHIFTED,
            scored(lambda logits: log_both(logits.roll(1, -1))),
            SHIFTED,
            lambda x, net: scored(log_both)(x[:, 1:], lambda _: net(x)[:, :-1]),
            "the network has not seen the image: net(x)",
            lambda x, net: scored(log_both)(x, lambda x: net(0 * x)),
        ],
        terms={
            "x log p": scored(lambda logits: (F.logsigmoid(logits), 0 * logits)),
            "(1 - x) log(1 - p)": scored(lambda logits: (0 * logits, F.logsigmoid(-logits))),
            "(1 - x) log p": scored(lambda logits: (0 * logits, F.logsigmoid(logits))),
        },
        unit="nats",
        praise="over all 8 images of three pixels it agrees with the conditionals one by one to"
        " {trial.off:.0e} nats, and so do its gradients: exp(log_prob) sums to 1.",
    ),
    hints=[
        "The logarithm of the product is a sum: each pixel adds the log-probability of the value it"
        " has.",
        "logits = net(x) has one logit for each pixel. log p = logsigmoid(logit), log(1 - p) ="
        " logsigmoid(-logit).",
        "(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(-1)",
    ],
)


# ---- one step of drawing


def moments(x: Tensor) -> Tensor:
    """Each pixel and its square, which tells a draw from a probability."""
    return torch.cat([x, x**2], 1)


def expected_moments(x: Tensor, i: int, net) -> Tensor:
    expected = moments(x)
    logit = net.bias[i] + x[:, :i] @ net.weight[i, :i]
    expected[:, [i, x.shape[1] + i]] = 1 / (1 + torch.exp(-logit[:, None]))
    return expected


def column(new):
    """A slip: something else in pixel i, made of x, i and the logits."""

    def draw(x, i, net):
        value = new(x, i, net(x))
        return torch.where(torch.arange(x.shape[1]) == i, value[:, None], x)

    return draw


def coin(logit: Tensor) -> Tensor:
    return torch.bernoulli(logit.sigmoid())


class OnePixel(Draws):
    def diagnosis(self, answer, k: int, trials: list[Trial]) -> str:
        """The first other pixel that has changed, if one has."""
        for trial in trials:
            i = trial.case.inputs[1]
            off = (trial.found[k].value - trial.truth[k].value).abs().amax(0)[:3]
            for j in (j for j in range(3) if j != i and off[j] > 0.01):
                which = "was drawn before" if j < i else "comes later"
                return f"pixel {j} has changed, which {which}: change pixel i = {i} only"
        return super().diagnosis(answer, k, trials)


# what stands in the pixels from i on is of no account, and stays
HALF_DRAWN = reals([[0, 1, 0], [0, 0.5, 1], [1, 0, 0.5], [1, 1, 1]])[0]

draw = Exercise(
    name="draw",
    solution=_draw,
    judge=OnePixel(
        "draw",
        truth=expected_moments,
        given=lambda x, i, weight, bias: (x, i, Chain(weight, bias)),
        rows="x",
        learn=(),
        moved=("weight", "bias"),
        event=(3,),
        copies=1000,
        moments=moments,
        cases=[
            (HALF_DRAWN.round(), 2, WEIGHT, BIAS),
            (HALF_DRAWN * reals([1, 0, 1])[0], 1, WEIGHT, BIAS),
            (HALF_DRAWN * reals([0, 1, 1])[0], 0, WEIGHT, BIAS),
        ],
        slips=[
            "pixel i is no 0 or 1: draw it, torch.bernoulli(p)",
            column(lambda x, i, logits: logits[:, i].sigmoid()),
            "pixel i is as it was: p is in net(x)[:, i], a column, and so is what it is for, x[:, i]",
            lambda x, i, net: x.clone(),
            "a 1 that stood at pixel i stays: what is drawn replaces it",
            column(lambda x, i, logits: torch.maximum(x[:, i], coin(logits[:, i]))),
            "what is drawn is added to what stood at pixel i: it replaces it",
            column(lambda x, i, logits: x[:, i] + coin(logits[:, i])),
            "1 is drawn with the probability of 0: x_i = 1 where the noise is less than p",
            column(lambda x, i, logits: coin(-logits[:, i])),
            "a fair coin is thrown: use sigmoid(net(x)[:, i])",
            column(lambda x, i, logits: coin(0 * logits[:, i])),
            "the logit is taken for the probability: p = sigmoid(logit)",
            column(lambda x, i, logits: torch.bernoulli(logits[:, i].clamp(0, 1))),
            "the next pixel's logit is used: net(x)[:, i] is of pixel i",
            column(lambda x, i, logits: coin(logits[:, min(i + 1, 2)])),
            "the pixel before's logit is used: net(x)[:, i] is of pixel i, which it has not seen",
            column(lambda x, i, logits: coin(logits[:, i - 1])),
            "the first pixel's logit is used for every pixel: net(x)[:, i]",
            column(lambda x, i, logits: coin(logits[:, 0])),
            "the sigmoid is taken twice",
            column(lambda x, i, logits: coin(logits[:, i].sigmoid())),
            "the first image's probability is used for every image: net(x)[:, i] has one for each",
            column(lambda x, i, logits: coin(logits[:1, i].expand(len(x)))),
            "the mean probability is used for every image: net(x)[:, i] has one logit for each",
            column(
                lambda x, i, logits: torch.bernoulli(logits[:, i].sigmoid().mean().expand(len(x)))
            ),
            "each image has the probability of the one before it: net(x)[:, i] is in the order of x",
            column(lambda x, i, logits: coin(logits[:, i].roll(1))),
        ],
        shapes=[
            *((4,), "that is the pixel alone: return the images, with pixel i filled in"),
            *((4, 1), "that is the pixel alone: return the images, with pixel i filled in"),
        ],
        errors={
            "must match the existing size (3)": "D numbers were put where B belong: net(x)[i] is row i,"
            " an image's logits; net(x)[:, i] are pixel i's, (B,)"
        },
        shared="one draw serves the whole batch: draw one for each image, torch.bernoulli(p) with p of"
        " shape (B,)",
        praise="after the pixels 0, 0 the next one is 1 in {trial.found[0].value[1][2]:.3f} of 1,000"
        " draws, where p = {trial.truth[0].value[1][2]:.3f}; all other pixels are untouched.",
    ),
    hints=[
        "net(x) gives a logit for every pixel at once. You need one column of it.",
        "p = torch.sigmoid(net(x)[:, i]); torch.bernoulli(p) draws a 0 or 1 for each image.",
        "x = x.clone(); x[:, i] = torch.bernoulli(torch.sigmoid(net(x)[:, i])); return x",
    ],
)
