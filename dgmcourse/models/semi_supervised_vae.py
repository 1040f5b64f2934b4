r"""Semi-supervised VAEs: M2, whose latent variables are a label y and a style z, and M1+M2.

Slides: "Extensions: semi-supervised". Kingma, Mohamed, Rezende & Welling, Semi-supervised Learning
with Deep Generative Models, 2014, arXiv:1406.5298.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import (
    BernoulliConditional,
    Categorical,
    CategoricalConditional,
    Conditional,
    Density,
    Gaussian,
    GaussianConditional,
    Shape,
    StandardGaussian,
    apply,
    check_batch,
    check_event,
    check_terms,
    gaussian_of,
    kl,
    outputs_per_pixel,
    standard_noise,
)
from dgmcourse.models.hierarchical_vae import Ancestral, TwoLayerPrior
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.networks import Added
from dgmcourse.settings import check_number, check_whole


class LabelPrior(Density, nn.Module):
    """p(y) p(z): every class is as likely, z is N(0, I), and the event is [one-hot y, z]."""

    def __init__(self, classes: int, latent_dim: int):
        super().__init__()
        self.register_buffer("logits", torch.zeros(classes), persistent=False)
        self.z = StandardGaussian(latent_dim)

    @property
    def y(self) -> Categorical:
        """p(y)."""
        return Categorical(self.logits)

    def precomputed(self) -> Ancestral:
        return Ancestral(self.y, self._z_of_rows, len(self.logits))

    def log_prob(self, yz: Tensor) -> Tensor:
        return self.precomputed().log_prob(
            check_event(yz, self.logits, len(self.logits) + self.z.dim)
        )

    def sample(self, shape: Shape = ()) -> Tensor:
        return self.precomputed().sample(shape)

    def _z_of_rows(self, y: Tensor) -> Gaussian:
        zeros = self.z.mean.expand(*y.shape[:-1], -1)
        return Gaussian(zeros, zeros)


class LabelEncoder(nn.Module):
    """q(y|x) q(z|x, y).

    Args:
        y: q(y|x), the classifier, a Conditional whose Density is `Categorical`.
        z: a network (x, one-hot y) -> means and log-variances of z.
        log_var_range: these log-variances are clipped to it.
    """

    def __init__(
        self, y: Conditional, z: nn.Module, log_var_range: tuple[float, float] = (-6.0, 2.0)
    ):
        super().__init__()
        self.y, self.z, self.log_var_range = y, z, log_var_range

    def given_label(self, x: Tensor, y: Tensor) -> Gaussian:
        """q(z|x, y) of x, (..., D), and one-hot y, (..., C), whose leading axes broadcast."""
        return gaussian_of(apply(self.z, x, y), self.log_var_range)

    def forward(self, x: Tensor) -> Ancestral:
        q_y = self.y(x)
        return Ancestral(q_y, lambda y: self.given_label(x, y), q_y.mean.shape[-1])


class SemiSupervisedVAE(LatentVariableModel):
    r"""M2: a VAE whose latent variables are y, which is known for a few x, and z.

    $$p(x, y, z) = p(y)\, p(z)\, p(x \mid y, z), \qquad q(y, z \mid x) = q(y \mid x)\, q(z \mid x, y)$$

    Trained on batches (x, x_labelled, y, share) of `data.labels.SemiSupervised`. As a
    `LatentVariableModel` its latent variable is the concatenation [one-hot y, z].

    Args:
        prior: p(y) p(z).
        encoder: q(y|x) q(z|x, y).
        decoder: p(x|y, z), a Conditional given [one-hot y, z].
        alpha: how much log q(y|x) of a labelled x counts, against the bound of an unlabelled one.
            The paper's is 0.1.
    """

    parts = {"elbo": "bound, unlabelled", "labelled": "bound, labelled", "log q(y|x)": "log q(y|x)"}

    def __init__(
        self, prior: LabelPrior, encoder: LabelEncoder, decoder: Conditional, alpha: float = 0.1
    ):
        check_number(least=0, alpha=alpha)
        super().__init__(prior, encoder, decoder)
        self.alpha = alpha

    @property
    def classes(self) -> int:
        """How many values y has."""
        return len(self.prior.logits)

    def labelled_bound(self, x: Tensor, y: Tensor, beta: float = 1.0) -> Tensor:
        r"""A lower bound on log p(x, y), with one sample of z: nats.

        $$\mathcal L(x, y) = \mathbb E_{q(z|x, y)}[\log p(x \mid y, z)] + \log p(y)
          - \mathrm{KL}[q(z \mid x, y) \,\|\, p(z)]$$

        Args:
            x: (B, D). y: (B,), whole numbers.
            beta: weighs the KL, and rises to 1 in a warm-up.
        """
        return self._bound(x, F.one_hot(self.check_labels(y, x), self.classes).to(x), beta)

    def log_joint(self, x: Tensor, beta: float = 1.0) -> Tensor:
        """The lower bound on log p(x, y) for each y: (B, C), nats, with one sample of z for each.

        All z of an x have the same noise: what the bounds differ by is then a matter of the label,
        not of luck, and the gradient of q(y|x) has far less noise. Each is unbiased as before.
        """
        labels = torch.eye(self.classes, dtype=x.dtype, device=x.device)
        return self._bound(check_batch(x).unsqueeze(-2), labels, beta)

    def _bound(self, x: Tensor, y: Tensor, beta: float) -> Tensor:
        q = self.encoder.given_label(x, y)
        noise = standard_noise((), q.mean[..., :1, :] if x.dim() > y.dim() else q.mean)
        z = q.mean + torch.exp(0.5 * q.log_var) * noise
        y = y.expand(*z.shape[:-1], -1)
        reconstruction = self.decoder(torch.cat([y, z], -1)).log_prob(x)
        check_terms(z.shape[:-1], reconstruction)
        return reconstruction + self.prior.y.log_prob(y) - beta * kl(q, self.prior.z)

    def unlabelled_bound(self, x: Tensor, beta: float = 1.0) -> Tensor:
        r"""A lower bound on log p(x), whose sum over y is exact: (B,), nats.

        $$\mathcal U(x) = \sum_y q(y \mid x)\, \mathcal L(x, y) + \mathrm H[q(y \mid x)]$$
        """
        q = self.encoder.y(x)
        return (q.mean * self.log_joint(x, beta)).sum(-1) + q.entropy()

    def objective(self, x: Tensor, *more) -> tuple[Tensor, dict[str, Tensor]]:
        r"""What semi-supervised training maximises, for each unlabelled x: (B,), nats.

        $$\mathcal U(x) + \frac{N_l}{N_u} \overline{\mathcal L(x_l, y_l)}
          + \alpha\, \overline{\log q(y_l \mid x_l)}$$

        A bar is the mean over the batch's labelled examples. Summed over a pass this is U over all
        unlabelled x, L over all labelled ones, and alpha N_u / N_l times their log q(y|x), which
        without this term would have no gradient from labels.

        Called as objective(x, x_labelled, y, share, beta) with share = N_l / N_u, and as
        objective(x, beta) with unlabelled data alone, to validate: then it is U(x).
        """
        *labelled, beta = more or (1.0,)
        elbo = self.unlabelled_bound(x, beta)
        if not labelled:
            return elbo, {"elbo": elbo}
        x_labelled, y, share = labelled
        bound = self.labelled_bound(x_labelled, y, beta).mean().expand_as(elbo)
        log_q = self.log_q(x_labelled, y).mean().expand_as(elbo)
        parts = {"elbo": elbo, "labelled": bound, "log q(y|x)": log_q}
        return elbo + share * bound + self.alpha * log_q, parts

    def log_q(self, x: Tensor, y: Tensor) -> Tensor:
        """log q(y|x) of labels y, (B,), whole numbers: (B,), nats."""
        y = self.check_labels(y, x)
        return self.encoder.y(x).log_probs.gather(-1, y.unsqueeze(-1)).squeeze(-1)

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """The most probable class by q(y|x): (B,)."""
        return self.encoder.y(x).log_probs.argmax(-1)

    def given(self, y: int) -> LatentVariableModel:
        """p(x|y) = integral of p(x|y, z) p(z) dz of one class, a `LatentVariableModel` of z alone."""
        if not 0 <= y < self.classes:
            raise ValueError(f"classes are whole numbers from 0 to {self.classes - 1}, got {y}")
        return LatentVariableModel(self.prior.z, EncoderOfClass(self, y), DecoderOfClass(self, y))

    def one_hot(self, y: int, rows: Tensor) -> Tensor:
        """Class y as a one-hot vector for each row of a tensor, (..., C)."""
        return (
            F.one_hot(torch.tensor(y, device=rows.device), self.classes)
            .to(rows)
            .expand(*rows.shape[:-1], -1)
        )

    def check_labels(self, y: Tensor, x: Tensor) -> Tensor:
        """y, if it is one class, a whole number, for each row of x; else a ValueError."""
        whole = isinstance(y, Tensor) and not (y.is_floating_point() or y.dtype == torch.bool)
        if not whole or y.shape != x.shape[:-1]:
            came = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y)
            raise ValueError(
                f"expected a label for each x, whole numbers of shape {tuple(x.shape[:-1])}, got"
                f" {came}"
            )
        if y.device.type == "cpu" and y.numel() and not 0 <= y.min() <= y.max() < self.classes:
            raise ValueError(f"labels are from 0 to {self.classes - 1}, got {y.min()} to {y.max()}")
        return y.long()


class EncoderOfClass(nn.Module):
    """q(z|x, y) of one class y, a Conditional given x."""

    def __init__(self, model: SemiSupervisedVAE, y: int):
        super().__init__()
        self.model, self.y = model, y

    def forward(self, x: Tensor) -> Gaussian:
        return self.model.encoder.given_label(x, self.model.one_hot(self.y, x))


class DecoderOfClass(nn.Module):
    """p(x|y, z) of one class y, a Conditional given z."""

    def __init__(self, model: SemiSupervisedVAE, y: int):
        super().__init__()
        self.model, self.y = model, y

    def forward(self, z: Tensor) -> Density:
        return self.model.decoder(torch.cat([self.model.one_hot(self.y, z), z], -1))


class M2(SemiSupervisedVAE):
    r"""`SemiSupervisedVAE` with feed-forward networks of one hidden layer with softplus.

    Args:
        latent_dim: dimensions of z.
        hidden: units in the hidden layer of each network.
        classes: how many values y has.
        likelihood: "bernoulli" for binary x, "gaussian" for real ones, such as M1's codes.
        data_dim: dimensions of x.
        alpha: as in `SemiSupervisedVAE`.
    """

    def __init__(
        self,
        latent_dim: int = 50,
        hidden: int = 500,
        classes: int = 10,
        likelihood: str = "bernoulli",
        data_dim: int = 784,
        alpha: float = 0.1,
    ):
        check_whole(latent_dim=latent_dim, hidden=hidden, data_dim=data_dim)
        check_whole(2, classes=classes)
        outputs = data_dim * outputs_per_pixel(likelihood)
        # torch's own first weights: (TODO measured)
        rest = nn.Sequential(nn.Softplus(), nn.Linear(hidden, 2 * latent_dim))
        decoder = one_hidden_layer(classes + latent_dim, hidden, outputs)
        super().__init__(
            LabelPrior(classes, latent_dim),
            LabelEncoder(
                CategoricalConditional(one_hidden_layer(data_dim, hidden, classes)),
                Added((data_dim, classes), hidden, rest),
            ),
            BernoulliConditional(decoder)
            if likelihood == "bernoulli"
            else GaussianConditional(decoder),
            alpha,
        )


def one_hidden_layer(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Softplus(), nn.Linear(hidden, outputs))


class M1M2(LatentVariableModel):
    r"""M2 on the codes of another model, M1, each trained before the next.

    $$p(x, z_1, y, z_2) = p(x \mid z_1)\, p(z_1 \mid y, z_2)\, p(y)\, p(z_2), \qquad
      q(z_1 \mid x)\, q(y \mid z_1)\, q(z_2 \mid z_1, y)$$

    Its latent variable is the concatenation [one-hot y, z_2, z_1]. M1 lends its encoder and its
    decoder; what was its prior is M2's p(z_1). To train it, fit M2 to `data.labels.Codes` of M1.

    Args:
        m1: a VAE of x.
        m2: a `SemiSupervisedVAE` whose x are the codes of m1.
    """

    def __init__(self, m1: LatentVariableModel, m2: SemiSupervisedVAE):
        dims = (m2.classes + m2.prior.z.dim, m1.prior.sample().shape[-1])
        prior = TwoLayerPrior(m2.prior, m2.decoder, dims)
        super().__init__(
            prior, StackedEncoder(m1.encoder, m2.encoder), DecoderOfLast(m1.decoder, dims[1])
        )
        self.m2 = m2

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """The most probable class by q(y|z_1) at the mean of q(z_1|x): (B,)."""
        return self.m2.classify(self.encoder.below(x).mean)


class Stacked(Density):
    """q(z_1) q(z_2|z_1): z_1 is drawn first, and the event is [z_2, z_1], as in `Ancestral`."""

    def __init__(self, below: Density, top: Conditional, below_dim: int):
        self.below, self.top, self.below_dim = below, top, below_dim

    @property
    def mean(self) -> Tensor:
        return torch.cat([self.top(self.below.mean).mean, self.below.mean], -1)

    def log_prob(self, z: Tensor) -> Tensor:
        z2, z1 = z[..., : -self.below_dim], z[..., -self.below_dim :]
        return self.below.log_prob(z1) + self.top(z1).log_prob(z2)

    @torch.no_grad()
    def sample(self, shape: Shape = ()) -> Tensor:
        return self.rsample_and_log_prob(shape)[0]

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        z1, log_below = self.below.rsample_and_log_prob(shape)
        z2, log_top = self.top(z1).rsample_and_log_prob()
        return torch.cat([z2, z1], -1), log_below + log_top


class StackedEncoder(nn.Module):
    """q(z_1|x) q(z_2|z_1), a Conditional given x, of two encoders."""

    def __init__(self, below: Conditional, top: Conditional):
        super().__init__()
        self.below, self.top = below, top

    def forward(self, x: Tensor) -> Stacked:
        q = self.below(x)
        return Stacked(q, self.top, q.mean.shape[-1])


class DecoderOfLast(nn.Module):
    """p(x|z_1) given [..., z_1]."""

    def __init__(self, decoder: Conditional, dim: int):
        super().__init__()
        self.decoder, self.dim = decoder, dim

    def forward(self, z: Tensor) -> Density:
        return self.decoder(z[..., -self.dim :])
