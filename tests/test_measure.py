"""Measures against independent computations."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from oracles import frechet_by_hand
from scipy import stats
from sklearn.linear_model import LogisticRegression

from dgmcourse import measure, weights
from dgmcourse.data.images import Data, Splits, embedded_digits
from dgmcourse.densities import Gaussian, GaussianConditional, StandardGaussian
from dgmcourse.evaluate import highest_k, log_likelihood, log_likelihood_from_prior
from dgmcourse.models import LatentVariableModel
from dgmcourse.models.pixelcnn import PixelCNN, PixelNet


class Prepared(torch.nn.Module):
    """A model of which everything is known: it hands out its samples in order, and reconstructs
    with a known error.
    """

    def __init__(self, x):
        super().__init__()
        self.x, self.given = torch.nn.Parameter(x, requires_grad=False), 0

    def sample(self, n):
        self.given += n
        return self.x[self.given - n : self.given]

    def reconstruct(self, x):
        assert len(x) <= 1000
        return 0.9 * x + 0.02


def wide_digits(n):
    """Grey digits, n training and n test ones: the embedded, turned left and right."""
    x, y = embedded_digits()
    return Splits(Data(x[-n:].flip(1), y[-n:]), Data(x[:1], y[:1]), Data(x[:n], y[:n]))


def test_samples_are_measured_as_by_hand(monkeypatch):
    """All of 1,100 test digits against as many samples and training digits: no chance is left but
    the directions.
    """
    n = 1100
    data = wide_digits(n)
    generator = torch.Generator().manual_seed(1)
    drawn = (data.train.tensor().flip(1) + 0.3 * torch.rand(n, 784, generator=generator)).clamp(
        0, 1
    )
    monkeypatch.setattr(measure, "SAMPLES", 5000)  # more than there are
    torch.manual_seed(9)
    expected = torch.rand(2)
    torch.manual_seed(9)
    found = measure.samples(Prepared(drawn), data)
    assert torch.equal(torch.rand(2), expected) and found["n"] == n
    classifier = weights.load("digit_classifier")
    real = data.test.tensor()
    for prefix, x in (("", drawn), ("real_", data.train.tensor())):
        h, h_real = (classifier.net(points).detach().double().numpy() for points in (x, real))
        assert abs(found[prefix + "frechet"] / frechet_by_hand(h, h_real) - 1) < 1e-3
        counts = [
            np.bincount(classifier.log_prob(points).argmax(-1), minlength=10)
            for points in (x, real)
        ]
        assert (
            abs(found[prefix + "class_distance"] - np.abs(counts[0] - counts[1]).sum() / 2 / n)
            < 1e-4
        )
        axes = np.random.default_rng(1).normal(size=(784, 60))
        axes /= np.linalg.norm(axes, axis=0)
        shadows = zip((x.numpy() @ axes).T, (real.numpy() @ axes).T, strict=True)
        sliced = np.array([stats.wasserstein_distance(a, b) for a, b in shadows])
        assert (
            abs(found[prefix + "sliced_wasserstein"] - sliced.mean())
            < 5 * sliced.std() * (1 / 60 + 1 / 200) ** 0.5
        )
    again = measure.samples(Prepared(drawn), data, S=150)  # fewer: the same ones each time
    assert again == measure.samples(Prepared(drawn), data, S=150) and again["n"] == 150


def test_an_autoencoder_is_measured_as_by_hand():
    """Its samples are the decoder's means: the prior's codes, decoded. What `sample` would give is
    not looked at.
    """

    class Noisy(Prepared):
        @property
        def prior(self):
            return SimpleNamespace(sample=lambda shape: self.x[: shape[0], :700])

        def decoder(self, z):
            return Gaussian(torch.nn.functional.pad(z, (0, 84)), torch.zeros(len(z), 784))

        def sample(self, n):
            raise AssertionError("samples with the noise of every pixel")

    data = wide_digits(1100)
    drawn = data.train.tensor()
    found = measure.autoencoder(Noisy(drawn), data, S=100)
    x = data.test.tensor().double()
    assert (
        abs(found.pop("reconstruction_error") - ((0.02 - 0.1 * x) ** 2).sum(1).mean().item()) < 1e-3
    )
    drawn[:, 700:] = 0
    assert found == measure.samples(Prepared(drawn), data, S=100)


def test_an_accuracy_is_measured_as_by_hand():
    class Guess(Prepared):
        def classify(self, x):
            return (x[:, 0] * 255).round().long()

    y = torch.arange(250) % 10
    x = torch.zeros(250, 4, dtype=torch.uint8)
    x[:, 0] = torch.where(torch.arange(250) < 200, y, (y + 3) % 10)
    found = measure.accuracy(Guess(torch.zeros(1)), Splits(None, None, Data(x, y)))
    assert found == {
        "test_accuracy": 0.8,
        "test_accuracy_se": round((0.8 * 0.2 / 249) ** 0.5, 4),
        "n": 250,
    }


def test_an_exact_likelihood_is_measured_as_by_hand():
    p, x = PixelCNN(PixelNet(width=4, layers=1, first=3, shape=(3, 3))), torch.rand(700, 9).round()
    found = measure.exact(p, Splits(None, None, Data(x)))
    each = torch.stack([p.log_prob(row) for row in x]).detach().numpy()
    assert found["test_nll"] == pytest.approx(-each.mean(), abs=6e-4)
    assert found["test_nll_se"] == pytest.approx(each.std(ddof=1) / 700**0.5, abs=6e-4)
    assert found["n"] == 700


def test_sharpness_counts_edges():
    x = torch.zeros(2, 28, 28)
    x[0, :, 14:] = 1.0  # one edge of 28 pixels
    x[1, 5, 5] = 0.5  # a grey dot: four edges of a quarter
    assert measure.sharpness(x.flatten(1)) == pytest.approx((28 + 4 * 0.25) / 2)


@pytest.mark.parametrize("encoder", [True, False])
def test_a_likelihood_says_which_share_of_it_is_not_to_be_trusted(encoder, capsys):
    """A q(z|x) far too narrow for half of the data, or too few codes of the prior for them."""
    torch.manual_seed(0)
    x = torch.randn(400, 2)
    x[200:] *= 20
    identity = torch.nn.Linear(2, 4)
    identity.weight.data, identity.bias.data = (
        torch.eye(4)[:, :2],
        torch.tensor([0.0, 0.0, -0.5, -0.5]),
    )

    def narrow(x):
        log_var = torch.where(x.abs().amax(1) > 5, -6.0, -0.6)
        return Gaussian(x / 2, log_var[:, None].expand_as(x))

    model = torch.nn.Module()
    model.prior, model.decoder = StandardGaussian(2), GaussianConditional(identity)
    if encoder:
        model.encoder = narrow
        model.log_weight = lambda x: LatentVariableModel(
            model.prior, narrow, model.decoder
        ).log_weight(x)
    found = measure.likelihood(model, Splits(None, None, Data(x)), S=500)
    estimate = log_likelihood if encoder else log_likelihood_from_prior
    with measure.own_randomness(torch.device("cpu"), seed=0):
        if encoder:
            model.log_weight(x)
        log_p, k, ess = estimate(model, x, 500, reliability=True)
    assert found["test_nll"] == pytest.approx(-log_p.mean().item(), abs=6e-4)
    assert (k[:200] < highest_k(500)).float().mean() > 0.85 and (k[250:] > 0.7).float().mean() > 0.5
    for part in (400, 70):
        found = measure.likelihood(model, Splits(None, None, Data(x)), 500, part=part)
        some = x[[i * 400 // part for i in range(part)]]
        with measure.own_randomness(torch.device("cpu"), seed=0):
            log_p, k, ess = estimate(model, some, 500, reliability=True)
        share = (k > highest_k(500)).float().mean().item()
        assert found["unreliable"] == round(share, 4) and 0.2 < share < 0.8
        assert found["ess"] == pytest.approx(ess.mean().item(), abs=0.06)
        assert (found["reliability_n"], found["n"]) == (part, 400)
        again = measure.likelihood(
            model, Splits(None, None, Data(x)), 500, part=part, reliability_only=True
        )
        assert again == {key: found[key] for key in ("unreliable", "ess", "reliability_n")}
    assert measure.likelihood(model, Splits(None, None, Data(x)), 500)["reliability_n"] == 400


@pytest.mark.parametrize("off", [0.0, 0.4])
def test_more_samples_gain_what_the_bound_lacks(off):
    """From one sample, the ELBO, to many: KL[q || p(z|x)], here of two Gaussians `off` apart."""
    torch.manual_seed(0)
    variance = math.exp(-0.5) / (1 + math.exp(-0.5))  # of the posterior
    x, identity = math.sqrt(1 + math.exp(-0.5)) * torch.randn(4000, 1), torch.nn.Linear(1, 2)
    identity.weight.data = torch.tensor([[1.0], [0.0]])
    identity.bias.data = torch.tensor([0.0, -0.5])

    def q(x):
        mean = x / (1 + math.exp(-0.5)) + off
        return Gaussian(mean, torch.full_like(mean, math.log(variance)))

    model = LatentVariableModel(StandardGaussian(1), q, GaussianConditional(identity))
    by_hand = (variance + q(x).mean.square() - 1 - math.log(variance)) / 2
    assert measure.mean_kl(model, x) == pytest.approx(by_hand.mean().item(), abs=6e-4)
    found = measure.gain_of_samples(model, x, 1, 500)
    assert (found["S"], found["n"]) == (500, 4000)
    assert found["nats"] == pytest.approx(off**2 / (2 * variance), abs=0.03 if off else 1e-3)
    deviation = off / variance**0.5 / 4000**0.5  # of log w, and so of the one sample's bound
    assert found["se"] == pytest.approx(deviation, rel=0.1, abs=1e-3)


def clouds(n, seed, d=30, distance=1.0):
    """n points of three classes: standard normal about three corners, in d dimensions."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=generator)
    return torch.randn(n, d, generator=generator) + distance * torch.eye(3, d)[y], y


