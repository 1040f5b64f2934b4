"""Every notebook as it is stored: whole, current, light, accessible, and with exercises that can be
done.

Each check returns the faults it finds. That it can is shown by planting some (the second half of
this file).
"""

import ast
import copy
import re
import socket
from collections import Counter
from contextlib import nullcontext, redirect_stdout, suppress
from io import StringIO
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output
from test_build import ROOT, build, stream

FOLDER = ROOT / "notebooks"
STUDENTS = sorted(FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))


# ---- the checks: each is given a notebook and where it is stored


def is_valid(nb, path):
    ids = Counter(cell.id for cell in nb.cells)  # first: nbformat mends what it finds
    faults = [f"cell id {i} is there {n} times" for i, n in ids.items() if n > 1]
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        faults.append(str(error).splitlines()[0])
    return faults


def was_run_from_top_to_bottom_without_error(nb, path):
    counts = [cell.execution_count for cell in code(nb) if cell.source.strip()]
    faults = [] if counts == [*range(1, len(counts) + 1)] else [f"execution counts are {counts}"]
    faults += [f"ends in {o.ename}" for _, o in outputs(nb) if o.output_type == "error"]
    return faults + [
        f"writes to stderr: {o.text[:80]}" for _, o in outputs(nb) if o.get("name") == "stderr"
    ]


def is_light(nb, path):
    size = len(nbformat.writes(nb).encode())
    return [f"{size:,} bytes, more than {build.FILE_BYTES:,}"] if size > build.FILE_BYTES else []


def has_a_text_for_each_picture(nb, path):
    faults = []
    for _, output in outputs(nb):
        for kind in output.get("data", {}):
            if (
                kind.startswith("image/")
                and not output.metadata.get(kind, {}).get("alt", "").strip()
            ):
                faults.append(f"{kind} without alt text")
        faults += images_without_alt("".join(output.get("data", {}).get("text/html", "")))
    for cell in markdown(nb):
        faults += images_without_alt(cell.source)
        faults += [
            f"no alt text: {found}" for found in re.findall(r"!\[\s*\]\([^)]*\)", cell.source)
        ]
    return faults


def images_without_alt(html):
    return [
        f"no alt text: {i[:60]}"
        for i in re.findall(r"<img[^>]*>", html)
        if not re.search(r'alt="[^"]+"', i)
    ]


def has_no_widget_state(nb, path):
    faults = ["widget state in its metadata"] if "widgets" in nb.metadata else []
    return faults + [
        "a widget's view"
        for _, o in outputs(nb)
        if any("widget" in kind for kind in o.get("data", {}))
    ]


def has_links_that_lead_somewhere(nb, path):
    faults = []
    texts = [cell.source for cell in markdown(nb)]
    texts += [
        "".join(output.data["text/markdown"])
        for _, output in outputs(nb)
        if "text/markdown" in output.get("data", {})
    ]
    for text in texts:
        links = re.findall(r"\]\(([^)\s]+)\)", text)
        for link in links + re.findall(r"(?:href|src)=\"([^\"]+)\"", text):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            if name and not target.exists():
                faults.append(f"{link}: no such file")
            elif anchor.startswith("cell-id="):  # JupyterLab goes to that cell
                cells = nbformat.read(target, as_version=4).cells if name else nb.cells
                faults += (
                    []
                    if anchor.removeprefix("cell-id=") in {cell.id for cell in cells}
                    else [f"{link}: no such cell"]
                )
            elif anchor and anchor not in anchors(nb if not name else target):
                faults.append(f"{link}: no such heading")
    return faults


def anchors(target):
    """The names of the headings, as a code host and as JupyterLab write them, and of explicit
    ids.
    """
    if isinstance(target, Path):
        texts = [target.read_text()]
        if target.suffix == ".ipynb":
            texts = [cell.source for cell in markdown(nbformat.read(target, as_version=4))]
    else:
        texts = [cell.source for cell in markdown(target)]
    found = set()
    for text in texts:
        found |= set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
        for _, heading in headings_of(text):
            found |= {
                heading.replace(" ", "-"),
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-"),
            }
    return found


