"""Which statements of a notebook an exercise needs: those that define its function and, again, the
names they use. Trainings and figures are left out.
"""

import ast
import inspect
import json
import linecache
import re
import symtable
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

LARGEST = 20 << 20  # bytes of a notebook that is read


class Statement(NamedTuple):
    tree: ast.stmt
    cell: int
    defines: frozenset
    uses: frozenset


def content(path: Path) -> bytes:
    """What is in a file that somebody handed in.

    Raises:
        ValueError: if it is no file, but a link to somebody else's or a pipe, or if it is too large.
    """
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"{path.name} is no file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.name} has more than {LARGEST >> 20} MB")
    return path.read_bytes()


def code_cells(path: Path) -> list[str]:
    """The code cells of a notebook's file.

    Raises:
        ValueError: if it is none.
    """
    text = content(path)
    try:
        cells = json.loads(text)["cells"]
        found = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return ["".join(source) for source in found]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path.name} is no notebook: {type(error).__name__}") from None


def statements(cells: list[str]) -> Iterable[Statement]:
    """The top-level statements of all cells that are Python; magics are left out."""
    for i, text in enumerate(cells):
        plain = re.sub(r"^(\s*)[%!?].*$", r"\1pass", text, flags=re.MULTILINE)
        try:
            trees = [] if text.startswith("%%") else ast.parse(plain).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            if named := re.findall(r"^def (\w+)", text, flags=re.MULTILINE):  # run, it says why
                yield Statement(None, i, frozenset(named), frozenset())
            continue
        for tree in trees:
            if call := check_called(tree):
                yield Statement(None, i, frozenset(), frozenset([call]))
            else:
                yield Statement(tree, i, defined(tree), used(tree))


def check_called(tree: ast.stmt) -> str:
    """The check that a statement calls: "check.kl" of `kl = check.kl(kl)`, else ""."""
    value = getattr(tree, "value", None)
    called = ast.unparse(value.func) if isinstance(value, ast.Call) else ""
    return called if called.startswith("check.") else ""


def defined(tree: ast.stmt) -> frozenset:
    """The names that a top-level statement gives a value, or changes."""
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset([tree.name])
    nodes = list(ast.walk(tree))
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    imports = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    return frozenset(names | {(a.asname or a.name).split(".")[0] for n in imports for a in n.names})


def used(tree: ast.stmt) -> frozenset:
    """The global names that a statement reads, in the functions within it, too."""

    def of(table) -> set:
        top = table.get_type() == "module"
        own = {s.get_name() for s in table.get_symbols() if (top or s.is_global())}
        return own.union(*(of(child) for child in table.get_children()))

    return frozenset(of(symtable.symtable(ast.unparse(tree), "<cell>", "exec")))


class Notebook:
    """The statements of a notebook's code cells."""

    def __init__(self, cells: list[str]):
        self.cells, self.statements = cells, list(statements(cells))

    def needed(self, name: str, known: Collection[str] = ()) -> list[Statement]:
        """The statements that `name` needs, in order, of those before its check; what is `known`
        already is not defined again.
        """
        check = (i for i, one in enumerate(self.statements) if f"check.{name}" in one.uses)
        there = self.statements[: next(check, None)]
        names, kept = {name}, set()
        while True:
            more = {i for i, one in enumerate(there) if one.defines & (names - set(known))}
            if more == kept:
                return [there[i] for i in sorted(kept)]
            kept = more
            names |= set().union(*(there[i].uses for i in kept))

    def define(self, name: str, space: dict, known: Collection[str] = ()) -> str:
        """Run what `name` needs in `space`; what went wrong, if it is not there afterwards."""
        trouble = ""
        for one in self.needed(name, known):
            where, text = f"<cell {one.cell}>", self.cells[one.cell]
            linecache.cache[where] = (len(text), None, text.splitlines(True), where)
            try:
                tree = ast.Module([one.tree], []) if one.tree else ast.parse(text)
                exec(compile(tree, where, "exec"), space)
            except Exception as error:  # whatever a student's cell can raise
                said = str(error).partition("\n")[0][:200]
                trouble = trouble or f"{type(error).__name__}: {said}"
        return "" if name in space else trouble or "missing"


def defined_late(cells: list[str], name: str) -> bool:
    """Whether a function is defined below its check, which judges what stands above it."""
    checks = (i for i, cell in enumerate(cells) if f"check.{name}(" in cell)
    below = cells[next(checks, len(cells)) + 1 :]
    return any(re.search(rf"^def {name}\(", cell, flags=re.MULTILINE) for cell in below)


def source_of(function: Callable) -> str:
    """The source of a function of the course's, with what it needs of its module."""
    module = inspect.getmodule(function)
    name = function.__name__
    kept = Notebook([inspect.getsource(module)]).needed(name)
    return "\n".join(ast.unparse(one.tree) for one in kept)
