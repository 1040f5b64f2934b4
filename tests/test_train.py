"""The one training loop: what it promises, and each oracle against loops that break the promise."""

import contextlib
import io
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest
import torch
from oracles import close, survives
from torch import nn

from dgmcourse import loop, optim, train
from dgmcourse.data.images import Data
from dgmcourse.densities import StandardGaussian
from dgmcourse.models import VAE
from dgmcourse.models.classifier import DigitClassifier
from dgmcourse.models.density_network import DensityNetwork
from dgmcourse.models.diffusion import Diffusion, NoiseNet, cosine_schedule
from dgmcourse.models.gan import ImageGAN
from dgmcourse.models.normalizing_flow import Affine, FlowDensity
from dgmcourse.models.pixelcnn import PixelCNN, PixelNet
from dgmcourse.models.vamp_prior import VampVAE
from dgmcourse.models.wasserstein_autoencoder import WassersteinAutoEncoder

DEVICES = (
    ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
)


class Quadratic(nn.Module):
    """- |theta - x|^2, whose mean over x is highest at the mean of x."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([3.0, -2.0]))

    def objective(self, x, beta=1.0):
        value = -((self.theta - x) ** 2).sum(-1)
        return value, {"elbo": value}


class Scripted(nn.Module):
    """Climbs by training, and is judged by a script: one value for each validation, whatever was
    learned.
    """

    def __init__(self, script=(), values=None):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(()))
        self.script, self.values = list(script), values
        self.betas, self.judged_at, self.thetas = [], [], []

    def objective(self, x, beta=1.0):
        if self.training:
            self.betas.append(beta)
            value = self.theta + torch.full(
                (len(x),), float(self.values[len(self.betas) - 1] if self.values else 0)
            )
        else:
            self.judged_at.append(beta)
            self.thetas.append(self.theta.item())
            value = torch.full((len(x),), float(self.script[len(self.judged_at) - 1]) * beta)
        return value, {"elbo": value.detach()}


def digits(n=37, seed=5):
    """Tiny images as bytes, binarised at every visit: the loop's own randomness has work to do."""
    return Data(
        torch.randint(0, 256, (n, 9), generator=torch.Generator().manual_seed(seed)).to(
            torch.uint8
        ),
        binarise="dynamic",
    )


def tiny_vae(seed=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VAE(2, 8, data_dim=9)


def same_parameters(a, b):
    return all(
        torch.equal(p, q)
        for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def finite(model):
    return all(p.isfinite().all() for p in model.parameters())


quiet = {"progress": False, "batch_size": 10}

# --- oracles -------------------------------------------------------------------------------------


def check_one_step(train):
    """theta + lr * gradient of the batch's mean; with clip, a step of at most lr * clip in the same
    direction."""
    x = torch.randn(50, 2) + 1
    for clip in (None, 0.5, 1e6):
        model = Quadratic()
        before, gradient = model.theta.detach().clone(), 2 * (x.mean(0) - model.theta.detach())
        value = train.maximise(
            model.objective(x)[0], torch.optim.SGD(model.parameters(), lr=0.1), clip
        )
        size = gradient.norm()
        close(
            model.theta.detach(),
            before + 0.1 * gradient * (min(1, clip / size) if clip else 1),
            rtol=1e-5,
        )
        close(value, -((before - x) ** 2).sum(-1).mean().item(), rtol=1e-5)


def check_climbs(train):
    x = torch.randn(200, 2) + torch.tensor([1.0, 4.0])
    model = Quadratic()
    history = train.fit(model, x, epochs=200, batch_size=200, lr=0.1, progress=False)
    close(model.theta.detach(), x.mean(0), atol=0.05)
    assert history["elbo"][-1] > history["elbo"][0] + 10


def check_repeatable(train, device="cpu"):
    """The seed alone decides, whatever was drawn before; and what is drawn afterwards does not
    depend on the training.
    """
    models = []
    for outside, seed in ((7, 0), (8, 0), (7, 1)):
        torch.manual_seed(outside)
        expected = torch.rand(3), torch.rand(3, device=device)
        torch.manual_seed(outside)
        models.append(tiny_vae().to(device))
        train.fit(models[-1], digits(), digits(20, 6), epochs=2, seed=seed, device=device, **quiet)
        assert torch.equal(torch.rand(3), expected[0]) and torch.equal(
            torch.rand(3, device=device), expected[1]
        )
    assert same_parameters(models[0], models[1]) and not same_parameters(models[0], models[2])


def check_live_changes_nothing(train):
    def live(model, history):
        calls.append(history)
        torch.manual_seed(3)

    calls, models = [], [tiny_vae(), tiny_vae()]
    train.fit(models[0], digits(), epochs=2, **quiet)
    history = train.fit(models[1], digits(), epochs=2, live=live, **quiet)
    assert len(calls) >= 2 and calls[-1] is history  # at the first step and at the end
    assert same_parameters(*models)


def check_resume(train, device="cpu"):
    """Interrupted in the middle of an epoch, going on gives bit for bit what the unbroken training
    gives.
    """

    def interrupting(x, beta):
        nonlocal left
        left -= broken.training
        if left < 0:
            raise KeyboardInterrupt
        return broken.objective(x, beta)

    # Validation data unlike the training data: the best epoch is an early one, before the
    # interruption.
    settings = quiet | {
        "epochs": 7,
        "warm_up": 2,
        "lr": 0.05,
        "seed": 3,
        "clip": 20.0,
        "device": device,
    }
    pattern = torch.tensor([230, 240, 220, 20, 30, 25, 128, 10, 250], dtype=torch.uint8).repeat(
        37, 1
    )
    data = Data(pattern, binarise="dynamic"), Data(255 - pattern, binarise="dynamic")
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(train, "CURVE_POINTS", 5):
        unbroken, state = tiny_vae(), Path(folder, "runs", "state.pt")
        expected = train.fit(unbroken, *data, **settings)
        assert (
            expected.best_epoch in (2, 3) and len(expected.steps) == 5
        )  # a point every 5 steps of 28

        broken, left = tiny_vae(), 14  # 4 steps an epoch: in the middle of the fourth
        history = train.fit(broken, *data, checkpoint=state, objective=interrupting, **settings)
        assert history.stopped == "interrupted" and len(history.epochs) == 3 and not broken.training
        went_on = tiny_vae(seed=99)
        torch.manual_seed(4)
        history = train.fit(went_on, *data, checkpoint=state, resume=True, **settings)
    assert same_parameters(went_on, unbroken), "other parameters"
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in h.epochs]
        for h in (history, expected)
    ]
    assert rows[0] == rows[1], "another history"
    assert history.steps == expected.steps, "another running curve"
    assert (history.stopped, history.best_epoch) == ("finished", expected.best_epoch)


