"""Runs of hosted tasks: what is durable before what, and who sees their end."""

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import anyio
import httpx
import orjson
import pytest

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.pricing import PriceList, Prices
from tasks_lib.domain.provider import Provider, Timeouts
from tasks_lib.domain.remote import Remote
from tasks_lib.domain.retries import Retries
from tasks_lib.engine.attempt import Account
from tasks_lib.engine.gate import Gate
from tasks_lib.engine.money import Money, Sums
from tasks_lib.engine.run import Engine
from tasks_lib.engine.stop import Stop, Why
from tests.domain.pieces import BIG, NOON, SMALL, plan
from tests.hostedtask.host import Host
from tests.hostedtask.protocol import PretendRuns

pytestmark = pytest.mark.anyio
PRICE = Decimal("0.05")
PRICES = PriceList(
    steps=((0, Prices(input=Decimal(0), output=Decimal(0), request=PRICE, source="price_table")),)
)


@dataclass
class Book:
    """A book of hosted runs in memory; `takes` is how long it takes to be durable."""

    takes: float = 0.0

    def __post_init__(self):
        self.told = []

    async def intend(self, plan, position, model):
        await anyio.sleep(self.takes)
        self.told.append((plan.row_number, position, str(model), None))

    async def accepted(self, plan, position, model, remote_id):
        await anyio.sleep(self.takes)
        self.told.append((plan.row_number, position, str(model), remote_id))


class Scene:
    """Rows, a hosted task, and what came of them."""

    def __init__(self, *, seconds=60.0, run=3_600.0, takes=0.0, retries=None, money=None, models=(BIG,)):
        self.host = Host(anyio.current_time, seconds=seconds)
        self.book = Book(takes)
        self.stop = Stop()
        self.runs = []
        self.remotes = {}
        self.same = set()
        self.retries = retries or Retries(wait_initial=1.0)
        self.models = models
        self.timeouts = Timeouts(run=run)
        self.money = None if money is None else Money(Sums(batch=money))
        self.faults = []  # (method, what it does), each used once
        self.on_request = lambda request: None

    async def run(self, rows=1, *, stop_at=None, why=Why.INTERRUPTED, again_at=None, cancel_at=None):
        began = anyio.current_time()
        numbers = iter(range(1, rows + 1))

        async def draw():
            number = next(numbers, None)
            if number is None:
                return None
            made = plan(*self.models, number=number, retries=self.retries)
            if number in self.same:
                first = plan(*self.models, number=1)
                made = replace(made, input_hash=first.input_hash, messages=first.messages)
            return replace(made, remote=self.remotes.get(number))

        async def record(run):
            self.runs.append(run)

        provider = Provider(
            name="acme", protocol="pretend", base_url="https://acme.test", timeouts=self.timeouts
        )
        self.gate = Gate(Limits(in_flight=100), now=anyio.current_time())
        account = Account(
            provider=provider,
            protocol=PretendRuns(provider.base_url),
            transport=httpx.MockTransport(self._answer),
            gate=self.gate,
        )
        engine = Engine(
            accounts={"acme": account},
            prices=dict.fromkeys(self.models, PRICES),
            record=record,
            stop=self.stop,
            money=self.money,
            book=self.book,
            now=lambda: NOON + timedelta(seconds=anyio.current_time() - began),
        )

        async def at(moment, reason):
            await anyio.sleep(moment)
            self.stop.call(reason, "enough")

        async with anyio.create_task_group() as others:
            if stop_at is not None:
                others.start_soon(at, stop_at, why)
            if again_at is not None:
                others.start_soon(at, again_at, Why.INTERRUPTED)
            with anyio.move_on_after(float("inf") if cancel_at is None else cancel_at):
                await engine.run(draw, at_once=lambda: 100)
            self.took = anyio.current_time() - began
            others.cancel_scope.cancel()
        self.breakers = engine.breakers
        return self

    async def _answer(self, request):
        self.on_request(request)
        for at, (method, fault) in enumerate(self.faults):
            if method == request.method:
                del self.faults[at]
                done = await fault(request)
                if done is not None:
                    return done
                break
        status, body = self.host.answer(
            request.method, request.url.path, request.url.params.get("identity"), request.content
        )
        return httpx.Response(status, content=orjson.dumps(body))

    @property
    def only(self):
        (run,) = self.runs
        return run


def says(code):
    async def fault(request):
        return httpx.Response(code)

    return fault


async def lost(request):
    raise httpx.ReadError("connection reset", request=request)


def slow(seconds):
    async def fault(request):
        await anyio.sleep(seconds)

    return fault


def begins_and_loses(scene):
    async def fault(request):
        scene.host.answer("POST", "/runs", None, request.content)
        raise httpx.ReadError("connection reset", request=request)

    return fault


