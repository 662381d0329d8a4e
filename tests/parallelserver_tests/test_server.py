"""The server beside the API: settings, counts, reset, start and end."""

import os
import socket
from array import array
from urllib.parse import urlsplit

import httpx
import pytest

from tests.parallelserver import running_server
from tests.parallelserver.counts import busiest, tally
from tests.parallelserver.settings import Settings
from tests.parallelserver_tests.asking import run_input


def test_settings_at_run_time(server, sdk):
    """A setting holds until it is cleared; an unknown one is refused wherever it stands."""
    assert server.config(c500=1)["c500"] == 1
    assert server.config(clear=1)["c500"] == 0
    with pytest.raises(ValueError, match="no setting 'c499'"):
        server.config(c499=1)
    answer = httpx.get(f"{server.url}/c/c499=1/v1/tasks/runs/x", headers={"x-api-key": "k"})
    assert (answer.status_code, answer.json()["type"]) == (400, "error")
    assert httpx.get(f"{server.url}/v2/tasks/runs").status_code == 404


@pytest.mark.parametrize(
    "told",
    [
        {"fail": "2"},
        {"c429": "0.6", "c500": "0.6"},
        {"lat": "-1"},
        {"ra_mode": "soon"},
        {"c_first_status": "200"},
    ],
)
def test_settings_that_make_no_sense(told):
    """A share above one, a family above one together, a negative number and an unknown word are refused."""
    with pytest.raises(ValueError, match=r"at most 1|more than 1|at least 0|is one of|between 400"):
        Settings().changed(told)


def test_base_urls_lead_to_the_same_runs(server, sdk):
    """A run that was made under one base URL is read under every other, and keeps its own settings."""
    run = sdk(never=1, weak="a/b c").task_run.create(**run_input(1))
    assert sdk().task_run.retrieve(run.run_id).status == "running"
    assert server.runs()[0]["run_id"] == run.run_id


def test_started_by_any_metadata_field(server, sdk):
    """Runs are counted by row, and by any other field of their metadata."""
    client = sdk()
    for row, batch in ((1, "a"), (1, "a"), (2, "b")):
        client.task_run.create(**run_input(row) | {"metadata": {"row_key": str(row), "batch": batch}})
    client.task_run.create(input="row_id: 9", processor="core")
    assert server.started() == {"1": 2, "2": 1, "9": 1}
    assert server.started("batch") == {"a": 2, "b": 1}
    tallied = server.stats()["rows_started"]
    assert (tallied["rows_more_than_once"], tallied["excess"]) == (1, 1)
    assert sdk(row_key="batch").task_run.create(input="x", processor="core", metadata={"batch": "c"})
    assert server.started()["c"] == 1


def test_started_twice_or_for_good_reason(server, sdk):
    """A second run beside an active one, or after a success, is not one after a failure, or on a ladder."""
    client = sdk(fail_first=1)
    for _ in range(2):
        run = client.task_run.create(**run_input(1))
        httpx.get(f"{server.url}/v1/tasks/runs/{run.run_id}/result", headers={"x-api-key": "k"})
    client.task_run.result(client.task_run.create(**run_input(1, processor="pro")).run_id)
    assert [server.stats()[name] for name in ("runs_beside_another", "runs_after_success")] == [0, 0]
    client.task_run.result(client.task_run.create(**run_input(1)).run_id)
    assert [server.stats()[name] for name in ("runs_beside_another", "runs_after_success")] == [0, 1]
    hanging = sdk(never=1)
    hanging.task_run.create(**run_input(2))
    hanging.task_run.create(**run_input(2))
    assert [server.stats()[name] for name in ("runs_beside_another", "runs_after_success")] == [1, 1]


def test_reset(server, sdk, eventually):
    """A reset forgets everything and lets go of whoever waits for what is forgotten."""
    client = sdk(never=1)
    run = client.task_run.create(**run_input(1))
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as waiting:
        request = f"GET /v1/tasks/runs/{run.run_id}/result HTTP/1.1\r\nx-api-key: k\r\n\r\n"
        waiting.sendall(request.encode())
        eventually(lambda: server.stats()["waiting"] == 1)
        server.reset()
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
    stats = server.stats()
    assert (stats["runs_made"], stats["posts"], stats["inflight"], stats["waiting"]) == (0, 0, 0, 0)


def test_what_is_not_http(server):
    """Bytes that are no request are answered 400, and the connection ends; so is a body of no JSON a 422."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
        wire.sendall(b"HELO there\r\n\r\n")
        assert wire.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
    answer = httpx.post(f"{server.url}/v1/tasks/runs", content=b"{", headers={"x-api-key": "k"})
    assert answer.status_code == 422


def test_a_body_in_chunks(server):
    """A body may come in chunks."""
    parts = [b'{"input": "x", ', b'"processor": "core"}']
    answer = httpx.post(f"{server.url}/v1/tasks/runs", content=iter(parts), headers={"x-api-key": "k"})
    assert answer.status_code == 202


def test_the_busiest_window():
    """A window is half open: what lies exactly its length apart is not in one."""
    moments = array("d", [0.0, 0.5, 0.9, 1.0, 1.4])
    assert [busiest(moments, seconds) for seconds in (1.0, 0.5, 10.0)] == [4, 3, 5]
    assert tally([1, 1, 3]) == {
        "rows": 3,
        "rows_more_than_once": 1,
        "total": 5,
        "excess": 2,
        "histogram": {"1": 2, "3": 1},
    }


def test_it_ends_with_its_parent():
    """The child is gone when the block is left, with runs and a connection still open."""
    with running_server(never=1) as server:
        told = httpx.post(
            f"{server.url}/v1/tasks/runs",
            json={"input": "x", "processor": "core"},
            headers={"x-api-key": "k"},
        ).json()
        address = urlsplit(server.url)
        waiting = socket.create_connection((address.hostname, address.port), timeout=10)
        request = f"GET /v1/tasks/runs/{told['run_id']}/result HTTP/1.1\r\nx-api-key: k\r\n\r\n"
        waiting.sendall(request.encode())
    waiting.close()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_it_does_not_start_with_nonsense():
    """A setting that is not known stops the start, before anything is sent to it."""
    with pytest.raises(RuntimeError, match="did not start"), running_server(c499=1):
        pass