def check_interruption(train):
    """The Stop button: no error, the history so far, the best parameters, and a model ready
    to use.
    """
    model = Scripted([1.0, 5.0, 3.0, 0.0])

    def stopped_in_the_fourth_epoch(x, beta):
        if len(model.betas) == 14:
            raise KeyboardInterrupt
        return model.objective(x, beta)

    history = train.fit(
        model,
        torch.zeros(40, 1),
        torch.zeros(5, 1),
        epochs=9,
        objective=stopped_in_the_fourth_epoch,
        **quiet,
    )
    assert (history.stopped, len(history.epochs), history.best_epoch) == ("interrupted", 3, 2)
    assert model.theta.item() == model.thetas[1] and not model.training


def check_early_stopping(train):
    """Epochs with beta < 1 look best and must not be kept. Judged at beta = 1: best is the fifth,
    patience ends the seventh.
    """
    model = Scripted([50.0, 40.0, 1.0, 2.0, 3.0, 2.5, 3.0, 9.0, 9.0])
    history = train.fit(
        model, torch.zeros(20, 1), torch.zeros(7, 1), epochs=9, warm_up=3, patience=2, **quiet
    )
    assert history.best_epoch == 5
    assert (history.stopped, len(history.epochs)) == ("no further improvement", 7)
    assert model.theta.item() == model.thetas[4] != model.thetas[6]
    assert set(model.judged_at) == {1.0}
    close(model.betas[::2], [1 / 3, 2 / 3, 1, 1, 1, 1, 1])
    close(history["beta"], model.betas[::2])
    close(history["valid"], model.script[:7])


def check_not_finite(train):
    """The step is named, the parameters are those from before it: for a value, and for a gradient,
    that is not finite.
    """

    def nan_value(x, beta):
        value, parts = model.objective(x, beta)
        return value * (math.nan if len(model.betas) == 7 else 1), parts

    def steep(x, beta):  # sqrt at 0: the value is fine, its slope is not
        value, parts = model.objective(x, beta)
        return (
            value + torch.sqrt(model.theta - model.theta.detach())
            if len(model.betas) == 7
            else value
        ), parts

    for objective, message in (
        (nan_value, "the objective is nan"),
        (steep, "the gradient's norm is inf"),
    ):
        for clip in (None, 1.0):
            model = Scripted()
            try:
                train.fit(
                    model, torch.zeros(40, 1), epochs=3, objective=objective, clip=clip, **quiet
                )
            except train.TrainingError as error:
                text = str(error)
                assert (
                    "epoch 2, at step 7: " + message in text
                    and "learning rate" in text
                    and "\n" not in text
                )
                assert len(error.history.epochs) == 1 and len(error.history.steps) == 6
            else:
                raise AssertionError("went on as if nothing were")
            assert finite(model) and 0 < model.theta.item() < 0.01 and not model.training


