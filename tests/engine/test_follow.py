"""Responses that come bit by bit, over httpx's transports and over the pool."""

import httpx
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Timeouts
from tasks_lib.engine.border import OverHttpx
from tasks_lib.engine.transport import PooledTransport
from tasks_lib.providers.protocol import Request
from tests.parallelserver import running_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Pieces(httpx.AsyncByteStream):
    """A body in pieces, and perhaps an end that is none."""

    def __init__(self, *pieces, error=None):
        self._pieces = pieces
        self._error = error

    async def __aiter__(self):
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error


def over(status, stream):
    """A transport that answers so."""
    return OverHttpx(httpx.MockTransport(lambda _: httpx.Response(status, stream=stream)))


async def followed(transport, url="https://a.test/events"):
    """What was heard, and what came in the end."""
    heard = []
    request = Request(method="GET", url=url, headers={"x-api-key": "k"})
    end = await transport.follow(request, lambda piece: heard.append(bytes(piece)), silence=0.5)
    return heard, end


async def test_pieces_are_heard_as_they_come() -> None:
    """And what came before a cut is not lost with it."""
    heard, end = await followed(over(200, Pieces(b"one", b"two")))
    assert (heard, end.status, end.body) == ([b"one", b"two"], 200, b"")
    heard, end = await followed(over(200, Pieces(b"one", error=httpx.ReadError("reset"))))
    assert heard == [b"one"]
    assert isinstance(end, Failure)
    assert end.kind is FailureKind.CONNECTION


async def test_an_error_is_read_whole() -> None:
    """Nobody hears it as if it were what was asked for."""
    heard, end = await followed(over(503, Pieces(b"o", b"h")))
    assert (heard, end.status, end.body) == ([], 503, b"oh")


async def test_the_pool_hears_a_stream_and_its_silence() -> None:
    """P19: a stream that says nothing for too long is as good as cut; an error has its body."""
    with running_server(never=1.0) as server:
        async with PooledTransport(Timeouts(total=10)) as pool:
            create = Request(
                method="POST",
                url=f"{server.url}/v1/tasks/runs",
                headers={"x-api-key": "k", "content-type": "application/json"},
                body=b'{"input": "row_id: 1", "processor": "pro"}',
            )
            run = await pool.send(create)
            run_id = bytes(run.body).split(b'"run_id":"')[1].split(b'"')[0].decode()
            url = f"{server.url}/v1/tasks/runs/{run_id}/events"
            heard, end = await followed(pool, url)
            assert b"task_run.state" in b"".join(heard)
            assert isinstance(end, Failure)
            assert end.kind is FailureKind.TIMEOUT
            heard, end = await followed(pool, f"{server.url}/v1/tasks/runs/trun_none/events")
            assert (heard, end.status) == ([], 404)
            assert b"error" in bytes(end.body)
