"""Where a Chromium or Chrome is on this machine, and how to start it without a screen: for the
tests and for the slides.
"""

import os
import shutil

FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()


def find() -> str:
    """Its path. A RuntimeError says how to get one."""
    names = [
        os.environ.get("CHROMIUM"),
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ]
    for name in filter(None, names):
        if found := shutil.which(name):
            return found
    raise RuntimeError(
        "This needs Chromium or Chrome, and none is on the PATH: install one (Debian: apt install"
        " chromium; Fedora: dnf install chromium; macOS: brew install --cask chromium), or put its"
        " path in the variable CHROMIUM."
    )
