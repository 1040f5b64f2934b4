"""What imports what: dependencies point one way, importing is cheap, a model file stays short."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dgmcourse"
FILES = sorted(PACKAGE.rglob("*.py"))

# What a module may import of the package, by the longest prefix of its name that stands here.
# Each line may see what stands in it, not what those see.
MAY_SEE = {
    "settings": [],
    "densities": [],
    "networks": [],
    "graph_networks": [],
    "gradients": ["densities"],
    "distances": ["densities", "settings"],  # what it accepts
    "models": ["densities", "networks", "graph_networks", "distances", "models", "settings"],
    "data": ["data", "densities", "settings"],
    "data.source": ["files"],
    "files": [],
    "data.drugs": ["data", "files", "settings"],
    "data.graphs": ["data", "graph_networks", "settings"],
    "data.ratings": ["data", "graph_networks", "settings"],
    "optim": ["settings"],
    "loop": ["data.images", "files", "optim"],  # of the data only the protocol, Data
    "distributed": ["loop"],
    "train": ["data.images", "distributed", "loop", "optim", "settings"],
    "play": ["densities", "data.images", "loop", "optim", "settings"],
    "evaluate": ["densities", "distances", "settings"],
    "intervals": [],
    "check": ["densities", "train", "check"],  # of train `maximise`: what an optimiser is for
    "plot": [],
    "widgets": ["plot", "weights", "widgets", "data", "densities", "gradients"],
    "widgets.networks": ["networks"],  # whose layers it writes for the browser
    "widgets.gan_lab": [
        "plot",
        "data",
        "densities",
        "distances",
        "models",
        "networks",
        "play",
        "train",
        "widgets",
    ],  # plays beside the browser
    "weights": ["files"],  # models only by name
    "measure": [
        "data.images",
        "densities",
        "distances",
        "evaluate",
        "settings",
        "train",
        "weights",
    ],
    "recipes": [
        "data",
        "distributed",
        "files",
        "measure",
        "models",
        "play",
        "recipes",
        "settings",
        "train",
        "weights",
    ],
    "studies": [
        "data",
        "densities",
        "distances",
        "evaluate",
        "files",
        "graph_networks",
        "measure",
        "models",
        "networks",
        "play",
        "settings",
        "studies",
        "train",
        "weights",
    ],
    "studies.__main__": ["__main__"],
    "hub": ["files"],
    "classroom": ["check", "classroom", "densities", "files", "models", "train", "weights"],
    "doctor": ["data", "recipes", "train"],
    "__main__": ["classroom", "distributed", "doctor", "data", "recipes", "studies", "train"],
    "__init__": [],
}
HEAVY = {
    "torchvision",
    "sklearn",
    "matplotlib",
    "mlxtend",
    "pandas",
    "scipy",
    "joblib",
    "distributed",
    "networkx",
    "IPython",
    "ipywidgets",
    "anywidget",
}
MAY_BE_HEAVY = {
    "check": {"IPython"},
    "intervals": {"scipy"},
    "plot": {"matplotlib", "IPython"},
    "widgets": {"anywidget", "ipywidgets", "IPython", "matplotlib"},
}


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def rule(table, name, default):
    fitting = [prefix for prefix in table if name == prefix or name.startswith(prefix + ".")]
    return table[max(fitting, key=len)] if fitting else default


def imported(tree):
    """Every module a tree imports, absolutely named; `from dgmcourse import x` as dgmcourse.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            both = node.module in (
                "dgmcourse",
                "dgmcourse.data",
                "dgmcourse.check",
                "dgmcourse.widgets",
            )
            yield from (f"{node.module}.{a.name}" for a in node.names) if both else [node.module]


def wrong_directions(name, text):
    allowed = rule(MAY_SEE, name, None)
    assert allowed is not None, f"{name}: say in MAY_SEE what it may import"
    ours = [
        m.removeprefix("dgmcourse.")
        for m in imported(ast.parse(text))
        if m.startswith("dgmcourse.")
    ]
    return [m for m in ours if not any(m == a or m.startswith(a + ".") for a in allowed)]


def heavy_at_the_top(name, text):
    """Heavy packages imported when the module is: at its top, or in a class or an `if` there."""
    tree = ast.parse(text)

    class Cut(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            return ast.Pass()

    tree = Cut().visit(tree)
    roots = {m.split(".")[0] for m in imported(tree)}
    return sorted(roots & HEAVY - rule(MAY_BE_HEAVY, name, set()))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_dependencies_point_one_way(path):
    assert wrong_directions(name_of(path), path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_packages_are_imported_where_they_are_used(path):
    assert heavy_at_the_top(name_of(path), path.read_text()) == []


def test_the_rules_catch_what_they_are_for():
    assert wrong_directions("densities", "from dgmcourse.models.vae import VAE") == ["models.vae"]
    assert wrong_directions("train", "def f():\n    from dgmcourse import recipes") == ["recipes"]
    assert wrong_directions("train", "import dgmcourse.data.source") == ["data.source"]
    assert wrong_directions("weights", "from dgmcourse import recipes") == ["recipes"]
    assert wrong_directions("models.vae", "from dgmcourse.densities import kl") == []
    assert heavy_at_the_top("evaluate", "if True:\n    from sklearn.x import y") == ["sklearn"]
    assert heavy_at_the_top("evaluate", "def f():\n    import sklearn") == []
    assert heavy_at_the_top("plot", "import matplotlib.pyplot") == []


def loaded_by(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    return {module.split(".")[0] for module in ran.stdout.split()}


def test_importing_the_package_loads_nothing():
    assert loaded_by("import dgmcourse") - loaded_by("pass") == {"dgmcourse"}


def test_training_and_models_load_nothing_heavy():
    modules = (
        "models",
        "models.gan",
        "train",
        "play",
        "evaluate",
        "distances",
        "weights",
        "measure",
        "recipes",
        "studies",
        "data.images",
        "densities",
        "networks",
    )
    ours = loaded_by(
        "import " + ", ".join(f"dgmcourse.{module}" for module in modules)
    ) - loaded_by("import torch, tqdm")
    assert not ours & HEAVY and "dgmcourse" in ours


def test_lazy_names_are_the_modules_own():
    import dgmcourse
    from dgmcourse import fit, load, mnist
    from dgmcourse.train import fit as fit_there
    from dgmcourse.weights import load as load_there

    assert fit is fit_there and load is load_there and mnist.__module__ == "dgmcourse.data.images"
    assert {"load", "fit", "mnist"} <= set(dir(dgmcourse))
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        dgmcourse.lod  # noqa: B018


def test_the_version_is_the_projects():
    import tomllib

    import dgmcourse

    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    assert dgmcourse.__version__ == project["version"]
