"""What an outside judge of clients says: `llmock` keeps quotas as providers do, and looks how we behave."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.tally import Summary

pytestmark = pytest.mark.verdict

REQUESTS, TOKENS = 120, 20_000  # a minute
ROWS = 150  # more than a full bucket holds, so that the limit is met whatever the beginning looks like


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A running server that judges its clients."""

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


@pytest.fixture
def judge() -> Iterator[Judge]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable, "-m", "llmock.cli", "serve", "--port", str(port), "--log-level", "error",
            "--rpm", str(REQUESTS), "--tpm", str(TOKENS),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(url := f"http://127.0.0.1:{port}")
        yield Judge(url=url)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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


def job(folder: Path, base_url: str, *, limits: str) -> Path:
    (folder / "rows.csv").write_text("id,text\n" + "".join(f"{n},thing {n}\n" for n in range(ROWS)))
    (folder / "task.yaml").write_text(
        "task: judged\noutput: {modality: text}\nuser_prompt: 'Say something of {{text}}'\n"
        "model: judge:gpt-4o-mini\nparameters: {max_tokens: 150}\n"
    )
    (folder / "providers.yaml").write_text(
        f"judge: {{protocol: openai, base_url: '{base_url}', limits: {limits}}}\n"
    )
    (folder / "job.yaml").write_text("task: task.yaml\nsource: {path: rows.csv, key: id}\n")
    return folder / "job.yaml"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "limits", ["{requests_per_minute: 120, tokens_per_minute: 20000}", "{}"], ids=["told", "not told"]
)
async def test_an_outside_judge_finds_no_fault_with_how_limits_are_kept(
    judge: Judge, tmp_path: Path, limits: str
) -> None:
    """Every row is answered, and not even a warning: Retry-After, backoff and number of tries are right."""
    path = job(tmp_path, f"{judge.url}/v1", limits=limits)
    summary: Summary = await run_batch(load_setup(path, environment=Environment.of({})))
    assert (summary.completed, summary.failed) == (ROWS, 0)
    verdict = judge.verdict()
    assert (verdict["passed"], verdict["warnings"], verdict["exit_code"]) == (True, 0, 0), verdict
    assert verdict["calls"] == ROWS
