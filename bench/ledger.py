"""The ledger alone: CPU a row by the size of a commit, and memory over many rows.

`python -m bench.ledger --rows 100000 --group 100` prints one JSON object of one measured writing.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.children import json_of
from bench.peak import own_peak_mb
from tasks_lib.ledger import open_ledger
from tests.ledger.builders import answered, begin, plan, run

_GROUPS = (25, 100, 250, 1_000)
_REVIEW = "The phone arrived quickly and the battery lasts two days. " * 6


def ledger(*, rows: int, sizes: tuple[int, ...], groups: tuple[int, ...] = _GROUPS) -> Iterator[str]:
    """Lines of two tables: CPU a row over some rows for each size of a commit; memory over many rows."""
    yield "task runs of some 700 bytes with one attempt each, CPU of `Ledger.add` alone"
    yield "| rows a commit | CPU µs a row | CPU ms a commit | ms a commit, synced |"
    yield "|---:|---:|---:|---:|"
    for group in groups:
        found = _written(rows=rows, group=group)
        yield (
            f"| {group:,} | {found['cpu_us_per_row']:,.0f} | {found['cpu_ms_per_commit']:,.1f} "
            f"| {found['ms_per_commit']:,.1f} |"
        )
    yield ""
    yield "| rows | peak MB before closing | peak MB | seconds to close |"
    yield "|---:|---:|---:|---:|"
    for size in sizes:
        found = _written(rows=size, group=250)
        yield (
            f"| {size:,} | {found['peak_rss_mb_before_closing']:,.0f} | {found['peak_rss_mb']:,.0f} "
            f"| {found['seconds_to_close']:,.1f} |"
        )


def _written(*, rows: int, group: int) -> dict[str, float]:
    return json_of("bench.ledger", "--rows", str(rows), "--group", str(group))


def _write(folder: Path, *, rows: int, group: int) -> dict[str, float]:
    cpu = seconds = 0.0
    with open_ledger(folder / "ledger.duckdb") as opened:
        batch = begin(opened)
        for first in range(0, rows, group):
            task_runs = [
                run(
                    plan(
                        key=str(number),
                        number=number,
                        text=f"{_REVIEW}{number}",
                        group=f"customer-{number % 7}",
                    ),
                    answered({"row_id": str(number), "sentiment": "positive", "score": 0.5}),
                )
                for number in range(first + 1, min(first + group, rows) + 1)
            ]
            began, cpu_before = time.perf_counter(), time.process_time()
            opened.add(task_runs, batch_id=batch)
            cpu += time.process_time() - cpu_before
            seconds += time.perf_counter() - began
        before_closing = own_peak_mb()
        began = time.perf_counter()
    commits = -(-rows // group)
    return {
        "cpu_us_per_row": cpu / rows * 1e6,
        "cpu_ms_per_commit": cpu / commits * 1e3,
        "ms_per_commit": seconds / commits * 1e3,
        "peak_rss_mb_before_closing": before_closing,
        "peak_rss_mb": own_peak_mb(),
        "seconds_to_close": time.perf_counter() - began,
    }


def main() -> None:
    """Write rows into a ledger of its own, and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--group", type=int, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_write(Path(folder), rows=given.rows, group=given.group)))


if __name__ == "__main__":
    main()
