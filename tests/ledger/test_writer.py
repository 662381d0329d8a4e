"""The writer: groups, waiting, and that nothing it was given is lost, whatever happens around it."""

import threading
from collections.abc import Iterable

import anyio
import pytest

from tasks_lib.domain.run import TaskRun
from tasks_lib.ledger import Ledger, LedgerError, LedgerWriter, open_writer
from tests.ledger.builders import begin, plan, run, runs

pytestmark = pytest.mark.anyio

A_MOMENT = 20.0  # seconds, for things that take milliseconds: a test that hangs ends


def keys(ledger: Ledger) -> list[str]:
    """Row keys, in the order in which they were stored."""
    return [row["row_key"] for row in ledger.sql("select row_key from task_runs order by rowid").to_pylist()]


class Counted:
    """Counts what is durable, and lets a test wait for it."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self._more = anyio.Event()

    def __call__(self, count: int) -> None:
        self.commits.append(count)
        self._more.set()
        self._more = anyio.Event()

    async def wait_for(self, rows: int) -> None:
        with anyio.fail_after(A_MOMENT):
            while sum(self.commits) < rows:
                await self._more.wait()


class Held(Ledger):
    """A ledger whose commits wait until they are let go, or fail."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.path, ledger._connections)
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.failure: Exception | None = None
        self.groups: list[int] = []

    def add(self, task_runs: list[TaskRun], *, batch_id: str, on_commit: object = None) -> None:  # type: ignore[override]
        self.entered.set()
        self.let_go.wait(A_MOMENT)
        if self.failure is not None:
            raise self.failure
        self.groups.append(len(task_runs))
        super().add(task_runs, batch_id=batch_id, on_commit=on_commit)


async def add_all(writer: LedgerWriter, task_runs: Iterable[TaskRun]) -> None:
    """Add runs at the same time, as workers do, in their order."""
    async with anyio.create_task_group() as tasks:
        for task_run in task_runs:
            tasks.start_soon(writer.add, task_run)


async def test_everything_is_there_on_leaving(ledger: Ledger) -> None:
    """What was added is stored when the writer is left, and counted once."""
    counted = Counted()
    async with open_writer(ledger, batch_id=begin(ledger), on_commit=counted) as writer:
        await add_all(writer, runs(250))
    assert sorted(keys(ledger), key=int) == [str(number) for number in range(1, 251)]
    assert sum(counted.commits) == 250


async def test_who_added_a_run_goes_on_when_it_cannot_be_lost(ledger: Ledger) -> None:
    """An add returns when its run is stored, and not before."""
    async with open_writer(ledger, batch_id=begin(ledger)) as writer:
        await writer.add(run(plan(key="alone")))
        assert keys(ledger) == ["alone"]
        await writer.add(run(plan(key="later")))
        assert keys(ledger) == ["alone", "later"]


