"""Whether a model is worth a call just now: a machine of three states that is told the time.

closed     every call is made
open       the model is down: whoever has another model to go to goes there; others call as before
half open  one call tries whether it is up again, and the rest behaves as when it is open

It opens when the model looks down: 8 calls in a row failed with no answer between, or 28 of the last 40 did.
Of 1,000,000 calls of which 5 % fail at random, 8 in a row fail with a chance of 1 in 25,000. Failures are
5xx, timeouts, lost connections and broken replies; whatever else comes back, such as a refusal or an answer
that is no JSON, shows that somebody is there.

A 429 is the gate's matter: it waits and goes slower, and most limits are those of a minute. But a model whose
account is closed for longer than that, or that has answered nothing but 429 for so long, is as good as down.

It is tried again after 5 s, then after twice as long each time, up to a minute; where the provider said how
long it is closed, not earlier. One answer closes it again.
"""

from collections import deque
from enum import Enum
from typing import Final, NamedTuple

from tasks_lib.domain.failure import Failure, FailureKind

IN_A_ROW: Final = 8  # failures without an answer between
LAST: Final = 40  # calls that are looked back at
MOST_OF_LAST: Final = 28  # failures among them
PATIENCE: Final = 60.0  # seconds of nothing but 429, or of a pause that was asked for
REFUSALS: Final = 3  # at least so many 429s in that time
FIRST_WAIT: Final = 5.0  # seconds until the first try
LONGEST_WAIT: Final = 60.0
_LONGEST_REASON: Final = 160  # characters
_DOWN: Final = frozenset(
    {FailureKind.SERVER_ERROR, FailureKind.TIMEOUT, FailureKind.CONNECTION, FailureKind.BROKEN_REPLY}
)


class State(Enum):
    """What becomes of calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Entry(NamedTuple):
    """A call that is to be made; a probe is told from others by what it is, not by what it holds."""

    is_probe: bool


PLAIN: Final = Entry(is_probe=False)


class Breaker:
    """Of one model. Times are seconds of any clock that does not go back."""

    def __init__(self) -> None:
        """Begin closed."""
        self.cause: FailureKind | None = None  # for which it is open; None: it is closed
        self._opened_at = 0.0
        self._closed_at = float("-inf")
        self._probe: Entry | None = None
        self._probe_at = 0.0
        self._wait = FIRST_WAIT
        self._row = 0  # failures since the last answer
        self._last: deque[bool] = deque(maxlen=LAST)  # whether each failed
        self._refused_since: float | None = None  # with no answer since
        self._refusals = 0
        self._reason = ""

    def state(self, now: float) -> State:
        """Where it stands."""
        if self.cause is None:
            return State.CLOSED
        return State.HALF_OPEN if self._probe is not None or now >= self._probe_at else State.OPEN

    @property
    def failures(self) -> int:
        """Calls that failed since the last answer, 429s included."""
        return self._row + self._refusals

    def tried_in(self, now: float) -> float:
        """Seconds until the model is asked again; 0 if it may be asked now."""
        return 0.0 if self.cause is None else max(0.0, self._probe_at - now)

    def why(self) -> str:
        """What the model did that it is left alone."""
        if self.cause is FailureKind.RATE_LIMITED:
            did = self._reason
        elif self._row >= IN_A_ROW:
            did = f"its last {self._row} calls failed; {self._reason}"
        else:
            did = f"{sum(self._last)} of its last {len(self._last)} calls failed; {self._reason}"
        return did if len(did) <= _LONGEST_REASON else f"{did[: _LONGEST_REASON - 1]}…"

    def enter(self, now: float) -> Entry | None:
        """A call by who has another model to go to; None: go there.

        What is entered ends with `ended`, or with `give_back` if no call was made.
        """
        if self.cause is None:
            return PLAIN
        if self._probe is not None or now < self._probe_at:
            return None
        self._probe = Entry(is_probe=True)
        return self._probe

    def insist(self, now: float) -> Entry:
        """A call by who has no other model."""
        return self.enter(now) or PLAIN

    def shuts_out(self, entry: Entry) -> bool:
        """Whether it opened since somebody entered, who then goes to another model if there is one."""
        return self.cause is not None and not entry.is_probe

    def give_back(self, entry: Entry) -> None:
        """No call was made, or it was cut short by ourselves."""
        if entry is self._probe:
            self._probe = None

    def ended(
        self, entry: Entry, failure: Failure | None, *, began: float, now: float, closed_for: float = 0.0
    ) -> None:
        """A call came to its end; the provider has closed the account for so many seconds."""
        if failure is None and self.cause is None:  # as most calls are
            self._answered(began, now)
            return
        kind = None if failure is None else failure.kind
        if failure is None or not (kind in _DOWN or kind is FailureKind.RATE_LIMITED):
            if kind is FailureKind.CANCELLED:
                self.give_back(entry)
            else:
                self._answered(began, now)
        elif entry is self._probe:
            self._count(failure, now)
            self._probe = None
            self._wait = min(2.0 * self._wait, LONGEST_WAIT)
            self._probe_at = now + max(self._wait, closed_for)
        elif self.cause is not None:
            if began >= self._opened_at:  # and not before, as those did that opened it
                self._count(failure, now)
        elif began >= self._closed_at:  # or it tells of the time before
            self._count(failure, now)
            if kind is FailureKind.RATE_LIMITED:
                self.heed(closed_for, now=now)
                self._heed_refusals(now)
            elif self._row >= IN_A_ROW or (len(self._last) == LAST and sum(self._last) >= MOST_OF_LAST):
                self._open(failure.kind, f"the last one: {failure.reason}", now=now)

    def heed(self, closed_for: float, *, now: float) -> None:
        """The model's account lets nobody in for so many seconds."""
        if self.cause is None and closed_for > PATIENCE:
            reason = f"its account is closed for {closed_for:.0f} s, as the provider asked"
            self._open(FailureKind.RATE_LIMITED, reason, now=now, closed_for=closed_for)

    def _heed_refusals(self, now: float) -> None:
        since = self._refused_since
        if (
            self.cause is None
            and since is not None
            and self._refusals >= REFUSALS
            and now - since >= PATIENCE
        ):
            reason = f"it answered nothing but 429 for {now - since:.0f} s"
            self._open(FailureKind.RATE_LIMITED, reason, now=now)

    def _count(self, failure: Failure, now: float) -> None:
        if failure.kind is FailureKind.RATE_LIMITED:
            self._refusals += 1
            if self._refused_since is None:
                self._refused_since = now
        else:
            self._row += 1
            self._last.append(True)

    def _answered(self, began: float, now: float) -> None:
        if self.cause is None:
            if self._row:
                self._row = 0
            if self._refusals:
                self._refusals, self._refused_since = 0, None
            self._last.append(False)
        elif began >= self._opened_at:
            self.cause, self._probe, self._closed_at = None, None, now
            self._row = self._refusals = 0
            self._refused_since = None
            self._last.clear()

    def _open(self, cause: FailureKind, reason: str, *, now: float, closed_for: float = 0.0) -> None:
        self.cause, self._reason, self._opened_at = cause, reason, now
        self._wait = FIRST_WAIT
        self._probe_at = now + max(FIRST_WAIT, closed_for)
