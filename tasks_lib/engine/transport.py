"""The pool of connections: httpx's shape at the border, a pool whose cost does not grow with it inside.

httpx's own pool walks all its connections at every request, which at some hundred calls in flight costs more
than all the rest of a row. This one is reqwest's, which also counts timeouts on its own threads: a busy event
loop never makes a false one. Tests put `httpx.MockTransport` in its place.
"""

from collections.abc import Sequence
from datetime import timedelta

import anyio
import httpx
from pyreqwest import exceptions
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.response import Response

from tasks_lib.domain.provider import Timeouts

_LINGER = 0.05  # seconds; a fiftieth of it was enough in 50 trials of 50

_CONNECTING = "client error (Connect)"  # among an error's causes: nothing was sent yet
_IN_BODY = "error reading a body from connection"


class PooledTransport(httpx.AsyncBaseTransport):
    """Sends requests over kept-alive connections, as many as there are calls in flight.

    Timeouts begin when a request is given to the pool, and the pool never makes one wait for a connection.
    Redirects are not followed: a POST that is redirected is a mistake in the base URL.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        """Open the pool; no connection is made before the first request."""
        self._timeout = timedelta(seconds=timeouts.total)
        self._client: Client = (
            ClientBuilder()
            .follow_redirects(enable=False)
            .connect_timeout(timedelta(seconds=timeouts.connect))
            .pool_idle_timeout(timedelta(seconds=60))  # below the 75 s after which many servers hang up
            .default_cookie_store(enable=False)
            .build()
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response with its body, read whole.

        A call that is cancelled is left at once. Its connection is not closed by that: the pool waits on for
        the answer until the timeout, and nobody reads it.

        Raises:
            httpx.RequestError: of the class that says how far it came (`ConnectError`, `ReadTimeout`, …).
        """
        builder = (
            self._client.request(request.method, str(request.url))
            .headers(request.headers.multi_items())
            .body_bytes(await request.aread())
            .timeout(self._timeout)
        )
        try:
            response = await builder.build().send()
            body = await response.bytes()
        except exceptions.PyreqwestError as error:
            raise _as_httpx(error, request) from error
        return httpx.Response(
            response.status, headers=_headers_of(response), content=bytes(body), request=request
        )

    async def aclose(self) -> None:
        """Close all connections, and leave the pool's thread the moment that it needs to come to rest.

        Its runtime still lets go of what belongs to Python after the close has returned; should the
        interpreter end in that very moment, it aborts (before Python 3.14), and a batch that went well would
        end with a crash.
        """
        with anyio.CancelScope(shield=True):  # the end of a batch that was cancelled needs it as much
            await self._client.close()
            await anyio.sleep(_LINGER)


def _headers_of(response: Response) -> list[tuple[str, str]]:
    try:
        return list(response.headers.items())
    except ValueError:  # a value that is not ASCII; the answer is paid for all the same
        return [(name, value) for name in response.headers for value in _values(response, name)]


def _values(response: Response, name: str) -> list[str]:
    try:
        return response.get_header_all(name)
    except ValueError:
        return []


def _as_httpx(error: exceptions.PyreqwestError, request: httpx.Request) -> httpx.RequestError:
    """The error as httpx would raise it.

    The pool's own classes do not tell a connection that never came about from one that was lost while the
    answer was awaited, and only the second may have been billed; the causes do. What they leave open is taken
    for the second.
    """
    causes = _causes(error)
    message = causes[-1] if causes else error.message  # the last cause is the plainest
    return _class_of(error, causes)(message, request=request)


def _class_of(error: exceptions.PyreqwestError, causes: Sequence[str]) -> type[httpx.RequestError]:
    match error:
        case exceptions.RequestTimeoutError():
            return httpx.ConnectTimeout if _CONNECTING in causes else httpx.ReadTimeout
        case exceptions.NetworkError():
            return httpx.ConnectError if _CONNECTING in causes else httpx.ReadError
        case exceptions.BodyDecodeError():
            return httpx.ReadError if _IN_BODY in causes else httpx.DecodingError
        case exceptions.BuilderError():
            return httpx.UnsupportedProtocol
        case _:
            return httpx.RemoteProtocolError


def _causes(error: exceptions.PyreqwestError) -> list[str]:
    causes = error.details["causes"] if isinstance(error, exceptions.DetailedPyreqwestError) else None
    return [cause["message"] for cause in causes or ()]
