"""Many small batches with workers from elsewhere: where a wake is lost, one of them stands still."""

from pathlib import Path

import anyio
import pytest

from bench.project import make_project
from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.tally import Outcome
from tests.job.recruited import Threads
from tests.llmserver import running_server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

ROWS = 120
STANDS_STILL = 100  # seconds in which a batch of so few rows is over, however busy the machine is


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_small_batches_come_to_their_end(tmp_path: Path) -> None:
    """With few and many places, with and without a limit by the minute and money, at any latency."""
    with running_server() as server:
        for number, (in_flight, lat, limits) in enumerate(
            (
                (2, 0, {}),
                (8, 5, {"requests_per_minute": 30_000}),
                (64, 0, {"max_cost": 10}),
                (3, 1, {"tokens_per_minute": 50_000_000}),
                (64, 20, {"requests_per_minute": 60_000, "max_cost": 10}),
                (512, 0, {}),
            )
        ):
            server.reset()
            job = make_project(
                tmp_path / str(number),
                base_url=server.base_url(lat=lat),
                rows=ROWS,
                in_flight=in_flight,
                limits=limits,
            )
            setup = load_setup(job, environment=Environment.from_os(), overrides={"workers": 2})
            with anyio.fail_after(STANDS_STILL):
                summary = await run_batch(setup, recruiter=Threads())
            assert (summary.outcome, summary.completed, summary.calls) == (Outcome.COMPLETED, ROWS, ROWS)
            assert server.stats()["billed"] == ROWS
