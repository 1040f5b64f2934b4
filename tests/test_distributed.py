"""Data-parallel training: two processes on the CPU against one at the same global batch, with
oracles that must also notice broken code.

The processes are started once. Each runs all checks and mutants, in step with the other.
"""

import contextlib
import io
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
import torch
from oracles import close, mutant
from torch import nn

from dgmcourse import distributed, loop, optim, play, train
from dgmcourse.data.images import Data
from dgmcourse.models.gan import ImageGAN
from dgmcourse.models.vae import VAE

quiet = {"progress": False, "batch_size": 10}


class Curve(nn.Module):
    """-|y - f(x)|^2 of a small network f: nothing is drawn."""

    def __init__(self, seed=1):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))

    def objective(self, x, beta=1.0):
        error = (x[:, 2] - self.net(x[:, :2]).squeeze(-1)) ** 2
        size = self.net[0].weight.square().sum().expand_as(error)
        return -error - beta * 0.01 * size, {"error": error, "size": size}


class Several:
    """Examples of several tensors, and `beside` each batch the same: nothing is drawn."""

    def __init__(self, *examples, beside=()):
        self.examples, self.beside = examples, beside

    def __len__(self):
        return len(self.examples[0])

    def batches(self, size, shuffle):
        order = torch.randperm(len(self)) if shuffle else torch.arange(len(self))
        return ((*(x[rows] for x in self.examples), *self.beside) for rows in order.split(size))

    def to(self, device):
        return self  # all is on the CPU


def pictures(n=31, seed=5):
    return torch.rand(n, 9, generator=torch.Generator().manual_seed(seed)).round()


