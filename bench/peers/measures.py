"""What is measured: speed, CPU, memory, a limit, 429s, and what a kill wastes; a table for each."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.peers.cells import Cell, Setting, run_cell, settle
from bench.peers.systems import System
from bench.peers.watched import End
from tests.llmserver import Server

BASE: Final = "rowmill"
_EVERY_20TH: Final = {"e429": 0.05, "ra": 1, "det": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything is run."""

    latencies_ms: Sequence[int]
    in_flight: Sequence[int]
    aim_s: float
    """Seconds that a cell of speed should run; its number of rows follows from the system's pace."""
    speed_limit_s: float
    memory_rows: Sequence[int]
    memory_limit_s: float
    rate_rows: int
    faulty_rows: int
    killed_rows: int
    kill_at: Sequence[float]
    """At which part of the rows the run is killed; once for each."""
    limit_s: float
    """Seconds that any other child may take."""


FULL: Final = Sizes(
    latencies_ms=(0, 50, 1_000),
    in_flight=(32, 256, 1_000),
    aim_s=3,
    speed_limit_s=60,
    memory_rows=(1_000, 10_000, 100_000),
    memory_limit_s=60,
    rate_rows=660,
    faulty_rows=1_000,
    killed_rows=2_000,
    kill_at=(0.3, 0.7),
    limit_s=100,
)
QUICK: Final = Sizes(
    latencies_ms=(0, 50, 1_000),
    in_flight=(256,),
    aim_s=1,
    speed_limit_s=20,
    memory_rows=(1_000,),
    memory_limit_s=20,
    rate_rows=60,
    faulty_rows=500,
    killed_rows=1_000,
    kill_at=(0.5,),
    limit_s=30,
)


