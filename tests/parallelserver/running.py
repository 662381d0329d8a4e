"""The server as a child process, for tests and benchmarks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, build_opener

_ROOT = Path(__file__).resolve().parents[2]
_OPENER = build_opener(ProxyHandler({}))  # the environment's proxy knows nothing of our loopback


class Server:
    """A running server: its address, its counts and its settings."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        """`http://127.0.0.1:PORT`, without a path."""
        self.pid = pid

    def base_url(self, **settings: float | str) -> str:
        """The base URL for a client (`/v1/...` follows), with settings of its own if any are given.

        All base URLs lead to the same runs: a run keeps the settings under which it was made.
        """
        return f"{self.url}/c/{quote(_joined(settings), safe='=,')}" if settings else self.url

    def stats(self) -> dict[str, Any]:
        """All counts since the start or the last reset."""
        return cast("dict[str, Any]", self._got("/stats"))

    def started(self, field: str = "") -> dict[str, int]:
        """How many runs were made for each row, or for each value of another metadata field."""
        return cast("dict[str, int]", self._got(f"/stats/rows?{urlencode({'field': field})}"))

    def runs(self) -> list[dict[str, Any]]:
        """Every run: what GET run tells, its key, its input, and how often its result was read."""
        return cast("list[dict[str, Any]]", self._got("/stats/runs"))

    def busiest(self, seconds: float) -> tuple[int, int]:
        """The most creating POSTs, and the most runs made, in any window of so many seconds."""
        told = self._got(f"/stats/window?seconds={seconds}")
        return told["creating_posts"], told["runs_made"]

    def reset(self) -> None:
        """Forget all runs, groups, credits and counts; break the connections that wait for them."""
        self._got("/stats/reset")

    def config(self, **settings: float | str) -> dict[str, Any]:
        """Change settings from now on, and read them all; `clear=1` goes back to those of the start.

        Raises:
            ValueError: A setting that is not known, or a value that it cannot have.
        """
        return cast("dict[str, Any]", self._got(f"/config?{urlencode(settings)}"))

    def _got(self, path: str) -> Any:
        try:
            with _OPENER.open(self.url + path, timeout=60) as answer:
                return json.loads(answer.read())
        except HTTPError as refused:
            with refused:
                raise ValueError(json.loads(refused.read())["error"]["message"]) from None


@contextmanager
def running_server(**settings: float | str) -> Iterator[Server]:
    """Start a server with these settings on a free port, and end it afterwards, whatever happens.

    Raises:
        RuntimeError: It did not start, or did not end well.
    """
    command = [sys.executable, "-m", "tests.parallelserver", "--port", "0", "--config", _joined(settings)]
    child = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None, "its input is a pipe"
    assert child.stdout is not None, "its output is a pipe"
    try:
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start (exit code {child.wait()})")
        yield Server(json.loads(line)["url"], child.pid)
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


def _joined(settings: dict[str, float | str]) -> str:
    return ",".join(f"{name}={value}" for name, value in settings.items())
