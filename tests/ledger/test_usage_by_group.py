"""What each reporting group used of each revision."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tasks_lib.domain.plan import Plan
from tasks_lib.ledger import Ledger
from tests.ledger.builders import answered, begin, plan, refused, run


def charged(key: str, group: str | None, rate: int | None = 100) -> Plan:
    return replace(plan(key=key, group=group), credits_per_dollar=None if rate is None else Decimal(rate))


def test_usage_by_group_and_revision(ledger: Ledger) -> None:
    """R21, R25, R40: runs, failures, tokens, credits and time of each group, failed runs' too."""
    ledger.add(
        [
            run(charged("1", "acme"), answered(worked=1.0)),
            run(charged("2", "acme"), refused(), answered(worked=3.0)),
            run(charged("3", "acme"), refused()),
            run(charged("4", None, rate=None), answered(worked=5.0)),
        ],
        batch_id=begin(ledger),
    )
    acme, nobody = ledger.report("usage_by_group").to_pylist()
    one = answered().cost
    assert one is not None
    assert (acme["reporting_group"], nobody["reporting_group"]) == ("acme", None)
    assert (acme["total_task_runs"], acme["completed"], acme["failed"]) == (3, 2, 1)
    assert acme["failed_share"] == pytest.approx(1 / 3)
    assert acme["cost"] == 2 * one
    assert acme["total_credits"] == 200 * one
    assert acme["total_tokens"] == acme["total_input_tokens"] + acme["total_output_tokens"] == 240
    assert acme["task"] == nobody["task"] == "sentiment"
    assert nobody["total_credits"] is None  # nobody said what a credit is
    assert nobody["llm_call_timing"] == 5.0
    assert nobody["input_processor_timing"] is None
    assert {row["revision_tag"] for row in (acme, nobody)} == {"v1"}


def test_groups_are_made_at_their_first_use(ledger: Ledger) -> None:
    """R09, 6.5: a group that nobody made before has an id from its first run on, and keeps it."""
    batch = begin(ledger)
    for key in ("1", "2"):
        ledger.add([run(plan(key=key, group="acme"))], batch_id=batch)
    (group,) = ledger.sql("select id::varchar as id, name from reporting_groups").to_pylist()
    ids = ledger.sql("select distinct reporting_group_id::varchar as id from task_runs").to_pylist()
    assert group["name"] == "acme"
    assert [row["id"] for row in ids] == [group["id"]]


def test_an_empty_group_is_none_and_case_counts(ledger: Ledger) -> None:
    """6.5: ACME and acme are two groups."""
    batch = begin(ledger)
    ledger.add([run(plan(key="1", group="acme")), run(plan(key="2", group="ACME"))], batch_id=batch)
    assert ledger.sql("select count(*) as n from reporting_groups").to_pylist() == [{"n": 2}]
