"""aimock on loopback: another's idea of what the APIs take and say, with a journal of what it was asked."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

PROGRAM = Path(__file__).parent / "node_modules/@copilotkit/aimock/dist/aimock-cli.js"
KEY = "a-key-of-this-test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aimock:
    """A running server."""

    url: str

    def journal(self) -> list[dict[str, Any]]:
        """Every request that it was sent, in order: path, headers, body as it understood it, response."""
        answer = httpx.get(
            f"{self.url}/__aimock/journal",
            params={"limit": 1000},
            headers={"x-api-key": KEY},
            trust_env=False,
        )
        entries: list[dict[str, Any]] = answer.raise_for_status().json()
        return entries


@contextmanager
def aimock(folder: Path, fixtures: Sequence[dict[str, Any]]) -> Iterator[Aimock]:
    """A server with these answers, for one key alone; what none of them fits is answered by 503."""
    if not PROGRAM.exists() or shutil.which("node") is None:
        pytest.fail("aimock is not installed: make aimock does so, with npm")
    (folder / "fixtures.json").write_text(json.dumps({"fixtures": list(fixtures)}))
    config = {
        "strict": True,
        "auth": {"apiKeys": [KEY]},
        "llm": {"fixtures": str(folder / "fixtures.json"), "logLevel": "warn"},
    }
    (folder / "aimock.json").write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "aimock.log").open("wb")
    process = subprocess.Popen(
        ["node", str(PROGRAM), "--config", str(folder / "aimock.json"), "--port", str(port)],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
    )
    try:
        _wait_for(url := f"http://127.0.0.1:{port}")
        yield Aimock(url=url)
    finally:
        process.terminate()
        process.wait()
        log.close()


def _wait_for(url: str) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            httpx.get(f"{url}/ready", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"nothing answers at {url}")
