"""Whole batches at Parallel's test server, which keeps the documented limits and counts every run."""

import csv
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.batch import run_batch
from tasks_lib.job.preflight import preflight
from tasks_lib.job.setup import load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary
from tasks_lib.ledger import open_ledger
from tests.parallelserver import Server, running_server

TASK = """\
task: capitals
output:
  schema:
    type: object
    properties: {row_id: {type: string}, capital: {type: string}}
    required: [row_id, capital]
    additionalProperties: false
user_prompt: "row_id: {{id}} The capital of {{country}}"
"""
JOB = """\
task: task.yaml
source: {path: rows.csv, key: id}
ledger: ledger.duckdb
output: out.csv
reporting_group: atlas
metadata: {dataset: capitals}
retries: {wait_initial: 0.05}
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with running_server(rpm=0, lat=50) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.config(clear=1)
    running.reset()
    return running


class Folder:
    """A job in a folder."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.path = folder / "job.yaml"
        self.environment = Environment.of({"PARALLEL_API_KEY": "not-a-key"}, user="ada")
        self._server = server
        self._folder = folder
        self.write("job.yaml", JOB)
        self.provider()
        self.rows(60)

    def write(self, name: str, text: str) -> None:
        """A file of the folder."""
        (self._folder / name).write_text(text)

    def provider(self, told: str = "") -> None:
        """What is said of the provider besides its address."""
        limits = "limits: {requests_per_minute: 60000}"
        self.write("providers.yaml", f"parallel:\n  base_url: {self._server.url}\n  {limits}\n{told}")

    def rows(self, count: int) -> None:
        """So many rows, the last id first."""
        lines = [f"{number},country {number}" for number in reversed(range(count))]
        self.write("rows.csv", "\n".join(["id,country", *lines, ""]))

    def task(self, told: str) -> None:
        """The task with further lines."""
        self.write("task.yaml", TASK + told)

    def run(self, options: Options | None = None, **overrides: object) -> Summary:
        """Run the job."""
        setup = load_setup(self.path, environment=self.environment, overrides=overrides)
        return anyio.run(lambda: run_batch(setup, options=options))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        with open_ledger(self._folder / "ledger.duckdb", read_only=True) as ledger:
            return ledger.cursor().execute(query).fetchall()

    def written(self) -> list[dict[str, str]]:
        """The rows of the output."""
        with (self._folder / "out.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path: Path, server: Server) -> Folder:
    made = Folder(tmp_path, server)
    made.task("model: parallel:lite\n")
    return made


def test_rows_become_runs_and_their_answers_columns(folder: Folder, server: Server) -> None:
    """P01, P15, P16: few POSTs, all columns in the input's order, and all that was told in the ledger."""
    summary = folder.run()
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 60)
    assert [row["id"] for row in folder.written()] == [str(number) for number in reversed(range(60))]
    assert all(row["row_id"] == row["id"] and row["country"] for row in folder.written())
    told = server.stats()
    assert told["posts"] <= 10
    assert told["runs_made"] == 60
    assert (told["runs_beside_another"], told["runs_after_success"]) == (0, 0)
    (asked, *_) = server.runs()
    assert asked["metadata"]["reporting_group"] == "atlas"
    assert asked["metadata"]["dataset"] == "capitals"
    ids = {run["run_id"] for run in server.runs()}
    assert {remote_id for (remote_id,) in folder.sql("select remote_id from attempts")} == ids
    assert len(folder.sql("select * from remote_groups")) == 1


def test_a_completed_run_costs_its_processors_price(folder: Folder, server: Server) -> None:
    """P15: by the price table, and to the cent what the API charges."""
    summary = folder.run()
    assert summary.cost == Decimal("0.3") == Decimal(str(server.stats()["usd_spent"]))
    assert folder.sql("select distinct cost_source, cost from task_runs") == [
        ("price_table", Decimal("0.005"))
    ]


def test_the_basis_is_in_the_ledger(folder: Folder) -> None:
    """P19: field, reasoning, confidence and sources of each answer."""
    folder.run()
    found = folder.sql(
        "select field, count(*), bool_and(url is not null) from citations group by 1 order by 1"
    )
    assert found == [("capital", 60, True), ("row_id", 60, True)]
    assert {level for (level,) in folder.sql("select confidence from citations")} <= {"medium", "high"}


