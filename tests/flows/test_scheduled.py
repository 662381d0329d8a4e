"""Schedules, crashes and money, with a real server and a real worker: minutes; `make scheduled`."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from tests.flows.conftest import running_child
from tests.flows.jobs import write_job
from tests.flows.processes import ROOT, left_over, program, soon

pytestmark = [pytest.mark.prefect, pytest.mark.scheduled, pytest.mark.timeout(900)]

IN_FLIGHT = 4
PATIENCE = 240  # seconds, on a machine that does other things as well


def rowmill(*arguments: str | Path, env) -> dict[str, object]:
    """What a command prints with --json."""
    done = subprocess.run(
        [sys.executable, "-m", "tasks_lib.cli", *arguments, "--json"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@contextmanager
def worker(pool: str, *, env, log: Path, mark: str) -> Iterator[None]:
    """A worker of a work pool, whose processes can be found by a mark in their environment."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    with program(command, env={**env, "PREFECT_WORKER_QUERY_SECONDS": "1", "MARK": mark}, log=log):
        yield


def kill_all(mark: str) -> None:
    """What is left when the power fails: nothing."""
    found = left_over(mark)
    assert len(found) >= 2, "the worker and the flow run's process"
    for process in found:
        os.kill(process, signal.SIGKILL)


def put(folder: Path, name: str, rows: dict[int, str]) -> None:
    """A file of the folder, whole or not at all."""
    lines = [f'{number},"row_id={number}-{version} and, so on",acme' for number, version in rows.items()]
    aside = folder.parent / name
    aside.write_text("\n".join(["id,text,customer", *lines]) + "\n")
    aside.rename(folder / name)


def grown(api, run) -> dict[str, int]:
    """Which rows a flow run says that it has asked, by why."""
    table = api.table(api.artifacts(run["id"])["rowmill-echo-grown"])
    return {row["rows"]: row["count"] for row in table if row["count"]}


def run_that_says(api, job: Path, text: str, *, within: float = PATIENCE):
    """The flow run of a job whose end says so; there will be one."""
    found: list[dict[str, object]] = []

    def is_there() -> bool:
        ended = [run for run in api.flow_runs_with(str(job)) if run["state_type"] == "COMPLETED"]
        found[:] = [run for run in ended if api.by_id(run["id"])["state"]["message"].startswith(text)]
        return bool(found)

    soon(is_there, within=within)
    return found[0]


def test_a_schedule_over_a_growing_folder(tmp_path, llm, prefect):
    """Each firing asks what is new or changed and says so; a machine that dies loses nothing."""
    llm.reset()
    api, inbox = prefect.api, tmp_path / "inbox"
    inbox.mkdir()
    first = dict.fromkeys(range(1, 21), "a")
    put(inbox, "1.csv", first)
    job = write_job(
        tmp_path,
        base_url=llm.base_url(lat=60),
        in_flight=IN_FLIGHT,
        more={"source": {"path": "inbox/", "key": "id"}},
    ).path
    name, mark = "growing", f"growing-{tmp_path.name}-{os.getpid()}"
    with worker("growing", env=prefect.env, log=tmp_path / "worker-1.log", mark=mark):
        rowmill("deploy", job, "--every", "20s", "--name", name, "--pool", "growing", env=prefect.env)
        one = run_that_says(api, job, "20 of 20 rows answered")
        assert grown(api, one) == {"new": 20}

        put(inbox, "1.csv", {**first, 3: "b", 4: "b", 5: "b"})
        put(inbox, "2.csv", dict.fromkeys(range(21, 31), "a"))
        two = run_that_says(api, job, "13 of 30 rows answered, 17 left as they were")
        assert grown(api, two) == {"new": 10, "changed": 3}
        three = run_that_says(api, job, "Nothing to do: all 30 rows were answered before")
        assert "rowmill-echo-grown" not in api.artifacts(three["id"]) or grown(api, three) == {}
        assert llm.stats()["recv"] == 33

        put(inbox, "3.csv", dict.fromkeys(range(31, 531), "a"))
        soon(lambda: llm.stats()["recv"] > 33 + 60, within=PATIENCE)
        (dead,) = [run for run in api.flow_runs_with(str(job)) if run["state_name"] == "Running"]
        kill_all(mark)
    with worker("growing", env=prefect.env, log=tmp_path / "worker-2.log", mark=mark):
        soon(lambda: answered(tmp_path / "ledger.duckdb") == 530, within=PATIENCE)
        soon(lambda: api.by_id(dead["id"])["state_type"] in {"CRASHED", "COMPLETED"}, within=PATIENCE)
        api.pause_schedules(api.deployment(f"enrich/{name}"))
    asked = llm.rows()
    assert len(asked) == 533
    assert sum(received - 1 for received, _, _ in asked.values()) <= IN_FLIGHT
    table = [
        grown(api, run)
        for run in api.flow_runs_with(str(job))  # ended or, by mistake, on its way to say so once more
        if "rowmill-echo-grown" in api.artifacts(run["id"])
    ]
    assert sum(one.get("changed", 0) for one in table) == 3


