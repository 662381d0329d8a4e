"""Fallback models: by wish and by failure, in a batch, for a row, and when a batch is taken up again."""

from pathlib import Path

import pytest

from tasks_lib.domain.mistake import Mistake
from tests.job.one_job import TASK, OneJob, fails, names_itself

ROWS = "id,text,down\n1,one,\n2,two,yes\n3,three,no\n"
RUN_DATA = (
    "select row_key, used_fallback_model, fallback_trigger, primary_failure_reason, fallback_llm_model "
    "from task_runs order by row_number, created_at"
)


def test_a_batch_begins_at_its_fallback(tmp_path: Path) -> None:
    """R10, R24: with use_fallback_model no row asks the primary, and the ledger says that it was manual."""
    job = OneJob(tmp_path, rows=ROWS, job="use_fallback_model: true\n")
    assert job.run().completed == 3
    assert {model for model, _ in job.asked} == {"second"}
    assert job.sql(RUN_DATA) == [(key, True, "manual", None, "openai:second") for key in "123"]


def test_a_row_begins_at_its_fallback(tmp_path: Path) -> None:
    """R10: a column says of each row whether it passes the primary over."""
    job = OneJob(tmp_path, rows=ROWS, job="use_fallback_model: {column: down}\n")
    job.run()
    assert job.asked == [("first", "Say one"), ("second", "Say two"), ("first", "Say three")]


def test_a_word_that_is_neither_fails_its_row_alone(tmp_path: Path) -> None:
    """R10: a row that says neither true nor false is a bad row, and no call is made for it."""
    job = OneJob(tmp_path, rows=ROWS + "4,four,maybe\n", job="use_fallback_model: {column: down}\n")
    summary = job.run()
    assert (summary.completed, summary.failed, summary.failures) == (3, 1, {"bad_row": 1})
    assert len(job.asked) == 3


def test_a_batch_that_is_taken_up_begins_at_its_fallback(tmp_path: Path) -> None:
    """R30: the flag on a resumed batch is about the rows that are not yet answered, and no others."""
    job = OneJob(tmp_path, rows=ROWS, task=TASK + "fallback_on: []\n")
    job.models["first"] = lambda text: fails(503)(text) if "two" in text else names_itself(text)
    assert job.run().failed == 1
    job.asked.clear()
    summary = job.run(use_fallback_model=True)
    assert job.asked == [("second", "Say two")]
    assert (summary.completed, summary.skipped) == (1, 2)


def test_a_failing_primary_is_followed_by_the_fallback(tmp_path: Path) -> None:
    """R23, R44, R45, R46: automatic, with the primary's reason and the fallback's name."""
    job = OneJob(tmp_path, rows="id,text\n1,one\n")
    job.models["first"] = fails(503)
    job.run()
    ((key, used, trigger, reason, model),) = job.sql(RUN_DATA)
    assert (key, used, trigger, model) == ("1", True, "automatic", "openai:second")
    assert reason.startswith("server_error")


def test_a_failure_that_is_switched_off_is_not_followed(tmp_path: Path) -> None:
    """R23: fallback_on without server_error leaves such a row failed."""
    job = OneJob(tmp_path, rows="id,text\n1,one\n", task=TASK + "fallback_on: [refused, timeout]\n")
    job.models["first"] = fails(503)
    assert job.run().failures == {"server_error": 1}
    assert job.asked == [("first", "Say one")]


def test_no_fallback_is_told_before_the_first_call(tmp_path: Path) -> None:
    """R10: the flag on a task without a fallback is refused, and nothing is asked."""
    job = OneJob(tmp_path, rows=ROWS, task="user_prompt: '{{text}}'\nmodel: openai:first\n")
    with pytest.raises(Mistake, match="needs a fallback"):
        job.run(use_fallback_model=True)
    assert job.asked == []
