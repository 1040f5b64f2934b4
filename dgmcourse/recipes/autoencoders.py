"""Auto-encoders of one layer with a standard normal prior: VAEs, Wasserstein auto-encoders."""

from functools import partial

from dgmcourse import measure
from dgmcourse.data.images import mnist
from dgmcourse.models.vae import VAE, SquaredErrorVAE
from dgmcourse.models.wasserstein_autoencoder import AdversarialWAE, WassersteinAutoEncoder
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

# Batch, learning rate and warm-up are the VampPrior paper's. It keeps the rate for up to 2000
# epochs and stops when the validation bound has not improved for 50; lowering the rate instead
# gained 1.4 nats in 8 epochs where we tried it.
VAMPPRIOR_PAPER = {"batch_size": 100, "lr": 5e-4, "mixed_precision": True}

GREY = {"batch_size": 100, "lr": 1e-3, "epochs": 12, "anneal": 8, "mixed_precision": True}

vae_2d = Recipe(
    about=(
        "VAE with 2 latent dimensions on dynamically binarised MNIST: a latent space one can look"
        " at"
    ),
    model=constructor(VAE, latent_dim=2),
    data=partial(mnist, "dynamic"),
    settings=VAMPPRIOR_PAPER | {"epochs": 150, "warm_up": 10, "anneal": 75},
    source="Kingma & Welling 2014",
)
vae_40d = Recipe(
    about=(
        "VAE with 40 latent dimensions on dynamically binarised MNIST: the VampPrior paper's"
        " standard-prior VAE"
    ),
    model=constructor(VAE, latent_dim=40),
    data=partial(mnist, "dynamic"),
    settings=VAMPPRIOR_PAPER | {"epochs": 800, "warm_up": 100, "anneal": 350},
    source="Tomczak & Welling 2017, arXiv:1705.07120",
    layers="one",
    prior="standard normal",
    published=84.50,
)
vae_8d = Recipe(
    about=(
        "VAE on grey MNIST with the networks and the squared error of the Wasserstein auto-encoders"
    ),
    model=constructor(SquaredErrorVAE, latent_dim=8),
    data=partial(mnist, None),
    settings=GREY,
    source="Kingma & Welling 2014",
    measure=measure.autoencoder,
)
wae_mmd = Recipe(
    about="Wasserstein auto-encoder on grey MNIST, 8 latent dimensions, with the MMD penalty",
    model=constructor(WassersteinAutoEncoder),
    data=partial(mnist, None),
    settings=GREY,
    source="Tolstikhin et al. 2018, arXiv:1711.01558",
    measure=measure.autoencoder,
)
wae_gan = Recipe(
    about=(
        "Wasserstein auto-encoder on grey MNIST, 8 latent dimensions, with an adversary in the"
        " latent space"
    ),
    model=constructor(AdversarialWAE),
    data=partial(mnist, None),
    settings={"batch_size": 100, "lr": (5e-4, 1e-3), "epochs": 12, "mixed_precision": True},
    source="Bousquet et al. 2017, arXiv:1705.07642; Tolstikhin et al. 2018, arXiv:1711.01558",
    measure=measure.autoencoder,
    game=True,
)
