"""Every notebook as it is stored: complete, current, light and accessible, with exercises that can
be solved.

Each check returns the faults it finds. The second half of this file plants a fault for each check.
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
            alt = output.metadata.get(kind, {}).get("alt", "")
            if kind.startswith("image/") and not alt.strip():
                faults.append(f"{kind} without alt text")
        faults += images_without_alt("".join(output.get("data", {}).get("text/html", "")))
    for cell in markdown(nb):
        faults += images_without_alt(cell.source)
        bare = re.findall(r"!\[\s*\]\([^)]*\)", cell.source)
        faults += [f"no alt text: {found}" for found in bare]
    return faults


def images_without_alt(html):
    images = re.findall(r"<img[^>]*>", html)
    return [f"no alt text: {i[:60]}" for i in images if not re.search(r'alt="[^"]+"', i)]


def has_no_widget_state(nb, path):
    faults = ["widget state in its metadata"] if "widgets" in nb.metadata else []
    kinds = [kind for _, output in outputs(nb) for kind in output.get("data", {})]
    return faults + ["a widget's view" for kind in kinds if "widget" in kind]


def has_links_that_lead_somewhere(nb, path):
    faults = []
    for text in markdown_texts(nb):
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
                if anchor.removeprefix("cell-id=") not in {cell.id for cell in cells}:
                    faults.append(f"{link}: no such cell")
            elif anchor and anchor not in anchors(nb if not name else target):
                faults.append(f"{link}: no such heading")
    return faults


def anchors(target):
    """Give the names of the headings, as a code host and as JupyterLab write them, and explicit ids."""
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
            plain = re.sub(r"[^\w -]", "", heading.lower())
            found |= {heading.replace(" ", "-"), plain.replace(" ", "-")}
    return found


def has_tags_that_are_known(nb, path):
    faults = []
    for tag in {tag for cell in nb.cells for tag in cell.metadata.get("tags", [])}:
        number = re.fullmatch(r"claim-([1-9]\d*)", tag)
        if tag.startswith("claim") and not (number and int(number[1]) <= 44):
            faults.append(f"{tag}: a claim's tag is claim-1 to claim-44")
    return faults


def has_the_colab_cell_first(nb, path):
    tags = code(nb)[0].metadata.get("tags", []) if code(nb) else []
    return [] if "colab" in tags else ["its first code cell is not Colab's"]


def has_code_that_fits_the_column(nb, path):
    """88 characters where the code is read; 100, the formatter's, in a folded cell."""
    faults = []
    for cell in code(nb):
        widest = 100 if cell.metadata.get("jupyter", {}).get("source_hidden") else 88
        wide = [line for line in cell.source.split("\n") if len(line) > widest]
        faults += [f"{len(line)} characters: {line[:60]}" for line in wide]
    return faults


def has_short_visible_code(nb, path):
    """At most 15 lines of code stand open in a cell of the student's copy; plumbing is folded."""
    faults = []
    for cell in code(nb) if path.parent.name != "solutions" else []:
        if not cell.metadata.get("jupyter", {}).get("source_hidden"):
            n = lines_of_code(cell.source)
            faults += [f"{n} lines of code: {cell.source[:60]!r}"] * (n > 15)
    return faults


def lines_of_code(source):
    """Lines without the blank ones, comments and docstrings."""
    tree = ast.parse(re.sub(r"^\s*[%!].*$", "pass", source, flags=re.M))
    left_out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out |= set(range(node.lineno, node.end_lineno + 1))
    lines = [(i, line.strip()) for i, line in enumerate(source.split("\n"), 1)]
    return sum(bool(line) and line[0] != "#" and i not in left_out for i, line in lines)


def has_a_hint_line_for_each_exercise(nb, path):
    text = "\n".join(cell.source for cell in code(nb))
    names = {name for name in re.findall(r"\bcheck\.(\w+)\(", text) if name.islower()}
    return [
        f"no line `# check.{name}.hint()`"
        for name in sorted(names)
        if f"# check.{name}.hint()" not in text
    ]


def shows_what_is_predicted_only_when_it_is_run(nb, path):
    if path.parent.name == "solutions":
        return []
    hidden = copy.deepcopy(nb)
    build.hide_what_is_predicted(hidden)
    pairs = zip(code(nb), code(hidden), strict=True)
    return [f"shows its answer: {a.source[:60]!r}" for a, b in pairs if a.outputs != b.outputs]


def ends_with_the_next_notebook(nb, path):
    """A line "Next: ..." that links to it, in the last cell; the last notebook looks back."""
    if path.stem == max(STUDENTS).stem:
        return []
    last = markdown(nb)[-1].source
    return [] if re.search(r"\bNext: [^\n]*", last) else ['its last cell has no line "Next: ..."']


