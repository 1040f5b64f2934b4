"""The builder of the notebooks: what it cuts, what it keeps the same, and what it refuses."""

import ast
import importlib.util
import json
import shutil
import sys
from itertools import groupby
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output

from dgmcourse import recipes
from dgmcourse.data import images

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("notebooks_build", ROOT / "notebooks" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

SOURCE = '''\
# %% [markdown]
# # A title
# See [the next](02_next.ipynb), [the licence](../LICENSE), [above](#a-title) and [elsewhere](https://example.org).

# %% tags=["colab"]
import sys

# %%
def double(x):
    """2 x"""
    ### BEGIN SOLUTION
    y = x + x
    return y
    ### END SOLUTION


def half(x):
    ### BEGIN SOLUTION
    ### BLANK: y = ...
    ### BLANK: return y
    return x / 2
    ### END SOLUTION


# %%
print("a set in a fixed order:", {"a", "b", "c"}, object())
'''


@pytest.fixture
def folder(tmp_path):
    """A folder as notebooks/ is, with one source."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "01_tiny.py").write_text(SOURCE)
    return tmp_path


def edit(folder, old, new):
    path = folder / "source" / "01_tiny.py"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def both(folder):
    return [build.notebook(folder / "source" / "01_tiny.py", solved) for solved in (False, True)]


def test_solutions_are_cut_and_kept(folder):
    student, solved = (nb.cells[2].source for nb in both(folder))
    assert student.splitlines() == [
        "def double(x):",
        '    """2 x"""',
        "    ...",
        "",
        "",
        "def half(x):",
        "    y = ...",
        "    return y",
    ]
    assert "    y = x + x\n    return y\n" in solved and solved.endswith("    return x / 2")
    assert "###" not in student + solved


@pytest.mark.parametrize(
    "broken",
    [
        "### BEGIN SOLUTION\nx = 1",
        "x = 1\n### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION",
    ],
)
def test_half_a_region_is_refused(broken):
    with pytest.raises(SystemExit, match="without its other half"):
        build.cut(broken, solved=False)


def test_the_copies_are_linked_and_their_links_lead_to_the_same_places(folder):
    student, solved = build.copies(folder / "source" / "01_tiny.py").values()
    assert "(../01_tiny.ipynb)" in solved.cells[0].source
    assert "(../LICENSE)" in student.cells[0].source and "(../../LICENSE)" in solved.cells[1].source
    for same in ("(02_next.ipynb)", "(#a-title)", "(https://example.org)"):
        assert same in student.cells[0].source and same in solved.cells[1].source


def test_ids_are_unique_the_same_in_both_copies_and_stay_when_other_cells_change(folder):
    before, solved = ([cell.id for cell in nb.cells] for nb in both(folder))
    assert before == solved and len(set(before)) == len(before)
    edit(folder, "# %% tags", "# %%\nnew = 1\n\n# %%\nnew = 1\n\n# %% tags")
    after = [cell.id for cell in both(folder)[0].cells]
    assert [id for id in after if id in before] == before and len(set(after)) == len(before) + 2
    edit(folder, "x + x", "2 * x")
    assert [
        a == b for a, b in zip(after, (c.id for c in both(folder)[0].cells), strict=True)
    ].count(False) == 1


def test_a_rebuild_gives_the_same_bytes_and_one_changed_character_is_drift(folder):
    assert build.main(["01"], folder) == 0
    paths = [folder / "01_tiny.ipynb", folder / "solutions" / "01_tiny.ipynb"]
    first = [path.read_bytes() for path in paths]
    assert build.main([], folder) == 0 and [path.read_bytes() for path in paths] == first
    assert build.main(["--check"], folder) == 0

    cells = nbformat.read(paths[0], as_version=4).cells
    assert [c.execution_count for c in cells if c.cell_type == "code"] == [1, 2, 3]
    assert "object object at 0x..." in cells[-1].outputs[0].text
    assert "execution" not in first[0].decode().replace("execution_count", "")

    for damage in (("A title", "A tit1e"), ("colab", "c0lab"), ("2 x", "2 y"), ("code", "raw")):
        paths[0].write_text(first[0].decode().replace(*damage, 1))
        assert build.main(["--check"], folder) == 1, damage
    paths[0].write_bytes(first[0])
    edit(folder, "2 x", "2 y")
    assert build.main(["--check"], folder) == 1
    assert [path.read_bytes() for path in paths] == first  # --check writes nothing


def test_prose_can_be_edited_without_running_code_cannot(folder):
    build.main([], folder)
    path = folder / "01_tiny.ipynb"
    edit(folder, "A title", "Another title")
    assert build.main(["--no-execute"], folder) == 0
    cells = nbformat.read(path, as_version=4).cells
    assert "Another" in cells[0].source and cells[-1].outputs and cells[-1].execution_count == 3
    edit(folder, "import sys", "import os")
    build.main(["--no-execute"], folder)
    cells = nbformat.read(path, as_version=4).cells
    assert not cells[-1].outputs and cells[-1].execution_count is None


def test_a_failing_cell_fails_the_build_and_writes_nothing(folder, capsys):
    edit(folder, "import sys", 'raise ValueError("no good")')
    assert build.main([], folder) == 1
    assert "no good" in capsys.readouterr().err and not (folder / "01_tiny.ipynb").exists()


def test_a_notebook_without_source_and_a_source_that_is_not_there_are_said(folder, capsys):
    build.main(["--no-execute"], folder)
    (folder / "09_orphan.ipynb").write_text((folder / "01_tiny.ipynb").read_text())
    assert (
        build.main(["--check"], folder) == 1
        and "09_orphan.ipynb has no source" in capsys.readouterr().err
    )
    assert build.main(["--check", "77"], folder) == 1 and "77" in capsys.readouterr().err


def test_budgets_and_alt_text():
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")])
    assert build.faults(nb, build.SECONDS, build.MEGABYTES, build.FILE_BYTES) == []
    assert len(build.faults(nb, build.SECONDS + 1, build.MEGABYTES + 1, build.FILE_BYTES + 1)) == 3
    empty, told = {"image/png": {"alt": ""}}, {"image/png": {"alt": "a line"}}
    for metadata, faulty in (({}, 1), (empty, 1), (told, 0)):
        nb.cells[0].outputs = [new_output("display_data", {"image/png": "iVBO"}, metadata=metadata)]
        assert len(build.faults(nb, 0, 0, 0)) == faulty


def test_numbers_of_the_few_digits_that_come_with_the_course_are_no_results(monkeypatch, capsys):
    monkeypatch.setattr(images.source, "find", lambda data: (None, "not found"))
    monkeypatch.setattr(images.source, "_said", set())  # each line is said once in a process
    images.mnist()
    said = "".join(capsys.readouterr())
    nb = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("", outputs=[new_output("stream", text=said)])]
    )
    assert "python -m dgmcourse data" in build.faults(nb, 0, 0, 0)[0]
    nb.cells[0].outputs[0].text = "MNIST: 60,000 + 10,000 digits from a folder"
    assert build.faults(nb, 0, 0, 0) == []


def test_a_kernels_memory_is_measured(folder):
    edit(
        folder, "import sys", "ballast = bytearray(b'1') * 200_000_000\nimport time\ntime.sleep(1)"
    )
    heavy, light = both(folder)[0], both(folder)[0]
    for cell in light.cells:
        cell.source = cell.source.replace("200_000_000", "2")
    assert 170 < build.execute(heavy, folder)[1] - build.execute(light, folder)[1] < 230


def tidied(*outputs):
    return build.tidy(list(outputs))


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def test_of_a_progress_bar_its_last_state_is_kept():
    assert tidied(stream("before\n\r 10%\r 50%\r100%\nafter\n"))[0].text == "before\n100%\nafter\n"
    picture = new_output("display_data", {"image/png": "iVBO"})
    kept = tidied(stream("\r 10%\r 50%"), picture, stream("\r 60%\r100%\n"))
    assert kept[0] is picture and kept[1].text == "100%\n" and len(kept) == 2
    assert tidied(stream("a line\r\nanother\n"))[0].text == "a line\r\nanother\n"


def test_of_a_widget_its_text_is_kept():
    view = {build.WIDGET: {"model_id": "1"}}
    (plain,) = tidied(
        new_output("display_data", view | {"text/plain": "interactive(children=(IntSlider(...)))"})
    )
    assert plain.data == {"text/plain": "A widget stands here: run this cell to use it."}
    (own,) = tidied(
        new_output("display_data", view | {"text/plain": "A pad: run this cell to explore it."})
    )
    assert own.data == {"text/plain": "A pad: run this cell to explore it."}


def test_nothing_of_this_machine_is_kept(monkeypatch):
    monkeypatch.setenv("DGMCOURSE_DATA", "/data/of/mine")
    seen = f"{ROOT}/README.md {Path.home()}/.cache {sys.prefix}/lib"
    seen += " /data/of/mine/MNIST <f at 0x7f00aa11bb22>"
    kept = "./README.md ~/.cache .venv/lib $DGMCOURSE_DATA/MNIST <f at 0x...>"
    assert build.anonymous(seen) == kept
    # A neighbour whose name begins with this one's is another place.
    assert build.anonymous(f"{ROOT}-else") != ".-else"
    (html,) = tidied(
        new_output("display_data", {"text/html": f"<b>{ROOT}</b>", "image/png": str(ROOT)})
    )
    assert html.data == {"text/html": "<b>.</b>", "image/png": str(ROOT)}


def test_the_metadata_names_no_version(folder):
    build.main(["--no-execute"], folder)
    metadata = json.loads((folder / "01_tiny.ipynb").read_text())["metadata"]
    assert metadata == build.METADATA and "version" not in metadata["language_info"]


CLAIMS = 'claims = {3: "it " "helps", "claim-5": "lecture: it draws"}\nprint_table(claims)'
TABLE = "| said | measured |\n|:--|:--|\n| it helps | by 2 ± 1 |\n| lecture: it draws | yes |"


def closing(code=CLAIMS, table=TABLE, tags=("claim-3", "claim-5")):
    """A notebook that ends in a table of claims."""
    cells = [
        nbformat.v4.new_code_cell(f"measure({tag!r})", id=tag, metadata={"tags": [tag]})
        for tag in tags
    ]
    output = new_output("display_data", {"text/markdown": table})
    return nbformat.v4.new_notebook(
        cells=[*cells, nbformat.v4.new_code_cell(code, outputs=[output])]
    )


def test_claims_are_read_off_the_closing_table():
    assert build.claims(closing()) == [
        {"claim": 3, "cell": "claim-3", "lecture": "it helps", "measured": "by 2 ± 1"},
        {"claim": 5, "cell": "claim-5", "lecture": "it draws", "measured": "yes"},
    ]
    assert build.claims(closing(code="print(1)")) == []


@pytest.mark.parametrize(
    "fault", [{"table": TABLE.replace("helps", "hurts")}, {"tags": ("claim-3",)}]
)
def test_a_claim_without_its_row_or_its_cell_is_refused(fault):
    with pytest.raises(
        ValueError, match="no such row in the cell's table, or no cell with this tag"
    ):
        build.claims(closing(**fault))


def test_the_claims_of_the_course_are_those_its_notebooks_show():
    """`notebooks/build.py` writes the file; a notebook changed without it is found here."""
    assert build.CLAIMS.read_text(encoding="utf-8") == build.collect(ROOT / "notebooks")


# ---- what is made of the headers

HEADER = """\
# ---
# jupyter:
#   dgmcourse:
#     part: At work
#     question: Can it be found?
#     about: a notebook that nobody listed
#     slides: Extra
#     minutes: 25
#     weights: {vae_8d: VAE, vae_2d_extra: another family}
# ---

# %% [markdown]
# # Found: by its header
# *25 minutes. Slides: "Extra".*

"""


def test_the_lists_of_the_notebooks_are_what_the_headers_give():
    for path, text in build.contents(ROOT / "notebooks").items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make notebooks`"


@pytest.fixture
def extended(tmp_path):
    """The course's sources and README, and one source more that only its header announces."""
    shutil.copytree(ROOT / "notebooks" / "source", tmp_path / "notebooks" / "source")
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / "notebooks" / "source" / "14_extra.py").write_text(HEADER)
    return tmp_path / "notebooks"


