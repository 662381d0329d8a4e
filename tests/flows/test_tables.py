"""What a batch has asked and paid for, from its ledger."""

import asyncio
import json

from flows.artifacts import asked_of, markdown_of
from flows.costs import BatchTables, _asked
from flows.events import event_of
from tasks_lib.configs import Environment
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Summary
from tests.flows.jobs import write_job


def run(job, *, options: Options | None = None) -> tuple[Summary, BatchTables]:
    setup = load_setup(job.path, environment=Environment.of({}))
    summary = asyncio.run(run_batch(setup, options=options))
    assert summary.batch_id is not None
    return summary, _asked(summary.ledger, summary.batch_id)


def told(tables: BatchTables) -> dict[object, tuple[object, object]]:
    return {row["rows"]: (row["count"], row["calls"]) for row in tables.grown if row["count"]}


def test_each_batch_says_what_it_asked_for(tmp_path, llm):
    """Rows are new, changed, the same under another revision, or asked again; the counts are the batch's."""
    llm.reset()
    job = write_job(tmp_path, base_url=llm.base_url(), rows=20)
    summary, first = run(job)
    assert told(first) == {"new": (20, 20)}
    assert event_of(summary, waits_for_money=False) == "rowmill.batch.completed"

    rows = (tmp_path / "rows.csv").read_text().splitlines()
    rows[2] = rows[2].replace("and, so on", "and on")
    (tmp_path / "rows.csv").write_text("\n".join([*rows, '21,"row_id=21",acme']) + "\n")
    summary, second = run(job)
    assert told(second) == {"new": (1, 1), "changed": (1, 1)}
    assert (summary.completed, summary.skipped) == (2, 19)
    assert (summary.new, summary.changed) == (1, 1)  # of a whole batch both ways of counting say the same
    assert asked_of(summary, second.grown) == "1 new, 1 changed"
    assert asked_of(summary, ()) == "2 rows"
    assert "- asked: 1 new, 1 changed; 19 left as they were" in markdown_of(summary, second.grown)

    summary, third = run(job)
    assert told(third) == {}
    assert asked_of(summary, third.grown) == "nothing"
    assert event_of(summary, waits_for_money=False) == "rowmill.batch.nothing-to-do"
    assert event_of(summary, waits_for_money=True) == "rowmill.batch.action-required"

    _, again = run(job, options=Options(force=True, limit=5))
    assert told(again) == {"asked again": (5, 5)}

    task = json.loads((tmp_path / "task.yaml").read_text())
    task["revisions"][0]["user_prompt"] = "Please: {{text}}"
    (tmp_path / "task.yaml").write_text(json.dumps(task))
    summary, under_another = run(job, options=Options(limit=7))
    assert (summary.new, summary.changed) == (0, 0)
    assert told(under_another) == {"the same, under another revision": (7, 7)}


def test_a_stopped_batch_says_what_it_did_ask(tmp_path, llm):
    """Rows that were found to be new, and were not asked, are not among those that were."""
    llm.reset()
    job = write_job(
        tmp_path,
        base_url=llm.base_url(e400=1),
        rows=20,
        more={"limits": {"max_failures": 3, "in_flight": 1}},
    )
    summary, tables = run(job)
    asked = summary.completed + summary.failed
    assert summary.cancelled == 20 - asked > 0
    assert told(tables)["new"][0] == asked <= summary.new


def test_without_a_key_a_changed_row_is_a_new_one(tmp_path, llm):
    """Nothing tells which row it was before."""
    llm.reset()
    job = write_job(tmp_path, base_url=llm.base_url(), rows=5, more={"source": {"path": "rows.csv"}})
    run(job)
    rows = (tmp_path / "rows.csv").read_text().replace("row_id=2 and, so on", "row_id=2 and on")
    (tmp_path / "rows.csv").write_text(rows)
    summary, tables = run(job)
    assert told(tables) == {"new": (1, 1)}
    assert (summary.new, summary.changed) == (0, 0)


def test_revisions_are_told_with_their_shares(tmp_path, llm):
    """Each revision's share as configured stands beside what it got, what failed, and what it cost."""
    llm.reset()
    job = write_job(tmp_path, base_url=llm.base_url(e400=0.2, det=1, seed=3), rows=60)
    task = json.loads((tmp_path / "task.yaml").read_text())
    (only,) = task["revisions"]
    task["revisions"] = [
        {**only, "weight": 0.75},
        {**only, "tag": "v2", "weight": 0.25, "user_prompt": "Do: {{text}}"},
    ]
    (tmp_path / "task.yaml").write_text(json.dumps(task))
    summary, tables = run(job)
    assert [(row["revision"], row["configured_share"]) for row in tables.revisions] == [
        ("v1", 0.75),
        ("v2", 0.25),
    ]
    assert sum(row["runs"] for row in tables.revisions) == 60
    assert sum(row["failed"] for row in tables.revisions) == summary.failed > 0
    assert sum(row["calls"] for row in tables.revisions) == summary.calls
    assert sum(row["calls"] for row in tables.groups) == summary.calls
    assert sum(row["count"] for row in tables.grown) == summary.completed + summary.failed
