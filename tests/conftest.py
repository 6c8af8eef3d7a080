"""What all tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: the time of one example on a busy machine says nothing about the code.
settings.register_profile("filtergan", deadline=None)
settings.load_profile("filtergan")


@pytest.fixture(scope="session")
def mnist_path() -> Path:
    """The folder of MNIST's parquet files, which lies beside the repository on some machines."""
    path = Path(__file__).parents[2] / "shared" / "data" / "mnist"
    if not path.is_dir():
        pytest.skip(f"MNIST is not at {path}")
    return path
