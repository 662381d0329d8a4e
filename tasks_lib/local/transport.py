"""Requests to `rowmill.local` go to whichever local server is free, one at a time to each."""

from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import anyio
import httpx

from tasks_lib.local.servers import LocalServers

LOCAL_HOST: Final = "rowmill.local"
LOCAL_BASE_URL: Final = f"http://{LOCAL_HOST}/v1"


class LocalTransport(httpx.AsyncBaseTransport):
    """Another transport, plus the host `rowmill.local`, where requests wait, first come, first served.

    An answer is read to its end before its server gets the next request. A server that no longer accepts
    connections is not asked again; when none is left every request to the host fails with httpx.ConnectError.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, servers: LocalServers) -> None:
        self._inner = inner
        self._key = servers.key
        self._alive = len(servers.urls)
        self._put_back, self._free = anyio.create_memory_object_stream[httpx.URL](len(servers.urls))
        for url in servers.urls:
            self._put_back.send_nowait(httpx.URL(url))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of a local server, read to its end, or of the other transport for any other host."""
        if request.url.host != LOCAL_HOST:
            return await self._inner.handle_async_request(request)
        server = await self._free_server(request)
        try:
            response = await self._inner.handle_async_request(self._addressed_to(server, request))
            await response.aread()
        except httpx.ConnectError:
            self._retire()
            raise
        except BaseException:
            self._give_back(server)
            raise
        self._give_back(server)
        return response

    async def aclose(self) -> None:
        """Close the other transport too; the servers are their context manager's to end."""
        self._put_back.close()
        self._free.close()
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._put_back.close()
        self._free.close()
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    async def _free_server(self, request: httpx.Request) -> httpx.URL:
        try:
            return await self._free.receive()
        except anyio.EndOfStream:
            raise httpx.ConnectError("every local model server has ended", request=request) from None

    def _give_back(self, server: httpx.URL) -> None:
        # Closed already when a request is cancelled by the end of everything: then nobody waits for it.
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._put_back.send_nowait(server)

    def _retire(self) -> None:
        self._alive -= 1
        if not self._alive:
            self._put_back.close()  # which wakes all who wait

    def _addressed_to(self, server: httpx.URL, request: httpx.Request) -> httpx.Request:
        headers = request.headers.copy()
        headers["host"] = server.netloc.decode("ascii")
        headers["authorization"] = f"Bearer {self._key}"
        url = request.url.copy_with(scheme=server.scheme, host=server.host, port=server.port)
        return httpx.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=request.extensions
        )