def has_headings_in_order(nb, path):
    levels = [level for cell in markdown(nb) for level, _ in headings_of(cell.source)]
    titled = levels[:1] == [1] and levels.count(1) == 1
    faults = [] if titled else ["it has not one title, at its beginning"]
    return faults + [f"a heading of level {b} under {a}" for a, b in pairwise(levels) if b > a + 1]


def is_read_as_written(nb, path):
    """No formula has a line that begins with a sign, which Markdown reads as a list, and none in a
    table has a bar, which ends the column.
    """
    formula, faults = r"\$([^$]+)\$", []
    for text in markdown_texts(nb):
        for inline in re.findall(formula, re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)):
            if re.search(r"\n[-+*] ", inline):
                faults.append(f"a sign at the beginning of a line makes a list of ${inline}$")
        for row in re.findall(r"^\|.*$", text, flags=re.M):
            if any("|" in found.replace(r"\|", "") for found in re.findall(formula, row)):
                faults.append(rf"a bar in a formula ends a column, \mid does not: {row}")
    return faults


def headings_of(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    found = re.findall(r"^(#+) (.*)$", text, flags=re.M)
    return [(len(marks), title.strip()) for marks, title in found]


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
        data = output.get("data", {}).items()
        texts = [output.get("text", ""), *(v for kind, v in data if kind.startswith("text/"))]
        text = "".join(map("".join, texts))
        faults += [f"{found[0]!r} in an output" for p in patterns if (found := re.search(p, text))]
    version = nb.metadata.get("language_info", {}).get("version")
    return faults + ([f"Python {version} in its metadata"] if version else [])


def is_what_its_source_gives(nb, path, source=None):
    source = source or FOLDER / "source" / f"{path.stem}.py"
    if not source.exists():
        return [f"it has no source {source.name}"]
    name = f"solutions/{path.name}" if path.parent.name == "solutions" else path.name
    difference = build.drift(build.copies(source)[name], path)
    return [difference] if difference else []


def has_exercises(nb, path):
    """There are some, blank in the student's copy and right in the solutions, both when they are
    run here and in the stored output.
    """
    done = path.parent.name == "solutions"
    expected = ("pass", "Right") if done else ("blank", "Not done yet")
    verdicts, faults = judged(nb), []
    for name, (kind, text, stored) in verdicts.items():
        if kind != expected[0]:
            faults.append(f"{name}: {kind}, not {expected[0]}: {text}")
        if expected[1] not in stored:
            faults.append(f"{name}: its stored output does not say {expected[1]!r}")
    for cell in code(nb):
        if re.search(r"### (BEGIN|END|BLANK)", cell.source):
            faults.append("a marker of a solution is left")
    return faults if verdicts else ["it has no exercise"]


DEFINITIONS = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef


def judged(nb):
    """Give {exercise: (kind of verdict, text, stored output)}; runs only imports, definitions and
    checks.
    """
    space, verdicts = {}, {}
    for cell in code(nb):
        if "colab" in cell.metadata.get("tags", []):
            continue
        for node in ast.parse(re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.M)).body:
            call = node.value if isinstance(node, ast.Assign | ast.Expr) else None
            called = call.func if isinstance(call, ast.Call) else None
            checks = isinstance(called, ast.Attribute) and ast.unparse(called.value) == "check"
            if checks or isinstance(node, DEFINITIONS):
                # A definition that needs a notebook's results fails here, and no judge needs it.
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


def markdown_texts(nb):
    """The Markdown of the cells, and that of the outputs."""
    shown = [output.get("data", {}).get("text/markdown", "") for _, output in outputs(nb)]
    return [cell.source for cell in markdown(nb)] + ["".join(text) for text in shown]


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
    has_short_visible_code,
    has_a_hint_line_for_each_exercise,
    shows_what_is_predicted_only_when_it_is_run,
    ends_with_the_next_notebook,
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
# check.log_bernoulli.hint()

# %% [markdown]
# Next: nothing.
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
    data = {"text/plain": "Not done yet: write it", "image/png": "iVBO"}
    alt = {"image/png": {"alt": "nothing"}}
    code(nb)[-1].outputs = [new_output("display_data", data, metadata=alt)]
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
        code(nb)[-1].outputs.append(new_output(**fields))

    return plant


def show(kind, value):
    return output(output_type="display_data", data={kind: value})


def printed(text, to="stdout"):
    return lambda nb: code(nb)[-1].outputs.append(stream(text, to))


def tag(name):
    return lambda nb: nb.cells[2].metadata.tags.append(name)


def put(**fields):
    def plant(nb):
        code(nb)[-1].update(fields)

    return plant


