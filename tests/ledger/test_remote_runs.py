"""Runs of hosted tasks in the ledger: which of them nobody has seen the end of."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import anyio
import pytest

from tasks_lib.domain.failure import Failure, FailureKind
from tasks_lib.domain.remote import Remote, RemoteRun
from tasks_lib.ledger import Ledger, RemoteFact, RemoteGroup, open_writer
from tests.ledger.builders import NOON, PRIMARY, begin, plan, refused, run

COST = Decimal("0.025")


def begun(asked, remote_id, *, position=0):
    return RemoteFact(
        task_run_id=asked.task_run_id,
        identity=asked.identity,
        position=position,
        provider=PRIMARY.provider,
        model=str(PRIMARY),
        remote_id=remote_id,
        at=NOON,
    )


def ended(kind, *, remote_id="trun_1", status=None, maybe_billed=True, estimated=COST):
    attempt = refused(kind, cost=None)
    told = None if status is None else RemoteRun(remote_id=remote_id, status=status)
    failure = Failure(kind=kind, message="no", maybe_billed=maybe_billed)
    return replace(attempt, failure=failure, remote_id=remote_id, remote=told, estimated_cost=estimated)


def open_runs(ledger: Ledger, identities: Sequence[str]) -> dict[str, Remote]:
    """The open runs, but for their ages, which grow while this is read."""
    found = ledger.open_remote_runs(identities)
    return {identity: replace(remote, age=0.0) for identity, remote in found.items()}


def test_a_run_of_a_process_that_died(ledger: Ledger) -> None:
    """P10: what was begun and never recorded is open: under its id, or to be looked for."""
    batch, known, lost = begin(ledger), plan(key="1"), plan(key="2")
    ledger.add_remote_runs([begun(known, None), begun(lost, None), begun(known, "trun_1")], batch_id=batch)
    assert open_runs(ledger, [known.identity, lost.identity, plan(key="3").identity]) == {
        known.identity: Remote(position=0, remote_id="trun_1"),
        lost.identity: Remote(position=0, remote_id=None),
    }
    assert ledger.begun_under(["trun_1", "trun_9"]) == {"trun_1": {known.identity}}


@pytest.mark.parametrize(
    ("attempt", "is_open"),
    [
        (ended(FailureKind.CANCELLED), True),
        (ended(FailureKind.GIVEN_UP), True),
        (ended(FailureKind.GIVEN_UP, status="action_required"), True),
        (ended(FailureKind.CONNECTION), True),
        (ended(FailureKind.TIMEOUT, status="running"), True),
        (ended(FailureKind.UNAUTHORIZED), True),
        (ended(FailureKind.SERVER_ERROR, status="failed"), False),
        (ended(FailureKind.INVALID_OUTPUT, status="completed"), False),
        (ended(FailureKind.REJECTED), False),
    ],
    ids=lambda value: (
        f"{value.failure.kind.value}-{value.remote and value.remote.status}"
        if hasattr(value, "failure")
        else str(value)
    ),
)
def test_a_run_that_was_recorded(ledger: Ledger, attempt, is_open: bool) -> None:
    """A run is open if the last attempt at it lost sight of it, with what it has estimated."""
    batch, asked = begin(ledger), plan()
    ledger.add_remote_runs([begun(asked, None), begun(asked, "trun_1")], batch_id=batch)
    ledger.add([run(asked, attempt)], batch_id=batch)
    found = open_runs(ledger, [asked.identity])
    assert found == (
        {asked.identity: Remote(position=0, remote_id="trun_1", estimated_cost=COST)} if is_open else {}
    )
    assert ledger.sql("from open_remote_runs").num_rows == is_open


def test_a_start_that_was_lost(ledger: Ledger) -> None:
    """A start whose answer never came is looked for; one that was refused was none."""
    batch, lost, refused_ = begin(ledger), plan(key="1"), plan(key="2")
    ledger.add_remote_runs([begun(lost, None), begun(refused_, None)], batch_id=batch)
    ledger.add(
        [
            run(lost, ended(FailureKind.TIMEOUT, remote_id=None)),
            run(refused_, ended(FailureKind.RATE_LIMITED, remote_id=None, maybe_billed=False)),
        ],
        batch_id=batch,
    )
    found = open_runs(ledger, [lost.identity, refused_.identity])
    assert found == {lost.identity: Remote(position=0, remote_id=None, estimated_cost=COST)}


def test_the_last_batch_decides(ledger: Ledger) -> None:
    """A run that a later batch took up and saw failing is open no more, nor are its estimates."""
    first, asked = begin(ledger), plan()
    ledger.add_remote_runs([begun(asked, None), begun(asked, "trun_1")], batch_id=first)
    again, second = replace(asked, task_run_id=plan().task_run_id), begin(ledger)
    ledger.add([run(asked, ended(FailureKind.CANCELLED))], batch_id=first)
    ledger.add_remote_runs([begun(again, "trun_1")], batch_id=second)
    assert ledger.open_remote_runs([asked.identity])[asked.identity].remote_id == "trun_1"
    ledger.add([run(again, ended(FailureKind.RUN_FAILED, status="failed", estimated=-COST))], batch_id=second)
    assert ledger.open_remote_runs([asked.identity]) == {}
    assert ledger.cursor().execute("select sum(estimated_cost) from attempts").fetchall() == [(0,)]


def test_groups_are_kept(ledger: Ledger) -> None:
    """Groups that were made at a hosted task are there again, oldest first."""
    batch = begin(ledger)
    groups = [
        RemoteGroup(
            batch_id=batch, provider="parallel", group_id=f"g{n}", created_at=NOON + timedelta(hours=n)
        )
        for n in (2, 1)
    ]
    for group in groups:
        ledger.add_remote_group(group)
    assert [one.group_id for one in ledger.remote_groups("parallel")] == ["g1", "g2"]
    assert ledger.remote_groups("rightbrain") == ()


@pytest.mark.anyio
async def test_runs_that_begin_together_share_a_commit(ledger: Ledger) -> None:
    """100 intents at the same time are durable when their callers go on, in a few commits."""
    batch, commits = begin(ledger), []

    def add(facts) -> None:
        commits.append(len(facts))
        ledger.add_remote_runs(facts, batch_id=batch)

    async with (
        open_writer(ledger, batch_id=batch, begin=add) as writer,
        anyio.create_task_group() as callers,
    ):
        for number in range(100):
            callers.start_soon(writer.intend, plan(key=str(number)), 0, PRIMARY)
    assert sum(commits) == 100
    assert len(commits) <= 3
    assert ledger.cursor().execute("select count(*) from remote_runs").fetchone() == (100,)


def test_the_age_of_a_run_is_that_of_its_beginning(ledger: Ledger) -> None:
    """Seconds since its id was known; none if the clock was set back since."""
    batch, old, early = begin(ledger), plan(key="1"), plan(key="2")
    now = datetime.now(UTC)
    for asked, at in ((old, now - timedelta(hours=1)), (early, now + timedelta(hours=1))):
        ledger.add_remote_runs([replace(begun(asked, "trun_1"), at=at)], batch_id=batch)
    found = ledger.open_remote_runs([old.identity, early.identity])
    assert 3_600 <= found[old.identity].age < 3_700
    assert found[early.identity].age == 0.0
