"""Frey faces: 1,965 grey pictures of one face in a film, 28 rows of 20 pixels. They are used where
they are there.
"""

import io
import pickle

import numpy as np
import torch
import torch.nn.functional as F

from dgmcourse.data import source
from dgmcourse.data.images import Data

FREY = source.DataSet(
    title="Frey faces",
    folder="freyfaces",
    files=(source.File("freyfaces.pkl", 0x7EF9FEC7, "8db27fd8d4be5ade7bdb05b488ae8aa2"),),
    mirrors=(),  # nobody who publishes them says that one may pass them on
)


def frey_faces(square: bool = True) -> Data | None:
    """The faces as `Data`, grey: x (1965, 784) bytes, widened to 28 x 28, or (1965, 560) if not
    `square`.

    None, and one line that says so, without the file `freyfaces/freyfaces.pkl` in DGMCOURSE_DATA or
    the cache. It is a pickle, and read only if it is the very file that the VampPrior paper's
    authors use.
    """
    files, where = source.find(FREY, download=False)
    if files is None:
        source.say(
            "Frey faces: not here (put freyfaces/freyfaces.pkl below DGMCOURSE_DATA or"
            f" {source.cache().name}); we go on without"
        )
        return None
    source.say(f"Frey faces: 1,965 of them from {where}")
    x = torch.from_numpy(
        np.array(Arrays(io.BytesIO(files["freyfaces.pkl"].tobytes()), encoding="latin1").load())
    )
    x = x.reshape(-1, 560)
    return Data(widened(x) if square else x)


def widened(x: torch.Tensor) -> torch.Tensor:
    """Bytes (N, 560) of 28 rows of 20 pixels to (N, 784), linearly interpolated within each row."""
    wide = F.interpolate(x.view(-1, 28, 20).float(), 28, mode="linear")
    return wide.round().to(torch.uint8).flatten(1)


class Arrays(pickle.Unpickler):
    """A pickle of numpy arrays and nothing else: it can name no other code."""

    KNOWN = {
        "_reconstruct": (
            np._core.multiarray._reconstruct
            if hasattr(np, "_core")
            else np.core.multiarray._reconstruct
        ),
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module, name):
        if not module.startswith("numpy") or name not in self.KNOWN:
            raise pickle.UnpicklingError(f"a pickle of arrays has no use for {module}.{name}")
        return self.KNOWN[name]
