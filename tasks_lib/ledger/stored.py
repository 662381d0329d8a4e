"""Answers that the ledger has to questions that are about to be asked."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import duckdb
import orjson
import pyarrow as pa

from tasks_lib.domain.files import Direction, FileFact
from tasks_lib.domain.output import Answer
from tasks_lib.domain.plan import Stored
from tasks_lib.ledger.results import relation
from tasks_lib.ledger.statements import statement

Question = tuple[str, str]
"""A revision's id and an input hash, 32 hexadecimal digits each."""

_EVER: Final = datetime(1, 1, 2, tzinfo=UTC)


def stored_answers(
    connection: duckdb.DuckDBPyConnection, questions: Sequence[Question], *, not_before: datetime | None
) -> Mapping[Question, Stored]:
    """The latest answer to each question that was answered at or after a moment (None: ever)."""
    if not questions:
        return {}
    asked = pa.table(
        {
            "revision_id": pa.array([revision_id for revision_id, _ in questions], pa.string()),
            "input_hash": pa.array([input_hash for _, input_hash in questions], pa.string()),
        }
    )
    with relation(connection, "asked", asked):
        chosen = connection.execute(
            statement("queries", "chosen_stored"), {"not_before": not_before or _EVER}
        ).to_arrow_table()
    if not chosen.num_rows:
        return {}
    places: list[Any] = chosen.column("place").to_pylist()
    with relation(connection, "chosen", chosen):
        found = connection.execute(
            statement("queries", "stored_answers"), {"first": min(places), "last": max(places)}
        ).fetchall()
    return {(revision_id, input_hash): _stored(*rest) for revision_id, input_hash, *rest in found}


def _stored(
    task_run_id: str,
    response: str | None,
    warnings: str | None,
    model: str | None,
    name: str | None,
    mime_type: str,
    size: int,
    sha256: str,
    uri: str,
) -> Stored:
    file = None
    if name is not None:
        file = FileFact(
            direction=Direction.OUT, name=name, mime_type=mime_type, size=size, sha256=sha256, uri=uri
        )
    return Stored(
        task_run_id=task_run_id,
        answer=Answer(
            value=None if response is None else orjson.loads(response),
            warnings=() if warnings is None else tuple(orjson.loads(warnings)),
            file=file,
        ),
        model=model,
    )
