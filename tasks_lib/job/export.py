"""The enriched rows: the source's rows and columns, in their order, with what the ledger has of each."""

from collections.abc import Iterator

import pyarrow as pa

from tasks_lib.domain.job import Destination, Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.checks import check_source, columns_of, planner_of
from tasks_lib.job.setup import Setup
from tasks_lib.ledger import Ledger, open_ledger
from tasks_lib.rows import (
    OpenSource,
    RowResult,
    check_output,
    enriched,
    open_output,
    open_source,
    output_schema,
)

_ROWS = 5_000  # at a time
_NOT_RUN = RowResult(status="not_run")


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
        check_source(setup, source, limit=limit)
        with open_ledger(job.ledger, read_only=True) as ledger:
            return write_enriched(job, source=source, ledger=ledger, destination=destination, limit=limit)


def write_enriched(
    job: Job, *, source: OpenSource, ledger: Ledger, destination: Destination, limit: int | None
) -> int:
    """Write the enriched rows of a source that is open and checked; gives their number."""
    written = 0
    with open_output(destination, schema=output_schema(source.schema, job.task.output)) as output:
        for batch in enriched_batches(job, source=source, ledger=ledger, limit=limit):
            output.write(batch)
            written += batch.num_rows
    return written


def enriched_batches(
    job: Job, *, source: OpenSource, ledger: Ledger, limit: int | None
) -> Iterator[pa.RecordBatch]:
    """The enriched rows, some thousands at a time."""
    planner = planner_of(job)
    for rows, batch in source.tables(size=_ROWS, limit=limit, columns=columns_of(job)):
        identities = [planner.chart(row).identity for row in rows]
        results = ledger.results(identities)
        yield enriched(batch, [results.get(one, _NOT_RUN) for one in identities], job.task.output)
