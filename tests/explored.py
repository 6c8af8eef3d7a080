"""A run to explore, and its page served by the command in a process of its own.

As a script: the command, in which each evaluation of a search takes half a second while the file
that SLOWLY names exists.
"""

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

    Its end is no traceback, even where a page is still open.
    """
    command = [sys.executable, __file__, "explore", str(run), "--port", "0", *options]
    with TemporaryDirectory() as folder, TemporaryFile("w+") as said:
        environment = {**os.environ, "SLOWLY": str(slowly), "TMPDIR": folder, **more}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                assert line.startswith("The page: "), "the page is served"
                yield line.split()[2]
            finally:
                process.terminate()
        assert process.returncode == 0
        assert os.listdir(folder) == []
        said.seek(0)
        assert "Traceback" not in said.read()


def _main() -> int:
    from filtergan import cli
    from filtergan.explorer import exploring

    slowly, walk = Path(os.environ["SLOWLY"]), exploring.walk

    def slow(*arguments: Any, tick: Any, **more: Any) -> Any:
        def held(points: int) -> None:
            if slowly.exists():
                time.sleep(0.5)
            tick(points)

        return walk(*arguments, tick=held, **more)

    exploring.walk = slow
    return cli.main()


if __name__ == "__main__":
    sys.exit(_main())
