"""Prints a ledger's reports."""

from datetime import datetime
from pathlib import Path

from tasks_lib.cli.answers import table_of
from tasks_lib.cli.forms import Form
from tasks_lib.cli.tables import Table, show_table
from tasks_lib.job.reading import open_to_read
from tasks_lib.ledger import Ledger


def list_reports(*, form: Form | None, file: Path | None) -> None:
    """Print which reports there are, and what each answers."""
    show_table(Table(columns=("report", "answers"), rows=Ledger.reports()), form=form, file=file)


def show_report(
    name: str, *, ledger: Path, since: datetime | None, form: Form | None, file: Path | None
) -> None:
    """Print a report, or write it to a file.

    Raises:
        Mistake: there is no such report or ledger, or it is in use and cannot be asked.
    """
    with open_to_read(ledger) as opened:
        show_table(table_of(opened.report(name, since=since)), form=form, file=file)
