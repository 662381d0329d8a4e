"""Two processes on two cores beside one, at zero latency, with the same ledger and the same limits.

Rows a second are of the whole run, begin and end included. The server has a part of the same cores: its CPU
is counted apart. What the cores can do at best follows from the CPU alone: as many rows a second as leave no
core idle. What they do with nothing in the way is what two batches do side by side that have half of the rows
and of the calls in flight each, a ledger of their own, and nothing to tell one another.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench.children import children_of, json_of
from bench.project import make_project
from tests.llmserver import Server

_CORES = 2
_TICK = 0.01  # seconds, in which the system counts CPU


def workers(server: Server, *, rows: int, at_once: int, repeats: int) -> Iterator[str]:
    """Lines of a table: rows/s and CPU a row of one process, of one on a core, and of two; medians."""
    yield f"{rows:,} rows at zero latency, {at_once} in flight in all; medians of {repeats}"
    yield (
        "| processes | rows/s | of one | CPU µs a row: the batch's own | its workers | server "
        f"| rows/s that {_CORES} cores allow |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    cases = (("one, on one core", None, 0), ("one", None, None), ("--workers 2", 2, None))
    apart = "two batches side by side"
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (*(case[0] for case in cases), apart)}
    for _ in range(repeats):  # in turn, so that all see the same neighbours
        for name, processes, core in cases:
            found[name].append(_run(server, rows=rows, at_once=at_once, processes=processes, core=core))
        found[apart].append(_side_by_side(server, rows=rows, at_once=at_once))
    one = _middle(found["one"], "rows_per_second")
    for name, core in (*((name, core) for name, _, core in cases), (apart, None)):
        rate, here, there, beside = (
            _middle(found[name], what)
            for what in (
                "rows_per_second",
                "cpu_us_per_row",
                "workers_cpu_us_per_row",
                "server_cpu_us_per_row",
            )
        )
        at_best = 1e6 / here if core is not None else _CORES * 1e6 / (here + there + beside)
        yield (
            f"| {name} | {rate:,.0f} | {rate / one:.2f} | {here:,.0f} | {there:,.0f} | {beside:,.0f} "
            f"| {at_best:,.0f} |"
        )


def _run(
    server: Server, *, rows: int, at_once: int, processes: int | None, core: int | None
) -> dict[str, float]:
    given = () if processes is None else ("--workers", str(processes))
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(Path(folder), base_url=server.base_url(), rows=rows, in_flight=at_once)
        before = _cpu_of(server.pid)
        figures = json_of("bench.one_run", str(job), *given, core=core)
        figures["server_cpu_us_per_row"] = (_cpu_of(server.pid) - before) / rows * 1e6
    if figures["completed"] != rows:
        raise RuntimeError(f"{figures['completed']} of {rows} rows were answered: {figures}")
    return figures


def _side_by_side(server: Server, *, rows: int, at_once: int) -> dict[str, float]:
    """Both together, until the later of them has ended."""
    before = _cpu_of(server.pid)
    with ThreadPoolExecutor(_CORES) as pool:
        some = [
            pool.submit(
                _run, server, rows=rows // _CORES, at_once=at_once // _CORES, processes=None, core=None
            )
            for _ in range(_CORES)
        ]
        figures = [one.result() for one in some]
    return {
        "rows_per_second": rows / max(one["wall_seconds"] for one in figures),
        "cpu_us_per_row": sum(one["cpu_us_per_row"] for one in figures) / _CORES,
        "workers_cpu_us_per_row": 0.0,
        "server_cpu_us_per_row": (_cpu_of(server.pid) - before) / rows * 1e6,
    }


def _cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and its children that live; none of a server that somebody else has."""
    if not pid:
        return 0.0
    ticks = 0
    for one in (pid, *children_of(pid)):
        after_name = Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(after_name[11]) + int(after_name[12])
    return ticks * _TICK


def _middle(figures: list[dict[str, float]], name: str) -> float:
    return median(one[name] for one in figures)
