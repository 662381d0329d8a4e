"""A place that takes parcels, whatever kind it is of."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from tasks_lib.ledger.errors import LedgerError, LedgerTooNew
from tasks_lib.ledger.migrations import our_migrations
from tasks_lib.ledger.results import relation
from tasks_lib.ledger.team.origin import Ask
from tasks_lib.ledger.team.parcel import COUNTED, Parcel, taking_in


class Unreachable(LedgerError):
    """The place cannot be reached now, or does not know what became of a parcel; it may later."""


class MovedOn(LedgerError):
    """The place has taken in something else meanwhile: look again, and go on from there."""


class Place(Protocol):
    """Where parcels go."""

    def ask(self, text: str) -> pa.Table:
        """The answer to a question.

        Raises:
            Unreachable: nobody answers.
            LedgerError: it cannot be answered.
        """
        ...

    def take(self, parcel: Parcel) -> None:
        """Take a parcel in, all of it or nothing.

        Raises:
            MovedOn: another one came before it.
            Unreachable: nobody answers; whether it was taken in is told by `publications`.
            LedgerError: it is refused.
        """
        ...

    def make_view(self, name: str, body: str) -> None:
        """Make the view of a task's answers, or make it anew.

        Raises:
            MovedOn: somebody else makes it just now.
            Unreachable, LedgerError: as above.
        """
        ...

    def close(self) -> None:
        """Let it go."""
        ...


def check_schema(ask: Ask, *, name: str, remedy: str) -> None:
    """Make sure that a ledger elsewhere has the schema that this program knows.

    Raises:
        LedgerTooNew: its schema is later.
        LedgerError: it is earlier, which `remedy` ends, or it is no ledger.
    """
    known = len(our_migrations())
    row = ask("select coalesce(max(version), 0)::bigint as version from schema_migrations").to_pylist()[0]
    if row["version"] > known:
        raise LedgerTooNew(
            f"{name} has schema version {row['version']}, and this rowmill knows {known}. "
            "Install the later version that made it."
        )
    if row["version"] < known:
        raise LedgerError(
            f"{name} has schema version {row['version']}, and this rowmill writes {known}. {remedy}"
        )


def take_into(connection: duckdb.DuckDBPyConnection, parcel: Parcel) -> None:
    """Take a parcel into tables that this connection can write, in the transaction that is open."""
    with _arriving(connection, parcel.tables):
        for text in taking_in(parcel.label, source=lambda table: f"temp.main.arriving_{table}"):
            connection.execute(text).fetchall()


@contextmanager
def _arriving(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> Iterator[None]:
    """The rows as temporary tables with the types of the ledger's own: some are read more than once."""
    try:
        for name, table in tables.items():
            connection.execute(f"create or replace temp table arriving_{name} as from {name} limit 0")
            with relation(connection, "arriving", table):
                connection.execute(f"insert into temp.main.arriving_{name} by name from arriving")
        yield
    finally:
        for name in tables:
            _dropped(connection, f"arriving_{name}")


def _dropped(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    try:
        connection.execute(f"drop table if exists temp.main.{name}")
    except duckdb.Error:  # the transaction failed, and takes it along
        return


def counts_there(row: Mapping[str, Any]) -> dict[str, int]:
    """The counts of a line of `publications`."""
    return {name: int(row[name]) for name in COUNTED}
