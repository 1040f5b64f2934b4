"""Firefox without a screen, led by WebDriver BiDi (w3.org/TR/webdriver-bidi), which it speaks by itself:
no driver between them, and no package beside websocket-client, which JupyterLab brings.
"""

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import websocket

NAMES = [os.environ.get("FIREFOX"), "firefox-esr", "firefox"]
NAMES += ["/Applications/Firefox.app/Contents/MacOS/firefox"]
QUIET = {  # nothing is asked of its maker
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.newtabpage.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


def find() -> str | None:
    """Its path, or None."""
    return next(filter(None, map(shutil.which, filter(None, NAMES))), None)


class Tab:
    """A page, and what went wrong in it: `faults`, in words."""

    def __init__(self, port: int, width: int = 1280):
        url = f"ws://127.0.0.1:{port}/session"
        self.socket = websocket.create_connection(url, timeout=60, suppress_origin=True)
        self.numbers, self.faults, self.asked = itertools.count(1), [], []
        self.send("session.new", capabilities={})
        self.tab = self.send("browsingContext.create", type="tab")["context"]
        events = ["log.entryAdded", "network.beforeRequestSent"]
        self.send("session.subscribe", events=events, contexts=[self.tab])
        view = {"width": width, "height": 900}
        self.send("browsingContext.setViewport", context=self.tab, viewport=view)

    def send(self, method: str, **params) -> dict:
        """Give a command; what happens in the page before its answer is noted.

        Raises:
            RuntimeError: with Firefox's words, for a command that fails.
        """
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['message']}")
                return message["result"]
            said = message.get("params", {})
            if message.get("method") == "log.entryAdded" and said["level"] == "error":
                self.faults.append(said["text"])
            elif message.get("method") == "network.beforeRequestSent":
                self.asked.append(said["request"]["url"])

    def open(self, url: str) -> None:
        self.send("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    def value(self, expression: str):
        """The value of a JavaScript expression: a text, a number, true, false or None; of a promise
        what it gives.
        """
        done = self.send(
            "script.evaluate",
            expression=expression,
            target={"context": self.tab},
            awaitPromise=True,
        )
        if done["type"] == "exception":
            raise RuntimeError(done["exceptionDetails"]["text"])
        return done["result"].get("value")

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Until a JavaScript condition holds."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.1)

    def drag(self, *points: tuple[float, float]) -> None:
        """Lead the pressed mouse through these points of the window."""
        moves = [
            {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 50} for x, y in points
        ]
        press = [{"type": "pointerDown", "button": 0}]
        moves = [moves[0], *press, *moves[1:], {"type": "pointerUp", "button": 0}]
        self.act({"type": "pointer", "id": "mouse", "actions": moves})

    def press(self, *keys: str) -> None:
        """Type keys, characters as WebDriver names them."""
        ways = [{"type": way, "value": key} for key in keys for way in ("keyDown", "keyUp")]
        self.act({"type": "key", "id": "keyboard", "actions": ways})

    def act(self, source: dict) -> None:
        self.send("input.performActions", context=self.tab, actions=[source])


@contextmanager
def started():
    """The port of a Firefox with a profile of its own."""
    with tempfile.TemporaryDirectory() as profile:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in QUIET.items()]
        Path(profile, "user.js").write_text("\n".join(lines))
        command = [find(), "--headless", "--no-remote", "--profile", profile]
        command += ["--remote-debugging-port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield json.loads(_written(Path(profile, "WebDriverBiDiServer.json")))["ws_port"]
        finally:
            process.terminate()
            process.wait(20)


def _written(path: Path, seconds: float = 60) -> str:
    """What Firefox writes into a file, once it is there."""
    end = time.monotonic() + seconds
    while not path.exists() or not path.read_text():
        if time.monotonic() > end:
            raise RuntimeError("Firefox did not start")
        time.sleep(0.1)
    return path.read_text()
