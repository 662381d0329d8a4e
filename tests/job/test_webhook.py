"""Notices to a webhook: a real receiver on loopback, and one behind httpx's seam."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pyarrow as pa
import pytest
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from tasks_lib.configs import Environment
from tasks_lib.domain.job import Limits, Webhook
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.provider import Secret
from tasks_lib.job.batch import Batch
from tasks_lib.job.checks import check_before_rows, planner_of
from tasks_lib.job.library import _setup
from tasks_lib.job.setup import Setup
from tasks_lib.job.stretches import Options, Stretches
from tasks_lib.job.tally import Outcome
from tasks_lib.job.webhook import BATCH_ENDED, TASK_RUN_ENDED, Notices, Patience, origin_of, telling
from tasks_lib.ledger import Facts, Ledger, open_ledger
from tasks_lib.rows import open_table
from tests.job.pretend import ENVIRONMENT, Pretend, task

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # nobody's
NAME = "HOOK"  # of the variable
BOTH = frozenset({BATCH_ENDED, TASK_RUN_ENDED})
ROWS = pa.table({"id": ["1", "2", "3"], "text": ["good soup", "bad soup", "good bread"]})

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Received:
    """What a receiver was sent, and how it answers the n-th request (from 0)."""

    url: str = ""
    answers: Callable[[int], int] = lambda _: 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.requests]


@contextmanager
def receiver(answers: Callable[[int], int] = lambda _: 204) -> Iterator[Received]:
    received = Received(answers=answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            number = len(received.requests)
            received.requests.append(({name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(received.answers(number))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received.url = f"http://127.0.0.1:{server.server_port}/hooks/s3cret-path"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def setup(ledger: Path, webhook: Webhook, **variables: str) -> Setup:
    made = _setup(
        task(),
        inputs=None,
        key="id",
        reporting_group=None,
        limits=Limits(in_flight=2),
        retries=None,
        ledger=ledger,
        environment=Environment.of({**ENVIRONMENT.variables, **variables}),
    )
    return replace(made, job=replace(made.job, webhook=webhook))


QUICK = Patience(first_wait=0.001)


async def told(made: Setup, ledger: Ledger, patience: Patience = QUICK) -> list[str]:
    """What is warned of when the runs of a batch and its end are told once more, with this patience."""
    heard: list[Facts] = []
    ledger.listener = heard.append
    batch = await run(replace(made, job=replace(made.job, webhook=None)), ledger)
    warnings: list[str] = []
    async with telling(
        made, batch_id=batch.id, ledger=ledger, warn=warnings.append, patience=patience
    ) as notices:
        assert notices is not None
        for facts in heard:
            notices.heard(facts)
        notices.ended(batch._summary(Outcome.COMPLETED, None))
    return warnings


async def run(made: Setup, ledger: Ledger) -> Batch:
    """A batch of three rows, whose provider is behind a seam and whose receiver is not."""
    with open_table(ROWS, key="id") as source:
        batch = Batch(made, ledger=ledger)
        stretches = Stretches(
            source.rows(size=10, limit=None, columns=("text",)),
            planner=planner_of(made.job),
            ledger=ledger,
            options=Options(),
            tally=batch.tally,
            books=batch.books,
        )
        await batch.run(stretches.fetch, rows=3, transport=OnlyTheProvider(Pretend().transport))
    return batch


class OnlyTheProvider(httpx.AsyncBaseTransport):
    """Answers for the provider, and lets what goes to this machine go there."""

    def __init__(self, provider: httpx.AsyncBaseTransport) -> None:
        self._provider = provider
        self._network = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        here = request.url.host == "127.0.0.1"
        return await (self._network if here else self._provider).handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


def stored(ledger: Ledger) -> list[dict[str, Any]]:
    return ledger.sql("from notices order by created_at").to_pylist()


async def test_a_batch_and_its_runs_are_told(tmp_path: Path) -> None:
    """W09: each run and the batch's end are told once, signed as the standard's own library expects."""
    with receiver() as received, open_ledger(tmp_path / "l.duckdb") as ledger:
        webhook = Webhook(url=received.url, secret=NAME, events=BOTH)
        batch = await run(setup(ledger.path, webhook, HOOK=SECRET), ledger)
        for headers, body in received.requests:
            assert Receiver(SECRET).verify(body, headers)["type"] in BOTH
            with pytest.raises(WebhookVerificationError):
                Receiver("whsec_AAAA").verify(body, headers)
        told = [body for body in received.bodies if body["type"] == TASK_RUN_ENDED]
        runs = ledger.sql("select id::varchar as id, row_key from task_runs").to_pylist()
        assert {body["data"]["id"].replace("-", "") for body in told} == {
            run["id"].replace("-", "") for run in runs
        }
        assert all(body["data"]["response"]["sentiment"] for body in told)
        (ended,) = [body for body in received.bodies if body["type"] == BATCH_ENDED]
        assert (ended["data"]["batch_id"], ended["data"]["completed"]) == (batch.id, 3)
        kept = stored(ledger)
        assert len(kept) == 4
        assert {one["id"] for one in kept} == {headers["webhook-id"] for headers, _ in received.requests}
        assert all(one["delivered_at"] and one["tries"] == 1 and one["error"] is None for one in kept)
        assert "s3cret" not in str(kept)
        assert SECRET not in str(kept)


async def test_only_the_batch_is_told_by_default(tmp_path: Path) -> None:
    """Whoever names an address alone hears once, when all is over, and unsigned."""
    with receiver() as received, open_ledger(tmp_path / "l.duckdb") as ledger:
        await run(setup(ledger.path, Webhook(url=received.url)), ledger)
        assert [body["type"] for body in received.bodies] == [BATCH_ENDED]
        assert "webhook-signature" not in received.requests[0][0]


async def test_a_notice_is_sent_until_it_is_taken(tmp_path: Path) -> None:
    """A receiver that is down gets the same notice, under the same id, until it takes it."""
    with (
        receiver(lambda number: 503 if number < 2 else 200) as received,
        open_ledger(tmp_path / "l.duckdb") as ledger,
    ):
        assert await told(setup(ledger.path, Webhook(url=received.url)), ledger) == []
        assert len(received.requests) == 3
        assert len({headers["webhook-id"] for headers, _ in received.requests}) == 1
        assert len({body for _, body in received.requests}) == 1
        (kept,) = stored(ledger)
        assert (kept["tries"], kept["http_status"]) == (3, 200)


async def test_a_receiver_that_never_takes_one_is_told_of(tmp_path: Path) -> None:
    """What was not delivered is counted and kept, and nobody is shown the address's path."""
    with receiver(lambda _: 500) as received, open_ledger(tmp_path / "l.duckdb") as ledger:
        warnings = await told(setup(ledger.path, Webhook(url=received.url, events=BOTH)), ledger)
        assert warnings == ["4 notices to the webhook were not delivered (answered 500)"]
        assert {(one["error"], one["tries"]) for one in stored(ledger)} == {("answered 500", 6)}
        assert not any(one["delivered_at"] for one in stored(ledger))


