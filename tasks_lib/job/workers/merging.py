"""Runs that are in journals of this machine, on their way into the ledger: many in one commit.

They are durable when they come here, so nobody waits for the ledger. It has them within half a second, or as
soon as there are some thousands.
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from tasks_lib.job.books import Books
from tasks_lib.job.counted import Counted
from tasks_lib.ledger import Ledger, together
from tasks_lib.ledger.journal import Entry, WrittenJournal, journal_path

_WORTH: Final = 2_000  # rows; a commit of more is hardly cheaper by the row
_MOST_BYTES: Final = 8 << 20  # of one commit, unless one entry has more
_PATIENCE: Final = 0.5  # seconds that a run waits for others


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An entry that the ledger does not have."""

    worker: int | None
    journal: WrittenJournal
    entry: Entry
    counted: Sequence[Counted]


class Merging:
    """Takes journals' entries into the ledger, in the order in which they are told; see `merging`."""

    def __init__(self, ledger: Ledger, *, batch_id: str, books: Books) -> None:
        """See `merging`."""
        self._ledger = ledger
        self._path = ledger.path.resolve()
        self._batch_id = batch_id
        self._books = books
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0  # that wait
        self._any = anyio.Event()
        self._enough = anyio.Event()
        self._closed = False
        self._journals: dict[Path, WrittenJournal] = {}
        self._last: dict[int | None, _Waiting] = {}  # of each worker, what the ledger took last

    def take(self, counted: Sequence[Counted], *, worker: int | None, entry: Entry) -> None:
        """A worker has written these runs to its journal; no worker: the batch's own process."""
        for run in counted:
            self._books.count(run)
        self._books.committed(len(counted))
        path = journal_path(self._path, self._batch_id, worker, entry.file)
        journal = self._journals.get(path) or self._journals.setdefault(path, WrittenJournal(path))
        self._waiting.append(_Waiting(worker, journal, entry, counted))
        self._rows += len(counted)
        self._any.set()
        if self._rows >= _WORTH:
            self._enough.set()

    def close(self) -> None:
        """Take in what waits, and no more."""
        self._closed = True
        self._any.set()
        self._enough.set()

    async def keep_merging(self) -> None:
        """Take in entries until there will be no more; their files are removed then.

        Cancelling has no effect: they are paid for.

        Raises:
            LedgerError: the ledger does not take them. They stay in their files.
        """
        with anyio.CancelScope(shield=True):
            try:
                while await self._is_any():
                    with anyio.move_on_after(_PATIENCE):
                        await self._enough.wait()
                    await self._merge()
                await to_thread.run_sync(self._remove_all)
            finally:
                for journal in self._journals.values():
                    journal.close()

    async def _is_any(self) -> bool:
        if not self._waiting and not self._closed:
            self._any = anyio.Event()
            await self._any.wait()
        return bool(self._waiting)

    async def _merge(self) -> None:
        taken: list[_Waiting] = []
        size = 0
        while self._waiting and (not taken or size < _MOST_BYTES):
            first = self._waiting.popleft()
            size += first.entry.end - first.entry.at
            self._rows -= len(first.counted)
            taken.append(first)
        if not self._closed and self._rows < _WORTH:
            self._enough = anyio.Event()
        await to_thread.run_sync(self._commit, taken)
        for one in taken:
            for run in one.counted:
                await self._books.count_down(run)

    def _commit(self, taken: Sequence[_Waiting]) -> None:
        facts = [one.journal.facts(one.entry.at, one.entry.end) for one in taken]
        self._ledger.add_facts(together(facts), batch_id=self._batch_id)
        for one in taken:
            before = self._last.get(one.worker)
            if before is not None and before.journal is not one.journal:
                before.journal.remove()
                del self._journals[before.journal.path]
            self._last[one.worker] = one

    def _remove_all(self) -> None:
        for last in self._last.values():
            if not any(last.journal.places(last.entry.end)):  # else whoever opens the ledger next has it
                last.journal.remove()


@asynccontextmanager
async def merging(ledger: Ledger, *, batch_id: str, books: Books) -> AsyncIterator[Merging]:
    """What takes in entries of journals; on leaving, however that comes, the ledger has all that was told.

    Raises:
        LedgerError: the ledger does not take them; whoever opens it next takes in what it has not.
    """
    made = Merging(ledger, batch_id=batch_id, books=books)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.keep_merging)
        try:
            yield made
        finally:
            made.close()
