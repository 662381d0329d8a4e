"""The deployments of flows/prefect.yaml, run by a worker."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from tests.flows.jobs import ROWS, write_job
from tests.flows.processes import ROOT, left_over, program, soon

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(300)]  # servers start slowly on a busy machine


KEY = "sk-test-in-a-block-0123456789"  # must never be seen again


def prefect_command(*arguments: str, env) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def seen_of_processes(mark: str) -> str:
    """Arguments and environment of the worker, and of all that it has started."""
    told = []
    for process in left_over(mark):
        with suppress(OSError):  # it has ended
            told += [Path(f"/proc/{process}/{name}").read_bytes() for name in ("cmdline", "environ")]
    return b" ".join(told).decode("utf-8", "replace")


def test_a_worker_runs_cancels_and_reports(tmp_path, llm, prefect):
    """Deployed from its file, the nightly job runs, is cancelled without loss, and is reported on.

    The key that lies in a Secret block is in nothing that anybody may look at, then or afterwards.
    """
    llm.reset()
    api = prefect.api
    good = write_job(tmp_path / "good", base_url=llm.base_url(auth=1))
    account = {"base_url": llm.base_url(auth=1), "key": "WORKER_TEST_KEY", "free": True}
    (tmp_path / "good" / "providers.yaml").write_text(json.dumps({"loopback": account}))
    api.save_secret("worker-test-key", KEY)
    slow = write_job(tmp_path / "slow", base_url=llm.base_url(lat=100, auth=1), rows=2_000, in_flight=4)
    account = {**account, "base_url": llm.base_url(lat=100, auth=1), "limits": {"in_flight": 4}}
    (tmp_path / "slow" / "providers.yaml").write_text(json.dumps({"loopback": account}))
    mark = f"deployed-{tmp_path.name}-{os.getpid()}"
    env = {
        **prefect.env,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "MARK": mark,
    }
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "rowmill", "--type", "process"]
    with program(command, env=env, log=tmp_path / "worker.log"):
        soon(lambda: api.exists("/work_pools/rowmill"), within=60)
        prefect_command("deploy", "--all", "--prefect-file", "flows/prefect.yaml", env=env)
        nightly, morning = api.deployment("enrich/nightly"), api.deployment("report/morning-report")
        assert [one["schedule"]["cron"] for one in nightly["schedules"]] == ["30 2 * * *"]
        assert nightly["global_concurrency_limit"] is None  # the ledger's lock does more

        run = api.run_deployment(nightly, {"job": str(good.path), "report_folder": str(tmp_path / "after")})
        ended = api.wait_for_end(run, within=90)
        assert (ended["state_name"], ended["state"]["message"]) == (
            "Completed",
            f"{ROWS} of {ROWS} rows answered",
        )
        soon(lambda: set(api.events(run)) >= {"rowmill.batch.begun", "rowmill.batch.completed"}, within=30)
        completed = api.events(run)["rowmill.batch.completed"]
        assert completed["payload"]["completed"] == ROWS
        assert {one["prefect.resource.role"] for one in completed["related"]} >= {
            "job",
            "ledger",
            "deployment",
        }
        soon(lambda: any("rows answered" in line["message"] for line in api.logs(run)), within=30)
        assert "acme" in (tmp_path / "after" / "report.html").read_text()
        lines = [line["message"] for line in api.logs(run)]
        assert len(lines) < 15 < ROWS
        assert "From Prefect's Secret blocks: WORKER_TEST_KEY" in lines

        run = api.run_deployment(nightly, {"job": str(slow.path)})
        before = llm.stats()["recv"]
        soon(lambda: llm.stats()["recv"] > before + 20, within=90)
        found = seen_of_processes(mark)
        assert "PREFECT__FLOW_RUN_ID" in found, "the flow run's own process was looked at"
        assert KEY not in found
        api.cancel(run)
        ended = api.wait_for_end(run, within=60)
        assert ended["state_type"] == "CANCELLED"
        soon(lambda: not slow.ledger.with_suffix(".duckdb.wal").exists(), within=30)
        with duckdb.connect(str(slow.ledger), read_only=True) as ledger:
            ((status, rows, completed, failed, skipped, cancelled),) = ledger.execute(
                "select status, rows, completed, failed, skipped, cancelled from batches"
            ).fetchall()
        assert status == "interrupted"
        assert rows == 2_000 == completed + failed + skipped + cancelled
        assert completed >= 16
        assert failed == 0

        message = api.by_id(run)["state"]["message"]
        assert f"{completed} of 2000 rows answered" in message
        assert llm.stats()["client_aborts"] == 0, "no call under way was dropped"

        given = {"ledger": str(good.ledger), "folder": str(tmp_path / "report")}
        ended = api.wait_for_end(api.run_deployment(morning, given), within=90)
        assert ended["state_name"] == "Completed", ended["state"]["message"]
        tables = api.artifacts(ended["id"])
        costs = {
            row["reporting_group"]: row for row in api.table(tables["rowmill-report-cost-by-reporting-group"])
        }
        assert sum(row["completed"] for row in costs.values()) == ROWS
        assert "umbrella" in (tmp_path / "report" / "report.html").read_text()
        assert (tmp_path / "report" / "cost_by_model.csv").read_text().startswith("model,")

    known = api.all_of([*api.flow_runs_with(str(good.path)), *api.flow_runs_with(str(slow.path))])
    assert "rowmill.batch.begun" in known
    assert "rowmill-echo-summary" in known
    assert KEY not in known
    for path in (*tmp_path.rglob("*"), *prefect.home.rglob("*")):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
