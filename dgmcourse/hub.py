"""For a JupyterHub: a link that gives each student a copy of the class's notebooks and opens one.

A server extension of JupyterLab. HUB/hub/user-redirect/dgmcourse/07_vae copies the notebooks of the
read-only folder that DGMCOURSE_SHARED names into the student's own folder `dgmcourse`, as far as
they are not there, and opens 07_vae; without a name it opens the folder. What a student has changed
is never touched; a copy that nobody changed is renewed when the shared one is. docs/hub.md says how
a hub is set up with it.
"""

import hashlib
import json
import os
from pathlib import Path

from dgmcourse.files import write_atomically

FOLDER, GIVEN = "dgmcourse", ".given.json"


def give(shared: Path, own: Path) -> list[str]:
    """Copy what is new in `shared` (notebooks, and texts beside them) to `own`; returns the names.
    Where there is no `own`, it is made so that nobody else can look into it.

    Raises:
        OSError: if one cannot be read or written; the sentence says why.
    """
    own.mkdir(0o700, parents=True, exist_ok=True)
    card = own / GIVEN
    try:
        given = json.loads(card.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        given = {}  # nothing was given yet; or nobody knows what: then what is there stays
    fresh = []
    for path in sorted([*shared.glob("*.ipynb"), *shared.glob("*.md")]):
        content, mine = path.read_bytes(), own / path.name
        is_new = digest(content) != given.get(path.name)
        if not mine.exists() or is_new and digest(mine.read_bytes()) == given.get(path.name):
            write_atomically(mine, content)
            given[path.name] = digest(content)
            fresh.append(path.name)
    if fresh:
        write_atomically(card, json.dumps(given, indent=1).encode())
    return fresh


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _jupyter_server_extension_points() -> list[dict]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server) -> None:
    """Answer BASE/dgmcourse/NAME, and BASE/dgmcourse, which opens the folder."""
    from jupyter_server.base.handlers import JupyterHandler
    from jupyter_server.utils import url_path_join
    from tornado.web import authenticated

    class Open(JupyterHandler):
        @authenticated
        def get(self, name: str | None) -> None:
            shared = Path(os.environ.get("DGMCOURSE_SHARED", ""))
            if name and not (shared / f"{name}.ipynb").is_file():
                return self.refuse(
                    404, f"There is no notebook {name} in the class's folder {shared}."
                )
            own = Path(server.root_dir).expanduser() / FOLDER
            try:
                give(shared, own)
            except OSError as error:
                return self.refuse(500, str(error))
            opened = [FOLDER, f"{name}.ipynb"] if name else [FOLDER]
            self.redirect(url_path_join(self.base_url, "lab/tree", *opened))

        def refuse(self, status: int, why: str) -> None:
            """Say why in a sentence, which the hub's own page of errors would leave out."""
            self.set_status(status)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(why)

    address = url_path_join(server.web_app.settings["base_url"], r"dgmcourse(?:/(\w+))?/?")
    server.web_app.add_handlers(".*$", [(address, Open)])
