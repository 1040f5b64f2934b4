"""The part of a notebook that makes its widgets: the statements these depend on, and no other."""

import ast

SHOWN = {"show", "print", "markdown", "measured", "display", "claims_table", "on_request", "hint"}


def slice_of(cells: list[str], targets: set[int]) -> list[str]:
    """The cells' code, cut down to what the target cells need; they are kept whole.

    A statement is kept if it gives a name its value that is read later on, changes such a value
    (`a[0] = ...`, `a.append(...)`, `fit(model, ...)`), calls a function of the notebook that does,
    or sets the random numbers' seed. What a function reads counts as read where the function is.
    """
    trees = [ast.parse(code).body for code in cells]
    reads_of = {  # what a function or class reads when it is called
        node.name: loads(node) for body in trees for node in body if hasattr(node, "name")
    }
    changed_by = {
        node.name: changed(node)
        for body in trees
        for node in body
        if isinstance(node, ast.FunctionDef)
    }
    modules = {
        (name.asname or name.name).partition(".")[0]
        for body in trees
        for node in body
        if isinstance(node, ast.Import)
        for name in node.names
    }
    needed, kept = set(), []
    for i in reversed(range(len(cells))):
        chosen = []
        for node in reversed(trees[i]):
            sets, changes = written(node)
            if not hasattr(node, "name"):  # a definition calls nothing
                called = closure(calls(node) & set(changed_by), reads_of) & set(changed_by)
                changes = changes.union(*(changed_by[name] for name in called))
            if i in targets or (sets | (changes - modules)) & needed or seeds(node):
                chosen.append(node)
                if not isinstance(node, ast.For | ast.While | ast.If | ast.Try):
                    needed -= sets
                needed |= closure(loads(node) | (changes if changes & needed else set()), reads_of)
        lines = cells[i].split("\n")
        parts = ["\n".join(lines[first(node) - 1 : node.end_lineno]) for node in reversed(chosen)]
        kept.append("\n".join(parts))
    return kept[::-1]


def first(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def loads(node: ast.AST) -> set[str]:
    """The names whose value a piece of code reads; `a += 1` reads a."""
    read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    added = (n.target for n in ast.walk(node) if isinstance(n, ast.AugAssign))
    return read.union(*(base(target) for target in added))


def closure(names: set[str], reads_of: dict[str, set[str]]) -> set[str]:
    found, new = set(), set(names)
    while new:
        found |= new
        new = set().union(*(reads_of.get(name, set()) for name in new)) - found
    return found


def written(node: ast.stmt) -> tuple[set[str], set[str]]:
    """The names that a statement gives a value, and those whose value it may change."""
    sets, changes = set(), set()
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(a.asname or a.name).partition(".")[0] for a in node.names}, set()
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}, set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            sets.add(inner.id)
        elif isinstance(inner, ast.Subscript | ast.Attribute) and isinstance(inner.ctx, ast.Store):
            changes |= base(inner)
        elif isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call):
            call = inner.value
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if name not in SHOWN:
                changes |= base(call.func) if isinstance(call.func, ast.Attribute) else set()
                changes |= {arg.id for arg in call.args if isinstance(arg, ast.Name)}
        elif isinstance(inner, ast.Call) and getattr(inner.func, "id", "") in ("fit", "play"):
            changes |= {arg.id for arg in inner.args[:1] if isinstance(arg, ast.Name)}
    return sets, changes


def calls(node: ast.AST) -> set[str]:
    """The names that a piece of code calls."""
    called = (inner.func for inner in ast.walk(node) if isinstance(inner, ast.Call))
    return {func.id for func in called if isinstance(func, ast.Name)}


def changed(function: ast.FunctionDef) -> set[str]:
    """What a function changes besides its own: `games[name] = ...` of a dictionary outside."""
    own = {argument.arg for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}
    changes, shared = set(), set()
    for node in function.body:
        sets, more = written(node)
        own, changes = own | sets, changes | more
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            shared.update(node.names)
    return (changes - own) | shared


def base(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Subscript | ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def seeds(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and "manual_seed" in ast.dump(node)