def percent(a, y, b, y_b):
    return 100 * measure.linear_reading(a, y, b, y_b).double().mean().item()


def test_a_reading_says_which_digits_are_named_rightly():
    """Nearly separable classes: as the classifier that knows the three corners."""
    (a, y), (b, y_b) = clouds(600, 0, d=3, distance=5.0), clouds(2000, 1, d=3, distance=5.0)
    hits = measure.linear_reading(5 * a + 3, y, 5 * b + 3, y_b)  # a change of unit is none
    ideal = b.argmax(1) == y_b
    assert hits.dtype == torch.bool and 0.99 < ideal.double().mean() < 1
    assert (hits == ideal).double().mean() > 0.995
    assert not measure.linear_reading(a, y, b, (y_b + 1) % 3)[ideal].any()


def test_units_that_are_not_used_do_not_harm_a_reading():
    """Each unit scaled by its own standard deviation, they do."""
    (a, y), (b, y_b) = clouds(120, 0, d=3, distance=2.0), clouds(1500, 1, d=3, distance=2.0)
    generator = torch.Generator().manual_seed(2)
    dead, dead_b = (0.01 * torch.randn(len(c), 80, generator=generator) for c in (a, b))
    alone = percent(a, y, b, y_b)
    found = percent(torch.cat([a, dead], 1), y, torch.cat([b, dead_b], 1), y_b)
    blown_up = percent(torch.cat([a, 100 * dead], 1), y, torch.cat([b, 100 * dead_b], 1), y_b)
    assert abs(found - alone) < 1 and blown_up < alone - 5


