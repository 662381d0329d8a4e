"""The real pool of connections against a real server on loopback."""

import asyncio
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import orjson
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.provider import Route, Secret, Timeouts
from tasks_lib.engine.transport import PooledTransport
from tasks_lib.providers.protocol import Request, Response
from tests.engine.loopback import loopback
from tests.engine.proxy import proxy
from tests.engine.secure import Authority

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend():
    return "asyncio"  # the pool's threads speak with no other loop


@pytest.fixture
async def server():
    async with loopback() as listening:
        yield listening


@pytest.fixture
async def pool():
    async with PooledTransport(Timeouts(connect=10, total=10)) as transport:
        yield transport


def request(url, **more):
    return Request(**{"method": "POST", "url": url, "headers": {}, "body": b'{"a":1}', **more})


async def call(pool, server, path):
    return await pool.send(request(f"{server.url}/{path}"))


async def test_a_request_arrives_as_it_was_made(pool, server):
    """Method, headers and body as given, and the answer whole."""
    sent = request(f"{server.url}/echo", headers={"authorization": "Bearer k", "user-agent": "rowmill"})
    response = await pool.send(sent)
    told = orjson.loads(response.body)
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert (told["method"], told["body"]) == ("POST", '{"a":1}')
    assert {"authorization": "Bearer k", "user-agent": "rowmill"}.items() <= told["headers"].items()


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
async def test_every_method_is_sent_as_what_it_is(pool, server, method):
    """Polling and deleting need others than POST."""
    response = await pool.send(request(f"{server.url}/echo", method=method, body=b""))
    assert orjson.loads(response.body)["method"] == method


async def test_connections_are_kept(pool, server):
    """Twenty calls one after another need one connection."""
    for _ in range(20):
        await call(pool, server, "echo")
    assert (len(server.calls), server.connections) == (20, 1)


async def test_as_many_connections_as_calls_in_flight(pool, server):
    """A hundred calls at once wait for nobody: each is on its way before the first is answered."""
    async with anyio.create_task_group() as calls:
        for _ in range(100):
            calls.start_soon(call, pool, server, "slow")
        with anyio.fail_after(10):
            await server.many.wait()
        assert server.connections == 100
        calls.cancel_scope.cancel()


async def test_a_connection_that_was_closed_between_calls_costs_nothing(pool, server):
    """Whether the pool notices or not, no call is made twice."""
    failed = 0
    for _ in range(20):
        answer = await call(pool, server, "hang-up")
        failed += isinstance(answer, Failure) and answer.maybe_billed
    assert 20 - failed <= len(server.calls) <= 20


@pytest.mark.parametrize(
    ("path", "content"), [("gzip", b'{"big":true}'), ("chunked", b"{}"), ("latin-1", b"{}")]
)
async def test_bodies_and_headers_of_all_sorts_are_read(pool, server, path, content):
    """Packed, in pieces, or beside a header that is no ASCII: the answer is paid for and is read."""
    assert (await call(pool, server, path)).body == content


async def test_headers_come_with_the_answer(pool, server):
    """What a provider says in headers can be read, under names in lower case."""
    busy, odd = await call(pool, server, "busy"), await call(pool, server, "latin-1")
    assert (busy.status, busy.headers["retry-after"]) == (429, "2")
    assert odd.headers["x-request-id"] == "caf\xe9"