def check_averages(train):
    """Rows are averages over examples, not batches; the running curve has a point every window, bar
    or no bar.
    """
    values = [float(i) for i in range(12)]
    model = Scripted(values=values)
    with mock.patch.object(train, "CURVE_POINTS", 4):
        history = train.fit(
            model, torch.zeros(37, 1), epochs=3, lr=0.0, **quiet
        )  # batches of 10, 10, 10 and 7
    weights = torch.tensor([10.0, 10, 10, 7] * 3)
    mean = lambda i, j: ((torch.tensor(values) * weights)[i:j].sum() / weights[i:j].sum()).item()  # noqa: E731
    close(history["elbo"], [mean(0, 4), mean(4, 8), mean(8, 12)], rtol=1e-6)
    assert [row["step"] for row in history.steps] == [3, 6, 9, 12]
    close(
        [row["elbo"] for row in history.steps],
        [mean(0, 3), mean(3, 6), mean(6, 9), mean(9, 12)],
        rtol=1e-6,
    )
    model = Scripted([4.0, 1.0, 1.0]).eval()
    close(train.mean_objective(model, torch.zeros(25, 1), batch_size=10), (40.0 + 10 + 5) / 25)


def check_anneal(train):
    """Where the gradient never changes, each of Adam's steps has the size of the learning rate: it
    falls at the end.
    """
    model, thetas = Scripted(), []

    def watched(x, beta):
        thetas.append(model.theta.item())
        return model.objective(x, beta)

    train.fit(model, torch.zeros(40, 1), epochs=5, anneal=2, lr=0.1, objective=watched, **quiet)
    sizes = torch.tensor([*thetas, model.theta.item()]).double().diff()
    expected = [0.1] * 12 + [0.1 * (1 - i / 8) for i in range(8)]
    close(sizes, expected, rtol=1e-4)


