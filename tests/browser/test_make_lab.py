"""`make lab` as a newcomer types it, in an empty HOME: JupyterLab at the welcome notebook, and no
pop-up.
"""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.browser


@pytest.fixture
def url(tmp_path):
    """The address that `make lab` prints; the server is stopped afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("JUPYTER", "MAKE", "PYTHON", "TORCH", "ARGS"))
    }
    process = subprocess.Popen(
        ["make", "lab", f"PORT={port}", "ARGS=--no-browser"],
        cwd=ROOT,
        env=env | {"HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"http://(?:localhost|127\.0\.0\.1):\S+token=\w+", line):
            break
    else:
        pytest.fail("make lab ended:\n" + "".join(said))
    yield found[0]
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def test_make_lab_opens_the_welcome_notebook_and_nothing_pops_up(url, browser):
    server = re.match(r"http://[^/]+", url)[0]
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_selector(".jp-NotebookPanel .jp-MarkdownOutput h1", timeout=90_000)
    page.wait_for_selector(".jp-StatusBar-Widget :text('Idle')", timeout=90_000)
    page.wait_for_timeout(
        3000
    )  # JupyterLab asks for news, updates and builds some time after it has started
    assert (
        page.locator(".jp-mod-current .lm-TabBar-tabLabel").first.inner_text() == "00_welcome.ipynb"
    )
    assert page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == []
    page.close()
    strangers = [u for u in asked if not u.startswith((server, "data:", "blob:"))]
    assert strangers == [] and not [
        u for u in asked if re.search(r"/lab/api/(news|update|build)", u)
    ]
