"""What happens to rows: answers, failures, retries, fallbacks."""

from collections import Counter

import pytest

from tasks_lib.domain.job import Limits
from tasks_lib.domain.output import Modality, Output
from tasks_lib.domain.retries import Retries
from tasks_lib.engine.stop import Why
from tests.domain.pieces import BIG, OTHER, SMALL
from tests.engine.world import World, after, hangs, reset, says, status, unreachable

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]  # a story that stands still is a bug
ONE = Output.of(Modality.JSON, {"const": 1})


async def test_every_row_is_answered():
    """A thousand rows, a thousand calls, a thousand completed runs."""
    world = await World().run(rows=1_000, at_once=50)
    assert sorted(run.plan.row_number for run in world.runs) == list(range(1, 1_001))
    assert world.statuses == {"completed": 1_000}
    assert len(world.arrivals) == 1_000


async def test_as_many_at_once_as_allowed_and_never_more():
    """100 rows of a second each, ten at a time, take ten seconds to the dot."""
    world = await World(step=after(1, says())).run(rows=100, at_once=10)
    assert (world.most_in_flight, world.ended_at) == (10, 10.0)


async def test_the_gates_bound_holds_whoever_comes():
    """With 50 rows under way and seven calls allowed, seven are in flight, always."""
    world = await World(limits=Limits(in_flight=7), step=after(1, says())).run(rows=70, at_once=50)
    assert (world.most_in_flight, world.ended_at) == (7, 10.0)
    assert (world.gate.in_flight, world.gate.waiting) == (0, 0)


async def test_nobody_waits_for_the_slow():
    """One row of a hundred seconds holds up no other."""
    world = World(step=after(1, says()))
    world.row(1, after(100, says()))
    await world.run(rows=100, at_once=2)
    assert world.run_of(100).finished_at < world.run_of(1).finished_at
    assert world.ended_at == 100.0


async def test_an_attempt_tells_when_and_how_long():
    """Waiting and working are told apart, in seconds of the run's own clock."""
    world = World(limits=Limits(in_flight=1), step=after(2, says()))
    await world.run(rows=2)
    first, second = (world.run_of(row).attempts[0] for row in (1, 2))
    assert (first.waited, first.worked) == (0, 2)
    assert (second.waited, second.worked) == (2, 2)
    assert (second.started_at - first.started_at).total_seconds() == 2


async def test_a_fault_is_tried_again_after_a_wait():
    """A 503 costs a backoff and nothing else, and the run tells of both calls."""
    world = World()
    world.row(1, status(503), says("at last"))
    await world.run(rows=1)
    run = world.run_of(1)
    assert (run.response, run.data.llm_retries) == ("at last", 1)
    assert [a.failure and a.failure.http_status for a in run.attempts] == [503, None]
    first, second = world.times_of(1)
    assert 0 < second - first <= 1
    assert run.attempts[1].waited == pytest.approx(second - first)


async def test_jitter_is_the_same_every_time():
    """The same rows with the same faults arrive at the same moments in every run."""
    moments = []
    for _ in range(2):
        world = World()
        for row in range(1, 21):
            world.row(row, status(503), status(429), reset())
        await world.run(rows=20)
        moments.append([[round(at, 6) for at in world.times_of(row)] for row in range(1, 21)])
    assert moments[0] == moments[1]
    assert len({at for row in moments[0] for at in row}) == 61


async def test_tries_are_spent_and_then_the_row_fails():
    """Four tries more after the first, and the last failure is the reason."""
    world = await World(step=status(500, error="sorry")).run(rows=1)
    assert len(world.arrivals) == 5
    assert world.run_of(1).failure.reason == "server_error: 500 sorry"
    assert world.run_of(1).data.cost == 0


async def test_a_bad_answer_is_asked_again_with_the_error():
    """The re-ask ends with what was wrong, the history is not repeated, and both usages count."""
    world = World(output=ONE)
    world.row(1, says("2", input_tokens=10, output_tokens=1), says("1", input_tokens=30, output_tokens=2))
    await world.run(rows=1)
    run = world.run_of(1)
    assert (run.response, run.data.input_tokens, run.data.output_tokens) == (1, 40, 3)
    first, second = (arrival.prompt for arrival in world.arrivals)
    assert second == (
        f"{first}\n\nYour last answer was rejected: the answer does not meet the schema at $: "
        "1 was expected. Answer again, and correctly."
    )
    assert world.times_of(1) == [0, 0]


