"""The server as a child process, for tests and benchmarks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

EVERYWHERE = "0.0.0.0"  # noqa: S104  # for hosts that are network namespaces of this machine
_ROOT = Path(__file__).resolve().parents[2]
_OPENER = build_opener(ProxyHandler({}))  # the environment's proxy knows nothing of our loopback


class Server:
    """A running server: its address, its counts and its settings."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        """`http://127.0.0.1:PORT`, without a path."""
        self.pid = pid

    def base_url(self, **settings: float | str) -> str:
        """The base URL for an OpenAI client, with settings of its own if any are given."""
        return f"{self.url}/c/{_joined(settings)}/v1" if settings else f"{self.url}/v1"

    def stats(self) -> dict[str, Any]:
        """All counts since the start or the last reset."""
        return self._got("/stats")

    def busiest(self, seconds: float) -> int:
        """The most arrivals in any window of so many seconds."""
        return cast("int", self._got(f"/stats/window?seconds={seconds}")["arrivals"])

    def per_second(self) -> dict[int, int]:
        """Arrivals in each second of the wall clock that had any."""
        lines = self._text("/stats/persec").splitlines()[1:]
        return {int(second): int(n) for second, n in (line.split(",") for line in lines)}

    def rows(self) -> dict[str, tuple[int, int, int]]:
        """Received, billed and ok by row id (ids without commas and quotes)."""
        lines = self._text("/stats/rows").splitlines()[1:]
        return {
            row_id: (int(a), int(b), int(c)) for row_id, a, b, c in (line.rsplit(",", 3) for line in lines)
        }

    def reset(self) -> None:
        """Count from nothing again; every limit is fresh."""
        self._got("/stats/reset")

    def config(self, **settings: float | str) -> dict[str, Any]:
        """Change settings from now on, and read them all; `clear=1` goes back to those of the start.

        Raises:
            ValueError: A setting that is not known, or a value that it cannot have.
        """
        return self._got(f"/config?{urlencode(settings)}")

    def _got(self, path: str) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self._text(path)))

    def _text(self, path: str) -> str:
        try:
            with _OPENER.open(self.url + path, timeout=60) as answer:
                return cast("bytes", answer.read()).decode()
        except HTTPError as refused:
            with refused:
                raise ValueError(json.loads(refused.read())["error"]["message"]) from None


@contextmanager
def running_server(*, host: str = "127.0.0.1", **settings: float | str) -> Iterator[Server]:
    """Start a server with these settings on a free port, and end it afterwards, whatever happens.

    It listens on loopback, unless another host is named.

    Raises:
        RuntimeError: It did not start, or did not end well.
    """
    command = [sys.executable, "-m", "tests.llmserver", "--port", "0", "--config", _joined(settings)]
    command += ["--host", host]
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
