"""Task runs on their way into the ledger: buffered, and committed in groups by a task in the background."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import anyio
from anyio import to_thread

from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import TaskRun
from tasks_lib.domain.task import Model
from tasks_lib.ledger.remote_runs import RemoteFact


class Taker(Protocol):
    """Takes task runs in and makes them durable: a ledger, or what stands for one in another process."""

    def add(
        self, task_runs: Sequence[TaskRun], *, batch_id: str, on_commit: Callable[[int], None] | None = None
    ) -> None:
        """Return once they can no longer be lost; called in a thread."""
        ...


Begin = Callable[[Sequence[RemoteFact]], None]
"""Makes durable that runs begin at hosted tasks, or go on there; called in a thread."""


def _nobody_begins(facts: Sequence[RemoteFact]) -> None:
    raise NotImplementedError("nobody writes down runs of hosted tasks")


class LedgerWriter:
    """Takes task runs as they end, and runs of hosted tasks as they begin; see `open_writer`."""

    def __init__(
        self,
        ledger: Taker,
        *,
        batch_id: str,
        on_commit: Callable[[int], None] | None,
        group_rows: Callable[[], int],
        group_seconds: float,
        begin: Begin,
    ) -> None:
        """See `open_writer`."""
        self._ledger = ledger
        self._batch_id = batch_id
        self._on_commit = on_commit
        self._group_rows = group_rows
        self._group_seconds = group_seconds
        self._commit_took = 0.0  # seconds of the last one
        self._buffer: list[TaskRun] = []
        self._begin = begin
        self._beginning: list[RemoteFact] = []
        self._begun = anyio.Event()  # the buffer has its first row
        self._due = anyio.Event()  # it has a whole group, or there will be no more
        self._durable = anyio.Event()  # the buffer as it is now was committed, or will never be
        self._closing = False
        self._error: Exception | None = None

    async def add(self, task_run: TaskRun) -> None:
        """Hand over a task run, and wait until it can no longer be lost.

        A run that was handed over is committed even if this call is cancelled: it is paid for.

        Raises:
            LedgerError: this commit failed, or an earlier one, and nothing more is taken.
        """
        if self._error is not None:
            raise self._error
        self._buffer.append(task_run)
        await self._committed()

    async def intend(self, plan: Plan, position: int, model: Model) -> None:
        """Return once it cannot be forgotten that a run is about to be begun at a hosted task.

        Runs that begin at the same time share a commit.

        Raises:
            LedgerError: see `add`; nothing is to be begun then.
        """
        await self._note(plan, position, model, None)

    async def accepted(self, plan: Plan, position: int, model: Model, remote_id: str) -> None:
        """Return once it cannot be forgotten under which id a run goes on at a hosted task.

        Raises:
            LedgerError: see `add`.
        """
        await self._note(plan, position, model, remote_id)

    async def _note(self, plan: Plan, position: int, model: Model, remote_id: str | None) -> None:
        if self._error is not None:
            raise self._error
        self._beginning.append(
            RemoteFact(
                task_run_id=plan.task_run_id,
                identity=plan.identity,
                position=position,
                provider=model.provider,
                model=str(model),
                remote_id=remote_id,
                at=datetime.now(UTC),
            )
        )
        await self._committed()

    async def _committed(self) -> None:
        """Wait for the commit of what was just put into a buffer."""
        durable = self._durable
        self._begun.set()
        if len(self._buffer) + len(self._beginning) >= self._group_rows():
            self._due.set()
        await durable.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Have the rest committed at once; nothing may be added after that."""
        self._closing = True
        self._begun.set()
        self._due.set()

    async def keep_committing(self) -> None:
        """Commit groups until the writer is closed and its buffer empty, or a commit fails.

        Cancelling has no effect: what is buffered is paid for.
        """
        with anyio.CancelScope(shield=True):
            while not (self._closing and not (self._buffer or self._beginning)):
                await self._begun.wait()
                with anyio.move_on_after(self._patience()):
                    await self._due.wait()
                if self._buffer or self._beginning:
                    await self._commit()
                if self._error is not None:
                    return

    def _patience(self) -> float:
        """Seconds that a row waits for others: so long that commits take a third of the time at most."""
        return min(self._group_seconds, 2 * self._commit_took)

    async def _commit(self) -> None:
        """Commit all that is buffered: the slower a commit, the more rows share the next one."""
        taken, self._buffer = self._buffer, []
        beginning, self._beginning = self._beginning, []
        durable, self._durable = self._durable, anyio.Event()
        if not self._closing:
            self._begun, self._due = anyio.Event(), anyio.Event()
        count = 0

        def commit() -> None:
            if beginning:
                self._begin(beginning)
            if taken:
                self._ledger.add(taken, batch_id=self._batch_id, on_commit=counted)

        def counted(rows: int) -> None:
            nonlocal count
            count += rows

        began = anyio.current_time()
        try:
            await to_thread.run_sync(commit)
        except Exception as error:  # noqa: BLE001 - it is raised by `add` and on leaving
            self._error = error
            self._durable.set()  # for those who came meanwhile
        self._commit_took = anyio.current_time() - began
        if self._on_commit is not None and count:
            self._on_commit(count)
        durable.set()

    @property
    def error(self) -> Exception | None:
        """Why a commit failed; None if none did."""
        return self._error


@asynccontextmanager
async def open_writer(
    ledger: Taker,
    *,
    batch_id: str,
    on_commit: Callable[[int], None] | None = None,
    group_rows: Callable[[], int] = lambda: 100,
    group_seconds: float = 0.1,
    begin: Begin = _nobody_begins,
) -> AsyncIterator[LedgerWriter]:
    """A writer of a batch's task runs; on leaving, however that comes, all that it was given is committed.

    A commit is made of all that is buffered once that is `group_rows`, or some moments after the first of it:
    the sooner, the quicker commits are. Whoever adds a run waits for its commit, so that no more runs can be
    lost with the process than there are callers.

    Args:
        ledger: where the batch was begun.
        batch_id: the batch.
        on_commit: told how many runs more are durable, in the order in which they were added; on this loop.
        group_rows: rows that are worth a commit, at this moment.
        group_seconds: the longest that a row waits for others.
        begin: writes down what begins at hosted tasks.

    Raises:
        LedgerError: a commit failed; what was committed before stands.
    """
    writer = LedgerWriter(
        ledger,
        batch_id=batch_id,
        on_commit=on_commit,
        group_rows=group_rows,
        group_seconds=group_seconds,
        begin=begin,
    )
    raised: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.keep_committing)
            try:
                yield writer
            finally:
                writer.close()
    except BaseExceptionGroup as group:
        raised = group.exceptions[0] if len(group.exceptions) == 1 else group  # a group of one is only ours
    except BaseException as error:  # noqa: BLE001 - it is raised again below, unless something was lost
        raised = error
    if writer.error is not None and raised is not writer.error:
        raise writer.error from raised
    if raised is not None:
        raise raised