async def test_a_redirect_is_not_followed(pool, server):
    """A 307 is an answer, and the second address is never asked."""
    response = await call(pool, server, "redirect")
    assert (response.status, response.headers["location"]) == (307, "/echo")
    assert server.calls == ["/redirect"]


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("reset", FailureKind.CONNECTION, "the answer was lost: connection closed before"),
        ("silent", FailureKind.CONNECTION, "the answer was lost: connection closed before"),
        ("reset-in-body", FailureKind.CONNECTION, "the answer was lost: connection"),
        ("cut-short", FailureKind.CONNECTION, "the answer was lost: connection"),
        ("no-http", FailureKind.CONNECTION, "the answer was lost: what came is not HTTP"),
        ("bad-gzip", FailureKind.BROKEN_REPLY, "the answer cannot be unpacked"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_lost_may_have_been_billed(pool, server, path, kind, message):
    """Whatever breaks after the request was sent is told as such, and the request was sent once."""
    failure = await call(pool, server, path)
    assert (failure.kind, failure.maybe_billed) == (kind, True)
    assert failure.message.startswith(message)
    assert server.calls == [f"/{path}"]


@pytest.mark.parametrize("timeouts", [Timeouts(total=0.2), Timeouts(read=0.2)], ids=["total", "read"])
@pytest.mark.parametrize("path", ["slow", "slow-body"])
async def test_an_answer_that_is_late_may_have_been_billed(server, path, timeouts):
    """The timeout is the answer's and not the connection's, and the connection is given up."""
    async with PooledTransport(timeouts) as impatient:
        failure = await call(impatient, server, path)
        assert (failure.kind, failure.maybe_billed) == (FailureKind.TIMEOUT, True)
        with anyio.fail_after(10):
            await server.lost.wait()


async def test_a_late_answer_leaves_its_caller_free(server):
    """After a timeout the task goes on as if it had never been cancelled, within whatever scope it is in."""
    with anyio.move_on_after(10) as scope:
        async with PooledTransport(Timeouts(total=0.05)) as impatient:
            for _ in range(3):
                assert (await call(impatient, server, "slow")).kind is FailureKind.TIMEOUT
            assert (await call(impatient, server, "echo")).status == 200
    assert not scope.cancel_called
    assert asyncio.current_task().cancelling() == 0


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("http://127.0.0.1:{closed}/v1", FailureKind.CONNECTION, "no connection: Connection refused"),
        ("http://nowhere.invalid/v1", FailureKind.CONNECTION, "no connection: no host of that name"),
        ("ftp://127.0.0.1/v1", FailureKind.REJECTED, "the request cannot be sent: the address begins with"),
    ],
)
async def test_what_was_never_sent_is_surely_free(pool, url, kind, message):
    """Nobody listens, nobody of that name, no such protocol: it cost nothing."""
    async with loopback() as server:
        closed = server.url.rpartition(":")[2]
    failure = await pool.send(request(url.format(closed=closed)))
    assert (failure.kind, failure.maybe_billed) == (kind, False)
    assert failure.message.startswith(message)


async def test_a_connection_that_takes_too_long_was_never_sent(server):
    """A handshake that does not end is a timeout of the connecting, and free."""
    async with PooledTransport(Timeouts(connect=0.1, total=10)) as pool:
        failure = await pool.send(request(server.url.replace("http", "https")))
    assert (failure.kind, failure.maybe_billed) == (FailureKind.TIMEOUT, False)


async def test_a_header_that_cannot_be_sent_is_not_shown(pool, server):
    """A key with a line break in it is refused, and appears nowhere."""
    failure = await pool.send(request(f"{server.url}/echo", headers={"authorization": "sk-secret\n"}))
    assert (failure.kind, failure.maybe_billed, server.calls) == (FailureKind.REJECTED, False, [])
    assert "sk-secret" not in repr(failure)


async def dropped(pool, server, path="slow"):
    """A call that was cancelled while its answer was awaited."""
    async with anyio.create_task_group() as calls:
        calls.start_soon(call, pool, server, path)
        with anyio.fail_after(10):
            await server.called.wait()
        calls.cancel_scope.cancel()


@pytest.mark.parametrize("path", ["slow", "slow-body"])
async def test_a_call_that_is_cancelled_hangs_up(pool, server, path):
    """Nobody waits for its answer any more: the provider sees the connection close, and the pool goes on."""
    await dropped(pool, server, path)
    with anyio.fail_after(10):
        await server.lost.wait()
    assert (await call(pool, server, "echo")).status == 200


