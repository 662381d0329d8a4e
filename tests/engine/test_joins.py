"""Rows that ask the same share one call."""

from decimal import Decimal

import pytest

from tasks_lib.domain.job import Limits
from tasks_lib.domain.retries import Retries
from tests.domain.pieces import BIG
from tests.engine.test_money import PRICES
from tests.engine.world import World, after, reset, says, status


def copies(*, of=1, rows, **options):
    world = World(prices=PRICES, **options)
    world.same_as = {row: of for row in range(1, rows + 1) if row != of}
    return world


@pytest.mark.anyio
async def test_rows_that_ask_the_same_are_asked_once():
    """Ten rows, one call: all are answered, nine pay nothing and name the run that paid."""
    world = copies(rows=10, step=after(1, says(output_tokens=3)))
    await world.run(rows=10)
    assert (len(world.arrivals), world.statuses) == (1, {"completed": 10})
    assert sum(run.data.cost for run in world.runs) == 3
    (paid,) = [run for run in world.runs if run.attempts]
    others = [run for run in world.runs if run is not paid]
    assert {run.joined_to for run in others} == {paid.plan.task_run_id}
    assert {run.response for run in others} == {"yes"}


@pytest.mark.anyio
async def test_each_row_is_asked_where_that_is_wanted():
    """Without joins ten rows are ten calls."""
    world = copies(rows=10, step=after(1, says()), joins=False)
    await world.run(rows=10)
    assert len(world.arrivals) == 10
    assert {run.joined_to for run in world.runs} == {None}


@pytest.mark.anyio
async def test_a_row_that_comes_later_is_asked_for_itself():
    """Only what is under way is joined: what ended before is another run's."""
    world = copies(rows=2, step=after(1, says()))
    await world.run(rows=2, at_once=1)
    assert len(world.arrivals) == 2


@pytest.mark.anyio
async def test_those_who_wait_for_another_row_make_room():
    """One slow call for many rows does not hold up rows that ask something else."""
    world = copies(of=1, rows=3)
    world.row(1, after(100, says()))
    await world.run(rows=4, at_once=2)
    assert world.runs[0].plan.row_number == 4
    assert world.statuses == {"completed": 4}


@pytest.mark.anyio
async def test_a_failure_is_shared_as_an_answer_is():
    """Nine more tries of the very same would cost nine times as much and fail alike."""
    world = copies(rows=10, step=after(1, status(400)), retries=Retries())
    await world.run(rows=10)
    assert (len(world.arrivals), world.statuses) == (1, {"failed": 10})


@pytest.mark.anyio
async def test_who_waited_for_a_row_that_was_dropped_is_left_for_the_next_batch():
    """A stop while the one call is under way: it comes to its end, and no second one is made."""
    world = copies(rows=4, step=after(10, says()))
    await world.run(rows=4, stop_at=1)
    assert len(world.arrivals) == 1
    assert world.statuses == {"completed": 1}


@pytest.mark.anyio
async def test_an_ambiguous_call_is_had_again_or_not_as_the_user_wants():
    """A reset after sending may have been billed: `retry` pays again, `fail` gives the row up unpaid."""
    world = World(prices=PRICES, retries=Retries(on_ambiguous="retry"), max_tokens=4)
    world.row(1, reset())
    await world.run(rows=1)
    run = world.run_of(1)
    assert (len(world.arrivals), run.status.value, run.data.llm_retries) == (2, "completed", 1)
    world = World(prices=PRICES, retries=Retries(on_ambiguous="fail"), max_tokens=4, limits=Limits())
    world.row(1, reset())
    world.row(2, status(503))  # surely not billed: had again
    await world.run(rows=2)
    assert {row: world.run_of(row).status.value for row in (1, 2)} == {1: "failed", 2: "completed"}
    assert len(world.arrivals) == 3


@pytest.mark.anyio
async def test_what_an_ambiguous_call_may_have_cost_is_told_apart():
    """Its cost stays unknown; the estimate is bounded by the longest answer, and no part of the sure cost."""
    world = World(BIG, prices=PRICES, max_tokens=4)
    world.row(1, reset(), says(output_tokens=2))
    await world.run(rows=1)
    run = world.run_of(1)
    lost, answered = run.attempts
    assert (lost.cost, lost.estimated_cost) == (None, 4)
    assert (answered.cost, answered.estimated_cost) == (2, None)
    assert (run.data.cost, run.data.possible_cost) == (Decimal(2), Decimal(4))
