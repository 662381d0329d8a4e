"""The server's own account of what happened: the outside witness against which a client's ledger is held."""

import time
from array import array
from collections import Counter
from collections.abc import Iterable


class Counts:
    """Everything counted since the start or the last reset. Moments are monotonic seconds."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.by_outcome: Counter[str] = Counter()
        self.creating_posts = array("d")
        self.runs_made = array("d")
        self.inflight = 0
        self.inflight_max = 0
        self.largest_post = 0
        self.lost_runs = 0
        self.beside_another = 0
        self.after_success = 0
        self.waiting = 0
        self.waiting_max = 0
        self.streams = 0
        self.streams_now = 0
        self.streams_max = 0
        self.streams_cut = 0
        self.results_delivered = 0
        self.client_aborts = 0
        self.resent: int = 0
        self.hooks: Counter[str] = Counter()

    def made(self, runs: int) -> None:
        """So many runs were made by one POST."""
        now = time.monotonic()
        self.runs_made.extend([now] * runs)
        self.largest_post = max(self.largest_post, runs)
        self.inflight += runs
        self.inflight_max = max(self.inflight, self.inflight_max)

    def stream(self, opened: int) -> None:
        """A stream was opened (1) or has ended (-1)."""
        self.streams += opened > 0
        self.streams_now += opened
        self.streams_max = max(self.streams_now, self.streams_max)

    def wait(self, begun: int) -> None:
        """Somebody began to wait for a result (1) or no longer does (-1)."""
        self.waiting += begun
        self.waiting_max = max(self.waiting, self.waiting_max)

    def report(self) -> dict[str, object]:
        """All figures that are not about single rows."""
        return {
            "requests": dict(self.requests),
            "posts": sum(n for name, n in self.requests.items() if name.startswith("POST")),
            "gets": sum(n for name, n in self.requests.items() if name.startswith("GET")),
            "creating_posts": len(self.creating_posts),
            "creating_posts_max_in_60s": busiest(self.creating_posts, 60),
            "runs_made": len(self.runs_made),
            "runs_made_max_in_60s": busiest(self.runs_made, 60),
            "largest_post": self.largest_post,
            "inflight": self.inflight,
            "inflight_max": self.inflight_max,
            "runs_never_announced": self.lost_runs,
            "runs_beside_another": self.beside_another,
            "runs_after_success": self.after_success,
            "resent": self.resent,
            "results_delivered": self.results_delivered,
            "waiting": self.waiting,
            "waiting_max": self.waiting_max,
            "streams": self.streams,
            "streams_now": self.streams_now,
            "streams_max": self.streams_max,
            "streams_cut": self.streams_cut,
            "client_aborts": self.client_aborts,
            "by_status": {str(status): n for status, n in self.by_status.items()},
            "by_outcome": dict(self.by_outcome),
            "webhooks": dict(self.hooks),
        }


def busiest(moments: "array[float]", seconds: float) -> int:
    """Most moments in any half-open window [t, t + seconds)."""
    most, first = 0, 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def tally(times: Iterable[int]) -> dict[str, object]:
    """How many rows had it once, twice, ...; `excess` is what went beyond once a row."""
    counted = Counter(times)
    rows, total = counted.total(), sum(n * rows for n, rows in counted.items())
    return {
        "rows": rows,
        "rows_more_than_once": rows - counted[1],
        "total": total,
        "excess": total - rows,
        "histogram": {str(n): rows for n, rows in sorted(counted.items())},
    }
