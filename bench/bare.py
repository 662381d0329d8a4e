"""The bare transport: the same requests in the barest loop that each HTTP client allows.

`python -m bench.bare --client pyreqwest --url http://127.0.0.1:PORT/v1 --rows 5000 --at-once 256 --json`

Each loop POSTs a chat completion under a JSON schema, reads the answer's JSON, and does nothing else: no
retry, limit, validation or ledger. What a row costs here is the least that it can cost over this client.
One client a process, so that the peak of memory is its own.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import orjson

from bench.clients import CLIENTS, Ask
from bench.peak import own_peak_mb

_BEFORE, _AFTER = orjson.dumps(
    {
        "model": "gpt-5-mini",
        "temperature": 0,
        "messages": [
            {"role": "system", "content": "You classify product reviews."},
            {
                "role": "user",
                "content": "row_id: {row} The phone arrived quickly and the battery lasts two days.",
            },
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "strict": True,
                "schema": {
                    "type": "object",
                    "properties": {
                        "row_id": {"type": "string"},
                        "sentiment": {"enum": ["positive", "negative"]},
                        "score": {"type": "number", "minimum": 0, "maximum": 1},
                    },
                    "required": ["row_id", "sentiment", "score"],
                    "additionalProperties": False,
                },
            },
        },
    }
).split(b"{row}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run took; CPU is user and system time of the whole process, memory its peak."""

    client: str
    rows: int
    at_once: int
    seconds: float
    rows_per_second: float
    cpu_us_per_row: float
    peak_rss_mb: float


def body_of(row: int) -> bytes:
    """The request body of a row, some 600 bytes."""
    return b"%b%d%b" % (_BEFORE, row, _AFTER)


async def bare(client: str, url: str, *, rows: int, at_once: int) -> Figures:
    """All rows over a client, so many at once; url is the base URL of the API, with its /v1."""
    async with CLIENTS[client](f"{url}/chat/completions", at_once) as ask:
        return await _measured(client, ask, rows, at_once)


async def _measured(name: str, ask: Ask, n: int, at_once: int) -> Figures:
    rows = iter(range(n))
    cpu, began = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(at_once, n)):
            workers.create_task(_work(ask, rows))
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    return Figures(
        client=name,
        rows=n,
        at_once=at_once,
        seconds=round(seconds, 3),
        rows_per_second=round(n / seconds, 1),
        cpu_us_per_row=round(used / n * 1e6, 1),
        peak_rss_mb=round(own_peak_mb(), 1),
    )


async def _work(ask: Ask, rows: Iterator[int]) -> None:
    for row in rows:  # one iterator for all workers: whoever is free takes the next row
        _check(*await ask(body_of(row)))


def _check(status: int, told: bytes | memoryview) -> None:
    answer = orjson.loads(told)
    if status != 200 or not answer["choices"]:
        raise RuntimeError(f"a bare row was answered {status}: the figures would be worth nothing")


def main() -> None:
    """Measure one client, and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.bare", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--client", choices=CLIENTS, required=True)
    parser.add_argument("--url", required=True, help="base URL with its /v1")
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--at-once", type=int, default=256)
    parser.add_argument("--json", action="store_true", help="one JSON object in place of a line of text")
    told = parser.parse_args()
    url = told.url.rstrip("/")
    figures = asyncio.run(bare(told.client, url, rows=told.rows, at_once=told.at_once))
    if told.json:
        print(orjson.dumps(figures).decode())
    else:
        print("  ".join(f"{name} {value}" for name, value in asdict(figures).items()))


if __name__ == "__main__":
    main()
