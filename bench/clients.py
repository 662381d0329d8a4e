"""HTTP clients at their barest: each opens a pool for one address and gives a function that posts to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

# ruff: noqa: PLC0415  # a client's memory counts for it alone, and the others need not be installed

Answer = tuple[int, bytes | memoryview]
Ask = Callable[[bytes], Awaitable[Answer]]
"""Posts a body and gives status and body of the answer."""

_HEADERS: Final = {"Content-Type": "application/json", "Authorization": "Bearer bench"}


@asynccontextmanager
async def wreq(url: str, _at_once: int) -> AsyncIterator[Ask]:
    """The engine's pool: Rust, on threads of its own."""
    from wreq import Client
    from wreq.runtime import Runtime

    client = Client(headers=_HEADERS, no_proxy=True, http1_only=True, runtime=Runtime(workers=1))

    async def ask(body: bytes) -> Answer:
        response = await client.post(url, body=body)
        return response.status.as_int(), await response.bytes()

    yield ask
    client.close()


@asynccontextmanager
async def pyreqwest(url: str, _at_once: int) -> AsyncIterator[Ask]:
    """By pyreqwest's own API: reqwest, on a thread of its own."""
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().no_proxy().default_headers(_HEADERS).build() as client:

        async def ask(body: bytes) -> Answer:
            response = await client.post(url).body_bytes(body).build().send()
            return response.status, memoryview(await response.bytes())

        yield ask
    await asyncio.sleep(0.05)  # its thread winds up; Python before 3.14 aborts if it needs the GIL at the end


@asynccontextmanager
async def aiohttp(url: str, at_once: int) -> AsyncIterator[Ask]:
    """The package aiohttp, with as many connections as calls in flight."""
    import aiohttp as package

    connector = package.TCPConnector(limit=at_once)
    async with package.ClientSession(connector=connector, headers=_HEADERS) as client:

        async def ask(body: bytes) -> Answer:
            async with client.post(url, data=body) as response:
                return response.status, await response.read()

        yield ask


@asynccontextmanager
async def httpx_aiohttp(url: str, at_once: int) -> AsyncIterator[Ask]:
    """The package aiohttp behind httpx's transport class, called without httpx's client."""
    import aiohttp as package
    import httpx as shape
    from httpx_aiohttp import AiohttpTransport

    session = package.ClientSession(connector=package.TCPConnector(limit=at_once))
    async with AiohttpTransport(client=session) as transport:

        async def ask(body: bytes) -> Answer:
            request = shape.Request("POST", url, headers=_HEADERS, content=body)
            response = await transport.handle_async_request(request)
            try:
                return response.status_code, await response.aread()
            finally:
                await response.aclose()

        yield ask


@asynccontextmanager
async def httpx(url: str, at_once: int) -> AsyncIterator[Ask]:
    """The package httpx with its own pool, with as many connections as calls in flight."""
    import httpx as package

    limits = package.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with package.AsyncClient(limits=limits, headers=_HEADERS, timeout=600, trust_env=False) as client:

        async def ask(body: bytes) -> Answer:
            response = await client.post(url, content=body)
            return response.status_code, response.content

        yield ask


@asynccontextmanager
async def httpx2(url: str, at_once: int) -> AsyncIterator[Ask]:
    """The maintained fork of httpx, likewise."""
    import httpx2 as package

    limits = package.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with package.AsyncClient(limits=limits, headers=_HEADERS, timeout=600, trust_env=False) as client:

        async def ask(body: bytes) -> Answer:
            response = await client.post(url, content=body)
            return response.status_code, response.content

        yield ask


@asynccontextmanager
async def curl_cffi(url: str, at_once: int) -> AsyncIterator[Ask]:
    """The multi interface of libcurl, with as many handles as calls in flight."""
    from curl_cffi import AsyncSession

    async with AsyncSession(headers=_HEADERS, max_clients=at_once, trust_env=False) as client:

        async def ask(body: bytes) -> Answer:
            response = await client.post(url, data=body)
            return response.status_code, response.content

        yield ask


@asynccontextmanager
async def niquests(url: str, at_once: int) -> AsyncIterator[Ask]:
    """The library requests, kept up and made asynchronous."""
    import niquests as package

    async with package.AsyncSession(pool_maxsize=at_once) as client:
        client.trust_env = False

        async def ask(body: bytes) -> Answer:
            response = await client.post(url, data=body, headers=_HEADERS)
            return response.status_code or 0, response.content or b""

        yield ask


@asynccontextmanager
async def primp(url: str, _at_once: int) -> AsyncIterator[Ask]:
    """A relative of wreq's, with reads of its own kind."""
    from primp import AsyncClient

    client = AsyncClient(headers=_HEADERS)

    async def ask(body: bytes) -> Answer:
        response = await client.post(url, content=body)
        return response.status_code, await response.aread()

    yield ask


CLIENTS: Final[dict[str, Callable[[str, int], AbstractAsyncContextManager[Ask]]]] = {
    "wreq": wreq,
    "pyreqwest": pyreqwest,
    "aiohttp": aiohttp,
    "httpx-aiohttp": httpx_aiohttp,
    "curl_cffi": curl_cffi,
    "primp": primp,
    "niquests": niquests,
    "httpx2": httpx2,
    "httpx": httpx,
}
