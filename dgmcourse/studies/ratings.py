"""Who will like which film: graph convolutions, matrix factorisation and means, over five seeds."""

import functools
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from dgmcourse.data.ratings import (
    Ratings,
    RatingSplit,
    hold_out,
    movielens,
    movielens_features,
)
from dgmcourse.densities import Categorical
from dgmcourse.models.matrix_completion import (
    GraphMatrixCompletion,
    VariationalMatrixCompletion,
    expected_rating,
)
from dgmcourse.settings import check_number, check_whole
from dgmcourse.studies import finished
from dgmcourse.train import fit

SEEDS = range(5)  # of a training; what has no chance in it has one row
VALIDATION = 0.1  # of the training ratings: the settings of all methods were chosen on them
SETTINGS = {"batch_size": 10**6, "lr": 0.01}  # of all ratings at once, as the authors'
FEATURES = "GC-MC, features"  # its rows are left out where the features are not
MODELS = {  # arguments of the model, and of its training
    "GC-MC": (GraphMatrixCompletion, {"accumulate": "sum"}, {"epochs": 800, "anneal": 200}),
    "GC-MC, levels apart": (GraphMatrixCompletion, {}, {"epochs": 400, "anneal": 100}),
    FEATURES: (
        GraphMatrixCompletion,
        {"accumulate": "sum", "side": 10},
        {"epochs": 600, "anneal": 200},
    ),
    "variational GC-MC": (
        VariationalMatrixCompletion,
        {"hidden": 100, "latent_dim": 10, "dropout": 0.2},
        {"epochs": 400, "anneal": 200, "warm_up": 200},
    ),
}
COLD = 30  # a user with fewer known ratings is cold
BINS = 10  # of probability, for the calibration
SHRINKAGE = (1, 3, 5, 10, 20)  # of the means: so many ratings of 0 are added to each
FACTORS, PENALTIES, SWEEPS = (5, 10, 20), (9.0, 12.0, 15.0, 18.0), 8  # of the factorisation
WIDTHS = tuple(0.5 + 0.05 * k for k in range(16))  # of a bell around a predicted rating


# ---- what needs no graph


class Means:
    """mu + b_i + c_j: deviations of users and items from the mean, shrunk."""

    def __init__(self, known: Ratings, shrinkage: float, sweeps: int = 10):
        check_number(least=0, shrinkage=shrinkage)
        self.mean = known.values.double().mean()
        self.users, self.items = (torch.zeros(n, dtype=torch.float64) for n in known.shape)
        counts = known.counts()
        for _ in range(sweeps):
            for side, own in enumerate((self.users, self.items)):
                index = (known.users, known.items)[side]
                rest = known.values - self.mean - self.of(known) + own[index]
                own.copy_(
                    torch.zeros_like(own).index_add_(0, index, rest) / (counts[side] + shrinkage)
                )

    def of(self, asked: Ratings) -> Tensor:
        return self.users[asked.users] + self.items[asked.items]

    def predict(self, asked: Ratings) -> Tensor:
        return self.mean + self.of(asked)


class Factorisation:
    r"""mu + b_i + c_j + u_i^T v_j by alternating least squares, after `Means`.

    Each u_i is the ridge regression of its user's residuals on his items' v, and the other way
    round:

    $$u_i = \Big(\lambda I + \sum_j v_j v_j^T\Big)^{-1} \sum_j v_j e_{ij}$$
    """

    def __init__(self, known: Ratings, means: Means, factors: int, penalty: float, seed: int = 0):
        check_whole(factors=factors)
        check_number(above=0, penalty=penalty)
        self.means = means
        residual = known.values - means.predict(known)
        random = torch.Generator().manual_seed(seed)
        self.codes = [
            0.1 * torch.randn(n, factors, generator=random, dtype=torch.float64)
            for n in known.shape
        ]
        eye = penalty * torch.eye(factors, dtype=torch.float64)
        index, parts = (known.users, known.items), []
        for side in (0, 1):  # the ratings of each user, and of each item
            order = index[side].argsort(stable=True)
            parts.append(order.split(known.counts()[side].tolist()))
        for _ in range(SWEEPS):
            for side in (0, 1):
                other = self.codes[1 - side]
                for code, own in zip(self.codes[side], parts[side], strict=True):
                    near = other[index[1 - side][own]]
                    code.copy_(torch.linalg.solve(near.mT @ near + eye, near.mT @ residual[own]))

    def predict(self, asked: Ratings) -> Tensor:
        u, v = self.codes[0][asked.users], self.codes[1][asked.items]
        return self.means.predict(asked) + (u * v).sum(1)


def bell(prediction: Tensor, width: float, levels: int) -> Categorical:
    """A distribution around a predicted rating: p(r) proportional to N(r | prediction, width^2)."""
    steps = torch.arange(1, levels + 1) - prediction.unsqueeze(1)
    return Categorical(-0.5 * (steps / width) ** 2)


# ---- what is measured


def rmse(prediction: Tensor, asked: Ratings) -> float:
    return ((prediction - asked.values) ** 2).double().mean().sqrt().item()


def log_probs(p: Categorical, asked: Ratings) -> Tensor:
    """log p of the ratings that were given, (n,), nats."""
    return p.log_prob(F.one_hot(asked.values - 1, asked.levels))


