"""Write the repository's address into the course:

    python notebooks/badges.py [https://host/owner/repository]

The address is kept in one place, [project.urls] of pyproject.toml. From it are made the launch
badges of the README and of each notebook source, the cell by which a notebook installs the course
in Colab, and a line of CITATION.cff. Without an argument they are made again from the address that
is there. As long as there is none, there are no badges, and the cell says so.
"""

import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import quote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
COLAB_CELL = """\
# %% tags=["colab"] jupyter={"source_hidden": true}
# In Colab this installs the course and leaves Colab's own torch alone. Elsewhere it does nothing.
import importlib.util
import subprocess
import sys

REPOSITORY = "ADDRESS"  # written by `make badges REPO=...`
if "google.colab" in sys.modules:
    if importlib.util.find_spec("dgmcourse") is None:
        if not REPOSITORY:
            raise RuntimeError("Where does the course live? Write its address as REPOSITORY.")
        pip = [sys.executable, "-m", "pip", "install", "-q"]
        for name in ("anywidget", "mlxtend", "safetensors"):
            if importlib.util.find_spec(name) is None:
                subprocess.check_call([*pip, name])
        subprocess.check_call([*pip, "--no-deps", f"dgmcourse @ git+{REPOSITORY}"])
    from google.colab import output

    output.enable_custom_widget_manager()  # Colab shows other people's widgets only when asked to
"""


def normal(address: str) -> str:
    """https://host/owner/repository, from any of the ways in which a code host spells it."""
    address = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", address.strip())
    address = address.rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://[\w.-]+(:\d+)?(/[\w.~-]+){2,}", address):
        raise SystemExit(
            f"{address!r} is not a repository's address: give it as https://host/owner/repository"
        )
    return address


def badges(address: str, notebook: str) -> str:
    """The launch badges of one notebook, in Markdown. Colab opens notebooks from GitHub only."""
    host, name = urlsplit(address).hostname, urlsplit(address).path[1:]
    where = {"github.com": f"gh/{name}", "gitlab.com": f"gl/{quote(name, safe='')}"}
    binder = f"https://mybinder.org/v2/{where.get(host, 'git/' + quote(address, safe=''))}/{BRANCH}"
    binder = f"{binder}?urlpath=lab/tree/notebooks/{notebook}"
    line = f"[![Launch on Binder](https://mybinder.org/badge_logo.svg)]({binder})"
    if host == "github.com":
        colab = (
            f"https://colab.research.google.com/github/{name}/blob/{BRANCH}/notebooks/{notebook}"
        )
        badge = "https://colab.research.google.com/assets/colab-badge.svg"
        line = f"[![Open in Colab]({badge})]({colab}) {line}"
    return line


def with_cell(source: str, address: str, notebook: str) -> str:
    """A notebook source with its badges below the title and the Colab cell as first code cell."""
    header, *cells = re.split(r"^(?=# %%)", source, flags=re.MULTILINE)
    cells = [cell for cell in cells if '"colab"' not in cell.splitlines()[0]]
    title = re.sub(r"^#\n# \[!\[.*\n#\n", "", cells[0], flags=re.MULTILINE)
    if address:
        line = f"#\n# {badges(address, notebook)}\n#\n"
        heading = re.search(r"^# # .*\n", title, flags=re.MULTILINE)
        title = title[: heading.end()] + line + title[heading.end() :]
    return "".join([header, title, COLAB_CELL.replace("ADDRESS", address) + "\n", *cells[1:]])


def with_badges(readme: str, address: str) -> str:
    """The README with its badges between two comments that nobody sees."""
    line = badges(address, "00_welcome.ipynb") + "\n" if address else ""
    start, end = "<!-- badges -->\n", "<!-- /badges -->"
    return re.sub(f"{start}.*?{end}", lambda _: start + line + end, readme, flags=re.DOTALL)


def with_address(pyproject: str, address: str) -> str:
    """pyproject.toml with the address as [project.urls], before [project.scripts]."""
    pyproject = re.sub(r"\[project\.urls\]\n.*?\n\n", "", pyproject, flags=re.DOTALL)
    scripts = "[project.scripts]\n"
    return pyproject.replace(scripts, f'[project.urls]\nRepository = "{address}"\n\n{scripts}')


def with_code(citation: str, address: str) -> str:
    """CITATION.cff with the address as its last line, repository-code."""
    citation = re.sub(r"^repository-code: .*\n", "", citation, flags=re.MULTILINE)
    return citation + (f"repository-code: {address}\n" if address else "")


def write(path: Path, text: str) -> None:
    if path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


def main(arguments: list[str]) -> None:
    if arguments[:1] in (["-h"], ["--help"]) or len(arguments) > 1:
        raise SystemExit(__doc__)
    pyproject, readme, citation = (
        ROOT / name for name in ("pyproject.toml", "README.md", "CITATION.cff")
    )
    if arguments:
        write(pyproject, with_address(pyproject.read_text(encoding="utf-8"), normal(arguments[0])))
    urls = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"].get("urls", {})
    address = urls.get("Repository", "")
    write(readme, with_badges(readme.read_text(encoding="utf-8"), address))
    write(citation, with_code(citation.read_text(encoding="utf-8"), address))
    for source in sorted((ROOT / "notebooks" / "source").glob("[0-9][0-9]*_*.py")):
        text = source.read_text(encoding="utf-8")
        write(source, with_cell(text, address, source.stem + ".ipynb"))
    if address:
        print(f"Badges lead to {address}.")
    else:
        print("No badges: give an address, https://host/owner/repository.")


if __name__ == "__main__":
    main(sys.argv[1:])
