"""The hub of jupyterhub_config.py, to try: anybody may log in, all are the one user who starts it.

    HUB_HOMES=/tmp/homes .venv-hub/bin/jupyterhub -f tools/hub/try_config.py

For one's own machine, and for the test. Never on a network: there is no password.
"""

import os
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
load_subconfig("jupyterhub_config.py", path=here)  # noqa: F821 - JupyterHub gives it
c = get_config()  # noqa: F821

homes = os.environ.get("HUB_HOMES") or tempfile.mkdtemp()
c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ.get('HUB_PORT', '8000')}"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.Authenticator.allow_all = True
c.SimpleLocalProcessSpawner.home_dir_template = f"{homes}/{{username}}"
c.Spawner.args += ["--LabApp.expose_app_in_browser=True", "--allow-root"]
