"""Checks of notebook 12: the labelled bound, the unlabelled bound, the best q(y|x).

The truth comes from quadrature over z, from the bound's distance to log sum_y exp L, and from a
search for the Lagrange multiplier of the best q.
"""

import math

import numpy as np
import torch
from torch import Tensor

from dgmcourse import densities
from dgmcourse.check._exercise import Exercise, Wrong
from dgmcourse.check._judge import Draws, Function, randn, reals
from dgmcourse.check._progress import progress as progress
from dgmcourse.densities import LOG_2PI, Bernoulli, Gaussian

# ---- the course's own answers


def _kl(q: Gaussian) -> Tensor:
    return densities.kl(q, Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean)))


def _labelled_bound(x: Tensor, y: Tensor, encoder, decoder) -> Tensor:
    q = encoder(x, y)
    z = q.rsample()
    return decoder(y, z).log_prob(x) - math.log(y.shape[-1]) - _kl(q)


def _unlabelled_bound(log_q: Tensor, L: Tensor) -> Tensor:
    return (log_q.exp() * (L - log_q)).sum(-1)


def _best_q(L: Tensor) -> Tensor:
    return L.softmax(-1)


# ---- the labelled bound


class LabelEncoder:
    """A q(z|x, y) that is no network: row i of the parameters is that of row i of x, and each label
    moves them.
    """

    def __init__(self, mean: Tensor, log_var: Tensor, by_label: Tensor):
        self.mean, self.log_var, self.by_label = mean, log_var, by_label

    def __call__(self, x: Tensor, y: Tensor) -> Gaussian:
        check_labels(y, self.by_label, "encoder(x, y)")
        return Gaussian(self.mean + y @ self.by_label, self.log_var - 0.5 * (y @ self.by_label))


class LabelDecoder:
    """p(x|y, z): pixels whose logits are linear in z and have a bias of their own for each label."""

    def __init__(self, bias: Tensor, by_label: Tensor, weight: Tensor):
        self.bias, self.by_label, self.weight = bias, by_label, weight

    def __call__(self, y: Tensor, z: Tensor) -> Bernoulli:
        check_labels(y, self.by_label, "decoder(y, z)")
        if z.shape[-1] != len(self.weight):
            raise Wrong(
                f"decoder(y, z) got z of shape {tuple(z.shape)}: it expects {len(self.weight)} latent"
                " dimensions last."
            )
        return Bernoulli(self.bias + y @ self.by_label + z @ self.weight)


def check_labels(y, by_label: Tensor, call: str) -> None:
    shape = tuple(getattr(y, "shape", ()))
    if shape[-1:] != (len(by_label),):
        raise Wrong(
            f"{call} got a {type(y).__name__} of shape {shape} for y: it expects one-hot labels,"
            f" (B, {len(by_label)}) here."
        )


def reconstruction(x: Tensor, y: Tensor, encoder, decoder) -> Tensor:
    """E_q[log p(x|y, z)] by Gauss-Hermite quadrature in two dimensions."""
    q = encoder(x, y)
    nodes, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(60))
    t = torch.cartesian_prod(nodes, nodes)[:, None]
    w = torch.cartesian_prod(weights, weights).prod(-1)[:, None] / (2 * math.pi)
    z = q.mean + torch.exp(q.log_var / 2) * t
    logits = decoder.bias + y @ decoder.by_label + z @ decoder.weight
    return (w * -torch.logaddexp(torch.zeros_like(logits), (1 - 2 * x) * logits).sum(-1)).sum(0)


def integrated_kl(x: Tensor, y: Tensor, encoder, decoder) -> Tensor:
    """E_q[log q(z|x, y) - log p(z)] on a grid of z, dimension by dimension."""
    q = encoder(x, y)
    t = torch.linspace(-10, 10, 4001, dtype=q.mean.dtype)  # z in standard deviations of q
    weight = torch.exp(-0.5 * t**2) * (t[1] - t[0]) / math.sqrt(2 * math.pi)
    z = q.mean[..., None] + torch.exp(q.log_var / 2)[..., None] * t
    log_q = -0.5 * (LOG_2PI + q.log_var[..., None] + t**2)
    return (weight * (log_q + 0.5 * (LOG_2PI + z**2))).sum((-1, -2))


def log_prior_of_label(x: Tensor, y: Tensor, encoder, decoder) -> Tensor:
    return -math.log(y.shape[-1]) * torch.ones(len(y), dtype=x.dtype)


