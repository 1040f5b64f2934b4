r"""Semi-supervised VAEs: M2, whose latent variables are a label y and a style z, and M1+M2.

Slides: "Extensions: semi-supervised". Kingma, Mohamed, Rezende & Welling, Semi-supervised Learning
with Deep Generative Models, 2014, arXiv:1406.5298.
"""

import torch
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
    as_floats,
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
from dgmcourse.settings import check_interval, check_number, check_whole


class LabelPrior(Density, nn.Module):
    """p(y) p(z): every class is as likely, z is N(0, I), and the event is [one-hot y, z].

    Args:
        classes: how many values y has, C.
        latent_dim: dimensions of z.
    """

    def __init__(self, classes: int, latent_dim: int):
        check_whole(2, classes=classes)
        super().__init__()
        self.register_buffer("logits", torch.zeros(classes), persistent=False)
        self.z = StandardGaussian(latent_dim)

    @property
    def y(self) -> Categorical:
        """p(y)."""
        return Categorical(self.logits)

    def log_prob(self, yz: Tensor) -> Tensor:
        dims = (len(self.logits), self.z.dim)
        y, z = check_event(yz, self.logits, sum(dims)).split(dims, -1)
        return self.y.log_prob(y) + self.z.log_prob(z)

    def sample(self, shape: Shape = ()) -> Tensor:
        return torch.cat([self.y.sample(shape), self.z.sample(shape)], -1)


