"""The density network of vae_2d's decoder."""

from functools import partial

from dgmcourse.data.images import mnist
from dgmcourse.models.density_network import DensityNetwork
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

density_network_2d = Recipe(
    about=(
        "density network with vae_2d's decoder, trained on 1,000 samples of z a step, on the same"
        " digits"
    ),
    model=constructor(DensityNetwork, latent_dim=2, samples=1000),
    data=partial(mnist, "dynamic"),
    settings={
        "batch_size": 250,
        "lr": 1e-3,
        "mixed_precision": True,
        "epochs": 200,
        "anneal": 150,
    },
    source="MacKay 1995",
)