async def test_a_receiver_that_hangs_is_given_up(tmp_path: Path) -> None:
    """After the batch's end there is a time in which notices are still delivered, and no more."""
    with receiver(lambda _: 500) as received, open_ledger(tmp_path / "l.duckdb") as ledger:
        patience = Patience(first_wait=1_000.0, grace=0.2)
        warnings = await told(setup(ledger.path, Webhook(url=received.url)), ledger, patience)
        assert warnings == ["1 notices to the webhook were not delivered (answered 500)"]
        assert [(one["tries"], one["error"]) for one in stored(ledger)] == [(1, "answered 500")]


async def test_a_receiver_that_wants_no_more_is_left_alone(tmp_path: Path) -> None:
    """After 410 nothing further is sent there."""
    with receiver(lambda _: 410) as received, open_ledger(tmp_path / "l.duckdb") as ledger:
        await run(setup(ledger.path, Webhook(url=received.url, events=BOTH)), ledger)
        assert 1 <= len(received.requests) <= 4
        assert not any(one["delivered_at"] for one in stored(ledger))


async def test_nobody_is_there(tmp_path: Path) -> None:
    """An address where nobody listens is an error like any other, and its words hold no path."""
    with open_ledger(tmp_path / "l.duckdb") as ledger:
        warnings = await told(setup(ledger.path, Webhook(url="http://127.0.0.1:9/s3cret")), ledger)
        (kept,) = stored(ledger)
        assert kept["error"] == "ConnectError"
        assert "s3cret" not in str(kept) + str(warnings)


async def test_too_many_waiting_are_left_out(tmp_path: Path) -> None:
    """Memory is bounded: what finds no room is counted, and the batch's end always has some."""
    with receiver() as received, open_ledger(tmp_path / "l.duckdb") as ledger:
        made = setup(ledger.path, Webhook(url=received.url, events=BOTH))
        warnings = await told(made, ledger, Patience(most_waiting=10))
        assert [body["type"] for body in received.bodies] == [BATCH_ENDED]
        assert warnings == ["3 notices to the webhook were left out: too many were waiting"]


@pytest.mark.parametrize(
    ("value", "said"),
    [("", "is not set"), ("not base64 at all!", "no signing secret"), ("whsec_c2hvcnQ=", "no sign")],
)
async def test_a_secret_that_is_none(tmp_path: Path, value: str, said: str) -> None:
    """It is told before the first call, and never shown."""
    made = setup(tmp_path / "l.duckdb", Webhook(url="https://a.test/x", secret=NAME), HOOK=value)
    with pytest.raises(Mistake, match=said) as mistake:
        check_before_rows(made)
    assert not value or value not in str(mistake.value)


def test_an_address_is_shown_without_what_may_be_secret() -> None:
    """Many services' addresses are keys by their paths."""
    shown = origin_of("https://me:pw@hooks.example.com:8443/T0/B1/XyZ?token=7")
    assert shown == "https://hooks.example.com:8443/…"


async def test_notices_hold_no_secret(tmp_path: Path) -> None:
    """Whoever prints the object sees no secret."""
    with open_ledger(tmp_path / "l.duckdb") as ledger:
        webhook = Webhook(url="https://a.test/x", secret=NAME)
        notices = Notices(webhook, batch_id="b", ledger=ledger, secret=Secret(NAME, SECRET), patience=QUICK)
        assert SECRET not in repr(vars(notices))
