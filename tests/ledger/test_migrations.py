"""How the tables of a ledger come to be, and how an older ledger gets the newer ones."""

import shutil
from pathlib import Path

import duckdb
import pytest

from tasks_lib.ledger import LedgerError, LedgerTooNew, open_ledger
from tasks_lib.ledger.migrations import Migration, check_readable, migrate, our_migrations

LATER = Migration(
    version=len(our_migrations()) + 1,
    name="later",
    sql="alter table task_runs add column colour varchar; create table later_things (id uuid);",
)
HERE = Path("ledger.duckdb")


def columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma table_info('{table}')").fetchall()]


def test_each_is_applied_once() -> None:
    """Migrating a second time changes nothing and says so."""
    with duckdb.connect() as connection:
        assert migrate(connection, our_migrations(), path=HERE)
        recorded = connection.execute("from schema_migrations").fetchall()
        assert not migrate(connection, our_migrations(), path=HERE)
        assert connection.execute("from schema_migrations").fetchall() == recorded
        assert [row[0] for row in recorded] == [one.version for one in our_migrations()]


def test_versions_have_no_gap() -> None:
    """Our migrations are numbered from 1 on, each once."""
    assert [one.version for one in our_migrations()] == list(range(1, len(our_migrations()) + 1))


def test_an_older_ledger_is_brought_up_to_date() -> None:
    """What a ledger of version 1 holds is still there after the migrations that came later."""
    first = our_migrations()[:1]
    with duckdb.connect() as connection:
        migrate(connection, first, path=HERE)
        connection.execute("insert into reporting_groups values (uuid(), 'acme', now())")
        assert migrate(connection, [*our_migrations(), LATER], path=HERE)
        assert "colour" in columns(connection, "task_runs")
        assert connection.execute("select name from reporting_groups").fetchall() == [("acme",)]


def test_an_older_ledger_cannot_be_read() -> None:
    """Who only reads cannot migrate: an older ledger gives an error that names the remedy."""
    with duckdb.connect() as connection:
        migrate(connection, our_migrations(), path=HERE)
        with pytest.raises(LedgerError, match="`rowmill run` into it brings it up to date"):
            check_readable(connection, [*our_migrations(), LATER], path=HERE)


def test_a_migration_and_its_record_are_one() -> None:
    """A migration that fails in its middle leaves neither its first half nor a record."""
    broken = Migration(
        version=LATER.version, name="broken", sql="create table later_things (id uuid); select nonsense;"
    )
    with duckdb.connect() as connection:
        migrate(connection, our_migrations(), path=HERE)
        with pytest.raises(duckdb.Error, match="nonsense"):
            migrate(connection, [*our_migrations(), broken], path=HERE)
        assert not columns_exist(connection, "later_things")
        assert migrate(connection, [*our_migrations(), LATER], path=HERE)


def columns_exist(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    found = connection.execute(
        "select count(*) from duckdb_tables() where table_name = $1", [table]
    ).fetchone()
    return bool(found and found[0])


def test_a_later_ledger_is_left_alone() -> None:
    """A ledger of a later version is not touched."""
    with duckdb.connect() as connection:
        migrate(connection, [*our_migrations(), LATER], path=HERE)
        with pytest.raises(LedgerTooNew, match=f"schema version {LATER.version}"):
            migrate(connection, our_migrations(), path=HERE)


def test_a_migrated_ledger_survives_a_crash(tmp_path: Path) -> None:
    """Nothing in the tables keeps a log with a change of their columns from being replayed."""
    path = tmp_path / "ledger.duckdb"
    connection = duckdb.connect(path)
    migrate(connection, [*our_migrations(), LATER], path=path)
    connection.execute("insert into later_things values (uuid())")
    copy = tmp_path / "crashed.duckdb"
    copy.write_bytes(path.read_bytes())  # as a crash leaves it: nothing was checkpointed
    log = Path(f"{path}.wal")
    Path(f"{copy}.wal").write_bytes(log.read_bytes())
    with duckdb.connect(copy) as replayed:
        assert "colour" in columns(replayed, "task_runs")
        assert replayed.execute("select count(*) from later_things").fetchone() == (1,)
    connection.close()


def test_version_1_survives_a_crash_while_it_is_migrated(tmp_path: Path) -> None:
    """A ledger of version 1 with rows can be opened from a copy of file and log made after its migration."""
    path = tmp_path / "ledger.duckdb"
    with duckdb.connect(path) as connection:
        migrate(connection, our_migrations()[:1], path=path)
        connection.execute(
            "insert into task_runs by name select uuid() as id, uuid() as batch_id, uuid() as task_id,"
            " uuid() as task_revision_id, uuid() as identity, 'completed' as status, now() as created_at,"
            " now() as modified_at from range(10)"
        )
        connection.execute("checkpoint")
        migrate(connection, our_migrations(), path=path)
        for suffix in ("", ".wal"):
            shutil.copyfile(f"{path}{suffix}", f"{tmp_path / 'copy.duckdb'}{suffix}")
    with open_ledger(tmp_path / "copy.duckdb") as ledger:
        (row,) = ledger.sql(
            "select count(*) as runs, count(joined_to) as joined, count(possible_cost) as known"
            " from task_runs"
        ).to_pylist()
    assert row == {"runs": 10, "joined": 0, "known": 0}
