"""The same stories on asyncio, as in production: in real time, and therefore short ones."""

import asyncio
from itertools import islice

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tasks_lib.domain.job import Limits
from tasks_lib.domain.retries import Retries
from tasks_lib.engine.feed import Feed
from tasks_lib.engine.stop import Why
from tests.domain.pieces import BIG, OTHER, plan
from tests.engine.world import World, after, reset, says, status

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]  # a story that stands still is a bug
QUICK = Retries(wait_initial=0.01, wait_max=0.02)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(autouse=True)
async def nothing_is_left_running():
    """After each story there are no more tasks than before it."""
    before = asyncio.all_tasks()
    yield
    left = [task.get_coro().__qualname__ for task in asyncio.all_tasks() - before]
    assert [name for name in left if not name.startswith("TestRunner.")] == []  # that is the plugin itself


async def test_rows_with_all_sorts_of_faults_are_all_answered():
    """Faults, lost connections, rate limits and bad days, 300 rows, each answered once."""
    world = World(retries=QUICK, step=after(0.001, says()))
    for row in range(1, 301, 3):
        world.row(row, status(503), reset(), status(429, retry_after=0.01))
    await world.run(rows=300, at_once=20)
    assert world.statuses == {"completed": 300}
    assert len(world.arrivals) == 600


async def test_the_bound_of_calls_in_flight_is_met():
    """Reached, and never passed."""
    world = await World(limits=Limits(in_flight=7), step=after(0.005, says())).run(rows=70, at_once=50)
    assert world.most_in_flight == 7


async def test_nobody_arrives_before_the_pause_is_over():
    """Retry-After holds for all behind the gate, on a real clock as well."""
    world = World(limits=Limits(in_flight=2), step=after(0.001, says()))
    world.row(1, status(429, retry_after=0.2))
    await world.run(rows=50, at_once=10)
    refused_at = world.times_of(1)[0]
    pause = [at - refused_at for at in sorted(arrival.at for arrival in world.arrivals)][2:]
    assert min(pause) >= 0.2


async def test_a_fallback_takes_over():
    """The primary's tries, then the other's."""
    world = World(BIG, OTHER, retries=QUICK)
    world.model(BIG, status(500))
    await world.run(rows=10)
    assert {run.data.fallback_llm_model for run in world.runs} == {"other:model"}


async def test_a_stop_lets_calls_under_way_end():
    """Those in flight are answered, those in backoff are cancelled with their attempts."""
    world = World(step=after(0.1, says()), retries=Retries(wait_initial=600))
    world.row(1, status(503))
    await world.run(rows=100, at_once=5, stop_at=0.05)
    assert world.statuses == {"completed": 5, "cancelled": 1}
    assert len(world.arrivals) == 6


async def test_a_refused_account_ends_the_batch():
    """One 401 and no call is begun any more."""
    world = World(step=after(0.05, says()), recording=0.02)
    world.row(2, after(0.01, status(401)))
    await world.run(rows=100, at_once=3)
    assert (len(world.arrivals), world.stop.why) == (3, Why.REFUSED)


async def test_the_hard_end_tells_of_what_it_dropped():
    """Calls under way may have been billed, and an answer in hand is recorded."""
    world = World(step=after(30, says()), recording=0.05)
    world.row(1, says())
    await world.run(rows=5, cancel_at=0.02)
    assert world.statuses == {"completed": 1, "cancelled": 4}
    assert world.run_of(2).attempts[0].failure.maybe_billed


async def test_a_task_that_is_cancelled_from_outside_tells_of_it_too():
    """What asyncio itself cancels, for a signal or a scheduler, loses no attempt."""
    world = World(step=after(30, says()), recording=0.01)
    world.row(1, says())
    batch = asyncio.create_task(world.run(rows=3))
    await asyncio.sleep(0.005)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert world.statuses == {"completed": 1, "cancelled": 2}


async def test_a_feed_ends_with_its_rows():
    """Stretches from a thread's pace, drawn by many."""
    numbers = iter(range(1, 101))

    async def fetch():
        await anyio.sleep(0.001)
        return [plan(number=number) for number in islice(numbers, 7)] or None

    rows = []

    async def work(feed):
        while (drawn := await feed.draw()) is not None:
            rows.append(drawn.row_number)
            await checkpoint()

    async with Feed(fetch) as feed, anyio.create_task_group() as workers:
        for _ in range(9):
            workers.start_soon(work, feed)
    assert rows == list(range(1, 101))


async def test_an_error_in_fetching_comes_out():
    """No worker takes it for the end."""

    async def fetch():
        raise OSError("gone")

    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="gone"), flatten_subgroups=True):
        async with Feed(fetch) as feed:
            await feed.draw()
            pytest.fail("that was no end")
