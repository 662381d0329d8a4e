"""HTTP/1.1 for servers whose answers take time: whole requests, and answers that may break on purpose."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, NamedTuple, cast
from urllib.parse import parse_qsl, unquote

import orjson

from tests.llmserver.heads import head
from tests.llmserver.protocol import More, NotHttp, read

Ending = Literal["whole", "cut", "half", "half_reset", "garbage"]
"""How an answer goes out: whole, or broken on purpose."""
_RST: Final = struct.pack("ii", 1, 0)  # linger on, for no time: closing resets


class Request(NamedTuple):
    """One whole request; names of headers are in small letters, settings those of the base URL (`/c/...`)."""

    method: str
    path: str
    settings: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    """An answer. Heard is told once whether every byte of it went to a client that was still there."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    ending: Ending = "whole"
    heard: Callable[[bool], None] | None = None


Answer = Callable[[Request], Awaitable[Reply]]


def said(status: int, told: object, *headers: tuple[str, str]) -> Reply:
    """An answer in JSON."""
    return Reply(status, orjson.dumps(told), headers=headers)


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """Answer one client's requests, one after the other, until it leaves or an answer breaks."""
    unread = bytearray()
    try:
        while (found := await _next(reader, writer, unread)) is not None:
            request, closing = found
            reply = await answer(request)
            if not await _delivered(reader, writer, reply) or closing:
                return
    except ConnectionError:
        return
    except NotHttp as wrong:
        text = str(wrong).encode()
        writer.write(head(400, len(text), more="Connection: close\r\n", kind="text/plain") + text)
    finally:
        writer.close()


async def _next(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unread: bytearray
) -> tuple[Request, bool] | None:
    """The next request, and whether the client wants the connection closed after it."""
    wanted, awaited = 1, False
    while True:
        while len(unread) < wanted:
            piece = await reader.read(1 << 18)
            if not piece:
                return None
            unread += piece
        found = read(unread)
        if not isinstance(found, More):
            break
        wanted = found.wanted
        if found.expects and not awaited:
            awaited = True
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    plain, length = found
    lines = bytes(unread[: unread.find(b"\r\n\r\n")]).decode("latin-1").split("\r\n")[1:]
    del unread[:length]
    named = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in named}
    path, _, query = plain.target.partition("?")
    settings = ""
    if path.startswith("/c/"):
        settings, _, path = path[3:].partition("/")
        path = f"/{path}"
    asked = dict(parse_qsl(query, keep_blank_values=True))
    return Request(plain.method, path, unquote(settings), asked, headers, plain.body), plain.closing


async def _delivered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Send it, say what became of it, and tell whether the conversation may go on."""
    there = not (reader.at_eof() or writer.is_closing())
    more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
    heading = head(reply.status, len(reply.body), more=more, kind=reply.kind)
    half = reply.body[: len(reply.body) // 2]
    if there:
        match reply.ending:
            case "whole":
                writer.write(heading + reply.body)
            case "cut":
                _reset(writer)
            case "half":
                writer.write(heading + half)
            case "half_reset":
                writer.write(heading + half)
                _reset(writer)
            case "garbage":
                writer.write(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
    try:
        if there and reply.ending in {"whole", "half", "garbage"}:
            await writer.drain()
    except ConnectionError:
        there = False
    if reply.heard is not None:
        reply.heard(there)
    return there and reply.ending == "whole"


def _reset(writer: asyncio.StreamWriter) -> None:
    end = cast("socket.socket", writer.get_extra_info("socket"))
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()
