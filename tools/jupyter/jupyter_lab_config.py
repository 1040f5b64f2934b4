"""JupyterLab takes the course's style sheet, custom/custom.css beside this file, where the user has none."""

from pathlib import Path

from jupyter_core.paths import jupyter_config_dir

c = get_config()  # noqa: F821
c.LabApp.custom_css = True
places = [Path(jupyter_config_dir()), Path(__file__).parent]
c.ServerApp.tornado_settings = {"static_custom_path": [str(p / "custom") for p in places]}
