"""Runs of several processes, on their way into one ledger."""

import threading
from typing import cast

import anyio
import pytest
from anyio import to_thread

from tasks_lib.engine.stop import Stop
from tasks_lib.job.books import Books
from tasks_lib.job.counted import Counted
from tasks_lib.job.tally import Tally
from tasks_lib.job.workers.commits import Arrived, Commits
from tasks_lib.ledger import Facts, Ledger, LedgerError, facts_of
from tests.ledger.builders import answered, plan, run

pytestmark = pytest.mark.anyio
WAIT = 60.0  # seconds, for what comes at once


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Slow:
    """A ledger whose first commit takes as long as it is told to."""

    def __init__(self, *, error: str | None = None) -> None:
        self.commits: list[list[str | None]] = []  # keys
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self._error = error

    def add_facts(self, facts: Facts, *, batch_id: str) -> None:
        """See `Ledger`."""
        assert batch_id == "batch"
        self.commits.append(facts.task_runs["row_key"].to_pylist())
        self.begun.set()
        assert self.may_end.wait(WAIT)
        if self._error is not None:
            raise LedgerError(self._error)


def handed_in(commits: Commits, *keys: str) -> Arrived:
    """What a process hands in, taken."""
    runs = [run(plan(key=key, number=number), answered({"key": key})) for number, key in enumerate(keys)]
    facts = facts_of(runs, revision_ids={one.plan.revision.fingerprint: "0" * 32 for one in runs})
    return commits.arrive([Counted.of(one) for one in runs], facts)


def commits_to(ledger: Slow, tally: Tally, *, under_way: int) -> Commits:
    books = Books(tally, Stop())
    return Commits(cast("Ledger", ledger), batch_id="batch", books=books, under_way=lambda: under_way)


@pytest.mark.parametrize("under_way", [4, 400])
async def test_what_comes_while_a_commit_is_made_shares_the_next_one(under_way: int) -> None:
    """With the first nobody waits; rows are counted as they come, and durable in that order."""
    ledger, tally = Slow(), Tally()
    commits = commits_to(ledger, tally, under_way=under_way)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commits.see_to, handed_in(commits, "a"))
        assert await to_thread.run_sync(ledger.begun.wait, WAIT)
        for keys in ("b", "cd", "e"):
            tasks.start_soon(commits.see_to, handed_in(commits, *keys))
        assert (tally.completed, tally.durable_completed) == (5, 0)
        ledger.may_end.set()
    assert ledger.commits == [["a"], ["b", "c", "d", "e"]]
    assert tally.durable_completed == 5


async def test_what_is_handed_in_is_committed_though_nobody_waits_for_it() -> None:
    """Whoever handed it in may be cancelled: it is paid for."""
    ledger, tally = Slow(), Tally()
    commits = commits_to(ledger, tally, under_way=4)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commits.see_to, handed_in(commits, "a"))
        assert await to_thread.run_sync(ledger.begun.wait, WAIT)
        tasks.start_soon(commits.see_to, handed_in(commits, "b"))
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
        ledger.may_end.set()
    assert (ledger.commits, tally.durable_completed) == ([["a"], ["b"]], 2)


async def test_all_that_shared_a_commit_hear_why_it_failed() -> None:
    """And none of it counts as durable."""
    ledger, tally = Slow(error="the disk is full"), Tally()
    commits = commits_to(ledger, tally, under_way=4)
    ledger.may_end.set()
    both = handed_in(commits, "a"), handed_in(commits, "b")
    for arrived in both:
        await commits.see_to(arrived)
    assert [arrived.error for arrived in both] == ["the disk is full"] * 2
    assert (ledger.commits, tally.durable_completed) == ([["a", "b"]], 0)
