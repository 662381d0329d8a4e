"""When everybody pauses for one call's Retry-After, and when that would help nobody."""

from itertools import pairwise

import anyio
import pytest

from tasks_lib.domain.chance import fraction
from tasks_lib.domain.job import Limits
from tasks_lib.domain.retries import Retries
from tests.engine.world import World, after, says, status

NEVER_GIVE_UP = Retries(rate_limited=1_000)


def refuses_some(share, *, retry_after=1.0):
    """A provider that refuses that share of its calls, whatever is asked of it."""
    calls = iter(range(1_000_000))

    def step():
        refused = fraction("refused", str(next(calls))) < share
        return status(429, retry_after=retry_after) if refused else says()

    async def answered(request):
        return await after(0.05, step())(request)

    return answered


def refuses_beyond(rate, *, burst):
    """A bucket that fills at a rate a second; Retry-After says when it holds one call again."""
    level, filled_at = float(burst), None

    async def answered(request):
        nonlocal level, filled_at
        now = anyio.current_time()
        if filled_at is not None:
            level = min(burst, level + (now - filled_at) * rate)
        filled_at = now
        if level >= 1:
            level -= 1
            return await after(0.05, says())(request)
        return await after(0.05, status(429, retry_after=(1 - level) / rate))(request)

    return answered


def waits_kept(world, seconds):
    """Whether no row came back before its Retry-After was over."""
    times = [world.times_of(run.plan.row_number) for run in world.runs if len(run.attempts) > 1]
    return bool(times) and all(
        later - earlier >= seconds for row in times for earlier, later in pairwise(row)
    )


@pytest.mark.anyio
async def test_refusals_that_come_anyway_stop_nobody_else():
    """5 % are refused at random: pausing is soon known not to help, and who was refused still waits."""
    world = World(limits=Limits(in_flight=64), retries=NEVER_GIVE_UP, step=refuses_some(0.05))
    await world.run(rows=2_000, at_once=64)
    assert world.statuses == {"completed": 2_000}
    assert waits_kept(world, 1.0)
    assert world.ended_at is not None
    assert world.ended_at < 20  # 1.6 s at best; some 100 s if all paused each time


@pytest.mark.anyio
async def test_a_limit_that_is_passed_still_stops_everybody():
    """A provider with a real limit: most of what would be sent without pausing would be refused."""
    world = World(limits=Limits(in_flight=64), retries=NEVER_GIVE_UP, step=refuses_beyond(20, burst=5))
    await world.run(rows=300, at_once=64)
    assert world.statuses == {"completed": 300}
    assert not world.gate._refusals.are_sporadic


@pytest.mark.anyio
async def test_a_provider_that_refuses_a_third_of_all_calls_is_left_in_peace():
    """However random: so many refusals are a provider in trouble, and everybody pauses."""
    world = World(limits=Limits(in_flight=16), retries=NEVER_GIVE_UP, step=refuses_some(0.33))
    await world.run(rows=150, at_once=16)
    assert world.statuses == {"completed": 150}
    assert not world.gate._refusals.are_sporadic


@pytest.mark.anyio
async def test_now_and_then_it_is_tried_whether_a_pause_helps():
    """After a minute without pauses one is had again: what was found out may have ceased to be true."""
    world = World(limits=Limits(in_flight=8), retries=NEVER_GIVE_UP, step=refuses_some(0.05))
    await world.run(rows=16_000, at_once=8)
    closed = [run.finished_at for run in world.runs]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(closed)]
    pauses = sum(gap >= 0.9 for gap in gaps)
    assert world.ended_at is not None
    assert 1 <= pauses - 3 <= world.ended_at / 60 * 12
