"""Jobs whose rows are runs of Rightbrain's tasks, from file to ledger, against the loopback server."""

import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import httpx
import orjson
import pytest
from pypdf import PdfReader

from tasks_lib.configs import Environment
from tasks_lib.domain.mistake import Mistake
from tasks_lib.job.batch import run_batch
from tasks_lib.job.setup import Setup, load_setup
from tasks_lib.job.tally import Outcome, Summary
from tasks_lib.ledger import open_ledger
from tasks_lib.ledger.record import TaskRunRecord, record_of
from tests.llmserver.media import png
from tests.rightbrainserver import Server, running_server
from tests.rightbrainserver.tasks import ORG, PROJECT, made_id

KEY = "rb-secret-key"
SECRET = "s3cret-of-the-client"  # noqa: S105  # pretended
SCHEMA = "{schema: {type: object, properties: {row_id: {type: string}}, required: [row_id]}}"
TASK = """\
task: judged
output: {output}
user_prompt: "row_id: {{{{row_id}}}} {{{{text}}}}"
model: rightbrain:{model}
parameters: {{{parameters}}}
{more}
"""
JOB = """\
job: judged
task: task.yaml
source: {{path: rows.csv, key: row_id}}
reporting_group: "team {{{{team}}}}"
context_id: talk-{{{{team}}}}
retries: {{transient: {transient}, rate_limited: 2, content: 1, wait_initial: 0.01, wait_max: 0.02}}
ledger: ledger.duckdb
{more}
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.config(clear=1, client_secret=SECRET)
    running.forget()
    running.reset()
    return running


class Desk:
    """A job's folder; what it asks for is `rows` rows, r0 and on."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.provider("")
        self.write()

    def provider(self, told: str) -> None:
        """What the user's file says of the account."""
        text = f"rightbrain: {{oauth_url: '{self.server.token_url()}', {told}}}\n"
        (self.folder / "providers.yaml").write_text(text, "utf-8")

    def write(
        self,
        *,
        task: str = "Demo json",
        output: str = SCHEMA,
        rows: int = 6,
        parameters: str = "",
        transient: int = 3,
        more: str = "",
        more_of_job: str = "",
    ) -> None:
        """The task, the job and its rows."""
        told = TASK.format(model=made_id(task), output=output, parameters=parameters, more=more)
        (self.folder / "task.yaml").write_text(told, "utf-8")
        (self.folder / "job.yaml").write_text(JOB.format(transient=transient, more=more_of_job), "utf-8")
        lines = "".join(f"r{number},words {number},{'ab'[number % 2]}\n" for number in range(rows))
        (self.folder / "rows.csv").write_text(f"row_id,text,team\n{lines}", "utf-8")

    def setup(self, *, client: bool = False, **settings: float | str) -> Setup:
        """The job, with a server that behaves so."""
        variables = self.variables(client=client, **settings)
        return load_setup(self.folder / "job.yaml", environment=Environment.of(variables, user="ada"))

    def variables(self, *, client: bool = False, **settings: float | str) -> dict[str, str]:
        """What the environment says of the account."""
        return {
            "RIGHTBRAIN_BASE_URL": self.server.base_url(**settings),
            "RB_ORG_ID": ORG,
            "RB_PROJECT_ID": PROJECT,
            **({"RB_CLIENT_ID": "rowmill", "RB_CLIENT_SECRET": SECRET} if client else {"RB_API_KEY": KEY}),
        }

    def run(self, *, client: bool = False, **settings: float | str) -> Summary:
        """Run it."""
        setup = self.setup(client=client, **settings)
        return anyio.run(lambda: run_batch(setup))

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What the ledger says."""
        with open_ledger(self.folder / "ledger.duckdb", read_only=True) as ledger:
            return ledger.cursor().execute(query).fetchall()

    def records(self) -> list[TaskRunRecord]:
        """Every run's record."""
        ids = [one for (one,) in self.sql("select id::varchar from task_runs order by row_number")]
        with open_ledger(self.folder / "ledger.duckdb", read_only=True) as ledger:
            return [record_of(ledger.show(one)) for one in ids]

    def made(self) -> dict[str, list[str]]:
        """The runs that exist there, by reference."""
        made: dict[str, list[str]] = {}
        for run in self.server.runs():
            made.setdefault(run["reference"], []).append(run["id"])
        return made


