"""HTTP/1.1 by hand: whole requests out of bytes, answers into a socket, and whether they got there."""

import asyncio
import re
import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, cast

_HEADERS: Final = re.compile(
    rb"\r\n(content-length|transfer-encoding|content-encoding|connection|expect|authorization|x-row-id)"
    rb"[ \t]*:[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)
_LONGEST_HEAD: Final = 65_536
_LONGEST_BODY: Final = 1 << 28
_RST: Final = struct.pack("ii", 1, 0)  # linger on, for no time: closing resets


class Request(NamedTuple):
    """One whole request; header values are stripped, absent ones empty."""

    method: str
    target: str
    authorization: str
    row_id: str
    encoding: str
    closing: bool
    body: bytes


class NotHttp(ValueError):
    """Bytes that cannot become a request."""


class More(NamedTuple):
    """The request is not whole: how many bytes it must have at least, and whether it waits for a 100."""

    wanted: int
    expects: bool


def read(data: bytes | bytearray) -> tuple[Request, int] | More:
    """The request that the data begins with, and its length in bytes.

    Raises:
        NotHttp: Whatever follows, this will never be a request.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > _LONGEST_HEAD:
            raise NotHttp("the head is too long")
        return More(len(data) + 1, expects=False)
    start = data.find(b"\r\n")
    line = data[:start].split(b" ")
    if len(line) != 3 or not line[2].startswith(b"HTTP/1."):
        raise NotHttp("the first line is not that of an HTTP/1 request")
    told = {bytes(name).lower(): bytes(value).strip() for name, value in _HEADERS.findall(data, start, end)}
    expects = b"100-continue" in told.get(b"expect", b"").lower()
    if b"chunked" in told.get(b"transfer-encoding", b"").lower():
        whole = _unchunked(data, end + 4)
        if whole is None:
            return More(len(data) + 1, expects=expects)
        body, total = whole
    else:
        total = end + 4 + _length(told.get(b"content-length", b"0"))
        if len(data) < total:
            return More(total, expects=expects)
        body = bytes(data[end + 4 : total])
    request = Request(
        method=line[0].decode("latin-1"),
        target=line[1].decode("latin-1"),
        authorization=told.get(b"authorization", b"").decode("latin-1"),
        row_id=told.get(b"x-row-id", b"").decode("latin-1"),
        encoding=told.get(b"content-encoding", b"").decode("latin-1"),
        closing=line[2] == b"HTTP/1.0" or b"close" in told.get(b"connection", b"").lower(),
        body=body,
    )
    return request, total


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 12 or int(value) > _LONGEST_BODY:
        raise NotHttp("the length is no number, or too great a one")
    return int(value)


def _unchunked(data: bytes | bytearray, begin: int) -> tuple[bytes, int] | None:
    body, at = bytearray(), begin
    while (line := data.find(b"\r\n", at)) >= 0:
        try:
            size = int(data[at:line].split(b";")[0], 16)
        except ValueError:
            raise NotHttp("a chunk's size is not a number") from None
        after = line + 2 + size
        if len(data) < after + 2:
            return None
        if not size:  # trailers are not spoken here
            return bytes(body), after + 2
        body += data[line + 2 : after]
        at = after + 2
    return None


class Answered(Protocol):
    """Who wants to know what became of an answer."""

    def delivered(self) -> None:
        """Every byte went into the socket of a client that was still there."""

    def lost(self) -> None:
        """The client went away first."""


class Connection(asyncio.Protocol):
    """One client's connection. It gives one whole request at a time and waits until that one is answered."""

    __slots__ = (
        "_answer",
        "_answering",
        "_blocked",
        "_closing",
        "_live",
        "_serving",
        "_transport",
        "_unread",
        "_unsent",
        "_wanted",
        "gone",
    )

    def __init__(self, answer: Callable[["Connection", Request], None], live: "set[Connection]") -> None:
        self._answer = answer
        self._live = live
        self._transport: asyncio.Transport
        self._unread = bytearray()
        self._wanted = 0
        self._answering = self._serving = self._closing = self._blocked = False
        self._unsent: Answered | None = None
        self.gone: Callable[[], None] | None = None  # called once if the client leaves while this is set

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)  # so that a pause means: not yet all in the socket
        self._live.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or we closed."""
        self._live.discard(self)
        self._unread.clear()
        unsent, self._unsent = self._unsent, None
        if unsent is not None:
            unsent.lost()
        gone, self.gone = self.gone, None
        if gone is not None:
            gone()

    def pause_writing(self) -> None:
        """Some bytes are still with us."""
        self._blocked = True

    def resume_writing(self) -> None:
        """All bytes are in the socket."""
        self._blocked = False
        unsent, self._unsent = self._unsent, None
        if unsent is not None:
            unsent.delivered()
            self._next()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if not self._unread and not self._answering:
            self._serve(data)
            return
        self._unread += data
        if not self._answering and len(self._unread) >= self._wanted:
            self._serve(self._unread)

    def _serve(self, data: bytes | bytearray) -> None:
        self._serving = True
        more = self._serve_first(data)
        while more and self._unread and not self._answering:  # answered at once, and the next may be here
            more = self._serve_first(self._unread)
        self._serving = False

    def _serve_first(self, data: bytes | bytearray) -> bool:
        try:
            found = read(data)
        except NotHttp as error:
            self._unread.clear()
            text = str(error).encode()
            self.close(
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
                % (len(text), text)
            )
            return False
        if isinstance(found, More):
            if data is not self._unread:
                self._unread += data
            if found.expects and not self._wanted:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._wanted = found.wanted
            return False
        request, length = found
        self._wanted = 0
        if data is self._unread:
            del self._unread[:length]
        elif length < len(data):
            self._unread += data[length:]
        self._answering, self._closing = True, request.closing
        self._answer(self, request)
        return not self._transport.is_closing()

    def _next(self) -> None:
        self._answering = False
        if self._closing:
            self._transport.close()
        elif self._unread and not self._serving:
            self._serve(self._unread)

    @property
    def left(self) -> bool:
        """Whether the client has gone."""
        return self._transport.is_closing()

    def piece(self, data: bytes) -> None:
        """Send a part of an answer."""
        self._transport.write(data)

    def send(self, data: bytes, answered: Answered) -> None:
        """Send the answer, or the last of it, and say what became of it."""
        transport = self._transport
        if transport.is_closing():
            answered.lost()
            return
        transport.write(data)
        if transport.is_closing():
            answered.lost()
        elif self._blocked:
            self._unsent = answered
        else:
            answered.delivered()
            self._next()

    def close(self, data: bytes = b"") -> None:
        """Send this and end the connection in order."""
        if not self._transport.is_closing():
            self._transport.write(data)
            self._transport.close()

    def reset(self, data: bytes = b"") -> None:
        """Send this and break the connection."""
        if self._transport.is_closing():
            return
        self._transport.write(data)
        wire = cast("socket.socket", self._transport.get_extra_info("socket"))
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        self._transport.abort()
