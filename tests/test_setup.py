"""The set-up: what it runs, when it does nothing, how it mends itself, and the files that must
agree.

tools/setup.sh runs here against a Python and a uv that only write down what they are asked, in a
folder whose name has a space. That the real ones do as told is seen by every `make test` in a fresh
clone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = ("3.11", "3.12", "3.13")
SETUP_FILES = ["Makefile", "tools", "pyproject.toml", "requirements.txt", "requirements-uv.txt"]

# Answers questions (-c) as a Python $VERSION without the module $LACKS; makes environments of
# stand-ins.
PYTHON = f"""#!/bin/sh
case "$1 $2" in
"-c "*"$LACKS"*) exit 1 ;;
"-c "*sys.version\\)*) echo "$VERSION" ;;
"-c "*) exec {sys.executable} "$@" ;;
"-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$STANDINS/uv" "$3/bin/uv"; echo "venv" >>"$LOG" ;;
*) echo "python $*" >>"$LOG"; exec "$STANDINS/fault" "$@" ;;
esac
"""
UV = """#!/bin/sh
echo "uv $*" >>"$LOG"
exec "$STANDINS/fault" "$@"
"""
# A call whose arguments have $BREAKS in them fails, the first $TIMES times, and says $SAYS.
FAULT = """#!/bin/sh
case "$*" in
*"$BREAKS"*)
    echo x >>"$LOG.failed"
    [ "$(awk 'END { print NR }' "$LOG.failed")" -gt "$TIMES" ] || { echo "$SAYS" >&2; exit 2; } ;;
