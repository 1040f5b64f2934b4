"""Distributions (`Density`) and networks that return one (`Conditional`).

Shapes: the event is the last axis. `log_prob` of an (S, B, D) tensor is (S, B), in nats, summed
over the D dimensions. Parameters hold one Density per row, (B, D), and broadcast against x. What a
`log_prob` accepts is said, and checked, in `check_event`.
"""

import contextlib
import math
from abc import ABC, abstractmethod
from numbers import Integral
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOG_2PI = math.log(2 * math.pi)
END, UNKNOWN = 0, 1  # symbols of sequences: the end mark, and one for all words that have none

# Work around slow page faults in torch's AVX-512 log1p, which softplus uses, too (torch 2.15): it
# reads a constant that only -0.0 needs, ten times slower until one real read has loaded its page.
torch.log1p(torch.full((16,), -0.0, dtype=torch.float32, device="cpu"))

Shape = int | tuple[int, ...]  # of samples: a whole number n is the shape (n,)


class Density(ABC):
    """A distribution whose log-density can be computed and that can be sampled."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, for x of shape (..., D): shape (...)."""

    @abstractmethod
    def sample(self, shape: Shape = ()) -> Tensor:
        """Draw samples, without a gradient: (*shape, *parameters' shape)."""

    def rsample(self, shape: Shape = ()) -> Tensor:
        """Draw samples as a differentiable function of the parameters, where there is one: the
        reparameterization trick. Shape and random numbers as for `sample`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no reparameterized sample: no smooth function of its"
            " parameters and a fixed noise gives a draw. The score-function estimator"
            " (dgmcourse.gradients) needs none."
        )

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """`rsample`, and the log-density of its draws: a flow needs one pass for both."""
        x = self.rsample(shape)
        return x, self.log_prob(x)

    def cross_log_prob(self, x: Tensor) -> Tensor:
        """log p_k(x), nats, of each x, (..., D), under each of K rows of parameters: (..., K)."""
        return self.log_prob(x.unsqueeze(-2))

    def select(self, rows: Tensor) -> "Density":
        """The Density whose parameters are these rows; indices may repeat."""
        raise NotImplementedError(f"the rows of a {type(self).__name__} can't be selected")

    def precomputed(self) -> "Density":
        """An equal Density with its parameters computed once, for repeated evaluation.

        A VampPrior, for instance, encodes its pseudo-inputs here and never again. Not for training,
        during which the parameters change.
        """
        return self


class Conditional(Protocol):
    """What turns a given tensor into a Density: the encoder q(z|x), the decoder p(x|z)."""

    def __call__(self, given: Tensor) -> Density:
        """The Density given each row of `given`, (..., G): its parameters are (..., D)."""


class Gaussian(Density):
    r"""A Gaussian with diagonal covariance, N(x | mean, diag(exp(log_var))).

    $$\log p(x) = -\tfrac12 \sum_d \left[\log 2\pi + \log\sigma_d^2 + (x_d - \mu_d)^2 / \sigma_d^2\right]$$

    >>> Gaussian(torch.zeros(2, 3), torch.zeros(2, 3)).sample(5).shape
    torch.Size([5, 2, 3])

    Args:
        mean: (..., D).
        log_var: logarithm of the variances, of the same shape. A network's output may be any real
            number, a variance may not.

    Raises:
        ValueError: if the shapes differ. A variance that broadcasts would be counted once, not D
            times.
    """

    def __init__(self, mean: Tensor, log_var: Tensor):
        mean, log_var = as_floats(mean), as_floats(log_var)
        if mean.shape != log_var.shape:
            raise ValueError(
                f"mean and log_var must have one shape, got {tuple(mean.shape)} and"
                f" {tuple(log_var.shape)}: expand one"
            )
        self.mean, self.log_var = mean, log_var

    def log_prob(self, x: Tensor) -> Tensor:
        square = (check_rows(x, self.mean) - self.mean) ** 2
        return -0.5 * (LOG_2PI + self.log_var + square * torch.exp(-self.log_var)).sum(-1)

    def cross_log_prob(self, x: Tensor) -> Tensor:
        r"""As in `Density`, without the (..., K, D) array of all pairs.

        With the square multiplied out, $\sum_d (x_d - \mu_d)^2/\sigma_d^2$ is two matrix products.
        Their terms cancel, so they are summed in float64.
        """
        x = check_event(x, self.mean)
        if self.mean.dim() != 2 or x.device.type == "mps":  # Apple's GPUs have no float64
            return super().cross_log_prob(x)
        mean, log_var, wide = self.mean.double(), self.log_var.double(), x.double()
        precision = torch.exp(-log_var)
        constant = (LOG_2PI + log_var + mean**2 * precision).sum(-1)
        log_p = wide @ (mean * precision).mT - 0.5 * (wide**2 @ precision.mT + constant)
        return log_p.to(x.dtype)

    def select(self, rows: Tensor) -> "Gaussian":
        return Gaussian(self.mean[rows], self.log_var[rows])

    def rsample(self, shape: Shape = ()) -> Tensor:
        return self.mean + torch.exp(0.5 * self.log_var) * standard_noise(shape, self.mean)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.rsample(shape)


class FullGaussian(Density):
    r"""A Gaussian with any covariance, N(x | mean, L L^T), L lower triangular.

    $$\log p(x) = -\tfrac12 \left[D \log 2\pi + |L^{-1}(x - \mu)|^2\right] - \sum_d \log L_{dd}$$

    Args:
        mean: (..., D).
        scale_tril: L, the covariance's Cholesky factor, with a positive diagonal: (..., D, D), or
            (D, D) for all rows.
    """

    def __init__(self, mean: Tensor, scale_tril: Tensor):
        mean, scale_tril = as_floats(mean), as_floats(scale_tril)
        if scale_tril.shape[-2:] != mean.shape[-1:] * 2:
            raise ValueError(
                f"for {mean.shape[-1]} dimensions the factor is square, got shape"
                f" {tuple(scale_tril.shape)}"
            )
        self.mean, self.scale_tril = mean, scale_tril

    @property
    def covariance(self) -> Tensor:
        return self.scale_tril @ self.scale_tril.mT

    def log_prob(self, x: Tensor) -> Tensor:
        off = check_rows(x, self.mean) - self.mean
        L = self.scale_tril.to(off.dtype)
        if L.dim() == 2:  # shared: one solve with all rows as columns, without a copy of L for each
            columns = off.reshape(-1, off.shape[-1]).mT
            noise = torch.linalg.solve_triangular(L, columns, upper=False).mT.reshape(off.shape)
        else:
            noise = torch.linalg.solve_triangular(L, off.unsqueeze(-1), upper=False).squeeze(-1)
        log_det = L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (noise.shape[-1] * LOG_2PI + (noise**2).sum(-1)) - log_det

    def select(self, rows: Tensor) -> "FullGaussian":
        shared = self.scale_tril.dim() == 2
        return FullGaussian(self.mean[rows], self.scale_tril if shared else self.scale_tril[rows])

    def rsample(self, shape: Shape = ()) -> Tensor:
        noise = standard_noise(shape, self.mean)
        return self.mean + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.rsample(shape)


class StandardGaussian(Density, nn.Module):
    """N(0, I) in `dim` dimensions: the plain VAE's prior."""

    def __init__(self, dim: int):
        super().__init__()
        if dim < 1:
            raise ValueError(f"a latent space has at least 1 dimension, got {dim}")
        self.dim = dim
        # buffers, so that draws have the model's device and dtype
        self.register_buffer("mean", torch.zeros(dim), persistent=False)
        self.register_buffer("log_var", torch.zeros(dim), persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (self.dim * LOG_2PI + (check_event(z, self.mean) ** 2).sum(-1))

    def sample(self, shape: Shape = ()) -> Tensor:
        return standard_noise(shape, self.mean)

    rsample = sample  # there are no parameters: a draw is the noise itself


class Bernoulli(Density):
    r"""Independent binary variables with logits l: P(x_d = 1) = 1 / (1 + exp(-l_d)).

    $$\log p(x) = \sum_d \left[x_d l_d - \log(1 + e^{l_d})\right]$$

    It takes logits and no probabilities: 1 - p rounds to 0 where a logit is large, and clamping p
    would limit the cost of a wrong pixel.

    >>> Bernoulli(torch.zeros(3)).log_prob(torch.tensor([0.0, 1.0, 1.0]))
    tensor(-2.0794)

    Raises:
        ValueError: where x is anything but 0 or 1.
    """

    def __init__(self, logits: Tensor):
        self.logits = as_floats(logits)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    def log_prob(self, x: Tensor) -> Tensor:
        x = check_binary(check_rows(x, self.logits))
        # Two sums keep one temporary array alive instead of two, which avoids repeated allocation.
        # softplus(l) = log(1 + e^l); in float64 it equals l only from 40 on (torch's default: 20).
        return (x * self.logits).sum(-1) - F.softplus(self.logits, threshold=40).sum(-1)

    def cross_log_prob(self, x: Tensor) -> Tensor:
        """As in `Density`, by a matrix product, without the (..., K, D) array of all pairs."""
        x = check_binary(check_event(x, self.logits))
        return x @ self.logits.mT.to(x.dtype) - F.softplus(self.logits, threshold=40).sum(-1)

    def select(self, rows: Tensor) -> "Bernoulli":
        return Bernoulli(self.logits[rows])

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return torch.bernoulli(self.mean.expand(*check_shape(shape), *self.logits.shape))


class Categorical(Density):
    r"""One of C classes with logits l, as a one-hot vector: P(y = c) = exp(l_c) / sum_k exp(l_k).

    $$\log p(y) = \sum_c y_c \log\mathrm{softmax}(l)_c$$

    As a vector of C dimensions, a class can be concatenated with other variables and given to a
    network. `F.one_hot(y, C)` makes it of a whole number.

    >>> Categorical(torch.zeros(4)).log_prob(torch.tensor([0, 0, 1, 0]))
    tensor(-1.3863)

    Args:
        logits: (..., C), of any real numbers; normalised here.

    Raises:
        ValueError: where y is not one-hot.
    """

    def __init__(self, logits: Tensor):
        self.log_probs = torch.log_softmax(as_floats(logits), -1)

    @property
    def mean(self) -> Tensor:
        """The probabilities, (..., C)."""
        return self.log_probs.exp()

    def log_prob(self, y: Tensor) -> Tensor:
        y = check_one_hot(check_rows(y, self.log_probs))
        log_p = self.log_probs.to(y.dtype)
        return torch.where(y == 0, 0.0, y * log_p).sum(-1)  # 0 log 0 is 0

    def entropy(self) -> Tensor:
        """H = -sum_c p_c log p_c, (...), nats."""
        return -torch.where(self.log_probs.isneginf(), 0.0, self.mean * self.log_probs).sum(-1)

    def select(self, rows: Tensor) -> "Categorical":
        return Categorical(self.log_probs[rows])

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """A draw and its log-probability, where no gradient is asked for, as in an evaluation."""
        if torch.is_grad_enabled() and self.log_probs.requires_grad:
            self.rsample(shape)
        y = self.sample(shape)
        return y, self.log_prob(y)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        p, shape = self.mean, check_shape(shape)
        rows = p.expand(*shape, *p.shape).reshape(-1, p.shape[-1])
        if not len(rows):  # which multinomial refuses
            return p.new_zeros(*shape, *p.shape)
        drawn = torch.multinomial(rows, 1).reshape((*shape, *p.shape[:-1]))
        return F.one_hot(drawn, p.shape[-1]).to(p.dtype)


class Sequence(Density):
    r"""Symbols one after the other, each given those before it, until the end mark.

    $$\log p(x \mid z) = \sum_{t=1}^{T+1} \log p(x_t \mid x_1, \dots, x_{t-1}, z), \qquad
      x_{T+1} = \mathtt{END}$$

    An event is a row of whole numbers from 0 to V - 1, (..., length). `END` is 0. The first one is
    part of the sequence; what follows it fills the row up and counts nothing, so that sequences of
    different lengths stand in one tensor. A row without an end mark is the beginning of a sequence,
    and its probability that of all that begin so.

    Args:
        net: has `symbols`, V; `length`, the longest row that is drawn; `features(x, given)`, one
            vector for each position, which sees the symbols before it; `head`, from there to V
            logits; and, to draw, `start(given, n)` and `step(x_t, state)`, logits and a new state.
        given: z, (..., d), one for each row; None: p(x).
    """

    def __init__(self, net: nn.Module, given: Tensor | None = None):
        self.net, self.given = net, given
        if given is not None:
            check_event(given, next(net.parameters()), net.given_dim)

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError(
            "symbols have no mean: average nothing, draw with sample() or search with likeliest()"
        )

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_probs(x).sum(-1)

    def log_probs(self, x: Tensor) -> Tensor:
        """log p(x_t | x_<t, z) of each symbol, and 0 after the end mark: the shape of x, (..., T),
        with the leading axes of z in front if z has more.
        """
        x = check_symbols(x, next(self.net.parameters()), self.net.symbols)
        given, lead = self.given, x.shape[:-1]
        if given is not None:
            try:
                lead = torch.broadcast_shapes(lead, given.shape[:-1])
            except RuntimeError:
                raise ValueError(
                    f"expected a sequence for each z, of shape {tuple(given.shape)}, got shape"
                    f" {tuple(x.shape)}"
                ) from None
            given = given.expand(*lead, -1).reshape(-1, given.shape[-1])
        x = x.expand(*lead, -1)
        h = self.net.features(x.reshape(-1, x.shape[-1]), given).flatten(0, 1)
        asked = x.where(until_end(x), IGNORED).flatten()
        rows = max(1, LOGITS // self.net.symbols)  # where no gradient is kept, so much memory
        return -torch.cat(
            [
                F.cross_entropy(self.net.head(part), wanted, ignore_index=IGNORED, reduction="none")
                for part, wanted in zip(h.split(rows), asked.split(rows), strict=True)
            ]
        ).view(x.shape)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        """Draw symbol by symbol, and compute nothing twice: (*shape, *rows of z, net.length)."""
        state, lead = self._start(check_shape(shape))
        word = torch.full((len(state[0]),), END, device=state[0].device)
        drawn, ended = word[:, None].repeat(1, self.net.length), word != END
        with torch.inference_mode():  # autograd's bookkeeping would be much of a small step
            for t in range(self.net.length if len(word) else 0):
                logits, state = self.net.step(word, state)
                drawn[:, t] = word = draw_symbols(logits)
                ended |= word == END
                if ended.all():
                    break
        return drawn.where(until_end(drawn), END).view(*lead, self.net.length)

    @torch.no_grad()
    def likeliest(self, beam: int = 5) -> Tensor:
        """The most probable sequence that a beam search of this width finds; 1: the most probable
        symbol each time. (*rows of z, net.length).
        """
        check_beam(beam, self.net.symbols)
        state, lead = self._start(())
        n = len(state[0])
        state = tuple(part.repeat_interleave(beam, 0) for part in state)
        score = state[0].new_full((n, beam), -math.inf)
        score[:, 0] = 0  # all beams are alike at first: one of them counts
        x = torch.full((n * beam, self.net.length), END, device=score.device)
        word, first = x[:, 0].clone(), torch.arange(n, device=score.device)[:, None] * beam
        ended = torch.zeros_like(word, dtype=torch.bool)
        for t in range(self.net.length):
            logits, state = self.net.step(word, state)
            log_p = torch.log_softmax(logits, -1)
            log_p = log_p.masked_fill(ended[:, None], -math.inf)
            log_p[:, END] = log_p[:, END].masked_fill(ended, 0.0)  # what has ended stays as it is
            total = (score[..., None] + log_p.view(n, beam, -1)).flatten(1)
            score, best = total.topk(beam)
            rows = (first + best // self.net.symbols).flatten()
            word = (best % self.net.symbols).flatten()
            state, x = tuple(part[rows] for part in state), x[rows]
            x[:, t], ended = word, ended[rows] | (word == END)
            if ended.all():
                break
        return x.view(n, beam, -1)[:, 0].reshape(*lead, self.net.length)

    def _start(self, shape: tuple[int, ...]) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """The state before the first symbol, one row for each sequence, and the sequences' axes."""
        lead = (*shape, *(() if self.given is None else self.given.shape[:-1]))
        given = self.given
        if given is not None:
            given = given.expand(*lead, -1).reshape(-1, given.shape[-1])
        return self.net.start(given, math.prod(lead)), lead


LOGITS = 2**19  # how many are computed at once: two megabytes
IGNORED = -100  # what cross_entropy takes for no class


def until_end(x: Tensor) -> Tensor:
    """Which symbols of sequences count, those up to the first end mark and this: (..., T), booleans.

    >>> until_end(torch.tensor([[5, 3, 0, 0], [0, 7, 7, 0]])).int().tolist()
    [[1, 1, 1, 0], [1, 0, 0, 0]]
    """
    ends = (x == END).long()
    return ends.cumsum(-1) == ends  # none before it


class Point(Density):
    """All probability on one point, a generator's output: it can be sampled and has no density.

    Args:
        mean: the point, (..., D).
    """

    def __init__(self, mean: Tensor):
        self.mean = as_floats(mean)

    def log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError(
            "a point has no density: a generator without noise is an implicit model. It can be"
            " sampled, but no x has a log-probability under it; a bump about each sample (a kernel"
            " density estimate) is another model."
        )

    def rsample(self, shape: Shape = ()) -> Tensor:
        return self.mean.expand(*check_shape(shape), *self.mean.shape)

    def sample(self, shape: Shape = ()) -> Tensor:
        return self.rsample(shape).detach().clone()


class Categoricals(Density):
    r"""K independent categorical variables, their one-hot vectors side by side: the voices of a chord.

    $$\log p(x) = \sum_k \sum_c x_{kc} \log\mathrm{softmax}(l_k)_c$$

    >>> x = torch.tensor([0, 1, 0, 0, 1])  # the second of two classes, and the third of three
    >>> Categoricals(torch.zeros(5), (2, 3)).log_prob(x)
    tensor(-1.7918)

    Args:
        logits: (..., D), of any real numbers; normalised here, variable by variable.
        sizes: how many classes each variable has; D is their sum.

    Raises:
        ValueError: for logits of another width, or where a variable of x is not one-hot.
    """

    def __init__(self, logits: Tensor, sizes: tuple[int, ...]):
        logits = as_floats(logits)
        if logits.shape[-1:] != (sum(sizes),):
            raise ValueError(
                f"variables of {sizes} classes have {sum(sizes)} logits, got shape"
                f" {tuple(logits.shape)}"
            )
        self.sizes = tuple(sizes)
        self.log_probs = torch.cat([part.log_softmax(-1) for part in logits.split(sizes, -1)], -1)

    @property
    def mean(self) -> Tensor:
        """The probabilities, (..., D)."""
        return self.log_probs.exp()

    def log_prob(self, x: Tensor) -> Tensor:
        return self.each_log_prob(x).sum(-1)

    def each_log_prob(self, x: Tensor) -> Tensor:
        """The log-probability of each variable: (..., K), nats."""
        x = check_rows(x, self.log_probs)
        x = torch.cat([check_one_hot(part) for part in x.split(self.sizes, -1)], -1)
        terms = torch.where(x == 0, 0.0, x * self.log_probs.to(x.dtype))  # 0 log 0 is 0
        return torch.stack([part.sum(-1) for part in terms.split(self.sizes, -1)], -1)

    def complete(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the unknown variables given the known ones, without a gradient.

        Args:
            x: (..., D). known: (D,) booleans, the same throughout a variable.

        Returns:
            x with the unknown part drawn, and the log-probability of the known part, (...).
        """
        drawn = torch.where(known, x, self.sample())
        of_known = torch.stack([part[0] for part in known.split(self.sizes)])
        return drawn, (self.each_log_prob(drawn) * of_known).sum(-1)

    def select(self, rows: Tensor) -> "Categoricals":
        return Categoricals(self.log_probs[rows], self.sizes)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        parts = self.log_probs.split(self.sizes, -1)
        return torch.cat([Categorical(part).sample(shape) for part in parts], -1)


class Mixture(Density):
    r"""$$\log p(x) = \log \sum_k \pi_k\, p_k(x)$$

    The log-sum-exp is over components, after each component has summed over its dimensions.

    Args:
        log_weights: (K,), normalised here.
        components: a Gaussian or a Bernoulli whose parameters have shape (K, D).

    Raises:
        ValueError: unless there is one weight for each component. A single one would broadcast, and
            the density would integrate to K.
    """

    def __init__(self, log_weights: Tensor, components: Density):
        log_weights, rows = as_floats(log_weights), components.mean.shape[:-1]
        if log_weights.dim() != 1 or log_weights.shape != rows:
            raise ValueError(
                f"a mixture has one weight for each component, (K,): got weights of shape"
                f" {tuple(log_weights.shape)} for components of shape {tuple(rows)}"
            )
        self.log_weights = torch.log_softmax(log_weights, -1)
        self.components = components

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.logsumexp(self.log_weights + self.components.cross_log_prob(x), -1)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.components.select(draw_index(self.log_weights.exp(), shape)).sample()


class CategoricalsMixture(Density):
    r"""A mixture of M components, each of which is `Categoricals`; another one for each row.

    $$\log p(x) = \log \sum_m \pi_m \prod_k \mathrm{softmax}(l_{mk})_{x_k}$$

    In a component the variables are independent, in the mixture they are not.

    Args:
        log_weights: (..., M), normalised here.
        logits: (..., M, D).
        sizes: how many classes each variable has; D is their sum.

    Raises:
        ValueError: unless there is one weight for each component.
    """

    def __init__(self, log_weights: Tensor, logits: Tensor, sizes: tuple[int, ...]):
        self.components = Categoricals(logits, sizes)
        if log_weights.shape != logits.shape[:-1]:
            raise ValueError(
                f"a mixture has one weight for each component, {tuple(logits.shape[:-1])}: got"
                f" weights of shape {tuple(log_weights.shape)}"
            )
        self.weights = Categorical(log_weights)

    @property
    def mean(self) -> Tensor:
        """The probabilities, (..., D), of each variable on its own."""
        return (self.weights.mean.unsqueeze(-1) * self.components.mean).sum(-2)

    def log_prob(self, x: Tensor) -> Tensor:
        check_rows(x, self.components.log_probs[..., 0, :])
        log_p = self.components.log_prob(x.unsqueeze(-2))
        return torch.logsumexp(self.weights.log_probs + log_p, -1)

    def complete(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """As `Categoricals.complete`; the component is drawn given the known variables."""
        drawn, log_p = self.components.complete(x.unsqueeze(-2), known)
        log_joint = self.weights.log_probs + log_p
        chosen = Categorical(log_joint).sample().unsqueeze(-1)
        return (chosen * drawn).sum(-2), torch.logsumexp(log_joint, -1)

    def select(self, rows: Tensor) -> "CategoricalsMixture":
        return CategoricalsMixture(
            self.weights.log_probs[rows], self.components.log_probs[rows], self.components.sizes
        )

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        chosen = self.weights.sample(shape).unsqueeze(-1)
        return (chosen * self.components.sample(shape)).sum(-2)


class GaussianConditional(nn.Module):
    """N(mean(given), diag(exp(log_var(given)))), such as the encoder q(z|x).

    Under mixed precision the network may answer in half precision: its output is converted to the
    dtype of `given`, in which log-probabilities are summed.

    Args:
        net: maps (..., G) to (..., 2 D): the means, then the log-variances.
        log_var_range: the log-variances are clipped to it. Without a limit the density of grey
            values grows to infinity as a variance goes to 0. VampPrior's code has (-6, 2) for an
            encoder and (-4.5, 0) for a decoder.
    """

    def __init__(self, net: nn.Module, log_var_range: tuple[float, float] = (-6.0, 2.0)):
        super().__init__()
        self.net, self.log_var_range = net, log_var_range

    def forward(self, given: Tensor) -> Gaussian:
        return gaussian_of(apply(self.net, given), self.log_var_range)


def gaussian_of(output: Tensor, log_var_range: tuple[float, float]) -> Gaussian:
    """A network's output, (..., 2 D), as a Gaussian: means, then log-variances to be clipped."""
    if output.shape[-1] % 2:
        raise ValueError(
            "a mean and a log-variance each need an even output, the network has"
            f" {output.shape[-1]}"
        )
    mean, log_var = output.chunk(2, -1)
    return Gaussian(mean, log_var.clamp(*log_var_range))


class BernoulliConditional(nn.Module):
    """Bernoulli(sigmoid(net(given))), such as the decoder p(x|z) of binary images.

    Args:
        net: maps (..., G) to logits (..., D).
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Bernoulli:
        return Bernoulli(apply(self.net, given))


class CategoricalConditional(nn.Module):
    """Categorical(softmax(net(given))), such as a classifier q(y|x).

    Args:
        net: maps (..., G) to logits (..., C).
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Categorical:
        return Categorical(apply(self.net, given))


class SequenceConditional(nn.Module):
    """The decoder p(x|z) of sequences.

    Args:
        net: as for `Sequence`, with `given_dim`, the dimensions of z.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Sequence:
        check_event(z, like := next(self.net.parameters()), self.net.given_dim)
        return Sequence(self.net, z.to(like.dtype))


class IsotropicGaussianConditional(nn.Module):
    """N(net(given), sigma^2 I) with one learned variance for all dimensions.

    log p(x|z) is then a squared distance in units of sigma.

    Args:
        net: maps (..., G) to means (..., D).
        log_var: the first value of log sigma^2.
    """

    def __init__(self, net: nn.Module, log_var: float = -3.0):
        super().__init__()
        self.net, self.log_var = net, nn.Parameter(torch.tensor(float(log_var)))

    def forward(self, given: Tensor) -> Gaussian:
        mean = apply(self.net, given)
        return Gaussian(mean, self.log_var.to(mean).expand_as(mean))


class CategoricalsConditional(nn.Module):
    """Several categorical variables given a vector, such as the voices of a chord.

    Args:
        net: maps (..., G) to logits (..., D), D the sum of `sizes`; with a mixture to M + M * D
            numbers, the components' weights and then their logits.
        sizes: how many classes each variable has.
        components: M of a `CategoricalsMixture`; None: the variables are independent.
    """

    def __init__(self, net: nn.Module, sizes: tuple[int, ...], components: int | None = None):
        super().__init__()
        self.net, self.sizes, self.components = net, tuple(sizes), components

    def forward(self, given: Tensor) -> Categoricals | CategoricalsMixture:
        output, M = apply(self.net, given), self.components
        if M is None:
            return Categoricals(output, self.sizes)
        logits = output[..., M:].unflatten(-1, (M, sum(self.sizes)))
        return CategoricalsMixture(output[..., :M], logits, self.sizes)


class PointConditional(nn.Module):
    """All probability on net(given): a decoder without noise, such as a GAN's generator.

    Args:
        net: maps (..., G) to (..., D).
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Point:
        return Point(apply(self.net, given))


LIKELIHOODS = {"bernoulli": 1, "gaussian": 2}  # p(x|z) of pixels: a network's outputs for each


def outputs_per_pixel(likelihood: str) -> int:
    """How many numbers for each pixel a decoder's network has to give.

    Raises:
        ValueError: for a likelihood that is not in LIKELIHOODS.
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"likelihood is one of {', '.join(map(repr, LIKELIHOODS))}, got {likelihood!r}"
        )
    return LIKELIHOODS[likelihood]


def pixel_decoder(net: nn.Module, likelihood: str) -> nn.Module:
    """The decoder p(x|z) of binary ("bernoulli") or grey ("gaussian") pixels around a network."""
    if likelihood == "bernoulli":
        return BernoulliConditional(net)
    return GaussianConditional(net, (-4.5, 0.0))


def kl(q: Gaussian, p: Gaussian | StandardGaussian) -> Tensor:
    r"""KL[q || p] between diagonal Gaussians in closed form: (B,), nats, summed over dimensions.

    $$\tfrac12 \sum_d \left[\log\frac{\sigma_{p,d}^2}{\sigma_{q,d}^2}
      + \frac{\sigma_{q,d}^2 + (\mu_{q,d} - \mu_{p,d})^2}{\sigma_{p,d}^2} - 1\right]$$

    Raises:
        TypeError: for any other pair, which has no closed form here: estimate E_q[log q(z) - log
            p(z)] by sampling.
    """
    return kl_per_dimension(q, p).sum(-1)


def kl_per_dimension(q: Gaussian, p: Gaussian | StandardGaussian) -> Tensor:
    """The terms of `kl` before they are summed: (B, D). A dimension that stays at 0 is not used."""
    if not has_closed_form(q, p):
        raise TypeError(
            f"no closed form for KL[{type(q).__name__} || {type(p).__name__}], only between"
            " diagonal Gaussians: use E_q[log q(z) - log p(z)] by sampling"
        )
    square = (check_rows(q.mean, p.mean) - p.mean) ** 2
    variance_ratio = torch.exp(q.log_var - p.log_var)
    return 0.5 * (p.log_var - q.log_var + variance_ratio + square * torch.exp(-p.log_var) - 1)


def has_closed_form(q: Density, p: Density) -> bool:
    """Whether `kl(q, p)` has a formula."""
    return isinstance(q, Gaussian) and isinstance(p, Gaussian | StandardGaussian)


def sum_over_steps(terms: Tensor, lengths: Tensor) -> Tensor:
    """Sums over the steps of sequences of different lengths: what lies behind an end counts nothing.

    Args:
        terms: (..., B, T), one number for each step. lengths: (B,), whole numbers from 1 to T.

    Returns:
        (..., B).
    """
    there = torch.arange(terms.shape[-1], device=terms.device) < lengths.unsqueeze(-1)
    return torch.where(there, terms, 0.0).sum(-1)


def standard_noise(shape: Shape, like: Tensor) -> Tensor:
    """Draws of N(0, I), (*shape, *like.shape), with the dtype and device of `like`."""
    return torch.randn(*check_shape(shape), *like.shape, dtype=like.dtype, device=like.device)


def draw_index(probabilities: Tensor, shape: Shape) -> Tensor:
    """Indices drawn with these probabilities, (K,): whole numbers of the given shape."""
    shape = check_shape(shape)
    if not (n := math.prod(shape)):  # which multinomial refuses
        return torch.zeros(shape, dtype=torch.long, device=probabilities.device)
    return torch.multinomial(probabilities, n, replacement=True).reshape(shape)


def draw_symbols(logits: Tensor) -> Tensor:
    """A class for each row of logits, (n, V): (n,) whole numbers. One uniform number a row, and where
    it lies among the running sums; ten times as fast as `torch.multinomial`.
    """
    sums = torch.softmax(logits, -1).cumsum(-1)
    total = sums[:, -1:]  # 1, but for rounding
    u = torch.rand_like(total) * total
    return torch.searchsorted(sums, u, right=True)[:, 0].clamp_(max=logits.shape[-1] - 1)


def apply(net: nn.Module, given: Tensor, *more: Tensor | None) -> Tensor:
    """net(given, *more), in the dtype of `given` or the network's own, whichever is wider.

    Under mixed precision a network answers in half precision: its output is converted back.
    """
    output = call(net, given, *more)
    return output.to(torch.promote_types(output.dtype, given.dtype))


def call(net: nn.Module, given: Tensor, *more: Tensor | None) -> Tensor:
    """net(given, *more), computed in the network's own dtype, whatever theirs.

    They are checked and converted only if the network fails, so that a training step spends no time
    on it. The error then says in words what does not fit (`check_given`).
    """
    try:
        return net(given, *more)
    except Exception as error:
        failure = error
    inputs = [t if t is None else check_given(t, net, not more) for t in (given, *more)]
    if all(new is old for new, old in zip(inputs, (given, *more), strict=True)):
        raise failure
    return net(*inputs)


def check_shape(shape: Shape) -> tuple[int, ...]:
    """The shape of samples as a tuple, (n,) for a whole number n.

    Raises:
        TypeError: for what is no shape, or has a size below 0.
    """
    sizes = shape if isinstance(shape, tuple | list) else (shape,)
    if not all(isinstance(n, Integral) and n >= 0 for n in sizes):
        raise TypeError(
            "sample takes a shape, a whole number such as 5 or a tuple such as (5, 2), and no size"
            f" below 0: got {shape!r}"
        )
    return tuple(sizes)


def check_event(x: Tensor, like: Tensor, dim: int | None = None) -> Tensor:
    """x as a density whose parameters are `like` takes it. What every `log_prob` accepts:

    - a tensor whose last axis, the event, has D dimensions. Any axes may stand in front, or none,
      and be empty. Where the parameters have rows, both broadcast (`check_rows`);
    - on the parameters' device;
    - of any dtype of real numbers, as in torch.distributions: the result is in that of x or of the
      parameters, whichever is wider; whole numbers and booleans count as the parameters' dtype;
    - NaN and infinity, which give NaN or infinity in their own rows.

    Args:
        x: (..., D).
        like: a parameter; it has the density's device and dtype.
        dim: D, unless it is the length of the last axis of `like`.

    Returns:
        x in the result's dtype.

    Raises:
        TypeError, ValueError: for anything else; the message says what was expected and what came.
    """
    check_tensor(x)
    dim = like.shape[-1] if dim is None else dim
    if x.shape[-1:] != (dim,):
        raise ValueError(
            f"expected vectors of {dim} dimensions on the last axis, got shape {tuple(x.shape)}"
        )
    check_device(x, like)
    return x if x.dtype == like.dtype else x.to(torch.promote_types(x.dtype, like.dtype))


def check_rows(x: Tensor, like: Tensor, dim: int | None = None) -> Tensor:
    """`check_event`, where the axes before the last of x and of the parameters must broadcast."""
    x = check_event(x, like, dim)
    if x.shape != like.shape:
        pairs = zip(x.shape[-2::-1], like.shape[-2::-1], strict=False)
        if not all(n == m or 1 in (n, m) for n, m in pairs):
            raise ValueError(
                f"expected an x for each row of the parameters, of shape {tuple(like.shape)}, got"
                f" shape {tuple(x.shape)}"
            )
    return x


def check_tensor(x: Tensor) -> Tensor:
    """x, if it is a tensor of real numbers; else a TypeError."""
    if not isinstance(x, Tensor):
        raise TypeError(f"expected a tensor, got {type(x).__name__}: torch.as_tensor(x) makes one")
    if x.is_complex():
        raise TypeError(f"expected real numbers, got {x.dtype}")
    return x


def check_device(x: Tensor, like: Tensor) -> None:
    """Raise a ValueError if x is on another device than `like`: on some, torch would give garbage."""
    if x.device != like.device:
        raise ValueError(
            f"expected a tensor on the device {str(like.device)!r}, as the parameters are, got one on"
            f" {str(x.device)!r}: x.to({str(like.device)!r}) moves it"
        )


def as_floats(x: Tensor) -> Tensor:
    """x itself, or whole numbers and booleans in torch's default dtype: the rule of `check_event`
    where there are no parameters, as for these themselves, or points to compare.
    """
    return x if check_tensor(x).is_floating_point() else x.to(torch.get_default_dtype())


def check_batch(x: Tensor, finite: bool = False) -> Tensor:
    """x as floats, if it is a batch, (N, D): of one example alone, (D,), the D numbers would pass
    for as many examples.

    Raises:
        ValueError: if not; with `finite`, also for NaN or infinity, for what is no number that
            could carry them on, such as a count.
    """
    if (x := as_floats(x)).dim() != 2:
        hint = "x.flatten(1) makes rows" if x.dim() > 1 else "x[None] is a batch of one"
        raise ValueError(f"expected a batch of rows, (N, D), got shape {tuple(x.shape)}: {hint}")
    if finite and not x.is_meta and not x.isfinite().all():
        wrong = int((~x.isfinite()).any(-1).sum())
        raise ValueError(
            f"expected finite numbers, got NaN or infinity in {wrong} of {len(x)} rows"
        )
    return x


def check_given(given: Tensor, net: nn.Module, alone: bool = True) -> Tensor:
    """What a network is given, in the network's dtype (words, whole numbers, as they are).

    Args:
        alone: it is all that the network is given, so that its width is known.

    Raises:
        TypeError, ValueError: if the network can't take it; the message names the type, the width
            or the device, where torch would speak of mat1 and mat2.
    """
    check_tensor(given)
    first = net[0] if isinstance(net, nn.Sequential) else net
    width = getattr(first, "in_features", None)
    if alone and width is not None and given.shape[-1:] != (width,):
        raise ValueError(
            f"expected vectors of {width} numbers on the last axis, got shape {tuple(given.shape)}"
        )
    like = next(net.parameters(), given)
    check_device(given, like)
    if any(isinstance(part, nn.Embedding) for part in net.modules()):
        if given.dtype != torch.int64:
            raise ValueError(
                f"expected words as whole numbers, torch.int64, got {given.dtype}: x.long()"
                " converts"
            )
        return given
    return given.to(like.dtype)


def check_binary(x: Tensor) -> Tensor:
    """x, floats, if all of it is 0 or 1.

    A look at the values makes a GPU wait, and is impossible under torch.func.vmap and on the meta
    device. There, and in training on a GPU, what is neither 0 nor 1 becomes NaN, and so does the
    log-probability, at which a training stops.

    Raises:
        ValueError: if not: a Bernoulli's log-probability of grey values means nothing.
    """
    off = torch.addcmul(x, x, x, value=-1)  # x - x^2: 0 at 0 and 1 only, NaN at infinity
    if x.device.type == "cpu" or not torch.is_grad_enabled():
        with contextlib.suppress(RuntimeError):  # of vmap and meta
            if not off.any():
                return x
            raise ValueError(not_binary(x))
    return x.where(off == 0, math.nan)


def check_one_hot(y: Tensor) -> Tensor:
    """y, floats, if each row is 0 but for a single 1. Where values are not read (`check_binary`), a
    row that is not becomes NaN.

    Raises:
        ValueError: if not.
    """
    wrong = ((y != 0) & (y != 1)).any(-1) | (y.sum(-1) != 1)
    if y.device.type == "cpu" or not torch.is_grad_enabled():
        with contextlib.suppress(RuntimeError):  # of vmap and meta
            if not wrong.any():
                return y
            raise ValueError(
                f"expected one-hot vectors, all 0 but for a single 1, got others in"
                f" {int(wrong.sum())} of {wrong.numel()} rows: F.one_hot(y, {y.shape[-1]}) makes them"
            )
    return y.where(~wrong.unsqueeze(-1), math.nan)


def check_symbols(x: Tensor, like: Tensor, symbols: int) -> Tensor:
    """x, sequences of shape (..., T), as int64. Where values are not read (`check_binary`) a symbol
    that is none is torch's to find.

    Raises:
        ValueError: unless all are whole numbers from 0 to symbols - 1, and T at least 1.
    """
    check_device(check_tensor(x), like)
    if x.dim() == 0 or x.shape[-1] == 0:
        raise ValueError(
            f"expected sequences of at least one symbol, (..., T), got shape {tuple(x.shape)}"
        )
    whole = x.long()
    if x.device.type == "cpu" or not torch.is_grad_enabled():
        with contextlib.suppress(RuntimeError):  # of vmap and meta
            wrong = (whole != x) | (whole < 0) | (whole >= symbols)
            if wrong.any():
                raise ValueError(
                    f"expected symbols, whole numbers from 0 to {symbols - 1}, got"
                    f" {x[wrong][0].item():g}"
                )
    return whole


def check_beam(beam: int, symbols: int) -> None:
    """A ValueError unless there are so many symbols to begin with."""
    if not isinstance(beam, Integral) or not 1 <= beam <= symbols:
        raise ValueError(f"beam: expected a whole number from 1 to {symbols}, got {beam!r}")


def not_binary(x: Tensor) -> str:
    """What to say of an x that is not 0 or 1 everywhere."""
    if x.isnan().any():
        return (
            f"expected binary pixels (0 or 1), got NaN (not a number) in {int(x.isnan().sum())}"
            f" of {x.numel()}"
        )
    return (
        f"expected binary pixels (0 or 1), got values from {x.min():.3g} to {x.max():.3g}:"
        " binarise the images (mnist(binarise='dynamic')) or give the model a Gaussian likelihood"
    )


def check_terms(
    shape: tuple[int, ...], log_likelihood: Tensor, log_prior: Tensor = None, log_q: Tensor = None
) -> None:
    """Check that the terms of a log-weight have this shape, one value for each z: a term of another
    shape would be broadcast, and counted for every example.

    Raises:
        ValueError: if one has another shape; the message names it.
    """
    terms = {"log p(x|z)": log_likelihood, "log p(z)": log_prior, "log q(z|x)": log_q}
    for name, term in terms.items():
        if term is not None and term.shape != shape:
            raise ValueError(
                f"{name} is one value for each z, here of shape {tuple(shape)}, and the model gives"
                f" {tuple(term.shape)}: sum over the last axis, the dimensions, and no other"
            )