def expected_bound(x: Tensor, y: Tensor, encoder, decoder) -> Tensor:
    parts = (reconstruction, log_prior_of_label)
    bound = sum(part(x, y, encoder, decoder) for part in parts)
    return bound - integrated_kl(x, y, encoder, decoder)


def bound(
    labels_of_encoder=lambda y: y,
    labels_of_decoder=lambda y: y,
    draw=lambda q: q.rsample(),
    log_prob=lambda p, x: p.log_prob(x),
    log_p_y=lambda y: -math.log(y.shape[-1]),
    divergence=_kl,
):
    """A slip: the bound with one of its parts made otherwise."""

    def answer(x, y, encoder, decoder):
        q = encoder(x, labels_of_encoder(y))
        p = decoder(labels_of_decoder(y), draw(q))
        return log_prob(p, x) + log_p_y(y) - divergence(q)

    return answer


def other_label(y: Tensor) -> Tensor:
    return y.roll(1, -1)


ROWS = reals(
    [[0.7, -0.5], [-1.0, 1.2], [0.2, 0.9], [-1.5, -0.4]],
    [[-1.2, 0.4], [0.3, -0.7], [-2.0, -0.1], [0.6, 0.2]],
    [[0.3, -0.6, 0.9], [1.1, 0.2, -0.5], [-0.4, 0.8, 0.1], [0.0, -1.0, 0.7]],
    [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0]],
)
LABELS = torch.eye(6, dtype=torch.float64)[[3, 0, 4, 1]]
SURE = reals([[0.1, -0.2]], [[-1.0, -2.0]], [[60.0, 60.0, -60.0]], [[1.0, 0.0, 0.0]])
OF_ENCODER = 0.4 * torch.tensor(
    [[1.0, -1.0], [-2.0, 0.5], [0.5, 2.0], [1.5, 1.0], [-1.0, -1.5], [0.0, 1.0]],
    dtype=torch.float64,
)
OF_DECODER = torch.tensor(
    [
        *([1.0, -1.0, 0.5], [-1.5, 0.5, 1.0], [0.0, 2.0, -1.0]),
        *([2.0, 0.0, -0.5], [-1.0, -1.0, 2.0], [0.5, 1.5, 0.0]),
    ],
    dtype=torch.float64,
)
WEIGHT = torch.tensor([[1.5, -1.0, 0.5], [0.5, 1.0, -2.0]], dtype=torch.float64)


def with_nets(mean, log_var, bias, x, y, scale):
    """The arguments of the inputs; the networks' weights are `scale` times those above."""
    encoder = LabelEncoder(mean, log_var, scale * OF_ENCODER)
    return x, y, encoder, LabelDecoder(bias, scale * OF_DECODER, scale * WEIGHT)


STANDARD = Gaussian(*torch.zeros(2, 2, dtype=torch.float64))
LABEL_OF_BOTH = "log p(x|y, z) and q(z|x, y) are both of the label y that you were given"