def check_progress(train):
    """The bar shows where it is, the objective's parts and the time left."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        train.fit(tiny_vae(), digits(), epochs=2, batch_size=10)
    last = out.getvalue().strip().split("\r")[-1]
    for text in ("epoch 2/2", "100%", "left, elbo -", "reconstruction -", "kl "):
        assert text in last, last
    assert ", ," not in last
    with contextlib.redirect_stdout(io.StringIO()) as out:
        train.fit(tiny_vae(), digits(), epochs=1, progress=False)
    assert out.getvalue() == ""


@mock.patch.object(loop, "has_bfloat16", lambda device: True)
def check_mixed_precision(train):
    """Products in bfloat16, sums in float32: near to the training in float32, and not it."""
    dtypes = set()

    def watched(x, beta):
        value, parts = model.objective(x, beta)
        dtypes.update({value.dtype, *(p.dtype for p in parts.values())})
        return value, parts

    results = []
    for mixed in (False, True):
        model = tiny_vae()
        history = train.fit(
            model, digits(200), epochs=5, lr=0.01, mixed_precision=mixed, objective=watched, **quiet
        )
        results.append(
            (torch.cat([p.detach().flatten() for p in model.parameters()]), history["elbo"][-1])
        )
    (exact, elbo), (near, near_elbo) = results
    assert dtypes == {torch.float32} and near.dtype == torch.float32
    assert 0 < (near - exact).norm() / exact.norm() < 0.1 and abs(near_elbo - elbo) < 0.1


def check_labels(train):
    """A `labelled` model is given each example's own label, in training and in validation; any
    other is given none.
    """

    class Labelled(Quadratic):
        labelled = True

        def objective(self, x, y, beta=1.0):
            assert torch.equal(x[:, 0], y.float()), "labels of other examples"
            assert self.training or torch.equal(
                x[:, 0], x[:, 0].sort().values
            )  # validation is not shuffled
            seen.append((len(x), beta))
            return super().objective(x, beta)

    y = torch.arange(23)
    data, seen = Data(torch.stack([y.float(), torch.randn(23)], -1), y), []
    history = train.fit(Labelled(), data, data, epochs=2, warm_up=4, progress=False, batch_size=10)
    assert seen == [
        (10, 0.25),
        (10, 0.25),
        (3, 0.25),
        (23, 1.0),
        (10, 0.5),
        (10, 0.5),
        (3, 0.5),
        (23, 1.0),
    ]
    model = Labelled().eval()
    close(
        train.mean_objective(model, data, batch_size=5),
        model.objective(data.x, y)[0].mean().item(),
        rtol=1e-5,
    )
    train.fit(
        Labelled(),
        data,
        epochs=1,
        objective=lambda x, y, beta: Labelled.objective(model.train(), x, y, beta),
        **quiet,
    )
    train.fit(Quadratic(), data, data, epochs=1, **quiet)
    assert len(history.epochs) == 2


CHECKS = [
    check_one_step,
    check_climbs,
    check_repeatable,
    check_live_changes_nothing,
    check_resume,
    check_interruption,
    check_early_stopping,
    check_not_finite,
    check_averages,
    check_anneal,
    check_progress,
    check_mixed_precision,
    check_labels,
]


@pytest.mark.parametrize("check", CHECKS)
def test_oracle(check):
    check(train)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("check", [check_repeatable, check_resume])
def test_oracle_on_every_device_here(check, device):
    check(train, device)


MUTANTS = {
    "descends": ("(-mean).backward()", "mean.backward()", check_one_step, check_climbs),
    "sum over the batch": ("mean = objective.mean()", "mean = objective.sum()", check_one_step),
    "gradients pile up": ("optimiser.zero_grad()", "None", check_climbs),
    "no clip": ("nn.utils.clip_grads_with_norm_(parameters, clip, norm)", "None", check_one_step),
    "clips each number": (
        "nn.utils.clip_grads_with_norm_(parameters, clip, norm)",
        "nn.utils.clip_grad_value_(parameters, clip)",
        check_one_step,
    ),
    "no seed": ("torch.manual_seed(seed)", "None", check_repeatable),
    "the caller's random numbers": (
        "set_random_state(before, device)",
        "None",
        check_repeatable,
        check_live_changes_nothing,
    ),
    "live draws from the training's": (
        "with own_randomness(self.device):",
        "if True:",
        check_live_changes_nothing,
    ),
    "live not at the end": (
        "self.model.eval()\n            self.draw()",
        "self.model.eval()",
        check_live_changes_nothing,
    ),
    "random state not restored": (
        'set_random_state(saved["random"], self.device)',
        "None",
        check_resume,
    ),
    "random state of the start saved": (
        '"random": random_state(self.device)',
        '"random": {"cpu": torch.Generator().manual_seed(3).get_state()}',
        check_resume,
    ),
    "optimiser not restored": (
        "optimiser.load_state_dict(state)",
        "None",
        check_resume,
    ),
    "model not restored": ('self.model.load_state_dict(saved["model"])', "None", check_resume),
    "best not restored": ('saved.get("best")', "None", check_resume),
    "best value not restored": (
        'history["valid"][history.best_epoch - 1] if history.best_epoch else -math.inf',
        "-math.inf",
        check_resume,
    ),
    "running curve not restored": ('= saved["running"]', "= {}, {}", check_resume),
    "counts epochs anew": ("range(len(history.epochs), epochs)", "range(0, epochs)", check_resume),
    "stopped at beta < 1": ("beta == 1 and ", "", check_early_stopping),
    "judged at the epoch's beta": (
        "objective(*batch, 1.0)",
        "objective(*batch, 0.5)",
        check_early_stopping,
    ),
    "lowest is best": (
        'row["valid"] > best',
        'row["valid"] < -best',
        check_early_stopping,
    ),
    "last is kept": (
        "self.model.load_state_dict(self.best)",
        "pass",
        check_early_stopping,
        check_interruption,
    ),
    "best is not a copy": (
        "v.detach().clone()",
        "v.detach()",
        check_early_stopping,
        check_interruption,
    ),
    "patience one longer": (">= patience", "> patience", check_early_stopping),
    "warm-up from 0": ("(epoch + 1) / warm_up", "epoch / warm_up", check_early_stopping),
    "stays in training mode": (
        "self.model.eval()\n            self.draw()",
        "self.draw()",
        check_not_finite,
    ),
    "value not looked at": ("if not math.isfinite(value):", "if False:", check_not_finite),
    "gradient not looked at": ("if not math.isfinite(size):", "if False:", check_not_finite),
    "step of the bar": (
        "diverged at step {self.steps + 1}",
        "diverged at step {self.bar.n + 1}",
        check_not_finite,
    ),
    "annealed by the bar": ("run.steps / steps", "run.bar.n / steps", check_anneal),
    "annealed from the start": (
        "min(1.0, left / anneal)",
        "left / epochs",
        check_anneal,
    ),
    "window of the bar": ("self.steps % self.window", "self.bar.n % self.window", check_averages),
    "mean of batches": ("part.detach().mean() * n", "part.detach().mean() * 10", check_averages),
    "validation: mean of batches": (
        "value.sum().item()",
        "value.mean().item() * 10",
        check_averages,
    ),
    "labels in the stored order": (
        "batches = data.batches(size, shuffle, labels=True) if labelled else",
        "batches = zip(data.batches(size, shuffle), data.y.split(size)) if labelled else",
        check_labels,
    ),
    "validation shuffled": (
        "batches_of(model, data, batch_size, shuffle=False)",
        "batches_of(model, data, batch_size)",
        check_labels,
    ),
    "no time left": ("{remaining} left", "", check_progress),
    "no parts": ("self.bar.set_postfix_str(", "str(", check_progress),
    "two commas": ("left{postfix}", "left, {postfix}", check_progress),
    "never mixed": ("(device, mixed_precision)", "(device, False)", check_mixed_precision),
    "always mixed": ("(device, mixed_precision)", "(device, True)", check_mixed_precision),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    old, new, *checks = MUTANTS[name]
    for check in checks:
        below = [optim, loop]
        assert not survives(check, train, old, new, *below), f"{check.__name__} does not notice"


# --- what a reader does wrong, and small promises ------------------------------------------------


def test_a_finished_training_goes_on_with_more_epochs_and_is_not_repeated(tmp_path):
    settings = quiet | {"warm_up": 1, "checkpoint": tmp_path / "state.pt"}
    model = tiny_vae()
    train.fit(model, digits(), epochs=2, **settings)
    again = tiny_vae(9)
    history = train.fit(again, digits(), epochs=2, resume=True, **settings)
    assert same_parameters(model, again) and len(history.epochs) == 2
    train.fit(again, digits(), epochs=4, resume=True, **settings)
    unbroken = tiny_vae()
    train.fit(unbroken, digits(), epochs=4, **(settings | {"checkpoint": None}))
    assert same_parameters(again, unbroken)


def test_other_settings_than_the_checkpoint_are_refused(tmp_path):
    path = tmp_path / "state.pt"
    train.fit(tiny_vae(), digits(), epochs=1, checkpoint=path, **quiet)
    for other in ({"lr": 0.1}, {"seed": 4}, {"warm_up": 5}, {"clip": 1.0}, {"batch_size": 20}):
        with pytest.raises(ValueError, match=r"state\.pt was written with .*: remove it"):
            train.fit(
                tiny_vae(), digits(), epochs=2, checkpoint=path, resume=True, **(quiet | other)
            )
    with pytest.raises(ValueError, match="was written with"):
        train.fit(tiny_vae(), digits(36), epochs=2, checkpoint=path, resume=True, **quiet)
    # Not resumed: started anew.
    train.fit(tiny_vae(), digits(36), epochs=1, checkpoint=path, **quiet)
    state = torch.load(path)
    state["optimiser"] = state.pop("optimisers")[0]
    torch.save(state, path)
    with pytest.raises(ValueError, match="was written by an earlier version: remove it"):
        train.fit(tiny_vae(), digits(36), epochs=2, checkpoint=path, resume=True, **quiet)


def other_data():
    """As many examples as `digits()`, and as their validation data, that differ in one way each."""
    x, y = digits().x, torch.arange(37)
    bits = (x > 127).to(torch.uint8)
    yield "other digits", digits(seed=6), digits(seed=7)
    yield "grey", Data(x), digits(seed=7)
    yield "static", Data(x, binarise="static", bits=bits), digits(seed=7)
    yield "floats", x.double() / 255, digits(seed=7)
    yield "in another order", digits()[torch.arange(37).flip(0)], digits(seed=7)
    yield "labels", Data(x, y, "dynamic"), digits(seed=7)
    yield "other validation data", digits(), digits(seed=8)
    yield "no validation data", digits(), None


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, *data in other_data()])
def test_other_data_than_the_checkpoints_are_refused(tmp_path, data):
    settings = quiet | {"checkpoint": tmp_path / "state.pt", "resume": True}
    train.fit(tiny_vae(), digits(), digits(seed=7), epochs=1, **settings)
    model = tiny_vae()
    with pytest.raises(ValueError, match=r"state\.pt was written .*other data: .*37 x 9") as error:
        train.fit(model, *data, epochs=2, **settings)
    assert "\n" not in str(error.value) and same_parameters(model, tiny_vae())
    history = train.fit(model, digits(), digits(seed=7), epochs=2, **settings)
    assert len(history.epochs) == 2


def test_a_checkpoint_that_does_not_know_its_data_goes_on(tmp_path):
    """One of an earlier version, and one of data that offer no fingerprint."""
    settings = quiet | {"checkpoint": tmp_path / "state.pt", "resume": True}
    train.fit(tiny_vae(), digits(), epochs=1, **settings)
    state = torch.load(tmp_path / "state.pt")
    del state["data"], state["class"]
    torch.save(state, tmp_path / "state.pt")
    model, unbroken = tiny_vae(), tiny_vae()
    assert len(train.fit(model, digits(), epochs=2, **settings).epochs) == 2
    train.fit(unbroken, digits(), epochs=2, **quiet)
    assert same_parameters(model, unbroken)
    settings["checkpoint"] = tmp_path / "toy.pt"
    for epochs in (1, 2):
        data = Toy([torch.zeros(3, 2)], 3)
        assert len(train.fit(Quadratic(), data, epochs=epochs, **settings).epochs) == epochs


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: VAE(3, 8, data_dim=9), r"its encoder\.net\.4\.weight is \(4, 8\), this one's \(6, 8\)"),
        (lambda: type("Mine", (VAE,), {})(2, 8, data_dim=9), "its class is VAE, this one's Mine"),
        (lambda: VampVAE(2, 8, data_dim=9, components=2), "its class is VAE, this one's VampVAE"),
    ],
)  # fmt: skip
def test_another_model_than_the_checkpoints_is_refused(tmp_path, other, said):
    settings = quiet | {"checkpoint": tmp_path / "state.pt", "resume": True}
    train.fit(tiny_vae(), digits(), epochs=1, **settings)
    model = other()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(
        ValueError, match=rf"state\.pt was .*another model: {said}\. Remove"
    ) as error:
        train.fit(model, digits(), epochs=2, **settings)
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def spoiled(path, how):
    """The checkpoint damaged, or another file in its place."""
    whole = path.read_bytes()
    if isinstance(how, float):
        path.write_bytes(whole[: int(how * len(whole))])
    elif isinstance(how, bytes):
        path.write_bytes(how)
    else:
        torch.save(how, path)


@pytest.mark.parametrize(
    "how",
    [0.0, 0.01, 0.5, 0.999, b"{}", b"PK\x03\x04", {"theta": torch.ones(2)}, torch.ones(3), [1, 2]],
    ids=str,
)
def test_a_damaged_or_foreign_checkpoint_is_one_sentence(tmp_path, how):
    settings = quiet | {"checkpoint": tmp_path / "state.pt", "resume": True}
    train.fit(tiny_vae(), digits(), epochs=1, **settings)
    spoiled(tmp_path / "state.pt", how)
    model = tiny_vae()
    with pytest.raises(
        ValueError, match=r"state\.pt is no checkpoint.*damaged.*remove it"
    ) as error:
        train.fit(model, digits(), epochs=2, **settings)
    assert "\n" not in str(error.value) and same_parameters(model, tiny_vae())


def test_what_has_no_parameter_that_learns_is_one_sentence():
    frozen = Quadratic().requires_grad_(False)
    for model in (frozen, nn.Identity()):
        with pytest.raises(ValueError, match="has no parameter that learns"):
            train.fit(model, torch.zeros(5, 2), epochs=1, objective=Quadratic().objective)
    constant = lambda x, beta: (torch.zeros(len(x)), {})  # noqa: E731
    with pytest.raises(ValueError, match="the objective depends on no parameter"):
        train.fit(Quadratic(), torch.zeros(5, 2), epochs=1, objective=constant, progress=False)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_named(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(
        ValueError, match=f"^device '{device}' is not available on this machine, only cpu$"
    ):
        train.fit(tiny_vae(), digits(), epochs=1, device=device)
    with pytest.raises(ValueError, match=f"^device '{device}' is not available"):
        digits().to(device)
    assert train.best_device() == torch.device("cpu")


@pytest.mark.parametrize(
    "data, settings, message",
    [
        ([torch.zeros(0, 9)], {}, "training data are empty"),
        ([torch.zeros(5, 9), torch.zeros(0, 9)], {}, "validation data are empty"),
        ([torch.zeros(5, 9)], {"patience": 3}, "patience needs validation data"),
        ([torch.zeros(5, 8)], {}, r"vectors of 9 numbers on the last axis, got shape \(5, 8\)"),
        ([torch.rand(5, 9)], {}, "binary pixels"),
        ([torch.full((5, 9), math.nan)], {}, "binary pixels"),
        ([torch.full((5, 9), 200, dtype=torch.uint8)], {}, "binary pixels .* from 0.784 to 0.784"),
        (
            [torch.zeros(5, 9)],
            {"objective": lambda x, beta: (tiny_vae().elbo(x).mean(), {})},
            r"each of the 5 examples.*not \(\)",
        ),
        (
            [torch.zeros(5, 9)],
            {"objective": lambda x, beta: tiny_vae().elbo(x)},
            "returns two things",
        ),
    ],
    ids=[
        "empty",
        "empty valid",
        "patience",
        "shape",
        "grey",
        "NaN",
        "bytes",
        "mean",
        "no parts",
    ],
)
def test_what_cannot_be_trained_is_one_sentence(data, settings, message):
    model = tiny_vae()
    before = tiny_vae()
    with pytest.raises(ValueError, match=message) as error:
        train.fit(model, *data, **({"epochs": 1, "progress": False} | settings))
    assert "\n" not in str(error.value) and same_parameters(model, before)


def test_data_in_double_precision_train_a_single_precision_model_alike():
    x = (torch.rand(20, 9) > 0.5).float()
    models = []
    for data in (x, x.double()):
        models.append(tiny_vae())
        torch.manual_seed(1)
        train.fit(models[-1], data, epochs=2, **quiet)
    for a, b, start in zip(*(m.parameters() for m in (*models, tiny_vae())), strict=True):
        assert a.dtype == b.dtype == torch.float32 and not torch.equal(b, start)
        assert torch.allclose(a, b, atol=0.02)  # noise in double precision is other noise


def test_nan_in_grey_data_stops_a_gaussian_vae_with_its_step():
    x = torch.rand(40, 9)
    x[25, 3] = math.nan
    model = VAE(2, 8, "gaussian", data_dim=9)
    with pytest.raises(train.TrainingError, match="at step .*NaN in the data"):
        train.fit(model, x, epochs=1, **quiet)
    assert finite(model)


def test_warm_up_that_never_ends_keeps_the_last_parameters():
    model = Scripted([9.0, 1.0])
    history = train.fit(model, torch.zeros(20, 1), torch.zeros(5, 1), epochs=2, warm_up=4, **quiet)
    assert history.best_epoch is None and model.theta.item() == model.thetas[-1]
    close(model.betas[::2], [0.25, 0.5])


def test_adam_is_torchs_and_leaves_the_compiler_out():
    """The same parameters to the last bit, its state saved and restored half-way; torch.compile is
    not imported.
    """
    code = """
