"""Notices of hosted runs over loopback: which are taken, which are not, and what comes of them."""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.provider import Secret
from tasks_lib.engine.exchange import have
from tasks_lib.engine.wakes import Wakes
from tasks_lib.live import live_channel
from tasks_lib.live.courier import Carried, Courier
from tasks_lib.live.hook_server import Bounds, HookServer
from tasks_lib.live.hooks import ParallelHook, Verdict, WebagentHook
from tasks_lib.live.server import UnderWay
from tasks_lib.providers.protocol import Accepted, Pause, Request, Response
from tests.live.hook_senders import (
    PLAIN,
    WHSEC,
    Heard,
    answer_to,
    body_about,
    eventually,
    hearing,
    key_of_base64,
    key_of_text,
    request,
    signature,
    signed,
    status_of,
)
from tests.live.pretend import BATCH, Pretended

pytestmark = pytest.mark.anyio
PARALLEL = "/hooks/parallel"
ENDING = "Zm9yIHdlYmFnZW50IGFsb25l"
WEBAGENT = f"/hooks/webagent/{ENDING}"
OTHER_KEY = b"another key of thirty-two bytes."


def parallel(secret: str = WHSEC, **how: Any) -> ParallelHook:
    return ParallelHook(Secret("PARALLEL_WEBHOOK_SECRET", secret), **how)


def webagent() -> WebagentHook:
    return WebagentHook(Secret("WEBAGENT_HOOK_PATH", ENDING))


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    async with hearing(parallel(), webagent(), bounds=Bounds(seconds=20)) as found:
        yield found


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        (WHSEC, key_of_text(WHSEC)),
        (WHSEC, key_of_base64(WHSEC)),
        (WHSEC.removeprefix("whsec_"), key_of_base64(WHSEC)),
        (WHSEC.rstrip("="), key_of_base64(WHSEC)),
        (PLAIN, key_of_text(PLAIN)),
    ],
)
async def test_both_readings_of_the_secret_are_accepted(secret: str, key: bytes) -> None:
    """P19, 6.22: a notice may be signed with the secret's characters or with what they are base64 of."""
    async with hearing(parallel(secret)) as heard:
        assert await heard.tell("trun_1", key=key) == 204
        assert await heard.tell("trun_2", key=OTHER_KEY, message_id="whevent_2") == 401
        assert heard.runs == ["trun_1"]


async def test_one_of_several_signatures_is_enough(heard: Heard) -> None:
    """P19: while a secret is replaced there are several signatures, of which any may be ours, or none."""
    body = body_about("trun_1")
    good = signed(body)
    at = int(good["webhook-timestamp"])
    foreign = signature(OTHER_KEY, body=body, message_id="whevent_1", at=at)
    broken = ["v1", "v1,", "v1,%%%", "v2,c2ln", ",", "v1,c2ln,", foreign]
    none_of_ours = {**good, "webhook-signature": " ".join(broken)}
    assert await heard.post(PARALLEL, body, none_of_ours) == 401
    last_is_ours = {**good, "webhook-signature": " ".join([*broken, good["webhook-signature"]])}
    assert await heard.post(PARALLEL, body, last_is_ours) == 204
    too_many = {**signed(body, message_id="whevent_2")}
    too_many["webhook-signature"] = " ".join([foreign] * 8 + [too_many["webhook-signature"]])
    assert await heard.post(PARALLEL, body, too_many) == 401
    assert heard.runs == ["trun_1"]


@pytest.mark.parametrize(("age", "status"), [(295, 204), (306, 401), (-295, 204), (-306, 401), (86_400, 401)])
async def test_old_signatures_are_refused(heard: Heard, age: float, status: int) -> None:
    """P19: five minutes' difference is borne, either way; what was recorded and is sent later is refused."""
    assert await heard.tell("trun_1", age=age) == status
    assert heard.runs == (["trun_1"] if status == 204 else [])


