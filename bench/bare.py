"""The bare transport: the same requests in the barest loop that each HTTP client allows.

`python -m bench.bare --client pyreqwest --url http://127.0.0.1:PORT/v1 --rows 5000 --at-once 256 --json`

Each loop POSTs a chat completion under a JSON schema, reads the answer's JSON, and does nothing else: no
retry, limit, validation or ledger. What a row costs here is the least that it can cost over this client.
One client a process, so that the peak of memory is its own.
"""

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

import orjson

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
_HEADERS: Final = {"Content-Type": "application/json", "Authorization": "Bearer bench"}


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


async def bare_pyreqwest(url: str, n: int, at_once: int) -> Figures:
    """Rows over pyreqwest's own API; url is the base URL of the API, with its /v1."""
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415  # a client's memory counts for it alone

    to = f"{url}/chat/completions"
    async with ClientBuilder().default_headers(_HEADERS).build() as client:

        async def ask(row: int) -> None:
            response = await client.post(to).body_bytes(body_of(row)).build().send()
            _check(response.status, memoryview(await response.bytes()))

        figures = await _measured("pyreqwest", ask, n, at_once)
    await asyncio.sleep(
        0.05
    )  # its thread still winds up; Python before 3.14 aborts if it needs the GIL at the end
    return figures


async def bare_aiohttp(url: str, n: int, at_once: int) -> Figures:
    """Rows over aiohttp, with as many connections as calls in flight."""
    import aiohttp  # noqa: PLC0415  # as above, and it need not be installed for the others

    to = f"{url}/chat/completions"
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector, headers=_HEADERS) as client:

        async def ask(row: int) -> None:
            async with client.post(to, data=body_of(row)) as response:
                _check(response.status, await response.read())

        return await _measured("aiohttp", ask, n, at_once)


async def bare_httpx(url: str, n: int, at_once: int) -> Figures:
    """Rows over httpx with its own pool, with as many connections as calls in flight."""
    import httpx  # noqa: PLC0415  # as above

    to = f"{url}/chat/completions"
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(limits=limits, headers=_HEADERS, timeout=600, trust_env=False) as client:

        async def ask(row: int) -> None:
            response = await client.post(to, content=body_of(row))
            _check(response.status_code, response.content)

        return await _measured("httpx", ask, n, at_once)


CLIENTS: Final = {"pyreqwest": bare_pyreqwest, "aiohttp": bare_aiohttp, "httpx": bare_httpx}


async def _measured(name: str, ask: Callable[[int], Awaitable[None]], n: int, at_once: int) -> Figures:
    rows = iter(range(n))
    cpu, began = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(min(at_once, n)):
            workers.create_task(_work(ask, rows))
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1 << 20 if sys.platform == "darwin" else 1 << 10
    )
    return Figures(
        client=name,
        rows=n,
        at_once=at_once,
        seconds=round(seconds, 3),
        rows_per_second=round(n / seconds, 1),
        cpu_us_per_row=round(used / n * 1e6, 1),
        peak_rss_mb=round(peak, 1),
    )


async def _work(ask: Callable[[int], Awaitable[None]], rows: Iterator[int]) -> None:
    for row in rows:  # one iterator for all workers: whoever is free takes the next row
        await ask(row)


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
    figures = asyncio.run(CLIENTS[told.client](told.url.rstrip("/"), told.rows, told.at_once))
    if told.json:
        print(orjson.dumps(figures).decode())
    else:
        print("  ".join(f"{name} {value}" for name, value in asdict(figures).items()))


if __name__ == "__main__":
    main()
