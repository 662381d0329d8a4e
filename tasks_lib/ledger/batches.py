"""What is written when a batch begins and when it ends."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import duckdb

from tasks_lib.domain.assignment import shares_of
from tasks_lib.domain.fingerprint import content_hash
from tasks_lib.domain.job import Job
from tasks_lib.domain.task import Revision, Task
from tasks_lib.ledger.facts import as_json
from tasks_lib.ledger.results_view import results_view, view_name
from tasks_lib.ledger.statements import statement


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchContext:
    """What all runs of a batch have in common; `revision_ids` are by fingerprint."""

    task_id: str
    user_id: str | None
    revision_ids: dict[str, str]


def insert_batch(
    connection: duckdb.DuckDBPyConnection,
    job: Job,
    *,
    batch_id: str,
    rows: int | None,
    started_at: datetime,
    user_id: str | None,
    host: str,
    pid: int,
    version: str,
) -> None:
    """Write down a batch, its task and the task's revisions, and make the view of its results."""
    _insert_task(connection, job.task, now=started_at)
    for revision in (*job.task.revisions, *job.variants):
        _insert_revision(connection, job.task, revision, now=started_at)
    connection.execute(
        statement("queries", "begin_batch"),
        {
            "id": batch_id,
            "job": job.name,
            "task_id": job.task.id,
            "started_at": started_at,
            "rows": rows,
            "definition": as_json(job.definition),
            "fingerprint": content_hash(job.definition),
            "revisions": as_json(_shares(job)),
            "input": str(job.source),
            "user_id": user_id,
            "host": host,
            "pid": pid,
            "version": version,
        },
    )


def interrupt_dead_batches(connection: duckdb.DuckDBPyConnection, *, alive: Collection[str]) -> None:
    """End the batches that another process began and did not end; `alive` are those of this one."""
    connection.execute(statement("queries", "interrupt_dead_batches"), {"alive": list(alive)})


def batch_context(connection: duckdb.DuckDBPyConnection, batch_id: str) -> BatchContext:
    """What the runs of a batch need to know of it.

    Raises:
        LookupError: the batch was never begun.
    """
    row = connection.execute(statement("queries", "batch_context"), {"batch_id": batch_id}).fetchone()
    if row is None:
        raise LookupError(f"batch {batch_id} was not begun")
    task_id, user_id, revision_ids = row
    return BatchContext(task_id=task_id, user_id=user_id, revision_ids=revision_ids)


def _insert_task(connection: duckdb.DuckDBPyConnection, task: Task, *, now: datetime) -> None:
    name = view_name(task)
    taken = connection.execute(
        statement("queries", "results_view_taken"), {"name": name, "id": task.id}
    ).fetchone()
    if taken and taken[0]:
        name = f"{name}_{task.id[:8]}"
    connection.execute(
        statement("queries", "add_task"),
        {
            "id": task.id,
            "name": task.name,
            "description": task.description,
            "modality": task.output.modality.value,
            "schema": as_json(task.output.schema) if task.output.schema is not None else None,
            "results_view": name,
            "now": now,
        },
    )
    connection.execute(results_view(task, name=name))


def _insert_revision(
    connection: duckdb.DuckDBPyConnection, task: Task, revision: Revision, *, now: datetime
) -> None:
    output = revision.output or task.output
    connection.execute(
        statement("queries", "add_revision"),
        {
            "id": task.revision_id(revision),
            "task_id": task.id,
            "fingerprint": revision.fingerprint,
            "tag": revision.tag,
            "weight": float(revision.weight),
            "system_prompt": revision.system_prompt.source if revision.system_prompt is not None else None,
            "user_prompt": revision.user_prompt.source,
            "models": as_json(
                [{"model": str(choice.model), "parameters": choice.parameters} for choice in revision.models]
            ),
            "modality": output.modality.value,
            "schema": as_json(output.schema) if output.schema is not None else None,
            "now": now,
        },
    )


def _shares(job: Job) -> list[dict[str, object]]:
    """The share of the runs that each revision is to get; unknown where rows name theirs."""
    shares = {} if job.variants else shares_of(job.task, job.assignment)
    return [
        {"id": job.task.revision_id(revision), "tag": revision.tag, "share": shares.get(revision.tag)}
        for revision in (*job.task.revisions, *job.variants)
    ]