def tiny_vae(seed=1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VAE(2, 8, data_dim=9)


def reparameterised(model):
    """The VAE's objective at given noise."""

    def objective(x, noise, beta):
        q = model.encoder(x)
        z = q.mean + noise * q.log_var.mul(0.5).exp()
        reconstruction = model.decoder(z).log_prob(x)
        kl = q.log_prob(z) - model.prior.log_prob(z)
        return reconstruction - beta * kl, {"reconstruction": reconstruction, "kl": kl}

    return objective


def trainings(train):
    """Trainings without a draw of their own: (model, history)."""
    x = torch.randn(57, 3, generator=torch.Generator().manual_seed(2))
    more = {"anneal": 2, "warm_up": 2, "clip": 0.5, "lr": 0.03, "seed": 4}
    for n in (37, 31, 20):  # the last batch of 7, of 1 and of 10
        model = Curve()
        yield model, train.fit(model, x[:n], x[n:], epochs=4, **more, **quiet)
    model = tiny_vae()
    noise = torch.randn(31, 2, generator=torch.Generator().manual_seed(3))
    data = Several(pictures().to(noise), noise)  # the noise that the codes are made of
    objective = reparameterised(model)
    yield model, train.fit(model, data, data, epochs=3, objective=objective, lr=0.01, **quiet)
    model, data = Curve(), Several(x[:20], beside=(x[20:24], 0.3))  # as M2 is given labelled ones

    def of_both(x, others, weight, beta):
        value, parts = model.objective(x, beta)
        return value + weight * model.objective(others, beta)[0].mean(), parts

    yield model, train.fit(model, data, epochs=3, objective=of_both, lr=0.03, **quiet)


def numbers(history):
    rows = [*history.epochs, *history.steps]
    return torch.tensor([v for row in rows for k, v in row.items() if k != "seconds"])


# --- what each of the two processes checks ---------------------------------------------------------


def check_equals_one_process(train):
    for (model, history), (expected, its) in zip(trainings(train), ALONE, strict=True):
        for p, q in zip(model.parameters(), expected.parameters(), strict=True):
            close(p, q)
        close(numbers(history), numbers(its))
        assert (history.stopped, history.best_epoch) == (its.stopped, its.best_epoch)


def check_shares(train):
    """Each example is visited once an epoch, by one process; the order is that of one process; what
    the objective draws is not the same in both.
    """
    seen, drawn = [], []

    def objective(x, beta):
        if model.training:
            seen.append(x[:, 0])
            drawn.append(torch.rand(()))
            torch.rand(len(x))  # as many as there are rows, so that the processes get out of step
        return model.objective(x, beta)

    model, x = Curve(), torch.arange(37.0).expand(3, -1).T.double()
    train.fit(model, x, epochs=2, objective=objective, **quiet)
    ours = [None, None]
    torch.distributed.all_gather_object(ours, (seen, drawn))
    (first, drawn), (second, drawn_too) = ours
    visited = torch.cat([torch.cat(pair) for pair in zip(first, second, strict=True)])
    with loop.own_randomness(torch.device("cpu"), 0):
        expected = torch.cat([torch.randperm(37), torch.randperm(37)])
    close(visited, expected.double())
    assert [len(rows) for rows in first] == [5, 5, 5, 4] * 2
    assert len({x.item() for x in drawn + drawn_too}) == 16, "the same numbers again"


def check_resume(train):
    """Stopped by a signal to one of the two, within an epoch; both end, and go on to the numbers of
    an unbroken training.
    """
    data = Data(torch.randint(0, 256, (37, 9)).to(torch.uint8), binarise="dynamic")
    settings = {"epochs": 5, "lr": 0.01, **quiet}
    unbroken = tiny_vae()
    expected = train.fit(unbroken, data, data, **settings)
    calls = []

    def objective(x, beta):
        calls.append(x)
        if len(calls) == 13 and torch.distributed.get_rank() == 1:  # 5 an epoch
            signal.raise_signal(signal.SIGINT)
        return broken.objective(x, beta)

    state, broken, went_on = Path(FOLDER, "state.pt"), tiny_vae(), tiny_vae(9)
    history = train.fit(broken, data, data, checkpoint=state, objective=objective, **settings)
    assert (history.stopped, len(history.epochs), len(calls)) == ("interrupted", 2, 13)
    assert not broken.training and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    torch.distributed.barrier()
    history = train.fit(went_on, data, data, checkpoint=state, resume=True, **settings)
    assert all(map(torch.equal, went_on.parameters(), unbroken.parameters()))
    assert torch.equal(numbers(history), numbers(expected)) and history.stopped == "finished"


def check_nan(train):
    """In one process's share alone: both stop at the same step, with the parameters from before."""
    x = torch.randn(20, 3)
    model, before = Curve(), Curve()

    def objective(x, beta):
        value, parts = model.objective(x, beta)
        bad = math.nan if torch.distributed.get_rank() == 1 else 1.0
        return value + (bad - 1) * torch.ones_like(value), parts

    try:
        train.fit(model, x, epochs=1, objective=objective, **quiet)
    except train.TrainingError as error:
        assert "at step 1: the objective is nan" in str(error)
    else:
        raise AssertionError("went on")
    assert all(map(torch.equal, model.parameters(), before.parameters()))


def check_only_the_first_shows(train):
    calls, first = [], torch.distributed.get_rank() == 0
    saved = mock.Mock()
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        mock.patch.object(torch, "save", saved),
        mock.patch("os.replace"),
    ):
        path = Path(FOLDER, f"shown{torch.distributed.get_rank()}.pt")
        live = lambda model, history: calls.append(history)  # noqa: E731
        train.fit(Curve(), torch.randn(20, 3), epochs=2, live=live, checkpoint=path)
    assert bool(out.getvalue()) == bool(calls) == first
    assert saved.call_count == (2 if first else 0)


def check_what_cannot_be_shared(train):
    class Graph:
        def __len__(self):
            return 1

        def batches(self, size, shuffle):
            return [{"nodes": 3}]

        def to(self, device):
            return self

    with pytest.raises(TypeError, match="only tensors can be shared among 2 processes.* a dict"):
        train.fit(Curve(), Graph(), epochs=1, **quiet)
    with pytest.raises(ValueError, match="a game of two players is trained by one process"):
        play.play(ImageGAN(3, 8), torch.rand(20, 784), **quiet)


