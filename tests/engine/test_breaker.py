"""A model that is down is not asked by every row."""

import random

import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.retries import Retries
from tasks_lib.engine.breaker import FIRST_WAIT, IN_A_ROW, LONGEST_WAIT, Breaker, State
from tests.domain.pieces import BIG, OTHER, SMALL
from tests.engine.world import World, after, hangs, says, status

DOWN = Failure(kind=FailureKind.SERVER_ERROR, message="503")
REFUSED = Failure(kind=FailureKind.RATE_LIMITED, message="429")


def call(breaker, at, failure=None, *, closed_for=0.0):
    """A call that takes no time; False if it is not made."""
    entry = breaker.enter(at)
    if entry is None:
        return False
    breaker.ended(entry, failure, began=at, now=at, closed_for=closed_for)
    return True


def opened(at=0.0):
    """A breaker that has just opened."""
    breaker = Breaker()
    for _ in range(IN_A_ROW):
        assert call(breaker, at, DOWN)
    return breaker


@pytest.mark.parametrize("kind", ["server_error", "timeout", "connection", "broken_reply"])
def test_it_opens_after_eight_failures_in_a_row(kind):
    """Seven are none; the eighth opens it, and the next call is not made."""
    breaker, failure = Breaker(), Failure(kind=FailureKind(kind), message="")
    for _ in range(7):
        call(breaker, 0.0, failure)
    assert breaker.state(0.0) is State.CLOSED
    call(breaker, 0.0, failure)
    assert (breaker.state(0.0), call(breaker, 0.0)) == (State.OPEN, False)


def test_one_answer_begins_the_count_anew():
    """Seven failures, an answer, and seven more leave it closed."""
    breaker = Breaker()
    for failure in [DOWN] * 7 + [None] + [DOWN] * 7:
        call(breaker, 0.0, failure)
    assert breaker.state(0.0) is State.CLOSED


def test_it_opens_where_most_calls_fail_though_some_are_answered():
    """Three of four in vain is down."""
    breaker = Breaker()
    for _ in range(11):
        for failure in (DOWN, DOWN, DOWN, None):
            call(breaker, 0.0, failure)
    assert breaker.state(0.0) is State.OPEN


@pytest.mark.parametrize("kind", ["invalid_output", "refused", "length", "rejected", "unauthorized"])
def test_what_is_no_outage_does_not_open_it(kind):
    """Somebody is there who answers, if not what was wanted."""
    breaker = Breaker()
    for _ in range(100):
        call(breaker, 0.0, Failure(kind=FailureKind(kind), message=""))
    assert breaker.state(0.0) is State.CLOSED


def test_a_rate_of_five_percent_never_opens_it():
    """Of 300,000 calls one in twenty fails at random, and all are made."""
    breaker, dice = Breaker(), random.Random(8)  # noqa: S311  # nothing secret hangs on it
    assert all(call(breaker, 0.0, DOWN if dice.random() < 0.05 else None) for _ in range(300_000))


def test_it_is_tried_ever_more_rarely_and_by_one_call_at_a_time():
    """After 5, 10, 20, 40 and then 60 seconds, and nobody else is let through meanwhile."""
    breaker, at, waits = opened(), 0.0, []
    for _ in range(6):
        waited = breaker.tried_in(at)
        waits.append(waited)
        assert breaker.enter(at + waited - 0.01) is None
        at += waited
        assert breaker.state(at) is State.HALF_OPEN
        probe = breaker.enter(at)
        assert probe is not None
        assert breaker.enter(at) is None
        breaker.ended(probe, DOWN, began=at, now=at)
    assert waits == [FIRST_WAIT, 10, 20, 40, LONGEST_WAIT, LONGEST_WAIT]


def test_an_answer_closes_it():
    """The probe that is answered lets all others through."""
    breaker = opened()
    assert call(breaker, FIRST_WAIT)
    assert breaker.state(FIRST_WAIT) is State.CLOSED
    assert call(breaker, FIRST_WAIT)


