"""Recurrent models of Bach's chorales, with latent variables and without."""

from dgmcourse import measure
from dgmcourse.data.music import SIZES, chorales
from dgmcourse.models.vrnn import ChoraleRNN, ChoraleVRNN
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

SETTINGS = {"epochs": 24, "batch_size": 32, "lr": 4e-3, "anneal": 16, "clip": 100.0}
ABOUT = "of Bach's four-part chorales, a pitch of each voice for every eighth note"

chorale_vrnn = Recipe(
    about=f"Variational recurrent network {ABOUT}",
    model=constructor(ChoraleVRNN, sizes=list(SIZES)),
    data=chorales,
    settings=SETTINGS | {"warm_up": 6},
    source="Chung et al. 2015, arXiv:1506.02216",
    measure=measure.sequences,
)
chorale_rnn = Recipe(
    about=f"Recurrent network {ABOUT}, which are independent given the past",
    model=constructor(ChoraleRNN, sizes=list(SIZES), hidden=160),
    data=chorales,
    settings=SETTINGS,
    source="Chung et al. 2015, arXiv:1506.02216",
    measure=measure.sequences,
)
