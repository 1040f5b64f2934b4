"""The files by which others cite, start and publish the course: CITATION.cff, Binder's postBuild,
Containerfile, .devcontainer, the workflow. What no test here can do, building a container or running
on a code host, is on the site's page of limits.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW = ROOT / ".github/workflows/tests-and-site.yml"


def refused_by_make(*words: str) -> str:
    """What `make -n` has against this command; "" if it knows what to do."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-n", *words], cwd=ROOT, env=kept, capture_output=True, text=True
    )
    return done.stderr


def refused(command: str) -> list[str]:
    """The parts of a shell command that call what the course does not have."""
    faults = []
    for part in re.split(r"&&|\|\|", command):
        program, *words = shlex.split(part)
        if program == "make":
            faults += [part] * bool(refused_by_make(*words))
        elif program.startswith(".venv/bin/") and words[:1] == ["-m"]:
            faults += [part] * (not (ROOT / words[1]).is_dir())
        elif "/" in program and not program.startswith(".venv/"):
            faults += [part] * (not os.access(ROOT / program, os.X_OK))
    return faults


@pytest.mark.parametrize(
    "command, faults",
    [
        ("make setup TORCH=cpu && .venv/bin/uv cache clean", 0),
        ("make lab PORT=8888 ARGS=--no-browser", 0),
        ("make setpu || make setup", 1),
        (".ci/run", 0),
        (".ci/walk && make site", 1),
        (".venv/bin/python -m dgmcuorse data", 1),
    ],
)
def test_a_command_that_the_course_lacks_is_noticed(command, faults):
    assert len(refused(command)) == faults


# ---- CITATION.cff


def test_the_citation_says_what_pyproject_says():
    given = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert given["cff-version"] == "1.2.0" and given["type"] == "software"
    assert given["version"] == PROJECT["version"] and PROJECT["name"] in given["title"]
    assert [a["name"] for a in given["authors"]] == [a["name"] for a in PROJECT["authors"]]
    assert given["keywords"] == PROJECT["keywords"]
    assert " AND ".join(given["license"]) == PROJECT["license"]
    assert given["abstract"] == PROJECT["description"]
    assert given.get("repository-code", "") == PROJECT.get("urls", {}).get("Repository", "")
    heading = f"## [{PROJECT['version']}] - {given.get('date-released', 'unreleased')}\n"
    assert heading in (ROOT / "CHANGELOG.md").read_text()


# ---- Binder


def test_binders_last_step_gives_settings_and_goes_on_without_a_network(tmp_path):
    env = os.environ | {"NB_PYTHON_PREFIX": str(tmp_path / "env"), "DGMCOURSE_OFFLINE": "1"}
    env |= {"DGMCOURSE_CACHE": str(tmp_path / "cache"), "DGMCOURSE_DATA": ""}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(["./postBuild"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "MNIST" in done.stdout and "Not all data sets are here" in done.stdout
    config = json.loads((tmp_path / "env/etc/jupyter/jupyter_nbconvert_config.json").read_text())
    templates = tmp_path / "env/share/jupyter/nbconvert/templates"
    assert (templates / config["HTMLExporter"]["template_name"] / "conf.json").exists()
    assert (tmp_path / "env/etc/jupyter/labconfig/page_config.json").exists()


# ---- containers


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.M)
    text = re.sub(r"\\\n\s*", "", text)
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def test_the_container_is_not_roots_and_opens_the_course():
    found = instructions()
    names = [name for name, _ in found]
    images = [value.split()[0] for name, value in found if name == "FROM"]
    assert images == ["python:3.12-slim", "tools"]  # no address in it
    *_, user = [value for name, value in found if name == "USER"]
    assert (
        user not in ("root", "0")
        and f"useradd --create-home --shell /bin/bash {user}" in (found[1][1])
    )
    copied = found[names.index("COPY")][1]
    assert copied == f"--chown={user}:{user} . ." and names.index("USER") < names.index("COPY")
    runs = [value for name, value in found[names.index("COPY") :] if name == "RUN"]
    assert "TORCH=cpu" in runs[0] and [refused(run) for run in runs] == [[], []]
    command = json.loads(found[-1][1])
    assert found[-1][0] == "CMD" and refused_by_make(*command[1:]) == ""
    assert f"PORT={dict(found)['EXPOSE']}" in command and "--ip=0.0.0.0" in command[-1]


def test_the_container_gets_what_git_has_and_no_environment():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]

    def left_out(name: str) -> bool:
        parts = name.split("/")
        begun = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        tried = [(place, p) for place in begun for p in patterns]
        tried += [(part, p.removeprefix("**/")) for part in parts for p in patterns if "**" in p]
        return any(fnmatch(name, pattern) for name, pattern in tried)

    for name in (".venv/bin/uv", ".venv-bench", ".git", "site", "web/cache", "a/__pycache__/b"):
        assert left_out(name), name
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    assert not [name for name in listed if left_out(name)]


def test_the_dev_container_is_the_container_without_the_course():
    given = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    stages = [value.split()[-1] for name, value in instructions() if name == "FROM"]
    build = given["build"]
    assert build["target"] in stages and dict(instructions())["USER"] == given["remoteUser"]
    for path in (build["dockerfile"], build["context"]):
        assert (ROOT / ".devcontainer" / path).exists()
    assert refused(given["postCreateCommand"]) == refused(given["postAttachCommand"]) == []
    (port,) = given["forwardPorts"]
    assert f"PORT={port}" in given["postAttachCommand"] and str(port) in given["portsAttributes"]
    assert "--ServerApp.port_retries=0" in given["postAttachCommand"]  # no second one elsewhere


# ---- the workflow


def test_the_workflow_tests_first_and_then_publishes_the_site():
    given = yaml.safe_load(WORKFLOW.read_text())
    on = given[True]  # `on`, as YAML 1.1 reads it
    assert set(on) == {"push", "pull_request"} and on["push"] == {"branches": ["main"]}
    assert given["permissions"] == {"contents": "read"}
    test, site = given["jobs"]["test"], given["jobs"]["site"]
    assert site["needs"] == "test" and "refs/heads/main" in site["if"]
    steps = test["steps"] + site["steps"]
    runs = [step["run"] for step in steps if "run" in step]
    assert "unprivileged_userns=0" in runs.pop(0)  # for the grader's sandbox
    assert runs == [".ci/run", "make site ARGS=--all"] and sum(map(refused, runs), []) == []
    for step in steps:
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1"))
    (folder,) = [s["with"]["path"] for s in steps if "upload-pages" in s.get("uses", "")]
    assert f'default=ROOT / "{folder}"' in (ROOT / "web/build.py").read_text()
    version = test["steps"][1]["with"]["python-version"]
    assert version == site["steps"][1]["with"]["python-version"] == "3.12"
