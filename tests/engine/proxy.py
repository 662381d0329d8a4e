"""A tiny proxy on loopback: tunnels for https, whole addresses for http, a password if it is told one."""

import asyncio
from base64 import b64encode
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Notes the first line of each request that comes, and its credentials."""

    def __init__(self, password):
        self.asked = []
        self.url = ""
        self._wanted = f"Basic {b64encode(f'user:{password}'.encode()).decode()}" if password else None
        self._open = set()

    async def serve(self, reader, writer):
        """One connection: to be refused, or carried on to where it wants to go."""
        self._open.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._carry(reader, writer)
        writer.close()
        self._open.discard(asyncio.current_task())

    async def hang_up(self):
        """Close what is open still."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _carry(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        self.asked.append(line)
        method, target, _ = line.split(" ")
        told = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        if self._wanted is not None and told.get("proxy-authorization") != self._wanted:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        where = urlsplit(f"//{target}" if method == "CONNECT" else target)
        far_reader, far_writer = await asyncio.open_connection(where.hostname, where.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            far_writer.write(head.replace(target.encode(), where.path.encode(), 1))
        try:
            await asyncio.gather(_copied(reader, far_writer), _copied(far_reader, writer))
        finally:
            far_writer.close()


async def _copied(reader, writer):
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy(password=None):
    """The proxy, listening while inside."""
    served = Proxy(password)
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        listening.close()
        await served.hang_up()
