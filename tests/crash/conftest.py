"""A project, a server on loopback and the command as a child process, as the command's tests have them."""

from tests.cli.conftest import project, server

__all__ = ["project", "server"]
