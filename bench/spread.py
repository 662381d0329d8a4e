"""Workers on two hosts: kills, a link that is pulled, a driver that dies; what that costs, counted outside.

    python -m bench.spread --url http://10.77.1.1:PORT [--rows 50000] [--per-second 1000]

The server has to listen on every address and to know the settings `rps` and `burst`, as tests/llmserver does
on loopback. Hosts are network namespaces (see `bench.hosts`), and workers are started by hand in them.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import duckdb

from bench.children import ROOT
from bench.hosts import Host, hosts
from bench.project import make_project

_CUT = 25.0  # seconds without a link: longer than a lease


class Spread:
    """One trial."""

    def __init__(self, folder: Path, *, url: str, rows: int, per_second: int, at: tuple[Host, ...]) -> None:
        """Nothing is started."""
        self.folder = folder
        self.url = url
        self.rows = rows
        self.hosts = at
        self.job = make_project(
            folder,
            base_url=f"{url}/c/lat=200,rps={per_second},burst={per_second}/v1",
            rows=rows,
            in_flight=None,
            limits={"requests_per_minute": 60 * per_second, "in_flight": max(64, per_second)},
        )
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.driver: subprocess.Popen[bytes]
        self.driven = 0

    def drive(self) -> None:
        """Start the driver, as its user would each time."""
        self.driven += 1
        words = ("run", str(self.job), "--workers", str(len(self.hosts)), "--runner", "hand", "--json")
        there = ("--listen", self.hosts[0].here, "--tickets", str(self.folder / "tickets"), "--no-prefect")
        self.driver = self._program((), *words, *there, log=f"driver-{self.driven}")

    def hire(self, host: Host) -> None:
        """Have a worker on a host, unless there is one."""
        worker = self.workers.get(host.name)
        if worker is None or worker.poll() is not None:
            (self.folder / "tickets").mkdir(exist_ok=True)
            words = ("worker", str(self.folder / "tickets"), "--wait", "60")
            self.workers[host.name] = self._program(host.command(), *words, log=host.name)

    def _program(self, before: Sequence[str], *words: str, log: str) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{log}.log").open("ab") as said:
            return subprocess.Popen(
                [*before, sys.executable, "-m", "tasks_lib.cli", *words],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def stats(self) -> Mapping[str, Any]:
        """What the server has counted."""
        with urlopen(f"{self.url}/stats", timeout=30) as answer:  # noqa: S310  # the server that is measured
            counted: Mapping[str, Any] = json.load(answer)
        return counted

    def until(self, part: float) -> None:
        """Wait until such a part of the rows was asked, with workers on all hosts."""
        self.wait(lambda: self.stats()["rows_ok"]["rows"] >= part * self.rows)

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so, or the driver has ended."""
        while not is_so() and self.driver.poll() is None:
            for host in self.hosts:
                self.hire(host)  # what an engine, a cluster or a service does
            time.sleep(0.25)

    def end(self) -> None:
        """Leave nothing running."""
        for program in (self.driver, *self.workers.values()):
            with suppress(ProcessLookupError):
                program.kill()
            program.wait()


def trial(folder: Path, *, url: str, rows: int, per_second: int) -> Mapping[str, object]:
    """What a trial came to."""
    with hosts(2) as (one, other):
        run = Spread(folder, url=url, rows=rows, per_second=per_second, at=(one, other))
        began = time.monotonic()
        run.drive()
        try:
            run.until(0.2)
            run.workers[one.name].send_signal(signal.SIGKILL)
            run.until(0.35)
            other.cut()
            cut = time.monotonic()
            run.wait(lambda: time.monotonic() - cut > _CUT)
            other.join()
            run.until(0.6)
            run.driver.kill()
            run.driver.wait()
            run.drive()
            run.until(0.8)
            run.workers[other.name].send_signal(signal.SIGKILL)
            run.wait(lambda: False)
            code = run.driver.wait()
        finally:
            run.end()
        counted, seconds = run.stats(), time.monotonic() - began
        with duckdb.connect(str(folder / "ledger.duckdb"), read_only=True) as ledger:
            answered = ledger.execute(
                "select count(*), count(distinct row_key) from task_runs where status = 'completed'"
            ).fetchone()
    assert answered is not None
    return {
        "exit code": code,
        "rows": rows,
        "completed runs": answered[0],
        "rows answered": answered[1],
        "calls": counted["rows_received"]["total"],
        "refused (429)": counted["by_status"].get("429", 0),
        "seconds": round(seconds, 1),
        "of the limit": f"{counted['rows_received']['total'] / seconds / per_second:.0%}",
    }


def main() -> None:
    """Run one trial, and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.spread", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--per-second", type=int, default=1_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = trial(Path(folder), url=asked.url, rows=asked.rows, per_second=asked.per_second)
    for name, value in found.items():
        print(f"{name:>16}  {value}")


if __name__ == "__main__":
    main()