async def test_fallbacks_follow_in_order():
    """The primary's tries, then the second's, then the third's, each with its own retries."""
    world = World(BIG, SMALL, OTHER, retries=Retries(transient=1))
    world.model(BIG, status(500, error="big is down"))
    world.model(SMALL, says("I must not", finish="content_filter"))
    world.model(OTHER, says("other"))
    await world.run(rows=1)
    assert [arrival.model for arrival in world.arrivals] == ["big", "big", "small", "model"]
    data = world.run_of(1).data
    assert (data.used_fallback_model, data.fallback_llm_model) == (True, "other:model")
    assert data.primary_failure_reason == "server_error: 500 big is down"


async def test_a_fallback_waits_at_its_own_gate():
    """Ten rows whose primary is down pass the other account's gate one at a time."""
    limits = {"acme": Limits(in_flight=10), "other": Limits(in_flight=1)}
    world = World(BIG, OTHER, limits=limits)
    world.model(BIG, says("no", finish="content_filter"))
    world.model(OTHER, after(1, says()))
    await world.run(rows=10)
    assert sorted(arrival.at for arrival in world.arrivals if arrival.model == "model") == list(range(10))


async def test_our_own_fault_is_not_repeated():
    """A 400 is our fault: no retry, no fallback, and the next row is asked."""
    world = World(BIG, OTHER)
    world.row(1, status(400))
    await world.run(rows=2, at_once=1)
    assert [(arrival.row, arrival.model) for arrival in world.arrivals] == [(1, "big"), (2, "big")]
    assert world.statuses == {"failed": 1, "completed": 1}


@pytest.mark.parametrize("code", [401, 402, 403, 404])
async def test_a_refused_account_ends_the_batch(code):
    """R56: one 401 and nothing is begun any more, though the record of it takes its time."""
    world = World(step=after(1, says()), recording=5)
    world.row(2, after(0.5, status(code)))
    await world.run(rows=100, at_once=3)
    assert len(world.arrivals) == 3
    assert (world.stop.why, world.statuses) == (Why.REFUSED, {"failed": 1, "completed": 2})


async def test_a_timeout_may_have_been_billed_and_is_tried_again():
    """After 120 seconds the call is given up; its cost is unknown, the row is answered."""
    world = World()
    world.row(1, hangs())
    await world.run(rows=1)
    first, second = world.run_of(1).attempts
    assert (first.failure.kind.value, first.failure.maybe_billed, first.worked) == ("timeout", True, 120)
    assert (first.cost, second.answer.value, world.run_of(1).data.cost) == (None, "yes", None)


async def test_a_lost_connection_may_have_been_billed():
    """A reset while the answer was awaited is not free, one that never came about is."""
    world = World()
    world.row(1, reset())
    world.row(2, unreachable())
    await world.run(rows=2)
    costs = [world.run_of(row).attempts[0].cost for row in (1, 2)]
    assert costs == [None, 0]
    assert world.statuses == {"completed": 2}


async def test_a_wave_of_faults_leaves_others_going():
    """Ten rows wait up to a minute; ten others take their place at once, and no more than that."""
    world = World(retries=Retries(wait_initial=60), step=after(1, says()))
    for row in range(1, 11):
        world.row(row, status(503), status(503))
    await world.run(rows=300, at_once=10)
    assert world.statuses == {"completed": 300}
    assert [world.times_of(row) for row in range(11, 21)] == [[0.0]] * 10
    assert world.most_under_way == 20
    assert world.most_in_flight <= 20


async def test_after_a_wave_there_are_as_many_workers_as_before():
    """Those who stood in for rows that waited leave when these are back: ten calls a second again."""
    world = World(retries=Retries(wait_initial=60), step=after(1, says()))
    for row in range(1, 11):
        world.row(row, status(503))
    await world.run(rows=1_500, at_once=10)
    a_second = Counter(int(arrival.at + 1e-6) for arrival in world.arrivals)
    assert {a_second[second] for second in range(70, 140)} == {10}


async def test_a_storm_of_faults_bounds_the_rows_under_way():
    """When every call fails, twice as many rows as may work are under way, and not all there are."""
    world = World(retries=Retries(wait_initial=60, transient=2), step=status(503))
    await world.run(rows=500, at_once=10)
    assert world.statuses == {"failed": 500}
    assert world.most_under_way == 20
    assert len(world.arrivals) == 1_500


async def test_a_batch_of_no_rows_ends_at_once():
    """Nothing to draw, nothing to do."""
    world = await World().run(rows=0, at_once=5)
    assert (world.runs, world.ended_at) == ([], 0)
