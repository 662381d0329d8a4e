"""Leases as others keep them: `python -m bench.lease_trials prefect|quack` prints what one costs.

prefect   a global concurrency limit of Prefect, asked of a server of its own on loopback
quack     a row of a DuckDB that is served by Quack: one statement takes a turn from it
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from secrets import token_urlsafe
from statistics import median

import duckdb

from tasks_lib.ledger.extensions import load_extensions

_TICKS = os.sysconf("SC_CLK_TCK")
_WITHIN = 180.0  # seconds for a server to answer
_SELF = "bench.lease_trials"


def _prefect(seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        port = _free_port()
        ours = {
            "PREFECT_HOME": home,
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        os.environ.update(ours)  # read when prefect is imported, below
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
        with _program(command) as server:
            _wait_for(f"http://127.0.0.1:{port}/api/health", server)
            return asyncio.run(_ask_prefect(server.pid, seconds))


async def _ask_prefect(server: int, seconds: float) -> dict[str, float]:
    from prefect import get_client  # noqa: PLC0415 - it reads its settings when it is imported
    from prefect.concurrency.asyncio import concurrency, rate_limit  # noqa: PLC0415 - as above

    async with get_client() as client:
        await client.upsert_global_concurrency_limit_by_name("rate", 100_000, slot_decay_per_second=10_000.0)
        await client.upsert_global_concurrency_limit_by_name("places", 10_000)

    async def place() -> None:
        async with concurrency("places"):
            pass

    found: dict[str, float] = {}
    for name, lease in (("rate_limit", lambda: rate_limit("rate")), ("concurrency", place)):
        for at_once in (1, 16):
            told = await _measured(lease, server, seconds=seconds, at_once=at_once)
            found |= {f"{name}_{what}_{at_once}": figure for what, figure in told.items()}
    return found


async def _measured(
    lease: Callable[[], Awaitable[None]], server: int, *, seconds: float, at_once: int
) -> dict[str, float]:
    """So many at once for so long: milliseconds of one, how many a second, and CPU of both ends for one."""
    await lease()
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def again_and_again() -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            await lease()
            took.append(time.perf_counter() - began)

    began, theirs, ours = time.perf_counter(), _cpu_of_tree(server), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(again_and_again())
    return {
        "ms": median(took) * 1e3,
        "per_second": len(took) / (time.perf_counter() - began),
        "server_cpu_ms": (_cpu_of_tree(server) - theirs) / len(took) * 1e3,
        "client_cpu_ms": (time.process_time() - ours) / len(took) * 1e3,
    }


_TAKE = (
    "update lease set left_over = left_over - 1 where account = ''a'' and left_over >= 1 returning left_over"
)


def _quack(seconds: float) -> dict[str, float]:
    token, uri = token_urlsafe(16), f"quack:127.0.0.1:{_free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", _SELF, "quack-server", "--uri", uri, "--folder", folder]
        with _program(command, told=token) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            return asyncio.run(_ask_quack(server.pid, uri, token, seconds))


async def _ask_quack(server: int, uri: str, token: str, seconds: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for at_once in (1, 4):
        with ThreadPoolExecutor(at_once) as threads:
            ask = _Asking(uri, token, at_once)

            async def lease(ask: _Asking = ask, threads: ThreadPoolExecutor = threads) -> None:
                while not await asyncio.get_running_loop().run_in_executor(threads, ask.take):
                    pass

            told = await _measured(lease, server, seconds=seconds, at_once=at_once)
            found |= {f"{what}_{at_once}": figure for what, figure in told.items()}
    return found


class _Asking:
    """Clients of a Quack server, one for each thread."""

    def __init__(self, uri: str, token: str, clients: int) -> None:
        self._clients = [_client() for _ in range(clients)]
        self._take = f"from quack_query('{uri}', '{_TAKE}', token := '{token}')"

    def take(self) -> bool:
        """Take one; False if another took one at the same time, and it has to be tried again."""
        client = self._clients.pop()
        try:
            client.execute(self._take).fetchall()
        except duckdb.Error as error:
            if "onflict" not in str(error):
                raise
            return False
        finally:
            self._clients.append(client)
        return True


def _client() -> duckdb.DuckDBPyConnection:
    client = duckdb.connect()
    load_extensions(client, "httpfs", "quack", extra="live")
    return client


def _serve_quack(uri: str, folder: Path) -> None:
    token = sys.stdin.readline().strip()
    with duckdb.connect(str(folder / "leases.duckdb")) as ours:
        load_extensions(ours, "httpfs", "quack", extra="live")
        ours.execute("create table lease as select 'a' as account, 1_000_000_000 as left_over")
        ours.execute(f"call quack_serve('{uri}', token => '{token}')")
        print("ready", flush=True)
        sys.stdin.read()  # until whoever started us is done


@contextmanager
def _program(command: list[str], *, told: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A program that hears a line, and is ended with all that it has started."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if told else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        try:
            assert child.stdin is not None
            child.stdin.write(f"{told}\n".encode())
            child.stdin.flush()
            yield child
        finally:
            started = _tree(child.pid)
            if child.stdin is not None:
                child.stdin.close()
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                for pid in started:
                    if Path(f"/proc/{pid}").exists():
                        os.kill(pid, 9)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _WITHIN
    while time.monotonic() < until:
        assert server.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError("the server does not answer")


def _tree(pid: int) -> list[int]:
    """A process and all that it has started."""
    found, at = [pid], 0
    while at < len(found):
        children = Path(f"/proc/{found[at]}/task/{found[at]}/children")
        found += [int(child) for child in children.read_text().split()] if children.exists() else []
        at += 1
    return found


def _cpu_of_tree(pid: int) -> float:
    """Seconds of CPU that a process and what it has started have used."""
    ticks = 0
    for one in _tree(pid):
        after_name = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(after_name[11]) + int(after_name[12])
    return ticks / _TICKS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("prefect", "quack", "quack-server"))
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    parser.add_argument("--uri", default="")
    parser.add_argument("--folder", type=Path, default=Path())
    given = parser.parse_args()
    if given.what == "quack-server":
        _serve_quack(given.uri, given.folder)
        return
    print(json.dumps(_prefect(given.seconds) if given.what == "prefect" else _quack(given.seconds)))


if __name__ == "__main__":
    _main()