SOLVED = TINY.split('["claim-23"]\n')[1].split("\n\n")[0]
SOLVED = SOLVED.replace("### BEGIN SOLUTION", "").replace("### END SOLUTION", "")
PLANTED = {
    is_valid: {
        "two cells of one id": lambda nb: nb.cells[0].update(id=nb.cells[1].id),
        "an unknown kind of cell": lambda nb: nb.cells[0].update(cell_type="prose"),
    },
    is_what_its_source_gives: {
        "a changed character": add("!"),
        "a lost cell": lambda nb: nb.cells.pop(),
        "a lost tag": lambda nb: nb.cells[2].metadata.clear(),
        "another id": lambda nb: nb.cells[2].update(id="other"),
    },
    was_run_from_top_to_bottom_without_error: {
        "a cell that was not run": put(execution_count=None),
        "cells run out of order": put(execution_count=7),
        "an error": output(output_type="error", ename="E", evalue="", traceback=[]),
        "a warning": printed("careful", "stderr"),
    },
    is_light: {"a heavy picture": show("image/png", "A" * (1 << 20))},
    names_no_machine: {
        "a home folder": printed("in /home/me/x"),
        "this folder": printed(f"in {ROOT}/x"),
        "an address in memory": printed("at 0x7f00aabb"),
        "a version": lambda nb: nb.metadata.language_info.update(version="3.11.7"),
    },
    has_a_text_for_each_picture: {
        "a picture without text": show("image/png", "iVBO"),
        "an image in markdown without text": add("\n![](a.png)"),
        "an image in HTML without text": add('\n<img src="a.png">'),
    },
    has_no_widget_state: {
        "widget state": lambda nb: nb.metadata.update(widgets={}),
        "a widget's view": show(build.WIDGET, {}),
    },
    has_links_that_lead_somewhere: {
        "a dead link": add("\n[x](02_none.ipynb)"),
        "a dead anchor": add("\n[x](#none)"),
        "a dead cell": add("\n[x](#cell-id=none)"),
        "a dead link in a table": show("text/markdown", "| [x](02_none.ipynb#cell-id=a) |"),
    },
    has_tags_that_are_known: {
        "a claim that nobody made": tag("claim-45"),
        "a claim misspelt": tag("claim_2"),
    },
    has_the_colab_cell_first: {
        "Colab's cell later": lambda nb: nb.cells.insert(1, nb.cells.pop(2))
    },
    has_code_that_fits_the_column: {"a long line": add("\n#" + "-" * 88, -2)},
    has_short_visible_code: {"16 lines": add("\nx = 0" * 16, -2)},
    has_a_hint_line_for_each_exercise: {
        "no hint line": lambda nb: nb.cells[-2].update(
            source=nb.cells[-2].source.replace(".hint", ".hints")
        )
    },
    shows_what_is_predicted_only_when_it_is_run: {
        "an answer in sight": lambda nb: nb.cells[-3].update(
            cell_type="markdown", source="**Predict.** Is it right?"
        )
    },
    ends_with_the_next_notebook: {"no next": lambda nb: nb.cells[-1].update(source="The end.")},
    has_headings_in_order: {
        "two titles": add("\n\n# Another title"),
        "a level left out": add("\n\n#### Deep"),
    },
    is_read_as_written: {
        "a sign that makes a list": add("\nso that $a\n+ b$ is broken"),
        "a bar in a table's formula": show("text/markdown", "| a |\n|:--|\n| $p(x|z)$ |"),
    },
    has_exercises: {
        "no exercise": lambda nb: nb.cells.pop(-2),
        "a solution in the student's copy": lambda nb: nb.cells[2].update(source=SOLVED),
        "a marker": add("\n### END SOLUTION", 2),
        "another stored verdict": lambda nb: code(nb)[-1].outputs.clear(),
    },
}
FAULTS = {name: (check, plant) for check, some in PLANTED.items() for name, plant in some.items()}


def test_a_notebook_without_fault_passes_every_check(tiny):
    faults = {check.__name__: faults_of(check, *tiny) for check in CHECKS}
    assert not any(faults.values()), faults


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(tiny, name):
    check, plant = FAULTS[name]
    nb, path, source = tiny
    plant(nb)
    assert faults_of(check, nb, path, source)


def test_a_link_to_a_cell_that_is_there_is_none(tiny):
    nb, path, _ = tiny
    nb.cells[0].source += f"\n[x](#cell-id={nb.cells[-1].id})"
    assert has_links_that_lead_somewhere(nb, path) == []


def test_every_check_has_a_planted_fault():
    assert set(PLANTED) == set(CHECKS)


@pytest.mark.parametrize(
    ("answer", "fault"), [(SOLVED, False), (SOLVED.replace("2 *", "3 *"), True)]
)
def test_solutions_are_run(tiny, answer, fault):
    nb, path, _ = tiny
    nb.cells[2].source = answer
    code(nb)[-1].outputs[0].data["text/plain"] = "Right: yes"
    assert bool(has_exercises(nb, path.parent / "solutions" / path.name)) == fault
