"""Connections that lead to checked addresses.

A name is looked up once, all its addresses are checked, and the connection goes to one of these: a name that
leads elsewhere a moment later leads nobody astray. No proxy is used, since one would look the name up again.
"""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

import anyio
import certifi
import httpcore
import httpx
from anyio import to_thread

from tasks_lib.inputs.hosts import MayAsk, checked_addresses
from tasks_lib.inputs.network import AT_ONCE, Came, Lost, Network, Patience, Resolve
from tasks_lib.inputs.unusable import Unusable

_TRIED_ADDRESSES: Final = 4


@asynccontextmanager
async def open_pinned(resolve: Resolve, may_ask: MayAsk) -> AsyncIterator[Network]:
    """Connections to addresses that may be asked, closed on the way out."""
    async with httpcore.AsyncConnectionPool(
        ssl_context=await to_thread.run_sync(_trusting),
        max_connections=AT_ONCE,
        max_keepalive_connections=AT_ONCE,
        keepalive_expiry=15.0,
        network_backend=_Guarded(resolve, may_ask),
    ) as pool:
        yield _Pinned(pool)


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to no name."""

    def __init__(self, resolve: Resolve, may_ask: MayAsk) -> None:
        self._resolve = resolve
        self._may_ask = may_ask
        self._beneath = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the protocol has it so
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = list(await self._resolve(host, port))
        except OSError as error:
            raise httpcore.ConnectError(f"the host {host} is not known") from error
        except UnicodeError as error:
            raise Unusable(f"no host can be called {host!r}") from error
        failed: httpcore.NetworkError | httpcore.TimeoutException | None = None
        allowed = checked_addresses(host, found, may_ask=self._may_ask)
        for address in allowed[:_TRIED_ADDRESSES]:
            try:
                return await self._beneath.connect_tcp(
                    address, port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        assert failed is not None  # noqa: S101 - there was an address
        raise failed

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class _Pinned:
    """Connections of our own."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def get(
        self, url: httpx.URL, *, headers: Mapping[str, str], patience: Patience
    ) -> AsyncIterator[Came]:
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path or b"/"
        )
        waits = {"connect": patience.connect, "read": patience.silence, "write": patience.silence}
        try:
            async with self._pool.stream(
                "GET",
                target,
                headers=[(b"host", url.netloc), *((n.encode(), v.encode()) for n, v in headers.items())],
                extensions={"timeout": {**waits, "pool": None}},
            ) as response:
                yield Came(
                    status=response.status,
                    headers={
                        name.decode("latin-1").lower(): value.decode("latin-1")
                        for name, value in response.headers
                    },
                    pieces=response.aiter_stream(),
                )
        except (
            httpcore.NetworkError,
            httpcore.TimeoutException,
            httpcore.ProtocolError,
            ssl.SSLError,
        ) as error:
            raise Lost(str(error)[:200] or type(error).__name__) from error


@cache
def _trusting() -> ssl.SSLContext:
    """Trusts what the system trusts, and what browsers do, since a container often trusts nobody."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