@pytest.fixture
def desk(tmp_path: Path, server: Server) -> Desk:
    return Desk(tmp_path, server)


def told(server: Server, run_id: str, task: str = "Demo json") -> dict[str, Any]:
    """A run as the server tells it."""
    url = f"{server.base_url()}{server.task_path(task)}/run/{run_id}"
    answer = httpx.get(url, headers={"authorization": f"Bearer {KEY}"}, trust_env=False)
    record: dict[str, Any] = answer.json()
    return record


def test_r05_the_ledger_knows_what_the_server_tells(desk: Desk) -> None:
    """R05, R21, R32, R34, R37, R38, R39, R40, R43, R44, R49, R50: field by field, for every row."""
    desk.provider("dollars_per_credit: 0.02")
    summary = desk.run(llm_retries=2, credits="0.75")
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 6)
    records = desk.records()
    remote = desk.sql(
        "select remote_id, remote_run::varchar from attempts join task_runs on task_runs.id = task_run_id "
        "order by row_number"
    )
    for ours, (run_id, kept) in zip(records, remote, strict=True):
        theirs = told(desk.server, run_id)
        assert ours.response == theirs["response"]
        assert (ours.input_tokens, ours.output_tokens) == (theirs["input_tokens"], theirs["output_tokens"])
        assert ours.total_tokens == theirs["total_tokens"]
        assert (ours.llm_call_timing, ours.llm_retries) == (theirs["llm_call_timing"], 2)
        assert ours.charged_credits is not None
        assert Decimal(ours.charged_credits) == Decimal("0.75")
        assert (ours.is_error, ours.used_fallback_model) == (False, False)
        assert (ours.reference, ours.context_id) == (theirs["reference"], theirs["context_id"])
        assert ours.reporting_group is not None
        assert ours.reporting_group.name == theirs["reporting_group"]["name"]
        assert ours.run_data["submitted"] == theirs["run_data"]["submitted"]
        assert (ours.cost, ours.cost_source) == (Decimal("0.015"), "reported")
        whole = orjson.loads(kept)
        assert whole["task_id"] == theirs["task_id"]
        assert whole["task_revision_id"] == theirs["task_revision_id"]
        named = {"id", "response", "is_error"}
        assert {**whole, **whole["further"]}.keys() >= {
            name for name, value in theirs.items() if name not in named and value is not None
        }
        assert all(theirs[name] == value for name, value in whole["further"].items())


def test_what_a_credit_costs_is_unknown_unless_it_is_told(desk: Desk) -> None:
    """R40: the credits are there, and no dollars are made up."""
    desk.run()
    assert {(one.cost, one.cost_source, one.charged_credits) for one in desk.records()} == {
        (None, "unknown", "1")
    }


def test_r25_credits_by_reporting_group(desk: Desk) -> None:
    """R25, R31, R40: the reports add up what was charged."""
    desk.provider("dollars_per_credit: 2")
    desk.run(credits="0.50")
    found = desk.sql("select reporting_group, cost from cost_by_reporting_group order by 1")
    assert found == [("team a", Decimal(3)), ("team b", Decimal(3))]


def test_answers_that_are_lost_are_found_by_their_references(desk: Desk) -> None:
    """R17, R49: connections are cut after the runs were made; each is found, and none is made twice."""
    desk.provider("dollars_per_credit: 0.02")
    desk.write(rows=24)
    summary = desk.run(e_reset_late=0.5, det=1, first=1)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 24)
    made = desk.made()
    assert made.keys() == {f"r{number}" for number in range(24)}
    assert {len(ids) for ids in made.values()} == {1}
    stats = desk.server.stats()
    assert (stats["started"], stats["started_more_than_once"]) == (24, 0)
    assert stats["calls"]["LIST runs"] > 3, "some were lost"
    remote = desk.sql(
        "select row_key, arg_max(remote_id, number) from attempts "
        "join task_runs on task_runs.id = task_run_id group by row_key"
    )
    assert {key: [run_id] for key, run_id in remote} == made
    assert {(one.cost, one.cost_source) for one in desk.records()} == {(Decimal("0.02"), "reported")}