class Bench:
    """The systems that can be run, the server, and where every cell's figures go."""

    def __init__(
        self, systems: Mapping[System, Path], server: Server, *, sizes: Sizes, record: Path | None
    ) -> None:
        """Systems with the Python of each; the record gets a JSON line a cell."""
        self._systems = systems
        self._server = server
        self._sizes = sizes
        self._record = record
        self.versions: dict[str, str] = {}
        """As the systems told them, by name."""

    def all(self) -> Iterator[str]:
        """The lines of all tables."""
        for measure in (self.speed, self.memory, self.rate, self.faults, self.kills):
            yield from measure()

    def speed(self) -> Iterator[str]:
        """Rows/s and CPU a row, by latency and calls in flight."""
        columns = [(lat, n) for lat in self._sizes.latencies_ms for n in self._sizes.in_flight]
        found: dict[tuple[int, int], dict[str, Cell]] = {}
        for lat, n in columns:  # all systems in turn, so that they see the same neighbours
            found[lat, n] = {
                system.name: self._cell("speed", system, self._speed_setting(system, lat, n))
                for system in self._systems
            }
        limit = self._sizes.speed_limit_s

        def table(of: Callable[[Cell], float], shown: Sequence[tuple[int, int]]) -> Iterator[str]:
            heads = [f"{_latency(lat)}, {n:,}" for lat, n in shown]
            lines = ((name, *(_figure(found[at], name, of, limit) for at in shown)) for name in self._names())
            return _table(("", *heads), lines)

        yield "Rows/s, by latency and calls in flight; in brackets: times that of rowmill in the same cell."
        yield from table(lambda cell: cell.rows_per_second, columns)
        yield (
            "CPU of the client, µs a row (user and system, its children included), what a run costs whatever "
            "its length included; in brackets as above. Not where latency lets only few rows share that."
        )
        yield from table(lambda cell: cell.cpu_us_per_row, [at for at in columns if at[0] < 1_000])
        least = [
            f"{system.name} {cell.most_in_flight:,} of {n:,}"
            for (lat, n), cells in found.items()
            for system in self._systems
            if lat == max(self._sizes.latencies_ms)
            and (cell := cells[system.name]).is_whole
            and cell.most_in_flight < 0.9 * n
        ]
        if least:
            yield f"Not as many in flight as it was told, as the server saw it: {'; '.join(least)}."
            yield ""
        yield "Start and end of the process (imports and what else is no run), medians of all cells above."
        yield from _table(("", "seconds", "CPU seconds"), self._starts(found))

    def memory(self) -> Iterator[str]:
        """The peak of memory, by number of rows."""
        sizes, limit = self._sizes.memory_rows, self._sizes.memory_limit_s
        found: dict[tuple[int, str], Cell] = {}
        late: set[str] = set()  # who was late with fewer rows need not try with more
        for rows in sizes:
            for system in self._systems:
                if system.name in late:
                    continue
                setting = Setting(rows=rows, in_flight=256, limit_s=limit, server={})
                found[rows, system.name] = cell = self._cell("memory", system, setting)
                if cell.watched.end is End.LATE:
                    late.add(system.name)

        def told(rows: int, name: str) -> str:
            cell = found.get((rows, name))
            if cell is None:
                return f"> {limit:.0f} s"
            if cell.is_whole:
                return f"{cell.watched.peak_mb:,.0f}"
            if cell.watched.end is End.LATE:
                return f"> {cell.watched.peak_mb:,.0f} ({cell.served:,} rows in {limit:.0f} s)"
            return cell.why_not(limit)

        yield "Peak memory, MiB, by rows; no latency, 256 in flight."
        yield from _table(
            ("", *(f"{rows:,}" for rows in sizes)),
            ((name, *(told(rows, name) for rows in sizes)) for name in self._names()),
        )
        few, *more = sizes[:2]
        if not more:
            return
        yield (
            f"CPU of each further row, µs, between {few:,} and {more[0]:,}: whole processes compared, so "
            "that nothing of their start, and no system's own word, is in it; in brackets as above."
        )
        yield from _table(
            ("", "CPU µs a row"),
            ((name, _further(found, name, few=few, more=more[0], limit_s=limit)) for name in self._names()),
        )

    def rate(self) -> Iterator[str]:
        """A limit of 600 requests a minute: what of it is used, and whether it is broken."""
        rows = self._sizes.rate_rows
        lines: list[tuple[str, ...]] = []
        for system in self._systems:
            if system.limit is None:
                lines.append((system.name, "knows no such limit", "", ""))
                continue
            for name, as_it_comes in _ways(system.name, system.paces_its_own):
                setting = Setting(
                    rows=rows,
                    in_flight=64,
                    limit_s=self._sizes.limit_s,
                    server={"lat": 100},
                    per_minute=600,
                    as_it_comes=as_it_comes,
                )
                cell = self._cell("rate", system, setting)
                whole, busiest = cell.is_whole, cell.busiest_minute
                used = f"{cell.rows_per_second / 10:.0%}" if whole else cell.why_not(setting.limit_s)
                broken = (
                    f"by {busiest - 600:,}" if busiest > 600 else "no" if rows > 600 else "not to be seen"
                )
                lines.append((name, system.limit, used, f"{broken} ({busiest:,})"))
        yield (
            f"A limit of 600 requests a minute, {rows:,} rows, 64 in flight, 100 ms: share used over the "
            "run; whether any 60 s saw more than 600 (and the most that any saw)."
        )
        yield from _table(("", "told as", "used", "broken"), lines)
        for system in self._systems:
            if system.paces_its_own:
                yield f"{system.name} was given {system.paces_its_own}; beside it, the default."
                yield ""

    def faults(self) -> Iterator[str]:
        """Every 20th call a 429 with a Retry-After of 1 s."""
        rows, limit = self._sizes.faulty_rows, self._sizes.limit_s
        cells: dict[str, Cell] = {}
        for system in self._systems:
            if system.is_floor:
                continue
            for name, as_it_comes in _ways(system.name, system.waits_its_own):
                setting = Setting(
                    rows=rows,
                    in_flight=64,
                    limit_s=limit,
                    server={"lat": 50, **_EVERY_20TH},
                    as_it_comes=as_it_comes,
                )
                cells[name] = self._cell("faults", system, setting)
        yield (
            f"One call in 20 answered 429 with a Retry-After of 1 s; {rows:,} rows, 64 in flight, 50 ms; "
            "in brackets: times that of rowmill."
        )
        yield from _table(
            ("", "seconds", "429s", "calls before their Retry-After"),
            (
                (name, _figure(cells, name, lambda cell: cell.seconds, limit, digits=1),
                 f"{cell.refused:,}", f"{cell.early:,}")
                for name, cell in cells.items()
            ),
        )  # fmt: skip
        for system in self._systems:
            if system.waits_its_own:
                yield f"{system.name} was given {system.waits_its_own}; beside it, the default."
                yield ""

    def kills(self) -> Iterator[str]:
        """Kill -9 in the middle, then a second run: what was called again."""
        lines: list[tuple[str, ...]] = []
        for system in self._systems:
            if system.is_floor:
                continue
            ends = [self._killed(system, part) for part in self._sizes.kill_at]
            wasted = ", ".join(f"{cell.calls - cell.rows:,}" if why is None else why for cell, why in ends)
            lines.append((system.name, system.recovers or "", wasted))
        parts = " and ".join(f"{part:.0%}" for part in self._sizes.kill_at)
        yield (
            f"kill -9 when {parts} of {self._sizes.killed_rows:,} rows were answered, 64 in flight, 200 ms, "
            "then a second run: calls beyond one a row (64 were in flight when it died)."
        )
        yield from _table(("", "resumes by", "calls wasted"), lines)

    def _killed(self, system: System, part: float) -> tuple[Cell, str | None]:
        rows, limit = self._sizes.killed_rows, self._sizes.limit_s
        setting = Setting(rows=rows, in_flight=64, limit_s=limit, server={"lat": 200})

        def is_time() -> bool:
            return int(self._server.stats().get("ok", 0)) >= rows * part

        with tempfile.TemporaryDirectory() as kept:
            folder, python = Path(kept) / "run", self._systems[system]
            first = run_cell(system, python, self._server, setting, folder, kill_when=is_time)
            if first.watched.end is not End.KILLED:
                self._note("kills", system, setting, first)
                return first, f"not killed: {first.watched.end.value}"
            settle(self._server)
            second = run_cell(system, python, self._server, setting, folder, fresh=False)
            self._note("kills", system, setting, second)
        return second, None if second.is_whole else second.why_not(limit)

    def _speed_setting(self, system: System, lat: int, in_flight: int) -> Setting:
        return Setting(
            rows=rows_for(system.pace, lat_ms=lat, in_flight=in_flight, aim_s=self._sizes.aim_s),
            in_flight=in_flight,
            limit_s=self._sizes.speed_limit_s,
            server={"lat": lat} if lat else {},
        )

    def _starts(self, found: Mapping[tuple[int, int], Mapping[str, Cell]]) -> Iterator[tuple[str, ...]]:
        for name in self._names():
            whole = [cells[name] for cells in found.values() if cells[name].is_whole]
            if not whole:
                yield (name, "?", "?")
                continue
            seconds = median(cell.watched.seconds - cell.seconds for cell in whole)
            cpu = median(cell.watched.cpu_seconds - cell.cpu_seconds for cell in whole)
            yield (name, f"{seconds:.1f}", f"{cpu:.1f}")

    def _cell(self, measure: str, system: System, setting: Setting) -> Cell:
        with tempfile.TemporaryDirectory() as kept:
            cell = run_cell(system, self._systems[system], self._server, setting, Path(kept) / "run")
        self._note(measure, system, setting, cell)
        return cell

    def _note(self, measure: str, system: System, setting: Setting, cell: Cell) -> None:
        if cell.version:
            self.versions[system.name] = cell.version
        told = f"{cell.rows_per_second:,.0f} rows/s" if cell.is_whole else cell.why_not(setting.limit_s)
        print(f"{measure}: {system.name}: {told}", file=sys.stderr, flush=True)
        if cell.watched.end is End.FAILED:
            print(cell.watched.complaints[-1_000:], file=sys.stderr, flush=True)
        if self._record is None:
            return
        with self._record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_recorded(measure, system, setting, cell)) + "\n")

    def _names(self) -> list[str]:
        return [system.name for system in self._systems]


