"""Who may call in at a batch, and how both ends know that the other lives."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream, UNIXSocketStream
from anyio.streams.tls import TLSStream

from tasks_lib.job.workers.calling import NotLetIn, call_in, read_ticket, ticket_as_json
from tasks_lib.job.workers.channel import LOST, Channel, Outbox
from tasks_lib.job.workers.door import Door
from tasks_lib.job.workers.frames import Drawn, Left, Want, Words
from tasks_lib.job.workers.handshake import believing, new_identity
from tasks_lib.job.workers.recruiting import Listen, Pulse, Ticket

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Batch:
    """What stands behind the door: who was let in, and what was warned of."""

    def __init__(self, *, patience: float = 30.0) -> None:
        self.let_in: dict[int, Channel] = {}
        self.came = anyio.Event()
        self.warnings: list[str] = []
        self.door = Door(
            Listen(),
            batch_id="b",
            let_in=self._let_in,
            warn=self.warnings.append,
            patience=patience,
            most_strangers=4,
        )

    def _let_in(self, number: int, channel: Channel) -> bool:
        self.let_in[number] = channel
        self.came.set()
        return True


@asynccontextmanager
async def batch(*, patience: float = 30.0) -> AsyncIterator[Batch]:
    one = Batch(patience=patience)
    with anyio.fail_after(60):
        async with one.door.opened():
            yield one
        for channel in one.let_in.values():
            await channel.aclose()


async def knocked(ticket: Ticket) -> SocketStream:
    return await anyio.connect_tcp(ticket.hosts[0], ticket.port)


async def is_hung_up(stream: SocketStream | TLSStream | Channel) -> bool:
    try:
        while True:
            await stream.receive()
    except LOST:
        return True


async def test_a_ticket_lets_in_once() -> None:
    """Frames go both ways, and whoever comes with the same ticket again is hung up on."""
    async with batch() as one:
        ticket = one.door.ticket(7)
        worker = await call_in(ticket)
        await one.came.wait()
        await worker.send(Want(most=3))
        assert await one.let_in[7].receive() == Want(most=3)
        with pytest.raises(NotLetIn, match="the ticket was used before"):
            await call_in(ticket)
        assert list(one.let_in) == [7]
        await worker.aclose()


async def test_a_wrong_secret_is_hung_up_on_and_told_once() -> None:
    """Before a byte of it is unpickled, and the right ticket still holds."""
    async with batch() as one:
        ticket = one.door.ticket(0)
        for wrong in (replace(ticket, secret="00" * 32), replace(ticket, number=5)):
            with pytest.raises(NotLetIn, match="has hung up"):
                await call_in(wrong)
        assert (one.let_in, len(one.warnings)) == ({}, 1)
        assert ticket.secret not in one.warnings[0]
        worker = await call_in(ticket)
        await one.came.wait()
        await worker.aclose()


async def test_who_runs_something_else_is_told_so_on_both_ends() -> None:
    """Before either unpickles a byte; the ticket still holds for whoever comes with the right version."""
    async with batch() as one:
        ticket = one.door.ticket(2)
        with pytest.raises(NotLetIn, match=r"has rowmill 0\.1.*, and its batch rowmill .*: install"):
            await call_in(ticket, made="rowmill 0.1 on Python 3.9")
        (warning,) = one.warnings
        assert one.let_in == {}
        assert "worker 3 at 127.0.0.1 has rowmill 0.1 on Python 3.9, and this batch rowmill" in warning
        assert one.door.refused is not None
        worker = await call_in(ticket)
        await one.came.wait()
        await worker.aclose()


async def test_who_speaks_something_else_is_hung_up_on() -> None:
    """Garbage, a call without an end, and TLS without a hello: others are let in meanwhile."""
    async with batch(patience=0.5) as one:
        ticket = one.door.ticket(0)
        garbage = await knocked(ticket)
        await garbage.send(b"GET / HTTP/1.1\r\n\r\n" * 100)
        silent = await knocked(ticket)
        no_hello = await TLSStream.wrap(
            await knocked(ticket), ssl_context=believing(ticket.certificate), server_side=False
        )
        worker = await call_in(ticket)
        await one.came.wait()
        for stranger in (garbage, silent, no_hello):
            assert await is_hung_up(stranger)
            await anyio.aclose_forcefully(stranger)
        assert one.warnings == []
        await worker.aclose()


async def test_strangers_are_bounded_in_number() -> None:
    """Beyond so many that have not shown a ticket, callers are hung up on at once, and none is kept."""
    async with batch() as one:
        ticket = one.door.ticket(0)
        strangers = [await knocked(ticket) for _ in range(5)]
        assert await is_hung_up(strangers[-1])
        for stranger in strangers:
            await anyio.aclose_forcefully(stranger)


async def test_a_worker_believes_the_ticket_s_certificate_alone() -> None:
    """Whoever else answers at that address hears no secret."""
    other, _ = new_identity()
    async with batch() as one:
        ticket = replace(one.door.ticket(0), certificate=other)
        with pytest.raises(NotLetIn, match="another than the ticket is for"):
            await call_in(ticket)
        assert one.let_in == {}


async def test_old_versions_of_tls_are_refused() -> None:
    """Both ends speak TLS 1.2 at least."""
    _, answering = new_identity()
    certificate, _ = new_identity()
    least = (answering.minimum_version, believing(certificate).minimum_version)
    assert least == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)


async def test_a_ticket_shows_its_secret_to_nobody_and_comes_back_from_its_file(tmp_path: Path) -> None:
    """Its repr has no secret, and a file gives the very ticket that was written; any other is refused."""
    told = "5ec2e7"
    ticket = Ticket(hosts=("a", "b"), port=1, certificate="PEM", secret=told, batch_id="b", number=2)
    assert told not in repr(ticket)
    (tmp_path / "ticket").write_text(ticket_as_json(ticket))
    assert read_ticket(tmp_path / "ticket") == ticket
    (tmp_path / "ticket").write_text("{}")
    with pytest.raises(NotLetIn, match="holds no ticket"):
        read_ticket(tmp_path / "ticket")


async def test_who_is_silent_for_too_long_is_hung_up_on() -> None:
    """Also by one that is stuck in sending, since the other end reads nothing, as without a network."""
    async with batch() as one:
        dead = await call_in(one.door.ticket(0))  # which never says or reads anything
        await one.came.wait()
        channel = one.let_in[0]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.keep_alive, Pulse(beat=0.1, lease=1.0, first=1.0))
            with pytest.raises(LOST):
                await channel.send(Want(most=1 << 300_000_000))  # more than fits into the pipe
        assert channel.silent_for is not None
        await dead.aclose()


async def test_a_worker_loses_patience_before_its_places_are_given_to_others() -> None:
    """The line breaks without a word: the worker's end is closed first, with a part of the lease to spare."""
    pulse, ends = Pulse(beat=0.2, lease=3.0), list[str]()
    ours, theirs = socket.socketpair()
    lost, lost_too = socket.socketpair()
    driver = Channel(await UNIXSocketStream.from_socket(ours))
    worker = Channel(await UNIXSocketStream.from_socket(lost))

    async def end(name: str, channel: Channel, patience: float | None = None) -> None:
        await channel.keep_alive(pulse, patience)
        ends.append(name)

    with theirs, lost_too:
        for line in (theirs, lost_too):
            line.send(bytes(4))  # the first half of something: the last that is ever heard
        async with anyio.create_task_group() as tasks:
            for channel in (driver, worker):
                tasks.start_soon(_heard_nothing, channel)
            tasks.start_soon(end, "driver", driver)
            tasks.start_soon(end, "worker", worker, pulse.patience)
    assert ends == ["worker", "driver"]
    assert pulse.patience <= (worker.silent_for or 0) < pulse.lease <= (driver.silent_for or 0)
    assert Pulse().patience + 2 * Pulse().beat < Pulse().lease  # as far as the ends' last words lie apart