async def test_forged_notices_are_refused(heard: Heard) -> None:
    """P19: nothing of a signed notice can be altered: not its id, its time or its body."""
    body = body_about("trun_1")
    good = signed(body)
    later = str(int(good["webhook-timestamp"]) + 1)
    forged = [
        (body_about("trun_2"), good),
        (body + b" ", good),
        (body, {**good, "webhook-id": "whevent_2"}),
        (body, {**good, "webhook-timestamp": later}),
        (body, signed(body, key=OTHER_KEY)),
        (body, signed(body, key=b"")),
        (body, {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v1a,")}),
        (b"\xff" + body, good),
    ]
    assert [await heard.post(PARALLEL, *one) for one in forged] == [401] * len(forged)
    assert heard.runs == []


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_unsigned_notices_are_refused(heard: Heard, missing: str) -> None:
    """P19: without one of the three headers, with two of one, or with one that cannot be, nothing is read."""
    body = body_about("trun_1")
    good = signed(body)
    without = {name: value for name, value in good.items() if name != missing}
    wrong: list[Any] = [
        without,
        {**good, missing: ""},
        [*good.items(), (missing, good[missing])],
    ]
    if missing == "webhook-timestamp":
        wrong += [{**good, missing: text} for text in ("nan", "-1", "1e9", "9" * 13, "٣", " ")]
    if missing == "webhook-id":
        wrong.append(signed(body, message_id="x" * 257))
    statuses = [await status_of(heard.port, request(PARALLEL, body, one)) for one in wrong]
    assert statuses == [400] * len(wrong)
    assert heard.runs == []
    assert {came.bytes for came in heard.came} == {0}


async def test_a_notice_that_comes_again_is_no_news(heard: Heard) -> None:
    """P19: told twice, since our answer was missed, or replayed: it is taken, and nothing happens."""
    body = body_about("trun_1")
    told = request(PARALLEL, body, signed(body))
    assert [await status_of(heard.port, told) for _ in range(3)] == [204] * 3
    assert await heard.tell("trun_1", age=-2) == 204  # again, and signed anew
    assert heard.runs == ["trun_1"]
    assert await heard.tell("trun_1", message_id="whevent_2") == 204
    assert heard.runs == ["trun_1", "trun_1"]


async def test_no_more_than_so_many_notices_are_remembered() -> None:
    """Those that came last are known; one that was forgotten costs a look, and no more."""
    hook = parallel(remembered=2)
    async with hearing(hook) as heard:
        for number in (1, 2, 3, 3, 2, 1):
            assert await heard.tell(f"trun_{number}", message_id=f"whevent_{number}") == 204
    assert heard.runs == ["trun_1", "trun_2", "trun_3", "trun_1"]
    assert len(hook._known) == 2


async def test_what_cannot_be_passed_on_is_to_be_told_again(heard: Heard) -> None:
    """P19: where there is no room for news they are refused for now, and taken when they are told again."""
    heard.room = 0
    assert await heard.tell("trun_1") == 503
    heard.room = 1
    assert await heard.tell("trun_1") == 204
    assert heard.runs == ["trun_1"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (body_about("trun_1", kind="task_group.status"), 204),
        (b'{"type": "findall.run.completed", "data": {"run_id": "trun_1"}}', 204),
        (body_about(""), 400),
        (body_about("trun 1"), 400),
        (body_about("../../etc/passwd"), 400),
        (body_about("x" * 129), 400),
        (b'{"type": "task_run.status", "data": {"run_id": 3}}', 400),
        (b'{"type": "task_run.status", "data": []}', 400),
        (b'{"type": "task_run.status"}', 400),
        (b'{"data": {"run_id": "trun_1"}}', 400),
        (b"[]", 400),
        (b"null", 400),
        (b"{", 400),
        (b"", 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 50_000, 400),
    ],
)
async def test_signed_notices_about_no_run(heard: Heard, body: bytes, status: int) -> None:
    """P19: what is signed and is about something else is taken, so that it ends; nonsense is not."""
    assert await heard.post(PARALLEL, body, signed(body)) == status
    assert heard.runs == []


@pytest.mark.parametrize(
    ("told", "runs"),
    [
        ({"task_id": 7, "task_run_id": 17, "status": "success", "is_done": True}, ["17"]),
        ({"task_id": "t", "task_run_id": "8a7f-3"}, ["8a7f-3"]),
        ({"id": "8a7f-3", "task_id": "t", "status": "success"}, ["8a7f-3"]),
    ],
)
async def test_webagents_notices_come_under_a_secret_path(
    heard: Heard, told: Mapping[str, Any], runs: list[str]
) -> None:
    """W09: an unsigned notice is taken where nobody else knows to send it, and says which run to look at."""
    assert await heard.post(WEBAGENT, orjson.dumps(told)) == 204
    assert heard.runs == runs


async def test_webagents_path_is_not_guessed(heard: Heard) -> None:
    """W09: under any other path nothing is taken and nothing is said of why."""
    body = orjson.dumps({"task_run_id": 17})
    for path in (
        "/hooks/webagent/",
        "/hooks/webagent",
        "/hooks/webagent/…".encode().decode("latin-1"),
        WEBAGENT[:-1],
        WEBAGENT + "x",
        WEBAGENT + "/",
        "/hooks/../hooks/webagent/" + ENDING,
        "//hooks/webagent/" + ENDING,
        "/",
        "*",
    ):
        assert await heard.post(path.replace("…", "%E2%80%A6"), body) in (404, 400), path
    assert heard.runs == []
    assert {came.hook for came in heard.came} == {None}
    assert await heard.post(WEBAGENT + "?from=webagent", body) == 204


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[17]", b'{"task_run_id": null}', b'{"task_run_id": true}', b'{"task_run_id": 1.5}',
     b'{"task_run_id": "a b"}', b'{"task_run_id": {"$gt": 0}}', b'{"task_run_id": "' + b"1" * 129 + b'"}',
     b'{"task_id": 7}', b"\xff\xfe", b"task_run_id=17"],
)  # fmt: skip
async def test_webagents_notices_about_no_run(heard: Heard, body: bytes) -> None:
    """W09: what names no run is refused."""
    assert await heard.post(WEBAGENT, body) == 400
    assert heard.runs == []