esac
"""
TOOLS = "sh cat cksum sed awk rm mkdir cp dirname env".split()


class Course:
    """A copy of the files that the set-up needs, and stand-ins for what it calls."""

    def __init__(self, folder: Path):
        self.root, self.bin, self.log = folder / "my course", folder / "bin", folder / "log"
        self.root.mkdir()
        self.bin.mkdir()
        for name in SETUP_FILES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.root / name)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.stand_in("uv", UV)
        self.stand_in("fault", FAULT)

    def stand_in(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def setup(
        self,
        VERSION="3.12.1",
        LACKS="nothing-lacks",
        BREAKS="nothing-breaks",
        TIMES="9",
        SAYS="error",
        **asked,
    ):
        """Run the set-up with only these tools on the PATH: (exit status, what it said, what it
        called).
        """
        self.log.write_text("")
        self.log.with_name("log.failed").unlink(missing_ok=True)
        env = {"PATH": str(self.bin), "LOG": str(self.log), "STANDINS": str(self.bin)}
        env |= {"VERSION": VERSION, "LACKS": LACKS, "BREAKS": BREAKS, "TIMES": TIMES} | asked
        env["SAYS"] = SAYS
        done = subprocess.run(
            ["sh", "tools/setup.sh"],
            cwd=self.root,
            env=env,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr, self.log.read_text().splitlines()


@pytest.fixture
def course(tmp_path):
    course = Course(tmp_path)
    course.stand_in("python3.12", PYTHON)
    return course


def pins(text: str) -> list[tuple[Requirement, list[str]]]:
    """Each pin of a compiled requirements file, with its hashes."""
    blocks = re.findall(r"^(\S[^\\\n]*?) \\\n((?:    --hash=.*\n?)+)", text, flags=re.MULTILINE)
    return [
        (Requirement(name), re.findall(r"--hash=sha256:[0-9a-f]{64}\b", hashes))
        for name, hashes in blocks
    ]


# ---- what the set-up does


def test_a_fresh_setup_installs_the_pinned_hashed_files_and_the_course(course):
    status, said, called = course.setup()
    assert status == 0, said
    assert called[0] == "venv"
    assert (
        "pip install" in called[1]
        and "--require-hashes" in called[1]
        and "requirements-uv.txt" in called[1]
    )
    assert (
        "--require-hashes -r .venv/requirements.txt" in called[2]
        and "torch-backend" not in called[2]
    )
    assert called[3].endswith("--no-deps --no-build-isolation -e .") and len(called) == 4
    assert (course.root / ".venv/requirements.txt").read_text() == (
        ROOT / "requirements.txt"
    ).read_text()
    assert max(len(line) for line in said.splitlines()) <= 120


def test_the_second_time_nothing_is_done_or_said(course):
    course.setup()
    assert course.setup() == (0, "", [])


@pytest.mark.parametrize("broken", ["-r .venv/requirements.txt", "-e ."])
def test_a_setup_that_broke_half_way_is_made_anew(course, broken):
    status, said, _ = course.setup(BREAKS=broken)
    assert status != 0 and "The same command tries again" in said
    (course.root / ".venv/half").touch()
    status, _, called = course.setup()
    assert status == 0 and called[0] == "venv" and len(called) == 4
    assert not (course.root / ".venv/half").exists()
    assert course.setup() == (0, "", [])


STEPS = {"requirements-uv.txt": "python", "-r .venv/requirements.txt": "uv"}


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_of_the_network_that_passes_is_overcome(step, course):
    status, said, called = course.setup(BREAKS=step, TIMES="1")
    assert status == 0 and said.count("tried a second time") == 1 and "stopped" not in said
    assert [step in line for line in called].count(True) == 2 and len(called) == 5
    assert course.setup() == (0, "", [])


CERTIFICATES = [
    "cause: invalid peer certificate: UnknownIssuer",
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer",
    "TLS handshake eof",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [*CERTIFICATES, "No space left on device", "dns error"])
def test_a_fault_that_stays_is_told_with_its_likely_cause(error, step, course):
    status, said, called = course.setup(BREAKS=step, SAYS=error)
    assert status == 1 and [step in line for line in called].count(True) == 2
    assert called[-1].startswith(STEPS[step]) and said.count(error) == 2
    untrusted = error in CERTIFICATES
    assert ("SSL_CERT_FILE=/path/to/certificates.pem make lab" in said) == untrusted
    assert ("It needs the package registry" in said) == (not untrusted)
    assert max(len(line) for line in said.splitlines()) <= 120


def test_a_certificate_file_is_handed_to_pip_as_well(course):
    prints = PYTHON.replace('echo "python $*"', 'echo "python $* $PIP_CERT"')
    course.stand_in("python3.12", prints)
    assert course.setup(SSL_CERT_FILE="/my.pem")[2][1].endswith(" /my.pem")
    shutil.rmtree(course.root / ".venv")
    assert course.setup(SSL_CERT_FILE="/my.pem", PIP_CERT="/its.pem")[2][1].endswith(" /its.pem")


def test_changed_requirements_update_the_environment_in_place(course):
    course.setup()
    with (course.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    (course.root / ".venv/mine").touch()
    status, said, called = course.setup()
    assert status == 0 and "venv" not in called and len(called) == 3 and said.startswith("Updating")
    assert (course.root / ".venv/mine").exists()
    assert course.setup() == (0, "", [])


def test_another_python_or_folder_or_a_dead_environment_is_made_anew(course):
    course.setup()
    assert course.setup(PYTHON="python3.12") == (0, "", [])
    course.stand_in("python3.13", PYTHON.replace("$VERSION", "3.13.0"))
    assert course.setup() == (0, "", [])  # a newer one that turns up changes nothing
    assert course.setup(PYTHON="python3.13")[2][0] == "venv"
    course.root = course.root.rename(course.root.with_name("elsewhere"))
    assert course.setup()[2][0] == "venv"
    (course.root / ".venv/bin/python").unlink()
    assert course.setup()[2][0] == "venv"
    assert course.setup() == (0, "", [])


def test_somebody_elses_environment_is_left_alone(course):
    (course.root / ".venv").mkdir()
    (course.root / ".venv/mine").touch()
    status, said, called = course.setup()
    assert status == 1 and "did not make" in said and called == []
    assert (course.root / ".venv/mine").exists()


def test_the_small_torch_goes_in_by_version_and_all_else_by_hash(course):
    status, said, called = course.setup(TORCH="cpu")
    assert status == 0, said
    versions = {r.name: str(r.specifier) for r, _ in pins((ROOT / "requirements.txt").read_text())}
    torch, rest = called[2], called[3]
    assert torch.endswith(
        f"--no-deps --torch-backend cpu torch{versions['torch']}"
        f" torchvision{versions['torchvision']}"
    )
    assert "--require-hashes -r .venv/requirements.txt" in rest
    everything, kept = (
        {str(r): hashes for r, hashes in pins(path.read_text())}
        for path in (ROOT / "requirements.txt", course.root / ".venv/requirements.txt")
    )
    left_out = {Requirement(name).name for name in everything.keys() - kept.keys()}
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-bindings"} <= left_out
    assert all(
        re.match(r"(torch|torchvision|triton|nvidia-.*|cuda-.*)$", name) for name in left_out
    )
    assert all(everything[name] == hashes for name, hashes in kept.items())


def test_the_choice_of_torch_stays_until_another_is_made(course):
    course.setup(TORCH="cpu")
    assert course.setup() == (0, "", [])
    status, _, called = course.setup(TORCH="default")
    assert (
        status == 0 and called[0] == "venv" and not any("torch-backend" in line for line in called)
    )
    assert course.setup() == (0, "", [])
    status, said, called = course.setup(TORCH="cpu", BREAKS="torch-backend")
    assert status != 0 and "make lab TORCH=default" in said and called[-1].startswith("uv")
    status, said, called = course.setup(TORCH="tpu")
    assert status == 1 and "TORCH=cpu" in said and called == []


def test_pythons_are_tried_in_the_documented_order(course):
    course.stand_in("python3.11", PYTHON)
    assert "python3.12 (" in course.setup()[1]
    shutil.rmtree(course.root / ".venv")
    course.stand_in("python3.13", PYTHON)
    assert "python3.13 (" in course.setup()[1]
    shutil.rmtree(course.root / ".venv")
    assert "python3.11 (" in course.setup(PYTHON="python3.11")[1]


def test_without_a_python_that_fits_it_says_what_to_do(course):
    status, said, called = course.setup(LACKS="ensurepip")
    assert status == 1 and "apt install python3-venv" in said and called == []
    status, said, _ = course.setup(PYTHON="python2.7")
    assert status == 1 and "PYTHON=python2.7" in said
    (course.bin / "python3.12").unlink()
    status, said, _ = course.setup()
    assert status == 1 and "3.11, 3.12 or 3.13" in said and "brew install" in said
    assert not (course.root / ".venv").exists()


# ---- the commands


def make(*arguments: str) -> str:
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("MAKE") and k not in ("PYTHON", "TORCH", "ARGS")
    }
    done = subprocess.run(["make", *arguments], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lab_passes_its_arguments_on_and_opens_the_welcome_notebook():
    command = make("-n", "lab", "PORT=9999", "ARGS=--no-browser --debug").splitlines()[-1]
    assert "--port=9999" in command and command.endswith("--no-browser --debug")
    opened = re.search(r"default_url=/lab/tree/(\S+)", command)[1]
    assert (ROOT / opened).exists()


def test_test_runs_the_tests_and_every_notebook():
    tests, notebooks = make("-n", "test").splitlines()[1:]
    assert "pytest tests -n 2 --dist loadfile" in tests and "--nbval-lax" in notebooks
    assert {p.name for p in (ROOT / "notebooks").glob("*.ipynb")} == set(
        re.findall(r"notebooks/(\S+)", notebooks)
    )


def test_make_alone_lists_every_command():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)[
        1
    ].split()
    assert set(re.findall(r"^  (\w+) ", make(), flags=re.MULTILINE)) == set(targets) - {"help"}


def test_jupyterlab_knows_the_settings_that_keep_it_quiet():
    from jupyterlab.handlers import announcements
    from jupyterlab.labapp import LabApp

    config = json.loads((ROOT / "tools/jupyter/jupyter_lab_config.json").read_text())
    assert set(config["LabApp"]) <= set(LabApp.class_traits(config=True))
    assert config["LabApp"]["check_for_updates_class"].rsplit(".", 1)[1] in vars(announcements)
    overrides = json.loads(
        (ROOT / "tools/jupyter/labconfig/default_setting_overrides.json").read_text()
    )
    for plugin, settings in overrides.items():
        schema = Path(sys.prefix, "share/jupyter/lab/schemas", *plugin.split(":")).with_suffix(
            ".json"
        )
        assert set(settings) <= set(json.loads(schema.read_text())["properties"])


def test_jupyterlab_has_the_style_sheet_for_figures_in_the_dark():
    from traitlets.config import PyFileConfigLoader

    found = PyFileConfigLoader(str(ROOT / "tools/jupyter/jupyter_lab_config.py")).load_config()
    assert found.LabApp.custom_css is True
    folder = Path(found.ServerApp.tornado_settings["static_custom_path"][-1])
    assert "invert" in (folder / "custom.css").read_text()


def test_a_page_made_of_a_notebook_keeps_the_alternative_texts():
    import nbformat.v4 as v4
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter

    words = 'a "quoted" text & 1 < 2'
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    with_alt, without = (
        v4.new_output("display_data", {"image/png": png}, metadata=metadata)
        for metadata in ({"image/png": {"alt": words}}, {})
    )
    notebook = v4.new_notebook(cells=[v4.new_code_cell("", outputs=[with_alt, without])])
    page, _ = HTMLExporter(
        template_name="nbconvert", extra_template_basedirs=[str(ROOT / "tools")]
    ).from_notebook_node(notebook)
    assert [img["alt"] for img in BeautifulSoup(page, "html.parser").select("img")] == [
        words,
        "No description has been provided for this image",
    ]
    # what the settings name the folder that this template is copied to
    config = json.loads((ROOT / "tools/jupyter/jupyter_nbconvert_config.json").read_text())
    named = f"templates/{config['HTMLExporter']['template_name']}\n"
    assert named in (ROOT / "tools/settings.sh").read_text()
    assert "sh tools/settings.sh .venv\n" in (ROOT / "tools/setup.sh").read_text()


# ---- files that must agree


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-uv.txt"])
def test_each_package_is_pinned_with_hashes(name):
    text = (ROOT / name).read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(lines) == len(pins(text)) > 0
    for requirement, hashes in pins(text):
        assert hashes and re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_the_pins_are_what_pyproject_asks_for(python, platform):
    here = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": platform,
    }
    pinned = {}
    for requirement, _ in pins((ROOT / "requirements.txt").read_text()):
        if not requirement.marker or requirement.marker.evaluate(here):
            assert requirement.name not in pinned, f"two versions of {requirement.name}"
            pinned[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix(
                "=="
            )
    project = PROJECT["project"]
    asked = (
        project["dependencies"]
        + project["optional-dependencies"]["test"]
        + PROJECT["build-system"]["requires"]
    )
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), (
            requirement
        )


def test_conda_gets_the_packages_of_pyproject_and_no_others():
    conda_names = {
        "torch": "pytorch-cpu",
        "matplotlib": "matplotlib-base",
    }  # no CUDA, and no window system
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, *packages, pip, by_pip = environment["dependencies"]
    assert (
        pip == "pip" and by_pip == {"pip": ["-e ."]} and environment["channels"][0] == "conda-forge"
    )
    # repo2docker reads "python=3.12", and no range: it would begin with a Python of its own choice
    name, version = python.split("=")
    assert name == "python" and version in PYTHONS
    asked = {r.name: str(r.specifier) for r in map(Requirement, PROJECT["project"]["dependencies"])}
    expected = {conda_names.get(name, name): bound for name, bound in asked.items()}
    given = {r.name: r.specifier for r in map(Requirement, packages)}
    assert {name: set(str(spec).split(",")) for name, spec in given.items()} == {
        name: set(bound.split(",")) for name, bound in expected.items()
    }


def files_of_the_repository() -> list[Path]:
    """What git holds or would take up; in a copy without it (a ZIP), what a walk finds."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        return walk(ROOT)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def walk(root: Path) -> list[Path]:
    """All files but git's own and those that .gitignore names: a pattern there is one of a name, or
    of a path from the root.
    """
    lines = (root / ".gitignore").read_text().splitlines()
    patterns = [line.rstrip("/") for line in lines if line and not line.startswith("#")]

    def kept(path: Path) -> bool:
        names = path.name, path.relative_to(root).as_posix()
        ignored = any(fnmatch(name, pattern) for name in names for pattern in patterns)
        return path.name != ".git" and not ignored

    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if kept(Path(folder, name))]
        found += [path for name in names if kept(path := Path(folder, name))]
    return found


