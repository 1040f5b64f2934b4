"""What is measured of a trained model on a test set, as a recipe and a study keep it.

Each measure is a function (model, data, S) of a model, `Splits` and a number of samples (None: the
measure's own), and returns a dictionary of rounded numbers; log-likelihoods are in nats. Nothing
here changes the random numbers drawn outside.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from dgmcourse import weights
from dgmcourse.data.images import Splits
from dgmcourse.densities import UNKNOWN, check_batch, kl
from dgmcourse.distances import frechet, sliced_wasserstein
from dgmcourse.evaluate import (
    active_units,
    auc,
    highest_k,
    in_parts,
    log_likelihood,
    log_likelihood_from_prior,
)
from dgmcourse.settings import check_whole
from dgmcourse.train import own_randomness

SAMPLES = 10_000  # for distances between samples: as many as there are test digits
FROM_PRIOR = 200_000  # samples of z for a model without an encoder, where 5,000 are far too few
PART = 1000  # examples on which the reliability of a likelihood is measured


def likelihood(
    model: nn.Module,
    data: Splits,
    S: int | None = None,
    rows: int = 500,
    part: int = PART,
    reliability_only: bool = False,
) -> dict:
    """The negative test log-likelihood, with its standard error over the examples.

    With an encoder by importance sampling (S = 5,000), `rows` examples at a time, and with the ELBO
    and the number of active units; without one by S = 200,000 samples of the prior. How far it is
    to be trusted is measured on `part` of the examples, evenly spaced (`reliability`), alone if
    `reliability_only`.
    """
    check_whole(none=True, S=S)
    check_whole(rows=rows, part=part)
    x = data.test.to(device_of(model)).tensor()
    S = S or (5000 if hasattr(model, "encoder") else FROM_PRIOR)
    if reliability_only:
        return reliability(model, x, S, rows, part)
    with own_randomness(x.device, seed=0):
        if hasattr(model, "encoder"):
            elbo = in_parts(model.log_weight, x, rows=2 * rows)
            log_p = log_likelihood(model, x, S, rows=rows, progress=True)
            more = {
                "test_elbo": round(elbo.mean().item(), 3),
                "active_units": int(active_units(model, x).sum()),
            }
        else:
            log_p, more = log_likelihood_from_prior(model, x, S), {}
    trust = reliability(model, x, S, rows, part)
    return negative(log_p) | more | trust | {"S": S, "n": len(x)}


def reliability(model: nn.Module, x: Tensor, S: int, rows: int = 500, part: int = PART) -> dict:
    """How far an importance-sampled likelihood of S samples is to be trusted, on `part` of the x.

    "unreliable" is the share of examples whose estimate is not to be trusted, since their Pareto k
    is above `evaluate.highest_k(S)`: log p(x) may be far higher, which the standard error does not
    say. "ess" is the mean effective sample size, and "reliability_n" the number of examples.
    """
    some = evenly_spaced(x, part)
    with own_randomness(x.device, seed=0):
        if hasattr(model, "encoder"):
            found = log_likelihood(model, some, S, rows=rows, progress=True, reliability=True)
        else:
            found = log_likelihood_from_prior(model, some, S, reliability=True)
    return {
        "unreliable": round((found.k > highest_k(S)).double().mean().item(), 4),
        "ess": round(found.ess.double().mean().item(), 1),
        "reliability_n": len(some),
    }


def evenly_spaced(x: Tensor, part: int = PART) -> Tensor:
    """`part` of the examples, or all if there are fewer, evenly spaced."""
    n = min(part, len(x))
    return x[torch.arange(n) * len(x) // n]


def mean_kl(model: nn.Module, x: Tensor) -> float:
    """The mean of KL[q(z|x) || p(z)], nats, of a model whose KL has a closed form."""
    each = in_parts(lambda rows: kl(model.encoder(rows), model.prior), x)
    return round(each.mean().item(), 3)


def gain_of_samples(model: nn.Module, x: Tensor, few: int, many: int, rows: int = 500) -> dict:
    """By how much the importance-sampled log-likelihood of these examples grows from `few` to `many`
    samples of z: its mean, nats, and its standard error over the examples.
    """
    with own_randomness(x.device, seed=0):
        found = [log_likelihood(model, x, S, rows=rows, progress=True) for S in (few, many)]
    gain = found[1] - found[0]
    error = gain.std().item() / len(gain) ** 0.5
    return {"S": many, "n": len(x), "nats": round(gain.mean().item(), 3), "se": round(error, 3)}


def exact(model: nn.Module, data: Splits, S: int | None = None) -> dict:
    """The negative test log-likelihood, with its standard error, of a model with a tractable one."""
    x = data.test.to(device_of(model)).tensor()
    return negative(in_parts(model.log_prob, x)) | {"n": len(x)}


def negative(log_p: Tensor) -> dict:
    """The mean of -log p(x) and its standard error."""
    error = log_p.std().item() / len(log_p) ** 0.5
    return {"test_nll": round(-log_p.mean().item(), 3), "test_nll_se": round(error, 3)}


def accuracy(model: nn.Module, data: Splits, S: int | None = None) -> dict:
    """A classifier's accuracy on the test set, with its standard error."""
    test = data.test.to(device_of(model))
    right = (model.classify(test.tensor()) == test.y).double()
    error = right.std().item() / len(right) ** 0.5
    return {
        "test_accuracy": round(right.mean().item(), 4),
        "test_accuracy_se": round(error, 4),
        "n": len(right),
    }


