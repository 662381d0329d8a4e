"""A quota for a minute, spent evenly."""

BURST = 0.25  # seconds of quota that may pass at once
SPREAD_BURST = 2.0  # the same where a window keeps the limit
SLACK = 0.995  # of the quota that is used, so that jitter on the way cannot push it over the limit
_DUST = 1e-6  # of a burst: what float sums leave over, and too short a wait for a clock to show


class Pace:
    """Lets amounts pass at a rate: a bucket that holds a burst and begins full.

    An amount larger than the bucket passes when the bucket is full and leaves a debt.

    Times are seconds of a monotonic clock, and only ever given, never read.
    """

    def __init__(self, *, rate: float, holds: float, now: float) -> None:
        """Begin full; the rate is amounts a second."""
        self._holds = holds
        self._rate = rate
        self._level = holds
        self._at = now

    @classmethod
    def keeping(cls, per_minute: int, *, now: float) -> "Pace":
        """A pace at which no window of 60 seconds sees more ones than the limit, and nearly all of it.

        A window sees at most the burst and a minute of the rate, and the rate is chosen so that both make
        the limit.

        Raises:
            ValueError: the limit is below one.
        """
        if per_minute < 1:
            raise ValueError(f"a limit of {per_minute} a minute lets nothing pass")
        holds = max(1.0, per_minute / 60 * BURST)
        return cls(rate=max(1.0, per_minute - holds + 1) * SLACK / 60, holds=holds, now=now)

    @classmethod
    def spreading(cls, per_minute: int, *, now: float) -> "Pace":
        """A pace that spreads over a minute what a `Window` keeps within its limit."""
        return cls(rate=per_minute * SLACK / 60, holds=max(1.0, per_minute / 60 * SPREAD_BURST), now=now)

    def delay(self, amount: float, *, now: float) -> float:
        """Seconds until the amount may pass; 0 if it may now."""
        self._fill(now)
        missing = min(amount, self._holds) - self._level
        if missing <= _DUST * self._holds:
            return 0.0
        return missing / self._rate

    def take(self, amount: float, *, now: float) -> None:
        """Let the amount pass."""
        self._fill(now)
        self._level -= amount

    def settle(self, *, taken: float, used: float) -> None:
        """Give back what was taken and not used; take what was used beyond."""
        self._level = min(self._holds, self._level + taken - used)

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._holds, self._level + (now - self._at) * self._rate)
            self._at = now
