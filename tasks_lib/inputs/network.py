"""One request for what a URL names, over connections that lead to checked addresses.

A name is looked up once, all its addresses are checked, and the connection goes to one of these: a name that
leads elsewhere a moment later leads nobody astray. No proxy is used, since one would look the name up again.
"""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol, cast

import anyio
import certifi
import httpcore
import httpx
from anyio import to_thread

from tasks_lib.inputs.hosts import MayAsk, checked_addresses
from tasks_lib.inputs.unusable import Unusable

AT_ONCE: Final = 16  # requests of one process
_TRIED_ADDRESSES: Final = 4


class Lost(Exception):
    """A connection that was not made or did not last; another may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """The head of a response, and its body piece by piece."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request may take, in seconds."""

    connect: float = 10.0
    silence: float = 20.0  # between two bytes
    total: float = 60.0  # redirects and slow bodies included


class Network(Protocol):
    """Where requests go."""

    def get(
        self, url: httpx.URL, *, headers: Mapping[str, str], patience: Patience
    ) -> AbstractAsyncContextManager[Came]:
        """The response to a request.

        Raises:
            Lost: there is none, or not a whole one.
            Unusable: the host may not be asked.
        """


class Resolve(Protocol):
    """Looks a name up."""

    async def __call__(self, host: str, port: int) -> Iterable[str]:
        """Its addresses.

        Raises:
            OSError: it has none.
        """


async def resolved(host: str, port: int) -> Iterable[str]:
    """The addresses that the system gives for a name."""
    found = await anyio.getaddrinfo(host, port, type=1)  # of streams
    return [str(address[0]) for *_, address in found]


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


class _Over:
    """Somebody else's transport, which stands for every network."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    @asynccontextmanager
    async def get(
        self, url: httpx.URL, *, headers: Mapping[str, str], patience: Patience
    ) -> AsyncIterator[Came]:
        del patience  # the transport's own holds, and the total is kept by who asks
        try:
            response = await self._transport.handle_async_request(
                httpx.Request("GET", url, headers=dict(headers))
            )
            try:
                yield Came(
                    status=response.status_code,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    pieces=aiter(cast("httpx.AsyncByteStream", response.stream)),
                )
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise Lost(str(error)[:200] or type(error).__name__) from error


@asynccontextmanager
async def open_network(
    *,
    may_ask: MayAsk,
    transport: httpx.AsyncBaseTransport | None = None,
    resolve: Resolve = resolved,
) -> AsyncIterator[Network]:
    """Connections, which are closed on the way out; or a transport that stands for them."""
    if transport is not None:
        yield _Over(transport)
        return
    async with httpcore.AsyncConnectionPool(
        ssl_context=await to_thread.run_sync(_trusting),
        max_connections=AT_ONCE,
        max_keepalive_connections=AT_ONCE,
        keepalive_expiry=15.0,
        network_backend=_Guarded(resolve, may_ask),
    ) as pool:
        yield _Pinned(pool)


@cache
def _trusting() -> ssl.SSLContext:
    """Trusts what the system trusts, and what browsers do, since a container often trusts nobody."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