import sys, torch
from dgmcourse.train import Adam
ends = []
for adam in (Adam, torch.optim.Adam):
    torch.manual_seed(0)
    w, x = torch.randn(5, requires_grad=True), torch.randn(20, 5)
    optimiser = adam([w], lr=0.1, fused=True)
    for step in range(20):
        if step == 10:
            saved, optimiser = optimiser.state_dict(), adam([w], lr=0.1, fused=True)
            optimiser.load_state_dict(saved)
        optimiser.zero_grad()
        (x @ w).exp().mean().backward()
        optimiser.step()
    ends.append(w.detach())
    if adam is Adam:
        assert "torch._dynamo" not in sys.modules
assert torch.equal(*ends)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- data other than rows of numbers -------------------------------------------------------------


class Toy:
    """Batches as they are given, for every pass the same; `n` examples in all."""

    def __init__(self, batches, n):
        self.given, self.n, self.device = batches, n, None

    def __len__(self):
        return self.n

    def batches(self, size, shuffle):
        assert self.device == torch.device("cpu"), "the data were not sent to the model's device"
        return iter(self.given)

    def to(self, device):
        there = Toy(self.given, self.n)
        there.device = device
        return there


def test_a_batch_may_be_a_labelled_and_an_unlabelled_part():
    """Each contributes its own examples: the mean is over all of them, and so is the history's."""
    x = torch.randn(30, 2) + 3
    pairs = [(x[:4], x[4:10]), (x[10:11], x[11:17]), (x[17:20], x[20:21])]  # of 10, 7 and 4

    class Both(Quadratic):
        def objective(self, labelled, unlabelled, beta=1.0):
            seen.append((len(labelled), len(unlabelled)))
            return super().objective(torch.cat([labelled, unlabelled]), beta)

    model, seen, data = Both(), [], Toy(pairs, 21)
    history = train.fit(model, data, data, epochs=2, lr=0.0, **quiet)
    mean = Quadratic().objective(x[:21])[0].mean().item()
    assert seen == [(4, 6), (1, 6), (3, 1)] * 4
    close(history["elbo"] + history["valid"], [mean] * 4, rtol=1e-5)
    train.fit(model, Toy(pairs[:1], 10), epochs=300, lr=0.1, **quiet)
    close(model.theta.detach(), x[:10].mean(0), atol=0.01)


