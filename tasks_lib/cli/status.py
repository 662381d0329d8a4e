"""Lists the batches of a ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tasks_lib.cli.cells import json_text
from tasks_lib.cli.figures import cost, count
from tasks_lib.cli.places import nearby
from tasks_lib.cli.tables import Table, show_table
from tasks_lib.cli.words import note, tell
from tasks_lib.job.reading import open_to_read

_LISTED = 20
_COLUMNS = ("began (UTC)", "job", "status", "completed", "failed", "skipped", "cost")
_SHORT = {"completed_with_failures": "some failed"}  # what else it says stands beside it


def show_status(ledger: Path, *, as_json: bool) -> None:
    """Print the latest batches, newest first.

    Raises:
        Mistake: there is no such ledger, or it is in use and cannot be asked.
    """
    with open_to_read(ledger) as opened:
        batches = opened.batches(_LISTED).to_pylist()
    if as_json:
        tell(json_text(batches))
        return
    note(f"ledger {nearby(ledger)}, the latest {len(batches)} batches")
    show_table(Table(columns=_COLUMNS, rows=[_row(batch) for batch in batches]))


def _row(batch: Mapping[str, Any]) -> tuple[object, ...]:
    began: datetime = batch["started_at"]
    rows = f" of {count(batch['rows'])}" if batch["rows"] is not None else ""
    return (
        f"{began.astimezone(UTC):%Y-%m-%d %H:%M}",
        batch["job"],
        _SHORT.get(batch["status"], batch["status"]),
        f"{count(batch['completed'])}{rows}",
        batch["failed"],
        batch["skipped"],
        cost(batch["cost"] or Decimal(0), calls_of_unknown_cost=batch["calls_of_unknown_cost"]),
    )
