"""Chunks of rows as Prefect task runs: bookkeeping, never a barrier.

A Prefect task run costs some 8 ms of this process and 10 to 60 ms of the server, so it stands for thousands
of rows. It calls nothing and decides nothing: it begins when the first row of its chunk is about to be asked,
waits without holding anything up, and ends with what its rows came to.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Final

from prefect import State, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled, Completed

from flows.spans import Span, Spans
from tasks_lib.job.books import Chunk
from tasks_lib.job.tally import Tally

_PATIENCE: Final = 10.0  # seconds that the end of the flow waits for the task runs to tell theirs
_SPAN: ContextVar[Span] = ContextVar("span")  # what a task run stands for; its parameters stay plain


@task(
    name="chunk",
    task_run_name="rows {first_row}-{last_row}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=0,  # what is paid for is tried again by the engine, or not at all
    log_prints=False,
)
async def enrich_chunk(number: int, first_row: int, last_row: int) -> State[dict[str, int]]:
    """Wait for the end of a chunk of rows, and tell what they came to."""
    span = _SPAN.get()
    whole = await span.ended
    counts = {"number": number, "completed": span.completed, "failed": span.failed}
    message = f"{span.completed} answered, {span.failed} failed, of rows {first_row} to {last_row}"
    if not whole:
        return Cancelled(message=f"{message}; the others were not asked")
    if span.failed:
        return Completed(name="CompletedWithFailures", message=message, data=counts)
    return Completed(message=message, data=counts)


class ChunkRuns:
    """Watches the chunks of a batch, and keeps a Prefect task run for each or for several."""

    def __init__(self, *, tally: Tally, chunk_rows: int, begun: Callable[[], None]) -> None:
        """Watch the batch of a tally; made within a flow, to whose run the task runs belong.

        `begun` is called once, before the batch's first call.
        """
        self._begun: Callable[[], None] | None = begun
        self._spans = Spans(self._begin, tally=tally, chunk_rows=chunk_rows)
        self._flow = copy_context()
        self._runs: list[asyncio.Task[State[dict[str, int]]]] = []

    async def started(self, chunk: Chunk) -> None:
        """The rows of a chunk are about to be asked."""
        if self._begun is not None:
            begun, self._begun = self._begun, None
            begun()
        await self._spans.started(chunk)

    async def ended(self, chunk: Chunk, *, completed: int, failed: int) -> None:
        """Nothing more is to be done for a chunk."""
        await self._spans.ended(chunk, completed=completed, failed=failed)

    async def close(self) -> None:
        """End every task run that is still open, and give them a moment to tell the server."""
        self._spans.close()
        if not self._runs:
            return
        done, late = await asyncio.wait(self._runs, timeout=_PATIENCE)
        for run in late:
            run.cancel()
        troubles = [run.exception() for run in done if not run.cancelled()]
        trouble = next((one for one in troubles if one is not None), None)
        if trouble is not None:  # the rows are in the ledger all the same
            get_run_logger().warning("Prefect did not keep all task runs: %r", trouble)

    def _begin(self, span: Span) -> None:
        context = self._flow.copy()
        context.run(_SPAN.set, span)
        run = enrich_chunk(number=span.number, first_row=span.first_row, last_row=span.last_row)
        self._runs.append(asyncio.create_task(run, context=context))
