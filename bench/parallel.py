"""A job at Parallel through task groups, misfortunes and kill -9s: no row missing, no run begun twice."""

import csv
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from bench.children import ROOT, command, json_of
from tests.parallelserver import Server, running_server

MISFORTUNES: Final[Mapping[str, float]] = {
    "rpm": 0,
    "fail": 0.02,
    "c402": 0.05,
    "c503": 0.05,
    "c_lost": 0.05,
    "c_trunc": 0.05,
    "c_slow": 0.3,  # the runs are made, and their ids come later: a kill between the two loses them
    "slow_ms": 800,
    "sse_cut": 0.5,
    "sse_cut_after": 40,
    "r500": 0.01,
    "r_cut": 0.01,
}
_TASK: Final = """\
task: bench
output:
  schema:
    type: object
    properties: {row_id: {type: string}, capital: {type: string}}
    required: [row_id, capital]
    additionalProperties: false
user_prompt: "row_id: {{id}} The capital of {{country}}"
model: parallel:lite
"""
_KEY: Final = "not-a-key"
_ENDED: Final = """
select row_key, arg_max(status, created_at)
from   task_runs
where  status in ('completed', 'failed')
group  by row_key
"""


def parallel(
    *, rows: int, kills: int, seed: int = 1, misfortunes: Mapping[str, float] = MISFORTUNES
) -> Iterator[str]:
    """Run a job, kill it so often, run it to its end, and hold ledger and output against the server's count.

    Raises:
        RuntimeError: a row is missing or out of its place, or a run was begun beside or after a good one.
    """
    draw = random.Random(seed)  # noqa: S311  # moments, not secrets
    with (
        running_server(queue_ms=200, lat=2_500, sigma=0.5, **misfortunes) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        job = _project(Path(folder), server, rows=rows)
        began = time.monotonic()
        hits = 0
        for _ in range(kills * 3):
            if hits < kills:
                hits += _killed(server, job, draw)
        summary = json_of("bench.one_run", str(job), environment={"PARALLEL_API_KEY": _KEY})
        seconds = time.monotonic() - began
        told, runs = server.stats(), server.runs()
        if summary["outcome"] not in ("completed", "completed_with_failures"):
            raise RuntimeError(f"the last run was {summary['outcome']}: {summary['reason']}")
        yield from _verdict(Path(folder), told, runs, rows=rows)
        yield (
            f"{hits} kills over {rows:,} rows in {seconds:.1f} s: {told['posts']} POSTs, "
            f"{told['gets']:,} GETs, {told['streams']} streams of which "
            f"{told['streams_cut']} were cut; the largest POST had "
            f"{told['largest_post']} runs; the last run found {summary['skipped']:,} rows answered"
        )
        if hits < kills:
            raise RuntimeError("the kills came too late")


def _killed(server: Server, job: Path, draw: random.Random) -> bool:
    """Whether the job was killed while runs of it were under way."""
    before = _heard(server)
    child = subprocess.Popen(
        command("bench.one_run", str(job)),
        cwd=ROOT,
        env={**os.environ, "PARALLEL_API_KEY": _KEY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while child.poll() is None and _heard(server) == before:
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 1.2))
    child.send_signal(signal.SIGKILL)
    return child.wait() == -signal.SIGKILL


def _heard(server: Server) -> int:
    """Requests that came."""
    told = server.stats()
    return int(told["posts"]) + int(told["gets"])


def _project(folder: Path, server: Server, *, rows: int) -> Path:
    """The path of a job, with task, provider and rows beside it."""
    (folder / "task.yaml").write_text(_TASK)
    (folder / "providers.yaml").write_text(
        f"parallel: {{base_url: '{server.url}', limits: {{requests_per_minute: 1000000}}}}\n"
    )
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "country"])
        writer.writerows((row, f"country {row}") for row in _ids(rows))
    job = folder / "job.yaml"
    job.write_text(
        "task: task.yaml\nsource: {path: rows.csv, key: id}\nledger: ledger.duckdb\noutput: out.csv\n"
    )
    return job


def _ids(rows: int) -> list[int]:
    """Ids in an order that no database would choose by itself."""
    ids = list(range(rows))
    random.Random(rows).shuffle(ids)  # noqa: S311  # an order, not a secret
    return ids


def _verdict(
    folder: Path, told: Mapping[str, Any], runs: list[dict[str, Any]], *, rows: int
) -> Iterator[str]:
    """What ledger, output and server say of the rows.

    Raises:
        RuntimeError: they do not agree.
    """
    with duckdb.connect(str(folder / "ledger.duckdb"), read_only=True) as ledger:
        ended = ledger.execute(_ENDED).fetchall()
    statuses = Counter(status for _, status in ended)
    with (folder / "out.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    answered = {key for key, status in ended if status == "completed"}
    good = Counter(run["key"] for run in runs if run["status"] == "completed")
    yield (
        f"{rows:,} rows: {statuses['completed']:,} completed, {statuses['failed']} failed; runs begun "
        f"{len(runs):,}, of which failed {sum(run['status'] == 'failed' for run in runs)}; beside another "
        f"{told['runs_beside_another']}, after a good one {told['runs_after_success']}; never announced "
        f"{told['runs_never_announced']:,}; charged ${told['usd_spent']:.3f}"
    )
    if statuses["completed"] + statuses["failed"] != rows:
        raise RuntimeError("a row is missing")
    if told["runs_beside_another"] or told["runs_after_success"] or set(good.values()) - {1}:
        raise RuntimeError("a run was begun for a row that had one")
    if set(good) != answered:
        raise RuntimeError("a run that was paid for is nobody's answer")
    if [int(row["id"]) for row in written] != _ids(rows):
        raise RuntimeError("the output is not in the input's order")
    if any(row["row_id"] != row["id"] for row in written if row["id"] in answered):
        raise RuntimeError("a row has another one's answer")
