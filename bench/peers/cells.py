"""One cell of a table: one system, some rows, one setting of the server; and what both sides counted."""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.children import ROOT
from bench.peers.systems import System
from bench.peers.watched import End, Watched, watch
from bench.project import make_project
from tests.llmserver import Server

TRIES: Final = 5
_QUIET: Final = {
    "TELEMETRY_ENABLED": "false",  # curator
    "BESPOKE_CURATOR_TRACKER_DISABLED": "1",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else curator and ondine ask the network when they are imported
    "LITELLM_TELEMETRY": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ONDINE_LOG_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a cell is run under."""

    rows: int
    in_flight: int
    limit_s: float
    """Seconds that the whole child may take."""
    server: Mapping[str, float]
    """The server's settings, in the base URL."""
    per_minute: int | None = None
    as_it_comes: bool = False
    """Without what would be set for it; see System."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What came of it. Seconds, rows/s and CPU are of the run alone; the start and end are told apart."""

    watched: Watched
    rows: int
    answered: int
    """Rows with a good answer, as the system says; 0 if it did not come to say anything."""
    served: int
    """Rows to which the server delivered a good answer, as it counted."""
    calls: int
    """Requests that the server received."""
    most_in_flight: int
    early: int
    """Calls that came back before their Retry-After was over."""
    refused: int
    """Calls that were answered 429."""
    busiest_minute: int
    """The most calls in any 60 seconds; of windows that begin with a second of the clock."""
    seconds: float
    cpu_seconds: float
    version: str

    @property
    def is_whole(self) -> bool:
        """Every row was answered, and the server agrees."""
        return self.watched.end is End.WELL and self.answered == self.rows <= self.served

    @property
    def rows_per_second(self) -> float:
        """Of the run."""
        return self.rows / self.seconds

    @property
    def cpu_us_per_row(self) -> float:
        """User and system time of the run, of the client alone."""
        return self.cpu_seconds / self.rows * 1e6

    def why_not(self, limit_s: float) -> str:
        """In place of a figure where there is none."""
        if self.watched.end is End.LATE:
            return f"> {limit_s:.0f} s"
        if self.watched.end is not End.WELL:
            return "failed"
        return f"{min(self.answered, self.served):,} of {self.rows:,} rows"


def run_cell(
    system: System,
    python: Path,
    server: Server,
    setting: Setting,
    folder: Path,
    *,
    fresh: bool = True,
    kill_when: Callable[[], bool] | None = None,
) -> Cell:
    """Run one system once; a fresh cell begins with an empty folder and counts of 0."""
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
        settle(server)
        server.reset()
    command = command_of(system, python, server.base_url(**setting.server), setting, folder, fresh=fresh)
    watched = watch(
        command, folder=folder, environ=_environ(folder, python), limit=setting.limit_s, kill_when=kill_when
    )
    if watched.end in {End.LATE, End.KILLED}:
        settle(server)
    return cell_of(watched, rows=setting.rows, stats=server.stats(), per_second=server.per_second())


def command_of(
    system: System, python: Path, base_url: str, setting: Setting, folder: Path, *, fresh: bool
) -> Sequence[str]:
    """The command line of a system; a fresh one finds its rows written."""
    limits = {"requests_per_minute": setting.per_minute} if setting.per_minute else None
    job = folder / "job.yaml"
    if fresh:
        job = make_project(
            folder,
            base_url=base_url,
            rows=setting.rows,
            in_flight=setting.in_flight,
            limits=limits,
            retries={"rate_limited": TRIES - 1, "transient": TRIES - 1},
        )
    module = [*_on_one_core(), str(python), "-m"]
    if system.name == "rowmill":
        return [*module, "bench.one_run", str(job)]
    if system.driver is None:
        sizes = ("--rows", str(setting.rows), "--at-once", str(setting.in_flight))
        return [*module, "bench.bare", "--client", "pyreqwest", "--url", base_url, *sizes, "--json"]
    order = folder / "order.json"
    told = {
        "rows": str(folder / "rows.csv"),
        "folder": str(folder),
        "base_url": base_url,
        "in_flight": setting.in_flight,
        "tries": TRIES,
        "per_minute": setting.per_minute,
        "as_it_comes": setting.as_it_comes,
    }
    order.write_text(json.dumps(told), encoding="utf-8")
    return [*module, f"bench.peers.drivers.{system.driver}", str(order)]


def cell_of(watched: Watched, *, rows: int, stats: Mapping[str, Any], per_second: Mapping[int, int]) -> Cell:
    """What the child told, beside what the server counted."""
    told = _told(watched.output)
    seconds = told.get("wall_seconds", told.get("seconds", watched.seconds))
    cpu = told.get("cpu_seconds")
    if cpu is None:
        cpu = told["cpu_us_per_row"] * rows / 1e6 if "cpu_us_per_row" in told else watched.cpu_seconds
    answered = told.get("answered", told.get("completed", told.get("rows", 0)))
    return Cell(
        watched=watched,
        rows=rows,
        answered=int(answered) + int(told.get("skipped", 0)),
        served=int(stats["rows_ok"]["rows"]),
        calls=int(stats.get("recv", 0)),
        most_in_flight=int(stats.get("inflight_max", 0)),
        early=int(stats.get("ra_violations", 0)),
        refused=int(stats.get("by_status", {}).get("429", 0)),
        busiest_minute=busiest(per_second, seconds=60),
        seconds=seconds,
        cpu_seconds=cpu,
        version=str(told.get("version", "")),
    )


def busiest(per_second: Mapping[int, int], *, seconds: int) -> int:
    """The most arrivals in any so many seconds on end."""
    return max((sum(per_second.get(first + k, 0) for k in range(seconds)) for first in per_second), default=0)


def settle(server: Server, *, patience: float = 10.0) -> None:
    """Wait until nothing is in flight any more, so that nothing of the last run is counted in the next."""
    until = time.monotonic() + patience
    while int(server.stats().get("inflight", 0)) > 0 and time.monotonic() < until:
        time.sleep(0.05)


def _told(output: str) -> dict[str, Any]:
    """The last line that is a JSON object: some systems print more, before it or after it."""
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            try:
                told: dict[str, Any] = json.loads(line)
            except ValueError:
                continue
            return told
    return {}


def _environ(folder: Path, python: Path) -> dict[str, str]:
    """No proxy, no key and no setting of the user's; a home of its own, where caches begin empty."""
    packages = next((python.parents[1] / "lib").glob("python3*/site-packages"), folder)
    return {
        **_QUIET,
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "TIKTOKEN_CACHE_DIR": str(packages / "litellm" / "litellm_core_utils" / "tokenizers"),
    }


def _on_one_core() -> list[str]:
    """One core for the client, and the rest for the server; where that can be had."""
    return ["taskset", "-c", "0"] if shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []
