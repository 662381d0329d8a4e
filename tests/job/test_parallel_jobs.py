"""Jobs at Parallel, from plan to output: what its own command does badly is done well here."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome
from tests.job.parity import COLUMNS, JOB, ROWS, TASK, BackEnd, Folder, openai
from tests.parallelserver import Server, running_server

ROOT = Path(__file__).resolve().parents[2]
FAST = "parallel: {limits: {in_flight: 2000, requests_per_minute: }}\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with running_server() as started:
        yield started


@pytest.fixture
def server(running: Server) -> Server:
    running.config(clear=1)
    running.reset()
    return running


@pytest.fixture
def folder(tmp_path: Path, server: Server) -> Folder:
    return folder_at(tmp_path, server.base_url())


def folder_at(path: Path, base_url: str, *, rows: int = ROWS, model: str = "parallel:core") -> Folder:
    """A job at a server under this address."""
    back_end = BackEnd(
        model=model,
        variables={"PARALLEL_BASE_URL": base_url, "PARALLEL_API_KEY": "not-a-key"},
        trouble={},
        configure=lambda **_: None,
        started=lambda: 0,
    )
    return Folder(path, back_end, rows=rows)


def rows_of(folder: Folder, *lines: str) -> None:
    """Other rows, in the columns that the job knows and one more: id, text, team, tier, secret."""
    text = "\n".join(("id,text,team,tier,secret", *lines))
    (folder.folder / "rows.csv").write_text(text + "\n", "utf-8")


def command(folder: Folder, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a command about the job says, and its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "tasks_lib.cli", name, str(folder.folder / "job.yaml"), *arguments],
        cwd=ROOT,
        env={**os.environ, **folder.back_end.variables},
        capture_output=True,
        text=True,
        check=False,
    )


# --- what its own command does badly


def test_failed_rows_are_in_the_output_with_their_reason(folder: Folder, server: Server) -> None:
    """P11: of 8 rows some fail; all 8 are written with status and reason, and the command exits with 1."""
    server.config(fail=0.4, seed=3)
    ran = command(folder, "run", "--json")
    assert ran.returncode == 1, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["rows"], told["completed"] + told["failed"]) == (ROWS, ROWS)
    written = folder.written()
    failed = [row for row in written if row["rowmill_status"] == "failed"]
    assert (len(written), len(failed)) == (ROWS, told["failed"])
    assert 0 < len(failed) < ROWS
    assert all("Task execution failed" in row["rowmill_error"] for row in failed)


def test_the_output_is_in_the_inputs_order(tmp_path: Path, server: Server) -> None:
    """P16: though runs end in any order, and each row has its key."""
    folder = folder_at(tmp_path, server.base_url(lat=80, sigma=1.5), rows=40)
    assert folder.run().completed == 40
    ended = [run["modified_at"] for run in server.runs()]
    assert ended != sorted(ended)
    assert [row["id"] for row in folder.written()] == folder.ids
    assert [row["row_id"] for row in folder.written()] == folder.ids


def test_only_mapped_columns_are_sent(folder: Folder, server: Server) -> None:
    """P03: neither as text nor as an object does a column go there that no placeholder names."""
    folder.run()
    task = TASK.replace("{temperature: 0}", "{input: object}")
    (folder.folder / "task.yaml").write_text(task, "utf-8")
    folder.run()
    runs = server.runs()
    assert len(runs) == 2 * ROWS
    assert "hush" not in json.dumps(runs)
    assert {tuple(run["input"]) for run in runs if isinstance(run["input"], dict)} == {("row_id", "text")}


def test_rows_that_all_fail_are_written_all_the_same(folder: Folder, server: Server) -> None:
    """P11: nobody is left with an empty file."""
    server.config(fail=1)
    summary = folder.run()
    assert (summary.failed, summary.outcome.exit_code) == (ROWS, 1)
    written = folder.written()
    assert [(row["id"], row["rowmill_status"]) for row in written] == [(key, "failed") for key in folder.ids]
    assert all(row["rowmill_error"] for row in written)


def test_a_refused_batch_leaves_the_old_output_alone(folder: Folder, server: Server) -> None:
    """P02: what an earlier batch wrote is there until a later one has something to write."""
    folder.run()
    server.config(auth="another-key")
    refused = folder.run(Options(force=True))
    assert refused.outcome is Outcome.REFUSED
    after = {row["id"]: row["row_id"] for row in folder.written()}
    assert after == {key: key for key in folder.ids}


def test_a_post_has_a_thousand_runs_at_most(tmp_path: Path, server: Server) -> None:
    """P19: 1,200 rows go there in few POSTs, none of which is larger than is documented."""
    folder = folder_at(tmp_path, server.base_url(), rows=1_200 + 1)
    (tmp_path / "providers.yaml").write_text(FAST, "utf-8")
    (tmp_path / "job.yaml").write_text(
        JOB.format(model="parallel:core").replace("limits: {in_flight: 16}\n", ""), "utf-8"
    )
    assert folder.run().completed == 1_201
    stats = server.stats()
    assert stats["largest_post"] <= 1_000
    assert stats["runs_made"] == 1_201
    assert stats["creating_posts"] < 60


def test_the_error_of_one_post_is_not_every_rows_fate(tmp_path: Path, server: Server) -> None:
    """P18: POSTs that are refused, cut off or lost cost no row its answer, and no row is run twice."""
    folder = folder_at(
        tmp_path, server.base_url(c500=0.15, c503=0.1, c_lost=0.15, c_early=0.1, seed=5), rows=40
    )
    summary = folder.run(None, **{"retries.transient": 8})
    assert (summary.completed, summary.failed) == (40, 0)
    stats = server.stats()
    assert set(server.started().values()) == {1}
    assert (stats["runs_beside_another"], stats["runs_after_success"]) == (0, 0)


def test_how_long_is_waited_is_for_the_user_to_say(tmp_path: Path, server: Server) -> None:
    """P12: a run that does not end by `timeouts.run` is let go by its id, and the next batch takes it up."""
    folder = folder_at(tmp_path, server.base_url(lat=3_000, lat_max=3_000))
    (tmp_path / "providers.yaml").write_text("parallel: {timeouts: {run: 1}}\n", "utf-8")
    summary = folder.run()
    assert (summary.completed, summary.outcome.exit_code != 0) == (0, True)
    assert folder.sql("select count(distinct remote_id) from remote_runs") == [(ROWS,)]
    (tmp_path / "providers.yaml").write_text("parallel: {timeouts: {run: 60}}\n", "utf-8")
    again = folder.run()
    assert again.completed == ROWS
    assert sum(server.started().values()) == ROWS


def test_the_address_is_the_only_one_that_is_asked(tmp_path: Path, server: Server) -> None:
    """P01: with its path, by every request: what is set below a path holds for all of a job's runs."""
    folder = folder_at(tmp_path, server.base_url(fail=1))
    assert folder.run().failed == ROWS
    assert {run["status"] for run in server.runs()} == {"failed"}
    assert folder.run(model="parallel:lite").failed == ROWS
    assert {run["processor"] for run in server.runs()} == {"core", "lite"}


