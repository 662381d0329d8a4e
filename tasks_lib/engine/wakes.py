"""Pauses that can be cut short: whoever waits for a hosted run looks at once when the run has news.

News are a hint and never a result: they say which run to look at, and what is true is what the provider then
answers. So news of a run that nobody waits for are forgotten, and however often they come a pause lasts a
second: protocols count on some time between two looks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import anyio

MOST_WAITING: Final = 65_536
"""Runs that are listened for at once; those beyond are polled as if nobody sent news."""
LEAST_SECONDS: Final = 1.0
"""That a pause lasts, unless it is shorter by itself."""


class Wake:
    """The pauses of one exchange."""

    def __init__(self, wakes: "Wakes") -> None:
        """See `Wakes.waiting`."""
        self._wakes = wakes
        self._news = anyio.Event()
        self._known_as: set[str] = set()

    def known_as(self, remote_id: str) -> None:
        """From now on news of this run are news for this exchange."""
        if remote_id not in self._known_as and self._wakes.add(remote_id, self):
            self._known_as.add(remote_id)

    def news(self) -> None:
        """End the pause, or the next one: what is being asked just now may be older than the news."""
        self._news.set()

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until there are news."""
        least = min(seconds, LEAST_SECONDS)
        await anyio.sleep(least)
        with anyio.move_on_after(seconds - least):
            await self._news.wait()
        if self._news.is_set():
            self._news = anyio.Event()

    def close(self) -> None:
        """Nobody waits any more."""
        for remote_id in self._known_as:
            self._wakes.remove(remote_id, self)
        self._known_as.clear()


class Wakes:
    """Who waits for which hosted run. All of it is called on one event loop."""

    def __init__(self, *, most: int = MOST_WAITING) -> None:
        """Listen for so many runs at once."""
        self._most = most
        self._waiting: dict[str, list[Wake]] = {}  # by the run's id; two providers may have the same one

    def __len__(self) -> int:
        """Runs that are listened for."""
        return len(self._waiting)

    @contextmanager
    def waiting(self, remote_id: str | None = None) -> Iterator[Wake]:
        """The pauses of an exchange, which end early at news of its run; its id may be told later."""
        wake = Wake(self)
        if remote_id is not None:
            wake.known_as(remote_id)
        try:
            yield wake
        finally:
            wake.close()

    def wake(self, remote_id: str) -> bool:
        """There are news of this run; False: nobody waits for it."""
        waiting = self._waiting.get(remote_id, ())
        for one in waiting:
            one.news()
        return bool(waiting)

    def add(self, remote_id: str, wake: Wake) -> bool:
        """Have a run's news wake this one, too; False: there is no room for another run."""
        if remote_id not in self._waiting and len(self._waiting) >= self._most:
            return False
        self._waiting.setdefault(remote_id, []).append(wake)
        return True

    def remove(self, remote_id: str, wake: Wake) -> None:
        """Let it be woken no more."""
        waiting = self._waiting[remote_id]
        waiting.remove(wake)
        if not waiting:
            del self._waiting[remote_id]