def test_without_git_the_same_files_are_found(tmp_path):
    kept = ["Makefile", ".ci/run", "slides/deck.py", "tests/runs.py", "a/b/c.txt"]
    ignored = [".git/config", ".venv/bin/uv", "a/__pycache__/x.py", "a/x.pyc", "slides/deck.html"]
    ignored += ["slides/node_modules/x/y.js", "x.egg-info/PKG-INFO", "runs/vae_2d.pt"]
    for name in kept + ignored:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    shutil.copy(ROOT / ".gitignore", tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in walk(tmp_path)}
    assert found == {*kept, ".gitignore"}


def test_no_file_names_a_package_index_and_no_lock_file_records_addresses():
    hosts = [
        "py" + "pi.org",
        "python" + "hosted.org",
        "npm" + "js.org",
        "yarn" + "pkg.com",
        "ana" + "conda.org",
    ]
    hosts += ["download." + "pytorch.org", "deb." + "debian.org"]
    options = ["--index" + "-url", "--extra" + "-index-url", "--find" + "-links"]
    forbidden = re.compile("|".join(map(re.escape, hosts + options)).encode())
    locks = re.compile(r"(^|[.])lock(\.(json|yml|yaml|toml))?$|^Pipfile|^pylock|^npm-shrinkwrap")
    files = files_of_the_repository()
    assert len(files) > 30
    for path in files:
        assert not locks.search(path.name), path
        if path.name == "package-lock.json":  # slides/.npmrc keeps addresses out of it; hashes stay
            assert (
                not re.search(rb'"resolved"|https?:', path.read_bytes())
                and b'"integrity"' in path.read_bytes()
            ), path
        found = forbidden.search(path.read_bytes())
        assert not found, f"{path} names {found[0]!r}"


