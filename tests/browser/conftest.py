"""A real JupyterLab in a real Chromium, for every browser test.

    def test_it(lab): page = lab.open("notebooks/07_vae.ipynb") # or cells: lab.open(["from ...
        import ...", "widget()"]) lab.run_all() page.get_by_label("...").press("ArrowRight")

The server and the browser live through the session, a page through a module. When a page closes,
its module fails if anything was asked of another host, if the page wrote an error to its console,
or if a cell shows one.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))
import chromium  # noqa: E402

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell in the page, seen or not
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
PANEL = "window.jupyterapp?.shell.currentWidget"
FAILED = """[...document.querySelectorAll('.jp-OutputArea-output')].filter((output) =>
    output.dataset.mimeType === 'application/vnd.jupyter.error' ||
    output.dataset.mimeType === 'application/vnd.jupyter.stderr' && /Error|Traceback|exceeded/.test(output.innerText))"""


class Server:
    """JupyterLab on a free port, with a folder, settings and kernels' state of its own."""

    def __init__(self, folder: Path):
        self.root, private = folder / "root", folder / "jupyter"
        self.root.mkdir(parents=True)
        for name, values in SETTINGS.items():
            path = private / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        places = {
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
        }
        self.log = folder / "server.log"
        options = [
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={self.port}",
            f"--ServerApp.root_dir={self.root}",
            "--IdentityProvider.token=",
            "--ServerApp.disable_check_xsrf=True",
            "--LabApp.expose_app_in_browser=True",
            "--JupyterNotebookApp.expose_app_in_browser=True",
        ]
        private_places = {key: str(private / place) for key, place in places.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options],
            env=os.environ
            | private_places
            | {"PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_PATH": str(ROOT / "tools" / "jupyter")},
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )
        self._wait()

    def _wait(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/api/status", timeout=2)
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"Jupyter did not start:\n{self.log.read_text()}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Lab:
    """A page in JupyterLab (`front="lab"`) or Notebook 7 (`front="notebooks"`), and what went wrong
    in it.
    """

    def __init__(self, server: Server, browser, front: str = "lab"):
        self.server, self.front, self.errors, self.strangers = server, front, [], []
        self.page = browser.new_page(viewport={"width": 1000, "height": 900}, has_touch=True)
        self.page.on(
            "console", lambda message: message.type == "error" and self.errors.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._host(request.url))

    def _host(self, url):
        if not url.startswith((self.server.url, "data:", "blob:", "about:")):
            self.strangers.append(url)

    def open(self, notebook):
        """Open a notebook (a path, or a list of code cells), wait for its kernel; returns
        Playwright's page.
        """
        if isinstance(notebook, list):
            content = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(cell) for cell in notebook]
            )
            content.metadata.kernelspec = {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
            content = nbformat.writes(content)
            name = f"{len(list(self.server.root.iterdir()))}.ipynb"
        else:
            content, name = Path(notebook).read_text(), Path(notebook).name
        (self.server.root / name).write_text(content)
        address = f"lab/tree/{name}?reset" if self.front == "lab" else f"notebooks/{name}"
        self.page.goto(f"{self.server.url}/{address}")
        self.page.wait_for_function(
            f"{PANEL}?.sessionContext?.session?.kernel?.status === 'idle'", timeout=90_000
        )
        self.errors.clear()  # what the front end itself said as it started
        return self.page

    def run_all(self, seconds: float = 120):
        """Run all cells, wait until the last code cell has run or one has failed; assert that none
        has.
        """
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
        self.page.wait_for_function(
            f"""() => {{
                const cells = [...{PANEL}.content.model.cells].filter((cell) => cell.type === 'code');
                return {PANEL}.sessionContext.session.kernel.status === 'idle'
                    && (cells.at(-1).executionCount > 0 || {FAILED}.length > 0); }}""",
            timeout=1000 * seconds,
        )
        assert self.failed() == []

    def failed(self) -> list[str]:
        """Text of the outputs that are errors, or tell of one on stderr (a widget's callback does,
        for instance).
        """
        return self.page.evaluate(f"{FAILED}.map((output) => output.innerText)")

    def execute(self, code: str) -> str:
        """Run code in the notebook's kernel beside its cells; returns what it printed."""
        return self.page.evaluate(
            f"""async (code) => {{
                const kernel = {PANEL}.sessionContext.session.kernel;
                const future = kernel.requestExecute({{ code, store_history: false }});
                let text = '';
                future.onIOPub = ({{ content }}) => {{ text += content.text ?? content.ename ?? ''; }};
                await future.done;
                return text;
            }}""",
            code,
        )

    def close(self):
        failed = self.failed()
        self.page.evaluate(
            "window.jupyterapp.serviceManager.sessions.shutdownAll()"
        )  # kernels need memory
        self.page.close()
        assert failed == [] and self.errors == [], f"errors in the page: {failed + self.errors}"
        assert self.strangers == [], f"asked of other hosts: {self.strangers}"


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = (
        chromium.find()
    )  # a RuntimeError says how to get one: a skipped browser test proves nothing
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def lab(server, browser):
    lab = Lab(server, browser)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def notebook7(server, browser):
    lab = Lab(server, browser, front="notebooks")
    yield lab
    lab.close()
