"""The notebooks' widgets for a page without a kernel: their state, from a run of the few statements
that make them (slice.py), kept for the next build.
"""

import hashlib
import importlib
import json
import os
from pathlib import Path

import nbformat
from page import STATE, VIEW, run, without_kernel

from web.slice import slice_of

SECONDS = 60  # for what one widget needs; one that needs longer stays a picture
ROOT = Path(__file__).resolve().parents[1]


def is_widget(output) -> bool:
    return "run this cell" in output.get("data", {}).get("text/plain", "")


# What these widgets show comes from Python, whatever the reader does: `slider_figure`, and the pads
# of notebook 10, whose networks JavaScript does not run.
IN_PYTHON = ("A widget stands here", "Pictures of what each pixel", "A pad to write half a digit")


def needs_kernel(output) -> bool:
    return output["data"]["text/plain"].startswith(IN_PYTHON)


class Widgets:
    """The widgets of all notebooks: `widget(path)` gives what a page asks for, and `files`, {name:
    content}, are what the pages load.
    """

    def __init__(self, cache: Path):
        self.cache, self.files = cache, {}
        course = sorted((ROOT / "dgmcourse").rglob("*.py"))
        self.version = hashlib.sha256(b"".join(path.read_bytes() for path in course))

    def of(self, path: Path) -> dict[tuple[str, int], str]:
        """The name of the file with the state, of each widget of a notebook (a solved copy): by its
        cell's id and which of the cell's widgets it is.
        """
        cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
        cells = [c for c in cells if "colab" not in c.metadata.get("tags", [])]
        sources, named = [cell.source for cell in cells], {}
        slices = {}
        for i, cell in enumerate(cells):
            widgets = list(filter(is_widget, cell.outputs))
            if widgets and not all(map(needs_kernel, widgets)):
                slices[i] = "\n".join(filter(None, slice_of(sources[: i + 1], {i})[:i]))
        for i, saved in self.made(path, slices, sources).items():
            for k, state in enumerate(saved):
                if state:
                    named[cells[i].id, k] = self.file(state)
        return named

    def made(self, path: Path, slices: dict[int, str], sources: list[str]) -> dict[int, list]:
        """The saved states of each of these cells' widgets; None for one that needs a kernel."""
        version = self.version.copy()
        version.update(json.dumps([slices, [sources[i] for i in slices]]).encode())
        kept = self.cache / f"{path.stem}-{version.hexdigest()[:16]}.json"
        if not kept.exists():
            found = self.run(path, slices, sources) if slices else {}
            if not all(found.values()):  # one could not be made: the next build tries again
                return found
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found))
        return {int(i): saved for i, saved in json.loads(kept.read_text()).items()}

    def run(self, path: Path, slices: dict[int, str], sources: list[str]) -> dict[int, list]:
        print(f"- widgets of {path.stem}", flush=True)
        cells = [nbformat.v4.new_code_cell(c) for i in slices for c in (slices[i], sources[i])]
        nb = nbformat.v4.new_notebook(cells=cells)
        busy = max(1.0, os.getloadavg()[0] / os.cpu_count())  # the limit is that of an idle machine
        run(
            nb, path.parents[1], round(SECONDS * busy), allow_errors=True, interrupt_on_timeout=True
        )
        states, found = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {}), {}
        for i, made, cell in zip(slices, cells[::2], cells[1::2], strict=True):
            views = [o["data"][VIEW]["model_id"] for o in cell.outputs if VIEW in o.get("data", {})]
            if not views:
                print(f"  cell {i} of {path.stem} stays a picture: {why([made, cell])}")
            saved = [states.get(view, {}) for view in views]
            found[i] = [state if "_esm" in state.get("state", {}) else None for state in saved]
        return found

    def file(self, saved: dict) -> str:
        """The name of the file with a widget's state; its script, as it is now, is one of its own."""
        module, _, name = saved["state"]["_anywidget_id"].rpartition(".")
        widget = getattr(importlib.import_module(module), name)
        scripts = {"_esm": str(widget._esm), "_css": str(getattr(widget, "_css", ""))}
        source, style, state = without_kernel(saved | {"state": saved["state"] | scripts})
        module = self.keep(source, "js")
        return self.keep(json.dumps({"module": module, "css": style, "state": state}), "json")

    def keep(self, text: str, kind: str) -> str:
        name = f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.{kind}"
        self.files[name] = text
        return name


def why(cells) -> str:
    """What went wrong in these cells, in a line."""
    errors = [o for cell in cells for o in cell.outputs if o.output_type == "error"]
    return f"{errors[0].ename}: {errors[0].evalue}"[:200] if errors else "no widget was shown"
