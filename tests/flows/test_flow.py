"""The flow `enrich` against a Prefect server: the same ledger, and states that tell the truth."""

import csv
from typing import Any

import duckdb
import pytest

from tasks_lib.ledger import open_ledger
from tests.flows.conftest import in_child, running_child
from tests.flows.jobs import FAULTS, ROWS, write_job
from tests.flows.processes import soon

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(300)]  # servers start slowly on a busy machine

_RUNS = """
    select row_number, row_key, identity, input_hash, status, response, error_kind, error, run_data,
           input_tokens, output_tokens, cached_tokens, cost, cost_source, llm_retries,
           used_fallback_model, model, reporting_group, revision_tag, user_id, metadata, is_error
    from task_runs order by row_number
"""
_ATTEMPTS = """
    select r.row_number, a.number, a.position, a.lane, a.provider, a.model, a.http_status, a.failure_kind,
           a.error, a.rejected_text, a.input_tokens, a.output_tokens, a.cost, a.maybe_billed
    from attempts a join task_runs r on r.id = a.task_run_id order by r.row_number, a.number
"""
_BATCH = "select job, status, reason, rows, completed, failed, skipped, cancelled from batches"


def asked(ledger, question: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(ledger), read_only=True) as connection:
        return connection.execute(question).fetchall()


def name_of(result) -> str:
    """The flow run's name, from the last line that was said."""
    return result["said"][-1].removeprefix("Prefect flow run ").partition(" ended")[0]


def test_the_flow_and_the_direct_way_keep_the_same_ledger(tmp_path, llm, prefect):
    """The same job, with rows tried again and rows that fail, comes to the same runs and the same file."""
    ways = {}
    for way in ("direct", "flow"):
        llm.reset()
        job = write_job(tmp_path / way, base_url=llm.base_url(**FAULTS))
        ways[way] = job, in_child({"way": way, "job": str(job.path)}, env=prefect.env)[0]
    (direct, directly), (flow, by_flow) = ways.values()

    assert "summary" in directly, directly
    assert "summary" in by_flow, by_flow
    apart = {"batch_id", "seconds", "ledger", "output"}
    assert {k: v for k, v in directly["summary"].items() if k not in apart} == {
        k: v for k, v in by_flow["summary"].items() if k not in apart
    }
    assert not directly["prefect"]
    assert by_flow["prefect"]
    for question in (_RUNS, _ATTEMPTS):
        assert asked(direct.ledger, question) == asked(flow.ledger, question)
    assert asked(direct.ledger, _BATCH) == asked(flow.ledger, _BATCH)
    summary = by_flow["summary"]
    assert summary["rows"] == ROWS == summary["completed"] + summary["failed"]
    assert summary["failed"] > 0
    assert summary["calls"] > ROWS
    with direct.output.open() as one, flow.output.open() as other:
        rows = [list(csv.DictReader(file)) for file in (one, other)]
    one, other = ([row["row_id"] for row in each] for each in rows)
    assert one == other
    assert len(one) == ROWS

    run = prefect.api.flow_run(name_of(by_flow))
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "CompletedWithFailures")
    kinds = ", ".join(f"{kind} {count}" for kind, count in summary["failures"].items())
    assert run["state"]["message"] == (
        f"{summary['completed']} of {ROWS} rows answered, {summary['failed']} failed: {kinds}"
    )
    assert run["parameters"]["job"] == str(flow.path)