async def test_intent_and_id_are_durable_first():
    """P10: the intent is durable before a run is begun, and its id before anybody looks at the run."""
    scene = Scene(takes=5.0)
    seen = []
    scene.on_request = lambda request: seen.append((request.method, len(scene.book.told)))
    await scene.run()
    assert scene.book.told == [(1, 0, "acme:big", None), (1, 0, "acme:big", "run_1")]
    assert seen[0] == ("POST", 1)
    assert all(kept == 2 for method, kept in seen if method == "GET")
    (attempt,) = scene.only.attempts
    assert (scene.only.response, attempt.remote_id, attempt.remote.status) == (
        "said: Say row 1", "run_1", "completed"
    )  # fmt: skip
    assert (attempt.cost, attempt.estimated_cost) == (PRICE, None)


async def test_a_run_is_taken_up_and_none_is_begun():
    """A run that an earlier batch began is looked at until its end, with its cost counted once."""
    scene = Scene()
    scene.host.answer("POST", "/runs", None, orjson.dumps({"identity": "x", "text": "old"}))
    scene.remotes[1] = Remote(position=0, remote_id="run_1", estimated_cost=PRICE)
    await scene.run()
    assert scene.host.requests["begun"] == 1
    assert scene.book.told == [(1, 0, "acme:big", "run_1")]
    (attempt,) = scene.only.attempts
    assert (scene.only.response, attempt.cost, attempt.estimated_cost) == ("said: old", PRICE, -PRICE)


async def test_a_lost_start_is_looked_for():
    """A run whose id was lost with the process is found by its row's identity, and not begun twice."""
    scene = Scene()
    first = plan(BIG, number=1)
    asked = orjson.dumps({"identity": first.identity, "text": "old"})
    scene.host.answer("POST", "/runs", None, asked)
    scene.remotes[1] = Remote(position=0, remote_id=None)
    scene.remotes[2] = Remote(position=0, remote_id=None)
    await scene.run(2)
    assert {run.plan.row_number: run.response for run in scene.runs} == {
        1: "said: old",
        2: "said: Say row 2",  # which was never begun
    }
    assert scene.host.requests["begun"] == 2


async def test_a_lost_connection_is_no_lost_run():
    """A connection that is lost while a run goes on, or while it is begun, does not begin another one."""
    scene = Scene()
    scene.faults = [("POST", begins_and_loses(scene)), ("GET", says(503)), ("GET", lost), ("GET", says(503))]
    await scene.run()
    run = scene.only
    assert (run.response, scene.host.requests["begun"]) == ("said: Say row 1", 1)
    assert [attempt.remote_id for attempt in run.attempts] == [None, None, None, None, "run_1"]
    assert [attempt.estimated_cost for attempt in run.attempts] == [PRICE, 0, 0, 0, -PRICE]
    assert (run.data.cost, run.data.possible_cost) == (PRICE, 0)


async def test_sight_lost_of_a_run_is_not_another_call_of_the_model():
    """A run that is looked at again counts as no retry of the model, and costs what one run costs."""
    scene = Scene()
    scene.faults = [("GET", says(503)), ("GET", lost)]
    await scene.run()
    run = scene.only
    assert [attempt.remote_id for attempt in run.attempts] == ["run_1"] * 3
    assert [attempt.estimated_cost for attempt in run.attempts] == [PRICE, 0, -PRICE]
    assert (run.data.llm_retries, run.data.cost, run.data.possible_cost) == (0, PRICE, 0)


async def test_a_run_that_failed_is_followed_by_another():
    """A run that failed there is begun anew as the budget of tries has it; both are in the book."""
    scene = Scene(retries=Retries(transient=1, wait_initial=1.0))
    ends = iter([{"status": "failed", "error": "no browser"}, {}])
    scene.host.ends = lambda text: next(ends)
    await scene.run()
    assert [remote_id for *_, remote_id in scene.book.told] == [None, "run_1", None, "run_2"]
    assert scene.only.response == "said: Say row 1"
    assert [one.cost for one in scene.only.attempts] == [0, PRICE]
    assert scene.only.data.llm_retries == 1


async def test_a_stop_lets_runs_go():
    """A stop does not wait for runs that take minutes: those with a durable id are let go, unbroken."""
    scene = await Scene(seconds=3_000.0).run(3, stop_at=10.0)
    assert scene.took == pytest.approx(10.0)
    assert {run.status.value for run in scene.runs} == {"cancelled"}
    for run in scene.runs:
        (attempt,) = run.attempts
        assert attempt.failure.kind is FailureKind.CANCELLED
        assert attempt.remote_id is not None
        assert (attempt.cost, attempt.estimated_cost) == (None, PRICE)
    assert scene.gate.in_flight == 0


async def test_a_stop_waits_for_an_id():
    """A run that is being begun when the stop comes has its id first, durably, and is let go then."""
    scene = Scene(seconds=3_000.0, takes=1.0)
    scene.faults = [("POST", slow(20.0))]
    await scene.run(stop_at=10.0)
    assert scene.took == pytest.approx(22.0)  # two commits, and the slow answer
    assert scene.book.told[-1] == (1, 0, "acme:big", "run_1")
    assert scene.only.attempts[0].remote_id == "run_1"


