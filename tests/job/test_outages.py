"""A model that was down, as the summary, the ledger and whoever looks on have it."""

from pathlib import Path

from tests.job.one_job import OneJob, fails

ROWS = "id,text\n" + "".join(f"{number},row {number}\n" for number in range(1, 41))


def test_rows_that_went_by_a_model_are_no_calls(tmp_path: Path) -> None:
    """Eight rows ask the primary, all go to the fallback, and only what was asked counts as a call."""
    job = OneJob(tmp_path, rows=ROWS)
    job.models["first"] = fails(503)
    summary = job.run()
    assert (summary.completed, summary.calls, len(job.asked)) == (40, 48, 48)
    assert job.sql("select sum(calls), sum(failed) from cost_by_model") == [(48, 8)]
    assert job.sql("select calls, possible_cost from batch_summary") == [(48, 0)]
    assert job.sql("select sum(calls) from cost_by_reporting_group") == [(48,)]
    assert job.sql("select sum(calls) from spend_by_day") == [(48,)]
    assert job.sql("select failure_kind, calls from failures") == [("server_error", 8)]
    assert job.sql("select sum(llm_retries), count(*) from task_runs where used_fallback_model") == [(0, 40)]


def test_the_fallbacks_report_has_the_rows_that_went_by(tmp_path: Path) -> None:
    """Why the fallback stood in is told of each: eight failures, and 32 rows that were spared one."""
    job = OneJob(tmp_path, rows=ROWS)
    job.models["first"] = fails(503)
    job.run()
    assert job.sql("select primary_model, reason, runs, completed from fallbacks order by runs") == [
        ("openai:first", "server_error", 8, 8),
        ("openai:first", "circuit_open", 32, 32),
    ]


def test_the_summary_tells_which_model_was_down(tmp_path: Path) -> None:
    """Its name, since when, for what, and how many rows did without it."""
    job = OneJob(tmp_path, rows=ROWS)
    job.models["first"] = fails(503)
    summary = job.run()
    (outage,) = summary.outages
    assert (outage.model, outage.ended_at, outage.rows) == ("openai:first", None, 32)
    assert outage.why.startswith("its last 8 calls failed; the last one: server_error")
    assert summary.as_json()["outages"] == [
        {
            "model": "openai:first",
            "began_at": outage.began_at.isoformat(),
            "ended_at": None,
            "rows": 32,
            "why": outage.why,
        }
    ]


def test_a_batch_of_sound_models_tells_of_no_outage(tmp_path: Path) -> None:
    """Seven failures are none."""
    job = OneJob(tmp_path, rows=ROWS.partition("8,")[0])
    job.models["first"] = fails(503)
    assert job.run().outages == ()