async def test_a_pool_is_closed_though_its_batch_was_cancelled(server):
    """The hard end closes connections like any other, and whoever comes later is told."""
    with anyio.CancelScope() as scope:
        async with PooledTransport(Timeouts()) as pool:
            await call(pool, server, "echo")
            scope.cancel()
    failure = await call(pool, server, "echo")
    assert (failure.kind, failure.message) == (FailureKind.CONNECTION, "the pool of connections is closed")
    assert len(server.calls) == 1


async def test_a_call_that_its_pool_is_closed_under_is_lost_and_not_cancelled(server):
    """The task goes on with a failure; nobody wished it to end."""
    failures = []
    async with PooledTransport(Timeouts()) as pool, anyio.create_task_group() as calls:

        async def asks():
            failures.append(await call(pool, server, "slow"))

        calls.start_soon(asks)
        await server.called.wait()
        await pool.aclose()
    assert [(failure.kind, failure.maybe_billed) for failure in failures] == [(FailureKind.CONNECTION, True)]


class Elsewhere(BaseHTTPRequestHandler):
    """Answers on a thread of its own, whatever our event loop does; a tenth of a second after the call."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.called.set()
        if self.path == "/never":
            self.server.over.wait(20)
            return
        if self.path == "/whole":
            time.sleep(0.1)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        if self.path == "/in-parts":
            self.wfile.write(b"{")
            time.sleep(0.1)
            self.wfile.write(b"}")
        else:
            self.wfile.write(b"{}")

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def elsewhere():
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as serving:
        serving.daemon_threads = False
        serving.called, serving.over = threading.Event(), threading.Event()
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.over.set()
        serving.shutdown()
        thread.join()


async def answered_meanwhile(serving, path, timeouts):
    """What a call gives whose answer comes while our loop is blocked for longer than any timeout."""
    async with PooledTransport(timeouts) as pool:
        url = f"http://127.0.0.1:{serving.server_address[1]}{path}"
        sent = asyncio.create_task(pool.send(request(url, headers={"connection": "close"})))
        await anyio.to_thread.run_sync(serving.called.wait)
        time.sleep(0.7)  # noqa: ASYNC251  # blocks the loop: that is what is tested
        return await sent


@pytest.mark.parametrize("timeouts", [Timeouts(total=0.3), Timeouts(read=0.3)], ids=["total", "read"])
@pytest.mark.parametrize("path", ["/whole", "/in-parts"])
async def test_no_timeout_is_false_because_we_were_busy(elsewhere, path, timeouts):
    """An answer that came in time is taken, however late our event loop comes to look."""
    response = await answered_meanwhile(elsewhere, path, timeouts)
    assert isinstance(response, Response), response
    assert response.body == b"{}"


@pytest.mark.parametrize("timeouts", [Timeouts(total=0.3), Timeouts(read=0.3)], ids=["total", "read"])
async def test_a_timeout_is_true_though_we_were_busy(elsewhere, timeouts):
    """An answer that never comes is given up all the same."""
    failure = await answered_meanwhile(elsewhere, "/never", timeouts)
    assert (failure.kind, failure.maybe_billed) == (FailureKind.TIMEOUT, True)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


async def test_an_authority_of_ones_own_is_trusted_if_it_is_named(authority):
    """Without `ca_bundle` nothing is sent to a server that nobody vouches for, and the remedy is told."""
    async with loopback(authority.context()) as server:
        async with PooledTransport(Timeouts()) as pool:
            failure = await call(pool, server, "echo")
        assert (failure.kind, failure.maybe_billed, server.calls) == (FailureKind.CONNECTION, False, [])
        assert "ca_bundle" in failure.message
        async with PooledTransport(Timeouts(), route=Route(ca_bundle=authority.bundle)) as pool:
            assert (await call(pool, server, "echo")).status == 200


@pytest.mark.parametrize(("http2", "spoken"), [(False, "http/1.1"), (True, "h2")])
async def test_http_2_is_spoken_if_it_is_wished_for(authority, http2, spoken):
    """A server that offers both is asked for the one that was set."""
    route = Route(ca_bundle=authority.bundle, http2=http2)
    async with loopback(authority.context(protocols=["h2", "http/1.1"])) as server:
        async with PooledTransport(Timeouts(total=0.3), route=route) as pool:
            await call(pool, server, "echo")
        assert server.protocol == spoken


async def test_a_proxy_is_gone_through(authority):
    """Plain and secured calls go by way of the proxy, with its password, which stays between the two."""
    async with (
        proxy("pw-secret") as between,
        loopback() as plain,
        loopback(authority.context()) as secured,
    ):
        by_way_of = Secret("HTTPS_PROXY", between.url.replace("//", "//user:pw-secret@"))
        route = Route(proxy=by_way_of, ca_bundle=authority.bundle)
        async with PooledTransport(Timeouts(), route=route) as pool:
            responses = [await call(pool, server, "echo") for server in (plain, secured)]
        assert [response.status for response in responses] == [200, 200]
        assert all(b"pw-secret" not in response.body for response in responses)
        tunnel = f"CONNECT {secured.url.removeprefix('https://')} HTTP/1.1"
        assert between.asked == [f"POST {plain.url}/echo HTTP/1.1", tunnel]


@pytest.mark.parametrize("secured", [False, True])
async def test_a_proxy_that_does_not_let_us_through_is_told_without_its_password(authority, secured):
    """A proxy that is gone, or wants another password: no secret is in what is told, and nothing was sent."""
    async with (
        proxy("other") as between,
        loopback(authority.context() if secured else None) as server,
    ):
        for url in (between.url, "http://127.0.0.1:1"):
            route = Route(
                proxy=Secret("P", url.replace("//", "//user:pw-secret@")), ca_bundle=authority.bundle
            )
            async with PooledTransport(Timeouts(), route=route) as pool:
                answer = await call(pool, server, "echo")
            assert "pw-secret" not in repr(answer)
            assert answer.maybe_billed is False if isinstance(answer, Failure) else answer.status == 407
        assert server.calls == []


async def test_an_address_that_is_none_is_refused_without_its_password():
    """What a proxy's variable holds is named, and not shown."""
    with pytest.raises(ValueError, match="the proxy of MY_PROXY") as raised:
        PooledTransport(Timeouts(), route=Route(proxy=Secret("MY_PROXY", "http://user:pw-secret@no host")))
    assert "pw-secret" not in str(raised.value)
    assert raised.value.__suppress_context__


