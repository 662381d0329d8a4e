"""The bare loops of the benchmarks ask what they say, and end well."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.llmserver import running_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("client", ["wreq", "pyreqwest", "aiohttp", "httpx"])
def test_every_row_is_asked_once(client):
    """A bare loop asks every row once, reports as many, and its process ends with 0."""
    pytest.importorskip(client)
    told = [
        sys.executable,
        "-m",
        "bench.bare",
        "--client",
        client,
        "--rows",
        "60",
        "--at-once",
        "8",
        "--json",
    ]
    with running_server() as server:
        done = subprocess.run([*told, "--url", server.base_url()], cwd=ROOT, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert server.rows() == {str(row): (1, 1, 1) for row in range(60)}
    figures = json.loads(done.stdout)
    assert (figures["client"], figures["rows"], figures["at_once"]) == (client, 60, 8)
    assert figures["cpu_us_per_row"] > 0


def test_a_run_that_went_wrong_has_no_figures():
    """Answers other than good ones end a bare loop without figures."""
    told = [
        sys.executable,
        "-m",
        "bench.bare",
        "--client",
        "httpx",
        "--rows",
        "10",
        "--at-once",
        "2",
        "--json",
    ]
    with running_server(e500=1) as server:
        done = subprocess.run([*told, "--url", server.base_url()], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"answered 500" in done.stderr
