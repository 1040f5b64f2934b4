"""Models of captions, Multi30k: a language model, and a sentence VAE with the same decoder.

Their files hold the networks and the vocabulary, and no sentence.
"""

import functools

from dgmcourse import measure
from dgmcourse.data.text import captions
from dgmcourse.models.sentence_vae import LanguageModel, RecurrentNet, SentenceVAE
from dgmcourse.recipes import Recipe
from dgmcourse.weights import constructor

WORDS, LONGEST = 1198, 12
SIZES = {"symbols": WORDS + 2, "embedding": 64, "hidden": 128, "length": 30}
SETTINGS = {"epochs": 12, "batch_size": 64, "lr": 4e-3, "clip": 5.0, "anneal": 6}
BOWMAN = "Bowman et al. 2015, arXiv:1511.06349"

data = functools.partial(captions, WORDS, LONGEST)

language_model = Recipe(
    about=f"a recurrent language model of captions of at most {LONGEST} words (Multi30k)",
    model=constructor(LanguageModel, net=constructor(RecurrentNet, **SIZES)),
    data=data,
    settings=SETTINGS,
    source=BOWMAN,
    measure=measure.sentences,
    bits=8,
)
sentence_vae = Recipe(
    about=(
        f"a sentence VAE of captions of at most {LONGEST} words (Multi30k); in training its decoder,"
        " that of language_model, read half of the words, the KL was annealed, and 5.6 nats were free"
    ),
    model=constructor(SentenceVAE, **SIZES, latent_dim=8, keep=0.5, free=0.7),
    data=data,
    settings=SETTINGS
    | {"epochs": 40, "anneal": 20, "warm_up": 4},  # with half the words it learns slowly
    source=BOWMAN,
    measure=measure.sentences,
    bits=8,
)
