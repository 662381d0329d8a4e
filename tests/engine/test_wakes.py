"""News of hosted runs, and the pauses that they end, in virtual time."""

from itertools import pairwise

import anyio
import pytest

from tasks_lib.engine.exchange import have
from tasks_lib.engine.wakes import LEAST_SECONDS, Wakes
from tasks_lib.providers.protocol import Accepted, Pause, Request, Response

pytestmark = pytest.mark.anyio


class Run:
    """A hosted run that is looked at every 60 seconds, and its looks by their moments."""

    def __init__(self, *, ends_at: float, remote_id: str = "trun_1") -> None:
        self.looks: list[float] = []
        self._ends_at = anyio.current_time() + ends_at
        self._began = anyio.current_time()
        self._remote_id = remote_id

    async def send(self, request: Request) -> Response:
        now = anyio.current_time()
        self.looks.append(round(now - self._began, 3))
        return Response(status=200 if now >= self._ends_at else 202, headers={"date": "then"})

    def exchange(self):
        yield Accepted(remote_id=self._remote_id)
        while True:
            response = yield Request(method="GET", url="https://acme.test/run", headers={})
            if response.status == 200:
                return "outcome"
            yield Pause(seconds=60)


async def looks(run: Run, news: dict[float, str], *, wakes: Wakes | None = None) -> list[float]:
    """When a run is looked at that has these news at these moments."""
    wakes = wakes or Wakes()

    async def tell() -> None:
        began = anyio.current_time()
        for moment, remote_id in news.items():
            await anyio.sleep_until(began + moment)
            wakes.wake(remote_id)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell)
        with wakes.waiting() as wake:
            assert await have(run.exchange(), run, wake=wake) == "outcome"
        tasks.cancel_scope.cancel()
    assert len(wakes) == 0
    return run.looks


async def test_without_news_it_is_polled():
    """Polling is the default: nothing is looked at earlier because somebody might tell."""
    assert await looks(Run(ends_at=100), {}) == [0, 60, 120]


async def test_news_end_the_pause():
    """W09, P19: an exchange that pauses for 60 seconds looks at once when it is told of its run."""
    assert await looks(Run(ends_at=5), {7.5: "trun_1"}) == [0, 7.5]


async def test_news_are_no_result():
    """W09, P19: news that are not true cost one look, and the run is waited for as before."""
    assert await looks(Run(ends_at=100), {7.5: "trun_1"}) == [0, 7.5, 67.5, 127.5]


async def test_news_of_others_wake_nobody():
    """A run that nobody knows, or that another row waits for, is none of this one's business."""
    wakes = Wakes()
    with wakes.waiting("trun_2"):
        assert wakes.wake("trun_2")
        assert not wakes.wake("trun_1")
        assert await looks_beside(wakes) == [0, 60]
        assert len(wakes) == 1


async def looks_beside(wakes: Wakes) -> list[float]:
    run = Run(ends_at=60)
    with wakes.waiting() as wake:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tell_others, wakes)
            await have(run.exchange(), run, wake=wake)
            tasks.cancel_scope.cancel()
    return run.looks


async def tell_others(wakes: Wakes) -> None:
    while True:
        await anyio.sleep(3)
        wakes.wake("trun_2")
        wakes.wake("trun_3")


async def test_a_flood_of_news_is_a_look_a_second():
    """Whoever tells of a run again and again does not have it looked at more than once a second."""
    told = {10 + 0.01 * number: "trun_1" for number in range(1_000)}  # from 10 s to 20 s
    moments = await looks(Run(ends_at=19), told)
    assert moments[:2] == [0, 10]
    assert moments[-1] in (19, 20)
    assert all(later - earlier >= LEAST_SECONDS - 0.001 for earlier, later in pairwise(moments[1:]))


async def test_the_last_word_is_heard():
    """News that come right after others are not lost: the end of a run may follow its beginning at once."""
    assert await looks(Run(ends_at=10.3), {10: "trun_1", 10.4: "trun_1"}) == [0, 10, 11]


async def test_news_that_come_during_a_look_are_kept():
    """What is asked when news come may be answered from before: the next pause is as short as can be."""
    wakes = Wakes()
    with wakes.waiting("trun_1") as wake:
        wakes.wake("trun_1")
        began = anyio.current_time()
        await wake.pause(60)
        assert anyio.current_time() == pytest.approx(began + LEAST_SECONDS)
        await wake.pause(60)
        assert anyio.current_time() == pytest.approx(began + LEAST_SECONDS + 60)


async def test_a_pause_is_never_longer_for_being_woken():
    """One that is shorter than a second anyway stays as short."""
    wakes = Wakes()
    with wakes.waiting("trun_1") as wake:
        for _ in range(2):
            wakes.wake("trun_1")
            began = anyio.current_time()
            await wake.pause(0.25)
            assert anyio.current_time() == pytest.approx(began + 0.25)


async def test_who_says_to_wait_is_not_hurried():
    """A pause after a refusal is made whole, news or not; those that came meanwhile shorten the one after."""

    class Busy(Run):
        async def send(self, request: Request) -> Response:
            told = await super().send(request)
            return Response(status=429, headers={"retry-after": "60"}) if len(self.looks) == 2 else told

    assert await looks(Busy(ends_at=50), {10: "trun_1", 20: "trun_1"}) == [0, 10, 70]


async def test_two_providers_may_have_one_id():
    """All who wait for a run of that id look; each ends waiting by itself."""
    wakes = Wakes()
    with wakes.waiting("17") as one:
        with wakes.waiting("17") as other:
            began = anyio.current_time()
            assert wakes.wake("17")
            await one.pause(60)
            await other.pause(60)
            assert anyio.current_time() == pytest.approx(began + 2 * LEAST_SECONDS)
        assert wakes.wake("17")
    assert not wakes.wake("17")


async def test_there_is_an_end_to_what_is_listened_for():
    """Beyond so many runs further ones are only polled; those that are known already are woken."""
    wakes = Wakes(most=2)
    with wakes.waiting("a"), wakes.waiting("b") as b, wakes.waiting("c"), wakes.waiting("b"):
        b.known_as("b")
        assert [wakes.wake(name) for name in "abc"] == [True, True, False]
        assert len(wakes) == 2
    assert len(wakes) == 0


async def test_who_is_dropped_waits_no_more():
    """An exchange that is cancelled in its pause leaves nothing behind."""
    wakes = Wakes()
    run = Run(ends_at=1_000)
    with anyio.move_on_after(10) as patience, wakes.waiting() as wake:
        await have(run.exchange(), run, wake=wake)
    assert patience.cancelled_caught
    assert len(wakes) == 0
