"""A real JupyterHub, set up by tools/hub as docs/hub.md says, with two students at a shared course."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
HUB = ROOT / ".venv-hub"
STUDENTS = ("ada", "bob smith")
PANEL = "window.jupyterapp?.shell.currentWidget"
CELLS = [
    'from dgmcourse.widgets.latent import latent_traversal\nlatent_traversal("vae_2d")',
    "import os, dgmcourse.weights\nfrom dgmcourse.check import vae as check\n"
    "kl = check.kl(lambda mean, log_var: mean)\n"
    "print(dgmcourse.weights.__file__, os.environ['DGMCOURSE_DATA'], os.environ['OMP_NUM_THREADS'])",
]

pytestmark = pytest.mark.skipif(
    not (HUB / ".ready").exists(), reason="there is no JupyterHub here: `make hub` sets one up"
)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The hub's address; its folders are `shared` and `homes`."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "shared").mkdir()
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS])
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nb, folder / "shared" / "07_walk.ipynb")
    port = free_port()
    places = {
        "DGMCOURSE_SHARED": str(folder / "shared"),
        "DGMCOURSE_DATA": str(folder / "data"),
        "HUB_HOMES": str(folder / "homes"),
        "HUB_PORT": str(port),
    }
    keep = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DGMCOURSE_PROGRESS")}
    command = [HUB / "bin" / "jupyterhub", "-f", ROOT / "tools" / "hub" / "try_config.py"]
    command += [f"--JupyterHub.hub_port={free_port()}"]
    command += [f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{free_port()}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=keep | places, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/hub/login", process, folder / "log")
        yield address, folder
    finally:
        process.send_signal(signal.SIGINT)  # it stops the students' servers and the proxy, too
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    with pytest.raises(ConnectionRefusedError):  # the proxy has ended with it
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def wait_for(url, process, log, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            return urllib.request.urlopen(url, timeout=5)
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the hub did not start: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def pages(hub, browser):
    """Each student's page, logged in by the link that a lecturer hands out."""
    address, _ = hub
    opened = {}
    for name in STUDENTS:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(300_000)
        page.goto(f"{address}/hub/user-redirect/dgmcourse/07_walk")
        page.fill("#username_input", name)
        page.fill("#password_input", "any")
        page.click("#login_submit")
        page.wait_for_url("**/lab/tree/dgmcourse/07_walk.ipynb")
        page.wait_for_function(f"{PANEL}?.sessionContext?.session?.kernel?.status === 'idle'")
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
        page.wait_for_function(
            f"[...{PANEL}.content.model.cells].every((cell) => cell.executionCount > 0)"
            f" && {PANEL}.sessionContext.session.kernel.status === 'idle'"
        )
        opened[name] = page
    yield opened
    for page in opened.values():
        page.context.close()


@pytest.mark.parametrize("name", STUDENTS)
def test_a_widget_works_under_the_hubs_prefix(pages, name):
    page = pages[name]
    assert f"/user/{name.replace(' ', '%20')}/lab/" in page.url
    pad = page.locator(".dgm-latent .pad")
    pad.wait_for()
    pixels = "document.querySelector('.dgm-latent canvas.picture').toDataURL()"
    before = page.evaluate(pixels)
    pad.focus()
    for _ in range(5):
        pad.press("ArrowRight")
    page.wait_for_function(f"({pixels}) !== {before!r}")


@pytest.mark.parametrize("name", STUDENTS)
def test_the_course_and_its_data_are_there_once(hub, pages, name):
    text = pages[name].locator(".jp-OutputArea-output").all_inner_texts()
    _, folder = hub
    (line,) = [one for one in text if "weights" in one]
    assert line.split() == [
        str(next(HUB.glob("lib/*/site-packages/dgmcourse/weights.py"))),
        str(folder / "data"),
        "1",
    ]


def test_each_student_has_a_copy_and_a_progress_of_their_own(hub, pages):
    _, folder = hub
    assert [path.name for path in (folder / "shared").iterdir()] == ["07_walk.ipynb"]
    shared = nbformat.read(folder / "shared" / "07_walk.ipynb", 4)
    assert all(not cell.outputs for cell in shared.cells)  # nobody has written there
    for name in STUDENTS:
        own = folder / "homes" / name / "dgmcourse"
        assert (own / "07_walk.ipynb").exists()
        (line,) = (own / "progress.jsonl").read_text().splitlines()
        assert '"exercise": "kl", "verdict": "fail"' in line


def test_a_link_to_nothing_says_so(hub, pages):
    address, folder = hub
    page = pages["ada"].context.new_page()
    answer = page.goto(f"{address}/user/ada/dgmcourse/99_none")
    assert answer.status == 404 and "There is no notebook 99_none" in page.inner_text("body")
    page.close()
