"""The port at which notices of hosted runs arrive: as little of HTTP as they need, and bounds on all of it.

One request a connection, which must have come whole within seconds, and so many connections at once: whoever
sends slowly, or never ends, is hung up on and holds up nobody else for long. Answers have no body, so nothing
that came ever goes back.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

import anyio
import h11
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from tasks_lib.domain.mistake import Mistake
from tasks_lib.live.hooks import Hook, Verdict

_PIECE: Final = 64 << 10
_FAREWELL_SECONDS: Final = (
    1.0  # in which what still comes after the answer is read, so that the answer arrives
)

_BUSY: Final = Verdict(status=503, why="too many come at once")
_LATE: Final = Verdict(status=408, why="it did not come whole in time")
_ELSEWHERE: Final = Verdict(status=404, why="nothing arrives under that path")
_NOT_POSTED: Final = Verdict(status=405, why="notices are posted")
_TOO_LONG: Final = Verdict(status=413, why="it is too long to be a notice")
_BROKEN: Final = Verdict(status=400, why="it is no HTTP")
_NO_ROOM: Final = Verdict(status=503, why="too many wait to be passed on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What senders may take."""

    connections: int = 64  # at once
    seconds: float = 10.0  # until a notice has come whole
    head_bytes: int = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """A notice that came, without its content."""

    hook: str | None  # None: it came under no path of ours
    status: int  # that was answered
    why: str
    bytes: int  # of its body, as far as it was read


Offer = Callable[[str], bool]
"""Is told a run that has news; False: there is no room for more now."""


class HookServer:
    """A port that is open, at which notices arrive while `serve` runs."""

    def __init__(
        self,
        listener: MultiListener[SocketStream],
        hooks: Sequence[Hook],
        *,
        offer: Offer,
        came: Callable[[Came], None],
        bounds: Bounds | None = None,
    ) -> None:
        """See `opened`."""
        self._listener = listener
        self._hooks = hooks
        self._offer = offer
        self._came = came
        self._bounds = bounds or Bounds()
        self._connections = 0

    @classmethod
    async def opened(
        cls,
        hooks: Sequence[Hook],
        *,
        host: str,
        port: int,
        offer: Offer,
        came: Callable[[Came], None],
        bounds: Bounds | None = None,
    ) -> Self:
        """A server for these hooks.

        Args:
            hooks: where notices arrive.
            host: the address to listen at.
            port: the port; 0 has the system choose one.
            offer: is told each run that has news; the notice is refused for now if there is no room for it.
            came: is told of each notice, for a log.
            bounds: what senders may take.

        Raises:
            Mistake: nobody can listen there.
        """
        try:
            listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            raise Mistake(f"cannot listen at {host}, port {port}: {why}") from error
        return cls(listener, hooks, offer=offer, came=came, bounds=bounds)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, not Django's

    async def serve(self) -> None:
        """Take notices until this is cancelled."""
        async with self._listener:
            while True:
                with suppress(OSError):  # such as too many open files, which passes
                    await self._listener.serve(self._one)
                await anyio.sleep(1.0)

    async def _one(self, stream: ByteStream) -> None:
        """One connection; nothing that its other end does is of consequence to others."""
        async with stream:
            if self._connections >= 2 * self._bounds.connections:
                return  # there is not even time for a word
            request = _Incoming(stream, head_bytes=self._bounds.head_bytes)
            self._connections += 1
            try:
                hook: Hook | None = None
                verdict = _BUSY
                if self._connections <= self._bounds.connections:
                    hook, verdict = await self._heard(request)
                self._tell(hook, verdict, request)
                with anyio.move_on_after(_FAREWELL_SECONDS):
                    await request.answer(verdict.status)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                pass  # it has hung up
            except Exception as error:  # noqa: BLE001 - nobody outside is to end what others are told by
                why = f"an error of rowmill itself, {type(error).__name__}"
                self._tell(None, Verdict(status=500, why=why), request)
            finally:
                self._connections -= 1

    def _tell(self, hook: Hook | None, verdict: Verdict, request: "_Incoming") -> None:
        name = hook.name if hook is not None else None
        self._came(Came(hook=name, status=verdict.status, why=verdict.why, bytes=request.read))

    async def _heard(self, request: "_Incoming") -> tuple[Hook | None, Verdict]:
        """Whose notice came, and what becomes of it."""
        hook: Hook | None = None
        try:
            with anyio.move_on_after(self._bounds.seconds):
                asked = await request.head()
                path = asked.target.decode("latin-1").partition("?")[0]
                hook = next((one for one in self._hooks if one.is_at(path)), None)
                if hook is None:
                    return None, _ELSEWHERE
                return hook, await self._judged(hook, asked, request)
        except h11.RemoteProtocolError:
            return hook, _BROKEN
        return hook, _LATE

    async def _judged(self, hook: Hook, asked: h11.Request, request: "_Incoming") -> Verdict:
        if asked.method != b"POST":
            return _NOT_POSTED
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in asked.headers]
        refusal = hook.refusal(headers)
        if refusal is not None:
            return refusal
        length = dict(headers).get("content-length", "0")  # h11 has seen to it that it is a number, and one
        if len(length) > 12 or int(length) > hook.most_bytes:
            return _TOO_LONG
        body = await request.body(most=hook.most_bytes)
        if body is None:
            return _TOO_LONG
        verdict = hook.judged(headers, body)
        if verdict.remote_id is not None and not self._offer(verdict.remote_id):
            return _NO_ROOM
        if verdict.status < 300:
            hook.passed_on(headers)
        return verdict


class _Incoming:
    """A connection as one request and its answer."""

    def __init__(self, stream: ByteStream, *, head_bytes: int) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=head_bytes)
        self._is_whole = False
        self.read = 0
        """Bytes of the body that have come."""

    async def head(self) -> h11.Request:
        """The request without its body.

        Raises:
            h11.RemoteProtocolError: it is none.
            EndOfStream: the other end is gone.
        """
        event = await self._next()
        if isinstance(event, h11.Request):
            return event
        raise anyio.EndOfStream

    async def body(self, *, most: int) -> bytes | None:
        """The request's body; None if it is longer than it may be."""
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        pieces = bytearray()
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                self.read += len(event.data)
                if self.read > most:
                    return None
                pieces += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._is_whole = True
                return bytes(pieces)
            else:
                raise anyio.EndOfStream

    async def answer(self, status: int) -> None:
        """Answer without a body, and hang up."""
        empty = [] if status == 204 else [("content-length", "0")]
        allow = [("allow", "POST")] if status == 405 else []
        await self._send(h11.Response(status_code=status, headers=[*empty, *allow, ("connection", "close")]))
        await self._send(h11.EndOfMessage())
        if self._is_whole:
            return
        # what is closed with bytes unread is reset, and takes the answer with it
        await self._stream.send_eof()
        for _ in range(16):
            await self._stream.receive(_PIECE)

    async def _next(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            try:
                self._http.receive_data(await self._stream.receive(_PIECE))
            except anyio.EndOfStream:
                self._http.receive_data(b"")
        return event

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.send(data)
