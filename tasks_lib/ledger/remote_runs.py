"""Runs that were begun at hosted tasks: those whose end nobody has seen are taken up by the next batch.

`remote_runs` has a row when a run is about to be begun, and another with its id when the id is known, or when
another batch takes the run up. The last of a row's decides: it is open unless its task run tells of its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import duckdb
import pyarrow as pa

from tasks_lib.domain.remote import Remote
from tasks_lib.ledger.results import relation
from tasks_lib.ledger.statements import statement

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFact:
    """A run is about to be begun at a hosted task (no id yet), or goes on under an id."""

    task_run_id: str
    identity: str  # 32 hexadecimal digits
    position: int  # in the revision's models
    provider: str
    model: str  # provider:name
    remote_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteGroup:
    """A group of runs at a hosted task, that a batch began."""

    batch_id: str
    provider: str
    group_id: str
    created_at: datetime


def insert_remote_runs(
    connection: duckdb.DuckDBPyConnection, facts: Sequence[RemoteFact], *, batch_id: str
) -> None:
    """Add what has begun, in its order."""
    text = pa.string()
    arriving = pa.table(
        {
            "task_run_id": pa.array([one.task_run_id for one in facts], text),
            "identity": pa.array([one.identity for one in facts], text),
            "position": pa.array([one.position for one in facts], pa.int64()),
            "provider": pa.array([one.provider for one in facts], text),
            "model": pa.array([one.model for one in facts], text),
            "remote_id": pa.array([one.remote_id for one in facts], text),
            "noted_at": pa.array([one.at for one in facts], _TIME),
        }
    )
    with relation(connection, "arriving", arriving):
        connection.execute(statement("queries", "add_remote_runs"), {"batch_id": batch_id})


def open_remote_runs(connection: duckdb.DuckDBPyConnection, identities: Sequence[str]) -> dict[str, Remote]:
    """The run of each identity that was begun, and whose end no task run tells."""
    if not identities:
        return {}
    with relation(connection, "asked", pa.table({"identity": pa.array(identities, pa.string())})):
        found = connection.execute(statement("queries", "open_remote_runs")).fetchall()
    return {
        identity: Remote(
            position=position,
            remote_id=remote_id,
            estimated_cost=estimated or Decimal(0),
            age=max(0.0, age or 0.0),  # clocks may be set back
        )
        for identity, position, remote_id, estimated, age in found
    }


def begun_under(connection: duckdb.DuckDBPyConnection, remote_ids: Sequence[str]) -> dict[str, set[str]]:
    """The identities for which a run was begun under each of these ids that is known."""
    if not remote_ids:
        return {}
    found: dict[str, set[str]] = {}
    with relation(connection, "asked", pa.table({"remote_id": pa.array(remote_ids, pa.string())})):
        for remote_id, identity in connection.execute(statement("queries", "begun_under")).fetchall():
            found.setdefault(remote_id, set()).add(identity)
    return found


def insert_told(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table, *, batch_id: str) -> None:
    """Add citations, steps or actions of a batch's runs; `name` is one of these."""
    with relation(connection, "told", table):
        connection.execute(statement("queries", f"add_{name}"), {"batch_id": batch_id})


def insert_remote_group(connection: duckdb.DuckDBPyConnection, group: RemoteGroup) -> None:
    """Add a group that was made at a hosted task."""
    connection.execute(
        "insert into remote_groups by name "
        "select $batch_id::uuid as batch_id, $provider as provider, $group_id as group_id, "
        "$created_at as created_at",
        {
            "batch_id": group.batch_id,
            "provider": group.provider,
            "group_id": group.group_id,
            "created_at": group.created_at,
        },
    )


def groups_of_lost_runs(connection: duckdb.DuckDBPyConnection, provider: str) -> tuple[str, ...]:
    """The groups in which runs may be that were begun and whose own ids are not known, oldest first."""
    found = connection.execute(statement("queries", "groups_of_lost_runs"), {"provider": provider}).fetchall()
    return tuple(group_id for (group_id,) in found)


def remote_groups(connection: duckdb.DuckDBPyConnection, provider: str) -> tuple[RemoteGroup, ...]:
    """The groups of all batches at a provider, oldest first."""
    found = connection.execute(
        "select batch_id::varchar, provider, group_id, created_at from remote_groups "
        "where provider = $provider order by created_at",
        {"provider": provider},
    ).fetchall()
    return tuple(
        RemoteGroup(batch_id=batch_id, provider=name, group_id=group_id, created_at=at)
        for batch_id, name, group_id, at in found
    )
