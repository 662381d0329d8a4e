"""A loopback server that runs tasks as Rightbrain's API does, fails on purpose, and counts every run.

Tests start it beside themselves with `running_server`; `python -m tests.rightbrainserver --help` lists the
settings. What it has in common with the other task server (its HTTP, settings, counts and child process) is
here too: `wire`, `told`, `tally`, `creating`, `control`, `serving`, `starting`.
"""

from tests.rightbrainserver.running import Server, running_server

__all__ = ["Server", "running_server"]
