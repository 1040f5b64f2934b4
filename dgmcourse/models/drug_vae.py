r"""Drug response: PertVAE, a VAE of cells before and after a drug, and Dr.VAE, which is M1+M2 on top
of it: the response is a label.

Slides: "Extensions: drug response". Rampasek, Hidru, Smirnov, Haibe-Kains & Goldenberg, Dr.VAE:
improving drug response prediction via modeling of drug perturbation effects, Bioinformatics 35,
2019; Rampasek & Goldenberg, 2017, arXiv:1706.08203.

A pair is one vector, x = [x_1, x_2], before and after, 2 D numbers. Where x_2 was not measured its
half is NaN, and where the response is not known y is -1.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import (
    CategoricalConditional,
    Conditional,
    Density,
    Gaussian,
    GaussianConditional,
    StandardGaussian,
    check_event,
    check_terms,
    kl,
)
from dgmcourse.models.factor_analysis import LinearGaussianConditional
from dgmcourse.models.hierarchical_vae import Ancestral, TwoLayerPrior
from dgmcourse.models.latent_variable_model import LatentVariableModel, elbo_parts
from dgmcourse.models.semi_supervised_vae import (
    M2,
    DecoderOfLast,
    LabelEncoder,
    SemiSupervisedVAE,
    StackedEncoder,
    one_hidden_layer,
)
from dgmcourse.settings import check_number, check_whole

READS = ("state", "shift", "both")  # what the response is told from


class Transition(nn.Module):
    r"""What the drug does to a cell, p(z_2|z_1) = N(z_1 + W z_1 + b, diag(s)).

    Args:
        dim: dimensions of z_1, and of z_2.
    """

    def __init__(self, dim: int):
        check_whole(dim=dim)
        super().__init__()
        self.move = nn.Linear(dim, dim)
        self.log_var = nn.Parameter(torch.full((dim,), -2.0))
        nn.init.normal_(self.move.weight, std=0.1 / dim**0.5)
        nn.init.zeros_(self.move.bias)

    def shift(self, z1: Tensor) -> Tensor:
        """The mean of z_2 - z_1, W z_1 + b: (..., d)."""
        return self.move(check_event(z1, self.log_var).to(self.log_var.dtype))

    def forward(self, z1: Tensor) -> Gaussian:
        mean = z1 + self.shift(z1)
        return Gaussian(mean, self.log_var.expand_as(mean))


class Twice(nn.Module):
    """One Conditional for both halves of what is given: q(z_1|x_1) q(z_2|x_2), given [x_1, x_2], or
    p(x_1|z_1) p(x_2|z_2), given [z_1, z_2]. The event, too, is before and after.

    Args:
        each: a Conditional whose Density is `Gaussian`.
    """

    def __init__(self, each: Conditional):
        super().__init__()
        self.each = each

    def forward(self, given: Tensor) -> Gaussian:
        if given.shape[-1] % 2:
            raise ValueError(
                f"expected [before, after], an even number of dimensions, got {given.shape[-1]}"
            )
        p = self.each(given.unflatten(-1, (2, -1)))
        return Gaussian(p.mean.flatten(-2), p.log_var.flatten(-2))


class PairedModel(LatentVariableModel):
    """What PertVAE and Dr.VAE share: `state` q(z|x), `expression` p(x|z) and `transition` p(z_2|z_1),
    of which their encoders, decoders and priors are made.
    """

    state: Conditional
    expression: Conditional
    transition: Transition

    @property
    def before(self) -> LatentVariableModel:
        """What remains where x_2 is missing: a model of x_1 alone. z_2 and x_2 integrate to 1."""
        raise NotImplementedError

    @torch.no_grad()
    def after(self, x1: Tensor) -> Tensor:
        """The predicted x_2, (B, D), of cells x_1, (B, D): at the mean state, moved by its mean."""
        return self.expression(self.transition(self.state(x1).mean).mean).mean

    def _pair(self, x: Tensor) -> tuple[Tensor, Gaussian, Tensor, Tensor]:
        """A z_1 ~ q(z_1|x_1), and that q; the reconstruction and KL[q(z_2|x_2) || p(z_2|z_1)] of a
        pair, of which a missing half adds 0.
        """
        x1, x2, paired = halves(x)
        q1, q2 = self.state(x1), self.state(x2)
        z1, z2 = q1.rsample(), q2.rsample()
        log_p1, log_p2 = self.expression(z1).log_prob(x1), self.expression(z2).log_prob(x2)
        check_terms(z1.shape[:-1], log_p1, log_p2)
        moved = kl(q2, self.transition(z1))
        none = torch.zeros_like(moved)
        reconstruction = log_p1 + torch.where(paired, log_p2, none)
        return z1, q1, reconstruction, torch.where(paired, moved, none)


class PertVAE(PairedModel):
    r"""A VAE of pairs, with one encoder and one decoder for before and after.

    $$p(z_1)\, p(x_1 \mid z_1)\, p(z_2 \mid z_1)\, p(x_2 \mid z_2), \qquad
      q(z_1 \mid x_1)\, q(z_2 \mid x_2)$$

    A `LatentVariableModel` of x = [x_1, x_2] whose latent variable is [z_1, z_2].

    Args:
        latent_dim: dimensions of z_1, and of z_2.
        hidden: units in the hidden layer of encoder and decoder; None: both are linear, and the
            decoder has one variance for each gene.
        data_dim: genes, D.
    """

    def __init__(self, latent_dim: int = 10, hidden: int | None = None, data_dim: int = 100):
        state, expression = of_expression(latent_dim, hidden, data_dim)
        top, transition = StandardGaussian(latent_dim), Transition(latent_dim)
        prior = TwoLayerPrior(top, transition, (latent_dim, latent_dim))
        super().__init__(prior, Twice(state), Twice(expression))

    @property
    def state(self) -> Conditional:
        return self.encoder.each

    @property
    def expression(self) -> Conditional:
        return self.decoder.each

    @property
    def transition(self) -> Transition:
        return self.prior.below

    @property
    def before(self) -> LatentVariableModel:
        return LatentVariableModel(self.prior.top, self.state, self.expression)

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        r"""A lower bound on log p(x_1, x_2), or on log p(x_1) where x_2 is NaN: (B,), nats.

        $$\mathbb E[\log p(x_1 \mid z_1) + \log p(x_2 \mid z_2)] - \mathrm{KL}[q(z_1 \mid x_1) \,\|\, p(z_1)]
          - \mathbb E_{q(z_1|x_1)} \mathrm{KL}[q(z_2 \mid x_2) \,\|\, p(z_2 \mid z_1)]$$

        Args:
            x: [x_1, x_2], (B, 2 D).
            beta: weighs both KLs.

        Returns:
            what to maximise, and {"elbo" (beta = 1), "reconstruction", "kl"} to watch.
        """
        _, q1, reconstruction, moved = self._pair(x)
        regulariser = kl(q1, self.prior.top) + moved
        return reconstruction - beta * regulariser, elbo_parts(reconstruction, regulariser)


class DrVAE(PairedModel):
    r"""PertVAE with a response y, one of C classes, and a rest z_3: M1+M2 whose M1 knows the drug.

    $$p(y)\, p(z_3)\, p(z_1 \mid y, z_3)\, p(x_1 \mid z_1)\, p(z_2 \mid z_1)\, p(x_2 \mid z_2), \qquad
      q(z_1 \mid x_1)\, q(z_2 \mid x_2)\, q(y \mid z_1)\, q(z_3 \mid z_1, y)$$

    A `LatentVariableModel` of x = [x_1, x_2] whose latent variable is [one-hot y, z_3, z_1, z_2].
    q(y|z_1) is a linear classifier of the state, of the shift W z_1 + b that the drug is expected to
    cause, or of both. (The authors give it z_1 and a draw of z_2 - z_1; its mean has no noise.)

    Args:
        latent_dim, hidden, data_dim: as in `PertVAE`.
        style_dim: dimensions of z_3.
        units: in the hidden layers of p(z_1|y, z_3) and q(z_3|z_1, y).
        classes: C.
        reads: what q(y|z_1) is told: "state", "shift" or "both".
        alpha: how much log q(y|z_1) of a cell with a known response counts, against its bound.
    """

    labelled = True
    parts = {"elbo": "bound", "reconstruction": "reconstruction", "log q(y|x)": "log q(y|x)"}

    def __init__(
        self,
        latent_dim: int = 10,
        hidden: int | None = None,
        data_dim: int = 100,
        style_dim: int = 5,
        units: int = 30,
        classes: int = 2,
        reads: str = "both",
        alpha: float = 10.0,
    ):
        check_whole(style_dim=style_dim, units=units)
        check_whole(2, classes=classes)
        check_number(least=0, alpha=alpha)
        state, expression = of_expression(latent_dim, hidden, data_dim)
        transition = Transition(latent_dim)
        m2 = M2(style_dim, units, classes, "gaussian", latent_dim)
        m2.encoder.y = CategoricalConditional(Response(transition, classes, reads))
        below, latent = Moved(m2.decoder, transition), 2 * latent_dim
        super().__init__(
            TwoLayerPrior(m2.prior, below, (classes + style_dim, latent)),
            StackedEncoder(Twice(state), OfFirst(m2.encoder, latent_dim)),
            DecoderOfLast(Twice(expression), latent),
        )
        self.alpha = alpha

    @property
    def state(self) -> Conditional:
        return self.encoder.below.each

    @property
    def expression(self) -> Conditional:
        return self.decoder.decoder.each

    @property
    def transition(self) -> Transition:
        return self.prior.below.transition

    @property
    def m2(self) -> SemiSupervisedVAE:
        """The part that knows responses, an M2 whose x are states z_1; its parameters stay here."""
        return SemiSupervisedVAE(self.prior.top, self.encoder.top.encoder, self.prior.below.state)

    @property
    def before(self) -> LatentVariableModel:
        """M1+M2 of x_1 alone, whose latent variable is [one-hot y, z_3, z_1]."""
        m2, d = self.m2, self.transition.log_var.shape[-1]
        prior = TwoLayerPrior(m2.prior, m2.decoder, (self.prior.dims[0], d))
        encoder = StackedEncoder(self.state, m2.encoder)
        return LatentVariableModel(prior, encoder, DecoderOfLast(self.expression, d))

    def objective(
        self, x: Tensor, y: Tensor | None = None, beta: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        r"""A lower bound on the log-probability of what is known of each cell, (B,), nats, plus alpha
        log q(y|z_1) where the response is.

        $$\mathbb E[\log p(x_1 \mid z_1) - \log q(z_1 \mid x_1) + \mathcal L(z_1, y)]
          + \mathbb E[\log p(x_2 \mid z_2)] - \mathbb E\, \mathrm{KL}[q(z_2 \mid x_2) \,\|\, p(z_2 \mid z_1)]$$

        L is M2's bound on log p(z_1, y); where y is not known its place is taken by U, where y is
        summed out. Of a cell without x_2 the last two terms are left out, which is exact.
        log p(z_1|y, z_3) is that of the z_1 from which z_3 was drawn: the KL of q(z_1|x_1) in closed
        form, as in the authors' code, averages over another z_1, and is a looser bound.

        Args:
            x: [x_1, x_2], (B, 2 D); x_2 may be NaN.
            y: (B,), whole numbers, -1 where not known; None: of none.
            beta: weighs all but the reconstruction and the classifier.

        Returns:
            what to maximise, and {"elbo" (beta = 1), "reconstruction", "log q(y|x)"} to watch.
        """
        z1, q1, reconstruction, moved = self._pair(x)
        y = torch.full(z1.shape[:-1], -1, device=z1.device) if y is None else y
        log_p, log_q = self._of_response(z1, y)
        known = y >= 0
        regulariser = q1.log_prob(z1) - log_p + moved
        value = reconstruction - beta * regulariser + self.alpha * log_q
        mean = log_q.sum() / known.sum().clamp_min(1)
        parts = elbo_parts(reconstruction, regulariser) | {"log q(y|x)": mean.expand_as(value)}
        del parts["kl"]
        return value, parts

    def _of_response(self, z1: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """L(z_1, y), or U(z_1) where y is -1; and log q(y|z_1), or 0."""
        m2, known = self.m2, y >= 0
        q, joint = m2.encoder.y(z1), m2.log_joint(z1)
        one_hot = m2.one_hot(y.clamp_min(0), z1)
        unlabelled = (q.mean * joint).sum(-1) + q.entropy()
        log_q = (one_hot * q.log_probs).sum(-1)
        return (
            torch.where(known, (one_hot * joint).sum(-1), unlabelled),
            torch.where(known, log_q, torch.zeros_like(log_q)),
        )

    @torch.no_grad()
    def response(self, x1: Tensor, samples: int = 100) -> Tensor:
        """p(y|x_1) by the classifier, averaged over states z_1 ~ q(z_1|x_1): (B, C).

        Args:
            x1: (B, D), cells before the drug.
            samples: how many states of each.
        """
        check_whole(samples=samples)
        return self.encoder.top.encoder.y(self.state(x1).rsample((samples,))).mean.mean(0)


class Moved(nn.Module):
    """p(z_1|y, z_3) p(z_2|z_1), a Conditional given [y, z_3]; the event is [z_1, z_2]."""

    def __init__(self, state: Conditional, transition: Transition):
        super().__init__()
        self.state, self.transition = state, transition

    def forward(self, given: Tensor) -> Ancestral:
        p = self.state(given)
        return Ancestral(p, self.transition, p.mean.shape[-1])


class OfFirst(nn.Module):
    """q(y, z_3|z_1) given [z_1, z_2], of which z_2 is not looked at."""

    def __init__(self, encoder: LabelEncoder, dim: int):
        super().__init__()
        self.encoder, self.dim = encoder, dim

    def forward(self, z: Tensor) -> Density:
        return self.encoder(z[..., : self.dim])


class Response(nn.Module):
    """The logits of q(y|z_1), linear in the state z_1, the expected shift, or both."""

    def __init__(self, transition: Transition, classes: int, reads: str):
        if reads not in READS:
            raise ValueError(f"reads is one of {', '.join(map(repr, READS))}, got {reads!r}")
        super().__init__()
        dim = len(transition.log_var)
        self.transition, self.reads = transition, reads
        self.logits = nn.Linear(2 * dim if reads == "both" else dim, classes)

    def forward(self, z1: Tensor) -> Tensor:
        if self.reads == "state":
            return self.logits(z1)
        shift = self.transition.shift(z1)
        return self.logits(shift if self.reads == "shift" else torch.cat([z1, shift], -1))


def halves(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x_1, x_2 and whether x_2 is there, of [x_1, x_2]. Where it is not, x_1 stands in its place.

    An x_2 of which some genes are NaN is there: its log-probability is NaN.
    """
    if x.shape[-1] % 2:
        raise ValueError(f"expected [x_1, x_2], an even number of dimensions, got {x.shape[-1]}")
    x1, x2 = x.chunk(2, -1)
    paired = ~x2.isnan().all(-1)
    return x1, torch.where(paired.unsqueeze(-1), x2, x1), paired


def of_expression(
    latent_dim: int, hidden: int | None, data_dim: int
) -> tuple[nn.Module, nn.Module]:
    """q(z|x) and p(x|z), linear or with one hidden layer."""
    check_whole(latent_dim=latent_dim, data_dim=data_dim)
    check_whole(none=True, hidden=hidden)
    if hidden is None:
        encoder = GaussianConditional(nn.Linear(data_dim, 2 * latent_dim))
        return encoder, LinearGaussianConditional(latent_dim, data_dim)
    nets = (
        one_hidden_layer(data_dim, hidden, 2 * latent_dim),
        one_hidden_layer(latent_dim, hidden, 2 * data_dim),
    )
    return GaussianConditional(nets[0]), GaussianConditional(nets[1], (-4.5, 2.0))