def calibration_error(p: Categorical, asked: Ratings) -> float:
    """How far predicted probabilities are from frequencies.

    All probabilities, of every rating that is asked and every level, fall into BINS bins of equal
    width. In each, their mean is compared with the share that came true; the differences are
    averaged, weighted by how many fall into the bin (as the expected calibration error, of all
    classes).
    """
    probability = p.mean.flatten().double()
    true = F.one_hot(asked.values - 1, asked.levels).flatten().double()
    place = (probability * BINS).long().clamp_max(BINS - 1)
    sums = torch.zeros(BINS, dtype=torch.float64).index_add_(0, place, probability - true)
    return (sums.abs().sum() / len(true)).item()


def measured(prediction: Tensor, p: Categorical, known: Ratings, asked: Ratings) -> dict:
    """RMSE, the mean of -log p in nats and the calibration error; the first two also over cold
    users, with how many ratings they have; and the mean entropy of p over these and over the rest.
    """
    cold = known.counts()[0][asked.users] < COLD
    result = {
        "rmse": round(rmse(prediction, asked), 4),
        "nll": round(-log_probs(p, asked).mean().item(), 4),
        "calibration": round(calibration_error(p, asked), 4),
        "cold": int(cold.sum()),
    }
    entropy = p.entropy()
    for name, some in (("cold", cold), ("warm", ~cold)):
        if some.any():
            result[f"{name}_rmse"] = round(rmse(prediction[some], asked[some]), 4)
            result[f"{name}_nll"] = round(-log_probs(p, asked)[some].mean().item(), 4)
            result[f"{name}_entropy"] = round(entropy[some].mean().item(), 4)
    return result


# ---- the study


@functools.cache
def split() -> RatingSplit:
    return movielens()


@functools.cache
def inner() -> RatingSplit:
    """The training ratings, divided: settings are chosen on the second part."""
    return hold_out(split().train, VALIDATION, seed=0)


@functools.cache
def tuned(method: str) -> dict:
    """The settings of a method without a graph that are best on the validation ratings."""
    known, asked = inner()[:2]
    if method == "global mean":
        return {}
    if method == "user and item means":
        tried = [{"shrinkage": s} for s in SHRINKAGE]
    else:
        means = tuned("user and item means")["shrinkage"]
        tried = [
            {"shrinkage": means, "factors": k, "penalty": penalty}
            for k in FACTORS
            for penalty in PENALTIES
        ]
    best = min(tried, key=lambda settings: rmse(predictor(known, **settings).predict(asked), asked))
    prediction = predictor(known, **best).predict(asked)
    width = max(
        WIDTHS,
        key=lambda w: log_probs(bell(prediction, w, asked.levels), asked).mean().item(),
    )
    return best | {"width": round(width, 2)}


def predictor(known: Ratings, shrinkage: float, factors: int = 0, penalty: float = 1.0, seed=0):
    means = Means(known, shrinkage)
    return Factorisation(known, means, factors, penalty, seed) if factors else means


WITHOUT_GRAPH = ("global mean", "user and item means", "matrix factorisation")


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    plain = [({"method": m}, s) for m in WITHOUT_GRAPH for s in (SEEDS if m[0] == "m" else (0,))]
    models = [m for m in MODELS if m != FEATURES or movielens_features()]
    return plain + [({"method": m}, s) for s in SEEDS for m in models]


def run(setting: dict, seed: int) -> dict:
    """`measured` on the test ratings, of a method fitted to all training ratings."""
    method, (known, asked, _), began = setting["method"], split(), time.perf_counter()
    if method in MODELS:
        kind, sizes, training = MODELS[method]
        features = movielens_features() if method == FEATURES else None
        model = kind(*known.shape, known.levels, features=features, **sizes)
        history = finished(fit(model, known, **SETTINGS | training, seed=seed, progress=False))
        model.eval()
        torch.manual_seed(seed)
        p = model.predict(known, asked.users, asked.items)
        prediction, more = expected_rating(p), {"stopped": history.stopped}
    elif method == "global mean":
        share = torch.bincount(known.values - 1, minlength=known.levels) / len(known)
        p, more = Categorical(share.log().expand(len(asked), -1)), {}
        prediction = expected_rating(p)
    else:
        more = tuned(method)
        settings = {name: value for name, value in more.items() if name != "width"}
        prediction = predictor(known, **settings, seed=seed).predict(asked)
        p = bell(prediction, more["width"], known.levels)
        prediction = prediction.clamp(1, known.levels)
    result = measured(prediction, p, known, asked)
    return more | result | {"seconds": round(time.perf_counter() - began, 1)}


def described() -> str:
    known, asked = split()[:2]
    return f"{len(known):,} ratings to train on and {len(asked):,} to test (u1)"


def table(rows: list[dict]) -> dict:
    return {
        "about": __doc__.rstrip("."),
        "data": described(),
        "settings": SETTINGS
        | {"validation": VALIDATION, "cold": COLD, "bins": BINS}
        | {name: sizes | training for name, (_, sizes, training) in MODELS.items()},
        "torch": torch.__version__,
        "rows": rows,
    }
