"""Requests to rowmill.local wait for a free server; all others pass by."""

import json
from base64 import b64decode
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.lowlevel import checkpoint
from PIL import Image

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.local import LOCAL_BASE_URL, LocalModel, LocalServers, LocalTransport
from tasks_lib.local.speech import SpeakerGone, Unspeakable
from tasks_lib.providers.protocol import Request, Response

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


def request(body: bytes = b"", url: str = URL) -> Request:
    return Request(method="POST", url=url, headers={"authorization": "Bearer old", "x-mine": "1"}, body=body)


def port_of(request: Request) -> int | None:
    return urlsplit(request.url).port


class Does:
    """A network that does with each request what it is told to."""

    def __init__(self, answer) -> None:
        self.send = answer


class Gated:
    """Answers nobody before it is opened; knows who came, and how many each server had at most at once."""

    def __init__(self) -> None:
        self.opened = anyio.Event()
        self.came: list[bytes] = []
        self.at_most: Counter[int | None] = Counter()
        self._now: Counter[int | None] = Counter()

    async def send(self, request: Request) -> Response:
        port = port_of(request)
        self.came.append(request.body)
        self._now[port] += 1
        self.at_most[port] = max(self.at_most[port], self._now[port])
        await self.opened.wait()
        await checkpoint()
        self._now[port] -= 1
        return Response(status=200, headers={})


async def noted(url: str) -> tuple[Request, Request]:
    """What was asked at this URL, and what arrived of it."""
    seen = []

    async def note(arrived: Request) -> Response:
        seen.append(arrived)
        return Response(status=201, headers={}, body=b"ok")

    asked = request(b"{}", url)
    async with LocalTransport(Does(note), servers(1)) as transport:
        assert await transport.send(asked) == Response(status=201, headers={}, body=b"ok")
    (arrived,) = seen
    return asked, arrived


async def test_a_request_is_sent_to_a_server_with_its_key():
    """Address and key become the server's; path, query, body and everything else stay as they were."""
    asked, arrived = await noted(f"{URL}?a=b")
    assert arrived.url == "http://127.0.0.1:9000/v1/chat/completions?a=b"
    assert (arrived.method, arrived.body) == ("POST", b"{}")
    assert arrived.headers == {"authorization": "Bearer the-key", "x-mine": "1"}
    assert asked.headers["authorization"] == "Bearer old"


async def test_another_host_is_left_alone():
    """A request to anywhere else goes through as it is, without the key."""
    asked, arrived = await noted("http://rowmill.local.example/v1")
    assert arrived is asked


@pytest.mark.parametrize("count", [1, 3])
async def test_each_server_has_one_request_at_a_time(count: int):
    """However many ask at once, every server works, each on one request, and all are answered."""
    gated = Gated()
    async with LocalTransport(gated, servers(count)) as transport, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(transport.send, request())
        await anyio.wait_all_tasks_blocked()
        assert len(gated.came) == count
        gated.opened.set()
    assert gated.at_most == {9000 + n: 1 for n in range(count)}
    assert len(gated.came) == 20


async def test_who_comes_first_is_served_first():
    """Requests that wait for a server get it in the order in which they came."""
    gated = Gated()
    async with LocalTransport(gated, servers(1)) as transport, anyio.create_task_group() as tasks:

        async def ask(body: bytes) -> None:
            await transport.send(request(body))

        for number in range(8):
            tasks.start_soon(ask, b"%d" % number)
            await anyio.wait_all_tasks_blocked()
        gated.opened.set()
    assert gated.came == [b"%d" % number for number in range(8)]


LATE = Failure(kind=FailureKind.TIMEOUT, message="too slow", maybe_billed=True)
REFUSED = Failure(kind=FailureKind.CONNECTION, message="refused")
OK = Response(status=200, headers={})


async def test_a_failed_or_cancelled_request_frees_its_server():
    """After a timeout, and after a cancelled request, the server answers the next."""
    asked = 0

    async def first_two_fail(_request: Request) -> Response | Failure:
        nonlocal asked
        asked += 1
        if asked == 1:
            return LATE
        if asked == 2:
            await anyio.sleep_forever()
        return OK

    async with LocalTransport(Does(first_two_fail), servers(1)) as transport:
        assert await transport.send(request()) is LATE
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.send, request())
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert await transport.send(request()) is OK


