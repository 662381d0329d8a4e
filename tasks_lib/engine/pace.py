"""A quota for a minute, spent evenly."""

BURST = 0.25  # seconds of quota that may pass at once
SLACK = 0.995  # of the quota that is used, so that jitter on the way cannot push it over the limit


class Pace:
    """Lets amounts pass so that no window of 60 seconds sees more than the limit, and nearly all of it.

    A bucket that holds a burst and is filled at a rate: a window sees at most the burst and a minute of the
    rate, and the rate is chosen so that both make the limit. An amount larger than the bucket passes when the
    bucket is full and leaves a debt, so that it neither starves nor exceeds the limit for long.

    Times are seconds of a monotonic clock, and only ever given, never read.
    """

    def __init__(self, per_minute: int, *, now: float) -> None:
        """Begin with a full bucket.

        Raises:
            ValueError: the limit is below one.
        """
        if per_minute < 1:
            raise ValueError(f"a limit of {per_minute} a minute lets nothing pass")
        self._holds = max(1.0, per_minute / 60 * BURST)
        self._rate = max(1.0, per_minute - self._holds + 1) * SLACK / 60  # a second
        self._level = self._holds
        self._at = now

    def delay(self, amount: float, *, now: float) -> float:
        """Seconds until the amount may pass; 0 if it may now."""
        self._fill(now)
        missing = min(amount, self._holds) - self._level
        return max(0.0, missing / self._rate) if missing > 1e-9 else 0.0  # dust of the float sums

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
