"""Asks a ledger in SQL."""

from pathlib import Path

from tasks_lib.cli.answers import table_of
from tasks_lib.cli.forms import Form
from tasks_lib.cli.tables import show_table
from tasks_lib.job.reading import open_to_read


def show_answer(text: str, *, ledger: Path, form: Form | None, file: Path | None) -> None:
    """Print the answer to a question in SQL, or write it to a file.

    Raises:
        Mistake: there is no such ledger, it is in use and cannot be asked, or DuckDB does not understand
            the question.
    """
    with open_to_read(ledger) as opened:
        show_table(table_of(opened.sql(text)), form=form, file=file)