labelled_bound = Exercise(
    name="labelled_bound",
    solution=_labelled_bound,
    judge=Draws(
        "the bound",
        truth=expected_bound,
        given=with_nets,
        rows="mean log_var bias x y",
        learn=("mean", "log_var", "bias"),
        cases=[(*ROWS, LABELS, 1.0)],
        edges=[
            "for a wrong pixel of logit 60",
            "it costs 60 nats, so you went through probabilities, clamped or rounded. Use"
            " decoder(y, z).log_prob(x), which works on logits",
            (*SURE, LABELS[:1], 0.0),
        ],
        slips=[
            "the same x gives the same value every time: you decoded the mean of q. Draw z from q",
            bound(draw=lambda q: q.mean),
            "the gradient does not pass through z: .sample() cuts it off, .rsample() does not",
            bound(draw=lambda q: q.sample()),
            "the noise of z has the variance for its width: it is exp(log_var / 2), as q.rsample() has",
            bound(draw=lambda q: q.mean + torch.randn_like(q.mean) * torch.exp(q.log_var)),
            "the noise of z has log_var for its width: it is exp(log_var / 2), as q.rsample() has",
            bound(draw=lambda q: q.mean + torch.randn_like(q.mean) * q.log_var),
            "you drew z from the prior: draw it from q(z|x, y)",
            bound(draw=lambda q: torch.randn_like(q.mean)),
            "z has no noise of the width of q: q.rsample() has",
            bound(draw=lambda q: q.mean + torch.randn_like(q.mean)),
            f"you encoded another label than you decoded: {LABEL_OF_BOTH}",
            bound(labels_of_encoder=other_label),
            f"you decoded another label than you encoded: {LABEL_OF_BOTH}",
            bound(labels_of_decoder=other_label),
            "the encoder has not seen the label: encoder(x, y)",
            bound(labels_of_encoder=torch.zeros_like),
            "the decoder has not seen the label: decoder(y, z)",
            bound(labels_of_decoder=torch.zeros_like),
            "you gave the networks the same label for every row: y has one for each",
            bound(lambda y: y[:1].expand(len(y), -1), lambda y: y[:1].expand(len(y), -1)),
            "log p(y) is not of ten classes: there are C = y.shape[-1] of them, six in this test",
            bound(log_p_y=lambda y: -math.log(10)),
            "C is the number of classes, y.shape[-1]: you took the length of the batch",
            bound(log_p_y=lambda y: -math.log(len(y))),
            "log p(y) is averaged over the classes: the label's own is -log C",
            bound(log_p_y=lambda y: -math.log(y.shape[-1]) / y.shape[-1]),
            "log p(y) is summed over all classes: the label's own is -log C",
            bound(log_p_y=lambda y: -math.log(y.shape[-1]) * y.shape[-1]),
            "you added p(y) in place of log p(y), which is -log C",
            bound(log_p_y=lambda y: 1 / y.shape[-1]),
            "log p(y) is counted once for each latent dimension: once for each x",
            bound(log_p_y=lambda y: -2 * math.log(y.shape[-1])),
            "you averaged the reconstruction over the pixels: sum them",
            bound(log_prob=lambda p, x: p.log_prob(x) / 3),
            "pixels that are 0 count, too: use decoder(y, z).log_prob(x)",
            bound(log_prob=lambda p, x: (x * torch.nn.functional.logsigmoid(p.logits)).sum(-1)),
            "that is a squared error: use decoder(y, z).log_prob(x)",
            bound(log_prob=lambda p, x: -((x - p.mean) ** 2).sum(-1)),
            "you averaged the KL over the latent dimensions: sum it",
            bound(divergence=lambda q: _kl(q) / 2),
            "the KL has a standard deviation where the variance belongs, exp(log_var)",
            bound(
                divergence=lambda q: (
                    0.5 * (torch.exp(q.log_var / 2) + q.mean**2 - 1 - q.log_var).sum(-1)
                )
            ),
            "the KL is turned round: it is KL[q(z|x, y) || p(z)], kl(q, prior)",
            bound(
                divergence=lambda q: densities.kl(Gaussian(0 * q.mean, 0 * q.log_var), q),
            ),
            "log q(z|x, y) is missing: the KL is the mean of log q - log p, and you have log p(z) alone",
            bound(divergence=lambda q: -STANDARD.log_prob(q.rsample())),
            "log q(z|x, y) is added, it is subtracted: the KL is the mean of log q - log p",
            bound(divergence=lambda q: -STANDARD.log_prob(q.rsample()) - q.log_prob(q.rsample())),
            "that is the probability of x, not its logarithm",
            bound(log_prob=lambda p, x: p.log_prob(x).exp()),
            "the KL's gradient is cut off: no .detach() there",
            bound(divergence=lambda q: _kl(q).detach()),
        ],
        terms={
            "the reconstruction": reconstruction,
            "log p(y)": log_prior_of_label,
            "the KL, subtracted,": lambda *given: -integrated_kl(*given),
        },
        errors={
            "no closed form for KL[StandardGaussian": "the KL is turned round: it is kl(q, prior)"
        },
        nan="log p(y) is -log C, one number: y * log y has 0 * log 0 in it",
        shared="one noise for the whole batch: every row needs a z of its own, as q.rsample() gives",
        unit="nats",
        praise="over 5,000 draws of z the first x's mean bound is {trial.found[0].value[0]:.3f} +-"
        " {trial.found[0].error[0]:.3f} nats, by integration {trial.truth[0].value[0]:.3f}; the"
        " gradients agree too.",
    ),
    hints=[
        "It is the ELBO of notebook 07 with y handed to both networks, and log p(y) added.",
        "q = encoder(x, y); z = q.rsample(); then log p(x|y, z), log p(y) = -log C and kl(q,"
        " StandardGaussian(d)).",
        "decoder(y, z).log_prob(x) - math.log(y.shape[-1]) - kl(q, StandardGaussian(z.shape[-1]))",
    ],
)


# ---- the unlabelled bound


def below_the_evidence(log_q: Tensor, L: Tensor) -> Tensor:
    """log sum_y exp L less KL[q || softmax L], class by class."""
    best = L.log_softmax(-1)
    distance = sum(log_q[:, y].exp() * (log_q[:, y] - best[:, y]) for y in range(L.shape[-1]))
    return L.logsumexp(-1) - distance


