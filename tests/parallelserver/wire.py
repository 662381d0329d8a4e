"""HTTP/1.1 over asyncio's streams: whole requests, answers, event streams, and every way to break off."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, cast
from urllib.parse import parse_qsl

import orjson

_HEAD_MAX: Final = 65_536
_BODY_MAX: Final = 1 << 26
_RST: Final = struct.pack("ii", 1, 0)  # linger on, for no time: closing resets
_PHRASES: Final = {member.value: member.phrase for member in HTTPStatus}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One whole request; names of headers are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the client wants the connection closed after the answer."""
        return self.headers.get("connection", "").lower() == "close"


class NotHttp(ValueError):
    """Bytes that cannot become a request."""


class Gone(Exception):
    """The client has left, or the connection was broken on purpose."""


class Client:
    """One client's connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_busy = False
        """Whether a request of it is being answered."""

    @property
    def left(self) -> bool:
        """Whether the client has gone, or the connection is closed."""
        return self._writer.is_closing() or self._reader.at_eof() or self._reader.exception() is not None

    async def request(self) -> Request | None:
        """The next request, or None when the client has left.

        Raises:
            NotHttp: What came is no request.
        """
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            return await self._whole(head)
        except (asyncio.IncompleteReadError, OSError):
            return None
        except asyncio.LimitOverrunError:
            raise NotHttp("the head is too long") from None

    async def _whole(self, head: bytes) -> Request:
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise NotHttp("the first line is not that of an HTTP/1 request")
        named = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in named}
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = await self._chunks()
        else:
            body = await self._reader.readexactly(_size(headers.get("content-length", "0"), 10))
        path, _, query = parts[1].partition("?")
        told = dict(parse_qsl(query, keep_blank_values=True))
        return Request(method=parts[0], path=path, query=told, headers=headers, body=body)

    async def _chunks(self) -> bytes:
        body = bytearray()
        while size := _size((await self._reader.readline()).split(b";")[0].decode("latin-1").strip(), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readuntil(b"\r\n")  # trailers are not spoken here
        return bytes(body)

    async def send(
        self, status: int, body: bytes, *, kind: str = "application/json", more: str = "", whole: bool = True
    ) -> None:
        """Send an answer; more is further header lines, each with its end.

        Raises:
            Gone: The client left first.
        """
        await self._write(
            _head(status, f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}") + body
        )
        if not whole:
            raise Gone

    async def open_stream(self) -> None:
        """Begin an event stream."""
        lines = "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
        await self._write(_head(200, f"{lines}Transfer-Encoding: chunked\r\n"))

    async def event(self, kind: str, told: object) -> None:
        """Send one event."""
        await self._chunk(_event(kind, told))

    async def comment(self) -> None:
        """Send what no client should take for an event."""
        await self._chunk(b": ping\n\n")

    async def half_event(self, kind: str, told: object) -> None:
        """Send what could have become an event."""
        event = _event(kind, told)
        await self._chunk(event[: len(event) // 2])

    async def end_stream(self) -> None:
        """End an event stream in good order."""
        await self._write(b"0\r\n\r\n")

    async def _chunk(self, data: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(data), data))

    async def _write(self, data: bytes) -> None:
        if self.left:
            raise Gone
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError:
            raise Gone from None

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Whether the event came within so many seconds.

        Raises:
            Gone: The client left while it was waited for.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not event.is_set():
            left = end - loop.time()
            if left <= 0:
                return False
            try:
                await asyncio.wait_for(event.wait(), min(left, 1.0))
            except TimeoutError:
                if self.left:
                    raise Gone from None
        return True

    async def pause(self, seconds: float) -> None:
        """Wait, as long as there is somebody to wait for."""
        if seconds > 0:
            await self.wait(asyncio.Event(), seconds)

    def close(self) -> None:
        """End the connection in order."""
        self._writer.close()

    def reset(self) -> None:
        """Break the connection."""
        if not self._writer.is_closing():
            wire = cast("socket.socket", self._writer.get_extra_info("socket"))
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            self._writer.transport.abort()


def _event(kind: str, told: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(told))


def _head(status: int, lines: str) -> bytes:
    phrase = _PHRASES.get(status, "Unknown")
    return f"HTTP/1.1 {status} {phrase}\r\nDate: {formatdate(usegmt=True)}\r\n{lines}\r\n".encode("latin-1")


def _size(told: str, base: int) -> int:
    try:
        size = int(told, base)
    except ValueError:
        raise NotHttp("a length is not a number") from None
    if not 0 <= size <= _BODY_MAX:
        raise NotHttp("a length is too great")
    return size


HEAD_MAX: Final = _HEAD_MAX
"""Bytes that a request's head may have."""
