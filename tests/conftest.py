"""What all tests share."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from playwright.sync_api import Browser, Page, expect, sync_playwright
from visiting import PATIENCE

# No deadline: the time of one example on a busy machine says nothing about the code.
# With FIXED_EXAMPLES the same examples at every run, so that what fails there fails again.
fixed = bool(os.environ.get("FIXED_EXAMPLES"))
settings.register_profile("filtergan", deadline=None, print_blob=True, derandomize=fixed)
settings.load_profile("filtergan")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the tests' own; judges trained in one test serve the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FILTERGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Weights that a test makes without a word are the same in every run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def mnist_path() -> Path:
    """The folder of MNIST's parquet files, which lies beside the repository on some machines."""
    path = Path(__file__).parents[2] / "shared" / "data" / "mnist"
    if not path.is_dir():
        pytest.skip(f"MNIST is not at {path}")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; a test without one is skipped, or fails where `REQUIRE_BROWSER` is set.

    Not of the whole session: while it is open, no other test could run an event loop.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        missing = f"none of {', '.join(names)} is installed"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        expect.set_options(timeout=PATIENCE)
        yield chromium
        chromium.close()


# What imports filtergan is imported inside: jaxtyping's hook, which checks shapes, comes first.


@pytest.fixture(scope="module")
def unpainted() -> Iterator[None]:
    """Studies plot pictures but do not paint them."""
    from commands import quickly

    with quickly():
        yield


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that went as far as its generators and judges, in one go; tests change copies."""
    from accidents import CONFIG
    from commands import quickly

    from filtergan import study
    from filtergan.config.parsing import dump

    folder = tmp_path_factory.mktemp("begun")
    (folder / "config.yaml").write_text(dump(CONFIG))
    with quickly():
        study.run(CONFIG, folder / "run", until="train-judges")
    return folder / "run"


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on which grey images can be moved."""
    import movable

    return movable.page(tmp_path_factory.mktemp("grey") / "run")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run lies that is explored, and where the file is put that slows searches."""
    return tmp_path_factory.mktemp("explored")


@pytest.fixture(scope="module")
def address(place: Path) -> Iterator[str]:
    """The live page of that run."""
    import explored

    with explored.served(explored.made(place / "run"), place / "slowly") as found:
        yield found


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page; in the end it must have asked for nothing and complained of nothing."""
    from scrubbed import settle

    asked: list[str] = []
    said: list[str] = []
    contexts = []

    def visit(path: Path, **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        context.set_offline(True)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        page.goto(path.as_uri())
        settle(page)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert said == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in asked)
