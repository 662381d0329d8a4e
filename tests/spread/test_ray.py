"""Workers on Ray, started by the flow: one Prefect task run for each."""

import os
import signal
from pathlib import Path

import duckdb
import pytest

from tests.flows.conftest import running_child
from tests.flows.jobs import write_job
from tests.flows.processes import left_over, soon

pytestmark = [pytest.mark.spread, pytest.mark.timeout(400)]

ROWS = 300


def ray_workers(home: str) -> list[int]:
    """The processes that run a worker's task on the Ray cluster of a program with this home of Prefect's."""
    found = []
    for pid in left_over(home):
        try:
            title = (Path("/proc") / str(pid) / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if title.startswith(b"ray::worker"):
            found.append(pid)
    return found


def test_a_worker_killed_on_ray_costs_no_row(tmp_path, llm, prefect):
    """Two workers on Ray, one killed: all rows are answered, none twice."""
    llm.reset()
    job = write_job(tmp_path, base_url=llm.base_url(lat=250), rows=ROWS, in_flight=8)
    step = {"way": "flow", "job": str(job.path), "overrides": {"workers": 2, "runner": "ray"}}
    with running_child(step, env=prefect.env) as results:
        soon(lambda: llm.stats()["recv"] > 20, within=200)
        soon(lambda: len(ray_workers(str(prefect.home))) == 2, within=20)
        os.kill(ray_workers(str(prefect.home))[0], signal.SIGKILL)
        (result,) = results()
    summary = result["summary"]
    assert (summary["rows"], summary["completed"], summary["failed"]) == (ROWS, ROWS, 0), summary
    assert any("others go on with its rows" in warning for warning in summary["warnings"]), summary
    with duckdb.connect(str(job.ledger), read_only=True) as ledger:
        (counted,) = ledger.execute("select count(*), count(distinct row_key) from task_runs").fetchall()
    assert counted == (ROWS, ROWS)
