"""The Frey faces: used where the very file is there, and otherwise one clear line. A file made here
stands in for it.
"""

import hashlib
import io
import pickle
import zlib

import numpy as np
import pytest
import torch

from dgmcourse.data import frey, source


def as_python_2_would(array):
    """A pickle of a list with one array of bytes, in the form of the published file."""
    text = repr(array.tobytes())[1:]
    return (
        "(lp0\ncnumpy.core.multiarray\n_reconstruct\np1\n(cnumpy\nndarray\np2\n(I0\ntp3\nS'b'\np4\ntp5\nRp6\n(I1\n"
        f"(I{array.shape[0]}\nI{array.shape[1]}\ntp7\ncnumpy\ndtype\np8\n(S'u1'\np9\nI0\nI1\ntp10\nRp11\n(I3\nS'|'\np12\n"
        f"NNNI-1\nI-1\nI0\ntp13\nbI00\nS{text}\np14\ntp15\nba."
    ).encode("latin1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data directory with 40 faces, and the data set that expects exactly these."""
    faces = np.random.RandomState(0).randint(0, 256, (40, 560)).astype(np.uint8)
    content = as_python_2_would(faces)
    (tmp_path / "data" / "freyfaces").mkdir(parents=True)
    (tmp_path / "data" / "freyfaces" / "freyfaces.pkl").write_bytes(content)
    file = source.File("freyfaces.pkl", zlib.crc32(content), hashlib.md5(content).hexdigest())
    monkeypatch.setattr(frey, "FREY", frey.FREY._replace(files=(file,)))
    monkeypatch.setattr(source, "_said", set())
    monkeypatch.setenv("DGMCOURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DGMCOURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path, faces


def test_the_faces_are_read_as_they_are(folder, capsys):
    _, faces = folder
    assert torch.equal(frey.frey_faces(square=False).x, torch.from_numpy(faces))
    assert "from the directory in DGMCOURSE_DATA" in capsys.readouterr().out


def test_widened_faces_keep_rows_and_grey(folder):
    _, faces = folder
    wide = frey.frey_faces().x
    assert wide.shape == (40, 784) and wide.dtype == torch.uint8
    rows = faces.reshape(40, 28, 20).astype(float)
    at = (np.arange(28) + 0.5) * 20 / 28 - 0.5  # each new pixel's middle among the old ones
    expected = np.stack([[np.interp(at, np.arange(20), row) for row in face] for face in rows[:5]])
    assert np.abs(wide[:5].view(5, 28, 28).numpy() - expected).max() <= 0.51


def test_without_the_file_one_line_says_so(folder, monkeypatch, capsys):
    monkeypatch.delenv("DGMCOURSE_DATA")
    assert frey.frey_faces() is None and frey.frey_faces() is None
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "not here" in said and "go on without" in said


def test_another_file_of_that_name_is_not_opened(folder, capsys, monkeypatch):
    path = folder[0] / "data" / "freyfaces" / "freyfaces.pkl"
    path.write_bytes(path.read_bytes()[:-20])
    monkeypatch.setattr(frey, "Arrays", None)
    assert frey.frey_faces() is None
    assert "damaged or incomplete" in capsys.readouterr().err


def test_the_pickle_can_name_nothing_but_arrays():
    class Evil:
        def __reduce__(self):
            return print, ("owned",)

    for content in (pickle.dumps(Evil()), pickle.dumps({"a": complex})):
        with pytest.raises(pickle.UnpicklingError, match="has no use for"):
            frey.Arrays(io.BytesIO(content)).load()
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    (found,) = frey.Arrays(io.BytesIO(as_python_2_would(array)), encoding="latin1").load()
    assert (found == array).all()