class LabelEncoder(nn.Module):
    """q(y|x) q(z|x, y).

    Args:
        y: q(y|x), the classifier, a Conditional whose Density is `Categorical`.
        z: a network (x, one-hot y) -> means and log-variances of z, whose two inputs broadcast, as
            those of `networks.Added` do.
        log_var_range: these log-variances are clipped to it.
    """

    def __init__(
        self, y: Conditional, z: nn.Module, log_var_range: tuple[float, float] = (-6.0, 2.0)
    ):
        check_interval(log_var_range=log_var_range)
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
            The paper's is 0.1 N for sums over N data points, which is 0.1 for each of them.
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

    @property
    def labels(self) -> Tensor:
        """Each class as a one-hot vector: (C, C)."""
        like = self.prior.logits
        return torch.eye(self.classes, dtype=like.dtype, device=like.device)

    def labelled_bound(self, x: Tensor, y: Tensor) -> Tensor:
        r"""A lower bound on log p(x, y), with one sample of z: (B,), nats.

        $$\mathcal L(x, y) = \mathbb E_{q(z|x, y)}[\log p(x \mid y, z)] + \log p(y)
          - \mathrm{KL}[q(z \mid x, y) \,\|\, p(z)]$$

        Args:
            x: (B, D).
            y: (B,), whole numbers from 0.

        Raises:
            ValueError: unless y is a class for each x.
        """
        return self._labelled(x, y)[0]

    def log_joint(self, x: Tensor) -> Tensor:
        """The lower bound on log p(x, y) for each y: (B, C), nats, with one sample of z for each.

        All z of an x have the same noise: what the bounds differ by is then a matter of the label,
        not of luck, and the gradient of q(y|x) has far less noise. Each is unbiased as before.
        """
        return self._of_each_label(x)[0]

    def unlabelled_bound(self, x: Tensor) -> Tensor:
        r"""A lower bound on log p(x), whose sum over y is exact: (B,), nats.

        $$\mathcal U(x) = \sum_y q(y \mid x)\, \mathcal L(x, y) + \mathrm H[q(y \mid x)]$$
        """
        return self._unlabelled(x)[0]

    # each of these also gives the KL in its bound, which a warm-up weighs

    def _labelled(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = as_floats(x)
        y = self.one_hot(y, x)
        q = self.encoder.given_label(x, y)
        return self._bound(x, y, q, standard_noise((), q.mean))

    def _of_each_label(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = as_floats(x)
        y = self.labels.reshape(-1, *[1] * (x.dim() - 1), self.classes)  # in front, as samples are
        q = self.encoder.given_label(x, y)
        bound, regulariser = self._bound(x, y, q, standard_noise((), q.mean[0]))
        return bound.movedim(0, -1), regulariser.movedim(0, -1)

    def _unlabelled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, (bound, regulariser) = self.encoder.y(x), self._of_each_label(x)
        return (q.mean * bound).sum(-1) + q.entropy(), (q.mean * regulariser).sum(-1)

    def _bound(self, x: Tensor, y: Tensor, q: Gaussian, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = q.mean + torch.exp(0.5 * q.log_var) * noise
        p_x = self.decoder(torch.cat([y.expand(*z.shape[:-1], -1), z], -1))
        reconstruction, regulariser = p_x.log_prob(x), kl(q, self.prior.z)
        check_terms(z.shape[:-1], reconstruction)
        return reconstruction + self.prior.y.log_prob(y) - regulariser, regulariser

    def objective(
        self, x: Tensor, *labelled, beta: float = 1.0
    ) -> tuple[Tensor, dict[str, Tensor]]:
        r"""What semi-supervised training maximises, for each unlabelled x: (B,), nats.

        $$\mathcal U(x) + \frac{N_l}{N_u} \overline{\mathcal L(x_l, y_l)}
          + \alpha\, \overline{\log q(y_l \mid x_l)}$$

        A bar is the mean over the batch's labelled examples. Summed over a pass this is U over all
        unlabelled x, L over all labelled ones, and alpha N_u / N_l times their log q(y|x), which
        without this term would have no gradient from labels: in expectation, and exactly where all
        labelled examples are in each batch.

        Called as objective(x, x_labelled, y, share, beta) with share = N_l / N_u, and as
        objective(x, beta) with unlabelled data alone, to validate: then it is U(x). beta weighs the
        KL of z, and rises to 1 in a warm-up.

        Returns:
            what to maximise, and {"elbo": U, "labelled": L, "log q(y|x)"} at beta = 1 to watch.

        Raises:
            TypeError: for other arguments than these.
            ValueError: unless y is a class for each of at least one labelled x.
        """
        if len(labelled) in (1, 4):  # beta comes last, as `fit` gives it
            *labelled, beta = labelled
        if len(labelled) not in (0, 3):
            raise TypeError(
                "expected x alone, or x, x_labelled, y and share, and then beta: got"
                f" {1 + len(labelled)} arguments before it"
            )
        if labelled and len(labelled[0]) == 0:
            raise ValueError("expected at least one labelled x, got none")
        elbo, regulariser = self._unlabelled(x)
        value, parts = elbo + (1 - beta) * regulariser, {"elbo": elbo}
        if labelled:
            x_labelled, y, share = labelled
            bound, regulariser = self._labelled(x_labelled, y)
            log_q = self.log_q(x_labelled, y).mean()
            value = value + share * (bound + (1 - beta) * regulariser).mean() + self.alpha * log_q
            parts |= {
                "labelled": bound.mean().expand_as(elbo),
                "log q(y|x)": log_q.expand_as(elbo),
            }
        return value, parts

    def log_q(self, x: Tensor, y: Tensor) -> Tensor:
        """log q(y|x) of labels y, (B,), whole numbers: (B,), nats."""
        x = as_floats(x)
        return self.encoder.y(x).log_prob(self.one_hot(y, x))

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """The most probable class by q(y|x): (B,).

        Raises:
            ValueError: for NaN or infinity in x: no class could carry them on.
        """
        log_q = self.encoder.y(x).log_probs
        check_batch(as_floats(x).reshape(-1, x.shape[-1]), finite=True)
        return log_q.argmax(-1)

    def given(self, y: int) -> LatentVariableModel:
        """p(x|y) = integral of p(x|y, z) p(z) dz of one class, a `LatentVariableModel` of z alone.

        It is this model seen with y fixed, to sample from and to evaluate: the parameters stay
        here.

        Raises:
            ValueError: if there is no such class.
        """
        check_whole(0, self.classes - 1, y=y)

        def encoder(x: Tensor) -> Gaussian:
            return self.encoder.given_label(x, self.labels[y])

        def decoder(z: Tensor) -> Density:
            return self.decoder(torch.cat([self.labels[y].expand(*z.shape[:-1], -1), z], -1))

        return LatentVariableModel(self.prior.z, encoder, decoder)

    def one_hot(self, y: Tensor, x: Tensor) -> Tensor:
        """Labels, (...), of x, (..., D), as one-hot vectors, (..., C).

        On a GPU no label is read: one that is no class becomes a vector of zeros, whose
        log-probability is NaN, at which a training stops.

        Raises:
            ValueError: unless y is a class, a whole number, for each row of x.
        """
        whole = isinstance(y, Tensor) and not (y.is_floating_point() or y.dtype == torch.bool)
        if not whole or y.shape != x.shape[:-1]:
            came = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else y
            raise ValueError(
                f"expected a label for each x, whole numbers of shape {tuple(x.shape[:-1])}, got"
                f" {came}"
            )
        if y.device.type == "cpu" and y.numel() and not 0 <= y.min() <= y.max() < self.classes:
            raise ValueError(f"labels are from 0 to {self.classes - 1}, got {y.min()} to {y.max()}")
        return (y.unsqueeze(-1) == torch.arange(self.classes, device=y.device)).to(x)


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
        prior = LabelPrior(classes, latent_dim)
        outputs = data_dim * outputs_per_pixel(likelihood)
        rest = nn.Sequential(nn.Softplus(), nn.Linear(hidden, 2 * latent_dim))
        decoder = one_hidden_layer(classes + latent_dim, hidden, outputs)
        super().__init__(
            prior,
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

    Raises:
        TypeError: unless m2 is a `SemiSupervisedVAE`.
        ValueError: if m1's codes and m2's x differ in dimensions.
    """

    def __init__(self, m1: LatentVariableModel, m2: SemiSupervisedVAE):
        if not isinstance(m2, SemiSupervisedVAE):
            raise TypeError(f"expected a SemiSupervisedVAE for m2, got {type(m2).__name__}")
        with torch.no_grad():
            dim, x = m1.prior.sample().shape[-1], m2.sample().shape[-1]
        if dim != x:
            raise ValueError(f"m2 has an x of {x} dimensions, and the codes of m1 have {dim}")
        prior = TwoLayerPrior(m2.prior, m2.decoder, (m2.classes + m2.prior.z.dim, dim))
        encoder = StackedEncoder(m1.encoder, m2.encoder)
        super().__init__(prior, encoder, DecoderOfLast(m1.decoder, dim))
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
        return self.rsample(shape)

    def rsample(self, shape: Shape = ()) -> Tensor:
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
