"""Workers that are started as an engine would: in threads of this process, or in processes of their own."""

import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from tasks_lib.job.workers.calling import read_ticket, ticket_as_json
from tasks_lib.job.workers.recruiting import Ticket
from tasks_lib.job.workers.worker import work_for

_TO_END = 60.0  # seconds in which a worker ends by itself


class Threads:
    """Workers in threads; `said` is how each of them ended."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.said: list[str] = []
        self._threads: list[threading.Thread] = []

    async def begin(self, ticket: Ticket) -> None:
        """Start one."""
        self.tickets.append(ticket)
        self._threads.append(threading.Thread(target=self._work, args=(ticket,)))
        self._threads[-1].start()

    async def close(self) -> None:
        """Wait until all of them have ended by themselves."""
        for thread in self._threads:
            await to_thread.run_sync(thread.join, _TO_END)
            assert not thread.is_alive()

    def _work(self, ticket: Ticket) -> None:
        try:
            self.said.append(work_for(ticket))
        except Exception as error:  # noqa: BLE001 - a test looks at it
            self.said.append(repr(error))


class Processes:
    """Workers in processes, each with its ticket in a file."""

    def __init__(self, folder: Path) -> None:
        self.workers: list[subprocess.Popen[str]] = []
        self._folder = folder

    async def begin(self, ticket: Ticket) -> None:
        """Start one."""
        path = self._folder / f"ticket-{ticket.number}"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(ticket_as_json(ticket))
        command = [sys.executable, "-m", "tests.job.recruited", str(path)]
        start = partial(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
        self.workers.append(await to_thread.run_sync(start))

    async def close(self) -> None:
        """Leave them to themselves: whether they end is what a test looks at."""

    def kill_first(self) -> None:
        """As a machine ends that is switched off."""
        self.workers[0].kill()

    async def ends(self) -> list[tuple[int, str]]:
        """Exit code and last words of each, once it has ended by itself."""
        return [await to_thread.run_sync(_end, worker) for worker in self.workers]


class Nobody:
    """An engine whose workers never come."""

    async def begin(self, ticket: Ticket) -> None:
        """Nothing happens."""

    async def close(self) -> None:
        """Nothing is to be done."""


class Late(Threads):
    """The first worker comes at once, the others when they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.called = anyio.Event()

    async def begin(self, ticket: Ticket) -> None:
        """Start one, or have it wait."""
        if ticket.number:
            await self.called.wait()
        await super().begin(ticket)


def _end(worker: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = worker.communicate(timeout=_TO_END)
    return worker.returncode, said.strip()


if __name__ == "__main__":
    sys.stdout.write(work_for(read_ticket(Path(sys.argv[1]))))
