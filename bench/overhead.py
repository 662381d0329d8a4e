"""What a row costs beyond its transport: rowmill beside the bare loop, at zero latency, in the same run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.children import json_of
from bench.project import make_project

_OWN_CORE = 0  # the server has the rest


def overhead(base_url: str, *, sizes: tuple[int, ...], at_once: int, repeats: int) -> Iterator[str]:
    """Lines of a table: rows/s, CPU a row and peak memory for each size, medians of some repeats."""
    yield f"zero latency, {at_once} in flight, client on one core; medians of {repeats}"
    yield "| rows | | rows/s | CPU µs a row | peak MB | of bare rows/s |"
    yield "|---:|---|---:|---:|---:|---:|"
    for rows in sizes:
        bare, ours = [], []
        for _ in range(repeats):  # in turn, so that both see the same neighbours
            bare.append(_bare(base_url, rows=rows, at_once=at_once))
            ours.append(_ours(base_url, rows=rows, at_once=at_once))
        yield _line(rows, "bare transport (pyreqwest)", bare, share=1.0)
        share = _middle(ours, "rows_per_second") / _middle(bare, "rows_per_second")
        yield _line(rows, "rowmill, CSV to ledger to Parquet", ours, share=share)


def _bare(base_url: str, *, rows: int, at_once: int) -> dict[str, float]:
    return json_of(
        "bench.bare", "--client", "pyreqwest", "--url", base_url, "--rows", str(rows), "--at-once",
        str(at_once), "--json", core=_OWN_CORE,
    )  # fmt: skip


def _ours(base_url: str, *, rows: int, at_once: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(Path(folder), base_url=base_url, rows=rows, in_flight=at_once)
        figures = json_of("bench.one_run", str(job), core=_OWN_CORE)
    if figures["completed"] != rows:
        raise RuntimeError(f"{figures['completed']} of {rows} rows were answered: {figures}")
    return figures


def _middle(figures: list[dict[str, float]], name: str) -> float:
    return median(one[name] for one in figures)


def _line(rows: int, who: str, figures: list[dict[str, float]], *, share: float) -> str:
    return (
        f"| {rows:,} | {who} | {_middle(figures, 'rows_per_second'):,.0f} "
        f"| {_middle(figures, 'cpu_us_per_row'):,.0f} "
        f"| {_middle(figures, 'peak_rss_mb'):,.0f} | {share:.0%} |"
    )
