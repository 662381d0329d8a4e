"""The pool of connections: one whose cost does not grow with it, and which hangs up on what is dropped.

httpx's own pool walks all its connections at every request, which at some hundred calls in flight costs more
than all the rest of a row. This one is wreq's: it works on a thread of its own, so that neither its
connecting nor its reading waits for our event loop. `bench/transports.py` compares it with others.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import wreq
from wreq.dns import DnsOptions
from wreq.redirect import Policy
from wreq.runtime import Runtime

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Route, Timeouts
from tasks_lib.engine.deadlines import Deadlines
from tasks_lib.engine.open_files import allow_many_open_files
from tasks_lib.engine.pool_errors import POOL_ERRORS, failure_of
from tasks_lib.providers.protocol import Request, Response

_METHODS: Final = {
    "GET": wreq.Method.GET,
    "POST": wreq.Method.POST,
    "PUT": wreq.Method.PUT,
    "PATCH": wreq.Method.PATCH,
    "DELETE": wreq.Method.DELETE,
    "HEAD": wreq.Method.HEAD,
}
_CLOSED: Final = "the pool of connections is closed"
_IDLE: Final = timedelta(seconds=60)  # below the 75 s after which many servers hang up
_LOOKING_UP: Final = 16  # threads for names of hosts; a thousand first calls ask for the same one at once
_SYSTEM_BUNDLES: Final = (  # with what the machine's administrator added; wreq brings only the public ones
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Arch, Gentoo
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, RHEL
    Path("/etc/ssl/ca-bundle.pem"),  # openSUSE
    Path("/etc/ssl/cert.pem"),  # Alpine, macOS
)


class PooledTransport:
    """Sends requests over kept-alive connections, as many as there are calls in flight.

    Timeouts begin when a request is given to the pool, and the pool never makes one wait for a connection.
    A call that is cancelled hangs up. Redirects are not followed: a POST that is redirected is a mistake in
    the base URL. It is asyncio's; no other loop can wait for it.
    """

    def __init__(self, timeouts: Timeouts, *, route: Route | None = None) -> None:
        """Open the pool; no connection is made before the first request.

        Raises:
            ValueError: the route's CA bundle or proxy cannot be used; the text shows no password.
        """
        allow_many_open_files()  # a connection is one, and there are as many as calls in flight
        self._total = timeouts.total
        self._deadlines = Deadlines(timeouts.total)
        self._client = _client(timeouts, route or Route())
        self._closed = False

    async def send(self, request: Request) -> Response | Failure:
        """The response with its body, read whole and unpacked; a call that is cancelled hangs up."""
        deadline = self._deadlines.begin()
        try:
            told = await self._client.request(
                _METHODS[request.method], request.url, headers=request.headers, body=request.body
            )
            return Response(
                status=told.status.as_int(), headers=_headers_of(told.headers), body=await told.bytes()
            )
        except asyncio.CancelledError:
            if deadline.passed():
                late = f"no whole answer within {self._total:g} s"
                return Failure(kind=FailureKind.TIMEOUT, message=late, maybe_billed=True)
            if self._closed and not deadline.task_is_cancelled:  # it was the pool's end, and nobody's wish
                return Failure(kind=FailureKind.CONNECTION, message=_CLOSED, maybe_billed=True)
            raise
        except POOL_ERRORS as error:
            return failure_of(error)
        finally:
            self._deadlines.lift(deadline)

    async def follow(
        self, request: Request, heard: Callable[[bytes | memoryview], None], *, silence: float
    ) -> Response | Failure:
        """A response that comes bit by bit, for as long as bits come.

        `heard` is given each piece of a 200's body at once; the response at its end has none of it.
        A pause of more than `silence` seconds is a timeout, as is a connection that is not made in time.
        """
        try:
            async with asyncio.timeout(self._total):
                told = await self._client.request(
                    _METHODS[request.method], request.url, headers=request.headers, body=request.body
                )
                status, headers = told.status.as_int(), _headers_of(told.headers)
                if status != 200:
                    return Response(status=status, headers=headers, body=await told.bytes())
            async with told.stream() as pieces:
                while True:
                    async with asyncio.timeout(silence):
                        piece = await anext(pieces, None)
                    if piece is None:
                        return Response(status=status, headers=headers)
                    if isinstance(piece, memoryview):  # and no trailers
                        heard(piece)
        except TimeoutError:
            return Failure(kind=FailureKind.TIMEOUT, message=f"nothing came for {silence:g} s")
        except POOL_ERRORS as error:
            return failure_of(error)

    async def aclose(self) -> None:
        """Close all connections; calls in flight are cancelled."""
        self._closed = True
        self._deadlines.end()
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def _client(timeouts: Timeouts, route: Route) -> wreq.Client:
    read = timeouts.total if timeouts.read is None else min(timeouts.read, timeouts.total)
    options: wreq.ClientConfig = {
        "runtime": Runtime(workers=1, max_blocking_threads=_LOOKING_UP, thread_name="rowmill-pool"),
        "connect_timeout": timedelta(seconds=min(timeouts.connect, timeouts.total)),
        "pool_idle_timeout": _IDLE,
        "redirect": Policy.none(),
        "dns_options": DnsOptions(system_dns=True),  # its own knows no split networks and no NSS
        "http1_only": not route.http2,
    }
    if timeouts.read is not None:
        options["read_timeout"] = timedelta(seconds=read)
    bundle = route.ca_bundle or next((path for path in _SYSTEM_BUNDLES if path.is_file()), None)
    if bundle is not None:
        options["tls_verify"] = bundle
    if route.proxy is None:
        options["no_proxy"] = True  # the environment was read by whoever made the route
    else:
        options["proxies"] = [_proxy(route)]
    try:
        return wreq.Client(**options)
    except POOL_ERRORS:
        raise ValueError(f"the certificates in {bundle} cannot be read") from None


def _proxy(route: Route) -> wreq.Proxy:
    assert route.proxy is not None, "only then is there one"  # noqa: S101  # tells mypy
    try:
        return wreq.Proxy.all(route.proxy.reveal())
    except POOL_ERRORS:
        raise ValueError(f"the proxy of {route.proxy.name} is no address") from None


def _headers_of(headers: wreq.HeaderMap) -> Mapping[str, str]:
    return {str(name, "latin-1"): str(value, "latin-1") for name, value in headers}
