"""What z tells a decoder of sentences: collapse, its cures, and how far the decoder sees."""

import functools
import math

import torch

from dgmcourse.data.text import Corpus, captions
from dgmcourse.densities import kl
from dgmcourse.evaluate import active_units, in_parts, log_likelihood
from dgmcourse.models.dilated_text_vae import DilatedNet, DilatedTextVAE
from dgmcourse.models.sentence_vae import LanguageModel, RecurrentNet, SentenceVAE
from dgmcourse.studies import finished
from dgmcourse.train import fit

SEEDS = range(3)
WORDS, LONGEST = 598, 12  # of the captions: a small language, for small networks
SIZES = {"embedding": 32, "hidden": 64, "length": LONGEST + 8}
LATENT_DIM, SAMPLES = 8, 50  # of z
SETTINGS = {"epochs": 8, "batch_size": 64, "lr": 7e-3, "anneal": 4}
WARM_UP, KEEP, FREE = 4, 0.5, 0.5  # epochs; share of words; nats for each dimension
FIELDS = {1: (), 3: (1,), 7: (1, 2), 15: (1, 2, 4)}  # words seen, and the dilations for it
CURES = {  # name -> what is done otherwise: epochs of annealing, the share of words kept, free nats
    "none": {},
    "annealing": {"warm_up": WARM_UP},
    "annealing, word dropout": {"warm_up": WARM_UP, "keep": KEEP},
    "annealing, no words": {"warm_up": WARM_UP, "keep": 0.0},
    "free bits": {"free": FREE},
}


@functools.cache
def corpus() -> Corpus:
    return captions(WORDS, LONGEST)


WITHOUT_Z = ("none", "annealing, no words")  # whose language model is another one


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    settings = [{"decoder": "recurrent", "z": False, "cure": cure} for cure in WITHOUT_Z]
    settings += [{"decoder": "recurrent", "z": True, "cure": cure} for cure in CURES]
    for field in FIELDS:  # with annealing, as in the paper
        settings += [
            {"decoder": f"dilated {field}", "z": False, "cure": "none"},
            {"decoder": f"dilated {field}", "z": True, "cure": "annealing"},
        ]
    return [(setting, seed) for seed in SEEDS for setting in settings]


def model_of(decoder: str, z: bool, keep: float = 1.0, free: float = 0.0):
    """A VAE, or with z = False the language model of its decoder. `free`: of a recurrent VAE."""
    symbols, sizes = len(corpus().vocabulary), SIZES | {"keep": keep}
    if decoder == "recurrent":
        if z:
            return SentenceVAE(symbols, LATENT_DIM, **sizes, free=free)
        return LanguageModel(RecurrentNet(symbols, **sizes))
    dilations = FIELDS[int(decoder.split()[1])]
    if z:
        return DilatedTextVAE(symbols, LATENT_DIM, dilations=dilations, **sizes)
    return LanguageModel(DilatedNet(symbols, dilations=dilations, **sizes))


def run(setting: dict, seed: int) -> dict:
    """Test NLL, nats a sentence: exact without z; with z by importance sampling, and the ELBO with
    its KL, averaged over five draws of z. Per word: of all symbols, end marks included.
    """
    data, cure = corpus(), dict(CURES[setting["cure"]])
    more = {"warm_up": cure.pop("warm_up", 0), "seed": seed, "progress": False}
    model = model_of(setting["decoder"], setting["z"], **cure)
    finished(fit(model, data.train, data.valid, **SETTINGS, **more))
    model.eval()
    x, found = data.test.x, {}
    with torch.no_grad():
        if setting["z"]:
            log_p = log_likelihood(model, x, SAMPLES)
            elbo = torch.stack([in_parts(model.elbo, x) for _ in range(5)]).mean()
            found["elbo"] = round(elbo.item(), 3)
            found["kl"] = round(kl(model.encoder(x), model.prior).mean().item(), 3)
            found["active_units"] = int(active_units(model, x).sum())
        else:
            log_p = in_parts(model.log_prob, x)
    nats_a_word = -log_p.sum().item() / data.test.symbols
    return found | {
        "nll": round(-log_p.mean().item(), 3),
        "nll_per_word": round(nats_a_word, 4),
        "perplexity": round(math.exp(nats_a_word), 2),
    }


def table(rows: list[dict]) -> dict:
    """The rows, and what they were measured on."""
    data = corpus()
    return {
        "about": __doc__.rstrip("."),
        "data": (
            f"{len(data.train):,} training, {len(data.valid):,} validation and {len(data.test):,}"
            f" test captions of at most {LONGEST} words, all of them among the {WORDS:,} most"
            " frequent"
        ),
        "test_symbols": data.test.symbols,
        "settings": SETTINGS | SIZES | {"latent_dim": LATENT_DIM, "S": SAMPLES},
        "cures": CURES,
        "fields": list(FIELDS),
        "seeds": len(SEEDS),
        "torch": torch.__version__,
        "rows": rows,
    }