def answered(ledger: Path) -> int:
    """Rows that have an answer; none while a batch has the ledger."""
    try:
        with duckdb.connect(str(ledger), read_only=True) as connection:
            ((found,),) = connection.execute(
                "select count(distinct row_key) from task_runs where status = 'completed'"
            ).fetchall()
    except duckdb.Error:
        return 0
    return int(found)


def priced_job(folder: Path, *, base_url: str, rows: int, max_cost: float) -> Path:
    """A job whose calls cost a tenth of a dollar each."""
    limits = {"max_cost": max_cost, "in_flight": IN_FLIGHT}
    files = write_job(folder, base_url=base_url, rows=rows, more={"limits": limits})
    (folder / "providers.yaml").write_text(json.dumps({"loopback": {"base_url": base_url}}))
    (folder / "prices.yaml").write_text(json.dumps({"loopback:*": {"input": 0, "output": 0, "request": 0.1}}))
    return files.path


def spent(ledger: Path) -> Decimal:
    with duckdb.connect(str(ledger), read_only=True) as connection:
        ((found,),) = connection.execute("select sum(cost) from attempts").fetchall()
    return Decimal(found)


def test_a_machine_that_dies_is_followed_by_another(tmp_path, llm, prefect):
    """Without a further firing the same flow run is run again, goes on, and keeps its one money limit.

    First its process is killed and the worker lives, and then both.
    """
    llm.reset()
    api = prefect.api
    job = priced_job(tmp_path, base_url=llm.base_url(lat=150), rows=120, max_cost=9.0)
    mark = f"dying-{tmp_path.name}-{os.getpid()}"
    with worker("dying", env=prefect.env, log=tmp_path / "worker-1.log", mark=mark):
        rowmill(
            "deploy", job, "--name", "dying", "--pool", "dying", "--on-money-limit", "stop", env=prefect.env
        )
        run = api.run_deployment(api.deployment("enrich/dying"), {})
        soon(lambda: llm.stats()["recv"] > 20, within=PATIENCE)
        for process in left_over_flows(mark):
            os.kill(process, signal.SIGKILL)
        soon(lambda: llm.stats()["recv"] > 50, within=PATIENCE)
        kill_all(mark)
    with worker("dying", env=prefect.env, log=tmp_path / "worker-2.log", mark=mark):
        ended = api.wait_for_end_as(run, {"StoppedByLimit"}, within=2 * PATIENCE)
    assert api.states(run).count("AfterCrash") >= 2, api.states(run)  # a worker may report a crash twice
    assert "the limit of $" in ended["state"]["message"]
    assert Decimal("8.5") < spent(tmp_path / "ledger.duckdb") <= 9
    assert llm.stats()["recv"] <= 90 + 2 * IN_FLIGHT  # what was under way at a kill nobody knows of
    rows = llm.rows()
    assert sum(received - 1 for received, _, _ in rows.values()) <= 2 * IN_FLIGHT


def test_spent_money_is_asked_for_and_given(tmp_path, llm, prefect):
    """A limit suspends the flow run; what is given in Prefect lets a new process go on, and counts once."""
    llm.reset()
    api = prefect.api
    job = priced_job(tmp_path, base_url=llm.base_url(), rows=40, max_cost=1.0)
    mark = f"asking-{tmp_path.name}-{os.getpid()}"
    with worker("asking", env=prefect.env, log=tmp_path / "worker.log", mark=mark):
        rowmill("deploy", job, "--name", "asking", "--pool", "asking", env=prefect.env)
        (tmp_path / "taken").write_text("a file, where no report can be written")
        run = api.run_deployment(api.deployment("enrich/asking"), {"report_folder": str(tmp_path / "taken")})
        paused = api.wait_for_state(run, {"PAUSED"}, within=PATIENCE)
        assert paused["state_name"] == "Suspended"
        soon(lambda: not left_over_flows(mark), within=60)  # nobody waits and nobody holds the ledger
        assert spent(tmp_path / "ledger.duckdb") == 1
        told_alike(api, run, job, env=prefect.env)
        soon(lambda: "rowmill.batch.action-required" in api.events(run), within=60)

        assert api.resume(run, {"dollars_more": -3})["status"] == "REJECT"
        assert api.resume(run, {"dollars_more": 1.5})["status"] == "ACCEPT"
        api.wait_for_state(run, {"RUNNING"}, within=PATIENCE)
        api.wait_for_state(run, {"PAUSED"}, within=PATIENCE)
        assert spent(tmp_path / "ledger.duckdb") == Decimal("2.5")
        assert api.resume(run, {"dollars_more": 100})["status"] == "ACCEPT"
        ended = api.wait_for_end(run, within=PATIENCE)
        assert ended["state_name"] == "Completed"
        assert ended["state"]["message"] == "15 of 40 rows answered, 25 left as they were"
        assert llm.stats()["recv"] == 40

        assert len(status_of(tmp_path / "ledger.duckdb")) == 3
        api.take_for_dead(run)
        soon(lambda: api.states(run).count("Completed") == 2, within=PATIENCE)
        assert api.by_id(run)["state"]["message"] == ended["state"]["message"]
        assert len(status_of(tmp_path / "ledger.duckdb")) == 3  # it has begun none

        other = priced_job(tmp_path / "other", base_url=llm.base_url(), rows=20, max_cost=1.0)
        run = api.run_deployment(api.deployment("enrich/asking"), {"job": str(other)})
        api.wait_for_state(run, {"PAUSED"}, within=PATIENCE)
        api.cancel(run)
        assert api.wait_for_end(run, within=60)["state_type"] == "CANCELLED"


