"""The lecture's diagram: a prior p(z), a decoder p(x|z) and an encoder q(z|x), tied by one bound.

Slides: "Latent Variable Models" and "Variational Auto-Encoder". Kingma & Welling, Auto-Encoding
Variational Bayes, 2014.
"""

import torch
from torch import Tensor, nn

from dgmcourse.densities import (
    Conditional,
    Density,
    Shape,
    check_shape,
    check_terms,
    has_closed_form,
    kl,
)


class GenerativeModel(nn.Module):
    """A model with a `prior` p(z) and a `decoder` p(x|z), however it is trained."""

    prior: Density
    decoder: Conditional

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        """Draw z from the prior, then x given z: (*shape, D). A whole number n stands for (n,)."""
        return self.decoder(self.prior.sample(check_shape(shape))).sample()


class AutoEncoder(GenerativeModel):
    """A `GenerativeModel` that also has an `encoder` q(z|x)."""

    encoder: Conditional

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x|z) at the mean of q(z|x), (B, D)."""
        return self.decoder(self.encoder(x).mean).mean


class LatentVariableModel(AutoEncoder):
    r"""$$p(x) = \int p(x \mid z)\, p(z)\, dz$$

    Variants are composed, not derived: a VampPrior or a flow is another Density in the place of
    `prior`, a flow posterior or a PixelCNN decoder another Conditional in the place of `encoder` or
    `decoder`.

    Args:
        prior: p(z), a Density.
        encoder: q(z|x), a Conditional: `encoder(x)` is a Density over z.
        decoder: p(x|z), a Conditional: `decoder(z)` is a Density over x.
    """

    parts = {"elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}

    def __init__(self, prior: Density, encoder: Conditional, decoder: Conditional):
        super().__init__()
        self.prior, self.encoder, self.decoder = prior, encoder, decoder

    def __setattr__(self, name: str, value) -> None:
        super().__setattr__(name, value)
        follow = getattr(getattr(self, "prior", None), "follow", None)
        if name in ("prior", "encoder") and follow and hasattr(self, "encoder"):
            follow(self.encoder)  # a VampPrior encodes with the model's encoder

    def log_weight(self, x: Tensor, samples: Shape = ()) -> Tensor:
        """log w = log p(x|z) + log p(z) - log q(z|x) for z ~ q(z|x): (*samples, B), nats.

        Its mean over z is the ELBO; the log of the mean of w estimates log p(x)
        (`dgmcourse.evaluate`). x is encoded once.
        """
        z, log_q = self.encoder(x).rsample_and_log_prob(samples)
        log_p_x, log_p_z = self.decoder(z).log_prob(x), self.prior.log_prob(z)
        check_terms(z.shape[:-1], log_p_x, log_p_z, log_q)
        return log_p_x + log_p_z - log_q

    def objective(self, x: Tensor, beta: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
        r"""The evidence lower bound with one sample of z, and its two parts: each (B,), nats.

        $$\mathcal{L}(x) = \mathbb{E}_{q(z|x)}[\log p(x \mid z)] - \beta\, \mathrm{KL}[q(z \mid x) \,\|\, p(z)]$$

        With beta = 1 a lower bound on log p(x); training may warm up from less. The KL is in closed
        form where there is one, else log q(z|x) - log p(z) at the sample.

        Returns:
            what to maximise, and {"elbo" (beta = 1), "reconstruction", "kl"} to watch.
        """
        q = self.encoder(x)
        closed = has_closed_form(q, self.prior)
        z, log_q = (q.rsample(), None) if closed else q.rsample_and_log_prob()
        reconstruction = self.decoder(z).log_prob(x)
        log_p_z = None if closed else self.prior.log_prob(z)
        check_terms(z.shape[:-1], reconstruction, log_p_z, log_q)
        regulariser = kl(q, self.prior) if closed else log_q - log_p_z
        return reconstruction - beta * regulariser, elbo_parts(reconstruction, regulariser)

    def elbo(self, x: Tensor) -> Tensor:
        """The evidence lower bound, (B,), nats, estimated with one sample of z."""
        return self.objective(x)[1]["elbo"]


def elbo_parts(reconstruction: Tensor, kl: Tensor) -> dict[str, Tensor]:
    """The evidence lower bound and its two terms, by name."""
    return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}
