"""What a batch has asked and what that has cost, from its ledger.

Rows that are new or changed are counted twice, for two questions. `Summary.new` and `Summary.changed` are
what the batch found to be asked, known from its beginning and only of a source with a key. The table here is
what it did ask, with the calls and the cost of each sort, which a batch that was stopped has less of; and it
has the rows without a key, of which a changed one is a new one. Of a whole batch both say the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
from anyio import to_thread
from prefect import get_run_logger

from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.tally import Summary
from tasks_lib.ledger import open_ledger

MOST_SHOWN: Final = 500  # rows of an artifact; the ledger has them all

_FOLDER: Final = Path(__file__).parent

Table = Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchTables:
    """The closing tables of a batch; empty where there is nothing to tell or the ledger cannot be read."""

    grown: Table = ()  # rows by why they were asked: new, changed, under another revision, again
    groups: Table = ()  # by reporting group, the dearest first
    revisions: Table = ()  # by revision: shares, runs, cost


async def tables_of(summary: Summary) -> BatchTables:
    """The closing tables of a batch."""
    if summary.batch_id is None:
        return BatchTables()
    try:
        return await to_thread.run_sync(_asked, summary.ledger, summary.batch_id)
    except (Mistake, duckdb.Error) as trouble:  # such as another batch that has taken the ledger already
        get_run_logger().warning("The closing tables are not shown: %s", trouble)
        return BatchTables()


def _asked(ledger: Path, batch_id: str) -> BatchTables:
    with open_ledger(ledger, read_only=True) as opened:
        cursor = opened.cursor()

        def answer(question: str, **more: object) -> list[dict[str, Any]]:
            text = (_FOLDER / f"{question}.sql").read_text(encoding="utf-8")
            return cursor.execute(text, {"batch_id": batch_id, **more}).to_arrow_table().to_pylist()

        return BatchTables(
            grown=answer("grown_in_batch"),
            groups=answer("costs_of_batch", most=MOST_SHOWN),
            revisions=answer("revisions_of_batch", most=MOST_SHOWN),
        )