def test_a_server_that_stops_answering_holds_up_no_batch(tmp_path, llm, prefect):
    """A Prefect server that hangs half-way costs neither a row nor the end of the batch, which says so."""
    llm.reset()
    job = write_job(tmp_path, base_url=llm.base_url(lat=100), rows=300, in_flight=IN_FLIGHT)
    with running_child({"way": "flow", "job": str(job.path)}, env=prefect.env, within=600) as results:
        soon(lambda: llm.stats()["recv"] > 20, within=PATIENCE)
        os.killpg(prefect.group, signal.SIGSTOP)
        try:
            soon(lambda: status_of(job.ledger) == [("completed", 300)], within=PATIENCE)
            (result,) = results()
        finally:
            os.killpg(prefect.group, signal.SIGCONT)
    assert (result["summary"]["outcome"], result["summary"]["completed"]) == ("completed", 300)
    assert "Prefect failed when the batch was over" in result["said"][-1]
    assert llm.stats()["recv"] == 300


def test_runs_of_a_ledger_take_turns(tmp_path, llm, prefect):
    """While one runs, a second run waits for the ledger, and a third one knows that the second does."""
    llm.reset()
    api = prefect.api
    job = write_job(tmp_path, base_url=llm.base_url(lat=100), rows=2_000, in_flight=IN_FLIGHT).path
    mark = f"turns-{tmp_path.name}-{os.getpid()}"
    with worker("turns", env=prefect.env, log=tmp_path / "worker.log", mark=mark):
        rowmill("deploy", job, "--name", "turns", "--pool", "turns", env=prefect.env)
        deployment = api.deployment("enrich/turns")
        first = api.run_deployment(deployment, {})
        soon(lambda: llm.stats()["recv"] > 20, within=PATIENCE)
        second = api.run_deployment(deployment, {})
        api.wait_for_end_as(second, {"WaitingForLedger"}, within=PATIENCE)
        third = api.wait_for_end(api.run_deployment(deployment, {}), within=PATIENCE)
        assert (third["state_type"], third["state_name"]) == ("CANCELLED", "Skipped")
        api.cancel(first)
        assert api.wait_for_end(first, within=PATIENCE)["state_type"] == "CANCELLED"
        api.wait_for_end_as(second, {"Running"}, within=PATIENCE)  # it is its turn
        asked = llm.stats()["recv"]
        soon(lambda: llm.stats()["recv"] > asked + 20, within=PATIENCE)
        api.cancel(second)
        assert api.wait_for_end(second, within=PATIENCE)["state_type"] == "CANCELLED"
    rows = llm.rows()
    assert all(received == 1 for received, _, _ in rows.values())


def status_of(ledger: Path) -> list[tuple[object, ...]]:
    """How the batches of a ledger ended; nothing while one has it."""
    try:
        with duckdb.connect(str(ledger), read_only=True) as connection:
            return connection.execute("select status, completed from batches").fetchall()
    except duckdb.Error:
        return []


def told_alike(api, run: str, job: Path, *, env) -> None:
    """The ledger, the command, the artifacts and the event say the same of a batch whose money is spent."""
    (batch,) = rowmill("status", job, env=env)
    assert batch["status"] == "stopped"
    assert re.fullmatch(r"the limit of \$1(\.0)? does not hold another call", batch["reason"])
    artifacts = api.artifacts(run)
    counts = {row["rows"]: row["count"] for row in api.table(artifacts["rowmill-echo-rows"])}
    assert counts == {"answered": 10, "failed": 0, "left as they were": 0, "not asked": 30, "all": 40}
    assert (batch["completed"], batch["failed"], batch["cancelled"]) == (10, 0, 30)
    assert batch["reason"] in artifacts["rowmill-echo-summary"]["description"]


def left_over_flows(mark: str) -> list[int]:
    """The processes of flow runs, and not that of the worker."""
    found = []
    for process in left_over(mark):
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if b"worker" not in command:
            found.append(process)
    return found
