"""Recurrent models of Bach's chorales, with latent variables and without."""

from dgmcourse import measure
from dgmcourse.data.music import FRAGMENT, SIZES, Music, chorales
from dgmcourse.models.vrnn import ChoraleRNN, ChoraleVRNN
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

SETTINGS = {"epochs": 20, "batch_size": 16, "lr": 4e-3, "anneal": 10, "clip": 100.0}
ABOUT = "of Bach's four-part chorales, a pitch of each voice for every eighth note"


def fragments() -> Music:
    """The chorales, those to train on cut into fragments: more steps of the optimiser a pass."""
    data = chorales()
    return data._replace(train=data.train.cut(FRAGMENT))


# With 5 epochs of warm-up in 20 the KL fell to 0.003 nats a step: z was switched off.
chorale_vrnn = Recipe(
    about=f"Variational recurrent network {ABOUT}",
    model=constructor(ChoraleVRNN, sizes=list(SIZES)),
    data=fragments,
    settings=SETTINGS | {"warm_up": 9},
    source="Chung et al. 2015, arXiv:1506.02216",
    measure=measure.sequences,
)
chorale_rnn = Recipe(
    about=f"Recurrent network {ABOUT}, which are independent given the past",
    model=constructor(ChoraleRNN, sizes=list(SIZES), hidden=122),
    data=fragments,
    settings=SETTINGS,
    source="Chung et al. 2015, arXiv:1506.02216",
    measure=measure.sequences,
)
