"""Files are whole at every moment: kills, full disks, folders that refuse, two writers at once."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from oracles import survives
from torch import nn

from dgmcourse import files, recipes, studies, weights
from dgmcourse.data import source
from dgmcourse.train import fit

TESTS = Path(__file__).parent


def kills(folder, *arguments):
    env = os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TESTS / "kills.py"), str(folder), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("kind", ["training", "study"])
def test_what_is_killed_again_and_again_comes_to_the_same_numbers(kind, tmp_path):
    ran = kills(tmp_path, kind)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["got"] == said["expected"] is not None
    statuses, steps = zip(*said["kills"], strict=True)
    assert statuses.count(-9) >= 4 and set(statuses) <= {-9, 0}
    assert list(steps) == sorted(steps) and len(set(steps)) >= 2, "nothing was taken up"
    assert said["full disk"] == [1, True], "a status of 1, and the state before it"
    assert "could not be written, since no file may be so large here: free" in ran.stderr


def test_a_file_written_in_place_is_found_damaged_after_a_kill(tmp_path):
    """The fault that the test above is for."""
    ran = kills(tmp_path, "training", "in place")
    assert ran.returncode != 0 and ("zip" in ran.stderr or "EOFError" in ran.stderr), ran.stderr


# ---- one file


def check_older_or_newer(files):
    """Each step of the writing fails in turn: the older file stays whole, and nothing is left
    beside it.
    """
    for step in ("fsync", "replace"):
        for number in (errno.ENOSPC, errno.EROFS, errno.EIO):
            with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
                path = Path(folder, "new", "state.pt")
                files.write_atomically(path, b"older")

                def fail(*_, number=number):
                    raise OSError(number, os.strerror(number))

                patch.setattr(os, step, fail)
                try:
                    files.write_atomically(path, b"newer, and longer")
                except OSError as error:
                    assert "could not be written, since" in str(error), "the system's own words"
                    assert error.__cause__.errno == number
                else:
                    raise AssertionError("no error")
                assert os.listdir(path.parent) == [path.name], "something is left, or lost"
                assert path.read_bytes() == b"older", "another content"
                patch.undo()
                files.write_atomically(path, b"newer")
                assert path.read_bytes() == b"newer"
                assert os.listdir(path.parent) == [path.name]


def test_the_older_or_the_newer_file_is_there():
    check_older_or_newer(files)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('path.with_name(f"{path.name}.{os.getpid()}.part")', "path"),
        ("beside.unlink()\n\n\ndef check", "pass\n\n\ndef check"),
        ("with explained(path):\n        try:", "if True:\n        try:"),
    ],
)
def test_mutant_is_caught(old, new):
    assert not survives(check_older_or_newer, files, old, new)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full: free some space"),
        (errno.EDQUOT, "your quota of the disk is used up: free some space"),
        (errno.EACCES, "is read-only for you: choose another folder"),
        (errno.EROFS, "is read-only for you: choose another folder"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_the_reason_and_what_to_do_are_one_sentence(number, said, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=said) as error:
        files.write_atomically(tmp_path / "state.pt", b"state")
    assert str(tmp_path / "state.pt") in str(error.value) and "\n" not in str(error.value)


def test_what_a_killed_process_left_is_removed_later(tmp_path):
    old, young, other = (tmp_path / f"{name}.part" for name in ("a.pt.1", "a.pt.2", "b.pt.1"))
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, times=(0, time.time() - files.FORGOTTEN - 5))
    files.write_atomically(tmp_path / "a.pt", b"a")
    assert {path.name for path in tmp_path.iterdir()} == {"a.pt", young.name, other.name}


# ---- who uses it


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(2))

    def objective(self, x, beta=1.0):
        return -((x - self.theta) ** 2).sum(-1), {}


def no_training(*_, **__):
    raise AssertionError("it was trained for nothing")


def test_where_the_weight_cannot_be_written_nothing_is_trained(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipes, "fit", no_training)
    with pytest.raises(OSError, match=r"vae_2d.safetensors could not .* not a folder: choose"):
        recipes.train("vae_2d", out=tmp_path / "file")
    monkeypatch.setattr(studies, "one", no_training)
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "file" / "weights")
    with pytest.raises(OSError, match=r"priors.json could not .* not a folder: choose"):
        studies.run("priors")


def test_of_two_that_write_one_name_the_second_says_who_is_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = rf"is being written by process {os.getpid()}: wait until it ends, or start"
    training = {"epochs": 1, "checkpoint": "runs/mean.pt", "progress": False}
    with files.alone("runs/mean.pt"), files.alone("runs/priors.json"):
        with pytest.raises(OSError, match=r"runs.mean\.pt " + said):
            fit(Mean(), torch.rand(5, 2), **training)
        with pytest.raises(OSError, match=r"runs.priors\.json " + said):
            studies.run("priors")
        fit(Mean(), torch.rand(5, 2), **training | {"checkpoint": "runs/other.pt"})
    fit(Mean(), torch.rand(5, 2), **training)
    assert Path("runs/mean.pt").exists()


def test_a_full_disk_costs_the_cache_only(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(source, "_said", set())
    monkeypatch.setattr(os, "fsync", full)
    source._write(tmp_path / "digits", b"digits")
    said = capsys.readouterr().err
    assert f"nothing is kept for the next time: {tmp_path}: No space left" in said
    assert list(tmp_path.iterdir()) == []
