"""Rows against a server that fails on purpose: all answered, and every count the same on both sides."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from bench.children import json_of
from bench.project import make_project
from tests.llmserver import Server

SETTINGS = {"e429": 0.05, "ra": 1, "e500": 0.02, "e_malformed": 0.01, "det": 1}

_SUMS = """
select count(*)                                        as attempts,
       count(distinct task_run_id)                     as task_runs,
       count(input_tokens)                             as calls_with_usage,
       coalesce(sum(input_tokens), 0)::bigint          as input_tokens,
       coalesce(sum(output_tokens), 0)::bigint         as output_tokens,
       count(*) filter (where cost is null)            as calls_of_unknown_cost,
       count(*) filter (where maybe_billed)            as calls_maybe_billed
from   attempts
"""


def faults(server: Server, *, rows: int = 20_000, in_flight: int = 64) -> Iterator[str]:
    """Run the rows, then hold the ledger's sums against the server's own count.

    Raises:
        RuntimeError: the two do not agree, or a row was lost.
    """
    server.reset()
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(
            Path(folder),
            base_url=server.base_url(**SETTINGS),
            rows=rows,
            in_flight=in_flight,
            output="out.csv",
        )
        figures = json_of("bench.one_run", str(job))
        with duckdb.connect(str(Path(folder) / "ledger.duckdb"), read_only=True) as ledger:
            found = ledger.execute(_SUMS)
            names = [column[0] for column in found.description or ()]
            ours = dict(zip(names, found.fetchone() or (), strict=True))
    theirs = server.stats()
    malformed = theirs["by_outcome"].get("e_malformed", 0)
    checks = {
        "every row answered": (figures["completed"], rows),
        "rows received and never answered": (theirs["rows_received_never_ok"], 0),
        "calls before their Retry-After": (theirs.get("ra_violations", 0), 0),
        "attempts": (ours["attempts"], theirs["recv"]),
        "task runs": (ours["task_runs"], rows),
        "malformed answers, marked as maybe billed": (ours["calls_maybe_billed"], malformed),
        "their cost unknown": (ours["calls_of_unknown_cost"], malformed),
        "input tokens, but for those of malformed answers": (
            ours["input_tokens"],
            theirs["tok_in"] - malformed * ours["input_tokens"] // ours["calls_with_usage"],
        ),
        "output tokens, but for those of malformed answers": (
            ours["output_tokens"],
            theirs["tok_out"] - _malformed_output(theirs, malformed, ours),
        ),
    }
    told = ", ".join(f"{name}={value}" for name, value in SETTINGS.items())
    yield f"{told}; {rows:,} rows, {in_flight} in flight, {figures['wall_seconds']:.1f} s"
    for what, (one, other) in checks.items():
        yield f"  {'ok ' if one == other else 'NOT'} {what}: ledger {one:,}, server {other:,}"
    broken = [what for what, (one, other) in checks.items() if one != other]
    if broken:
        raise RuntimeError(f"not equal: {', '.join(broken)}")


def _malformed_output(theirs: dict[str, Any], malformed: int, ours: dict[str, Any]) -> int:
    """Output tokens of malformed answers: as the server says by outcome, else what is left to explain."""
    by_outcome = theirs.get("tokens_by_outcome")
    if by_outcome is not None:
        return int(by_outcome.get("e_malformed", (0, 0))[1])
    left = int(theirs["tok_out"]) - int(ours["output_tokens"])
    mean = ours["output_tokens"] / max(1, ours["calls_with_usage"])
    return left if 0.8 * mean * malformed <= left <= 1.2 * mean * malformed else 0
