"""Workers that others start: they are asked for, call in at a door, and are missed where none does."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from time import monotonic

import anyio
from anyio.abc import TaskGroup

from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.workers.channel import Channel
from tasks_lib.job.workers.door import Door, LetIn
from tasks_lib.job.workers.member import Member
from tasks_lib.job.workers.recruiting import Listen, NoWorker, Recruiter

_TO_CLOSE = 60.0  # seconds in which whoever has started workers sees to their end


class Elsewhere:
    """Has workers come from elsewhere, and calls the stop once nobody will."""

    def __init__(
        self,
        recruiter: Recruiter,
        listen: Listen,
        *,
        batch_id: str,
        workers: Sequence[Member],
        stop: Stop,
        let_in: LetIn,
        warn: Callable[[str], None],
    ) -> None:
        """Nobody is asked for; `workers` are those that are there at any time."""
        self._recruiter = recruiter
        self._absence = listen.absence
        self._workers = workers
        self._stop = stop
        self._let_in = let_in
        self._warn = warn
        self._awaited: set[int] = set()  # numbers of workers that were asked for and have not called in
        self._door = Door(listen, batch_id=batch_id, let_in=self._called_in, warn=warn)

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Let workers in meanwhile; see `Door.opened`."""
        return self._door.opened()

    def hire(self, number: int, tasks: TaskGroup) -> None:
        """Have one more worker started, of this number."""
        self._awaited.add(number)
        tasks.start_soon(self._ask_for, number)

    async def miss_them(self) -> None:
        """Give up once there was no worker for too long."""
        since = monotonic()
        while True:
            await anyio.sleep(min(1.0, self._absence / 4))
            now = monotonic()
            if self._workers:
                since = now
            elif now - since > self._absence:
                self._stop.call(Why.FAILURES, self._why_nobody_comes())
                return

    async def close(self) -> None:
        """Whoever starts workers is to see to their end now."""
        with anyio.move_on_after(_TO_CLOSE):
            await self._recruiter.close()

    async def _ask_for(self, number: int) -> None:
        try:
            with self._stop.cuts_short():
                await self._recruiter.begin(self._door.ticket(number))
        except NoWorker as why:
            self._door.tear_up(number)
            self._awaited.discard(number)
            self._warn(f"worker {number + 1} cannot be had: {why}")
            if not (self._awaited or self._workers):
                self._stop.call(Why.FAILURES, f"no worker can be had: {why}")

    def _called_in(self, number: int, channel: Channel) -> bool:
        self._awaited.discard(number)
        return self._let_in(number, channel)

    def _why_nobody_comes(self) -> str:
        missed = f"no worker has called in for {self._absence:g} s"
        door = self._door
        if door.refused is not None:
            return f"{missed} but such as could not take part: {door.refused}"
        return (
            f"no worker has called in at {', '.join(door.hosts)} port {door.port} "
            f"for {self._absence:g} s. Look at whatever starts them, and at whether they reach that "
            "address: a firewall, another network"
        )
