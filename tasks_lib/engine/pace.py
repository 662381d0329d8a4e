"""A quota for a minute, spent evenly."""

from tasks_lib.engine.cells import Cells

BURST = 0.1  # seconds of quota that may pass at once: some providers' buckets hold a fifth of a second
SPREAD_BURST = 1.0  # the same where a window keeps the limit
SLACK = 0.995  # of the quota that is used, so that jitter on the way cannot push it over the limit
PACE_CELLS = 2
_DUST = 1e-6  # of a burst: what float sums leave over, and too short a wait for a clock to show


class Pace:
    """Lets amounts pass at a rate: a bucket that holds a burst.

    An amount larger than the bucket passes when the bucket is full and leaves a debt.

    Its cells are what is missing from a full bucket, and when that was reckoned. Times are only ever given,
    never read.
    """

    __slots__ = ("_at", "_begins", "_cells", "_dust", "_holds", "_missing", "_rate")

    def __init__(self, cells: Cells, at: int, *, rate: float, holds: float, begins: float) -> None:
        """Keep the level in the cells from `at` on, `begins` at first; the rate is amounts a second."""
        self._cells = cells
        self._missing = at
        self._at = at + 1
        self._holds = holds
        self._rate = rate
        self._begins = holds - begins
        self._dust = _DUST * holds

    @classmethod
    def keeping(cls, per_minute: float, *, cells: Cells, at: int) -> "Pace":
        """A pace at which no window of 60 seconds sees more ones than the limit, and nearly all of it.

        A window sees at most the burst and a minute of the rate, and the rate is chosen so that both make
        the limit. It begins with one: the first calls open connections, and arrive together after all.

        Raises:
            ValueError: the limit is below one.
        """
        if per_minute < 1:
            raise ValueError(f"a limit of {per_minute} a minute lets nothing pass")
        holds = max(1.0, per_minute / 60 * BURST)
        return cls(cells, at, rate=max(1.0, per_minute - holds + 1) * SLACK / 60, holds=holds, begins=1.0)

    @classmethod
    def spreading(cls, per_minute: float, *, cells: Cells, at: int) -> "Pace":
        """A pace that spreads over a minute what a `Window` keeps within its limit."""
        holds = max(1.0, per_minute / 60 * SPREAD_BURST)
        return cls(cells, at, rate=per_minute * SLACK / 60, holds=holds, begins=holds)

    def delay(self, amount: float, *, now: float) -> float:
        """Seconds until the amount may pass; 0 if it may now."""
        missing = self._fill(now) + (min(self._holds, amount)) - self._holds
        return missing / self._rate if missing > self._dust else 0.0

    def fits(self, amount: float, *, now: float) -> bool:
        """Whether the amount may pass now without a debt."""
        return self._fill(now) + amount <= self._holds + self._dust

    def take(self, amount: float, *, now: float) -> None:
        """Let the amount pass."""
        self._cells[self._missing] = self._fill(now) + amount

    def settle(self, *, taken: float, used: float, now: float) -> None:
        """Give back what was taken and not used; take what was used beyond."""
        if used != taken:
            missing = self._fill(now) + used - taken
            self._cells[self._missing] = max(0.0, missing)

    def left(self, *, now: float) -> float:
        """What may pass at once; below zero where more has passed than the bucket held."""
        return self._holds - self._fill(now)

    def _fill(self, now: float) -> float:
        cells = self._cells
        since = now - cells[self._at]
        missing = cells[self._missing]
        if since > 0.0:
            if since == now and not missing:  # nothing has happened yet
                missing = self._begins + since * self._rate
            cells[self._at] = now
            missing -= since * self._rate
            missing = max(missing, 0.0)
            cells[self._missing] = missing
        return missing