async def test_only_posts_are_taken(heard: Heard) -> None:
    """Whatever else is tried under a path of ours is told so, and elsewhere that nothing is there."""
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = await answer_to(heard.port, request(PARALLEL, method=method))
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"allow: POST\r\n" in answer.lower().replace(b"post", b"POST")
        assert await status_of(heard.port, request("/", method=method)) == 404
    assert heard.runs == []


async def test_what_is_too_long_is_not_read(heard: Heard) -> None:
    """A body that says that it is too long is not waited for, and one that does not say so is broken off."""
    told = {**signed(b""), "content-length": str(256 * 1024 + 1)}
    head = request(PARALLEL, b"", list(told.items())).replace(b"content-length: 0\r\n", b"")
    assert await status_of(heard.port, head) == 413
    assert heard.came[-1].bytes == 0
    enormous = head.replace(told["content-length"].encode(), b"9" * 20)
    assert await status_of(heard.port, enormous) in (400, 413)

    in_pieces = request(PARALLEL, b"", {**signed(b""), "transfer-encoding": "chunked"})
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    assert await status_of(heard.port, in_pieces, *[piece] * 9) == 413
    assert heard.came[-1].bytes <= 256 * 1024 + 0x8000
    assert heard.runs == []


async def test_bodies_may_come_in_pieces(heard: Heard) -> None:
    """Chunks, a body that follows later, and a sender that asks first whether it may: all of it is HTTP."""
    body = body_about("trun_1")
    chunked = request(PARALLEL, b"", {**signed(body), "transfer-encoding": "chunked"})
    pieces = [b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:10], body[10:])]
    assert await status_of(heard.port, chunked, *pieces, b"0\r\n\r\n") == 204

    whole = request(PARALLEL, body, signed(body, message_id="whevent_2"))
    assert await status_of(heard.port, *(whole[at : at + 7] for at in range(0, len(whole), 7))) == 204

    asking = request(PARALLEL, body, {**signed(body, message_id="whevent_3"), "expect": "100-continue"})
    answer = await answer_to(heard.port, asking[: -len(body)], body)
    assert [line for line in answer.splitlines() if line.startswith(b"HTTP")] in (
        [b"HTTP/1.1 100 ", b"HTTP/1.1 204 "],
        [b"HTTP/1.1 204 "],  # the body was there before it was asked for
    )
    assert heard.runs == ["trun_1"] * 3