async def test_a_cancelled_wait_takes_no_server():
    """Who gives up while waiting for a server leaves it to the others."""
    gated = Gated()
    impatient = anyio.CancelScope()
    async with LocalTransport(gated, servers(1)) as transport, anyio.create_task_group() as tasks:

        async def ask(body: bytes) -> None:
            await transport.send(request(body))

        async def ask_impatiently() -> None:
            with impatient:
                await ask(b"second")

        tasks.start_soon(ask, b"first")
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(ask_impatiently)
        await anyio.wait_all_tasks_blocked()
        impatient.cancel()
        gated.opened.set()
        await ask(b"third")
    assert impatient.cancelled_caught
    assert gated.came == [b"first", b"third"]


async def test_a_dead_server_is_not_asked_again():
    """A server that no longer accepts connections fails one request; the living ones answer the rest."""
    asked: Counter[int | None] = Counter()

    async def one_is_dead(request: Request) -> Response | Failure:
        asked[port_of(request)] += 1
        return REFUSED if port_of(request) == 9000 else OK

    async with LocalTransport(Does(one_is_dead), servers(2)) as transport:
        answers = [await transport.send(request()) for _ in range(6)]
    assert answers == [REFUSED, *[OK] * 5]
    assert asked == {9000: 1, 9001: 5}


async def test_when_all_are_dead_nobody_waits():
    """With the last server gone, those who wait for it, and all who come later, are told at once."""

    async def dies(_request: Request) -> Failure:
        await anyio.wait_all_tasks_blocked()
        return REFUSED

    told = []
    async with LocalTransport(Does(dies), servers(1)) as transport:

        async def ask() -> None:
            failure = await transport.send(request())
            assert isinstance(failure, Failure)
            assert (failure.kind, failure.maybe_billed) == (FailureKind.CONNECTION, False)
            told.append(failure.message)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
        await ask()
    assert told == ["refused", *["every local model server has ended"] * 3]


async def test_a_request_may_end_after_the_transport():
    """A transport that is closed under a running request does not make its end fail."""
    let_go = anyio.Event()

    async def wait(_request: Request) -> Response:
        await let_go.wait()
        return OK

    transport = LocalTransport(Does(wait), servers(1))
    answers = []

    async def ask() -> None:
        answers.append(await transport.send(request()))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        await transport.__aexit__()
        let_go.set()
    assert answers == [OK]


SCENE = {
    "caption": "A boat",
    "background": "blue",
    "shapes": [{"kind": "star", "x": 50, "y": 50, "size": 40}],
}


class Tells:
    """A network in which every model answers with this text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[dict[str, Any]] = []

    async def send(self, request: Request) -> Response:
        self.asked.append({"url": request.url, **json.loads(request.body)})
        usage = {"prompt_tokens": 300, "completion_tokens": 90}
        told = {"choices": [{"message": {"content": self.text}, "finish_reason": "stop"}], "usage": usage}
        return Response(status=200, headers={}, body=json.dumps(told).encode())


def media_request(path: str, **fields: object) -> Request:
    return request(json.dumps(fields).encode(), f"{LOCAL_BASE_URL}/{path}")


async def told(transport: LocalTransport, asked: Request) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    answer = await transport.send(asked)
    assert isinstance(answer, Response), answer
    return answer.status, json.loads(bytes(answer.body))


@pytest.mark.parametrize("file_type", [None, "png", "jpeg"])
async def test_a_picture_is_a_scene_that_is_drawn(file_type: str | None):
    """A server is asked for a scene under a schema; its drawing, caption and tokens are a picture's."""
    network = Tells(json.dumps(SCENE))
    asked: dict[str, object] = {"prompt": "A boat at sea"} | (
        {"output_format": file_type} if file_type else {}
    )
    async with LocalTransport(network, servers(1)) as transport:
        status, body = await told(transport, media_request("images/generations", **asked))
        await told(transport, media_request("images/generations", **asked))
    assert (status, body["usage"]) == (200, {"input_tokens": 300, "output_tokens": 90})
    assert body["data"][0]["revised_prompt"] == "A boat"
    with Image.open(BytesIO(b64decode(body["data"][0]["b64_json"]))) as picture:
        assert (picture.format, picture.size) == ((file_type or "png").upper(), (512, 512))
    first, second = network.asked
    assert first["url"] == "http://127.0.0.1:9000/v1/chat/completions"
    assert first["messages"][-1]["content"] == "A boat at sea"
    assert first["response_format"]["type"] == "json_schema"
    assert first == second  # the seed, too


