"""A sum of money under many calls at once, some of whose answers never arrive."""

import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb

from bench.children import json_of
from bench.project import make_project
from tests.llmserver import Server

_DEARER = "bench:gpt-5-mini: {input: 2.5, output: 10}\n"  # so that the sum is soon spent
_SPENT = "select coalesce(sum(cost), 0), coalesce(sum(estimated_cost), 0), count(*) from attempts"


def money(server: Server, *, most: Decimal = Decimal(1), in_flight: int = 500) -> Iterator[str]:
    """What the ledger knows to be spent, and what may have been, of a limit in dollars.

    Raises:
        RuntimeError: the limit was passed, or did not end the run.
    """
    server.reset()
    with tempfile.TemporaryDirectory() as folder:
        job = make_project(
            Path(folder),
            base_url=server.base_url(lat=50, sigma=0.5, e_reset_late=0.02, e500=0.02),
            rows=int(most * 5_000),
            in_flight=in_flight,
            limits={"max_cost": float(most)},
            retries={"wait_initial": 0.01, "wait_max": 0.1},
            output=None,
        )
        (Path(folder) / "prices.yaml").write_text(_DEARER)
        figures = json_of("bench.one_run", str(job))
        with duckdb.connect(str(Path(folder) / "ledger.duckdb"), read_only=True) as ledger:
            ((sure, perhaps, calls),) = ledger.execute(_SPENT).fetchall()
    if sure + perhaps > most or figures["outcome"] != "stopped":
        raise RuntimeError(f"${sure} and perhaps ${perhaps} of ${most} were spent: {figures}")
    yield (
        f"${most} at {in_flight:,} in flight, 2 % of answers lost, 2 % 500: {calls:,} calls, "
        f"${sure:.4f} sure and ${perhaps:.4f} perhaps"
    )
