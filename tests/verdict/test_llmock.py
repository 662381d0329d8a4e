"""What an outside judge of clients says: `llmock` keeps quotas as providers do, and looks how we behave."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest

from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.tally import Summary
from tests.verdict.server import SPOKEN, job, llmock

pytestmark = pytest.mark.verdict

REQUESTS, TOKENS = 120, 20_000  # a minute
ROWS = 150  # more than a full bucket holds, so that the limit is met whatever the beginning looks like


@pytest.mark.parametrize(
    "limits", ["{requests_per_minute: 120, tokens_per_minute: 20000}", "{}"], ids=["told", "not told"]
)
def test_an_outside_judge_finds_no_fault_with_how_limits_are_kept(tmp_path: Path, limits: str) -> None:
    """In each protocol every row is answered, without a warning: Retry-After, backoff and tries are right."""
    with ExitStack() as stack:
        judges = {
            protocol: stack.enter_context(llmock("--rpm", str(REQUESTS), "--tpm", str(TOKENS)))
            for protocol in SPOKEN
        }
        jobs: dict[str, Path] = {}
        for protocol, judge in judges.items():
            (folder := tmp_path / protocol).mkdir()
            jobs[protocol] = job(folder, judge, protocol, rows=ROWS, limits=limits)
        summaries = anyio.run(_run_together, jobs)
        verdicts = {protocol: judge.verdict() for protocol, judge in judges.items()}
    for protocol, verdict in verdicts.items():
        summary = summaries[protocol]
        assert (protocol, summary.completed, summary.failed) == (protocol, ROWS, 0)
        kept = (protocol, verdict["passed"], verdict["warnings"], verdict["exit_code"])
        assert kept == (protocol, True, 0, 0), verdict
        assert verdict["calls"] == ROWS


async def _run_together(jobs: Mapping[str, Path]) -> dict[str, Summary]:
    """The batches' summaries; their minutes of quotas pass at the same time."""
    summaries: dict[str, Summary] = {}

    async def run(protocol: str, path: Path) -> None:
        summaries[protocol] = await run_batch(load_setup(path, environment=Environment.of({})))

    async with anyio.create_task_group() as group:
        for protocol, path in jobs.items():
            group.start_soon(run, protocol, path)
    return summaries
