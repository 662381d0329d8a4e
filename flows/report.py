"""The flow `report`: ledger -> tables in Prefect, a page of HTML, CSV files."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
from anyio import to_thread
from prefect import State, flow
from prefect.states import Completed, Failed

from flows.artifacts import key_of, show_table
from flows.costs import MOST_SHOWN
from flows.pages import Table, page, write_csv
from tasks_lib.domain.mistake import Mistake
from tasks_lib.ledger import Ledger, open_ledger

DEFAULT_REPORTS: Final = ("batches", "cost_by_reporting_group", "cost_by_model", "failures")


@flow(name="report", retries=0, persist_result=False, log_prints=False)
async def report(
    ledger: str, names: list[str] | None = None, folder: str | None = None, since: datetime | None = None
) -> State[dict[str, int]]:
    """Show reports of a ledger.

    Args:
        ledger: Path of the ledger.
        names: Reports, as `rowmill report` lists them; by default those that most people look at.
        folder: Where to write `report.html` and a CSV file for each report; made if it is not there.
        since: Only what happened at or after this time.

    Returns:
        The flow run's end state; its data is the number of rows of each report.
    """
    try:
        tables = await write_reports(
            Path(ledger),
            names or DEFAULT_REPORTS,
            folder=Path(folder) if folder is not None else None,
            since=since,
        )
    except Mistake as mistake:
        return Failed(message=str(mistake))
    questions = dict(Ledger.reports())
    for table in tables:
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.first]
        await show_table(rows, key=key_of("report", table.name), description=_described(table, questions))
    counts = {table.name: table.rows for table in tables}
    message = ", ".join(f"{name}: {rows} rows" for name, rows in counts.items())
    return Completed(message=message if folder is None else f"{message}; files in {folder}", data=counts)


async def write_reports(
    ledger: Path, names: Sequence[str], *, folder: Path | None, since: datetime | None = None
) -> list[Table]:
    """The reports, which are also written to a folder if one is named: a page, and a CSV file for each.

    Raises:
        Mistake: there is no such ledger or report, or the folder cannot be written.
    """
    answers = await to_thread.run_sync(_answers, ledger, tuple(names), since)
    tables = [_table(name, answer) for name, answer in answers.items()]
    if folder is not None:
        await to_thread.run_sync(_write, folder, f"Report of {ledger.name}", answers, tables)
    return tables


def _answers(ledger: Path, names: tuple[str, ...], since: datetime | None) -> dict[str, pa.Table]:
    with open_ledger(ledger, read_only=True) as opened:
        return {name: opened.report(name, since=since) for name in dict.fromkeys(names)}


def _table(name: str, answer: pa.Table) -> Table:
    first = [list(row.values()) for row in answer.slice(0, MOST_SHOWN).to_pylist()]
    return Table(name=name, columns=answer.column_names, first=first, rows=answer.num_rows)


def _described(table: Table, questions: dict[str, str]) -> str:
    question = questions.get(table.name, table.name)
    more = table.rows - len(table.first)
    return f"{question} (and {more} rows more)" if more else question


def _write(folder: Path, title: str, answers: dict[str, pa.Table], tables: list[Table]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, answer in answers.items():
            rows = (list(row.values()) for batch in answer.to_batches() for row in batch.to_pylist())
            write_csv(folder / f"{name}.csv", answer.column_names, rows)
        (folder / "report.html").write_text(page(title, tables), encoding="utf-8")
    except OSError as error:
        raise Mistake(f"{folder} cannot be written: {error.strerror}. Name another folder.") from error
