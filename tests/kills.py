"""A tiny training and a tiny study, broken again and again, and taken up each time.

`python kills.py FOLDER training` (or study) prints what happened as JSON; test_files.py judges it.
Each attempt is a process of its own, forked where torch is loaded already. It counts its calls,
Python's and those of the system, and kills itself (SIGKILL) at a random one: no clock is asked.
"""

import json
import os
import random
import resource
import signal
import sys
import types
from pathlib import Path

import torch

from dgmcourse import files, recipes, studies, weights
from dgmcourse.data.images import Data, Splits
from dgmcourse.models import VAE
from dgmcourse.train import fit, mean_objective

KILLS = 6
SIZE_LIMIT = 50  # bytes that a file may have, where the disk is full


def tiny_data():
    generator = torch.Generator().manual_seed(2)
    draw = lambda n: (torch.rand(n, 9, generator=generator) < 0.3).float()  # noqa: E731
    return Splits(Data(draw(60)), Data(draw(20)), Data(draw(30)))


def tiny_row(setting, seed):
    model, data = VAE(2, hidden=setting["hidden"], data_dim=9), tiny_data()
    fit(model, data.train, epochs=2, batch_size=20, seed=seed, progress=False)
    return {"elbo": mean_objective(model, data.test)}


def training():
    recipes.train("tiny", device="cpu")


def study():
    studies.run("tiny")


def results(kind):
    """What the files hold that are there, without times; reading them fails if one is damaged."""
    state = Path("runs", "tiny.json" if kind is study else "tiny.pt")
    if kind is study:
        steps = len(json.loads(state.read_text())) if state.exists() else 0
        whole = weights.study("tiny") if (weights.WEIGHTS / "tiny.json").exists() else None
    else:
        loaded = torch.load(state, weights_only=True) if state.exists() else None
        steps = len(loaded["history"]["epochs"]) if loaded else 0
        there = (weights.WEIGHTS / "tiny.safetensors").exists()
        whole = weights.read("tiny")[1] | {"seconds": 0} if there else None
    return {"steps": steps, "whole": whole}


def attempt(kind, kill_at=None, writing=False, full=False) -> int:
    """Run it in a process of its own, and kill that at such a call, of those in which files are
    written, if so wanted. Returns its exit status, negative for a signal.
    """
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    calls = 0

    def count(frame, event, _):
        nonlocal calls
        calls += not writing or frame.f_code.co_filename == files.__file__
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.stdout = open(os.devnull, "w")
    if full:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE_LIMIT, SIZE_LIMIT))
    try:
        sys.setprofile(count)
        kind()
        sys.setprofile(None)
        Path("calls").write_text(str(calls))
    except OSError as error:
        sys.setprofile(None)
        print(error, file=sys.stderr)
        os._exit(1)
    os._exit(0)


def broken(kind) -> dict:
    """Unbroken in one folder; in another killed anywhere, killed while writing, and on a full disk,
    and then brought to its end.
    """
    rng, said, base = random.Random(kind.__name__), [], Path.cwd()

    def fresh(name):
        weights.WEIGHTS = base / name / "weights"
        weights.WEIGHTS.mkdir(parents=True)
        os.chdir(base / name)

    calls = {}
    for writing in (False, True):
        fresh(f"unbroken, writing={writing}")
        assert attempt(kind, writing=writing) == 0
        calls[writing] = int(Path("calls").read_text())
    expected = results(kind)["whole"]
    fresh("broken")
    for i in range(KILLS):
        writing = i % 2 == 1
        status = attempt(kind, 1 + rng.randrange(calls[writing] // 2), writing)
        said.append([status, results(kind)["steps"]])
        if i == KILLS // 2:
            full = attempt(kind, full=True), said[-1][1] == results(kind)["steps"]
    assert attempt(kind) == 0
    return {
        "expected": expected,
        "got": results(kind)["whole"],
        "kills": said,
        "full disk": full,
    }


if __name__ == "__main__":
    folder, kind = sys.argv[1:3]
    os.chdir(folder)
    torch.set_num_threads(1)
    recipes.all_recipes()["tiny"] = recipes.Recipe(
        about="a tiny VAE",
        model=weights.constructor(VAE, latent_dim=2, hidden=8, data_dim=9),
        data=tiny_data,
        settings={"epochs": 8, "batch_size": 20, "lr": 0.01, "warm_up": 2},
        measure=lambda model, data, S: {"test_elbo": mean_objective(model, data.test)},
    )
    tiny = types.ModuleType("dgmcourse.studies.tiny")
    tiny.jobs = lambda rows: [({"hidden": hidden}, seed) for hidden in (3, 4) for seed in range(3)]
    tiny.run, tiny.table = tiny_row, lambda rows: {"rows": rows}
    sys.modules[tiny.__name__] = tiny
    if sys.argv[3:] == ["in place"]:  # the fault that this is for
        for module in (files, weights, studies, sys.modules["dgmcourse.loop"]):
            module.write_atomically = lambda path, content: open(path, "wb").write(content)
    print(json.dumps(broken({"training": training, "study": study}[kind])))
