"""The classifier in whose features generated digits are compared with real ones."""

from functools import partial

from dgmcourse import measure
from dgmcourse.data.images import mnist
from dgmcourse.models.classifier import DigitClassifier
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

digit_classifier = Recipe(
    about=(
        "convolutional classifier of digits, in whose features generated ones are compared with"
        " real ones"
    ),
    model=constructor(DigitClassifier),
    data=partial(mnist, None),
    settings={"batch_size": 100, "lr": 1e-3, "epochs": 8, "anneal": 6, "mixed_precision": True},
    measure=measure.accuracy,
)