async def test_no_more_can_be_lost_than_there_are_callers(ledger: Ledger) -> None:
    """While a commit is slow, its caller waits, and so do those who come meanwhile; these go in together."""
    held = Held(ledger)
    async with (
        open_writer(held, batch_id=begin(ledger), group_rows=lambda: 2) as writer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(writer.add, run(plan(key="first")))
        await anyio.to_thread.run_sync(held.entered.wait)
        tasks.start_soon(add_all, writer, runs(6))
        await anyio.wait_all_tasks_blocked()
        assert (keys(ledger), len(writer._buffer)) == ([], 6)
        held.let_go.set()
    assert held.groups == [1, 6]
    assert len(keys(ledger)) == 7


async def test_a_full_group_does_not_wait_for_the_clock(ledger: Ledger) -> None:
    """A group of `group_rows` is committed at once, however long the time."""
    async with open_writer(
        ledger, batch_id=begin(ledger), group_rows=lambda: 10, group_seconds=3600
    ) as writer:
        writer._commit_took = 3600.0  # so that it would wait for ever
        with anyio.fail_after(A_MOMENT):
            await add_all(writer, runs(10))
    assert len(keys(ledger)) == 10


async def test_cancelling_flushes(ledger: Ledger) -> None:
    """A cancelled batch keeps every run that it handed over, though nobody waits for it any more."""
    held = Held(ledger)
    with anyio.CancelScope() as scope:
        async with (
            open_writer(held, batch_id=begin(ledger), group_rows=lambda: 1) as writer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(writer.add, run(plan(key="under way")))
            await anyio.to_thread.run_sync(held.entered.wait)
            tasks.start_soon(add_all, writer, runs(42))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            held.let_go.set()
    assert scope.cancelled_caught
    assert len(keys(ledger)) == 43


async def test_an_error_flushes_and_comes_through(ledger: Ledger) -> None:
    """An error in the batch is raised as it is, once what was added is stored."""

    async def fail() -> None:
        async with open_writer(ledger, batch_id=begin(ledger)) as writer:
            await writer.add(run())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert len(keys(ledger)) == 1


async def test_a_failed_commit_ends_the_writer(ledger: Ledger) -> None:
    """Who added a run that cannot be committed hears of it, and so do later ones; what was stored stands."""
    held = Held(ledger)
    held.let_go.set()
    counted = Counted()
    refusals: list[LedgerError] = []

    async def write() -> None:
        async with open_writer(
            held, batch_id=begin(ledger), on_commit=counted, group_rows=lambda: 1
        ) as writer:
            await writer.add(run(plan(key="1")))
            held.failure = LedgerError("no room")
            for _ in range(2):
                try:
                    await writer.add(run(plan(key="2")))
                except LedgerError as error:
                    refusals.append(error)

    with pytest.raises(LedgerError, match="no room") as left:
        await write()
    assert left.value is held.failure
    assert refusals == [held.failure] * 2
    assert keys(ledger) == ["1"]
    assert counted.commits == [1]


async def test_a_commit_that_fails_on_leaving_is_heard(ledger: Ledger) -> None:
    """When the last commit fails, leaving raises, even if the batch was cancelled."""
    held = Held(ledger)
    held.failure = LedgerError("no room")

    async def write() -> None:
        with anyio.CancelScope() as scope:
            async with (
                open_writer(held, batch_id=begin(ledger)) as writer,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(writer.add, run())
                await anyio.to_thread.run_sync(held.entered.wait)
                scope.cancel()
                held.let_go.set()

    with pytest.raises(LedgerError, match="no room"):
        await write()
    assert keys(ledger) == []


async def test_all_who_wait_hear_of_a_failure(ledger: Ledger) -> None:
    """A failed commit wakes those whose runs were in it and those who came meanwhile, with its error."""
    held = Held(ledger)
    held.failure = LedgerError("no room")

    async def write() -> None:
        async with (
            open_writer(held, batch_id=begin(ledger), group_rows=lambda: 2) as writer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(add_all, writer, runs(2))
            await anyio.to_thread.run_sync(held.entered.wait)
            tasks.start_soon(add_all, writer, runs(3))
            await anyio.wait_all_tasks_blocked()
            held.let_go.set()

    with anyio.fail_after(A_MOMENT), pytest.raises(LedgerError, match="no room"):
        await write()


async def test_nothing_added_is_nothing_written(ledger: Ledger) -> None:
    """A batch without a run leaves none, and tells nobody of a commit."""
    counted = Counted()
    async with open_writer(ledger, batch_id=begin(ledger), on_commit=counted):
        pass
    assert (keys(ledger), counted.commits) == ([], [])


async def test_reading_while_writing(ledger: Ledger) -> None:
    """Other threads of the process read what is committed while the writer goes on."""
    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            (row,) = ledger.sql(
                "select (select count(*) from task_runs) as runs, (select count(*) from attempts) as attempts"
            ).to_pylist()
            assert row["runs"] == row["attempts"]
            seen.append(row["runs"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, read)
        try:
            async with open_writer(ledger, batch_id=begin(ledger), group_rows=lambda: 20) as writer:
                for first in range(0, 400, 40):
                    await add_all(writer, runs(40, first=first + 1))
        finally:
            stop.set()
    assert seen == sorted(seen)
    assert len(keys(ledger)) == 400