def test_a_probe_that_was_not_made_is_made_by_another():
    """Whoever was stopped on the way to the call gives its turn back."""
    breaker = opened()
    probe = breaker.enter(FIRST_WAIT)
    assert probe is not None
    breaker.give_back(probe)
    assert breaker.enter(FIRST_WAIT) is not None


def test_an_answer_from_before_the_outage_does_not_close_it():
    """A slow call that began before it opened tells nothing of now; one that began after does."""
    breaker = Breaker()
    slow = breaker.enter(0.0)
    assert slow is not None
    for _ in range(IN_A_ROW):
        call(breaker, 1.0, DOWN)
    breaker.ended(slow, None, began=0.0, now=2.0)
    assert breaker.state(2.0) is State.OPEN
    breaker.ended(breaker.insist(3.0), None, began=3.0, now=4.0)
    assert breaker.state(4.0) is State.CLOSED


def test_failures_from_before_the_recovery_do_not_open_it_again():
    """Timeouts of calls that began in the outage come in when it is over."""
    breaker = Breaker()
    slow = [breaker.enter(0.0) for _ in range(20)]
    for _ in range(IN_A_ROW):
        call(breaker, 0.0, DOWN)
    call(breaker, 5.0)
    for entry in slow:
        assert entry is not None
        breaker.ended(entry, DOWN, began=0.0, now=60.0)
    assert breaker.state(60.0) is State.CLOSED


def test_a_limit_of_a_minute_is_no_outage():
    """429s with an answer once a minute never open it."""
    breaker = Breaker()
    for second in range(600):
        call(breaker, float(second), None if second % 59 == 0 else REFUSED)
    assert breaker.state(600.0) is State.CLOSED


def test_nothing_but_429_for_a_minute_is_an_outage():
    """A quota that is used up would hold every row for all its tries."""
    breaker = Breaker()
    assert all(call(breaker, float(second), REFUSED) for second in range(61))
    assert not call(breaker, 61.0)
    assert "nothing but 429 for 60 s" in breaker.why()


def test_a_pause_of_more_than_a_minute_is_an_outage():
    """It is left alone until the pause is over, and not tried before."""
    breaker = Breaker()
    call(breaker, 0.0, REFUSED, closed_for=59.0)
    assert breaker.state(0.0) is State.CLOSED
    call(breaker, 0.0, REFUSED, closed_for=600.0)
    assert (breaker.state(599.0), breaker.state(600.0)) == (State.OPEN, State.HALF_OPEN)


# in a world of rows


def two_models(**more):
    """A primary and a fallback at another provider, 200 calls in flight at each."""
    return World(BIG, OTHER, limits=Limits(in_flight=200), retries=Retries(transient=4), **more)


def of(world, model):
    """The calls that a model got."""
    return [arrival for arrival in world.arrivals if arrival.model == model.name]


@pytest.mark.anyio
async def test_a_primary_that_is_down_for_a_minute_costs_hardly_a_row():
    """5,000 rows at 200 in flight: all answered, under 2 % ask the primary once it is known to be down."""
    world = two_models()

    async def for_a_minute(request):
        return await (status(503) if world.now() < 60 else says("primary"))(request)

    world.model(BIG, after(0.05, for_a_minute))
    world.model(OTHER, after(2.0, says("fallback")))
    await world.run(rows=5_000, at_once=200)
    assert world.statuses == {"completed": 5_000}
    assert sorted(run.plan.row_number for run in world.runs) == list(range(1, 5_001))
    (outage,) = world.breakers.outages
    down_at = (outage.began_at - world.wall()).total_seconds() + world.now()
    late = {arrival.row for arrival in of(world, BIG) if arrival.at > down_at}
    assert 0 < len(late) < 100
    assert outage.rows >= 4_800


@pytest.mark.anyio
async def test_it_comes_back_to_the_primary():
    """After the outage one call finds it up, and all others follow."""
    world = two_models()

    async def for_a_while(request):
        return await (status(503) if world.now() < 12 else says("primary"))(request)

    world.model(BIG, for_a_while)
    world.model(OTHER, after(1.0, says("fallback")))
    await world.run(rows=5_000, at_once=200)
    assert world.run_of(5_000).response == "primary"
    (outage,) = world.breakers.outages
    assert outage.ended_at is not None


