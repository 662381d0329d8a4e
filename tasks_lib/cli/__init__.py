"""The command `rowmill`."""

from tasks_lib.cli.entry import main

__all__ = ["main"]
