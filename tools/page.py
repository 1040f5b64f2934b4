"""What the deck (slides/build.py), the site (web/build.py) and the sheets (sheets/build.py) share:
formulas, typefaces, pictures, printing, and widgets that run in a page without a kernel, by live.js.
"""

import base64
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import PIL.Image
from nbclient import NotebookClient

SLIDES = Path(__file__).resolve().parents[1] / "slides"
MODULES = SLIDES / "node_modules"
LIVE = Path(__file__).with_name("live.js")
# Traits that ipywidgets gives a widget, of no use without a kernel.
THEIRS = ("_model_", "_view_", "_dom_", "_anywidget_id")
FONTS = [(400, "normal"), (400, "italic"), (700, "normal")]
UNUSED = "Fraktur|SansSerif|Script|Typewriter"  # KaTeX's alphabets that no formula of ours needs
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"


def npm_installed() -> str:
    """The path of npm, with the packages of package-lock.json installed. Where there is no Node, it
    is fetched from the package registry.
    """
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        print("- Node, from the package registry", flush=True)
        install = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet"]
        install += ["--python", sys.executable, "--require-hashes"]
        installed([*install, "-r", SLIDES / "requirements.txt"])
        npm = shutil.which("npm", path=str(Path(sys.executable).parent))
    lock, done = (SLIDES / "package-lock.json").read_bytes(), MODULES / ".made-from"
    if not done.exists() or done.read_bytes() != lock:
        print("- reveal.js, KaTeX and a typeface", flush=True)
        command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        installed(command, cwd=SLIDES)
        done.write_bytes(lock)
    return npm


def installed(command: list, **options) -> None:
    """Run a command that installs something.

    Raises:
        SystemExit: if it failed, with what to do.
    """
    if subprocess.run(command, **options).returncode:
        raise SystemExit(
            "This stopped: see the lines above. It needs the package registry, the first time only."
            " The same command tries again."
        )


def set_formulas(formulas: list[tuple[str, bool]], npm: str) -> list[str]:
    """HTML with MathML in it, for each (TeX, is it displayed?).

    Raises:
        SystemExit: for one that KaTeX does not understand.
    """
    node = Path(npm).with_name("node")
    command = [node if node.exists() else "node", "maths.mjs"]
    done = subprocess.run(
        command, cwd=SLIDES, text=True, capture_output=True, input=json.dumps(formulas)
    )
    if done.returncode:
        raise SystemExit(f"a formula cannot be set: {done.stderr}")
    return json.loads(done.stdout)


def without_formulas(text: str, formulas: list[tuple[str, bool]]) -> str:
    """Markdown with `@@n@@` for each formula, which is added to `formulas` as (TeX, is it
    displayed?): what is read as Markdown must not touch it. Code stays as it is.
    """

    def keep(found):
        if found[0].startswith("`"):
            return found[0]
        formulas.append((found[1] or found[2], bool(found[1])))
        return f"@@{len(formulas) - 1}@@"

    return re.sub(r"`[^`]*`|\$\$(.+?)\$\$|\$(.+?)\$", keep, text, flags=re.S)


def with_formulas(html: str, formulas: list[tuple[str, bool]], npm: str) -> str:
    """HTML with the formulas in their places, set."""
    made = set_formulas(formulas, npm)
    return re.sub(r"@@(\d+)@@", lambda found: made[int(found[1])], html)


def typefaces() -> str:
    """A style sheet of the text's and the formulas' typefaces, with the fonts inside."""

    def font(path: Path) -> str:
        return data_url(path.read_bytes(), "font/woff2")

    fonts = ""
    for weight, slant in FONTS:
        file = f"@fontsource/source-sans-3/files/source-sans-3-latin-{weight}-{slant}.woff2"
        look = f"font-family: 'Source Sans 3'; font-weight: {weight}; font-style: {slant}"
        fonts += f"@font-face {{ {look}; src: url({font(MODULES / file)}) format('woff2'); }}\n"
    katex = (MODULES / "katex/dist/katex.min.css").read_text(encoding="utf-8")
    katex = re.sub(rf"@font-face\{{[^}}]*KaTeX_(?:{UNUSED})[^}}]*\}}", "", katex)
    katex = re.sub(r",url\([^)]+\.(?:woff|ttf)\) format\([^)]+\)", "", katex)
    files = r"(?<=url\()fonts/[^)]+\.woff2"
    return fonts + re.sub(files, lambda found: font(MODULES / "katex/dist" / found[0]), katex)


def data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def print_pdfs(pages: dict[str, Path], ready: str, **look) -> None:
    """Each page (its address) as a tagged PDF, printed by Chromium once there is a `ready` in it.

    Args:
        look: width and height of the window; other keywords are of Playwright's `page.pdf`.

    Raises:
        RuntimeError: if there is no Chromium; it says how to get one.
    """
    import chromium
    from playwright.sync_api import sync_playwright

    size = {side: look.pop(side, default) for side, default in (("width", 800), ("height", 1100))}
    path = chromium.find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        tab = browser.new_page(viewport=size)
        for address, pdf in pages.items():
            tab.goto(address)
            tab.wait_for_selector(ready, timeout=120_000)
            tab.pdf(path=pdf, print_background=True, tagged=True, outline=True, **look)
        browser.close()


def run(nb: nbformat.NotebookNode, folder: Path, timeout: int = 300, **options) -> None:
    """Run a notebook's cells in a fresh kernel, in this folder; the widgets' state is kept with it."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nb.metadata["kernelspec"] = kernel
    client = NotebookClient(
        nb,
        timeout=timeout,
        startup_timeout=300,
        kernel_name="python3",
        store_widget_state=True,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        **options,
    )
    # With nothing of the user's own IPython, and sets in a fixed order.
    with tempfile.TemporaryDirectory() as profile:
        client.execute(env=os.environ | {"IPYTHONDIR": profile, "PYTHONHASHSEED": "0"})


def webp(png: str) -> bytes:
    """The same pixels, of a PNG in base64, in fewer bytes."""
    packed = io.BytesIO()
    PIL.Image.open(io.BytesIO(base64.b64decode(png))).save(packed, "WEBP", lossless=True, method=4)
    return packed.getvalue()


def inside(packed: bytes) -> dict[str, str]:
    """What was packed by gzip, as text in a widget's state."""
    return {"gzip": base64.b64encode(packed).decode()}


def without_kernel(
    saved: dict, kept: Callable[[bytes], dict[str, str]] = inside
) -> tuple[str, str, dict]:
    """An anywidget as live.js starts it, (JavaScript, CSS, state), from its saved state. Arrays are
    packed: `kept` puts one somewhere and says where, {"gzip": base64} or {"file": address}.
    """
    state = dict(saved["state"])
    source, style = state.pop("_esm"), state.pop("_css", "")
    for buffer in saved.get("buffers", []):
        packed = gzip.compress(base64.b64decode(buffer["data"]), 9, mtime=0)
        *path, last = buffer["path"]
        place = state
        for key in path:
            place = place[key]
        place[last] = kept(packed)
    return source, style, {k: v for k, v in state.items() if not k.startswith(THEIRS)}
