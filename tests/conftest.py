"""What all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: the time of one example on a busy machine says nothing about the code.
settings.register_profile("filtergan", deadline=None)
settings.load_profile("filtergan")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the tests' own; judges trained in one test serve the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FILTERGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def mnist_path() -> Path:
    """The folder of MNIST's parquet files, which lies beside the repository on some machines."""
    path = Path(__file__).parents[2] / "shared" / "data" / "mnist"
    if not path.is_dir():
        pytest.skip(f"MNIST is not at {path}")
    return path
