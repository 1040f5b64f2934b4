"""What all tests share. An oracle needs float64 (`float64`), and a failure must be repeatable
(`seeded`).
"""

import pytest
import torch

torch.set_num_threads(
    1
)  # small tensors: threads cost more than they bring, and one thread adds in one order


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def float64():
    """Networks and tensors made in the test are float64: errors of the code stand out from those of
    rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