async def _heard_nothing(channel: Channel) -> None:
    with pytest.raises(LOST):
        await channel.receive()


async def test_a_frame_that_nobody_takes_ends_though_it_is_seen_through_when_cancelled() -> None:
    """Whoever is cancelled while it is being sent waits no longer than a while for the other end."""
    ours, theirs = socket.socketpair()
    channel = Channel(await UNIXSocketStream.from_socket(ours), to_send=0.2)
    with theirs, anyio.fail_after(60):  # which reads nothing
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(channel.keep_alive, Pulse())
            tasks.start_soon(channel.send, Want(most=1 << 30_000_000))  # more than fits into the pipe
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        with pytest.raises(LOST):
            await channel.send(Want(most=1))


async def test_who_beats_is_not_hung_up_on() -> None:
    """Nothing is said for three leases, and both ends are there."""
    pulse = Pulse(beat=0.1, lease=1.0, first=1.0)
    async with batch() as one:
        worker = await call_in(one.door.ticket(0))
        await one.came.wait()
        with anyio.move_on_after(3 * pulse.lease) as passed:
            async with anyio.create_task_group() as tasks:
                for end in (worker, one.let_in[0]):
                    tasks.start_soon(end.keep_alive, pulse)
                    tasks.start_soon(end.receive)
        assert passed.cancelled_caught
        assert (worker.silent_for, one.let_in[0].silent_for) == (None, None)
        await worker.aclose()


async def test_small_words_go_out_in_their_order_whoever_sends_them() -> None:
    """By themselves, or with what is sent at once; none is left lying."""
    async with batch() as one:
        worker = await call_in(one.door.ticket(0))
        await one.came.wait()
        outbox = Outbox[Drawn | Left](worker, Words)
        heard: list[object] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.post)
            for number in range(3):
                await outbox.flush()  # though there is nothing yet
                outbox.say(Drawn(f"{number}"), Left(f"{number}"))
                while len(heard) < 2 * (number + 1):
                    frame = await one.let_in[0].receive()
                    assert isinstance(frame, Words)
                    heard.extend(frame.words)
            tasks.cancel_scope.cancel()
        assert heard == [word for number in range(3) for word in (Drawn(f"{number}"), Left(f"{number}"))]
        await worker.aclose()