async def test_an_older_http_is_enough(heard: Heard) -> None:
    """What stands in front may speak HTTP/1.0, as nginx does unless it is told otherwise."""
    body = body_about("trun_1")
    told = request(PARALLEL, body, signed(body)).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    assert await status_of(heard.port, told.replace(b"host: hooks.test\r\n", b"")) == 204
    assert heard.runs == ["trun_1"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2,  # TLS to a port without it
        b"hello\r\n\r\n",
        b"POST /hooks/parallel\r\n\r\n",
        b"POST /hooks/parallel HTTP/2.0\r\n\r\n",
        b"POST /hooks/parallel HTTP/1.1\r\n\r\n",  # no host
        b"POST /hooks/parallel HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /hooks/parallel HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
        b"POST /hooks/parallel HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST /hooks/parallel HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n",
        b"POST /hooks/parallel HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 40_000 + b"\r\n\r\n",
        b"\r\n" * 20_000,
        b"\x00" * 40_000,
    ],
)
async def test_garbage_is_answered_or_hung_up_on(heard: Heard, garbage: bytes) -> None:
    """What is no HTTP is told so, no word of it goes back, and the next notice is taken as ever."""
    answer = await answer_to(heard.port, garbage)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (head[:10], body) in ((b"HTTP/1.1 4", b""), (b"", b""))
    assert heard.runs == []
    assert await heard.tell("trun_1") == 204


async def test_nothing_that_came_goes_back_or_into_the_log(heard: Heard) -> None:
    """Answers have no body and are the same for all; what is told of a notice are words of ours."""
    mark = "canary7"
    body = body_about(f"trun_{mark}", metadata={mark: mark})
    good = signed(body, message_id=f"whevent_{mark}")
    tries = [
        request(PARALLEL, body, {**good, "x": mark}),
        request(PARALLEL, body, {**good, "webhook-signature": f"v1,{mark}"}),
        request(PARALLEL, body + b"}", {**good, "webhook-timestamp": mark}),
        request(f"/{mark}?{mark}", body, good),
        request(f"{PARALLEL}?{mark}", method=mark.upper()),
        request(WEBAGENT, orjson.dumps({"task_run_id": mark, mark: mark})),
        request(WEBAGENT, mark.encode()),
        mark.encode() + b"\r\n\r\n",
    ]
    answers = b"".join([await answer_to(heard.port, one) for one in tries])
    assert answers.count(b"HTTP/1.1 ") == len(tries)
    assert mark.encode() not in answers.lower()
    assert ENDING.encode() not in answers
    assert len(heard.came) == len(tries)
    assert mark not in repr(heard.came).lower()
    assert ENDING not in repr(heard.came)


