"""Badges and the Colab cell: written from one address, twice the same, and never naming torch."""

import importlib.util
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCE = """\
# %% [markdown]
# # A title
# What you will be able to do.

# %% tags=["setup"]
import torch

# %% [markdown]
# The end.
"""


def load(root: Path):
    spec = importlib.util.spec_from_file_location("badges", root / "notebooks/badges.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def course(tmp_path):
    """A course of one notebook, whose README and pyproject.toml have no address yet."""
    (tmp_path / "notebooks/source").mkdir(parents=True)
    (tmp_path / "notebooks/source/07_vae.py").write_text(SOURCE)
    shutil.copy(ROOT / "notebooks/badges.py", tmp_path / "notebooks")
    badges = load(tmp_path)
    citation = badges.with_code((ROOT / "CITATION.cff").read_text(), "")
    (tmp_path / "CITATION.cff").write_text(citation)
    (tmp_path / "README.md").write_text(badges.with_badges((ROOT / "README.md").read_text(), ""))
    pyproject = (ROOT / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(
        badges.with_address(pyproject, "").replace('[project.urls]\nRepository = ""\n\n', "")
    )
    return tmp_path


def state(course: Path) -> dict[str, str]:
    return {
        str(p.relative_to(course)): p.read_text()
        for p in course.rglob("*.*")
        if p.suffix in (".md", ".toml", ".py", ".cff")
    }


def cells(course: Path):
    return jupytext.read(course / "notebooks/source/07_vae.py", fmt="py:percent").cells


def test_without_an_address_there_are_no_badges(course):
    load(course).main([])
    assert "mybinder" not in (course / "README.md").read_text()
    assert "repository-code" not in (course / "CITATION.cff").read_text()
    title, colab, *rest = cells(course)
    assert title.source == "# A title\nWhat you will be able to do."
    assert colab.metadata["tags"] == ["colab"] and 'REPOSITORY = ""' in colab.source
    assert [cell.source for cell in rest] == ["import torch", "The end."]


@pytest.mark.parametrize(
    "address", ["https://github.com/a/b", "https://github.com/a/b.git/", "git@github.com:a/b.git"]
)
def test_one_address_is_written_everywhere_and_once(course, address):
    badges = load(course)
    badges.main([address])
    first = state(course)
    assert tomllib.loads(first["pyproject.toml"])["project"]["urls"] == {
        "Repository": "https://github.com/a/b"
    }
    assert "/gh/a/b/main?urlpath=lab/tree/notebooks/00_welcome.ipynb" in first["README.md"]
    assert yaml.safe_load(first["CITATION.cff"])["repository-code"] == "https://github.com/a/b"
    title, colab, *rest = cells(course)
    assert "github/a/b/blob/main/notebooks/07_vae.ipynb" in title.source
    assert title.source.startswith("# A title\n\n[![")
    assert title.source.endswith(")\n\nWhat you will be able to do.")
    assert (
        title.source.count("[![") == 2 and 'REPOSITORY = "https://github.com/a/b"' in colab.source
    )
    assert [cell.source for cell in rest] == ["import torch", "The end."]
    badges.main([address])
    badges.main([])
    assert state(course) == first


def test_another_address_replaces_the_first(course):
    badges = load(course)
    badges.main(["https://gitlab.com/x/y"])
    fresh = state(course)
    assert "/gl/x%2Fy/main" in fresh["README.md"] and "colab.research" not in fresh["README.md"]
    badges.main(["https://github.com/a/b"])
    badges.main(["https://gitlab.com/x/y"])
    assert state(course) == fresh


@pytest.mark.parametrize(
    "wrong", ["github.com/a/b", "https://github.com/a", "https://github.com/a/b'); x", "--hlep"]
)
def test_what_is_no_address_is_refused(course, wrong):
    before = state(course)
    with pytest.raises(SystemExit, match="https://host/owner/repository"):
        load(course).main([wrong])
    assert state(course) == before


def test_every_source_carries_the_cell_and_the_badges_of_the_address_we_have():
    badges = load(ROOT)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    address = project.get("urls", {}).get("Repository", "")
    readme = (ROOT / "README.md").read_text()
    assert "<!-- badges -->" in readme and badges.with_badges(readme, address) == readme
    citation = (ROOT / "CITATION.cff").read_text()
    assert badges.with_code(citation, address) == citation
    sources = sorted((ROOT / "notebooks/source").glob("[0-9][0-9]*_*.py"))
    assert sources
    for source in sources:
        text = source.read_text()
        assert badges.with_cell(text, address, source.stem + ".ipynb") == text, (
            f"{source.name}: run `make badges`"
        )


# In Colab, where google.colab is loaded, torch is there already, and pip is the interpreter's.
COLAB = """\
import importlib.util, subprocess, sys, types
here = set(sys.argv[2].split())
colab = types.ModuleType("google.colab")
colab.output = types.SimpleNamespace(enable_custom_widget_manager=lambda: print("widgets"))
sys.modules |= {"google": types.ModuleType("google"), "google.colab": colab}
importlib.util.find_spec = lambda name: name if name in here else None
subprocess.check_call = lambda command: print(*command[1:])
exec(sys.argv[1])
"""


def in_colab(cell: str, here: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", COLAB, cell, here], capture_output=True, text=True)


def cell(address: str) -> str:
    return load(ROOT).COLAB_CELL.replace("ADDRESS", address)


def test_in_colab_only_the_course_and_what_it_lacks_are_installed():
    done = in_colab(cell("https://github.com/a/b"), "torch torchvision mlxtend safetensors")
    assert done.stdout.splitlines() == [
        "-m pip install -q anywidget",
        "-m pip install -q --no-deps dgmcourse @ git+https://github.com/a/b",
        "widgets",
    ], done.stderr
    assert "torch" not in done.stdout
    again = in_colab(
        cell("https://github.com/a/b"), "torch torchvision mlxtend safetensors anywidget dgmcourse"
    )
    assert again.stdout.splitlines() == ["widgets"]


def test_in_colab_without_an_address_it_says_what_is_missing():
    done = in_colab(cell(""), "torch")
    assert "Where does the course live?" in done.stderr and done.stdout == ""


def test_anywhere_else_the_cell_does_nothing():
    code = (
        "import subprocess\ndef refuse(*a, **k): raise AssertionError(a)\nsubprocess.Popen ="
        " refuse\n" + cell("")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