def test_states_tell_how_the_batch_ended(tmp_path, llm, prefect):
    """Each end of a batch is a state of its own, as the API has it: type, name and the counts in words."""
    llm.reset()

    def step(name, *, settings=None, more=None, **others):
        job = write_job(tmp_path / name, base_url=llm.base_url(**(settings or {})), more=more)
        return {"way": "flow", "job": str(job.path), **others}

    first = step("good")
    steps = {
        "answered": first,
        "answered before": first,
        "a slip": {**first, "overrides": {"limits.max_cots": 1}},
        "a missing column": {**first, "overrides": {"reporting_group": "{{custmer}}"}},
        "all failed": step("all_failed", settings={"e400": 1}),
        "refused": step("refused", settings={"e401": 1}),
        "stopped": step(
            "stopped", settings={"e400": 1}, more={"limits": {"max_failures": 3, "in_flight": 1}}
        ),
        "interrupted": step("slow", settings={"lat": 50}, stop_after=5),
        "dropped": step("dropped", settings={"lat": 50}, drop_after=5),
        "cancelled": step("cancelled", settings={"lat": 50}, cancel_after=5),
    }
    results = dict(zip(steps, in_child(*steps.values(), env=prefect.env), strict=True))

    assert "max_cots" in results["a slip"]["mistake"]  # found before Prefect is even asked
    ends = {
        name: prefect.api.flow_run(name_of(result))
        for name, result in results.items()
        if name not in ("a slip", "dropped", "cancelled")
    }
    states = {name: (run["state_type"], run["state_name"]) for name, run in ends.items()}
    assert states == {
        "answered": ("COMPLETED", "Completed"),
        "answered before": ("COMPLETED", "Completed"),
        "a missing column": ("FAILED", "Failed"),
        "all failed": ("FAILED", "Failed"),
        "refused": ("FAILED", "Refused"),
        "stopped": ("FAILED", "StoppedByLimit"),
        "interrupted": ("CANCELLED", "Cancelled"),
    }
    messages = {name: run["state"]["message"] for name, run in ends.items()}
    assert messages["answered"] == f"{ROWS} of {ROWS} rows answered"
    assert messages["answered before"] == f"Nothing to do: all {ROWS} rows were answered before"
    assert results["answered before"]["summary"]["calls"] == 0
    assert messages["a missing column"] == f"Nothing was run. {results['a missing column']['mistake']}"
    assert "limits.max_failures" in messages["stopped"]
    assert messages["interrupted"].endswith("run it again to go on")

    for name in ("slow", "dropped", "cancelled", "refused"):
        (batch,) = asked(tmp_path / name / "ledger.duckdb", _BATCH)
        _, found, _, rows, completed, failed, skipped, cancelled = batch
        assert found == ("refused" if name == "refused" else "interrupted")
        assert rows == ROWS == completed + failed + skipped + cancelled
        assert completed >= (0 if name == "refused" else 5)
    assert results["dropped"]["dropped"]
    assert results["cancelled"]["cancelled"]
    for name in ("dropped", "cancelled"):
        (run,) = prefect.api.flow_runs_with(str(tmp_path / name / "job.yaml"))
        assert run["state_type"] == "CANCELLED"
        assert run["state"]["message"].endswith("run it again to go on")


def test_a_ledger_in_use_is_a_failed_state_that_says_so(tmp_path, llm, prefect):
    """A job that is started twice at once fails the second time, says why, and asks nothing."""
    job = write_job(tmp_path, base_url=llm.base_url())
    llm.reset()
    with open_ledger(job.ledger):
        (result,) = in_child({"way": "flow", "job": str(job.path)}, env=prefect.env)
    assert "is in use by another process" in result["mistake"]
    run = prefect.api.flow_run(name_of(result))
    assert run["state_type"] == "FAILED"
    assert "is in use by another process" in run["state"]["message"]
    assert llm.stats()["recv"] == 0


