"""A run to explore, and its page served by the command in a process of its own.

As a script: the command, in which each evaluation of a search takes half a second while the file
that SLOWLY names exists.
"""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from filtergan.config.fields import StudyConfig

ELSEWHERE = ("XDG_", "HF_", "TORCH", "MPL", "GRADIO")
"""How variables begin that may name other folders than the home to keep files in."""
NATURAL, PAPER = "conv2@activation/natural", "conv1@activation"


def config() -> StudyConfig:
    """A study of two sites, by both recipes."""
    from configs import micro

    return micro(layer=(NATURAL, PAPER), natural={"latent": (3,)}, judges={"epochs": 1})


def made(path: Path) -> Path:
    """A run of it, as far as there is something to explore."""
    from commands import quickly

    from filtergan import study

    with quickly():
        study.run(config(), path, until="traverse")
    return path


@contextmanager
def served(run: Path, slowly: Path, *options: str, **more: str) -> Iterator[str]:
    """The address of a run's page, at a free port; what visitors sent is gone afterwards.

    Its end is no traceback, even where a page is still open. Nothing is left in the temporary, the
    home and the working folder; run, judges and Gradio are as they were.
    """
    command = [sys.executable, __file__, "explore", str(run), "--port", "0", *options]
    before = _stamps(run)
    with TemporaryDirectory() as folder, TemporaryFile("w+") as said:
        empty = {name: Path(folder) / name for name in ("TMPDIR", "HOME", "PWD")}
        for one in empty.values():
            one.mkdir()
        others = {
            name: value for name, value in os.environ.items() if not name.startswith(ELSEWHERE)
        }
        environment = {**others, **{name: str(one) for name, one in empty.items()}, **more}
        with subprocess.Popen(
            command,
            env={**environment, "SLOWLY": str(slowly)},
            cwd=empty["PWD"],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line.startswith("The page: "), "the page is served"
                yield line.split()[2]
            finally:
                process.terminate()
        assert process.returncode == 0
        left = [str(file) for one in empty.values() for file in one.rglob("*")]
        assert not left, left
        said.seek(0)
        complaints = said.read()
        assert "Traceback" not in complaints, complaints
        assert "exception" not in complaints, complaints
    written = [str(file) for file, _ in _stamps(run).items() ^ before.items()]
    assert not written, written


def _stamps(run: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of the files of the run, of the judges' cache, and of Gradio itself.

    But for what is made once, as Gradio is first imported: Python's bytecode, and its own seed of
    hashes, which it draws anew each time where it may not write.
    """
    gradio = importlib.util.find_spec("gradio")
    assert gradio is not None
    assert gradio.origin is not None
    found: dict[Path, tuple[int, int]] = {}
    for folder in (run, Path(os.environ["FILTERGAN_CACHE"]), Path(gradio.origin).parent):
        assert any(folder.iterdir())
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts and file.name != "hash_seed.txt":
                found[file] = file.stat().st_size, file.stat().st_mtime_ns
    return found


def _main() -> int:
    from filtergan import cli
    from filtergan.explorer import exploring

    slowly, walk = Path(os.environ["SLOWLY"]), exploring.walk

    def slow(*arguments: Any, tick: Any, **more: Any) -> Any:
        def held(points: int) -> None:
            if slowly.exists():
                time.sleep(2.0)
            tick(points)

        return walk(*arguments, tick=held, **more)

    exploring.walk = slow
    return cli.main()


if __name__ == "__main__":
    sys.exit(_main())