@pytest.mark.parametrize("trouble", ["e_trunc", "e_malformed", "e_garbage"])
def test_answers_that_come_spoilt_are_found(desk: Desk, trouble: str) -> None:
    """R17, R57: cut short, no JSON, no HTTP: the runs are there, and none is made twice."""
    desk.server.config(**{trouble: 1.0, "first": 1})
    summary = desk.run()
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 6)
    assert {len(ids) for ids in desk.made().values()} == {1}
    assert desk.server.stats()["started"] == 6


def test_runs_behind_a_gateway_that_gives_up_are_found(desk: Desk) -> None:
    """R57: a 504 comes while the run goes on; it is looked for until it is listed."""
    desk.write(rows=2)
    summary = desk.run(gateway_s=0.05, lat=600, sigma=0)
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 2)
    assert {len(ids) for ids in desk.made().values()} == {1}


def test_what_one_batch_lost_the_next_one_finds(desk: Desk) -> None:
    """R17: rows failed, and their runs had been made and charged; run again, nothing is made."""
    desk.write(transient=0)
    first = desk.run(e_reset_late=1.0)
    assert (first.completed, first.failed) == (0, 6)
    assert desk.server.stats()["started"] == 6
    again = desk.run()
    assert (again.outcome, again.completed) == (Outcome.COMPLETED, 6)
    assert desk.server.stats()["started"] == 6
    assert desk.made().keys() == {f"r{number}" for number in range(6)}
    assert desk.run().skipped == 6


def test_a_process_that_is_killed_pays_for_nothing_twice(desk: Desk) -> None:
    """R17: eight runs are under way when it dies, and end without it; the next batch finds each of them."""
    desk.write(rows=20)
    variables = {
        **os.environ,
        **desk.variables(lat=700, sigma=0),
        "XDG_STATE_HOME": str(desk.folder / "state"),
    }
    command = [sys.executable, "-m", "tasks_lib.cli", "run", str(desk.folder / "job.yaml"), "--json"]
    child = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: desk.server.stats()["started"] >= 12)
    finally:
        child.kill()
        child.wait()
    again = desk.run()
    assert again.outcome is Outcome.COMPLETED
    assert again.completed + again.skipped == 20
    stats = desk.server.stats()
    assert (stats["started"], stats["started_more_than_once"]) == (20, 0)
    assert stats["calls"]["GET run"] >= 1, "some were found"


def eventually(true: Callable[[], bool]) -> None:
    """Fail unless it comes true within a minute."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def test_a_row_that_is_asked_again_is_named_apart(desk: Desk) -> None:
    """R17, R42: its first run failed; the second one's reference ends with a mark."""
    desk.write(rows=2)
    first = desk.run(is_error=1.0)
    assert (first.failed, desk.server.stats()["started"]) == (2, 2)
    kinds = desk.sql("select distinct failure_kind from attempts")
    assert kinds == [("run_failed",)], "and it is not asked again at once, since it was charged"
    assert {(one.charged_credits, one.is_error) for one in desk.records()} == {("1", True)}
    again = desk.run()
    assert again.completed == 2
    assert sorted(name.partition("#")[0] for name in desk.made()) == ["r0", "r0", "r1", "r1"]


def test_a_primary_that_fails_is_told_with_its_fallback(desk: Desk) -> None:
    """R23, R44, R45, R46: automatic there, and by wish with a parameter."""
    desk.server.task(
        name="With spare", user_prompt="{{row_id}} {{text}}", fallback=True, output_format={"row_id": "str"}
    )
    desk.write(task="With spare")
    desk.run(primary_fails=1.0)
    for one in desk.records():
        assert (one.used_fallback_model, one.is_error) == (True, False)
        assert one.primary_failure_reason == "rate_limit: the primary model is overloaded"
    desk.write(task="With spare", parameters="use_fallback_model: true")
    desk.run()
    told_of = desk.sql(
        "select remote_run ->> 'used_fallback_model', remote_run ->> 'primary_failure_reason' from attempts "
        "order by started_at desc limit 6"
    )
    assert told_of == [("true", None)] * 6


