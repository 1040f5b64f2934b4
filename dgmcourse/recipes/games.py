"""Games of a generator and a discriminator on grey MNIST."""

from functools import partial

from dgmcourse import measure
from dgmcourse.data.images import mnist
from dgmcourse.models.auxiliary_classifier_gan import AuxiliaryClassifierGAN
from dgmcourse.models.bidirectional_gan import BidirectionalGAN
from dgmcourse.models.dcgan import DCGAN
from dgmcourse.models.gan import ImageGAN
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

DCGAN_PAPER = {"batch_size": 64, "lr": 2e-4, "mixed_precision": True}  # beta1 = 0.5: `play.adam`

gan = Recipe(
    about="feed-forward GAN on grey MNIST",
    model=constructor(ImageGAN),
    data=partial(mnist, None),
    settings=DCGAN_PAPER | {"epochs": 30},
    source="Goodfellow et al. 2014",
    measure=measure.samples,
    game=True,
)
dcgan = Recipe(
    about="deep convolutional GAN on grey MNIST",
    model=constructor(DCGAN),
    data=partial(mnist, None),
    settings=DCGAN_PAPER | {"epochs": 12},
    source="Radford, Metz & Chintala 2015, arXiv:1511.06434",
    measure=measure.samples,
    game=True,
)
acgan = Recipe(
    about="auxiliary classifier GAN on grey MNIST: digits by class and style",
    model=constructor(AuxiliaryClassifierGAN),
    data=partial(mnist, None),
    settings=DCGAN_PAPER | {"epochs": 12},
    source="Odena, Olah & Shlens 2016, arXiv:1610.09585",
    measure=measure.samples,
    game=True,
)
bigan = Recipe(
    about="bidirectional GAN on grey MNIST, all feed-forward: a GAN with an encoder",
    model=constructor(BidirectionalGAN),
    data=partial(mnist, None),
    settings=DCGAN_PAPER | {"epochs": 30, "batch_size": 128},
    source="Donahue, Kraehenbuehl & Darrell 2016, arXiv:1605.09782",
    measure=measure.samples,
    game=True,
)
