"""What a driver is told, and what it tells when it has run.

A driver is started as `python -m bench.peers.drivers.NAME ORDER.json`. It imports its system, takes the
order, runs every row of the CSV once, and prints one JSON object on a line of its own. Importing is over when
`driven` is called, so that the time of a run is told apart from the time of a start. Standard library only:
this is read by every peer's own Python.
"""

import csv
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

MODEL = "gpt-5-mini"
SYSTEM_PROMPT = "You classify product reviews."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "row_id": {"type": "string"},
        "sentiment": {"type": "string", "enum": ["positive", "negative"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["row_id", "sentiment", "score"],
    "additionalProperties": False,
}
RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
}


@dataclass(frozen=True, kw_only=True)
class Order:
    """One run: these rows, against this server, with so many calls in flight and so many tries a row."""

    rows: Path
    """A CSV file with the columns id, customer and review."""
    folder: Path
    """Where answers, caches and checkpoints go; a second run finds those of the first."""
    base_url: str
    in_flight: int
    tries: int
    """All calls that a row may have, the first included."""
    per_minute: int | None
    """A limit of requests a minute to be told to the system, or None for no limit."""
    as_it_comes: bool
    """Leave the answer to a 429 as the system has it by default, where the driver would set it otherwise."""


def read_rows(order: Order) -> Iterator[tuple[str, str]]:
    """The id and the user prompt of every row, in the file's order."""
    with order.rows.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row["id"], prompt_of(row)


def prompt_of(row: dict[str, Any]) -> str:
    """The user prompt of one row of the file; the same for every system."""
    return f"row_id: {row['id']} {row['review']}"


def driven(distribution: str, run: Callable[[Order], int]) -> None:
    """Take the order, run it, and print what it took; `run` gives the number of rows with a good answer."""
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    order = Order(**{**told, "rows": Path(told["rows"]), "folder": Path(told["folder"])})
    began, cpu = time.perf_counter(), _cpu()
    answered = run(order)
    seconds, used = time.perf_counter() - began, _cpu() - cpu
    print(
        "\n"
        + json.dumps(
            {
                "version": version(distribution),
                "answered": answered,
                "seconds": seconds,
                "cpu_seconds": used,
            }
        ),
        flush=True,
    )


def _cpu() -> float:
    """User and system seconds of this process and of the children it has waited for."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
