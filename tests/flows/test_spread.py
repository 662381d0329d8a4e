"""Workers on Dask, started by the flow: one Prefect task run for each."""

import json
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from flows.spread import check_spread
from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.spread import Spread
from tests.flows.conftest import running_child
from tests.flows.jobs import write_job
from tests.flows.processes import free_port, soon

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(300)]  # servers start slowly on a busy machine

ROWS = 300

has_ray = pytest.mark.skipif(find_spec("prefect_ray") is None, reason="`make spread` installs Ray")


def dask_workers(of: Path) -> list[int]:
    """The processes of the Dask cluster that the program has started which runs this job."""
    commands = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                commands[int(entry.name)] = (entry / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
    (program,) = (pid for pid, command in commands.items() if str(of).encode() in command)
    spawned = [pid for pid, command in commands.items() if b"spawn_main" in command]
    return [pid for pid in spawned if os.getsid(pid) == program]


def test_a_worker_killed_on_dask_costs_no_row(tmp_path, llm, prefect):
    """Two workers on Dask, one killed: all rows are answered, none twice, and Prefect knows no ticket.

    Workers that could not report to Prefect are refused before anything begins.
    """
    llm.reset()
    job = write_job(tmp_path, base_url=llm.base_url(lat=250), rows=ROWS, in_flight=8)
    step = {"way": "flow", "job": str(job.path), "overrides": {"workers": 2, "runner": "dask"}}
    afar = {"runner": "dask", "runner_address": "tcp://192.0.2.7:8786"}
    with running_child(step, {**step, "overrides": afar}, env=prefect.env) as results:
        soon(lambda: llm.stats()["recv"] > 20, within=150)
        os.kill(dask_workers(job.path)[0], signal.SIGKILL)
        result, refused = results()
    assert (
        "workers at tcp://192.0.2.7:8786 do not reach the Prefect API at http://127.0.0.1"
        in refused["mistake"]
    )
    summary = result["summary"]
    assert (summary["rows"], summary["completed"], summary["failed"]) == (ROWS, ROWS, 0), summary
    assert any("others go on with its rows" in warning for warning in summary["warnings"]), summary
    with duckdb.connect(str(job.ledger), read_only=True) as ledger:
        (counted,) = ledger.execute("select count(*), count(distinct row_key) from task_runs").fetchall()
    assert counted == (ROWS, ROWS)
    # and what waited for its commit, or for leave
    assert llm.stats()["recv"] <= ROWS + 8 + 8, "more calls were made again than could be in flight"

    (run,) = prefect.api.flow_runs_with(str(job.path))
    assert run["parameters"]["runner"] == "dask"
    task_runs = prefect.api.task_runs(run["id"], at_least=3, within=30)
    names = {one["name"] for one in task_runs if one["name"].startswith("worker ")}
    assert {"worker 1", "worker 2"} <= names <= {"worker 1", "worker 2", "worker 3"}
    states = [one["state_type"] for one in task_runs if one["name"].startswith("worker ")]
    assert (states.count("CRASHED"), "RUNNING" in states) == (1, False), states
    known = json.dumps([run, task_runs])
    assert "CERTIFICATE" not in known
    assert "secret" not in known


@pytest.mark.parametrize(
    ("runner", "address"),
    [
        ("dask", "tcp://{}"),
        pytest.param("ray", "ray://{}", marks=has_ray),
        pytest.param("ray", "{}", marks=has_ray),
    ],
)
def test_an_address_where_nobody_answers_is_told(runner, address):
    """At once, before anything is begun, whatever the engine would try for how long."""
    there = address.format(f"127.0.0.1:{free_port()}")
    with pytest.raises(Mistake, match=f"nobody answers at {there}: .* Nothing was run"):
        check_spread(Spread(runner=runner, address=there))
