"""A tiny server on loopback that treats each call as the path says."""

import asyncio
import gzip
from contextlib import asynccontextmanager, suppress

import orjson

_JSON = b"content-type: application/json\r\n"


class Loopback:
    """Counts connections and calls; `lost` tells that the caller of a slow answer hung up."""

    def __init__(self):
        self.connections = 0
        self.calls = []
        self.called = asyncio.Event()
        self.many = asyncio.Event()  # a hundred calls came
        self.lost = asyncio.Event()
        self.url = ""
        self.protocol = None  # that was agreed upon over TLS, last
        self._open = {}

    async def serve(self, reader, writer):
        """One connection, for as many calls as come over it."""
        self.connections += 1
        secured = writer.get_extra_info("ssl_object")
        self.protocol = secured.selected_alpn_protocol() if secured else None
        self._open[asyncio.current_task()] = writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        del self._open[asyncio.current_task()]

    async def hang_up(self):
        """Close what is open still."""
        for writer in self._open.values():
            writer.transport.abort()
        if self._open:
            await asyncio.wait(self._open)

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = line.split(" ")
        self.calls.append(path)
        self.called.set()
        if len(self.calls) == 100:
            self.many.set()
        path = path.strip("/")
        if path == "echo":
            told = {"method": method, "headers": headers, "body": body.decode()}
            writer.write(_whole(orjson.dumps(told), _JSON))
        else:
            writer.write(_SAID[path])
        await writer.drain()
        if path in {"reset", "reset-in-body"}:
            writer.transport.abort()
        if path in {"slow", "slow-body"}:
            await reader.read(1)  # gives nothing until the caller hangs up
            self.lost.set()
        return path in _GOES_ON


def _whole(body, headers=b"", *, status=b"200 OK"):
    length = b"content-length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + headers + length + b"\r\n" + body


_HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"
_SAID = {
    "gzip": _whole(gzip.compress(b'{"big":true}'), _JSON + b"content-encoding: gzip\r\n"),
    "bad-gzip": _whole(b"no gzip", _JSON + b"content-encoding: gzip\r\n"),
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "latin-1": _whole(b"{}", b"x-request-id: caf\xe9\r\nx-other: 1\r\n"),
    "redirect": _whole(b"", b"location: /echo\r\n", status=b"307 Temporary Redirect"),
    "busy": _whole(b"{}", b"retry-after: 2\r\n", status=b"429 Too Many Requests"),
    "hang-up": _whole(b"{}"),  # and the connection is closed without a word
    "reset": b"",
    "silent": b"",
    "reset-in-body": _HALF,
    "cut-short": _HALF,
    "*": b"",  # the preface of HTTP/2, which may be agreed upon, but is not spoken here
    "no-http": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "slow": b"",
    "slow-body": _HALF,
}
_GOES_ON = {"echo", "gzip", "bad-gzip", "chunked", "latin-1", "redirect", "busy"}


@asynccontextmanager
async def loopback(tls=None):
    """The server, listening while inside; over TLS if it is given a context."""
    server = Loopback()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "http" if tls is None else "https"
    server.url = f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await server.hang_up()
