"""An answer in the ledger to the same question stands in for a call, where that is allowed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks_lib.job.stretches import Options
from tasks_lib.ledger import open_ledger
from tests.job.one_job import TASK, OneJob, fails
from tests.job.pretend import completion

FIRST = "id,text\na,one\nb,two\n"
OTHERS = "id,text\nc,one\nd,two\ne,three\n"  # other rows, of which two ask what was asked
RUNS = (
    "select row_key, status, response::varchar, cost, cost_source, joined_to::varchar, model, id::varchar "
    "from task_runs order by row_key"
)


def answered(folder: Path, **more: str) -> OneJob:
    """A job whose first rows were answered, and which is now about others."""
    job = OneJob(folder, rows=FIRST, **more)
    job.run()
    job.write("rows.csv", OTHERS)
    job.asked.clear()
    return job


def set_age(job: OneJob, days: float) -> None:
    """Let all that is in the ledger be so old."""
    then = datetime.now(UTC) - timedelta(days=days)
    with open_ledger(job.folder / "ledger.duckdb") as ledger:
        ledger.cursor().execute("update task_runs set created_at = $1, modified_at = $1", [then])


def test_an_answer_to_the_same_question_is_taken(tmp_path: Path) -> None:
    """W12: a row that asks the same is completed without a call, at no cost, and says whose answer it has."""
    job = answered(tmp_path, job="stored_answers: true\n")
    summary = job.run()
    assert job.asked == [("first", "Say three")]
    assert (summary.completed, summary.stored, summary.joined, summary.calls) == (3, 2, 0, 1)
    assert summary.as_json()["stored"] == 2
    runs = {run[0]: run for run in job.sql(RUNS)}
    for taken, given in (("c", "a"), ("d", "b")):
        _, status, response, cost, source, joined_to, model, _ = runs[taken]
        assert (status, response, cost, source) == ("completed", runs[given][2], 0, "stored")
        assert (joined_to, model) == (runs[given][7], runs[given][6])
    assert job.sql("select sum(calls), sum(stored), sum(joined) from batch_summary") == [(3, 2, 0)]
    assert job.sql("select sum(stored) from cost_by_reporting_group") == [(2,)]


def test_nothing_is_taken_unless_it_is_allowed(tmp_path: Path) -> None:
    """W12: without the key every row that has no answer of its own is asked."""
    job = answered(tmp_path)
    assert (job.run().stored, len(job.asked)) == (0, 3)


def test_another_job_of_the_same_task_may_take_them_too(tmp_path: Path) -> None:
    """W12: the question counts, and not the job that asked it."""
    job = answered(tmp_path)
    assert job.run(job="another", stored_answers="any").stored == 2


@pytest.mark.parametrize(("age", "stored"), [("10d", 2), ("9d", 0), ("240.5", 2), ("239", 0), ("1w", 0)])
def test_an_answer_that_is_too_old_is_not_taken(tmp_path: Path, age: str, stored: int) -> None:
    """W12: --stored-answers AGE is the greatest age of an answer, in days, hours or weeks."""
    job = answered(tmp_path)
    set_age(job, days=9.99)
    summary = job.run(stored_answers=age)
    assert (summary.stored, len(job.asked)) == (stored, 3 - stored)


def test_a_chain_points_to_the_first(tmp_path: Path) -> None:
    """W12: an answer that was itself taken is as old as the call that gave it, and names that."""
    job = answered(tmp_path, job="stored_answers: 10d\n")
    set_age(job, days=9)
    job.run()
    job.write("rows.csv", "id,text\nf,one\n")
    assert job.run().stored == 1
    runs = {run[0]: run for run in job.sql(RUNS)}
    assert runs["f"][5] == runs["c"][5] == runs["a"][7]
    with open_ledger(tmp_path / "ledger.duckdb") as ledger:
        then = datetime.now(UTC) - timedelta(days=11)
        ledger.cursor().execute("update task_runs set modified_at = $1 where joined_to is null", [then])
    job.write("rows.csv", "id,text\ng,one\n")
    assert job.run().stored == 0


def test_a_failure_is_never_taken(tmp_path: Path) -> None:
    """W12: a question that was only ever failed is asked."""
    job = OneJob(tmp_path, rows=FIRST, job="stored_answers: true\n")
    job.models = {"first": fails(400), "second": fails(400)}
    assert job.run().failed == 2
    job.models.clear()
    job.write("rows.csv", OTHERS)
    assert job.run().stored == 0


def test_another_revision_is_another_question(tmp_path: Path) -> None:
    """W12: what was answered under other prompts or models is not taken."""
    job = answered(tmp_path, job="stored_answers: true\n")
    assert job.run(model="openai:third").stored == 0
    assert {model for model, _ in job.asked} == {"third"}


def test_force_asks_all_the_same(tmp_path: Path) -> None:
    """W12: --force overrides stored answers."""
    job = answered(tmp_path, job="stored_answers: true\n")
    summary = job.run(options=Options(force=True))
    assert (summary.stored, len(job.asked)) == (0, 3)


def test_a_bad_row_stays_one(tmp_path: Path) -> None:
    """A row that may not be asked is not answered either."""
    job = answered(tmp_path, job="stored_answers: true\nreporting_group: '{{id}}'\n")
    job.write("rows.csv", "id,text,down\nc,one,maybe\n")
    summary = job.run(use_fallback_model={"column": "down"})
    assert (summary.failed, summary.stored) == (1, 0)


CSV_TASK = TASK.replace("output: text", "output: csv")


def test_an_answer_that_is_a_file_is_shared(tmp_path: Path) -> None:
    """W12: both runs name one file; where it is gone, the question is asked again."""
    job = OneJob(tmp_path, rows=FIRST, task=CSV_TASK, job="stored_answers: true\n")
    job.models["first"] = lambda _: completion("a,b\n1,2\n")
    job.run()
    job.write("rows.csv", "id,text\nc,one\n")
    assert job.run().stored == 1
    uris = dict(job.sql("select row_key, uri from files join task_runs r on r.id = task_run_id"))
    assert uris["c"] == uris["a"]
    (tmp_path / uris["a"]).unlink()
    job.write("rows.csv", "id,text\nd,one\n")
    assert job.run().stored == 0
