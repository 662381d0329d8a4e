"""What passed within the last minute, to the token."""

from collections import deque
from dataclasses import dataclass

from tasks_lib.engine.pace import SLACK

_SECONDS = 60 / SLACK  # a little more than a minute, as calls take their time on the way
_DUST = 1e-6  # of float sums; in tokens and in seconds


@dataclass(slots=True)
class Passed:
    """An amount, and when it passed; once settled, the amount is what was used."""

    at: float
    amount: float


class Window:
    """Lets an amount pass only if, with all that passed in the minute before, it keeps the limit.

    An even pace alone does not: when amounts are larger than a burst, the window that begins and ends with
    one of them holds up to that one too many. An amount beyond the whole limit passes when nothing else is
    in the window.

    It remembers a minute of amounts. Times are given, never read.
    """

    def __init__(self, per_minute: int) -> None:
        """Begin empty."""
        self._limit = float(per_minute)
        self._passed: deque[Passed] = deque()
        self._sum = 0.0

    def delay(self, amount: float, *, now: float) -> float:
        """Seconds until the amount may pass; 0 if it may now."""
        self._forget(now)
        excess = self._sum + min(amount, self._limit) - self._limit
        if excess <= _DUST:
            return 0.0
        for passed in self._passed:
            excess -= passed.amount
            if excess <= _DUST:
                break
        return passed.at + _SECONDS - now

    def take(self, amount: float, *, now: float) -> Passed:
        """Let the amount pass."""
        passed = Passed(now, amount)
        self._passed.append(passed)
        self._sum += amount
        return passed

    def settle(self, passed: Passed, *, used: float) -> None:
        """Take what was used for what was taken."""
        if self._passed and passed.at >= self._passed[0].at:  # else it was forgotten
            self._sum += used - passed.amount
        passed.amount = used

    def _forget(self, now: float) -> None:
        while self._passed and self._passed[0].at + _SECONDS <= now + _DUST:
            self._sum -= self._passed.popleft().amount
        if not self._passed:
            self._sum = 0.0  # no dust is carried over