def test_fields_are_columns_of_their_types(folder: Folder) -> None:
    """P06: in a database a number is a number, and what an answer rests on is JSON beside it."""
    folder.run(None, **{"output.path": str(folder.folder / "out.duckdb"), "output.table": "found"})
    with duckdb.connect(str(folder.folder / "out.duckdb"), read_only=True) as connection:
        kinds = dict(
            connection.execute("select column_name, column_type from (describe from found)").fetchall()
        )
    assert [kinds[name] for name in ("label", "sure", "row_id")] == ["VARCHAR", "DOUBLE", "VARCHAR"]
    assert kinds["rowmill_cost"].startswith("DECIMAL")


# --- what it does not do at all


def test_an_output_tells_what_its_answers_rest_on(folder: Folder) -> None:
    """P19: a column of citations beside each row, and a table of them in the ledger."""
    assert "rowmill_citations" in folder.plan().output_columns
    folder.run()
    for row in folder.written():
        told = json.loads(row["rowmill_citations"])
        assert {one["field"] for one in told} == {"label", "sure", "row_id"}
        assert all(one["url"].startswith("https://example.org/") for one in told)
        assert {one["confidence"] for one in told} <= {"high", "medium"}
    found = folder.sql("select count(*), count(distinct task_run_id) from citations where url is not null")
    assert found == [(3 * ROWS, ROWS)]


def test_a_plan_tells_the_cost_of_the_whole(folder: Folder, server: Server) -> None:
    """P04: by processor and to the cent, before anything is sent; what is not sent is named, too."""
    rows_of(folder, "1,a,x,lite,s", "2,b,x,core,s", "3,c,y,lite,s")
    (folder.folder / "task.yaml").write_text(TASK.replace("openai:not-asked", "parallel:base"), "utf-8")
    job = JOB.format(model="").replace("model: ", "override: {model: 'parallel:{{tier}}'}")
    (folder.folder / "job.yaml").write_text(job, "utf-8")
    found = folder.plan()
    assert [(one.model, one.runs, str(one.cost)) for one in found.hosted_runs] == [
        ("parallel:lite", 2, "0.010000"),
        ("parallel:core", 1, "0.025000"),
    ]
    assert str(found.estimated_input_cost) == "0.035000"
    assert "columns that are not sent: secret" in found.warnings
    shown = " ".join(command(folder, "plan").stdout.split())
    assert (
        "3: 2 runs of parallel:lite for $0.0100, 1 run of parallel:core for $0.0250; $0.0350 in all" in shown
    )
    assert server.stats()["requests"] == {}
    summary = folder.run()
    assert (summary.completed, str(summary.cost)) == (3, "0.035000000000")
    assert sorted(run["processor"] for run in server.runs()) == ["core", "lite", "lite"]