def has_tags_that_are_known(nb, path):
    faults = []
    for tag in {tag for cell in nb.cells for tag in cell.metadata.get("tags", [])}:
        number = re.fullmatch(r"claim-([1-9]\d*)", tag)
        if tag.startswith("claim") and not (number and int(number[1]) <= 44):
            faults.append(f"{tag}: a claim's tag is claim-1 to claim-44")
    return faults


def has_the_colab_cell_first(nb, path):
    return (
        []
        if code(nb) and "colab" in code(nb)[0].metadata.get("tags", [])
        else ["its first code cell is not Colab's"]
    )


def has_code_that_fits_the_column(nb, path):
    """120 characters (the formatter's) where the code is read; 130 in a folded cell, which a reader
    opens to see how a figure is made.
    """
    faults = []
    for cell in code(nb):
        widest = 130 if cell.metadata.get("jupyter", {}).get("source_hidden") else 120
        faults += [
            f"{len(line)} characters: {line[:60]}"
            for line in cell.source.split("\n")
            if len(line) > widest
        ]
    return faults


def has_headings_in_order(nb, path):
    levels = [level for cell in markdown(nb) for level, _ in headings_of(cell.source)]
    faults = (
        []
        if levels[:1] == [1] and levels.count(1) == 1
        else ["it has not one title, at its beginning"]
    )
    return faults + [f"a heading of level {b} under {a}" for a, b in pairwise(levels) if b > a + 1]


def is_read_as_written(nb, path):
    """No formula broken before a sign, which Markdown reads as a list; no bar in a formula that
    ends a table's column.
    """
    texts = [cell.source for cell in markdown(nb)]
    texts += [
        "".join(output.data["text/markdown"])
        for _, output in outputs(nb)
        if "text/markdown" in output.get("data", {})
    ]
    faults = []
    for text in texts:
        inline = re.findall(r"\$([^$]+)\$", re.sub(r"\$\$.*?\$\$", "", text, flags=re.S))
        faults += [
            f"a sign at the beginning of a line makes a list of ${f}$"
            for f in inline
            if re.search(r"\n[-+*] ", f)
        ]
        for row in re.findall(r"^\|.*$", text, flags=re.M):
            if any(
                "|" in formula.replace(r"\|", "") for formula in re.findall(r"\$([^$]+)\$", row)
            ):
                faults.append(rf"a bar in a formula ends a column, \mid does not: {row}")
    return faults


