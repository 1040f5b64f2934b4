"""M2, and M2 on another model's codes: trained with the labels of a hundred digits."""

import functools

import torch

from dgmcourse import measure, weights
from dgmcourse.data.images import Splits, mnist
from dgmcourse.data.labels import SemiSupervised, balanced, codes
from dgmcourse.models.semi_supervised_vae import M1M2, M2, SemiSupervisedVAE
from dgmcourse.recipes import Recipe
from dgmcourse.train import own_randomness
from dgmcourse.weights import constructor

LABELS, M1 = 100, "vamp_vae"
SETTINGS = {"batch_size": 100, "lr": 1e-3}
KINGMA = "Kingma, Mohamed, Rezende & Welling 2014, arXiv:1406.5298"


def digits() -> Splits:
    """MNIST, binarised dynamically; a hundred training digits have their labels, ten of each class."""
    data = mnist("dynamic")
    chosen = balanced(data.train.y, LABELS)
    return data._replace(train=SemiSupervised(data.train, data.train[chosen]))


@functools.cache
def codes_of_digits() -> Splits:
    """The codes of all digits by M1, with the labels of the same hundred."""
    data, m1 = mnist("dynamic"), weights.load(M1)
    with own_randomness(torch.device("cpu"), seed=0):
        train, valid, test = (codes(m1, part) for part in data)
    chosen = balanced(data.train.y, LABELS)
    return Splits(SemiSupervised(train, train[chosen]), valid, test)


def measured_on_digits(model: SemiSupervisedVAE, data: Splits, S: int | None = None) -> dict:
    """`measure.labels`, and `measure.likelihood` with S = 1,000 of a thousand test digits."""
    some = data._replace(test=data.test[:1000])
    found = measure.likelihood(model, some, S or 1000)
    return measure.labels(model, data.test.tensor(), data.test.y) | found


def measured_on_codes(m2: SemiSupervisedVAE, data: Splits, S: int | None = None) -> dict:
    """`measure.labels` at the means of M1's codes, and, as `measured_on_digits`, the likelihood of
    digits by the whole, M1M2.
    """
    whole, some = M1M2(weights.load(M1), m2), data._replace(test=mnist("dynamic").test[:1000])
    found = measure.likelihood(whole, some, S or 1000)
    return measure.labels(m2, data.test.means, data.test.y) | found


# With the paper's alpha of 0.1, M2 on pixels takes the classes for clusters of its own: after 20
# epochs 74 % of the test digits were named wrongly. The label has to outweigh some nats of the bound.
m2 = Recipe(
    about="M2 on dynamically binarised MNIST: 50,000 digits, of which 100 have a label",
    model=constructor(M2, alpha=100.0),
    data=digits,
    settings=SETTINGS | {"epochs": 42, "anneal": 4},
    source=KINGMA,
    measure=measured_on_digits,
    bits=8,
)
m1_m2 = Recipe(
    about=f"M2 on the codes of {M1}: with it, M1+M2; 100 digits have a label",
    model=constructor(M2, latent_dim=20, hidden=300, data_dim=40, likelihood="gaussian"),
    data=codes_of_digits,
    settings=SETTINGS | {"lr": 3e-3, "epochs": 40, "anneal": 20},
    source=KINGMA,
    measure=measured_on_codes,
)
