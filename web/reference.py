"""The package's reference, a page a module, from the docstrings: they are Markdown with formulas."""

import importlib
import inspect
import pkgutil
import re

import dgmcourse

SECTIONS = {"Args": "Arguments", "Returns": "Returns", "Raises": "Raises", "Yields": "Yields"}
FENCE = "`" * 7
PLAIN = {"object", "ABC", "Protocol"}  # say nothing about a class


def modules() -> list[str]:
    """All modules of the package but those of the single exercises, whose solutions they tell, and
    the one that runs within nbgrader, a package the course does not install.
    """
    found = [m.name for m in pkgutil.walk_packages(dgmcourse.__path__, "dgmcourse.")]
    hidden = r"\._|^dgmcourse\.check\.|\.nbgrader$"
    return ["dgmcourse", *(name for name in sorted(found) if not re.search(hidden, name))]


def pages(beginning: str = "dgmcourse") -> dict[str, str]:
    """The Markdown of each page by the module's name, and of the index."""
    names = [name for name in modules() if name.startswith(beginning)]
    made = {name: page(importlib.import_module(name)) for name in names}
    entries = "\n".join(name for name in made)
    about = "\n".join(
        f"| [{name}]({name}.md) | {text(first_sentence(importlib.import_module(name)))} |"
        for name in made
    )
    index = (
        "# Reference\n\nWhat the package has, from its docstrings. An equation there is the one"
        " that the code computes; log-densities are in nats.\n\n| Module | |\n|:--|:--|\n"
        f"{about}\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"
    )
    return made | {"index": index}


def first_sentence(thing) -> str:
    words = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[^.]\.)\s|:\s|$", words)[0].rstrip(".:")


def page(module) -> str:
    parts = [f"# {module.__name__}", docstring(inspect.getdoc(module) or "")]
    for name, thing in vars(module).items():
        ours = getattr(thing, "__module__", None) == module.__name__ and not name.startswith("_")
        if ours and inspect.isclass(thing):
            parts.append(of_class(thing))
        elif ours and inspect.isfunction(inspect.unwrap(thing)):
            parts.append(of_function(f"{name}", thing, "##"))
    return "\n\n".join(filter(None, parts)) + "\n"


def of_class(cls: type) -> str:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base.__name__ not in PLAIN)
    parts = [f"## {cls.__name__}", code(f"class {cls.__name__}{signature(cls)}")]
    if bases:
        parts.append(f"A kind of {', '.join(f'`{base}`' for base in bases.split(', '))}.")
    parts.append(docstring(inspect.getdoc(cls) if cls.__doc__ else ""))
    for name, thing in vars(cls).items():
        if name.startswith("_"):
            continue
        plain = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
        if isinstance(thing, property) and thing.__doc__:
            parts += [f"### {cls.__name__}.{name}", docstring(inspect.getdoc(thing))]
        elif inspect.isfunction(inspect.unwrap(plain)) and plain.__doc__:
            parts.append(of_function(f"{cls.__name__}.{name}", plain, "###"))
    return "\n\n".join(filter(None, parts))


def of_function(name: str, function, level: str) -> str:
    called = code(f"{name.rpartition('.')[2]}{signature(function)}")
    return f"{level} {name}\n\n{called}\n\n{docstring(inspect.getdoc(function) or '')}"


def signature(thing) -> str:
    try:
        written = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return "(...)"
    written = re.sub(r"<(?:class|function) '?([\w.]+)[^>]*>", r"\1", written)
    written = re.sub(r"^\((?:self|cls)(?:, )?", "(", written)
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=\w)", "", written)


def code(text: str) -> str:
    if len(text) > 88:  # an argument a line
        head, _, rest = text.partition("(")
        inside, arrow, returned = rest.rpartition(") -> ")
        if not arrow:
            inside, returned = rest.removesuffix(")"), ""
        arguments = re.split(r", (?=[\w*/]+(?::|=|,|$))(?![^\[(]*[\])])", inside)
        text = f"{head}(\n" + "".join(f"    {a},\n" for a in arguments) + f"){arrow[1:]}{returned}"
    return f"{FENCE}python\n{text}\n{FENCE}"


def docstring(doc: str) -> str:
    """Markdown, from a docstring's text, its sections and its examples."""
    parts = []
    for block in re.split(r"\n\n+(?=\S)", doc):
        head = re.match(r"(\w+):\n", block)
        if head and head[1] in SECTIONS:
            parts.append(f"**{SECTIONS[head[1]]}**\n\n{entries(block[head.end() :])}")
        elif block.startswith(">>>"):
            parts.append(f"{FENCE}pycon\n{block}\n{FENCE}")
        else:
            parts.append(block if block.startswith("    ") else text(block))  # code, indented by 4
    return "\n\n".join(parts)


def entries(block: str) -> str:
    """A section's entries, `name: what it is`, as a list."""
    block = inspect.cleandoc(block)
    found = []
    for entry in re.split(r"\n(?=\S)", block):
        entry = " ".join(entry.split())
        name, colon, rest = entry.partition(": ")
        named = colon and re.fullmatch(r"[\w.*, ()]+", name)
        found.append(f"- `{name}`: {text(rest)}" if named else f"- {text(entry)}")
    return "\n".join(found)


def text(words: str) -> str:
    """Words in which only code and formulas are marked."""
    parts = re.split(r"(`[^`]+`|\$\$.+?\$\$|\$[^$]+\$)", words, flags=re.S)
    return "".join(
        part if i % 2 else re.sub(r"([*<>\[\]{}])", r"\\\1", part) for i, part in enumerate(parts)
    )
