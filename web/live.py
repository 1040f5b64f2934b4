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
from page import STATE, VIEW, inside, run, without_kernel

from web.slice import slice_of

SECONDS = 60  # for one cell; a widget that needs longer stays a picture
PATIENCE = 900  # seconds for one cell, where all widgets are to be made
SECONDS_IN_ALL = 150  # for all cells; what is left stays a picture until the next build
LIGHT = 150  # lines: what depends on more of a notebook's code is made last
SMALL = 10_000  # bytes; an array up to here stays in the file of its widget
ROOT = Path(__file__).resolve().parents[1]


def is_widget(output) -> bool:
    return "run this cell" in output.get("data", {}).get("text/plain", "")


FIRST = f"import sys; sys.path.append({str(ROOT)!r})\nfrom web.alone import alone; alone()"
FIRST += "\nimport torch; torch.set_num_threads(1)"  # several notebooks run side by side


def busy() -> float:
    """How many times as long as on an idle machine a thing may take now."""
    return max(1.0, os.getloadavg()[0] / os.cpu_count())


class Slice:
    """The part of a notebook that makes the widgets of some of its cells.

    `cells` are its code cells, `wanted` the numbers of those that show the widgets, `code` what is run
    of each cell up to the last of them.
    """

    def __init__(self, path: Path, cells: list, wanted: set[int]):
        self.path, self.cells, self.wanted = path, cells, wanted
        sources = [cell.source for cell in cells][: max(wanted) + 1]
        self.code = slice_of(sources, wanted)
        self.lines = sum(len(code.splitlines()) for code in self.code)


def slices(path: Path, only: re.Pattern) -> list[Slice]:
    """The slices of a notebook's widgets in whose cells the pattern is: those that need little code,
    and apart from them those that need much, most of the notebook's trainings among it.
    """
    cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    cells = [c for c in cells if "colab" not in c.metadata.get("tags", [])]
    shown = [i for i, cell in enumerate(cells) if any(map(is_widget, cell.outputs))]
    shown = [i for i in shown if only.search(cells[i].source)]
    light = {i for i in shown if Slice(path, cells, {i}).lines <= LIGHT}
    return [Slice(path, cells, part) for part in (light, {*shown} - light) if part]


class Widgets:
    """The widgets of the notebooks: `make(paths)` runs them, and then `named` holds for each path the
    name of the file with the state of each of its widgets, by its cell's id and which of the cell's
    widgets it is; `files`, {name: content}, are what the pages load.

    Args:
        cache: the folder where what was made is kept.
        only: sought in the code of a widget's cell; the others stay pictures.
        all_of_them: however long it takes.
    """

    def __init__(self, cache: Path, only: str = "", all_of_them: bool = False):
        self.limit, self.limit_each = SECONDS_IN_ALL, SECONDS
        if all_of_them:
            self.limit, self.limit_each = math.inf, PATIENCE
        self.cache, self.only = cache, re.compile(only)
        self.named, self.files, self.left = {}, {}, 0
        course = sorted((ROOT / "dgmcourse").rglob("*.py"))
        course += sorted((ROOT / "dgmcourse" / "weights").iterdir())
        course += [ROOT / "web" / f"{name}.py" for name in ("alone", "frames", "pads")]
        self.version = hashlib.sha256(b"".join(path.read_bytes() for path in course))

    def make(self, paths: list[Path]) -> None:
        """Make the widgets of these notebooks (solved copies), those that need least code first."""
        self.began = time.monotonic()
        self.named = {path: {} for path in paths}
        parts = [part for path in paths for part in slices(path, self.only)]
        parts.sort(key=lambda part: part.lines)
        with ThreadPoolExecutor(min(os.cpu_count(), 4)) as pool:
            for part, states in zip(parts, pool.map(self.made, parts), strict=True):
                self.named[part.path] |= {key: self.file(state) for key, state in states.items()}
        if self.left:
            print(f"- {self.left} widgets stay pictures: build again for more, or with --all")

    def made(self, part: Slice) -> dict[tuple[str, int], dict]:
        """The saved states of a slice's widgets, kept or from a run."""
        version = self.version.copy()
        version.update(json.dumps([part.code, sorted(part.wanted)]).encode())
        kept = self.cache / f"{part.path.stem}-{version.hexdigest()[:16]}.json"
        if kept.exists():
            saved = json.loads(kept.read_text())
        elif self.allowed() <= 0:
            self.left += len(part.wanted)
            return {}
        else:
            saved, complete = self.run(part)
            if complete:  # else the next build tries again
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(saved))
        return {
            (part.cells[int(i)].id, k): state
            for i, states in saved.items()
            for k, state in enumerate(states)
            if state
        }

    def allowed(self) -> float:
        """The seconds that a cell may run now; none are left when all have had their time."""
        left = self.limit * busy() - (time.monotonic() - self.began)
        return min(self.limit_each * busy(), left)

    def run(self, part: Slice) -> tuple[dict[str, list], bool]:
        """The saved states by the number of the cell, and whether all could be made."""
        name = part.path.stem
        print(f"- widgets of {name}", flush=True)
        cells = [nbformat.v4.new_code_cell(source) for source in part.code]
        nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(FIRST), *cells])
        limits = {}  # of the cells, by their ids

        def limit(cell) -> int:
            return limits.setdefault(cell.id, max(1, math.ceil(self.allowed())))

        options = {"allow_errors": True, "interrupt_on_timeout": True, "timeout_func": limit}
        run(nb, part.path.parents[1], **options)
        states, found = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {}), {}
        # A training that was stopped goes on with what it has: no widget of that.
        stopped = (i for i, cell in enumerate(cells) if seconds(cell) > limits.get(cell.id, 0))
        late = next(stopped, len(cells))
        for i in sorted(part.wanted):
            outputs = cells[i].outputs if i < late else []
            views = [o["data"][VIEW]["model_id"] for o in outputs if VIEW in o.get("data", {})]
            if not views and self.allowed() <= 0:
                self.left += 1
            elif not views:
                reason = why(cells[: i + 1]) if i < late else f"cell {late} takes too long"
                print(f"  cell {i} of {name} stays a picture: {reason}")
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
        source, style, state = without_kernel({"state": state, "buffers": buffers}, self.kept)
        module = self.keep(source, "js")
        return self.keep(json.dumps({"module": module, "css": style, "state": state}), "json")

    def kept(self, packed: bytes) -> dict[str, str]:
        """A packed array: as a file where it is large, of which other widgets may have the same."""
        return inside(packed) if len(packed) < SMALL else {"file": self.keep(packed, "bin")}

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
