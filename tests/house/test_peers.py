"""The frame that measures peers: what it counts, when it ends a child, and when it does not believe one."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bench.peers.cells import Cell, Setting, busiest, cell_of, run_cell
from bench.peers.environments import python_of
from bench.peers.measures import QUICK, Bench, rows_for
from bench.peers.systems import SYSTEMS, System
from bench.peers.watched import End, Watched, watch
from tests.llmserver import Server, running_server

_BY_NAME = {system.name: system for system in SYSTEMS}
_GRANDCHILD = "import time\nuntil = time.process_time() + 0.2\nwhile time.process_time() < until: pass"
_WELL = Watched(end=End.WELL, seconds=3.0, cpu_seconds=2.0, peak_mb=50.0, output="", complaints="")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


def _watched(code: str, folder: Path, **given: object) -> Watched:
    return watch([sys.executable, "-c", code], **{"folder": folder, "environ": {}, "limit": 60, **given})


def _cell(told: Mapping[str, object], *, served: int, rows: int = 10) -> Cell:
    stats = {"rows_ok": {"rows": served}, "recv": 12, "by_status": {"200": 10, "429": 2}}
    return cell_of(replace(_WELL, output=json.dumps(told)), rows=rows, stats=stats, per_second={7: 12})


def test_a_child_that_ends_well_is_told_with_its_output(tmp_path: Path) -> None:
    """What it printed, and a peak of memory that a Python has at least."""
    long_enough = "[sum(range(1_000)) for _ in range(20_000)]"  # to be looked at, ten times at least
    watched = _watched(f"{long_enough}; print('here')", tmp_path)
    assert (watched.end, watched.output.strip()) == (End.WELL, "here")
    assert watched.peak_mb > 1


def test_a_child_that_fails_is_told_with_its_complaints(tmp_path: Path) -> None:
    """The end of the traceback is kept."""
    watched = _watched("raise SystemExit('no such thing')", tmp_path)
    assert watched.end is End.FAILED
    assert "no such thing" in watched.complaints


def test_the_cpu_of_a_childs_own_children_is_counted(tmp_path: Path) -> None:
    """A child that lets another work for it is charged for both."""
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_GRANDCHILD!r}], check=True)"
    assert _watched(code, tmp_path).cpu_seconds >= 0.2


def test_a_child_whose_time_is_over_is_killed(tmp_path: Path) -> None:
    """It is told as late."""
    watched = _watched("import time; time.sleep(600)", tmp_path, limit=0.3)
    assert watched.end is End.LATE


def test_a_child_is_killed_at_the_moment_that_is_asked_for(tmp_path: Path) -> None:
    """And so are the children that it has."""
    mark = tmp_path / "mark"
    code = (
        "import subprocess, sys, pathlib, time\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(mark)!r}).write_text(str(other.pid))\n"
        "time.sleep(600)"
    )
    watched = _watched(code, tmp_path, kill_when=lambda: mark.is_file() and mark.read_text() != "")
    assert watched.end is End.KILLED
    state = Path(f"/proc/{mark.read_text()}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] in "ZX"


@pytest.mark.parametrize(
    ("told", "served", "whole"),
    [
        ({"answered": 10, "seconds": 2, "cpu_seconds": 1}, 10, True),
        ({"answered": 10, "seconds": 2, "cpu_seconds": 1}, 9, False),
        ({"answered": 9, "seconds": 2, "cpu_seconds": 1}, 10, False),
        ({"completed": 4, "skipped": 6, "wall_seconds": 2, "cpu_us_per_row": 1e5}, 10, True),
        ({}, 10, False),
    ],
)
def test_a_cell_counts_only_if_the_system_and_the_server_saw_all_rows(
    told: Mapping[str, object], served: int, whole: bool
) -> None:
    """Who skipped rows, or says that it answered what the server never served, gets no figure."""
    cell = _cell(told, served=served)
    assert cell.is_whole is whole
    if whole:
        assert (cell.rows_per_second, cell.cpu_us_per_row) == (5, pytest.approx(1e5))


def test_a_cell_says_why_it_has_no_figure() -> None:
    """Too late, failed, or so many of so many rows."""
    short = _cell({"answered": 9, "seconds": 2, "cpu_seconds": 1}, served=10)
    assert short.why_not(60) == "9 of 10 rows"
    assert replace(short, watched=replace(_WELL, end=End.LATE)).why_not(60) == "> 60 s"
    assert replace(short, watched=replace(_WELL, end=End.FAILED)).why_not(60) == "failed"


def test_the_object_is_found_among_what_else_a_system_prints() -> None:
    """Some print a summary after it, or lines that begin like an object."""
    told = '{"answered": 10, "seconds": 2, "cpu_seconds": 1}'
    output = f"starting\n{{odd}}\n{told}\n{{also odd\nbye"
    cell = cell_of(replace(_WELL, output=output), rows=10, stats={"rows_ok": {"rows": 10}}, per_second={})
    assert cell.is_whole


def test_the_busiest_minute_slides() -> None:
    """It need not begin with a minute of the clock, and ends before its sixtieth second."""
    assert busiest({100: 5, 159: 7, 160: 9}, seconds=60) == 16
    assert busiest({}, seconds=60) == 0


def test_a_cell_has_as_many_rows_as_fit_and_as_are_in_flight() -> None:
    """The latency bounds them where it is long, the pace where it is short."""
    assert rows_for(2_000, lat_ms=0, in_flight=32, aim_s=3) == 6_000
    assert rows_for(2_000, lat_ms=1_000, in_flight=256, aim_s=3) == 768
    assert rows_for(100, lat_ms=0, in_flight=1_000, aim_s=3) == 1_000


@pytest.mark.parametrize("name", ["rowmill", "bare-pyreqwest", "httpx-gather"])
def test_what_is_in_our_own_environment_runs_and_agrees_with_the_server(
    server: Server, tmp_path: Path, name: str
) -> None:
    """Every row once, and as many in flight as was told."""
    setting = Setting(rows=40, in_flight=8, limit_s=60, server={"lat": 20})
    cell = run_cell(_BY_NAME[name], Path(sys.executable), server, setting, tmp_path / "run")
    assert cell.is_whole, cell.watched.complaints
    assert (cell.calls, cell.most_in_flight) == (40, 8)


def test_a_table_has_a_line_a_system_and_the_record_a_line_a_cell(server: Server, tmp_path: Path) -> None:
    """With ratios to rowmill, and no figure for a system whose driver fails."""
    broken = System(name="broken", driver="no_such_driver", pace=100)
    ours = Path(sys.executable)
    systems = {_BY_NAME["rowmill"]: ours, _BY_NAME["bare-pyreqwest"]: ours, broken: ours}
    sizes = replace(QUICK, latencies_ms=(0,), in_flight=(4,), aim_s=0.01)
    record = tmp_path / "cells.jsonl"
    lines = list(Bench(systems, server, sizes=sizes, record=record).speed())
    assert "|  | 0 ms, 4 |" in lines
    assert "| broken | failed |" in lines
    assert sum(line.startswith("| bare-pyreqwest") and line.endswith(") |") for line in lines) == 2
    told = [json.loads(line) for line in record.read_text().splitlines()]
    assert [(one["system"], one["whole"]) for one in told] == [
        ("rowmill", True), ("bare-pyreqwest", True), ("broken", False),
    ]  # fmt: skip


def test_what_a_further_row_takes_is_free_of_the_start(server: Server) -> None:
    """Of two runs of different length, the difference: one line a system."""
    sizes = replace(QUICK, memory_rows=(50, 2_000))
    systems = {_BY_NAME["bare-pyreqwest"]: Path(sys.executable)}
    lines = list(Bench(systems, server, sizes=sizes, record=None).memory())
    memory, further = [line for line in lines if line.startswith("| bare-pyreqwest")]
    assert all(float(figure.replace(",", "")) > 1 for figure in memory.split("|")[2:-1])
    assert float(further.split("|")[2].replace(",", "")) > 0


def test_an_environment_is_kept_while_its_requirements_are_the_same(tmp_path: Path) -> None:
    """Its mark holds a hash of what it was made of, so that nothing is fetched twice."""
    requirements = tmp_path / "some.txt"
    requirements.write_text("some==1\n")
    system = System(name="some", driver="some", pace=1, requirements=requirements)
    (tmp_path / "some").mkdir()
    made_of = hashlib.sha256(sys.version.encode() + requirements.read_bytes()).hexdigest()
    (tmp_path / "some" / "made-of").write_text(made_of)
    assert python_of(system, kept_in=tmp_path) == tmp_path / "some" / "bin" / "python"


def test_every_requirement_of_a_peer_is_a_name_and_a_version() -> None:
    """No address, and nothing that another day would make into another version."""
    lines = [
        line
        for system in SYSTEMS
        if system.requirements
        for line in system.requirements.read_text().splitlines()
    ]
    assert len(lines) >= 5
    assert all("==" in line and "/" not in line and not line.startswith("-") for line in lines)
