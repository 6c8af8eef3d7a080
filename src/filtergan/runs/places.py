"""Where the images and the network of a run are found again, from any working directory."""

import os
from pathlib import Path

from filtergan.config.fields import StudyConfig


def begun_in(run: Path, config: StudyConfig) -> str | None:
    """The working directory as seen from the run directory, so that both can move together.

    Args:
        run: The run directory.
        config: Its config.

    Returns:
        A relative path; None where the config names nothing that lies on this machine.
    """
    if config.model is None and not named_here(config):
        return None
    return Path(os.path.relpath(Path.cwd(), run.resolve())).as_posix()


def begun_at(run: Path, begun: str | None) -> Path:
    """The working directory that `begun_in` told; the run directory where it told none.

    Args:
        run: The run directory, wherever it lies now.
        begun: What it told.
    """
    return (run.resolve() / (begun or ".")).resolve()


def named_here(config: StudyConfig) -> list[str]:
    """What of this machine a config names: files and folders of weights and images."""
    images = None if config.data == "digits" else config.data  # bundled, whatever lies here
    return [name for name in (config.weights, images) if name and Path(name).exists()]


def data_from(folder: Path, config: StudyConfig) -> str:
    """The config's images as they are named from anywhere: a folder with all of its path.

    Args:
        folder: The working directory in which the config was written.
        config: The config.
    """
    there = folder / config.data  # an absolute path stays as it is
    return str(there) if config.data != "digits" and there.is_dir() else config.data