def test_a_row_that_is_too_long_is_told_by_the_plan_and_asks_nobody(folder: Folder, server: Server) -> None:
    """P03, R54: beyond 25,000 characters of specification and input; the other rows are run."""
    rows_of(folder, "1,a,x,,s", f"2,{'long ' * 5_200},x,,s")
    (warning,) = [told for told in folder.plan().warnings if "will fail" in told]
    assert warning.startswith("1 row will fail without being asked: input and task_spec have 26")
    assert warning.endswith("of 25000 characters (row 2)")
    summary = folder.run()
    assert (summary.completed, summary.failures) == (1, {"bad_row": 1})
    assert [run["input"].count("long") for run in server.runs()] == [0]


def test_a_ladder_asks_the_next_processor_for_what_failed(folder: Folder, server: Server) -> None:
    """P04, R23: rows that fail on lite, or rest on little there, go on to core; both are paid."""
    server.config(low=1, weak="lite")
    task = TASK.replace(
        "parameters: {temperature: 0}",
        "parameters: {min_confidence: medium}\nfallback: [{model: 'parallel:core'}]",
    )
    (folder.folder / "task.yaml").write_text(task, "utf-8")
    summary = folder.run(model="parallel:lite")
    assert (summary.completed, str(summary.cost)) == (ROWS, "0.240000000000")
    assert {row["rowmill_model"] for row in folder.written()} == {"parallel:core"}
    assert folder.sql("select distinct used_fallback_model from task_runs") == [(True,)]


def test_a_ladder_may_end_at_another_back_end(tmp_path: Path, server: Server) -> None:
    """P04, R23: what no processor can do is asked of a model of another API; each answer says whose it is."""
    server.config(fail=0.4, seed=3)
    with openai() as other:
        folder = folder_at(tmp_path, server.base_url())
        folder.back_end.variables.update(other.variables)
        task = TASK.replace("parameters: {temperature: 0}", f"fallback: ['{other.model}']")
        (tmp_path / "task.yaml").write_text(task, "utf-8")
        summary = folder.run()
    assert (summary.completed, summary.failed) == (ROWS, 0)
    asked = {row["rowmill_model"] for row in folder.written()}
    assert asked == {"parallel:core", other.model}
    assert [row["row_id"] for row in folder.written()] == folder.ids


def test_money_is_bounded_by_the_run(folder: Folder, server: Server) -> None:
    """P04, P15: a limit in dollars is never passed, since each processor has its price."""
    summary = folder.run(None, **{"limits.max_cost": 0.1})
    assert summary.outcome is Outcome.STOPPED
    assert (summary.completed, str(summary.cost)) == (4, "0.100000000000")
    assert len(server.runs()) == 4


def test_what_the_api_would_refuse_is_told_before_the_first_call(folder: Folder, server: Server) -> None:
    """P08, P09: schema, parameters and labels are held against the documented limits."""
    (folder.folder / "task.yaml").write_text(
        TASK.replace("{temperature: 0}", "{min_confidense: low, memory_scope_key: 'a b'}"), "utf-8"
    )
    with pytest.raises(Mistake) as caught:
        folder.plan()
    told = str(caught.value)
    assert "the model parallel:core: there is no parameter min_confidense. Did you mean min_conf" in told
    assert "memory_scope_key" in told
    assert server.stats()["requests"] == {}


def test_labels_travel_as_metadata(folder: Folder, server: Server) -> None:
    """P09, P16: by which a run is found again; the key of a row is in it."""
    folder.run()
    told = [run["metadata"] for run in server.runs()]
    assert sorted(one["row_key"] for one in told) == sorted(folder.ids)
    assert {one["reporting_group"] for one in told} == {"a", "b"}
    assert {one["dataset"] for one in told} == {"parity"}


def test_the_command_writes_the_rows_that_it_read(folder: Folder) -> None:
    """P16: every column of the input, whatever is in it, stands in the output as it came."""
    folder.run()
    with (folder.folder / "rows.csv").open(newline="", encoding="utf-8") as file:
        before = list(csv.DictReader(file))
    assert [{name: row[name] for name in COLUMNS} for row in folder.written()] == before
