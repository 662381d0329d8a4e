"""One job file, and only its model line changed: a model of this machine, an API's, three hosted tasks."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome
from tests.job.parity import BACK_ENDS, COLUMNS, ROWS, TASK, BackEnd, Folder, local


@pytest.fixture(scope="module", params=BACK_ENDS)
def running(request: pytest.FixtureRequest) -> Iterator[BackEnd]:
    with BACK_ENDS[str(request.param)]() as back_end:
        yield back_end


@pytest.fixture
def back_end(running: BackEnd) -> BackEnd:
    running.configure(clear=1)
    return running


@pytest.fixture
def folder(tmp_path: Path, back_end: BackEnd) -> Folder:
    return Folder(tmp_path, back_end)


def test_every_back_end_runs_the_same_job(folder: Folder, back_end: BackEnd) -> None:
    """R01, W01, P01: all rows answered, in the input's order with all its columns; nothing is asked twice."""
    before = back_end.started()
    summary = folder.run()
    assert (summary.outcome, summary.completed, summary.failed) == (Outcome.COMPLETED, ROWS, 0)
    assert summary.outcome.exit_code == 0
    assert back_end.started() - before == ROWS
    written = folder.written()
    assert [row["id"] for row in written] == folder.ids
    assert list(written[0])[:7] == [*COLUMNS, "label", "sure", "row_id"]
    assert [row["secret"] for row in written] == [f"hush-{key}" for key in folder.ids]
    assert [row["row_id"] for row in written] == folder.ids
    assert {row["label"] for row in written} <= {"good", "bad"}
    assert {row["rowmill_status"] for row in written} == {"completed"}
    assert {row["rowmill_model"] for row in written} == {back_end.model}


def test_a_finished_job_asks_nobody(folder: Folder, back_end: BackEnd) -> None:
    """R26, W08, P10: run again, every row is skipped; a grown source asks for what is new."""
    folder.run()
    before = back_end.started()
    again = folder.run()
    assert (again.outcome, again.skipped, again.completed) == (Outcome.COMPLETED, ROWS, 0)
    assert back_end.started() == before
    with (folder.folder / "rows.csv").open("a", encoding="utf-8") as file:
        file.write("hush-99,99,new words,a\n")
    assert folder.plan().to_run == 1
    grown = folder.run()
    assert (grown.skipped, grown.completed) == (ROWS, 1)
    assert back_end.started() == before + 1
    assert [row["id"] for row in folder.written()] == [*folder.ids, "99"]


def test_the_same_reports_work_on_all(folder: Folder) -> None:
    """R25, R31: cost by model and by group, latency, spend by day, usage by group; and the answers by SQL."""
    folder.run()
    reports = folder.reports()
    assert all(rows > 0 for rows in reports.values()), reports
    groups = folder.sql(
        "select reporting_group, completed from cost_by_reporting_group order by reporting_group"
    )
    assert groups == [("a", ROWS // 2), ("b", ROWS // 2)]
    labels = folder.sql("select reference, metadata ->> 'dataset' from task_runs order by row_number")
    assert labels == [(f"ref-{key}", "parity") for key in folder.ids]
    answers = folder.sql("select row_key, row_id, typeof(sure) from results_parity order by row_number")
    assert answers == [(key, key, "DOUBLE") for key in folder.ids]


def test_failed_rows_are_there_with_their_reason(folder: Folder, back_end: BackEnd) -> None:
    """R42, R52, W19, P11: in their place, with an exit code of 1; and the next run asks for them alone."""
    back_end.configure(**back_end.trouble)
    summary = folder.run()
    assert 0 < summary.failed < ROWS
    assert (summary.completed + summary.failed, summary.outcome.exit_code) == (ROWS, 1)
    written = folder.written()
    assert [row["id"] for row in written] == folder.ids
    failed = [row for row in written if row["rowmill_status"] == "failed"]
    assert len(failed) == summary.failed
    assert all(row["rowmill_error"] and not row["label"] and row["secret"] for row in failed)
    assert folder.sql("select sum(failed_rows)::int from failures") == [(summary.failed,)]
    assert folder.sql("select count(*) from dead_letters") == [(summary.failed,)]
    back_end.configure(clear=1)
    before = back_end.started()
    again = folder.run()
    assert (again.skipped, again.completed) == (summary.completed, summary.failed)
    assert back_end.started() - before == summary.failed
    assert {row["rowmill_status"] for row in folder.written()} == {"completed"}


def test_answers_are_columns_of_their_types(folder: Folder) -> None:
    """R20, W11, W17, P06: in Parquet a number is a number, and the input's columns stand before it."""
    folder.run(output=str(folder.folder / "out.parquet"))
    table = pq.read_table(folder.folder / "out.parquet")
    assert table.column_names[:7] == [*COLUMNS, "label", "sure", "row_id"]
    assert str(table.schema.field("sure").type) == "double"
    assert table["row_id"].to_pylist() == folder.ids


def test_what_is_not_mapped_is_not_sent(folder: Folder, back_end: BackEnd) -> None:
    """R13, P03: the plan says so before the first call."""
    warnings = folder.plan().warnings
    assert "columns that are not sent: secret" in warnings
    assert folder.plan().to_run == ROWS


def test_revisions_are_compared_and_answers_are_stored(folder: Folder, back_end: BackEnd) -> None:
    """R28: what a job says besides holds everywhere: a comparison runs a row once for each revision."""
    one = TASK.partition("user_prompt")[0]
    prompt = 'row_id: {{row_id}} {{text}}", model: openai:not-asked}'
    revisions = "".join(f'  - {{tag: {tag}, user_prompt: "{tag} {prompt}\n' for tag in ("v1", "v2"))
    (folder.folder / "task.yaml").write_text(f"{one}revisions:\n{revisions}", "utf-8")
    with (folder.folder / "job.yaml").open("a", encoding="utf-8") as file:
        file.write("compare: [v1, v2]\nstored_answers: true\n")
    before = back_end.started()
    summary = folder.run(Options(limit=2))
    assert (summary.completed, back_end.started() - before) == (4, 4)
    again = folder.run(Options(limit=2), identical_rows="each")
    assert (again.skipped, back_end.started() - before) == (4, 4)
    tags = folder.sql("select revision_tag, count(*) from task_runs group by 1 order by 1")
    assert tags == [("v1", 2), ("v2", 2)]


@pytest.mark.local_model
@pytest.mark.skipif(find_spec("xllamacpp") is None, reason="needs the extra `local`")
def test_a_model_of_this_machine_runs_it_too(tmp_path: Path) -> None:
    """W21: what it says is its own; that rows come back in order, with their columns and reports, is not."""
    folder = Folder(tmp_path, local(), rows=4)
    summary = folder.run()
    assert summary.completed + summary.failed == 4
    assert summary.completed > 0
    written = folder.written()
    assert [row["id"] for row in written] == folder.ids
    assert list(written[0])[:7] == [*COLUMNS, "label", "sure", "row_id"]
    assert {row["label"] for row in written if row["rowmill_status"] == "completed"} <= {"good", "bad"}
    assert all(rows > 0 for rows in folder.reports().values())
    assert folder.run().skipped == summary.completed