def expected_joint(log_q: Tensor, L: Tensor) -> Tensor:
    return torch.einsum("by,by->b", log_q.exp(), L)


def entropy(log_q: Tensor, L: Tensor) -> Tensor:
    return torch.distributions.Categorical(logits=log_q).entropy()


LOGITS, JOINT = randn(3, (5, 3), (5, 3))
JOINT = 2 * JOINT - torch.tensor([[80.0], [95.0], [110.0], [70.0], [88.0]], dtype=torch.float64)
SHARP = reals([[0.0, -40.0, -35.0], [-900.0, 0.0, -700.0]], [[-90.0, -40.0, -95.0]] * 2)

unlabelled_bound = Exercise(
    name="unlabelled_bound",
    solution=_unlabelled_bound,
    judge=Function(
        "the bound",
        truth=below_the_evidence,
        given=lambda logits, L: (logits.log_softmax(-1), L),
        rows="logits L",
        cases=[(LOGITS, JOINT)],
        edges=[
            *("with one class", "", (LOGITS[:, :1], JOINT[:, :1])),
            "where q(y|x) is all but certain",
            "a logarithm of a rounded or clamped probability? log_q is a logarithm already: exp(log_q)"
            " gives q, and log_q itself is what the entropy needs",
            SHARP,
        ],
        slips=[
            "that is the bound at the best q, log sum_y exp L, not at the q you were given",
            lambda log_q, L: L.logsumexp(-1),
            "you took the most probable class alone: sum over all classes, each with its q(y|x)",
            lambda log_q, L: L.gather(-1, log_q.argmax(-1, keepdim=True)).squeeze(-1),
            "you took the largest L alone: sum over all classes, each with its q(y|x)",
            lambda log_q, L: L.amax(-1),
            "the weights are log q: q(y|x) is log_q.exp()",
            lambda log_q, L: (log_q * L).sum(-1) + entropy(log_q, L),
            "L is a logarithm already, and a bound adds such: no exp(L)",
            lambda log_q, L: (log_q.exp() * (L.exp() - log_q)).sum(-1),
            "the weights of both sums are log q: q(y|x) is log_q.exp()",
            lambda log_q, L: (log_q * (L - log_q)).sum(-1),
            "the weights are missing in the first sum: each L counts q(y|x) times",
            lambda log_q, L: L.sum(-1) + entropy(log_q, L),
            "the classes have equal weights in the first sum: each L counts q(y|x) times",
            lambda log_q, L: L.mean(-1) + entropy(log_q, L),
            "both sums lack their weights: each term counts q(y|x) times",
            lambda log_q, L: (L - log_q).sum(-1),
            "log C is the entropy of a uniform q, not of the one you were given",
            lambda log_q, L: expected_joint(log_q, L) + math.log(L.shape[-1]),
            "you averaged over the classes: sum, the weights q(y|x) make an average of it already",
            lambda log_q, L: below_the_evidence(log_q, L) / L.shape[-1],
            "the entropy is -sum_y q log q: its terms have no weights q(y|x) in yours",
            lambda log_q, L: expected_joint(log_q, L) - log_q.sum(-1),
            "the entropy is that of softmax L: it is that of the q you were given",
            lambda log_q, L: expected_joint(log_q, L) + entropy(L.log_softmax(-1), L),
            "log_q is a logarithm already: you took the softmax of its probabilities",
            lambda log_q, L: below_the_evidence(log_q.exp().log_softmax(-1), L),
            "this is log sum_y q exp L, which is larger: the logarithm stands inside the sum over y",
            lambda log_q, L: (log_q + L).logsumexp(-1),
        ],
        terms={"the sum of q(y|x) L(x, y)": expected_joint, "the entropy": entropy},
        nan="log_q is a logarithm already: q is log_q.exp(), and log q is log_q itself",
        shapes=[
            (3,),
            "you summed over the batch: the classes are the last axis, .sum(-1)",
            (5, 3),
            "the classes are still there: sum over the last axis, .sum(-1)",
        ],
        unit="nats",
        praise="the bound lies KL[q || softmax L] below log sum_y exp L, to {trial.off:.0e} nats, and"
        " its gradients are right for q and for L.",
    ),
    hints=[
        "Two sums over the classes, the last axis: one of q(y|x) L(x, y), one of -q(y|x) log q(y|x).",
        "q = log_q.exp(). Take no logarithm: log_q is there.",
        "(log_q.exp() * (L - log_q)).sum(-1)",
    ],
)