def test_chunks_and_artifacts_add_up(tmp_path, llm, prefect):
    """Task runs are chunks with counts that add up to the batch's, and so do the artifacts; none is a row."""
    llm.reset()
    job = write_job(tmp_path, base_url=llm.base_url(**FAULTS), rows=95)
    (result,) = in_child({"way": "small_chunks", "job": str(job.path), "chunk_rows": 10}, env=prefect.env)
    summary = result["summary"]
    run = prefect.api.flow_run(name_of(result))
    chunks = prefect.api.task_runs(run["id"], at_least=10)
    assert sorted(chunk["name"] for chunk in chunks) == sorted(
        f"rows {first}-{min(first + 9, 95)}" for first in range(1, 95, 10)
    )
    assert {chunk["state_type"] for chunk in chunks} == {"COMPLETED"}
    words = [chunk["state"]["message"].split() for chunk in chunks]
    assert sum(int(each[0]) for each in words) == summary["completed"]
    assert sum(int(each[2]) for each in words) == summary["failed"]

    artifacts = prefect.api.artifacts(run["id"])
    assert set(artifacts) == {
        f"rowmill-echo-{what}" for what in ("progress", "rows", "grown", "costs", "revisions", "summary")
    }
    assert artifacts["rowmill-echo-progress"]["data"] == 100
    counts = {row["rows"]: row["count"] for row in prefect.api.table(artifacts["rowmill-echo-rows"])}
    assert counts.pop("all") == 95 == sum(counts.values())
    assert counts["failed"] == summary["failed"]
    grown = {row["rows"]: row["count"] for row in prefect.api.table(artifacts["rowmill-echo-grown"])}
    assert grown["new"] == 95 == sum(grown.values())
    (revision,) = prefect.api.table(artifacts["rowmill-echo-revisions"])
    assert (revision["revision"], revision["configured_share"], revision["observed_share"]) == ("v1", 1, 1)
    assert (revision["runs"], revision["failed"]) == (95, summary["failed"])
    for key in artifacts:
        assert key == "rowmill-echo-summary" or f"`{key}`" in artifacts["rowmill-echo-summary"]["data"]
    costs = {row["reporting_group"]: row for row in prefect.api.table(artifacts["rowmill-echo-costs"])}
    assert set(costs) == {"acme", "umbrella"}
    assert sum(row["calls"] for row in costs.values()) == summary["calls"]
    assert sum(row["completed"] for row in costs.values()) == summary["completed"]


def test_an_api_that_does_not_answer_is_told_with_the_remedy(tmp_path, llm, prefect):
    """Where the configured API is down, nothing is run, and the message says how to run without Prefect."""
    job = write_job(tmp_path, base_url=llm.base_url())
    env = {**prefect.env, "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    (result,) = in_child({"way": "flow", "job": str(job.path)}, env=env)
    assert "http://127.0.0.1:9/api does not answer" in result["mistake"]
    assert "--no-prefect" in result["mistake"]
    assert not job.ledger.exists()


def test_cancel_in_prefect_ends_a_run_that_no_worker_looks_after(tmp_path, llm, prefect):
    """A run from a terminal heeds Cancel in Prefect: calls under way end, and the batch is interrupted."""
    llm.reset()
    job = write_job(tmp_path, base_url=llm.base_url(lat=100), rows=500, in_flight=2)
    with running_child({"way": "flow", "job": str(job.path)}, env=prefect.env) as results:
        soon(lambda: llm.stats()["recv"] > 10, within=60)
        (run,) = prefect.api.flow_runs_with(str(job.path))
        prefect.api.cancel(run["id"])
        (result,) = results()
    assert result["summary"]["outcome"] == "interrupted"
    assert result["summary"]["reason"] == "it was cancelled in Prefect"
    assert llm.stats()["client_aborts"] == 0
    assert prefect.api.by_id(run["id"])["state_type"] == "CANCELLED"


def test_a_report_that_cannot_be_made_says_why(tmp_path, prefect):
    """A ledger, a report or a folder that is not there ends in a failed state with the one message."""
    with open_ledger(tmp_path / "ledger.duckdb"):
        pass
    (tmp_path / "taken").write_text("a file")
    ledger = str(tmp_path / "ledger.duckdb")
    steps = {
        "there is no ledger at": {"ledger": str(tmp_path / "none.duckdb")},
        "Did you mean 'cost_by_model'?": {"ledger": ledger, "names": ["cost_by_modle"]},
        "Name another folder": {"ledger": ledger, "folder": str(tmp_path / "taken")},
    }
    results = in_child(*({"way": "report", "report": step} for step in steps.values()), env=prefect.env)
    for message, result in zip(steps, results, strict=True):
        assert result["state"] == "Failed"
        assert message in result["message"]
