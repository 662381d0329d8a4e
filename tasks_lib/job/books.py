"""The books of a batch: what is counted when a row is over, and when its commit is durable."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks_lib.domain.failure import Budget, FailureKind
from tasks_lib.domain.plan import Plan
from tasks_lib.domain.run import Status
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.counted import Counted
from tasks_lib.job.tally import Tally

IN_VAIN = 100  # rows that fail for the provider's sake, with none answered, before the batch gives up


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A stretch of rows, for whoever keeps books on stretches; row numbers are from 1, ends included."""

    number: int
    first_row: int
    last_row: int


class ChunkWatch(Protocol):
    """Is told when chunks begin and end. They overlap, and none waits for another."""

    async def started(self, chunk: Chunk) -> None:
        """The rows of a chunk are about to be asked."""
        ...

    async def ended(self, chunk: Chunk, *, completed: int, failed: int) -> None:
        """Nothing more is to be done for a chunk."""
        ...


@dataclass(slots=True)
class _Open:
    chunk: Chunk
    left: int
    completed: int = 0
    failed: int = 0


class Books:
    """Counts runs into the tally, tells chunks' ends, and calls the stop where the counts ask for it."""

    def __init__(
        self, tally: Tally, stop: Stop, *, max_failures: int | None = None, watch: ChunkWatch | None = None
    ) -> None:
        """Keep these books; chunks are only kept if somebody watches them."""
        self._tally = tally
        self._stop = stop
        self._max_failures = max_failures
        self._watch = watch
        self._chunks: deque[_Open] = deque()  # in the order of their rows
        self._numbered = 0
        self._in_vain = 0
        self._not_durable: deque[Status] = deque()

    def limit_failures(self, most: int | None) -> None:
        """Have the batch stop at so many failed rows from now on."""
        self._max_failures = most

    async def opened(self, *, first_row: int, last_row: int, plans: Sequence[Plan]) -> None:
        """A stretch of rows has so many plans and is about to be run."""
        if self._watch is None:
            return
        self._numbered += 1
        chunk = Chunk(number=self._numbered, first_row=first_row, last_row=last_row)
        self._chunks.append(_Open(chunk, left=len(plans)))
        await self._watch.started(chunk)

    def count(self, run: Counted) -> None:
        """A row is over."""
        self._tally.add(run)
        self._not_durable.append(run.status)
        if run.kind is not None:
            self._call_stop(run, run.kind)

    def committed(self, count: int) -> None:
        """So many runs, in the order in which they ended, can no longer be lost."""
        durable = [self._not_durable.popleft() for _ in range(count)]
        self._tally.durable_completed += durable.count(Status.COMPLETED)
        self._tally.durable_failed += durable.count(Status.FAILED)

    def _call_stop(self, run: Counted, kind: FailureKind) -> None:
        """Call the stop if a row without an answer is one too many."""
        tally = self._tally
        if kind.budget in (Budget.TRANSIENT, Budget.RATE_LIMITED):
            self._in_vain += 1
        if self._max_failures is not None and tally.failed >= self._max_failures:
            self._stop.call(Why.FAILURES, f"{tally.failed} rows have failed, which is limits.max_failures")
        elif self._in_vain >= IN_VAIN and not tally.completed:
            self._stop.call(
                Why.FAILURES,
                f"the first {self._in_vain} rows all failed for the provider's sake: {run.reason}",
            )

    async def count_down(self, run: Counted) -> None:
        """A row is over and with the ledger; its chunk may have ended with it."""
        if self._watch is None:
            return
        number = run.row_number
        at = next((one for one in self._chunks if one.chunk.first_row <= number <= one.chunk.last_row), None)
        if at is None:
            return
        at.left -= 1
        at.completed += run.status is Status.COMPLETED
        at.failed += run.status is Status.FAILED
        if not at.left:
            self._chunks.remove(at)
            await self._watch.ended(at.chunk, completed=at.completed, failed=at.failed)

    async def close(self) -> None:
        """End the chunks that the batch left open."""
        while self._chunks and self._watch is not None:
            at = self._chunks.popleft()
            await self._watch.ended(at.chunk, completed=at.completed, failed=at.failed)