CHECKS = [
    check_equals_one_process,
    check_shares,
    check_resume,
    check_nan,
    check_only_the_first_shows,
    check_what_cannot_be_shared,
]
MUTANTS = {
    "processes weigh alike": ("(n * size / total)", "(n > 0)", check_equals_one_process),
    "a sum over processes": (
        "(n * size / total)",
        "(n * size**2 / total)",
        check_equals_one_process,
    ),
    "rows that fill up count": (
        "(split(tuple(batch), 0, size), 0)",
        "(split(tuple(batch), 0, size), 1)",
        check_equals_one_process,
    ),
    "parts of the own share": (
        "means = sums[:-2] / total",
        "means = torch.cat([sums[:1] / total, means[1:]])",
        check_equals_one_process,
    ),
    "the same share for all": ("tensor_split(size)[rank]", "tensor_split(size)[0]", check_shares),
    "the same draws for all": ("hash((seed, epoch, rank))", "hash((seed, epoch))", check_shares),
    "the same draws in each epoch": (
        "hash((seed, epoch, rank))",
        "hash((seed, rank))",
        check_shares,
    ),
    "the same draws in each step": ("if epoch == len(history.epochs):", "if False:", check_shares),
    "draws from the batches' stream": (
        "with own_randomness(device):",
        "if True:",
        check_shares,
    ),
    "no new stream in an epoch": (
        "if epoch == len(history.epochs):",
        "if epoch is not None:",
        check_resume,
    ),
    "all show": ("processes()[0] == 0", "True", check_only_the_first_shows),
}


def fault(check, train) -> str:
    torch.manual_seed(0)
    torch.distributed.barrier()
    try:
        check(train)
    except AssertionError as error:
        return f"AssertionError: {error}"
    return ""


def two_processes(rank, folder):
    """All checks and mutants; the faults they find are written to the folder: name -> "" or one."""
    global ALONE, FOLDER
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    ALONE, FOLDER, found = list(trainings(train)), folder, {}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/group",
        rank=rank,
        world_size=2,
        timeout=timedelta(minutes=10),  # the machine may be busy
    )
    for check in CHECKS:
        found[check] = fault(check, train)
    for name, (old, new, check) in MUTANTS.items():
        found[name] = fault(check, mutant(train, old, new, optim, loop, distributed))
    found = {getattr(name, "__name__", name): said for name, said in found.items()}
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found():
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(two_processes, (folder,), nprocs=2)
        yield [torch.load(f"{folder}/{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("name", [check.__name__ for check in CHECKS])
def test_two_processes(found, name):
    assert [of_one[name] for of_one in found] == ["", ""]


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(found, name):
    assert any(of_one[name] for of_one in found)


def test_torchrun_trains_a_recipe_and_goes_on_after_an_interruption(tmp_path):
    """Said and written once. Ctrl-C goes to torchrun, which hands it on."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "dgmcourse", "train", "digit_classifier", "--device=cpu", "--epochs=3"]
    command += [f"--out={tmp_path}"]
    env = os.environ | {"DGMCOURSE_OFFLINE": "1", "DGMCOURSE_CACHE": str(tmp_path)}
    env |= {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    env.pop("DGMCOURSE_DATA", None)
    more = {"cwd": tmp_path, "env": env, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **more) as running:
        state = tmp_path / "runs" / "digit_classifier.pt"
        try:
            while not state.exists() and running.poll() is None:
                time.sleep(0.1)
            running.send_signal(signal.SIGINT)
            _, errors = running.communicate()
        finally:
            running.kill()  # where pytest's time limit ended the test
    assert running.returncode and errors.count("the same command goes on from") == 1, errors
    weight = tmp_path / "digit_classifier.safetensors"
    assert not weight.exists() and len(torch.load(state)["history"]["epochs"]) < 3
    ran = subprocess.run(command, text=True, check=True, **more)
    assert ran.stdout.count("trained and measured") == 1 and weight.exists()
    assert len(torch.load(state)["history"]["epochs"]) == 3
