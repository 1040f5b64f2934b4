"""The notebooks' widgets for a page without a kernel: their state, from a run of the few statements
that make them (slice.py), kept for the next build. Those that ask the kernel answer themselves (alone.py).
"""

import base64
import hashlib
import importlib
import json
import math
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import nbformat
from page import STATE, VIEW, run, without_kernel

from web.slice import slice_of

SECONDS = 60  # for one cell; a widget that needs longer stays a picture
# After so long a build begins to make no more widgets that ask the kernel: they come last, and the
# next one makes more.
SECONDS_IN_ALL = 150
ASKING = ("A widget stands here", "Pictures of what each pixel", "A pad to write half a digit")
ROOT = Path(__file__).resolve().parents[1]


def is_widget(output) -> bool:
    return "run this cell" in output.get("data", {}).get("text/plain", "")


FIRST = f"import sys; sys.path.append({str(ROOT)!r})\nfrom web.alone import alone; alone()"


def asks(output) -> bool:
    """Whether a widget asks the kernel, whatever the reader does."""
    return output["data"]["text/plain"].startswith(ASKING)


def busy() -> float:
    """How many times as long as on an idle machine a thing may take now."""
    return max(1.0, os.getloadavg()[0] / os.cpu_count())


class Widgets:
    """The widgets of all notebooks: `of(paths)` gives what the pages ask for, and `files`, {name:
    content}, are what they load. `only` is sought in the code of a widget's cell; the others stay
    pictures. `all_of_them`: however long it takes.
    """

    def __init__(self, cache: Path, only: str = "", all_of_them: bool = False):
        self.limit = math.inf if all_of_them else SECONDS_IN_ALL
        self.cache, self.only, self.files = cache, re.compile(only), {}
        course = sorted((ROOT / "dgmcourse").rglob("*.py"))
        course += [ROOT / "web" / f"{name}.py" for name in ("alone", "frames", "pads")]
        self.version = hashlib.sha256(b"".join(path.read_bytes() for path in course))

    def of(self, paths: list[Path]) -> dict[Path, dict[tuple[str, int], str]]:
        """The name of the file with the state, of each widget of these notebooks (solved copies): by
        its cell's id and which of the cell's widgets it is.
        """
        self.began, self.left = time.monotonic(), 0
        named = {path: {} for path in paths}
        tasks = [(path, asking) for asking in (False, True) for path in paths]
        with ThreadPoolExecutor(min(os.cpu_count(), 4)) as pool:
            made = pool.map(lambda task: self.made(*task), tasks)
            for (path, _), states in zip(tasks, made, strict=True):
                named[path] |= {key: self.file(state) for key, state in states.items()}
        if self.left:
            print(f"- {self.left} widgets stay pictures: build again for more, or with --all")
        return named

    def made(self, path: Path, asking: bool) -> dict[tuple[str, int], dict]:
        """The saved states of a notebook's widgets, of those that ask the kernel or of the others."""
        cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        cells = [c for c in cells if "colab" not in c.metadata.get("tags", [])]
        wanted = set()
        for i, cell in enumerate(cells):
            widgets = list(filter(is_widget, cell.outputs))
            if widgets and any(map(asks, widgets)) == asking and self.only.search(cell.source):
                wanted.add(i)
        if not wanted:
            return {}
        code = slice_of([cell.source for cell in cells][: max(wanted) + 1], wanted)
        version = self.version.copy()
        version.update(json.dumps([code, sorted(wanted)]).encode())
        kept = self.cache / f"{path.stem}-{version.hexdigest()[:16]}.json"
        if kept.exists():
            saved = json.loads(kept.read_text())
        elif asking and time.monotonic() - self.began > self.limit * busy():
            self.left += len(wanted)
            return {}
        else:
            saved, complete = self.run(path, code, wanted)
            if complete:  # else the next build tries again
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(saved))
        return {
            (cells[int(i)].id, k): state
            for i, states in saved.items()
            for k, state in enumerate(states)
            if state
        }

    def run(self, path: Path, code: list[str], wanted: set[int]) -> tuple[dict[str, list], bool]:
        """The saved states by the number of the cell, and whether all could be made."""
        print(f"- widgets of {path.stem}", flush=True)
        cells = [nbformat.v4.new_code_cell(source) for source in code]
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(FIRST), *cells])
        limit = round(SECONDS * busy())
        run(nb, path.parents[1], limit, allow_errors=True, interrupt_on_timeout=True)
        states, found = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {}), {}
        # A training that was stopped goes on with what it has: no widget of that.
        late = next((i for i, cell in enumerate(cells) if seconds(cell) > limit), len(cells))
        for i in sorted(wanted):
            outputs = cells[i].outputs if i < late else []
            views = [o["data"][VIEW]["model_id"] for o in outputs if VIEW in o.get("data", {})]
            if not views:
                reason = why(cells[: i + 1]) if i < late else f"cell {late} takes too long"
                print(f"  cell {i} of {path.stem} stays a picture: {reason}")
            saved = [states.get(view, {}) for view in views]
            found[str(i)] = [state if "_esm" in state.get("state", {}) else None for state in saved]
        return found, all(found.values())

    def file(self, saved: dict) -> str:
        """The name of the file with a widget's state; its script, as it is now, is one of its own."""
        module, _, name = saved["state"]["_anywidget_id"].rpartition(".")
        widget = getattr(importlib.import_module(module), name)
        scripts = {"_esm": str(widget._esm), "_css": str(getattr(widget, "_css", ""))}
        shown, buffers = list(saved["state"].get("_frames", [])), []
        for buffer in saved.get("buffers", []):
            name, *at = buffer["path"]
            if name == "_frames":  # as files, so that a page loads a film when it is touched
                shown[at[0]] = self.keep(base64.b64decode(buffer["data"]), "webp")
            else:
                buffers.append(buffer)
        state = saved["state"] | scripts | ({"_frames": shown} if shown else {})
        source, style, state = without_kernel({"state": state, "buffers": buffers})
        module = self.keep(source, "js")
        return self.keep(json.dumps({"module": module, "css": style, "state": state}), "json")

    def keep(self, content: str | bytes, kind: str) -> str:
        packed = content.encode() if isinstance(content, str) else content
        name = f"{hashlib.sha256(packed).hexdigest()[:16]}.{kind}"
        self.files[name] = content
        return name


def seconds(cell) -> float:
    """How long a cell ran."""
    times = cell.metadata.get("execution", {})
    names = ("iopub.status.busy", "iopub.status.idle")
    begin, end = (times.get(name, "") for name in names)
    return (
        (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds() if end else 0
    )


def why(cells) -> str:
    """What went wrong in these cells, in a line."""
    errors = [o for cell in cells for o in cell.outputs if o.output_type == "error"]
    return f"{errors[0].ename}: {errors[0].evalue}"[:200] if errors else "no widget was shown"
