"""One stream of plans for many workers."""

import anyio
import pytest

from tasks_lib.engine.feed import Feed
from tests.domain.pieces import plan

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]  # a story that stands still is a bug


class Stretches:
    """Gives stretches of rows, each a second after it was asked for, and notes when."""

    def __init__(self, *sizes, then=None):
        self.sizes = list(sizes)
        self.then = then
        self.asked_at = []
        self.next_row = 1

    async def fetch(self):
        self.asked_at.append(anyio.current_time())
        await anyio.sleep(1)
        if not self.sizes:
            if self.then is not None:
                raise self.then
            return None
        size = self.sizes.pop(0)
        first, self.next_row = self.next_row, self.next_row + size
        return [plan(number=number) for number in range(first, self.next_row)]


async def drawn_by(feed, *, workers, each=0.0):
    """The rows in the order in which so many workers drew them."""
    rows = []

    async def work():
        while (drawn := await feed.draw()) is not None:
            rows.append(drawn.row_number)
            await anyio.sleep(each)

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(work)
    return rows


@pytest.mark.parametrize("workers", [1, 3, 50])
async def test_plans_come_in_order_and_once(workers):
    """However many draw, each plan is drawn once, in the order of the rows; empty stretches are no end."""
    stretches = Stretches(3, 0, 5, 1, 0, 0, 4)
    async with Feed(stretches.fetch) as feed:
        assert await drawn_by(feed, workers=workers, each=0.1) == list(range(1, 14))
        assert await feed.draw() is None


async def test_the_next_stretch_is_fetched_while_the_last_is_used_and_no_further():
    """Nobody waits for a fetch that could have been made before, and at most one stretch waits to be used."""
    stretches = Stretches(5, 5, 5, 5)
    async with Feed(stretches.fetch) as feed:
        await anyio.sleep(10)
        assert stretches.asked_at == [0]
        assert (await feed.draw()).row_number == 1
        await anyio.sleep(10)
        assert stretches.asked_at == [0, 10]
        for _ in range(4):
            await feed.draw()
        assert anyio.current_time() == 20
        assert (await feed.draw()).row_number == 6
        await anyio.sleep(10)
        assert stretches.asked_at == [0, 10, 20]


async def test_no_rows_at_all():
    """A source that gives nothing has ended."""
    async with Feed(Stretches().fetch) as feed:
        assert await feed.has_any() is False
        assert await feed.draw() is None


async def test_to_look_is_not_to_draw():
    """Whether there is a plan can be asked as often as one likes."""
    async with Feed(Stretches(1).fetch) as feed:
        assert await feed.has_any() is True
        assert await feed.has_any() is True
        assert (await feed.draw()).row_number == 1
        assert await feed.has_any() is False


async def test_an_error_in_fetching_is_no_end_of_the_rows():
    """Nobody is told that the rows are over: the workers are cancelled, and the error comes out."""
    drawn = []

    async def work(feed):
        while True:
            drawn.append(await feed.draw())

    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="disk"), flatten_subgroups=True):
        stretches = Stretches(2, then=OSError("the disk is gone"))
        async with Feed(stretches.fetch) as feed, anyio.create_task_group() as workers:
            for _ in range(3):
                workers.start_soon(work, feed)
    assert [one.row_number for one in drawn] == [1, 2]


async def test_an_error_of_the_workers_ends_the_fetching():
    """The feed leaves nothing running when those who draw have failed."""
    stretches = Stretches(*[1] * 100)
    with pytest.RaisesGroup(pytest.RaisesExc(ZeroDivisionError)):
        async with Feed(stretches.fetch) as feed:
            await feed.draw()
            raise ZeroDivisionError
    asked = len(stretches.asked_at)
    await anyio.sleep(100)
    assert len(stretches.asked_at) == asked


@pytest.mark.parametrize("moment", [0, 0.5, 1.5, 10])
async def test_a_feed_that_is_cancelled_leaves_nothing_behind(moment):
    """Whenever the end comes, before the first fetch, in it or after, nothing is left open or running."""
    stretches = Stretches(2, 2)
    with anyio.move_on_after(moment):
        async with Feed(stretches.fetch) as feed:
            while await feed.draw():
                pass
            await anyio.sleep_forever()
    asked = len(stretches.asked_at)
    await anyio.sleep(100)
    assert len(stretches.asked_at) == asked


async def test_a_feed_may_be_left_at_once():
    """Nothing was drawn, nothing is fetched, nothing is left open."""
    stretches = Stretches(2, 2)
    async with Feed(stretches.fetch):
        pass
    await anyio.sleep(100)
    assert len(stretches.asked_at) <= 1
