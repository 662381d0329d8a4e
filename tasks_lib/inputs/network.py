"""One request for what a URL names: what it takes and gives, whichever connections it goes over."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, cast

import anyio
import httpx

from tasks_lib.inputs.hosts import MayAsk

AT_ONCE: Final = 16  # requests of one process


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
    from tasks_lib.inputs.pinned import open_pinned  # noqa: PLC0415 - 70 ms that most commands need not take

    async with open_pinned(resolve, may_ask) as network:
        yield network