def headings_of(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return [
        (len(marks), title.strip()) for marks, title in re.findall(r"^(#+) (.*)$", text, flags=re.M)
    ]


def names_no_machine(nb, path):
    places = r"(?<![\w.])/(?:home|root|Users|tmp|var|usr|opt|mnt|srv|private|workspace)/[\w.]+"
    patterns = [
        places,
        re.escape(str(ROOT)) + r"\b",
        r"ipykernel_\d",
        r"\b127\.0\.0\.1\b",
        r"\b0x[0-9a-f]{6,}\b",
    ]
    if len(socket.gethostname()) > 5 and socket.gethostname() != "localhost":
        patterns.append(re.escape(socket.gethostname()))
    faults = []
    for _, output in outputs(nb):
        text = "".join(output.get("text", "")) + "".join(
            "".join(value)
            for kind, value in output.get("data", {}).items()
            if kind.startswith("text/")
        )
        faults += [f"{found[0]!r} in an output" for p in patterns if (found := re.search(p, text))]
    version = nb.metadata.get("language_info", {}).get("version")
    return faults + ([f"Python {version} in its metadata"] if version else [])


def is_what_its_source_gives(nb, path, source=None):
    source = source or FOLDER / "source" / f"{path.stem}.py"
    if not source.exists():
        return [f"it has no source {source.name}"]
    solved = path.parent.name == "solutions"
    difference = build.drift(
        build.copies(source)[("solutions/" if solved else "") + path.name], path
    )
    return [difference] if difference else []


def has_exercises(nb, path):
    """There are some, blank in the student's copy and right in the other: run, and in the stored
    output.
    """
    done = path.parent.name == "solutions"
    expected = ("pass", "Right") if done else ("blank", "Not done yet")
    verdicts, faults = judged(nb), []
    for name, (kind, text, stored) in verdicts.items():
        if kind != expected[0]:
            faults.append(f"{name}: {kind}, not {expected[0]}: {text}")
        if expected[1] not in stored:
            faults.append(f"{name}: its stored output does not say {expected[1]!r}")
    faults += [
        "a marker of a solution is left"
        for cell in code(nb)
        if re.search(r"### (BEGIN|END|BLANK)", cell.source)
    ]
    return faults if verdicts else ["it has no exercise"]


def judged(nb):
    """{exercise: (kind of verdict, text, stored output)}: runs imports, definitions and checks
    only.
    """
    space, verdicts = {}, {}
    for cell in code(nb):
        if "colab" in cell.metadata.get("tags", []):
            continue
        for node in ast.parse(re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.M)).body:
            call = node.value if isinstance(node, ast.Assign | ast.Expr) else None
            called = call.func if isinstance(call, ast.Call) else None
            checks = isinstance(called, ast.Attribute) and ast.unparse(called.value) == "check"
            if checks or isinstance(
                node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
            ):
                # A definition that needs what a notebook computes cannot be had here, nor does a
                # judge need it.
                with redirect_stdout(StringIO()), nullcontext() if checks else suppress(NameError):
                    exec(compile(ast.Module([node], []), str(called), "exec"), space)
            if checks:
                verdict = getattr(space["check"], called.attr).last
                stored = " ".join(str(o.get("data", "")) for o in cell.outputs)
                verdicts[called.attr] = (verdict.kind, verdict.text, stored)
    return verdicts


def code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def markdown(nb):
    return [cell for cell in nb.cells if cell.cell_type == "markdown"]


def outputs(nb):
    return [(cell, output) for cell in code(nb) for output in cell.outputs]


CHECKS = [
    is_valid,
    is_what_its_source_gives,
    was_run_from_top_to_bottom_without_error,
    is_light,
    names_no_machine,
    has_a_text_for_each_picture,
    has_no_widget_state,
    has_links_that_lead_somewhere,
    has_tags_that_are_known,
    has_the_colab_cell_first,
    has_code_that_fits_the_column,
    has_headings_in_order,
    is_read_as_written,
    has_exercises,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "path", STUDENTS + SOLUTIONS, ids=lambda path: str(path.relative_to(FOLDER))
)
def test_notebook(path, check):
    faults = check(nbformat.read(path, as_version=4), path)
    assert not faults, f"{path.relative_to(ROOT)}: " + "\n".join(faults)


def test_each_source_has_its_two_notebooks():
    names = [source.stem for source in sorted((FOLDER / "source").glob("*.py"))]
    assert "00_welcome" in names
    assert [path.stem for path in STUDENTS] == names == [path.stem for path in SOLUTIONS]


def test_the_map_links_what_is_there_with_its_minutes():
    welcome = nbformat.read(FOLDER / "00_welcome.ipynb", as_version=4)
    rows = [
        line
        for cell in markdown(welcome)
        for line in cell.source.split("\n")
        if re.match(r"\| \[?\d\d ", line)
    ]
    linked = {re.search(r"\((\w+)\.ipynb\)", row)[1]: row for row in rows if ".ipynb)" in row}
    assert sorted(linked) == [path.stem for path in STUDENTS if path.stem != "00_welcome"]
    assert len(rows) == 16, "the lecture has sixteen notebooks, there or in preparation"
    for name, row in linked.items():
        first = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells[0].source
        assert f"{row.split('|')[-2].strip()} minutes" in first, (
            f"{name} says another time than the map"
        )


