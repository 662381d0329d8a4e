"""A table of a DuckDB database, replaced in one transaction."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from tasks_lib.rows.errors import OutputError
from tasks_lib.rows.formats import Field, as_schema
from tasks_lib.rows.whole_file import place_of, prove_writable

_GROUP: Final = 32_768  # rows an insert
_EMPTY: Final = "rowmill_empty"
_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",  # without a network the attempt stalls for seconds
    "memory_limit": "256MB",  # the transaction is written to the file as it grows
    "threads": 2,
}


class TableWriter:
    """Writes batches into a table that nobody sees before the transaction is committed."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, table: str, schema: pa.Schema) -> None:
        """Begin, with the table empty; a type that DuckDB does not know becomes text."""
        self._connection = connection
        self._table = ".".join(f'"{part}"' for part in table.split("."))
        self._schema = pa.schema(
            [field if _is_known(connection, field) else pa.field(field.name, pa.string()) for field in schema]
        )
        self._waiting: list[pa.RecordBatch] = []
        connection.execute("begin transaction")
        connection.register(_EMPTY, self._schema.empty_table())
        connection.execute(f"create or replace table {self._table} as from {_EMPTY}")
        connection.unregister(_EMPTY)

    def write(self, batch: pa.RecordBatch) -> None:
        """Take a batch.

        Raises:
            duckdb.Error: it cannot be stored.
        """
        self._waiting.append(as_schema(batch, self._schema))
        if sum(waiting.num_rows for waiting in self._waiting) >= _GROUP:
            self._insert()

    def finish(self) -> None:
        """Store what is waiting, and let everybody see the table.

        Raises:
            duckdb.Error: it cannot be stored.
        """
        self._insert()
        self._connection.execute("commit")

    def give_up(self) -> None:
        """Forget the transaction."""
        with suppress(duckdb.Error):  # an error may have ended it
            self._connection.execute("rollback")

    def _insert(self) -> None:
        if not self._waiting:
            return
        group = pa.Table.from_batches(self._waiting, schema=self._schema)
        self._waiting = []
        # a registered view would be kept, with its rows, until the transaction ends
        self._connection.from_arrow(group).insert_into(self._table)


@contextmanager
def open_database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database at this path, to be written; a new one is removed again when the block fails.

    Raises:
        OutputError: the folder is missing or may not be written, the file is no database or in use.
    """
    place = place_of(path)
    is_new = not place.exists()
    prove_writable(path)  # DuckDB's own message does not say which folder
    try:
        try:
            connection = duckdb.connect(str(place), config=_SETTINGS)
        except duckdb.Error as error:
            raise OutputError(_reason(path, error)) from error
        with closing(connection):
            connection.execute("set enable_progress_bar = false")
            yield connection
    except BaseException:
        if is_new:
            for left in (place, place.with_name(f"{place.name}.wal")):
                left.unlink(missing_ok=True)
        raise


def _is_known(connection: duckdb.DuckDBPyConnection, field: Field) -> bool:
    if pa.types.is_union(field.type):
        return False  # an empty one cannot even be made to ask
    try:
        connection.from_arrow(pa.schema([field]).empty_table()).fetchall()
    except duckdb.Error:
        return False
    return True


def _reason(path: Path, error: duckdb.Error) -> str:
    reason = str(error).strip().splitlines()[0]
    if "lock" in reason.lower():
        return f"{path}: another process has this database open; close it, or write to another one ({reason})"
    return f"{path}: cannot be opened as a DuckDB database: {reason}"
