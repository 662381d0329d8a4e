"""One Prefect server for all tests here, and programs that talk to it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.flows.api import PrefectApi
from tests.flows.processes import ROOT, end, free_port, gone, left_over, program, wait_for
from tests.llmserver import Server, running_server

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefect:
    """A running Prefect server: its API, and the environment of programs that use it."""

    api: PrefectApi
    env: Mapping[str, str]
    home: Path
    group: int  # of the server's processes


def environment_of(home: Path, **more: str) -> dict[str, str]:
    """This process's environment with a Prefect home of its own, and nothing else of Prefect's."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DO_NOT_TRACK"))
    }
    return {**kept, "PREFECT_HOME": str(home), **more}


@pytest.fixture(scope="session")
def llm() -> Iterator[Server]:
    """The loopback server that plays the model."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """`prefect server start` on a port and with a database of its own; gone afterwards with its children."""
    home = tmp_path_factory.mktemp("prefect-home")
    port = free_port()
    env = environment_of(
        home,
        DO_NOT_TRACK="1",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_UI_ENABLED="false",
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
    )
    log = home / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with program(command, env=env, log=log) as child:
        wait_for(f"http://127.0.0.1:{port}/api/health", within=240, child=child, log=log)
        yield Prefect(api=PrefectApi(f"http://127.0.0.1:{port}/api"), env=env, home=home, group=child.pid)
    assert gone(child, within=1)
    assert not left_over(str(home)), "a process of the server's is still there"


@contextmanager
def running_child(
    *steps: Mapping[str, object], env: Mapping[str, str], within: float = 150
) -> Iterator[Callable[[], list[Json]]]:
    """A program that runs steps of `tests.flows.child` one after the other; call it for what each came to."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.flows.child", json.dumps(steps)],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def results() -> list[Json]:
        out, err = child.communicate(timeout=within)
        assert child.returncode == 0, err
        assert gone(child, within=10), "it left a process behind"
        found = [json.loads(line) for line in out.splitlines()]
        assert len(found) == len(steps), err
        return found

    try:
        yield results
    finally:
        end(child)


def in_child(*steps: Mapping[str, object], env: Mapping[str, str]) -> list[Json]:
    """What each of the steps came to, run one after the other in a program of their own."""
    with running_child(*steps, env=env) as results:
        return results()
