"""The memory of whole jobs from Parquet, and what the finished job takes when it is run again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.children import json_of
from bench.project import make_project
from tests.llmserver import Server

_MOST_MB = 400


def memory(server: Server, *, sizes: tuple[int, ...], at_once: int = 256) -> Iterator[str]:
    """Lines of a table: the peak of memory by rows, and the seconds and calls of the second run.

    Raises:
        RuntimeError: the peak is above its bar, a row is missing, or a finished job made calls.
    """
    yield f"Parquet to ledger to Parquet, {at_once} in flight; then the same job again"
    yield "| rows | peak MB | rows/s | CPU µs a row | again: peak MB | seconds | calls |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            job = make_project(
                Path(folder), base_url=server.base_url(), rows=rows, in_flight=at_once, source="rows.parquet"
            )
            first = json_of("bench.one_run", str(job))
            before = int(server.stats()["recv"])
            again = json_of("bench.one_run", str(job))
            calls = int(server.stats()["recv"]) - before
        yield (
            f"| {rows:,} | {first['peak_rss_mb']:,.0f} | {first['rows_per_second']:,.0f} "
            f"| {first['cpu_us_per_row']:,.0f} | {again['peak_rss_mb']:,.0f} "
            f"| {again['wall_seconds']:,.1f} | {calls} |"
        )
        if first["completed"] != rows or again["skipped"] != rows or calls:
            raise RuntimeError(f"a row is missing, or was asked again: {first}, {again}, {calls} calls")
        if max(first["peak_rss_mb"], again["peak_rss_mb"]) > _MOST_MB:
            raise RuntimeError(f"{rows:,} rows took more than {_MOST_MB} MB")