@pytest.mark.anyio
async def test_the_ledger_will_show_why_a_row_went_by():
    """The attempt is no call, takes no time and costs nothing, and the run says so of its primary."""
    world = two_models()
    world.model(BIG, status(503))
    await world.run(rows=50, at_once=1)
    data = world.run_of(50).data
    noted, answer = world.run_of(50).attempts
    assert noted.failure is not None
    assert (noted.failure.kind, noted.worked, noted.cost, noted.is_call) == (
        FailureKind.CIRCUIT_OPEN,
        0.0,
        0,
        False,
    )
    assert answer.is_call
    assert data.primary_failure_reason is not None
    assert data.primary_failure_reason.startswith("circuit_open: not asked: its last 8 calls failed")
    assert (data.llm_retries, data.used_fallback_model, data.fallback_trigger) == (0, True, "automatic")
    assert 50 not in {arrival.row for arrival in of(world, BIG)}


@pytest.mark.anyio
async def test_a_row_without_another_model_calls_as_before():
    """A breaker is about going elsewhere: where there is nothing else, all tries are made."""
    world = World(BIG, retries=Retries(transient=2))
    world.model(BIG, status(503))
    await world.run(rows=50, at_once=5)
    assert len(world.arrivals) == 150
    assert world.statuses == {"failed": 50}


@pytest.mark.anyio
async def test_a_failure_that_does_not_lead_on_does_not_lead_past():
    """Rows that may not leave after a 5xx do not leave a model that is down for it."""
    world = World(BIG, SMALL, retries=Retries(transient=1))
    world.fallback_on = frozenset({FailureKind.TIMEOUT, FailureKind.CIRCUIT_OPEN})
    world.model(BIG, status(503))
    await world.run(rows=20, at_once=1)
    assert len(of(world, BIG)) == 40
    assert world.statuses == {"failed": 20}


@pytest.mark.anyio
async def test_who_waits_at_the_gate_leaves_when_the_model_goes_down():
    """Rows behind a full gate do not wait their turn for a model that is down."""
    world = World(
        BIG, OTHER, limits={"acme": Limits(in_flight=8), "other": Limits()}, retries=Retries(transient=0)
    )
    world.model(BIG, after(10.0, status(503)))
    await world.run(rows=100)
    assert len(of(world, BIG)) == 8
    assert world.ended_at == pytest.approx(10.0)
    assert world.statuses == {"completed": 100}


@pytest.mark.anyio
async def test_who_waits_out_a_backoff_leaves_when_the_model_goes_down():
    """A row that was told to come back in an hour is answered by the fallback instead."""
    world = World(BIG, OTHER, retries=Retries())
    world.model(BIG, status(429, retry_after=1800))
    await world.run(rows=100, at_once=10)
    assert world.statuses == {"completed": 100}
    assert world.ended_at < 60
    assert world.run_of(100).data.primary_failure_reason.startswith("circuit_open")


@pytest.mark.anyio
async def test_a_model_that_hangs_is_left_alone_too():
    """Timeouts are failures like others: few rows wait for them."""
    world = World(BIG, OTHER, retries=Retries(transient=4))
    world.model(BIG, hangs())
    await world.run(rows=500, at_once=10)
    assert world.statuses == {"completed": 500}
    assert len({arrival.row for arrival in of(world, BIG)}) < 20


@pytest.mark.anyio
async def test_an_outage_is_not_as_slow_as_the_primary_was():
    """While a model is down, as many rows are under way as the others let in."""
    world = World(
        BIG,
        OTHER,
        limits={"acme": Limits(in_flight=2), "other": Limits(in_flight=50)},
        retries=Retries(transient=0),
    )

    async def at_first(request):
        return await (status(503) if world.now() < 14 else says("primary"))(request)

    world.model(BIG, at_first)
    world.model(OTHER, after(1.0, says("fallback")))
    await world.run(rows=600, at_once=2, in_outages=52)
    assert world.statuses == {"completed": 600}
    assert world.most_in_flight >= 50
    assert world.ended_at < 20
