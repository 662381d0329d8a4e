"""The channel within one process: who may talk, what is done, and what cannot harm the batch."""

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import anyio
import orjson
import pyarrow as pa
import pytest
from anyio import to_thread

from tasks_lib.domain.mistake import Mistake
from tasks_lib.ledger import Ledger
from tasks_lib.ledger.questions import Questions
from tasks_lib.live import (
    AccountNow,
    NothingRunning,
    Notice,
    Snapshot,
    connected,
    live_channel,
    notice_beside,
    notice_path,
    reach,
)
from tasks_lib.live.client import Client
from tasks_lib.live.notice import post, take_down
from tests.ledger.builders import begin, runs
from tests.live.pretend import BATCH, Pretended

pytestmark = pytest.mark.anyio
T = TypeVar("T")


async def with_client(ledger: Path, do: Callable[[Client], T]) -> T:
    """What a client of a thread finds, so that the loop is free to answer."""

    def work() -> T:
        with connected(ledger) as client:
            return do(client)

    return await to_thread.run_sync(work)


async def test_a_batch_is_looked_at_and_acted_on(path: Path, ledger: Ledger) -> None:
    """A client sees the batch as it is, to the last digit of its cost, and can pause, resume and end it."""
    batch = Pretended()
    async with live_channel(batch, Questions(ledger).begin, ledger=path, batch_id=BATCH):
        seen = await with_client(path, Client.snapshot)
        assert seen == replace(Pretended().snapshot())
        assert seen.cost == Decimal("0.000000000001")
        for act in (Client.pause, Client.resume, Client.cancel):
            await with_client(path, act)
    assert batch.done == ["pause", "resume", "cancel"]


async def test_a_pause_of_unknown_length_is_looked_at(path: Path, ledger: Ledger) -> None:
    """JSON knows no infinity: a client is told that nobody knows."""

    class Closed(Pretended):
        def snapshot(self) -> Snapshot:
            account = AccountNow(
                provider="openai", in_flight=0, most_in_flight=1, closed_for=inf, waits_seconds=inf
            )
            return replace(super().snapshot(), accounts=(account,))

    async with live_channel(Closed(), Questions(ledger).begin, ledger=path, batch_id=BATCH):
        (account,) = (await with_client(path, Client.snapshot)).accounts
    assert (account.closed_for, account.waits_seconds) == (None, None)


async def test_limits_are_shown_and_changed(path: Path, ledger: Ledger) -> None:
    """Limits can be read without a change; one that is not known is told in the batch's words."""
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH):
        assert await with_client(path, Client.limits) == {"in_flight": 8, "max_cost": None}
        changed = await with_client(path, lambda client: client.limits({"in_flight": 32}))
        assert changed == {"in_flight": 32, "max_cost": None}
        with pytest.raises(Mistake, match=r"limits\.in_fligth is not known"):
            await with_client(path, lambda client: client.limits({"in_fligth": 32}))


async def test_the_ledger_is_asked(path: Path, ledger: Ledger) -> None:
    """Questions are answered from the ledger as it is at that moment."""
    begun = begin(ledger)
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=begun):
        for so_far in (3, 6):
            ledger.add(list(runs(3, first=so_far)), batch_id=begun)
            found = await with_client(
                path, lambda client: client.ask({"ask": "sql", "text": "select count(*) as n from task_runs"})
            )
            assert found["rows"].to_pylist() == [{"n": so_far}]


async def test_a_long_answer_comes_in_pieces(path: Path, ledger: Ledger) -> None:
    """An answer of many rows arrives whole and in order."""
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH):
        text = "select range as i, 'row ' || range as t from range(100_000)"
        found = (await with_client(path, lambda client: client.ask({"ask": "sql", "text": text})))["rows"]
    assert found.num_rows == 100_000
    assert found.column("i").to_pylist() == list(range(100_000))
    assert found.column("t")[99_999].as_py() == "row 99999"


async def test_without_the_token_nothing_is_said(path: Path, ledger: Ledger) -> None:
    """Whoever does not know the token is told so and nothing else, and no command of theirs is done."""
    batch = Pretended()
    async with live_channel(batch, Questions(ledger).begin, ledger=path, batch_id=BATCH) as channel:
        assert channel.notice is not None
        for token in (b"", b"x", b"x" * 10_000, channel.notice.token[:-1].encode(), b"\xff\x00"):
            said = await to_thread.run_sync(
                partial(_talk, channel.notice.port, token + b'\n{"do": "cancel"}\n')
            )
            assert said in (b'{"mistake":"the token is wrong"}\n', b""), token
    assert batch.done == []
    assert batch.looks == 0


