"""What became of notices to a webhook."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from tasks_lib.ledger.results import relation
from tasks_lib.ledger.statements import statement

_KINDS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "task_run_id": pa.string(),
    "type": pa.string(),
    "url": pa.string(),
    "created_at": pa.timestamp("us", tz="UTC"),
    "delivered_at": pa.timestamp("us", tz="UTC"),
    "tries": pa.int64(),
    "http_status": pa.int64(),
    "error": pa.string(),
}
_TYPES = pa.schema(_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFact:
    """A notice that was delivered or given up."""

    id: str
    task_run_id: str | None  # None: it was about the batch
    type: str
    url: str  # without its path
    created_at: datetime
    delivered_at: datetime | None  # None: it was given up
    tries: int
    http_status: int | None  # of the last try
    error: str | None  # of the last try


def insert_notices(
    connection: duckdb.DuckDBPyConnection, notices: Sequence[NoticeFact], *, batch_id: str
) -> None:
    """Add them to the ledger."""
    columns: dict[str, list[Any]] = {
        field.name: [getattr(notice, field.name) for notice in notices] for field in fields(NoticeFact)
    }
    with relation(connection, "arriving", pa.table(columns, schema=_TYPES)):
        connection.execute(statement("queries", "add_notices"), {"batch_id": batch_id})
