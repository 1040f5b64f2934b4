"""The auxiliary classifier GAN: the generator is given a class, which the discriminator names.

Slides: "More GANs", auxiliary classifier GANs. Odena, Olah & Shlens, Conditional Image Synthesis
with Auxiliary Classifier GANs, 2016.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse.densities import Shape, StandardGaussian, apply, check_shape
from dgmcourse.networks import dcgan_discriminator, dcgan_generator
from dgmcourse.settings import check_whole


class AuxiliaryClassifierGAN(nn.Module):
    r"""$$L_S = \mathbb{E}[\log D(x)] + \mathbb{E}[\log(1 - D(G(z, c)))], \quad
      L_C = \mathbb{E}[\log p(y \mid x)] + \mathbb{E}[\log p(c \mid G(z, c))]$$

    The discriminator maximises L_S + L_C, the generator L_C - L_S (here with log D in place of
    -log(1 - D), as in `GAN`): both want the class to be seen. A class c is drawn for each style z,
    all classes as often.

    Args:
        latent_dim: dimensions of z, the style.
        classes: of c and y.
        channels: of the convolutions, as in `DCGAN`.

    Raises:
        ValueError: for fewer than two classes.
    """

    labelled = True  # its objectives take the labels, too

    parts = {"discriminator": "discriminator's", "generator": "generator's"}
    parts |= {"class of real": "log p of real labels", "class of fake": "log p of fake labels"}

    def __init__(self, latent_dim: int = 32, classes: int = 10, channels: int = 32):
        check_whole(latent_dim=latent_dim, channels=channels)
        check_whole(2, classes=classes)
        super().__init__()
        self.classes = classes
        self.prior = StandardGaussian(latent_dim)
        self.generator = dcgan_generator(latent_dim + classes, channels)
        self.discriminator = dcgan_discriminator(1 + classes, channels)

    def generate(self, z: Tensor, c: Tensor) -> Tensor:
        """G(z, c): styles (..., latent_dim), classes (...) as whole numbers; pixels (..., 784)."""
        if z.shape[-1:] != (self.prior.dim,):
            raise ValueError(
                f"a style has {self.prior.dim} numbers on the last axis, got shape {tuple(z.shape)}"
            )
        one_hot = F.one_hot(self.check_classes(c, z, "style"), self.classes)
        return self.generator(torch.cat([z, one_hot.to(z)], -1)).to(z.dtype)

    def judge(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logit of "real", (B,), and log p(y|x), (B, classes)."""
        source, classes = apply(self.discriminator, x).split([1, self.classes], -1)
        return source.squeeze(-1), torch.log_softmax(classes, -1)

    def discriminator_objective(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L_S + L_C for images x, (B, 784), their labels y, (B,), and as many fakes: (B,), nats."""
        y = self.check_classes(y, x, "image")
        z, c = self.prior.sample(x.shape[:-1]), self.draw_classes(x)
        with torch.no_grad():
            x_fake = self.generate(z, c)
        (real, seen), (fake, seen_fake) = self.judge(x), self.judge(x_fake)
        source = F.logsigmoid(real) + F.logsigmoid(-fake)
        label = pick(seen, y) + pick(seen_fake, c)
        return source + label, {"discriminator": source, "class of real": pick(seen, y)}

    def generator_objective(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """log D(G(z, c)) + log p(c | G(z, c)) at fresh z and c, one for each x: (B,), nats."""
        z, c = self.prior.sample(x.shape[:-1]), self.draw_classes(x)
        fake, seen = self.judge(self.generate(z, c))
        source, label = F.logsigmoid(fake), pick(seen, c)
        return source + label, {"generator": source, "class of fake": label}

    def draw_classes(self, x: Tensor) -> Tensor:
        """A random class for each row of x, (B,)."""
        return torch.randint(self.classes, x.shape[:-1], device=x.device)

    def check_classes(self, c: Tensor, of: Tensor, what: str) -> Tensor:
        """c as whole numbers, one class for each row of `of`; else a ValueError."""
        c = torch.as_tensor(c, device=of.device)
        whole = not (c.is_floating_point() or c.is_complex() or c.dtype == torch.bool)
        inside = whole and (c.numel() == 0 or bool(0 <= c.min() <= c.max() < self.classes))
        if not inside or c.shape != of.shape[:-1]:
            extent = f", from {c.min()} to {c.max()}" if c.numel() and whole else ""
            raise ValueError(
                f"each {what} has one class, a whole number from 0 to {self.classes - 1}: got"
                f" {c.dtype} of shape {tuple(c.shape)}{extent}, for {what}s of shape"
                f" {tuple(of.shape)}"
            )
        return c.long()

    @torch.no_grad()
    def sample(self, shape: Shape = (), c: int | None = None) -> Tensor:
        """Draw images, (*shape, 784), of class c, or of classes drawn at random."""
        z = self.prior.sample(check_shape(shape))
        classes = self.draw_classes(z) if c is None else torch.full(z.shape[:-1], c).to(z.device)
        return self.generate(z, classes)


def pick(log_p: Tensor, y: Tensor) -> Tensor:
    """log p(y): of the classes' log-probabilities, (B, classes), that of the class y, (B,)."""
    return log_p.gather(-1, y.unsqueeze(-1)).squeeze(-1)
