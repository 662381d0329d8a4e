"""One job file, and only its model line changed: a model of this machine, an API's, three hosted tasks."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pyarrow.parquet as pq
import pytest

from tasks_lib.configs import Environment, load_providers
from tasks_lib.job.batch import run_batch
from tasks_lib.job.preflight import Preflight, preflight
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary
from tasks_lib.ledger import open_ledger
from tests import llmserver, parallelserver, rightbrainserver, webagentserver
from tests.rightbrainserver.tasks import ORG, PROJECT, made_id

TASK = """\
task: parity
output:
  schema:
    type: object
    properties:
      label: {type: string, enum: [good, bad]}
      sure: {type: number}
      row_id: {type: string}
    required: [label, sure, row_id]
    additionalProperties: false
user_prompt: "Judge this. row_id: {{row_id}} {{text}}"
model: openai:not-asked
parameters: {temperature: 0}
"""
JOB = """\
job: parity
task: task.yaml
model: {model}
source: {{path: rows.csv, key: id}}
inputs: {{row_id: id}}
reporting_group: "{{{{team}}}}"
reference: "ref-{{{{id}}}}"
metadata: {{dataset: parity}}
limits: {{in_flight: 16}}
retries: {{transient: 3, rate_limited: 3, content: 0, wait_initial: 0.01, wait_max: 0.02}}
ledger: ledger.duckdb
output: out.csv
"""
ROWS = 8
COLUMNS = ["secret", "id", "text", "team"]
REPORTS = ("cost_by_model", "cost_by_reporting_group", "latency", "spend_by_day", "usage_by_group")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackEnd:
    """What stands behind a model line."""

    model: str
    variables: dict[str, str]
    trouble: dict[str, float | str]  # settings with which some rows fail for good
    configure: Callable[..., object]
    started: Callable[[], int]  # calls, or runs, that were begun there


@contextmanager
def local() -> Iterator[BackEnd]:
    yield BackEnd(model="local:qwen", variables={}, trouble={}, configure=lambda **_: None, started=lambda: 0)


@contextmanager
def openai() -> Iterator[BackEnd]:
    with llmserver.running_server() as server:
        yield BackEnd(
            model="openai:gpt-5-mini",
            variables={"OPENAI_BASE_URL": server.base_url(), "OPENAI_API_KEY": "not-a-key"},
            trouble={"e400": 0.4, "det": 1, "seed": 3},
            configure=server.config,
            started=lambda: int(server.stats()["recv"]),
        )


@contextmanager
def parallel() -> Iterator[BackEnd]:
    with parallelserver.running_server() as server:
        yield BackEnd(
            model="parallel:core",
            variables={"PARALLEL_BASE_URL": server.base_url(), "PARALLEL_API_KEY": "not-a-key"},
            trouble={"fail": 0.4, "seed": 3},
            configure=server.config,
            started=lambda: sum(server.started().values()),
        )


@contextmanager
def rightbrain() -> Iterator[BackEnd]:
    with rightbrainserver.running_server() as server:
        yield BackEnd(
            model=f"rightbrain:{made_id('Demo json')}",
            variables={
                "RIGHTBRAIN_BASE_URL": server.base_url(),
                "RB_API_KEY": "not-a-key",
                "RB_ORG_ID": ORG,
                "RB_PROJECT_ID": PROJECT,
            },
            trouble={"is_error": 0.4, "det": 1, "seed": 3},
            configure=server.config,
            started=lambda: len(server.runs()),
        )


@contextmanager
def webagent() -> Iterator[BackEnd]:
    with webagentserver.running_server() as server:
        yield BackEnd(
            model="webagent:1",
            variables={"WEBAGENT_BASE_URL": server.base_url()},
            trouble={"failure": 0.4, "det": 1, "seed": 3},
            configure=server.config,
            started=lambda: len(server.runs()),
        )


BACK_ENDS: dict[str, Callable[[], AbstractContextManager[BackEnd]]] = {
    "openai": openai,
    "parallel": parallel,
    "rightbrain": rightbrain,
    "webagent": webagent,
}


class Folder:
    """The job's files; rows stand in an order of their own, with a column that nobody is to be told."""

    def __init__(self, folder: Path, back_end: BackEnd, *, rows: int = ROWS) -> None:
        self.folder, self.back_end = folder, back_end
        (folder / "providers.yaml").write_text("webagent: {limits: {in_flight: 16}}\n", "utf-8")
        (folder / "task.yaml").write_text(TASK, "utf-8")
        (folder / "job.yaml").write_text(JOB.format(model=back_end.model), "utf-8")
        self.ids = [str(3 * number % rows + 1) for number in range(rows)]
        with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([f"hush-{key}", key, f"words, {key}", "ab"[int(key) % 2]] for key in self.ids)

    def setup(self, **overrides: object) -> Setup:
        """The job with these flags."""
        environment = Environment.of(self.back_end.variables, user="ada")
        return load_setup(self.folder / "job.yaml", environment=environment, overrides=overrides)

    def run(self, options: Options | None = None, **overrides: object) -> Summary:
        """Run it."""
        setup = self.setup(**overrides)
        return anyio.run(lambda: run_batch(setup, options=options))

    def plan(self, **overrides: object) -> Preflight:
        """What a run would do."""
        return preflight(self.setup(**overrides))

    def written(self) -> list[dict[str, str]]:
        """The output's rows."""
        with (self.folder / "out.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        with open_ledger(self.folder / "ledger.duckdb", read_only=True) as ledger:
            return ledger.cursor().execute(query).fetchall()

    def reports(self) -> dict[str, int]:
        """The five reports' numbers of rows."""
        with open_ledger(self.folder / "ledger.duckdb", read_only=True) as ledger:
            return {name: ledger.report(name).num_rows for name in REPORTS}


@pytest.fixture(scope="module", params=BACK_ENDS)
def running(request: pytest.FixtureRequest) -> Iterator[BackEnd]:
    name = str(request.param)
    if name not in load_providers(None, env={}):
        pytest.skip(f"there is no provider {name} yet")
    with BACK_ENDS[name]() as back_end:
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
