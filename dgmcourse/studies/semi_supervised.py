"""Test errors of classifiers that have seen 10 to 3,000 labels, with and without unlabelled digits."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgmcourse import weights
from dgmcourse.data.images import Data, Splits, mnist
from dgmcourse.data.labels import Codes, SemiSupervised, balanced, codes
from dgmcourse.measure import linear_reading
from dgmcourse.models.semi_supervised_vae import M2
from dgmcourse.networks import mlp
from dgmcourse.studies import finished
from dgmcourse.train import fit, maximise

LABELS, SETS = (10, 20, 50, 100, 600, 1000, 3000), range(10)
SOME = {"self-training": (100, 1000), "M1+M2, alpha = 3": (3000,)}  # labels of what takes long
M1 = "vamp_vae"
STACKED = {"latent_dim": 20, "hidden": 300, "data_dim": 40, "likelihood": "gaussian"}
STACKED_SETTINGS = {"epochs": 5, "batch_size": 100, "lr": 3e-3, "anneal": 4}
NETWORK = {"steps": 1000, "lr": 1e-3, "weight_decay": 0.1}
CONFIDENT, ROUNDS = 0.95, 3  # of self-training


@functools.cache
def digits() -> tuple[Splits, list[Codes]]:
    """Grey digits, and the codes by M1 of the same, binarised dynamically."""
    m1 = weights.load(M1)
    torch.manual_seed(0)
    return mnist(None), [codes(m1, part) for part in mnist("dynamic")]


def trained_network(data: Data, hidden: int = 500) -> nn.Module:
    """A classifier of one hidden layer, trained on labelled data alone with weight decay."""
    net = mlp([data.tensor().shape[1], hidden, 10], nn.Softplus)
    # decoupled: the decay does not depend on the gradients' size
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=NETWORK["lr"], weight_decay=NETWORK["weight_decay"]
    )
    step = 0
    while step < NETWORK["steps"]:
        for x, y in data.batches(100, labels=True):
            maximise(-F.cross_entropy(net(x), y, reduction="none"), optimiser)
            step += 1
    return net


def error(wrong: Tensor) -> float:
    """The share of wrong guesses, true or false each, %."""
    return round(100 * wrong.double().mean().item(), 2)


def nearest(x: Tensor, y: Tensor, test: Tensor) -> Tensor:
    """The class of the nearest labelled example."""
    return torch.cat([y[torch.cdist(rows, x).argmin(-1)] for rows in test.split(1000)])


def self_trained(grey: Splits, chosen: Tensor) -> nn.Module:
    """The network of labels alone, which then takes its own confident guesses for labels, and again."""
    labelled, everything = grey.train[chosen], grey.train.tensor()
    net = trained_network(labelled)
    for _ in range(ROUNDS):
        with torch.no_grad():
            log_q = torch.log_softmax(net(everything), -1)
        sure = log_q.max(-1).values.exp() > CONFIDENT
        sure[chosen] = False
        x = torch.cat([labelled.tensor(), everything[sure]])
        y = torch.cat([labelled.y, log_q.argmax(-1)[sure]])
        net = trained_network(Data(x, y))
    return net


METHODS = (
    "labels only",
    "1-NN",
    "logistic on pixels",
    "self-training",
    "labels only on M1",
    "1-NN on M1",
    "logistic on M1",
    "M1+M2",
    "M1+M2, alpha = 3",
)


def jobs(rows: list[dict]) -> list[tuple[dict, int]]:
    return [
        ({"method": method, "labels": n}, seed)
        for seed in SETS
        for n in LABELS
        for method in METHODS
        if n in SOME.get(method, LABELS)
    ]


def run(setting: dict, seed: int) -> dict:
    """The test error, %, of a method given a balanced set of labels, which is the seed's; of M1+M2 that
    of q(y|x), and, as "bayes", that of the largest bound on log p(x, y).
    """
    grey, (train, _, test) = digits()
    chosen = balanced(grey.train.y, setting["labels"], seed)
    y, test_y, more = grey.train.y[chosen], grey.test.y, {}
    test_means = test.means
    match setting["method"]:
        case "labels only":
            guesses = trained_network(grey.train[chosen])(grey.test.tensor()).argmax(-1)
        case "1-NN":
            guesses = nearest(grey.train[chosen].tensor(), y, grey.test.tensor())
        case "self-training":
            guesses = self_trained(grey, chosen)(grey.test.tensor()).argmax(-1)
        case "labels only on M1":
            guesses = trained_network(train[chosen])(test_means).argmax(-1)
        case "1-NN on M1":
            guesses = nearest(train[chosen].means, y, test_means)
        case "logistic on pixels" | "logistic on M1":
            if setting["method"] == "logistic on M1":
                read = (train[chosen].means, y, test_means, test_y)
            else:
                read = (grey.train[chosen].tensor(), y, grey.test.tensor(), test_y)
            return {"error": error(~linear_reading(*read))}
        case "M1+M2" | "M1+M2, alpha = 3":
            alpha = {"alpha": 3.0} if "alpha" in setting["method"] else {}
            model, data = M2(**STACKED, **alpha), SemiSupervised(train, train[chosen])
            finished(fit(model, data, **STACKED_SETTINGS, seed=seed, progress=False))
            guesses = model.classify(test_means)
            with torch.no_grad():
                more = {"bayes": error(model.log_joint(test_means).argmax(-1) != test_y)}
        case method:
            raise ValueError(f"there is no method {method!r}: {', '.join(METHODS)}")
    return {"error": error(guesses != test_y)} | more


def table(rows: list[dict]) -> dict:
    """The rows, and their errors by method and number of labels, one for each set of labels."""
    grey, kept = mnist(None), {}
    for row in rows:
        for of in ("error", "bayes"):
            if of in row:
                name = row["method"] + ", by the bound" * (of == "bayes")
                kept.setdefault(name, {}).setdefault(str(row["labels"]), []).append(row[of])
    return {
        "about": __doc__.rstrip("."),
        "data": (
            f"{len(grey.train):,} training and {len(grey.test):,} test digits; balanced sets of"
            " labels, the first ones the same for all methods"
        ),
        "settings": {"M1": M1, "M1+M2": STACKED | STACKED_SETTINGS, "network": NETWORK},
        "labels": list(LABELS),
        "sets": len(SETS),
        "torch": torch.__version__,
        "errors": kept,
        "rows": rows,
    }
