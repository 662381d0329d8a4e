"""What the ledger knows of rows by their identity: whether they were answered, and what came of them.

A look-up scans one narrow column of all runs, which DuckDB does at 100 million a second: 10,000 identities
among 1,000,000 runs took 16 ms, and no less from a temporary table of identities, with or without an index.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tasks_lib.ledger.statements import statement

Column = Any  # an Arrow array, whole or in chunks; the published stubs know only some of the kinds there are
_TYPES: Final[Mapping[str, pa.DataType]] = {
    "identity": pa.string(),
    "task_run_id": pa.string(),
    "status": pa.string(),
    "response": pa.string(),
    "error_kind": pa.string(),
    "error": pa.string(),
    "model": pa.string(),
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
    "cost": pa.decimal128(24, 12),
    "possible_cost": pa.decimal128(24, 12),
    "citations": pa.string(),
}
RESULTS: Final = pa.schema(_TYPES)
"""An identity, and the fields of a `StoredResult`."""
_NO_BATCH = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """What came of a row: its latest answer, or its latest failure if there is none."""

    task_run_id: str
    status: str  # completed, failed or cancelled
    response: str | None  # JSON text of the answer's value
    error_kind: str | None
    error: str | None
    model: str | None  # that answered, as provider:name
    input_tokens: int | None
    output_tokens: int | None
    cost: Decimal | None  # dollars; None: unknown
    possible_cost: Decimal | None = None  # dollars that may have been spent besides; None: unknown
    citations: str | None = None  # JSON text of what a hosted task says that its answer rests on


def answered(
    connection: duckdb.DuckDBPyConnection, identities: Sequence[str], *, but_of: str | None = None
) -> set[str]:
    """Those of the identities that a completed run has, of any batch but that one."""
    return _those(connection, identities, "answered", {"but_of": but_of or _NO_BATCH})


def failed(connection: duckdb.DuckDBPyConnection, identities: Sequence[str]) -> set[str]:
    """Those of the identities that a failed run has, and no completed one."""
    return _those(connection, identities, "failed")


def keys_known(
    connection: duckdb.DuckDBPyConnection, asked: Sequence[tuple[str, str]], *, job: str, but_of: str | None
) -> dict[str, bool]:
    """Those of the keys (with the hash of the inputs now) that were run before; whether with these inputs."""
    if not asked:
        return {}
    keys, hashes = zip(*asked, strict=True)
    table = pa.table({"row_key": pa.array(keys, pa.string()), "input_hash": pa.array(hashes, pa.string())})
    with relation(connection, "asked", table):
        parameters = {"job": job, "but_of": but_of or _NO_BATCH}
        return dict(connection.execute(statement("queries", "keys_known"), parameters).fetchall())


def times_ended(connection: duckdb.DuckDBPyConnection, identities: Sequence[str]) -> dict[str, int]:
    """How often a run of each of the identities came to its end; those that never did are left out."""
    if not identities:
        return {}
    with relation(connection, "asked", pa.table({"identity": pa.array(identities, pa.string())})):
        return dict(connection.execute(statement("queries", "times_ended")).fetchall())


def results(connection: duckdb.DuckDBPyConnection, identities: Sequence[str]) -> pa.Table:
    """What came of those of the identities that were ever run, as `RESULTS`, each once and in no order."""
    if not identities:
        return RESULTS.empty_table()
    names: Column = pa.array(identities, pa.string())
    asked = pa.table({"identity": names, "number": pa.array(range(len(names)), pa.int32())})
    with relation(connection, "asked", asked):
        chosen = connection.execute(statement("queries", "chosen")).to_arrow_table()
    if not chosen.num_rows:
        return RESULTS.empty_table()
    bounds: Column = pc.min_max(chosen.column("place"))
    with relation(connection, "chosen", chosen):
        parameters = {"first": bounds["min"].as_py(), "last": bounds["max"].as_py()}
        found = connection.execute(statement("queries", "results"), parameters).to_arrow_table()
    columns: dict[str, Column] = dict(zip(found.schema.names, found.itercolumns(), strict=True))
    columns["identity"] = names.take(columns.pop("number"))
    columns["citations"] = _cited(connection, columns["task_run_id"])
    return pa.table(columns, schema=RESULTS)


def _cited(connection: duckdb.DuckDBPyConnection, task_run_ids: Column) -> Column:
    """What each of these answers rests on; most ledgers know of none, and one look tells that."""
    if connection.execute("from citations limit 1").fetchone() is None:
        return pa.nulls(len(task_run_ids), pa.string())
    with relation(connection, "asked", pa.table({"task_run_id": task_run_ids})):
        cited = connection.execute(statement("queries", "cited")).to_arrow_table()
    places: Column = pc.index_in(task_run_ids, cited.column("task_run_id"))
    return cited.column("citations").take(places)


def by_identity(found: pa.Table) -> dict[str, StoredResult]:
    """What `results` has found, one by one."""
    _, *names = RESULTS.names
    return {
        identity: StoredResult(**dict(zip(names, told, strict=True)))
        for identity, *told in zip(*(found.column(name).to_pylist() for name in RESULTS.names), strict=True)
    }


def _those(
    connection: duckdb.DuckDBPyConnection,
    identities: Sequence[str],
    query: str,
    parameters: Mapping[str, str] | None = None,
) -> set[str]:
    if not identities:
        return set()
    with relation(connection, "asked", pa.table({"identity": pa.array(identities, pa.string())})):
        found = connection.execute(statement("queries", query), dict(parameters or {})).to_arrow_table()
    return {str(identity) for identity in found.column("identity").to_pylist()}


@contextmanager
def relation(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[None]:
    """Let a query inside read a table once, under a name.

    As a stream DuckDB reads it itself; a table it would read by pyarrow.dataset, which takes half a
    millisecond longer each time, and 10 MB and some threads for good.
    """
    reader: Any = table.to_reader()  # the stubs have no types for the next line
    connection.register(name, reader.__arrow_c_stream__())
    try:
        yield
    finally:
        connection.unregister(name)
