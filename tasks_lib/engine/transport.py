"""The pool of connections: httpx's shape at the border, a pool whose cost does not grow with it inside.

httpx's own pool walks all its connections at every request, which at some hundred calls in flight costs more
than all the rest of a row. This one is reqwest's, which also counts timeouts on its own threads: a busy event
loop never makes a false one. Tests put `httpx.MockTransport` in its place.
"""

from datetime import timedelta

import anyio
import httpx
from pyreqwest import exceptions
from pyreqwest.client import Client, ClientBuilder

from tasks_lib.domain.provider import Timeouts

_LINGER = 0.05  # seconds; a fiftieth of it was enough in 50 trials of 50

_HTTPX_ERRORS: tuple[tuple[type[exceptions.PyreqwestError], type[httpx.RequestError]], ...] = (
    (exceptions.ConnectTimeoutError, httpx.ConnectTimeout),
    (exceptions.PoolTimeoutError, httpx.PoolTimeout),
    (exceptions.RequestTimeoutError, httpx.ReadTimeout),
    (exceptions.ConnectError, httpx.ConnectError),
    (exceptions.WriteError, httpx.WriteError),
    (exceptions.NetworkError, httpx.ReadError),
    (exceptions.DecodeError, httpx.DecodingError),
    (exceptions.RequestError, httpx.RemoteProtocolError),
)


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
            response.status, headers=list(response.headers.items()), content=bytes(body), request=request
        )

    async def aclose(self) -> None:
        """Close all connections, and leave the pool's thread the moment that it needs to come to rest.

        Its runtime still lets go of what belongs to Python after the close has returned; should the
        interpreter end in that very moment, it aborts (before Python 3.14), and a batch that went well would
        end with a crash.
        """
        await self._client.close()
        await anyio.sleep(_LINGER)


def _as_httpx(error: exceptions.PyreqwestError, request: httpx.Request) -> httpx.RequestError:
    causes = error.details["causes"] if isinstance(error, exceptions.DetailedPyreqwestError) else None
    message = causes[-1]["message"] if causes else error.message  # the last cause is the plainest
    for theirs, ours in _HTTPX_ERRORS:
        if isinstance(error, theirs):
            return ours(message, request=request)
    return httpx.TransportError(message, request=request)
