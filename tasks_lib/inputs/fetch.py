"""Fetches what a URL of a row names, from the hosts that the job allows and from no private address.

A name is looked up once, all its addresses are checked, and the connection goes to one of these: a name that
leads elsewhere a moment later leads nobody astray. Every redirect is checked like the first URL. No proxy is
used, since one would look the name up again by itself.
"""

import ssl
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Final, Protocol

import anyio
import certifi
import httpcore
import httpx
from anyio import to_thread

from tasks_lib.inputs.hosts import Hosts, bare_url, checked_addresses
from tasks_lib.inputs.unusable import Unusable

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_AT_ONCE: Final = 16  # requests of one process
_WAITS: Final = (0.5, 2.0)  # seconds before the second and the third try
_AS_GZIP: Final = 47  # zlib's word for gzip or zlib, whichever comes


class Resolve(Protocol):
    """Looks a name up."""

    async def __call__(self, host: str, port: int) -> Iterable[str]:
        """Its addresses.

        Raises:
            OSError: it has none.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a request may take, in seconds."""

    connect: float = 10.0
    silence: float = 20.0  # between two bytes
    total: float = 60.0  # redirects and slow bodies included


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came from a URL."""

    url: str  # it came from in the end, without login, query and fragment
    name: str  # the last part of the path
    content: bytes
    content_type: str | None  # as the server has it, without parameters, in lower case
    encoding: str | None  # as the server has it


class _Passing(Exception):
    """A failure that may be over a moment later."""


async def resolved(host: str, port: int) -> Iterable[str]:
    """The addresses that the system gives for a name."""
    found = await anyio.getaddrinfo(host, port, type=1)  # streams
    return [str(address[0]) for *_, address in found]


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to no name."""

    def __init__(self, resolve: Resolve, *, allow_private: bool) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
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
            raise Unusable(f"the host {host} cannot have that name") from error
        failed: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in checked_addresses(host, found, allow_private=self._allow_private)[:4]:
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


class Fetcher:
    """Asks hosts for what rows name; a few requests at once."""

    def __init__(
        self,
        pool: httpcore.AsyncConnectionPool,
        hosts: Hosts,
        *,
        patience: Patience,
        waits: tuple[float, ...],
    ) -> None:
        self._pool = pool
        self._hosts = hosts
        self._patience = patience
        self._waits = waits
        self._places = anyio.CapacityLimiter(_AT_ONCE)

    def checked(self, url: str) -> httpx.URL:
        """The URL, if it may be asked for; see `Hosts.checked`."""
        return self._hosts.checked(url)

    async def get(self, url: str, *, most: int) -> Fetched:
        """What a URL names, of at most so many bytes.

        Raises:
            Refused: the job does not allow it.
            Unusable: it was not to be had.
        """
        first = self._hosts.checked(url)
        for wait in (*self._waits, None):
            try:
                async with self._places:
                    with anyio.fail_after(self._patience.total):
                        return await self._followed(first, most=most)
            except TimeoutError as error:
                if wait is None:
                    raise Unusable(
                        f"{bare_url(first)} did not answer whole within {self._patience.total:g} seconds"
                    ) from error
            except _Passing as passing:
                if wait is None:
                    raise Unusable(str(passing)) from passing
            await anyio.sleep(wait)
        raise AssertionError("the last try gives or raises")

    async def _followed(self, url: httpx.URL, *, most: int) -> Fetched:
        for _ in range(_MOST_REDIRECTS + 1):
            came = await self._asked(url, most=most)
            if isinstance(came, Fetched):
                return came
            url = self._hosts.checked(str(came))
        raise Unusable(f"{bare_url(url)}: more than {_MOST_REDIRECTS} redirects")

    async def _asked(self, url: httpx.URL, *, most: int) -> Fetched | httpx.URL:
        """What came, or where it is said to be."""
        patience = self._patience
        try:
            async with self._pool.stream(
                "GET",
                httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path or b"/"
                ),
                headers=[
                    (b"host", url.netloc),
                    (b"accept", b"*/*"),
                    (b"accept-encoding", b"gzip"),
                    (b"user-agent", f"rowmill/{version('rowmill')}".encode()),
                ],
                extensions={
                    "timeout": {
                        "connect": patience.connect,
                        "read": patience.silence,
                        "write": patience.silence,
                        "pool": None,
                    }
                },
            ) as response:
                headers = {
                    name.decode("ascii", "replace").lower(): value.decode("latin-1")
                    for name, value in response.headers
                }
                if response.status in _REDIRECTS and "location" in headers:
                    return _joined(url, headers["location"])
                _prove_ok(url, response.status)
                content = await _body(response.aiter_stream(), headers, url, most=most)
        except httpcore.UnsupportedProtocol as error:
            raise Unusable(f"{bare_url(url)} cannot be asked for") from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            reason = str(error) or type(error).__name__
            raise _Passing(f"{bare_url(url)} was not to be had ({reason[:200]})") from error
        kind, _, parameters = headers.get("content-type", "").partition(";")
        return Fetched(
            url=bare_url(url),
            name=url.path.rstrip("/").rpartition("/")[2],
            content=content,
            content_type=kind.strip().lower() or None,
            encoding=_charset(parameters),
        )


@asynccontextmanager
async def open_fetcher(
    hosts: Hosts,
    *,
    allow_private: bool = False,
    patience: Patience | None = None,
    waits: tuple[float, ...] = _WAITS,
    resolve: Resolve = resolved,
) -> AsyncIterator[Fetcher]:
    """A fetcher, whose connections are closed on the way out."""
    async with httpcore.AsyncConnectionPool(
        ssl_context=await to_thread.run_sync(_trusting),
        max_connections=_AT_ONCE,
        max_keepalive_connections=_AT_ONCE,
        keepalive_expiry=15.0,
        network_backend=_Guarded(resolve, allow_private=allow_private),
    ) as pool:
        yield Fetcher(pool, hosts, patience=patience or Patience(), waits=waits)


@cache
def _trusting() -> ssl.SSLContext:
    """Trusts what the system trusts, and what browsers do, since a container often trusts nobody."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise Unusable(f"{bare_url(url)} leads to what is no URL") from error


def _prove_ok(url: httpx.URL, status: int) -> None:
    if status in _AGAIN:
        raise _Passing(f"{bare_url(url)} answered with status {status}")
    if status != 200:
        raise Unusable(f"{bare_url(url)} answered with status {status}")


async def _body(
    pieces: AsyncIterator[bytes], headers: Mapping[str, str], url: httpx.URL, *, most: int
) -> bytes:
    """The body, unpacked, as long as it is no longer than it may be."""
    too_long = Unusable(f"{bare_url(url)} has more than {most:,} bytes (max_file_bytes)")
    told = headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise too_long
    packing = headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise Unusable(f"{bare_url(url)} came packed in a way that was not asked for")
    unpack = zlib.decompressobj(_AS_GZIP) if packing not in ("identity", "") else None
    content = bytearray()
    async for piece in pieces:
        try:
            content += piece if unpack is None else unpack.decompress(piece, most + 1 - len(content))
        except zlib.error as error:
            raise Unusable(f"{bare_url(url)} came packed, and cannot be unpacked") from error
        if len(content) > most:
            raise too_long
    if unpack is not None and not unpack.eof:
        raise _Passing(f"{bare_url(url)} came cut short")
    return bytes(content)


def _charset(parameters: str) -> str | None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').strip() or None
    return None
