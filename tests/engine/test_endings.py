"""How a batch ends before its rows do."""

import anyio
import pytest

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.job import Limits
from tasks_lib.domain.retries import Retries
from tasks_lib.engine.stop import Stop, Why
from tests.engine.world import World, after, says, status

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]  # a story that stands still is a bug


async def test_a_stop_lets_calls_under_way_end():
    """No new call is made, the five in flight are answered and recorded."""
    world = await World(step=after(10, says())).run(rows=100, at_once=5, stop_at=5)
    assert (len(world.arrivals), world.statuses, world.ended_at) == (5, {"completed": 5}, 10.0)


async def test_a_stop_ends_all_waiting_at_once():
    """A row in its backoff is recorded as cancelled with its attempt, one that never was asked is not."""
    world = World(limits=Limits(in_flight=1, requests_per_minute=1), retries=Retries(wait_initial=600))
    world.row(1, status(503))
    await world.run(rows=1, stop_at=1)
    assert (world.statuses, world.ended_at, len(world.arrivals)) == ({"cancelled": 1}, 1.0, 1)
    run = world.run_of(1)
    assert [attempt.failure.kind for attempt in run.attempts] == [FailureKind.SERVER_ERROR]
    assert run.failure.reason == "cancelled: the batch ended before this row did"


async def test_a_stop_ends_the_queue_at_the_gate():
    """Of 50 rows at a gate of one a minute those that were never asked leave no run and no trace."""
    world = World(limits=Limits(requests_per_minute=1, in_flight=50))
    await world.run(rows=50, stop_at=90)
    assert (world.statuses, world.ended_at) == ({"completed": 2}, 90.0)
    assert (world.gate.in_flight, world.gate.waiting) == (0, 0)


async def test_a_retry_that_waits_at_the_gate_is_recorded_when_stopped():
    """It had an attempt, so what it cost is told."""
    world = World(limits=Limits(requests_per_minute=1, in_flight=50), retries=Retries(wait_initial=0))
    world.row(1, status(503))
    await world.run(rows=1, stop_at=30)
    assert (world.statuses, world.ended_at) == ({"cancelled": 1}, 30.0)


@pytest.mark.parametrize(
    ("step", "expected"), [(status(503), "cancelled"), (status(400), "failed"), (says(), "completed")]
)
async def test_a_call_that_ends_after_the_stop_is_judged(step, expected):
    """What would have been tried again is cancelled, what was over is what it is."""
    world = await World(step=after(10, step)).run(rows=1, stop_at=5)
    assert world.statuses == {expected: 1}
    assert len(world.run_of(1).attempts) == 1


async def test_who_is_let_in_at_the_moment_of_the_stop_turns_round():
    """A record that calls the stop, as too many failures do, is heard by the row that was just let in."""
    world = World(limits=Limits(in_flight=1), step=after(1, says()))
    world.on_record = lambda run: world.stop.call(Why.FAILURES, "too many")
    await world.run(rows=10)
    assert (len(world.arrivals), world.statuses) == (1, {"completed": 1})
    assert (world.gate.in_flight, world.gate.waiting) == (0, 0)


async def test_a_stop_before_the_beginning_begins_nothing():
    """No call, no run."""
    world = World()
    world.stop.call(Why.LEDGER, "full")
    await world.run(rows=10)
    assert (world.arrivals, world.runs, world.most_under_way) == ([], [], 0)


async def test_the_first_reason_to_stop_stands():
    """A second call changes nothing, and waiting after the stop is no waiting."""
    stop = Stop()
    assert (stop.called, stop.why, stop.reason) == (False, None, None)
    stop.call(Why.FAILURES, "too many")
    stop.call(Why.INTERRUPTED, "by hand")
    assert (stop.called, stop.why, stop.reason) == (True, Why.FAILURES, "too many")
    with stop.cuts_short():
        await anyio.sleep(60)
    assert anyio.current_time() == 0


async def test_waiting_that_was_not_stopped_is_not_cut():
    """And what was left is not cancelled later."""
    stop = Stop()
    with stop.cuts_short():
        await anyio.sleep(1)
    stop.call(Why.INTERRUPTED, "late")
    await anyio.sleep(1)
    assert anyio.current_time() == 2


async def test_a_cancelled_call_may_have_been_billed():
    """The hard end drops calls under way, and tells of each that it may have cost something."""
    world = await World(step=after(10, says())).run(rows=100, at_once=5, cancel_at=4)
    assert (world.statuses, world.ended_at, world.in_flight) == ({"cancelled": 5}, 4.0, 0)
    for run in world.runs:
        (attempt,) = run.attempts
        assert (attempt.failure.kind, attempt.failure.maybe_billed) == (FailureKind.CANCELLED, True)
        assert (attempt.cost, run.data.cost, attempt.worked) == (None, None, 4)


async def test_the_hard_end_keeps_what_was_tried_before():
    """A row in backoff or at the gate tells of its attempts, one that had none is not mentioned."""
    world = World(limits=Limits(in_flight=2), retries=Retries(wait_initial=600), step=after(10, says()))
    world.row(1, status(503))
    world.row(2, status(503))
    await world.run(rows=5, at_once=5, cancel_at=1)
    tried = {run.plan.row_number: len(run.attempts) for run in world.runs}
    asked = {arrival.row for arrival in world.arrivals}
    assert set(tried) == asked
    assert sum(tried.values()) == len(world.arrivals)
    assert (world.gate.in_flight, world.gate.waiting) == (0, 0)


async def test_the_hard_end_may_follow_the_stop():
    """Who asked for an orderly end and cannot wait for it drops the calls under way, and is told of them."""
    world = await World(step=after(10, says())).run(rows=100, at_once=5, stop_at=3, cancel_at=5)
    assert (world.statuses, world.ended_at, len(world.arrivals)) == ({"cancelled": 5}, 5.0, 5)
    assert all(run.attempts[0].failure.maybe_billed for run in world.runs)


async def test_an_answer_is_recorded_though_the_end_comes_meanwhile():
    """What was answered and paid for is handed over, even if the record takes longer than the batch lives."""
    world = await World(recording=5).run(rows=3, cancel_at=2)
    assert (world.statuses, world.ended_at) == ({"completed": 3}, 5.0)


async def test_a_fault_of_the_programs_own_loses_nothing_that_was_paid():
    """A bug in one row ends the batch with an error, after every row has told of its attempts."""

    async def bug(request):
        raise ZeroDivisionError("a bug")

    world = World(step=after(10, says()))
    world.row(1, status(503), bug)
    with pytest.RaisesGroup(pytest.RaisesExc(ZeroDivisionError), flatten_subgroups=True):
        await world.run(rows=3)
    assert world.statuses == {"cancelled": 3}
    assert [len(world.run_of(row).attempts) for row in (1, 2, 3)] == [2, 1, 1]


async def test_nothing_is_left_running():
    """After either end no call, no timer and no queue is alive: the clock has nothing to jump to."""
    for ending in ({"stop_at": 3}, {"cancel_at": 3}):
        world = World(limits=Limits(in_flight=2, requests_per_minute=60), step=after(2, says()))
        await world.run(rows=100, at_once=20, **ending)
        arrived = len(world.arrivals)
        await anyio.sleep(10_000)
        assert len(world.arrivals) == arrived
        assert world.in_flight == world.gate.in_flight == world.gate.waiting == 0
