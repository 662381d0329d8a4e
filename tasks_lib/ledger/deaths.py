"""Rows that were under way when a process died."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa

from tasks_lib.ledger.facts import storable
from tasks_lib.ledger.results import relation
from tasks_lib.ledger.statements import statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A row that was under way when its batch's process died."""

    batch_id: str
    task_run_id: str  # UUID; the run itself was never added
    identity: str  # 32 hexadecimal digits
    row_key: str | None
    row_number: int | None


def insert_deaths(
    connection: duckdb.DuckDBPyConnection, deaths: Sequence[Death], *, found_at: datetime
) -> None:
    """Add deaths, except those that are there already."""
    arriving = pa.table(
        {
            "batch_id": pa.array([one.batch_id for one in deaths], pa.string()),
            "task_run_id": pa.array([one.task_run_id for one in deaths], pa.string()),
            "identity": pa.array([one.identity for one in deaths], pa.string()),
            "row_key": pa.array(
                [None if one.row_key is None else storable(one.row_key) for one in deaths], pa.string()
            ),
            "row_number": pa.array([one.row_number for one in deaths], pa.int64()),
        }
    )
    with relation(connection, "arriving", arriving):
        connection.execute(statement("queries", "add_deaths"), {"found_at": found_at})