MANY_CALLS = """
import asyncio
import resource
from tasks_lib.domain.provider import Timeouts
from tasks_lib.engine.transport import PooledTransport
from tasks_lib.providers.protocol import Request
from tests.engine.loopback import loopback

resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

async def main():
    async with loopback() as server, PooledTransport(Timeouts()) as pool:
        request = Request(method="POST", url=f"{server.url}/slow", headers={})
        calls = [asyncio.create_task(pool.send(request)) for _ in range(100)]
        await server.many.wait()
        print(server.connections)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)

asyncio.run(main())
"""


def test_a_low_limit_of_open_files_is_raised():
    """A hundred calls go out at once from a process that was allowed 64 open files."""
    done = subprocess.run(
        [sys.executable, "-c", MANY_CALLS], cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"100\n", b"")


USES_THE_POOL = """
import asyncio
from tasks_lib.domain.provider import Timeouts
from tasks_lib.engine.transport import PooledTransport
from tasks_lib.providers.protocol import Request
from tests.engine.loopback import loopback

async def main():
    async with loopback() as server, PooledTransport(Timeouts()) as pool:
        def call(path):
            return pool.send(Request(method="POST", url=f"{server.url}/{path}", headers={}))
        dropped = asyncio.create_task(call("slow"))
        await asyncio.gather(*[call("echo") for _ in range(20)])
        dropped.cancel()
        await asyncio.wait([dropped])

asyncio.run(main())
print("done")
"""


def test_a_process_that_used_the_pool_ends_in_peace():
    """Ten times, with a call dropped in flight, the interpreter ends with 0 and without a word."""
    for _ in range(10):
        ended = subprocess.run(
            [sys.executable, "-c", USES_THE_POOL], cwd=ROOT, capture_output=True, timeout=60, check=False
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"done\n", b"")
