"""The files of answers, found again in the ledger."""

from pathlib import Path
from typing import Literal

import pyarrow as pa

from tasks_lib.job.checks import check_source, columns_of, planner_of
from tasks_lib.job.reading import open_to_read
from tasks_lib.job.setup import Setup
from tasks_lib.rows import open_source

_ROWS = 5_000  # at a time
_IN_ORDER: list[tuple[str, Literal["ascending", "descending"]]] = [
    ("row_number", "ascending"),
    ("revision_tag", "ascending"),
]


def files_of_job(setup: Setup, *, limit: int | None = None) -> pa.Table:
    """The files of the answers that a job's rows have now, as the view `produced_files`, in the rows' order.

    Raises:
        Mistake: source or ledger is not as it must be.
    """
    job = setup.job
    planner = planner_of(job)
    tables: list[pa.Table] = []
    with open_source(job.source, folder=setup.folder) as source, open_to_read(job.ledger) as ledger:
        check_source(setup, source, limit=limit)
        for rows, _ in source.tables(size=_ROWS, limit=limit, columns=columns_of(job)):
            identities, _ = planner.identities(rows)
            found = ledger.results_table(identities).select(["task_run_id", "status"])
            ids = [one["task_run_id"] for one in found.to_pylist() if one["status"] == "completed"]
            tables.append(ledger.files_of(ids).sort_by(_IN_ORDER))
        return pa.concat_tables(tables) if tables else ledger.files_of(())


def files_in(ledger: Path) -> pa.Table:
    """The files of the latest answers of all jobs of a ledger, as the view `produced_files` has them.

    Raises:
        Mistake: there is no such ledger, or it cannot be read.
    """
    with open_to_read(ledger) as opened:
        return opened.latest_files()
