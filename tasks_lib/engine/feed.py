"""One stream of plans for many workers."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from tasks_lib.domain.plan import Plan

Fetch = Callable[[], Awaitable[Sequence[Plan] | None]]
"""Gives the next stretch of plans, which may be empty; None at the end."""


class Feed:
    """Hands out plans one at a time and has the next stretch fetched while the last one is used.

    At most two stretches are in memory: the one in use and the next.
    """

    def __init__(self, fetch: Fetch) -> None:
        """Draw from what `fetch` gives."""
        self._fetch = fetch
        self._ready: deque[Plan] = deque()
        self._lock = anyio.Lock()
        self._send, self._receive = anyio.create_memory_object_stream[Sequence[Plan]](0)
        self._tasks: TaskGroup

    async def __aenter__(self) -> "Feed":
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._fetch_ahead)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, trace)
        finally:
            self._send.close()
            self._receive.close()

    async def has_any(self) -> bool:
        """Whether there is a plan to be drawn; waits until that is known."""
        while not self._ready:
            async with self._lock:
                if self._ready:
                    break
                try:
                    self._ready.extend(await self._receive.receive())
                except anyio.EndOfStream:
                    return False
        return True

    async def draw(self) -> Plan | None:
        """The next plan, or None at the end."""
        return self._ready.popleft() if self._ready or await self.has_any() else None

    async def draw_some(self, most: int) -> Sequence[Plan]:
        """At least one plan and at most so many, of those that are there; none at the end."""
        if not await self.has_any():
            return ()
        return [self._ready.popleft() for _ in range(min(most, len(self._ready)))]

    async def _fetch_ahead(self) -> None:
        while (stretch := await self._fetch()) is not None:
            if stretch:
                await self._send.send(stretch)
        self._send.close()  # the end is told by this alone: an error must not look like it
