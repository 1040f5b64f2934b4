"""A busy machine has longer limits; what runs into one is named, with what to do."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

CONFTEST = (Path(__file__).parents[1] / "conftest.py").read_text()
SLOW = "import time\n\n\ndef test_slow():\n    time.sleep(3)\n"


@pytest.mark.parametrize(
    ("reference", "failed"),
    [("1e9", 2), ("1e-9", 0)],  # seconds: a machine that is faster than the idle one, a busy one
)
def test_a_limit_is_longer_on_a_busy_machine(reference, failed, tmp_path):
    assert CONFTEST.count("REFERENCE = 0.15 ") == 1
    (tmp_path / "conftest.py").write_text(
        CONFTEST.replace("REFERENCE = 0.15 ", f"REFERENCE = {reference} ")
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 2\n")
    (tmp_path / "test_slow.py").write_text(SLOW)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    cell = new_code_cell("import time; time.sleep(3)")
    nbformat.write(new_notebook(cells=[cell], metadata=kernel), tmp_path / "slow.ipynb")
    notebook = ["-o", "timeout=600", "--nbval-lax", "--nbval-cell-timeout=1", "slow.ipynb"]
    said = ""
    for arguments in (["test_slow.py"], notebook):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        said += subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert said.count("1 failed") == failed and said.count("1 passed") == 2 - failed, said
    assert said.count("what passes then was slow, not broken") == failed
    assert ("\n  test_slow.py::test_slow\n" in said) == ("\n  slow.ipynb::" in said) == (failed > 0)
