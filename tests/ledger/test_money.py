"""Money that was surely spent, money that may have been, and rows that another row's call answered."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tasks_lib.domain.failure import FailureKind
from tasks_lib.domain.run import Attempt, TaskRun
from tasks_lib.ledger import Ledger
from tests.ledger.builders import NOON, answered, begin, plan, refused, run


def costing(cost: str, *, minutes: int = 0) -> Attempt:
    return replace(answered(at=NOON + timedelta(minutes=minutes)), cost=Decimal(cost))


def lost(estimated: str, *, minutes: int = 0) -> Attempt:
    """A call that may have been billed."""
    timed_out = refused(
        FailureKind.TIMEOUT, at=NOON + timedelta(minutes=minutes), cost=None, maybe_billed=True
    )
    return replace(timed_out, estimated_cost=Decimal(estimated))


def joined(to: TaskRun, *, key: str) -> TaskRun:
    """A run of a row that asks the same as another's, and made no call."""
    data = replace(
        to.data,
        input_tokens=0,
        output_tokens=0,
        total_tokens=0,
        llm_call_timing=None,
        waited=0.0,
        cost=Decimal(0),
        cost_source="joined",
    )
    asked = plan(key=key, group=to.plan.reporting_group)
    return replace(to, plan=asked, attempts=(), data=data, joined_to=to.plan.task_run_id)


def test_possible_cost_stands_beside_the_sure_one(ledger: Ledger) -> None:
    """What a call would have cost if it was billed is told of the run and in every report of money."""
    task_run = run(plan(group="acme"), lost("0.25"), costing("0.5"))
    ledger.add([task_run], batch_id=begin(ledger))
    shown = ledger.show(task_run.plan.task_run_id)
    assert (shown["cost"], shown["possible_cost"]) == (Decimal("0.5"), Decimal("0.25"))
    assert [one["estimated_cost"] for one in shown["attempts"]] == [Decimal("0.25"), None]
    for report in ("batches", "cost_by_model", "cost_by_reporting_group", "spend_by_day"):
        (row,) = ledger.report(report).to_pylist()
        found = (row["cost"], row["possible_cost"], row["calls_of_unknown_cost"])
        assert found == (Decimal("0.5"), Decimal("0.25"), 0), report
    failures = ledger.report("failures").to_pylist()
    assert [row["possible_cost"] for row in failures] == [Decimal("0.25")]
    stored = ledger.results([task_run.plan.identity])[task_run.plan.identity]
    assert (stored.cost, stored.possible_cost) == (Decimal("0.5"), Decimal("0.25"))


def test_dead_letters_tell_what_was_paid_for_nothing(ledger: Ledger) -> None:
    """A row without an answer stands with what it cost, surely and possibly."""
    ledger.add([run(plan(), lost("0.25"), refused(cost=Decimal("0.125")))], batch_id=begin(ledger))
    (row,) = ledger.report("dead_letters").to_pylist()
    assert (row["cost"], row["possible_cost"]) == (Decimal("0.125"), Decimal("0.25"))


def test_a_joined_row_is_answered_without_a_call(ledger: Ledger) -> None:
    """A row that another's call answered counts as completed, and adds neither a call nor money."""
    caller = run(plan(key="1", group="acme"), costing("0.5"))
    row = joined(caller, key="2")
    ledger.add([caller, row], batch_id=begin(ledger))
    for report in ("batches", "cost_by_reporting_group"):
        (told,) = ledger.report(report).to_pylist()
        found = (told["completed"], told["joined"], told["calls"], told["cost"])
        assert found == (2, 1, 1, Decimal("0.5")), report
    shown = ledger.show(row.plan.task_run_id)
    assert (shown["joined_to"], shown["attempts"]) == (caller.plan.task_run_id, [])
    assert (shown["cost"], shown["cost_source"]) == (Decimal(0), "joined")
    assert ledger.answered([row.plan.identity]) == {row.plan.identity}


def test_spent_since(ledger: Ledger) -> None:
    """Money since a moment is that of the calls begun at or after it, with what may have been billed."""
    batch = begin(ledger)
    assert ledger.spent_since(NOON) == Decimal(0)
    ledger.add(
        [run(plan(), costing("1"), lost("0.1", minutes=1), costing("0.01", minutes=2))], batch_id=batch
    )
    unknown = replace(refused(cost=None), started_at=NOON + timedelta(minutes=2))
    ledger.add([run(plan(), unknown, costing("0.001", minutes=3))], batch_id=begin(ledger))
    assert ledger.spent_since(NOON) == Decimal("1.111")
    assert ledger.spent_since(NOON + timedelta(minutes=1)) == Decimal("0.111")
    assert ledger.spent_since(NOON + timedelta(minutes=2)) == Decimal("0.011")
    assert ledger.spent_since(NOON + timedelta(hours=1)) == Decimal(0)
