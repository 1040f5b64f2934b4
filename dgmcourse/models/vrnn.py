r"""The variational recurrent network (VRNN): a VAE at each step, whose prior knows what went before;
and the recurrent network without latent variables.

Slides: "Extensions and applications". Chung, Kastner, Dinh, Goel, Courville & Bengio, A Recurrent
Latent Variable Model for Sequential Data, 2015, arXiv:1506.02216.

Sequences are a batch x, (B, T, D), and their lengths, (B,), whole numbers from 1 to T. What stands
behind a sequence's end has no influence, but it has to be of the decoder's kind, as any step has.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgmcourse.densities import (
    CategoricalsConditional,
    Conditional,
    Density,
    Gaussian,
    GaussianConditional,
    Shape,
    as_floats,
    check_shape,
    draw_index,
    kl,
    sum_over_steps,
)
from dgmcourse.networks import mlp
from dgmcourse.settings import check_whole


class SequenceModel(nn.Module):
    """What models of sequences have in common: they are drawn, and completed, step by step.

    A model has a state h, (..., H), of which it has `predict`, p(x_t|z_t, h) with z_t drawn from
    p(z_t|h), and `advance`, the next state.
    """

    hidden: int

    def start(self, shape: tuple[int, ...]) -> Tensor:
        """The state before the first step, 0: (*shape, H)."""
        return next(self.parameters()).new_zeros(*shape, self.hidden)

    def predict(self, h: Tensor) -> tuple[Density, Tensor | None]:
        """The Density of the next step, and the z_t drawn for it, if there is one."""
        raise NotImplementedError

    def advance(self, h: Tensor, x: Tensor, z: Tensor | None) -> Tensor:
        """The state after a step x_t, (..., D), with its z_t."""
        raise NotImplementedError

    def read(self, x: Tensor) -> Tensor:
        """The state after given sequences of one length, (B, T, D): (B, H). Each z_t is drawn from
        q.
        """
        raise NotImplementedError

    @torch.no_grad()
    def sample(self, shape: Shape = (), steps: int = 64, beginning: Tensor | None = None) -> Tensor:
        """Draw sequences step by step, each drawn step fed back: (*shape, steps, D).

        Args:
            beginning: given first steps, (T, D), which the drawn ones follow; they are not repeated.
        """
        check_whole(steps=steps)
        shape = check_shape(shape)
        if beginning is None:
            h = self.start(shape)
        else:
            n = math.prod(shape)
            many = check_sequences(beginning.unsqueeze(0))[0].expand(n, -1, -1)
            h = self.read(many).reshape(*shape, self.hidden)
        drawn = []
        for _ in range(steps):
            p, z = self.predict(h)
            drawn.append(p.sample())
            h = self.advance(h, drawn[-1], z)
        return torch.stack(drawn, -2)

    @torch.no_grad()
    def complete(self, x: Tensor, known: Tensor, particles: int = 100) -> tuple[Tensor, Tensor]:
        r"""Draw what is not known of a sequence given what is, by importance resampling.

        At each step every particle draws z_t from the prior, and what is unknown of x_t given z_t
        and what is known. Its weight is the probability of the known part; particles are then
        resampled in proportion to their weights:

        $$w_t = p(x_t^{known} \mid z_t, h_{t-1})$$

        Args:
            x: (T, D); its unknown part is not looked at.
            known: which dimensions are known, (D,) booleans.
            particles: the more, the better the draws follow p(unknown|known).

        Returns:
            `particles` sequences, (particles, T, D), of which many share their beginnings, and an
            estimate of log p(known), nats, ().

        Raises:
            ValueError: for other shapes, or a `known` that is not of booleans.
        """
        check_whole(particles=particles)
        (x,), _ = check_sequences(x.unsqueeze(0))
        if known.shape != x.shape[1:] or known.dtype != torch.bool:
            raise ValueError(
                f"known: expected {x.shape[1]} booleans, one for each number of a step, got"
                f" {known.dtype} of shape {tuple(known.shape)}"
            )
        h, drawn, log_p = self.start((particles,)), [], x.new_zeros(())
        for given in x:
            p, z = self.predict(h)
            step, log_w = p.complete(given.expand(particles, -1), known)
            h = self.advance(h, step, z)
            log_p = log_p + torch.logsumexp(log_w, 0) - math.log(particles)
            kept = draw_index(torch.softmax(log_w, 0), particles)
            h, drawn = h[kept], [past[kept] for past in (*drawn, step)]
        return torch.stack(drawn, -2), log_p


class RNN(SequenceModel):
    r"""A recurrent model without latent variables. Its likelihood is exact.

    $$p(x) = \prod_t p(x_t \mid h_{t-1}), \quad h_t = f(x_t, h_{t-1})$$

    Args:
        decoder: p(x_t|h), a Conditional.
        phi_x: what the recurrence sees of x_t, a network of (..., D) to (..., F).
        hidden: units of the state, of a gated recurrent unit (GRU).
        features: F.
    """

    parts = {"log_prob": "log p(x)"}

    def __init__(self, decoder: Conditional, phi_x: nn.Module, hidden: int, features: int):
        super().__init__()
        check_whole(hidden=hidden, features=features)
        self.decoder, self.phi_x, self.hidden = decoder, phi_x, hidden
        self.cell = nn.GRU(features, hidden, batch_first=True)

    def predict(self, h: Tensor) -> tuple[Density, None]:
        return self.decoder(h), None

    def advance(self, h: Tensor, x: Tensor, z: None = None) -> Tensor:
        rows = h.reshape(1, -1, self.hidden)
        features = self.phi_x(x)
        features = features.reshape(rows.shape[1], 1, features.shape[-1])
        return self.cell(features, rows)[1].reshape(h.shape)

    def read(self, x: Tensor) -> Tensor:
        return self.cell(self.phi_x(x))[1].squeeze(0)

    def each_log_prob(self, x: Tensor) -> Tensor:
        """log p(x_t|x_1, ..., x_{t-1}): (B, T), nats."""
        states, _ = self.cell(self.phi_x(x))
        states = torch.cat([self.start((len(x), 1)), states[:, :-1]], 1)  # h_0, ..., h_{T-1}
        return self.decoder(states).log_prob(x)

    def log_prob(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log p(x) of each sequence: (B,), nats."""
        x, lengths = check_sequences(x, lengths)
        return sum_over_steps(self.each_log_prob(x), lengths)

    def objective(self, x: Tensor, lengths: Tensor | None = None, beta: float = 1.0):
        """log p(x), (B,), nats, and {"log_prob"} to watch; beta has nothing to weigh."""
        log_p = self.log_prob(x, lengths)
        return log_p, {"log_prob": log_p}


