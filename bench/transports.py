"""HTTP clients side by side: what a call costs, by calls in flight, and whether a cancelled one hangs up.

`python -m bench.transports [--url http://127.0.0.1:PORT] [--only NAME …] [--quick]`

Each client is bare (see bare.py) and has a process and a core of its own; the server is on the other.
Connections are made within what is measured. A client that is not installed is passed over with a word.
"""

import argparse
import asyncio
import math
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version

import orjson

from bench.children import json_of
from bench.clients import CLIENTS, Ask
from tests.engine.loopback import Loopback, loopback
from tests.llmserver import Server, running_server

AT_ONCE = (1, 64, 256, 1_000)
_OWN_CORE = 0  # the server has the rest
_FEW = 1_000  # rows for those that take a millisecond and more for each
_SLOW = frozenset({"httpx", "httpx2", "niquests"})
_PATIENCE = 2.0  # seconds in which a connection is closed, if it ever is


def transports(base_url: str, *, names: Sequence[str], rows: int, rounds: int) -> Iterator[str]:
    """Lines of a table: CPU and wall microseconds a call for each client, and whether it hangs up.

    The least of some rounds, in which the clients take turns: neighbours on the machine cost all alike.
    """
    there = [name for name in names if _version(name)]
    for name in names:
        if name not in there:
            yield f"{name} is not installed"
    found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for _ in range(rounds):
        for at_once in AT_ONCE:
            for name in there:
                found[name, at_once].append(_cost(name, base_url, rows=rows, at_once=at_once))
    yield "CPU µs a call (wall µs a call), client on one core"
    yield f"| client | {' | '.join(f'{at_once:,} in flight' for at_once in AT_ONCE)} | a cancelled call |"
    yield "|---|" + "---:|" * len(AT_ONCE) + "---|"
    for name in there:
        least = [min(found[name, at_once]) for at_once in AT_ONCE]
        cells = " | ".join(f"{cpu:,.0f} ({wall:,.0f})" for cpu, wall in least)
        end = json_of("bench.transports", "--drop", name)["dropped"]
        yield f"| {name} {_version(name)} | {cells} | {end} |"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cost(name: str, base_url: str, *, rows: int, at_once: int) -> tuple[float, float]:
    """CPU and wall microseconds a call; infinite if it failed."""
    rows = min(rows, _FEW) if name in _SLOW else rows
    rows = max(rows // 4, 200) if at_once == 1 else rows
    try:
        told = json_of(
            "bench.bare", "--client", name, "--url", base_url, "--rows", str(rows), "--at-once", str(at_once),
            "--json", core=_OWN_CORE,
        )  # fmt: skip
    except RuntimeError:
        return math.inf, math.inf
    return told["cpu_us_per_row"], told["seconds"] / rows * 1e6


async def dropped(name: str) -> str:
    """What the server sees of a call that is cancelled while its answer is awaited."""
    async with loopback() as server, CLIENTS[name](f"{server.url}/slow", 1) as ask:
        return await _dropped(server, ask)


async def _dropped(server: Loopback, ask: Ask) -> str:
    task = asyncio.ensure_future(ask(b"{}"))
    await server.called.wait()
    task.cancel()
    await asyncio.wait([task])
    try:
        await asyncio.wait_for(server.lost.wait(), _PATIENCE)
    except TimeoutError:
        return "goes on unseen"
    return "hangs up"


def main() -> None:
    """Compare all clients, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m bench.transports", description=__doc__)
    parser.add_argument("--url", help="a server that runs already")
    parser.add_argument("--only", nargs="+", choices=CLIENTS, default=list(CLIENTS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="few rows")
    parser.add_argument("--drop", choices=CLIENTS, help=argparse.SUPPRESS)  # as its own child
    told = parser.parse_args()
    if told.drop:
        print(orjson.dumps({"dropped": asyncio.run(dropped(told.drop))}).decode())
        return
    with ExitStack() as stack:
        server = Server(told.url, 0) if told.url else stack.enter_context(running_server())
        print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
        rows, rounds = (2_000, 1) if told.quick else (6_000, 5)
        for line in transports(server.base_url(), names=told.only, rows=rows, rounds=rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
