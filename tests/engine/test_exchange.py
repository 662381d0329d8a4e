"""Exchanges, driven over a network that does as it is told."""

import anyio
import httpx
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Timeouts
from tasks_lib.engine.border import OverHttpx, failure_of
from tasks_lib.engine.exchange import have
from tasks_lib.providers.protocol import Accepted, Pause, Request, Response

pytestmark = pytest.mark.anyio
LOST = Failure(kind=FailureKind.CONNECTION, message="lost", maybe_billed=True)


class Network:
    """Gives these answers, one after another, and notes who asked where."""

    def __init__(self, *answers):
        self.asked = []
        self._answers = iter(answers)

    async def send(self, request):
        """The next answer."""
        self.asked.append(request.url)
        return next(self._answers)


def get(path):
    return Request(method="GET", url=f"https://acme.test/{path}", headers={})


def status(code, **headers):
    return Response(status=code, headers=headers)


async def test_an_exchange_is_driven_to_its_end():
    """A protocol that asks twice is sent both answers; a date is there to measure Retry-After by."""
    seen = []

    def exchange():
        seen.append((yield get("first")))
        seen.append((yield get("second")))
        return "outcome"

    network = Network(status(429), status(200))
    assert await have(exchange(), network) == "outcome"
    assert network.asked == ["https://acme.test/first", "https://acme.test/second"]
    assert [response.status for response in seen] == [429, 200]
    assert "date" in seen[0].headers


async def test_what_was_answered_is_billed_although_the_rest_is_lost():
    """A connection that fails before any answer cost nothing; one that fails after it may have cost."""

    def exchange():
        yield get("first")
        yield get("second")

    refused = Failure(kind=FailureKind.CONNECTION, message="refused")
    assert await have(exchange(), Network(refused)) == refused
    assert (await have(exchange(), Network(status(500), refused))).maybe_billed is False
    assert (await have(exchange(), Network(status(200), refused))).maybe_billed is True


async def test_a_date_that_was_told_is_left():
    """The provider's own clock is the one that its Retry-After is measured by."""

    def exchange():
        return (yield get("it")).headers["date"]

    told = "Sun, 22 Nov 2026 12:00:00 GMT"
    assert await have(exchange(), Network(status(503, date=told))) == told


async def test_an_exchange_whose_network_fails_is_closed():
    """It may put things in order, and its outcome is the failure."""
    closed = []

    def exchange():
        try:
            yield get("it")
        finally:
            closed.append("closed")

    assert await have(exchange(), Network(LOST)) is LOST
    assert closed == ["closed"]


async def test_an_exchange_that_is_cancelled_is_closed():
    """Whatever it holds is let go in that moment, and not when the collector comes by."""
    closed = []

    def exchange():
        try:
            yield Pause(seconds=float("inf"))
        finally:
            closed.append("closed")

    with anyio.move_on_after(0.01):
        await have(exchange(), Network())
    assert closed == ["closed"]


async def test_a_pause_is_kept():
    """Between two looks at work that is under way, as long passes as the protocol wishes."""
    at = []

    def exchange():
        at.append(anyio.current_time())
        told = yield Pause(seconds=0.05)
        at.append(anyio.current_time())
        return told

    assert await have(exchange(), Network()) is None
    assert at[1] - at[0] >= 0.05


async def test_what_was_accepted_is_durable_before_the_exchange_goes_on():
    """The id is written down first, and only then is the work asked for."""
    story = []

    def exchange():
        response = yield get("submit")
        told = yield Accepted(remote_id=response.headers["id"])
        story.append(f"goes on, told {told}")
        return (yield get("result")).status

    async def accepted(remote_id):
        await anyio.lowlevel.checkpoint()
        story.append(f"wrote {remote_id}")

    network = Network(status(200, id="run-7"), status(200))
    assert await have(exchange(), network, accepted=accepted) == 200
    assert story == ["wrote run-7", "goes on, told None"]


async def test_what_nobody_writes_down_goes_on_all_the_same():
    """An exchange that is not to be resumed has its answer nevertheless."""

    def exchange():
        yield Accepted(remote_id="run-7")
        return "outcome"

    assert await have(exchange(), Network()) == "outcome"


async def test_headers_are_heard_before_the_protocol_acts_on_them():
    """Those of every response, good or bad, in order."""
    story = []

    def exchange():
        story.append((yield get("first")).status)
        story.append((yield get("second")).status)
        return "outcome"

    await have(
        exchange(),
        Network(status(429, left="0"), status(200, left="9")),
        listen=lambda headers: story.append(headers["left"]),
    )
    assert story == ["0", 429, "9", 200]


async def test_a_transport_of_httpx_carries_our_requests():
    """Method, address, headers, body, timeouts as they are to be; names of headers come in lower case."""
    seen = []

    def answer(request):
        seen.append(request)
        return httpx.Response(201, headers={"X-Request-Id": "r-1"}, content=b"{}")

    over = OverHttpx(httpx.MockTransport(answer), Timeouts(connect=3, read=4, total=5))
    asked = Request(method="PUT", url="https://acme.test/v1?a=b", headers={"x-a": "1"}, body=b"[]")
    response = await over.send(asked)
    (arrived,) = seen
    assert (arrived.method, str(arrived.url), arrived.content) == ("PUT", asked.url, b"[]")
    assert arrived.headers["x-a"] == "1"
    assert arrived.extensions["timeout"] == {"connect": 3, "read": 4, "write": 5, "pool": 5}
    assert (response.status, response.headers["x-request-id"], response.body) == (201, "r-1", b"{}")


async def test_a_silence_may_last_as_long_as_a_call_where_nothing_else_is_said():
    """Most models say nothing before they have said it all."""
    seen = []
    over = OverHttpx(httpx.MockTransport(lambda request: seen.append(request) or httpx.Response(200)))
    await over.send(get("it"))
    assert seen[0].extensions["timeout"] == {"connect": 10, "read": 120, "write": 120, "pool": 120}


@pytest.mark.parametrize(
    ("error", "kind", "maybe_billed"),
    [
        (httpx.ConnectError, FailureKind.CONNECTION, False),
        (httpx.ConnectTimeout, FailureKind.TIMEOUT, False),
        (httpx.PoolTimeout, FailureKind.TIMEOUT, False),
        (httpx.ProxyError, FailureKind.CONNECTION, False),
        (httpx.UnsupportedProtocol, FailureKind.CONNECTION, False),
        (httpx.ReadError, FailureKind.CONNECTION, True),
        (httpx.ReadTimeout, FailureKind.TIMEOUT, True),
        (httpx.WriteTimeout, FailureKind.TIMEOUT, True),
        (httpx.RemoteProtocolError, FailureKind.CONNECTION, True),
        (httpx.DecodingError, FailureKind.BROKEN_REPLY, True),
    ],
)
async def test_what_httpx_raises_is_a_failure(error, kind, maybe_billed):
    """What was surely never sent is free; all else may have been billed."""

    def exchange():
        return (yield get("it")).status

    def answer(request):
        raise error("broken", request=request)

    failure = await have(exchange(), httpx.MockTransport(answer))
    assert failure == Failure(kind=kind, message=f"{error.__name__}: broken", maybe_billed=maybe_billed)
    assert failure_of(error("")).message == error.__name__
