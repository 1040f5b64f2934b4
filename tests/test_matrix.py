"""The matrix of Pythons and packages: its routes, and that one which cannot be run is no pass."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def matrix(monkeypatch, tmp_path):
    """tools/matrix.py; `commands` keeps what it would run, `breaks` is what fails of it."""
    spec = importlib.util.spec_from_file_location("matrix", ROOT / "tools" / "matrix.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.commands, module.breaks = [], "nothing breaks"

    def run(*command):
        line = " ".join(map(str, command))
        module.commands.append(line)
        if " venv " in line:
            Path(command[-1]).mkdir(parents=True)
        return module.breaks not in line

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "PLACE", tmp_path / "environments")
    return module


def test_all_routes_are_run_and_their_environments_removed(matrix, capsys):
    assert matrix.main([]) == 0
    said = capsys.readouterr().out
    assert said.count("passed") == 10 and not matrix.PLACE.exists()
    installed = [line for line in matrix.commands if " pip install " in line and " -r " in line]
    assert len(installed) == 10 and sum("/requirements.txt" in line for line in installed) == 10
    assert sum(f"{ROOT}/requirements.txt" in line for line in installed) == 3  # the pinned ones
    resolved = [line for line in matrix.commands if " pip compile " in line]
    assert [line.count("lowest-direct") for line in resolved] == [1, 0] * 3 + [0]
    tests = [line for line in matrix.commands if "-m pytest" in line]
    assert all("test_contract.py" in line and "test_setup" not in line for line in tests[:-1])
    assert "test_quiz_widget.py" in tests[-1] and "test_contract" not in tests[-1]


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        ("venv --quiet", "no Python 3.12: install it"),
        ("pip compile", "no set of packages fits together"),
        ("-e .", "the packages could not be installed"),
        ("-m pytest", "tests failed"),
    ],
)
def test_a_route_that_cannot_be_run_is_no_pass(breaks, said, matrix, capsys):
    matrix.breaks = breaks
    assert matrix.main(["3.12-oldest"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("3.12-oldest ") and said in last and "passed" not in last


def test_names_of_routes(matrix, monkeypatch, capsys):
    monkeypatch.setattr(matrix.platform, "python_version_tuple", lambda: ("3", "13", "1"))
    assert matrix.route_of("oldest") == ("3.13", "oldest")
    assert matrix.route_of("3.11-newest") == ("3.11", "newest")
    assert matrix.route_of("colab")[1] == "colab"
    for wrong in ("3.10-oldest", "3.11-old", "3.11"):
        with pytest.raises(SystemExit):
            matrix.main([wrong])
        assert f"there is no route '{wrong}'" in capsys.readouterr().err


def test_the_files_it_names_are_there(matrix):
    assert all((ROOT / "tests" / name).exists() for name in matrix.LEFT_OUT)
    for packages, quick in (("oldest", True), ("oldest", False), ("colab", False)):
        assert matrix.tests(packages, quick) and all(
            path.exists() for path in matrix.tests(packages, quick)
        )
