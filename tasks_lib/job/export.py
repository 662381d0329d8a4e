"""The enriched rows: the source's rows and columns, in their order, with what the ledger has of each."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from tasks_lib.domain.assignment import NO_REVISION
from tasks_lib.domain.job import Destination, Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.task import Revision, Task
from tasks_lib.job.checks import check_source, columns_of, planner_of
from tasks_lib.job.reading import open_to_read
from tasks_lib.job.setup import Setup
from tasks_lib.job.written import stamp_of
from tasks_lib.ledger import Ledger, StoredResult
from tasks_lib.ledger.distant import ReadableLedger
from tasks_lib.rows import Enrichment, OpenSource, RowResult, check_output, open_output, open_source

_ROWS = 5_000  # at a time
_TRIMMED = 50_000  # rows after which memory goes back to the system
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
    with open_source(job.source, folder=setup.folder) as source:
        check_source(setup, source, limit=limit)
        if source.is_empty:
            raise Mistake(f"{source.description}: means no file, so there is nothing to write")
        with open_to_read(job.ledger) as ledger:
            return write_enriched(job, source=source, ledger=ledger, destination=destination, limit=limit)


def bring_up_to_date(
    job: Job, *, source: OpenSource, ledger: Ledger, destination: Destination, limit: int | None
) -> int:
    """Write the enriched rows, unless they stand there already; gives their number.

    Where there is no file to read, and so no column to write, what was there before stays.
    """
    if source.is_empty:
        return 0
    before = stamp_of(job, source=source, destination=destination, limit=limit)
    rows = ledger.rows_of_output(str(destination.path), stamp=before) if before is not None else None
    if rows is not None:
        return rows
    rows = write_enriched(job, source=source, ledger=ledger, destination=destination, limit=limit)
    after = stamp_of(job, source=source, destination=destination, limit=limit)
    if after is not None:
        ledger.note_output(str(destination.path), stamp=after, rows=rows)
    return rows


def write_enriched(
    job: Job, *, source: OpenSource, ledger: ReadableLedger, destination: Destination, limit: int | None
) -> int:
    """Write the enriched rows of a source that is open and checked; gives their number."""
    written = 0
    enrichment = Enrichment(
        source.schema,
        job.answers_alike,
        tell_revisions=job.tells_revisions,
        tell_citations=job.tells_citations,
    )
    with open_output(destination, schema=enrichment.schema) as output:
        for batch in enriched_batches(job, enrichment, source=source, ledger=ledger, limit=limit):
            output.write(batch)
            if written % _TRIMMED < batch.num_rows:
                pa.default_memory_pool().release_unused()  # or what comes and goes with each batch adds up
            written += batch.num_rows
    pa.default_memory_pool().release_unused()  # the checkpoint at the end takes some, too
    return written


def enriched_batches(
    job: Job, enrichment: Enrichment, *, source: OpenSource, ledger: ReadableLedger, limit: int | None
) -> Iterator[pa.RecordBatch]:
    """The enriched rows, some thousands at a time; one for each revision where revisions are compared."""
    planner = planner_of(job)
    for rows, batch in source.tables(size=_ROWS, limit=limit, columns=columns_of(job)):
        charted = [planner.charts(row) for row in rows]
        stored = ledger.results([one.identity for charts in charted for one in charts])
        results = [
            replace(
                _result(stored.get(one.identity)),
                revision_tag=one.revision.tag,
                revision_id=_revision_id(job.task, one.revision),
            )
            for charts in charted
            for one in charts
        ]
        yield enrichment.enriched(_once_for_each(batch, job.assignment.runs_a_row), results)


def _once_for_each(batch: pa.RecordBatch, times: int) -> pa.RecordBatch:
    """The rows, each so many times in a row."""
    if times == 1:
        return batch
    return batch.take(pa.array([row for row in range(batch.num_rows) for _ in range(times)], pa.int64()))


def _revision_id(task: Task, revision: Revision) -> str | None:
    return None if revision.fingerprint == NO_REVISION else task.revision_id(revision)


def _result(stored: StoredResult | None) -> RowResult:
    if stored is None:
        return _NOT_RUN
    return RowResult(
        status=stored.status,
        response_json=stored.response,
        error=f"{stored.error_kind}: {stored.error}" if stored.error_kind else None,
        cost=stored.cost,
        input_tokens=stored.input_tokens,
        output_tokens=stored.output_tokens,
        model=stored.model,
        task_run_id=stored.task_run_id,
        citations=stored.citations,
    )