class Path(NamedTuple):
    """What a VRNN makes of sequences, given z ~ q: all with the axes (*samples, B, T) in front."""

    z: Tensor
    q: Gaussian  # q(z_t|x_t, h_{t-1})
    prior: Gaussian  # p(z_t|h_{t-1})
    decoder: Density  # p(x_t|z_t, h_{t-1})


class VRNN(SequenceModel):
    r"""The variational recurrent network: a VAE at each step, given the past by the state.

    $$p(x, z) = \prod_t p(z_t \mid h_{t-1})\, p(x_t \mid z_t, h_{t-1}), \quad
      q(z \mid x) = \prod_t q(z_t \mid x_t, h_{t-1}), \quad h_t = f(x_t, z_t, h_{t-1})$$

    Args:
        prior: p(z_t|h), a Conditional of h.
        encoder: q(z_t|x_t, h), of [phi_x(x_t), h].
        decoder: p(x_t|z_t, h), of [z_t, h].
        cell: the recurrence, a function (phi_x(x_t), z_t, h_{t-1}) -> h_t.
        phi_x: what encoder and recurrence see of x_t, a network of (..., D) to (..., F).
        hidden: numbers in the state.
    """

    parts = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}

    def __init__(
        self,
        prior: Conditional,
        encoder: Conditional,
        decoder: Conditional,
        cell: nn.Module,
        phi_x: nn.Module,
        hidden: int,
    ):
        super().__init__()
        check_whole(hidden=hidden)
        self.prior, self.encoder, self.decoder = prior, encoder, decoder
        self.cell, self.phi_x, self.hidden = cell, phi_x, hidden

    def predict(self, h: Tensor) -> tuple[Density, Tensor]:
        z = self.prior(h).sample()
        return self.decoder(torch.cat([z, h], -1)), z

    def advance(self, h: Tensor, x: Tensor, z: Tensor) -> Tensor:
        return self.cell(self.phi_x(x), z, h)

    def read(self, x: Tensor) -> Tensor:
        return self.unroll(x)[1]

    def unroll(self, x: Tensor, samples: tuple[int, ...] = ()) -> tuple[Path, Tensor]:
        """Go through sequences with z_t ~ q at each step: the `Path`, and the last state.

        Only q and the recurrence need one step after the other. Prior and decoder see all states at
        once, h_0, ..., h_{T-1}, so that each is called once.
        """
        features = self.phi_x(x).expand(*samples, *x.shape[:-1], -1)  # of all steps at once
        h, states, zs, means, log_vars = self.start((*samples, len(x))), [], [], [], []
        for f in features.unbind(-2):
            q = self.encoder(torch.cat([f, h], -1))
            z = q.rsample()
            for kept, value in zip(
                (states, zs, means, log_vars), (h, z, q.mean, q.log_var), strict=True
            ):
                kept.append(value)
            h = self.cell(f, z, h)
        past, z, mean, log_var = (torch.stack(kept, -2) for kept in (states, zs, means, log_vars))
        decoder = self.decoder(torch.cat([z, past], -1))
        return Path(z, Gaussian(mean, log_var), self.prior(past), decoder), h

    def objective(self, x: Tensor, lengths: Tensor | None = None, beta: float = 1.0):
        r"""The evidence lower bound with one path of z, and its parts: each (B,), nats.

        $$\mathcal L(x) = \mathbb E_q \sum_t \big[\log p(x_t \mid z_t, h_{t-1})
          - \beta\, \mathrm{KL}[q(z_t \mid x_t, h_{t-1}) \,\|\, p(z_t \mid h_{t-1})]\big]$$

        Returns:
            what to maximise, and {"elbo" (beta = 1), "reconstruction", "kl"} to watch.
        """
        x, lengths = check_sequences(x, lengths)
        path, _ = self.unroll(x)
        reconstruction = sum_over_steps(path.decoder.log_prob(x), lengths)
        kls = sum_over_steps(kl(path.q, path.prior), lengths)
        parts = {"elbo": reconstruction - kls, "reconstruction": reconstruction, "kl": kls}
        return reconstruction - beta * kls, parts

    def log_weight(self, x: Tensor, lengths: Tensor | None = None, samples: Shape = ()) -> Tensor:
        """log w = sum_t [log p(x_t|z_t, .) + log p(z_t|.) - log q(z_t|.)], (*samples, B), nats.

        The mean of w over paths z ~ q is p(x).
        """
        x, lengths = check_sequences(x, lengths)
        path, _ = self.unroll(x, check_shape(samples))
        terms = path.decoder.log_prob(x) + path.prior.log_prob(path.z) - path.q.log_prob(path.z)
        return sum_over_steps(terms, lengths)

    @torch.no_grad()
    def log_likelihood(
        self, x: Tensor, lengths: Tensor | None = None, particles: int = 100, resample: bool = True
    ) -> Tensor:
        r"""An estimate of log p(x) by sequential importance sampling: (B,), nats.

        Particles go through a sequence side by side. Where the weights have grown so unequal that
        less than half of the particles carry them, particles are resampled in proportion to their
        weights, which then are equal again. The estimate of p(x) has no bias, so that of log p(x) is
        a lower bound on average (Maddison et al., Filtering Variational Objectives, 2017).

        $$\log \hat p(x) = \sum_t \log \sum_s \bar w_{t-1,s} \frac{p(x_t \mid z_t^s, h_{t-1}^s)\,
          p(z_t^s \mid h_{t-1}^s)}{q(z_t^s \mid x_t, h_{t-1}^s)}$$

        with the weights of the particles so far, normalised, in front.

        Args:
            resample: without it, plain importance sampling over whole paths, `log_weight`'s.
        """
        check_whole(particles=particles)
        x, lengths = check_sequences(x, lengths)
        B, S = len(x), particles
        features, h = self.phi_x(x), self.start((S, B))
        total, log_w = x.new_zeros(B), x.new_full((S, B), -math.log(S))
        for t in range(x.shape[1]):
            f = features[:, t].expand(S, B, -1)
            q = self.encoder(torch.cat([f, h], -1))
            z = q.sample()
            p = self.decoder(torch.cat([z, h], -1))
            step = p.log_prob(x[:, t]) + self.prior(h).log_prob(z) - q.log_prob(z)
            log_w = log_w + torch.where(t < lengths, step, 0.0)
            evidence = torch.logsumexp(log_w, 0)
            total, log_w = total + evidence, log_w - evidence
            h = self.cell(f, z, h)
            if resample:
                poor = torch.logsumexp(2 * log_w, 0) > math.log(2 / S)  # 1 / sum w^2 < S / 2
                for b in poor.nonzero().squeeze(-1).tolist():
                    h[:, b] = h[draw_index(log_w[:, b].exp(), S), b]
                    log_w[:, b] = -math.log(S)
        return total