def test_r10_a_fallback_that_there_is_not_ends_the_batch(desk: Desk) -> None:
    """R10: no row could do better; runs are begun for none."""
    desk.write(task="Demo text", output="text", parameters="use_fallback_model: true", rows=40)
    summary = desk.run()
    assert summary.completed == 0
    assert summary.outcome is not Outcome.COMPLETED_WITH_FAILURES
    assert desk.server.stats()["started"] == 0
    assert desk.server.stats()["calls"]["POST run"] <= 8


def test_r06_r07_revisions_there_are_pinned_or_chosen(desk: Desk) -> None:
    """R06, R07, R08: by tag as by id; else by traffic weight, and the ledger tells which."""
    task = next(
        one
        for one in httpx.get(
            f"{desk.server.base_url()}/org/{ORG}/project/{PROJECT}/task",
            headers={"authorization": f"Bearer {KEY}"},
            trust_env=False,
        ).json()["results"]
        if one["name"] == "Demo weights"
    )
    old = next(one["id"] for one in task["revisions"] if one["tags"] and one["tags"][0]["name"] == "old")
    for parameters in ("revision_tag: old", f"revision_id: {old}"):
        desk.write(task="Demo weights", parameters=parameters)
        desk.run()
        assert {run["task_revision_id"] for run in desk.server.runs()} == {old}
        found = desk.sql("select distinct remote_run ->> 'task_revision_id' from attempts")
        assert found == [(old,)]
    desk.server.forget()
    desk.write(task="Demo weights", rows=40)
    desk.run(det=1)
    shares = Counter(run["task_revision_id"] for run in desk.server.runs())
    assert len(shares) == 2
    assert old not in shares


@pytest.mark.parametrize(
    ("task", "output", "kind"),
    [
        ("Demo image", "image", "image/png"),
        ("Demo audio", "audio", "audio/wav"),
        ("Demo pdf", "pdf", "application/pdf"),
        ("Demo csv", "csv", "text/csv"),
    ],
)
def test_r19_files_are_fetched_and_kept(desk: Desk, task: str, output: str, kind: str) -> None:
    """R19, R27, R41: as the API made them, with what their bytes show; a csv is rows, too."""
    desk.write(task=task, output=output, rows=3)
    summary = desk.run()
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 3)
    for one in desk.records():
        assert one.files is not None
        (file,) = one.files
        assert file.content_type == kind
        assert file.download_url is not None
        content = (desk.folder / file.download_url).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256
        if output == "pdf":
            assert f"row {one.row_key}" in PdfReader(BytesIO(content)).pages[0].extract_text()
        if output == "csv":
            assert f"{one.row_key},plain" in content.decode()


def test_a_file_that_is_not_what_it_says_is_no_answer(desk: Desk) -> None:
    """R19: a page of HTML in a picture's place is asked for again, and fails its row."""
    desk.write(task="Demo pdf", output="pdf", rows=2)
    summary = desk.run(bad_file=1.0, first=1)
    assert summary.completed == 2
    assert desk.sql("select distinct failure_kind from attempts where failure_kind is not null") == [
        ("invalid_output",)
    ]
    assert desk.server.stats()["started"] == 4


def test_a_file_that_cannot_be_had_at_once_costs_no_second_run(desk: Desk) -> None:
    """R27: readings fail half of the time, and the runs are taken up by their ids."""
    desk.write(task="Demo image", output="image", rows=4, transient=8)
    summary = desk.run(read_fails=0.5, seed=1)
    assert summary.completed == 4
    assert {len(ids) for ids in desk.made().values()} == {1}


def test_r15_files_go_with_a_run(desk: Desk) -> None:
    """R15, R16, R22: a column of paths becomes task_files."""
    desk.write(task="Demo picture", more="file_input_mode: image", more_of_job="files: [picture]")
    (desk.folder / "a.png").write_bytes(png("a"))
    (desk.folder / "rows.csv").write_text("row_id,text,team,picture\nr0,words,a,a.png\n", "utf-8")
    summary = desk.run()
    assert (summary.outcome, summary.completed) == (Outcome.COMPLETED, 1)
    (run,) = desk.server.runs()
    (sent,) = told(desk.server, run["id"], "Demo picture")["files"]
    assert (sent["original_filename"], sent["size_bytes"]) == ("a.png", len(png("a")))


