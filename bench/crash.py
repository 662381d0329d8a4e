"""kill -9 at random moments of a run, each followed by another: nothing lost or twice, little wasted."""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb

from bench.children import ROOT, children_of, command, json_of
from bench.project import make_project
from tests.llmserver import Server

_AT_THE_START = 0.2  # of the kills come while the program starts, the others while calls are under way
_WITH_ALL = (
    0.4  # of the kills take the batch's workers with them; the others leave these to end by themselves
)
_LEFT = ("*under-way*", "*journal-*", ".*part*")  # by no batch that has ended
_TWICE = """
select count(*)
from   (select row_key from task_runs where status = 'completed' group by row_key having count(*) > 1)
"""


def crash(
    server: Server,
    *,
    kills: int = 100,
    rows: int = 60_000,
    in_flight: int = 64,
    seed: int = 1,
    workers: int = 1,
) -> Iterator[str]:
    """Kill, run again, and at the end hold the ledger against the server's own count.

    Of several workers, which are processes, the batch's own is killed each time, and at times all of them.

    Raises:
        RuntimeError: a row is missing or answered twice, or more was wasted than may be.
    """
    server.reset()
    draw = random.Random(seed)  # noqa: S311  # moments, not secrets
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(
            Path(folder), base_url=server.base_url(lat=50), rows=rows, in_flight=in_flight, output="out.csv"
        )
        hits = 0
        for _ in range(kills * 3):
            if hits == kills:
                break
            before = int(server.stats()["recv"])
            child = subprocess.Popen(
                command("bench.one_run", str(job), "--workers", str(workers)),
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if draw.random() < _AT_THE_START:
                time.sleep(draw.uniform(0, 1.5))
            else:
                while int(server.stats()["recv"]) == before and child.poll() is None:
                    time.sleep(0.01)
                time.sleep(draw.uniform(0, 0.5))
            for worker in children_of(child.pid) if draw.random() < _WITH_ALL else ():
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            child.send_signal(signal.SIGKILL)
            hits += child.wait() == -signal.SIGKILL
        summary = json_of("bench.one_run", str(job), "--workers", str(workers))
        with duckdb.connect(str(Path(folder) / "ledger.duckdb"), read_only=True) as ledger:
            answered = _one(
                ledger, "select count(distinct row_key) from task_runs where status = 'completed'"
            )
            twice = _one(ledger, _TWICE)
            suspected = _one(ledger, "select count(distinct identity) from deaths")
            stray = _one(
                ledger, "select count(*) from attempts where task_run_id not in (select id from task_runs)"
            )
        leftovers = [found for left in _LEFT for found in Path(folder).glob(left)]
    stats = server.stats()
    excess = stats["rows_billed"]["excess"]
    yield (
        f"{hits} kills over {rows:,} rows, {workers} processes, {in_flight} in flight: "
        f"answered {answered:,}, twice in the ledger {twice}, attempts without a run {stray}; "
        f"billed more than once {excess}, which is {excess / max(1, hits):.1f} a kill; "
        f"{suspected:,} rows were under way at kills, none was set aside; "
        f"the last run found {summary['skipped']:,} answered"
    )
    left = [file.name for file in leftovers]
    if left:
        raise RuntimeError(f"left behind: {', '.join(left)}")
    if answered != rows or twice or stray or hits < kills:
        raise RuntimeError("a row is missing or twice, or the kills came too late")
    if excess > hits * in_flight:
        raise RuntimeError("more was paid again than was in flight")


def _one(ledger: duckdb.DuckDBPyConnection, query: str) -> int:
    row = ledger.execute(query).fetchone()
    return int(row[0]) if row else 0
