"""What a task server counts: runs started by marker, calls by endpoint, and the most at once of either."""

from collections import Counter

from tests.llmserver.counts import Counts, Row


class TaskCounts(Counts):
    """The counts of `tests.llmserver`, in which billed means started: one run more exists there."""

    __slots__ = ("calls", "calls_max", "calls_now", "ended", "refused_calls", "runs_max", "runs_now")

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.refused_calls: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.calls_now = 0
        self.calls_max = 0
        self.runs_now = 0
        self.runs_max = 0

    def call(self, endpoint: str) -> None:
        """A call of any kind came in."""
        self.calls[endpoint] += 1
        self.calls_now += 1
        self.calls_max = max(self.calls_max, self.calls_now)

    def answer(self, endpoint: str, status: int) -> None:
        """It has its answer."""
        self.calls_now -= 1
        if status >= 400:
            self.refused_calls[f"{endpoint} {status}"] += 1

    def start(self, row: Row) -> None:
        """A run was started for it, whether or not anybody hears of it."""
        self.billed += 1
        row.billed += 1
        self.runs_now += 1
        self.runs_max = max(self.runs_max, self.runs_now)

    def end(self, outcome: str, *, tokens_in: int = 0, tokens_out: int = 0) -> None:
        """A run has ended, one way or another."""
        self.runs_now -= 1
        self.ended[outcome] += 1
        spent = self.tokens.setdefault(outcome, [0, 0])
        spent[0] += tokens_in
        spent[1] += tokens_out

    def report(self) -> dict[str, object]:
        """All figures, as GET /stats prints them."""
        return {
            **super().report(),
            "started": self.billed,
            "started_more_than_once": sum(row.billed > 1 for row in self.rows.values()),
            "runs_ended": dict(self.ended),
            "runs_now": self.runs_now,
            "runs_max": self.runs_max,
            "calls": dict(self.calls),
            "calls_refused": dict(self.refused_calls),
            "calls_max": self.calls_max,
        }
