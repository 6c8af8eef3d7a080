"""The command `filtergan`, and the processes that it starts."""

from filtergan.cli.command import main

__all__ = ["main"]
