"""Where workers from elsewhere call in at a batch: whoever has no ticket is hung up on."""

import hmac
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint
from anyio.streams.tls import TLSStream

from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.workers.channel import Channel
from tasks_lib.job.workers.handshake import (
    HELLO,
    MAGIC,
    made_here,
    made_of,
    new_identity,
    new_secret,
    welcome,
)
from tasks_lib.job.workers.liveliness import make_lively
from tasks_lib.job.workers.recruiting import Listen, Ticket

_PATIENCE = 10.0  # seconds in which a caller has to show its ticket
_MOST_STRANGERS = 64  # callers that have not yet done so, at once
_NOBODY = bytes(32)  # compared with where there is no ticket of that number

LetIn = Callable[[int, Channel], bool]
"""Is told of a worker's number and channel, once its ticket was seen; False: it comes too late."""


class Door:
    """Lets those in that have a ticket, each ticket once."""

    def __init__(
        self,
        listen: Listen,
        *,
        batch_id: str,
        let_in: LetIn,
        warn: Callable[[str], None],
        patience: float = _PATIENCE,
        most_strangers: int = _MOST_STRANGERS,
        made: str | None = None,
    ) -> None:
        """Open by `opened`; callers have so many seconds to show a ticket, and so many may be about it.

        Who does not run what is `made`, by default what this process runs, is not let in.
        """
        self._listen = listen
        self._batch_id = batch_id
        self._let_in = let_in
        self._warn = warn
        self._patience = patience
        self._most_strangers = most_strangers
        self._certificate, self._context = new_identity()
        self._secrets: dict[int, bytes] = {}  # of tickets that were not yet used, by the worker's number
        self._strangers = 0
        self._warned = False
        self._made = made or made_here()
        self.port = listen.port
        self.refused: str | None = None  # why the last one was not let in that had a ticket

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where workers call, as their tickets tell."""
        return self._listen.advertise or self._listen.bind

    def ticket(self, number: int) -> Ticket:
        """The ticket of a worker."""
        secret = new_secret()
        self._secrets[number] = bytes.fromhex(secret)
        return Ticket(
            hosts=self.hosts,
            port=self.port,
            certificate=self._certificate,
            secret=secret,
            batch_id=self._batch_id,
            number=number,
        )

    def tear_up(self, number: int) -> None:
        """Believe the ticket of a worker no more."""
        self._secrets.pop(number, None)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Answer calls meanwhile.

        Raises:
            Mistake: an address is none of this machine's, or the port is in use.
        """
        async with AsyncExitStack() as stack:
            listeners: list[Listener[SocketStream]] = []
            for host in self._listen.bind:
                try:
                    made = await anyio.create_tcp_listener(local_host=host, local_port=self.port)
                except OSError as error:
                    raise Mistake(
                        f"no worker can call in at {host} port {self.port}: {error.strerror or error}"
                    ) from error
                await stack.enter_async_context(made)
                listeners.extend(made.listeners)
                self.port = made.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's; others have the same
            async with anyio.create_task_group() as tasks:
                for one in listeners:
                    tasks.start_soon(self._answer_all, one)
                yield
                tasks.cancel_scope.cancel()
            await checkpoint()  # a connection that was hung up on is closed in the loop's next turn

    async def _answer_all(self, listener: Listener[SocketStream]) -> None:
        async with anyio.create_task_group() as calls:
            while True:
                try:
                    await listener.serve(self._answer, calls)
                except OSError:  # such as too many open files: those who call later may have more luck
                    await anyio.sleep(0.1)

    async def _answer(self, stream: SocketStream) -> None:
        """Hear a caller out, as long as it is one of few that nobody knows."""
        if self._strangers >= self._most_strangers:
            await anyio.aclose_forcefully(stream)
            return
        self._strangers += 1
        known: tuple[int, TLSStream] | None = None
        try:
            with anyio.move_on_after(self._patience):
                known = await self._recognized(stream)
        finally:
            self._strangers -= 1
            if known is None:
                await anyio.aclose_forcefully(stream)
        if known is not None:
            number, tls = known
            channel = Channel(tls)
            if not self._let_in(number, channel):
                await channel.aclose()

    async def _recognized(self, stream: SocketStream) -> tuple[int, TLSStream] | None:
        """The number of the worker that calls; None of a stranger."""
        try:
            make_lively(stream)
            tls = await TLSStream.wrap(
                stream, server_side=True, ssl_context=self._context, standard_compatible=False
            )
            said = b""
            while len(said) < HELLO.size:
                said += await tls.receive(HELLO.size - len(said))
        except (OSError, ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError):
            return None  # who speaks something else is no worker
        magic, made, number, secret = HELLO.unpack(said)
        expected = self._secrets.get(number, _NOBODY)
        right = hmac.compare_digest(expected, secret)
        peer = stream.extra(SocketAttribute.remote_address, None)  # noqa: S610 - anyio's
        where = str(peer[0]) if peer else "an unknown address"
        if magic == MAGIC and number in self._secrets and right:
            return await self._welcomed(number, tls, made=made_of(made), where=where)
        if not self._warned:
            self._warned = True
            self._warn(
                f"somebody at {where} called in with a ticket that is "
                "none of this batch's, or was used before; it was hung up on"
            )
        return None

    async def _welcomed(
        self, number: int, tls: TLSStream, *, made: str, where: str
    ) -> tuple[int, TLSStream] | None:
        """Let a worker in if it runs the same; else its ticket still holds, for when it does."""
        if made == self._made:
            del self._secrets[number]  # before others come with the same
        try:
            await tls.send(welcome(self._made))
        except (OSError, ssl.SSLError, anyio.BrokenResourceError):
            return None
        if made == self._made:
            return number, tls
        self.refused = f"worker {number + 1} at {where} has {made}, and this batch {self._made}"
        self._warn(f"{self.refused}: install the same there; it was not let in")
        return None
