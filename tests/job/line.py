"""A line between a worker and its batch that can break without a word, as between machines."""

import socket
import threading
from contextlib import suppress
from dataclasses import replace

from tasks_lib.job.workers.recruiting import Ticket
from tests.job.recruited import Threads


class Line:
    """Hands on all that is said to a port of this machine, until it is `cut`: then it only takes."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = threading.Event()
        self._whole.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._answer, daemon=True).start()

    def cut(self) -> None:
        """From now on nothing gets through, and neither end is told."""
        self._whole.clear()

    def close(self) -> None:
        """Hang up on both ends."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                worker, _ = self._listener.accept()
                batch = socket.create_connection(("127.0.0.1", self._to))
                self._open += [worker, batch]
                for one, other in ((worker, batch), (batch, worker)):
                    threading.Thread(target=self._hand_on, args=(one, other), daemon=True).start()

    def _hand_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                if self._whole.is_set():
                    other.sendall(data)
            if self._whole.is_set():
                other.shutdown(socket.SHUT_WR)


class FirstByLine(Threads):
    """Workers in threads, of whom the first calls in over a line of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line | None = None

    async def begin(self, ticket: Ticket) -> None:
        """Start one."""
        if self.line is None:
            self.line = Line(ticket.port)
            ticket = replace(ticket, port=self.line.port)
        await super().begin(ticket)

    async def close(self) -> None:
        """Wait until all of them have ended by themselves."""
        await super().close()
        assert self.line is not None
        self.line.close()
