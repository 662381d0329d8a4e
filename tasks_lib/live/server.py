"""The channel of a running batch: a port on loopback at which other processes look, ask and act.

It must never be the batch's undoing: whatever goes wrong with a client ends that client's connection, what is
asked is worked on in threads, two questions at a time, and ends when the client is gone or has had its time.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe
from socket import gethostname
from typing import Any, Protocol

import anyio
import orjson
import pyarrow as pa
from anyio import to_thread
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from tasks_lib.domain.mistake import Mistake
from tasks_lib.live.notice import Notice, post, take_down
from tasks_lib.live.snapshot import Snapshot
from tasks_lib.live.wire import REQUEST_BYTES, TOKEN_BYTES, line, remote_ids, table_pieces

HOST = "127.0.0.1"
ANSWER_SECONDS = 120.0  # that a question may take, its answer's way to the client included
_HELLO_SECONDS = 5.0  # until the token must have come
_CLIENTS = 32  # at the same time
_QUESTIONS = 2  # at the same time; more wait for them
_AGAIN = 0.05  # seconds until a question that is to end is told so again
_PATIENT_TIMES = 20  # that it is told so before what is being sent is broken off
_IN_MEMORY = Path(":memory:")


class Running(Protocol):
    """A batch that can be looked at and acted on. All of it is called on the batch's event loop."""

    def snapshot(self) -> Snapshot:
        """The batch at this moment."""
        ...

    def pause(self) -> None:
        """Begin no more calls until `resume`."""
        ...

    def resume(self) -> None:
        """Begin calls again."""
        ...

    def cancel(self) -> None:
        """Come to an orderly end: no new call is made, and those under way are finished."""
        ...

    def change_limits(self, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have other limits from now on (None: no limit of that sort), and give those in force.

        Raises:
            Mistake: there is no such limit, or it cannot have that value; nothing is changed then.
        """
        ...

    def news(self, remote_ids: Sequence[str]) -> None:
        """There are said to be news of these hosted runs; those that nobody waits for are ignored."""
        ...


class UnderWay(Protocol):
    """A question that is being answered: by one thread at a time, but for `interrupt`."""

    def tables(self) -> Iterator[tuple[str, pa.Schema, Iterator[pa.RecordBatch]]]:
        """The answer: tables by name, each to be read before the next one is asked for.

        Raises:
            Mistake: it cannot be answered.
        """
        ...

    def interrupt(self) -> None:
        """Let the answer fail soon; any thread may say so, and often."""
        ...

    def close(self) -> None:
        """Let go of all that the question has taken."""
        ...


Ask = Callable[[Mapping[str, Any]], UnderWay]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """The open channel; `off` says why there is none, and the batch goes on all the same."""

    notice: Notice | None
    off: str | None = None


@asynccontextmanager
async def live_channel(
    running: Running,
    ask: Ask,
    *,
    ledger: Path,
    batch_id: str,
    quack: str | None = None,
    quack_token: str | None = None,
    answer_seconds: float = ANSWER_SECONDS,
) -> AsyncIterator[Channel]:
    """Let other processes of this user and machine reach a batch for as long as this is open.

    Args:
        running: the batch.
        ask: begins a question to its ledger.
        ledger: beside which the notice is left.
        batch_id: the batch's.
        quack: where the ledger is served to other DuckDB clients, if it is; the notice says so.
        quack_token: what they need for that.
        answer_seconds: the longest that a question may take.
    """
    if ledger == _IN_MEMORY:
        yield Channel(notice=None)
        return
    try:
        listener = await anyio.create_tcp_listener(local_host=HOST, local_port=0)
    except OSError as error:
        yield Channel(notice=None, off=_off(error))
        return
    async with listener:
        notice = Notice(
            batch_id=batch_id,
            pid=os.getpid(),
            host=gethostname(),
            port=listener.extra(SocketAttribute.local_port),  # noqa: S610 - anyio's, not Django's
            token=token_urlsafe(32),
            quack=quack,
            quack_token=quack_token,
        )
        try:
            await to_thread.run_sync(lambda: post(notice, ledger=ledger))
        except OSError as error:
            yield Channel(notice=None, off=_off(error))
            return
        server = _Server(running, ask, notice=notice, answer_seconds=answer_seconds)
        raised: BaseException | None = None
        try:
            async with anyio.create_task_group() as clients:
                clients.start_soon(_keep_serving, listener, server)
                try:
                    yield Channel(notice=notice)
                finally:
                    take_down(notice, ledger=ledger)
                    clients.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raised = (
                group.exceptions[0] if len(group.exceptions) == 1 else group
            )  # a group of one is only ours
        if raised is not None:
            raise raised


def _off(error: OSError) -> str:
    return f"nobody can look at this batch while it runs, or act on it ({error.strerror or error})"


async def _keep_serving(listener: MultiListener[SocketStream], server: "_Server") -> None:
    while True:
        with suppress(OSError):  # such as too many open files, which passes
            await listener.serve(server.serve)
        await anyio.sleep(1.0)


class _Server:
    def __init__(self, running: Running, ask: Ask, *, notice: Notice, answer_seconds: float) -> None:
        self._running = running
        self._ask = ask
        self._token = notice.token.encode()
        self._batch_id = notice.batch_id
        self._answer_seconds = answer_seconds
        self._clients = 0
        self._turn = anyio.Semaphore(_QUESTIONS)
        self._threads = anyio.CapacityLimiter(_QUESTIONS)  # of our own: the batch's commits wait for none

    async def serve(self, stream: ByteStream) -> None:
        """Talk with one client; nothing that it does is of any consequence to the batch."""
        async with stream:
            if self._clients >= _CLIENTS:
                return
            self._clients += 1
            try:
                await self._talk(_Lines(stream))
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, TimeoutError):
                pass  # it is gone, or never said anything
            except Exception:  # noqa: BLE001, S110 - see above; the connection ends, which the client tells
                pass
            finally:
                self._clients -= 1

    async def _talk(self, lines: "_Lines") -> None:
        with anyio.fail_after(_HELLO_SECONDS):
            token = await lines.next(longest=TOKEN_BYTES)
        if not compare_digest(token, self._token):
            await lines.send(line({"mistake": "the token is wrong"}))
            return
        await lines.send(line({"batch": self._batch_id}))
        while True:
            await self._answer(await lines.next(longest=REQUEST_BYTES), lines)

    async def _answer(self, request: bytes, lines: "_Lines") -> None:
        try:
            asked = orjson.loads(request)
            if isinstance(asked, dict) and "ask" in asked:
                await self._answer_question(asked, lines)
                return
            answer = self._done(asked if isinstance(asked, dict) else {})
        except orjson.JSONDecodeError:
            await lines.send(line({"mistake": "a request is a line of JSON"}))
        except Mistake as mistake:
            await lines.send(line({"mistake": str(mistake)}))
        else:
            await lines.send(line({"answer": answer}))

    def _done(self, asked: Mapping[str, Any]) -> object:
        """Do what is asked for; gives what there is to say about it."""
        match asked.get("do"):
            case "snapshot":
                return self._running.snapshot()
            case "pause":
                self._running.pause()
            case "resume":
                self._running.resume()
            case "cancel":
                self._running.cancel()
            case "limits":
                changes = asked.get("changes") or {}
                if not isinstance(changes, dict):
                    raise Mistake("changes of limits are an object")
                return self._running.change_limits(changes)
            case "news":
                self._running.news(remote_ids(asked.get("runs")))
                return None
            case other:
                raise Mistake(f"the batch that runs knows no command {other!r}")
        return self._running.snapshot()

    async def _answer_question(self, question: Mapping[str, Any], lines: "_Lines") -> None:
        """Stream an answer, and interrupt it when the client is gone, the time is over, or the batch ends."""
        async with self._turn:
            asked = self._ask(question)
            pieces = _pieces(asked)
            over = late = False
            mistake: Mistake | None = None

            async def end_it(work: anyio.CancelScope) -> None:
                nonlocal late
                try:
                    with anyio.move_on_after(self._answer_seconds) as patience:
                        await lines.gone()
                    late = patience.cancelled_caught
                finally:
                    told = 0
                    with anyio.CancelScope(shield=True):
                        while not over:  # once is not enough: it may come between two statements
                            asked.interrupt()
                            await anyio.sleep(_AGAIN)
                            told += 1
                            if told == _PATIENT_TIMES:
                                work.cancel()  # the client reads no more

            async with anyio.create_task_group() as beside:
                try:
                    with anyio.CancelScope() as work:
                        beside.start_soon(end_it, work)
                        while True:
                            piece = await to_thread.run_sync(next, pieces, None, limiter=self._threads)
                            if piece is None:
                                break
                            await lines.send(piece)
                except Mistake as error:
                    mistake = error
                finally:
                    with anyio.CancelScope(shield=True):
                        await to_thread.run_sync(asked.close, limiter=self._threads)
                    over = True
                    beside.cancel_scope.cancel()
        if late:
            mistake = Mistake(f"this takes longer than {self._answer_seconds:g} s: ask for less")
        if lines.torn:
            raise anyio.ClosedResourceError  # in the middle of a piece; nothing after it would be understood
        await lines.send(line({"mistake": str(mistake)} if mistake is not None else {"done": True}))


def _pieces(asked: UnderWay) -> Iterator[bytes]:
    for name, schema, batches in asked.tables():
        yield from table_pieces(name, schema, batches)


class _Lines:
    """A client's stream as lines."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self.torn = False
        """Whether sending was broken off."""

    async def next(self, *, longest: int) -> bytes:
        """The next line without its end.

        Raises:
            EndOfStream: the client is gone, or its line is too long.
        """
        while (end := self._buffer.find(b"\n", 0, longest)) < 0:
            if len(self._buffer) >= longest:
                raise anyio.EndOfStream
            self._buffer += await self._stream.receive()
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return found

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        self.torn = True
        await self._stream.send(data)
        self.torn = False

    async def gone(self) -> None:
        """Wait until the client has closed its end, or says more than it may."""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while len(self._buffer) < REQUEST_BYTES:
                self._buffer += await self._stream.receive()
