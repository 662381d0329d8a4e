"""What the ledger answers, as tables that can be shown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks_lib.cli.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(answer: "pa.Table") -> Table:
    """An Arrow table, read a batch at a time."""
    return Table(columns=tuple(answer.column_names), rows=_rows(answer))


def _rows(answer: "pa.Table") -> Iterator[tuple[object, ...]]:
    for batch in answer.to_batches(max_chunksize=10_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
