"""Quotas that are not a minute's: what the provider says is left, and what a day allows."""

from tasks_lib.engine.cells import Cells

TOLD_CELLS = 4
DAY_CELLS = 3
_A_DAY = 86_400.0
_BELIEVED = 10.0  # seconds for which a lower word stands against a higher one, which may be the older
_LOOK_AGAIN = 60.0  # seconds; a machine that sleeps, or a clock that is set, moves midnight
_DUST = 1e-6


class Told:
    """What the provider said is left, until the moment at which all of it is there again.

    It refills evenly until then, as buckets do, whatever their length: a quota for a day of which nothing is
    left is as slow as a day's. It only ever holds back: what it allows must be allowed by our own limits too.

    Its cells are what is left, when that was reckoned, the rate, and when all is there again.
    """

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: Cells, at: int) -> None:
        """Keep what was told in the cells that begin at `at`."""
        self._cells = cells
        self._at = at

    def hear(self, *, limit: float | None, remaining: float, reset: float, now: float) -> float:
        """Take the lower of what is said and what is thought to be left; when all will be there again."""
        cells, at = self._cells, self._at
        until = cells[at + 3]
        if now < until and remaining >= self._left(now) and now - cells[at + 1] < _BELIEVED:
            return until
        whole = limit if limit is not None and limit > remaining else remaining + 1.0
        cells[at] = remaining
        cells[at + 1] = now
        cells[at + 2] = (whole - remaining) / max(reset, _DUST)
        cells[at + 3] = now + reset
        return now + reset

    def delay(self, amount: float, *, now: float) -> float:
        """Seconds until the amount may pass; 0 if it may now."""
        cells, at = self._cells, self._at
        until = cells[at + 3]
        if now >= until:
            return 0.0
        missing = amount - self._left(now)
        return min(missing / cells[at + 2], until - now) if missing > _DUST else 0.0

    def take(self, amount: float, *, now: float) -> None:
        """Let the amount pass."""
        if now < self._cells[self._at + 3]:
            self._cells[self._at] -= amount

    def settle(self, *, taken: float, used: float, now: float) -> None:
        """Take what was used for what was taken."""
        if now < self._cells[self._at + 3]:
            self._cells[self._at] += taken - used

    def _left(self, now: float) -> float:
        cells, at = self._cells, self._at
        return cells[at] + max(0.0, now - cells[at + 1]) * cells[at + 2]


class Day:
    """Requests and tokens of a day of UTC.

    Its cells are the day's number since 1970, requests and tokens. Moments are seconds since then.
    """

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: Cells, at: int) -> None:
        """Keep the counts in the cells that begin at `at`."""
        self._cells = cells
        self._at = at

    def delay(
        self, *, requests: float, tokens: float, most_requests: float, most_tokens: float, moment: float
    ) -> float:
        """Seconds until so much more fits into a day, or until it is worth another look; 0 if it may now.

        An amount beyond the whole limit passes when nothing else was asked for on that day.
        """
        used_requests, used_tokens = self.used(moment=moment)
        if used_requests + requests <= most_requests and (
            used_tokens + min(tokens, most_tokens) <= most_tokens + _DUST
        ):
            return 0.0
        return min(_A_DAY - moment % _A_DAY + _DUST, _LOOK_AGAIN)

    def take(self, *, requests: float, tokens: float, moment: float) -> float:
        """Count so much; gives the number of the day, for `settle`."""
        used_requests, used_tokens = self.used(moment=moment)
        self._cells[self._at + 1] = used_requests + requests
        self._cells[self._at + 2] = used_tokens + tokens
        return self._cells[self._at]

    def settle(self, day: float, *, requests: float = 0.0, tokens: float) -> None:
        """Count so much more, or less, on the day that a `take` gave; one that is over is over."""
        if day == self._cells[self._at]:
            self._cells[self._at + 1] += requests
            self._cells[self._at + 2] += tokens

    def used(self, *, moment: float) -> tuple[float, float]:
        """Requests and tokens of the day.

        A clock that was set back does not begin the day anew: the counts go on.
        """
        cells, at = self._cells, self._at
        today = moment // _A_DAY
        if today > cells[at]:
            cells[at + 1] = cells[at + 2] = 0.0
            cells[at] = today
        elif today < cells[at] - 1.0:
            cells[at] = today  # it was a clock far ahead that called it another day
        return cells[at + 1], cells[at + 2]

    def seconds_left(self, *, moment: float) -> float:
        """Seconds until the next day begins."""
        return _A_DAY - moment % _A_DAY
