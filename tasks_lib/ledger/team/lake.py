"""A team's ledger as a DuckLake: files of Parquet, and a catalog in PostgreSQL that many may write to.

There is no server of ours: whoever attaches the lake reads and writes it, and PostgreSQL says who may.
A lake has no keys. What a key would refuse, two that write the same at once, is refused by a line that both
change: the lake finds out at the commit, and one of the two looks again.
"""

from contextlib import suppress
from time import sleep
from typing import Final

import duckdb
import pyarrow as pa

from tasks_lib.ledger.errors import LedgerError
from tasks_lib.ledger.extensions import load_extensions
from tasks_lib.ledger.migrations import Migration, our_migrations
from tasks_lib.ledger.statements import literal, statements
from tasks_lib.ledger.team.origin import making_view
from tasks_lib.ledger.team.parcel import MOVED_ON, Parcel
from tasks_lib.ledger.team.place import MovedOn, Unreachable, take_into
from tasks_lib.ledger.team.uri import LakeUri

_CLIENT: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_TRIES, _PAUSE = 20, 0.25  # of making a lake; seconds
_SESSION = "set timezone = 'UTC'; set enable_progress_bar = false; set python_enable_replacements = false"
_CONFLICT = (
    "ransaction conflict",
    "already exists",
    "write-write",
    "Conflict",
    "could not serialize",
    "duplicate key",
)
_AWAY = ("Unable to connect", "could not connect", "onnection", "server closed")


class LakePlace:
    """A DuckLake that is attached; made into a ledger if there is nothing in it."""

    def __init__(self, at: LakeUri, *, make: bool = False, read_only: bool = False) -> None:
        """Attach it; with `make`, an empty one gets a ledger's tables and views.

        Raises:
            Unreachable: the catalog does not answer.
            LedgerError: it cannot be attached.
        """
        self.at = at
        for left in range(_TRIES - 1, -1, -1):
            self._connection = duckdb.connect(config=_CLIENT)
            try:
                with self._told():
                    self._attach(read_only=read_only)
                    if make:
                        self._make()
            except MovedOn:  # somebody else makes the same lake just now
                self._connection.close()
                if not left:
                    raise
                sleep(_PAUSE)
            except BaseException:
                self._connection.close()
                raise
            else:
                return

    def close(self) -> None:
        """Let it go."""
        self._connection.close()

    def ask(self, text: str) -> pa.Table:
        """See `Place.ask`."""
        with self._told():
            return self._connection.execute(text).to_arrow_table()

    def take(self, parcel: Parcel) -> None:
        """See `Place.take`."""
        with self._told(), _transaction(self._connection):
            take_into(self._connection, parcel)

    def make_view(self, name: str, body: str) -> None:
        """See `Place.make_view`."""
        with self._told():
            self._connection.execute(making_view(name, body))

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection, in which the lake's tables have their plain names."""
        return self._connection

    def _attach(self, *, read_only: bool) -> None:
        connection = self._connection
        needed = ["httpfs", "ducklake"]
        if "postgres" in self.at.attach.split(":")[1:2]:
            needed.insert(1, "postgres")
        load_extensions(connection, *needed, extra="team")
        connection.execute(_SESSION)
        options = [*(["read_only"] if read_only else [])]
        if self.at.data_path is not None:
            options.append(f"data_path {literal(self.at.data_path)}")
        if self.at.schema is not None:
            options.append(f"metadata_schema {literal(self.at.schema)}")
        told = f" ({', '.join(options)})" if options else ""
        connection.execute(f"attach {literal(self.at.attach)} as place{told}")
        connection.execute("use place")

    def _make(self) -> None:
        """Apply the migrations that an empty lake lacks, and make the views."""
        there = self._connection.execute(
            "select count(*) from duckdb_tables() where database_name = 'place' "
            "and table_name = 'schema_migrations'"
        ).fetchone()
        if there and there[0]:
            return
        with _transaction(self._connection):  # all at once: two that do so at the same time cannot both
            self._connection.execute(
                "create table schema_migrations (version integer not null, name varchar not null, "
                "applied_at timestamptz not null)"
            )
            for migration in our_migrations():
                self._connection.execute(for_lake(migration))
                self._connection.execute(
                    "insert into schema_migrations values ($1, $2, now())",
                    [migration.version, migration.name],
                )
            for view in statements("views"):
                self._connection.execute(view.text)

    def _told(self) -> "_Told":
        return _Told(str(self.at))


class _Told:
    """DuckDB's errors inside become ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, duckdb.Error):
            return
        said = str(error)
        first_line = said.partition("\n")[0]
        if MOVED_ON in said or any(part in said for part in _CONFLICT):
            raise MovedOn(f"{self._name}: {first_line}") from error
        if any(part in said for part in _AWAY):
            raise Unreachable(f"{self._name} cannot be reached: {first_line}") from error
        raise LedgerError(f"{self._name}: {said}") from error


class _transaction:  # noqa: N801 - it is used as the word that it is
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("begin")

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            self._connection.execute("commit")
            return
        with suppress(duckdb.Error):
            self._connection.execute("rollback")


def for_lake(migration: Migration) -> str:
    """A migration without the keys that a lake does not have."""
    return migration.sql.replace(" primary key", " not null")
