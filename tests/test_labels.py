"""Label sets, the passes of semi-supervised data, and M1's codes."""

import pytest
import torch
from oracles import assert_mean, close, oracle_tests

from dgmcourse.data import labels
from dgmcourse.data.images import Data
from dgmcourse.data.labels import Codes, SemiSupervised, balanced, codes
from dgmcourse.densities import GaussianConditional
from dgmcourse.models import VAE
from dgmcourse.models.semi_supervised_vae import M2
from dgmcourse.train import fit, mean_objective

pytestmark = pytest.mark.usefixtures("float64")
Y = torch.randint(3, (200,), generator=torch.Generator().manual_seed(0))


def check_balanced(labels):
    """As many of each class, each example once, any of them, and the same for the same seed."""
    chosen = labels.balanced(Y, 30, seed=1)
    assert Y[chosen].bincount().tolist() == [10, 10, 10] and len(chosen.unique()) == 30
    assert torch.equal(chosen, labels.balanced(Y, 30, seed=1))
    assert not torch.equal(chosen.sort().values, labels.balanced(Y, 30, seed=2).sort().values)
    every = torch.cat([labels.balanced(Y, 30, seed) for seed in range(60)])
    assert len(every.unique()) == 200
    before = torch.get_rng_state()
    labels.balanced(Y, 3)
    assert torch.equal(before, torch.get_rng_state())
    gaps = torch.tensor([7, 7, 2, 2, 2, -1])
    assert gaps[labels.balanced(gaps, 3)].sort().values.tolist() == [-1, 2, 7]


def numbered(n, first=0):
    """Examples whose x says which they are."""
    return (first + torch.arange(n, dtype=torch.float64))[:, None]


def check_passes(labels):
    """Each x once; labelled ones in turn, each as often as the others, in new orders; the share."""
    data = labels.SemiSupervised(
        Data(numbered(23)), Data(numbered(6, 100), torch.arange(6) % 3), size=2
    )
    assert len(data) == 23
    batches = list(data.batches(4))
    assert [len(x) for x, *_ in batches] == [4, 4, 4, 4, 4, 3]
    seen = torch.cat([x for x, *_ in batches])[:, 0]
    assert not torch.equal(seen, numbered(23)[:, 0])
    close(seen.sort().values, numbered(23)[:, 0])
    labelled = torch.cat([x for _, x, *_ in batches])[:, 0]
    for turn in labelled.split(6):
        close(turn.sort().values, numbered(6, 100)[:, 0])
    assert not torch.equal(labelled[:6], labelled[6:])
    close(torch.cat([y for _, _, y, _ in batches]), (labelled - 100).long() % 3)
    assert all(share == 6 / 23 for *_, share in batches)
    in_order = list(data.batches(23, shuffle=False))
    close(in_order[0][0], numbered(23))
    close(in_order[0][1], numbered(2, 100))
    few = labels.SemiSupervised(Data(numbered(5)), Data(numbered(3), torch.arange(3)), size=100)
    assert [len(x) for _, x, *_ in few.batches(2)] == [3, 3, 3]


def check_codes(labels):
    """Drawn anew at every visit, with the mean and standard deviation of q(z|x)."""
    mean, std = torch.randn(3, 2), torch.rand(3, 2) + 0.1
    data = labels.Codes(torch.cat([mean, std], -1), torch.arange(3))
    draws = torch.stack([data.tensor() for _ in range(4000)])
    assert_mean(draws, mean)
    assert_mean((draws - mean) ** 2, std**2)
    assert_mean((draws - mean)[1:] * (draws - mean)[:-1], torch.zeros(3, 2))
    for x, y in data.batches(2, labels=True):
        assert x.shape == (len(y), 2)
    some = data[torch.tensor([2, 0])]
    assert type(some) is labels.Codes and some.y.tolist() == [2, 0]
    close(some.x, data.x[[2, 0]])
    assert type(data.to("cpu")) is labels.Codes
    assert data[1].tensor().shape == (1, 2) and data[:0].tensor().shape == (0, 2)


def check_codes_of_a_model(labels):
    """Means and standard deviations of the encoder, in the order of the examples, with labels."""
    encoder = GaussianConditional(torch.nn.Linear(4, 6))
    model = VAE(3, 5, data_dim=4)
    model.encoder = encoder
    x, y = torch.randn(2100, 4), torch.arange(2100)
    found = labels.codes(model, Data(x, y))
    mean, log_var = encoder.net(x).detach().chunk(2, -1)
    close(found.x, torch.cat([mean, (log_var.clamp(-6, 2) / 2).exp()], -1))
    assert torch.equal(found.y, y) and not found.x.requires_grad
    assert labels.codes(model, Data(x[:1])).y is None
    close(labels.codes(model, x[:5]).x, found.x[:5])