async def test_slow_senders_are_hung_up_on() -> None:
    """A head or a body that trickles in or never ends is given so many seconds, and told that it was late."""
    body = body_about("trun_1")
    whole = request(PARALLEL, body, signed(body))

    async def trickle(port: int, data: bytes, found: list[bytes]) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as sending:

            async def send() -> None:
                with anyio.move_on_after(30):
                    for at in range(len(data)):
                        try:
                            await stream.send(data[at : at + 1])
                        except anyio.BrokenResourceError:
                            return
                        await anyio.sleep(0.1)

            sending.start_soon(send)
            try:
                found.append(await stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                found.append(b"")
            sending.cancel_scope.cancel()

    async with hearing(parallel(), bounds=Bounds(seconds=0.3)) as heard:
        found: list[bytes] = []
        async with anyio.create_task_group() as senders:
            for data in (whole, b"POST /hooks/parallel HTTP/1.1\r\n" + b"a: b\r\n" * 100, b"G" * 200):
                senders.start_soon(trickle, heard.port, data, found)
            senders.start_soon(trickle, heard.port, b"", found)  # says nothing at all
        assert [answer[:12] for answer in found] == [b"HTTP/1.1 408"] * 4
        assert heard.runs == []
        assert await heard.tell("trun_1") == 204


async def test_slow_senders_do_not_keep_others_out_for_long() -> None:
    """While all places are taken others are told to come again, and are let in once those are gone."""
    async with hearing(parallel(), bounds=Bounds(connections=3, seconds=1.0)) as heard:
        slow = [await anyio.connect_tcp("127.0.0.1", heard.port) for _ in range(3)]
        for stream in slow:
            await stream.send(b"POST /hooks/parallel HTTP/1.1\r\nx: ")
        assert await until(503, heard)
        statuses = [await heard.tell("trun_1")]
        while statuses[-1] != 204:
            statuses.append(await heard.tell("trun_1"))
        assert set(statuses) <= {503, 204}
        assert heard.runs == ["trun_1"]
        for stream in slow:
            await stream.aclose()


async def until(status: int, heard: Heard) -> bool:
    """Whether one of the next notices is answered so, while it is not certain who came first."""
    return any([await heard.tell("trun_0", key=OTHER_KEY) == status for _ in range(3)])


async def test_an_error_of_ours_ends_one_connection() -> None:
    """Should a hook ever break, its sender is hung up on, it is told, and all else goes on."""

    class Broken(WebagentHook):
        def judged(self, headers: Sequence[tuple[str, str]], body: bytes) -> Verdict:
            raise ZeroDivisionError

    async with hearing(parallel(), Broken(Secret("X", ENDING))) as heard:
        assert await heard.post(WEBAGENT, b"{}") == 0
        assert "ZeroDivisionError" in heard.came[-1].why
        assert await heard.tell("trun_1") == 204


async def test_a_port_that_is_taken() -> None:
    """Where nobody can listen it is said before anything is begun."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        opened = partial(HookServer.opened, [parallel()], offer=lambda _: True, came=lambda _: None)
        with pytest.raises(Mistake, match=r"cannot listen at 127\.0\.0\.1, port \d+: "):
            await opened(host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(Mistake, match="cannot listen at nowhere, port 0"):
            await opened(host="nowhere", port=0)


@pytest.mark.parametrize("secret", ["short", "whsec_c2hvcnQ=", "é" * 7])
def test_a_secret_that_anybody_guesses(secret: str) -> None:
    """P19: a secret of a few bytes is refused by its variable's name, and is not shown."""
    with pytest.raises(Mistake, match="what PARALLEL_WEBHOOK_SECRET holds is no signing secret") as told:
        parallel(secret)
    assert secret not in str(told.value)


@pytest.mark.parametrize(
    "path", ["short", "a/b/c/d/e/f/g/h/i/j", "x" * 129, "with space in the path", "é" * 20]
)
def test_a_path_that_anybody_guesses(path: str) -> None:
    """W09: a path that is short, or cannot stand in an address, is refused and not shown."""
    with pytest.raises(Mistake, match="what WEBAGENT_HOOK_PATH holds is no secret path") as told:
        WebagentHook(Secret("WEBAGENT_HOOK_PATH", path))
    assert path not in str(told.value)


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "other"]),
        st.one_of(st.text(), st.from_regex(r"v1,[A-Za-z0-9+/=, ]*", fullmatch=True), st.just("1700000000")),
    ),
    max_size=6,
)


@given(headers=HEADERS, body=st.binary())
def test_nothing_unsigned_is_ever_taken(headers: list[tuple[str, str]], body: bytes) -> None:
    """P19: whatever headers and bodies are made up, none is taken, and none raises."""
    hook = parallel()
    refusal = hook.refusal(headers)
    assert refusal is None or refusal.status in (400, 401)
    assert hook.judged(headers, body).status == 401


# What comes of news