def test_a_batch_may_be_padded_sequences_and_their_lengths(tmp_path):
    """One value for each sequence; interrupted and resumed as with any other data."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([3, 1, 4, 2, 4])
    tokens = torch.randint(0, 5, (5, 4), generator=generator)
    tokens[torch.arange(4) >= lengths[:, None]] = -100  # padding: an index that would fail

    class Unigram(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Parameter(torch.zeros(5))

        def objective(self, tokens, lengths, beta=1.0):
            there = torch.arange(tokens.shape[1]) < lengths[:, None]
            log_p = self.logits.log_softmax(0)[tokens.where(there, 0)]
            value = (log_p * there).sum(1)
            return value, {"log_p": value}

    data = Toy([(tokens[:3], lengths[:3]), (tokens[3:], lengths[3:])], 5)
    settings = {"batch_size": 3, "lr": 0.05, "progress": False}
    model = Unigram()
    train.fit(model, Toy([(tokens, lengths)], 5), epochs=400, **(settings | {"batch_size": 5}))
    shares = torch.bincount(tokens[tokens >= 0], minlength=5) / lengths.sum()
    close(model.logits.detach().softmax(0), shares, atol=0.01)  # of each token among all
    ends = [Unigram(), Unigram()]
    train.fit(ends[0], data, epochs=4, **settings)
    for epochs in (2, 4):
        state = tmp_path / "state.pt"
        train.fit(ends[1], data, epochs=epochs, checkpoint=state, resume=True, **settings)
    assert same_parameters(*ends)


def test_a_batch_may_be_one_graph():
    """It is handed on as it is, and has a value for each node."""

    class Graph:
        nodes, edges = torch.arange(4.0)[:, None], torch.tensor([[0, 1], [1, 2], [2, 3]])

    class Smooth(nn.Module):
        def __init__(self):
            super().__init__()
            self.level = nn.Parameter(torch.zeros(()))

        def objective(self, graph, beta=1.0):
            value = -((graph.nodes - self.level) ** 2).squeeze(-1)
            return value, {"fit": value, "edges": torch.full((4,), float(len(graph.edges)))}

    data, model = Toy([Graph()], 1), Smooth()
    history = train.fit(model, data, data, epochs=200, lr=0.1, progress=False)
    close(model.level.detach(), 1.5, atol=0.01)
    close(history["fit"][-1], -1.25, atol=0.01)  # the variance of 0, 1, 2, 3
    assert history["edges"] == [3.0] * 200
    close(history["valid"][-1], -1.25, atol=0.01)


def test_more_batches_than_the_data_say_do_not_turn_the_learning_rate_round():
    model, thetas = Scripted(), []

    def watched(x, beta):
        thetas.append(model.theta.item())
        return model.objective(x, beta)

    data = Toy([torch.zeros(2, 1)] * 5, 4)  # two batches would be right
    train.fit(model, data, epochs=1, anneal=1, batch_size=2, objective=watched, progress=False)
    assert thetas == sorted(thetas) and thetas[2] > thetas[1] and thetas[4] == thetas[2]


@pytest.mark.parametrize("shape", [(), (3, 1), (0,)])
def test_values_of_another_shape_are_refused_for_any_data(shape):
    data = Toy([(torch.zeros(3, 2),)], 3)
    objective = lambda x, beta: (torch.zeros(shape), {})  # noqa: E731
    with pytest.raises(ValueError, match="one value for each of its examples") as raised:
        train.fit(Quadratic(), data, epochs=1, objective=objective, progress=False)
    assert str(shape) in str(raised.value) and "\n" not in str(raised.value)


# --- models --------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [None, lambda self, x, beta: 1 / 0])
def test_a_game_is_no_model_of_one_objective(objective):
    """It says so and names `play`, even if it has an objective, too."""
    game = ImageGAN(2, 4)
    if objective:
        game = type("Playing", (ImageGAN,), {"objective": objective})(2, 4)
    before = [p.clone() for p in game.parameters()]
    for call in (lambda: train.fit(game, torch.rand(5, 784), epochs=1), lambda: mean_of(game)):
        with pytest.raises(
            TypeError, match=r"is a game of two players.*play\(game, data\)"
        ) as error:
            call()
        assert "\n" not in str(error.value)
    assert all(map(torch.equal, before, game.parameters()))
    with pytest.raises(TypeError, match="Linear has no objective to maximise: give one"):
        train.fit(nn.Linear(2, 2), torch.zeros(5, 2), epochs=1)


def mean_of(model):
    return train.mean_objective(model, torch.rand(5, 784))


MODELS = {
    "VAE": lambda: VAE(2, 8),
    "density network": lambda: DensityNetwork(2, 8, samples=5),
    "PixelCNN": lambda: PixelCNN(PixelNet(2, 1)),
    "flow": lambda: FlowDensity(StandardGaussian(784), Affine(784)),
    "diffusion": lambda: Diffusion(NoiseNet(784, (8,)), 784, cosine_schedule(4)),
    "classifier": DigitClassifier,
    "Wasserstein auto-encoder": lambda: WassersteinAutoEncoder(2, channels=2, hidden=4),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_names_its_parts(name):
    """The history has the label of each part, and no checkpoint loses it."""
    model = MODELS[name]()
    data = Data(torch.rand(8, 784).round(), torch.arange(8))
    history = train.fit(model, data, epochs=1, progress=False)
    parts = set(history.steps[0]) - {"step"}
    assert parts and parts <= set(history.labels) and history.labels == type(model).parts


def test_the_mean_over_no_data_is_one_sentence():
    with pytest.raises(ValueError, match="the data are empty"):
        train.mean_objective(VAE(2, 8), torch.zeros(0, 784))


@pytest.mark.parametrize(
    ("device", "processor", "has"),
    [
        ("cpu", {"avx2": True, "avx512_bf16": False}, False),
        ("cpu", {"avx512_bf16": True}, True),
        ("cpu", {"amx_bf16": True}, True),
        ("cpu", {"architecture": "aarch64", "bf16": True}, True),
        ("cuda", {"avx2": True}, True),
    ],
)
def test_products_in_bfloat16_are_not_emulated(device, processor, has, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert loop.has_bfloat16(torch.device(device)) == has
    if device == "cpu":
        found = [train.products_in(tiny_vae(), mixed) for mixed in (False, True)]
        assert found == ["float32", "bfloat16" if has else "float32"]
    if not has:
        trained = [tiny_vae(), tiny_vae()]
        for model, mixed in zip(trained, (False, True), strict=True):
            train.fit(model, digits(100), epochs=1, mixed_precision=mixed, **quiet)
        pairs = zip(*(model.parameters() for model in trained), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
