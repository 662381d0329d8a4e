"""Whether a provider's refusals have to do with how much it is asked for."""

IN_VAIN = 3  # pauses in a row, or nearly so, after which pausing is known not to help
_FEW = 0.2  # of all calls; a provider that refuses more than that is not to be asked more
_ENOUGH = 50  # calls before anything is known
_RECENT = 0.01  # what one call weighs in the share of refusals: some hundred calls are remembered
_AGAIN = 60.0  # seconds until it is tried again whether a pause helps


class Refusals:
    """Finds out whether it helps when everybody pauses for one call's Retry-After.

    A limit that is passed is passed no more after the pause that was asked for, so that the first calls after
    it go through. Some providers refuse a few calls in a hundred whatever is asked of them: there the first
    calls after a pause are refused as often as any, and to pause only stops all. Then a Retry-After binds the
    call that it was told, and no other; every minute one more pause tries whether that is still so.

    Times are seconds of a monotonic clock, and only ever given, never read.
    """

    def __init__(self) -> None:
        """Begin by believing that every pause helps."""
        self._share = 0.0
        self._calls = 0
        self._in_vain = 0
        self._judged = 0.0  # the end of the last pause of which is known whether it helped
        self._try_at: float | None = None  # while pausing is known not to help

    @property
    def are_sporadic(self) -> bool:
        """Whether pausing is known not to help."""
        return self._try_at is not None

    def ended(self, *, refused: bool) -> None:
        """A call came to its end."""
        self._calls += 1
        self._share += _RECENT * (refused - self._share)

    def call_for_pause(self, *, began: float, now: float, paused_until: float, ramp_until: float) -> bool:
        """Whether everybody is to pause for a call that was begun at that time, and refused now.

        The last pause ended at `paused_until`, and those who had waited were let in until `ramp_until`.
        """
        if paused_until and began >= paused_until and self._judged < paused_until:
            self._judged = paused_until
            self._in_vain = self._in_vain + 1 if began <= ramp_until else max(0, self._in_vain - 1)
        if self._share >= _FEW or self._calls < _ENOUGH:
            self._in_vain, self._try_at = 0 if self._share >= _FEW else self._in_vain, None
            return True
        if self._in_vain < IN_VAIN:
            self._try_at = None
            return True
        if self._try_at is None:
            self._try_at = now + _AGAIN
        if now < self._try_at:
            return False
        self._in_vain, self._try_at = IN_VAIN - 1, None
        return True
