"""httpx's shape at the border: our requests over any of httpx's transports, such as its `MockTransport`."""

from collections.abc import Callable
from typing import Final

import httpx

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Timeouts
from tasks_lib.providers.protocol import Request, Response, Transport

_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class OverHttpx:
    """Sends over a transport of httpx's, with the timeouts that it is to keep."""

    def __init__(self, transport: httpx.AsyncBaseTransport, timeouts: Timeouts | None = None) -> None:
        """Send over this transport; it stays its owner's to close."""
        self._transport = transport
        times = timeouts or Timeouts()
        read = times.total if times.read is None else min(times.read, times.total)
        self._extensions = {
            "timeout": {
                "connect": min(times.connect, times.total),
                "read": read,
                "write": times.total,
                "pool": times.total,
            }
        }

    async def send(self, request: Request) -> Response | Failure:
        """The response, read whole and unpacked, or what httpx's error means."""
        try:
            response = await self._transport.handle_async_request(self._sent(request))
            try:
                body = await response.aread()
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            return failure_of(error)
        return Response(status=response.status_code, headers=dict(response.headers), body=body)

    async def follow(
        self, request: Request, heard: Callable[[bytes | memoryview], None], *, silence: float
    ) -> Response | Failure:
        """A response that comes bit by bit; see `PooledTransport.follow`."""
        whole = bytearray()
        try:
            response = await self._transport.handle_async_request(self._sent(request, silence=silence))
            try:
                async for piece in response.aiter_bytes():
                    if response.status_code == 200:
                        heard(piece)
                    else:
                        whole += piece
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            return failure_of(error)
        return Response(status=response.status_code, headers=dict(response.headers), body=bytes(whole))

    def _sent(self, request: Request, *, silence: float | None = None) -> httpx.Request:
        timeout = self._extensions["timeout"]
        return httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            content=request.body,
            extensions={"timeout": timeout if silence is None else {**timeout, "read": silence}},
        )


def carried_by(transport: Transport | httpx.AsyncBaseTransport) -> Transport:
    """The transport itself, or the border to it if it is one of httpx's."""
    return OverHttpx(transport) if isinstance(transport, httpx.AsyncBaseTransport) else transport


def failure_of(error: httpx.RequestError) -> Failure:
    """What an error of httpx's means; past the connecting, an answer may have been made and billed."""
    name = type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        kind = FailureKind.TIMEOUT
    elif isinstance(error, httpx.DecodingError):
        kind = FailureKind.BROKEN_REPLY
    else:
        kind = FailureKind.CONNECTION
    return Failure(
        kind=kind,
        message=f"{name}: {error}" if str(error) else name,
        maybe_billed=not isinstance(error, _NEVER_SENT),
    )
