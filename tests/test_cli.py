"""The command line and the doctor: what they say, their exit status, a training taken up again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dgmcourse import doctor, recipes, studies, weights
from dgmcourse.__main__ import main
from dgmcourse.data import images, source

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("DGMCOURSE_OFFLINE", "1")
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DGMCOURSE_DATA", raising=False)
    monkeypatch.setattr(source, "_said", set())
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A recipe that takes a second, in place of the real ones."""
    from dgmcourse.models import VAE

    def data():
        x, y = images.embedded_digits()
        parts = (slice(0, 200), slice(200, 250), slice(250, 300))
        return images.splits(tuple(x[p] for p in parts), tuple(y[p] for p in parts), "dynamic")

    recipe = recipes.Recipe(
        about="a small one",
        model=weights.constructor(VAE, latent_dim=2, hidden=8),
        data=data,
        settings={"epochs": 3, "batch_size": 50, "lr": 1e-3},
    )
    monkeypatch.setattr(recipes, "all_recipes", lambda: {"tiny": recipe})
    monkeypatch.setattr(weights, "WEIGHTS", tmp_path / "weights")
    return recipe


def run(*argv):
    try:
        return main(list(argv))
    except SystemExit as stop:  # argparse's own way out
        return stop.code


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ("trian",),
            (
                "There is no command 'trian'. Did you mean train? There are: doctor, data, train,"
                " evaluate"
            ),
        ),
        (("zzz",), "There is no command 'zzz'. There are: doctor"),
        (
            ("train", "vae_2"),
            "There is no model 'vae_2'. Did you mean vae_2d? There are: vae_2d, vae_40d",
        ),
        (("evaluate", "vae40"), "Did you mean vae_40d?"),
        (
            ("study", "prior"),
            "There is no study 'prior'. Did you mean priors? There are: drug_",
        ),
        (("study", "priors", "--jobs", "0"), "'0' is not a positive whole number"),
        (("train", "vae_2d", "--epochs", "0"), "'0' is not a positive whole number"),
        (("evaluate", "vae_2d", "--samples", "many"), "'many' is not a positive whole number"),
        (("train", "vae_2d", "--device", "tpu"), "'tpu' is none of cpu, cuda, mps"),
        (("doctor", "--loud"), "unrecognized arguments: --loud"),
    ],
)
def test_what_is_not_there_is_named_and_the_right_one_suggested(argv, said, capsys):
    assert run(*argv) == 2
    out = capsys.readouterr()
    assert said in out.err and out.out == ""


def test_help_names_every_command(capsys):
    for argv in (("--help",), ()):
        assert run(*argv) == 0
        said = capsys.readouterr().out
        assert all(
            f"    {verb} " in said for verb in ("doctor", "data", "train", "evaluate", "study")
        )
        assert max(map(len, said.splitlines())) < 100
    assert run("train", "--help") == 0
    assert "the same command goes on where it" in capsys.readouterr().out


def test_train_without_a_name_lists_the_models(capsys):
    assert run("train") == 2
    said = capsys.readouterr().out
    assert all(
        name in said and recipe.about in said for name, recipe in recipes.all_recipes().items()
    )


def test_study_without_a_name_lists_the_studies_and_runs_those_named(monkeypatch, capsys):
    assert run("study") == 2
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in ("priors", "gans_on_mnist")) and "Five" in said
    ran = []
    monkeypatch.setattr(studies, "run", lambda *args: ran.append(args) or "a path")
    assert run("study", "priors", "gans_on_ring", "--jobs", "3") == 0
    assert run("study", "priors", "--scheduler", "tcp://10.0.0.1:8786") == 0
    assert ran == [
        ("priors", 3, None),
        ("gans_on_ring", 3, None),
        ("priors", 1, "tcp://10.0.0.1:8786"),
    ]


def test_train_then_evaluate(tiny, tmp_path, capsys):
    assert run("evaluate", "tiny") == 1
    assert "tiny.safetensors is not there" in capsys.readouterr().err
    assert (
        run("train", "tiny", "--out", str(tmp_path / "weights"), "--epochs", "2", "--device", "cpu")
        == 0
    )
    assert recipes.card("tiny")["epochs_trained"] == 2
    assert "tiny.safetensors" in capsys.readouterr().out
    assert run("evaluate", "tiny", "--samples", "5000", "--device", "cpu") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    nll = next(row for row in rows if row[0] == "test_nll")
    assert float(nll[1]) == pytest.approx(float(nll[2]), abs=0.2) and 100 < float(nll[1]) < 550
    card = recipes.card("tiny")
    assert run("evaluate", "tiny", "--reliability", "--device", "cpu") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows][1:4] == ["unreliable", "ess", "reliability_n"]
    assert all(row[1] == row[2] for row in rows[1:4]) and recipes.card("tiny") == card