def labels(model: nn.Module, x: Tensor, y: Tensor) -> dict:
    """The errors of a `SemiSupervisedVAE`'s two classifiers, in % with the standard error of the
    first: q(y|x), and Bayes' rule with the bounds on log p(x, y). And the mean bound on log p(x).
    """
    wrong = (model.classify(x) != y).double()
    with own_randomness(x.device, seed=0):
        joint, bound = in_parts(model.log_joint, x), in_parts(model.unlabelled_bound, x)
    return {
        "test_error": round(100 * wrong.mean().item(), 2),
        "test_error_se": round(100 * wrong.std().item() / len(y) ** 0.5, 2),
        "test_error_bayes": round(100 * (joint.argmax(-1) != y).double().mean().item(), 2),
        "test_bound": round(bound.mean().item(), 3),
        "n_labels": len(y),
    }


def sentences(model: nn.Module, data, S: int | None = None) -> dict:
    """What a test sentence costs, its end mark included: "nll", nats, with its standard error over
    sentences, and "perplexity", exp of the nats for each symbol that counts.

    A language model's are exact. Those of a VAE are upper bounds, by importance sampling with S =
    200 samples of z for each sentence ("ess", "unreliable": as in `reliability`), and "elbo" and
    "kl" are the bound of one sample and its part.

    Args:
        data: a `data.text.Corpus`.
    """
    check_whole(none=True, S=S)
    test, more = data.test.to(device_of(model)), {}
    with own_randomness(test.x.device, seed=0), torch.no_grad():
        if hasattr(model, "encoder"):
            S = S or 200
            log_p, k, ess = log_likelihood(model, test.x, S, progress=True, reliability=True)
            bound = in_parts(lambda x: torch.stack(model_bound(model, x), -1), test.x).mean(0)
            more = {"elbo": round(bound[0].item(), 3), "kl": round(bound[1].item(), 3)}
            more |= {"active_units": int(active_units(model, test.x).sum()), "S": S}
            more["unreliable"] = round((k > highest_k(S)).double().mean().item(), 4)
            more |= {"ess": round(ess.double().mean().item(), 1), "reliability_n": len(test)}
        else:
            log_p = in_parts(model.log_prob, test.x)
    found = {name.removeprefix("test_"): value for name, value in negative(log_p).items()}
    found["perplexity"] = round(math.exp(-log_p.sum().item() / test.symbols), 2)
    unknown = int((test.x == UNKNOWN).sum()) / test.symbols
    sizes = {"n": len(test), "symbols": test.symbols, "unknown": round(unknown, 4)}
    return found | more | sizes


