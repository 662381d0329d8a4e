"""Whether limits are used fully and never broken, seen from the server's side."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.children import json_of
from bench.project import make_project
from tests.llmserver import Server


def latency(server: Server, *, rows: int = 10_000, in_flight: int = 1_000) -> Iterator[str]:
    """1,000 calls in flight at 1 s: wall time beside the ideal."""
    server.reset()
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(
            Path(folder), base_url=server.base_url(lat=1000), rows=rows, in_flight=in_flight, output=None
        )
        figures = json_of("bench.one_run", str(job))
    ideal = rows / in_flight
    stats = server.stats()
    yield (
        f"{rows:,} rows, {in_flight:,} in flight, 1 s each: {figures['wall_seconds']:.2f} s, "
        f"ideal {ideal:.0f} s, {figures['wall_seconds'] / ideal - 1:+.1%}; "
        f"most in flight as the server saw it {stats['inflight_max']:,}; "
        f"first to last arrival {stats['first_to_last_s']:.2f} s"
    )


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
