"""What is kept does not grow with the rows."""

import gc
import sys
from collections import deque

import pytest

from tasks_lib.domain.job import Limits
from tests.engine.world import World, after, says

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


async def test_a_row_leaves_nothing_behind():
    """After five thousand rows, a tenth of them asked twice, no more is allocated than after one thousand."""
    allocated = {}
    world = World(limits=Limits(requests_per_minute=600, tokens_per_minute=60_000, in_flight=50))
    world.arrivals, world.runs = deque(maxlen=100), deque(maxlen=100)
    answer, nothing = after(0.01, says()), after(0.01, says(""))

    async def step(request):
        arrival = world.arrivals[-1]
        if arrival.row in (1_000, 5_000) and arrival.row not in allocated:
            gc.collect()
            allocated[arrival.row] = sys.getallocatedblocks()
        again = "rejected" in arrival.prompt
        return await (nothing if arrival.row % 10 == 1 and not again else answer)(request)

    world.step = step
    await world.run(rows=5_500, at_once=50)
    assert world.statuses == {"completed": 100}
    assert allocated[5_000] - allocated[1_000] < 1_000