def model_bound(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """The ELBO of each x with one sample of z, and its KL."""
    parts = model.objective(x)[1]
    return parts["elbo"], parts["kl"]


@torch.no_grad()
def sequences(model: nn.Module, data, S: int | None = None, rows: int = 16) -> dict:
    """The negative log-likelihood of test sequences, nats: of a sequence and of a step, with their
    standard errors over sequences.

    It is exact where the model has a `log_prob`; else by S particles (50), an upper bound on average,
    and with the bound and the KL of a step.

    Args:
        data: its `test` yields batches of (x, lengths).
        rows: sequences at a time.
    """
    check_whole(none=True, S=S)
    check_whole(rows=rows)
    log_p, bounds, kls, steps, exact = [], [], [], [], hasattr(model, "log_prob")
    device = device_of(model)
    with own_randomness(device, seed=0):
        for x, lengths in data.test.to(device).batches(rows, shuffle=False):
            steps.append(lengths)
            if exact:
                log_p.append(model.log_prob(x, lengths))
                continue
            log_p.append(model.log_likelihood(x, lengths, S or 50))
            bound, parts = model.objective(x, lengths)
            bounds.append(bound)
            kls.append(parts["kl"])
    log_p, steps = torch.cat(log_p), torch.cat(steps)
    found, n = negative(log_p), len(log_p)
    rate = (-log_p.sum() / steps.sum()).item()
    error = (-log_p - rate * steps).std().item() / n**0.5 / steps.float().mean().item()
    found |= {"nats_a_step": round(rate, 4), "nats_a_step_se": round(error, 4)}
    if not exact:
        found |= {
            "test_elbo": round(torch.cat(bounds).mean().item(), 3),
            "kl_a_step": round((torch.cat(kls).sum() / steps.sum()).item(), 4),
            "particles": S or 50,
        }
    return found | {"n": n, "steps": int(steps.sum())}


def samples(
    model: nn.Module, data: Splits, S: int | None = None, draw: Callable | None = None
) -> dict:
    """Distances between S samples (10,000) and as many test images; "real_...": between training
    images and the same, the best one can do.

    The sliced Wasserstein distance of the pixels, the Frechet distance of the features of
    `digit_classifier`, and the total variation distance between the classes it finds.

    Args:
        draw: a function n -> (n, D) in place of `model.sample`.
    """
    check_whole(none=True, S=S)
    device = device_of(model)
    real = data.test.to(device).tensor()
    S = min(S or SAMPLES, len(real), len(data.train))
    classifier = weights.load("digit_classifier").to(device)
    with own_randomness(device, seed=0):
        drawn = torch.cat([(draw or model.sample)(min(1000, S - at)) for at in range(0, S, 1000)])
        real = real[torch.randperm(len(real))[:S]]
        again = data.train.to(device)[torch.randperm(len(data.train))[:S]].tensor()

    def seen(x: Tensor) -> tuple[Tensor, Tensor]:
        features = classifier.features(x)
        return features, torch.bincount(classifier.head(features).argmax(-1), minlength=10) / len(x)

    results, (features_real, spread_real) = {}, seen(real)
    for prefix, x in (("", drawn), ("real_", again)):
        features, spread = seen(x)
        results |= {
            f"{prefix}sliced_wasserstein": round(sliced_wasserstein(x, real), 4),
            f"{prefix}frechet": round(frechet(features, features_real), 3),
            f"{prefix}class_distance": round(0.5 * (spread - spread_real).abs().sum().item(), 4),
        }
    return results | {"n": S}


def autoencoder(model: nn.Module, data: Splits, S: int | None = None) -> dict:
    """`samples`, and the squared error of reconstructed test images, summed over pixels.

    Samples are the decoder's means: a Gaussian decoder's own have noise on every pixel, which would
    be all that a distance sees.
    """
    x = data.test.to(device_of(model)).tensor()
    errors = torch.cat([((model.reconstruct(rows) - rows) ** 2).sum(-1) for rows in x.split(1000)])
    means = lambda n: model.decoder(model.prior.sample((n,))).mean.detach()  # noqa: E731
    return samples(model, data, S, means) | {"reconstruction_error": round(errors.mean().item(), 3)}


@torch.no_grad()
def responses(model: nn.Module, data: Splits, S: int | None = None) -> dict:
    """Of a `DrVAE` on test cells whose x_2 and y are all known: the AUC and log-loss of p(y|x_1), the
    bound on log p(x_1, x_2, y), nats, and the squared error of the predicted x_2 in units of that of
    "nothing happens", the reconstruction of x_1.

    Args:
        S: states of each cell over which p(y|x_1) is averaged, 100.
    """
    check_whole(none=True, S=S)
    x, y = data.test.tensor(), data.test.y
    x1, x2 = x.chunk(2, -1)
    with own_randomness(device_of(model), seed=0):
        p = model.response(x1, S or 100)
        bound = model.objective(x, y)[1]["elbo"].mean()
    still = model.expression(model.state(x1).mean).mean
    errors = [((x2 - guess) ** 2).mean() for guess in (model.after(x1), still)]
    return {
        "auc": round(auc(p[y == 1, 1], p[y == 0, 1]), 4),
        "log_loss": round(-p.gather(-1, y[:, None]).log().mean().item(), 4),
        "test_elbo": round(bound.item(), 3),
        "change_error": round((errors[0] / errors[1]).item(), 4),
        "n": len(y),
    }


def sharpness(x: Tensor) -> float:
    """Squared differences of neighbouring pixels of 28x28 images (N, 784), summed over an image,
    averaged over images.
    """
    if (x := check_batch(x)).shape[1] != 784:
        raise ValueError(f"expected images of 784 pixels, got shape {tuple(x.shape)}")
    x = x.unflatten(-1, (28, 28))
    across, down = x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1]
    return ((across**2).sum((1, 2)) + (down**2).sum((1, 2))).mean().item()


INVERSE_PENALTIES = (1, 3, 10, 30, 100, 300)  # C of the reader: the larger, the weaker the penalty