def test_warnings_are_told_and_kept(folder: Folder, server: Server) -> None:
    """P13, P14: those of a type that nobody knows, too."""
    server.config(warn=1.0)
    folder.run()
    (kept,) = folder.sql("select distinct remote_run ->> '$.warnings[0]' from attempts")
    assert "unheard_of" in str(kept[0])


def test_failed_rows_are_there_with_their_reason(folder: Folder, server: Server) -> None:
    """P11: they cost nothing, the exit code tells of them, and the next run asks for them alone."""
    server.config(fail=0.3)
    summary = folder.run()
    failed = server.stats()["runs_by_status"]["failed"]
    assert (summary.outcome.exit_code, summary.failed, summary.completed) == (1, failed, 60 - failed)
    assert summary.cost == Decimal("0.005") * (60 - failed)
    assert sum("is failed" in row["rowmill_error"] for row in folder.written()) == failed
    server.config(fail=0.0)
    again = folder.run()
    assert (again.outcome, again.completed, again.skipped) == (Outcome.COMPLETED, failed, 60 - failed)
    assert server.stats()["runs_after_success"] == 0


def test_failed_rows_go_on_to_the_next_processor(folder: Folder, server: Server) -> None:
    """P04: as a fallback, each paid at its own price."""
    folder.task("model: parallel:lite\nfallback: [parallel:core]\n")
    server.config(fail=0.4, weak="lite")
    summary = folder.run()
    went = server.stats()["runs_by_status"]["failed"]
    assert summary.completed == 60
    assert summary.cost == Decimal("0.005") * (60 - went) + Decimal("0.025") * went
    reasons = folder.sql("select primary_failure_reason from task_runs where used_fallback_model")
    assert len(reasons) == went
    assert all(reason.startswith("run_failed: ") for (reason,) in reasons)


def test_rows_of_low_confidence_climb_the_ladder(folder: Folder, server: Server) -> None:
    """P04, P19: each rung is asked once and paid; what the last one says is kept, with a warning."""
    parameters = "parameters: {min_confidence: medium}"
    folder.task(
        f"model: parallel:lite\n{parameters}\nfallback:\n"
        "  - {model: parallel:base, parameters: {min_confidence: medium}}\n"
        "  - {model: parallel:core, parameters: {min_confidence: medium}}\n"
    )
    folder.rows(10)
    server.config(low=1.0, weak="lite+base")
    summary = folder.run()
    assert (summary.completed, summary.cost) == (10, Decimal("0.4"))
    assert Counter(run["processor"] for run in server.runs()) == {"lite": 10, "base": 10, "core": 10}
    kinds = folder.sql("select model, failure_kind, count(*) from attempts group by 1, 2 order by 1")
    assert kinds == [
        ("parallel:base", "low_confidence", 10),
        ("parallel:core", None, 10),
        ("parallel:lite", "low_confidence", 10),
    ]


def test_the_last_rungs_word_is_kept(folder: Folder, server: Server) -> None:
    """P13: where every processor is unsure, the row has an answer that says so."""
    folder.task("model: parallel:lite\nparameters: {min_confidence: high}\n")
    folder.rows(5)
    server.config(low=1.0)
    assert folder.run().completed == 5
    (told,) = folder.sql("select distinct remote_run ->> '$.warnings[0]' from attempts")
    assert "confidence below high" in told[0]


def test_input_as_an_object_and_other_forms(folder: Folder, server: Server) -> None:
    """P03, P05, P07: the columns that are mapped, and no others; the API finds the form by itself."""
    folder.write(
        "task.yaml",
        "task: t\noutput: json\nuser_prompt: '{{id}} {{country}}'\nmodel: parallel:lite\n"
        "parameters: {input: object, input_schema: {type: object, properties: {id: {type: string}}}}\n",
    )
    folder.rows(3)
    assert folder.run().completed == 3
    assert {tuple(run["input"]) for run in server.runs()} == {("id", "country")}
    assert folder.sql("select remote_run ->> '$.run_data.output_schema.type' from attempts")[0] == ("object",)


