"""Rows that are suspected of killing run in little company."""

from collections import deque
from math import inf

import anyio
import pytest
from trio.testing import MockClock

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.plan import Plan
from tasks_lib.engine.stop import Stop, Why
from tasks_lib.job.suspects import Suspects
from tests.domain.pieces import plan


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


pytestmark = pytest.mark.anyio


class Rows:
    """Rows that take a second each, drawn by some workers; `company` is the most that each ever had."""

    def __init__(self, numbers: list[int], suspects: Suspects) -> None:
        self.waiting = deque(plan(number=number) for number in numbers)
        self.suspects = suspects
        self.under_way: set[int] = set()
        self.company: dict[int, int] = {}

    async def draw(self) -> Plan | None:
        return self.waiting.popleft() if self.waiting else None

    async def work(self) -> None:
        while (drawn := await self.suspects.drawn(self.draw)) is not None:
            self.under_way.add(drawn.row_number)
            for row in self.under_way:
                self.company[row] = max(self.company.get(row, 0), len(self.under_way))
            await anyio.sleep(1)
            self.under_way.remove(drawn.row_number)
            self.suspects.ended(drawn)

    async def run(self, workers: int) -> "Rows":
        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(self.work)
        return self


def knowing(companies: dict[int, tuple[int, ...]], stop: Stop | None = None) -> Suspects:
    suspects = Suspects(stop or Stop())
    suspects.learn({plan(number=number).identity: known for number, known in companies.items()})
    return suspects


async def test_a_suspect_is_alone_wherever_it_comes() -> None:
    """Nobody is under way beside a suspect, neither those before it nor those after; others run as ever."""
    rows = await Rows([1, 2, 3, 4, 5, 6, 7], knowing({4: (64, 64)})).run(workers=3)
    assert rows.company == {1: 3, 2: 3, 3: 3, 4: 1, 5: 3, 6: 3, 7: 3}


async def test_a_crowd_of_suspects_runs_in_small_company() -> None:
    """Rows that died among a thousand run fifteen at once, and not one by one."""
    numbers = list(range(1, 41))
    rows = await Rows(numbers, knowing(dict.fromkeys(numbers, (1_000, 1_000)))).run(workers=40)
    assert max(rows.company.values()) == 15


async def test_a_stop_ends_the_wait_for_company_to_leave() -> None:
    """A suspect that waits for others is not begun after the stop, and nobody waits for ever."""
    stop = Stop()
    rows = Rows([1, 2], knowing({2: (2, 2)}, stop))
    with anyio.fail_after(10):
        first = await rows.suspects.drawn(rows.draw)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rows.run, 2)
            await anyio.sleep(1)
            stop.call(Why.INTERRUPTED, "enough")
    assert first is not None
    assert rows.company == {}


def test_suspects_come_last_and_the_likeliest_last_of_all() -> None:
    """Suspects are held back until all others were drawn; those that died most often come at the end."""
    suspects = knowing({1: (8, 8, 1), 2: (8, 8), 3: (8,), 4: (1_000, 1_000)})
    plans = [plan(number=number) for number in (1, 2, 3, 4, 5)]
    assert [one.row_number for one in suspects.sorted_out(plans)] == [3, 5]
    assert [one.row_number for one in suspects.held_back()] == [4, 2, 1]
    assert not suspects.held_back()


def test_a_poisoned_row_is_not_held_back_but_failed() -> None:
    """What is set aside has a problem that says why, and makes no call; unless it is wanted again."""
    (set_aside,) = knowing({1: (8, 8, 1, 1)}).sorted_out([plan(number=1)])
    assert set_aside.problem is not None
    assert set_aside.problem.kind is FailureKind.POISONED
    wanted = Suspects(Stop(), retry_poisoned=True)
    wanted.learn({plan(number=1).identity: (8, 8, 1, 1)})
    assert wanted.sorted_out([plan(number=1)]) == []
    assert [one.problem for one in wanted.held_back()] == [None]


async def test_without_deaths_nothing_is_different() -> None:
    """A batch in a ledger without deaths draws as if nobody were suspected."""
    rows = await Rows(list(range(10)), knowing({})).run(workers=5)
    assert max(rows.company.values()) == 5
    assert min(rows.company.values(), default=inf) == 5
