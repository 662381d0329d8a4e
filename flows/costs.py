"""What a batch has cost, from its ledger."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
from anyio import to_thread
from prefect import get_run_logger

from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger

MOST_SHOWN: Final = 500  # rows of an artifact; the ledger has them all

_QUESTION: Final = Path(__file__).with_name("costs_of_batch.sql")


async def costs_of(summary: Summary) -> Sequence[Mapping[str, object]]:
    """A record for each reporting group of a batch, the dearest first; none if the ledger cannot be read."""
    if summary.batch_id is None:
        return []
    try:
        return await to_thread.run_sync(_asked, summary.ledger, summary.batch_id)
    except (Mistake, duckdb.Error) as trouble:  # such as another batch that has taken the ledger already
        get_run_logger().warning("The costs are not shown: %s", trouble)
        return []


def _asked(ledger: Path, batch_id: str) -> list[dict[str, Any]]:
    with open_ledger(ledger, read_only=True) as opened:
        answer = opened.cursor().execute(
            _QUESTION.read_text(encoding="utf-8"), {"batch_id": batch_id, "most": MOST_SHOWN}
        )
        return answer.to_arrow_table().to_pylist()