MUTANTS = {
    check_balanced: """
        (y[order] == c).nonzero() => (y == c).nonzero()
        [:each] => [: each + (c == classes[0])]
        .manual_seed(seed) => .manual_seed(0)
        torch.randperm(len(y), generator=random) => torch.randperm(len(y))
    """,
    check_passes: """
        len(self.labelled) / len(self.data) => len(self.data) / len(self.labelled)
        len(self.labelled) / len(self.data) => 1.0
        yield from self.labelled.batches(self.size, shuffle, labels=True) => \
            yield next(self.labelled.batches(self.size, shuffle, labels=True))
        self.labelled.batches(self.size, shuffle => self.labelled.batches(self.size, False
        self.labelled.batches(self.size, shuffle => self.labelled.batches(self.size, True
        self.data.batches(size, shuffle) => self.data.batches(size, False)
    """,
    check_codes: """
        torch.addcmul(mean, std, torch.randn_like(std)) => mean
        torch.addcmul(mean, std, => torch.addcmul(mean, std**2,
        return Codes(f(self.x), => return Data(f(self.x),
        f(self.y)) => self.y[: len(f(self.x))])
    """,
    check_codes_of_a_model: """
        torch.exp(0.5 * q.log_var) => torch.exp(q.log_var)
        [q.mean, torch => [-q.mean, torch
        1000, shuffle=False => 1000
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((labels, MUTANTS))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: balanced(Y, 31), "expected a multiple of the 3 classes, got n=31"),
        (lambda: balanced(Y, 0), "n: expected a positive whole number"),
        (lambda: balanced(Y, 198), "198 labels are 66 of each class, and one has"),
        (lambda: balanced(Y.double(), 3), "expected labels, whole numbers .* got torch.float64"),
        (lambda: balanced(Y[:, None], 3), r"whole numbers of shape \(N,\), got .* \(200, 1\)"),
        (lambda: balanced(Y[:0], 3), "expected labels"),
        (lambda: balanced(None, 3), "expected labels, .* got NoneType"),
        (lambda: semi(labelled=Data(numbered(3))), "expected examples and labelled examples"),
        (lambda: semi(labelled=numbered(3)), "expected examples and labelled examples"),
        (
            lambda: semi(labelled=Data(numbered(0), Y[:0])),
            "expected examples and labelled examples",
        ),
        (lambda: semi(labelled=Data(torch.zeros(3, 9), Y[:3])), r"like the others, .* got \(9,\)"),
        (lambda: semi(size=0), "size: expected a positive whole number"),
        (lambda: codes(VAE(2, 3, data_dim=4), numbered(0)), "expected at least one example"),
    ],
)
def test_what_does_not_fit_is_said_in_words(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()


def semi(data=None, labelled=None, size=2):
    labelled = Data(numbered(3), Y[:3]) if labelled is None else labelled
    return SemiSupervised(Data(numbered(4)) if data is None else data, labelled, size)


def test_a_fingerprint_tells_other_labels_and_other_batches():
    one = semi().fingerprint()
    assert one == semi().to("cpu").fingerprint()
    others = (
        semi(labelled=Data(numbered(3), Y[1:4] + 1)),
        semi(labelled=Data(numbered(3, 1), Y[:3])),
        semi(data=Data(numbered(4, 1))),
        semi(size=3),
    )
    assert len({one, *(other.fingerprint() for other in others)}) == 5


def small():
    x = (torch.rand(70, 6, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    y = x[:, 0].long()
    return SemiSupervised(Data(x), Data(x[:9], y[:9]), 4), Data(x[:20])


def test_an_interrupted_training_goes_on_to_the_same_numbers(tmp_path):
    data, valid = small()
    path, settings = tmp_path / "checkpoint.pt", {"batch_size": 16, "lr": 1e-2, "progress": False}
    settings |= {"warm_up": 2}
    results = []
    for epochs in ((3,), (1, 3)):
        torch.manual_seed(0)
        model = M2(2, 5, 2, data_dim=6)
        for n in epochs:
            history = fit(
                model, data, valid, epochs=n, checkpoint=path, resume=n > epochs[0], **settings
            )
        results.append((model.state_dict(), history["elbo"], history["valid"]))
        if len(epochs) == 1:
            path.unlink()
    for name, value in results[0][0].items():
        assert torch.equal(value, results[1][0][name])
    assert results[0][1:] == results[1][1:]
    assert {"labelled", "log q(y|x)", "elbo"} <= history.epochs[0].keys()
    others = SemiSupervised(data.data, Data(data.labelled.x, 1 - data.labelled.y), 4)
    with pytest.raises(ValueError, match="while training on other data"):
        fit(model, others, valid, epochs=4, checkpoint=path, resume=True, **settings)


def test_labels_are_learnt_from_few():
    """Class and style are independent here, and a few labels name the classes."""
    data, valid = small()
    torch.manual_seed(0)
    model = M2(2, 8, 2, data_dim=6, alpha=1.0)
    before = mean_objective(model, valid)
    fit(model, data, epochs=25, batch_size=10, lr=3e-2, progress=False)
    right = model.classify(data.data.x) == data.data.x[:, 0].long()
    assert right.double().mean() > 0.9 and mean_objective(model, valid) > before


def test_m1s_codes_train_m2():
    """Draws of codes reach an objective as a `Data`, with labels and without."""
    x = torch.randn(40, 4)
    found = codes(VAE(2, 5, "gaussian", data_dim=4), Data(x, torch.arange(40) % 2))
    model = M2(2, 5, 2, "gaussian", 2)
    data = SemiSupervised(found, found[:6], 6)
    history = fit(model, data, found, epochs=2, batch_size=8, progress=False)
    assert len(history.epochs) == 2 and isinstance(found, Codes)