class GRUCell(nn.Module):
    """A VRNN's recurrence: a gated recurrent unit that sees phi_x(x_t) and phi_z(z_t)."""

    def __init__(self, latent_dim: int, features: int, hidden: int):
        super().__init__()
        self.phi_z = mlp([latent_dim, features]).append(nn.ReLU())
        self.gru = nn.GRUCell(2 * features, hidden)

    def forward(self, features: Tensor, z: Tensor, h: Tensor) -> Tensor:
        given = torch.cat([features, self.phi_z(z)], -1)
        rows = (part.reshape(-1, part.shape[-1]) for part in (given, h))
        return self.gru(*rows).reshape(h.shape)


class ChoraleVRNN(VRNN):
    """A VRNN of several voices, each one class a step; given z_t they are independent.

    Args:
        sizes: how many classes each voice has.
        latent_dim, hidden, features: dimensions of z_t, of the state, and of phi_x and phi_z.
    """

    def __init__(self, sizes: list, latent_dim: int = 16, hidden: int = 96, features: int = 48):
        check_whole(latent_dim=latent_dim, hidden=hidden, features=features)
        sizes = check_sizes(sizes)
        width = (-8.0, 2.0)  # of log-variances
        super().__init__(
            GaussianConditional(mlp([hidden, features, 2 * latent_dim]), width),
            GaussianConditional(mlp([features + hidden, features, 2 * latent_dim]), width),
            CategoricalsConditional(mlp([latent_dim + hidden, hidden, sum(sizes)]), sizes),
            GRUCell(latent_dim, features, hidden),
            mlp([sum(sizes), features]).append(nn.ReLU()),
            hidden,
        )


