"""Dr.VAE on simulated cells: what GDSC's licence does not allow to ship can be made here by anyone."""

from dgmcourse import measure
from dgmcourse.data.drugs import simulated
from dgmcourse.data.images import Splits
from dgmcourse.models.drug_vae import DrVAE
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

CELLS = {"lines": 1000, "pairs": 200, "labels": 200, "states": 2, "genes": 40}


def cells() -> Splits:
    """1,000 simulated cells to train on: of 200 x_2 is known, of another 200 the response."""
    return Splits(*simulated(**CELLS)[:3])


dr_vae = Recipe(
    about="Dr.VAE of two states on simulated cells: 1,000, of which 200 were measured after the drug"
    " and another 200 have a known response",
    model=constructor(
        DrVAE, latent_dim=2, hidden=20, data_dim=40, style_dim=2, units=10, reads="shift"
    ),
    data=cells,
    settings={"epochs": 200, "batch_size": 100, "lr": 5e-3, "anneal": 100},
    source="Rampasek, Hidru, Smirnov, Haibe-Kains & Goldenberg, Bioinformatics 35, 2019",
    measure=measure.responses,
)
