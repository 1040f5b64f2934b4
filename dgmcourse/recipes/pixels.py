"""Models of pixels, each given those before it: PixelCNNs, and the PixelVAE."""

from functools import partial

from torch import nn

from dgmcourse import measure
from dgmcourse.data.images import Splits, mnist
from dgmcourse.models.gated_pixelcnn import GatedPixelNet
from dgmcourse.models.pixelcnn import PixelCNN, PixelNet
from dgmcourse.models.pixelvae import PixelVAE
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

SETTINGS = {"batch_size": 50, "lr": 2e-3, "mixed_precision": True}


def likelihood_by_few_samples(model: nn.Module, data: Splits, S: int | None = None, **more) -> dict:
    """`measure.likelihood` with S = 30, since each sample costs a full decoder pass; the reported
    NLL is an upper bound, and "gain" is what S = 1,000 takes from it, on 500 digits.
    With 60 rows at a time the feature maps stay in the processor's cache.
    """
    found = measure.likelihood(model, data, S or 30, rows=60, **more)
    if S or more.get("reliability_only"):
        return found
    x = data.test.to(measure.device_of(model)).tensor()
    gain = measure.gain_of_samples(model, measure.evenly_spaced(x, 500), found["S"], 1000, rows=60)
    return found | {"test_kl": measure.mean_kl(model, x), "gain": gain}


pixelcnn = Recipe(
    about="PixelCNN of 7 masked layers on dynamically binarised MNIST, with its blind spot",
    model=constructor(PixelCNN, net=constructor(PixelNet, width=64, size=5)),
    data=partial(mnist, "dynamic"),
    settings=SETTINGS | {"epochs": 18, "anneal": 18},
    source="van den Oord, Kalchbrenner & Kavukcuoglu 2016, arXiv:1601.06759",
    measure=measure.exact,
)
gated_pixelcnn = Recipe(
    about=(
        "gated PixelCNN of 7 layers, with fewer parameters than pixelcnn and the same reach, on the"
        " same digits"
    ),
    model=constructor(PixelCNN, net=constructor(GatedPixelNet, width=32, size=5)),
    data=partial(mnist, "dynamic"),
    settings=SETTINGS | {"epochs": 14, "anneal": 14},
    source="van den Oord et al. 2016, arXiv:1606.05328",
    measure=measure.exact,
)
pixelvae = Recipe(
    about="PixelVAE with 16 latent dimensions, whose decoder sees 4 rows up, on the same digits",
    model=constructor(PixelVAE, channels=32, hidden=128),
    data=partial(mnist, "dynamic"),
    settings=SETTINGS | {"epochs": 16, "anneal": 14, "warm_up": 2},
    source="Gulrajani et al. 2016, arXiv:1611.05013",
    measure=likelihood_by_few_samples,
)
