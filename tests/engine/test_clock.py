"""A clock on the wall that jumps: only what is told of moments is different, and nothing that is done."""

from datetime import timedelta
from itertools import pairwise

import pytest

from tasks_lib.domain.job import Limits
from tasks_lib.domain.retries import Retries
from tests.engine.world import World, after, most_in_a_minute, says, status

pytestmark = pytest.mark.anyio

JUMPS = ((40, 5), (90, -9), (150, 30), (151, -26))  # from these seconds on, so many hours more


class Jumping(World):
    """A world whose clock is put forward and back while it runs."""

    def wall(self):
        hours = sum(hours for since, hours in JUMPS if self.now() >= since)
        return super().wall() + timedelta(hours=hours)


async def story(world):
    """Two hundred rows, some of which are put off by the provider."""
    for row in (10, 60, 120):
        world.row(row, status(429, retry_after=30))
        world.row(row + 1, status(503))
    return await world.run(rows=200, at_once=20)


async def test_a_clock_that_jumps_changes_no_moment():
    """Calls go out at the same moments as with a clock that is right; no limit and no promise is broken."""
    asked = {
        "limits": Limits(requests_per_minute=60, in_flight=10),
        "retries": Retries(transient=3, rate_limited=3),
        "step": after(0.5, says()),
    }
    right, jumping = await story(World(**asked)), await story(Jumping(**asked))
    assert jumping.statuses == right.statuses == {"completed": 200}
    assert [one.at for one in jumping.arrivals] == pytest.approx([one.at for one in right.arrivals])
    assert most_in_a_minute([one.at for one in jumping.arrivals]) <= 60
    for row in (10, 60, 120):
        first, second = jumping.times_of(row)
        assert second - first >= 30


async def test_a_clock_that_jumps_makes_no_negative_time():
    """How long calls waited and worked is measured by another clock than the one on the wall."""
    world = await story(Jumping(limits=Limits(in_flight=10), step=after(20, says())))
    attempts = [attempt for run in world.runs for attempt in run.attempts]
    assert {round(attempt.worked) for attempt in attempts if attempt.failure is None} == {20}
    assert min(attempt.waited for attempt in attempts) >= 0
    moments = [attempt.started_at for run in world.runs for attempt in run.attempts]
    assert any(later < earlier for earlier, later in pairwise(moments)), "it did jump back"