# ---- the best q


def by_multiplier(L: Tensor) -> Tensor:
    """The q at which all L_y - log q_y - 1 are the same number m, found by bisection: q sums to 1."""
    L = L.detach().double()  # its gradients come from finite differences
    low, high = L.amax(-1) - 1, L.amax(-1) - 1 + math.log(L.shape[-1])  # of m, the multiplier
    for _ in range(80):
        m = (low + high) / 2
        enough = torch.exp(L - 1 - m[:, None]).sum(-1) > 1  # then m must rise
        low, high = torch.where(enough, m, low), torch.where(enough, high, m)
    return torch.exp(L - 1 - ((low + high) / 2)[:, None])


UNNORMALISED = "exp(L) does not sum to 1 over the classes: divide by its sum, .softmax(-1)"
TINY = reals([[-800.0, -801.0, -799.5], [-2500.0, -2500.0, -2501.0]])[0]
FAR = reals([[-1860.0, 900.0, 899.0], [1200.0, 1201.5, -300.0]])[0]

best_q = Exercise(
    name="best_q",
    solution=_best_q,
    judge=Function(
        "q",
        truth=by_multiplier,
        rows="L",
        cases=[
            [reals([[0.5, -1.0, 0.2], [-0.3, 1.1, 0.9], [1.4, 0.1, -0.8], [-2, -0.5, -0.9]])[0]]
        ],
        edges=[
            *("with one class", "", [TINY[:, :1] / 800]),
            "where L is -800",
            "exp(-800) is 0 in a computer, and 0/0 no number. Subtract the largest L first, or let"
            " torch do it: .softmax(-1)",
            [TINY],
            "where L is 900",
            "exp(900) is infinite in a computer. Subtract the largest L first, or let torch do it:"
            " .softmax(-1)",
            [FAR],
        ],
        slips=[
            "all of it is on the class of the largest L. That is without the entropy, which spreads q",
            lambda L: torch.nn.functional.one_hot(L.argmax(-1), L.shape[-1]).to(L),
            UNNORMALISED,
            lambda L: L.exp(),
            "you set each slope to 0. They are equal, all of them, and q sums to 1: divide by the sum",
            lambda L: (L - 1).exp(),
            "each class has a sigmoid of its own: all classes together sum to 1, .softmax(-1)",
            lambda L: L.sigmoid(),
            "L - 1 is log q but for a constant: exponentiate it and divide by the sum",
            lambda L: L - 1,
            "you took the softmax twice: once gives probabilities already",
            lambda L: L.softmax(-1).softmax(-1),
            "it does not sum to 1 over the classes: the softmax does, without another division",
            lambda L: L.softmax(-1) / L.shape[-1],
            "you return log q: return the probabilities",
            lambda L: L.log_softmax(-1),
            "the classes are the last axis: you normalised over the batch, .softmax(0)",
            lambda L: L.softmax(0),
            "q has the wrong order: it is large where L is, your sign is turned",
            lambda L: (-L).softmax(-1),
            "L is a logarithm, and its values can be negative: exponentiate before you divide",
            lambda L: L / L.sum(-1, keepdim=True),
            "it is uniform: q depends on L",
            lambda L: torch.full_like(L, 1 / L.shape[-1]),
            "L was shifted by its largest value and not exponentiated: exp, then divide by the sum",
            lambda L: (
                (L - L.amax(-1, keepdim=True))
                / (L - L.amax(-1, keepdim=True)).sum(-1, keepdim=True)
            ),
            "it is the square of q, normalised: L counts once, not twice",
            lambda L: (2 * L).softmax(-1),
            "L is divided by the number of classes: the objective is a sum over y, no mean",
            lambda L: (L / L.shape[-1]).softmax(-1),
        ],
        nan="exp of a large number is infinite in a computer: .softmax(-1) subtracts the largest L first",
        shapes=[(4,), "one probability for each class: (B, C)"],
        errors={
            "must match the size": "the sum over the classes lost its axis: .sum(-1, keepdim=True)"
        },
        praise="at your q all L - log q are equal, to {trial.off:.0e}: no probability can be moved from"
        " one class to another with a gain.",
    ),
    hints=[
        "At the maximum, moving a little probability from one class to another gains nothing: the"
        " slope of q_y L_y - q_y log q_y is the same for all y.",
        "That slope is L_y - log q_y - 1. So log q_y is L_y plus a constant, the same for all y.",
        "q_y = exp(L_y) / sum_k exp(L_k): L.softmax(-1)",
    ],
)
