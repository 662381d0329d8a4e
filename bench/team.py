"""A team's ledger: how quickly facts come there, how soon they are seen, and what questions cost.

`python -m bench.team publish LEDGER PLACE` publishes one ledger and prints its seconds; the sections do so in
processes of their own. PostgreSQL is started for the lake where Debian's programs are on the machine.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tasks_lib.ledger import open_ledger
from tasks_lib.ledger.team import (
    LakeUri,
    QuackUri,
    open_place,
    parse_uri,
    publish,
    publish_file,
    read_place,
)
from tests.ledger.builders import answered, begin, plan, run
from tests.ledger.postgres import postgres, programs
from tests.ledger.team_server import READ, WRITE, free_address, serving

_REVIEW = "The phone arrived quickly and the battery lasts two days. " * 6
_REPORTS = ("cost_by_reporting_group", "cost_by_model", "latency", "revision_comparison", "dead_letters")

At = QuackUri | LakeUri


def team(*, rows: int, reported: int) -> Iterator[str]:
    """Lines of three tables: publishing, how soon it is seen, and reports over many runs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        ledgers = [folder / f"{number}.duckdb" for number in range(4)]
        for path in ledgers:
            _fill(path, rows=rows)
        yield f"{rows:,} task runs of some 700 bytes with one attempt each, from each publisher"
        yield "| place | publishers | rows/s together | seconds | CPU µs a row, publisher | server |"
        yield "|---|---:|---:|---:|---:|---:|"
        for kind in _kinds():
            for publishers in (1, 2, 4):
                with _place(kind, folder / f"{kind}{publishers}") as (at, server_cpu):
                    before = server_cpu()
                    took, cpu = _published(ledgers[:publishers], at)
                    there = server_cpu() - before
                    every = rows * publishers
                    assert _count(at) == every
                yield (
                    f"| {kind} | {publishers} | {every / took:,.0f} | {took:,.1f} "
                    f"| {cpu / every * 1e6:,.0f} | {there / every * 1e6:,.0f} |"
                )
        yield ""
        yield "one row committed and published at once, until an analyst's question counts it"
        yield "| place | median ms | most ms |"
        yield "|---|---:|---:|"
        for kind in _kinds():
            with _place(kind, folder / f"{kind}seen") as (at, _):
                seen = _seen(folder / f"{kind}-seen.duckdb", at, times=15)
            yield f"| {kind} | {median(seen) * 1_000:,.0f} | {max(seen) * 1_000:,.0f} |"
        yield ""
        yield f"reports over {reported:,} task runs, ms"
        yield "| report | file | " + " | ".join(_kinds()) + " |"
        yield "|---|---:|" + "---:|" * len(_kinds())
        yield from _reports(folder, rows=reported)


def _reports(folder: Path, *, rows: int) -> Iterator[str]:
    path = folder / "many.duckdb"
    _fill(path, rows=rows)
    found: dict[str, dict[str, float]] = {}
    with open_ledger(path, read_only=True) as ledger:
        found["file"] = {name: _timed(lambda name=name: ledger.report(name)) for name in _REPORTS}
    beside = ""
    for kind in _kinds():
        with _place(kind, folder / f"{kind}many") as (at, _):
            _published([path], at)
            with read_place(at, token=READ) as reading:
                found[kind] = {name: _timed(lambda name=name: reading.report(name)) for name in _REPORTS}
            alone, accompanied = _writing_beside(folder, at, kind)
            beside += f"; {kind}: {alone:,.0f} rows/s, {accompanied:,.0f} beside one who asks without a pause"
    for name in _REPORTS:
        yield f"| {name} | " + " | ".join(f"{found[kind][name]:,.0f}" for kind in ("file", *_kinds())) + " |"
    yield f"one publisher{beside}"