def test_an_interrupted_training_goes_on_where_it_stopped(tiny, tmp_path, capsys, monkeypatch):
    from dgmcourse.models import VAE

    calls, objective = [], VAE.objective

    def stopped_once(self, x, beta=1.0):
        calls.append(len(x))
        if len(calls) == 6:  # in the second epoch of four steps
            raise KeyboardInterrupt
        return objective(self, x, beta)

    monkeypatch.setattr(VAE, "objective", stopped_once)
    command = ("train", "tiny", "--out", str(tmp_path / "weights"), "--device", "cpu")
    assert run(*command) == 130
    said = capsys.readouterr().err
    assert "the same command goes on" in said and "Traceback" not in said
    assert run(*command) == 0
    interrupted = recipes.card("tiny")
    assert run(*command, "--fresh") == 0
    unbroken = recipes.card("tiny")
    assert interrupted["hash"] == unbroken["hash"] and unbroken["epochs_trained"] == 3


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ValueError("device 'cuda' is not here"), 1, "is not here"),
        (KeyboardInterrupt("resume so"), 130, "resume so"),
    ],
)
def test_an_error_is_one_sentence_and_a_status(error, status, said, tiny, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(recipes, "train", fail)
    assert run("train", "tiny", "--device", "cpu") == status
    assert capsys.readouterr().err.strip().splitlines() == [str(error)] and said in str(error)


def test_data_says_what_is_here_and_fails_if_it_is_not_all(capsys, monkeypatch):
    assert run("data") == 1
    said = capsys.readouterr().out.splitlines()
    assert (
        "MNIST: not here (DGMCOURSE_OFFLINE is set); the course goes on with a small embedded set"
        in said
    )
    assert (
        "Frey faces: not here; they can't be fetched, and are used where you have put them" in said
    )
    monkeypatch.setattr(
        source, "find", lambda dataset, download: ({"one": b"x" * 2_000_000}, "somewhere")
    )
    assert run("data") == 0
    said = capsys.readouterr().out.splitlines()
    assert "MNIST: complete, 1 files, 2.0 MB, from somewhere" in said and all(
        "complete" in line for line in said
    )


# ---- the doctor


def test_the_course_can_run_here(tmp_path):
    env = os.environ | {"DGMCOURSE_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "dgmcourse", "doctor"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=env,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "The course can run." in ran.stdout
    assert all(f" {name} " in ran.stdout for name in doctor.CHECKS)


def test_the_doctor_finds_what_is_missing(monkeypatch, tiny, capsys):
    findings = doctor.examine()
    assert (
        findings["data"].mark == doctor.WARNING
        and "python -m dgmcourse data" in findings["data"].advice
    )
    assert findings["weights"].mark == doctor.FAILURE and "train tiny" in findings["weights"].advice
    for check in ("Python", "torch", "packages", "device", "kernel"):
        assert findings[check].mark == doctor.OK and not findings[check].advice

    monkeypatch.setattr(
        doctor, "find_spec", lambda name: None if name in ("anywidget", "sklearn") else object()
    )
    monkeypatch.setattr(doctor, "free_memory", lambda: 0.3e9)
    monkeypatch.setitem(doctor.CHECKS, "kernel", lambda: 1 / 0)
    findings = doctor.examine()
    assert findings["packages"] == (
        doctor.FAILURE,
        "missing: scikit-learn",
        "pip install scikit-learn",
    )
    assert findings["widgets"] == (doctor.FAILURE, "missing: anywidget", "pip install anywidget")
    assert findings["memory"].mark == doctor.WARNING and "0.3 GB" in findings["memory"].found
    assert (
        findings["kernel"].mark == doctor.FAILURE
        and "ZeroDivisionError" in findings["kernel"].found
    )


def test_the_doctor_looks_at_versions_and_front_ends(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["numpy", "torch==1.0.0"])
    finding = doctor.check_torchvision()
    assert finding.mark == doctor.WARNING and "is for torch==1.0.0" in finding.found

    import jupyter_core.paths

    monkeypatch.setattr(jupyter_core.paths, "jupyter_path", lambda *_: [str(tmp_path)])
    finding = doctor.check_widgets()
    assert (
        finding.mark == doctor.WARNING
        and "no JupyterLab part of ipywidgets, anywidget" in finding.found
    )
    kernel = tmp_path / "python3" / "kernel.json"
    kernel.parent.mkdir()
    kernel.write_text('{"argv": ["/usr/bin/another-python"]}')
    assert doctor.check_kernel().mark == doctor.WARNING


@pytest.mark.parametrize(
    ("marks", "status", "verdict"),
    [
        (("ok", "ok"), 0, "The course can run."),
        (("ok", "warning"), 0, "The course can run. The warnings"),
        (("failure", "warning"), 1, "The course cannot run yet: 1 to repair"),
    ],
)
def test_the_verdict_follows_the_findings(marks, status, verdict, monkeypatch, capsys):
    checks = {
        f"check {i}": lambda mark=mark: doctor.Finding(mark, "found")
        for i, mark in enumerate(marks)
    }
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert run("doctor") == status
    said = capsys.readouterr().out
    assert (
        verdict in said
        and len({line.index("found") for line in said.splitlines() if "check" in line}) == 1
    )
    assert doctor.doctor() is None
    assert capsys.readouterr().out == said


def test_a_python_without_the_course_is_told_which_has_it():
    """In one line: most type `python` after `make setup`."""
    command = [sys.executable, "-S", "-m", "dgmcourse", "grade", "submissions"]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    ran = subprocess.run(command, env=env, capture_output=True, text=True)
    assert ran.returncode == 1 and ran.stdout == ""
    assert ran.stderr == "This Python has not the course: use .venv/bin/python\n"
