"""Where no Prefect server is configured, one is started for the run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.flows.conftest import environment_of
from tests.flows.jobs import ROWS, write_job
from tests.flows.processes import ROOT, end, gone, left_over

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(300)]  # servers start slowly on a busy machine

_NOTE_CONNECTIONS = """
import os, sys

def note(event, args):
    if event in ("socket.connect", "socket.bind"):
        host = args[1][0] if isinstance(args[1], tuple) else "a file"
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    else:
        return
    with open(os.environ["NOTED"], "a") as file:
        file.write(f"{os.getpid()} {event} {host}\\n")

sys.addaudithook(note)
"""
_HERE = {"127.0.0.1", "localhost", "::1", "0.0.0.0", "None", "a file"}  # noqa: S104  # compared, not bound


def test_a_server_is_started_and_ends_with_the_run(tmp_path, llm):
    """With nothing set up, no home to write to and a terminal to look at, the flow runs and nobody is called.

    Ctrl-C, which a terminal sends to all its processes, does not end the server before the batch has told its
    end. The last batch loses its server half-way: it is run to its end, and says what the flow run does not.
    """
    llm.reset()
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(_NOTE_CONNECTIONS)
    env = environment_of(
        tmp_path / "unused",
        HOME="/dev/null",
        TMPDIR=str(tmp_path),
        PYTHONPATH=str(tmp_path / "guard"),
        NOTED=str(tmp_path / "noted"),
        PREFECT_CLIENT_MAX_RETRIES="0",  # what the user has set stays: the dead server is not waited for
    )
    for name in ("PREFECT_HOME", "CI"):
        env.pop(name, None)
    good = write_job(tmp_path / "good", base_url=llm.base_url())
    broken_off = write_job(tmp_path / "broken_off", base_url=llm.base_url(lat=40), in_flight=2)
    bereft = write_job(tmp_path / "bereft", base_url=llm.base_url(lat=40), in_flight=2)
    steps = [
        {"way": "flow", "job": str(good.path)},
        {"way": "flow", "job": str(broken_off.path), "ctrl_c_after": 10},
        {"way": "flow", "job": str(bereft.path), "kill_server_after": 10},
    ]
    terminal, behind = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.flows.child", json.dumps(steps)],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=behind,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = child.communicate(timeout=170)
        assert gone(child, within=10), "the server outlives the run"
    finally:
        end(child)
        os.close(behind)
        os.close(terminal)
    assert child.returncode == 0
    assert not left_over(str(tmp_path))

    first, second, third = (json.loads(line) for line in out.splitlines())
    assert "starting a server" in first["said"][0]
    assert first["said"][-1].endswith(f"ended Completed: {ROWS} of {ROWS} rows answered")
    assert second["summary"]["outcome"] == "interrupted"
    assert "ended Cancelled: " in second["said"][-1]
    assert third["summary"]["completed"] == ROWS
    assert third["summary"]["outcome"] == "completed"
    assert "Prefect failed when the batch was over" in third["said"][-1]
    with duckdb.connect(str(bereft.ledger), read_only=True) as ledger:
        assert ledger.execute("select status, completed from batches").fetchall() == [("completed", ROWS)]

    noted = [line.split(" ", 2) for line in (tmp_path / "noted").read_text().splitlines()]
    assert {host.removeprefix("b").strip("'") for _, _, host in noted} <= _HERE  # some say it in bytes
    assert len({process for process, _, _ in noted}) >= 2, "both the run and its server were listened to"
    (home,) = tmp_path.glob("rowmill-prefect-*")
    assert {path.name for path in Path(home).iterdir()} >= {"prefect.db"}