def _writing_beside(folder: Path, at: At, kind: str) -> tuple[float, float]:
    """Rows a second of one publisher, alone and while an analyst asks for reports without a pause."""
    speeds = []
    for number, asks in enumerate((False, True)):
        path = folder / f"{kind}beside{number}.duckdb"
        _fill(path, rows=10_000)
        asking = None
        if asks:
            asking = subprocess.Popen([sys.executable, "-m", "bench.team", "ask", *_told(at)])
            time.sleep(3)
        speeds.append(10_000 / _published([path], at)[0])
        if asking is not None:
            assert asking.poll() is None
            asking.kill()
            asking.wait()
    return speeds[0], speeds[1]


def _seen(path: Path, at: At, *, times: int) -> list[float]:
    """Seconds from a commit to the answer that has it, without the pause between two looks."""
    found = []
    with open_ledger(path) as ledger, read_place(at, token=READ) as reading:
        batch = begin(ledger)
        place = open_place(at, token=WRITE, make=True)
        publish(ledger, place)
        for number in range(1, times + 1):
            ledger.add([run(plan(key=str(number), number=number), answered())], batch_id=batch)
            began = time.perf_counter()
            publish(ledger, place)
            while reading.sql("select count(*) as n from task_runs").to_pylist()[0]["n"] < number:
                time.sleep(0.01)
            found.append(time.perf_counter() - began)
        place.close()
    return found


def _fill(path: Path, *, rows: int) -> None:
    with open_ledger(path) as ledger:
        batch = begin(ledger)
        for first in range(0, rows, 1_000):
            ledger.add(
                [
                    run(
                        plan(key=str(number), number=number, text=_REVIEW, group=f"group {number % 50}"),
                        answered(worked=0.5 + number % 100 / 100),
                    )
                    for number in range(first, min(first + 1_000, rows))
                ],
                batch_id=batch,
            )


def _published(ledgers: list[Path], at: At) -> tuple[float, float]:
    """Seconds that it took to publish them at once, from when all were ready; and their CPU seconds."""
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.team", "publish", *_told(at), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for path in ledgers
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    cpu = sum(float(child.stdout.read()) for child in children if child.stdout is not None)
    assert [child.wait() for child in children] == [0] * len(children)
    return time.perf_counter() - began, cpu


def _count(at: At) -> int:
    with read_place(at, token=READ) as reading:
        return int(reading.sql("select count(distinct id) as n from task_runs").to_pylist()[0]["n"])


def _timed(ask: Callable[[], object]) -> float:
    """Milliseconds, the median of three."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1_000)
    return median(took)


def _kinds() -> tuple[str, ...]:
    return ("quack", "ducklake") if programs() is not None else ("quack",)


@contextmanager
def _place(kind: str, folder: Path) -> Iterator[tuple[At, Callable[[], float]]]:
    """A place of a kind, and what tells the CPU seconds of its server; PostgreSQL's are not counted."""
    folder.mkdir()
    if kind == "quack":
        at = free_address()
        with serving(folder / "team.duckdb", at) as server:
            yield at, lambda: _cpu(server.pid)
        return
    with postgres() as where:
        lake = LakeUri(attach=f"ducklake:postgres:{where}", data_path=f"{folder}/files")
        open_place(lake, token=None, make=True).close()
        yield lake, lambda: 0.0


def _cpu(pid: int) -> float:
    """CPU seconds of a process, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _told(at: At) -> list[str]:
    return [str(at), (at.data_path or "") if isinstance(at, LakeUri) else ""]


def _at(uri: str, data_path: str) -> At:
    return parse_uri(uri, data_path=data_path or None)


if __name__ == "__main__":
    what, uri, files, *rest = sys.argv[1:]
    if what == "publish":
        opened = open_place(_at(uri, files), token=WRITE, make=True)
        print("ready", flush=True)
        sys.stdin.read()
        used = time.process_time()
        publish_file(Path(rest[0]), opened)
        print(time.process_time() - used)
        opened.close()
    else:
        with read_place(_at(uri, files), token=READ) as analyst:
            while True:
                for report in _REPORTS:
                    analyst.report(report)
