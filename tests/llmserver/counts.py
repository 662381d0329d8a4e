"""The server's own account of what happened: the outside witness against which a client's ledger is held."""

import math
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Literal


class Row:
    """What happened to one row: requests received, completions billed, good answers delivered whole."""

    __slots__ = ("billed", "ok", "promised", "received")

    def __init__(self) -> None:
        self.received = 0
        self.billed = 0
        self.ok = 0
        self.promised = -math.inf  # the monotonic moment before which a retry is too early


class Counts:
    """Everything counted since the start or the last reset. Moments are monotonic seconds."""

    __slots__ = (
        "arrivals",
        "billed",
        "by_outcome",
        "by_status",
        "client_aborts",
        "inflight",
        "inflight_max",
        "ok",
        "pause_earliest",
        "pause_latest",
        "pause_underway",
        "pause_violations",
        "ra_earliest",
        "ra_violations",
        "rows",
        "tok_cached",
        "tok_reasoning",
        "tokens",
    )

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.arrivals = array("d")
        self.billed = 0
        self.ok = 0
        self.client_aborts = 0
        self.inflight = 0
        self.inflight_max = 0
        self.by_outcome: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.ra_violations = 0
        self.ra_earliest = 0.0
        self.pause_violations = 0
        self.pause_underway = 0
        self.pause_earliest = 0.0
        self.pause_latest = 0.0
        self.tokens: dict[str, list[int]] = {}
        self.tok_cached = 0
        self.tok_reasoning = 0

    def arrive(self, now: float) -> None:
        """A request for a completion came in."""
        self.arrivals.append(now)
        self.inflight += 1
        self.inflight_max = max(self.inflight, self.inflight_max)

    def receive(self, row_id: str, now: float) -> tuple[Row, float]:
        """It is an attempt of this row, so many seconds before the moment promised to it (or 0)."""
        row = self.rows.get(row_id)
        if row is None:
            row = self.rows[row_id] = Row()
        row.received += 1
        early = max(0.0, row.promised - now)
        if early:
            self.ra_violations += 1
            self.ra_earliest = max(self.ra_earliest, early)
        return row, early

    def bill(
        self, row: Row, outcome: str, *, tokens_in: int, tokens_out: int, cached: int, reasoning: int
    ) -> None:
        """A completion was made for it, whether or not anybody gets to read it."""
        self.billed += 1
        row.billed += 1
        tokens = self.tokens.get(outcome)
        if tokens is None:
            tokens = self.tokens[outcome] = [0, 0]
        tokens[0] += tokens_in
        tokens[1] += tokens_out
        self.tok_cached += cached
        self.tok_reasoning += reasoning

    def busiest(self, seconds: float) -> tuple[int, float | None]:
        """Most arrivals in any half-open window [t, t + seconds), and how long after the first it began."""
        arrivals, most, since, first = self.arrivals, 0, None, 0
        for last, moment in enumerate(arrivals):
            while moment - arrivals[first] >= seconds:
                first += 1
            if last - first + 1 > most:
                most, since = last - first + 1, arrivals[first] - arrivals[0]
        return most, since

    def per_second(self) -> Counter[int]:
        """Arrivals by second of the wall clock."""
        wall = time.time() - time.monotonic()
        return Counter(int(wall + moment) for moment in self.arrivals)

    def listed(self, only: Literal["", "dup", "lost"] = "") -> Iterator[tuple[str, int, int, int]]:
        """Row id, received, billed, ok: of all rows, those billed more than once, or those never ok."""
        for row_id, row in self.rows.items():
            if (only == "dup" and row.billed <= 1) or (only == "lost" and row.ok):
                continue
            yield row_id, row.received, row.billed, row.ok

    def report(self) -> dict[str, object]:
        """All figures, as GET /stats prints them."""
        seconds = self.per_second()
        return {
            "recv": len(self.arrivals),
            "billed": self.billed,
            "ok": self.ok,
            "inflight": self.inflight,
            "inflight_max": self.inflight_max,
            "client_aborts": self.client_aborts,
            "rows_received": _tally(row.received for row in self.rows.values()),
            "rows_billed": _tally(row.billed for row in self.rows.values()),
            "rows_ok": _tally(row.ok for row in self.rows.values()),
            "rows_received_never_ok": sum(not row.ok for row in self.rows.values()),
            "ra_violations": self.ra_violations,
            "ra_earliest": self.ra_earliest,
            "ra_earliest_ms": self.ra_earliest * 1000,
            "pause_violations": self.pause_violations,
            "pause_earliest_ms": self.pause_earliest * 1000,
            "pause_latest_ms": self.pause_latest * 1000,
            "pause_underway": self.pause_underway,
            "by_outcome": dict(self.by_outcome),
            "by_status": {str(status): n for status, n in self.by_status.items()},
            "tok_in": sum(tokens[0] for tokens in self.tokens.values()),
            "tok_out": sum(tokens[1] for tokens in self.tokens.values()),
            "tok_cached": self.tok_cached,
            "tok_reasoning": self.tok_reasoning,
            "tokens_by_outcome": self.tokens,
            "peak_arrivals_in_one_second": max(seconds.values(), default=0),
            "seconds_with_arrivals": len(seconds),
            "first_to_last_s": self.arrivals[-1] - self.arrivals[0] if self.arrivals else 0.0,
        }


def _tally(times: Iterator[int]) -> dict[str, object]:
    """How many rows had it once, twice, ...; `excess` is what went beyond once a row."""
    counted = Counter(n for n in times if n)
    rows, total = counted.total(), sum(n * rows for n, rows in counted.items())
    histogram: Counter[str] = Counter()
    for n, of in sorted(counted.items()):
        histogram[str(n) if n < 10 else "10+"] += of
    return {
        "rows": rows,
        "rows_more_than_once": rows - counted[1],
        "total": total,
        "excess": total - rows,
        "histogram": dict(histogram),
    }
