"""Task runs on their way through DuckDB: inserts that are planned once, and the tables that they read.

What a commit of 100 rows takes is not for the rows so much as for the statements: parsing and planning two
inserts of some forty and thirty columns, and the scanner of pyarrow.dataset that DuckDB puts before an Arrow
table. An Arrow C stream is read without that scanner, and one that stands at the same address every time can
be read by a prepared statement. Both together take two fifths off.
"""

import ctypes
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa

from tasks_lib.ledger.facts import ATTEMPTS, FILES, TASK_RUNS, Facts
from tasks_lib.ledger.statements import literal, statement

_STREAM = b"arrow_array_stream"  # as the Arrow C data interface calls such a capsule
_address_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class Arrivals:
    """The inserts of one batch at a time on one connection, which nobody else may use meanwhile."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Nothing is planned before the first batch is known."""
        self._connection = connection
        connection.execute("pragma disable_optimizer")  # there is nothing about an insert to be made better
        self._task_runs = _Stream(connection, "arriving_task_runs", TASK_RUNS)
        self._attempts = _Stream(connection, "arriving_attempts", ATTEMPTS)
        self._files = _Stream(connection, "arriving_files", FILES)
        self._batch_id: str | None = None

    def add(self, facts: Facts, *, batch_id: str, task_id: str, user_id: str | None) -> None:
        """Insert them into the transaction that is open."""
        if batch_id != self._batch_id:
            self._plan(batch_id=batch_id, task_id=task_id, user_id=user_id)
        self._task_runs.fill(facts.task_runs)
        self._connection.execute("execute add_task_runs")
        if facts.attempts.num_rows:
            self._attempts.fill(facts.attempts)
            self._connection.execute("execute add_attempts")
        if facts.files.num_rows:
            self._files.fill(facts.files)
            self._connection.execute("execute add_files")

    def _plan(self, *, batch_id: str, task_id: str, user_id: str | None) -> None:
        """Prepare the inserts, with literals: of parameters the types may differ, and all is planned anew."""
        self._batch_id = None
        self._task_runs.fill(TASK_RUNS.empty_table())
        self._attempts.fill(ATTEMPTS.empty_table())
        self._files.fill(FILES.empty_table())
        user = "null" if user_id is None else literal(user_id.replace("\0", "\ufffd"))
        for name in ("add_task_runs", "add_attempts", "add_files"):
            text = statement("queries", name)
            for parameter, value in (
                ("$batch_id", literal(batch_id)),
                ("$task_id", literal(task_id)),
                ("$user_id", user),
            ):
                text = text.replace(parameter, value)
            self._connection.execute(f"prepare {name} as {text}")
        self._batch_id = batch_id


class _Stream:
    """An Arrow C stream that DuckDB knows by name, and that is filled again each time it was read."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
        reader: Any = schema.empty_table().to_reader()  # the stubs have no types for the next line
        self._capsule = reader.__arrow_c_stream__()  # it owns what is at the address
        self._address = int(_address_of(self._capsule, _STREAM))
        connection.register(name, self._capsule)

    def fill(self, table: pa.Table) -> None:
        with suppress(pa.ArrowInvalid):  # it was read, as it should be
            pa.RecordBatchReader._import_from_c(self._address)  # noqa: SLF001 - pyarrow's own word for it; lets go of what was not read
        table.to_reader()._export_to_c(self._address)  # noqa: SLF001 - as above