class Waiting(Pretended):
    """A batch that waits for hosted runs."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = Wakes()

    def news(self, remote_ids: Sequence[str]) -> None:
        super().news(remote_ids)
        for remote_id in remote_ids:
            self.wakes.wake(remote_id)


def asks_nothing(_: Mapping[str, Any]) -> UnderWay:
    raise NotImplementedError


class Looks:
    """A hosted run that is over once it was told so, and each look at it."""

    def __init__(self) -> None:
        self.times = 0
        self.paused = anyio.Event()
        self.is_over = False

    async def send(self, _: Request) -> Response:
        self.times += 1
        return Response(status=200 if self.is_over else 202, headers={"date": "then"})

    def exchange(self, remote_id: str) -> Any:
        yield Accepted(remote_id=remote_id)
        while True:
            response = yield Request(method="GET", url="https://acme.test/run", headers={})
            if response.status == 200:
                return remote_id
            self.paused.set()
            yield Pause(seconds=3_600)


@pytest.mark.parametrize(
    ("path", "body"),
    [(PARALLEL, body_about("trun_1")), (WEBAGENT, b'{"task_run_id": "trun_1", "is_done": true}')],
)
async def test_a_notice_has_a_run_looked_at(tmp_path: Path, path: str, body: bytes) -> None:
    """W09, P19: a batch that would look again in an hour looks at once, from port to channel to exchange."""
    ledger, batch, run, said = tmp_path / "ledger.duckdb", Waiting(), Looks(), list[str]()
    courier = Courier(ledger, say=said.append)
    outcomes: list[object] = []

    async def wait() -> None:
        with batch.wakes.waiting() as wake:
            outcomes.append(await have(run.exchange("trun_1"), run, wake=wake))

    async with (
        hearing(parallel(), webagent(), offer=courier.offer) as heard,
        live_channel(batch, asks_nothing, ledger=ledger, batch_id=BATCH),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(courier.run)
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(wait)
            await run.paused.wait()
            run.is_over = True
            assert await heard.post(path, body, signed(body)) == 204
        await eventually(lambda: courier.carried == Carried(told=1))
        tasks.cancel_scope.cancel()
    assert outcomes == ["trun_1"]
    assert (run.times, batch.heard) == (2, ["trun_1"])
    assert said == []


async def test_without_a_batch_notices_are_only_counted(tmp_path: Path) -> None:
    """No batch is needed to listen, and it is told once that there is none, and once that there is one."""
    ledger, batch, said = tmp_path / "ledger.duckdb", Waiting(), list[str]()
    courier = Courier(ledger, say=said.append)

    async def carried(told: int, only_counted: int) -> None:
        await eventually(lambda: courier.carried == Carried(told=told, only_counted=only_counted))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(courier.run)
        for number in (1, 2):
            assert courier.offer(f"trun_{number}")
            await carried(0, number)
        async with live_channel(batch, asks_nothing, ledger=ledger, batch_id=BATCH):
            courier.offer("trun_3")
            await carried(1, 2)
        courier.offer("trun_4")
        await carried(1, 3)
        tasks.cancel_scope.cancel()
    assert batch.heard == ["trun_3"]
    assert said == [
        "only counted: no batch is running",
        "a batch is running and is told",
        "only counted: no batch is running",
    ]


async def test_what_has_come_by_the_end_is_told(tmp_path: Path) -> None:
    """News that were taken just before the end are told and counted all the same, each once."""
    courier = Courier(tmp_path / "ledger.duckdb", say=lambda _: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(courier.run)
        await anyio.lowlevel.checkpoint()
        courier.offer("trun_1")
        await anyio.lowlevel.checkpoint()  # the first is under way now
        courier.offer("trun_2")
        tasks.cancel_scope.cancel()
    assert courier.carried == Carried(only_counted=2)


async def test_a_batch_of_an_older_version_is_left_alone(tmp_path: Path) -> None:
    """A batch that cannot be told goes on polling, and why is said."""
    ledger, said = tmp_path / "ledger.duckdb", list[str]()

    class Older(Pretended):
        def news(self, remote_ids: Sequence[str]) -> None:
            raise Mistake("the batch that runs knows no command 'news'")

    courier = Courier(ledger, say=said.append)
    async with (
        live_channel(Older(), asks_nothing, ledger=ledger, batch_id=BATCH),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(courier.run)
        courier.offer("trun_1")
        await eventually(lambda: bool(said))
        tasks.cancel_scope.cancel()
    assert said == ["only counted: the batch that runs knows no command 'news'"]


def test_there_is_an_end_to_what_waits(tmp_path: Path) -> None:
    """So many runs with news wait at most; one that waits already takes no further room."""
    courier = Courier(tmp_path / "ledger.duckdb", say=print, most_waiting=3)
    offered = [courier.offer(f"trun_{number}") for number in (1, 2, 3, 4, 1, 3)]
    assert offered == [True, True, True, False, True, True]