def _talk(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        heard = bytearray()
        try:
            connection.sendall(text)
            while piece := connection.recv(65_536):
                heard += piece
        except ConnectionResetError:  # it hung up while there was more to be read
            pass
        return bytes(heard)


async def test_nonsense_is_answered(path: Path, ledger: Ledger) -> None:
    """What is no request is told so, and the connection can be used on."""
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH) as channel:
        assert channel.notice is not None
        requests = [b"{", b"[]", b"null", b'{"do": "dance"}', b'{"ask": "riddle"}', b'{"ask": "sql"}',
                    b'{"do": "limits", "changes": 3}']  # fmt: skip

        def talk(notice: Notice) -> list[bytes]:
            with socket.create_connection(("127.0.0.1", notice.port), timeout=20) as connection:
                stream = connection.makefile("rwb")
                stream.write(notice.token.encode() + b"\n")
                stream.write(b"\n".join(requests) + b"\n")
                stream.flush()
                return [stream.readline() for _ in range(len(requests) + 1)]

        hello, *answers = await to_thread.run_sync(talk, channel.notice)
    assert orjson.loads(hello) == {"batch": BATCH}
    assert [list(orjson.loads(answer)) for answer in answers] == [["mistake"]] * len(requests)


async def test_a_running_that_fails_fails_alone(path: Path, ledger: Ledger) -> None:
    """An error in what answers a client ends that client's connection and nothing else."""

    class Broken(Pretended):
        def pause(self) -> None:
            raise ZeroDivisionError

    async with live_channel(Broken(), Questions(ledger).begin, ledger=path, batch_id=BATCH):
        with pytest.raises(NothingRunning):
            await with_client(path, Client.pause)
        assert (await with_client(path, Client.snapshot)).job == "reviews"


class Endless:
    """A question that goes on until it is interrupted."""

    def __init__(self) -> None:
        self.interrupted = False
        self.closed = threading.Event()

    def begin(self, _: Mapping[str, Any]) -> "Endless":
        return self

    def tables(self) -> Iterator[tuple[str, pa.Schema, Iterator[pa.RecordBatch]]]:
        yield "rows", pa.schema({"i": pa.int64()}), self._batches()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while not self.interrupted:
            yield pa.record_batch({"i": [1]})
        raise Mistake("interrupted")

    def interrupt(self) -> None:
        self.interrupted = True

    def close(self) -> None:
        self.closed.set()


async def test_a_client_that_hangs_up_ends_its_question(path: Path) -> None:
    """Nobody waits for the answer any more, so that it is not worked out to its end."""
    endless = Endless()
    async with live_channel(Pretended(), endless.begin, ledger=path, batch_id=BATCH) as channel:
        notice = channel.notice
        assert notice is not None

        def hang_up() -> None:
            with socket.create_connection(("127.0.0.1", notice.port), timeout=20) as connection:
                connection.sendall(notice.token.encode() + b'\n{"ask": "sql", "text": "from t"}\n')
                assert connection.recv(100)

        await to_thread.run_sync(hang_up)
        with anyio.fail_after(20):
            await to_thread.run_sync(endless.closed.wait)
    assert endless.interrupted


async def test_a_question_has_its_time(path: Path) -> None:
    """A question that takes too long is interrupted, and it is said why."""
    endless = Endless()
    async with live_channel(Pretended(), endless.begin, ledger=path, batch_id=BATCH, answer_seconds=0.05):
        with pytest.raises(Mistake, match=r"longer than 0\.05 s"):
            await with_client(path, lambda client: client.ask({"ask": "sql", "text": "from t"}))
    assert endless.closed.is_set()


async def test_the_end_of_a_batch_waits_for_no_question(path: Path, ledger: Ledger) -> None:
    """A batch that ends interrupts what is asked of it, even a statement in the middle of DuckDB."""
    heavy = "select count(*) from range(1_000_000) a, range(1_000_000) b where a.range * b.range % 7 = 3"
    asked = anyio.Event()

    async def ask() -> None:
        client = await to_thread.run_sync(reach, path)
        assert client is not None
        with client:
            client._say({"ask": "sql", "text": heavy}, seconds=60)
            asked.set()
            with pytest.raises(Mistake):
                await to_thread.run_sync(client._heard)

    async with (
        anyio.create_task_group() as beside,
        live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH),
    ):
        beside.start_soon(ask)
        await asked.wait()
        await with_client(path, Client.snapshot)  # the question is with the server by now
    assert reach(path) is None


