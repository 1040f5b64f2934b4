"""Studies: many trainings, whose table of results is kept beside the weights. One file a study.

`python -m dgmcourse study gans_on_ring` runs one: settings x seeds, a row for each. Rows are saved
as they are done, and the same command goes on after an interruption. `weights.study(name)` reads
the table. The module of a study has three functions:

- `jobs(rows)`: the list of all (setting, seed) so far as the rows that are there determine it; a
  setting is a dictionary of plain values. A later job may depend on earlier rows.
- `run(setting, seed)`: train and measure, return a dictionary. torch's generator is seeded before.
  The row is the setting, the seed and this.
- `table(rows)`: the study's table, of all rows in the order of the jobs.
"""

import json
import os
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import torch

from dgmcourse import weights
from dgmcourse.settings import check_whole
from dgmcourse.train import History

ONE_AT_A_TIME = threading.Lock()  # the threads of a process share torch's random generator


def all_studies() -> dict[str, str]:
    """Each study's name and what it is about, its module's first line."""
    names = [module.name for module in iter_modules(__path__) if not module.name.startswith("_")]
    return {name: import_module(f"{__name__}.{name}").__doc__.splitlines()[0] for name in names}


def run(name: str, jobs: int = 1, scheduler: str | None = None) -> Path:
    """Run a study, or what is left of it, and write its table beside the weights.

    Args:
        jobs: processes on this machine, each of one thread; 1: here, with torch's own threads.
        scheduler: address of a dask scheduler whose workers run the rows instead.

    Raises:
        ValueError: for jobs < 1, or a scheduler if the package distributed is not installed.
        OSError: if nothing answers at the scheduler's address.
    """
    check_whole(jobs=jobs)
    study, state = import_module(f"{__name__}.{name}"), Path("runs") / f"{name}.json"
    rows = json.loads(state.read_text()) if state.exists() else []
    while missing := [job for job in study.jobs(rows) if row_of(job, rows) is None]:
        for row in rows_done(name, missing, jobs, scheduler):
            rows.append(row)
            save(state, json.dumps(rows))
            shown = [f"{k} {v}" for k, v in row.items() if not isinstance(v, list | tuple)]
            print(f"{name}, row {len(rows)}: {', '.join(shown)}", flush=True)
    ordered = [row_of(job, rows) for job in study.jobs(rows)]
    path = weights.WEIGHTS / f"{name}.json"
    save(path, json.dumps(study.table(ordered), indent=1) + "\n")
    return path


def row_of(job: tuple[dict, int], rows: list[dict]) -> dict | None:
    """The job's row, if it is there."""
    setting, seed = job
    wanted = setting | {"seed": seed}
    return next((row for row in rows if wanted.items() <= row.items()), None)


def rows_done(name: str, todo: list[tuple], jobs: int, scheduler: str | None) -> Iterator[dict]:
    """The rows of these jobs, each as soon as it is done."""
    if scheduler:
        try:
            from distributed import Client, as_completed
        except ImportError:
            raise ValueError(
                "a scheduler needs the package distributed: pip install 'dgmcourse[cluster]'"
            ) from None
        with Client(scheduler) as client:
            todo = [client.submit(one_alone, name, *job, pure=False) for job in todo]
            for future in as_completed(todo):
                row = future.result()
                future.release()  # else it is computed again if the worker that holds it dies
                yield row
    elif jobs > 1:
        from joblib import Parallel, delayed

        parallel = Parallel(jobs, return_as="generator_unordered", batch_size=1)
        yield from parallel(delayed(one_alone)(name, *job) for job in todo)
    else:
        yield from (one(name, *job) for job in todo)


def one(name: str, setting: dict, seed: int) -> dict:
    """Train and measure one row."""
    check_whole(None, seed=seed)
    torch.manual_seed(seed)
    named = setting | {"seed": seed}
    return named | import_module(f"{__name__}.{name}").run(setting, seed) | named


def one_alone(name: str, setting: dict, seed: int) -> dict:
    """`one` with one thread, in a worker process: the same numbers on every number of cores."""
    with ONE_AT_A_TIME:
        torch.set_num_threads(1)
        return one(name, setting, seed)


def finished(history: History) -> History:
    """The history of `fit` or `play`, which return when they are interrupted: that ends the study.

    Raises:
        KeyboardInterrupt: if the training was interrupted.
    """
    if history.stopped == "interrupted":
        raise KeyboardInterrupt("stopped within a row; the same command begins it again")
    return history


def save(path: Path, text: str) -> None:
    """Write beside the file, then rename: an interruption leaves the older file, not half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(text)
    os.replace(beside, path)
