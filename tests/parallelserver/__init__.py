"""Parallel's Task API on loopback, with the documented limits, failures on purpose, and exact counts.

Tests start it beside themselves with `running_server`;
`python -m tests.parallelserver --help` lists the settings.
"""

from tests.parallelserver.running import Server, running_server

__all__ = ["Server", "running_server"]