def test_a_new_notebook_is_found_by_its_header_alone(extended, monkeypatch):
    listed, readme, welcome = build.contents(extended).values()
    assert "| [14 Found](notebooks/14_extra.ipynb) | a notebook that nobody listed | 25 |" in readme
    rows = [line for line in welcome.splitlines() if line.startswith("# | ")]
    assert rows.count("# | [14 extra](14_extra.ipynb) | Can it be found? | Extra | 25 |") == 1
    assert rows.count("# | **At work** | | | |") == 1
    monkeypatch.setattr(recipes, "notebooks", lambda: json.loads(listed))
    space = {"recipes": recipes}
    statements = ast.parse((extended / "source" / "16_looking_back.py").read_text()).body
    for node in statements:
        names = {getattr(target, "id", "") for target in getattr(node, "targets", [])}
        if names & {"kinds", "FAMILIES", "KINDS"}:
            exec(compile(ast.Module([node], []), "16_looking_back", "exec"), space)
    assert space["KINDS"]["vae_8d"] == ("14_extra", "VAE")
    assert space["FAMILIES"][-1] == "another family"
    families = [family for _, family in space["KINDS"].values()]
    assert [family for family, _ in groupby(families)] == space["FAMILIES"]


def test_its_claims_are_found_too(extended):
    (extended / "solutions").mkdir(exist_ok=True)
    nbformat.write(closing(), extended / "solutions" / "14_extra.ipynb")
    rows = json.loads(build.collect(extended))
    assert [(row["notebook"], row["claim"]) for row in rows] == [("14_extra", 3), ("14_extra", 5)]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("#     minutes: 25\n", "", "14_extra.py: its header lacks minutes"),
        ("minutes: 25", "minutes: 30", "its header says '30 minutes', its first cell does not"),
        ("slides: Extra", "slides: Other", "its header says 'Other', its first cell does not"),
    ],
)
def test_a_header_that_lacks_something_or_contradicts_its_notebook_is_refused(
    extended, old, new, said
):
    path = extended / "source" / "14_extra.py"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SystemExit, match=said):
        build.contents(extended)


def test_a_list_without_its_table_is_refused(extended):
    (extended.parent / "README.md").write_text("# No table\n")
    with pytest.raises(SystemExit, match="no table begins with the row"):
        build.contents(extended)
