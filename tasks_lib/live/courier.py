"""Carries news of hosted runs to the batch that waits for them, if one does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from tasks_lib.domain.mistake import Mistake
from tasks_lib.live.client import reach
from tasks_lib.live.wire import NEWS_AT_ONCE

MOST_WAITING: Final = 10_000
_LAST_WORD: Final = 5.0  # seconds in which what has come is told when the end is near


@dataclass(slots=True)
class Carried:
    """What became of the runs that had news."""

    told: int = 0  # to a batch
    only_counted: int = 0  # no batch was running, or it could not be told


class Courier:
    """Tells the batch of a ledger which runs have news; those that come while it is told go together."""

    def __init__(self, ledger: Path, *, say: Callable[[str], None], most_waiting: int = MOST_WAITING) -> None:
        """Tell whichever batch writes to this ledger when there are news.

        Args:
            ledger: the ledger.
            say: is told once when nobody can be told, and once when somebody can be again.
            most_waiting: runs with news that wait for being told.
        """
        self._ledger = ledger
        self._say = say
        self._most_waiting = most_waiting
        self._waiting: dict[str, None] = {}  # a run that has news twice meanwhile is looked at once
        self._under_way: list[str] = []  # those that are told at this moment
        self._any = anyio.Event()
        self._trouble: str | None = None
        self.carried = Carried()

    def offer(self, remote_id: str) -> bool:
        """This run has news; False: too many wait already."""
        if remote_id not in self._waiting and len(self._waiting) >= self._most_waiting:
            return False
        self._waiting[remote_id] = None
        self._any.set()
        return True

    async def run(self) -> None:
        """Tell what is offered until this is cancelled; what was offered by then is told all the same."""
        try:
            while True:
                await self._any.wait()
                self._any = anyio.Event()
                await self._tell_waiting()
        finally:
            with anyio.move_on_after(_LAST_WORD, shield=True):
                self._waiting = dict.fromkeys((*self._under_way, *self._waiting))
                await self._tell_waiting()

    async def _tell_waiting(self) -> None:
        while self._waiting:
            self._under_way = list(self._waiting)[:NEWS_AT_ONCE]
            for remote_id in self._under_way:
                del self._waiting[remote_id]
            await self._carry(self._under_way)
            self._under_way = []

    async def _carry(self, remote_ids: Sequence[str]) -> None:
        trouble = await to_thread.run_sync(
            partial(_told, self._ledger, remote_ids),
            abandon_on_cancel=True,  # what is not told is polled
        )
        if trouble is None:
            self.carried.told += len(remote_ids)
        else:
            self.carried.only_counted += len(remote_ids)
        if trouble != self._trouble:
            self._trouble = trouble
            self._say("a batch is running and is told" if trouble is None else f"only counted: {trouble}")


def _told(ledger: Path, remote_ids: Sequence[str]) -> str | None:
    """Tell the batch; gives why it was not told."""
    client = reach(ledger)
    if client is None:
        return "no batch is running"
    try:
        with client:
            client.news(remote_ids)
    except Mistake as mistake:
        return str(mistake)
    return None