async def test_an_error_inside_is_raised_as_it_is(path: Path, ledger: Ledger) -> None:
    """The channel wraps no error of the batch in a group of its own."""
    with pytest.raises(ZeroDivisionError):
        async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH):
            raise ZeroDivisionError
    assert not notice_path(path).exists()


async def test_the_notice_is_for_its_owner_alone(path: Path, ledger: Ledger) -> None:
    """The file with the token can be read by nobody else, no repr shows it, and it is gone at the end."""
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH) as channel:
        assert channel.notice is not None
        assert stat.S_IMODE(notice_path(path).stat().st_mode) == 0o600
        assert channel.notice.token not in repr(channel)
        assert notice_beside(path) == channel.notice
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]


async def test_a_ledger_is_found_by_another_name(path: Path, ledger: Ledger) -> None:
    """A link to the ledger leads to the same batch."""
    link = path.parent / "link.duckdb"
    link.symlink_to(path)
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH):
        assert (await with_client(link, Client.snapshot)).batch_id == BATCH


async def test_two_batches_on_one_ledger(path: Path, ledger: Ledger) -> None:
    """Of two batches of a process the later one is found, and when it has ended the earlier one again."""
    other = "0197a200-f827-7db7-8d89-000000000000"
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH):
        async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=other):
            assert await with_client(path, lambda client: client.notice.batch_id) == other
        assert await with_client(path, lambda client: client.notice.batch_id) == BATCH
    assert reach(path) is None


async def test_no_place_for_a_notice(tmp_path: Path, ledger: Ledger) -> None:
    """Where no file can be made there is no channel, it is said why, and the batch goes on."""
    nowhere = tmp_path / "gone" / "ledger.duckdb"
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=nowhere, batch_id=BATCH) as channel:
        assert channel.notice is None
        assert channel.off is not None
        assert "No such file or directory" in channel.off


def dead_pid() -> int:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child


async def test_a_stale_notice_is_ignored(path: Path, ledger: Ledger) -> None:
    """A notice of a dead process, of another machine, or of a port where nobody knows it, counts as none."""
    good = Notice(batch_id=BATCH, pid=os.getpid(), host=socket.gethostname(), port=1, token="t" * 43)
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH) as channel:
        assert channel.notice is not None
        elsewhere = path.with_name("other.duckdb")
        for stale in (
            good,
            replace(channel.notice, pid=dead_pid()),
            replace(channel.notice, host="somewhere else"),
            replace(channel.notice, token="wrong"),  # noqa: S106
            replace(channel.notice, batch_id="another batch"),
        ):
            post(stale, ledger=elsewhere)
            assert await to_thread.run_sync(reach, elsewhere) is None, stale
            take_down(stale, ledger=elsewhere)
        assert not notice_path(elsewhere).exists()
    for text in (b"", b"{}", b"not json", b'{"pid": "x"}', b"\xff" * 70_000):
        notice_path(path).write_bytes(text)
        assert await to_thread.run_sync(reach, path) is None


async def test_a_notice_of_another_process_is_left_alone(path: Path, ledger: Ledger) -> None:
    """Who ends removes no notice that is another's by now."""
    async with live_channel(Pretended(), Questions(ledger).begin, ledger=path, batch_id=BATCH) as channel:
        assert channel.notice is not None
        theirs = replace(channel.notice, token="theirs")  # noqa: S106
        post(theirs, ledger=path)
    assert notice_path(path).exists()
    take_down(theirs, ledger=path)


async def test_runs_with_news_are_named(path: Path, ledger: Ledger) -> None:
    """W09, P19: a batch is told which hosted runs to look at, however many, and nothing else of them."""
    batch = Pretended()
    names = [f"trun_{number}" for number in range(2_500)]
    async with live_channel(batch, Questions(ledger).begin, ledger=path, batch_id=BATCH):
        await with_client(path, lambda client: client.news(names))
        assert batch.heard == names
        await with_client(path, lambda client: client.news([]))
        for told in (None, "trun_1", {"trun_1": 1}, ["trun_1", 2], ["x"] * 1_001):
            order = {"do": "news", "runs": told}
            with pytest.raises(Mistake, match="a list of at most 1000 ids"):
                await with_client(path, lambda client, order=order: client._do(order))  # type: ignore[misc]
    assert batch.heard == names