# ---- each check finds what it is for

TINY = """\
# %% [markdown]
# # A title
# A [link](../LICENSE), an [anchor](#a-part) and [elsewhere](https://example.org).
#
# ## A part

# %% tags=["colab"]
import sys

# %% tags=["claim-23"]
def log_bernoulli(x, logits):
    ### BEGIN SOLUTION
    from torch.nn.functional import logsigmoid
    return logsigmoid((2 * x - 1) * logits).sum(-1)
    ### END SOLUTION

# %%
from dgmcourse.check import welcome as check

log_bernoulli = check.log_bernoulli(log_bernoulli)
"""


@pytest.fixture
def tiny(tmp_path):
    """The student's copy of a notebook without fault, where it is stored, and its source."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "LICENSE").write_text("free")
    source = tmp_path / "01_tiny.py"
    source.write_text(TINY)
    nb, path = build.notebook(source, solved=False), tmp_path / "notebooks" / "01_tiny.ipynb"
    for i, cell in enumerate(code(nb)):
        cell.execution_count = i + 1
    last = nb.cells[-1]
    last.outputs = [
        new_output("display_data", {"text/plain": "Not done yet: write it", "image/png": "iVBO"})
    ]
    last.outputs[0].metadata = {"image/png": {"alt": "nothing"}}
    return nb, path, source


def faults_of(check, nb, path, source):
    nb = copy.deepcopy(nb)
    if check is is_what_its_source_gives:
        nbformat.write(nb, path)
        return check(nb, path, source)
    return check(nb, path)


def add(text, cell=0):
    def plant(nb):
        nb.cells[cell].source += text

    return plant


def output(**fields):
    def plant(nb):
        nb.cells[-1].outputs.append(new_output(**fields))

    return plant


def put(**fields):
    def plant(nb):
        nb.cells[-1].update(fields)

    return plant


PLANTED = {
    "two cells of one id": (is_valid, lambda nb: nb.cells[0].update(id=nb.cells[1].id)),
    "an unknown kind of cell": (is_valid, lambda nb: nb.cells[0].update(cell_type="prose")),
    "a changed character": (is_what_its_source_gives, add("!")),
    "a lost cell": (is_what_its_source_gives, lambda nb: nb.cells.pop()),
    "a lost tag": (is_what_its_source_gives, lambda nb: nb.cells[2].metadata.clear()),
    "another id": (is_what_its_source_gives, lambda nb: nb.cells[2].update(id="other")),
    "a cell that was not run": (
        was_run_from_top_to_bottom_without_error,
        put(execution_count=None),
    ),
    "cells run out of order": (was_run_from_top_to_bottom_without_error, put(execution_count=7)),
    "an error": (
        was_run_from_top_to_bottom_without_error,
        output(output_type="error", ename="E", evalue="", traceback=[]),
    ),
    "a warning": (
        was_run_from_top_to_bottom_without_error,
        lambda nb: nb.cells[-1].outputs.append(stream("careful", "stderr")),
    ),
    "a heavy picture": (
        is_light,
        output(output_type="display_data", data={"image/png": "A" * (1 << 20)}),
    ),
    "a home folder": (
        names_no_machine,
        lambda nb: nb.cells[-1].outputs.append(stream("in /home/me/x")),
    ),
    "this folder": (
        names_no_machine,
        lambda nb: nb.cells[-1].outputs.append(stream(f"in {ROOT}/x")),
    ),
    "an address in memory": (
        names_no_machine,
        lambda nb: nb.cells[-1].outputs.append(stream("at 0x7f00aabb")),
    ),
    "a version": (names_no_machine, lambda nb: nb.metadata.language_info.update(version="3.11.7")),
    "a picture without text": (
        has_a_text_for_each_picture,
        output(output_type="display_data", data={"image/png": "iVBO"}),
    ),
    "an image in markdown without text": (has_a_text_for_each_picture, add("\n![](a.png)")),
    "an image in HTML without text": (has_a_text_for_each_picture, add('\n<img src="a.png">')),
    "widget state": (has_no_widget_state, lambda nb: nb.metadata.update(widgets={})),
    "a widget's view": (
        has_no_widget_state,
        output(output_type="display_data", data={build.WIDGET: {}}),
    ),
    "a dead link": (has_links_that_lead_somewhere, add("\n[x](02_none.ipynb)")),
    "a dead anchor": (has_links_that_lead_somewhere, add("\n[x](#none)")),
    "a dead cell": (has_links_that_lead_somewhere, add("\n[x](#cell-id=none)")),
    "a dead link in a table": (
        has_links_that_lead_somewhere,
        output(
            output_type="display_data", data={"text/markdown": "| [x](02_none.ipynb#cell-id=a) |"}
        ),
    ),
    "a claim that nobody made": (
        has_tags_that_are_known,
        lambda nb: nb.cells[2].metadata.tags.append("claim-45"),
    ),
    "a claim misspelt": (
        has_tags_that_are_known,
        lambda nb: nb.cells[2].metadata.tags.append("claim_2"),
    ),
    "Colab's cell later": (
        has_the_colab_cell_first,
        lambda nb: nb.cells.insert(1, nb.cells.pop(2)),
    ),
    "a long line": (has_code_that_fits_the_column, add("\n#" + "-" * 120, -1)),
    "two titles": (has_headings_in_order, add("\n\n# Another title")),
    "a level left out": (has_headings_in_order, add("\n\n#### Deep")),
    "a sign that makes a list": (is_read_as_written, add("\nso that $a\n+ b$ is broken")),
    "a bar in a table's formula": (
        is_read_as_written,
        output(output_type="display_data", data={"text/markdown": "| a |\n|:--|\n| $p(x|z)$ |"}),
    ),
    "no exercise": (has_exercises, lambda nb: nb.cells.pop()),
    "a solution in the student's copy": (
        has_exercises,
        lambda nb: nb.cells[2].update(source=SOLVED),
    ),
    "a marker": (has_exercises, add("\n### END SOLUTION", 2)),
    "another stored verdict": (has_exercises, lambda nb: nb.cells[-1].outputs.clear()),
}
SOLVED = (
    TINY.split('["claim-23"]\n')[1]
    .split("\n\n")[0]
    .replace("### BEGIN SOLUTION", "")
    .replace("### END SOLUTION", "")
)


def test_a_notebook_without_fault_passes_every_check(tiny):
    assert {check.__name__: faults_of(check, *tiny) for check in CHECKS} == {
        c.__name__: [] for c in CHECKS
    }


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(tiny, name):
    check, plant = PLANTED[name]
    nb, path, source = tiny
    plant(nb)
    assert faults_of(check, nb, path, source)


def test_a_link_to_a_cell_that_is_there_is_none(tiny):
    nb, path, _ = tiny
    nb.cells[0].source += f"\n[x](#cell-id={nb.cells[-1].id})"
    assert has_links_that_lead_somewhere(nb, path) == []


def test_every_check_has_a_planted_fault():
    assert {check for check, _ in PLANTED.values()} == set(CHECKS)


@pytest.mark.parametrize(
    ("answer", "fault"), [(SOLVED, False), (SOLVED.replace("2 *", "3 *"), True)]
)
def test_solutions_are_run(tiny, answer, fault):
    nb, path, _ = tiny
    nb.cells[2].source = answer
    nb.cells[-1].outputs[0].data["text/plain"] = "Right: yes"
    assert bool(has_exercises(nb, path.parent / "solutions" / path.name)) == fault
