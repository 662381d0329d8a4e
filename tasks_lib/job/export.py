"""The enriched rows: the source's rows and columns, in their order, with what the ledger has of each."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks_lib.domain.assignment import NO_REVISION
from tasks_lib.domain.job import Destination, Job
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.task import Revision, Task
from tasks_lib.job.checks import check_source, columns_of, planner_of
from tasks_lib.job.reading import open_to_read
from tasks_lib.job.setup import Setup
from tasks_lib.job.written import stamp_of
from tasks_lib.ledger import Ledger
from tasks_lib.ledger.distant import ReadableLedger
from tasks_lib.rows import Enrichment, OpenSource, check_output, open_output, open_source
from tasks_lib.rows.values import Array

_ROWS = 5_000  # at a time
_TRIMMED = 50_000  # rows after which memory goes back to the system


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
        identities, revisions = planner.identities(rows)
        results = _results(ledger.results_table(identities), identities)
        if job.tells_revisions:
            results = _with_revisions(results, job.task, revisions)
        yield enrichment.enriched(_once_for_each(batch, job.assignment.runs_a_row), results)


def _once_for_each(batch: pa.RecordBatch, times: int) -> pa.RecordBatch:
    """The rows, each so many times in a row."""
    if times == 1:
        return batch
    places: Array = pa.array(np.repeat(np.arange(batch.num_rows), times))
    return batch.take(places)


def _results(found: pa.Table, identities: Sequence[str]) -> pa.Table:
    """What was found of each identity, in their order, as `Enrichment.enriched` takes it."""
    places: Array = pc.index_in(pa.array(identities, pa.string()), found.column("identity"))
    columns: dict[str, Array] = {name: found.column(name).take(places) for name in found.schema.names}
    columns["status"] = pc.fill_null(columns["status"], "not_run")
    columns["error"] = _errors(columns["error_kind"], columns["error"])
    return pa.table(columns)


def _errors(kinds: Array, errors: Array) -> Array:
    """What went wrong, with its kind before it; NULL where nothing did."""
    return pc.binary_join_element_wise(kinds, pc.fill_null(errors, "None"), ": ")


def _with_revisions(results: pa.Table, task: Task, revisions: Sequence[Revision]) -> pa.Table:
    """The results with the revision that each row was, or would be, run with."""
    distinct = {one.fingerprint: one for one in revisions}
    ids = {name: _revision_id(task, one) for name, one in distinct.items()}
    results = results.append_column("revision_tag", pa.array([one.tag for one in revisions], pa.string()))
    return results.append_column(
        "revision_id", pa.array([ids[one.fingerprint] for one in revisions], pa.string())
    )


def _revision_id(task: Task, revision: Revision) -> str | None:
    return None if revision.fingerprint == NO_REVISION else task.revision_id(revision)
