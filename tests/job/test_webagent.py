"""Jobs whose rows are runs of a browser agent's task, from file to ledger, against the loopback server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import duckdb
import pytest

from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.stretches import Options
from tasks_lib.job.tally import Outcome, Summary
from tests.webagentserver import Server, running_server

KEY = "wa-secret-key"
TASK = """\
task: shop
output: {output}
user_prompt: "Find the price. row_id: {{{{id}}}}"
model: {model}
parameters: {{{parameters}}}
"""
JOB = """\
job: shop
task: task.yaml
source: {{path: rows.csv, key: id}}
retries: {{transient: 2, wait_initial: 0.01, wait_max: 0.02, on_ambiguous: {on_ambiguous}}}
ledger: ledger.duckdb
"""
WAITING = "wait_for_completion: true"
SCHEMA = "{schema: {type: object, properties: {row_id: {type: string}}, required: [row_id]}}"


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.config(clear=1)
    running.forget()
    running.reset()
    return running


class Shop:
    """A job's folder."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        (folder / "rows.csv").write_text("id\nr1\nr2\nr3\n", "utf-8")
        self.write()
        self.seconds()

    def write(
        self,
        *,
        parameters: str = "",
        output: str = "text",
        model: str = "webagent:1",
        on_ambiguous: str = "retry",
    ) -> None:
        """The task and the job."""
        task = TASK.format(parameters=parameters, output=output, model=model)
        (self.folder / "task.yaml").write_text(task, "utf-8")
        (self.folder / "job.yaml").write_text(JOB.format(on_ambiguous=on_ambiguous), "utf-8")

    def seconds(self, run: float = 60) -> None:
        """How long a run may take, and that the server's browsers are many."""
        text = f"webagent: {{limits: {{in_flight: 8}}, timeouts: {{run: {run}}}}}\n"
        (self.folder / "providers.yaml").write_text(text, "utf-8")

    def setup(self, **settings: float | str) -> Setup:
        """The job, with a server that behaves so."""
        variables = {
            "WEBAGENT_BASE_URL": self.server.base_url(**settings),
            "WEBAGENT_CLOUD_BASE_URL": self.server.cloud_url(**settings),
            "WEBAGENT_API_KEY": KEY,
        }
        return load_setup(self.folder / "job.yaml", environment=Environment.of(variables, user="ada"))

    def run(self, **settings: float | str) -> Summary:
        """Run it."""
        setup = self.setup(**settings)
        return anyio.run(lambda: run_batch(setup))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says, or is told."""
        with duckdb.connect(str(self.folder / "ledger.duckdb")) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def shop(tmp_path: Path, server: Server) -> Shop:
    return Shop(tmp_path, server)


def test_steps_and_actions_are_rows(shop: Shop) -> None:
    """W14, W15, W16: each step and each action of each run is a row of the ledger, in its order."""
    summary = shop.run(steps=3)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 3)
    steps = shop.sql(
        "select row_key, number, description from steps join task_runs on task_runs.id = task_run_id "
        "order by row_key, number"
    )
    assert steps[:3] == [
        ("r1", 1, "Look at page 1"),
        ("r1", 2, "Look at page 2"),
        ("r1", 3, "Tell the result"),
    ]
    assert len(steps) == 9
    actions = shop.sql(
        "select step, number, name, params ->> 'url', is_done, success, extracted_content, include_in_memory "
        "from actions join task_runs on task_runs.id = task_run_id where row_key = 'r2' order by step, number"
    )
    page = "https://shop.example"
    assert actions[0] == (1, 1, "go_to_url", page, False, None, f"Navigated to {page}", True)
    assert actions[2] == (3, 1, "done", None, True, True, "row r2", True)


def test_newer_fields_of_actions(shop: Shop) -> None:
    """W07, W16: where the request waits, fields that newer servers tell of actions are kept, too."""
    shop.write(parameters=WAITING)
    assert shop.run(lat=20).completed == 3
    assert shop.sql("select distinct further ->> 'executed_by_ai' from actions") == [("false",)]
    assert shop.server.stats()["calls"] == {"POST run of task": 3}


def test_what_is_known_of_a_run(shop: Shop) -> None:
    """W02, W13, W20, W21: its id and task as text, its state; tokens and cost are unknown, and not zero."""
    shop.run()
    ids = {str(run["id"]) for run in shop.server.runs()}
    told = shop.sql(
        "select remote_id, remote_run ->> 'task_id', remote_run ->> 'status', cost, input_tokens, "
        "answered_by from attempts"
    )
    assert {one[0] for one in told} == ids
    assert {one[1:] for one in told} == {("1", "success", None, None, "openai/o3")}
    runs = shop.sql(
        "select cost, cost_source, total_tokens, response ->> '$' from task_runs order by row_key"
    )
    assert runs == [(None, "unknown", None, f"row r{number}") for number in (1, 2, 3)]


def test_answers_under_a_schema(shop: Shop) -> None:
    """W11, W17: what the text holds is read, checked, and a column."""
    shop.write(output=SCHEMA, parameters=WAITING)
    assert shop.run().completed == 3
    assert shop.sql("select row_id from results_shop order by 1") == [("r1",), ("r2",), ("r3",)]


def test_agents_that_fail(shop: Shop) -> None:
    """W16, W19: a failed run is a failed row, with the action at which it failed, and is not repeated."""
    shop.write(parameters=WAITING)
    summary = shop.run(failure=1, only="r2")
    assert (summary.completed, summary.failed) == (2, 1)
    assert shop.sql("select row_key, error_kind from task_runs where status = 'failed'") == [
        ("r2", "run_failed")
    ]
    assert shop.sql("select name from actions where success = false") == [("done",)]
    assert shop.sql("select sum(cost) from attempts where failure_kind is not null") == [(None,)]
    assert shop.server.stats()["started"] == 3
    assert shop.run().completed == 1
    assert shop.server.stats()["started"] == 4


def test_is_given_up_and_taken_up(shop: Shop) -> None:
    """W08, W13: a run that does not end in time is given up, and the next batch takes it up by its id."""
    shop.seconds(run=0.5)
    summary = shop.run(lat=1500)
    assert (summary.completed, summary.failed) == (0, 3)
    assert shop.sql("select distinct error_kind from task_runs") == [("given_up",)]
    shop.seconds()
    again = shop.run()
    assert again.completed == 3
    assert shop.server.stats()["started"] == 3


def test_a_run_that_died_is_run_again(shop: Shop) -> None:
    """W18, W21: a run that crashed unseen is given up, and once it is old for sure another one is begun."""
    shop.seconds(run=0.5)
    shop.run(crash=1, only="r1")
    assert shop.sql("select count(*) from task_runs where error_kind = 'given_up'") == [(3,)]
    shop.sql("update remote_runs set noted_at = noted_at - interval 2 hour")
    shop.seconds()
    assert shop.run().failed == 0
    told = shop.sql("select error from attempts where failure_kind = 'server_error'")
    assert len(told) == 1
    assert "is not done: its agent has crashed" in str(told)
    assert shop.server.stats()["started"] == 4


@pytest.mark.parametrize("fault", ["e_reset_late", "e_malformed"])
def test_lost_starts_with_a_marker(shop: Shop, fault: str) -> None:
    """W08, W13: answers that got lost cost no second run where the prompt has a marker."""
    shop.write(parameters="marker: true")
    summary = shop.run(**{fault: 1, "first": 1})
    assert summary.completed == 3
    assert shop.server.stats()["started"] == 3


def test_lost_starts_without_a_marker(shop: Shop) -> None:
    """W08: without one a row is run twice and says so, or is given up, as `retries.on_ambiguous` has it."""
    shop.write(parameters=WAITING)
    assert shop.run(e_reset_late=1, first=1, only="r1").completed == 3
    warned = shop.sql("select row_key from task_runs where warnings::varchar like '%another one was begun%'")
    assert warned == [("r1",)]
    assert shop.server.stats()["started"] == 4


def test_nothing_is_run_twice_if_the_user_says_so(shop: Shop) -> None:
    """W08: with `on_ambiguous: fail` a row whose start was lost fails, now and in every further batch."""
    shop.write(on_ambiguous="fail", parameters=WAITING)
    assert shop.run(e_reset_late=1, first=1, only="r1").failed == 1
    again = shop.run()
    assert (again.failed, again.completed) == (1, 0)
    assert shop.sql("select count(*) from task_runs where error_kind = 'given_up'") == [(1,)]
    assert shop.server.stats()["started"] == 3
    shop.write(on_ambiguous="retry", parameters=WAITING)
    assert shop.run().completed == 1


def test_no_cached_workflow(shop: Shop) -> None:
    """W12: a replay of what was never recorded ends the batch, with words."""
    shop.write(parameters="use_cached_workflow: true")
    summary = shop.run()
    assert summary.outcome.exit_code == Outcome.REFUSED.exit_code
    assert "does not have a cached workflow" in str(summary.reason)


def test_a_replay(shop: Shop) -> None:
    """W12: a recorded workflow is replayed for every row."""
    shop.write(parameters=WAITING)
    shop.run()
    shop.server.asked(f"/api/runs/{shop.server.runs()[0]['id']}/set-as-cached-workflow", {})
    shop.write(parameters=f"use_cached_workflow: true, {WAITING}")
    assert shop.run().completed == 3
    assert shop.sql("select count(*) from actions where name = 'input_text'") == [(3,)]


def test_an_unknown_task(shop: Shop) -> None:
    """W02: a task that is not there ends the batch before it has asked for many rows."""
    shop.write(model="webagent:99")
    summary = shop.run()
    assert summary.outcome.exit_code == Outcome.REFUSED.exit_code
    assert "404 Task with ID 99 not found" in str(summary.reason)


@pytest.mark.parametrize(
    ("model", "parameters", "told"),
    [
        ("webagent:shop", "", "must be the id of a task there, which is a whole number such as 7"),
        ("webagent:1", "use_cached_workfow: true", "Did you mean use_cached_workflow?"),
        ("webagent:1", "session_timeout: 60", "is known to the edition cloud only"),
        ("webagent_cloud:ab", "marker: true", "is known to the edition self_hosted only"),
        ("webagent:1", "provider: ollama", "must be one of openai, deepseek"),
    ],
)
def test_what_is_told_before_the_first_call(shop: Shop, model: str, parameters: str, told: str) -> None:
    """W02, W03, W06, W12: a job that cannot be asked is refused, and nothing is begun."""
    shop.write(model=model, parameters=parameters)
    with pytest.raises(Mistake, match=told):
        shop.run()
    assert shop.server.stats()["started"] == 0


def test_the_cloud(shop: Shop) -> None:
    """W01, W02: the other edition is another provider; its key is in no file."""
    task = shop.server.task(edition="cloud", prompt="Own")
    shop.write(model=f"webagent_cloud:{task}", output=SCHEMA)
    assert shop.run(key=KEY, lat=20).completed == 3
    assert shop.sql("select distinct remote_run ->> 'task_id' from attempts") == [(task,)]
    refused = Shop(shop.folder, shop.server)
    refused.write(model=f"webagent_cloud:{task}", output="text")
    assert refused.run(key="another").outcome.exit_code == Outcome.REFUSED.exit_code
    for file in shop.folder.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_a_forced_run_is_another_one(shop: Shop) -> None:
    """W13: rows that are asked again have new runs; none is taken for one that was lost."""
    shop.write(parameters=f"marker: true, {WAITING}")
    shop.run()
    setup = shop.setup(e_reset=1, first=2)
    summary = anyio.run(lambda: run_batch(setup, options=Options(force=True)))
    assert summary.completed == 3
    assert shop.server.stats()["started"] == 6