async def test_where_money_ends_a_batch_its_runs_are_waited_for():
    """A limit that ends the batch lets runs come to their end, unless somebody wants to leave."""
    waited = await Scene(seconds=300.0).run(stop_at=10.0, why=Why.MONEY)
    assert waited.took == pytest.approx(300.0, abs=3)
    assert waited.only.response == "said: Say row 1"
    left = await Scene(seconds=300.0).run(stop_at=10.0, why=Why.MONEY, again_at=20.0)
    assert left.took == pytest.approx(20.0)
    assert left.stop.why is Why.MONEY


async def test_the_hard_end_keeps_the_id():
    """Runs that are dropped are recorded with their ids, and those without one as perhaps begun."""
    dropped = await Scene(seconds=3_000.0).run(cancel_at=10.0)
    (attempt,) = dropped.only.attempts
    assert (attempt.remote_id, attempt.failure.maybe_billed) == ("run_1", True)
    scene = Scene(seconds=3_000.0)
    scene.faults = [("POST", slow(20.0))]
    await scene.run(cancel_at=10.0)
    (attempt,) = scene.only.attempts
    assert (attempt.remote_id, attempt.failure.maybe_billed) == (None, True)


async def test_a_run_that_does_not_end_is_given_up():
    """A run that is not over in its time is given up with its id kept; no other model is asked."""
    scene = await Scene(seconds=9_000.0, run=600.0, models=(BIG, SMALL)).run()
    (attempt,) = scene.only.attempts
    assert scene.took == pytest.approx(600.0)
    assert (attempt.failure.kind, attempt.remote_id) == (FailureKind.GIVEN_UP, "run_1")
    assert (attempt.cost, attempt.estimated_cost) == (None, PRICE)
    assert scene.only.status.value == "failed"


async def test_the_deadline_is_that_of_the_run():
    """A run that we lost sight of has no longer time for it."""
    scene = Scene(seconds=9_000.0, run=600.0)
    scene.faults = [("GET", slow(300.0)), ("GET", lost)]
    await scene.run()
    assert scene.took == pytest.approx(600.0, abs=2)
    assert scene.only.failure.kind is FailureKind.GIVEN_UP
    assert len(scene.only.attempts) == 2


async def test_runs_that_are_given_up_do_not_open_the_breaker():
    """Ten runs in a row that do not end, or that fail there, say nothing of the model being down."""
    scene = await Scene(seconds=9_000.0, run=60.0).run(10)
    assert not scene.breakers.any_is_down
    failing = Scene(retries=Retries(transient=0))
    failing.host.ends = lambda text: {"status": "failed", "error": "no"}
    await failing.run(10)
    assert not failing.breakers.any_is_down


async def test_money_is_set_aside_once():
    """A run that is taken up needs no money a second time; one that the process lost is paid here."""
    scene = Scene(money=Decimal("0.05"), retries=Retries(transient=3, wait_initial=1.0))
    scene.faults = [("GET", lost)]
    await scene.run()  # the second attempt would not get its money
    assert scene.only.response == "said: Say row 1"
    broke = Scene(money=Decimal("0.04"))
    broke.host.answer("POST", "/runs", None, orjson.dumps({"identity": "x", "text": "old"}))
    broke.remotes[1] = Remote(position=0, remote_id="run_1")  # in no attempt, so in no sum of money
    await broke.run()
    assert broke.stop.why is Why.MONEY
    assert not broke.runs


async def test_rows_that_ask_the_same_share_a_run_that_is_taken_up():
    """Identical rows share the run of the one of them that an earlier batch began."""
    scene = Scene()
    scene.host.answer("POST", "/runs", None, orjson.dumps({"identity": "x", "text": "old"}))
    scene.remotes[1] = Remote(position=0, remote_id="run_1", estimated_cost=PRICE)
    scene.same = {2, 3}
    await scene.run(3)
    assert [run.response for run in scene.runs] == ["said: old"] * 3
    assert scene.host.requests["begun"] == 1


async def test_on_ambiguous_fail_does_not_abandon_a_run():
    """on_ambiguous: fail never pays twice, and a run whose id is known is not paid twice."""
    scene = Scene(retries=Retries(wait_initial=1.0, on_ambiguous="fail"), models=(BIG, SMALL))
    scene.faults = [("GET", lost)]
    await scene.run()
    assert scene.only.response == "said: Say row 1"
    other = Scene(retries=Retries(wait_initial=1.0, on_ambiguous="fail"), models=(BIG, SMALL))
    other.faults = [("POST", lost)]
    await other.run()
    assert other.only.failure.kind is FailureKind.CONNECTION
    assert len(other.only.attempts) == 1