def linear_reading(
    codes: Tensor, labels: Tensor, test_codes: Tensor, test_labels: Tensor, folds: int = 5
) -> Tensor:
    """Which test codes a linear classifier, that of `class_probabilities`, names rightly: (N_test,),
    true or false.

    Args:
        codes, test_codes: (N, d) and (N_test, d).
        labels, test_labels: (N,) and (N_test,), whole numbers.
        folds: of the cross-validation.

    Raises:
        ValueError: as `class_probabilities`, and for test labels that do not match the test codes.
    """
    check_codes(test_codes, test_labels, codes.shape[-1])
    p = class_probabilities(codes, labels, test_codes, folds)
    return labels.unique().cpu()[p.argmax(-1)] == test_labels.cpu()


def class_probabilities(
    codes: Tensor,
    labels: Tensor,
    test_codes: Tensor,
    folds: int = 5,
    inverse_penalties: tuple[float, ...] = INVERSE_PENALTIES,
) -> Tensor:
    """The probabilities that a linear classifier gives the classes of test codes: (N_test, C), in
    the order of the labels' values, float64.

    A multinomial logistic regression with a squared penalty on its weights, its strength chosen by
    the log-probability of held-out labels, in a cross-validation over the labelled codes alone. All
    units are divided by one number, the root of the mean squared distance to the mean: so the
    penalty means the same for pixels, principal components and codes, and a unit that the encoder
    does not use stays as small as it is.

    Args:
        codes, test_codes: (N, d) and (N_test, d).
        labels: (N,), whole numbers.
        folds: of the cross-validation.
        inverse_penalties: to choose from, rising.

    Raises:
        ValueError: labels that do not match the codes, fewer labelled codes than folds, labelled
            codes of one class only, and codes that are all the same or not finite.
    """
    check_codes(codes, labels, codes.shape[-1])
    check_codes(test_codes, test_codes, codes.shape[-1])
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    if len(codes) < folds or len(labels.unique()) < 2:
        raise ValueError(
            f"expected at least {folds} labelled codes of at least 2 classes, got {len(codes)} of"
            f" {len(labels.unique())}"
        )
    mean = codes.mean(0)
    scale = (codes - mean).square().sum(-1).mean().sqrt()
    if not (0 < scale < float("inf") and test_codes.isfinite().all()):
        raise ValueError("expected finite codes that differ from one another")
    x, x_test = (
        torch.nn.functional.pad((each - mean) / scale, (0, 1), value=1.0).double().cpu().numpy()
        for each in (codes, test_codes)
    )
    classes, y = np.unique(labels.cpu().numpy(), return_inverse=True)
    held_out_log_p = np.zeros(len(inverse_penalties))
    order = np.random.default_rng(0).permutation(len(x))
    with threadpool_limits(1):  # two threads for such small products wait for each other
        for held_out in np.array_split(order, folds):
            kept, W = np.setdiff1d(order, held_out), np.zeros((x.shape[1], len(classes)))
            for i, C in enumerate(inverse_penalties):  # each goes on from the one before
                W = _logistic_regression(x[kept], y[kept], C, W)
                log_p = _log_softmax(x[held_out] @ W)
                held_out_log_p[i] += log_p[np.arange(len(held_out)), y[held_out]].sum()
        C = inverse_penalties[held_out_log_p.argmax()]
        W = _logistic_regression(x, y, C, np.zeros_like(W))
        return torch.from_numpy(np.exp(_log_softmax(x_test @ W)))


def check_codes(codes: Tensor, labels: Tensor, dim: int) -> None:
    """A ValueError unless there are as many labels as codes, which have `dim` dimensions."""
    if codes.shape != (len(labels), dim):
        raise ValueError(
            "expected codes (N, d) with N labels and test codes with as many dimensions, got"
            f" {tuple(codes.shape)} and {len(labels)} labels"
        )


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    scores = scores - scores.max(1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(1, keepdims=True))


def _logistic_regression(x: np.ndarray, y: np.ndarray, C: float, start: np.ndarray) -> np.ndarray:
    """The weights (d + 1, K) that maximise C sum log p(y|x) - |W|^2 / 2; of x the last column is 1,
    and its weights are free. As scikit-learn's, whose import would take 100 MB.
    """
    from scipy.optimize import minimize

    rows, free = np.arange(len(x)), np.ones((x.shape[1], 1))
    free[-1] = 0

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        W = flat.reshape(start.shape)
        log_p, penalty = _log_softmax(x @ W), free * W / C
        value = 0.5 * (penalty * W).sum() - log_p[rows, y].sum()
        p = np.exp(log_p)
        p[rows, y] -= 1
        return value / len(x), ((x.T @ p + penalty) / len(x)).ravel()

    settings = {"maxiter": 1000, "gtol": 1e-3}
    found = minimize(cost, start.ravel(), jac=True, method="L-BFGS-B", options=settings)
    return found.x.reshape(start.shape)


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
