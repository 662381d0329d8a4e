"""The enriched rows: the source's rows and columns, in their order, with what the ledger has of each."""

from tasks_lib.domain.job import Destination, Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.checks import check_source, planner_of
from tasks_lib.job.setup import Setup
from tasks_lib.ledger import Ledger, open_ledger
from tasks_lib.rows import OpenSource, RowResult, check_output, enriched, open_output, open_source, output_schema

_ROWS = 5_000  # at a time


def export_rows(setup: Setup, *, destination: Destination | None = None, limit: int | None = None) -> int:
    """Write the enriched rows from what the ledger has now; gives their number.

    Rows that were never asked are there too, without an answer.

    Raises:
        Mistake: source, ledger or destination is not as it must be.
    """
    job = setup.job
    destination = destination or job.output
    if destination is None:
        raise Mistake("nowhere to write to: give --output FILE, or `output:` in the job")
    check_output(destination)
    with open_source(job.source) as source:
        check_source(job, source, limit=limit)
        with open_ledger(job.ledger, read_only=True) as ledger:
            return write_enriched(job, source=source, ledger=ledger, destination=destination, limit=limit)
