"""Fetches what a URL of a row names, from the hosts that the job allows; redirects are checked, too."""

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import anyio
import httpx

from tasks_lib.inputs.hosts import Hosts, MayAsk, bare_url, is_public
from tasks_lib.inputs.network import AT_ONCE, Came, Lost, Network, Patience, Resolve, open_network, resolved
from tasks_lib.inputs.unusable import Unusable

_MOST_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_WAITS: Final = (0.5, 2.0)  # seconds before the second and the third try
_AS_GZIP: Final = 47  # zlib's word for gzip or zlib, whichever comes
_PLAIN: Final = ("", "identity")
_PACKED: Final = ("gzip", "x-gzip", "deflate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came from a URL."""

    url: str  # it came from in the end, without login, query and fragment
    name: str  # the last part of the path
    content: bytes
    content_type: str | None  # as the server has it, without parameters, in lower case
    encoding: str | None  # as the server has it


class Fetcher:
    """Asks hosts for what rows name; a few requests at once."""

    def __init__(
        self, network: Network, hosts: Hosts, *, patience: Patience, waits: tuple[float, ...]
    ) -> None:
        """Ask these hosts only; `waits` are the seconds before each further try."""
        self._network = network
        self._hosts = hosts
        self._patience = patience
        self._waits = waits
        self._places = anyio.CapacityLimiter(AT_ONCE)
        self._headers = {
            "accept": "*/*",
            "accept-encoding": "gzip",
            "user-agent": f"rowmill/{version('rowmill')}",
        }

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
            except (Lost, TimeoutError) as error:
                if wait is None:
                    late = f"it took more than {self._patience.total:g} seconds"
                    reason = str(error) if isinstance(error, Lost) else late
                    raise Unusable(f"{bare_url(first)} was not to be had: {reason}") from error
            await anyio.sleep(wait)
        raise AssertionError("the last try gives or raises")

    async def _followed(self, url: httpx.URL, *, most: int) -> Fetched:
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._network.get(url, headers=self._headers, patience=self._patience) as came:
                if not (came.status in _REDIRECTS and "location" in came.headers):
                    return await _fetched(came, url, most=most)
                following = _joined(url, came.headers["location"])
            url = self._hosts.checked(str(following))
        raise Unusable(f"{bare_url(url)}: more than {_MOST_REDIRECTS} redirects")


@asynccontextmanager
async def open_fetcher(
    hosts: Hosts,
    *,
    may_ask: MayAsk = is_public,
    patience: Patience | None = None,
    waits: tuple[float, ...] = _WAITS,
    transport: httpx.AsyncBaseTransport | None = None,
    resolve: Resolve = resolved,
) -> AsyncIterator[Fetcher]:
    """A fetcher, whose connections are closed on the way out; a transport given stands for every network."""
    async with open_network(may_ask=may_ask, transport=transport, resolve=resolve) as network:
        yield Fetcher(network, hosts, patience=patience or Patience(), waits=waits)


async def _fetched(came: Came, url: httpx.URL, *, most: int) -> Fetched:
    if came.status in _AGAIN:
        raise Lost(f"it answered with status {came.status}")
    if came.status != 200:
        raise Unusable(f"{bare_url(url)} answered with status {came.status}")
    kind, _, parameters = came.headers.get("content-type", "").partition(";")
    return Fetched(
        url=bare_url(url),
        name=url.path.rstrip("/").rpartition("/")[2],
        content=await _body(came, url, most=most),
        content_type=kind.strip().lower() or None,
        encoding=_charset(parameters),
    )


async def _body(came: Came, url: httpx.URL, *, most: int) -> bytes:
    """The body, unpacked, as long as it is no longer than it may be."""
    too_long = Unusable(f"{bare_url(url)} has more than {most:,} bytes (max_file_bytes)")
    told = came.headers.get("content-length", "")
    if told.isdecimal() and int(told) > most:
        raise too_long
    packing = came.headers.get("content-encoding", "").strip().lower()
    if packing not in _PLAIN + _PACKED:
        raise Unusable(f"{bare_url(url)} came packed in a way that was not asked for")
    unpack = zlib.decompressobj(_AS_GZIP) if packing in _PACKED else None
    content = bytearray()
    async for piece in came.pieces:
        try:
            content += piece if unpack is None else unpack.decompress(piece, most + 1 - len(content))
        except zlib.error as error:
            raise Unusable(f"{bare_url(url)} came packed, and cannot be unpacked") from error
        if len(content) > most:
            raise too_long
    if unpack is not None and not unpack.eof:
        raise Lost("it came cut short")
    return bytes(content)


def _joined(url: httpx.URL, location: str) -> httpx.URL:
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise Unusable(f"{bare_url(url)} leads to what is no URL") from error


def _charset(parameters: str) -> str | None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').strip() or None
    return None
