"""The command of studies that ask one run."""

import argparse
from pathlib import Path

import filtergan as fg
from filtergan.study.opened import OpenedRun


def opened(description: str | None, run: str) -> OpenedRun:
    """The run that the command line names.

    Args:
        description: Of the study.
        run: What the run must have, for the help.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("run", type=Path, help=run)
    parser.add_argument("--data", help="its images, where they have moved")
    arguments = parser.parse_args()
    return fg.open_run(arguments.run, data=arguments.data)
