"""A primary that is down for a while beside a fallback that is up: who asks it, and is every row answered?"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import duckdb

from bench.children import json_of
from bench.project import make_project
from tests.llmserver import Server

_ASKED = """
with opened as (select $at::timestamptz as began_at, $until::timestamptz as ended_at)
select count(distinct task_run_id) filter (where started_at < began_at)                 as before,
       count(distinct task_run_id) filter (where started_at >= began_at
                                             and started_at < coalesce(ended_at, 'infinity')) as while_open,
       count(distinct task_run_id) filter (where started_at >= ended_at)                 as after
from   attempts, opened
where  position = 0
and    failure_kind is distinct from 'circuit_open'
"""
_ROWS = """
select count(*) filter (where status = 'completed'), count(distinct row_key),
       count(*) filter (where used_fallback_model)
from   task_runs
"""


def breaker(
    server: Server, *, rows: int = 5_000, in_flight: int = 200, seconds: float = 60.0, latency_ms: int = 3_000
) -> Iterator[str]:
    """Run the rows while every call to the primary fails for so long.

    Raises:
        RuntimeError: a row was lost, came twice, or too many asked the primary while it was down.
    """
    server.reset()
    server.config(e503=1, ra=0)
    over = Event()
    back = Thread(target=_bring_back, args=(server, seconds, over))
    try:
        with tempfile.TemporaryDirectory() as folder:
            job = make_project(Path(folder), base_url=server.base_url(), rows=rows, in_flight=in_flight)
            _add_fallback(Path(folder), server.base_url(e503=0, lat=latency_ms), in_flight=in_flight)
            back.start()
            figures = json_of("bench.one_run", str(job))
            outage, *more = figures["outages"]
            with duckdb.connect(str(Path(folder) / "ledger.duckdb"), read_only=True) as ledger:
                times = {"at": outage["began_at"], "until": (more or [outage])[-1]["ended_at"]}
                before, while_open, after = ledger.execute(_ASKED, times).fetchone() or (0, 0, 0)
                completed, keys, by_fallback = ledger.execute(_ROWS).fetchone() or (0, 0, 0)
    finally:
        over.set()
        back.join()
        server.config(clear=1)
    once = sum(ok == 1 for _, _, ok in server.rows().values())
    yield (
        f"primary down for {seconds:g} s, {rows:,} rows, {in_flight} in flight: "
        f"{figures['wall_seconds']:.1f} s; {completed:,} answered, {by_fallback:,} of them by the fallback"
    )
    yield (
        f"  rows that asked the primary: {before:,} before it was left alone, {while_open:,} "
        f"({while_open / rows:.2%}) while it was, {after:,} after; down {1 + len(more)} times; "
        f"{outage['rows']:,} rows went by it"
    )
    if not (completed == keys == once == rows):
        raise RuntimeError(f"of {rows} rows {completed} were answered, {keys} are known, {once} asked once")
    if while_open >= 0.02 * rows:
        raise RuntimeError(f"{while_open} rows asked a model that was known to be down")


def _bring_back(server: Server, seconds: float, over: Event) -> None:
    """Let the primary answer again so many seconds after it was first asked."""
    while not server.stats()["recv"]:
        if over.wait(0.05):
            return
    if not over.wait(seconds):
        server.config(e503=0)


def _add_fallback(folder: Path, base_url: str, *, in_flight: int) -> None:
    task, providers = folder / "task.yaml", folder / "providers.yaml"
    parameters = "    parameters: {temperature: 0, max_tokens: 64}\n"
    spare = f"    fallback: [{{model: 'spare:gpt-5-mini', {parameters.strip()}}}]\n"
    task.write_text(task.read_text().replace(parameters, parameters + spare))
    with providers.open("a") as file:
        file.write(
            f"spare: {{protocol: openai, base_url: '{base_url}', limits: {{in_flight: {in_flight}}}}}\n"
        )
