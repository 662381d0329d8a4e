"""What the ledger knows of the files that task runs made."""

from collections.abc import Sequence
from uuid import UUID

import duckdb
import pyarrow as pa

from tasks_lib.ledger.results import relation
from tasks_lib.ledger.statements import statement


def latest_files(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The file of each row's latest answer, as `produced_files` has it, by job, task and row."""
    return connection.execute(statement("queries", "latest_files")).to_arrow_table()


def files_of(connection: duckdb.DuckDBPyConnection, task_run_ids: Sequence[str]) -> pa.Table:
    """The files that these runs have made, as `produced_files` has them, in no order."""
    with relation(connection, "asked", _asked("id", task_run_ids)):
        return connection.execute(statement("queries", "files_of")).to_arrow_table()


def files_known(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> set[str]:
    """Those of the names that files of task runs have."""
    return _those(connection, "files_known", "name", names)


def batches_known(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that batches have; what is no id at all is none's."""
    return _those(connection, "batches_known", "id", [one for one in ids if _is_id(one)])


def _those(connection: duckdb.DuckDBPyConnection, query: str, column: str, values: Sequence[str]) -> set[str]:
    with relation(connection, "asked", _asked(column, values)):
        return {str(row[0]) for row in connection.execute(statement("queries", query)).fetchall()}


def _asked(column: str, values: Sequence[str]) -> pa.Table:
    return pa.table({column: pa.array(values, pa.string())})


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
