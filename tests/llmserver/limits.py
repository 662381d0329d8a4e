"""The limits that a provider sets: a token bucket, an exact sliding window, pauses it has asked for."""

from collections import deque
from typing import NamedTuple


class Room(NamedTuple):
    """Whether one was let in, what is left, the seconds until it would be let in, and until all is free."""

    taken: bool
    limit: float
    left: float
    wait: float
    whole: float


class Bucket:
    """A token bucket that begins full. Rate and depth come with each take, as they may be changed."""

    __slots__ = ("_at", "_level")

    def __init__(self) -> None:
        self._level: float | None = None
        self._at = 0.0

    def take(self, now: float, *, rate: float, depth: float, cost: float, limit: float) -> Room:
        """Take cost out, if there is so much; rate is tokens a second, limit what the headers call it."""
        level = depth if self._level is None else min(depth, self._level + (now - self._at) * rate)
        taken = level >= cost
        self._level, self._at = level - cost if taken else level, now
        wait = 0.0 if taken else (cost - level) / rate
        return Room(taken, limit, self._level, wait, (depth - self._level) / rate)


class Window:
    """At most so many requests let in within any window of so many seconds, exactly."""

    __slots__ = ("_let_in",)

    def __init__(self) -> None:
        self._let_in: deque[float] = deque()

    def take(self, now: float, *, limit: int, seconds: float) -> Room:
        """Let one in, if the window that ends now holds fewer than the limit."""
        let_in = self._let_in
        while let_in and now - let_in[0] >= seconds:
            let_in.popleft()
        taken = len(let_in) < limit
        if taken:
            let_in.append(now)
        wait = 0.0 if taken else seconds - (now - let_in[-limit])
        return Room(taken, limit, max(0, limit - len(let_in)), wait, seconds - (now - let_in[-1]))


class Pauses:
    """The moments before which a whole account was asked to stay away."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: deque[tuple[float, float]] = deque()  # asked at, until; both only grow

    def ask(self, now: float, until: float) -> None:
        """Ask for a pause; one that ends within a pause already asked for adds nothing."""
        if until > now and not (self._asked and until <= self._asked[-1][1]):
            self._asked.append((now, until))

    def broken(self, now: float, grace: float) -> tuple[float, float] | None:
        """How early a request is, and how long after it was asked to wait; None when nobody asked.

        A request within the grace of the asking was sent before the client could know: it is early by 0.
        """
        asked = self._asked
        while asked and asked[0][1] <= now:
            asked.popleft()
        if not asked:
            return None
        since = now - asked[0][0]
        early = max((until - now for at, until in asked if at + grace <= now), default=0.0)
        return early, since
