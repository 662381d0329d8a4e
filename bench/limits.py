"""Whether limits are used fully and never broken, seen from the server's side."""

import heapq
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from bench.children import json_of
from bench.project import make_project
from tests.llmserver import Server


def latency(server: Server, *, rows: int = 20_000, in_flight: int = 1_000) -> Iterator[str]:
    """1,000 calls in flight at a median of 1 s: the time beside the shortest that those latencies allow."""
    server.reset()
    with tempfile.TemporaryDirectory() as folder:
        url = server.base_url(lat=1000, sigma=0.5)
        job = make_project(Path(folder), base_url=url, rows=rows, in_flight=in_flight, output=None)
        json_of("bench.one_run", str(job))
        with duckdb.connect(str(Path(folder) / "ledger.duckdb"), read_only=True) as ledger:
            took = [seconds for (seconds,) in ledger.execute(_TOOK).fetchall()]
            ((span,),) = ledger.execute(_SPAN).fetchall()
    ideal = shortest(took, in_flight=in_flight)
    yield (
        f"{rows:,} rows, {in_flight:,} in flight, 1 s each (sigma 0.5): {span:.2f} s from the first call to "
        f"the last answer, {ideal:.2f} s at best, {span / ideal - 1:+.1%}; "
        f"most in flight as the server saw it {server.stats()['inflight_max']:,}"
    )


_TOOK = "select worked from attempts order by started_at"
_SPAN = """
    select epoch(max(started_at + to_microseconds((worked * 1e6)::bigint)) - min(started_at)) from attempts
"""


def shortest(took: Sequence[float], *, in_flight: int) -> float:
    """Seconds for calls that took so long, each begun the moment that another one ends."""
    free = [0.0] * in_flight
    for seconds in took:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def rate(server: Server, *, per_minute: int = 600, minutes: float = 2.5) -> Iterator[str]:
    """A limit of requests a minute: the share that is used, and the most that any 60 seconds saw."""
    server.reset()
    rows = int(per_minute * minutes)
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(
            Path(folder),
            base_url=server.base_url(rpm=per_minute, lat=100),
            rows=rows,
            in_flight=64,
            limits={"requests_per_minute": per_minute},
            output=None,
        )
        figures = json_of("bench.one_run", str(job))
    stats = server.stats()
    used = (rows - 1) / (float(stats["first_to_last_s"]) / 60) / per_minute
    yield (
        f"{per_minute} requests a minute for {minutes} minutes: {used:.1%} used; "
        f"most in any 60 s {server.busiest(60)}; 429s {stats['by_status'].get('429', 0)}; "
        f"rows answered {figures['completed']:,}"
    )