def test_a_sum_of_money_is_not_passed(folder: Folder, server: Server) -> None:
    """P15: the price of a run is set aside before it is begun."""
    summary = folder.run(**{"limits.max_cost": 0.1})
    assert summary.outcome is Outcome.STOPPED
    assert server.stats()["usd_spent"] <= 0.1
    assert summary.completed == 20


def test_a_plan_tells_what_it_would_cost(folder: Folder, server: Server) -> None:
    """P04: nothing is begun for it."""
    found = preflight(load_setup(folder.path, environment=folder.environment), options=Options())
    assert found.to_run == 60
    assert "0.3" in str(found.as_json())
    assert server.stats()["runs_made"] == 0


def test_a_processor_that_is_forbidden_ends_the_batch(folder: Folder, server: Server) -> None:
    """P04, P19: a 403 is every row's."""
    server.config(forbid="lite")
    summary = folder.run()
    assert summary.outcome is Outcome.REFUSED
    assert server.stats()["runs_made"] == 0


def test_a_wrong_key_ends_the_batch_and_is_not_shown(folder: Folder, server: Server) -> None:
    """P02: a 401, whose error names no key."""
    server.config(auth="another")
    summary = folder.run()
    assert (summary.outcome, summary.outcome.exit_code) == (Outcome.REFUSED, 4)
    assert "not-a-key" not in str(summary.as_json())


def test_no_credit_and_nothing_under_way_ends_the_batch(folder: Folder, server: Server) -> None:
    """P19: a 402 that no run's end will cure; what could be paid was done."""
    server.config(balance=0.1)
    summary = folder.run()
    assert summary.outcome is Outcome.REFUSED
    assert summary.completed == 20


def test_credit_that_is_reserved_is_waited_for(folder: Folder, server: Server) -> None:
    """P19: failed runs give theirs back, so that 402 passes while runs are under way."""
    server.config(balance=0.35, fail_first=1, lat=300)
    folder.task("model: parallel:lite\nfallback: [parallel:lite-fast]\n")
    summary = folder.run()
    assert summary.completed == 60
    assert server.stats()["usd_spent"] == pytest.approx(0.3)


def test_a_run_that_never_ends_is_given_up_and_taken_up_again(folder: Folder, server: Server) -> None:
    """P10, P11: at its deadline; the next batch begins no other."""
    folder.provider("  timeouts: {run: 1}\n")
    folder.rows(4)
    server.config(lat=2_500)
    first = folder.run()
    assert first.completed == 0
    folder.provider("  timeouts: {run: 20}\n")
    second = folder.run()
    assert second.completed == 4
    assert server.stats()["runs_made"] == 4


def test_misfortunes_on_the_way_are_nobodys_failure(folder: Folder, server: Server) -> None:
    """P19: lost answers, cut streams, errors in passing: every row completed, none begun twice."""
    server.config(
        c_lost=0.3, c_trunc=0.2, c503=0.2, sse_cut=0.6, r500=0.03, r_cut=0.03, r_html=0.02, comments=1
    )
    summary = folder.run()
    told = server.stats()
    assert summary.completed == 60
    assert told["runs_made"] == 60
    assert (told["runs_beside_another"], told["runs_after_success"]) == (0, 0)


def test_what_parallel_would_refuse_costs_nothing(folder: Folder, server: Server) -> None:
    """P19: it is told before the first call, with what would be right."""
    folder.task("model: parallel:lite\nparameters: {source_policy: {include_domains: ['https://a.org']}}\n")
    with pytest.raises(Mistake, match=r"is no domain, without https://"):
        folder.run()
    assert not server.stats()["requests"]


def test_the_documented_rate_is_kept(folder: Folder, server: Server) -> None:
    """P19: each run counts as a request, so that neither of two readings of the limit is passed."""
    server.config(rpm=20, rpm_window=1.0, rpm_runs=1)
    folder.rows(40)
    summary = folder.run(**{"limits.requests_per_minute": 960})
    assert summary.completed == 40
    assert "429" not in server.stats()["by_status"]
    assert server.busiest(1.0)[1] > 10  # near the limit, which would have told
