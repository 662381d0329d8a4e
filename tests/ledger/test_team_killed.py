"""Whoever is killed on the way to a team's ledger, all facts come there, and each once."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from tasks_lib.ledger import Ledger, open_ledger
from tasks_lib.ledger.team import LakeUri, QuackUri, fetch, open_place, publish_file, read_place
from tasks_lib.ledger.team import origin as origin_module
from tests.ledger.builders import begin, end, runs
from tests.ledger.postgres import postgres, programs
from tests.ledger.team_counts import counted
from tests.ledger.team_server import READ, ROOT, free_address, serving

pytestmark = [
    pytest.mark.team,
    pytest.mark.skipif(
        not all(find_spec(f"duckdb_extension_{name}") for name in ("quack", "ducklake", "postgres")),
        reason="needs the `live` and `team` extras",
    ),
]
with_postgres = pytest.mark.skipif(programs() is None, reason="needs PostgreSQL (postgresql in Debian)")


def test_publishers_and_the_server_are_killed(path: Path, tmp_path: Path) -> None:
    """Whoever is killed at whichever parcel, publishing again leaves all facts there, and each once."""
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        for first in range(1, 6_000, 2_000):
            ledger.add(list(runs(2_000, first=first)), batch_id=batch)
    team, at = tmp_path / "team.duckdb", free_address()
    with serving(team, at) as server:
        with publishing(path, at) as publisher:
            heard(publisher, times=2)
            publisher.kill()
        with publishing(path, at) as publisher:
            heard(publisher, times=1)
            server.kill()
            publisher.wait()
    with serving(team, at):
        with publishing(path, at) as publisher:
            assert publisher.stdout is not None
            assert publisher.stdout.read().splitlines()[-1] == "done"
        place = open_place(at, token=READ)
        assert counted(place, batch) == [("task_runs", 6_000, 6_000), ("attempts", 6_000, 6_000)]
        place.close()


def publishing(path: Path, at: QuackUri | LakeUri) -> subprocess.Popen[str]:
    more = [at.data_path or "", at.schema or ""] if isinstance(at, LakeUri) else []
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.team_publisher", str(path), str(at), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def heard(publisher: subprocess.Popen[str], *, times: int) -> None:
    assert publisher.stdout is not None
    for _ in range(times):
        assert publisher.stdout.readline() == "parcel\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of our own on a socket, as libpq has it."""
    with postgres() as where:
        yield where


@pytest.fixture
def lake(cluster: str, tmp_path: Path) -> LakeUri:
    """A lake of its own for each test: its catalog is a schema of the one database."""
    name = f"lake_{tmp_path.name}".replace("-", "_")[:60]
    return LakeUri(attach=f"ducklake:postgres:{cluster}", data_path=f"{tmp_path}/files", schema=name.lower())


@with_postgres
def test_several_publish_to_a_lake_at_once(
    tmp_path: Path, lake: LakeUri, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ledgers, each published by two at once into a lake that none of them finds made, are there once."""
    monkeypatch.setattr(origin_module, "_FIRST_ROWS", 50)
    monkeypatch.setattr(origin_module, "_MOST_ROWS", 50)
    batches = {}
    for name in ("one", "two"):
        with open_ledger(tmp_path / f"{name}.duckdb") as ledger:
            batches[name] = begin(ledger)
            ledger.add(list(runs(200, group="acme")), batch_id=batches[name])
            end(ledger, batches[name], rows=200, completed=200)

    def bring(name: str) -> None:
        place = open_place(lake, token=None, make=True)
        publish_file(tmp_path / f"{name}.duckdb", place)
        place.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(bring, ("one", "two", "one", "two")))
    place = open_place(lake, token=None)
    for batch in batches.values():
        assert counted(place, batch) == [("task_runs", 200, 200), ("attempts", 200, 200)]
    shared = place.ask(
        "select (select count(*) from tasks) as tasks, (select count(*) from revisions) as revisions, "
        "(select count(*) from reporting_groups) as groups, (select count(*) from batches) as batches"
    )
    assert shared.to_pylist() == [{"tasks": 1, "revisions": 1, "groups": 1, "batches": 2}]
    place.close()


@with_postgres
def test_a_publisher_of_a_lake_is_killed(path: Path, tmp_path: Path, lake: LakeUri) -> None:
    """A publisher that is killed leaves nothing half done, and the next one goes on from there."""
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        for first in range(1, 6_000, 2_000):
            ledger.add(list(runs(2_000, first=first)), batch_id=batch)
    for times in (1, 2):
        with publishing(path, lake) as publisher:
            heard(publisher, times=times)
            publisher.kill()
    place = open_place(lake, token=None, make=True)
    publish_file(path, place)
    assert counted(place, batch) == [("task_runs", 6_000, 6_000), ("attempts", 6_000, 6_000)]
    home = tmp_path / "home.duckdb"
    assert fetch(place, home, job="reviews").task_runs == 6_000
    place.close()
    with open_ledger(home) as fetched, read_place(lake, token=None) as reading:
        for name, _ in Ledger.reports():
            assert reading.report(name).to_pylist() == fetched.report(name).to_pylist(), name
