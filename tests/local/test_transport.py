"""Requests to rowmill.local wait for a free server; all others pass by."""

from collections import Counter
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint

from tasks_lib.local import LOCAL_BASE_URL, LocalModel, LocalServers, LocalTransport

pytestmark = pytest.mark.anyio

URL = f"{LOCAL_BASE_URL}/chat/completions"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


def servers(count: int) -> LocalServers:
    return LocalServers(
        model=LocalModel(name="m", path=Path("m.gguf")),
        urls=tuple(f"http://127.0.0.1:{9000 + n}/v1" for n in range(count)),
        key="the-key",
    )


class Gated(httpx.AsyncBaseTransport):
    """Answers nobody before it is opened; knows who came, and how many each server had at most at once."""

    def __init__(self) -> None:
        self.opened = anyio.Event()
        self.came: list[str] = []
        self.at_most: Counter[int | None] = Counter()
        self._now: Counter[int | None] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        port = request.url.port
        self.came.append((await request.aread()).decode())
        self._now[port] += 1
        self.at_most[port] = max(self.at_most[port], self._now[port])
        await self.opened.wait()
        await checkpoint()
        self._now[port] -= 1
        return httpx.Response(200)


async def test_a_request_is_sent_to_a_server_with_its_key():
    """Address, host and key become the server's; path, query, body and everything else stay as they were."""
    seen = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={"ok": 1})

    async with httpx.AsyncClient(transport=LocalTransport(httpx.MockTransport(note), servers(1))) as client:
        response = await client.post(f"{URL}?a=b", content=b"{}", headers={"x-mine": "1"}, timeout=7)
    (request,) = seen
    assert str(request.url) == "http://127.0.0.1:9000/v1/chat/completions?a=b"
    assert request.method == "POST"
    assert request.content == b"{}"
    assert request.headers["host"] == "127.0.0.1:9000"
    assert request.headers["authorization"] == "Bearer the-key"
    assert request.headers["x-mine"] == "1"
    assert request.extensions["timeout"]["read"] == 7
    assert (response.status_code, response.json()) == (201, {"ok": 1})
    assert str(response.request.url) == f"{URL}?a=b"


async def test_another_host_is_left_alone():
    """A request to anywhere else goes through as it is, without the key, and also when no server is free."""
    seen = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    async with httpx.AsyncClient(transport=LocalTransport(httpx.MockTransport(note), servers(1))) as client:
        await client.get("http://rowmill.local.example/v1")
    assert str(seen[0].url) == "http://rowmill.local.example/v1"
    assert "authorization" not in seen[0].headers


@pytest.mark.parametrize("count", [1, 3])
async def test_each_server_has_one_request_at_a_time(count: int):
    """However many ask at once, every server works, each on one request, and all are answered."""
    gated = Gated()
    async with (
        httpx.AsyncClient(transport=LocalTransport(gated, servers(count))) as client,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(20):
            tasks.start_soon(client.post, URL)
        await anyio.wait_all_tasks_blocked()
        assert len(gated.came) == count
        gated.opened.set()
    assert gated.at_most == {9000 + n: 1 for n in range(count)}
    assert len(gated.came) == 20


async def test_who_comes_first_is_served_first():
    """Requests that wait for a server get it in the order in which they came."""
    gated = Gated()
    async with (
        httpx.AsyncClient(transport=LocalTransport(gated, servers(1))) as client,
        anyio.create_task_group() as tasks,
    ):

        async def ask(content: str) -> None:
            await client.post(URL, content=content)

        for number in range(8):
            tasks.start_soon(ask, str(number))
            await anyio.wait_all_tasks_blocked()
        gated.opened.set()
    assert gated.came == [str(number) for number in range(8)]


async def test_a_failed_or_cancelled_request_frees_its_server():
    """After a timeout, and after a cancelled request, the server answers the next."""
    asked = 0

    async def first_two_fail(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise httpx.ReadTimeout("too slow", request=request)
        if asked == 2:
            await anyio.sleep_forever()
        return httpx.Response(200)

    transport = LocalTransport(httpx.MockTransport(first_two_fail), servers(1))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(URL)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.post, URL)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert (await client.post(URL)).status_code == 200


async def test_a_cancelled_wait_takes_no_server():
    """Who gives up while waiting for a server leaves it to the others."""
    gated = Gated()
    impatient = anyio.CancelScope()
    async with (
        httpx.AsyncClient(transport=LocalTransport(gated, servers(1))) as client,
        anyio.create_task_group() as tasks,
    ):

        async def ask(content: str) -> None:
            await client.post(URL, content=content)

        async def ask_impatiently() -> None:
            with impatient:
                await ask("second")

        tasks.start_soon(ask, "first")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask_impatiently)
        await anyio.wait_all_tasks_blocked()
        impatient.cancel()
        gated.opened.set()
        await ask("third")
    assert impatient.cancelled_caught
    assert gated.came == ["first", "third"]


async def test_a_dead_server_is_not_asked_again():
    """A server that no longer accepts connections fails one request; the living ones answer the rest."""
    asked: Counter[int | None] = Counter()

    def one_is_dead(request: httpx.Request) -> httpx.Response:
        asked[request.url.port] += 1
        if request.url.port == 9000:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200)

    transport = LocalTransport(httpx.MockTransport(one_is_dead), servers(2))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.ConnectError):
            await client.post(URL)
        for _ in range(5):
            assert (await client.post(URL)).status_code == 200
    assert asked == {9000: 1, 9001: 5}


async def test_when_all_are_dead_nobody_waits():
    """With the last server gone, those who wait for it, and all who come later, are told at once."""

    async def dies(request: httpx.Request) -> httpx.Response:
        await anyio.wait_all_tasks_blocked()
        raise httpx.ConnectError("refused", request=request)

    told = []
    transport = LocalTransport(httpx.MockTransport(dies), servers(1))
    async with httpx.AsyncClient(transport=transport) as client:

        async def ask() -> None:
            with pytest.raises(httpx.ConnectError) as error:
                await client.post(URL)
            told.append(str(error.value))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
        await ask()
    assert told == ["refused", *["every local model server has ended"] * 3]


async def test_a_request_may_end_after_the_transport():
    """A transport that is closed under a running request does not make its end fail."""
    let_go = anyio.Event()

    async def wait(_request: httpx.Request) -> httpx.Response:
        await let_go.wait()
        return httpx.Response(200)

    transport = LocalTransport(httpx.MockTransport(wait), servers(1))
    answers = []

    async def ask() -> None:
        answers.append(await transport.handle_async_request(httpx.Request("POST", URL)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await transport.aclose()
        let_go.set()
    assert [answer.status_code for answer in answers] == [200]