class ChoraleRNN(RNN):
    """An RNN of several voices, each one class a step; given the past they are independent, or, with
    `components`, a mixture of such.

    Args:
        sizes: how many classes each voice has.
        hidden, features: dimensions of the state, and of phi_x.
        components: of the mixture; None: there is none.
    """

    def __init__(
        self,
        sizes: list,
        hidden: int = 96,
        features: int = 48,
        components: int | None = None,
    ):
        check_whole(hidden=hidden, features=features)
        check_whole(none=True, components=components)
        sizes, M = check_sizes(sizes), components or 1
        outputs = M * sum(sizes) + (components or 0)
        super().__init__(
            CategoricalsConditional(mlp([hidden, hidden, outputs]), sizes, components),
            mlp([sum(sizes), features]).append(nn.ReLU()),
            hidden,
            features,
        )


def check_sizes(sizes) -> tuple[int, ...]:
    """The numbers of classes of the voices, as a tuple."""
    for size in sizes:
        check_whole(sizes=size)
    return tuple(sizes)


def check_sequences(x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sequences as floats, (B, T, D), and their lengths, all T by default.

    Raises:
        ValueError: for sequences of another shape or without a step, or lengths that are not one
            whole number from 1 to T for each. Values are read on a CPU only: a GPU would wait.
    """
    x = as_floats(x)
    if x.dim() != 3 or 0 in x.shape[1:]:
        raise ValueError(
            f"expected sequences of at least one step, (B, T, D), got shape {tuple(x.shape)}"
        )
    B, T = x.shape[:2]
    if lengths is None:
        return x, torch.full((B,), T, device=x.device)
    if lengths.shape != (B,) or lengths.is_floating_point():
        raise ValueError(
            f"expected a length, a whole number, for each of {B} sequences, got"
            f" {lengths.dtype} of shape {tuple(lengths.shape)}"
        )
    if lengths.device.type == "cpu" and B and not (1 <= lengths.min() <= lengths.max() <= T):
        raise ValueError(
            f"lengths: expected whole numbers from 1 to {T}, got {int(lengths.min())} to"
            f" {int(lengths.max())}"
        )
    return x, lengths
