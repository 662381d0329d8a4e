"""How a ledger gets its tables: each migration once, in order, and together with the record of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tasks_lib.ledger.errors import LedgerError, LedgerTooNew
from tasks_lib.ledger.statements import statements

_RECORDS = """
create table if not exists schema_migrations (
    version     integer primary key,
    name        varchar not null,
    applied_at  timestamptz not null
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema; versions count from 1 without a gap."""

    version: int
    name: str
    sql: str


def our_migrations() -> tuple[Migration, ...]:
    """The migrations of this version of the program."""
    return tuple(
        Migration(version=int(one.name[:4]), name=one.name, sql=one.text) for one in statements("migrations")
    )


def migrate(connection: duckdb.DuckDBPyConnection, migrations: Sequence[Migration], *, path: Path) -> bool:
    """Apply what a ledger still lacks, and tell whether that was anything.

    Raises:
        LedgerTooNew: it has more than these.
    """
    connection.execute(_RECORDS)
    done = check_version(connection, migrations, path=path)
    for migration in migrations[done:]:
        connection.execute("begin")
        try:
            connection.execute(migration.sql)
            connection.execute(
                "insert into schema_migrations values ($1, $2, now())", [migration.version, migration.name]
            )
        except duckdb.Error:
            connection.execute("rollback")
            raise
        connection.execute("commit")
    return done < len(migrations)


def check_version(
    connection: duckdb.DuckDBPyConnection, migrations: Sequence[Migration], *, path: Path
) -> int:
    """The version of a ledger's schema.

    Raises:
        LedgerTooNew: it is above ours.
    """
    row = connection.execute("select coalesce(max(version), 0) from schema_migrations").fetchone()
    version = int(row[0]) if row else 0
    if version > len(migrations):
        raise LedgerTooNew(
            f"{path} has schema version {version}, and this rowmill knows {len(migrations)}. "
            "Install the later version that made it, or name another ledger."
        )
    return version


def check_readable(
    connection: duckdb.DuckDBPyConnection, migrations: Sequence[Migration], *, path: Path
) -> None:
    """Make sure that a file is a ledger as this program reads it.

    Raises:
        LedgerError: it is none, or an older one.
        LedgerTooNew: its schema version is above ours.
    """
    tables = connection.execute(
        "select count(*) from duckdb_tables() where table_name = 'schema_migrations' and not internal"
    ).fetchone()
    if not tables or not tables[0]:
        raise LedgerError(f"{path} is a DuckDB database, but no ledger of rowmill. Name the ledger's file.")
    version = check_version(connection, migrations, path=path)
    if version < len(migrations):
        raise LedgerError(
            f"{path} has schema version {version}, and this rowmill reads {len(migrations)}. "
            "The next `rowmill run` into it brings it up to date."
        )
