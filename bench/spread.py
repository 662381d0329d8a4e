"""A batch on several hosts: workers and driver killed, a link pulled; what that costs, counted outside.

How much of the limit is used is counted by the server: calls in whole seconds, from the first to the last
call; and the same without the seconds from a driver's death to the first call of the next one.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import duckdb

from bench.crews import WORKERS, Crew, Runner, begun, crew_of, lacks
from bench.project import make_project
from tests.llmserver import Server

_CUT = 25.0  # seconds without a link: longer than a lease
_LOOK = 0.25  # seconds
_ON_ITS_WAY = 0.5  # seconds in which calls that were let in still arrive; no program begins so quickly
_LATENCY = 200  # milliseconds


def spread(
    server: Server, *, runner: Runner, rows: int = 50_000, per_second: int = 500, keep: Path | None = None
) -> Iterator[str]:
    """Lines: what a batch came to whose workers were killed twice and whose driver was killed once.

    Workers by hand are on hosts of their own, and the link of one is pulled for longer than a lease. The
    server has to listen on every address then. With `keep` logs and ledger stay in that folder.

    Raises:
        RuntimeError: a row is missing or answered twice.
    """
    lacking = lacks(runner)
    if lacking is not None:
        yield f"{runner}: not run, it needs {lacking}"
        return
    server.reset()
    with tempfile.TemporaryDirectory(prefix="rowmill-") as made:
        folder = keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        with crew_of(runner, folder) as crew:
            trial = Trial(folder, server, crew, rows=rows, per_second=per_second, runner=runner)
            try:
                told = trial.run()
            finally:
                trial.end()
        yield f"{runner}: {rows:,} rows, {per_second} calls/s allowed"
        yield from (f"  {name}: {value}" for name, value in told.items())


class Trial:
    """One batch, and what is done to it."""

    def __init__(
        self, folder: Path, server: Server, crew: Crew, *, rows: int, per_second: int, runner: Runner
    ) -> None:
        """Nothing is started."""
        self._folder = folder
        self._server = server
        self._crew = crew
        self._rows = rows
        self._per_second = per_second
        self._runner = runner
        base_url = server.base_url(lat=_LATENCY, rps=per_second, burst=per_second)
        if runner == "hand":
            here = crew.words[crew.words.index("--listen") + 1]
            base_url = base_url.replace("127.0.0.1", here)
        self._job = make_project(
            folder,
            base_url=base_url,
            rows=rows,
            in_flight=None,
            limits={"requests_per_minute": 60 * per_second, "in_flight": max(64, per_second)},
        )
        self._drivers = 0
        self._driver: subprocess.Popen[bytes] | None = None
        self._marks: list[tuple[str, float]] = []  # what was done, and when by the wall clock

    def run(self) -> Mapping[str, object]:
        """What it came to."""
        began = time.monotonic()
        self._drive()
        self._until(0.2)
        self._mark("a worker is killed")
        self._crew.kill()
        if self._runner == "hand":
            self._until(0.3)
            self._mark(f"a link is pulled for {_CUT:.0f} s")
            self._crew.cut()
            cut = time.monotonic()
            self._wait(lambda: time.monotonic() - cut > _CUT)
            self._crew.join()
            self._mark("it is put back")
        self._until(0.6)
        assert self._driver is not None
        self._mark("the driver is killed")
        self._driver.kill()
        self._driver.wait()
        killed = time.monotonic()
        self._drive()
        self._wait(lambda: time.monotonic() - killed > _ON_ITS_WAY, look=0.05)
        before = self._received()
        self._wait(lambda: self._received() > before, look=0.05)
        silent = time.monotonic() - killed
        self._mark("the next one calls")
        self._until(0.8)
        self._mark("a worker is killed")
        self._crew.kill()
        self._wait(lambda: False)
        code = self._driver.wait()
        return {"exit code": code, **self._counted(silent, seconds=time.monotonic() - began)}

    def end(self) -> None:
        """Leave nothing running."""
        if self._driver is not None:
            with suppress(ProcessLookupError):
                self._driver.kill()
            self._driver.wait()

    def _drive(self) -> None:
        """Start the driver, as its user would each time."""
        self._drivers += 1
        self._driver = begun(
            (),
            *("run", str(self._job), "--workers", str(WORKERS), "--json", *self._crew.words),
            log=self._folder / f"driver-{self._drivers}",
            **self._crew.environment,
        )

    def _until(self, part: float) -> None:
        """Wait until such a part of the rows was asked."""
        self._wait(lambda: self._received() >= part * self._rows)

    def _wait(self, is_so: Callable[[], bool], *, look: float = _LOOK) -> None:
        """Wait until it is so, or the driver has ended."""
        assert self._driver is not None
        while not is_so() and self._driver.poll() is None:
            self._crew.tend()
            time.sleep(look)

    def _received(self) -> int:
        return sum(self._server.per_second().values())

    def _mark(self, what: str) -> None:
        self._marks.append((what, time.time()))

    def _counted(self, silent: float, *, seconds: float) -> Mapping[str, object]:
        with duckdb.connect(str(self._folder / "ledger.duckdb"), read_only=True) as ledger:
            found = ledger.execute(
                "select count(*), count(distinct row_key) from task_runs where status = 'completed'"
            ).fetchone()
        if found != (self._rows, self._rows):
            raise RuntimeError(f"{found} runs and rows are answered, of {self._rows}; see the logs")
        stats, arrivals = self._server.stats(), self._server.per_second()
        whole = range(min(arrivals) + 1, max(arrivals))  # the first and the last second are parts
        dead = next(when for what, when in self._marks if what == "the driver is killed")
        alive = [second for second in whole if not int(dead) <= second <= dead + silent]
        told: dict[str, object] = {
            "answered, each once": self._rows,
            "calls": sum(arrivals.values()),
            "refused (429)": stats["by_status"].get("429", 0),
            "seconds in all": round(seconds, 1),
            "seconds from the driver's death to the next call": round(silent, 1),
            "of the limit": self._share(arrivals, whole),
            "of the limit, while there is a driver": self._share(arrivals, alive),
        }
        told["since the first call"] = self._share(arrivals, range(whole[0], int(self._marks[0][1])))
        ends = [when for _, when in self._marks[1:]] + [float(whole[-1])]
        for (what, when), until in zip(self._marks, ends, strict=True):
            told[f"since {what}"] = self._share(arrivals, range(int(when), int(until)))
        (self._folder / "arrivals.json").write_text(json.dumps({"at": self._marks, "seconds": arrivals}))
        return told

    def _share(self, arrivals: Mapping[int, int], seconds: "range | list[int]") -> str:
        if not seconds:
            return "-"
        called = sum(arrivals.get(second, 0) for second in seconds)
        return f"{called / len(seconds) / self._per_second:.1%} in {len(seconds)} s"
