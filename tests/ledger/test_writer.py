"""The writer: groups, waiting, and that nothing it was given is lost, whatever happens around it."""

import threading

import anyio
import anyio.lowlevel
import pytest

from tasks_lib.domain.run import TaskRun
from tasks_lib.ledger import Ledger, LedgerError, open_writer
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

    def add(self, task_runs: list[TaskRun], *, batch_id: str) -> None:  # type: ignore[override]
        self.entered.set()
        self.let_go.wait(A_MOMENT)
        if self.failure is not None:
            raise self.failure
        self.groups.append(len(task_runs))
        super().add(task_runs, batch_id=batch_id)


async def test_everything_is_there_on_leaving(ledger: Ledger) -> None:
    """What was added is stored when the writer is left, in the order in which it was added."""
    counted = Counted()
    async with open_writer(ledger, batch_id=begin(ledger), on_commit=counted) as writer:
        for task_run in runs(250):
            await writer.add(task_run)
    assert keys(ledger) == [str(number) for number in range(1, 251)]
    assert sum(counted.commits) == 250


async def test_a_row_does_not_wait_for_others(ledger: Ledger) -> None:
    """A single row is committed while the writer is still open."""
    counted = Counted()
    async with open_writer(ledger, batch_id=begin(ledger), on_commit=counted, group_seconds=0.01) as writer:
        await writer.add(run(plan(key="alone")))
        await counted.wait_for(1)
        assert keys(ledger) == ["alone"]
        await writer.add(run(plan(key="later")))
        await counted.wait_for(2)


async def test_a_full_group_does_not_wait_for_the_clock(ledger: Ledger) -> None:
    """A group of `group_rows` is committed at once, however long the time."""
    counted = Counted()
    async with open_writer(
        ledger, batch_id=begin(ledger), on_commit=counted, group_rows=10, group_seconds=3600
    ) as writer:
        for task_run in runs(10):
            await writer.add(task_run)
        await counted.wait_for(10)
        for task_run in runs(3):
            await writer.add(task_run)
        assert sum(counted.commits) == 10
    assert sum(counted.commits) == 13


async def test_add_is_no_checkpoint_while_there_is_room(ledger: Ledger) -> None:
    """Adding lets nothing else run: a cancelled task can still add."""
    async with open_writer(ledger, batch_id=begin(ledger)) as writer:
        with anyio.CancelScope() as scope:
            scope.cancel()
            for task_run in runs(99):
                await writer.add(task_run)
        assert not scope.cancelled_caught
    assert len(keys(ledger)) == 99


async def test_add_waits_when_too_much_is_pending(ledger: Ledger) -> None:
    """While a commit is slow, `most_pending` groups are taken and no more; then all go in together."""
    held = Held(ledger)
    added = 0
    async with (
        open_writer(held, batch_id=begin(ledger), group_rows=2, group_seconds=0, most_pending=3) as writer,
        anyio.create_task_group() as tasks,
    ):

        async def add() -> None:
            nonlocal added
            for task_run in runs(20):
                await writer.add(task_run)
                added += 1

        tasks.start_soon(add)
        await anyio.to_thread.run_sync(held.entered.wait)
        await anyio.wait_all_tasks_blocked()
        assert len(writer._buffer) == 6
        held.let_go.set()
    assert added == 20
    assert keys(ledger) == [str(number) for number in range(1, 21)]
    assert held.groups[1] == 6


async def test_cancelling_flushes(ledger: Ledger) -> None:
    """A cancelled batch keeps every run that it handed over."""
    with anyio.CancelScope() as scope:
        async with open_writer(ledger, batch_id=begin(ledger), group_seconds=3600) as writer:
            for task_run in runs(42):
                await writer.add(task_run)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert len(keys(ledger)) == 42


async def test_a_run_whose_add_is_cancelled_is_kept(ledger: Ledger) -> None:
    """A run that waits for room when the batch is cancelled is paid for, and is stored."""
    held = Held(ledger)
    with anyio.CancelScope() as scope:
        async with (
            open_writer(
                held, batch_id=begin(ledger), group_rows=1, group_seconds=0, most_pending=1
            ) as writer,
            anyio.create_task_group() as tasks,
        ):
            for key in ("1", "2", "3"):
                tasks.start_soon(writer.add, run(plan(key=key)))
            await anyio.to_thread.run_sync(held.entered.wait)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            held.let_go.set()
    assert sorted(keys(ledger)) == ["1", "2", "3"]


async def test_an_error_flushes_and_comes_through(ledger: Ledger) -> None:
    """An error in the batch is raised as it is, once what was added is stored."""

    async def fail() -> None:
        async with open_writer(ledger, batch_id=begin(ledger), group_seconds=3600) as writer:
            await writer.add(run())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert len(keys(ledger)) == 1


async def test_a_failed_commit_ends_the_writer(ledger: Ledger) -> None:
    """After a commit failed, the next add raises its error, and so does leaving; earlier commits stand."""
    held = Held(ledger)
    held.let_go.set()
    counted = Counted()
    refusals: list[LedgerError] = []

    async def write() -> None:
        async with open_writer(
            held, batch_id=begin(ledger), on_commit=counted, group_rows=1, group_seconds=0
        ) as writer:
            await writer.add(run(plan(key="1")))
            await counted.wait_for(1)
            held.failure = LedgerError("no room")
            with anyio.fail_after(A_MOMENT):
                while not refusals:
                    try:
                        await writer.add(run(plan(key="2")))
                        await anyio.lowlevel.checkpoint()
                    except LedgerError as error:
                        refusals.append(error)

    with pytest.raises(LedgerError, match="no room") as left:
        await write()
    assert left.value is held.failure
    assert refusals == [held.failure]
    assert keys(ledger) == ["1"]
    assert counted.commits == [1]


async def test_a_commit_that_fails_on_leaving_is_heard(ledger: Ledger) -> None:
    """When the last commit fails, leaving raises, even if the batch was cancelled."""
    held = Held(ledger)
    held.let_go.set()
    held.failure = LedgerError("no room")

    async def write() -> None:
        with anyio.CancelScope() as scope:
            async with open_writer(held, batch_id=begin(ledger), group_seconds=3600) as writer:
                await writer.add(run())
                scope.cancel()
                await anyio.sleep_forever()

    with pytest.raises(LedgerError, match="no room"):
        await write()
    assert keys(ledger) == []


async def test_those_who_wait_for_room_hear_of_a_failure(ledger: Ledger) -> None:
    """A failed commit wakes an add that waits, with its error, though many wait at once."""
    held = Held(ledger)
    held.failure = LedgerError("no room")

    async def write() -> None:
        async with (
            open_writer(
                held, batch_id=begin(ledger), group_rows=1, group_seconds=0, most_pending=1
            ) as writer,
            anyio.create_task_group() as tasks,
        ):
            for task_run in runs(5):
                tasks.start_soon(writer.add, task_run)
            await anyio.to_thread.run_sync(held.entered.wait)
            await anyio.wait_all_tasks_blocked()
            held.let_go.set()

    with pytest.raises(LedgerError, match="no room"):
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
            counted = Counted()
            async with open_writer(
                ledger, batch_id=begin(ledger), on_commit=counted, group_rows=20
            ) as writer:
                for task_run in runs(400):
                    await writer.add(task_run)
                    await anyio.lowlevel.checkpoint()
        finally:
            stop.set()
    assert seen == sorted(seen)
    assert len(keys(ledger)) == 400