def _further(found: Mapping[tuple[int, str], Cell], name: str, *, few: int, more: int, limit_s: float) -> str:
    """CPU a row of what a longer run took more than a shorter one."""
    ours, base = (_more_cpu(found.get((few, one)), found.get((more, one))) for one in (name, BASE))
    if ours is None:
        return (found.get((more, name)) or found[few, name]).why_not(limit_s)
    if name == BASE or base is None:
        return f"{ours:,.0f}"
    return f"{ours:,.0f} ({ours / base:.2f})"


def _more_cpu(short: Cell | None, long: Cell | None) -> float | None:
    """Microseconds a row; None if one of the two is not whole."""
    if short is None or long is None or not (short.is_whole and long.is_whole):
        return None
    return (long.watched.cpu_seconds - short.watched.cpu_seconds) / (long.rows - short.rows) * 1e6


def _ways(name: str, its_own: str | None) -> Sequence[tuple[str, bool]]:
    """The lines of a system: as it is set, and, if something had to be set, as it comes."""
    return ((name, False), (f"{name}, as it comes", True)) if its_own else ((name, False),)


def rows_for(pace: int, *, lat_ms: int, in_flight: int, aim_s: float) -> int:
    """How many rows a cell gets: what it can do in `aim_s`, and at least as many as are in flight."""
    possible = min(pace, in_flight / (lat_ms / 1000)) if lat_ms else pace
    return max(100, in_flight, round(possible * aim_s))


def _recorded(measure: str, system: System, setting: Setting, cell: Cell) -> dict[str, Any]:
    figures = {name: value for name, value in asdict(cell).items() if name != "watched"}
    watched = cell.watched
    return {
        "measure": measure,
        "system": system.name,
        **asdict(setting),
        **figures,
        "whole": cell.is_whole,
        "end": watched.end.value,
        "process_seconds": watched.seconds,
        "process_cpu_seconds": watched.cpu_seconds,
        "peak_mb": watched.peak_mb,
    }


def _figure(
    cells: Mapping[str, Cell], name: str, of: Callable[[Cell], float], limit_s: float, *, digits: int = 0
) -> str:
    cell, base = cells[name], cells.get(BASE)
    if not cell.is_whole:
        return cell.why_not(limit_s)
    figure = f"{of(cell):,.{digits}f}"
    if name == BASE or base is None or not base.is_whole:
        return figure
    return f"{figure} ({of(cell) / of(base):.2f})"


def _latency(lat_ms: int) -> str:
    return f"{lat_ms / 1000:g} s" if lat_ms >= 1000 else f"{lat_ms} ms"


def _table(heads: Sequence[str], lines: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table, names to the left and figures to the right, with an empty line around it."""
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"
    yield ""
