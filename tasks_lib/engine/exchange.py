"""One exchange over the network: drives a protocol's generator with a transport."""

from datetime import UTC, datetime
from email.utils import format_datetime

import httpx

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.output import Reply
from tasks_lib.providers.protocol import Exchange

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


async def have(exchange: Exchange, transport: httpx.AsyncBaseTransport) -> Reply | Failure:
    """What came of an exchange; what the network does to it is a Failure, too."""
    request = next(exchange)
    while True:
        try:
            response = await transport.handle_async_request(request)
            await response.aread()
        except httpx.RequestError as error:
            exchange.close()
            return failure_of(error)
        if (
            response.status_code != 200 and "date" not in response.headers
        ):  # Retry-After may be measured by it
            response.headers["date"] = format_datetime(datetime.now(UTC), usegmt=True)
        try:
            request = exchange.send(response)
        except StopIteration as end:
            outcome: Reply | Failure = end.value
            return outcome


def failure_of(error: httpx.RequestError) -> Failure:
    """What a transport's error means; past the connecting, an answer may have been made and billed."""
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
