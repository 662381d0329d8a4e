"""What the ledger knows of rows by their identity: whether they were answered, and what came of them.

A look-up scans one narrow column of all runs, which DuckDB does at 100 million a second: 10,000 identities
among 1,000,000 runs took 16 ms, and no less from a temporary table of identities, with or without an index.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from tasks_lib.ledger.statements import statement

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


def results(connection: duckdb.DuckDBPyConnection, identities: Sequence[str]) -> dict[str, StoredResult]:
    """What came of those of the identities that were ever run."""
    if not identities:
        return {}
    with relation(connection, "asked", pa.table({"identity": pa.array(identities, pa.string())})):
        chosen = connection.execute(statement("queries", "chosen")).to_arrow_table()
    if not chosen.num_rows:
        return {}
    places: list[Any] = chosen.column("place").to_pylist()
    with relation(connection, "chosen", chosen):
        found = connection.execute(
            statement("queries", "results"), {"first": min(places), "last": max(places)}
        ).to_arrow_table()
    return {
        identity: StoredResult(
            task_run_id=task_run_id,
            status=status,
            response=response,
            error_kind=error_kind,
            error=error,
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost=cost,
            possible_cost=possible_cost,
            citations=citations,
        )
        for (
            identity,
            task_run_id,
            status,
            response,
            error_kind,
            error,
            model,
            input_tokens,
            output_tokens,
            cost,
            possible_cost,
            citations,
        ) in zip(*(column.to_pylist() for column in found.itercolumns()), strict=True)
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
