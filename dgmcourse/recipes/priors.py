"""VAEs with a VampPrior, with two layers, and with both: the models of the VampPrior paper."""

from functools import partial

from dgmcourse import measure
from dgmcourse.data.images import mnist
from dgmcourse.models.hierarchical_vae import ConvHierarchicalVAE, HierarchicalVAE
from dgmcourse.models.vamp_prior import VampVAE
from dgmcourse.recipes import Recipe
from dgmcourse.recipes.autoencoders import VAMPPRIOR_PAPER
from dgmcourse.weights import constructor

FEED_FORWARD = VAMPPRIOR_PAPER | {"epochs": 1000, "warm_up": 100, "anneal": 500}
# what two hours of a processor's core allow
CONVOLUTIONAL = VAMPPRIOR_PAPER | {"lr": 1e-3, "epochs": 120, "warm_up": 30, "anneal": 60}
# Its reliability is measured on few digits: with two layers 5,000 samples of one take up to seconds.
likelihood_of_two_layers = partial(measure.likelihood, part=100)

vamp_vae = Recipe(
    about="vae_40d's networks with a VampPrior of 500 pseudo-inputs",
    model=constructor(VampVAE),
    data=partial(mnist, "dynamic"),
    settings=FEED_FORWARD,
    source="Tomczak & Welling 2017, arXiv:1705.07120",
    layers="one",
    prior="VampPrior",
    published=82.38,
)
hvae = Recipe(
    about="VAE with two layers of 40 latent dimensions and a standard prior on the upper one",
    model=constructor(HierarchicalVAE),
    data=partial(mnist, "dynamic"),
    settings=FEED_FORWARD,
    source="Tomczak & Welling 2017, arXiv:1705.07120",
    layers="two",
    prior="standard normal",
    published=82.42,
    measure=likelihood_of_two_layers,
    bits=8,
)
vamp_hvae = Recipe(
    about="hvae with a VampPrior of 500 pseudo-inputs on the upper layer",
    model=constructor(HierarchicalVAE, components=500),
    data=partial(mnist, "dynamic"),
    settings=FEED_FORWARD,
    source="Tomczak & Welling 2017, arXiv:1705.07120",
    layers="two",
    prior="VampPrior",
    published=81.24,
    measure=likelihood_of_two_layers,
    bits=8,
)
conv_hvae = Recipe(
    about="hvae with convolutional networks, trained shorter",
    model=constructor(ConvHierarchicalVAE, channels=24),
    data=partial(mnist, "dynamic"),
    settings=CONVOLUTIONAL,
    source="Tomczak & Welling 2017, arXiv:1705.07120",
    layers="two, convolutional",
    prior="standard normal",
    published=80.40,
    measure=likelihood_of_two_layers,
    bits=8,
)
vamp_conv_hvae = Recipe(
    about="conv_hvae with a VampPrior of 500 pseudo-inputs on the upper layer",
    model=constructor(ConvHierarchicalVAE, channels=24, components=500),
    data=partial(mnist, "dynamic"),
    settings=CONVOLUTIONAL,
    source="Tomczak & Welling 2017, arXiv:1705.07120",
    layers="two, convolutional",
    prior="VampPrior",
    published=79.75,
    measure=likelihood_of_two_layers,
    bits=8,
)