@pytest.mark.parametrize(
    "n, d, distance, nuisance", [(120, 40, 2.0, 1.0), (80, 5, 3.0, 30.0)], ids=["strong", "weak"]
)
def test_a_reading_is_tuned(n, d, distance, nuisance):
    """Where noise asks for a strong penalty, and where one wide unit that means nothing asks for a
    weak one, a reading comes near the better of the two: each is bad in the other case.
    """
    (a, y), (b, y_b) = clouds(n, 3, d, distance), clouds(3000, 4, d, distance)
    a[:, -1], b[:, -1] = nuisance * a[:, -1], nuisance * b[:, -1]
    scale = (a - a.mean(0)).square().sum(-1).mean().sqrt()
    fixed = [
        100 * LogisticRegression(C=C).fit(a / scale, y).score(b / scale, y_b) for C in (3, 300)
    ]
    assert percent(a, y, b, y_b) > max(fixed) - 3 > min(fixed) + 3


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda a, y, b, y_b: (a, y[1:], b, y_b), r"got \(40, 5\) and 39 labels"),
        (lambda a, y, b, y_b: (a, y, b[:, 1:], y_b), r"got \(50, 4\) and 50 labels"),
        (lambda a, y, b, y_b: (a[:4], y[:4], b, y_b), "got 4 of"),
        (lambda a, y, b, y_b: (a, 0 * y, b, y_b), "at least 2 classes, got 40 of 1"),
        (lambda a, y, b, y_b: (0 * a, y, b, y_b), "differ from one another"),
        (lambda a, y, b, y_b: (a, y, b / 0, y_b), "finite codes"),
        (lambda a, y, b, y_b: (a / 0, y, b, y_b), "finite codes"),
    ],
)
def test_codes_that_cannot_be_read_are_told(change, said):
    with pytest.raises(ValueError, match=said):
        measure.linear_reading(*change(*clouds(40, 0, 5), *clouds(50, 1, 5)))
