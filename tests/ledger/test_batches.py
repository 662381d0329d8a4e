"""Batches: how they begin, end, and what is written of those whose process died."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tasks_lib.ledger import Ledger, LedgerError, open_ledger
from tasks_lib.ledger import ledger as ledger_module
from tests.ledger.builders import NOON, begin, end, job, plan, revision, run, runs, task


def batches(ledger: Ledger, columns: str = "status") -> list[dict[str, object]]:
    return ledger.sql(f"select {columns} from batches order by job").to_pylist()  # noqa: S608 - the tests' own words


def crash(ledger: Ledger) -> None:
    """Forget the ledger's batches, as a process that was killed does."""
    ledger_module._running.difference_update(ledger._begun)


def test_a_batch_that_runs(ledger: Ledger) -> None:
    """A batch that has begun holds who runs what, and its whole configuration with its fingerprint."""
    begun = begin(ledger, replace(job(), definition={"job": "reviews", "limits": {"max_cost": 5}}), rows=10)
    (row,) = batches(
        ledger,
        "id::varchar as id, job, status, reason, rows, definition::varchar as definition, "
        "length(fingerprint::varchar) as fingerprint, input, user_id, host, pid, version, completed, "
        "finished_at",
    )
    assert row == {
        "id": begun,
        "job": "reviews",
        "status": "running",
        "reason": None,
        "rows": 10,
        "definition": '{"job":"reviews","limits":{"max_cost":5}}',
        "fingerprint": 36,
        "input": "reviews.csv",
        "user_id": "ada",
        "host": "engine",
        "pid": 1842,
        "version": "0.1.0",
        "completed": None,
        "finished_at": None,
    }


def test_a_batch_that_ended(ledger: Ledger) -> None:
    """The end of a batch is written with its counts, and no other batch is touched."""
    first, second = begin(ledger, job(name="a")), begin(ledger, job(name="b"))
    ledger.end_batch(
        first,
        status="stopped",
        reason="max_cost",
        rows=10,
        completed=4,
        failed=3,
        skipped=2,
        cancelled=1,
        finished_at=NOON + timedelta(seconds=90),
    )
    columns = "id::varchar as id, status, reason, rows, completed, failed, skipped, cancelled"
    assert batches(ledger, columns) == [
        {
            "id": first,
            "status": "stopped",
            "reason": "max_cost",
            "rows": 10,
            "completed": 4,
            "failed": 3,
            "skipped": 2,
            "cancelled": 1,
        },
        {
            "id": second,
            "status": "running",
            "reason": None,
            "rows": None,
            "completed": None,
            "failed": None,
            "skipped": None,
            "cancelled": None,
        },
    ]
    (summary,) = [row for row in ledger.batches().to_pylist() if row["job"] == "a"]
    assert (summary["seconds"], summary["task"]) == (90.0, "sentiment")


def test_a_batch_whose_process_died(path: Path) -> None:
    """The next batch marks it as interrupted, with the counts of what was committed."""
    with open_ledger(path) as ledger:
        dead = begin(ledger, job(name="dead"))
        ledger.add(list(runs(3)), batch_id=dead)
        crash(ledger)
    with open_ledger(path) as ledger:
        assert batches(ledger) == [{"status": "running"}]
        begin(ledger, job(name="next"))
        columns = "job, status, completed, failed, skipped, finished_at"
        assert batches(ledger, columns) == [
            {
                "job": "dead",
                "status": "interrupted",
                "completed": 3,
                "failed": 0,
                "skipped": None,
                "finished_at": NOON + timedelta(seconds=2),
            },
            {
                "job": "next",
                "status": "running",
                "completed": None,
                "failed": None,
                "skipped": None,
                "finished_at": None,
            },
        ]


def test_two_batches_of_one_process(path: Path) -> None:
    """A batch that this process runs is alive, though another begins beside it in whatever object."""
    with open_ledger(path) as one, open_ledger(path) as other:
        begin(one, job(name="a"))
        begin(one, job(name="b"))
        begin(other, job(name="c"))
        assert batches(one) == [{"status": "running"}] * 3


def test_the_same_batch_cannot_begin_twice(ledger: Ledger) -> None:
    """A batch id that is taken is an error, and leaves the first as it was."""
    begun = begin(ledger)
    with pytest.raises(LedgerError, match="Constraint Error"):
        begin(ledger, id_=begun)
    assert batches(ledger) == [{"status": "running"}]


def test_tasks_and_revisions_are_kept_once(ledger: Ledger) -> None:
    """Task and revisions are stored by what they are; tag and weight are those that were configured last."""
    begin(ledger, job(task(revisions=[revision("v1"), revision("v2", prompt="Judge: {{text}}")])))
    begin(ledger, job(task(revisions=[revision("old"), revision("v2", prompt="Judge: {{text}}", weight=3)])))
    assert ledger.sql("select name, modality from tasks").to_pylist() == [
        {"name": "sentiment", "modality": "json"}
    ]
    assert ledger.sql("select tag, weight, user_prompt from revisions order by tag").to_pylist() == [
        {"tag": "old", "weight": 1.0, "user_prompt": "Review: {{text}}"},
        {"tag": "v2", "weight": 3.0, "user_prompt": "Judge: {{text}}"},
    ]


def test_a_run_has_its_revision(ledger: Ledger) -> None:
    """Each run names the revision that it was planned with."""
    first, second = revision("v1"), revision("v2", prompt="Judge: {{text}}")
    asked = task(revisions=[first, second])
    ledger.add(
        [run(plan(asked=first)), run(plan(asked=second)), run(plan(asked=second))],
        batch_id=begin(ledger, job(asked)),
    )
    counted = ledger.sql(
        "select v.tag, v.id::varchar as id, count(*) as runs from task_runs r "
        "join revisions v on v.id = r.task_revision_id group by all order by v.tag"
    ).to_pylist()
    assert [(row["tag"], row["runs"]) for row in counted] == [("v1", 1), ("v2", 2)]
    assert [row["id"] for row in counted] == [
        asked.revision_id(first),
        asked.revision_id(second),
    ]


def test_values_from_configuration_are_values(ledger: Ledger) -> None:
    """Names that look like SQL are stored as they are."""
    odd = "x'); drop table batches; --"
    begin(ledger, replace(job(task(odd), name=odd)))
    end(ledger, begin(ledger, job(task(odd), name=odd)))
    assert len(batches(ledger)) == 2
    assert ledger.sql("select name from tasks").to_pylist() == [{"name": odd}]
