"""A task server as a child process, and what tests ask of it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.request import ProxyHandler, Request, build_opener

from tests.llmserver.running import Server

_ROOT = Path(__file__).resolve().parents[2]
_OPENER = build_opener(ProxyHandler({}))  # the environment's proxy knows nothing of our loopback


class TaskServer(Server):
    """A running task server; counts and settings as in `tests.llmserver`, and billed means started."""

    def with_settings(self, **settings: float | str) -> str:
        """The server's address, with settings of its own if any are given; what follows is the API's path."""
        return f"{self.url}/c/{joined(settings)}" if settings else self.url

    def asked(self, path: str, told: object = None) -> Any:
        """What the server says to a question beside its API, put with a body of JSON if there is one."""
        body = None if told is None else json.dumps(told).encode()
        with _OPENER.open(Request(self.url + path, body), timeout=60) as answer:  # noqa: S310  # our loopback
            return cast("Any", json.loads(answer.read()))


@contextmanager
def started(program: str, settings: dict[str, float | str]) -> Iterator[tuple[str, int]]:
    """Start it with these settings on a free port, and end it afterwards; its address and process id.

    Raises:
        RuntimeError: It did not start, or did not end well.
    """
    command = [sys.executable, "-m", program, "--port", "0", "--config", joined(settings)]
    child = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None, "its input is a pipe"
    assert child.stdout is not None, "its output is a pipe"
    try:
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start (exit code {child.wait()})")
        yield json.loads(line)["url"], child.pid
    finally:
        child.stdin.close()
        try:
            code = child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        child.stdout.close()
    if code:
        raise RuntimeError(f"the server ended with exit code {code}")


def joined(settings: dict[str, float | str]) -> str:
    """`name=value,name=value`."""
    return ",".join(f"{name}={value}" for name, value in settings.items())