@pytest.mark.parametrize("text", ["no scene", "[]", '{"shapes": [{"kind": "dragon"}]}', '{"shapes": [{'])
async def test_an_answer_that_is_no_scene_is_asked_for_again(text: str):
    """It is told as Groq tells of JSON that does not fit: the answer was invalid, and not the server."""
    async with LocalTransport(Tells(text), servers(1)) as transport:
        status, body = await told(transport, media_request("images/generations", prompt="A boat"))
    assert (status, body["error"]["code"]) == (422, "json_validate_failed")


async def test_pictures_are_drawn_and_never_changed():
    """Who sends a picture is told so; no server is asked, and none is said to be unknown."""
    network = Tells("")
    async with LocalTransport(network, servers(1)) as transport:
        status, body = await told(transport, request(b"--form", f"{LOCAL_BASE_URL}/images/edits"))
    assert (status, network.asked) == (400, [])
    assert "made from text" in body["error"]["message"]


async def test_a_form_that_is_not_drawn_is_refused():
    """Before a server is asked."""
    network = Tells("")
    asked = media_request("images/generations", prompt="A boat", output_format="gif")
    async with LocalTransport(network, servers(1)) as transport:
        status, body = await told(transport, asked)
    assert (status, network.asked) == (400, [])
    assert "png, jpeg, webp" in body["error"]["message"]


async def test_a_server_s_error_is_passed_on():
    """A prompt that is too long is told in the server's own words."""
    long = Response(status=400, headers={}, body=b'{"error":{"message":"too long"}}')

    async def refuse(_request: Request) -> Response:
        return long

    async with LocalTransport(Does(refuse), servers(1)) as transport:
        assert await transport.send(media_request("images/generations", prompt="x")) == long


class Speaks:
    """A voice that notes what it is asked for."""

    def __init__(self, answer: bytes | Unspeakable | None = b"RIFF") -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, float]] = []

    async def wav(self, text: str, *, voice: str, speed: float) -> bytes | Unspeakable:
        self.asked.append((text, voice, speed))
        if self.answer is None:
            raise SpeakerGone
        return self.answer


async def test_speech_comes_from_the_voice_and_needs_no_server():
    """The API's default voice is the language that is spoken here by default; others go by name."""
    voice = Speaks()
    async with LocalTransport(Tells(""), None, speaker=voice) as transport:
        for fields in ({"voice": "alloy"}, {"voice": "de", "speed": 2, "response_format": "wav"}):
            asked = media_request("audio/speech", model="espeak", input="Hello", **fields)
            assert await transport.send(asked) == Response(
                status=200, headers={"content-type": "audio/wav"}, body=b"RIFF"
            )
    assert voice.asked == [("Hello", "en-us", 1.0), ("Hello", "de", 2.0)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"input": "Hello", "response_format": "mp3"}, "WAV only"),
        ({"input": " \n"}, "no text"),
        ({}, "no text"),
        ({"input": "x" * 20_001}, "20001 characters"),
        ({"input": "x", "speed": 9}, "speed"),
        ({"input": "x", "speed": True}, "speed"),
    ],
)
async def test_what_cannot_be_spoken_is_refused(fields: dict[str, Any], reason: str):
    """As the API would: 400, with the reason, and the voice is not asked."""
    voice = Speaks()
    async with LocalTransport(Tells(""), None, speaker=voice) as transport:
        status, body = await told(transport, media_request("audio/speech", **fields))
    assert (status, voice.asked) == (400, [])
    assert reason in body["error"]["message"]


async def test_what_the_voice_says_of_a_request_is_told():
    """An unknown voice is the request's fault; a voice that has gone is a connection that is lost."""
    asked = media_request("audio/speech", input="Hello")
    async with LocalTransport(Tells(""), None, speaker=Speaks(Unspeakable(reason="no such"))) as transport:
        assert (await told(transport, asked))[1]["error"]["message"] == "no such"
    async with LocalTransport(Tells(""), None, speaker=Speaks(None)) as transport:
        assert await transport.send(asked) == Failure(
            kind=FailureKind.CONNECTION, message="the local voice has ended"
        )
    async with LocalTransport(Tells(""), servers(1)) as transport:
        assert (await told(transport, asked))[0] == 404


async def test_without_servers_nobody_waits_for_words():
    """Who opened only the voice is told at once that no server is there."""
    async with LocalTransport(Tells(""), None, speaker=Speaks()) as transport:
        failure = await transport.send(request())
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.CONNECTION
