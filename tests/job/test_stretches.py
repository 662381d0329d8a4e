"""Which rows of a source need a call."""

import asyncio
from pathlib import Path

import pyarrow as pa

from tasks_lib.engine.stop import Stop
from tasks_lib.job import enrich
from tasks_lib.job.books import Books
from tasks_lib.job.checks import planner_of
from tasks_lib.job.library import _setup
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.tally import Tally
from tasks_lib.ledger import open_ledger
from tasks_lib.rows import open_table
from tests.job.pretend import ENVIRONMENT, Pretend, task


def test_a_long_answered_beginning_does_not_plan_a_long_rest_at_once(tmp_path: Path) -> None:
    """Look-ups grow while nothing is left to do, but never to more than four stretches' rows and plans."""
    ledger, texts = tmp_path / "ledger.duckdb", [f"good {number}" for number in range(160)]
    known = pa.table({"text": texts[:100]})
    asyncio.run(enrich(known, task(), ledger=ledger, environment=ENVIRONMENT, transport=Pretend().transport))
    setup = _setup(
        task(),
        inputs=None,
        key=None,
        reporting_group=None,
        limits=None,
        retries=None,
        ledger=ledger,
        environment=ENVIRONMENT,
    )
    tally = Tally()

    async def planned() -> list[int]:
        counts = []
        with open_table(pa.table({"text": texts}), key=None) as source, open_ledger(ledger) as open_one:
            stretches = Stretches(
                source.rows(size=2),
                planner=planner_of(setup.job),
                ledger=open_one,
                options=Options(),
                tally=tally,
                books=Books(tally, Stop()),
            )
            while (plans := await stretches.fetch()) is not None:
                counts.append(len(plans))
        return counts

    counts = asyncio.run(planned())
    assert (sum(counts), tally.skipped) == (60, 100)
    assert max(counts) <= 8
    assert len(counts) < 50  # of 80 stretches: those that were answered were looked up together