def test_the_wheel_of_a_checkout_has_weights_widgets_and_data(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        inside = set(wheel.namelist())
        wheel.extractall(tmp_path / "installed")
    package = {
        str(p.relative_to(ROOT))
        for p in files_of_the_repository()
        if p.is_relative_to(ROOT / "dgmcourse")
    }
    assert package == {name for name in inside if ".dist-info/" not in name}
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    assert {".py", ".js", ".safetensors"} <= {Path(name).suffix for name in package}
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import dgmcourse.data.images, dgmcourse.widgets.latent\n"
        "from dgmcourse import densities, recipes, weights\n"
        "assert recipes.__file__.startswith(sys.argv[1]), recipes.__file__\n"
        "models = [recipes.load(path.stem) for path in weights.WEIGHTS.glob('*.safetensors')]\n"
        "many = lambda model: (2,) if isinstance(model, densities.Density) else 2\n"
        "print(*[model.sample(many(model)).shape[-1] for model in models if hasattr(model,"
        " 'sample')])\n"  # not the classifier
        "assert recipes.study('gans_on_mnist')['rows']"
    )
    run = [sys.executable, "-I", "-c", code, str(tmp_path / "installed")]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # digits, the codes of m1_m2, the steps of a chorale, of a sentence, genes before and after a drug
    assert set(done.stdout.split()) == {"784", "40", "133", "30", "80"}
