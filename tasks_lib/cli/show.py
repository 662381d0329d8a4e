"""Shows one task run with its attempts and files."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks_lib.cli.cells import json_text, readable
from tasks_lib.cli.tables import Table, show_table
from tasks_lib.cli.words import tell, visible
from tasks_lib.job.reading import open_to_read
from tasks_lib.ledger.record import record_of


def show_run(ledger: Path, task_run_id: str, *, as_json: bool, as_agent: bool) -> None:
    """Print all that a ledger knows of a task run, for a reader or as one of the two records.

    Raises:
        Mistake: there is no such ledger or run, several runs begin so, or the ledger is in use and cannot
            be asked.
    """
    with open_to_read(ledger) as opened:
        run = opened.show(task_run_id)
    if as_json or as_agent:
        record = record_of(run)
        tell(json_text(record.agent_response() if as_agent else record.as_json()))
        return
    attempts, files = run.pop("attempts"), run.pop("files")
    tell("\n".join(_facts(run)))
    tell(f"\nattempts: {len(attempts)}")
    if attempts:  # what a hosted task told of its run is among the run's own facts, or in --json
        show_table(_table_of([{**one, "remote_run": None} for one in attempts]))
    if files:
        tell(f"\nfiles: {len(files)}")
        show_table(_table_of(files))


def _facts(run: Mapping[str, object]) -> Iterator[str]:
    """A line for each thing that is known; what was sent and what came back as indented JSON."""
    known = {name: value for name, value in run.items() if value is not None}
    width = max(map(len, known))
    for name, value in known.items():
        text = _indented(value, by=width + 2) if isinstance(value, dict | list) else visible(readable(value))
        yield f"{name:<{width}}  {text}"


def _indented(value: object, *, by: int) -> str:
    told = json.dumps(json.loads(json_text(value)), ensure_ascii=False, indent=2)
    return visible(told).replace("\n", "\n" + " " * by)


def _table_of(records: Sequence[Mapping[str, object]]) -> Table:
    """The records with those columns that say something of any of them."""
    names = [name for name in records[0] if any(record[name] is not None for record in records)]
    return Table(columns=tuple(names), rows=[[record[name] for name in names] for record in records])
