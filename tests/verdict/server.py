"""A process of `llmock`, which speaks the protocols of several providers and judges its clients."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A protocol as the server speaks it."""

    path: str  # of the base URL
    model: str


SPOKEN = {
    "openai": Spoken(path="/v1", model="gpt-4o-mini"),
    "anthropic": Spoken(path="/anthropic/v1", model="claude-haiku-4-5-20251001"),
    "google": Spoken(path="/gemini/v1beta", model="gemini-2.5-flash"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A running server."""

    url: str

    def verdict(self) -> dict[str, object]:
        """What `llmock report --strict` says of all that it was asked since its start."""
        done = subprocess.run(
            [sys.executable, "-m", "llmock.cli", "report", "--url", self.url, "--strict", "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        told: dict[str, object] = json.loads(done.stdout)
        return {**told, "exit_code": done.returncode}


@contextmanager
def llmock(*options: str) -> Iterator[Judge]:
    """A server of one's own, which is gone afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "error", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(url := f"http://127.0.0.1:{port}")
        yield Judge(url=url)
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            httpx.get(f"{url}/health", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"nothing answers at {url}")


def job(folder: Path, judge: Judge, protocol: str, *, rows: int, limits: str = "{}") -> Path:
    """A job of so many rows that asks a server in one of its protocols."""
    spoken = SPOKEN[protocol]
    (folder / "rows.csv").write_text("id,text\n" + "".join(f"{n},thing {n}\n" for n in range(rows)))
    (folder / "task.yaml").write_text(
        "task: judged\noutput: {modality: text}\nuser_prompt: 'Say something of {{text}}'\n"
        f"model: judge:{spoken.model}\nparameters: {{max_tokens: 150}}\n"
    )
    (folder / "providers.yaml").write_text(
        f"judge: {{protocol: {protocol}, base_url: '{judge.url}{spoken.path}', limits: {limits}}}\n"
    )
    (folder / "job.yaml").write_text(
        "task: task.yaml\nsource: {path: rows.csv, key: id}\nledger: ledger.duckdb\n"
    )
    return folder / "job.yaml"
