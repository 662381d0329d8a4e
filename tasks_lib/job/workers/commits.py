"""Runs of all processes on their way into the ledger: one queue, one writer, one order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import anyio
from anyio import to_thread

from tasks_lib.job.books import Books
from tasks_lib.job.counted import Counted
from tasks_lib.ledger import Facts, Ledger, LedgerError, together

_WORTH: Final = 250  # rows; a commit of more is hardly cheaper by the row
_MANY: Final = 64  # rows under way; with fewer, each that waits here is missed where it holds a place
_PATIENCE: Final = 0.5  # times what the last commit took
_LONGEST: Final = 0.05  # seconds


@dataclass(slots=True, eq=False)
class Arrived:
    """Runs that wait for their commit."""

    counted: Sequence[Counted]
    facts: Facts
    durable: anyio.Event = field(default_factory=anyio.Event)
    error: str | None = None  # why they never will be


class Commits:
    """Commits what several processes hand in, in the order in which it comes.

    While one commit is made, others share the next one. Where many rows are under way that one waits some
    moments for company, too: a commit costs as much CPU as some hundred rows in it.
    """

    def __init__(self, ledger: Ledger, *, batch_id: str, books: Books, under_way: Callable[[], int]) -> None:
        """Commit to this ledger; `under_way` tells about how many rows are so in all processes."""
        self._ledger = ledger
        self._batch_id = batch_id
        self._books = books
        self._under_way = under_way
        self._arrived: list[Arrived] = []
        self._rows = 0  # of those that have arrived
        self._worth = 0  # rows that are waited for
        self._are_enough = anyio.Event()
        self._took = 0.0  # seconds of the last commit
        self._committing = anyio.Lock(fast_acquire=True)

    def arrive(self, counted: Sequence[Counted], facts: Facts) -> Arrived:
        """Take runs in: they are counted now, so that books and commits keep one order."""
        for run in counted:
            self._books.count(run)
        arrived = Arrived(counted, facts)
        self._arrived.append(arrived)
        self._rows += len(counted)
        if self._rows >= self._worth:
            self._are_enough.set()
        return arrived

    async def see_to(self, arrived: Arrived) -> None:
        """Return once they are committed, or (see `Arrived.error`) never will be.

        Cancelling has no effect: they are paid for.
        """
        with anyio.CancelScope(shield=True):
            async with self._committing:
                if not arrived.durable.is_set():
                    await self._wait_for_company()
                    await self._commit()
            for run in arrived.counted:
                await self._books.count_down(run)

    async def _wait_for_company(self) -> None:
        under_way = self._under_way()
        if under_way < _MANY:
            return
        self._worth = min(_WORTH, under_way // 2)
        if self._rows >= self._worth:
            return
        self._are_enough = anyio.Event()
        with anyio.move_on_after(min(_LONGEST, _PATIENCE * self._took)):
            await self._are_enough.wait()

    async def _commit(self) -> None:
        taken, self._arrived = self._arrived, []
        rows, self._rows = self._rows, 0
        facts = together([one.facts for one in taken])
        error: str | None = None
        began = monotonic()
        try:
            await to_thread.run_sync(lambda: self._ledger.add_facts(facts, batch_id=self._batch_id))
        except LedgerError as failed:
            error = str(failed)
        self._took = monotonic() - began
        if error is None:
            self._books.committed(rows)
        for one in taken:
            one.error = error
            one.durable.set()
