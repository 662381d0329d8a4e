"""Lists the batches of a ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.figures import cost, duration
from tasks_lib.cli.places import nearby
from tasks_lib.cli.tables import Table, show_table
from tasks_lib.cli.words import note, tell
from tasks_lib.ledger import open_ledger

_LISTED = 20
_COLUMNS = ("batch", "began (UTC)", "job", "status", "rows", "completed", "failed", "skipped", "cost", "took")


def show_status(ledger: Path, *, as_json: bool) -> None:
    """Print the latest batches, newest first.

    Raises:
        Mistake: there is no such ledger, or it is in use.
    """
    with open_ledger(ledger, read_only=True) as opened:
        batches = opened.batches(_LISTED).to_pylist()
    if as_json:
        tell(json_text(batches))
        return
    note(f"ledger {nearby(ledger)}, the latest {len(batches)} batches")
    show_table(Table(columns=_COLUMNS, rows=[_row(batch) for batch in batches]))


def _row(batch: Mapping[str, Any]) -> tuple[object, ...]:
    began: datetime = batch["started_at"]
    return (
        str(batch["batch_id"]),
        f"{began.astimezone(UTC):%Y-%m-%d %H:%M}",
        batch["job"],
        batch["status"],
        batch["rows"],
        batch["completed"],
        batch["failed"],
        batch["skipped"],
        cost(batch["cost"] or Decimal(0), calls_of_unknown_cost=batch["calls_of_unknown_cost"]),
        duration(batch["seconds"]) if batch["seconds"] is not None else None,
    )
