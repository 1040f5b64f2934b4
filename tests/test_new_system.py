"""A new system is a model, a recipe, a study and a check: files beside the others, nothing else is touched.

They are added to a copy of the package, which then trains, measures, loads and studies the system:
in one process, in several, and on a cluster of which a worker dies.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dgmcourse"
FILES = {
    "models/coins.py": '''
        """Independent coins, one for each pixel: p(x) = prod_d p_d^x_d (1 - p_d)^(1 - x_d)."""

        import torch
        from torch import nn

        from dgmcourse.densities import Bernoulli, Density


        class Coins(Density, nn.Module):
            def __init__(self, dim):
                super().__init__()
                self.logits = nn.Parameter(torch.randn(dim))

            def log_prob(self, x):
                return Bernoulli(self.logits).log_prob(x)

            def sample(self, shape=()):
                return Bernoulli(self.logits).sample(shape)

            def objective(self, x, beta=1.0):
                return self.log_prob(x), {"log_p": self.log_prob(x)}
        ''',
    "recipes/coins.py": '''
        """Coins of four pixels."""

        import torch

        from dgmcourse import measure
        from dgmcourse.data.images import Data, Splits
        from dgmcourse.models.coins import Coins
        from dgmcourse.recipes import Recipe
        from dgmcourse.weights import constructor


        def pixels():
            x = (torch.arange(100)[:, None] < torch.tensor([90, 60, 20, 50])).float()
            return Splits(Data(x), Data(x), Data(x))


        four_coins = Recipe(
            about="coins of four pixels",
            model=constructor(Coins, dim=4),
            data=pixels,
            settings={"epochs": 200, "batch_size": 100, "lr": 0.1, "anneal": 100},
            measure=measure.exact,
        )
        ''',
    "studies/rates_of_coins.py": '''
        """At which learning rate coins are learned."""

        import contextlib
        import os
        import signal
        from pathlib import Path

        from dgmcourse.models.coins import Coins
        from dgmcourse.recipes.coins import pixels
        from dgmcourse.train import fit

        RATES, SEEDS = (0.01, 0.1, 0.3), range(4)


        def jobs(rows):
            """Two rates; then a third, if the larger one was the better one."""
            jobs = [({"lr": lr}, seed) for seed in SEEDS for lr in RATES[:2]]
            if len(rows) < len(jobs):
                return jobs
            small, large = (sum(r["log_p"] for r in rows if r["lr"] == lr) for lr in RATES[:2])
            return jobs + [({"lr": RATES[2]}, seed) for seed in SEEDS if large > small]


        def run(setting, seed):
            with Path("begun").open("a") as file:
                print(os.getpid(), file=file)
            model, x = Coins(dim=4), pixels().train
            history = fit(model, x, epochs=10, batch_size=20, progress=False, seed=seed, **setting)
            if len(Path("begun").read_text().split()) > 4:
                with contextlib.suppress(FileNotFoundError):
                    Path("one process is to die").unlink()
                    os.kill(os.getpid(), signal.SIGKILL)
            return {"log_p": history["log_p"][-1], "logits": model.logits.tolist()}


        def table(rows):
            return {"about": __doc__, "rows": rows}
        ''',
    "check/coins.py": '''
        """Check of the coins' notebook: the log-probability of pixels."""

        import torch

        from dgmcourse.check._exercise import Exercise
        from dgmcourse.check._judge import Function, randn

        (LOGITS,) = randn(0, (5, 3))
        PIXELS = (randn(1, (5, 3))[0] > 0).double()


        def of_shares(x, logits):
            p = logits.sigmoid()
            return torch.where(x == 1, p, 1 - p).prod(-1).log()


        log_prob = Exercise(
            name="log_prob",
            solution=lambda x, logits: (x * logits + torch.nn.functional.logsigmoid(-logits)).sum(-1),
            judge=Function(
                "log_prob",
                truth=of_shares,
                rows="x logits",
                learn=("logits",),
                cases=[(PIXELS, LOGITS)],
                slips=[
                    "you exchanged heads and tails",
                    lambda x, logits: of_shares(1 - x, logits),
                ],
            ),
            hints=["One factor for each pixel.", "Their logarithms are added: .sum(-1)."],
        )
        ''',
}
JUDGED = """
from torch.nn.functional import logsigmoid
from dgmcourse.check.coins import log_prob
right = lambda x, l: logsigmoid((2 * x - 1) * l).sum(-1)
for answer in (right, lambda x, l: right(1 - x, l), lambda x, l: right(x, l) / 3, lambda x, l: None):
    print(log_prob.verdict(answer)[0])
"""
ON_A_CLUSTER = """
from distributed import LocalCluster
from dgmcourse import studies

if __name__ == "__main__":
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
    ) as cluster:
        studies.run("rates_of_coins", scheduler=cluster.scheduler_address)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a copy of the package, without weights, and the new system's files in it."""
    place = tmp_path_factory.mktemp("new")
    ignored = shutil.ignore_patterns("*.safetensors", "*.json", "__pycache__")
    shutil.copytree(PACKAGE, place / "dgmcourse", ignore=ignored)
    (place / "dgmcourse/weights").mkdir(exist_ok=True)
    for name, text in FILES.items():
        (place / "dgmcourse" / name).write_text("\n".join(line[8:] for line in text.splitlines()))
    return place


def python(place, *argv, succeeds=True):
    env = os.environ | {"PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *argv], cwd=place, env=env, capture_output=True, text=True
    )
    assert (done.returncode == 0) == succeeds, done.stdout + done.stderr
    return done.stdout


def test_a_new_model_is_trained_measured_and_loaded(place):
    python(place, "-m", "dgmcourse", "train", "four_coins", "--device", "cpu")
    said = python(place, "-m", "dgmcourse", "evaluate", "four_coins", "--device", "cpu")
    now, recorded = next(line.split()[1:] for line in said.splitlines() if "test_nll " in line)
    entropy = 0.3251 + 0.6730 + 0.5004 + 0.6931  # of the shares below
    assert now == recorded and float(now) == pytest.approx(entropy, abs=0.001)
    code = "from dgmcourse import load; print(load('four_coins').logits.sigmoid().tolist())"
    shares = json.loads(python(place, "-c", code))
    assert shares == pytest.approx([0.9, 0.6, 0.2, 0.5], abs=0.005)


def test_its_check_judges(place):
    right, slip, general, blank = python(place, "-c", JUDGED).strip().split("\n")
    assert right.startswith("Right: ") and "you exchanged heads and tails" in slip
    assert "a mean where a sum belongs" in general and blank.startswith("Not done yet")


@pytest.fixture(scope="module")
def in_one_process(place):
    """The study's table, made row by row in one process of one thread."""
    python(place, "-m", "dgmcourse.studies", "rates_of_coins")
    return table_of(place)


@pytest.fixture
def anew(place, in_one_process):
    """Nothing is there but the order that one process die in the middle of a row."""
    for file in ("runs/rates_of_coins.json", "begun", "dgmcourse/weights/rates_of_coins.json"):
        (place / file).unlink(missing_ok=True)
    (place / "one process is to die").touch()


def table_of(place):
    return (place / "dgmcourse/weights/rates_of_coins.json").read_bytes()


def rows_of(place):
    rows = json.loads((place / "runs/rates_of_coins.json").read_text())
    assert len(rows) == len({(row["lr"], row["seed"]) for row in rows}), "a row is there twice"
    return rows


def test_a_new_study_is_run_in_one_process(in_one_process):
    rows = json.loads(in_one_process)["rows"]
    assert [(row["seed"], row["lr"]) for row in rows] == [
        *((seed, lr) for seed in range(4) for lr in (0.01, 0.1)),
        *((seed, 0.3) for seed in range(4)),
    ]
    assert len({row["log_p"] for row in rows}) == 12


def test_several_processes_make_the_same_table_bit_for_bit(place, in_one_process, anew):
    """Killed in the middle of a row, what is done is kept; the same command does the rest."""
    command = "-m", "dgmcourse", "study", "rates_of_coins", "--jobs", "2"
    python(place, *command, succeeds=False)
    assert 0 < len(rows_of(place)) < 12
    python(place, *command)
    assert len(rows_of(place)) == 12 and table_of(place) == in_one_process


def test_a_cluster_that_loses_a_worker_makes_the_same_table_bit_for_bit(
    place, in_one_process, anew
):
    """Another worker makes the row that the killed one had begun: none is lost, none is there
    twice.
    """
    (place / "on_a_cluster.py").write_text(ON_A_CLUSTER)
    python(place, "on_a_cluster.py")
    assert not (place / "one process is to die").exists()
    assert len((place / "begun").read_text().split()) > 12
    assert len(rows_of(place)) == 12 and table_of(place) == in_one_process