def test_r01_tokens_are_had_once_and_again_when_they_are_revoked(desk: Desk) -> None:
    """R01: a client's rows share a token; each is revoked after some calls, and no row notices."""
    desk.write(rows=60)
    summary = desk.run(client=True)
    assert summary.completed == 60
    assert desk.server.stats()["calls"]["POST token"] == 1
    desk.server.reset()
    desk.write(rows=120)
    summary = desk.run(client=True, token_uses=20)
    assert (summary.completed, summary.skipped) == (60, 60)
    calls = desk.server.stats()["calls"]
    assert 3 <= calls["POST token"] <= 9
    assert desk.server.stats()["started"] == 60


def test_r01_no_secret_is_written_anywhere(desk: Desk) -> None:
    """R01: neither key nor client's secret nor token is in any file of the job, whatever failed."""
    desk.run(client=True, e400=0.5, det=1)
    desk.run(key="another")
    for path in desk.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (KEY.encode(), b"ory_at_", SECRET.encode(), b"Bearer "):
                assert secret not in content, path.name


def test_a_client_that_is_refused_ends_the_batch(desk: Desk) -> None:
    """R01, R56: with the names of the variables that hold it."""
    desk.server.config(client_secret="another")  # noqa: S106  # pretended
    summary = desk.run(client=True)
    assert (summary.completed, summary.outcome.exit_code) == (0, 4)
    assert "RB_CLIENT_ID and RB_CLIENT_SECRET" in str(summary.reason)
    assert desk.server.stats()["started"] == 0


def test_r56_a_key_that_is_refused_ends_the_batch(desk: Desk) -> None:
    """R01, R56: after the first row."""
    summary = desk.run(key="another")
    assert (summary.completed, summary.outcome.exit_code) == (0, 4)


def test_r55_a_task_that_there_is_not_ends_the_batch(desk: Desk) -> None:
    """R04, R55: it is told with its reason."""
    desk.write(task="Nobody made it")
    summary = desk.run()
    assert (summary.completed, summary.outcome.exit_code) == (0, 4)
    assert "TASK_NOT_FOUND" in str(summary.reason)


def test_r53_r02_what_is_no_uuid_is_told_before_any_call(desk: Desk) -> None:
    """R02, R03, R04, R53: of the task, with its place."""
    text = (desk.folder / "task.yaml").read_text("utf-8").replace(made_id("Demo json"), "demo-json")
    (desk.folder / "task.yaml").write_text(text, "utf-8")
    with pytest.raises(Mistake, match=r"task\.yaml:4:.*must be the id of a task there, which is a UUID"):
        desk.setup()
    assert desk.server.stats()["calls"] == {}


def test_r54_a_row_that_is_refused_fails_alone(desk: Desk) -> None:
    """R54: its input lacks what the task wants."""
    desk.server.task(
        name="Wants more", user_prompt="{{row_id}} {{text}} {{language}}", output_format={"row_id": "str"}
    )
    desk.write(task="Wants more", rows=2)
    summary = desk.run()
    assert (summary.failed, summary.outcome.exit_code) == (2, 1)
    assert "MISSING_TASK_INPUT" in desk.sql("select distinct error from task_runs")[0][0]


def test_r57_a_429_makes_all_rows_wait(desk: Desk) -> None:
    """R57: as long as it says; and nothing is made twice."""
    desk.write(rows=12)
    summary = desk.run(e429=0.3, det=1, first=1, ra=0.05, ra_mode="ms")
    assert summary.completed == 12
    assert {len(ids) for ids in desk.made().values()} == {1}


def test_ids_are_uuids(desk: Desk) -> None:
    """R32, R35: those of the ledger, and those of the runs there."""
    desk.write(rows=1)
    desk.run()
    (one,) = desk.records()
    assert isinstance(one.id, UUID)
    ((remote_id,),) = desk.sql("select remote_id from attempts")
    assert str(UUID(remote_id)) == remote_id


def test_the_built_in_account_waits_for_an_answer_that_takes_its_time(desk: Desk) -> None:
    """R01, R02, R03: a call answers when its run has ended; few are made at once; variables hold the ids."""
    account = desk.setup().providers["rightbrain"]
    assert (account.key, account.timeouts.total, account.limits.in_flight) == ("RB_API_KEY", 300, 8)
    assert account.hosted is not None
    assert (account.hosted.org_id, account.hosted.project_id) == (ORG, PROJECT)
